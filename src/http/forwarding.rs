//! Whose request it is: the fields by which intermediaries tell (RFC 9110 §7.6.3, RFC 7239).
//!
//! Anyone can write these lines, so they are believed of peers that the configuration trusts and of
//! nobody else. Of X-Forwarded-For only the right end is ever worth anything: each hop appends the address
//! that it saw, and what stands left of the first hop that we do not trust was written by that hop's client.
//!
//! Whoever forwards deletes first, then sets: [`is_spoofable`] for an untrusted peer, [`is_replaced`] for a
//! trusted one.

use std::net::{IpAddr, SocketAddr};

use crate::http::chars::{is_plain_name, trim_ows};
use crate::http::field_name::set_of;
use crate::http::fields::{FieldName, Fields};

/// The most hops that are walked back. A chain that is longer is no chain of proxies.
pub const HOPS_MAX: usize = 32;

/// The client's address as believed.
///
/// That of `peer`, unless `is_trusted(peer)`: then the right-most address of X-Forwarded-For (all its
/// lines are one list) that is not trusted; if all are, the left-most. A member that is no address stops
/// the walk at the hop that vouched for it, and so does a list of more than [`HOPS_MAX`].
///
/// Addresses may have a port, IPv6 ones brackets. IPv4-mapped ones are returned, and given to
/// `is_trusted`, as IPv4.
pub fn client_address(
    peer: IpAddr,
    fields: &Fields,
    bytes: &[u8],
    is_trusted: impl Fn(IpAddr) -> bool,
) -> IpAddr {
    let mut client = plain(peer);
    let lines = fields.all(bytes, FieldName::XForwardedFor).rev();
    let mut hops = lines
        .flat_map(|value| value.rsplit(|octet| *octet == b','))
        .take(HOPS_MAX);
    while is_trusted(client) {
        let Some(hop) = hops.next().and_then(parse_hop) else {
            break;
        };
        client = hop;
    }
    client
}

/// An IPv4-mapped IPv6 address as the IPv4 address that it is; others unchanged.
pub fn plain(ip: IpAddr) -> IpAddr {
    ip.to_canonical()
}

/// Is this a field by which a client could pass itself off as another? Deleted when the peer is not
/// trusted, before ours are set.
///
/// Besides the well-known ones, those that application servers believe unasked: gunicorn takes
/// X-Forwarded-Ssl and X-Forwarded-Protocol from any local peer, which hotgate often is.
pub fn is_spoofable(known: FieldName) -> bool {
    SPOOFABLE & known.bit() != 0
}

/// Is this a field that is set anew even for a trusted peer, from what [`client_address`] believed?
///
/// The other ones of a trusted peer go on as they are; X-Forwarded-For goes on with the peer appended.
/// `Proxy` goes nowhere: it is no field, but becomes `HTTP_PROXY` in CGI (CVE-2016-5385).
pub fn is_replaced(known: FieldName) -> bool {
    REPLACED & known.bit() != 0
}

/// Is this a name that some server may fold into another one? CGI and WSGI make `-` and `_` the same, so
/// that `X_Forwarded_For` passes for the field that we guard (CVE-2026-39858). Such lines are dropped by default.
///
/// `name` is a token.
pub fn is_alias(name: &[u8]) -> bool {
    !name.iter().copied().all(is_plain_name)
}

const REPLACED: u128 = set_of(&[
    FieldName::Proxy,
    FieldName::XForwardedFor,
    FieldName::XRealIp,
]);

const SPOOFABLE: u128 = REPLACED
    | set_of(&[
        FieldName::CfConnectingIp,
        FieldName::Forwarded,
        FieldName::RemoteUser,
        FieldName::TrueClientIp,
        FieldName::XClientIp,
        FieldName::XForwardedHost,
        FieldName::XForwardedPort,
        FieldName::XForwardedPrefix,
        FieldName::XForwardedProto,
        FieldName::XForwardedProtocol,
        FieldName::XForwardedScheme,
        FieldName::XForwardedServer,
        FieldName::XForwardedSsl,
        FieldName::XForwardedTlsClientCert,
        FieldName::XForwardedTlsClientCertInfo,
        FieldName::XOriginalUrl,
        FieldName::XRewriteUrl,
    ]);

/// The longest spelling of an address with its port: `[`, 45 octets of an IPv6 address, `]:65535`.
const HOP_OCTETS_MAX: usize = 53;

