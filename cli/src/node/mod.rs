//! Commands about nodes.

mod ls;
mod pretty;
mod role;
mod update;

use crate::failure::{Failure, Outcome};
use crate::inspect::{Form, InspectFlags, Inspection};
use crate::line::{Invocation, values};
use crate::list::ListFlags;
use crate::output::{print, print_line};
use crate::query::{Filters, escape};
use crate::session::Session;
use crate::task_table::{TaskFlags, print_tasks};
use swarm_template::ObjectKind;
use swarm_types::{Node, Task};

/// The commands, with their flags and arguments.
#[derive(clap::Subcommand, Debug)]
pub(crate) enum NodeCommand {
    /// List nodes in the swarm
    #[command(override_usage = "[OPTIONS]", alias = "list")]
    Ls(LsArgs),
    /// Display detailed information on one or more nodes
    #[command(override_usage = "[OPTIONS] self|NODE [NODE...]")]
    Inspect(InspectArgs),
    /// List tasks running on one or more nodes, defaults to current node
    #[command(override_usage = "[OPTIONS] [NODE...]")]
    Ps(PsArgs),
    /// Update a node
    #[command(override_usage = "[OPTIONS] NODE")]
    Update(update::UpdateArgs),
    /// Remove one or more nodes from the swarm
    #[command(override_usage = "[OPTIONS] NODE [NODE...]", alias = "remove")]
    Rm(RmArgs),
    /// Promote one or more nodes to manager in the swarm
    #[command(override_usage = "NODE [NODE...]")]
    Promote(NodesArgs),
    /// Demote one or more nodes from manager in the swarm
    #[command(override_usage = "NODE [NODE...]")]
    Demote(NodesArgs),
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
    nodes: Vec<String>,
}

/// Of `ps`.
#[derive(clap::Args, Debug)]
pub(crate) struct PsArgs {
    #[command(flatten)]
    tasks: TaskFlags,
    #[arg(hide = true)]
    nodes: Vec<String>,
}

/// Of `rm`.
#[derive(clap::Args, Debug)]
pub(crate) struct RmArgs {
    /// Force remove a node from the swarm
    #[arg(short = 'f', long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = values::switch)]
    force: Option<bool>,
    #[arg(hide = true)]
    nodes: Vec<String>,
}

/// Of commands that take nodes and nothing else.
#[derive(clap::Args, Debug)]
pub(crate) struct NodesArgs {
    #[arg(hide = true)]
    nodes: Vec<String>,
}

/// Runs one of the commands.
///
/// # Errors
/// On wrong arguments and on what the daemon refuses.
pub(crate) async fn run(command: NodeCommand, invocation: &Invocation, session: &Session) -> Outcome {
    match command {
        NodeCommand::Ls(args) => {
            invocation.no_args(&args.args)?;
            ls::ls(&args.list, session).await
        }
        NodeCommand::Inspect(args) => inspect(&args, invocation, session).await,
        NodeCommand::Ps(args) => ps(&args, session).await,
        NodeCommand::Update(args) => update::update(&args, invocation, session).await,
        NodeCommand::Rm(args) => rm(&args, invocation, session).await,
        NodeCommand::Promote(args) => {
            invocation.some_args(&args.nodes)?;
            role::change(&args.nodes, swarm_types::Role::Manager, session).await
        }
        NodeCommand::Demote(args) => {
            invocation.some_args(&args.nodes)?;
            role::change(&args.nodes, swarm_types::Role::Worker, session).await
        }
    }
}

/// The node meant by a word: `self` is the one that answers.
///
/// # Errors
/// If `self` is in no swarm.
pub(crate) async fn reference(word: &str, session: &Session) -> Outcome<String> {
    if word != "self" {
        return Ok(word.to_owned());
    }
    let info = session.api.swarm_info().await?;
    if info.node_id.is_empty() {
        // A call for managers only tells what is wrong, in the daemon's words.
        let _: Vec<Node> = session.api.get("/nodes").await?;
        return Err("node ID not found in /info".into());
    }
    Ok(info.node_id)
}

async fn inspect(args: &InspectArgs, invocation: &Invocation, session: &Session) -> Outcome {
    invocation.some_args(&args.nodes)?;
    let format = if args.inspect.pretty.unwrap_or_default() { "pretty" } else { args.inspect.format.as_deref().unwrap_or_default() };
    let form = Form::parse(format)?;
    if matches!(form, Form::Pretty) {
        let mut text = String::new();
        for word in &args.nodes {
            let reference = reference(word, session).await?;
            let node: Node = session.api.get(&format!("/nodes/{}", escape(&reference))).await?;
            text.push_str(&pretty::pretty(&node));
        }
        return print(&text);
    }
    let mut inspection = Inspection::new(form);
    for word in &args.nodes {
        let json = match reference(word, session).await {
            Ok(reference) => session.api.get_text(&format!("/nodes/{}", escape(&reference))).await,
            Err(failure) => Err(failure),
        };
        inspection.take(ObjectKind::Node, json);
    }
    inspection.finish()
}

async fn ps(args: &PsArgs, session: &Session) -> Outcome {
    let me = ["self".to_owned()];
    let nodes = if args.nodes.is_empty() { &me[..] } else { &args.nodes };
    let mut tasks: Vec<Task> = Vec::new();
    let mut failures = Vec::new();
    for word in nodes {
        match tasks_of(word, args, session).await {
            Ok(more) => tasks.extend(more),
            Err(failure) => failures.push(failure),
        }
    }
    if failures.is_empty() || !tasks.is_empty() {
        failures.extend(print_tasks(&args.tasks, tasks, session).await.err());
    }
    Failure::join(failures)
}

async fn tasks_of(word: &str, args: &PsArgs, session: &Session) -> Outcome<Vec<Task>> {
    let reference = reference(word, session).await?;
    let node: Node = session.api.get(&format!("/nodes/{}", escape(&reference))).await?;
    let mut filters = Filters::parse(&args.tasks.filter);
    filters.add("node", node.id.as_str());
    session.api.get(&filters.on("/tasks", &[])).await
}

async fn rm(args: &RmArgs, invocation: &Invocation, session: &Session) -> Outcome {
    invocation.some_args(&args.nodes)?;
    let force = if args.force.unwrap_or_default() { "?force=1" } else { "" };
    let mut failures = Vec::new();
    for node in &args.nodes {
        match session.api.delete(&format!("/nodes/{}{force}", escape(node))).await {
            Ok(()) => print_line(node)?,
            Err(failure) => failures.push(failure),
        }
    }
    Failure::join(failures)
}
