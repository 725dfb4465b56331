//! Flags of `service update`: what is added, what is replaced and what is removed.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use swarm_testkit::{Cluster, SLEEP};
use swarm_tests::services::{Live, create, empty, fails, fields, has_texts, live, mount_at, remove, replaced, service, task_lines, update};

use crate::{MIB, SECOND};

pub(crate) fn adds_and_removes(cluster: &Cluster) -> Result<()> {
    let line = format!(
        "--name upd --constraint node.hostname==h2 --env A=1 --env B=2
         --label a=1 --label b=2 --container-label c=1 --container-label d=2
         --mount source=one,target=/one --mount source=two,target=/two --group 100 --group 200
         --dns 192.0.2.1 --dns 192.0.2.2 --dns-option ndots:1 --dns-option timeout:1
         --dns-search a.test --dns-search b.test --host one:10.0.0.1 --host two:10.0.0.2
         --sysctl net.core.somaxconn=100 --sysctl net.ipv4.ip_unprivileged_port_start=0
         --ulimit nofile=100:200 --ulimit core=5 --cap-add NET_ADMIN --cap-drop MKNOD
         --publish mode=host,published=18081,target=81
         --publish mode=host,published=18082,target=82
         --user app --workdir /tmp --hostname first --entrypoint rest --stop-signal SIGTERM
         --stop-grace-period 5s --log-driver json-file --log-opt max-size=1m --limit-cpu 0.5
         --limit-memory 32m --limit-pids 40 --reserve-memory 16m --health-cmd true
         --health-interval 1s {SLEEP} old"
    );
    create(cluster, &line)?;
    let before = live(cluster, "upd")?;
    ensure!(before.container["Config"]["Cmd"] == json!(["old"]));
    let after = added(cluster, &before)?;
    removed(cluster, &after)?;
    remove(cluster, &["upd"])
}

/// Each flag that adds or changes, and some that remove.
fn added(cluster: &Cluster, before: &Live) -> Result<Live> {
    let flags = "--env-add A=new --env-add C=3 --env-rm B
        --label-add a=new --label-add e=3 --label-rm b
        --container-label-add c=new --container-label-add f=3 --container-label-rm d
        --mount-add source=uno,target=/one --mount-add type=tmpfs,target=/three --mount-rm /two
        --group-add 300 --group-rm 200 --dns-add 192.0.2.3 --dns-rm 192.0.2.2
        --dns-option-add attempts:3 --dns-option-rm ndots:1
        --dns-search-add c.test --dns-search-rm b.test
        --host-add three:10.0.0.3 --host-rm two:10.0.0.2
        --sysctl-add net.core.somaxconn=200 --sysctl-rm net.ipv4.ip_unprivileged_port_start
        --ulimit-add nofile=300:400 --ulimit-rm core --cap-add SYS_TIME --cap-drop NET_ADMIN
        --publish-add mode=host,published=18083,target=83 --publish-rm 82
        --user 0 --workdir /home --hostname second --entrypoint \"rest 'x y'\"
        --args \"new 'two words'\" --stop-signal SIGUSR2 --stop-grace-period 6s
        --log-driver local --log-opt max-size=2m --limit-cpu 0.25 --limit-memory 48m
        --limit-pids 60 --reserve-memory 20m --health-interval 2s --health-retries 4
        --tty --init --read-only --oom-score-adj 5
        --constraint-add node.role==worker";
    update(cluster, "upd", flags)?;
    let after = replaced(cluster, "upd", before)?;
    let container = &after.container;
    let env = &container["Config"]["Env"];
    has_texts(env, &["A=new", "C=3"], &["A=1", "B=2"])?;
    let expected = json!({
        "/Config/Labels/c": "new",
        "/Config/Labels/d": null,
        "/Config/Labels/f": "3",
        "/Config/User": "0",
        "/Config/WorkingDir": "/home",
        "/Config/Hostname": "second",
        "/Config/Entrypoint": ["rest", "x y"],
        "/Config/Cmd": ["new", "two words"],
        "/Config/StopSignal": "SIGUSR2",
        "/Config/StopTimeout": 6,
        "/Config/Tty": true,
        "/Config/Healthcheck/Test": ["CMD-SHELL", "true"],
        "/Config/Healthcheck/Interval": 2 * SECOND,
        "/Config/Healthcheck/Retries": 4,
        "/HostConfig/GroupAdd": ["100", "300"],
        "/HostConfig/Dns": ["192.0.2.1", "192.0.2.3"],
        "/HostConfig/DnsSearch": ["a.test", "c.test"],
        "/HostConfig/ExtraHosts": ["one:10.0.0.1", "three:10.0.0.3"],
        "/HostConfig/Sysctls": {"net.core.somaxconn": "200"},
        "/HostConfig/Ulimits": [{"Name": "nofile", "Hard": 400, "Soft": 300}],
        // Dropping what was added only takes the addition back.
        "/HostConfig/CapAdd": ["CAP_SYS_TIME"],
        "/HostConfig/CapDrop": ["CAP_MKNOD"],
        "/HostConfig/LogConfig": {"Type": "local", "Config": {"max-size": "2m"}},
        "/HostConfig/NanoCpus": SECOND / 4,
        "/HostConfig/Memory": 48 * MIB,
        "/HostConfig/PidsLimit": 60,
        "/HostConfig/Init": true,
        "/HostConfig/ReadonlyRootfs": true,
        "/HostConfig/OomScoreAdj": 5,
    });
    fields(container, &expected)?;
    let options = &container["HostConfig"]["DnsOptions"];
    has_texts(options, &["attempts:3", "timeout:1"], &["ndots:1"])?;
    let ports = &container["HostConfig"]["PortBindings"];
    let ports = ports.as_object().context("no ports")?;
    ensure!(ports.keys().eq(["81/tcp", "83/tcp"]), "{ports:?}");
    ensure!(mount_at(container, "/one")?["Name"] == "uno");
    ensure!(mount_at(container, "/two").is_err());
    let mounts = &container["HostConfig"]["Mounts"];
    let is_three = |mount: &Value| mount["Type"] == "tmpfs" && mount["Target"] == "/three";
    let has_three = mounts.as_array().is_some_and(|all| all.iter().any(is_three));
    ensure!(has_three, "{mounts}");
    let expected = json!({
        "/Labels": {"a": "new", "e": "3"},
        "/TaskTemplate/Resources/Reservations/MemoryBytes": 20 * MIB,
        "/TaskTemplate/Placement/Constraints": ["node.hostname==h2", "node.role==worker"],
    });
    fields(&service(cluster, "upd")?["Spec"], &expected)?;
    Ok(after)
}

