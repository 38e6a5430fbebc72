//! WebSocket and other upgrades: what goes through before, at and after the 101.

mod support;

use std::time::Duration;

use support::{
    Client, Event, Hotgate, Origin, Request, site,
    upgrade::{HANDSHAKE, SWITCH, has_option, shouting},
};

#[test]
fn a_websocket_passes_with_no_configuration() {
    let origin = shouting();
    let hotgate = Hotgate::start(site(origin.port()));
    let mut client = Client::connect(hotgate.address());
    client.send(HANDSHAKE);
    let switch = client.response_head();
    assert_eq!(
        (
            switch.status,
            switch.field("upgrade"),
            switch.field("sec-websocket-accept")
        ),
        (101, Some("websocket"), Some("x"))
    );
    for word in ["hello", "again", "\r\n\r\n", "get / http/1.1"] {
        client.send(word);
        assert_eq!(
            client.read_exactly(word.len()),
            word.to_ascii_uppercase().as_bytes()
        );
    }
    let head = origin.records()[0].bytes.clone();
    let head = String::from_utf8_lossy(&head).to_lowercase();
    assert!(
        head.contains("sec-websocket-key: aaaaaaaaaaaaaaaaaaaaaa==\r\n")
            && head.contains("x-forwarded-for: 127.0.0.1\r\n")
    );
}

#[test]
fn octets_sent_before_the_101_are_held_until_it_comes() {
    let go = Event::new();
    let origin = Origin::start({
        let go = go.clone();
        move |connection| {
            let Some(request) = connection.read_head() else {
                return;
            };
            if request.target == "/other" {
                connection.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
                return;
            }
            go.wait("the time to switch");
            assert!(connection.unread().is_empty(), "octets came before the 101");
            connection.send(SWITCH);
            assert_eq!(connection.read_exactly(5), b"early");
            connection.send("late");
        }
    });
    let hotgate = Hotgate::start(site(origin.port()));
    let mut client = Client::connect(hotgate.address());
    client.send(format!("{HANDSHAKE}early"));
    assert_eq!(
        Client::connect(hotgate.address()).get("/other").text(),
        "ok"
    );
    origin.wait_until("both requests", |records| {
        records.len() == 2 && records.iter().all(|record| !record.bytes.is_empty())
    });
    for record in origin.records() {
        let head_alone = record.bytes.ends_with(b"\r\n\r\n");
        assert!(head_alone, "the held octets came before the switch");
    }
    go.set();
    assert_eq!(client.response_head().status, 101);
    assert_eq!(client.read_exactly(4), b"late");
}

#[test]
fn octets_that_come_with_the_101_reach_the_client() {
    let origin = Origin::start(|connection| {
        connection.read_head();
        connection.send(format!("{SWITCH}first"));
        assert_eq!(connection.read_exactly(6), b"second");
        connection.send("third");
    });
    let hotgate = Hotgate::start(site(origin.port()));
    let mut client = Client::connect(hotgate.address());
    client.send(HANDSHAKE);
    assert_eq!(client.response_head().status, 101);
    assert_eq!(client.read_exactly(5), b"first");
    client.send("second");
    assert_eq!(client.read_exactly(5), b"third");
}

#[test]
fn a_refused_upgrade_is_a_plain_response_and_opens_no_tunnel() {
    let origin = Origin::start(|connection| {
        while let Some(request) = connection.read_request() {
            let status = if request.target == "/ws" {
                "403 Forbidden"
            } else {
                "200 OK"
            };
            connection.send(format!("HTTP/1.1 {status}\r\nContent-Length: 2\r\n\r\nno"));
        }
    });
    let hotgate = Hotgate::start(site(origin.port()));
    let mut client = Client::connect(hotgate.address());
    client.send(format!("{HANDSHAKE}\x01\x02 not a request\r\n\r\n"));
    let refusal = client.response();
    assert_eq!((refusal.status, refusal.text().as_str()), (403, "no"));
    // What was held is no request: it is answered as such, or the connection just ends.
    let rest = String::from_utf8_lossy(&client.rest()).into_owned();
    assert!(
        rest.is_empty() || rest.starts_with("HTTP/1.1 400 "),
        "{rest}"
    );
    hotgate.stop();
    for record in origin.finish() {
        assert_eq!(
            record
                .requests()
                .iter()
                .map(Request::line)
                .collect::<Vec<_>>(),
            ["GET /ws"]
        );
    }
}

#[test]
fn a_token_that_was_not_opted_in_is_not_passed_on() {
    let origin = Origin::start(|connection| {
        while let Some(request) = connection.read_request() {
            assert!(
                !request.fields.has("upgrade") && !has_option(&request, "upgrade"),
                "{:?}",
                request.fields
            );
            connection.send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nplain");
        }
    });
    let hotgate = Hotgate::start(site(origin.port()));
    let mut client = Client::connect(hotgate.address());
    for token in ["h2c", "foo/1", "websocket2"] {
        let request = format!(
            "GET / HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade\r\nUpgrade: {token}\r\n\r\n"
        );
        assert_eq!(client.ask(&request).text(), "plain", "{token}");
    }
}

