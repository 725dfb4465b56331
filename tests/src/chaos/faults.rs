//! What is broken, and chance that a seed repeats.

use anyhow::Result;
use nix::sys::signal::Signal;
use std::{fmt, time::Duration};
use swarm_testkit::{Cluster, Process};

/// Numbers that follow from a seed alone, whatever the version of any library: SplitMix64.
#[derive(Debug)]
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A number below `bound`, which is small: the bias does not matter.
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound.max(1)
    }

    /// A time between two bounds in milliseconds.
    pub(super) fn span(&mut self, (least, most): (u64, u64)) -> Duration {
        Duration::from_millis(least + self.below(most - least + 1))
    }
}

/// What happens to a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// kill -9 of the manager; the agent starts it again.
    ManagerKilled,
    /// kill -9 of the agent, started again at the end. Containers and manager run on.
    AgentKilled,
    /// kill -9 of both, agent first, so that nobody starts the manager meanwhile.
    BothKilled,
    /// The manager stands still until the end.
    ManagerStopped,
    /// No packet comes or goes until the end.
    Cut,
}

/// One fault of one host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fault {
    host: u8,
    kind: Kind,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.kind {
            Kind::ManagerKilled => "manager killed",
            Kind::AgentKilled => "agent killed",
            Kind::BothKilled => "agent and manager killed",
            Kind::ManagerStopped => "manager stopped",
            Kind::Cut => "cut off",
        };
        write!(f, "h{}: {what}", self.host)
    }
}

impl Fault {
    /// A fault that this host can have.
    pub(super) fn draw(dice: &mut Dice, host: u8, managers: u8) -> Self {
        let of_a_manager = [Kind::ManagerKilled, Kind::AgentKilled, Kind::BothKilled, Kind::ManagerStopped, Kind::Cut];
        let of_a_worker = [Kind::AgentKilled, Kind::Cut];
        let kinds: &[Kind] = if host <= managers { &of_a_manager } else { &of_a_worker };
        let place = usize::try_from(dice.below(kinds.len() as u64)).expect("few kinds");
        Self { host, kind: kinds[place] }
    }

    /// Begins it. Gives the process that stands still, if one does.
    pub(super) fn begin(self, cluster: &Cluster) -> Result<Option<Process>> {
        let agent = cluster.agent(self.host);
        // There may be no manager yet after the last fault.
        let manager = agent.manager();
        match self.kind {
            Kind::ManagerKilled => manager.map_or(Ok(()), |manager| manager.kill())?,
            Kind::AgentKilled => agent.kill()?,
            Kind::BothKilled => {
                agent.kill()?;
                // It may have been started only now.
                agent.manager().map_or(Ok(()), |manager| manager.kill())?;
            }
            Kind::ManagerStopped => {
                if let Some(manager) = manager {
                    manager.signal(Signal::SIGSTOP)?;
                    return Ok(Some(manager));
                }
            }
            Kind::Cut => cluster.host(self.host).cut()?,
        }
        Ok(None)
    }

    /// Undoes it; `stopped` is what [`Fault::begin`] gave.
    pub(super) fn end(self, cluster: &Cluster, stopped: Option<Process>) -> Result<()> {
        match self.kind {
            Kind::ManagerKilled => Ok(()),
            Kind::AgentKilled | Kind::BothKilled => cluster.agent(self.host).start_again(),
            // Its agent may have lost patience with it.
            Kind::ManagerStopped => stopped.filter(Process::alive).map_or(Ok(()), |manager| manager.signal(Signal::SIGCONT)),
            Kind::Cut => cluster.host(self.host).heal(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_repeats_and_workers_have_no_manager_to_kill() {
        let draw = |seed| {
            let mut dice = Dice::new(seed);
            (0..50).map(|n| Fault::draw(&mut dice, 1 + n % 5, 3)).collect::<Vec<_>>()
        };
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8));
        let of_workers = draw(7).into_iter().filter(|fault| fault.host > 3).map(|fault| fault.kind);
        assert!(of_workers.into_iter().all(|kind| matches!(kind, Kind::AgentKilled | Kind::Cut)));
    }
}
