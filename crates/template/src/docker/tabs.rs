//! Aligns columns that are separated by tabs.

use super::width::text_width;

/// The least width of a column, padding included.
const WIDTH_MIN: usize = 10;
/// The space between columns.
const PADDING: usize = 3;

/// Replaces tabs by as many spaces as align the columns, ten wide at least, three apart.
///
/// A column lasts over adjoining lines that have it, so a line without tabs starts new ones. The
/// last cell of a line belongs to no column and is not padded.
pub fn align_tabs(text: &str) -> String {
    let lines: Vec<Vec<&str>> = text.split('\n').map(|line| line.split('\t').collect()).collect();
    let mut out = String::with_capacity(text.len() * 2);
    let mut layout = Layout { lines: &lines, widths: Vec::new(), out: &mut out };
    layout.block(0, lines.len());
    out
}

struct Layout<'t> {
    lines: &'t [Vec<&'t str>],
    /// The widths of the columns to the left, for the lines being laid out.
    widths: Vec<usize>,
    out: &'t mut String,
}

impl Layout<'_> {
    /// Writes the lines from `first` up to `end`, which share the columns in `widths`.
    fn block(&mut self, first: usize, end: usize) {
        let column = self.widths.len();
        let mut written = first;
        let mut line = first;
        while line < end {
            if !self.has_column(line, column) {
                line += 1;
                continue;
            }
            self.write(written, line);
            let start = line;
            let mut width = WIDTH_MIN;
            while line < end && self.has_column(line, column) {
                width = width.max(text_width(self.lines[line][column]) + PADDING);
                line += 1;
            }
            self.widths.push(width);
            self.block(start, line);
            self.widths.pop();
            written = line;
        }
        self.write(written, end);
    }

    /// Whether a cell of the line ends with a tab in this column.
    fn has_column(&self, line: usize, column: usize) -> bool {
        column + 1 < self.lines[line].len()
    }

    fn write(&mut self, first: usize, end: usize) {
        for at in first..end {
            for (column, cell) in self.lines[at].iter().enumerate() {
                self.out.push_str(cell);
                if column + 1 < self.lines[at].len() {
                    let width = self.widths.get(column).copied().unwrap_or(0);
                    let missing = width.saturating_sub(text_width(cell));
                    self.out.extend(std::iter::repeat_n(' ', missing));
                }
            }
            if at + 1 < self.lines.len() {
                self.out.push('\n');
            }
        }
    }
}
