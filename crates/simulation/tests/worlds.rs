//! Runs worlds: many of them, some twice, and some with faults built in that have to be noticed.

use std::process::{Command, Output};

/// Worlds in one run of the tests; `make sim SEEDS=0..1000` lives in as many as there is time for.
const SEEDS: u64 = 40;
/// A fault has to be noticed within so many worlds.
const SEEDS_WITH_FAULT: u64 = 30;

fn simulate(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_swarm-simulation")).args(args).output().expect("the simulation starts")
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn worlds_heal() {
    let output = simulate(&["--seeds", &format!("0..{SEEDS}")]);
    let said = said(&output);
    println!("{said}");
    assert!(output.status.success(), "some worlds failed, see above");
    assert!(said.contains(&format!("{SEEDS} worlds in ")), "not all worlds were lived in");
}

#[test]
fn a_seed_repeats_itself() {
    let seeds = ["3", "4", "5"];
    let traces = seeds.map(|seed| {
        let [one, two] = [(); 2].map(|()| said(&simulate(&["--seed", seed])));
        assert!(one.contains("trace "), "{one}");
        assert_eq!(one, two);
        one
    });
    assert_ne!(traces[0], traces[1]);
}

/// Within some worlds with the fault one fails, and with such words.
#[track_caller]
fn is_noticed(fault: &str, words: &[&str]) {
    let output = simulate(&["--seeds", &format!("0..{SEEDS_WITH_FAULT}"), "--bug", fault, "--until-failure"]);
    let said = said(&output);
    assert!(!output.status.success(), "no world noticed the fault {fault}: {said}");
    assert!(words.iter().any(|word| said.contains(word)), "{fault} was not what failed: {said}");
}

#[test]
fn a_disk_that_forgets_what_it_has_synced_is_noticed() {
    // By what clients see, by the leader's own account of what followers have, or by what different managers applied.
    is_noticed("lying-disk", &["which was stored or seen before", "is not linearizable", "openraft", "both lead in term", "applied"]);
}

#[test]
fn a_manager_that_drops_acknowledged_writes_is_noticed() {
    is_noticed("dropped-writes", &["which was stored or seen before", "is not linearizable"]);
}

#[test]
fn a_manager_that_reads_what_it_happens_to_have_is_noticed() {
    is_noticed("stale-reads", &["which was stored or seen before", "is not linearizable"]);
}

#[test]
fn an_agent_that_stops_a_container_unasked_is_noticed() {
    is_noticed("nervous-agent", &["stopped the container of task"]);
}
