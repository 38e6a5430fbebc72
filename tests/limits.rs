//! What bounds an exchange: time limits, size limits, buffers, and backpressure where these end.

mod support;

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use support::{Client, Event, Hotgate, Origin, message, poll_until, site};

/// What no kernel buffers on a loopback connection; who takes it all without a reader has kept it.
const MORE_THAN_BUFFERS_HOLD: usize = 256 << 20;
/// What may have gone from hand to hand before the pressure is felt: the socket buffers of two connections, at
/// most 32 MiB each in the kernels of today.
const PRESSURE_BYTES_MAX: usize = 140 << 20;
/// Without progress for so long, a sender has been stopped.
const STOPPED: Duration = Duration::from_millis(700);

#[test]
fn a_body_over_the_limit_is_413_and_never_whole_at_the_origin() {
    let origin = Origin::mirror();
    let hotgate = Hotgate::start(format!(
        "[sites.\"http://a.test\"]\nto = {}\nlimits.body = \"10KiB\"\n",
        origin.port()
    ));
    let mut client = Client::connect(hotgate.address());
    assert_eq!(client.ask(&post(10 * 1024)).status, 200);
    let mut client = Client::connect(hotgate.address());
    client.send("POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 10241\r\n\r\n");
    let response = client.response();
    assert_eq!((response.status, response.says_close()), (413, true));
    let mut client = Client::connect(hotgate.address());
    client.send("POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n");
    for _ in 0..3 {
        client.try_send(format!("1000\r\n{}\r\n", "b".repeat(0x1000)));
    }
    assert_eq!(client.response().status, 413);
    hotgate.stop();
    let records = origin.finish();
    let whole: usize = records
        .iter()
        .map(|record| message::requests(&record.bytes).expect("requests").0.len())
        .sum();
    assert_eq!(whole, 1);
}

fn post(size: usize) -> String {
    format!(
        "POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: {size}\r\n\r\n{}",
        "b".repeat(size)
    )
}

#[test]
fn a_head_that_does_not_come_in_time_ends_the_connection() {
    let origin = Origin::echo();
    let hotgate = Hotgate::start(format!(
        "[timeouts]\nheader = \"1s\"\n{}",
        site(origin.port())
    ));
    for bytes in ["", "GET / HTTP/1.1\r\nHost: a.te"] {
        let mut client = Client::connect(hotgate.address());
        client.send(bytes);
        let rest = String::from_utf8_lossy(&client.rest()).into_owned();
        assert!(
            rest.is_empty() || rest.starts_with("HTTP/1.1 408 "),
            "{bytes:?}: {rest}"
        );
    }
    assert_eq!(origin.connections(), 0);
}

#[test]
fn an_idle_connection_ends_silently_at_its_limit() {
    let origin = Origin::echo();
    let hotgate = Hotgate::start(format!(
        "[timeouts]\nkeepalive = \"1s\"\n{}",
        site(origin.port())
    ));
    let mut client = Client::connect(hotgate.address());
    assert_eq!(client.get("/x").status, 200);
    client.expect_close();
}

#[test]
fn the_path_of_the_last_request_says_how_long_a_connection_may_be_idle() {
    let origin = Origin::echo();
    let port = origin.port();
    let hotgate = Hotgate::start(format!(
        "[sites.\"http://a.test\"]\nto = {port}\n[sites.\"http://a.test\".paths]\n\"/short\" = {{ timeouts.keepalive = \"1s\" }}\n"
    ));
    let mut long = Client::connect(hotgate.address());
    let mut short = Client::connect(hotgate.address());
    assert_eq!(long.get("/short/then/long").status, 200);
    assert_eq!(long.get("/long").status, 200);
    assert_eq!(short.get("/short").status, 200);
    short.expect_close();
    assert!(long.is_silent(Duration::from_millis(200)));
    assert_eq!(long.get("/long").status, 200);
}

#[test]
fn a_chunked_body_that_trickles_in_is_a_stream() {
    let origin = Origin::start(|connection| {
        connection.read_head();
        connection.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    });
    let hotgate = Hotgate::start(site(origin.port()));
    let mut client = Client::connect(hotgate.address());
    client.send("POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n");
    // More often than a pause would end the wait for the rest, and without end.
    poll_until("the head of the upload at the origin", || {
        client.send("1\r\nx\r\n");
        support::let_pass(Duration::from_millis(50));
        let records = origin.records();
        records
            .iter()
            .any(|record| !record.bytes.is_empty())
            .then_some(())
    });
    assert_eq!(client.response().text(), "ok");
}

#[test]
fn a_head_of_many_terse_lines_fits_when_it_is_written_anew() {
    // Each line gains a space on its way; sizes around those of the buffers it is written into.
    let lines = "X:y\r\n".repeat(1000);
    let response = format!("HTTP/1.1 200 OK\r\n{lines}Content-Length: 2\r\n\r\nok");
    let origin = Origin::answering(response);
    let hotgate = Hotgate::start(format!(
        "[limits]\nheader_count = 1024\n{}",
        site(origin.port())
    ));
    let mut client = Client::connect(hotgate.address());
    for size in (2_000..8_000).chain(12_500..16_500).step_by(97) {
        let target = "t".repeat(size % 4_000);
        let padding = "p".repeat(size.saturating_sub(5_000));
        let request =
            format!("GET /{target} HTTP/1.1\r\nHost:a.test\r\n{lines}P:{padding}\r\n\r\n");
        assert_eq!(client.ask(&request).text(), "ok", "{size}");
    }
}

