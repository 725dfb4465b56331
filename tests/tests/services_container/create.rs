//! Flags of `service create`.

use std::fs;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use swarm_testkit::{Cluster, HEALTH, Request, SLEEP, run};
use swarm_tests::services::{Live, create, empty, fields, has_texts, live, mount_at, node_of, remove, replaced, service, update, words};
use swarm_tests::text_at;

use crate::{HOST, MIB, SECOND};

pub(crate) fn flags(cluster: &Cluster) -> Result<()> {
    let shared = cluster.host(HOST).dir().join("shared");
    fs::create_dir(&shared)?;
    let shared = shared.display();
    let env_file = cluster.host(1).dir().join("variables");
    let variables = "# no\nFROM_FILE=file\nTWICE=file\nCLIENT_BY_FILE\n\nNOWHERE\n";
    fs::write(&env_file, variables)?;
    let line = format!(
        "service create --detach --no-resolve-image --name all --constraint node.hostname==h2
         --env-file {} --env TWICE=flag -e FROM_CLIENT -e EMPTY=
         --entrypoint \"rest 'first word'\" --user app:app --workdir /tmp --group extra --group 3000
         --mount type=bind,source={shared},target=/bind,readonly,bind-propagation=rslave
         --mount source=data,target=/data,volume-label=owner=test,volume-nocopy
         --mount type=tmpfs,target=/scratch,tmpfs-size=2m,tmpfs-mode=1770
         --label tier=front --container-label role=web --container-label flag
         --limit-cpu .5 --limit-memory 64m --limit-pids 50 --reserve-cpu .25 --reserve-memory 32m
         --memory-swap 16m --memory-swappiness 30
         --health-cmd 'test -d /' --health-interval 1s --health-timeout 2s --health-retries 5
         --health-start-period 3s
         --host db:10.1.2.3 --host db6:fd00::1 --dns 192.0.2.1 --dns 192.0.2.2
         --dns-option ndots:2 --dns-search example.test
         --cap-add NET_ADMIN --cap-add cap_sys_time --cap-drop MKNOD
         --ulimit nofile=1000:2000 --ulimit core=0 --sysctl net.core.somaxconn=321
         --init --stop-signal SIGUSR1 --stop-grace-period 7s --read-only --hostname box
         --log-driver json-file --log-opt max-size=1m --log-opt max-file=2
         --oom-score-adj 300 --isolation default --publish mode=host,target=80,published=18080
         {SLEEP} one 'two words'",
        env_file.display()
    );
    let mut command = cluster.agent(1).swarm_command()?;
    command.args(words(&line)).env("FROM_CLIENT", "client").env("CLIENT_BY_FILE", "client too");
    run(command)?.ok()?;

    let all = live(cluster, "all")?;
    ensure!(all.host == HOST);
    let config = &all.container["Config"];
    let expected = json!({
        "/Image": SLEEP,
        "/Entrypoint": ["rest", "first word"],
        "/Cmd": ["one", "two words"],
        "/User": "app:app",
        "/WorkingDir": "/tmp",
        "/Hostname": "box",
        "/Tty": false,
        "/StopSignal": "SIGUSR1",
        "/StopTimeout": 7,
        "/Healthcheck/Test": ["CMD-SHELL", "test -d /"],
        "/Healthcheck/Interval": SECOND,
        "/Healthcheck/Timeout": 2 * SECOND,
        "/Healthcheck/Retries": 5,
        "/Healthcheck/StartPeriod": 3 * SECOND,
        "/Labels/role": "web",
        "/Labels/flag": "",
        "/Labels/tier": null,
    });
    fields(config, &expected)?;
    let env = ["FROM_FILE=file", "TWICE=flag", "FROM_CLIENT=client", "CLIENT_BY_FILE=client too", "EMPTY="];
    has_texts(&config["Env"], &env, &["TWICE=file", "NOWHERE", "NOWHERE="])?;
    host_config(&all)?;

    let bind = mount_at(&all.container, "/bind")?;
    ensure!(bind["Source"] == shared.to_string());
    let expected = json!({"/Type": "bind", "/RW": false, "/Propagation": "rslave"});
    fields(bind, &expected)?;
    let expected = json!({"/Type": "volume", "/Name": "data", "/RW": true});
    fields(mount_at(&all.container, "/data")?, &expected)?;
    let volume = cluster.host(HOST).docker_api(&Request::get("/volumes/data"))?;
    let expected = json!({"/Labels": {"owner": "test"}, "/Driver": "local"});
    fields(&volume.json()?, &expected)?;

    swarms_labels(cluster, &all)?;
    processes_see_it(cluster, &all)?;
    remove(cluster, &["all"])
}

fn host_config(all: &Live) -> Result<()> {
    let config = &all.container["HostConfig"];
    let expected = json!({
        "/GroupAdd": ["extra", "3000"],
        "/NanoCpus": SECOND / 2,
        "/Memory": 64 * MIB,
        "/MemorySwap": 80 * MIB,
        "/MemorySwappiness": 30,
        "/PidsLimit": 50,
        "/ExtraHosts": ["db:10.1.2.3", "db6:fd00::1"],
        "/Dns": ["192.0.2.1", "192.0.2.2"],
        "/DnsOptions": ["ndots:2"],
        "/DnsSearch": ["example.test"],
        "/CapAdd": ["CAP_NET_ADMIN", "CAP_SYS_TIME"],
        "/CapDrop": ["CAP_MKNOD"],
        "/Ulimits": [
            {"Name": "core", "Hard": 0, "Soft": 0},
            {"Name": "nofile", "Hard": 2000, "Soft": 1000},
        ],
        "/Sysctls": {"net.core.somaxconn": "321"},
        "/Init": true,
        "/ReadonlyRootfs": true,
        "/LogConfig": {"Type": "json-file", "Config": {"max-file": "2", "max-size": "1m"}},
        "/OomScoreAdj": 300,
        "/Isolation": "default",
        "/PortBindings": {"80/tcp": [{"HostIp": "", "HostPort": "18080"}]},
    });
    fields(config, &expected)?;
    // Reservations are the scheduler's and restarting is the cluster's business, never the engine's.
    empty(config, &["/MemoryReservation", "/CpuShares", "/RestartPolicy/Name"])
}

