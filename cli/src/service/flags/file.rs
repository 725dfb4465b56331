//! Secrets and configs on the command line: `NAME` or `source=NAME,target=…,uid=…,gid=…,mode=…`.

use super::csv;
use swarm_types::FileTarget;

/// A secret or config by its name, and the file it becomes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FileFlag {
    pub(crate) source: String,
    pub(crate) file: FileTarget,
}

/// Reads a value of `--secret` or `--secret-add`.
///
/// # Errors
/// In the words of Docker's client.
pub(crate) fn secret(text: &str) -> Result<FileFlag, String> {
    parse("secret", text)
}

/// Reads a value of `--config` or `--config-add`.
///
/// # Errors
/// In the words of Docker's client.
pub(crate) fn config(text: &str) -> Result<FileFlag, String> {
    parse("config", text)
}

fn parse(kind: &str, text: &str) -> Result<FileFlag, String> {
    let fields = csv::fields(text)?;
    let mut source = String::new();
    let mut file = FileTarget { name: String::new(), uid: "0".into(), gid: "0".into(), mode: 0o444 };
    match fields.as_slice() {
        [only] if !only.contains('=') => source.clone_from(only),
        fields => {
            for field in fields {
                let pair = field.split_once('=').filter(|(key, _)| !key.is_empty());
                let (key, value) = pair.ok_or_else(|| format!("invalid field '{field}' must be a key=value pair"))?;
                match key.to_lowercase().as_str() {
                    "source" | "src" => value.clone_into(&mut source),
                    "target" => value.clone_into(&mut file.name),
                    "uid" => value.clone_into(&mut file.uid),
                    "gid" => value.clone_into(&mut file.gid),
                    "mode" => file.mode = mode(value).map_err(|why| format!("invalid mode specified: {why}"))?,
                    _ => return Err(format!("invalid field in {kind} request: {key}")),
                }
            }
        }
    }
    if source.is_empty() {
        return Err("source is required".into());
    }
    if file.name.is_empty() {
        file.name.clone_from(&source);
    }
    Ok(FileFlag { source, file })
}

/// A number as Go reads it with its base in front.
fn mode(text: &str) -> Result<u32, String> {
    let lower = text.to_lowercase();
    let digits = |prefix: &str, base| lower.strip_prefix(prefix).map(|digits| (digits.to_owned(), base));
    let (digits, base) = digits("0x", 16)
        .or_else(|| digits("0b", 2))
        .or_else(|| digits("0o", 8))
        .or_else(|| digits("0", 8).filter(|(rest, _)| !rest.is_empty()))
        .unwrap_or_else(|| (lower.clone(), 10));
    let valid = !digits.is_empty() && digits.chars().all(|c| c.is_digit(base));
    let refuse = |reason: &str| format!("strconv.ParseUint: parsing {text:?}: {reason}");
    if !valid {
        return Err(refuse("invalid syntax"));
    }
    u32::from_str_radix(&digits, base).map_err(|_| refuse("value out of range"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_alone_is_a_file_of_that_name() {
        let flag = secret("key").expect("reads");
        assert_eq!((flag.source.as_str(), flag.file.name.as_str(), flag.file.uid.as_str(), flag.file.mode), ("key", "key", "0", 0o444));
        let flag = config("src=a,target=/etc/b,uid=1,gid=2,mode=0640").expect("reads");
        let file = FileTarget { name: "/etc/b".into(), uid: "1".into(), gid: "2".into(), mode: 0o640 };
        assert_eq!(flag, FileFlag { source: "a".into(), file });
        assert_eq!(secret("source=a,mode=256").map(|flag| flag.file.mode), Ok(0o400));
    }

    #[test]
    fn mistakes_are_told_in_dockers_words() {
        for (text, error) in [
            ("target=x", "source is required"),
            ("source=a,x", "invalid field 'x' must be a key=value pair"),
            ("source=a,colour=red", "invalid field in secret request: colour"),
            ("source=a,mode=9x", "invalid mode specified: strconv.ParseUint: parsing \"9x\": invalid syntax"),
            ("source=a,mode=089", "invalid mode specified: strconv.ParseUint: parsing \"089\": invalid syntax"),
        ] {
            assert_eq!(secret(text), Err(error.into()), "{text}");
        }
    }
}
