//! Random entries: whatever is proposed, the indexes say what the tables say, conflicts leave no trace, and snapshots hold all.

use crate::objects::{batch, cluster, id, node, payload, service, spec, task, version_of};
use proptest::prelude::*;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};
use swarm_state::{Change, Key, Network, Object, State, StoredSpec, Task};
use swarm_types::{Actor, Config, NetworkSpec, NodeId, Secret, ServiceId, SpecId, TaskId, TaskState, Timestamp, Version};

/// One change among few objects, so that they meet often. Most are sound; what makes some unsound is in the last number.
#[derive(Debug, Clone, Copy)]
struct Wish {
    kind: u8,
    which: u8,
    detail: u8,
    fault: u8,
}

fn wish() -> impl Strategy<Value = Wish> {
    (0_u8..14, 1_u8..5, any::<u8>(), 0_u8..16).prop_map(|(kind, which, detail, fault)| Wish { kind, which, detail, fault })
}

const NAMES: [&str; 4] = ["web", "Web", "db", "api"];

fn change(state: &State, wish: Wish) -> Change {
    let Wish { kind, which, detail, fault } = wish;
    let key = match kind {
        0 | 1 => Key::Node(id(which)),
        2 | 3 => Key::Service(id(which)),
        4..=6 => Key::Task(id(which)),
        7 => Key::Spec(id(which)),
        8 => Key::Network(id(which)),
        9 | 10 => Key::Secret(id(which)),
        11 | 12 => Key::Config(id(which)),
        _ => Key::Cluster,
    };
    let version = if fault == 0 { Version { index: u64::from(detail) } } else { version_of(state, key) };
    if detail % 5 == 0 {
        return Change::Delete { replaces: version, key };
    }
    let template: SpecId = id(detail % 4 + 1);
    let object = match key {
        Key::Network(network) => Object::Network(Arc::new(Network {
            id: network,
            version,
            created_at: Timestamp::default(),
            spec: NetworkSpec { name: NAMES[usize::from(detail % 4)].to_owned(), ..NetworkSpec::default() },
            subnets: vec![],
            vni: 4096 + u32::from(which),
            cursors: vec![],
            removed_at: (detail % 7 == 0).then(Timestamp::default),
        })),
        Key::Node(_) => {
            let mut node = node(which);
            node.api.version = version;
            node.api.description.hostname = format!("host{detail}");
            Object::Node(Arc::new(node))
        }
        Key::Service(_) => {
            let mut service = service(which, NAMES[usize::from(detail % 4)], template);
            service.version = version;
            if detail % 3 == 0 {
                service.previous = Some(StoredSpec { template: id(detail % 3 + 1), ..service.current.clone() });
            }
            Object::Service(Arc::new(service))
        }
        Key::Task(task_id) => Object::Task(Arc::new(changed_task(state, task_id, wish, template, version))),
        Key::Spec(_) => Object::Spec(Arc::new(spec(which, "web"))),
        Key::Secret(_) => {
            let secret = payload(which, NAMES[usize::from(detail % 4)]);
            Object::Secret(Arc::new(Secret { version, ..secret }))
        }
        Key::Config(_) => {
            let config = payload(which, NAMES[usize::from(detail % 4)]);
            Object::Config(Arc::new(Config { version, ..config }))
        }
        Key::Cluster => {
            let mut cluster = cluster();
            cluster.api.version = version;
            Object::Cluster(Arc::new(cluster))
        }
    };
    Change::Put { replaces: if matches!(key, Key::Spec(_)) { Version::default() } else { version }, object }
}

fn changed_task(state: &State, id_: TaskId, wish: Wish, template: SpecId, version: Version) -> Task {
    let made = task(wish.which, id(wish.detail % 3 + 1), template);
    let mut task = state.task(id_).map_or(made, |t| (**t).clone());
    task.version = version;
    task.spec = template;
    task.node_id = Some(wish.detail % 4).filter(|n| *n > 0).map(id);
    task.service_id = Some(wish.detail % 7).filter(|n| *n > 0).map(|n| id(n % 3 + 1));
    let states = TaskState::ALL;
    let at = states.iter().position(|s| *s == task.status.state).unwrap_or(0);
    task.status.state = states[(at + usize::from(wish.detail % 3)).min(states.len() - 1)];
    if wish.fault == 1 {
        task.status.state = states[usize::from(wish.detail) % states.len()];
    }
    task
}