/// Everything that was added is taken away again.
fn removed(cluster: &Cluster, before: &Live) -> Result<()> {
    let flags = "--env-rm A --env-rm C --label-rm a --label-rm e
        --container-label-rm c --container-label-rm f --mount-rm /one --mount-rm /three
        --group-rm 100 --group-rm 300 --dns-rm 192.0.2.1 --dns-rm 192.0.2.3
        --dns-option-rm attempts:3 --dns-option-rm timeout:1
        --dns-search-rm a.test --dns-search-rm c.test
        --host-rm one:10.0.0.1 --host-rm three:10.0.0.3 --sysctl-rm net.core.somaxconn
        --ulimit-rm nofile --cap-drop SYS_TIME --cap-add MKNOD --publish-rm 81
        --publish-rm 83/tcp --user '' --workdir '' --hostname '' --args '' --limit-cpu 0
        --limit-memory 0 --limit-pids 0 --no-healthcheck --tty=false --init=false
        --read-only=false --oom-score-adj 0 --constraint-rm node.role==worker
        --log-driver json-file";
    update(cluster, "upd", flags)?;
    let bare = replaced(cluster, "upd", before)?;
    has_texts(&bare.container["Config"]["Env"], &[], &["A=new", "C=3"])?;
    empty(
        &bare.container,
        &[
            "/Config/Labels/c",
            "/Config/Labels/f",
            "/Config/User",
            "/Config/WorkingDir",
            "/Config/Cmd",
            "/Config/Tty",
            "/HostConfig/GroupAdd",
            "/HostConfig/Dns",
            "/HostConfig/DnsOptions",
            "/HostConfig/DnsSearch",
            "/HostConfig/ExtraHosts",
            "/HostConfig/Sysctls",
            "/HostConfig/Ulimits",
            "/HostConfig/CapAdd",
            "/HostConfig/CapDrop",
            "/HostConfig/PortBindings",
            "/HostConfig/LogConfig/Config",
            "/HostConfig/NanoCpus",
            "/HostConfig/Memory",
            "/HostConfig/MemorySwap",
            "/HostConfig/PidsLimit",
            "/HostConfig/Init",
            "/HostConfig/ReadonlyRootfs",
            "/HostConfig/OomScoreAdj",
            "/HostConfig/Mounts",
        ],
    )?;
    let expected = json!({
        "/Config/Healthcheck/Test": ["NONE"],
        "/HostConfig/LogConfig/Type": "json-file",
    });
    fields(&bare.container, &expected)?;
    ensure!(bare.container["Config"]["Hostname"] != "second");
    Ok(())
}

/// Labels of the service are not the container's business: the task stays.
pub(crate) fn labels_of_the_service(cluster: &Cluster) -> Result<()> {
    create(cluster, &format!("--name same {SLEEP}"))?;
    let before = live(cluster, "same")?;
    update(cluster, "same", "--label-add a=b --env-rm NEVER_SET")?;
    update(cluster, "same", "--label-rm never-set")?;
    fields(&service(cluster, "same")?, &json!({"/Spec/Labels": {"a": "b"}}))?;
    // When the next update has replaced the task, the ones before it had their chance to.
    update(cluster, "same", "--force")?;
    replaced(cluster, "same", &before)?;
    let tasks = cluster.tasks("same")?.len();
    ensure!(tasks == 2, "{}", task_lines(cluster, "same")?);
    remove(cluster, &["same"])
}

/// Swap goes with a memory limit, which cannot be taken away from below it.
pub(crate) fn swap(cluster: &Cluster) -> Result<()> {
    let line = format!("--name swaps --constraint node.hostname==h2 --limit-memory 32m {SLEEP}");
    create(cluster, &line)?;
    let before = live(cluster, "swaps")?;
    update(cluster, "swaps", "--memory-swap 8m --memory-swappiness 20")?;
    let after = replaced(cluster, "swaps", &before)?;
    let expected = json!({"/MemorySwap": 40 * MIB, "/MemorySwappiness": 20});
    fields(&after.container["HostConfig"], &expected)?;
    let why = "memory swap provided, but no memory-limit was set";
    fails(cluster, "service update --detach --limit-memory 0 swaps", 1, why)?;
    remove(cluster, &["swaps"])
}
