//! Containers made by a Docker Engine, 20.10 (API 1.41) or newer.
//!
//! Everything that only the client library knows stops here. What matters of it: it opens a connection for each call,
//! so calls do not wait for one another; its models refuse words they do not know, so an unreadable answer is a temporary
//! error and no verdict on a task; and what a model has no room for is lost, so [`create_body`] is tested field by field.

mod create_body;
mod describe;
mod files;
mod image;
mod link;
mod networks;
mod view;

pub use link::InvalidEngineAddress;

use super::{Container, ContainerEvent, ContainerEventKind, ContainerId, ContainerOrder, Executor, ExecutorError, OwnContainer, Step};
use bollard::{
    errors::Error as BollardError,
    models::{ContainerInspectResponse, EventMessage, Mount},
    query_parameters::{
        CreateContainerOptionsBuilder, EventsOptionsBuilder, InspectContainerOptions, ListContainersOptionsBuilder,
        RemoveContainerOptionsBuilder, StartContainerOptions, StopContainerOptionsBuilder,
    },
};
use futures_util::{StreamExt as _, stream::BoxStream};
use link::{Engine, EngineLink, status_of};
use std::{
    collections::{BTreeSet, HashMap},
    path::{Path, PathBuf},
    time::Duration,
};
use swarm_types::{MountType, NodeDescription, NodeId, TaskId};
use tokio::sync::{Semaphore, SemaphorePermit};
use view::{LABEL_NODE_ID, LABEL_TASK_ID};

/// Containers made or started at a time. Measured with dockerd 20.10 on two cores: 16 containers of one engine take
/// 2.8 s one by one, 2.3 s by twos, 1.8 s by threes or fours, and 2.0 s by sixes and more; three engines that share the
/// two cores take the same 3.4 s whatever the number. Reached: the rest wait in order of their coming.
const WORK_AT_ONCE_MAX: usize = 4;

/// How long a container that is being made or started counts as work. One that takes longer waits for something (a volume
/// or network driver) and must not keep others from starting.
const WORK_COUNTED_MAX: Duration = Duration::from_secs(2);

/// Containers stopped or removed at a time. Mostly waiting for the containers; the bound protects the engine.
const ENDINGS_AT_ONCE_MAX: usize = 32;

/// Longest wait for the engine to make, start or remove a container. Drivers have 15 s per call and some calls to make.
const WORK_MAX: Duration = Duration::from_secs(300);

/// How far back a new stream of events reaches: over the time in which the subscription is made.
const EVENTS_OVERLAP_S: u64 = 2;

/// Makes containers with a Docker Engine.
pub struct DockerExecutor {
    link: EngineLink,
    images: image::Images,
    files: Option<files::TaskFiles>,
    work: Semaphore,
    endings: Semaphore,
    /// Name of the driver of cluster networks.
    driver: String,
    /// Where the files are that some containers have for their `resolv.conf`.
    resolver_dir: PathBuf,
    making_networks: tokio::sync::Mutex<()>,
}

impl DockerExecutor {
    /// For the engine at `docker_host`: `unix:///path` or `tcp://host:port`, which knows this agent as the network driver
    /// `driver`. Files of containers' resolvers are kept in `resolver_dir`. Does not connect yet, for the engine may come
    /// later.
    ///
    /// # Errors
    /// [`InvalidEngineAddress`] on any other text.
    pub fn connect(docker_host: &str, driver: &str, resolver_dir: &Path) -> Result<Self, InvalidEngineAddress> {
        Ok(Self {
            link: EngineLink::new(docker_host)?,
            images: image::Images::default(),
            files: None,
            work: Semaphore::new(WORK_AT_ONCE_MAX),
            endings: Semaphore::new(ENDINGS_AT_ONCE_MAX),
            driver: driver.to_owned(),
            resolver_dir: resolver_dir.to_owned(),
            making_networks: tokio::sync::Mutex::default(),
        })
    }

    /// The same with a folder for the files of secrets and configs, which this process must be able to mount on. Without one,
    /// tasks that have such files are refused.
    #[must_use]
    pub fn with_files(self, folder: PathBuf) -> Self {
        Self { files: Some(files::TaskFiles::new(folder)), ..self }
    }

