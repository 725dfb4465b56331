//! The flags of `service create` and `service update`, and how their values are read.

mod container;
mod create;
pub(crate) mod csv;
mod file;
pub(crate) mod generic;
mod mount;
mod network;
pub(crate) mod parse;
mod policy;
pub(crate) mod port;
mod scheduling;
mod update;

pub(crate) use container::{ContainerFlags, HealthFlags};
pub(crate) use create::CreateFlags;
pub(crate) use file::FileFlag;
pub(crate) use policy::{Policy, RollbackPolicyFlags, UpdatePolicyFlags};
pub(crate) use scheduling::{DetachFlag, ResourceFlags, RestartFlags, ServiceFlags, WaitFlags};
pub(crate) use update::UpdateFlags;
