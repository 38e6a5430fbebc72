//! One connection: octets in, octets out.
//!
//! The two halves work at once and are used by one task or by two. A [`Receiver`] has at most one receive, which
//! stays armed from one await to the next: whoever waits for it may stop waiting and lose nothing. That is how a
//! connection notices that its client has gone while the app still works, and it costs no further operation, for
//! the receive that is armed during an exchange is the one that brings the next request.

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use super::buffer::Buffer;
use super::fd::{Canceller, Resting, Socket};

/// A connected socket, TCP or Unix. Clones are the same connection; the last one closes it.
#[derive(Clone)]
pub struct Stream {
    socket: Socket,
}

impl Stream {
    pub(super) fn new(socket: Socket) -> Stream {
        Stream { socket }
    }

    /// The receiving half, whose receive is armed for the connection's life. One at a time.
    pub fn receiver(&self) -> Receiver {
        Receiver::new(self.socket.clone(), None)
    }

    /// The receiving half, whose receive may be [disarmed](Receiver::disarm). One at a time; each receive costs some
    /// hundred instructions more.
    pub fn disarmable_receiver(&self) -> Receiver {
        Receiver::new(self.socket.clone(), Some(Canceller::new()))
    }

    /// The sending half. One at a time.
    pub fn sender(&self) -> Sender {
        Sender {
            socket: self.socket.clone(),
        }
    }

    /// Waits for octets or the end, holding no buffer. **Cancellation**: nothing is lost.
    ///
    /// # Errors
    ///
    /// As poll(2); a reset connection counts as readable.
    pub async fn readable(&self) -> io::Result<()> {
        self.socket.readable().await
    }

    /// The descriptor alone, where this is the last handle and no operation is in flight.
    pub(super) fn into_resting(self) -> Option<Resting> {
        self.socket.into_resting()
    }

    /// Are there octets that nobody has received? An end or an error is none.
    pub fn has_unread(&self) -> bool {
        self.socket.has_unread()
    }

    /// Closes it here and now: dropping the last handle leaves that to the ring, which takes two operations. Panics
    /// while an operation is in flight; with another handle left it closes nothing.
    pub fn close(self) {
        drop(self.socket.into_resting());
    }

    /// As [`close`](Stream::close), with last words as far as the kernel takes them at once.
    pub fn close_saying(self, words: &[u8]) {
        if let Some(resting) = self.socket.into_resting() {
            resting.send_now(words);
        }
    }

    /// Makes closing send RST: the peer learns that what it got is not whole, or that nobody listens any more.
    pub fn abort_on_close(&self) {
        self.socket.abort_on_close();
    }

    /// Our end's address.
    ///
    /// # Errors
    ///
    /// As getsockname(2).
    pub fn local_address(&self) -> io::Result<SocketAddr> {
        self.socket.local_address()
    }

    /// Sends small writes at once. Unix sockets have no such option and need none.
    pub(super) fn set_nodelay(&self) {
        self.socket.set_nodelay();
    }
}

/// The sending half of a connection.
pub struct Sender {
    socket: Socket,
}

