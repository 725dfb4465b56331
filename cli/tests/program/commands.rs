//! What commands print, how they end, and what they ask of the daemon.

use crate::support::cluster::{daemon, id};
use crate::support::{Daemon, Run};
use serde_json::json;

#[test]
fn lists_print_dockers_tables() {
    let daemon = daemon();
    assert_eq!(
        daemon.run("service ls"),
        Run::ok(
            "ID             NAME      MODE         REPLICAS   IMAGE     PORTS\n\
             bbbbbbbbbbbb   agent     global       1/2        nginx:1   \n\
             aaaaaaaaaaaa   web       replicated   1/2        nginx:1   \n"
        )
    );
    assert_eq!(daemon.run("service ls -q"), Run::ok("bbbbbbbbbbbb\naaaaaaaaaaaa\n"));
    assert_eq!(daemon.run("service list --format '{{.Name}} {{.Mode}}'"), Run::ok("agent global\nweb replicated\n"));
    assert_eq!(
        daemon.run("node ls"),
        Run::ok(
            "ID                            HOSTNAME   STATUS    AVAILABILITY   MANAGER STATUS   ENGINE VERSION\n\
             xxxxxxxxxxxxxxxxxxxxxxxxx *   host-1     Ready     Active         Leader           28.2.2\n\
             yyyyyyyyyyyyyyyyyyyyyyyyy     host-2     Ready     Active                          28.2.2\n"
        )
    );
    assert_eq!(
        daemon.run("service ps --format '{{.Name}} {{.Node}} {{.DesiredState}}' web"),
        Run::ok("web.1 host-1 Running\nweb.2 host-1 Running\n")
    );
}

#[test]
fn an_image_is_pinned_or_a_warning_is_given() {
    let daemon = daemon();
    assert_eq!(daemon.run("service create -d known:1").err, "careful\n");
    let task = daemon.writes()[0].body["TaskTemplate"].clone();
    assert_eq!(task["ContainerSpec"]["Image"], format!("known:1@sha256:{}", "0".repeat(64)));
    assert_eq!(task["Placement"]["Platforms"], json!([{"Architecture": "amd64", "OS": "linux"}]));

    let run = daemon.run("service create -d unknown");
    assert_eq!(
        run.err,
        "careful\nimage unknown:latest could not be accessed on a registry to record\nits digest. Each node will access \
         unknown:latest independently,\npossibly leading to different nodes running different\nversions of the image.\n\n"
    );
    assert_eq!(daemon.writes()[1].body["TaskTemplate"]["ContainerSpec"]["Image"], "unknown:latest");
}

#[test]
fn an_update_names_the_version_it_read_and_keeps_what_it_does_not_know() {
    let daemon = daemon();
    assert_eq!(daemon.run("service update -d --env-add A=1 web"), Run::ok("web\n"));
    let call = daemon.writes().remove(0);
    assert_eq!(call.route, format!("POST /services/{}/update", id('a')));
    assert_eq!(call.query, "registryAuthFrom=spec&version=12");
    assert_eq!(call.body["TaskTemplate"]["Newer"], json!({"Kept": [1, 2.5]}));
    assert_eq!(call.body["TaskTemplate"]["ContainerSpec"], json!({"Image": "nginx:1", "Init": false, "Env": ["A=1"]}));
}

#[test]
fn commands_with_several_targets_go_on_past_failures() {
    let daemon = daemon();
    assert_eq!(
        daemon.run("service rm web nope agent nothing"),
        Run {
            out: "web\nagent\n".into(),
            err: "Error response from daemon: service nope not found\nError response from daemon: service nothing not found\n".into(),
            code: 1
        }
    );
    let run = daemon.run("service scale -d web=3 agent=2 nope=1 web=x");
    assert_eq!(run.out, "web scaled to 3\n");
    assert_eq!(
        run.err,
        "agent: scale can only be used with replicated or replicated-job mode\n\
         nope: Error response from daemon: service nope not found\n\
         web: invalid replicas value x: strconv.ParseUint: parsing \"x\": invalid syntax\n"
    );
    let run = daemon.run("service ps --format '{{.Name}}' web nope");
    assert_eq!((run.out.as_str(), run.err.as_str(), run.code), ("web.1\nweb.2\n", "no such service: nope\n", 1));
    let run = daemon.run("node ps --format '{{.Name}}' nope host-1");
    assert_eq!((run.out.as_str(), run.code), ("web.1\nweb.2\n", 1));
    let invalid = "invalid scale specifier 'web'.\nSee 'swarm service scale --help'.\n\nUsage:  swarm service scale \
                   SERVICE=REPLICAS [SERVICE=REPLICAS...]\n\nScale one or multiple replicated services";
    assert_eq!(daemon.run("service scale web"), Run::failed(1, invalid));
}

