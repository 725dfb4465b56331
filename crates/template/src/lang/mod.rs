//! The template language: tokens, syntax tree, parser.

mod ast;
mod expression;
mod lexer;
mod literal;
mod parser;

pub(crate) use ast::{Branch, BranchKind, Command, Node, NumberLiteral, Operand, Pipe, TemplateCall};
pub(crate) use literal::float as parse_float;
pub(crate) use parser::{Trees, parse};

/// A template text that does not parse.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("template: {name}:{line}: {message}")]
pub struct ParseError {
    /// The name of the template; empty for anonymous ones.
    pub name: String,
    /// The line of the last token that was read, counted from one.
    pub line: usize,
    /// What is wrong, in Go's words.
    pub message: String,
}
