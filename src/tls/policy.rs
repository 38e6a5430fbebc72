//! Client authentication: what a site asks of its clients, and what follows from it for resumption.
//!
//! Sites with the same rule share one [`Policy`], with one number and one set of ticket keys; sites with different ones
//! share nothing. The policies live as long as anything is served under them, across snapshots: [`Policies`] belongs to
//! the process.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use rustls::RootCertStore;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoClientAuth, ProducesTickets, VerifierBuilderError, WebPkiClientVerifier};

use super::provider::provider;
use super::tickets;

/// Names a policy for as long as the process lives.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct PolicyId(u64);

/// What a site asks of its clients.
#[derive(Clone, Debug)]
pub enum ClientPolicy {
    /// No certificate.
    Off,
    /// One, if the client has it; one that is not signed by these ends the handshake.
    Request(Arc<RootCertStore>),
    /// One that is signed by these.
    Require(Arc<RootCertStore>),
}

/// A rule made ready: who verifies, and with what keys its sessions are resumed.
pub struct Policy {
    id: PolicyId,
    rule: ClientPolicy,
    pub(super) verifier: Arc<dyn ClientCertVerifier>,
    pub(super) tickets: Arc<dyn ProducesTickets>,
}

/// Why there is no policy of a rule.
#[derive(Debug)]
pub enum PolicyError {
    /// The CA file names nobody, or what it names cannot sign.
    NoAuthority(VerifierBuilderError),
    /// No keys for tickets could be made.
    NoKeys(rustls::Error),
}

impl fmt::Display for PolicyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PolicyError::NoAuthority(error) => {
                write!(f, "no usable authority for client certificates: {error}")
            }
            PolicyError::NoKeys(error) => write!(f, "no keys for session tickets: {error}"),
        }
    }
}

impl std::error::Error for PolicyError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            PolicyError::NoAuthority(error) => Some(error),
            PolicyError::NoKeys(error) => Some(error),
        }
    }
}

impl Policy {
    /// Its number.
    pub fn id(&self) -> PolicyId {
        self.id
    }

    fn new(id: PolicyId, rule: ClientPolicy) -> Result<Policy, PolicyError> {
        let verified_by = |roots: &Arc<RootCertStore>| {
            WebPkiClientVerifier::builder_with_provider(roots.clone(), provider().clone())
        };
        let verifier = match &rule {
            ClientPolicy::Off => Ok(Arc::new(NoClientAuth) as Arc<dyn ClientCertVerifier>),
            ClientPolicy::Request(roots) => verified_by(roots).allow_unauthenticated().build(),
            ClientPolicy::Require(roots) => verified_by(roots).build(),
        };
        Ok(Policy {
            id,
            rule,
            verifier: verifier.map_err(PolicyError::NoAuthority)?,
            tickets: tickets::keys().map_err(PolicyError::NoKeys)?,
        })
    }
}

/// The policies of this process.
#[derive(Default)]
pub struct Policies {
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    /// Those that are still used, or were a moment ago.
    policies: Vec<Weak<Policy>>,
    given: u64,
}

impl Policies {
    /// None yet.
    pub fn new() -> Policies {
        Policies::default()
    }

    /// The policy of this rule: the one that is in use, if there is one.
    ///
    /// # Errors
    ///
    /// See [`PolicyError`]. Whoever asked serves the site to nobody then.
    pub fn of(&self, rule: &ClientPolicy) -> Result<Arc<Policy>, PolicyError> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.policies.retain(|policy| policy.strong_count() > 0);
        let mut in_use = known.policies.iter().filter_map(Weak::upgrade);
        if let Some(policy) = in_use.find(|policy| is_same(&policy.rule, rule)) {
            return Ok(policy);
        }
        known.given += 1;
        let policy = Arc::new(Policy::new(PolicyId(known.given), rule.clone())?);
        known.policies.push(Arc::downgrade(&policy));
        Ok(policy)
    }
}

/// Do the two let the same clients in? The authorities may come in another order.
fn is_same(one: &ClientPolicy, other: &ClientPolicy) -> bool {
    match (one, other) {
        (ClientPolicy::Off, ClientPolicy::Off) => true,
        (ClientPolicy::Request(one), ClientPolicy::Request(other))
        | (ClientPolicy::Require(one), ClientPolicy::Require(other)) => {
            let holds = |store: &RootCertStore, of: &RootCertStore| {
                of.roots.iter().all(|root| store.roots.contains(root))
            };
            holds(one, other) && holds(other, one)
        }
        (ClientPolicy::Off | ClientPolicy::Request(_) | ClientPolicy::Require(_), _) => false,
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair};

    use super::*;

    fn authority(name: &str) -> Arc<RootCertStore> {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new([]).expect("no names");
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let name = rcgen::DnValue::Utf8String(name.to_owned());
        params
            .distinguished_name
            .push(rcgen::DnType::CommonName, name);
        let mut store = RootCertStore::empty();
        let root = params.self_signed(&key).expect("signed").der().clone();
        store.add(root).expect("an authority");
        Arc::new(store)
    }

    #[test]
    fn one_rule_is_one_policy_for_as_long_as_it_is_used() {
        let policies = Policies::new();
        let of = |rule: &ClientPolicy| policies.of(rule).expect("a policy");
        let (one, other) = (authority("one"), authority("other"));
        let off = of(&ClientPolicy::Off);
        assert_eq!(off.id(), of(&ClientPolicy::Off).id());
        let require = of(&ClientPolicy::Require(one.clone()));
        // Loaded again by another snapshot: equal, not the same.
        let again = Arc::new(RootCertStore::clone(&one));
        let same = of(&ClientPolicy::Require(again));
        assert!(Arc::ptr_eq(&require, &same));
        for different in [
            ClientPolicy::Off,
            ClientPolicy::Request(one.clone()),
            ClientPolicy::Require(other),
        ] {
            assert_ne!(require.id(), of(&different).id(), "{different:?}");
        }
        let before = require.id();
        drop((require, same));
        assert_ne!(of(&ClientPolicy::Require(one)).id(), before);
    }

    #[test]
    fn policies_have_keys_of_their_own() {
        let policies = Policies::new();
        let off = policies.of(&ClientPolicy::Off).expect("a policy");
        let require = ClientPolicy::Require(authority("one"));
        let require = policies.of(&require).expect("a policy");
        let ticket = off.tickets.encrypt(b"state").expect("sealed");
        assert_eq!(require.tickets.decrypt(&ticket), None);
    }

    #[test]
    fn nobody_is_let_in_by_no_authority() {
        let nobody = || Arc::new(RootCertStore::empty());
        for rule in [
            ClientPolicy::Require(nobody()),
            ClientPolicy::Request(nobody()),
        ] {
            let refused = Policies::new().of(&rule).err();
            assert!(matches!(refused, Some(PolicyError::NoAuthority(_))));
        }
    }
}
