//! Which command a line of words belongs to, found without parsing its flags' values.

use clap::{Arg, Command};

/// The deepest command that the words name.
pub(crate) struct Located<'a> {
    /// The command.
    pub(crate) command: &'a Command,
    /// Its words, from the program's name on.
    pub(crate) path: String,
    /// Index of the first word after its name.
    pub(crate) start: usize,
    /// Its index among the words, where the first argument that is no flag stands; `None` if there is none.
    first_argument: Option<usize>,
}

/// Finds the command that `words` (without the program's name) belong to.
pub(crate) fn locate<'a>(root: &'a Command, words: &[String]) -> Located<'a> {
    let mut found = Located { command: root, path: root.get_name().to_owned(), start: 0, first_argument: None };
    let mut index = 0;
    while let Some(word) = words.get(index) {
        if word == "--" {
            break;
        }
        if word.len() > 1 && word.starts_with('-') {
            index += 1 + usize::from(takes_next_word(found.command, word));
            continue;
        }
        match found.command.find_subcommand(word) {
            Some(command) => {
                found.path = format!("{} {}", found.path, command.get_name());
                found.command = command;
                found.start = index + 1;
            }
            None => {
                found.first_argument = Some(index);
                break;
            }
        }
        index += 1;
    }
    found
}

/// Puts `--` before the first argument of a command whose flags end there.
///
/// Such a command (`service create IMAGE [COMMAND] [ARG...]`) is marked by a last argument that takes all the rest.
pub(crate) fn stop_flags_at_first_argument(root: &Command, words: &mut Vec<String>) {
    let found = locate(root, words);
    let takes_rest = found.command.get_positionals().any(Arg::is_trailing_var_arg_set);
    if let (true, Some(index)) = (takes_rest, found.first_argument) {
        words.insert(index, "--".to_owned());
    }
}

/// Whether the flag in `word` has its value in the word after it.
fn takes_next_word(command: &Command, word: &str) -> bool {
    let separate = |arg: &Arg| arg.get_action().takes_values() && !arg.is_require_equals_set();
    if let Some(long) = word.strip_prefix("--") {
        return command.get_arguments().any(|arg| arg.get_long() == Some(long) && separate(arg));
    }
    let mut letters = word.chars().skip(1).peekable();
    while let Some(letter) = letters.next() {
        let arg = command.get_arguments().find(|arg| arg.get_short() == Some(letter));
        if arg.is_some_and(separate) {
            return letters.peek().is_none();
        }
    }
    false
}
