//! What is held and what is being tried: certificates from ACME and imported ones, with the last failure of each name.
//!
//! ```text
//!   acme/AUTHORITY/certificates/NAME/{chain.pem, key.pem, meta.json}    one for each name, put here by `install`
//!   acme/AUTHORITY/attempts/NAME.json                                   while it fails: why, and when it is tried again
//!   imported/NAME/{chain.pem, key.pem, meta.json}                       by `hotgate certs import`
//! ```
//!
//! The book is read whole at the start, so what is held is served at once, whatever the authority does. It belongs to
//! the control thread's tasks in common; `hotgate certs` opens one of its own over the same folder.
//!
//! Whatever names a site may be served for it: the one that was asked for under this name first, then an imported one,
//! then what another authority gave out before the configuration named this one. One that is valid today comes before
//! one that is not.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use tokio::sync::Notify;

use super::fault::Fault;
use super::name::CertName;
use super::pem::{self, Pair};
use super::storage::{Files, Storage};

/// The files of a group.
pub const CHAIN: &str = "chain.pem";
/// The leaf's private key.
pub const KEY: &str = "key.pem";
/// What is to be known beside them.
const META: &str = "meta.json";
/// Where imported pairs are.
pub const IMPORTED: &str = "imported";

/// The certificates of this process, in common hands.
#[derive(Clone)]
pub struct Book {
    inner: Arc<Inner>,
}

struct Inner {
    storage: Arc<dyn Storage>,
    /// The folder of the authority that is asked now.
    authority: String,
    pages: Mutex<Pages>,
    changed: Notify,
}

#[derive(Default)]
struct Pages {
    held: Vec<Arc<Held>>,
    /// By each name that a leaf has.
    by_name: HashMap<CertName, Vec<Arc<Held>>>,
    attempts: HashMap<CertName, Attempt>,
}

/// A certificate that is held.
#[derive(Debug)]
pub struct Held {
    /// What it was asked for, or imported, as.
    pub name: CertName,
    /// The key and its chain.
    pub pair: Arc<Pair>,
    /// Where it is from.
    pub origin: Origin,
}

/// Where a held certificate is from. In the order of preference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// The authority that the configuration names.
    Acme,
    /// `hotgate certs import`.
    Imported,
    /// An authority that the configuration named before.
    OtherAuthority,
}

/// The tries to get a certificate that is not there, or is due: since the last that succeeded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// Which try it is, from 1.
    pub number: u32,
    /// When it began.
    pub began: SystemTime,
    /// Why the last one failed, in a sentence; `None` before the first has.
    pub error: Option<String>,
    /// When it is tried again; `None` while it is under way.
    pub next: Option<SystemTime>,
}

impl Book {
    /// Opens the book for the authority whose ACME directory is at this URL. What cannot be read is told and left out.
    pub fn open(storage: Arc<dyn Storage>, directory_url: &str) -> (Book, Vec<Fault>) {
        let authority = authority_folder(directory_url);
        let (mut pages, mut faults) = (Pages::default(), Vec::new());
        pages.read(storage.as_ref(), IMPORTED, Origin::Imported, &mut faults);
        let authorities = storage.places("acme").unwrap_or_else(|error| {
            faults.push(Fault::new(format!(
                "cannot list {}: {error}",
                storage.shown("acme")
            )));
            Vec::new()
        });
        for folder in authorities {
            let origin = match folder == authority {
                true => Origin::Acme,
                false => Origin::OtherAuthority,
            };
            let place = format!("acme/{folder}/certificates");
            pages.read(storage.as_ref(), &place, origin, &mut faults);
        }
        let inner = Inner {
            storage,
            authority,
            pages: Mutex::new(pages),
            changed: Notify::new(),
        };
        let book = Book {
            inner: Arc::new(inner),
        };
        (book, faults)
    }

    /// The folder of the authority's account, certificates and attempts, as a place in the store.
    pub fn authority_place(&self) -> String {
        format!("acme/{}", self.inner.authority)
    }

    /// Where it is all kept.
    pub fn storage(&self) -> &Arc<dyn Storage> {
        &self.inner.storage
    }

