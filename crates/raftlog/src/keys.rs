//! The data key, and the key-encryption key that may lock it.

use std::fmt;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::files::{self, FileError};
use crate::seal::{Kind, Label, Sealer};

pub(crate) const FILE_NAME: &str = "dek.json";
const FILE_VERSION: u32 = 1;

/// Key-encryption key: locks the data key while autolock is on. Wiped from memory when dropped.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct Kek([u8; 32]);

impl Kek {
    /// Takes the 32 bytes of an unlock key.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Kek(bytes)
    }

    /// The 32 bytes, for showing the unlock key to the operator.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for Kek {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Kek(..)")
    }
}

/// Why the data key could not be opened or stored.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// The data key is locked and no key-encryption key was given.
    #[error("data key in {path} is locked")]
    Locked {
        /// The key file.
        path: PathBuf,
    },
    /// The data key is locked with another key-encryption key.
    #[error("data key in {path} is locked with another key")]
    WrongKek {
        /// The key file.
        path: PathBuf,
    },
    /// There is sealed data but no key file. A new key could not open it, so none is made.
    #[error("{path} is missing although there is data sealed with it")]
    Missing {
        /// The key file.
        path: PathBuf,
    },
    /// The key file is not what this program writes.
    #[error("{path} is not a data key file of version {FILE_VERSION}")]
    Malformed {
        /// The key file.
        path: PathBuf,
    },
    /// The operating system refused an operation on a file.
    #[error("could not {doing} {path}")]
    File {
        /// The operation.
        doing: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: std::io::Error,
    },
}

impl KeysError {
    /// Whether the data key is lost for good, and with it everything sealed with it, so that only
    /// rebuilding this member from its peers helps.
    pub fn needs_rebuild(&self) -> bool {
        match self {
            KeysError::Missing { .. } | KeysError::Malformed { .. } => true,
            KeysError::Locked { .. } | KeysError::WrongKek { .. } | KeysError::File { .. } => false,
        }
    }
}

impl From<FileError> for KeysError {
    fn from(error: FileError) -> Self {
        KeysError::File { doing: error.doing, path: error.path, source: error.source }
    }
}

/// The data key of one member, opened. Wiped from memory when dropped.
pub struct Keys {
    path: PathBuf,
    dek: Zeroizing<[u8; 32]>,
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys").field("path", &self.path).finish_non_exhaustive()
    }
}

/// The form of `dek.json`.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyFile {
    version: u32,
    /// Whether `dek` is sealed with a key-encryption key.
    sealed: bool,
    /// Base64 of the data key, or of its sealed form.
    dek: String,
}

impl Drop for KeyFile {
    fn drop(&mut self) {
        self.dek.zeroize();
    }
}

impl Keys {
    /// Opens the data key of the state directory `dir`, or makes one (and the directory) if there is
    /// neither key nor data. A new key is on disk, durably, before anything can be sealed with it.
    ///
    /// `kek` is needed if the key is locked and not looked at otherwise. Blocks on the disk.
    ///
    /// # Errors
    /// [`KeysError::Locked`] and [`KeysError::WrongKek`] ask for the operator's unlock key.
    pub fn open(dir: &Path, kek: Option<&Kek>) -> Result<Keys, KeysError> {
        files::ensure_dir(dir)?;
        let path = dir.join(FILE_NAME);
        match read_file(&path)? {
            Some(file) => {
                let dek = unlock(&path, &file, kek)?;
                Ok(Keys { path, dek })
            }
            None if has_data(dir) => Err(KeysError::Missing { path }),
            None => {
                let mut dek = Zeroizing::new([0_u8; 32]);
                rand::fill(&mut dek[..]);
                let keys = Keys { path, dek };
                keys.reseal(kek)?;
                Ok(keys)
            }
        }
    }

    /// Whether the data key in `dir` is locked; `None` if there is none. Blocks on the disk.
    ///
    /// # Errors
    /// Those of reading the file.
    pub fn is_locked(dir: &Path) -> Result<Option<bool>, KeysError> {
        let file = read_file(&dir.join(FILE_NAME))?;
        Ok(file.map(|file| file.sealed))
    }

    /// Stores the same data key anew: locked with `kek`, or open with `None`. In one rename, so a
    /// crash leaves either the old or the new file; what is sealed with the data key stays readable.
    /// Blocks on the disk.
    ///
    /// # Errors
    /// Those of writing the file.
    pub fn reseal(&self, kek: Option<&Kek>) -> Result<(), KeysError> {
        let dek = match kek {
            Some(kek) => BASE64.encode(Sealer::new(kek.as_bytes()).seal(Label::single(Kind::DataKey), &self.dek[..])),
            None => BASE64.encode(&self.dek[..]),
        };
        let file = KeyFile { version: FILE_VERSION, sealed: kek.is_some(), dek };
        let bytes = Zeroizing::new(serde_json::to_vec_pretty(&file).expect("a struct of plain fields becomes JSON"));
        files::replace_private(&self.path, &bytes)?;
        Ok(())
    }

