//! `tls` of a site and `upstream_tls`: certificates in files, and whom to believe.

use std::ops::Range;
use std::path::PathBuf;

use super::diagnostic::{Fault, Faults, INCOMPLETE};
use super::host::HostKey;
use super::keys::{Level, refuse};
use super::local_name::is_local_name;
use super::model::{HostPattern, SiteScheme};
use super::model_tls::{CertificateSource, ClientAuth, PemPair, SiteTls, UpstreamTls};
use super::raw::{Entry, SWITCH, set};
use super::text::{file, text};
use super::tree::Value;
use crate::http::authority::HostName;

/// Certificates of one name: one for each kind of key that clients may understand, and room.
const PAIRS_MAX: usize = 8;

/// What a message says that `tls` takes.
const TLS: &str = "a table such as { cert = \"…\", key = \"…\" } or a list of these";

/// What a site's `tls` says.
#[derive(Clone, Debug)]
pub(super) struct Given {
    pairs: Vec<PemPair>,
    client_auth: ClientAuth,
    /// Where the key `tls` stands.
    key: Range<usize>,
}

/// What the tables of one `tls` have together.
#[derive(Default)]
struct Reading {
    pairs: Vec<PemPair>,
    client_auth: Option<(ClientMode, Range<usize>)>,
    client_ca: Option<(PathBuf, Range<usize>)>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum ClientMode {
    Off,
    Request,
    Require,
}

/// Reads `tls` of a site. Unless it `is_whole`, a later layer may add what it lacks.
pub(super) fn tls(entry: &Entry, is_whole: bool, faults: &mut Faults) -> Option<Given> {
    let before = faults.count();
    let mut reading = Reading::default();
    match entry.value {
        Value::Table(_) => table(entry, is_whole, &mut reading, faults),
        Value::List(_) if !entry.has_double_header(faults) => {
            let items = entry.list(TLS, faults)?;
            if !(1..=PAIRS_MAX).contains(&items.len()) {
                let message = format!("`tls` must have 1 to {PAIRS_MAX} pairs");
                faults.error(Fault::new("out-of-range", entry.span.clone(), message));
                return None;
            }
            for item in &items {
                table(item, is_whole, &mut reading, faults);
            }
        }
        Value::List(_) => {
            let fault = entry.wrong_type(TLS);
            faults.error(entry.single_header(fault, faults));
        }
        Value::Boolean(_)
        | Value::String(_)
        | Value::Integer(_)
        | Value::Float
        | Value::Datetime => {
            let fault = entry.wrong_type(TLS);
            let is_off =
                matches!(entry.value, Value::Boolean(false)) || entry.value.as_str() == Some("off");
            faults.error(match is_off {
                true => fault.label("`http://` in front of the site's key makes it plain HTTP"),
                false => fault.label("HTTPS is what a host has by itself: leave the line out"),
            });
        }
    }
    let client_auth = client_auth(&reading, is_whole && faults.count() == before, faults);
    Some(Given {
        pairs: reading.pairs,
        client_auth: client_auth?,
        key: entry.key.clone(),
    })
    .filter(|_| faults.count() == before)
}

fn table(entry: &Entry, is_whole: bool, reading: &mut Reading, faults: &mut Faults) {
    let before = faults.count();
    let (mut cert, mut key) = (None, None);
    let (mut has_cert, mut has_key) = (false, false);
    for entry in entry.table(TLS, faults).unwrap_or_default() {
        match entry.name {
            "cert" => (cert, has_cert) = (file(&entry, faults), true),
            "key" => (key, has_key) = (file(&entry, faults), true),
            "client_auth" => {
                let choices = [
                    ("off", ClientMode::Off),
                    ("request", ClientMode::Request),
                    ("require", ClientMode::Require),
                ];
                let first = reading.client_auth.as_ref().map(|(_, span)| span.clone());
                set_twice(&entry, first, faults);
                let mode = entry.choice(&choices, faults);
                reading.client_auth = mode.map(|mode| (mode, entry.span.clone()));
            }
            "client_ca" => {
                let first = reading.client_ca.as_ref().map(|(_, span)| span.clone());
                set_twice(&entry, first, faults);
                let path = file(&entry, faults);
                reading.client_ca = path.map(|path| (path, entry.key.clone()));
            }
            _ => refuse(&entry, Level::Tls, faults),
        }
    }
    pair_is_whole(
        entry,
        has_cert,
        has_key,
        is_whole && faults.count() == before,
        faults,
    );
    if let (Some(cert), Some(key)) = (cert, key) {
        let place = faults.place(entry.key.start);
        reading.pairs.push(PemPair { cert, key, place });
    }
}

/// Of a list of pairs one table says what clients are asked for.
fn set_twice(entry: &Entry, first: Option<Range<usize>>, faults: &mut Faults) {
    if let Some(first) = first {
        let first = faults.place(first.start);
        let message = format!("`{}` is set twice", entry.name);
        let fault = Fault::new("duplicate-key", entry.key.clone(), message);
        faults.error(fault.label(format!("first set at {first}; it holds for the whole site")));
    }
}

fn pair_is_whole(
    entry: &Entry,
    has_cert: bool,
    has_key: bool,
    is_whole: bool,
    faults: &mut Faults,
) {
    if has_cert == has_key || !is_whole {
        return;
    }
    let (here, lacking) = match has_cert {
        true => ("cert", "key"),
        false => ("key", "cert"),
    };
    let message = format!("`{}` has a `{here}` and no `{lacking}`", entry.name);
    let fault = Fault::new(INCOMPLETE, entry.key.clone(), message);
    faults.error(fault.label("where one PEM file holds both, name it twice"));
}

fn client_auth(reading: &Reading, is_whole: bool, faults: &mut Faults) -> Option<ClientAuth> {
    match (&reading.client_auth, &reading.client_ca) {
        (None | Some((ClientMode::Off, _)), None) | (Some((ClientMode::Off, _)), Some(_)) => {
            Some(ClientAuth::Off)
        }
        (Some((ClientMode::Request, _)), Some((ca, _))) => Some(ClientAuth::Request(ca.clone())),
        (Some((ClientMode::Require, _)), Some((ca, _))) => Some(ClientAuth::Require(ca.clone())),
        (Some((ClientMode::Request | ClientMode::Require, span)), None) if is_whole => {
            let message =
                "`client_auth` needs `client_ca`, which says whose certificates are believed";
            let fault = Fault::new(INCOMPLETE, span.clone(), message);
            faults.error(fault.write("client_ca = \"/etc/hotgate/clients.pem\""));
            None
        }
        (None, Some((_, key))) if is_whole => {
            let message = "`client_ca` needs `client_auth`, which says whether clients must show a certificate";
            let fault = Fault::new(INCOMPLETE, key.clone(), message);
            faults.error(fault.write("client_auth = \"require\""));
            None
        }
        (Some(_), None) | (None, Some(_)) => Some(ClientAuth::Off),
    }
}

/// What a site with this key serves. Names no certificate: that of its host's kind.
pub(super) fn of_site(
    key: &mut HostKey,
    given: Option<Given>,
    is_whole: bool,
    faults: &mut Faults,
) -> SiteTls {
    let Some(given) = given else {
        let source = source_for(&key.host);
        return SiteTls {
            source,
            ..SiteTls::default()
        };
    };
    let fault = |code, message: &str| Fault::new(code, given.key.clone(), message);
    match (&key.host, key.scheme, key.port) {
        (HostPattern::Any, SiteScheme::Http | SiteScheme::Both, None) => {
            if given.pairs.is_empty() && is_whole {
                let message =
                    "`tls` of `*` needs `cert` and `key`: it has no name to get a certificate for";
                let sample =
                    "tls = { cert = \"/etc/hotgate/any.pem\", key = \"/etc/hotgate/any-key.pem\" }";
                faults.error(fault(INCOMPLETE, message).write(sample));
            }
            key.scheme = SiteScheme::Both;
        }
        (HostPattern::Any, _, _) => {
            let message = "a site of any host on a port is plain HTTP, and has no `tls`";
            let label = "`\"*\"` with `tls` takes unknown names over TLS";
            faults.error(fault("misplaced-key", message).label(label));
        }
        (_, SiteScheme::Http, _) => {
            let label = "without `http://` in front of its key it is HTTPS";
            let message = "a site of plain HTTP has no `tls`";
            faults.error(fault("misplaced-key", message).label(label));
        }
        (_, SiteScheme::Https | SiteScheme::Both, _) => {}
    }
    let source = match given.pairs.is_empty() {
        true => source_for(&key.host),
        false => CertificateSource::Files(given.pairs),
    };
    SiteTls {
        source,
        client_auth: given.client_auth,
    }
}

fn source_for(host: &HostPattern) -> CertificateSource {
    let is_local = match host {
        HostPattern::Exact(name) | HostPattern::Wildcard(name) => is_local_name(name),
        HostPattern::Any => false,
    };
    match is_local {
        true => CertificateSource::LocalCa,
        false => CertificateSource::Acme,
    }
}

/// Reads `upstream_tls`, which replaces an outer level's as a whole.
pub(super) fn upstream_tls(entry: &Entry, faults: &mut Faults) -> Option<UpstreamTls> {
    let expected = "a table such as { ca = \"…\", server_name = \"…\" }";
    let before = faults.count();
    let mut found = UpstreamTls::default();
    let (mut cert, mut key) = (None, None);
    let (mut has_cert, mut has_key) = (false, false);
    for entry in entry.table(expected, faults)? {
        match entry.name {
            "ca" => found.ca = file(&entry, faults),
            "server_name" => found.server_name = server_name(&entry, faults),
            "verify" => set(&mut found.verify, entry.boolean(SWITCH, faults)),
            "cert" => (cert, has_cert) = (file(&entry, faults), true),
            "key" => (key, has_key) = (file(&entry, faults), true),
            _ => refuse(&entry, Level::UpstreamTls, faults),
        }
    }
    pair_is_whole(entry, has_cert, has_key, faults.count() == before, faults);
    if let (Some(cert), Some(key)) = (cert, key) {
        let place = faults.place(entry.key.start);
        found.cert = Some(PemPair { cert, key, place });
    }
    (faults.count() == before).then_some(found)
}

/// As certificates have it: without brackets.
fn server_name(entry: &Entry, faults: &mut Faults) -> Option<String> {
    let expected = "the name or address that the app's certificate is for";
    let text = text(entry, expected, faults)?;
    match HostName::parse(text.as_bytes()) {
        Ok(name) => Some(match name.ip() {
            Some(ip) => ip.to_string(),
            None => name.as_str().to_owned(),
        }),
        Err(_) => {
            let message = format!("`server_name` takes {expected}");
            faults.error(Fault::new("bad-value", entry.span.clone(), message));
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::config::{Config, Source, parse};

    fn read(text: &str) -> Result<Config, String> {
        let source = Source {
            name: "/f/f.toml",
            text,
        };
        parse(&[source]).map_err(|errors| format!("{} {}", errors[0].code, errors[0].message))
    }

    /// Scheme, source and client auth of one site.
    fn site(key: &str, tls: &str) -> Result<String, String> {
        let config = read(&format!("[sites.{key:?}]\nto = 1\n{tls}"))?;
        let site = &config.sites[0];
        let source = match &site.tls.source {
            crate::config::CertificateSource::Files(pairs) => {
                let pairs = pairs
                    .iter()
                    .map(|pair| format!("{} {}", pair.cert.display(), pair.key.display()));
                pairs.collect::<Vec<_>>().join(", ")
            }
            other => format!("{other:?}"),
        };
        Ok(format!(
            "{:?} {source} {:?}",
            site.scheme, site.tls.client_auth
        ))
    }

    #[test]
    #[rustfmt::skip]
    fn sites() {
        #[track_caller]
        fn check(key: &str, tls: &str, expected: &str) {
            assert_eq!(site(key, tls).as_deref(), Ok(expected), "{key} {tls}");
        }
        let pair = "tls = { cert = \"a.pem\", key = \"/k/a.key\" }";
        check("example.com",   "", "Https Acme Off");
        check("*.example.com:8443", "", "Https Acme Off");
        check("192.0.2.1",     "", "Https Acme Off");
        check("localhost",     "", "Https LocalCa Off");
        check("*.nas.lan",     "", "Https LocalCa Off");
        check("[::1]:8443",    "", "Https LocalCa Off");
        check("10.0.0.1",      "", "Https LocalCa Off");
        check("example.com",   pair, "Https /f/a.pem /k/a.key Off");
        check("nas.lan",       pair, "Https /f/a.pem /k/a.key Off");
        check("*",             pair, "Both /f/a.pem /k/a.key Off");
        check("example.com",   "tls = [{ cert = \"r.pem\", key = \"r.key\" }, { cert = \"e.pem\", key = \"e.key\" }]", "Https /f/r.pem /f/r.key, /f/e.pem /f/e.key Off");
        check("example.com",   "tls = { client_auth = \"require\", client_ca = \"ca.pem\" }", "Https Acme Require(\"/f/ca.pem\")");
        check("example.com",   "tls = { client_auth = \"request\", client_ca = \"ca.pem\" }", "Https Acme Request(\"/f/ca.pem\")");
        check("example.com",   "tls = { client_auth = \"off\", client_ca = \"ca.pem\" }", "Https Acme Off");
        check("example.com",   "tls = [{ cert = \"r.pem\", key = \"r.key\", client_auth = \"require\", client_ca = \"c.pem\" }, { cert = \"e.pem\", key = \"e.key\" }]", "Https /f/r.pem /f/r.key, /f/e.pem /f/e.key Require(\"/f/c.pem\")");
        check("example.com",   "tls = {}", "Https Acme Off");
        check("http://example.com", "", "Http Acme Off");
    }

    #[test]
    #[rustfmt::skip]
    fn refusals() {
        #[track_caller]
        fn check(key: &str, tls: &str, expected: &str) {
            let code = site(key, tls).map_err(|error| error.split(' ').next().unwrap_or_default().to_owned());
            assert_eq!(code, Err(expected.to_owned()), "{key} {tls}");
        }
        let pair = "tls = { cert = \"a.pem\", key = \"a.key\" }";
        check("http://h", pair,                                          "misplaced-key");
        check(":8080",    pair,                                          "misplaced-key");
        check("*",        "tls = {}",                                    "incomplete");
        check("h",        "tls = { cert = \"a.pem\" }",                  "incomplete");
        check("h",        "tls = { key = \"a.pem\" }",                   "incomplete");
        check("h",        "tls = { client_auth = \"require\" }",         "incomplete");
        check("h",        "tls = { client_ca = \"a.pem\" }",             "incomplete");
        check("h",        "tls = { client_auth = \"maybe\", client_ca = \"a.pem\" }", "bad-value");
        check("h",        "tls = { cert = \"\", key = \"a.key\" }",      "bad-value");
        check("h",        "tls = { cert = \"/etc/ssl/\", key = \"a.key\" }", "bad-value");
        check("h",        "tls = { cert = \"-----BEGIN CERTIFICATE-----\", key = \"a.key\" }", "bad-value");
        check("h",        "tls = { cert = \"a\", key = \"b\", min_version = 3 }", "unknown-key");
        check("h",        "tls = []",                                    "out-of-range");
        check("h",        "tls = [{ cert = \"a\" }, { key = \"b\" }]",   "incomplete");
        check("h",        "tls = true",                                  "wrong-type");
        check("h",        "tls = \"internal\"",                          "wrong-type");
        check("h",        "tls = [{ client_auth = \"off\" }, { client_auth = \"off\" }]", "duplicate-key");
        check("h",        "paths.\"/a\" = { tls = {} }",                 "misplaced-key");
    }

    #[test]
    fn upstreams() {
        let config = read(
            "[defaults]\nupstream_tls = { ca = \"ca.pem\", server_name = \"App.Internal.\", cert = \"c.pem\", key = \"c.key\" }\n\
             [sites.\"http://a\"]\nto = \"https://app:8443\"\n\
             paths.\"/p\" = { upstream_tls = { verify = false, server_name = \"[::1]\" } }\n\
             paths.\"/q\" = { upstream_tls = {} }",
        )
        .expect("it is fine");
        let of = |name: &str| {
            let mut routes = config.sites[0].routes.iter();
            let route = routes
                .find(|route| route.name == name)
                .expect("the path is there");
            &route.settings.upstream_tls
        };
        let whole = of("/");
        assert_eq!(whole.ca.as_deref(), Some("/f/ca.pem".as_ref()));
        assert_eq!(whole.server_name.as_deref(), Some("app.internal"));
        assert!(whole.verify && whole.cert.is_some());
        // As a whole: nothing of the outer one is left.
        let of_path = of("/p");
        assert!(!of_path.verify && of_path.ca.is_none() && of_path.cert.is_none());
        assert_eq!(of_path.server_name.as_deref(), Some("::1"));
        assert_eq!(*of("/q"), crate::config::UpstreamTls::default());
        for (table, code) in [
            ("{ cert = \"c.pem\" }", "incomplete"),
            ("{ server_name = \"a b\" }", "bad-value"),
            ("{ verify = \"off\" }", "wrong-type"),
            ("{ insecure = true }", "unknown-key"),
            ("false", "wrong-type"),
        ] {
            let text = format!("[defaults]\nupstream_tls = {table}");
            let error = read(&text).expect_err("the row is refused");
            assert!(error.starts_with(code), "{table}: {error}");
        }
    }
}
