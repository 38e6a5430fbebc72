//! One exchange on an HTTP/1.1 connection: from a complete request head to the access record.

use std::rc::Rc;
use std::time::Duration;

use super::body::{RequestBody, copy_of};
use super::core::Worker;
use super::dispatch::{self, Client, Facts, Found, Refused, Routed};
use super::forward::{Forward, Forwarded, Switched, Trace, forward};
use super::incoming::{BodySource, Incoming, Peer, ReplySink};
use super::parked::{Silent, millis};
use super::reply::Reply;
use super::respond::{Answer, Own, PageFormat, page};
use super::scratch::Scratch;
use super::snapshot::Current;
use super::tunnel::Side;
use crate::h1::framing::Framing;
use crate::http::authority::HostName;
use crate::http::fields::FieldName;
use crate::net::Buffer;
use crate::net::clock::{precise_nanos, unix_nanos};
use crate::policy::exchange::{Progress, may_answer, may_reuse_downstream};
use crate::policy::reason::Reason;
use crate::telemetry::AccessRecord;
use crate::telemetry::counters::Counter;
use crate::tls::{Receiver, Secured, Sender};
use crate::upstream::Slot;

/// What becomes of the connection.
pub enum After {
    /// Another exchange may follow; this was received behind the last one.
    Again(Option<Buffer>),
    /// It is closed: all was read and all was sent.
    Close,
    /// It is the client's end of a tunnel.
    Tunnel(ClientEnd, Handover),
    /// FIN is sent, and what the client still sends is read for a moment, so that it sees our answer first.
    Linger,
    /// It is reset: the response is not whole and the client must notice.
    Abort,
}

/// How a client's connection stands when it becomes an end of a tunnel.
pub struct ClientEnd {
    /// Received behind the request head.
    pub leftover: Option<Buffer>,
    /// The client has sent FIN.
    pub has_finished: bool,
}

/// The rest of a tunnel: its upstream end, and what is known of it.
pub struct Handover {
    /// The upstream's end.
    pub upstream: Side,
    /// What the tunnel is.
    pub silent: Box<Silent>,
}

/// The connection that an exchange runs on.
pub struct Link<'a> {
    /// The worker.
    pub worker: &'a Rc<Worker>,
    /// The other end.
    pub peer: &'a Peer,
    /// How the connection is secured; `None` where it is plain.
    pub secured: Option<&'a Secured>,
    /// Requests come in here.
    pub receiver: &'a mut Receiver,
    /// Responses go out here.
    pub sender: &'a Sender,
    /// Rented for the connection's hot time.
    pub scratch: &'a mut Scratch,
    /// How long the connection may be idle: as the route of its last exchange has it.
    pub keepalive: &'a mut Duration,
}

/// What is known of an exchange when it has ended.
#[derive(Default)]
struct Ended {
    found: Found,
    trace: Trace,
    client: Option<Client>,
    failure: Option<Reason>,
    /// Of a response made here.
    own_status: Option<u16>,
    content_read: u64,
    content_sent: u64,
    peer_finished: bool,
}

