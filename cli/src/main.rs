//! The `swarm` program: a client of the Docker-Engine-compatible socket, and nothing more.
//!
//! It turns flags into API calls and answers into text, in the words that users of Docker's own client know. It holds no
//! cluster logic that the API does not offer, keeps nothing between two runs, and so can be of another version than the
//! daemons it talks to.

mod absent;
mod command;
mod failure;
mod image;
mod inspect;
mod later;
mod line;
mod list;
mod network;
mod node;
mod output;
mod overlay;
mod payload;
mod query;
mod service;
mod session;
mod stack;
mod swarm_cmd;
mod system;
mod task_table;

use failure::Failure;
use std::process::ExitCode;

fn main() -> ExitCode {
    let words: Result<Vec<String>, Failure> = std::env::args_os()
        .skip(1)
        .map(|word| word.into_string().map_err(|word| Failure::flags(format!("{} is not valid UTF-8", word.to_string_lossy()))))
        .collect();
    match words.and_then(command::run) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            let text = failure.to_string();
            if !text.is_empty() {
                output::warn(&text);
            }
            ExitCode::from(failure.code())
        }
    }
}
