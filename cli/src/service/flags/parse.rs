//! Values of the service flags, checked as Docker's client checks them.

use std::net::IpAddr;
use std::str::FromStr;
use swarm_types::{FailureAction, InvalidWord, Nanos, PlacementPreference, SpreadOver, Ulimit};

pub(crate) use super::mount::mount;
pub(crate) use super::network::network;
pub(crate) use super::port::{ports, ports as removed_ports};

/// What separates words in labels and variables.
const SPACES: [char; 2] = [' ', '\t'];

/// A Go duration, such as `1h30m`.
///
/// # Errors
/// Go's text on anything else.
pub(crate) fn duration(text: &str) -> Result<Nanos, String> {
    swarm_template::duration::parse(text).map_err(|e| e.to_string())
}

/// A Go duration that is not below zero.
///
/// # Errors
/// Go's text on anything else.
pub(crate) fn positive_duration(text: &str) -> Result<Nanos, String> {
    match duration(text)? {
        nanos if nanos < 0 => Err("duration cannot be negative".into()),
        nanos => Ok(nanos),
    }
}

/// A number of CPUs, in billionths.
///
/// # Errors
/// Docker's text on what is no number or has too many places.
pub(crate) fn cpus(text: &str) -> Result<i64, String> {
    swarm_template::size::nano_cpus(text).map_err(|e| e.to_string())
}

/// A number of bytes, such as `64m`.
///
/// # Errors
/// Docker's text on anything else.
pub(crate) fn bytes(text: &str) -> Result<i64, String> {
    swarm_template::size::memory_bytes(text).map_err(|e| e.to_string())
}

/// As [`bytes`], or `-1` for no bound.
///
/// # Errors
/// Docker's text on anything else.
pub(crate) fn swap_bytes(text: &str) -> Result<i64, String> {
    if text == "-1" { Ok(-1) } else { bytes(text) }
}

/// A word that the API knows.
///
/// # Errors
/// On any other word.
pub(crate) fn word<T: FromStr<Err = InvalidWord>>(text: &str) -> Result<T, String> {
    text.parse().map_err(|e: InvalidWord| e.to_string())
}

/// What a rollback does on failures: there is nothing further back to go to.
///
/// # Errors
/// On any word but `pause` and `continue`.
pub(crate) fn rollback_action(text: &str) -> Result<FailureAction, String> {
    match word(text)? {
        FailureAction::Rollback => Err("a rollback cannot be rolled back (only pause and continue are supported)".into()),
        action => Ok(action),
    }
}

/// A label: `KEY[=VALUE]`.
///
/// # Errors
/// If the key is empty or has spaces.
pub(crate) fn label(text: &str) -> Result<String, String> {
    let key = text.split('=').next().unwrap_or_default().trim_start_matches(SPACES);
    if key.is_empty() {
        return Err(format!("invalid label '{text}': empty name"));
    }
    if key.contains(SPACES) {
        return Err(format!("label '{key}' contains whitespaces"));
    }
    Ok(text.to_owned())
}

/// A variable: `KEY=VALUE`, or `KEY` to take over the value it has here.
///
/// # Errors
/// If the key is empty.
pub(crate) fn env(text: &str) -> Result<String, String> {
    if text.is_empty() || text.starts_with('=') {
        return Err(format!("invalid environment variable: {text}"));
    }
    Ok(text.to_owned())
}

/// An IP address, in its usual form.
///
/// # Errors
/// On anything else.
pub(crate) fn ip(text: &str) -> Result<String, String> {
    let address: Result<IpAddr, _> = text.trim().parse();
    address.map(|ip| ip.to_string()).map_err(|_| format!("IP address is not correctly formatted: {text}"))
}

/// A domain to search names in; `.` is none.
///
/// # Errors
/// On what is no domain.
pub(crate) fn domain(text: &str) -> Result<String, String> {
    let domain = text.trim_matches(' ');
    if domain == "." {
        return Ok(domain.to_owned());
    }
    let name = domain.trim_end();
    let name = name.strip_suffix('.').unwrap_or(name);
    let part = |part: &str| {
        part.starts_with(|c: char| c.is_ascii_alphanumeric())
            && part.ends_with(|c: char| c.is_ascii_alphanumeric())
            && part.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
    };
    if name.contains(|c: char| c.is_ascii_alphabetic()) && name.split('.').all(part) && name.len() < 255 {
        Ok(name.to_owned())
    } else {
        Err(format!("{domain} is not a valid domain"))
    }
}

/// A name and its address, `NAME:IP` or `NAME=IP`, given back as `NAME:IP`.
///
/// # Errors
/// If either is missing or the address is none.
pub(crate) fn extra_host(text: &str) -> Result<String, String> {
    let pair = text.split_once('=').or_else(|| text.split_once(':'));
    let Some((name, address)) = pair.filter(|(name, _)| !name.is_empty() && !name.contains(':')) else {
        return Err(format!("bad format for add-host: {text:?}"));
    };
    let bare = address.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).filter(|bare| !bare.is_empty());
    let address = bare.unwrap_or(address);
    if address != "host-gateway" && ip(address).is_err() {
        return Err(format!("invalid IP address in add-host: {address:?}"));
    }
    Ok(format!("{name}:{address}"))
}

