//! One step of rustls's unbuffered connection, whichever end of it is ours.
//!
//! rustls says what is to be done next and waits until it was done: content to be taken, a record to be encoded, one to be
//! sent, or nothing. Here that is done once; [`session`](super::session) goes on for as long as there is something to do.

use std::fmt;

use rustls::CommonState;
use rustls::client::UnbufferedClientConnection;
use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{
    ConnectionState, EncodeError, EncodeTlsData, EncryptError, UnbufferedStatus,
};

use crate::net::{Buffer, Class};

/// Why a session is over.
#[derive(Clone, Debug)]
pub enum Fault {
    /// The peer broke the protocol, or has nothing in common with us, or sent an alert.
    Tls(rustls::Error),
    /// A message after the handshake came in pieces.
    Fragmented,
    /// The server asks to begin anew (TLS 1.2); whoever waits for that waits in vain.
    Renegotiation,
    /// It was over before.
    Over,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Tls(error) => error.fmt(f),
            Fault::Fragmented => f.write_str("a message after the handshake came in pieces"),
            Fault::Renegotiation => f.write_str("the server asks to renegotiate"),
            Fault::Over => f.write_str("the session is over"),
        }
    }
}

impl std::error::Error for Fault {}

/// Which end of the connection is ours.
#[expect(
    clippy::large_enum_variant,
    reason = "nearly all are servers, and one allocation a connection is saved"
)]
pub(super) enum End {
    Server(UnbufferedServerConnection),
    /// In a box: the larger of the two.
    Client(Box<UnbufferedClientConnection>),
}

/// One step of rustls with these records, whichever end is ours: what comes of it is handed to a function that is
/// generic over that. An interface of rustls's for both does not exist.
macro_rules! step {
    ($end:expr, $octets:expr, |$status:ident| $taken_up:expr) => {
        match $end {
            End::Server(connection) => {
                let $status = connection.process_tls_records($octets);
                $taken_up
            }
            End::Client(connection) => {
                let $status = connection.process_tls_records($octets);
                $taken_up
            }
        }
    };
}

impl End {
    /// What both ends tell.
    pub(super) fn common(&self) -> &CommonState {
        match self {
            End::Server(connection) => connection,
            End::Client(connection) => connection,
        }
    }

    /// Takes the records up, and puts content behind `into`'s window, and what has no room there into `spill`; what must
    /// be sent is put into `owed`. How many octets of the records are done with, and what came of them.
    pub(super) fn advance(
        &mut self,
        records: &mut [u8],
        owed: &mut Option<Buffer>,
        spill: &mut Option<Buffer>,
        into: Option<&mut Buffer>,
    ) -> (usize, Result<Advanced, Fault>) {
        step!(self, records, |status| take_up(status, owed, spill, into))
    }

    /// Puts into `owed` what has to be said, and nothing else. How many octets of the records are done with, and whether
    /// there was something.
    pub(super) fn tell(&mut self, records: &mut [u8], owed: &mut Option<Buffer>) -> (usize, bool) {
        step!(self, records, |status| tell(status, owed))
    }

    /// A step towards encrypting something into the block that is to be sent. No records: rustls holds none of them, and
    /// is not to look at new ones here.
    pub(super) fn seal(&mut self, sealing: Sealing<'_>, out: &mut Buffer) -> Result<Sealed, Fault> {
        step!(self, &mut [], |status| seal_some(status, sealing, out))
    }
}

/// What one step of rustls came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Advanced {
    /// There may be more to do.
    Further,
    /// The handshake needs more records.
    Blocked,
    /// There is nothing to do: content may be sent, and more may be received.
    Quiet,
    /// The peer sends no more.
    PeerClosed,
}

/// What is to be encrypted.
#[derive(Clone, Copy)]
pub(super) enum Sealing<'a> {
    /// As much as there is.
    Content(&'a [u8]),
    /// That nothing more will be sent.
    CloseNotify,
}

impl<'a> Sealing<'a> {
    /// What there is of it.
    pub(super) fn content(self) -> &'a [u8] {
        match self {
            Sealing::Content(content) => content,
            Sealing::CloseNotify => &[],
        }
    }
}

/// What one step towards it came to.
pub(super) enum Sealed {
    /// It is in the block.
    All,
    /// Something that goes before it is in the block, or has been settled.
    Ahead,
    /// Nothing is in the block, which has too little room.
    Needs(usize),
    /// The peer sends no more, which is told once.
    PeerClosed,
}

