use super::*;
use crate::api::cluster_info;

#[tokio::test]
async fn the_cluster_is_shown_without_what_only_managers_may_know() {
    let world = World::new();
    let (status, swarm) = world.get("/swarm").await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(swarm["JoinTokens"], json!({"Worker": "worker-token", "Manager": "manager-token"}));
    assert_eq!(swarm["Spec"]["Name"], "default");
    assert_eq!(swarm["Spec"]["Orchestration"]["TaskHistoryRetentionLimit"], 5);
    assert_eq!(swarm["Spec"]["CAConfig"]["NodeCertExpiry"], 7_776_000_000_000_000_u64);
    assert!(!swarm.to_string().contains("secret key"));
    assert_eq!(world.get("/swarm/unlockkey").await, (StatusCode::OK, json!({"UnlockKey": ""})));
    world.worker(2, "w1").await;
    let (nodes, managers, cluster) = cluster_info(&world.store.state(), &world.store.peers());
    assert_eq!((nodes, managers), (2, 1));
    assert_eq!(cluster.unwrap().join_tokens, None);
    assert_eq!(cluster_info(&State::default(), &[]), (0, 0, None));
}

#[tokio::test]
async fn an_update_is_a_whole_spec_and_names_the_version() {
    let world = World::new();
    let body = json!({"Labels": {"a": "b"}, "Orchestration": {"TaskHistoryRetentionLimit": 0}, "Dispatcher": {"HeartbeatPeriod": 3_000_000_000_u64}});
    assert_eq!(world.post("/swarm/update?version=1", &body).await, (StatusCode::OK, Value::Null));
    let (_, swarm) = world.get("/swarm").await;
    assert_eq!(swarm["Spec"]["Labels"], json!({"a": "b"}));
    assert_eq!(swarm["Spec"]["Orchestration"]["TaskHistoryRetentionLimit"], 0);
    assert_eq!(swarm["Spec"]["Raft"]["SnapshotInterval"], 10_000);
    assert_eq!(swarm["Spec"]["Dispatcher"]["HeartbeatPeriod"], 3_000_000_000_u64);
    assert_eq!(swarm["JoinTokens"]["Worker"], "worker-token");
    let (status, body) = world.post("/swarm/update?version=1", &json!({})).await;
    assert_eq!((status, message(&body)), (StatusCode::INTERNAL_SERVER_ERROR, "rpc error: code = Unknown desc = update out of sequence"));
}

#[tokio::test]
async fn each_token_rotates_on_its_own() {
    let world = World::new();
    let tokens = async || world.get("/swarm").await.1["JoinTokens"].clone();
    world.post("/swarm/update?version=1&rotateWorkerToken=true", &json!({})).await;
    let first = tokens().await;
    assert!(first["Worker"].as_str().unwrap().starts_with("SWMTKN-1-"));
    assert_eq!(first["Manager"], "manager-token");
    world.post("/swarm/update?version=2&rotateManagerToken=1&rotateWorkerToken=false", &json!({})).await;
    let second = tokens().await;
    assert_eq!(second["Worker"], first["Worker"]);
    assert!(second["Manager"].as_str().unwrap().parse::<swarm_pki::JoinToken>().is_ok());
}

#[tokio::test]
async fn faults_and_what_comes_later() {
    let world = World::new();
    let rpc = "rpc error: code = InvalidArgument desc = ";
    let later = "is not supported by this version of Swarm yet";
    let cases = [
        ("version=x", json!({}), 400, "invalid swarm version 'x': strconv.ParseUint: parsing \"x\": invalid syntax".to_owned()),
        ("version=1&rotateWorkerToken=maybe", json!({}), 400, "invalid value for rotateWorkerToken: maybe".into()),
        ("version=1", json!({"Name": "other"}), 400, "swarm spec must be named \"default\"".into()),
        ("version=1", json!({"CAConfig": {"NodeCertExpiry": 1}}), 400, format!("{rpc}minimum certificate expiry time is: 1h0m0s")),
        (
            "version=1",
            json!({"Dispatcher": {"HeartbeatPeriod": -1}}),
            400,
            format!("{rpc}heartbeat time period cannot be a negative duration"),
        ),
        ("version=1", json!([]), 400, "invalid JSON: cannot unmarshal array into struct SwarmSpec".into()),
        (
            "version=1",
            json!({"EncryptionConfig": {"AutoLockManagers": true}}),
            501,
            format!("\"--autolock\" (EncryptionConfig.AutoLockManagers) {later}"),
        ),
        ("version=1&rotateManagerUnlockKey=true", json!({}), 501, format!("rotating the unlock key (rotateManagerUnlockKey) {later}")),
        (
            "version=1",
            json!({"CAConfig": {"ExternalCAs": [{"Protocol": "cfssl"}]}}),
            501,
            format!("\"--external-ca\" (CAConfig.ExternalCAs) {later}"),
        ),
        (
            "version=1",
            json!({"CAConfig": {"ForceRotate": 1}}),
            501,
            format!("rotating the root CA (CAConfig.ForceRotate, SigningCACert, SigningCAKey) {later}"),
        ),
        (
            "version=1",
            json!({"CAConfig": {"SigningCACert": "x"}}),
            501,
            format!("rotating the root CA (CAConfig.ForceRotate, SigningCACert, SigningCAKey) {later}"),
        ),
    ];
    for (query, body, status, text) in cases {
        let (got, answer) = world.post(&format!("/swarm/update?{query}"), &body).await;
        assert_eq!((got.as_u16(), message(&answer)), (status, text.as_str()), "{body}");
    }
    assert_eq!(world.store.state().applied(), 1);
}
