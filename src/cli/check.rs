//! `hotgate check`: every fault of every file at once, and what the machine has to say.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::Exit;
use super::files::{exit_of, read, tell_refused, unreadable};
use super::json::{diagnostic, print_facts};
use super::talk::print;
use crate::config::Config;
use crate::control::load::{Fault, Loaded, Refused, load};

/// What `check` takes.
#[derive(clap::Args)]
pub(super) struct CheckArgs {
    /// Exit with 4 when there are warnings
    #[arg(long)]
    strict: bool,
    /// Print what is in force: every default filled in, each line with its origin
    #[arg(long)]
    dump: bool,
}

/// Reads, tells, and answers with the exit code.
pub(super) fn check(named: &[PathBuf], args: &CheckArgs, is_json: bool) -> Exit {
    if is_json {
        return check_as_json(named, args);
    }
    let loaded = match read(named) {
        Ok(loaded) => loaded,
        Err(exit) => return exit,
    };
    if args.dump {
        print(&loaded.config.dump());
    } else {
        print(&format!("ok: {}\n", sizes(&loaded.config)));
    }
    verdict(args, &loaded)
}

fn verdict(args: &CheckArgs, loaded: &Loaded) -> Exit {
    match args.strict && !loaded.config.warnings.is_empty() {
        true => Exit::No,
        false => Exit::Fine,
    }
}

fn sizes(config: &Config) -> String {
    let paths: usize = config.sites.iter().map(|site| site.routes.len()).sum();
    format!(
        "{} site(s), {paths} path(s), {} listener(s)",
        config.sites.len(),
        config.listeners().len()
    )
}

fn check_as_json(named: &[PathBuf], args: &CheckArgs) -> Exit {
    match load(named, None) {
        Ok(loaded) => {
            let config = &loaded.config;
            let listeners = config.listeners();
            let listeners = listeners
                .iter()
                .map(|listener| listener.address.to_string());
            print_facts(json!({
                "ok": true,
                "files": loaded.files.found.iter().map(|found| shown(&found.path)).collect::<Vec<_>>(),
                "sites": config.sites.len(),
                "paths": config.sites.iter().map(|site| site.routes.len()).sum::<usize>(),
                "listeners": listeners.collect::<Vec<_>>(),
                "diagnostics": config.warnings.iter().map(diagnostic).collect::<Vec<_>>(),
                "dump": args.dump.then(|| config.dump()),
            }));
            verdict(args, &loaded)
        }
        Err(refused) if refused.files.found.is_empty() => tell_refused(&refused),
        Err(refused) => {
            print_facts(refusal(&refused));
            exit_of(&refused.faults)
        }
    }
}

fn refusal(refused: &Refused) -> Value {
    let fault = |fault: &Fault| match fault {
        Fault::Text(found) => diagnostic(found),
        Fault::Unreadable(path, error) => json!({
            "severity": "error",
            "code": "unreadable",
            "message": unreadable(path, error).lines().next(),
            "file": shown(path),
        }),
    };
    json!({
        "ok": false,
        "files": refused.files.found.iter().map(|found| shown(&found.path)).collect::<Vec<_>>(),
        "diagnostics": refused.faults.iter().map(fault).collect::<Vec<_>>(),
    })
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}
