//! The twin of `net/fd.rs`: sockets, timers and counters of the simulated world.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use rustix::io::Errno;

use super::wire::{Kind, told};
use super::world::{Event, TimerState, try_with, with};
use crate::net::buffer::Buffer;

/// One end of a connection, or a counter that is waited on; clones share it, the last one closes it.
#[derive(Clone)]
pub(in crate::net) struct Socket {
    inner: Rc<Inner>,
}

enum Inner {
    End(Held),
    Count(Arc<Mutex<Raised>>),
}

/// Holds an end open.
struct Held(u64);

impl Drop for Held {
    fn drop(&mut self) {
        try_with(|world| world.leave(self.0));
    }
}

/// Submits an operation; what it completes with.
struct Submitted {
    number: u64,
    is_taken: bool,
}

impl Submitted {
    fn new(kind: Kind) -> Submitted {
        Submitted {
            number: with(|world| world.submit(kind)),
            is_taken: false,
        }
    }

    /// Of an operation that a cancel may end; one that was cancelled before it began has ended at once.
    fn cancelable(kind: Kind, handle: &CancelHandle) -> Submitted {
        let submitted = Submitted::new(kind);
        let mut cancelled = handle.cancelled.borrow_mut();
        match &mut *cancelled {
            Some(operations) => operations.push(submitted.number),
            None => with(|world| world.cancelled(submitted.number)),
        }
        submitted
    }
}

impl Future for Submitted {
    type Output = (Result<usize, Errno>, Option<Buffer>);

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let number = self.number;
        let ended = with(|world| {
            let operations = &mut world.wires.operations;
            let operation = operations.get_mut(&number).expect("not yet taken");
            if operation.result.is_none() {
                operation.waker = Some(cx.waker().clone());
                return None;
            }
            world.forget(number)
        });
        let Some(operation) = ended else {
            return Poll::Pending;
        };
        self.is_taken = true;
        let buffer = match operation.kind {
            Kind::Receive(_, buffer) | Kind::Send(_, buffer) => buffer,
            Kind::Poll(_) | Kind::Accept(_) | Kind::Connect(_) => None,
        };
        Poll::Ready((operation.result.expect("looked at above"), buffer))
    }
}

impl Drop for Submitted {
    fn drop(&mut self) {
        if !self.is_taken {
            try_with(|world| world.orphan(self.number));
        }
    }
}

type Moved = (io::Result<usize>, Buffer);

async fn moved(submitted: Submitted) -> Moved {
    let (result, buffer) = submitted.await;
    (
        result.map_err(told),
        buffer.expect("it was lent with the operation"),
    )
}

impl Socket {
    fn of_end(end: u64) -> Socket {
        Socket {
            inner: Rc::new(Inner::End(Held(end))),
        }
    }

    fn end(&self) -> u64 {
        match &*self.inner {
            Inner::End(held) => held.0,
            Inner::Count(_) => unreachable!("a counter is only waited on"),
        }
    }

    pub(in crate::net) async fn dial_tcp(address: SocketAddr) -> io::Result<Socket> {
        let submitted = Submitted::new(Kind::Connect(address));
        with(|world| {
            let wait = match world.strikes(world.faults.refuse) {
                true => 130_000_000_000, // nobody answers
                false => world.delay(),
            };
            world.plan(wait, Event::Complete(submitted.number));
        });
        let (result, _) = submitted.await;
        result.map(|end| Socket::of_end(end as u64)).map_err(told)
    }

    pub(in crate::net) async fn dial_unix(_path: &Path) -> io::Result<Socket> {
        Err(told(Errno::NOENT))
    }

    pub(in crate::net) fn recv(&self, buffer: Buffer) -> impl Future<Output = Moved> + use<> {
        moved(Submitted::new(Kind::Receive(self.end(), Some(buffer))))
    }

    pub(in crate::net) fn cancelable_recv(
        &self,
        buffer: Buffer,
        handle: CancelHandle,
    ) -> impl Future<Output = Moved> + use<> {
        let kind = Kind::Receive(self.end(), Some(buffer));
        moved(Submitted::cancelable(kind, &handle))
    }

    pub(in crate::net) fn send(&self, buffer: Buffer) -> impl Future<Output = Moved> + use<> {
        moved(Submitted::new(Kind::Send(self.end(), Some(buffer))))
    }

    pub(in crate::net) async fn readable(&self) -> io::Result<()> {
        let (result, _) = Submitted::new(Kind::Poll(self.end())).await;
        result.map(|_| ()).map_err(told)
    }

    pub(in crate::net) fn into_resting(self) -> Option<Resting> {
        let Inner::End(held) = Rc::into_inner(self.inner)? else {
            return None;
        };
        let in_flight = with(|world| world.end(held.0).in_flight);
        assert_eq!(in_flight, 0, "put to rest with an operation in flight");
        Some(Resting { held })
    }

    pub(in crate::net) fn has_unread(&self) -> bool {
        with(|world| !world.end(self.end()).inbox.is_empty())
    }

    pub(in crate::net) fn finish(&self) {
        with(|world| world.finish(self.end()));
    }

    pub(in crate::net) fn abort_on_close(&self) {
        with(|world| world.end(self.end()).aborts = true);
    }

    /// The simulated worker has one address.
    pub(in crate::net) fn local_address(&self) -> io::Result<SocketAddr> {
        Ok(SocketAddr::from(([127, 0, 0, 1], 443)))
    }

    pub(in crate::net) fn set_nodelay(&self) {}
}

/// A connection on which nothing is in flight.
pub struct Resting {
    held: Held,
}

impl Resting {
    pub(in crate::net) fn into_socket(self) -> io::Result<Socket> {
        Ok(Socket {
            inner: Rc::new(Inner::End(self.held)),
        })
    }

