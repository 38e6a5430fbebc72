//! An encrypted connection from accept to its first request: the handshake, its time, and what became of it.
//!
//! The time runs from accept and never begins anew, whatever state the handshake is in. One that fails costs its client
//! the connection and leaves a count; so many can come from one peer that none is worth a line of its own.

use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;

use super::connection::{accepted, linger, start};
use super::core::{OpenConnection, Worker};
use super::incoming::Peer;
use super::respond::{Answer, Own, PageFormat, page};
use crate::http::forwarding::plain;
use crate::http::method::Method;
use crate::net::clock::{Tick, now};
use crate::net::{Deadline, Stream as Plain};
use crate::policy::reason::Reason;
use crate::telemetry::counters::Counter;
use crate::tls::Fault;
use crate::tls::accept::{Accepted, Chosen, HandshakeError, Unserved, accept};
use crate::tls::certs::Selected;
use crate::tls::hello::{AskedName, Hello, HelloError};
use crate::tls::{Receiver, Stream};

/// How long an authority that validates a name may take, from its ClientHello on.
const VALIDATION_WAIT: Duration = Duration::from_secs(4);

/// Does the handshake of a connection that has just been accepted, and has it served by a task of its own: one task for
/// both would stay as large as the two together.
pub async fn secure(worker: Rc<Worker>, stream: Plain, peer: Peer, open: OpenConnection) {
    if let Some(stream) = shake_hands(&worker, stream, &peer).await {
        start(&worker, stream, peer, accepted(&worker), open);
    }
}

async fn shake_hands(worker: &Worker, stream: Plain, peer: &Peer) -> Option<Stream> {
    let deadline = Deadline::new();
    let due = {
        let current = worker.current();
        let limit = current.snapshot.routes.defaults.timeouts.handshake;
        deadline.set(limit);
        now().after(limit)
    };
    let choose = |hello: &Hello| choose(worker, &stream, peer, hello, &deadline, due);
    let shaken = deadline.limit(accept(&stream, choose)).await;
    let counters = worker.counters();
    let error = match shaken {
        Some(Ok(Accepted::Client { stream, is_resumed })) => {
            counters.add(
                match is_resumed {
                    true => Counter::HandshakesResumed,
                    false => Counter::HandshakesFull,
                },
                1,
            );
            return Some(stream);
        }
        Some(Ok(Accepted::Validator)) => {
            counters.add(Counter::HandshakesForChallenges, 1);
            part(&stream).await;
            return None;
        }
        Some(Err(error)) => error,
        None => {
            counters.add(Counter::HandshakesLate, 1);
            return None;
        }
    };
    tracing::debug!("handshake with {}: {error}", peer.address);
    counters.add(counter_of(&error), 1);
    match error {
        HandshakeError::Gone => {}
        HandshakeError::Hello(HelloError::PlainHttp) => {
            let reason = Reason::BadRequest("plain_http_on_tls_port");
            answer_unread(worker, &stream, reason).await;
            part(&stream).await;
        }
        HandshakeError::Hello(_)
        | HandshakeError::Unserved(_)
        | HandshakeError::TooLong
        | HandshakeError::Failed(_) => part(&stream).await,
    }
    None
}

/// Sends FIN and reads what still comes for a moment, so that the client sees our last words first.
async fn part(stream: &Plain) {
    stream.sender().finish();
    linger(&mut Receiver::Plain(stream.receiver())).await;
}

/// What a client is given: by its name, or by the address that it came to.
fn choose(
    worker: &Worker,
    stream: &Plain,
    peer: &Peer,
    hello: &Hello,
    deadline: &Deadline,
    due: Tick,
) -> Result<Chosen, Unserved> {
    let snapshot = &worker.current().snapshot;
    let name = match &hello.name {
        AskedName::Host(host) => Some(host),
        AskedName::None => None,
        AskedName::Invalid => return Err(Unserved::UnknownName),
    };
    if hello.is_acme {
        deadline.set(VALIDATION_WAIT.min(due.since(now())));
        let answer = name.and_then(|name| snapshot.challenges.alpn(name));
        let answer = answer.cloned().ok_or(Unserved::NoChallenge)?;
        return Ok(Chosen::Challenge(answer));
    }
    let local = match name {
        Some(_) => None,
        None => stream.local_address().ok(),
    };
    // Never asked for where there is a name.
    let local = local.map_or(IpAddr::from([0; 4]), |local| plain(local.ip()));
    match snapshot.certificates.select(peer.listener, name, local) {
        Selected::Served(served) => Ok(Chosen::Site(served.clone())),
        Selected::Missing => Err(Unserved::NoCertificate),
        Selected::Refused => Err(Unserved::Refused),
        Selected::Unknown => Err(Unserved::UnknownName),
    }
}

fn counter_of(error: &HandshakeError) -> Counter {
    use rustls::Error as Tls;
    match error {
        HandshakeError::Gone => Counter::HandshakesGone,
        HandshakeError::Hello(HelloError::PlainHttp | HelloError::NotTls) => {
            Counter::HandshakesNotTls
        }
        HandshakeError::Unserved(Unserved::UnknownName | Unserved::NoChallenge) => {
            Counter::HandshakesUnknownName
        }
        HandshakeError::Unserved(Unserved::NoCertificate) => Counter::HandshakesNoCertificate,
        HandshakeError::Unserved(Unserved::Refused) => Counter::HandshakesRefused,
        HandshakeError::Failed(Fault::Tls(
            Tls::NoCertificatesPresented | Tls::InvalidCertificate(_),
        )) => Counter::HandshakesClientCertificate,
        HandshakeError::Hello(
            HelloError::RecordTooLong
            | HelloError::EmptyRecord
            | HelloError::Interrupted
            | HelloError::NotClientHello
            | HelloError::TooLong
            | HelloError::Malformed,
        )
        | HandshakeError::TooLong
        | HandshakeError::Failed(_) => Counter::HandshakesFailed,
    }
}

/// Answers what is no request, for the reason given, and says that nothing more will be sent.
pub(super) async fn answer_unread(worker: &Worker, stream: &Plain, reason: Reason) {
    let id = worker.next_id();
    let Some(status) = reason.status() else {
        return;
    };
    let (response, _) = page(&Answer {
        reason,
        status,
        format: PageFormat::Text,
        method: Method::Get,
        id,
        persists: false,
        date: &worker.date(),
        own: &Own::Page,
        hsts: None,
    });
    let (sender, limit) = (stream.sender(), Deadline::new());
    limit.set(Duration::from_secs(1));
    // It fits into an empty send buffer; a client that is gone already loses nothing.
    let _ = limit.limit(sender.send_some(response)).await;
    sender.finish();
}
