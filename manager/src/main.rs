//! `swarm-manager`: see the library.

use clap::Parser;
use std::{io::IsTerminal, process::ExitCode};
use swarm_manager::config::{Config, LogFormat};

fn main() -> ExitCode {
    let config = Config::parse();
    let filter = tracing_subscriber::EnvFilter::try_new(format!("{},openraft=warn,sled=warn,h2=warn", config.log_level));
    let filter = match filter {
        Ok(filter) => filter,
        Err(error) => {
            eprintln!("invalid --log-level {:?}: {error}", config.log_level);
            return ExitCode::from(125);
        }
    };
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(std::io::stderr().is_terminal());
    match config.log_format {
        LogFormat::Text => log.init(),
        LogFormat::Json => log.json().init(),
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("could not start the runtime: {error}");
            return ExitCode::FAILURE;
        }
    };
    let ended = runtime.block_on(swarm_manager::daemon::run(config));
    if let Err(error) = &ended {
        tracing::error!(error = format!("{error:#}"), "the manager cannot go on");
    }
    // Blocking threads may still write; they must not hold up the end.
    runtime.shutdown_timeout(std::time::Duration::from_secs(1));
    match ended {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            // The last line, in plain words whatever the form of the log: the agent tells it to whoever waits for us.
            eprintln!("swarm-manager: {error:#}");
            ExitCode::FAILURE
        }
    }
}
