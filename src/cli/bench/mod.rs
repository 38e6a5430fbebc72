//! `hotgate bench`: CPU, speed and memory beside other proxies, on this machine.
//!
//! ```text
//!   load (wrk, oha, bench-paced, bench-handshakes) ──► proxy under test ──► origin (bench-origin)
//!   └───────────────── load's cores ─────────────────┘└─ proxy's cores ─┘└─── load's cores ────┘
//! ```
//!
//! All of it are children of this process, which measures and is not measured: the hotgate under test is this same
//! binary, run with a configuration as the rivals are. Whoever wins a round, the round is printed.

mod account;
mod certificate;
mod client;
mod contender;
mod cores;
mod fault;
mod handshakes;
mod idle;
mod interrupt;
mod load;
mod metric;
mod offer;
mod origin;
mod paced;
mod plan;
mod process;
mod profile;
mod programs;
mod report;
mod request;
mod rounds;
mod series;
mod setups;
mod statistics;
mod text;
mod tls_client;
mod verb;

pub(super) use handshakes::{HandshakesArgs, handshakes};
pub(super) use origin::{OriginArgs, origin};
pub(super) use paced::{PacedArgs, paced};
pub(super) use verb::{BenchArgs, bench};
