//! The command line: which commands there are, and the words Docker uses for its mistakes and its help.
//!
//! clap does the parsing; what differs from the flag parser that Docker's users know (when flags end, what a wrong value
//! is called, how help looks) is bridged here, in one place.

mod help;
mod locate;
mod usage;
pub(crate) mod values;

pub(crate) use help::render as render_help;
pub(crate) use locate::{locate, stop_flags_at_first_argument};
pub(crate) use usage::{Invocation, explain};

use clap::{Arg, ArgAction, Command};

/// Name of the flag that asks for help, on every command.
pub(crate) const HELP: &str = "help";

/// Makes every command of the tree read flags as Docker does.
///
/// The last of a repeated flag counts, a value may begin with a hyphen, and `--help` is a flag like any other: a mistake in
/// another flag comes first.
pub(crate) fn docker_rules(command: Command) -> Command {
    command
        .disable_help_flag(true)
        .disable_help_subcommand(true)
        .disable_version_flag(true)
        .args_override_self(true)
        .subcommand_required(false)
        .arg_required_else_help(false)
        .mut_args(|arg| {
            let takes_next_word = arg.get_action().takes_values() && !arg.is_require_equals_set();
            if takes_next_word && !arg.is_positional() { arg.allow_hyphen_values(true) } else { arg }
        })
        .arg(Arg::new(HELP).long(HELP).short('h').action(ArgAction::SetTrue).hide(true))
        .mut_subcommands(docker_rules)
}
