//! openssl reads what this room makes, and this room reads what openssl makes.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use swarm_pki::{CaError, Credentials, NODE_VALIDITY_DEFAULT, NodeKey, NodeSubject, Role, RootBundle, RootCa, RootsError, SignError};
use tempfile::TempDir;

const NODE: &str = "ipkugqd3vzm7s2nvxxrk4r1tr";
const CLUSTER: &str = "8qf3zyb5s4emvh5p8b6v3r1hx";

struct World {
    ca: RootCa,
    dir: TempDir,
}

impl World {
    fn new() -> Self {
        let world = Self { ca: RootCa::create(SystemTime::now()).unwrap(), dir: tempfile::tempdir().unwrap() };
        world.write("root.crt", world.ca.cert_pem());
        world.write("root.key", world.ca.key_pem());
        world
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.dir.path().join(name), text).unwrap();
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.dir.path().join(name)).unwrap()
    }

    /// Signs a node certificate and writes `node.crt` and `node.key`.
    fn node(&self, role: Role) -> Credentials {
        let key = NodeKey::generate().unwrap();
        let chain = self.sign(&key.csr_pem().unwrap(), role).unwrap();
        self.write("node.crt", &chain);
        self.write("node.key", key.pem());
        Credentials::new(&chain, key).unwrap()
    }

    fn sign(&self, csr: &str, role: Role) -> Result<String, SignError> {
        let subject = NodeSubject { node_id: NODE, role, cluster_id: CLUSTER };
        self.ca.sign_csr(csr, subject, NODE_VALIDITY_DEFAULT, SystemTime::now())
    }

    fn openssl(&self, line: &str) -> String {
        openssl(self.dir.path(), line)
    }
}

/// Runs openssl and returns what it prints; panics if it fails.
fn openssl(dir: &Path, line: &str) -> String {
    let output = Command::new("openssl").args(line.split_whitespace()).current_dir(dir).output().expect("openssl is installed");
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "openssl {line}: {text}");
    text
}

/// The value lines below an extension of `openssl x509 -text`.
fn extension<'a>(text: &'a str, name: &str) -> &'a str {
    let mut lines = text.lines().skip_while(|line| !line.contains(name));
    lines.next().unwrap_or_else(|| panic!("no {name} in {text}"));
    lines.next().unwrap().trim()
}

#[test]
fn the_root_is_what_swarm_makes() {
    let world = World::new();
    let text = world.openssl("x509 -in root.crt -noout -text -nameopt RFC2253");
    assert!(text.contains("Subject: CN=swarm-ca\n") && text.contains("Issuer: CN=swarm-ca\n"));
    assert!(text.contains("ASN1 OID: prime256v1") && text.contains("ecdsa-with-SHA256"));
    assert_eq!(extension(&text, "X509v3 Basic Constraints: critical"), "CA:TRUE");
    assert_eq!(extension(&text, "X509v3 Key Usage: critical"), "Certificate Sign, CRL Sign");
    world.openssl("verify -x509_strict -CAfile root.crt root.crt");
    world.openssl("pkey -in root.key -check -noout");

    let years_19 = 19 * 365 * 86_400;
    world.openssl(&format!("x509 -in root.crt -noout -checkend {years_19}"));
}

#[test]
fn node_certificates_carry_id_role_and_cluster() {
    for (role, unit, names) in [
        (Role::Worker, "swarm-worker", format!("DNS:swarm-worker, DNS:{NODE}")),
        (Role::Manager, "swarm-manager", format!("DNS:swarm-manager, DNS:{NODE}, DNS:swarm-ca")),
    ] {
        let world = World::new();
        world.node(role);
        let text = world.openssl("x509 -in node.crt -noout -text -nameopt RFC2253");
        assert!(text.contains(&format!("Subject: CN={NODE},OU={unit},O={CLUSTER}\n")), "{text}");
        assert!(text.contains("Issuer: CN=swarm-ca\n"));
        assert_eq!(extension(&text, "Subject Alternative Name"), names);
        assert_eq!(extension(&text, "Basic Constraints: critical"), "CA:FALSE");
        assert_eq!(extension(&text, "X509v3 Key Usage: critical"), "Digital Signature, Key Encipherment");
        assert_eq!(extension(&text, "Extended Key Usage"), "TLS Web Server Authentication, TLS Web Client Authentication");
        for purpose in ["sslclient", "sslserver"] {
            world.openssl(&format!(
                "verify -x509_strict -purpose {purpose} -verify_hostname {unit} \
                 -CAfile root.crt node.crt"
            ));
        }
        world.openssl("pkey -in node.key -check -noout");
        assert!(world.read("node.key").starts_with("-----BEGIN PRIVATE KEY-----\n"));
        let certified = world.openssl("x509 -in node.crt -noout -pubkey");
        assert_eq!(world.openssl("pkey -in node.key -pubout"), certified);
    }
}

