//! One downstream connection: exchange after exchange, hot while there is something to do, cold in between.
//!
//! ```text
//!   accept ──► HOT ── a second without a request ──► COLD ── octets ──► HOT ──► …
//!               └── closed, refused, drained ──► lingering ──► gone
//! ```
//!
//! The hot part is a boxed future with rented scratch, a receive armed and a buffer lent to it. The cold part is what
//! stays of the task: the stream, a deadline and little else. The receive is disarmed on the way without losing
//! an octet.

use std::rc::Rc;
use std::time::Duration;

use super::core::Worker;
use super::exchange::{After, Link, refuse, run};
use super::head::{HOT_IDLE, HeadWait, NoHead, read_head};
use super::incoming::Peer;
use crate::h1::field_lines::HeadLimits;
use crate::net::clock::{Tick, now};
use crate::net::{Buffer, Class, Deadline, Receiver, Stream};

/// Octets that are read and thrown away after our last answer.
const LINGER_BYTES_MAX: usize = 64 << 10;
/// How long that may take.
const LINGER_WAIT: Duration = Duration::from_secs(1);

/// How the hot part of a connection ended.
enum Cooled {
    /// The connection is to be closed.
    Closed,
    /// Nothing is under way, and nothing was received that was not served.
    Idle,
}

/// Serves a connection until it is closed.
pub async fn serve(worker: Rc<Worker>, stream: Stream, peer: Peer) {
    let deadline = Deadline::new();
    let timeouts = worker.current().snapshot.routes.defaults.timeouts.clone();
    let mut keepalive = timeouts.keepalive;
    // The first head's time runs from accept, however the connection comes and goes between hot and cold.
    let mut due = Some(now().after(timeouts.header));
    loop {
        match Box::pin(hot(&worker, &stream, peer, &mut due, &mut keepalive)).await {
            Cooled::Closed => return,
            Cooled::Idle => {}
        }
        if worker.is_draining() {
            return;
        }
        deadline.set_idle(cold_limit(keepalive, due));
        match deadline.limit(stream.readable()).await {
            Some(Ok(())) => {}
            Some(Err(_)) | None => return,
        }
    }
}

/// How long the connection may stay cold: what is left of its limit after the hot second.
fn cold_limit(keepalive: Duration, due: Option<Tick>) -> Duration {
    match due {
        Some(due) => due.since(now()),
        None => keepalive.saturating_sub(HOT_IDLE),
    }
}

async fn hot(
    worker: &Rc<Worker>,
    stream: &Stream,
    peer: Peer,
    due: &mut Option<Tick>,
    keepalive: &mut Duration,
) -> Cooled {
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
                due: *due,
                keepalive: *keepalive,
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
            receiver: &mut receiver,
            sender: &sender,
            scratch: &mut scratch,
            keepalive,
        };
        let after = match head {
            Ok(buffer) => {
                *due = None;
                run(&mut link, buffer).await
            }
            Err(NoHead::Idle) => return Cooled::Idle,
            Err(NoHead::Closed) => return Cooled::Closed,
            Err(NoHead::Refused(reason)) => refuse(&mut link, reason).await,
        };
        match after {
            After::Again(leftover) => pending = leftover,
            After::Close => return Cooled::Closed,
            After::Linger => {
                sender.finish();
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

/// Reads what the client still sends, for a moment: closing with unread octets would send RST, and RST takes our
/// last answer with it (RFC 9112 §9.6).
async fn linger(receiver: &mut Receiver) {
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
