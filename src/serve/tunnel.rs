//! A tunnel: after 101, opaque octets both ways until both ends have finished.
//!
//! ```text
//!   exchange ── Switched ──► carry ── a second of silence, both ways ──► parked
//!                             ▲  └── ended: the exchange's access record      │
//!                             └────────────────── octets ────────────────────┘
//! ```
//!
//! With the 101 the exchange is over but for its record: the two streams leave its connections and are a task of their
//! own, and while nothing passes not even that. FIN of one side is passed on and the other side goes on alone; once
//! nothing has passed for the tunnel's limit, either way, it is closed.

use std::cell::Cell;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use super::body::HALF_CLOSED_WAIT;
use super::core::{OpenConnection, Worker};
use super::parked::{EncryptedEnds, Parked, Silent};
use crate::h1::body::BodyCursor;
use crate::h1::framing::Framing;
use crate::http::status::Status;
use crate::net::clock::{Tick, now, precise_nanos, unix_nanos};
use crate::net::parking::Resting;
use crate::net::stream::is_cancelled;
use crate::net::{Buffer, Deadline, Either, both, race, spawn};
use crate::policy::reason::Reason;
use crate::telemetry::AccessRecord;
use crate::telemetry::counters::Counter;
use crate::tls::{Receiver, Sender, Stream};
use crate::upstream::piece::PieceSize;

/// How long a tunnel keeps its task and its buffers without octets.
const QUIET_WAIT: Duration = Duration::from_secs(1);

/// One end of a tunnel, in use.
pub struct Side {
    stream: Stream,
    receiver: Receiver,
    sender: Sender,
    /// Received and not yet passed on.
    held: Option<Buffer>,
    /// It has sent FIN.
    has_finished: bool,
}

impl Side {
    /// An end that has a receiver already, disarmable and perhaps armed, and may have sent FIN.
    pub fn with_receiver(
        stream: Stream,
        receiver: Receiver,
        held: Option<Buffer>,
        has_finished: bool,
    ) -> Side {
        Side {
            sender: stream.sender(),
            stream,
            receiver,
            held: held.filter(|held| !held.is_empty()),
            has_finished,
        }
    }

    /// An end on which no receive is under way.
    pub fn new(stream: Stream, held: Option<Buffer>) -> Side {
        let receiver = stream.disarmable_receiver();
        Side::with_receiver(stream, receiver, held, false)
    }

    /// Disarms the receive; what it brought after all is held.
    async fn quiet(&mut self) -> io::Result<()> {
        match self.receiver.disarm().await {
            None => Ok(()),
            Some((Ok(0), _)) => {
                self.has_finished = true;
                Ok(())
            }
            Some((Ok(_), octets)) => {
                self.held = Some(octets);
                Ok(())
            }
            Some((Err(error), _)) if is_cancelled(&error) => Ok(()),
            Some((Err(error), _)) => Err(error),
        }
    }

    fn is_silent(&self) -> bool {
        self.held.is_none() && !self.has_finished && !self.receiver.is_amid_record()
    }
}

/// Carries octets until the tunnel ends or is silent; then its record is left, or it is parked.
pub async fn carry(
    worker: Rc<Worker>,
    mut client: Side,
    mut upstream: Side,
    mut silent: Box<Silent>,
    open: OpenConnection,
) {
    let mut last = now();
    loop {
        let ended = pass(&worker, &mut client, &mut upstream, &mut silent, last).await;
        let reason = match ended {
            Ended::Both => None,
            Ended::Failed(reason) => {
                client.stream.abort_on_close();
                Some(reason)
            }
            Ended::Quiet { since } => {
                if client.quiet().await.is_err() {
                    Some(Reason::ClientReset)
                } else if upstream.quiet().await.is_err() {
                    client.stream.abort_on_close();
                    Some(Reason::UpstreamTruncated)
                } else if client.is_silent() && upstream.is_silent() {
                    park(
                        &worker,
                        client.stream_alone(),
                        upstream.stream_alone(),
                        silent,
                        open,
                        since,
                    );
                    return;
                } else {
                    // Half a record is not silence, nor has anything passed with it.
                    let ends = [&client.receiver, &upstream.receiver];
                    last = match ends.iter().any(|end| end.is_amid_record()) {
                        true => since,
                        false => now(),
                    };
                    continue;
                }
            }
        };
        end(&worker, &silent, reason);
        return;
    }
}

impl Side {
    fn stream_alone(self) -> Stream {
        self.stream
    }
}

/// How a time of passing octets ended.
enum Ended {
    /// Both sides have finished.
    Both,
    /// One side was reset, or fell silent.
    Failed(Reason),
    /// Nothing has passed since then, and both sides may go on.
    Quiet { since: Tick },
}

