//! A node's certificates on disk.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::credentials::{Credentials, CredentialsError};
use crate::key::{KeyError, NodeKey};
use crate::roots::{RootBundle, RootsError};

/// Folder below the state folder, as Docker calls it.
const FOLDER: &str = "certificates";
/// What the folder is called from the moment it is given up until it is gone.
const FOLDER_WIPED: &str = "certificates.wiped";

const ROOTS: &str = "swarm-root-ca.crt";
const CERT: &str = "swarm-node.crt";
const KEY: &str = "swarm-node.key";
/// Chain and key together, while they are being put in place.
const STAGED: &str = "swarm-node.staged";

const PUBLIC: u32 = 0o644;
const SECRET: u32 = 0o600;
const FOLDER_MODE: u32 = 0o700;

/// First line of the key in the staged file, which starts with the chain.
const KEY_BEGIN: &str = "-----BEGIN PRIVATE KEY-----";

/// How often a read starts anew because the pair was being replaced meanwhile. A replacement
/// takes milliseconds and happens once in weeks, so that a second one hits the same read is
/// already unlikely.
const READ_ATTEMPTS_MAX: usize = 5;

/// Certificates on disk cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The file system refused.
    #[error("could not {verb} {path}")]
    Io {
        /// What was tried.
        verb: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A file that belongs to the others is missing.
    #[error("{path} is missing")]
    Missing {
        /// The missing file.
        path: PathBuf,
    },
    /// The root bundle is damaged.
    #[error("could not use {path}")]
    Roots {
        /// The file at fault.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: RootsError,
    },
    /// The key is damaged.
    #[error("could not use {path}")]
    Key {
        /// The file at fault.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: KeyError,
    },
    /// The certificate is damaged or does not belong to the key.
    #[error("could not use {path}")]
    Credentials {
        /// The file at fault.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: CredentialsError,
    },
}

/// What a node that is part of a swarm has on disk.
#[derive(Debug, Clone)]
pub struct Stored {
    /// The roots it trusts.
    pub roots: RootBundle,
    /// Who it is.
    pub credentials: Credentials,
}

/// The folder `certificates/`: `swarm-root-ca.crt`, `swarm-node.crt` and `swarm-node.key`.
///
/// Certificate and key change together: whenever the power goes, [`CertStore::load`] afterwards
/// gives the old pair or the new one. A new pair is first staged in one file, which takes effect
/// with its rename; then key and certificate are put in place one after the other, and the staged
/// file goes. As long as it exists it is the truth. The folder is given up by renaming it.
///
/// One process writes, the node's agent; others may read at any time. Every write is on the disk
/// when the call returns.
#[derive(Debug, Clone)]
pub struct CertStore {
    state_dir: PathBuf,
    dir: PathBuf,
}

/// One durable step of replacing the pair.
#[derive(Debug, Clone, Copy)]
enum Step {
    Stage,
    PlaceKey,
    PlaceCert,
    Unstage,
}

impl Step {
    /// In this order a stop after any step leaves one whole pair.
    const ALL: [Self; 4] = [Self::Stage, Self::PlaceKey, Self::PlaceCert, Self::Unstage];
}

impl CertStore {
    /// The store below this state folder. Nothing is read or created yet.
    pub fn new(state_dir: impl Into<PathBuf>) -> Self {
        let state_dir = state_dir.into();
        let dir = state_dir.join(FOLDER);
        Self { state_dir, dir }
    }

    /// Path of the folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Finishes what a crash interrupted: a pair half put in place, a folder half wiped. To be
    /// called by the writing process when it starts; reading works without.
    ///
    /// # Errors
    /// [`StoreError`]; may be retried.
    pub fn settle(&self) -> Result<(), StoreError> {
        self.remove_wiped()?;
        if let Some(credentials) = self.read_staged()? {
            for step in &Step::ALL[1..] {
                self.perform(*step, &credentials)?;
            }
        }
        Ok(())
    }

    /// What is stored; `None` if the node is in no swarm. The roots alone, left by a join that
    /// was not finished, count as nothing.
    ///
    /// # Errors
    /// [`StoreError`]. [`StoreError::Missing`] and damaged files need the operator.
    pub fn load(&self) -> Result<Option<Stored>, StoreError> {
        let pair = read_pair(|| self.read_staged(), || self.read_placed())?;
        let Some(credentials) = pair else {
            return Ok(None);
        };
        let roots = self.load_roots()?.ok_or_else(|| StoreError::Missing { path: self.path(ROOTS) })?;
        Ok(Some(Stored { roots, credentials }))
    }

    /// The stored root bundle, if there is one.
    ///
    /// # Errors
    /// [`StoreError::Io`] and [`StoreError::Roots`].
    pub fn load_roots(&self) -> Result<Option<RootBundle>, StoreError> {
        let path = self.path(ROOTS);
        let Some(pem) = read(&path)? else {
            return Ok(None);
        };
        match RootBundle::from_pem(&pem) {
            Ok(roots) => Ok(Some(roots)),
            Err(source) => Err(StoreError::Roots { path, source }),
        }
    }

    /// Replaces the root bundle in one rename.
    ///
    /// # Errors
    /// [`StoreError::Io`]; the old bundle stays then.
    pub fn save_roots(&self, roots: &RootBundle) -> Result<(), StoreError> {
        self.ensure_dir()?;
        self.place(ROOTS, roots.pem().as_bytes(), PUBLIC)
    }

