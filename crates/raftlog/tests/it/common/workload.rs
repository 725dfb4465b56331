//! A process that writes to a log and tells what was acknowledged, to be stopped at any moment; and
//! the check of what its log must then hold.
//!
//! The child runs in a copy of the test binary. It prints a line before it asks for something that
//! may or may not survive, and one after each acknowledgement.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use openraft::storage::RaftLogStorage;
use openraft::{Entry, Vote};

use super::{Log, Types, append, bytes_of, close, entry, last_log_id, log_id, open, read_all};

const DIR: &str = "RAFTLOG_WORKLOAD_DIR";
const SEED: &str = "RAFTLOG_WORKLOAD_SEED";
const MIX: &str = "RAFTLOG_WORKLOAD_MIX";

/// What a child writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mix {
    /// Mostly small entries.
    Usual,
    /// Mostly entries of a megabyte.
    Megabytes,
}

/// Small, reproducible and good enough to mix operations.
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }
}

/// Content that follows from its length and the term and index of the entry.
fn content(term: u64, index: u64, len: u64) -> Vec<u8> {
    let head = format!("{term}.{index}.{len}.");
    let mut dice = Dice(term << 32 ^ index);
    let mut bytes = head.into_bytes();
    while (bytes.len() as u64) < len {
        bytes.extend_from_slice(&dice.below(u64::MAX).to_le_bytes());
    }
    bytes
}

fn is_genuine(entry: &Entry<Types>) -> bool {
    let bytes = bytes_of(entry);
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(64)]);
    let mut parts = text.split('.').map(str::parse::<u64>);
    let (Some(Ok(term)), Some(Ok(index)), Some(Ok(len))) = (parts.next(), parts.next(), parts.next()) else {
        return false;
    };
    (term, index) == (entry.log_id.leader_id.term, entry.log_id.index) && bytes == content(term, index, len)
}

/// The child's life. Does nothing in a normal run of the test binary.
pub(crate) fn run_if_child() {
    let Ok(dir) = std::env::var(DIR) else {
        return;
    };
    let seed = std::env::var(SEED).unwrap().parse().unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mix = if std::env::var(MIX).is_ok() { Mix::Megabytes } else { Mix::Usual };
    runtime.block_on(write_until_killed(Path::new(&dir), seed, mix));
}

fn say(line: std::fmt::Arguments<'_>) {
    let mut stdout = std::io::stdout().lock();
    // Starts with a newline: the test harness may have written half a line.
    writeln!(stdout, "\n@ {line}").unwrap();
    stdout.flush().unwrap();
}

async fn write_until_killed(dir: &Path, seed: u64, mix: Mix) {
    let mut log = open(dir).await;
    let mut dice = Dice(seed);
    let last = last_log_id(&mut log).await;
    let mut term = last.map_or(1, |last| last.leader_id.term + 1);
    let mut next = last.map_or(0, |last| last.index + 1);
    loop {
        match dice.below(100) {
            0..4 => {
                let from = next - dice.below(6).min(next);
                let purged = log.last_purged().map_or(0, |purged| purged.index + 1);
                let from = from.max(purged);
                term += 1;
                say(format_args!("truncating {from}"));
                log.truncate(log_id(term, from)).await.unwrap();
                say(format_args!("truncated {from}"));
                next = from;
            }
            4..7 => {
                let entries = read_all(&mut log).await;
                let kept = if mix == Mix::Megabytes { 20 } else { 100 };
                if let Some(entry) = entries.iter().rev().nth(kept) {
                    say(format_args!("purging {}", entry.log_id.index));
                    log.purge(entry.log_id).await.unwrap();
                }
            }
            7..12 => {
                term += 1;
                log.save_vote(&Vote::new(term, 1)).await.unwrap();
                say(format_args!("voted {term}"));
            }
            kind => {
                let count = 1 + dice.below(20);
                let len = match (mix, kind) {
                    (Mix::Usual, 12..14) | (Mix::Megabytes, 12..70) => 1_000_000,
                    (Mix::Usual, 14..20) | (Mix::Megabytes, 70..80) => 60_000,
                    _ => 300,
                };
                let count = if len > 100_000 { 1 } else { count };
                let entries = (next..next + count).map(|index| entry(term, index, content(term, index, len))).collect();
                append(&mut log, entries).await;
                next += count;
                log.save_committed(Some(log_id(term, next - 1))).await.unwrap();
                say(format_args!("acked {count} {term} {}", next - 1));
            }
        }
    }
}

/// A running child, and what it was told so far.
pub(crate) struct Workload {
    child: Child,
    lines: BufReader<ChildStdout>,
    told: Told,
}

/// What must hold, by what the child said.
#[derive(Debug, Default)]
pub(crate) struct Told {
    /// Term of every acknowledged entry.
    acked: BTreeMap<u64, u64>,
    /// Entries from here on may be gone.
    truncating: Option<u64>,
    /// Entries up to here may be gone.
    purging: Option<u64>,
    vote_term: u64,
}

