//! One connection, plain or encrypted: octets in, octets out.
//!
//! The one type that the floors above see. On a plain connection each step is the network's own, behind a `match`; on
//! an encrypted one the same steps mean content: a receive that is armed brings content or the end, and what brought
//! neither (a key update, half a record) is received on without anybody noticing.
//!
//! ```text
//!   Receiver   arm(buffer) ──► net receive into a block of records ──► session ──► the buffer that was lent
//!   Sender     send_some(buffer) ──► session ──► a block of records ──► net send
//! ```
//!
//! Both halves share the session and take turns with it, never across an await. Only the sender sends, so records leave
//! in the order in which they were encrypted; what the receiving side has to say (an answer to a key update, an alert)
//! is owed, and leaves before the next record or with the last words.
//!
//! Invariants:
//!
//! - A peer's end is told only where the peer said so itself (close_notify); a connection that merely ends is an error.
//! - While nothing is awaited, an encrypted connection holds no block.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use super::certs::Served;
use super::session::Session;
use super::step::Fault;
use crate::http::authority::HostName;
use crate::net;
use crate::net::buffer::affordable;
use crate::net::stream::{cancelled, is_cancelled};
use crate::net::{Buffer, Class};

/// A block of records that is sent at once holds no more. (Larger ones cost fewer operations and more memory; beyond
/// this the operations are a hundredth of the encryption.)
const SEALED_CLASS_MAX: Class = Class::Large;

/// What the encrypted connection of a client is known to be, from its handshake on.
pub struct Secured {
    /// What the client was given.
    pub served: Arc<Served>,
    /// Whom it asked for.
    pub name: Option<HostName>,
    /// The subject of the certificate that it showed and that was verified: text that fits a field value.
    pub client: Option<Box<str>>,
}

/// An encrypted connection between two uses, or in use by both halves.
pub struct Encrypted {
    session: RefCell<Session>,
    /// Sealed and not yet sent.
    outgoing: RefCell<Option<Outgoing>>,
    /// `None` where we are the client.
    secured: Option<Secured>,
}

struct Outgoing {
    records: Buffer,
    /// Octets of content at the front of the sender's buffer that the records stand for; at least 1.
    content: usize,
}

/// A connected socket, plain or encrypted. Clones are the same connection; the last one closes it.
#[derive(Clone)]
pub struct Stream {
    stream: net::Stream,
    encrypted: Option<Rc<Encrypted>>,
}

impl From<net::Stream> for Stream {
    fn from(stream: net::Stream) -> Stream {
        Stream {
            stream,
            encrypted: None,
        }
    }
}

impl Stream {
    /// A connection whose handshake is complete.
    pub(super) fn encrypted(
        stream: net::Stream,
        session: Session,
        secured: Option<Secured>,
    ) -> Stream {
        let encrypted = Encrypted {
            session: RefCell::new(session),
            outgoing: RefCell::new(None),
            secured,
        };
        Stream {
            stream,
            encrypted: Some(Rc::new(encrypted)),
        }
    }

    /// One that was at rest.
    pub fn resumed(stream: net::Stream, encrypted: Option<Rc<Encrypted>>) -> Stream {
        Stream { stream, encrypted }
    }

    /// The socket, and what has to be kept with it while it is at rest.
    pub fn into_parts(self) -> (net::Stream, Option<Rc<Encrypted>>) {
        (self.stream, self.encrypted)
    }

    /// What is known of a client's encrypted connection; `None` of a plain one, and of one to an app.
    pub fn secured(&self) -> Option<&Secured> {
        self.encrypted.as_ref()?.secured.as_ref()
    }

    /// The receiving half, whose receive may be [disarmed](Receiver::disarm). One at a time.
    pub fn disarmable_receiver(&self) -> Receiver {
        let receiver = self.stream.disarmable_receiver();
        match &self.encrypted {
            None => Receiver::Plain(receiver),
            Some(encrypted) => Receiver::Encrypted(Box::new(Decrypting {
                receiver,
                encrypted: encrypted.clone(),
                lent: None,
                was_filled: false,
            })),
        }
    }

    /// The sending half. One at a time.
    pub fn sender(&self) -> Sender {
        Sender {
            sender: self.stream.sender(),
            encrypted: self.encrypted.clone(),
        }
    }

    /// Are there octets that nobody has received? An end or an error is none.
    pub fn has_unread(&self) -> bool {
        self.stream.has_unread()
    }

    /// Closes a connection on which nothing is in flight here and now; see [`net::Stream::close`].
    pub fn close(self) {
        self.stream.close();
    }

