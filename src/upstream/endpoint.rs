//! Endpoints: the addresses that requests are forwarded to, as the control thread last resolved them.
//!
//! An endpoint's number is its name inside the process. It stays the same from snapshot to snapshot, so pools,
//! tokens and health are kept by it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use crate::tls::connect::EndpointTls;

/// An endpoint's place in [`Endpoints`] and in every table that is kept by endpoint.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct EndpointNumber(pub u32);

impl EndpointNumber {
    /// As an index.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// An address that can be dialled.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Address {
    /// Over TCP.
    Tcp(SocketAddr),
    /// A socket in the file system.
    Unix(PathBuf),
}

/// What is spoken to an endpoint.
#[derive(Clone, Debug)]
pub enum Security {
    /// HTTP as it is.
    Plain,
    /// HTTP within TLS.
    Tls(Arc<EndpointTls>),
    /// It would be TLS, but whom to believe or what to show cannot be told: nothing is spoken.
    Unusable,
}

/// One endpoint.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// As shown in logs.
    pub label: Arc<str>,
    /// The `Host` that it sees under `host = "upstream"`.
    pub authority: Arc<str>,
    /// What it resolved to, in the order to be tried; empty while the name does not resolve.
    pub addresses: Vec<Address>,
    /// How connections to them are secured.
    pub security: Security,
}

/// All endpoints of a snapshot, by number. Immutable; a change publishes a new one.
#[derive(Clone, Debug, Default)]
pub struct Endpoints {
    list: Vec<Endpoint>,
}

impl Endpoints {
    /// The endpoints in the order of their numbers.
    pub fn new(list: Vec<Endpoint>) -> Endpoints {
        Endpoints { list }
    }

    /// The endpoint of this number, which a route of the same snapshot names.
    pub fn of(&self, number: EndpointNumber) -> &Endpoint {
        &self.list[number.index()]
    }

    /// Those that are spoken to in another way than here in an older list of the same endpoints.
    pub fn secured_anew(&self, older: &Endpoints) -> impl Iterator<Item = EndpointNumber> {
        let pairs = self.list.iter().zip(&older.list).zip(0u32..);
        pairs.filter_map(|((new, old), number)| {
            let is_same = match (&new.security, &old.security) {
                (Security::Tls(new), Security::Tls(old)) => Arc::ptr_eq(new, old),
                (Security::Plain, Security::Plain) | (Security::Unusable, Security::Unusable) => {
                    true
                }
                (Security::Plain | Security::Tls(_) | Security::Unusable, _) => false,
            };
            (!is_same).then_some(EndpointNumber(number))
        })
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Is there none?
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// All of them, in the order of their numbers.
    pub fn iter(&self) -> std::slice::Iter<'_, Endpoint> {
        self.list.iter()
    }
}
