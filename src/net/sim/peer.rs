//! The other ends: what a test's clients and origins hold of the simulated world. They see octets as soon as they
//! are sent; it is the worker's own operations that are late.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::task::Poll;

use super::wire::told;
use super::world::{try_with, with};

/// An end of a connection whose other end the worker holds. Dropping it closes it.
pub struct Peer {
    end: u64,
}

impl Peer {
    /// Receives 1 to `into.len()` octets; 0 at the end.
    ///
    /// # Errors
    ///
    /// The connection was reset.
    pub async fn read(&self, into: &mut [u8]) -> io::Result<usize> {
        poll_fn(|cx| {
            with(|world| {
                let end = world.end(self.end);
                let available = end.inbox.len().min(into.len());
                if available > 0 {
                    let count = world.portion(available);
                    world.take_from_inbox(self.end, &mut into[..count]);
                    return Poll::Ready(Ok(count));
                }
                match (end.rst, end.fin) {
                    (true, _) => Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
                    (false, true) => Poll::Ready(Ok(0)),
                    (false, false) => {
                        end.reader = Some(cx.waker().clone());
                        Poll::Pending
                    }
                }
            })
        })
        .await
    }

    /// Sends 1 to `octets.len()` octets; says how many.
    ///
    /// # Errors
    ///
    /// The connection was reset, or this side has finished.
    pub async fn write(&self, octets: &[u8]) -> io::Result<usize> {
        poll_fn(|cx| {
            with(|world| match world.send_from(self.end, octets) {
                Some(result) => Poll::Ready(result.map_err(told)),
                None => {
                    world.end(self.end).writer = Some(cx.waker().clone());
                    Poll::Pending
                }
            })
        })
        .await
    }

    /// Sends all of it.
    ///
    /// # Errors
    ///
    /// As [`write`](Peer::write).
    pub async fn write_all(&self, mut octets: &[u8]) -> io::Result<()> {
        while !octets.is_empty() {
            let count = self.write(octets).await?;
            octets = &octets[count..];
        }
        Ok(())
    }

    /// Nothing more will be sent (FIN).
    pub fn finish(&self) {
        with(|world| world.finish(self.end));
    }

    /// Closing it sends RST.
    pub fn abort_on_close(&self) {
        with(|world| world.end(self.end).aborts = true);
    }

    /// Its number in the trace.
    pub fn number(&self) -> u64 {
        self.end
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        try_with(|world| world.leave(self.end));
    }
}

/// A connection to the worker's port; `None`: nobody listens there.
pub fn dial(port: u16, from: SocketAddr) -> Option<Peer> {
    with(|world| world.dial_worker(port, from)).map(|end| Peer { end })
}

/// An address of an origin's.
pub struct Origin {
    address: SocketAddr,
}

impl Origin {
    /// From now on the worker can connect to it.
    pub fn listen(address: SocketAddr) -> Origin {
        with(|world| world.wires.origins.entry(address).or_default().waker = None);
        Origin { address }
    }

    /// Waits for the next connection.
    pub async fn accept(&self) -> Peer {
        poll_fn(|cx| {
            with(|world| {
                let queue = world.wires.origins.entry(self.address).or_default();
                match queue.waiting.pop_front() {
                    Some(end) => Poll::Ready(Peer { end }),
                    None => {
                        queue.waker = Some(cx.waker().clone());
                        Poll::Pending
                    }
                }
            })
        })
        .await
    }
}

/// Connections that the worker holds open, by their numbers in the trace.
pub fn open_sockets() -> Vec<u64> {
    with(|world| world.open_ends())
}
