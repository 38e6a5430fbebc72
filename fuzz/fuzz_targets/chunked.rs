//! Any octets as a chunked body, at random cuts: the decoder gives the answer of a naive reader that has it whole.
#![no_main]

use hotgate::h1::chunked::{
    CHUNK_EXTENSION_BYTES_MAX, EXTENSION_BYTES_MAX, TRAILER_BYTES_MAX, TRAILER_LINES_MAX,
};
use hotgate::h1::{ChunkError, ChunkStep, ChunkedDecoder};
use hotgate::http::chars::{is_field_vchar, is_token};
use libfuzzer_sys::fuzz_target;

/// Content, and the octets of the body once it has ended.
type Decoded = (Vec<u8>, Option<usize>);

fuzz_target!(|text: &[u8]| {
    let whole = decode(&[text]);
    assert_eq!(decode(&pieces_of(text)), whole);

    match (naive(text), whole) {
        (Naive::Done(content, consumed), Ok(decoded)) => {
            assert_eq!(decoded, (content, Some(consumed)));
        }
        (Naive::Done(..), Err(error)) => panic!("refused for {}", error.as_str()),
        (Naive::Wrong, decoded) => assert!(decoded.is_err()),
        // The naive one looks at whole lines, so it sees some faults later.
        (Naive::Short, decoded) => {
            assert!(decoded.is_err() || decoded.is_ok_and(|it| it.1.is_none()))
        }
    }
});

/// Its own last octets say how long the pieces are, over and over.
fn pieces_of(text: &[u8]) -> Vec<&[u8]> {
    let mut pieces = Vec::new();
    let mut rest = text;
    for length in text.iter().rev().take(6).cycle() {
        if rest.is_empty() {
            break;
        }
        let (piece, behind) = rest.split_at(rest.len().min(usize::from(*length).max(1)));
        pieces.push(piece);
        rest = behind;
    }
    pieces
}

fn decode(pieces: &[&[u8]]) -> Result<Decoded, ChunkError> {
    let mut decoder = ChunkedDecoder::new();
    let mut content = Vec::new();
    let mut consumed_before = 0;
    for piece in pieces {
        let mut rest = *piece;
        loop {
            match decoder.step(rest)? {
                ChunkStep::Content { start, end } => {
                    assert!(start < end && end <= rest.len());
                    content.extend_from_slice(&rest[start..end]);
                    rest = &rest[end..];
                }
                ChunkStep::NeedMore => break,
                ChunkStep::Done { consumed } => {
                    let consumed = consumed_before + piece.len() - rest.len() + consumed;
                    assert!(consumed <= consumed_before + piece.len());
                    return Ok((content, Some(consumed)));
                }
            }
        }
        consumed_before += piece.len();
    }
    Ok((content, None))
}

enum Naive {
    Done(Vec<u8>, usize),
    /// The body goes on, or its fault is not reached yet.
    Short,
    Wrong,
}

/// Reads line by line, always from a whole text; slow and plain.
fn naive(text: &[u8]) -> Naive {
    let mut rest = text;
    let mut content = Vec::new();
    let mut extension_octets = 0;
    loop {
        let Some((line, behind)) = line_of(rest) else {
            return Naive::Short;
        };
        rest = behind;
        let digits = line
            .iter()
            .take_while(|octet| octet.is_ascii_hexdigit())
            .count();
        let (size, extensions) = line.split_at(digits);
        extension_octets += extensions.len();
        let is_within = extensions.len() <= usize::from(CHUNK_EXTENSION_BYTES_MAX)
            && extension_octets <= usize::from(EXTENSION_BYTES_MAX);
        if digits == 0 || digits > 16 || !is_within || !are_extensions(extensions) {
            return Naive::Wrong;
        }
        let size = std::str::from_utf8(size).expect("hex digits are ASCII");
        let size = u64::from_str_radix(size, 16).expect("at most 16 digits");
        if size == 0 {
            return naive_trailer(text, rest, content);
        }
        let Ok(size) = usize::try_from(size) else {
            return Naive::Short;
        };
        match rest.split_at_checked(size) {
            None => return Naive::Short,
            Some((chunk, [b'\r', b'\n', behind @ ..])) => {
                content.extend_from_slice(chunk);
                rest = behind;
            }
            Some((_, [] | [b'\r'])) => return Naive::Short,
            Some(_) => return Naive::Wrong,
        }
    }
}

fn naive_trailer(text: &[u8], section: &[u8], content: Vec<u8>) -> Naive {
    let mut rest = section;
    for _ in 0..=TRAILER_LINES_MAX {
        let Some((line, behind)) = line_of(rest) else {
            return Naive::Short;
        };
        rest = behind;
        if section.len() - rest.len() > usize::from(TRAILER_BYTES_MAX) {
            return Naive::Wrong;
        }
        if line.is_empty() {
            return Naive::Done(content, text.len() - rest.len());
        }
        let mut parts = line.splitn(2, |octet| *octet == b':');
        let (name, value) = (parts.next().unwrap_or_default(), parts.next());
        let is_name = !name.is_empty() && name.iter().all(|octet| is_token(*octet));
        let is_value = value.is_some_and(|value| value.iter().all(|octet| is_field_vchar(*octet)));
        if !is_name || !is_value {
            return Naive::Wrong;
        }
    }
    Naive::Wrong
}

/// A line without its CRLF, and what stands behind it.
fn line_of(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = text.windows(2).position(|two| two == b"\r\n")?;
    Some((&text[..end], &text[end + 2..]))
}

/// `*( BWS ";" BWS chunk-ext-name [ BWS "=" BWS chunk-ext-val ] )`
fn are_extensions(text: &[u8]) -> bool {
    let mut rest = text;
    while !rest.is_empty() {
        let Some(behind) = skip_bws(rest).strip_prefix(b";") else {
            return false;
        };
        let Some(behind) = skip_token(skip_bws(behind)) else {
            return false;
        };
        rest = behind;
        if let Some(behind) = skip_bws(rest).strip_prefix(b"=") {
            let value = skip_bws(behind);
            let Some(behind) = skip_token(value).or_else(|| skip_quoted(value)) else {
                return false;
            };
            rest = behind;
        }
    }
    true
}

fn skip_bws(text: &[u8]) -> &[u8] {
    let white = text
        .iter()
        .take_while(|octet| matches!(octet, b' ' | b'\t'))
        .count();
    &text[white..]
}

fn skip_token(text: &[u8]) -> Option<&[u8]> {
    let length = text.iter().take_while(|octet| is_token(**octet)).count();
    (length > 0).then_some(&text[length..])
}

fn skip_quoted(text: &[u8]) -> Option<&[u8]> {
    let mut rest = text.strip_prefix(b"\"")?;
    loop {
        rest = match rest {
            [b'"', behind @ ..] => return Some(behind),
            [b'\\', octet, behind @ ..] if is_field_vchar(*octet) => behind,
            [octet, behind @ ..] if is_field_vchar(*octet) && *octet != b'\\' => behind,
            _ => return None,
        };
    }
}
