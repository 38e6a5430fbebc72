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

use std::sync::Arc;

use rustls::client::UnbufferedClientConnection;
use rustls::pki_types::ServerName;
use rustls::server::UnbufferedServerConnection;
use rustls::{ClientConfig, ServerConfig};

use super::step::{Advanced, End, Fault, Sealed, Sealing};
use crate::net::{Buffer, Class};

const RECORD_HEADER_BYTES: usize = 5;
/// Octets of content in a record (RFC 8446 §5.1).
const CONTENT_BYTES_MAX: usize = 1 << 14;
/// What a record is longer than its content: header, explicit nonce, content type, tag.
const RECORD_EXTRA_BYTES: usize = RECORD_HEADER_BYTES + 8 + 1 + 16;
/// Room for what goes out before the content: a key update, a warning.
const AHEAD_BYTES: usize = 256;

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
    end: End,
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
    /// A server's, before the handshake; `records` begins with the ClientHello.
    ///
    /// # Errors
    ///
    /// rustls cannot use the configuration.
    pub fn server(config: Arc<ServerConfig>, records: Buffer) -> Result<Session, Fault> {
        let connection = UnbufferedServerConnection::new(config).map_err(Fault::Tls)?;
        Ok(Session::new(End::Server(connection), Some(records)))
    }

    /// A client's, before the handshake, which asks for `name` and takes nobody else.
    ///
    /// # Errors
    ///
    /// rustls cannot use the configuration.
    pub fn client(config: Arc<ClientConfig>, name: ServerName<'static>) -> Result<Session, Fault> {
        let connection = UnbufferedClientConnection::new(config, name).map_err(Fault::Tls)?;
        Ok(Session::new(End::Client(Box::new(connection)), None))
    }

    fn new(end: End, records: Option<Buffer>) -> Session {
        Session {
            end,
            records,
            spill: None,
            owed: None,
            has_peer_closed: false,
            has_failed: false,
            has_closed: false,
        }
    }

    /// The leaf that the peer has shown, verified.
    pub fn peer_leaf(&self) -> Option<&[u8]> {
        self.end
            .common()
            .peer_certificates()?
            .first()
            .map(|leaf| leaf.as_ref())
    }

    /// Was the handshake a resumption?
    pub fn is_resumed(&self) -> bool {
        self.end.common().handshake_kind() == Some(rustls::HandshakeKind::Resumed)
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
                Advanced::Quiet if self.end.common().is_handshaking() => return Ok(Shaken::Needs),
                Advanced::Quiet => {
                    self.check_unfragmented()?;
                    return Ok(Shaken::Complete);
                }
            }
            // Content behind the handshake is left for whoever reads.
            if !self.end.common().is_handshaking() && self.spill.is_some() {
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
            if self.is_asked_to_renegotiate() {
                self.fail();
                return Err(Fault::Renegotiation);
            }
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

    /// Does a client owe something for what it has read? Only the refusal to renegotiate is said at once.
    fn is_asked_to_renegotiate(&self) -> bool {
        match &self.end {
            End::Server(_) => false,
            End::Client(_) => !self.has_failed && self.owed.is_some(),
        }
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
        let (discard, advanced) = self
            .end
            .advance(octets, &mut self.owed, &mut self.spill, into);
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
        while self.end.common().wants_write() {
            let records = self.records.as_mut();
            let octets = records.map(Buffer::window_mut).unwrap_or_default();
            let (discard, is_told) = self.end.tell(octets, &mut self.owed);
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
        self.seal(Sealing::Content(content))
    }

    /// Says that nothing more will be sent; with what is owed. `None`: there is nothing to say, or nobody to say it to.
    pub fn close(&mut self) -> Option<Buffer> {
        if self.has_closed || self.end.common().is_handshaking() {
            return self.owed.take();
        }
        let sealed = self.seal(Sealing::CloseNotify);
        self.has_closed = true;
        sealed.ok()
    }

    fn seal(&mut self, sealing: Sealing<'_>) -> Result<Buffer, Fault> {
        let length = sealing.content().len();
        let records = length.div_ceil(CONTENT_BYTES_MAX);
        let sealed = AHEAD_BYTES + length + records * RECORD_EXTRA_BYTES;
        let owed = self.owed.as_ref().map_or(0, Buffer::len);
        let mut out = Buffer::rent(Class::holding(sealed + owed).ok_or(Fault::Over)?);
        if let Some(owed) = self.owed.take() {
            let fits = out.append(owed.window());
            assert!(fits, "room was asked for");
        }
        loop {
            match self.end.seal(sealing, &mut out)? {
                Sealed::All => return Ok(out),
                Sealed::Ahead => {}
                Sealed::PeerClosed => self.has_peer_closed = true,
                Sealed::Needs(room) => {
                    let class = Class::holding(out.len() + room).ok_or(Fault::Over)?;
                    out = out.moved_to(class);
                }
            }
        }
    }
}
