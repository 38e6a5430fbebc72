//! May a connection carry another exchange (RFC 9112 §9.3)? What the two heads say about it; that both messages were
//! sent and read to their end is for whoever moved them to know.
//!
//! HTTP/1.0 connections never persist here. "A proxy server MUST NOT maintain a HTTP/1.1 persistent connection
//! with an HTTP/1.0 client" (§9.3), for a `Connection: keep-alive` that some older proxy passed on blindly would
//! leave all three waiting; towards an upstream the same doubt costs one connection.

use super::framing::{self, Framing};
use crate::http::fields::{FieldName, Fields, list_members};
use crate::http::hop_by_hop::ConnectionOptions;
use crate::http::message::Version;

/// May the downstream connection carry another request after this one? `1.1 and not close`.
pub fn request_persists(version: Version, options: &ConnectionOptions) -> bool {
    match version {
        Version::Http11 => !options.close,
        Version::Http10 => false,
    }
}

/// May the upstream connection carry another request after this response?
/// `1.1 and not close and the end of the body is known by other means`.
pub fn response_persists(version: Version, options: &ConnectionOptions, framing: &Framing) -> bool {
    let is_delimited = match framing {
        Framing::None | Framing::Length(_) | Framing::Chunked => true,
        Framing::UntilClose => false,
    };
    match version {
        Version::Http11 => !options.close && is_delimited,
        Version::Http10 => false,
    }
}

/// The seconds after which the peer means to close an idle connection: `Keep-Alive: timeout=5, max=100`. A hint, not
/// in any standard in force (RFC 2068 §19.7.1); node and others send it. The first that can be read counts.
pub fn keep_alive_timeout(fields: &Fields, bytes: &[u8]) -> Option<u64> {
    let value = fields.first(bytes, FieldName::KeepAlive)?;
    list_members(value).find_map(|member| {
        let (name, seconds) = member.split_at_checked(b"timeout=".len())?;
        if !name.eq_ignore_ascii_case(b"timeout=") {
            return None;
        }
        framing::parse_length(seconds)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use Version::*;

    fn fields_of(lines: &[(&str, &str)]) -> (Fields, Vec<u8>) {
        let (mut fields, mut bytes) = (Fields::new(), Vec::new());
        for (name, value) in lines {
            fields.push_pair(&mut bytes, name.as_bytes(), value.as_bytes());
        }
        (fields, bytes)
    }

    #[track_caller]
    fn check(version: Version, connection: &str, framing: Framing, request: bool, response: bool) {
        let (fields, bytes) = fields_of(&[("Connection", connection)]);
        let options = ConnectionOptions::of(&fields, &bytes).expect("nominates nothing protected");
        assert_eq!(request_persists(version, &options), request);
        assert_eq!(response_persists(version, &options, &framing), response);
    }

    #[test]
    #[rustfmt::skip]
    fn persistence() {
        //    version  Connection           framing               request  response
        check(Http11,  "",                  Framing::Length(2),   true,    true);
        check(Http11,  "",                  Framing::None,        true,    true);
        check(Http11,  "",                  Framing::Chunked,     true,    true);
        check(Http11,  "",                  Framing::UntilClose,  true,    false);
        check(Http11,  "keep-alive",        Framing::Length(2),   true,    true);
        check(Http11,  "close",             Framing::Length(2),   false,   false); // HB-15, RS-30
        check(Http11,  "x-foo, CLOSE",      Framing::Length(2),   false,   false);
        check(Http11,  "close, keep-alive", Framing::Length(2),   false,   false);
        check(Http11,  "closed",            Framing::Length(2),   true,    true);
        check(Http10,  "",                  Framing::Length(2),   false,   false);
        check(Http10,  "keep-alive",        Framing::Length(2),   false,   false); // FR-24
    }

    #[track_caller]
    fn check_timeout(value: &str, expected: Option<u64>) {
        let (fields, bytes) = fields_of(&[("Keep-Alive", value)]);
        assert_eq!(keep_alive_timeout(&fields, &bytes), expected);
    }

    #[test]
    #[rustfmt::skip]
    fn keep_alive_hints() {
        check_timeout("timeout=5",             Some(5));
        check_timeout("timeout=5, max=100",    Some(5));
        check_timeout("max=100,\tTimeout=72",  Some(72));
        check_timeout("timeout=0",             Some(0));
        check_timeout("timeout=x, timeout=3",  Some(3));
        check_timeout("",                      None);
        check_timeout("max=100",               None);
        check_timeout("timeout",               None);
        check_timeout("timeout=",              None);
        check_timeout("timeout=-1",            None);
        check_timeout("timeout=99999999999999999999", None);
        check_timeout("xtimeout=5",            None);
        let (fields, bytes) = fields_of(&[]);
        assert_eq!(keep_alive_timeout(&fields, &bytes), None);
    }
}
