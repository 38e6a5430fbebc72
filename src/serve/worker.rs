//! One core: its ring, its listeners, its connections, until it has drained.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::net::TcpListener;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::attend::{attend, close_clients};
use super::connection::{accepted, start};
use super::core::{OpenConnection, Parts, Worker};
use super::handshake::{answer_unread, secure};
use super::incoming::Peer;
use super::snapshot::Snapshot;
use crate::config::Backend;
use crate::net::ladder::{Granted, block_on};
use crate::net::listener::{Accepted, accept_until};
use crate::net::mailbox::Slit;
use crate::net::{Either, Notify, Stream, deadline, race, spawn};
use crate::policy::reason::Reason;
use crate::policy::route::ListenerIndex;
use crate::telemetry::counters::Counter;
use crate::upstream::connect::look_after_lines;

/// How often pages that nobody needs any more are given back.
const TRIM_INTERVAL: Duration = Duration::from_secs(5);
/// After a burst it is looked more often for a while: until nothing is left to be given back.
const BURST_PAUSE: Duration = Duration::from_millis(500);
const BURST_ROUNDS: u32 = 8;

/// What control tells a worker.
pub enum Letter {
    /// Take this snapshot from the next exchange on.
    Publish(Snapshot),
    /// Dropped when it is reached: all letters before it have been taken up, or never will be.
    Mark(Arc<dyn Any + Send + Sync>),
    /// Accept no more, finish what is under way, then end.
    Drain,
    /// End now.
    Stop,
}

/// All that a worker is given when it starts.
pub struct Setup {
    /// What its tasks share.
    pub parts: Parts,
    /// Its own listening sockets, each with its number in the routing table.
    pub listeners: Vec<(TcpListener, ListenerIndex)>,
    /// The mailbox's inner end.
    pub slit: Slit<Letter>,
    /// Which way the sockets are driven.
    pub backend: Backend,
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
    let mut ports = Vec::new();
    for (listener, index) in &setup.listeners {
        let place = usize::from(index.0);
        ports.resize(ports.len().max(place + 1), 0);
        ports[place] = listener.local_addr()?.port();
    }
    let worker = Worker::new(setup.parts, ports)?;
    // A worker whose wheel or trimming died would be a worker without deadlines: both end the process.
    spawn(
        async { deadline::run_wheel().await.expect("the wheel's timer") },
        || std::process::abort(),
    );
    spawn(trim_now_and_then(worker.clone()), || {});
    let attended = worker.clone();
    let attending = async move { attend(&attended).await.expect("the lot's gate") };
    spawn(attending, || std::process::abort());
    let upstreams = worker.upstreams().clone();
    let watching = async move { upstreams.watch_parked().await.expect("the pool's gate") };
    spawn(watching, || std::process::abort());
    let upstreams = worker.upstreams().clone();
    let looking = async move { look_after_lines(&upstreams).await.expect("a timer") };
    spawn(looking, || std::process::abort());
    let accepting = Accepting::start(&worker, setup.listeners);
    started();
    loop {
        match inbox.next().await? {
            Letter::Publish(snapshot) => {
                worker.take_up(snapshot);
            }
            Letter::Mark(mark) => drop(mark),
            Letter::Stop => return Ok(()),
            Letter::Drain => break,
        }
    }
    worker.begin_draining();
    accepting.stop().await;
    close_clients(&worker);
    deadline::end_idle_waits();
    let stopped = async {
        loop {
            match inbox.next().await {
                Ok(Letter::Publish(_) | Letter::Mark(_) | Letter::Drain) => {}
                Ok(Letter::Stop) | Err(_) => return,
            }
        }
    };
    race(worker.none_open(), stopped).await;
    worker.upstreams().close_idle();
    Ok(())
}

/// Gives memory back: now and then, and soon after many connections have gone at once.
async fn trim_now_and_then(worker: Rc<Worker>) {
    loop {
        let is_burst =
            race(worker.many_gone(), deadline::pause(TRIM_INTERVAL)).await == Either::Left(());
        let mut rounds = 0;
        loop {
            if is_burst {
                deadline::pause(BURST_PAUSE).await;
            }
            rounds += 1;
            if !worker.tidy_up() || !is_burst || rounds == BURST_ROUNDS {
                break;
            }
        }
        if is_burst {
            worker.tidy_up_after_burst();
        }
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
            let port = worker.listener_port(index);
            let accept = async move {
                let hand_over = |accepted| match accepted {
                    Accepted::Connection(stream, address) => {
                        let peer = Peer::new(address, index, port, is_tls(&worker, index));
                        welcome(&worker, stream, peer);
                    }
                    Accepted::Failed(error) => {
                        worker.counters().add(Counter::AcceptErrors, 1);
                        let number = worker.number();
                        tracing::warn!("worker {number}: accept: {error}; resting for a moment");
                    }
                };
                if let Err(error) = accept_until(listener, &ours.stop, hand_over).await {
                    tracing::error!("worker {}: cannot accept: {error}", worker.number());
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

fn is_tls(worker: &Worker, listener: ListenerIndex) -> bool {
    worker.current().snapshot.routes.is_tls(listener)
}

fn welcome(worker: &Rc<Worker>, stream: Stream, peer: Peer) {
    worker.counters().add(Counter::ConnectionsAccepted, 1);
    let open = OpenConnection::new(worker.clone());
    let (worker, panicked) = (worker.clone(), worker.clone());
    let on_panic = move || panicked.counters().add(Counter::Panics, 1);
    if open.is_within_limit && peer.is_tls {
        spawn(secure(worker, stream, peer, open), on_panic);
    } else if open.is_within_limit {
        let standing = accepted(&worker);
        start(&worker, stream.into(), peer, standing, open);
    } else {
        worker.counters().add(Counter::ConnectionsRefused, 1);
        if peer.is_tls {
            return; // a handshake is what there is no room for
        }
        let turned_away = async move {
            answer_unread(&worker, &stream, Reason::Overloaded).await;
            drop(open);
        };
        spawn(turned_away, on_panic);
    }
}
