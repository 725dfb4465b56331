//! Handshakes in memory between the configurations of the cluster port and its callers.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::io::{self, Read as _, Write as _};
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustls::{AlertDescription, CertificateError, ClientConfig, ClientConnection, Error, HandshakeKind, ServerConfig, ServerConnection};
use rustls_pki_types::ServerName;
use swarm_pki::{
    Allow, ChainError, Credentials, Denied, LiveIdentity, NODE_VALIDITY_DEFAULT, NodeKey, NodeSubject, Peer, Role, RootBundle, RootCa,
    ca_server_name, client_config, client_config_ca, client_config_unverified, manager_server_name, permits, server_config,
};

const CLUSTER: &str = "c1";
const DAY: Duration = Duration::from_secs(86_400);

struct Cluster {
    ca: RootCa,
    id: &'static str,
}

impl Cluster {
    fn new(id: &'static str) -> Self {
        // Old enough to have signed certificates that have ended.
        Self { ca: RootCa::create(SystemTime::now() - 1000 * DAY).unwrap(), id }
    }

    fn credentials(&self, node_id: &str, role: Role) -> Credentials {
        self.credentials_signed(node_id, role, SystemTime::now())
    }

    fn expired(&self, node_id: &str, role: Role) -> Credentials {
        self.credentials_signed(node_id, role, SystemTime::now() - 91 * DAY)
    }

    fn credentials_signed(&self, node_id: &str, role: Role, at: SystemTime) -> Credentials {
        let key = NodeKey::generate().unwrap();
        let subject = NodeSubject { node_id, role, cluster_id: self.id };
        let csr = key.csr_pem().unwrap();
        let chain = self.ca.sign_csr(&csr, subject, NODE_VALIDITY_DEFAULT, at).unwrap();
        Credentials::new(&chain, key).unwrap()
    }

    fn server(&self, credentials: Credentials) -> Arc<ServerConfig> {
        Arc::new(server_config(live(credentials), self.ca.roots()))
    }

    fn manager(&self) -> Arc<ServerConfig> {
        self.server(self.credentials("m1", Role::Manager))
    }

    /// A caller that presents these credentials and trusts this cluster.
    fn client(&self, credentials: Credentials) -> Arc<ClientConfig> {
        Arc::new(client_config(live(credentials), self.ca.roots()))
    }
}

fn live(credentials: Credentials) -> Arc<LiveIdentity> {
    Arc::new(LiveIdentity::new(credentials))
}

/// What a finished handshake gave.
#[derive(Debug)]
struct Connected {
    client: ClientConnection,
    server: ServerConnection,
}

impl Connected {
    /// Who the server sees.
    fn peer(&self) -> Peer {
        Peer::from_chain(self.server.peer_certificates()).unwrap()
    }
}

/// Which side refused, and why.
#[derive(Debug, PartialEq)]
enum Refused {
    ByServer(Error),
    ByClient(Error),
}

fn shake(client: &Arc<ClientConfig>, name: ServerName<'static>, server: &Arc<ServerConfig>) -> Result<Connected, Refused> {
    let mut client = ClientConnection::new(Arc::clone(client), name).unwrap();
    let mut server = ServerConnection::new(Arc::clone(server)).unwrap();
    while client.is_handshaking() || server.is_handshaking() || client.wants_write() {
        let mut wire = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut wire).unwrap();
        }
        let mut wire = wire.as_slice();
        while !wire.is_empty() {
            server.read_tls(&mut wire).unwrap();
            server.process_new_packets().map_err(Refused::ByServer)?;
        }
        let mut wire = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut wire).unwrap();
        }
        let mut wire = wire.as_slice();
        while !wire.is_empty() {
            client.read_tls(&mut wire).unwrap();
            client.process_new_packets().map_err(Refused::ByClient)?;
        }
    }
    Ok(Connected { client, server })
}

