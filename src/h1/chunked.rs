//! The chunked transfer coding (RFC 9112 §7.1): a decoder that yields ranges and copies nothing, and the
//! octets that stand around a chunk.
//!
//! ```text
//! chunked-body = *chunk last-chunk trailer-section CRLF
//! chunk        = chunk-size [ chunk-ext ] CRLF chunk-data CRLF
//! chunk-size   = 1*HEXDIG
//! last-chunk   = 1*"0" [ chunk-ext ] CRLF
//! chunk-ext    = *( BWS ";" BWS chunk-ext-name [ BWS "=" BWS chunk-ext-val ] )
//! ```
//!
//! Chunk extensions and trailer fields are checked, bounded and dropped: nothing upstream or downstream of us may
//! read them in another way ("MUST NOT be merged", §7.1.2; most of the recent smuggling is in extensions). White
//! space is taken before `;` alone, where the grammar has it. A line ends in CRLF and in nothing else.

use crate::http::chars;

/// Digits of a chunk size: what fits in `u64`, leading zeros included.
const SIZE_DIGITS_MAX: u8 = 16;

/// Octets of the extensions of one chunk. Nobody sends any; 256 is what nginx and others let pass in practice.
pub const CHUNK_EXTENSION_BYTES_MAX: u16 = 256;

/// Octets of all extensions in one message. Without it a peer that sends one octet in each chunk makes us read
/// 256 for each (CVE-2023-39326).
pub const EXTENSION_BYTES_MAX: u16 = 4 * 1024;

/// Octets of a trailer section, its empty line included: a quarter of a head.
pub const TRAILER_BYTES_MAX: u16 = 8 * 1024;

/// Field lines of a trailer section: gRPC and Server-Timing need three.
pub const TRAILER_LINES_MAX: u8 = 32;

/// What ends a body when all its chunks are written: the last chunk and an empty trailer section.
pub const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// What ends a chunk's content.
pub const CHUNK_END: &[u8] = b"\r\n";

/// Octets in front of a chunk's content at most: 16 hex digits and CRLF.
pub const CHUNK_HEAD_BYTES_MAX: usize = 18;

/// Where in a chunked body we are. It never holds octets: what it has seen, it has judged.
///
/// ```text
/// Size ─► [extension states] ─► HeadLf ─► Content ─► ContentCr ─► ContentLf ─► Size
///                                  └─(size 0)─► TrailerStart ─► EndLf ─► Done
///                                                 ▲      ▼
///                                         TrailerLf ◄─ TrailerName, TrailerValue
/// ```
#[derive(Clone, Debug, Default)]
pub struct ChunkedDecoder {
    state: State,
    /// Digits of the size so far, at most [`SIZE_DIGITS_MAX`].
    digits: u8,
    trailer_lines: u8,
    /// Of this chunk.
    chunk_extension_bytes: u16,
    /// Of all chunks.
    extension_bytes: u16,
    trailer_bytes: u16,
    /// In the size line: its value so far. In `Content`: octets still due, at least 1. Else 0.
    size: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum State {
    /// A digit of the size, the first one too.
    #[default]
    Size,
    /// White space has been seen where only `;` may follow.
    BeforeSemicolon,
    /// Behind `;`: white space, or the first octet of a name.
    BeforeName,
    Name,
    /// White space has been seen behind a name: `=` or `;` must follow.
    BeforeEquals,
    /// Behind `=`: white space, a token or a quoted string.
    BeforeValue,
    Value,
    Quoted,
    /// Behind `\` in a quoted string.
    QuotedPair,
    /// Behind the closing quote.
    AfterQuoted,
    /// LF of the size line.
    HeadLf,
    Content,
    ContentCr,
    ContentLf,
    /// The first octet of a trailer line, or of the empty one.
    TrailerStart,
    TrailerName,
    TrailerValue,
    TrailerLf,
    /// LF of the empty line.
    EndLf,
    Done,
}

/// What one step has found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ChunkStep {
    /// Content is `input[start..end]`, never empty. The step has consumed `end` octets.
    Content {
        /// The first octet of content.
        start: usize,
        /// One past its last.
        end: usize,
    },
    /// All of the input is consumed, and it was no content.
    NeedMore,
    /// The body is complete. What follows `consumed` octets is not part of it.
    Done {
        /// Octets of the input that belong to the body.
        consumed: usize,
    },
}

