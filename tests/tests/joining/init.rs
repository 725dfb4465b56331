//! Before and during `swarm init`.

use anyhow::{Context, Result, ensure};
use serde_json::json;
use swarm_testkit::Request;
use swarm_tests::{SOON, daemon_says, node_id, prints, refused, says, swarm_info, text, text_at};

use crate::Scene;

pub(crate) fn nothing_works_outside(scene: &Scene) -> Result<()> {
    let cluster = &scene.cluster;
    for command in [
        &["node", "ls"][..],
        &["node", "inspect", "self"],
        &["node", "ps"],
        &["node", "rm", "x"],
        &["node", "update", "--availability", "drain", "x"],
        &["service", "ls"],
        &["service", "ps", "x"],
        &["service", "rm", "x"],
        &["service", "scale", "x=1"],
        &["service", "update", "--force", "x"],
        &["join-token", "worker"],
        &["update", "--task-history-limit", "3"],
    ] {
        let output = cluster.swarm(1, command)?;
        let said = output.stderr.trim_end();
        // Those with several targets name the target first, as Docker's do.
        ensure!(output.code() == Some(1) && said.ends_with(text::NO_SWARM), "{output}");
    }
    for args in [&["leave"][..], &["leave", "--force"]] {
        daemon_says(&cluster.swarm(1, args)?, text::NOT_PART)?;
    }
    for path in ["/swarm", "/nodes", "/nodes/x", "/services", "/services/x", "/tasks", "/tasks/x", "/v1.41/nodes"] {
        refused(&cluster.api(1, &Request::get(path))?, 503, text::NO_SWARM)?;
    }
    let empty = json!({});
    for path in ["/services/create", "/swarm/update?version=1", "/nodes/x/update?version=1", "/swarm/unlock"] {
        refused(&cluster.api(1, &Request::post(path, &empty))?, 503, text::NO_SWARM)?;
    }
    refused(&cluster.api(1, &Request::new("POST", "/swarm/leave"))?, 503, text::NOT_PART)?;
    let ping = cluster.api(1, &Request::get("/_ping"))?;
    ensure!(ping.header("swarm") == Some("inactive"), "{:?}", ping.headers);
    scene.is_outside(cluster.agent(1))
}

pub(crate) fn a_bad_init_leaves_nothing(scene: &Scene) -> Result<()> {
    let cluster = &scene.cluster;
    let advertise = "advertise address must be a non-zero IP address or network interface (with optional port number)";
    let listen = "listen address must be an IP address or network interface (with optional port number)";
    let data_path = "data path address must be a non-zero IP address or network interface (without a port number)";
    let expiry = "error updating cluster settings: rpc error: code = InvalidArgument desc = \
        minimum certificate expiry time is: 1h0m0s";
    for (args, message) in [
        (&["--advertise-addr", "eth9"][..], advertise),
        (&["--advertise-addr", "0.0.0.0"], advertise),
        (&["--listen-addr", "eth9"], listen),
        (&["--data-path-addr", "eth9"], data_path),
        (&["--data-path-port", "80"], "Datapath port number is not in valid range (1024-49151) : 80"),
        (&["--default-addr-pool", "10.0.0.0/8", "--default-addr-pool-mask-length", "30"], "subnet size is out of range: 30"),
        (&["--cert-expiry", "10m"], expiry),
    ] {
        daemon_says(&cluster.swarm(1, &[&["init"], args].concat())?, message)?;
        scene.is_outside(cluster.agent(1)).with_context(|| format!("after init {args:?}"))?;
    }
    let output = cluster.swarm(1, &["init", "--availability", "away"])?;
    says(&output, 1, "invalid availability \"away\", only active, pause and drain are supported")?;
    let output = cluster.swarm(1, &["init", "here"])?;
    ensure!(output.code() == Some(1), "{output}");
    output.fails_with("swarm: 'swarm init' accepts no arguments")?;
    let named = json!({"ListenAddr": "0.0.0.0:2377", "Spec": {"Name": "mine"}});
    let answer = cluster.api(1, &Request::post("/swarm/init", &named))?;
    refused(&answer, 400, "swarm spec must be named \"default\"")?;

    // Somebody else has the port.
    let host = cluster.host(1);
    let pid = host.sh("busybox httpd -f -p 2377 -h /tmp >/dev/null 2>&1 </dev/null & echo $!")?.ok()?;
    let address = (host.ip(), 2377);
    swarm_testkit::until("a listener", SOON, || host.connect(address, SOON))?;
    let taken = "Error response from daemon: swarm component could not be started: the manager ended with exit code 1: \
        could not listen on 0.0.0.0:2377: Address already in use";
    cluster.swarm(1, &["init"])?.fails_with(taken)?;
    scene.is_outside(cluster.agent(1)).context("after init with the port taken")?;
    host.sh(&format!("kill {pid}"))?.ok()?;
    swarm_testkit::until("no listener", SOON, || {
        ensure!(host.connect(address, SOON).is_err(), "somebody listens");
        Ok(())
    })
}

pub(crate) fn init_prints_what_docker_prints(scene: &Scene) -> Result<()> {
    let cluster = &scene.cluster;
    // Docker's own bridge is no address to advertise: there is one choice, and it is made.
    let output = cluster.swarm(1, &["init"])?;
    let info = swarm_info(cluster.agent(1))?;
    let id = node_id(cluster.agent(1))?;
    let swarm = cluster.api(1, &Request::get("/swarm"))?.json()?;
    let token = text_at(&swarm, "/JoinTokens/Worker").context("no token")?;
    prints(
        output,
        &format!(
            "Swarm initialized: current node ({id}) is now a manager.\n\n\
             To add a worker to this swarm, run the following command:\n\n    \
             swarm join --token {token} {}\n\n\
             To add a manager to this swarm, run 'swarm join-token manager' and follow the instructions.\n",
            scene.remote(1)
        ),
    )?;
    ensure!(id.len() == 25 && id.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()), "{id}");
    ensure!(
        info["LocalNodeState"] == "active"
            && info["ControlAvailable"] == true
            && info["NodeAddr"] == cluster.host(1).ip().to_string()
            && info["Nodes"] == 1
            && info["Managers"] == 1
            && info["Cluster"]["ID"] == swarm["ID"]
            && info["Cluster"].get("JoinTokens").is_none()
            && info["RemoteManagers"] == json!([{"NodeID": id, "Addr": scene.remote(1)}]),
        "{info}"
    );
    for (pointer, value) in [
        ("/Spec/Name", json!("default")),
        ("/Spec/Orchestration/TaskHistoryRetentionLimit", json!(5)),
        ("/Spec/Raft/SnapshotInterval", json!(10000)),
        ("/Spec/Raft/ElectionTick", json!(10)),
        ("/Spec/Raft/HeartbeatTick", json!(1)),
        ("/Spec/Dispatcher/HeartbeatPeriod", json!(5_000_000_000_u64)),
        ("/Spec/CAConfig/NodeCertExpiry", json!(7_776_000_000_000_000_u64)),
        ("/Spec/EncryptionConfig/AutoLockManagers", json!(false)),
        ("/DefaultAddrPool", json!(["10.0.0.0/8"])),
        ("/SubnetSize", json!(24)),
        ("/DataPathPort", json!(4789)),
        ("/RootRotationInProgress", json!(false)),
    ] {
        ensure!(swarm.pointer(pointer) == Some(&value), "{pointer} should be {value}: {swarm}");
    }
    let ping = cluster.api(1, &Request::get("/_ping"))?;
    ensure!(ping.header("swarm") == Some("active/manager"), "{:?}", ping.headers);
    Ok(())
}
