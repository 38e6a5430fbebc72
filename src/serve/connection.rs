//! One downstream connection while it is hot: exchange after exchange.
//!
//! ```text
//!   accept ── (handshake) ──► HOT ── a second without a request ──► parked ── octets ──► HOT ──► …
//!                              ├── closed, refused, drained ──► lingering ──► gone
//!                              └── 101 ──► a tunnel
//! ```
//!
//! Hot is a task with rented scratch, a receive armed and a buffer lent to it. A connection that is parked has none of
//! it; the receive is disarmed on the way without losing an octet.

use std::rc::Rc;
use std::time::Duration;

use super::core::{OpenConnection, Worker};
use super::exchange::{After, Handover, Link, refuse, run};
use super::head::{HeadWait, NoHead, read_head};
use super::incoming::Peer;
use super::parked::{Parked, ParkedClient, Standing};
use super::tunnel::{self, Side};
use crate::h1::field_lines::HeadLimits;
use crate::net::clock::now;
use crate::net::{Buffer, Class, Deadline, spawn};
use crate::telemetry::counters::Counter;
use crate::tls::{Receiver, Sender, Stream};

/// Octets that are read and thrown away after our last answer.
const LINGER_BYTES_MAX: usize = 64 << 10;
/// How long that may take.
const LINGER_WAIT: Duration = Duration::from_secs(1);

/// How the hot part of a connection ended.
#[allow(clippy::large_enum_variant)] // made once a connection, and taken apart at once
enum Cooled {
    /// The connection is to be closed.
    Closed,
    /// The same; nothing is in flight and nothing was left unread.
    Finished,
    /// Nothing is under way, and nothing was received that was not served.
    Idle,
    /// It is the client's end of a tunnel now.
    Tunnel(Side, Handover),
}

/// How a connection stands that has just been accepted: its first head's time runs from now.
pub fn accepted(worker: &Worker) -> Standing {
    let current = worker.current();
    let timeouts = &current.snapshot.routes.defaults.timeouts;
    Standing {
        due: Some(now().after(timeouts.header)),
        keepalive: timeouts.keepalive,
    }
}

/// Starts a connection's task.
pub fn start(
    worker: &Rc<Worker>,
    stream: Stream,
    peer: Peer,
    standing: Standing,
    open: OpenConnection,
) {
    let panicked = worker.clone();
    let served = serve(worker.clone(), stream, peer, standing, open);
    spawn(served, move || panicked.counters().add(Counter::Panics, 1));
}

/// Serves a connection until it is closed, parked, or an end of a tunnel.
async fn serve(
    worker: Rc<Worker>,
    stream: Stream,
    peer: Peer,
    mut standing: Standing,
    open: OpenConnection,
) {
    match hot(&worker, &stream, &peer, &mut standing).await {
        Cooled::Closed => {}
        Cooled::Finished => stream.close(),
        Cooled::Idle if worker.is_draining() => {
            say_goodbye(&stream, &stream.sender()).await;
        }
        Cooled::Idle => park(&worker, stream, &peer, &standing, open),
        Cooled::Tunnel(client, Handover { upstream, silent }) => {
            tunnel::begin(&worker, client, upstream, silent, open);
        }
    }
}

/// Parks a connection on which nothing is under way, for what is left of its limit after the time that it was hot. Where
/// it cannot be, it is closed.
fn park(worker: &Worker, stream: Stream, peer: &Peer, standing: &Standing, open: OpenConnection) {
    let idle_until = || now().after(standing.keepalive.saturating_sub(worker.hot_idle()));
    let until = standing.due.unwrap_or_else(idle_until);
    let (stream, encrypted) = stream.into_parts();
    let kept = Parked::Client(ParkedClient::new(peer, standing, encrypted));
    if worker.lot().park(stream, until, kept).is_ok() {
        open.stay_counted();
    }
}

async fn hot(worker: &Rc<Worker>, stream: &Stream, peer: &Peer, standing: &mut Standing) -> Cooled {
    let mut scratch = worker.rent_scratch();
    let (mut receiver, sender) = (stream.disarmable_receiver(), stream.sender());
    let mut pending = None;
    loop {
        let wait = {
            let current = worker.current();
            let defaults = &current.snapshot.routes.defaults;
            let (limits, timeouts) = (&defaults.limits, &defaults.timeouts);
            HeadWait {
                limits: HeadLimits {
                    head_bytes: limits.header_size,
                    fields: limits.header_count,
                },
                header: timeouts.header,
                due: standing.due,
                hot_idle: worker.hot_idle().min(standing.keepalive),
            }
        };
        let head = read_head(
            &mut scratch,
            &mut receiver,
            pending.take(),
            &wait,
            worker.counters(),
        )
        .await;
        let mut link = Link {
            worker,
            peer,
            secured: stream.secured(),
            receiver: &mut receiver,
            sender: &sender,
            scratch: &mut scratch,
            keepalive: &mut standing.keepalive,
        };
        let after = match head {
            Ok(buffer) => {
                standing.due = None;
                run(&mut link, buffer).await
            }
            Err(NoHead::Idle) => return Cooled::Idle,
            Err(NoHead::Closed) => {
                let is_said = say_goodbye(stream, &sender).await;
                return match is_said && !link.receiver.is_armed() {
                    true => Cooled::Finished,
                    false => Cooled::Closed,
                };
            }
            Err(NoHead::Refused(reason)) => refuse(&mut link, reason).await,
        };
        match after {
            After::Again(leftover) => pending = leftover,
            After::Close if receiver.is_armed() => {
                say_goodbye(stream, &sender).await;
                return Cooled::Closed;
            }
            After::Close if !stream.has_unread() => {
                return match say_goodbye(stream, &sender).await {
                    true => Cooled::Finished,
                    false => Cooled::Closed,
                };
            }
            After::Tunnel(client, handover) => {
                let side = Side::with_receiver(
                    stream.clone(),
                    receiver,
                    client.leftover,
                    client.has_finished,
                );
                return Cooled::Tunnel(side, handover);
            }
            After::Close | After::Linger => {
                finish(&sender).await;
                linger(&mut receiver).await;
                return Cooled::Closed;
            }
            After::Abort => {
                stream.abort_on_close();
                return Cooled::Closed;
            }
        }
    }
}

/// Says that nothing more will be sent.
async fn finish(sender: &Sender) {
    let deadline = Deadline::new();
    deadline.set(LINGER_WAIT);
    // A client that takes nothing is not told.
    let _ = deadline.limit(sender.finish()).await;
}

/// Says on an encrypted connection that it ends here: without it the client would take its last answer for cut off.
/// False: the client takes nothing, and the words are still under way.
async fn say_goodbye(stream: &Stream, sender: &Sender) -> bool {
    if stream.secured().is_none() {
        return true;
    }
    let deadline = Deadline::new();
    deadline.set(LINGER_WAIT);
    deadline.limit(sender.say_goodbye()).await.is_some()
}

/// Reads what the client still sends, for a moment: closing with unread octets would send RST, and RST takes our
/// last answer with it (RFC 9112 §9.6).
pub(super) async fn linger(receiver: &mut Receiver) {
    let deadline = Deadline::new();
    deadline.set(LINGER_WAIT);
    let mut read = 0;
    while read < LINGER_BYTES_MAX {
        if !receiver.is_armed() {
            receiver.arm(Buffer::rent(Class::Head));
        }
        match deadline.limit(receiver.recv()).await {
            Some((Ok(count), _)) if count > 0 => read += count,
            Some(_) | None => return,
        }
    }
}