/// A body that is not chunked coding, or more of it than we take. The connection is lost: where the next
/// message begins cannot be known.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ChunkError {
    /// The size does not begin with a hex digit, or something other than CR, `;` or white space follows it.
    BadSize,
    /// More than 16 digits, leading zeros included.
    SizeTooLong,
    /// Not the grammar of chunk extensions.
    BadExtension,
    /// More than [`CHUNK_EXTENSION_BYTES_MAX`] or [`EXTENSION_BYTES_MAX`].
    ExtensionTooLong,
    /// The content of a chunk is longer than its size: no CRLF stands behind it.
    ContentTooLong,
    /// LF that no CR precedes.
    BareLf,
    /// CR that no LF follows.
    BareCr,
    /// A trailer line is not a field line.
    BadTrailer,
    /// More than [`TRAILER_BYTES_MAX`] or [`TRAILER_LINES_MAX`].
    TrailerTooLarge,
}

impl ChunkError {
    /// The name in log and metric.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BadSize => "bad_chunk_size",
            Self::SizeTooLong => "chunk_size_too_long",
            Self::BadExtension => "bad_chunk_extension",
            Self::ExtensionTooLong => "chunk_extension_too_long",
            Self::ContentTooLong => "chunk_content_too_long",
            Self::BareLf => "chunk_bare_lf",
            Self::BareCr => "chunk_bare_cr",
            Self::BadTrailer => "bad_trailer",
            Self::TrailerTooLarge => "trailer_too_large",
        }
    }
}

impl ChunkedDecoder {
    /// At the first octet of a body.
    pub fn new() -> ChunkedDecoder {
        ChunkedDecoder::default()
    }

    /// Reads on up to the next piece of content. Call it again with what it has not consumed, and with more input
    /// after `NeedMore`. After `Done` it consumes nothing.
    ///
    /// # Errors
    ///
    /// What has come cannot be the beginning of a chunked body. To be called no more.
    #[inline]
    pub fn step(&mut self, input: &[u8]) -> Result<ChunkStep, ChunkError> {
        let mut at = 0;
        loop {
            match self.state {
                State::Done => return Ok(ChunkStep::Done { consumed: at }),
                State::Content if at < input.len() => {
                    // Octets still due, as far as they can be there: lossless where it matters.
                    let due = usize::try_from(self.size).unwrap_or(usize::MAX);
                    let start = at;
                    let end = at + due.min(input.len() - at);
                    self.size -= (end - start) as u64;
                    if self.size == 0 {
                        self.state = State::ContentCr;
                    }
                    return Ok(ChunkStep::Content { start, end });
                }
                _ => {}
            }
            let Some(octet) = input.get(at) else {
                return Ok(ChunkStep::NeedMore);
            };
            self.state = self.after(*octet)?;
            at += 1;
        }
    }

    /// Has the body ended?
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// The state behind one octet that is no content.
    #[inline]
    fn after(&mut self, octet: u8) -> Result<State, ChunkError> {
        match self.state {
            State::Size => self.after_size(octet),
            State::HeadLf => self.after_head(octet),
            State::ContentCr => match octet {
                b'\r' => Ok(State::ContentLf),
                b'\n' => Err(ChunkError::BareLf),
                _ => Err(ChunkError::ContentTooLong),
            },
            State::ContentLf => lf(octet, State::Size),
            State::BeforeSemicolon
            | State::BeforeName
            | State::Name
            | State::BeforeEquals
            | State::BeforeValue
            | State::Value
            | State::Quoted
            | State::QuotedPair
            | State::AfterQuoted => self.after_extension(octet),
            State::TrailerStart
            | State::TrailerName
            | State::TrailerValue
            | State::TrailerLf
            | State::EndLf => self.after_trailer(octet),
            State::Content | State::Done => unreachable!("step() handles these itself"),
        }
    }

