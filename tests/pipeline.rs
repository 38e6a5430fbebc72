//! Requests that share an upstream connection (SECURITY PI-01 to PI-06): that they do, which never do, who is not held
//! up by whom, and that nobody ever gets an answer that is somebody else's.
//!
//! Answers are told apart by their bodies: the origin answers with the target, and no two requests have the same. What
//! hotgate did is seen at the origin: who came on which connection, and how many had no answer yet.

mod support;

#[path = "pipeline/load.rs"]
mod load;
#[path = "pipeline/origin.rs"]
mod origin;

use std::{
    collections::HashSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use load::{Answer, CLIENTS, Random, all_own, ask, ask_until, get};
use origin::{Answering, Pipelined, echo};
use support::{Client, Event, Hotgate, Request, let_pass, site};

/// Requests of one client in which its test has to see what it waits for.
const REQUESTS_MAX: usize = 2000;

/// One site in front of an upstream with this `pipeline`.
fn upstream(port: u16, pipeline: &str) -> String {
    format!(
        "[upstreams.origin]\nservers = [{port}]\npipeline = {pipeline}\n\
         [sites]\n\"http://a.test\" = \"origin\"\n"
    )
}

#[test]
fn without_it_a_connection_has_one_request_at_a_time() {
    let check = |text: fn(u16) -> String| {
        let origin = Pipelined::echo();
        let hotgate = Hotgate::start(text(origin.port()));
        all_own(&ask(hotgate.address(), "x", 20));
        assert_eq!(origin.outstanding_max(), 1);
    };
    check(site);
    check(|port| upstream(port, "\"off\""));
    check(|port| {
        format!("[upstreams.origin]\nservers = {port}\n[sites]\n\"http://a.test\" = \"origin\"\n")
    });
}

#[test]
fn with_a_depth_requests_share_connections_up_to_it() {
    let origin = Pipelined::echo();
    let hotgate = Hotgate::start(upstream(origin.port(), "8"));
    all_own(&ask(hotgate.address(), "x", 50));
    let most = origin.outstanding_max();
    assert!((2..=8).contains(&most), "{most} requests on a connection");
}

/// What a connection has not shown yet: that it keeps what it promises of persistence and framing.
#[test]
fn a_connection_that_has_answered_nothing_is_not_shared() {
    let origin = Pipelined::echo();
    let hotgate = Hotgate::start(upstream(origin.port(), "64"));
    all_own(&ask(hotgate.address(), "x", 20));
    for line in origin.lines() {
        let of_first_two = line.arrivals.iter().take(2).map(|one| one.outstanding);
        assert!(of_first_two.max() <= Some(1), "{line:?}");
    }
}

#[test]
fn what_is_no_plain_get_has_a_connection_for_itself() {
    const WITH: [&str; 12] = [
        "POST {} HTTP/1.1\r\nContent-Length: 2\r\n",
        "POST {} HTTP/1.1\r\nContent-Length: 2\r\nExpect: 100-continue\r\n",
        "GET {} HTTP/1.1\r\nContent-Length: 2\r\n",
        "PUT {} HTTP/1.1\r\nContent-Length: 2\r\n",
        "DELETE {} HTTP/1.1\r\n",
        "OPTIONS {} HTTP/1.1\r\n",
        "GET {} HTTP/1.1\r\nRange: bytes=0-1\r\n",
        "GET {} HTTP/1.1\r\nIf-None-Match: \"x\"\r\n",
        "GET {} HTTP/1.1\r\nIf-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT\r\n",
        "GET {} HTTP/1.1\r\nIf-Match: *\r\n",
        "GET {} HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n",
        "GET {} HTTP/1.1\r\nAuthorization: Negotiate abc\r\n",
    ];
    let origin = Pipelined::echo();
    let hotgate = Hotgate::start(upstream(origin.port(), "8"));
    let to = hotgate.address();
    std::thread::scope(|scope| {
        scope.spawn(move || all_own(&ask(to, "plain", 60)));
        for (number, head) in WITH.iter().enumerate() {
            scope.spawn(move || {
                let mut client = Client::connect(to);
                for n in 0..40 {
                    let target = format!("/alone-{number}-{n}");
                    let body = if head.contains("Length") { "ok" } else { "" };
                    let head = head.replace("{}", &target);
                    let request = format!("{head}Host: a.test\r\nX-Kind: alone\r\n\r\n{body}");
                    assert_eq!(client.ask(&request).text(), target);
                }
            });
        }
    });
    assert!(origin.outstanding_max() >= 2, "nothing was shared");
    let mut count = 0;
    for line in origin.lines() {
        for (place, arrival) in line.arrivals.iter().enumerate() {
            if arrival.kind == "alone" {
                count += 1;
                let next = line.arrivals.get(place + 1);
                let outstanding = [Some(arrival), next].map(|one| one.map(|one| one.outstanding));
                assert!(outstanding[0] == Some(1), "{arrival:?}");
                assert!(
                    outstanding[1].is_none_or(|one| one == 1),
                    "behind {arrival:?}: {next:?}"
                );
            }
        }
    }
    assert!(count >= WITH.len() * 40, "{count} came");
}

/// What befell one connection: the request that was answered wrongly, and who stood behind it.
#[derive(Clone, Debug)]
struct Fault {
    connection: usize,
    front: String,
    behind: Vec<String>,
}

/// Answers as [`echo`] does, but once, as soon as one stands behind another, as `fault` does. What all clients got.
#[track_caller]
fn with_fault(
    fault: impl Fn(&mut Answering, &Request) + Send + Sync + 'static,
) -> (Pipelined, Hotgate, Fault, Vec<Answer>) {
    let happened = Arc::new(AtomicBool::new(false));
    let told: Arc<Mutex<Option<Fault>>> = Arc::default();
    let origin = Pipelined::start({
        let (happened, told) = (Arc::clone(&happened), Arc::clone(&told));
        move |answering| {
            while let Some(request) = answering.next() {
                answering.gather(3);
                let behind = answering.behind();
                if behind.is_empty() || happened.swap(true, Ordering::SeqCst) {
                    answering.answer(echo(&request));
                    continue;
                }
                *told.lock().expect("no panic here") = Some(Fault {
                    connection: answering.number,
                    front: request.target.clone(),
                    behind,
                });
                return fault(answering, &request);
            }
        }
    });
    let hotgate = Hotgate::start(upstream(origin.port(), "8"));
    let answers = ask_until(hotgate.address(), &happened, REQUESTS_MAX);
    let fault = told.lock().expect("no panic here").clone();
    let fault = fault.expect("two requests were outstanding on one connection");
    (origin, hotgate, fault, answers)
}

/// Whoever stood behind the fault was asked once more, on another connection, and everybody but the front one got an
/// answer that is its own. The connection is gone. The front one's answer.
#[track_caller]
fn only_the_front_is_harmed(
    what: &str,
    fault: impl Fn(&mut Answering, &Request) + Send + Sync + 'static,
) -> Answer {
    let (origin, _hotgate, fault, answers) = with_fault(fault);
    for target in &fault.behind {
        let connections = origin.connections_of(&format!("GET {target}"));
        let is_elsewhere = connections.iter().collect::<HashSet<_>>().len() == 2;
        assert!(
            connections.len() == 2 && is_elsewhere,
            "{what}: {target} came on {connections:?}"
        );
    }
    origin.wait_until("the end of the connection", |lines| {
        lines[fault.connection].ended
    });
    let is_front = |answer: &&Answer| answer.target == fault.front;
    let others: Vec<Answer> = answers
        .iter()
        .filter(|one| !is_front(one))
        .cloned()
        .collect();
    all_own(&others);
    let mut front = answers.iter().filter(is_front);
    let (Some(answer), None) = (front.next(), front.next()) else {
        panic!("{what}: the front one has one answer")
    };
    answer.clone()
}

/// PI-01, one at a time: what is left of the answer is discarded, or the connection is closed where that is too much.
#[test]
fn pi_01_a_client_that_leaves_harms_nobody_behind_it() {
    for length in [10, 100_000, 2_000_000] {
        let left = Event::new();
        let origin = Pipelined::start({
            let left = left.clone();
            move |answering| {
                while let Some(request) = answering.next() {
                    answering.gather(3);
                    if request.target.starts_with("/leaving") {
                        left.wait("the client has left");
                        let body = "x".repeat(length);
                        answering.answer(format!(
                            "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{body}"
                        ));
                    } else {
                        answering.answer(echo(&request));
                    }
                }
            }
        });
        let hotgate = Hotgate::start(upstream(origin.port(), "8"));
        let to = hotgate.address();
        all_own(&ask(to, "before", 5));
        std::thread::scope(|scope| {
            let asked = scope.spawn(move || ask(to, "beside", 50));
            let mut client = Client::connect(to);
            client.send("GET /leaving HTTP/1.1\r\nHost: a.test\r\n\r\n");
            origin.wait_until("the request of who leaves", |lines| {
                let mut arrivals = lines.iter().flat_map(|line| &line.arrivals);
                arrivals.any(|arrival| arrival.line == "GET /leaving")
            });
            client.reset();
            left.set();
            match asked.join() {
                Ok(answers) => all_own(&answers),
                Err(payload) => std::panic::resume_unwind(payload),
            }
        });
        all_own(&ask(to, "behind", 5));
        assert_eq!(origin.connections_of("GET /leaving").len(), 1);
    }
}

#[test]
fn pi_01_clients_that_leave_at_any_time_harm_nobody() {
    let origin = Pipelined::echo();
    let hotgate = Hotgate::start(upstream(origin.port(), "8"));
    let to = hotgate.address();
    std::thread::scope(|scope| {
        for number in 0..CLIENTS {
            scope.spawn(move || {
                let mut random = Random::new(number as u64);
                let mut client = Client::connect(to);
                for n in 0..320 {
                    let target = format!("/{number}-{n}");
                    if random.in_a_thousand(400) {
                        leave(client, &target, &mut random);
                        client = Client::connect(to);
                    } else {
                        all_own(&[get(&mut client, to, target)]);
                    }
                }
            });
        }
    });
    assert!(origin.outstanding_max() >= 2, "nothing was shared");
}

/// Sends a request, or a part of it, and leaves by RST or FIN, at once or a little later.
fn leave(mut client: Client, target: &str, random: &mut Random) {
    let request = format!("GET {target} HTTP/1.1\r\nHost: a.test\r\n\r\n");
    let length = match random.in_a_thousand(100) {
        true => usize::try_from(random.below(request.len() as u64)).unwrap_or(0),
        false => request.len(),
    };
    client.try_send(&request[..length]);
    if random.in_a_thousand(700) {
        let_pass(Duration::from_micros(random.below(1500)));
    }
    if random.in_a_thousand(500) {
        client.reset();
    }
}

#[test]
fn pi_02_those_behind_a_last_answer_go_to_a_new_connection() {
    let check = |what: &'static str, head: &'static str, closes: bool| {
        let front = only_the_front_is_harmed(what, move |answering, request| {
            let length = request.target.len();
            let head = head.replace("{}", &length.to_string());
            answering.answer(format!("{head}\r\n\r\n{}", request.target));
            if closes {
                answering.half_close();
            }
        });
        // It is not harmed either.
        assert!(front.is_own(), "{what}: {front:?}");
    };
    check(
        "says close",
        "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}",
        false,
    );
    check("ends with the connection", "HTTP/1.1 200 OK", true);
    check("of 1.0", "HTTP/1.0 200 OK\r\nContent-Length: {}", false);
    check(
        "closes without a word",
        "HTTP/1.1 200 OK\r\nContent-Length: {}",
        true,
    );
}

/// An answer to nobody, in one piece with the last that somebody asked for, or behind the answers to many.
#[test]
fn pi_03_an_answer_that_nobody_asked_for_reaches_nobody() {
    const EVIL: &str = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nEVIL";
    let origin = Pipelined::start(|answering| {
        while let Some(request) = answering.next() {
            answering.gather(3);
            let is_doubled = request.target == "/doubled";
            let extra = if is_doubled { EVIL } else { "" };
            answering.answer(echo(&request) + extra);
        }
    });
    let hotgate = Hotgate::start(upstream(origin.port(), "8"));
    let to = hotgate.address();
    all_own(&ask(to, "before", 20));
    assert!(origin.outstanding_max() >= 2, "nothing was shared");
    let told = origin.say_everywhere(EVIL);
    assert!(!told.is_empty(), "no connection is kept");
    origin.wait_until("the end of the connections", |lines| {
        told.iter().all(|number| lines[*number].ended)
    });
    all_own(&ask(to, "between", 20));
    // Nobody else asks for anything meanwhile.
    all_own(&[get(&mut Client::connect(to), to, "/doubled".to_owned())]);
    let [connection] = origin.connections_of("GET /doubled")[..] else {
        panic!("it came once")
    };
    origin.wait_until("the end of the connection", |lines| lines[connection].ended);
    all_own(&ask(to, "behind", 20));
}

/// What a response-splitting app does: with one request at a time its second answer is nobody's.
#[test]
fn pi_03_without_pipelining_a_splitting_app_answers_nobody_else() {
    let origin = Pipelined::start(|answering| {
        while let Some(request) = answering.next() {
            let evil = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nEVIL";
            let is_split = request.target.starts_with("/split");
            let extra = if is_split { evil } else { "" };
            answering.answer(echo(&request) + extra);
        }
    });
    let hotgate = Hotgate::start(upstream(origin.port(), "\"off\""));
    let to = hotgate.address();
    std::thread::scope(|scope| {
        scope.spawn(move || all_own(&ask(to, "split", 30)));
        scope.spawn(move || all_own(&ask(to, "x", 30)));
    });
    assert_eq!(origin.outstanding_max(), 1);
}

#[test]
fn pi_04_a_malformed_answer_is_502_for_its_request_alone() {
    for answer in [
        "garbage\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 44\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        "HTTP/1.1 20 OK\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nX: a\rSet-Cookie: EVIL\r\nContent-Length: 2\r\n\r\nok",
    ] {
        let front = only_the_front_is_harmed(answer, move |answering, _| {
            // One that seems to be behind it is not looked at any more.
            answering.answer(format!(
                "{answer}HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nEVIL"
            ));
        });
        assert_eq!(front.status, 502, "{answer:?}: {front:?}");
    }
}

#[test]
fn pi_05_interim_answers_that_nobody_asked_for_are_502_for_their_request_alone() {
    let flood = "HTTP/1.1 103 Early Hints\r\n\r\n".repeat(2000);
    let switch =
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n";
    for (what, before) in [("a flood", flood), ("a switch", switch.to_owned())] {
        let front = only_the_front_is_harmed(what, move |answering, _| {
            let evil = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nEVIL";
            answering.answer(format!("{before}{evil}"));
        });
        assert_eq!(front.status, 502, "{what}: {front:?}");
    }
}

/// A reset instead of an answer: nobody has received anything, so everybody is asked again.
#[test]
fn a_reset_before_an_answer_is_not_seen() {
    let front = only_the_front_is_harmed("a reset", |answering, _| answering.reset());
    assert!(front.is_own(), "{front:?}");
}

/// An answer that stops in the middle is lost to its client alone: that one sees its connection end.
#[test]
fn an_answer_that_stops_in_the_middle_is_lost_to_its_client_alone() {
    let is_over = Event::new();
    let origin = Pipelined::start({
        let is_over = is_over.clone();
        move |answering| {
            while let Some(request) = answering.next() {
                answering.gather(3);
                if request.target != "/cut" {
                    answering.answer(echo(&request));
                    continue;
                }
                answering.answer("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n/cut");
                is_over.wait("the head at its client");
                return answering.half_close();
            }
        }
    });
    let hotgate = Hotgate::start(upstream(origin.port(), "8"));
    let to = hotgate.address();
    all_own(&ask(to, "before", 5));
    std::thread::scope(|scope| {
        let asked = scope.spawn(move || ask(to, "beside", 30));
        let mut client = Client::connect(to);
        client.send("GET /cut HTTP/1.1\r\nHost: a.test\r\n\r\n");
        assert_eq!(client.response_head().status, 200);
        is_over.set();
        assert_eq!(client.rest(), b"/cut");
        match asked.join() {
            Ok(answers) => all_own(&answers),
            Err(payload) => std::panic::resume_unwind(payload),
        }
    });
}

/// While one request has no answer, or one that does not end, all others get theirs, and nobody is put behind it.
///
/// `answer` begins it, if it can, holds it until the event, and ends it with `held`.
#[track_caller]
fn nobody_waits_for(what: &str, answer: impl Fn(&mut Answering, &Event) + Send + Sync + 'static) {
    let release = Event::new();
    let origin = Pipelined::start({
        let release = release.clone();
        move |answering| {
            while let Some(request) = answering.next() {
                answering.gather(3);
                if request.target == "/held" {
                    answer(answering, &release);
                } else {
                    answering.answer(echo(&request));
                }
            }
        }
    });
    let hotgate = Hotgate::start(upstream(origin.port(), "8"));
    let to = hotgate.address();
    all_own(&ask(to, "before", 30));
    assert!(origin.outstanding_max() >= 2, "nothing was shared");
    let mut client = Client::connect(to);
    std::thread::scope(|scope| {
        let asked = scope.spawn(move || ask(to, "beside", 50));
        client.send("GET /held HTTP/1.1\r\nHost: a.test\r\n\r\n");
        match asked.join() {
            Ok(answers) => all_own(&answers),
            Err(payload) => std::panic::resume_unwind(payload),
        }
    });
    let [connection] = origin.connections_of("GET /held")[..] else {
        panic!("{what}: it came once")
    };
    // Whoever stood behind it got its answer from another connection.
    let line = origin.lines().swap_remove(connection);
    let held = line.arrivals.iter().position(|one| one.line == "GET /held");
    let behind = &line.arrivals[held.expect("it came here") + 1..];
    for arrival in behind {
        let connections = origin.connections_of(&arrival.line);
        assert_eq!(connections.len(), 2, "{what}: {arrival:?}");
    }
    let count = line.count;
    all_own(&ask(to, "behind", 20));
    assert_eq!(origin.lines()[connection].count, count, "{what}");
    release.set();
    let response = client.response();
    assert_eq!(response.status, 200, "{what}");
    assert!(response.text().ends_with("held"), "{what}: {response:?}");
}

#[test]
fn nobody_waits_for_a_slow_answer() {
    const HEAD: &str = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n";
    nobody_waits_for("a slow answer", |answering, release| {
        release.wait("all others are answered");
        answering.answer(format!("{HEAD}held"));
    });
    nobody_waits_for("a slow body", |answering, release| {
        answering.send(HEAD);
        release.wait("all others are answered");
        answering.answer("held");
    });
}

/// One that goes on and on: it never stalls, so nothing but its kind says that it is nothing to stand behind.
#[test]
fn nobody_waits_for_a_stream() {
    const CHUNKED: &str = "Transfer-Encoding: chunked\r\n\r\n";
    for (what, fields) in [
        ("chunks", ""),
        ("an event stream", "Content-Type: text/event-stream\r\n"),
    ] {
        nobody_waits_for(what, move |answering, release| {
            answering.send(format!("HTTP/1.1 200 OK\r\n{fields}{CHUNKED}"));
            drip(answering, release, "2\r\nx\n\r\n");
            answering.answer("4\r\nheld\r\n0\r\n\r\n");
        });
    }
    nobody_waits_for("a large answer", |answering, release| {
        const LENGTH: usize = 200_000;
        answering.send(format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {LENGTH}\r\n\r\n"
        ));
        let sent = drip(answering, release, "x");
        answering.answer("x".repeat(LENGTH - sent - 4) + "held");
    });
}

