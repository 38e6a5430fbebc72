//! Listening sockets: made on the control thread, one for each worker, and accepted from on the worker's.
//!
//! All sockets of a port form a SO_REUSEPORT group and the kernel spreads connections over it. Options are set on
//! the listener, because accepted sockets inherit them. The accept that is armed is never dropped: to stop, it
//! is cancelled and awaited, and a connection that came all the same is served.

use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener as StdListener};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use socket2::{Domain, Protocol, SockAddr, Socket as RawSocket, Type};

use super::deadline::pause;
use super::fd::{Canceller, Listening};
use super::stream::{Stream, is_cancelled};
use super::task::{Either, Notify, race};

/// Connections that may wait to be accepted; the kernel caps it at net.core.somaxconn.
const BACKLOG: i32 = 4096;
/// How long accepting rests when descriptors or memory ran out: it resumes within a second of their return.
const ACCEPT_REST: Duration = Duration::from_millis(200);
/// Unsent octets above which a socket counts as not writable: what is queued in the kernel beyond this gains nothing.
const NOTSENT_LOWAT: u32 = 128 << 10;

/// Binds and listens. With `shared` the socket joins the port's SO_REUSEPORT group; without, the bind fails
/// where any other socket holds the port, which is how a port in use is seen.
///
/// An IPv6 wildcard takes IPv4 connections too (`dual_stack`).
///
/// # Errors
///
/// As socket(2), bind(2) and listen(2).
pub fn bind(address: SocketAddr, dual_stack: bool, shared: bool) -> io::Result<StdListener> {
    let socket = RawSocket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    socket.set_nonblocking(true)?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(!dual_stack)?;
    }
    if shared {
        socket.set_reuse_port(true)?;
    }
    socket.set_tcp_nodelay(true)?;
    socket.bind(&SockAddr::from(address))?;
    if shared {
        socket.listen(BACKLOG)?;
        let listener = StdListener::from(socket);
        // Absent before Linux 3.12; nothing depends on it but memory.
        let _ = set_notsent_lowat(&listener);
        return Ok(listener);
    }
    Ok(StdListener::from(socket))
}

fn set_notsent_lowat(listener: &StdListener) -> io::Result<()> {
    socket2::SockRef::from(listener).set_tcp_notsent_lowat(NOTSENT_LOWAT)
}

/// The address that a `":port"` listener binds: IPv6 for both families, or IPv4 where there is no IPv6.
pub fn wildcard(port: u16, ipv6: bool) -> SocketAddr {
    match ipv6 {
        true => SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), port),
        false => SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port),
    }
}

/// What [`accept_until`] tells its caller.
pub enum Accepted {
    /// A connection and the address of its peer.
    Connection(Stream, SocketAddr),
    /// Accepting failed and rests for a moment.
    Failed(io::Error),
}

/// Accepts and hands over connections until `stop` is raised; a connection that came while stopping is handed
/// over too. Then the socket listens no more, nor does any duplicate of it.
///
/// **Cancellation**: not to be dropped before it ends; raise `stop`.
///
/// # Errors
///
/// The listener cannot be registered with this thread's driver.
pub async fn accept_until(
    listener: StdListener,
    stop: &Notify,
    mut hand_over: impl FnMut(Accepted),
) -> io::Result<()> {
    let listener = Listening::new(listener)?;
    let mut canceller = Canceller::new();
    let stopping = Cell::new(false);
    while !stopping.get() {
        let result = {
            let mut accept = pin!(listener.accept(canceller.handle()));
            let first = poll_fn(|cx| {
                if let Poll::Ready(result) = accept.as_mut().poll(cx) {
                    return Poll::Ready(Some(result));
                }
                stop.poll_notified(cx).map(|()| None)
            });
            match first.await {
                Some(result) => result,
                None => {
                    stopping.set(true);
                    canceller = canceller.cancel();
                    accept.await
                }
            }
        };
        match result {
            Ok((socket, peer)) => hand_over(Accepted::Connection(Stream::new(socket), peer)),
            Err(error) if is_cancelled(&error) || is_of_the_peer(&error) => {}
            Err(error) => {
                hand_over(Accepted::Failed(error));
                if !stopping.get() {
                    stopping
                        .set(race(pause(ACCEPT_REST), stop.notified()).await == Either::Right(()));
                }
            }
        }
    }
    // Those that the kernel has accepted already are ours: closing the socket would reset them.
    while let Some((socket, peer)) = listener.accept_queued()? {
        hand_over(Accepted::Connection(Stream::new(socket), peer));
    }
    listener.stop()
}

/// The connection died before it was accepted: nothing of ours is wrong.
fn is_of_the_peer(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::Interrupted
    )
}
