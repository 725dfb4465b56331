//! Docker's protocol for remote network drivers: the bodies of its calls.
//!
//! Every call is a POST with a JSON body. An answer that refuses has status 200 too and says why in `Err`. Fields that this
//! driver has no use for are left out.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Media type of every answer.
pub(super) const MEDIA_TYPE: &str = "application/vnd.docker.plugins.v1.1+json";
/// Where the options are that the creator of a network gave.
const GENERIC: &str = "com.docker.network.generic";

/// `/NetworkDriver.CreateNetwork`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct CreateNetwork {
    #[serde(rename = "NetworkID")]
    pub(super) network_id: String,
    #[serde(default)]
    options: Option<Map<String, Value>>,
}

impl CreateNetwork {
    /// An option that the creator of the network gave.
    pub(super) fn option(&self, name: &str) -> Option<&str> {
        self.options.as_ref()?.get(GENERIC)?.get(name)?.as_str()
    }
}

/// `/NetworkDriver.DeleteNetwork`.
#[derive(Debug, Deserialize)]
pub(super) struct DeleteNetwork {
    #[serde(rename = "NetworkID")]
    pub(super) network_id: String,
}

/// `/NetworkDriver.CreateEndpoint`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct CreateEndpoint {
    #[serde(rename = "NetworkID")]
    pub(super) network_id: String,
    #[serde(rename = "EndpointID")]
    pub(super) endpoint_id: String,
    /// What the engine has decided already.
    #[serde(default)]
    pub(super) interface: Option<Interface>,
    #[serde(default)]
    options: Option<Map<String, Value>>,
}

impl CreateEndpoint {
    /// An option that the creator of the container gave for this network.
    pub(super) fn option(&self, name: &str) -> Option<&str> {
        self.options.as_ref()?.get(name)?.as_str()
    }
}

/// A container's interface. Empty fields are not decided.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Interface {
    /// IPv4 address with the length of its prefix.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) address: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) mac_address: String,
}

/// The answer to [`CreateEndpoint`]: what the engine had left open.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct EndpointCreated {
    pub(super) interface: Interface,
}

/// `/NetworkDriver.Join`, `Leave` and `DeleteEndpoint`, as far as they say the same.
#[derive(Debug, Deserialize)]
pub(super) struct Endpoint {
    #[serde(rename = "EndpointID")]
    pub(super) endpoint_id: String,
}

/// The answer to `Join`.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Joined {
    pub(super) interface_name: InterfaceName,
    /// The container's way out. Without one the engine makes its own, unless told not to.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) gateway: String,
    /// The engine is not to make a way out.
    pub(super) disable_gateway_service: bool,
}

/// Which device a container gets.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct InterfaceName {
    /// Its name in the host's namespace.
    pub(super) src_name: String,
    /// What its name in the container begins with.
    pub(super) dst_prefix: &'static str,
}

/// An answer that refuses.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Refusal<'a> {
    pub(super) err: &'a str,
}
