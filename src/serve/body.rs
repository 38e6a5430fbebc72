//! A request's body as it comes over an HTTP/1.1 connection, and what comes after it.

use std::future::pending;
use std::io;
use std::time::Duration;

use crate::h1::body::BodyCursor;
use crate::h1::compact::compact;
use crate::h1::framing::Framing;
use crate::net::clock::now;
use crate::net::{Buffer, Class, Deadline};
use crate::policy::reason::Reason;
use crate::telemetry::counters::{Counter, CounterBlock};
use crate::tls::Receiver;
use crate::upstream::piece::PieceSize;

/// How long an exchange whose client has sent FIN may wait for its response: a half-closed connection is legal, but
/// most such clients are gone.
pub const HALF_CLOSED_WAIT: Duration = Duration::from_secs(60);

/// How long a client may be silent while the beginning of its chunked body is held.
const HOLD_SILENCE: Duration = Duration::from_millis(100);
/// How long the beginning of a body is held in all: one that trickles in is a stream, and streams pass at once.
const HOLD_WAIT: Duration = Duration::from_millis(500);

/// How long an exchange may wait for its response while its client, which has pipelined the next request, is not
/// watched.
const UNWATCHED_WAIT: Duration = Duration::from_secs(600);
/// How long a connection's last exchange goes on before its client is watched: most are over by then, and a receive
/// that brings no further request costs three operations.
const LATE_WATCH: Duration = Duration::from_millis(200);

/// See the module.
pub struct RequestBody<'a> {
    receiver: &'a mut Receiver,
    deadline: &'a Deadline,
    counters: &'a CounterBlock,
    /// Octets received and not looked at: of the body, or behind it.
    leftover: Option<Buffer>,
    /// Content that was read and had no room where it was wanted.
    ahead: Option<Buffer>,
    cursor: BodyCursor,
    size: PieceSize,
    /// Octets of content that the site takes.
    limit: Option<u64>,
    content_octets: u64,
    /// Some of it has come, or was asked for.
    has_begun: bool,
    /// No other request can follow on the connection.
    is_last: bool,
    peer_finished: bool,
}

