//! Status line and field section → [`ResponseHead`] (RFC 9112 §4).
//!
//! ```text
//! response    = status-line CRLF *( field-line CRLF ) CRLF
//! status-line = HTTP-version SP status-code [ SP [ reason-phrase ] ]
//! ```
//!
//! As strict as for requests, since what an upstream says decides where its next response begins. One leniency:
//! the SP after the status code may be missing together with the reason phrase, because many servers
//! leave it out and no reader takes it for anything else. No empty line may precede a response: octets
//! that nobody asked for are a reason to drop the connection (RFC 9112 §9.2).

use super::error::{ParseError, ParseErrorKind};
use super::field_lines::{HeadLimits, Place, Progress, parse_field_lines};
use super::request;
use super::scan::Unusual;
use crate::http::chars;
use crate::http::fields::Span;
use crate::http::message::ResponseHead;
use crate::http::status::Status;

/// Reads one response head, interim or final, however many pieces it comes in.
///
/// ```text
/// StatusLine ──line──► FieldLines ──empty line──► Complete ──reset()──► StatusLine
/// ```
#[derive(Debug, Default)]
pub struct ResponseParser {
    /// Filled in when [`Progress::Complete`] has been answered; half-filled before.
    pub head: ResponseHead,
    stage: Stage,
    /// Behind the status line; until that is complete, at the first octet.
    place: Place,
}

#[derive(Clone, Copy, Debug, Default)]
enum Stage {
    #[default]
    StatusLine,
    FieldLines,
    Complete,
}

impl ResponseParser {
    /// A parser at the beginning of a message.
    pub fn new() -> ResponseParser {
        ResponseParser::default()
    }

    /// Back to the beginning of a message; memory is kept.
    pub fn reset(&mut self) {
        self.head.clear();
        self.stage = Stage::StatusLine;
        self.place = Place::default();
    }

