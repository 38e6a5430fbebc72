//! Dialling an endpoint: its addresses in turn, within one limit.

use std::io;
use std::rc::Rc;
use std::time::Duration;

use super::connection::Connection;
use super::endpoint::{Address, Endpoint, EndpointNumber};
use super::pool::Upstreams;
use crate::net::{Deadline, Stream, connect};
use crate::policy::reason::Reason;
use crate::telemetry::counters::Counter;

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
    let token = upstreams
        .tokens()
        .take(number, None)
        .ok_or(Reason::Overloaded)?;
    upstreams.counters().add(Counter::UpstreamConnects, 1);
    deadline.set(limit);
    let dialled = deadline
        .limit(first_that_answers(&endpoint.addresses))
        .await;
    match dialled.unwrap_or(Err(Reason::ConnectTimeout)) {
        Ok(stream) => Ok(Connection::start(
            upstreams, number, stream, token, idle_limit,
        )),
        Err(reason) => {
            upstreams
                .counters()
                .add(Counter::UpstreamConnectFailures, 1);
            Err(reason)
        }
    }
}

async fn first_that_answers(addresses: &[Address]) -> Result<Stream, Reason> {
    let mut reason = Reason::NoUpstream;
    for address in addresses {
        let result = match address {
            Address::Tcp(address) => connect::tcp(*address).await,
            Address::Unix(path) => connect::unix(path).await,
        };
        match result {
            Ok(stream) => return Ok(stream),
            // Of several addresses the first one's fault is told: `[::1]` after 127.0.0.1 says little.
            Err(error) if reason == Reason::NoUpstream => reason = reason_of(&error),
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
