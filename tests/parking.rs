//! Idle connections leave their task and their buffers after a second: what a client, an origin and the two ends of a
//! tunnel see of that, which is nothing.
//!
//! That a connection is parked is told by the kernel, which lists what an epoll descriptor watches: so no test takes a
//! time for granted after which it has to be.

mod support;

use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;
use support::{
    Client, Config, Connection, Event, Hotgate, Origin,
    hotgate::Folder,
    let_pass, poll_until, proc, site,
    upgrade::{HANDSHAKE, SWITCH},
};

/// Longer than a connection stays hot.
const PAST_HOT: Duration = Duration::from_millis(1300);
/// How exact a limit of an idle connection is: the coarse clock below it, a sweep and a busy machine above.
const EARLY: Duration = Duration::from_millis(100);
const TARDY: Duration = Duration::from_millis(2500);

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
/// Waits until so many connections are parked: clients, idle connections to origins, and both ends of tunnels.
#[track_caller]
fn wait_parked(hotgate: &Hotgate, count: usize) {
    let what = format!("{count} parked connections");
    poll_until(&what, || {
        (proc::parked(hotgate.pid()) == count).then_some(())
    });
}

/// Asserts that a wait took about as long as its limit says.
#[track_caller]
fn assert_lasted(since: Instant, limit: Duration) {
    let lasted = since.elapsed();
    assert!(
        lasted + EARLY >= limit && lasted < limit + TARDY,
        "{lasted:?}, where the limit is {limit:?}"
    );
}

#[test]
fn a_parked_client_is_served_again_and_again_on_its_connection() {
    let origin = Origin::echo();
    let hotgate = Hotgate::start(site(origin.port()));
    let mut client = Client::connect(hotgate.address());
    for number in 0..3 {
        // The first time before any request, later the connection to the origin too.
        wait_parked(&hotgate, if number == 0 { 1 } else { 2 });
        assert_eq!(
            client.get(&format!("/{number}")).text(),
            format!("/{number}")
        );
    }
    assert_eq!(origin.connections(), 1);
}

#[test]
fn two_requests_that_wake_a_client_together_are_both_answered() {
    let origin = Origin::echo();
    let hotgate = Hotgate::start(site(origin.port()));
    let mut client = Client::connect(hotgate.address());
    wait_parked(&hotgate, 1);
    client.send("GET /1 HTTP/1.1\r\nHost: a.test\r\n\r\nGET /2 HTTP/1.1\r\nHost: a.test\r\n\r\n");
    assert_eq!(client.response().text(), "/1");
    assert_eq!(client.response().text(), "/2");
}

#[test]
fn half_a_head_stays_hot_until_the_rest_comes() {
    let origin = Origin::echo();
    let hotgate = Hotgate::start(site(origin.port()));
    let mut client = Client::connect(hotgate.address());
    assert_eq!(client.get("/1").status, 200);
    client.send("GET /half HTTP/1.1\r\nHo");
    let_pass(PAST_HOT);
    wait_parked(&hotgate, 1); // the connection to the origin alone
    client.send("st: a.test\r\n\r\n");
    assert_eq!(client.response().text(), "/half");
}

#[test]
fn half_a_head_is_over_at_the_header_limit() {
    const HEADER: Duration = Duration::from_secs(2);
    let hotgate = Hotgate::start(format!("[timeouts]\nheader = \"2s\"\n{}", site(1)));
    let mut client = Client::connect(hotgate.address());
    let since = Instant::now();
    client.send("GET /half HTTP/1.1\r\nHo");
    assert_eq!(client.response().status, 408);
    assert_lasted(since, HEADER);
    client.expect_close();

    // A first head's time runs on while its connection is parked.
    let mut client = Client::connect(hotgate.address());
    let since = Instant::now();
    wait_parked(&hotgate, 1);
    client.send("GET /half HTTP/1.1\r\nHo");
    assert_eq!(client.response().status, 408);
    assert_lasted(since, HEADER);
}

#[test]
fn a_fresh_connection_that_says_nothing_is_closed_at_the_header_limit() {
    let hotgate = Hotgate::start(format!("[timeouts]\nheader = \"2s\"\n{}", site(1)));
    let mut client = Client::connect(hotgate.address());
    let since = Instant::now();
    wait_parked(&hotgate, 1);
    client.expect_close();
    assert_lasted(since, Duration::from_secs(2));
}

#[test]
fn a_parked_client_is_closed_at_the_keepalive_limit() {
    let origin = Origin::answering(OK);
    let limits = "[timeouts]\nkeepalive = \"2s\"\nheader = \"1h\"\n";
    let hotgate = Hotgate::start(format!("{limits}{}", site(origin.port())));
    let mut client = Client::connect(hotgate.address());
    for _ in 0..2 {
        assert_eq!(client.get("/").status, 200);
        let since = Instant::now();
        wait_parked(&hotgate, 2);
        assert!(since.elapsed() < Duration::from_secs(2));
    }
    let since = Instant::now();
    assert_eq!(client.get("/").status, 200);
    client.expect_close();
    assert_lasted(since, Duration::from_secs(2));
}

