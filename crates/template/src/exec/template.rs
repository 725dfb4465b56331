//! The public face of the engine: parse once, render often.

use std::sync::Arc;

use super::builtin::Builtin;
use super::walk::State;
use crate::function::Functions;
use crate::lang::{ParseError, Trees, parse};
use crate::value::Value;

/// What asking a map for a key it does not have gives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MissingKey {
    /// No value; it prints as `<no value>`.
    #[default]
    Default,
    /// The zero value of the map's elements.
    Zero,
    /// An error: `map has no entry for key "x"`.
    Error,
}

/// Bounds on what one rendering may take. Reaching one is an [`ExecError`].
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Nodes visited and functions called.
    pub steps_max: usize,
    /// Bytes of the output, and of any single text computed on the way.
    pub bytes_max: usize,
    /// Templates, controls and parentheses within one another, which the stack must hold.
    pub depth_max: usize,
}

impl Default for Limits {
    /// Far above what a sensible template needs, yet over within seconds.
    fn default() -> Limits {
        Limits { steps_max: 5_000_000, bytes_max: 64 << 20, depth_max: 500 }
    }
}

/// A rendering that failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("template: {location}: executing {name} at <{context}>: {message}")]
pub struct ExecError {
    /// Template name, line and column: `:1:2`.
    pub location: String,
    /// The quoted name of the template being executed.
    pub name: String,
    /// The part of the template that was being evaluated.
    pub context: String,
    /// What is wrong, in Go's words.
    pub message: String,
}

/// A parsed template. Cloning is cheap.
#[derive(Clone, Debug)]
pub struct Template {
    pub(super) name: Arc<str>,
    pub(super) text: Arc<str>,
    pub(super) trees: Arc<Trees>,
    pub(super) functions: Functions,
    pub(super) missing_key: MissingKey,
    pub(super) limits: Limits,
}

impl Template {
    /// Parses an anonymous template that may call `functions` and the built-in ones.
    ///
    /// # Errors
    /// [`ParseError`] for the first thing that is wrong.
    pub fn parse(text: &str, functions: &Functions) -> Result<Template, ParseError> {
        Template::parse_named("", text, functions)
    }

    /// Parses a template called `name`, as error messages will call it.
    ///
    /// # Errors
    /// [`ParseError`] for the first thing that is wrong.
    pub fn parse_named(name: &str, text: &str, functions: &Functions) -> Result<Template, ParseError> {
        let is_function = |word: &str| functions.get(word).is_some() || Builtin::named(word).is_some();
        let trees = parse(name, text, &is_function)?;
        Ok(Template {
            name: name.into(),
            text: text.into(),
            trees: Arc::new(trees),
            functions: functions.clone(),
            missing_key: MissingKey::Default,
            limits: Limits::default(),
        })
    }

    /// The same template with another answer to missing map keys.
    #[must_use]
    pub fn missing_key(mut self, missing_key: MissingKey) -> Template {
        self.missing_key = missing_key;
        self
    }

    /// The same template with other limits.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Template {
        self.limits = limits;
        self
    }

    /// The same template with `functions` in place of those of the same name.
    #[must_use]
    pub fn functions(mut self, functions: &Functions) -> Template {
        self.functions = self.functions.extended(functions);
        self
    }

    /// Renders the template with `data` as `.` and `$`.
    ///
    /// # Errors
    /// [`ExecError`] for the first thing that is wrong; what was rendered until then is lost.
    pub fn render(&self, data: &Value) -> Result<String, ExecError> {
        let (text, error) = self.render_partly(data);
        error.map_or(Ok(text), Err)
    }

    /// Renders as far as possible: the text up to the first error, and that error.
    pub fn render_partly(&self, data: &Value) -> (String, Option<ExecError>) {
        State::run(self, data)
    }
}
