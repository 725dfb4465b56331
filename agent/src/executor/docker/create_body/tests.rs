use super::*;
use serde_json::{Value, json};
use swarm_types::{
    AppArmorOpts, BindOptions, ContainerSpec, DnsConfig, Driver, Limits, MountType as Kind, NodeId, PortProtocol, PublishMode,
    ResourceRequirements, Resources, SeLinuxContext, SeccompOpts, ServiceId, TaskId, TmpfsOptions, Ulimit, VolumeOptions,
};

const API_20_10: ApiVersion = ApiVersion(1, 41);
const API_NEW: ApiVersion = ApiVersion(1, 53);

fn order(spec: ContainerSpec) -> ContainerOrder {
    let task_id = TaskId::from_random([1; 16]);
    ContainerOrder {
        task_id,
        node_id: NodeId::from_random([2; 16]),
        service_id: Some(ServiceId::from_random([3; 16])),
        service_name: "web".into(),
        name: format!("web.1.{task_id}"),
        spec: ContainerSpec { image: "busybox".into(), ..spec },
        resources: None,
        log_driver: None,
        network: None,
        attachments: vec![],
        host_ports: vec![],
        files: vec![],
        prefer_offline_image: false,
    }
}

/// The engine's networks of an order: called as the cluster's.
fn places(order: &ContainerOrder) -> Places {
    Places { names: order.attachments.iter().map(|attachment| attachment.name.clone()).collect(), ..Places::default() }
}

fn sent(order: &ContainerOrder, api: ApiVersion) -> Value {
    let body = create_body(order, &places(order), api).expect("the engine can do it");
    serde_json::to_value(body).expect("serializes")
}

