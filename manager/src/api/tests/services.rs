use super::*;
use swarm_types::{UpdateState, UpdateStatus};

#[tokio::test]
async fn a_created_service_reads_back_with_dockers_words() {
    let world = World::new();
    let (status, created) = world.post("/services/create", &spec("web")).await;
    assert_eq!(status, StatusCode::CREATED);
    assert_eq!(created["Warnings"], json!([]));
    let id = created["ID"].as_str().unwrap();
    for input in [id, "web", &id[..5]] {
        let (status, service) = world.get(&format!("/services/{input}")).await;
        assert_eq!((status, service["ID"].as_str()), (StatusCode::OK, Some(id)), "{input}");
    }
    let (_, service) = world.get("/services/web").await;
    assert_eq!(service["Version"]["Index"], 2);
    assert_eq!(service["Spec"]["Mode"], json!({"Replicated": {"Replicas": 2}}));
    assert_eq!(service["Spec"]["Labels"], json!({}));
    assert_eq!(service["Spec"]["TaskTemplate"]["Runtime"], "container");
    assert_eq!(service["Spec"]["TaskTemplate"]["ContainerSpec"]["Isolation"], "default");
    assert_eq!(service["Spec"].get("UpdateConfig"), None);
    let (_, full) = world.get("/services/web?insertDefaults=true").await;
    assert_eq!(full["Spec"]["UpdateConfig"]["Parallelism"], 1);
    assert_eq!(full["Spec"]["TaskTemplate"]["RestartPolicy"]["Delay"], 5_000_000_000_u64);
    let (status, body) = world.get("/services/web?insertDefaults=x").await;
    let text = "invalid value for insertDefaults: x: strconv.ParseBool: parsing \"x\": invalid syntax";
    assert_eq!((status, message(&body)), (StatusCode::BAD_REQUEST, text));
}

#[tokio::test]
async fn no_name_gets_one_and_no_mode_is_one_replica() {
    let world = World::new();
    let (_, created) = world.post("/services/create", &json!({"TaskTemplate": {"ContainerSpec": {"Image": "x"}}})).await;
    let (_, service) = world.get(&format!("/services/{}", created["ID"].as_str().unwrap())).await;
    assert!(service["Spec"]["Name"].as_str().unwrap().contains('_'));
    assert_eq!(service["Spec"]["Mode"], json!({"Replicated": {"Replicas": 1}}));
}

#[tokio::test]
async fn names_are_unique_ignoring_case_and_found_as_written() {
    let world = World::new();
    world.service("Web").await;
    for taken in ["Web", "web"] {
        let (status, body) = world.post("/services/create", &spec(taken)).await;
        assert_eq!(status, StatusCode::CONFLICT);
        let text = format!("rpc error: code = AlreadyExists desc = name conflicts with an existing object: service {taken} already exists");
        assert_eq!(message(&body), text);
    }
    let (status, body) = world.get("/services/web").await;
    assert_eq!((status, message(&body)), (StatusCode::NOT_FOUND, "service web not found"));
}

#[tokio::test]
async fn the_beginning_of_an_id_must_fit_one() {
    let world = World::new();
    for number in 0..60 {
        world.service(&format!("s{number}")).await;
    }
    // Two of sixty ids begin alike: there are 36 first characters. Ids hold 128 bits, so the first one is no more than "f".
    let ids: Vec<String> = world.store.state().services().map(|s| s.id.to_string()).collect();
    let first = |c: &str| ids.iter().filter(|id| id.starts_with(c)).count();
    let (start, found) = ids.iter().map(|id| (&id[..1], first(&id[..1]))).max_by_key(|(_, n)| *n).unwrap();
    let (status, body) = world.get(&format!("/services/{start}")).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert_eq!(message(&body), format!("service {start} is ambiguous ({found} matches found)"));
    // An exact name goes before the beginning of an id.
    world.service(start).await;
    let (_, service) = world.get(&format!("/services/{start}")).await;
    assert_eq!(service["Spec"]["Name"], start);
}