    /// Goes on where it stood; as [`RequestParser::parse`](request::RequestParser::parse).
    ///
    /// # Errors
    ///
    /// No octets to come can make this head valid: the exchange is a 502 and the connection is lost.
    #[inline]
    pub fn parse(&mut self, bytes: &[u8], limits: &HeadLimits) -> Result<Progress, ParseError> {
        let window = &bytes[..bytes.len().min(limits.head_bytes)];
        if let Stage::StatusLine = self.stage {
            match parse_status_line(window, &mut self.head)? {
                Some(line_end) => self.place = Place::at(line_end),
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
fn parse_status_line(bytes: &[u8], head: &mut ResponseHead) -> Result<Option<usize>, ParseError> {
    let Some((version, version_end)) = request::parse_version(bytes, 0)? else {
        return Ok(None);
    };
    match bytes.get(version_end) {
        Some(b' ') => {}
        Some(b'\n') => return Err(ParseErrorKind::BareLf.at(version_end)),
        Some(_) => return Err(ParseErrorKind::BadVersion.at(version_end)),
        None => return Ok(None),
    }
    let Some((status, status_end)) = parse_status(bytes, version_end + 1)? else {
        return Ok(None);
    };

    // The reason phrase is of the same octets as a field value.
    let reason_start = match bytes.get(status_end) {
        Some(b' ') => status_end + 1,
        Some(b'\r') => status_end,
        Some(b'\n') => return Err(ParseErrorKind::BareLf.at(status_end)),
        Some(_) => return Err(ParseErrorKind::BadStatus.at(status_end)),
        None => return Ok(None),
    };
    let mut unusual = Unusual::new(bytes, reason_start);
    let line_end = loop {
        let control = unusual.take_next();
        match (bytes.get(control), bytes.get(control + 1)) {
            (Some(octet), _) if chars::is_field_vchar(*octet) => {}
            (Some(b'\r'), Some(b'\n')) => break control,
            (None, _) | (Some(b'\r'), None) => return Ok(None),
            (Some(b'\r'), Some(_)) => return Err(ParseErrorKind::BareCr.at(control)),
            (Some(b'\n'), _) => return Err(ParseErrorKind::BareLf.at(control)),
            (Some(_), _) => return Err(ParseErrorKind::BadReason.at(control)),
        }
    };

    head.version = version;
    head.status = status;
    head.reason = Span::new(reason_start, line_end);
    Ok(Some(line_end + 2))
}

/// `status-code = 3DIGIT` from 100 to 599 (RFC 9110 §15: "Values outside the range 100..599 are invalid");
/// and the index behind it.
#[inline]
fn parse_status(bytes: &[u8], start: usize) -> Result<Option<(Status, usize)>, ParseError> {
    let mut code = 0;
    for offset in start..start + 3 {
        let Some(octet) = bytes.get(offset) else {
            return Ok(None);
        };
        let is_in_range = offset > start || matches!(octet, b'1'..=b'5');
        if !chars::is_digit(*octet) || !is_in_range {
            let kind = if *octet == b'\n' {
                ParseErrorKind::BareLf
            } else {
                ParseErrorKind::BadStatus
            };
            return Err(kind.at(offset));
        }
        code = code * 10 + u16::from(octet - b'0');
    }
    match Status::new(code) {
        Some(status) => Ok(Some((status, start + 3))),
        None => Err(ParseErrorKind::BadStatus.at(start)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::h1::splits::every_prefix;
    use crate::http::message::Version;
    use ParseErrorKind::*;

    const LIMITS: HeadLimits = HeadLimits {
        head_bytes: 64 * 1024,
        fields: 128,
    };

    fn shown(head: &ResponseHead, bytes: &[u8]) -> String {
        let text = |span: Span| span.of(bytes).escape_ascii().to_string();
        let start = format!(
            "{:?} {} {:?}",
            head.version,
            head.status.code(),
            text(head.reason)
        );
        let lines = head
            .fields
            .iter()
            .map(|line| format!(" {}={}", text(line.name), text(line.value)));
        start + &lines.collect::<String>() + &format!(" {}", head.length)
    }

    fn parse(text: &[u8], limits: &HeadLimits) -> Option<Result<String, (ParseErrorKind, usize)>> {
        every_prefix(text, ResponseParser::new, |parser, bytes| {
            match parser.parse(bytes, limits) {
                Ok(Progress::Incomplete) => None,
                Ok(Progress::Complete) => Some(Ok(shown(&parser.head, bytes))),
                Err(error) => Some(Err((error.kind, error.offset))),
            }
        })
    }

    #[track_caller]
    fn check(text: &[u8], expected: &str) {
        assert_eq!(parse(text, &LIMITS), Some(Ok(expected.to_owned())));
    }

    #[track_caller]
    fn check_refused(text: &[u8], kind: ParseErrorKind, offset: usize) {
        assert_eq!(parse(text, &LIMITS), Some(Err((kind, offset))));
        for more in [
            b"\r\n\r\n".as_slice(),
            b"\n",
            b"HTTP/1.1 200 OK\r\n\r\n",
            b"\0",
        ] {
            assert_eq!(
                parse(&[text, more].concat(), &LIMITS),
                Some(Err((kind, offset)))
            );
        }
    }

    #[test]
    #[rustfmt::skip]
    fn reads_heads() {
        check(b"HTTP/1.1 200 OK\r\n\r\n",                          "Http11 200 \"OK\" 19");
        check(b"HTTP/1.0 404 Not Found\r\n\r\n",                   "Http10 404 \"Not Found\" 26");
        check(b"HTTP/1.1 200 \r\n\r\n",                            "Http11 200 \"\" 17");
        check(b"HTTP/1.1 200\r\n\r\n",                             "Http11 200 \"\" 16");
        check(b"HTTP/1.1 200  a\tb \r\n\r\n",                      "Http11 200 \" a\\\\tb \" 22");
        check(b"HTTP/1.1 200 d\xe9j\xe0\r\n\r\n",                  "Http11 200 \"d\\\\xe9j\\\\xe0\" 21");
        check(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n", "Http11 100 \"Continue\" 25"); // RS-07
        check(b"HTTP/1.1 599 x\r\n\r\n",                           "Http11 599 \"x\" 18");
        check(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\n",
              "Http11 200 \"OK\" Content-Length=2 38"); // RS-01
        check(b"HTTP/1.1 200 OK\r\nConnection: X-Evil\r\nX-Evil: EVIL\r\nContent-Length: 2\r\n\r\nok",
              "Http11 200 \"OK\" Connection=X-Evil X-Evil=EVIL Content-Length=2 72"); // RS-31
    }

    #[test]
    #[rustfmt::skip]
    fn refuses_faults_at_their_octet() {
        //             response                                  kind                offset
        check_refused(b"garbage",                                BadVersion,          0); // RS-23
        check_refused(b"\r",                                     BadVersion,          0); // RS-34
        check_refused(b"\n",                                     BareLf,              0);
        check_refused(b"http/1.1",                               BadVersion,          0);
        check_refused(b"HTTP/1.1\r",                             BadVersion,          8);
        check_refused(b"HTTP/1.1\t",                             BadVersion,          8);
        check_refused(b"HTTP/1.1\n",                             BareLf,              8);
        check_refused(b"HTTP/2",                                 UnsupportedVersion,  5);
        check_refused(b"HTTP/1.2",                               UnsupportedVersion,  7);
        check_refused(b"HTTP/1.1  ",                             BadStatus,           9);
        check_refused(b"HTTP/1.1 20 ",                           BadStatus,          11); // RS-21
        check_refused(b"HTTP/1.1 20\r",                          BadStatus,          11);
        check_refused(b"HTTP/1.1 20\n",                          BareLf,             11);
        check_refused(b"HTTP/1.1 2000",                          BadStatus,          12);
        check_refused(b"HTTP/1.1 200\t",                         BadStatus,          12);
        check_refused(b"HTTP/1.1 200\n",                         BareLf,             12);
        check_refused(b"HTTP/1.1 0",                             BadStatus,           9);
        check_refused(b"HTTP/1.1 6",                             BadStatus,           9);
        check_refused(b"HTTP/1.1 +",                             BadStatus,           9);
        check_refused(b"HTTP/1.1 2x",                            BadStatus,          10);
        check_refused(b"HTTP/1.1 200\rX",                        BareCr,             12);
        check_refused(b"HTTP/1.1 200 OK\rX",                     BareCr,             15);
        check_refused(b"HTTP/1.1 200 OK\n",                      BareLf,             15);
        check_refused(b"HTTP/1.1 200 O\0",                       BadReason,          14);
        check_refused(b"HTTP/1.1 200 O\x1b",                     BadReason,          14);
        check_refused(b"HTTP/1.1 200 OK\r\n X",                  LeadingSpace,       17);
        check_refused(b"HTTP/1.1 200 OK\r\nX: a\rSet-Cookie",    BareCr,             21); // RS-17
        check_refused(b"HTTP/1.1 200 OK\r\nX: a\0",              BadValue,           21); // RS-18
        check_refused(b"HTTP/1.1 200 OK\r\nX: a\r\n b",          LeadingSpace,       23); // RS-19
    }

    #[test]
    fn asks_for_more() {
        let text = b"HTTP/1.1 200 OK\r\nA: b\r\n\r\n";
        for end in 0..text.len() {
            assert_eq!(parse(&text[..end], &LIMITS), None);
        }
    }

    #[test]
    fn bounds_the_head() {
        let text = b"HTTP/1.1 200 OK\r\nA: b\r\n\r\n"; // 25 octets
        let limits = |head_bytes| HeadLimits {
            head_bytes,
            fields: 1,
        };
        assert!(matches!(parse(text, &limits(26)), Some(Ok(_))));
        assert!(matches!(parse(text, &limits(25)), Some(Ok(_))));
        for head_bytes in 0..25 {
            assert_eq!(
                parse(text, &limits(head_bytes)),
                Some(Err((HeadTooLarge, head_bytes)))
            );
        }
        let long = format!("HTTP/1.1 200 OK\r\nX: {}", "a".repeat(200_000)); // RS-24
        let answer = ResponseParser::new().parse(long.as_bytes(), &LIMITS);
        assert_eq!(answer, Err(HeadTooLarge.at(LIMITS.head_bytes)));
    }

    #[test]
    fn starts_afresh_after_a_reset() {
        let text = b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.0 200 OK\r\n\r\n";
        let mut parser = ResponseParser::new();
        assert_eq!(parser.parse(text, &LIMITS), Ok(Progress::Complete));
        let rest = &text[parser.head.length..];
        parser.reset();
        assert_eq!(parser.parse(rest, &LIMITS), Ok(Progress::Complete));
        assert_eq!(shown(&parser.head, rest), "Http10 200 \"OK\" 19");
    }

    /// What we accept httparse accepts, and reads in the same way.
    #[track_caller]
    fn check_like_httparse(text: &[u8]) {
        let mut parser = ResponseParser::new();
        let Ok(Progress::Complete) = parser.parse(text, &LIMITS) else {
            return;
        };
        let mut lines = [httparse::EMPTY_HEADER; 200];
        let mut theirs = httparse::Response::new(&mut lines);
        let head = &parser.head;
        assert_eq!(
            theirs.parse(text),
            Ok(httparse::Status::Complete(head.length))
        );
        assert_eq!(theirs.code, Some(head.status.code()));
        assert_eq!(
            theirs.version,
            Some(u8::from(head.version == Version::Http11))
        );
        // httparse shows a reason with obs-text as empty.
        let reason = head.reason.of(text);
        assert_eq!(
            theirs.reason.map(str::as_bytes),
            Some(if reason.is_ascii() { reason } else { b"" })
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
        let text = b"HTTP/1.1 200 OK\r\nServer: a\r\nX-A: b c\r\n\r\n";
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
