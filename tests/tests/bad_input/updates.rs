//! Updates of what was updated meanwhile, and of what cannot be updated.

use std::thread;

use anyhow::{Result, anyhow, ensure};
use serde_json::json;
use swarm_testkit::{Request, Response, SLEEP};
use swarm_tests::{SOON, refused, service_spec, text};

use crate::Scene;

const OBJECTS: [(&str, &str); 3] = [("service", "/services/web"), ("node", "/nodes/h2"), ("swarm", "/swarm")];

pub(crate) fn a_stale_version_is_refused(scene: &Scene) -> Result<()> {
    for (kind, path) in OBJECTS {
        let (old, version) = scene.versioned(path)?;
        scene.nothing_changes(|| {
            for (wrong, reason) in [
                ("", "invalid syntax"),
                ("abc", "invalid syntax"),
                ("-1", "invalid syntax"),
                ("1.0", "invalid syntax"),
                ("99999999999999999999", "value out of range"),
            ] {
                let answer = scene.post(&format!("{path}/update?version={wrong}"), &old["Spec"])?;
                let message = format!("invalid {kind} version '{wrong}': strconv.ParseUint: parsing {wrong:?}: {reason}");
                refused(&answer, 400, &message)?;
            }
            for wrong in ["0", "1", "18446744073709551615"] {
                let answer = scene.post(&format!("{path}/update?version={wrong}"), &old["Spec"])?;
                refused(&answer, 500, text::OUT_OF_SEQUENCE)?;
            }
            Ok(())
        })?;

        // Good once, and never again.
        let mut spec = old["Spec"].clone();
        spec["Labels"] = json!({"touched": "yes"});
        let answer = scene.post(&format!("{path}/update?{version}"), &spec)?;
        ensure!(answer.status == 200, "{answer}");
        let changed = scene.get(path)?.json()?;
        ensure!(changed["Spec"]["Labels"]["touched"] == "yes", "{changed}");
        ensure!(changed["Version"]["Index"].as_u64() > old["Version"]["Index"].as_u64(), "{changed}");
        scene.nothing_changes(|| {
            let answer = scene.post(&format!("{path}/update?{version}"), &old["Spec"])?;
            refused(&answer, 500, text::OUT_OF_SEQUENCE)
        })?;
    }
    Ok(())
}

pub(crate) fn of_two_updates_at_once_one_wins(scene: &Scene) -> Result<()> {
    for (_, path) in OBJECTS {
        let (old, version) = scene.versioned(path)?;
        let update = |number: u32| -> Result<Response> {
            let mut spec = old["Spec"].clone();
            spec["Labels"] = json!({"by": number.to_string()});
            scene.cluster.api(1, &Request::post(&format!("{path}/update?{version}"), &spec))
        };
        let answers: Vec<Response> = thread::scope(|scope| {
            let all = [0, 1, 2, 3].map(|number| scope.spawn(move || update(number)));
            all.into_iter().map(|one| one.join().map_err(|_| anyhow!("an updating thread panicked"))?).collect::<Result<_>>()
        })?;
        let winner = answers.iter().position(|answer| answer.status == 200);
        let winner = winner.ok_or_else(|| anyhow!("nobody won: {answers:?}"))?;
        for (number, answer) in answers.iter().enumerate() {
            if number != winner {
                refused(answer, 500, text::OUT_OF_SEQUENCE)?;
            }
        }
        let now = scene.get(path)?.json()?;
        ensure!(now["Spec"]["Labels"] == json!({"by": winner.to_string()}), "{winner} won: {now}");
    }
    // The labels of a service are no reason to replace its task.
    scene.cluster.wait_running(crate::WEB, 1, SOON)?;
    ensure!(scene.cluster.tasks(crate::WEB)?.len() == 1);
    Ok(())
}

pub(crate) fn names_are_kept_and_unique(scene: &Scene) -> Result<()> {
    let (service, version) = scene.versioned("/services/web")?;
    let path = format!("/services/web/update?{version}");
    scene.nothing_changes(|| {
        let mut renamed = service["Spec"].clone();
        renamed["Name"] = json!("web2");
        let message = "rpc error: code = Unimplemented desc = renaming services is not supported";
        refused(&scene.post(&path, &renamed)?, 501, message)?;

        let mut global = service["Spec"].clone();
        global["Mode"] = json!({"Global": {}});
        let message = "rpc error: code = Unimplemented desc = service mode change is not allowed";
        refused(&scene.post(&path, &global)?, 501, message)?;

        let message = "rpc error: code = AlreadyExists desc = name conflicts with an existing object: \
            service web already exists";
        refused(&scene.post("/services/create", &service_spec("web", SLEEP, 1))?, 409, message)?;
        refused(&scene.post("/services/create", &service_spec("WEB", SLEEP, 1))?, 409, &message.replace("web already", "WEB already"))
    })
}
