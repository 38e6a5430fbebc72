//! From the configuration and what is held to what the listeners serve.
//!
//! ```text
//!   site ── need ──► files ─────────────┐
//!                    book, by name ─────┼──► keys ──┐
//!                    local CA, a leaf ──┘           ├──► Served, one for each pair of both ──► entries of the listeners
//!         client_auth ── authorities ──► policy ────┘
//! ```
//!
//! A site whose pair or client authorities cannot be used is quarantined: it alone has no certificate. Whom it lets in is
//! never guessed: without the authorities that it names nobody is served.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use super::book::Book;
use super::fault::Fault;
use super::files::PemFiles;
use super::local_ca::LocalCa;
use super::name::CertName;
use super::needs::{self, Need, need_of, site_name};
use super::pem::Pair;
use crate::config::{ClientAuth, Config, HostPattern, ListenerKind, Site};
use crate::serve::certificate_states::{CertificateState, CertificateStates};
use crate::tls::certs::{Certificates, CertificatesBuilder, Entry, Served};
use crate::tls::policy::{ClientPolicy, Policies, Policy, PolicyId};

/// What workers get, and what people are told.
pub struct Publication {
    /// What the listeners serve.
    pub certificates: Arc<Certificates>,
    /// Which sites have one.
    pub states: Arc<CertificateStates>,
    /// What deserves a word, in the order of the sites; each names its site where the file does not say it.
    pub remarks: Vec<Fault>,
    /// When a leaf of the local CA is due; `None`: there is none.
    pub due: Option<SystemTime>,
}

/// Makes publications, and keeps what they have in common from one to the next.
pub struct Publisher {
    policies: Policies,
    /// Files of the configuration; loaded anew by whoever watches them.
    pub files: PemFiles,
    local_ca: Option<Result<LocalCa, Fault>>,
    leaves: HashMap<CertName, Arc<Pair>>,
    served: HashMap<ServedKey, Arc<Served>>,
}

/// What makes two things that are served the same.
type ServedKey = (Vec<u64>, PolicyId, bool);

/// How it is with one site.
struct OfSite {
    entry: Entry,
    state: CertificateState,
}

impl Default for Publisher {
    fn default() -> Publisher {
        Publisher::new()
    }
}

impl Publisher {
    /// With nothing in common yet.
    pub fn new() -> Publisher {
        Publisher {
            policies: Policies::new(),
            files: PemFiles::default(),
            local_ca: None,
            leaves: HashMap::new(),
            served: HashMap::new(),
        }
    }

    /// Takes up the local CA again, which may have been made anew by another process. Has it changed?
    pub fn look_at_local_ca(&mut self, book: &Book) -> bool {
        let Some(before) = &self.local_ca else {
            return false;
        };
        let now = LocalCa::find(book.storage().as_ref());
        let is_same = match (before, &now) {
            (Ok(before), Ok(Some(now))) => before.root_pem() == now.root_pem(),
            (Err(before), Err(now)) => before == now,
            // One that is gone is made when the next leaf is needed.
            (Ok(_) | Err(_), Ok(None)) => true,
            (Ok(_), Err(_)) | (Err(_), Ok(Some(_))) => false,
        };
        // What cannot be used does not replace what can.
        if is_same || (before.is_ok() && now.is_err()) {
            return false;
        }
        self.leaves.clear();
        self.local_ca = None;
        true
    }

    /// What is to be served now.
    pub fn publish(&mut self, config: &Config, book: &Book, now: SystemTime) -> Publication {
        let mut remarks = Vec::new();
        let mut served = HashMap::new();
        let mut leaves = HashMap::new();
        let mut of_sites = Vec::new();
        for site in &config.sites {
            let of_site = self.of_site(
                config,
                site,
                book,
                now,
                &mut Makings {
                    remarks: &mut remarks,
                    served: &mut served,
                    leaves: &mut leaves,
                },
            );
            of_sites.push(of_site);
        }
        // What no site has any more is forgotten.
        (self.served, self.leaves) = (served, leaves);
        let due = self.leaves.values().map(|pair| pair.leaf.renewal()).min();
        let certificates = entries(config, &of_sites);
        let states = of_sites.into_iter().map(|of_site| of_site.state).collect();
        Publication {
            certificates: Arc::new(certificates),
            states: Arc::new(CertificateStates::new(states)),
            remarks,
            due,
        }
    }

