//! Configuration: TOML text in, one checked [`Config`] out. Opens no file and reads no clock.
//!
//! [`parse`] finds every fault of every source and reports them together, in file order, each with its place and
//! its mend; with one fault there is no `Config`. What it returns has every default filled in and every setting
//! merged (path over site over `[defaults]` over `[timeouts]` and `[limits]`), so no other part of hotgate knows a default.
//!
//! ```text
//!   texts ── toml ──► trees ── expand, layers ──► one tree ── raw ──► typed entries ── check ──► Config
//!                       │            │                             │                   │
//!                       │            └── `${…}`, keys set twice    └── types, units    └── hosts, paths, targets,
//!                       └── syntax                                                         settings, actions
//!                                    every fault ──► diagnostic
//!
//!   texts of discovery ── generated, by a narrow schema ──► more sites; what is refused ──► warnings
//! ```
//!
//! Left to others: which files are read, and what stands in the environment (`control/files`); whether a target
//! answers (`check --deep`).

mod acme;
pub mod catalogue;
mod catalogue_keys;
mod check;
mod destination;
mod diagnostic;
mod dns;
mod dump;
mod duplicates;
mod edit;
mod excerpt;
mod expand;
mod foreign;
mod foreign_words;
mod generated;
mod grow;
mod host;
mod hsts;
mod keys;
mod layers;
mod lines;
mod listen;
mod local_name;
mod log;
mod model;
mod model_tls;
mod networks;
mod origins;
mod other_language;
mod path;
mod place;
mod raw;
mod reach;
pub mod schema;
mod secrets;
mod server;
mod settings;
mod site;
mod slips;
mod stray_names;
mod target;
mod text;
mod tls;
mod traps;
mod tree;
mod units;
mod upstreams;
mod usefulness;

pub use catalogue_keys::KEYS as CATALOGUE;
pub use check::{parse, parse_files};
pub use diagnostic::{Diagnostic, Severity};
pub use dump::quoted;
pub use edit::nearest;
pub use expand::{Reference, Surroundings};
pub use listen::{Listener, ListenerKind};
pub use local_name::{LOCAL_SUFFIXES, is_local_name};
pub use model::{
    AccessLog, Action, Backend, Config, Destination, EndpointAddress, HostHeader, HostPattern,
    Level, Limits, ListenAddress, Log, LogFormat, LogTarget, Pin, Redact, Route, Server, Settings,
    Site, SiteScheme, Target, Timeouts, UnknownHost, Upstream,
};
pub use model_tls::{
    Acme, CertificateSource, ChallengeChoice, ClientAuth, DnsProvider, Eab, Hsts, LETSENCRYPT,
    LETSENCRYPT_STAGING, PemPair, SiteTls, UpstreamTls,
};
pub use origins::Origins;
pub use place::{File, FileKind, Place, Source};
pub use secrets::Secrets;
