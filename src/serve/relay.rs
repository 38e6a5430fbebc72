//! One attempt: the request out and the response back, at the same time, each with backpressure.
//!
//! The request side pumps the body and then watches whether the client is still there; it only ever ends with a
//! fault. The response side ends when the response has been passed on whole. Whichever ends first ends the attempt.

use std::rc::Rc;
use std::time::Duration;

use super::body::RequestBody;
use super::compose::{self, ResponseParts};
use super::core::Worker;
use super::reply::{Delimiter, Reply, frame_chunk};
use crate::config::Timeouts;
use crate::h1::chunked::LAST_CHUNK;
use crate::h1::encode::Encoder;
use crate::h1::framing::Framing;
use crate::http::fields::FieldName;
use crate::http::message::Version;
use crate::net::{Buffer, Class, Deadline, Either, race};
use crate::policy::reason::Reason;
use crate::upstream::{Arrival, ArrivalKind, Lease, Slot};

/// What both sides of an attempt have to know.
pub struct Attempt<'a> {
    /// The connection that it is made on.
    pub lease: &'a Lease,
    /// The exchange's slot.
    pub slot: &'a Rc<Slot>,
    /// The route's time limits.
    pub timeouts: &'a Timeouts,
    /// The client's version.
    pub version: Version,
    /// The protocol that the request asked to switch to.
    pub upgrade: Option<&'a [u8]>,
    /// How the request's body is delimited.
    pub framing: Framing,
    /// The body was read whole before, and is queued with the head.
    pub is_request_queued: bool,
    /// The worker: while it drains no connection carries on.
    pub worker: &'a Worker,
    /// The value of Strict-Transport-Security, over TLS.
    pub hsts: Option<&'a [u8]>,
}

/// How an attempt that did not fail ended.
pub enum Relayed {
    /// The response was passed on whole.
    Whole,
    /// The upstream switched protocols; the head of the 101 was passed on, and this came behind it.
    Switched(Buffer),
}

/// Runs an attempt whose head is queued already.
///
/// # Errors
///
/// Why it failed; the slot's progress says how far it had come.
pub async fn relay(
    attempt: &Attempt<'_>,
    body: &mut RequestBody<'_>,
    reply: &mut Reply<'_>,
) -> Result<Relayed, Reason> {
    if attempt.is_request_queued {
        reply.deadline().set_or_clear(attempt.timeouts.response);
    } else {
        // Until the request is sent the response may take as long as the client does.
        reply.deadline().clear();
    }
    let reply_deadline = reply.deadline();
    let request = async {
        if !attempt.is_request_queued {
            if let Err(reason) = pump_request(attempt, body, reply_deadline).await {
                return reason;
            }
            if !attempt.slot.progress.borrow().response_head_sent {
                reply_deadline.set_or_clear(attempt.timeouts.response);
            }
        }
        body.watch(|| attempt.slot.progress.borrow().response_head_sent)
            .await
    };
    match race(pass_response(attempt, reply), request).await {
        Either::Left(outcome) => outcome,
        Either::Right(reason) => Err(reason),
    }
}

/// Pumps the request's body into the connection's outbox.
async fn pump_request(
    attempt: &Attempt<'_>,
    body: &mut RequestBody<'_>,
    reply_deadline: &Deadline,
) -> Result<(), Reason> {
    while let Some(mut piece) = body.next(attempt.timeouts.body_idle).await? {
        attempt.slot.progress.borrow_mut().request_replayable = false;
        let is_last = body.is_complete();
        if attempt.framing == Framing::Chunked {
            frame_chunk(&mut piece, is_last);
        }
        if is_last {
            attempt.slot.progress.borrow_mut().request_read = true;
        }
        if !has_room(attempt, body).await? {
            // The connection takes no more; what the upstream has to say about it is on its way.
            if !attempt.slot.progress.borrow().response_head_sent {
                reply_deadline.set(attempt.timeouts.body_idle);
            }
            return std::future::pending().await;
        }
        attempt.lease.send(piece, is_last);
        if is_last {
            return Ok(());
        }
    }
    // The end came without content before it.
    attempt.slot.progress.borrow_mut().request_read = true;
    let mut last = Buffer::rent(Class::Head);
    let fits = last.append(LAST_CHUNK);
    assert!(
        fits && attempt.framing == Framing::Chunked,
        "a length is reached with its last octet"
    );
    attempt.lease.send(last, true);
    Ok(())
}

