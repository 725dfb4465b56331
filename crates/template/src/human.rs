//! Durations and sizes for people, as docker writes them.

use crate::gofmt::{Style, format_float};

const SECOND: i64 = 1_000_000_000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;
const WEEK: i64 = 7 * DAY;
const MONTH: i64 = 30 * DAY;
const YEAR: i64 = 365 * DAY;

/// An approximation of a duration of `nanos` nanoseconds: `About a minute`, `3 hours`.
///
/// Seconds and minutes are cut, everything longer is rounded. Negative durations count as none.
pub fn duration(nanos: i64) -> String {
    let seconds = nanos / SECOND;
    let minutes = nanos / MINUTE;
    let hours = rounded(nanos, HOUR);
    match () {
        () if seconds < 1 => "Less than a second".into(),
        () if seconds == 1 => "1 second".into(),
        () if seconds < 60 => format!("{seconds} seconds"),
        () if minutes == 1 => "About a minute".into(),
        () if minutes < 60 => format!("{minutes} minutes"),
        () if hours == 1 => "About an hour".into(),
        () if hours < 48 => format!("{hours} hours"),
        () if nanos < 2 * WEEK => format!("{} days", rounded(nanos, DAY)),
        () if nanos < 2 * MONTH => format!("{} weeks", rounded(nanos, WEEK)),
        () if nanos < 2 * YEAR => format!("{} months", rounded(nanos, MONTH)),
        () => format!("{} years", rounded(nanos, YEAR)),
    }
}

fn rounded(nanos: i64, unit: i64) -> i64 {
    (nanos as f64 / unit as f64 + 0.5) as i64
}

const BINARY: [&str; 9] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB", "ZiB", "YiB"];
const DECIMAL: [&str; 9] = ["B", "kB", "MB", "GB", "TB", "PB", "EB", "ZB", "YB"];

/// A size in bytes with four digits and a unit of 1024s: `1.5GiB`.
pub fn bytes(size: f64) -> String {
    scaled(size, 1024.0, &BINARY)
}

/// A size in bytes with four digits and a unit of 1000s: `1.5GB`.
pub fn decimal_bytes(size: f64) -> String {
    scaled(size, 1000.0, &DECIMAL)
}

fn scaled(mut size: f64, base: f64, units: &[&str]) -> String {
    let mut at = 0;
    while size >= base && at + 1 < units.len() {
        size /= base;
        at += 1;
    }
    format!("{}{}", format_float(size, Style::General, Some(4)), units[at])
}
