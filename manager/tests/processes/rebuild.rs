//! Damage of every kind on disk: found, named, and rebuilt from the other managers.

use crate::world::{Manager, World, until};
use serde_json::Value;
use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

/// A snapshot after a handful of writes, and a log that cannot make up for it.
const SNAPSHOTS_OFTEN: [&str; 4] = ["--raft-snapshot-interval", "20", "--raft-entries-kept", "5"];

fn raft_id(manager: &Manager) -> u64 {
    let member: Value = serde_json::from_slice(&fs::read(manager.state().join("member.json")).unwrap()).unwrap();
    assert_eq!(member["finished"], true, "{member}");
    member["raft_id"].as_u64().unwrap()
}

fn change(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(path).unwrap();
    change(&mut bytes);
    fs::write(path, bytes).unwrap();
}

fn flip_middle(bytes: &mut Vec<u8>) {
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x10;
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_folder(&entry.path(), &target)
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// One way to lose a state, and what the manager must say of it.
struct Damage {
    name: &'static str,
    /// With the folder as it was some writes ago.
    cause: fn(state: &Path, earlier: &Path),
    says: &'static [&'static str],
}

const DAMAGES: &[Damage] = &[
    Damage {
        name: "the log is noise",
        cause: |state, _| change(&state.join("log/db"), |bytes| bytes.iter_mut().enumerate().for_each(|(i, b)| *b ^= (i % 251) as u8)),
        says: &["log"],
    },
    Damage {
        name: "the log went back in time",
        cause: |state, earlier| {
            fs::remove_dir_all(state.join("log")).unwrap();
            copy_folder(&earlier.join("log"), &state.join("log"));
        },
        says: &["went back in time", "is lost"],
    },
    Damage { name: "the log is gone", cause: |state, _| fs::remove_dir_all(state.join("log")).unwrap(), says: &["went back in time"] },
    Damage {
        name: "the mark is torn",
        cause: |state, _| fs::write(state.join("log.mark"), b"torn").unwrap(),
        says: &["read the mark of", "log.mark"],
    },
    Damage { name: "the mark is gone", cause: |state, _| fs::remove_file(state.join("log.mark")).unwrap(), says: &["log.mark", "missing"] },
    Damage {
        name: "the snapshot is altered",
        cause: |state, _| snapshots(state).iter().for_each(|path| change(path, flip_middle)),
        says: &["chunk 0 of snapshot", "fails authentication"],
    },
    Damage {
        name: "the snapshot is torn",
        cause: |state, _| snapshots(state).iter().for_each(|path| change(path, |bytes| bytes.truncate(bytes.len() - 3))),
        says: &["snapshot", "does not end with its last chunk"],
    },
    Damage {
        name: "the snapshot is gone",
        cause: |state, _| snapshots(state).iter().for_each(|path| fs::remove_file(path).unwrap()),
        says: &["the log begins at", "but the newest snapshot ends at 0"],
    },
    Damage {
        name: "the data key is torn",
        cause: |state, _| change(&state.join("dek.json"), |bytes| bytes.truncate(10)),
        says: &["dek.json is not a data key file"],
    },
    Damage {
        name: "the member file is torn",
        cause: |state, _| fs::write(state.join("member.json"), b"{\"raft_id").unwrap(),
        says: &["member.json cannot be understood"],
    },
    Damage {
        name: "the member file is gone",
        cause: |state, _| fs::remove_file(state.join("member.json")).unwrap(),
        says: &["member.json is missing"],
    },
];

/// One as a rule; two if the kill came before the older one was removed.
fn snapshots(state: &Path) -> Vec<PathBuf> {
    let Ok(files) = fs::read_dir(state.join("snapshots")) else { return Vec::new() };
    files.map(|file| file.unwrap().path()).filter(|path| path.extension().is_some_and(|e| e == "snap")).collect()
}

