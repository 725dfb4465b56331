//! Counts of a service's tasks, as lists of services show them.

use crate::job;
use swarm_state::{Service, State};
use swarm_types::{ServiceStatus, TaskState};

/// How many tasks of the service run, should run and have completed.
#[must_use]
pub fn service_status(state: &State, service: &Service) -> ServiceStatus {
    let mut status = ServiceStatus::default();
    let mut wanted = 0;
    // Of a job only the present run counts.
    let iteration = service.job.map(|job| job.job_iteration);
    for task in state.tasks_of_service(service.id).filter(|task| task.job_iteration == iteration) {
        let (observed, desired) = (task.status.state, task.desired_state);
        let wants = matches!(desired, TaskState::Running | TaskState::Complete);
        status.running_tasks += u64::from(observed == TaskState::Running && wants);
        status.completed_tasks += u64::from(observed == TaskState::Complete && desired == TaskState::Complete);
        // While a task waits to be tried again it is not complete either.
        let waits = iteration.is_some() && desired < TaskState::Running;
        wanted += u64::from(desired == TaskState::Running || waits || desired == TaskState::Complete && observed != TaskState::Complete);
    }
    let mode = &service.current.spec.mode;
    status.desired_tasks = match (&mode.replicated_job, mode.global.is_some() || mode.global_job.is_some()) {
        (Some(job), _) => job::size(job).0,
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
