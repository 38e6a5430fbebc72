//! Request line and field section → [`RequestHead`] (RFC 9112 §3).
//!
//! ```text
//! request      = [ CRLF ] request-line CRLF *( field-line CRLF ) CRLF
//! request-line = method SP request-target SP HTTP-version
//! ```
//!
//! Where RFC 9112 §3 lets a recipient be lenient (any white space between the three, bare LF, a version in
//! lower case), nothing is: the next reader may be lenient in another way. The target is checked octet by octet;
//! what form it has, and whether that suits the method, is `http::target`'s to say.

use super::error::{ParseError, ParseErrorKind};
use super::field_lines::{HeadLimits, Place, Progress, parse_field_lines};
use super::scan;
use crate::http::chars;
use crate::http::fields::Span;
use crate::http::message::{RequestHead, Version};
use crate::http::method::Method;

/// Octets of a request line with its CRLF (and the empty line before it, if there is one). RFC 9112 §3 asks for at
/// least 8000; longer ones are attacks or mistakes, and most origins refuse them too.
pub const REQUEST_LINE_BYTES_MAX: usize = 8 * 1024;

/// Octets of a method. The longest registered one has 17 (`UPDATEREDIRECTREF`).
pub const METHOD_BYTES_MAX: usize = 32;

/// Reads one request head, however many pieces it comes in.
///
/// ```text
/// RequestLine ──line──► FieldLines ──empty line──► Complete ──reset()──► RequestLine
/// ```
#[derive(Debug, Default)]
pub struct RequestParser {
    /// Filled in when [`Progress::Complete`] has been answered; half-filled before.
    pub head: RequestHead,
    stage: Stage,
    /// Behind the request line; until that is complete, at the first octet.
    place: Place,
}

#[derive(Clone, Copy, Debug, Default)]
enum Stage {
    #[default]
    RequestLine,
    FieldLines,
    Complete,
}

impl RequestParser {
    /// A parser at the beginning of a message.
    pub fn new() -> RequestParser {
        RequestParser::default()
    }

    /// Back to the beginning of a message; memory is kept.
    pub fn reset(&mut self) {
        self.head.clear();
        self.stage = Stage::RequestLine;
        self.place = Place::default();
    }

    /// Goes on where it stood.
    ///
    /// `bytes` holds the message from its first octet, all that has come so far and maybe more than the head. From
    /// call to call it may grow and move, but not change. After `Complete` or an error the same answer is
    /// given again until [`reset`](Self::reset).
    ///
    /// # Errors
    ///
    /// No octets to come can make this head valid; see [`ParseErrorKind`]. `HeadTooLarge` is reported as soon as
    /// `limits.head_bytes` octets are there and the head is not complete, so that a buffer of that size
    /// never waits in vain.
    #[inline]
    pub fn parse(&mut self, bytes: &[u8], limits: &HeadLimits) -> Result<Progress, ParseError> {
        let window = &bytes[..bytes.len().min(limits.head_bytes)];
        if let Stage::RequestLine = self.stage {
            let line = &window[..window.len().min(REQUEST_LINE_BYTES_MAX)];
            match parse_request_line(line, &mut self.head)? {
                Some(line_end) => self.place = Place::at(line_end),
                None if line.len() == REQUEST_LINE_BYTES_MAX => {
                    return Err(ParseErrorKind::RequestLineTooLong.at(line.len()));
                }
                None => return limits.incomplete(window),
            }
            self.stage = Stage::FieldLines;
        }
        if let Stage::FieldLines = self.stage {
            let fields = &mut self.head.fields;
            match parse_field_lines(window, &mut self.place, fields, limits.fields)? {
                Progress::Complete => {}
                Progress::Incomplete => return limits.incomplete(window),
            }
            self.head.length = self.place.line_start;
            self.stage = Stage::Complete;
        }
        Ok(Progress::Complete)
    }
}

