use super::*;
use swarm_types::{BindOptions, EndpointSpec, NetworkAttachmentConfig, SpecId, TaskSpec, TaskState, VolumeOptions};

fn task(slot: u64) -> AssignedTask {
    AssignedTask {
        id: TaskId::from_random([1; 16]),
        spec: SpecId::from_random([2; 16]),
        slot,
        desired_state: TaskState::Running,
        recorded_state: TaskState::Assigned,
        attachments: vec![],
        generic_resources: vec![],
    }
}

fn shared(spec: ContainerSpec) -> SharedSpec {
    SharedSpec {
        id: SpecId::from_random([2; 16]),
        service_id: Some(ServiceId::from_random([3; 16])),
        service_name: "web".into(),
        service_labels: [("tier".to_owned(), "front".to_owned())].into(),
        template: TaskSpec { container_spec: Some(spec), ..TaskSpec::default() },
        endpoint: None,
    }
}

fn image() -> ContainerSpec {
    ContainerSpec { image: "busybox".into(), ..ContainerSpec::default() }
}

fn node() -> NodeContext {
    NodeContext {
        hostname: "alpha".into(),
        platform: Platform { architecture: "x86_64".into(), os: "linux".into() },
        task_defaults: TaskDefaults::default(),
    }
}

fn node_id() -> NodeId {
    NodeId::from_random([4; 16])
}

fn order(task: &AssignedTask, shared: &SharedSpec) -> Result<ContainerOrder, OrderError> {
    ContainerOrder::new(task, shared, node_id(), &node(), &NetworkView::default(), false)
}

#[test]
fn given_resources_are_told_in_variables() {
    let named = |value: &str| GenericResource::Named { kind: "gpu".into(), value: value.into() };
    let given = vec![named("a"), named("b"), GenericResource::Discrete { kind: "SSD".into(), value: 2 }];
    let spec = ContainerSpec { env: vec!["A=1".into()], ..image() };
    let made = order(&AssignedTask { generic_resources: given, ..task(1) }, &shared(spec)).expect("an order");
    assert_eq!(made.spec.env, ["A=1", "DOCKER_RESOURCE_GPU=a,b", "DOCKER_RESOURCE_SSD=2"]);
}

#[test]
fn templates_know_service_node_and_task() {
    let (id, service) = (task(3).id, ServiceId::from_random([3; 16]));
    let spec = ContainerSpec {
        env: vec![
            "A={{.Service.Name}}/{{.Service.ID}}/{{.Service.Labels.tier}}".into(),
            "B={{.Node.ID}} {{.Node.Hostname}} {{.Node.Platform.OS}} {{.Node.Platform.Architecture}}".into(),
            "C={{.Task.ID}} {{.Task.Name}} {{.Task.Slot}}".into(),
            "D={{join \"-\" .Service.Name .Task.Slot}}".into(),
            "BARE".into(),
        ],
        hostname: "{{.Service.Name}}-{{.Task.Slot}}".into(),
        mounts: vec![Mount {
            source: "data-{{.Task.Slot}}".into(),
            target: "/{{.Node.Hostname}}".into(),
            volume_options: Some(VolumeOptions {
                labels: [("n".to_owned(), "{{.Node.Hostname}}".to_owned())].into(),
                driver_config: Some(Driver { name: "local".into(), options: [("o".to_owned(), "uid={{.Task.Slot}}".to_owned())].into() }),
                ..VolumeOptions::default()
            }),
            ..Mount::default()
        }],
        ..image()
    };
    let got = order(&task(3), &shared(spec)).expect("expands").spec;
    assert_eq!(
        got.env,
        [
            format!("A=web/{service}/front"),
            format!("B={} alpha linux x86_64", node_id()),
            format!("C={id} web.3.{id} 3"),
            "D=web-3".into(),
            "BARE".into(),
        ]
    );
    assert_eq!(got.hostname, "web-3");
    let mount = &got.mounts[0];
    assert_eq!((mount.source.as_str(), mount.target.as_str()), ("data-3", "/alpha"));
    let options = mount.volume_options.as_ref().expect("kept");
    assert_eq!(options.labels["n"], "alpha");
    assert_eq!(options.driver_config.as_ref().expect("kept").options["o"], "uid=3");
}

#[test]
fn global_tasks_have_their_node_for_a_slot() {
    let spec = ContainerSpec { hostname: "h-{{.Task.Slot}}".into(), ..image() };
    let got = order(&task(0), &shared(spec)).expect("expands");
    assert_eq!(got.name, format!("web.{}.{}", node_id(), got.task_id));
    assert_eq!(got.spec.hostname, format!("h-{}", node_id()));
}

