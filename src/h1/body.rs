//! Which of the octets behind a head are its body, and whether it is complete (RFC 9112 §6.3, §8).
//!
//! One cursor for every [`Framing`]. It looks at octets once and keeps none: content is handed out as ranges of the
//! caller's input. What it has not consumed belongs to the next message, or to nobody.

use super::chunked::{ChunkError, ChunkStep, ChunkedDecoder};
use super::framing::Framing;

/// Where in a body we are.
#[derive(Clone, Debug)]
pub struct BodyCursor {
    state: State,
}

#[derive(Clone, Debug)]
enum State {
    /// Octets still due, at least 1.
    Length(u64),
    Chunked(ChunkedDecoder),
    UntilClose,
    Complete,
}

/// What one step has found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BodyStep {
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
    Complete {
        /// Octets of the input that belong to the body.
        consumed: usize,
    },
}

/// The connection closed before the body was complete (RFC 9112 §8): what has come must not be taken for
/// all of it, nor be cached, nor be ended properly on the other side.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Truncated;

impl BodyCursor {
    /// Behind the head. `Framing::None` and a length of 0 are complete at once.
    pub fn new(framing: Framing) -> BodyCursor {
        let state = match framing {
            Framing::None | Framing::Length(0) => State::Complete,
            Framing::Length(length) => State::Length(length),
            Framing::Chunked => State::Chunked(ChunkedDecoder::new()),
            Framing::UntilClose => State::UntilClose,
        };
        BodyCursor { state }
    }

    /// Reads on up to the next piece of content. Call it again with what it has not consumed, and with more input
    /// after `NeedMore`. Once complete it consumes nothing.
    ///
    /// The last piece of a body with a known length makes the cursor complete; that a chunked body is complete
    /// shows only with the step after its last piece.
    ///
    /// # Errors
    ///
    /// Chunked coding alone can be wrong. To be called no more then.
    #[inline]
    pub fn step(&mut self, input: &[u8]) -> Result<BodyStep, ChunkError> {
        match &mut self.state {
            State::Complete => Ok(BodyStep::Complete { consumed: 0 }),
            State::Length(_) | State::UntilClose if input.is_empty() => Ok(BodyStep::NeedMore),
            State::Length(due) => {
                let end = usize::try_from(*due).unwrap_or(usize::MAX).min(input.len());
                *due -= end as u64;
                if *due == 0 {
                    self.state = State::Complete;
                }
                Ok(BodyStep::Content { start: 0, end })
            }
            State::Chunked(decoder) => match decoder.step(input)? {
                ChunkStep::Content { start, end } => Ok(BodyStep::Content { start, end }),
                ChunkStep::NeedMore => Ok(BodyStep::NeedMore),
                ChunkStep::Done { consumed } => {
                    self.state = State::Complete;
                    Ok(BodyStep::Complete { consumed })
                }
            },
            State::UntilClose => Ok(BodyStep::Content {
                start: 0,
                end: input.len(),
            }),
        }
    }

    /// Has all of the body been seen? For [`Framing::UntilClose`] not before [`end_of_input`](Self::end_of_input).
    pub fn is_complete(&self) -> bool {
        match self.state {
            State::Complete => true,
            State::Length(_) | State::Chunked(_) | State::UntilClose => false,
        }
    }

    /// The peer has closed its side; every octet it sent has been stepped over.
    ///
    /// # Errors
    ///
    /// More was due. A body that closing delimits is complete by it.
    pub fn end_of_input(&mut self) -> Result<(), Truncated> {
        match self.state {
            State::Complete => Ok(()),
            State::UntilClose => {
                self.state = State::Complete;
                Ok(())
            }
            State::Length(_) | State::Chunked(_) => Err(Truncated),
        }
    }

    /// Content octets still due, where that is known: 0 when complete, `None` for chunked and until close.
    pub fn remaining(&self) -> Option<u64> {
        match self.state {
            State::Complete => Some(0),
            State::Length(due) => Some(due),
            State::Chunked(_) | State::UntilClose => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::h1::splits::every_split;

    /// Content, octets consumed, and whether the body was complete before and by the end of input.
    type Read = Result<(String, usize, bool, Result<(), Truncated>), ChunkError>;

    fn read(framing: Framing, input: &[u8]) -> Read {
        every_split(input, |pieces| {
            let mut cursor = BodyCursor::new(framing);
            let mut content = String::new();
            let mut consumed = 0;
            for piece in pieces {
                let mut rest = *piece;
                loop {
                    let due = cursor.remaining();
                    match cursor.step(rest)? {
                        BodyStep::Content { start, end } => {
                            assert!(start < end);
                            assert_eq!(
                                cursor.remaining(),
                                due.map(|due| due - (end - start) as u64)
                            );
                            content += &rest[start..end].escape_ascii().to_string();
                            consumed += end;
                            rest = &rest[end..];
                        }
                        BodyStep::NeedMore => {
                            consumed += rest.len();
                            break;
                        }
                        BodyStep::Complete { consumed: last } => {
                            assert!(cursor.is_complete());
                            consumed += last;
                            break;
                        }
                    }
                }
            }
            let is_complete = cursor.is_complete();
            let at_end = cursor.end_of_input();
            assert_eq!(cursor.is_complete(), at_end.is_ok());
            Ok((content, consumed, is_complete, at_end))
        })
    }

    #[track_caller]
    fn check(
        framing: Framing,
        input: &[u8],
        content: &str,
        consumed: usize,
        is_complete: bool,
        at_end: Result<(), Truncated>,
    ) {
        assert_eq!(
            read(framing, input),
            Ok((content.to_owned(), consumed, is_complete, at_end))
        );
    }

    #[test]
    #[rustfmt::skip]
    fn reads_bodies() {
        use Framing::*;
        //    framing      input                            content    consumed  complete  at the end of input
        check(None,        b"",                             "",        0,        true,     Ok(()));
        check(None,        b"GET /evil",                    "",        0,        true,     Ok(())); // FR-26, RS-03, RS-05
        check(Length(0),   b"GET /evil",                    "",        0,        true,     Ok(()));
        check(Length(5),   b"",                             "",        0,        false,    Err(Truncated));
        check(Length(5),   b"hell",                         "hell",    4,        false,    Err(Truncated)); // RS-25
        check(Length(5),   b"hello",                        "hello",   5,        true,     Ok(()));
        check(Length(5),   b"helloGET /b",                  "hello",   5,        true,     Ok(())); // FR-49, RS-01
        check(Length(u64::MAX >> 1), b"hello",              "hello",   5,        false,    Err(Truncated));
        check(Chunked,     b"",                             "",        0,        false,    Err(Truncated));
        check(Chunked,     b"5\r\nhello\r\n",               "hello",   10,       false,    Err(Truncated)); // RS-26
        check(Chunked,     b"5\r\nhello\r\n0\r\n",          "hello",   13,       false,    Err(Truncated));
        check(Chunked,     b"5\r\nhello\r\n0\r\n\r\n",      "hello",   15,       true,     Ok(()));
        check(Chunked,     b"5\r\nhello\r\n0\r\n\r\nGET /", "hello",   15,       true,     Ok(()));
        check(UntilClose,  b"",                             "",        0,        false,    Ok(()));
        check(UntilClose,  b"hello",                        "hello",   5,        false,    Ok(()));
    }

    #[test]
    fn a_fault_in_the_coding_is_passed_on() {
        assert_eq!(read(Framing::Chunked, b"5\nhello"), Err(ChunkError::BareLf));
    }
}
