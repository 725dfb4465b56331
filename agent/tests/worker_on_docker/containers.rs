//! What of a service's template reaches its containers.

use crate::bed::{Bed, shell, spec_of, task, with_ports};
use swarm_types::{
    ContainerSpec, DnsConfig, Driver, Limits, Mount, MountType, PortConfig, Privileges, PublishMode, ResourceRequirements, Resources,
    SeccompOpts, TaskState, TmpfsOptions, Ulimit,
};

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

fn everything() -> ContainerSpec {
    ContainerSpec {
        labels: [("mine".to_owned(), "1".to_owned())].into(),
        command: words(&["sh", "-c"]),
        args: words(&["sleep 600"]),
        hostname: "{{.Service.Name}}-{{.Task.Slot}}".into(),
        env: words(&["WHO={{.Node.Hostname}}/{{.Task.Slot}}", "PLAIN=1"]),
        dir: "/tmp".into(),
        user: "65534:65534".into(),
        groups: words(&["999"]),
        init: Some(true),
        stop_signal: "SIGINT".into(),
        stop_grace_period: Some(3_000_000_000),
        tty: true,
        open_stdin: true,
        read_only: true,
        mounts: vec![
            Mount { kind: MountType::Volume, source: "swarm-test-{{.Task.ID}}".into(), target: "/data".into(), ..Mount::default() },
            Mount { kind: MountType::Bind, source: "/usr".into(), target: "/b".into(), read_only: true, ..Mount::default() },
            Mount {
                kind: MountType::Tmpfs,
                target: "/tmp".into(),
                tmpfs_options: Some(TmpfsOptions { size_bytes: 1 << 20, mode: 0o1777, options: vec![] }),
                ..Mount::default()
            },
        ],
        hosts: words(&["10.9.8.7 db db.local"]),
        dns_config: Some(DnsConfig { nameservers: words(&["10.9.8.1"]), search: words(&["example.org"]), options: words(&["ndots:2"]) }),
        sysctls: [("net.ipv4.ip_unprivileged_port_start".to_owned(), "80".to_owned())].into(),
        capability_add: words(&["CAP_NET_ADMIN"]),
        capability_drop: words(&["CAP_MKNOD"]),
        ulimits: vec![Ulimit { name: "nofile".into(), soft: 100, hard: 200 }],
        oom_score_adj: 321,
        privileges: Some(Privileges {
            seccomp: Some(SeccompOpts { mode: "unconfined".into(), profile: String::new() }),
            no_new_privileges: true,
            ..Privileges::default()
        }),
        ..ContainerSpec::default()
    }
}

