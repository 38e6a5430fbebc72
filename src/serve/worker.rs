//! One core: its ring, its listeners, its connections, until it has drained.

use std::cell::{Cell, RefCell};
use std::net::{SocketAddr, TcpListener};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::connection::serve;
use super::incoming::Peer;
use super::respond::{Answer, PageFormat, page};
use super::scratch::{Rented, ScratchPool};
use super::snapshot::{Current, Snapshot};
use crate::config::Backend;
use crate::http::date::imf_fixdate;
use crate::http::forwarding::plain;
use crate::http::method::Method;
use crate::net::clock::unix_nanos;
use crate::net::ladder::{Granted, block_on};
use crate::net::listener::{Accepted, accept_until};
use crate::net::mailbox::Slit;
use crate::net::{Deadline, Notify, Stream, buffer, deadline, race, spawn};
use crate::policy::reason::Reason;
use crate::policy::route::ListenerIndex;
use crate::telemetry::counters::{Counter, CounterBlock};
use crate::telemetry::{AccessRecord, AccessSink, RequestId, RequestIdSource};
use crate::upstream::Upstreams;
use crate::upstream::tokens::Tokens;

/// How often pages that nobody needs any more are given back.
const TRIM_INTERVAL: Duration = Duration::from_secs(5);

/// What control tells a worker.
pub enum Letter {
    /// Take this snapshot from the next exchange on.
    Publish(Snapshot),
    /// Accept no more, finish what is under way, then end.
    Drain,
    /// End now.
    Stop,
}

/// All that a worker is given when it starts.
pub struct Setup {
    /// From 0.
    pub number: u16,
    /// Its own listening sockets, each with its number in the routing table.
    pub listeners: Vec<(TcpListener, ListenerIndex)>,
    /// The mailbox's inner end.
    pub slit: Slit<Letter>,
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
    /// Which way the sockets are driven.
    pub backend: Backend,
    /// Downstream connections of the whole process.
    pub connections: Arc<ConnectionLimit>,
}

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
    connections: Arc<ConnectionLimit>,
    /// Connections of this worker, and who waits for the last of them.
    open: Cell<usize>,
    last_closed: Notify,
    is_draining: Cell<bool>,
    /// The second that `date_text` speaks of.
    date_second: Cell<u64>,
    date_text: Cell<[u8; 29]>,
}

/// Runs a worker on this thread until it is told to stop or has drained. `started` is told what the kernel granted,
/// once the sockets are being accepted from.
///
/// # Errors
///
/// Neither ring nor epoll can be had, or the first registration with it fails.
pub fn run(setup: Setup, started: impl FnOnce(&Granted)) -> std::io::Result<()> {
    let outcome = Rc::new(RefCell::new(Ok(())));
    let result = outcome.clone();
    block_on(setup.backend, |granted| async move {
        *result.borrow_mut() = live(setup, || started(&granted)).await;
    })?;
    outcome.replace(Ok(()))
}

async fn live(setup: Setup, started: impl FnOnce()) -> std::io::Result<()> {
    let inbox = setup.slit.open()?;
    let upstreams = Upstreams::new(setup.tokens, setup.counters.clone());
    let worker = Rc::new(Worker {
        number: setup.number,
        current: RefCell::new(Rc::new(Current::new(setup.snapshot, setup.number))),
        upstreams,
        counters: setup.counters,
        access: setup.access,
        ids: RequestIdSource::new(setup.boot, setup.number),
        scratch: ScratchPool::default(),
        connections: setup.connections,
        open: Cell::new(0),
        last_closed: Notify::new(),
        is_draining: Cell::new(false),
        date_second: Cell::new(u64::MAX),
        date_text: Cell::new([0; 29]),
    });
    // A worker whose wheel or trimming died would be a worker without deadlines: both end the process.
    spawn(
        async { deadline::run_wheel().await.expect("the wheel's timer") },
        || std::process::abort(),
    );
    spawn(trim_now_and_then(), || {});
    let accepting = Accepting::start(&worker, setup.listeners);
    started();
    loop {
        match inbox.next().await? {
            Letter::Publish(snapshot) => {
                *worker.current.borrow_mut() = Rc::new(Current::new(snapshot, worker.number));
            }
            Letter::Stop => return Ok(()),
            Letter::Drain => break,
        }
    }
    worker.is_draining.set(true);
    accepting.stop().await;
    deadline::end_idle_waits();
    let stopped = async {
        loop {
            match inbox.next().await {
                Ok(Letter::Publish(_) | Letter::Drain) => {}
                Ok(Letter::Stop) | Err(_) => return,
            }
        }
    };
    race(worker.none_open(), stopped).await;
    worker.upstreams.close_idle();
    Ok(())
}

