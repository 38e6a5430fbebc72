//! Body framing: where the body of a message ends (RFC 9112 §6.3).
//!
//! The one place that decides. Two readers who disagree here see different messages in the same octets, so
//! whatever is ambiguous is refused, not repaired, and what goes on is framed anew from [`Framing`]: neither
//! Content-Length nor Transfer-Encoding is ever copied.
//!
//! Stricter than RFC 9112 asks: both fields together (§6.3 rule 3 lets Transfer-Encoding win), identical lengths
//! repeated (rule 5 lets them be one), and empty list members beside `chunked` (RFC 9110 §5.6.1) are errors.
//! In return nothing that follows needs to think of them.
//!
//! Invariant: a request is never [`Framing::UntilClose`].

use crate::http::fields::{FieldName, Fields, list_members};
use crate::http::message::{RequestHead, ResponseHead, Version};
use crate::http::method::Method;
use crate::http::status::Status;

/// How the end of a body is known.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Framing {
    /// There is no body.
    None,
    /// This many octets; may be 0.
    Length(u64),
    /// Chunks (RFC 9112 §7.1).
    Chunked,
    /// All octets until the connection closes. Responses only; whether they were all cannot be told.
    UntilClose,
}

/// A message whose end cannot be known, or not by everyone in the same way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FramingError {
    /// Both Content-Length and Transfer-Encoding (RFC 9112 §6.3 rule 3: "ought to be handled as an error").
    LengthAndCoding,
    /// Content-Length is not `1*DIGIT`, or over 2^63 - 1 (rule 5).
    BadLength,
    /// More than one Content-Length line, though they agree (rule 5).
    RepeatedLength,
    /// Transfer-Encoding in HTTP/1.0, which has none (RFC 9112 §6.1).
    CodingInHttp10,
    /// More than one Transfer-Encoding line, or `chunked` twice in one (RFC 9112 §6.1: "MUST NOT apply the chunked
    /// transfer coding more than once").
    RepeatedCoding,
    /// `chunked` is not the last coding: the end cannot be known (rule 4).
    ChunkedNotFinal,
    /// Transfer-Encoding says `chunked` with empty list members around it.
    BadCoding,
    /// A coding other than `chunked` (RFC 9112 §6.1: "SHOULD respond with 501").
    UnknownCoding,
}

/// The largest body length: what fits in `i64` too, as most programs count.
pub const LENGTH_MAX: u64 = u64::MAX >> 1;

/// How the body of the request with this head is delimited.
///
/// `head` is complete, and `bytes` the buffer it was parsed from. The method does not matter: a GET may have a
/// body, and what is not read as one would be read as the next request.
///
/// # Errors
///
/// Each earns [`FramingError::status`] and closes the connection.
#[inline]
pub fn of_request(head: &RequestHead, bytes: &[u8]) -> Result<Framing, FramingError> {
    match of_fields(&head.fields, bytes, head.version)? {
        Framing::UntilClose => Ok(Framing::None), // rule 7
        framing @ (Framing::None | Framing::Length(_) | Framing::Chunked) => Ok(framing),
    }
}

/// How the body of the response with this head is delimited.
///
/// `request_method` is that of the request it answers. HEAD, 1xx, 204 and 304 have no body whatever their fields
/// say (rule 1), and a successful CONNECT is followed by a tunnel (rule 2); their fields are still checked, for the
/// Content-Length of a HEAD goes on to the client.
///
/// # Errors
///
/// Each makes the exchange a 502 and loses the connection.
#[inline]
pub fn of_response(
    request_method: Method,
    head: &ResponseHead,
    bytes: &[u8],
) -> Result<Framing, FramingError> {
    let framing = of_fields(&head.fields, bytes, head.version)?;
    let is_tunnel = request_method == Method::Connect && matches!(head.status.code(), 200..=299);
    if request_method == Method::Head || head.status.never_has_content() || is_tunnel {
        return Ok(Framing::None);
    }
    Ok(framing)
}

