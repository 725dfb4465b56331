//! Pins an image to a digest, so that every node runs the same one.
//!
//! The registry is asked through the daemon. If it does not answer, or not in time, that is a warning: each node then looks
//! for itself, which is all there is to do for images that only the hosts have.

use crate::session::Session;
use serde::Deserialize;
use std::time::Duration;
use swarm_types::validate::ImageReference;
use swarm_types::{ContainerSpec, Placement, Platform, TaskSpec};

/// Longer than this the registry is not waited for: creation goes on without it.
const ANSWER_MAX: Duration = Duration::from_secs(5);

/// What the daemon says of an image in its registry.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Distribution {
    descriptor: Descriptor,
    #[serde(default)]
    platforms: Option<Vec<ImagePlatform>>,
}

#[derive(Debug, Deserialize)]
struct Descriptor {
    digest: String,
}

/// A platform as images name it, which is not how nodes write it.
#[derive(Debug, Deserialize)]
struct ImagePlatform {
    #[serde(default)]
    architecture: String,
    #[serde(default)]
    os: String,
}

/// Gives the image a tag if it has none and, if `resolve` says so, its digest and platforms. Gives a warning if the registry
/// does not tell.
pub(crate) async fn pin(task: &mut TaskSpec, resolve: bool, session: &Session) -> Option<String> {
    let container = task.container_spec.get_or_insert_with(ContainerSpec::default);
    // What is no image name is for the daemon to refuse.
    let mut image = ImageReference::parse(&container.image).ok()?.with_default_tag();
    container.image = image.familiar();
    if !resolve {
        return None;
    }
    // An image name has no character that a path may not have.
    let path = format!("/distribution/{}/json", container.image);
    let asked = tokio::time::timeout(ANSWER_MAX, session.api.get::<Distribution>(&path)).await;
    let Ok(Ok(answer)) = asked else {
        return Some(warning(&container.image));
    };
    image.digest.get_or_insert(answer.descriptor.digest);
    container.image = image.familiar();
    let platforms = platforms(answer.platforms.unwrap_or_default());
    if !platforms.is_empty() {
        task.placement.get_or_insert_with(Placement::default).platforms = platforms;
    }
    None
}

/// Each platform once. `arm` fits any node, as nodes name their variant; `unknown` is no platform but an attestation.
fn platforms(given: Vec<ImagePlatform>) -> Vec<Platform> {
    let mut platforms: Vec<Platform> = Vec::new();
    for ImagePlatform { architecture, os } in given {
        if architecture == "unknown" || os == "unknown" {
            continue;
        }
        let architecture = if architecture.eq_ignore_ascii_case("arm") { String::new() } else { architecture };
        let platform = Platform { architecture, os };
        if !platforms.contains(&platform) {
            platforms.push(platform);
        }
    }
    platforms
}

fn warning(image: &str) -> String {
    format!(
        "image {image} could not be accessed on a registry to record\nits digest. Each node will access {image} independently,\n\
         possibly leading to different nodes running different\nversions of the image.\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn platforms_are_cleaned() {
        let given = [("amd64", "linux"), ("arm", "linux"), ("arm", "linux"), ("unknown", "unknown"), ("amd64", "linux")]
            .map(|(architecture, os)| ImagePlatform { architecture: architecture.into(), os: os.into() });
        let shown: Vec<String> = platforms(given.into()).into_iter().map(|p| format!("{}/{}", p.os, p.architecture)).collect();
        assert_eq!(shown, ["linux/amd64", "linux/"]);
    }

    #[test]
    fn the_warning_is_dockers() {
        assert_eq!(
            warning("web:1"),
            "image web:1 could not be accessed on a registry to record
its digest. Each node will access web:1 independently,
possibly leading to different nodes running different
versions of the image.
"
        );
    }
}
