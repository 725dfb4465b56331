//! Every flag of `service create` and `service update` about the container itself, followed to the host's dockerd.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use swarm_testkit::{Cluster, HEALTH, Request, SLEEP, WEB_1, run};
use swarm_tests::services::{
    all_containers, check_every, create, fields, has_texts, inspect, live, mount_at, node_of,
    remove, replaced, service, task_lines, update, waits_because,
};
use swarm_tests::{SOON, text_at};

/// The host on which the tests that look at one container place it.
const HOST: u8 = 2;
const ON_HOST: &str = "node.hostname==h2";
/// A second in the unit of durations in the API.
const SECOND: u64 = 1_000_000_000;
const MIB: u64 = 1024 * 1024;

#[test]
fn flags_about_the_container_reach_it() -> Result<()> {
    let cluster = Cluster::formed(1, 2)?;
    check_every(
        &cluster,
        &[
            ("flags of create", flags_of_create),
            ("more flags of create", more_flags_of_create),
            ("mounts", mounts),
            ("update adds and removes", update_adds_and_removes),
            (
                "labels of the service leave the task alone",
                service_labels_leave_the_task_alone,
            ),
            ("the stop signal is sent", stop_signal_is_sent),
            ("templates", templates),
            ("templates of global services", templates_of_global_services),
            ("ports of the host", host_ports),
            (
                "later flags are refused by name",
                later_flags_are_refused_by_name,
            ),
        ],
    )
}

fn flags_of_create(cluster: &Cluster) -> Result<()> {
    let host = cluster.host(HOST);
    let shared = host.dir().join("shared");
    fs::create_dir(&shared)?;
    let shared = shared.display().to_string();
    let bind = format!("type=bind,source={shared},target=/bind,readonly,bind-propagation=rslave");
    let env_file = cluster.host(1).dir().join("variables");
    fs::write(
        &env_file,
        "# a comment\nFROM_FILE=file\nOVERRIDDEN=file\nFROM_CLIENT_BY_FILE\n\nABSENT\n",
    )?;
    let env_file = env_file.display().to_string();
    let args = [
        &[
            "service",
            "create",
            "--detach",
            "--no-resolve-image",
            "--name",
            "all",
            "--constraint",
            ON_HOST,
        ][..],
        &[
            "--env-file",
            &env_file,
            "--env",
            "OVERRIDDEN=flag",
            "-e",
            "FROM_CLIENT",
            "-e",
            "EMPTY=",
        ],
        &[
            "--entrypoint",
            "rest 'first word'",
            "--user",
            "app:app",
            "--workdir",
            "/tmp",
        ],
        &["--group", "extra", "--group", "3000"],
        &[
            "--mount",
            &bind,
            "--mount",
            "source=data,target=/data,volume-label=owner=test,volume-nocopy",
        ],
        &[
            "--mount",
            "type=tmpfs,target=/scratch,tmpfs-size=2m,tmpfs-mode=1770",
        ],
        &[
            "--label",
            "tier=front",
            "--container-label",
            "role=web",
            "--container-label",
            "flag",
        ],
        &[
            "--limit-cpu",
            ".5",
            "--limit-memory",
            "64m",
            "--limit-pids",
            "50",
        ],
        &[
            "--reserve-cpu",
            ".25",
            "--reserve-memory",
            "32m",
            "--memory-swap",
            "16m",
            "--memory-swappiness",
            "30",
        ],
        &[
            "--health-cmd",
            "test -d /",
            "--health-interval",
            "1s",
            "--health-timeout",
            "2s",
            "--health-retries",
            "5",
        ],
        &["--health-start-period", "3s"],
        &["--host", "db:10.1.2.3", "--host", "db6:fd00::1"],
        &[
            "--dns",
            "192.0.2.1",
            "--dns",
            "192.0.2.2",
            "--dns-option",
            "ndots:2",
            "--dns-search",
            "example.test",
        ],
        &[
            "--cap-add",
            "NET_ADMIN",
            "--cap-add",
            "cap_sys_time",
            "--cap-drop",
            "MKNOD",
        ],
        &[
            "--ulimit",
            "nofile=1000:2000",
            "--ulimit",
            "core=0",
            "--sysctl",
            "net.core.somaxconn=321",
        ],
        &[
            "--init",
            "--stop-signal",
            "SIGUSR1",
            "--stop-grace-period",
            "7s",
            "--read-only",
            "--hostname",
            "box",
        ],
        &[
            "--log-driver",
            "json-file",
            "--log-opt",
            "max-size=1m",
            "--log-opt",
            "max-file=2",
        ],
        &[
            "--oom-score-adj",
            "300",
            "--isolation",
            "default",
            "--publish",
            "mode=host,target=80,published=18080",
        ],
        &[SLEEP, "one", "two words"],
    ];
    let mut command = cluster.agent(1).swarm_command()?;
    command
        .args(args.concat())
        .env("FROM_CLIENT", "client")
        .env("FROM_CLIENT_BY_FILE", "client too");
    run(command)?.ok()?;

    let all = live(cluster, "all")?;
    ensure!(all.host == HOST, "it runs on host {}", all.host);
    let config = &all.container["Config"];
    fields(
        config,
        &[
            ("/Image", json!(SLEEP)),
            ("/Entrypoint", json!(["rest", "first word"])),
            ("/Cmd", json!(["one", "two words"])),
            ("/User", json!("app:app")),
            ("/WorkingDir", json!("/tmp")),
            ("/Hostname", json!("box")),
            ("/Tty", json!(false)),
            ("/StopSignal", json!("SIGUSR1")),
            ("/StopTimeout", json!(7)),
            ("/Healthcheck/Test", json!(["CMD-SHELL", "test -d /"])),
            ("/Healthcheck/Interval", json!(SECOND)),
            ("/Healthcheck/Timeout", json!(2 * SECOND)),
            ("/Healthcheck/Retries", json!(5)),
            ("/Healthcheck/StartPeriod", json!(3 * SECOND)),
            ("/Labels/role", json!("web")),
            ("/Labels/flag", json!("")),
            ("/Labels/tier", Value::Null),
        ],
    )?;
    let env = [
        "FROM_FILE=file",
        "OVERRIDDEN=flag",
        "FROM_CLIENT=client",
        "FROM_CLIENT_BY_FILE=client too",
        "EMPTY=",
    ];
    has_texts(
        &config["Env"],
        &env,
        &["OVERRIDDEN=file", "ABSENT", "ABSENT="],
    )?;
    ensure!(all.container["RestartCount"] == 0, "dockerd restarted it");
    fields(
        &all.container["HostConfig"],
        &[
            ("/GroupAdd", json!(["extra", "3000"])),
            ("/NanoCpus", json!(SECOND / 2)),
            ("/Memory", json!(64 * MIB)),
            ("/MemorySwap", json!(80 * MIB)),
            ("/MemorySwappiness", json!(30)),
            ("/MemoryReservation", json!(0)),
            ("/PidsLimit", json!(50)),
            ("/ExtraHosts", json!(["db:10.1.2.3", "db6:fd00::1"])),
            ("/Dns", json!(["192.0.2.1", "192.0.2.2"])),
            ("/DnsOptions", json!(["ndots:2"])),
            ("/DnsSearch", json!(["example.test"])),
            ("/CapAdd", json!(["CAP_NET_ADMIN", "CAP_SYS_TIME"])),
            ("/CapDrop", json!(["CAP_MKNOD"])),
            (
                "/Ulimits",
                json!([{"Name": "core", "Hard": 0, "Soft": 0}, {"Name": "nofile", "Hard": 2000, "Soft": 1000}]),
            ),
            ("/Sysctls", json!({"net.core.somaxconn": "321"})),
            ("/Init", json!(true)),
            ("/ReadonlyRootfs", json!(true)),
            (
                "/LogConfig",
                json!({"Type": "json-file", "Config": {"max-file": "2", "max-size": "1m"}}),
            ),
            ("/OomScoreAdj", json!(300)),
            ("/Isolation", json!("default")),
            (
                "/PortBindings",
                json!({"80/tcp": [{"HostIp": "", "HostPort": "18080"}]}),
            ),
            // Restarting is the cluster's business, never the engine's.
            ("/RestartPolicy/Name", json!("no")),
        ],
    )?;
    fields(
        mount_at(&all.container, "/bind")?,
        &[
            ("/Type", json!("bind")),
            ("/Source", json!(shared)),
            ("/RW", json!(false)),
            ("/Propagation", json!("rslave")),
        ],
    )?;
    fields(
        mount_at(&all.container, "/data")?,
        &[
            ("/Type", json!("volume")),
            ("/Name", json!("data")),
            ("/RW", json!(true)),
        ],
    )?;
    let volume = host.docker_api(&Request::get("/volumes/data"))?.json()?;
    fields(
        &volume,
        &[
            ("/Labels", json!({"owner": "test"})),
            ("/Driver", json!("local")),
        ],
    )?;

    swarm_labels(cluster, &all.task, config)?;
    processes_see_it(cluster)?;
    remove(cluster, &["all"])
}

