//! The field section of a head (RFC 9112 §5): names, values, and what is refused in them.
//!
//! ```text
//! field-line  = field-name ":" OWS field-value OWS
//! field-name  = token
//! field-value = *( HTAB / SP / VCHAR / obs-text )       ; more than §5.5, which bars OWS at its ends
//! ```
//!
//! Requests and responses share this. RFC 9112 leaves obsolete line folding to the recipient's choice in a
//! response (§5.2); it is refused there as well, for a value that one reader folds and another cuts is the
//! same hole in either direction.
//!
//! Whether a line is complete is the granularity of progress. Of an unfinished line the name is read again with the
//! next piece, and the value from where it stopped: were all of it read again, 32 KiB of obs-text sent octet by
//! octet would cost several times what their receives do.

use super::error::{ParseError, ParseErrorKind};
use super::scan::{self, Unusual};
use crate::http::chars;
use crate::http::fields::{FieldLine, FieldName, Fields, Span};

/// What a head may take. Read at each call of a parser; the same at every call for one head.
#[derive(Clone, Copy, Debug)]
pub struct HeadLimits {
    /// Octets of the whole head, a leading CRLF and the empty line included; below 4 GiB.
    pub head_bytes: usize,
    /// Field lines.
    pub fields: usize,
}

/// Octets of a request head: twice what browsers send with every cookie a site may set, and what two such heads
/// take beside two body buffers in one connection's budget.
pub const HEAD_BYTES_MAX: usize = 32 * 1024;

/// Field lines of a head: thrice what browsers send, and few enough to walk without an index.
pub const FIELD_LINES_MAX: usize = 128;

impl Default for HeadLimits {
    fn default() -> HeadLimits {
        HeadLimits {
            head_bytes: HEAD_BYTES_MAX,
            fields: FIELD_LINES_MAX,
        }
    }
}

impl HeadLimits {
    /// The answer about a head that is not complete in `window`, which is all of the buffer that it may take.
    pub(super) fn incomplete(&self, window: &[u8]) -> Result<Progress, ParseError> {
        if window.len() == self.head_bytes {
            return Err(ParseErrorKind::HeadTooLarge.at(window.len()));
        }
        Ok(Progress::Incomplete)
    }
}

/// How far a head has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Progress {
    /// The head is filled in; what follows it in the buffer is its body or the next message.
    Complete,
    /// More octets are needed. Nothing may be read from the head yet.
    Incomplete,
}

/// How far a field section has come.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Place {
    /// The first octet of the line that is not complete yet.
    pub(super) line_start: usize,
    /// In that line, how far a value has been seen to go on: at least `line_start`.
    pub(super) value_end: usize,
}

impl Place {
    /// At the first octet of a line.
    #[inline]
    pub(super) fn at(line_start: usize) -> Place {
        Place {
            line_start,
            value_end: line_start,
        }
    }
}

/// Reads field lines from `place` until the empty line.
///
/// Each complete line is pushed to `fields`, and `place` moves behind it; after `Complete`, it stands behind the
/// empty line. `bytes` is the message from its first octet, for the ranges and offsets count from there.
///
/// # Errors
///
/// `LeadingSpace`, `EmptyName`, `BadName`, `SpaceBeforeColon`, `MissingColon`, `BadValue`, `BareLf`, `BareCr`, and
/// `TooManyFields` at the first octet of the line that is one too many.
#[inline]
pub(super) fn parse_field_lines(
    bytes: &[u8],
    place: &mut Place,
    fields: &mut Fields,
    lines_max: usize,
) -> Result<Progress, ParseError> {
    let mut unusual = Unusual::new(bytes, place.value_end);
    let mut start = place.line_start;
    loop {
        // The end of the line first: where the next one begins must not wait for what is found in this one.
        let mut line_end = unusual.take_next();
        let Some(colon) =
            scan::colon_behind_token(bytes, start).filter(|_| fields.len() < lines_max)
        else {
            *place = Place::at(start);
            return end_of_section(bytes, place, fields.len() >= lines_max);
        };
        while !is_crlf(bytes, line_end) {
            match bytes.get(line_end) {
                Some(octet) if chars::is_field_vchar(*octet) => line_end = unusual.take_next(),
                Some(_) | None => {
                    *place = Place {
                        line_start: start,
                        value_end: line_end,
                    };
                    return value_without_end(bytes, line_end);
                }
            }
        }
        unusual.take_next(); // LF

        // Nearly always one SP stands before the value and nothing behind it.
        let mut value = (colon + 1 + usize::from(bytes[colon + 1] == b' '), line_end);
        if bytes[value.0] <= b' ' || bytes[value.1 - 1] <= b' ' {
            value = trimmed(bytes, value);
        }
        let name = Span::new(start, colon);
        let known = FieldName::of(&bytes[start..colon]);
        fields.push(FieldLine {
            name,
            value: Span::new(value.0, value.1),
            known,
        });
        start = line_end + 2;
    }
}