/// Runs the exchange whose head is complete in the scratch's parser and begins `head_buffer`'s window.
pub async fn run(link: &mut Link<'_>, head_buffer: Buffer) -> After {
    let began_nanos = precise_nanos();
    let (worker, peer) = (link.worker, link.peer);
    let current = worker.current();
    let Scratch {
        parser,
        slot,
        path,
        request_deadline,
        reply_deadline,
    } = &mut *link.scratch;
    let head = &parser.head;
    let (octets, behind) = head_buffer.window().split_at(head.length);
    let leftover = (!behind.is_empty()).then(|| copy_of(behind));

    let counters = worker.counters();
    let (facts, host) = match dispatch::facts(head, octets) {
        Ok((facts, host)) => (Ok(facts), host),
        Err(reason) => (Err(reason), None),
    };
    let framing = facts.as_ref().map_or(Framing::None, |facts| facts.framing);
    let is_last = facts.as_ref().is_ok_and(|facts| !facts.persists);
    let body = RequestBody::new(
        link.receiver,
        request_deadline,
        counters,
        leftover,
        framing,
        is_last,
    );
    let idle = current.snapshot.routes.defaults.timeouts.write_idle;
    let reply = Reply::new(link.sender, reply_deadline, counters, idle);
    renew(slot);
    slot.begin_exchange(head.method);
    let mut incoming = Incoming {
        head,
        octets,
        peer,
        secured: link.secured,
        id: worker.next_id(),
        body: BodySource::Http1(body),
        reply: ReplySink::Http1(reply),
    };

    let mut ended = Ended::default();
    let routed = facts.map_err(Refused::from).and_then(|facts| {
        let (routed, client) =
            find_route(&current, &facts, host, &incoming, slot, path, &mut ended)?;
        Ok((facts, routed, client))
    });
    let outcome = match &routed {
        Ok((facts, routed, client)) => {
            let this = Forward {
                worker,
                current: &current,
                facts,
                routed,
                client: *client,
            };
            forward(&this, &mut incoming, slot, &mut ended.trace).await
        }
        Err(refused) => Err(refused.reason),
    };
    let mut switched = None;
    match outcome {
        Ok(Forwarded::Whole) => {}
        Ok(Forwarded::Switched(upstream)) => switched = Some(upstream),
        Err(reason) => {
            let refused = match routed {
                Err(refused) => refused,
                Ok(_) => reason.into(),
            };
            fail(worker, &current, &mut incoming, slot, refused, &mut ended).await;
        }
    }

    let BodySource::Http1(body) = &incoming.body;
    let ReplySink::Http1(reply) = &incoming.reply;
    ended.content_read = body.content_octets();
    ended.content_sent = reply.content_octets();
    ended.peer_finished = body.peer_finished();
    let handover = switched.map(|upstream| {
        worker.counters().add(Counter::TunnelsOpened, 1);
        let record = |record: &AccessRecord<'_>| worker.packed_access(record);
        let packed = with_record(
            worker,
            &current,
            &incoming,
            slot,
            began_nanos,
            &ended,
            record,
        );
        hand_over(upstream, packed.flatten(), began_nanos, &ended)
    });
    if handover.is_none() {
        record(worker, &current, &incoming, slot, began_nanos, &ended);
    }

    if let Some(plan) = ended.found.plan {
        let plan = current.snapshot.routes.plan(plan);
        *link.keepalive = plan.settings.timeouts.keepalive;
    }
    let BodySource::Http1(body) = incoming.body;
    let leftover = body.into_leftover();
    match handover {
        Some(handover) => {
            let has_finished = ended.peer_finished;
            let client = ClientEnd {
                leftover,
                has_finished,
            };
            After::Tunnel(client, handover)
        }
        None => after(&slot.progress.borrow(), &ended, leftover),
    }
}

fn hand_over(
    switched: Switched,
    record: Option<Box<[u8]>>,
    began_nanos: u64,
    ended: &Ended,
) -> Handover {
    let silent = Box::new(Silent {
        endpoint: switched.token.stay_out(),
        limit_ms: millis(switched.idle),
        began_nanos,
        upstream_began_nanos: ended.trace.began_nanos,
        octets_up: 0,
        octets_down: 0,
        other: None,
        encrypted: None,
        record,
    });
    let upstream = Side::new(switched.stream, Some(switched.first));
    Handover { upstream, silent }
}

/// A connection that was given up may hold the slot for one more turn: then it keeps it, and this exchange has a new
/// one.
fn renew(slot: &mut Rc<Slot>) {
    if Rc::get_mut(slot).is_none() {
        *slot = Rc::new(Slot::new());
    }
}

