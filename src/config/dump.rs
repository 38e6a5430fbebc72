//! A configuration as TOML: what is in force, every default filled in, and where each line comes from.
//!
//! What is written reads back as the same configuration. Of a site stands what differs from the defaults, of a path
//! what differs from its site.

use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

use ipnet::IpNet;

use super::model::{
    Action, Backend, Config, EndpointAddress, HostHeader, Level, Limits, LogFormat, LogTarget, Pin,
    Redact, Route, Settings, Site, Target, Timeouts, UnknownHost, Upstream,
};
use super::model_tls::{
    Acme, CertificateSource, ChallengeChoice, ClientAuth, DnsProvider, Hsts, PemPair, UpstreamTls,
};
use super::origins::Origins;
use super::units::{write_duration, write_size};
use crate::policy::middleware::access::Allow;
use crate::policy::pipeline::Pipeline;

/// Columns that a value takes before its comment.
const COMMENT_COLUMN: usize = 44;

impl Config {
    /// All of it as TOML, with its origins as comments. What is secret is `***`.
    pub fn dump(&self) -> String {
        let mut out = Writer(String::new());
        out.server(self);
        out.head("timeouts");
        let none = Settings::default();
        let (origins, given) = (&self.default_origins, &self.defaults);
        for (key, value) in timeouts(&given.timeouts) {
            out.key(key, &value, &origin(origins, &format!("timeouts.{key}")));
        }
        out.head("limits");
        for (key, value) in limits(&given.limits) {
            out.key(key, &value, &origin(origins, &format!("limits.{key}")));
        }
        out.head("defaults");
        for (key, value) in own_settings(given, &none, true) {
            out.key(key, &value, &origin(origins, key));
        }
        out.acme(&self.acme);
        out.head("log");
        out.key("level", level(self.log.level), "");
        out.head("log.access");
        let access = &self.log.access;
        match &access.path {
            LogTarget::Default => {}
            LogTarget::Stdout => out.key("path", "\"stdout\"", ""),
            LogTarget::Off => out.key("path", "\"off\"", ""),
            LogTarget::File(path) => out.key("path", &quoted(&path.display().to_string()), ""),
        }
        let format = match access.format {
            LogFormat::Json => "\"json\"",
            LogFormat::Combined => "\"combined\"",
        };
        out.key("format", format, "");
        let redact = access
            .redact
            .iter()
            .map(|Redact::Query(name)| format!("query:{name}"));
        out.key("redact", &list(redact), "");
        for upstream in &self.upstreams {
            out.upstream(upstream);
        }
        for site in &self.sites {
            out.site(site, given);
        }
        self.secrets.mask(&out.0)
    }
}

impl Settings {
    /// Each setting as the file would have it, by the name that `list-keys` has; `strip` is left out.
    pub fn shown(&self) -> Vec<(String, String)> {
        let own = own_settings(self, self, true).into_iter();
        let own = own.map(|(key, value)| (key.to_owned(), value));
        let timeouts = timeouts(&self.timeouts).into_iter();
        let timeouts = timeouts.map(|(key, value)| (format!("timeouts.{key}"), value));
        let limits = limits(&self.limits).into_iter();
        own.chain(timeouts)
            .chain(limits.map(|(key, value)| (format!("limits.{key}"), value)))
            .collect()
    }
}

struct Writer(String);

impl Writer {
    fn line(&mut self, line: &str) {
        self.0.push_str(line);
        self.0.push('\n');
    }

    fn head(&mut self, table: &str) {
        if !self.0.is_empty() {
            self.0.push('\n');
        }
        self.line(&format!("[{table}]"));
    }

    fn key(&mut self, key: &str, value: &str, comment: &str) {
        let line = format!("{key} = {value}");
        match comment {
            "" => self.line(&line),
            comment => {
                // Writing to a string cannot fail.
                let _ = writeln!(self.0, "{line:COMMENT_COLUMN$} # {comment}");
            }
        }
    }

