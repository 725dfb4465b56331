//! Standard output and standard error.

use crate::failure::Outcome;
use std::io::Write as _;

/// Columns assumed where no terminal tells.
const WIDTH: usize = 80;

/// Prints `text` as it is.
///
/// # Errors
/// If standard output cannot be written.
pub(crate) fn print(text: &str) -> Outcome {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()?;
    Ok(())
}

/// Prints `text` and ends the line.
///
/// # Errors
/// If standard output cannot be written.
pub(crate) fn print_line(text: &str) -> Outcome {
    print(&format!("{text}\n"))
}

/// Prints `text` on standard error and ends the line.
pub(crate) fn warn(text: &str) {
    // Where nobody can read it there is nobody to tell.
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

/// Columns of the terminal that standard output is; `None` if it is none.
pub(crate) fn terminal_width() -> Option<usize> {
    let size = rustix::termios::tcgetwinsize(rustix::stdio::stdout()).ok()?;
    Some(if size.ws_col == 0 { WIDTH } else { usize::from(size.ws_col) })
}

/// Columns that help is wrapped to.
pub(crate) fn help_width() -> usize {
    match rustix::termios::tcgetwinsize(rustix::stdio::stdin()) {
        Ok(size) if size.ws_col > 0 => usize::from(size.ws_col),
        _ => WIDTH,
    }
}