    /// Replaces certificate and key together.
    ///
    /// A new node saves the roots first: the pair is what makes it a member.
    ///
    /// # Errors
    /// [`StoreError::Io`]; either pair may be in effect then, but one of them is, whole.
    pub fn save(&self, credentials: &Credentials) -> Result<(), StoreError> {
        self.ensure_dir()?;
        for step in Step::ALL {
            self.perform(step, credentials)?;
        }
        Ok(())
    }

    /// Removes all certificates and the key. A crash in the middle leaves nothing that
    /// [`CertStore::load`] would find.
    ///
    /// # Errors
    /// [`StoreError::Io`]; may be retried.
    pub fn wipe(&self) -> Result<(), StoreError> {
        self.remove_wiped()?;
        match fs::rename(&self.dir, self.state_dir.join(FOLDER_WIPED)) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            Err(source) => return Err(failed("rename", &self.dir)(source)),
        }
        sync_dir(&self.state_dir)?;
        self.remove_wiped()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    fn perform(&self, step: Step, credentials: &Credentials) -> Result<(), StoreError> {
        let chain = credentials.chain_pem();
        let key = credentials.key().pem();
        match step {
            Step::Stage => {
                let both = Zeroizing::new([chain, "\n", key].concat());
                self.place(STAGED, both.as_bytes(), SECRET)
            }
            Step::PlaceKey => self.place(KEY, key.as_bytes(), SECRET),
            Step::PlaceCert => self.place(CERT, chain.as_bytes(), PUBLIC),
            Step::Unstage => {
                let path = self.path(STAGED);
                fs::remove_file(&path).map_err(failed("remove", &path))?;
                sync_dir(&self.dir)
            }
        }
    }

    fn read_staged(&self) -> Result<Option<Credentials>, StoreError> {
        let path = self.path(STAGED);
        let Some(both) = read(&path)? else {
            return Ok(None);
        };
        let (chain, key) = both.split_at(both.find(KEY_BEGIN).unwrap_or(both.len()));
        // The line break between the two is not part of the chain.
        let chain = chain.strip_suffix('\n').unwrap_or(chain);
        join(chain, key, &path, &path).map(Some)
    }

    fn read_placed(&self) -> Result<Option<Credentials>, StoreError> {
        let (cert_path, key_path) = (self.path(CERT), self.path(KEY));
        match (read(&cert_path)?, read(&key_path)?) {
            (None, None) => Ok(None),
            (Some(chain), Some(key)) => join(&chain, &key, &cert_path, &key_path).map(Some),
            (None, Some(_)) => Err(StoreError::Missing { path: cert_path }),
            (Some(_), None) => Err(StoreError::Missing { path: key_path }),
        }
    }

    /// Writes a file under another name, then renames it into place, all of it durable.
    fn place(&self, name: &str, content: &[u8], mode: u32) -> Result<(), StoreError> {
        let path = self.path(name);
        let new = self.path(&format!(".{name}.new"));
        // One of an interrupted call may have another mode.
        remove_if_there(&new)?;
        let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&new).map_err(failed("create", &new))?;
        // Whatever the umask is.
        file.set_permissions(Permissions::from_mode(mode))
            .and_then(|()| file.write_all(content))
            .and_then(|()| file.sync_all())
            .map_err(failed("write", &new))?;
        fs::rename(&new, &path).map_err(failed("rename", &new))?;
        sync_dir(&self.dir)
    }

    fn ensure_dir(&self) -> Result<(), StoreError> {
        match DirBuilder::new().mode(FOLDER_MODE).create(&self.dir) {
            Ok(()) => sync_dir(&self.state_dir),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
            Err(source) => Err(failed("create", &self.dir)(source)),
        }
    }

    fn remove_wiped(&self) -> Result<(), StoreError> {
        let wiped = self.state_dir.join(FOLDER_WIPED);
        match fs::remove_dir_all(&wiped) {
            Ok(()) => sync_dir(&self.state_dir),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            Err(source) => Err(failed("remove", &wiped)(source)),
        }
    }
}

/// Reads the pair in effect while another process may be replacing it.
fn read_pair<T>(
    mut staged: impl FnMut() -> Result<Option<T>, StoreError>,
    mut placed: impl FnMut() -> Result<Option<T>, StoreError>,
) -> Result<Option<T>, StoreError> {
    let mut attempts_left = READ_ATTEMPTS_MAX;
    loop {
        attempts_left -= 1;
        if let Some(pair) = staged()? {
            return Ok(Some(pair));
        }
        match placed() {
            // Torn only because the writer was between the two files? Look again.
            Err(StoreError::Missing { .. } | StoreError::Credentials { .. }) if attempts_left > 0 => {}
            other => return other,
        }
    }
}

fn join(chain: &str, key: &str, cert_path: &Path, key_path: &Path) -> Result<Credentials, StoreError> {
    let key = NodeKey::from_pem(key).map_err(|source| StoreError::Key { path: key_path.to_owned(), source })?;
    Credentials::new(chain, key).map_err(|source| StoreError::Credentials { path: cert_path.to_owned(), source })
}

/// The file's text; `None` if there is no such file.
fn read(path: &Path) -> Result<Option<Zeroizing<String>>, StoreError> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(Zeroizing::new(text))),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(source) => Err(failed("read", path)(source)),
    }
}

fn remove_if_there(path: &Path) -> Result<(), StoreError> {
    match fs::remove_file(path) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(source) => Err(failed("remove", path)(source)),
    }
}

/// Makes creations, renames and removals in a folder survive a power cut.
fn sync_dir(dir: &Path) -> Result<(), StoreError> {
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(failed("sync", dir))
}

fn failed(verb: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StoreError {
    let path = path.to_owned();
    move |source| StoreError::Io { verb, path, source }
}

#[cfg(test)]
mod tests;
