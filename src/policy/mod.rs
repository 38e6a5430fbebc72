//! Policy: what to do with a message. Pure decisions; nothing here does anything.
//!
//! ```text
//!   authority, path ──► route ──────► site and route, or a Reason
//!   client address  ──► middleware ─► Allow
//!   endpoints       ──► balance ────► which one
//!   an exchange     ──► exchange ───► retry? keep either connection?
//!   what went wrong ──► reason ─────► status, sentence, close?
//! ```
//!
//! Invariants: no file here knows a clock, a socket or a random source, and nothing on the path of a
//! request allocates. What each decision is *about* (endpoints, sites, routes) appears only as a
//! small number, to which `config` and `serve` give a meaning.

pub mod balance;
pub mod exchange;
pub mod middleware;
pub mod pipeline;
pub mod reason;
pub mod route;
mod wording;

pub use reason::{Fault, Reason};
