//! What the simulated world keeps of its connections: pairs of ends, octets on their way, operations in flight.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::task::Waker;

use rustix::io::Errno;

use crate::net::buffer::Buffer;

/// All sockets of a world.
#[derive(Default)]
pub(super) struct Wires {
    pub(super) ends: BTreeMap<u64, End>,
    pub(super) operations: BTreeMap<u64, Operation>,
    pub(super) gates: BTreeMap<u64, GateState>,
    /// Of the worker, by port.
    pub(super) ports: BTreeMap<u16, Queue>,
    /// Of the origins.
    pub(super) origins: BTreeMap<SocketAddr, Queue>,
}

/// Connections that wait to be accepted.
#[derive(Default)]
pub(super) struct Queue {
    pub(super) waiting: VecDeque<u64>,
    /// The accept that is in flight.
    pub(super) accept: Option<u64>,
    pub(super) waker: Option<Waker>,
}

#[derive(Default)]
pub(super) struct GateState {
    pub(super) ready: VecDeque<(u64, u64)>,
    pub(super) waker: Option<Waker>,
}

/// One end of a connection.
pub(super) struct End {
    pub(super) peer: u64,
    /// Whom it leads to, as accept tells.
    pub(super) address: SocketAddr,
    pub(super) is_workers: bool,
    pub(super) inbox: VecDeque<u8>,
    pub(super) inbox_max: usize,
    /// The peer has finished.
    pub(super) fin: bool,
    pub(super) rst: bool,
    pub(super) has_finished: bool,
    /// Nobody holds it any more; it is closed once no operation is in flight.
    pub(super) is_left: bool,
    pub(super) is_closed: bool,
    pub(super) aborts: bool,
    pub(super) in_flight: u32,
    pub(super) receive: Option<u64>,
    pub(super) send: Option<u64>,
    pub(super) polls: Vec<u64>,
    pub(super) watch: Option<(u64, u64)>,
    pub(super) reader: Option<Waker>,
    pub(super) writer: Option<Waker>,
}

/// What an operation does.
pub(super) enum Kind {
    Receive(u64, Option<Buffer>),
    Send(u64, Option<Buffer>),
    Poll(u64),
    Accept(u16),
    Connect(SocketAddr),
}

/// An operation in flight, or completed and not yet looked at.
pub(super) struct Operation {
    pub(super) kind: Kind,
    /// Its completion is on its way.
    pub(super) is_due: bool,
    pub(super) result: Option<Result<usize, Errno>>,
    pub(super) waker: Option<Waker>,
    /// Its future was dropped.
    pub(super) is_orphan: bool,
}

impl End {
    /// Has a receive something to tell?
    pub(super) fn is_readable(&self) -> bool {
        !self.inbox.is_empty() || self.fin || self.rst
    }
}

/// As the standard library tells it.
pub(super) fn told(errno: Errno) -> io::Error {
    io::Error::from_raw_os_error(errno.raw_os_error())
}
