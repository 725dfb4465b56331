//! The gateway between raw clients, a stand-in for dockerd, and a stand-in for the manager.

mod support;

use http::Request;
use http_body_util::Full;
use hyper_util::rt::TokioIo;
use std::sync::Arc;
use support::{
    bench::{Bench, CountingManager, fake_manager},
    raw::{Raw, call, message},
    until,
};
use swarm_agent::{
    Endpoint,
    gateway::Listener,
    membership::{ManagerView, NodeView},
};
use swarm_types::{LocalNodeState, NodeId};

#[tokio::test]
async fn the_engine_is_asked_in_a_version_it_speaks() {
    let bench = Bench::new().await;
    let engine = bench.start_engine("Docker/20.10.24 (linux)", "1.41", "1.30");
    for (asked, passed) in [("1.56", "1.41"), ("1.41", "1.41"), ("1.40", "1.40"), ("1.24", "1.30")] {
        assert_eq!(bench.get(&format!("/v{asked}/containers/json?all=1")).await, (200, "[]".into()));
        assert_eq!(engine.asked().last().map(String::as_str), Some(&*format!("GET /v{passed}/containers/json?all=1")));
    }
    assert_eq!(bench.get("/containers/json").await.0, 200);
    assert_eq!(engine.asked().last().map(String::as_str), Some("GET /containers/json"));
    let (status, body) = bench.get("/v1.10/containers/json").await;
    let too_old = "client version 1.10 is too old. Minimum supported API version is 1.24, please upgrade your client to a newer version";
    assert_eq!((status, message(&body).as_str()), (400, too_old));
    let (status, body) = bench.get("/v1.99/nodes").await;
    assert_eq!((status, message(&body).as_str()), (400, "client version 1.99 is too new. Maximum supported API version is 1.56"));
}

#[tokio::test]
async fn another_engine_is_met_anew_and_a_missing_one_named() {
    let bench = Bench::new().await;
    let (status, body) = bench.get("/v1.40/containers/json").await;
    let socket = bench.dir.path().join("docker.sock");
    let missing = format!("Cannot connect to the Docker daemon at unix://{}. Is the docker daemon running?", socket.display());
    assert_eq!((status, message(&body)), (503, missing.clone()));
    let (status, body) = bench.get("/info").await;
    assert_eq!((status, message(&body)), (503, missing));
    // A ping is about this host's API, which answers.
    let (head, body) = call(&bench.socket, "GET", "/_ping", "").await;
    assert_eq!((head.status, body.as_str(), head.header("api-version")), (200, "OK", Some("1.56")));

    let first = bench.start_engine("Docker/20.10.24 (linux)", "1.41", "1.12");
    assert_eq!(bench.get("/v1.52/containers/json").await.0, 200);
    assert_eq!(first.asked().last().map(String::as_str), Some("GET /v1.41/containers/json"));
    let gone = bench.engine.gone();
    drop(first);
    let second = bench.start_engine("Docker/29.0.0 (linux)", "1.52", "1.44");
    // The idle connection to the first one ends with it, so the second one is not asked in the first one's version.
    until("the loss of the first engine is noticed", || *gone.borrow() == 1).await;
    assert_eq!(bench.get("/v1.56/containers/json").await.0, 200);
    assert_eq!(second.asked().last().map(String::as_str), Some("GET /v1.52/containers/json"));
    let (head, _) = call(&bench.socket, "HEAD", "/v1.24/_ping", "").await;
    assert_eq!(head.header("api-version"), Some("1.52"));
    assert_eq!(head.header("server"), Some("Docker/29.0.0 (linux)"));
}

