//! Descriptors that the ring waits on: a socket whose two directions are used at once, a timer, a counter.
//!
//! The runtime's stream wants `&mut` for each operation, though an operation takes of it no more than a clone of
//! the descriptor. A proxy receives and sends on one connection at the same time; the sharing that this needs
//! lives here and nowhere else. Unix sockets, timers and event counters travel in the same stream type: the
//! operations used (receive, send, poll) do not ask what kind of descriptor it is.

#![allow(unsafe_code)]

use std::cell::UnsafeCell;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use monoio::BufResult;
use monoio::io::{AsyncReadRent, AsyncWriteRent, CancelableAsyncReadRent};
pub(super) use monoio::io::{CancelHandle, Canceller};
use monoio::net::{TcpListener, TcpStream, UnixStream};
use rustix::event::{EventfdFlags, eventfd};
use rustix::net::{RecvFlags, SendFlags, Shutdown, shutdown, sockopt};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};

use super::buffer::Buffer;

/// A descriptor registered with this thread's driver; clones share it, the last one closes it.
#[derive(Clone)]
pub(super) struct Socket {
    stream: Rc<UnsafeCell<TcpStream>>,
    fd: RawFd,
}

impl Socket {
    /// Takes the descriptor over. For the epoll driver it must be non-blocking.
    pub(super) fn from_fd(fd: OwnedFd) -> io::Result<Socket> {
        let raw = fd.into_raw_fd();
        // SAFETY: `raw` was just released by its only owner. The std type is a carrier: none of its methods is
        // called before the descriptor is taken out of it again.
        let stream = unsafe { std::net::TcpStream::from_raw_fd(raw) };
        Ok(Socket::from_stream(TcpStream::from_std(stream)?))
    }

    /// A connection to a TCP address. **Cancellation**: the attempt is given up and its socket closed.
    pub(super) async fn dial_tcp(address: SocketAddr) -> io::Result<Socket> {
        Ok(Socket::from_stream(TcpStream::connect_addr(address).await?))
    }

    /// A connection to a Unix socket. **Cancellation** as above.
    pub(super) async fn dial_unix(path: &Path) -> io::Result<Socket> {
        let stream = UnixStream::connect(path).await?;
        // SAFETY: `into_raw_fd` releases the descriptor of its only owner; the connect that used it has ended.
        Socket::from_fd(unsafe { OwnedFd::from_raw_fd(stream.into_raw_fd()) })
    }

    fn from_stream(stream: TcpStream) -> Socket {
        let fd = stream.as_raw_fd();
        Socket {
            stream: Rc::new(UnsafeCell::new(stream)),
            fd,
        }
    }

    /// The stream, for submitting one operation.
    ///
    /// # Safety
    ///
    /// The reference is used to submit and is dead before another is made; of what it points to only the
    /// descriptor is cloned.
    #[allow(clippy::mut_from_ref)]
    unsafe fn stream(&self) -> &'static mut TcpStream {
        // SAFETY: the worker's thread is the only one (`Rc`), and by the caller's duty the only reference. The
        // lifetime is longer than the truth; the callers below do not keep it.
        unsafe { &mut *self.stream.get() }
    }

    /// Receives into the room behind the buffer's window. Submitted when called, not when first polled.
    pub(super) fn recv(
        &self,
        buffer: Buffer,
    ) -> impl Future<Output = BufResult<usize, Buffer>> + use<> {
        // SAFETY: `read` clones the descriptor into the operation and returns without touching the stream again.
        unsafe { self.stream() }.read(buffer)
    }

    /// As [`recv`](Socket::recv), but ended without loss by the handle's canceller. Submitted
    /// when first polled.
    pub(super) fn cancelable_recv(
        &self,
        buffer: Buffer,
        handle: CancelHandle,
    ) -> impl Future<Output = BufResult<usize, Buffer>> + use<> {
        // SAFETY: on its first poll the operation clones the descriptor and does not touch the stream again; the
        // caller polls at once.
        unsafe { self.stream() }.cancelable_read(buffer, handle)
    }

    /// Sends from the front of the buffer's window; says how much was taken. Submitted when called.
    pub(super) fn send(
        &self,
        buffer: Buffer,
    ) -> impl Future<Output = BufResult<usize, Buffer>> + use<> {
        // SAFETY: `write` clones the descriptor into the operation and returns without touching the stream again.
        unsafe { self.stream() }.write(buffer)
    }

    /// Waits until there is something to read, holding no buffer.
    pub(super) async fn readable(&self) -> io::Result<()> {
        // SAFETY: a shared reference suffices; none of the exclusive ones above outlives its submission.
        let stream = unsafe { &*self.stream.get() };
        stream.readable(false).await
    }

    /// Are there octets that nobody has received?
    pub(super) fn has_unread(&self) -> bool {
        let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
        matches!(rustix::net::recv(self, &mut [0u8; 1], flags), Ok((1.., _)))
    }

    /// Nothing more will be sent (FIN).
    pub(super) fn finish(&self) {
        // It fails only when the connection is gone already.
        let _ = shutdown(self, Shutdown::Write);
    }

    /// Closing sends RST.
    pub(super) fn abort_on_close(&self) {
        // It fails only where there is no linger (Unix sockets): there a close with unread data does the same.
        let _ = sockopt::set_socket_linger(self, Some(Duration::ZERO));
    }

    /// Our end's address.
    pub(super) fn local_address(&self) -> io::Result<SocketAddr> {
        Ok(rustix::net::getsockname(self)?.try_into()?)
    }

    /// Small writes leave at once. It fails for Unix sockets, which have no such option and need none.
    pub(super) fn set_nodelay(&self) {
        let _ = sockopt::set_tcp_nodelay(self, true);
    }
}

