//! What the docker command line builds on templates: functions, lists, tables, inspection.

mod functions;
mod inspect;
mod rows;
mod tabs;
mod typed;
mod width;

pub use functions::{client_functions, header_functions, service_functions, service_template};
pub use inspect::{InspectError, Inspector, json_array, json_array_compact};
pub use rows::{FormatError, Formats, Header, Row, render_rows};
pub use tabs::align_tabs;
pub use typed::ObjectKind;
pub use width::{ellipsis, text_width};
