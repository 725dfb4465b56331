//! This host's part in a swarm as the gateway sees it: what it is, and what can be asked of it.
//!
//! Only words are here. The daemon's node loop does what is asked; the gateway turns errors into statuses.

use serde::Deserialize;
use std::{future::Future, pin::Pin};
use swarm_types::{ClusterId, InitRequest, JoinRequest, LocalNodeState, NodeId, RemoteManager, Swarm};

/// An operation under way. Dropping it does not undo what was asked.
pub type Pending<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What can be asked of this host's node.
pub trait Membership: Send + Sync + 'static {
    /// What the host is to a swarm now.
    fn view(&self) -> NodeView;
    /// Asks the local manager how it is; `None` if it does not answer.
    fn manager_status(&self) -> Pending<'_, Option<ManagerStatus>>;
    /// Makes a swarm with this host as its first manager. Ends when it answers.
    fn init(&self, request: InitRequest) -> Pending<'_, Result<NodeId, InitError>>;
    /// Takes part in an existing swarm. Ends when the host is a working member, or after
    /// [`JoinError::Timeout`] while joining goes on.
    fn join(&self, request: JoinRequest) -> Pending<'_, Result<(), JoinError>>;
    /// Gives up the membership: containers of tasks, identity and state of this host go.
    fn leave(&self, force: bool) -> Pending<'_, Result<(), LeaveError>>;
}

/// What the host is to a swarm.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NodeView {
    /// In Docker's words.
    pub state: LocalNodeState,
    /// `None` outside a swarm and until joining has brought one.
    pub node_id: Option<NodeId>,
    /// Address told to others, without a port; empty outside a swarm.
    pub node_addr: String,
    /// Why the host cannot take part; empty when it can.
    pub error: String,
    /// Whether the certificate ended before it could be renewed.
    pub is_expired: bool,
    /// Managers the host knows.
    pub managers: Vec<RemoteManager>,
    /// The manager process of this host.
    pub manager: ManagerView,
}

/// The manager process of this host.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ManagerView {
    /// The host is no manager.
    #[default]
    None,
    /// It is being prepared, or cannot reach the cluster.
    NotReady,
    /// It answers.
    Ready,
}

/// How far the manager process has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ManagerPhase {
    /// It reads its state.
    Starting,
    /// It becomes a member of the managers.
    Joining,
    /// It answers calls.
    Ready,
    /// It cannot go on; the error says why.
    Error,
}

/// What the local manager says of itself and its cluster.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct ManagerStatus {
    /// How far it has come.
    pub state: ManagerPhase,
    /// Why it cannot go on.
    #[serde(default)]
    pub error: String,
    /// Its node.
    #[serde(default)]
    pub node_id: Option<NodeId>,
    /// Its cluster.
    #[serde(default)]
    pub cluster_id: Option<ClusterId>,
    /// Whether it leads.
    #[serde(default)]
    pub leader: bool,
    /// Whether there is a leader it can reach.
    #[serde(default)]
    pub has_leader: bool,
    /// Nodes of the cluster.
    #[serde(default)]
    pub nodes: u64,
    /// Managers of the cluster.
    #[serde(default)]
    pub managers: u64,
    /// The cluster, without tokens.
    #[serde(default)]
    pub cluster: Option<Swarm>,
    /// Every manager with its address.
    #[serde(default)]
    pub remote_managers: Vec<RemoteManager>,
}

