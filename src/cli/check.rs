//! `hotgate check`: every fault of the configuration at once.

use std::path::Path;

use super::Exit;
use super::files::read;

/// Reads, tells, and answers with the exit code.
pub(super) fn check(named: Option<&Path>) -> Exit {
    match read(named) {
        Ok(config) => {
            let paths: usize = config.sites.iter().map(|site| site.routes.len()).sum();
            println!(
                "ok: {} site(s), {paths} path(s), {} listener(s)",
                config.sites.len(),
                config.listeners().len()
            );
            Exit::Fine
        }
        Err(exit) => exit,
    }
}