#[inline]
fn is_crlf(bytes: &[u8], at: usize) -> bool {
    bytes.get(at..at + 2) == Some(b"\r\n")
}

/// The range without the OWS at its ends.
#[cold]
fn trimmed(bytes: &[u8], (mut start, mut end): (usize, usize)) -> (usize, usize) {
    while start < end && chars::is_ows(bytes[start]) {
        start += 1;
    }
    while end > start && chars::is_ows(bytes[end - 1]) {
        end -= 1;
    }
    (start, end)
}

/// What stands at the beginning of a line is no name with a colon, or one too many: the empty line, too few octets,
/// or a fault.
fn end_of_section(bytes: &[u8], place: &mut Place, is_full: bool) -> Result<Progress, ParseError> {
    let start = place.line_start;
    if is_full && !matches!(bytes.get(start), None | Some(b'\r')) {
        return Err(ParseErrorKind::TooManyFields.at(start));
    }
    let stop = scan::token_end(bytes, start);
    let is_first = stop == start;
    let Some(octet) = bytes.get(stop) else {
        return Ok(Progress::Incomplete);
    };
    let kind = match octet {
        b'\r' if is_first => match bytes.get(stop + 1) {
            None => return Ok(Progress::Incomplete),
            Some(b'\n') => {
                *place = Place::at(stop + 2);
                return Ok(Progress::Complete);
            }
            Some(_) => ParseErrorKind::BareCr,
        },
        b'\r' => ParseErrorKind::MissingColon,
        b'\n' => ParseErrorKind::BareLf,
        b':' => ParseErrorKind::EmptyName,
        b' ' | b'\t' if is_first => ParseErrorKind::LeadingSpace,
        b' ' | b'\t' => ParseErrorKind::SpaceBeforeColon,
        _ => ParseErrorKind::BadName,
    };
    Err(kind.at(stop))
}

