//! The agent as a process: into a swarm, out of it, and through crashes at bad moments.

mod support;

use nix::sys::signal::Signal;
use support::{
    agent::{AgentBench, be_manager, free_port},
    cluster::FakeCluster,
    engine::FakeEngine,
    raw::message,
    until,
};
use swarm_types::Role;

const ALREADY: &str = "This node is already part of a swarm. Use \"docker swarm leave\" to leave this swarm and join another one.";

/// Not a test: the manager process that agents of these tests start.
#[tokio::test]
#[ignore = "started by agents only"]
async fn the_manager_process() {
    be_manager().await;
}

fn engine(bench: &AgentBench) -> FakeEngine {
    FakeEngine::start(&bench.dir.path().join("docker.sock"), "Docker/20.10.24 (linux)", "1.41", "1.12")
}

fn init_body() -> String {
    let port = free_port();
    format!(r#"{{"ListenAddr":"127.0.0.1:{port}","AdvertiseAddr":"127.0.0.1:{port}","Spec":{{"Labels":null}}}}"#)
}

fn join_body(cluster: &FakeCluster, token: &swarm_pki::JoinToken) -> String {
    let port = free_port();
    format!(r#"{{"ListenAddr":"127.0.0.1:{port}","AdvertiseAddr":"","RemoteAddrs":["{}"],"JoinToken":"{token}"}}"#, cluster.addr)
}

async fn init(bench: &AgentBench) -> String {
    let (status, body) = bench.post("/v1.41/swarm/init", &init_body()).await;
    assert_eq!(status, 200, "{body}\n{}", bench.log());
    serde_json::from_str(&body).expect("a node id")
}

#[tokio::test]
async fn a_first_manager_comes_and_goes() {
    let mut bench = AgentBench::new();
    let _engine = engine(&bench);
    bench.start().await;
    assert_eq!(bench.swarm().await["LocalNodeState"], "inactive");
    let node = init(&bench).await;
    let swarm = bench.swarm().await;
    assert_eq!((swarm["NodeID"].as_str(), swarm["NodeAddr"].as_str()), (Some(&*node), Some("127.0.0.1")));
    assert_eq!((&swarm["LocalNodeState"], &swarm["ControlAvailable"]), (&"active".into(), &true.into()));
    let (head, _) = bench.get("/_ping").await;
    assert_eq!(head.header("swarm"), Some("active/manager"));
    let (status, body) = bench.post("/swarm/init", &init_body()).await;
    assert_eq!((status, message(&body).as_str()), (503, ALREADY));
    assert_eq!(bench.get("/v1.41/nodes").await.0.status, 200);
    assert_eq!(bench.managers().len(), 1);

    // An orderly stop takes the manager along, and the membership outlives it.
    assert_eq!(bench.end(Signal::SIGTERM).await, Some(0), "{}", bench.log());
    assert!(bench.managers().is_empty());
    assert!(!bench.socket.exists());
    bench.start().await;
    assert_eq!(bench.until_state("active").await["NodeID"], node);

    let (status, body) = bench.post("/swarm/leave", "").await;
    let words = "You are attempting to leave the swarm on a node that is participating as a manager. Removing the last manager \
                 erases all current state of the swarm. Use `--force` to ignore this message. ";
    assert_eq!((status, message(&body).as_str()), (503, words));
    let (status, body) = bench.post("/swarm/leave?force=1", "").await;
    assert_eq!(status, 200, "{body}");
    assert_eq!(bench.swarm().await["LocalNodeState"], "inactive");
    assert!(bench.managers().is_empty());
    assert_eq!(bench.left_over(), Vec::<String>::new());
    // And again.
    init(&bench).await;
    assert_eq!(bench.end(Signal::SIGINT).await, Some(0));
}

#[tokio::test]
async fn a_killed_agent_finds_its_manager_again() {
    let mut bench = AgentBench::new();
    let _engine = engine(&bench);
    bench.start().await;
    let node = init(&bench).await;
    let managers = bench.managers();
    assert_eq!(bench.end(Signal::SIGKILL).await, None);
    assert_eq!(bench.managers(), managers);
    // Also without the file that remembers it.
    std::fs::remove_file(bench.state.join("manager.pid.json")).expect("is there");
    bench.start().await;
    assert_eq!(bench.until_state("active").await["NodeID"], node);
    assert_eq!(bench.managers(), managers);

    // A manager that is killed comes back.
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(managers[0]), Signal::SIGKILL).expect("runs");
    until("another manager", || bench.managers().first().is_some_and(|pid| *pid != managers[0])).await;
    bench.until_state("active").await;
    assert_eq!(bench.end(Signal::SIGTERM).await, Some(0));
    assert!(bench.managers().is_empty());
}

#[tokio::test]
async fn a_manager_that_cannot_start_leaves_nothing() {
    let mut bench = AgentBench::new();
    let _engine = engine(&bench);
    bench.manager_mode("fail");
    bench.start().await;
    let (status, body) = bench.post("/swarm/init", &init_body()).await;
    let words = "swarm component could not be started: the manager ended with exit code 1: the disk is made of cheese";
    assert_eq!((status, message(&body).as_str()), (500, words));
    assert_eq!(bench.left_over(), Vec::<String>::new());
    assert_eq!(bench.swarm().await["LocalNodeState"], "inactive");
    bench.manager_mode("");
    init(&bench).await;
}

#[tokio::test]
async fn a_crash_in_the_middle_of_an_init_leaves_a_host_without_a_swarm() {
    let mut bench = AgentBench::new();
    let _engine = engine(&bench);
    bench.manager_mode("hang");
    bench.start().await;
    let socket = bench.socket.clone();
    let hanging = tokio::spawn(async move { support::raw::call(&socket, "POST", "/swarm/init", &init_body()).await });
    until("a manager", || !bench.managers().is_empty() && bench.state.join("certificates/swarm-node.crt").exists()).await;
    assert_eq!(bench.swarm().await["LocalNodeState"], "pending");
    bench.end(Signal::SIGKILL).await;
    assert!(hanging.await.is_err(), "nobody was told of a swarm");
    assert_eq!(bench.managers().len(), 1);
    bench.manager_mode("");
    bench.start().await;
    assert_eq!(bench.swarm().await["LocalNodeState"], "inactive");
    assert!(bench.managers().is_empty());
    assert_eq!(bench.left_over(), Vec::<String>::new());
    init(&bench).await;
}

#[tokio::test]
async fn a_worker_joins_and_leaves() {
    let mut bench = AgentBench::new();
    let _engine = engine(&bench);
    let cluster = FakeCluster::start().await;
    let (shared, remote) = (std::sync::Arc::clone(&cluster.shared), cluster.addr.to_string());
    let body = join_body(&cluster, &shared.worker_token);
    let wrong = join_body(&cluster, &swarm_pki::JoinToken::generate(shared.ca.roots().digest()).expect("randomness"));
    tokio::spawn(cluster.be_polite(Role::Worker));
    bench.start().await;

    let (status, answer) = bench.post("/swarm/join", &wrong).await;
    let words = "rpc error: code = InvalidArgument desc = A valid join token is necessary to join this cluster";
    assert_eq!((status, message(&answer).as_str()), (400, words));
    assert_eq!(bench.left_over(), Vec::<String>::new());
    assert_eq!(bench.swarm().await["LocalNodeState"], "inactive");

    let (status, answer) = bench.post("/swarm/join", &body).await;
    assert_eq!((status, answer.as_str()), (200, ""), "{}", bench.log());
    let swarm = bench.swarm().await;
    assert_eq!((&swarm["LocalNodeState"], &swarm["ControlAvailable"]), (&"active".into(), &false.into()));
    assert_eq!(swarm["RemoteManagers"][0]["Addr"], remote);
    assert_eq!(swarm["NodeAddr"], "127.0.0.1");
    let (head, body) = bench.get("/services").await;
    assert_eq!(head.status, 503);
    assert!(message(&body).contains("Worker nodes can't be used"));

    // The membership outlives a crash.
    let node = swarm["NodeID"].clone();
    bench.end(Signal::SIGKILL).await;
    bench.start().await;
    assert_eq!(bench.until_state("active").await["NodeID"], node);

    let (status, answer) = bench.post("/swarm/leave", "").await;
    assert_eq!((status, answer.as_str()), (200, ""), "{}", bench.log());
    let told = format!("POST /leave by worker {}", node.as_str().expect("an id"));
    assert!(shared.asked().contains(&told));
    assert_eq!(bench.left_over(), Vec::<String>::new());
    let (status, answer) = bench.post("/swarm/leave", "").await;
    assert_eq!((status, message(&answer).as_str()), (503, "This node is not part of a swarm"));
}

#[tokio::test]
async fn promotion_starts_a_manager_and_demotion_ends_it() {
    let mut bench = AgentBench::new();
    let _engine = engine(&bench);
    let mut cluster = FakeCluster::start().await;
    let shared = std::sync::Arc::clone(&cluster.shared);
    bench.start().await;
    let socket = bench.socket.clone();
    let body = join_body(&cluster, &shared.worker_token);
    let joining = tokio::spawn(async move { support::raw::call(&socket, "POST", "/swarm/join", &body).await });
    let mut peer = cluster.session().await;
    peer.welcome().await;
    peer.say(&swarm_session::FromManager::Node(cluster.orders(1, Role::Worker))).await;
    assert_eq!(joining.await.expect("no panic").0.status, 200);

    *shared.renew_as.lock().expect("not poisoned") = swarm_pki::Role::Manager;
    peer.say(&swarm_session::FromManager::Node(cluster.orders(2, Role::Manager))).await;
    until("a manager", || !bench.managers().is_empty()).await;
    let args = bench.dir.path().join("manager.args");
    until("the manager's flags", || args.exists()).await;
    let args = std::fs::read_to_string(args).expect("reads");
    assert!(args.contains(&format!("--join {}", cluster.addr)), "{args}");
    until("a ready manager", || bench.state.join("manager.sock").exists()).await;
    let swarm = bench.until_state("active").await;
    assert_eq!(swarm["ControlAvailable"], true);

    *shared.renew_as.lock().expect("not poisoned") = swarm_pki::Role::Worker;
    peer.say(&swarm_session::FromManager::Node(cluster.orders(3, Role::Worker))).await;
    until("the manager ends", || bench.managers().is_empty() && !bench.state.join("manager").exists()).await;
    assert_eq!(bench.until_state("active").await["ControlAvailable"], false);
    let renewals = shared.asked().iter().filter(|call| call.contains("/ca/renew")).count();
    assert_eq!(renewals, 2);
}

#[tokio::test]
async fn a_manager_that_is_no_member_is_not_restarted_as_one() {
    let mut bench = AgentBench::new();
    let _engine = engine(&bench);
    let cluster = FakeCluster::start().await;
    let shared = std::sync::Arc::clone(&cluster.shared);
    *shared.renew_as.lock().expect("not poisoned") = swarm_pki::Role::Worker;
    let body = join_body(&cluster, &shared.manager_token);
    tokio::spawn(cluster.be_polite(Role::Worker));
    bench.manager_mode("leave");
    bench.start().await;
    let (status, answer) = bench.post("/swarm/join", &body).await;
    assert_eq!((status, answer.as_str()), (200, ""), "{}", bench.log());
    assert_eq!(bench.swarm().await["ControlAvailable"], false);
    assert!(bench.managers().is_empty());
    assert!(shared.asked().iter().any(|call| call.starts_with("POST /ca/renew by manager")));
}

#[tokio::test]
async fn two_agents_do_not_share_a_folder_or_a_socket() {
    let mut bench = AgentBench::new();
    let _engine = engine(&bench);
    bench.start().await;
    let output = bench.command().stderr(std::process::Stdio::piped()).output().expect("runs");
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1));
    assert!(text.contains("another agent (process ") && text.contains("uses the state folder"), "{text}");
    let output = bench.command_in("other").stderr(std::process::Stdio::piped()).output().expect("runs");
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1));
    assert!(text.contains("swarm.sock is in use by another process that answers"), "{text}");
    assert_eq!(bench.swarm().await["LocalNodeState"], "inactive");
}

