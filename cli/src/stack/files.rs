//! Compose files as the command line names them.

use crate::failure::{Failure, Outcome};
use crate::service::environment::{open_error, own_variable};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use swarm_compose::{Project, Source, Surroundings, load};

/// Profiles that are wanted, in the environment.
const PROFILES: &str = "COMPOSE_PROFILES";

/// Which compose files.
#[derive(clap::Args, Debug)]
pub(super) struct FileFlags {
    /// Path to a Compose file, or "-" to read from stdin
    #[arg(short = 'c', long, value_name = "strings", value_delimiter = ',')]
    compose_file: Vec<String>,
    /// Specify a profile to enable (COMPOSE_PROFILES)
    #[arg(long, value_name = "stringArray")]
    profile: Vec<String>,
}

impl FileFlags {
    /// Reads the files, later ones laid over earlier ones.
    ///
    /// # Errors
    /// If there is none, and on everything that is wrong in them.
    pub(super) fn load(&self, interpolate: bool) -> Outcome<Project> {
        if self.compose_file.iter().all(|file| file.is_empty()) {
            return Err("specify a Compose file (with --compose-file)".into());
        }
        let mut sources = Vec::with_capacity(self.compose_file.len());
        for (at, file) in self.compose_file.iter().enumerate() {
            sources.push(source(file, at == 0)?);
        }
        let profiles = self.profiles();
        let around = Surroundings { interpolate, ..surroundings(&profiles) };
        load(&sources, &around).map_err(|error| Failure::new(error.to_string()))
    }

    fn profiles(&self) -> Vec<String> {
        let of_environment = own_variable(PROFILES).unwrap_or_default();
        let named = of_environment.split(',').filter(|profile| !profile.is_empty()).map(str::to_owned);
        self.profile.iter().cloned().chain(named).collect()
    }
}

/// What compose files see of this host.
pub(super) fn surroundings(profiles: &[String]) -> Surroundings<'_> {
    Surroundings { variables: &own_variable, read: &read, interpolate: true, profiles }
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    std::fs::read(path).map_err(|error| {
        let text = open_error("", &error);
        text.strip_prefix("open : ").unwrap_or(&text).to_owned()
    })
}

/// A file, or standard input for `-`, which can only be the first.
fn source(file: &str, first: bool) -> Outcome<Source> {
    let here = std::env::current_dir()?;
    if file == "-" && first {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text)?;
        return Ok(Source { name: "stdin".into(), folder: here, text });
    }
    let bytes = std::fs::read(file).map_err(|error| Failure::new(open_error(file, &error)))?;
    let text = String::from_utf8(bytes).map_err(|error| Failure::new(format!("failed to parse {file}: {error}")))?;
    let folder = here.join(Path::new(file).parent().unwrap_or(Path::new("")));
    Ok(Source { name: file.to_owned(), folder: folder.components().collect::<PathBuf>(), text })
}
