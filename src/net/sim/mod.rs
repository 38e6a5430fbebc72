//! The simulated twin of what `net/` has of the world outside (feature `sim`): sockets, listeners, the gate, timers,
//! clocks, chance and the runtime. Everything above these is the real code.
//!
//! ```text
//!   fd  gate  sources  runtime      take the place of the files of the same names
//!        └── operations ─┘          how octets move and operations complete;  wire: what is kept of them
//!              world                chance, clock, events, tasks: all of it from one seed
//!   peer   what a test's clients and origins hold          plant   bugs planted on purpose, and findings
//! ```
//!
//! A receive brings 1..n of the octets that are there; completions of different connections overtake each other; a
//! cancel comes late, and the receive may have ended before it; an operation whose future was dropped keeps its buffer
//! and its descriptor until it has completed, and may swallow octets. Descriptors run out, connects are refused or never
//! answered, completions stall for seconds, the clocks jump.

mod begin;
pub(super) mod fd;
pub(super) mod gate;
mod operations;
mod peer;
mod plant;
pub(super) mod runtime;
pub(super) mod sources;
mod wire;
mod world;

pub use begin::begin;
pub use peer::{Origin, Peer, dial, open_sockets};
pub use plant::{Bug, findings, found, plant, strikes};
pub(super) use plant::{may_return, poison};
pub use world::{
    Faults, below, end, ends_in, last_events, nanos, remark, settle, sleep, steps, tasks,
    trace_hash,
};
