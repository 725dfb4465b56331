//! The syntax tree. Nodes know where they start and can be printed as error messages show them.

use std::fmt;

use crate::gofmt::quote;

/// Something between delimiters, or the text between actions.
#[derive(Debug)]
pub(crate) enum Node {
    Text { pos: usize, text: String },
    Action { pos: usize, pipe: Pipe },
    Branch(Box<Branch>),
    Template(TemplateCall),
    Break { pos: usize },
    Continue { pos: usize },
}

/// A `{{template}}` action, or the call a `{{block}}` leaves behind.
#[derive(Debug)]
pub(crate) struct TemplateCall {
    pub(crate) pos: usize,
    pub(crate) name: String,
    pub(crate) pipe: Option<Pipe>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BranchKind {
    If,
    With,
    Range,
}

/// `if`, `with` or `range` with its bodies.
#[derive(Debug)]
pub(crate) struct Branch {
    pub(crate) kind: BranchKind,
    pub(crate) pos: usize,
    pub(crate) pipe: Pipe,
    pub(crate) body: Vec<Node>,
    pub(crate) else_body: Option<Vec<Node>>,
}

/// Commands joined by `|`, possibly assigned to variables.
#[derive(Debug)]
pub(crate) struct Pipe {
    pub(crate) pos: usize,
    /// `=` rather than `:=`.
    pub(crate) assigns: bool,
    /// Names with their dollar sign.
    pub(crate) variables: Vec<String>,
    pub(crate) commands: Vec<Command>,
}

/// A function or value with its arguments.
#[derive(Debug)]
pub(crate) struct Command {
    pub(crate) pos: usize,
    /// Never empty.
    pub(crate) words: Vec<Operand>,
}

#[derive(Debug)]
pub(crate) enum Operand {
    Dot {
        pos: usize,
    },
    Nil {
        pos: usize,
    },
    Bool {
        pos: usize,
        value: bool,
    },
    Number {
        pos: usize,
        number: NumberLiteral,
    },
    Text {
        pos: usize,
        quoted: String,
        text: String,
    },
    Identifier {
        pos: usize,
        name: String,
    },
    /// `.A.B`: the names without dots.
    Field {
        pos: usize,
        names: Vec<String>,
    },
    /// `$x.A.B`: the variable with its dollar sign, then the names.
    Variable {
        pos: usize,
        names: Vec<String>,
    },
    /// `(pipeline).A.B`
    Chain {
        pos: usize,
        inner: Box<Operand>,
        names: Vec<String>,
    },
    Pipe(Box<Pipe>),
}

/// A number under every type that can represent it, as Go's ideal constants are.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct NumberLiteral {
    pub(crate) text: String,
    pub(crate) int: Option<i64>,
    pub(crate) uint: Option<u64>,
    pub(crate) float: Option<f64>,
    pub(crate) complex: Option<(f64, f64)>,
}

impl Operand {
    pub(crate) fn pos(&self) -> usize {
        match self {
            Operand::Dot { pos }
            | Operand::Nil { pos }
            | Operand::Bool { pos, .. }
            | Operand::Number { pos, .. }
            | Operand::Text { pos, .. }
            | Operand::Identifier { pos, .. }
            | Operand::Field { pos, .. }
            | Operand::Variable { pos, .. }
            | Operand::Chain { pos, .. } => *pos,
            Operand::Pipe(pipe) => pipe.pos,
        }
    }
}

/// Whether a body has nothing in it that could produce output.
pub(crate) fn is_empty_body(nodes: &[Node]) -> bool {
    nodes.iter().all(|node| matches!(node, Node::Text { text, .. } if text.trim().is_empty()))
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Node::Text { text, .. } => f.write_str(text),
            Node::Action { pipe, .. } => write!(f, "{{{{{pipe}}}}}"),
            Node::Branch(branch) => branch.fmt(f),
            Node::Template(call) => call.fmt(f),
            Node::Break { .. } => f.write_str("{{break}}"),
            Node::Continue { .. } => f.write_str("{{continue}}"),
        }
    }
}

impl fmt::Display for TemplateCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{{{{template {}", quote(&self.name))?;
        if let Some(pipe) = &self.pipe {
            write!(f, " {pipe}")?;
        }
        f.write_str("}}")
    }
}

impl fmt::Display for Branch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = match self.kind {
            BranchKind::If => "if",
            BranchKind::With => "with",
            BranchKind::Range => "range",
        };
        write!(f, "{{{{{word} {}}}}}", self.pipe)?;
        self.body.iter().try_for_each(|node| node.fmt(f))?;
        if let Some(body) = &self.else_body {
            f.write_str("{{else}}")?;
            body.iter().try_for_each(|node| node.fmt(f))?;
        }
        f.write_str("{{end}}")
    }
}

impl fmt::Display for Pipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.variables.is_empty() {
            let sign = if self.assigns { "=" } else { ":=" };
            write!(f, "{} {sign} ", self.variables.join(", "))?;
        }
        for (i, command) in self.commands.iter().enumerate() {
            if i > 0 {
                f.write_str(" | ")?;
            }
            command.fmt(f)?;
        }
        Ok(())
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, word) in self.words.iter().enumerate() {
            if i > 0 {
                f.write_str(" ")?;
            }
            match word {
                Operand::Pipe(pipe) => write!(f, "({pipe})")?,
                word => word.fmt(f)?,
            }
        }
        Ok(())
    }
}

impl fmt::Display for Operand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Operand::Dot { .. } => f.write_str("."),
            Operand::Nil { .. } => f.write_str("nil"),
            Operand::Bool { value, .. } => value.fmt(f),
            Operand::Number { number, .. } => f.write_str(&number.text),
            Operand::Text { quoted, .. } => f.write_str(quoted),
            Operand::Identifier { name, .. } => f.write_str(name),
            Operand::Field { names, .. } => names.iter().try_for_each(|name| write!(f, ".{name}")),
            Operand::Variable { names, .. } => f.write_str(&names.join(".")),
            Operand::Chain { inner, names, .. } => {
                match &**inner {
                    Operand::Pipe(pipe) => write!(f, "({pipe})")?,
                    inner => inner.fmt(f)?,
                }
                names.iter().try_for_each(|name| write!(f, ".{name}"))
            }
            Operand::Pipe(pipe) => pipe.fmt(f),
        }
    }
}