/// What is sent, without the labels of the system.
fn sent_but_labels(order: &ContainerOrder) -> Value {
    let mut body = sent(order, API_NEW);
    body.as_object_mut().expect("an object").remove("Labels");
    body
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

fn pairs(pairs: &[(&str, &str)]) -> std::collections::BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn a_bare_spec_leaves_everything_to_the_engine() {
    let got = sent(&order(ContainerSpec::default()), API_20_10);
    let order = order(ContainerSpec::default());
    assert_eq!(
        got,
        json!({
            "Image": "busybox:latest",
            "HostConfig": {},
            "Labels": {
                "com.docker.swarm.task": "",
                "com.docker.swarm.task.id": order.task_id,
                "com.docker.swarm.task.name": order.name,
                "com.docker.swarm.node.id": order.node_id,
                "com.docker.swarm.service.id": order.service_id,
                "com.docker.swarm.service.name": "web",
            },
        })
    );
}

#[test]
fn labels_of_the_system_win() {
    let labels = pairs(&[("mine", "1"), ("com.docker.swarm.task.id", "forged")]);
    let order = order(ContainerSpec { labels, ..ContainerSpec::default() });
    let got = sent(&order, API_20_10);
    assert_eq!(got["Labels"]["mine"], "1");
    assert_eq!(got["Labels"]["com.docker.swarm.task.id"], json!(order.task_id));
}

#[test]
fn the_process_of_a_spec() {
    let order = order(ContainerSpec {
        command: words(&["/bin/app"]),
        args: words(&["--fast"]),
        hostname: "h".into(),
        env: words(&["A=1", "B"]),
        dir: "/srv".into(),
        user: "1000:1000".into(),
        groups: words(&["audio", "999"]),
        init: Some(false),
        stop_signal: "SIGQUIT".into(),
        stop_grace_period: Some(2_900_000_000),
        tty: true,
        open_stdin: true,
        read_only: true,
        hosts: words(&["10.0.0.1 db db.local", "10.0.0.2"]),
        dns_config: Some(DnsConfig { nameservers: words(&["9.9.9.9"]), search: words(&["local"]), options: words(&["ndots:1"]) }),
        sysctls: pairs(&[("net.core.somaxconn", "512")]),
        capability_add: words(&["CAP_NET_ADMIN"]),
        capability_drop: words(&["ALL"]),
        ulimits: vec![Ulimit { name: "nofile".into(), hard: 200, soft: 100 }],
        oom_score_adj: 500,
        isolation: "default".into(),
        healthcheck: Some(swarm_types::HealthConfig {
            test: words(&["CMD", "true"]),
            interval: 1_000_000_000,
            timeout: 2_000_000_000,
            start_period: 3_000_000_000,
            start_interval: 500_000_000,
            retries: 4,
        }),
        ..ContainerSpec::default()
    });
    assert_eq!(
        sent_but_labels(&order),
        json!({
            "Image": "busybox:latest",
            "Entrypoint": ["/bin/app"],
            "Cmd": ["--fast"],
            "Hostname": "h",
            "Env": ["A=1", "B"],
            "WorkingDir": "/srv",
            "User": "1000:1000",
            "StopSignal": "SIGQUIT",
            "StopTimeout": 2,
            "Tty": true,
            "OpenStdin": true,
            "Healthcheck": {
                "Test": ["CMD", "true"], "Interval": 1_000_000_000, "Timeout": 2_000_000_000_i64, "Retries": 4,
                "StartPeriod": 3_000_000_000_i64, "StartInterval": 500_000_000,
            },
            "HostConfig": {
                "GroupAdd": ["audio", "999"],
                "Init": false,
                "ReadonlyRootfs": true,
                "ExtraHosts": ["db:10.0.0.1"],
                "Dns": ["9.9.9.9"],
                "DnsSearch": ["local"],
                "DnsOptions": ["ndots:1"],
                "Sysctls": {"net.core.somaxconn": "512"},
                "CapAdd": ["CAP_NET_ADMIN"],
                "CapDrop": ["ALL"],
                "Ulimits": [{"Name": "nofile", "Hard": 200, "Soft": 100}],
                "OomScoreAdj": 500,
                "Isolation": "default",
            },
        })
    );
}

#[test]
fn a_check_of_none_is_kept_and_turns_the_images_check_off() {
    let healthcheck = swarm_types::HealthConfig { test: words(&["NONE"]), ..Default::default() };
    let order = order(ContainerSpec { healthcheck: Some(healthcheck), ..ContainerSpec::default() });
    assert_eq!(sent_but_labels(&order)["Healthcheck"], json!({"Test": ["NONE"]}));
}

#[test]
fn limits_reach_the_engine_and_reservations_do_not() {
    let limits = Limits { nano_cpus: 500_000_000, memory_bytes: 64 << 20, pids: 50, generic_resources: vec![] };
    let reservations = Resources { nano_cpus: 1_000_000_000, memory_bytes: 1 << 30, generic_resources: vec![] };
    let mut order = order(ContainerSpec::default());
    let mut resources = ResourceRequirements {
        limits: Some(limits),
        reservations: Some(reservations),
        swap_bytes: Some(32 << 20),
        memory_swappiness: Some(10),
    };
    order.resources = Some(resources.clone());
    assert_eq!(
        sent(&order, API_20_10)["HostConfig"],
        json!({
            "NanoCpus": 500_000_000, "Memory": 64 << 20, "PidsLimit": 50, "MemorySwap": 96 << 20, "MemorySwappiness": 10,
        })
    );
    resources.swap_bytes = Some(-1);
    resources.memory_swappiness = Some(-1);
    order.resources = Some(resources.clone());
    let got = sent(&order, API_20_10);
    assert_eq!((&got["HostConfig"]["MemorySwap"], &got["HostConfig"]["MemorySwappiness"]), (&json!(-1), &Value::Null));
    resources.limits = None;
    order.resources = Some(resources);
    assert_eq!(sent(&order, API_20_10)["HostConfig"], json!({}));
}

#[test]
fn mounts_with_all_their_options() {
    let order = order(ContainerSpec {
        mounts: vec![
            swarm_types::Mount {
                kind: Kind::Bind,
                source: "/srv".into(),
                target: "/b".into(),
                read_only: true,
                consistency: "cached".into(),
                bind_options: Some(BindOptions {
                    propagation: "rshared".into(),
                    non_recursive: true,
                    create_mountpoint: true,
                    read_only_non_recursive: true,
                    read_only_force_recursive: false,
                }),
                ..Default::default()
            },
            swarm_types::Mount {
                kind: Kind::Volume,
                source: "data".into(),
                target: "/v".into(),
                volume_options: Some(VolumeOptions {
                    no_copy: true,
                    labels: pairs(&[("a", "b")]),
                    subpath: "x".into(),
                    driver_config: Some(Driver { name: "local".into(), options: pairs(&[("o", "uid=1")]) }),
                }),
                ..Default::default()
            },
            swarm_types::Mount { kind: Kind::Volume, target: "/anonymous".into(), ..Default::default() },
            swarm_types::Mount {
                kind: Kind::Tmpfs,
                target: "/t".into(),
                tmpfs_options: Some(TmpfsOptions { size_bytes: 1 << 20, mode: 0o1770, options: vec![words(&["noexec"])] }),
                ..Default::default()
            },
        ],
        ..ContainerSpec::default()
    });
    assert_eq!(
        sent_but_labels(&order)["HostConfig"]["Mounts"],
        json!([
            {
                "Type": "bind", "Source": "/srv", "Target": "/b", "ReadOnly": true, "Consistency": "cached",
                "BindOptions": {"Propagation": "rshared", "NonRecursive": true, "CreateMountpoint": true, "ReadOnlyNonRecursive": true},
            },
            {
                "Type": "volume", "Source": "data", "Target": "/v",
                "VolumeOptions": {
                    "NoCopy": true, "Labels": {"a": "b"}, "Subpath": "x",
                    "DriverConfig": {"Name": "local", "Options": {"o": "uid=1"}},
                },
            },
            {"Type": "volume", "Target": "/anonymous"},
            {"Type": "tmpfs", "Target": "/t", "TmpfsOptions": {"SizeBytes": 1 << 20, "Mode": 0o1770, "Options": [["noexec"]]}},
        ])
    );
}

#[test]
fn an_old_engine_is_not_asked_for_what_it_would_leave_out_silently() {
    let refusal = |mount: swarm_types::Mount| {
        let mount = swarm_types::Mount { target: "/x".into(), ..mount };
        let order = order(ContainerSpec { mounts: vec![mount], ..ContainerSpec::default() });
        assert!(create_body(&order, &Places::default(), API_NEW).is_ok());
        create_body(&order, &Places::default(), API_20_10).err().map(|error| error.to_string())
    };
    let volume_options = Some(VolumeOptions { subpath: "a".into(), ..Default::default() });
    assert_eq!(
        refusal(swarm_types::Mount { volume_options, ..Default::default() }).as_deref(),
        Some("mount /x: a path inside the volume needs Docker API 1.45, the engine of this node has 1.41")
    );
    let bind_options = Some(BindOptions { create_mountpoint: true, ..Default::default() });
    assert!(refusal(swarm_types::Mount { kind: Kind::Bind, bind_options, ..Default::default() }).is_some());
    let bind_options = Some(BindOptions { read_only_non_recursive: true, ..Default::default() });
    assert!(refusal(swarm_types::Mount { kind: Kind::Bind, bind_options, ..Default::default() }).is_some());
    assert_eq!(refusal(swarm_types::Mount { kind: Kind::Tmpfs, ..Default::default() }), None);
}

#[test]
fn host_ports_are_exposed_and_bound_and_zero_is_left_to_the_engine() {
    let port = |target_port, published_port, protocol| PortConfig {
        target_port,
        published_port,
        protocol,
        publish_mode: PublishMode::Host,
        ..PortConfig::default()
    };
    let mut order = order(ContainerSpec::default());
    order.host_ports = vec![port(80, 8080, PortProtocol::Tcp), port(80, 8081, PortProtocol::Tcp), port(53, 0, PortProtocol::Udp)];
    let got = sent(&order, API_20_10);
    assert_eq!(got["ExposedPorts"], json!({"80/tcp": {}, "53/udp": {}}));
    assert_eq!(
        got["HostConfig"]["PortBindings"],
        json!({
            "80/tcp": [{"HostPort": "8080"}, {"HostPort": "8081"}],
            "53/udp": [{}],
        })
    );
}

#[test]
fn network_and_log_driver() {
    let mut order = order(ContainerSpec::default());
    order.network = Some("host".into());
    order.log_driver = Some(Driver { name: "json-file".into(), options: pairs(&[("max-size", "1m")]) });
    assert_eq!(
        sent(&order, API_20_10)["HostConfig"],
        json!({
            "NetworkMode": "host",
            "LogConfig": {"Type": "json-file", "Config": {"max-size": "1m"}},
        })
    );
}

#[test]
fn privileges_become_security_options() {
    let options = |privileges: Privileges| {
        let order = order(ContainerSpec { privileges: Some(privileges), ..ContainerSpec::default() });
        create_body(&order, &Places::default(), API_20_10)
            .map(|body| body.host_config.and_then(|config| config.security_opt).unwrap_or_default())
    };
    let got = options(Privileges {
        selinux_context: Some(SeLinuxContext { disable: false, user: "u".into(), role: "r".into(), kind: "t".into(), level: "l".into() }),
        seccomp: Some(SeccompOpts { mode: "custom".into(), profile: BASE64.encode(r#"{"defaultAction":"SCMP_ACT_ALLOW"}"#) }),
        app_armor: Some(AppArmorOpts { mode: "disabled".into() }),
        no_new_privileges: true,
        credential_spec: None,
    });
    assert_eq!(
        got.expect("valid"),
        [
            "label=user:u",
            "label=role:r",
            "label=level:l",
            "label=type:t",
            r#"seccomp={"defaultAction":"SCMP_ACT_ALLOW"}"#,
            "apparmor=unconfined",
            "no-new-privileges=true",
        ]
    );
    let seccomp = |mode: &str, profile: &str| Privileges {
        seccomp: Some(SeccompOpts { mode: mode.into(), profile: profile.into() }),
        ..Privileges::default()
    };
    assert_eq!(options(seccomp("unconfined", "")).expect("valid"), ["seccomp=unconfined"]);
    assert!(options(seccomp("default", "")).expect("valid").is_empty());
    assert!(options(seccomp("custom", "no base64!")).is_err());
}

#[test]
fn old_engines_take_one_network_at_first_and_new_ones_all() {
    let attachment = |n: u8, name: &str| crate::executor::Attachment {
        network: swarm_types::NetworkId::from_random([n; 16]),
        name: name.into(),
        internal: false,
        gateway: [10, 0, n, 1].into(),
        address: format!("10.0.{n}.3/24").parse().expect("an address"),
        driver_opts: pairs(&[("x", "y")]),
    };
    let attachments = vec![attachment(1, "front"), attachment(2, "back")];
    let order = ContainerOrder { attachments, ..order(ContainerSpec::default()) };
    let place = |n: u8| json!({"DriverOpts": {"x": "y", "swarm.address": format!("10.0.{n}.3/24")}});
    let old = sent(&order, API_20_10);
    assert_eq!(old["HostConfig"], json!({"NetworkMode": "front"}));
    assert_eq!(old["NetworkingConfig"], json!({"EndpointsConfig": {"front": place(1)}}));
    let new = sent(&order, API_NEW);
    assert_eq!(new["NetworkingConfig"], json!({"EndpointsConfig": {"front": place(1), "back": place(2)}}));
}

#[test]
fn names_are_asked_of_the_network_and_past_the_engine_where_it_would_be_wrong() {
    let dns_config = Some(DnsConfig { nameservers: words(&["192.0.2.1"]), search: words(&["a.example"]), options: words(&["ndots:2"]) });
    let order = order(ContainerSpec { dns_config, ..ContainerSpec::default() });
    let resolver = crate::network::Resolver { servers: words(&["10.0.1.1"]), search: words(&["a.example"]), ..Default::default() };
    let places = Places { names: words(&["front"]), resolver: Some(resolver), resolv_conf: Some("/state/resolv/x".into()) };
    let body = create_body(&order, &places, API_20_10).expect("the engine can do it");
    let host = serde_json::to_value(body).expect("serializes")["HostConfig"].clone();
    assert_eq!((&host["Dns"], &host["DnsSearch"], &host["DnsOptions"]), (&json!(["10.0.1.1"]), &json!(["a.example"]), &Value::Null));
    let mount = json!([{"Target": "/etc/resolv.conf", "Source": "/state/resolv/x", "Type": "bind", "ReadOnly": true}]);
    assert_eq!(host["Mounts"], mount);
}
