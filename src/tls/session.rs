//! One encrypted connection's state, without its socket: records in, content out, and the other way round.
//!
//! Around rustls's unbuffered connection. Records are decrypted in the block that they were received into; content is
//! encrypted into the block that is sent. rustls 0.23 copies each through a vector of its own on the way, which its
//! interface does not let us avoid; beyond these a record is copied once, into the buffer of whoever asked for it, and
//! nothing is held of a connection that is silent.
//!
//! rustls bounds what costs work and brings no content: 32 empty records or key updates in a row, four warnings, one
//! request to renegotiate (which is refused). A handshake message after the handshake that is cut over several records is
//! refused here: nobody sends one, and rustls would want its octets to stay where they are while we send.
//!
//! Invariant: rustls holds no reference into `records` between two calls once the handshake is complete.

use std::fmt;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::server::{ServerConnectionData, UnbufferedServerConnection};
use rustls::unbuffered::{
    ConnectionState, EncodeError, EncodeTlsData, EncryptError, UnbufferedStatus, WriteTraffic,
};

use crate::net::{Buffer, Class};

const RECORD_HEADER_BYTES: usize = 5;
/// Octets of content in a record (RFC 8446 §5.1).
const CONTENT_BYTES_MAX: usize = 1 << 14;
/// What a record is longer than its content: header, explicit nonce, content type, tag.
const RECORD_EXTRA_BYTES: usize = RECORD_HEADER_BYTES + 8 + 1 + 16;
/// Room for what goes out before the content: a key update, a warning.
const AHEAD_BYTES: usize = 256;

/// Why a session is over.
#[derive(Clone, Debug)]
pub enum Fault {
    /// The peer broke the protocol, or has nothing in common with us, or sent an alert.
    Tls(rustls::Error),
    /// A message after the handshake came in pieces.
    Fragmented,
    /// It was over before.
    Over,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Tls(error) => error.fmt(f),
            Fault::Fragmented => f.write_str("a message after the handshake came in pieces"),
            Fault::Over => f.write_str("the session is over"),
        }
    }
}

impl std::error::Error for Fault {}

/// How far a handshake is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Shaken {
    /// More records are needed.
    Needs,
    /// It is complete; records behind it may have come.
    Complete,
}

/// See the module.
pub struct Session {
    connection: UnbufferedServerConnection,
    /// Received and not processed.
    records: Option<Buffer>,
    /// Content that had no room where it was wanted.
    spill: Option<Buffer>,
    /// To be sent before anything else.
    owed: Option<Buffer>,
    /// The peer has said that it sends no more.
    has_peer_closed: bool,
    /// Nothing more is read: the peer broke the protocol.
    has_failed: bool,
    /// Nothing more is sent.
    has_closed: bool,
}

/// A record's octets (RFC 5246 §6.2.3; RFC 8446 §5.2 allows fewer).
const RECORD_BYTES_MAX: usize = RECORD_HEADER_BYTES + CONTENT_BYTES_MAX + 2048;

/// Is there something for rustls to look at: all that a record's header announces, or one that announces too much?
fn has_whole_record(octets: &[u8]) -> bool {
    record_bytes(octets).is_some_and(|length| octets.len() >= length || length > RECORD_BYTES_MAX)
}

/// How long the first record is, as it says.
fn record_bytes(octets: &[u8]) -> Option<usize> {
    let &[_, _, _, high, low] = octets.first_chunk::<RECORD_HEADER_BYTES>()?;
    Some(RECORD_HEADER_BYTES + usize::from(u16::from_be_bytes([high, low])))
}

impl Session {
    /// Before the handshake; `records` begins with the ClientHello.
    ///
    /// # Errors
    ///
    /// rustls cannot use the configuration.
    pub fn new(config: Arc<ServerConfig>, records: Buffer) -> Result<Session, Fault> {
        Ok(Session {
            connection: UnbufferedServerConnection::new(config).map_err(Fault::Tls)?,
            records: Some(records),
            spill: None,
            owed: None,
            has_peer_closed: false,
            has_failed: false,
            has_closed: false,
        })
    }

    /// The leaf that the client has shown, verified.
    pub fn client_leaf(&self) -> Option<&[u8]> {
        self.connection
            .peer_certificates()?
            .first()
            .map(|leaf| leaf.as_ref())
    }

    /// Was the handshake a resumption?
    pub fn is_resumed(&self) -> bool {
        self.connection.handshake_kind() == Some(rustls::HandshakeKind::Resumed)
    }

    /// What must be sent now.
    pub fn take_owed(&mut self) -> Option<Buffer> {
        self.owed.take()
    }