/// Something this product does not do yet, named as the caller did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0} is not supported yet")]
pub struct Unsupported(pub &'static str);

/// An address given by the caller, or the lack of one, makes the operation impossible. The texts are Docker's; its
/// command line adds ` - specify one with --advertise-addr` to some of them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// Empty where one is needed.
    #[error("invalid {field} \"\": invalid empty address")]
    Empty {
        /// `ListenAddr` or `remoteAddr`.
        field: &'static str,
    },
    /// Not `HOST[:PORT]`.
    #[error("could not parse listen address {0}")]
    ListenForm(String),
    /// Neither an interface nor an IP address.
    #[error("listen address must be an IP address or network interface (with optional port number)")]
    Listen,
    /// Neither an interface nor an IP address others could use.
    #[error("advertise address must be a non-zero IP address or network interface (with optional port number)")]
    Advertise,
    /// The configured one is neither an interface nor an IP address others could use.
    #[error("default advertise address must be a non-zero IP address or network interface (without a port number)")]
    DefaultAdvertise,
    /// Neither an interface nor an IP address others could use.
    #[error("data path address must be a non-zero IP address or network interface (without a port number)")]
    DataPath,
    /// The named interface has several addresses of one family.
    #[error("interface {name} has more than one {family} address ({first} and {second})")]
    InterfaceAmbiguous {
        /// The interface.
        name: String,
        /// `IPv4` or `IPv6`.
        family: &'static str,
        /// One address.
        first: String,
        /// Another one.
        second: String,
    },
    /// The named interface has no address.
    #[error("interface {0} has no usable IPv4 or IPv6 address")]
    InterfaceEmpty(String),
    /// No address to advertise was found.
    #[error("could not find the system's IP address")]
    NotFound,
    /// Several addresses to advertise were found.
    #[error("could not choose an IP address to advertise since this system has multiple addresses on {0}")]
    Ambiguous(String),
    /// The address to advertise is not of this host, and none of this host's can be chosen to listen on.
    #[error(
        "must specify a listening address because the address to advertise is not recognized as a system address, and a \
         system's IP address to use could not be uniquely identified"
    )]
    MustListen,
    /// The system does not tell its interfaces.
    #[error("could not list the network interfaces: {0}")]
    System(String),
}

/// A swarm cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    /// The host is in a swarm already, or getting into one.
    #[error("{ALREADY}")]
    Already,
    /// An address is at fault.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// The spec is at fault.
    #[error("{0}")]
    Spec(String),
    /// Pools, subnet size or port are at fault.
    #[error("{0}")]
    Pool(String),
    /// The manager refuses the spec.
    #[error("error updating cluster settings: rpc error: code = InvalidArgument desc = {0}")]
    Settings(String),
    /// Asks for something that is not there yet.
    #[error(transparent)]
    Unsupported(#[from] Unsupported),
    /// The manager process did not become ready; everything it left is gone.
    #[error("swarm component could not be started: {0}")]
    Manager(String),
    /// The state folder cannot be written.
    #[error("could not save this node's state: {0}")]
    State(String),
    /// The agent is stopping, or `leave` came in between.
    #[error("the operation was broken off because {0}")]
    BrokenOff(&'static str),
}

/// A swarm cannot be joined. Except for [`JoinError::Timeout`] nothing is left of the attempt.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    /// The host is in a swarm already, or getting into one.
    #[error("{ALREADY}")]
    Already,
    /// An address is at fault.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// No manager is named.
    #[error("at least 1 RemoteAddr is required to join")]
    NoRemote,
    /// The token is not one, or names another cluster than the one that answers.
    #[error("{0}")]
    Token(String),
    /// The cluster refused; its text and HTTP status.
    #[error("{message}")]
    Refused {
        /// HTTP status of the refusal.
        status: u16,
        /// The cluster's text.
        message: String,
    },
    /// No manager answers under the named address.
    #[error("rpc error: code = Unavailable desc = connection error: desc = \"transport: Error while dialing {0}\"")]
    Unavailable(String),
    /// What answered is not a manager of a swarm.
    #[error("{0}")]
    NotManager(String),
    /// Joining goes on in the background.
    #[error("{JOIN_TIMEOUT}")]
    Timeout,
    /// The state folder cannot be written.
    #[error("could not save this node's state: {0}")]
    State(String),
    /// The agent is stopping, or `leave` came in between.
    #[error("the operation was broken off because {0}")]
    BrokenOff(&'static str),
}

/// The membership cannot be given up.
#[derive(Debug, thiserror::Error)]
pub enum LeaveError {
    /// The host is in no swarm.
    #[error("This node is not part of a swarm")]
    NoSwarm,
    /// The host is a manager; says what leaving would do. `force` overrides it.
    #[error("{0}")]
    Manager(String),
    /// Containers of tasks could not be removed; the node stays a member. `force` overrides it.
    #[error("could not remove the containers of this node's tasks: {0}")]
    Containers(String),
    /// The state folder could not be emptied; asking again goes on with it.
    #[error("could not remove this node's state: {0}")]
    State(String),
    /// The agent is stopping.
    #[error("the agent is stopping")]
    Stopping,
}

const ALREADY: &str = "This node is already part of a swarm. Use \"docker swarm leave\" to leave this swarm and join another one.";
const JOIN_TIMEOUT: &str = "Timeout was reached before node joined. The attempt to join the swarm will continue in the \
     background. Use the \"docker info\" command to see the current swarm status of your node.";