fn seal_some<D>(
    status: UnbufferedStatus<'_, '_, D>,
    sealing: Sealing<'_>,
    out: &mut Buffer,
) -> Result<Sealed, Fault> {
    match status.state.map_err(Fault::Tls)? {
        ConnectionState::WriteTraffic(mut traffic) => {
            let sealed = match sealing {
                Sealing::Content(content) => traffic.encrypt(content, out.spare_mut()),
                Sealing::CloseNotify => traffic.queue_close_notify(out.spare_mut()),
            };
            match sealed {
                Ok(count) => {
                    out.commit(count);
                    Ok(Sealed::All)
                }
                Err(EncryptError::InsufficientSize(size)) => Ok(Sealed::Needs(size.required_size)),
                Err(EncryptError::EncryptExhausted) => Err(Fault::Over),
            }
        }
        ConnectionState::EncodeTlsData(mut data) => match data.encode(out.spare_mut()) {
            Ok(count) => {
                out.commit(count);
                Ok(Sealed::Ahead)
            }
            Err(EncodeError::InsufficientSize(size)) => Ok(Sealed::Needs(size.required_size)),
            Err(EncodeError::AlreadyEncoded) => Err(Fault::Over),
        },
        ConnectionState::TransmitTlsData(data) => {
            data.done();
            Ok(Sealed::Ahead)
        }
        ConnectionState::PeerClosed => Ok(Sealed::PeerClosed),
        _ => Err(Fault::Over),
    }
}

/// How many octets of the records are done with, and what came of them.
fn take_up<D>(
    status: UnbufferedStatus<'_, '_, D>,
    owed: &mut Option<Buffer>,
    spill: &mut Option<Buffer>,
    into: Option<&mut Buffer>,
) -> (usize, Result<Advanced, Fault>) {
    let UnbufferedStatus { discard, state } = status;
    let advanced = state.map_err(Fault::Tls);
    let advanced = advanced.and_then(|state| take_up_state(state, owed, spill, into));
    (discard, advanced)
}

fn take_up_state<D>(
    state: ConnectionState<'_, '_, D>,
    owed: &mut Option<Buffer>,
    spill: &mut Option<Buffer>,
    mut into: Option<&mut Buffer>,
) -> Result<Advanced, Fault> {
    match state {
        ConnectionState::ReadTraffic(mut traffic) => {
            while let Some(record) = traffic.next_record() {
                let content = record.map_err(Fault::Tls)?.payload;
                let taken = match &mut into {
                    Some(into) => {
                        let count = content.len().min(into.receive_room());
                        let fits = into.append(&content[..count]);
                        assert!(fits, "there is room");
                        count
                    }
                    None => 0,
                };
                put(spill, &content[taken..])?;
            }
            Ok(Advanced::Further)
        }
        ConnectionState::EncodeTlsData(data) => {
            owe(owed, data)?;
            Ok(Advanced::Further)
        }
        // What was encoded is owed, and leaves before anything that comes later.
        ConnectionState::TransmitTlsData(data) => {
            data.done();
            Ok(Advanced::Further)
        }
        ConnectionState::PeerClosed | ConnectionState::Closed => Ok(Advanced::PeerClosed),
        ConnectionState::BlockedHandshake => Ok(Advanced::Blocked),
        ConnectionState::WriteTraffic(_) => Ok(Advanced::Quiet),
        // Early data is switched off, and nothing else is known.
        _ => Err(Fault::Over),
    }
}

/// How many octets of the records are done with, and whether what was to be said is owed now.
fn tell<D>(status: UnbufferedStatus<'_, '_, D>, owed: &mut Option<Buffer>) -> (usize, bool) {
    let is_told = match status.state {
        Ok(ConnectionState::EncodeTlsData(data)) => owe(owed, data).is_ok(),
        _ => false,
    };
    (status.discard, is_told)
}

fn owe<D>(owed: &mut Option<Buffer>, mut data: EncodeTlsData<'_, D>) -> Result<(), Fault> {
    let needed = match data.encode(&mut []) {
        Err(EncodeError::InsufficientSize(size)) => size.required_size,
        Ok(_) | Err(EncodeError::AlreadyEncoded) => return Ok(()),
    };
    let room = grown(owed.take(), needed)?;
    let room = owed.insert(room);
    if let Ok(count) = data.encode(room.spare_mut()) {
        room.commit(count);
    }
    Ok(())
}

/// Appends to what is there.
fn put(held: &mut Option<Buffer>, octets: &[u8]) -> Result<(), Fault> {
    if octets.is_empty() {
        return Ok(());
    }
    let room = grown(held.take(), octets.len())?;
    let fits = held.insert(room).append(octets);
    assert!(fits, "room was made");
    Ok(())
}

/// The buffer, or a new one, with so much room behind its window.
fn grown(held: Option<Buffer>, room: usize) -> Result<Buffer, Fault> {
    let holding = |bytes| Class::holding(bytes).ok_or(Fault::Over);
    match held {
        None => Ok(Buffer::rent(holding(room)?)),
        Some(held) if held.room() >= room => Ok(held),
        Some(held) => {
            let class = holding(held.len() + room)?;
            Ok(held.moved_to(class))
        }
    }
}
