use std::time::SystemTime;

use super::*;
use crate::ca::{NODE_VALIDITY_DEFAULT, NodeSubject, RootCa};
use crate::identity::Role;

struct World {
    ca: RootCa,
    folder: tempfile::TempDir,
    store: CertStore,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = CertStore::new(folder.path());
        Self { ca: RootCa::create(SystemTime::now()).unwrap(), folder, store }
    }

    /// A node with the roots and a pair in its store.
    fn member() -> (Self, Credentials) {
        let world = Self::new();
        let pair = world.credentials("old");
        world.store.save_roots(world.ca.roots()).unwrap();
        world.store.save(&pair).unwrap();
        (world, pair)
    }

    fn credentials(&self, node_id: &str) -> Credentials {
        let key = NodeKey::generate().unwrap();
        let subject = NodeSubject { node_id, role: Role::Worker, cluster_id: "c" };
        let csr = key.csr_pem().unwrap();
        let chain = self.ca.sign_csr(&csr, subject, NODE_VALIDITY_DEFAULT, SystemTime::now()).unwrap();
        Credentials::new(&chain, key).unwrap()
    }

    fn files(&self) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(self.store.dir())
            .unwrap()
            .map(|entry| {
                let entry = entry.unwrap();
                let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
                format!("{} {mode:o}", entry.file_name().to_str().unwrap())
            })
            .collect();
        names.sort();
        names
    }

    fn loaded(&self) -> Stored {
        self.store.load().unwrap().unwrap()
    }
}

fn same(a: &Credentials, b: &Credentials) -> bool {
    a.chain_pem() == b.chain_pem() && a.key().pem() == b.key().pem()
}

#[test]
fn what_is_saved_is_loaded() {
    let (world, pair) = World::member();
    assert!(same(&world.loaded().credentials, &pair));
    assert_eq!(world.loaded().roots.pem(), world.ca.cert_pem());
    assert_eq!(world.files(), ["swarm-node.crt 644", "swarm-node.key 600", "swarm-root-ca.crt 644"]);
    let dir_mode = fs::metadata(world.store.dir()).unwrap().permissions().mode();
    assert_eq!(dir_mode & 0o777, 0o700);
}

#[test]
fn a_stop_after_any_step_leaves_a_whole_pair() {
    for steps_done in 0..=Step::ALL.len() {
        let (world, old) = World::member();
        let new = world.credentials("new");
        for step in &Step::ALL[..steps_done] {
            world.store.perform(*step, &new).unwrap();
        }
        let expected = if steps_done == 0 { &old } else { &new };
        assert!(same(&world.loaded().credentials, expected), "after {steps_done} steps");

        world.store.settle().unwrap();
        assert!(same(&world.loaded().credentials, expected), "after {steps_done} steps");
        assert_eq!(world.files().len(), 3);
        world.store.settle().unwrap();
    }
}

#[test]
fn a_stop_while_joining_leaves_no_pair_or_a_whole_one() {
    for steps_done in 0..=Step::ALL.len() {
        let world = World::new();
        world.store.save_roots(world.ca.roots()).unwrap();
        let new = world.credentials("new");
        for step in &Step::ALL[..steps_done] {
            world.store.perform(*step, &new).unwrap();
        }
        assert_eq!(world.store.load().unwrap().is_some(), steps_done > 0);
    }
}

#[test]
fn half_written_files_are_ignored_and_replaced() {
    let (world, old) = World::member();
    for name in [ROOTS, CERT, KEY, STAGED] {
        let torn = world.store.path(&format!(".{name}.new"));
        fs::write(&torn, "-----BEGIN").unwrap();
        fs::set_permissions(&torn, Permissions::from_mode(0o444)).unwrap();
    }
    assert!(same(&world.loaded().credentials, &old));
    let new = world.credentials("new");
    world.store.save_roots(world.ca.roots()).unwrap();
    world.store.save(&new).unwrap();
    assert!(same(&world.loaded().credentials, &new));
    assert_eq!(world.files().len(), 3);
}

#[test]
fn reading_while_another_process_saves_always_finds_a_pair() {
    let (world, _) = World::member();
    let pairs = [world.credentials("a"), world.credentials("b")];
    let saved = std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for round in 0..40 {
                world.store.save(&pairs[round % 2]).unwrap();
            }
        });
        let mut reads = 0;
        while !writer.is_finished() {
            world.loaded();
            reads += 1;
        }
        writer.join().unwrap();
        reads
    });
    assert!(saved > 0);
}

#[test]
fn a_torn_read_is_repeated() {
    let torn = || Err(StoreError::Missing { path: KEY.into() });
    // The writer staged a pair after the reader looked for one ...
    let mut staged = [None, Some("new")].into_iter();
    let pair = read_pair(|| Ok(staged.next().unwrap()), torn).unwrap();
    assert_eq!(pair, Some("new"));
    // ... or was done with it before the reader looked again.
    let mut placed = [torn(), Ok(Some("new"))].into_iter();
    let pair = read_pair(|| Ok(None), || placed.next().unwrap()).unwrap();
    assert_eq!(pair, Some("new"));
    // What stays torn is damage.
    let mut reads = 0;
    let damage = read_pair(
        || {
            reads += 1;
            Ok(None)
        },
        torn,
    );
    assert!(matches!(damage, Err(StoreError::Missing { .. })));
    assert_eq!(reads, READ_ATTEMPTS_MAX);
}

#[test]
fn a_mixed_pair_without_a_staged_one_is_refused() {
    let (world, _) = World::member();
    let other = world.credentials("other");
    fs::write(world.store.path(KEY), other.key().pem()).unwrap();
    let error = world.store.load().unwrap_err();
    assert!(matches!(error, StoreError::Credentials { source: CredentialsError::KeyMismatch, .. }));
}

#[test]
fn missing_and_damaged_files_are_named() {
    for (name, content) in [(ROOTS, None), (CERT, None), (KEY, None), (KEY, Some("x")), (CERT, Some("x"))] {
        let (world, _) = World::member();
        match content {
            None => fs::remove_file(world.store.path(name)).unwrap(),
            Some(text) => fs::write(world.store.path(name), text).unwrap(),
        }
        let error = world.store.load().unwrap_err();
        assert!(error.to_string().contains(name), "{error}");
    }
}

#[test]
fn nothing_is_left_after_wiping_and_a_new_join_works() {
    let (world, _) = World::member();
    world.store.wipe().unwrap();
    assert!(world.store.load().unwrap().is_none());
    assert_eq!(fs::read_dir(world.folder.path()).unwrap().count(), 0);
    world.store.wipe().unwrap();
    world.store.save_roots(world.ca.roots()).unwrap();
    world.store.save(&world.credentials("again")).unwrap();
    assert_eq!(world.loaded().credentials.identity().node_id, "again");
}

#[test]
fn an_interrupted_wipe_is_finished() {
    let (world, _) = World::member();
    let wiped = world.folder.path().join(FOLDER_WIPED);
    fs::rename(world.store.dir(), &wiped).unwrap();
    assert!(world.store.load().unwrap().is_none());
    world.store.settle().unwrap();
    assert!(!wiped.exists());
}
