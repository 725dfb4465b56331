//! What the engine asks of the driver, and what is done about it.
//!
//! No call asks the engine back: it may hold locks while it waits for the driver.

use super::{
    Driver, DriverError,
    protocol::{CreateEndpoint, CreateNetwork, EndpointCreated, Interface, InterfaceName, Joined},
};
use crate::network::{
    OPTION_ADDRESS, OPTION_NETWORK,
    driver::book::Endpoint,
    plane::{Place, Request},
};
use ipnet::Ipv4Net;
use std::{net::Ipv4Addr, sync::Arc};
use swarm_types::NetworkId;
use tokio::sync::oneshot;

impl Driver {
    pub(super) async fn create_network(&self, call: CreateNetwork) -> Result<(), DriverError> {
        let named = call.option(OPTION_NETWORK).and_then(|id| NetworkId::parse(id).ok());
        let network = named.ok_or(DriverError::NotOurs)?;
        // It waits for the disk.
        let book = Arc::clone(&self.book);
        let noted = tokio::task::spawn_blocking(move || super::open(&book).add_network(&call.network_id, network));
        Ok(noted.await.map_err(|_| DriverError::Stopping)??)
    }

    pub(super) fn delete_network(&self, id: &str) -> Result<(), DriverError> {
        Ok(self.book().remove_network(id)?)
    }

    /// Notes the endpoint. Where it is was decided with the task, and comes with the container.
    pub(super) fn create_endpoint(&self, call: &CreateEndpoint) -> Result<EndpointCreated, DriverError> {
        let mut book = self.book();
        let network = book.network(&call.network_id).ok_or_else(|| DriverError::NoNetwork(call.network_id.clone()))?;
        let decided = call.interface.as_ref();
        let address = call.option(OPTION_ADDRESS).or_else(|| decided.map(|interface| interface.address.as_str()));
        let address: Ipv4Net = address.and_then(|text| text.parse().ok()).ok_or(DriverError::NoAddress)?;
        let mac = match decided.map_or("", |interface| &interface.mac_address) {
            "" => mac_of(address.addr()),
            text => read_mac(text).ok_or_else(|| DriverError::Mac(text.to_owned()))?,
        };
        book.add_endpoint(&call.endpoint_id, Endpoint { network, address: address.addr(), mac, joined: None })?;
        let open = |decided: Option<&str>, text: String| if decided.unwrap_or_default().is_empty() { text } else { String::new() };
        let interface = Interface {
            address: open(decided.map(|d| d.address.as_str()), address.to_string()),
            mac_address: open(decided.map(|d| d.mac_address.as_str()), text_of(mac)),
        };
        Ok(EndpointCreated { interface })
    }

    /// Makes the link of an endpoint.
    pub(super) async fn join(&self, id: &str) -> Result<Joined, DriverError> {
        let (reply, answer) = oneshot::channel();
        // The place in the queue comes first, so that links are made and taken away in the order of the book.
        let queue = self.requests.reserve().await.map_err(|_| DriverError::Stopping)?;
        {
            let mut book = self.book();
            let endpoint = book.endpoints().get(id).cloned().ok_or_else(|| DriverError::NoEndpoint(id.to_owned()))?;
            book.join(id)?;
            let Endpoint { network, address, mac, joined: _ } = endpoint;
            queue.send(Request::Plug(Place { network, address, mac, endpoint: id.to_owned() }, reply));
        }
        let plugged = match answer.await.map_err(|_| DriverError::Stopping)? {
            Ok(plugged) => plugged,
            Err(why) => {
                self.book().leave(id)?;
                return Err(DriverError::Link(why));
            }
        };
        Ok(Joined {
            interface_name: InterfaceName { src_name: plugged.link, dst_prefix: "eth" },
            // Answers to whoever came in by the mesh leave by the network they came from. All others get the engine's way out.
            gateway: if plugged.ingress { plugged.gateway.to_string() } else { String::new() },
            disable_gateway_service: plugged.internal,
        })
    }

    /// Takes the link of an endpoint away. One that has none, or that nobody knows, is as it should be.
    pub(super) async fn leave(&self, id: &str) -> Result<(), DriverError> {
        let (reply, answer) = oneshot::channel();
        let queue = self.requests.reserve().await.map_err(|_| DriverError::Stopping)?;
        {
            let book = self.book();
            let Some(endpoint) = book.link_of(id) else { return Ok(()) };
            queue.send(Request::Unplug(endpoint.network, endpoint.address, reply));
        }
        answer.await.map_err(|_| DriverError::Stopping)?.map_err(DriverError::Link)?;
        Ok(self.book().leave(id)?)
    }

    /// Forgets an endpoint, and takes its link away if it still has one.
    pub(in crate::network) async fn delete_endpoint(&self, id: &str) -> Result<(), DriverError> {
        self.leave(id).await?;
        Ok(self.book().remove_endpoint(id)?)
    }
}

/// The hardware address that Docker makes of an address.
fn mac_of(address: Ipv4Addr) -> [u8; 6] {
    let [a, b, c, d] = address.octets();
    [0x02, 0x42, a, b, c, d]
}

fn read_mac(text: &str) -> Option<[u8; 6]> {
    let bytes: Option<Vec<u8>> = text.split(':').map(|byte| u8::from_str_radix(byte, 16).ok()).collect();
    bytes?.try_into().ok()
}

fn text_of(mac: [u8; 6]) -> String {
    mac.map(|byte| format!("{byte:02x}")).join(":")
}
