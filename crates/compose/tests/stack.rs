//! Whole compose files, as a user writes them, and the stack that they make.

use std::path::{Path, PathBuf};
use swarm_compose::{Source, Stack, Surroundings, load};

const FILES: &[(&str, &str)] = &[("/app/web.env", "# a comment\nA=file\nC=\"quoted\"\nHOME\nGONE\n"), ("/app/key.txt", "s3cret")];

fn read(path: &Path) -> Result<Vec<u8>, String> {
    let name = path.to_string_lossy();
    let file = FILES.iter().find(|(file, _)| *file == name).ok_or("no such file or directory")?;
    Ok(file.1.as_bytes().to_vec())
}

fn variable(name: &str) -> Option<String> {
    match name {
        "TAG" => Some("2".into()),
        "HOME" => Some("/root".into()),
        _ => None,
    }
}

fn with<T>(texts: &[&str], run: impl FnOnce(swarm_compose::Project, &Surroundings<'_>) -> T) -> Result<T, String> {
    let around = Surroundings { variables: &variable, read: &read, interpolate: true, profiles: &[] };
    let source = |(at, text): (usize, &&str)| Source { name: format!("{at}.yml"), folder: PathBuf::from("/app"), text: (*text).to_owned() };
    let sources: Vec<Source> = texts.iter().enumerate().map(source).collect();
    let project = load(&sources, &around).map_err(|error| error.to_string())?;
    Ok(run(project, &around))
}

fn stack(text: &str) -> Result<Stack, String> {
    with(&[text], |project, around| project.stack("s", around).map_err(|error| error.to_string()))?
}

fn error(text: &str) -> String {
    stack(text).expect_err("there is a fault")
}

const WEB: &str = r#"
version: "3.8"
services:
  web:
    image: web:${TAG}
    command: serve --port "80 81"
    entrypoint: [/entry]
    environment: {A: own, B: 2, D: null}
    env_file: web.env
    ports: ["8080:80", {target: 53, published: "5300", protocol: udp, mode: host}]
    volumes: ["data:/data:ro", "./conf:/etc/conf", "~/x:/x", {type: tmpfs, target: /t, tmpfs: {size: 64m, mode: 01777}}]
    networks:
      front: {aliases: [www]}
      outer:
    secrets: [key, {source: key, target: /k, uid: "1", mode: 0400}]
    configs: [text]
    extra_hosts: {db: 10.0.0.1}
    healthcheck: {test: curl -f localhost, interval: 5s, retries: 2}
    cap_add: [net_admin]
    ulimits: {nofile: {soft: 1, hard: 2}, nproc: 5}
    logging: {driver: json-file, options: {max-size: 1m}}
    stop_grace_period: 1m
    sysctls: [net.core.somaxconn=10]
    security_opt: ["no-new-privileges:true"]
    labels: {c: d}
    deploy:
      replicas: "3"
      labels: [tier=front]
      endpoint_mode: VIP
      placement: {constraints: [node.role == worker], preferences: [{spread: node.labels.zone}], max_replicas_per_node: 2}
      resources:
        limits: {cpus: "0.5", memory: 64M, pids: 10}
        reservations: {generic_resources: [{discrete_resource_spec: {kind: GPU, value: 1}}]}
      restart_policy: {condition: on-failure, delay: 2s, max_attempts: 4}
      update_config: {parallelism: 2, order: start-first, failure_action: rollback, max_failure_ratio: 0.5}
  job:
    image: job:1
    deploy: {mode: replicated-job, replicas: 2}
networks:
  front: {driver_opts: {encrypted: ""}, ipam: {config: [{subnet: 10.9.0.0/24}]}}
  outer: {external: true}
  unused: {}
volumes:
  data: {driver: nfs, labels: {v: w}}
secrets:
  key: {file: ./key.txt}
configs:
  text: {content: "hello $TAG", template_driver: golang}
"#;

#[test]
fn a_service_gets_all_that_its_file_says() {
    let stack = stack(WEB).expect("makes a stack");
    let web = stack.services.iter().find(|service| service.key == "web").expect("web");
    let json = serde_json_of(&web.spec);
    for part in [
        r#""Name":"s_web","Labels":{"com.docker.stack.image":"web:2","com.docker.stack.namespace":"s","tier":"front"}"#,
        r#""Image":"web:2","Labels":{"c":"d","com.docker.stack.namespace":"s"},"Command":["/entry"],"Args":["serve","--port","80 81"]"#,
        r#""Env":["A=own","B=2","C=\"quoted\"","D","HOME=/root"]"#,
        r#"{"Type":"volume","Source":"s_data","Target":"/data","ReadOnly":true,"VolumeOptions":{"Labels":{"com.docker.stack.namespace":"s","v":"w"},"DriverConfig":{"Name":"nfs"}}}"#,
        r#"{"Type":"bind","Source":"/app/conf","Target":"/etc/conf"}"#,
        r#"{"Type":"bind","Source":"/root/x","Target":"/x"}"#,
        r#"{"Type":"tmpfs","Target":"/t","TmpfsOptions":{"SizeBytes":67108864,"Mode":1023}}"#,
        r#""StopGracePeriod":60000000000"#,
        r#""Healthcheck":{"Test":["CMD-SHELL","curl -f localhost"],"Interval":5000000000,"Retries":2}"#,
        r#""Hosts":["10.0.0.1 db"]"#,
        r#"{"File":{"Name":"/k","UID":"1","GID":"0","Mode":256},"SecretID":"","SecretName":"s_key"}"#,
        r#""Configs":[{"File":{"Name":"text","UID":"0","GID":"0","Mode":292},"ConfigID":"","ConfigName":"s_text"}]"#,
        r#""Sysctls":{"net.core.somaxconn":"10"},"CapabilityAdd":["CAP_NET_ADMIN"]"#,
        r#""Ulimits":[{"Name":"nofile","Hard":2,"Soft":1},{"Name":"nproc","Hard":5,"Soft":5}]"#,
        r#""Limits":{"NanoCPUs":500000000,"MemoryBytes":67108864,"Pids":10}"#,
        r#""Reservations":{"GenericResources":[{"DiscreteResourceSpec":{"Kind":"GPU","Value":1}}]}"#,
        r#""RestartPolicy":{"Condition":"on-failure","Delay":2000000000,"MaxAttempts":4}"#,
        r#""Constraints":["node.role == worker"],"Preferences":[{"Spread":{"SpreadDescriptor":"node.labels.zone"}}],"MaxReplicas":2"#,
        r#""Networks":[{"Target":"outer","Aliases":["web"]},{"Target":"s_front","Aliases":["www","web"]}]"#,
        r#""LogDriver":{"Name":"json-file","Options":{"max-size":"1m"}}"#,
        r#""Mode":{"Replicated":{"Replicas":3}}"#,
        r#""UpdateConfig":{"Parallelism":2,"FailureAction":"rollback","MaxFailureRatio":0.5,"Order":"start-first"}"#,
        r#""EndpointSpec":{"Mode":"vip","Ports":[{"Protocol":"udp","TargetPort":53,"PublishedPort":5300,"PublishMode":"host"},{"Protocol":"tcp","TargetPort":80,"PublishedPort":8080,"PublishMode":"ingress"}]}"#,
        r#""Privileges":{"NoNewPrivileges":true}"#,
    ] {
        assert!(json.contains(part), "{part}\nis not in\n{json}");
    }
}

fn serde_json_of(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).expect("writes")
}

