//! Commands about stacks: services, networks, secrets and configs that compose files describe and a label holds together.

mod deploy;
mod files;
mod listing;
mod rm;

use crate::failure::{Failure, Outcome};
use crate::line::{Invocation, values};
use crate::output::{print, warn};
use crate::query::Filters;
use crate::service;
use crate::session::Session;
use crate::task_table::{TaskFlags, print_tasks};
use files::FileFlags;
use swarm_compose::NAMESPACE_LABEL;
use swarm_types::Task;

/// The commands, with their flags and arguments.
#[derive(clap::Subcommand, Debug)]
pub(crate) enum StackCommand {
    /// Outputs the final config file, after doing merges and interpolations
    #[command(override_usage = "[OPTIONS]")]
    Config(ConfigArgs),
    /// Deploy a new stack or update an existing stack
    #[command(override_usage = "[OPTIONS] STACK", alias = "up")]
    Deploy(DeployArgs),
    /// List stacks
    #[command(override_usage = "[OPTIONS]", alias = "list")]
    Ls(LsArgs),
    /// List the tasks in the stack
    #[command(override_usage = "[OPTIONS] STACK")]
    Ps(PsArgs),
    /// Remove one or more stacks
    #[command(override_usage = "[OPTIONS] STACK [STACK...]", aliases = ["remove", "down"])]
    Rm(RmArgs),
    /// List the services in the stack
    #[command(override_usage = "[OPTIONS] STACK")]
    Services(ServicesArgs),
}

/// Of `config`.
#[derive(clap::Args, Debug)]
pub(crate) struct ConfigArgs {
    #[command(flatten)]
    files: FileFlags,
    /// Skip interpolation and output only merged config
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = values::switch)]
    skip_interpolation: Option<bool>,
    #[arg(hide = true)]
    args: Vec<String>,
}

/// Of `deploy`.
#[derive(clap::Args, Debug)]
pub(crate) struct DeployArgs {
    #[command(flatten)]
    files: FileFlags,
    /// Exit immediately instead of waiting for the stack services to converge (default true)
    #[arg(short = 'd', long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = values::switch)]
    detach: Option<bool>,
    /// Prune services that are no longer referenced
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = values::switch)]
    prune: Option<bool>,
    /// Suppress progress output
    #[arg(short = 'q', long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = values::switch)]
    quiet: Option<bool>,
    /// Query the registry to resolve image digest and supported platforms ("always", "changed", "never")
    #[arg(long, value_name = "string", default_value = "always", value_parser = deploy::resolve_mode)]
    resolve_image: deploy::Resolve,
    #[arg(hide = true)]
    stacks: Vec<String>,
}

/// Of `ls`.
#[derive(clap::Args, Debug)]
pub(crate) struct LsArgs {
    /// Format output using a custom template
    #[arg(long, value_name = "string")]
    format: Option<String>,
    #[arg(hide = true)]
    args: Vec<String>,
}

/// Of `ps`.
#[derive(clap::Args, Debug)]
pub(crate) struct PsArgs {
    #[command(flatten)]
    tasks: TaskFlags,
    #[arg(hide = true)]
    stacks: Vec<String>,
}

/// Of `rm`.
#[derive(clap::Args, Debug)]
pub(crate) struct RmArgs {
    /// Do not wait for stack removal (default true)
    #[arg(short = 'd', long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = values::switch)]
    detach: Option<bool>,
    #[arg(hide = true)]
    stacks: Vec<String>,
}

/// Of `services`.
#[derive(clap::Args, Debug)]
pub(crate) struct ServicesArgs {
    #[command(flatten)]
    list: crate::list::ListFlags,
    #[arg(hide = true)]
    stacks: Vec<String>,
}

/// Runs a command about stacks.
///
/// # Errors
/// On wrong arguments, on compose files that make no sense, and on what the daemon refuses.
pub(crate) async fn run(command: StackCommand, invocation: &Invocation, session: &Session) -> Outcome {
    match command {
        StackCommand::Config(args) => {
            invocation.no_args(&args.args)?;
            let project = args.files.load(!args.skip_interpolation.unwrap_or_default())?;
            print(&project.to_yaml().map_err(|error| Failure::new(error.to_string()))?)
        }
        StackCommand::Deploy(args) => {
            let stack = name(invocation.one_arg(&args.stacks)?)?;
            deploy::deploy(&args, stack, session).await
        }
        StackCommand::Ls(args) => {
            invocation.no_args(&args.args)?;
            listing::ls(args.format.as_deref(), session).await
        }
        StackCommand::Ps(args) => {
            let stack = name(invocation.one_arg(&args.stacks)?)?;
            ps(&args.tasks, stack, session).await
        }
        StackCommand::Rm(args) => {
            invocation.some_args(&args.stacks)?;
            args.stacks.iter().try_for_each(|stack| name(stack).map(drop))?;
            rm::rm(&args.stacks, args.detach.unwrap_or(true), session).await
        }
        StackCommand::Services(args) => {
            let stack = name(invocation.one_arg(&args.stacks)?)?;
            services(&args.list, stack, session).await
        }
    }
}

/// Checks the name of a stack.
///
/// # Errors
/// If it is empty or nothing but quotes.
fn name(stack: &str) -> Outcome<&str> {
    if stack.trim_matches(|c: char| c == '\'' || c == '"' || c.is_whitespace()).is_empty() {
        return Err(Failure::new(format!("invalid stack name: {stack:?}")));
    }
    Ok(stack)
}

/// Finds what belongs to a stack.
fn of_stack(mut filters: Filters, stack: &str) -> Filters {
    filters.add("label", &format!("{NAMESPACE_LABEL}={stack}"));
    filters
}

async fn ps(flags: &TaskFlags, stack: &str, session: &Session) -> Outcome {
    let mut filters = of_stack(Filters::parse(&flags.filter), stack);
    for word in filters.take("node") {
        filters.add("node", &crate::node::reference(&word, session).await?);
    }
    let tasks: Vec<Task> = session.api.get(&filters.on("/tasks", &[])).await?;
    if tasks.is_empty() {
        return Err(Failure::new(format!("nothing found in stack: {stack}")));
    }
    print_tasks(flags, tasks, session).await
}

async fn services(flags: &crate::list::ListFlags, stack: &str, session: &Session) -> Outcome {
    let services = service::ls::matching(flags, &of_stack(Filters::parse(&flags.filter), stack), session).await?;
    if services.is_empty() {
        warn(&nothing_found(stack));
        return Ok(());
    }
    service::ls::show(flags, &services, session)
}

fn nothing_found(stack: &str) -> String {
    format!("Nothing found in stack: {stack}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blank_names_are_refused() {
        assert!(name("web").is_ok());
        for text in ["", "  ", "''", "\"\""] {
            assert_eq!(name(text).map_err(|e| e.to_string()), Err(format!("invalid stack name: {text:?}")));
        }
    }
}
