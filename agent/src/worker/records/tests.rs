use super::*;
use swarm_session::{Assign, PayloadOrders};
use swarm_types::{TaskSpec, TaskState};

fn owner() -> NodeId {
    NodeId::from_random([9; 16])
}

fn task(n: u8) -> AssignedTask {
    AssignedTask {
        id: TaskId::from_random([n; 16]),
        spec: SpecId::from_random([1; 16]),
        slot: n.into(),
        desired_state: TaskState::Running,
        recorded_state: TaskState::Assigned,
        attachments: vec![],
        generic_resources: vec![],
    }
}

fn spec() -> SharedSpec {
    SharedSpec {
        id: SpecId::from_random([1; 16]),
        service_id: None,
        service_name: "web".into(),
        service_labels: BTreeMap::new(),
        template: TaskSpec::default(),
        endpoint: None,
    }
}

fn complete(generation: u64, tasks: Vec<AssignedTask>) -> Assign {
    Assign {
        from: None,
        generation: Generation(generation),
        specs: vec![spec()],
        tasks,
        removed: vec![],
        specs_removed: vec![],
        networks: swarm_session::NetworkOrders::default(),
        payloads: PayloadOrders::default(),
    }
}

fn open(dir: &Path) -> (Records, Found) {
    Records::open(dir, owner()).expect("opens")
}

#[test]
fn a_restarted_agent_finds_its_assignment_and_records() {
    let dir = tempfile::tempdir().expect("a folder");
    let (records, found) = open(dir.path());
    assert_eq!(found, Found::default());
    let mut view = AgentView::default();
    for assign in [complete(5, vec![task(1), task(2)]), complete(6, vec![task(2), task(3)])] {
        let old = view.clone();
        view.apply(assign).expect("applies");
        records.save_view(&old, &view).expect("saves");
    }
    let record = TaskRecord::new(&task(2), &spec(), owner());
    records.save_record(task(2).id, &record).expect("saves");
    records.save_record(task(1).id, &record).expect("saves");
    records.forget_record(task(1).id).expect("forgets");
    let node = NodeContext { hostname: "alpha".into(), ..NodeContext::default() };
    records.save_node(&node).expect("saves");
    records.flush().expect("flushes");
    drop(records);
    let (_records, found) = open(dir.path());
    assert_eq!(found.view, view);
    assert_eq!(found.records, BTreeMap::from([(task(2).id, record)]));
    assert_eq!(found.node, Some(node));
}

#[test]
fn records_of_another_node_are_dropped() {
    let dir = tempfile::tempdir().expect("a folder");
    let (records, _) = open(dir.path());
    records.save_record(task(1).id, &TaskRecord::new(&task(1), &spec(), owner())).expect("saves");
    drop(records);
    let (_records, found) = Records::open(dir.path(), NodeId::from_random([8; 16])).expect("opens");
    assert_eq!(found, Found::default());
}

#[test]
fn cleared_records_stay_empty() {
    let dir = tempfile::tempdir().expect("a folder");
    let (records, _) = open(dir.path());
    records.save_record(task(1).id, &TaskRecord::new(&task(1), &spec(), owner())).expect("saves");
    records.clear(owner()).expect("clears");
    drop(records);
    assert_eq!(open(dir.path()).1, Found::default());
}

#[test]
fn a_folder_in_use_is_refused_and_left_alone() {
    let dir = tempfile::tempdir().expect("a folder");
    let (_records, _) = open(dir.path());
    let error = Records::open(dir.path(), owner()).err().expect("it is locked");
    assert!(error.to_string().starts_with("could not open the task records in "), "{error}");
    assert!(!dir.path().with_extension("broken").exists());
}

#[test]
fn a_database_in_use_is_waited_for() {
    let dir = tempfile::tempdir().expect("a folder");
    let (first, _) = open(dir.path());
    let second = std::thread::scope(|scope| {
        let second = scope.spawn(|| Records::open(dir.path(), owner()).map(|_| ()));
        drop(first);
        second.join().expect("does not panic")
    });
    second.expect("opens once the first is gone");
}

#[test]
fn unreadable_records_are_set_aside() {
    let parent = tempfile::tempdir().expect("a folder");
    let dir = parent.path().join("worker");
    let (records, _) = open(&dir);
    records.save_record(task(1).id, &TaskRecord::new(&task(1), &spec(), owner())).expect("saves");
    records.disk.as_ref().expect("is on disk").db.insert(record_key(task(2).id), b"nonsense".as_slice()).expect("saves");
    drop(records);
    let (records, found) = open(&dir);
    assert_eq!(found, Found::default());
    assert!(dir.with_extension("broken").join("db").exists());
    records.save_record(task(1).id, &TaskRecord::new(&task(1), &spec(), owner())).expect("saves");
}
