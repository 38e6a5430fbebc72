//! Balancing: which endpoint of an upstream takes the next request. One policy, one file.
//!
//! A policy sees endpoints as the numbers `0..endpoints` and keeps what it must remember itself. Each worker has
//! its own, so none needs a lock.
//!
//! Invariant: the endpoint that was just tried is never picked again.

mod round_robin;

pub use round_robin::RoundRobin;
