//! Content in place: what a received block holds of a body, closed up to one run of octets.
//!
//! A block that was received may hold chunk heads between two parts of the content. They are squeezed out where
//! they stand, so that whoever passes the content on has one range and the block needs no second buffer.

use super::body::{BodyCursor, BodyStep};
use super::chunked::ChunkError;

/// What a range of a block held.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Content {
    /// Where the content begins in the block.
    pub start: usize,
    /// Where it ends; `start` when there is none.
    pub end: usize,
    /// Where the body has ended in the block, if it has: octets from here on belong to something else.
    pub body_end: Option<usize>,
}

/// Feeds `block[from..to]` to the cursor and moves the content in it together.
///
/// Content is moved towards the front only, and the first part of it stays where it is; so the octets before it,
/// where a chunk head stood, are free.
///
/// # Errors
///
/// The chunked coding is malformed. The block's range is then of no meaning.
pub fn compact(
    cursor: &mut BodyCursor,
    block: &mut [u8],
    from: usize,
    to: usize,
) -> Result<Content, ChunkError> {
    let mut read = from;
    let mut content: Option<(usize, usize)> = None;
    loop {
        match cursor.step(&block[read..to])? {
            BodyStep::Content { start, end } => {
                let (first, last) = (read + start, read + end);
                content = match content {
                    None => Some((first, last)),
                    Some((begin, filled)) => {
                        block.copy_within(first..last, filled);
                        Some((begin, filled + (last - first)))
                    }
                };
                read = last;
            }
            BodyStep::NeedMore => {
                let (start, end) = content.unwrap_or((to, to));
                return Ok(Content {
                    start,
                    end,
                    body_end: cursor.is_complete().then_some(to),
                });
            }
            BodyStep::Complete { consumed } => {
                let body_end = read + consumed;
                let (start, end) = content.unwrap_or((body_end, body_end));
                return Ok(Content {
                    start,
                    end,
                    body_end: Some(body_end),
                });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::h1::framing::Framing;

    #[test]
    #[rustfmt::skip]
    fn content_is_closed_up() {
        //    framing              octets                                  content        left
        check(Framing::None,       "",                                     "",            Some(""));
        check(Framing::None,       "GET",                                  "",            Some("GET"));
        check(Framing::Length(5),  "hello",                                "hello",       Some(""));
        check(Framing::Length(5),  "hel",                                  "hel",         None);
        check(Framing::Length(5),  "helloGET",                             "hello",       Some("GET"));
        check(Framing::UntilClose, "hello",                                "hello",       None);
        check(Framing::Chunked,    "5\r\nhello\r\n",                       "hello",       None);
        check(Framing::Chunked,    "2\r\nhe\r\n3;x=y\r\nllo\r\n",          "hello",       None);
        check(Framing::Chunked,    "2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\nGET",  "hello",       Some("GET"));
        check(Framing::Chunked,    "0\r\nX: y\r\n\r\n",                    "",            Some(""));
    }

    #[track_caller]
    fn check(framing: Framing, octets: &str, content: &str, left: Option<&str>) {
        let mut block = [b"##", octets.as_bytes(), b"##"].concat();
        let to = 2 + octets.len();
        let found = compact(&mut BodyCursor::new(framing), &mut block, 2, to).expect("well-formed");
        assert_eq!(&block[found.start..found.end], content.as_bytes());
        assert_eq!(
            found.body_end.map(|end| &block[end..to]),
            left.map(str::as_bytes)
        );
    }

    #[test]
    fn a_malformed_chunk_is_refused() {
        let mut block = b"5\r\nhello!!".to_vec();
        let to = block.len();
        assert!(compact(&mut BodyCursor::new(Framing::Chunked), &mut block, 0, to).is_err());
    }
}