    fn server(&mut self, config: &Config) {
        let server = &config.server;
        let count = |count: Option<usize>| count.map_or("\"auto\"".to_owned(), |n| n.to_string());
        self.head("server");
        self.key(
            "http",
            &list(server.http.iter().map(ToString::to_string)),
            "",
        );
        self.key(
            "https",
            &list(server.https.iter().map(ToString::to_string)),
            "",
        );
        self.key("public_https", &server.public_https.to_string(), "");
        self.key("workers", &count(server.workers), "");
        self.key(
            "pin",
            match server.pin {
                Pin::Auto => "\"auto\"",
                Pin::On => "true",
                Pin::Off => "false",
            },
            "",
        );
        self.key(
            "backend",
            match server.backend {
                Backend::Auto => "\"auto\"",
                Backend::IoUring => "\"io_uring\"",
                Backend::Epoll => "\"epoll\"",
            },
            "",
        );
        let unknown_host = match server.unknown_host {
            UnknownHost::Reject => "\"reject\"",
        };
        self.key("unknown_host", unknown_host, "");
        self.key("trusted_proxies", &networks(&server.trusted_proxies), "");
        self.key("max_connections", &count(server.max_connections), "");
        self.key(
            "drain_timeout",
            &quoted(&write_duration(server.drain_timeout)),
            "",
        );
    }

    fn acme(&mut self, acme: &Acme) {
        self.head("acme");
        let optional = [("email", &acme.email), ("on_change", &acme.on_change)];
        for (key, text) in optional {
            if let Some(text) = text {
                self.key(key, &quoted(text), "");
            }
        }
        self.key("ca", &quoted(&acme.ca), "");
        if let Some(root) = &acme.ca_root {
            self.key("ca_root", &path(root), "");
        }
        let challenge = match acme.challenge {
            ChallengeChoice::Auto => "auto",
            ChallengeChoice::Http01 => "http-01",
            ChallengeChoice::TlsAlpn01 => "tls-alpn-01",
            ChallengeChoice::Dns01 => "dns-01",
        };
        self.key("challenge", &quoted(challenge), "");
        let names = acme.wildcards.iter().map(|name| name.as_str().to_owned());
        self.key("wildcards", &list(names), "");
        if let Some(eab) = &acme.eab {
            let key_id = quoted(&eab.key_id);
            self.key(
                "eab",
                &format!("{{ key_id = {key_id}, hmac_key = {SECRET} }}"),
                "",
            );
        }
        if let Some(dns) = &acme.dns {
            self.head("acme.dns");
            self.key("provider", &quoted(dns.name()), "");
            for (key, value) in provider(dns) {
                self.key(key, &value, "");
            }
        }
    }

    fn upstream(&mut self, upstream: &Upstream) {
        self.0.push('\n');
        self.line(&format!(
            "[upstreams.{}] # {}",
            upstream.name, upstream.place
        ));
        let of = |key: &str| origin(&upstream.origins, key);
        let servers: Vec<String> = upstream.servers.iter().map(address).collect();
        self.key(
            "servers",
            &format!("[{}]", servers.join(", ")),
            &of("servers"),
        );
        let pipeline = match upstream.pipeline {
            Pipeline::Depth(depth) => depth.to_string(),
            word @ (Pipeline::Off | Pipeline::Auto) => quoted(&word.to_string()),
        };
        self.key("pipeline", &pipeline, &of("pipeline"));
    }

    fn site(&mut self, site: &Site, defaults: &Settings) {
        // The routes of a site begin with the one of all its paths.
        let Some((whole, paths)) = site.routes.split_first() else {
            return;
        };
        let table = format!("sites.{}", quoted(&site.name));
        if !self.0.is_empty() {
            self.0.push('\n');
        }
        let note = match site.is_generated {
            true => " (generated)",
            false => "",
        };
        self.line(&format!("[{table}] # {}{note}", site.place));
        if let Some(tls) = tls(site) {
            self.key("tls", &tls, "");
        }
        self.route(whole, defaults);
        for path in paths {
            self.line(&format!(
                "[{table}.paths.{}] # {}",
                quoted(&path.name),
                path.place
            ));
            self.route(path, &whole.settings);
        }
    }

