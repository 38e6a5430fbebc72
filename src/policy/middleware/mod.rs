//! Middleware: what a request must pass between its site and its upstream, in a fixed order.
//!
//! ```text
//!   site ──► misdirected, redirect ──► route ──► access ──► upstream
//! ```
//!
//! A fixed order with names, not a chain that a config arranges: that access is decided before anything else sees the
//! request is then plain from this page.

pub mod access;
pub mod misdirected;
pub mod redirect;