#[test]
fn validity_is_backdated_and_ends_with_the_root() {
    let now = SystemTime::now();
    let world = World::new();
    let identity = world.node(Role::Worker).identity().clone();
    let tolerance = Duration::from_secs(60);
    let start = now - Duration::from_secs(3600);
    let end = now + NODE_VALIDITY_DEFAULT;
    assert!(identity.not_before > start - tolerance && identity.not_before < start + tolerance);
    assert!(identity.not_after > end - tolerance && identity.not_after < end + tolerance);
    assert_eq!((identity.node_id.as_str(), identity.cluster_id.as_str()), (NODE, CLUSTER));

    let century = Duration::from_secs(100 * 365 * 86_400);
    let key = NodeKey::generate().unwrap();
    let csr = key.csr_pem().unwrap();
    let subject = NodeSubject { node_id: NODE, role: Role::Worker, cluster_id: CLUSTER };
    let chain = world.ca.sign_csr(&csr, subject, century, now).unwrap();
    world.write("long.crt", &chain);
    let root_end = world.openssl("x509 -in root.crt -noout -enddate");
    assert_eq!(world.openssl("x509 -in long.crt -noout -enddate"), root_end);

    let too_late = world.ca.sign_csr(&csr, subject, century, now + century);
    assert!(matches!(too_late, Err(SignError::RootExpired)));
    assert!(!too_late.unwrap_err().is_bad_request());
}

#[test]
fn renewing_the_same_key_gives_another_serial_number() {
    let world = World::new();
    let csr = NodeKey::generate().unwrap().csr_pem().unwrap();
    let serial = || {
        world.write("one.crt", &world.sign(&csr, Role::Worker).unwrap());
        world.openssl("x509 -in one.crt -noout -serial")
    };
    assert_ne!(serial(), serial());
}

#[test]
fn openssl_accepts_our_request_and_it_names_nobody() {
    let world = World::new();
    world.write("node.csr", &NodeKey::generate().unwrap().csr_pem().unwrap());
    let text = world.openssl("req -in node.csr -noout -verify -subject");
    assert!(text.contains("verify OK"), "{text}");
    assert_eq!(text.lines().find(|line| line.starts_with("subject=")), Some("subject="));
}

#[test]
fn only_the_public_key_of_a_request_is_used() {
    let world = World::new();
    world.openssl("ecparam -name prime256v1 -genkey -noout -out sec1.key");
    world.openssl("pkcs8 -topk8 -nocrypt -in sec1.key -out evil.key");
    world.openssl(
        "req -new -key evil.key -out evil.csr -subj /O=other/OU=swarm-manager/CN=boss \
         -addext subjectAltName=DNS:swarm-manager,DNS:swarm-ca \
         -addext basicConstraints=critical,CA:TRUE -addext keyUsage=keyCertSign \
         -addext 1.2.3.4=ASN1:UTF8String:x",
    );
    let chain = world.sign(&world.read("evil.csr"), Role::Worker).unwrap();
    world.write("evil.crt", &chain);
    let text = world.openssl("x509 -in evil.crt -noout -text -nameopt RFC2253");
    assert!(text.contains(&format!("Subject: CN={NODE},OU=swarm-worker,O={CLUSTER}\n")));
    for unwanted in ["swarm-manager", "swarm-ca,", "boss", "CA:TRUE", "1.2.3.4", "other"] {
        assert!(!text.contains(unwanted), "{unwanted} in {text}");
    }
    // The key is the one asked for.
    Credentials::new(&chain, NodeKey::from_pem(&world.read("evil.key")).unwrap()).unwrap();
}

