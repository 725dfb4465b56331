//! Cluster networks on three hosts, with real containers: who reaches whom, what clients are seen as, and that nothing is
//! lost or left when daemons die.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use swarm_testkit::{BUSYBOX, Cluster, Request, WEB_1};
use swarm_tests::{
    Check, LATER, SOON, create_service, inspect_container, remove_service,
    services::{check_every, update},
    text_at,
};

/// Port of the web image.
const PORT: u16 = 8080;
/// Published by the mesh.
const PUBLISHED: u16 = 18_080;

const CHECKS: &[Check<Cluster>] = &[
    ("tasks of one network reach each other by address", tasks_reach_each_other),
    ("tasks of another network do not", networks_are_isolated),
    ("a virtual address spreads, and backends see the client", a_virtual_address_spreads),
    ("names lead to virtual addresses and tasks", names_are_answered),
    ("a task is on two networks at once", two_networks),
    ("a published port shows the client on every node", the_mesh_shows_the_client),
    ("networks are one list of the engine's and the cluster's", networks_are_one_list),
    ("traffic goes on while agents are away", agents_go_and_come),
    ("a change survives the kill of an agent", a_change_survives_a_kill),
    ("a dockerd that is killed gets its tasks back", dockerd_dies),
    ("nothing is left", nothing_is_left),
];

#[test]
fn cluster_networks() -> Result<()> {
    let cluster = Cluster::formed(1, 2)?;
    for name in ["front", "back"] {
        let answer = cluster.api(1, &Request::post("/networks/create", &json!({"Name": name, "Driver": "overlay"})))?;
        ensure!(answer.status == 201, "{answer}");
    }
    create_service(&cluster, 1, &spec("web", 3, &["front"], &[]))?;
    create_service(&cluster, 1, &spec("lone", 1, &["back"], &[]))?;
    create_service(&cluster, 1, &spec("both", 1, &["front", "back"], &[]))?;
    create_service(&cluster, 1, &spec("mesh", 2, &[], &[PUBLISHED]))?;
    for (service, count) in [("web", 3), ("lone", 1), ("both", 1), ("mesh", 2)] {
        cluster.wait_running(service, count, LATER)?;
    }
    check_every(&cluster, CHECKS)
}

fn spec(name: &str, replicas: u64, networks: &[&str], published: &[u16]) -> Value {
    let networks: Vec<_> = networks.iter().map(|name| json!({"Target": name})).collect();
    let port = |published: &u16| json!({"Protocol": "tcp", "TargetPort": PORT, "PublishedPort": published, "PublishMode": "ingress"});
    json!({
        "Name": name,
        "TaskTemplate": {"ContainerSpec": {"Image": WEB_1, "StopGracePeriod": 1_000_000_000_u64}, "Networks": networks},
        "Mode": {"Replicated": {"Replicas": replicas}},
        "EndpointSpec": {"Ports": published.iter().map(port).collect::<Vec<_>>()},
    })
}

/// A running container of a task, and where it is.
#[derive(Debug)]
struct Place {
    host: u8,
    container: String,
    /// Its addresses, in the order of its networks.
    addresses: Vec<Ipv4Addr>,
}

fn places(cluster: &Cluster, service: &str) -> Result<Vec<Place>> {
    let mut places = Vec::new();
    for task in cluster.running_tasks(service)? {
        let (host, container) = inspect_container(cluster, &task)?;
        let attached = task["NetworksAttachments"].as_array().cloned().unwrap_or_default();
        let addresses = attached.iter().filter_map(|a| a["Addresses"][0].as_str()?.split('/').next()?.parse().ok()).collect();
        places.push(Place { host, container: text_at(&container, "/Id").context("an id")?, addresses });
    }
    Ok(places)
}

fn only(cluster: &Cluster, service: &str) -> Result<Place> {
    places(cluster, service)?.pop().with_context(|| format!("no task of {service}"))
}

/// What a server at `address` answers to a container.
fn ask(cluster: &Cluster, from: &Place, address: IpAddr, path: &str) -> Result<String> {
    get_from(cluster, from, address, PORT, path)
}

fn get_from(cluster: &Cluster, from: &Place, address: IpAddr, port: u16, path: &str) -> Result<String> {
    // The machine's static busybox cannot look ports up by name, as its wget does.
    let script = format!("printf 'GET {path} HTTP/1.0\\r\\n\\r\\n' | nc -w 5 {address} {port}");
    let answer = cluster.host(from.host).docker(&["exec", &from.container, "sh", "-c", &script])?.ok()?;
    let (head, body) = answer.replace('\r', "").split_once("\n\n").map(|(h, b)| (h.to_owned(), b.to_owned())).context(answer.clone())?;
    ensure!(head.contains(" 200 "), "{answer}");
    Ok(client_of(&body))
}

/// The text, an address in it as people write it.
fn client_of(text: &str) -> String {
    text.trim().trim_start_matches("[::ffff:").trim_end_matches(']').to_owned()
}