#[tokio::test]
async fn a_ping_tells_the_swarm_and_the_engine() {
    let bench = Bench::new().await;
    let _engine = bench.start_engine("Docker/20.10.24 (linux)", "1.41", "1.12");
    for method in ["GET", "HEAD"] {
        let (head, _) = call(&bench.socket, method, "/_ping", "").await;
        assert_eq!(head.status, 200);
        for (name, value) in [
            ("swarm", "inactive"),
            ("api-version", "1.41"),
            ("builder-version", "1"),
            ("docker-experimental", "false"),
            ("ostype", "linux"),
            ("server", "Docker/20.10.24 (linux)"),
            ("cache-control", "no-cache, no-store, must-revalidate"),
            ("pragma", "no-cache"),
        ] {
            assert_eq!(head.header(name), Some(value), "{name}");
        }
    }
    bench.node.set(NodeView { state: LocalNodeState::Active, manager: ManagerView::Ready, ..NodeView::default() });
    let (head, _) = call(&bench.socket, "GET", "/_ping", "").await;
    assert_eq!(head.header("swarm"), Some("active/manager"));
    let (head, body) = call(&bench.socket, "POST", "/_ping", "").await;
    assert_eq!((head.status, message(&body).as_str()), (404, "page not found"));
    assert_eq!(head.header("api-version"), Some("1.41"));
}

#[tokio::test]
async fn info_is_the_engines_with_our_swarm() {
    let bench = Bench::new().await;
    let engine = bench.start_engine("Docker/20.10.24 (linux)", "1.41", "1.12");
    let (status, body) = bench.get("/v1.50/info").await;
    let info: serde_json::Value = serde_json::from_str(&body).expect("JSON");
    assert_eq!((status, info["Name"].as_str()), (200, Some("engine-host")));
    assert_eq!(info["Swarm"]["LocalNodeState"], "inactive");
    assert_eq!(info["Swarm"]["NodeID"], "");
    assert_eq!(engine.asked().last().map(String::as_str), Some("GET /v1.41/info"));

    bench.node.set(NodeView { state: LocalNodeState::Active, manager: ManagerView::Ready, ..NodeView::default() });
    let status = r#"{"state":"ready","has_leader":true,"nodes":3,"managers":2}"#;
    *bench.node.status.lock().expect("not poisoned") = Some(serde_json::from_str(status).expect("a status"));
    let (_, body) = bench.get("/info").await;
    let info: serde_json::Value = serde_json::from_str(&body).expect("JSON");
    assert_eq!(info["Swarm"]["ControlAvailable"], true);
    assert_eq!((info["Swarm"]["Nodes"].as_u64(), info["Swarm"]["Managers"].as_u64()), (Some(3), Some(2)));
    assert!(info["Swarm"]["Warnings"][0].as_str().is_some_and(|w| w.contains("two-manager")));
}

#[tokio::test]
async fn an_upgraded_connection_carries_bytes_and_each_half_ends_alone() {
    let bench = Bench::new().await;
    let _engine = bench.start_engine("Docker/20.10.24 (linux)", "1.41", "1.12");
    let mut raw = Raw::connect(&bench.socket).await;
    raw.send("POST /v1.41/exec/1/start HTTP/1.1\r\nHost: d\r\nConnection: Upgrade\r\nUpgrade: tcp\r\nContent-Length: 2\r\n\r\n{}").await;
    let head = raw.head().await;
    assert_eq!((head.status, head.header("upgrade")), (101, Some("tcp")));
    raw.send("hello").await;
    assert_eq!(raw.take(5).await, b"HELLO");
    raw.send("more").await;
    assert_eq!(raw.take(4).await, b"MORE");
    raw.end_sending().await;
    assert_eq!(raw.read_all().await, b"bye");
}

#[tokio::test]
async fn bytes_sent_right_behind_an_upgrade_request_are_not_lost() {
    let bench = Bench::new().await;
    let _engine = bench.start_engine("Docker/20.10.24 (linux)", "1.41", "1.12");
    let mut raw = Raw::connect(&bench.socket).await;
    raw.send("POST /exec/1/start HTTP/1.1\r\nHost: d\r\nConnection: Upgrade\r\nUpgrade: tcp\r\nContent-Length: 2\r\n\r\n{}early").await;
    assert_eq!(raw.head().await.status, 101);
    assert_eq!(raw.take(5).await, b"EARLY");
}

