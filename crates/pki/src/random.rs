//! Random bytes for secrets.

use crate::tls::provider;

/// The operating system gave no random bytes.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("the operating system gave no random bytes")]
pub struct RandomError;

/// `N` bytes from the operating system's cryptographic generator, through ring.
///
/// # Errors
/// [`RandomError`] if the operating system refuses; it may be retried.
pub fn random_bytes<const N: usize>() -> Result<[u8; N], RandomError> {
    let mut bytes = [0; N];
    provider().secure_random.fill(&mut bytes).map_err(|_| RandomError)?;
    Ok(bytes)
}