    fn route(&mut self, route: &Route, outer: &Settings) {
        let of = |key: &str| origin(&route.origins, key);
        match &route.action {
            Action::Proxy(to) => {
                let targets: Vec<String> = to.targets.iter().map(target).collect();
                let value = match targets.as_slice() {
                    [one] => one.clone(),
                    several => format!("[{}]", several.join(", ")),
                };
                self.key("to", &value, &of("to"));
            }
            Action::Whoami => self.key("builtin", "\"whoami\"", &of("builtin")),
            Action::None => {}
        }
        if route.settings.strip != outer.strip {
            self.key("strip", &route.settings.strip.to_string(), &of("strip"));
        }
        for (key, value) in own_settings(&route.settings, outer, false) {
            self.key(key, &value, &of(key));
        }
        let changed = |ours: Vec<(&'static str, String)>, theirs: Vec<(&'static str, String)>| {
            ours.into_iter()
                .zip(theirs)
                .filter(|(ours, theirs)| ours != theirs)
                .map(|(ours, _)| ours)
                .collect::<Vec<_>>()
        };
        let settings = &route.settings;
        for (key, value) in changed(timeouts(&settings.timeouts), timeouts(&outer.timeouts)) {
            let key = format!("timeouts.{key}");
            self.key(&key, &value, &of(&key));
        }
        for (key, value) in changed(limits(&settings.limits), limits(&outer.limits)) {
            let key = format!("limits.{key}");
            self.key(&key, &value, &of(&key));
        }
    }
}

/// What stands for a token or a key.
const SECRET: &str = "\"***\"";

/// The keys of a provider's table beside `provider`.
fn provider(dns: &DnsProvider) -> Vec<(&'static str, String)> {
    match dns {
        DnsProvider::Cloudflare { token: _, api }
        | DnsProvider::Hetzner { token: _, api }
        | DnsProvider::Desec { token: _, api } => {
            let api = api.iter().map(|api| ("api", quoted(api)));
            [("token", SECRET.to_owned())]
                .into_iter()
                .chain(api)
                .collect()
        }
        DnsProvider::Rfc2136 {
            server,
            key_name,
            algorithm,
            key: _,
        } => vec![
            ("server", quoted(server)),
            ("key_name", quoted(key_name)),
            ("algorithm", quoted(algorithm)),
            ("key", SECRET.to_owned()),
        ],
        DnsProvider::Exec { command } => vec![("command", quoted(command))],
    }
}

/// What a site's `tls` would have to say; nothing where it is as its key makes it.
fn tls(site: &Site) -> Option<String> {
    let of_pair = |pair: &PemPair| vec![("cert", path(&pair.cert)), ("key", path(&pair.key))];
    let mut tables: Vec<Vec<(&str, String)>> = match &site.tls.source {
        CertificateSource::Files(pairs) => pairs.iter().map(of_pair).collect(),
        CertificateSource::Acme | CertificateSource::LocalCa => Vec::new(),
    };
    let asked = match &site.tls.client_auth {
        ClientAuth::Off => None,
        ClientAuth::Request(ca) => Some(("request", ca)),
        ClientAuth::Require(ca) => Some(("require", ca)),
    };
    if let Some((mode, ca)) = asked {
        let asked = [("client_auth", quoted(mode)), ("client_ca", path(ca))];
        match tables.first_mut() {
            Some(first) => first.extend(asked),
            None => tables.push(asked.into()),
        }
    }
    let tables: Vec<String> = tables.iter().map(|keys| table(keys)).collect();
    match tables.as_slice() {
        [] => None,
        [one] => Some(one.clone()),
        several => Some(format!("[{}]", several.join(", "))),
    }
}

