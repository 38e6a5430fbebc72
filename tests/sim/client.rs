//! Random clients: they ask, early, late, in pieces, many at once; and check that what they get is theirs.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hotgate::net::sim::{below, dial, found, nanos, sleep};
use hotgate::net::{Either, both, race};
use rustls::ClientConfig;

use crate::end::End;
use crate::pattern::{body, is_body, length};
use crate::wire::{Cut, Framing, Line, chunked, stated};

/// The longest that an answer, or the end of the connection, may take: the sum of the limits, and what the world's
/// stalls and jumps may add.
const PATIENCE: Duration = Duration::from_secs(400);

/// What a client counts.
#[derive(Default, Clone, Copy, Debug)]
pub(crate) struct Tally {
    pub(crate) asked: u64,
    pub(crate) answered: u64,
    pub(crate) pages: u64,
    pub(crate) cut: u64,
    pub(crate) echoes: u64,
    pub(crate) unsecured: u64,
}

impl Tally {
    pub(crate) fn add(&mut self, other: &Tally) {
        self.asked += other.asked;
        self.answered += other.answered;
        self.pages += other.pages;
        self.cut += other.cut;
        self.echoes += other.echoes;
        self.unsecured += other.unsecured;
    }
}

/// A request, and what its answer is to look like.
struct Asked {
    nonce: u64,
    is_head: bool,
    octets: Vec<u8>,
}

fn request(host: &str, may_have_body: bool) -> Asked {
    let nonce = below(1 << 48);
    let kind = match may_have_body {
        true => below(10),
        false => below(6),
    };
    let (method, content) = match kind {
        0 => ("HEAD", None),
        1..6 => ("GET", None),
        6 => ("PUT", Some(length())),
        _ => ("POST", Some(length())),
    };
    let mut head = format!(
        "{method} /n/{nonce} HTTP/1.1\r\nHost: {host}\r\nX-Nonce: {nonce}\r\nX-Length: {}\r\n",
        content.unwrap_or(0)
    );
    if below(8) == 0 {
        head += &format!("X-Padding: {}\r\n", "p".repeat(below(3000) as usize));
    }
    let mut content = content.map(|length| body(nonce, length, false));
    match &mut content {
        Some(content) if below(2) == 0 => {
            head += "Transfer-Encoding: chunked\r\n";
            *content = chunked(content);
        }
        Some(content) => head += &format!("Content-Length: {}\r\n", content.len()),
        None => {}
    }
    head += "\r\n";
    let mut octets = head.into_bytes();
    octets.extend(content.into_iter().flatten());
    Asked {
        nonce,
        is_head: method == "HEAD",
        octets,
    }
}

/// How a client comes.
#[derive(Clone)]
pub(crate) struct Way {
    pub(crate) port: u16,
    /// Over TLS.
    pub(crate) config: Option<Arc<ClientConfig>>,
}

/// One client's life. One that `is_busy` asks for small things without a pause, so that it shares connections.
pub(crate) async fn live(
    way: Way,
    from: SocketAddr,
    host: &'static str,
    is_busy: bool,
    tally: &mut Tally,
) {
    let Some(peer) = dial(way.port, from) else {
        return; // the worker drains
    };
    let end = match way.config {
        None => Some(peer.into()),
        // One that is not answered in time is closed by the worker.
        Some(config) => match race(End::secured(peer, &config, host), sleep(PATIENCE)).await {
            Either::Left(end) => end,
            Either::Right(()) => return found("a hang: a handshake".to_owned()),
        },
    };
    let Some(end) = end else {
        tally.unsecured += 1;
        return; // the connection was reset, or the worker drains
    };
    let mut line = Line::new(end);
    if !is_busy && below(12) == 0 {
        return websocket(line, host, tally).await;
    }
    for _ in 0..1 + below(if is_busy { 30 } else { 9 }) {
        let count = match below(3) {
            0 => 1 + below(6),
            _ => 1,
        };
        let may_have_body = !is_busy && (count == 1 || below(4) == 0);
        let asked: Vec<Asked> = (0..count).map(|_| request(host, may_have_body)).collect();
        tally.asked += count;
        if below(25) == 0 {
            return break_off(line, &asked).await;
        }
        let finishes = below(20) == 0;
        if !exchange(&mut line, &asked, finishes, tally).await || finishes {
            return close(line).await;
        }
        match below(if is_busy { 60 } else { 6 }) {
            // Long enough to be parked.
            0 => sleep(Duration::from_millis(900 + below(3000))).await,
            1 => sleep(Duration::from_secs(below(30))).await,
            2 => sleep(Duration::from_millis(below(50))).await,
            _ => {}
        }
    }
    close(line).await;
}