/// Who sent the request, and what is to be done with it.
fn find_route<'a>(
    current: &'a Current,
    facts: &Facts<'a>,
    host: Option<HostName>,
    incoming: &Incoming<'a>,
    slot: &Slot,
    path: &'a mut Vec<u8>,
    ended: &mut Ended,
) -> Result<(Routed<'a>, Client), Refused> {
    let BodySource::Http1(body) = &incoming.body;
    {
        let mut progress = slot.progress.borrow_mut();
        progress.request_read = body.is_complete();
        progress.downstream_persists = facts.persists;
    }
    let routes = &current.snapshot.routes;
    let (head, octets) = (incoming.head, incoming.octets);
    let client = dispatch::client_of(head, octets, incoming.peer, routes);
    ended.client = Some(client);
    let request = dispatch::Request {
        facts,
        host: host.as_ref(),
        head,
        octets,
        client,
        peer: *incoming.peer,
        secured: incoming.secured,
    };
    let routed = dispatch::route(&request, &current.snapshot, path, &mut ended.found)?;
    Ok((routed, client))
}

/// Answers with the reason's page, if an answer is still possible.
async fn fail(
    worker: &Worker,
    current: &Current,
    incoming: &mut Incoming<'_>,
    slot: &Slot,
    refused: Refused,
    ended: &mut Ended,
) {
    let Refused { reason, own } = refused;
    let own = awaited(current, reason, &ended.found).unwrap_or(own);
    ended.failure = Some(reason);
    let BodySource::Http1(body) = &mut incoming.body;
    let ReplySink::Http1(reply) = &mut incoming.reply;
    let answer = {
        let mut progress = slot.progress.borrow_mut();
        progress.failure = Some(reason);
        let Some(status) = may_answer(&progress, reason) else {
            return;
        };
        // A body that has come whole already is out of the way; one that has not is not waited for.
        progress.request_read = progress.request_read || body.discard_received();
        progress.downstream_persists &=
            progress.request_read && !reason.closes_downstream() && !worker.is_draining();
        progress.response_head_sent = true;
        progress.response_sent_delimited = true;
        Answer {
            reason,
            own: &own,
            hsts: hsts(current, incoming.peer, &ended.found),
            status,
            format: PageFormat::wished(&incoming.head.fields, incoming.octets),
            method: incoming.head.method,
            id: incoming.id,
            persists: progress.downstream_persists,
            date: &worker.date(),
        }
    };
    ended.own_status = Some(answer.status.code());
    let (response, content) = page(&answer);
    reply.note_content(content);
    reply.note_media(answer.content_type());
    if reply.send(response).await.is_ok() {
        slot.progress.borrow_mut().response_sent = true;
    }
}

/// What a site without a certificate waits for, in a sentence.
fn awaited(current: &Current, reason: Reason, found: &Found) -> Option<Own> {
    let site = found.site.filter(|_| reason == Reason::NoCertificate)?;
    let snapshot = &current.snapshot;
    let name = &snapshot.routes.site(site).name;
    let now = unix_nanos() / 1_000_000_000;
    let sentence = snapshot.states.of(site).sentence(name, now)?;
    Some(Own::Sentence(sentence))
}

/// The value of Strict-Transport-Security, where the route has one and the client came over TLS.
fn hsts<'a>(current: &'a Current, peer: &Peer, found: &Found) -> Option<&'a [u8]> {
    let routes = &current.snapshot.routes;
    let plan = found.plan.filter(|_| peer.is_tls)?;
    routes.plan(plan).hsts.as_deref()
}

fn after(progress: &Progress, ended: &Ended, leftover: Option<Buffer>) -> After {
    if may_reuse_downstream(progress) && !ended.peer_finished {
        return After::Again(leftover);
    }
    match (
        progress.response_sent,
        progress.request_read && leftover.is_none(),
    ) {
        (true, true) => After::Close,
        (true, false) => After::Linger,
        (false, _) => After::Abort,
    }
}

/// Counts the exchange and leaves its record.
fn record(
    worker: &Worker,
    current: &Current,
    incoming: &Incoming<'_>,
    slot: &Slot,
    began: u64,
    ended: &Ended,
) {
    worker.count_exchange(status_of(slot, ended));
    with_record(worker, current, incoming, slot, began, ended, |record| {
        worker.log_access(record);
    });
}

