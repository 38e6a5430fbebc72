//! Which file is read, and reading it.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::Exit;
use crate::config::{Config, Source, parse};

/// Where the configuration is when no `-c` names it: the machine's, else the current folder's.
const DEFAULT_PATHS: [&str; 2] = ["/etc/hotgate/hotgate.toml", "./hotgate.toml"];

/// Reads the configuration. Faults and warnings, each with its place, have been printed when this returns.
///
/// # Errors
///
/// The exit code that the fault earns.
pub(super) fn read(named: Option<&Path>) -> Result<Config, Exit> {
    let path = match named {
        Some(path) => path.to_owned(),
        None => default_path().ok_or_else(|| {
            say(&format!(
                "no configuration: neither {} nor {} is there\n  = try: hotgate run -c FILE, or hotgate quick",
                DEFAULT_PATHS[0], DEFAULT_PATHS[1]
            ));
            Exit::Config
        })?,
    };
    let text = std::fs::read_to_string(&path).map_err(|error| {
        say(&format!("cannot read {}: {error}", path.display()));
        if error.kind() == io::ErrorKind::PermissionDenied {
            Exit::Permission
        } else {
            Exit::Config
        }
    })?;
    say(&format!("reading {}", path.display()));
    parse_and_tell(&path.display().to_string(), &text)
}

/// Parses a text and prints what is to be said of it.
///
/// # Errors
///
/// [`Exit::Config`], after every fault was printed.
pub(super) fn parse_and_tell(name: &str, text: &str) -> Result<Config, Exit> {
    match parse(&[Source { name, text }]) {
        Ok(config) => {
            for warning in &config.warnings {
                say(&warning.to_string());
            }
            Ok(config)
        }
        Err(faults) => {
            for fault in &faults {
                say(&fault.to_string());
            }
            let count = faults.len();
            say(&format!(
                "{count} error{} in {name}; nothing was applied",
                if count == 1 { "" } else { "s" }
            ));
            Err(Exit::Config)
        }
    }
}

fn default_path() -> Option<PathBuf> {
    DEFAULT_PATHS
        .iter()
        .map(PathBuf::from)
        .find(|path| path.exists())
}

/// Talk goes to standard error; one that is closed does not stop us.
pub(super) fn say(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}