#[tokio::test]
async fn a_join_that_takes_long_goes_on_in_the_background_and_a_crash_ends_it() {
    let mut bench = AgentBench::new();
    let _engine = engine(&bench);
    let cluster = FakeCluster::start().await;
    let shared = std::sync::Arc::clone(&cluster.shared);
    let refuse = |refusal: Option<&str>| {
        let refusal = refusal.map(|text| (http::StatusCode::SERVICE_UNAVAILABLE, text.to_owned()));
        *shared.refusal.lock().expect("not poisoned") = refusal;
    };
    let body = join_body(&cluster, &shared.worker_token);
    tokio::spawn(cluster.be_polite(Role::Worker));
    bench.start().await;

    refuse(Some("no leader"));
    let (socket, hanging) = (bench.socket.clone(), body.clone());
    let hanging = tokio::spawn(async move { support::raw::call(&socket, "POST", "/swarm/join", &hanging).await });
    until("a request for a certificate", || shared.asked().iter().any(|call| call.contains("/ca/issue"))).await;
    assert_eq!(bench.swarm().await["LocalNodeState"], "pending");
    bench.end(Signal::SIGKILL).await;
    assert!(hanging.await.is_err());
    bench.start().await;
    assert_eq!(bench.swarm().await["LocalNodeState"], "inactive");
    assert_eq!(bench.left_over(), Vec::<String>::new());

    let begun = std::time::Instant::now();
    let (status, answer) = bench.post("/swarm/join", &body).await;
    assert_eq!(status, 503);
    assert!(message(&answer).starts_with("Timeout was reached before node joined. The attempt to join the swarm will continue"));
    assert_eq!(begun.elapsed().as_secs(), 20);
    let (status, answer) = bench.post("/swarm/join", &body).await;
    assert_eq!((status, message(&answer).as_str()), (503, ALREADY));
    refuse(None);
    bench.until_state("active").await;
}