#[tokio::test]
async fn the_list_is_filtered() {
    let world = World::new();
    let web = world.service("web").await;
    world.post("/services/create", &with(with(spec("webapp"), "/Labels", json!({"tier": "front"})), "/Mode", json!({"Global": {}}))).await;
    world.service("db").await;
    let names = async |pairs: &[(&str, &str)]| {
        let (status, list) = world.get(&format!("/services?{}", filter(pairs))).await;
        assert_eq!(status, StatusCode::OK, "{list}");
        let mut names: Vec<String> = field(&list, "/Spec/Name").into_iter().map(str::to_owned).collect();
        names.sort();
        names.join(" ")
    };
    assert_eq!(names(&[]).await, "db web webapp");
    assert_eq!(names(&[("name", "web")]).await, "web webapp");
    assert_eq!(names(&[("name", "web"), ("name", "db")]).await, "db web webapp");
    assert_eq!(names(&[("id", &web.as_str()[..8])]).await, "web");
    assert_eq!(names(&[("label", "tier")]).await, "webapp");
    assert_eq!(names(&[("label", "tier=back")]).await, "");
    assert_eq!(names(&[("mode", "global")]).await, "webapp");
    assert_eq!(names(&[("mode", "replicated"), ("name", "web")]).await, "web");
    assert_eq!(names(&[("runtime", "plugin")]).await, "");
    let (status, body) = world.get(&format!("/services?{}", filter(&[("nope", "x")]))).await;
    assert_eq!((status, message(&body)), (StatusCode::BAD_REQUEST, "invalid filter 'nope'"));
    let (status, body) = world.get("/services?filters=%7B").await;
    assert_eq!((status, message(&body)), (StatusCode::BAD_REQUEST, "invalid filter"));
}

#[tokio::test]
async fn counts_are_shown_to_those_who_ask_and_know_them() {
    let world = World::new();
    let web = world.service("web").await;
    world.task(1, web, 1, Some(1)).await;
    let (_, list) = world.get("/services?status=true").await;
    assert_eq!(list[0]["ServiceStatus"], json!({"RunningTasks": 1, "DesiredTasks": 2, "CompletedTasks": 0}));
    let (_, list) = world.get("/services").await;
    assert_eq!(list[0].get("ServiceStatus"), None);
    let (_, list) = world.get("/v1.40/services?status=true").await;
    assert_eq!(list[0].get("ServiceStatus"), None);
}

#[tokio::test]
async fn an_update_names_the_version_it_read() {
    let world = World::new();
    let id = world.service("web").await;
    let version = world.stored(id).version.index;
    let scaled = with(spec("web"), "/Mode/Replicated/Replicas", json!(5));
    for wrong in [0, version - 1, version + 1, u64::MAX] {
        let (status, body) = world.update("web", wrong, &scaled).await;
        assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(message(&body), "rpc error: code = Unknown desc = update out of sequence");
    }
    let (status, body) = world.update("web", version, &scaled).await;
    assert_eq!((status, body), (StatusCode::OK, json!({"Warnings": []})));
    let (status, _) = world.update("web", version, &scaled).await;
    assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR, "the version was used up, though nothing would change");
    let stored = world.stored(id);
    assert_eq!(stored.current.spec.mode.replicated.as_ref().unwrap().replicas, Some(5));
    assert_eq!(stored.previous.unwrap().spec.mode.replicated.as_ref().unwrap().replicas, Some(2));
}

#[tokio::test]
async fn notes_of_the_updater_do_not_disturb_an_update() {
    let world = World::new();
    let id = world.service("web").await;
    let read = world.stored(id);
    let noted = Service { update: Some(UpdateStatus { state: UpdateState::Updating, ..UpdateStatus::default() }), ..read.clone() };
    world.put(Object::Service(Arc::new(noted))).await;
    assert!(world.stored(id).version > read.version);
    assert_eq!(world.stored(id).spec_version, read.spec_version);
    let (status, body) = world.update("web", read.version.index, &with(spec("web"), "/Labels", json!({"a": "b"}))).await;
    assert_eq!(status, StatusCode::OK, "{body}");
    assert!(world.stored(id).spec_version > read.version);
}

