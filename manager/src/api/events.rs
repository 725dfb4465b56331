//! `GET /events`: what happened in the cluster and what happens, as a stream of JSON objects, one a line.

use super::{ApiError, Context, filters::Filters, query::QueryError, request::Call};
use crate::events::{ClusterEvent, EventReader};
use axum::body::Body;
use bytes::Bytes;
use futures_util::stream;
use http::{HeaderValue, Response, header};
use std::{collections::VecDeque, convert::Infallible, sync::Arc, time::Duration};
use swarm_types::Timestamp;
use tokio::time::Instant;

/// Filters of Docker's stream that name an object by id or name.
const OBJECTS: &[&str] = &["config", "container", "daemon", "image", "network", "node", "plugin", "secret", "service", "volume"];
/// The others.
const OTHERS: &[&str] = &["event", "label", "scope", "type"];

/// `GET /events`. Without `until` the stream ends when the manager stops.
pub(super) fn stream(context: &Context, call: &Call) -> Result<Response<Body>, ApiError> {
    let accepted: Vec<&str> = OBJECTS.iter().chain(OTHERS).copied().collect();
    let filters = Filters::parse(call.query.get("filters"), &accepted)?;
    let now = Context::now();
    let since = time(call.query.get("since"), "since")?;
    let until = time(call.query.get("until"), "until")?;
    if let (Some(since), Some(until)) = (since, until)
        && until < since
    {
        return Err(ApiError::EventTimes { since: call.query.get("since").to_owned(), until: call.query.get("until").to_owned() });
    }
    let mut reader = context.events.reader();
    // What is kept is told only on request, and the clocks of managers differ a little: what comes from now on is told
    // whatever its time.
    let kept = std::iter::from_fn(|| reader.ready()).filter(|event| {
        let at = Timestamp::from_nanos(event.time_nano);
        since.is_some_and(|since| at >= since) && until.is_none_or(|until| at <= until)
    });
    let reading = Reading { kept: kept.collect(), reader, filters, ends: until.map(|until| Instant::now() + until.since(now)) };
    let lines = stream::unfold(reading, |mut reading| async move { Some((Ok::<_, Infallible>(reading.line().await?), reading)) });
    let mut response = Response::new(Body::from_stream(lines));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}

/// One client's way through the events.
struct Reading {
    /// Of those that had happened before, the ones asked for.
    kept: VecDeque<Arc<ClusterEvent>>,
    reader: EventReader,
    filters: Filters,
    /// When `until` is reached on this machine.
    ends: Option<Instant>,
}

impl Reading {
    /// The next event that fits, as a line; `None` at the end.
    async fn line(&mut self) -> Option<Bytes> {
        loop {
            let event = match (self.kept.pop_front(), self.ends) {
                (Some(event), _) => event,
                (None, None) => self.reader.next().await?,
                (None, Some(ends)) => tokio::time::timeout_at(ends, self.reader.next()).await.ok().flatten()?,
            };
            if fits(&self.filters, &event) {
                let mut line = serde_json::to_vec(&*event).expect("events are plain JSON");
                line.push(b'\n');
                return Some(line.into());
            }
        }
    }
}

/// Whether an event fits all filters. A filter that names an object looks at the ids and names of every kind, as Docker's does.
fn fits(filters: &Filters, event: &ClusterEvent) -> bool {
    let name = event.actor.attributes.get("name").map_or("", String::as_str);
    filters.is("event", event.action)
        && filters.is("scope", event.scope)
        && filters.is("type", event.kind)
        && filters.labelled("label", &event.actor.attributes)
        && OBJECTS.iter().all(|key| filters.begins(key, &event.actor.id) || filters.begins(key, name))
}

/// Reads seconds since the Unix epoch with an optional fraction, which is how clients send times.
fn time(text: &str, name: &'static str) -> Result<Option<Timestamp>, QueryError> {
    if text.is_empty() {
        return Ok(None);
    }
    let bad = || QueryError::Time { name, text: text.to_owned() };
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    if !digits(whole) || !digits(fraction) {
        return Err(bad());
    }
    let seconds: u64 = whole.parse().map_err(|_| bad())?;
    let nanos: u32 = format!("{fraction:0<9}")[..9].parse().map_err(|_| bad())?;
    Ok(Some(Timestamp::default().after(Duration::new(seconds, nanos))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_seconds_with_a_fraction() {
        let read = |text| time(text, "since").map(|t| t.map(Timestamp::as_nanos)).map_err(|e| e.to_string());
        assert_eq!(read(""), Ok(None));
        assert_eq!(read("12"), Ok(Some(12_000_000_000)));
        assert_eq!(read("12.5"), Ok(Some(12_500_000_000)));
        assert_eq!(read("12.0000000019"), Ok(Some(12_000_000_001)));
        for bad in ["x", "-1", "1.", ".5", "1.x", "99999999999999999999"] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