#[tokio::test]
async fn everything_in_a_template_reaches_the_container() {
    let Some(mut bed) = Bed::new(120).await else {
        return;
    };
    let port = PortConfig { target_port: 80, publish_mode: PublishMode::Host, ..PortConfig::default() };
    let mut spec = with_ports(spec_of(120, everything()), vec![port]);
    spec.template.log_driver = Some(Driver { name: "json-file".into(), options: [("max-size".to_owned(), "1m".to_owned())].into() });
    spec.template.resources = Some(ResourceRequirements {
        limits: Some(Limits { nano_cpus: 500_000_000, memory_bytes: 64 << 20, pids: 60, generic_resources: vec![] }),
        reservations: Some(Resources { nano_cpus: 1, memory_bytes: 8 << 20, generic_resources: vec![] }),
        ..ResourceRequirements::default()
    });
    let one = task(&spec, 4);
    bed.assign(vec![spec.clone()], vec![one.clone()]).await;
    let running = bed.reaches(one.id, TaskState::Running).await;
    let container = bed.inspect(&running).await;
    assert_eq!(container.name.as_deref(), Some(format!("/service120.4.{}", one.id).as_str()));
    let config = container.config.expect("there");
    let labels = config.labels.expect("there");
    for (key, value) in [
        ("mine", "1"),
        ("com.docker.swarm.task", ""),
        ("com.docker.swarm.task.id", one.id.as_str()),
        ("com.docker.swarm.node.id", bed.node_id.as_str()),
        ("com.docker.swarm.service.name", "service120"),
    ] {
        assert_eq!(labels.get(key).map(String::as_str), Some(value), "{key}");
    }
    assert_eq!(config.entrypoint, Some(words(&["sh", "-c"])));
    assert_eq!(config.cmd, Some(words(&["sleep 600"])));
    assert_eq!(config.hostname.as_deref(), Some("service120-4"));
    let env = config.env.expect("there");
    assert!(env.contains(&"WHO=alpha/4".to_owned()) && env.contains(&"PLAIN=1".to_owned()), "{env:?}");
    assert_eq!(config.working_dir.as_deref(), Some("/tmp"));
    assert_eq!(config.user.as_deref(), Some("65534:65534"));
    assert_eq!((config.tty, config.open_stdin), (Some(true), Some(true)));
    assert_eq!((config.stop_signal.as_deref(), config.stop_timeout), (Some("SIGINT"), Some(3)));
    let host = container.host_config.expect("there");
    assert_eq!((host.nano_cpus, host.memory, host.pids_limit), (Some(500_000_000), Some(64 << 20), Some(60)));
    assert_eq!(host.memory_reservation, Some(0), "reservations never reach the engine");
    assert_eq!((host.init, host.readonly_rootfs, host.oom_score_adj), (Some(true), Some(true), Some(321)));
    assert_eq!(host.group_add, Some(words(&["999"])));
    assert_eq!(host.extra_hosts, Some(words(&["db:10.9.8.7"])));
    assert_eq!(host.dns, Some(words(&["10.9.8.1"])));
    assert_eq!(host.dns_search, Some(words(&["example.org"])));
    assert_eq!(host.dns_options, Some(words(&["ndots:2"])));
    assert_eq!(host.sysctls.map(|all| all.len()), Some(1));
    assert_eq!((host.cap_add, host.cap_drop), (Some(words(&["CAP_NET_ADMIN"])), Some(words(&["CAP_MKNOD"]))));
    let security = host.security_opt.expect("there");
    assert!(security.contains(&"seccomp=unconfined".to_owned()), "{security:?}");
    assert!(security.iter().any(|option| option.starts_with("no-new-privileges")), "{security:?}");
    assert_eq!(host.ulimits.map(|all| (all[0].soft, all[0].hard)), Some((Some(100), Some(200))));
    assert_eq!(host.log_config.and_then(|log| log.config).map(|options| options["max-size"].clone()), Some("1m".into()));
    assert!(host.restart_policy.and_then(|policy| policy.maximum_retry_count).unwrap_or_default() == 0);
    let mounts = container.mounts.expect("there");
    let volume = mounts.iter().find(|mount| mount.destination.as_deref() == Some("/data")).expect("mounted");
    assert_eq!(volume.name.as_deref(), Some(format!("swarm-test-{}", one.id).as_str()));
    assert_eq!(mounts.iter().find(|m| m.destination.as_deref() == Some("/b")).and_then(|m| m.rw), Some(false));
    let volume = volume.name.clone().expect("named");
    let docker = bed.docker.clone();
    bed.close().await;
    docker.remove_volume(&volume, None::<bollard::query_parameters::RemoveVolumeOptions>).await.expect("a named volume stays");
}

#[tokio::test]
async fn anonymous_volumes_go_with_their_container() {
    let Some(mut bed) = Bed::new(121).await else {
        return;
    };
    let mounts = vec![Mount { kind: MountType::Volume, target: "/data".into(), ..Mount::default() }];
    let spec = spec_of(121, ContainerSpec { args: shell("sleep 600"), mounts, ..ContainerSpec::default() });
    let one = task(&spec, 1);
    bed.assign(vec![spec], vec![one.clone()]).await;
    let running = bed.reaches(one.id, TaskState::Running).await;
    let mounts = bed.inspect(&running).await.mounts.expect("there");
    let volume = mounts[0].name.clone().expect("the engine names it");
    let docker = bed.docker.clone();
    bed.close().await;
    assert!(docker.inspect_volume(&volume).await.is_err());
}

#[tokio::test]
async fn the_host_is_described() {
    let Some(host) = crate::bed::docker_host() else {
        return;
    };
    let executor =
        swarm_agent::executor::DockerExecutor::connect(&host, "none", std::path::Path::new("/nonexistent")).expect("a good address");
    let got = swarm_agent::executor::Executor::describe(&executor).await.expect("the engine answers");
    assert_eq!((got.platform.os.as_str(), got.platform.architecture.as_str()), ("linux", std::env::consts::ARCH));
    assert!(got.resources.nano_cpus >= 1_000_000_000 && got.resources.memory_bytes > 0);
    assert!(!got.engine.engine_version.is_empty() && !got.hostname.is_empty());
    let has = |kind: &str, name: &str| got.engine.plugins.iter().any(|p| p.kind == kind && p.name == name);
    assert!(has("Volume", "local") && has("Network", "overlay") && has("Log", "json-file"));
}