#[test]
fn bad_requests_are_refused() {
    let world = World::new();
    world.openssl("req -new -newkey rsa:2048 -nodes -keyout rsa.key -out rsa.csr -subj /CN=x");
    world.openssl("ecparam -name secp384r1 -genkey -noout -out p384.key");
    world.openssl("req -new -key p384.key -sha256 -out p384.csr -subj /CN=x");
    let good = NodeKey::generate().unwrap().csr_pem().unwrap();
    let tampered = tamper(&good, "CERTIFICATE REQUEST");
    let refusal = |csr: &str| {
        let error = world.sign(csr, Role::Worker).unwrap_err();
        assert!(error.is_bad_request());
        error
    };
    assert!(matches!(refusal(&world.read("rsa.csr")), SignError::NotP256));
    assert!(matches!(refusal(&world.read("p384.csr")), SignError::NotP256));
    assert!(matches!(refusal(&tampered), SignError::Signature));
    assert!(matches!(refusal(""), SignError::Unreadable));
    assert!(matches!(refusal(world.ca.cert_pem()), SignError::Unreadable));
    assert!(matches!(refusal(&good[..good.len() / 2]), SignError::Unreadable));

    for node_id in ["", "a b", "*", "swarm-ca", "Swarm-Manager", "é", &"n".repeat(65)] {
        let subject = NodeSubject { node_id, role: Role::Worker, cluster_id: CLUSTER };
        let error = world.ca.sign_csr(&good, subject, NODE_VALIDITY_DEFAULT, SystemTime::now());
        assert!(matches!(error, Err(SignError::Name { .. })), "{node_id}");
    }
}

/// Flips a bit of the last byte, which is in the signature.
fn tamper(pem: &str, label: &str) -> String {
    let body: String = pem.lines().filter(|line| !line.starts_with("-----")).collect();
    let mut der = BASE64.decode(body).unwrap();
    *der.last_mut().unwrap() ^= 1;
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", BASE64.encode(der))
}

#[test]
fn the_digest_is_that_of_the_exact_bundle() {
    let world = World::new();
    let printed = world.openssl("dgst -sha256 -r root.crt");
    assert!(printed.starts_with(&world.ca.roots().digest().hex()));

    let with_space = format!("{}\n", world.ca.cert_pem());
    let other = RootBundle::from_pem(&with_space).unwrap();
    assert_ne!(other.digest(), world.ca.roots().digest());
    let expected = world.ca.roots().digest();
    assert_eq!(
        other.check_digest(expected).unwrap_err().to_string(),
        format!("remote CA does not match fingerprint. Expected: {}", expected.hex())
    );
    world.ca.roots().check_digest(expected).unwrap();
    assert_eq!(expected.to_string().len(), 50);
}

#[test]
fn tls_info_shows_the_issuer() {
    let world = World::new();
    let node = world.node(Role::Worker);
    let info = world.ca.roots().tls_info_of(node.chain()).unwrap();
    assert_eq!(info, world.ca.roots().tls_info());
    assert_eq!(info.trust_root, world.ca.cert_pem());

    // The public key as openssl sees it.
    world.write("root.pub", &world.openssl("x509 -in root.crt -noout -pubkey"));
    world.openssl("pkey -pubin -in root.pub -outform DER -out root.pub.der");
    let public_key = fs::read(world.dir.path().join("root.pub.der")).unwrap();
    assert_eq!(BASE64.decode(&info.cert_issuer_public_key).unwrap(), public_key);
    assert_eq!(BASE64.decode(&info.cert_issuer_subject).unwrap(), node.identity().issuer);
    // CN=swarm-ca with a UTF-8 or printable string.
    let subject = BASE64.decode(&info.cert_issuer_subject).unwrap();
    assert!(subject.ends_with(b"swarm-ca"));

    let stranger = RootCa::create(SystemTime::now()).unwrap();
    assert!(stranger.roots().tls_info_of(node.chain()).is_err());
}

