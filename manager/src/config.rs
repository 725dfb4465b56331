//! Flags of the manager. The agent starts it; people rarely do.

use clap::{Parser, ValueEnum};
use std::{net::SocketAddr, path::PathBuf};

/// Keeps the state of a swarm, and plans and hands out its tasks. Started by `swarm-agent` on manager nodes.
#[derive(Debug, Parser)]
#[command(name = "swarm-manager", version)]
pub struct Config {
    /// Folder of the consensus log and snapshots.
    #[arg(long)]
    pub state_dir: PathBuf,
    /// Folder `certificates` of this node, shared with the agent.
    #[arg(long)]
    pub certs: PathBuf,
    /// Private unix socket: the cluster's part of the Docker API, for the agent.
    #[arg(long)]
    pub socket: PathBuf,
    /// Where to listen for managers and agents.
    #[arg(long)]
    pub listen_addr: SocketAddr,
    /// Where managers and agents reach this manager.
    #[arg(long)]
    pub advertise_addr: SocketAddr,
    /// Make a new cluster by this file. Does nothing once that was done.
    #[arg(long, conflicts_with = "join")]
    pub init: Option<PathBuf>,
    /// Managers of the cluster to join as a manager, separated by commas. Does nothing once that was done.
    #[arg(long, value_delimiter = ',')]
    pub join: Vec<String>,
    /// Least severe messages to log: error, warn, info, debug or trace.
    #[arg(long, default_value = "info")]
    pub log_level: String,
    /// Form of log lines.
    #[arg(long, value_enum, default_value = "text")]
    pub log_format: LogFormat,
    /// Milliseconds between two Raft heartbeats.
    #[arg(long, default_value_t = 100)]
    pub raft_heartbeat_ms: u64,
    /// Milliseconds without a heartbeat after which a follower stands for election: lower bound, upper bound.
    #[arg(long, value_delimiter = ',', default_values_t = [300, 500])]
    pub raft_election_ms: Vec<u64>,
    /// Log entries between two snapshots.
    #[arg(long, default_value_t = 10_000)]
    pub raft_snapshot_interval: u64,
    /// Log entries kept behind a snapshot for slow followers.
    #[arg(long, default_value_t = 500)]
    pub raft_entries_kept: u64,
}

/// Form of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object per line.
    Json,
}
