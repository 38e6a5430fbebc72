//! The status code: interim or final, with content or never (RFC 9110 §15).

use std::fmt;

/// A three-digit status code, `100..=999`.
///
/// Only 1xx to 5xx have a meaning; what else a peer sends is for the response parser to refuse.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Status(u16);

/// One line a status: its constant, its code, its reason phrase. The doc of each is its RFC section.
macro_rules! statuses {
    ($($(#[$doc:meta])* $name:ident = $code:literal $reason:literal;)*) => {
        impl Status {
            $($(#[$doc])* pub const $name: Status = Status($code);)*

            /// The reason phrase; empty for a code without a constant here.
            pub fn reason(self) -> &'static str {
                match self.0 {
                    $($code => $reason,)*
                    _ => "",
                }
            }
        }

        #[cfg(test)]
        const NAMED: &[(u16, &str)] = &[$(($code, $reason)),*];
    };
}

statuses! {
    /// RFC 9110 §15.2.1.
    CONTINUE = 100 "Continue";
    /// RFC 9110 §15.2.2.
    SWITCHING_PROTOCOLS = 101 "Switching Protocols";
    /// RFC 8297.
    EARLY_HINTS = 103 "Early Hints";
    /// RFC 9110 §15.3.1.
    OK = 200 "OK";
    /// RFC 9110 §15.3.2.
    CREATED = 201 "Created";
    /// RFC 9110 §15.3.3.
    ACCEPTED = 202 "Accepted";
    /// RFC 9110 §15.3.5.
    NO_CONTENT = 204 "No Content";
    /// RFC 9110 §15.3.6.
    RESET_CONTENT = 205 "Reset Content";
    /// RFC 9110 §15.3.7.
    PARTIAL_CONTENT = 206 "Partial Content";
    /// RFC 9110 §15.4.2.
    MOVED_PERMANENTLY = 301 "Moved Permanently";
    /// RFC 9110 §15.4.3.
    FOUND = 302 "Found";
    /// RFC 9110 §15.4.4.
    SEE_OTHER = 303 "See Other";
    /// RFC 9110 §15.4.5.
    NOT_MODIFIED = 304 "Not Modified";
    /// RFC 9110 §15.4.8.
    TEMPORARY_REDIRECT = 307 "Temporary Redirect";
    /// RFC 9110 §15.4.9.
    PERMANENT_REDIRECT = 308 "Permanent Redirect";
    /// RFC 9110 §15.5.1.
    BAD_REQUEST = 400 "Bad Request";
    /// RFC 9110 §15.5.2.
    UNAUTHORIZED = 401 "Unauthorized";
    /// RFC 9110 §15.5.4.
    FORBIDDEN = 403 "Forbidden";
    /// RFC 9110 §15.5.5.
    NOT_FOUND = 404 "Not Found";
    /// RFC 9110 §15.5.6.
    METHOD_NOT_ALLOWED = 405 "Method Not Allowed";
    /// RFC 9110 §15.5.9.
    REQUEST_TIMEOUT = 408 "Request Timeout";
    /// RFC 9110 §15.5.12.
    LENGTH_REQUIRED = 411 "Length Required";
    /// RFC 9110 §15.5.13.
    PRECONDITION_FAILED = 412 "Precondition Failed";
    /// RFC 9110 §15.5.14.
    CONTENT_TOO_LARGE = 413 "Content Too Large";
    /// RFC 9110 §15.5.15.
    URI_TOO_LONG = 414 "URI Too Long";
    /// RFC 9110 §15.5.17.
    RANGE_NOT_SATISFIABLE = 416 "Range Not Satisfiable";
    /// RFC 9110 §15.5.18.
    EXPECTATION_FAILED = 417 "Expectation Failed";
    /// RFC 9110 §15.5.20.
    MISDIRECTED_REQUEST = 421 "Misdirected Request";
    /// RFC 9110 §15.5.22.
    UPGRADE_REQUIRED = 426 "Upgrade Required";
    /// RFC 6585 §4.
    TOO_MANY_REQUESTS = 429 "Too Many Requests";
    /// RFC 6585 §5.
    REQUEST_HEADER_FIELDS_TOO_LARGE = 431 "Request Header Fields Too Large";
    /// RFC 9110 §15.6.1.
    INTERNAL_SERVER_ERROR = 500 "Internal Server Error";
    /// RFC 9110 §15.6.2.
    NOT_IMPLEMENTED = 501 "Not Implemented";
    /// RFC 9110 §15.6.3.
    BAD_GATEWAY = 502 "Bad Gateway";
    /// RFC 9110 §15.6.4.
    SERVICE_UNAVAILABLE = 503 "Service Unavailable";
    /// RFC 9110 §15.6.5.
    GATEWAY_TIMEOUT = 504 "Gateway Timeout";
    /// RFC 9110 §15.6.6.
    HTTP_VERSION_NOT_SUPPORTED = 505 "HTTP Version Not Supported";
}

impl Status {
    /// The status with this code; `None` unless it has three digits.
    pub const fn new(code: u16) -> Option<Status> {
        match code {
            100..=999 => Some(Status(code)),
            _ => None,
        }
    }

    /// The code, `100..=999`.
    pub const fn code(self) -> u16 {
        self.0
    }

    /// The code as it stands on the wire.
    pub const fn digits(self) -> [u8; 3] {
        // Each quotient is one decimal digit, because the code has three.
        [
            b'0' + (self.0 / 100) as u8,
            b'0' + (self.0 / 10 % 10) as u8,
            b'0' + (self.0 % 10) as u8,
        ]
    }

    /// 1xx: a final response is still to come (RFC 9110 §15.2).
    pub const fn is_interim(self) -> bool {
        self.0 < 200
    }

    /// "1xx (Informational), 204 (No Content), or 304 (Not Modified) … cannot contain a message body"
    /// (RFC 9112 §6.3 rule 1), whatever their fields say.
    pub const fn never_has_content(self) -> bool {
        matches!(self.0, 100..=199 | 204 | 304)
    }
}

/// 200, for a head that is not filled yet.
impl Default for Status {
    fn default() -> Status {
        Status::OK
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(code: u16, is_interim: bool, never_has_content: bool) {
        let status = Status::new(code).expect("three digits");
        assert_eq!(status.code(), code);
        assert_eq!(status.digits().as_slice(), code.to_string().as_bytes());
        assert_eq!(status.is_interim(), is_interim);
        assert_eq!(status.never_has_content(), never_has_content);
    }

    #[test]
    #[rustfmt::skip]
    fn interim_ones_and_those_without_content() {
        //    code interim no content
        check(100, true,  true);
        check(101, true,  true);
        check(103, true,  true);
        check(199, true,  true);
        check(200, false, false);
        check(203, false, false);
        check(204, false, true);
        // 205 has content as far as framing goes (RFC 9110 §15.3.6).
        check(205, false, false);
        check(303, false, false);
        check(304, false, true);
        check(305, false, false);
        check(404, false, false);
        check(599, false, false);
        check(999, false, false);
    }

    #[test]
    fn only_three_digits_make_a_status() {
        for code in [0, 1, 10, 99, 1000, 2000, u16::MAX] {
            assert_eq!(Status::new(code), None, "{code}");
        }
    }

    #[test]
    fn reasons_are_short_text_and_unknown_codes_have_none() {
        for (code, reason) in NAMED {
            assert_eq!(Status::new(*code).expect("three digits").reason(), *reason);
            assert!(
                !reason.is_empty()
                    && reason
                        .bytes()
                        .all(|octet| octet == b' ' || octet.is_ascii_alphabetic())
            );
        }
        for code in [199, 299, 418, 499, 599, 999] {
            assert_eq!(Status::new(code).expect("three digits").reason(), "");
        }
    }
}
