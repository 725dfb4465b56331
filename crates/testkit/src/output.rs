//! Running a command to its end, with a deadline.

use std::fmt;
use std::io::{Read, Write};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use crate::process;

/// How long [`run`] lets a command take. Generous: it is there to turn a hang into a clear failure.
pub const COMMAND_DEADLINE: Duration = Duration::from_secs(120);

/// What a finished command left.
#[derive(Debug, Clone)]
pub struct Output {
    /// The command line, for failure texts.
    pub command: String,
    /// How it ended.
    pub status: ExitStatus,
    /// Standard output, invalid UTF-8 replaced.
    pub stdout: String,
    /// Standard error, invalid UTF-8 replaced.
    pub stderr: String,
}

impl Output {
    /// The exit code; `None` when a signal ended the command.
    #[must_use]
    pub fn code(&self) -> Option<i32> {
        self.status.code()
    }

    /// Standard output without white space at its end, when the command succeeded.
    ///
    /// # Errors
    /// When it failed: both outputs are in the text.
    pub fn ok(self) -> Result<String> {
        if !self.status.success() {
            bail!("{self}");
        }
        Ok(self.stdout.trim_end().to_owned())
    }

    /// Standard output lines, when the command succeeded.
    ///
    /// # Errors
    /// As [`Output::ok`].
    pub fn lines(self) -> Result<Vec<String>> {
        Ok(self.ok()?.lines().map(str::to_owned).collect())
    }

    /// Standard output read as one JSON value, when the command succeeded.
    ///
    /// # Errors
    /// As [`Output::ok`], and when the output is not JSON.
    pub fn json(self) -> Result<serde_json::Value> {
        let text = self.ok()?;
        serde_json::from_str(&text).with_context(|| format!("not JSON: {text}"))
    }

    /// Checks that the command failed and that `text` is in what it said on standard error.
    ///
    /// # Errors
    /// When it succeeded or said something else.
    pub fn fails_with(&self, text: &str) -> Result<()> {
        ensure!(!self.status.success(), "should have failed: {self}");
        ensure!(self.stderr.contains(text), "should have said {text:?}: {self}");
        Ok(())
    }
}

impl fmt::Display for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` ended with {}", self.command, self.status)?;
        for (name, text) in [("stdout", &self.stdout), ("stderr", &self.stderr)] {
            let text = text.trim_end();
            if !text.is_empty() {
                write!(f, "\n{name}: {text}")?;
            }
        }
        Ok(())
    }
}

/// Runs a command to its end within [`COMMAND_DEADLINE`], with no standard input.
///
/// # Errors
/// When it cannot be started or does not end in time. A failing command is not an error here.
pub fn run(command: Command) -> Result<Output> {
    run_within(command, COMMAND_DEADLINE, None)
}

/// As [`run`], with `input` as standard input.
///
/// # Errors
/// As [`run`].
pub fn run_with_input(command: Command, input: &[u8]) -> Result<Output> {
    run_within(command, COMMAND_DEADLINE, Some(input))
}

/// As [`run`], with a deadline of its own and maybe standard input. On a missed deadline the command and
/// all its descendants are killed.
///
/// # Errors
/// As [`run`].
pub fn run_within(mut command: Command, deadline: Duration, input: Option<&[u8]>) -> Result<Output> {
    let text = command_text(&command);
    let mut child = command
        .stdin(if input.is_some() { Stdio::piped() } else { Stdio::null() })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("could not start `{text}`"))?;
    let pid = child.id();

    let stdout = collect(child.stdout.take().expect("standard output is piped"));
    let stderr = collect(child.stderr.take().expect("standard error is piped"));
    let writer = child.stdin.take().map(|mut pipe| {
        let input = input.unwrap_or_default().to_vec();
        // A command that ends without reading its input is judged by its exit code, not by this write.
        thread::spawn(move || drop(pipe.write_all(&input)))
    });
    let (ended, end) = mpsc::channel();
    let waiter = thread::spawn(move || drop(ended.send(child.wait())));

    let timed_out = match end.recv_timeout(deadline) {
        Ok(status) => {
            let status = status.with_context(|| format!("could not wait for `{text}`"))?;
            join(waiter);
            writer.map(join);
            return Ok(Output { command: text, status, stdout: join(stdout), stderr: join(stderr) });
        }
        Err(RecvTimeoutError::Timeout) => true,
        Err(RecvTimeoutError::Disconnected) => false,
    };
    process::kill_tree(pid);
    join(waiter);
    ensure!(timed_out, "the wait for `{text}` broke off");
    bail!("`{text}` did not end within {deadline:?}\nstdout: {}\nstderr: {}", join(stdout), join(stderr));
}

/// The command line without the words that only enter a host.
fn command_text(command: &Command) -> String {
    let mut words: Vec<_> =
        std::iter::once(command.get_program()).chain(command.get_args()).map(|word| word.to_string_lossy().into_owned()).collect();
    if words[0] == "nsenter"
        && let Some(end) = words.iter().position(|word| word == "--")
    {
        words.drain(..=end);
    }
    words.join(" ")
}

fn collect(mut from: impl Read + Send + 'static) -> thread::JoinHandle<String> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        // A read error ends the text early; the exit code still tells how the command ended.
        drop(from.read_to_end(&mut bytes));
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

fn join<T>(thread: thread::JoinHandle<T>) -> T {
    thread.join().expect("the helper threads do not panic")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn both_outputs_and_the_code_are_kept() {
        let output = run(sh("echo out; echo err >&2; exit 3")).unwrap();
        assert_eq!(output.code(), Some(3));
        assert_eq!(output.stdout, "out\n");
        assert_eq!(output.stderr, "err\n");
        output.fails_with("err").unwrap();
        assert!(output.ok().unwrap_err().to_string().contains("stderr: err"));
    }

    #[test]
    fn input_reaches_the_command() {
        let output = run_with_input(sh("wc -c"), &[b'x'; 200_000]).unwrap();
        assert_eq!(output.ok().unwrap(), "200000");
    }

    #[test]
    fn a_hanging_command_is_killed_with_its_children() {
        let error = run_within(sh("echo started; sleep 1000; true"), Duration::from_millis(200), None).unwrap_err();
        let text = error.to_string();
        assert!(text.contains("did not end within 200ms"), "{text}");
        assert!(text.contains("started"), "{text}");
    }
}
