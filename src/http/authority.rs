//! `host[:port]`: one parser, one normal form (RFC 9110 §4.2, §7.2; RFC 3986 §3.2.2).
//!
//! Host, the target of a request, the names in the configuration and those of certificates all come
//! through here, so that none of them reads a name otherwise than the next. Stricter than RFC 3986 on
//! purpose: no userinfo, no percent-encoding, no sub-delims (a comma in a Host is two hosts to some
//! servers), no IPvFuture, no zone.
//!
//! Invariant: two [`HostName`]s are the same host exactly if their octets are equal.

use std::fmt::{self, Write};
use std::hash::{Hash, Hasher};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::http::chars::{is_digit, is_unreserved};

/// The longest host: that of the DNS (RFC 1035 §2.3.4).
pub const HOST_OCTETS_MAX: usize = 255;

/// A host and, if it was given, a port.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Authority {
    /// Normalised.
    pub host: HostName,
    /// `1..=65535`; `None` if absent or empty (`a.test:`).
    pub port: Option<u16>,
}

impl Authority {
    /// Parses the whole of `text` as `uri-host [ ":" port ]` (RFC 9110 §7.2).
    ///
    /// # Errors
    ///
    /// Every one is a 400: see [`AuthorityError`].
    pub fn parse(text: &[u8]) -> Result<Authority, AuthorityError> {
        let (host, port) = split_port(text)?;
        Ok(Authority {
            host: HostName::parse(host)?,
            port: port.map_or(Ok(None), parse_port)?,
        })
    }

    /// The same place, where a missing port means `default_port`: 80 for http, 443 for https.
    pub fn is_same(&self, other: &Authority, default_port: u16) -> bool {
        let port_of = |authority: &Authority| authority.port.unwrap_or(default_port);
        port_of(self) == port_of(other) && self.host == other.host
    }
}

impl fmt::Display for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.port {
            Some(port) => write!(f, "{}:{port}", self.host),
            None => write!(f, "{}", self.host),
        }
    }
}

/// A host in its one normal form, held inline.
///
/// A name is in lower case and without its trailing dot (the root label: `a.test.` is `a.test`).
/// An IPv6 address stands in brackets, spelled as in RFC 5952. Never empty.
#[derive(Clone)]
pub struct HostName {
    /// `1..=HOST_OCTETS_MAX`.
    len: u8,
    /// ASCII; those from `len` on are 0.
    octets: [u8; HOST_OCTETS_MAX],
}

// `len` counts all of `octets`.
const _: () = assert!(HOST_OCTETS_MAX <= u8::MAX as usize);

impl HostName {
    /// Parses the whole of `text` as a host without a port.
    ///
    /// # Errors
    ///
    /// [`AuthorityError`], all but the one for ports. A colon outside brackets is `BadOctet`.
    pub fn parse(text: &[u8]) -> Result<HostName, AuthorityError> {
        match text {
            [] => Err(AuthorityError::Empty),
            [b'[', inner @ .., b']'] => HostName::parse_ipv6(inner),
            [b'[', ..] => Err(AuthorityError::BadAddress),
            [name @ .., b'.'] => HostName::parse_name(name),
            name => HostName::parse_name(name),
        }
    }

    /// The normal form; ASCII, never empty.
    pub fn as_bytes(&self) -> &[u8] {
        &self.octets[..usize::from(self.len)]
    }

    /// The normal form.
    pub fn as_str(&self) -> &str {
        // Only ASCII is ever stored, so this never takes the default.
        std::str::from_utf8(self.as_bytes()).unwrap_or_default()
    }

    /// The address, if the host is one: dotted decimal IPv4, or IPv6 in brackets.
    pub fn ip(&self) -> Option<IpAddr> {
        match self.as_str().strip_prefix('[') {
            Some(rest) => rest
                .strip_suffix(']')?
                .parse::<Ipv6Addr>()
                .ok()
                .map(IpAddr::V6),
            None => self.as_str().parse::<Ipv4Addr>().ok().map(IpAddr::V4),
        }
    }

    /// `reg-name` or `IPv4address`, here both of [`is_unreserved`], labels parted by single dots.
    fn parse_name(name: &[u8]) -> Result<HostName, AuthorityError> {
        if name.len() > HOST_OCTETS_MAX {
            return Err(AuthorityError::TooLong);
        }
        let mut host = HostName::empty();
        let mut before = b'.';
        for (slot, octet) in host.octets.iter_mut().zip(name) {
            if !is_unreserved(*octet) {
                return Err(AuthorityError::of_octet(*octet));
            }
            if *octet == b'.' && before == b'.' {
                return Err(AuthorityError::EmptyLabel);
            }
            *slot = octet.to_ascii_lowercase();
            before = *octet;
        }
        if before == b'.' {
            return Err(AuthorityError::EmptyLabel);
        }
        // Lossless: `name` is no longer than HOST_OCTETS_MAX.
        host.len = name.len() as u8;
        Ok(host)
    }

