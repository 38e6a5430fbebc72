//! Waiting for a request: until its head is complete, too large, malformed, or too late.

use std::time::Duration;

use super::scratch::Scratch;
use crate::h1::error::ParseErrorKind;
use crate::h1::field_lines::{HeadLimits, Progress};
use crate::h1::request::RequestParser;
use crate::net::clock::{Tick, now};
use crate::net::stream::is_cancelled;
use crate::net::{Buffer, Class};
use crate::policy::reason::Reason;
use crate::telemetry::counters::{Counter, CounterBlock};
use crate::tls::Receiver;

/// How long a head is waited for, and how large it may be.
pub struct HeadWait {
    /// Limits of the head.
    pub limits: HeadLimits,
    /// From a head's first octet until it is complete.
    pub header: Duration,
    /// When the first head of a connection has to be complete.
    pub due: Option<Tick>,
    /// How long it waits hot, with a receive armed: no longer than it may be idle at all.
    pub hot_idle: Duration,
}

/// Why there is no request.
pub enum NoHead {
    /// Nothing has come for a while, and nothing is half there: the connection may grow cold.
    Idle,
    /// The client has closed, or is gone.
    Closed,
    /// What came is no request that may be served; the connection is answered and closed.
    Refused(Reason),
}

/// Receives until a head is complete in the parser; returns the buffer whose window begins with it.
///
/// `pending` is what was received behind the last request. The time of a
/// connection's first head runs from accept, that of a later one from its first octet.
///
/// **Cancellation**: what was received is lost; the connection must be closed.
///
/// # Errors
///
/// See [`NoHead`].
pub async fn read_head(
    scratch: &mut Scratch,
    receiver: &mut Receiver,
    pending: Option<Buffer>,
    wait: &HeadWait,
    counters: &CounterBlock,
) -> Result<Buffer, NoHead> {
    let deadline = &scratch.request_deadline;
    let mut buffer = match pending {
        Some(buffer) => buffer,
        None => {
            if !receiver.is_armed() {
                receiver.arm(Buffer::rent_for_head(Class::Head));
            }
            deadline.set_idle(wait.hot_idle);
            let first = match deadline.limit(receiver.recv()).await {
                Some(received) => received,
                // Late or drained; whatever came in the meantime is served.
                None => receiver.disarm().await.expect("it is armed"),
            };
            let (result, buffer) = match first {
                (Err(error), buffer) if is_cancelled(&error) && receiver.is_amid_record() => {
                    // Half a record is the beginning of a head, and has its time.
                    deadline.set(head_time(wait));
                    receiver.arm(buffer);
                    let received = deadline.limit(receiver.recv()).await;
                    received.ok_or(NoHead::Refused(Reason::HeaderTimeout))?
                }
                first => first,
            };
            match result {
                Ok(0) => return Err(NoHead::Closed),
                Ok(count) => counters.add(Counter::DownstreamBytesReceived, count as u64),
                Err(error) if is_cancelled(&error) => return Err(NoHead::Idle),
                Err(_) => return Err(NoHead::Closed),
            }
            buffer
        }
    };
    scratch.parser.reset();
    let mut is_limited = false;
    loop {
        match parse(&mut scratch.parser, &buffer, &wait.limits)? {
            Progress::Complete => return Ok(buffer),
            Progress::Incomplete => {}
        }
        if !is_limited {
            is_limited = true;
            deadline.set(head_time(wait));
        }
        if buffer.receive_room() == 0 {
            let class = if buffer.start() == 0 {
                buffer.class().larger()
            } else {
                Some(buffer.class())
            };
            // The parser refuses a head over its limit before the classes end.
            buffer = buffer.moved_to(class.ok_or(NoHead::Refused(Reason::HeaderTooLarge))?);
        }
        receiver.arm(buffer);
        let received = deadline.limit(receiver.recv()).await;
        let (result, back) = received.ok_or(NoHead::Refused(Reason::HeaderTimeout))?;
        buffer = back;
        match result {
            Ok(0) | Err(_) => return Err(NoHead::Closed),
            Ok(count) => counters.add(Counter::DownstreamBytesReceived, count as u64),
        }
    }
}

/// How long a head that has begun may take.
fn head_time(wait: &HeadWait) -> Duration {
    match wait.due {
        Some(due) => due.since(now()),
        None => wait.header,
    }
}

fn parse(
    parser: &mut RequestParser,
    buffer: &Buffer,
    limits: &HeadLimits,
) -> Result<Progress, NoHead> {
    parser
        .parse(buffer.window(), limits)
        .map_err(|error| NoHead::Refused(reason_of(error.kind)))
}

/// The reason that a malformed head earns.
pub fn reason_of(kind: ParseErrorKind) -> Reason {
    match kind {
        ParseErrorKind::HeadTooLarge | ParseErrorKind::TooManyFields => Reason::HeaderTooLarge,
        ParseErrorKind::RequestLineTooLong => Reason::UriTooLong,
        ParseErrorKind::MethodTooLong => Reason::MethodTooLong,
        ParseErrorKind::UnsupportedVersion => Reason::UnsupportedVersion,
        other => Reason::BadRequest(other.as_str()),
    }
}
