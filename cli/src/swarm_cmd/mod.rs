//! Commands about the cluster as a whole: make it, join it, leave it, change it.

mod external_ca;
mod flags;

use crate::failure::{Failure, Outcome};
use crate::line::Invocation;
use crate::line::values;
use crate::output::{print, print_line};
use crate::query::escape;
use crate::session::Session;
use flags::{NodeFlags, Pools, SpecFlags};
use swarm_types::{InitRequest, JoinRequest, Node, NodeId, Swarm, SwarmSpec, Version};

/// The commands, with their flags and arguments.
#[derive(clap::Subcommand, Debug)]
pub(crate) enum SwarmCommand {
    /// Initialize a swarm
    #[command(override_usage = "[OPTIONS]")]
    Init(Box<InitArgs>),
    /// Join a swarm as a node and/or manager
    #[command(override_usage = "[OPTIONS] HOST:PORT")]
    Join(JoinArgs),
    /// Manage join tokens
    #[command(override_usage = "[OPTIONS] (worker|manager)")]
    JoinToken(JoinTokenArgs),
    /// Leave the swarm
    #[command(override_usage = "[OPTIONS]")]
    Leave(LeaveArgs),
    /// Update the swarm
    #[command(override_usage = "[OPTIONS]")]
    Update(UpdateArgs),
}

/// Of `init`.
#[derive(clap::Args, Debug)]
pub(crate) struct InitArgs {
    #[command(flatten)]
    node: NodeFlags,
    /// Port number to use for data path traffic (1024 - 49151). If no value is set or is set to 0, the default port (4789) is used
    #[arg(long, value_name = "uint32", value_parser = values::uint32)]
    data_path_port: Option<u32>,
    /// Default address pool in CIDR format
    #[arg(long, value_name = "ipNetSlice", value_parser = flags::pools)]
    default_addr_pool: Vec<Pools>,
    /// Default address pool subnet mask length (default 24)
    #[arg(long, value_name = "uint32", value_parser = values::uint32)]
    default_addr_pool_mask_length: Option<u32>,
    /// Force create a new cluster from current state
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = values::switch)]
    force_new_cluster: Option<bool>,
    #[command(flatten)]
    spec: SpecFlags,
    #[arg(hide = true)]
    args: Vec<String>,
}

/// Of `join`.
#[derive(clap::Args, Debug)]
pub(crate) struct JoinArgs {
    #[command(flatten)]
    node: NodeFlags,
    /// Token for entry into the swarm
    #[arg(long, value_name = "string")]
    token: Option<String>,
    #[arg(hide = true)]
    args: Vec<String>,
}

/// Of `join-token`.
#[derive(clap::Args, Debug)]
pub(crate) struct JoinTokenArgs {
    /// Rotate join token
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = values::switch)]
    rotate: Option<bool>,
    /// Only display token
    #[arg(short = 'q', long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = values::switch)]
    quiet: Option<bool>,
    #[arg(hide = true)]
    args: Vec<String>,
}

/// Of `leave`.
#[derive(clap::Args, Debug)]
pub(crate) struct LeaveArgs {
    /// Force this node to leave the swarm, ignoring warnings
    #[arg(short = 'f', long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = values::switch)]
    force: Option<bool>,
    #[arg(hide = true)]
    args: Vec<String>,
}

/// Of `update`.
#[derive(clap::Args, Debug)]
pub(crate) struct UpdateArgs {
    #[command(flatten)]
    spec: SpecFlags,
    #[arg(hide = true)]
    args: Vec<String>,
}

/// Runs one of the commands.
///
/// # Errors
/// On wrong arguments and on what the daemon refuses.
pub(crate) async fn run(command: SwarmCommand, invocation: &Invocation, session: &Session) -> Outcome {
    match command {
        SwarmCommand::Init(args) => init(&args, invocation, session).await,
        SwarmCommand::Join(args) => join(args, invocation, session).await,
        SwarmCommand::JoinToken(args) => join_token(&args, invocation, session).await,
        SwarmCommand::Leave(args) => leave(&args, invocation, session).await,
        SwarmCommand::Update(args) => update(&args, invocation, session).await,
    }
}

/// Role of a node, for the text that tells how to add one.
#[derive(Clone, Copy)]
enum Joining {
    Worker,
    Manager,
}

impl Joining {
    fn word(self) -> &'static str {
        match self {
            Self::Worker => "worker",
            Self::Manager => "manager",
        }
    }

    fn token(self, swarm: &Swarm) -> String {
        let tokens = swarm.join_tokens.clone().unwrap_or_default();
        match self {
            Self::Worker => tokens.worker,
            Self::Manager => tokens.manager,
        }
    }
}

fn init_request(args: &InitArgs) -> Outcome<InitRequest> {
    let mut spec = SwarmSpec::default();
    args.spec.merge(&mut spec, "");
    Ok(InitRequest {
        listen_addr: args.node.listen_addr(),
        advertise_addr: args.node.advertise_addr.clone().unwrap_or_default(),
        data_path_addr: args.node.data_path_addr.clone().unwrap_or_default(),
        data_path_port: args.data_path_port.unwrap_or_default(),
        default_addr_pool: args.default_addr_pool.iter().flat_map(|pools| pools.0.iter().cloned()).collect(),
        subnet_size: args.default_addr_pool_mask_length.unwrap_or(24),
        force_new_cluster: args.force_new_cluster.unwrap_or_default(),
        auto_lock_managers: false,
        availability: args.node.availability()?,
        spec,
    })
}

