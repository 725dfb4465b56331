//! Generic resources on the command line: `KIND=N`.

use crate::failure::{Failure, Outcome};
use std::collections::BTreeMap;
use swarm_types::GenericResource;

/// Checks the form of one.
///
/// # Errors
/// In the words of Docker's client.
pub(crate) fn word(text: &str) -> Result<String, String> {
    match text.contains('=') {
        true => Ok(text.to_owned()),
        false => Err(format!("invalid node-generic-resource format `{text}` expected `name=value`")),
    }
}

/// The counts that the flags ask for. Pieces cannot be asked for by name.
///
/// # Errors
/// In the words of Docker's client.
pub(crate) fn parse(given: &[String]) -> Outcome<Vec<GenericResource>> {
    let bad = |why: String| Failure::new(format!("invalid generic resource specification: could not parse GenericResource: {why}"));
    let one = |text: &String| {
        let parts: Vec<&str> = text.split('=').map(str::trim).collect();
        let [kind, value] = parts[..] else {
            return Err(bad(format!("incorrect term {text}, missing '=' or malformed expression")));
        };
        match value.parse::<i64>() {
            Ok(value) if value < 0 => Err(bad(format!("cannot ask for negative resource {kind}"))),
            Ok(value) => Ok(GenericResource::Discrete { kind: kind.to_owned(), value }),
            Err(_) => Err(Failure::new(format!(
                "invalid generic-resource request `{kind}={value}`, Named Generic Resources is not supported for service create or update"
            ))),
        }
    };
    given.iter().map(one).collect()
}

/// Takes kinds away from a reservation and sets others.
///
/// # Errors
/// If a kind to take away is not there.
pub(crate) fn merge(reserved: &mut Vec<GenericResource>, add: &[String], remove: &[String]) -> Outcome {
    let kind = |resource: &GenericResource| match resource {
        GenericResource::Discrete { kind, .. } | GenericResource::Named { kind, .. } => kind.clone(),
    };
    let mut by_kind: BTreeMap<String, GenericResource> = reserved.drain(..).map(|resource| (kind(&resource), resource)).collect();
    by_kind.extend(parse(add)?.into_iter().map(|resource| (kind(&resource), resource)));
    for gone in remove {
        if by_kind.remove(gone).is_none() {
            return Err(Failure::new(format!("could not find generic-resource `{gone}` to remove it")));
        }
    }
    *reserved = by_kind.into_values().collect();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(kind: &str, value: i64) -> GenericResource {
        GenericResource::Discrete { kind: kind.into(), value }
    }

    #[test]
    fn counts_are_set_and_taken_away_by_kind() {
        let mut reserved = vec![count("SSD", 1), count("GPU", 1)];
        merge(&mut reserved, &["GPU=2".into(), "FPGA=3".into()], &["SSD".into()]).expect("merges");
        assert_eq!(reserved, [count("FPGA", 3), count("GPU", 2)]);
        let error = merge(&mut reserved, &[], &["SSD".into()]).expect_err("is gone");
        assert_eq!(error.to_string(), "could not find generic-resource `SSD` to remove it");
    }

    #[test]
    fn mistakes_are_told_in_dockers_words() {
        let prefix = "invalid generic resource specification: could not parse GenericResource:";
        for (text, expected) in [
            ("a=b=c", format!("{prefix} incorrect term a=b=c, missing '=' or malformed expression")),
            ("GPU=-1", format!("{prefix} cannot ask for negative resource GPU")),
            (
                "GPU=x",
                "invalid generic-resource request `GPU=x`, Named Generic Resources is not supported for service create or update".into(),
            ),
        ] {
            assert_eq!(parse(&[text.to_owned()]).expect_err("refused").to_string(), expected);
        }
        assert_eq!(word("GPU"), Err("invalid node-generic-resource format `GPU` expected `name=value`".into()));
    }
}
