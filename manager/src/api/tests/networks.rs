use super::*;
use swarm_types::NetworkId;

fn overlay(name: &str) -> Value {
    json!({"Name": name, "Driver": "overlay"})
}

fn subnet(name: &str, subnet: &str) -> Value {
    with(overlay(name), "/IPAM", json!({"Config": [{"Subnet": subnet}]}))
}

/// A spec of a service on these networks.
fn on(name: &str, networks: &[&str]) -> Value {
    let targets: Vec<Value> = networks.iter().map(|n| json!({"Target": n, "Aliases": ["db"]})).collect();
    with(spec(name), "/TaskTemplate/Networks", json!(targets))
}

impl World {
    /// Creates a network and returns its id.
    async fn network(&self, body: &Value) -> String {
        let (status, answer) = self.post("/networks/create", body).await;
        assert_eq!(status, StatusCode::CREATED, "{answer}");
        assert_eq!(answer["Warning"], "");
        answer["Id"].as_str().unwrap_or_else(|| panic!("no Id in {answer}")).to_owned()
    }

    async fn refused(&self, path: &str, body: &Value) -> (u16, String) {
        let (status, answer) = self.post(path, body).await;
        (status.as_u16(), message(&answer).to_owned())
    }
}

#[tokio::test]
async fn a_network_gets_the_next_subnet_and_identifier_and_reads_back_as_dockers() {
    let world = World::new();
    let first = world.network(&with(overlay("blue"), "/Labels", json!({"a": "1"}))).await;
    world.network(&overlay("green")).await;
    for input in ["blue", &first, &first[..12]] {
        let (status, network) = world.get(&format!("/v1.41/networks/{input}?verbose=false")).await;
        assert_eq!(status, StatusCode::OK);
        let expected = json!({
            "Name": "blue", "Id": first, "Scope": "swarm", "Driver": "overlay", "EnableIPv4": true, "EnableIPv6": false,
            "IPAM": {"Driver": "default", "Options": null, "Config": [{"Subnet": "10.0.0.0/24", "Gateway": "10.0.0.1"}]},
            "Internal": false, "Attachable": false, "Ingress": false, "ConfigFrom": {"Network": ""}, "ConfigOnly": false,
            "Containers": null, "Options": {"com.docker.network.driver.overlay.vxlanid_list": "4096"}, "Labels": {"a": "1"},
            "Created": network["Created"],
        });
        assert_eq!(network, expected);
    }
    let (_, green) = world.get("/networks/green").await;
    assert_eq!(green.pointer("/IPAM/Config/0/Subnet"), Some(&json!("10.0.1.0/24")));
    assert_eq!(green["Options"], json!({"com.docker.network.driver.overlay.vxlanid_list": "4097"}));
    let (status, body) = world.get("/networks/BLUE").await;
    assert_eq!((status, message(&body)), (StatusCode::NOT_FOUND, "network BLUE not found"));
}

#[tokio::test]
async fn what_is_named_is_kept_and_counts_for_the_others() {
    let world = World::new();
    let options = json!({"com.docker.network.driver.mtu": "1400", "com.docker.network.driver.overlay.vxlanid_list": "4096"});
    let body = with(with(subnet("wide", "10.0.0.0/16"), "/Options", options), "/Attachable", json!(true));
    world.network(&with(body, "/EnableIPv6", json!(true))).await;
    let (_, wide) = world.get("/networks/wide").await;
    assert_eq!((&wide["Attachable"], &wide["Options"]["com.docker.network.driver.mtu"]), (&json!(true), &json!("1400")));
    let v6 = wide.pointer("/IPAM/Config/1/Subnet").and_then(Value::as_str).unwrap_or_default();
    assert!(v6.starts_with("fd") && v6.ends_with("::/64"), "{wide}");
    world.network(&overlay("next")).await;
    let (_, next) = world.get("/networks/next").await;
    assert_eq!(next.pointer("/IPAM/Config/0/Subnet"), Some(&json!("10.1.0.0/24")));
    assert_eq!(next["Options"], json!({"com.docker.network.driver.overlay.vxlanid_list": "4097"}));
}

