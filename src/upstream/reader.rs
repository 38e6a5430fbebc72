//! The receiving side of an upstream connection: responses in, one after the other, each to the slot it is for.
//!
//! What ends a connection here: octets or a close with an empty FIFO, a response that cannot be read without doubt
//! (RFC 9112 §6.3, §9.2), an end that came too early, and a response after which
//! `may_pool` says no.

use std::io;
use std::rc::Rc;
use std::time::Duration;

use super::connection::{Connection, Destiny};
use super::piece::PieceSize;
use super::pool::Upstreams;
use super::slot::{Arrival, ArrivalKind, Slot};
use crate::h1::body::BodyCursor;
use crate::h1::compact::compact;
use crate::h1::field_lines::Progress;
use crate::h1::framing::{Framing, of_response};
use crate::h1::persistence::{keep_alive_timeout, response_persists};
use crate::h1::response::ResponseParser;
use crate::http::hop_by_hop::ConnectionOptions;
use crate::http::status::Status;
use crate::net::buffer::MARGIN_BACK;
use crate::net::clock::{now, precise_nanos};
use crate::net::stream::is_cancelled;
use crate::net::{Buffer, Class, Either, race};
use crate::policy::exchange::may_pool;
use crate::policy::pipeline::ends_line;
use crate::policy::reason::Reason;
use crate::telemetry::counters::Counter;
use crate::tls::{Receiver, Stream};

/// The longest that an app's `Keep-Alive: timeout=N` keeps an idle connection.
const IDLE_HINT_MAX: Duration = Duration::from_secs(3600);
/// Octets that are read of a response whose exchange has gone, for the sake of those behind it.
const DISCARD_BYTES_MAX: usize = 256 << 10;
/// Interim responses to one request; more is an attack or a fault.
const INTERIM_MAX: u32 = 16;

/// Reads responses until the connection must be closed.
///
/// **Cancellation**: the connection must be closed.
pub(super) async fn read(connection: &Rc<Connection>, stream: &Stream, upstreams: &Rc<Upstreams>) {
    let mut reader = Reader {
        connection,
        upstreams,
        receiver: stream.disarmable_receiver(),
        parser: ResponseParser::new(),
        rest: None,
    };
    loop {
        let first = match reader.rest.take() {
            Some(rest) => Some(rest),
            None => reader.first_octets().await,
        };
        let Some(buffer) = first else {
            return;
        };
        let Some(slot) = connection.front() else {
            return; // nobody asked for these octets (RFC 9112 §9.2)
        };
        slot.progress.borrow_mut().response_octets += buffer.len() as u64;
        let outcome = reader.response(buffer, &slot).await;
        let may_go_on = outcome.is_ok()
            && may_pool(&slot.progress.borrow())
            && !connection.is_doomed()
            && !connection.is_closing.get();
        let is_idle = {
            let mut fifo = connection.fifo.borrow_mut();
            fifo.pop_front();
            fifo.is_empty()
        };
        connection.progressed.set(now());
        if may_go_on {
            connection.has_delivered.set(true);
        }
        if may_go_on && is_idle {
            // First to the pool, then the wake: an exchange that is quick finds the connection there.
            connection.rest();
            upstreams.check_in(connection.clone());
        }
        slot.put_end(outcome);
        slot.wake();
        slot.flushed.notify();
        if !may_go_on {
            return;
        }
    }
}

struct Reader<'a> {
    connection: &'a Rc<Connection>,
    upstreams: &'a Rc<Upstreams>,
    receiver: Receiver,
    parser: ResponseParser,
    /// Received behind a response: the beginning of the next one, which has been asked for.
    rest: Option<Buffer>,
}

