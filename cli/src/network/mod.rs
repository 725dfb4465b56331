//! Commands about networks: those of the cluster, and those of the host, which the agent shows together.

mod create;
mod ls;
mod remove;

use crate::failure::Outcome;
use crate::inspect::{Form, Inspection};
use crate::line::Invocation;
use crate::line::values;
use crate::list::INSPECT_FORMAT_HELP;
use crate::query::escape;
use crate::session::Session;
use create::CreateArgs;
use ls::LsArgs;
use remove::{PruneArgs, RmArgs};
use swarm_template::ObjectKind;

/// Commands about networks, with their flags and arguments.
#[derive(clap::Subcommand, Debug)]
pub(crate) enum NetworkCommand {
    /// Create a network
    #[command(override_usage = "[OPTIONS] NETWORK")]
    Create(Box<CreateArgs>),
    /// List networks
    #[command(override_usage = "[OPTIONS]", alias = "list")]
    Ls(LsArgs),
    /// Display detailed information on one or more networks
    #[command(override_usage = "[OPTIONS] NETWORK [NETWORK...]")]
    Inspect(InspectArgs),
    /// Remove one or more networks
    #[command(override_usage = "NETWORK [NETWORK...]", alias = "remove")]
    Rm(RmArgs),
    /// Remove all unused networks
    #[command(override_usage = "[OPTIONS]")]
    Prune(PruneArgs),
}

/// Of `inspect`.
#[derive(clap::Args, Debug)]
pub(crate) struct InspectArgs {
    #[arg(short = 'f', long, value_name = "string", help = INSPECT_FORMAT_HELP)]
    format: Option<String>,
    /// Verbose output for diagnostics
    #[arg(short = 'v', long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = values::switch)]
    verbose: Option<bool>,
    #[arg(hide = true)]
    networks: Vec<String>,
}

/// Runs a command about networks.
///
/// # Errors
/// On wrong arguments and on what the daemon refuses.
pub(crate) async fn run(command: NetworkCommand, invocation: &Invocation, session: &Session) -> Outcome {
    match command {
        NetworkCommand::Create(args) => create::create(&args, invocation, session).await,
        NetworkCommand::Ls(args) => ls::ls(&args, invocation, session).await,
        NetworkCommand::Inspect(args) => inspect(&args, invocation, session).await,
        NetworkCommand::Rm(args) => remove::rm(&args, invocation, session).await,
        NetworkCommand::Prune(args) => remove::prune(&args, invocation, session).await,
    }
}

async fn inspect(args: &InspectArgs, invocation: &Invocation, session: &Session) -> Outcome {
    invocation.some_args(&args.networks)?;
    let form = Form::parse(args.format.as_deref().unwrap_or_default())?;
    if matches!(form, Form::Pretty) {
        return Err("networks have no pretty format".into());
    }
    let verbose = if args.verbose.unwrap_or_default() { "?verbose=true" } else { "" };
    let mut inspection = Inspection::new(form);
    for word in &args.networks {
        inspection.take(ObjectKind::Network, session.api.get_text(&format!("/networks/{}{verbose}", escape(word))).await);
    }
    inspection.finish()
}
