//! What all tasks of one worker share: its number, snapshot, origins, counters, log, scratch, and how many
//! connections are open.

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::parked::Parked;
use super::scratch::{Rented, ScratchPool};
use super::snapshot::{Current, Snapshot};
use crate::http::date::imf_fixdate;
use crate::net::clock::unix_nanos;
use crate::net::parking::Lot;
use crate::net::{Notify, buffer, deadline};
use crate::policy::route::ListenerIndex;
use crate::telemetry::access::PACKED_BYTES_MAX;
use crate::telemetry::counters::{Counter, CounterBlock};
use crate::telemetry::{AccessRecord, AccessSink, RequestId, RequestIdSource};
use crate::upstream::Upstreams;
use crate::upstream::tokens::Tokens;

/// How long a connection stays hot without a request, and how long when more than [`HOT_MANY`] are: a client that asks
/// again does so at once, or not soon.
const HOT_IDLE: Duration = Duration::from_secs(1);
const HOT_IDLE_OF_MANY: Duration = Duration::from_millis(200);
const HOT_MANY: usize = 512;
/// So many connections that have gone leave memory behind that is worth the looking.
const MANY_GONE: usize = 64;

/// Downstream connections at once, in the whole process.
pub struct ConnectionLimit {
    open: AtomicUsize,
    limit: usize,
}

impl ConnectionLimit {
    /// At most `limit` of them.
    pub fn new(limit: usize) -> ConnectionLimit {
        ConnectionLimit {
            open: AtomicUsize::new(0),
            limit,
        }
    }

    fn enter(&self) -> bool {
        self.open.fetch_add(1, Ordering::Relaxed) < self.limit
    }