impl Sender {
    /// Sends from the front of the window, which must not be empty, as much as the kernel takes at once, and takes
    /// that out of it. Returns how much it was, at least 1.
    ///
    /// **Cancellation**: how much was sent is unknown; the connection must be closed.
    ///
    /// # Errors
    ///
    /// As send(2). A kernel that takes nothing is an error of kind `WriteZero`.
    pub async fn send_some(&self, mut buffer: Buffer) -> (io::Result<usize>, Buffer) {
        assert!(!buffer.is_empty(), "nothing to send");
        loop {
            let (result, back) = self.socket.send(buffer).await;
            buffer = back;
            match result {
                Ok(0) => return (Err(io::ErrorKind::WriteZero.into()), buffer),
                Ok(count) => {
                    buffer.consume(count);
                    return (Ok(count), buffer);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return (Err(error), buffer),
            }
        }
    }

    /// Says that nothing more will be sent (FIN).
    pub fn finish(&self) {
        self.socket.finish();
    }
}

type Received = (io::Result<usize>, Buffer);

/// What a receiver and its pump hand to each other.
struct Exchange {
    /// A buffer to receive into, until the pump has taken it.
    lent: Cell<Option<Buffer>>,
    /// A finished receive, until the receiver has taken it.
    done: Cell<Option<Received>>,
    /// Of a receiver that may be disarmed.
    canceller: RefCell<Option<Canceller>>,
}

/// The receiving half of a connection.
///
/// The pump is a future that never ends and is polled in place: it allocates once in the life of the receiver,
/// not once a receive, and gives the type a name.
pub struct Receiver {
    exchange: Rc<Exchange>,
    pump: Pin<Box<dyn Future<Output = Infallible>>>,
    armed: bool,
}

impl Receiver {
    fn new(socket: Socket, canceller: Option<Canceller>) -> Receiver {
        let canceller = RefCell::new(canceller);
        let exchange = Rc::new(Exchange {
            lent: Cell::new(None),
            done: Cell::new(None),
            canceller,
        });
        let shared = exchange.clone();
        let pump = Box::pin(async move {
            loop {
                let lent = poll_fn(|_| shared.lent.take().map_or(Poll::Pending, Poll::Ready)).await;
                let handle = shared.canceller.borrow().as_ref().map(Canceller::handle);
                let received = match handle {
                    Some(handle) => socket.cancelable_recv(lent, handle).await,
                    None => socket.recv(lent).await,
                };
                shared.done.set(Some(received));
            }
        });
        Receiver {
            exchange,
            pump,
            armed: false,
        }
    }

    /// Is a receive armed, or finished and not yet taken?
    pub fn is_armed(&self) -> bool {
        self.armed
    }

    /// Arms a receive into the room behind the buffer's window. It is submitted at once, so that it leaves in the
    /// same system call as whatever the task sends next. Panics when one is armed or there is no room.
    pub fn arm(&mut self, buffer: Buffer) {
        assert!(!self.armed, "one receive at a time");
        assert!(
            buffer.receive_room() > 0,
            "a receive needs room: 0 octets would read as the end"
        );
        self.armed = true;
        self.exchange.lent.set(Some(buffer));
        // Nobody waits yet; the task that will registers itself when it does.
        let _ = self
            .pump
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()));
    }

    /// Ready once the armed receive has ended: the octets it brought (0: the peer has finished) are in the buffer's
    /// window. Panics when none is armed.
    pub fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Received> {
        assert!(self.armed, "nothing was armed");
        let done = self.exchange.done.take().or_else(|| {
            let _ = self.pump.as_mut().poll(cx);
            self.exchange.done.take()
        });
        match done {
            Some(received) => {
                self.armed = false;
                Poll::Ready(received)
            }
            None => Poll::Pending,
        }
    }

    /// Waits for the armed receive. **Cancellation**: it stays armed and nothing is lost.
    pub async fn recv(&mut self) -> Received {
        poll_fn(|cx| self.poll_recv(cx)).await
    }

    /// Ends the armed receive without losing what it may have brought. None armed: `None`. Nothing received:
    /// the buffer comes back with an error of raw code ECANCELED. Panics if the receiver was not made for it.
    pub async fn disarm(&mut self) -> Option<Received> {
        if !self.armed {
            return None;
        }
        let canceller = self
            .exchange
            .canceller
            .take()
            .expect("a disarmable receiver");
        let next = canceller.cancel();
        self.exchange.canceller.replace(Some(next));
        Some(self.recv().await)
    }
}

/// Did [`Receiver::disarm`] end the receive before it brought anything?
pub fn is_cancelled(error: &io::Error) -> bool {
    error.raw_os_error() == Some(rustix::io::Errno::CANCELED.raw_os_error())
}

/// What [`Receiver::disarm`] gives back with a buffer that nothing came into.
pub fn cancelled() -> io::Error {
    rustix::io::Errno::CANCELED.into()
}