fn reach(cluster: &Cluster, from: &[Place], to: &[Place]) -> Result<()> {
    for (a, b) in from.iter().flat_map(|a| to.iter().map(move |b| (a, b))) {
        let address = *b.addresses.first().context("an address")?;
        let seen = ask(cluster, a, address.into(), "/cgi-bin/client").with_context(|| format!("from {a:?} to {b:?}"))?;
        let own = a.addresses.iter().map(ToString::to_string);
        // A task that asks itself does so without leaving its namespace.
        ensure!(own.into_iter().any(|own| seen == own), "{b:?} saw {seen}, not {a:?}");
    }
    Ok(())
}

fn tasks_reach_each_other(cluster: &Cluster) -> Result<()> {
    let web = places(cluster, "web")?;
    let hosts: BTreeSet<_> = web.iter().map(|place| place.host).collect();
    ensure!(hosts.len() == 3, "one task on each host: {web:?}");
    reach(cluster, &web, &web)?;
    let (_, inspected) = inspect_container(cluster, &cluster.running_tasks("web")?[0])?;
    let networks = inspected["NetworkSettings"]["Networks"].as_object().context("networks")?;
    ensure!(networks.contains_key("front"), "the network is shown by its name: {networks:?}");
    Ok(())
}

fn networks_are_isolated(cluster: &Cluster) -> Result<()> {
    let lone = only(cluster, "lone")?;
    for place in places(cluster, "web")? {
        let answer = ask(cluster, &lone, place.addresses[0].into(), "/");
        ensure!(answer.is_err(), "a task of another network got {answer:?} of {place:?}");
    }
    Ok(())
}

/// The virtual address of a service on its first network.
fn virtual_address(cluster: &Cluster, service: &str) -> Result<IpAddr> {
    let shown = cluster.ask(&Request::get(&format!("/services/{service}")))?;
    let address = text_at(&shown, "/Endpoint/VirtualIPs/0/Addr").with_context(|| format!("no virtual address: {shown}"))?;
    Ok(address.split('/').next().unwrap_or_default().parse()?)
}

fn a_virtual_address_spreads(cluster: &Cluster) -> Result<()> {
    let vip = virtual_address(cluster, "web")?;
    let both = only(cluster, "both")?;
    cluster.until("answers of all three tasks", SOON, || {
        let names = (0..6).map(|_| ask(cluster, &both, vip, "/")).collect::<Result<BTreeSet<_>>>()?;
        ensure!(names.len() == 3, "{names:?}");
        Ok(())
    })?;
    let seen = ask(cluster, &both, vip, "/cgi-bin/client")?;
    ensure!(both.addresses.iter().any(|own| own.to_string() == seen), "the backend saw {seen}, not {both:?}");
    // A client that is its own backend works as well.
    let web = places(cluster, "web")?;
    for _ in 0..3 {
        ask(cluster, &web[0], vip, "/")?;
    }
    Ok(())
}

fn names_are_answered(cluster: &Cluster) -> Result<()> {
    let vip = virtual_address(cluster, "web")?.to_string();
    let both = only(cluster, "both")?;
    let look_up = |name: &str| cluster.host(both.host).docker(&["exec", &both.container, "nslookup", name])?.ok();
    let service = look_up("web")?;
    ensure!(service.contains(&vip), "{service}");
    let tasks = look_up("tasks.web")?;
    for place in places(cluster, "web")? {
        ensure!(tasks.contains(&place.addresses[0].to_string()), "{tasks}");
    }
    Ok(())
}

fn two_networks(cluster: &Cluster) -> Result<()> {
    let both = only(cluster, "both")?;
    ensure!(both.addresses.len() == 2, "{both:?}");
    let (web, lone) = (places(cluster, "web")?, only(cluster, "lone")?);
    reach(cluster, &[both], &web)?;
    reach(cluster, &[only(cluster, "both")?], &[lone])
}

fn the_mesh_shows_the_client(cluster: &Cluster) -> Result<()> {
    let outside = cluster.bed().outside_address().to_string();
    for host in cluster.bed().hosts() {
        for _ in 0..2 {
            let seen = get_from_outside(cluster, host.number())?;
            ensure!(seen == outside, "by {} the task saw {seen}, not {outside}", host.name());
        }
        let own = host.http_get((host.ip(), PUBLISHED), "/")?;
        let local = host.http_get((Ipv4Addr::LOCALHOST, PUBLISHED), "/")?;
        ensure!(own.status == 200 && local.status == 200, "the host itself: {own} {local}");
    }
    let web = only(cluster, "web")?;
    get_from(cluster, &web, cluster.host(1).ip().into(), PUBLISHED, "/")?;
    let taken = cluster.host(2).docker(&["run", "--rm", "--publish", &format!("{PUBLISHED}:80"), BUSYBOX, "true"])?;
    ensure!(taken.stderr.contains("address already in use"), "the published port is free for others: {taken}");
    Ok(())
}

fn get_from_outside(cluster: &Cluster, host: u8) -> Result<String> {
    let answer = cluster.bed().http_get_from_outside((cluster.host(host).ip(), PUBLISHED), "/cgi-bin/client")?;
    ensure!(answer.status == 200, "{answer}");
    Ok(client_of(&String::from_utf8_lossy(&answer.body)))
}

