use super::*;

fn wanted(role: &str, availability: &str) -> Value {
    json!({"Role": role, "Availability": availability, "Labels": {"zone": "a"}})
}

#[tokio::test]
async fn nodes_are_found_and_managers_say_how_they_stand() {
    let world = World::new();
    world.worker(2, "w1").await;
    let (_, list) = world.get("/nodes").await;
    assert_eq!(field(&list, "/Description/Hostname"), ["m1", "w1"]);
    assert_eq!(list[0]["ManagerStatus"], json!({"Leader": true, "Reachability": "reachable", "Addr": "10.0.0.1:2377"}));
    assert_eq!(list[1].get("ManagerStatus"), None);
    let id = node_id(2).to_string();
    for input in ["w1", &id, &id[..6]] {
        let (status, node) = world.get(&format!("/nodes/{input}")).await;
        assert_eq!((status, node["ID"].as_str()), (StatusCode::OK, Some(id.as_str())), "{input}");
    }
    let (status, body) = world.get("/nodes/nope").await;
    assert_eq!((status, message(&body)), (StatusCode::NOT_FOUND, "node nope not found"));
    world.worker(3, "w1").await;
    let (status, body) = world.get("/nodes/w1").await;
    assert_eq!((status, message(&body)), (StatusCode::BAD_REQUEST, "node w1 is ambiguous (2 matches found)"));
}

#[tokio::test]
async fn the_list_is_filtered() {
    let world = World::new();
    let mut labelled = node(2, "w1", Role::Worker);
    labelled.api.spec.labels.insert("zone".into(), "a".into());
    labelled.api.description.engine.labels.insert("disk".into(), "ssd".into());
    world.put(Object::Node(Arc::new(labelled))).await;
    world.worker(3, "x1").await;
    let names = async |pairs: &[(&str, &str)]| {
        let (status, list) = world.get(&format!("/nodes?{}", filter(pairs))).await;
        assert_eq!(status, StatusCode::OK, "{list}");
        field(&list, "/Description/Hostname").join(" ")
    };
    let id = node_id(3).to_string();
    for (pairs, expected) in [
        (&[][..], "m1 w1 x1"),
        (&[("role", "worker")], "w1 x1"),
        (&[("role", "Manager")], "m1"),
        (&[("name", "w")], "w1"),
        (&[("id", &id[..4])], "x1"),
        (&[("label", "disk")], "w1"),
        (&[("label", "zone")], ""),
        (&[("node.label", "zone=a")], "w1"),
        (&[("membership", "accepted")], "m1 w1 x1"),
        (&[("membership", "pending")], ""),
    ] {
        assert_eq!(names(pairs).await, expected, "{pairs:?}");
    }
    for (key, value, text) in [
        ("role", "boss", "Invalid role filter: 'boss'"),
        ("membership", "maybe", "Invalid membership filter: 'maybe'"),
        ("mode", "x", "invalid filter 'mode'"),
    ] {
        let (status, body) = world.get(&format!("/nodes?{}", filter(&[(key, value)]))).await;
        assert_eq!((status, message(&body)), (StatusCode::BAD_REQUEST, text));
    }
}

#[tokio::test]
async fn labels_and_availability_change_though_the_status_does_too() {
    let world = World::new();
    world.worker(2, "w1").await;
    let stored = || (**world.store.state().node(node_id(2)).unwrap()).clone();
    let read = stored();
    let mut beat = read.clone();
    beat.api.status.message = "heard of".into();
    world.put(Object::Node(Arc::new(beat))).await;
    let path = |version: u64| format!("/nodes/w1/update?version={version}");
    assert_eq!(world.post(&path(read.api.version.index), &wanted("worker", "drain")).await, (StatusCode::OK, Value::Null));
    let after = stored();
    assert_eq!((after.api.spec.availability.as_str(), after.api.spec.labels["zone"].as_str()), ("drain", "a"));
    assert_eq!(after.api.status.message, "heard of");
    for version in [0, read.api.version.index, after.api.version.index + 1] {
        let (status, body) = world.post(&path(version), &wanted("worker", "active")).await;
        assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(message(&body), "rpc error: code = Unknown desc = update out of sequence");
    }
}

