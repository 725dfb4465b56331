//! Limits and reservations.

use super::{InvalidSpec, MalformedSpec};
use crate::{GenericResource, ResourceRequirements};

/// The smallest share of a core that can be limited or reserved, in billionths.
pub const CPU_NANOS_MIN: i64 = 1_000_000;
/// The smallest memory that can be limited or reserved.
pub const MEMORY_BYTES_MIN: i64 = 4 << 20;

/// Checks that the parts of the resources fit together.
///
/// # Errors
/// [`MalformedSpec`] about swap.
pub fn check_resources_form(resources: &ResourceRequirements) -> Result<(), MalformedSpec> {
    let memory_limit = resources.limits.as_ref().map_or(0, |l| l.memory_bytes);
    match resources.swap_bytes {
        Some(_) if memory_limit == 0 => return Err(MalformedSpec::SwapWithoutLimit),
        Some(swap) if swap < -1 => return Err(MalformedSpec::Swap(swap)),
        _ => {}
    }
    match resources.memory_swappiness {
        Some(value) if !(-1..=100).contains(&value) => Err(MalformedSpec::Swappiness(value)),
        _ => Ok(()),
    }
}

/// Checks the amounts.
///
/// # Errors
/// [`InvalidSpec`] names the first amount that is too small.
pub fn check_resources(resources: &ResourceRequirements) -> Result<(), InvalidSpec> {
    if let Some(limits) = &resources.limits {
        check_amounts(limits.nano_cpus, limits.memory_bytes)?;
        if limits.pids < 0 {
            return Err(InvalidSpec::Pids(limits.pids));
        }
        if !limits.generic_resources.is_empty() {
            return Err(InvalidSpec::GenericLimit);
        }
    }
    let Some(reserved) = &resources.reservations else { return Ok(()) };
    check_amounts(reserved.nano_cpus, reserved.memory_bytes)?;
    for resource in &reserved.generic_resources {
        match resource {
            GenericResource::Discrete { value, .. } if *value >= 0 => {}
            GenericResource::Discrete { kind, .. } | GenericResource::Named { kind, .. } => {
                return Err(InvalidSpec::GenericKind(kind.clone()));
            }
        }
    }
    Ok(())
}

fn check_amounts(nano_cpus: i64, memory_bytes: i64) -> Result<(), InvalidSpec> {
    if nano_cpus != 0 && nano_cpus < CPU_NANOS_MIN {
        return Err(InvalidSpec::Cpu(nano_cpus));
    }
    if memory_bytes != 0 && memory_bytes < MEMORY_BYTES_MIN {
        return Err(InvalidSpec::Memory(memory_bytes));
    }
    Ok(())
}