async fn has_room(attempt: &Attempt<'_>, body: &RequestBody<'_>) -> Result<bool, Reason> {
    body.deadline().set(attempt.timeouts.body_idle);
    body.deadline()
        .limit(attempt.lease.room())
        .await
        .ok_or(Reason::UpstreamStalled)
}

/// Passes the response on, interim ones first.
async fn pass_response(attempt: &Attempt<'_>, reply: &mut Reply<'_>) -> Result<Relayed, Reason> {
    loop {
        let arrival = next_arrival(attempt, reply).await?;
        match arrival.kind {
            ArrivalKind::Interim => {
                if attempt.version == Version::Http11 {
                    let head = encode_head(attempt, &arrival, Delimiter::Bodyless, false);
                    reply.send(head).await?;
                }
                match attempt.slot.progress.borrow().request_read {
                    true => reply.deadline().set_or_clear(attempt.timeouts.response),
                    false => reply.deadline().clear(),
                }
            }
            ArrivalKind::Switched => {
                if !is_switched_as_asked(attempt, &arrival) {
                    return Err(Reason::UnrequestedUpgrade);
                }
                let head = encode_head(attempt, &arrival, Delimiter::Close, false);
                attempt.slot.progress.borrow_mut().response_head_sent = true;
                reply.send(head).await?;
                return Ok(Relayed::Switched(arrival.buffer));
            }
            ArrivalKind::Final => return pass_final(attempt, reply, arrival).await,
        }
    }
}

/// Waits for a response head: `timeouts.response` until its first octet, and no longer than a stall from there on.
async fn next_arrival(attempt: &Attempt<'_>, reply: &Reply<'_>) -> Result<Arrival, Reason> {
    // Those of an interim response are no answer.
    let octets_before = attempt.slot.progress.borrow().response_octets;
    if let Some(arrival) = reply.deadline().limit(attempt.slot.next_arrival()).await {
        return arrival;
    }
    if attempt.slot.progress.borrow().response_octets == octets_before {
        return Err(Reason::UpstreamTimeout);
    }
    reply.deadline().set(attempt.timeouts.body_idle);
    let waited = reply.deadline().limit(attempt.slot.next_arrival()).await;
    waited.unwrap_or(Err(Reason::UpstreamStalled))
}

async fn pass_final(
    attempt: &Attempt<'_>,
    reply: &mut Reply<'_>,
    arrival: Arrival,
) -> Result<Relayed, Reason> {
    let delimiter = delimiter_of(arrival.framing, attempt.version);
    let persists = {
        let mut progress = attempt.slot.progress.borrow_mut();
        // A request that is still being read may never be read whole; a worker that drains keeps nothing.
        progress.downstream_persists &=
            progress.request_read && !attempt.worker.is_draining() && delimiter.is_explicit();
        progress.response_head_sent = true;
        progress.response_sent_delimited = delimiter.is_explicit();
        progress.downstream_persists
    };
    let stall = stall_limit(attempt, &arrival, reply);

    let mut first = encode_head(attempt, &arrival, delimiter, persists);
    let mut content = arrival.buffer;
    reply.note_content(content.len());
    let mut is_over = attempt.slot.is_drained();
    if !content.is_empty() && delimiter == Delimiter::Chunked {
        // There is a head before the content: room enough for a chunk's size line.
        frame_chunk(&mut content, is_over);
    } else if is_over && delimiter == Delimiter::Chunked {
        let fits = first.append(LAST_CHUNK);
        assert!(fits, "room was asked for");
    }
    let fits = first.append(content.window());
    assert!(fits, "room was asked for");
    drop(content);
    reply.send(first).await?;

    while !is_over {
        reply.deadline().set(stall);
        let waited = reply.deadline().limit(attempt.slot.next_piece()).await;
        let Some(mut piece) = waited.unwrap_or(Err(Reason::UpstreamStalled))? else {
            if delimiter == Delimiter::Chunked {
                let mut last = Buffer::rent(Class::Head);
                let fits = last.append(LAST_CHUNK);
                assert!(fits, "a block holds five octets");
                reply.send(last).await?;
            }
            break;
        };
        reply.note_content(piece.len());
        is_over = attempt.slot.is_drained();
        if delimiter == Delimiter::Chunked {
            frame_chunk(&mut piece, is_over);
        }
        reply.send(piece).await?;
    }
    attempt.slot.progress.borrow_mut().response_sent = true;
    Ok(Relayed::Whole)
}

