//! Configuration: TOML text in, one checked [`Config`] out. Opens no file and reads no clock.
//!
//! [`parse`] finds every fault of every source and reports them together, in file order, each with its place and
//! its mend; with one fault there is no `Config`. What it returns has every default filled in and every setting
//! merged (path over site over `[timeouts]` and `[limits]`), so no other part of hotgate knows a default.
//!
//! ```text
//!   text ── toml ──► tree with places ── raw ──► typed entries ── check ──► Config
//!                        │                          │                │
//!                        └── syntax, duplicates     └── types,       └── hosts, paths, targets,
//!                                                       units            settings, actions
//!                                    every fault ──► diagnostic
//! ```
//!
//! Left to others: which files are read, and expanding names (`cli/`); whether a target answers (`check --deep`).

mod check;
mod diagnostic;
mod duplicates;
mod edit;
mod foreign;
mod host;
mod keys;
mod listen;
mod log;
mod model;
mod networks;
mod path;
mod place;
mod raw;
mod server;
mod settings;
mod site;
mod target;
mod units;

pub use check::parse;
pub use diagnostic::{Diagnostic, Severity};
pub use listen::Listener;
pub use model::{
    AccessLog, Action, Backend, Config, EndpointAddress, HostHeader, HostPattern, Level, Limits,
    ListenAddress, Log, LogFormat, LogTarget, Pin, Redact, Route, Server, Settings, Site,
    SiteScheme, Timeouts, UnknownHost,
};
pub use place::{Place, Source};
