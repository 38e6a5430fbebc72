//! The parking lot's attendant: whoever leaves the lot gets a task again, or is closed.

use std::io;
use std::rc::Rc;

use super::connection::start;
use super::core::{OpenConnection, Worker};
use super::incoming::Peer;
use super::parked::{Parked, ParkedClient};
use super::tunnel::wake_tunnel;
use crate::net::parking::{Leaver, Left, Resting};
use crate::tls::Stream;

/// Sees to whoever leaves the lot, for as long as the worker lives.
///
/// # Errors
///
/// The lot's gate fails.
pub async fn attend(worker: &Rc<Worker>) -> io::Result<()> {
    let lot = worker.lot();
    lot.run(|leaver, why| wake(worker, leaver, why)).await
}

/// Closes all parked clients: the worker drains. Tunnels stay.
pub fn close_clients(worker: &Rc<Worker>) {
    let is_client = |kept: &Parked| matches!(kept, Parked::Client(_));
    worker.lot().take_all(is_client, |leaver| {
        let open = OpenConnection::resumed(worker);
        if let Parked::Client(client) = leaver.kept {
            say_goodbye(&leaver.resting, client);
        }
        drop(open);
    });
}

fn wake(worker: &Rc<Worker>, leaver: Leaver<Parked>, why: Left) {
    let is_over = why == Left::Due;
    let Leaver {
        resting, kept, due, ..
    } = leaver;
    match kept {
        Parked::Client(client) => {
            let open = OpenConnection::resumed(worker);
            if is_over {
                say_goodbye(&resting, client);
                return; // closed as it falls out of scope
            }
            // One that is gone already has no address any more.
            let Ok(address) = resting.peer_address() else {
                return;
            };
            let Ok(stream) = resting.into_stream() else {
                return;
            };
            let port = worker.listener_port(client.listener());
            let peer = Peer::new(address, client.listener(), port, client.is_tls());
            let standing = client.standing(due);
            let stream = Stream::resumed(stream, client.into_encrypted());
            start(worker, stream, peer, standing, open);
        }
        Parked::Tunnel(silent) => {
            let end = silent.other.and_then(|other| worker.lot().take(other));
            let end = end.expect("both ends are parked");
            wake_tunnel(worker, silent, resting, end.resting, is_over);
        }
        Parked::TunnelEnd { other } => {
            let client = other.and_then(|other| worker.lot().take(other));
            let client = client.expect("both ends are parked");
            let Parked::Tunnel(silent) = client.kept else {
                unreachable!("the other end of a tunnel's end is a tunnel");
            };
            wake_tunnel(worker, silent, client.resting, resting, is_over);
        }
    }
}

/// Says on an encrypted connection that it ends here, so that nobody takes it for cut off.
fn say_goodbye(resting: &Resting, client: ParkedClient) {
    let words = client
        .into_encrypted()
        .and_then(|encrypted| encrypted.last_words());
    if let Some(words) = words {
        resting.send_now(words.window());
    }
}