/// Recomputes from the tables what the indexes say, by the public questions only.
fn check_indexes(state: &State) -> Result<(), TestCaseError> {
    let mut by_service: BTreeMap<ServiceId, BTreeSet<TaskId>> = BTreeMap::new();
    let mut by_node: BTreeMap<NodeId, BTreeSet<TaskId>> = BTreeMap::new();
    let mut uses: BTreeMap<SpecId, u64> = BTreeMap::new();
    for task in state.tasks() {
        if let Some(service) = task.service_id {
            by_service.entry(service).or_default().insert(task.id);
        }
        if let Some(node) = task.node_id {
            by_node.entry(node).or_default().insert(task.id);
        }
        *uses.entry(task.spec).or_default() += 1;
    }
    for service in state.services() {
        for stored in std::iter::once(&service.current).chain(&service.previous) {
            *uses.entry(stored.template).or_default() += 1;
        }
        let named = state.service_named(&service.current.spec.name.to_uppercase()).map(|s| s.id);
        prop_assert_eq!(named, Some(service.id));
    }
    for name in NAMES {
        let holder = state.services().find(|s| s.current.spec.name.eq_ignore_ascii_case(name)).map(|s| s.id);
        prop_assert_eq!(state.service_named(name).map(|s| s.id), holder);
        let holder = state.live_networks().find(|n| n.spec.name.eq_ignore_ascii_case(name)).map(|n| n.id);
        prop_assert_eq!(state.network_named(name).map(|n| n.id), holder);
        let holder = state.secrets().find(|s| s.spec.name.eq_ignore_ascii_case(name)).map(|s| s.id);
        prop_assert_eq!(state.secret_named(name).map(|s| s.id), holder);
        let holder = state.configs().find(|c| c.spec.name.eq_ignore_ascii_case(name)).map(|c| c.id);
        prop_assert_eq!(state.config_named(name).map(|c| c.id), holder);
    }
    for number in 0..6 {
        let of_service: BTreeSet<TaskId> = state.tasks_of_service(id(number)).map(|t| t.id).collect();
        prop_assert_eq!(of_service, by_service.get(&id(number)).cloned().unwrap_or_default());
        let of_node: BTreeSet<TaskId> = state.tasks_of_node(id(number)).map(|t| t.id).collect();
        prop_assert_eq!(of_node, by_node.get(&id(number)).cloned().unwrap_or_default());
        let spec: SpecId = id(number);
        let expected = uses.get(&spec).copied().unwrap_or(0);
        prop_assert_eq!(state.spec_uses(spec), expected);
        prop_assert_eq!(state.unused_specs().any(|s| s == spec), expected == 0 && state.spec(spec).is_some());
        prop_assert!(expected == 0 || state.spec(spec).is_some(), "a template that is named is stored");
    }
    prop_assert_eq!(state.services_with_tasks().collect::<BTreeSet<_>>(), by_service.keys().copied().collect::<BTreeSet<_>>());
    Ok(())
}

fn snapshot(state: &State) -> Vec<u8> {
    let mut bytes = Vec::new();
    state.write_to(&mut bytes).expect("writes to memory");
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_proposed_the_state_is_sound(
        entries in prop::collection::vec(prop::collection::vec((0_u8..3, prop::collection::vec(wish(), 1..4)), 1..4), 1..25),
    ) {
        let mut state = State::default();
        let mut twin = State::default();
        let mut watched: BTreeMap<Key, Object> = BTreeMap::new();
        for (number, wishes) in entries.into_iter().enumerate() {
            let index = number as u64 * 2 + 1;
            let entry: Vec<_> = wishes.into_iter().map(|(by, wishes)| {
                let by = [Actor::Planner, Actor::Agent, Actor::Operator][usize::from(by)];
                batch(by, wishes.into_iter().map(|w| change(&state, w)).collect())
            }).collect();
            let before = state.clone();
            let applied = state.apply(index, entry.clone());
            prop_assert_eq!(applied.results.len(), entry.len());
            // The same entry does the same to an equal state, also after it was a snapshot.
            if number % 4 == 3 {
                twin = State::read_from(&mut &snapshot(&twin)[..]).expect("reads back");
            }
            prop_assert_eq!(&twin.apply(index, entry), &applied);
            prop_assert!(twin == state);
            if applied.results.iter().all(Result::is_err) {
                prop_assert_eq!(&applied.events, &[]);
                let mut undone = state.clone();
                undone.skip(before.applied());
                prop_assert!(undone == before, "a conflict leaves no trace");
            }
            check_indexes(&state)?;
            // Whoever follows the events has what the tables have.
            for event in &applied.events {
                prop_assert_eq!(watched.get(&event.key), event.old.as_ref());
                match &event.new {
                    Some(new) => watched.insert(event.key, new.clone()),
                    None => watched.remove(&event.key),
                };
                prop_assert!(event.new.as_ref().is_none_or(|n| matches!(n, Object::Spec(_)) || n.version().index == index));
                prop_assert_eq!(state.changed(event.key.table()), index);
            }
            for (key, object) in &watched {
                prop_assert_eq!(state.get(*key), Some(object.clone()));
            }
        }
        let objects = state.secrets().count() + state.configs().count() + state.nodes().count() + state.services().count() + state.tasks().count() + state.specs().count() + state.networks().count();
        prop_assert_eq!(objects + usize::from(state.cluster().is_some()), watched.len());
    }

    #[test]
    fn a_snapshot_that_was_cut_or_bent_is_an_error_and_never_half_a_state(
        wishes in prop::collection::vec(wish(), 1..20),
        cut: prop::sample::Index,
        bent: u8,
    ) {
        let mut state = State::default();
        for (number, wish) in wishes.into_iter().enumerate() {
            let changes = vec![change(&state, wish)];
            state.apply(number as u64 + 1, vec![batch(Actor::Planner, changes)]);
        }
        let whole = snapshot(&state);
        let read = State::read_from(&mut &whole[..]).expect("reads back");
        prop_assert!(read == state);
        check_indexes(&read)?;
        let cut = cut.index(whole.len());
        prop_assert!(State::read_from(&mut &whole[..cut]).is_err(), "{} of {} bytes are not a snapshot", cut, whole.len());
        let mut other = whole;
        other[0] = bent;
        prop_assert_eq!(State::read_from(&mut &other[..]).is_ok(), bent == 1);
    }
}
