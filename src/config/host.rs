//! Keys of `[sites]`: which hosts, on which port, plain or not.
//!
//! ```text
//!   "example.com"  "example.com:8443"  "*.example.com"  "192.0.2.1"  "[::1]"     SiteScheme::Https
//!   "http://example.com"  "http://example.com:8080"  ":8080"  "*"                SiteScheme::Http
//! ```
//!
//! Names are in their one normal form from here on (lower case, no trailing dot, IDN as ASCII by UTS #46), so that
//! two spellings of one host are one host.

use std::net::Ipv6Addr;

use crate::http::authority::HostName;

use super::model::{HostPattern, SiteScheme};

/// A site key, read.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct HostKey {
    pub(super) host: HostPattern,
    pub(super) scheme: SiteScheme,
    pub(super) port: Option<u16>,
}

/// Why a key is no host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct HostError {
    pub(super) message: &'static str,
    /// The key that was probably meant; may be empty.
    pub(super) mend: String,
}

/// Reads a key of `[sites]`.
pub(super) fn parse(key: &str) -> Result<HostKey, HostError> {
    let error = |message| HostError {
        message,
        mend: String::new(),
    };
    let mend = |message, mend: &str| {
        let is_key = !mend.is_empty() && parse(mend).is_ok();
        HostError {
            message,
            mend: if is_key {
                mend.to_owned()
            } else {
                String::new()
            },
        }
    };
    if key == "*" {
        return Ok(HostKey {
            host: HostPattern::Any,
            scheme: SiteScheme::Http,
            port: None,
        });
    }
    if let Some(rest) = key.strip_prefix("https://") {
        return Err(mend(
            "HTTPS is what a host gets by itself; its key has no `https://`",
            rest.trim_end_matches('/'),
        ));
    }
    let (scheme, rest) = match key.strip_prefix("http://") {
        Some(rest) => (SiteScheme::Http, rest),
        None => (SiteScheme::Https, key),
    };
    if let Some((host, path)) = rest.split_once('/') {
        let host = &key[..key.len() - rest.len() + host.len()];
        return Err(match path {
            "" => mend("a host has no path", host),
            _ => mend(
                "a host has no path; paths stand in the site's `paths`",
                host,
            ),
        });
    }
    if rest.parse::<Ipv6Addr>().is_ok() {
        let start = &key[..key.len() - rest.len()];
        return Err(mend(
            "an IPv6 address stands in brackets",
            &format!("{start}[{rest}]"),
        ));
    }
    let (host, port) = split_port(rest);
    let port = match port.map(read_port) {
        Some(None) => return Err(error("the host's port is not a number within 1 to 65535")),
        Some(Some(port)) => Some(port),
        None => None,
    };
    if host.is_empty() {
        return match port {
            Some(_) if scheme == SiteScheme::Https => Ok(HostKey {
                host: HostPattern::Any,
                scheme: SiteScheme::Http,
                port,
            }),
            Some(_) => Err(mend(
                "any host on a port is written without `http://`",
                rest,
            )),
            None => Err(error("the host is empty")),
        };
    }
    if host == "*" {
        let any = port.map_or("*".to_owned(), |port| format!(":{port}"));
        return Err(mend(
            "any host is written `*`, on one port alone `:PORT`; both are plain HTTP",
            &any,
        ));
    }
    let host = match host.strip_prefix("*.") {
        Some(suffix) => HostPattern::Wildcard(wildcard_suffix(suffix)?),
        None if host.contains('*') => {
            return Err(error(
                "`*` stands for the whole first label, as in `*.example.com`",
            ));
        }
        None => HostPattern::Exact(name(host)?),
    };
    Ok(HostKey { host, scheme, port })
}

fn wildcard_suffix(text: &str) -> Result<HostName, HostError> {
    if text.contains('*') {
        return Err(HostError {
            message: "`*` stands for the first label alone",
            mend: String::new(),
        });
    }
    let suffix = name(text)?;
    match suffix.ip() {
        Some(_) => Err(HostError {
            message: "an address has no labels for `*` to stand for",
            mend: String::new(),
        }),
        None => Ok(suffix),
    }
}

