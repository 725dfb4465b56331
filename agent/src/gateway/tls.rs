//! TLS of the API's tcp listeners.

use crate::config::TlsFiles;
use rustls::{
    RootCertStore, ServerConfig,
    crypto::ring,
    server::{NoClientAuth, WebPkiClientVerifier, danger::ClientCertVerifier},
};
use rustls_pki_types::{
    CertificateDer, PrivateKeyDer,
    pem::{self, PemObject as _},
};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

/// TLS cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum ServerTlsError {
    /// A file cannot be read as PEM.
    #[error("could not read {path}")]
    Pem {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: pem::Error,
    },
    /// A file has no certificate in it.
    #[error("no certificate found in {0}")]
    Empty(PathBuf),
    /// An authority cannot be trusted, or the key does not fit the certificate.
    #[error("could not use the certificates of the API")]
    Use(#[source] rustls::Error),
    /// The authorities cannot check clients.
    #[error("could not check clients with {path}")]
    Clients {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: rustls::server::VerifierBuilderError,
    },
}

/// The configuration made of these files, which are read once.
///
/// # Errors
/// [`ServerTlsError`] names the file at fault.
pub fn server_tls(files: &TlsFiles) -> Result<ServerConfig, ServerTlsError> {
    let provider = Arc::new(ring::default_provider());
    let clients: Arc<dyn ClientCertVerifier> = match &files.client_ca {
        None => Arc::new(NoClientAuth),
        Some(path) => {
            let mut roots = RootCertStore::empty();
            for certificate in certificates(path)? {
                roots.add(certificate).map_err(ServerTlsError::Use)?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider)).build();
            verifier.map_err(|source| ServerTlsError::Clients { path: path.clone(), source })?
        }
    };
    let chain = certificates(&files.cert)?;
    let key = PrivateKeyDer::from_pem_file(&files.key).map_err(|source| ServerTlsError::Pem { path: files.key.clone(), source })?;
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(ServerTlsError::Use)?
        .with_client_cert_verifier(clients)
        .with_single_cert(chain, key)
        .map_err(ServerTlsError::Use)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, ServerTlsError> {
    let failed = |source| ServerTlsError::Pem { path: path.to_owned(), source };
    let all: Vec<_> = CertificateDer::pem_file_iter(path).map_err(failed)?.collect::<Result<_, _>>().map_err(failed)?;
    if all.is_empty() { Err(ServerTlsError::Empty(path.to_owned())) } else { Ok(all) }
}
