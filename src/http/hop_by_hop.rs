//! The field lines that stop here: Connection and what it nominates (RFC 9110 §7.6.1).
//!
//! A sender may nominate fields that the next hop must not pass on. A hostile one nominates what the hop
//! itself, or the origin, depends on, so that an intermediary deletes its own protection (CVE-2022-31813,
//! CVE-2024-45410). So: nominating framing, routing or credentials is refused, nominating what intermediaries
//! add is not heeded, and our own lines are added only after all this.
//!
//! Which connection persists is decided elsewhere, from [`ConnectionOptions::close`] and `keep_alive`.

use std::fmt;

use crate::http::field_name::set_of;
use crate::http::fields::{FieldLine, FieldName, Fields, list_members};
use crate::http::forwarding::is_spoofable;

/// The most octets that all Connection values of a message may have together.
///
/// Every unknown field line is compared with every nomination; unbounded, one head of 32 KiB would buy
/// megabytes of comparing. Real ones stay below 100.
pub const CONNECTION_OCTETS_MAX: usize = 1024;

/// What the Connection lines of one message say.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ConnectionOptions {
    /// The sender closes, or wants closed, after this message.
    pub close: bool,
    /// HTTP/1.0's wish to go on.
    pub keep_alive: bool,
    /// The Upgrade field is meant for this hop.
    pub upgrade: bool,
    /// The bits of nominated names; that of [`FieldName::Other`] if any name unknown to us is among them.
    nominated: u128,
}

impl ConnectionOptions {
    /// Reads the Connection lines of `fields`, in any number; costs one bit test when there is none.
    ///
    /// # Errors
    ///
    /// 400 for a request, 502 for a response: see [`ProtectedNomination`].
    pub fn of(fields: &Fields, bytes: &[u8]) -> Result<ConnectionOptions, ProtectedNomination> {
        let mut options = ConnectionOptions::default();
        let mut octets = 0;
        for value in fields.all(bytes, FieldName::Connection) {
            octets += value.len();
            if octets > CONNECTION_OCTETS_MAX {
                return Err(ProtectedNomination::TooLong);
            }
            for member in list_members(value) {
                options.add(member)?;
            }
        }
        Ok(options)
    }

    /// Does this line stop here? `line` is one of `fields`, which these options were read from.
    ///
    /// One integer test, except for an unknown name while unknown names are nominated.
    #[inline]
    pub fn stops(&self, line: &FieldLine, fields: &Fields, bytes: &[u8]) -> bool {
        if (HOP_BY_HOP | self.nominated) & line.known.bit() == 0 {
            return false;
        }
        line.known != FieldName::Other || is_nominated(line.name.of(bytes), fields, bytes)
    }

    fn add(&mut self, member: &[u8]) -> Result<(), ProtectedNomination> {
        // Options that are no field names come first: "close" is reserved (RFC 9110 §7.6.1).
        if member.eq_ignore_ascii_case(b"close") {
            self.close = true;
            return Ok(());
        }
        let known = FieldName::of(member);
        self.keep_alive |= known == FieldName::KeepAlive;
        self.upgrade |= known == FieldName::Upgrade;
        if PROTECTED & known.bit() != 0 {
            return Err(ProtectedNomination::Field(known));
        }
        if !is_unheeded(known, member) {
            self.nominated |= known.bit();
        }
        Ok(())
    }
}

/// Why a Connection field is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ProtectedNomination {
    /// It nominates this field, without which the message would mean something else.
    Field(FieldName),
    /// Its values have more than [`CONNECTION_OCTETS_MAX`] together.
    TooLong,
}

impl ProtectedNomination {
    /// As logs and metrics name it.
    pub fn as_str(self) -> &'static str {
        match self {
            ProtectedNomination::Field(_) => "protected_nomination",
            ProtectedNomination::TooLong => "connection_too_long",
        }
    }
}

impl fmt::Display for ProtectedNomination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ProtectedNomination::Field(name) => write!(f, "Connection nominates {}", name.as_str()),
            ProtectedNomination::TooLong => f.write_str("the Connection field is too long"),
        }
    }
}

impl std::error::Error for ProtectedNomination {}

