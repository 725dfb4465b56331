//! The flags of `service create` and `service update`, and how their values are read.

mod container;
mod create;
pub(crate) mod csv;
mod mount;
pub(crate) mod parse;
pub(crate) mod port;
mod scheduling;
mod update;

pub(crate) use container::{ContainerFlags, HealthFlags};
pub(crate) use create::CreateFlags;
pub(crate) use scheduling::{DetachFlag, ResourceFlags, RestartFlags, ServiceFlags};
pub(crate) use update::UpdateFlags;
