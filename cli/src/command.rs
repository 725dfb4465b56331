//! The command tree, and from the words of a command line to the command that runs.

use crate::failure::{Failure, Outcome};
use crate::line::{self, Invocation};
use crate::network::{self, NetworkCommand};
use crate::node::{self, NodeCommand};
use crate::output::{help_width, print, print_line, warn};
use crate::payload::{self, ConfigCommand, SecretCommand};
use crate::service::{self, ServiceCommand};
use crate::session::{Connection, Session};
use crate::stack::{self, StackCommand};
use crate::swarm_cmd::{self, SwarmCommand};
use crate::system::{self, CompletionArgs, EventsArgs, FormatArgs, SystemCommand};
use clap::{ArgMatches, CommandFactory as _, FromArgMatches as _};

/// A Docker Swarm compatible orchestrator.
#[derive(clap::Parser, Debug)]
#[command(name = "swarm", override_usage = "[OPTIONS] COMMAND [ARG...]")]
struct Line {
    #[command(flatten)]
    connection: Connection,
    /// Print version information and quit
    #[arg(short = 'v', long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = line::values::switch)]
    version: Option<bool>,
    #[command(subcommand)]
    command: Root,
}

/// The commands at the top.
#[derive(clap::Subcommand, Debug)]
enum Root {
    /// Manage Swarm
    #[command(subcommand, override_usage = "COMMAND")]
    Swarm(SwarmCommand),
    /// Manage Swarm nodes
    #[command(subcommand, override_usage = "COMMAND")]
    Node(NodeCommand),
    /// Manage Swarm services
    #[command(subcommand, override_usage = "COMMAND")]
    Service(ServiceCommand),
    /// Manage Swarm stacks
    #[command(subcommand, override_usage = "COMMAND")]
    Stack(StackCommand),
    /// Manage Swarm secrets
    #[command(subcommand, override_usage = "COMMAND")]
    Secret(SecretCommand),
    /// Manage Swarm configs
    #[command(subcommand, override_usage = "COMMAND")]
    Config(ConfigCommand),
    /// Manage networks
    #[command(subcommand, override_usage = "COMMAND")]
    Network(NetworkCommand),
    /// Manage the connection to the daemon
    #[command(subcommand, override_usage = "COMMAND")]
    System(SystemCommand),
    #[command(flatten)]
    Shortcut(SwarmCommand),
    /// Show the Swarm version information
    #[command(override_usage = "[OPTIONS]")]
    Version(FormatArgs),
    /// Display system-wide information
    #[command(override_usage = "[OPTIONS]")]
    Info(FormatArgs),
    /// Get real time events from the server
    #[command(override_usage = "[OPTIONS]")]
    Events(EventsArgs),
    /// Generate the autocompletion script for the specified shell
    #[command(override_usage = "bash|zsh|fish")]
    Completion(CompletionArgs),
    /// Help about the command
    #[command(hide = true, override_usage = "[COMMAND]")]
    Help(HelpArgs),
}

/// Of `help`.
#[derive(clap::Args, Debug)]
struct HelpArgs {
    #[arg(hide = true)]
    command: Vec<String>,
}

/// The command tree as it is parsed.
pub(crate) fn tree() -> clap::Command {
    line::docker_rules(crate::later::install(Line::command()))
}

/// Runs what `words` (without the program's name) ask for.
///
/// # Errors
/// On wrong words, and whatever the command meets.
pub(crate) fn run(mut words: Vec<String>) -> Outcome {
    let mut tree = tree();
    line::stop_flags_at_first_argument(&tree, &mut words);
    let program = [tree.get_name().to_owned()];
    let parsed = tree.try_get_matches_from_mut(program.iter().chain(&words));
    let matches = parsed.map_err(|error| line::explain(&tree, &words, &error))?;

    let (path, deepest) = deepest(&matches);
    let found = line::locate(&tree, &words);
    let help = line::render_help(&found.path, found.command, help_width());
    if deepest.get_flag(line::HELP) {
        return print(&help);
    }
    if matches.get_one::<bool>("version") == Some(&true) {
        return print_line(&format!("Swarm version {}", system::VERSION));
    }
    if found.command.has_subcommands() {
        // A group alone does nothing; what it could do goes where it does not disturb a script.
        warn(help.trim_end());
        return Ok(());
    }
    crate::later::refuse(&path, deepest)?;
    let invocation = Invocation::new(&found.path, found.command, deepest, help);
    let parsed = Line::from_arg_matches(&matches).map_err(|error| line::explain(&tree, &words, &error))?;
    start(parsed, &invocation)
}

/// The words of the command that was found, and its own matches.
fn deepest(matches: &ArgMatches) -> (Vec<&str>, &ArgMatches) {
    let mut path = Vec::new();
    let mut deepest = matches;
    while let Some((name, inner)) = deepest.subcommand() {
        path.push(name);
        deepest = inner;
    }
    (path, deepest)
}

fn start(line: Line, invocation: &Invocation) -> Outcome {
    let command = match line.command {
        Root::Help(args) => return help(&args.command),
        Root::Completion(args) => {
            // Without what is refused: nobody wants that completed.
            return system::completion(&args, invocation, &mut line::docker_rules(Line::command()));
        }
        command => command,
    };
    // One thread: a command waits far more than it computes, and a pool would cost more to start than most commands take.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let outcome = runtime.block_on(async {
        let session = Session::open(&line.connection)?;
        match command {
            Root::Swarm(command) | Root::Shortcut(command) => swarm_cmd::run(command, invocation, &session).await,
            Root::Node(command) => node::run(command, invocation, &session).await,
            Root::Service(command) => service::run(command, invocation, &session).await,
            Root::Stack(command) => stack::run(command, invocation, &session).await,
            Root::Secret(command) => payload::run_secret(command, invocation, &session).await,
            Root::Config(command) => payload::run_config(command, invocation, &session).await,
            Root::Network(command) => network::run(command, invocation, &session).await,
            Root::System(command) => system::run(command, invocation, &session).await,
            Root::Version(args) => system::version(&args, invocation, &session).await,
            Root::Info(args) => system::info(&args, invocation, &session).await,
            Root::Events(args) => system::events(&args, invocation, &session).await,
            Root::Help(_) | Root::Completion(_) => Ok(()),
        }
    });
    // A read of standard input cannot be called off; nobody waits for it.
    runtime.shutdown_background();
    outcome
}

fn help(words: &[String]) -> Outcome {
    let tree = tree();
    let found = line::locate(&tree, words);
    if found.start < words.len() {
        return Err(Failure::new(format!("unknown help topic: {}", words.join(" "))));
    }
    print(&line::render_help(&found.path, found.command, help_width()))
}
