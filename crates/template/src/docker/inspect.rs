//! `inspect`: objects through a template, or as the JSON they came in.

use super::functions::client_functions;
use crate::exec::{ExecError, MissingKey, Template};
use crate::json::{JsonError, compact, indent, parse};
use crate::lang::ParseError;
use crate::value::Value;

/// An object that `inspect` cannot show with the given template.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InspectError {
    /// The template does not fit the object.
    #[error("template parsing error: {0}")]
    Execute(#[from] ExecError),
    /// The object is not JSON.
    #[error("unable to read inspect data: {0}")]
    Json(#[from] JsonError),
}

/// Renders objects with the template of `inspect --format`.
#[derive(Clone, Debug)]
pub struct Inspector {
    template: Template,
}

impl Inspector {
    /// Parses the template. The command line shows the error as `template parsing error: <error>`
    /// and exits with 64.
    ///
    /// # Errors
    /// [`ParseError`] for the first thing that is wrong.
    pub fn parse(template: &str) -> Result<Inspector, ParseError> {
        Ok(Inspector { template: Template::parse(template, &client_functions())? })
    }

    /// Renders one object, without a newline at the end.
    ///
    /// The typed form is tried first: it knows fields that the JSON leaves out. If the template
    /// asks for something it does not have, the JSON is taken as it is, missing keys being errors.
    ///
    /// # Errors
    /// [`InspectError`] of the second attempt.
    pub fn render(&self, typed: Option<&Value>, json: &str) -> Result<String, InspectError> {
        if let Some(typed) = typed
            && let Ok(text) = self.template.render(typed)
        {
            return Ok(text);
        }
        let raw = parse(json)?;
        Ok(self.template.clone().missing_key(MissingKey::Error).render(&raw)?)
    }
}

/// The objects as one JSON array, indented by four spaces, with a newline at the end.
///
/// # Errors
/// [`JsonError`] when an object is not JSON.
pub fn json_array(objects: &[impl AsRef<str>]) -> Result<String, JsonError> {
    indent(&joined(objects), "    ").map(|text| text + "\n")
}

/// The objects as one JSON array on one line, with a newline at the end (`--format json`).
///
/// # Errors
/// [`JsonError`] when an object is not JSON.
pub fn json_array_compact(objects: &[impl AsRef<str>]) -> Result<String, JsonError> {
    compact(&joined(objects)).map(|text| text + "\n")
}

fn joined(objects: &[impl AsRef<str>]) -> String {
    let objects: Vec<&str> = objects.iter().map(AsRef::as_ref).collect();
    format!("[{}]", objects.join(","))
}
