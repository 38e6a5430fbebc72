//! A slot: one exchange's place in the FIFO of an upstream connection, and what the reader puts there.
//!
//! The exchange owns it and lends it to one connection at a time. The reader writes the response head, then pieces
//! of content, then an end; the exchange takes them. Between them stands the read-ahead limit: so much may lie here
//! untaken before the reader stops reading, and a response that fits frees its connection although the client is
//! slow.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use crate::h1::field_lines::HeadLimits;
use crate::h1::framing::Framing;
use crate::http::hop_by_hop::ConnectionOptions;
use crate::http::message::ResponseHead;
use crate::http::method::Method;
use crate::net::clock::{Tick, now};
use crate::net::{Buffer, Class, Notify};
use crate::policy::exchange::Progress;
use crate::policy::reason::Reason;

/// Is a response head the last one of its exchange?
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ArrivalKind {
    /// 1xx other than 100 and 101: another head follows.
    Interim,
    /// The final one; content follows as framed.
    Final,
    /// 101: from here on opaque octets, until the connection closes.
    Switched,
}

/// A response head that has arrived. Its fields are in [`Slot::head`].
pub struct Arrival {
    /// What kind of head.
    pub kind: ArrivalKind,
    /// Holds the head's octets, from `base`; its window is the content that came with them.
    pub buffer: Buffer,
    /// Where the head begins in the buffer's block: its spans count from here.
    pub base: usize,
    /// How the content is delimited on the upstream's side.
    pub framing: Framing,
    /// The head's Connection field.
    pub options: ConnectionOptions,
}

impl Arrival {
    /// The octets that the head's spans refer to.
    pub fn head_octets(&self) -> &[u8] {
        &self.buffer.block()[self.base..]
    }
}

/// What one attempt allows the reader.
#[derive(Clone, Copy, Debug)]
pub struct SlotLimits {
    /// For response heads.
    pub head: HeadLimits,
    /// Octets of content that may wait here untaken.
    pub read_ahead_bytes: usize,
    /// How long a response head that has begun may stop in the middle.
    pub stall: Duration,
}

/// Where a slot stands among those that share its connection.
#[derive(Clone, Copy, Default)]
struct Line {
    /// When its attempt was begun (monotonic nanoseconds).
    began_nanos: u64,
    /// How many stood before it then.
    ahead: u16,
    /// It was sent to another connection.
    has_moved: bool,
    /// Its exchange has gone since then.
    discarded_at: Option<Tick>,
}

/// See the module.
pub struct Slot {
    /// How far the exchange has gone; written by both sides.
    pub progress: RefCell<Progress>,
    /// The response head that arrived last.
    pub head: RefCell<ResponseHead>,
    limits: Cell<SlotLimits>,
    arrival: Cell<Option<Arrival>>,
    pieces: RefCell<VecDeque<Buffer>>,
    waiting_bytes: Cell<usize>,
    end: Cell<Option<Result<(), Reason>>>,
    line: Cell<Line>,
    /// Raised for the exchange: a head, a piece or the end is here.
    arrived: Notify,
    /// Raised for the reader: something was taken.
    taken: Notify,
    /// Raised for the exchange: the connection took some of the request, or will take no more.
    pub(super) flushed: Notify,
}

impl Slot {
    /// A slot for the exchanges of one downstream connection.
    pub fn new() -> Slot {
        let head = HeadLimits {
            head_bytes: 0,
            fields: 0,
        };
        Slot {
            progress: RefCell::new(Progress::new(Method::Other)),
            head: RefCell::new(ResponseHead::new()),
            limits: Cell::new(SlotLimits {
                head,
                read_ahead_bytes: 0,
                stall: Duration::ZERO,
            }),
            arrival: Cell::new(None),
            pieces: RefCell::new(VecDeque::new()),
            waiting_bytes: Cell::new(0),
            end: Cell::new(None),
            line: Cell::new(Line::default()),
            arrived: Notify::new(),
            taken: Notify::new(),
            flushed: Notify::new(),
        }
    }

    /// Makes it ready for an exchange: empty, nothing done.
    pub fn begin_exchange(&self, method: Method) {
        self.progress.replace(Progress::new(method));
        self.clear();
    }

    /// Sets what the reader may do, before the slot is lent.
    pub fn set_limits(&self, limits: SlotLimits) {
        self.limits.set(limits);
    }

    /// Drops what the last exchange left: nobody else holds the slot.
    pub fn forget_exchange(&mut self) {
        self.clear();
    }

    fn clear(&self) {
        self.arrival.set(None);
        self.pieces.borrow_mut().clear();
        self.waiting_bytes.set(0);
        self.end.set(None);
        self.line.set(Line::default());
    }

    /// A new slot that goes on where this one's attempt failed; this one stays with the doomed connection.
    pub fn successor(&self) -> Slot {
        let next = Slot::new();
        next.progress.replace(*self.progress.borrow());
        next.limits.set(self.limits.get());
        next
    }

    // The exchange's side.

    /// Waits for the next response head. **Cancellation**: nothing is lost.
    ///
    /// # Errors
    ///
    /// The attempt has failed before a head came.
    pub async fn next_arrival(&self) -> Result<Arrival, Reason> {
        poll_fn(|cx| {
            loop {
                if let Some(arrival) = self.arrival.take() {
                    self.taken.notify();
                    return Poll::Ready(Ok(arrival));
                }
                if let Some(Err(reason)) = self.end.get() {
                    return Poll::Ready(Err(reason));
                }
                if self.arrived.poll_notified(cx).is_pending() {
                    return Poll::Pending;
                }
            }
        })
        .await
    }

