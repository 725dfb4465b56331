//! Commands about services.

mod create;
pub(crate) mod environment;
pub(crate) mod flags;
mod inspect;
pub(crate) mod ls;
mod payloads;
pub(crate) mod pin;
mod pretty;
pub(crate) mod progress;
mod ps;
mod rollback;
mod scale;
mod spec;
pub(crate) mod update;

use crate::failure::{Failure, Outcome};
use crate::inspect::InspectFlags;
use crate::line::Invocation;
use crate::list::ListFlags;
use crate::output::print_line;
use crate::query::escape;
use crate::session::Session;
use crate::task_table::TaskFlags;
use flags::{CreateFlags, DetachFlag, UpdateFlags, WaitFlags};

/// The commands, with their flags and arguments.
#[derive(clap::Subcommand, Debug)]
pub(crate) enum ServiceCommand {
    /// Create a new service
    #[command(override_usage = "[OPTIONS] IMAGE [COMMAND] [ARG...]")]
    Create(Box<CreateArgs>),
    /// List services
    #[command(override_usage = "[OPTIONS]", alias = "list")]
    Ls(LsArgs),
    /// List the tasks of one or more services
    #[command(override_usage = "[OPTIONS] SERVICE [SERVICE...]")]
    Ps(PsArgs),
    /// Display detailed information on one or more services
    #[command(override_usage = "[OPTIONS] SERVICE [SERVICE...]")]
    Inspect(InspectArgs),
    /// Update a service
    #[command(override_usage = "[OPTIONS] SERVICE")]
    Update(Box<UpdateArgs>),
    /// Scale one or multiple replicated services
    #[command(override_usage = "SERVICE=REPLICAS [SERVICE=REPLICAS...]")]
    Scale(ScaleArgs),
    /// Revert changes to a service's configuration
    #[command(override_usage = "[OPTIONS] SERVICE")]
    Rollback(RollbackArgs),
    /// Remove one or more services
    #[command(override_usage = "SERVICE [SERVICE...]", alias = "remove")]
    Rm(RmArgs),
}

/// Of `create`.
#[derive(clap::Args, Debug)]
pub(crate) struct CreateArgs {
    #[command(flatten)]
    flags: CreateFlags,
    /// Image, command and arguments
    #[arg(hide = true, trailing_var_arg = true)]
    command: Vec<String>,
}

/// Of `ls`.
#[derive(clap::Args, Debug)]
pub(crate) struct LsArgs {
    #[command(flatten)]
    list: ListFlags,
    #[arg(hide = true)]
    args: Vec<String>,
}

/// Of `ps`.
#[derive(clap::Args, Debug)]
pub(crate) struct PsArgs {
    #[command(flatten)]
    tasks: TaskFlags,
    #[arg(hide = true)]
    services: Vec<String>,
}

/// Of `inspect`.
#[derive(clap::Args, Debug)]
pub(crate) struct InspectArgs {
    #[command(flatten)]
    inspect: InspectFlags,
    #[arg(hide = true)]
    services: Vec<String>,
}

/// Of `update`.
#[derive(clap::Args, Debug)]
pub(crate) struct UpdateArgs {
    #[command(flatten)]
    flags: UpdateFlags,
    #[arg(hide = true)]
    services: Vec<String>,
}

/// Of `scale`.
#[derive(clap::Args, Debug)]
pub(crate) struct ScaleArgs {
    #[command(flatten)]
    detach: DetachFlag,
    #[arg(hide = true)]
    services: Vec<String>,
}

/// Of `rollback`.
#[derive(clap::Args, Debug)]
pub(crate) struct RollbackArgs {
    #[command(flatten)]
    wait: WaitFlags,
    #[arg(hide = true)]
    services: Vec<String>,
}

/// Of `rm`.
#[derive(clap::Args, Debug)]
pub(crate) struct RmArgs {
    #[arg(hide = true)]
    services: Vec<String>,
}

/// Runs one of the commands.
///
/// # Errors
/// On wrong arguments and on what the daemon refuses.
pub(crate) async fn run(command: ServiceCommand, invocation: &Invocation, session: &Session) -> Outcome {
    match command {
        ServiceCommand::Create(args) => {
            invocation.some_args(&args.command)?;
            create::create(&args.flags, &args.command, session).await
        }
        ServiceCommand::Ls(args) => {
            invocation.no_args(&args.args)?;
            ls::ls(&args.list, session).await
        }
        ServiceCommand::Ps(args) => {
            invocation.some_args(&args.services)?;
            ps::ps(&args.tasks, &args.services, session).await
        }
        ServiceCommand::Inspect(args) => {
            invocation.some_args(&args.services)?;
            inspect::inspect(&args.inspect, &args.services, session).await
        }
        ServiceCommand::Update(args) => {
            let service = invocation.one_arg(&args.services)?;
            update::update(&args.flags, service, session).await
        }
        ServiceCommand::Scale(args) => {
            invocation.some_args(&args.services)?;
            scale::scale(args.detach.detach.unwrap_or_default(), &args.services, invocation, session).await
        }
        ServiceCommand::Rollback(args) => {
            let service = invocation.one_arg(&args.services)?;
            rollback::rollback(args.wait, service, session).await
        }
        ServiceCommand::Rm(args) => {
            invocation.some_args(&args.services)?;
            rm(&args.services, session).await
        }
    }
}

async fn rm(services: &[String], session: &Session) -> Outcome {
    let mut failures = Vec::new();
    for service in services {
        match session.api.delete(&format!("/services/{}", escape(service))).await {
            Ok(()) => print_line(service)?,
            Err(failure) => failures.push(failure),
        }
    }
    Failure::join(failures)
}
