//! The words of other proxies, as data: whose each is, what hotgate has instead, and how a line with it is mended.
//!
//! [`super::foreign`] makes messages of these. Compared without regard to case, as Apache and the variables of
//! containers are written in every case.

use Mend::{AccessLog, Entry, Header, Http, LogLevel, Nothing, Set, SiteHeader, SiteLine, To};
use Ours::{Absent, Is, Later, Needless};
use Value::{
    Bytes, ClientCa, Count, InTable, LogFormat, Millis, Networks, Pair, PairOfKey, Product,
    Seconds, Size, Switch, Text,
};

/// One word that people bring along.
pub(super) struct Word {
    /// The word, as its proxy writes it.
    pub(super) theirs: &'static str,
    /// Whose it is.
    pub(super) whose: &'static str,
    pub(super) ours: Ours,
    pub(super) mend: Mend,
}

/// What hotgate has instead, in the words of a message.
pub(super) enum Ours {
    /// … here it is X.
    Is(&'static str),
    /// … here it is X, which this version does not have yet.
    Later(&'static str),
    /// … here X, so the line is left out.
    Needless(&'static str),
    /// … hotgate has no such thing: X.
    Absent(&'static str),
}

/// How an entry with the word is written here.
pub(super) enum Mend {
    /// There is no one line for it.
    Nothing,
    /// `to = 3000`
    To,
    /// `[sites."example.com"]`
    SiteHeader,
    /// `[sites]` and `"example.com" = 3000`
    SiteLine,
    /// `[server]` and `http = [":80"]`, or `https` where theirs is for TLS.
    Http,
    /// The file in `[log.access]`; `log = false` for "off".
    AccessLog,
    /// `level` in `[log]`
    LogLevel,
    /// A field that is sent to the app.
    Header,
    /// The key with its tables, and how its value is made.
    Set(&'static str, Value),
    /// The key, and a value that is always the same.
    Entry(&'static str, &'static str),
}

/// How a value is made from theirs; each with what stands there when theirs cannot be read.
#[derive(Clone, Copy)]
pub(super) enum Value {
    /// A duration; a bare number is in seconds.
    Seconds(&'static str),
    /// A duration; a bare number is in milliseconds.
    Millis(&'static str),
    /// A size within bounds in octets; 0 is none where the bounds allow it, "unlimited" where the most is `u64::MAX`.
    Size(u64, u64, &'static str),
    /// A size in octets, bare.
    Bytes(&'static str),
    /// A number times a size, within bounds.
    Product(u64, u64, &'static str),
    Count(&'static str),
    Networks,
    /// The first value for theirs that is on, the second for off; TOML both.
    Switch(&'static str, &'static str),
    LogFormat,
    /// The first word in quotes.
    Text(&'static str),
    /// The same under a key of a table.
    InTable(&'static str, &'static str),
    /// A certificate's file with a key's beside it.
    Pair,
    /// A key's file with a certificate's beside it.
    PairOfKey,
    /// The file of those who sign clients' certificates.
    ClientCa,
}

const fn word(theirs: &'static str, whose: &'static str, ours: Ours, mend: Mend) -> Word {
    Word {
        theirs,
        whose,
        ours,
        mend,
    }
}

const NGINX: &str = "nginx";
const CADDY: &str = "Caddy";
const TRAEFIK: &str = "Traefik";
const HAPROXY: &str = "HAProxy";
const APACHE: &str = "Apache";
const NGINX_PROXY: &str = "nginx-proxy";

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;

/// By proxy, in the order in which people meet them.
#[rustfmt::skip]
pub(super) const WORDS: &[Word] = &[
    word("proxy_pass", NGINX, Is("`to`"), To),
    word("server_name", NGINX, Is("the site's key"), SiteHeader),
    word("listen", NGINX, Is("`http` and `https` in `[server]`"), Http),
    word("client_max_body_size", NGINX, Is("`limits.body`"), Set("limits.body", Size(0, u64::MAX, "10MiB"))),
    word("location", NGINX, Is("a key of the site's `paths`, as in `paths.\"/api\" = 3000`"), Nothing),
    word("upstream", NGINX, Is("a list in `to`"), To),
    word("server", NGINX, Is("one `[sites.\"…\"]` for each host"), SiteHeader),
    word("events", NGINX, Needless("there is nothing to tune"), Nothing),
    word("try_files", NGINX, Later("`root`"), Nothing),
    word("alias", NGINX, Later("`root` of a path with `strip = true`"), Nothing),
    word("index", NGINX, Later("`root`"), Nothing),
    word("autoindex", NGINX, Absent("a folder is served by `root`, without lists of files"), Nothing),
    word("proxy_set_header", NGINX, Later("`request_headers`"), Header),
    word("proxy_hide_header", NGINX, Later("`response_headers`"), Nothing),
    word("proxy_pass_header", NGINX, Needless("all fields of an answer are passed on"), Nothing),
    word("add_header", NGINX, Later("`response_headers`"), Nothing),
    word("more_set_headers", NGINX, Later("`response_headers`"), Nothing),
    word("proxy_read_timeout", NGINX, Is("`timeouts.response`, for websockets `timeouts.tunnel_idle`"), Set("timeouts.response", Seconds("60s"))),
    word("proxy_connect_timeout", NGINX, Is("`timeouts.connect`"), Set("timeouts.connect", Seconds("3s"))),
    word("proxy_send_timeout", NGINX, Is("`timeouts.body_idle`"), Set("timeouts.body_idle", Seconds("60s"))),
    word("send_timeout", NGINX, Is("`timeouts.write_idle`"), Set("timeouts.write_idle", Seconds("10m"))),
    word("keepalive_timeout", NGINX, Is("`timeouts.keepalive`"), Set("timeouts.keepalive", Seconds("75s"))),
    word("client_header_timeout", NGINX, Is("`header` in `[timeouts]`"), Set("timeouts.header", Seconds("10s"))),
    word("client_body_timeout", NGINX, Is("`timeouts.body_idle`"), Set("timeouts.body_idle", Seconds("60s"))),
    word("client_header_buffer_size", NGINX, Needless("room for a head is taken as it is needed, up to `limits.header_size`"), Nothing),
    word("large_client_header_buffers", NGINX, Is("`header_size` in `[limits]`"), Set("limits.header_size", Product(KIB, 64 * KIB, "32KiB"))),
    word("client_body_buffer_size", NGINX, Is("`limits.request_buffer`"), Set("limits.request_buffer", Size(0, 512 * KIB, "64KiB"))),
    word("proxy_request_buffering", NGINX, Is("`limits.request_buffer`"), Set("limits.request_buffer", Switch("\"64KiB\"", "\"0B\""))),
    word("proxy_buffering", NGINX, Needless("each piece of an answer is passed on at once, and `limits.response_buffer` is read ahead"), Nothing),
    word("proxy_buffers", NGINX, Is("`limits.response_buffer`"), Set("limits.response_buffer", Product(16 * KIB, 4 * MIB, "256KiB"))),
    word("proxy_buffer_size", NGINX, Is("`limits.upstream_header_size`"), Set("limits.upstream_header_size", Size(KIB, 64 * KIB, "64KiB"))),
    word("proxy_http_version", NGINX, Needless("apps are always spoken to in HTTP/1.1"), Nothing),
    word("proxy_redirect", NGINX, Needless("apps are told host and scheme, and their `Location` is passed on as it is"), Nothing),
    word("proxy_next_upstream", NGINX, Later("`retry` in `[upstreams.NAME]`"), Nothing),
    word("proxy_cache", NGINX, Absent("nothing is cached"), Nothing),
    word("proxy_ssl_verify", NGINX, Is("`verify` in `upstream_tls`"), Set("upstream_tls", Switch("{ verify = true }", "{ verify = false }"))),
    word("proxy_ssl_trusted_certificate", NGINX, Is("`ca` in `upstream_tls`"), Set("upstream_tls", InTable("ca", "/etc/hotgate/internal-ca.pem"))),
    word("proxy_ssl_name", NGINX, Is("`server_name` in `upstream_tls`"), Set("upstream_tls", InTable("server_name", "app.internal"))),
    word("proxy_ssl_server_name", NGINX, Needless("the name is always sent"), Nothing),
    word("underscores_in_headers", NGINX, Is("`underscore_headers`"), Set("underscore_headers", Switch("true", "false"))),
    word("ssl_certificate", NGINX, Is("`cert` in `tls`"), Set("tls", Pair)),
    word("ssl_certificate_key", NGINX, Is("`key` in `tls`"), Set("tls", PairOfKey)),
    word("ssl_protocols", NGINX, Needless("TLS is 1.2 and 1.3"), Nothing),
    word("ssl_ciphers", NGINX, Needless("only ciphers that are safe are spoken"), Nothing),
    word("ssl_prefer_server_ciphers", NGINX, Needless("only ciphers that are safe are spoken"), Nothing),
    word("ssl_dhparam", NGINX, Needless("only ciphers that are safe are spoken"), Nothing),
    word("ssl_session_cache", NGINX, Needless("sessions are resumed by themselves"), Nothing),
    word("ssl_session_tickets", NGINX, Needless("sessions are resumed by themselves"), Nothing),
    word("ssl_client_certificate", NGINX, Is("`client_ca` in `tls`"), Set("tls", ClientCa)),
    word("ssl_verify_client", NGINX, Is("`client_auth` in `tls`, with `client_ca`"), Set("tls", ClientCa)),
    word("ssl_reject_handshake", NGINX, Needless("unknown names are always refused"), Nothing),
    word("auth_basic", NGINX, Later("`basic_auth`, with names of `[users]`"), Nothing),
    word("auth_basic_user_file", NGINX, Later("`basic_auth`, with names of `[users]`"), Nothing),
    word("auth_request", NGINX, Later("`forward_auth`"), Nothing),
    word("deny", NGINX, Is("`allow`: who is not in it stays out"), Entry("allow", "[\"private\"]")),
    word("limit_req", NGINX, Later("`rate_limit`"), Nothing),
    word("limit_conn", NGINX, Later("`connections_per_ip` in `[limits]`"), Nothing),
    word("set_real_ip_from", NGINX, Is("`trusted_proxies` in `[server]`"), Set("server.trusted_proxies", Networks)),
    word("real_ip_header", NGINX, Needless("X-Forwarded-For is read, and believed if it comes from one of `server.trusted_proxies`"), Nothing),
    word("access_log", NGINX, Is("`path` in `[log.access]`, for one site `log = false`"), AccessLog),
    word("error_log", NGINX, Is("`level` in `[log]`; its lines go to standard error"), LogLevel),
    word("log_format", NGINX, Is("`format` in `[log.access]`"), Set("log.access.format", LogFormat)),
    word("worker_processes", NGINX, Is("`workers` in `[server]`"), Set("server.workers", Count("\"auto\""))),
    word("worker_connections", NGINX, Needless("the number follows from the limit of open files, unless `server.max_connections` is set"), Nothing),
    word("worker_rlimit_nofile", NGINX, Needless("the limit of open files is the service's: `LimitNOFILE=` in its unit"), Nothing),
    word("user", NGINX, Needless("the user is the service's: `User=` in its unit"), Nothing),
    word("pid", NGINX, Needless("there is no such file: systemd knows the process"), Nothing),
    word("daemon", NGINX, Needless("`hotgate run` stays in the foreground"), Nothing),
    word("include", NGINX, Needless("every file of `sites.d/` beside this one is read by itself"), Nothing),
    word("error_page", NGINX, Later("`errors`"), Nothing),
    word("return", NGINX, Later("`redirect`, or `respond` for a text"), Nothing),
    word("rewrite", NGINX, Later("`redirect`; a path's prefix is cut by `strip = true`"), Nothing),
    word("gzip", NGINX, Later("`compress`"), Nothing),
    word("resolver", NGINX, Needless("names are resolved as the system does it, and again while hotgate runs"), Nothing),
    word("sendfile", NGINX, Needless("there is nothing to tune"), Nothing),
    word("http2", NGINX, Later("no key: it comes with TLS"), Nothing),
    word("fastcgi_pass", NGINX, Later("`php`"), Nothing),
    word("uwsgi_pass", NGINX, Is("`to`, with the app listening for HTTP (`uwsgi --http-socket`)"), To),
    word("reverse_proxy", CADDY, Is("`to`"), To),
    word("handle", CADDY, Is("a key of the site's `paths`, as in `paths.\"/api\" = 3000`"), Nothing),
    word("handle_path", CADDY, Is("a key of the site's `paths` with `strip = true`"), Nothing),
    word("route", CADDY, Is("a key of the site's `paths`, as in `paths.\"/api\" = 3000`"), Nothing),
    word("uri", CADDY, Is("`strip = true` of a path"), Nothing),
    word("redir", CADDY, Later("`redirect`"), Nothing),
    word("file_server", CADDY, Later("`root`"), Nothing),
    word("encode", CADDY, Later("`compress`"), Nothing),
    word("header", CADDY, Later("`response_headers`"), Nothing),
    word("header_up", CADDY, Later("`request_headers`"), Header),
    word("header_down", CADDY, Later("`response_headers`"), Nothing),
    word("request_body", CADDY, Is("`limits.body`"), Set("limits.body", Size(0, u64::MAX, "10MiB"))),
    word("basicauth", CADDY, Later("`basic_auth`, with names of `[users]`"), Nothing),
    word("php_fastcgi", CADDY, Later("`php`"), Nothing),
    word("transport", CADDY, Is("`timeouts` for its times; for TLS to the app `https://` in `to`, and `upstream_tls`"), Nothing),
    word("tls_insecure_skip_verify", CADDY, Is("`verify` in `upstream_tls`"), Entry("upstream_tls", "{ verify = false }")),
    word("tls_trusted_ca_certs", CADDY, Is("`ca` in `upstream_tls`"), Set("upstream_tls", InTable("ca", "/etc/hotgate/internal-ca.pem"))),
    word("tls_server_name", CADDY, Is("`server_name` in `upstream_tls`"), Set("upstream_tls", InTable("server_name", "app.internal"))),
    word("acme_ca", CADDY, Is("`ca` in `[acme]`"), Set("acme.ca", Text("letsencrypt"))),
    word("acme_dns", CADDY, Is("`[acme.dns]`"), Nothing),
    word("local_certs", CADDY, Needless("local names have hotgate's own certificates by themselves"), Nothing),
    word("flush_interval", CADDY, Needless("each piece of an answer is passed on at once"), Nothing),
    word("lb_policy", CADDY, Later("`balance` in `[upstreams.NAME]`"), Nothing),
    word("health_uri", CADDY, Later("`health` in `[upstreams.NAME]`"), Nothing),
    word("auto_https", CADDY, Is("the site's key: with `http://` in front it is plain HTTP"), Nothing),
    word("email", CADDY, Is("`email` in `[acme]`"), Set("acme.email", Text("me@example.com"))),
    word("import", CADDY, Needless("every file of `sites.d/` beside this one is read by itself"), Nothing),
    word("http", TRAEFIK, Is("`[sites]`"), SiteLine),
    word("entryPoints", TRAEFIK, Is("`http` and `https` in `[server]`"), Http),
    word("routers", TRAEFIK, Is("`[sites]`"), SiteLine),
    word("services", TRAEFIK, Is("the `to` of a site"), To),
    word("middlewares", TRAEFIK, Is("the settings of a site, such as `allow` or `timeouts`"), Nothing),
    word("rule", TRAEFIK, Is("the site's key"), SiteHeader),
    word("service", TRAEFIK, Is("`to`"), To),
    word("loadBalancer", TRAEFIK, Is("a list in `to`"), To),
    word("servers", TRAEFIK, Is("a list in `to`"), To),
    word("url", TRAEFIK, Is("`to`"), To),
    word("passHostHeader", TRAEFIK, Is("`host`"), Set("host", Switch("\"keep\"", "\"upstream\""))),
    word("stripPrefix", TRAEFIK, Is("`strip = true` of a path"), Nothing),
    word("forwardingTimeouts", TRAEFIK, Is("`timeouts`"), Nothing),
    word("dialTimeout", TRAEFIK, Is("`timeouts.connect`"), Set("timeouts.connect", Seconds("3s"))),
    word("responseHeaderTimeout", TRAEFIK, Is("`timeouts.response`"), Set("timeouts.response", Seconds("60s"))),
    word("idleConnTimeout", TRAEFIK, Is("`timeouts.upstream_idle`"), Set("timeouts.upstream_idle", Seconds("4s"))),
    word("readTimeout", TRAEFIK, Needless("no whole request is limited, only its pauses: `timeouts.body_idle`"), Nothing),
    word("ipAllowList", TRAEFIK, Is("`allow`"), Set("allow", Networks)),
    word("sourceRange", TRAEFIK, Is("`allow`"), Set("allow", Networks)),
    word("trustedIPs", TRAEFIK, Is("`trusted_proxies` in `[server]`"), Set("server.trusted_proxies", Networks)),
    word("certResolver", TRAEFIK, Needless("a host has its certificate by itself"), Nothing),
    word("certificatesResolvers", TRAEFIK, Is("`[acme]`"), Nothing),
    word("providers", TRAEFIK, Later("`[docker]`; every file of `sites.d/` is read by itself"), Nothing),
    word("serversTransport", TRAEFIK, Is("`upstream_tls`"), Nothing),
    word("insecureSkipVerify", TRAEFIK, Is("`verify` in `upstream_tls`"), Set("upstream_tls", Switch("{ verify = false }", "{ verify = true }"))),
    word("rootCAs", TRAEFIK, Is("`ca` in `upstream_tls`"), Set("upstream_tls", InTable("ca", "/etc/hotgate/internal-ca.pem"))),
    word("caServer", TRAEFIK, Is("`ca` in `[acme]`"), Set("acme.ca", Text("letsencrypt"))),
    word("tlsChallenge", TRAEFIK, Is("`challenge` in `[acme]`"), Entry("acme.challenge", "\"tls-alpn-01\"")),
    word("httpChallenge", TRAEFIK, Is("`challenge` in `[acme]`"), Entry("acme.challenge", "\"http-01\"")),
    word("dnsChallenge", TRAEFIK, Is("`[acme.dns]`"), Nothing),
    word("sniStrict", TRAEFIK, Needless("unknown names are always refused"), Nothing),
    word("stsSeconds", TRAEFIK, Is("`hsts`"), Set("hsts", Seconds("180d"))),
    word("accessLog", TRAEFIK, Is("`[log.access]`"), AccessLog),
    word("api", TRAEFIK, Later("`builtin = \"dashboard\"` of a site"), Nothing),
    word("frontend", HAPROXY, Is("`[sites]`"), SiteLine),
    word("backend", HAPROXY, Is("a list in `to`"), To),
    word("bind", HAPROXY, Is("`http` and `https` in `[server]`"), Http),
    word("use_backend", HAPROXY, Is("a site or a path, with its own `to`"), To),
    word("default_backend", HAPROXY, Is("`to`; for hosts that no site has, the site `\"*\"`"), To),
    word("acl", HAPROXY, Is("a key of `[sites]` for a host, a key of `paths` for a path"), Nothing),
    word("maxconn", HAPROXY, Is("`max_connections` in `[server]`"), Set("server.max_connections", Count("\"auto\""))),
    word("nbthread", HAPROXY, Is("`workers` in `[server]`"), Set("server.workers", Count("\"auto\""))),
    word("timeout client", HAPROXY, Is("`timeouts.body_idle` and `timeouts.write_idle`"), Set("timeouts.body_idle", Millis("60s"))),
    word("timeout connect", HAPROXY, Is("`timeouts.connect`"), Set("timeouts.connect", Millis("3s"))),
    word("timeout server", HAPROXY, Is("`timeouts.response`"), Set("timeouts.response", Millis("60s"))),
    word("timeout tunnel", HAPROXY, Is("`timeouts.tunnel_idle`"), Set("timeouts.tunnel_idle", Millis("1h"))),
    word("timeout http-request", HAPROXY, Is("`header` in `[timeouts]`"), Set("timeouts.header", Millis("10s"))),
    word("timeout http-keep-alive", HAPROXY, Is("`timeouts.keepalive`"), Set("timeouts.keepalive", Millis("75s"))),
    word("option forwardfor", HAPROXY, Needless("X-Forwarded-For is always sent"), Nothing),
    word("option httpchk", HAPROXY, Later("`health` in `[upstreams.NAME]`"), Nothing),
    word("mode", HAPROXY, Needless("all is HTTP"), Nothing),
    word("balance", HAPROXY, Later("`balance` in `[upstreams.NAME]`; a list in `to` is balanced by itself"), Nothing),
    word("global", HAPROXY, Is("`[server]`"), Nothing),
    word("ProxyPass", APACHE, Is("`to`"), To),
    word("ProxyPassReverse", APACHE, Needless("apps are told host and scheme, and their `Location` is passed on as it is"), Nothing),
    word("ProxyPreserveHost", APACHE, Is("`host`"), Set("host", Switch("\"keep\"", "\"upstream\""))),
    word("ProxyTimeout", APACHE, Is("`timeouts.response`"), Set("timeouts.response", Seconds("60s"))),
    word("ServerName", APACHE, Is("the site's key"), SiteHeader),
    word("ServerAlias", APACHE, Later("`aliases`"), Nothing),
    word("VirtualHost", APACHE, Is("the site's key"), SiteHeader),
    word("DocumentRoot", APACHE, Later("`root`"), Nothing),
    word("LimitRequestBody", APACHE, Is("`limits.body`"), Set("limits.body", Bytes("10MiB"))),
    word("KeepAliveTimeout", APACHE, Is("`timeouts.keepalive`"), Set("timeouts.keepalive", Seconds("75s"))),
    word("CustomLog", APACHE, Is("`path` in `[log.access]`"), AccessLog),
    word("ErrorLog", APACHE, Is("`level` in `[log]`; its lines go to standard error"), LogLevel),
    word("LogLevel", APACHE, Is("`level` in `[log]`"), LogLevel),
    word("RewriteRule", APACHE, Later("`redirect`; a path's prefix is cut by `strip = true`"), Nothing),
    word("SSLCertificateFile", APACHE, Is("`cert` in `tls`"), Set("tls", Pair)),
    word("SSLCertificateKeyFile", APACHE, Is("`key` in `tls`"), Set("tls", PairOfKey)),
    word("SSLEngine", APACHE, Needless("HTTPS is what a host has by itself"), Nothing),
    word("Require", APACHE, Is("`allow`"), Set("allow", Networks)),
    word("VIRTUAL_HOST", NGINX_PROXY, Is("a line of `[sites]`"), SiteLine),
    word("VIRTUAL_PORT", NGINX_PROXY, Is("`to`"), To),
    word("VIRTUAL_PATH", NGINX_PROXY, Is("a key of the site's `paths`, as in `paths.\"/api\" = 3000`"), Nothing),
    word("VIRTUAL_PROTO", NGINX_PROXY, Needless("apps are spoken to in HTTP/1.1"), Nothing),
    word("LETSENCRYPT_HOST", NGINX_PROXY, Needless("a host has its certificate by itself"), Nothing),
    word("LETSENCRYPT_EMAIL", NGINX_PROXY, Is("`email` in `[acme]`"), Set("acme.email", Text("me@example.com"))),
    word("HTTPS_METHOD", NGINX_PROXY, Is("the site's key: with `http://` in front it is plain HTTP"), Nothing),
    word("CERT_NAME", NGINX_PROXY, Is("`tls = { cert = …, key = … }`"), Nothing),
    word("NETWORK_ACCESS", NGINX_PROXY, Is("`allow`"), Entry("allow", "[\"private\"]")),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Source, parse};
    use Place::{Hosts, Site, Top};
    use std::cell::RefCell;
    use std::collections::BTreeSet;

    /// Where a row's line stands.
    #[derive(Clone, Copy, PartialEq)]
    enum Place {
        Top,
        Hosts,
        Site,
    }

    const SITE: &str = "[sites.\"h\"]\nto = 1\n";

    fn faults_of(text: &str) -> Vec<crate::config::Diagnostic> {
        parse(&[Source { name: "f", text }])
            .err()
            .unwrap_or_default()
    }

    /// The line's mend; a mend is TOML of this version in the line's place, or by itself if it has a header.
    #[track_caller]
    fn mend_of(place: Place, line: &str) -> String {
        let before = match place {
            Top => "",
            Hosts => "[sites]\n",
            Site => SITE,
        };
        let faults = faults_of(&format!("{before}{line}"));
        let fault = faults
            .iter()
            .find(|fault| fault.message.ends_with("is not a hotgate key"))
            .expect("the row has a foreign word");
        let mended = match fault.mend.as_str() {
            "" => return String::new(),
            mend if mend.starts_with("[sites.") => format!("{mend}\nto = 1"),
            mend if mend.starts_with('[') => mend.to_owned(),
            mend if mend.starts_with("to =") => format!("[sites.\"h\"]\n{mend}"),
            mend => format!("{before}{mend}"),
        };
        let faults = faults_of(&mended);
        assert!(faults.is_empty(), "{mended}\n{}", faults[0]);
        fault.mend.clone()
    }

    #[test]
    #[rustfmt::skip]
    fn every_word_has_its_answer() {
        let seen: RefCell<BTreeSet<String>> = RefCell::default();
        let check = |place, line: &str, expected: &str| {
            let name = line.split(" = ").next().unwrap_or(line).trim_matches('"');
            seen.borrow_mut().insert(name.to_ascii_lowercase());
            assert_eq!(mend_of(place, line), expected, "{line}");
        };
        check(Site, r#"proxy_pass = "http://127.0.0.1:3000/""#, "to = 3000");
        check(Site, r#"proxy_pass = "http://unix:/run/a.sock:/""#, r#"to = "unix:/run/a.sock""#);
        check(Site, r#"proxy_pass = "http://app.internal""#, r#"to = "app.internal:80""#);
        check(Site, r#"proxy_pass = "https://10.0.0.9:8443""#, r#"to = "https://10.0.0.9:8443""#);
        check(Site, r#"proxy_pass = "https://app.internal/""#, r#"to = "https://app.internal""#);
        check(Top, r#"proxy_pass = "http://127.0.0.1:3000""#, "[sites]\n\"example.com\" = 3000");
        check(Hosts, r#"proxy_pass = "http://127.0.0.1:3000""#, "[sites]\n\"example.com\" = 3000");
        check(Site, r#"server_name = "example.com www.example.com""#, r#"[sites."example.com"]"#);
        check(Site, r#"server_name = "_""#, r#"[sites."*"]"#);
        check(Top, "listen = 8080", "[server]\nhttp = [\":8080\"]");
        check(Hosts, r#"listen = "[::]:8080 default_server""#, "[server]\nhttp = [\":8080\"]");
        check(Top, r#"listen = "443 ssl""#, "[server]\nhttps = [\":443\"]");
        check(Top, r#"listen = "[::]:8443 ssl""#, "[server]\nhttps = [\":8443\"]");
        check(Site, r#"client_max_body_size = "10m""#, r#"limits.body = "10MiB""#);
        check(Site, r#"client_max_body_size = "0""#, r#"limits.body = "unlimited""#);
        check(Top, "client_max_body_size = 1048576", "[limits]\nbody = \"1MiB\"");
        check(Site, r#"location = "/api""#, "");
        check(Site, r#"upstream = ["10.0.0.2:80", "10.0.0.3:80"]"#, r#"to = ["10.0.0.2:80", "10.0.0.3:80"]"#);
        check(Top, r#"server = [{ server_name = "a.example" }]"#, r#"[sites."a.example"]"#);
        check(Top, "events = { worker_connections = 1024 }", "");
        check(Site, r#"try_files = "$uri =404""#, "");
        check(Site, r#"alias = "/srv/www""#, "");
        check(Site, r#"index = "index.html""#, "");
        check(Site, r#"autoindex = "on""#, "");
        check(Site, r#"proxy_set_header = "Host $host""#, "");
        check(Site, r#"proxy_set_header = "Host $proxy_host""#, r#"host = "upstream""#);
        check(Site, r#"proxy_set_header = "Host app.internal""#, r#"host = "app.internal""#);
        check(Site, r#"proxy_set_header = "X-Env prod""#, "");
        check(Site, r#"proxy_set_header = { X-Real-IP = "$remote_addr" }"#, "");
        check(Site, r#"proxy_hide_header = "Server""#, "");
        check(Site, r#"proxy_pass_header = "Server""#, "");
        check(Site, r#"add_header = "X-Frame-Options DENY""#, "");
        check(Site, r#"more_set_headers = "Server: me""#, "");
        check(Site, r#"proxy_read_timeout = "1h""#, r#"timeouts.response = "1h""#);
        check(Site, "proxy_read_timeout = 60", r#"timeouts.response = "60s""#);
        check(Top, r#"proxy_read_timeout = "60s""#, "[timeouts]\nresponse = \"60s\"");
        check(Site, r#"proxy_connect_timeout = "5s""#, r#"timeouts.connect = "5s""#);
        check(Site, r#"proxy_send_timeout = "60s""#, r#"timeouts.body_idle = "60s""#);
        check(Site, r#"send_timeout = "60""#, r#"timeouts.write_idle = "60s""#);
        check(Site, "keepalive_timeout = 65", r#"timeouts.keepalive = "65s""#);
        check(Site, r#"client_header_timeout = "12s""#, "[timeouts]\nheader = \"12s\"");
        check(Site, r#"client_body_timeout = "12s""#, r#"timeouts.body_idle = "12s""#);
        check(Site, r#"client_header_buffer_size = "1k""#, "");
        check(Site, r#"large_client_header_buffers = "4 8k""#, "[limits]\nheader_size = \"32KiB\"");
        check(Site, r#"large_client_header_buffers = "8 32k""#, "[limits]\nheader_size = \"64KiB\"");
        check(Site, r#"client_body_buffer_size = "128k""#, r#"limits.request_buffer = "128KiB""#);
        check(Site, r#"proxy_request_buffering = "off""#, r#"limits.request_buffer = "0B""#);
        check(Site, "proxy_request_buffering = true", r#"limits.request_buffer = "64KiB""#);
        check(Site, r#"proxy_buffering = "off""#, "");
        check(Site, r#"proxy_buffers = "8 16k""#, r#"limits.response_buffer = "128KiB""#);
        check(Site, r#"proxy_buffer_size = "16k""#, r#"limits.upstream_header_size = "16KiB""#);
        check(Site, r#"proxy_http_version = "1.1""#, "");
        check(Site, r#"proxy_redirect = "off""#, "");
        check(Site, r#"proxy_next_upstream = "error""#, "");
        check(Site, r#"proxy_cache = "zone""#, "");
        check(Site, r#"proxy_ssl_verify = "off""#, "upstream_tls = { verify = false }");
        check(Top, r#"proxy_ssl_verify = "on""#, "[defaults]\nupstream_tls = { verify = true }");
        check(Site, r#"proxy_ssl_trusted_certificate = "/etc/ca.pem""#, r#"upstream_tls = { ca = "/etc/ca.pem" }"#);
        check(Site, r#"proxy_ssl_name = "app.internal""#, r#"upstream_tls = { server_name = "app.internal" }"#);
        check(Site, r#"proxy_ssl_server_name = "on""#, "");
        check(Site, r#"underscores_in_headers = "on""#, "underscore_headers = true");
        check(Site, r#"ssl_certificate = "/etc/ssl/a.pem""#, r#"tls = { cert = "/etc/ssl/a.pem", key = "/etc/ssl/a-key.pem" }"#);
        check(Site, r#"ssl_certificate_key = "/etc/ssl/a.key""#, r#"tls = { cert = "/etc/ssl/a.pem", key = "/etc/ssl/a.key" }"#);
        check(Site, r#"ssl_certificate = """#, r#"tls = { cert = "/etc/hotgate/example.com.pem", key = "/etc/hotgate/example.com-key.pem" }"#);
        check(Site, r#"ssl_protocols = "TLSv1.2 TLSv1.3""#, "");
        check(Site, r#"ssl_ciphers = "HIGH""#, "");
        check(Site, r#"ssl_prefer_server_ciphers = "on""#, "");
        check(Site, r#"ssl_dhparam = "/etc/ssl/dh.pem""#, "");
        check(Top, r#"ssl_session_cache = "shared:SSL:10m""#, "");
        check(Top, r#"ssl_session_tickets = "off""#, "");
        check(Site, r#"ssl_client_certificate = "/etc/ssl/ca.pem""#, r#"tls = { client_auth = "require", client_ca = "/etc/ssl/ca.pem" }"#);
        check(Site, r#"ssl_verify_client = "on""#, r#"tls = { client_auth = "require", client_ca = "/etc/hotgate/clients.pem" }"#);
        check(Site, r#"ssl_reject_handshake = "on""#, "");
        check(Site, r#"auth_basic = "closed""#, "");
        check(Site, r#"auth_basic_user_file = "/etc/nginx/htpasswd""#, "");
        check(Site, r#"auth_request = "/auth""#, "");
        check(Site, r#"deny = "all""#, r#"allow = ["private"]"#);
        check(Site, r#"limit_req = "zone=a burst=5""#, "");
        check(Site, r#"limit_conn = "addr 1""#, "");
        check(Top, r#"set_real_ip_from = "10.0.0.0/8""#, "[server]\ntrusted_proxies = [\"10.0.0.0/8\"]");
        check(Top, r#"real_ip_header = "X-Forwarded-For""#, "");
        check(Site, r#"access_log = "off""#, "log = false");
        check(Top, r#"access_log = "off""#, "[log.access]\npath = \"off\"");
        check(Site, r#"access_log = "/var/log/nginx/a.log combined""#, "[log.access]\npath = \"/var/log/nginx/a.log\"");
        check(Top, r#"error_log = "/var/log/nginx/error.log warn""#, "[log]\nlevel = \"warn\"");
        check(Top, r#"log_format = "combined""#, "[log.access]\nformat = \"combined\"");
        check(Top, "worker_processes = 4", "[server]\nworkers = 4");
        check(Top, r#"worker_processes = "auto""#, "[server]\nworkers = \"auto\"");
        check(Top, "worker_connections = 1024", "");
        check(Top, "worker_rlimit_nofile = 65535", "");
        check(Top, r#"user = "www-data""#, "");
        check(Top, r#"pid = "/run/nginx.pid""#, "");
        check(Top, r#"daemon = "off""#, "");
        check(Top, r#"include = "/etc/nginx/conf.d/*.conf""#, "");
        check(Site, r#"error_page = "502 /502.html""#, "");
        check(Site, r#"return = "301 https://example.com""#, "");
        check(Site, r#"rewrite = "^/a /b""#, "");
        check(Site, r#"gzip = "on""#, "");
        check(Top, r#"resolver = "127.0.0.53""#, "");
        check(Top, r#"sendfile = "on""#, "");
        check(Site, r#"http2 = "on""#, "");
        check(Site, r#"fastcgi_pass = "unix:/run/php.sock""#, "");
        check(Site, r#"uwsgi_pass = "127.0.0.1:8000""#, "to = 8000");
        check(Site, r#"reverse_proxy = "localhost:8080""#, "to = 8080");
        check(Site, r#"reverse_proxy = "/api/* 10.0.0.5:80""#, r#"to = "10.0.0.5:80""#);
        check(Site, r#"reverse_proxy = ["10.0.0.2:80", "10.0.0.3:80"]"#, r#"to = ["10.0.0.2:80", "10.0.0.3:80"]"#);
        check(Site, r#"handle = { reverse_proxy = ":3000" }"#, "");
        check(Site, r#"handle_path = "/api/*""#, "");
        check(Site, r#"route = "/api""#, "");
        check(Site, r#"uri = "strip_prefix /api""#, "");
        check(Site, r#"redir = "https://example.com{uri}""#, "");
        check(Site, "file_server = true", "");
        check(Site, r#"encode = "gzip""#, "");
        check(Site, r#"header = "X-Frame-Options DENY""#, "");
        check(Site, r#"header_up = "Host {upstream_hostport}""#, r#"host = "upstream""#);
        check(Site, r#"header_down = "-Server""#, "");
        check(Site, r#"request_body = { max_size = "10MB" }"#, r#"limits.body = "10MB""#);
        check(Site, r#"basicauth = { alice = "x" }"#, "");
        check(Site, r#"php_fastcgi = "unix//run/php.sock""#, "");
        check(Site, r#"transport = "http""#, "");
        check(Site, "tls_insecure_skip_verify = true", "upstream_tls = { verify = false }");
        check(Site, r#"tls_trusted_ca_certs = "/etc/ca.pem""#, r#"upstream_tls = { ca = "/etc/ca.pem" }"#);
        check(Site, r#"tls_server_name = "app""#, r#"upstream_tls = { server_name = "app" }"#);
        check(Top, r#"acme_ca = "https://ca.test/dir""#, "[acme]\nca = \"https://ca.test/dir\"");
        check(Top, r#"acme_dns = "cloudflare x""#, "");
        check(Top, "local_certs = true", "");
        check(Site, "flush_interval = -1", "");
        check(Site, r#"lb_policy = "least_conn""#, "");
        check(Site, r#"health_uri = "/healthz""#, "");
        check(Top, r#"auto_https = "off""#, "");
        check(Top, r#"email = "me@example.com""#, "[acme]\nemail = \"me@example.com\"");
        check(Site, r#"email = "me@example.com""#, "[acme]\nemail = \"me@example.com\"");
        check(Top, r#"import = "sites/*""#, "");
        check(Top, r#"http = { routers = { app = { rule = "Host(`app.example.com`)" } }, services = { app = { url = "http://127.0.0.1:3000" } } }"#, "[sites]\n\"app.example.com\" = 3000");
        check(Top, r#"entryPoints = { web = { address = ":80" }, websecure = { address = ":443" } }"#, "[server]\nhttp = [\":80\"]\nhttps = [\":443\"]");
        check(Top, r#"routers = { app = { rule = "Host(`app.example.com`)" } }"#, "[sites]\n\"app.example.com\" = 3000");
        check(Site, r#"services = { app = { url = "http://10.0.0.5:3000" } }"#, r#"to = "10.0.0.5:3000""#);
        check(Site, r#"middlewares = ["auth"]"#, "");
        check(Site, r#"rule = "Host(`app.example.com`) && PathPrefix(`/x`)""#, r#"[sites."app.example.com"]"#);
        check(Site, r#"service = "app""#, "to = 3000");
        check(Site, r#"loadBalancer = { servers = [{ url = "http://10.0.0.2:80" }, { url = "http://10.0.0.3:80" }] }"#, r#"to = ["10.0.0.2:80", "10.0.0.3:80"]"#);
        check(Site, r#"servers = [{ url = "http://10.0.0.2:80" }]"#, r#"to = "10.0.0.2:80""#);
        check(Site, r#"url = "http://127.0.0.1:3000""#, "to = 3000");
        check(Site, "passHostHeader = false", r#"host = "upstream""#);
        check(Site, "passHostHeader = true", r#"host = "keep""#);
        check(Site, r#"stripPrefix = ["/api"]"#, "");
        check(Site, r#"forwardingTimeouts = { dialTimeout = "5s" }"#, "");
        check(Site, r#"dialTimeout = "30s""#, r#"timeouts.connect = "30s""#);
        check(Site, r#"responseHeaderTimeout = "30s""#, r#"timeouts.response = "30s""#);
        check(Site, r#"idleConnTimeout = "90s""#, r#"timeouts.upstream_idle = "90s""#);
        check(Site, r#"readTimeout = "60s""#, "");
        check(Site, r#"ipAllowList = { sourceRange = ["10.0.0.0/8", "::1"] }"#, r#"allow = ["10.0.0.0/8", "::1"]"#);
        check(Site, r#"sourceRange = ["10.0.0.1/8"]"#, r#"allow = ["10.0.0.0/8"]"#);
        check(Top, r#"trustedIPs = ["192.0.2.1"]"#, "[server]\ntrusted_proxies = [\"192.0.2.1\"]");
        check(Site, r#"certResolver = "le""#, "");
        check(Top, r#"certificatesResolvers = { le = { acme = { email = "me@example.com" } } }"#, "");
        check(Top, "providers = { docker = {} }", "");
        check(Site, r#"serversTransport = "x""#, "");
        check(Site, "insecureSkipVerify = true", "upstream_tls = { verify = false }");
        check(Site, r#"rootCAs = ["/etc/ca.pem"]"#, r#"upstream_tls = { ca = "/etc/ca.pem" }"#);
        check(Top, r#"caServer = "https://ca.test/dir""#, "[acme]\nca = \"https://ca.test/dir\"");
        check(Top, "tlsChallenge = {}", "[acme]\nchallenge = \"tls-alpn-01\"");
        check(Top, r#"httpChallenge = { entryPoint = "web" }"#, "[acme]\nchallenge = \"http-01\"");
        check(Top, r#"dnsChallenge = { provider = "cloudflare" }"#, "");
        check(Top, "sniStrict = true", "");
        check(Site, "stsSeconds = 31536000", r#"hsts = "31536000s""#);
        check(Top, r#"accessLog = { filePath = "/var/log/traefik.log" }"#, "[log.access]\npath = \"/var/log/traefik.log\"");
        check(Top, "accessLog = {}", "[log.access]\npath = \"stdout\"");
        check(Top, "api = { dashboard = true }", "");
        check(Top, r#"frontend = "web""#, "[sites]\n\"example.com\" = 3000");
        check(Site, r#"backend = "app""#, "to = 3000");
        check(Top, r#"bind = "*:8080""#, "[server]\nhttp = [\":8080\"]");
        check(Site, r#"use_backend = "app if is_app""#, "to = 3000");
        check(Site, r#"default_backend = "app""#, "to = 3000");
        check(Site, r#"acl = "is_app hdr(host) -i app.example.com""#, "");
        check(Top, "maxconn = 2000", "[server]\nmax_connections = 2000");
        check(Top, "nbthread = 4", "[server]\nworkers = 4");
        check(Site, r#""timeout client" = "30s""#, r#"timeouts.body_idle = "30s""#);
        check(Site, r#""timeout connect" = 5000"#, r#"timeouts.connect = "5s""#);
        check(Top, r#""timeout server" = "1m""#, "[timeouts]\nresponse = \"1m\"");
        check(Site, r#""timeout tunnel" = "1h""#, r#"timeouts.tunnel_idle = "1h""#);
        check(Site, r#""timeout http-request" = "5s""#, "[timeouts]\nheader = \"5s\"");
        check(Site, r#""timeout http-keep-alive" = "10s""#, r#"timeouts.keepalive = "10s""#);
        check(Site, r#""option forwardfor" = true"#, "");
        check(Site, r#""option httpchk" = "GET /""#, "");
        check(Site, r#"mode = "http""#, "");
        check(Site, r#"balance = "roundrobin""#, "");
        check(Top, "global = { maxconn = 2000 }", "");
        check(Site, r#"ProxyPass = "/ http://127.0.0.1:3000/""#, "to = 3000");
        check(Site, r#"ProxyPassReverse = "/ http://127.0.0.1:3000/""#, "");
        check(Site, r#"ProxyPreserveHost = "Off""#, r#"host = "upstream""#);
        check(Site, "ProxyTimeout = 300", r#"timeouts.response = "300s""#);
        check(Site, r#"ServerName = "app.example.com""#, r#"[sites."app.example.com"]"#);
        check(Site, r#"ServerAlias = "www.example.com""#, "");
        check(Top, r#"VirtualHost = "*:80""#, r#"[sites."example.com"]"#);
        check(Site, r#"DocumentRoot = "/srv/www""#, "");
        check(Site, "LimitRequestBody = 1048576", r#"limits.body = "1MiB""#);
        check(Site, "KeepAliveTimeout = 5", r#"timeouts.keepalive = "5s""#);
        check(Top, r#"CustomLog = "/var/log/apache2/access.log combined""#, "[log.access]\npath = \"/var/log/apache2/access.log\"");
        check(Top, r#"ErrorLog = "/var/log/apache2/error.log""#, "[log]\nlevel = \"info\"");
        check(Top, r#"LogLevel = "debug""#, "[log]\nlevel = \"debug\"");
        check(Site, r#"RewriteRule = "^/a /b""#, "");
        check(Site, r#"SSLCertificateFile = "/etc/ssl/a.pem""#, r#"tls = { cert = "/etc/ssl/a.pem", key = "/etc/ssl/a-key.pem" }"#);
        check(Site, r#"SSLCertificateKeyFile = "/etc/ssl/a-key.pem""#, r#"tls = { cert = "/etc/ssl/a.pem", key = "/etc/ssl/a-key.pem" }"#);
        check(Site, r#"SSLEngine = "on""#, "");
        check(Site, r#"Require = "ip 10.0.0.0/8""#, r#"allow = ["10.0.0.0/8"]"#);
        check(Top, r#"VIRTUAL_HOST = "app.example.com,www.example.com""#, "[sites]\n\"app.example.com\" = 3000");
        check(Site, "VIRTUAL_PORT = 3000", "to = 3000");
        check(Site, r#"VIRTUAL_PATH = "/api""#, "");
        check(Site, r#"VIRTUAL_PROTO = "http""#, "");
        check(Top, r#"LETSENCRYPT_HOST = "app.example.com""#, "");
        check(Top, r#"LETSENCRYPT_EMAIL = "me@example.com""#, "[acme]\nemail = \"me@example.com\"");
        check(Top, r#"HTTPS_METHOD = "noredirect""#, "");
        check(Site, r#"CERT_NAME = "shared""#, "");
        check(Site, r#"NETWORK_ACCESS = "internal""#, r#"allow = ["private"]"#);
        let all: BTreeSet<String> = WORDS.iter().map(|word| word.theirs.to_ascii_lowercase()).collect();
        assert_eq!(*seen.borrow(), all, "a word without a row, or a row without a word");
        assert_eq!(all.len(), WORDS.len(), "a word is there twice");
    }

    #[test]
    fn words_that_are_ours_too_are_ours_where_they_belong() {
        for text in [
            "[server]\nbackend = \"auto\"",
            "[server]\nhttp = [\":80\"]",
            "[timeouts]\nheader = \"5s\"",
            "[sites]\napi = 3000\nbackend = 3001\nmode = 3002\n\"listen\" = 3003",
        ] {
            assert!(faults_of(text).is_empty(), "{text}");
        }
    }
}