/// The labels and the name by which tools find the containers of a service.
fn swarm_labels(cluster: &Cluster, task: &Value, config: &Value) -> Result<()> {
    let id = text_at(task, "/ID").context("a task without id")?;
    let name = format!("all.1.{id}");
    let label = |name: &str| config["Labels"][format!("com.docker.swarm.{name}")].clone();
    let service = service(cluster, "all")?;
    ensure!(label("task") == "", "{config}");
    ensure!(
        label("task.id") == id.as_str() && label("task.name") == name.as_str(),
        "{config}"
    );
    ensure!(
        label("node.id") == node_of(cluster, HOST)?.as_str(),
        "{config}"
    );
    ensure!(
        label("service.id") == service["ID"] && label("service.name") == "all",
        "{config}"
    );
    let by_name = cluster
        .host(HOST)
        .docker_api(&Request::get(&format!("/containers/{name}/json")))?;
    ensure!(
        by_name.status == 200,
        "no container is named {name}: {by_name}"
    );
    Ok(())
}

/// What the flags did, as a process in the container sees it.
fn processes_see_it(cluster: &Cluster) -> Result<()> {
    let all = live(cluster, "all")?;
    let sees = |words: &[&str], wanted: &str| {
        let found = all.exec(cluster, words)?;
        ensure!(
            found == wanted,
            "{words:?} should print {wanted:?}, not {found:?}"
        );
        Ok(())
    };
    sees(&["id", "-u"], "1000")?;
    sees(&["id", "-G"], "1000 2000 3000")?;
    sees(&["pwd"], "/tmp")?;
    sees(&["hostname"], "box")?;
    sees(&["cat", "/proc/sys/net/core/somaxconn"], "321")?;
    sees(&["sh", "-c", "ulimit -Sn; ulimit -Hn"], "1000\n2000")?;
    sees(
        &["sh", "-c", "tr '\\0' ' ' < /proc/1/cmdline | grep -c init"],
        "1",
    )?;
    sees(&["cat", "/proc/1/oom_score_adj"], "300")?;
    sees(
        &["sh", "-c", "echo $FROM_FILE $OVERRIDDEN $FROM_CLIENT"],
        "file flag client",
    )?;
    sees(
        &["sh", "-c", "df -m /scratch | tail -n 1 | awk '{print $2}'"],
        "2",
    )?;
    sees(&["stat", "-c", "%a", "/scratch"], "1770")?;
    let hosts = all.exec(cluster, &["cat", "/etc/hosts"])?;
    ensure!(
        hosts.contains("10.1.2.3\tdb\n") && hosts.contains("fd00::1\tdb6"),
        "{hosts}"
    );
    let resolver = all.exec(cluster, &["cat", "/etc/resolv.conf"])?;
    for line in [
        "nameserver 192.0.2.1",
        "nameserver 192.0.2.2",
        "search example.test",
        "options ndots:2",
    ] {
        ensure!(resolver.contains(line), "{line} is missing: {resolver}");
    }
    for path in ["/bind/x", "/x"] {
        all.run(cluster, &["touch", path])?
            .fails_with("Read-only file system")?;
    }
    Ok(())
}