/// What the two fields say; `UntilClose` when neither is there.
#[inline]
fn of_fields(fields: &Fields, bytes: &[u8], version: Version) -> Result<Framing, FramingError> {
    match (
        fields.has(FieldName::ContentLength),
        fields.has(FieldName::TransferEncoding),
    ) {
        (false, false) => Ok(Framing::UntilClose),
        (true, false) => of_length(fields, bytes),
        (false, true) => of_coding(fields, bytes, version),
        (true, true) => Err(FramingError::LengthAndCoding),
    }
}

fn of_length(fields: &Fields, bytes: &[u8]) -> Result<Framing, FramingError> {
    if fields.count(FieldName::ContentLength) > 1 {
        return Err(FramingError::RepeatedLength);
    }
    let value = fields
        .first(bytes, FieldName::ContentLength)
        .unwrap_or_default();
    parse_length(value)
        .map(Framing::Length)
        .ok_or(FramingError::BadLength)
}

/// `Content-Length = 1*DIGIT` (RFC 9110 §8.6), at most [`LENGTH_MAX`]. Digit by digit: what the library calls a
/// number may begin with `+`.
pub fn parse_length(value: &[u8]) -> Option<u64> {
    if value.is_empty() {
        return None;
    }
    value.iter().try_fold(0u64, |length, octet| {
        let digit = octet.wrapping_sub(b'0');
        let longer = length.checked_mul(10)?.checked_add(u64::from(digit))?;
        (digit < 10 && longer <= LENGTH_MAX).then_some(longer)
    })
}

fn of_coding(fields: &Fields, bytes: &[u8], version: Version) -> Result<Framing, FramingError> {
    match version {
        Version::Http10 => return Err(FramingError::CodingInHttp10),
        Version::Http11 => {}
    }
    if fields.count(FieldName::TransferEncoding) > 1 {
        return Err(FramingError::RepeatedCoding);
    }
    let value = fields
        .first(bytes, FieldName::TransferEncoding)
        .unwrap_or_default();
    if value.eq_ignore_ascii_case(b"chunked") {
        Ok(Framing::Chunked)
    } else {
        Err(coding_fault(value))
    }
}

/// Why `value` is not the one word.
#[cold]
fn coding_fault(value: &[u8]) -> FramingError {
    let is_chunked = |member: &&[u8]| member.eq_ignore_ascii_case(b"chunked");
    let members = list_members(value).count();
    match list_members(value).filter(is_chunked).count() {
        0 => FramingError::UnknownCoding,
        1 if members == 1 => FramingError::BadCoding,
        1 if list_members(value).last().as_ref().is_some_and(is_chunked) => {
            FramingError::UnknownCoding
        }
        1 => FramingError::ChunkedNotFinal,
        2.. => FramingError::RepeatedCoding,
    }
}

impl FramingError {
    /// What the sender of such a request is answered. (A response refused for the same is always a 502.)
    pub fn status(self) -> Status {
        match self {
            Self::LengthAndCoding
            | Self::BadLength
            | Self::RepeatedLength
            | Self::CodingInHttp10
            | Self::RepeatedCoding
            | Self::ChunkedNotFinal
            | Self::BadCoding => Status::BAD_REQUEST,
            Self::UnknownCoding => Status::NOT_IMPLEMENTED,
        }
    }

    /// The name in log and metric.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::LengthAndCoding => "length_and_coding",
            Self::BadLength => "bad_length",
            Self::RepeatedLength => "repeated_length",
            Self::CodingInHttp10 => "coding_in_http10",
            Self::RepeatedCoding => "repeated_coding",
            Self::ChunkedNotFinal => "chunked_not_final",
            Self::BadCoding => "bad_coding",
            Self::UnknownCoding => "unknown_coding",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::FramingError::*;
    use super::*;
    use crate::h1::field_lines::{HeadLimits, Progress};
    use crate::h1::request::RequestParser;
    use crate::h1::response::ResponseParser;