#[tokio::test]
async fn of_many_updates_of_one_version_one_is_accepted() {
    let world = Arc::new(World::new());
    let id = world.service("web").await;
    let version = world.stored(id).version.index;
    let tries = (0..20u64).map(|n| {
        let world = Arc::clone(&world);
        tokio::spawn(async move { world.update("web", version, &with(spec("web"), "/Mode/Replicated/Replicas", json!(n))).await.0 })
    });
    let results: Vec<StatusCode> = futures_util::future::join_all(tries).await.into_iter().map(Result::unwrap).collect();
    assert_eq!(results.iter().filter(|s| **s == StatusCode::OK).count(), 1, "{results:?}");
    assert_eq!(results.iter().filter(|s| **s == StatusCode::INTERNAL_SERVER_ERROR).count(), 19);
}

#[tokio::test]
async fn services_keep_name_and_mode() {
    let world = World::new();
    let id = world.service("web").await;
    let version = world.stored(id).version.index;
    let cases = [
        (spec("other"), "renaming services is not supported"),
        (with(spec("web"), "/Mode", json!({"Global": {}})), "service mode change is not allowed"),
    ];
    for (body, text) in cases {
        let (status, answer) = world.update("web", version, &body).await;
        assert_eq!(status, StatusCode::NOT_IMPLEMENTED);
        assert_eq!(message(&answer), format!("rpc error: code = Unimplemented desc = {text}"));
    }
    let (status, body) = world.post("/services/web/update?version=x", &spec("web")).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert_eq!(message(&body), "invalid service version 'x': strconv.ParseUint: parsing \"x\": invalid syntax");
    let (status, body) = world.update("nope", version, &spec("nope")).await;
    assert_eq!((status, message(&body)), (StatusCode::NOT_FOUND, "service nope not found"));
}

#[tokio::test]
async fn a_rollback_swaps_the_specs() {
    let world = World::new();
    let id = world.service("web").await;
    let version = world.stored(id).version.index;
    let rollback =
        async |version: u64, query: &str| world.post(&format!("/services/web/update?version={version}&{query}"), &spec("web")).await;
    let (status, body) = rollback(version, "rollback=previous").await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert_eq!(message(&body), format!("rpc error: code = FailedPrecondition desc = service {id} does not have a previous spec"));
    let (status, body) = rollback(version, "rollback=sideways").await;
    assert_eq!((status, message(&body)), (StatusCode::BAD_REQUEST, "unrecognized rollback option sideways"));
    let (status, body) = rollback(version, "registryAuthFrom=previous-spec").await;
    assert_eq!((status, message(&body)), (StatusCode::BAD_REQUEST, "service does not have a previous spec"));
    let (status, body) = rollback(version, "registryAuthFrom=moon").await;
    assert_eq!((status, message(&body)), (StatusCode::BAD_REQUEST, "unsupported registryAuthFrom value"));
    world.update("web", version, &with(spec("web"), "/Mode/Replicated/Replicas", json!(9))).await;
    let (status, body) = rollback(world.stored(id).version.index, "rollback=previous&registryAuthFrom=spec").await;
    assert_eq!(status, StatusCode::OK, "{body}");
    let stored = world.stored(id);
    assert_eq!(stored.current.spec.mode.replicated.as_ref().unwrap().replicas, Some(2));
    assert_eq!(stored.previous.unwrap().spec.mode.replicated.as_ref().unwrap().replicas, Some(9));
    assert_eq!(stored.update.unwrap().state, UpdateState::RollbackStarted);
}

#[tokio::test]
async fn a_removed_service_is_gone() {
    let world = World::new();
    let id = world.service("web").await;
    world.task(1, id, 1, None).await;
    assert_eq!(world.delete("/services/web").await, (StatusCode::OK, Value::Null));
    let (status, body) = world.delete("/services/web").await;
    assert_eq!((status, message(&body)), (StatusCode::NOT_FOUND, "service web not found"));
    assert!(world.store.state().service(id).is_none());
    world.service("web").await;
}

