//! One upstream connection: its FIFO of slots, its outbox, and the lease under which an exchange uses it.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use super::endpoint::EndpointNumber;
use super::slot::{Slot, queue};
use super::tokens::Token;
use crate::net::clock::{Tick, now};
#[cfg(feature = "sim")]
use crate::net::sim::{Bug, strikes};
use crate::net::{Buffer, Deadline, Notify};
use crate::policy::pipeline::Load;
use crate::policy::reason::Reason;
use crate::tls::Stream;

/// Octets of a request that may wait in the outbox before its exchange is asked to wait.
const OUTBOX_BYTES_MAX: usize = 64 << 10;

/// How long an idle connection keeps its task and a receive armed; after that it is parked.
const WARM_WAIT: Duration = Duration::from_secs(1);

/// See the module. Shared by the pool, its own task and the exchanges that use it.
pub struct Connection {
    endpoint: EndpointNumber,
    /// Of the endpoint when it was made (see [`Upstreams::retire`](super::Upstreams::retire)).
    pub(super) generation: u32,
    /// Exchanges whose responses are still to come, oldest first: the only truth about whose a response is.
    pub(super) fifo: RefCell<VecDeque<Rc<Slot>>>,
    pub(super) outbox: Outbox,
    /// Raised when nobody wants the connection any more.
    pub(super) doomed: Notify,
    pub(super) is_doomed: Cell<bool>,
    /// A well-delimited response has been read from it, after which it persisted.
    pub(super) has_delivered: Cell<bool>,
    /// Its endpoint's service time is wanted.
    pub(super) is_timed: Cell<bool>,
    /// It takes no more requests and is closed after the response that is under way.
    pub(super) is_closing: Cell<bool>,
    /// When the oldest exchange last came any further.
    pub(super) progressed: Cell<Tick>,
    /// Since when it is idle; of meaning while it is in the pool.
    idle_since: Cell<Tick>,
    /// How long it may be idle where the app does not say.
    pub(super) idle_default: Duration,
    /// How long it may be idle.
    pub(super) idle_limit: Cell<Duration>,
    pub(super) idle: Deadline,
    /// Until the connection is given to a tunnel or parked.
    token: Cell<Option<Token>>,
    pub(super) destiny: Cell<Destiny>,
    /// The stream, once the connection's task has ended and a tunnel is to have it.
    pub(super) released: Cell<Option<Stream>>,
}

/// What becomes of the stream when the connection's task has ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Destiny {
    /// It is closed.
    Closed,
    /// It is closed, idle: nothing is under way on it.
    Finished,
    /// It is parked, idle.
    Parked,
    /// It is an end of a tunnel.
    Tunnel,
}

/// What waits to be sent on a connection.
pub(super) struct Outbox {
    pub(super) buffers: RefCell<VecDeque<Buffer>>,
    /// Whose the octets in the buffers are, and in the one that is being sent.
    parts: RefCell<VecDeque<Part>>,
    waiting_bytes: Cell<usize>,
    /// A send is under way.
    pub(super) is_sending: Cell<bool>,
    /// A send failed: what is put in is thrown away.
    is_broken: Cell<bool>,
    /// Raised for the flush: something was put in.
    pub(super) filled: Notify,
}

/// A part of a request.
struct Part {
    slot: Rc<Slot>,
    /// Octets of it that no send has accepted yet.
    left: usize,
    /// It is the request's last.
    is_last: bool,
}

impl Outbox {
    fn new() -> Outbox {
        Outbox {
            buffers: RefCell::new(VecDeque::with_capacity(4)),
            parts: RefCell::new(VecDeque::with_capacity(4)),
            waiting_bytes: Cell::new(0),
            is_sending: Cell::new(false),
            is_broken: Cell::new(false),
            filled: Notify::new(),
        }
    }

    fn put(&self, slot: &Rc<Slot>, part: Buffer, is_last: bool) {
        if self.is_broken.get() {
            return;
        }
        let left = part.len();
        self.waiting_bytes.set(self.waiting_bytes.get() + left);
        self.parts.borrow_mut().push_back(Part {
            slot: slot.clone(),
            left,
            is_last,
        });
        queue(&mut self.buffers.borrow_mut(), part);
        self.filled.notify();
    }

