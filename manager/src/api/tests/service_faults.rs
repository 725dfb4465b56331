//! One line per way a service's spec can be wrong: what is added to a good spec, the status, and the text.

use super::*;

/// A field by JSON pointer, its value, and what follows "rpc error: code = InvalidArgument desc = ".
type Case = (&'static str, Value, &'static str);

const CONTAINER: &str = "/TaskTemplate/ContainerSpec";

fn invalid() -> Vec<Case> {
    let port = |published: u32, mode: &str| json!({"TargetPort": 80, "PublishedPort": published, "PublishMode": mode});
    vec![
        ("/Name", json!("-web"), "name must be valid as a DNS name component"),
        ("/Name", json!("a.b"), "name must be valid as a DNS name component"),
        ("/Name", json!("a".repeat(64)), "name must be 63 characters or fewer"),
        ("/TaskTemplate/ContainerSpec/Image", json!(""), "ContainerSpec: image reference must be provided"),
        ("/TaskTemplate/ContainerSpec/Image", json!("UP \"x"), "ContainerSpec: \"UP \\\"x\" is not a valid repository/tag"),
        ("/TaskTemplate/ContainerSpec/Mounts", json!([{"Target": "/x"}, {"Target": "/x"}]), "ContainerSpec: duplicate mount point: /x"),
        (
            "/TaskTemplate/ContainerSpec/Healthcheck/Interval",
            json!(999_999),
            "ContainerSpec: Interval in HealthConfig cannot be less than 1ms",
        ),
        ("/TaskTemplate/ContainerSpec/Healthcheck/Timeout", json!(-1), "ContainerSpec: Timeout in HealthConfig cannot be less than 1ms"),
        (
            "/TaskTemplate/ContainerSpec/Healthcheck/StartPeriod",
            json!(1),
            "ContainerSpec: StartPeriod in HealthConfig cannot be less than 1ms",
        ),
        (
            "/TaskTemplate/ContainerSpec/Healthcheck/StartInterval",
            json!(1),
            "ContainerSpec: StartInterval in HealthConfig cannot be less than 1ms",
        ),
        ("/TaskTemplate/ContainerSpec/Healthcheck/Retries", json!(-1), "ContainerSpec: Retries in HealthConfig cannot be negative"),
        ("/TaskTemplate/ContainerSpec/StopGracePeriod", json!(-1), "ContainerSpec: stop-grace-period cannot be negative"),
        ("/TaskTemplate/Resources/Limits/NanoCPUs", json!(500_000), "invalid cpu value 0.0005: Must be at least 0.001"),
        ("/TaskTemplate/Resources/Reservations/NanoCPUs", json!(-1_000_000_000), "invalid cpu value -1: Must be at least 0.001"),
        ("/TaskTemplate/Resources/Limits/MemoryBytes", json!(1024), "invalid memory value 1024: Must be at least 4MiB"),
        ("/TaskTemplate/Resources/Reservations/MemoryBytes", json!(4_194_303), "invalid memory value 4194303: Must be at least 4MiB"),
        ("/TaskTemplate/Resources/Limits/Pids", json!(-1), "invalid pids limit -1: Must not be negative"),
        ("/TaskTemplate/RestartPolicy/Delay", json!(-1), "TaskSpec: restart-delay cannot be negative"),
        ("/TaskTemplate/RestartPolicy/Window", json!(-1), "TaskSpec: restart-window cannot be negative"),
        ("/TaskTemplate/Placement/Constraints", json!(["node.role=manager"]), "constraint expected one operator from ==, !="),
        ("/TaskTemplate/Placement/Constraints", json!(["n$==x"]), "key 'n$' is invalid"),
        ("/TaskTemplate/Placement/Constraints", json!(["node.id=="]), "value '' is invalid"),
        (
            "/TaskTemplate/Placement/Preferences",
            json!([{"Spread": {"SpreadDescriptor": "node.id"}}]),
            "TaskSpec: invalid placement preference 'spread=node.id': expected node.labels.<label> or engine.labels.<label>",
        ),
        ("/Mode/Replicated/Replicas", json!(u64::MAX), "Number of replicas must be non-negative"),
        ("/Mode/Replicated/Replicas", json!(1_000_001), "Number of replicas must be at most 1000000"),
        ("/EndpointSpec/Ports", json!([port(80, "host"), port(80, "host")]), "EndpointSpec: duplicate published ports provided"),
        ("/EndpointSpec/Ports", json!([port(65_536, "host")]), "EndpointSpec: invalid published port 65536: Must be between 1 and 65535"),
        (
            "/EndpointSpec/Ports",
            json!([{"PublishedPort": 80, "PublishMode": "host"}]),
            "EndpointSpec: invalid target port 0: Must be between 1 and 65535",
        ),
    ]
}

