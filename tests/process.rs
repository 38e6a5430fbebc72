//! The process: start, ports, signals, draining, exit codes.

mod support;

use std::{
    net::{TcpListener, TcpStream},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use rustix::process::Signal;

use support::{
    Client, Config, Event, Hotgate, Origin,
    hotgate::{BINARY, backend, free_port},
    poll_until, site,
};

/// An origin that answers `/slow` when `go` happens, all else at once.
fn patient(go: &Event) -> Origin {
    let go = go.clone();
    Origin::start(move |connection| {
        while let Some(request) = connection.read_request() {
            if request.target == "/slow" {
                go.wait("the time to answer");
            }
            connection.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone");
        }
    })
}

#[test]
fn a_termination_signal_lets_exchanges_finish_and_takes_no_more() {
    for signal in [Signal::TERM, Signal::INT] {
        let go = Event::new();
        let origin = patient(&go);
        let mut hotgate = Hotgate::start(site(origin.port()));
        let mut slow = Client::connect(hotgate.address());
        slow.send("GET /slow HTTP/1.1\r\nHost: a.test\r\n\r\n");
        origin.wait_until("the slow request", |records| {
            records.iter().any(|record| !record.bytes.is_empty())
        });
        let address = hotgate.address();
        hotgate.signal(signal);
        poll_until("new connections to be refused", || {
            TcpStream::connect(address).is_err().then_some(())
        });
        assert!(!hotgate.has_ended(), "the slow exchange was not waited for");
        go.set();
        let response = slow.response();
        assert_eq!(
            (response.text().as_str(), response.says_close()),
            ("done", true)
        );
        slow.expect_close();
        assert_eq!(hotgate.wait_exit().code(), Some(0), "{}", hotgate.stderr());
    }
}

#[test]
fn idle_connections_do_not_hold_up_the_end() {
    let origin = patient(&Event::new());
    let mut hotgate = Config::new(site(origin.port())).workers(2).start();
    let mut idle: Vec<Client> = (0..20)
        .map(|_| Client::connect(hotgate.address()))
        .collect();
    for client in &mut idle[..10] {
        assert_eq!(client.get("/").text(), "done");
    }
    let started = Instant::now();
    hotgate.signal(Signal::TERM);
    assert_eq!(hotgate.wait_exit().code(), Some(0));
    assert!(
        started.elapsed() < Duration::from_secs(8),
        "drain_timeout is 30 s, and nothing was under way"
    );
    for client in &mut idle {
        client.expect_close();
    }
}

#[test]
fn a_second_signal_ends_it_now() {
    let go = Event::new();
    let origin = patient(&go);
    let mut hotgate = Hotgate::start(site(origin.port()));
    let mut slow = Client::connect(hotgate.address());
    slow.send("GET /slow HTTP/1.1\r\nHost: a.test\r\n\r\n");
    origin.wait_until("the slow request", |records| {
        records.iter().any(|record| !record.bytes.is_empty())
    });
    let address = hotgate.address();
    hotgate.signal(Signal::TERM);
    poll_until("new connections to be refused", || {
        TcpStream::connect(address).is_err().then_some(())
    });
    hotgate.signal(Signal::TERM);
    hotgate.wait_exit();
    slow.expect_close();
    go.set();
}

#[test]
fn draining_ends_at_drain_timeout_whatever_is_under_way() {
    let go = Event::new();
    let origin = patient(&go);
    let mut hotgate = Config::new(site(origin.port()))
        .server("drain_timeout = \"1s\"")
        .start();
    let mut slow = Client::connect(hotgate.address());
    slow.send("GET /slow HTTP/1.1\r\nHost: a.test\r\n\r\n");
    origin.wait_until("the slow request", |records| {
        records.iter().any(|record| !record.bytes.is_empty())
    });
    hotgate.signal(Signal::TERM);
    hotgate.wait_exit();
    go.set();
}

#[test]
fn a_worker_that_is_idle_does_not_end_the_drain_of_one_that_is_not() {
    // An idle worker ends within a millisecond of being told; that was once taken for the end of the busy one.
    for _ in 0..10 {
        let go = Event::new();
        let origin = patient(&go);
        let mut hotgate = Config::new(site(origin.port())).workers(4).start();
        let mut slow = Client::connect(hotgate.address());
        slow.send("GET /slow HTTP/1.1\r\nHost: a.test\r\n\r\n");
        origin.wait_until("the slow request", |records| {
            records.iter().any(|record| !record.bytes.is_empty())
        });
        hotgate.signal(Signal::TERM);
        hotgate.wait_for_line("draining");
        let address = hotgate.address();
        poll_until("new connections to be refused", || {
            TcpStream::connect(address).is_err().then_some(())
        });
        go.set();
        assert_eq!(slow.response().text(), "done");
        assert_eq!(hotgate.wait_exit().code(), Some(0));
    }
}

#[test]
fn a_hang_up_is_answered_and_ends_nothing() {
    let origin = Origin::echo();
    let hotgate = Hotgate::start(site(origin.port()));
    hotgate.signal(Signal::HUP);
    hotgate.wait_for_line("cannot reload");
    assert_eq!(Client::connect(hotgate.address()).get("/x").status, 200);
}

#[test]
fn a_tunnel_is_ended_by_the_drain_too() {
    let origin = Origin::start(|connection| {
        connection.read_head();
        connection.send(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
        );
    });
    let mut hotgate = Config::new(site(origin.port()))
        .server("drain_timeout = \"1s\"")
        .start();
    let mut client = Client::connect(hotgate.address());
    client.send(
        "GET / HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
    );
    assert_eq!(client.response_head().status, 101);
    hotgate.signal(Signal::TERM);
    hotgate.wait_exit();
    client.expect_close();
}

#[test]
fn a_port_in_use_is_seen_and_its_holder_named() {
    let holder = TcpListener::bind("127.0.0.1:0").expect("a loopback port is free");
    let address = holder.local_addr().expect("a bound socket has an address");
    let output = Config::new(site(1))
        .http(&[&address.to_string()])
        .run("run");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(
        said.contains(&address.to_string()) && said.contains(&std::process::id().to_string()),
        "{said}"
    );
}

#[test]
fn a_second_hotgate_does_not_share_the_port_of_the_first() {
    let origin = Origin::echo();
    let first = Config::new(site(origin.port())).workers(2).start();
    let output = Config::new(site(origin.port()))
        .http(&[&first.address().to_string()])
        .run("run");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(
        said.contains(&format!("hotgate (pid {})", first.pid())),
        "{said}"
    );
    assert_eq!(Client::connect(first.address()).get("/x").text(), "/x");
}

#[test]
fn several_workers_serve_together() {
    let origin = Origin::echo();
    let hotgate = Config::new(site(origin.port())).workers(2).start();
    for n in 0..40 {
        assert_eq!(
            Client::connect(hotgate.address())
                .get(&format!("/{n}"))
                .text(),
            format!("/{n}")
        );
    }
    let workers = support::proc::tasks(hotgate.pid())
        .iter()
        .filter(|task| task.name.contains("worker"))
        .count();
    assert_eq!(workers, 2);
}

#[test]
fn several_listeners_serve_the_same_sites() {
    let origin = Origin::echo();
    let hotgate = Config::new(site(origin.port()))
        .http(&["127.0.0.1:0", "127.0.0.2:0"])
        .start();
    assert_eq!(hotgate.listeners().len(), 2);
    for &address in hotgate.listeners() {
        assert_eq!(Client::connect(address).get("/x").text(), "/x");
    }
}

#[test]
fn it_starts_with_every_upstream_down() {
    let hotgate = Hotgate::start(format!(
        "[sites]\n\"http://a.test\" = {}\n\"http://b.test\" = \"unix:/nowhere/app.sock\"\n\"http://c.test\" = \"no-such-host.invalid:1\"\n",
        free_port()
    ));
    let ask = |host: &str| {
        Client::connect(hotgate.address())
            .ask(&format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n"))
            .status
    };
    assert_eq!(
        (ask("a.test"), ask("b.test"), ask("c.test")),
        (502, 502, 503)
    );
}

#[test]
fn the_backend_is_the_one_that_was_asked_for() {
    let hotgate = Hotgate::start(site(free_port()));
    let has_ring = support::proc::ring_completions(hotgate.pid()).is_some();
    match backend().as_str() {
        "io_uring" => assert!(has_ring, "{}", hotgate.stderr()),
        "epoll" => assert!(!has_ring, "{}", hotgate.stderr()),
        _ => {}
    }
}

#[test]
fn check_is_content_with_a_good_file_and_places_the_fault_of_a_bad_one() {
    let good = Config::new(site(3000)).run("check");
    assert_eq!(
        good.status.code(),
        Some(0),
        "{}",
        String::from_utf8_lossy(&good.stderr)
    );
    let bad = Config::new("[sites]\n\"http://a.test\" = { too = 3000 }\n");
    let line = bad
        .toml()
        .lines()
        .position(|line| line.contains("too ="))
        .expect("the line is there")
        + 1;
    for verb in ["check", "run"] {
        let output = bad.run(verb);
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert_eq!(output.status.code(), Some(78), "{verb}: {said}");
        assert!(
            said.contains(&format!("hotgate.toml:{line}:")) && said.contains("too"),
            "{verb}: {said}"
        );
    }
}

#[test]
fn wrong_arguments_are_a_fault_of_usage() {
    for arguments in [&["fly"][..], &["run", "--no-such"], &["check", "-c"]] {
        let output = Command::new(BINARY)
            .args(arguments)
            .stdin(Stdio::null())
            .output()
            .expect("hotgate starts");
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
    }
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let output = Command::new(BINARY)
        .args(["run", "-c", "/nowhere/hotgate.toml"])
        .stdin(Stdio::null())
        .output()
        .expect("hotgate starts");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        !output.status.success() && said.contains("/nowhere/hotgate.toml"),
        "{said}"
    );
}

#[test]
fn a_thousand_connections_leave_no_descriptor_behind() {
    let origin = Origin::echo();
    let hotgate = Hotgate::start(site(origin.port()));
    let descriptors = || {
        std::fs::read_dir(format!("/proc/{}/fd", hotgate.pid()))
            .expect("its descriptors")
            .count()
    };
    assert_eq!(Client::connect(hotgate.address()).get("/warm").status, 200);
    let before = descriptors();
    for n in 0..1000 {
        let mut client = Client::connect(hotgate.address());
        match n % 4 {
            0 => assert_eq!(client.get("/x").status, 200),
            1 => client.reset(),
            2 => {
                client.send("GET /x HTTP/1.1\r\nHost");
                drop(client);
            }
            _ => assert_eq!(
                client
                    .ask("GET / HTTP/1.1\r\nHost: none.test\r\n\r\n")
                    .status,
                421
            ),
        }
    }
    poll_until("the descriptors to be given back", || {
        (descriptors() <= before + 2).then_some(())
    });
}
