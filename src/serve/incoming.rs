//! The seam between a connection and what is done with its requests.

use std::net::SocketAddr;

use super::body::RequestBody;
use super::reply::Reply;
use crate::http::message::RequestHead;
use crate::policy::route::ListenerIndex;
use crate::telemetry::RequestId;

/// The other end of a downstream connection, and where it came in.
#[derive(Clone, Copy, Debug)]
pub struct Peer {
    /// Its address; IPv4-mapped ones as IPv4.
    pub address: SocketAddr,
    /// The listener in the routing table.
    pub listener: ListenerIndex,
    /// The listener's port.
    pub port: u16,
}

/// One request, from whatever protocol it came.
pub struct Incoming<'a> {
    /// The request head.
    pub head: &'a RequestHead,
    /// The octets that its spans refer to.
    pub octets: &'a [u8],
    /// Who sent it.
    pub peer: Peer,
    /// The exchange's name.
    pub id: RequestId,
    /// Where its body comes from.
    pub body: BodySource<'a>,
    /// Where the response goes.
    pub reply: ReplySink<'a>,
}

/// Where a request's body comes from.
pub enum BodySource<'a> {
    /// An HTTP/1.1 connection.
    Http1(RequestBody<'a>),
}

/// Where a response goes.
pub enum ReplySink<'a> {
    /// An HTTP/1.1 connection.
    Http1(Reply<'a>),
}
