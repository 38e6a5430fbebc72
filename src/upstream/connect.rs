//! Dialling an endpoint: its addresses in turn, with the handshake where there is TLS, within one limit; then the task that
//! owns the connection.

use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use super::connection::{Connection, Destiny};
use super::endpoint::{Address, Endpoint, EndpointNumber, Security};
use super::flush::flush;
use super::pool::{Idle, Joined, Upstreams};
use super::reader::read;
use crate::net::deadline::Ticker;
use crate::net::{Deadline, connect, race, spawn};
use crate::policy::pipeline::Pipeline;
use crate::policy::reason::Reason;
use crate::telemetry::counters::Counter;
use crate::tls;
use crate::tls::Stream;

/// Makes a connection to the endpoint. `limit` holds for all its addresses together; `deadline` is the caller's,
/// and is left set.
///
/// **Cancellation**: the attempt is given up.
///
/// # Errors
///
/// [`Reason::NoUpstream`] where the name does not resolve, else why the last address failed.
pub async fn dial(
    upstreams: &Rc<Upstreams>,
    number: EndpointNumber,
    endpoint: &Endpoint,
    limit: Duration,
    idle_limit: Duration,
    deadline: &Deadline,
) -> Result<Rc<Connection>, Reason> {
    if matches!(endpoint.security, Security::Unusable) {
        return Err(Reason::UpstreamTls("unusable"));
    }
    let generation = upstreams.generation(number);
    let token = upstreams
        .tokens()
        .take(number, None)
        .ok_or(Reason::Overloaded)?;
    upstreams.counters().add(Counter::UpstreamConnects, 1);
    deadline.set(limit);
    let dialled = deadline.limit(first_that_answers(endpoint)).await;
    match dialled.unwrap_or(Err(Reason::ConnectTimeout)) {
        Ok(stream) => {
            let connection = Connection::new(number, generation, token, idle_limit);
            start(upstreams, &connection, stream);
            Ok(connection)
        }
        Err(reason) => {
            upstreams
                .counters()
                .add(Counter::UpstreamConnectFailures, 1);
            Err(reason)
        }
    }
}

/// A connection to the endpoint that a request may use: one that it shares with others if its `pipeline` says so, else
/// the idle one that was used last, if it has been idle for less than `idle_max`.
pub fn check_out(
    upstreams: &Rc<Upstreams>,
    endpoint: EndpointNumber,
    idle_max: Option<Duration>,
    pipeline: Pipeline,
) -> Option<Rc<Connection>> {
    if pipeline == Pipeline::Off {
        return take_idle(upstreams, endpoint, idle_max);
    }
    let connection = match upstreams.join(endpoint, pipeline) {
        Joined::Behind(connection) => return Some(connection),
        Joined::NotNow => take_idle(upstreams, endpoint, idle_max)?,
        Joined::Alone => {
            let connection = take_idle(upstreams, endpoint, idle_max)?;
            upstreams.share(&connection);
            connection
        }
    };
    connection.is_timed.set(true);
    Some(connection)
}

/// Looks after those who share connections, for as long as the worker lives.
///
/// # Errors
///
/// Waiting on its timer fails.
pub async fn look_after_lines(upstreams: &Rc<Upstreams>) -> io::Result<()> {
    let ticker = Ticker::new()?;
    loop {
        upstreams.line_formed.notified().await;
        loop {
            ticker.next().await?;
            if !upstreams.look_after_lines() {
                break;
            }
        }
    }
}

fn take_idle(
    upstreams: &Rc<Upstreams>,
    endpoint: EndpointNumber,
    idle_max: Option<Duration>,
) -> Option<Rc<Connection>> {
    let connection = loop {
        match upstreams.take_idle(endpoint, idle_max)? {
            Idle::Warm(connection) => break connection,
            Idle::Parked(parked) => {
                if let Some((connection, stream)) = parked.resume(upstreams.tokens()) {
                    start(upstreams, &connection, stream);
                    break connection;
                }
            }
        }
    };
    upstreams.counters().add(Counter::UpstreamReuses, 1);
    Some(connection)
}

/// Starts the task that owns the connection until it is closed, parked, or an end of a tunnel.
fn start(upstreams: &Rc<Upstreams>, connection: &Rc<Connection>, stream: Stream) {
    let (owner, upstreams) = (connection.clone(), upstreams.clone());
    let panicked = (connection.clone(), upstreams.clone());
    let close = |connection: &Connection, upstreams: &Upstreams, reason| {
        upstreams.forget(connection);
        connection.fail_all(reason);
    };
    spawn(
        async move {
            // Doom before both: a connection that was given up writes to no slot any more.
            race(owner.doomed.notified(), drive(&owner, &stream, &upstreams)).await;
            match owner.destiny.get() {
                Destiny::Closed => close(&owner, &upstreams, Reason::UpstreamClosed),
                Destiny::Finished => {
                    close(&owner, &upstreams, Reason::UpstreamClosed);
                    stream.close_politely();
                }
                Destiny::Parked => upstreams.park(&owner, stream),
                Destiny::Tunnel => owner.released.set(Some(stream)),
            }
        },
        move || {
            let (connection, upstreams) = panicked;
            upstreams.counters().add(Counter::Panics, 1);
            close(&connection, &upstreams, Reason::Internal);
        },
    );
}

/// Sends and receives, in the order that tells an answer from octets that only cross a request: while nothing of it
/// has been sent what comes is none, and a send that is complete is noted before the answer to it is looked at.
async fn drive(connection: &Rc<Connection>, stream: &Stream, upstreams: &Rc<Upstreams>) {
    let mut flush = pin!(flush(connection, stream, upstreams.counters()));
    let mut read = pin!(read(connection, stream, upstreams));
    poll_fn(|cx| {
        if connection.has_unsent_request() && read.as_mut().poll(cx).is_ready() {
            return Poll::Ready(());
        }
        match flush.as_mut().poll(cx) {
            Poll::Ready(never) => match never {},
            Poll::Pending => read.as_mut().poll(cx),
        }
    })
    .await;
}

async fn first_that_answers(endpoint: &Endpoint) -> Result<Stream, Reason> {
    let mut reason = Reason::NoUpstream;
    for address in &endpoint.addresses {
        let result = match address {
            Address::Tcp(address) => connect::tcp(*address).await,
            Address::Unix(path) => connect::unix(path).await,
        };
        let result = match (result, &endpoint.security) {
            (Err(error), _) => Err(reason_of(&error)),
            (Ok(stream), Security::Plain) => Ok(stream.into()),
            // In a box: few connections need it, and all are waited for here.
            (Ok(stream), Security::Tls(endpoint)) => {
                Box::pin(tls::connect::connect(stream, endpoint))
                    .await
                    .map_err(|error| Reason::UpstreamTls(error.as_str()))
            }
            (Ok(_), Security::Unusable) => Err(Reason::UpstreamTls("unusable")),
        };
        match result {
            Ok(stream) => return Ok(stream),
            // Of several addresses the first one's fault is told: `[::1]` after 127.0.0.1 says little.
            Err(fault) if reason == Reason::NoUpstream => reason = fault,
            Err(_) => {}
        }
    }
    Err(reason)
}

fn reason_of(error: &io::Error) -> Reason {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => Reason::ConnectRefused,
        io::ErrorKind::TimedOut => Reason::ConnectTimeout,
        _ => Reason::ConnectFailed,
    }
}
