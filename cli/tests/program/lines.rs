//! How the command line and the settings are read.

use crate::support::Run;
use crate::support::cluster::{daemon, id};
use serde_json::json;

#[test]
fn filters_and_the_users_formats_are_used() {
    let daemon = daemon();
    daemon.configure(r#"{"servicesFormat": "{{.Name}}", "nodesFormat": "{{.Hostname}}", "tasksFormat": "{{.ID}}"}"#);
    assert_eq!(daemon.run("service ls -f name=web --filter label=a"), Run::ok("agent\nweb\n"));
    assert_eq!(daemon.run("service ls -q").out, "bbbbbbbbbbbb\naaaaaaaaaaaa\n");
    assert_eq!(daemon.run("node ls --format table").out.lines().count(), 3);
    assert_eq!(daemon.run("node ps").out, "tttttttttttt\nuuuuuuuuuuuu\n");
    let queries: Vec<String> = daemon.calls().into_iter().map(|call| call.query).collect();
    assert_eq!(queries[0], "filters=%7B%22label%22%3A%7B%22a%22%3Atrue%7D%2C%22name%22%3A%7B%22web%22%3Atrue%7D%7D&status=true");
}

#[test]
fn a_broken_config_is_told_and_passed_over() {
    let daemon = daemon();
    daemon.configure("{");
    let run = daemon.run("service ls -q");
    assert_eq!((run.out.as_str(), run.code), ("bbbbbbbbbbbb\naaaaaaaaaaaa\n", 0));
    assert!(run.err.starts_with("WARNING: Error parsing config file ("), "{}", run.err);
}

#[test]
fn mistakes_on_the_command_line_are_told_in_dockers_words() {
    let daemon = daemon();
    let usage = |text: &str, path: &str, rest: &str| format!("{text}\n\nUsage:  {path}{rest}\n\nRun '{path} --help' for more information");
    let create = |text: &str| Run::failed(125, &usage(text, "swarm service create", " [OPTIONS] IMAGE [COMMAND] [ARG...]"));
    for (line, expected) in [
        ("service create --foo", "unknown flag: --foo"),
        ("service create --foo=bar x", "unknown flag: --foo"),
        ("service create -dZ x", "unknown shorthand flag: 'Z' in -Z"),
        ("service create --name", "flag needs an argument: --name"),
        ("service create -d -e", "flag needs an argument: 'e' in -e"),
        (
            "service create --replicas x y",
            "invalid argument \"x\" for \"--replicas\" flag: strconv.ParseUint: parsing \"x\": invalid syntax",
        ),
        ("service create -l =x y", "invalid argument \"=x\" for \"-l, --label\" flag: invalid label '=x': empty name"),
        ("service create -t=x y", "invalid argument \"x\" for \"-t, --tty\" flag: strconv.ParseBool: parsing \"x\": invalid syntax"),
        ("service create --limit-cpu 0.1234567891 y", "invalid argument \"0.1234567891\" for \"--limit-cpu\" flag: value is too precise"),
    ] {
        assert_eq!(daemon.run(line), create(expected), "{line}");
    }
    for (line, text, path, rest) in [
        (
            "service create",
            "swarm: 'swarm service create' requires at least 1 argument",
            "swarm service create",
            " [OPTIONS] IMAGE [COMMAND] [ARG...]",
        ),
        ("service update", "swarm: 'swarm service update' requires 1 argument", "swarm service update", " [OPTIONS] SERVICE"),
        ("service update a b", "swarm: 'swarm service update' requires 1 argument", "swarm service update", " [OPTIONS] SERVICE"),
        ("service ls x", "swarm: 'swarm service ls' accepts no arguments", "swarm service ls", " [OPTIONS]"),
        ("service rm", "swarm: 'swarm service rm' requires at least 1 argument", "swarm service rm", " SERVICE [SERVICE...]"),
        ("join", "swarm: 'swarm join' requires 1 argument", "swarm join", " [OPTIONS] HOST:PORT"),
        ("service foo", "swarm: unknown command: swarm service foo", "swarm service", ""),
    ] {
        assert_eq!(daemon.run(line), Run::failed(1, &usage(text, path, rest)), "{line}");
    }
    let unknown = "swarm: unknown command: swarm volume\n\nRun 'swarm --help' for more information";
    assert_eq!(daemon.run("volume ls"), Run::failed(1, unknown));
    assert_eq!(daemon.run("--foo"), Run::failed(125, &usage("unknown flag: --foo", "swarm", " [OPTIONS] COMMAND [ARG...]")));
    assert_eq!(daemon.run("service ls --format '{{.X'").code, 1);
    assert_eq!(daemon.run("service inspect --format '{{.X' web").code, 64);
    assert!(daemon.writes().is_empty());
}

#[test]
fn what_later_versions_bring_is_refused_by_name() {
    let daemon = daemon();
    for (line, what) in [
        ("service create --with-registry-auth img", "--with-registry-auth"),
        ("service create --credential-spec file://x img", "--credential-spec"),
        ("service logs -f web", "swarm service logs"),
        ("ca --rotate", "swarm ca"),
        ("swarm unlock-key -q", "swarm swarm unlock-key"),
        ("unlock", "swarm unlock"),
        ("init --autolock", "--autolock"),
    ] {
        let expected = format!("\"{what}\" is not supported by this version of Swarm yet");
        assert_eq!(daemon.run(line), Run::failed(1, &expected), "{line}");
    }
    assert!(daemon.writes().is_empty());
    assert_eq!(daemon.run("service create -d --with-registry-auth=false img").code, 0);
}

#[test]
fn rolling_back_stands_alone() {
    let daemon = daemon();
    let run = daemon.run("service update --rollback --env-add A=1 web");
    assert_eq!(run, Run::failed(1, "other flags may not be combined with --rollback"));
    let run = daemon.run("service update --rollback-failure-action rollback web");
    assert!(run.code == 125 && run.err.contains("a rollback cannot be rolled back"), "{run:?}");
    assert!(daemon.writes().is_empty());
    assert_eq!(daemon.run("service update --rollback -d -q web").out, "web\n");
    assert_eq!(daemon.run("service rollback -d web").out, "web\n");
    for write in daemon.writes() {
        assert_eq!(write.query, "rollback=previous&version=12");
    }
}

#[test]
fn words_after_the_image_belong_to_the_container() {
    let daemon = daemon();
    let run = daemon.run("service create -d --no-resolve-image -e A=1 img sh -c --detach --name x -- y");
    assert_eq!(run, Run { out: format!("{}\n", id('n')), err: "careful\n".into(), code: 0 });
    let container = &daemon.writes()[0].body["TaskTemplate"]["ContainerSpec"];
    assert_eq!(container["Image"], "img:latest");
    assert_eq!(container["Args"], json!(["sh", "-c", "--detach", "--name", "x", "--", "y"]));
}

#[test]
fn without_a_daemon_there_is_one_clear_error() {
    let folder = tempfile::tempdir().expect("makes one");
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_swarm"));
    command.env_clear().env("DOCKER_CONFIG", folder.path()).args(["-H", "unix:///nowhere.sock", "service", "ls"]);
    let run = Run::of(&command.output().expect("runs"));
    assert_eq!(run, Run::failed(1, "Cannot connect to the Docker daemon at unix:///nowhere.sock. Is the docker daemon running?"));
}

#[test]
fn help_version_and_completion_need_no_daemon() {
    let daemon = daemon();
    assert_eq!(daemon.run("-v"), Run::ok(&format!("Swarm version {}\n", env!("CARGO_PKG_VERSION"))));
    assert_eq!(
        daemon.run("service rm --help"),
        Run::ok(
            "Usage:  swarm service rm SERVICE [SERVICE...]\n\nRemove one or more services\n\nAliases:\n  \
             swarm service rm, swarm service remove\n"
        )
    );
    assert_eq!(
        daemon.run("service scale -h"),
        Run::ok(
            "Usage:  swarm service scale SERVICE=REPLICAS [SERVICE=REPLICAS...]\n\nScale one or multiple replicated services\n\n\
             Options:\n  -d, --detach   Exit immediately instead of waiting for the service to\n                 converge\n"
        )
    );
    assert_eq!(daemon.run("help service rm"), daemon.run("service rm --help"));
    assert_eq!(daemon.run("help nope"), Run::failed(1, "unknown help topic: nope"));
    assert!(!daemon.run("service create --help").out.contains("--credential-spec"));
    let group = daemon.run("node");
    assert!(group.err.starts_with("Usage:  swarm node COMMAND\n"), "{}", group.err);
    assert_eq!((group.out.as_str(), group.code), ("", 0));
    for shell in ["bash", "zsh", "fish"] {
        let script = daemon.run(&format!("completion {shell}"));
        assert!(script.code == 0 && script.out.contains("join-token"), "{shell}");
        assert!(!script.out.contains("with-registry-auth"), "{shell}");
    }
    assert!(daemon.calls().is_empty());
}
