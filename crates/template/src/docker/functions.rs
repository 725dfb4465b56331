//! The functions of `--format` templates and of templates in service specs.

use crate::exec::{MissingKey, Template};
use crate::function::{Function, FunctionError, Functions, Param, text};
use crate::json::to_json;
use crate::lang::ParseError;
use crate::value::Value;

/// The functions of `--format`: `json split join title lower upper pad truncate`.
pub fn client_functions() -> Functions {
    Functions::new()
        .with("json", Function::new(&[Param::Any], |args| Ok(Value::from(to_json(&args[0])))))
        .with("split", Function::new(&[Param::String, Param::String], |args| Ok(Value::strings(split(text(&args[0]), text(&args[1]))))))
        .with("join", Function::new(&[Param::Strings, Param::String], join_list))
        .with("title", Function::of_string(title))
        .with("lower", Function::of_string(lower))
        .with("upper", Function::of_string(upper))
        .with("pad", Function::new(&[Param::String, Param::Int, Param::Int], pad))
        .with("truncate", Function::new(&[Param::String, Param::Int], truncate))
}

/// What replaces [`client_functions`] while the header of a table is made: the column names go
/// through unchanged, so that `{{upper .Name}}` still has the heading `NAME`.
pub fn header_functions() -> Functions {
    let same = || Function::of_string(str::to_string);
    let same_of = |second| Function::new(&[Param::String, second], |args| Ok(args[0].clone()));
    Functions::new()
        .with("json", same())
        .with("split", same_of(Param::String))
        .with("join", same_of(Param::String))
        .with("title", same())
        .with("lower", same())
        .with("upper", same())
        .with("truncate", same_of(Param::Int))
}

/// The functions of templates in service specs: `join SEPARATOR TEXT…`.
pub fn service_functions() -> Functions {
    let join = Function::variadic(&[], Param::String, |args| {
        let Some((separator, parts)) = args.split_first() else {
            return Err(FunctionError::new("runtime error: slice bounds out of range [1:0]"));
        };
        let parts: Vec<&str> = parts.iter().map(text).collect();
        Ok(Value::from(parts.join(text(separator))))
    });
    Functions::new().with("join", join)
}

/// Parses a template of a service spec: named `expansion`, missing keys are errors.
///
/// `extra` adds functions, such as `secret` and `config` for templated payloads.
///
/// # Errors
/// [`ParseError`] for the first thing that is wrong.
pub fn service_template(template: &str, extra: &Functions) -> Result<Template, ParseError> {
    let functions = service_functions().extended(extra);
    Ok(Template::parse_named("expansion", template, &functions)?.missing_key(MissingKey::Error))
}

/// Like Go's `strings.Split`: an empty separator cuts between characters.
fn split(whole: &str, separator: &str) -> Vec<String> {
    if separator.is_empty() {
        return whole.chars().map(String::from).collect();
    }
    whole.split(separator).map(str::to_string).collect()
}

fn join_list(args: &[Value]) -> Result<Value, FunctionError> {
    let parts: Vec<&str> = match &args[0] {
        Value::List(list) => list.items().iter().map(text).collect(),
        _ => Vec::new(),
    };
    let separator = text(&args[1]);
    check_len(separator.len().saturating_mul(parts.len()))?;
    Ok(Value::from(parts.join(separator)))
}

/// Upper case for the first letter of each word.
fn title(text: &str) -> String {
    let mut previous = ' ';
    text.chars()
        .map(|c| {
            let starts_word = is_separator(previous);
            previous = c;
            if starts_word { upper_char(c) } else { c }
        })
        .collect()
}

fn is_separator(c: char) -> bool {
    if c.is_ascii() {
        return !c.is_ascii_alphanumeric() && c != '_';
    }
    !c.is_alphanumeric() && c.is_whitespace()
}

fn upper(text: &str) -> String {
    text.chars().map(upper_char).collect()
}

fn lower(text: &str) -> String {
    text.chars().map(|c| c.to_lowercase().next().unwrap_or(c)).collect()
}

/// Go maps one character to one character; `ß` has no upper case then.
fn upper_char(c: char) -> char {
    let mut mapped = c.to_uppercase();
    match (mapped.next(), mapped.next()) {
        (Some(only), None) => only,
        _ => c,
    }
}

/// Spaces before and after a text that is not empty.
fn pad(args: &[Value]) -> Result<Value, FunctionError> {
    let source = text(&args[0]);
    if source.is_empty() {
        return Ok(Value::from(""));
    }
    let before = repeat_count(&args[1])?;
    let after = repeat_count(&args[2])?;
    Ok(Value::from(format!("{}{source}{}", " ".repeat(before), " ".repeat(after))))
}

fn repeat_count(value: &Value) -> Result<usize, FunctionError> {
    let count = int(value);
    let count = usize::try_from(count).map_err(|_| FunctionError::new("strings: negative Repeat count"))?;
    check_len(count)?;
    Ok(count)
}

/// A single text made by repetition stays below this, whatever the template asks for.
const REPEATED_BYTES_MAX: usize = 16 << 20;

fn check_len(bytes: usize) -> Result<(), FunctionError> {
    if bytes > REPEATED_BYTES_MAX {
        return Err(FunctionError::new("strings: Repeat output length overflow"));
    }
    Ok(())
}

/// The first bytes of a text; half a character becomes a replacement character.
fn truncate(args: &[Value]) -> Result<Value, FunctionError> {
    let source = text(&args[0]);
    let length = int(&args[1]);
    let Ok(length) = usize::try_from(length) else {
        return Err(FunctionError::new(format!("runtime error: slice bounds out of range [:{length}]")));
    };
    let kept = &source.as_bytes()[..length.min(source.len())];
    Ok(Value::from(String::from_utf8_lossy(kept).into_owned()))
}

fn int(value: &Value) -> i64 {
    match value {
        Value::Int(n) => *n,
        _ => 0,
    }
}
