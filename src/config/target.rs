//! The address of an app: `3000`, `"10.0.0.5:3000"`, `"api_server:8000"`, `"unix:/run/app.sock"`,
//! `"https://10.0.0.9:8443"`.

use std::net::IpAddr;
use std::path::PathBuf;

use crate::http::authority::HostName;

use super::diagnostic::{Fault, Faults};
use super::model::EndpointAddress;
use super::place::beside;
use super::raw::Entry;
use super::tree::Value;

/// As many as `sockaddr_un` holds, with its final zero (unix(7): 108).
const UNIX_PATH_BYTES_MAX: usize = 107;

/// Where an `https://` target has none.
const HTTPS_PORT: u16 = 443;

/// Why a text is no target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TargetError {
    pub(super) code: &'static str,
    pub(super) message: String,
    /// TOML for what was probably meant; may be empty.
    pub(super) mend: String,
}

/// Reads one address; `expected` says what else might stand here. Reports a fault.
pub(super) fn address(
    entry: &Entry,
    expected: &str,
    faults: &mut Faults,
) -> Option<EndpointAddress> {
    let number = match entry.value {
        Value::Integer(digits) => Some(digits.to_u64()),
        _ if entry.is_expanded_number() => {
            Some(entry.value.as_str().and_then(|text| text.parse().ok()))
        }
        _ => None,
    };
    if let Some(number) = number {
        let port = number
            .and_then(|number| u16::try_from(number).ok())
            .filter(|port| *port > 0);
        if port.is_none() {
            let message = "a port must be within 1 to 65535";
            faults.error(Fault::new("bad-target", entry.span.clone(), message));
        }
        return port.map(EndpointAddress::Port);
    }
    let text = entry.string(expected, faults)?;
    match parse(text) {
        Ok(EndpointAddress::Unix(path)) => Some(EndpointAddress::Unix(beside(
            faults.name_of(entry.span.start),
            &path,
        ))),
        Ok(address) => Some(address),
        Err(error) => {
            let fault = Fault::new(error.code, entry.span.clone(), error.message);
            let is_mendable = !error.mend.is_empty();
            faults.error(if is_mendable {
                fault.replace(entry.span.clone(), error.mend)
            } else {
                fault
            });
            None
        }
    }
}

/// Reads a target that is a string. A relative socket path is left as it is.
pub(super) fn parse(text: &str) -> Result<EndpointAddress, TargetError> {
    let error = |message: &str| TargetError {
        code: "bad-target",
        message: message.to_owned(),
        mend: spelling(text).unwrap_or_default(),
    };
    if let Some(path) = text.strip_prefix("unix:") {
        return unix(path).ok_or_else(|| TargetError {
            code: "bad-target",
            message: format!("a socket's path has 1 to {UNIX_PATH_BYTES_MAX} octets, none zero"),
            mend: String::new(),
        });
    }
    if let Some(authority) = text.strip_prefix("https://") {
        return match authority.contains(['/', '?', '#']) {
            true => Err(error("a target has no path")),
            false => https(authority).map_err(error),
        };
    }
    if text.starts_with("http://") {
        return Err(error("a target has neither `http://` nor a path"));
    }
    if !text.is_empty() && text.bytes().all(|octet| octet.is_ascii_digit()) {
        return Err(error("a port stands without quotes"));
    }
    if text.contains('/') {
        return Err(error("a target has no path"));
    }
    tcp(text).map_err(error)
}

/// Reads `HOST:PORT`; an error is its message.
fn tcp(text: &str) -> Result<EndpointAddress, &'static str> {
    let (host, port) = split_port(text).ok_or("the target has no port")?;
    if host.is_empty() {
        return Err("the target has no host");
    }
    let is_number = port.bytes().all(|octet| octet.is_ascii_digit());
    let port = port.parse().ok().filter(|port| is_number && *port > 0);
    let port = port.ok_or("the target's port is not a number within 1 to 65535")?;
    let host = host_of(host).ok_or("the target's host is neither an address nor a name")?;
    Ok(EndpointAddress::Tcp { host, port })
}

/// Reads what follows `https://`: `HOST` or `HOST:PORT`.
fn https(authority: &str) -> Result<EndpointAddress, &'static str> {
    let is_bare_v6 = authority.contains("::") && !authority.starts_with('[');
    let with_port = match split_port(authority) {
        Some((host, _)) if !authority.ends_with(']') && !host.is_empty() => authority.to_owned(),
        _ if is_bare_v6 => return Err("an IPv6 address stands in brackets"),
        _ => format!("{authority}:{HTTPS_PORT}"),
    };
    match tcp(&with_port)? {
        EndpointAddress::Tcp { host, port } => Ok(EndpointAddress::Https { host, port }),
        other => Ok(other),
    }
}

/// How hotgate writes what is probably meant by `http://127.0.0.1:3000/`: TOML, or nothing.
pub(super) fn spelling(text: &str) -> Option<String> {
    if let Some(rest) = text.strip_prefix("https://") {
        let authority = rest.split(['/', '?', '#']).next().unwrap_or(rest);
        return https(authority)
            .is_ok()
            .then(|| format!("{:?}", format!("https://{authority}")));
    }
    let text = text.strip_prefix("http://").unwrap_or(text);
    if let Some(path) = text.strip_prefix("unix:") {
        let path = path.trim_end_matches([':', '/']);
        return Some(format!("{:?}", format!("unix:{path}")));
    }
    let authority = text.split(['/', '?', '#']).next().unwrap_or(text);
    let number = authority.strip_prefix(':').unwrap_or(authority);
    if let Ok(port) = number.parse::<u16>() {
        return (port > 0).then(|| port.to_string());
    }
    let Ok(EndpointAddress::Tcp { host, port }) = tcp(authority) else {
        return None;
    };
    let is_here = ["127.0.0.1", "localhost"].contains(&host.as_str());
    Some(if is_here {
        port.to_string()
    } else {
        format!("{authority:?}")
    })
}

