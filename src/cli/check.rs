//! `hotgate check`: every fault of every file at once, and what the machine has to say.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde_json::{Value, json};

use super::Exit;
use super::files::{exit_of, read, tell_refused, unreadable};
use super::json::{diagnostic, print_facts};
use super::talk::{print, print_painted};
use crate::config::Config;
use crate::control::inspect::{
    Finding, Mark, access, certificates, names, ports, unit, upstreams, users,
};
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
    /// Also: do names resolve, can the ports be had, do the targets answer
    #[arg(long)]
    deep: bool,
    /// Who has a port that is wanted: process, program, and the line that frees it
    #[arg(long)]
    ports: bool,
    /// What the systemd unit does not grant, with the lines for `systemctl edit`
    #[arg(long, value_name = "NAME|FILE", num_args = 0..=1, default_missing_value = "hotgate.service")]
    unit: Option<String>,
    /// As root: the service's user, who is to reach every named path [default: the unit's, else hotgate]
    #[arg(long, value_name = "USER")]
    user: Option<String>,
}

/// The service's user where nobody says another.
const USER: &str = "hotgate";

/// Reads, tells, and answers with the exit code.
pub(super) fn check(named: &[PathBuf], args: &CheckArgs, is_verbose: bool, is_json: bool) -> Exit {
    if is_json {
        return check_as_json(named, args);
    }
    let loaded = match read(named) {
        Ok(loaded) => loaded,
        Err(exit) => return exit,
    };
    let findings = look(named, args, &loaded);
    for finding in &findings {
        // What is as it should be is told where it was asked for, and the trial as another user is not.
        let is_asked = finding.code != "access" || args.user.is_some();
        if finding.mark != Mark::Good || is_asked || is_verbose {
            print_painted(&loaded.config.secrets.mask(&format!("{finding}\n")));
        }
    }
    if args.dump {
        print(&loaded.config.dump());
    } else if findings.iter().all(|finding| finding.mark != Mark::Bad) {
        print(&format!("ok: {}\n", sizes(&loaded.config)));
    }
    verdict(args, &loaded, &findings)
}

fn verdict(args: &CheckArgs, loaded: &Loaded, findings: &[Finding]) -> Exit {
    let worst = findings.iter().map(|finding| finding.mark).max();
    let has_warnings = !loaded.config.warnings.is_empty() || worst == Some(Mark::Warning);
    match (worst, args.strict && has_warnings) {
        (Some(Mark::Bad), _) => Exit::Failed,
        (Some(Mark::Good | Mark::Warning) | None, true) => Exit::No,
        (Some(Mark::Good | Mark::Warning) | None, false) => Exit::Fine,
    }
}

/// What the machine has to say, as far as it was asked.
fn look(named: &[PathBuf], args: &CheckArgs, loaded: &Loaded) -> Vec<Finding> {
    let config = &loaded.config;
    let files: Vec<PathBuf> = loaded
        .files
        .found
        .iter()
        .map(|found| found.path.clone())
        .collect();
    let now = SystemTime::now();
    let mut findings = access::open_secrets(config);
    findings.extend(certificates::files(config, now));
    if args.deep {
        findings.extend(names::names(config));
        findings.extend(certificates::held(config, named, now));
    }
    if args.deep || args.ports {
        findings.extend(ports::ports(config));
    }
    if args.deep {
        findings.extend(upstreams::upstreams(config));
    }
    if let Some(name) = &args.unit {
        findings.extend(unit::unit(name, config, &files));
    }
    findings.extend(as_service(args, config, &files));
    findings
}

/// The trial of every named path as the service's user: as root alone, for nobody else may become another.
fn as_service(args: &CheckArgs, config: &Config, files: &[PathBuf]) -> Vec<Finding> {
    if !rustix::process::geteuid().is_root() {
        return match &args.user {
            Some(user) => vec![
                Finding::new(
                    Mark::Warning,
                    "access",
                    user,
                    "only root can try as another user",
                )
                .mend("sudo hotgate check"),
            ],
            None => Vec::new(),
        };
    }
    let of_unit = || {
        let name = args.unit.as_deref().unwrap_or("hotgate.service");
        unit::read(name).and_then(|unit| unit.user().map(str::to_owned))
    };
    let wanted = args.user.clone().or_else(of_unit);
    let name = wanted.as_deref().unwrap_or(USER);
    match users::user(name) {
        Some(user) if user.uid == 0 => Vec::new(),
        Some(user) => access::access_of(&user, config, files),
        None if wanted.is_some() => vec![
            Finding::new(Mark::Bad, "access", name, "there is no such user")
                .mend(format!("adduser --system --group --no-create-home {name}")),
        ],
        None => Vec::new(),
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
            let findings = look(named, args, &loaded);
            print_facts(json!({
                "ok": findings.iter().all(|finding| finding.mark != Mark::Bad),
                "files": loaded.files.found.iter().map(|found| shown(&found.path)).collect::<Vec<_>>(),
                "sites": config.sites.len(),
                "paths": config.sites.iter().map(|site| site.routes.len()).sum::<usize>(),
                "listeners": listeners.collect::<Vec<_>>(),
                "diagnostics": config.warnings.iter().map(diagnostic).collect::<Vec<_>>(),
                "findings": findings.iter().map(|finding| json!({
                    "mark": finding.mark.as_str(),
                    "code": finding.code,
                    "subject": finding.subject,
                    "what": config.secrets.mask(&finding.what),
                    "mend": finding.mend,
                })).collect::<Vec<_>>(),
                "dump": args.dump.then(|| config.dump()),
            }));
            verdict(args, &loaded, &findings)
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
