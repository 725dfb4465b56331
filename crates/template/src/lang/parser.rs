//! Builds syntax trees from tokens, with Go's error messages.

use std::collections::BTreeMap;

use super::ParseError;
use super::ast::{Branch, BranchKind, Node, TemplateCall, is_empty_body};
use super::lexer::{Kind, Lexer, Token};
use super::literal;
use crate::gofmt::quote;

/// How deep controls, blocks and parentheses may nest in one another. Reading and running a
/// template recurses on this depth, so it bounds the stack that hostile text can take.
const NESTING_MAX: usize = 200;

/// The bodies of a template and of those defined in it, by name.
pub(crate) type Trees = BTreeMap<String, Vec<Node>>;

/// Parses `text` as the template `name`. `is_function` tells which names can be called.
///
/// # Errors
/// The first thing that is wrong.
pub(crate) fn parse(name: &str, text: &str, is_function: &dyn Fn(&str) -> bool) -> Result<Trees, ParseError> {
    let mut parser = Parser {
        name,
        lexer: Lexer::new(text),
        ahead: Vec::new(),
        last_line: 1,
        scope: Scope::new(),
        nesting: 0,
        trees: Trees::new(),
        is_function,
    };
    let body = parser.top_level()?;
    parser.add(name, body)?;
    Ok(parser.trees)
}

/// What a template body knows by itself; `define` and `block` start with a new one.
pub(super) struct Scope {
    pub(super) variables: Vec<String>,
    range_depth: usize,
    /// The line the current action started on, 0 outside of actions.
    action_line: usize,
}

impl Scope {
    fn new() -> Scope {
        Scope { variables: vec!["$".into()], range_depth: 0, action_line: 0 }
    }
}

pub(super) struct Parser<'t> {
    name: &'t str,
    lexer: Lexer<'t>,
    /// Tokens to read again before new ones, the next one last.
    ahead: Vec<Token>,
    /// The line of the last token the lexer gave, for errors.
    last_line: usize,
    pub(super) scope: Scope,
    nesting: usize,
    trees: Trees,
    pub(super) is_function: &'t dyn Fn(&str) -> bool,
}

/// What ends a list of nodes.
enum Terminator {
    End,
    Else,
}

impl Terminator {
    fn shown(&self) -> &'static str {
        match self {
            Terminator::End => "{{end}}",
            Terminator::Else => "{{else}}",
        }
    }
}

/// A node, or the `{{end}}` or `{{else}}` that stands where one could.
enum Item {
    Node(Node),
    Terminator(Terminator),
}

pub(super) type Parsed<T> = Result<T, ParseError>;

