//! `hotgate run`: serve in the foreground.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use super::Exit;
use super::files::{read, read_as_far_as_good};
use super::talk::say;
use crate::config::{Config, Level};
use crate::control::last_good::{LastGood, state_folder};
use crate::control::supervisor::{Failure, serve};

/// What `run` takes.
#[derive(clap::Args)]
pub(super) struct RunArgs {
    /// Refuse to start when any file has a fault, instead of taking its last good copy
    #[arg(long)]
    strict: bool,
}

/// Reads the configuration and serves it until a signal.
///
/// `verbosity` counts `-v`: debug events with one, all of them with more.
pub(super) fn run(named: &[PathBuf], args: &RunArgs, verbosity: u8) -> Exit {
    let good = state_folder().map(|state| LastGood::new(&state));
    let loaded = match &good {
        Some(good) if !args.strict => read_as_far_as_good(named, good),
        Some(_) | None => read(named),
    };
    let mut loaded = match loaded {
        Ok(loaded) => loaded,
        Err(exit) => return exit,
    };
    let level = &mut loaded.config.log.level;
    *level = (*level).max(match verbosity {
        0 => *level,
        1 => Level::Debug,
        _ => Level::Trace,
    });
    let texts = loaded.good;
    run_config(loaded.config, |addresses| {
        // In force: from here on these are the good ones.
        if let Some(good) = good
            && let Err(error) = good.keep(&texts)
        {
            tracing::warn!("no copies of the configuration are kept for a bad day: {error}");
        }
        announce(addresses);
    })
}

/// Serves a configuration until a signal.
pub(super) fn run_config(config: Config, ready: impl FnOnce(&[SocketAddr])) -> Exit {
    start_event_log(config.log.level);
    match serve(config, ready) {
        Ok(()) => Exit::Fine,
        Err(failure) => {
            say(&format!("error: {failure}"));
            exit_of(&failure)
        }
    }
}

fn announce(addresses: &[SocketAddr]) {
    for address in addresses {
        say(&format!("listening on {address}"));
    }
    say("ready");
}

fn exit_of(failure: &Failure) -> Exit {
    let is_permission = match failure {
        Failure::Bind(error) => error.error.kind() == io::ErrorKind::PermissionDenied,
        Failure::System(error) => error.kind() == io::ErrorKind::PermissionDenied,
        Failure::AccessLog(_) | Failure::Worker(_) => false,
    };
    if is_permission {
        Exit::Permission
    } else {
        Exit::Failed
    }
}

/// Events go to standard error, without the time: journald and container engines add their own.
fn start_event_log(level: Level) {
    let level = match level {
        Level::Error => tracing::Level::ERROR,
        Level::Warn => tracing::Level::WARN,
        Level::Info => tracing::Level::INFO,
        Level::Debug => tracing::Level::DEBUG,
        Level::Trace => tracing::Level::TRACE,
    };
    let log = tracing_subscriber::fmt()
        .with_max_level(level)
        .with_target(false)
        .without_time();
    // Set once: a second call in one process keeps the first.
    let _ = log
        .with_writer(io::stderr)
        .with_ansi(io::IsTerminal::is_terminal(&io::stderr()))
        .try_init();
}