impl<'a> RequestBody<'a> {
    /// `leftover` is what was received behind the head; `is_last` says that no other request is wanted behind this one.
    pub fn new(
        receiver: &'a mut Receiver,
        deadline: &'a Deadline,
        counters: &'a CounterBlock,
        leftover: Option<Buffer>,
        framing: Framing,
        is_last: bool,
    ) -> RequestBody<'a> {
        RequestBody {
            receiver,
            deadline,
            counters,
            leftover,
            ahead: None,
            cursor: BodyCursor::new(framing),
            size: PieceSize::new(),
            limit: None,
            content_octets: 0,
            has_begun: false,
            is_last,
            peer_finished: false,
        }
    }

    /// The site takes no more than this much content.
    pub fn limit_to(&mut self, octets: Option<u64>) {
        self.limit = octets;
    }

    /// Has the whole body been read, and handed out?
    pub fn is_complete(&self) -> bool {
        self.cursor.is_complete() && self.ahead.is_none()
    }

    /// Is it time to ask for the body (100)? True once, and only while nothing of it has come.
    pub fn may_be_invited(&mut self) -> bool {
        let is_time = !self.has_begun && self.leftover.is_none() && !self.is_complete();
        self.has_begun |= is_time;
        is_time
    }

    /// Octets of content read so far.
    pub fn content_octets(&self) -> u64 {
        self.content_octets
    }

    /// Has the client sent FIN?
    pub fn peer_finished(&self) -> bool {
        self.peer_finished
    }

    /// The deadline that this side of the exchange waits under.
    pub fn deadline(&self) -> &Deadline {
        self.deadline
    }

    /// The next piece of content; `None` when the body is complete. A piece has margins for a chunk's framing.
    ///
    /// **Cancellation**: nothing is lost.
    ///
    /// # Errors
    ///
    /// The client is gone, stopped for `idle`, sent a malformed body, or more than the site takes.
    pub async fn next(&mut self, idle: Duration) -> Result<Option<Buffer>, Reason> {
        if let Some(ahead) = self.ahead.take() {
            return Ok(Some(ahead));
        }
        while !self.is_complete() {
            let mut piece = match self.leftover.take() {
                Some(buffer) => buffer,
                None => self.receive(idle).await?,
            };
            self.has_begun = true;
            self.narrow(&mut piece)?;
            if !piece.is_empty() {
                return Ok(Some(piece));
            }
        }
        Ok(None)
    }

    async fn receive(&mut self, idle: Duration) -> Result<Buffer, Reason> {
        if !self.receiver.is_armed() {
            self.receiver
                .arm(Buffer::rent_for_content(self.size.next(&self.cursor)));
        }
        self.deadline.set(idle);
        let (result, piece) = self
            .deadline
            .limit(self.receiver.recv())
            .await
            .ok_or(Reason::BodyTimeout)?;
        match result {
            Ok(0) => {
                self.peer_finished = true;
                Err(Reason::ClientGone)
            }
            Ok(count) => {
                self.counters
                    .add(Counter::DownstreamBytesReceived, count as u64);
                self.size.learn(self.receiver.was_filled(&piece));
                Ok(piece)
            }
            Err(error) => Err(reason_of(&error)),
        }
    }

    /// Narrows the window to the content in it. What stands behind the body is kept for the next request.
    fn narrow(&mut self, piece: &mut Buffer) -> Result<(), Reason> {
        let (from, to) = (piece.start(), piece.end());
        let content = compact(&mut self.cursor, piece.block_mut(), from, to)
            .map_err(|error| Reason::BadBody(error.as_str()))?;
        if let Some(end) = content.body_end
            && end < to
        {
            piece.set_window(end, to);
            self.leftover = Some(copy_of(piece.window()));
        }
        piece.set_window(content.start, content.end);
        self.content_octets += piece.len() as u64;
        match self.limit {
            Some(limit) if self.content_octets > limit => Err(Reason::BodyTooLarge),
            Some(_) | None => Ok(()),
        }
    }

    /// Reads the whole body of `length` octets, which fits in the largest block, into one buffer.
    ///
    /// **Cancellation**: what was read is lost; the connection must be closed.
    ///
    /// # Errors
    ///
    /// As [`next`](RequestBody::next).
    pub async fn whole(&mut self, length: usize, idle: Duration) -> Result<Buffer, Reason> {
        let mut whole = Buffer::rent(Class::holding(length).ok_or(Reason::Internal)?);
        while let Some(piece) = self.next(idle).await? {
            let fits = whole.append(piece.window());
            assert!(fits, "a body is no longer than its Content-Length");
        }
        Ok(whole)
    }

    /// Reads the beginning of a body of unknown length, at most `room` octets: until it is complete, or the room is
    /// taken, or the client is silent for a moment, or half a second is over. What is malformed in it is seen before anybody hears of the
    /// request, and most bodies are held whole.
    ///
    /// **Cancellation**: what was read is lost; the connection must be closed.
    ///
    /// # Errors
    ///
    /// As [`next`](RequestBody::next).
    pub async fn beginning(&mut self, room: usize) -> Result<Buffer, Reason> {
        let mut held = Buffer::rent(Class::holding(room).ok_or(Reason::Internal)?);
        let due = now().after(HOLD_WAIT);
        while now() < due {
            match self.next(HOLD_SILENCE).await {
                Ok(Some(piece)) if held.len() + piece.len() <= room => {
                    let fits = held.append(piece.window());
                    assert!(fits, "there is room");
                }
                Ok(Some(piece)) => {
                    self.ahead = Some(piece);
                    return Ok(held);
                }
                // The receive stays armed; the rest is passed on as it comes.
                Ok(None) | Err(Reason::BodyTimeout) => return Ok(held),
                Err(reason) => return Err(reason),
            }
        }
        Ok(held)
    }

    /// Takes in what has come already, without waiting. True: the body is complete, and what the client sends next
    /// is another request.
    pub fn discard_received(&mut self) -> bool {
        while let Some(mut buffer) = self.leftover.take_if(|_| !self.cursor.is_complete()) {
            if self.narrow(&mut buffer).is_err() {
                return false;
            }
        }
        self.is_complete()
    }

    /// Watches a client that has sent its whole request: ends when the client is gone.
    ///
    /// FIN is not the end, but limits the wait for the response's head to [`HALF_CLOSED_WAIT`]; `is_answered` says
    /// that it has come. Octets that arrive are the next request; they are kept, and more are not read.
    ///
    /// **Cancellation**: nothing is lost.
    pub async fn watch(&mut self, is_answered: impl Fn() -> bool) -> Reason {
        if self.leftover.is_some() && !self.peer_finished {
            // The next request is here already, and more is not read; so a client that is gone is not seen.
            self.deadline.set(UNWATCHED_WAIT);
        }
        if self.leftover.is_some() || self.peer_finished {
            self.deadline.over().await;
            return match is_answered() {
                true => pending().await,
                false => Reason::ClientGone,
            };
        }
        if !self.receiver.is_armed() {
            if self.is_last {
                self.deadline.set(LATE_WATCH);
                self.deadline.over().await;
                self.deadline.clear();
            }
            self.receiver.arm(Buffer::rent_for_head(Class::Head));
        }
        let (result, buffer) = self.receiver.recv().await;
        match result {
            Ok(0) => {
                self.peer_finished = true;
                self.deadline.set(HALF_CLOSED_WAIT);
                self.deadline.over().await;
                match is_answered() {
                    true => pending().await,
                    false => Reason::ClientGone,
                }
            }
            Ok(count) => {
                self.counters
                    .add(Counter::DownstreamBytesReceived, count as u64);
                self.leftover = Some(buffer);
                pending().await
            }
            Err(error) => reason_of(&error),
        }
    }

    /// What was received behind the body: the beginning of the next request.
    pub fn into_leftover(self) -> Option<Buffer> {
        self.leftover
    }
}

/// A copy in a block of its own, with margins, as if it had just been received.
pub fn copy_of(octets: &[u8]) -> Buffer {
    let class = Class::holding(octets.len() + 64).unwrap_or(Class::Giant);
    let mut copy = Buffer::rent_for_content(class);
    let fits = copy.append(octets);
    assert!(fits, "less than a block was received");
    copy
}

fn reason_of(error: &io::Error) -> Reason {
    match error.kind() {
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => Reason::ClientReset,
        _ => Reason::ClientGone,
    }
}