#[test]
fn a_bad_template_refuses_the_task_and_names_the_field() {
    let spec = ContainerSpec { env: vec!["A={{.Service.Nope}}".into()], ..image() };
    let text = order(&task(1), &shared(spec)).expect_err("refused").to_string();
    assert!(text.starts_with("expanding env failed: expanding env \"A={{.Service.Nope}}\": template: "), "{text}");
    assert!(text.contains("Nope"), "{text}");
    let spec = ContainerSpec { env: vec!["A={{.Service.Labels.missing}}".into()], ..image() };
    let text = order(&task(1), &shared(spec)).expect_err("refused").to_string();
    assert!(text.contains("map has no entry for key \"missing\""), "{text}");
    let spec = ContainerSpec { hostname: "{{".into(), ..image() };
    let text = order(&task(1), &shared(spec)).expect_err("refused").to_string();
    assert!(text.starts_with("expanding hostname failed: "), "{text}");
}

#[test]
fn mounts_are_checked_with_dockers_texts() {
    let refusal = |kind, source: &str, target: &str| {
        let mount = Mount { kind, source: source.into(), target: target.into(), ..Mount::default() };
        let spec = ContainerSpec { mounts: vec![mount], ..image() };
        order(&task(1), &shared(spec)).err().map(|error| error.to_string())
    };
    let says = |text: &str| Some(text.to_owned());
    assert_eq!(refusal(MountType::Volume, "v", "data"), says("invalid mount target, must be an absolute path: data"));
    assert_eq!(refusal(MountType::Bind, "x", "/x"), says("invalid bind mount source, must be an absolute path: x"));
    assert_eq!(refusal(MountType::Volume, "/v", "/x"), says("invalid volume mount source, must not be an absolute path: /v"));
    assert_eq!(refusal(MountType::Tmpfs, "v", "/x"), says("invalid tmpfs source, source must be empty"));
    assert_eq!(refusal(MountType::Npipe, "", "x"), says("invalid npipe source, source must not be empty"));
    assert_eq!(refusal(MountType::Image, "i", "/x"), says("invalid mount type: image"));
    assert_eq!(refusal(MountType::Volume, "", "/x"), None);
    assert_eq!(refusal(MountType::Bind, "/v", "/x"), None);
}

#[test]
fn mount_checks_see_what_the_template_became() {
    let mount = Mount {
        kind: MountType::Bind,
        source: "{{.Node.Hostname}}".into(),
        target: "/x".into(),
        bind_options: Some(BindOptions::default()),
        ..Mount::default()
    };
    let spec = ContainerSpec { mounts: vec![mount], ..image() };
    let got = order(&task(1), &shared(spec)).expect_err("relative source");
    assert_eq!(got.to_string(), "invalid bind mount source, must be an absolute path: alpha");
}

#[test]
fn log_driver_network_and_ports_come_from_their_places() {
    let driver = |name: &str| Some(Driver { name: name.into(), ..Driver::default() });
    let mut shared = shared(image());
    let port = |mode| PortConfig { target_port: 80, published_port: 8080, publish_mode: mode, ..PortConfig::default() };
    shared.endpoint = Some(EndpointSpec { mode: None, ports: vec![port(PublishMode::Ingress), port(PublishMode::Host)] });
    let mut node = node();
    node.task_defaults.log_driver = driver("local");
    let order = |shared: &SharedSpec| ContainerOrder::new(&task(1), shared, node_id(), &node, &NetworkView::default(), false);
    let got = order(&shared).expect("fine");
    assert_eq!(got.log_driver, driver("local"));
    assert_eq!(got.network, None);
    assert_eq!(got.host_ports, [port(PublishMode::Host)]);
    shared.template.log_driver = driver("none");
    let on = |target: &str| NetworkAttachmentConfig { target: target.into(), ..NetworkAttachmentConfig::default() };
    shared.template.networks = vec![on("host")];
    let got = order(&shared).expect("fine");
    assert_eq!((got.log_driver, got.network.as_deref()), (driver("none"), Some("host")));
    shared.template.networks = vec![on("frontend")];
    assert_eq!(order(&shared), Err(OrderError::Network("frontend".into())));
}

#[test]
fn a_template_without_a_container_or_image_is_refused() {
    let mut shared = shared(ContainerSpec::default());
    assert_eq!(order(&task(1), &shared), Err(OrderError::NoImage));
    shared.template.container_spec = None;
    assert_eq!(order(&task(1), &shared), Err(OrderError::NoContainer));
}

#[test]
fn grace_is_cut_to_whole_seconds() {
    let grace = |nanos| stop_grace(&ContainerSpec { stop_grace_period: nanos, ..ContainerSpec::default() });
    assert_eq!(grace(None), Duration::from_secs(10));
    assert_eq!(grace(Some(0)), Duration::ZERO);
    assert_eq!(grace(Some(2_999_999_999)), Duration::from_secs(2));
    assert_eq!(grace(Some(-5)), Duration::ZERO);
}