fn hsts(hsts: Option<Hsts>) -> String {
    let Some(hsts) = hsts else {
        return quoted("off");
    };
    let mut keys = vec![("max_age", quoted(&write_duration(hsts.max_age)))];
    let switches = [("subdomains", hsts.subdomains), ("preload", hsts.preload)];
    let on = switches.into_iter().filter(|(_, is_on)| *is_on);
    keys.extend(on.map(|(key, is_on)| (key, is_on.to_string())));
    match keys.as_slice() {
        [(_, max_age)] => max_age.clone(),
        keys => table(keys),
    }
}

fn upstream_tls(tls: &UpstreamTls) -> String {
    let mut keys = Vec::new();
    keys.extend(tls.ca.iter().map(|ca| ("ca", path(ca))));
    let name = tls.server_name.iter();
    keys.extend(name.map(|name| ("server_name", quoted(name))));
    if !tls.verify {
        keys.push(("verify", "false".to_owned()));
    }
    if let Some(pair) = &tls.cert {
        keys.push(("cert", path(&pair.cert)));
        keys.push(("key", path(&pair.key)));
    }
    table(&keys)
}

/// An inline table.
fn table(keys: &[(&str, String)]) -> String {
    let keys: Vec<String> = keys
        .iter()
        .map(|(key, value)| format!("{key} = {value}"))
        .collect();
    match keys.as_slice() {
        [] => "{}".to_owned(),
        keys => format!("{{ {} }}", keys.join(", ")),
    }
}

fn path(path: &Path) -> String {
    quoted(&path.display().to_string())
}

fn origin(origins: &Origins, key: &str) -> String {
    origins.of(key).map(ToString::to_string).unwrap_or_default()
}

/// The settings that are no table: all of them, or those that differ from the outer level's.
fn own_settings(ours: &Settings, outer: &Settings, is_all: bool) -> Vec<(&'static str, String)> {
    let written = |settings: &Settings| {
        vec![
            (
                "host",
                quoted(match &settings.host {
                    HostHeader::Keep => "keep",
                    HostHeader::Upstream => "upstream",
                    HostHeader::Name(name) => name,
                }),
            ),
            ("upgrade", list(settings.upgrade.iter().cloned())),
            ("log", settings.log.to_string()),
            (
                "underscore_headers",
                settings.underscore_headers.to_string(),
            ),
            (
                "allow",
                match &settings.allow {
                    Allow::Any => "\"any\"".to_owned(),
                    Allow::Nets(nets) => networks(nets),
                },
            ),
            ("hsts", hsts(settings.hsts)),
            (
                "client_cert_header",
                quoted(settings.client_cert_header.as_deref().unwrap_or("off")),
            ),
            ("upstream_tls", upstream_tls(&settings.upstream_tls)),
        ]
    };
    let pairs = written(ours).into_iter().zip(written(outer));
    pairs
        .filter(|(ours, outer)| is_all || ours != outer)
        .map(|(ours, _)| ours)
        .collect()
}

/// Each with its key, in the order of the manual.
fn timeouts(timeouts: &Timeouts) -> Vec<(&'static str, String)> {
    let text = |duration: Duration| quoted(&write_duration(duration));
    let Timeouts {
        handshake,
        header,
        body_idle,
        write_idle,
        keepalive,
        connect,
        response,
        tunnel_idle,
        upstream_idle,
    } = timeouts;
    vec![
        ("handshake", text(*handshake)),
        ("header", text(*header)),
        ("body_idle", text(*body_idle)),
        ("write_idle", text(*write_idle)),
        ("keepalive", text(*keepalive)),
        ("connect", text(*connect)),
        ("response", response.map_or("\"off\"".to_owned(), text)),
        ("tunnel_idle", text(*tunnel_idle)),
        ("upstream_idle", text(*upstream_idle)),
    ]
}

fn limits(limits: &Limits) -> Vec<(&'static str, String)> {
    let text = |octets: usize| quoted(&write_size(octets as u64));
    let Limits {
        header_size,
        header_count,
        upstream_header_size,
        body,
        request_buffer,
        response_buffer,
    } = limits;
    let body = body.map_or("unlimited".to_owned(), write_size);
    vec![
        ("header_size", text(*header_size)),
        ("header_count", header_count.to_string()),
        ("upstream_header_size", text(*upstream_header_size)),
        ("body", quoted(&body)),
        ("request_buffer", text(*request_buffer)),
        ("response_buffer", text(*response_buffer)),
    ]
}

