use super::*;

/// Two services with tasks on two nodes: `web.1` on m1, `web.2` on w1, and one of the global `agent` on w1.
async fn world() -> (World, [TaskId; 3]) {
    let world = World::new();
    world.worker(2, "w1").await;
    let (_, web) = world.post("/services/create", &with(spec("web"), "/Labels", json!({"tier": "front"}))).await;
    let web: ServiceId = web["ID"].as_str().unwrap().parse().unwrap();
    let (_, agent) = world.post("/services/create", &with(spec("agent"), "/Mode", json!({"Global": {}}))).await;
    let agent: ServiceId = agent["ID"].as_str().unwrap().parse().unwrap();
    let tasks = [world.task(1, web, 1, Some(1)).await, world.task(2, web, 2, Some(2)).await, world.task(3, agent, 0, Some(2)).await];
    (world, tasks)
}

#[tokio::test]
async fn tasks_are_found_by_id_name_and_beginning() {
    let (world, [one, _, global]) = world().await;
    let name = format!("web.1.{one}");
    let global_name = format!("agent.{}.{global}", node_id(2));
    for (input, id) in [(one.as_str(), one), (&name, one), (&one.as_str()[..5], one), (&global_name, global)] {
        let (status, task) = world.get(&format!("/tasks/{input}")).await;
        assert_eq!((status, task["ID"].as_str()), (StatusCode::OK, Some(id.as_str())), "{input}");
    }
    let (_, task) = world.get(&format!("/tasks/{one}")).await;
    assert_eq!(task["Spec"]["ContainerSpec"]["Image"], "nginx:latest");
    assert_eq!(
        (task["Slot"].as_u64(), task["DesiredState"].as_str(), task["Status"]["State"].as_str()),
        (Some(1), Some("running"), Some("running"))
    );
    for missing in ["nope", "web.1", &format!("web.2.{one}")] {
        let (status, body) = world.get(&format!("/tasks/{missing}")).await;
        assert_eq!((status, message(&body)), (StatusCode::NOT_FOUND, format!("task {missing} not found").as_str()));
    }
    let (status, body) = world.get(&format!("/tasks/{}", &one.as_str()[..1])).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(message(&body).contains("is ambiguous (3 matches found)"), "{body}");
}

#[tokio::test]
async fn the_list_is_filtered() {
    let (world, [one, two, three]) = world().await;
    let mut stopped = (**world.store.state().task(two).unwrap()).clone();
    stopped.desired_state = TaskState::Shutdown;
    world.put(Object::Task(Arc::new(stopped))).await;
    let found = async |pairs: &[(&str, &str)]| {
        let (status, list) = world.get(&format!("/tasks?{}", filter(pairs))).await;
        assert_eq!(status, StatusCode::OK, "{list}");
        let number = |id: &str| [one, two, three].iter().position(|t| t.as_str() == id).unwrap() + 1;
        field(&list, "/ID").into_iter().map(|id| number(id).to_string()).collect::<Vec<String>>().join(" ")
    };
    let id = one.to_string();
    for (pairs, expected) in [
        (&[][..], "1 2 3"),
        (&[("service", "web")], "1 2"),
        (&[("service", "web"), ("service", "agent")], "1 2 3"),
        (&[("node", "w1")], "2 3"),
        (&[("service", "web"), ("node", "w1")], "2"),
        (&[("desired-state", "shutdown")], "2"),
        (&[("desired-state", "RUNNING"), ("desired-state", "shutdown")], "1 2 3"),
        (&[("id", &id[..6])], "1"),
        (&[("name", "web.1")], "1"),
        (&[("label", "tier=front")], "1 2"),
        (&[("runtime", "container")], "1 2 3"),
        (&[("runtime", "plugin")], ""),
        (&[("_up-to-date", "true"), ("service", "web")], "1 2"),
    ] {
        assert_eq!(found(pairs).await, expected, "{pairs:?}");
    }
    for (key, value, status, text) in [
        ("service", "nope", StatusCode::NOT_FOUND, "service nope not found"),
        ("node", "nope", StatusCode::NOT_FOUND, "node nope not found"),
        ("desired-state", "asleep", StatusCode::BAD_REQUEST, "Invalid desired-state filter: 'asleep'"),
        ("mode", "x", StatusCode::BAD_REQUEST, "invalid filter 'mode'"),
    ] {
        let (got, body) = world.get(&format!("/tasks?{}", filter(&[(key, value)]))).await;
        assert_eq!((got, message(&body)), (status, text));
    }
}

#[tokio::test]
async fn tasks_of_an_older_template_are_not_up_to_date() {
    let (world, [one, ..]) = world().await;
    let service = world.store.state().task(one).unwrap().service_id.unwrap();
    let current =
        async || field(&world.get(&format!("/tasks?{}", filter(&[("service", "web"), ("_up-to-date", "true")]))).await.1, "/ID").len();
    let update = async |body: &Value| world.update("web", world.stored(service).version.index, body).await.0;
    let base = with(spec("web"), "/Labels", json!({"tier": "front"}));
    update(&with(base.clone(), "/Mode/Replicated/Replicas", json!(7))).await;
    assert_eq!(current().await, 2, "scaling changes no task");
    update(&with(base.clone(), "/TaskTemplate/Placement/Constraints", json!(["node.hostname==w1"]))).await;
    assert_eq!(current().await, 1, "one of them is where it may not be any more");
    update(&with(base, "/TaskTemplate/ContainerSpec/Image", json!("nginx:2"))).await;
    assert_eq!(current().await, 0);
}