#[test]
fn a_token_that_was_opted_in_is_tunnelled() {
    let origin = Origin::start(|connection| {
        let request = connection.read_head().expect("a request");
        assert_eq!(request.field("upgrade"), Some("foo/1"));
        connection.send(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: foo/1\r\n\r\nbar",
        );
    });
    let hotgate = Hotgate::start(format!(
        "[sites.\"http://a.test\"]\nto = {}\nupgrade = [\"websocket\", \"foo/1\"]\n",
        origin.port()
    ));
    let mut client = Client::connect(hotgate.address());
    client.send("GET / HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade\r\nUpgrade: foo/1\r\n\r\n");
    assert_eq!(client.response_head().status, 101);
    assert_eq!(client.read_exactly(3), b"bar");
}

#[test]
fn a_switch_to_something_else_than_was_asked_is_502() {
    let origin = Origin::start(|connection| {
        connection.read_head();
        connection.send(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: other\r\n\r\nEVIL",
        );
    });
    let hotgate = Hotgate::start(site(origin.port()));
    let mut client = Client::connect(hotgate.address());
    assert_eq!(client.ask(HANDSHAKE).status, 502);
    origin.wait_until("the end of the connection", |records| records[0].ended);
}

#[test]
fn one_side_may_end_while_the_other_goes_on() {
    let origin = Origin::start(|connection| {
        connection.read_head();
        connection.send(SWITCH);
        assert_eq!(connection.read_exactly(6), b"a last");
        assert!(
            connection.read_exactly(1).is_empty(),
            "the client's end did not come through"
        );
        connection.send("word");
        connection.half_close();
    });
    let hotgate = Hotgate::start(site(origin.port()));
    let mut client = Client::connect(hotgate.address());
    client.send(HANDSHAKE);
    assert_eq!(client.response_head().status, 101);
    client.send("a last");
    client.half_close();
    assert_eq!(client.rest(), b"word");
}

#[test]
fn a_side_that_is_gone_ends_the_other() {
    let origin = Origin::start(|connection| {
        connection.read_head();
        connection.send(SWITCH);
        if connection.number == 0 {
            connection.reset();
        }
    });
    let hotgate = Hotgate::start(site(origin.port()));
    let mut client = Client::connect(hotgate.address());
    client.send(HANDSHAKE);
    client.rest();
    let mut client = Client::connect(hotgate.address());
    client.send(HANDSHAKE);
    assert_eq!(client.response_head().status, 101);
    client.reset();
    origin.wait_until("the end of the tunnel", |records| {
        records.len() == 2 && records[1].ended
    });
}

#[test]
fn a_silent_tunnel_ends_at_tunnel_idle() {
    let origin = shouting();
    let hotgate = Hotgate::start(format!(
        "[timeouts]\ntunnel_idle = \"1s\"\n{}",
        site(origin.port())
    ));
    let mut client = Client::connect(hotgate.address());
    client.send(HANDSHAKE);
    assert_eq!(client.response_head().status, 101);
    client.expect_close();
    origin.wait_until("the end of the tunnel", |records| records[0].ended);
}

#[test]
fn a_tunnel_that_talks_outlives_tunnel_idle_and_every_other_limit() {
    let origin = shouting();
    let limits = "[timeouts]\ntunnel_idle = \"2s\"\nkeepalive = \"1s\"\nheader = \"1s\"\nbody_idle = \"1s\"\nwrite_idle = \"1s\"\nupstream_idle = \"1s\"\n";
    let hotgate = Hotgate::start(format!("{limits}{}", site(origin.port())));
    let mut client = Client::connect(hotgate.address());
    client.send(HANDSHAKE);
    assert_eq!(client.response_head().status, 101);
    for _ in 0..4 {
        assert!(
            client.is_silent(Duration::from_millis(1000)),
            "the tunnel ended or spoke by itself"
        );
        client.send("x");
        assert_eq!(client.read_exactly(1), b"X");
    }
}

#[test]
fn much_goes_both_ways_at_once() {
    const OCTETS: usize = 8 << 20;
    let origin = Origin::start(|connection| {
        connection.read_head();
        connection.send(SWITCH);
        let mut taken = 0;
        while taken < OCTETS {
            let piece = connection.read_exactly(64 * 1024);
            assert!(!piece.is_empty(), "the tunnel ended after {taken} octets");
            taken += piece.len();
            connection.send(&piece);
        }
    });
    let hotgate = Hotgate::start(site(origin.port()));
    let mut client = Client::connect(hotgate.address());
    client.send(HANDSHAKE);
    assert_eq!(client.response_head().status, 101);
    let sent: Vec<u8> = (0..OCTETS).map(|n| (n % 251) as u8).collect();
    let mut reader = client.reader();
    let received = std::thread::scope(|scope| {
        let reading = scope.spawn(move || reader.read_exactly(OCTETS));
        client.send(&sent);
        reading.join().expect("reading does not panic")
    });
    assert!(received == sent);
}

#[test]
fn a_tunnels_connection_never_serves_a_request_again() {
    let origin = shouting();
    let hotgate = Hotgate::start(site(origin.port()));
    let mut client = Client::connect(hotgate.address());
    client.send(HANDSHAKE);
    assert_eq!(client.response_head().status, 101);
    client.half_close();
    client.expect_close();
    assert_eq!(Client::connect(hotgate.address()).get("/").text(), "plain");
    assert_eq!(origin.connections(), 2);
}

#[test]
fn connect_is_refused() {
    let origin = shouting();
    let hotgate = Hotgate::start(site(origin.port()));
    let mut client = Client::connect(hotgate.address());
    let response = client.ask("CONNECT a.test:80 HTTP/1.1\r\nHost: a.test:80\r\n\r\n");
    assert_eq!((response.status, response.says_close()), (405, true));
    client.expect_close();
    assert_eq!(origin.connections(), 0);
}
