//! Getting out of a swarm.

use super::{
    LEFT,
    node_loop::{NodeLoop, State, Waiting},
};
use crate::{
    chain,
    daemon::{
        member::{Member, open_worker},
        paths::wipe,
    },
    identity::record::{NodeRecord, Phase, RecordFile},
    membership::{InitError, JoinError, LeaveError, ManagerView},
    supervisor::{self, ManagerCounts, Stop},
};
use std::time::Duration;
use tokio::time::{Instant, timeout};

/// How long other managers may take to be told of a leave.
const FAREWELL_TIMEOUT: Duration = Duration::from_secs(5);
/// Between two attempts to finish a leave that a crash interrupted.
const LEAVE_RETRY: Duration = Duration::from_secs(5);

const BEGIN: &str = "You are attempting to leave the swarm on a node that is participating as a manager. ";
const LAST: &str = "Removing the last manager erases all current state of the swarm. Use `--force` to ignore this message. ";
const INACTIVE: &str = "Doing so may lose the consensus of your cluster. ";
const END: &str = "The only way to restore a swarm that has lost consensus is to reinitialize it with `--force-new-cluster`. Use \
     `--force` to suppress this message.";

impl NodeLoop {
    pub(crate) async fn leave(&mut self, force: bool) -> Result<(), LeaveError> {
        match &mut self.state {
            State::Outside { error } if error.is_empty() => Err(LeaveError::NoSwarm),
            State::Outside { error } => {
                error.clear();
                Ok(())
            }
            State::Initializing(_) => {
                self.init_failed(InitError::BrokenOff(LEFT)).await;
                Ok(())
            }
            State::Joining(task) => {
                task.abort();
                if let Waiting::Join { reply, .. } = std::mem::replace(&mut self.waiting, Waiting::Nobody) {
                    self.reply(reply, Err(JoinError::BrokenOff(LEFT)));
                }
                self.state = State::Outside { error: String::new() };
                wipe(&self.host.paths).map_err(LeaveError::State)
            }
            State::Member(_) => self.leave_swarm(force).await,
            State::Stuck { .. } => self.leave_stuck(force).await,
        }
    }

    async fn leave_swarm(&mut self, force: bool) -> Result<(), LeaveError> {
        let State::Member(member) = &mut self.state else {
            return Err(LeaveError::NoSwarm);
        };
        let view = member.view();
        if view.manager != ManagerView::None && !force {
            let counts = match view.node_id {
                Some(own) => supervisor::count_managers(&self.host.paths.manager_socket, own).await,
                None => None,
            };
            return Err(LeaveError::Manager(refusal(counts)));
        }
        if let Err(error) = member.clear().await {
            if !force {
                return Err(LeaveError::Containers(error));
            }
            tracing::error!(error, "containers of this node's tasks are left behind");
        }
        // From here on there is no way back: a crash goes on with it.
        let record = NodeRecord { phase: Phase::Leaving, ..member.record().clone() };
        let saved = RecordFile::new(&self.host.paths.state_dir).save(&record);
        saved.map_err(|error| LeaveError::State(chain(&error)))?;
        // While there is still a leader to hear it: that may be the manager of this very host.
        let (identity, roots, managers, own) = member.farewell();
        let told = Member::tell_leaving(identity, roots, managers, own);
        if timeout(FAREWELL_TIMEOUT, told).await.is_err() {
            tracing::info!("no manager could be told in time that this node leaves");
        }
        if view.manager != ManagerView::None {
            supervisor::leave_group(&self.host.paths.manager_socket).await;
        }
        let stuck = State::Stuck { record, error: "this node is leaving its swarm".to_owned(), retry_at: None };
        if let State::Member(member) = std::mem::replace(&mut self.state, stuck) {
            member.stop(Stop::WithManager).await;
        }
        self.finish_leaving().await
    }

    /// Leaves with what is left of a membership.
    pub(crate) async fn leave_stuck(&mut self, force: bool) -> Result<(), LeaveError> {
        let State::Stuck { record, .. } = &self.state else {
            return Err(LeaveError::NoSwarm);
        };
        let mut record = record.clone();
        if let Some(node_id) = record.node_id {
            let cleared = match open_worker(&self.host, node_id).await {
                Ok(worker) => {
                    let cleared = worker.clear().await.map_err(|error| chain(&error));
                    worker.shutdown().await;
                    cleared
                }
                Err(error) => Err(error),
            };
            if let Err(error) = cleared
                && !force
            {
                let retry_at = (record.phase == Phase::Leaving).then(|| Instant::now() + LEAVE_RETRY);
                self.state = State::Stuck { record, error: format!("this node cannot leave its swarm yet: {error}"), retry_at };
                return Err(LeaveError::Containers(error));
            }
        }
        record.phase = Phase::Leaving;
        RecordFile::new(&self.host.paths.state_dir).save(&record).map_err(|error| LeaveError::State(chain(&error)))?;
        self.finish_leaving().await
    }

    async fn finish_leaving(&mut self) -> Result<(), LeaveError> {
        if let Err(error) = wipe(&self.host.paths) {
            if let State::Stuck { error: shown, retry_at, .. } = &mut self.state {
                *shown = format!("the state of this node could not be removed: {error}");
                *retry_at = Some(Instant::now() + LEAVE_RETRY);
            }
            return Err(LeaveError::State(error));
        }
        self.host.networks.outside();
        self.host.networks.cleared().await;
        tracing::info!("this host left its swarm");
        self.state = State::Outside { error: String::new() };
        Ok(())
    }
}

/// Why a manager should not leave without force. The texts are Docker's.
///
/// `counts` is `None` when the manager answers no calls.
fn refusal(counts: Option<ManagerCounts>) -> String {
    let Some(counts) = counts else {
        return format!("{BEGIN}{INACTIVE}{END}");
    };
    let ManagerCounts { is_active, reachable, unreachable } = counts;
    // What is left after one less has to be more than half.
    let loses_quorum = reachable <= unreachable + 2;
    if !is_active || !loses_quorum {
        return format!("{BEGIN}{END}");
    }
    if reachable == 1 && unreachable == 0 {
        return format!("{BEGIN}{LAST}");
    }
    let left = reachable.saturating_sub(1);
    let all = reachable + unreachable;
    format!("{BEGIN}Removing this node leaves {left} managers out of {all}. Without a Raft quorum your swarm will be inaccessible. {END}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(reachable: u64, unreachable: u64) -> String {
        refusal(Some(ManagerCounts { is_active: true, reachable, unreachable }))
    }

    #[test]
    fn the_words_are_dockers() {
        assert_eq!(text(1, 0), format!("{BEGIN}{LAST}"));
        assert!(text(2, 0).contains("Removing this node leaves 1 managers out of 2. Without a Raft quorum"));
        assert!(text(2, 1).contains("leaves 1 managers out of 3."));
        assert_eq!(text(3, 0), format!("{BEGIN}{END}"));
        assert_eq!(refusal(None), format!("{BEGIN}{INACTIVE}{END}"));
    }
}