    /// As [`close`](Stream::close), and says so where there is encryption, if the kernel takes it at once.
    pub fn close_politely(self) {
        let words = self.encrypted.and_then(|encrypted| encrypted.last_words());
        match words {
            Some(words) => self.stream.close_saying(words.window()),
            None => self.stream.close(),
        }
    }

    /// Makes closing send RST: the peer learns that what it got is not whole.
    pub fn abort_on_close(&self) {
        self.stream.abort_on_close();
    }
}

impl Encrypted {
    /// What to say on a connection that is at rest before it is closed.
    pub fn last_words(&self) -> Option<Buffer> {
        self.session.borrow_mut().close()
    }
}

/// The sending half of a connection.
pub struct Sender {
    sender: net::Sender,
    encrypted: Option<Rc<Encrypted>>,
}

impl Sender {
    /// Sends from the front of the window, which must not be empty, as much as is taken at once, and takes that out of
    /// it. Returns how much it was, at least 1. What is left is sent next, before anything else.
    ///
    /// **Cancellation**: how much was sent is unknown; the connection must be closed.
    ///
    /// # Errors
    ///
    /// As send(2); the session is over.
    pub async fn send_some(&self, buffer: Buffer) -> (io::Result<usize>, Buffer) {
        match &self.encrypted {
            None => self.sender.send_some(buffer).await,
            Some(encrypted) => self.send_sealed(encrypted, buffer).await,
        }
    }

    async fn send_sealed(
        &self,
        encrypted: &Encrypted,
        mut buffer: Buffer,
    ) -> (io::Result<usize>, Buffer) {
        let left = encrypted.outgoing.take();
        let outgoing = left.map_or_else(|| encrypted.seal(&buffer), Ok);
        let mut outgoing = match outgoing {
            Ok(outgoing) => outgoing,
            Err(fault) => return (Err(broken(fault)), buffer),
        };
        assert!(outgoing.content <= buffer.len(), "another buffer was begun");
        loop {
            let (result, records) = self.sender.send_some(outgoing.records).await;
            outgoing.records = records;
            let count = match result {
                Ok(count) => count,
                Err(error) => return (Err(error), buffer),
            };
            if outgoing.records.is_empty() {
                buffer.consume(outgoing.content);
                return (Ok(outgoing.content), buffer);
            }
            // In proportion, so that whoever waits sees that it goes on; but never all before all has gone.
            let content = count.min(outgoing.content - 1);
            if content > 0 {
                outgoing.content -= content;
                buffer.consume(content);
                encrypted.outgoing.replace(Some(outgoing));
                return (Ok(content), buffer);
            }
        }
    }

    /// Says that nothing more will be sent: close_notify where there is encryption, then FIN. What was begun must have
    /// been sent.
    ///
    /// **Cancellation**: the connection must be closed.
    pub async fn finish(&self) {
        if let Some(encrypted) = &self.encrypted {
            self.send_last_words(encrypted).await;
        }
        self.sender.finish();
    }

    /// As [`finish`](Sender::finish) where there is encryption; else nothing, since closing says it.
    ///
    /// **Cancellation**: the connection must be closed.
    pub async fn say_goodbye(&self) {
        if let Some(encrypted) = &self.encrypted {
            self.send_last_words(encrypted).await;
        }
    }

    async fn send_last_words(&self, encrypted: &Encrypted) {
        if encrypted.outgoing.borrow().is_some() {
            return; // in the middle of a record nothing can be said
        }
        let words = encrypted.last_words();
        let Some(mut words) = words else { return };
        while !words.is_empty() {
            let (result, rest) = self.sender.send_some(words).await;
            words = rest;
            if result.is_err() {
                return;
            }
        }
    }
}

impl Encrypted {
    fn seal(&self, buffer: &Buffer) -> Result<Outgoing, Fault> {
        let content = buffer.len().min(Session::content_bytes(SEALED_CLASS_MAX));
        let records = self
            .session
            .borrow_mut()
            .write(&buffer.window()[..content])?;
        Ok(Outgoing { records, content })
    }
}

type Received = (io::Result<usize>, Buffer);

/// The receiving half of a connection.
pub enum Receiver {
    /// Of a plain connection.
    Plain(net::Receiver),
    /// Of an encrypted one.
    Encrypted(Box<Decrypting>),
}

/// See [`Receiver::Encrypted`].
pub struct Decrypting {
    receiver: net::Receiver,
    encrypted: Rc<Encrypted>,
    /// To receive content into, while armed.
    lent: Option<Buffer>,
    /// The last receive brought as many octets as it had room for.
    was_filled: bool,
}