/// The labels and the name by which tools find the containers of a service.
fn swarms_labels(cluster: &Cluster, all: &Live) -> Result<()> {
    let id = text_at(&all.task, "/ID").context("a task without id")?;
    let name = format!("all.1.{id}");
    let labels = &all.container["Config"]["Labels"];
    let label = |name: &str| text_at(&labels[format!("com.docker.swarm.{name}")], "");
    let service = text_at(&service(cluster, "all")?, "/ID");
    ensure!(label("task") == Some(String::new()));
    ensure!(label("task.id") == Some(id));
    ensure!(label("task.name").as_ref() == Some(&name));
    ensure!(label("node.id") == Some(node_of(cluster, HOST)?));
    ensure!(label("service.id") == service);
    ensure!(label("service.name").as_deref() == Some("all"));
    ensure!(all.container["Name"] == format!("/{name}"));
    Ok(())
}

/// What the flags did, as a process in the container sees it.
fn processes_see_it(cluster: &Cluster, all: &Live) -> Result<()> {
    for (script, wanted) in [
        ("id -u", "1000"),
        ("id -G", "1000 2000 3000"),
        ("pwd", "/tmp"),
        ("hostname", "box"),
        ("cat /proc/sys/net/core/somaxconn", "321"),
        ("ulimit -Sn; ulimit -Hn", "1000\n2000"),
        ("tr '\\0' ' ' < /proc/1/cmdline | grep -c init", "1"),
        ("cat /proc/1/oom_score_adj", "300"),
        ("echo $FROM_FILE $TWICE $FROM_CLIENT", "file flag client"),
        ("df -m /scratch | tail -n 1 | awk '{print $2}'", "2"),
        ("stat -c %a /scratch", "1770"),
        ("awk '$2 == \"db\" {print $1}' /etc/hosts", "10.1.2.3"),
        ("awk '$2 == \"db6\" {print $1}' /etc/hosts", "fd00::1"),
        ("cat /etc/resolv.conf", "search example.test\nnameserver 192.0.2.1\nnameserver 192.0.2.2\noptions ndots:2"),
    ] {
        let found = all.exec(cluster, &["sh", "-c", script])?;
        ensure!(found == wanted, "{script} should print {wanted:?}: {found:?}");
    }
    for path in ["/bind/x", "/x"] {
        let touched = all.run(cluster, &["touch", path])?;
        touched.fails_with("Read-only file system")?;
    }
    Ok(())
}

/// What does not go together with the flags above, and what there is without flags.
pub(crate) fn more_flags(cluster: &Cluster) -> Result<()> {
    let line = format!(
        "--name tty --constraint node.hostname==h2 --tty --no-healthcheck --limit-memory 32m
         --memory-swap -1 --init=false --log-driver none {HEALTH}"
    );
    create(cluster, &line)?;
    let line = format!("--name plain --constraint node.hostname==h2 {HEALTH}");
    create(cluster, &line)?;
    let expected = json!({
        "/Config/Tty": true,
        "/Config/Healthcheck/Test": ["NONE"],
        "/HostConfig/MemorySwap": -1,
        "/HostConfig/Init": false,
        "/HostConfig/LogConfig/Type": "none",
    });
    fields(&live(cluster, "tty")?.container, &expected)?;
    let plain = live(cluster, "plain")?;
    let expected = json!({
        "/Config/Entrypoint": ["web"],
        "/Config/Healthcheck/Test": ["CMD-SHELL", "test ! -e /tmp/sick"],
        "/HostConfig/LogConfig/Type": "json-file",
    });
    fields(&plain.container, &expected)?;
    empty(
        &plain.container,
        &[
            "/Config/User",
            "/Config/StopSignal",
            "/HostConfig/Memory",
            "/HostConfig/NanoCpus",
            "/HostConfig/ReadonlyRootfs",
            "/HostConfig/Mounts",
            "/HostConfig/Privileged",
            "/HostConfig/PortBindings",
        ],
    )?;
    remove(cluster, &["tty", "plain"])
}

pub(crate) fn stop_signal(cluster: &Cluster) -> Result<()> {
    create(cluster, &format!("--name signal --stop-signal SIGUSR1 {SLEEP}"))?;
    let line = format!("--name stubborn --stop-grace-period 2s --entrypoint 'sleep 1000' {SLEEP}");
    create(cluster, &line)?;
    for (name, code, said) in [("signal", 0, "stopped by USR1"), ("stubborn", 137, "")] {
        let before = live(cluster, name)?;
        update(cluster, name, "--force")?;
        replaced(cluster, name, &before)?;
        let state = ended(cluster, &before)?;
        ensure!(state["ExitCode"] == code, "{name} ended with {state}");
        let log = cluster.host(before.host).docker(&["logs", &before.id()?])?;
        let log = log.ok()?;
        ensure!(log.ends_with(said), "{log}");
    }
    remove(cluster, &["signal", "stubborn"])
}

/// The state of a container that ended.
fn ended(cluster: &Cluster, before: &Live) -> Result<Value> {
    let request = Request::get(&format!("/containers/{}/json", before.id()?));
    let container = cluster.host(before.host).docker_api(&request)?.json()?;
    Ok(container["State"].clone())
}