/// What both directions note.
struct Traffic {
    quiet: Deadline,
    /// How long nothing passes before somebody looks.
    quiet_wait: Duration,
    last: Cell<Tick>,
    sending: Cell<u32>,
    is_half_closed: Cell<bool>,
}

impl Traffic {
    fn passed(&self) {
        self.last.set(now());
        self.quiet.set(self.quiet_wait);
    }
}

async fn pass(
    worker: &Worker,
    client: &mut Side,
    upstream: &mut Side,
    silent: &mut Silent,
    last: Tick,
) -> Ended {
    let traffic = Traffic {
        quiet: Deadline::new(),
        quiet_wait: QUIET_WAIT.min(silent.limit()),
        last: Cell::new(last),
        sending: Cell::new(0),
        is_half_closed: Cell::new(client.has_finished || upstream.has_finished),
    };
    traffic.quiet.set(traffic.quiet_wait);
    let (octets_up, octets_down) = (Cell::new(0), Cell::new(0));
    let ended = {
        let mut up = Direction {
            worker,
            traffic: &traffic,
            octets: &octets_up,
            counters: (Counter::DownstreamBytesReceived, Counter::UpstreamBytesSent),
            lost: (Reason::ClientReset, Reason::UpstreamReset),
        };
        let mut down = Direction {
            worker,
            traffic: &traffic,
            octets: &octets_down,
            counters: (Counter::UpstreamBytesReceived, Counter::DownstreamBytesSent),
            lost: (Reason::UpstreamTruncated, Reason::ClientReset),
        };
        let pumps = both(
            up.pump(
                &mut client.receiver,
                &mut client.held,
                &mut client.has_finished,
                &upstream.sender,
            ),
            down.pump(
                &mut upstream.receiver,
                &mut upstream.held,
                &mut upstream.has_finished,
                &client.sender,
            ),
        );
        match race(pumps, become_quiet(&traffic, silent.limit())).await {
            Either::Left(Ok(())) => Ended::Both,
            Either::Left(Err(reason)) => Ended::Failed(reason),
            Either::Right(ended) => ended,
        }
    };
    silent.octets_up += octets_up.get();
    silent.octets_down += octets_down.get();
    ended
}

/// Waits until the tunnel may be parked, or has been silent for its limit.
async fn become_quiet(traffic: &Traffic, limit: Duration) -> Ended {
    loop {
        traffic.quiet.over().await;
        let since = traffic.last.get();
        let limit = match traffic.is_half_closed.get() {
            true => limit.min(HALF_CLOSED_WAIT),
            false => limit,
        };
        let left = limit.saturating_sub(now().since(since));
        if left.is_zero() {
            return Ended::Failed(Reason::TunnelIdle);
        }
        if traffic.sending.get() == 0 && !traffic.is_half_closed.get() {
            return Ended::Quiet { since };
        }
        // One that only waits for its other end, or whose octets are not taken, keeps its task.
        traffic.quiet.set(left);
    }
}

/// One direction of a tunnel.
struct Direction<'a> {
    worker: &'a Worker,
    traffic: &'a Traffic,
    octets: &'a Cell<u64>,
    /// Octets received, octets sent.
    counters: (Counter, Counter),
    /// What it means when receiving fails, and when sending does.
    lost: (Reason, Reason),
}

impl Direction<'_> {
    /// Passes octets on until the sender of them has finished.
    ///
    /// **Cancellation**: nothing is lost while no send is under way.
    async fn pump(
        &mut self,
        receiver: &mut Receiver,
        held: &mut Option<Buffer>,
        has_finished: &mut bool,
        sender: &Sender,
    ) -> Result<(), Reason> {
        let (mut size, endless) = (PieceSize::new(), BodyCursor::new(Framing::UntilClose));
        loop {
            let piece = match held.take() {
                Some(piece) => piece,
                None if *has_finished => break,
                None => {
                    if !receiver.is_armed() {
                        receiver.arm(Buffer::rent(size.next(&endless)));
                    }
                    let (result, piece) = receiver.recv().await;
                    match result {
                        Ok(0) => {
                            *has_finished = true;
                            break;
                        }
                        Ok(count) => {
                            self.worker.counters().add(self.counters.0, count as u64);
                            size.learn(receiver.was_filled(&piece));
                            piece
                        }
                        Err(_) => return Err(self.lost.0),
                    }
                }
            };
            self.octets.set(self.octets.get() + piece.len() as u64);
            self.traffic.sending.set(self.traffic.sending.get() + 1);
            self.send(piece, sender).await?;
            self.traffic.sending.set(self.traffic.sending.get() - 1);
        }
        self.traffic.sending.set(self.traffic.sending.get() + 1);
        sender.finish().await;
        self.traffic.sending.set(self.traffic.sending.get() - 1);
        self.traffic.is_half_closed.set(true);
        self.traffic.passed();
        Ok(())
    }

    async fn send(&self, mut piece: Buffer, sender: &Sender) -> Result<(), Reason> {
        self.traffic.passed();
        while !piece.is_empty() {
            let (result, rest) = sender.send_some(piece).await;
            piece = rest;
            let count = result.map_err(|_| self.lost.1)?;
            self.worker.counters().add(self.counters.1, count as u64);
            self.traffic.passed();
        }
        Ok(())
    }
}

