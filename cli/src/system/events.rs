//! `events`: what happens on the daemon's host and in its cluster.

use crate::failure::{Failure, Outcome};
use crate::line::Invocation;
use crate::output::print_line;
use crate::query::Filters;
use crate::session::Session;
use futures_util::StreamExt as _;
use serde::Deserialize;
use std::collections::BTreeMap;
use swarm_template::{ObjectKind, Template, client_functions, duration};
use swarm_types::Timestamp;

/// Of `events`.
#[derive(clap::Args, Debug)]
pub(crate) struct EventsArgs {
    /// Filter output based on conditions provided
    #[arg(short = 'f', long, value_name = "filter", value_parser = crate::query::check_filter)]
    filter: Vec<String>,
    #[arg(long, value_name = "string", help = crate::list::INSPECT_FORMAT_HELP)]
    format: Option<String>,
    /// Show all events created since timestamp
    #[arg(long, value_name = "string")]
    since: Option<String>,
    /// Stream events until this timestamp
    #[arg(long, value_name = "string")]
    until: Option<String>,
    #[arg(hide = true)]
    args: Vec<String>,
}

/// Prints events as they come, one a line.
///
/// # Errors
/// On a template or a time that cannot be read, and if the daemon refuses or the stream breaks.
pub(crate) async fn events(args: &EventsArgs, invocation: &Invocation, session: &Session) -> Outcome {
    invocation.no_args(&args.args)?;
    let form = Form::parse(args.format.as_deref().unwrap_or_default())?;
    let now = Timestamp::from_system(std::time::SystemTime::now());
    let mut times = Vec::new();
    for (name, given) in [("since", &args.since), ("until", &args.until)] {
        if let Some(text) = given.as_deref().filter(|text| !text.is_empty()) {
            times.push((name, time(text, now).map_err(|error| Failure::new(format!("invalid value for {name:?}: {error}")))?));
        }
    }
    let times: Vec<(&str, &str)> = times.iter().map(|(name, text)| (*name, text.as_str())).collect();
    let mut stream = session.api.get_stream(&Filters::parse(&args.filter).on("/events", &times)).await?;
    let mut held = Vec::new();
    while let Some(piece) = stream.next().await {
        held.extend_from_slice(&piece?);
        while let Some(end) = held.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = held.drain(..=end).collect();
            let line = String::from_utf8_lossy(&line);
            if !line.trim().is_empty() {
                print_line(&form.show(line.trim())?)?;
            }
        }
    }
    Ok(())
}

/// How an event is shown.
enum Form {
    /// A line for people.
    Line,
    /// As the daemon wrote it.
    Json,
    /// Through a template.
    Template(Box<Template>),
}

/// The parts of an event that the line for people has.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[derive(Default)]
struct Event {
    #[serde(rename = "Type")]
    kind: String,
    action: String,
    actor: Actor,
    #[serde(rename = "time")]
    seconds: i64,
    #[serde(rename = "timeNano")]
    nanos: i64,
}

/// The object of an event.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Actor {
    #[serde(rename = "ID")]
    id: String,
    #[serde(rename = "Attributes")]
    attributes: Option<BTreeMap<String, String>>,
}

impl Form {
    fn parse(format: &str) -> Outcome<Self> {
        match format {
            "" => Ok(Self::Line),
            "json" | "{{json .}}" => Ok(Self::Json),
            _ => Template::parse(format, &client_functions())
                .map(|template| Self::Template(Box::new(template)))
                .map_err(|error| Failure::template(format!("Error parsing format: {error}"))),
        }
    }

    fn show(&self, json: &str) -> Outcome<String> {
        let unreadable = |error: String| Failure::new(format!("Error reading JSON: {error}"));
        match self {
            Self::Json => Ok(json.to_owned()),
            Self::Line => Ok(line(&serde_json::from_str(json).map_err(|error| unreadable(error.to_string()))?)),
            Self::Template(template) => {
                let event = ObjectKind::Event.typed(json).ok_or_else(|| unreadable(format!("not an event: {json}")))?;
                template.render(&event).map_err(|error| Failure::template(error.to_string()))
            }
        }
    }
}

