//! `hotgate certs renew NAME`: a new certificate now, whatever is left of the one that is held.
//!
//! The running hotgate orders it, because the authority looks at its ports: the request is left in the state folder
//! (`control/acme/renewals`), and the outcome is read from the book.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use serde_json::json;

use super::Exit;
use super::files::read;
use super::json::print_facts;
use super::state::store;
use super::talk::{mention, print, say};
use crate::config::Config;
use crate::control::acme::renewals;
use crate::control::certificates::book::{Attempt, Book};
use crate::control::certificates::name::CertName;
use crate::control::certificates::needs::acme_names;
use crate::control::certificates::storage::Storage;

/// A running hotgate looks for requests every two seconds; one that has not after this does not run.
const TAKEN_LIMIT: Duration = Duration::from_secs(8);
/// How long the outcome is waited for: a record of dns-01 may take three minutes to be seen.
const OUTCOME_LIMIT: Duration = Duration::from_secs(300);
/// Between two looks.
const LOOK_PAUSE: Duration = Duration::from_millis(200);

/// What `certs renew` takes.
#[derive(clap::Args)]
pub(super) struct RenewArgs {
    /// A host, or the name of a certificate: `*.example.com`
    #[arg(value_name = "NAME")]
    name: String,
}

/// What became of it.
enum Outcome {
    Renewed { good_for_seconds: u64 },
    Failed(String),
    NoWord,
}

/// Asks, and waits for what becomes of it.
pub(super) fn renew(named: &[PathBuf], args: &RenewArgs, is_json: bool) -> Exit {
    let config = match read(named) {
        Ok(loaded) => loaded.config,
        Err(exit) => return exit,
    };
    let Some(name) = wanted(&config, &args.name) else {
        say(&format!(
            "no site gets a certificate for {} by ACME\n  = try: hotgate certs",
            args.name.escape_default()
        ));
        return Exit::No;
    };
    let store = match store(named) {
        Ok(store) => store,
        Err(exit) => return exit,
    };
    let before = Standing::of(&store, &config, &name);
    if let Err(error) = renewals::ask(store.as_ref(), &name) {
        say(&format!("cannot ask for {name}: {error}"));
        return Exit::Failed;
    }
    if !until(TAKEN_LIMIT, || !renewals::is_waiting(store.as_ref(), &name)) {
        say(&format!(
            "no hotgate runs with this state folder; {name} is renewed when one starts\n  = try: systemctl start hotgate"
        ));
        return Exit::NotRunning;
    }
    mention(&format!(
        "asked for; waiting for the certificate for {name}"
    ));
    tell(&name, &outcome(&store, &config, &name, &before), is_json)
}

/// The certificate that a name means: its own, or the wildcard that stands for it.
fn wanted(config: &Config, text: &str) -> Option<CertName> {
    let asked = CertName::parse(text)?;
    let names = acme_names(config);
    let own = names.iter().find(|name| **name == asked);
    own.or_else(|| names.iter().find(|name| name.covers(&asked)))
        .cloned()
}

/// How it is with a name.
#[derive(PartialEq)]
struct Standing {
    fingerprint: Option<u64>,
    not_after: Option<SystemTime>,
    attempt: Option<Attempt>,
}

impl Standing {
    fn of(store: &Arc<dyn Storage>, config: &Config, name: &CertName) -> Standing {
        let (book, _) = Book::open(store.clone(), &config.acme.ca);
        let held = book.current(name, SystemTime::now());
        Standing {
            fingerprint: held.as_ref().map(|held| held.pair.fingerprint),
            not_after: held.map(|held| held.pair.leaf.not_after),
            attempt: book.attempt(name),
        }
    }
}

fn outcome(
    store: &Arc<dyn Storage>,
    config: &Config,
    name: &CertName,
    before: &Standing,
) -> Outcome {
    let mut found = Outcome::NoWord;
    until(OUTCOME_LIMIT, || {
        let now = Standing::of(store, config, name);
        if let (true, Some(not_after)) = (now.fingerprint != before.fingerprint, now.not_after) {
            let left = not_after
                .duration_since(SystemTime::now())
                .unwrap_or_default();
            found = Outcome::Renewed {
                good_for_seconds: left.as_secs(),
            };
            return true;
        }
        match now.attempt {
            Some(attempt) if Some(&attempt) != before.attempt.as_ref() => {
                let Some(error) = attempt.error else {
                    return false;
                };
                found = Outcome::Failed(error);
                true
            }
            Some(_) | None => false,
        }
    });
    found
}

fn tell(name: &CertName, outcome: &Outcome, is_json: bool) -> Exit {
    let (state, error, exit) = match outcome {
        Outcome::Renewed { .. } => ("renewed", None, Exit::Fine),
        Outcome::Failed(error) => ("failed", Some(error.as_str()), Exit::Failed),
        Outcome::NoWord => ("waiting", None, Exit::Failed),
    };
    if is_json {
        print_facts(json!({ "name": name.to_string(), "state": state, "error": error }));
        return exit;
    }
    match outcome {
        Outcome::Renewed { good_for_seconds } => {
            print(&format!(
                "✓ {name}: renewed, good for {} h\n",
                good_for_seconds / 3600
            ));
        }
        Outcome::Failed(error) => say(&format!("✗ {name}: {error}\n  = try: hotgate certs {name}")),
        Outcome::NoWord => say(&format!(
            "✗ {name}: no word within {} s; the authority's limits may hold it back\n  = try: hotgate certs {name}",
            OUTCOME_LIMIT.as_secs()
        )),
    }
    exit
}

/// Looks again and again until it is so. `false`: not within the limit.
fn until(limit: Duration, mut is_so: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + limit;
    loop {
        if is_so() {
            return true;
        }
        if Instant::now() >= end {
            return false;
        }
        std::thread::park_timeout(LOOK_PAUSE);
    }
}