async fn trim_now_and_then() {
    loop {
        deadline::pause(TRIM_INTERVAL).await;
        buffer::trim();
    }
}

/// The accept tasks, one a listener.
struct Accepting {
    tasks: Vec<Rc<AcceptTask>>,
}

#[derive(Default)]
struct AcceptTask {
    stop: Notify,
    has_ended: Cell<bool>,
    ended: Notify,
}

impl Accepting {
    fn start(worker: &Rc<Worker>, listeners: Vec<(TcpListener, ListenerIndex)>) -> Accepting {
        let start = |(listener, index): (TcpListener, ListenerIndex)| {
            let task = Rc::new(AcceptTask::default());
            let (ours, worker) = (task.clone(), worker.clone());
            let port = listener.local_addr().map_or(0, |address| address.port());
            let accept = async move {
                let hand_over = |accepted| match accepted {
                    Accepted::Connection(stream, address) => {
                        worker.welcome(stream, address, index, port)
                    }
                    Accepted::Failed(error) => worker.note_accept_failure(&error),
                };
                if let Err(error) = accept_until(listener, &ours.stop, hand_over).await {
                    tracing::error!("worker {}: cannot accept: {error}", worker.number);
                }
                ours.has_ended.set(true);
                ours.ended.notify();
            };
            spawn(accept, || std::process::abort());
            task
        };
        Accepting {
            tasks: listeners.into_iter().map(start).collect(),
        }
    }

    async fn stop(self) {
        for task in &self.tasks {
            task.stop.notify();
        }
        for task in &self.tasks {
            while !task.has_ended.get() {
                task.ended.notified().await;
            }
        }
    }
}

impl Worker {
    fn welcome(
        self: &Rc<Self>,
        stream: Stream,
        address: SocketAddr,
        listener: ListenerIndex,
        port: u16,
    ) {
        self.counters.add(Counter::ConnectionsAccepted, 1);
        let address = SocketAddr::new(plain(address.ip()), address.port());
        let open = OpenConnection::new(self.clone());
        let (worker, panicked) = (self.clone(), self.clone());
        let on_panic = move || panicked.counters.add(Counter::Panics, 1);
        if !open.is_within_limit {
            self.counters.add(Counter::ConnectionsRefused, 1);
            spawn(
                async move {
                    worker.turn_away(stream).await;
                    drop(open);
                },
                on_panic,
            );
            return;
        }
        spawn(
            async move {
                serve(
                    worker,
                    stream,
                    Peer {
                        address,
                        listener,
                        port,
                    },
                )
                .await;
                drop(open);
            },
            on_panic,
        );
    }

    /// Answers a connection beyond the limit without reading from it.
    async fn turn_away(&self, stream: Stream) {
        let (reason, id) = (Reason::Overloaded, self.next_id());
        let Some(status) = reason.status() else {
            return;
        };
        let format = PageFormat::Text;
        let date = &self.date();
        let (response, _) = page(&Answer {
            reason,
            status,
            format,
            method: Method::Get,
            id,
            persists: false,
            date,
        });
        let (sender, limit) = (stream.sender(), Deadline::new());
        limit.set(Duration::from_secs(1));
        // It fits into an empty send buffer; a client that is gone already loses nothing.
        let _ = limit.limit(sender.send_some(response)).await;
        sender.finish();
    }

    fn note_accept_failure(&self, error: &std::io::Error) {
        self.counters.add(Counter::AcceptErrors, 1);
        tracing::warn!(
            "worker {}: accept: {error}; resting for a moment",
            self.number
        );
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

    /// Is there an access log?
    pub fn logs_access(&self) -> bool {
        self.access.is_some()
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

    async fn none_open(&self) {
        while self.open.get() > 0 {
            self.last_closed.notified().await;
        }
    }
}

/// An accepted connection, counted until it is dropped.
struct OpenConnection {
    worker: Rc<Worker>,
    is_within_limit: bool,
}

impl OpenConnection {
    fn new(worker: Rc<Worker>) -> OpenConnection {
        let is_within_limit = worker.connections.enter();
        worker.open.set(worker.open.get() + 1);
        OpenConnection {
            worker,
            is_within_limit,
        }
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        let worker = &self.worker;
        worker.connections.leave();
        worker.counters.add(Counter::ConnectionsClosed, 1);
        worker.open.set(worker.open.get() - 1);
        if worker.open.get() == 0 {
            worker.last_closed.notify();
        }
    }
}
