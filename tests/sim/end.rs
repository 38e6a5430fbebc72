//! An end of a connection, in the clear or over TLS: what it says and reads is the same.

use std::cell::RefCell;
use std::io::{self, Read, Write};
use std::sync::Arc;

use hotgate::net::sim::Peer;
use rustls::{ClientConfig, ClientConnection, Connection, ServerConfig, ServerConnection};

pub(crate) struct End {
    peer: Peer,
    tls: Option<RefCell<Connection>>,
}

impl From<Peer> for End {
    fn from(peer: Peer) -> End {
        End { peer, tls: None }
    }
}

impl End {
    /// Does the handshake with this host; `None`: the connection is over.
    pub(crate) async fn secured(
        peer: Peer,
        config: &Arc<ClientConfig>,
        host: &'static str,
    ) -> Option<End> {
        let name = host.try_into().expect("a name");
        let tls = ClientConnection::new(config.clone(), name).expect("a client");
        End::shaking_hands(peer, tls.into()).await
    }

    /// Does the handshake of whoever connected; `None`: the connection is over.
    pub(crate) async fn securing(peer: Peer, config: &Arc<ServerConfig>) -> Option<End> {
        let tls = ServerConnection::new(config.clone()).expect("a server");
        End::shaking_hands(peer, tls.into()).await
    }

    async fn shaking_hands(peer: Peer, mut tls: Connection) -> Option<End> {
        tls.set_buffer_limit(None);
        let end = End {
            peer,
            tls: Some(RefCell::new(tls)),
        };
        while end.is_handshaking() {
            end.flush().await.ok()?;
            end.receive().await.ok()?;
        }
        end.flush().await.ok()?;
        Some(end)
    }

    fn is_handshaking(&self) -> bool {
        let tls = self.tls.as_ref();
        tls.is_some_and(|tls| tls.borrow().is_handshaking())
    }

    /// Sends what rustls wants sent.
    async fn flush(&self) -> io::Result<()> {
        let Some(tls) = &self.tls else { return Ok(()) };
        let mut octets = Vec::new();
        while tls.borrow().wants_write() {
            tls.borrow_mut().write_tls(&mut octets)?;
        }
        self.peer.write_all(&octets).await
    }

    /// Receives records once.
    async fn receive(&self) -> io::Result<()> {
        let mut piece = [0; 16 << 10];
        let count = self.peer.read(&mut piece).await?;
        let Some(tls) = &self.tls else { return Ok(()) };
        if count == 0 {
            // Cut off: nobody has said that this is the end.
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let (mut tls, mut octets) = (tls.borrow_mut(), &piece[..count]);
        while !octets.is_empty() {
            if tls.read_tls(&mut octets)? == 0 {
                break; // it has said that it ends
            }
            tls.process_new_packets().map_err(io::Error::other)?;
        }
        Ok(())
    }

    /// Receives 1 to `into.len()` octets; 0 at the end.
    pub(crate) async fn read(&self, into: &mut [u8]) -> io::Result<usize> {
        let Some(tls) = &self.tls else {
            return self.peer.read(into).await;
        };
        loop {
            let read = tls.borrow_mut().reader().read(into);
            match read {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.receive().await?,
                read => return read,
            }
        }
    }

    /// Sends all of it.
    pub(crate) async fn write_all(&self, octets: &[u8]) -> io::Result<()> {
        let Some(tls) = &self.tls else {
            return self.peer.write_all(octets).await;
        };
        tls.borrow_mut().writer().write_all(octets)?;
        self.flush().await
    }

    /// Says that nothing more will be sent.
    pub(crate) async fn finish(&self) {
        if let Some(tls) = &self.tls {
            tls.borrow_mut().send_close_notify();
            // One that is gone needs no word.
            let _ = self.flush().await;
        }
        self.peer.finish();
    }

    /// Closing it sends RST.
    pub(crate) fn abort_on_close(&self) {
        self.peer.abort_on_close();
    }

    /// Its number in the trace.
    pub(crate) fn number(&self) -> u64 {
        self.peer.number()
    }
}
