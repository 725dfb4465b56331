//! What is wrong with a command line, in Docker's words.

use crate::failure::{Failure, Outcome};
use crate::line::locate;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Command};

/// The command that runs, for messages about how it was called.
#[derive(Debug, Clone)]
pub(crate) struct Invocation {
    /// Its words, such as `swarm service create`.
    pub(crate) path: String,
    /// How to call it: `swarm service create [OPTIONS] IMAGE [COMMAND] [ARG...]`.
    pub(crate) usage: String,
    /// What it does.
    pub(crate) about: String,
    /// Whether any flag was given.
    pub(crate) has_flags: bool,
    /// Its help.
    pub(crate) help: String,
}

impl Invocation {
    /// Of the command found at `path`, called with `matches`.
    pub(crate) fn new(path: &str, command: &Command, matches: &ArgMatches, help: String) -> Self {
        let given = |arg: &Arg| matches.value_source(arg.get_id().as_str()) == Some(ValueSource::CommandLine);
        let has_flags = command.get_arguments().any(|arg| !arg.is_positional() && given(arg));
        Self { has_flags, help, ..Self::failed(path, command) }
    }

    /// Of a command whose flags could not be read.
    fn failed(path: &str, command: &Command) -> Self {
        Self {
            path: path.to_owned(),
            usage: use_line(path, command),
            about: command.get_about().map(ToString::to_string).unwrap_or_default(),
            has_flags: false,
            help: String::new(),
        }
    }

    /// Checks that there are no arguments.
    pub(crate) fn no_args(&self, args: &[String]) -> Outcome {
        if args.is_empty() { Ok(()) } else { Err(self.wrong_args("accepts no arguments")) }
    }

    /// Checks that there is exactly one argument, and gives it.
    pub(crate) fn one_arg<'a>(&self, args: &'a [String]) -> Outcome<&'a str> {
        match args {
            [only] => Ok(only),
            _ => Err(self.wrong_args("requires 1 argument")),
        }
    }

    /// Checks that there is an argument.
    pub(crate) fn some_args(&self, args: &[String]) -> Outcome {
        if args.is_empty() { Err(self.wrong_args("requires at least 1 argument")) } else { Ok(()) }
    }

    /// A flag that cannot be read; the text names it.
    pub(crate) fn flag_error(&self, text: &str) -> Failure {
        Failure::flags(format!("{text}\n\nUsage:  {}\n\nRun '{} --help' for more information", self.usage, self.path))
    }

    /// A wrong number of arguments; the text says what is wrong.
    pub(crate) fn wrong_args(&self, what: &str) -> Failure {
        let program = self.path.split(' ').next().unwrap_or_default();
        Failure::new(format!(
            "{program}: '{}' {what}\n\nUsage:  {}\n\nRun '{} --help' for more information",
            self.path, self.usage, self.path
        ))
    }
}

/// The line that tells how to call a command. A group of commands has only its path there.
fn use_line(path: &str, command: &Command) -> String {
    let usage = command.clone().render_usage().to_string();
    let rest = usage.strip_prefix("Usage:").unwrap_or(&usage).trim();
    if command.has_subcommands() && path.contains(' ') || rest.is_empty() { path.to_owned() } else { format!("{path} {rest}") }
}

/// Translates what clap found wrong with `words`.
pub(crate) fn explain(root: &Command, words: &[String], error: &clap::Error) -> Failure {
    let found = locate(root, words);
    let invocation = Invocation::failed(&found.path, found.command);
    let given = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => text.clone(),
        Some(ContextValue::Strings(texts)) => texts.join(" "),
        _ => String::new(),
    };
    let arg = given(ContextKind::InvalidArg);
    let value = given(ContextKind::InvalidValue);
    match error.kind() {
        ErrorKind::InvalidSubcommand => unknown_command(&invocation, &given(ContextKind::InvalidSubcommand)),
        ErrorKind::UnknownArgument if !arg.starts_with('-') => {
            if found.command.has_subcommands() {
                unknown_command(&invocation, &arg)
            } else {
                invocation.wrong_args("accepts no arguments")
            }
        }
        ErrorKind::UnknownArgument => invocation.flag_error(&unknown_flag(&arg, &words[found.start..])),
        ErrorKind::InvalidValue | ErrorKind::WrongNumberOfValues | ErrorKind::TooFewValues if value.is_empty() => {
            invocation.flag_error(&missing_value(find_arg(found.command, &arg), &arg, words))
        }
        ErrorKind::ValueValidation => {
            let why = std::error::Error::source(error).map(ToString::to_string).unwrap_or_default();
            let flag = find_arg(found.command, &arg).map_or(arg, flag_name);
            invocation.flag_error(&format!("invalid argument {value:?} for \"{flag}\" flag: {why}"))
        }
        _ => {
            let text = error.to_string();
            let line = text.lines().next().unwrap_or_default();
            invocation.flag_error(line.strip_prefix("error: ").unwrap_or(line))
        }
    }
}

fn unknown_command(group: &Invocation, word: &str) -> Failure {
    let program = group.path.split(' ').next().unwrap_or_default();
    let usage = if group.path == program { String::new() } else { format!("Usage:  {}\n\n", group.usage) };
    Failure::new(format!("{program}: unknown command: {path} {word}\n\n{usage}Run '{path} --help' for more information", path = group.path))
}

fn unknown_flag(arg: &str, words: &[String]) -> String {
    if let Some(long) = arg.strip_prefix("--") {
        return format!("unknown flag: --{}", long.split('=').next().unwrap_or(long));
    }
    let letter = arg.chars().nth(1).unwrap_or('-');
    // clap tells the letter, Docker also what stands after it.
    let short = |word: &&String| word.starts_with('-') && !word.starts_with("--") && word.contains(letter);
    let rest = words.iter().find(short).and_then(|word| word.find(letter).map(|at| format!("-{}", &word[at..])));
    format!("unknown shorthand flag: {letter:?} in {}", rest.as_deref().unwrap_or(arg))
}

fn missing_value(flag: Option<&Arg>, shown: &str, words: &[String]) -> String {
    let long = flag.and_then(Arg::get_long).map(|long| format!("--{long}"));
    let by_letter = words.last().filter(|word| !word.starts_with("--"));
    match (flag.and_then(Arg::get_short), by_letter, long) {
        (Some(letter), Some(word), _) => format!("flag needs an argument: {letter:?} in {word}"),
        (_, _, Some(long)) => format!("flag needs an argument: {long}"),
        _ => format!("flag needs an argument: {shown}"),
    }
}

/// The flag that clap shows as `--name <type>`.
fn find_arg<'a>(command: &'a Command, shown: &str) -> Option<&'a Arg> {
    let name = shown.split([' ', '=', '[']).next()?.trim_start_matches('-');
    command.get_arguments().find(|arg| arg.get_long() == Some(name) || arg.get_short().is_some_and(|letter| letter.to_string() == name))
}

fn flag_name(arg: &Arg) -> String {
    match (arg.get_short(), arg.get_long()) {
        (Some(letter), Some(long)) => format!("-{letter}, --{long}"),
        (None, Some(long)) => format!("--{long}"),
        _ => arg.get_id().to_string(),
    }
}