    fn of_site(
        &mut self,
        config: &Config,
        site: &Site,
        book: &Book,
        now: SystemTime,
        makings: &mut Makings,
    ) -> OfSite {
        let quarantined = |entry: Entry, fault: Fault, makings: &mut Makings| {
            makings.remarks.push(Fault {
                what: format!("site \"{}\" is quarantined: {}", site.name, fault.what),
                mend: fault.mend,
            });
            OfSite {
                entry,
                state: CertificateState::Unusable,
            }
        };
        let name = site_name(site);
        let need = need_of(config, site);
        let is_by_choice = matches!(need, Need::Files(_));
        let pairs = match need {
            Need::Nothing => {
                return OfSite {
                    entry: Entry::Missing,
                    state: CertificateState::Held,
                };
            }
            Need::Acme(asked) => match self.acme(&asked, book, now) {
                Ok(pair) => vec![pair],
                Err(state) => {
                    return OfSite {
                        entry: Entry::Missing,
                        state,
                    };
                }
            },
            Need::Local(name) => match self.leaf(config, &name, book, now, makings) {
                Ok(pair) => vec![pair],
                Err(fault) => return quarantined(Entry::Missing, fault, makings),
            },
            Need::Files(files) => {
                let (mut good, mut faults) = (Vec::new(), Vec::new());
                for file in &files {
                    match self.files.pair(file) {
                        Ok(pair) => good.push(pair),
                        Err(fault) => faults.push(fault),
                    }
                }
                if good.is_empty() {
                    let fault = faults.into_iter().next();
                    return quarantined(
                        Entry::Missing,
                        fault.unwrap_or_else(|| Fault::new("it has no certificate")),
                        makings,
                    );
                }
                makings.remarks.extend(faults);
                good
            }
        };
        if is_by_choice {
            makings.remarks.extend(
                pairs
                    .iter()
                    .flat_map(|pair| pair.remarks(now, name.as_ref())),
            );
        }
        let policy = match self.policy(&site.tls.client_auth) {
            Ok(policy) => policy,
            Err(fault) => return quarantined(Entry::Refused, fault, makings),
        };
        match self.served(&pairs, policy, is_by_choice, makings) {
            Ok(served) => OfSite {
                entry: Entry::Held(served),
                state: CertificateState::Held,
            },
            Err(fault) => quarantined(Entry::Missing, fault, makings),
        }
    }

    fn acme(
        &self,
        asked: &CertName,
        book: &Book,
        now: SystemTime,
    ) -> Result<Arc<Pair>, CertificateState> {
        if let Some(held) = book.held(asked, now) {
            return Ok(held.pair.clone());
        }
        let attempt = book.attempt(asked);
        Err(match attempt {
            Some(attempt) if attempt.next.is_some() => CertificateState::Failed {
                sentence: attempt.error.unwrap_or_default().into(),
            },
            Some(attempt) => CertificateState::Obtaining {
                attempt: attempt.number,
                began: seconds(attempt.began),
            },
            None => CertificateState::Obtaining {
                attempt: 1,
                began: seconds(now),
            },
        })
    }

