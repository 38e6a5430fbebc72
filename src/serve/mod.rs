//! The data plane: what a worker does with the connections it accepts.
//!
//! ```text
//!   worker ── accept ──► connection ── head ──► dispatch ──► forward ──► relay ──► access record
//!                            ▲                     │            │          │
//!                            │                     └─ respond ◄─┴──────────┘ when something is wrong
//!                            └──────────── again: the connection persists
//! ```
//!
//! Nothing below [`connection`] knows that a request came over HTTP/1.1: it is an [`Incoming`](incoming::Incoming)
//! with a source for its body and a sink for the reply, and another wire format would bring its own two.
//!
//! Invariants:
//!
//! - An exchange ends on the snapshot that it began with.
//! - Every wait has a deadline, or ends with the connection that it waits for.
//! - Every exchange leaves one access record, whatever became of it; only the end of the process cuts one off without.

pub mod attend;
pub mod body;
pub mod certificate_states;
pub mod compose;
pub mod connection;
pub mod core;
pub mod dispatch;
pub mod exchange;
pub mod explain;
pub mod forward;
pub mod handshake;
pub mod head;
pub mod incoming;
pub mod parked;
pub mod relay;
pub mod reply;
pub mod respond;
pub mod scratch;
pub mod snapshot;
pub mod tunnel;
pub mod worker;