impl Receiver {
    /// Is a receive armed, or finished and not yet taken?
    pub fn is_armed(&self) -> bool {
        match self {
            Receiver::Plain(receiver) => receiver.is_armed(),
            Receiver::Encrypted(receiver) => receiver.lent.is_some(),
        }
    }

    /// Arms a receive into the room behind the buffer's window. It is submitted at once. Panics when one is armed or
    /// there is no room.
    pub fn arm(&mut self, buffer: Buffer) {
        match self {
            Receiver::Plain(receiver) => receiver.arm(buffer),
            Receiver::Encrypted(receiver) => receiver.arm(buffer),
        }
    }

    /// Ready once the armed receive has ended: the octets it brought (0: the peer has finished) are in the buffer's
    /// window. Panics when none is armed.
    pub fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Received> {
        match self {
            Receiver::Plain(receiver) => receiver.poll_recv(cx),
            Receiver::Encrypted(receiver) => receiver.poll_recv(cx),
        }
    }

    /// Waits for the armed receive. **Cancellation**: it stays armed and nothing is lost.
    pub async fn recv(&mut self) -> Received {
        poll_fn(|cx| self.poll_recv(cx)).await
    }

    /// Ends the armed receive without losing what it may have brought. None armed: `None`. Nothing received:
    /// the buffer comes back with an error of raw code ECANCELED.
    pub async fn disarm(&mut self) -> Option<Received> {
        match self {
            Receiver::Plain(receiver) => receiver.disarm().await,
            Receiver::Encrypted(receiver) => receiver.disarm().await,
        }
    }

    /// Has half a record come, and nothing of what is in it? Such a connection is not idle.
    pub fn is_amid_record(&self) -> bool {
        match self {
            Receiver::Plain(_) => false,
            Receiver::Encrypted(receiver) => receiver.session().is_amid_record(),
        }
    }

    /// Did the last receive, which brought this buffer, bring as much as it had room for?
    pub fn was_filled(&self, received: &Buffer) -> bool {
        match self {
            Receiver::Plain(_) => received.receive_room() == 0,
            Receiver::Encrypted(receiver) => receiver.was_filled || received.receive_room() == 0,
        }
    }
}

impl Decrypting {
    fn session(&self) -> std::cell::RefMut<'_, Session> {
        self.encrypted.session.borrow_mut()
    }

    fn arm(&mut self, buffer: Buffer) {
        assert!(self.lent.is_none(), "one receive at a time");
        assert!(
            buffer.receive_room() > 0,
            "a receive needs room: 0 octets would read as the end"
        );
        if !self.session().is_ready() {
            self.arm_records(buffer.class());
        }
        self.lent = Some(buffer);
    }

    /// Receives records into a block like the one that was lent.
    fn arm_records(&mut self, class: Class) {
        let records = self.session().lend_records(affordable(class));
        self.receiver.arm(records);
    }

    fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Received> {
        let mut lent = self.lent.take().expect("nothing was armed");
        loop {
            if !self.receiver.is_armed() {
                let read = self.session().read(&mut lent);
                match read {
                    Ok(0) if self.session().has_peer_closed() => return Poll::Ready((Ok(0), lent)),
                    Ok(0) => self.arm_records(lent.class()),
                    Ok(count) => return Poll::Ready((Ok(count), lent)),
                    Err(fault) => return Poll::Ready((Err(broken(fault)), lent)),
                }
            }
            let Poll::Ready((result, records)) = self.receiver.poll_recv(cx) else {
                self.lent = Some(lent);
                return Poll::Pending;
            };
            self.was_filled = records.receive_room() == 0;
            self.session().return_records(records);
            match result {
                Ok(0) => return Poll::Ready((Err(io::ErrorKind::UnexpectedEof.into()), lent)),
                Ok(_) => {}
                Err(error) => return Poll::Ready((Err(error), lent)),
            }
        }
    }

    async fn disarm(&mut self) -> Option<Received> {
        let mut lent = self.lent.take()?;
        if self.receiver.is_armed() {
            let (result, records) = self.receiver.disarm().await.expect("it is armed");
            self.session().return_records(records);
            match result {
                Ok(0) => return Some((Err(io::ErrorKind::UnexpectedEof.into()), lent)),
                Ok(_) => {}
                Err(error) if is_cancelled(&error) => {}
                Err(error) => return Some((Err(error), lent)),
            }
        }
        let read = self.session().read(&mut lent);
        let has_ended = self.session().has_peer_closed();
        Some(match read {
            Ok(0) if has_ended => (Ok(0), lent),
            Ok(0) => (Err(cancelled()), lent),
            Ok(count) => (Ok(count), lent),
            Err(fault) => (Err(broken(fault)), lent),
        })
    }
}

fn broken(fault: Fault) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, fault)
}
