//! One worker's view of the origins: endpoints, the connections to them, and the pools of idle ones.
//!
//! ```text
//!   exchange ── begin ──► Connection ── FIFO ──► Slot ◄── head, pieces, end ── reader task ◄── recv
//!      └──── send ──────► outbox ──── flush ──► send
//!                             idle again ──► Pool
//! ```
//!
//! Each connection is owned for its life by one task, which has one receive armed whenever the connection is idle
//! or answering; so octets that nobody asked for, and a close, are seen at once and nothing is checked when a
//! connection is taken from the pool. What the task reads belongs to the slot at the front of the FIFO. Now the
//! FIFO holds at most one slot; pipelining makes it longer and changes nothing else.
//!
//! Invariants:
//!
//! - A connection is in the pool only if its FIFO is empty and `policy::exchange::may_pool` said so.
//! - An attempt that was given up dooms its connection: the slot is never written to by another one.
//! - A worker shares nothing here with its neighbours but the token counters.

pub mod connect;
pub mod connection;
pub mod endpoint;
mod flush;
pub mod piece;
pub mod pool;
mod reader;
pub mod slot;
pub mod tokens;

pub use connection::{Connection, Lease};
pub use endpoint::{Address, Endpoint, EndpointNumber, Endpoints, Security};
pub use pool::Upstreams;
pub use slot::{Arrival, ArrivalKind, Slot};