#[test]
fn a_stack_makes_what_its_services_use() {
    let stack = stack(WEB).expect("makes a stack");
    let networks: Vec<String> = stack.networks.iter().map(|network| serde_json_of(&network.create)).collect();
    let names: Vec<&str> = stack.networks.iter().map(|network| network.name.as_str()).collect();
    assert_eq!(names, ["s_default", "s_front"]);
    assert!(networks[1].contains(r#""Subnet":"10.9.0.0/24""#) && networks[1].contains(r#""Driver":"overlay""#), "{networks:?}");
    assert_eq!(stack.external_networks, ["outer"]);
    let secret = &stack.secrets[0];
    assert_eq!((secret.name.as_str(), secret.data.bytes()), ("s_key", &b"s3cret"[..]));
    let config = &stack.configs[0];
    assert_eq!((config.name.as_str(), config.data.bytes()), ("s_text", &b"hello 2"[..]));
    assert_eq!(config.templating.as_ref().map(|driver| driver.name.as_str()), Some("golang"));
    let job = stack.services.iter().find(|service| service.key == "job").expect("job");
    assert!(serde_json_of(&job.spec.mode).contains(r#"{"ReplicatedJob":{"MaxConcurrent":2,"TotalCompletions":2}}"#));
    assert!(stack.warnings.is_empty(), "{:?}", stack.warnings);
}

#[test]
fn what_has_no_effect_is_named() {
    let stack = stack("services: {a: {image: x, build: ., depends_on: [b], container_name: y, restart: always, networks: {n: {ipv4_address: 1.2.3.4}}}}\nnetworks: {n: {external: {name: other}}}")
        .expect("makes a stack");
    assert_eq!(
        stack.warnings,
        [
            "Ignoring unsupported options: build, depends_on, networks.ipv4_address, restart\n",
            "Ignoring deprecated options:\n\ncontainer_name: Setting the container name is not supported.\n",
            "network n: network.external.name is deprecated. Please set network.name with external: true",
        ]
    );
    assert_eq!(stack.external_networks, ["other"]);
    assert!(serde_json_of(&stack.services[0].spec.task_template.restart_policy).contains("any"));
}

#[test]
fn faults_are_named_with_their_place() {
    for (text, wanted) in [
        ("services: {a: {image: x, foo: 1}}", "services.a Additional property foo is not allowed"),
        ("services: {a: {build: .}}", "service a: no image specified"),
        ("services: {a: {image: x, networks: [n]}}", "service a: undefined network \"n\""),
        ("services: {a: {image: x, volumes: ['v:/d']}}", "service a: undefined volume \"v\""),
        ("services: {a: {image: x, secrets: [k]}}", "service a: undefined secret \"k\""),
        ("services: {a: {image: x, ports: ['80:x']}}", "services.a.ports.0 invalid containerPort: x"),
        (
            "services: {a: {image: x, deploy: {mode: global, replicas: 2}}}",
            "services.a.deploy.replicas replicas can only be used with replicated or replicated-job mode",
        ),
        ("services: {a: {image: x, stop_grace_period: 5}}", "services.a.stop_grace_period time: missing unit in duration \"5\""),
        ("services: {a: {image: x, env_file: no.env}}", "open /app/no.env: no such file or directory"),
        ("services: {a: {image: '${NO:?give it}'}}", "required variable NO is missing a value: give it"),
        ("services: {a: {image: x}}\nsecrets: {k: {}}", "secrets.k secret must have a file, content, environment or external"),
    ] {
        assert_eq!(error(text), wanted, "{text}");
    }
    assert!(
        error("services: {a: {image: x, volumes_from: [b]}}").starts_with("compose file contains unsupported options:\n\nvolumes_from: ")
    );
}

#[test]
fn the_merged_file_is_written_in_order() {
    let text =
        with(&["services: {b: {image: x}, a: {image: y}}", "services: {a: {tty: true}}"], |project, _| project.to_yaml().expect("writes"));
    assert_eq!(text.as_deref(), Ok("version: '3.13'\nservices:\n  a:\n    image: y\n    tty: true\n  b:\n    image: x\n"));
}

#[test]
fn host_mode_is_an_attachment() {
    let stack = stack("services: {a: {image: x, network_mode: host}}").expect("makes a stack");
    assert!(serde_json_of(&stack.services[0].spec.task_template).contains(r#""Networks":[{"Target":"host"}]"#));
    assert!(stack.networks.is_empty() && stack.warnings.is_empty());
}

proptest::proptest! {
    #[test]
    fn any_text_ends_in_a_stack_or_an_error(text in "[a-z0-9 :\\[\\]{}$\n&*<!'\"/.-]{0,60}") {
        let _ = stack(&text);
        let _ = stack(&format!("services:\n  a:\n    image: x\n    {text}\n"));
    }
}
