//! Lists: which format, and rows through it.

use crate::failure::{Failure, Outcome};
use crate::output::print;
use swarm_template::{Formats, Header, Row, render_rows};

/// Flags that all lists have.
#[derive(clap::Args, Debug, Clone, Default)]
pub(crate) struct ListFlags {
    /// Only display IDs
    #[arg(short = 'q', long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = crate::line::values::switch)]
    pub(crate) quiet: Option<bool>,
    #[arg(long, value_name = "string", help = FORMAT_HELP)]
    pub(crate) format: Option<String>,
    /// Filter output based on conditions provided
    #[arg(short = 'f', long, value_name = "filter", value_parser = crate::query::check_filter)]
    pub(crate) filter: Vec<String>,
}

/// Help on `--format` of lists.
const FORMAT_HELP: &str = "Format output using a custom template:
'table':            Print output in table format with column headers (default)
'table TEMPLATE':   Print output in table format using the given Go template
'json':             Print in JSON format
'TEMPLATE':         Print output using the given Go template";

/// Help on `--format` of single objects.
pub(crate) const INSPECT_FORMAT_HELP: &str = "Format output using a custom template:
'json':             Print in JSON format
'TEMPLATE':         Print output using the given Go template";

impl ListFlags {
    /// Whether only ids are wanted.
    pub(crate) fn is_quiet(&self) -> bool {
        self.quiet.unwrap_or_default()
    }

    /// The format: as given, else the user's default, else a table.
    pub(crate) fn format<'a>(&'a self, default: &'a str) -> &'a str {
        choose(self.format.as_deref(), default, self.is_quiet())
    }
}

/// The format: as given, else the user's default unless only ids are wanted, else a table.
pub(crate) fn choose<'a>(given: Option<&'a str>, default: &'a str, quiet: bool) -> &'a str {
    match given.filter(|format| !format.is_empty()) {
        Some(format) => format,
        None if !quiet && !default.is_empty() => default,
        None => "table",
    }
}

/// Prints rows.
///
/// # Errors
/// If the format is no template, or does not fit the rows.
pub(crate) fn print_rows(
    formats: &'static Formats,
    format: &str,
    quiet: bool,
    header: &Header,
    rows: impl IntoIterator<Item = Row>,
) -> Outcome {
    let text = render_rows(formats.resolve(format, quiet), header, rows).map_err(|e| Failure::new(e.to_string()))?;
    print(&text)
}

/// The first letter in upper case, the rest in lower case, as tables show words of the API.
pub(crate) fn capitalized(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map_or_else(String::new, |first| format!("{}{}", first.to_uppercase(), letters.as_str().to_lowercase()))
}

/// As Go prints a time, in lower case but for the first letter, as Docker shows it.
pub(crate) fn go_time(time: swarm_types::Timestamp) -> String {
    let shown = time.to_string().replacen('T', " ", 1);
    match shown.strip_suffix('Z') {
        Some(time) => format!("{time} +0000 utc"),
        None => shown,
    }
}

/// How long ago a point in time is.
pub(crate) fn ago(time: swarm_types::Timestamp, now: swarm_types::Timestamp) -> String {
    let nanos = i64::try_from(now.since(time).as_nanos()).unwrap_or(i64::MAX);
    format!("{} ago", swarm_template::human::duration(nanos))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_users_default_does_not_hide_ids() {
        assert_eq!(choose(None, "{{.Name}}", false), "{{.Name}}");
        assert_eq!(choose(None, "{{.Name}}", true), "table");
        assert_eq!(choose(Some("json"), "{{.Name}}", true), "json");
        assert_eq!(choose(Some(""), "", false), "table");
    }

    #[test]
    fn words_are_capitalized() {
        assert_eq!(capitalized("ready"), "Ready");
        assert_eq!(capitalized(""), "");
        assert_eq!(capitalized("DOWN"), "Down");
    }
}
