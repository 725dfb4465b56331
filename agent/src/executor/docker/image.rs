//! Images: when to ask a registry, for how long, and what to do when none answers.
//!
//! A tag may have moved, so it is looked up; a digest cannot, so an image that is on the host is used at once. A look-up
//! that fails or stalls never stops a task whose image is on the host. Tasks that want the same image at the same time
//! share one look-up.

use super::super::{ContainerOrder, ExecutorError};
use super::link::{Engine, EngineLink, status_of};
use bollard::query_parameters::CreateImageOptionsBuilder;
use futures_util::{
    FutureExt as _, StreamExt as _,
    future::{BoxFuture, Shared, WeakShared},
};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::time::Instant;

/// Longest silence of a look-up while the host has a copy to go on with. An unreachable registry costs this once.
const IDLE_WITH_COPY_MAX: Duration = Duration::from_secs(5);

/// Longest silence of a download that the task cannot do without. The engine writes its progress several times a second,
/// except while a big layer is unpacked by an old engine.
const IDLE_WITHOUT_COPY_MAX: Duration = Duration::from_secs(120);

/// How long a failed look-up is not repeated: the tasks of one scale-up come within seconds of each other.
const FAILURE_REMEMBERED: Duration = Duration::from_secs(10);

/// The image as the engine prints it: without the default registry, with `latest` where neither tag nor digest is given.
pub(super) fn familiar(image: &str) -> String {
    if is_image_id(image) {
        return image.to_owned();
    }
    let (name, digest) = match image.split_once('@') {
        Some((name, digest)) => (name, Some(digest)),
        None => (image, None),
    };
    let name = ["docker.io/", "index.docker.io/"].iter().find_map(|registry| name.strip_prefix(registry)).unwrap_or(name);
    let name = match name.strip_prefix("library/") {
        Some(rest) if !rest.contains('/') => rest,
        _ => name,
    };
    match digest {
        Some(digest) => format!("{name}@{digest}"),
        None if has_tag(name) => name.to_owned(),
        None => format!("{name}:latest"),
    }
}

fn has_tag(name: &str) -> bool {
    name.rsplit('/').next().is_some_and(|last| last.contains(':'))
}

