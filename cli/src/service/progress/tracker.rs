//! What to show of a service that converges, and when it has.

use super::slots::{BARS_MAX, is_running, line, representatives};
use super::{Shown, job};
use crate::failure::Failure;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use swarm_types::{Service, Task, TaskState, UpdateState};

/// How long all tasks must have run before the service counts as converged, unless the service says otherwise.
const MONITOR: Duration = Duration::from_secs(5);

/// Whether to ask the API again.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Not there yet.
    Again,
    /// Converged, or nothing to wait for.
    Done,
    /// It will not converge.
    Failed(Failure),
}

/// Watches one service. Feed it with what the API answers: first [`Tracker::service`], then [`Tracker::tasks`].
#[derive(Debug, Default)]
pub(crate) struct Tracker {
    converged_at: Option<Duration>,
    monitor: Option<Duration>,
    rolling_back: bool,
    /// Said at the end of a rollback.
    last_words: Option<String>,
    /// Whether the lines were put in their order.
    laid_out: bool,
    /// Whether all tasks were seen running; their lines then stay as they are.
    all_run: bool,
    /// Slots in the order of their lines.
    lines_of_slots: BTreeMap<u64, usize>,
}

impl Tracker {
    /// Whether all tasks ran when last asked.
    pub(crate) fn has_converged(&self) -> bool {
        self.converged_at.is_some()
    }

    /// Looks at the service itself: its update may have ended, and the time of watching may be over.
    pub(crate) fn service(&mut self, name: &str, service: &Service, now: Duration, out: &mut Vec<Shown>) -> Step {
        let given = service.spec.update_config.as_ref().and_then(|config| config.monitor);
        if let Some(nanos) = given.and_then(|nanos| u64::try_from(nanos).ok()).filter(|nanos| *nanos > 0) {
            self.monitor = Some(Duration::from_nanos(nanos));
        }
        if let Some(status) = &service.update_status {
            match status.state {
                UpdateState::Updating => self.rolling_back = false,
                UpdateState::Completed if !self.has_converged() => return Step::Done,
                UpdateState::Completed => {}
                UpdateState::Paused => {
                    return Step::Failed(Failure::new(format!("service update paused: {}", status.message)));
                }
                UpdateState::RollbackStarted => {
                    if !self.rolling_back && !status.message.is_empty() {
                        out.push(Shown::line("rollback", &status.message));
                    }
                    self.rolling_back = true;
                }
                UpdateState::RollbackPaused => {
                    return Step::Failed(Failure::new(format!("service rollback paused: {}", status.message)));
                }
                UpdateState::RollbackCompleted => {
                    if !self.has_converged() {
                        self.last_words = Some(status.message.clone());
                    }
                    self.rolling_back = true;
                }
            }
        }
        if self.converged_at.is_some_and(|since| now.saturating_sub(since) >= self.monitor()) {
            out.push(Shown::line("verify", format!("Service {name} converged")));
            if let Some(words) = self.last_words.take() {
                out.push(Shown::Text(format!("rollback: {words}")));
            }
            return Step::Done;
        }
        Step::Again
    }

    /// Looks at the tasks of the service's present version, and at the nodes that are not down.
    pub(crate) fn tasks(
        &mut self,
        service: &Service,
        tasks: &[Task],
        active: &BTreeSet<String>,
        now: Duration,
        out: &mut Vec<Shown>,
    ) -> Step {
        let mode = &service.spec.mode;
        if mode.replicated_job.is_some() || mode.global_job.is_some() {
            return self.job(service, tasks, active, out);
        }
        let converged = if mode.global.is_some() {
            self.global(tasks, active, out)
        } else {
            let replicas = mode.replicated.as_ref().and_then(|mode| mode.replicas).unwrap_or(1);
            self.replicated(replicas, tasks, active, out)
        };
        if converged {
            let since = *self.converged_at.get_or_insert(now);
            if let Some(left) = self.monitor().checked_sub(now.saturating_sub(since)) {
                let seconds = (left.as_secs() + u64::from(left.subsec_nanos() > 0)).max(1);
                let text = format!("Waiting {seconds} seconds to verify that tasks are stable...");
                out.push(Shown::line("verify", text));
            }
        } else if self.converged_at.take().is_some() {
            out.push(Shown::line("verify", "Detected task failure"));
        }
        Step::Again
    }