impl Parser<'_> {
    pub(super) fn next(&mut self) -> Token {
        if let Some(token) = self.ahead.pop() {
            return token;
        }
        let token = self.lexer.next_token();
        self.last_line = token.line;
        token
    }

    pub(super) fn back(&mut self, token: Token) {
        self.ahead.push(token);
    }

    pub(super) fn peek(&mut self) -> &Token {
        if self.ahead.is_empty() {
            let token = self.next();
            self.ahead.push(token);
        }
        &self.ahead[self.ahead.len() - 1]
    }

    pub(super) fn next_non_space(&mut self) -> Token {
        loop {
            let token = self.next();
            if token.kind != Kind::Space {
                return token;
            }
        }
    }

    pub(super) fn peek_non_space(&mut self) -> &Token {
        let token = self.next_non_space();
        self.back(token);
        self.peek()
    }

    pub(super) fn error<T>(&self, message: impl Into<String>) -> Parsed<T> {
        Err(ParseError { name: self.name.to_string(), line: self.last_line, message: message.into() })
    }

    pub(super) fn unexpected<T>(&self, token: &Token, context: &str) -> Parsed<T> {
        if token.kind != Kind::Error {
            return self.error(format!("unexpected {} in {context}", token.shown()));
        }
        let mut message = token.text.clone();
        let started = self.scope.action_line;
        if started != 0 && started != token.line {
            // Not "unclosed action in action started at".
            let place = if message.ends_with(" action") { " started at" } else { " in action started at" };
            message = format!("{message}{place} {}:{started}", self.name);
        }
        self.error(message)
    }

    fn expect(&mut self, kind: Kind, context: &str) -> Parsed<Token> {
        let token = self.next_non_space();
        if token.kind == kind { Ok(token) } else { self.unexpected(&token, context) }
    }

    /// Runs `parse` one level deeper.
    pub(super) fn nested<T>(&mut self, parse: impl FnOnce(&mut Self) -> Parsed<T>) -> Parsed<T> {
        if self.nesting == NESTING_MAX {
            return self.error(format!("exceeded maximum nesting depth ({NESTING_MAX})"));
        }
        self.nesting += 1;
        let result = parse(self);
        self.nesting -= 1;
        result
    }

    /// Runs `parse` in the scope of a template of its own.
    fn in_new_scope<T>(&mut self, parse: impl FnOnce(&mut Self) -> Parsed<T>) -> Parsed<T> {
        let outer = std::mem::replace(&mut self.scope, Scope::new());
        let result = self.nested(parse);
        self.scope = outer;
        result
    }

    fn add(&mut self, name: &str, body: Vec<Node>) -> Parsed<()> {
        match self.trees.get(name) {
            Some(existing) if !is_empty_body(existing) => {
                if is_empty_body(&body) {
                    return Ok(());
                }
                self.error(format!("template: multiple definition of template {}", quote(name)))
            }
            _ => {
                self.trees.insert(name.to_string(), body);
                Ok(())
            }
        }
    }

    fn top_level(&mut self) -> Parsed<Vec<Node>> {
        let mut body = Vec::new();
        while self.peek().kind != Kind::Eof {
            if self.peek().kind == Kind::LeftDelim {
                let delim = self.next();
                let token = self.next_non_space();
                if token.kind == Kind::Define {
                    self.in_new_scope(Self::definition)?;
                    continue;
                }
                self.back(token);
                self.back(delim);
            }
            match self.text_or_action()? {
                Item::Node(node) => body.push(node),
                Item::Terminator(end) => {
                    return self.error(format!("unexpected {}", end.shown()));
                }
            }
        }
        Ok(body)
    }

    fn definition(&mut self) -> Parsed<()> {
        const CONTEXT: &str = "define clause";
        let token = self.next_non_space();
        let name = self.template_name(&token, CONTEXT)?;
        self.expect(Kind::RightDelim, CONTEXT)?;
        let (body, end) = self.item_list()?;
        if !matches!(end, Terminator::End) {
            return self.error(format!("unexpected {} in {CONTEXT}", end.shown()));
        }
        self.add(&name, body)
    }

    /// Nodes up to an `{{end}}` or `{{else}}`.
    fn item_list(&mut self) -> Parsed<(Vec<Node>, Terminator)> {
        let mut list = Vec::new();
        while self.peek_non_space().kind != Kind::Eof {
            match self.text_or_action()? {
                Item::Node(node) => list.push(node),
                Item::Terminator(end) => return Ok((list, end)),
            }
        }
        self.error("unexpected EOF")
    }

    fn text_or_action(&mut self) -> Parsed<Item> {
        let token = self.next_non_space();
        match token.kind {
            Kind::Text => Ok(Item::Node(Node::Text { pos: token.pos, text: token.text })),
            Kind::LeftDelim => {
                self.scope.action_line = token.line;
                let item = self.action();
                if item.is_ok() {
                    self.scope.action_line = 0;
                }
                item
            }
            _ => self.unexpected(&token, "input"),
        }
    }

    fn action(&mut self) -> Parsed<Item> {
        let token = self.next_non_space();
        let node = match token.kind {
            Kind::End => {
                self.expect(Kind::RightDelim, "end")?;
                return Ok(Item::Terminator(Terminator::End));
            }
            Kind::Else => return self.else_control(),
            Kind::Block => self.block()?,
            Kind::Break => {
                self.leave_range("{{break}}")?;
                Node::Break { pos: token.pos }
            }
            Kind::Continue => {
                self.leave_range("{{continue}}")?;
                Node::Continue { pos: token.pos }
            }
            Kind::If => self.nested(|p| p.control(BranchKind::If))?,
            Kind::Range => self.nested(|p| p.control(BranchKind::Range))?,
            Kind::With => self.nested(|p| p.control(BranchKind::With))?,
            Kind::Template => self.template_call()?,
            _ => {
                let pos = token.pos;
                self.back(token);
                // Variables declared here last until the enclosing "end".
                Node::Action { pos, pipe: self.pipeline("command", Kind::RightDelim)? }
            }
        };
        Ok(Item::Node(node))
    }

    fn leave_range(&mut self, word: &str) -> Parsed<()> {
        self.expect(Kind::RightDelim, word)?;
        if self.scope.range_depth == 0 {
            return self.error(format!("{word} outside {{{{range}}}}"));
        }
        Ok(())
    }

    fn else_control(&mut self) -> Parsed<Item> {
        // "else if" and "else with" leave their second word to the control they belong to.
        if !matches!(self.peek_non_space().kind, Kind::If | Kind::With) {
            self.expect(Kind::RightDelim, "else")?;
        }
        Ok(Item::Terminator(Terminator::Else))
    }

    fn control(&mut self, kind: BranchKind) -> Parsed<Node> {
        let context = match kind {
            BranchKind::If => "if",
            BranchKind::With => "with",
            BranchKind::Range => "range",
        };
        let variables = self.scope.variables.len();
        let pipe = self.pipeline(context, Kind::RightDelim)?;
        if kind == BranchKind::Range {
            self.scope.range_depth += 1;
        }
        let (body, end) = self.item_list()?;
        if kind == BranchKind::Range {
            self.scope.range_depth -= 1;
        }
        let else_body = match end {
            Terminator::End => None,
            Terminator::Else => Some(self.else_body(kind)?),
        };
        self.scope.variables.truncate(variables);
        Ok(Node::Branch(Box::new(Branch { kind, pos: pipe.pos, pipe, body, else_body })))
    }

    /// What follows an `{{else}}`, or `{{else if}}` as if it were an `if` nested in it.
    fn else_body(&mut self, kind: BranchKind) -> Parsed<Vec<Node>> {
        let same = match kind {
            BranchKind::If => Kind::If,
            BranchKind::With => Kind::With,
            BranchKind::Range => Kind::RightDelim, // Has no such form; never next here.
        };
        if self.peek().kind == same {
            self.next();
            return Ok(vec![self.nested(|p| p.control(kind))?]);
        }
        let (body, end) = self.item_list()?;
        match end {
            Terminator::End => Ok(body),
            Terminator::Else => self.error(format!("expected end; found {}", end.shown())),
        }
    }

    fn block(&mut self) -> Parsed<Node> {
        const CONTEXT: &str = "block clause";
        let token = self.next_non_space();
        let name = self.template_name(&token, CONTEXT)?;
        let pipe = self.pipeline(CONTEXT, Kind::RightDelim)?;
        let line = self.last_line;
        let (body, end) = self.in_new_scope(Self::item_list)?;
        if !matches!(end, Terminator::End) {
            self.last_line = line;
            return self.error(format!("unexpected {} in {CONTEXT}", end.shown()));
        }
        self.add(&name, body)?;
        Ok(Node::Template(TemplateCall { pos: token.pos, name, pipe: Some(pipe) }))
    }

    fn template_call(&mut self) -> Parsed<Node> {
        const CONTEXT: &str = "template clause";
        let token = self.next_non_space();
        let name = self.template_name(&token, CONTEXT)?;
        let next = self.next_non_space();
        let pipe = if next.kind == Kind::RightDelim {
            None
        } else {
            self.back(next);
            Some(self.pipeline(CONTEXT, Kind::RightDelim)?)
        };
        Ok(Node::Template(TemplateCall { pos: token.pos, name, pipe }))
    }

    fn template_name(&self, token: &Token, context: &str) -> Parsed<String> {
        match token.kind {
            Kind::String | Kind::RawString => literal::string(&token.text).or_else(|reason| self.error(reason)),
            _ => self.unexpected(token, context),
        }
    }
}
