//! The PEM files that the configuration names, as they were last good.
//!
//! A file that has changed is loaded when it is good; while it is not, what was loaded before stays in use. A pair is
//! read as two files that somebody else replaces one after the other, so a key that does not match yet is looked at
//! again before a word is said.

use std::collections::HashMap;
use std::hash::Hash;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::RootCertStore;
use tokio::time::sleep;

use super::fault::Fault;
use super::pem::{self, Pair};
use crate::config::{ClientAuth, Config, PemPair};

/// How long a pair may be half replaced before a word is said.
pub const PATIENCE: Duration = Duration::from_secs(1);

/// All files that a configuration names for TLS.
#[derive(Default)]
pub struct PemFiles {
    pairs: Shelf<(PathBuf, PathBuf), Pair>,
    authorities: Shelf<PathBuf, RootCertStore>,
}

/// Files that are named.
#[derive(Default)]
pub struct Named {
    /// Chains and the keys that go with them.
    pub pairs: Vec<(PathBuf, PathBuf)>,
    /// Whom to believe.
    pub authorities: Vec<PathBuf>,
}

/// What each key was last loaded as.
struct Shelf<K, V> {
    loaded: HashMap<K, Loaded<V>>,
}

/// What was loaded, and what is wrong with it now.
struct Loaded<V> {
    good: Option<Arc<V>>,
    fault: Option<Fault>,
}

/// What a look at the files found.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Something is to be published anew.
    pub is_new: bool,
    /// What is told of each: loaded, or wrong and the old one kept.
    pub told: Vec<Told>,
}

/// What is told of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// It has changed and is in use.
    Loaded(String),
    /// It has changed and cannot be used.
    Faulty(String, Fault),
}

impl PemFiles {
    /// Loads what the sites of this configuration name, and forgets the rest.
    pub fn load(&mut self, config: &Config) -> Changes {
        self.load_named(Named::by_sites(config))
    }

    /// Loads these files, and forgets the rest.
    pub fn load_named(&mut self, named: Named) -> Changes {
        let mut changes = Changes::default();
        let Named { pairs, authorities } = named;
        let load_pair = |(cert, key): &(PathBuf, PathBuf)| pem::load(cert, key);
        let is_same = |one: &Pair, other: &Pair| one.fingerprint == other.fingerprint;
        self.pairs.refresh(pairs, load_pair, is_same, &mut changes);
        let load_roots = |path: &PathBuf| pem::load_authorities(path).map(Arc::unwrap_or_clone);
        let is_same = |one: &RootCertStore, other: &RootCertStore| one.roots == other.roots;
        self.authorities
            .refresh(authorities, load_roots, is_same, &mut changes);
        changes
    }

    /// A pair as it was last good; the fault of its files where there was none yet.
    ///
    /// # Errors
    ///
    /// No good one was ever there.
    pub fn pair(&self, pair: &PemPair) -> Result<Arc<Pair>, Fault> {
        self.pairs.good(&(pair.cert.clone(), pair.key.clone()))
    }

    /// The authorities of a file as it was last good.
    ///
    /// # Errors
    ///
    /// No good one was ever there.
    pub fn authorities(&self, path: &Path) -> Result<Arc<RootCertStore>, Fault> {
        self.authorities.good(&path.to_owned())
    }
}

/// Loads, and once more a moment later where something is faulty: a pair is two files, which somebody replaces one after
/// the other.
pub async fn load_patiently(mut load: impl FnMut() -> Changes) -> Changes {
    let mut changes = load();
    let is_faulty = |told: &Told| matches!(told, Told::Faulty(..));
    if !changes.told.iter().any(is_faulty) {
        return changes;
    }
    sleep(PATIENCE).await;
    let later = load();
    let is_mended = |told: &Told| {
        let Told::Faulty(file, _) = told else {
            return false;
        };
        let mut later = later.told.iter();
        later.any(|later| matches!(later, Told::Loaded(mended) if mended == file))
    };
    changes.told.retain(|told| !is_mended(told));
    changes.told.extend(later.told.clone());
    changes.is_new |= later.is_new;
    changes
}