#[test]
fn a_client_that_goes_while_parked_leaves_nothing_behind() {
    let hotgate = Hotgate::start(site(1));
    let descriptors = || {
        let entries = std::fs::read_dir(format!("/proc/{}/fd", hotgate.pid()));
        entries.expect("a running child").count()
    };
    let before = descriptors();
    let clients: Vec<Client> = (0..20)
        .map(|_| Client::connect(hotgate.address()))
        .collect();
    wait_parked(&hotgate, 20);
    for (number, client) in clients.into_iter().enumerate() {
        if number % 2 == 0 {
            client.reset();
        }
    }
    poll_until("all descriptors to be closed", || {
        (descriptors() == before).then_some(())
    });
}

#[test]
fn draining_closes_parked_clients_at_once() {
    let origin = Origin::echo();
    let mut hotgate = Config::new(site(origin.port()))
        .server("drain_timeout = \"10s\"")
        .start();
    let mut clients: Vec<Client> = (0..3).map(|_| Client::connect(hotgate.address())).collect();
    assert_eq!(clients[0].get("/").status, 200);
    wait_parked(&hotgate, 4);
    let since = Instant::now();
    hotgate.signal(Signal::TERM);
    clients.iter_mut().for_each(Client::expect_close);
    assert_eq!(hotgate.wait_exit().code(), Some(0));
    assert!(since.elapsed() < Duration::from_secs(5), "it waited");
    assert!(origin.records()[0].ended || origin.finish()[0].ended);
}

#[test]
fn a_parked_upstream_connection_serves_a_get_but_no_post() {
    let origin = Origin::echo();
    let hotgate = Hotgate::start(format!(
        "[timeouts]\nupstream_idle = \"10s\"\n{}",
        site(origin.port())
    ));
    let mut client = Client::connect(hotgate.address());
    for _ in 0..3 {
        assert_eq!(client.get("/get").text(), "/get");
        wait_parked(&hotgate, 2);
    }
    assert_eq!(origin.connections(), 1);
    let post = "POST /post HTTP/1.1\r\nHost: a.test\r\nContent-Length: 1\r\n\r\nx";
    assert_eq!(client.ask(post).text(), "/post");
    assert_eq!(origin.connections(), 2, "it cannot be asked twice");
}

#[test]
fn a_parked_upstream_connection_is_closed_at_its_limit() {
    let origin = Origin::answering(OK);
    let hotgate = Hotgate::start(format!(
        "[timeouts]\nupstream_idle = \"2s\"\n{}",
        site(origin.port())
    ));
    let since = Instant::now();
    assert_eq!(Client::connect(hotgate.address()).get("/").status, 200);
    wait_parked(&hotgate, 1);
    origin.wait_until("the end of the idle connection", |records| records[0].ended);
    assert_lasted(since, Duration::from_secs(2));
}

/// What an origin's first connection does while it is parked must not be seen by the next request.
#[track_caller]
fn check_disturbed(hotgate_notices_first: bool, disturb: fn(&mut Connection)) {
    let (go, done) = (Event::new(), Event::new());
    let origin = Origin::start({
        let (go, done) = (go.clone(), done.clone());
        move |connection| {
            if connection.number > 0 {
                return connection.serve(|request| request.target.clone());
            }
            connection.read_request();
            connection.send(OK);
            go.wait("the connection to be parked");
            disturb(connection);
            done.set();
        }
    });
    let hotgate = Hotgate::start(format!(
        "[timeouts]\nupstream_idle = \"10s\"\n{}",
        site(origin.port())
    ));
    let mut client = Client::connect(hotgate.address());
    assert_eq!(client.get("/1").text(), "ok");
    wait_parked(&hotgate, 2);
    go.set();
    done.wait("the origin");
    if hotgate_notices_first {
        wait_parked(&hotgate, 1);
    }
    assert_eq!(client.get("/2").text(), "/2");
    assert_eq!(origin.connections(), 2);
}

#[test]
fn an_upstream_that_closes_while_parked_is_not_asked() {
    check_disturbed(true, Connection::close);
    check_disturbed(false, Connection::close);
    check_disturbed(true, Connection::reset);
}

#[test]
fn an_upstream_that_speaks_while_parked_is_not_listened_to() {
    let speak = |connection: &mut Connection| {
        connection.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nEVIL");
    };
    check_disturbed(true, speak);
    check_disturbed(false, speak);
}

/// The last line of the access log, once there is one.
#[track_caller]
fn access_line(folder: &Folder) -> Value {
    let path = folder.path().join("access.log");
    let text = poll_until("a line in the access log", || {
        let text = std::fs::read_to_string(&path).ok()?;
        text.ends_with('\n').then_some(text)
    });
    let line = text.lines().last().expect("a line");
    serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))
}

#[track_caller]
fn opened(hotgate: &Hotgate) -> Client {
    let mut client = Client::connect(hotgate.address());
    client.send(HANDSHAKE);
    assert_eq!(client.response_head().status, 101);
    client
}

