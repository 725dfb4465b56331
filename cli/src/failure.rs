//! How a command ends when it does not end well: what to print and with which code to exit.

use std::fmt;

/// What a command gives back.
pub(crate) type Outcome<T = ()> = Result<T, Failure>;

/// Exit code of any error at run time.
const RUNTIME: u8 = 1;
/// Exit code of a command line that could not be read.
const FLAGS: u8 = 125;
/// Exit code of a `--format` template that could not be read.
const TEMPLATE: u8 = 64;
/// Exit code when the reader of our output went away: 128 and the number of SIGPIPE.
const BROKEN_PIPE: u8 = 141;

/// A text for standard error and an exit code. An empty text prints nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    text: String,
    code: u8,
}

impl Failure {
    /// An error at run time.
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), code: RUNTIME }
    }

    /// A command line that could not be read.
    pub(crate) fn flags(text: impl Into<String>) -> Self {
        Self { text: text.into(), code: FLAGS }
    }

    /// A template that could not be read.
    pub(crate) fn template(text: impl Into<String>) -> Self {
        Self { text: text.into(), code: TEMPLATE }
    }

    /// The program ends with `code` and says nothing.
    pub(crate) fn silent(code: u8) -> Self {
        Self { text: String::new(), code }
    }

    /// The exit code.
    pub(crate) fn code(&self) -> u8 {
        self.code
    }

    /// The same error, said of `subject`.
    pub(crate) fn about(self, subject: &str) -> Self {
        Self { text: format!("{subject}: {}", self.text), code: self.code }
    }

    /// One failure out of those that a command with several targets met; none is success.
    pub(crate) fn join(failures: Vec<Self>) -> Outcome {
        let mut failures = failures.into_iter();
        let Some(mut all) = failures.next() else {
            return Ok(());
        };
        for next in failures {
            all.text.push('\n');
            all.text.push_str(&next.text);
        }
        Err(all)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for Failure {}

impl From<String> for Failure {
    fn from(text: String) -> Self {
        Self::new(text)
    }
}

impl From<&str> for Failure {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

/// Errors of reading standard input and writing standard output.
impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        match error.kind() {
            std::io::ErrorKind::BrokenPipe => Self::silent(BROKEN_PIPE),
            _ => Self::new(error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_failures_are_printed_one_per_line() {
        assert_eq!(Failure::join(Vec::new()), Ok(()));
        let joined = Failure::join(vec!["first".into(), Failure::new("second").about("web")]);
        assert_eq!(joined, Err(Failure::new("first\nweb: second")));
    }
}
