//! The API over TCP with TLS, with certificates that openssl makes.

use std::fs;

use anyhow::{Context, Result, ensure};
use swarm_testkit::{AgentOptions, AgentProc, BUSYBOX};
use swarm_tests::prints;

use crate::Scene;

const MAKE: &str = "set -e
mkdir -p $1; cd $1
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout ca-key.pem -out ca.pem -days 1 -subj /CN=ca
for name in server client; do
	openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout $name-key.pem -out $name.csr -subj /CN=$name
	printf \"subjectAltName=IP:$2\\nextendedKeyUsage=${name}Auth\\n\" >$name.ext
	openssl x509 -req -in $name.csr -CA ca.pem -CAkey ca-key.pem -CAcreateserial -days 1 -extfile $name.ext -out $name.pem
done";

/// Only who has a certificate is answered, and everything works as it does on the unix socket.
pub(crate) fn tcp_with_tls_serves_those_with_a_certificate(scene: &Scene) -> Result<()> {
    let host = scene.cluster.host(1);
    let folder = host.dir().join("tls");
    let folder = folder.to_str().context("a path that is not UTF-8")?;
    host.exec("sh", &["-c", MAKE, "make", folder, &host.ip().to_string()])?.ok()?;
    let file = |name: &str| format!("{folder}/{name}");
    let address = format!("tcp://{}:2376", host.ip());
    let flags = [
        "--host",
        &address,
        "--tlsverify",
        "--tlscacert",
        &file("ca.pem"),
        "--tlscert",
        &file("server.pem"),
        "--tlskey",
        &file("server-key.pem"),
    ];
    let agent = AgentProc::start(
        host,
        AgentOptions { name: "with-tls".to_owned(), extra_args: flags.map(str::to_owned).to_vec(), ..AgentOptions::default() },
    )?;
    let (ca, cert, key) = (file("ca.pem"), file("client.pem"), file("client-key.pem"));
    let to = ["--host", &address, "--tlsverify", "--tlscacert", &ca];
    let with = [&to[..], &["--tlscert", &cert, "--tlskey", &key]].concat();
    let docker = |args: &[&str]| host.exec(&scene.client.path.display().to_string(), args);
    prints(docker(&[&with[..], &["run", "--rm", BUSYBOX, "echo", "over TLS"]].concat())?, "over TLS")?;
    prints(docker(&[&with[..], &["info", "--format", "{{.Swarm.LocalNodeState}}"]].concat())?, "inactive")?;

    let without = docker(&[&to[..], &["ps"]].concat())?;
    ensure!(!without.status.success() && without.stdout.is_empty(), "{without}");
    let plain = docker(&["--host", &address, "ps"])?;
    ensure!(!plain.status.success() && plain.stdout.is_empty(), "{plain}");
    agent.stop()?;

    // A key that does not belong to the certificate is found at the start.
    fs::copy(file("client-key.pem"), file("server-key.pem"))?;
    let output = swarm_testkit::run(agent.command()?)?;
    ensure!(output.code() == Some(1), "{output}");
    output.fails_with("could not use the certificates of the API")
}