async fn close(line: Line) {
    match below(3) {
        0 => line.peer.abort_on_close(),
        1 => {
            line.peer.finish().await;
            sleep(Duration::from_millis(below(5000))).await;
        }
        _ => {}
    }
}

/// Sends a part and goes, with or without looking at the answer.
async fn break_off(mut line: Line, asked: &[Asked]) {
    let octets: Vec<u8> = asked.iter().flat_map(|one| one.octets.clone()).collect();
    let part = below(octets.len() as u64 + 1) as usize;
    let send = async {
        let _ = line.peer.write_all(&octets[..part]).await;
    };
    race(send, sleep(Duration::from_secs(5))).await;
    sleep(Duration::from_micros(below(20_000))).await;
    if below(2) == 0 {
        let _ = race(line.more(), sleep(Duration::from_secs(1))).await;
    }
    close(line).await;
}

async fn send_in_pieces(peer: &End, octets: &[u8]) -> io::Result<()> {
    let mut left = octets;
    while !left.is_empty() {
        let most = match below(3) {
            0 => 1 + below(left.len() as u64) as usize,
            _ => left.len(),
        };
        peer.write_all(&left[..most]).await?;
        left = &left[most..];
        if below(4) == 0 {
            sleep(Duration::from_micros(below(30_000))).await;
        }
    }
    Ok(())
}

/// Asks and reads the answers; false: the connection is over.
async fn exchange(line: &mut Line, asked: &[Asked], finishes: bool, tally: &mut Tally) -> bool {
    let octets: Vec<u8> = asked.iter().flat_map(|one| one.octets.clone()).collect();
    let (began, peer) = (nanos(), line.peer.clone());
    let send = async {
        let is_sent = send_in_pieces(&peer, &octets).await.is_ok();
        if finishes && is_sent {
            peer.finish().await;
        }
        Ok(())
    };
    let receive = async {
        for one in asked {
            if below(10) == 0 {
                sleep(Duration::from_millis(below(2000))).await; // a slow reader
            }
            if !answer(line, one, tally).await {
                return Err(());
            }
        }
        Ok(())
    };
    match race(both(send, receive), sleep(PATIENCE)).await {
        Either::Left(outcome) => outcome.is_ok(),
        Either::Right(()) => {
            let waited = (nanos() - began) / 1_000_000_000;
            let number = peer.number();
            found(format!(
                "a hang: client {number} waited {waited} s for an answer"
            ));
            false
        }
    }
}