#[test]
fn an_authority_is_restored_from_its_pem() {
    let world = World::new();
    let again = RootCa::from_pem(world.ca.cert_pem(), world.ca.key_pem()).unwrap();
    assert_eq!(again.cert_pem(), world.ca.cert_pem());
    assert_eq!(again.key_pem().as_str(), world.ca.key_pem().as_str());
    let shown = format!("{again:?}");
    assert!(!shown.contains("PRIVATE") && shown.contains(&again.roots().digest().hex()));

    let stranger = RootCa::create(SystemTime::now()).unwrap();
    let mixed = RootCa::from_pem(world.ca.cert_pem(), stranger.key_pem());
    assert!(matches!(mixed, Err(CaError::KeyMismatch)));

    // In a bundle of two the one that has the key signs.
    let bundle = [world.ca.cert_pem(), stranger.cert_pem()].concat();
    let second = RootCa::from_pem(&bundle, stranger.key_pem()).unwrap();
    let csr = NodeKey::generate().unwrap().csr_pem().unwrap();
    let subject = NodeSubject { node_id: NODE, role: Role::Worker, cluster_id: CLUSTER };
    let chain = second.sign_csr(&csr, subject, NODE_VALIDITY_DEFAULT, SystemTime::now()).unwrap();
    world.write("second.crt", &chain);
    world.write("second-root.crt", stranger.cert_pem());
    world.openssl("verify -CAfile second-root.crt second.crt");
}

#[test]
fn roots_of_openssl_are_judged() {
    let world = World::new();
    let make = |name: &str, key: &str, more: &str| {
        world.openssl(&format!(
            "req -x509 -nodes -newkey {key} -keyout {name}.key -out {name}.crt -days 4000 \
             -subj /O=Example/CN=custom {more}"
        ));
        world.read(&format!("{name}.crt"))
    };
    RootBundle::from_pem(&make("rsa", "rsa:2048", "-sha256")).unwrap();
    let p384 = make("p384", "ec -pkeyopt ec_paramgen_curve:P-384", "-sha384");
    RootBundle::from_pem(&p384).unwrap();

    let weak_key = make("weak", "rsa:1024", "-sha256");
    let sha1 = make("sha1", "rsa:2048", "-sha1");
    for unfit in [&weak_key, &sha1] {
        let error = RootBundle::from_pem(unfit).unwrap_err();
        assert!(matches!(error, RootsError::Unsupported { index: 0 }), "{error}");
    }
    let with_bad_second = [p384.as_str(), weak_key.as_str()].concat();
    let error = RootBundle::from_pem(&with_bad_second).unwrap_err();
    assert!(matches!(error, RootsError::Unsupported { index: 1 }));

    world.node(Role::Manager);
    let leaf = RootBundle::from_pem(&world.read("node.crt")).unwrap_err();
    assert!(matches!(leaf, RootsError::NotAuthority { index: 0 }));
    let forged = RootBundle::from_pem(&tamper(world.ca.cert_pem(), "CERTIFICATE")).unwrap_err();
    assert!(matches!(forged, RootsError::NotSelfSigned { index: 0 }), "{forged}");
    let with_key = [world.ca.cert_pem(), world.ca.key_pem()].concat();
    for text in ["", "hello", &with_key, &world.ca.cert_pem()[..200]] {
        assert!(matches!(RootBundle::from_pem(text), Err(RootsError::Pem(_))), "{text}");
    }

    // A custom authority with its PKCS#8 key signs too.
    for name in ["p384", "rsa"] {
        let key = world.read(&format!("{name}.key"));
        let custom = RootCa::from_pem(&world.read(&format!("{name}.crt")), &key).unwrap();
        let csr = NodeKey::generate().unwrap().csr_pem().unwrap();
        let subject = NodeSubject { node_id: NODE, role: Role::Worker, cluster_id: CLUSTER };
        let chain = custom.sign_csr(&csr, subject, NODE_VALIDITY_DEFAULT, SystemTime::now()).unwrap();
        world.write("custom-node.crt", &chain);
        world.openssl(&format!("verify -CAfile {name}.crt custom-node.crt"));
    }
}

#[test]
fn a_root_whose_name_cannot_be_kept_signs_nothing() {
    let world = World::new();
    world.openssl(
        "req -x509 -nodes -newkey ec -pkeyopt ec_paramgen_curve:P-256 -keyout two.key \
         -out two.crt -days 4000 -subj /OU=a/OU=b/CN=custom",
    );
    let ca = RootCa::from_pem(&world.read("two.crt"), &world.read("two.key")).unwrap();
    let csr = NodeKey::generate().unwrap().csr_pem().unwrap();
    let subject = NodeSubject { node_id: NODE, role: Role::Worker, cluster_id: CLUSTER };
    let error = ca.sign_csr(&csr, subject, NODE_VALIDITY_DEFAULT, SystemTime::now()).unwrap_err();
    assert!(matches!(error, SignError::IssuerName), "{error}");
}