/// Does the 101 name the protocol that was asked for, and no other (RFC 9110 §15.2.2)?
fn is_switched_as_asked(attempt: &Attempt<'_>, arrival: &Arrival) -> bool {
    let head = attempt.slot.head.borrow();
    let octets = arrival.head_octets();
    let mut named = head.fields.all(octets, FieldName::Upgrade);
    match (named.next(), named.next(), attempt.upgrade) {
        (Some(name), None, Some(asked)) => name.eq_ignore_ascii_case(asked),
        _ => false,
    }
}

fn delimiter_of(framing: Framing, version: Version) -> Delimiter {
    match (framing, version) {
        (Framing::None, _) => Delimiter::Bodyless,
        (Framing::Length(length), _) => Delimiter::Length(length),
        (Framing::Chunked | Framing::UntilClose, Version::Http11) => Delimiter::Chunked,
        (Framing::Chunked | Framing::UntilClose, Version::Http10) => Delimiter::Close,
    }
}

/// How long the upstream may be silent in the middle of its response. An event stream is silent by nature.
fn stall_limit(attempt: &Attempt<'_>, arrival: &Arrival, reply: &mut Reply<'_>) -> Duration {
    const EVENT_STREAM: &[u8] = b"text/event-stream";
    let head = attempt.slot.head.borrow();
    let Some(media) = head
        .fields
        .first(arrival.head_octets(), FieldName::ContentType)
    else {
        return attempt.timeouts.body_idle;
    };
    reply.note_media(media);
    let start = media.get(..EVENT_STREAM.len());
    match start.is_some_and(|start| start.eq_ignore_ascii_case(EVENT_STREAM)) {
        true => attempt.timeouts.tunnel_idle,
        false => attempt.timeouts.body_idle,
    }
}

/// Encodes the head that has arrived, with room behind it for the content that came along.
fn encode_head(
    attempt: &Attempt<'_>,
    arrival: &Arrival,
    delimiter: Delimiter,
    persists: bool,
) -> Buffer {
    /// A chunk's size line, its CRLF and the last chunk.
    const CHUNK_ROOM: usize = 32;
    let head = attempt.slot.head.borrow();
    let head_room = compose::room_for(head.length, &head.fields);
    let needed = head_room + arrival.buffer.len() + CHUNK_ROOM;
    let mut out = Buffer::rent(Class::holding(needed).unwrap_or(Class::Giant));
    let mut e = Encoder::new(out.spare_mut());
    let parts = ResponseParts {
        head: &head,
        options: arrival.options,
        octets: arrival.head_octets(),
        delimiter,
        method: attempt.slot.progress.borrow().method,
        persists,
        switched: arrival.kind == ArrivalKind::Switched,
        date: &attempt.worker.date(),
        hsts: attempt.hsts,
    };
    compose::response(&mut e, &parts);
    let written = e.finish().expect("room was asked for");
    out.commit(written);
    out
}
