//! Any octets as a request head: split points agree, and what we accept httparse accepts and reads in the same way.
//!
//! Where we refuse and httparse does not, on purpose; each is a kind of error, any other difference is a finding:
//! - `BareLf`, `BareCr`: line ends other than CRLF (RFC 9112 §2.2)
//! - `TooManyLeadingLines`: more than one empty line first (RFC 9112 §2.2)
//! - `MethodTooLong`, `RequestLineTooLong`, `TooManyFields`, `HeadTooLarge`: limits (RFC 9112 §3, RFC 9110 §5.4)
//! - `BadTarget`: octets from 0x80, and `#` (RFC 9112 §3.2)
//! - `SpaceBeforeColon`, `LeadingSpace`: white space around names (RFC 9112 §5.1, §5.2)
#![no_main]

use hotgate::h1::{HeadLimits, ParseError, ParseErrorKind, Progress, RequestParser};
use hotgate::http::message::Version;
use libfuzzer_sys::fuzz_target;

/// More lines than httparse is ever given room for.
const LINES: usize = 256;

fuzz_target!(|text: &[u8]| {
    let limits = HeadLimits::default();
    let mut parser = RequestParser::new();
    let answer = parser.parse(text, &limits);
    assert_eq!(in_pieces(text, &limits), answer);

    let mut room = [httparse::EMPTY_HEADER; LINES];
    let mut theirs = httparse::Request::new(&mut room);
    let their_answer = theirs.parse(text);
    match answer {
        Ok(Progress::Complete) => {
            let head = &parser.head;
            assert!(head.length <= text.len());
            assert_eq!(their_answer, Ok(httparse::Status::Complete(head.length)));
            assert_eq!(
                theirs.method.map(str::as_bytes),
                Some(head.method_token.of(text))
            );
            assert_eq!(theirs.path.map(str::as_bytes), Some(head.target.of(text)));
            assert_eq!(
                theirs.version,
                Some(u8::from(head.version == Version::Http11))
            );
            let ours = head.fields.iter();
            let ours = ours.map(|line| (line.name.of(text), line.value.of(text)));
            assert!(
                ours.eq(theirs
                    .headers
                    .iter()
                    .map(|line| (line.name.as_bytes(), line.value)))
            );
            // What follows a head does not change it.
            let mut shorter = RequestParser::new();
            assert_eq!(shorter.parse(&text[..head.length], &limits), answer);
        }
        Ok(Progress::Incomplete) => assert_eq!(their_answer, Ok(httparse::Status::Partial)),
        Err(error) => {
            assert!(error.offset <= text.len());
            assert!(their_answer.is_err() || is_stricter(error.kind), "{error}");
        }
    }
});

/// The answer to `text` in pieces, each time in another buffer. Its own last octets say how long they are.
fn in_pieces(text: &[u8], limits: &HeadLimits) -> Result<Progress, ParseError> {
    let mut parser = RequestParser::new();
    let mut end = 0;
    for length in text.iter().rev().take(6) {
        end = (end + usize::from(*length)).min(text.len());
        let prefix = text[..end].to_vec();
        match parser.parse(&prefix, limits) {
            Ok(Progress::Incomplete) => {}
            answer => return answer,
        }
    }
    parser.parse(text, limits)
}

/// Of versions and what should be one they ask for more, where we know already that nothing can mend it.
fn is_stricter(kind: ParseErrorKind) -> bool {
    match kind {
        ParseErrorKind::BareLf
        | ParseErrorKind::BareCr
        | ParseErrorKind::TooManyLeadingLines
        | ParseErrorKind::MethodTooLong
        | ParseErrorKind::RequestLineTooLong
        | ParseErrorKind::TooManyFields
        | ParseErrorKind::HeadTooLarge
        | ParseErrorKind::BadTarget
        | ParseErrorKind::SpaceBeforeColon
        | ParseErrorKind::LeadingSpace
        | ParseErrorKind::UnsupportedVersion
        | ParseErrorKind::BadVersion
        | ParseErrorKind::MissingVersion => true,
        ParseErrorKind::BadMethod
        | ParseErrorKind::BadStatus
        | ParseErrorKind::BadReason
        | ParseErrorKind::EmptyName
        | ParseErrorKind::BadName
        | ParseErrorKind::MissingColon
        | ParseErrorKind::BadValue => false,
    }
}