/// The status sent downstream; 0 if none was.
fn status_of(slot: &Slot, ended: &Ended) -> u16 {
    match ended.own_status {
        Some(code) => code,
        None if slot.progress.borrow().response_head_sent => slot.head.borrow().status.code(),
        None => 0,
    }
}

/// Makes the exchange's record for `take`; `None` where none is kept.
fn with_record<R>(
    worker: &Worker,
    current: &Current,
    incoming: &Incoming<'_>,
    slot: &Slot,
    began: u64,
    ended: &Ended,
    take: impl FnOnce(&AccessRecord<'_>) -> R,
) -> Option<R> {
    let status = status_of(slot, ended);
    let snapshot = &current.snapshot;
    let plan = ended.found.plan.map(|number| snapshot.routes.plan(number));
    if !worker.logs_access() || plan.is_some_and(|plan| !plan.settings.log) {
        return None;
    }
    let ReplySink::Http1(reply) = &incoming.reply;
    let (head, octets) = (incoming.head, incoming.octets);
    let field = |known| head.fields.first(octets, known);
    let asked = ended
        .trace
        .endpoint
        .map(|number| &*snapshot.endpoints.of(number).label);
    let reason = ended.failure.map(Reason::text).unwrap_or_default();
    Some(take(&AccessRecord {
        ts_unix_nanos: unix_nanos(),
        duration_nanos: precise_nanos().saturating_sub(began),
        upstream_duration_nanos: asked.map(|_| {
            ended
                .trace
                .ended_nanos
                .saturating_sub(ended.trace.began_nanos)
        }),
        worker: worker.number(),
        id: incoming.id,
        peer: incoming.peer.address,
        client_ip: ended
            .client
            .map_or(incoming.peer.address.ip(), |client| client.address),
        proto: head.version,
        method: head.method_token.of(octets),
        host: field(FieldName::Host).unwrap_or_default(),
        uri: head.target.of(octets),
        user_id: None,
        user_agent: field(FieldName::UserAgent),
        referer: field(FieldName::Referer),
        content_type: reply.media(),
        status,
        bytes_read: ended.content_read,
        bytes_sent: ended.content_sent,
        site: ended
            .found
            .site
            .map_or("", |number| &snapshot.routes.site(number).name),
        route: plan.map_or("", |plan| &plan.name),
        upstream: asked.unwrap_or_default(),
        reason: &reason,
    }))
}

/// Answers octets that never became a request, and leaves a record of it.
pub async fn refuse(link: &mut Link<'_>, reason: Reason) -> After {
    let began_nanos = precise_nanos();
    let (worker, peer) = (link.worker, link.peer);
    let current = worker.current();
    let Scratch {
        parser,
        slot,
        request_deadline,
        reply_deadline,
        ..
    } = &mut *link.scratch;
    // What was parsed before the fault is not shown: its spans may be half-filled.
    parser.reset();
    renew(slot);
    slot.begin_exchange(parser.head.method);
    let counters = worker.counters();
    let body = RequestBody::new(
        link.receiver,
        request_deadline,
        counters,
        None,
        Framing::None,
        true,
    );
    let idle = current.snapshot.routes.defaults.timeouts.write_idle;
    let mut incoming = Incoming {
        head: &parser.head,
        octets: b"",
        peer,
        secured: link.secured,
        id: worker.next_id(),
        body: BodySource::Http1(body),
        reply: ReplySink::Http1(Reply::new(link.sender, reply_deadline, counters, idle)),
    };
    let mut ended = Ended::default();
    fail(
        worker,
        &current,
        &mut incoming,
        slot,
        reason.into(),
        &mut ended,
    )
    .await;
    record(worker, &current, &incoming, slot, began_nanos, &ended);
    match slot.progress.borrow().response_sent {
        true => After::Linger,
        false => After::Abort,
    }
}