    /// Takes a certificate that the authority gave out: checks it, stores it as one step, and has it served.
    ///
    /// # Errors
    ///
    /// It cannot be served, or does not name what was asked for: nothing has changed. Or it could not be stored: then it
    /// is served all the same, until the process ends.
    pub fn install(&self, name: &CertName, chain_pem: &[u8], key_pem: &[u8]) -> Result<(), Fault> {
        let place = format!("{}/certificates/{}", self.authority_place(), name.folder());
        let pair = self.checked(&place, chain_pem, key_pem)?;
        if !pair.leaf.covers(name) {
            return Err(Fault::new(format!(
                "the authority's certificate does not name {name}"
            )));
        }
        let stored = self.store(
            &place,
            chain_pem,
            key_pem,
            json!({ "from": "acme", "authority": self.inner.authority }),
        );
        let held = Held {
            name: name.clone(),
            pair: Arc::new(pair),
            origin: Origin::Acme,
        };
        let mut pages = self.pages();
        pages.put(Arc::new(held));
        pages.attempts.remove(name);
        drop(pages);
        let forgotten = self.inner.storage.forget_file(&self.attempt_place(name));
        self.inner.changed.notify_one();
        stored?;
        forgotten
            .map_err(|error| Fault::new(format!("cannot forget the failures of {name}: {error}")))
    }

    /// Copies a pair into the book; it is called by the first name of its leaf.
    ///
    /// # Errors
    ///
    /// It cannot be served, names no host, or cannot be stored: nothing has changed.
    pub fn import(&self, from: &str, chain_pem: &[u8], key_pem: &[u8]) -> Result<Arc<Held>, Fault> {
        let read = pem::pair(from, chain_pem, from, key_pem)?;
        let Some(name) = read.leaf.names.first().cloned() else {
            return Err(
                Fault::new(format!("the certificate in {from} names no host"))
                    .mend("one with a subjectAltName; browsers look at nothing else"),
            );
        };
        let place = format!("{IMPORTED}/{}", name.folder());
        let pair = self.checked(&place, chain_pem, key_pem)?;
        self.store(&place, chain_pem, key_pem, json!({ "from": from }))?;
        let held = Arc::new(Held {
            name,
            pair: Arc::new(pair),
            origin: Origin::Imported,
        });
        self.pages().put(held.clone());
        self.inner.changed.notify_one();
        Ok(held)
    }

    /// A try to get this certificate begins.
    pub fn begun(&self, name: &CertName) {
        let mut pages = self.pages();
        let before = pages.attempts.get(name);
        let attempt = Attempt {
            number: before.map_or(0, |attempt| attempt.number).saturating_add(1),
            began: SystemTime::now(),
            error: before.and_then(|attempt| attempt.error.clone()),
            next: None,
        };
        pages.attempts.insert(name.clone(), attempt);
        drop(pages);
        self.inner.changed.notify_one();
    }

    /// The try that [`Book::begun`] told of has failed, for this reason, and is repeated at `next`. Told to later
    /// processes too, so that a restart does not make the authority's limits shorter.
    pub fn failed(&self, name: &CertName, sentence: &str, next: SystemTime) {
        let mut pages = self.pages();
        let before = pages.attempts.get(name);
        let attempt = Attempt {
            number: before.map_or(1, |attempt| attempt.number),
            began: before.map_or_else(SystemTime::now, |attempt| attempt.began),
            error: Some(sentence.to_owned()),
            next: Some(next),
        };
        pages.attempts.insert(name.clone(), attempt.clone());
        drop(pages);
        let text = format!("{:#}\n", attempt.to_json());
        if let Err(error) = self
            .inner
            .storage
            .put_file(&self.attempt_place(name), text.as_bytes())
        {
            tracing::warn!("cannot keep why {name} has no certificate: {error}");
        }
        self.inner.changed.notify_one();
    }

    /// The tries for this certificate since the last that succeeded; `None`: none is needed yet, or it is held.
    pub fn attempt(&self, name: &CertName) -> Option<Attempt> {
        if let Some(attempt) = self.pages().attempts.get(name) {
            return Some(attempt.clone());
        }
        let text = self.inner.storage.file(&self.attempt_place(name)).ok()??;
        let attempt = Attempt::of_json(&serde_json::from_slice(&text).ok()?)?;
        self.pages().attempts.insert(name.clone(), attempt.clone());
        Some(attempt)
    }

