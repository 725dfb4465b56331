//! Evaluates pipelines, commands and field chains.

use super::Item;
use super::walk::{At, Run, State};
use crate::function::Function;
use crate::lang::{Command, NumberLiteral, Operand, Pipe};
use crate::value::Value;

use super::template::MissingKey;

/// What a command passes along with its own words: the value from the stage before it.
pub(super) type Final = Option<Item>;

impl<'t> State<'t> {
    /// The value of the last command; declares or sets the variables of the pipeline.
    pub(super) fn pipeline(&mut self, dot: &Item, pipe: &'t Pipe) -> Run<Item> {
        self.step()?;
        self.at(At::Pipe(pipe));
        let mut last: Final = None;
        for command in &pipe.commands {
            let mut item = self.command(dot, command, last.take())?;
            item.interface = false; // What an interface holds is what counts from here on.
            last = Some(item);
        }
        let item = last.unwrap_or_else(Item::invalid);
        for name in &pipe.variables {
            if pipe.assigns {
                self.assign(name, item.clone())?;
            } else {
                self.declare(name, item.clone());
            }
        }
        Ok(item)
    }

    fn command(&mut self, dot: &Item, command: &'t Command, last: Final) -> Run<Item> {
        let words = &command.words;
        let first = &words[0];
        match first {
            Operand::Identifier { name, .. } => {
                return self.call_named(dot, name, first, At::Command(command), &words[1..], last);
            }
            Operand::Pipe(pipe) => {
                self.refuse_arguments(words, &last)?;
                return self.deeper(|s| s.pipeline(dot, pipe));
            }
            Operand::Field { .. } | Operand::Variable { .. } | Operand::Chain { .. } => {
                return self.chain(dot, first, words, last);
            }
            _ => {}
        }
        self.at(At::Operand(first));
        self.refuse_arguments(words, &last)?;
        match first {
            Operand::Nil { .. } => self.fail("nil is not a command"),
            Operand::Number { number, .. } => self.ideal_constant(first, number),
            Operand::Dot { .. } => Ok(dot.clone()),
            Operand::Bool { value, .. } => Ok(Item::new(*value)),
            Operand::Text { text, .. } => Ok(Item::new(text.as_str())),
            _ => unreachable!("all other operands are handled above"),
        }
    }

    fn refuse_arguments(&self, words: &[Operand], last: &Final) -> Run<()> {
        if words.len() > 1 || last.is_some() {
            return self.fail(format!("can't give argument to non-function {}", words[0]));
        }
        Ok(())
    }

    /// A field, variable or chain operand; `words` and `last` are the arguments of its last name.
    pub(super) fn chain(&mut self, dot: &Item, operand: &'t Operand, words: &'t [Operand], last: Final) -> Run<Item> {
        self.at(At::Operand(operand));
        let (receiver, names) = match operand {
            Operand::Field { names, .. } => (dot.clone(), names.as_slice()),
            Operand::Variable { names, .. } => {
                let receiver = self.variable(&names[0])?;
                if names.len() == 1 {
                    self.refuse_arguments_of(operand, words, &last)?;
                    return Ok(receiver);
                }
                (receiver, &names[1..])
            }
            Operand::Chain { inner, names, .. } => {
                let receiver = match &**inner {
                    Operand::Pipe(pipe) => self.deeper(|s| s.pipeline(dot, pipe))?,
                    Operand::Identifier { name, .. } => self.call_named(dot, name, inner, At::Operand(inner), &[], None)?,
                    inner => {
                        return self.fail(format!("indirection through {inner} in {operand}"));
                    }
                };
                (receiver, names.as_slice())
            }
            _ => unreachable!("only called for operands with names"),
        };
        let mut receiver = receiver;
        let (last_name, path) = names.split_last().expect("the parser gives every chain a name");
        for name in path {
            receiver = self.field(dot, name, operand, &[], None, &receiver)?;
        }
        self.field(dot, last_name, operand, words, last, &receiver)
    }

    fn refuse_arguments_of(&self, operand: &Operand, words: &[Operand], last: &Final) -> Run<()> {
        if words.len() > 1 || last.is_some() {
            return self.fail(format!("can't give argument to non-function {operand}"));
        }
        Ok(())
    }