    /// A leaf of the local CA: the one that there is until two thirds of its time are over.
    fn leaf(
        &mut self,
        config: &Config,
        name: &CertName,
        book: &Book,
        now: SystemTime,
        makings: &mut Makings,
    ) -> Result<Arc<Pair>, Fault> {
        // A failure is not final: the disk that was full may have room again.
        if !matches!(self.local_ca, Some(Ok(_))) {
            let single_labels = needs::single_labels(config);
            self.local_ca = Some(LocalCa::open(book.storage().as_ref(), &single_labels, now));
        }
        let ca = match &self.local_ca {
            Some(Ok(ca)) => ca,
            Some(Err(fault)) => return Err(fault.clone()),
            None => return Err(Fault::new("there is no local CA")),
        };
        makings.remarks.extend(ca.remark(name));
        let known = makings
            .leaves
            .get(name)
            .or_else(|| self.leaves.get(name))
            .cloned();
        // A clock that was set back makes it one of the future.
        let is_fresh = |pair: &Arc<Pair>| pair.leaf.not_before <= now && now < pair.leaf.renewal();
        let pair = match known.filter(is_fresh) {
            Some(pair) => pair,
            None => Arc::new(ca.issue(name, now)?),
        };
        makings.leaves.insert(name.clone(), pair.clone());
        Ok(pair)
    }

    fn policy(&self, auth: &ClientAuth) -> Result<Arc<Policy>, Fault> {
        let (rule, path) = match auth {
            ClientAuth::Off => (ClientPolicy::Off, None),
            ClientAuth::Request(path) => (
                ClientPolicy::Request(self.files.authorities(path)?),
                Some(path),
            ),
            ClientAuth::Require(path) => (
                ClientPolicy::Require(self.files.authorities(path)?),
                Some(path),
            ),
        };
        self.policies.of(&rule).map_err(|error| {
            let of = path
                .map(|path| format!(" of {}", path.display()))
                .unwrap_or_default();
            Fault::new(format!(
                "the client authentication{of} cannot be used: {error}"
            ))
        })
    }

    fn served(
        &self,
        pairs: &[Arc<Pair>],
        policy: Arc<Policy>,
        is_by_choice: bool,
        makings: &mut Makings,
    ) -> Result<Arc<Served>, Fault> {
        let fingerprints = pairs.iter().map(|pair| pair.fingerprint).collect();
        let key: ServedKey = (fingerprints, policy.id(), is_by_choice);
        let known = makings
            .served
            .get(&key)
            .or_else(|| self.served.get(&key))
            .cloned();
        let served = match known {
            Some(served) => served,
            None => {
                let keys = pairs.iter().map(|pair| pair.keys.clone()).collect();
                let made = Served::new(keys, policy, is_by_choice);
                Arc::new(made.map_err(|error| {
                    let place = pairs.first().map_or("", |pair| pair.place.as_str());
                    Fault::new(format!(
                        "the certificate in {place} cannot be served: {error}"
                    ))
                })?)
            }
        };
        makings.served.insert(key, served.clone());
        Ok(served)
    }
}

/// What one publication gathers.
struct Makings<'a> {
    remarks: &'a mut Vec<Fault>,
    served: &'a mut HashMap<ServedKey, Arc<Served>>,
    leaves: &'a mut HashMap<CertName, Arc<Pair>>,
}

/// The entries of every listener, in the order of [`Config::listeners`].
fn entries(config: &Config, of_sites: &[OfSite]) -> Certificates {
    let mut builder = CertificatesBuilder::new();
    for listener in config.listeners() {
        let index = builder.add_listener();
        if listener.kind == ListenerKind::Plain {
            continue;
        }
        for number in listener.sites {
            let entry = || of_sites[number].entry.clone();
            match &config.sites[number].host {
                HostPattern::Exact(host) => {
                    builder.exact(index, host, entry());
                    if let Some(ip) = host.ip() {
                        builder.address(index, ip, entry());
                    }
                }
                HostPattern::Wildcard(domain) => builder.wildcard(index, domain, entry()),
                HostPattern::Any => builder.fallback(index, entry()),
            }
        }
    }
    builder.build()
}

fn seconds(moment: SystemTime) -> u64 {
    moment
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs()
}
