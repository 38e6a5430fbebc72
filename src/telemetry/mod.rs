//! Telemetry: what is remembered of the traffic. Values and octets only; no file, no thread, no clock.
//!
//! ```text
//!   worker                                        log writer's thread (control/log_writer)
//!   AccessRecord ──pack──► ring ─────────────────► unpack ──► json | combined ──► file
//!                  (sink)        one per worker                 redact, escape
//!   CounterBlock ─────────── read by anyone ─────► sum
//! ```
//!
//! Invariants:
//!
//! - A worker allocates nothing here after its start, waits for nobody, and formats nothing.
//! - A ring and a counter block have one writer.
//! - What a peer sent is capped when it is packed and escaped when it is written: no octet of it can end a line,
//!   close a quote or drive a terminal.
//! - `Authorization` and `Cookie` have no place in a record.

pub mod access;
pub mod combined;
pub mod counters;
mod decimal;
mod escape;
pub mod json;
pub mod line_format;
pub mod redact;
pub mod request_id;
pub mod ring;
pub mod sink;

pub use access::AccessRecord;
pub use counters::{Counter, CounterBlock};
pub use line_format::LineFormat;
pub use redact::Redaction;
pub use request_id::{RequestId, RequestIdSource};
pub use sink::AccessSink;