/// Those who come when it has begun, and nobody stood behind it then.
#[test]
fn nobody_is_put_behind_a_stream_that_has_begun() {
    for fields in ["Transfer-Encoding: chunked", "Content-Length: 200000"] {
        let release = Event::new();
        let origin = Pipelined::start({
            let release = release.clone();
            move |answering| {
                while let Some(request) = answering.next() {
                    answering.gather(3);
                    if request.target != "/held" {
                        answering.answer(echo(&request));
                        continue;
                    }
                    answering.send(format!("HTTP/1.1 200 OK\r\n{fields}\r\n\r\n"));
                    // It is cut off at the end: what matters is who waits until then.
                    drip(answering, &release, "1\r\nx\r\n");
                    answering.answer("");
                    return answering.half_close();
                }
            }
        });
        let hotgate = Hotgate::start(upstream(origin.port(), "8"));
        let to = hotgate.address();
        all_own(&ask(to, "before", 30));
        let mut client = Client::connect(to);
        client.send("GET /held HTTP/1.1\r\nHost: a.test\r\n\r\n");
        assert_eq!(client.response_head().status, 200);
        all_own(&ask(to, "behind", 20));
        let [connection] = origin.connections_of("GET /held")[..] else {
            panic!("{fields}: it came once")
        };
        let line = origin.lines().swap_remove(connection);
        let last = line.arrivals.last().map(|arrival| arrival.line.as_str());
        assert_eq!(last, Some("GET /held"), "{fields}");
        release.set();
        client.rest();
    }
}

