use super::*;
use swarm_types::{
    ConfigReference, Driver, PayloadObject, SecretReference, ServiceId, SpecId, TaskId, TaskSpec, TaskState, Timestamp, Version,
};

fn task() -> AssignedTask {
    AssignedTask {
        id: TaskId::from_random([1; 16]),
        spec: SpecId::from_random([2; 16]),
        slot: 3,
        desired_state: TaskState::Running,
        recorded_state: TaskState::Assigned,
        attachments: vec![],
        generic_resources: vec![],
    }
}

fn payload<Id>(id: Id, data: &[u8], golang: bool) -> Arc<PayloadObject<Id>> {
    let templating = golang.then(|| Driver { name: "golang".into(), ..Driver::default() });
    let spec = PayloadSpec { data: data.to_vec().into(), templating, ..PayloadSpec::default() };
    Arc::new(PayloadObject { id, version: Version::default(), created_at: Timestamp::default(), updated_at: Timestamp::default(), spec })
}

fn at(name: &str) -> FileTarget {
    FileTarget { name: name.into(), uid: "12".into(), gid: String::new(), mode: 0o640 }
}

/// A secret `key` and a config `settings`, at these places; the config is a template if it says so.
fn made(secret: FileTarget, config: FileTarget, text: &str, golang: bool) -> Result<Vec<TaskFile>, FilesError> {
    let (secret_id, config_id) = (SecretId::from_random([5; 16]), ConfigId::from_random([6; 16]));
    let spec = ContainerSpec {
        image: "busybox".into(),
        env: vec!["COLOUR=red".into()],
        secrets: vec![SecretReference { file: Some(secret), secret_id: secret_id.to_string(), secret_name: "key".into() }],
        configs: vec![
            ConfigReference { file: Some(config), config_id: config_id.to_string(), config_name: "settings".into(), runtime: None },
            ConfigReference {
                file: None,
                config_id: config_id.to_string(),
                config_name: "settings".into(),
                runtime: Some(Default::default()),
            },
        ],
        ..ContainerSpec::default()
    };
    let shared = SharedSpec {
        id: SpecId::from_random([2; 16]),
        service_id: Some(ServiceId::from_random([3; 16])),
        service_name: "web".into(),
        service_labels: [].into(),
        template: TaskSpec::default(),
        endpoint: None,
    };
    let held = HeldPayloads {
        secrets: [(secret_id, payload(secret_id, b"hidden", false))].into(),
        configs: [(config_id, payload(config_id, text.as_bytes(), golang))].into(),
    };
    task_files(&task(), &shared, &spec, (NodeId::from_random([4; 16]), &NodeContext::default()), &held)
}

fn file(target: &str, contents: &str) -> TaskFile {
    TaskFile { target: target.into(), uid: 12, gid: 0, mode: 0o640, contents: contents.as_bytes().to_vec().into() }
}

#[test]
fn files_go_where_docker_puts_them() {
    let plain = "{{not expanded}}";
    assert_eq!(
        made(at("key"), at("etc/settings"), plain, false),
        Ok(vec![file("/run/secrets/key", "hidden"), file("/etc/settings", plain)])
    );
    let files = made(at("/key"), at("/etc/settings"), plain, false).expect("made");
    assert_eq!(files.iter().map(|file| file.target.as_str()).collect::<Vec<_>>(), ["/key", "/etc/settings"]);
}

#[test]
fn templates_see_the_task_its_environment_and_its_other_files() {
    let text = "{{.Service.Name}}.{{.Task.Slot}} {{env \"COLOUR\"}}{{env \"NONE\"}} {{secret \"key\"}}";
    assert_eq!(made(at("key"), at("/s"), text, true).expect("made")[1], file("/s", "web.3 red hidden"));
    for (text, reason) in [("{{secret \"other\"}}", "secret target other not found"), ("{{", "unclosed action")] {
        let error = made(at("key"), at("/s"), text, true).expect_err("refused").to_string();
        assert!(error.starts_with("expanding config settings failed: ") && error.contains(reason), "{error}");
    }
}

#[test]
fn faults_are_told_apart_from_what_has_not_arrived() {
    let odd = FileTarget { uid: "root".into(), ..at("key") };
    assert_eq!(made(odd, at("/s"), "", false).expect_err("refused").to_string(), "secret key: UID \"root\" is not a number");
    let spec = ContainerSpec {
        secrets: vec![SecretReference { secret_id: SecretId::from_random([9; 16]).to_string(), secret_name: "late".into(), file: None }],
        ..ContainerSpec::default()
    };
    let awaited = references(&spec, &HeldPayloads::default()).err();
    assert_eq!(awaited, Some(FilesError::Awaited { kind: "secret", name: "late".into() }));
}

#[test]
fn contents_are_not_shown() {
    let files = made(at("key"), at("/s"), "open", false).expect("made");
    assert!(!format!("{files:?}").contains("hidden"));
}