    pub(crate) fn sealer(&self) -> Sealer {
        Sealer::new(&self.dek)
    }
}

/// Whether `dir` has a key file that is none: torn, altered, or of an unknown version.
pub(crate) fn is_malformed(dir: &Path) -> Result<bool, KeysError> {
    match read_file(&dir.join(FILE_NAME)) {
        Ok(None) => Ok(false),
        // What is locked cannot be judged without its key, and may be good.
        Ok(Some(file)) if file.sealed => Ok(false),
        Ok(Some(file)) => Ok(unlock(&dir.join(FILE_NAME), &file, None).is_err()),
        Err(KeysError::Malformed { .. }) => Ok(true),
        Err(error) => Err(error),
    }
}

fn read_file(path: &Path) -> Result<Option<KeyFile>, KeysError> {
    let bytes = match std::fs::read(path) {
        Ok(bytes) => Zeroizing::new(bytes),
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(files::failed("read", path)(error).into()),
    };
    let malformed = || KeysError::Malformed { path: path.to_path_buf() };
    // The parser's message could quote the key, so it is not passed on.
    let file: KeyFile = serde_json::from_slice(&bytes).map_err(|_| malformed())?;
    if file.version == FILE_VERSION { Ok(Some(file)) } else { Err(malformed()) }
}

fn unlock(path: &Path, file: &KeyFile, kek: Option<&Kek>) -> Result<Zeroizing<[u8; 32]>, KeysError> {
    let path = || path.to_path_buf();
    let malformed = || KeysError::Malformed { path: path() };
    let stored = Zeroizing::new(BASE64.decode(&file.dek).map_err(|_| malformed())?);
    let plain = match (file.sealed, kek) {
        (false, _) => stored,
        (true, None) => return Err(KeysError::Locked { path: path() }),
        (true, Some(kek)) => Sealer::new(kek.as_bytes())
            .open(Label::single(Kind::DataKey), &stored)
            .map(Zeroizing::new)
            .map_err(|_| KeysError::WrongKek { path: path() })?,
    };
    let dek = <[u8; 32]>::try_from(plain.as_slice()).map_err(|_| malformed())?;
    Ok(Zeroizing::new(dek))
}

fn has_data(dir: &Path) -> bool {
    [crate::log::LOG_DIR, crate::snapshot::SNAPSHOT_DIR].iter().any(|name| dir.join(name).exists())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_new_key_is_private_and_found_again() {
        let dir = tempfile::tempdir().unwrap();
        let state = dir.path().join("raft");
        assert_eq!(Keys::open(&state, None).unwrap().dek, Keys::open(&state, None).unwrap().dek);
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&state), 0o700);
        assert_eq!(mode(&state.join(FILE_NAME)), 0o600);
        assert!(!state.join("dek.tmp").exists());
    }

    #[test]
    fn locking_and_unlocking_keep_the_data_key() {
        let dir = tempfile::tempdir().unwrap();
        let keys = Keys::open(dir.path(), None).unwrap();
        let kek = Kek::from_bytes([3; 32]);
        assert_eq!(Keys::is_locked(dir.path()).unwrap(), Some(false));

        keys.reseal(Some(&kek)).unwrap();
        assert_eq!(Keys::is_locked(dir.path()).unwrap(), Some(true));
        let text = std::fs::read_to_string(dir.path().join(FILE_NAME)).unwrap();
        assert!(!text.contains(&BASE64.encode(&keys.dek[..])));
        assert!(matches!(Keys::open(dir.path(), None), Err(KeysError::Locked { .. })));
        assert!(matches!(Keys::open(dir.path(), Some(&Kek::from_bytes([4; 32]))), Err(KeysError::WrongKek { .. })));
        assert_eq!(Keys::open(dir.path(), Some(&kek)).unwrap().dek, keys.dek);

        keys.reseal(None).unwrap();
        assert_eq!(Keys::open(dir.path(), None).unwrap().dek, keys.dek);
    }

    #[test]
    fn no_new_key_is_made_over_existing_data_and_no_broken_file_is_believed() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join(crate::log::LOG_DIR)).unwrap();
        assert!(matches!(Keys::open(dir.path(), None), Err(KeysError::Missing { .. })));
        for text in ["", "{}", r#"{"version":2,"sealed":false,"dek":""}"#, r#"{"version":1,"sealed":false,"dek":"AAAA"}"#] {
            std::fs::write(dir.path().join(FILE_NAME), text).unwrap();
            assert!(matches!(Keys::open(dir.path(), None), Err(KeysError::Malformed { .. })));
        }
    }
}