/// What does not go together with the flags above.
fn more_flags_of_create(cluster: &Cluster) -> Result<()> {
    let options = [
        &[
            "--name",
            "tty",
            "--constraint",
            ON_HOST,
            "--tty",
            "--no-healthcheck",
            "--memory-swap",
            "-1",
        ][..],
        &[
            "--limit-memory",
            "32m",
            "--init=false",
            "--log-driver",
            "none",
            HEALTH,
        ],
    ];
    create(cluster, &options.concat())?;
    create(
        cluster,
        &["--name", "plain", "--constraint", ON_HOST, HEALTH],
    )?;
    let tty = live(cluster, "tty")?;
    fields(
        &tty.container,
        &[
            ("/Config/Tty", json!(true)),
            ("/Config/Healthcheck/Test", json!(["NONE"])),
            ("/HostConfig/MemorySwap", json!(-1)),
            ("/HostConfig/Init", json!(false)),
            ("/HostConfig/LogConfig/Type", json!("none")),
        ],
    )?;
    // Nothing asked for: what the image and the engine say.
    let plain = live(cluster, "plain")?;
    fields(
        &plain.container,
        &[
            ("/Config/Entrypoint", json!(["web"])),
            (
                "/Config/Healthcheck/Test",
                json!(["CMD-SHELL", "test ! -e /tmp/sick"]),
            ),
            ("/Config/User", json!("")),
            ("/Config/StopSignal", Value::Null),
            ("/HostConfig/Memory", json!(0)),
            ("/HostConfig/NanoCpus", json!(0)),
            ("/HostConfig/LogConfig/Type", json!("json-file")),
            ("/HostConfig/ReadonlyRootfs", json!(false)),
            ("/HostConfig/Mounts", Value::Null),
            ("/HostConfig/Privileged", json!(false)),
        ],
    )?;
    remove(cluster, &["tty", "plain"])
}

fn mounts(cluster: &Cluster) -> Result<()> {
    let host = cluster.host(HOST);
    let options = [
        &[
            "--name",
            "volumes",
            "--constraint",
            ON_HOST,
            "--mount",
            "target=/nameless",
        ][..],
        &[
            "--mount",
            "source=ram,target=/ram,volume-driver=local,volume-opt=type=tmpfs,volume-opt=device=tmpfs",
        ],
        &["--mount", "source=ram,target=/again,readonly", SLEEP],
    ];
    create(cluster, &options.concat())?;
    let volumes = live(cluster, "volumes")?;
    let nameless = mount_at(&volumes.container, "/nameless")?;
    let nameless = text_at(nameless, "/Name").with_context(|| format!("no name: {nameless}"))?;
    let ram = host.docker_api(&Request::get("/volumes/ram"))?.json()?;
    fields(
        &ram,
        &[
            ("/Driver", json!("local")),
            ("/Options", json!({"type": "tmpfs", "device": "tmpfs"})),
        ],
    )?;
    fields(
        mount_at(&volumes.container, "/again")?,
        &[("/Name", json!("ram")), ("/RW", json!(false))],
    )?;
    remove(cluster, &["volumes"])?;
    cluster.until("the end of the nameless volume only", SOON, || {
        let gone = host.docker_api(&Request::get(&format!("/volumes/{nameless}")))?;
        ensure!(gone.status == 404, "{gone}");
        let kept = host.docker_api(&Request::get("/volumes/ram"))?;
        ensure!(kept.status == 200, "a named volume is the user's: {kept}");
        Ok(())
    })?;

    let missing = [
        "--mount",
        "type=bind,source=/not/there,target=/bind",
        "--restart-condition",
        "none",
    ];
    create(
        cluster,
        &[
            &["--name", "missing", "--constraint", ON_HOST],
            &missing[..],
            &[SLEEP],
        ]
        .concat(),
    )?;
    cluster.until("a task that says what is missing", SOON, || {
        let tasks = cluster.tasks("missing")?;
        let task = tasks.first().context("no task")?;
        let said =
            "invalid mount config for type \"bind\": bind source path does not exist: /not/there";
        let swarms = "invalid bind mount source, source path not found: /not/there";
        let text = text_at(task, "/Status/Err").unwrap_or_default();
        ensure!(
            task["Status"]["State"] == "rejected",
            "{}",
            task_lines(cluster, "missing")?
        );
        ensure!(text.contains(said) || text.contains(swarms), "{text}");
        Ok(())
    })?;
    remove(cluster, &["missing"])
}

