//! The configuration as values: what [`parse`](super::parse) returns, every default filled in.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;

use super::diagnostic::Diagnostic;
use super::model_tls::{Acme, Hsts, SiteTls, UpstreamTls};
use super::origins::Origins;
use super::place::Place;
use super::secrets::Secrets;
use crate::http::authority::HostName;
use crate::policy::middleware::access::Allow;
use crate::policy::pipeline::Pipeline;
use crate::policy::route::PathPattern;

/// All that hotgate is told by its files, with every default filled in.
#[derive(Clone, Debug)]
pub struct Config {
    /// `[server]`: the process as a whole.
    pub server: Server,
    /// `[acme]`: how certificates for public names are had.
    pub acme: Acme,
    /// `[log]`.
    pub log: Log,
    /// The settings in force before a request has chosen its site: those of `[timeouts]` and `[limits]`, else the
    /// defaults.
    pub defaults: Settings,
    /// Where the defaults were given.
    pub default_origins: Origins,
    /// `[upstreams]`, in the order of the text. No two have the same name.
    pub upstreams: Vec<Upstream>,
    /// `[sites]`, in the order of the text, generated ones last. No two have the same host, scheme and port.
    pub sites: Vec<Site>,
    /// What is legal but deserves a word, in file order.
    pub warnings: Vec<Diagnostic>,
    /// What is never printed.
    pub secrets: Secrets,
    /// Files that `${file:…}` names.
    pub secret_files: Vec<PathBuf>,
}

/// `[server]`: what holds for the whole process.
#[derive(Clone, Debug)]
pub struct Server {
    /// Plain HTTP listeners; never empty, no two alike. Sites may add ports: see [`Config::listeners`].
    pub http: Vec<ListenAddress>,
    /// HTTPS listeners; no two alike, none that is also in `http`. Empty: none. Sites may add ports, and one that no
    /// site is served on is not opened: see [`Config::listeners`].
    pub https: Vec<ListenAddress>,
    /// The port of HTTPS as clients see it, which redirects name. Never 0.
    pub public_https: u16,
    /// Worker threads; `None` is one per usable CPU.
    pub workers: Option<usize>,
    /// Whether workers are pinned to cores.
    pub pin: Pin,
    /// Which way the sockets are driven.
    pub backend: Backend,
    /// What becomes of a request whose host no site has.
    pub unknown_host: UnknownHost,
    /// Peers whose forwarding fields are believed. Compared with addresses in plain form (IPv4-mapped as IPv4).
    pub trusted_proxies: Vec<IpNet>,
    /// Downstream connections at once, in the whole process; `None` follows from the descriptor limit.
    pub max_connections: Option<usize>,
    /// How long a stopping process waits for the exchanges that are under way.
    pub drain_timeout: Duration,
}

/// Where a listener is bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ListenAddress {
    /// `":80"`: any address of this machine, IPv6 and IPv4, or IPv4 alone where there is no IPv6.
    Any {
        /// 0: the system chooses one, which is said at the start.
        port: u16,
    },
    /// `"192.0.2.1:80"` or `"[::1]:80"`: this address alone. Port 0 as above.
    Address(SocketAddr),
}

/// `server.pin`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pin {
    /// Pin where it pays: with four or more CPUs.
    Auto,
    /// Pin each worker to its core.
    On,
    /// Let the kernel place them.
    Off,
}

/// `server.backend`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    /// io_uring where the kernel grants it, else epoll.
    Auto,
    /// io_uring, or refuse to start.
    IoUring,
    /// epoll, whatever the kernel has.
    Epoll,
}

/// `server.unknown_host`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnknownHost {
    /// 421, and the connection is closed.
    Reject,
}

