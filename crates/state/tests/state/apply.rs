//! Entries applied to states: versions, guards, names, templates and moves are checked, and a conflict leaves no trace.

use crate::objects::{Made, batch, cluster, id, node, service, spec, task, version_of};
use std::sync::Arc;
use swarm_state::{Applied, Batch, Change, Conflict, Entry, Guard, Key, Object, State, Table};
use swarm_types::{Actor, NodeId, ServiceId, SpecId, TaskId, TaskState, Version};

/// Applies one batch and tells its result.
fn apply(state: &mut State, by: Actor, changes: Vec<Change>) -> Result<Version, Conflict> {
    let index = state.applied() + 1;
    let mut applied = state.apply(index, vec![batch(by, changes)]);
    assert_eq!(state.applied(), index);
    applied.results.pop().expect("one batch has one result")
}

/// A state with a node, a service `web` and its template, and a task of it on the node.
fn small() -> Made {
    Made::new()
}

#[test]
fn objects_get_the_log_index_as_their_version() {
    let Made { state, node, service, task, .. } = small();
    assert_eq!(state.version(Key::Node(node)), Some(Version { index: 1 }));
    assert_eq!(state.service(service).map(|s| (s.version.index, s.spec_version.index)), Some((1, 1)));
    assert_eq!(state.task(task).map(|t| t.version.index), Some(1));
    assert_eq!((state.changed(Table::Nodes), state.changed(Table::Cluster)), (1, 0));
}

#[test]
fn a_change_must_name_the_stored_version() {
    let Made { mut state, node: id, .. } = small();
    let mut stale = (**state.node(id).expect("made")).clone();
    stale.api.version = Version { index: 7 };
    let key = Key::Node(id);
    let conflict = apply(&mut state, Actor::Operator, vec![Change::update(Object::Node(Arc::new(stale)))]);
    assert_eq!(conflict, Err(Conflict::Version { key, expected: Version { index: 7 }, stored: Version { index: 1 } }));
    assert_eq!(conflict.expect_err("above").to_string(), "update out of sequence");
    // Creating what exists, and changing or deleting what does not.
    let again = apply(&mut state, Actor::Operator, vec![Change::create(Object::Node(Arc::new(node(1))))]);
    assert_eq!(again, Err(Conflict::Version { key, expected: Version::default(), stored: Version { index: 1 } }));
    let missing = Key::Node(id_of_missing());
    let gone = Change::Delete { replaces: Version { index: 1 }, key: missing };
    let deleted = apply(&mut state, Actor::Operator, vec![gone]);
    assert_eq!(deleted, Err(Conflict::Version { key: missing, expected: Version { index: 1 }, stored: Version::default() }));
}

fn id_of_missing() -> NodeId {
    NodeId::from_random([0xee; 16])
}

#[test]
fn batches_of_one_entry_have_results_of_their_own() {
    let mut state = State::default();
    let create = |n| batch(Actor::Operator, vec![Change::create(Object::Node(Arc::new(node(n))))]);
    let applied = state.apply(5, vec![create(1), create(1), create(2)]);
    assert!(matches!(applied.results[..], [Ok(Version { index: 5 }), Err(Conflict::Version { .. }), Ok(_)]));
    assert_eq!(applied.events.len(), 2);
    assert_eq!(state.node_count(), 2);
}

#[test]
fn a_batch_that_conflicts_in_the_end_leaves_no_trace() {
    let Made { mut state, task, service, spec, node, .. } = small();
    let before = state.clone();
    let changes = vec![
        Change::create(Object::Cluster(Arc::new(cluster()))),
        Change::delete(&state.get(Key::Task(task)).expect("made")),
        Change::delete(&state.get(Key::Service(service)).expect("made")),
        Change::delete(&state.get(Key::Spec(spec)).expect("made")),
        Change::delete(&state.get(Key::Node(node)).expect("made")),
        Change::Delete { replaces: Version { index: 99 }, key: Key::Node(id_of_missing()) },
    ];
    let applied = state.apply(2, vec![batch(Actor::Planner, changes)]);
    assert_eq!(applied.events, []);
    assert!(applied.results[0].is_err());
    state.skip(before.applied()); // All but the index is as it was.
    assert!(state == before);
    for table in [Table::Cluster, Table::Nodes, Table::Services, Table::Tasks, Table::Specs] {
        assert_eq!(state.changed(table), before.changed(table));
    }
}

