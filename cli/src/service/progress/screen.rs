//! Draws progress: on a terminal in place, elsewhere as lines that are printed when they change.

use super::Shown;
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Columns below which there is no room for bars.
const BARS_WIDTH_MIN: usize = 110;
/// Length of a full bar.
const BAR: usize = 50;

/// Where progress is drawn to. It makes text only; the caller prints it.
#[derive(Debug)]
pub(crate) enum Screen {
    /// A terminal of a number of columns, with the ids of the lines that can still be reached, from the top.
    Terminal {
        /// Columns.
        width: usize,
        /// Ids of the lines.
        lines: Vec<String>,
    },
    /// Anything else, with what was last printed of each id.
    Plain {
        /// Texts by id.
        last: BTreeMap<String, String>,
    },
}

impl Screen {
    /// A terminal of `width` columns.
    pub(crate) fn terminal(width: usize) -> Self {
        Self::Terminal { width, lines: Vec::new() }
    }

    /// Not a terminal.
    pub(crate) fn plain() -> Self {
        Self::Plain { last: BTreeMap::new() }
    }

    /// The text that shows `shown`.
    pub(crate) fn draw(&mut self, shown: &Shown) -> String {
        match (self, shown) {
            (Self::Terminal { lines, .. }, Shown::Text(text)) => {
                // Lines above it scroll away from where they can be drawn again.
                lines.clear();
                format!("{text}\n")
            }
            (Self::Terminal { width, lines }, Shown::Line { id, text, bar }) => {
                let mut drawn = String::new();
                let index = lines.iter().position(|line| line == id).unwrap_or_else(|| {
                    lines.push(id.clone());
                    drawn.push('\n');
                    lines.len() - 1
                });
                let up = lines.len() - index;
                let bar = bar.filter(|_| *width > BARS_WIDTH_MIN).map(|(now, all)| self::bar(now, all));
                let bar = bar.unwrap_or_default();
                let _ = write!(drawn, "\x1b[{up}A\x1b[2K\r{id}: {text} {bar}\r\x1b[{up}B");
                drawn
            }
            (Self::Plain { .. }, Shown::Text(text)) => format!("{text}\n"),
            (Self::Plain { last }, Shown::Line { id, text, bar }) => {
                let text = text.trim_end();
                // An empty line only keeps a place on a terminal, and a moving bar only helps there.
                if text.is_empty() || bar.is_some() || last.get(id).is_some_and(|last| last == text) {
                    return String::new();
                }
                last.insert(id.clone(), text.to_owned());
                format!("{id}: {text}\n")
            }
        }
    }
}

fn bar(now: u64, all: u64) -> String {
    let percent = now.saturating_mul(100).checked_div(all).unwrap_or(0);
    let filled = usize::try_from(percent / 2).unwrap_or(BAR).min(BAR);
    format!("[{}>{}] ", "=".repeat(filled), " ".repeat(BAR - filled))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(id: &str, text: &str, bar: Option<(u64, u64)>) -> Shown {
        Shown::Line { id: id.into(), text: text.into(), bar }
    }

    #[test]
    fn a_terminal_redraws_lines_in_place() {
        let mut screen = Screen::terminal(120);
        assert_eq!(screen.draw(&line("a", "0 out of 1", None)), "\n\x1b[1A\x1b[2K\ra: 0 out of 1 \r\x1b[1B");
        assert_eq!(screen.draw(&line("1/1", " ", None)), "\n\x1b[1A\x1b[2K\r1/1:   \r\x1b[1B");
        let bar = format!("[{}>{}] ", "=".repeat(33), " ".repeat(17));
        assert_eq!(screen.draw(&line("1/1", "preparing", Some((6, 9)))), format!("\x1b[1A\x1b[2K\r1/1: preparing {bar}\r\x1b[1B"));
        assert_eq!(screen.draw(&line("a", "1 out of 1", None)), "\x1b[2A\x1b[2K\ra: 1 out of 1 \r\x1b[2B");
        assert_eq!(screen.draw(&Shown::Text("done".into())), "done\n");
        assert_eq!(screen.draw(&line("a", "x", None)), "\n\x1b[1A\x1b[2K\ra: x \r\x1b[1B");
    }

    #[test]
    fn a_narrow_terminal_has_no_bars() {
        let mut screen = Screen::terminal(80);
        assert_eq!(screen.draw(&line("1/1", "running  ", Some((9, 9)))), "\n\x1b[1A\x1b[2K\r1/1: running   \r\x1b[1B");
    }

    #[test]
    fn elsewhere_only_changes_are_printed() {
        let mut screen = Screen::plain();
        let all = [
            line("a", "0 out of 1", None),
            line("1/1", " ", None),
            line("a", "0 out of 1", None),
            line("1/1", "preparing", Some((6, 9))),
            line("1/1", "no such image", None),
            line("a", "1 out of 1", None),
            Shown::Text("done".into()),
        ];
        let text: String = all.iter().map(|shown| screen.draw(shown)).collect();
        assert_eq!(text, "a: 0 out of 1\n1/1: no such image\na: 1 out of 1\ndone\n");
    }
}