/// What is told as it is, without a prefix.
fn malformed() -> Vec<Case> {
    vec![
        (CONTAINER, Value::Null, "mismatched Runtime and *Spec fields"),
        ("/TaskTemplate", Value::Null, "mismatched Runtime and *Spec fields"),
        ("/TaskTemplate/PluginSpec", json!({}), "mismatched Runtime and *Spec fields"),
        ("/TaskTemplate/Runtime", json!("jail"), "unsupported runtime"),
        ("/TaskTemplate/Runtime", json!("attachment"), "unsupported runtime"),
        ("/Mode/Global", json!({}), "must specify only one service mode"),
        ("/TaskTemplate/ContainerSpec/Mounts", json!([{"Type": "image", "Target": "/x"}]), "invalid MountType: \"image\""),
        ("/TaskTemplate/ContainerSpec/Mounts", json!([{"Type": "floppy", "Target": "/x"}]), "invalid MountType: \"floppy\""),
        (
            "/TaskTemplate/ContainerSpec/Mounts",
            json!([{"Type": "bind", "BindOptions": {"Propagation": "up"}}]),
            "invalid MountPropagation: \"up\"",
        ),
        ("/TaskTemplate/Resources/SwapBytes", json!(1), "memory swap provided, but no memory-limit was set"),
        ("/TaskTemplate/Resources/MemorySwappiness", json!(101), "invalid value: 101, valid memory swappiness range is 0-100"),
        ("/TaskTemplate/RestartPolicy/Condition", json!("sometimes"), "invalid RestartCondition: \"sometimes\""),
        ("/EndpointSpec/Mode", json!("anycast"), "invalid resolution mode: \"anycast\""),
        ("/TaskTemplate/ContainerSpec/Privileges/Seccomp/Mode", json!("loose"), "invalid Seccomp mode: \"loose\""),
        ("/Labels", json!(["a"]), "invalid JSON: cannot unmarshal array into field Labels of type a map"),
        ("/TaskTemplate/ForceUpdate", json!("1"), "invalid JSON: cannot unmarshal string into field TaskTemplate.ForceUpdate of type u64"),
    ]
}

/// What comes later: the text begins with the flag.
fn later() -> Vec<Case> {
    vec![
        ("/TaskTemplate/Networks", json!([{"Target": "host", "Aliases": ["x"]}]), "\"--network\""),
        ("/TaskTemplate/Networks", json!([{"Target": "host"}, {"Target": "bridge"}]), "\"--network\""),
        ("/TaskTemplate/ContainerSpec/Privileges/CredentialSpec/File", json!("f"), "\"--credential-spec\""),
        ("/TaskTemplate/ContainerSpec/Mounts", json!([{"Type": "cluster", "Target": "/x"}]), "\"--mount type=cluster\""),
        ("/TaskTemplate/Runtime", json!("plugin"), "a plugin service"),
    ]
}