/// Stop here always, nominated or not (RFC 9110 §7.6.1; RFC 9113 §8.2.2; RFC 9110 §11.7).
const HOP_BY_HOP: u128 = set_of(&[
    FieldName::Connection,
    FieldName::Http2Settings,
    FieldName::KeepAlive,
    FieldName::ProxyAuthenticate,
    FieldName::ProxyAuthorization,
    FieldName::ProxyConnection,
    FieldName::Te,
    FieldName::Trailer,
    FieldName::TransferEncoding,
    FieldName::Upgrade,
]);

/// Framing, routing and credentials: nominating them is an attack.
const PROTECTED: u128 = set_of(&[
    FieldName::Authorization,
    FieldName::ContentLength,
    FieldName::Cookie,
    FieldName::Host,
    FieldName::TransferEncoding,
]);

/// What an intermediary added for those behind it stays, whoever nominates it. `known` is what we know of
/// `name`; the prefix catches the names that we do not know.
fn is_unheeded(known: FieldName, name: &[u8]) -> bool {
    const PREFIX: &[u8] = b"X-Forwarded-";
    let has_prefix = |name: &[u8]| {
        name.get(..PREFIX.len())
            .is_some_and(|head| head.eq_ignore_ascii_case(PREFIX))
    };
    match known {
        FieldName::Other => has_prefix(name),
        FieldName::Via | FieldName::Date => true,
        known => is_spoofable(known) && known != FieldName::Proxy,
    }
}