fn target(target: &Target) -> String {
    match target {
        Target::Address(endpoint) => address(endpoint),
        Target::Upstream(name) => quoted(name),
    }
}

fn address(endpoint: &EndpointAddress) -> String {
    match endpoint {
        EndpointAddress::Port(port) => port.to_string(),
        EndpointAddress::Tcp { .. } | EndpointAddress::Https { .. } | EndpointAddress::Unix(_) => {
            quoted(&endpoint.to_string())
        }
    }
}

fn networks(networks: &[IpNet]) -> String {
    list(networks.iter().map(ToString::to_string))
}

fn list(items: impl Iterator<Item = String>) -> String {
    let items: Vec<String> = items.map(|item| quoted(&item)).collect();
    format!("[{}]", items.join(", "))
}

fn level(level: Level) -> &'static str {
    match level {
        Level::Error => "\"error\"",
        Level::Warn => "\"warn\"",
        Level::Info => "\"info\"",
        Level::Debug => "\"debug\"",
        Level::Trace => "\"trace\"",
    }
}

/// A basic string of TOML. `${` is escaped, so that it is not expanded again.
pub fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if c.is_control() => {
                // Writing to a string cannot fail.
                let _ = write!(quoted, "\\u{:04X}", u32::from(c));
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted.replace("${", "$${")
}

#[cfg(test)]
mod tests {
    use crate::config::{Config, Source, parse};

    /// What two configurations must have in common: everything but where it stands.
    fn essence(config: &Config) -> String {
        let mut essence = format!(
            "{:?} {:?} {:?} {:?}",
            config.server, config.acme, config.log, config.defaults
        );
        for upstream in &config.upstreams {
            essence += &format!(
                "\n{} {:?} {:?}",
                upstream.name, upstream.servers, upstream.pipeline
            );
        }
        for site in &config.sites {
            essence += &format!(
                "\n{} {:?} {:?} {:?} {:?}",
                site.name, site.host, site.scheme, site.port, site.tls.client_auth
            );
            essence += &match &site.tls.source {
                crate::config::CertificateSource::Files(pairs) => {
                    let paths = pairs.iter().map(|pair| (&pair.cert, &pair.key));
                    format!("{:?}", paths.collect::<Vec<_>>())
                }
                other => format!("{other:?}"),
            };
            for route in &site.routes {
                essence += &format!(
                    "\n  {} {:?} {:?} {:?}",
                    route.name, route.pattern, route.action, route.settings
                );
            }
        }
        essence
    }

    #[track_caller]
    fn check(text: &str) {
        let read = |text: &str| {
            parse(&[Source { name: "f", text }])
                .unwrap_or_else(|errors| panic!("{}in\n{text}", errors[0]))
        };
        let config = read(text);
        let dump = config.dump();
        let again = read(&dump);
        assert_eq!(essence(&again), essence(&config), "{dump}");
        // Twice is once.
        let lines = |text: &str| -> Vec<String> {
            text.lines()
                .map(|line| line.split(" # ").next().unwrap_or("").trim_end().to_owned())
                .collect()
        };
        assert_eq!(lines(&again.dump()), lines(&dump));
    }

