//! Counts of a service's tasks, as lists of services show them.

use swarm_state::{Service, State};
use swarm_types::{ServiceStatus, TaskState};

/// How many tasks of the service run, should run and have completed.
#[must_use]
pub fn service_status(state: &State, service: &Service) -> ServiceStatus {
    let mut status = ServiceStatus::default();
    let mut wanted = 0;
    for task in state.tasks_of_service(service.id) {
        let (observed, desired) = (task.status.state, task.desired_state);
        if observed == TaskState::Running && desired == TaskState::Running {
            status.running_tasks += 1;
        }
        if observed == TaskState::Complete && desired == TaskState::Complete {
            status.completed_tasks += 1;
        }
        wanted += u64::from(desired == TaskState::Running || desired == TaskState::Complete && observed != TaskState::Complete);
    }
    let mode = &service.current.spec.mode;
    status.desired_tasks = match (&mode.replicated_job, mode.global.is_some() || mode.global_job.is_some()) {
        (Some(job), _) => job.max_concurrent.unwrap_or(1),
        (None, true) => wanted,
        (None, false) => replicas(service),
    };
    status
}

/// How many slots a replicated service should have.
#[must_use]
pub fn replicas(service: &Service) -> u64 {
    service.current.spec.mode.replicated.as_ref().and_then(|r| r.replicas).unwrap_or(1)
}
