//! A method, a URL and fields as the octets that a client would send.

use std::fmt;
use std::net::IpAddr;

use crate::config::{ListenAddress, Listener, ListenerKind};

/// What is asked about.
#[derive(Clone, Debug)]
pub struct Query<'a> {
    /// `GET`.
    pub method: &'a str,
    /// `http://host[:port]/path?query`; the scheme may be left out. With a `Host` among the fields, a target will do
    /// too: `/path`, or `*`.
    pub url: &'a str,
    /// Who sends it.
    pub from: IpAddr,
    /// Field lines, `Name: value`. A `Host` among them takes the place of the URL's.
    pub fields: &'a [String],
    /// The listener, as `listeners` of `check --json` names it; else the one with the URL's port.
    pub listener: Option<&'a str>,
}

/// Why a query cannot be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum QueryError {
    /// A scheme other than http and https.
    Scheme(String),
    /// The URL has no host.
    NoHost,
    /// The URL's port is no number within 1 to 65535.
    Port,
    /// No such listener.
    Listener(String),
    /// A line end in the method or in a field would begin another line.
    LineEnd(String),
}

impl fmt::Display for QueryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            QueryError::Scheme(scheme) => {
                write!(
                    f,
                    "the URL's scheme is {scheme:?}; http and https can be explained"
                )
            }
            QueryError::NoHost => f.write_str("the URL has no host, as in http://example.com/path"),
            QueryError::Port => f.write_str("the URL's port is not a number within 1 to 65535"),
            QueryError::Listener(name) => write!(f, "there is no listener {name:?}"),
            QueryError::LineEnd(text) => {
                write!(f, "{text:?} has a line end in it: one -H is one field line")
            }
        }
    }
}

impl std::error::Error for QueryError {}

/// A URL, taken apart no further than a client does.
pub(super) struct Url {
    pub(super) is_https: bool,
    /// An international name as clients send it, in ASCII.
    pub(super) authority: String,
    /// Path and query, as sent.
    pub(super) target: String,
    pub(super) port: u16,
    pub(super) has_fragment: bool,
}

/// Takes a URL apart. What is no URL to a careful reader is still sent: the refusal is what is asked about.
pub(super) fn url(query: &Query) -> Result<Url, QueryError> {
    if query.url.starts_with('/') || query.url == "*" {
        return target_alone(query);
    }
    let scheme_end = query.url.find(['/', '?', '#']).unwrap_or(query.url.len());
    let (scheme, rest) = match query.url.split_once("://") {
        Some((scheme, rest)) if scheme.len() < scheme_end => (scheme, rest),
        Some(_) | None => ("http", query.url),
    };
    let is_https = match scheme.to_ascii_lowercase().as_str() {
        "http" => false,
        "https" => true,
        _ => return Err(QueryError::Scheme(scheme.to_owned())),
    };
    let (rest, has_fragment) = match rest.split_once('#') {
        Some((rest, _)) => (rest, true),
        None => (rest, false),
    };
    let end = rest.find(['/', '?', '\\']).unwrap_or(rest.len());
    let (authority, target) = rest.split_at(end);
    if authority.is_empty() {
        return Err(QueryError::NoHost);
    }
    // A client sends "/" for an empty path (RFC 9112 §3.2.1).
    let slash = if target.starts_with(['/', '\\']) {
        ""
    } else {
        "/"
    };
    Ok(Url {
        is_https,
        port: port_of(authority)?.unwrap_or(if is_https { 443 } else { 80 }),
        authority: in_ascii(authority),
        target: format!("{slash}{target}"),
        has_fragment,
    })
}

/// A target without a host, which Host names then.
fn target_alone(query: &Query) -> Result<Url, QueryError> {
    let host = query.fields.iter().find_map(|field| {
        let (name, value) = field.split_once(':')?;
        name.trim()
            .eq_ignore_ascii_case("host")
            .then(|| value.trim())
    });
    let authority = host.ok_or(QueryError::NoHost)?;
    Ok(Url {
        is_https: false,
        authority: authority.to_owned(),
        target: query.url.to_owned(),
        // A Host that is no host is sent all the same.
        port: port_of(authority).ok().flatten().unwrap_or(80),
        has_fragment: false,
    })
}

fn port_of(authority: &str) -> Result<Option<u16>, QueryError> {
    match authority.rsplit_once(':') {
        Some((_, port)) if !port.contains(']') && !port.is_empty() => {
            let port = port.parse().ok().filter(|port| *port > 0);
            port.map(Some).ok_or(QueryError::Port)
        }
        Some(_) | None => Ok(None),
    }
}

