//! From flags to the JSON that is sent.

use super::{build, merge};
use crate::line::docker_rules;
use crate::overlay;
use crate::service::flags::{CreateFlags, UpdateFlags};
use clap::{Args, Command, FromArgMatches};
use serde_json::{Value, json};
use swarm_types::ServiceSpec;

fn parse<T: Args + FromArgMatches>(line: &str) -> Result<T, String> {
    let command = docker_rules(T::augment_args(Command::new("test")));
    let words = shlex::split(line).expect("is a line");
    let matches = command.try_get_matches_from(std::iter::once("test".to_owned()).chain(words));
    T::from_arg_matches(&matches.map_err(|e| e.to_string())?).map_err(|e| e.to_string())
}

fn lookup(key: &str) -> Option<String> {
    (key == "HOME").then(|| "/root".into())
}

fn created(line: &str) -> Result<Value, String> {
    let flags: CreateFlags = parse(line)?;
    let args = ["sleep".to_owned(), "5".to_owned()];
    let spec = build(&flags, "nginx", &args, &lookup).map_err(|e| e.to_string())?;
    Ok(serde_json::to_value(spec).expect("is JSON"))
}

/// What is at `pointer` of the spec that the flags make.
fn create(line: &str, pointer: &str) -> Value {
    created(line).expect("builds").pointer(pointer).cloned().unwrap_or(Value::Null)
}

const CONTAINER: &str = "/TaskTemplate/ContainerSpec";

fn container(line: &str, key: &str) -> Value {
    create(line, &format!("{CONTAINER}/{key}"))
}

#[test]
fn without_flags_the_spec_is_dockers() {
    assert_eq!(
        created(""),
        Ok(json!({
            "Labels": {},
            "TaskTemplate": {
                "ContainerSpec": {"Image": "nginx", "Args": ["sleep", "5"], "Init": false, "DNSConfig": {}},
                "Resources": {"Limits": {}, "Reservations": {}},
                "Placement": {},
                "ForceUpdate": 0,
            },
            "Mode": {"Replicated": {}},
            "EndpointSpec": {"Mode": "vip"},
        }))
    );
}

#[test]
fn create_flags_of_the_container() {
    for (line, key, expected) in [
        ("-e A=1 -e B -e HOME --env A=2", "Env", json!(["B", "HOME=/root", "A=2"])),
        ("--entrypoint 'sh -c \"echo hi\"'", "Command", json!(["sh", "-c", "echo hi"])),
        ("-w /srv", "Dir", json!("/srv")),
        ("-u me:us", "User", json!("me:us")),
        ("--group b --group a", "Groups", json!(["b", "a"])),
        ("--hostname '{{.Task.Name}}'", "Hostname", json!("{{.Task.Name}}")),
        ("--container-label a=b --container-label c", "Labels", json!({"a": "b", "c": ""})),
        ("-t", "TTY", json!(true)),
        ("-t=false", "TTY", json!(null)),
        ("--init", "Init", json!(true)),
        ("--read-only", "ReadOnly", json!(true)),
        ("--stop-signal SIGINT", "StopSignal", json!("SIGINT")),
        ("--stop-grace-period 1m30s", "StopGracePeriod", json!(90_000_000_000_i64)),
        ("--isolation process", "Isolation", json!("process")),
        ("--oom-score-adj -5", "OomScoreAdj", json!(-5)),
        ("--host db:10.0.0.1 --host v6=[::1]", "Hosts", json!(["10.0.0.1 db", "::1 v6"])),
        (
            "--dns 8.8.8.8 --dns-search example.com --dns-option ndots:2",
            "DNSConfig",
            json!({"Nameservers": ["8.8.8.8"], "Search": ["example.com"], "Options": ["ndots:2"]}),
        ),
        ("--sysctl net.a=1 --sysctl b", "Sysctls", json!({"net.a": "1", "b": ""})),
        (
            "--ulimit nofile=10:20 --ulimit core=1 --ulimit nofile=30",
            "Ulimits",
            json!([{"Name": "core", "Hard": 1, "Soft": 1}, {"Name": "nofile", "Hard": 30, "Soft": 30}]),
        ),
        ("--cap-add net_admin --cap-drop all", "CapabilityAdd", json!(["CAP_NET_ADMIN"])),
        ("--cap-add net_admin --cap-drop all", "CapabilityDrop", json!(["ALL"])),
        ("--mount type=bind,src=/a,dst=/b,ro", "Mounts", json!([{"Type": "bind", "Source": "/a", "Target": "/b", "ReadOnly": true}])),
        ("--no-healthcheck", "Healthcheck", json!({"Test": ["NONE"]})),
        ("--health-start-period 1s", "Healthcheck", json!({"StartPeriod": 1_000_000_000})),
        (
            "--health-cmd 'curl x' --health-interval 5s --health-timeout 2s --health-retries 3 --health-start-interval 1ms",
            "Healthcheck",
            json!({"Test": ["CMD-SHELL", "curl x"], "Interval": 5_000_000_000_i64, "Timeout": 2_000_000_000,
                "StartInterval": 1_000_000, "Retries": 3}),
        ),
    ] {
        assert_eq!(container(line, key), expected, "{line}");
    }
}