    /// Looks at the imported pairs again, which another process puts there. Told to [`Book::changed`] if there are
    /// others than before; what cannot be read is told here and stays as it was.
    pub fn look_at_imported(&self) -> Vec<Fault> {
        let (mut now, mut faults) = (Pages::default(), Vec::new());
        now.read(
            self.inner.storage.as_ref(),
            IMPORTED,
            Origin::Imported,
            &mut faults,
        );
        let mut pages = self.pages();
        let imported = |pages: &Pages| {
            let held = pages
                .held
                .iter()
                .filter(|held| held.origin == Origin::Imported);
            let mut prints: Vec<u64> = held.map(|held| held.pair.fingerprint).collect();
            prints.sort_unstable();
            prints
        };
        if faults.is_empty() && imported(&pages) != imported(&now) {
            let held = std::mem::take(&mut pages.held);
            pages.by_name.clear();
            let others = held
                .into_iter()
                .filter(|held| held.origin != Origin::Imported);
            others.chain(now.held).for_each(|held| pages.put(held));
            self.inner.changed.notify_one();
        }
        faults
    }

    /// What is served for this name now.
    pub fn held(&self, name: &CertName, now: SystemTime) -> Option<Arc<Held>> {
        self.best(name, now, |_| true)
    }

    /// What keeps the authority from being asked for this name before it is due: what it gave out itself, or what was
    /// imported. What another authority gave out is only a stopgap.
    pub fn current(&self, name: &CertName, now: SystemTime) -> Option<Arc<Held>> {
        self.best(name, now, |held| held.origin != Origin::OtherAuthority)
    }

    /// All that is held, by name and preference.
    pub fn all(&self) -> Vec<Arc<Held>> {
        let mut held = self.pages().held.clone();
        held.sort_by_key(|held| (held.name.clone(), held.origin));
        held
    }

    /// Something has changed that the workers are to know. There is one listener.
    ///
    /// Cancellation: nothing is lost.
    pub async fn changed(&self) {
        self.inner.changed.notified().await;
    }

    fn best(
        &self,
        name: &CertName,
        now: SystemTime,
        may: impl Fn(&Held) -> bool,
    ) -> Option<Arc<Held>> {
        let pages = self.pages();
        let wildcard = match name {
            CertName::Host(host) => {
                let above = host
                    .as_str()
                    .split_once('.')
                    .map(|(_, above)| format!("*.{above}"));
                above.and_then(|above| CertName::parse(&above))
            }
            CertName::Wildcard(_) => None,
        };
        let named = [Some(name.clone()), wildcard];
        let found = named
            .iter()
            .flatten()
            .filter_map(|name| pages.by_name.get(name))
            .flatten();
        let rank = |held: &&Arc<Held>| {
            let leaf = &held.pair.leaf;
            let is_valid = leaf.not_before <= now && now < leaf.not_after;
            (
                !is_valid,
                held.origin,
                held.name != *name,
                std::cmp::Reverse(leaf.not_after),
            )
        };
        found.filter(|held| may(held)).min_by_key(rank).cloned()
    }

    fn checked(&self, place: &str, chain_pem: &[u8], key_pem: &[u8]) -> Result<Pair, Fault> {
        let shown = |file: &str| self.inner.storage.shown(&format!("{place}/{file}"));
        pem::pair(&shown(CHAIN), chain_pem, &shown(KEY), key_pem)
    }

    fn store(
        &self,
        place: &str,
        chain_pem: &[u8],
        key_pem: &[u8],
        meta: Value,
    ) -> Result<(), Fault> {
        let meta = format!("{meta:#}\n");
        let files = [(CHAIN, chain_pem), (KEY, key_pem), (META, meta.as_bytes())];
        let stored = self.inner.storage.put_group(place, &files);
        stored.map_err(|error| {
            Fault::new(format!(
                "cannot store the certificate in {}: {error}",
                self.inner.storage.shown(place)
            ))
        })
    }

    fn attempt_place(&self, name: &CertName) -> String {
        format!("{}/attempts/{}.json", self.authority_place(), name.folder())
    }

