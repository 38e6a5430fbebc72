//! A tunnel: after 101, opaque octets both ways until both ends have finished.
//!
//! FIN of one side is passed on and the other side goes on alone; once nothing has passed for the tunnel's limit,
//! either way, it is closed. The connections that carried it are never used again.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use super::body::{HALF_CLOSED_WAIT, RequestBody};
use super::reply::Reply;
use crate::net::{Buffer, Deadline, Either, both, race};
use crate::policy::reason::Reason;
use crate::upstream::{Lease, Slot};

/// Carries octets until the tunnel ends. `first` came from the upstream behind its 101.
///
/// **Cancellation**: both connections must be closed.
///
/// # Errors
///
/// One side was reset or fell silent; both are closed.
pub async fn carry(
    first: Buffer,
    lease: &Lease,
    slot: &Rc<Slot>,
    body: &mut RequestBody<'_>,
    reply: &mut Reply<'_>,
    idle: Duration,
) -> Result<(), Reason> {
    let silence = Silence {
        deadline: Deadline::new(),
        limit: Cell::new(idle),
    };
    silence.broken();
    let up = async {
        while let Some(piece) = body.next_opaque().await? {
            silence.broken();
            if !lease.room().await {
                return Err(Reason::UpstreamReset);
            }
            lease.send(piece, false);
        }
        lease.drained().await;
        lease.finish();
        silence.one_finished();
        Ok(())
    };
    let down = async {
        if !first.is_empty() {
            reply.note_content(first.len());
            reply.send(first).await?;
        }
        while let Some(piece) = slot.next_piece().await? {
            silence.broken();
            reply.note_content(piece.len());
            reply.send(piece).await?;
        }
        reply.finish();
        silence.one_finished();
        Ok(())
    };
    match race(both(up, down), silence.deadline.over()).await {
        Either::Left(outcome) => outcome,
        Either::Right(()) => Err(Reason::TunnelIdle),
    }
}

/// How long nothing may pass.
struct Silence {
    deadline: Deadline,
    limit: Cell<Duration>,
}

impl Silence {
    /// Something passed.
    fn broken(&self) {
        self.deadline.set(self.limit.get());
    }

    /// One direction has ended; the other has less time.
    fn one_finished(&self) {
        self.limit.set(self.limit.get().min(HALF_CLOSED_WAIT));
        self.broken();
    }
}
