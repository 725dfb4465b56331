//! A worker on the engine under test.

use bollard::{
    API_DEFAULT_VERSION, Docker, body_full,
    models::{ContainerInspectResponse, ContainerSummary},
    query_parameters::{CreateImageOptionsBuilder, InspectContainerOptions, ListContainersOptionsBuilder, RemoveContainerOptionsBuilder},
};
use futures_util::StreamExt as _;
use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use swarm_agent::{
    executor::DockerExecutor,
    worker::{WorkerConfig, WorkerHandle},
};
use swarm_session::{Assign, AssignedTask, Generation, PayloadOrders, SharedSpec};
use swarm_types::{ContainerSpec, EndpointSpec, NodeId, PortConfig, SpecId, TaskId, TaskSpec, TaskState, TaskStatus};

/// Longest wait for anything; a loaded two-core machine has needed a tenth of it.
const DEADLINE: Duration = Duration::from_secs(60);

/// An image with a shell, made from this machine's busybox.
pub(crate) const IMAGE: &str = "swarm-agent-test:1";

/// The engine under test, or `None` and a word that nothing was tested.
pub(crate) fn docker_host() -> Option<String> {
    let host = std::env::var("SWARM_TEST_DOCKER_HOST").ok();
    if host.is_none() {
        eprintln!("skipped: SWARM_TEST_DOCKER_HOST is not set");
    }
    host
}

pub(crate) struct Bed {
    pub(crate) docker: Docker,
    pub(crate) worker: WorkerHandle,
    pub(crate) node_id: NodeId,
    pub(crate) dir: PathBuf,
    host: String,
    generation: u64,
    _folder: Option<tempfile::TempDir>,
}

impl Bed {
    /// A node whose id and tasks are made from `seed`; `None` where there is no engine.
    pub(crate) async fn new(seed: u8) -> Option<Self> {
        let host = docker_host()?;
        let folder = tempfile::tempdir().expect("a folder");
        let dir = folder.path().join("worker");
        remove_leftovers(&host, NodeId::from_random([seed; 16])).await;
        let mut bed = Self::at(&host, seed, &dir).await;
        bed._folder = Some(folder);
        Some(bed)
    }

    /// The same with records in `dir`, which may be those of an earlier life.
    pub(crate) async fn at(host: &str, seed: u8, dir: &Path) -> Self {
        let docker = Docker::connect_with_unix(host, 120, API_DEFAULT_VERSION).expect("connects");
        let docker = docker.negotiate_version().await.expect("the engine answers");
        ensure_image(&docker).await;
        let node_id = NodeId::from_random([seed; 16]);
        let worker = open(host, node_id, dir, true).await;
        let generation = worker.generation().0;
        Self { docker, worker, node_id, dir: dir.to_owned(), host: host.to_owned(), generation, _folder: None }
    }

    /// Another life of the agent with the same records.
    pub(crate) async fn restart(&mut self) {
        self.restart_with(true).await;
    }

    /// Another life of the agent, which asks registries for images or not.
    pub(crate) async fn restart_with(&mut self, prefer_offline_images: bool) {
        self.worker.shutdown().await;
        self.worker = open(&self.host, self.node_id, &self.dir, prefer_offline_images).await;
    }

    pub(crate) async fn assign(&mut self, specs: Vec<SharedSpec>, tasks: Vec<AssignedTask>) {
        self.generation += 1;
        let assign = Assign {
            from: None,
            generation: Generation(self.generation),
            specs,
            tasks,
            removed: vec![],
            specs_removed: vec![],
            networks: swarm_session::NetworkOrders::default(),
            payloads: PayloadOrders::default(),
        };
        self.worker.assign(assign).await.expect("taken");
    }

    /// Waits until the task's newest status is this.
    pub(crate) async fn reaches(&self, task: TaskId, state: TaskState) -> TaskStatus {
        let mut changed = self.worker.reports_changed();
        let waited = tokio::time::timeout(DEADLINE, async {
            loop {
                changed.mark_unchanged();
                let reports = self.worker.unreported().await;
                let found = reports.into_iter().find(|r| r.task_id == task && r.status.state == state);
                if let Some(report) = found {
                    return report.status;
                }
                changed.changed().await.expect("the worker lives");
            }
        });
        let Ok(status) = waited.await else { panic!("{task} does not reach {state}; told: {:#?}", self.worker.unreported().await) };
        status
    }

    pub(crate) async fn inspect(&self, status: &TaskStatus) -> ContainerInspectResponse {
        let id = &status.container_status.as_ref().expect("it has a container").container_id;
        let inspected = self.docker.inspect_container(id, None::<InspectContainerOptions>).await;
        inspected.expect("the container is there")
    }

