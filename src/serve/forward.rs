//! One proxied exchange: an endpoint, a connection to it, the attempt, and another one where that is allowed.

use std::rc::Rc;
use std::time::Duration;

use super::compose::{self, RequestParts};
use super::core::Worker;
use super::dispatch::{Client, Facts, Routed};
use super::incoming::{BodySource, Incoming, Peer, ReplySink};
use super::relay::{Attempt, Relayed, relay};
use super::snapshot::Current;
use crate::h1::chunked::{CHUNK_HEAD_BYTES_MAX, encode_chunk_head_before};
use crate::h1::encode::Encoder;
use crate::h1::field_lines::HeadLimits;
use crate::h1::framing::Framing;
use crate::net::clock::precise_nanos;
use crate::net::{Buffer, Class, Deadline};
use crate::policy::exchange::{
    IDLE_FOR_UNREPLAYABLE_MAX, Retry, may_retry, needs_fresh_connection,
};
use crate::policy::pipeline::{Pipeline, may_share};
use crate::policy::reason::Reason;
use crate::telemetry::counters::Counter;
use crate::tls::Stream;
use crate::upstream::connect::{check_out, dial};
use crate::upstream::slot::SlotLimits;
use crate::upstream::tokens::Token;
use crate::upstream::{Connection, EndpointNumber, Lease, Slot};

/// What is noted of an exchange with an upstream, for the record.
#[derive(Clone, Copy, Default)]
pub struct Trace {
    /// The endpoint asked last.
    pub endpoint: Option<EndpointNumber>,
    /// When the first one was picked (monotonic nanoseconds).
    pub began_nanos: u64,
    /// When the response had been read, or the last attempt had failed.
    pub ended_nanos: u64,
}

/// How an exchange that did not fail ended.
pub enum Forwarded {
    /// The response was passed on whole.
    Whole,
    /// Both sides have switched protocols.
    Switched(Switched),
}

/// The upstream's end of a tunnel.
pub struct Switched {
    /// The connection.
    pub stream: Stream,
    /// Its token.
    pub token: Token,
    /// What came behind the 101.
    pub first: Buffer,
    /// How long nothing may pass.
    pub idle: Duration,
}

/// All that stays the same from attempt to attempt.
pub struct Forward<'a> {
    /// The worker.
    pub worker: &'a Rc<Worker>,
    /// The snapshot that the exchange began with.
    pub current: &'a Current,
    /// What the head says.
    pub facts: &'a Facts<'a>,
    /// Where it goes.
    pub routed: &'a Routed<'a>,
    /// Who sent it.
    pub client: Client,
}

/// Forwards a request and passes the response on.
///
/// `slot` is the connection's; after a failed attempt another one takes its place, with the same progress.
///
/// # Errors
///
/// Why there is no response, or no whole one; the slot's progress says whether its head was sent.
pub async fn forward(
    this: &Forward<'_>,
    incoming: &mut Incoming<'_>,
    slot: &mut Rc<Slot>,
    trace: &mut Trace,
) -> Result<Forwarded, Reason> {
    let held = this.prepare(incoming, slot).await?;
    let endpoints = this.routed.plan.endpoints.as_deref().unwrap_or_default();
    let mut next = Next::Any { tried: None };
    loop {
        let place = match next {
            Next::Any { tried } => {
                this.current
                    .pick(this.routed.plan_number, endpoints.len(), tried)
            }
            Next::Again { place } | Next::Moved { place } => Some(place),
        };
        let place = place.ok_or(Reason::NoUpstream)?;
        trace.endpoint = Some(endpoints[place]);
        if trace.began_nanos == 0 {
            trace.began_nanos = precise_nanos();
        }
        let result = this
            .attempt(incoming, slot, endpoints[place], &next, &held, trace)
            .await;
        let reason = match result {
            Ok(forwarded) => return Ok(forwarded),
            Err(reason) => reason,
        };
        trace.ended_nanos = precise_nanos();
        next = if slot.has_moved() {
            Next::Moved { place }
        } else {
            let progress = *slot.progress.borrow();
            let again = match may_retry(&progress, reason, endpoints.len() > 1) {
                Retry::No => return Err(reason),
                Retry::SameEndpointNewConnection => Next::Again { place },
                Retry::OtherEndpoint => Next::Any { tried: Some(place) },
            };
            this.worker.counters().add(Counter::Retries, 1);
            again
        };
        *slot = Rc::new(slot.successor());
    }
}

/// Octets of a body that are held at the most: a block's, less a chunk's framing around them.
const HELD_BYTES_MAX: usize = Class::Giant.bytes() - 64;

