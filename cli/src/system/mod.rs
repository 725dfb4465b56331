//! Commands about the daemon, the connection to it, and this program itself.

mod dial_stdio;
mod events;
mod info;
mod version;

pub(crate) use events::{EventsArgs, events};
pub(crate) use info::info;
pub(crate) use version::version;

use crate::failure::{Failure, Outcome};
use crate::line::Invocation;
use crate::output::print;
use crate::session::Session;
use clap_complete::Shell;

/// The version of this program.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The commands of the group, with their flags and arguments.
#[derive(clap::Subcommand, Debug)]
pub(crate) enum SystemCommand {
    /// Proxy the stdio stream to the daemon connection. Should not be invoked manually
    #[command(hide = true, override_usage = " ")]
    DialStdio(DialStdioArgs),
    /// Get real time events from the server
    #[command(override_usage = "[OPTIONS]")]
    Events(EventsArgs),
    /// Display system-wide information
    #[command(override_usage = "[OPTIONS]")]
    Info(FormatArgs),
}

/// Of `dial-stdio`.
#[derive(clap::Args, Debug)]
pub(crate) struct DialStdioArgs {
    #[arg(hide = true)]
    args: Vec<String>,
}

/// Of commands that show one object.
#[derive(clap::Args, Debug)]
pub(crate) struct FormatArgs {
    #[arg(short = 'f', long, value_name = "string", help = crate::list::INSPECT_FORMAT_HELP)]
    format: Option<String>,
    #[arg(hide = true)]
    args: Vec<String>,
}

/// Of `completion`.
#[derive(clap::Args, Debug)]
pub(crate) struct CompletionArgs {
    #[arg(hide = true)]
    args: Vec<String>,
}

/// Runs one of the commands of the group.
///
/// # Errors
/// On wrong arguments, and if the daemon does not answer.
pub(crate) async fn run(command: SystemCommand, invocation: &Invocation, session: &Session) -> Outcome {
    match command {
        SystemCommand::DialStdio(args) => {
            invocation.no_args(&args.args)?;
            dial_stdio::dial_stdio(session).await
        }
        SystemCommand::Events(args) => events(&args, invocation, session).await,
        SystemCommand::Info(args) => info(&args, invocation, session).await,
    }
}

/// Prints the completion script of a shell for the command tree.
///
/// # Errors
/// On shells without one.
pub(crate) fn completion(args: &CompletionArgs, invocation: &Invocation, tree: &mut clap::Command) -> Outcome {
    let shell = match invocation.one_arg(&args.args)? {
        "bash" => Shell::Bash,
        "zsh" => Shell::Zsh,
        "fish" => Shell::Fish,
        other => {
            return Err(Failure::new(format!("unsupported shell {other:?}: use bash, zsh or fish")));
        }
    };
    let mut script = Vec::new();
    clap_complete::generate(shell, tree, "swarm", &mut script);
    print(&String::from_utf8_lossy(&script))
}
