//! How HTTP/1.1 is written on the wire (RFC 9112): octets in, values out, and back again.
//!
//! ```text
//!   octets ──► request / response ──► head ──► framing ──► body ──► content
//!                  │        │                                │
//!                  └► field_lines ◄┘                      chunked
//!                        │
//!                      scan
//!
//!   head, content ──► encode, chunked ──► octets
//! ```
//!
//! Nothing here reads a socket, a clock or a file. A parser answers in one of three ways: complete,
//! incomplete (more octets may still make it complete) or an error (no octets can).
//!
//! Invariants:
//! - **Online.** An answer depends on the octets up to the place it speaks of and on nothing after it.
//!   However the input is cut into pieces, the answer is the same, and an error is reported with the first
//!   piece that holds the offending octet. Every test of this folder feeds its input at every split point.
//! - **Strict.** Whatever two readers could understand in two ways is refused, never repaired: a line ends
//!   in CRLF and in nothing else, and no control octet but HTAB stands in a field value.
//! - **Ranges.** A head holds ranges, no borrows; the buffer may be lent to the kernel and moved meanwhile.
//! - **No allocation** once a parser's `Fields` has grown to what its peers send.
//! - `unsafe` stands in `scan.rs` alone.

pub mod body;
pub mod chunked;
pub mod compact;
pub mod encode;
pub mod error;
pub mod field_lines;
pub mod framing;
pub mod persistence;
pub mod request;
pub mod response;
pub mod scan;
#[cfg(test)]
mod splits;

pub use body::{BodyCursor, BodyStep, Truncated};
pub use chunked::{ChunkError, ChunkStep, ChunkedDecoder};
pub use encode::Encoder;
pub use error::{ParseError, ParseErrorKind};
pub use field_lines::{HeadLimits, Progress};
pub use framing::{Framing, FramingError};
pub use request::RequestParser;
pub use response::ResponseParser;