    #[inline]
    fn after_size(&mut self, octet: u8) -> Result<State, ChunkError> {
        if let Some(digit) = chars::hex_value(octet) {
            if self.digits == SIZE_DIGITS_MAX {
                return Err(ChunkError::SizeTooLong);
            }
            self.digits += 1;
            self.size = self.size << 4 | u64::from(digit);
            return Ok(State::Size);
        }
        match octet {
            b'\n' => Err(ChunkError::BareLf),
            _ if self.digits == 0 => Err(ChunkError::BadSize),
            b'\r' => Ok(State::HeadLf),
            b';' | b' ' | b'\t' => {
                self.count_extension_octet()?;
                Ok(if octet == b';' {
                    State::BeforeName
                } else {
                    State::BeforeSemicolon
                })
            }
            _ => Err(ChunkError::BadSize),
        }
    }

    #[inline]
    fn after_head(&mut self, octet: u8) -> Result<State, ChunkError> {
        self.digits = 0;
        self.chunk_extension_bytes = 0;
        lf(
            octet,
            if self.size == 0 {
                State::TrailerStart
            } else {
                State::Content
            },
        )
    }

    /// ```text
    /// chunk-ext-name = token
    /// chunk-ext-val  = token / quoted-string
    /// quoted-string  = DQUOTE *( qdtext / quoted-pair ) DQUOTE
    /// qdtext         = HTAB / SP / %x21 / %x23-5B / %x5D-7E / obs-text
    /// quoted-pair    = "\" ( HTAB / SP / VCHAR / obs-text )
    /// ```
    #[cold]
    fn after_extension(&mut self, octet: u8) -> Result<State, ChunkError> {
        let may_end = matches!(self.state, State::Name | State::Value | State::AfterQuoted);
        match octet {
            b'\r' if may_end => return Ok(State::HeadLf),
            b'\n' => return Err(ChunkError::BareLf),
            _ => self.count_extension_octet()?,
        }
        let is_token = chars::is_token(octet);
        match (self.state, octet) {
            (
                State::BeforeSemicolon
                | State::Name
                | State::BeforeEquals
                | State::Value
                | State::AfterQuoted,
                b';',
            ) => Ok(State::BeforeName),
            (State::Name | State::BeforeEquals, b'=') => Ok(State::BeforeValue),
            (State::Name | State::BeforeEquals, b' ' | b'\t') => Ok(State::BeforeEquals),
            (State::BeforeSemicolon | State::Value | State::AfterQuoted, b' ' | b'\t') => {
                Ok(State::BeforeSemicolon)
            }
            (State::BeforeName, b' ' | b'\t') => Ok(State::BeforeName),
            (State::BeforeValue, b' ' | b'\t') => Ok(State::BeforeValue),
            (State::BeforeName | State::Name, _) if is_token => Ok(State::Name),
            (State::BeforeValue | State::Value, _) if is_token => Ok(State::Value),
            (State::BeforeValue, b'"') => Ok(State::Quoted),
            (State::Quoted, b'"') => Ok(State::AfterQuoted),
            (State::Quoted, b'\\') => Ok(State::QuotedPair),
            (State::Quoted | State::QuotedPair, _) if chars::is_field_vchar(octet) => {
                Ok(State::Quoted)
            }
            (_, _) => Err(ChunkError::BadExtension),
        }
    }