#[tokio::test]
async fn words_of_an_update_must_be_given_and_known() {
    let world = World::new();
    world.worker(2, "w1").await;
    let cases = [
        (json!({}), "invalid Role: \"\""),
        (wanted("boss", "active"), "invalid Role: \"boss\""),
        (wanted("worker", ""), "invalid Availability: \"\""),
        (wanted("worker", "busy"), "invalid Availability: \"busy\""),
        (json!({"Role": 1}), "invalid JSON: cannot unmarshal number 1 into field Role of type a string"),
    ];
    for (body, text) in cases {
        let (status, answer) = world.post("/nodes/w1/update?version=3", &body).await;
        assert_eq!((status, message(&answer)), (StatusCode::BAD_REQUEST, text));
    }
    let (status, body) = world.post("/nodes/w1/update", &wanted("worker", "active")).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert_eq!(message(&body), "invalid node version '': strconv.ParseUint: parsing \"\": invalid syntax");
}

#[tokio::test]
async fn roles_change_unless_that_leaves_too_few_managers() {
    let world = World::new();
    world.worker(2, "w1").await;
    let change = async |name: &str, number: u8, role: &str| {
        let version = world.store.state().node(node_id(number)).unwrap().api.version.index;
        let (status, body) = world.post(&format!("/nodes/{name}/update?version={version}"), &wanted(role, "active")).await;
        (status, body["message"].as_str().unwrap_or_default().to_owned())
    };
    let roles = |number: u8| {
        let state = world.store.state();
        let node = state.node(node_id(number)).unwrap();
        (node.api.spec.role, node.role)
    };
    let refused = |text: &str| (StatusCode::BAD_REQUEST, format!("rpc error: code = FailedPrecondition desc = {text}"));
    let (last, quorum) = (
        refused("attempting to demote the last manager of the swarm"),
        refused("can't remove member from the raft: this would result in a loss of quorum"),
    );
    assert_eq!(change("m1", 1, "worker").await, last);
    world.put(Object::Node(Arc::new(node(3, "m2", Role::Manager)))).await;
    world.put(Object::Node(Arc::new(node(4, "m3", Role::Manager)))).await;
    world.log.set_peers(vec![peer(1, true, true), peer(3, false, true), peer(4, false, false)]);
    assert_eq!(change("m1", 1, "worker").await, quorum);
    // Only what is wanted is written; the node follows when its leader says so.
    assert_eq!(change("m3", 4, "worker").await.0, StatusCode::OK);
    assert_eq!(roles(4), (Role::Worker, Role::Manager));
    // The one that goes does not count any more, neither as missing nor as there.
    assert_eq!(change("m2", 3, "worker").await.0, StatusCode::OK);
    assert_eq!(change("m1", 1, "worker").await, last);
    assert_eq!(change("w1", 2, "manager").await.0, StatusCode::OK);
    assert_eq!(roles(2), (Role::Manager, Role::Worker));
    // It is on its way, but no member yet: it cannot stand in for the last voter, but may turn back.
    assert_eq!(change("m1", 1, "worker").await, quorum);
    assert_eq!(change("w1", 2, "worker").await.0, StatusCode::OK);
}

#[tokio::test]
async fn only_a_worker_that_is_down_is_removed_unless_forced() {
    let world = World::new();
    world.worker(2, "w1").await;
    world.worker(3, "w2").await;
    let refused = |text: String| format!("rpc error: code = FailedPrecondition desc = {text}");
    let (status, body) = world.delete("/nodes/m1?force=1").await;
    let text = format!(
        "node {} is a cluster manager and is a member of the raft cluster. It must be demoted to worker before removal",
        node_id(1)
    );
    assert_eq!((status, message(&body)), (StatusCode::BAD_REQUEST, refused(text).as_str()));
    let (status, body) = world.delete("/nodes/w1?force=0").await;
    let text = format!("node {} is not down and can't be removed", node_id(2));
    assert_eq!((status, message(&body)), (StatusCode::BAD_REQUEST, refused(text).as_str()));

    let mut down = (**world.store.state().node(node_id(2)).unwrap()).clone();
    down.api.status.state = NodeState::Down;
    world.put(Object::Node(Arc::new(down))).await;
    let web = world.service("web").await;
    let task = world.task(1, web, 1, Some(2)).await;
    assert_eq!(world.delete("/nodes/w1").await, (StatusCode::OK, Value::Null));
    let state = world.store.state();
    assert!(state.node(node_id(2)).is_none());
    assert!(state.cluster().unwrap().removed_nodes.contains_key(&node_id(2)));
    let task = state.task(task).unwrap();
    assert_eq!((task.status.state, task.status.message.as_str()), (TaskState::Orphaned, "Task belonged to a node that has been deleted"));

    assert_eq!(world.delete("/nodes/w2?force=true").await.0, StatusCode::OK);
    let (status, body) = world.delete("/nodes/w2").await;
    assert_eq!((status, message(&body)), (StatusCode::NOT_FOUND, "node w2 not found"));
}
