//! Commands about secrets and configs, which differ in little but their words.

mod create;
mod ls;
mod pretty;

use crate::absent;
use crate::failure::{Failure, Outcome};
use crate::inspect::{Form, InspectFlags, Inspection};
use crate::line::Invocation;
use crate::list::ListFlags;
use crate::output::{print, print_line};
use crate::query::escape;
use crate::session::Session;
use create::{ConfigCreateArgs, SecretCreateArgs};
use swarm_template::ObjectKind;

/// Commands about secrets, with their flags and arguments.
#[derive(clap::Subcommand, Debug)]
pub(crate) enum SecretCommand {
    /// Create a secret from a file or STDIN as content
    #[command(override_usage = "[OPTIONS] SECRET [file|-]")]
    Create(SecretCreateArgs),
    /// List secrets
    #[command(override_usage = "[OPTIONS]", alias = "list")]
    Ls(LsArgs),
    /// Display detailed information on one or more secrets
    #[command(override_usage = "[OPTIONS] SECRET [SECRET...]")]
    Inspect(InspectArgs),
    /// Remove one or more secrets
    #[command(override_usage = "SECRET [SECRET...]", alias = "remove")]
    Rm(RmArgs),
}

/// Commands about configs, with their flags and arguments.
#[derive(clap::Subcommand, Debug)]
pub(crate) enum ConfigCommand {
    /// Create a config from a file or STDIN
    #[command(override_usage = "[OPTIONS] CONFIG file|-")]
    Create(ConfigCreateArgs),
    /// List configs
    #[command(override_usage = "[OPTIONS]", alias = "list")]
    Ls(LsArgs),
    /// Display detailed information on one or more configs
    #[command(override_usage = "[OPTIONS] CONFIG [CONFIG...]")]
    Inspect(InspectArgs),
    /// Remove one or more configs
    #[command(override_usage = "CONFIG [CONFIG...]", alias = "remove")]
    Rm(RmArgs),
}

/// Of `ls`.
#[derive(clap::Args, Debug)]
pub(crate) struct LsArgs {
    #[command(flatten)]
    list: ListFlags,
    #[arg(hide = true)]
    args: Vec<String>,
}

/// Of `inspect`.
#[derive(clap::Args, Debug)]
pub(crate) struct InspectArgs {
    #[command(flatten)]
    inspect: InspectFlags,
    #[arg(hide = true)]
    objects: Vec<String>,
}

/// Of `rm`.
#[derive(clap::Args, Debug)]
pub(crate) struct RmArgs {
    #[arg(hide = true)]
    objects: Vec<String>,
}

/// What a command is about.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Secret,
    Config,
}

impl Kind {
    /// Where the API has them.
    fn path(self) -> &'static str {
        match self {
            Self::Secret => "/secrets",
            Self::Config => "/configs",
        }
    }
}

/// Runs a command about secrets.
///
/// # Errors
/// On wrong arguments and on what the daemon refuses.
pub(crate) async fn run_secret(command: SecretCommand, invocation: &Invocation, session: &Session) -> Outcome {
    match command {
        SecretCommand::Create(args) => create::secret(&args, invocation, session).await,
        SecretCommand::Ls(args) => ls(Kind::Secret, &args, invocation, session).await,
        SecretCommand::Inspect(args) => inspect(Kind::Secret, &args, invocation, session).await,
        SecretCommand::Rm(args) => rm(Kind::Secret, &args, invocation, session).await,
    }
}

/// Runs a command about configs.
///
/// # Errors
/// On wrong arguments and on what the daemon refuses.
pub(crate) async fn run_config(command: ConfigCommand, invocation: &Invocation, session: &Session) -> Outcome {
    match command {
        ConfigCommand::Create(args) => create::config(&args, invocation, session).await,
        ConfigCommand::Ls(args) => ls(Kind::Config, &args, invocation, session).await,
        ConfigCommand::Inspect(args) => inspect(Kind::Config, &args, invocation, session).await,
        ConfigCommand::Rm(args) => rm(Kind::Config, &args, invocation, session).await,
    }
}

async fn ls(kind: Kind, args: &LsArgs, invocation: &Invocation, session: &Session) -> Outcome {
    invocation.no_args(&args.args)?;
    match kind {
        Kind::Secret => ls::secrets(&args.list, session).await,
        Kind::Config => ls::configs(&args.list, session).await,
    }
}

async fn inspect(kind: Kind, args: &InspectArgs, invocation: &Invocation, session: &Session) -> Outcome {
    invocation.some_args(&args.objects)?;
    let format = if args.inspect.pretty.unwrap_or_default() { "pretty" } else { args.inspect.format.as_deref().unwrap_or_default() };
    let form = Form::parse(format)?;
    let path = |word: &String| format!("{}/{}", kind.path(), escape(word));
    if matches!(form, Form::Pretty) {
        let mut text = String::new();
        for word in &args.objects {
            let json = session.api.get_text(&path(word)).await?;
            let read = |error: serde_json::Error| Failure::new(error.to_string());
            text.push_str(&match kind {
                Kind::Secret => pretty::secret(&absent::read_text(json.as_bytes()).map_err(read)?),
                Kind::Config => pretty::config(&absent::read_text(json.as_bytes()).map_err(read)?),
            });
        }
        return print(&text);
    }
    let object_kind = if kind == Kind::Secret { ObjectKind::Secret } else { ObjectKind::Config };
    let mut inspection = Inspection::new(form);
    for word in &args.objects {
        inspection.take(object_kind, session.api.get_text(&path(word)).await);
    }
    inspection.finish()
}

async fn rm(kind: Kind, args: &RmArgs, invocation: &Invocation, session: &Session) -> Outcome {
    invocation.some_args(&args.objects)?;
    let mut failures = Vec::new();
    for object in &args.objects {
        match session.api.delete(&format!("{}/{}", kind.path(), escape(object))).await {
            Ok(()) => print_line(object)?,
            Err(failure) => failures.push(failure),
        }
    }
    Failure::join(failures)
}
