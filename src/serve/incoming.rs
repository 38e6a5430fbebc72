//! The seam between a connection and what is done with its requests.

use std::io::Write;
use std::net::{IpAddr, SocketAddr};

use super::body::RequestBody;
use super::reply::Reply;
use crate::http::forwarding::plain;
use crate::http::message::RequestHead;
use crate::policy::route::ListenerIndex;
use crate::telemetry::RequestId;
use crate::tls::Secured;

/// The other end of a downstream connection, and where it came in.
#[derive(Clone, Copy, Debug)]
pub struct Peer {
    /// The text of its address, made once: it is in every request that is passed on.
    pub text: IpText,
    /// Its address; IPv4-mapped ones as IPv4.
    pub address: SocketAddr,
    /// The listener in the routing table.
    pub listener: ListenerIndex,
    /// The listener's port.
    pub port: u16,
    /// It is spoken to over TLS.
    pub is_tls: bool,
}

impl Peer {
    /// A peer of this address, as the kernel tells it, on a listener and its port.
    pub fn new(address: SocketAddr, listener: ListenerIndex, port: u16, is_tls: bool) -> Peer {
        let address = SocketAddr::new(plain(address.ip()), address.port());
        Peer {
            text: IpText::new(address.ip()),
            address,
            listener,
            port,
            is_tls,
        }
    }
}

/// One request, from whatever protocol it came.
pub struct Incoming<'a> {
    /// The request head.
    pub head: &'a RequestHead,
    /// The octets that its spans refer to.
    pub octets: &'a [u8],
    /// Who sent it.
    pub peer: &'a Peer,
    /// How its connection is secured; `None` where it is plain.
    pub secured: Option<&'a Secured>,
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

/// The longest has an IPv4 tail.
const IP_TEXT_MAX: usize = 45;

/// An address as text, in place.
#[derive(Clone, Copy, Debug)]
pub struct IpText {
    octets: [u8; IP_TEXT_MAX],
    length: u8,
}

impl IpText {
    /// As `Display` writes it, which for IPv4 is not asked: every new connection needs this text.
    pub fn new(ip: IpAddr) -> IpText {
        let mut octets = [0; IP_TEXT_MAX];
        if let IpAddr::V4(ip) = ip {
            let mut length = 0;
            for (place, number) in ip.octets().into_iter().enumerate() {
                if place > 0 {
                    octets[length] = b'.';
                    length += 1;
                }
                for (unit, is_shown) in [(100, number > 99), (10, number > 9), (1, true)] {
                    if is_shown {
                        octets[length] = b'0' + number / unit % 10;
                        length += 1;
                    }
                }
            }
            return IpText {
                octets,
                length: length as u8, // at most 15
            };
        }
        let mut rest = &mut octets[..];
        write!(rest, "{ip}").expect("the longest address fits");
        let length = (IP_TEXT_MAX - rest.len()) as u8;
        IpText { octets, length }
    }

    /// The text.
    pub fn as_bytes(&self) -> &[u8] {
        &self.octets[..usize::from(self.length)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_is_what_display_writes() {
        for ip in [
            "0.0.0.0",
            "255.255.255.255",
            "9.10.99.100",
            "101.90.1.209",
            "::",
            "2001:db8:1111:2222:3333:4444:5555:6666",
            "::ffff:1.2.3.4",
        ] {
            let ip: IpAddr = ip.parse().expect("an address");
            assert_eq!(IpText::new(ip).as_bytes(), ip.to_string().as_bytes());
        }
    }
}