/// `control` is the first octet after the colon that no value holds, and no CRLF begins there.
#[cold]
fn value_without_end(bytes: &[u8], control: usize) -> Result<Progress, ParseError> {
    let kind = match (bytes.get(control), bytes.get(control + 1)) {
        (None, _) | (Some(b'\r'), None) => return Ok(Progress::Incomplete),
        (Some(b'\r'), Some(_)) => ParseErrorKind::BareCr,
        (Some(b'\n'), _) => ParseErrorKind::BareLf,
        (Some(_), _) => ParseErrorKind::BadValue,
    };
    Err(kind.at(control))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::h1::splits::every_prefix;
    use ParseErrorKind::*;

    type Lines = Vec<(String, String)>;

    fn parse(text: &[u8], lines_max: usize) -> Option<Result<Lines, (ParseErrorKind, usize)>> {
        every_prefix(
            text,
            || (Place::at(0), Fields::new()),
            |(place, fields), bytes| match parse_field_lines(bytes, place, fields, lines_max) {
                Ok(Progress::Incomplete) => None,
                Ok(Progress::Complete) => {
                    let text = |span: Span| span.of(bytes).escape_ascii().to_string();
                    Some(Ok(fields
                        .iter()
                        .map(|line| (text(line.name), text(line.value)))
                        .collect()))
                }
                Err(error) => Some(Err((error.kind, error.offset))),
            },
        )
    }

    #[track_caller]
    fn check(text: &str, expected: &[(&str, &str)]) {
        let expected = expected
            .iter()
            .map(|(name, value)| (name.to_string(), value.to_string()))
            .collect();
        assert_eq!(parse(text.as_bytes(), 128), Some(Ok(expected)));
    }

    #[track_caller]
    fn check_refused(text: &[u8], kind: ParseErrorKind, offset: usize) {
        assert_eq!(parse(text, 128), Some(Err((kind, offset))));
        // Whatever follows, it stays refused.
        for more in [b"\r\n\r\n".as_slice(), b"\n", b": x\r\n\r\n", b"\0"] {
            assert_eq!(
                parse(&[text, more].concat(), 128),
                Some(Err((kind, offset)))
            );
        }
    }

    #[test]
    #[rustfmt::skip]
    fn reads_lines() {
        check("\r\n",                                &[]);
        check("A: b\r\n\r\n",                        &[("A", "b")]);
        check("A:b\r\n\r\n",                         &[("A", "b")]);
        check("A: \t b \t \r\n\r\n",                 &[("A", "b")]);
        check("A: b c\td\r\n\r\n",                   &[("A", "b c\\td")]);
        check("A:\r\nB: \r\nC:\t\r\n\r\n",           &[("A", ""), ("B", ""), ("C", "")]);
        check("A: :\r\n\r\n",                        &[("A", ":")]);
        check("!#$%&'*+-.^_`|~09azAZ: x\r\n\r\n",    &[("!#$%&\\'*+-.^_`|~09azAZ", "x")]);
        check("a_name_of_many_underscores_: x\r\n\r\n", &[("a_name_of_many_underscores_", "x")]);
        check("X: caf\u{e9}\r\n\r\n",                &[("X", "caf\\xc3\\xa9")]); // LN-36
        check("TRANSFER-ENCODING:\tChUnKeD \r\n\r\n", &[("TRANSFER-ENCODING", "ChUnKeD")]); // FR-22
        check("A: b\r\n\r\nC: d\r\n\r\n",            &[("A", "b")]);
        check("User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36\r\nAccept: */*\r\n\r\n",
              &[("User-Agent", "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36"), ("Accept", "*/*")]);
        check("Access-Control-Request-Headers: a,b\r\n\r\n", &[("Access-Control-Request-Headers", "a,b")]);
    }

    #[test]
    #[rustfmt::skip]
    fn refuses_faults_at_their_octet() {
        //             lines                         kind              offset
        check_refused(b"\n",                         BareLf,           0);
        check_refused(b"A: b\n",                     BareLf,           4); // FR-21
        check_refused(b"A\n",                        BareLf,           1);
        check_refused(b"\rX",                        BareCr,           0); // LN-03
        check_refused(b"\r\r",                       BareCr,           0);
        check_refused(b"A: b\rX",                    BareCr,           4); // FR-20, LN-04, RS-17
        check_refused(b"A: b\r\r",                   BareCr,           4);
        check_refused(b" A: b",                      LeadingSpace,     0); // LN-08, FR-47
        check_refused(b"\tA: b",                     LeadingSpace,     0);
        check_refused(b"A:\r\n b",                   LeadingSpace,     4); // FR-18, RS-19
        check_refused(b"A: a\r\n\tb",                LeadingSpace,     6); // LN-37
        check_refused(b": v",                        EmptyName,        0); // LN-28
        check_refused(b"A : b",                      SpaceBeforeColon, 1); // FR-11
        check_refused(b"A\t: b",                     SpaceBeforeColon, 1);
        check_refused(b"A b",                        SpaceBeforeColon, 1);
        check_refused(b"NoColonHere\r",              MissingColon,    11); // LN-29
        check_refused(b"X\0",                        BadName,          1); // LN-31, FR-45
        check_refused(b"X[",                         BadName,          1); // LN-38
        check_refused(b"X/",                         BadName,          1);
        check_refused(b"X@",                         BadName,          1);
        check_refused(b"\x7f",                       BadName,          0);
        check_refused(b"caf\xe9",                    BadName,          3);
        check_refused(b"a-name-of-more-than-16\x80", BadName,         22);
        check_refused(b"X: a\0",                     BadValue,         4); // LN-33, RS-18, FR-14, FR-44
        check_refused(b"X: a\x07",                   BadValue,         4); // LN-34
        check_refused(b"X: \x0b",                    BadValue,         3); // FR-12
        check_refused(b"X: a\x7f",                   BadValue,         4);
        check_refused(b"X:\x1f",                     BadValue,         2);
        check_refused(b"X: a\tb\x01",                BadValue,         6);
    }

    #[test]
    fn each_octet_is_refused_or_kept() {
        for octet in 0..=u8::MAX {
            let value = parse(&[b"X: a", [octet].as_slice(), b"b\r\n\r\n"].concat(), 128);
            assert_eq!(
                matches!(value, Some(Ok(_))),
                chars::is_field_vchar(octet),
                "{octet:#04x} in a value"
            );
            let name = parse(&[b"Xa", [octet].as_slice(), b"b: c\r\n\r\n"].concat(), 128);
            let is_kept = chars::is_token(octet) || octet == b':';
            assert_eq!(
                matches!(name, Some(Ok(_))),
                is_kept,
                "{octet:#04x} in a name"
            );
        }
    }

    #[test]
    fn incomplete_is_no_error() {
        for text in [
            "",
            "A",
            "A:",
            "A: ",
            "A: b",
            "A: b\r",
            "A: b\r\n",
            "A: b\r\n\r",
            "A: b\r\nC",
        ] {
            assert_eq!(parse(text.as_bytes(), 128), None, "{text:?}");
        }
    }

    #[test]
    fn counts_lines() {
        let lines = |count: usize| [b"A: b\r\n".repeat(count).as_slice(), b"\r\n"].concat();
        assert!(matches!(parse(&lines(2), 3), Some(Ok(lines)) if lines.len() == 2));
        assert!(matches!(parse(&lines(3), 3), Some(Ok(lines)) if lines.len() == 3));
        assert_eq!(parse(&lines(4), 3), Some(Err((TooManyFields, 18))));
        // It is the first octet that is one too many, whatever it is.
        assert_eq!(parse(b"A: b\r\n\0", 1), Some(Err((TooManyFields, 6))));
        assert_eq!(parse(b"\r\n", 0), Some(Ok(vec![])));
        assert_eq!(parse(b"A", 0), Some(Err((TooManyFields, 0))));
    }
}
