//! Commands that last: waiting for a service, and passing a connection on.

use crate::support::cluster::id;
use crate::support::{Call, Daemon, Run};
use serde_json::{Value, json};
use std::io::{Read as _, Write as _};
use std::process::Stdio;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// A daemon whose new service has one task: in the state that `state` gives for each look.
fn converging(state: impl Fn(u32) -> &'static str + Send + Sync + 'static) -> Daemon {
    let looks = AtomicU32::new(0);
    let head = |letter| {
        json!({"ID": id(letter), "Version": {"Index": 1}, "CreatedAt": "2024-01-01T00:00:00Z",
        "UpdatedAt": "2024-01-01T00:00:00Z", "Spec": {}})
    };
    let with = |mut object: Value, members: Value| {
        for (key, member) in members.as_object().expect("is an object") {
            object[key] = member.clone();
        }
        object
    };
    Daemon::new(move |call: &Call| {
        let answer = match call.route.as_str() {
            "POST /services/create" => json!({"ID": id('n')}),
            "GET /tasks" => json!([with(
                head('t'),
                json!({"ServiceID": id('n'), "Slot": 1, "NodeID": id('x'),
                "Status": {"Timestamp": "2024-01-01T00:00:00Z", "State": state(looks.load(Ordering::SeqCst))}, "DesiredState": "running"})
            )]),
            "GET /nodes" => json!([with(head('x'), json!({"Status": {"State": "ready"}}))]),
            route if route.starts_with("GET /services/") => {
                looks.fetch_add(1, Ordering::SeqCst);
                with(
                    head('n'),
                    json!({"Spec": {"Name": "s", "Mode": {"Replicated": {"Replicas": 1}},
                    "UpdateConfig": {"Parallelism": 1, "Monitor": 1}}}),
                )
            }
            _ => return None,
        };
        Some((200, answer.to_string()))
    })
}

#[test]
fn a_new_service_is_waited_for() {
    let daemon = converging(|look| if look == 1 { "preparing" } else { "running" });
    let service = id('n');
    assert_eq!(
        daemon.run("service create --no-resolve-image img").out,
        format!(
            "{service}\noverall progress: 0 out of 1 tasks\noverall progress: 1 out of 1 tasks\n\
             verify: Waiting 1 seconds to verify that tasks are stable...\nverify: Service {service} converged\n"
        )
    );
    assert_eq!(daemon.run("service create --no-resolve-image -q img"), Run::ok(&format!("{service}\n")));
}

#[test]
fn an_interrupt_ends_the_waiting_but_not_the_change() {
    let daemon = converging(|_| "preparing");
    let mut command = daemon.command("service create --no-resolve-image img");
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("starts");
    let started = Instant::now();
    // At the second look, what the first one saw is printed.
    let looks = || daemon.calls().iter().filter(|call| call.route == "GET /tasks").count();
    while looks() < 2 {
        assert!(started.elapsed() < Duration::from_secs(20), "the program did not look twice");
        std::thread::yield_now();
    }
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).expect("is there");
    let run = Run::of(&child.wait_with_output().expect("ends"));
    let service = id('n');
    assert_eq!(
        run.out,
        format!(
            "{service}\noverall progress: 0 out of 1 tasks\nOperation continuing in background.\n\
             Use `swarm service ps {service}` to check progress.\n"
        )
    );
    assert_eq!((run.err.as_str(), run.code), ("", 0));
}

#[test]
fn dial_stdio_passes_bytes_on_in_both_directions() {
    let daemon = Daemon::new(|_| Some((200, "\"answer\"".to_owned())));
    let mut command = daemon.command("system dial-stdio");
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("starts");
    let mut stdin = child.stdin.take().expect("is piped");
    stdin.write_all(b"GET /v1.50/info HTTP/1.1\r\nHost: x\r\n\r\n").expect("is read");
    // The end of standard input reaches the daemon, which closes the connection after its answer.
    drop(stdin);
    let mut answer = String::new();
    child.stdout.take().expect("is piped").read_to_string(&mut answer).expect("is text");
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("\r\n\r\n\"answer\""), "{answer}");
    assert!(child.wait().expect("ends").success());
    assert_eq!(daemon.calls()[0].route, "GET /info");
}

#[test]
fn a_registry_that_does_not_answer_is_not_waited_for_long() {
    let daemon = Daemon::new(|call| {
        if call.route.starts_with("GET /distribution/") {
            std::thread::park_timeout(Duration::from_secs(60));
        }
        Some((201, json!({"ID": id('n')}).to_string()))
    });
    let started = Instant::now();
    let mut command = daemon.command("service create -d img");
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("starts");
    let warned = Run::of(&child.wait_with_output().expect("ends"));
    assert!(warned.err.starts_with("image img:latest could not be accessed on a registry"), "{}", warned.err);
    assert!(started.elapsed() < Duration::from_secs(30), "it took {:?}", started.elapsed());
}
