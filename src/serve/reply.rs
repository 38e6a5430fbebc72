//! The way back over an HTTP/1.1 connection: heads, content, chunks.

use std::time::Duration;

use crate::h1::chunked::{LAST_CHUNK, encode_chunk_head_before};
use crate::net::{Buffer, Deadline};
use crate::policy::reason::Reason;
use crate::telemetry::counters::{Counter, CounterBlock};
use crate::tls::Sender;

/// Octets before the content that a chunk's size line may take: a block has at most 2^19 octets, five digits.
const CHUNK_HEAD_ROOM: usize = 7;

/// How the content of the response is delimited downstream.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Delimiter {
    /// There is none.
    Bodyless,
    /// Content-Length: so many octets.
    Length(u64),
    /// The chunked coding.
    Chunked,
    /// The connection's end: for HTTP/1.0 clients.
    Close,
}

impl Delimiter {
    /// Does the response say itself where it ends?
    pub fn is_explicit(self) -> bool {
        match self {
            Delimiter::Bodyless | Delimiter::Length(_) | Delimiter::Chunked => true,
            Delimiter::Close => false,
        }
    }
}

/// See the module.
pub struct Reply<'a> {
    sender: &'a Sender,
    deadline: &'a Deadline,
    counters: &'a CounterBlock,
    /// How long the client may take nothing.
    idle: Duration,
    content_octets: u64,
    /// The beginning of the response's Content-Type, for the record.
    media: [u8; MEDIA_BYTES_MAX],
    media_length: Option<u8>,
}

/// Octets of a Content-Type that are remembered; longer ones are cut.
const MEDIA_BYTES_MAX: usize = 63;

impl<'a> Reply<'a> {
    /// For one exchange.
    pub fn new(
        sender: &'a Sender,
        deadline: &'a Deadline,
        counters: &'a CounterBlock,
        idle: Duration,
    ) -> Reply<'a> {
        Reply {
            sender,
            deadline,
            counters,
            idle,
            content_octets: 0,
            media: [0; MEDIA_BYTES_MAX],
            media_length: None,
        }
    }

    /// The site has its own limit for a client that takes nothing.
    pub fn set_idle(&mut self, idle: Duration) {
        self.idle = idle;
    }

    /// The deadline that this side of the exchange waits under.
    pub fn deadline(&self) -> &'a Deadline {
        self.deadline
    }

    /// Octets of content sent so far.
    pub fn content_octets(&self) -> u64 {
        self.content_octets
    }

    /// `count` octets of what was or will be sent are content.
    pub fn note_content(&mut self, count: usize) {
        self.content_octets += count as u64;
    }

    /// The response has this Content-Type.
    pub fn note_media(&mut self, media: &[u8]) {
        let kept = &media[..media.len().min(MEDIA_BYTES_MAX)];
        self.media[..kept.len()].copy_from_slice(kept);
        self.media_length = Some(kept.len() as u8);
    }

    /// The response's Content-Type, if it had one.
    pub fn media(&self) -> Option<&[u8]> {
        self.media_length
            .map(|length| &self.media[..usize::from(length)])
    }

    /// Sends the whole window.
    ///
    /// **Cancellation**: the connection must be closed.
    ///
    /// # Errors
    ///
    /// The client is gone, or took nothing for too long.
    pub async fn send(&mut self, mut buffer: Buffer) -> Result<(), Reason> {
        while !buffer.is_empty() {
            self.deadline.set(self.idle);
            let sent = self.deadline.limit(self.sender.send_some(buffer)).await;
            let (result, rest) = sent.ok_or(Reason::ClientStalled)?;
            buffer = rest;
            match result {
                Ok(count) => self
                    .counters
                    .add(Counter::DownstreamBytesSent, count as u64),
                Err(_) => return Err(Reason::ClientReset),
            }
        }
        Ok(())
    }
}

/// Makes a chunk of the content in the window, in place; with `is_last` the last chunk follows it. The buffer has
/// margins, and more than nothing in it.
pub fn frame_chunk(piece: &mut Buffer, is_last: bool) {
    let (start, length) = (piece.start(), piece.len());
    assert!(
        start >= CHUNK_HEAD_ROOM && length > 0,
        "content has a margin"
    );
    let begin = encode_chunk_head_before(piece.block_mut(), start, length);
    piece.set_window(begin, start + length);
    let fits = piece.append(b"\r\n") && (!is_last || piece.append(LAST_CHUNK));
    assert!(fits, "content has a margin");
}