    /// Brings the order's files to where the engine can bind them.
    async fn file_mounts(&self, order: &ContainerOrder) -> Result<Vec<Mount>, ExecutorError> {
        match &self.files {
            _ if order.files.is_empty() => Ok(Vec::new()),
            Some(files) if self.link.is_local() => files.write(order.task_id, &order.files).await,
            _ => Err(ExecutorError::Refused("secrets and configs need an engine on the agent's own host".into())),
        }
    }

    /// Docker's check, which an engine elsewhere has to make itself.
    async fn check_bind_sources(&self, order: &ContainerOrder) -> Result<(), ExecutorError> {
        if !self.link.is_local() {
            return Ok(());
        }
        for mount in order.spec.mounts.iter().filter(|mount| mount.kind == MountType::Bind) {
            let created = mount.bind_options.as_ref().is_some_and(|bind| bind.create_mountpoint);
            let missing = tokio::fs::symlink_metadata(&mount.source).await.is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound);
            if missing && !created {
                let source = &mount.source;
                return Err(ExecutorError::Refused(format!("invalid bind mount source, source path not found: {source}")));
            }
        }
        Ok(())
    }

    async fn create_now(&self, order: &ContainerOrder) -> Result<Container, ExecutorError> {
        self.check_bind_sources(order).await?;
        let engine = self.link.engine().await?;
        let places = self.ensure_places(&engine, order).await?;
        let names = &places.names;
        let mut body = create_body::create_body(order, &places, engine.api)?;
        let files = self.file_mounts(order).await?;
        if !files.is_empty() {
            body.host_config.get_or_insert_default().mounts.get_or_insert_default().extend(files);
        }
        let options = CreateContainerOptionsBuilder::new().name(&order.name).build();
        let created = engine.patient(WORK_MAX).create_container(Some(options), body).await;
        match created {
            Ok(created) => {
                for warning in &created.warnings {
                    tracing::warn!(task = %order.task_id, %warning, "the engine warns of a container");
                }
                let id = ContainerId::new(created.id);
                if names.len() > networks::at_once(order, engine.api).len() {
                    let made = self.inspected(&engine, id.as_str()).await?;
                    let vanished = || ExecutorError::Unready { what: format!("the container {} vanished", order.name), source: None };
                    self.connect_rest(&engine, order, names, &made.ok_or_else(vanished)?).await?;
                }
                Ok(Container { id, phase: super::Phase::Created })
            }
            Err(error) if status_of(&error) == Some(409) => self.adopt(order, names, &engine, error).await,
            Err(error) => Err(self.link.judge(&engine, error)),
        }
    }

    /// The name is taken. Before a crash this agent may have made the container without noting it.
    async fn adopt(
        &self,
        order: &ContainerOrder,
        names: &[String],
        engine: &Engine,
        conflict: BollardError,
    ) -> Result<Container, ExecutorError> {
        let Some(present) = self.inspected(engine, &order.name).await? else {
            let what = format!("a container called {} is just being removed", order.name);
            return Err(ExecutorError::Unready { what, source: None });
        };
        if view::task_of(&present) != Some(order.task_id) {
            return Err(self.link.judge(engine, conflict));
        }
        let gone = || ExecutorError::Unready { what: format!("the old container {} is just being removed", order.name), source: None };
        self.connect_rest(engine, order, names, &present).await?;
        let present = self.inspected(engine, &order.name).await?.ok_or_else(gone)?;
        let container = view::container(&present).ok_or_else(gone)?;
        tracing::info!(task = %order.task_id, container = ?container.id, "adopted a container");
        Ok(container)
    }

    async fn inspected(&self, engine: &Engine, name: &str) -> Result<Option<ContainerInspectResponse>, ExecutorError> {
        let inspected = engine.docker().inspect_container(name, None::<InspectContainerOptions>);
        match inspected.await {
            Ok(inspected) => Ok(Some(inspected)),
            Err(error) if status_of(&error) == Some(404) => Ok(None),
            Err(error) => Err(self.link.judge(engine, error)),
        }
    }

    async fn list(&self, label: String) -> Result<Vec<OwnContainer>, ExecutorError> {
        let engine = self.link.engine().await?;
        let filters = HashMap::from([("label".to_owned(), vec![label])]);
        let options = ListContainersOptionsBuilder::new().all(true).filters(&filters).build();
        match engine.docker().list_containers(Some(options)).await {
            Ok(list) => Ok(list.iter().filter_map(view::own_container).collect()),
            Err(error) => Err(self.link.judge(&engine, error)),
        }
    }

    /// Ends in success if the engine did it or there was nothing to do.
    fn settle(&self, engine: &Engine, result: Result<(), BollardError>) -> Result<(), ExecutorError> {
        match result {
            Ok(()) => Ok(()),
            Err(error) if status_of(&error) == Some(404) => Ok(()),
            Err(error) => Err(self.link.judge(engine, error)),
        }
    }
}