    fn parse_ipv6(inner: &[u8]) -> Result<HostName, AuthorityError> {
        let text = std::str::from_utf8(inner).map_err(|_| AuthorityError::BadAddress)?;
        let address: Ipv6Addr = text.parse().map_err(|_| AuthorityError::BadAddress)?;
        let mut host = HostName::empty();
        write!(host, "[{address}]").map_err(|_| AuthorityError::TooLong)?;
        Ok(host)
    }

    /// Not yet a host: to be filled by a parser above.
    fn empty() -> HostName {
        HostName {
            len: 0,
            octets: [0; HOST_OCTETS_MAX],
        }
    }
}

impl Write for HostName {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let start = usize::from(self.len);
        let end = start + text.len();
        self.octets
            .get_mut(start..end)
            .ok_or(fmt::Error)?
            .copy_from_slice(text.as_bytes());
        // Lossless: `end` lies within `octets`.
        self.len = end as u8;
        Ok(())
    }
}

impl PartialEq for HostName {
    fn eq(&self, other: &HostName) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for HostName {}

impl Hash for HostName {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_bytes().hash(state);
    }
}

impl fmt::Display for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.as_str())
    }
}

/// Why a text is no authority.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AuthorityError {
    /// No host at all.
    Empty,
    /// An `@`: "MUST NOT generate the userinfo subcomponent" (RFC 9110 §4.2.4); it hides the host.
    Userinfo,
    /// An octet that no host has here: `,` `/` `%` `\` SP, a control, non-ASCII…
    BadOctet,
    /// Two dots in a row, or one in front.
    EmptyLabel,
    /// More than [`HOST_OCTETS_MAX`].
    TooLong,
    /// Brackets without an IPv6 address between them, or not around all of the host.
    BadAddress,
    /// Not a number from 1 to 65535 in at most five digits.
    BadPort,
}

impl AuthorityError {
    /// As logs and metrics name it.
    pub fn as_str(self) -> &'static str {
        match self {
            AuthorityError::Empty => "empty_host",
            AuthorityError::Userinfo => "userinfo",
            AuthorityError::BadOctet => "bad_host_octet",
            AuthorityError::EmptyLabel => "empty_label",
            AuthorityError::TooLong => "host_too_long",
            AuthorityError::BadAddress => "bad_ipv6_address",
            AuthorityError::BadPort => "bad_port",
        }
    }

    fn of_octet(octet: u8) -> AuthorityError {
        if octet == b'@' {
            AuthorityError::Userinfo
        } else {
            AuthorityError::BadOctet
        }
    }
}

impl fmt::Display for AuthorityError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            AuthorityError::Empty => "the host is empty",
            AuthorityError::Userinfo => "a host has no user name before it",
            AuthorityError::BadOctet => {
                "a host has only letters, digits, \"-\", \".\", \"_\" and \"~\""
            }
            AuthorityError::EmptyLabel => "a host has no two dots in a row and none in front",
            AuthorityError::TooLong => "a host has at most 255 octets",
            AuthorityError::BadAddress => "brackets hold an IPv6 address and nothing else",
            AuthorityError::BadPort => "a port is a number from 1 to 65535",
        })
    }
}

impl std::error::Error for AuthorityError {}

/// Parts `host[:port]` at the colon that is not within brackets.
fn split_port(text: &[u8]) -> Result<(&[u8], Option<&[u8]>), AuthorityError> {
    // Userinfo may hold colons; it must not be taken for a bad port.
    if text.contains(&b'@') {
        return Err(AuthorityError::Userinfo);
    }
    let host_end = if text.first() == Some(&b'[') {
        let bracket = text.iter().position(|octet| *octet == b']');
        bracket.ok_or(AuthorityError::BadAddress)? + 1
    } else {
        text.iter()
            .position(|octet| *octet == b':')
            .unwrap_or(text.len())
    };
    let (host, rest) = text.split_at(host_end);
    match rest {
        [] => Ok((host, None)),
        [b':', port @ ..] => Ok((host, Some(port))),
        _ => Err(AuthorityError::BadAddress),
    }
}