    /// A job is not watched once it is done: nothing runs then.
    fn job(&mut self, service: &Service, tasks: &[Task], active: &BTreeSet<String>, out: &mut Vec<Shown>) -> Step {
        let iteration = service.job_status.map(|status| status.job_iteration);
        let tasks: Vec<Task> = tasks.iter().filter(|task| task.job_iteration == iteration).cloned().collect();
        let done = match &service.spec.mode.replicated_job {
            Some(replicated) => job::replicated(replicated, &tasks, &mut self.laid_out, out),
            None => job::global(&tasks, active, &mut self.laid_out, out),
        };
        if !done {
            return Step::Again;
        }
        out.push(Shown::Text("job complete".into()));
        Step::Done
    }

    fn monitor(&self) -> Duration {
        self.monitor.unwrap_or(MONITOR)
    }

    fn replicated(&mut self, replicas: u64, tasks: &[Task], active: &BTreeSet<String>, out: &mut Vec<Shown>) -> bool {
        let bars = usize::try_from(replicas).ok().filter(|replicas| *replicas <= BARS_MAX);
        if !self.laid_out {
            out.push(self.overall(0, replicas));
            out.extend((1..=bars.unwrap_or(0)).map(|number| Shown::line(format!("{number}/{replicas}"), " ")));
            self.laid_out = true;
        }
        let tasks = representatives(tasks, |task| task.slot, Some(active));
        self.all_run &= tasks.iter().all(|(_, task)| task.status.state == TaskState::Running);
        let mut running = 0;
        for (slot, task) in tasks {
            // Slot numbers have gaps after a scale-down; lines have none.
            let next = self.lines_of_slots.len() + 1;
            let number = *self.lines_of_slots.entry(slot).or_insert(next);
            running += u64::from(is_running(task));
            if !self.all_run && bars.is_some_and(|bars| number <= bars) {
                out.extend(line(&format!("{number}/{replicas}"), task));
            }
        }
        self.count(running, replicas, out)
    }

    fn global(&mut self, tasks: &[Task], active: &BTreeSet<String>, out: &mut Vec<Shown>) -> bool {
        // How many nodes fit is not known here, but tasks for all of them are made at once.
        let tasks = representatives(tasks, |task| task.node_id, None);
        let nodes = tasks.len() as u64;
        if !self.laid_out {
            if tasks.is_empty() {
                out.push(Shown::line("overall progress", "waiting for new tasks"));
                return false;
            }
            out.push(self.overall(0, nodes));
            self.laid_out = true;
        }
        self.all_run &= tasks.iter().all(|(_, task)| task.status.state == TaskState::Running);
        let bars = tasks.len() <= BARS_MAX;
        let mut running = 0;
        for (node, task) in tasks {
            let Some(node) = node.filter(|node| active.contains(node.as_str())) else {
                continue;
            };
            running += u64::from(is_running(task));
            if !self.all_run && bars {
                out.extend(line(node.short(), task));
            }
        }
        self.count(running, nodes, out)
    }

    fn count(&mut self, running: u64, wanted: u64, out: &mut Vec<Shown>) -> bool {
        if !self.all_run {
            out.push(self.overall(running, wanted));
            self.all_run = running == wanted;
        }
        running == wanted
    }