#[tokio::test]
async fn what_the_cluster_cannot_have_is_refused_in_dockers_words() {
    let world = World::new();
    world.network(&subnet("blue", "10.7.0.0/16")).await;
    let option = |key: &str, value: &str| with(overlay("x"), &format!("/Options/{key}"), json!(value));
    let rpc = |code: &str, text: &str| format!("rpc error: code = {code} desc = {text}");
    let overlap = "invalid pool request: Pool overlaps with other one on this address space";
    let cases = [
        (overlay("Blue"), 409, "network with name Blue already exists".to_owned()),
        (overlay("bridge"), 403, "bridge is a pre-defined network and cannot be created".to_owned()),
        (overlay("-"), 400, rpc("InvalidArgument", "name must be valid as a DNS name component")),
        (
            with(overlay("x"), "/Labels", json!({"com.docker.swarm.predefined": "true"})),
            403,
            rpc(
                "PermissionDenied",
                "label com.docker.swarm.predefined is for internally created predefined networks and cannot be applied by users",
            ),
        ),
        (subnet("x", "10.7.3.0/24"), 400, rpc("InvalidArgument", overlap)),
        (subnet("x", "10.0.0.0/8"), 400, rpc("InvalidArgument", overlap)),
        (subnet("x", "moon"), 400, rpc("InvalidArgument", "ipam configuration: invalid subnet moon")),
        (
            with(with(overlay("x"), "/Ingress", json!(true)), "/Attachable", json!(true)),
            400,
            rpc("InvalidArgument", "ingress network cannot be attachable"),
        ),
        (
            option("com.docker.network.driver.overlay.vxlanid_list", "4096"),
            400,
            rpc("InvalidArgument", "vxlan id 4096 is already in use by network blue"),
        ),
        (option("encrypted", ""), 501, "\"--opt encrypted\" (Options.encrypted) is not supported by this version of Swarm yet".into()),
    ];
    for (body, status, text) in cases {
        assert_eq!(world.refused("/networks/create", &body).await, (status, text), "{body}");
    }
    assert_eq!(world.store.state().networks().count(), 1);
}