/// `port = *DIGIT` (RFC 3986 §3.2.3). Empty is as good as absent; 0 is no port to reach.
fn parse_port(digits: &[u8]) -> Result<Option<u16>, AuthorityError> {
    if digits.is_empty() {
        return Ok(None);
    }
    if digits.len() > 5 || !digits.iter().copied().all(is_digit) {
        return Err(AuthorityError::BadPort);
    }
    // Five digits fit in 32 bits.
    let value = digits
        .iter()
        .fold(0, |value, digit| value * 10 + u32::from(digit - b'0'));
    match u16::try_from(value) {
        Ok(port @ 1..) => Ok(Some(port)),
        Ok(0) | Err(_) => Err(AuthorityError::BadPort),
    }
}

#[cfg(test)]
mod tests {
    use super::AuthorityError::*;
    use super::*;

    #[track_caller]
    fn accepts(text: &str, host: &str, port: Option<u16>) {
        let authority = Authority::parse(text.as_bytes()).expect("an authority");
        assert_eq!(authority.host.as_str(), host);
        assert_eq!(authority.host.as_bytes(), host.as_bytes());
        assert_eq!(authority.port, port);
        // What is shown parses to the same.
        assert_eq!(
            Authority::parse(authority.to_string().as_bytes()),
            Ok(authority.clone())
        );
        assert_eq!(HostName::parse(host.as_bytes()), Ok(authority.host));
    }

    #[track_caller]
    fn refuses(text: &[u8], error: AuthorityError) {
        assert_eq!(
            Authority::parse(text),
            Err(error),
            "{}",
            text.escape_ascii()
        );
    }

    #[test]
    #[rustfmt::skip]
    fn hosts_have_one_form() {
        accepts("a.test",              "a.test",            None);
        accepts("A.TEST.",             "a.test",            None);
        accepts("a.test:80",           "a.test",            Some(80));
        accepts("A.Test.:443",         "a.test",            Some(443));
        accepts("a.test:",             "a.test",            None);
        accepts("a.test.:",            "a.test",            None);
        accepts("a:1",                 "a",                 Some(1));
        accepts("a:65535",             "a",                 Some(65535));
        accepts("a:00080",             "a",                 Some(80));
        accepts("localhost",           "localhost",         None);
        accepts("my_app-1.test~",      "my_app-1.test~",    None);
        accepts("xn--bcher-kva.test",  "xn--bcher-kva.test", None);
        accepts("127.0.0.1:8080",      "127.0.0.1",         Some(8080));
        accepts("127.0.0.1.",          "127.0.0.1",         None);
        accepts("[::1]",               "[::1]",             None);
        accepts("[::1]:",              "[::1]",             None);
        accepts("[2001:DB8::A]:443",   "[2001:db8::a]",     Some(443));
        accepts("[0:0:0:0:0:0:0:1]:8", "[::1]",             Some(8));
        accepts("[::ffff:1.2.3.4]",    "[::ffff:1.2.3.4]",  None);
    }

    #[test]
    #[rustfmt::skip]
    fn what_is_no_authority_is_refused() {
        refuses(b"",                    Empty);
        refuses(b":80",                 Empty);
        refuses(b".",                   EmptyLabel);
        refuses(b"..",                  EmptyLabel);
        refuses(b".a",                  EmptyLabel);
        refuses(b"a..b",                EmptyLabel);
        refuses(b"a.test..",            EmptyLabel);
        refuses(b"a.test, b.test",      BadOctet);
        refuses(b"a.test,b.test",       BadOctet);
        refuses(b"a.test/x",            BadOctet);
        refuses(b"a.test\0.evil",       BadOctet);
        refuses(b"a.te st",             BadOctet);
        refuses(b" a.test",             BadOctet);
        refuses(b"a.test ",             BadOctet);
        refuses(b"\ta.test",            BadOctet);
        refuses(b"a.test%0d%0aX",       BadOctet);
        refuses(b"a%2etest",            BadOctet);
        refuses(b"a.test\\b",           BadOctet);
        refuses(b"a.test?x",            BadOctet);
        refuses(b"a.test#x",            BadOctet);
        refuses(b"a.test;x",            BadOctet);
        refuses(b"a!b",                 BadOctet);
        refuses(b"*.a.test",            BadOctet);
        refuses(b"a.test\r\n",          BadOctet);
        refuses(b"b\xc3\xbccher.test",  BadOctet);
        refuses(b"\xff",                BadOctet);
        refuses(b"a]",                  BadOctet);
        refuses(b"user@a.test",         Userinfo);
        refuses(b"user:pw@a.test:80",   Userinfo);
        refuses(b"@",                   Userinfo);
        refuses(b"a.test@b.test",       Userinfo);
        refuses(b"a.test:0",            BadPort);
        refuses(b"a.test:00000",        BadPort);
        refuses(b"a.test:65536",        BadPort);
        refuses(b"a.test:99999",        BadPort);
        refuses(b"a.test:000080",       BadPort);
        refuses(b"a.test:18446744073709551696", BadPort);
        refuses(b"a.test:+80",          BadPort);
        refuses(b"a.test:-1",           BadPort);
        refuses(b"a.test:8 0",          BadPort);
        refuses(b"a.test:80x",          BadPort);
        refuses(b"a.test:0x50",         BadPort);
        refuses(b"a.test:80:80",        BadPort);
        refuses(b"a.test::80",          BadPort);
        refuses(b"::1",                 Empty);
        refuses(b"2001:db8::1",         BadPort);
        refuses(b"[",                   BadAddress);
        refuses(b"[]",                  BadAddress);
        refuses(b"[::1",                BadAddress);
        refuses(b"[::1]x",              BadAddress);
        refuses(b"[::1].",              BadAddress);
        refuses(b"[::1]80",             BadAddress);
        refuses(b"[[::1]]",             BadAddress);
        refuses(b"[ ::1]",              BadAddress);
        refuses(b"[::1%25eth0]",        BadAddress);
        refuses(b"[fe80::1%eth0]",      BadAddress);
        refuses(b"[127.0.0.1]",         BadAddress);
        refuses(b"[a.test]",            BadAddress);
        refuses(b"[v1.x]",              BadAddress);
        refuses(b"[::\xff]",            BadAddress);
        refuses(b"[::1]:0",             BadPort);
        refuses(b"[::1]:99999",         BadPort);
    }

