//! Getting a first certificate from a stand-in for managers, and everything that may be wrong with it.

mod support;

use http::StatusCode;
use std::time::{Duration, Instant};
use support::{cluster::FakeCluster, soon};
use swarm_agent::{
    identity::{
        address::HostPort,
        bootstrap::{Joined, bootstrap, save},
        record::{Found, RecordFile, settle},
        request::JoinPlan,
    },
    membership::JoinError,
};
use swarm_pki::{CertStore, JoinToken};
use swarm_types::{Availability, NodeId, Role};

fn plan(remote: &str, token: &JoinToken) -> JoinPlan {
    JoinPlan {
        listen: HostPort { host: "0.0.0.0".parse().expect("an address"), port: 2377 },
        advertise: None,
        data_path: None,
        remote: remote.to_owned(),
        token: token.clone(),
        availability: Availability::Active,
    }
}

async fn join(cluster: &FakeCluster, token: &JoinToken) -> Result<Joined, JoinError> {
    soon("joining", bootstrap(&plan(&cluster.addr.to_string(), token))).await
}

#[tokio::test]
async fn the_token_decides_the_role_and_everything_is_saved() {
    let cluster = FakeCluster::start().await;
    for (token, role) in [(&cluster.shared.worker_token, Role::Worker), (&cluster.shared.manager_token, Role::Manager)] {
        let joined = join(&cluster, token).await.expect("joins");
        assert_eq!((joined.issued.role, joined.issued.cluster_id), (role, cluster.shared.cluster_id));

        let dir = tempfile::tempdir().expect("a folder");
        let (file, certificates) = (RecordFile::new(dir.path()), CertStore::new(dir.path()));
        let record = save(&file, &certificates, &plan("x:1", token), &joined).expect("saves");
        assert_eq!(record.advertise_addr, "127.0.0.1:2377");
        assert_eq!(record.managers, [cluster.remote()]);
        let stored = certificates.load().expect("loads").expect("is there");
        let id = NodeId::parse(&stored.credentials.identity().node_id).expect("an id");
        assert_eq!(settle(file.load().expect("loads"), Some(id)), Found::Member(record));
    }
    assert_eq!(cluster.asked()[..2], ["GET /ca/root by nobody", "POST /ca/issue by nobody"]);
}

#[tokio::test]
async fn nothing_is_sent_to_a_cluster_with_another_root() {
    let cluster = FakeCluster::start().await;
    let other = FakeCluster::start().await;
    let refused = join(&cluster, &other.shared.worker_token).await.expect_err("is refused").to_string();
    let expected = other.shared.ca.roots().digest().hex();
    assert_eq!(refused, format!("remote CA does not match fingerprint. Expected: {expected}"));
    assert_eq!(cluster.asked(), ["GET /ca/root by nobody"]);
}

#[tokio::test]
async fn a_foreign_secret_is_refused_in_dockers_words() {
    let cluster = FakeCluster::start().await;
    let rotated = JoinToken::generate(cluster.shared.ca.roots().digest()).expect("randomness");
    let error = join(&cluster, &rotated).await.expect_err("is refused");
    assert!(matches!(error, JoinError::Refused { status: 400, .. }));
    let words = "rpc error: code = InvalidArgument desc = A valid join token is necessary to join this cluster";
    assert_eq!(error.to_string(), words);
}

#[tokio::test]
async fn a_cluster_without_a_leader_is_waited_for() {
    let cluster = FakeCluster::start().await;
    *cluster.shared.refusal.lock().expect("not poisoned") = Some((StatusCode::SERVICE_UNAVAILABLE, "no leader".into()));
    let (to, token) = (cluster.addr.to_string(), cluster.shared.worker_token.clone());
    let joining = tokio::spawn(async move { bootstrap(&plan(&to, &token)).await });
    support::until("a request is refused", || cluster.asked().len() >= 2).await;
    *cluster.shared.refusal.lock().expect("not poisoned") = None;
    soon("joining", joining).await.expect("no panic").expect("joins");
}

#[tokio::test(start_paused = true)]
async fn a_closed_port_is_named_after_five_attempts() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("binds");
    let addr = free.local_addr().expect("is bound").to_string();
    drop(free);
    let cluster = FakeCluster::start().await;
    let begun = tokio::time::Instant::now();
    let error = bootstrap(&plan(&addr, &cluster.shared.worker_token)).await.expect_err("is refused");
    assert_eq!(
        error.to_string(),
        format!(
            "rpc error: code = Unavailable desc = connection error: desc = \"transport: Error while dialing dial tcp {addr}: \
             connect: connection refused\""
        )
    );
    assert_eq!(begun.elapsed().as_secs(), 8);
}

#[tokio::test]
async fn something_else_than_a_manager_is_no_manager() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let addr = listener.local_addr().expect("is bound").to_string();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            drop(stream)
        }
    });
    let cluster = FakeCluster::start().await;
    let begun = Instant::now();
    let error = soon("a refusal", bootstrap(&plan(&addr, &cluster.shared.worker_token))).await.expect_err("is refused");
    assert!(matches!(error, JoinError::NotManager(_)), "{error}");
    assert!(begun.elapsed() < Duration::from_secs(15));
}