fn networks_are_one_list(cluster: &Cluster) -> Result<()> {
    let names = |number: u8| -> Result<Vec<(String, String)>> {
        let list = cluster.api(number, &Request::get("/networks"))?.json()?;
        let list = list.as_array().context("a list")?.iter();
        Ok(list.map(|n| (text_at(n, "/Name").unwrap_or_default(), text_at(n, "/Driver").unwrap_or_default())).collect())
    };
    for number in [1, 2] {
        let shown = names(number)?;
        let of = |name: &str| shown.iter().filter(|(n, _)| n == name).map(|(_, driver)| driver.as_str()).collect::<Vec<_>>();
        ensure!(of("front") == ["overlay"] && of("bridge") == ["bridge"], "host {number}: {shown:?}");
    }
    let one = cluster.api(2, &Request::get("/networks/front"))?.json()?;
    let other = cluster.api(1, &Request::get("/networks/front"))?.json()?;
    ensure!(one["Id"] == other["Id"] && one["Scope"] == "swarm", "{one} {other}");
    let local = cluster.api(1, &Request::post("/networks/create", &json!({"Name": "local", "Driver": "bridge"})))?;
    ensure!(local.status == 201, "{local}");
    let refused = cluster.api(2, &Request::post("/networks/create", &json!({"Name": "x", "Driver": "overlay"})))?;
    ensure!(refused.status == 403, "{refused}");
    let removed = cluster.api(1, &Request::new("DELETE", "/networks/local"))?;
    ensure!(removed.status == 204, "{removed}");
    Ok(())
}

fn agents_go_and_come(cluster: &Cluster) -> Result<()> {
    let web = places(cluster, "web")?;
    cluster.agent(2).kill()?;
    cluster.agent(3).stop()?;
    reach(cluster, &web, &web)?;
    get_from_outside(cluster, 2)?;
    cluster.agent(2).start_again()?;
    cluster.agent(3).start_again()?;
    cluster.wait_ready(1, 2)?;
    reach(cluster, &web, &web)?;
    let outside = cluster.bed().outside_address().to_string();
    for number in 1..=3 {
        ensure!(get_from_outside(cluster, number)? == outside, "the client's address is lost on host {number}");
    }
    Ok(())
}

fn a_change_survives_a_kill(cluster: &Cluster) -> Result<()> {
    update(cluster, "web", "--replicas 6")?;
    let second = cluster.agent(2);
    second.kill()?;
    second.start_again()?;
    cluster.agent(3).kill()?;
    cluster.agent(3).start_again()?;
    cluster.wait_running("web", 6, LATER)?;
    let web = places(cluster, "web")?;
    cluster.until("all six reach each other", SOON, || reach(cluster, &web, &web))?;
    let addresses: BTreeSet<_> = web.iter().map(|place| place.addresses[0]).collect();
    ensure!(addresses.len() == 6, "{web:?}");
    Ok(())
}

fn dockerd_dies(cluster: &Cluster) -> Result<()> {
    cluster.host(3).kill_dockerd()?;
    cluster.host(3).start_dockerd()?;
    cluster.wait_running("web", 6, LATER)?;
    let web = places(cluster, "web")?;
    cluster.until("all six reach each other", SOON, || reach(cluster, &web, &web))?;
    cluster.wait_running("mesh", 2, LATER)?;
    let outside = cluster.bed().outside_address().to_string();
    cluster.until("the mesh works on every host", SOON, || {
        for number in 1..=3 {
            ensure!(get_from_outside(cluster, number)? == outside, "host {number}");
        }
        Ok(())
    })
}

fn nothing_is_left(cluster: &Cluster) -> Result<()> {
    for service in ["web", "lone", "both", "mesh"] {
        remove_service(cluster, 1, service)?;
    }
    for network in ["front", "back"] {
        cluster.until("the network can go", SOON, || {
            let answer = cluster.api(1, &Request::new("DELETE", &format!("/networks/{network}")))?;
            ensure!(answer.status == 204, "{answer}");
            Ok(())
        })?;
    }
    for host in cluster.bed().hosts() {
        cluster.until(&format!("{} is clean", host.name()), LATER, || {
            let namespaces = host.sh("ls /run/netns")?.lines()?;
            // The mesh's own network stays, on every node.
            ensure!(namespaces.len() == 1, "namespaces: {namespaces:?}");
            let links = host.sh("ip -o link | cut -d: -f2 | grep '^ *sw' || true")?.lines()?;
            ensure!(links.len() <= 1 && links.iter().all(|link| link.contains("up@")), "links: {links:?}");
            let shadows = host.docker(&["network", "ls", "--quiet", "--filter", "label=com.docker.swarm.network"])?.lines()?;
            ensure!(shadows.is_empty(), "the engine's networks: {shadows:?}");
            Ok(())
        })?;
    }
    for number in 1..=3 {
        if cluster.bed().http_get_from_outside((cluster.host(number).ip(), PUBLISHED), "/").is_ok() {
            bail!("the port of a removed service answers on host {number}");
        }
    }
    Ok(())
}