    /// The block to receive into: with what has come of a record before and room for more, or an empty one of this
    /// class.
    pub fn lend_records(&mut self, class: Class) -> Buffer {
        let Some(records) = self.records.take() else {
            return Buffer::rent(class);
        };
        let announced = record_bytes(records.window()).unwrap_or(RECORD_HEADER_BYTES);
        let needed = announced.max(records.len() + 1);
        if records.start() + needed <= records.capacity() {
            return records;
        }
        let enough = Class::holding(needed).expect("a record, or a handshake within its limit");
        records.moved_to(enough.max(class))
    }

    /// The block comes back, with more or without.
    pub fn return_records(&mut self, records: Buffer) {
        self.records = Some(records).filter(|records| !records.is_empty());
    }

    /// Can content be had without receiving, or the end be told?
    pub fn is_ready(&self) -> bool {
        let records = self.records.as_ref();
        self.spill.is_some()
            || self.has_peer_closed
            || self.has_failed
            || records.is_some_and(|records| has_whole_record(records.window()))
    }

    /// Has a record begun to come that is not whole?
    pub fn is_amid_record(&self) -> bool {
        self.records.is_some()
    }

    /// Has the peer said that it sends no more?
    pub fn has_peer_closed(&self) -> bool {
        self.has_peer_closed && self.spill.is_none()
    }

    /// Goes on with the handshake as far as the records allow. What is owed then must be sent.
    ///
    /// # Errors
    ///
    /// The handshake has failed. The alert that says so is owed.
    pub fn shake_hands(&mut self) -> Result<Shaken, Fault> {
        loop {
            match self.advance()? {
                Advanced::Further => {}
                Advanced::Blocked => return Ok(Shaken::Needs),
                Advanced::PeerClosed => return Ok(Shaken::Complete),
                Advanced::Quiet if self.connection.is_handshaking() => return Ok(Shaken::Needs),
                Advanced::Quiet => {
                    self.check_unfragmented()?;
                    return Ok(Shaken::Complete);
                }
            }
            // Content behind the handshake is left for whoever reads.
            if !self.connection.is_handshaking() && self.spill.is_some() {
                return Ok(Shaken::Complete);
            }
        }
    }

    /// Reads content behind `into`'s window, as much as there is and has room. 0: receive more, or the peer has closed.
    ///
    /// # Errors
    ///
    /// The session is over. The alert that says so is owed.
    pub fn read(&mut self, into: &mut Buffer) -> Result<usize, Fault> {
        if self.has_failed {
            return Err(Fault::Over);
        }
        let before = into.len();
        // rustls may have something to settle before it looks at another record, or tells of the end.
        let mut is_settled = true;
        while into.receive_room() > 0 {
            if let Some(mut spill) = self.spill.take() {
                let count = spill.len().min(into.receive_room());
                let fits = into.append(&spill.window()[..count]);
                assert!(fits, "there is room");
                spill.consume(count);
                self.spill = Some(spill).filter(|spill| !spill.is_empty());
                continue;
            }
            let records = self.records.as_ref();
            let is_whole = records.is_some_and(|records| has_whole_record(records.window()));
            if self.has_peer_closed || (is_settled && !is_whole) {
                break;
            }
            let advanced = self.advance_into(Some(into));
            let advanced = advanced.and_then(|advanced| match advanced {
                Advanced::Further | Advanced::PeerClosed => Ok(false),
                Advanced::Blocked | Advanced::Quiet => self.check_unfragmented().map(|()| true),
            });
            is_settled = match advanced {
                Ok(is_settled) => is_settled,
                // What was well before the fault is read first.
                Err(_) if into.len() > before => break,
                Err(fault) => return Err(fault),
            };
        }
        Ok(into.len() - before)
    }

    /// One step of rustls, with nowhere to put content but the spill.
    fn advance(&mut self) -> Result<Advanced, Fault> {
        self.advance_into(None)
    }

    fn advance_into(&mut self, into: Option<&mut Buffer>) -> Result<Advanced, Fault> {
        if self.has_failed {
            return Err(Fault::Over);
        }
        let records = self.records.as_mut();
        let octets = records.map(Buffer::window_mut).unwrap_or_default();
        let UnbufferedStatus { discard, state } = self.connection.process_tls_records(octets);
        let advanced = match state {
            Ok(state) => take_up(state, &mut self.owed, &mut self.spill, into),
            Err(error) => Err(Fault::Tls(error)),
        };
        self.consume_records(discard);
        match &advanced {
            Ok(Advanced::PeerClosed) => {
                self.has_peer_closed = true;
                // What is behind it is nobody's (RFC 8446 §6.1).
                self.records = None;
            }
            Ok(Advanced::Further | Advanced::Blocked | Advanced::Quiet) => {}
            Err(_) => self.fail(),
        }
        advanced
    }

    fn consume_records(&mut self, count: usize) {
        if let Some(records) = &mut self.records {
            records.consume(count);
        }
        self.records.take_if(|records| records.is_empty());
    }