/// A host in its one normal form.
fn name(text: &str) -> Result<HostName, HostError> {
    let error = HostError {
        message: "a host is a name or an address, and may have a port",
        mend: String::new(),
    };
    if text.is_ascii() {
        return HostName::parse(text.as_bytes()).map_err(|_| error);
    }
    let relative = text.strip_suffix('.').unwrap_or(text);
    let ascii = idna::domain_to_ascii_strict(relative).map_err(|_| HostError {
        message: "the host is not a valid internationalised name",
        mend: String::new(),
    })?;
    HostName::parse(ascii.as_bytes()).map_err(|_| error)
}

/// The port is what follows the last colon outside brackets.
fn split_port(text: &str) -> (&str, Option<&str>) {
    match text.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        Some(_) | None => (text, None),
    }
}

fn read_port(text: &str) -> Option<u16> {
    let is_number = text.bytes().all(|octet| octet.is_ascii_digit());
    text.parse().ok().filter(|port| is_number && *port > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use SiteScheme::{Http, Https};

    fn host(text: &str) -> HostName {
        HostName::parse(text.as_bytes()).expect("the row's host is valid")
    }

    #[test]
    fn keys() {
        #[track_caller]
        fn check(key: &str, expected: HostPattern, scheme: SiteScheme, port: Option<u16>) {
            assert_eq!(
                parse(key),
                Ok(HostKey {
                    host: expected,
                    scheme,
                    port
                }),
                "{key}"
            );
        }
        let exact = |text| HostPattern::Exact(host(text));
        let wildcard = |text| HostPattern::Wildcard(host(text));
        check("example.com", exact("example.com"), Https, None);
        check("Example.COM.", exact("example.com"), Https, None);
        check("example.com:8443", exact("example.com"), Https, Some(8443));
        check("http://example.com", exact("example.com"), Http, None);
        check(
            "http://example.com:8080",
            exact("example.com"),
            Http,
            Some(8080),
        );
        check("localhost", exact("localhost"), Https, None);
        check("app_1", exact("app_1"), Https, None);
        check("192.0.2.1", exact("192.0.2.1"), Https, None);
        check("192.0.2.1:8080", exact("192.0.2.1"), Https, Some(8080));
        check("[::1]", exact("[::1]"), Https, None);
        check("[::1]:8080", exact("[::1]"), Https, Some(8080));
        check("http://[::1]:8080", exact("[::1]"), Http, Some(8080));
        check(
            "bücher.example",
            exact("xn--bcher-kva.example"),
            Https,
            None,
        );
        check(
            "BÜCHER.example.",
            exact("xn--bcher-kva.example"),
            Https,
            None,
        );
        check(
            "xn--bcher-kva.example",
            exact("xn--bcher-kva.example"),
            Https,
            None,
        );
        check(
            "*.bücher.example",
            wildcard("xn--bcher-kva.example"),
            Https,
            None,
        );
        check("*.example.com", wildcard("example.com"), Https, None);
        check(
            "*.example.com:8443",
            wildcard("example.com"),
            Https,
            Some(8443),
        );
        check("http://*.example.com", wildcard("example.com"), Http, None);
        check(":8080", HostPattern::Any, Http, Some(8080));
        check("*", HostPattern::Any, Http, None);
    }

    #[test]
    fn refusals() {
        #[track_caller]
        fn check(key: &str, mend: &str) {
            assert_eq!(
                parse(key).expect_err("the row is refused").mend,
                mend,
                "{key}"
            );
        }
        check("", "");
        check("https://example.com", "example.com");
        check("https://example.com/", "example.com");
        check("https://", "");
        check("http://", "");
        check("http://example.com/", "http://example.com");
        check("example.com/api", "example.com");
        check("/api", "");
        check("::1", "[::1]");
        check("http://::1", "http://[::1]");
        check("[::1", "");
        check("::1]:80", "");
        check("[::1]x:80", "");
        check("example.com:", "");
        check("example.com:0", "");
        check("example.com:65536", "");
        check("example.com:+80", "");
        check("example.com:http", "");
        check(":", "");
        check("http://:8080", ":8080");
        check("http://*", "*");
        check("*:8080", ":8080");
        check("*.", "");
        check("*.*.example.com", "");
        check("*.192.0.2.1", "");
        check("a*.example.com", "");
        check("www.*.example.com", "");
        check("a b", "");
        check("a,b", "");
        check("a..b", "");
        check("user@example.com", "");
        check("exa%6dple.com", "");
        check("ex\u{0}ample.com", "");
        check("b\u{fc} b.example", "");
        check("\u{2028}.example", "");
    }
}
