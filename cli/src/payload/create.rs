//! `secret create` and `config create`.

use super::Kind;
use crate::failure::{Failure, Outcome};
use crate::line::Invocation;
use crate::output::print_line;
use crate::service::{environment::open_error, flags::parse};
use crate::session::Session;
use std::fs::File;
use std::io::{self, Read};
use swarm_types::{Driver, Labels, PayloadSpec};

/// Bytes that are read of a secret: more than the daemon takes, so that it says what is wrong.
const SECRET_BYTES_READ: u64 = 2 * 500 * 1024;
/// Bytes that are read of a config, likewise.
const CONFIG_BYTES_READ: u64 = 2 * 1000 * 1024;

/// Of `secret create`.
#[derive(clap::Args, Debug)]
pub(crate) struct SecretCreateArgs {
    /// Secret labels
    #[arg(short = 'l', long, value_name = "list", value_parser = parse::env)]
    label: Vec<String>,
    /// Secret driver
    #[arg(short = 'd', long, value_name = "string")]
    driver: Option<String>,
    /// Template driver
    #[arg(long, value_name = "string")]
    template_driver: Option<String>,
    #[arg(hide = true)]
    args: Vec<String>,
}

/// Of `config create`.
#[derive(clap::Args, Debug)]
pub(crate) struct ConfigCreateArgs {
    /// Config labels
    #[arg(short = 'l', long, value_name = "list", value_parser = parse::env)]
    label: Vec<String>,
    /// Template driver
    #[arg(long, value_name = "string")]
    template_driver: Option<String>,
    #[arg(hide = true)]
    args: Vec<String>,
}

/// Creates a secret and prints its id.
///
/// # Errors
/// On contents that cannot be read, and on what the daemon refuses.
pub(super) async fn secret(args: &SecretCreateArgs, invocation: &Invocation, session: &Session) -> Outcome {
    let (name, file) = match args.args.as_slice() {
        [name] => (name, ""),
        [name, file] => (name, file.as_str()),
        _ => return Err(invocation.wrong_args("requires at least 1 and at most 2 arguments")),
    };
    let driver = args.driver.as_deref().filter(|driver| !driver.is_empty());
    let data = match (driver, file) {
        (Some(_), "") => Vec::new(),
        (Some(_), _) => return Err("when using secret driver secret data must be empty".into()),
        (None, "") => return Err("secret file is required".into()),
        (None, file) => secret_bytes(file)?,
    };
    let spec = PayloadSpec {
        name: name.clone(),
        labels: labels(&args.label),
        data: data.into(),
        driver: driver.map(named),
        templating: args.template_driver.as_deref().filter(|driver| !driver.is_empty()).map(named),
    };
    post(Kind::Secret, &spec, session).await
}

/// Creates a config and prints its id.
///
/// # Errors
/// On contents that cannot be read, and on what the daemon refuses.
pub(super) async fn config(args: &ConfigCreateArgs, invocation: &Invocation, session: &Session) -> Outcome {
    let [name, file] = args.args.as_slice() else { return Err(invocation.wrong_args("requires 2 arguments")) };
    let data = read(file, CONFIG_BYTES_READ).map_err(|why| Failure::new(format!("error reading content from {file:?}: {why}")))?;
    let spec = PayloadSpec {
        name: name.clone(),
        labels: labels(&args.label),
        data: data.into(),
        driver: None,
        templating: args.template_driver.as_deref().filter(|driver| !driver.is_empty()).map(named),
    };
    post(Kind::Config, &spec, session).await
}

async fn post(kind: Kind, spec: &PayloadSpec, session: &Session) -> Outcome {
    #[derive(serde::Deserialize)]
    struct Created {
        #[serde(rename = "ID")]
        id: String,
    }
    let created: Created = session.api.post(&format!("{}/create", kind.path()), spec).await?;
    print_line(&created.id)
}

fn named(name: &str) -> Driver {
    Driver { name: name.to_owned(), ..Driver::default() }
}

fn labels(given: &[String]) -> Labels {
    given.iter().map(|label| label.split_once('=').unwrap_or((label, ""))).map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}

fn secret_bytes(file: &str) -> Outcome<Vec<u8>> {
    let shown = if file == "-" { "STDIN" } else { file };
    match read(file, SECRET_BYTES_READ) {
        Ok(bytes) if bytes.is_empty() => Err(Failure::new(format!("error reading from {shown}: data is empty"))),
        Ok(bytes) => Ok(bytes),
        Err(why) => Err(Failure::new(format!("error reading from {shown}: {why}"))),
    }
}

/// The beginning of a file, or of standard input for `-`.
fn read(file: &str, bytes_max: u64) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let mut from: Box<dyn Read> = match file {
        "-" => Box::new(io::stdin()),
        _ => Box::new(File::open(file).map_err(|error| open_error(file, &error))?),
    };
    from.by_ref().take(bytes_max).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    Ok(bytes)
}
