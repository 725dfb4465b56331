//! `service scale`.

use super::progress;
use super::update::Stored;
use crate::failure::{Failure, Outcome};
use crate::line::{Invocation, values};
use crate::output::{print_line, warn};
use crate::session::Session;

/// Changes the number of tasks of services, going on past failures, and then waits for each, unless told not to.
///
/// # Errors
/// All that failed.
pub(super) async fn scale(detach: bool, args: &[String], invocation: &Invocation, session: &Session) -> Outcome {
    let pairs = args.iter().map(|arg| specifier(arg, invocation)).collect::<Outcome<Vec<_>>>()?;
    let mut failures = Vec::new();
    let mut scaled = Vec::new();
    for (service, replicas) in pairs {
        match scale_one(service, replicas, session).await {
            Ok(replicas) => {
                print_line(&format!("{service} scaled to {replicas}"))?;
                scaled.push(service);
            }
            Err(failure) => failures.push(failure.about(service)),
        }
    }
    for service in scaled.into_iter().filter(|_| !detach) {
        if let Err(failure) = progress::wait(service, false, session).await {
            failures.push(failure.about(service));
        }
    }
    Failure::join(failures)
}

fn specifier<'a>(arg: &'a str, invocation: &Invocation) -> Outcome<(&'a str, &'a str)> {
    arg.split_once('=').filter(|(service, replicas)| !service.is_empty() && !replicas.is_empty()).ok_or_else(|| {
        let Invocation { path, usage, about, .. } = invocation;
        Failure::new(format!("invalid scale specifier '{arg}'.\nSee '{path} --help'.\n\nUsage:  {usage}\n\n{about}"))
    })
}

async fn scale_one(service: &str, replicas: &str, session: &Session) -> Outcome<u64> {
    let replicas = values::decimal(replicas).map_err(|why| Failure::new(format!("invalid replicas value {replicas}: {why}")))?;
    let stored = Stored::read(service, session).await?;
    let before = stored.spec()?;
    let mut after = before.clone();
    if let Some(replicated) = &mut after.mode.replicated {
        replicated.replicas = Some(replicas);
    } else if let Some(job) = &mut after.mode.replicated_job {
        job.total_completions = Some(replicas);
    } else {
        return Err("scale can only be used with replicated or replicated-job mode".into());
    }
    for warning in stored.store(&before, &after, session).await? {
        warn(&warning);
    }
    Ok(replicas)
}
