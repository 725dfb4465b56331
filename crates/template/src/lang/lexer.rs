//! Cuts a template text into tokens.

use crate::gofmt::{is_print, quote, unicode_point};

/// What a token is. Keywords are told apart because errors print them in angle brackets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The lexer gave up; the text is the reason.
    Error,
    Eof,
    Text,
    LeftDelim,
    RightDelim,
    Space,
    Bool,
    /// A character with no meaning of its own, such as a comma.
    Char,
    CharConstant,
    Complex,
    Assign,
    Declare,
    Field,
    Identifier,
    LeftParen,
    RightParen,
    Number,
    Pipe,
    RawString,
    String,
    Variable,
    Dot,
    Nil,
    Block,
    Break,
    Continue,
    Define,
    Else,
    End,
    If,
    Range,
    Template,
    With,
}

impl Kind {
    fn of_word(word: &str) -> Option<Kind> {
        Some(match word {
            "." => Kind::Dot,
            "nil" => Kind::Nil,
            "block" => Kind::Block,
            "break" => Kind::Break,
            "continue" => Kind::Continue,
            "define" => Kind::Define,
            "else" => Kind::Else,
            "end" => Kind::End,
            "if" => Kind::If,
            "range" => Kind::Range,
            "template" => Kind::Template,
            "with" => Kind::With,
            "true" | "false" => Kind::Bool,
            _ => return None,
        })
    }

    fn is_keyword(self) -> bool {
        matches!(
            self,
            Kind::Dot
                | Kind::Nil
                | Kind::Block
                | Kind::Break
                | Kind::Continue
                | Kind::Define
                | Kind::Else
                | Kind::End
                | Kind::If
                | Kind::Range
                | Kind::Template
                | Kind::With
        )
    }
}

/// A piece of the template text, or the reason why there are no more.
#[derive(Clone, Debug)]
pub(crate) struct Token {
    pub(crate) kind: Kind,
    /// Where it starts, in bytes.
    pub(crate) pos: usize,
    pub(crate) text: String,
    /// The line it starts on, counted from one.
    pub(crate) line: usize,
}

impl Token {
    /// How error messages show the token.
    pub(crate) fn shown(&self) -> String {
        match self.kind {
            Kind::Eof => "EOF".into(),
            Kind::Error => self.text.clone(),
            kind if kind.is_keyword() => format!("<{}>", self.text),
            _ if self.text.len() > 10 => {
                let cut: String = self.text.chars().take(10).collect();
                format!("{}...", quote(&cut))
            }
            _ => quote(&self.text),
        }
    }
}

const LEFT: &str = "{{";
const RIGHT: &str = "}}";
const LEFT_COMMENT: &str = "/*";
const RIGHT_COMMENT: &str = "*/";
/// The trim marker with the space that must be next to it.
const MARKER_LEN: usize = 2;

/// Produces tokens one at a time. After an [`Kind::Error`] or [`Kind::Eof`] it repeats the end.
pub(crate) struct Lexer<'t> {
    input: &'t str,
    pos: usize,
    start: usize,
    start_line: usize,
    line: usize,
    inside_action: bool,
    paren_depth: usize,
    failed: bool,
}

