//! Certificates by server name: what the TLS listeners serve.
//!
//! A set is immutable; control builds it and publishes it whole, and a connection keeps what it was given. For each
//! listener a name is looked for exactly, then under its one-label wildcard, then there is the fallback; a client that
//! names nobody gets what belongs to the address that it came to. Whatever else is refused with an alert, so no client
//! ever sees another site's certificate.
//!
//! Where a name has several keys the client's signature schemes choose, and ECDSA comes first: its signature costs a
//! tenth of RSA's.

use std::collections::HashMap;
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::IpAddr;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{SignatureAlgorithm, SignatureScheme};
use x509_parser::extensions::GeneralName;

use super::policy::{Policy, PolicyId};
use super::provider::{VERSIONS, provider};
use super::tickets::TICKETS_A_HANDSHAKE;
use crate::http::authority::HostName;
use crate::policy::route::ListenerIndex;

/// The protocol that is spoken inside (RFC 7301 §6).
const HTTP_1_1: &[u8] = b"http/1.1";

/// A set of keys with what a handshake needs of them.
pub struct Served {
    /// For the handshake with nearly everybody; see [`Served::config_for`].
    pub config: Arc<ServerConfig>,
    /// Of the set of keys: equal for the same certificates.
    pub identity: u64,
    /// The client-authentication policy.
    pub policy: PolicyId,
    /// The certificate was given by hand (`tls.cert`) and counts as covering its site's names, whatever it says.
    pub covers_by_choice: bool,
    names: Names,
    /// Keeps the policy's ticket keys in use.
    _kept: Arc<Policy>,
}

/// Why keys cannot be served.
#[derive(Debug)]
pub enum ServedError {
    /// There is none, or one without a certificate.
    NoCertificate,
    /// A certificate is not one.
    NotX509(String),
    /// rustls refuses.
    Tls(rustls::Error),
}

impl fmt::Display for ServedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ServedError::NoCertificate => f.write_str("there is no certificate"),
            ServedError::NotX509(why) => write!(f, "the certificate cannot be read: {why}"),
            ServedError::Tls(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for ServedError {}

impl Served {
    /// Serves these keys, each with its chain, leaf first, under a policy.
    ///
    /// # Errors
    ///
    /// See [`ServedError`].
    pub fn new(
        keys: Vec<Arc<CertifiedKey>>,
        policy: Arc<Policy>,
        covers_by_choice: bool,
    ) -> Result<Served, ServedError> {
        let mut hasher = DefaultHasher::new();
        for key in &keys {
            key.cert.hash(&mut hasher);
        }
        let leaf = keys.first().and_then(|key| key.cert.first());
        let names = Names::of(leaf.ok_or(ServedError::NoCertificate)?)?;
        let mut config = ServerConfig::builder_with_provider(provider().clone())
            .with_protocol_versions(&VERSIONS)
            .map_err(ServedError::Tls)?
            .with_client_cert_verifier(policy.verifier.clone())
            .with_cert_resolver(Arc::new(Keys::new(keys)));
        config.alpn_protocols = vec![HTTP_1_1.to_vec()];
        config.ticketer = policy.tickets.clone();
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = TICKETS_A_HANDSHAKE;
        config.max_early_data_size = 0;
        config.ignore_client_order = true;
        Ok(Served {
            config: Arc::new(config),
            identity: hasher.finish(),
            policy: policy.id(),
            covers_by_choice,
            names,
            _kept: policy,
        })
    }

    /// For the handshake with a client that may put ChaCha20 first.
    ///
    /// The order of cipher suites is ours, so that nobody is led to a costlier one; but a client without AES in hardware
    /// (a small phone, an older Raspberry Pi) would be slow with it, so for that one the order is its own. It is rare, and
    /// a copy costs less than a hundredth of its handshake, so none is kept beside each certificate.
    pub fn config_for(&self, prefers_chacha: bool) -> Arc<ServerConfig> {
        if !prefers_chacha {
            return self.config.clone();
        }
        let mut config = (*self.config).clone();
        config.ignore_client_order = false;
        Arc::new(config)
    }

    /// Does the certificate name this host?
    pub fn names(&self, host: &HostName) -> bool {
        self.names.has(host)
    }
}

impl fmt::Debug for Served {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Served({:016x}, {:?})", self.identity, self.policy)
    }
}

