//! Parses what stands inside of actions: pipelines, commands, operands.

use super::ast::{Command, NumberLiteral, Operand, Pipe};
use super::lexer::{Kind, Token};
use super::literal;
use super::parser::{Parsed, Parser};
use crate::gofmt::quote;

impl Parser<'_> {
    pub(super) fn pipeline(&mut self, context: &str, end: Kind) -> Parsed<Pipe> {
        let pos = self.peek_non_space().pos;
        let mut pipe = Pipe { pos, assigns: false, variables: Vec::new(), commands: Vec::new() };
        self.declarations(&mut pipe, context)?;
        loop {
            let token = self.next_non_space();
            match token.kind {
                kind if kind == end => {
                    self.check_pipeline(&pipe, context)?;
                    return Ok(pipe);
                }
                Kind::Bool
                | Kind::CharConstant
                | Kind::Complex
                | Kind::Dot
                | Kind::Field
                | Kind::Identifier
                | Kind::Number
                | Kind::Nil
                | Kind::RawString
                | Kind::String
                | Kind::Variable
                | Kind::LeftParen => {
                    self.back(token);
                    let command = self.command()?;
                    pipe.commands.push(command);
                }
                _ => return self.unexpected(&token, context),
            }
        }
    }

    /// `$x :=`, `$x =`, and `$i, $e :=` for `range`.
    fn declarations(&mut self, pipe: &mut Pipe, context: &str) -> Parsed<()> {
        while self.peek_non_space().kind == Kind::Variable {
            let variable = self.next();
            // A space is a token of its own and must be put back too if this is an argument.
            let after = self.next();
            let next = if after.kind == Kind::Space { self.next_non_space() } else { after.clone() };
            match next.kind {
                Kind::Assign | Kind::Declare => {
                    pipe.assigns = next.kind == Kind::Assign;
                    self.declare(pipe, variable);
                    return Ok(());
                }
                Kind::Char if next.text == "," => {
                    self.declare(pipe, variable);
                    if context != "range" || pipe.variables.len() > 1 {
                        return self.error(format!("too many declarations in {context}"));
                    }
                    let follows = self.peek_non_space().kind;
                    if !matches!(follows, Kind::Variable | Kind::RightDelim | Kind::RightParen) {
                        return self.error("range can only initialize variables");
                    }
                }
                _ => {
                    self.back(next);
                    if after.kind == Kind::Space {
                        self.back(after);
                    }
                    self.back(variable);
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    fn declare(&mut self, pipe: &mut Pipe, variable: Token) {
        self.scope.variables.push(variable.text.clone());
        pipe.variables.push(variable.text);
    }

    fn check_pipeline(&self, pipe: &Pipe, context: &str) -> Parsed<()> {
        if pipe.commands.is_empty() {
            return self.error(format!("missing value for {context}"));
        }
        for (i, command) in pipe.commands.iter().enumerate().skip(1) {
            if let Operand::Bool { .. } | Operand::Dot { .. } | Operand::Nil { .. } | Operand::Number { .. } | Operand::Text { .. } =
                command.words[0]
            {
                return self.error(format!("non executable command in pipeline stage {}", i + 1));
            }
        }
        Ok(())
    }

    /// Operands up to a pipe, which is consumed, or to the end of the pipeline, which is not.
    fn command(&mut self) -> Parsed<Command> {
        let pos = self.peek_non_space().pos;
        let mut words = Vec::new();
        loop {
            self.peek_non_space();
            if let Some(operand) = self.operand()? {
                words.push(operand);
            }
            let token = self.next();
            match token.kind {
                Kind::Space => continue,
                Kind::RightDelim | Kind::RightParen => self.back(token),
                Kind::Pipe => {}
                _ => return self.unexpected(&token, "operand"),
            }
            break;
        }
        if words.is_empty() {
            return self.error("empty command");
        }
        Ok(Command { pos, words })
    }

    /// A term and the fields behind it, if an operand is next.
    fn operand(&mut self) -> Parsed<Option<Operand>> {
        let Some(term) = self.term()? else {
            return Ok(None);
        };
        if self.peek().kind != Kind::Field {
            return Ok(Some(term));
        }
        let pos = self.peek().pos;
        let mut chain = Vec::new();
        while self.peek().kind == Kind::Field {
            chain.push(self.next().text[1..].to_string());
        }
        Ok(Some(match term {
            Operand::Field { mut names, .. } => {
                names.append(&mut chain);
                Operand::Field { pos, names }
            }
            Operand::Variable { mut names, .. } => {
                names.append(&mut chain);
                Operand::Variable { pos, names }
            }
            Operand::Bool { .. } | Operand::Text { .. } | Operand::Number { .. } | Operand::Nil { .. } | Operand::Dot { .. } => {
                let shown = quote(&term.to_string());
                return self.error(format!("unexpected . after term {shown}"));
            }
            term => Operand::Chain { pos, inner: Box::new(term), names: chain },
        }))
    }

    fn term(&mut self) -> Parsed<Option<Operand>> {
        let token = self.next_non_space();
        let pos = token.pos;
        Ok(Some(match token.kind {
            Kind::Identifier => {
                if !(self.is_function)(&token.text) {
                    return self.error(format!("function {} not defined", quote(&token.text)));
                }
                Operand::Identifier { pos, name: token.text }
            }
            Kind::Dot => Operand::Dot { pos },
            Kind::Nil => Operand::Nil { pos },
            Kind::Variable => {
                if !self.scope.variables.contains(&token.text) {
                    return self.error(format!("undefined variable {}", quote(&token.text)));
                }
                Operand::Variable { pos, names: vec![token.text] }
            }
            Kind::Field => Operand::Field { pos, names: vec![token.text[1..].to_string()] },
            Kind::Bool => Operand::Bool { pos, value: token.text == "true" },
            Kind::CharConstant | Kind::Complex | Kind::Number => Operand::Number { pos, number: self.number(&token)? },
            Kind::LeftParen => {
                let pipe = self.nested(|p| p.pipeline("parenthesized pipeline", Kind::RightParen))?;
                Operand::Pipe(Box::new(pipe))
            }
            Kind::String | Kind::RawString => {
                let text = literal::string(&token.text).or_else(|reason| self.error(reason))?;
                Operand::Text { pos, quoted: token.text, text }
            }
            _ => {
                self.back(token);
                return Ok(None);
            }
        }))
    }

    fn number(&self, token: &Token) -> Parsed<NumberLiteral> {
        literal::number(token.kind, &token.text).or_else(|reason| self.error(reason))
    }
}
