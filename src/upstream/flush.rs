//! The sending side of an upstream connection: what the outbox holds leaves in order.
//!
//! The flush runs behind the tasks that are already queued, and while one send is in flight the next gathers. No
//! timer ever delays a send.

use std::convert::Infallible;
use std::rc::Rc;

use super::connection::Connection;
use crate::net::Stream;
use crate::telemetry::counters::{Counter, CounterBlock};

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
            let Some(slot) = connection.front() else {
                // An early answer ended the exchange; the reader closes the connection.
                break;
            };
            match result {
                Ok(count) => {
                    counters.add(Counter::UpstreamBytesSent, count as u64);
                    outbox.waiting_bytes.set(outbox.waiting_bytes.get() - count);
                    let mut progress = slot.progress.borrow_mut();
                    progress.request_octets_accepted += count as u64;
                    progress.request_complete = buffer.is_empty()
                        && outbox.is_closed.get()
                        && outbox.buffers.borrow().is_empty();
                }
                Err(_) => {
                    outbox.is_broken.set(true);
                    outbox.buffers.borrow_mut().clear();
                    slot.flushed.notify();
                    return std::future::pending().await;
                }
            }
            slot.flushed.notify();
        }
    }
}