fn update_adds_and_removes(cluster: &Cluster) -> Result<()> {
    let created = [
        &[
            "--name",
            "upd",
            "--constraint",
            ON_HOST,
            "--env",
            "A=1",
            "--env",
            "B=2",
        ][..],
        &[
            "--label",
            "a=1",
            "--label",
            "b=2",
            "--container-label",
            "c=1",
            "--container-label",
            "d=2",
        ],
        &[
            "--mount",
            "source=one,target=/one",
            "--mount",
            "source=two,target=/two",
        ],
        &[
            "--group",
            "100",
            "--group",
            "200",
            "--dns",
            "192.0.2.1",
            "--dns",
            "192.0.2.2",
        ],
        &[
            "--dns-option",
            "ndots:1",
            "--dns-option",
            "timeout:1",
            "--dns-search",
            "a.test",
            "--dns-search",
            "b.test",
        ],
        &["--host", "one:10.0.0.1", "--host", "two:10.0.0.2"],
        &[
            "--sysctl",
            "net.core.somaxconn=100",
            "--sysctl",
            "net.ipv4.ip_unprivileged_port_start=0",
        ],
        &[
            "--ulimit",
            "nofile=100:200",
            "--ulimit",
            "core=5",
            "--cap-add",
            "NET_ADMIN",
            "--cap-drop",
            "MKNOD",
        ],
        &[
            "--publish",
            "mode=host,published=18081,target=81",
            "--publish",
            "mode=host,published=18082,target=82",
        ],
        &[
            "--user",
            "app",
            "--workdir",
            "/tmp",
            "--hostname",
            "first",
            "--entrypoint",
            "rest",
        ],
        &[
            "--stop-signal",
            "SIGTERM",
            "--stop-grace-period",
            "5s",
            "--log-driver",
            "json-file",
        ],
        &[
            "--log-opt",
            "max-size=1m",
            "--limit-cpu",
            "0.5",
            "--limit-memory",
            "32m",
            "--limit-pids",
            "40",
        ],
        &[
            "--reserve-memory",
            "16m",
            "--health-cmd",
            "true",
            "--health-interval",
            "1s",
            "--restart-delay",
            "1s",
        ],
        &[SLEEP, "old"],
    ];
    create(cluster, &created.concat())?;
    let before = live(cluster, "upd")?;
    fields(
        &before.container,
        &[
            ("/HostConfig/CapAdd", json!(["CAP_NET_ADMIN"])),
            ("/Config/Cmd", json!(["old"])),
        ],
    )?;

    let adds = [
        &["--env-add", "A=new", "--env-add", "C=3", "--env-rm", "B"][..],
        &[
            "--label-add",
            "a=new",
            "--label-add",
            "e=3",
            "--label-rm",
            "b",
        ],
        &[
            "--container-label-add",
            "c=new",
            "--container-label-add",
            "f=3",
            "--container-label-rm",
            "d",
        ],
        &[
            "--mount-add",
            "source=uno,target=/one",
            "--mount-add",
            "type=tmpfs,target=/three",
            "--mount-rm",
            "/two",
        ],
        &[
            "--group-add",
            "300",
            "--group-rm",
            "200",
            "--dns-add",
            "192.0.2.3",
            "--dns-rm",
            "192.0.2.2",
        ],
        &[
            "--dns-option-add",
            "attempts:3",
            "--dns-option-rm",
            "ndots:1",
        ],
        &["--dns-search-add", "c.test", "--dns-search-rm", "b.test"],
        &["--host-add", "three:10.0.0.3", "--host-rm", "two:10.0.0.2"],
        &[
            "--sysctl-add",
            "net.core.somaxconn=200",
            "--sysctl-rm",
            "net.ipv4.ip_unprivileged_port_start",
        ],
        &[
            "--ulimit-add",
            "nofile=300:400",
            "--ulimit-rm",
            "core",
            "--cap-add",
            "SYS_TIME",
            "--cap-drop",
            "NET_ADMIN",
        ],
        &[
            "--publish-add",
            "mode=host,published=18083,target=83",
            "--publish-rm",
            "82",
        ],
        &[
            "--user",
            "0",
            "--workdir",
            "/home",
            "--hostname",
            "second",
            "--entrypoint",
            "rest 'x y'",
        ],
        &[
            "--args",
            "new 'two words'",
            "--stop-signal",
            "SIGUSR2",
            "--stop-grace-period",
            "6s",
        ],
        &[
            "--log-driver",
            "local",
            "--log-opt",
            "max-size=2m",
            "--limit-cpu",
            "0.25",
            "--limit-memory",
            "48m",
        ],
        &[
            "--limit-pids",
            "60",
            "--reserve-memory",
            "20m",
            "--health-interval",
            "2s",
            "--health-retries",
            "4",
        ],
        &[
            "--tty",
            "--init",
            "--read-only",
            "--oom-score-adj",
            "5",
            "--constraint-add",
            "node.role==worker",
        ],
    ];
    update(cluster, "upd", &adds.concat())?;
    let after = replaced(cluster, "upd", &before)?;
    has_texts(
        &after.container["Config"]["Env"],
        &["A=new", "C=3"],
        &["A=1", "B=2"],
    )?;
    fields(
        &after.container,
        &[
            ("/Config/Labels/c", json!("new")),
            ("/Config/Labels/d", Value::Null),
            ("/Config/Labels/f", json!("3")),
            ("/Config/User", json!("0")),
            ("/Config/WorkingDir", json!("/home")),
            ("/Config/Hostname", json!("second")),
            ("/Config/Entrypoint", json!(["rest", "x y"])),
            ("/Config/Cmd", json!(["new", "two words"])),
            ("/Config/StopSignal", json!("SIGUSR2")),
            ("/Config/StopTimeout", json!(6)),
            ("/Config/Tty", json!(true)),
            ("/Config/Healthcheck/Test", json!(["CMD-SHELL", "true"])),
            ("/Config/Healthcheck/Interval", json!(2 * SECOND)),
            ("/Config/Healthcheck/Retries", json!(4)),
            ("/HostConfig/GroupAdd", json!(["100", "300"])),
            ("/HostConfig/Dns", json!(["192.0.2.1", "192.0.2.3"])),
            ("/HostConfig/DnsSearch", json!(["a.test", "c.test"])),
            (
                "/HostConfig/ExtraHosts",
                json!(["one:10.0.0.1", "three:10.0.0.3"]),
            ),
            ("/HostConfig/Sysctls", json!({"net.core.somaxconn": "200"})),
            (
                "/HostConfig/Ulimits",
                json!([{"Name": "nofile", "Hard": 400, "Soft": 300}]),
            ),
            // Dropping what was added only takes the addition back.
            ("/HostConfig/CapAdd", json!(["CAP_SYS_TIME"])),
            ("/HostConfig/CapDrop", json!(["CAP_MKNOD"])),
            (
                "/HostConfig/LogConfig",
                json!({"Type": "local", "Config": {"max-size": "2m"}}),
            ),
            ("/HostConfig/NanoCpus", json!(SECOND / 4)),
            ("/HostConfig/Memory", json!(48 * MIB)),
            ("/HostConfig/PidsLimit", json!(60)),
            ("/HostConfig/Init", json!(true)),
            ("/HostConfig/ReadonlyRootfs", json!(true)),
            ("/HostConfig/OomScoreAdj", json!(5)),
        ],
    )?;
    has_texts(
        &after.container["HostConfig"]["DnsOptions"],
        &["attempts:3", "timeout:1"],
        &["ndots:1"],
    )?;
    let ports = after.container["HostConfig"]["PortBindings"]
        .as_object()
        .context("no ports")?;
    ensure!(ports.keys().eq(["81/tcp", "83/tcp"]), "{ports:?}");
    ensure!(
        mount_at(&after.container, "/one")?["Name"] == "uno",
        "{}",
        after.container["Mounts"]
    );
    ensure!(
        mount_at(&after.container, "/two").is_err(),
        "{}",
        after.container["Mounts"]
    );
    let tmpfs = &after.container["HostConfig"]["Mounts"];
    let is_three = |mount: &Value| mount["Type"] == "tmpfs" && mount["Target"] == "/three";
    ensure!(
        tmpfs.as_array().is_some_and(|all| all.iter().any(is_three)),
        "{tmpfs}"
    );
    let spec = &service(cluster, "upd")?["Spec"];
    fields(
        spec,
        &[
            ("/Labels", json!({"a": "new", "e": "3"})),
            (
                "/TaskTemplate/Resources/Reservations/MemoryBytes",
                json!(20 * MIB),
            ),
            (
                "/TaskTemplate/Placement/Constraints",
                json!(["node.hostname==h2", "node.role==worker"]),
            ),
        ],
    )?;

    let removes = [
        &[
            "--env-rm",
            "A",
            "--env-rm",
            "C",
            "--label-rm",
            "a",
            "--label-rm",
            "e",
        ][..],
        &[
            "--container-label-rm",
            "c",
            "--container-label-rm",
            "f",
            "--mount-rm",
            "/one",
            "--mount-rm",
            "/three",
        ],
        &[
            "--group-rm",
            "100",
            "--group-rm",
            "300",
            "--dns-rm",
            "192.0.2.1",
            "--dns-rm",
            "192.0.2.3",
        ],
        &[
            "--dns-option-rm",
            "attempts:3",
            "--dns-option-rm",
            "timeout:1",
        ],
        &["--dns-search-rm", "a.test", "--dns-search-rm", "c.test"],
        &[
            "--host-rm",
            "one:10.0.0.1",
            "--host-rm",
            "three:10.0.0.3",
            "--sysctl-rm",
            "net.core.somaxconn",
        ],
        &[
            "--ulimit-rm",
            "nofile",
            "--cap-drop",
            "SYS_TIME",
            "--cap-add",
            "MKNOD",
        ],
        &[
            "--publish-rm",
            "81",
            "--publish-rm",
            "83/tcp",
            "--user",
            "",
            "--workdir",
            "",
            "--hostname",
            "",
        ],
        &[
            "--args",
            "",
            "--limit-cpu",
            "0",
            "--limit-memory",
            "0",
            "--limit-pids",
            "0",
            "--no-healthcheck",
        ],
        &[
            "--tty=false",
            "--init=false",
            "--read-only=false",
            "--oom-score-adj",
            "0",
        ],
        &[
            "--constraint-rm",
            "node.role==worker",
            "--log-driver",
            "json-file",
        ],
    ];
    update(cluster, "upd", &removes.concat())?;
    let bare = replaced(cluster, "upd", &after)?;
    has_texts(&bare.container["Config"]["Env"], &[], &["A=new", "C=3"])?;
    fields(
        &bare.container,
        &[
            ("/Config/Labels/c", Value::Null),
            ("/Config/Labels/f", Value::Null),
            ("/Config/User", json!("")),
            ("/Config/WorkingDir", json!("")),
            ("/Config/Cmd", Value::Null),
            ("/Config/Tty", json!(false)),
            ("/Config/Healthcheck/Test", json!(["NONE"])),
            ("/HostConfig/GroupAdd", Value::Null),
            ("/HostConfig/Dns", json!([])),
            ("/HostConfig/DnsOptions", json!([])),
            ("/HostConfig/DnsSearch", json!([])),
            ("/HostConfig/ExtraHosts", Value::Null),
            ("/HostConfig/Sysctls", Value::Null),
            ("/HostConfig/Ulimits", Value::Null),
            ("/HostConfig/CapAdd", Value::Null),
            ("/HostConfig/CapDrop", Value::Null),
            ("/HostConfig/PortBindings", json!({})),
            (
                "/HostConfig/LogConfig",
                json!({"Type": "json-file", "Config": {}}),
            ),
            ("/HostConfig/NanoCpus", json!(0)),
            ("/HostConfig/Memory", json!(0)),
            ("/HostConfig/PidsLimit", Value::Null),
            ("/HostConfig/Init", json!(false)),
            ("/HostConfig/ReadonlyRootfs", json!(false)),
            ("/HostConfig/OomScoreAdj", json!(0)),
            ("/HostConfig/Mounts", Value::Null),
        ],
    )?;
    ensure!(
        bare.container["Config"]["Hostname"] != "second",
        "the hostname stayed"
    );
    remove(cluster, &["upd"])
}

