//! What is wrong gets one clear error each and changes nothing.

mod bodies;
mod later;
mod names;
mod specs;
mod tasks;
mod updates;

use anyhow::{Result, anyhow, ensure};
use serde_json::{Value, json};
use swarm_testkit::{Cluster, Request, Response, SLEEP};
use swarm_tests::{Check, SOON, check_all, create_service, service_spec, text_at};

/// The service that every cluster of these tests has, with one replica.
const WEB: &str = "web";

/// A manager and a worker with one service, and what they look like when nothing has been changed.
struct Scene {
    cluster: Cluster,
}

impl Scene {
    fn up() -> Result<Self> {
        let cluster = Cluster::formed(1, 1)?;
        create_service(&cluster, 1, &service_spec(WEB, SLEEP, 1))?;
        cluster.wait_running(WEB, 1, SOON)?;
        Ok(Self { cluster })
    }

    fn check(&self, checks: &[Check<Self>]) -> Result<()> {
        check_all(self, checks).map_err(|error| anyhow!("{error:#}\n{}", self.cluster.logs()))
    }

    /// Everything in the cluster that a request could change.
    fn contents(&self) -> Result<Value> {
        let get = |path: &str| self.cluster.api(1, &Request::get(path))?.json();
        let (mut nodes, mut tasks) = (get("/nodes")?, get("/tasks")?);
        for object in nodes.as_array_mut().into_iter().chain(tasks.as_array_mut()).flatten() {
            // They change by themselves too.
            for field in ["Status", "Version", "UpdatedAt"] {
                object.as_object_mut().and_then(|object| object.remove(field));
            }
        }
        Ok(json!({"swarm": get("/swarm")?, "nodes": nodes, "services": get("/services")?, "tasks": tasks}))
    }

    /// Checks that what is done has no effect on the cluster, whatever it answers.
    fn nothing_changes(&self, done: impl FnOnce() -> Result<()>) -> Result<()> {
        let before = self.contents()?;
        done()?;
        let after = self.contents()?;
        ensure!(before == after, "it changed something:\n{before}\n{after}");
        Ok(())
    }

    fn get(&self, path: &str) -> Result<Response> {
        self.cluster.api(1, &Request::get(path))
    }

    fn post(&self, path: &str, body: &Value) -> Result<Response> {
        self.cluster.api(1, &Request::post(path, body))
    }

    /// An object and its `version=` parameter.
    fn versioned(&self, path: &str) -> Result<(Value, String)> {
        let object = self.get(path)?.json()?;
        let version = format!("version={}", object["Version"]["Index"]);
        Ok((object, version))
    }

    fn web_id(&self) -> Result<String> {
        text_at(&self.get("/services/web")?.json()?, "/ID").ok_or_else(|| anyhow!("no id"))
    }
}

#[test]
fn requests_that_cannot_be_carried_out() -> Result<()> {
    Scene::up()?.check(&[
        ("malformed bodies", bodies::malformed_json_is_refused),
        ("wrong types", bodies::wrong_types_are_named),
        ("huge bodies", bodies::huge_bodies_are_refused),
        ("specs", specs::bad_specs_are_refused_with_dockers_words),
        ("nodes and the swarm", specs::bad_node_and_swarm_specs_are_refused),
        ("version conflicts", updates::a_stale_version_is_refused),
        ("one of two updates", updates::of_two_updates_at_once_one_wins),
        ("renames and duplicates", updates::names_are_kept_and_unique),
        ("what later versions do: our client", later::our_client_names_the_flag),
        ("what later versions do: docker", later::docker_is_told_the_flag),
        ("names of nothing", names::names_that_match_nothing),
        ("names of several", names::names_that_match_several),
        ("filters", names::bad_filters_are_refused),
    ])
}

#[test]
fn services_that_cannot_run_say_why() -> Result<()> {
    Scene::up()?.check(&[
        ("an image that does not exist", tasks::a_missing_image_rejects_the_task),
        ("a port taken on the host", tasks::a_port_taken_by_somebody_else),
        ("a port taken by a service", tasks::a_port_taken_by_another_service),
        ("reserved labels", tasks::reserved_labels_are_ours),
    ])
}
