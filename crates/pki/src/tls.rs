//! TLS configurations of the cluster port and of those who call it.
//!
//! TLS 1.2 and 1.3 with ring; nothing process-wide is installed. Sessions are not resumed: a
//! resumed session would keep the certificate it began with, past its end and past a change of
//! the node's role.

use std::sync::{Arc, LazyLock};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, WantsClientCert};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::server::NoServerSessionStorage;
use rustls::{ClientConfig, ConfigBuilder, DigitallySignedStruct, ServerConfig, SignatureScheme, WantsVerifier};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use crate::ca::ROOT_NAME;
use crate::identity::Role;
use crate::live::LiveIdentity;
use crate::roots::{Anonymous, RootBundle};

/// Protocols a server of the cluster port speaks, preferred first.
const SERVER_PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// Protocol a client asks for. A caller that speaks HTTP/1.1 sets `alpn_protocols` itself.
const CLIENT_PROTOCOL: &[u8] = b"h2";

/// The cryptography all configurations use.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: LazyLock<Arc<CryptoProvider>> = LazyLock::new(|| Arc::new(ring::default_provider()));
    Arc::clone(&PROVIDER)
}

/// The name to expect of a manager, whatever its address is.
pub fn manager_server_name() -> ServerName<'static> {
    ServerName::try_from(Role::Manager.organizational_unit()).expect("a constant DNS name")
}

/// The name to expect of a manager that is asked for a certificate.
pub fn ca_server_name() -> ServerName<'static> {
    ServerName::try_from(ROOT_NAME).expect("a constant DNS name")
}

/// For the cluster port: presents `identity`, and verifies clients that have a certificate.
///
/// A client may come without a certificate, since it needs one to join; one with an expired or
/// foreign certificate fails the handshake. The handshake does not look at role and cluster:
/// that is [`crate::Peer`] and [`crate::permits`].
pub fn server_config(identity: Arc<LiveIdentity>, roots: &RootBundle) -> ServerConfig {
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .expect("ring supports TLS 1.2 and 1.3")
        .with_client_cert_verifier(roots.client_verifier(Anonymous::Allowed))
        .with_cert_resolver(identity);
    config.alpn_protocols = SERVER_PROTOCOLS.map(<[u8]>::to_vec).to_vec();
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config
}

/// For calls of a node to managers: presents `identity`, trusts `roots`. Connect with
/// [`manager_server_name`], or with [`ca_server_name`] to renew the certificate.
pub fn client_config(identity: Arc<LiveIdentity>, roots: &RootBundle) -> ClientConfig {
    finish(trusting(roots).with_client_cert_resolver(identity))
}

/// For a node that has no certificate yet: presents none, trusts `roots`. Connect with
/// [`ca_server_name`].
pub fn client_config_ca(roots: &RootBundle) -> ClientConfig {
    finish(trusting(roots).with_no_client_auth())
}

/// For fetching the root bundle only, before any root is known: presents no certificate and
/// accepts any server.
///
/// Nothing secret may be sent over it, and what it brings may only be used after its digest was
/// compared with that of the join token ([`RootBundle::check_digest`]).
pub fn client_config_unverified() -> ClientConfig {
    finish(client_builder().dangerous().with_custom_certificate_verifier(Arc::new(AnyServer(provider()))).with_no_client_auth())
}

fn client_builder() -> ConfigBuilder<ClientConfig, WantsVerifier> {
    ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions().expect("ring supports TLS 1.2 and 1.3")
}

fn trusting(roots: &RootBundle) -> ConfigBuilder<ClientConfig, WantsClientCert> {
    client_builder().with_root_certificates(roots.trust())
}

fn finish(mut config: ClientConfig) -> ClientConfig {
    config.alpn_protocols = vec![CLIENT_PROTOCOL.to_vec()];
    config.resumption = Resumption::disabled();
    config
}

/// Accepts any certificate, but still has the server prove that it holds its key.
#[derive(Debug)]
struct AnyServer(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyServer {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