/// One `[upstreams.NAME]`: servers that several sites may name together.
#[derive(Clone, Debug)]
pub struct Upstream {
    /// Letters, digits, `-` and `_`; not digits alone.
    pub name: String,
    /// Never empty, no two alike.
    pub servers: Vec<EndpointAddress>,
    /// How requests share connections to them.
    pub pipeline: Pipeline,
    /// Where `servers` and `pipeline` were given.
    pub origins: Origins,
    /// Where the name stands.
    pub place: Place,
}

/// One entry of `[sites]`.
#[derive(Clone, Debug)]
pub struct Site {
    /// The key as written; what logs and metrics call the site.
    pub name: String,
    /// The hosts it answers for.
    pub host: HostPattern,
    /// What the key says about TLS.
    pub scheme: SiteScheme,
    /// The port that the key names. With [`SiteScheme::Http`] the site is served on this port alone; with
    /// [`SiteScheme::Https`] it is the port of its HTTPS, and the plain listeners redirect there.
    pub port: Option<u16>,
    /// Its certificate, and what it asks of clients; without meaning where the scheme has no HTTPS.
    pub tls: SiteTls,
    /// In the order of the text, the site's own (`"/"`) first. There is always one for every path: where the file
    /// gives none, its action is [`Action::None`]. No two have the same pattern.
    pub routes: Vec<Route>,
    /// It comes from discovery and was read by the narrow schema.
    pub is_generated: bool,
    /// Where the key stands.
    pub place: Place,
}

/// The hosts that a site key covers.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum HostPattern {
    /// One host.
    Exact(HostName),
    /// `*.SUFFIX`: exactly one label before this suffix, which is without `*.`.
    Wildcard(HostName),
    /// Every host that no other site has.
    Any,
}

/// What a site key says about TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SiteScheme {
    /// HTTPS; on the plain listeners it redirects, unless another site has its host there.
    Https,
    /// Plain HTTP: `"http://…"`, `":8080"`, `"*"`.
    Http,
    /// Plain HTTP and HTTPS alike: `"*"` with `tls`. Nothing redirects, since it has no name to redirect to.
    Both,
}

/// One path of a site, with all its settings merged.
#[derive(Clone, Debug)]
pub struct Route {
    /// Which paths, in their one normal form.
    pub pattern: PathPattern,
    /// The key as written (`"/api"`, `"=/x"`); `"/"` for the site's own.
    pub name: String,
    /// What is done with a request.
    pub action: Action,
    /// How it is done.
    pub settings: Settings,
    /// Where the action and each setting was given.
    pub origins: Origins,
    /// Where the key stands.
    pub place: Place,
}

/// What a route does with a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Pass it on to one of these endpoints.
    Proxy(Destination),
    /// Echo the request, credentials masked (`builtin = "whoami"`).
    Whoami,
    /// No action: a site with `paths` alone answers 404 elsewhere.
    None,
}

/// Where a route's requests go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Destination {
    /// What `to` names, in its order: never empty, no two alike.
    pub targets: Vec<Target>,
    /// The addresses of all of these, in that order: never empty, no two alike.
    pub addresses: Vec<EndpointAddress>,
    /// That of the upstreams that are named; off for addresses without one. Targets that differ in it are refused.
    pub pipeline: Pipeline,
}

/// One element of `to`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// An address.
    Address(EndpointAddress),
    /// The name of one of [`Config::upstreams`].
    Upstream(String),
}

/// The address of one upstream endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum EndpointAddress {
    /// A port of this machine: `127.0.0.1` first, then `[::1]`. Never 0.
    Port(u16),
    /// An address or name, and a port.
    Tcp {
        /// An IP literal without brackets or a name, in lower case and without a trailing dot.
        host: String,
        /// 1 to 65535.
        port: u16,
    },
    /// An address or name that is spoken to over TLS: `"https://HOST"`, `"https://HOST:PORT"`.
    Https {
        /// As in [`Tcp`](Self::Tcp).
        host: String,
        /// 1 to 65535; 443 where none is given.
        port: u16,
    },
    /// A socket in the file system.
    Unix(PathBuf),
}