/// The index behind the line's CRLF, once that is there.
#[inline]
fn parse_request_line(bytes: &[u8], head: &mut RequestHead) -> Result<Option<usize>, ParseError> {
    let Some((method, method_token)) = parse_method(bytes)? else {
        return Ok(None);
    };
    let target_start = method_token.end() + 1;
    let target_end = scan::target_end(bytes, target_start);
    match bytes.get(target_end) {
        Some(b' ') if target_end > target_start => {}
        Some(b'\n') => return Err(ParseErrorKind::BareLf.at(target_end)),
        Some(b'\r') => return Err(ParseErrorKind::MissingVersion.at(target_end)),
        Some(_) => return Err(ParseErrorKind::BadTarget.at(target_end)),
        None => return Ok(None),
    }

    let Some((version, line_end)) = parse_line_end(bytes, target_end + 1)? else {
        return Ok(None);
    };
    head.method = method;
    head.method_token = method_token;
    head.target = Span::new(target_start, target_end);
    head.version = version;
    Ok(Some(line_end))
}

/// The method; SP has been seen behind it.
#[inline]
fn parse_method(bytes: &[u8]) -> Result<Option<(Method, Span)>, ParseError> {
    // Most requests are of one method; for it, one comparison does what stands below.
    if bytes.first_chunk() == Some(b"GET ") {
        return Ok(Some((Method::Get, Span::new(0, 3))));
    }
    let Some(start) = skip_empty_line(bytes)? else {
        return Ok(None);
    };
    let end = scan::token_end(bytes, start);
    if end - start > METHOD_BYTES_MAX {
        return Err(ParseErrorKind::MethodTooLong.at(start + METHOD_BYTES_MAX));
    }
    match bytes.get(end) {
        Some(b' ') if end > start => Ok(Some((
            Method::of(&bytes[start..end]),
            Span::new(start, end),
        ))),
        Some(b'\n') => Err(ParseErrorKind::BareLf.at(end)),
        Some(_) => Err(ParseErrorKind::BadMethod.at(end)),
        None => Ok(None),
    }
}

/// Where the request line begins: behind one empty line, if there is one. "a server that is expecting to receive and
/// parse a request-line SHOULD ignore at least one empty line (CRLF)" (RFC 9112 §2.2): some old clients end
/// a body so. More of them are a way to keep us busy.
#[inline]
fn skip_empty_line(bytes: &[u8]) -> Result<Option<usize>, ParseError> {
    match bytes {
        [b'\r', b'\n', b'\r', ..] => Err(ParseErrorKind::TooManyLeadingLines.at(2)),
        [b'\r', b'\n', ..] => Ok(Some(2)),
        [b'\r', _, ..] => Err(ParseErrorKind::BareCr.at(0)),
        [] | [b'\r'] => Ok(None),
        [_, ..] => Ok(Some(0)),
    }
}

/// `HTTP-version CRLF`, and the index behind it.
#[inline]
fn parse_line_end(bytes: &[u8], start: usize) -> Result<Option<(Version, usize)>, ParseError> {
    let Some((version, end)) = parse_version(bytes, start)? else {
        return Ok(None);
    };
    match (bytes.get(end), bytes.get(end + 1)) {
        (Some(b'\r'), Some(b'\n')) => Ok(Some((version, end + 2))),
        (Some(b'\r'), Some(_)) => Err(ParseErrorKind::BareCr.at(end)),
        (Some(b'\n'), _) => Err(ParseErrorKind::BareLf.at(end)),
        (None, _) | (Some(b'\r'), None) => Ok(None),
        (Some(_), _) => Err(ParseErrorKind::BadVersion.at(end)),
    }
}

/// `HTTP-version = "HTTP" "/" DIGIT "." DIGIT` (RFC 9112 §2.3), case-sensitive; and the index behind it.
///
/// Any version but 1.0 and 1.1 is refused, a higher minor one too, which RFC 9110 §2.5 would have us read as
/// 1.1: nobody sends it in earnest.
#[inline]
pub(super) fn parse_version(
    bytes: &[u8],
    start: usize,
) -> Result<Option<(Version, usize)>, ParseError> {
    let end = start + b"HTTP/1.1".len();
    let text = bytes.get(start..end);
    if text == Some(b"HTTP/1.1") {
        return Ok(Some((Version::Http11, end)));
    }
    if text == Some(b"HTTP/1.0") {
        return Ok(Some((Version::Http10, end)));
    }
    match version_fault(bytes, start) {
        Some(fault) => Err(fault),
        None => Ok(None),
    }
}

