//! `Sprintf`: reads the format, finds each verb its value.

use super::flags::Flags;
use super::printer::Printer;
use crate::value::Value;

/// Widths and precisions above this are refused, as Go does.
const NUMBER_MAX: i64 = 1_000_000;

pub(super) fn sprintf(format: &str, values: &[Value], bytes_max: usize) -> Option<String> {
    let mut state = State { rest: format, values, next: 0, reordered: false, good_index: true, printer: Printer::default() };
    let mut any_reordered = false;
    while let Some(at) = state.rest.find('%') {
        state.printer.push_str(&state.rest[..at]);
        state.rest = &state.rest[at + 1..];
        state.verb();
        any_reordered |= state.reordered;
        if state.printer.len() > bytes_max {
            return None;
        }
    }
    state.printer.push_str(state.rest);
    if !any_reordered && state.next < values.len() {
        state.extra();
    }
    let text = state.printer.into_text();
    (text.len() <= bytes_max).then_some(text)
}

struct State<'f> {
    rest: &'f str,
    values: &'f [Value],
    /// The value the next verb takes.
    next: usize,
    /// The current verb named its value: `%[1]d`.
    reordered: bool,
    good_index: bool,
    printer: Printer,
}

impl<'f> State<'f> {
    /// Prints one verb; the `%` is already read.
    fn verb(&mut self) {
        self.printer.flags = Flags::default();
        self.good_index = true;
        self.reordered = false;
        self.read_flags();
        let mut after_index = self.read_index();

        if self.take('*') {
            match self.star() {
                Some(width) => {
                    let flags = &mut self.printer.flags;
                    flags.width = Some(usize::try_from(width.unsigned_abs()).unwrap_or(0));
                    if width < 0 {
                        flags.minus = true;
                        flags.zero = false;
                    }
                }
                None => self.printer.push_str("%!(BADWIDTH)"),
            }
            after_index = false;
        } else {
            self.printer.flags.width = self.read_number();
            if after_index && self.printer.flags.width.is_some() {
                self.good_index = false; // "%[3]2d"
            }
        }

        if self.take('.') {
            if after_index {
                self.good_index = false; // "%[3].2d"
            }
            after_index = self.read_index();
            if self.take('*') {
                match self.star().and_then(|precision| usize::try_from(precision).ok()) {
                    Some(precision) => self.printer.flags.precision = Some(precision),
                    None => self.printer.push_str("%!(BADPREC)"),
                }
                after_index = false;
            } else {
                self.printer.flags.precision = Some(self.read_number().unwrap_or(0));
            }
        }
        if !after_index {
            self.read_index();
        }

        let Some(verb) = self.rest.chars().next() else {
            return self.printer.push_str("%!(NOVERB)");
        };
        self.rest = &self.rest[verb.len_utf8()..];
        match verb {
            '%' => self.printer.push('%'),
            _ if !self.good_index => self.problem(verb, "BADINDEX"),
            _ if self.next >= self.values.len() => self.problem(verb, "MISSING"),
            _ => {
                if matches!(verb, 'v' | 'w') {
                    let flags = &mut self.printer.flags;
                    flags.sharp_v = std::mem::take(&mut flags.sharp);
                    flags.plus_v = std::mem::take(&mut flags.plus);
                }
                let value = &self.values[self.next];
                self.next += 1;
                self.printer.print(value, verb);
            }
        }
    }

    fn problem(&mut self, verb: char, what: &str) {
        self.printer.push_str(&format!("%!{verb}({what})"));
    }

    fn read_flags(&mut self) {
        let flags = &mut self.printer.flags;
        for (at, c) in self.rest.char_indices() {
            match c {
                '#' => flags.sharp = true,
                '0' => flags.zero = true,
                '+' => flags.plus = true,
                '-' => flags.minus = true,
                ' ' => flags.space = true,
                _ => {
                    self.rest = &self.rest[at..];
                    return;
                }
            }
        }
        self.rest = "";
    }

    /// `[n]`: the next value is the n-th. Returns whether it was there and well formed.
    fn read_index(&mut self) -> bool {
        let Some(inner) = self.rest.strip_prefix('[') else {
            return false;
        };
        self.reordered = true;
        let Some(end) = inner.find(']') else {
            self.good_index = false;
            self.rest = inner;
            return false;
        };
        let number = &inner[..end];
        self.rest = &inner[end + 1..];
        let index = if number.bytes().all(|b| b.is_ascii_digit()) {
            number.parse::<usize>().ok().filter(|n| (1..=self.values.len()).contains(n))
        } else {
            None
        };
        match index {
            Some(index) => self.next = index - 1,
            None => self.good_index = false,
        }
        index.is_some()
    }

    /// The value of a `*`, if it is an integer of sensible size.
    fn star(&mut self) -> Option<i64> {
        let value = self.values.get(self.next)?;
        self.next += 1;
        let number = match value.basic() {
            Value::Int(n) => *n,
            Value::Uint(n) => i64::try_from(*n).ok()?,
            _ => return None,
        };
        (-NUMBER_MAX..=NUMBER_MAX).contains(&number).then_some(number)
    }

    /// A decimal number. One that is too large swallows the rest of the format, as in Go.
    fn read_number(&mut self) -> Option<usize> {
        let len = self.rest.bytes().take_while(u8::is_ascii_digit).count();
        if len == 0 {
            return None;
        }
        let mut number = 0i64;
        for digit in self.rest[..len].bytes() {
            if number > NUMBER_MAX {
                self.rest = "";
                return None;
            }
            number = number * 10 + i64::from(digit - b'0');
        }
        self.rest = &self.rest[len..];
        usize::try_from(number).ok()
    }

    fn take(&mut self, c: char) -> bool {
        match self.rest.strip_prefix(c) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    /// `%!(EXTRA int=1)`: values no verb took.
    fn extra(&mut self) {
        self.printer.flags = Flags::default();
        self.printer.push_str("%!(EXTRA ");
        for (i, value) in self.values[self.next..].iter().enumerate() {
            if i > 0 {
                self.printer.push_str(", ");
            }
            if matches!(value, Value::Nil) {
                self.printer.push_str("<nil>");
            } else {
                self.printer.push_str(&value.type_name());
                self.printer.push('=');
                self.printer.print(value, 'v');
            }
        }
        self.printer.push(')');
    }
}