/// One member of X-Forwarded-For: `1.2.3.4`, `1.2.3.4:5678`, `2001:db8::1`, `[2001:db8::1]` or
/// `[2001:db8::1]:5678`. Nothing else is an address here, quoted ones and zones included.
fn parse_hop(member: &[u8]) -> Option<IpAddr> {
    let member = trim_ows(member);
    if member.len() > HOP_OCTETS_MAX || member.contains(&b'%') {
        return None;
    }
    let text = std::str::from_utf8(member).ok()?;
    let bracketed = || {
        text.strip_prefix('[')?
            .strip_suffix(']')?
            .parse()
            .ok()
            .map(IpAddr::V6)
    };
    let with_port = || text.parse().ok().map(|address: SocketAddr| address.ip());
    let ip = text.parse().ok().or_else(bracketed).or_else(with_port)?;
    Some(plain(ip))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEER: &str = "10.0.0.1";

    /// Trusts 10.0.0.0/8 and fd00::/8.
    fn is_trusted(ip: IpAddr) -> bool {
        match ip {
            IpAddr::V4(ip) => ip.octets()[0] == 10,
            IpAddr::V6(ip) => ip.octets()[0] == 0xfd,
        }
    }

    fn client_of(peer: &str, lines: &[&[u8]]) -> String {
        let mut bytes = b"GET / HTTP/1.1\r\n".to_vec();
        let mut fields = Fields::new();
        fields.push_pair(&mut bytes, b"X-Real-IP", b"6.6.6.6");
        for value in lines {
            fields.push_pair(&mut bytes, b"x-forwarded-FOR", value);
            fields.push_pair(&mut bytes, b"X_Forwarded_For", b"6.6.6.6");
        }
        client_address(
            peer.parse().expect("an address"),
            &fields,
            &bytes,
            is_trusted,
        )
        .to_string()
    }

    #[track_caller]
    fn check(peer: &str, lines: &[&str], expected: &str) {
        let lines: Vec<_> = lines.iter().map(|line| line.as_bytes()).collect();
        assert_eq!(client_of(peer, &lines), expected);
    }

    #[test]
    #[rustfmt::skip]
    fn an_untrusted_peer_is_the_client_whatever_it_says() {
        check("192.0.2.9",        &[],                       "192.0.2.9");
        check("192.0.2.9",        &["6.6.6.6"],              "192.0.2.9");
        check("192.0.2.9",        &["10.0.0.2", "10.0.0.3"], "192.0.2.9");
        check("::ffff:192.0.2.9", &["6.6.6.6"],              "192.0.2.9");
        check("2001:db8::9",      &["6.6.6.6"],              "2001:db8::9");
    }

    #[test]
    #[rustfmt::skip]
    fn a_trusted_peer_is_believed_to_the_first_untrusted_hop() {
        check(PEER,               &[],                                   "10.0.0.1");
        check(PEER,               &["192.0.2.1"],                        "192.0.2.1");
        check("::ffff:10.0.0.1",  &["192.0.2.1"],                        "192.0.2.1");
        check("fd00::1",          &["2001:db8::1"],                      "2001:db8::1");
        check(PEER,               &["6.6.6.6, 192.0.2.1"],               "192.0.2.1");
        check(PEER,               &["6.6.6.6,192.0.2.1,10.0.0.7"],       "192.0.2.1");
        check(PEER,               &["6.6.6.6 ,\t192.0.2.1\t, 10.0.0.7 "], "192.0.2.1");
        check(PEER,               &["6.6.6.6", "192.0.2.1", "10.0.0.7"], "192.0.2.1");
        check(PEER,               &["6.6.6.6, 192.0.2.1", "10.0.0.7"],   "192.0.2.1");
        check(PEER,               &["192.0.2.1", "6.6.6.6"],             "6.6.6.6");
        // All trusted: the left-most, someone inside.
        check(PEER,               &["10.1.1.1, 10.0.0.7"],               "10.1.1.1");
        check(PEER,               &["10.1.1.1", "fd00::2"],              "10.1.1.1");
        check(PEER,               &["::ffff:10.1.1.1"],                  "10.1.1.1");
        check(PEER,               &["192.0.2.1, ::ffff:10.1.1.1"],       "192.0.2.1");
    }

    #[test]
    #[rustfmt::skip]
    fn ports_and_brackets_are_understood() {
        check(PEER, &["192.0.2.1:5678"],                 "192.0.2.1");
        check(PEER, &["192.0.2.1, 10.0.0.7:80"],         "192.0.2.1");
        check(PEER, &["[2001:db8::1]"],                  "2001:db8::1");
        check(PEER, &["[2001:db8::1]:443"],              "2001:db8::1");
        check(PEER, &["[::ffff:192.0.2.1]:443"],         "192.0.2.1");
        check(PEER, &["2001:DB8::1"],                    "2001:db8::1");
        check(PEER, &["[fd00:ffff:ffff:ffff:ffff:ffff:255.255.255.255]:65535, x"], "10.0.0.1");
        check(PEER, &["192.0.2.1, [fd00:ffff:ffff:ffff:ffff:ffff:255.255.255.255]:65535"], "192.0.2.1");
    }

    #[test]
    #[rustfmt::skip]
    fn what_is_no_address_stops_the_walk() {
        for garbage in [
            "", " ", "unknown", "_hidden", "a.test", "192.0.2.1.", "192.0.2", "192.0.2.256", "0192.0.2.1",
            "0x7f.1", "3221225985", "192.0.2.1:", "192.0.2.1:65536", "192.0.2.1:x", "192.0.2.1/32", "[192.0.2.1]",
            "[192.0.2.1]:80", "[2001:db8::1", "2001:db8::1]", "[[2001:db8::1]]", "[2001:db8::1]x", "[]",
            "[2001:db8::1]:", "[2001:db8::1]:99999", "fe80::1%eth0", "[fe80::1%1]:80", "2001:db8:::1",
            "\"192.0.2.1\"", "for=192.0.2.1", "192.0.2.1 192.0.2.2", "192.0.2.1;", "\u{e9}", "-1", "1",
        ] {
            check(PEER, &[garbage],                               "10.0.0.1");
            check(PEER, &[&format!("6.6.6.6, {garbage}")],        "10.0.0.1");
            check(PEER, &[&format!("6.6.6.6, {garbage}, 10.2.2.2")], "10.2.2.2");
            check(PEER, &["6.6.6.6", garbage, "10.2.2.2"],        "10.2.2.2");
            // Left of an untrusted hop it is never looked at.
            check(PEER, &[&format!("{garbage}, 192.0.2.1")],      "192.0.2.1");
        }
        assert_eq!(client_of(PEER, &[b"6.6.6.6, \xff\xfe"]), "10.0.0.1");
        assert_eq!(client_of(PEER, &[b"6.6.6.6, 192.0.2.1\xa0"]), "10.0.0.1");
        assert_eq!(client_of(PEER, &[b"6.6.6.6, 192.0.2.1\0"]), "10.0.0.1");
        assert_eq!(client_of(PEER, &[&[b'1'; 30_000]]), "10.0.0.1");
        assert_eq!(client_of(PEER, &[&[b','; 30_000]]), "10.0.0.1");
    }

    #[test]
    fn the_walk_ends_after_the_most_hops() {
        let chain = |trusted: usize| format!("192.0.2.1{}", ", 10.2.2.2".repeat(trusted));
        check(PEER, &[&chain(HOPS_MAX - 2)], "192.0.2.1");
        check(PEER, &[&chain(HOPS_MAX - 1)], "192.0.2.1");
        check(PEER, &[&chain(HOPS_MAX)], "10.2.2.2");
        check(PEER, &[&chain(3000)], "10.2.2.2");
    }

    #[test]
    fn guarded_names_are_spoofable_and_others_are_not() {
        for name in [
            "Forwarded",
            "X-Forwarded-For",
            "X-Forwarded-Host",
            "X-Forwarded-Proto",
            "X-Forwarded-Port",
            "X-Forwarded-Prefix",
            "X-Forwarded-Server",
            "X-Forwarded-Tls-Client-Cert",
            "X-Forwarded-Tls-Client-Cert-Info",
            "x-forwarded-ssl",
            "X-Real-IP",
            "X-Original-URL",
            "X-Rewrite-URL",
            "Proxy",
            "X-Client-IP",
            "True-Client-IP",
            "CF-Connecting-IP",
            "Remote-User",
        ] {
            assert!(is_spoofable(FieldName::of(name.as_bytes())), "{name}");
        }
        for name in [
            "Host",
            "Via",
            "Cookie",
            "Authorization",
            "Origin",
            "X-Request-ID",
            "X-Foo",
            "",
        ] {
            assert!(!is_spoofable(FieldName::of(name.as_bytes())), "{name}");
            assert!(!is_replaced(FieldName::of(name.as_bytes())), "{name}");
        }
        for known in FieldName::ALL {
            assert!(!is_replaced(*known) || is_spoofable(*known));
        }
        assert!(is_replaced(FieldName::XForwardedFor) && is_replaced(FieldName::XRealIp));
        assert!(!is_replaced(FieldName::XForwardedProto));
    }

    #[test]
    fn names_outside_letters_digits_and_hyphens_are_aliases() {
        for name in [
            "Host",
            "X-Forwarded-For",
            "x-1",
            "DNT",
            "-",
            "HTTP2-Settings",
        ] {
            assert!(!is_alias(name.as_bytes()), "{name}");
        }
        for name in [
            "X_Forwarded_For",
            "Transfer_Encoding",
            "X.Real.IP",
            "a~",
            "a!",
            "a|b",
            "a'b",
            "_",
        ] {
            assert!(is_alias(name.as_bytes()), "{name}");
        }
    }
}