/// Sends a piece a millisecond until the event; how many octets that were.
fn drip(answering: &mut Answering, until: &Event, piece: &str) -> usize {
    let mut sent = 0;
    while !until.is_set() && answering.send(piece) {
        sent += piece.len();
        let_pass(Duration::from_millis(1));
    }
    sent
}

#[test]
fn nobody_waits_for_a_client_that_takes_nothing() {
    for length in [60_000_usize, 8 << 20] {
        let origin = Pipelined::start(move |answering| {
            while let Some(request) = answering.next() {
                answering.gather(3);
                if request.target == "/large" {
                    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n");
                    answering.answer(head + &"x".repeat(length));
                } else {
                    answering.answer(echo(&request));
                }
            }
        });
        let hotgate = Hotgate::start(upstream(origin.port(), "8"));
        let to = hotgate.address();
        all_own(&ask(to, "before", 10));
        let mut client = Client::with_small_window(to);
        std::thread::scope(|scope| {
            let asked = scope.spawn(move || ask(to, "beside", 40));
            client.send("GET /large HTTP/1.1\r\nHost: a.test\r\n\r\n");
            match asked.join() {
                Ok(answers) => all_own(&answers),
                Err(payload) => std::panic::resume_unwind(payload),
            }
        });
        all_own(&ask(to, "behind", 10));
        assert_eq!(client.response().body.len(), length);
    }
}

