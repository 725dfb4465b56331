//! Files of environment variables, as Docker's clients read them: no quotes, no variables in values, comments from `#` at the
//! start of a line.

use crate::Lookup;

/// The variables of a file, `KEY=VALUE` each, in order. A key without a value takes the one that `lookup` has, or is left out.
///
/// # Errors
/// Docker's text; `path` is the file's name in it.
pub fn variables(path: &str, bytes: &[u8], lookup: Lookup<'_>) -> Result<Vec<String>, String> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let mut variables = Vec::new();
    for (index, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let Ok(line) = std::str::from_utf8(line) else {
            let shown: Vec<String> = line.iter().map(u8::to_string).collect();
            return Err(format!("env file {path} contains invalid utf8 bytes at line {}: [{}]", index + 1, shown.join(" ")));
        };
        let line = line.trim_start();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let name = line.split('=').next().unwrap_or_default();
        if name.is_empty() {
            return Err(format!("poorly formatted environment: no variable name on line '{line}'"));
        }
        if name.contains([' ', '\t']) {
            return Err(format!("poorly formatted environment: variable '{name}' contains whitespaces"));
        }
        // One without a value here is left out; as a flag it would take the image's value away.
        if line.contains('=') {
            variables.push(line.to_owned());
        } else if let Some(value) = lookup(name) {
            variables.push(format!("{name}={value}"));
        }
    }
    Ok(variables)
}
