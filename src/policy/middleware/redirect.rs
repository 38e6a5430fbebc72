//! From http to https: what becomes of a plain request for a site that is served over TLS.
//!
//! It is sent there, with 308 so that method and body come again as they were, unless one of these holds:
//!
//! - a trusted proxy in front says that its client came over HTTPS: sent back to the proxy, the request would come here
//!   again and again;
//! - it asks for an ACME challenge, which an authority may ask for before there is any certificate: hotgate's own have been
//!   answered by then, so it is passed on where the site has a path for them, and is not found elsewhere;
//! - no certificate is held: a redirect would lead to a handshake that fails, so the client is told what is waited for.
//!
//! A site that demands a certificate of its clients is served to nobody who cannot have shown one, whatever a proxy says:
//! there the first two do not hold.
//!
//! If this errs on the bold side, what was meant to be encrypted crosses the network in the clear; so whatever is not
//! one of these is redirected.

use crate::http::authority::HostName;

/// Below this an authority asks for http-01 answers (RFC 8555 §8.3).
pub const CHALLENGE_PREFIX: &[u8] = b"/.well-known/acme-challenge/";

/// The port that a URL of HTTPS need not name (RFC 9110 §4.2.2).
const DEFAULT_PORT: u16 = 443;

/// What counts of a plain request for a site of HTTPS.
#[derive(Clone, Copy, Debug)]
pub struct Plain {
    /// Whether it asks for a challenge.
    pub challenge: Challenge,
    /// Its peer is trusted, and says that its own client came over HTTPS.
    pub was_https: bool,
    /// The site's certificate is held, or none is needed here.
    pub is_held: bool,
    /// The site demands a certificate of its clients.
    pub is_guarded: bool,
}

/// How a path stands to [`CHALLENGE_PREFIX`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Challenge {
    /// It is elsewhere.
    No,
    /// It is below it, and the site has a path for that.
    Taken,
    /// It is below it, and falls to a path of the site that is not about challenges.
    Untaken,
}

impl Challenge {
    /// How this path, in its one form, stands, of which the pattern of its route has `taken` octets.
    pub fn of(path: &[u8], taken: usize) -> Challenge {
        if !path.starts_with(CHALLENGE_PREFIX) {
            Challenge::No
        } else if taken >= CHALLENGE_PREFIX.len() - 1 {
            Challenge::Taken
        } else {
            Challenge::Untaken
        }
    }
}

/// What is done with it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// It goes on.
    Serve,
    /// It is sent to HTTPS.
    Redirect,
    /// It is told what is waited for.
    Wait,
    /// It is told that there is nothing.
    NotFound,
}

/// What becomes of a plain request for a site of HTTPS.
pub fn verdict(request: Plain) -> Verdict {
    let Plain {
        challenge,
        was_https,
        is_held,
        is_guarded,
    } = request;
    match challenge {
        _ if was_https && !is_guarded => Verdict::Serve,
        Challenge::Taken if !is_guarded => Verdict::Serve,
        Challenge::Untaken => Verdict::NotFound,
        Challenge::No | Challenge::Taken if is_held => Verdict::Redirect,
        Challenge::No | Challenge::Taken => Verdict::Wait,
    }
}

/// Does this value of X-Forwarded-Proto say that the first client of all came over HTTPS?
///
/// Each proxy that appends puts its own word behind; only what a trusted peer sends is ever asked about.
pub fn says_https(value: &[u8]) -> bool {
    let first = value.split(|octet| *octet == b',').next();
    let first = first.unwrap_or_default().trim_ascii();
    // A proxy that speaks of a WebSocket's scheme means the same.
    [&b"https"[..], b"wss"]
        .iter()
        .any(|word| first.eq_ignore_ascii_case(word))
}

