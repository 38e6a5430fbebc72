//! The sending side of an upstream connection: what the outbox holds leaves in order.
//!
//! The flush runs behind the tasks that are already queued, and while one send is in flight the next gathers. No
//! timer ever delays a send.

use std::convert::Infallible;
use std::rc::Rc;

use super::connection::Connection;
use crate::telemetry::counters::{Counter, CounterBlock};
use crate::tls::Stream;

/// Sends what is put into the outbox, for as long as the connection lives.
///
/// A send that fails does not end the connection: the answer may be under way already (413, then close), and the
/// reader learns soon enough.
///
/// **Cancellation**: the connection must be closed.
pub(super) async fn flush(
    connection: &Rc<Connection>,
    stream: &Stream,
    counters: &CounterBlock,
) -> Infallible {
    let sender = stream.sender();
    let outbox = &connection.outbox;
    loop {
        let next = outbox.buffers.borrow_mut().pop_front();
        let Some(mut buffer) = next else {
            outbox.filled.notified().await;
            continue;
        };
        while !buffer.is_empty() {
            outbox.is_sending.set(true);
            let (result, back) = sender.send_some(buffer).await;
            outbox.is_sending.set(false);
            buffer = back;
            match result {
                Ok(count) => {
                    counters.add(Counter::UpstreamBytesSent, count as u64);
                    outbox.accepted(count);
                }
                Err(_) => {
                    outbox.broken();
                    return std::future::pending().await;
                }
            }
        }
    }
}