/// The slow question, for a name that we do not know.
fn is_nominated(name: &[u8], fields: &Fields, bytes: &[u8]) -> bool {
    // Unheeded nominations of unknown names are not marked, but stand in the lists all the same.
    !is_unheeded(FieldName::Other, name)
        && fields
            .all(bytes, FieldName::Connection)
            .flat_map(list_members)
            .any(|member| member.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn section(lines: &[(&str, &str)]) -> (Fields, Vec<u8>) {
        let mut bytes = Vec::new();
        let mut fields = Fields::new();
        for (name, value) in lines {
            fields.push_pair(&mut bytes, name.as_bytes(), value.as_bytes());
        }
        (fields, bytes)
    }

    /// The names of the lines that go on.
    #[track_caller]
    fn check(lines: &[(&str, &str)], expected: &[&str]) {
        let (fields, bytes) = section(lines);
        let options = ConnectionOptions::of(&fields, &bytes).expect("options");
        let goes_on = |line: &&FieldLine| !options.stops(line, &fields, &bytes);
        let name = |line: &FieldLine| String::from_utf8_lossy(line.name.of(&bytes)).into_owned();
        let names: Vec<_> = fields.iter().filter(goes_on).map(name).collect();
        assert_eq!(names, expected);
    }

    #[test]
    #[rustfmt::skip]
    fn hop_by_hop_lines_stop_and_the_rest_goes_on() {
        check(&[], &[]);
        check(&[("Host", "a.test"), ("X-Foo", "1")], &["Host", "X-Foo"]);
        check(&[("Connection", "close, X-Foo"), ("X-Foo", "1"), ("X-Bar", "2")], &["X-Bar"]);
        check(&[("X-FOO", "1"), ("connection", "x-foo")], &[]);
        check(&[("Connection", "a"), ("Connection", "b"), ("A", ""), ("B", ""), ("C", "")], &["C"]);
        check(&[("Connection", ",, ,x-foo\t,"), ("X-Foo", "1"), ("X-Fo", "1")], &["X-Fo"]);
        // Known names, nominated.
        check(&[("Connection", "Range, user-agent"), ("Range", "bytes=0-"), ("User-Agent", "x")], &[]);
        check(&[("Connection", "close"), ("Range", "bytes=0-"), ("User-Agent", "x")], &["Range", "User-Agent"]);
        // The fixed set, nominated or not.
        check(&[("TE", "trailers, chunked"), ("Keep-Alive", "timeout=9"), ("Proxy-Connection", "x"), ("Connection", "TE")], &[]);
        check(&[("Trailer", "x"), ("Transfer-Encoding", "chunked"), ("Upgrade", "h2c"), ("HTTP2-Settings", "AAM")], &[]);
        check(&[("Proxy-Authenticate", "Basic"), ("Proxy-Authorization", "Basic x")], &[]);
        check(&[("Connection", "Upgrade, HTTP2-Settings"), ("upgrade", "h2c"), ("Accept", "*/*")], &["Accept"]);
        // A nomination needs the whole name.
        check(&[("Connection", "X-Foo-Bar, Foo, \"X-Foo\", X-Foo;x"), ("X-Foo", "1")], &["X-Foo"]);
        // Names that no server folds into the nominated one.
        check(&[("Connection", "X-Foo"), ("X_Foo", "1")], &["X_Foo"]);
    }

    #[test]
    #[rustfmt::skip]
    fn what_intermediaries_add_stays_though_nominated() {
        for name in [
            "Forwarded", "Via", "Date", "X-Real-IP", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Port",
            "X-Forwarded-Prefix", "X-Forwarded-Proto", "X-Forwarded-Server", "X-Forwarded-Tls-Client-Cert",
            "X-Forwarded-Unheard-Of", "CF-Connecting-IP", "True-Client-IP",
        ] {
            check(&[("Connection", name), (name, "1")], &[name]);
            let lower = name.to_ascii_lowercase();
            check(&[("Connection", &lower), (name, "1"), ("Connection", "x-foo"), ("X-Foo", "2")], &[name]);
        }
        // Deleting this one can only help.
        check(&[("Connection", "Proxy"), ("Proxy", "evil:80")], &[]);
    }

    #[track_caller]
    fn check_options(value: &str, close: bool, keep_alive: bool, upgrade: bool) {
        let (fields, bytes) = section(&[("Connection", value)]);
        let options = ConnectionOptions::of(&fields, &bytes).expect("options");
        assert_eq!(
            (options.close, options.keep_alive, options.upgrade),
            (close, keep_alive, upgrade)
        );
    }

    #[test]
    #[rustfmt::skip]
    fn options_are_members_in_any_case() {
        //            value                       close  keep   upgrade
        check_options("close",                    true,  false, false);
        check_options("Close",                    true,  false, false);
        check_options("keep-alive",               false, true,  false);
        check_options("KEEP-ALIVE, Upgrade",      false, true,  true);
        check_options("foo,\tclose ,upgrade",     true,  false, true);
        check_options("close, keep-alive",        true,  true,  false);
        check_options("",                         false, false, false);
        check_options("closed",                   false, false, false);
        check_options("clos",                     false, false, false);
        check_options("not close",                false, false, false);
        check_options("\"close\"",                false, false, false);
        check_options("close;x",                  false, false, false);
        check_options("keepalive",                false, false, false);
        check_options("keep_alive",               false, false, false);
        check_options("upgrade\u{b}",             false, false, false);
    }

    #[track_caller]
    fn refuses(lines: &[(&str, &str)], expected: ProtectedNomination) {
        let (fields, bytes) = section(lines);
        assert_eq!(ConnectionOptions::of(&fields, &bytes), Err(expected));
    }

    #[test]
    #[rustfmt::skip]
    fn nominating_framing_routing_or_credentials_is_refused() {
        use ProtectedNomination::Field;
        refuses(&[("Connection", "Host")],                        Field(FieldName::Host));
        refuses(&[("Connection", "host")],                        Field(FieldName::Host));
        refuses(&[("Connection", "close, Content-Length")],       Field(FieldName::ContentLength));
        refuses(&[("Connection", "close,,transfer-ENCODING")],    Field(FieldName::TransferEncoding));
        refuses(&[("Connection", "Authorization")],               Field(FieldName::Authorization));
        refuses(&[("Connection", "close"), ("X", "1"), ("Connection", "\tCookie ")], Field(FieldName::Cookie));
        // Also when no such line is there.
        refuses(&[("Host", "a.test"), ("Connection", "Content-Length")], Field(FieldName::ContentLength));
    }

    #[test]
    fn connection_values_have_a_limit_together() {
        let value = |octets: usize| "a,".repeat(octets / 2) + &"a"[..octets % 2];
        for octets in [CONNECTION_OCTETS_MAX - 1, CONNECTION_OCTETS_MAX] {
            check(
                &[("Connection", &value(octets)), ("A", ""), ("B", "")],
                &["B"],
            );
        }
        refuses(
            &[("Connection", &value(CONNECTION_OCTETS_MAX + 1))],
            ProtectedNomination::TooLong,
        );
        let half = value(CONNECTION_OCTETS_MAX / 2);
        let lines = [
            ("Connection", half.as_str()),
            ("Connection", &half),
            ("Connection", "x"),
        ];
        check(&lines[..2], &[]);
        refuses(&lines, ProtectedNomination::TooLong);
    }
}
