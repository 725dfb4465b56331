//! Versions of the API: what older ones do not know is taken out of their requests, as Docker does, without a word.

use std::str::FromStr;
use swarm_types::ServiceSpec;

/// The version a client speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ApiVersion(u32, u32);

impl ApiVersion {
    /// Newer than any that exists: what a request without a version speaks.
    pub(super) const NEWEST: Self = Self(u32::MAX, 0);

    /// Whether it is older than `1.minor`.
    pub(super) fn is_before(self, minor: u32) -> bool {
        self < Self(1, minor)
    }
}

impl FromStr for ApiVersion {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (major, minor) = text.split_once('.').unwrap_or((text, "0"));
        Ok(Self(major.parse()?, minor.parse()?))
    }
}

/// The spec without the fields that came after `version`.
pub(super) fn without_newer(mut spec: ServiceSpec, version: ApiVersion) -> ServiceSpec {
    let template = &mut spec.task_template;
    // The old place of networks; newer clients use the template.
    let old_networks = std::mem::take(&mut spec.networks);
    if template.networks.is_empty() {
        template.networks = old_networks;
    }
    if version.is_before(40) {
        if let Some(container) = &mut template.container_spec {
            container.sysctls.clear();
            if let Some(credentials) = container.privileges.as_mut().and_then(|p| p.credential_spec.as_mut()) {
                credentials.config.clear();
            }
            container.configs.iter_mut().for_each(|config| config.runtime = None);
        }
        if let Some(placement) = &mut template.placement {
            placement.max_replicas = 0;
        }
    }
    if version.is_before(41) {
        if let Some(container) = &mut template.container_spec {
            container.capability_add.clear();
            container.capability_drop.clear();
            container.ulimits.clear();
        }
        if let Some(limits) = template.resources.as_mut().and_then(|r| r.limits.as_mut()) {
            limits.pids = 0;
        }
        spec.mode.replicated_job = None;
        spec.mode.global_job = None;
    }
    if version.is_before(44)
        && let Some(container) = &mut template.container_spec
    {
        if let Some(privileges) = &mut container.privileges {
            privileges.seccomp = None;
            privileges.app_armor = None;
            privileges.no_new_privileges = false;
        }
        if let Some(health) = &mut container.healthcheck {
            health.start_interval = 0;
        }
    }
    if version.is_before(46)
        && let Some(container) = &mut template.container_spec
    {
        container.oom_score_adj = 0;
        container.mounts.iter_mut().filter_map(|m| m.tmpfs_options.as_mut()).for_each(|tmpfs| tmpfs.options.clear());
    }
    if version.is_before(52)
        && let Some(resources) = &mut template.resources
    {
        resources.swap_bytes = None;
        resources.memory_swappiness = None;
    }
    spec
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn full() -> ServiceSpec {
        serde_json::from_value(json!({
            "Name": "web",
            "TaskTemplate": {
                "ContainerSpec": {
                    "Image": "nginx",
                    "Sysctls": {"a": "b"},
                    "CapabilityAdd": ["CAP_SYS_TIME"],
                    "Ulimits": [{"Name": "nofile", "Hard": 1, "Soft": 1}],
                    "Privileges": {"NoNewPrivileges": true, "Seccomp": {"Mode": "unconfined"}},
                    "Healthcheck": {"StartInterval": 1_000_000, "Interval": 1_000_000},
                    "Mounts": [{"Type": "tmpfs", "Target": "/t", "TmpfsOptions": {"SizeBytes": 1, "Options": [["exec"]]}}],
                    "OomScoreAdj": 5,
                },
                "Resources": {"Limits": {"Pids": 3, "MemoryBytes": 8 << 20}, "SwapBytes": 1},
                "Placement": {"MaxReplicas": 2},
            },
            "Mode": {"Replicated": {"Replicas": 1}},
        }))
        .unwrap()
    }

    /// Pointers of the fields that a version does not take over.
    fn lost(version: &str) -> Vec<&'static str> {
        let container = "/TaskTemplate/ContainerSpec";
        let fields = [
            "/TaskTemplate/ContainerSpec/Sysctls/a",
            "/TaskTemplate/Placement/MaxReplicas",
            "/TaskTemplate/ContainerSpec/CapabilityAdd/0",
            "/TaskTemplate/ContainerSpec/Ulimits/0",
            "/TaskTemplate/Resources/Limits/Pids",
            "/TaskTemplate/ContainerSpec/Privileges/Seccomp",
            "/TaskTemplate/ContainerSpec/Privileges/NoNewPrivileges",
            "/TaskTemplate/ContainerSpec/Healthcheck/StartInterval",
            "/TaskTemplate/ContainerSpec/Mounts/0/TmpfsOptions/Options/0",
            "/TaskTemplate/ContainerSpec/OomScoreAdj",
            "/TaskTemplate/Resources/SwapBytes",
        ];
        let left: Value = serde_json::to_value(without_newer(full(), version.parse().unwrap())).unwrap();
        assert!(left.pointer(container).is_some());
        fields.into_iter().filter(|f| left.pointer(f).is_none()).collect()
    }

    #[test]
    fn older_versions_lose_what_came_after_them() {
        assert_eq!(lost("1.52"), Vec::<&str>::new());
        assert_eq!(lost("1.51").len(), 1);
        assert_eq!(lost("1.45").len(), 3);
        assert_eq!(lost("1.43").len(), 6);
        assert_eq!(lost("1.40").len(), 9);
        assert_eq!(lost("1.24").len(), 11);
    }

    #[test]
    fn job_modes_of_old_clients_are_dropped_and_old_networks_move() {
        let spec: ServiceSpec = serde_json::from_value(json!({"Mode": {"GlobalJob": {}}, "Networks": [{"Target": "host"}]})).unwrap();
        let old = without_newer(spec.clone(), "1.40".parse().unwrap());
        assert_eq!(old.mode.global_job, None);
        assert_eq!((old.networks.len(), old.task_template.networks[0].target.as_str()), (0, "host"));
        assert!(without_newer(spec, ApiVersion::NEWEST).mode.global_job.is_some());
    }
}