impl Executor for DockerExecutor {
    fn describe(&self) -> Step<'_, NodeDescription> {
        Box::pin(async {
            let engine = self.link.engine().await?;
            match engine.docker().info().await {
                Ok(info) => Ok(describe::description(info)),
                Err(error) => Err(self.link.judge(&engine, error)),
            }
        })
    }

    fn ensure_image<'a>(&'a self, order: &'a ContainerOrder) -> Step<'a, ()> {
        Box::pin(self.images.ensure(&self.link, order))
    }

    fn create<'a>(&'a self, order: &'a ContainerOrder) -> Step<'a, Container> {
        Box::pin(counted(&self.work, self.create_now(order)))
    }

    fn start<'a>(&'a self, id: &'a ContainerId) -> Step<'a, ()> {
        Box::pin(counted(&self.work, async move {
            let engine = self.link.engine().await?;
            let docker = engine.patient(WORK_MAX);
            match docker.start_container(id.as_str(), None::<StartContainerOptions>).await {
                Ok(()) => Ok(()),
                Err(error) => Err(self.link.judge(&engine, error)),
            }
        }))
    }

    fn stop<'a>(&'a self, id: &'a ContainerId, grace: Duration) -> Step<'a, ()> {
        Box::pin(async move {
            let engine = self.link.engine().await?;
            let _permit = permit(&self.endings).await;
            let seconds = i32::try_from(grace.as_secs()).unwrap_or(i32::MAX);
            let options = StopContainerOptionsBuilder::new().t(seconds).build();
            let docker = engine.patient(grace);
            let stopped = docker.stop_container(id.as_str(), Some(options)).await;
            self.settle(&engine, stopped)
        })
    }

    fn remove<'a>(&'a self, id: &'a ContainerId) -> Step<'a, ()> {
        Box::pin(async move {
            let engine = self.link.engine().await?;
            let _permit = permit(&self.endings).await;
            let options = RemoveContainerOptionsBuilder::new().force(true).v(true).build();
            let docker = engine.patient(WORK_MAX);
            let removed = docker.remove_container(id.as_str(), Some(options)).await;
            self.settle(&engine, removed)
        })
    }

    fn release(&self, task: TaskId) -> Step<'_, ()> {
        Box::pin(async move {
            match &self.files {
                Some(files) => files.remove(task).await,
                None => Ok(()),
            }
        })
    }

    fn release_others<'a>(&'a self, tasks: &'a BTreeSet<TaskId>) -> Step<'a, ()> {
        Box::pin(async move {
            match &self.files {
                Some(files) => files.retain(tasks).await,
                None => Ok(()),
            }
        })
    }

    fn release_all(&self) -> Step<'_, ()> {
        Box::pin(async move {
            match &self.files {
                Some(files) => files.clear().await,
                None => Ok(()),
            }
        })
    }

    fn inspect<'a>(&'a self, id: &'a ContainerId) -> Step<'a, Option<Container>> {
        Box::pin(async move {
            let engine = self.link.engine().await?;
            let inspected = self.inspected(&engine, id.as_str()).await?;
            Ok(inspected.as_ref().and_then(view::container))
        })
    }

    fn find(&self, task: TaskId) -> Step<'_, Option<Container>> {
        Box::pin(async move {
            match self.list(format!("{LABEL_TASK_ID}={task}")).await?.first() {
                Some(own) => self.inspect(&own.id).await,
                None => Ok(None),
            }
        })
    }

    fn list_own(&self, node: NodeId) -> Step<'_, Vec<OwnContainer>> {
        Box::pin(self.list(format!("{LABEL_NODE_ID}={node}")))
    }

    fn events(&self, node: NodeId) -> BoxStream<'_, Result<ContainerEvent, ExecutorError>> {
        let stream = async move {
            let engine = self.link.engine().await?;
            let docker = engine.docker().clone();
            let events = docker.events(Some(events_options(node)));
            Ok::<_, ExecutorError>((engine, events))
        };
        futures_util::stream::once(stream)
            .flat_map(move |connected| match connected {
                Err(error) => futures_util::stream::iter([Err(error)]).boxed(),
                Ok((engine, events)) => events
                    .filter_map(move |event| {
                        let event = event.map_err(|error| self.link.judge(&engine, error));
                        let told = event.map(|message| container_event(&message)).transpose();
                        std::future::ready(told)
                    })
                    .boxed(),
            })
            .boxed()
    }
}