fn service_labels_leave_the_task_alone(cluster: &Cluster) -> Result<()> {
    create(cluster, &["--name", "same", SLEEP])?;
    let before = live(cluster, "same")?;
    update(
        cluster,
        "same",
        &["--label-add", "a=b", "--env-rm", "NEVER_SET"],
    )?;
    update(cluster, "same", &["--label-rm", "never-set"])?;
    fields(
        &service(cluster, "same")?,
        &[("/Spec/Labels", json!({"a": "b"}))],
    )?;
    // Updates of one service are made one after the other: when this one has replaced the task, the ones before it had their
    // chance to.
    update(cluster, "same", &["--force"])?;
    replaced(cluster, "same", &before)?;
    let tasks = cluster.tasks("same")?;
    ensure!(
        tasks.len() == 2,
        "the task was replaced without need: {}",
        task_lines(cluster, "same")?
    );
    remove(cluster, &["same"])
}

fn stop_signal_is_sent(cluster: &Cluster) -> Result<()> {
    create(
        cluster,
        &["--name", "signal", "--stop-signal", "SIGUSR1", SLEEP],
    )?;
    create(
        cluster,
        &[
            "--name",
            "stubborn",
            "--stop-grace-period",
            "2s",
            "--entrypoint",
            "sleep 1000",
            SLEEP,
        ],
    )?;
    for (name, code, said) in [("signal", 0, "stopped by USR1"), ("stubborn", 137, "")] {
        let before = live(cluster, name)?;
        update(cluster, name, &["--force"])?;
        replaced(cluster, name, &before)?;
        let host = cluster.host(before.host);
        let state = host
            .docker_api(&Request::get(&format!("/containers/{}/json", before.id()?)))?
            .json()?["State"]
            .clone();
        ensure!(state["ExitCode"] == code, "{name} ended with {state}");
        let log = host.docker(&["logs", &before.id()?])?.ok()?;
        ensure!(log.ends_with(said), "{log}");
    }
    remove(cluster, &["signal", "stubborn"])
}