#[tokio::test]
async fn streams_flow_at_once_and_end_with_their_client() {
    let bench = Bench::new().await;
    let engine = bench.start_engine("Docker/20.10.24 (linux)", "1.41", "1.12");
    let mut raw = Raw::connect(&bench.socket).await;
    raw.send("GET /v1.41/events HTTP/1.1\r\nHost: d\r\n\r\n").await;
    assert_eq!(raw.head().await.status, 200);
    assert_eq!(raw.chunk().await, b"first\n");
    assert_eq!(engine.open_streams(), 1);
    drop(raw);
    until("the engine's stream ends", || engine.open_streams() == 0).await;
}

#[tokio::test]
async fn large_chunked_uploads_pass_through() {
    let bench = Bench::new().await;
    let _engine = bench.start_engine("Docker/20.10.24 (linux)", "1.41", "1.12");
    let mut raw = Raw::connect(&bench.socket).await;
    raw.send("POST /upload HTTP/1.1\r\nHost: d\r\nTransfer-Encoding: chunked\r\n\r\n").await;
    let chunk = [b"100000\r\n".as_slice(), &[b'x'; 0x10_0000], b"\r\n"].concat();
    for _ in 0..100 {
        raw.send(&chunk).await;
    }
    raw.send("0\r\n\r\n").await;
    let head = raw.head().await;
    assert_eq!((head.status, raw.body(&head).await), (200, (100 * 0x10_0000).to_string()));
}

#[tokio::test]
async fn a_client_that_expects_100_continue_gets_it() {
    let bench = Bench::new().await;
    let _engine = bench.start_engine("Docker/20.10.24 (linux)", "1.41", "1.12");
    let mut raw = Raw::connect(&bench.socket).await;
    raw.send("POST /upload HTTP/1.1\r\nHost: d\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n").await;
    assert_eq!(raw.head().await.status, 100);
    raw.send("12345").await;
    let head = raw.head().await;
    assert_eq!((head.status, raw.body(&head).await.as_str()), (200, "5"));
}

#[tokio::test]
async fn an_early_refusal_reaches_a_client_that_is_still_sending() {
    let bench = Bench::new().await;
    let _engine = bench.start_engine("Docker/20.10.24 (linux)", "1.41", "1.12");
    let mut raw = Raw::connect(&bench.socket).await;
    raw.send("POST /refuse HTTP/1.1\r\nHost: d\r\nContent-Length: 100000000\r\n\r\n").await;
    raw.send([b'x'; 65536]).await;
    let head = raw.head().await;
    assert_eq!((head.status, message(&raw.body(&head).await).as_str()), (400, "refused"));
}

#[tokio::test]
async fn cluster_calls_go_to_the_local_manager() {
    let bench = Bench::new().await;
    let _engine = bench.start_engine("Docker/20.10.24 (linux)", "1.41", "1.12");
    let asked = fake_manager(&bench);
    assert_eq!(bench.get("/_ping").await.0, 200);
    bench.node.set(NodeView { state: LocalNodeState::Active, manager: ManagerView::Ready, ..NodeView::default() });
    let mut raw = Raw::connect(&bench.socket).await;
    raw.send("POST /v1.44/services/create?x=1 HTTP/1.1\r\nHost: d\r\nX-Registry-Auth: abc\r\nX-Swarm-Api-Version: 9.9\r\nContent-Length: 2\r\n\r\n{}").await;
    let head = raw.head().await;
    assert_eq!((head.status, head.header("api-version"), head.header("ostype")), (201, Some("1.41"), Some("linux")));
    assert_eq!(bench.get("/nodes").await.0, 201);
    let seen = asked.lock().expect("not poisoned").clone();
    assert_eq!(seen, ["POST /services/create?x=1 1.44 abc 2", "GET /nodes 1.56 - 0"]);
}