impl Socket {
    /// Out of the driver's hands; `None` while an operation or another handle has it.
    pub(super) fn into_resting(self) -> Option<Resting> {
        let stream = Rc::try_unwrap(self.stream).ok()?.into_inner();
        // SAFETY: `into_raw_fd` releases the descriptor of its only owner (and panics if an operation is in flight,
        // which a future that holds no handle of ours cannot be).
        let fd = unsafe { OwnedFd::from_raw_fd(stream.into_raw_fd()) };
        Some(Resting { fd })
    }
}

/// A connection out of the driver's hands: nothing is in flight on it.
pub struct Resting {
    fd: OwnedFd,
}

impl Resting {
    /// Back in the hands of this thread's driver.
    pub(super) fn into_socket(self) -> io::Result<Socket> {
        Socket::from_fd(self.fd)
    }

    /// The other end's address.
    ///
    /// # Errors
    ///
    /// The connection is gone.
    pub fn peer_address(&self) -> io::Result<SocketAddr> {
        Ok(rustix::net::getpeername(&self.fd)?
            .ok_or(io::ErrorKind::NotConnected)?
            .try_into()?)
    }

    /// Is there nothing to read, nor an end or error to be seen?
    pub fn is_silent(&self) -> bool {
        let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
        let peeked = rustix::net::recv(&self.fd, &mut [0u8; 1], flags);
        matches!(peeked, Err(rustix::io::Errno::AGAIN))
    }

    /// Sends what the kernel takes at once; the rest is lost. For last words to a peer that may not be there.
    pub fn send_now(&self, octets: &[u8]) {
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        let _ = rustix::net::send(&self.fd, octets, flags);
    }
}

impl AsFd for Resting {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        // SAFETY: the stream keeps the descriptor open at least as long as `self`.
        unsafe { BorrowedFd::borrow_raw(self.fd) }
    }
}

/// A listening socket registered with this thread's driver.
pub(super) struct Listening {
    listener: TcpListener,
    /// The same socket once more, to be read without the driver.
    queue: std::net::TcpListener,
}

impl Listening {
    pub(super) fn new(listener: std::net::TcpListener) -> io::Result<Listening> {
        Ok(Listening {
            queue: listener.try_clone()?,
            listener: TcpListener::from_std(listener)?,
        })
    }

    /// The next connection. **Cancellation**: not to be dropped; ended without loss by the handle's canceller.
    pub(super) async fn accept(&self, handle: CancelHandle) -> io::Result<(Socket, SocketAddr)> {
        let (stream, peer) = self.listener.cancelable_accept(handle).await?;
        Ok((Socket::from_stream(stream), peer))
    }

    /// One that the kernel has accepted already; `None` when there is none left.
    pub(super) fn accept_queued(&self) -> io::Result<Option<(Socket, SocketAddr)>> {
        let Ok((stream, peer)) = self.queue.accept() else {
            return Ok(None);
        };
        stream.set_nonblocking(true)?;
        Ok(Some((Socket::from_fd(stream.into())?, peer)))
    }

    /// Listens no more, nor does any duplicate of it.
    pub(super) fn stop(self) -> io::Result<()> {
        // Dropping the listener leaves its close to the ring's next turn, and a worker that has nothing else to do takes
        // none: the port would stay open with nobody to accept. This takes the socket out of the group at once.
        Ok(shutdown(&self.queue, Shutdown::Read)?)
    }
}

/// A timer that the ring waits on: the runtime's own timers would read the clock twice at every turn.
#[derive(Clone)]
pub(super) struct Timer {
    socket: Socket,
}

impl Timer {
    pub(super) fn new() -> io::Result<Timer> {
        let fd = timerfd_create(
            TimerfdClockId::Monotonic,
            TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC,
        )?;
        Ok(Timer {
            socket: Socket::from_fd(fd)?,
        })
    }

    /// Goes off at this reading of CLOCK_MONOTONIC in milliseconds, at once if it has passed.
    pub(super) fn set(&self, at_ms: u64) {
        // A little later than asked: the wheel reads the coarse clock, which lags behind this one by up to a tick of
        // the kernel (10 ms at 100 Hz). A zero time would disarm it.
        let at_ms = at_ms.saturating_add(10);
        let at = Timespec {
            tv_sec: (at_ms / 1000) as i64,
            tv_nsec: ((at_ms % 1000) * 1_000_000) as i64,
        };
        let spec = Itimerspec {
            it_interval: Timespec {
                tv_sec: 0,
                tv_nsec: 0,
            },
            it_value: at,
        };
        timerfd_settime(&self.socket, TimerfdTimerFlags::ABSTIME, &spec)
            .expect("the timer is ours and the time valid");
    }

    /// Waits until it has gone off.
    pub(super) async fn expired(&self) -> io::Result<()> {
        take_count(&self.socket).await
    }
}

/// An event counter: any thread raises it, the ring waits on it.
pub(super) struct Counter {
    fd: OwnedFd,
}

impl Counter {
    pub(super) fn new() -> io::Result<Counter> {
        Ok(Counter {
            fd: eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)?,
        })
    }

    /// Raises it. A counter that is full is already raised.
    pub(super) fn raise(&self) {
        let _ = rustix::io::write(&self.fd, &1u64.to_ne_bytes());
    }

    /// Waits on this thread's ring; the socket is the counter's second descriptor.
    pub(super) fn waiter(&self) -> io::Result<Socket> {
        Socket::from_fd(self.fd.try_clone()?)
    }
}

/// Waits until an event counter or a timer has something to read, and reads it.
pub(super) async fn take_count(socket: &Socket) -> io::Result<()> {
    loop {
        let mut count = [0u8; 8];
        match rustix::io::read(socket, &mut count) {
            Ok(_) => return Ok(()),
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        socket.readable().await?;
    }
}