    #[test]
    fn what_is_written_reads_back() {
        check("");
        check(
            "[sites]\n\"http://a\" = 3000\n\"http://b\" = [\"10.0.0.1:1\", \"unix:/a \\\"b\\\"\", \"h:2\"]",
        );
        check(
            "[sites.\"http://a\".paths]\n\"/x\" = { to = 1, strip = true }\n\"=/y\" = { builtin = \"whoami\" }",
        );
        check(
            "[sites.\"http://a\"]\nto = 1\nlog = false\n[sites.\"http://a\".paths]\n\"/\" = { to = 2, log = true }\n\"/x\" = { allow = [\"private\"] }",
        );
        check(
            "[defaults]\nlog = false\nhost = \"upstream\"\nupgrade = []\nallow = [\"10.0.0.0/8\"]\ntimeouts.response = \"3s\"\n[sites.\"http://a\"]\nto = 1\nallow = \"any\"\nhost = \"keep\"\ntimeouts.response = \"off\"\nlimits.body = \"7B\"",
        );
        check(
            "[server]\nhttp = [\":81\", \"[::1]:82\"]\nworkers = 3\npin = false\nbackend = \"epoll\"\ntrusted_proxies = [\"private\"]\nmax_connections = 9\ndrain_timeout = \"90s\"\n[log]\nlevel = \"debug\"\naccess = { path = \"off\", format = \"combined\", redact = [\"query:a\"] }\n[limits]\nheader_count = 99\nbody = \"1GiB\"",
        );
        check(
            "[upstreams.a]\nservers = 1\n[upstreams.b-B_2]\nservers = [\"h:2\", { address = \"unix:/b\" }]\n[upstreams.c]\nservers = 3\npipeline = \"auto\"\n[upstreams.d]\nservers = 4\npipeline = 64\n[sites]\n\"http://a\" = \"c\"\n\"http://b\" = { to = [9, \"a\", \"b-B_2\"], paths.\"/d\" = \"d\" }",
        );
        check("[sites]\n\"http://a\" = { to = 1, paths.\"/$${x}\" = 2 }");
        check("[sites]\n\"example.com\" = 1\n\"*.example.com:8443\" = 2\n\"*\" = 3\n\":8080\" = 4");
    }

    #[test]
    fn what_is_written_of_tls_reads_back() {
        check(
            "[server]\nhttps = [\":8443\", \"[::1]:8444\"]\npublic_https = 8443\n[timeouts]\nhandshake = \"5s\"",
        );
        check("[server]\nhttps = []");
        check(
            "[acme]\nemail = \"a@b.c\"\nca = \"letsencrypt-staging\"\nca_root = \"/r.pem\"\nchallenge = \"http-01\"\nwildcards = [\"b.example\"]\non_change = \"a \\\"b\\\"\"\n[acme.dns]\nprovider = \"exec\"\ncommand = \"x\"",
        );
        check(
            "[sites.\"a.example\"]\nto = \"https://app\"\ntls = { cert = \"/a.pem\", key = \"/a.key\", client_auth = \"request\", client_ca = \"/c.pem\" }\nhsts = { max_age = \"365d\", subdomains = true, preload = true }\nclient_cert_header = \"X-Subject\"\n[sites.\"*\"]\nto = 1\ntls = [{ cert = \"/a.pem\", key = \"/a.key\" }, { cert = \"/b.pem\", key = \"/b.key\" }]\n[sites.\"b.example:8443\"]\nto = 1\ntls = { client_auth = \"require\", client_ca = \"/c.pem\" }",
        );
        check(
            "[defaults]\nhsts = \"1h\"\nclient_cert_header = \"X-S\"\nupstream_tls = { ca = \"/c.pem\", server_name = \"x\" }\n[sites.\"http://a\"]\nto = \"https://b:1\"\nhsts = \"off\"\nclient_cert_header = \"off\"\nupstream_tls = {}\npaths.\"/p\" = { upstream_tls = { verify = false } }",
        );
    }

    #[test]
    fn each_line_says_where_it_comes_from() {
        let text = "[timeouts]\nconnect = \"1s\"\n[sites.\"http://a\"]\nto = 1\nlog = false";
        let config = parse(&[Source { name: "f", text }]).expect("it is fine");
        let dump = config.dump();
        for (key, origin) in [
            ("connect = \"1s\"", "# f:2:1"),
            ("to = 1", "# f:4:1"),
            ("log = false", "# f:5:1"),
        ] {
            assert!(
                dump.lines()
                    .any(|line| line.starts_with(key) && line.ends_with(origin)),
                "{key} in {dump}"
            );
        }
    }
}
