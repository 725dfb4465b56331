//! Coming back after the state on disk was damaged: as a new member, with everything from the other managers.
//!
//! What always holds: a damaged log, vote or snapshot is never read in part, and a member that lost any of them never acts
//! under its old id again, because it does not know what it promised. So the new id is on disk before the old state is
//! touched, and whatever is interrupted after that goes on at the next start. The old state is kept beside the new one.

use crate::{
    config::Config,
    known_managers::KnownManagers,
    member::{self, MemberFile, Rebuild, SetAside},
    raft::{OpenError, state_machine::LoadError},
};
use anyhow::{Context, Result, bail};
use std::{fs, io, path::Path};
use swarm_pki::CertStore;
use swarm_raftlog::{KeysError, LogError, SnapshotError, Wipe, set_aside, wipe};
use swarm_types::NodeId;

/// Folders of former selves' states begin so.
const ASIDE_PREFIX: &str = "set-aside-";

/// The state cannot be used and cannot be rebuilt either.
#[derive(Debug, thiserror::Error)]
#[error(
    "the state of this manager in {dir} is damaged and no other manager is known to rebuild it from: {reason}. \
     Put back a copy of the whole folder that was made while the manager was stopped, \
     or give this swarm up with `swarm leave --force` and make a new one"
)]
pub struct NoOtherManager {
    /// The state folder.
    pub dir: String,
    /// What is damaged.
    pub reason: String,
}

/// What is wrong with the data key, if only rebuilding helps.
#[must_use]
pub fn damage_of_keys(error: &KeysError) -> Option<String> {
    error.needs_rebuild().then(|| crate::chain(error))
}

/// What is wrong with the state, if only rebuilding helps: file, entry and reason. State that was sealed with another key than
/// the one at hand counts too, since nothing is thrown away.
#[must_use]
pub fn damage_of_state(error: &OpenError) -> Option<String> {
    let snapshot = |error: &SnapshotError| error.needs_rebuild() || matches!(error, SnapshotError::WrongKey { .. });
    let is_damage = match error {
        OpenError::Log(log) => log.needs_rebuild() || matches!(log, LogError::WrongKey { .. }),
        OpenError::Gap { .. } => true,
        OpenError::Snapshots(error) | OpenError::Load(LoadError::Snapshot(error)) => snapshot(error),
        // Authentic, but of another version; or consensus itself.
        OpenError::Load(LoadError::State(_)) | OpenError::Raft(_) => false,
    };
    is_damage.then(|| crate::chain(error))
}

/// The member's file, with whatever was interrupted brought to an end: a founding starts again from nothing, since its root key
/// was in memory only; a rebuild goes on. `founder` is the node that is to make a cluster, if one is.
///
/// # Errors
/// When a file cannot be read or written, there is nothing to make or join, or [`NoOtherManager`].
pub fn ensure_member(config: &Config, founder: Option<NodeId>, certs: &CertStore) -> Result<MemberFile> {
    let dir = &config.state_dir;
    let loaded = match MemberFile::load(dir) {
        Ok(Some(mut member)) if member.finished || member.rebuild.is_some() || founder.is_none() => {
            move_away(dir, &mut member)?;
            return Ok(member);
        }
        Err(error) if error.kind() == io::ErrorKind::InvalidData => {
            let reason = format!("{} cannot be understood: {error}", dir.join(member::FILE).display());
            return begin(config, None, reason);
        }
        loaded => loaded.with_context(|| format!("could not read {}", dir.join(member::FILE).display()))?,
    };
    if loaded.is_some() {
        tracing::warn!("making the cluster was interrupted; it starts again from nothing");
    } else if is_member_lost(dir, founder, certs)? {
        return begin(config, None, format!("{} is missing", dir.join(member::FILE).display()));
    }
    if founder.is_none() && config.join.is_empty() {
        bail!("{} has no member file, and there is nothing to make or join", dir.display());
    }
    // What lies here is of an earlier membership, whose end was interrupted. Under a new id it must not be continued.
    wipe(dir, Wipe::StateAndKeys).context("could not wipe an unfinished state")?;
    KnownManagers::remove(dir).context("could not remove the file of another cluster's managers")?;
    if founder.is_some() {
        certs.wipe().context("could not wipe unfinished certificates")?;
    }
    let member = MemberFile::new(None);
    member.save(dir).context("could not write the member file")?;
    Ok(member)
}

/// Whether this manager is a member already, or on its way to being one again, so that what it was told to begin with is of no
/// interest any more.
///
/// # Errors
/// When the member's file cannot be read; one that is damaged counts as none.
pub fn is_begun(dir: &Path) -> Result<bool> {
    match MemberFile::load(dir) {
        Ok(member) => Ok(member.is_some_and(|member| member.finished || member.rebuild.is_some())),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => Ok(false),
        Err(error) => Err(error).with_context(|| format!("could not read {}", dir.join(member::FILE).display())),
    }
}

