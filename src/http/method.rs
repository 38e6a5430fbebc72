//! The request method: which one, and what it promises (RFC 9110 §9).
//!
//! Methods are case-sensitive. Any token passes; those that hotgate has no rule for are
//! [`Method::Other`], and their token is kept by the head that they came in.

/// A method that some rule of ours asks for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Method {
    /// RFC 9110 §9.3.1.
    Get,
    /// RFC 9110 §9.3.2. The response never has content.
    Head,
    /// RFC 9110 §9.3.3.
    Post,
    /// RFC 9110 §9.3.4.
    Put,
    /// RFC 9110 §9.3.5.
    Delete,
    /// RFC 9110 §9.3.6. Refused here: no open forward proxy.
    Connect,
    /// RFC 9110 §9.3.7.
    Options,
    /// RFC 9110 §9.3.8. Refused here: it returns credentials to whoever asks.
    Trace,
    /// RFC 5789.
    Patch,
    /// Any other token: PROPFIND, REPORT… Neither safe nor idempotent as far as we know.
    #[default]
    Other,
}

impl Method {
    /// The method that `token` spells, case-sensitively; `get` is [`Method::Other`].
    pub fn of(token: &[u8]) -> Method {
        match token {
            b"GET" => Method::Get,
            b"HEAD" => Method::Head,
            b"POST" => Method::Post,
            b"PUT" => Method::Put,
            b"DELETE" => Method::Delete,
            b"CONNECT" => Method::Connect,
            b"OPTIONS" => Method::Options,
            b"TRACE" => Method::Trace,
            b"PATCH" => Method::Patch,
            _ => Method::Other,
        }
    }

    /// The token; empty for [`Method::Other`], whose token the head holds.
    pub fn as_str(self) -> &'static str {
        match self {
            Method::Get => "GET",
            Method::Head => "HEAD",
            Method::Post => "POST",
            Method::Put => "PUT",
            Method::Delete => "DELETE",
            Method::Connect => "CONNECT",
            Method::Options => "OPTIONS",
            Method::Trace => "TRACE",
            Method::Patch => "PATCH",
            Method::Other => "",
        }
    }

    /// "essentially read-only" (RFC 9110 §9.2.1).
    pub fn is_safe(self) -> bool {
        match self {
            Method::Get | Method::Head | Method::Options | Method::Trace => true,
            Method::Post
            | Method::Put
            | Method::Delete
            | Method::Connect
            | Method::Patch
            | Method::Other => false,
        }
    }

    /// Sent twice, it has the effect of once (RFC 9110 §9.2.2): the safe ones, PUT and DELETE.
    pub fn is_idempotent(self) -> bool {
        match self {
            Method::Put | Method::Delete => true,
            Method::Get
            | Method::Head
            | Method::Options
            | Method::Trace
            | Method::Post
            | Method::Connect
            | Method::Patch
            | Method::Other => self.is_safe(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Method::{self, *};

    #[track_caller]
    fn check(token: &str, expected: Method, is_safe: bool, is_idempotent: bool) {
        let method = Method::of(token.as_bytes());
        assert_eq!(method, expected);
        assert_eq!(method.is_safe(), is_safe);
        assert_eq!(method.is_idempotent(), is_idempotent);
        assert_eq!(method.as_str(), if expected == Other { "" } else { token });
    }

    #[test]
    #[rustfmt::skip]
    fn methods_and_their_promises() {
        //    token       method    safe   idempotent
        check("GET",      Get,      true,  true);
        check("HEAD",     Head,     true,  true);
        check("OPTIONS",  Options,  true,  true);
        check("TRACE",    Trace,    true,  true);
        check("PUT",      Put,      false, true);
        check("DELETE",   Delete,   false, true);
        check("POST",     Post,     false, false);
        check("CONNECT",  Connect,  false, false);
        check("PATCH",    Patch,    false, false);
        // Everything else promises nothing, near misses included.
        check("PROPFIND", Other,    false, false);
        check("get",      Other,    false, false);
        check("Get",      Other,    false, false);
        check("GE",       Other,    false, false);
        check("GETT",     Other,    false, false);
        check("HEAD ",    Other,    false, false);
        check("\tGET",    Other,    false, false);
        check("PRI",      Other,    false, false);
        check("G@T",      Other,    false, false);
        check("",         Other,    false, false);
    }
}