/// The settings of one route: nearest wins, whole values.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The `Host` that the upstream sees.
    pub host: HostHeader,
    /// Upgrade tokens that may pass, in lower case.
    pub upgrade: Vec<String>,
    /// Whether the route's prefix is cut from the path. Only ever true for a prefix that is not `/`.
    pub strip: bool,
    /// Idle limits.
    pub timeouts: Timeouts,
    /// Size limits.
    pub limits: Limits,
    /// Whether requests are in the access log.
    pub log: bool,
    /// Whether field names outside letters, digits and `-` are passed on.
    pub underscore_headers: bool,
    /// The client addresses that are served; others get 403.
    pub allow: Allow,
    /// `Strict-Transport-Security` on answers over TLS.
    pub hsts: Option<Hsts>,
    /// The field that tells the app the subject of a verified client certificate. A client's own is removed.
    pub client_cert_header: Option<String>,
    /// How endpoints with `https://` are spoken to.
    pub upstream_tls: UpstreamTls,
}

/// The `host` setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostHeader {
    /// The client's, unchanged.
    Keep,
    /// The endpoint's own address as written in the target.
    Upstream,
    /// This authority (`host` or `host:port`, valid and in normal form).
    Name(String),
}

/// `[timeouts]`: each limits one wait; none limits a whole request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// A TLS handshake, from accept. Not settable per site.
    pub handshake: Duration,
    /// All of a request head, from its first octet; on a fresh connection from accept. Not settable per site.
    pub header: Duration,
    /// Between two pieces of a request body.
    pub body_idle: Duration,
    /// Until a downstream takes some of what is written to it.
    pub write_idle: Duration,
    /// Between two requests of one connection.
    pub keepalive: Duration,
    /// Until an upstream connection is made.
    pub connect: Duration,
    /// From the request until the response's first octet; `None` waits as long as the client does.
    pub response: Option<Duration>,
    /// A tunnel that is silent both ways.
    pub tunnel_idle: Duration,
    /// How long an unused upstream connection is kept.
    pub upstream_idle: Duration,
}

/// `[limits]`. Sizes are in octets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// A request head, start line included. Not settable per site.
    pub header_size: usize,
    /// Field lines of a head. Not settable per site.
    pub header_count: usize,
    /// A response head from an upstream, status line included.
    pub upstream_header_size: usize,
    /// A request body; `None` is unlimited.
    pub body: Option<u64>,
    /// A request body of known length up to this is read whole before an upstream connection is taken, and as much of a
    /// chunked one is held for a moment. May be 0.
    pub request_buffer: usize,
    /// How much of a response is read ahead of a slow client.
    pub response_buffer: usize,
}

/// `[log]`.
#[derive(Clone, Debug)]
pub struct Log {
    /// The least severe event that is logged.
    pub level: Level,
    /// `[log.access]`.
    pub access: AccessLog,
}

/// `log.level`, from few events to many.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// What stops hotgate or a site.
    Error,
    /// And what deserves a look.
    Warn,
    /// And what changes: starts, reloads, endpoints.
    Info,
    /// And what helps to find a fault.
    Debug,
    /// And everything else.
    Trace,
}

/// `[log.access]`.
#[derive(Clone, Debug)]
pub struct AccessLog {
    /// Where the lines go.
    pub path: LogTarget,
    /// How a line is written.
    pub format: LogFormat,
    /// What is masked in it; no two alike.
    pub redact: Vec<Redact>,
}

/// `log.access.path`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogTarget {
    /// Not given: the usual file where its folder is writable, else standard output.
    Default,
    /// Standard output.
    Stdout,
    /// Nowhere.
    Off,
    /// This file; relative paths are already joined to the source's folder.
    File(PathBuf),
}

/// `log.access.format`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// nginx's `combined`.
    Combined,
}

/// One entry of `log.access.redact`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Redact {
    /// `query:NAME`: the value of this query parameter; the name is compared octet by octet.
    Query(String),
}

