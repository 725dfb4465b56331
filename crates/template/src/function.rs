//! Functions and methods that templates can call.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use crate::value::Value;

/// What a function takes in one argument. Arguments of another type are refused in Go's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Param {
    /// Anything, `nil` included.
    Any,
    /// Exactly Go's `string`.
    String,
    /// Exactly Go's `int`.
    Int,
    /// Exactly Go's `bool`.
    Bool,
    /// Exactly Go's `[]string`; `nil` is an empty list.
    Strings,
}

impl Param {
    pub(crate) fn go_type(self) -> &'static str {
        match self {
            Param::Any => "interface {}",
            Param::String => "string",
            Param::Int => "int",
            Param::Bool => "bool",
            Param::Strings => "[]string",
        }
    }

    pub(crate) fn can_be_nil(self) -> bool {
        matches!(self, Param::Any | Param::Strings)
    }
}

/// Why a function refused its arguments; shown after `error calling <name>: `.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct FunctionError(String);

impl FunctionError {
    /// An error that reads `message`.
    pub fn new(message: impl Into<String>) -> FunctionError {
        FunctionError(message.into())
    }
}

type Body = dyn Fn(&[Value]) -> Result<Value, FunctionError> + Send + Sync;

/// A function for templates: what it takes and what it does.
///
/// The body sees arguments that were checked against the parameters, in number and type.
#[derive(Clone)]
pub struct Function {
    pub(crate) params: Arc<[Param]>,
    /// The type of any number of further arguments.
    pub(crate) variadic: Option<Param>,
    body: Arc<Body>,
}

impl Function {
    /// A function of exactly `params`.
    pub fn new<F>(params: &[Param], body: F) -> Function
    where
        F: Fn(&[Value]) -> Result<Value, FunctionError> + Send + Sync + 'static,
    {
        Function { params: params.into(), variadic: None, body: Arc::new(body) }
    }

    /// A function of `params` and any number of further arguments of type `rest`.
    pub fn variadic<F>(params: &[Param], rest: Param, body: F) -> Function
    where
        F: Fn(&[Value]) -> Result<Value, FunctionError> + Send + Sync + 'static,
    {
        Function { params: params.into(), variadic: Some(rest), body: Arc::new(body) }
    }

    /// A function from one string to one string that cannot fail.
    pub fn of_string<F>(body: F) -> Function
    where
        F: Fn(&str) -> String + Send + Sync + 'static,
    {
        Function::new(&[Param::String], move |args| Ok(Value::from(body(text(&args[0])))))
    }

    /// A function without arguments that computes its value when it is called.
    pub fn getter<F>(body: F) -> Function
    where
        F: Fn() -> Value + Send + Sync + 'static,
    {
        Function::new(&[], move |_| Ok(body()))
    }

    /// A function without arguments that always returns `value`.
    pub fn constant(value: impl Into<Value>) -> Function {
        let value = value.into();
        Function::getter(move || value.clone())
    }

    /// Calls it. `args` must match the parameters.
    pub(crate) fn call(&self, args: &[Value]) -> Result<Value, FunctionError> {
        (self.body)(args)
    }

    pub(crate) fn go_type(&self) -> String {
        let mut types: Vec<String> = self.params.iter().map(|p| p.go_type().to_string()).collect();
        if let Some(rest) = self.variadic {
            types.push(format!("...{}", rest.go_type()));
        }
        format!("func({}) interface {{}}", types.join(", "))
    }
}

impl fmt::Debug for Function {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.go_type())
    }
}

/// The text of a [`Param::String`] argument; empty for any other value.
pub(crate) fn text(value: &Value) -> &str {
    match value {
        Value::String(text) => text,
        _ => "",
    }
}

/// The functions a template may call besides the built-in ones.
#[derive(Clone, Debug, Default)]
pub struct Functions {
    by_name: BTreeMap<Arc<str>, Function>,
}

impl Functions {
    /// No functions beyond the built-in ones.
    pub fn new() -> Functions {
        Functions::default()
    }

    /// Adds `function` as `name`, replacing an earlier or built-in one of that name.
    #[must_use]
    pub fn with(mut self, name: &str, function: Function) -> Functions {
        self.by_name.insert(name.into(), function);
        self
    }

    /// Adds all functions of `other`, replacing those of the same names.
    #[must_use]
    pub fn extended(mut self, other: &Functions) -> Functions {
        self.by_name.extend(other.by_name.iter().map(|(name, f)| (Arc::clone(name), f.clone())));
        self
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Function> {
        self.by_name.get(name)
    }
}
