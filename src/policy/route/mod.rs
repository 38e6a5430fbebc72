//! Routing: listener and host → site; site and normalised path → route.
//!
//! ```text
//!                     host.rs                              path.rs
//!   listener, host ──► exact ► wildcard ► fallback ──► site, path ──► exact ► longest prefix ──► route
//!                        hash    hash                                   binary search
//! ```
//!
//! Invariants:
//! - The order in which a table was built never matters, except that of two equal entries the first stays.
//! - A lookup allocates nothing, and its cost does not grow with the number of sites. With the number of
//!   paths of *one* site it grows as their logarithm, and with the number of different prefix lengths.
//! - An attacker chooses what is looked up, never what is stored, so a fast hash without a secret will do.
//! - Paths come in the one form that is also sent upstream (`http::target::normalize_path`).

mod host;
mod path;
#[cfg(test)]
mod random;
mod table;

pub use path::{PathPattern, RouteMatch};
pub use table::{ListenerIndex, Table, TableBuilder};