fn templates(cluster: &Cluster) -> Result<()> {
    let options = [
        &[
            "--name",
            "tpl",
            "--constraint",
            ON_HOST,
            "--replicas",
            "2",
            "--label",
            "tier=front",
        ][..],
        &[
            "--hostname",
            "{{.Service.Name}}-{{.Task.Slot}}-{{.Node.Hostname}}",
        ],
        &[
            "--env",
            "SERVICE={{.Service.ID}} {{.Service.Name}} {{.Service.Labels.tier}}",
        ],
        &[
            "--env",
            "NODE={{.Node.ID}} {{.Node.Hostname}} {{.Node.Platform.OS}} {{.Node.Platform.Architecture}}",
        ],
        &[
            "--env",
            "TASK={{.Task.ID}} {{.Task.Name}} {{.Task.Slot}}",
            "--env",
            "PLAIN=a{b}c",
        ],
        &["--env", "JOINED={{join \"-\" .Service.Name .Task.Slot}}"],
        &[
            "--mount",
            "source={{.Service.Name}}-{{.Task.Slot}},target=/data/{{.Task.Slot}},volume-label=of={{.Task.Slot}}",
        ],
        &[SLEEP],
    ];
    let id = create(cluster, &options.concat())?;
    let node = cluster.node(HOST)?;
    let (node_id, arch) = (
        text_at(&node, "/ID"),
        text_at(&node, "/Description/Platform/Architecture"),
    );
    let (node_id, arch) = (
        node_id.context("no node id")?,
        arch.context("no architecture")?,
    );
    for task in cluster.wait_running("tpl", 2, SOON)? {
        let (slot, task_id) = (
            task["Slot"].clone(),
            text_at(&task, "/ID").context("no id")?,
        );
        let found = inspect(cluster, &task)?;
        ensure!(
            found.container["Config"]["Hostname"] == format!("tpl-{slot}-h2"),
            "{}",
            found.container["Config"]
        );
        let env = [
            format!("SERVICE={id} tpl front"),
            format!("NODE={node_id} h2 linux {arch}"),
            format!("TASK={task_id} tpl.{slot}.{task_id} {slot}"),
            format!("JOINED=tpl-{slot}"),
            "PLAIN=a{b}c".to_owned(),
        ];
        has_texts(
            &found.container["Config"]["Env"],
            &env.each_ref().map(String::as_str),
            &[],
        )?;
        let mount = mount_at(&found.container, &format!("/data/{slot}"))?;
        ensure!(mount["Name"] == format!("tpl-{slot}"), "{mount}");
        let volume = cluster
            .host(HOST)
            .docker_api(&Request::get(&format!("/volumes/tpl-{slot}")))?
            .json()?;
        fields(&volume, &[("/Labels", json!({"of": slot.to_string()}))])?;
    }
    for (flag, value) in [
        ("--env", "A={{.Nothing}}"),
        ("--hostname", "{{.Node.Hostname"),
        ("--env", "A={{.Task.Slot | nope}}"),
    ] {
        let refused = cluster.swarm(
            1,
            &[
                "service", "create", "--detach", "--name", "bad", flag, value, SLEEP,
            ],
        )?;
        ensure!(
            refused.code() == Some(1) && !refused.stderr.is_empty(),
            "{refused}"
        );
    }
    let found = cluster.api(1, &Request::get("/services/bad"))?;
    ensure!(found.status == 404, "a refused service is there: {found}");
    remove(cluster, &["tpl"])
}