/// What a leaf names (RFC 6125 §6.4; the common name is long dead).
#[derive(Default)]
struct Names {
    exact: Vec<HostName>,
    /// Without `*.`.
    wildcard: Vec<HostName>,
    addresses: Vec<IpAddr>,
}

impl Names {
    fn of(leaf: &[u8]) -> Result<Names, ServedError> {
        let (_, leaf) = x509_parser::parse_x509_certificate(leaf)
            .map_err(|error| ServedError::NotX509(error.to_string()))?;
        let mut names = Names::default();
        let Ok(Some(alternatives)) = leaf.subject_alternative_name() else {
            return Ok(names);
        };
        for name in &alternatives.value.general_names {
            match name {
                GeneralName::DNSName(name) => {
                    let (list, name) = match name.strip_prefix("*.") {
                        Some(suffix) => (&mut names.wildcard, suffix),
                        None => (&mut names.exact, *name),
                    };
                    list.extend(HostName::parse(name.as_bytes()));
                }
                GeneralName::IPAddress(octets) => {
                    let v4 = <[u8; 4]>::try_from(*octets).map(IpAddr::from);
                    let v6 = <[u8; 16]>::try_from(*octets).map(IpAddr::from);
                    names.addresses.extend(v4.or(v6));
                }
                _ => {}
            }
        }
        Ok(names)
    }

    fn has(&self, host: &HostName) -> bool {
        if let Some(ip) = host.ip() {
            return self.addresses.contains(&ip);
        }
        let text = host.as_bytes();
        let suffix = after_first_label(text);
        self.exact.contains(host)
            || suffix.is_some_and(|suffix| {
                let mut wildcards = self.wildcard.iter();
                wildcards.any(|wildcard| wildcard.as_bytes() == suffix)
            })
    }
}

/// The keys of one name, in the order in which they are taken.
#[derive(Debug)]
struct Keys(Vec<Arc<CertifiedKey>>);

impl Keys {
    fn new(mut keys: Vec<Arc<CertifiedKey>>) -> Keys {
        let rank = |key: &Arc<CertifiedKey>| match key.key.algorithm() {
            SignatureAlgorithm::ECDSA => 0,
            SignatureAlgorithm::ED25519 => 1,
            _ => 2,
        };
        keys.sort_by_key(rank);
        Keys(keys)
    }

    fn pick(&self, schemes: &[SignatureScheme]) -> Option<&Arc<CertifiedKey>> {
        let mut keys = self.0.iter();
        keys.find(|key| key.key.choose_scheme(schemes).is_some())
            // The handshake will fail, and say so in rustls's words.
            .or(self.0.first())
    }
}

impl ResolvesServerCert for Keys {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.pick(hello.signature_schemes()).cloned()
    }
}

/// What belongs to a name.
#[derive(Clone, Debug)]
pub enum Entry {
    /// A certificate.
    Held(Arc<Served>),
    /// The site is known, and no certificate is held for it yet.
    Missing,
    /// The site is known, and served to nobody: whom it lets in cannot be told.
    Refused,
}

/// What a client is given.
#[derive(Debug)]
pub enum Selected<'a> {
    /// A certificate.
    Served(&'a Arc<Served>),
    /// None yet. See [`Entry::Missing`].
    Missing,
    /// Nothing. See [`Entry::Refused`].
    Refused,
    /// Nothing: nobody has this name here.
    Unknown,
}

/// The certificates of all listeners. Immutable once built.
#[derive(Default)]
pub struct Certificates {
    listeners: Box<[Entries]>,
}

/// One listener's.
#[derive(Default)]
struct Entries {
    exact: HashMap<Box<[u8]>, Entry>,
    /// By what stands behind `*.`.
    wildcard: HashMap<Box<[u8]>, Entry>,
    addresses: HashMap<IpAddr, Entry>,
    fallback: Option<Entry>,
}

/// Gathers what [`Certificates`] hold.
#[derive(Default)]
pub struct CertificatesBuilder {
    listeners: Vec<Entries>,
}