#[test]
fn a_silent_tunnel_wakes_from_either_side_and_is_one_line_in_the_log() {
    let (folder, speak) = (Folder::new(), Event::new());
    let origin = Origin::start({
        let speak = speak.clone();
        move |connection| {
            connection.read_head();
            connection.send(SWITCH);
            assert_eq!(connection.read_exactly(5), b"hello");
            connection.send("HELLO");
            speak.wait("the second silence");
            connection.send("news");
            assert_eq!(connection.read_exactly(5), b"again");
            connection.send("AGAIN");
            connection.half_close();
        }
    });
    let hotgate = Config::new(site(origin.port()))
        .access_log(&folder.path().join("access.log"), "json")
        .start();
    let mut client = opened(&hotgate);
    let since = Instant::now();

    wait_parked(&hotgate, 2);
    client.send("hello");
    assert_eq!(client.read_exactly(5), b"HELLO");

    wait_parked(&hotgate, 2);
    speak.set();
    assert_eq!(client.read_exactly(4), b"news");

    wait_parked(&hotgate, 2);
    client.send("again");
    client.half_close();
    assert_eq!(client.rest(), b"AGAIN");

    let lasted = since.elapsed().as_secs_f64();
    let line = access_line(&folder);
    assert_eq!(
        (&line["status"], &line["bytes_read"], &line["size"]),
        (&101.into(), &10.into(), &14.into()),
        "{line}"
    );
    assert_eq!(
        (&line["request"]["uri"], &line["site"], &line["reason"]),
        (&"/ws".into(), &"http://a.test".into(), &"".into()),
        "{line}"
    );
    for key in ["duration", "upstream_duration"] {
        let told = line[key].as_f64().expect("a number");
        assert!(told > 2.9 && told < lasted + 5.0, "{key}: {line}");
    }
}

#[test]
fn both_ends_may_wake_a_tunnel_at_once_and_much_comes_through() {
    const OCTETS: usize = 1 << 20;
    let speak = Event::new();
    let origin = Origin::start({
        let speak = speak.clone();
        move |connection| {
            connection.read_head();
            connection.send(SWITCH);
            speak.wait("the silence");
            connection.send(vec![b'd'; OCTETS]);
            assert!(connection.read_exactly(OCTETS) == vec![b'u'; OCTETS]);
            connection.send("end");
            connection.half_close();
        }
    });
    let hotgate = Hotgate::start(site(origin.port()));
    let mut client = opened(&hotgate);
    wait_parked(&hotgate, 2);
    let mut reader = client.reader();
    std::thread::scope(|scope| {
        let reading = scope.spawn(move || reader.read_exactly(OCTETS + 3));
        speak.set();
        client.send(vec![b'u'; OCTETS]);
        client.half_close();
        let received = reading.join().expect("reading does not panic");
        assert!(received.ends_with(b"dend") && received[..OCTETS] == vec![b'd'; OCTETS]);
    });
}

#[test]
fn an_end_that_comes_while_a_tunnel_is_parked_is_passed_on() {
    let origin = Origin::start(|connection| {
        connection.read_head();
        connection.send(SWITCH);
        if connection.number == 0 {
            assert!(connection.read_exactly(1).is_empty());
            connection.send("word");
            connection.half_close();
        }
    });
    let hotgate = Hotgate::start(site(origin.port()));
    let mut client = opened(&hotgate);
    wait_parked(&hotgate, 2);
    client.half_close();
    assert_eq!(client.rest(), b"word");

    let client = opened(&hotgate);
    wait_parked(&hotgate, 2);
    client.reset();
    origin.wait_until("the end of the tunnel", |records| {
        records.len() == 2 && records[1].ended
    });
    wait_parked(&hotgate, 0);
}

#[test]
fn a_parked_tunnel_ends_at_tunnel_idle() {
    let folder = Folder::new();
    let origin = Origin::start(|connection| {
        connection.read_head();
        connection.send(SWITCH);
    });
    let limits = format!("[timeouts]\ntunnel_idle = \"2s\"\n{}", site(origin.port()));
    let hotgate = Config::new(limits)
        .access_log(&folder.path().join("access.log"), "json")
        .start();
    let mut client = opened(&hotgate);
    let since = Instant::now();
    wait_parked(&hotgate, 2);
    client.expect_close();
    assert_lasted(since, Duration::from_secs(2));
    origin.wait_until("the end of the tunnel", |records| records[0].ended);
    let line = access_line(&folder);
    assert_eq!(
        (&line["status"], &line["reason"]),
        (&101.into(), &"tunnel_idle".into()),
        "{line}"
    );
}

#[test]
fn draining_ends_a_parked_tunnel_within_its_limit() {
    let origin = Origin::start(|connection| {
        connection.read_head();
        connection.send(SWITCH);
    });
    let mut hotgate = Config::new(site(origin.port()))
        .server("drain_timeout = \"2s\"")
        .start();
    let mut client = opened(&hotgate);
    wait_parked(&hotgate, 2);
    let since = Instant::now();
    hotgate.signal(Signal::TERM);
    client.expect_close();
    assert_eq!(hotgate.wait_exit().code(), Some(0));
    assert!(since.elapsed() < Duration::from_secs(2) + TARDY);
    origin.wait_until("the end of the tunnel", |records| records[0].ended);
}
