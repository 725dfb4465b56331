//! The host as its engine describes it.

use bollard::models::{GenericResourcesInner, PluginsInfo, SystemInfo};
use std::collections::BTreeSet;
use swarm_types::{EngineDescription, GenericResource, NodeDescription, Platform, PluginDescription, Resources, TlsInfo};

/// The only network driver that spans hosts; every node has it, whether its engine lists it or not.
const OVERLAY: &str = "overlay";

pub(super) fn description(info: SystemInfo) -> NodeDescription {
    NodeDescription {
        hostname: info.name.unwrap_or_default(),
        platform: Platform { architecture: info.architecture.unwrap_or_default(), os: info.os_type.unwrap_or_default() },
        resources: Resources {
            nano_cpus: info.ncpu.unwrap_or_default().saturating_mul(1_000_000_000),
            memory_bytes: info.mem_total.unwrap_or_default(),
            generic_resources: info.generic_resources.unwrap_or_default().into_iter().filter_map(generic_resource).collect(),
        },
        engine: EngineDescription {
            engine_version: info.server_version.unwrap_or_default(),
            labels: info
                .labels
                .unwrap_or_default()
                .iter()
                .filter_map(|label| label.split_once('='))
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .collect(),
            plugins: plugins(info.plugins.unwrap_or_default()),
        },
        tls_info: TlsInfo::default(),
    }
}

fn plugins(info: PluginsInfo) -> Vec<PluginDescription> {
    let network = info.network.unwrap_or_default().into_iter().chain([OVERLAY.to_owned()]);
    let of_kind = |kind: &'static str, names: Vec<String>| names.into_iter().map(move |name| PluginDescription { kind: kind.into(), name });
    // A set: sorted by kind and name, each once, so that equal hosts have equal descriptions.
    of_kind("Network", network.collect())
        .chain(of_kind("Volume", info.volume.unwrap_or_default()))
        .chain(of_kind("Log", info.log.unwrap_or_default()))
        .chain(of_kind("Authorization", info.authorization.unwrap_or_default()))
        .collect::<BTreeSet<_>>()
        .into_iter()
        .collect()
}

fn generic_resource(resource: GenericResourcesInner) -> Option<GenericResource> {
    if let Some(named) = resource.named_resource_spec {
        return Some(GenericResource::Named { kind: named.kind?, value: named.value? });
    }
    let discrete = resource.discrete_resource_spec?;
    Some(GenericResource::Discrete { kind: discrete.kind?, value: discrete.value? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_host_is_described_as_swarm_does() {
        let info = json!({
            "Name": "alpha", "Architecture": "x86_64", "OSType": "linux", "NCPU": 2, "MemTotal": 25_000_000_000_i64,
            "ServerVersion": "20.10.24", "Labels": ["rack=r1", "zone=a=b", "bare"],
            "Plugins": {"Volume": ["local"], "Network": ["bridge", "host"], "Authorization": null, "Log": ["local", "json-file"]},
            "GenericResources": [
                {"DiscreteResourceSpec": {"Kind": "SSD", "Value": 3}},
                {"NamedResourceSpec": {"Kind": "GPU", "Value": "UUID1"}}
            ],
        });
        let got = description(serde_json::from_value(info).expect("as the engine writes it"));
        assert_eq!(got.hostname, "alpha");
        assert_eq!(got.platform, Platform { architecture: "x86_64".into(), os: "linux".into() });
        assert_eq!((got.resources.nano_cpus, got.resources.memory_bytes), (2_000_000_000, 25_000_000_000));
        assert_eq!(
            got.resources.generic_resources,
            [
                GenericResource::Discrete { kind: "SSD".into(), value: 3 },
                GenericResource::Named { kind: "GPU".into(), value: "UUID1".into() },
            ]
        );
        let labels: Vec<_> = got.engine.labels.iter().map(|(k, v)| format!("{k}:{v}")).collect();
        assert_eq!(labels, ["rack:r1", "zone:a=b"]);
        let plugins: Vec<_> = got.engine.plugins.iter().map(|p| format!("{}/{}", p.kind, p.name)).collect();
        assert_eq!(plugins, ["Log/json-file", "Log/local", "Network/bridge", "Network/host", "Network/overlay", "Volume/local"]);
    }
}