    #[track_caller]
    fn request(start: &str, lines: &str) -> Result<Framing, FramingError> {
        let text = format!("{start}\r\nHost: a.test\r\n{lines}\r\n");
        let mut parser = RequestParser::new();
        assert_eq!(
            parser.parse(text.as_bytes(), &HeadLimits::default()),
            Ok(Progress::Complete)
        );
        of_request(&parser.head, text.as_bytes())
    }

    #[track_caller]
    fn check(lines: &str, expected: Result<Framing, FramingError>) {
        assert_eq!(request("POST / HTTP/1.1", lines), expected, "{lines:?}");
        // Framing does not depend on the method...
        assert_eq!(
            request("GET / HTTP/1.1", lines),
            expected,
            "{lines:?} of a GET"
        );
        assert_eq!(
            request("HEAD / HTTP/1.1", lines),
            expected,
            "{lines:?} of a HEAD"
        );
        // ...nor on other fields, nor on the order of lines.
        let mut turned: Vec<&str> = lines.split_inclusive("\r\n").collect();
        turned.reverse();
        assert_eq!(
            request(
                "PUT / HTTP/1.1",
                &format!("X: y\r\n{}A: b\r\n", turned.concat())
            ),
            expected
        );
    }

    #[track_caller]
    fn check_http10(lines: &str, expected: Result<Framing, FramingError>) {
        assert_eq!(request("POST / HTTP/1.0", lines), expected);
    }

