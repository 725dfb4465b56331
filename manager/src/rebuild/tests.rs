//! Every step of setting a former self aside, interrupted.

use super::*;
use crate::config::LogFormat;
use std::path::PathBuf;
use swarm_types::RemoteManager;

fn id(n: u8) -> NodeId {
    NodeId::from_random([n; 16])
}

fn config(dir: &Path, join: &[&str]) -> Config {
    Config {
        state_dir: dir.join("manager"),
        certs: dir.join("certificates"),
        socket: PathBuf::new(),
        listen_addr: "127.0.0.1:2377".parse().expect("an address"),
        advertise_addr: "127.0.0.1:2377".parse().expect("an address"),
        init: None,
        join: join.iter().map(ToString::to_string).collect(),
        log_level: "info".into(),
        log_format: LogFormat::Text,
        raft_heartbeat_ms: 100,
        raft_election_ms: vec![300, 500],
        raft_snapshot_interval: 10_000,
        raft_entries_kept: 500,
    }
}

/// The folder of a member, its files being text.
fn member(dir: &Path, others: &[&str]) -> MemberFile {
    let state = dir.join("manager");
    fs::create_dir_all(state.join("log")).expect("a folder");
    fs::create_dir_all(state.join("snapshots")).expect("a folder");
    fs::write(state.join("log/db"), "log").expect("writes");
    fs::write(state.join("log.mark"), "mark").expect("writes");
    let member = MemberFile { raft_id: 7, finished: true, rebuild: None };
    member.save(&state).expect("writes");
    known(dir, others);
    member
}

fn known(dir: &Path, others: &[&str]) {
    let others = others.iter().map(|addr| RemoteManager { node_id: id(9), addr: (*addr).into() }).collect();
    member::save(&dir.join("manager"), "managers.json", &KnownManagers { node_id: id(1), others }).expect("writes");
}

fn certs(dir: &Path) -> CertStore {
    CertStore::new(dir)
}

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(dir).expect("a folder").map(|e| e.expect("an entry").file_name().into_string().expect("text")).collect();
    names.sort();
    names
}

#[test]
fn everybody_who_may_know_is_asked_but_not_this_manager_itself() {
    let dir = tempfile::tempdir().expect("a folder");
    let former = member(dir.path(), &["10.0.0.2:2377", "10.0.0.3:2377"]);
    let config = config(dir.path(), &["10.0.0.4:2377", "127.0.0.1:2377", "10.0.0.2:2377"]);
    let begun = begin(&config, Some(&former), "torn".into()).expect("begins");
    let rebuild = begun.rebuild.clone().expect("a rebuild");
    assert_eq!(rebuild.managers, ["10.0.0.4:2377", "10.0.0.2:2377", "10.0.0.3:2377"]);
    assert_eq!((rebuild.reason.as_str(), begun.finished), ("torn", false));
    assert_ne!(begun.raft_id, former.raft_id);
    let aside = format!("set-aside-{}", begun.raft_id);
    assert_eq!(names(&config.state_dir), ["managers.json", "member.json", &aside]);
    assert_eq!(names(&config.state_dir.join(&aside)), ["log", "log.mark", "snapshots"]);
    // Even a founder goes on with it, and makes no second cluster.
    let again = ensure_member(&config, Some(id(1)), &certs(dir.path())).expect("goes on");
    assert_eq!(again, begun);
}

#[test]
fn a_rebuild_that_was_cut_short_anywhere_goes_on_before_anything_is_opened() {
    for moved in 0..=3 {
        let dir = tempfile::tempdir().expect("a folder");
        member(dir.path(), &["10.0.0.2:2377"]);
        let config = config(dir.path(), &[]);
        let mut begun = MemberFile::new(None);
        let aside = format!("set-aside-{}", begun.raft_id);
        let set_aside = Some(SetAside { folder: aside.clone(), keep: true });
        begun.rebuild = Some(Rebuild { reason: "torn".into(), managers: vec!["10.0.0.2:2377".into()], set_aside });
        begun.save(&config.state_dir).expect("writes");
        fs::create_dir(config.state_dir.join(&aside)).expect("a folder");
        for name in ["log", "snapshots", "log.mark"].iter().take(moved) {
            fs::rename(config.state_dir.join(name), config.state_dir.join(&aside).join(name)).expect("moves");
        }
        let found = ensure_member(&config, Some(id(1)), &certs(dir.path())).expect("goes on");
        assert_eq!(found.raft_id, begun.raft_id);
        assert!(found.rebuild.as_ref().is_some_and(|r| r.set_aside.is_none()));
        assert_eq!(MemberFile::load(&config.state_dir).expect("reads"), Some(found));
        assert_eq!(names(&config.state_dir), ["managers.json", "member.json", &aside], "{moved} moved before");
        assert_eq!(names(&config.state_dir.join(&aside)), ["log", "log.mark", "snapshots"]);
    }
}