    fn leave(&self) {
        self.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// One worker's state, shared by its tasks.
pub struct Worker {
    number: u16,
    current: RefCell<Rc<Current>>,
    upstreams: Rc<Upstreams>,
    counters: Arc<CounterBlock>,
    access: Option<AccessSink>,
    ids: RequestIdSource,
    scratch: ScratchPool,
    /// Connections between two requests, and silent tunnels.
    lot: Lot<Parked>,
    /// The listeners' ports, by their numbers.
    ports: Vec<u16>,
    connections: Arc<ConnectionLimit>,
    /// Connections of this worker, and who waits for the last of them.
    open: Cell<usize>,
    last_closed: Notify,
    is_draining: Cell<bool>,
    /// Connections that have gone, or were parked, since somebody tidied up.
    gone: Cell<usize>,
    many_gone: Notify,
    /// The second that `date_text` speaks of.
    date_second: Cell<u64>,
    date_text: Cell<[u8; 29]>,
}

/// What [`Worker::new`] takes.
pub struct Parts {
    /// From 0.
    pub number: u16,
    /// The first snapshot.
    pub snapshot: Snapshot,
    /// Open connections to each endpoint, of all workers.
    pub tokens: Tokens,
    /// The worker's own counters.
    pub counters: Arc<CounterBlock>,
    /// The way into the access log, if there is one.
    pub access: Option<AccessSink>,
    /// The process's part of request ids.
    pub boot: u64,
    /// Downstream connections of the whole process.
    pub connections: Arc<ConnectionLimit>,
}

impl Worker {
    /// A worker without connections, on its own thread; `ports` are its listeners', by their numbers.
    ///
    /// # Errors
    ///
    /// No descriptor can be had for its parking lots.
    pub fn new(parts: Parts, ports: Vec<u16>) -> io::Result<Rc<Worker>> {
        let upstreams = Upstreams::new(parts.tokens, parts.counters.clone())?;
        Ok(Rc::new(Worker {
            number: parts.number,
            current: RefCell::new(Rc::new(Current::new(parts.snapshot, parts.number))),
            upstreams,
            counters: parts.counters,
            access: parts.access,
            ids: RequestIdSource::new(parts.boot, parts.number),
            scratch: ScratchPool::default(),
            lot: Lot::new()?,
            ports,
            connections: parts.connections,
            open: Cell::new(0),
            last_closed: Notify::new(),
            is_draining: Cell::new(false),
            gone: Cell::new(0),
            many_gone: Notify::new(),
            date_second: Cell::new(u64::MAX),
            date_text: Cell::new([0; 29]),
        }))
    }

    /// From the next exchange on, this snapshot holds.
    pub fn take_up(&self, snapshot: Snapshot) {
        let endpoints = snapshot.endpoints.clone();
        let new = Rc::new(Current::new(snapshot, self.number));
        let old = self.current.replace(new);
        for endpoint in endpoints.secured_anew(&old.snapshot.endpoints) {
            self.upstreams.retire(endpoint);
        }
    }

    /// From now on no connection is kept longer than its exchange.
    pub fn begin_draining(&self) {
        self.is_draining.set(true);
    }

    /// Its number, from 0.
    pub fn number(&self) -> u16 {
        self.number
    }

    /// The newest snapshot.
    pub fn current(&self) -> Rc<Current> {
        self.current.borrow().clone()
    }

    /// Its origins.
    pub fn upstreams(&self) -> &Rc<Upstreams> {
        &self.upstreams
    }

    /// Its parking lot.
    pub fn lot(&self) -> &Lot<Parked> {
        &self.lot
    }

    /// The port of one of its listeners; 0 for a number that it has none of.
    pub fn listener_port(&self, listener: ListenerIndex) -> u16 {
        let port = self.ports.get(usize::from(listener.0));
        port.copied().unwrap_or(0)
    }

    /// Its counters.
    pub fn counters(&self) -> &CounterBlock {
        &self.counters
    }

    /// A name for an exchange.
    pub fn next_id(&self) -> RequestId {
        self.ids.next_id()
    }

    /// Does it accept no more, and keep no connection longer than its exchange?
    pub fn is_draining(&self) -> bool {
        self.is_draining.get()
    }

    /// What a hot connection needs.
    pub fn rent_scratch(&self) -> Rented<'_> {
        self.scratch.rent()
    }

    /// How long a connection without a request keeps its task and its buffer.
    pub fn hot_idle(&self) -> Duration {
        match self.scratch.rented() <= HOT_MANY {
            true => HOT_IDLE,
            false => HOT_IDLE_OF_MANY,
        }
    }

    /// Is there an access log?
    pub fn logs_access(&self) -> bool {
        self.access.is_some()
    }

    /// An exchange has ended with this status; 0: without one.
    pub fn count_exchange(&self, status: u16) {
        self.counters.add(Counter::Exchanges, 1);
        let class = match status {
            100..=299 => Counter::Responses2xx,
            300..=399 => Counter::Responses3xx,
            400..=499 => Counter::Responses4xx,
            500.. => Counter::Responses5xx,
            _ => Counter::ExchangesAborted,
        };
        self.counters.add(class, 1);
    }

    /// The record packed, to be completed and logged later; `None` where there is no log.
    pub fn packed_access(&self, record: &AccessRecord<'_>) -> Option<Box<[u8]>> {
        self.access.as_ref()?;
        let mut packed = [0; PACKED_BYTES_MAX];
        let length = record.pack(&mut packed)?;
        Some(packed[..length].into())
    }

    /// Leaves a record in the access log.
    pub fn log_access(&self, record: &AccessRecord<'_>) {
        if let Some(access) = &self.access
            && !access.push(record)
        {
            self.counters.add(Counter::AccessLinesDropped, 1);
        }
    }

    /// The Date field's value, made once a second.
    pub fn date(&self) -> [u8; 29] {
        let second = unix_nanos() / 1_000_000_000;
        if self.date_second.get() != second {
            self.date_second.set(second);
            self.date_text.set(imf_fixdate(second));
        }
        self.date_text.get()
    }

    /// Waits until many connections have gone or were parked. **Cancellation**: nothing is lost.
    pub async fn many_gone(&self) {
        self.many_gone.notified().await;
    }

    /// Gives pages back that nobody needs any more. True: there are more to come, or connections are still going.
    pub fn tidy_up(&self) -> bool {
        let is_more = buffer::trim();
        self.gone.take() > 0 || is_more
    }

    /// Gives all memory back that a burst has left.
    pub fn tidy_up_after_burst(&self) {
        self.scratch.clear();
        self.lot.trim();
        self.upstreams.trim();
        deadline::trim();
        buffer::trim_all();
        buffer::trim_heap();
    }

    fn one_gone(&self) {
        self.gone.set(self.gone.get() + 1);
        if self.gone.get() == MANY_GONE {
            self.many_gone.notify();
        }
    }

    /// Waits until no connection is open. **Cancellation**: nothing is lost.
    pub async fn none_open(&self) {
        while self.open.get() > 0 {
            self.last_closed.notified().await;
        }
    }
}

/// An accepted connection, counted until it is dropped.
pub struct OpenConnection {
    worker: Rc<Worker>,
    /// The process has no more than it may have.
    pub is_within_limit: bool,
    is_parked: bool,
}

impl OpenConnection {
    /// Counts it.
    pub fn new(worker: Rc<Worker>) -> OpenConnection {
        let is_within_limit = worker.connections.enter();
        worker.open.set(worker.open.get() + 1);
        OpenConnection {
            worker,
            is_within_limit,
            is_parked: false,
        }
    }

    /// It is parked: counted on, though nothing holds this any more.
    pub fn stay_counted(mut self) {
        self.is_parked = true;
        self.worker.one_gone();
    }

    /// One that was parked, held again.
    pub fn resumed(worker: &Rc<Worker>) -> OpenConnection {
        OpenConnection {
            worker: worker.clone(),
            is_within_limit: true,
            is_parked: false,
        }
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        if self.is_parked {
            return;
        }
        let worker = &self.worker;
        worker.one_gone();
        worker.connections.leave();
        worker.counters.add(Counter::ConnectionsClosed, 1);
        worker.open.set(worker.open.get() - 1);
        if worker.open.get() == 0 {
            worker.last_closed.notify();
        }
    }
}
