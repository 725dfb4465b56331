//! What a process takes, as /proc tells it.

use anyhow::{Context, Result};
use std::{fs, time::Duration};

/// Memory and processor time of one process.
#[derive(Debug, Clone, Copy, Default)]
pub struct Usage {
    /// Resident memory now, bytes.
    pub rss: u64,
    /// The most that was resident, bytes.
    pub rss_max: u64,
    /// Processor time so far, in user and kernel mode together.
    pub cpu: Duration,
}

impl Usage {
    /// Of a process by its id.
    ///
    /// # Errors
    /// When there is no such process.
    pub fn of(pid: u32) -> Result<Self> {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).with_context(|| format!("no process {pid}"))?;
        let kib =
            |name: &str| -> Option<u64> { status.lines().find_map(|l| l.strip_prefix(name))?.split_whitespace().next()?.parse().ok() };
        let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
        // The program's name stands in parentheses and may hold spaces itself.
        let mut fields = stat.rsplit_once(')').context("no name in stat")?.1.split_ascii_whitespace().skip(11);
        let mut ticks = || -> Result<u64> { Ok(fields.next().context("stat is short")?.parse()?) };
        let ticks = ticks()? + ticks()?;
        Ok(Self {
            rss: kib("VmRSS:").context("no VmRSS")? * 1024,
            rss_max: kib("VmHWM:").context("no VmHWM")? * 1024,
            // Linux shows times in hundredths of a second on every architecture.
            cpu: Duration::from_millis(ticks * 10),
        })
    }
}

/// Bytes as megabytes.
#[must_use]
pub fn mb(bytes: u64) -> String {
    format!("{} MB", bytes.div_ceil(1_000_000))
}