    /// A send has accepted so many octets: each exchange learns which of them were its own.
    pub(super) fn accepted(&self, mut count: usize) {
        self.waiting_bytes.set(self.waiting_bytes.get() - count);
        let mut parts = self.parts.borrow_mut();
        while let Some(part) = parts.front_mut() {
            let taken = count.min(part.left);
            (part.left, count) = (part.left - taken, count - taken);
            let is_over = part.left == 0;
            {
                let mut progress = part.slot.progress.borrow_mut();
                progress.request_octets_accepted += taken as u64;
                progress.request_complete |= is_over && part.is_last;
            }
            part.slot.flushed.notify();
            if is_over {
                parts.pop_front();
            }
            if count == 0 {
                return;
            }
        }
    }

    /// A send has failed: nothing more will be accepted.
    pub(super) fn broken(&self) {
        self.is_broken.set(true);
        self.clear();
    }

    fn clear(&self) {
        self.buffers.borrow_mut().clear();
        for part in self.parts.borrow_mut().drain(..) {
            part.slot.flushed.notify();
        }
    }

    /// Is anything waiting that is not on its way yet?
    fn is_gathering(&self) -> bool {
        !self.buffers.borrow().is_empty()
    }
}

impl Connection {
    /// A connection that has just been made, idle.
    pub(super) fn new(
        endpoint: EndpointNumber,
        generation: u32,
        token: Token,
        idle_limit: Duration,
    ) -> Rc<Connection> {
        Rc::new(Connection {
            endpoint,
            generation,
            fifo: RefCell::new(VecDeque::with_capacity(1)),
            outbox: Outbox::new(),
            doomed: Notify::new(),
            is_doomed: Cell::new(false),
            has_delivered: Cell::new(false),
            is_timed: Cell::new(false),
            is_closing: Cell::new(false),
            progressed: Cell::new(now()),
            idle_since: Cell::new(now()),
            idle_default: idle_limit,
            idle_limit: Cell::new(idle_limit),
            idle: Deadline::new(),
            token: Cell::new(Some(token)),
            destiny: Cell::new(Destiny::Closed),
            released: Cell::new(None),
        })
    }

    /// The endpoint it leads to.
    pub fn endpoint(&self) -> EndpointNumber {
        self.endpoint
    }

    /// Can it take no exchange any more?
    pub fn is_doomed(&self) -> bool {
        self.is_doomed.get()
    }

    /// How it stands for those who would share it; one that takes nobody is longer than any line may be.
    pub(super) fn load(&self) -> Load {
        let takes_nobody = self.is_doomed() || self.is_closing.get() || self.outbox.is_broken.get();
        Load {
            outstanding: match takes_nobody {
                true => usize::MAX,
                false => self.fifo.borrow().len(),
            },
            is_gathering: self.outbox.is_gathering(),
        }
    }

    /// How long it has been idle.
    pub(super) fn idle_for(&self) -> Duration {
        now().since(self.idle_since.get())
    }

    pub(super) fn front(&self) -> Option<Rc<Slot>> {
        #[cfg(feature = "sim")]
        if self.fifo.borrow().len() > 1 && strikes(Bug::SlotToWrongExchange) {
            return self.fifo.borrow().get(1).cloned();
        }
        self.fifo.borrow().front().cloned()
    }

    /// Is there a request of which nothing has been sent, nor is on its way?
    pub(super) fn has_unsent_request(&self) -> bool {
        let fifo = self.fifo.borrow();
        !self.outbox.is_sending.get() && fifo.front().is_some_and(|slot| slot.is_unsent())
    }

    /// Is the exchange behind the oldest one waiting for octets that may have come?
    pub(super) fn next_is_sent(&self) -> bool {
        let fifo = self.fifo.borrow();
        fifo.get(1).is_some_and(|slot| !slot.is_unsent())
    }

    /// Nobody wants it any more: its task ends and closes the stream.
    pub fn doom(&self) {
        self.is_doomed.set(true);
        self.doomed.notify();
    }