impl ListenAddress {
    /// The port; 0 where the system chooses it.
    pub fn port(&self) -> u16 {
        match self {
            ListenAddress::Any { port } => *port,
            ListenAddress::Address(address) => address.port(),
        }
    }
}

impl fmt::Display for ListenAddress {
    /// As it is written in `server.http`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ListenAddress::Any { port } => write!(f, ":{port}"),
            ListenAddress::Address(address) => address.fmt(f),
        }
    }
}

impl fmt::Display for Target {
    /// As it is written, without quotes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::Address(address) => address.fmt(f),
            Target::Upstream(name) => f.write_str(name),
        }
    }
}

impl fmt::Display for EndpointAddress {
    /// As it is written as a target: `3000`, `10.0.0.5:3000`, `[::1]:3000`, `https://app:443`, `unix:/run/app.sock`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            EndpointAddress::Port(port) => write!(f, "{port}"),
            EndpointAddress::Tcp { host, port } => match host.parse::<IpAddr>() {
                Ok(IpAddr::V6(ip)) => write!(f, "[{ip}]:{port}"),
                Ok(IpAddr::V4(_)) | Err(_) => write!(f, "{host}:{port}"),
            },
            EndpointAddress::Https { host, port } => {
                let is_v6 = host.parse::<IpAddr>().is_ok_and(|ip| ip.is_ipv6());
                match is_v6 {
                    true => write!(f, "https://[{host}]:{port}"),
                    false => write!(f, "https://{host}:{port}"),
                }
            }
            EndpointAddress::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl Site {
    /// Is it served over TLS?
    pub fn is_https(&self) -> bool {
        match self.scheme {
            SiteScheme::Https | SiteScheme::Both => true,
            SiteScheme::Http => false,
        }
    }
}

impl Default for Server {
    /// The `[server]` of an empty file.
    fn default() -> Server {
        Server {
            http: vec![ListenAddress::Any { port: 80 }],
            https: vec![ListenAddress::Any { port: 443 }],
            public_https: 443,
            workers: None,
            pin: Pin::Auto,
            backend: Backend::Auto,
            unknown_host: UnknownHost::Reject,
            trusted_proxies: Vec::new(),
            max_connections: None,
            drain_timeout: Duration::from_secs(30),
        }
    }
}

impl Default for Settings {
    /// The settings of a site in an empty file.
    fn default() -> Settings {
        Settings {
            host: HostHeader::Keep,
            upgrade: vec!["websocket".to_owned()],
            strip: false,
            timeouts: Timeouts::default(),
            limits: Limits::default(),
            log: true,
            underscore_headers: false,
            allow: Allow::Any,
            hsts: None,
            client_cert_header: None,
            upstream_tls: UpstreamTls::default(),
        }
    }
}

impl Default for Timeouts {
    /// The `[timeouts]` of an empty file.
    fn default() -> Timeouts {
        Timeouts {
            handshake: Duration::from_secs(10),
            header: Duration::from_secs(10),
            body_idle: Duration::from_secs(60),
            write_idle: Duration::from_secs(600),
            keepalive: Duration::from_secs(75),
            connect: Duration::from_secs(3),
            response: None,
            tunnel_idle: Duration::from_secs(3600),
            upstream_idle: Duration::from_secs(4),
        }
    }
}

impl Default for Limits {
    /// The `[limits]` of an empty file.
    fn default() -> Limits {
        Limits {
            header_size: 32 << 10,
            header_count: 128,
            upstream_header_size: 64 << 10,
            body: None,
            request_buffer: 64 << 10,
            response_buffer: 256 << 10,
        }
    }
}

impl Default for Log {
    /// The `[log]` of an empty file.
    fn default() -> Log {
        Log {
            level: Level::Info,
            access: AccessLog {
                path: LogTarget::Default,
                format: LogFormat::Json,
                redact: Vec::new(),
            },
        }
    }
}
