//! What every file must keep to: a size, no unfinished work, nothing of the machine it was written on.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::root;

/// Lines that a source file may have without its tests. Past it there is a seam that was not looked for.
const LINES_MAX: usize = 800;

/// Words that mark unfinished work. Written in halves, so that this file has none of them.
const UNFINISHED: &[&str] = &[concat!("TO", "DO"), concat!("FIX", "ME"), concat!("unimpl", "emented!"), concat!("to", "do!(")];

/// Places of the machine on which the tree is worked on, and hosts that packages come from: the project
/// works elsewhere too.
const FOREIGN: &[&str] = &[
    concat!("/wo", "rk/"),
    concat!("static.crates", ".io"),
    concat!("pypi", ".org"),
    concat!("deb.debian", ".org"),
    concat!("registry.npmjs", ".org"),
];

pub(crate) fn check() -> Result<Vec<String>> {
    let mut faults = Vec::new();
    for path in files()? {
        // Written by cargo.
        if path.ends_with("Cargo.lock") {
            continue;
        }
        let Ok(bytes) = fs::read(root()?.join(&path)) else {
            // Removed in the work tree, still in the index.
            continue;
        };
        if let Ok(text) = String::from_utf8(bytes) {
            faults.extend(faults_of(&path, &text));
        }
    }
    Ok(faults)
}

/// All files of the tree that git knows or would add.
fn files() -> Result<Vec<String>> {
    let output = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard", "-z"])
        .current_dir(root()?)
        .output()
        .context("could not run git")?;
    ensure!(output.status.success(), "git ls-files: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).context("a file name is not UTF-8")?;
    let mut files: Vec<_> = text.split('\0').filter(|name| !name.is_empty()).map(str::to_owned).collect();
    files.sort();
    files.dedup();
    Ok(files)
}

fn faults_of(path: &str, text: &str) -> Vec<String> {
    let mut faults = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let place = format!("{path}:{}", index + 1);
        for word in UNFINISHED.iter().filter(|word| has_word(line, word)) {
            faults.push(format!("{place}: {word}: finish it or file an issue"));
        }
        for name in FOREIGN.iter().filter(|name| line.contains(**name)) {
            faults.push(format!("{place}: {name} is only here"));
        }
    }
    if path.ends_with(".rs") && !is_test(path) {
        let lines = lines_without_tests(text);
        if lines > LINES_MAX {
            faults.push(format!("{path}: {lines} lines without tests, at most {LINES_MAX}"));
        }
    }
    faults
}

/// Whether `word` stands in a line by itself, not within another word.
fn has_word(line: &str, word: &str) -> bool {
    let part = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + word.len()..].chars().next();
        // A word that ends in a sign ends by itself.
        let open_end = word.ends_with(part) && after.is_some_and(part);
        !before.is_some_and(part) && !open_end
    })
}

fn is_test(path: &str) -> bool {
    let path = Path::new(path);
    path.file_name().is_some_and(|name| name == "tests.rs") || path.components().any(|part| part.as_os_str() == "tests")
}

/// Lines up to the module of tests, which stands at a file's end.
fn lines_without_tests(text: &str) -> usize {
    let lines: Vec<_> = text.lines().collect();
    let tests = lines.windows(2).position(|pair| pair[0] == "#[cfg(test)]" && pair[1].starts_with("mod ") && pair[1].ends_with('{'));
    tests.unwrap_or(lines.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tree_is_tidy() {
        assert_eq!(check().unwrap(), Vec::<String>::new());
    }

    #[test]
    fn unfinished_work_is_found_by_whole_words() {
        let word = UNFINISHED[0];
        let text = format!("fine\n// {word}: more\nMAS{word}N\n    {}\n", UNFINISHED[3]);
        assert_eq!(
            faults_of("a.sh", &text),
            [format!("a.sh:2: {word}: finish it or file an issue"), format!("a.sh:4: {}: finish it or file an issue", UNFINISHED[3]),]
        );
    }

    #[test]
    fn a_path_of_this_machine_is_found() {
        let text = format!("cd {}x\n", FOREIGN[0]);
        assert_eq!(faults_of("a", &text).len(), 1);
    }

    #[test]
    fn tests_do_not_count_as_lines() {
        let code = "x\n".repeat(LINES_MAX);
        let tests = format!("#[cfg(test)]\nmod tests {{\n{code}}}\n");
        assert_eq!(faults_of("src/a.rs", &format!("{code}{tests}")).len(), 0);
        assert_eq!(faults_of("src/a.rs", &format!("{code}y\n{tests}")).len(), 1);
        assert_eq!(faults_of("src/tests.rs", &format!("{code}{code}")).len(), 0);
        assert_eq!(faults_of("a/tests/b.rs", &format!("{code}{code}")).len(), 0);
    }
}