/// As Docker prints it: local time with nanoseconds, what happened to what, and the attributes in order.
fn line(event: &Event) -> String {
    let nanos = if event.nanos == 0 { event.seconds.saturating_mul(1_000_000_000) } else { event.nanos };
    let time = jiff::Timestamp::from_nanosecond(i128::from(nanos)).unwrap_or_default();
    let time = time.to_zoned(jiff::tz::TimeZone::system());
    let zone = if time.offset().is_zero() { "Z".to_owned() } else { time.strftime("%:z").to_string() };
    let attributes: Vec<String> = event.actor.attributes.iter().flatten().map(|(key, value)| format!("{key}={value}")).collect();
    let attributes = if attributes.is_empty() { String::new() } else { format!(" ({})", attributes.join(", ")) };
    format!("{}{zone} {} {} {}{attributes}", time.strftime("%Y-%m-%dT%H:%M:%S.%9f"), event.kind, event.action, event.actor.id)
}

/// A point in time as the daemon reads it: seconds since the Unix epoch. Given is such a number, a span before now, or a
/// date with as many parts as one likes, in local time if it names no zone.
fn time(text: &str, now: Timestamp) -> Result<String, String> {
    if text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
        return Ok(text.to_owned());
    }
    let nanos = match duration::parse(text) {
        Ok(span) => now.as_nanos().saturating_sub(span),
        Err(_) => i64::try_from(date(text)?.as_nanosecond()).map_err(|error| error.to_string())?,
    };
    Ok(format!("{}.{:09}", nanos.div_euclid(1_000_000_000), nanos.rem_euclid(1_000_000_000)))
}

fn date(text: &str) -> Result<jiff::Timestamp, String> {
    if let Ok(time) = text.parse() {
        return Ok(time);
    }
    // `2026-01-02`, `2026-01-02T15` and `2026-01-02T15:04` are understood too.
    let padded = match text.len() {
        13 => format!("{text}:00:00"),
        16 => format!("{text}:00"),
        _ => text.to_owned(),
    };
    let local: jiff::civil::DateTime = padded.parse().map_err(|_| format!("failed to parse value as time or duration: {text:?}"))?;
    local.to_zoned(jiff::tz::TimeZone::system()).map(|zoned| zoned.timestamp()).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    const JSON: &str = r#"{"Type":"service","Action":"update","Actor":{"ID":"abc","Attributes":{"name":"web","replicas.new":"2"}},"scope":"swarm","time":12,"timeNano":12000000034}"#;

    #[test]
    fn events_are_lines_json_or_templates() {
        let show = |format| Form::parse(format).and_then(|form| form.show(JSON));
        let shown = show("").expect("shows");
        assert!(shown.contains(".000000034") && shown.ends_with(" service update abc (name=web, replicas.new=2)"), "{shown}");
        assert_eq!(show("json").as_deref(), Ok(JSON));
        assert_eq!(
            show("{{.Type}}/{{.Action}} {{.Actor.ID}} {{index .Actor.Attributes \"name\"}} {{.TimeNano}}").as_deref(),
            Ok("service/update abc web 12000000034")
        );
        assert!(show("{{.Nothing}}").is_err() && Form::parse("{{").is_err());
    }

    #[test]
    fn times_are_numbers_spans_or_dates() {
        let now = Timestamp::from_nanos(100_500_000_000);
        assert_eq!(time("12.5", now).as_deref(), Ok("12.5"));
        assert_eq!(time("10s", now).as_deref(), Ok("90.500000000"));
        assert_eq!(time("1970-01-01T00:00:05Z", now).as_deref(), Ok("5.000000000"));
        assert!(time("1970-01-02T03:04", now).is_ok() && time("1970-01-02", now).is_ok());
        assert_eq!(time("soon", now), Err("failed to parse value as time or duration: \"soon\"".into()));
    }
}
