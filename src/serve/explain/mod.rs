//! What would become of a request, and why: `run`'s own code asked, stage by stage, without a socket.
//!
//! A request head is written as a client would send it, and then read, routed and composed by the functions that serve
//! real ones ([`super::head::reason_of`], [`super::dispatch`], [`super::compose`]), so that what is explained is what
//! happens. Only the words around it are made here.
//!
//! ```text
//!   query ── request.rs ──► octets, listener ── stages.rs ──► Explanation
//! ```

mod request;
mod stages;

use std::net::IpAddr;
use std::time::Duration;

pub use request::{Query, QueryError};
pub use stages::{explain, upstreams_of};

use crate::config::Place;
use crate::policy::Reason;

/// All that can be said of a request before it is sent.
#[derive(Clone, Debug)]
pub struct Explanation {
    /// As it would be received: the head's text.
    pub request: String,
    /// What was decided, in the order in which it is.
    pub stages: Vec<Stage>,
    /// How it ends.
    pub outcome: Outcome,
}

/// One decision.
#[derive(Clone, Debug)]
pub struct Stage {
    /// `listener`, `client`, `framing`, `target`, `site`, `path`, `access`, `body`, `upgrade`, `action`: one word.
    pub name: &'static str,
    /// What was decided.
    pub decision: String,
    /// Why.
    pub why: String,
    /// The line of the configuration that says so, if one does.
    pub place: Option<Place>,
}

/// How a request ends.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// No listener would receive it.
    NoListener,
    /// hotgate answers it.
    Refused(Reason),
    /// It is passed on.
    Forwarded(Box<Forwarded>),
}

/// A request that is passed on.
#[derive(Clone, Debug)]
pub struct Forwarded {
    /// The site's key, as logged.
    pub site: String,
    /// The path's key, as logged.
    pub route: String,
    /// The request head as the upstream would receive it.
    pub head: String,
    /// Names of field lines that came and are not passed on.
    pub removed: Vec<String>,
    /// Field lines that are hotgate's own: name and value.
    pub added: Vec<(String, String)>,
    /// Field lines that came and are passed on with another value: name, the old one, the new one.
    pub replaced: Vec<(String, String, String)>,
    /// The targets, in the order of the file.
    pub upstreams: Vec<Upstream>,
    /// How long a connection to one of them may take.
    pub connect_limit: Duration,
    /// What happens when an attempt fails.
    pub retry: &'static str,
    /// The settings in force that concern it.
    pub settings: Vec<Setting>,
}

/// A target of a route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upstream {
    /// As logged.
    pub label: String,
    /// Where it is.
    pub target: Target,
}

/// Where a target is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A socket in the file system.
    Unix(std::path::PathBuf),
    /// A host and a port; a bare port is 127.0.0.1, then `[::1]`.
    Tcp(Vec<IpAddr>, u16),
    /// A name that is looked up at run time, and a port.
    Name(String, u16),
    /// The built-in origin.
    BuiltIn,
}

/// A setting in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// As `list-keys` names it.
    pub key: &'static str,
    /// As the file would have it.
    pub value: String,
    /// Where it was given; `None` for a built-in default.
    pub place: Option<Place>,
}