    /// Since when it is idle.
    pub(super) fn idle_since(&self) -> Tick {
        self.idle_since.get()
    }

    /// The last exchange is complete: from now on it is idle, and its task waits with a receive armed for a while.
    pub(super) fn rest(&self) {
        assert!(
            self.fifo.borrow().is_empty() && !self.is_doomed() && !self.is_closing.get(),
            "pooled while in use"
        );
        self.idle_since.set(now());
        self.idle.set_idle(self.idle_limit.get().min(WARM_WAIT));
    }

    /// Is it to be parked once it has been idle with its task for a while?
    pub(super) fn outlives_warmth(&self) -> bool {
        self.idle_limit.get() > WARM_WAIT
    }

    /// Its token, if it still has it.
    pub(super) fn take_token(&self) -> Option<Token> {
        self.token.take()
    }

    /// Is a part of a request still to be sent, or on its way?
    pub(super) fn is_sending(&self) -> bool {
        self.outbox.is_sending.get() || self.outbox.is_gathering()
    }

    /// Sends whoever stands behind the oldest exchange to another connection, each once; returns how many. They have
    /// received nothing: what comes on this connection is the oldest one's until it ends, and then the connection is
    /// closed.
    pub(super) fn move_those_behind(&self) -> usize {
        self.is_closing.set(true);
        let behind = {
            let mut fifo = self.fifo.borrow_mut();
            let kept = fifo.len().min(1);
            fifo.split_off(kept)
        };
        for slot in &behind {
            slot.move_away();
        }
        behind.len()
    }

    /// Its task has ended: what was still to come will not.
    pub(super) fn fail_all(&self, reason: Reason) {
        self.is_doomed.set(true);
        for slot in self.fifo.borrow_mut().drain(..) {
            slot.put_end(Err(reason));
            slot.wake();
            slot.flushed.notify();
        }
        self.outbox.clear();
    }
}

/// An exchange's hold on a connection. Dropped before the response is complete, it dooms a connection that nobody
/// shares; on one that others wait for, the response is read and thrown away.
pub struct Lease {
    connection: Rc<Connection>,
    slot: Rc<Slot>,
}

impl Lease {
    /// Queues the slot and begins an attempt on the connection. `began_nanos` is when the attempt was begun.
    pub fn begin(connection: Rc<Connection>, slot: Rc<Slot>, began_nanos: u64) -> Lease {
        let ahead = connection.fifo.borrow().len();
        assert!(
            ahead == 0 || connection.has_delivered.get(),
            "pipelined on a connection that has not proved itself"
        );
        slot.stand_in_line(began_nanos, ahead);
        if ahead == 0 {
            connection.progressed.set(now());
        }
        connection.fifo.borrow_mut().push_back(slot.clone());
        Lease { connection, slot }
    }

    /// The connection it holds.
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    /// The stream and its token, after both sides have switched protocols; `None` if the connection is gone.
    pub fn into_stream(self) -> Option<(Stream, Token)> {
        Some((
            self.connection.released.take()?,
            self.connection.take_token()?,
        ))
    }

    /// Queues a part of the request; `is_last` with the last one. It leaves with the next flush.
    pub fn send(&self, part: Buffer, is_last: bool) {
        self.connection.outbox.put(&self.slot, part, is_last);
    }

    /// Waits until the outbox has room for more. False: the connection takes no more of the request.
    /// **Cancellation**: nothing is lost.
    pub async fn room(&self) -> bool {
        let outbox = &self.connection.outbox;
        loop {
            if outbox.is_broken.get() || self.connection.is_doomed() {
                return false;
            }
            if outbox.waiting_bytes.get() < OUTBOX_BYTES_MAX {
                return true;
            }
            self.slot.flushed.notified().await;
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let (in_line, is_shared) = {
            let fifo = self.connection.fifo.borrow();
            let in_line = fifo.iter().any(|slot| Rc::ptr_eq(slot, &self.slot));
            (in_line, fifo.len() > 1)
        };
        match (in_line, is_shared) {
            (false, _) => {}
            // The response has not been read to its end: nobody else may have this connection.
            (true, false) => self.connection.doom(),
            (true, true) => self.slot.discard(),
        }
    }
}