    /// The other end's address.
    pub fn peer_address(&self) -> io::Result<SocketAddr> {
        Ok(with(|world| world.end(self.held.0).address))
    }

    /// Is there nothing to read, nor an end or error to be seen?
    pub fn is_silent(&self) -> bool {
        with(|world| {
            let end = world.end(self.held.0);
            end.inbox.is_empty() && !end.fin && !end.rst
        })
    }

    /// Sends what is taken at once; the rest is lost.
    pub fn send_now(&self, octets: &[u8]) {
        with(|world| world.send_from(self.held.0, octets));
    }

    pub(super) fn end(&self) -> u64 {
        self.held.0
    }
}

/// The operations that a canceller ends; `None` once it has.
type Cancelled = Rc<RefCell<Option<Vec<u64>>>>;

/// Ends the operations that have its handle.
pub(in crate::net) struct Canceller {
    cancelled: Cancelled,
}

/// See [`Canceller`].
pub(in crate::net) struct CancelHandle {
    cancelled: Cancelled,
}

impl Canceller {
    pub(in crate::net) fn new() -> Canceller {
        Canceller {
            cancelled: Rc::new(RefCell::new(Some(Vec::new()))),
        }
    }

    pub(in crate::net) fn handle(&self) -> CancelHandle {
        CancelHandle {
            cancelled: self.cancelled.clone(),
        }
    }

    pub(in crate::net) fn cancel(self) -> Canceller {
        let operations = self.cancelled.take();
        with(|world| {
            for operation in operations.into_iter().flatten() {
                world.plan_soon(Event::Cancel(operation));
            }
        });
        Canceller::new()
    }
}

/// A port of the worker's. The listener given stands for it by its number alone.
pub(in crate::net) struct Listening {
    port: u16,
}

impl Listening {
    pub(in crate::net) fn new(listener: std::net::TcpListener) -> io::Result<Listening> {
        let port = listener.local_addr()?.port();
        with(|world| world.wires.ports.insert(port, Default::default()));
        Ok(Listening { port })
    }

    pub(in crate::net) async fn accept(
        &self,
        handle: CancelHandle,
    ) -> io::Result<(Socket, SocketAddr)> {
        let accept = Submitted::cancelable(Kind::Accept(self.port), &handle);
        let end = accept.await.0.map_err(told)?;
        Ok(accepted(end as u64))
    }

    pub(in crate::net) fn accept_queued(&self) -> io::Result<Option<(Socket, SocketAddr)>> {
        let end = with(|world| {
            let queue = world.wires.ports.get_mut(&self.port);
            queue.and_then(|queue| queue.waiting.pop_front())
        });
        Ok(end.map(accepted))
    }

    pub(in crate::net) fn stop(self) -> io::Result<()> {
        with(|world| {
            let queue = world.wires.ports.remove(&self.port);
            for end in queue.into_iter().flat_map(|queue| queue.waiting) {
                world.end(end).aborts = true;
                world.leave(end);
            }
        });
        Ok(())
    }
}

fn accepted(end: u64) -> (Socket, SocketAddr) {
    let address = with(|world| world.end(end).address);
    (Socket::of_end(end), address)
}

/// A timer of the world's clock.
#[derive(Clone)]
pub(in crate::net) struct Timer {
    number: u64,
}

impl Timer {
    pub(in crate::net) fn new() -> io::Result<Timer> {
        Ok(with(|world| {
            let number = world.number();
            world.timers.insert(number, TimerState::default());
            Timer { number }
        }))
    }

    pub(in crate::net) fn set(&self, at_ms: u64) {
        with(|world| {
            let setting = world.number();
            let state = world.timers.get_mut(&self.number).expect("made above");
            (state.setting, state.has_expired) = (setting, false);
            let late = world.delay() % 20_000_000;
            let at = at_ms.saturating_add(10).saturating_mul(1_000_000);
            world.plan_at(at.saturating_add(late), Event::Timer(self.number, setting));
        });
    }

    pub(in crate::net) async fn expired(&self) -> io::Result<()> {
        poll_fn(|cx| {
            with(|world| {
                let state = world.timers.get_mut(&self.number).expect("made above");
                if std::mem::take(&mut state.has_expired) {
                    return Poll::Ready(Ok(()));
                }
                state.waker = Some(cx.waker().clone());
                Poll::Pending
            })
        })
        .await
    }
}

#[derive(Default)]
struct Raised {
    is_raised: bool,
    waker: Option<Waker>,
}

/// An event counter: any thread raises it, one task waits on it.
pub(in crate::net) struct Counter {
    raised: Arc<Mutex<Raised>>,
}

impl Counter {
    pub(in crate::net) fn new() -> io::Result<Counter> {
        Ok(Counter {
            raised: Arc::default(),
        })
    }

    pub(in crate::net) fn raise(&self) {
        let mut raised = self.raised.lock().unwrap_or_else(PoisonError::into_inner);
        raised.is_raised = true;
        if let Some(waker) = raised.waker.take() {
            waker.wake();
        }
    }

    pub(in crate::net) fn waiter(&self) -> io::Result<Socket> {
        Ok(Socket {
            inner: Rc::new(Inner::Count(self.raised.clone())),
        })
    }
}

/// Waits until a counter is raised, and takes it down.
pub(in crate::net) async fn take_count(socket: &Socket) -> io::Result<()> {
    let Inner::Count(raised) = &*socket.inner else {
        unreachable!("a connection is no counter");
    };
    poll_fn(|cx| {
        let mut raised = raised.lock().unwrap_or_else(PoisonError::into_inner);
        if std::mem::take(&mut raised.is_raised) {
            return Poll::Ready(Ok(()));
        }
        raised.waker = Some(cx.waker().clone());
        Poll::Pending
    })
    .await
}