    fn count_extension_octet(&mut self) -> Result<(), ChunkError> {
        if self.chunk_extension_bytes == CHUNK_EXTENSION_BYTES_MAX
            || self.extension_bytes == EXTENSION_BYTES_MAX
        {
            return Err(ChunkError::ExtensionTooLong);
        }
        self.chunk_extension_bytes += 1;
        self.extension_bytes += 1;
        Ok(())
    }

    /// Trailer lines are field lines (RFC 9112 §7.1.2); the rules are those of `field_lines`, octet by octet, as
    /// nothing of them is kept.
    fn after_trailer(&mut self, octet: u8) -> Result<State, ChunkError> {
        if self.trailer_bytes == TRAILER_BYTES_MAX {
            return Err(ChunkError::TrailerTooLarge);
        }
        self.trailer_bytes += 1;
        match (self.state, octet) {
            (State::TrailerLf, _) => lf(octet, State::TrailerStart),
            (State::EndLf, _) => lf(octet, State::Done),
            (_, b'\n') => Err(ChunkError::BareLf),
            (State::TrailerStart, b'\r') => Ok(State::EndLf),
            (State::TrailerStart, _) if chars::is_token(octet) => {
                if self.trailer_lines == TRAILER_LINES_MAX {
                    return Err(ChunkError::TrailerTooLarge);
                }
                self.trailer_lines += 1;
                Ok(State::TrailerName)
            }
            (State::TrailerName, b':') => Ok(State::TrailerValue),
            (State::TrailerName, _) if chars::is_token(octet) => Ok(State::TrailerName),
            (State::TrailerValue, b'\r') => Ok(State::TrailerLf),
            (State::TrailerValue, _) if chars::is_field_vchar(octet) => Ok(State::TrailerValue),
            (_, _) => Err(ChunkError::BadTrailer),
        }
    }
}

/// `state` behind the LF that must follow a CR.
#[inline]
fn lf(octet: u8, state: State) -> Result<State, ChunkError> {
    if octet == b'\n' {
        Ok(state)
    } else {
        Err(ChunkError::BareCr)
    }
}

/// Writes the size line of a chunk of `length` octets so that it ends where `out[end]` begins, and returns
/// where it starts: content that already stands at `end` becomes a chunk without moving. [`CHUNK_END`] goes behind it.
///
/// # Panics
///
/// When `length` is 0, which would end the body, or there is no room: [`CHUNK_HEAD_BYTES_MAX`] octets before
/// `end` are always enough.
pub fn encode_chunk_head_before(out: &mut [u8], end: usize, length: usize) -> usize {
    assert!(length > 0, "an empty chunk is the last one");
    out[end - 2..end].copy_from_slice(CHUNK_END);
    let mut start = end - 2;
    let mut rest = length;
    while rest > 0 {
        start -= 1;
        out[start] = b"0123456789abcdef"[rest & 0xf];
        rest >>= 4;
    }
    start
}

// 16 hex digits hold any `usize`.
const _: () = assert!(
    usize::BITS <= 64 && CHUNK_HEAD_BYTES_MAX == SIZE_DIGITS_MAX as usize + CHUNK_END.len()
);

#[cfg(test)]
mod tests {
    use super::ChunkError::*;
    use super::*;
    use crate::h1::splits::every_split;

    /// The content, and how many octets the body had; `None` while it has not ended.
    type Decoded = Result<(String, Option<usize>), ChunkError>;

    fn decode(input: &[u8]) -> Decoded {
        every_split(input, decode_pieces)
    }