fn unix(path: &str) -> Option<EndpointAddress> {
    let is_fit = (1..=UNIX_PATH_BYTES_MAX).contains(&path.len()) && !path.contains('\0');
    is_fit.then(|| EndpointAddress::Unix(PathBuf::from(path)))
}

/// `host:port`, `[v6]:port`; not `::1`, where a port cannot be told from the address.
fn split_port(text: &str) -> Option<(&str, &str)> {
    let (host, port) = text.rsplit_once(':')?;
    let is_bare_v6 = host.contains(':') && !(host.starts_with('[') && host.ends_with(']'));
    (!is_bare_v6).then_some((host, port))
}

/// Brackets off, lower case, no trailing dot.
fn host_of(text: &str) -> Option<String> {
    let name = HostName::parse(text.as_bytes()).ok()?;
    let host = match name.ip() {
        Some(IpAddr::V6(ip)) => ip.to_string(),
        Some(IpAddr::V4(ip)) => ip.to_string(),
        None => name.as_str().to_owned(),
    };
    Some(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets() {
        #[track_caller]
        fn check(text: &str, expected: EndpointAddress) {
            assert_eq!(parse(text), Ok(expected));
        }
        let tcp = |host: &str, port| EndpointAddress::Tcp {
            host: host.to_owned(),
            port,
        };
        check("10.0.0.5:3000", tcp("10.0.0.5", 3000));
        check("[::1]:3000", tcp("::1", 3000));
        check("[2001:DB8::0:1]:1", tcp("2001:db8::1", 1));
        check("api_server:8000", tcp("api_server", 8000));
        check("App.Internal.:65535", tcp("app.internal", 65535));
        check("localhost:80", tcp("localhost", 80));
        check(
            "unix:/run/app.sock",
            EndpointAddress::Unix("/run/app.sock".into()),
        );
        check("unix:app.sock", EndpointAddress::Unix("app.sock".into()));
        let https = |host: &str, port| EndpointAddress::Https {
            host: host.to_owned(),
            port,
        };
        check("https://10.0.0.9:8443", https("10.0.0.9", 8443));
        check("https://App.Internal.", https("app.internal", 443));
        check("https://[::1]", https("::1", 443));
        check("https://[::1]:8443", https("::1", 8443));
        let longest = format!("/{}", "a".repeat(UNIX_PATH_BYTES_MAX - 1));
        check(
            &format!("unix:{longest}"),
            EndpointAddress::Unix(longest.into()),
        );
    }

    #[test]
    fn refusals() {
        #[track_caller]
        fn check(text: &str, code: &str, mend: &str) {
            let error = parse(text).expect_err("the row is refused");
            assert_eq!((error.code, error.mend.as_str()), (code, mend), "{text}");
        }
        check("", "bad-target", "");
        check("3000", "bad-target", "3000");
        check(":3000", "bad-target", "3000");
        check("99999", "bad-target", "");
        check("http://127.0.0.1:3000", "bad-target", "3000");
        check("http://localhost:3000/", "bad-target", "3000");
        check(
            "http://10.0.0.5:3000/x?y",
            "bad-target",
            "\"10.0.0.5:3000\"",
        );
        check("http://app", "bad-target", "");
        check("10.0.0.5:3000/x", "bad-target", "\"10.0.0.5:3000\"");
        check("10.0.0.5", "bad-target", "");
        check("app.internal", "bad-target", "");
        check("::1", "bad-target", "");
        check("::1:3000", "bad-target", "");
        check("[::1]", "bad-target", "");
        check("[::1:3000", "bad-target", "");
        check("[::x]:3000", "bad-target", "");
        check("app:0", "bad-target", "");
        check("app:65536", "bad-target", "");
        check("app:+1", "bad-target", "");
        check("app:", "bad-target", "");
        check("app:http", "bad-target", "");
        check("a b:80", "bad-target", "");
        check("user@app:80", "bad-target", "");
        check("a..b:80", "bad-target", "");
        check("unix:", "bad-target", "");
        check("unix:/a\0b", "bad-target", "");
        check(
            &format!("unix:/{}", "a".repeat(UNIX_PATH_BYTES_MAX)),
            "bad-target",
            "",
        );
        check("https://", "bad-target", "");
        check("https://:443", "bad-target", "");
        check("https://app:0", "bad-target", "");
        check("https://app:x", "bad-target", "");
        check("https://::1", "bad-target", "");
        check("https://fd00::1:443", "bad-target", "");
        check("https://a b", "bad-target", "");
        check("https://app/", "bad-target", "\"https://app\"");
        check("https://app:8443/x?y", "bad-target", "\"https://app:8443\"");
        check("api", "bad-target", "");
    }

    #[test]
    fn what_is_shown_is_read_back() {
        for text in [
            "10.0.0.5:3000",
            "[::1]:3000",
            "app:80",
            "unix:/run/app.sock",
            "https://app:443",
            "https://[::1]:8443",
        ] {
            assert_eq!(parse(text).expect("the row is a target").to_string(), text);
        }
        assert_eq!(EndpointAddress::Port(3000).to_string(), "3000");
    }
}