fn templates_of_global_services(cluster: &Cluster) -> Result<()> {
    let options = [
        "--name",
        "tplg",
        "--mode",
        "global",
        "--hostname",
        "{{.Node.Hostname}}",
        "--env",
        "SLOT={{.Task.Slot}}",
        SLEEP,
    ];
    create(cluster, &options)?;
    for task in cluster.wait_running("tplg", 3, SOON)? {
        let found = inspect(cluster, &task)?;
        let node = text_at(&task, "/NodeID").context("no node")?;
        ensure!(
            found.container["Config"]["Hostname"] == format!("h{}", found.host),
            "{}",
            found.container["Config"]
        );
        has_texts(
            &found.container["Config"]["Env"],
            &[&format!("SLOT={node}")],
            &[],
        )?;
        let name = format!("/tplg.{node}.{}", text_at(&task, "/ID").context("no id")?);
        ensure!(
            found.container["Name"] == name,
            "it is named {}",
            found.container["Name"]
        );
    }
    remove(cluster, &["tplg"])
}

fn host_ports(cluster: &Cluster) -> Result<()> {
    let publish = [
        "--publish",
        "mode=host,target=8080,published=18090",
        "--publish",
        "mode=host,target=53,protocol=udp",
    ];
    create(
        cluster,
        &[
            &["--name", "web", "--replicas", "4"],
            &publish[..],
            &[WEB_1],
        ]
        .concat(),
    )?;
    let tasks = cluster.wait_running("web", 3, SOON)?;
    waits_because(
        cluster,
        "web",
        1,
        "no suitable node (host-mode port already in use on 3 nodes)",
    )?;
    for host in cluster.bed().hosts() {
        let answer = cluster.until("an answer from outside", SOON, || {
            cluster
                .bed()
                .http_get_from_outside((host.ip(), 18090), "/cgi-bin/client")?
                .ok()
        })?;
        // Ports of the host do not hide who calls.
        ensure!(
            answer == cluster.bed().outside_address().to_string(),
            "the client is {answer}"
        );
    }
    for task in &tasks {
        let ports = task["Status"]["PortStatus"]["Ports"]
            .as_array()
            .context("no ports in the status")?;
        let tcp = ports
            .iter()
            .find(|port| port["Protocol"] == "tcp")
            .context("no tcp port")?;
        fields(
            tcp,
            &[
                ("/TargetPort", json!(8080)),
                ("/PublishedPort", json!(18090)),
                ("/PublishMode", json!("host")),
            ],
        )?;
        let udp = ports
            .iter()
            .find(|port| port["Protocol"] == "udp")
            .context("no udp port")?;
        ensure!(
            udp["PublishedPort"].as_u64().is_some_and(|port| port > 0),
            "the engine's choice is missing: {udp}"
        );
    }
    let shown = cluster
        .swarm(1, &["service", "ps", "--format", "{{.Ports}}", "web"])?
        .ok()?;
    ensure!(shown.contains("*:18090->8080/tcp"), "{shown}");
    // The port is free for the next as soon as the service is gone.
    remove(cluster, &["web"])?;
    let publish = ["--publish", "mode=host,target=8080,published=18090"];
    create(
        cluster,
        &[
            &["--name", "next", "--replicas", "3"],
            &publish[..],
            &[WEB_1],
        ]
        .concat(),
    )?;
    cluster.wait_running("next", 3, SOON)?;
    // Updating needs the port that the old container still holds.
    update(cluster, "next", &["--env-add", "NEW=1"])?;
    cluster.until(
        "three tasks of the new version",
        Duration::from_secs(60),
        || {
            let mut new = cluster.running_tasks("next")?;
            new.retain(|task| task["Spec"]["ContainerSpec"]["Env"] == json!(["NEW=1"]));
            ensure!(new.len() == 3, "{}", task_lines(cluster, "next")?);
            Ok(())
        },
    )?;
    let failed = cluster
        .tasks("next")?
        .iter()
        .filter(|task| task["Status"]["State"] == "failed")
        .count();
    ensure!(failed == 0, "{}", task_lines(cluster, "next")?);
    remove(cluster, &["next"])
}

