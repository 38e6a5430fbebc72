//! Every key, and what is said of a key that is none.
//!
//! A reader matches the keys it knows and hands all others to [`refuse`]. The lists here are what a misspelt or
//! misplaced key is compared with; `config/hotgate.toml` is tested against them, so that neither can lag behind.

use super::diagnostic::{Fault, Faults};
use super::edit;
use super::foreign::{self, Where};
use super::raw::Entry;
use super::stray_names;
use super::tree::Value;

/// The kinds of table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Level {
    Top,
    Server,
    Timeouts,
    Limits,
    Log,
    Access,
    /// `[upstreams.NAME]`.
    Upstream,
    /// An element of `servers`.
    Endpoint,
    Acme,
    /// `acme.eab`.
    Eab,
    /// `[acme.dns]`.
    Dns,
    Defaults,
    Site,
    Path,
    /// A table of a site's `tls`.
    Tls,
    UpstreamTls,
    Hsts,
}

/// The keys of this version.
pub(super) const KEYS: [(Level, &[&str]); 17] = [
    (
        Level::Top,
        &[
            "server",
            "timeouts",
            "limits",
            "acme",
            "defaults",
            "log",
            "upstreams",
            "sites",
        ],
    ),
    (
        Level::Server,
        &[
            "http",
            "https",
            "public_https",
            "workers",
            "pin",
            "backend",
            "unknown_host",
            "trusted_proxies",
            "max_connections",
            "drain_timeout",
        ],
    ),
    (
        Level::Timeouts,
        &[
            "handshake",
            "header",
            "body_idle",
            "write_idle",
            "keepalive",
            "connect",
            "response",
            "tunnel_idle",
            "upstream_idle",
        ],
    ),
    (
        Level::Limits,
        &[
            "header_size",
            "header_count",
            "upstream_header_size",
            "body",
            "request_buffer",
            "response_buffer",
        ],
    ),
    (Level::Log, &["level", "access"]),
    (Level::Access, &["path", "format", "redact"]),
    (Level::Upstream, &["servers", "pipeline"]),
    (Level::Endpoint, &["address"]),
    (
        Level::Acme,
        &[
            "email",
            "ca",
            "ca_root",
            "challenge",
            "wildcards",
            "on_change",
            "eab",
            "dns",
        ],
    ),
    (Level::Eab, &["key_id", "hmac_key"]),
    (
        Level::Dns,
        &[
            "provider",
            "token",
            "api",
            "server",
            "key_name",
            "algorithm",
            "key",
            "command",
        ],
    ),
    (
        Level::Defaults,
        &[
            "host",
            "upgrade",
            "log",
            "underscore_headers",
            "allow",
            "hsts",
            "client_cert_header",
            "upstream_tls",
            "timeouts",
            "limits",
        ],
    ),
    (
        Level::Site,
        &[
            "to",
            "builtin",
            "paths",
            "tls",
            "host",
            "upgrade",
            "log",
            "underscore_headers",
            "allow",
            "hsts",
            "client_cert_header",
            "upstream_tls",
            "timeouts",
            "limits",
        ],
    ),
    (
        Level::Path,
        &[
            "to",
            "builtin",
            "strip",
            "host",
            "upgrade",
            "log",
            "underscore_headers",
            "allow",
            "hsts",
            "client_cert_header",
            "upstream_tls",
            "timeouts",
            "limits",
        ],
    ),
    (Level::Tls, &["cert", "key", "client_auth", "client_ca"]),
    (
        Level::UpstreamTls,
        &["ca", "server_name", "verify", "cert", "key"],
    ),
    (Level::Hsts, &["max_age", "subdomains", "preload"]),
];

/// The keys of the design that this version does not have: refused by name, never silently.
const LATER: [(Level, &[&str]); 8] = [
    (Level::Top, &["admin", "docker", "metrics", "users"]),
    (Level::Server, &["memory", "watch"]),
    (Level::Limits, &["connections_per_ip"]),
    (
        Level::Upstream,
        &[
            "balance",
            "health",
            "max_connections",
            "queue",
            "retry",
            "start_grace",
        ],
    ),
    (Level::Endpoint, &["backup", "weight"]),
    (Level::Defaults, LATER_ON_SITES),
    (Level::Site, LATER_ON_SITES),
    (Level::Path, LATER_ON_SITES),
];

const LATER_ON_SITES: &[&str] = &[
    "aliases",
    "basic_auth",
    "canonical",
    "compress",
    "errors",
    "forward_auth",
    "forward_authorization",
    "listen",
    "maintenance",
    "php",
    "rate_limit",
    "redirect",
    "request_headers",
    "respond",
    "response_headers",
    "root",
    "security_headers",
];