    /// All whole records have been processed; so one that is still here is held by rustls.
    fn check_unfragmented(&mut self) -> Result<(), Fault> {
        let records = self.records.as_ref();
        if records.is_some_and(|records| has_whole_record(records.window())) {
            self.has_failed = true;
            self.has_closed = true;
            return Err(Fault::Fragmented);
        }
        Ok(())
    }

    /// Nothing is read any more; what rustls has to say about it is owed.
    fn fail(&mut self) {
        self.has_failed = true;
        // The alert stands before anything that rustls would look at: it is asked no further.
        while self.connection.wants_write() {
            let records = self.records.as_mut();
            let octets = records.map(Buffer::window_mut).unwrap_or_default();
            let UnbufferedStatus { discard, state } = self.connection.process_tls_records(octets);
            let is_told = match state {
                Ok(ConnectionState::EncodeTlsData(data)) => owe(&mut self.owed, data).is_ok(),
                _ => false,
            };
            self.consume_records(discard);
            if !is_told {
                break;
            }
        }
        (self.records, self.spill) = (None, None);
        // After a fatal alert nothing is said.
        self.has_closed = true;
    }

    /// Octets of content that are encrypted into a block of this class at once.
    pub fn content_bytes(class: Class) -> usize {
        let room = class.bytes() - AHEAD_BYTES;
        let record = CONTENT_BYTES_MAX + RECORD_EXTRA_BYTES;
        let rest = room % record;
        room / record * CONTENT_BYTES_MAX + rest.saturating_sub(RECORD_EXTRA_BYTES)
    }

    /// Encrypts content into a block that is to be sent, behind what is owed. Content is not empty.
    ///
    /// # Errors
    ///
    /// The session is over, or was closed by us.
    pub fn write(&mut self, content: &[u8]) -> Result<Buffer, Fault> {
        if self.has_closed {
            return Err(Fault::Over);
        }
        self.seal(
            |traffic, room| traffic.encrypt(content, room),
            content.len(),
        )
    }

    /// Says that nothing more will be sent; with what is owed. `None`: there is nothing to say, or nobody to say it to.
    pub fn close(&mut self) -> Option<Buffer> {
        if self.has_closed || self.connection.is_handshaking() {
            return self.owed.take();
        }
        let sealed = self.seal(|traffic, room| traffic.queue_close_notify(room), 0);
        self.has_closed = true;
        sealed.ok()
    }

    fn seal(
        &mut self,
        encrypt: impl Fn(
            &mut WriteTraffic<'_, ServerConnectionData>,
            &mut [u8],
        ) -> Result<usize, EncryptError>,
        length: usize,
    ) -> Result<Buffer, Fault> {
        let records = length.div_ceil(CONTENT_BYTES_MAX);
        let sealed = AHEAD_BYTES + length + records * RECORD_EXTRA_BYTES;
        let owed = self.owed.as_ref().map_or(0, Buffer::len);
        let mut out = Buffer::rent(Class::holding(sealed + owed).ok_or(Fault::Over)?);
        if let Some(owed) = self.owed.take() {
            let fits = out.append(owed.window());
            assert!(fits, "room was asked for");
        }
        loop {
            // No records: rustls holds none of them, and is not to look at new ones here.
            let status = self.connection.process_tls_records(&mut []);
            let needed = match status.state.map_err(Fault::Tls)? {
                ConnectionState::WriteTraffic(mut traffic) => {
                    match encrypt(&mut traffic, out.spare_mut()) {
                        Ok(count) => {
                            out.commit(count);
                            return Ok(out);
                        }
                        Err(EncryptError::InsufficientSize(size)) => size.required_size,
                        Err(EncryptError::EncryptExhausted) => return Err(Fault::Over),
                    }
                }
                ConnectionState::EncodeTlsData(mut data) => match data.encode(out.spare_mut()) {
                    Ok(count) => {
                        out.commit(count);
                        continue;
                    }
                    Err(EncodeError::InsufficientSize(size)) => size.required_size,
                    Err(EncodeError::AlreadyEncoded) => return Err(Fault::Over),
                },
                ConnectionState::TransmitTlsData(data) => {
                    data.done();
                    continue;
                }
                ConnectionState::PeerClosed => {
                    self.has_peer_closed = true;
                    continue;
                }
                _ => return Err(Fault::Over),
            };
            let class = Class::holding(out.len() + needed).ok_or(Fault::Over)?;
            out = out.moved_to(class);
        }
    }
}

/// What one step of rustls came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Advanced {
    /// There may be more to do.
    Further,
    /// The handshake needs more records.
    Blocked,
    /// There is nothing to do: content may be sent, and more may be received.
    Quiet,
    /// The peer sends no more.
    PeerClosed,
}

fn take_up(
    state: ConnectionState<'_, '_, ServerConnectionData>,
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

fn owe(
    owed: &mut Option<Buffer>,
    mut data: EncodeTlsData<'_, ServerConnectionData>,
) -> Result<(), Fault> {
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
