//! One upstream connection: its FIFO of slots, its outbox, and the lease under which an exchange uses it.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use super::endpoint::EndpointNumber;
use super::slot::{Slot, queue};
use super::tokens::Token;
use crate::net::clock::{Tick, now};
use crate::net::{Buffer, Deadline, Notify, Stream};
use crate::policy::reason::Reason;

/// Octets of a request that may wait in the outbox before its exchange is asked to wait.
const OUTBOX_BYTES_MAX: usize = 64 << 10;

/// How long an idle connection keeps its task and a receive armed; after that it is parked.
const WARM_WAIT: Duration = Duration::from_secs(1);

/// See the module. Shared by the pool, its own task and the exchange that has it.
pub struct Connection {
    endpoint: EndpointNumber,
    /// Exchanges whose responses are still to come, oldest first.
    pub(super) fifo: RefCell<VecDeque<Rc<Slot>>>,
    pub(super) outbox: Outbox,
    /// Raised when nobody wants the connection any more.
    pub(super) doomed: Notify,
    pub(super) is_doomed: Cell<bool>,
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
    /// It is parked, idle.
    Parked,
    /// It is an end of a tunnel.
    Tunnel,
}

/// What waits to be sent on a connection.
pub(super) struct Outbox {
    pub(super) buffers: RefCell<VecDeque<Buffer>>,
    pub(super) waiting_bytes: Cell<usize>,
    /// The exchange has put its last buffer in.
    pub(super) is_closed: Cell<bool>,
    /// A send is under way.
    pub(super) is_sending: Cell<bool>,
    /// A send failed: what is put in is thrown away.
    pub(super) is_broken: Cell<bool>,
    /// Raised for the flush: something was put in.
    pub(super) filled: Notify,
}

impl Connection {
    /// A connection that has just been made, idle.
    pub(super) fn new(
        endpoint: EndpointNumber,
        token: Token,
        idle_limit: Duration,
    ) -> Rc<Connection> {
        Rc::new(Connection {
            endpoint,
            fifo: RefCell::new(VecDeque::with_capacity(1)),
            outbox: Outbox {
                buffers: RefCell::new(VecDeque::with_capacity(4)),
                waiting_bytes: Cell::new(0),
                is_closed: Cell::new(false),
                is_sending: Cell::new(false),
                is_broken: Cell::new(false),
                filled: Notify::new(),
            },
            doomed: Notify::new(),
            is_doomed: Cell::new(false),
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

    /// How long it has been idle.
    pub(super) fn idle_for(&self) -> Duration {
        now().since(self.idle_since.get())
    }

    pub(super) fn front(&self) -> Option<Rc<Slot>> {
        self.fifo.borrow().front().cloned()
    }

    /// Is there a request of which nothing has been sent, nor is on its way?
    pub(super) fn has_unsent_request(&self) -> bool {
        let fifo = self.fifo.borrow();
        let is_unsent = |slot: &Rc<Slot>| slot.progress.borrow().request_octets_accepted == 0;
        !self.outbox.is_sending.get() && fifo.front().is_some_and(is_unsent)
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
            self.fifo.borrow().is_empty() && !self.is_doomed(),
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
        self.outbox.is_sending.get() || !self.outbox.buffers.borrow().is_empty()
    }

    /// Its task has ended: what was still to come will not.
    pub(super) fn fail_all(&self, reason: Reason) {
        self.is_doomed.set(true);
        for slot in self.fifo.borrow_mut().drain(..) {
            slot.put_end(Err(reason));
            slot.wake();
            slot.flushed.notify();
        }
        self.outbox.buffers.borrow_mut().clear();
    }
}

/// An exchange's hold on a connection. Dropping it before the response is complete dooms the connection.
pub struct Lease {
    connection: Rc<Connection>,
    slot: Rc<Slot>,
}

impl Lease {
    /// Queues the slot and begins an attempt on the connection.
    pub fn begin(connection: Rc<Connection>, slot: Rc<Slot>) -> Lease {
        assert!(
            connection.fifo.borrow().is_empty(),
            "two outstanding requests"
        );
        connection.outbox.is_closed.set(false);
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
        let outbox = &self.connection.outbox;
        if outbox.is_broken.get() {
            return;
        }
        outbox
            .waiting_bytes
            .set(outbox.waiting_bytes.get() + part.len());
        if is_last {
            outbox.is_closed.set(true);
        }
        queue(&mut outbox.buffers.borrow_mut(), part);
        outbox.filled.notify();
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
        let in_use = self
            .connection
            .fifo
            .borrow()
            .iter()
            .any(|slot| Rc::ptr_eq(slot, &self.slot));
        if in_use {
            // The response has not been read to its end: nobody else may have this connection.
            self.connection.doom();
        }
    }
}