/// Ids in Raft's membership, as seen by who answers.
fn members(world: &World) -> usize {
    let status = world.managers[world.leader()].status().unwrap();
    status["remote_managers"].as_array().unwrap().len()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manager_with_a_damaged_state_comes_back_with_everything_from_the_others() {
    let mut world = World::start(3, &SNAPSHOTS_OFTEN).await;
    let mut written = Vec::new();
    let mut write = |manager: &Manager, count: usize| {
        for _ in 0..count {
            let name = format!("c{}", written.len());
            manager.write(&name, name.as_bytes());
            written.push((name.clone(), name.len()));
        }
        let mut sorted = written.clone();
        sorted.sort();
        sorted
    };
    write(&world.managers[0], 60);
    for (round, damage) in DAMAGES.iter().enumerate() {
        // The founder, which is still told to make a cluster, has its turn too.
        let n = round % 3;
        let earlier = tempfile::tempdir().unwrap();
        world.managers[n].kill();
        copy_folder(&world.managers[n].state(), earlier.path());
        world.managers[n].start();
        world.managers[n].ready();
        write(&world.managers[n], 45);
        until("there is a snapshot", || (!snapshots(&world.managers[n].state()).is_empty()).then_some(()));
        let (former, printed) = (raft_id(&world.managers[n]), world.managers[n].printed().len());
        world.managers[n].kill();
        (damage.cause)(&world.managers[n].state(), earlier.path());
        let all = write(&world.managers[(n + 1) % 3], 3);

        world.managers[n].start();
        world.managers[n].ready();
        let said = world.managers[n].printed()[printed..].to_owned();
        let found = said.lines().find(|line| line.contains("ERROR") && line.contains("starts anew")).unwrap_or_default();
        let is_named = damage.says.iter().all(|words| found.contains(words));
        assert!(is_named, "{}: {:?} in {found:?}\n{said}", damage.name, damage.says);
        assert_ne!(raft_id(&world.managers[n]), former, "{}", damage.name);
        assert_eq!(world.managers[n].configs(), all, "{}", damage.name);
        assert_eq!(members(&world), 3, "{}: the former self is no member any more", damage.name);
        let aside = fs::read_dir(world.managers[n].state()).unwrap();
        let aside = aside.filter(|e| e.as_ref().unwrap().file_name().to_str().unwrap().starts_with("set-aside-")).count();
        assert_eq!(aside, 1, "{}: the damaged state is kept, and only the last one", damage.name);
        println!("{}: {found}", damage.name);
    }
    // Every one of them was rebuilt; each pair must be able to go on without the third.
    for n in 0..3 {
        world.managers[n].kill();
        let all = write(&world.managers[(n + 1) % 3], 1);
        assert_eq!(world.managers[(n + 2) % 3].configs(), all);
        world.managers[n].start();
        world.managers[n].ready();
        assert_eq!(world.managers[n].configs(), all);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rebuild_killed_at_any_moment_ends_right() {
    let mut world = World::start(3, &SNAPSHOTS_OFTEN).await;
    for n in 0..60 {
        world.managers[1].write(&format!("c{n}"), b"content");
    }
    let all = world.managers[1].configs();
    let former = raft_id(&world.managers[0]);
    world.managers[0].kill();
    // The whole log: what its database alone loses may still stand in its journal, and then nothing is lost.
    fs::remove_dir_all(world.managers[0].state().join("log")).unwrap();
    for round in 0..12u64 {
        world.managers[0].start();
        // From before the first line of it to about its end: this is what is tested, not what is waited for.
        std::thread::sleep(Duration::from_millis(10 + round * round * 8));
        world.managers[0].kill();
    }
    world.managers[0].start();
    world.managers[0].ready();
    assert_ne!(raft_id(&world.managers[0]), former);
    assert_eq!(world.managers[0].configs(), all);
    assert_eq!(members(&world), 3);
    // It counts: without one of the others there is still a majority.
    world.managers[2].kill();
    world.managers[0].write("after", b"content");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_database_loses_and_the_journal_holds_is_not_lost() {
    let mut world = World::start(3, &SNAPSHOTS_OFTEN).await;
    for n in 0..60 {
        world.managers[1].write(&format!("c{n}"), b"content");
    }
    let all = world.managers[1].configs();
    world.managers[0].kill();
    change(&world.managers[0].state().join("log/db"), |bytes| bytes.fill(7));
    world.managers[0].start();
    world.managers[0].ready();
    assert_eq!(world.managers[0].configs(), all, "healed from the journal or rebuilt from the others, but whole");
    assert_eq!(members(&world), 3);
    world.managers[2].kill();
    world.managers[0].write("after", b"content");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_single_manager_with_a_damaged_state_says_so_and_touches_nothing() {
    let mut world = World::start(1, &[]).await;
    let manager = &mut world.managers[0];
    manager.write("c", b"content");
    until("it wrote down that there is nobody else", || manager.state().join("managers.json").exists().then_some(()));
    manager.kill();
    let original = fs::read(manager.state().join("log.mark")).unwrap();
    fs::write(manager.state().join("log.mark"), b"torn").unwrap();
    for _ in 0..2 {
        let printed = manager.printed().len();
        manager.start();
        assert_ne!(manager.ended(), Some(0));
        let said = manager.printed()[printed..].to_owned();
        let last = said.lines().last().unwrap();
        assert!(last.contains("log.mark") && last.contains("no other manager is known") && last.contains("swarm leave --force"), "{said}");
    }
    // What the operator puts back is taken.
    fs::write(manager.state().join("log.mark"), original).unwrap();
    manager.start();
    manager.ready();
    assert_eq!(manager.configs(), [("c".to_owned(), 7)]);
}
