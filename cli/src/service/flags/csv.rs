//! The comma-separated form of `--mount`, `--publish` and others, with quotes as in CSV files.

/// Splits one line into its fields.
///
/// # Errors
/// On an empty line and on misplaced quotes, in Go's words.
pub(crate) fn fields(line: &str) -> Result<Vec<String>, String> {
    let line = line.split(['\n', '\r']).find(|line| !line.is_empty()).ok_or("EOF")?;
    let mut fields = Vec::new();
    let mut rest = line;
    loop {
        let column = line.len() - rest.len();
        let (field, after) = match rest.strip_prefix('"') {
            Some(quoted) => quoted_field(line, quoted)?,
            None => {
                let end = rest.find(',').unwrap_or(rest.len());
                if let Some(quote) = rest[..end].find('"') {
                    return Err(error(column + quote, "bare \" in non-quoted field"));
                }
                (rest[..end].to_owned(), &rest[end..])
            }
        };
        fields.push(field);
        match after.strip_prefix(',') {
            Some(next) => rest = next,
            None => return Ok(fields),
        }
    }
}

/// A field after its opening quote, and what follows its closing one.
fn quoted_field<'a>(line: &str, text: &'a str) -> Result<(String, &'a str), String> {
    let mut field = String::new();
    let mut rest = text;
    loop {
        let Some(quote) = rest.find('"') else {
            return Err(error(line.len(), "extraneous or missing \" in quoted-field"));
        };
        field.push_str(&rest[..quote]);
        rest = &rest[quote + 1..];
        if let Some(next) = rest.strip_prefix('"') {
            field.push('"');
            rest = next;
        } else if rest.is_empty() || rest.starts_with(',') {
            return Ok((field, rest));
        } else {
            return Err(error(line.len() - rest.len() - 1, "extraneous or missing \" in quoted-field"));
        }
    }
}

fn error(index: usize, what: &str) -> String {
    format!("parse error on line 1, column {}: {what}", index + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_may_be_quoted() {
        assert_eq!(fields("type=bind,\"src=/a,b\",dst=/c"), Ok(vec!["type=bind".into(), "src=/a,b".into(), "dst=/c".into()]));
        assert_eq!(fields("\"a\"\"b\","), Ok(vec!["a\"b".into(), String::new()]));
        assert_eq!(fields(""), Err("EOF".into()));
        assert_eq!(fields("a\"b"), Err("parse error on line 1, column 2: bare \" in non-quoted field".into()));
        assert_eq!(fields("\"a\"b"), Err("parse error on line 1, column 3: extraneous or missing \" in quoted-field".into()));
    }
}