#[test]
fn guards_hold_a_batch_to_what_it_relies_on() {
    let Made { mut state, node: id, .. } = small();
    let guarded = |guard, n| Batch { guards: vec![guard], ..batch(Actor::Operator, vec![Change::create(Object::Node(Arc::new(node(n))))]) };
    let results = |state: &mut State, batch| {
        let index = state.applied() + 1;
        state.apply(index, vec![batch]).results.pop().expect("one")
    };
    let at = Guard::At(Key::Node(id), Version { index: 1 });
    assert!(results(&mut state, guarded(at, 2)).is_ok());
    assert!(results(&mut state, guarded(Guard::Unchanged(Table::Services, 1), 3)).is_ok());
    let stale = Guard::Unchanged(Table::Nodes, 2);
    assert_eq!(results(&mut state, guarded(stale, 4)), Err(Conflict::Guard(stale)));
    let wrong = Guard::At(Key::Node(id), Version { index: 2 });
    assert_eq!(results(&mut state, guarded(wrong, 4)), Err(Conflict::Guard(wrong)));
}

#[test]
fn names_of_services_are_unique_ignoring_case() {
    let Made { mut state, service: web, spec, .. } = small();
    let taken = apply(&mut state, Actor::Operator, vec![Change::create(Object::Service(Arc::new(service(2, "WEB", spec))))]);
    assert_eq!(taken, Err(Conflict::NameTaken { holder: Key::Service(web) }));
    // Renaming frees the old name, in the same batch too.
    let mut renamed = service(1, "Web2", spec);
    renamed.version = version_of(&state, Key::Service(web));
    let both = vec![Change::update(Object::Service(Arc::new(renamed))), Change::create(Object::Service(Arc::new(service(2, "web", spec))))];
    assert!(apply(&mut state, Actor::Operator, both).is_ok());
    assert_eq!(state.service_named("wEB2").map(|s| s.id), Some(web));
    assert_eq!(state.service_named("WEB").map(|s| s.id), Some(id::<ServiceId>(2)));
}

#[test]
fn templates_are_there_as_long_as_something_names_them() {
    let Made { mut state, service: web, task: web1, spec: first, .. } = small();
    let unknown = id::<SpecId>(9);
    let orphan = apply(&mut state, Actor::Planner, vec![Change::create(Object::Task(Arc::new(task(5, web, unknown))))]);
    assert_eq!(orphan, Err(Conflict::Spec(unknown)));
    let delete = Change::Delete { replaces: Version::default(), key: Key::Spec(first) };
    assert_eq!(apply(&mut state, Actor::Planner, vec![delete.clone()]), Err(Conflict::Spec(first)));
    assert_eq!(state.spec_uses(first), 2);
    let rewrite = apply(&mut state, Actor::Planner, vec![Change::create(Object::Spec(Arc::new(spec(1, "other"))))]);
    assert!(matches!(rewrite, Err(Conflict::Version { .. })), "templates never change");
    // With what names it gone in the same batch, in whatever order, it may go.
    let gone = |key| Change::Delete { replaces: version_of(&state, key), key };
    let all = vec![gone(Key::Task(web1)), delete, gone(Key::Service(web))];
    assert!(apply(&mut state, Actor::Planner, all).is_ok());
    assert_eq!((state.specs().count(), state.spec_uses(first)), (0, 0));
}

#[test]
fn a_service_may_name_only_stored_templates_now_and_before() {
    let Made { mut state, service: web, spec: first, .. } = small();
    let mut changed = (**state.service(web).expect("made")).clone();
    changed.previous = Some(swarm_state::StoredSpec { template: id::<SpecId>(9), ..changed.current.clone() });
    let conflict = apply(&mut state, Actor::Operator, vec![Change::update(Object::Service(Arc::new(changed.clone())))]);
    assert_eq!(conflict, Err(Conflict::Spec(id::<SpecId>(9))));
    changed.previous = Some(changed.current.clone());
    assert!(apply(&mut state, Actor::Operator, vec![Change::update(Object::Service(Arc::new(changed)))]).is_ok());
    assert_eq!(state.spec_uses(first), 3);
}