/// Server-side filters: without them every run of a health check would come as two events.
fn events_options(node: NodeId) -> bollard::query_parameters::EventsOptions {
    let since =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |now| now.as_secs().saturating_sub(EVENTS_OVERLAP_S));
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    let filters: HashMap<String, Vec<String>> = HashMap::from([
        ("type".to_owned(), words(&["container"])),
        ("event".to_owned(), words(&["start", "die", "health_status", "destroy"])),
        ("label".to_owned(), vec![format!("{LABEL_NODE_ID}={node}")]),
    ]);
    EventsOptionsBuilder::new().since(&since.to_string()).filters(&filters).build()
}

fn container_event(message: &EventMessage) -> Option<ContainerEvent> {
    let attributes = message.actor.as_ref()?.attributes.as_ref()?;
    let task = TaskId::parse(attributes.get(LABEL_TASK_ID)?).ok()?;
    let kind = match message.action.as_deref()? {
        "start" => ContainerEventKind::Started,
        "die" => {
            let exit_code = attributes.get("exitCode").and_then(|code| code.parse().ok());
            ContainerEventKind::Died { exit_code: exit_code? }
        }
        "destroy" => ContainerEventKind::Removed,
        health if health.starts_with("health_status") => ContainerEventKind::Health,
        _ => return None,
    };
    Some(ContainerEvent { task, kind })
}

async fn permit(semaphore: &Semaphore) -> Option<SemaphorePermit<'_>> {
    semaphore.acquire().await.ok() // Never closed; were it, the bound would be gone and nothing else.
}

/// Runs `work` under the bound, which counts it for [`WORK_COUNTED_MAX`] at most.
async fn counted<T>(semaphore: &Semaphore, work: impl Future<Output = T>) -> T {
    let permit = permit(semaphore).await;
    let mut work = std::pin::pin!(work);
    tokio::select! {
        biased;
        done = &mut work => return done,
        () = tokio::time::sleep(WORK_COUNTED_MAX) => drop(permit),
    }
    work.await
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn events_tell_the_task_and_what_happened() {
        let task = TaskId::from_random([1; 16]);
        let read = |action: &str, exit_code: Option<&str>| {
            let mut attributes = json!({LABEL_TASK_ID: task});
            if let Some(code) = exit_code {
                attributes["exitCode"] = code.into();
            }
            let message = json!({"Type": "container", "Action": action, "Actor": {"ID": "c0ffee", "Attributes": attributes}});
            container_event(&serde_json::from_value(message).expect("as the engine writes it")).map(|event| event.kind)
        };
        assert_eq!(read("start", None), Some(ContainerEventKind::Started));
        assert_eq!(read("die", Some("137")), Some(ContainerEventKind::Died { exit_code: 137 }));
        assert_eq!(read("health_status: unhealthy", None), Some(ContainerEventKind::Health));
        assert_eq!(read("destroy", None), Some(ContainerEventKind::Removed));
        assert_eq!(read("exec_start: true", None), None);
    }

    #[tokio::test(start_paused = true)]
    async fn work_that_waits_for_something_does_not_keep_others_from_starting() {
        let semaphore = Semaphore::new(1);
        let stuck = counted(&semaphore, std::future::pending::<()>());
        let other = counted(&semaphore, std::future::ready(()));
        tokio::select! {
            biased;
            () = stuck => unreachable!("it never ends"),
            () = other => {}
        }
    }
}
