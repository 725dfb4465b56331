//! Asks the API until a service has converged.

use super::{Screen, Step, Tracker};
use crate::failure::Outcome;
use crate::output::{print, terminal_width};
use crate::query::{Filters, escape};
use crate::session::Session;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};
use swarm_types::{Node, NodeState, Service, Task};
use tokio::signal::unix::{SignalKind, signal};

/// Between two looks.
const PERIOD: Duration = Duration::from_millis(200);

/// Waits until the service called `name` has converged, and shows how far it is unless `quiet`.
///
/// An interrupt ends the waiting, not the change: that goes on in the cluster.
///
/// # Errors
/// If the change was paused after failures, or the API does not answer.
pub(crate) async fn wait(name: &str, quiet: bool, session: &Session) -> Outcome {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut screen = terminal_width().map_or_else(Screen::plain, Screen::terminal);
    let mut tracker = Tracker::default();
    let start = Instant::now();
    loop {
        let mut shown = Vec::new();
        let step = tokio::select! {
            step = look(name, &mut tracker, start, &mut shown, session) => step,
            _ = interrupt.recv() => return interrupted(name, quiet, &tracker),
        };
        if !quiet {
            let text: String = shown.iter().map(|shown| screen.draw(shown)).collect();
            print(&text)?;
        }
        match step? {
            Step::Again => {}
            Step::Done => return Ok(()),
            Step::Failed(failure) => return Err(failure),
        }
        tokio::select! {
            () = tokio::time::sleep(PERIOD) => {}
            _ = interrupt.recv() => return interrupted(name, quiet, &tracker),
        }
    }
}

async fn look(name: &str, tracker: &mut Tracker, start: Instant, shown: &mut Vec<super::Shown>, session: &Session) -> Outcome<Step> {
    let service: Service = session.api.get(&format!("/services/{}", escape(name))).await?;
    match tracker.service(name, &service, start.elapsed(), shown) {
        Step::Again => {}
        end => return Ok(end),
    }
    let mut filters = Filters::default();
    filters.add("service", service.id.as_str());
    filters.add("_up-to-date", "true");
    let path = filters.on("/tasks", &[]);
    let (tasks, nodes) =
        futures_util::future::try_join(session.api.get::<Vec<Task>>(&path), session.api.get::<Vec<Node>>("/nodes")).await?;
    let active: BTreeSet<String> =
        nodes.into_iter().filter(|node| node.status.state != NodeState::Down).map(|node| node.id.to_string()).collect();
    Ok(tracker.tasks(&service, &tasks, &active, start.elapsed(), shown))
}

fn interrupted(name: &str, quiet: bool, tracker: &Tracker) -> Outcome {
    if tracker.has_converged() || quiet {
        return Ok(());
    }
    print(&format!("Operation continuing in background.\nUse `swarm service ps {name}` to check progress.\n"))
}