    #[test]
    #[rustfmt::skip]
    fn request_framing() {
        check("",                                                              Ok(Framing::None));
        check("Content-Length: 0\r\n",                                         Ok(Framing::Length(0))); // FR-52
        check("Content-Length: 5\r\n",                                         Ok(Framing::Length(5))); // FR-48
        check("content-length:\t5 \r\n",                                       Ok(Framing::Length(5)));
        check("Content-Length: 0005\r\n",                                      Ok(Framing::Length(5))); // FR-42
        check("Content-Length: 9223372036854775806\r\n",                       Ok(Framing::Length(LENGTH_MAX - 1)));
        check("Content-Length: 9223372036854775807\r\n",                       Ok(Framing::Length(LENGTH_MAX)));
        check("Transfer-Encoding: chunked\r\n",                                Ok(Framing::Chunked));
        check("TRANSFER-ENCODING:\tChUnKeD \r\n",                              Ok(Framing::Chunked)); // FR-22
        check("Transfer_Encoding: chunked\r\n",                                Ok(Framing::None)); // LN-41
        check("Transfer_Encoding: chunked\r\nContent-Length: 5\r\n",           Ok(Framing::Length(5))); // LN-41
        check("Connection: Content-Length\r\nContent-Length: 36\r\n",          Ok(Framing::Length(36))); // FR-50

        check("Content-Length: 6\r\nTransfer-Encoding: chunked\r\n",           Err(LengthAndCoding)); // FR-01, FR-02
        check("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",  Err(RepeatedCoding)); // FR-04
        check("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\nContent-Length: 5\r\n",
                                                                               Err(LengthAndCoding)); // FR-05
        check("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", Err(RepeatedCoding));
        check("Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n",     Err(RepeatedCoding));
        check("Transfer-Encoding: chunked, identity\r\n",                      Err(ChunkedNotFinal)); // FR-07
        check("Transfer-Encoding: chunked, gzip\r\n",                          Err(ChunkedNotFinal));
        check("Transfer-Encoding: chunked, chunked\r\n",                       Err(RepeatedCoding));
        check("Transfer-Encoding: xchunked\r\nContent-Length: 5\r\n",          Err(LengthAndCoding)); // FR-08
        check("Transfer-Encoding: xchunked\r\n",                               Err(UnknownCoding));
        check("Transfer-Encoding: chunkedx\r\n",                               Err(UnknownCoding));
        check("Transfer-Encoding: ,chunked\r\nContent-Length: 5\r\n",          Err(LengthAndCoding)); // FR-09
        check("Transfer-Encoding: ,chunked\r\n",                               Err(BadCoding));
        check("Transfer-Encoding: chunked,\r\n",                               Err(BadCoding));
        check("Transfer-Encoding: \u{a0}chunked\u{a0}\r\n",                    Err(UnknownCoding)); // FR-15
        check("Transfer-Encoding: \"chunked\"\r\n",                            Err(UnknownCoding)); // FR-17
        check("Transfer-Encoding: chunked;q=1\r\n",                            Err(UnknownCoding));
        check("Transfer-Encoding: chun ked\r\n",                               Err(UnknownCoding));
        check("Transfer-Encoding: \r\nContent-Length: 5\r\n",                  Err(LengthAndCoding)); // FR-23
        check("Transfer-Encoding:\r\n",                                        Err(UnknownCoding));
        check("Transfer-Encoding: identity\r\n",                               Err(UnknownCoding));
        check("Transfer-Encoding: gzip, chunked\r\n",                          Err(UnknownCoding));

        check("Content-Length: 5\r\nContent-Length: 6\r\n",                    Err(RepeatedLength)); // FR-30
        check("Content-Length: 5\r\nContent-Length: 5\r\n",                    Err(RepeatedLength)); // FR-31
        check("Content-Length: \r\nContent-Length: 31\r\n",                    Err(RepeatedLength)); // FR-38
        check("Content-Length: 5, 6\r\n",                                      Err(BadLength)); // FR-33
        check("Content-Length: 5, 5\r\n",                                      Err(BadLength));
        check("Content-Length: +5\r\n",                                        Err(BadLength)); // FR-34
        check("Content-Length: -1\r\n",                                        Err(BadLength)); // FR-35
        check("Content-Length: 0x5\r\n",                                       Err(BadLength)); // FR-36
        check("Content-Length: 5_0\r\n",                                       Err(BadLength));
        check("Content-Length: 5 0\r\n",                                       Err(BadLength));
        check("Content-Length: 5.0\r\n",                                       Err(BadLength));
        check("Content-Length: five\r\n",                                      Err(BadLength));
        check("Content-Length: \u{ff15}\r\n",                                  Err(BadLength));
        check("Content-Length: \r\n",                                          Err(BadLength)); // FR-39
        check("Content-Length: 9223372036854775808\r\n",                       Err(BadLength));
        check("Content-Length: 18446744073709551615\r\n",                      Err(BadLength));
        check("Content-Length: 18446744073709551621\r\n",                      Err(BadLength)); // FR-40
        check("Content-Length: 99999999999999999999999999\r\n",                Err(BadLength));
    }

    #[test]
    #[rustfmt::skip]
    fn http10_requests_have_no_coding() {
        check_http10("",                                                       Ok(Framing::None)); // FR-26
        check_http10("Content-Length: 5\r\n",                                  Ok(Framing::Length(5)));
        check_http10("Transfer-Encoding: chunked\r\n",                         Err(CodingInHttp10)); // FR-24
        check_http10("Transfer-Encoding: gzip\r\n",                            Err(CodingInHttp10));
        check_http10("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",    Err(LengthAndCoding));
    }

    #[track_caller]
    fn check_response(
        method: Method,
        start: &str,
        lines: &str,
        expected: Result<Framing, FramingError>,
    ) {
        let text = format!("{start}\r\n{lines}\r\n");
        let mut parser = ResponseParser::new();
        assert_eq!(
            parser.parse(text.as_bytes(), &HeadLimits::default()),
            Ok(Progress::Complete)
        );
        assert_eq!(of_response(method, &parser.head, text.as_bytes()), expected);
    }

