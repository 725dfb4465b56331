//! Renewal of certificates with a stand-in for managers.

mod support;

use http::StatusCode;
use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};
use support::{cluster::FakeCluster, until};
use swarm_agent::identity::renewal::{Renewal, RenewalState, Wish};
use swarm_pki::{CertStore, Credentials, LiveIdentity, NodeKey, NodeSubject, Role};
use swarm_types::NodeId;
use tokio::sync::watch;

const DAY: Duration = Duration::from_secs(86_400);

/// A member whose renewal runs.
struct Bench {
    _dir: tempfile::TempDir,
    certificates: CertStore,
    identity: Arc<LiveIdentity>,
    wish: watch::Sender<Wish>,
    state: watch::Receiver<RenewalState>,
    renewal: tokio::task::JoinHandle<()>,
}

impl Bench {
    /// A worker of the cluster whose certificate was issued so long ago.
    fn new(cluster: &FakeCluster, age: Duration) -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let certificates = CertStore::new(dir.path());
        let (key, node) = (NodeKey::generate().expect("a key"), NodeId::from_random([1; 16]));
        let subject = NodeSubject { node_id: node.as_str(), role: Role::Worker, cluster_id: cluster.shared.cluster_id.as_str() };
        let csr = key.csr_pem().expect("a request");
        let chain = cluster.shared.ca.sign_csr(&csr, subject, 90 * DAY, SystemTime::now() - age).expect("signs");
        let credentials = Credentials::new(&chain, key).expect("credentials");
        certificates.save_roots(cluster.shared.ca.roots()).expect("saves");
        certificates.save(&credentials).expect("saves");
        let identity = Arc::new(LiveIdentity::new(credentials));
        let wish = watch::channel(Wish::default()).0;
        let (state, seen) = watch::channel(RenewalState::default());
        let renewal = Renewal {
            certificates: certificates.clone(),
            identity: Arc::clone(&identity),
            roots: Arc::new(watch::channel(cluster.shared.ca.roots().clone()).0),
            managers: watch::channel(vec![cluster.remote()]).1,
            wish: wish.subscribe(),
            state: Arc::new(state),
        };
        let renewal = tokio::spawn(renewal.run());
        Self { _dir: dir, certificates, identity, wish, state: seen, renewal }
    }

    async fn until_state(&self, what: &str, is_it: impl Fn(&RenewalState) -> bool) {
        until(what, || is_it(&self.state.borrow())).await;
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.renewal.abort();
    }
}

#[tokio::test]
async fn an_old_certificate_is_replaced_on_disk_and_in_use() {
    let cluster = FakeCluster::start().await;
    let bench = Bench::new(&cluster, 80 * DAY);
    let old = bench.identity.current().chain_pem().to_owned();
    bench.until_state("a renewal", |state| matches!(state, RenewalState::Renewed { count: 1, .. })).await;
    let new = bench.identity.current().chain_pem().to_owned();
    assert_ne!(old, new);
    let stored = bench.certificates.load().expect("loads").expect("is there");
    assert_eq!(stored.credentials.chain_pem(), new);
    assert_eq!(cluster.asked(), [format!("POST /ca/renew by worker {}", NodeId::from_random([1; 16]))]);
}

#[tokio::test]
async fn a_fresh_certificate_is_left_alone_until_the_role_changes() {
    let cluster = FakeCluster::start().await;
    let bench = Bench::new(&cluster, DAY);
    bench.wish.send_replace(Wish { role: Some(swarm_types::Role::Worker), forced: 0 });
    // The cluster still issues the old role at first; it is asked again until it gives the new one.
    bench.wish.send_replace(Wish { role: Some(swarm_types::Role::Manager), forced: 0 });
    bench.until_state("a first answer", |state| matches!(state, RenewalState::Renewed { count: 1, .. })).await;
    *cluster.shared.renew_as.lock().expect("not poisoned") = Role::Manager;
    let manager = swarm_types::Role::Manager;
    bench.until_state("the new role", |state| matches!(state, RenewalState::Renewed { role, .. } if *role == manager)).await;
    assert_eq!(bench.identity.current().identity().role, Role::Manager);
    let count = cluster.asked().len();
    bench.wish.send_modify(|wish| wish.forced += 1);
    until("a forced renewal", || cluster.asked().len() == count + 1).await;
}

#[tokio::test]
async fn an_ended_certificate_and_a_removal_are_told() {
    let cluster = FakeCluster::start().await;
    let bench = Bench::new(&cluster, 100 * DAY);
    bench.until_state("the end of the certificate", |state| matches!(state, RenewalState::Failing { is_expired: true, .. })).await;
    let text = "rpc error: code = NotFound desc = node x not found when attempting to renew certificate";
    *cluster.shared.refusal.lock().expect("not poisoned") = Some((StatusCode::FORBIDDEN, text.into()));
    let bench = Bench::new(&cluster, 80 * DAY);
    bench.until_state("the removal", |state| *state == RenewalState::Removed(text.into())).await;
}