#[test]
fn the_last_states_of_members_that_finished_are_kept_and_no_others() {
    let dir = tempfile::tempdir().expect("a folder");
    let former = member(dir.path(), &["10.0.0.2:2377"]);
    let config = config(dir.path(), &[]);
    let first = begin(&config, Some(&former), "torn".into()).expect("begins");
    let kept = format!("set-aside-{}", first.raft_id);
    // What the unfinished one holds by now is damaged too.
    fs::create_dir(config.state_dir.join("log")).expect("a folder");
    let mut second = begin(&config, Some(&first), "torn again".into()).expect("begins");
    assert_eq!(second.rebuild.as_ref().map(|r| r.managers.clone()), Some(vec!["10.0.0.2:2377".to_owned()]));
    assert_eq!(names(&config.state_dir), ["managers.json", "member.json", &kept]);
    finish(&config.state_dir, &mut second).expect("finishes");
    assert_eq!(MemberFile::load(&config.state_dir).expect("reads"), Some(second.clone()));
    assert!(second.finished && second.rebuild.is_none());
    assert!(config.state_dir.join(&kept).exists(), "the only state that anybody may want to look at");
    let mut third = begin(&config, Some(&second), "torn once more".into()).expect("begins");
    finish(&config.state_dir, &mut third).expect("finishes");
    assert_eq!(names(&config.state_dir), ["managers.json", "member.json", &format!("set-aside-{}", third.raft_id)]);
}

#[test]
fn without_another_manager_nothing_is_touched_and_the_operator_is_told() {
    let dir = tempfile::tempdir().expect("a folder");
    let former = member(dir.path(), &[]);
    let config = config(dir.path(), &[]);
    let before = names(&config.state_dir);
    let error = begin(&config, Some(&former), "log entry 7 in /x is incomplete".into()).expect_err("nobody to ask");
    let text = format!("{error:#}");
    assert!(text.contains("log entry 7 in /x") && text.contains("no other manager") && text.contains("swarm leave"), "{text}");
    assert_eq!(names(&config.state_dir), before);
    assert_eq!(MemberFile::load(&config.state_dir).expect("reads"), Some(former));
}

#[test]
fn a_member_file_that_is_lost_or_torn_is_damage_but_another_membership_is_none() {
    let dir = tempfile::tempdir().expect("a folder");
    member(dir.path(), &["10.0.0.2:2377"]);
    let config = config(dir.path(), &[]);
    fs::write(config.state_dir.join("member.json"), "{\"raft_id\":").expect("writes");
    let found = ensure_member(&config, Some(id(1)), &certs(dir.path())).expect("rebuilds");
    assert!(found.rebuild.is_some_and(|r| r.reason.contains("member.json")));

    fs::remove_file(config.state_dir.join("member.json")).expect("removes");
    let found = ensure_member(&config, Some(id(1)), &certs(dir.path())).expect("rebuilds");
    assert!(found.rebuild.is_some_and(|r| r.reason.contains("member.json is missing")));

    // Another node is to make a cluster here: what lies around is of a membership whose end was interrupted.
    fs::remove_file(config.state_dir.join("member.json")).expect("removes");
    let found = ensure_member(&config, Some(id(2)), &certs(dir.path())).expect("starts anew");
    assert!(found.rebuild.is_none() && !found.finished);
    assert!(!config.state_dir.join("log").exists() && !config.state_dir.join("managers.json").exists());
}
