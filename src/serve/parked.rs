//! What a worker keeps of a connection that is parked.
//!
//! A client's connection between two requests is where it came in and two times, and where it is encrypted its session;
//! who it is the kernel knows. A silent tunnel is two descriptors and what its access record will need. Everything else
//! is made anew when octets come.

use std::rc::Rc;
use std::time::Duration;

use super::incoming::Peer;
use crate::net::clock::Tick;
use crate::net::parking::{Ticket, entry_bytes};
use crate::policy::route::ListenerIndex;
use crate::tls::stream::Encrypted;
use crate::upstream::EndpointNumber;

/// Octets of user memory that an idle client connection costs.
const ENTRY_BYTES_MAX: usize = 32;
// A simulated descriptor is larger.
const _: () = assert!(cfg!(feature = "sim") || entry_bytes::<Parked>() <= ENTRY_BYTES_MAX);
/// Octets that a silent tunnel costs beside its two entries; its access record, where one is kept, comes on top.
const SILENT_BYTES_MAX: usize = 72;
const _: () = assert!(size_of::<Silent>() <= SILENT_BYTES_MAX);

/// See the module.
pub enum Parked {
    /// A client between two requests, or before its first.
    Client(ParkedClient),
    /// The client's side of a silent tunnel; its other side is parked too.
    Tunnel(Box<Silent>),
    /// The upstream's side of a silent tunnel.
    TunnelEnd {
        /// The client's side; `None` only while that is on its way here.
        other: Option<Ticket>,
    },
}

/// How a client's connection stands between two requests.
#[derive(Clone, Copy)]
pub struct Standing {
    /// When the first head has to be complete; `None` once one was.
    pub due: Option<Tick>,
    /// How long it may be idle: as the route of its last exchange has it.
    pub keepalive: Duration,
}

/// See [`Parked::Client`].
pub struct ParkedClient {
    listener: ListenerIndex,
    /// No request has come yet: the lot's limit is the first head's.
    is_new: bool,
    keepalive_ms: u32,
    /// Of an encrypted connection.
    encrypted: Option<Rc<Encrypted>>,
}

impl ParkedClient {
    /// What is kept of a connection.
    pub fn new(peer: &Peer, standing: &Standing, encrypted: Option<Rc<Encrypted>>) -> ParkedClient {
        ParkedClient {
            listener: peer.listener,
            is_new: standing.due.is_some(),
            keepalive_ms: millis(standing.keepalive),
            encrypted,
        }
    }

    /// The listener that it came in by.
    pub fn listener(&self) -> ListenerIndex {
        self.listener
    }

    /// Is it spoken to over TLS?
    pub fn is_tls(&self) -> bool {
        self.encrypted.is_some()
    }

    /// What is kept of its encryption.
    pub fn into_encrypted(self) -> Option<Rc<Encrypted>> {
        self.encrypted
    }

    /// How the connection stands; `due` is what the lot was given.
    pub fn standing(&self, due: Tick) -> Standing {
        Standing {
            due: self.is_new.then_some(due),
            keepalive: Duration::from_millis(u64::from(self.keepalive_ms)),
        }
    }
}

/// What is known of a tunnel as long as it lives, and all that is kept while it is silent.
pub struct Silent {
    /// Whose token the upstream connection holds.
    pub endpoint: EndpointNumber,
    /// How long nothing may pass (milliseconds).
    pub limit_ms: u32,
    /// When the exchange and its time upstream began (monotonic nanoseconds).
    pub began_nanos: u64,
    /// See `began_nanos`.
    pub upstream_began_nanos: u64,
    /// Octets from the client and to it.
    pub octets_up: u64,
    /// See `octets_up`.
    pub octets_down: u64,
    /// The upstream's side, while both are parked.
    pub other: Option<Ticket>,
    /// Of a tunnel with an encrypted end, while it is parked.
    pub encrypted: Option<Box<EncryptedEnds>>,
    /// The exchange's access record, packed, to be completed; `None` where none is kept.
    pub record: Option<Box<[u8]>>,
}

/// The sessions of a tunnel's two ends.
#[derive(Default)]
pub struct EncryptedEnds {
    /// The client's, if it has one.
    pub client: Option<Rc<Encrypted>>,
    /// The app's, if it has one.
    pub upstream: Option<Rc<Encrypted>>,
}

impl Silent {
    /// How long nothing may pass.
    pub fn limit(&self) -> Duration {
        Duration::from_millis(u64::from(self.limit_ms))
    }
}

/// In milliseconds; seven weeks are as good as for ever.
pub fn millis(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis()).unwrap_or(u32::MAX)
}
