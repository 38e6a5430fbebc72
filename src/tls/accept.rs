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
use super::session::{Fault, Session, Shaken};
use super::stream::{Secured, Stream};
use super::subject::subject_of;
use crate::http::authority::HostName;
use crate::net;
use crate::net::{Buffer, Class};

/// Octets of records that a handshake may keep waiting: a chain of client certificates is the largest message, and
/// rustls takes it up to 64 KiB.
const HANDSHAKE_BYTES_MAX: usize = 128 << 10;

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
    let mut wire = Wire {
        receiver: stream.receiver(),
        sender: stream.sender(),
    };
    let (hello, records) = match wire.hello().await {
        Ok(read) => read,
        Err(HandshakeError::Hello(error)) => {
            // Who speaks plain HTTP is answered in it, by the caller.
            if error != HelloError::PlainHttp {
                wire.tell(error.alert()).await;
            }
            return Err(HandshakeError::Hello(error));
        }
        Err(error) => return Err(error),
    };
    let chosen = match choose(&hello) {
        Ok(chosen) => chosen,
        Err(unserved) => {
            wire.tell(unserved.alert()).await;
            return Err(HandshakeError::Unserved(unserved));
        }
    };
    let config = match &chosen {
        Chosen::Site(served) => served.config_for(hello.prefers_chacha),
        Chosen::Challenge(config) => config.clone(),
    };
    let mut session = Session::new(config, records).map_err(HandshakeError::Failed)?;
    let shaken = wire.shake_hands(&mut session).await;
    if let Err(error) = shaken {
        // The alert, where there is one to send.
        let _ = wire.send_owed(&mut session).await;
        return Err(error);
    }
    match chosen {
        Chosen::Challenge(_) => {
            if let Some(words) = session.close() {
                let _ = wire.send(words).await; // it has seen what it came for
            }
            Ok(Accepted::Validator)
        }
        Chosen::Site(served) => {
            let is_resumed = session.is_resumed();
            let client = session.client_leaf().and_then(subject_of);
            let secured = Secured {
                served,
                name: hello_name(hello),
                client,
            };
            Ok(Accepted::Client {
                stream: Stream::encrypted(stream.clone(), session, secured),
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

/// Both halves of a connection that has no session yet.
struct Wire {
    receiver: net::Receiver,
    sender: net::Sender,
}

impl Wire {
    /// Receives until the ClientHello is whole.
    async fn hello(&mut self) -> Result<(Hello, Buffer), HandshakeError> {
        let (mut peek, mut records) = (Peek::new(), Buffer::rent(Class::Head));
        loop {
            if records.receive_room() == 0 {
                // The peek refuses a hello before the classes end.
                let class = records.class().larger().ok_or(HandshakeError::TooLong)?;
                records = records.moved_to(class);
            }
            records = self.receive(records).await?;
            match peek.look(records.window()).map_err(HandshakeError::Hello)? {
                Progress::Complete(hello) => return Ok((hello, records)),
                Progress::Incomplete => {}
            }
        }
    }

    async fn shake_hands(&mut self, session: &mut Session) -> Result<(), HandshakeError> {
        loop {
            let shaken = session.shake_hands().map_err(HandshakeError::Failed)?;
            if shaken == Shaken::Complete && session.is_ready() {
                // A request is here already: the tickets leave with its answer.
                return Ok(());
            }
            self.send_owed(session).await?;
            if shaken == Shaken::Complete {
                return Ok(());
            }
            let records = session.lend_records(Class::Head);
            if records.len() > HANDSHAKE_BYTES_MAX {
                return Err(HandshakeError::TooLong);
            }
            let records = self.receive(records).await?;
            session.return_records(records);
        }
    }

    async fn receive(&mut self, records: Buffer) -> Result<Buffer, HandshakeError> {
        self.receiver.arm(records);
        match self.receiver.recv().await {
            (Ok(1..), records) => Ok(records),
            (Ok(0) | Err(_), _) => Err(HandshakeError::Gone),
        }
    }

    async fn send_owed(&mut self, session: &mut Session) -> Result<(), HandshakeError> {
        match session.take_owed() {
            Some(owed) => self.send(owed).await,
            None => Ok(()),
        }
    }

    async fn send(&mut self, mut octets: Buffer) -> Result<(), HandshakeError> {
        while !octets.is_empty() {
            let (result, rest) = self.sender.send_some(octets).await;
            octets = rest;
            result.map_err(|_| HandshakeError::Gone)?;
        }
        Ok(())
    }

    async fn tell(&mut self, alert: Alert) {
        let mut record = Buffer::rent(Class::Head);
        let fits = record.append(&alert.record());
        assert!(fits, "a block holds seven octets");
        let _ = self.send(record).await; // a client that is gone needs no alert
    }
}
