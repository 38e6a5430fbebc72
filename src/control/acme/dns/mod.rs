//! The DNS side of ACME: who is asked, and who writes the records of dns-01.
//!
//! ```text
//!   put:  follow CNAMEs of _acme-challenge.NAME → provider adds the TXT → every server of its zone shows it
//! ```
//!
//! Each provider has a file; what they have in common is a name, a value, adding and removing. Adding what is there and
//! removing what is not are no faults, and other values of the same name stay.

pub mod cloudflare;
pub mod desec;
pub mod exec;
pub mod hetzner;
pub mod propagation;
pub mod provider;
pub mod record;
pub mod resolver;
pub mod rest;
pub mod rfc2136;

pub use provider::Provider;
pub use record::{Record, RecordFault};