#[test]
fn create_flags_of_the_service() {
    for (line, pointer, expected) in [
        ("--name web", "/Name", json!("web")),
        ("-l a=b=c --label d", "/Labels", json!({"a": "b=c", "d": ""})),
        ("--replicas 3", "/Mode", json!({"Replicated": {"Replicas": 3}})),
        ("--replicas 0", "/Mode", json!({"Replicated": {"Replicas": 0}})),
        ("--mode global", "/Mode", json!({"Global": {}})),
        (
            "--limit-cpu 1.5 --limit-memory 64m --limit-pids 10 --reserve-cpu .25 --reserve-memory 1g --memory-swap -1 --memory-swappiness 0",
            "/TaskTemplate/Resources",
            json!({"Limits": {"NanoCPUs": 1_500_000_000, "MemoryBytes": 67_108_864, "Pids": 10},
                "Reservations": {"NanoCPUs": 250_000_000, "MemoryBytes": 1_073_741_824}, "SwapBytes": -1, "MemorySwappiness": 0}),
        ),
        (
            "--restart-condition on-failure --restart-max-attempts 0x10",
            "/TaskTemplate/RestartPolicy",
            json!({"Condition": "on-failure", "Delay": 5_000_000_000_i64, "MaxAttempts": 16}),
        ),
        (
            "--restart-delay 1s --restart-window 1m",
            "/TaskTemplate/RestartPolicy",
            json!({"Condition": "any", "Delay": 1_000_000_000, "MaxAttempts": 0, "Window": 60_000_000_000_i64}),
        ),
        (
            "--constraint node.role==worker --constraint a!=b --placement-pref spread=node.labels.a --replicas-max-per-node 2",
            "/TaskTemplate/Placement",
            json!({"Constraints": ["node.role==worker", "a!=b"], "Preferences": [{"Spread": {"SpreadDescriptor": "node.labels.a"}}],
                "MaxReplicas": 2}),
        ),
        (
            "--log-driver syslog --log-opt a=b --log-opt HOME",
            "/TaskTemplate/LogDriver",
            json!({"Name": "syslog", "Options": {"a": "b", "HOME": "/root"}}),
        ),
        ("--log-opt a=b", "/TaskTemplate/LogDriver", json!(null)),
        (
            "-p mode=host,target=80,published=8080 --publish target=53,mode=host,protocol=udp",
            "/EndpointSpec/Ports",
            json!([{"Protocol": "tcp", "TargetPort": 80, "PublishedPort": 8080, "PublishMode": "host"},
                {"Protocol": "udp", "TargetPort": 53, "PublishMode": "host"}]),
        ),
        (
            "-p 8080-8081:80",
            "/EndpointSpec/Ports",
            json!([{"Protocol": "tcp", "TargetPort": 80, "PublishedPort": 8080, "PublishMode": "ingress"},
                {"Protocol": "tcp", "TargetPort": 80, "PublishedPort": 8081, "PublishMode": "ingress"}]),
        ),
        ("--endpoint-mode dnsrr", "/EndpointSpec/Mode", json!("dnsrr")),
        (
            "--network blue --network name=green,alias=db,driver-opt=a=b",
            "/TaskTemplate/Networks",
            json!([{"Target": "blue"}, {"Target": "green", "Aliases": ["db"], "DriverOpts": {"a": "b"}}]),
        ),
    ] {
        assert_eq!(create(line, pointer), expected, "{line}");
    }
}