/// Reads one answer and checks it; false: the connection is over.
async fn answer(line: &mut Line, asked: &Asked, tally: &mut Tally) -> bool {
    let nonce = asked.nonce;
    let head = loop {
        match line.head().await {
            Ok(Some(head)) if head.first.starts_with("HTTP/1.1 1") => {}
            Ok(Some(head)) => break head,
            Ok(None) | Err(Cut::Gone(_)) => {
                tally.cut += 1;
                return false;
            }
            Err(Cut::Nonsense(what)) => {
                found(format!("to the client of {nonce}: {what}"));
                return false;
            }
        }
    };
    let status = head.first.split(' ').nth(1).unwrap_or_default();
    let told: Option<u64> = head.field("x-nonce").and_then(|told| told.parse().ok());
    let persists = head.field("connection") != Some("close");
    let has_content = !asked.is_head && status != "204" && status != "304";
    let framing = match has_content {
        true => stated(&head).unwrap_or(Framing::UntilClose),
        false => Framing::Length(0),
    };
    let content = line.body(framing).await;
    match (told, &content) {
        (None, _) if head.field("x-unasked").is_some() => tally.cut += 1,
        // A page of hotgate's own.
        (None, _) if status.starts_with('4') || status.starts_with('5') => tally.pages += 1,
        (Some(told), Ok(content)) if told == nonce => {
            let length = head
                .field("x-length")
                .and_then(|length| length.parse().ok());
            let is_whole =
                !has_content || length.is_none_or(|length: usize| length == content.len());
            if !is_body(nonce, content, true) || !is_whole {
                found(format!(
                    "to the client of {nonce}: {} octets that are not its answer: {head:?}",
                    content.len()
                ));
            }
            tally.answered += 1;
        }
        (Some(told), Err(Cut::Gone(content))) if told == nonce => {
            if !is_body(nonce, content, true) {
                found(format!(
                    "to the client of {nonce}: a cut answer that is not its own"
                ));
            }
            tally.cut += 1;
        }
        _ => found(format!(
            "to the client of {nonce}: {head:?}, {:?}",
            content.as_ref().map(Vec::len)
        )),
    }
    persists && framing != Framing::UntilClose && content.is_ok()
}

/// An upgrade, and octets that come back as they were.
async fn websocket(mut line: Line, host: &str, tally: &mut Tally) {
    let nonce = below(1 << 48);
    let request = format!(
        "GET /n/{nonce} HTTP/1.1\r\nHost: {host}\r\nX-Nonce: {nonce}\r\nX-Length: 0\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    let mut sent = body(nonce, 1 + length(), false);
    tally.asked += 1;
    if line.peer.write_all(request.as_bytes()).await.is_err() {
        return;
    }
    let head = match race(line.head(), sleep(PATIENCE)).await {
        Either::Left(Ok(Some(head))) => head,
        Either::Left(Ok(None) | Err(Cut::Gone(_))) => return,
        Either::Left(Err(cut)) => return found(format!("to a WebSocket: {cut:?}")),
        Either::Right(()) => return found("a hang: a WebSocket waits for its answer".to_owned()),
    };
    if !head.first.starts_with("HTTP/1.1 101") {
        return;
    }
    if head.field("x-nonce") != Some(&nonce.to_string()) {
        return found(format!("to the WebSocket of {nonce}: {head:?}"));
    }
    for _ in 0..1 + below(4) {
        let (peer, octets) = (line.peer.clone(), sent.clone());
        let send = async {
            let _ = send_in_pieces(&peer, &octets).await;
            Ok(())
        };
        let receive = async {
            while line.seen.len() < octets.len() {
                match line.more().await {
                    Ok(count) if count > 0 => {}
                    Ok(_) | Err(_) => return Err(()),
                }
            }
            Ok(())
        };
        let outcome = race(both(send, receive), sleep(PATIENCE)).await;
        let common = line.seen.len().min(octets.len());
        if line.seen[..common] != octets[..common] || line.seen.len() > octets.len() {
            return found(format!(
                "to the WebSocket of {nonce}: octets that it did not send"
            ));
        }
        match outcome {
            Either::Left(Ok(())) => tally.echoes += 1,
            Either::Left(Err(())) => return close(line).await,
            Either::Right(()) => return found("a hang: a WebSocket waits for its echo".to_owned()),
        }
        line.seen.clear();
        sent = body(nonce ^ 1, 1 + length(), false);
        sleep(Duration::from_millis(below(4000))).await;
    }
    close(line).await;
}