#[test]
fn tasks_move_as_the_one_table_says_and_no_other_way() {
    for by in [Actor::Planner, Actor::Agent, Actor::Operator] {
        for from in TaskState::ALL {
            for to in TaskState::ALL {
                let Made { mut state, .. } = small();
                let mut old = task(7, id::<ServiceId>(1), id::<SpecId>(1));
                old.status.state = *from;
                apply(&mut state, Actor::Planner, vec![Change::create(Object::Task(Arc::new(old)))]).expect("it is new");
                let mut new = (**state.task(id::<TaskId>(7)).expect("made")).clone();
                new.status.state = *to;
                let moved = apply(&mut state, by, vec![Change::update(Object::Task(Arc::new(new)))]);
                let expected = from == to || from.allows(*to, by);
                assert_eq!(moved.is_ok(), expected, "{by:?} from {from} to {to}");
                assert!(!expected || to >= from, "states never go back");
            }
        }
    }
}

#[test]
fn what_is_wanted_of_a_task_never_goes_back() {
    let Made { mut state, task: web1, .. } = small();
    for (desired, allowed) in
        [(TaskState::Shutdown, true), (TaskState::Running, false), (TaskState::Remove, true), (TaskState::Shutdown, false)]
    {
        let mut new = (**state.task(web1).expect("made")).clone();
        let from = new.desired_state;
        new.desired_state = desired;
        let moved = apply(&mut state, Actor::Planner, vec![Change::update(Object::Task(Arc::new(new)))]);
        assert_eq!(moved.is_ok(), allowed);
        if !allowed {
            assert_eq!(moved, Err(Conflict::Move { task: web1, from, to: desired }));
        }
    }
}

#[test]
fn only_a_change_of_the_spec_raises_the_version_of_the_spec() {
    let Made { mut state, service: web, .. } = small();
    let mut noted = (**state.service(web).expect("made")).clone();
    noted.rollout = Some(swarm_state::Rollout::default());
    apply(&mut state, Actor::Planner, vec![Change::update(Object::Service(Arc::new(noted.clone())))]).expect("applies");
    let stored = state.service(web).expect("made");
    assert_eq!((stored.version.index, stored.spec_version.index), (2, 1));
    noted.version = stored.version;
    noted.spec_version = Version::default();
    apply(&mut state, Actor::Operator, vec![Change::update(Object::Service(Arc::new(noted)))]).expect("applies");
    assert_eq!(state.service(web).map(|s| (s.version.index, s.spec_version.index)), Some((3, 3)));
}

#[test]
fn events_tell_old_and_new() {
    let Made { mut state, node: id, .. } = small();
    let old = state.get(Key::Node(id));
    let mut changed = (**state.node(id).expect("made")).clone();
    changed.api.spec.labels.insert("a".into(), "b".into());
    let Applied { events, .. } = state.apply(2, vec![batch(Actor::Operator, vec![Change::update(Object::Node(Arc::new(changed)))])]);
    let [event] = &events[..] else { panic!("one change is one event") };
    assert_eq!((&event.key, &event.old, &event.new), (&Key::Node(id), &old, &state.get(Key::Node(id))));
    assert_ne!(event.old, event.new);
}

#[test]
fn an_entry_survives_the_log() {
    let entry: Entry = vec![Batch {
        by: Actor::Agent,
        guards: vec![Guard::Unchanged(Table::Tasks, 3), Guard::At(Key::Cluster, Version { index: 2 })],
        changes: vec![
            Change::create(Object::Cluster(Arc::new(cluster()))),
            Change::create(Object::Task(Arc::new(task(1, id::<ServiceId>(1), id::<SpecId>(1))))),
            Change::create(Object::Service(Arc::new(service(1, "web", id::<SpecId>(1))))),
            Change::Delete { replaces: Version { index: 4 }, key: Key::Spec(id::<SpecId>(1)) },
        ],
    }];
    let bytes = rmp_serde::to_vec_named(&entry).expect("encodes");
    assert_eq!(rmp_serde::from_slice::<Entry>(&bytes).expect("decodes"), entry);
}