#[tokio::test]
async fn calls_share_a_connection_to_the_manager_and_outlive_its_restarts() {
    let bench = Bench::new().await;
    bench.node.set(NodeView { state: LocalNodeState::Active, manager: ManagerView::Ready, ..NodeView::default() });
    let first = CountingManager::start(&bench);
    for _ in 0..5 {
        assert_eq!(bench.post("/services/create", "{}").await.0, 201);
        assert_eq!(bench.get("/nodes").await.0, 201);
    }
    assert_eq!(first.counts(), (1, 10));
    // Calls at the same time need a connection each; those are kept too.
    for _ in 0..3 {
        let calls = (0..4).map(|_| bench.get("/tasks/hold"));
        futures_util::future::join_all(calls).await.iter().for_each(|answer| assert_eq!(answer.0, 201));
    }
    assert_eq!(first.counts(), (4, 22));
    first.stop().await;
    let second = CountingManager::start(&bench);
    assert_eq!(bench.post("/services/create", "{}").await.0, 201);
    assert_eq!(second.counts(), (1, 1));
}

#[tokio::test]
async fn a_write_under_way_when_the_manager_dies_is_not_repeated_and_a_read_is() {
    let bench = Bench::new().await;
    bench.node.set(NodeView { state: LocalNodeState::Active, manager: ManagerView::Ready, ..NodeView::default() });
    let manager = CountingManager::start(&bench);
    assert_eq!(bench.get("/nodes").await.0, 201);
    let (status, body) = bench.post("/services/break", "{}").await;
    assert_eq!(status, 500);
    assert!(message(&body).starts_with("the manager of this node broke off"), "{body}");
    assert_eq!(manager.counts(), (1, 2), "the write came once");
    assert_eq!(bench.get("/nodes").await.0, 201);
    assert_eq!(bench.get("/services/break").await.0, 500, "each time it is asked, the connection breaks");
    assert_eq!(manager.counts(), (3, 5), "the read came twice");
}

#[tokio::test]
async fn without_a_manager_the_words_are_dockers() {
    let bench = Bench::new().await;
    let outside =
        "This node is not a swarm manager. Use \"docker swarm init\" or \"docker swarm join\" to connect this node to swarm and try again.";
    let worker = "This node is not a swarm manager. Worker nodes can't be used to view or modify cluster state. Please run this command on a manager node or promote the current node to a manager.";
    let preparing = "This node is not a swarm manager. Manager is being prepared or has trouble connecting to the cluster.";
    let expired = "Swarm certificates have expired. To replace them, leave the swarm and join again.";
    let node_id = Some(NodeId::from_random([1; 16]));
    let active = NodeView { state: LocalNodeState::Active, node_id, ..NodeView::default() };
    for (view, words) in [
        (NodeView::default(), outside),
        (NodeView { state: LocalNodeState::Error, error: "x".into(), ..NodeView::default() }, outside),
        (active.clone(), worker),
        (NodeView { manager: ManagerView::NotReady, ..active.clone() }, preparing),
        // It says that it is ready, but nobody answers.
        (NodeView { manager: ManagerView::Ready, ..active.clone() }, preparing),
        (NodeView { is_expired: true, ..active.clone() }, expired),
    ] {
        bench.node.set(view);
        let (status, body) = bench.get("/v1.41/services").await;
        assert_eq!((status, message(&body).as_str()), (503, words));
    }
    bench.node.set(NodeView { manager: ManagerView::Ready, ..active });
    let (status, body) = bench.post("/swarm/unlock", "{}").await;
    assert_eq!((status, message(&body).as_str()), (409, "swarm is not locked"));
}