#[test]
fn inspect_shows_what_the_daemon_wrote() {
    let raw = r#"{"ID":"a","Zeta":1.50,"Alpha":{"y":[],"x":null},"Spec":{"Name":"web"},"Big":12345678901234567890}"#;
    let daemon = Daemon::new(move |call| match call.route.as_str() {
        "GET /services/web" => Some((200, raw.to_owned())),
        _ => Some((404, r#"{"message":"not there"}"#.to_owned())),
    });
    let run = daemon.run("service inspect web nope");
    assert_eq!(
        run,
        Run {
            out: "[\n    {\n        \"ID\": \"a\",\n        \"Zeta\": 1.50,\n        \"Alpha\": {\n            \"y\": [],\n            \
                  \"x\": null\n        },\n        \"Spec\": {\n            \"Name\": \"web\"\n        },\n        \
                  \"Big\": 12345678901234567890\n    }\n]\n"
                .into(),
            err: "no such service: nope\n".into(),
            code: 1
        }
    );
    assert_eq!(daemon.run("service inspect nope").out, "[]\n");
    assert_eq!(daemon.run("service inspect --format json web").out, format!("[{raw}]\n"));
    assert_eq!(daemon.run("service inspect -f '{{.Spec.Name}} {{.Zeta}}' web").out, "web 1.50\n");
    assert_eq!(
        daemon.run("service inspect -f '{{.Nope}}' web").err,
        "template parsing error: template: :1:2: executing \"\" at <.Nope>: can't evaluate field Nope in type swarm.Service\n"
    );
    assert_eq!(daemon.run("service inspect --pretty -f x web"), Run::failed(1, "--format is incompatible with human friendly format"));
}

#[test]
fn nodes_are_changed_and_removed() {
    let daemon = daemon();
    assert_eq!(daemon.run("node update --availability drain --label-add a=b --label-rm rack host-2"), Run::ok("host-2\n"));
    assert_eq!(daemon.run("node update --label-rm nope host-2"), Run::failed(1, "key nope doesn't exist in node's labels"));
    assert_eq!(daemon.run("node promote host-2").out, "Node host-2 promoted to a manager in the swarm.\n");
    assert_eq!(daemon.run("node demote host-2").out, format!("Node {} is already a worker.\n", id('y')));
    assert_eq!(daemon.run("node rm --force host-2"), Run::ok("host-2\n"));
    let writes = daemon.writes();
    assert_eq!(writes[0].route, format!("POST /nodes/{}/update", id('y')));
    assert_eq!(writes[0].query, "version=5");
    assert_eq!(writes[0].body, json!({"Labels": {"a": "b"}, "Role": "worker", "Availability": "drain"}));
    assert_eq!(writes[1].body["Role"], "manager");
    assert_eq!((writes[2].route.as_str(), writes[2].query.as_str()), ("DELETE /nodes/host-2", "force=1"));
}

#[test]
fn the_cluster_is_made_joined_and_left() {
    let daemon = daemon();
    let join = "To add a worker to this swarm, run the following command:\n\n    swarm join --token SWMTKN-1-w 10.0.0.1:2377\n\n";
    let node = id('x');
    assert_eq!(
        daemon.run("init --advertise-addr 10.0.0.1 --task-history-limit 3 --default-addr-pool 10.1.2.3/16"),
        Run::ok(&format!(
            "Swarm initialized: current node ({node}) is now a manager.\n\n{join}\
             To add a manager to this swarm, run 'swarm join-token manager' and follow the instructions.\n"
        ))
    );
    let request = &daemon.writes()[0].body;
    assert_eq!(request["ListenAddr"], "0.0.0.0:2377");
    assert_eq!(request["DefaultAddrPool"], json!(["10.1.0.0/16"]));
    assert_eq!(request["Spec"]["Orchestration"], json!({"TaskHistoryRetentionLimit": 3}));

    assert_eq!(daemon.run("swarm join-token worker"), Run::ok(join));
    assert_eq!(daemon.run("join-token -q manager"), Run::ok("SWMTKN-1-m\n"));
    assert_eq!(
        daemon.run("join-token --rotate manager").out,
        "Successfully rotated manager join token.\n\nTo add a manager to this swarm, run the following command:\n\n    \
         swarm join --token SWMTKN-1-m 10.0.0.1:2377\n\n"
    );
    assert_eq!(daemon.run("join-token boss"), Run::failed(1, "unknown role boss"));
    assert_eq!(daemon.run("join --token T 10.0.0.1:2377"), Run::ok("This node joined a swarm as a manager.\n"));
    assert_eq!(
        daemon.run("join --availability x 10.0.0.1:2377"),
        Run::failed(1, "invalid availability \"x\", only active, pause and drain are supported")
    );
    assert_eq!(daemon.run("leave --force"), Run::ok("Node left the swarm.\n"));
    assert_eq!(daemon.run("update --task-history-limit 9"), Run::ok("Swarm updated.\n"));
    assert!(daemon.run("update").out.starts_with("Usage:  swarm update [OPTIONS]\n"));

    let writes = daemon.writes();
    assert_eq!(writes[1].query, "version=9&rotateManagerToken=true");
    assert_eq!(writes[2].body["RemoteAddrs"], json!(["10.0.0.1:2377"]));
    assert_eq!(writes[3].query, "force=1");
    assert_eq!(writes[4].body["Newer"], 1);
    assert_eq!(writes[4].body["Orchestration"], json!({"TaskHistoryRetentionLimit": 9}));
    assert_eq!(writes.len(), 5);
}

#[test]
fn an_unclear_address_is_explained() {
    let daemon = Daemon::new(|_| {
        Some((
            400,
            r#"{"message":"could not choose an IP address to advertise since this system has multiple addresses on eth0 (a and b)"}"#
                .into(),
        ))
    });
    assert_eq!(
        daemon.run("init"),
        Run::failed(
            1,
            "Error response from daemon: could not choose an IP address to advertise since this system has multiple addresses \
             on eth0 (a and b) - specify one with --advertise-addr"
        )
    );
}

#[test]
fn networks_are_made_listed_and_removed_as_with_docker() {
    let daemon = daemon();
    assert_eq!(
        daemon.run("network ls"),
        Run::ok(
            "NETWORK ID     NAME      DRIVER    SCOPE\n\
             jjjjjjjjjjjj   blue      overlay   swarm\n\
             iiiiiiiiiiii   ingress   overlay   swarm\n"
        )
    );
    assert_eq!(daemon.run("network inspect -f '{{.Name}} {{.ID}} {{.IPAM.Driver}}' blue"), Run::ok(&format!("blue {} default\n", id('j'))));
    let run = daemon.run("network create -d overlay --attachable --subnet 10.1.0.0/24 --opt encrypted --label a=1 green");
    assert_eq!(run, Run::ok(&format!("{}\n", id('n'))));
    let body = &daemon.writes()[0].body;
    assert_eq!((&body["Name"], &body["Driver"], &body["Attachable"]), (&json!("green"), &json!("overlay"), &json!(true)));
    assert_eq!((&body["Options"], &body["Labels"]), (&json!({"encrypted": ""}), &json!({"a": "1"})));
    assert_eq!(body["IPAM"]["Config"], json!([{"Subnet": "10.1.0.0/24"}]));
    assert_eq!(daemon.run("network prune -f"), Run::ok("Deleted Networks:\nblue\ngreen\n\n"));
    assert_eq!(daemon.run("network rm blue"), Run::ok("blue\n"));
    assert_eq!(daemon.run("network rm nope"), Run::failed(1, "Error response from daemon: network nope not found"));
    assert_eq!(daemon.run("network rm -f nope"), Run::ok(""));
}

#[test]
fn a_service_joins_and_leaves_networks_by_their_ids() {
    let daemon = daemon();
    assert_eq!(daemon.run("service update -d --network-add name=blue,alias=db web"), Run::ok("web\n"));
    assert_eq!(daemon.writes()[0].body["TaskTemplate"]["Networks"], json!([{"Target": id('j'), "Aliases": ["db"]}]));
    let twice = daemon.run("service update -d --network-add blue --network-add blue web");
    assert_eq!(twice, Run::failed(1, "service is already attached to network blue"));
}