#[tokio::test]
async fn lists_are_filtered() {
    let world = World::new();
    world.network(&with(overlay("front"), "/Labels", json!({"a": "1"}))).await;
    world.network(&overlay("back")).await;
    world.post("/services/create", &on("web", &["back"])).await;
    type Case = (&'static [(&'static str, &'static str)], &'static [&'static str]);
    let cases: [Case; 9] = [
        (&[], &["back", "front"]),
        (&[("name", "ron")], &["front"]),
        (&[("name", "^back$")], &["back"]),
        (&[("driver", "bridge")], &[]),
        (&[("scope", "swarm")], &["back", "front"]),
        (&[("label", "a=1")], &["front"]),
        (&[("type", "builtin")], &[]),
        (&[("dangling", "true")], &["front"]),
        (&[("dangling", "false")], &["back"]),
    ];
    for (pairs, names) in cases {
        let (status, list) = world.get(&format!("/networks?{}", filter(pairs))).await;
        assert_eq!(status, StatusCode::OK, "{list}");
        let mut found = field(&list, "/Name");
        found.sort_unstable();
        assert_eq!(found, names, "{pairs:?}");
    }
    let (status, _) = world.get(&format!("/networks?{}", filter(&[("color", "red")]))).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn a_network_in_use_stays_and_a_removed_one_frees_its_name_and_what_was_asked_for() {
    let world = World::new();
    let id = world.network(&subnet("blue", "10.7.0.0/16")).await;
    let (status, service) = world.post("/services/create", &on("web", &["blue"])).await;
    assert_eq!(status, StatusCode::CREATED, "{service}");
    let (status, body) = world.delete("/networks/blue").await;
    let service = service["ID"].as_str().unwrap_or_default();
    let text = format!("rpc error: code = FailedPrecondition desc = network {id} is in use by service {service}");
    assert_eq!((status, message(&body)), (StatusCode::BAD_REQUEST, text.as_str()));
    world.delete("/services/web").await;
    assert_eq!(world.delete("/networks/blue").await.0, StatusCode::NO_CONTENT);
    assert_eq!(world.delete("/networks/blue").await.0, StatusCode::NOT_FOUND);
    assert_eq!(world.get(&format!("/networks/{id}")).await.0, StatusCode::NOT_FOUND);
    assert_eq!(world.get("/networks").await.1, json!([]));
    let again = world.network(&subnet("blue", "10.7.0.0/16")).await;
    assert_ne!(again, id);
    let (_, blue) = world.get("/networks/blue").await;
    let vni = "/Options/com.docker.network.driver.overlay.vxlanid_list";
    assert_eq!(blue.pointer(vni), Some(&json!("4097")), "an identifier that nodes may still carry is not given again");
}

#[tokio::test]
async fn pruning_takes_what_nothing_uses_but_not_the_mesh() {
    let world = World::new();
    for body in [overlay("used"), overlay("idle"), overlay("kept"), with(overlay("mesh"), "/Ingress", json!(true))] {
        world.network(&with(body.clone(), "/Labels", json!({"keep": body["Name"]}))).await;
    }
    world.post("/services/create", &on("web", &["used"])).await;
    let (status, pruned) =
        world.post(&format!("/networks/prune?{}", filter(&[("label!", "keep=kept"), ("until", "0s")])), &json!({})).await;
    assert_eq!((status, &pruned), (StatusCode::OK, &json!({"NetworksDeleted": ["idle"]})));
    let (_, none) = world.post(&format!("/networks/prune?{}", filter(&[("until", "1h")])), &json!({})).await;
    assert_eq!(none, json!({"NetworksDeleted": []}));
    let bad = world.refused(&format!("/networks/prune?{}", filter(&[("until", "soon")])), &json!({})).await;
    assert_eq!(bad, (400, "Invalid until filter: 'soon'".into()));
}

#[tokio::test]
async fn services_name_networks_by_name_or_id_and_are_stored_with_ids() {
    let world = World::new();
    let blue = world.network(&overlay("blue")).await;
    let green = world.network(&overlay("green")).await;
    let (status, body) = world.post("/services/create", &on("web", &["blue", &green[..10]])).await;
    assert_eq!(status, StatusCode::CREATED, "{body}");
    let (_, web) = world.get("/services/web").await;
    let targets = json!([{"Target": blue, "Aliases": ["db"]}, {"Target": green, "Aliases": ["db"]}]);
    assert_eq!(web.pointer("/Spec/TaskTemplate/Networks"), Some(&targets));
    let found = world.refused("/services/create", &on("x", &["nope"])).await;
    assert_eq!(found, (404, "network nope not found".into()));
    // The engine's own networks are no networks of the cluster.
    assert_eq!(world.post("/services/create", &on("host", &[])).await.0, StatusCode::CREATED);
    let own = with(spec("own"), "/TaskTemplate/Networks", json!([{"Target": "host"}]));
    assert_eq!(world.post("/services/create", &own).await.0, StatusCode::CREATED);
    assert_eq!(world.refused("/services/create", &on("y", &["host", "blue"])).await.0, 501);
}

#[tokio::test]
async fn publishing_over_the_mesh_needs_one_and_keeps_it() {
    let world = World::new();
    let published = with(spec("web"), "/EndpointSpec", json!({"Ports": [{"TargetPort": 80, "PublishedPort": 8080}]}));
    let text = "service needs ingress network, but no ingress network is present";
    let refused = world.refused("/services/create", &published).await;
    assert_eq!(refused, (400, format!("rpc error: code = FailedPrecondition desc = {text}")));
    let id = world.network(&with(overlay("mesh"), "/Ingress", json!(true))).await;
    let second = world.refused("/networks/create", &with(overlay("two"), "/Ingress", json!(true))).await;
    assert_eq!(second, (409, format!("rpc error: code = AlreadyExists desc = ingress network ({id}) is already present")));
    let (status, web) = world.post("/services/create", &published).await;
    assert_eq!(status, StatusCode::CREATED, "{web}");
    let (_, body) = world.delete("/networks/mesh").await;
    let text = format!("ingress network cannot be removed because service {} depends on it", web["ID"].as_str().unwrap_or_default());
    assert_eq!(message(&body), format!("rpc error: code = FailedPrecondition desc = {text}"));
    let explicit = world.refused("/services/create", &on("x", &["mesh"])).await;
    let text = "Service cannot be explicitly attached to the ingress network \"mesh\"";
    assert_eq!(explicit, (400, format!("rpc error: code = InvalidArgument desc = {text}")));
    let taken = with(published.clone(), "/Name", json!("other"));
    let text = format!("port '8080' is already in use by service 'web' ({}) as an ingress port", web["ID"].as_str().unwrap_or_default());
    assert_eq!(world.refused("/services/create", &taken).await, (400, format!("rpc error: code = InvalidArgument desc = {text}")));
    let dnsrr = with(with(published, "/Name", json!("rr")), "/EndpointSpec/Mode", json!("dnsrr"));
    let text = "EndpointSpec: port published with ingress mode can't be used with dnsrr mode";
    assert_eq!(world.refused("/services/create", &dnsrr).await, (400, format!("rpc error: code = InvalidArgument desc = {text}")));
}

#[tokio::test]
async fn going_back_is_refused_when_a_port_or_a_network_is_gone_meanwhile() {
    let world = World::new();
    world.network(&with(overlay("mesh"), "/Ingress", json!(true))).await;
    world.network(&overlay("blue")).await;
    let ports = json!({"Ports": [{"TargetPort": 80, "PublishedPort": 8080}]});
    let id = world.service("web").await;
    let version = |world: &World| world.stored(id).version.index;
    world.update("web", version(&world), &with(spec("web"), "/EndpointSpec", ports.clone())).await;
    world.update("web", version(&world), &on("web", &["blue"])).await;
    assert_eq!(world.post("/services/create", &with(spec("other"), "/EndpointSpec", ports)).await.0, StatusCode::CREATED);
    let back = format!("/services/web/update?version={}&rollback=previous", version(&world));
    let (status, text) = world.refused(&back, &on("web", &["blue"])).await;
    assert!(status == 400 && text.contains("port '8080' is already in use by service 'other'"), "{text}");
    world.update("web", version(&world), &spec("web")).await;
    assert_eq!(world.delete("/networks/blue").await.0, StatusCode::NO_CONTENT);
    let back = format!("/services/web/update?version={}&rollback=previous", version(&world));
    let (status, text) = world.refused(&back, &spec("web")).await;
    assert!(status == 404 && text.starts_with("network ") && text.ends_with(" not found"), "{text}");
}

#[tokio::test]
async fn a_network_that_runs_short_is_a_warning() {
    let world = World::new();
    world.network(&subnet("small", "10.7.0.0/28")).await;
    let replicas = |name: &str, count: u64| with(on(name, &["small"]), "/Mode", json!({"Replicated": {"Replicas": count}}));
    let (_, created) = world.post("/services/create", &replicas("web", 11)).await;
    assert_eq!(created["Warnings"], json!(["network small runs short: 1 of 13 addresses free with service web"]));
    let id: ServiceId = created["ID"].as_str().unwrap_or_default().parse().unwrap();
    let version = world.stored(id).version.index;
    let (_, updated) = world.update("web", version, &replicas("web", 13)).await;
    assert_eq!(updated["Warnings"], json!(["network small: 13 of 13 addresses free, but service web needs 14 more"]));
    let (_, updated) = world.update("web", world.stored(id).version.index, &replicas("web", 4)).await;
    assert_eq!(updated["Warnings"], json!([]));
}

#[tokio::test]
async fn many_networks_at_once_share_nothing() {
    let world = World::new();
    let bodies: Vec<Value> = (0..40).map(|n| overlay(&format!("net{n}"))).collect();
    let made = futures_util::future::join_all(bodies.iter().map(|body| world.network(body))).await;
    let state = world.store.state();
    let ids: std::collections::BTreeSet<NetworkId> = made.iter().filter_map(|id| NetworkId::parse(id).ok()).collect();
    let vnis: std::collections::BTreeSet<u32> = state.networks().map(|n| n.vni).collect();
    let subnets: std::collections::BTreeSet<_> = state.networks().map(|n| n.subnets[0].subnet).collect();
    assert_eq!((ids.len(), vnis.len(), subnets.len()), (40, 40, 40));
}
