//! Calls functions and methods: counts, checks and converts their arguments.

use super::Item;
use super::builtin::Builtin;
use super::eval::Final;
use super::walk::{At, Run, State};
use crate::function::{Function, FunctionError, Param};
use crate::lang::Operand;
use crate::value::Value;

/// What an argument must be.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Expected {
    /// Anything, told apart from `nil` (Go's `reflect.Value`).
    Reflected,
    Param(Param),
}

impl Expected {
    fn go_type(self) -> &'static str {
        match self {
            Expected::Reflected => "reflect.Value",
            Expected::Param(param) => param.go_type(),
        }
    }

    fn can_be_nil(self) -> bool {
        match self {
            Expected::Reflected => true,
            Expected::Param(param) => param.can_be_nil(),
        }
    }
}

/// The parameters of a function: the fixed ones, and the type of all further ones.
pub(super) struct Signature<'f> {
    pub(super) fixed: &'f [Expected],
    pub(super) rest: Option<Expected>,
}

impl Signature<'_> {
    fn expected(&self, index: usize) -> Expected {
        self.fixed.get(index).copied().or(self.rest).unwrap_or(Expected::Param(Param::Any))
    }
}

impl<'t> State<'t> {
    /// Calls the function `name`. `at` is what an error of the function itself points at.
    pub(super) fn call_named(
        &mut self,
        dot: &Item,
        name: &str,
        operand: &'t Operand,
        at: At<'t>,
        arguments: &'t [Operand],
        last: Final,
    ) -> Run<Item> {
        self.at(At::Operand(operand));
        if let Some(function) = self.template.functions.get(name) {
            let function = function.clone();
            return self.call(dot, &function, name, at, arguments, last);
        }
        let Some(builtin) = Builtin::named(name) else {
            return self.fail(format!("{} is not a defined function", crate::gofmt::quote(name)));
        };
        self.call_builtin(dot, builtin, name, at, arguments, last)
    }

    /// Calls a registered function or a method.
    pub(super) fn call(
        &mut self,
        dot: &Item,
        function: &Function,
        name: &str,
        at: At<'t>,
        arguments: &'t [Operand],
        last: Final,
    ) -> Run<Item> {
        let fixed: Vec<Expected> = function.params.iter().copied().map(Expected::Param).collect();
        let signature = Signature { fixed: &fixed, rest: function.variadic.map(Expected::Param) };
        let items = self.arguments(dot, &signature, name, arguments, last)?;
        let values: Vec<Value> = items.into_iter().map(|item| item.value).collect();
        let result = function.call(&values);
        self.returned(result.map(Item::new), name, at)
    }

    fn call_builtin(&mut self, dot: &Item, builtin: Builtin, name: &str, at: At<'t>, arguments: &'t [Operand], last: Final) -> Run<Item> {
        let signature = builtin.signature();
        if let Some(decisive) = builtin.short_circuit() {
            self.count(&signature, name, arguments.len(), last.is_some())?;
            return self.short_circuit(dot, decisive, arguments, last);
        }
        let callee = match arguments.first() {
            Some(operand) => operand.to_string(),
            None => last.as_ref().map_or_else(String::new, |item| item.value.type_name()),
        };
        let items = self.arguments(dot, &signature, name, arguments, last)?;
        let result = builtin.run(&items, &callee, self.template.limits.bytes_max);
        self.returned(result, name, at)
    }

    fn returned(&mut self, result: Result<Item, FunctionError>, name: &str, at: At<'t>) -> Run<Item> {
        match result {
            Ok(item) => {
                let bytes = item.value.as_text().map_or(0, |text| text.len());
                self.check_size(bytes)?;
                Ok(item)
            }
            Err(error) => {
                self.at(at);
                self.fail(format!("error calling {name}: {error}"))
            }
        }
    }

    /// `and` and `or` stop at the first argument whose truth is `decisive`.
    fn short_circuit(&mut self, dot: &Item, decisive: bool, arguments: &'t [Operand], last: Final) -> Run<Item> {
        let mut item = Item::invalid();
        for operand in arguments {
            item = self.argument(dot, Expected::Reflected, operand)?;
            if item.value.is_true() == decisive {
                return Ok(item);
            }
        }
        Ok(last.unwrap_or(item))
    }

