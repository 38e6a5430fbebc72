//! How it is with each certificate that the configuration needs, for people: read from the state folder and the files.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use super::book::{Attempt, Book, Held, Origin};
use super::fault::Fault;
use super::files::PemFiles;
use super::leaf::Leaf;
use super::local_ca::LocalCa;
use super::name::CertName;
use super::needs::{Need, need_of, site_name};
use super::pem::span;
use crate::config::{Config, Site};

/// One certificate and the sites that need it.
#[derive(Debug)]
pub struct Row {
    /// What it is asked for, or the first of the site's files.
    pub name: String,
    /// The sites, as their keys are written.
    pub sites: Vec<String>,
    /// Where it is from.
    pub source: Source,
    /// How it is with it.
    pub state: State,
    /// What it says, where there is one.
    pub leaf: Option<Leaf>,
    /// Where its chain is, as it is shown; may be empty.
    pub place: String,
    /// When it is renewed, where that is hotgate's part.
    pub renewal: Option<SystemTime>,
    /// What deserves a word, or why it cannot be used.
    pub remarks: Vec<Fault>,
    /// The tries since the last success.
    pub attempt: Option<Attempt>,
}

/// Where a certificate is from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// By ACME.
    Acme,
    /// `hotgate certs import`.
    Imported,
    /// Files of the configuration.
    Files,
    /// The local CA.
    LocalCa,
}

/// How it is with a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It is held and valid.
    Held,
    /// It is held, and clients refuse it: its time is over or has not begun.
    OutOfDate,
    /// None is held, and none was refused.
    Obtaining,
    /// None is held, and the last try failed.
    Failed,
    /// What the configuration names cannot be used.
    Unusable,
}

impl Source {
    /// As `--json` has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Source::Acme => "acme",
            Source::Imported => "imported",
            Source::Files => "files",
            Source::LocalCa => "local_ca",
        }
    }
}

impl State {
    /// As `--json` has it.
    pub fn as_str(self) -> &'static str {
        match self {
            State::Held => "held",
            State::OutOfDate => "out_of_date",
            State::Obtaining => "obtaining",
            State::Failed => "failed",
            State::Unusable => "unusable",
        }
    }

    /// Is the site served?
    pub fn is_good(self) -> bool {
        self == State::Held
    }
}

/// Every certificate that is needed, in the order of the sites. `local_ca` is what was found of it.
pub fn report(
    config: &Config,
    book: &Book,
    files: &PemFiles,
    local_ca: &Result<Option<LocalCa>, Fault>,
    now: SystemTime,
) -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    let mut known: BTreeMap<String, usize> = BTreeMap::new();
    for site in &config.sites {
        let found = match need_of(config, site) {
            Need::Nothing => continue,
            Need::Acme(name) => vec![by_acme(&name, book, now)],
            Need::Local(name) => vec![by_local_ca(&name, local_ca)],
            Need::Files(pairs) => {
                let of_pair =
                    |pair| by_files(site, files.pair(pair), pair.cert.display().to_string(), now);
                pairs.iter().map(of_pair).collect()
            }
        };
        for mut row in found {
            if let Some(path) = super::files::client_ca(&site.tls.client_auth)
                && let Err(fault) = files.authorities(path)
            {
                row.state = State::Unusable;
                row.remarks.push(fault);
            }
            let is_own = row.source == Source::Files;
            let key = if is_own {
                format!("{} {}", row.place, site.name)
            } else {
                row.name.clone()
            };
            match known.get(&key) {
                Some(index) => rows[*index].sites.push(site.name.clone()),
                None => {
                    known.insert(key, rows.len());
                    row.sites.push(site.name.clone());
                    rows.push(row);
                }
            }
        }
    }
    rows
}

fn by_acme(name: &CertName, book: &Book, now: SystemTime) -> Row {
    let attempt = book.attempt(name);
    let has_failed = attempt
        .as_ref()
        .is_some_and(|attempt| attempt.error.is_some());
    let held = book.held(name, now);
    let state = match (&held, has_failed) {
        (Some(held), _) => state_of(&held.pair.leaf, now),
        (None, true) => State::Failed,
        (None, false) => State::Obtaining,
    };
    let origin = |held: &Held| match held.origin {
        Origin::Acme | Origin::OtherAuthority => Source::Acme,
        Origin::Imported => Source::Imported,
    };
    let mut remarks = Vec::new();
    if let Some(held) = &held
        && held.origin == Origin::OtherAuthority
    {
        remarks.push(Fault::new(format!(
            "it is from an authority that is no longer asked; one from {} follows",
            book.authority_place().trim_start_matches("acme/")
        )));
    }
    Row {
        name: name.to_string(),
        sites: Vec::new(),
        source: held.as_deref().map_or(Source::Acme, origin),
        state,
        leaf: held.as_ref().map(|held| held.pair.leaf.clone()),
        place: held
            .as_ref()
            .map(|held| held.pair.place.clone())
            .unwrap_or_default(),
        renewal: held.as_ref().map(|held| held.pair.leaf.renewal()),
        remarks,
        attempt,
    }
}