#[tokio::test]
async fn calls_about_the_node_are_answered_here() {
    let bench = Bench::new().await;
    let (status, body) = bench.post("/v1.41/swarm/init", r#"{"ListenAddr":"a","Spec":{"Labels":null}}"#).await;
    assert_eq!((status, body), (200, format!("\"{}\"", NodeId::from_random([1; 16]))));
    let (status, body) = bench.post("/swarm/join", r#"{"RemoteAddrs":["b"]}"#).await;
    assert_eq!(status, 503);
    assert!(message(&body).starts_with("Timeout was reached before node joined."));
    assert_eq!(bench.post("/swarm/leave?force=1", "").await.0, 503);
    assert_eq!(bench.get("/swarm/init").await.0, 404);
    assert_eq!(*bench.node.calls.lock().expect("not poisoned"), ["init a", "join b", "leave true"]);
}

#[tokio::test]
async fn bad_bodies_are_refused_and_reach_nobody() {
    let bench = Bench::new().await;
    for (body, words) in [
        ("", "got EOF while reading request body"),
        ("{bad", "invalid request body: key must be a string at line 1 column 2"),
        ("[]", "invalid request body: expected an object"),
        (r#"{"ListenAddr":5}"#, "invalid request body: ListenAddr: invalid type: integer `5`, expected a string"),
        (r#"{"Availability":"foo"}"#, "invalid Availability: \"foo\""),
    ] {
        let (status, answer) = bench.post("/swarm/join", body).await;
        assert_eq!((status, message(&answer).as_str()), (400, words));
    }
    let mut raw = Raw::connect(&bench.socket).await;
    raw.send("POST /swarm/init HTTP/1.1\r\nHost: d\r\nContent-Length: 104857600\r\n\r\n").await;
    for _ in 0..100 {
        raw.send(vec![b' '; 1 << 20]).await;
    }
    let head = raw.head().await;
    let words = "request body too large: at most 4194304 bytes are accepted";
    assert_eq!((head.status, message(&raw.body(&head).await).as_str()), (413, words));
    assert!(bench.node.calls.lock().expect("not poisoned").is_empty());
}

#[tokio::test]
async fn tls_with_client_certificates_lets_in_only_those_who_have_one() {
    let bench = Bench::new().await;
    let _engine = bench.start_engine("Docker/20.10.24 (linux)", "1.41", "1.12");
    let now = std::time::SystemTime::now();
    let ca = swarm_pki::RootCa::create(now).expect("a root");
    let key = swarm_pki::NodeKey::generate().expect("a key");
    let subject = swarm_pki::NodeSubject { node_id: "n", role: swarm_pki::Role::Manager, cluster_id: "c" };
    let csr = key.csr_pem().expect("a request");
    let chain = ca.sign_csr(&csr, subject, support::cluster::VALIDITY, now).expect("signs");
    let file = |name: &str, text: &str| {
        let path = bench.dir.path().join(name);
        std::fs::write(&path, text).expect("writes");
        path
    };
    let files = swarm_agent::config::TlsFiles {
        cert: file("cert.pem", &chain),
        key: file("key.pem", key.pem()),
        client_ca: Some(file("ca.pem", ca.cert_pem())),
    };
    let tls = swarm_agent::gateway::server_tls(&files).expect("a configuration");
    let listener = Listener::bind(&Endpoint::Tcp("127.0.0.1:0".into()), Some(Arc::new(tls))).await.expect("binds");
    let port = listener.tcp_port().expect("a port");
    tokio::spawn(listener.serve(bench.gateway.clone(), bench.stop.clone()));

    let ping = async |mut config: rustls::ClientConfig| {
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let stream = tokio::net::TcpStream::connect(("127.0.0.1", port)).await.expect("connects");
        let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
        let tls = connector.connect(swarm_pki::manager_server_name(), stream).await?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(tls)).await.expect("shakes hands");
        tokio::spawn(connection);
        let request = Request::get("/_ping").header("host", "d").body(Full::<bytes::Bytes>::default()).expect("a request");
        let response = sender.send_request(request).await.map_err(std::io::Error::other)?;
        Ok::<_, std::io::Error>(response.status().as_u16())
    };
    let credentials = swarm_pki::Credentials::new(&chain, key).expect("credentials");
    let identity = Arc::new(swarm_pki::LiveIdentity::new(credentials));
    assert_eq!(ping(swarm_pki::client_config(identity, ca.roots())).await.expect("is let in"), 200);
    ping(swarm_pki::client_config_ca(ca.roots())).await.expect_err("is kept out");
}