impl Changes {
    /// Logs what there is to tell.
    pub fn tell(&self) {
        for told in &self.told {
            match told {
                Told::Loaded(file) => tracing::info!("{file} has changed and is in use"),
                Told::Faulty(_, fault) => tracing::warn!("{fault}"),
            }
        }
    }
}

impl<K, V> Default for Shelf<K, V> {
    fn default() -> Shelf<K, V> {
        Shelf {
            loaded: HashMap::new(),
        }
    }
}

impl<K: Hash + Eq + ShownFile, V> Shelf<K, V> {
    fn refresh(
        &mut self,
        named: Vec<K>,
        load: impl Fn(&K) -> Result<V, Fault>,
        is_same: impl Fn(&V, &V) -> bool,
        changes: &mut Changes,
    ) {
        let mut before = std::mem::take(&mut self.loaded);
        for key in named {
            if self.loaded.contains_key(&key) {
                continue;
            }
            let old = before.remove(&key);
            let is_first = old.is_none();
            let old = old.unwrap_or(Loaded {
                good: None,
                fault: None,
            });
            let now = match load(&key) {
                Ok(value) => {
                    let is_unchanged = old.good.as_ref().is_some_and(|good| is_same(good, &value));
                    if !is_unchanged {
                        changes.is_new = true;
                    }
                    if !is_first && (!is_unchanged || old.fault.is_some()) {
                        changes.told.push(Told::Loaded(key.shown()));
                    }
                    let good = if is_unchanged {
                        old.good
                    } else {
                        Some(Arc::new(value))
                    };
                    Loaded { good, fault: None }
                }
                Err(fault) => {
                    if old.fault.as_ref() != Some(&fault) {
                        let sentence = match old.good {
                            Some(_) => Fault {
                                what: format!("{}; the one before stays in use", fault.what),
                                mend: fault.mend.clone(),
                            },
                            None => fault.clone(),
                        };
                        changes.told.push(Told::Faulty(key.shown(), sentence));
                        // Another sentence for the site's state.
                        changes.is_new |= old.good.is_none();
                    }
                    Loaded {
                        good: old.good,
                        fault: Some(fault),
                    }
                }
            };
            self.loaded.insert(key, now);
        }
    }

    fn good(&self, key: &K) -> Result<Arc<V>, Fault> {
        match self.loaded.get(key) {
            Some(Loaded {
                good: Some(good), ..
            }) => Ok(good.clone()),
            Some(Loaded {
                fault: Some(fault), ..
            }) => Err(fault.clone()),
            Some(Loaded {
                good: None,
                fault: None,
            })
            | None => Err(Fault::new(format!("{} was not loaded", key.shown()))),
        }
    }
}

/// How a key of a shelf is told.
trait ShownFile {
    fn shown(&self) -> String;
}

impl ShownFile for (PathBuf, PathBuf) {
    fn shown(&self) -> String {
        self.0.display().to_string()
    }
}

impl ShownFile for PathBuf {
    fn shown(&self) -> String {
        self.display().to_string()
    }
}

/// The file of authorities that a site's clients are verified by.
pub fn client_ca(auth: &ClientAuth) -> Option<&PathBuf> {
    match auth {
        ClientAuth::Off => None,
        ClientAuth::Request(path) | ClientAuth::Require(path) => Some(path),
    }
}

impl Named {
    /// What the sites of a configuration name.
    pub fn by_sites(config: &Config) -> Named {
        let mut named = Named::default();
        for site in config.sites.iter().filter(|site| site.is_https()) {
            if let crate::config::CertificateSource::Files(pairs) = &site.tls.source {
                pairs.iter().for_each(|pair| named.add_pair(pair));
            }
            named
                .authorities
                .extend(client_ca(&site.tls.client_auth).cloned());
        }
        named
    }

    /// One more pair.
    pub fn add_pair(&mut self, pair: &PemPair) {
        self.pairs.push((pair.cert.clone(), pair.key.clone()));
    }

    /// Every file, once.
    pub fn paths(self) -> Vec<PathBuf> {
        let mut paths = self.authorities;
        paths.extend(self.pairs.into_iter().flat_map(|(cert, key)| [cert, key]));
        paths.sort();
        paths.dedup();
        paths
    }
}