impl Certificates {
    /// What a client is given that asks this listener for `name`, or came to the address `local` and asked for nobody.
    pub fn select(
        &self,
        listener: ListenerIndex,
        name: Option<&HostName>,
        local: IpAddr,
    ) -> Selected<'_> {
        let Some(listener) = self.listeners.get(usize::from(listener.0)) else {
            return Selected::Unknown;
        };
        let found = match name {
            Some(name) => listener.find(name.as_bytes()),
            None => listener.addresses.get(&local),
        };
        match found.or(listener.fallback.as_ref()) {
            Some(Entry::Held(served)) => Selected::Served(served),
            Some(Entry::Missing) => Selected::Missing,
            Some(Entry::Refused) => Selected::Refused,
            None => Selected::Unknown,
        }
    }
}

impl Entries {
    fn find(&self, name: &[u8]) -> Option<&Entry> {
        let by_wildcard = || self.wildcard.get(after_first_label(name)?);
        self.exact.get(name).or_else(by_wildcard)
    }
}

/// `b.c` of `a.b.c`.
fn after_first_label(name: &[u8]) -> Option<&[u8]> {
    let dot = name.iter().position(|&octet| octet == b'.')?;
    (dot > 0).then(|| &name[dot + 1..])
}

impl CertificatesBuilder {
    /// Without a listener.
    pub fn new() -> CertificatesBuilder {
        CertificatesBuilder::default()
    }

    /// The next listener, in the order of [`Config::listeners`](crate::config::Config::listeners), whatever is spoken
    /// there.
    pub fn add_listener(&mut self) -> ListenerIndex {
        let number = u16::try_from(self.listeners.len()).expect("fewer listeners than ports");
        self.listeners.push(Entries::default());
        ListenerIndex(number)
    }

    /// What belongs to this name alone. The first entry stays; so too below.
    ///
    /// # Panics
    ///
    /// The listener is not of this builder; so too below.
    pub fn exact(&mut self, listener: ListenerIndex, name: &HostName, entry: Entry) {
        let names = &mut self.listeners[usize::from(listener.0)].exact;
        names.entry(name.as_bytes().into()).or_insert(entry);
    }

    /// What belongs to every name of one label before this suffix.
    pub fn wildcard(&mut self, listener: ListenerIndex, suffix: &HostName, entry: Entry) {
        let names = &mut self.listeners[usize::from(listener.0)].wildcard;
        names.entry(suffix.as_bytes().into()).or_insert(entry);
    }

    /// What a client is given that names nobody and came to this address, which is in plain form.
    pub fn address(&mut self, listener: ListenerIndex, address: IpAddr, entry: Entry) {
        let addresses = &mut self.listeners[usize::from(listener.0)].addresses;
        addresses.entry(address).or_insert(entry);
    }

    /// What all others are given.
    pub fn fallback(&mut self, listener: ListenerIndex, entry: Entry) {
        let fallback = &mut self.listeners[usize::from(listener.0)].fallback;
        fallback.get_or_insert(entry);
    }