    fn pages(&self) -> MutexGuard<'_, Pages> {
        // What a task that panicked left is whole: nothing below stops half way.
        self.inner
            .pages
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pages {
    /// Reads every group one step below a place.
    fn read(
        &mut self,
        storage: &dyn Storage,
        place: &str,
        origin: Origin,
        faults: &mut Vec<Fault>,
    ) {
        let folders = storage.groups(place).unwrap_or_else(|error| {
            faults.push(Fault::new(format!(
                "cannot list {}: {error}",
                storage.shown(place)
            )));
            Vec::new()
        });
        for folder in folders {
            let place = format!("{place}/{folder}");
            let Some(name) = CertName::of_folder(&folder) else {
                continue;
            };
            match read_pair(storage, &place) {
                Ok(pair) => self.put(Arc::new(Held {
                    name,
                    pair: Arc::new(pair),
                    origin,
                })),
                Err(fault) => faults.push(fault),
            }
        }
    }

    /// Puts a certificate in the place of the one of its name and origin.
    fn put(&mut self, held: Arc<Held>) {
        let is_other = |known: &Arc<Held>| known.name != held.name || known.origin != held.origin;
        self.held.retain(is_other);
        self.by_name.retain(|_, known| {
            known.retain(is_other);
            !known.is_empty()
        });
        for name in &held.pair.leaf.names {
            self.by_name
                .entry(name.clone())
                .or_default()
                .push(held.clone());
        }
        self.held.push(held);
    }
}

fn read_pair(storage: &dyn Storage, place: &str) -> Result<Pair, Fault> {
    let files = storage
        .group(place)
        .map_err(|error| Fault::new(format!("cannot read {}: {error}", storage.shown(place))))?;
    let files: Files = files.unwrap_or_default();
    let file = |name: &str| {
        let found = files.iter().find(|(known, _)| known == name);
        let shown = storage.shown(&format!("{place}/{name}"));
        let octets = found.map(|(_, octets)| octets.as_slice());
        octets
            .map(|octets| (shown.clone(), octets))
            .ok_or_else(|| Fault::new(format!("{shown} is not there")))
    };
    let ((chain_shown, chain), (key_shown, key)) = (file(CHAIN)?, file(KEY)?);
    pem::pair(&chain_shown, chain, &key_shown, key)
}

/// The folder of an authority: its host, and its path where one host has several.
pub fn authority_folder(directory_url: &str) -> String {
    let rest = directory_url
        .split_once("://")
        .map_or(directory_url, |(_, rest)| rest);
    let rest = rest
        .trim_matches('/')
        .strip_suffix("/directory")
        .unwrap_or(rest.trim_matches('/'));
    let plain = |c: char| match c.is_ascii_alphanumeric() || matches!(c, '.' | '-') {
        true => c.to_ascii_lowercase(),
        false => '_',
    };
    let folder: String = rest.chars().map(plain).collect();
    // Hidden, or a step up: no authority's host begins so.
    match folder.trim_start_matches('.') {
        "" => "authority".to_owned(),
        folder => folder.to_owned(),
    }
}

impl Attempt {
    fn to_json(&self) -> Value {
        json!({
            "number": self.number,
            "began": seconds(self.began),
            "error": self.error,
            "next": self.next.map(seconds),
        })
    }

    fn of_json(value: &Value) -> Option<Attempt> {
        let moment = |key: &str| Some(UNIX_EPOCH + Duration::from_secs(value.get(key)?.as_u64()?));
        Some(Attempt {
            number: u32::try_from(value.get("number")?.as_u64()?).ok()?,
            began: moment("began")?,
            error: value
                .get("error")
                .and_then(Value::as_str)
                .map(str::to_owned),
            next: moment("next"),
        })
    }
}

fn seconds(moment: SystemTime) -> u64 {
    moment
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::certificates::storage::FileStore;
    use rcgen::{CertificateParams, KeyPair};
    use std::path::{Path, PathBuf};

    const HERE: &str = "https://acme.test/directory";

    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("hotgate-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        folder
    }

    fn book(folder: &Path, url: &str) -> Book {
        let (book, faults) = Book::open(Arc::new(FileStore::new(folder)), url);
        assert_eq!(faults, []);
        book
    }

    fn name(text: &str) -> CertName {
        CertName::parse(text).expect("a name")
    }

    /// Chain and key, valid for so many days from now.
    fn made(names: &[&str], days: u64) -> (String, String) {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).expect("names");
        params.not_before = (SystemTime::now() - Duration::from_secs(3600)).into();
        params.not_after = (SystemTime::now() + Duration::from_secs(86_400 * days)).into();
        let key = KeyPair::generate().expect("a key");
        (
            params.self_signed(&key).expect("signed").pem(),
            key.serialize_pem(),
        )
    }

    fn install(book: &Book, asked: &str, names: &[&str]) -> Result<(), Fault> {
        let (chain, key) = made(names, 90);
        book.install(&name(asked), chain.as_bytes(), key.as_bytes())
    }

