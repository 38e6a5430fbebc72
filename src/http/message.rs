//! Message heads as values: the start line and the field section (RFC 9112 §2.1).
//!
//! A head holds ranges into the buffer that the message was read into, never bytes, so it stays good
//! when that buffer is lent to the kernel and comes back. It is filled by a parser, which vouches for
//! what it holds: past it, every name is a token and every value has been checked and trimmed.
//! A head is scratch: cleared and filled again, its memory is kept.

use crate::http::fields::{Fields, Span};
use crate::http::method::Method;
use crate::http::status::Status;

/// `HTTP-version` (RFC 9112 §2.3). Others are refused while parsing.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Version {
    /// `HTTP/1.0`: one exchange a connection, no chunked.
    Http10,
    /// `HTTP/1.1`.
    #[default]
    Http11,
}

impl Version {
    /// As in the start line.
    pub fn as_str(self) -> &'static str {
        match self {
            Version::Http10 => "HTTP/1.0",
            Version::Http11 => "HTTP/1.1",
        }
    }
}

/// A request line and its field section (RFC 9112 §3).
#[derive(Clone, Debug, Default)]
pub struct RequestHead {
    /// The method, if a rule of ours knows it.
    pub method: Method,
    /// Its token, a [`Method::Other`] included.
    pub method_token: Span,
    /// The request target as sent; never empty in a complete head.
    pub target: Span,
    /// The version of the request line.
    pub version: Version,
    /// Field lines in the order sent.
    pub fields: Fields,
    /// Octets of the whole head: a leading CRLF, if there was one, to the CRLF of the empty line.
    pub length: usize,
}

impl RequestHead {
    /// An empty head, to be filled by a parser.
    pub fn new() -> RequestHead {
        RequestHead::default()
    }

    /// Empties it and keeps the memory of its fields.
    pub fn clear(&mut self) {
        self.method = Method::default();
        self.method_token = Span::default();
        self.target = Span::default();
        self.version = Version::default();
        self.fields.clear();
        self.length = 0;
    }
}

/// A status line and its field section (RFC 9112 §4).
#[derive(Clone, Debug, Default)]
pub struct ResponseHead {
    /// The version of the status line.
    pub version: Version,
    /// The status; 200 while nothing has been parsed.
    pub status: Status,
    /// The reason phrase as sent; may be empty. Nothing is ever decided by it.
    pub reason: Span,
    /// Field lines in the order sent.
    pub fields: Fields,
    /// Octets of the whole head, up to and with the CRLF of the empty line.
    pub length: usize,
}

impl ResponseHead {
    /// An empty head, to be filled by a parser.
    pub fn new() -> ResponseHead {
        ResponseHead::default()
    }

    /// Empties it and keeps the memory of its fields.
    pub fn clear(&mut self) {
        self.version = Version::default();
        self.status = Status::default();
        self.reason = Span::default();
        self.fields.clear();
        self.length = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::fields::FieldName;

    #[test]
    fn a_cleared_head_is_like_a_new_one() {
        let mut bytes = Vec::new();

        let mut request = RequestHead::new();
        request.method = Method::Get;
        request.method_token = Span::new(0, 3);
        request.target = Span::new(4, 5);
        request.version = Version::Http10;
        request.fields.push_pair(&mut bytes, b"Host", b"a.test");
        request.length = 40;
        request.clear();
        assert_eq!(format!("{request:?}"), format!("{:?}", RequestHead::new()));

        let mut response = ResponseHead::new();
        response.version = Version::Http10;
        response.status = Status::NOT_FOUND;
        response.reason = Span::new(13, 22);
        response.fields.push_pair(&mut bytes, b"Server", b"x");
        response.length = 40;
        response.clear();
        assert_eq!(
            format!("{response:?}"),
            format!("{:?}", ResponseHead::new())
        );
        assert!(!response.fields.has(FieldName::Server));
    }

    #[test]
    fn versions_are_spelled_in_capitals() {
        assert_eq!(Version::Http10.as_str(), "HTTP/1.0");
        assert_eq!(Version::Http11.as_str(), "HTTP/1.1");
    }
}
