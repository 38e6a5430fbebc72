//! ACME: certificates for public names, ordered and renewed without a word (RFC 8555, 8737, 9773).
//!
//! ```text
//!                 ┌ schedule, limits, queue, choice, failure: pure; whose turn, by what, and what a failure means
//!   clerk ───────┼ preflight, order, account, ari ── http_client ──▶ the authority
//!                 ├ responder ──▶ every worker            dns ──▶ a provider of records
//!                 └ book (certificates/) ──▶ served       hook ──▶ acme.on_change
//! ```
//!
//! The protocol is `instant-acme`'s. Invariants:
//!
//! - Serving never waits for an authority, and no failure of one name keeps another from its certificate.
//! - The authority is told to look only when every worker gives the answer, or the zone's servers show the record.
//! - No order goes out beyond the limits that are known, nor before a pause that was asked for is over; a restart
//!   changes neither.

pub mod account;
pub mod ari;
pub mod choice;
pub mod clerk;
pub mod command;
pub mod dns;
pub mod failure;
pub mod history;
pub mod hook;
pub mod http_client;
pub mod limits;
pub mod nonce;
pub mod order;
pub mod preflight;
pub mod queue;
pub mod renewals;
pub mod responder;
pub mod schedule;
