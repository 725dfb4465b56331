//! Running `nft` and `iptables` in the calling thread's namespace.

use std::io::Write as _;
use std::process::{Command, Stdio};

use crate::error::Error;

/// Applies a script in one transaction: all of it, or nothing.
pub(crate) fn apply(script: &str) -> Result<(), Error> {
    let failed = |source| Error::Run { program: "nft", source };
    let mut child =
        Command::new("nft").args(["-f", "-"]).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().map_err(failed)?;
    let mut input = child.stdin.take().expect("stdin was asked for");
    // A broken pipe says nothing that nft's own message does not say better.
    let written = input.write_all(script.as_bytes());
    drop(input);
    let output = child.wait_with_output().map_err(failed)?;
    if !output.status.success() {
        let message = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        return Err(Error::Refused { program: "nft", message });
    }
    written.map_err(failed)
}

/// A table as the kernel has it, without what counts or changes by itself. `None` when it is not there.
pub(crate) fn list(table: &str) -> Result<Option<String>, Error> {
    let output = Command::new("nft")
        .args(["--stateless", "list", "table", "ip", table])
        .output()
        .map_err(|source| Error::Run { program: "nft", source })?;
    if output.status.success() {
        return Ok(Some(String::from_utf8_lossy(&output.stdout).into_owned()));
    }
    let message = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    match message.contains("No such file or directory") {
        true => Ok(None),
        false => Err(Error::Refused { program: "nft", message }),
    }
}

/// Removes a table if it is there.
pub(crate) fn delete(table: &str) -> Result<(), Error> {
    // Adding it first makes the deletion succeed in either case.
    apply(&format!("table ip {table}\ndelete table ip {table}\n"))
}

/// Puts a rule at the head of Docker's chain for operators, where there is such a chain and the rule is
/// not in it. Docker's FORWARD policy would drop the mesh's packets otherwise.
pub(crate) fn ensure_docker_user(rule: &[&str]) -> Result<bool, Error> {
    if !iptables(&["-S", "DOCKER-USER"], &[])? || iptables(&["-C", "DOCKER-USER"], rule)? {
        return Ok(false);
    }
    iptables(&["-I", "DOCKER-USER"], rule)
}

/// Takes a rule out of Docker's chain for operators, if it is there.
pub(crate) fn remove_docker_user(rule: &[&str]) -> Result<bool, Error> {
    iptables(&["-D", "DOCKER-USER"], rule)
}

/// Whether the command succeeded.
fn iptables(command: &[&str], rule: &[&str]) -> Result<bool, Error> {
    let status = Command::new("iptables")
        .arg("-w")
        .args(command)
        .args(rule)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .map_err(|source| Error::Run { program: "iptables", source })?;
    Ok(status.success())
}
