//! `network rm` and `network prune`.

use crate::failure::{Failure, Outcome};
use crate::line::{Invocation, values};
use crate::output::{print, print_line, warn};
use crate::query::{Filters, check_filter, escape};
use crate::session::Session;
use std::io::{BufRead as _, Write as _};
use swarm_types::Network;

const INGRESS_WARNING: &str =
    "WARNING! Without the routing-mesh network no service can publish ports on all nodes.\nAre you sure you want to continue?";
const PRUNE_WARNING: &str = "WARNING! This will remove all custom networks that nothing uses.\nAre you sure you want to continue?";

/// Of `network rm`.
#[derive(clap::Args, Debug)]
pub(crate) struct RmArgs {
    /// Do not error if the network does not exist
    #[arg(short = 'f', long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = values::switch)]
    force: Option<bool>,
    #[arg(hide = true)]
    networks: Vec<String>,
}

/// Of `network prune`.
#[derive(clap::Args, Debug)]
pub(crate) struct PruneArgs {
    /// Do not prompt for confirmation
    #[arg(short = 'f', long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = values::switch)]
    force: Option<bool>,
    /// Provide filter values (e.g. "until=<timestamp>")
    #[arg(long, value_name = "filter", value_parser = check_filter)]
    filter: Vec<String>,
    #[arg(hide = true)]
    args: Vec<String>,
}

/// Removes networks, the routing mesh's only if the user says so once more.
///
/// # Errors
/// All that could not be removed.
pub(super) async fn rm(args: &RmArgs, invocation: &Invocation, session: &Session) -> Outcome {
    invocation.some_args(&args.networks)?;
    let mut failures = Vec::new();
    for word in &args.networks {
        match remove(word, args.force.unwrap_or_default(), session).await {
            Ok(true) => print_line(word)?,
            Ok(false) => {}
            Err(failure) => failures.push(failure),
        }
    }
    Failure::join(failures)
}

/// Whether it was removed.
async fn remove(word: &str, force: bool, session: &Session) -> Outcome<bool> {
    let path = format!("/networks/{}", escape(word));
    match session.api.find_text(&path).await? {
        Some(json) => {
            let network: Network = crate::absent::read_text(json.as_bytes()).map_err(|e| Failure::new(e.to_string()))?;
            if network.ingress && !is_confirmed(INGRESS_WARNING)? {
                return Ok(false);
            }
        }
        None if force => return Ok(false),
        // The daemon says so in its own words.
        None => {}
    }
    session.api.delete(&path).await?;
    Ok(true)
}

/// Removes networks that nothing uses, after asking.
///
/// # Errors
/// On what the daemon refuses.
pub(super) async fn prune(args: &PruneArgs, invocation: &Invocation, session: &Session) -> Outcome {
    #[derive(serde::Deserialize)]
    struct Pruned {
        #[serde(rename = "NetworksDeleted", default)]
        deleted: Option<Vec<String>>,
    }
    invocation.no_args(&args.args)?;
    if !args.force.unwrap_or_default() && !is_confirmed(PRUNE_WARNING)? {
        return Err("network prune has been cancelled".into());
    }
    let path = Filters::parse(&args.filter).on("/networks/prune", &[]);
    let pruned: Pruned = session.api.post(&path, &serde_json::json!({})).await?;
    let deleted = pruned.deleted.unwrap_or_default();
    if deleted.is_empty() {
        return Ok(());
    }
    print_line("Deleted Networks:")?;
    for name in &deleted {
        print_line(name)?;
    }
    print_line("")
}

/// Asks on standard input; only `y` is yes, and the end of input is no.
fn is_confirmed(question: &str) -> Outcome<bool> {
    print(&format!("{question} [y/N] "))?;
    std::io::stdout().flush()?;
    let mut answer = String::new();
    if std::io::stdin().lock().read_line(&mut answer)? == 0 {
        warn("");
    }
    Ok(answer.trim().eq_ignore_ascii_case("y"))
}
