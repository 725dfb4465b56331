//! What Docker's users may ask for and this version does not do yet.
//!
//! One table: such flags and commands are understood and refused by name, never ignored and never half done. A
//! later version removes a line here when it adds the thing itself.

use crate::failure::{Failure, Outcome};
use crate::line::values;
use clap::{Arg, ArgAction, ArgMatches, Command};

/// A flag to refuse.
struct Flag {
    /// The words of its command, without the program's name.
    command: &'static [&'static str],
    /// Its long name.
    name: &'static str,
    /// Whether it is a switch, without a value.
    switch: bool,
}

const CREATE: &[&str] = &["service", "create"];
const UPDATE: &[&str] = &["service", "update"];

const fn value(command: &'static [&'static str], name: &'static str) -> Flag {
    Flag { command, name, switch: false }
}

const fn switch(command: &'static [&'static str], name: &'static str) -> Flag {
    Flag { command, name, switch: true }
}

/// Flags to refuse.
const FLAGS: &[Flag] = &[
    // Credentials of Windows.
    value(CREATE, "credential-spec"),
    value(UPDATE, "credential-spec"),
    // Registry credentials.
    switch(CREATE, "with-registry-auth"),
    switch(UPDATE, "with-registry-auth"),
    switch(&["stack", "deploy"], "with-registry-auth"),
    // Autolock.
    switch(&["swarm", "init"], "autolock"),
    switch(&["swarm", "update"], "autolock"),
    switch(&["init"], "autolock"),
    switch(&["update"], "autolock"),
];

/// Commands to refuse.
const COMMANDS: &[&[&str]] =
    &[&["service", "logs"], &["swarm", "ca"], &["swarm", "unlock"], &["swarm", "unlock-key"], &["ca"], &["unlock"], &["unlock-key"]];

/// Adds the flags and commands to refuse to the command tree, hidden from help.
pub(crate) fn install(mut root: Command) -> Command {
    for flag in FLAGS {
        root = at(root, flag.command, &|command| {
            let arg = Arg::new(flag.name).long(flag.name).hide(true).action(ArgAction::Append);
            let arg = if flag.switch {
                arg.num_args(0..=1).require_equals(true).default_missing_value("true").value_parser(values::switch)
            } else {
                arg.value_name("string")
            };
            command.arg(arg)
        });
    }
    for path in COMMANDS {
        if let [group @ .., name] = path {
            root = at(root, group, &|command| {
                let rest = Arg::new("rest").num_args(0..).trailing_var_arg(true).allow_hyphen_values(true);
                command.subcommand(Command::new(*name).hide(true).arg(rest))
            });
        }
    }
    root
}

/// Refuses what the words of a command line use of the table.
///
/// # Errors
/// Names the first flag or command at fault.
pub(crate) fn refuse(path: &[&str], matches: &ArgMatches) -> Outcome {
    if COMMANDS.contains(&path) {
        return Err(unsupported(&format!("swarm {}", path.join(" "))));
    }
    let given = |flag: &Flag| {
        let given = if flag.switch {
            matches.get_many::<bool>(flag.name).is_some_and(|mut values| values.any(|on| *on))
        } else {
            matches.get_many::<String>(flag.name).is_some()
        };
        given && flag.command == path
    };
    let mut flags = FLAGS.iter().filter(|flag| flag.command == path);
    flags.find(|flag| given(flag)).map_or(Ok(()), |flag| Err(unsupported(&format!("--{}", flag.name))))
}

fn unsupported(what: &str) -> Failure {
    Failure::new(format!("\"{what}\" is not supported by this version of Swarm yet"))
}

/// Changes the command at `path`, which must exist.
fn at(command: Command, path: &[&str], change: &dyn Fn(Command) -> Command) -> Command {
    match path {
        [] => change(command),
        [first, rest @ ..] => command.mut_subcommand(*first, |sub| at(sub, rest, change)),
    }
}