fn later_flags_are_refused_by_name(cluster: &Cluster) -> Result<()> {
    const CREATE: &[&[&str]] = &[
        &["--network", "net"],
        &["--secret", "s"],
        &["--config", "c"],
        &["--credential-spec", "file://x"],
        &["--generic-resource", "gpu=1"],
        &["--with-registry-auth"],
        &["--max-concurrent", "2"],
        &["--mode", "replicated-job"],
        &["--mode", "global-job"],
        &["--endpoint-mode", "dnsrr"],
        &["--publish", "8080:80"],
        &["--publish", "target=80,mode=ingress"],
        &["--update-parallelism", "2"],
        &["--update-delay", "1s"],
        &["--update-monitor", "1s"],
        &["--update-failure-action", "rollback"],
        &["--update-max-failure-ratio", "0.5"],
        &["--update-order", "start-first"],
        &["--rollback-parallelism", "2"],
        &["--rollback-delay", "1s"],
        &["--rollback-monitor", "1s"],
        &["--rollback-failure-action", "continue"],
        &["--rollback-max-failure-ratio", "0.5"],
        &["--rollback-order", "start-first"],
    ];
    const UPDATE: &[&[&str]] = &[
        &["--network-add", "net"],
        &["--network-rm", "net"],
        &["--secret-add", "s"],
        &["--secret-rm", "s"],
        &["--config-add", "c"],
        &["--config-rm", "c"],
        &["--credential-spec", "file://x"],
        &["--generic-resource-add", "gpu=1"],
        &["--generic-resource-rm", "gpu"],
        &["--with-registry-auth"],
        &["--max-concurrent", "2"],
        &["--endpoint-mode", "dnsrr"],
        &["--publish-add", "8080:80"],
        &["--update-parallelism", "2"],
        &["--update-order", "start-first"],
        &["--rollback-parallelism", "2"],
        &["--rollback"],
    ];
    create(cluster, &["--name", "old", "--replicas", "0", SLEEP])?;
    let before = service(cluster, "old")?;
    let refused = |words: &[&str], flag: &str| {
        let output = cluster.swarm(1, words)?;
        let named = output.stderr.contains(&format!("\"{flag}"))
            && output.stderr.contains("not supported by this version");
        ensure!(
            output.code() == Some(1) && output.stdout.is_empty() && named,
            "should name {flag}: {output}"
        );
        Ok(())
    };
    for flags in CREATE {
        refused(
            &[
                &["service", "create", "--detach", "--name", "new"],
                *flags,
                &[SLEEP],
            ]
            .concat(),
            flags[0],
        )?;
    }
    for flags in UPDATE {
        refused(
            &[&["service", "update", "--detach"], *flags, &["old"]].concat(),
            flags[0],
        )?;
    }
    refused(&["service", "rollback", "old"], "swarm service rollback")?;
    refused(&["service", "logs", "old"], "swarm service logs")?;
    ensure!(
        service(cluster, "old")? == before,
        "a refused update changed something"
    );
    let found = cluster.api(1, &Request::get("/services/new"))?;
    ensure!(found.status == 404, "a refused service is there: {found}");
    // What no version has is another error.
    let unknown = cluster.swarm(1, &["service", "create", "--no-such-flag", SLEEP])?;
    ensure!(
        unknown.code() == Some(125) && unknown.stderr.contains("--no-such-flag"),
        "{unknown}"
    );
    remove(cluster, &["old"])?;
    for number in 1..=3 {
        let left = all_containers(cluster, number, "new")?;
        ensure!(
            left.is_empty(),
            "host {number} has containers of a refused service: {left:?}"
        );
    }
    Ok(())
}