impl Level {
    /// As a message names it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Level::Top => "the top level",
            Level::Server => "`[server]`",
            Level::Timeouts => "`[timeouts]`",
            Level::Limits => "`[limits]`",
            Level::Log => "`[log]`",
            Level::Access => "`[log.access]`",
            Level::Upstream => "an upstream",
            Level::Endpoint => "a server of an upstream",
            Level::Acme => "`[acme]`",
            Level::Eab => "`eab`",
            Level::Dns => "`[acme.dns]`",
            Level::Tls => "`tls`",
            Level::UpstreamTls => "`upstream_tls`",
            Level::Hsts => "`hsts`",
            Level::Defaults => "`[defaults]`",
            Level::Site => "a site",
            Level::Path => "a path",
        }
    }

    fn place(self) -> Where {
        match self {
            Level::Top
            | Level::Access
            | Level::Upstream
            | Level::Endpoint
            | Level::Acme
            | Level::Eab
            | Level::Dns
            | Level::Tls
            | Level::UpstreamTls
            | Level::Hsts => Where::Top,
            Level::Server => Where::Server,
            Level::Timeouts => Where::Timeouts,
            Level::Limits => Where::Limits,
            Level::Log => Where::Log,
            Level::Defaults | Level::Site | Level::Path => Where::Site,
        }
    }

    /// Whether a key belongs here, in this version or a later one.
    pub(super) fn has(self, key: &str) -> bool {
        self.keys().contains(&key) || of(&LATER, self).contains(&key)
    }

    /// The keys that this version reads here.
    pub(super) fn keys(self) -> &'static [&'static str] {
        of(&KEYS, self)
    }
}

fn of(table: &[(Level, &'static [&'static str])], level: Level) -> &'static [&'static str] {
    table
        .iter()
        .find(|(of, _)| *of == level)
        .map_or(&[], |(_, keys)| keys)
}

/// Reports a key that the reader of this level does not know.
pub(super) fn refuse(entry: &Entry, level: Level, faults: &mut Faults) {
    let name = entry.name;
    if of(&LATER, level).contains(&name) {
        let message = format!("`{name}` is not supported in this version");
        faults.error(Fault::new("not-supported", entry.key.clone(), message));
        if level == Level::Top && name == "users" {
            stray_names::unquoted_users(entry, faults);
        }
        return;
    }
    let is_host = level == Level::Top && stray_names::begins_host(entry, faults);
    if !is_host && let Some(fault) = foreign::fault(entry, level.place()) {
        faults.error(fault);
        return;
    }
    if stray_names::is_stray_host(entry, level.name(), level.keys(), faults) {
        return;
    }
    let is_path = name.starts_with(['/', '=']);
    if is_path && level == Level::Site {
        let message = format!("`{name}` does not belong in {}", level.name());
        let fault = Fault::new("misplaced-key", entry.key.clone(), message);
        let mend = format!("paths.{name:?}");
        faults.error(
            fault
                .label("paths stand in the site's `paths`")
                .replace(entry.key.clone(), mend),
        );
        return;
    }
    if let Some((table, _)) = name.split_once('.').filter(|(table, _)| level.has(table)) {
        let message = format!("`{name}` in quotes is one key; `{table}` is a table");
        let fault = Fault::new("unknown-key", entry.key.clone(), message);
        faults.error(
            fault
                .label("without quotes the dot parts them")
                .replace(entry.key.clone(), name),
        );
        return;
    }
    let is_table = matches!(entry.value, Value::Table(_));
    let mut elsewhere = KEYS
        .iter()
        .chain(&LATER)
        .filter(|(_, keys)| keys.contains(&name))
        // `[sites."h".path]` is no `path` of a log.
        .filter(|_| !is_table || edit::nearest(name, level.keys().iter().copied()).is_none());
    if let Some((home, _)) = elsewhere.next() {
        let message = format!("`{name}` does not belong in {}", level.name());
        let fault = Fault::new("misplaced-key", entry.key.clone(), message);
        faults.error(fault.label(format!("it is a key of {}", home.name())));
        return;
    }
    let message = format!("`{name}` is not a key of {}", level.name());
    let fault = Fault::new("unknown-key", entry.key.clone(), message);
    let known = level.keys();
    faults.error(
        match edit::nearest(name, known.iter().chain(of(&LATER, level)).copied()) {
            Some(word) => fault
                .label(format!("did you mean `{word}`?"))
                .replace(entry.key.clone(), word),
            None => fault.label(format!("its keys are {}", known.join(", "))),
        },
    );
}