#[tokio::test]
async fn leaving_breaks_a_join_off() {
    let mut bench = AgentBench::new();
    let _engine = engine(&bench);
    let cluster = FakeCluster::start().await;
    let shared = std::sync::Arc::clone(&cluster.shared);
    let body = join_body(&cluster, &shared.worker_token);
    *shared.refusal.lock().expect("not poisoned") = Some((http::StatusCode::SERVICE_UNAVAILABLE, "no leader".into()));
    bench.start().await;
    let (socket, leaving) = (bench.socket.clone(), body.clone());
    let joining = tokio::spawn(async move { support::raw::call(&socket, "POST", "/swarm/join", &leaving).await });
    until("a request for a certificate", || shared.asked().iter().any(|call| call.contains("/ca/issue"))).await;
    assert_eq!(bench.post("/swarm/leave", "").await.0, 200);
    let (head, answer) = joining.await.expect("no panic");
    let words = "the operation was broken off because this node was told to leave";
    assert_eq!((head.status, message(&answer).as_str()), (503, words));
    assert_eq!(bench.swarm().await["LocalNodeState"], "inactive");
    assert_eq!(bench.left_over(), Vec::<String>::new());
}

#[tokio::test]
async fn a_removed_node_says_so_until_it_leaves() {
    let mut bench = AgentBench::new();
    let _engine = engine(&bench);
    let mut cluster = FakeCluster::start().await;
    let shared = std::sync::Arc::clone(&cluster.shared);
    bench.start().await;
    let (socket, body) = (bench.socket.clone(), join_body(&cluster, &shared.worker_token));
    let joining = tokio::spawn(async move { support::raw::call(&socket, "POST", "/swarm/join", &body).await });
    let mut peer = cluster.session().await;
    peer.welcome().await;
    assert_eq!(joining.await.expect("no panic").0.status, 200);
    peer.say(&swarm_session::FromManager::Close(swarm_session::CloseReason::Removed)).await;
    let swarm = bench.until_state("error").await;
    assert!(swarm["Error"].as_str().is_some_and(|error| error.ends_with("was removed from swarm")), "{swarm}");
    let (head, _) = bench.get("/_ping").await;
    assert_eq!(head.header("swarm"), Some("error"));
    assert_eq!(bench.post("/swarm/leave", "").await.0, 200);
    assert_eq!(bench.swarm().await["LocalNodeState"], "inactive");
}