/// Puts both ends into the lot. Where that fails the tunnel ends.
fn park(
    worker: &Rc<Worker>,
    client: Stream,
    upstream: Stream,
    mut silent: Box<Silent>,
    open: OpenConnection,
    since: Tick,
) {
    let (lot, due) = (worker.lot(), since.after(silent.limit()));
    let nobody = Parked::TunnelEnd { other: None };
    let (client, of_client) = client.into_parts();
    let (upstream, of_upstream) = upstream.into_parts();
    if of_client.is_some() || of_upstream.is_some() {
        silent.encrypted = Some(Box::new(EncryptedEnds {
            client: of_client,
            upstream: of_upstream,
        }));
    }
    let Ok(end) = lot.park(upstream, due, nobody) else {
        return end_by(worker, &silent, Reason::Overloaded);
    };
    silent.other = Some(end);
    match lot.park(client, due, Parked::Tunnel(silent)) {
        Ok(front) => {
            let known = lot.with_kept(end, |kept| *kept = Parked::TunnelEnd { other: Some(front) });
            assert!(known.is_some(), "it was parked a moment ago");
            open.stay_counted();
        }
        Err(kept) => {
            drop(lot.take(end));
            if let Parked::Tunnel(silent) = kept {
                end_by(worker, &silent, Reason::Overloaded);
            }
        }
    }
}

/// A silent tunnel has octets on one of its ends, or its time is over.
pub fn wake_tunnel(
    worker: &Rc<Worker>,
    mut silent: Box<Silent>,
    client: Resting,
    upstream: Resting,
    is_over: bool,
) {
    let open = OpenConnection::resumed(worker);
    let (Ok(client), Ok(upstream)) = (client.into_stream(), upstream.into_stream()) else {
        return end_by(worker, &silent, Reason::Overloaded);
    };
    if is_over {
        client.abort_on_close();
        return end_by(worker, &silent, Reason::TunnelIdle);
    }
    let ends = silent
        .encrypted
        .take()
        .map_or_else(EncryptedEnds::default, |ends| *ends);
    let client = Stream::resumed(client, ends.client);
    let upstream = Stream::resumed(upstream, ends.upstream);
    let (client, upstream) = (Side::new(client, None), Side::new(upstream, None));
    begin(worker, client, upstream, silent, open);
}

/// Starts the task of a tunnel.
pub fn begin(
    worker: &Rc<Worker>,
    client: Side,
    upstream: Side,
    silent: Box<Silent>,
    open: OpenConnection,
) {
    let panicked = worker.clone();
    let carried = carry(worker.clone(), client, upstream, silent, open);
    spawn(carried, move || panicked.counters().add(Counter::Panics, 1));
}

fn end_by(worker: &Worker, silent: &Silent, reason: Reason) {
    end(worker, silent, Some(reason));
}

/// Counts the end, gives the token back, and leaves the exchange's record.
fn end(worker: &Worker, silent: &Silent, reason: Option<Reason>) {
    drop(worker.upstreams().tokens().resumed(silent.endpoint));
    worker.count_exchange(Status::SWITCHING_PROTOCOLS.code());
    worker.counters().add(Counter::TunnelsClosed, 1);
    let record = silent.record.as_deref().and_then(AccessRecord::unpack);
    let Some(record) = record else {
        return;
    };
    let ended_nanos = precise_nanos();
    worker.log_access(&AccessRecord {
        ts_unix_nanos: unix_nanos(),
        duration_nanos: ended_nanos.saturating_sub(silent.began_nanos),
        upstream_duration_nanos: Some(ended_nanos.saturating_sub(silent.upstream_began_nanos)),
        bytes_read: silent.octets_up,
        bytes_sent: silent.octets_down,
        reason: &reason.map(Reason::text).unwrap_or_default(),
        ..record
    });
}