fn certificate_error(refused: Refused) -> (&'static str, CertificateError) {
    match refused {
        Refused::ByServer(Error::InvalidCertificate(error)) => ("server", error),
        Refused::ByClient(Error::InvalidCertificate(error)) => ("client", error),
        other => panic!("refused for another reason: {other:?}"),
    }
}

#[test]
fn nodes_are_recognised() {
    let cluster = Cluster::new(CLUSTER);
    for role in [Role::Worker, Role::Manager] {
        let node = cluster.credentials("n7", role);
        let client = cluster.client(node.clone());
        let connected = shake(&client, manager_server_name(), &cluster.manager()).unwrap();
        assert_eq!(connected.peer(), Peer::from(node.identity().clone()));
        assert_eq!(connected.client.alpn_protocol(), Some(b"h2".as_slice()));
        let shown = Peer::from_chain(connected.client.peer_certificates()).unwrap();
        assert_eq!(shown.identity().unwrap().node_id, "m1");
    }
}

#[test]
fn a_node_without_certificate_is_anonymous() {
    let cluster = Cluster::new(CLUSTER);
    let client = Arc::new(client_config_ca(cluster.ca.roots()));
    let connected = shake(&client, ca_server_name(), &cluster.manager()).unwrap();
    assert_eq!(connected.peer(), Peer::Anonymous);
}

#[test]
fn any_root_can_be_fetched_unverified() {
    let cluster = Cluster::new(CLUSTER);
    let client = Arc::new(client_config_unverified());
    let connected = shake(&client, ca_server_name(), &cluster.manager()).unwrap();
    assert_eq!(connected.peer(), Peer::Anonymous);
    assert!(connected.client.peer_certificates().is_some());
}

#[test]
fn expired_certificates_are_refused_by_either_side() {
    let cluster = Cluster::new(CLUSTER);
    for role in [Role::Worker, Role::Manager] {
        let client = cluster.client(cluster.expired("n7", role));
        let refused = shake(&client, manager_server_name(), &cluster.manager()).unwrap_err();
        let (side, error) = certificate_error(refused);
        assert_eq!(side, "server");
        assert!(matches!(error, CertificateError::ExpiredContext { .. }), "{error:?}");
    }

    let server = cluster.server(cluster.expired("m1", Role::Manager));
    let client = cluster.client(cluster.credentials("n7", Role::Worker));
    let (side, error) = certificate_error(shake(&client, manager_server_name(), &server).unwrap_err());
    assert_eq!(side, "client");
    assert!(matches!(error, CertificateError::ExpiredContext { .. }), "{error:?}");
}

#[test]
fn certificates_of_another_root_are_refused_by_either_side() {
    let (ours, theirs) = (Cluster::new(CLUSTER), Cluster::new(CLUSTER));
    // Same names, same cluster id, other key.
    let intruder = Arc::new(client_config(live(theirs.credentials("n7", Role::Manager)), ours.ca.roots()));
    let refused = shake(&intruder, manager_server_name(), &ours.manager()).unwrap_err();
    assert_eq!(certificate_error(refused).0, "server");

    let client = ours.client(ours.credentials("n7", Role::Worker));
    let refused = shake(&client, manager_server_name(), &theirs.manager()).unwrap_err();
    assert_eq!(certificate_error(refused).0, "client");
    let joining = Arc::new(client_config_ca(ours.ca.roots()));
    let refused = shake(&joining, ca_server_name(), &theirs.manager()).unwrap_err();
    assert_eq!(certificate_error(refused).0, "client");
}

#[test]
fn a_worker_cannot_pose_as_manager() {
    let cluster = Cluster::new(CLUSTER);
    let server = cluster.server(cluster.credentials("w1", Role::Worker));
    let client = cluster.client(cluster.credentials("n7", Role::Worker));
    for name in [manager_server_name(), ca_server_name()] {
        let (side, error) = certificate_error(shake(&client, name, &server).unwrap_err());
        assert_eq!(side, "client");
        assert!(matches!(error, CertificateError::NotValidForNameContext { .. }));
    }
}

