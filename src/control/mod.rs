//! The control plane: one ordinary thread beside the workers.
//!
//! It reads what is configured, resolves names, binds sockets, starts workers, publishes snapshots, and hears signals.
//! The data plane never waits for it. What it cannot do without waiting (getaddrinfo, writing logs) it hands
//! to helper threads.

pub mod acme;
pub mod certificates;
mod endpoints;
pub mod files;
pub mod inspect;
pub mod last_good;
pub mod limits;
pub mod live;
pub mod load;
pub mod log_output;
pub mod log_writer;
mod memory;
pub mod ports;
pub mod resolve;
pub mod supervisor;
pub mod surroundings;
pub mod upstream_tls;
pub mod whoami;
