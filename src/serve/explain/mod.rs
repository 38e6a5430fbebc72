//! What would become of a request, and why: `run`'s own code asked, stage by stage, without a socket.
//!
//! A request head is written as a client would send it, and then read, routed and composed by the functions that serve
//! real ones ([`super::head::reason_of`], [`super::dispatch`], [`super::compose`]), so that what is explained is what
//! happens. Only the words around it are made here.
//!
//! ```text
//!   query ── request.rs ──► octets, listener ── stages.rs ──► Explanation
//!                                                  │
//!              where a head was refused: refusal ──┼── why not another one: rivals
//!              each decision as a Stage: words ────┴── what the upstream gets: sent
//! ```

mod refusal;
mod request;
mod rivals;
mod sent;
mod stages;
mod tls;
mod words;

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

pub use request::{Query, QueryError};
pub use sent::upstreams_of;
pub use stages::explain;

use crate::config::{Place, UpstreamTls};
use crate::policy::Reason;

/// All that can be said of a request before it is sent.
#[derive(Clone, Debug)]
pub struct Explanation {
    /// As it would be received: the head's text.
    pub request: String,
    /// What was decided, in the order in which it is.
    pub stages: Vec<Stage>,
    /// The site's key, as logged; `None` where it did not come so far.
    pub site: Option<String>,
    /// The path's key, as logged.
    pub route: Option<String>,
    /// How it ends.
    pub outcome: Outcome,
}

/// One decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stage {
    /// One word: `listener`, `head`, `framing`, `fields`, `method`, `target`, `host`, `expect`, `client`, `site`,
    /// `cert`, `clients`, `redirect`, `path`, `access`, `body`, `upgrade`, `action`, `log`.
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
    /// No listener would receive it; with a URL that one would, if a site has the host.
    NoListener(Option<String>),
    /// hotgate answers it.
    Refused(Reason),
    /// It is passed on.
    Forwarded(Box<Forwarded>),
}

/// A request that is passed on.
#[derive(Clone, Debug)]
pub struct Forwarded {
    /// The request head as each of `upstreams` would receive it: with `host = "upstream"` they differ. Never empty.
    pub heads: Vec<String>,
    /// Names of field lines that came and are not passed on.
    pub removed: Vec<String>,
    /// Field lines that are hotgate's own: name and value.
    pub added: Vec<(String, String)>,
    /// Field lines that came and are passed on with another value: name, the old one, the new one.
    pub replaced: Vec<(String, String, String)>,
    /// The targets, in the order in which the first worker takes them: that of the file.
    pub upstreams: Vec<Upstream>,
    /// How long a connection to one of them may take.
    pub connect_limit: Duration,
    /// What happens when an attempt fails.
    pub retry: &'static str,
    /// Every setting in force.
    pub settings: Vec<Setting>,
}

/// A target of a route.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Upstream {
    /// As logged.
    pub label: String,
    /// Where it is.
    pub target: Target,
    /// Of a target of HTTPS.
    pub tls: Option<TargetTls>,
}

/// How a target of HTTPS is spoken to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TargetTls {
    /// Its host, as the file has it.
    pub host: String,
    /// Whom it has to be, and what is shown to it.
    pub settings: UpstreamTls,
}

/// Where a target is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
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

impl Forwarded {
    /// The request head as the first upstream would receive it.
    pub fn head(&self) -> &str {
        self.heads.first().map_or("", String::as_str)
    }
}

impl Target {
    /// What is dialled, in order; nothing where it is known at run time alone.
    pub fn addresses(&self) -> Vec<String> {
        match self {
            Target::Unix(path) => vec![path.display().to_string()],
            Target::Tcp(ips, port) => ips
                .iter()
                .map(|ip| SocketAddr::new(*ip, *port).to_string())
                .collect(),
            Target::Name(..) | Target::BuiltIn => Vec::new(),
        }
    }
}

/// A setting in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// As `list-keys` names it.
    pub key: String,
    /// As the file would have it.
    pub value: String,
    /// Where it was given; `None` for a built-in default.
    pub place: Option<Place>,
}