#[tokio::test]
async fn host_ports_may_be_shared_and_many_may_come_at_once() {
    let world = Arc::new(World::new());
    let port = |n: u32| json!([{"TargetPort": 80, "PublishedPort": n, "PublishMode": "host"}]);
    let tries = (0..40u32).map(|n| {
        let (world, body) = (Arc::clone(&world), with(spec(&format!("s{n}")), "/EndpointSpec/Ports", port(8000 + n % 2)));
        tokio::spawn(async move { world.post("/services/create", &body).await })
    });
    for result in futures_util::future::join_all(tries).await {
        let (status, body) = result.unwrap();
        assert_eq!(status, StatusCode::CREATED, "{body}");
    }
}

#[tokio::test]
async fn a_port_of_the_mesh_excludes_others() {
    let world = World::new();
    let holder = world.service("holder").await;
    // As a later version stores it: the mesh has port 80.
    let mut stored = world.stored(holder);
    stored.endpoint.ports = serde_json::from_value(json!([{"TargetPort": 80, "PublishedPort": 80, "PublishMode": "ingress"}])).unwrap();
    world.put(Object::Service(Arc::new(stored))).await;
    let wants = with(spec("web"), "/EndpointSpec/Ports", json!([{"TargetPort": 80, "PublishedPort": 80, "PublishMode": "host"}]));
    let text =
        format!("rpc error: code = InvalidArgument desc = port '80' is already in use by service 'holder' ({holder}) as an ingress port");
    let (status, body) = world.post("/services/create", &wants).await;
    assert_eq!((status, message(&body)), (StatusCode::BAD_REQUEST, text.as_str()));
    let web = world.service("web").await;
    let (status, body) = world.update("web", world.stored(web).version.index, &wants).await;
    assert_eq!((status, message(&body)), (StatusCode::BAD_REQUEST, text.as_str()));
    let udp = with(
        wants.clone(),
        "/EndpointSpec/Ports",
        json!([{"TargetPort": 80, "PublishedPort": 80, "PublishMode": "host", "Protocol": "udp"}]),
    );
    assert_eq!(world.update("web", world.stored(web).version.index, &udp).await.0, StatusCode::OK);
}

#[tokio::test]
async fn credentials_are_not_used_but_said_so() {
    let world = World::new();
    let create = async |name: &str, auth: &str| {
        let request = Request::post("/services/create").header("x-registry-auth", auth).body(Body::from(spec(name).to_string()));
        read(world.send(request.unwrap()).await).await
    };
    assert_eq!(create("a", "e30=").await.1["Warnings"], json!([]));
    // {"username":"me","password":"p"}
    let (status, body) = create("b", "eyJ1c2VybmFtZSI6Im1lIiwicGFzc3dvcmQiOiJwIn0").await;
    assert_eq!(status, StatusCode::CREATED);
    assert!(body["Warnings"][0].as_str().unwrap().contains("--with-registry-auth"));
}

#[tokio::test]
async fn old_clients_send_less() {
    let world = World::new();
    let body = with(spec("old"), "/TaskTemplate/ContainerSpec/CapabilityAdd", json!(["CAP_NET_ADMIN"]));
    let request = Request::post("/services/create").header("x-swarm-api-version", "1.40").body(Body::from(body.to_string()));
    assert_eq!(world.send(request.unwrap()).await.status(), StatusCode::CREATED);
    world.post("/v1.41/services/create", &with(body, "/Name", json!("new"))).await;
    let caps = async |name: &str| {
        world.get(&format!("/services/{name}")).await.1["Spec"]["TaskTemplate"]["ContainerSpec"]["CapabilityAdd"].clone()
    };
    assert_eq!((caps("old").await, caps("new").await), (Value::Null, json!(["CAP_NET_ADMIN"])));
}