async fn init(args: &InitArgs, invocation: &Invocation, session: &Session) -> Outcome {
    invocation.no_args(&args.args)?;
    let request = init_request(args)?;
    let node: NodeId = session.api.post("/swarm/init", &request).await.map_err(|failure| {
        let text = failure.to_string();
        let lost = ["could not choose an IP address to advertise", "could not find the system's IP address"];
        if lost.iter().any(|lost| text.contains(lost)) {
            Failure::new(format!("{text} - specify one with --advertise-addr"))
        } else {
            failure
        }
    })?;
    print(&format!("Swarm initialized: current node ({node}) is now a manager.\n\n"))?;
    print_how_to_join(session, node.as_str(), Joining::Worker).await?;
    print_line("To add a manager to this swarm, run 'swarm join-token manager' and follow the instructions.")
}

async fn join(args: JoinArgs, invocation: &Invocation, session: &Session) -> Outcome {
    let remote = invocation.one_arg(&args.args)?.to_owned();
    let request = JoinRequest {
        listen_addr: args.node.listen_addr(),
        advertise_addr: args.node.advertise_addr.clone().unwrap_or_default(),
        data_path_addr: args.node.data_path_addr.clone().unwrap_or_default(),
        remote_addrs: vec![remote],
        join_token: args.token.unwrap_or_default(),
        availability: args.node.availability.as_ref().map_or(Ok(swarm_types::Availability::default()), |_| args.node.availability())?,
    };
    session.api.post_empty("/swarm/join", Some(&request)).await?;
    let info = session.api.swarm_info().await?;
    let role = if info.control_available { "manager" } else { "worker" };
    print_line(&format!("This node joined a swarm as a {role}."))
}

async fn join_token(args: &JoinTokenArgs, invocation: &Invocation, session: &Session) -> Outcome {
    let joining = match invocation.one_arg(&args.args)? {
        "worker" => Joining::Worker,
        "manager" => Joining::Manager,
        other => return Err(Failure::new(format!("unknown role {other}"))),
    };
    let quiet = args.quiet.unwrap_or_default();
    if args.rotate.unwrap_or_default() {
        let rotate = match joining {
            Joining::Worker => "rotateWorkerToken",
            Joining::Manager => "rotateManagerToken",
        };
        let (version, spec) = stored_spec(session).await?;
        let path = format!("/swarm/update?version={}&{rotate}=true", version.index);
        session.api.post_empty(&path, Some(&spec)).await?;
        if !quiet {
            print(&format!("Successfully rotated {} join token.\n\n", joining.word()))?;
        }
    }
    if quiet {
        let swarm: Swarm = session.api.get("/swarm").await?;
        return print_line(&joining.token(&swarm));
    }
    let info = session.api.swarm_info().await?;
    print_how_to_join(session, &info.node_id, joining).await
}

/// Tells how to add a node, if this node is a manager that others can reach.
async fn print_how_to_join(session: &Session, node: &str, joining: Joining) -> Outcome {
    let node: Node = session.api.get(&format!("/nodes/{}", escape(node))).await?;
    let swarm: Swarm = session.api.get("/swarm").await?;
    let Some(manager) = node.manager_status else {
        return Ok(());
    };
    print(&how_to_join(joining, &joining.token(&swarm), &manager.addr))
}

fn how_to_join(joining: Joining, token: &str, address: &str) -> String {
    format!("To add a {} to this swarm, run the following command:\n\n    swarm join --token {token} {address}\n\n", joining.word())
}

async fn leave(args: &LeaveArgs, invocation: &Invocation, session: &Session) -> Outcome {
    invocation.no_args(&args.args)?;
    let path = if args.force.unwrap_or_default() { "/swarm/leave?force=1" } else { "/swarm/leave" };
    session.api.post_empty(path, None::<&()>).await?;
    print_line("Node left the swarm.")
}

async fn update(args: &UpdateArgs, invocation: &Invocation, session: &Session) -> Outcome {
    invocation.no_args(&args.args)?;
    if !invocation.has_flags {
        return print(&invocation.help);
    }
    let swarm: Swarm = session.api.get("/swarm").await?;
    let (version, raw) = stored_spec(session).await?;
    let mut spec = swarm.spec.clone();
    args.spec.merge(&mut spec, &swarm.tls_info.trust_root);
    let spec = crate::overlay::changed(raw, &swarm.spec, &spec)?;
    session.api.post_empty(&format!("/swarm/update?version={}", version.index), Some(&spec)).await?;
    print_line("Swarm updated.")
}

/// The cluster's version and its spec as the server wrote it.
async fn stored_spec(session: &Session) -> Outcome<(Version, serde_json::Value)> {
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Stored {
        version: Version,
        spec: serde_json::Value,
    }
    let stored: Stored = session.api.get("/swarm").await?;
    Ok((stored.version, stored.spec))
}