/// What is wrong with the version at `start`, if that can be said already.
#[cold]
fn version_fault(bytes: &[u8], start: usize) -> Option<ParseError> {
    for (offset, octet) in bytes.iter().enumerate().skip(start) {
        let expected = match offset - start {
            index @ 0..5 => *octet == b"HTTP/"[index],
            5 | 7 => chars::is_digit(*octet),
            6 => *octet == b'.',
            8.. => break,
        };
        if *octet == b'\n' {
            return Some(ParseErrorKind::BareLf.at(offset));
        }
        if !expected {
            return Some(ParseErrorKind::BadVersion.at(offset));
        }
        let is_known = match offset - start {
            5 => *octet == b'1',
            7 => matches!(octet, b'0' | b'1'),
            _ => true,
        };
        if !is_known {
            return Some(ParseErrorKind::UnsupportedVersion.at(offset));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::h1::splits::every_prefix;
    use ParseErrorKind::*;

    const LIMITS: HeadLimits = HeadLimits {
        head_bytes: 64 * 1024,
        fields: 128,
    };

    /// What a complete head says, in text: `Get GET /path Http11 Name=value ... length`.
    fn shown(head: &RequestHead, bytes: &[u8]) -> String {
        let text = |span: Span| span.of(bytes).escape_ascii().to_string();
        let start = format!(
            "{:?} {} {} {:?}",
            head.method,
            text(head.method_token),
            text(head.target),
            head.version
        );
        let lines = head
            .fields
            .iter()
            .map(|line| format!(" {}={}", text(line.name), text(line.value)));
        start + &lines.collect::<String>() + &format!(" {}", head.length)
    }

    fn parse(text: &[u8], limits: &HeadLimits) -> Option<Result<String, (ParseErrorKind, usize)>> {
        every_prefix(text, RequestParser::new, |parser, bytes| {
            let answer = match parser.parse(bytes, limits) {
                Ok(Progress::Incomplete) => None,
                Ok(Progress::Complete) => Some(Ok(shown(&parser.head, bytes))),
                Err(error) => Some(Err((error.kind, error.offset))),
            };
            if answer.is_some() {
                let again = parser
                    .parse(bytes, limits)
                    .map_err(|error| (error.kind, error.offset));
                assert_eq!(
                    again.map(|_| shown(&parser.head, bytes)),
                    answer.clone().expect("is some")
                );
            }
            answer
        })
    }

    #[track_caller]
    fn check(text: &[u8], expected: &str) {
        assert_eq!(parse(text, &LIMITS), Some(Ok(expected.to_owned())));
    }

    #[track_caller]
    fn check_refused(text: &[u8], kind: ParseErrorKind, offset: usize) {
        assert_eq!(parse(text, &LIMITS), Some(Err((kind, offset))));
        for more in [b"\r\n\r\n".as_slice(), b"\n", b" HTTP/1.1\r\n\r\n", b"\0"] {
            assert_eq!(
                parse(&[text, more].concat(), &LIMITS),
                Some(Err((kind, offset)))
            );
        }
    }

    #[track_caller]
    fn check_incomplete(text: &[u8]) {
        assert_eq!(parse(text, &LIMITS), None);
    }

    #[test]
    #[rustfmt::skip]
    fn reads_heads() {
        check(b"GET / HTTP/1.1\r\n\r\n",                          "Get GET / Http11 18");
        check(b"GET / HTTP/1.0\r\n\r\n",                          "Get GET / Http10 18");
        check(b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n",          "Get GET / Http11 Host=a.test 32");
        check(b"\r\nGET / HTTP/1.1\r\nHost: a.test\r\n\r\n",      "Get GET / Http11 Host=a.test 34"); // LN-06
        check(b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\nGET /b HTT", "Get GET / Http11 Host=a.test 32"); // HB-14
        check(b"OPTIONS * HTTP/1.1\r\n\r\n",                      "Options OPTIONS * Http11 22");
        check(b"get / HTTP/1.1\r\n\r\n",                          "Other get / Http11 18");
        check(b"M-SEARCH * HTTP/1.1\r\n\r\n",                     "Other M-SEARCH * Http11 23");
        check(b"GET http://a.test/x HTTP/1.1\r\n\r\n",            "Get GET http://a.test/x Http11 32"); // HO-15
        check(b"CONNECT a.test:443 HTTP/1.1\r\n\r\n",             "Connect CONNECT a.test:443 Http11 31"); // HO-22
        check(b"GET /a?b=[c]|{d}^\"e\\`<f> HTTP/1.1\r\n\r\n", "Get GET /a?b=[c]|{d}^\\\"e\\\\`<f> Http11 37");
        check(b"GET /%0d%0aSet-Cookie:x HTTP/1.1\r\n\r\n",        "Get GET /%0d%0aSet-Cookie:x Http11 36"); // PA-09
        check(b"POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 38\r\n\r\nGET /evil HTTP/1.1\r\nHost: a.test\r\nX: y",
              "Post POST / Http11 Host=a.test Content-Length=38 53"); // FR-49: what is body is not read as head
    }

    #[test]
    #[rustfmt::skip]
    fn refuses_faults_at_their_octet() {
        //             request                                    kind                offset
        check_refused(b"\n",                                      BareLf,              0);
        check_refused(b"\r\n\n",                                  BareLf,              2);
        check_refused(b"\rG",                                     BareCr,              0);
        check_refused(b"\r\n\r",                                  TooManyLeadingLines, 2); // LN-07
        check_refused(b"\r\n\rG",                                 TooManyLeadingLines, 2);
        check_refused(b" GET",                                    BadMethod,           0); // LN-17
        check_refused(b"\r\n GET",                                BadMethod,           2);
        check_refused(b"G@T",                                     BadMethod,           1); // LN-23
        check_refused(b"GET\t/",                                  BadMethod,           3);
        check_refused(b"GET\r",                                   BadMethod,           3);
        check_refused(b"GET\n",                                   BareLf,              3);
        check_refused(b"G\0",                                     BadMethod,           1);
        check_refused(b"\x16\x03\x01\x02\x00\x01\x00",            BadMethod,           0); // LN-43
        check_refused(b"GET  ",                                   BadTarget,           4); // LN-15
        check_refused(b"GET \t",                                  BadTarget,           4);
        check_refused(b"GET /\t",                                 BadTarget,           5);
        check_refused(b"GET /\0",                                 BadTarget,           5); // LN-20
        check_refused(b"GET /a\x7f",                              BadTarget,           6);
        check_refused(b"GET /#",                                  BadTarget,           5); // LN-22
        check_refused(b"GET /caf\xc3",                            BadTarget,           8);
        check_refused(b"GET /\r",                                 MissingVersion,      5); // LN-09
        check_refused(b"GET \r",                                  MissingVersion,      4);
        check_refused(b"GET /\n",                                 BareLf,              5);
        check_refused(b"GET /a b",                                BadVersion,          7); // LN-19
        check_refused(b"GET /  ",                                 BadVersion,          6);
        check_refused(b"GET / \r",                                BadVersion,          6);
        check_refused(b"GET / h",                                 BadVersion,          6); // LN-14
        check_refused(b"GET / HTTP/1.1 ",                         BadVersion,         14);
        check_refused(b"GET / HTTP/1.10",                         BadVersion,         14);
        check_refused(b"GET / HTTP/1,",                           BadVersion,         12);
        check_refused(b"GET / HTTP/x",                            BadVersion,         11);
        check_refused(b"GET / HTTP/1.x",                          BadVersion,         13);
        check_refused(b"GET / HTTP\\",                           BadVersion,         10);
        check_refused(b"GET / HTTPS",                             BadVersion,         10);
        check_refused(b"GET / HTTP/2",                            UnsupportedVersion, 11); // LN-11
        check_refused(b"GET / HTTP/0",                            UnsupportedVersion, 11);
        check_refused(b"GET / HTTP/1.2",                          UnsupportedVersion, 13); // LN-12
        check_refused(b"PRI * HTTP/2.0",                          UnsupportedVersion, 11); // LN-42
        check_refused(b"GET / HTTP/1\n",                          BareLf,             12);
        check_refused(b"GET / HTTP/1.1\n",                        BareLf,             14); // LN-01
        check_refused(b"GET / HTTP/1.1\r\r",                      BareCr,             14);
        check_refused(b"GET / HTTP/1.1\rX",                       BareCr,             14);
        check_refused(b"GET / HTTP/1.1\r\n H",                    LeadingSpace,       16); // LN-08
        check_refused(b"GET / HTTP/1.1\r\nHost: a.test\r\n\rX",  BareCr,             30); // LN-03
        check_refused(b"GET / HTTP/1.1\r\nHost: a.te\0",          BadValue,           26); // HO-09
    }

    #[test]
    #[rustfmt::skip]
    fn asks_for_more() {
        check_incomplete(b"");
        check_incomplete(b"\r");
        check_incomplete(b"\r\n");
        check_incomplete(b"G");
        check_incomplete(b"GET ");
        check_incomplete(b"GET /");
        check_incomplete(b"GET / ");
        check_incomplete(b"GET / HTTP/1.");
        check_incomplete(b"GET / HTTP/1.1");
        check_incomplete(b"GET / HTTP/1.1\r");
        check_incomplete(b"GET / HTTP/1.1\r\n");
        check_incomplete(b"GET / HTTP/1.1\r\nHost: a.test\r\n");
        check_incomplete(b"GET / HTTP/1.1\r\nHost: a.test\r\n\r");
    }

    #[test]
    fn bounds_the_method() {
        let request = |octets: usize| format!("{} / HTTP/1.1\r\n\r\n", "M".repeat(octets));
        let expected = format!("Other {} / Http11 47", "M".repeat(32));
        check(
            request(31).as_bytes(),
            &format!("Other {} / Http11 46", "M".repeat(31)),
        );
        check(request(METHOD_BYTES_MAX).as_bytes(), &expected);
        check_refused(request(33).as_bytes(), MethodTooLong, 32);
        check_refused(&[b'M'; 33], MethodTooLong, 32);
        check_incomplete(&[b'M'; 32]);
    }

    /// Whole only: every split of 8 KiB is 64 M octets.
    fn parse_whole(text: &str, limits: &HeadLimits) -> Result<Progress, ParseError> {
        RequestParser::new().parse(text.as_bytes(), limits)
    }

    #[test]
    fn bounds_the_request_line() {
        // Around the target stand 15 octets: "GET ", " HTTP/1.1", CRLF.
        let line = |octets: usize| format!("GET /{} HTTP/1.1\r\n", "a".repeat(octets - 16));
        let limits = HeadLimits::default();
        let refused = Err(RequestLineTooLong.at(REQUEST_LINE_BYTES_MAX));
        assert_eq!(
            parse_whole(&(line(REQUEST_LINE_BYTES_MAX - 1) + "\r\n"), &limits),
            Ok(Progress::Complete)
        );
        assert_eq!(
            parse_whole(&(line(REQUEST_LINE_BYTES_MAX) + "\r\n"), &limits),
            Ok(Progress::Complete)
        );
        assert_eq!(
            parse_whole(&line(REQUEST_LINE_BYTES_MAX + 1), &limits),
            refused
        );
        assert_eq!(parse_whole(&line(70_000), &limits), refused); // LN-24
        let prefix = &line(70_000)[..REQUEST_LINE_BYTES_MAX];
        assert_eq!(parse_whole(prefix, &limits), refused);
        assert_eq!(parse_whole(&prefix[1..], &limits), Ok(Progress::Incomplete));
    }

    #[test]
    fn bounds_the_head() {
        let text = b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n"; // 32 octets
        let limits = |head_bytes| HeadLimits {
            head_bytes,
            fields: 1,
        };
        assert!(matches!(parse(text, &limits(33)), Some(Ok(_))));
        assert!(matches!(parse(text, &limits(32)), Some(Ok(_))));
        for head_bytes in 0..32 {
            assert_eq!(
                parse(text, &limits(head_bytes)),
                Some(Err((HeadTooLarge, head_bytes)))
            );
        }
        // A fault before the limit comes first.
        assert_eq!(
            parse(b"GET / HTTP/1.1\r\nHost: a\0", &limits(32)),
            Some(Err((BadValue, 23)))
        );
        let long = format!("GET / HTTP/1.1\r\nX: {}", "a".repeat(70_000)); // LN-26
        assert_eq!(
            parse_whole(&long, &HeadLimits::default()),
            Err(HeadTooLarge.at(HeadLimits::default().head_bytes))
        );
    }

    #[test]
    fn bounds_the_field_lines() {
        let head = |count: usize| format!("GET / HTTP/1.1\r\n{}\r\n", "X: y\r\n".repeat(count));
        let limits = HeadLimits::default();
        assert_eq!(parse_whole(&head(127), &limits), Ok(Progress::Complete));
        assert_eq!(parse_whole(&head(128), &limits), Ok(Progress::Complete));
        assert_eq!(
            parse_whole(&head(129), &limits),
            Err(TooManyFields.at(16 + 128 * 6))
        );
        assert_eq!(
            parse_whole(&head(500), &limits),
            Err(TooManyFields.at(16 + 128 * 6))
        ); // LN-27
    }

    #[test]
    fn starts_afresh_after_a_reset() {
        let mut parser = RequestParser::new();
        let first = b"POST /a HTTP/1.0\r\nA: b\r\n\r\n";
        assert_eq!(parser.parse(first, &LIMITS), Ok(Progress::Complete));
        parser.reset();
        let second = b"GET /b HTTP/1.1\r\nC: d\r\n\r\n";
        assert_eq!(
            parser.parse(&second[..20], &LIMITS),
            Ok(Progress::Incomplete)
        );
        parser.reset();
        assert_eq!(parser.parse(second, &LIMITS), Ok(Progress::Complete));
        assert_eq!(shown(&parser.head, second), "Get GET /b Http11 C=d 25");
    }

    /// What we accept httparse accepts, and reads in the same way.
    #[track_caller]
    fn check_like_httparse(text: &[u8]) {
        let mut parser = RequestParser::new();
        let Ok(Progress::Complete) = parser.parse(text, &LIMITS) else {
            return;
        };
        let mut lines = [httparse::EMPTY_HEADER; 200];
        let mut theirs = httparse::Request::new(&mut lines);
        let head = &parser.head;
        assert_eq!(
            theirs.parse(text),
            Ok(httparse::Status::Complete(head.length))
        );
        assert_eq!(
            theirs.method.map(str::as_bytes),
            Some(head.method_token.of(text))
        );
        assert_eq!(theirs.path.map(str::as_bytes), Some(head.target.of(text)));
        assert_eq!(
            theirs.version,
            Some(u8::from(head.version == Version::Http11))
        );
        let ours = head
            .fields
            .iter()
            .map(|line| (line.name.of(text), line.value.of(text)));
        assert!(
            ours.eq(theirs
                .headers
                .iter()
                .map(|line| (line.name.as_bytes(), line.value)))
        );
    }

    #[test]
    fn accepts_no_octet_that_httparse_refuses() {
        let text = b"GET /a HTTP/1.1\r\nHost: a.test\r\nX-A: b c\r\n\r\n";
        check_like_httparse(text);
        for place in 0..text.len() {
            for octet in 0..=u8::MAX {
                let mut changed = *text;
                changed[place] = octet;
                check_like_httparse(&changed);
                check_like_httparse(&[&text[..place], &[octet], &text[place..]].concat());
            }
            check_like_httparse(&[&text[..place], &text[place + 1..]].concat());
        }
    }
}
