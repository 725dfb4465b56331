//! Connections that carry two streams, and answers that never end by themselves.

use std::fs;

use anyhow::{Result, ensure};
use swarm_testkit::{BUSYBOX, run_with_input};
use swarm_tests::{SOON, prints};

use crate::Scene;

pub(crate) fn exec_and_attach_have_both_directions(scene: &Scene) -> Result<()> {
    // Enough to fill every buffer on the way; the end of input is passed on, or this would not end.
    let input: Vec<u8> = (0..200_000_u32).flat_map(|line| format!("line {line}\n").into_bytes()).collect();
    let output = scene.docker_with_input(1, &["run", "--rm", "--interactive", BUSYBOX, "cat"], &input)?;
    ensure!(output.stdout.as_bytes() == input, "{} of {} bytes came back", output.stdout.len(), input.len());
    output.ok()?;

    scene.docker(1, &["run", "--detach", "--interactive", "--name", "talk", BUSYBOX, "sh"])?.ok()?;
    let exec = ["exec", "--interactive", "talk", "sh", "-c", "wc -c; echo done >&2; exit 5"];
    let output = scene.docker_with_input(1, &exec, &input)?;
    ensure!(output.code() == Some(5) && output.stderr == "done\n", "{output}");
    ensure!(output.stdout.trim() == input.len().to_string(), "{output}");

    // With a terminal: the program sees one, of the size it was given.
    let shown = scene.terminal(1, "exec --interactive --tty talk sh -c 'tty; stty size; exit 4'")?;
    ensure!(shown.code() == Some(4) && shown.stdout.contains("/dev/pts/"), "{shown}");
    let mut command = scene.shell(1);
    command.args(["-c", "script --quiet --return --command \"$DOCKER exec -it talk sh\" /dev/null"]);
    let shown = run_with_input(command, b"echo $((40 + 2)) answers\nexit 6\n")?;
    ensure!(shown.code() == Some(6) && shown.stdout.contains("42 answers"), "{shown}");

    // Attached to what already runs. Its input stays open until it ends: at the end of its input the client goes at once.
    let attach = "mkfifo /run/input; exec 3<>/run/input; echo 'echo attached; exit 3' >&3; $DOCKER attach talk </run/input";
    let output = scene.sh(1, attach)?;
    ensure!(output.code() == Some(3) && output.stdout == "attached\n", "{output}");
    prints(scene.docker(1, &["logs", "talk"])?, "attached")?;
    prints(scene.docker(1, &["rm", "talk"])?, "talk")
}

/// What is written arrives while the call goes on.
pub(crate) fn logs_and_events_flow(scene: &Scene) -> Result<()> {
    let dir = scene.cluster.host(1).dir();
    let (logs, events) = (dir.join("followed.txt"), dir.join("events.txt"));
    let listener = format!("$DOCKER events --filter container=speaker --format '{{{{.Action}}}}' >{} 2>&1 & echo $!", events.display());
    let listener = scene.sh(1, &listener)?.ok()?;
    // A listener hears nothing of what was before it: it is there when it has heard something.
    scene.cluster.until("an event", SOON, || {
        scene.docker(1, &["run", "--rm", "--name", "speaker", BUSYBOX, "true"])?.ok()?;
        ensure!(fs::read_to_string(&events)?.contains("create"), "nothing yet");
        Ok(())
    })?;

    let script = "trap 'echo two; exit 1' USR1; echo one; sleep infinity & wait $!";
    scene.docker(1, &["run", "--detach", "--name", "speaker", BUSYBOX, "sh", "-c", script])?.ok()?;
    let follower = scene.sh(1, &format!("$DOCKER logs --follow speaker >{} 2>&1 & echo $!", logs.display()))?.ok()?;
    let is = |wanted: &'static str, file: &std::path::Path| {
        let file = file.to_owned();
        move || {
            let text = fs::read_to_string(&file)?;
            ensure!(text.contains(wanted), "{text:?}");
            Ok(())
        }
    };
    scene.cluster.until("the first line", SOON, is("one\n", &logs))?;
    ensure!(fs::read_to_string(&logs)? == "one\n");
    prints(scene.docker(1, &["kill", "--signal", "USR1", "speaker"])?, "speaker")?;
    scene.cluster.until("the second line", SOON, is("one\ntwo\n", &logs))?;
    scene.cluster.until("the end of the logs", SOON, || {
        let left = scene.sh(1, &format!("kill -0 {follower} 2>&1"))?;
        ensure!(!left.status.success(), "the client still follows");
        Ok(())
    })?;
    scene.cluster.until("the event of the signal", SOON, is("\nkill\n", &events))?;
    scene.cluster.until("the event of its end", SOON, is("\ndie\n", &events))?;
    scene.sh(1, &format!("kill {listener}"))?.ok()?;

    let past = ["events", "--since", "10m", "--until", "0s", "--filter", "container=speaker", "--format", "{{.Action}}"];
    // What happened in this very second is not among the past.
    scene.cluster.until("the events of the past", SOON, || {
        let past = scene.docker(1, &past)?.lines()?;
        ensure!(past.last().is_some_and(|last| last == "die"), "{past:?}");
        Ok(())
    })?;
    prints(scene.docker(1, &["rm", "speaker"])?, "speaker")
}

/// One stream tells of the host's containers and of the cluster, as it happens and afterwards.
pub(crate) fn the_clusters_events_are_told(scene: &Scene) -> Result<()> {
    let file = scene.cluster.host(1).dir().join("cluster-events.txt");
    let format = "{{.Scope}} {{.Type}} {{.Action}} {{index .Actor.Attributes \"name\"}}";
    let listener = scene.sh(1, &format!("$DOCKER events --format '{format}' >{} 2>&1 & echo $!", file.display()))?.ok()?;
    let tells = |wanted: &'static str| {
        let text = fs::read_to_string(&file)?;
        ensure!(text.lines().any(|line| line.starts_with(wanted)), "{text:?}");
        Ok(())
    };
    scene.cluster.until("an event of the engine", SOON, || {
        scene.docker(1, &["run", "--rm", BUSYBOX, "true"])?.ok()?;
        tells("local container create")
    })?;
    scene.docker(1, &["service", "create", "--detach", "--name", "told", "--replicas", "0", BUSYBOX])?.ok()?;
    scene.docker(1, &["service", "update", "--detach", "--replicas", "1", "told"])?.ok()?;
    scene.cluster.until("the creation", SOON, || tells("swarm service create told"))?;
    scene.cluster.until("the update", SOON, || tells("swarm service update told"))?;
    scene.docker(1, &["service", "rm", "told"])?.ok()?;
    scene.cluster.until("the removal", SOON, || tells("swarm service remove told"))?;
    scene.sh(1, &format!("kill {listener}"))?.ok()?;

    let past =
        ["events", "--since", "10m", "--until", "0s", "--filter", "scope=swarm", "--filter", "service=told", "--format", "{{.Action}}"];
    // What happened in this very second is not among the past.
    scene.cluster.until("the events of the past", SOON, || {
        let past = scene.docker(1, &past)?.lines()?;
        ensure!(past.first().is_some_and(|first| first == "create") && past.last().is_some_and(|last| last == "remove"), "{past:?}");
        Ok(())
    })
}
