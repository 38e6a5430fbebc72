//! Both halves of a connection that has no stream yet: the octets of a handshake.

use super::session::{Session, Shaken};
use super::step::Fault;
use crate::net;
use crate::net::{Buffer, Class};

/// Octets of records that a handshake may keep waiting: a chain of certificates is the largest message, and rustls takes
/// it up to 64 KiB.
const HANDSHAKE_BYTES_MAX: usize = 128 << 10;

/// See the module.
pub(super) struct Wire {
    receiver: net::Receiver,
    sender: net::Sender,
}

/// Why a handshake went no further.
#[derive(Debug)]
pub(super) enum WireFault {
    /// The peer went away.
    Gone,
    /// More came than a handshake has.
    TooLong,
    /// The two have nothing in common, or one broke the protocol.
    Failed(Fault),
}

impl Wire {
    pub(super) fn new(stream: &net::Stream) -> Wire {
        Wire {
            receiver: stream.receiver(),
            sender: stream.sender(),
        }
    }

    /// Shakes hands to the end; `may_wait` is whether the last of it may leave with the first content, where some is
    /// asked for already. If it fails, the alert that says so is sent, where there is one.
    pub(super) async fn shake_hands(
        &mut self,
        session: &mut Session,
        may_wait: bool,
    ) -> Result<(), WireFault> {
        let shaken = self.exchange_flights(session, may_wait).await;
        if shaken.is_err() {
            let _ = self.send_owed(session).await; // a peer that is gone needs no alert
        }
        shaken
    }

    async fn exchange_flights(
        &mut self,
        session: &mut Session,
        may_wait: bool,
    ) -> Result<(), WireFault> {
        loop {
            let shaken = session.shake_hands().map_err(WireFault::Failed)?;
            if shaken == Shaken::Complete && may_wait && session.is_ready() {
                return Ok(());
            }
            self.send_owed(session).await?;
            if shaken == Shaken::Complete {
                return Ok(());
            }
            let records = session.lend_records(Class::Head);
            if records.len() > HANDSHAKE_BYTES_MAX {
                return Err(WireFault::TooLong);
            }
            let records = self.receive(records).await?;
            session.return_records(records);
        }
    }

    /// Receives once behind the window.
    pub(super) async fn receive(&mut self, records: Buffer) -> Result<Buffer, WireFault> {
        self.receiver.arm(records);
        match self.receiver.recv().await {
            (Ok(1..), records) => Ok(records),
            (Ok(0) | Err(_), _) => Err(WireFault::Gone),
        }
    }

    async fn send_owed(&mut self, session: &mut Session) -> Result<(), WireFault> {
        match session.take_owed() {
            Some(owed) => self.send(owed).await,
            None => Ok(()),
        }
    }

    /// Sends all of it.
    pub(super) async fn send(&mut self, mut octets: Buffer) -> Result<(), WireFault> {
        while !octets.is_empty() {
            let (result, rest) = self.sender.send_some(octets).await;
            octets = rest;
            result.map_err(|_| WireFault::Gone)?;
        }
        Ok(())
    }
}