#[test]
fn contradictions_are_refused_in_dockers_words() {
    for (line, expected) in [
        ("--no-healthcheck --health-cmd x", "--no-healthcheck conflicts with --health-* options"),
        ("--mode x", "unknown mode: x, only replicated and global supported"),
        ("--mode global --replicas 1", "replicas can only be used with replicated or replicated-job mode"),
        ("--mode global --replicas-max-per-node 1", "replicas-max-per-node can only be used with replicated or replicated-job mode"),
        ("--mode global-job --replicas 1", "replicas can only be used with replicated or replicated-job mode"),
        ("--mode global --max-concurrent 1", "max-concurrent can only be used with replicated-job mode"),
        ("--max-concurrent 1", "max-concurrent can only be used with replicated-job mode"),
        ("--mode replicated-job --update-delay 1s", "update and rollback configuration is not supported for jobs"),
        ("--mode global-job --rollback-parallelism 2", "update and rollback configuration is not supported for jobs"),
    ] {
        assert_eq!(created(line), Err(expected.to_owned()), "{line}");
    }
}

/// A spec with something of everything, and a member that this program does not know.
fn existing() -> Value {
    json!({
        "Name": "web", "Labels": {"l1": "v1", "l2": ""},
        "TaskTemplate": {
            "ContainerSpec": {
                "Image": "nginx:1", "Args": ["a"], "Command": ["c"], "Env": ["A=1", "B=2", "C=3"], "Labels": {"x": "1"},
                "Hosts": ["127.0.0.1 host1 host2", "1.2.3.4 host3"], "Groups": ["g1", "g2"], "User": "u", "TTY": true,
                "Mounts": [{"Type": "bind", "Source": "/a", "Target": "/b"}, {"Type": "volume", "Source": "v", "Target": "/v"}],
                "CapabilityAdd": ["CAP_CHOWN"], "CapabilityDrop": ["CAP_NET_RAW"], "Sysctls": {"net.a": "1"},
                "Ulimits": [{"Name": "nofile", "Hard": 20, "Soft": 10}], "Healthcheck": {"Test": ["NONE"]},
                "DNSConfig": {"Nameservers": ["8.8.8.8"], "Search": ["b.com", "a.com"]}, "Init": true, "Newer": {"A": 1},
            },
            "Resources": {"Limits": {"NanoCPUs": 1_500_000_000, "MemoryBytes": 67_108_864}},
            "RestartPolicy": {"Condition": "on-failure", "MaxAttempts": 3},
            "Placement": {"Constraints": ["c==d", "a==b"], "MaxReplicas": 3, "Platforms": [{"OS": "linux"}],
                "Preferences": [{"Spread": {"SpreadDescriptor": "a"}}, {"Spread": {"SpreadDescriptor": "b"}}]},
            "LogDriver": {"Name": "json-file", "Options": {"max-size": "1m"}}, "ForceUpdate": 4, "Runtime": "container",
        },
        "Mode": {"Replicated": {"Replicas": 5}},
        "EndpointSpec": {"Mode": "vip", "Ports": [
            {"Protocol": "udp", "TargetPort": 53, "PublishedPort": 53, "PublishMode": "host"},
            {"Protocol": "tcp", "TargetPort": 80, "PublishedPort": 8080, "PublishMode": "host"}]},
        "UpdateConfig": {"Parallelism": 2, "MaxFailureRatio": 0.25, "Order": "start-first"},
        "Networks": null,
    })
}

fn updated_from(mut raw: Value, line: &str) -> Result<Value, String> {
    // A list that is null is an empty one to the daemon, but not to serde.
    if let Some(spec) = raw.as_object_mut() {
        spec.retain(|_, member| !member.is_null());
    }
    let before: ServiceSpec = serde_json::from_value(raw.clone()).expect("is a spec");
    let mut after = before.clone();
    merge(&parse::<UpdateFlags>(line)?, &mut after, &lookup).map_err(|e| e.to_string())?;
    overlay::changed(raw, &before, &after).map_err(|e| e.to_string())
}

