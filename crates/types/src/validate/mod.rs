//! What a spec must be like before it is stored. Pure: what depends on other objects takes them as arguments.
//!
//! The texts are Docker's. There are two kinds of refusals because Docker words them differently: a [`MalformedSpec`] is
//! found while a request is read, an [`InvalidSpec`] by the cluster, whose text clients see with an RPC prefix.

mod container;
mod endpoint;
mod go_text;
mod image;
mod name;
mod network;
mod payload;
mod policy;
mod resources;
mod swarm;

pub use container::{check_container, check_container_form};
pub use endpoint::{PortHolder, PortInUse, check_endpoint, check_ports_free};
pub use image::{ImageReference, InvalidImageReference};
pub use name::{NAME_CHARS_MAX, check_service_name};
pub use network::{CheckedNetwork, InvalidNetwork, PREDEFINED_NETWORKS, check_network, first_of, overlap};
pub use payload::{InvalidPayload, InvalidReference, PAYLOAD_NAME_CHARS_MAX, check_payload, check_references};
pub use policy::{check_mode, check_mode_form, check_restart, check_update};
pub use resources::{CPU_NANOS_MIN, MEMORY_BYTES_MIN, check_resources, check_resources_form};
pub use swarm::{InvalidSwarmSpec, check_swarm, complete_swarm};

use crate::{MountType, PublishMode};
use go_text::{float, quoted};

/// A request that contradicts itself or names something that does not exist.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MalformedSpec {
    /// The runtime and the part of the template that belongs to it do not fit.
    #[error("mismatched Runtime and *Spec fields")]
    RuntimeMismatch,
    /// No such runtime.
    #[error("unsupported runtime")]
    Runtime,
    /// Two modes at once.
    #[error("must specify only one service mode")]
    SeveralModes,
    /// A mount of a kind that services cannot have.
    #[error("invalid MountType: {}", quoted(.0.as_str()))]
    MountType(MountType),
    /// No such propagation of a bind.
    #[error("invalid MountPropagation: {}", quoted(.0))]
    MountPropagation(String),
    /// No such seccomp mode.
    #[error("invalid Seccomp mode: {}", quoted(.0))]
    SeccompMode(String),
    /// No such AppArmor mode.
    #[error("invalid AppArmor mode: {}", quoted(.0))]
    AppArmorMode(String),
    /// Swap is an addition to a memory limit.
    #[error("memory swap provided, but no memory-limit was set")]
    SwapWithoutLimit,
    /// Less than "unlimited".
    #[error("invalid memory swap value {0}: Must be -1 or greater")]
    Swap(i64),
    /// Outside the kernel's range.
    #[error("invalid value: {0}, valid memory swappiness range is 0-100")]
    Swappiness(i64),
}

/// A spec that the cluster cannot carry out.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum InvalidSpec {
    /// No name.
    #[error("meta: name must be provided")]
    NameMissing,
    /// Not a label of DNS, give or take underscores.
    #[error("name must be valid as a DNS name component")]
    NameForm,
    /// Longer than a label of DNS.
    #[error("name must be 63 characters or fewer")]
    NameTooLong,
    /// Less CPU than the kernel can meter; in billionths.
    #[error("invalid cpu value {}: Must be at least 0.001", float(*.0))]
    Cpu(i64),
    /// Less memory than the engine accepts; in bytes.
    #[error("invalid memory value {0}: Must be at least 4MiB")]
    Memory(i64),
    /// A negative number of processes.
    #[error("invalid pids limit {0}: Must not be negative")]
    Pids(i64),
    /// A limit on generic resources has no meaning.
    #[error("generic resources can be reserved but not limited")]
    GenericLimit,
    /// Generic resources are asked for by count.
    #[error("invalid argument for resource {0}")]
    GenericKind(String),
    /// A span that cannot be negative; named as Docker names it.
    #[error("TaskSpec: {0} cannot be negative")]
    Negative(&'static str),
    /// A ratio outside 0 to 1.
    #[error("TaskSpec: update-maxfailureratio cannot be less than 0 or bigger than 1")]
    FailureRatio,
    /// No image.
    #[error("ContainerSpec: image reference must be provided")]
    ImageMissing,
    /// Not an image reference.
    #[error("ContainerSpec: {} is not a valid repository/tag", quoted(.0))]
    Image(String),
    /// Two mounts at one place.
    #[error("ContainerSpec: duplicate mount point: {0}")]
    DuplicateMount(String),
    /// A span of the health check that is set but too short.
    #[error("ContainerSpec: {0} in HealthConfig cannot be less than 1ms")]
    HealthSpan(&'static str),
    /// A negative number of retries.
    #[error("ContainerSpec: Retries in HealthConfig cannot be negative")]
    HealthRetries,
    /// A negative time to stop.
    #[error("ContainerSpec: stop-grace-period cannot be negative")]
    StopGrace,
    /// More replicas than a 63-bit number holds: a negative one in disguise.
    #[error("Number of replicas must be non-negative")]
    Replicas,
    /// More replicas than the cluster state is made for.
    #[error("Number of replicas must be at most {}", policy::REPLICAS_MAX)]
    TooManyReplicas,
    /// A negative number of concurrent runs in disguise.
    #[error("Maximum concurrent jobs must not be negative")]
    MaxConcurrent,
    /// A negative number of runs in disguise.
    #[error("Total completed jobs must not be negative")]
    TotalCompletions,
    /// Jobs are not updated but run again.
    #[error("Jobs may not have an update config")]
    JobWithUpdate,
    /// The mesh balances over one virtual address, which this mode does not have.
    #[error("EndpointSpec: port published with ingress mode can't be used with dnsrr mode")]
    IngressWithDnsrr,
    /// One port published twice.
    #[error("EndpointSpec: duplicate published ports provided")]
    DuplicatePort,
    /// Not a port number.
    #[error("EndpointSpec: invalid {which} port {port}: Must be between 1 and 65535")]
    Port {
        /// `target` or `published`.
        which: &'static str,
        /// What was given.
        port: u32,
    },
    /// Another service has the port.
    #[error(transparent)]
    PortInUse(#[from] PortInUse),
}

/// Docker's word for how another service uses a port.
fn published_as(mode: PublishMode) -> &'static str {
    match mode {
        PublishMode::Ingress => "an ingress port",
        PublishMode::Host => "a host-published port",
    }
}