#[tokio::test]
async fn every_fault_has_its_status_and_text_and_stores_nothing() {
    let world = World::new();
    let id = world.service("web").await;
    let before = world.store.state().applied();
    let version = world.stored(id).version.index;
    let check = async |(pointer, value, text): Case, status: StatusCode, prefix: &str| {
        let body = with(spec("web"), pointer, value.clone());
        let is_name = pointer == "/Name";
        for create in [true, false] {
            let body = if create && !is_name { with(body.clone(), "/Name", json!("other")) } else { body.clone() };
            let (got, answer) =
                if create { world.post("/services/create", &body).await } else { world.update("web", version, &body).await };
            let expected = if status == StatusCode::NOT_IMPLEMENTED {
                message(&answer).starts_with(text)
            } else {
                message(&answer) == format!("{prefix}{text}")
            };
            assert!(got == status && expected, "{pointer} {value}: {got} {answer}, expected {status} {prefix}{text}");
        }
    };
    for case in invalid() {
        check(case, StatusCode::BAD_REQUEST, "rpc error: code = InvalidArgument desc = ").await;
    }
    for case in malformed() {
        check(case, StatusCode::BAD_REQUEST, "").await;
    }
    for case in later() {
        check(case, StatusCode::NOT_IMPLEMENTED, "").await;
    }
    assert_eq!(world.store.state().applied(), before);
}

#[tokio::test]
async fn what_is_unusual_but_fine_is_taken() {
    let world = World::new();
    let fine = [
        ("/EndpointSpec", json!({"Mode": "vip"})),
        ("/EndpointSpec", json!({"Ports": [{"TargetPort": 80, "PublishMode": "host"}, {"TargetPort": 81, "PublishMode": "host"}]})),
        ("/TaskTemplate/Networks", json!([{"Target": "host"}])),
        ("/UpdateConfig", json!({"Parallelism": 1, "Monitor": 5_000_000_000_u64, "FailureAction": "pause", "Order": "stop-first"})),
        ("/RollbackConfig", json!({"Parallelism": 1})),
        (
            "/UpdateConfig",
            json!({"Parallelism": 0, "Delay": 1, "FailureAction": "rollback", "MaxFailureRatio": 0.5, "Order": "start-first"}),
        ),
        ("/TaskTemplate/Resources", json!({"Limits": {}, "Reservations": {"GenericResources": null}})),
        ("/TaskTemplate/Resources", json!({"Limits": {"MemoryBytes": 8_388_608}, "SwapBytes": -1, "MemorySwappiness": -1})),
        ("/TaskTemplate/ContainerSpec/Healthcheck", json!({"Test": ["NONE"]})),
        ("/TaskTemplate/ContainerSpec/Env", json!(["A={{.Node.Hostname}}-{{.Task.Slot}}", "B", "C={{join \".\" .Service.Name .Task.ID}}"])),
        ("/TaskTemplate/ContainerSpec/Image", json!(format!("reg.example.com:5000/a/b:c@sha256:{}", "a".repeat(64)))),
        ("/TaskTemplate/Placement/Constraints", json!(["node.role == manager", "node.labels.a!=b"])),
        ("/Mode", json!({"Global": {}})),
        ("/Mode/Replicated/Replicas", json!(0)),
    ];
    for (number, (pointer, value)) in fine.into_iter().enumerate() {
        let body = with(spec(&format!("s{number}")), pointer, value);
        let (status, answer) = world.post("/services/create", &body).await;
        assert_eq!(status, StatusCode::CREATED, "{body}: {answer}");
    }
}

#[tokio::test]
async fn templates_are_tried_out() {
    let world = World::new();
    let cases = [
        (
            "Env",
            json!(["A={{.Nope}}"]),
            "expanding env failed: expanding env \"A={{.Nope}}\": template: expansion:1:2: executing \"expansion\" at <.Nope>: can't evaluate field Nope in type *template.Context",
        ),
        ("Hostname", json!("{{if}}"), "expanding hostname failed: template: expansion:1:"),
        (
            "Mounts",
            json!([{"Source": "{{.Task.Nope}}", "Target": "/x"}]),
            "expanding mounts failed: expanding mount source \"{{.Task.Nope}}\": template:",
        ),
        ("Hostname", json!("{{range $i, $e := .Service.Labels}}{{end}}{{.Node.Platform.Nope}}"), "expanding hostname failed: template:"),
    ];
    for (name, value, text) in cases {
        let (status, body) = world.post("/services/create", &with(spec("web"), &format!("{CONTAINER}/{name}"), value)).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{body}");
        let text = format!("rpc error: code = InvalidArgument desc = {text}");
        assert!(message(&body).starts_with(&text), "{body}");
    }
}
