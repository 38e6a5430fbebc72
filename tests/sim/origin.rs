//! Random origins: they check that a request is whole and one client's, and answer it in every way there is.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hotgate::net::sim::{Origin, below, found, sleep};
use hotgate::net::spawn;
use rustls::ServerConfig;

use crate::end::End;
use crate::pattern::{body, is_body, length};
use crate::wire::{Cut, Framing, Head, Line, chunked, stated};

/// What nobody asked for. Who asks while it is on its way cannot know that it is not his answer.
const UNASKED: &[u8] = b"HTTP/1.1 200 Unasked\r\nX-Unasked: 1\r\nContent-Length: 3\r\n\r\nabc";

/// How an origin behaves, out of a hundred responses.
#[derive(Clone, Copy)]
pub(crate) struct Manners {
    /// Responses that are broken off, not given, or nonsense.
    pub(crate) rude: u64,
}

/// Serves an address for as long as the world lives, over TLS where there is a configuration.
pub(crate) fn start(address: SocketAddr, manners: Manners, tls: Option<Arc<ServerConfig>>) {
    let origin = Origin::listen(address);
    spawn(
        async move {
            loop {
                let peer = origin.accept().await;
                let tls = tls.clone();
                let served = async move {
                    // In a box: it may be larger than a task's house.
                    let end = match &tls {
                        None => Some(End::from(peer)),
                        Some(config) => Box::pin(End::securing(peer, config)).await,
                    };
                    if let Some(end) = end {
                        Box::pin(serve(end, manners)).await;
                    }
                };
                spawn(served, || found("an origin panicked".to_owned()));
            }
        },
        || found("an origin's accept panicked".to_owned()),
    );
}

async fn serve(end: End, manners: Manners) {
    let mut line = Line::new(end);
    loop {
        let head = match line.head().await {
            Ok(Some(head)) => head,
            Ok(None) | Err(Cut::Gone(_)) => return,
            Err(Cut::Nonsense(what)) => return found(format!("to an origin: {what}")),
        };
        let Some(nonce) = nonce_of(&head) else {
            return found(format!("to an origin: {head:?}"));
        };
        if head.field("upgrade").is_some() && below(5) > 0 {
            return tunnel(line, nonce).await;
        }
        let is_rude = below(100) < manners.rude;
        if is_rude && below(3) == 0 {
            // An early answer, or none, with the body unread.
            if below(2) == 0 {
                let early =
                    format!("HTTP/1.1 413 No\r\nX-Nonce: {nonce}\r\nContent-Length: 0\r\n\r\n");
                let _ = line.peer.write_all(early.as_bytes()).await;
            }
            return leave(line).await;
        }
        let framing = stated(&head).unwrap_or(Framing::Length(0));
        match line.body(framing).await {
            Ok(got) => {
                if !is_body(nonce, &got, false) || stated_length(&head) != Some(got.len()) {
                    return found(format!(
                        "to an origin: a body of {} octets that is not {nonce}'s: {head:?}",
                        got.len()
                    ));
                }
            }
            Err(Cut::Gone(got)) if is_body(nonce, &got, false) => return,
            Err(cut) => return found(format!("to an origin: {cut:?} in {nonce}'s body")),
        }
        if !answer(&mut line, &head, nonce, is_rude).await {
            return leave(line).await;
        }
    }
}

fn nonce_of(head: &Head) -> Option<u64> {
    let path = head.first.split(' ').nth(1)?;
    let nonce = path.strip_prefix("/n/")?.parse().ok()?;
    let stated: u64 = head.field("x-nonce")?.parse().ok()?;
    (nonce == stated).then_some(nonce)
}

fn stated_length(head: &Head) -> Option<usize> {
    head.field("x-length")?.parse().ok()
}

/// Closes in one way or another.
async fn leave(line: Line) {
    match below(3) {
        0 => line.peer.abort_on_close(),
        1 => {
            line.peer.finish().await;
            sleep(Duration::from_millis(below(3000))).await;
        }
        _ => {}
    }
}

/// False: the connection is to be closed.
async fn answer(line: &mut Line, head: &Head, nonce: u64, is_rude: bool) -> bool {
    if below(4) > 0 {
        sleep(Duration::from_micros(below(80_000))).await;
    }
    if is_rude && below(6) == 0 {
        sleep(Duration::from_secs(below(30))).await;
    }
    if below(30) == 0 {
        let interim = b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n";
        if line.peer.write_all(interim).await.is_err() {
            return false;
        }
    }
    let is_head = head.first.starts_with("HEAD ");
    let (mut content, mut persists) = (body(nonce, length(), true), true);
    let length = content.len();
    let mut octets = format!("HTTP/1.1 200 OK\r\nX-Nonce: {nonce}\r\nX-Length: {length}\r\n");
    match below(20) {
        0 => octets = format!("HTTP/1.1 204 None\r\nX-Nonce: {nonce}\r\n"),
        1 => octets = format!("HTTP/1.1 304 Same\r\nX-Nonce: {nonce}\r\nETag: \"x\"\r\n"),
        2 => {
            // Nobody can see that it was cut, if it is.
            persists = false;
            octets = format!("HTTP/1.1 200 OK\r\nX-Nonce: {nonce}\r\nConnection: close\r\n");
        }
        3..=9 => octets += "Transfer-Encoding: chunked\r\n",
        10 if !is_head => {
            persists = false;
            octets += &format!("Content-Length: {length}\r\nConnection: close\r\n");
        }
        _ => octets += &format!("Content-Length: {length}\r\n"),
    }
    octets += "\r\n";
    let has_content = octets.contains(" 200 ") && !is_head;
    let is_until_close = has_content && !octets.contains("Length") && !octets.contains("chunked");
    if octets.contains("chunked") {
        content = chunked(&content);
    }
    let mut octets = octets.into_bytes();
    if has_content {
        octets.extend_from_slice(&content);
    }
    if is_rude {
        match below(5) {
            0 => octets.truncate(below(octets.len() as u64) as usize),
            1 => {
                octets.truncate(below(octets.len() as u64) as usize);
                sleep(Duration::from_secs(below(20))).await;
            }
            2 if !is_until_close => octets.extend_from_slice(UNASKED),
            2 => {}
            3 => octets = b"\x00\x01nonsense\r\n\r\n".to_vec(),
            _ => return false,
        }
        persists = false;
    }
    let cut = below(octets.len() as u64 + 1) as usize;
    if line.peer.write_all(&octets[..cut]).await.is_err() {
        return false;
    }
    if below(5) == 0 {
        sleep(Duration::from_micros(below(50_000))).await;
    }
    line.peer.write_all(&octets[cut..]).await.is_ok() && persists
}

/// A WebSocket's end that sends back what it gets.
async fn tunnel(mut line: Line, nonce: u64) {
    let switching = format!(
        "HTTP/1.1 101 Switching Protocols\r\nX-Nonce: {nonce}\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"
    );
    if line.peer.write_all(switching.as_bytes()).await.is_err() {
        return;
    }
    loop {
        let octets = std::mem::take(&mut line.seen);
        if !octets.is_empty() && line.peer.write_all(&octets).await.is_err() {
            return;
        }
        if below(40) == 0 {
            return leave(line).await;
        }
        match line.more().await {
            Ok(count) if count > 0 => {}
            Ok(_) | Err(_) => return,
        }
    }
}