    #[test]
    fn the_longest_host_fits_and_one_octet_more_does_not() {
        let name = |octets: usize| vec![b'a'; octets];
        for octets in [1, HOST_OCTETS_MAX - 1, HOST_OCTETS_MAX] {
            assert_eq!(
                HostName::parse(&name(octets)).map(|host| host.as_bytes().len()),
                Ok(octets)
            );
        }
        refuses(&name(HOST_OCTETS_MAX + 1), TooLong);
        refuses(&name(70_000), TooLong);
        // The trailing dot is not counted: it is not kept.
        let dotted = [&name(HOST_OCTETS_MAX)[..], b"."].concat();
        assert_eq!(
            HostName::parse(&dotted).map(|host| host.as_bytes().len()),
            Ok(HOST_OCTETS_MAX)
        );
    }

    #[track_caller]
    fn check_ip(host: &str, expected: Option<&str>) {
        let host = HostName::parse(host.as_bytes()).expect("a host");
        assert_eq!(
            host.ip(),
            expected.map(|ip| ip.parse().expect("an address"))
        );
    }

    #[test]
    #[rustfmt::skip]
    fn addresses_are_told_from_names() {
        check_ip("127.0.0.1",   Some("127.0.0.1"));
        check_ip("127.0.0.1.",  Some("127.0.0.1"));
        check_ip("[::1]",       Some("::1"));
        check_ip("[::FFFF:7f00:1]", Some("::ffff:127.0.0.1"));
        check_ip("a.test",      None);
        check_ip("127.1",       None);
        check_ip("2130706433",  None);
        check_ip("0x7f.0.0.1",  None);
        check_ip("0177.0.0.1",  None);
        check_ip("256.0.0.1",   None);
        check_ip("1.2.3.4.5",   None);
    }

    #[track_caller]
    fn check_same(first: &str, second: &str, default_port: u16, expected: bool) {
        let authority = |text: &str| Authority::parse(text.as_bytes()).expect("an authority");
        let (first, second) = (authority(first), authority(second));
        assert_eq!(first.is_same(&second, default_port), expected);
        assert_eq!(second.is_same(&first, default_port), expected);
    }

    #[test]
    #[rustfmt::skip]
    fn a_missing_port_is_the_default_one() {
        check_same("a.test",     "A.TEST.",     80,  true);
        check_same("a.test",     "a.test:80",   80,  true);
        check_same("a.test:",    "a.test:80",   80,  true);
        check_same("a.test",     "a.test:443",  443, true);
        check_same("[::1]:80",   "[0::1]",      80,  true);
        check_same("a.test",     "a.test:443",  80,  false);
        check_same("a.test:80",  "a.test",      443, false);
        check_same("a.test:80",  "a.test:81",   80,  false);
        check_same("a.test",     "b.test",      80,  false);
        check_same("a.test",     "a.tes",       80,  false);
    }

    #[test]
    fn equal_hosts_hash_alike() {
        use std::hash::BuildHasher;
        let build = std::hash::RandomState::new();
        let hash = |text: &str| build.hash_one(HostName::parse(text.as_bytes()).expect("a host"));
        assert_eq!(hash("a.test"), hash("A.Test."));
        assert_ne!(hash("a.test"), hash("b.test"));
    }
}
