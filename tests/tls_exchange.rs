//! Exchanges over TLS: bodies, tunnels, ends. What holds in the clear holds here, and an end is said.

#[path = "tls/running.rs"]
mod running;
mod support;

use std::io::{Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use hotgate::telemetry::counters::Counter;
use hotgate::tls::policy::ClientPolicy;
use running::{Running, Scene};
use rustls::version::{TLS12, TLS13};
use support::tls::{Asker, Authority, Front, connection};
use support::upgrade::{HANDSHAKE, SWITCH};
use support::{Client, Connection, DEADLINE, Origin, let_pass, poll_until, proc};

const SITES: &str = "[sites]\n\"a.test\" = 1\n";
/// Longer than a connection stays hot.
const PAST_HOT: Duration = Duration::from_millis(1300);

struct Stage {
    authority: Authority,
    running: Running,
}

impl Stage {
    fn new(text: &str, origin: u16) -> Stage {
        let (scene, authority) = (Scene::new(text, origin), Authority::new("test root"));
        let entry = scene.entry(&[&authority.server(&["a.test"])], &ClientPolicy::Off);
        let running = scene.start(&[("a.test", entry)]);
        Stage { authority, running }
    }

    fn client(&self) -> Client {
        let config = Asker::of(&self.authority).config();
        let front = Front::new(self.running.address, config, "a.test");
        Client::connect(front.address())
    }

    /// A connection in the test's own hands.
    fn raw(&self) -> Raw {
        let tls = connection(&Asker::of(&self.authority).config(), "a.test");
        let socket = std::net::TcpStream::connect(self.running.address).expect("accepted");
        socket.set_read_timeout(Some(DEADLINE)).expect("a timeout");
        Raw {
            stream: rustls::StreamOwned::new(tls, socket),
        }
    }
}

struct Raw {
    stream: rustls::StreamOwned<rustls::ClientConnection, std::net::TcpStream>,
}

impl Raw {
    fn get(&mut self, path: &str, end: &str) {
        self.stream
            .write_all(format!("GET {path} HTTP/1.1\r\nHost: a.test\r\n\r\n").as_bytes())
            .expect("hotgate reads");
        let mut seen = Vec::new();
        let mut piece = [0; 4096];
        while !seen.ends_with(end.as_bytes()) {
            let count = self.stream.read(&mut piece).expect("an answer");
            assert!(count > 0, "{}", seen.escape_ascii());
            seen.extend_from_slice(&piece[..count]);
        }
    }

    /// How it ends: with nothing left to read, and whether the end was said.
    fn end_is_said(&mut self) -> bool {
        let mut rest = Vec::new();
        let said = self.stream.read_to_end(&mut rest).is_ok();
        assert!(rest.is_empty(), "{}", rest.escape_ascii());
        said
    }
}

/// Octets that show a piece lost, doubled or moved.
fn pattern(length: usize) -> Vec<u8> {
    (0..length)
        .map(|place| (place.wrapping_mul(2_654_435_761) >> 13) as u8)
        .collect()
}

#[track_caller]
fn wait_parked(count: usize) {
    poll_until(&format!("{count} parked connections"), || {
        (proc::parked(std::process::id()) == count).then_some(())
    });
}

#[test]
fn bodies_of_every_size_pass_both_ways_unchanged() {
    let origin = Origin::start(|connection: &mut Connection| {
        while let Some(request) = connection.read_request() {
            let body = request.body.clone();
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
            if !(connection.send(head) && connection.send(&body)) {
                return;
            }
        }
    });
    let stage = Stage::new(SITES, origin.port());
    let mut client = stage.client();
    let record = 16 << 10;
    for length in [
        0,
        1,
        4000,
        record - 100,
        record - 1,
        record,
        record + 1,
        100_000,
        5 << 20,
    ] {
        let body = pattern(length);
        let head = format!("POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: {length}\r\n\r\n");
        let mut writer = client.reader();
        let sent = body.clone();
        let writing = std::thread::spawn(move || {
            writer.send(head);
            writer.send(sent);
        });
        let response = client.response();
        writing.join().expect("no panic");
        assert_eq!(response.status, 200);
        assert!(response.body == body, "{length} octets");
    }
}

#[test]
fn chunked_bodies_pass_and_requests_may_be_pipelined() {
    let origin = Origin::start(|connection: &mut Connection| {
        while let Some(request) = connection.read_request() {
            let body = format!("{}:{}", request.target, request.body.len());
            connection.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
            for piece in body.as_bytes().chunks(3) {
                connection.send(format!("{:x}\r\n", piece.len()));
                connection.send(piece);
                connection.send("\r\n");
            }
            connection.send("0\r\n\r\n");
        }
    });
    let stage = Stage::new(SITES, origin.port());
    let mut client = stage.client();
    let chunked = "POST /b HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n3\r\nyou\r\n0\r\n\r\n";
    client.send(format!(
        "GET /a HTTP/1.1\r\nHost: a.test\r\n\r\n{chunked}GET /c HTTP/1.1\r\nHost: a.test\r\n\r\n"
    ));
    for expected in ["/a:0", "/b:8", "/c:0"] {
        assert_eq!(client.response().text(), expected);
    }
}

#[test]
fn a_slow_client_gets_everything() {
    const LENGTH: usize = 8 << 20;
    let origin = Origin::start(|connection: &mut Connection| {
        while connection.read_head().is_some() {
            connection.send(format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {LENGTH}\r\n\r\n"
            ));
            connection.send(pattern(LENGTH));
        }
    });
    let stage = Stage::new(SITES, origin.port());
    let mut raw = stage.raw();
    raw.stream
        .write_all(b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n")
        .expect("hotgate reads");
    let mut seen = Vec::new();
    let mut piece = vec![0; 100_000];
    while seen.len() < LENGTH {
        let count = raw.stream.read(&mut piece).expect("content");
        assert!(count > 0);
        seen.extend_from_slice(&piece[..count]);
        if seen.len() < 2_000_000 {
            let_pass(Duration::from_millis(2));
        }
    }
    let head = seen.len() - LENGTH;
    assert!(seen[head..] == pattern(LENGTH), "the content was changed");
}

#[test]
fn an_orderly_end_is_said() {
    let origin = Origin::echo();
    let text = format!("[timeouts]\nkeepalive = \"2s\"\n{SITES}");
    let stage = Stage::new(&text, origin.port());
    // At the client's wish.
    let mut raw = stage.raw();
    raw.stream
        .write_all(b"GET /last HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n")
        .expect("hotgate reads");
    let mut seen = Vec::new();
    raw.stream
        .read_to_end(&mut seen)
        .expect("an end that is said");
    assert!(seen.ends_with(b"/last"), "{}", seen.escape_ascii());
    // After a fault of the client's.
    let mut raw = stage.raw();
    raw.stream
        .write_all(b"no request\r\n\r\n")
        .expect("hotgate reads");
    let mut seen = Vec::new();
    raw.stream
        .read_to_end(&mut seen)
        .expect("an end that is said");
    assert!(seen.starts_with(b"HTTP/1.1 400"), "{}", seen.escape_ascii());
    // Parked, and its time is over.
    let mut raw = stage.raw();
    raw.get("/1", "/1");
    wait_parked(2);
    assert!(raw.end_is_said());
    // It says so itself.
    let mut raw = stage.raw();
    raw.get("/1", "/1");
    raw.stream.conn.send_close_notify();
    raw.stream.flush().expect("hotgate reads");
    assert!(raw.end_is_said());
}

#[test]
fn draining_says_goodbye_to_the_idle_and_lets_the_busy_finish() {
    let origin = Origin::start(|connection: &mut Connection| {
        while let Some(request) = connection.read_head() {
            if request.target == "/slow" {
                let_pass(Duration::from_millis(1500));
            }
            connection.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        }
    });
    let stage = Stage::new(SITES, origin.port());
    let (mut parked, mut hot, mut busy) = (stage.raw(), stage.raw(), stage.raw());
    parked.get("/1", "ok");
    wait_parked(2);
    hot.get("/1", "ok");
    busy.stream
        .write_all(b"GET /slow HTTP/1.1\r\nHost: a.test\r\n\r\n")
        .expect("hotgate reads");
    origin.wait_until("the slow request", |records| {
        records.iter().any(|record| {
            let requests = record.requests();
            requests.iter().any(|request| request.target == "/slow")
        })
    });
    stage.running.drain();
    assert!(parked.end_is_said() && hot.end_is_said());
    let mut seen = Vec::new();
    busy.stream
        .read_to_end(&mut seen)
        .expect("an end that is said");
    assert!(seen.ends_with(b"ok"), "{}", seen.escape_ascii());
}

#[test]
fn a_response_that_is_cut_off_is_seen_to_be() {
    let origin = Origin::start(|connection: &mut Connection| {
        connection.read_head();
        connection.send("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nhalf");
        connection.close();
    });
    let stage = Stage::new(SITES, origin.port());
    let mut raw = stage.raw();
    raw.stream
        .write_all(b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n")
        .expect("hotgate reads");
    let mut seen = Vec::new();
    let ended = raw.stream.read_to_end(&mut seen);
    assert!(ended.is_err(), "no end is said: {}", seen.escape_ascii());
}

#[test]
fn a_client_that_has_finished_sending_still_gets_its_answer() {
    let origin = Origin::start(|connection: &mut Connection| {
        while connection.read_head().is_some() {
            let_pass(Duration::from_millis(300));
            connection.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        }
    });
    let stage = Stage::new(SITES, origin.port());
    let mut client = stage.client();
    client.send("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n");
    client.half_close();
    assert_eq!(client.response().text(), "ok");
    client.expect_close();
}

#[test]
fn a_client_that_vanishes_ends_its_request_upstream() {
    let given_up = Arc::new(AtomicUsize::new(0));
    let counted = given_up.clone();
    let origin = Origin::start(move |connection: &mut Connection| {
        connection.read_head();
        connection.read_to_end();
        counted.fetch_add(1, Ordering::SeqCst);
    });
    let stage = Stage::new(SITES, origin.port());
    for (number, is_reset) in [true, false].into_iter().enumerate() {
        let mut raw = stage.raw();
        raw.stream
            .write_all(b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n")
            .expect("hotgate reads");
        origin.wait_until("the request", |records| {
            let arrived = records
                .iter()
                .filter(|record| !record.requests().is_empty());
            arrived.count() > number
        });
        if is_reset {
            socket2::SockRef::from(&raw.stream.sock)
                .set_linger(Some(Duration::ZERO))
                .expect("a socket");
        }
        drop(raw); // FIN without a word, or RST
        poll_until("it to be given up", || {
            (given_up.load(Ordering::SeqCst) > number).then_some(())
        });
    }
}

#[test]
fn an_idle_connection_is_parked_and_served_again() {
    let origin = Origin::echo();
    let stage = Stage::new(SITES, origin.port());
    for version in [&TLS12, &TLS13] {
        let config = Asker::of(&stage.authority).version(version).config();
        let front = Front::new(stage.running.address, config, "a.test");
        let mut client = Client::connect(front.address());
        let base = proc::parked(std::process::id());
        for number in 0..3 {
            // The first time before any request; the origin's connection is parked too.
            let path = format!("/{number}");
            let_pass(PAST_HOT);
            assert!(proc::parked(std::process::id()) > base.min(1));
            assert_eq!(client.get(&path).text(), path);
        }
    }
}

#[test]
fn half_a_record_keeps_a_connection_hot_until_its_time_is_over() {
    let text = format!("[timeouts]\nheader = \"2s\"\n{SITES}");
    let origin = Origin::echo();
    let stage = Stage::new(&text, origin.port());
    let mut raw = stage.raw();
    raw.get("/1", "/1");
    wait_parked(2);
    let since = Instant::now();
    raw.stream
        .sock
        .write_all(&[23, 3, 3, 1, 0, 7, 7])
        .expect("hotgate reads");
    let_pass(PAST_HOT);
    wait_parked(1); // the origin's
    let mut seen = Vec::new();
    let _ = raw.stream.read_to_end(&mut seen);
    assert!(seen.starts_with(b"HTTP/1.1 408"), "{}", seen.escape_ascii());
    let lasted = since.elapsed();
    assert!(
        lasted > Duration::from_secs(2) && lasted < Duration::from_secs(6),
        "{lasted:?}"
    );
}

#[test]
fn a_tunnel_carries_octets_parks_and_ends_as_its_ends_do() {
    let origin = Origin::start(|connection: &mut Connection| {
        connection.read_head();
        connection.send(SWITCH);
        for _ in 0..3 {
            let octets = connection.read_exactly(100_000);
            connection.send(octets);
        }
        connection.read_to_end();
        connection.send("goodbye");
        connection.close();
    });
    let stage = Stage::new(SITES, origin.port());
    let mut client = stage.client();
    client.send(HANDSHAKE);
    assert_eq!(client.response_head().status, 101);
    for round in 0..3 {
        let octets = pattern(100_000 + round);
        client.send(&octets[round..]);
        assert!(client.read_exactly(100_000) == octets[round..]);
        wait_parked(2);
    }
    client.half_close();
    assert_eq!(client.read_exactly(7), b"goodbye");
    client.expect_close();
    poll_until("the tunnel to end", || {
        (stage.running.count(Counter::TunnelsClosed) == 1).then_some(())
    });
}

/// Bounded work, and no answer to it (TL-08).
#[test]
fn a_flood_that_brings_nothing_ends_the_connection() {
    let origin = Origin::echo();
    let stage = Stage::new(SITES, origin.port());
    let mut raw = stage.raw();
    raw.get("/1", "/1");
    for _ in 0..10_000 {
        raw.stream.conn.refresh_traffic_keys().expect("TLS 1.3");
        if raw.stream.conn.complete_io(&mut raw.stream.sock).is_err() {
            break;
        }
    }
    let mut rest = Vec::new();
    let ended = raw.stream.read_to_end(&mut rest);
    assert!(ended.is_err() && rest.is_empty());
    // close_notify before there is a session is no end of anything.
    let mut early = stage.raw();
    early.stream.conn.send_close_notify();
    let _ = early.stream.flush();
    let mut other = stage.raw();
    other.get("/2", "/2");
    drop(early);
    assert_eq!(stage.running.count(Counter::Panics), 0);
}

#[test]
fn many_clients_at_once_are_served_by_all_workers() {
    let origin = Origin::echo();
    let (scene, authority) = (
        Scene::new(SITES, origin.port()).workers(2),
        Authority::new("test root"),
    );
    let entry = scene.entry(&[&authority.server(&["a.test"])], &ClientPolicy::Off);
    let running = scene.start(&[("a.test", entry)]);
    let config = Asker::of(&authority).config();
    std::thread::scope(|scope| {
        for client in 0..16 {
            let (config, address) = (Arc::clone(&config), running.address);
            scope.spawn(move || {
                let front = Front::new(address, config, "a.test");
                for round in 0..4 {
                    let mut each = Client::connect(front.address());
                    for number in 0..20 {
                        let path = format!("/{client}-{round}-{number}");
                        assert_eq!(each.get(&path).text(), path);
                    }
                }
            });
        }
    });
    let resumed = running.count(Counter::HandshakesResumed);
    let full = running.count(Counter::HandshakesFull);
    assert_eq!((resumed + full), 64);
    assert_eq!(running.count(Counter::Responses2xx), 16 * 4 * 20);
}