impl Reader<'_> {
    /// Waits for the first octets of a response, or for the idle limit. `None`: the connection is to be closed.
    async fn first_octets(&mut self) -> Option<Buffer> {
        self.receiver.arm(Buffer::rent_for_head(Class::Head));
        let (result, buffer) = loop {
            match race(self.receiver.recv(), self.connection.idle.over()).await {
                Either::Left(received) => break received,
                Either::Right(()) if self.connection.fifo.borrow().is_empty() => {
                    self.end_warmth().await;
                    return None;
                }
                Either::Right(()) => self.connection.idle.clear(), // taken from the pool since it was set
            }
        };
        match result {
            Ok(count) if count > 0 && self.is_unasked() => {
                // They came before a single octet of the request had left: no answer to it (RFC 9112 §9.2). The
                // exchange took the connection while they were on their way to us.
                self.end_without_answer(Reason::UpstreamClosed)
            }
            Ok(count) if count > 0 => {
                self.count_received(count);
                Some(buffer)
            }
            Ok(_) => self.end_without_answer(Reason::UpstreamClosed),
            Err(error) => self.end_without_answer(reason_of(&error)),
        }
    }

    /// It has been idle for a while: it leaves the pool, and is parked unless its time is over or something came.
    async fn end_warmth(&mut self) {
        self.upstreams.forget(self.connection);
        if self.connection.is_doomed() {
            return;
        }
        if let Some((Err(error), _)) = self.receiver.disarm().await
            && is_cancelled(&error)
            && !self.receiver.is_amid_record()
            && !self.connection.is_doomed()
        {
            let destiny = match self.connection.outlives_warmth() {
                true => Destiny::Parked,
                false => Destiny::Finished,
            };
            self.connection.destiny.set(destiny);
        }
    }

    /// Has nothing been sent that octets from the upstream could answer?
    fn is_unasked(&self) -> bool {
        self.connection.has_unsent_request()
    }

    fn end_without_answer(&self, reason: Reason) -> Option<Buffer> {
        if let Some(slot) = self.connection.front() {
            slot.put_end(Err(reason));
        }
        None
    }

    fn count_received(&self, count: usize) {
        self.upstreams
            .counters()
            .add(Counter::UpstreamBytesReceived, count as u64);
    }

    /// More of the oldest exchange's response has come.
    fn note_received(&self, count: usize, slot: &Slot) {
        self.count_received(count);
        self.connection.progressed.set(now());
        slot.progress.borrow_mut().response_octets += count as u64;
    }

    /// Reads one whole response, interim ones first, into the slot.
    async fn response(&mut self, mut buffer: Buffer, slot: &Rc<Slot>) -> Result<(), Reason> {
        let mut interim_count = 0;
        loop {
            buffer = self.head(buffer, slot).await?;
            let status = self.parser.head.status;
            if status == Status::SWITCHING_PROTOCOLS || !status.is_interim() {
                break;
            }
            interim_count += 1;
            if interim_count > INTERIM_MAX {
                return Err(Reason::TooManyInterim);
            }
            self.interim(&mut buffer, slot, status).await;
        }
        self.content(buffer, slot).await
    }

    /// Receives until the head at the front of the window is complete.
    async fn head(&mut self, mut buffer: Buffer, slot: &Slot) -> Result<Buffer, Reason> {
        let limits = slot.limits().head;
        loop {
            match self.parser.parse(buffer.window(), &limits) {
                Ok(Progress::Complete) => return Ok(buffer),
                Ok(Progress::Incomplete) => {}
                Err(error) => return Err(Reason::BadResponse(error.kind.as_str())),
            }
            if buffer.receive_room() == 0 {
                // What came before the window is of no more use; else the next larger block. The parser refuses
                // a head over its limit before the classes end.
                let class = match buffer.start() {
                    0 => buffer
                        .class()
                        .larger()
                        .ok_or(Reason::BadResponse("head_too_large"))?,
                    _ => buffer.class(),
                };
                buffer = buffer.moved_to(class);
            }
            buffer = self.more(buffer, slot).await?;
        }
    }

    /// Receives once, behind the window; a head that stops in the middle is waited for no longer than `stall`.
    async fn more(&mut self, buffer: Buffer, slot: &Slot) -> Result<Buffer, Reason> {
        let has_begun = !buffer.is_empty();
        self.receiver.arm(buffer);
        // The connection's idle deadline has no other use while a response is under way.
        let deadline = &self.connection.idle;
        match has_begun {
            true => deadline.set(slot.limits().stall),
            false => deadline.clear(), // the app may take its time between an interim response and the final one
        }
        let received = deadline.limit(self.receiver.recv()).await;
        deadline.clear();
        let (result, buffer) = received.ok_or(Reason::UpstreamStalled)?;
        match result {
            Ok(0) => Err(Reason::BadResponse("incomplete_head")),
            Ok(count) => {
                self.note_received(count, slot);
                Ok(buffer)
            }
            Err(error) => Err(reason_of(&error)),
        }
    }

    /// Hands an interim head over and waits until it was taken. 100 is not passed on: hotgate itself answers
    /// Expect, so nobody downstream waits for it.
    async fn interim(&mut self, buffer: &mut Buffer, slot: &Slot, status: Status) {
        let length = self.parser.head.length;
        if status != Status::CONTINUE {
            let class = Class::holding(length).unwrap_or(Class::Large);
            let mut copy = Buffer::rent(class);
            let fits = copy.append(&buffer.window()[..length]);
            assert!(fits, "a head is within its limit");
            copy.consume(length);
            std::mem::swap(&mut self.parser.head, &mut slot.head.borrow_mut());
            slot.put_arrival(Arrival {
                kind: ArrivalKind::Interim,
                buffer: copy,
                base: 0,
                framing: Framing::None,
                options: ConnectionOptions::default(),
            });
            slot.wake();
            // A slot whose exchange has gone keeps nothing.
            while slot.has_arrival() {
                slot.some_taken().await;
            }
        }
        buffer.consume(length);
        self.parser.reset();
    }

    /// Decides the framing of the final response, hands its head over, and reads its content.
    async fn content(&mut self, mut buffer: Buffer, slot: &Slot) -> Result<(), Reason> {
        let base = buffer.start();
        let (kind, framing, options) = self.final_head(&buffer, slot)?;
        let head_length = self.parser.head.length;
        std::mem::swap(&mut self.parser.head, &mut slot.head.borrow_mut());
        self.parser.reset();
        buffer.consume(head_length);

        let mut cursor = BodyCursor::new(framing);
        let ending = narrow(&mut cursor, &mut buffer)?;
        self.see_to_the_line(slot, framing, ending.is_complete);
        let (buffer, base) = match ending.surplus {
            Some((from, to)) if self.connection.next_is_sent() => {
                // The next response begins in this block: it stays, and this one, small as it is, is copied.
                let own = copied(&buffer, base);
                buffer.set_window(from, to);
                self.rest = Some(buffer);
                (own, 0)
            }
            Some(_) | None => (buffer, base),
        };
        slot.put_arrival(Arrival {
            kind,
            buffer,
            base,
            framing,
            options,
        });
        let mut is_over = self.note_end(&ending, slot);
        if kind == ArrivalKind::Switched {
            // From here on the octets are the tunnel's. One that begins before the request was sent is none.
            if self.connection.is_sending() {
                return Err(Reason::BadResponse("early_switch"));
            }
            self.connection.destiny.set(Destiny::Tunnel);
            return Ok(());
        }
        if is_over {
            return Ok(()); // the caller wakes the exchange: it finds head, content and end at once
        }
        slot.wake();

        let (mut size, mut discarded) = (PieceSize::new(), 0);
        while !is_over {
            while !slot.has_room() {
                slot.some_taken().await;
            }
            self.connection.progressed.set(now());
            let class = size.next(&cursor).min(slot.class_with_room());
            self.receiver.arm(Buffer::rent_for_content(class));
            let (result, mut piece) = self.receiver.recv().await;
            match result {
                Ok(0) => {
                    cursor
                        .end_of_input()
                        .map_err(|_| Reason::UpstreamTruncated)?;
                    slot.progress.borrow_mut().response_complete = true;
                    return Ok(());
                }
                Ok(count) => self.note_received(count, slot),
                Err(_) => return Err(Reason::UpstreamTruncated),
            }
            size.learn(self.receiver.was_filled(&piece));
            let ending = narrow(&mut cursor, &mut piece)?;
            if let Some((from, to)) = ending.surplus
                && self.connection.next_is_sent()
            {
                self.rest = Some(copy_of(&piece.block()[from..to]));
            }
            discarded += piece.len();
            if slot.discarded_at().is_some() && discarded > DISCARD_BYTES_MAX {
                return Err(Reason::UpstreamTruncated); // nobody hears of it
            }
            slot.put_piece(piece);
            is_over = self.note_end(&ending, slot);
            if !is_over {
                slot.wake();
            }
        }
        Ok(())
    }

    /// Learns how long the app took, and clears the line behind a response that would hold it up.
    fn see_to_the_line(&self, slot: &Slot, framing: Framing, is_whole: bool) {
        let connection = self.connection;
        if !connection.is_timed.get() {
            return;
        }
        let endpoint = connection.endpoint();
        let (began_nanos, ahead) = slot.place_in_line();
        if connection.has_delivered.get() {
            // On a connection made for the request its making would count as the app's time.
            let waited = precise_nanos().saturating_sub(began_nanos);
            self.upstreams.learn(endpoint, waited, ahead);
        }
        let persists = slot.progress.borrow().upstream_persists;
        if !ends_line(persists, framing, is_whole) {
            return;
        }
        let is_anybody_behind = connection.fifo.borrow().len() > 1;
        match is_anybody_behind {
            true => self.upstreams.move_those_behind(connection),
            false => self.upstreams.unshare(connection),
        }
    }

    /// What the final head says: is it one that may be passed on, and how is its content delimited?
    fn final_head(
        &self,
        buffer: &Buffer,
        slot: &Slot,
    ) -> Result<(ArrivalKind, Framing, ConnectionOptions), Reason> {
        let (head, octets) = (&self.parser.head, buffer.window());
        let mut progress = slot.progress.borrow_mut();
        let options = ConnectionOptions::of(&head.fields, octets)
            .map_err(|_| Reason::BadResponse("protected_nomination"))?;
        if head.status == Status::SWITCHING_PROTOCOLS {
            let is_asked_for = progress.upgrade_sent && options.upgrade;
            return match is_asked_for {
                true => Ok((ArrivalKind::Switched, Framing::UntilClose, options)),
                false => Err(Reason::UnrequestedUpgrade),
            };
        }
        let framing = of_response(progress.method, head, octets)
            .map_err(|error| Reason::BadResponse(error.as_str()))?;
        progress.response_delimited = framing != Framing::UntilClose;
        progress.upstream_persists = response_persists(head.version, &options, &framing);
        // The app may say how long it waits; a second less, so that we are first.
        let hint = keep_alive_timeout(&head.fields, octets)
            .map(|seconds| Duration::from_secs(seconds.saturating_sub(1)).min(IDLE_HINT_MAX));
        let limit = hint.unwrap_or(self.connection.idle_default);
        self.connection.idle_limit.set(limit);
        progress.upstream_persists &= !limit.is_zero();
        Ok((ArrivalKind::Final, framing, options))
    }

    /// Notes in the exchange's progress when the content is complete.
    fn note_end(&self, ending: &Ending, slot: &Slot) -> bool {
        let mut progress = slot.progress.borrow_mut();
        progress.response_complete = ending.is_complete;
        progress.upstream_octets_left = ending.surplus.is_some() && self.rest.is_none();
        ending.is_complete
    }
}