/// Where the client is sent: `https://host[:port]` and the target as it came.
///
/// `path` and `query` are octets of a parsed target, so nothing in them ends a field line; an empty path is `/`.
pub fn location(host: &HostName, port: u16, path: &[u8], query: Option<&[u8]>) -> Vec<u8> {
    let mut location = b"https://".to_vec();
    location.extend_from_slice(host.as_bytes());
    if port != DEFAULT_PORT {
        location.push(b':');
        location.extend_from_slice(port.to_string().as_bytes());
    }
    location.extend_from_slice(if path.is_empty() { b"/" } else { path });
    if let Some(query) = query {
        location.push(b'?');
        location.extend_from_slice(query);
    }
    location
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[rustfmt::skip]
    fn verdicts() {
        use Challenge::{No, Taken, Untaken};
        use Verdict::{NotFound, Redirect, Serve, Wait};
        //    challenge  was https  held    what is done  and where clients must show a certificate
        check(No,        false,     true,   Redirect,     Redirect);
        check(No,        false,     false,  Wait,         Wait);
        check(No,        true,      true,   Serve,        Redirect);
        check(No,        true,      false,  Serve,        Wait);
        check(Taken,     false,     true,   Serve,        Redirect);
        check(Taken,     false,     false,  Serve,        Wait);
        check(Taken,     true,      true,   Serve,        Redirect);
        check(Taken,     true,      false,  Serve,        Wait);
        check(Untaken,   false,     true,   NotFound,     NotFound);
        check(Untaken,   false,     false,  NotFound,     NotFound);
        check(Untaken,   true,      true,   Serve,        NotFound);
        check(Untaken,   true,      false,  Serve,        NotFound);
    }

    #[track_caller]
    fn check(
        challenge: Challenge,
        was_https: bool,
        is_held: bool,
        open: Verdict,
        guarded: Verdict,
    ) {
        for (is_guarded, expected) in [(false, open), (true, guarded)] {
            let request = Plain {
                challenge,
                was_https,
                is_held,
                is_guarded,
            };
            assert_eq!(verdict(request), expected, "{request:?}");
        }
    }

    #[test]
    fn challenges() {
        for (path, taken, expected) in [
            ("/", 1, Challenge::No),
            ("/.well-known/acme-challenge", 27, Challenge::No),
            ("/.well-known/acme-challengex/t", 1, Challenge::No),
            ("/.well-known/acme-challenge/t", 1, Challenge::Untaken),
            ("/.well-known/acme-challenge/t", 12, Challenge::Untaken),
            ("/.well-known/acme-challenge/t", 27, Challenge::Taken),
            ("/.well-known/acme-challenge/t", 29, Challenge::Taken),
        ] {
            assert_eq!(Challenge::of(path.as_bytes(), taken), expected, "{path}");
        }
    }

    #[test]
    fn what_proxies_say() {
        for (value, expected) in [
            ("https", true),
            ("HTTPS", true),
            (" https\t", true),
            ("wss", true),
            ("https, http", true),
            ("https,https", true),
            ("http", false),
            ("http, https", false),
            ("", false),
            (",https", false),
            ("https http", false),
            ("httpsx", false),
            ("\"https\"", false),
        ] {
            assert_eq!(says_https(value.as_bytes()), expected, "{value}");
        }
    }

    #[test]
    fn locations() {
        #[track_caller]
        fn check(host: &str, port: u16, path: &str, query: Option<&str>, expected: &str) {
            let host = HostName::parse(host.as_bytes()).expect("a host of the test");
            let found = location(&host, port, path.as_bytes(), query.map(str::as_bytes));
            assert_eq!(String::from_utf8_lossy(&found), expected);
        }
        check("A.test.", 443, "/x", None, "https://a.test/x");
        check(
            "a.test",
            8443,
            "/x",
            Some("y=%20z&?"),
            "https://a.test:8443/x?y=%20z&?",
        );
        check("a.test", 443, "", None, "https://a.test/");
        check("a.test", 443, "", Some(""), "https://a.test/?");
        check("a.test", 80, "/", None, "https://a.test:80/");
        check("[::1]", 8443, "/", None, "https://[::1]:8443/");
        // As it came: whoever resolves it does so where it is served.
        check(
            "a.test",
            443,
            "//b.test/../x%2F",
            None,
            "https://a.test//b.test/../x%2F",
        );
    }
}