/// How many requests the tests of PI-06 make together.
fn soak_requests() -> u64 {
    let given = std::env::var("PIPELINE_REQUESTS").ok();
    given.map_or(20_000, |text| {
        text.parse().expect("PIPELINE_REQUESTS is a number")
    })
}

/// PI-06, with clients that leave and an origin that fails in all ways but the one that nobody could see: a second
/// answer while another request waits for its own.
#[test]
fn pi_06_with_auto_no_answer_is_ever_somebody_elses() {
    soak("\"auto\"", soak_requests() / 2);
}

#[test]
fn pi_06_with_a_depth_no_answer_is_ever_somebody_elses() {
    let outstanding_max = soak("8", soak_requests() / 2);
    assert!(outstanding_max >= 2, "nothing was shared");
}

/// The most requests that were ever outstanding on one connection.
fn soak(pipeline: &str, requests: u64) -> usize {
    let seeds = AtomicU64::new(1);
    let origin = Pipelined::start(move |answering| {
        let mut random = Random::new(seeds.fetch_add(1, Ordering::Relaxed));
        while let Some(request) = answering.next() {
            if random.in_a_thousand(100) {
                let_pass(Duration::from_micros(random.below(1000)));
            }
            if !random.in_a_thousand(4) {
                answering.answer(echo(&request));
                continue;
            }
            match random.below(4) {
                0 => answering.reset(),
                1 => drop(answering.answer("garbage\r\n\r\n")),
                2 => answering.half_close(),
                _ => {
                    let head = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: ";
                    let target = &request.target;
                    answering.answer(format!("{head}{}\r\n\r\n{target}", target.len()));
                }
            }
            return;
        }
    });
    let hotgate = Hotgate::start(upstream(origin.port(), pipeline));
    let to = hotgate.address();
    let (asked, answered, failed) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for number in 0..CLIENTS {
            let (asked, answered, failed) = (&asked, &answered, &failed);
            scope.spawn(move || {
                let mut random = Random::new(1000 + number as u64);
                let mut client = Client::connect(to);
                loop {
                    let n = asked.fetch_add(1, Ordering::Relaxed);
                    if n >= requests {
                        return;
                    }
                    let target = format!("/{number}-{n}");
                    if random.in_a_thousand(20) {
                        leave(client, &target, &mut random);
                        client = Client::connect(to);
                        continue;
                    }
                    let answer = get(&mut client, to, target);
                    match answer.status {
                        502 => failed.fetch_add(1, Ordering::Relaxed),
                        _ => answered.fetch_add(1, Ordering::Relaxed),
                    };
                    assert!(answer.status == 502 || answer.is_own(), "{answer:?}");
                }
            });
        }
    });
    let (answered, failed) = (answered.into_inner(), failed.into_inner());
    let outstanding_max = origin.outstanding_max();
    let connections = origin.lines().len();
    println!(
        "pipeline {pipeline}: {answered} answers, {failed} times 502, {connections} connections, \
         at most {outstanding_max} outstanding"
    );
    assert!(
        answered > failed * 10,
        "{answered} answers, {failed} times 502"
    );
    outstanding_max
}
