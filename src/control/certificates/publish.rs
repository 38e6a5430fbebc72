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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Source, parse};
    use crate::control::certificates::storage::{FileStore, Storage};
    use crate::http::authority::HostName;
    use crate::policy::route::ListenerIndex;
    use crate::tls::certs::Selected;
    use std::path::PathBuf;
    use std::time::Duration;

    const DAY: Duration = Duration::from_secs(86_400);
    const TLS: ListenerIndex = ListenerIndex(1);

    struct Scene {
        folder: PathBuf,
        config: Config,
        book: Book,
        publisher: Publisher,
    }

    impl Scene {
        fn new(name: &str, sites: &str) -> Scene {
            let folder =
                std::env::temp_dir().join(format!("hotgate-publish-{name}-{}", std::process::id()));
            let _ = std::fs::remove_dir_all(&folder);
            let config = parse(&[Source {
                name: "f",
                text: sites,
            }])
            .unwrap_or_else(|errors| panic!("{}", errors[0]));
            let storage: Arc<dyn Storage> = Arc::new(FileStore::new(&folder));
            let (book, faults) = Book::open(storage, &config.acme.ca);
            assert_eq!(faults, []);
            Scene {
                folder,
                config,
                book,
                publisher: Publisher::new(),
            }
        }

        fn publish(&mut self, now: SystemTime) -> Publication {
            self.publisher.publish(&self.config, &self.book, now)
        }
    }

    impl Drop for Scene {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.folder);
        }
    }

    /// What a name is answered with: the certificate, or a word.
    fn select(publication: &Publication, name: &str) -> Result<Arc<Served>, &'static str> {
        let host = HostName::parse(name.as_bytes()).expect("a host");
        match publication
            .certificates
            .select(TLS, Some(&host), [192, 0, 2, 1].into())
        {
            Selected::Served(served) => Ok(served.clone()),
            Selected::Missing => Err("missing"),
            Selected::Refused => Err("refused"),
            Selected::Unknown => Err("unknown"),
        }
    }

    #[test]
    fn a_leaf_is_the_same_until_two_thirds_of_its_time_are_over() {
        let mut scene = Scene::new("leaf", "[sites]\n\"localhost\" = 1\n\"127.0.0.1\" = 1\n");
        let now = SystemTime::now();
        let first = scene.publish(now);
        let due = first
            .due
            .expect("leaves are due some day")
            .duration_since(now)
            .expect("ahead");
        assert!(due > DAY * 4 && due < DAY * 5, "{due:?}");
        let localhost = select(&first, "localhost").expect("held");
        let here = first.certificates.select(TLS, None, [127, 0, 0, 1].into());
        assert!(
            matches!(here, Selected::Served(_)),
            "a client that names nobody"
        );
        for (later, is_same) in [(DAY * 4, true), (DAY * 5, false)] {
            let later = scene.publish(now + later);
            let served = select(&later, "localhost").expect("held");
            assert_eq!(Arc::ptr_eq(&served, &localhost), is_same);
        }
        // A clock that is set back finds a leaf of the future, and makes one of its own day.
        let before = scene.publish(now - DAY * 2);
        assert!(before.due.expect("due") < now + DAY * 3);
        assert_eq!(first.states.of(0), &CertificateState::Held);
    }

    #[test]
    fn a_name_without_a_certificate_is_missing_and_says_how_far_it_is() {
        let mut scene = Scene::new(
            "missing",
            "[sites]\n\"a.example.com\" = 1\n\"http://b.example.com\" = 1\n",
        );
        let now = SystemTime::now();
        let name = CertName::parse("a.example.com").expect("a name");
        let first = scene.publish(now);
        assert_eq!(
            select(&first, "a.example.com").expect_err("none"),
            "missing"
        );
        assert_eq!(
            select(&first, "b.example.com").expect_err("plain"),
            "unknown"
        );
        assert!(matches!(
            first.states.of(0),
            CertificateState::Obtaining { attempt: 1, .. }
        ));
        assert_eq!(first.states.of(1), &CertificateState::Held);
        scene.book.begun(&name);
        scene.book.failed(&name, "port 80 is closed", now + DAY);
        let failed = CertificateState::Failed {
            sentence: "port 80 is closed".into(),
        };
        assert_eq!(scene.publish(now).states.of(0), &failed);
        scene.book.begun(&name);
        assert!(matches!(
            scene.publish(now).states.of(0),
            CertificateState::Obtaining { attempt: 2, .. }
        ));
        let key = rcgen::KeyPair::generate().expect("a key");
        let params =
            rcgen::CertificateParams::new(vec!["a.example.com".to_owned()]).expect("a name");
        let chain = params.self_signed(&key).expect("signed").pem();
        scene
            .book
            .install(&name, chain.as_bytes(), key.serialize_pem().as_bytes())
            .expect("installed");
        let last = scene.publish(now);
        let served = select(&last, "a.example.com").expect("held");
        assert_eq!(last.states.of(0), &CertificateState::Held);
        assert!(!served.covers_by_choice);
        // Published again it is the same: sessions and connections know it by that.
        assert!(Arc::ptr_eq(
            &served,
            &select(&scene.publish(now), "a.example.com").expect("held")
        ));
    }

    #[test]
    fn without_its_client_authorities_a_site_is_refused_and_a_bad_file_keeps_the_old_ones() {
        let mut scene = Scene::new("clients", "[sites]\n\"localhost\" = 1\n\"nas\" = 1\n");
        let ca = scene.folder.join("clients.pem");
        scene.config.sites[0].tls.client_auth = ClientAuth::Require(ca.clone());
        let now = SystemTime::now();
        let check = |scene: &mut Scene, expected: Option<&str>| {
            let changes = scene.publisher.files.load(&scene.config);
            let publication = scene.publish(now);
            assert_eq!(
                select(&publication, "localhost").err(),
                expected,
                "{changes:?}"
            );
            assert!(
                select(&publication, "nas").is_ok(),
                "the other site is served"
            );
            let state = publication.states.of(0).clone();
            assert_eq!(state == CertificateState::Unusable, expected.is_some());
            (changes, publication)
        };
        check(&mut scene, Some("refused"));
        std::fs::write(&ca, "").expect("ours");
        check(&mut scene, Some("refused"));
        let local_ca = LocalCa::open(scene.book.storage().as_ref(), &[], now).expect("made");
        std::fs::write(&ca, local_ca.root_pem()).expect("ours");
        let (_, publication) = check(&mut scene, None);
        let policy = select(&publication, "localhost").expect("held").policy;
        assert_ne!(policy, select(&publication, "nas").expect("held").policy);
        for text in ["", "nonsense"] {
            std::fs::write(&ca, text).expect("ours");
            let (changes, publication) = check(&mut scene, None);
            assert!(!changes.is_new && changes.told.len() == 1, "{changes:?}");
            assert_eq!(
                select(&publication, "localhost").expect("held").policy,
                policy
            );
            // Told once.
            assert_eq!(scene.publisher.files.load(&scene.config).told, []);
        }
    }
}