fn update(line: &str, pointer: &str) -> Value {
    updated_from(existing(), line).expect("merges").pointer(pointer).cloned().unwrap_or(Value::Null)
}

#[test]
fn an_update_without_flags_changes_nothing() {
    let mut expected = existing();
    expected.as_object_mut().expect("is one").remove("Networks");
    assert_eq!(updated_from(existing(), ""), Ok(expected));
}

#[test]
fn update_flags_of_the_container() {
    for (line, key, expected) in [
        ("--env-add B=4 --env-add D=5 --env-add HOME --env-rm A", "Env", json!(["B=4", "C=3", "D=5", "HOME=/root"])),
        ("--env-rm A --env-rm B --env-rm C", "Env", json!(null)),
        ("--env-rm A --env-add A=9", "Env", json!(["B=2", "C=3", "A=9"])),
        ("--args 'x \"y z\"'", "Args", json!(["x", "y z"])),
        ("--args ''", "Args", json!(null)),
        ("--entrypoint ''", "Command", json!(null)),
        ("--container-label-add a=b --container-label-rm x", "Labels", json!({"a": "b"})),
        ("--group-add a --group-rm g1", "Groups", json!(["a", "g2"])),
        ("--host-rm host1 --host-add new:9.9.9.9", "Hosts", json!(["127.0.0.1 host2", "1.2.3.4 host3", "9.9.9.9 new"])),
        ("--mount-add type=bind,src=/new,dst=/b --mount-rm /v", "Mounts", json!([{"Type": "bind", "Source": "/new", "Target": "/b"}])),
        ("--cap-add net_raw --cap-drop chown", "CapabilityAdd", json!(null)),
        ("--cap-add net_raw --cap-drop chown", "CapabilityDrop", json!(null)),
        ("--cap-add chown --cap-add sys_time", "CapabilityAdd", json!(["CAP_CHOWN", "CAP_SYS_TIME"])),
        ("--cap-add RESET", "CapabilityAdd", json!(null)),
        ("--sysctl-add net.b=2 --sysctl-rm net.a", "Sysctls", json!({"net.b": "2"})),
        ("--ulimit-add core=1 --ulimit-rm nofile", "Ulimits", json!([{"Name": "core", "Hard": 1, "Soft": 1}])),
        (
            "--dns-add 1.1.1.1 --dns-search-rm a.com --dns-option-add x",
            "DNSConfig",
            json!({"Nameservers": ["1.1.1.1", "8.8.8.8"], "Search": ["b.com"], "Options": ["x"]}),
        ),
        ("--health-interval 3s", "Healthcheck", json!({"Interval": 3_000_000_000_i64})),
        ("--health-cmd 'x y' --health-retries 2", "Healthcheck", json!({"Test": ["CMD-SHELL", "x y"], "Retries": 2})),
        ("--health-cmd x --health-cmd ''", "Healthcheck", json!({})),
        ("--tty=false", "TTY", json!(null)),
        ("--init=false", "Init", json!(false)),
        ("--user ''", "User", json!(null)),
        ("--stop-grace-period 3s", "StopGracePeriod", json!(3_000_000_000_i64)),
        ("--env-add X=1", "Newer", json!({"A": 1})),
    ] {
        assert_eq!(update(line, &format!("{CONTAINER}/{key}")), expected, "{line}");
    }
}