/// As clients do with an international name; one that has no ASCII form stays, and is refused.
fn in_ascii(authority: &str) -> String {
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        Some(_) | None => (authority, None),
    };
    if host.is_ascii() {
        return authority.to_owned();
    }
    let host = idna::domain_to_ascii(host).unwrap_or_else(|_| host.to_owned());
    match port {
        Some(port) => format!("{host}:{port}"),
        None => host,
    }
}

/// The head that a client sends; what is no field line is sent as it is.
pub(super) fn head(query: &Query, url: &Url) -> Result<String, QueryError> {
    let mut texts = query
        .fields
        .iter()
        .map(String::as_str)
        .chain([query.method]);
    if let Some(text) = texts.find(|text| text.contains("\r\n")) {
        return Err(QueryError::LineEnd(text.to_owned()));
    }
    let mut head = format!("{} {} HTTP/1.1\r\n", query.method, url.target);
    let is_host = |field: &String| {
        field
            .split(':')
            .next()
            .is_some_and(|name| name.trim().eq_ignore_ascii_case("host"))
    };
    if !query.fields.iter().any(is_host) {
        head += &format!("Host: {}\r\n", url.authority);
    }
    for field in query.fields {
        head += &format!("{field}\r\n");
    }
    head += "\r\n";
    Ok(head)
}

/// The position of the listener that would receive it, if there is one. Of several with its port the one on the URL's
/// own address, else the first.
pub(super) fn listener(
    query: &Query,
    url: &Url,
    listeners: &[Listener],
) -> Result<Option<usize>, QueryError> {
    let kind = match url.is_https {
        true => ListenerKind::Tls,
        false => ListenerKind::Plain,
    };
    let is_spoken = |listener: &&Listener| listener.kind == kind;
    if let Some(name) = query.listener {
        let is_named = |listener: &Listener| listener.address.to_string() == name;
        let found = listeners
            .iter()
            .position(|listener| is_named(listener) && is_spoken(&listener))
            .or_else(|| listeners.iter().position(is_named));
        return match found {
            Some(found) => Ok(Some(found)),
            None => Err(QueryError::Listener(name.to_owned())),
        };
    }
    let is_this = |listener: &Listener| match listener.address {
        ListenAddress::Any { .. } => false,
        ListenAddress::Address(address) => {
            let shown = address.to_string();
            shown == url.authority || shown == format!("{}:{}", url.authority, url.port)
        }
    };
    let find = |is_it: &dyn Fn(&Listener) -> bool| {
        listeners
            .iter()
            .position(|listener| is_spoken(&listener) && is_it(listener))
    };
    let has_port = |listener: &Listener| listener.address.port() == url.port;
    Ok(find(&is_this).or_else(|| find(&has_port)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls() {
        #[track_caller]
        fn check(text: &str, expected: Result<(&str, &str, u16), QueryError>) {
            let found = url(&Query {
                method: "GET",
                url: text,
                from: IpAddr::from([127, 0, 0, 1]),
                fields: &["Host: h.test:81".to_owned()],
                listener: None,
            });
            let found = found
                .as_ref()
                .map(|url| (url.authority.as_str(), url.target.as_str(), url.port));
            assert_eq!(found.map_err(Clone::clone), expected, "{text}");
        }
        check("http://a.test/x?y", Ok(("a.test", "/x?y", 80)));
        check("https://a.test", Ok(("a.test", "/", 443)));
        check("a.test", Ok(("a.test", "/", 80)));
        check("a.test:8080/x", Ok(("a.test:8080", "/x", 8080)));
        check("HTTP://a.test?q", Ok(("a.test", "/?q", 80)));
        check("http://[::1]:81/", Ok(("[::1]:81", "/", 81)));
        check("http://[::1]/", Ok(("[::1]", "/", 80)));
        check("http://a.test/x#y", Ok(("a.test", "/x", 80)));
        check("http://a b/x y", Ok(("a b", "/x y", 80)));
        check("a.test/x?u=http://b/", Ok(("a.test", "/x?u=http://b/", 80)));
        check(
            "http://b\u{fc}cher.test:81/",
            Ok(("xn--bcher-kva.test:81", "/", 81)),
        );
        check("/x", Ok(("h.test:81", "/x", 81)));
        check("*", Ok(("h.test:81", "*", 81)));
        check("http://", Err(QueryError::NoHost));
        check("ftp://a.test/", Err(QueryError::Scheme("ftp".to_owned())));
        check("http://a.test:0/", Err(QueryError::Port));
        check("http://a.test:x/", Err(QueryError::Port));
    }
}