#[test]
fn a_body_that_stalls_is_408_and_ends_the_upstream_request() {
    let origin = Origin::start(|connection| {
        connection.read_head();
    });
    let hotgate = Hotgate::start(format!(
        "[timeouts]\nbody_idle = \"1s\"\n{}",
        site(origin.port())
    ));
    let mut client = Client::connect(hotgate.address());
    client.send("POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 1000000\r\n\r\n");
    client.send("b".repeat(100_000));
    let response = client.response();
    assert_eq!((response.status, response.says_close()), (408, true));
    client.expect_close();
    origin.wait_until("the end of the stalled upload", |records| {
        records.iter().all(|record| record.ended)
    });
}

#[test]
fn a_small_body_is_whole_before_an_upstream_connection_is_taken() {
    let origin = Origin::mirror();
    let hotgate = Hotgate::start(site(origin.port()));
    let mut slow = Client::connect(hotgate.address());
    slow.send("POST /slow HTTP/1.1\r\nHost: a.test\r\nContent-Length: 10\r\n\r\nhello");
    // The one worker has dealt with the half body when it has served somebody who came later.
    assert_eq!(Client::connect(hotgate.address()).get("/other").status, 200);
    assert_eq!(origin.lines(), ["GET /other"]);
    slow.send("world");
    assert_eq!(slow.response().text(), "POST /slow helloworld");
}

#[test]
fn a_large_body_goes_on_before_it_is_whole() {
    let origin = Origin::start(|connection| {
        connection.read_head();
        connection.discard(100_000, |_| ());
        connection.send("HTTP/1.1 100 Continue\r\n\r\n");
        connection.discard(100_000, |_| ());
        connection.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    });
    let hotgate = Hotgate::start(site(origin.port()));
    let mut client = Client::connect(hotgate.address());
    client.send("POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 200000\r\n\r\n");
    client.send("b".repeat(100_000));
    origin.wait_until("the head of the upload", |records| {
        !records.is_empty() && !records[0].bytes.is_empty()
    });
    client.send("b".repeat(100_000));
    assert_eq!(client.response().text(), "ok");
}

#[test]
fn what_a_slow_reader_leaves_is_read_ahead_so_that_the_app_is_free() {
    const SIZE: usize = 200 * 1024;
    let origin = Origin::start(|connection| {
        connection.read_request();
        connection.send(format!(
            "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {SIZE}\r\n\r\n{}",
            "o".repeat(SIZE)
        ));
    });
    let hotgate = Hotgate::start(site(origin.port()));
    let mut slow = Client::with_small_window(hotgate.address());
    slow.send("GET /big HTTP/1.1\r\nHost: a.test\r\n\r\n");
    // It reads nothing, and still the origin has it all off its hands.
    origin.wait_until("the end of the origin's connection", |records| {
        records.iter().any(|record| record.ended)
    });
    assert_eq!(slow.response().body.len(), SIZE);
}

#[test]
fn an_endless_response_waits_for_its_reader() {
    let taken = Arc::new(Mutex::new(None));
    let origin = Origin::start({
        let taken = Arc::clone(&taken);
        move |connection| {
            connection.read_request();
            connection.send(format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {MORE_THAN_BUFFERS_HOLD}\r\n\r\n"
            ));
            let sent = connection.send_while_taken(&vec![b'o'; MORE_THAN_BUFFERS_HOLD], STOPPED);
            *taken.lock().expect("nobody panics here") = Some(sent);
        }
    });
    let hotgate = Hotgate::start(site(origin.port()));
    let mut slow = Client::with_small_window(hotgate.address());
    slow.send("GET /big HTTP/1.1\r\nHost: a.test\r\n\r\n");
    let sent = support::poll_until("the origin to be stopped", || {
        *taken.lock().expect("nobody panics here")
    });
    assert!(
        sent < PRESSURE_BYTES_MAX,
        "{sent} octets were taken from the origin with nobody reading"
    );
    println!("taken from the origin with nobody reading: {sent} octets");
}

#[test]
fn an_endless_upload_waits_for_its_origin() {
    let done = Event::new();
    let origin = Origin::start({
        let done = done.clone();
        move |connection| {
            connection.read_head();
            done.wait("the client to be stopped");
            connection.close();
        }
    });
    let hotgate = Hotgate::start(site(origin.port()));
    let mut client = Client::connect(hotgate.address());
    client.send(format!(
        "POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: {MORE_THAN_BUFFERS_HOLD}\r\n\r\n"
    ));
    let sent = client.send_while_taken(&vec![b'b'; MORE_THAN_BUFFERS_HOLD], STOPPED);
    done.set();
    assert!(
        sent < PRESSURE_BYTES_MAX,
        "{sent} octets were taken from the client with no origin reading"
    );
    println!("taken from the client with no origin reading: {sent} octets");
}