    /// The field, entry or method `name` of `receiver`.
    fn field(&mut self, dot: &Item, name: &str, operand: &'t Operand, words: &'t [Operand], last: Final, receiver: &Item) -> Run<Item> {
        self.step()?;
        if receiver.is_invalid() {
            if self.template.missing_key == MissingKey::Error {
                return self.fail(format!("nil data; no entry for key {}", crate::gofmt::quote(name)));
            }
            return Ok(Item::invalid());
        }
        let arguments = words.get(1..).unwrap_or(&[]);
        if let Some(method) = method(&receiver.value, name) {
            return self.call(dot, &method, name, At::Operand(operand), arguments, last);
        }
        let has_arguments = !arguments.is_empty() || last.is_some();
        let type_name = receiver.static_type();
        match &receiver.value {
            Value::Struct(object) => {
                if let Some(value) = object.get(name) {
                    if has_arguments {
                        return self.fail(format!("{name} has arguments but cannot be invoked as function"));
                    }
                    // A nil in a struct is a nil interface field, not an absent one.
                    return Ok(Item::element(value, matches!(value, Value::Nil)));
                }
            }
            Value::Map(map) => {
                if has_arguments {
                    return self.fail(format!("{name} is not a method but has arguments"));
                }
                let any = map.holds_interfaces();
                if let Some(value) = map.entries.get(name) {
                    return Ok(Item::element(value, any));
                }
                return match self.template.missing_key {
                    MissingKey::Default => Ok(Item::invalid()),
                    MissingKey::Zero => Ok(Item::element(&map.zero, any)),
                    MissingKey::Error => self.fail(format!("map has no entry for key {}", crate::gofmt::quote(name))),
                };
            }
            Value::NilPointer(nil) if nil.fields.iter().any(|field| &**field == name) => {
                return self.fail(format!("nil pointer evaluating {type_name}.{name}"));
            }
            Value::Nil => {
                return self.fail(format!("nil pointer evaluating {type_name}.{name}"));
            }
            _ => {}
        }
        self.fail(format!("can't evaluate field {name} in type {type_name}"))
    }

    /// A number where nothing says which type it should have.
    pub(super) fn ideal_constant(&mut self, operand: &'t Operand, number: &NumberLiteral) -> Run<Item> {
        self.at(At::Operand(operand));
        if let Some((re, im)) = number.complex {
            return Ok(Item::new(Value::Complex(re, im)));
        }
        let text = &number.text;
        let is_hex_int =
            text.len() > 2 && text.get(..2).is_some_and(|prefix| prefix.eq_ignore_ascii_case("0x")) && !text.contains(['p', 'P']);
        let looks_like_float = !is_hex_int && !text.starts_with('\'') && text.contains(['.', 'e', 'E', 'p', 'P']);
        match (number.float, number.int) {
            (Some(float), _) if looks_like_float => Ok(Item::new(float)),
            (_, Some(int)) => Ok(Item::new(int)),
            _ => self.fail(format!("{text} overflows int")),
        }
    }
}

/// The method `name` of a value, if its type has one.
fn method(value: &Value, name: &str) -> Option<Function> {
    match value {
        Value::Struct(object) => {
            object.find_method(name).cloned().or_else(|| object.text().filter(|_| name == "String").map(Function::constant))
        }
        Value::Map(map) => map.methods.get(name).cloned(),
        Value::Named(named) => {
            named.methods.get(name).cloned().or_else(|| named.text.as_deref().filter(|_| name == "String").map(Function::constant))
        }
        Value::Number(text) => number_method(text, name),
        _ => None,
    }
}

/// The methods of `json.Number`.
fn number_method(text: &str, name: &str) -> Option<Function> {
    let text = text.to_string();
    let syntax = |what: &str, text: &str| {
        crate::function::FunctionError::new(format!("strconv.{what}: parsing {}: invalid syntax", crate::gofmt::quote(text)))
    };
    Some(match name {
        "String" => Function::constant(text),
        "Int64" => Function::new(&[], move |_| text.parse().map(Value::int64).map_err(|_| syntax("ParseInt", &text))),
        "Float64" => Function::new(&[], move |_| text.parse().map(Value::Float).map_err(|_| syntax("ParseFloat", &text))),
        _ => return None,
    })
}