#[tokio::test]
async fn an_agent_that_is_to_be_replaced_leaves_its_manager_to_the_next() {
    let mut bench = AgentBench::new();
    let _engine = engine(&bench);
    bench.start_with(&[("SWARM_AGENT_KEEP_MANAGER", "1")]).await;
    init(&bench).await;
    let managers = bench.managers();
    assert_eq!(bench.end(Signal::SIGTERM).await, Some(0));
    assert_eq!(bench.managers(), managers);
    bench.start().await;
    bench.until_state("active").await;
    assert_eq!(bench.managers(), managers);
}

#[tokio::test]
async fn the_service_manager_is_told() {
    let mut bench = AgentBench::new();
    let _engine = engine(&bench);
    let path = bench.dir.path().join("notify.sock");
    let notified = tokio::net::UnixDatagram::bind(&path).expect("binds");
    let path = path.display().to_string();
    bench.start_with(&[("NOTIFY_SOCKET", &path), ("WATCHDOG_USEC", "200000")]).await;
    let next = async || {
        let mut buffer = [0; 256];
        let length = support::soon("a notification", notified.recv(&mut buffer)).await.expect("receives");
        String::from_utf8_lossy(&buffer[..length]).trim().to_owned()
    };
    let mut told = vec![next().await, next().await, next().await];
    told.sort();
    assert_eq!(told, ["READY=1", "WATCHDOG=1", "WATCHDOG=1"]);
    bench.end(Signal::SIGTERM).await;
    loop {
        match next().await.as_str() {
            "WATCHDOG=1" => {}
            last => break assert_eq!(last, "STOPPING=1"),
        }
    }
}