impl Told {
    /// What an existing log holds.
    pub(crate) async fn from_log(dir: &Path) -> Told {
        let mut log = open(dir).await;
        let mut told = Told::default();
        for entry in read_all(&mut log).await {
            told.acked.insert(entry.log_id.index, entry.log_id.leader_id.term);
        }
        told.vote_term = vote_term(&mut log).await;
        close(log).await;
        told
    }

    fn hear(&mut self, line: &str) {
        let Some(line) = line.strip_prefix("@ ") else {
            return;
        };
        let (verb, rest) = line.split_once(' ').unwrap();
        let numbers: Vec<u64> = rest.split(' ').map(|n| n.parse().unwrap()).collect();
        match (verb, numbers.as_slice()) {
            ("acked", &[count, term, last]) => {
                for index in last + 1 - count..=last {
                    self.acked.insert(index, term);
                }
            }
            ("truncating", &[from]) => self.truncating = Some(from),
            ("truncated", &[from]) => {
                drop(self.acked.split_off(&from));
                self.truncating = None;
            }
            ("purging", &[upto]) => self.purging = Some(upto),
            ("voted", &[term]) => self.vote_term = term,
            _ => panic!("unknown line {line:?}"),
        }
    }

    /// Opens the log and compares. Returns how many acknowledged entries were looked for.
    pub(crate) async fn check(&self, dir: &Path) -> usize {
        let mut log = open(dir).await;
        let entries = read_all(&mut log).await;
        let found: BTreeMap<u64, u64> = entries
            .iter()
            .map(|entry| {
                assert!(is_genuine(entry), "entry {} is altered", entry.log_id);
                (entry.log_id.index, entry.log_id.leader_id.term)
            })
            .collect();
        let may_be_purged = |index| self.purging.is_some_and(|upto| index <= upto);
        let may_be_cut = |index| self.truncating.is_some_and(|from| index >= from);
        for (&index, &term) in &self.acked {
            match found.get(&index) {
                Some(&found_term) => {
                    assert!(found_term == term || may_be_cut(index), "entry {index} was acknowledged in term {term}, found in {found_term}")
                }
                None => assert!(may_be_purged(index) || may_be_cut(index), "acknowledged entry {index} is lost"),
            }
        }
        assert!(vote_term(&mut log).await >= self.vote_term, "vote is lost");
        close(log).await;
        self.acked.len()
    }
}

async fn vote_term(log: &mut Log) -> u64 {
    let vote = log.read_vote().await.unwrap();
    vote.map_or(0, |vote| vote.leader_id.term)
}

impl Workload {
    /// Starts a copy of this test binary that runs only the test `child`.
    pub(crate) async fn start(dir: &Path, seed: u64, mix: Mix) -> Workload {
        let told = Told::from_log(dir).await;
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["child", "--exact", "--nocapture"]).env(DIR, dir).env(SEED, seed.to_string());
        if mix == Mix::Megabytes {
            command.env(MIX, "megabytes");
        }
        let mut child = command
            .stdout(Stdio::piped())
            // Its last words when the disk goes away under it are of no interest.
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        Workload { child, lines, told }
    }

    /// Listens until the child has said `count` things.
    pub(crate) fn listen(&mut self, count: u64) {
        let mut heard = 0;
        while heard < count {
            let mut line = String::new();
            let bytes = self.lines.read_line(&mut line).unwrap();
            if bytes == 0 {
                let mut stderr = String::new();
                let mut pipe = self.child.stderr.take().unwrap();
                pipe.read_to_string(&mut stderr).unwrap();
                panic!("the child ended by itself:\n{stderr}");
            }
            if line.starts_with('@') {
                heard += 1;
            }
            self.told.hear(line.trim_end());
        }
    }

    /// Listens until the child ends by itself; what it was told and its last words.
    pub(crate) fn listen_to_the_end(mut self) -> (Told, String) {
        let mut stderr = self.child.stderr.take().unwrap();
        let last_words = std::thread::spawn(move || {
            let mut text = String::new();
            stderr.read_to_string(&mut text).map(|_| text)
        });
        let told = self.kill_or_wait(false);
        (told, last_words.join().unwrap().unwrap())
    }

    /// Kills the child and hears what it said until then.
    pub(crate) fn kill(mut self) -> Told {
        self.kill_or_wait(true)
    }

    fn kill_or_wait(&mut self, kill: bool) -> Told {
        if kill {
            self.child.kill().unwrap();
            self.child.wait().unwrap();
        }
        let mut line = String::new();
        while self.lines.read_line(&mut line).unwrap() > 0 {
            // The last line may be cut short.
            if line.ends_with('\n') {
                self.told.hear(line.trim_end());
            }
            line.clear();
        }
        self.child.wait().unwrap();
        std::mem::take(&mut self.told)
    }
}

impl Drop for Workload {
    fn drop(&mut self) {
        // After a failed assertion only; an ended child cannot be killed, which is fine.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