    #[test]
    #[rustfmt::skip]
    fn response_framing() {
        use Method::*;
        let both = "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n";
        check_response(Get,     "HTTP/1.1 200 OK",  "",                                 Ok(Framing::UntilClose));
        check_response(Get,     "HTTP/1.0 200 OK",  "",                                 Ok(Framing::UntilClose));
        check_response(Get,     "HTTP/1.1 200 OK",  "Content-Length: 2\r\n",            Ok(Framing::Length(2)));
        check_response(Post,    "HTTP/1.0 200 OK",  "Content-Length: 0\r\n",            Ok(Framing::Length(0)));
        check_response(Get,     "HTTP/1.1 404 No",  "Transfer-Encoding: CHUNKED\r\n",   Ok(Framing::Chunked));
        check_response(Other,   "HTTP/1.1 205 No",  "Content-Length: 0\r\n",            Ok(Framing::Length(0)));
        // Without a body by method or status, whatever the fields say.
        check_response(Head,    "HTTP/1.1 200 OK",  "Content-Length: 4\r\n",            Ok(Framing::None)); // RS-03
        check_response(Head,    "HTTP/1.1 200 OK",  "Transfer-Encoding: chunked\r\n",   Ok(Framing::None));
        check_response(Head,    "HTTP/1.1 200 OK",  "",                                 Ok(Framing::None));
        check_response(Get,     "HTTP/1.1 204 No",  "Content-Length: 68\r\n",           Ok(Framing::None)); // RS-05
        check_response(Get,     "HTTP/1.1 304 No",  "Content-Length: 68\r\n",           Ok(Framing::None));
        check_response(Get,     "HTTP/1.1 304 No",  "",                                 Ok(Framing::None));
        check_response(Get,     "HTTP/1.1 100 Go",  "",                                 Ok(Framing::None)); // RS-07
        check_response(Get,     "HTTP/1.1 101 Go",  "Upgrade: websocket\r\n",           Ok(Framing::None));
        check_response(Connect, "HTTP/1.1 200 OK",  "",                                 Ok(Framing::None));
        check_response(Connect, "HTTP/1.1 403 No",  "Content-Length: 2\r\n",            Ok(Framing::Length(2)));
        // In doubt, with a body or without.
        check_response(Get,     "HTTP/1.1 200 OK",  both,                               Err(LengthAndCoding)); // RS-12
        check_response(Head,    "HTTP/1.1 200 OK",  both,                               Err(LengthAndCoding));
        check_response(Get,     "HTTP/1.1 304 No",  both,                               Err(LengthAndCoding));
        check_response(Get,     "HTTP/1.1 200 OK",  "Content-Length: 2\r\nContent-Length: 44\r\n", Err(RepeatedLength)); // RS-10
        check_response(Get,     "HTTP/1.1 200 OK",  "Content-Length: 2\r\nContent-Length: 2\r\n",  Err(RepeatedLength));
        check_response(Get,     "HTTP/1.1 200 OK",  "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
                                                                                        Err(RepeatedCoding)); // RS-14
        check_response(Get,     "HTTP/1.1 200 OK",  "Content-Length: -1\r\n",           Err(BadLength)); // RS-16
        check_response(Head,    "HTTP/1.1 200 OK",  "Content-Length: -1\r\n",           Err(BadLength));
        check_response(Get,     "HTTP/1.0 200 OK",  "Transfer-Encoding: chunked\r\n",   Err(CodingInHttp10));
        check_response(Get,     "HTTP/1.1 200 OK",  "Transfer-Encoding: gzip, chunked\r\n", Err(UnknownCoding));
        check_response(Get,     "HTTP/1.1 200 OK",  "Transfer-Encoding: identity\r\n",  Err(UnknownCoding));
    }

    #[test]
    fn each_fault_earns_its_status() {
        for error in [
            LengthAndCoding,
            BadLength,
            RepeatedLength,
            CodingInHttp10,
            RepeatedCoding,
            ChunkedNotFinal,
            BadCoding,
        ] {
            assert_eq!(error.status(), Status::BAD_REQUEST, "{}", error.as_str());
        }
        assert_eq!(UnknownCoding.status(), Status::NOT_IMPLEMENTED);
    }
}