fn by_local_ca(name: &CertName, local_ca: &Result<Option<LocalCa>, Fault>) -> Row {
    let (state, remarks) = match local_ca {
        Ok(ca) => (
            State::Held,
            ca.as_ref()
                .and_then(|ca| ca.remark(name))
                .into_iter()
                .collect(),
        ),
        Err(fault) => (State::Unusable, vec![fault.clone()]),
    };
    Row {
        name: name.to_string(),
        sites: Vec::new(),
        source: Source::LocalCa,
        state,
        leaf: None,
        place: String::new(),
        renewal: None,
        remarks,
        attempt: None,
    }
}

fn by_files(
    site: &Site,
    pair: Result<std::sync::Arc<super::pem::Pair>, Fault>,
    cert: String,
    now: SystemTime,
) -> Row {
    let name = site_name(site);
    let (state, leaf, remarks) = match pair {
        Ok(pair) => (
            state_of(&pair.leaf, now),
            Some(pair.leaf.clone()),
            pair.remarks(now, name.as_ref()),
        ),
        Err(fault) => (State::Unusable, None, vec![fault]),
    };
    Row {
        name: name.map_or_else(|| site.name.clone(), |name| name.to_string()),
        sites: Vec::new(),
        source: Source::Files,
        state,
        leaf,
        place: cert,
        renewal: None,
        remarks,
        attempt: None,
    }
}

fn state_of(leaf: &Leaf, now: SystemTime) -> State {
    match leaf.not_before <= now && now < leaf.not_after {
        true => State::Held,
        false => State::OutOfDate,
    }
}

impl Row {
    /// How it is with it, in a few words.
    pub fn words(&self, now: SystemTime) -> String {
        let mut words = Vec::new();
        match self.state {
            State::Held | State::OutOfDate => {}
            State::Obtaining => words.push("being obtained, or hotgate does not run".to_owned()),
            State::Failed => words.push("not obtained".to_owned()),
            State::Unusable => words.push("cannot be used; the site answers 503".to_owned()),
        }
        match (self.source, self.state) {
            (Source::LocalCa, State::Held) => {
                words.push(
                    "local CA, made when hotgate starts and again every five days".to_owned(),
                );
            }
            (_, State::Held | State::OutOfDate) => words.extend(self.dates(now)),
            (_, State::Obtaining | State::Failed | State::Unusable) => {}
        }
        if let Some(attempt) = &self.attempt
            && attempt.error.is_some()
        {
            let again = attempt.next.map(|next| match next.duration_since(now) {
                Ok(left) => format!("tried again in {}", span(left)),
                Err(_) => "to be tried again now".to_owned(),
            });
            let number = attempt.number;
            words.push(format!(
                "{number} {} failed",
                if number == 1 { "try" } else { "tries" }
            ));
            words.extend(again);
        }
        words.join(", ")
    }

    fn dates(&self, now: SystemTime) -> Vec<String> {
        let Some(leaf) = &self.leaf else {
            return Vec::new();
        };
        let mut words = vec![match self.source {
            Source::Imported => format!("imported, from {}", leaf.issuer),
            Source::Acme | Source::Files | Source::LocalCa => format!("from {}", leaf.issuer),
        }];
        words.push(
            match (
                leaf.not_after.duration_since(now),
                leaf.not_before.duration_since(now),
            ) {
                (Err(past), _) => format!("EXPIRED {} ago", span(past.duration())),
                (Ok(_), Ok(ahead)) if ahead > Duration::ZERO => {
                    format!("NOT VALID for another {}", span(ahead))
                }
                (Ok(left), _) => format!("{} left", span(left)),
            },
        );
        words.push(match (self.renewal, self.source) {
            (Some(renewal), _) => match renewal.duration_since(now) {
                Ok(left) if !left.is_zero() => format!("renewal in {}", span(left)),
                Ok(_) | Err(_) => "renewal is due".to_owned(),
            },
            (None, Source::Files) => "renewed by whoever writes the file".to_owned(),
            (None, _) => return words,
        });
        words
    }
}
