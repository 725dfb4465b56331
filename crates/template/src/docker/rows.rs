//! Lists: one template run per row, a header for tables.

use std::sync::Arc;

use super::functions::{client_functions, header_functions};
use super::tabs::align_tabs;
use crate::exec::{ExecError, Template};
use crate::function::Function;
use crate::lang::ParseError;
use crate::structs::Struct;
use crate::value::{Map, Value};

/// A `--format` that cannot be parsed or applied.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FormatError {
    /// It is no template.
    #[error("template parsing error: {0}")]
    Parse(#[from] ParseError),
    /// It does not fit the rows.
    #[error("template parsing error: {0}")]
    Execute(#[from] ExecError),
}

/// The predefined formats of a list command.
#[derive(Clone, Copy, Debug)]
pub struct Formats {
    /// What `table` stands for, beginning with `table `.
    pub table: &'static str,
    /// What `raw` stands for, where there is such a format.
    pub raw: Option<&'static str>,
    /// What `raw` stands for when only IDs are wanted.
    pub raw_quiet: Option<&'static str>,
    /// What `table` stands for when only IDs are wanted, usually `{{.ID}}`.
    pub quiet: &'static str,
}

impl Formats {
    /// The format behind what the user asked for; formats that are no keyword stay as they are.
    pub fn resolve<'f>(&self, format: &'f str, quiet: bool) -> &'f str
    where
        Self: 'static,
    {
        match (format, quiet) {
            ("table", false) => self.table,
            ("table", true) => self.quiet,
            ("raw", true) => self.raw_quiet.or(self.raw).unwrap_or(format),
            ("raw", false) => self.raw.unwrap_or(format),
            _ => format,
        }
    }
}

/// One row of a list: what templates see as `.`.
#[derive(Clone, Debug)]
pub struct Row(Struct);

impl Row {
    /// An empty row; `type_name` is what errors call it, such as `service.serviceContext`.
    pub fn new(type_name: &str) -> Row {
        Row(Struct::pointer(type_name).json_of_getters())
    }

    /// Adds a column.
    #[must_use]
    pub fn column(self, name: &str, value: impl Into<Value>) -> Row {
        Row(self.0.method(name, Function::constant(value)))
    }

    /// Adds a column that is computed when a template asks for it.
    #[must_use]
    pub fn lazy<F>(self, name: &str, value: F) -> Row
    where
        F: Fn() -> Value + Send + Sync + 'static,
    {
        Row(self.0.method(name, Function::getter(value)))
    }

    /// Adds a column that takes arguments, such as `{{.Label "key"}}`. JSON leaves it out.
    #[must_use]
    pub fn method(self, name: &str, function: Function) -> Row {
        Row(self.0.method(name, function))
    }

    /// Adds `.Label "key"` and `.Labels`, the latter as `key=value` joined by commas.
    #[must_use]
    pub fn labels<K, V>(self, labels: impl IntoIterator<Item = (K, V)>) -> Row
    where
        K: Into<String>,
        V: Into<String>,
    {
        let labels: std::collections::BTreeMap<String, String> =
            labels.into_iter().map(|(key, value)| (key.into(), value.into())).collect();
        let joined: Vec<String> = labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
        let labels = Arc::new(labels);
        let label = Function::of_string(move |key| labels.get(key).cloned().unwrap_or_default());
        self.column("Labels", joined.join(",")).method("Label", label)
    }
}

impl From<Row> for Value {
    fn from(row: Row) -> Value {
        row.0.into()
    }
}

/// The headings of a table by column name.
#[derive(Clone, Debug)]
pub struct Header(Map);

impl Header {
    /// Headings as pairs of column name and heading.
    pub fn new<'h>(headings: impl IntoIterator<Item = (&'h str, &'h str)>) -> Header {
        let mut map = Map::new("formatter.SubHeaderContext", Value::from(""));
        for (name, heading) in headings {
            map.insert(name, heading);
        }
        Header(map.method("Label", Function::of_string(label_heading)))
    }
}

/// The heading of a label column: the last part of the key, in words.
fn label_heading(key: &str) -> String {
    let last = key.rsplit('.').next().unwrap_or(key);
    last.replace(['-', '_'], " ")
}

/// Renders `rows` with `format`: `table TEMPLATE`, `json`, or a template run for each row.
///
/// The text ends with a newline, unless there is nothing to show. Tables have their header even
/// without rows.
///
/// # Errors
/// [`FormatError`]; nothing is rendered then.
pub fn render_rows(format: &str, header: &Header, rows: impl IntoIterator<Item = Row>) -> Result<String, FormatError> {
    let is_table = format.starts_with("table");
    let text = match format {
        "json" => "{{json .}}",
        _ => format.strip_prefix("table").unwrap_or(format),
    };
    let text = text.trim_matches(' ').replace("\\t", "\t").replace("\\n", "\n");
    let template = Template::parse(&text, &client_functions())?;

    let mut body = String::new();
    for row in rows {
        body.push_str(&template.render(&row.into())?);
        body.push('\n');
    }
    if !is_table {
        return Ok(body);
    }
    // What the header cannot show is left out, as docker does: the rows have proved the template.
    let (headings, _) = template.functions(&header_functions()).render_partly(&Value::from(header.0.clone()));
    Ok(align_tabs(&format!("{headings}\n{body}")))
}