#[test]
fn update_flags_of_the_service() {
    for (line, pointer, expected) in [
        ("--label-add x=y --label-rm l1", "/Labels", json!({"l2": "", "x": "y"})),
        ("--replicas 7", "/Mode", json!({"Replicated": {"Replicas": 7}})),
        ("--force", "/TaskTemplate/ForceUpdate", json!(5)),
        ("--force=false", "/TaskTemplate/ForceUpdate", json!(4)),
        ("--limit-cpu 2", "/TaskTemplate/Resources/Limits", json!({"NanoCPUs": 2_000_000_000, "MemoryBytes": 67_108_864})),
        ("--limit-memory 0", "/TaskTemplate/Resources/Limits", json!({"NanoCPUs": 1_500_000_000})),
        ("--reserve-memory 10m", "/TaskTemplate/Resources/Reservations", json!({"MemoryBytes": 10_485_760})),
        (
            "--restart-delay 3s",
            "/TaskTemplate/RestartPolicy",
            json!({"Condition": "on-failure", "MaxAttempts": 3, "Delay": 3_000_000_000_i64}),
        ),
        ("--constraint-add 0==0 --constraint-rm a==b", "/TaskTemplate/Placement/Constraints", json!(["0==0", "c==d"])),
        (
            "--placement-pref-add spread=c --placement-pref-rm spread=a",
            "/TaskTemplate/Placement/Preferences",
            json!([{"Spread": {"SpreadDescriptor": "b"}}, {"Spread": {"SpreadDescriptor": "c"}}]),
        ),
        ("--replicas-max-per-node 0", "/TaskTemplate/Placement/MaxReplicas", json!(null)),
        ("--log-driver none --log-opt a=b", "/TaskTemplate/LogDriver", json!({"Name": "none", "Options": {"a": "b"}})),
        ("--log-opt a=b", "/TaskTemplate/LogDriver", json!({"Name": "json-file", "Options": {"max-size": "1m"}})),
        (
            "--publish-add mode=host,target=90,published=9090 --publish-rm 53/udp",
            "/EndpointSpec/Ports",
            json!([{"Protocol": "tcp", "TargetPort": 80, "PublishedPort": 8080, "PublishMode": "host"},
                {"Protocol": "tcp", "TargetPort": 90, "PublishedPort": 9090, "PublishMode": "host"}]),
        ),
        (
            "--publish-rm target=80,mode=ingress --publish-rm 53",
            "/EndpointSpec/Ports",
            json!([{"Protocol": "udp", "TargetPort": 53, "PublishedPort": 53, "PublishMode": "host"},
                {"Protocol": "tcp", "TargetPort": 80, "PublishedPort": 8080, "PublishMode": "host"}]),
        ),
        ("--image x", "/UpdateConfig", json!({"Parallelism": 2, "MaxFailureRatio": 0.25, "Order": "start-first"})),
    ] {
        assert_eq!(update(line, pointer), expected, "{line}");
    }
}

#[test]
fn updates_that_do_not_fit_are_refused_in_dockers_words() {
    let mut global = existing();
    global["Mode"] = json!({"Global": {}});
    let refused = |spec: Value, line: &str| updated_from(spec, line).expect_err("is refused");
    assert_eq!(refused(global, "--replicas 2"), "replicas can only be used with replicated mode");
    assert_eq!(refused(existing(), "--mount-add dst=/x --mount-add dst=/x"), "duplicate mount target");
    assert_eq!(refused(existing(), "--no-healthcheck --health-retries 2"), "--no-healthcheck conflicts with --health-* options");
}

#[test]
fn update_policies_begin_with_dockers_defaults() {
    let defaults = |key: &str, value: Value| {
        let mut config = json!({"Parallelism": 1, "Monitor": 5_000_000_000_u64, "FailureAction": "pause", "MaxFailureRatio": 0,
            "Order": "stop-first"});
        config[key] = value;
        config
    };
    assert_eq!(create("--update-parallelism 0", "/UpdateConfig"), defaults("Parallelism", json!(0)));
    assert_eq!(create("--update-parallelism 0", "/RollbackConfig"), Value::Null);
    assert_eq!(create("--rollback-order start-first", "/RollbackConfig"), defaults("Order", json!("start-first")));
    assert_eq!(create("--update-max-failure-ratio 0.5", "/UpdateConfig"), defaults("MaxFailureRatio", json!(0.5)));
    assert_eq!(create("--update-delay 2s", "/UpdateConfig"), defaults("Delay", json!(2_000_000_000)));
    assert_eq!(create("--update-failure-action rollback", "/UpdateConfig"), defaults("FailureAction", json!("rollback")));
    assert!(created("--update-order sideways").is_err());
    assert!(created("--rollback-max-failure-ratio half").is_err_and(|e| e.contains("strconv.ParseFloat")));
}