    /// How many containers carry this node's id.
    pub(crate) async fn containers(&self) -> usize {
        list_own(&self.docker, self.node_id).await.len()
    }

    /// Ends the case: the node leaves no container.
    pub(crate) async fn close(self) {
        self.worker.clear().await.expect("clears");
        assert_eq!(self.containers().await, 0);
        self.worker.shutdown().await;
    }
}

async fn open(host: &str, node_id: NodeId, dir: &Path, prefer_offline_images: bool) -> WorkerHandle {
    let config =
        WorkerConfig { dir: Some(dir.to_owned()), node_id, hostname: "alpha".into(), prefer_offline_images, networks: Arc::default() };
    let executor = DockerExecutor::connect(host, "none", std::path::Path::new("/nonexistent")).expect("a good address");
    WorkerHandle::open(config, Arc::new(executor)).await.expect("opens")
}

async fn list_own(docker: &Docker, node_id: NodeId) -> Vec<ContainerSummary> {
    let label = format!("com.docker.swarm.node.id={node_id}");
    let filters = HashMap::from([("label".to_owned(), vec![label])]);
    let options = ListContainersOptionsBuilder::new().all(true).filters(&filters).build();
    docker.list_containers(Some(options)).await.expect("lists")
}

/// Containers of an earlier run that failed.
async fn remove_leftovers(host: &str, node_id: NodeId) {
    let docker = Docker::connect_with_unix(host, 120, API_DEFAULT_VERSION).expect("connects");
    let docker = docker.negotiate_version().await.expect("the engine answers");
    for container in list_own(&docker, node_id).await {
        let options = RemoveContainerOptionsBuilder::new().force(true).v(true).build();
        let id = container.id.expect("an id");
        docker.remove_container(&id, Some(options)).await.expect("removes");
    }
}

async fn ensure_image(docker: &Docker) {
    if docker.inspect_image(IMAGE).await.is_ok() {
        return;
    }
    let root = tempfile::tempdir().expect("a folder");
    let bin = root.path().join("bin");
    std::fs::create_dir(&bin).expect("a folder");
    std::fs::copy("/bin/busybox", bin.join("busybox")).expect("busybox-static is installed");
    for name in ["sh", "sleep", "true", "false", "test", "touch", "env", "cat", "trap"] {
        std::os::unix::fs::symlink("busybox", bin.join(name)).expect("a link");
    }
    let tar = std::process::Command::new("tar").arg("-C").arg(root.path()).args(["-c", "."]).output();
    let tar = tar.expect("tar runs").stdout;
    let (repository, tag) = IMAGE.split_once(':').expect("a tag");
    let options = CreateImageOptionsBuilder::new().from_src("-").repo(repository).tag(tag).build();
    let mut progress = std::pin::pin!(docker.create_image(Some(options), Some(body_full(tar.into())), None));
    while let Some(step) = progress.next().await {
        step.expect("imports");
    }
}

/// A template whose containers run `script`.
pub(crate) fn spec(seed: u8, script: &str) -> SharedSpec {
    spec_of(seed, ContainerSpec { args: shell(script), ..ContainerSpec::default() })
}

pub(crate) fn shell(script: &str) -> Vec<String> {
    ["sh", "-c", script].map(str::to_owned).into()
}

/// A template of this container, on the image of the bed unless it names one.
pub(crate) fn spec_of(seed: u8, mut container: ContainerSpec) -> SharedSpec {
    if container.image.is_empty() {
        container.image = IMAGE.into();
    }
    SharedSpec {
        id: SpecId::from_random([seed; 16]),
        service_id: None,
        service_name: format!("service{seed}"),
        service_labels: [("tier".to_owned(), "front".to_owned())].into(),
        template: TaskSpec { container_spec: Some(container), ..TaskSpec::default() },
        endpoint: None,
    }
}

pub(crate) fn with_ports(spec: SharedSpec, ports: Vec<PortConfig>) -> SharedSpec {
    SharedSpec { endpoint: Some(EndpointSpec { mode: None, ports }), ..spec }
}

/// The task `n` of a template.
pub(crate) fn task(spec: &SharedSpec, n: u8) -> AssignedTask {
    let mut random = [n; 16];
    random[..8].copy_from_slice(&spec.id.as_str().as_bytes()[17..]);
    AssignedTask {
        id: TaskId::from_random(random),
        spec: spec.id,
        slot: n.into(),
        desired_state: TaskState::Running,
        recorded_state: TaskState::Assigned,
        attachments: vec![],
        generic_resources: vec![],
    }
}

pub(crate) fn desired(desired_state: TaskState, task: &AssignedTask) -> AssignedTask {
    AssignedTask { desired_state, ..task.clone() }
}