    fn decode_pieces(pieces: &[&[u8]]) -> Decoded {
        let mut decoder = ChunkedDecoder::new();
        let mut content = Vec::new();
        let mut consumed_before = 0;
        for piece in pieces {
            let mut rest = *piece;
            loop {
                match decoder.step(rest)? {
                    ChunkStep::Content { start, end } => {
                        assert!(start < end && !decoder.is_done());
                        content.extend_from_slice(&rest[start..end]);
                        rest = &rest[end..];
                    }
                    ChunkStep::NeedMore => break,
                    ChunkStep::Done { consumed } => {
                        assert!(decoder.is_done());
                        assert_eq!(decoder.step(b"more"), Ok(ChunkStep::Done { consumed: 0 }));
                        let consumed = consumed_before + piece.len() - rest.len() + consumed;
                        return Ok((content.escape_ascii().to_string(), Some(consumed)));
                    }
                }
            }
            consumed_before += piece.len();
        }
        Ok((content.escape_ascii().to_string(), None))
    }

    #[track_caller]
    fn check(input: &[u8], content: &str) {
        let expected = Ok((content.to_owned(), Some(input.len())));
        assert_eq!(decode(input), expected);
        // What follows is not touched.
        assert_eq!(decode(&[input, b"GET / HTTP/1.1\r\n"].concat()), expected);
        for end in 0..input.len() {
            assert!(matches!(decode_pieces(&[&input[..end]]), Ok((_, None))));
        }
    }

    #[track_caller]
    fn check_refused(input: &[u8], error: ChunkError) {
        assert_eq!(decode(input), Err(error));
        assert!(
            decode(&input[..input.len() - 1]).is_ok(),
            "refused at its last octet and not before"
        );
        for more in [b"\r\n".as_slice(), b"0\r\n\r\n", b"\n", b"\0"] {
            assert_eq!(decode(&[input, more].concat()), Err(error));
        }
    }

    #[test]
    #[rustfmt::skip]
    fn decodes() {
        check(b"0\r\n\r\n",                                            "");
        check(b"5\r\nhello\r\n0\r\n\r\n",                              "hello"); // FR-22
        check(b"5\r\nhello\r\n7\r\n, world\r\n0\r\n\r\n",              "hello, world");
        check(b"a\r\n0123456789\r\nA\r\n0123456789\r\n0\r\n\r\n",      "01234567890123456789");
        check(b"005\r\nhello\r\n000\r\n\r\n",                          "hello"); // CH-10
        check(b"0000000000000005\r\nhello\r\n0000000000000000\r\n\r\n", "hello");
        check(b"5\r\n\r\n0\r\n\r\n0\r\n\r\n",                          "\\r\\n0\\r\\n");
        // Extensions.
        check(b"5;foo=bar;q=\"a;b\"\r\nhello\r\n0;x\r\n\r\n",          "hello"); // CH-19
        check(b"1;a\r\nZ\r\n0\r\n\r\n",                                "Z");
        check(b"1 \t; \ta \t= \tb \t; c\r\nZ\r\n0\r\n\r\n",            "Z");
        check(b"1;a=\"\\\"\\\\\t\xff\";b\r\nZ\r\n0\r\n\r\n",           "Z");
        check(b"1;a=\"\" ;b=c\r\nZ\r\n0\r\n\r\n",                      "Z");
        // Trailer sections.
        check(b"0\r\nX-T: 1\r\n\r\n",                                  ""); // CH-30
        check(b"5\r\nhello\r\n0\r\nX-Evil: 1\r\nContent-Length: 99\r\nHost: evil\r\n\r\n", "hello"); // CH-22
        check(b"0\r\nA:\r\nB: \t caf\xe9 \r\n\r\n",                    "");
    }