/// Whether this very node was a member, though its member file is gone. A founder must not make its cluster a second time.
fn is_member_lost(dir: &Path, founder: Option<NodeId>, certs: &CertStore) -> Result<bool> {
    let Some(known) = KnownManagers::load(dir).context("could not read the file of the other managers")? else { return Ok(false) };
    let own = match founder {
        Some(founder) => Some(founder),
        None => {
            let stored = certs.load().context("could not read this node's certificates")?;
            stored.and_then(|stored| NodeId::parse(&stored.credentials.identity().node_id).ok())
        }
    };
    Ok(own == Some(known.node_id))
}

/// Gives the member a new id, and moves what its former self left out of the way.
///
/// # Errors
/// [`NoOtherManager`], or when a file cannot be read or written; the old state is as it was then, or the next start goes on.
pub fn begin(config: &Config, former: Option<&MemberFile>, reason: String) -> Result<MemberFile> {
    let dir = &config.state_dir;
    let managers = managers_to_ask(config, former)?;
    let former_id = former.map(|f| f.raft_id);
    if managers.is_empty() {
        tracing::error!(reason, raft_id = former_id, folder = %dir.display(), "the state is damaged and no other manager is known");
        return Err(NoOtherManager { dir: dir.display().to_string(), reason }.into());
    }
    let mut member = MemberFile::new(None);
    let folder = format!("{ASIDE_PREFIX}{}", member.raft_id);
    tracing::error!(
        reason, raft_id = former_id, new_raft_id = member.raft_id, folder = %dir.display(), set_aside = folder, ?managers,
        "the state is damaged: this manager starts anew and gets everything from the other managers"
    );
    let keep = former.is_none_or(|former| former.finished);
    member.rebuild = Some(Rebuild { reason, managers, set_aside: Some(SetAside { folder, keep }) });
    member.save(dir).context("could not write the member file")?;
    move_away(dir, &mut member)?;
    Ok(member)
}

/// Everybody who may be a manager: as the agent says, as the file beside the log says, and as an unfinished rebuild knew.
fn managers_to_ask(config: &Config, former: Option<&MemberFile>) -> Result<Vec<String>> {
    let known = KnownManagers::load(&config.state_dir).context("could not read the file of the other managers")?;
    let known = known.into_iter().flat_map(|known| known.others).map(|manager| manager.addr);
    let asked = former.and_then(|f| f.rebuild.as_ref()).into_iter().flat_map(|rebuild| rebuild.managers.iter().cloned());
    let own = config.advertise_addr.to_string();
    let mut managers: Vec<String> = Vec::new();
    for addr in config.join.iter().cloned().chain(known).chain(asked) {
        if addr != own && !managers.contains(&addr) {
            managers.push(addr);
        }
    }
    Ok(managers)
}

/// Moves the former self's state away if that is still to be done. Nothing may be open yet.
fn move_away(dir: &Path, member: &mut MemberFile) -> Result<()> {
    let Some(SetAside { folder, keep }) = member.rebuild.as_ref().and_then(|rebuild| rebuild.set_aside.clone()) else { return Ok(()) };
    set_aside(dir, &folder).context("could not set the damaged state aside")?;
    if !keep {
        fs::remove_dir_all(dir.join(&folder)).with_context(|| format!("could not remove {}", dir.join(&folder).display()))?;
    }
    if let Some(rebuild) = &mut member.rebuild {
        rebuild.set_aside = None;
    }
    member.save(dir).context("could not write the member file")
}

/// Notes that the member is one for good. Of the states of former selves only the last one is kept.
///
/// # Errors
/// When the member's file cannot be written.
pub fn finish(dir: &Path, member: &mut MemberFile) -> Result<()> {
    let was_rebuilt = member.rebuild.take().is_some();
    member.finished = true;
    member.save(dir).context("could not write the member file")?;
    if was_rebuilt {
        let last = format!("{ASIDE_PREFIX}{}", member.raft_id);
        tracing::info!(raft_id = member.raft_id, kept = %dir.join(&last).display(), "this manager is rebuilt; the damaged state may be removed");
        if let Err(error) = remove_older(dir, &last) {
            tracing::warn!(%error, "could not remove the state of an earlier self");
        }
    }
    Ok(())
}

fn remove_older(dir: &Path, last: &str) -> io::Result<()> {
    let is_older = |name: &str| name.starts_with(ASIDE_PREFIX) && name != last;
    // One that was not kept because the rebuild before this one never finished leaves the one before it as the last.
    if !dir.join(last).exists() {
        return Ok(());
    }
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_name().to_str().is_some_and(is_older) {
            fs::remove_dir_all(entry.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
