//! What openssl says of a node's certificates and of port 2377.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use anyhow::{Result, ensure};
use swarm_pki::JoinToken;
use swarm_testkit::{Role, run};
use swarm_tests::{swarm_info, text_at};

use crate::Scene;

const DAY_S: u64 = 86_400;

/// The first and third host are managers, the second is a worker.
pub(crate) fn openssl_reads_them(scene: &Scene) -> Result<()> {
    let cluster = &scene.cluster;
    let cluster_id = text_at(&swarm_info(cluster.agent(1))?, "/Cluster/ID").unwrap_or_default();
    for (number, unit) in [(1, "swarm-manager"), (2, "swarm-worker"), (3, "swarm-manager")] {
        let node = cluster.node(number)?;
        let id = text_at(&node, "/ID").unwrap_or_default();
        let folder = cluster.agent(number).state_dir().join("certificates");
        let path = |name: &str| folder.join(name).display().to_string();
        let (root, cert, key) = (path("swarm-root-ca.crt"), path("swarm-node.crt"), path("swarm-node.key"));

        let subject = openssl(&["x509", "-in", &cert, "-noout", "-subject", "-nameopt", "RFC2253"])?;
        let subject: BTreeSet<_> = subject.trim_start_matches("subject=").trim().split(',').map(str::to_owned).collect();
        let expected = [format!("CN={id}"), format!("OU={unit}"), format!("O={cluster_id}")];
        ensure!(subject == expected.into(), "{subject:?}");

        let names = openssl(&["x509", "-in", &cert, "-noout", "-ext", "subjectAltName"])?;
        let names: BTreeSet<_> = names.split(['\n', ',', ' ']).filter_map(|word| word.strip_prefix("DNS:")).collect();
        let mut expected = BTreeSet::from([unit, &id]);
        if unit == "swarm-manager" {
            expected.insert("swarm-ca");
        }
        ensure!(names == expected, "{names:?}");

        for purpose in ["sslserver", "sslclient"] {
            let verified = openssl(&["verify", "-purpose", purpose, "-CAfile", &root, &cert])?;
            ensure!(verified.ends_with(": OK"), "{verified}");
        }
        let usages = openssl(&["x509", "-in", &cert, "-noout", "-ext", "keyUsage,extendedKeyUsage"])?;
        for usage in ["Digital Signature", "Key Encipherment", "TLS Web Server", "TLS Web Client"] {
            ensure!(usages.contains(usage), "{usages}");
        }

        // Three months, and an hour backwards for clocks that differ.
        lasts(&cert, 90 * DAY_S - 600, 90 * DAY_S)?;
        let own_key = openssl(&["pkey", "-in", &key, "-pubout"])?;
        ensure!(openssl(&["x509", "-in", &cert, "-noout", "-pubkey"])? == own_key, "key and certificate differ");
        ensure!(openssl(&["pkey", "-in", &key, "-noout", "-text"])?.contains("prime256v1"));
        ensure!(fs::read_to_string(&key)?.starts_with("-----BEGIN PRIVATE KEY-----"), "not PKCS#8");
        ensure!(mode(&key)? == 0o600 && mode(&cert)? == 0o644 && mode(&root)? == 0o644);

        let subject = openssl(&["x509", "-in", &root, "-noout", "-subject", "-issuer", "-nameopt", "RFC2253"])?;
        ensure!(subject == "subject=CN=swarm-ca\nissuer=CN=swarm-ca", "{subject}");
        // Twenty years, of which the hour is taken off.
        lasts(&root, 630_720_000 - 3600 - 600, 630_720_000)?;

        // The same root everywhere: on disk, in the tokens, in what the API tells.
        let pem = fs::read_to_string(&root)?;
        ensure!(node["Description"]["TLSInfo"]["TrustRoot"] == pem, "{node}");
        let digest = openssl(&["dgst", "-sha256", "-r", &root])?;
        for role in [Role::Worker, Role::Manager] {
            let token: JoinToken = cluster.join_token(role)?.1.parse()?;
            ensure!(digest.starts_with(&token.root_digest().hex()), "{digest}");
        }
    }
    Ok(())
}

pub(crate) fn the_cluster_port_speaks_tls(scene: &Scene) -> Result<()> {
    let cluster = &scene.cluster;
    let certificates = cluster.agent(2).state_dir().join("certificates");
    let path = |name: &str| certificates.join(name).display().to_string();
    let (root, cert, key) = (path("swarm-root-ca.crt"), path("swarm-node.crt"), path("swarm-node.key"));
    for number in [1, 3] {
        let remote = scene.remote(number);
        let connect = ["s_client", "-connect", &remote, "-CAfile", &root, "-alpn", "h2", "-verify_return_error"];
        for name in ["swarm-manager", "swarm-ca"] {
            let named = [&connect[..], &["-verify_hostname", name, "-cert", &cert, "-key", &key]].concat();
            let shown = cluster.host(2).exec("openssl", &named)?.ok()?;
            ensure!(shown.contains("Verify return code: 0 (ok)") && shown.contains("ALPN protocol: h2"), "{shown}");
        }
        let other = [&connect[..], &["-verify_hostname", "swarm-worker"]].concat();
        cluster.host(2).exec("openssl", &other)?.fails_with("hostname mismatch")?;
        let old = [&connect[..], &["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"]].concat();
        let output = cluster.host(2).exec("openssl", &old)?;
        ensure!(!output.status.success(), "{output}");
    }
    Ok(())
}

fn openssl(args: &[&str]) -> Result<String> {
    let mut command = Command::new("openssl");
    command.args(args);
    run(command)?.ok()
}

/// Checks that a certificate is valid for at least this and at most that many seconds from now.
fn lasts(cert: &str, min_s: u64, max_s: u64) -> Result<()> {
    let ends_within = |seconds: u64| -> Result<bool> {
        let mut command = Command::new("openssl");
        command.args(["x509", "-in", cert, "-noout", "-checkend", &seconds.to_string()]);
        Ok(!run(command)?.status.success())
    };
    ensure!(!ends_within(min_s)?, "{cert} ends within {min_s} s");
    ensure!(ends_within(max_s)?, "{cert} does not end within {max_s} s");
    Ok(())
}

fn mode(path: &str) -> Result<u32> {
    Ok(fs::metadata(Path::new(path))?.permissions().mode() & 0o777)
}