    /// The whole set.
    pub fn build(self) -> Certificates {
        Certificates {
            listeners: self.listeners.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ED25519};
    use rustls::SignatureScheme as Scheme;

    use super::*;
    use crate::tls::policy::{ClientPolicy, Policies};

    fn host(text: &str) -> HostName {
        HostName::parse(text.as_bytes()).expect("a host")
    }

    fn key(names: &[&str], algorithm: &'static rcgen::SignatureAlgorithm) -> Arc<CertifiedKey> {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let key = KeyPair::generate_for(algorithm).expect("a key");
        let params = CertificateParams::new(names).expect("names");
        let certificate = params.self_signed(&key).expect("signed");
        let der = rustls_pki_types::PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
        let signing = provider().key_provider.load_private_key(der);
        let chain = vec![certificate.der().clone()];
        Arc::new(CertifiedKey::new(chain, signing.expect("a known kind")))
    }

    fn served(names: &[&str]) -> Arc<Served> {
        let policy = Policies::new().of(&ClientPolicy::Off).expect("a policy");
        let key = key(names, &PKCS_ECDSA_P256_SHA256);
        Arc::new(Served::new(vec![key], policy, false).expect("a certificate"))
    }

    #[test]
    fn a_name_is_found_exactly_then_by_wildcard_then_by_fallback() {
        let (exact, wildcard, address, fallback) = (
            served(&["a.test"]),
            served(&["*.test"]),
            served(&["127.0.0.1"]),
            served(&["x"]),
        );
        let mut builder = CertificatesBuilder::new();
        let (first, second) = (builder.add_listener(), builder.add_listener());
        let held = |served: &Arc<Served>| Entry::Held(served.clone());
        builder.exact(first, &host("A.TEST."), held(&exact));
        builder.exact(first, &host("a.test"), held(&wildcard)); // the first stays
        builder.exact(first, &host("new.test"), Entry::Missing);
        builder.exact(first, &host("shut.test"), Entry::Refused);
        builder.wildcard(first, &host("test"), held(&wildcard));
        builder.address(first, [127, 0, 0, 1].into(), held(&address));
        builder.fallback(second, held(&fallback));
        let certificates = builder.build();
        let check = |listener: ListenerIndex, name: &str, local: [u8; 4], expected: &str| {
            let name = (!name.is_empty()).then(|| host(name));
            let found = certificates.select(listener, name.as_ref(), local.into());
            let found = match found {
                Selected::Served(found) if Arc::ptr_eq(found, &exact) => "exact",
                Selected::Served(found) if Arc::ptr_eq(found, &wildcard) => "wildcard",
                Selected::Served(found) if Arc::ptr_eq(found, &address) => "address",
                Selected::Served(found) if Arc::ptr_eq(found, &fallback) => "fallback",
                Selected::Served(_) => "another",
                Selected::Missing => "missing",
                Selected::Refused => "refused",
                Selected::Unknown => "unknown",
            };
            assert_eq!(found, expected, "{name:?} at {local:?}");
        };
        let (here, there, nowhere) = ([127, 0, 0, 1], [10, 0, 0, 1], ListenerIndex(9));
        check(first, "a.test", there, "exact");
        check(first, "A.Test.", there, "exact");
        check(first, "b.test", there, "wildcard");
        check(first, "b.a.test", there, "unknown");
        check(first, "test", there, "unknown");
        check(first, "new.test", there, "missing");
        check(first, "shut.test", there, "refused");
        check(first, "", here, "address");
        check(first, "", there, "unknown");
        check(second, "a.test", there, "fallback");
        check(second, "", here, "fallback");
        check(nowhere, "a.test", here, "unknown");
    }

    #[test]
    fn a_certificate_names_what_it_says() {
        let served = served(&["a.test", "*.b.test", "10.0.0.1"]);
        for (name, is_named) in [
            ("a.test", true),
            ("A.TEST.", true),
            ("x.b.test", true),
            ("b.test", false),
            ("x.y.b.test", false),
            ("x.a.test", false),
            ("10.0.0.1", true),
            ("10.0.0.2", false),
        ] {
            assert_eq!(served.names(&host(name)), is_named, "{name}");
        }
    }

    #[test]
    fn the_clients_schemes_choose_among_keys_and_ecdsa_comes_first() {
        let (other, ecdsa) = (
            key(&["a.test"], &PKCS_ED25519),
            key(&["a.test"], &PKCS_ECDSA_P256_SHA256),
        );
        let keys = Keys::new(vec![other.clone(), ecdsa.clone()]);
        let check = |schemes: &[Scheme], expected: &Arc<CertifiedKey>| {
            let picked = keys.pick(schemes).expect("one of them");
            assert!(Arc::ptr_eq(picked, expected), "{schemes:?}");
        };
        let p256 = Scheme::ECDSA_NISTP256_SHA256;
        check(&[Scheme::ED25519, p256], &ecdsa);
        check(&[Scheme::ED25519], &other);
        check(&[Scheme::RSA_PSS_SHA256], &ecdsa);
        assert!(Keys::new(Vec::new()).pick(&[p256]).is_none());
    }

    #[test]
    fn equal_certificates_have_one_identity() {
        let policies = Policies::new();
        let policy = policies.of(&ClientPolicy::Off).expect("a policy");
        let (one, other) = (
            key(&["a.test"], &PKCS_ECDSA_P256_SHA256),
            key(&["a.test"], &PKCS_ECDSA_P256_SHA256),
        );
        let identity = |keys: Vec<Arc<CertifiedKey>>| {
            let served = Served::new(keys, policy.clone(), false).expect("a certificate");
            served.identity
        };
        assert_eq!(identity(vec![one.clone()]), identity(vec![one.clone()]));
        assert_ne!(identity(vec![one]), identity(vec![other]));
        let none = Served::new(Vec::new(), policy.clone(), false);
        assert!(matches!(none, Err(ServedError::NoCertificate)));
    }
}