/// A placement preference: `spread=LABEL`.
///
/// # Errors
/// On any other strategy.
pub(crate) fn preference(text: &str) -> Result<PlacementPreference, String> {
    match text.split_once('=') {
        Some(("spread", label)) => Ok(PlacementPreference { spread: Some(SpreadOver { spread_descriptor: label.to_owned() }) }),
        Some((strategy, _)) if !strategy.is_empty() => {
            Err(format!("unsupported placement preference {strategy} (only spread is supported)"))
        }
        _ => Err("placement preference must be of the format \"<strategy>=<arg>\"".into()),
    }
}

/// The limits that the kernel knows.
const ULIMITS: [&str; 15] = [
    "core",
    "cpu",
    "data",
    "fsize",
    "locks",
    "memlock",
    "msgqueue",
    "nice",
    "nofile",
    "nproc",
    "rss",
    "rtprio",
    "rttime",
    "sigpending",
    "stack",
];

/// A process limit: `NAME=SOFT[:HARD]`; -1 is no bound.
///
/// # Errors
/// On unknown names, and if the soft limit is above the hard one.
pub(crate) fn ulimit(text: &str) -> Result<Ulimit, String> {
    let Some((name, limits)) = text.split_once('=') else {
        return Err(format!("invalid ulimit argument: {text}"));
    };
    if !ULIMITS.contains(&name) {
        return Err(format!("invalid ulimit type: {name}"));
    }
    let number = |text: &str| text.parse::<i64>().map_err(|_| format!("strconv.ParseInt: parsing {text:?}: invalid syntax"));
    let (soft, hard) = match limits.split(':').collect::<Vec<_>>()[..] {
        [both] => (number(both)?, number(both)?),
        [soft, hard] => {
            let hard = number(hard)?;
            (number(soft)?, hard)
        }
        _ => {
            return Err(format!("too many limit value arguments - {limits}, can only have up to two, `soft[:hard]`"));
        }
    };
    let above = "ulimit soft limit must be less than or equal to hard limit:";
    if hard != -1 && soft == -1 {
        return Err(format!("{above} soft: -1 (unlimited), hard: {hard}"));
    }
    if hard != -1 && soft > hard {
        return Err(format!("{above} {soft} > {hard}"));
    }
    Ok(Ulimit { name: name.to_owned(), soft, hard })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_and_variables_need_a_key() {
        assert_eq!(label("a=b c"), Ok("a=b c".into()));
        assert_eq!(label("=x"), Err("invalid label '=x': empty name".into()));
        assert_eq!(label("a b=c"), Err("label 'a b' contains whitespaces".into()));
        assert_eq!(env("A"), Ok("A".into()));
        assert_eq!(env("=x"), Err("invalid environment variable: =x".into()));
    }

    #[test]
    fn addresses_are_checked() {
        assert_eq!(ip(" 0:0:0:0:0:0:0:1 "), Ok("::1".into()));
        assert_eq!(ip("1.2.3"), Err("IP address is not correctly formatted: 1.2.3".into()));
        assert_eq!(domain("example.com."), Ok("example.com".into()));
        assert_eq!(domain("."), Ok(".".into()));
        assert_eq!(domain("1.2"), Err("1.2 is not a valid domain".into()));
        assert_eq!(domain("-a.com"), Err("-a.com is not a valid domain".into()));
        assert_eq!(extra_host("db:10.0.0.1"), Ok("db:10.0.0.1".into()));
        assert_eq!(extra_host("db=[::1]"), Ok("db:::1".into()));
        assert_eq!(extra_host("db:::1"), Ok("db:::1".into()));
        assert_eq!(extra_host("db"), Err("bad format for add-host: \"db\"".into()));
        assert_eq!(extra_host("db:x"), Err("invalid IP address in add-host: \"x\"".into()));
    }

    #[test]
    fn ulimits_are_checked() {
        assert_eq!(ulimit("nofile=10:20"), Ok(Ulimit { name: "nofile".into(), soft: 10, hard: 20 }));
        assert_eq!(ulimit("core=-1"), Ok(Ulimit { name: "core".into(), soft: -1, hard: -1 }));
        assert_eq!(ulimit("nofile"), Err("invalid ulimit argument: nofile".into()));
        assert_eq!(ulimit("files=1"), Err("invalid ulimit type: files".into()));
        assert_eq!(ulimit("nofile=20:10"), Err("ulimit soft limit must be less than or equal to hard limit: 20 > 10".into()));
        assert_eq!(ulimit("nofile=x"), Err("strconv.ParseInt: parsing \"x\": invalid syntax".into()));
    }

    #[test]
    fn only_spread_is_a_preference() {
        assert!(preference("spread=node.labels.rack").is_ok());
        assert_eq!(preference("x"), Err("placement preference must be of the format \"<strategy>=<arg>\"".into()));
        assert_eq!(preference("pack=x"), Err("unsupported placement preference pack (only spread is supported)".into()));
    }
}