/// Narrows the window to the content in it, and says whether the body ends there and what stands behind it.
fn narrow(cursor: &mut BodyCursor, buffer: &mut Buffer) -> Result<Ending, Reason> {
    let (from, to) = (buffer.start(), buffer.end());
    let content = compact(cursor, buffer.block_mut(), from, to)
        .map_err(|error| Reason::BadResponse(error.as_str()))?;
    buffer.set_window(content.start, content.end);
    Ok(Ending {
        is_complete: content.body_end.is_some(),
        surplus: content
            .body_end
            .filter(|end| *end < to)
            .map(|end| (end, to)),
    })
}

/// Does a body end in a buffer?
struct Ending {
    is_complete: bool,
    /// Where in the block octets stand behind the end of the body.
    surplus: Option<(usize, usize)>,
}

/// A small response by itself: its head, which begins at `base`, and its content, which is the window.
fn copied(response: &Buffer, base: usize) -> Buffer {
    let mut own = copy_of(&response.block()[base..response.end()]);
    own.set_window(response.start() - base, response.end() - base);
    own
}

/// Octets in a block of their own, at its front, with the margin behind that a receive leaves.
fn copy_of(octets: &[u8]) -> Buffer {
    let class = Class::holding(octets.len() + MARGIN_BACK).unwrap_or(Class::Giant);
    let mut copy = Buffer::rent_for_head(class);
    let fits = copy.append(octets);
    assert!(fits, "a block holds what came in a smaller one");
    copy
}

fn reason_of(error: &io::Error) -> Reason {
    match error.kind() {
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => Reason::UpstreamReset,
        _ => Reason::UpstreamClosed,
    }
}