#[test]
fn another_cluster_under_the_same_root_is_denied_by_the_table() {
    let cluster = Cluster::new(CLUSTER);
    let sibling = Cluster { ca: RootCa::from_pem(cluster.ca.cert_pem(), cluster.ca.key_pem()).unwrap(), id: "c2" };
    let client = cluster.client(sibling.credentials("n7", Role::Manager));
    let connected = shake(&client, manager_server_name(), &cluster.manager()).unwrap();
    let denied = permits(Allow::Node, &connected.peer(), CLUSTER, |_| false).unwrap_err();
    assert_eq!(denied, Denied::OtherCluster { cluster_id: CLUSTER.into() });
}

#[test]
fn renewal_reaches_new_connections_of_existing_configurations() {
    let cluster = Cluster::new(CLUSTER);
    let client_identity = live(cluster.credentials("n7", Role::Worker));
    let server_identity = live(cluster.credentials("m1", Role::Manager));
    let client = Arc::new(client_config(Arc::clone(&client_identity), cluster.ca.roots()));
    let server = Arc::new(server_config(Arc::clone(&server_identity), cluster.ca.roots()));
    let before = shake(&client, manager_server_name(), &server).unwrap();
    assert!(matches!(before.peer(), Peer::Worker(_)));

    client_identity.replace(cluster.credentials("n7", Role::Manager));
    let renewed = cluster.credentials("m1", Role::Manager);
    server_identity.replace(renewed.clone());
    let after = shake(&client, manager_server_name(), &server).unwrap();
    assert!(matches!(after.peer(), Peer::Manager(_)));
    assert_eq!(after.client.peer_certificates().unwrap(), renewed.chain());
    // The connection made before keeps what it began with.
    assert!(matches!(before.peer(), Peer::Worker(_)));
}

#[test]
fn sessions_are_never_resumed() {
    let cluster = Cluster::new(CLUSTER);
    let server = cluster.manager();
    let ours = cluster.client(cluster.credentials("n7", Role::Worker));
    // A caller that would resume if the server let it, with either version of TLS.
    let mut eager = Vec::new();
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[version])
            .unwrap()
            .with_root_certificates(cluster.ca.roots().trust())
            .with_client_cert_resolver(live(cluster.credentials("n8", Role::Worker)));
        eager.push(Arc::new(config));
    }
    for client in eager.iter().chain([&ours]) {
        for _ in 0..3 {
            let connected = shake(client, manager_server_name(), &server).unwrap();
            assert_eq!(connected.server.handshake_kind(), Some(HandshakeKind::Full));
            assert!(matches!(connected.peer(), Peer::Worker(_)));
        }
    }
}

#[test]
fn both_roots_are_trusted_while_the_root_changes() {
    let (old, new) = (Cluster::new(CLUSTER), Cluster::new(CLUSTER));
    let both = RootBundle::from_pem(&[old.ca.cert_pem(), new.ca.cert_pem()].concat()).unwrap();
    let server = Arc::new(server_config(live(old.credentials("m1", Role::Manager)), &both));
    for cluster in [&old, &new] {
        let node = cluster.credentials("n7", Role::Worker);
        let client = Arc::new(client_config(live(node.clone()), &both));
        shake(&client, manager_server_name(), &server).unwrap();
        assert_eq!(both.tls_info_of(node.chain()).unwrap().cert_issuer_public_key, cluster.ca.roots().tls_info().cert_issuer_public_key);
    }
}