impl<'t> Lexer<'t> {
    pub(crate) fn new(input: &'t str) -> Lexer<'t> {
        Lexer { input, pos: 0, start: 0, start_line: 1, line: 1, inside_action: false, paren_depth: 0, failed: false }
    }

    pub(crate) fn next_token(&mut self) -> Token {
        if self.failed {
            return self.token(Kind::Eof);
        }
        if self.inside_action { self.inside() } else { self.text() }
    }

    fn rest(&self) -> &'t str {
        &self.input[self.pos..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn bump(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.pos += c.len_utf8();
        if c == '\n' {
            self.line += 1;
        }
        Some(c)
    }

    /// Moves over `len` bytes without making a token of them yet.
    fn skip(&mut self, len: usize) {
        let passed = &self.input[self.pos..self.pos + len];
        self.line += passed.bytes().filter(|b| *b == b'\n').count();
        self.pos += len;
    }

    fn ignore(&mut self) {
        self.start = self.pos;
        self.start_line = self.line;
    }

    fn token(&mut self, kind: Kind) -> Token {
        let token = Token { kind, pos: self.start, text: self.input[self.start..self.pos].to_string(), line: self.start_line };
        self.ignore();
        token
    }

    fn fail(&mut self, message: impl Into<String>) -> Token {
        self.failed = true;
        let token = Token { kind: Kind::Error, pos: self.start, text: message.into(), line: self.start_line };
        self.pos = self.input.len();
        self.ignore();
        token
    }

    /// Outside of actions: text up to the next `{{`, then the delimiter itself.
    fn text(&mut self) -> Token {
        loop {
            let Some(len) = self.rest().find(LEFT) else {
                self.skip(self.rest().len());
                let kind = if self.pos > self.start { Kind::Text } else { Kind::Eof };
                return self.token(kind);
            };
            if len > 0 {
                let text = &self.rest()[..len];
                let trimmed = if has_left_marker(&self.rest()[len + LEFT.len()..]) { text.trim_end_matches(is_space).len() } else { len };
                self.skip(trimmed);
                let token = self.token(Kind::Text);
                self.skip(len - trimmed);
                self.ignore();
                if !token.text.is_empty() {
                    return token;
                }
            }
            if let Some(token) = self.left_delim() {
                return token;
            }
        }
    }

    /// The `{{` that is next; `None` after a comment, which leaves nothing behind.
    fn left_delim(&mut self) -> Option<Token> {
        self.skip(LEFT.len());
        let marker = if has_left_marker(self.rest()) { MARKER_LEN } else { 0 };
        if self.rest()[marker..].starts_with(LEFT_COMMENT) {
            self.skip(marker);
            self.ignore();
            return self.comment();
        }
        let token = self.token(Kind::LeftDelim);
        self.inside_action = true;
        self.paren_depth = 0;
        self.skip(marker);
        self.ignore();
        Some(token)
    }

    fn comment(&mut self) -> Option<Token> {
        let Some(len) = self.rest()[LEFT_COMMENT.len()..].find(RIGHT_COMMENT) else {
            return Some(self.fail("unclosed comment"));
        };
        self.skip(LEFT_COMMENT.len() + len + RIGHT_COMMENT.len());
        let Some(trims) = self.at_right_delim() else {
            return Some(self.fail("comment ends before closing delimiter"));
        };
        self.close(trims);
        self.ignore();
        None
    }

    /// Whether `}}` or ` -}}` is next, and if so whether it trims the text behind it.
    fn at_right_delim(&self) -> Option<bool> {
        let rest = self.rest();
        if has_right_marker(rest) && rest[MARKER_LEN..].starts_with(RIGHT) {
            return Some(true);
        }
        rest.starts_with(RIGHT).then_some(false)
    }

    /// Moves over a closing delimiter and the white space it trims.
    fn close(&mut self, trims: bool) {
        if trims {
            self.skip(MARKER_LEN + RIGHT.len());
            let rest = self.rest();
            self.skip(rest.len() - rest.trim_start_matches(is_space).len());
        } else {
            self.skip(RIGHT.len());
        }
    }

    fn right_delim(&mut self, trims: bool) -> Token {
        if trims {
            self.skip(MARKER_LEN);
            self.ignore();
        }
        self.skip(RIGHT.len());
        let token = self.token(Kind::RightDelim);
        if trims {
            let rest = self.rest();
            self.skip(rest.len() - rest.trim_start_matches(is_space).len());
            self.ignore();
        }
        self.inside_action = false;
        token
    }

    fn inside(&mut self) -> Token {
        if let Some(trims) = self.at_right_delim() {
            if self.paren_depth == 0 {
                return self.right_delim(trims);
            }
            return self.fail("unclosed left paren");
        }
        let Some(c) = self.peek() else {
            return self.fail("unclosed action");
        };
        match c {
            _ if is_space(c) => self.space(),
            '=' => self.single(Kind::Assign),
            ':' => {
                self.bump();
                if self.bump() == Some('=') { self.token(Kind::Declare) } else { self.fail("expected :=") }
            }
            '|' => self.single(Kind::Pipe),
            '"' => self.quoted('"', Kind::String, "unterminated quoted string"),
            '\'' => self.quoted('\'', Kind::CharConstant, "unterminated character constant"),
            '`' => self.raw_string(),
            '$' => self.word(Kind::Variable),
            '.' if !self.rest()[1..].starts_with(|d: char| d.is_ascii_digit()) && self.rest().len() > 1 => self.word(Kind::Field),
            '+' | '-' | '.' | '0'..='9' => self.number(),
            _ if is_alphanumeric(c) => self.identifier(),
            '(' => {
                self.paren_depth += 1;
                self.single(Kind::LeftParen)
            }
            ')' if self.paren_depth == 0 => self.fail("unexpected right paren"),
            ')' => {
                self.paren_depth -= 1;
                self.single(Kind::RightParen)
            }
            _ if c.is_ascii() && is_print(c) => self.single(Kind::Char),
            _ => self.fail(format!("unrecognized character in action: {}", unicode_point(c))),
        }
    }

    fn single(&mut self, kind: Kind) -> Token {
        self.bump();
        self.token(kind)
    }

    /// A run of white space. Its last character may belong to a closing ` -}}`.
    fn space(&mut self) -> Token {
        let rest = self.rest();
        let len = rest.len() - rest.trim_start_matches(is_space).len();
        let last = rest[..len].chars().next_back().map_or(0, char::len_utf8);
        let tail = &rest[len - last..];
        if has_right_marker(tail) && tail[MARKER_LEN..].starts_with(RIGHT) {
            if len == last {
                return self.right_delim(true);
            }
            self.skip(len - last);
        } else {
            self.skip(len);
        }
        self.token(Kind::Space)
    }

    /// A field or variable whose first character is known to be there.
    fn word(&mut self, kind: Kind) -> Token {
        self.bump();
        if self.at_terminator() {
            return self.token(if kind == Kind::Field { Kind::Dot } else { kind });
        }
        while self.peek().is_some_and(is_alphanumeric) {
            self.bump();
        }
        self.terminated(kind)
    }

    fn identifier(&mut self) -> Token {
        while self.peek().is_some_and(is_alphanumeric) {
            self.bump();
        }
        let kind = Kind::of_word(&self.input[self.start..self.pos]).unwrap_or(Kind::Identifier);
        self.terminated(kind)
    }

    /// The token read so far, if what follows can stand behind a word.
    fn terminated(&mut self, kind: Kind) -> Token {
        if self.at_terminator() {
            return self.token(kind);
        }
        let shown = self.peek().map_or_else(String::new, unicode_point);
        self.fail(format!("bad character {shown}"))
    }

    fn at_terminator(&self) -> bool {
        match self.peek() {
            None | Some('.' | ',' | '|' | ':' | '(' | ')') => true,
            Some(c) if is_space(c) => true,
            Some(_) => self.rest().starts_with(RIGHT),
        }
    }

    fn quoted(&mut self, end: char, kind: Kind, unterminated: &str) -> Token {
        self.bump();
        loop {
            match self.bump() {
                Some('\\') if !matches!(self.peek(), None | Some('\n')) => {
                    self.bump();
                }
                None | Some('\\' | '\n') => return self.fail(unterminated),
                Some(c) if c == end => return self.token(kind),
                Some(_) => {}
            }
        }
    }

    fn raw_string(&mut self) -> Token {
        self.bump();
        loop {
            match self.bump() {
                None => return self.fail("unterminated raw quoted string"),
                Some('`') => return self.token(Kind::RawString),
                Some(_) => {}
            }
        }
    }

    /// A number; whether it means anything is for the parser to say.
    fn number(&mut self) -> Token {
        if !self.scan_number() {
            return self.bad_number();
        }
        if matches!(self.peek(), Some('+' | '-')) {
            // Complex: 1+2i, no spaces, and it must end in i.
            if !self.scan_number() || !self.input[..self.pos].ends_with('i') {
                return self.bad_number();
            }
            return self.token(Kind::Complex);
        }
        self.token(Kind::Number)
    }

    fn bad_number(&mut self) -> Token {
        let text = quote(&self.input[self.start..self.pos]);
        self.fail(format!("bad number syntax: {text}"))
    }

    fn scan_number(&mut self) -> bool {
        const DECIMAL: &str = "0123456789_";
        const HEX: &str = "0123456789abcdefABCDEF_";
        self.accept("+-");
        let mut digits = DECIMAL;
        if self.accept("0") {
            if self.accept("xX") {
                digits = HEX;
            } else if self.accept("oO") {
                digits = "01234567_";
            } else if self.accept("bB") {
                digits = "01_";
            }
        }
        self.accept_run(digits);
        if self.accept(".") {
            self.accept_run(digits);
        }
        if (digits == DECIMAL && self.accept("eE")) || (digits == HEX && self.accept("pP")) {
            self.accept("+-");
            self.accept_run(DECIMAL);
        }
        self.accept("i");
        if self.peek().is_some_and(is_alphanumeric) {
            self.bump();
            return false;
        }
        true
    }

    fn accept(&mut self, valid: &str) -> bool {
        let accepted = self.peek().is_some_and(|c| valid.contains(c));
        if accepted {
            self.bump();
        }
        accepted
    }

    fn accept_run(&mut self, valid: &str) {
        while self.accept(valid) {}
    }
}

fn has_left_marker(text: &str) -> bool {
    let mut chars = text.chars();
    chars.next() == Some('-') && chars.next().is_some_and(is_space)
}

fn has_right_marker(text: &str) -> bool {
    let mut chars = text.chars();
    chars.next().is_some_and(is_space) && chars.next() == Some('-')
}

fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r' | '\n')
}

fn is_alphanumeric(c: char) -> bool {
    c == '_' || c.is_alphanumeric()
}
