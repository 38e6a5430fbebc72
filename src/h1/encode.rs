//! Heads → octets (RFC 9112 §3, §4, §5): start lines and field lines into a slice of the caller's.
//!
//! What is written comes from parsed values, never from a received head as it stood, so that the next reader sees
//! the one reading we had. The caller vouches that names are tokens and values hold no control octets: they come
//! from a parser or from the config, and debug builds look again.
//!
//! Everything goes through one [`Encoder`]. When the slice is full it remembers that and writes on into nothing, so
//! that a caller asks once, at the end.

use crate::http::chars;
use crate::http::status::Status;

/// A cursor over a slice that may turn out too small.
#[derive(Debug)]
pub struct Encoder<'a> {
    out: &'a mut [u8],
    /// Octets written; at most `out.len()`.
    at: usize,
    has_overflowed: bool,
}

impl<'a> Encoder<'a> {
    /// Writes from the beginning of `out`.
    #[inline]
    pub fn new(out: &'a mut [u8]) -> Encoder<'a> {
        Encoder {
            out,
            at: 0,
            has_overflowed: false,
        }
    }

    /// Appends `octets` as they are.
    #[inline]
    pub fn put(&mut self, octets: &[u8]) {
        if let Some(room) = self.room(octets.len()) {
            room.copy_from_slice(octets);
        }
    }

    /// Appends `number` in decimal without leading zeros.
    pub fn put_decimal(&mut self, number: u64) {
        let mut digits = [0; 20]; // u64::MAX has 20
        let mut start = digits.len();
        let mut rest = number;
        loop {
            start -= 1;
            digits[start] = b'0' + (rest % 10) as u8; // one digit
            rest /= 10;
            if rest == 0 {
                break;
            }
        }
        self.put(&digits[start..]);
    }

    /// Appends the field line `name: value` with its CRLF.
    #[inline]
    pub fn field(&mut self, name: &[u8], value: &[u8]) {
        debug_assert!(!name.is_empty() && name.iter().all(|octet| chars::is_token(*octet)));
        debug_assert!(value.iter().all(|octet| chars::is_field_vchar(*octet)));
        let Some(room) = self.room(name.len() + 2 + value.len() + 2) else {
            return;
        };
        let (line, line_end) = room.split_at_mut(name.len() + 2 + value.len());
        let (left, right) = line.split_at_mut(name.len());
        let (colon, right) = right.split_at_mut(2);
        left.copy_from_slice(name);
        colon.copy_from_slice(b": ");
        right.copy_from_slice(value);
        line_end.copy_from_slice(b"\r\n");
    }

    /// How many octets have been written, were it all; `None` when it did not fit.
    #[inline]
    pub fn finish(self) -> Option<usize> {
        (!self.has_overflowed).then_some(self.at)
    }

    /// Octets written so far.
    #[inline]
    pub fn written(&self) -> usize {
        self.at
    }

    /// The next `length` octets to write to. None, from now on, when there are fewer: a later, shorter piece
    /// must not stand where a longer one is missing.
    #[inline]
    fn room(&mut self, length: usize) -> Option<&mut [u8]> {
        if self.has_overflowed || length > self.out.len() - self.at {
            self.has_overflowed = true;
            return None;
        }
        let start = self.at;
        self.at += length;
        Some(&mut self.out[start..self.at])
    }
}

/// `status-line = HTTP-version SP status-code SP [ reason-phrase ]` (RFC 9112 §4) with its CRLF; the version is ours,
/// 1.1. `reason` may be empty; the SP before it stays.
#[inline]
pub fn encode_status_line(encoder: &mut Encoder<'_>, status: Status, reason: &[u8]) {
    debug_assert!(reason.iter().all(|octet| chars::is_field_vchar(*octet)));
    encoder.put(b"HTTP/1.1 ");
    encoder.put(&status.digits());
    encoder.put(b" ");
    encoder.put(reason);
    encoder.put(b"\r\n");
}

/// `request-line = method SP request-target SP HTTP-version` (RFC 9112 §3) with its CRLF, in origin-form (or `*`, as
/// `path`). `query` is without its `?`; an empty one is not the same as none.
#[inline]
pub fn encode_request_line(
    encoder: &mut Encoder<'_>,
    method_token: &[u8],
    path: &[u8],
    query: Option<&[u8]>,
) {
    debug_assert!(
        !method_token.is_empty() && method_token.iter().all(|octet| chars::is_token(*octet))
    );
    debug_assert!(!path.is_empty() && path.iter().all(|octet| chars::is_target(*octet)));
    debug_assert!(query.is_none_or(|query| query.iter().all(|octet| chars::is_target(*octet))));
    encoder.put(method_token);
    encoder.put(b" ");
    encoder.put(path);
    if let Some(query) = query {
        encoder.put(b"?");
        encoder.put(query);
    }
    encoder.put(b" HTTP/1.1\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::h1::field_lines::{HeadLimits, Progress};
    use crate::h1::request::RequestParser;
    use crate::h1::response::ResponseParser;

    /// Exactly `expected`, when there is just room for it; and an overflow wherever there is less.
    #[track_caller]
    fn check(write: impl Fn(&mut Encoder<'_>), expected: &[u8]) {
        for room in 0..expected.len() + 2 {
            let mut out = vec![b'.'; room];
            let mut encoder = Encoder::new(&mut out);
            write(&mut encoder);
            let written = encoder.written();
            let length = encoder.finish();
            assert_eq!(
                length,
                (room >= expected.len()).then_some(expected.len()),
                "room for {room}"
            );
            assert_eq!(
                &out[..written],
                &expected[..written],
                "what stands there is a prefix"
            );
            assert!(out[written..].iter().all(|octet| *octet == b'.'));
        }
    }

    #[test]
    fn writes_pieces() {
        check(|_| {}, b"");
        check(|encoder| encoder.put(b"abc"), b"abc");
        check(|encoder| encoder.put_decimal(0), b"0");
        check(|encoder| encoder.put_decimal(1234567890), b"1234567890");
        check(
            |encoder| encoder.put_decimal(u64::MAX),
            b"18446744073709551615",
        );
        check(
            |encoder| encoder.field(b"Host", b"a.test"),
            b"Host: a.test\r\n",
        );
        check(|encoder| encoder.field(b"X", b""), b"X: \r\n");
        check(
            |encoder| encoder.field(b"X", b"caf\xe9\t!"),
            b"X: caf\xe9\t!\r\n",
        );
    }

    #[test]
    fn writes_start_lines() {
        check(
            |encoder| encode_status_line(encoder, Status::OK, b"OK"),
            b"HTTP/1.1 200 OK\r\n",
        );
        check(
            |encoder| encode_status_line(encoder, Status::NOT_FOUND, b""),
            b"HTTP/1.1 404 \r\n",
        );
        check(
            |encoder| encode_request_line(encoder, b"GET", b"/", None),
            b"GET / HTTP/1.1\r\n",
        );
        check(
            |encoder| encode_request_line(encoder, b"PUT", b"/a%2fb", Some(b"")),
            b"PUT /a%2fb? HTTP/1.1\r\n",
        );
        check(
            |encoder| encode_request_line(encoder, b"GET", b"/a", Some(b"b?c")),
            b"GET /a?b?c HTTP/1.1\r\n",
        );
        check(
            |encoder| encode_request_line(encoder, b"OPTIONS", b"*", None),
            b"OPTIONS * HTTP/1.1\r\n",
        );
    }

    #[test]
    fn nothing_is_written_behind_a_gap() {
        let mut out = [b'.'; 8];
        let mut encoder = Encoder::new(&mut out);
        encoder.put(b"ab");
        encoder.put(b"too long");
        encoder.put(b"c");
        encoder.field(b"d", b"");
        assert_eq!(encoder.written(), 2);
        assert_eq!(encoder.finish(), None);
        assert_eq!(&out, b"ab......");
    }

    #[test]
    fn parses_what_it_encodes() {
        let lines: [(&[u8], &[u8]); 4] = [
            (b"Host", b"a.test"),
            (b"x_y", b""),
            (b"Via", b"a, b"),
            (b"Q", b"\xff\t\""),
        ];
        let mut out = [0; 256];
        let mut encoder = Encoder::new(&mut out);
        encode_request_line(&mut encoder, b"REPORT", b"/a", Some(b"b=c"));
        lines
            .iter()
            .for_each(|(name, value)| encoder.field(name, value));
        encoder.put(b"\r\n");
        let length = encoder.finish().expect("256 octets are enough");

        let mut parser = RequestParser::new();
        assert_eq!(
            parser.parse(&out, &HeadLimits::default()),
            Ok(Progress::Complete)
        );
        let head = &parser.head;
        assert_eq!(
            (
                head.length,
                head.method_token.of(&out),
                head.target.of(&out)
            ),
            (length, &b"REPORT"[..], &b"/a?b=c"[..])
        );
        assert!(
            head.fields
                .iter()
                .map(|line| (line.name.of(&out), line.value.of(&out)))
                .eq(lines)
        );

        let mut encoder = Encoder::new(&mut out);
        encode_status_line(&mut encoder, Status::BAD_GATEWAY, b"Bad Gateway");
        lines
            .iter()
            .for_each(|(name, value)| encoder.field(name, value));
        encoder.put(b"\r\n");
        let length = encoder.finish().expect("256 octets are enough");

        let mut parser = ResponseParser::new();
        assert_eq!(
            parser.parse(&out, &HeadLimits::default()),
            Ok(Progress::Complete)
        );
        let head = &parser.head;
        assert_eq!(
            (head.length, head.status, head.reason.of(&out)),
            (length, Status::BAD_GATEWAY, &b"Bad Gateway"[..])
        );
        assert!(
            head.fields
                .iter()
                .map(|line| (line.name.of(&out), line.value.of(&out)))
                .eq(lines)
        );
    }
}
