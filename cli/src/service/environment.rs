//! Environment variables of a new service: from files, then from flags, then from the client's own environment.

use crate::failure::{Failure, Outcome};
use swarm_compose::env_file;

/// The value of a variable of this process.
pub(crate) type Lookup<'a> = &'a dyn Fn(&str) -> Option<String>;

/// The variable of this process called `key`, if it has one that is text.
pub(crate) fn own_variable(key: &str) -> Option<String> {
    std::env::var(key).ok()
}

/// Puts in the value of this process's variable where only a key is given.
pub(crate) fn fill_in(variable: &str, lookup: Lookup<'_>) -> String {
    if variable.contains('=') {
        return variable.to_owned();
    }
    lookup(variable).map_or_else(|| variable.to_owned(), |value| format!("{variable}={value}"))
}

/// Reads the variables of `files`, then those of `flags`; a later one replaces an earlier one of the same name.
///
/// # Errors
/// On files that cannot be read or hold something else.
pub(crate) fn collect(files: &[String], flags: &[String], lookup: Lookup<'_>) -> Outcome<Vec<String>> {
    let mut all = Vec::new();
    for path in files {
        let bytes = std::fs::read(path).map_err(|e| Failure::new(open_error(path, &e)))?;
        all.extend(env_file::variables(path, &bytes, lookup).map_err(Failure::new)?);
    }
    all.extend(flags.iter().map(|variable| fill_in(variable, lookup)));

    let mut kept: Vec<String> = Vec::with_capacity(all.len());
    for variable in all {
        let key = key(&variable).to_owned();
        kept.retain(|earlier| earlier.contains('=').then(|| self::key(earlier)) != Some(key.as_str()));
        kept.push(variable);
    }
    Ok(kept)
}

/// The name of a variable.
pub(crate) fn key(variable: &str) -> &str {
    variable.split('=').next().unwrap_or_default()
}

/// Why a file cannot be read, as Go says it.
pub(crate) fn open_error(path: &str, error: &std::io::Error) -> String {
    let why = match error.kind() {
        std::io::ErrorKind::NotFound => "no such file or directory".to_owned(),
        std::io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        _ => error.to_string(),
    };
    format!("open {path}: {why}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lookup(key: &str) -> Option<String> {
        (key == "HOME").then(|| "/root".into())
    }

    fn parse(text: &str) -> Result<Vec<String>, String> {
        env_file::variables("f", text.as_bytes(), &lookup)
    }

    #[test]
    fn later_variables_replace_earlier_ones_and_bare_keys_are_filled_in() {
        let flags: Vec<String> = ["A=1", "B=2", "HOME", "NONE", "A=3"].map(String::from).to_vec();
        let all = collect(&[], &flags, &lookup).expect("reads");
        assert_eq!(all, ["B=2", "HOME=/root", "NONE", "A=3"]);
    }

    #[test]
    fn files_are_read_before_flags() {
        let file = tempfile::NamedTempFile::new().expect("makes one");
        std::fs::write(file.path(), "\u{feff}# comment\n A=from file\r\nHOME\nNONE\n\nB= x \n").expect("writes");
        let path = file.path().to_string_lossy().into_owned();
        let all = collect(&[path], &["A=flag".into()], &lookup).expect("reads");
        assert_eq!(all, ["HOME=/root", "B= x ", "A=flag"]);
        let missing = collect(&["/no/such".into()], &[], &lookup).expect_err("is missing");
        assert_eq!(missing.to_string(), "open /no/such: no such file or directory");
    }

    #[test]
    fn broken_files_are_refused_in_dockers_words() {
        assert_eq!(parse("=x"), Err("poorly formatted environment: no variable name on line '=x'".into()));
        assert_eq!(parse("a b=x"), Err("poorly formatted environment: variable 'a b' contains whitespaces".into()));
        let bytes = env_file::variables("f", b"A=1\nB=\xff", &lookup).expect_err("is no text");
        assert_eq!(bytes.to_string(), "env file f contains invalid utf8 bytes at line 2: [66 61 255]");
    }
}