    fn overall(&self, running: u64, wanted: u64) -> Shown {
        let prefix = if self.rolling_back { "rolling back update: " } else { "" };
        Shown::line("overall progress", format!("{prefix}{running} out of {wanted} tasks"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::progress::Screen;
    use serde_json::{Value, json};

    const NODES: [char; 3] = ['x', 'y', 'z'];

    fn id(letter: char) -> String {
        letter.to_string().repeat(25)
    }

    fn service(mode: &Value, update: &Value) -> Service {
        serde_json::from_value(json!({
            "ID": id('s'), "Version": {"Index": 1}, "CreatedAt": "2024-01-01T00:00:00Z", "UpdatedAt": "2024-01-01T00:00:00Z",
            "Spec": {"Name": "web", "Mode": mode, "UpdateConfig": {"Parallelism": 1, "Monitor": 500_000_000}},
            "UpdateStatus": update,
        }))
        .expect("is a service")
    }

    /// `SLOT NODE STATE [ERROR]`, one per line; a task that failed is to be shut down.
    fn tasks(text: &str) -> Vec<Task> {
        text.lines()
            .enumerate()
            .map(|(number, line)| {
                let mut words = line.splitn(4, ' ');
                let mut word = || words.next().unwrap_or_default().to_owned();
                let (slot, node, state, error) = (word(), word(), word(), word());
                let desired = if state == "failed" { "shutdown" } else { "running" };
                serde_json::from_value(json!({
                    "ID": format!("{number:0>25}"), "Version": {"Index": 1}, "CreatedAt": "2024-01-01T00:00:00Z",
                    "UpdatedAt": "2024-01-01T00:00:00Z", "Spec": {}, "ServiceID": id('s'), "DesiredState": desired,
                    "Slot": slot.parse::<u64>().expect("is a number"), "NodeID": id(node.chars().next().expect("has one")),
                    "Status": {"Timestamp": "2024-01-01T00:00:00Z", "State": state, "Err": error},
                }))
                .expect("is a task")
            })
            .collect()
    }

    /// Feeds one answer each 200 ms, the last one again and again; gives what is printed where there is no terminal.
    fn run(mode: &Value, answers: &[(&str, Value)]) -> String {
        let active: BTreeSet<String> = NODES[..2].iter().map(|node| id(*node)).collect();
        let (mut tracker, mut screen, mut text) = (Tracker::default(), Screen::plain(), String::new());
        for look in 0..30_u64 {
            let now = Duration::from_millis(200 * look);
            let (answer, update) = &answers[usize::try_from(look).expect("is small").min(answers.len() - 1)];
            let service = service(mode, update);
            let mut out = Vec::new();
            let mut step = tracker.service("web", &service, now, &mut out);
            if step == Step::Again {
                step = tracker.tasks(&service, &tasks(answer), &active, now, &mut out);
            }
            text.extend(out.iter().map(|shown| screen.draw(shown)));
            match step {
                Step::Again => {}
                Step::Done => return text + "done\n",
                Step::Failed(failure) => return format!("{text}failed: {failure}\n"),
            }
        }
        text + "never\n"
    }

    fn replicated(replicas: u64) -> Value {
        json!({"Replicated": {"Replicas": replicas}})
    }

    #[test]
    fn a_job_is_done_when_all_of_it_is_complete() {
        let job = json!({"ReplicatedJob": {"MaxConcurrent": 1, "TotalCompletions": 2}});
        let text = run(
            &job,
            &[
                ("", json!(null)),
                ("0 x running", json!(null)),
                ("0 x complete\n1 y running", json!(null)),
                ("0 x complete\n1 y complete", json!(null)),
            ],
        );
        assert_eq!(
            text,
            "job progress: 0 out of 2 complete\nactive tasks: 0 out of 1 tasks\nactive tasks: 1 out of 1 tasks\n\
             job progress: 1 out of 2 complete\njob progress: 2 out of 2 complete\nactive tasks: 0 out of 0 tasks\njob complete\ndone\n"
        );
        let text = run(
            &json!({"GlobalJob": {}}),
            &[("", json!(null)), ("0 x running\n0 y complete", json!(null)), ("0 x complete\n0 y complete", json!(null))],
        );
        assert_eq!(
            text,
            "job progress: waiting for tasks\njob progress: 0 out of 2 complete\njob progress: 1 out of 2 complete\n\
             job progress: 2 out of 2 complete\njob complete\ndone\n"
        );
    }

    const VERIFIED: &str = "verify: Waiting 1 seconds to verify that tasks are stable...\nverify: Service web converged\ndone\n";

    #[test]
    fn a_service_converges_and_is_verified() {
        let text = run(
            &replicated(2),
            &[("", json!(null)), ("1 x preparing\n2 y running", json!(null)), ("1 x running\n2 y running", json!(null))],
        );
        let counts = "overall progress: 0 out of 2 tasks\noverall progress: 1 out of 2 tasks\noverall progress: 2 out of 2 tasks\n";
        assert_eq!(text, format!("{counts}{VERIFIED}"));
    }

    #[test]
    fn errors_are_shown_until_they_are_overcome() {
        let text = run(&replicated(1), &[("1 x pending no suitable node", json!(null)), ("1 x running", json!(null))]);
        let before = "overall progress: 0 out of 1 tasks\n1/1: no suitable node\noverall progress: 1 out of 1 tasks\n";
        assert_eq!(text, format!("{before}{VERIFIED}"));
    }

    #[test]
    fn a_failure_while_watching_starts_over() {
        let (good, bad) = ("1 x running", "1 x failed task: non-zero exit (1)\n1 x starting");
        let text = run(&replicated(1), &[(good, json!(null)), (bad, json!(null)), (good, json!(null))]);
        assert_eq!(
            text,
            format!(
                "overall progress: 0 out of 1 tasks\noverall progress: 1 out of 1 tasks\n\
                 verify: Waiting 1 seconds to verify that tasks are stable...\noverall progress: 0 out of 1 tasks\n\
                 verify: Detected task failure\noverall progress: 1 out of 1 tasks\n{VERIFIED}"
            )
        );
    }

    #[test]
    fn a_global_service_counts_nodes_that_have_tasks() {
        let text = run(
            &json!({"Global": {}}),
            &[("", json!(null)), ("0 x preparing\n0 y running", json!(null)), ("0 x running\n0 y running", json!(null))],
        );
        let counts = "overall progress: waiting for new tasks\noverall progress: 0 out of 2 tasks\n\
                      overall progress: 1 out of 2 tasks\noverall progress: 2 out of 2 tasks\n";
        assert_eq!(text, format!("{counts}{VERIFIED}"));
    }

    #[test]
    fn a_task_on_a_node_that_is_down_does_not_count() {
        let text = run(&replicated(1), &[("1 z running", json!(null))]);
        assert_eq!(text, "overall progress: 0 out of 1 tasks\nnever\n");
    }

    #[test]
    fn nothing_wanted_is_converged_at_once() {
        assert_eq!(run(&replicated(0), &[("", json!(null))]), format!("overall progress: 0 out of 0 tasks\n{VERIFIED}"));
    }

    #[test]
    fn an_update_that_ends_before_convergence_ends_the_waiting() {
        let done = json!({"State": "completed", "Message": "update completed"});
        let text = run(&replicated(1), &[("1 x preparing", json!({"State": "updating"})), ("1 x preparing", done)]);
        assert_eq!(text, "overall progress: 0 out of 1 tasks\ndone\n");
    }

    #[test]
    fn a_paused_update_is_an_error() {
        let paused = json!({"State": "paused", "Message": "update paused due to failure"});
        let text = run(&replicated(1), &[("1 x preparing", json!(null)), ("1 x preparing", paused)]);
        assert_eq!(text, "overall progress: 0 out of 1 tasks\nfailed: service update paused: update paused due to failure\n");
        let paused = json!({"State": "rollback_paused", "Message": "m"});
        assert_eq!(run(&replicated(1), &[("", paused)]), "failed: service rollback paused: m\n");
    }

    #[test]
    fn a_rollback_is_told() {
        let started = json!({"State": "rollback_started", "Message": "update rolled back"});
        let completed = json!({"State": "rollback_completed", "Message": "rollback completed"});
        let text = run(&replicated(1), &[("1 x preparing", started.clone()), ("1 x running", started), ("1 x running", completed)]);
        assert_eq!(
            text,
            "rollback: update rolled back\noverall progress: rolling back update: 0 out of 1 tasks\n\
             overall progress: rolling back update: 1 out of 1 tasks\n\
             verify: Waiting 1 seconds to verify that tasks are stable...\nverify: Service web converged\ndone\n"
        );
    }
}