/// What of a request's body is held, to be sent with the head, and again with another attempt.
struct Held {
    /// The beginning of the content, or all of it.
    content: Option<Buffer>,
    /// How the body is delimited upstream.
    framing: Framing,
}

/// Where the next attempt goes.
enum Next {
    /// Whose turn it is, but not the one that has just failed.
    Any { tried: Option<usize> },
    /// The same one, over a connection made for it.
    Again { place: usize },
    /// The same one, over a connection that nobody shares: the request stood behind one that stalled.
    Moved { place: usize },
}

impl Forward<'_> {
    /// The value of Strict-Transport-Security, where the route has one and the client came over TLS.
    fn hsts(&self, peer: &Peer) -> Option<&[u8]> {
        self.routed.plan.hsts.as_deref().filter(|_| peer.is_tls)
    }

    /// Sets the exchange's limits, and reads what of the body is held before anybody upstream is bothered.
    async fn prepare(&self, incoming: &mut Incoming<'_>, slot: &Slot) -> Result<Held, Reason> {
        let BodySource::Http1(body) = &mut incoming.body;
        let ReplySink::Http1(reply) = &mut incoming.reply;
        let (limits, timeouts) = (
            &self.routed.plan.settings.limits,
            &self.routed.plan.settings.timeouts,
        );
        body.limit_to(limits.body);
        reply.set_idle(timeouts.write_idle);
        let head = HeadLimits {
            head_bytes: limits.upstream_header_size,
            fields: limits.header_count,
        };
        slot.set_limits(SlotLimits {
            head,
            read_ahead_bytes: limits.response_buffer,
            stall: timeouts.body_idle,
        });
        let framing = self.facts.framing;
        let room = limits.request_buffer.min(HELD_BYTES_MAX);
        let known = match framing {
            Framing::Length(length) => usize::try_from(length)
                .ok()
                .filter(|length| *length <= room),
            Framing::None | Framing::Chunked | Framing::UntilClose => None,
        };
        if body.is_complete() || (framing != Framing::Chunked && known.is_none()) {
            return Ok(Held {
                content: None,
                framing,
            });
        }
        if self.facts.expects_continue && body.may_be_invited() {
            reply.send(say_continue()).await?;
        }
        let content = match known {
            Some(length) => body.whole(length, timeouts.body_idle).await?,
            None => body.beginning(room).await?,
        };
        // A chunked body that is here whole has a length, which more applications understand.
        let framing = if body.is_complete() {
            Framing::Length(content.len() as u64)
        } else {
            framing
        };
        slot.progress.borrow_mut().request_read = body.is_complete();
        Ok(Held {
            content: Some(content),
            framing,
        })
    }

    /// One attempt at one endpoint.
    async fn attempt(
        &self,
        incoming: &mut Incoming<'_>,
        slot: &Rc<Slot>,
        endpoint: EndpointNumber,
        next: &Next,
        held: &Held,
        trace: &mut Trace,
    ) -> Result<Forwarded, Reason> {
        let ReplySink::Http1(reply) = &incoming.reply;
        let pipeline = self.pipeline(incoming, slot);
        let connection = self
            .connect(slot, endpoint, next, pipeline, reply.deadline())
            .await?;
        let began_nanos = match next {
            Next::Any { tried: None } => trace.began_nanos,
            Next::Any { tried: Some(_) } | Next::Again { .. } | Next::Moved { .. } => {
                precise_nanos()
            }
        };
        let lease = Lease::begin(connection, slot.clone(), began_nanos);
        let is_request_queued = self.queue(incoming, slot, &lease, endpoint, held);

        let BodySource::Http1(body) = &mut incoming.body;
        let ReplySink::Http1(reply) = &mut incoming.reply;
        let timeouts = &self.routed.plan.settings.timeouts;
        if self.facts.expects_continue && body.may_be_invited() {
            reply.send(say_continue()).await?;
        }
        let attempt = Attempt {
            lease: &lease,
            slot,
            timeouts,
            version: incoming.head.version,
            upgrade: self.routed.upgrade,
            framing: held.framing,
            is_request_queued,
            worker: self.worker,
            hsts: self.hsts(incoming.peer),
        };
        let forwarded = match relay(&attempt, body, reply).await? {
            Relayed::Whole => Forwarded::Whole,
            Relayed::Switched(first) => {
                let (stream, token) = lease.into_stream().ok_or(Reason::UpstreamClosed)?;
                Forwarded::Switched(Switched {
                    stream,
                    token,
                    first,
                    idle: timeouts.tunnel_idle,
                })
            }
        };
        trace.ended_nanos = precise_nanos();
        Ok(forwarded)
    }

    /// How this attempt may share a connection: the first one alone, and if the request is of the kind.
    fn pipeline(&self, incoming: &Incoming<'_>, slot: &Slot) -> Pipeline {
        let (routed, facts) = (self.routed, self.facts);
        let may_share = routed.plan.pipeline != Pipeline::Off
            && slot.progress.borrow().attempts == 0
            && may_share(
                incoming.head,
                incoming.octets,
                facts.framing,
                routed.upgrade.is_some(),
            );
        match may_share {
            true => routed.plan.pipeline,
            false => Pipeline::Off,
        }
    }

    /// A connection that may carry this request, in use or idle, or a new one.
    async fn connect(
        &self,
        slot: &Slot,
        endpoint: EndpointNumber,
        next: &Next,
        pipeline: Pipeline,
        deadline: &Deadline,
    ) -> Result<Rc<Connection>, Reason> {
        let upstreams = self.worker.upstreams();
        let before = *slot.progress.borrow();
        let idle_max = needs_fresh_connection(&before).then_some(IDLE_FOR_UNREPLAYABLE_MAX);
        let idle = match next {
            Next::Any { .. } | Next::Moved { .. } => {
                check_out(upstreams, endpoint, idle_max, pipeline)
            }
            Next::Again { .. } => None,
        };
        slot.progress.borrow_mut().begin_attempt(idle.is_some());
        if let Some(connection) = idle {
            return Ok(connection);
        }
        let timeouts = &self.routed.plan.settings.timeouts;
        let address = self.current.snapshot.endpoints.of(endpoint);
        dial(
            upstreams,
            endpoint,
            address,
            timeouts.connect,
            timeouts.upstream_idle,
            deadline,
        )
        .await
    }

    /// Queues the request's head and, if it is held, its body. True: the request is queued whole.
    fn queue(
        &self,
        incoming: &Incoming<'_>,
        slot: &Slot,
        lease: &Lease,
        endpoint: EndpointNumber,
        held: &Held,
    ) -> bool {
        let mut progress = slot.progress.borrow_mut();
        progress.upgrade_sent = self.routed.upgrade.is_some();
        let is_whole = progress.request_read;
        drop(progress);

        let parts = RequestParts {
            head: incoming.head,
            octets: incoming.octets,
            facts: self.facts,
            framing: held.framing,
            routed: self.routed,
            client: self.client,
            peer_text: &incoming.peer.text,
            port: incoming.peer.port,
            is_tls: incoming.peer.is_tls,
            client_subject: incoming
                .secured
                .and_then(|secured| secured.client.as_deref()),
            endpoint: &self.current.snapshot.endpoints.of(endpoint).authority,
        };
        let content = held
            .content
            .as_ref()
            .map(Buffer::window)
            .unwrap_or_default();
        let mut chunk_head = [0u8; CHUNK_HEAD_BYTES_MAX];
        let (before, behind): (&[u8], &[u8]) = match held.framing {
            Framing::Chunked if !content.is_empty() => {
                let start =
                    encode_chunk_head_before(&mut chunk_head, CHUNK_HEAD_BYTES_MAX, content.len());
                (&chunk_head[start..], b"\r\n")
            }
            Framing::None | Framing::Length(_) | Framing::Chunked | Framing::UntilClose => {
                (b"", b"")
            }
        };
        // Head and small body leave in one send.
        let head_room = compose::room_for(incoming.head.length, &incoming.head.fields)
            + compose::room_for_subject(parts.client_subject);
        let body_room = before.len() + content.len() + behind.len();
        let together = Class::holding(head_room + body_room).or(Class::holding(head_room));
        let mut out = Buffer::rent(together.unwrap_or(Class::Giant));
        let mut e = Encoder::new(out.spare_mut());
        let aliases = compose::request(&mut e, &parts);
        let written = e.finish().expect("room was asked for");
        out.commit(written);
        if aliases > 0 {
            self.worker
                .counters()
                .add(Counter::AliasFieldsDropped, aliases);
        }
        if out.room() < body_room {
            lease.send(out, false);
            out = Buffer::rent(Class::holding(body_room).unwrap_or(Class::Giant));
        }
        let fits = out.append(before) && out.append(content) && out.append(behind);
        assert!(fits, "what is held is no larger than a block");
        lease.send(out, is_whole);
        is_whole
    }
}

fn say_continue() -> Buffer {
    let mut buffer = Buffer::rent(Class::Head);
    let fits = buffer.append(b"HTTP/1.1 100 Continue\r\n\r\n");
    assert!(fits, "a block holds one line");
    buffer
}
