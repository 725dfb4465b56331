//! Log lines on standard error.

use crate::config::{LogFormat, LogLevel};
use tracing_subscriber::EnvFilter;

/// Libraries that talk much at levels that matter for us.
const QUIET: &str = "hyper=info,h2=info,rustls=info,sled=info,tower=info,bollard=info";

/// Sends log lines of at least this severity to standard error. A second call changes nothing.
pub(super) fn init(level: LogLevel, format: LogFormat) {
    let filter = match level {
        LogLevel::Trace | LogLevel::Debug => format!("{},{QUIET}", level.as_str()),
        _ => level.as_str().to_owned(),
    };
    let subscriber = tracing_subscriber::fmt().with_env_filter(EnvFilter::new(filter)).with_writer(std::io::stderr);
    let set = match format {
        LogFormat::Text => subscriber.with_ansi(false).try_init(),
        LogFormat::Json => subscriber.json().flatten_event(true).try_init(),
    };
    if set.is_err() {
        tracing::debug!("logging was set up before");
    }
}
