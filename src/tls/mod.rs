//! TLS: certificates, policies, the handshake, and one stream type for plain and encrypted connections.
//!
//! ```text
//!   accept ── records ──► hello ── name, protocols ──► certs ── Served ──► accept ──► stream
//!                           │                            │                    ▲
//!                           └── malformed: alert         └── unknown: 112     └── policy, tickets, provider
//! ```
//!
//! rustls does the cryptography and the state machine; the octets are ours. A received record stands in a block of the
//! arena, is decrypted there and handed on; what is sent is encrypted into the block that leaves. A connection that is
//! silent has neither.
//!
//! Invariants:
//!
//! - Nothing of a site is served on a connection before its handshake is complete, and a name selects in one normal form.
//! - A session is resumed only under the client-authentication policy that it was begun under.
//! - Everything that a peer can make us hold or do has a bound: octets of a handshake, its time, records without content.

pub mod accept;
pub mod certs;
pub mod challenges;
pub mod connect;
pub mod hello;
pub mod policy;
pub mod provider;
pub mod session;
mod step;
pub mod stream;
pub mod subject;
#[cfg(test)]
mod tests;
pub mod tickets;
mod wire;

pub use step::Fault;
pub use stream::{Encrypted, Receiver, Secured, Sender, Stream};
