//! Looking at the machine for `check` and `quick`: what the files cannot say.
//!
//! Each file asks one question and answers with [`Finding`]s; nothing here prints, changes anything, or listens longer
//! than a look takes.

pub mod access;
pub mod certificates;
pub mod finding;
pub mod names;
pub mod ports;
pub mod unit;
pub mod upstreams;
pub mod users;

pub use finding::{Finding, Mark};
