//! A method, a URL and fields as the octets that a client would send.

use std::fmt;
use std::net::IpAddr;

use crate::config::Listener;

/// What is asked about.
#[derive(Clone, Debug)]
pub struct Query<'a> {
    /// `GET`.
    pub method: &'a str,
    /// `http://host[:port]/path?query`; the scheme may be left out.
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
    /// A line feed in a field would begin another one.
    Field(String),
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
            QueryError::Field(field) => {
                write!(f, "{field:?} is not a field line such as 'Name: value'")
            }
        }
    }
}

impl std::error::Error for QueryError {}

/// A URL, taken apart no further than a client does.
pub(super) struct Url<'a> {
    pub(super) is_https: bool,
    pub(super) authority: &'a str,
    /// Path and query, as sent.
    pub(super) target: String,
    pub(super) port: u16,
    pub(super) has_fragment: bool,
}

/// Takes a URL apart. What is no URL to a careful reader is still sent: the refusal is what is asked about.
pub(super) fn url(text: &str) -> Result<Url<'_>, QueryError> {
    let (scheme, rest) = text.split_once("://").unwrap_or(("http", text));
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
    let port = match authority.rsplit_once(':') {
        Some((_, port)) if !port.contains(']') && !port.is_empty() => {
            let port = port.parse().ok().filter(|port| *port > 0);
            port.ok_or(QueryError::Port)?
        }
        Some(_) | None => match is_https {
            true => 443,
            false => 80,
        },
    };
    Ok(Url {
        is_https,
        authority,
        target: format!("{slash}{target}"),
        port,
        has_fragment,
    })
}

/// The head that a client sends.
pub(super) fn head(query: &Query, url: &Url) -> Result<String, QueryError> {
    let mut head = format!("{} {} HTTP/1.1\r\n", query.method, url.target);
    let is_host = |field: &&String| {
        field
            .split(':')
            .next()
            .is_some_and(|name| name.trim().eq_ignore_ascii_case("host"))
    };
    if !query.fields.iter().any(|field| is_host(&field)) {
        head += &format!("Host: {}\r\n", url.authority);
    }
    for field in query.fields {
        if field.contains(['\r', '\n']) || !field.contains(':') {
            return Err(QueryError::Field(field.clone()));
        }
        head += &format!("{field}\r\n");
    }
    head += "\r\n";
    Ok(head)
}

/// The position of the listener that would receive it, if there is one, and its port.
pub(super) fn listener(
    query: &Query,
    url: &Url,
    listeners: &[Listener],
) -> Result<Option<usize>, QueryError> {
    if let Some(name) = query.listener {
        let found = listeners
            .iter()
            .position(|listener| listener.address.to_string() == name);
        return match found {
            Some(found) => Ok(Some(found)),
            None => Err(QueryError::Listener(name.to_owned())),
        };
    }
    // Until there is TLS, a site that is meant for it is served on the plain listeners.
    if url.is_https {
        return Ok((!listeners.is_empty()).then_some(0));
    }
    Ok(listeners
        .iter()
        .position(|listener| listener.address.port() == url.port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls() {
        #[track_caller]
        fn check(text: &str, expected: Result<(&str, &str, u16), QueryError>) {
            let found = url(text);
            let found = found
                .as_ref()
                .map(|url| (url.authority, url.target.as_str(), url.port));
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
        check("http://", Err(QueryError::NoHost));
        check("/x", Err(QueryError::NoHost));
        check("ftp://a.test/", Err(QueryError::Scheme("ftp".to_owned())));
        check("http://a.test:0/", Err(QueryError::Port));
        check("http://a.test:x/", Err(QueryError::Port));
    }
}