    #[test]
    fn what_is_installed_is_held_now_and_by_later_processes() {
        let folder = folder("book");
        let first = book(&folder, HERE);
        let now = SystemTime::now();
        assert!(first.held(&name("a.test"), now).is_none());
        install(&first, "a.test", &["a.test"]).expect("installed");
        install(&first, "*.b.test", &["*.b.test"]).expect("installed");
        install(&first, "*.b.test", &["*.b.test", "b.test"]).expect("again");
        let error = install(&first, "c.test", &["d.test"]).expect_err("another name");
        assert_eq!(
            error.what,
            "the authority's certificate does not name c.test"
        );
        for book in [first, book(&folder, HERE)] {
            for (asked, held) in [
                ("a.test", true),
                ("x.b.test", true),
                ("b.test", true),
                ("c.test", false),
                ("x.y.b.test", false),
            ] {
                assert_eq!(book.held(&name(asked), now).is_some(), held, "{asked}");
                assert_eq!(book.current(&name(asked), now).is_some(), held, "{asked}");
            }
            assert_eq!(book.all().len(), 2);
        }
        // Another authority is asked anew, and what this one gave out is served until then.
        let other = book(&folder, "https://other.test/directory");
        assert!(other.held(&name("a.test"), now).is_some());
        assert!(other.current(&name("a.test"), now).is_none());
        install(&other, "a.test", &["a.test"]).expect("installed");
        let held = other.held(&name("a.test"), now).expect("two of them");
        assert_eq!(held.origin, Origin::Acme);
        std::fs::remove_dir_all(folder).expect("ours");
    }

    #[test]
    fn an_imported_one_stands_behind_a_valid_one_of_the_authority() {
        let folder = folder("import");
        let book = book(&folder, HERE);
        let now = SystemTime::now();
        let (chain, key) = made(&["*.a.test", "a.test"], 30);
        book.import("x.pem", chain.as_bytes(), key.as_bytes())
            .expect("imported");
        let origin = |asked: &str, now| book.held(&name(asked), now).map(|held| held.origin);
        assert_eq!(origin("x.a.test", now), Some(Origin::Imported));
        let (chain, key) = made(&["x.a.test"], 10);
        book.install(&name("x.a.test"), chain.as_bytes(), key.as_bytes())
            .expect("installed");
        assert_eq!(origin("x.a.test", now), Some(Origin::Acme));
        assert_eq!(origin("y.a.test", now), Some(Origin::Imported));
        let later = now + Duration::from_secs(20 * 86_400);
        assert_eq!(origin("x.a.test", later), Some(Origin::Imported));
        std::fs::remove_dir_all(folder).expect("ours");
    }

    #[test]
    fn failures_outlive_the_process_until_a_success() {
        let folder = folder("attempts");
        let first = book(&folder, HERE);
        let asked = name("*.a.test");
        assert_eq!(first.attempt(&asked), None);
        first.begun(&asked);
        let attempt = first.attempt(&asked).expect("under way");
        assert_eq!(
            (attempt.number, attempt.error, attempt.next),
            (1, None, None)
        );
        let next = UNIX_EPOCH + Duration::from_secs(2_000_000_000);
        first.failed(&asked, "the port is closed", next);
        first.begun(&asked);
        first.failed(&asked, "the port is still closed", next);
        let second = book(&folder, HERE);
        for book in [first, second] {
            let attempt = book.attempt(&asked).expect("it failed");
            assert_eq!((attempt.number, attempt.next), (2, Some(next)));
            assert_eq!(attempt.error.as_deref(), Some("the port is still closed"));
        }
        let third = book(&folder, HERE);
        install(&third, "*.a.test", &["*.a.test"]).expect("installed");
        assert_eq!(third.attempt(&asked), None);
        assert_eq!(book(&folder, HERE).attempt(&asked), None);
        std::fs::remove_dir_all(folder).expect("ours");
    }

    #[test]
    fn authorities_have_folders_of_their_own() {
        for (url, folder) in [
            (
                "https://acme-v02.api.letsencrypt.org/directory",
                "acme-v02.api.letsencrypt.org",
            ),
            ("https://localhost:14000/dir", "localhost_14000_dir"),
            ("https://CA.test/acme/local/directory", "ca.test_acme_local"),
            ("https://ca.test/", "ca.test"),
            ("https://../..", "_.."),
            ("..", "authority"),
            ("", "authority"),
        ] {
            assert_eq!(authority_folder(url), folder, "{url}");
        }
    }
}
