//! Go templates, and what the docker command line builds on them.
//!
//! `--format` takes a Go template, and so do some fields of service specs. This room renders them
//! with Go's results and Go's error messages, which scripts match on. It also has the formats that
//! belong with them: tables, JSON, durations, sizes, natural order.
//!
//! The same input always gives the same output: there is no clock, no randomness and no I/O here.
//! Hostile templates end with an error: depth, steps and output are bounded by [`Limits`].

mod docker;
/// Go's durations.
pub mod duration;
mod exec;
mod function;
mod gofmt;
/// Durations and sizes for people.
pub mod human;
/// JSON text as Go writes and formats it.
pub mod json;
mod lang;
/// Natural order.
pub mod natural;
/// Amounts of memory and processors.
pub mod size;
mod structs;
mod value;

pub use docker::{
    FormatError, Formats, Header, InspectError, Inspector, ObjectKind, Row, align_tabs, client_functions, ellipsis, header_functions,
    json_array, json_array_compact, render_rows, service_functions, service_template, text_width,
};
pub use exec::{ExecError, Limits, MissingKey, Template};
pub use function::{Function, FunctionError, Functions, Param};
pub use lang::ParseError;
pub use structs::Struct;
pub use value::{List, Map, Named, Value};
