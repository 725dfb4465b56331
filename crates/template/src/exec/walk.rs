//! Walks the syntax tree: text, controls, variables.

use super::Item;
use super::template::{ExecError, Template};
use crate::gofmt::{printable, quote};
use crate::lang::{Branch, BranchKind, Command, Node, Operand, Pipe, TemplateCall};
use crate::value::Value;

/// What was last looked at, for error messages.
#[derive(Clone, Copy)]
pub(super) enum At<'t> {
    Node(&'t Node),
    Branch(&'t Branch),
    Call(&'t TemplateCall),
    Pipe(&'t Pipe),
    Command(&'t Command),
    Operand(&'t Operand),
}

impl At<'_> {
    fn pos(self) -> usize {
        match self {
            At::Node(Node::Text { pos, .. } | Node::Action { pos, .. }) | At::Node(Node::Break { pos } | Node::Continue { pos }) => *pos,
            At::Node(Node::Branch(branch)) => branch.pos,
            At::Node(Node::Template(call)) => call.pos,
            At::Branch(branch) => branch.pos,
            At::Call(call) => call.pos,
            At::Pipe(pipe) => pipe.pos,
            At::Command(command) => command.pos,
            At::Operand(operand) => operand.pos(),
        }
    }

    fn shown(self) -> String {
        match self {
            At::Node(node) => node.to_string(),
            At::Branch(branch) => branch.to_string(),
            At::Call(call) => call.to_string(),
            At::Pipe(pipe) => pipe.to_string(),
            At::Command(command) => command.to_string(),
            At::Operand(operand) => operand.to_string(),
        }
    }
}

/// Boxed: the error is large and rare.
pub(super) type Run<T> = Result<T, Box<ExecError>>;

/// Whether the walk goes on behind a node or leaves the innermost `range` body.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Flow {
    Next,
    Break,
    Continue,
}

/// One rendering under way.
pub(super) struct State<'t> {
    pub(super) template: &'t Template,
    /// The name of the template the walk is in.
    current: &'t str,
    at: Option<At<'t>>,
    variables: Vec<(&'t str, Item)>,
    out: String,
    steps: usize,
    depth: usize,
}

impl<'t> State<'t> {
    pub(super) fn run(template: &'t Template, data: &Value) -> (String, Option<ExecError>) {
        let dot = Item::new(data.clone());
        let mut state = State {
            template,
            current: &template.name,
            at: None,
            variables: vec![("$", dot.clone())],
            out: String::new(),
            steps: 0,
            depth: 0,
        };
        let result = match template.trees.get(&*template.name) {
            Some(body) => state.body(&dot, body).map(|_| ()),
            None => Ok(()),
        };
        (state.out, result.err().map(|error| *error))
    }

    pub(super) fn at(&mut self, at: At<'t>) {
        self.at = Some(at);
    }

    pub(super) fn error(&self, message: impl Into<String>) -> Box<ExecError> {
        let (pos, context) = self.at.map_or((0, String::new()), |at| (at.pos(), at.shown()));
        let before = &self.template.text[..pos];
        let line = 1 + before.matches('\n').count();
        let column = pos - before.rfind('\n').map_or(0, |newline| newline + 1);
        Box::new(ExecError {
            location: format!("{}:{line}:{column}", self.template.name),
            name: quote(self.current),
            context,
            message: message.into(),
        })
    }

    pub(super) fn fail<T>(&self, message: impl Into<String>) -> Run<T> {
        Err(self.error(message))
    }

    /// Counts a step of work, so that no template runs forever.
    pub(super) fn step(&mut self) -> Run<()> {
        self.steps += 1;
        let max = self.template.limits.steps_max;
        if self.steps > max { self.fail(format!("exceeded maximum of {max} steps")) } else { Ok(()) }
    }

    /// Runs `work` one level deeper, so that no template exhausts the stack.
    pub(super) fn deeper<T>(&mut self, work: impl FnOnce(&mut Self) -> Run<T>) -> Run<T> {
        let max = self.template.limits.depth_max;
        if self.depth == max {
            return self.fail(format!("exceeded maximum template depth ({max})"));
        }
        self.depth += 1;
        let result = work(self);
        self.depth -= 1;
        result
    }

    pub(super) fn check_size(&self, bytes: usize) -> Run<()> {
        let max = self.template.limits.bytes_max;
        if bytes > max { self.fail(format!("exceeded maximum of {max} bytes")) } else { Ok(()) }
    }

    pub(super) fn declare(&mut self, name: &'t str, item: Item) {
        self.variables.push((name, item));
    }

    pub(super) fn variable(&self, name: &str) -> Run<Item> {
        match self.variables.iter().rev().find(|(known, _)| *known == name) {
            Some((_, item)) => Ok(item.clone()),
            None => self.fail(format!("undefined variable: {name}")),
        }
    }

    pub(super) fn assign(&mut self, name: &str, item: Item) -> Run<()> {
        match self.variables.iter_mut().rev().find(|(known, _)| *known == name) {
            Some((_, value)) => {
                *value = item;
                Ok(())
            }
            None => self.fail(format!("undefined variable: {name}")),
        }
    }

    fn write(&mut self, text: &str) -> Run<()> {
        self.check_size(self.out.len() + text.len())?;
        self.out.push_str(text);
        Ok(())
    }

    fn body(&mut self, dot: &Item, nodes: &'t [Node]) -> Run<Flow> {
        for node in nodes {
            self.step()?;
            let flow = self.node(dot, node)?;
            if flow != Flow::Next {
                return Ok(flow);
            }
        }
        Ok(Flow::Next)
    }

    fn node(&mut self, dot: &Item, node: &'t Node) -> Run<Flow> {
        self.at(At::Node(node));
        match node {
            Node::Text { text, .. } => self.write(text)?,
            Node::Action { pipe, .. } => {
                let item = self.pipeline(dot, pipe)?;
                if pipe.variables.is_empty() {
                    self.at(At::Node(node));
                    self.print(node, &item)?;
                }
            }
            Node::Branch(branch) => {
                // Variables declared inside end with the control.
                let mark = self.variables.len();
                let flow = self.deeper(|s| match branch.kind {
                    BranchKind::Range => s.range(dot, branch),
                    BranchKind::If | BranchKind::With => s.if_or_with(dot, branch),
                })?;
                self.variables.truncate(mark);
                return Ok(flow);
            }
            Node::Template(call) => self.deeper(|s| s.call_template(dot, call))?,
            Node::Break { .. } => return Ok(Flow::Break),
            Node::Continue { .. } => return Ok(Flow::Continue),
        }
        Ok(Flow::Next)
    }

    fn print(&mut self, node: &Node, item: &Item) -> Run<()> {
        let text = match &item.value {
            Value::Function(function) => {
                return self.fail(format!("can't print {node} of type {}", function.go_type()));
            }
            value => printable(value),
        };
        self.write(&text)
    }

    fn if_or_with(&mut self, dot: &Item, branch: &'t Branch) -> Run<Flow> {
        let item = self.pipeline(dot, &branch.pipe)?;
        if item.value.is_true() {
            let dot = if branch.kind == BranchKind::With { &item } else { dot };
            self.body(dot, &branch.body)
        } else {
            self.else_body(dot, branch)
        }
    }

    fn else_body(&mut self, dot: &Item, branch: &'t Branch) -> Run<Flow> {
        match &branch.else_body {
            Some(body) => self.body(dot, body),
            None => Ok(Flow::Next),
        }
    }

    fn range(&mut self, dot: &Item, branch: &'t Branch) -> Run<Flow> {
        self.at(At::Branch(branch));
        let item = self.pipeline(dot, &branch.pipe)?;
        let count = match item.value.basic() {
            Value::Int(n) => u64::try_from(*n).unwrap_or(0),
            Value::Uint(n) => *n,
            Value::List(list) => list.items.len() as u64,
            Value::Map(map) => map.entries.len() as u64,
            Value::Nil => 0,
            _ => {
                let shown = printable(&item.value);
                return self.fail(format!("range can't iterate over {shown}"));
            }
        };
        let is_number = matches!(item.value.basic(), Value::Int(_) | Value::Uint(_));
        if is_number && branch.pipe.variables.len() > 1 {
            let shown = printable(&item.value);
            return self.fail(format!("can't use {shown} to iterate over more than one variable"));
        }
        if count == 0 {
            return self.else_body(dot, branch);
        }
        match item.value.basic() {
            Value::List(list) => {
                let any = list.holds_interfaces();
                for (i, element) in list.items.iter().enumerate() {
                    let index = Item::new(i64::try_from(i).unwrap_or(i64::MAX));
                    if self.iteration(branch, index, Item::element(element, any))? == Flow::Break {
                        break;
                    }
                }
            }
            Value::Map(map) => {
                let any = map.holds_interfaces();
                for (key, element) in &map.entries {
                    let key = Item::new(Value::String(key.clone()));
                    if self.iteration(branch, key, Item::element(element, any))? == Flow::Break {
                        break;
                    }
                }
            }
            _ => {
                for i in 0..count {
                    let element = Item::new(i64::try_from(i).unwrap_or(i64::MAX));
                    if self.iteration(branch, Item::invalid(), element)? == Flow::Break {
                        break;
                    }
                }
            }
        }
        Ok(Flow::Next)
    }

    /// Runs the body once. With one variable it gets the element, with two also the index.
    fn iteration(&mut self, branch: &'t Branch, index: Item, element: Item) -> Run<Flow> {
        self.step()?;
        let mark = self.variables.len();
        match branch.pipe.variables.as_slice() {
            [] => {}
            [only] => self.set(branch, only, mark, 1, element.clone())?,
            [first, second, ..] => {
                self.set(branch, first, mark, 2, index)?;
                self.set(branch, second, mark, 1, element.clone())?;
            }
        }
        let flow = self.body(&element, &branch.body)?;
        self.variables.truncate(mark);
        Ok(flow)
    }

    /// Sets a variable of a `range`: the one declared `from_top` below `mark`, or an outer one.
    fn set(&mut self, branch: &Branch, name: &str, mark: usize, from_top: usize, item: Item) -> Run<()> {
        if branch.pipe.assigns {
            return self.assign(name, item);
        }
        self.variables[mark - from_top].1 = item;
        Ok(())
    }

    fn call_template(&mut self, dot: &Item, call: &'t TemplateCall) -> Run<()> {
        self.at(At::Call(call));
        let Some((name, body)) = self.template.trees.get_key_value(&call.name) else {
            return self.fail(format!("template {} not defined", quote(&call.name)));
        };
        let dot = match &call.pipe {
            Some(pipe) => self.pipeline(dot, pipe)?,
            None => Item::invalid(),
        };
        // The called template sees none of the caller's variables.
        let variables = std::mem::replace(&mut self.variables, vec![("$", dot.clone())]);
        let current = std::mem::replace(&mut self.current, name);
        self.body(&dot, body)?;
        self.current = current;
        self.variables = variables;
        Ok(())
    }
}
