//! The driver as the engine calls it, with a kernel side that only notes what it is asked.

use super::*;
use crate::network::plane::{Place, Plugged};
use std::net::Ipv4Addr;
use swarm_types::NetworkId;

struct Bed {
    driver: Driver,
    dir: tempfile::TempDir,
    done: mpsc::Receiver<String>,
}

fn network() -> NetworkId {
    NetworkId::from_random([1; 16])
}

/// A driver on the book in `dir`; links of addresses that end with 9 fail.
fn start(dir: &Path) -> (Driver, mpsc::Receiver<String>) {
    let (requests, mut received) = mpsc::channel(4);
    let (tell, done) = mpsc::channel(64);
    tokio::spawn(async move {
        while let Some(request) = received.recv().await {
            match request {
                Request::Plug(Place { address, endpoint, .. }, reply) => {
                    tell.try_send(format!("plug {address} for {endpoint}")).expect("room");
                    let plugged = Plugged {
                        link: format!("sw{endpoint}"),
                        gateway: Ipv4Addr::new(10, 0, 1, 1),
                        internal: address.octets()[3] == 5,
                        ingress: address.octets()[3] == 6,
                    };
                    reply.send(if address.octets()[3] == 9 { Err("no room".into()) } else { Ok(plugged) }).ok();
                }
                Request::Unplug(_, address, reply) => {
                    tell.try_send(format!("unplug {address}")).expect("room");
                    reply.send(Ok(())).ok();
                }
            }
        }
    });
    (Driver::new(&dir.join("driver.json"), requests), done)
}

impl Bed {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let (driver, done) = start(dir.path());
        Self { driver, dir, done }
    }

    /// A call and its answer; a refusal is its text.
    async fn call(&self, name: &str, body: Value) -> Value {
        let called = self.driver.call(&format!("/NetworkDriver.{name}"), &serde_json::to_vec(&body).expect("JSON")).await;
        called.unwrap_or_else(|error| error.to_string().into())
    }

    async fn network(&self) {
        let options = json!({"com.docker.network.generic": {"swarm.network": network()}, "com.docker.network.enable_ipv6": false});
        assert_eq!(self.call("CreateNetwork", json!({"NetworkID": "n", "Options": options, "IPv4Data": [{}]})).await, json!({}));
    }

    async fn endpoint(&self, id: &str, address: &str) -> Value {
        let options = json!({"swarm.address": address, "com.docker.network.portmap": []});
        let interface = json!({"Address": "", "AddressIPv6": "", "MacAddress": ""});
        self.call("CreateEndpoint", json!({"NetworkID": "n", "EndpointID": id, "Interface": interface, "Options": options})).await
    }

    async fn on(&self, name: &str, id: &str) -> Value {
        self.call(name, json!({"NetworkID": "n", "EndpointID": id, "SandboxKey": "/x", "Options": {}})).await
    }

    fn done(&mut self) -> Vec<String> {
        std::iter::from_fn(|| self.done.try_recv().ok()).collect()
    }
}

#[tokio::test]
async fn a_container_gets_the_place_that_came_with_it() {
    let mut bed = Bed::new();
    bed.network().await;
    let made = bed.endpoint("e", "10.0.1.3/24").await;
    assert_eq!(made, json!({"Interface": {"Address": "10.0.1.3/24", "MacAddress": "02:42:0a:00:01:03"}}));
    let joined = bed.on("Join", "e").await;
    assert_eq!(joined, json!({"InterfaceName": {"SrcName": "swe", "DstPrefix": "eth"}, "DisableGatewayService": false}));
    assert_eq!(bed.on("Leave", "e").await, json!({}));
    assert_eq!(bed.on("DeleteEndpoint", "e").await, json!({}));
    assert_eq!(bed.done(), ["plug 10.0.1.3 for e", "unplug 10.0.1.3"]);
}

#[tokio::test]
async fn the_way_out_depends_on_the_network() {
    let bed = Bed::new();
    bed.network().await;
    bed.endpoint("internal", "10.0.1.5/24").await;
    bed.endpoint("ingress", "10.0.1.6/24").await;
    assert_eq!(bed.on("Join", "internal").await["DisableGatewayService"], true);
    assert_eq!(bed.on("Join", "ingress").await["Gateway"], "10.0.1.1");
}

#[tokio::test]
async fn what_the_engine_decided_is_not_decided_again() {
    let bed = Bed::new();
    bed.network().await;
    let interface = json!({"Address": "10.0.1.7/24", "MacAddress": "02:00:00:00:00:01"});
    let made = bed.call("CreateEndpoint", json!({"NetworkID": "n", "EndpointID": "e", "Interface": interface})).await;
    assert_eq!(made, json!({"Interface": {}}));
}

#[tokio::test]
async fn another_life_of_the_agent_goes_on_where_the_last_was_killed() {
    let mut bed = Bed::new();
    bed.network().await;
    bed.endpoint("e", "10.0.1.3/24").await;
    bed.on("Join", "e").await;
    (bed.driver, bed.done) = start(bed.dir.path());
    bed.endpoint("f", "10.0.1.4/24").await;
    bed.on("Join", "f").await;
    assert_eq!(bed.on("DeleteEndpoint", "e").await, json!({}));
    assert_eq!(bed.on("DeleteEndpoint", "unknown").await, json!({}));
    assert_eq!(bed.done(), ["plug 10.0.1.4 for f", "unplug 10.0.1.3"]);
}

#[tokio::test]
async fn a_link_that_was_taken_over_is_left_alone() {
    let mut bed = Bed::new();
    bed.network().await;
    bed.endpoint("old", "10.0.1.3/24").await;
    bed.on("Join", "old").await;
    bed.endpoint("new", "10.0.1.3/24").await;
    bed.on("Join", "new").await;
    bed.on("DeleteEndpoint", "old").await;
    assert_eq!(bed.done(), ["plug 10.0.1.3 for old", "plug 10.0.1.3 for new"]);
}

#[tokio::test]
async fn refusals_say_why() {
    let bed = Bed::new();
    assert_eq!(bed.endpoint("e", "10.0.1.3/24").await, "the swarm agent does not know network n");
    let foreign = bed.call("CreateNetwork", json!({"NetworkID": "x", "Options": {}})).await;
    assert_eq!(foreign, "networks of this driver are made by the swarm agent only");
    bed.network().await;
    let bare = bed.call("CreateEndpoint", json!({"NetworkID": "n", "EndpointID": "e"})).await;
    assert_eq!(bare, "the swarm has not given this container an address");
    bed.endpoint("e", "10.0.1.9/24").await;
    assert_eq!(bed.on("Join", "e").await, "no room");
    assert_eq!(bed.on("Join", "nobody").await, "the swarm agent does not know endpoint nobody");
    assert_eq!(bed.call("Dance", json!({})).await, "the swarm agent has no call NetworkDriver.Dance");
}