    fn count(&self, signature: &Signature<'_>, name: &str, given: usize, last: bool) -> Run<()> {
        let total = given + usize::from(last);
        let wanted = signature.fixed.len();
        match signature.rest {
            Some(_) if total < wanted => self.fail(format!("wrong number of args for {name}: want at least {wanted} got {given}")),
            None if total != wanted => self.fail(format!("wrong number of args for {name}: want {wanted} got {total}")),
            _ => Ok(()),
        }
    }

    fn arguments(&mut self, dot: &Item, signature: &Signature<'_>, name: &str, arguments: &'t [Operand], last: Final) -> Run<Vec<Item>> {
        self.step()?;
        self.count(signature, name, arguments.len(), last.is_some())?;
        let mut items = Vec::with_capacity(arguments.len() + 1);
        for (i, operand) in arguments.iter().enumerate() {
            items.push(self.argument(dot, signature.expected(i), operand)?);
        }
        if let Some(last) = last {
            let expected = signature.expected(arguments.len());
            items.push(self.validate(last, expected)?);
        }
        Ok(items)
    }

    fn argument(&mut self, dot: &Item, expected: Expected, operand: &'t Operand) -> Run<Item> {
        self.at(At::Operand(operand));
        let item = match operand {
            Operand::Dot { .. } => dot.clone(),
            Operand::Nil { .. } => {
                if !expected.can_be_nil() {
                    return self.fail(format!("cannot assign nil to {}", expected.go_type()));
                }
                return Ok(Item::invalid());
            }
            Operand::Field { .. } | Operand::Variable { .. } | Operand::Chain { .. } => self.chain(dot, operand, &[], None)?,
            Operand::Pipe(pipe) => self.deeper(|s| s.pipeline(dot, pipe))?,
            Operand::Identifier { name, .. } => self.call_named(dot, name, operand, At::Operand(operand), &[], None)?,
            _ => return self.literal(expected, operand),
        };
        self.validate(item, expected)
    }

    /// A literal argument takes the type the function wants, if it can.
    fn literal(&mut self, expected: Expected, operand: &'t Operand) -> Run<Item> {
        let wrong = |what: &str| format!("expected {what}; found {operand}");
        match (expected, operand) {
            (Expected::Param(Param::Strings), _) => self.fail(format!("can't handle {operand} for arg of type []string")),
            (Expected::Param(Param::String), Operand::Text { text, .. }) => Ok(Item::new(text.as_str())),
            (Expected::Param(Param::String), _) => self.fail(wrong("string")),
            (Expected::Param(Param::Bool), Operand::Bool { value, .. }) => Ok(Item::new(*value)),
            (Expected::Param(Param::Bool), _) => self.fail(wrong("bool")),
            (Expected::Param(Param::Int), Operand::Number { number, .. }) => match number.int {
                Some(int) => Ok(Item::new(int)),
                None => self.fail(wrong("integer")),
            },
            (Expected::Param(Param::Int), _) => self.fail(wrong("integer")),
            (_, Operand::Number { number, .. }) => self.ideal_constant(operand, number),
            (_, Operand::Text { text, .. }) => Ok(Item::new(text.as_str())),
            (_, Operand::Bool { value, .. }) => Ok(Item::new(*value)),
            _ => unreachable!("all other operands are handled by argument()"),
        }
    }

    /// Checks that a computed value can be passed as `expected`.
    fn validate(&self, item: Item, expected: Expected) -> Run<Item> {
        if item.is_invalid() {
            if expected.can_be_nil() {
                return Ok(item);
            }
            return self.fail(format!("invalid value; expected {}", expected.go_type()));
        }
        let fits = match (expected, &item.value) {
            (Expected::Reflected | Expected::Param(Param::Any), _)
            | (Expected::Param(Param::String), Value::String(_))
            | (Expected::Param(Param::Int), Value::Int(_))
            | (Expected::Param(Param::Bool), Value::Bool(_)) => true,
            (Expected::Param(Param::Strings), Value::List(list)) => &*list.type_name == "[]string",
            _ => false,
        };
        if fits {
            return Ok(item);
        }
        let type_name = match item.value {
            Value::Nil => item.static_type(),
            ref value => value.type_name(),
        };
        self.fail(format!("wrong type for value; expected {}; got {type_name}", expected.go_type()))
    }
}