    #[test]
    #[rustfmt::skip]
    fn refuses_faults_at_their_octet() {
        check_refused(b"\n",                     BareLf);
        check_refused(b"\r",                     BadSize);
        check_refused(b";",                      BadSize);
        check_refused(b" ",                      BadSize);
        check_refused(b"0x",                     BadSize); // CH-03
        check_refused(b"+",                      BadSize);
        check_refused(b"-",                      BadSize); // CH-05
        check_refused(b"1_",                     BadSize); // CH-06
        check_refused(b"5g",                     BadSize);
        check_refused(b"Z",                      BadSize); // CH-28
        check_refused(b"5\0",                    BadSize);
        check_refused(b"5,",                     BadSize);
        check_refused(b"10000000000000005",      SizeTooLong); // CH-07
        check_refused(b"00000000000000000",      SizeTooLong);
        check_refused(b"5\n",                    BareLf); // CH-11
        check_refused(b"5\rh",                   BareCr);
        check_refused(b"5\r\r",                  BareCr);
        check_refused(b"5 \r",                   BadExtension); // CH-01
        check_refused(b"5\t\r",                  BadExtension);
        check_refused(b"5 5",                    BadExtension);
        check_refused(b"2;\n",                   BareLf); // CH-16
        check_refused(b"2;\r",                   BadExtension);
        check_refused(b"2;a\n",                  BareLf);
        check_refused(b"2;a=\r",                 BadExtension);
        check_refused(b"2;a=\"\r",               BadExtension);
        check_refused(b"2;a=\"\n",               BareLf);
        check_refused(b"2;a=\"\\\r",             BadExtension);
        check_refused(b"2;a=\"\0",               BadExtension);
        check_refused(b"2;a=\"b\"c",             BadExtension);
        check_refused(b"2;a=b\"",                BadExtension);
        check_refused(b"2;a=b=",                 BadExtension);
        check_refused(b"2;a b",                  BadExtension);
        check_refused(b"2;a \r",                 BadExtension);
        check_refused(b"2;a=b \r",               BadExtension);
        check_refused(b"2;=",                    BadExtension);
        check_refused(b"2;;",                    BadExtension);
        check_refused(b"41;a=b\r\r",             BareCr); // CH-18
        check_refused(b"5;bad[",                 BadExtension); // CH-31
        check_refused(b"5\r\nhello\n",           BareLf); // CH-12
        check_refused(b"5\r\nhelloX",            ContentTooLong); // CH-14
        check_refused(b"5\r\nhello!",            ContentTooLong); // CH-15
        check_refused(b"5\r\nhello0",            ContentTooLong);
        check_refused(b"5\r\nhello\rX",          BareCr);
        check_refused(b"5\r\nhello\r\n\r",       BadSize);
        check_refused(b"0\r\nGET ",              BadTrailer); // CH-24
        check_refused(b"0\r\n\n",                BareLf); // CH-25
        check_refused(b"0\r\n ",                 BadTrailer);
        check_refused(b"0\r\n:",                 BadTrailer);
        check_refused(b"0\r\nX\r",               BadTrailer);
        check_refused(b"0\r\nX\n",               BareLf);
        check_refused(b"0\r\nX ",                BadTrailer);
        check_refused(b"0\r\nX: \0",             BadTrailer);
        check_refused(b"0\r\nX: y\n",            BareLf);
        check_refused(b"0\r\nX: y\rZ",           BareCr);
        check_refused(b"0\r\nX: y\r\n ",         BadTrailer);
        check_refused(b"0\r\n\rX",               BareCr);
        check_refused(b"0\r\n\r\r",              BareCr);
    }

    /// Whole only, for inputs of which every split would take long.
    #[track_caller]
    fn check_whole(input: &str, expected: Result<(), ChunkError>) {
        let pieces = [input.as_bytes()];
        assert_eq!(
            decode_pieces(&pieces).map(|(_, consumed)| assert_eq!(consumed, Some(input.len()))),
            expected
        );
    }