#[test]
fn received_chains_are_judged() {
    let (ours, theirs) = (Cluster::new(CLUSTER), Cluster::new(CLUSTER));
    let now = SystemTime::now();
    let verdict = |credentials: &Credentials, at| ours.ca.roots().check_chain(credentials.chain(), at);
    let node = ours.credentials("n7", Role::Worker);
    assert!(verdict(&node, now).is_ok());
    assert!(verdict(&node, now - 50 * Duration::from_secs(60)).is_ok(), "backdated");
    assert!(matches!(verdict(&node, now - DAY), Err(ChainError::NotYetValid)));
    assert!(matches!(verdict(&node, now + 91 * DAY), Err(ChainError::Expired)));
    let foreign = theirs.credentials("n7", Role::Worker);
    assert!(matches!(verdict(&foreign, now), Err(ChainError::UnknownAuthority)));
    assert!(matches!(ours.ca.roots().check_chain(&[], now), Err(ChainError::Empty)));
}

/// One connection of `openssl s_client` with these arguments; whether it reached `server`, and
/// what openssl printed.
fn s_client(server: Arc<ServerConfig>, args: &[&str]) -> (Result<Peer, io::Error>, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let accepting = std::thread::spawn(move || {
        let (mut tcp, _) = listener.accept()?;
        let mut connection = ServerConnection::new(server).unwrap();
        let mut stream = rustls::Stream::new(&mut connection, &mut tcp);
        stream.write_all(b"hello\n")?;
        let mut greeting = [0; 3];
        stream.read_exact(&mut greeting)?;
        connection.send_close_notify();
        connection.complete_io(&mut tcp)?;
        Ok(Peer::from_chain(connection.peer_certificates()).unwrap())
    });
    let mut client = Command::new("openssl")
        .args(["s_client", "-connect", &address, "-quiet", "-verify_return_error"])
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("openssl is installed");
    // openssl may already be gone, having refused the server.
    let _ = client.stdin.take().unwrap().write_all(b"hi\n");
    let output = client.wait_with_output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (accepting.join().unwrap(), String::from_utf8_lossy(&text).into_owned())
}

#[test]
fn openssl_connects_with_tls_1_2_and_1_3_only() {
    let cluster = Cluster::new(CLUSTER);
    let node = cluster.credentials("n7", Role::Worker);
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.into_os_string().into_string().unwrap()
    };
    let root = file("root.crt", cluster.ca.cert_pem());
    let cert = file("node.crt", node.chain_pem());
    let key = file("node.key", node.key().pem());
    let mut args = vec!["-CAfile", &root, "-verify_hostname", "swarm-manager", "-cert", &cert, "-key", &key];
    for version in ["-tls1_2", "-tls1_3"] {
        args.push(version);
        let (peer, text) = s_client(cluster.manager(), &args);
        assert!(matches!(peer, Ok(Peer::Worker(_))), "{version}: {peer:?} {text}");
        assert!(text.contains("hello"), "{text}");
        args.pop();
    }
    // Allow the old version and its signatures on openssl's side, so that the server decides.
    args.extend(["-tls1_1", "-cipher", "DEFAULT@SECLEVEL=0"]);
    let (peer, text) = s_client(cluster.manager(), &args);
    assert!(peer.is_err(), "{text}");
}

#[test]
fn a_client_learns_that_it_was_refused() {
    let cluster = Cluster::new(CLUSTER);
    let client = cluster.client(cluster.expired("n7", Role::Worker));
    let mut client = ClientConnection::new(client, manager_server_name()).unwrap();
    let mut server = ServerConnection::new(cluster.manager()).unwrap();
    let mut told = None;
    for _ in 0..10 {
        let mut wire = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut wire).unwrap();
        }
        let mut wire = wire.as_slice();
        while !wire.is_empty() {
            server.read_tls(&mut wire).unwrap();
            // The error is the other test's; here its alert matters.
            let _ = server.process_new_packets();
        }
        let mut wire = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut wire).unwrap();
        }
        let mut wire = wire.as_slice();
        while !wire.is_empty() {
            client.read_tls(&mut wire).unwrap();
            if let Err(error) = client.process_new_packets() {
                told = Some(error);
            }
        }
    }
    assert_eq!(told, Some(Error::AlertReceived(AlertDescription::CertificateExpired)));
}
