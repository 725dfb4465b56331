//! What a benchmark found, as a table for people.

use anyhow::Result;
use std::{fmt::Write as _, fs, path::Path, process::Command};

/// One figure beside those it is compared with. Texts have their units.
#[derive(Debug, Clone, Default)]
pub struct Line {
    /// What was measured.
    pub what: String,
    /// Docker Swarm's.
    pub docker: Option<String>,
    /// etcd's.
    pub etcd: Option<String>,
    /// Ours.
    pub ours: String,
    /// Ours against the others.
    pub ratio: String,
    /// What is wanted.
    pub target: String,
    /// Whether that is reached; `None` for a figure without a target.
    pub reached: Option<bool>,
}

/// The figures of one row as a Markdown table.
#[must_use]
pub fn table(lines: &[Line]) -> String {
    let mut text = "| what | Docker Swarm | etcd | ours | ratio | target | reached |\n|---|---|---|---|---|---|---|\n".to_owned();
    for line in lines {
        let reached = match line.reached {
            None => "",
            Some(true) => "yes",
            Some(false) => "**no**",
        };
        let other = |figure: &Option<String>| figure.clone().unwrap_or_else(|| "–".to_owned());
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} | {} | {reached} |",
            line.what,
            other(&line.docker),
            other(&line.etcd),
            line.ours,
            line.ratio,
            line.target
        );
    }
    text
}

/// The machine and what else ran on it, on one line.
#[must_use]
pub fn machine() -> String {
    let file = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let cpuinfo = file("/proc/cpuinfo");
    let field = |text: &str, name: &str| {
        text.lines().find(|l| l.starts_with(name)).and_then(|l| l.split_once(':')).map_or_else(String::new, |(_, v)| v.trim().to_owned())
    };
    let memory = field(&file("/proc/meminfo"), "MemTotal").split(' ').next().and_then(|k| k.parse::<u64>().ok()).unwrap_or(0) >> 20;
    let load = file("/proc/loadavg").split(' ').take(2).collect::<Vec<_>>().join(" / ");
    format!(
        "{}: {cores} × {}, {memory} GiB, Linux {}, {}, {}. Load of 1 / 5 minutes at the start: {load}.",
        first_line("date", &["-u", "+%-d %B %Y %H:%M UTC"]),
        field(&cpuinfo, "model name"),
        file("/proc/sys/kernel/osrelease").trim(),
        first_line("dockerd", &["--version"]),
        first_line("etcd", &["--version"]),
    )
}

fn first_line(program: &str, arguments: &[&str]) -> String {
    match Command::new(program).args(arguments).output() {
        Ok(output) => String::from_utf8_lossy(&output.stdout).lines().next().unwrap_or_default().to_owned(),
        Err(_) => format!("no {program}"),
    }
}

/// Puts a row's section into the results file in place of the one of that name; others stay.
///
/// # Errors
/// When the file cannot be read or written.
pub fn save(path: &Path, name: &str, section: &str) -> Result<()> {
    let old = fs::read_to_string(path)?;
    fs::write(path, replaced(&old, name, section))?;
    Ok(())
}

fn replaced(old: &str, name: &str, section: &str) -> String {
    let mark = "\n## ";
    let mut parts: Vec<String> = old.trim_end().split(mark).map(|p| p.trim_end().to_owned()).collect();
    let new = format!("{name}\n\n{}", section.trim_end());
    match parts.iter().skip(1).position(|p| p.lines().next() == Some(name)) {
        Some(place) => parts[place + 1] = new,
        None => parts.push(new),
    }
    parts.join(&format!("\n{mark}")) + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_section_of_that_name_is_replaced() {
        let old = "# Results\n\ntext\n\n## a\n\nold\n\n## b\n\nkept\n";
        assert_eq!(replaced(old, "a", "new\n"), "# Results\n\ntext\n\n## a\n\nnew\n\n## b\n\nkept\n");
        assert_eq!(replaced(old, "c", "more\n"), format!("{old}\n## c\n\nmore\n"));
    }
}