    /// Waits for the next piece of content; `None` when it is complete. Not to be called before the final head
    /// was taken. **Cancellation**: nothing is lost.
    ///
    /// # Errors
    ///
    /// The response ended before its content did; pieces that came before are handed out first.
    pub async fn next_piece(&self) -> Result<Option<Buffer>, Reason> {
        poll_fn(|cx| {
            loop {
                if let Some(piece) = self.pieces.borrow_mut().pop_front() {
                    self.waiting_bytes
                        .set(self.waiting_bytes.get() - piece.len());
                    self.taken.notify();
                    return Poll::Ready(Ok(Some(piece)));
                }
                if let Some(end) = self.end.get() {
                    return Poll::Ready(end.map(|()| None));
                }
                if self.arrived.poll_notified(cx).is_pending() {
                    return Poll::Pending;
                }
            }
        })
        .await
    }

    /// Is the response complete, and nothing of it left to be taken?
    pub fn is_drained(&self) -> bool {
        self.end.get() == Some(Ok(())) && self.pieces.borrow().is_empty()
    }

    /// Has the attempt ended, well or not?
    pub fn has_ended(&self) -> bool {
        self.end.get().is_some()
    }

    /// Did the attempt end because the one ahead of it stalls? Then another connection is to take it.
    pub fn has_moved(&self) -> bool {
        self.line.get().has_moved
    }

    // The line's side.

    /// It stands in a connection's FIFO, behind so many others.
    pub(super) fn stand_in_line(&self, began_nanos: u64, ahead: usize) {
        self.line.set(Line {
            began_nanos,
            ahead: u16::try_from(ahead).unwrap_or(u16::MAX),
            ..Line::default()
        });
    }

    /// When its attempt was begun, and behind how many others it stood then.
    pub(super) fn place_in_line(&self) -> (u64, usize) {
        let line = self.line.get();
        (line.began_nanos, usize::from(line.ahead))
    }

    /// Ends the attempt: another connection is to take it.
    pub(super) fn move_away(&self) {
        self.line.set(Line {
            has_moved: true,
            ..self.line.get()
        });
        self.put_end(Err(Reason::UpstreamStalled));
        self.wake();
    }

    /// The exchange has gone; others wait behind its response, which is read and thrown away.
    pub(super) fn discard(&self) {
        self.line.set(Line {
            discarded_at: Some(now()),
            ..self.line.get()
        });
        self.arrival.set(None);
        self.pieces.borrow_mut().clear();
        self.waiting_bytes.set(0);
        self.taken.notify();
    }

    /// Since when its exchange has gone, if it has.
    pub(super) fn discarded_at(&self) -> Option<Tick> {
        self.line.get().discarded_at
    }

    /// Has no send accepted an octet of its request?
    pub(super) fn is_unsent(&self) -> bool {
        self.progress.borrow().request_octets_accepted == 0
    }

    // The reader's side.

    pub(super) fn limits(&self) -> SlotLimits {
        self.limits.get()
    }

    /// Puts a head down. The caller raises [`wake`](Slot::wake) when all that came with it is in place.
    pub(super) fn put_arrival(&self, arrival: Arrival) {
        if self.discarded_at().is_none() {
            self.arrival.set(Some(arrival));
        }
    }

    pub(super) fn has_arrival(&self) -> bool {
        let arrival = self.arrival.take();
        let is_some = arrival.is_some();
        self.arrival.set(arrival);
        is_some
    }

    /// Puts a piece down, if it holds anything.
    pub(super) fn put_piece(&self, piece: Buffer) {
        if !piece.is_empty() && self.discarded_at().is_none() {
            self.waiting_bytes
                .set(self.waiting_bytes.get() + piece.len());
            queue(&mut self.pieces.borrow_mut(), piece);
        }
    }

    /// Ends the attempt, unless it has ended already.
    pub(super) fn put_end(&self, end: Result<(), Reason>) {
        if self.end.get().is_none() {
            self.end.set(Some(end));
        }
    }

    pub(super) fn wake(&self) {
        self.arrived.notify();
    }

    /// May the reader read on, or does enough lie here?
    pub(super) fn has_room(&self) -> bool {
        self.waiting_bytes.get() < self.limits.get().read_ahead_bytes.max(1)
    }

    /// The largest block that what may still be read ahead fills, but never less than a piece.
    pub(super) fn class_with_room(&self) -> Class {
        let room = self
            .limits
            .get()
            .read_ahead_bytes
            .saturating_sub(self.waiting_bytes.get());
        let mut class = Class::Giant;
        while class.bytes() > room && class > Class::Piece {
            class = class.smaller().unwrap_or(Class::Piece);
        }
        class
    }

    /// Waits until something was taken. **Cancellation**: nothing is lost.
    pub(super) async fn some_taken(&self) {
        self.taken.notified().await;
    }
}

/// Queues a buffer behind the others, or its octets in the last one: a sender of single octets does not get a block
/// for each.
pub(super) fn queue(buffers: &mut VecDeque<Buffer>, next: Buffer) {
    match buffers.back_mut() {
        Some(last) if last.receive_room() >= next.len() => {
            let fits = last.append(next.window());
            assert!(fits, "there is room");
        }
        Some(_) | None => buffers.push_back(next),
    }
}

impl Default for Slot {
    fn default() -> Self {
        Slot::new()
    }
}