    #[test]
    fn bounds_extensions() {
        let chunk = |octets: usize| format!("1;{}\r\nZ\r\n", "x".repeat(octets - 1));
        let max = usize::from(CHUNK_EXTENSION_BYTES_MAX);
        check_whole(&(chunk(max - 1) + "0\r\n\r\n"), Ok(()));
        check_whole(&(chunk(max) + "0\r\n\r\n"), Ok(()));
        check_whole(&(chunk(max + 1) + "0\r\n\r\n"), Err(ExtensionTooLong));
        check_whole(&chunk(20_000), Err(ExtensionTooLong)); // CH-20
        // 16 chunks with 256 octets each are 4 KiB.
        check_whole(&(chunk(max).repeat(16) + "0\r\n\r\n"), Ok(()));
        check_whole(
            &(chunk(max).repeat(16) + "0;\r\n\r\n"),
            Err(ExtensionTooLong),
        );
        check_whole(
            &(chunk(max).repeat(15) + &chunk(max - 1) + "0 ;\r\n\r\n"),
            Err(ExtensionTooLong),
        );
    }

    #[test]
    fn bounds_trailer_sections() {
        // "X: " and two CRLFs are 7 octets.
        let section = |octets: usize| format!("0\r\nX: {}\r\n\r\n", "y".repeat(octets - 7));
        let max = usize::from(TRAILER_BYTES_MAX);
        check_whole(&section(max - 1), Ok(()));
        check_whole(&section(max), Ok(()));
        check_whole(&section(max + 1), Err(TrailerTooLarge));
        check_whole(&section(70_000), Err(TrailerTooLarge));
        let lines = |count: usize| format!("0\r\n{}\r\n", "X: y\r\n".repeat(count));
        check_whole(&lines(31), Ok(()));
        check_whole(&lines(32), Ok(()));
        check_whole(&lines(33), Err(TrailerTooLarge));
    }

    #[test]
    fn counts_the_largest_chunk_down() {
        let mut decoder = ChunkedDecoder::new();
        assert_eq!(
            decoder.step(b"ffffffffffffffff\r\nabc"),
            Ok(ChunkStep::Content { start: 18, end: 21 })
        );
        assert_eq!(decoder.size, u64::MAX - 3);
        assert_eq!(
            decoder.step(b"de"),
            Ok(ChunkStep::Content { start: 0, end: 2 })
        );
        assert_eq!(decoder.step(b""), Ok(ChunkStep::NeedMore));
    }

    #[track_caller]
    fn check_head(length: usize, expected: &str) {
        let mut out = [b'.'; 24];
        let start = encode_chunk_head_before(&mut out, 20, length);
        assert_eq!(&out[start..20], expected.as_bytes());
        assert!(20 - start <= CHUNK_HEAD_BYTES_MAX);
        assert!(
            out[..start]
                .iter()
                .chain(&out[20..])
                .all(|octet| *octet == b'.'),
            "nothing else is touched"
        );
    }

    #[test]
    fn encodes_size_lines_in_place() {
        check_head(1, "1\r\n");
        check_head(15, "f\r\n");
        check_head(16, "10\r\n");
        check_head(0x4000, "4000\r\n");
        check_head(usize::MAX, &format!("{:x}\r\n", usize::MAX));
    }

    #[test]
    fn decodes_what_it_encodes() {
        let mut body = Vec::new();
        let mut content = Vec::new();
        for length in [1, 2, 9, 10, 15, 16, 17, 255, 256, 4095, 4096, 70_000] {
            let mut buffer = vec![b' '; CHUNK_HEAD_BYTES_MAX];
            buffer.extend(std::iter::repeat_n(b'0' + (length % 10) as u8, length));
            content.extend_from_slice(&buffer[CHUNK_HEAD_BYTES_MAX..]);
            let start = encode_chunk_head_before(&mut buffer, CHUNK_HEAD_BYTES_MAX, length);
            body.extend_from_slice(&buffer[start..]);
            body.extend_from_slice(CHUNK_END);
        }
        body.extend_from_slice(LAST_CHUNK);
        let expected = Ok((content.escape_ascii().to_string(), Some(body.len())));
        assert_eq!(decode_pieces(&[&body]), expected);
        for piece_length in [1, 3, 4096] {
            assert_eq!(
                decode_pieces(&body.chunks(piece_length).collect::<Vec<_>>()),
                expected
            );
        }
    }
}
