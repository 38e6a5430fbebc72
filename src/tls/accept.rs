//! The handshake of a downstream connection: the peek, the choice, the rest of it.
//!
//! Nothing is answered before the ClientHello is whole and has selected something. A client that asks for nobody we have
//! is told so with an alert of our own (112 `unrecognized_name`), before rustls is involved; so no certificate is shown
//! to it. An authority that validates a name (`acme-tls/1`) gets its answer and nothing else: it has no site, and its
//! connection carries no request (CVE-2026-22045).
//!
//! The caller gives the time: everything here ends with its deadline, in whatever state (CVE-2026-26999). Dropping the
//! future closes the connection.

use std::fmt;
use std::sync::Arc;

use rustls::ServerConfig;

use super::certs::Served;
use super::hello::{Alert, AskedName, Hello, HelloError, Peek, Progress};
use super::session::Session;
use super::step::Fault;
use super::stream::{Secured, Stream};
use super::subject::subject_of;
use super::wire::{Wire, WireFault};
use crate::http::authority::HostName;
use crate::net;
use crate::net::{Buffer, Class};

/// What a connection is to be finished with.
pub enum Chosen {
    /// A site's certificate.
    Site(Arc<Served>),
    /// The answer to a challenge.
    Challenge(Arc<ServerConfig>),
}

/// Why a connection is not to be finished.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unserved {
    /// Nobody has the name that was asked for, or none was and the address belongs to nobody.
    UnknownName,
    /// The site has no certificate yet.
    NoCertificate,
    /// The site is served to nobody, because whom it lets in cannot be told.
    Refused,
    /// It validates a name that we ask no certificate for.
    NoChallenge,
}

impl Unserved {
    fn alert(self) -> Alert {
        match self {
            Unserved::UnknownName | Unserved::NoChallenge => Alert::UnrecognizedName,
            Unserved::NoCertificate => Alert::HandshakeFailure,
            Unserved::Refused => Alert::AccessDenied,
        }
    }
}

/// A handshake that is complete.
pub enum Accepted {
    /// A client of a site.
    Client {
        /// Its connection.
        stream: Stream,
        /// The handshake was a resumption.
        is_resumed: bool,
    },
    /// An authority that has seen its answer. The connection is to be closed.
    Validator,
}

/// Why there is no connection.
#[derive(Debug)]
pub enum HandshakeError {
    /// What came is no ClientHello.
    Hello(HelloError),
    /// It is not to be served.
    Unserved(Unserved),
    /// The client went away.
    Gone,
    /// More came than a handshake has.
    TooLong,
    /// The two have nothing in common, or one broke the protocol.
    Failed(Fault),
}

impl fmt::Display for HandshakeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HandshakeError::Hello(error) => error.fmt(f),
            HandshakeError::Unserved(Unserved::UnknownName) => {
                f.write_str("no site has the name that was asked for")
            }
            HandshakeError::Unserved(Unserved::NoCertificate) => {
                f.write_str("the site has no certificate yet")
            }
            HandshakeError::Unserved(Unserved::Refused) => {
                f.write_str("the site's client authorities cannot be used")
            }
            HandshakeError::Unserved(Unserved::NoChallenge) => {
                f.write_str("no answer to a challenge is awaited")
            }
            HandshakeError::Gone => f.write_str("the client went away"),
            HandshakeError::TooLong => f.write_str("the handshake is too long"),
            HandshakeError::Failed(fault) => fault.fmt(f),
        }
    }
}

impl std::error::Error for HandshakeError {}

impl From<WireFault> for HandshakeError {
    fn from(fault: WireFault) -> HandshakeError {
        match fault {
            WireFault::Gone => HandshakeError::Gone,
            WireFault::TooLong => HandshakeError::TooLong,
            WireFault::Failed(fault) => HandshakeError::Failed(fault),
        }
    }
}

/// Does the handshake on a connection that has just been accepted. `choose` is asked once, with the whole ClientHello.
///
/// **Cancellation**: the connection must be closed.
///
/// # Errors
///
/// See [`HandshakeError`]. The client was told, as far as it can be.
pub async fn accept(
    stream: &net::Stream,
    choose: impl FnOnce(&Hello) -> Result<Chosen, Unserved>,
) -> Result<Accepted, HandshakeError> {
    let mut wire = Wire::new(stream);
    let (hello, records) = match receive_hello(&mut wire).await {
        Ok(read) => read,
        Err(HandshakeError::Hello(error)) => {
            // Who speaks plain HTTP is answered in it, by the caller.
            if error != HelloError::PlainHttp {
                tell(&mut wire, error.alert()).await;
            }
            return Err(HandshakeError::Hello(error));
        }
        Err(error) => return Err(error),
    };
    let chosen = match choose(&hello) {
        Ok(chosen) => chosen,
        Err(unserved) => {
            tell(&mut wire, unserved.alert()).await;
            return Err(HandshakeError::Unserved(unserved));
        }
    };
    let config = match &chosen {
        Chosen::Site(served) => served.config_for(hello.prefers_chacha),
        Chosen::Challenge(config) => config.clone(),
    };
    let mut session = Session::server(config, records).map_err(HandshakeError::Failed)?;
    // Where a request is here already, the tickets leave with its answer.
    wire.shake_hands(&mut session, true).await?;
    match chosen {
        Chosen::Challenge(_) => {
            if let Some(words) = session.close() {
                let _ = wire.send(words).await; // it has seen what it came for
            }
            Ok(Accepted::Validator)
        }
        Chosen::Site(served) => {
            let is_resumed = session.is_resumed();
            let client = session.peer_leaf().and_then(subject_of);
            let secured = Secured {
                served,
                name: hello_name(hello),
                client,
            };
            Ok(Accepted::Client {
                stream: Stream::encrypted(stream.clone(), session, Some(secured)),
                is_resumed,
            })
        }
    }
}

fn hello_name(hello: Hello) -> Option<HostName> {
    match hello.name {
        AskedName::Host(host) => Some(host),
        AskedName::None | AskedName::Invalid => None,
    }
}

/// Receives until the ClientHello is whole.
async fn receive_hello(wire: &mut Wire) -> Result<(Hello, Buffer), HandshakeError> {
    let (mut peek, mut records) = (Peek::new(), Buffer::rent(Class::Head));
    loop {
        if records.receive_room() == 0 {
            // The peek refuses a hello before the classes end.
            let class = records.class().larger().ok_or(HandshakeError::TooLong)?;
            records = records.moved_to(class);
        }
        records = wire.receive(records).await?;
        match peek.look(records.window()).map_err(HandshakeError::Hello)? {
            Progress::Complete(hello) => return Ok((hello, records)),
            Progress::Incomplete => {}
        }
    }
}

async fn tell(wire: &mut Wire, alert: Alert) {
    let mut record = Buffer::rent(Class::Head);
    let fits = record.append(&alert.record());
    assert!(fits, "a block holds seven octets");
    let _ = wire.send(record).await; // a client that is gone needs no alert
}