fn is_image_id(image: &str) -> bool {
    let hex = image.strip_prefix("sha256:").unwrap_or(image);
    hex.len() == 64 && hex.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

/// Why an image was not pulled.
#[derive(Debug, Clone, thiserror::Error)]
enum PullError {
    #[error("{0}")]
    Refused(String),
    #[error("no progress for {} s", .0.as_secs())]
    Stalled(Duration),
    #[error("{0}")]
    EngineLost(Arc<ExecutorError>),
}

type PullResult = Result<(), PullError>;
type Pull = Shared<BoxFuture<'static, PullResult>>;

enum LookUp {
    /// Ends when the last task that waits for it gives up.
    UnderWay(WeakShared<BoxFuture<'static, PullResult>>),
    Failed {
        at: Instant,
        error: PullError,
    },
}

/// Look-ups under way, and failed ones for a moment; by image.
#[derive(Default)]
pub(super) struct Images {
    look_ups: Mutex<HashMap<String, LookUp>>,
}

impl Images {
    /// Makes sure that the order's image is on the host, as far as that is possible.
    ///
    /// # Errors
    /// Only temporary ones, of the engine. A failed look-up is logged; creating the container tells the rest.
    pub(super) async fn ensure(&self, link: &EngineLink, order: &ContainerOrder) -> Result<(), ExecutorError> {
        let image = familiar(&order.spec.image);
        if is_image_id(&image) {
            return Ok(()); // No registry knows an id.
        }
        let engine = link.engine().await?;
        let has_copy = has_copy(link, &engine, &image).await?;
        if has_copy && (image.contains('@') || order.prefer_offline_image) {
            return Ok(());
        }
        let error = match self.pull(link, &engine, &image, has_copy).await {
            Ok(()) => return Ok(()),
            Err(PullError::EngineLost(error)) => {
                let what = "the container engine was lost while it looked up the image";
                return Err(ExecutorError::Unready { what: what.into(), source: Some(Box::new(error)) });
            }
            Err(error) => error,
        };
        let task = order.task_id;
        if has_copy {
            tracing::warn!(%task, %image, %error, "image look-up failed, going on with the copy of this host");
        } else {
            tracing::warn!(%task, %image, %error, "image cannot be pulled");
        }
        Ok(())
    }

    async fn pull(&self, link: &EngineLink, engine: &Engine, image: &str, has_copy: bool) -> PullResult {
        let pull = {
            let mut look_ups = self.look_ups.lock().unwrap_or_else(PoisonError::into_inner);
            look_ups.retain(|_, look_up| match look_up {
                LookUp::UnderWay(pull) => pull.upgrade().is_some_and(|p| p.peek().is_none()),
                LookUp::Failed { at, .. } => at.elapsed() < FAILURE_REMEMBERED,
            });
            match look_ups.get(image) {
                Some(LookUp::Failed { error, .. }) => return Err(error.clone()),
                Some(LookUp::UnderWay(pull)) => pull.upgrade(),
                None => None,
            }
            .unwrap_or_else(|| {
                let idle_max = if has_copy { IDLE_WITH_COPY_MAX } else { IDLE_WITHOUT_COPY_MAX };
                let (link, engine) = (link.clone(), engine.clone());
                let pull: Pull = pull(link, engine, image.to_owned(), idle_max).boxed().shared();
                if let Some(weak) = pull.downgrade() {
                    look_ups.insert(image.to_owned(), LookUp::UnderWay(weak));
                }
                pull
            })
        };
        let result = pull.await;
        if let Err(error @ (PullError::Refused(_) | PullError::Stalled(_))) = &result {
            let failed = LookUp::Failed { at: Instant::now(), error: error.clone() };
            let mut look_ups = self.look_ups.lock().unwrap_or_else(PoisonError::into_inner);
            if !matches!(look_ups.get(image), Some(LookUp::Failed { .. })) {
                look_ups.insert(image.to_owned(), failed);
            }
        }
        result
    }
}

async fn has_copy(link: &EngineLink, engine: &Engine, image: &str) -> Result<bool, ExecutorError> {
    match engine.docker().inspect_image(image).await {
        Ok(_) => Ok(true),
        // Not there, or no name at all: creating the container gives the engine's text.
        Err(error) if matches!(status_of(&error), Some(400 | 404)) => Ok(false),
        Err(error) => Err(link.judge(engine, error)),
    }
}

async fn pull(link: EngineLink, engine: Engine, image: String, idle_max: Duration) -> PullResult {
    let docker = engine.patient(idle_max);
    let options = CreateImageOptionsBuilder::new().from_image(&image).build();
    let mut progress = std::pin::pin!(docker.create_image(Some(options), None, None));
    loop {
        match tokio::time::timeout(idle_max, progress.next()).await {
            Err(_) => return Err(PullError::Stalled(idle_max)),
            Ok(None) => return Ok(()),
            Ok(Some(Ok(_))) => {}
            // The engine's own account of a failed download comes inside the stream of its progress.
            Ok(Some(Err(bollard::errors::Error::DockerStreamError { error }))) => {
                return Err(PullError::Refused(error));
            }
            Ok(Some(Err(error))) => {
                return Err(match link.judge(&engine, error) {
                    ExecutorError::Refused(text) => PullError::Refused(text),
                    lost => PullError::EngineLost(Arc::new(lost)),
                });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_are_named_as_docker_names_them() {
        let hex = "0123456789abcdef".repeat(4);
        for (given, familiar_name) in [
            ("nginx", "nginx:latest"),
            ("nginx:1.27", "nginx:1.27"),
            ("docker.io/library/nginx", "nginx:latest"),
            ("index.docker.io/library/nginx:1", "nginx:1"),
            ("library/nginx", "nginx:latest"),
            ("docker.io/some/app", "some/app:latest"),
            ("localhost:5000/app", "localhost:5000/app:latest"),
            ("localhost:5000/app:2", "localhost:5000/app:2"),
        ] {
            assert_eq!(familiar(given), familiar_name);
        }
        let pinned = format!("nginx:1.27@sha256:{hex}");
        assert_eq!(familiar(&pinned), pinned);
        assert_eq!(familiar(&format!("docker.io/library/nginx@sha256:{hex}")), format!("nginx@sha256:{hex}"));
        assert_eq!(familiar(&hex), hex);
        assert!(is_image_id(&format!("sha256:{hex}")) && !is_image_id(&pinned));
    }
}
