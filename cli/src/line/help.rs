//! Help in the form that Docker's users know.

use clap::{Arg, Command};
use std::fmt::Write as _;

/// Narrower than this, a flag's description is not wrapped beside the flag.
const NARROWEST: usize = 24;
/// A last line may be this much longer than the others, so that no single word is left over.
const SLOP: usize = 5;

/// Help on the command found at `path`, wrapped to `width` columns.
pub(crate) fn render(path: &str, command: &Command, width: usize) -> String {
    let mut text = format!("Usage:  {path}");
    if command.has_subcommands() {
        text.push_str(if path.contains(' ') { " COMMAND" } else { " [OPTIONS] COMMAND" });
    } else {
        let usage = command.clone().render_usage().to_string();
        let rest = usage.strip_prefix("Usage:").unwrap_or(&usage).trim();
        if !rest.is_empty() {
            let _ = write!(text, " {rest}");
        }
    }
    if let Some(about) = command.get_about() {
        let _ = write!(text, "\n\n{about}");
    }
    let aliases: Vec<&str> = command.get_all_aliases().collect();
    if !aliases.is_empty() {
        let group = path.rsplit_once(' ').map_or("", |(group, _)| group);
        let _ = write!(text, "\n\nAliases:\n  {path}");
        for alias in aliases {
            let _ = write!(text, ", {group} {alias}");
        }
    }
    let flags = flags(command, width.saturating_sub(1));
    if path.contains(' ') && !flags.is_empty() {
        let _ = write!(text, "\n\nOptions:\n{flags}");
    }
    text.push_str(&commands(path, command));
    if !path.contains(' ') && !flags.is_empty() {
        let _ = write!(text, "\n\nGlobal Options:\n{flags}");
    }
    if command.has_subcommands() {
        let _ = write!(text, "\n\nRun '{path} COMMAND --help' for more information on a command.");
    }
    text.push('\n');
    text
}

fn commands(path: &str, command: &Command) -> String {
    let mut shown: Vec<&Command> = command.get_subcommands().filter(|sub| !sub.is_hide_set()).collect();
    shown.sort_by_key(|sub| sub.get_name());
    let widest = shown.iter().map(|sub| sub.get_name().len()).max().unwrap_or(0).max(11);
    let section = |title: &str, groups: bool| {
        let mut text = String::new();
        for sub in shown.iter().filter(|sub| sub.has_subcommands() == groups) {
            let about = sub.get_about().map(ToString::to_string).unwrap_or_default();
            let _ = write!(text, "\n  {:widest$} {about}", sub.get_name());
        }
        if text.is_empty() { text } else { format!("\n\n{title}:{text}") }
    };
    let groups = if path.contains(' ') { "Commands" } else { "Management Commands" };
    format!("{}{}", section(groups, true), section("Commands", false))
}

fn flags(command: &Command, width: usize) -> String {
    let mut shown: Vec<&Arg> = command.get_arguments().filter(|arg| !arg.is_hide_set() && arg.get_long().is_some()).collect();
    shown.sort_by_key(|arg| arg.get_long());
    let names: Vec<String> = shown.iter().map(|arg| name(arg)).collect();
    let widest = names.iter().map(String::len).max().unwrap_or(0);
    let mut lines = Vec::new();
    for (arg, name) in shown.iter().zip(&names) {
        let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
        lines.push(format!("{name:widest$}   {}", wrap(&help, widest + 3, width)));
    }
    lines.join("\n")
}

fn name(arg: &Arg) -> String {
    let long = arg.get_long().unwrap_or_default();
    let mut text = match arg.get_short() {
        Some(letter) => format!("  -{letter}, --{long}"),
        None => format!("      --{long}"),
    };
    // A flag that may stand alone is a switch; its type is not shown.
    if arg.get_action().takes_values() && !arg.is_require_equals_set() {
        for kind in arg.get_value_names().unwrap_or_default() {
            let _ = write!(text, " {kind}");
        }
    }
    text
}

/// Wraps to `width` columns; all lines but the first are indented.
fn wrap(text: &str, indent: usize, width: usize) -> String {
    let (indent, mut wrapped) = match width.checked_sub(indent) {
        Some(room) if room >= NARROWEST => (indent, String::new()),
        _ => (16, format!("\n{}", " ".repeat(16))),
    };
    let room = width.saturating_sub(indent).max(NARROWEST) - SLOP;
    let next_line = format!("\n{}", " ".repeat(indent));
    for (number, paragraph) in text.split('\n').enumerate() {
        if number > 0 {
            wrapped.push_str(&next_line);
        }
        let mut rest = paragraph;
        while rest.len() >= room + SLOP {
            let mut limit = room;
            while !rest.is_char_boundary(limit) {
                limit -= 1;
            }
            let Some(cut) = rest[..limit].rfind([' ', '\t']).filter(|cut| *cut > 0) else {
                break;
            };
            wrapped.push_str(&rest[..cut]);
            wrapped.push_str(&next_line);
            rest = &rest[cut + 1..];
        }
        wrapped.push_str(rest);
    }
    wrapped
}
