//! One exchange as the client sees it: bodies, interim responses, HTTP/1.0, early ends.
//!
//! Time limits, size limits and backpressure stand in `limits.rs`.

mod support;

use support::{Client, Config, Event, Hotgate, Origin, message, site};

#[test]
fn serves_requests_one_after_another_on_one_connection() {
    let origin = Origin::echo();
    let hotgate = Hotgate::start(site(origin.port()));
    let mut client = Client::connect(hotgate.address());
    for target in ["/a", "/b?c=d", "/e"] {
        assert_eq!(client.get(target).text(), target);
    }
    assert_eq!(origin.connections(), 1);
}

#[test]
fn answers_pipelined_requests_in_their_order() {
    let origin = Origin::echo();
    let hotgate = Hotgate::start(site(origin.port()));
    let mut client = Client::connect(hotgate.address());
    let requests: String = (0..50)
        .map(|n| format!("GET /{n} HTTP/1.1\r\nHost: a.test\r\n\r\n"))
        .collect();
    client.send(requests);
    for n in 0..50 {
        assert_eq!(client.response().text(), format!("/{n}"));
    }
}

#[test]
fn requests_on_one_connection_equal_the_same_on_their_own_at_every_cut() {
    const REQUESTS: &[&str] = &[
        "GET /1 HTTP/1.1\r\nHost: a.test\r\n\r\n",
        "POST /2 HTTP/1.1\r\nHost: a.test\r\nContent-Length: 5\r\n\r\nhello",
        "POST /3 HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n2\r\nde\r\n0\r\nT: 1\r\n\r\n",
        "GET /4 HTTP/1.1\r\nHost: a.test\r\nContent-Length: 2\r\n\r\nhi",
        "DELETE /5 HTTP/1.1\r\nhost: a.test\r\n\r\n",
    ];
    let origin = Origin::mirror();
    let hotgate = Hotgate::start(site(origin.port()));
    let alone: Vec<String> = REQUESTS
        .iter()
        .map(|request| Client::connect(hotgate.address()).ask(request).text())
        .collect();
    let together = REQUESTS.concat();
    for cut in 1..together.len() {
        let mut client = Client::connect(hotgate.address());
        let (front, back) = together.as_bytes().split_at(cut);
        client.send_pieces(&[front, back]);
        let answers: Vec<String> = REQUESTS.iter().map(|_| client.response().text()).collect();
        assert_eq!(answers, alone, "cut at {cut}");
    }
}

#[test]
fn bodies_of_known_length_and_chunked_ones_pass_unchanged() {
    let origin = Origin::mirror();
    let hotgate = Hotgate::start(site(origin.port()));
    let mut client = Client::connect(hotgate.address());
    for size in [0, 1, 1000, 16 * 1024 - 1, 64 * 1024, 64 * 1024 + 1, 600_000] {
        let body: String = (0..size)
            .map(|n| char::from(b'a' + (n % 23) as u8))
            .collect();
        let length =
            format!("POST /x HTTP/1.1\r\nHost: a.test\r\nContent-Length: {size}\r\n\r\n{body}");
        assert!(
            client.ask(&length).text() == format!("POST /x {body}"),
            "{size} octets by length"
        );
        let mut chunked =
            "POST /x HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n".to_owned();
        for piece in body.as_bytes().chunks(7919) {
            chunked += &format!(
                "{:X}\r\n{}\r\n",
                piece.len(),
                String::from_utf8_lossy(piece)
            );
        }
        chunked += "0\r\n\r\n";
        assert!(
            client.ask(&chunked).text() == format!("POST /x {body}"),
            "{size} octets in chunks"
        );
    }
}

#[test]
fn a_chunked_response_passes_chunk_by_chunk_at_once() {
    let go = Event::new();
    let origin = Origin::start({
        let go = go.clone();
        move |connection| {
            connection.read_request();
            connection.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nfirst;\r\n");
            go.wait("the client to have the first chunk");
            connection.send("6\r\nsecond\r\n0\r\n\r\n");
        }
    });
    let hotgate = Hotgate::start(site(origin.port()));
    let mut client = Client::connect(hotgate.address());
    client.send("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n");
    assert_eq!(
        client.response_head().field("transfer-encoding"),
        Some("chunked")
    );
    assert_eq!(client.read_exactly(11), b"6\r\nfirst;\r\n");
    go.set();
    assert_eq!(client.read_exactly(16), b"6\r\nsecond\r\n0\r\n\r\n");
}

#[test]
fn a_head_request_gets_the_fields_and_no_content() {
    let origin = Origin::start(|connection| {
        while let Some(request) = connection.read_request() {
            connection.send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n");
            if request.method != "HEAD" {
                connection.send("hello");
            }
        }
    });
    let hotgate = Hotgate::start(site(origin.port()));
    let mut client = Client::connect(hotgate.address());
    let response = client.ask("HEAD / HTTP/1.1\r\nHost: a.test\r\n\r\n");
    assert_eq!(
        (response.status, response.field("content-length")),
        (200, Some("5"))
    );
    assert_eq!(client.get("/").text(), "hello");
    assert_eq!(origin.connections(), 1);
}

#[test]
fn no_content_and_not_modified_have_no_body_and_keep_the_connection() {
    let origin = Origin::start(|connection| {
        while let Some(request) = connection.read_request() {
            connection.send(match request.target.as_str() {
                "/204" => "HTTP/1.1 204 No Content\r\nX-A: 1\r\n\r\n",
                "/304" => "HTTP/1.1 304 Not Modified\r\nETag: \"e\"\r\nContent-Length: 77\r\n\r\n",
                _ => "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
            });
        }
    });
    let hotgate = Hotgate::start(site(origin.port()));
    let mut client = Client::connect(hotgate.address());
    let no_content = client.get("/204");
    assert_eq!(
        (no_content.status, no_content.field("x-a")),
        (204, Some("1"))
    );
    assert!(
        !no_content.fields.has("content-length") && !no_content.fields.has("transfer-encoding")
    );
    let not_modified = client.get("/304");
    assert_eq!(
        (not_modified.status, not_modified.field("etag")),
        (304, Some("\"e\""))
    );
    assert_eq!(client.get("/200").text(), "ok");
    assert_eq!(origin.connections(), 1);
}

#[test]
fn early_hints_reach_a_client_of_1_1_and_not_one_of_1_0() {
    let origin = Origin::answering(
        "HTTP/1.1 103 Early Hints\r\nLink: </x.css>; rel=preload\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    );
    let hotgate = Hotgate::start(site(origin.port()));
    let mut client = Client::connect(hotgate.address());
    client.send("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n");
    let hints = client.any_response();
    assert_eq!(
        (hints.status, hints.field("link")),
        (103, Some("</x.css>; rel=preload"))
    );
    assert_eq!(client.any_response().text(), "ok");
    let mut old = Client::connect(hotgate.address());
    old.send("GET / HTTP/1.0\r\nHost: a.test\r\n\r\n");
    assert_eq!(old.any_response().status, 200);
}

#[test]
fn an_expectation_is_answered_here_and_not_passed_on() {
    // Below request_buffer, where no upstream connection is taken yet, and above it.
    for size in [5, 200_000] {
        let origin = Origin::mirror();
        let hotgate = Hotgate::start(site(origin.port()));
        let mut client = Client::connect(hotgate.address());
        client.send(format!("POST /x HTTP/1.1\r\nHost: a.test\r\nExpect: 100-continue\r\nContent-Length: {size}\r\n\r\n"));
        assert_eq!(client.any_response().status, 100, "{size}");
        client.send("b".repeat(size));
        let response = client.any_response();
        assert_eq!(
            (response.status, response.body.len()),
            (200, "POST /x ".len() + size)
        );
        hotgate.stop();
        assert!(!origin.finish()[0].requests()[0].fields.has("expect"));
    }
}

#[test]
fn a_client_that_does_not_wait_for_100_continue_is_served_too() {
    let origin = Origin::mirror();
    let hotgate = Hotgate::start(site(origin.port()));
    let mut client = Client::connect(hotgate.address());
    let response = client.ask("POST /x HTTP/1.1\r\nHost: a.test\r\nExpect: 100-Continue\r\nContent-Length: 5\r\n\r\nhello");
    assert_eq!(response.text(), "POST /x hello");
    assert_eq!(client.get("/next").text(), "GET /next ");
}

#[test]
fn a_client_of_1_0_gets_its_answer_and_the_close() {
    let origin = Origin::start(|connection| {
        while connection.read_request().is_some() {
            connection.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n1\r\n!\r\n0\r\n\r\n");
        }
    });
    let hotgate = Hotgate::start(site(origin.port()));
    for connection in ["", "Connection: keep-alive\r\n"] {
        let mut client = Client::connect(hotgate.address());
        client.send(format!(
            "GET / HTTP/1.0\r\nHost: a.test\r\n{connection}\r\n"
        ));
        let response = client.response_head();
        assert!(
            !response.fields.has("transfer-encoding"),
            "{:?}",
            response.fields
        );
        assert_eq!(client.rest(), b"hello!");
    }
    hotgate.stop();
    // To the origin hotgate speaks 1.1, whatever the client does (RFC 9110 §2.5).
    assert!(
        origin.finish()[0]
            .requests()
            .iter()
            .all(|request| request.version == "HTTP/1.1")
    );
}

#[test]
fn a_response_that_ends_with_its_connection_is_chunked_for_a_client_of_1_1() {
    let origin = Origin::start(|connection| {
        connection.read_request();
        connection.send("HTTP/1.1 200 OK\r\n\r\nuntil the end");
        connection.close();
    });
    let hotgate = Hotgate::start(site(origin.port()));
    let mut client = Client::connect(hotgate.address());
    let response = client.get("/");
    assert_eq!(
        (
            response.text().as_str(),
            response.field("transfer-encoding")
        ),
        ("until the end", Some("chunked"))
    );
    assert_eq!(client.get("/again").text(), "until the end");
    assert_eq!(origin.connections(), 2);
}

#[test]
fn connection_close_from_the_client_is_honoured() {
    let origin = Origin::echo();
    let hotgate = Hotgate::start(site(origin.port()));
    let mut client = Client::connect(hotgate.address());
    let response = client.ask("GET /x HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n");
    assert!(response.says_close());
    client.expect_close();
    // It is the client's connection that closes, not the one to the origin.
    assert_eq!(Client::connect(hotgate.address()).get("/y").text(), "/y");
    assert_eq!(origin.connections(), 1);
}

#[test]
fn an_early_answer_reaches_the_client_and_ends_the_upstream_connection() {
    let origin = Origin::start(|connection| {
        if connection
            .read_head()
            .is_some_and(|request| request.target == "/upload")
        {
            connection.send("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno");
        } else {
            connection.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        }
    });
    let hotgate = Hotgate::start(site(origin.port()));
    let mut client = Client::connect(hotgate.address());
    client.send(format!(
        "POST /upload HTTP/1.1\r\nHost: a.test\r\nContent-Length: 1000000\r\n\r\n{}",
        "b".repeat(70_000)
    ));
    assert_eq!(client.response().status, 403);
    origin.wait_until("the end of the upload's connection", |records| {
        records[0].ended
    });
    assert_eq!(Client::connect(hotgate.address()).get("/next").text(), "ok");
    assert_eq!(origin.connections(), 2);
}

#[test]
fn a_client_that_half_closes_after_its_request_gets_the_whole_response() {
    let go = Event::new();
    let origin = Origin::start({
        let go = go.clone();
        move |connection| {
            while let Some(request) = connection.read_request() {
                if request.target == "/slow" {
                    go.wait("the end of the client's side");
                }
                connection.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
            }
        }
    });
    let hotgate = Hotgate::start(site(origin.port()));
    let mut client = Client::connect(hotgate.address());
    client.send("GET /slow HTTP/1.1\r\nHost: a.test\r\n\r\n");
    client.half_close();
    // The one worker has seen the FIN when it has served somebody who came later.
    assert_eq!(
        Client::connect(hotgate.address()).get("/other").text(),
        "ok"
    );
    go.set();
    assert_eq!(client.response().text(), "ok");
    client.expect_close();
}

#[test]
fn a_client_that_resets_while_the_app_works_ends_the_upstream_request() {
    let is_asked = Event::new();
    let origin = Origin::start({
        let is_asked = is_asked.clone();
        move |connection| {
            connection.read_head();
            is_asked.set();
        }
    });
    let hotgate = Hotgate::start(site(origin.port()));
    let mut client = Client::connect(hotgate.address());
    client.send("GET /report HTTP/1.1\r\nHost: a.test\r\n\r\n");
    is_asked.wait("the request at the origin");
    client.reset();
    origin.wait_until("the end of the abandoned request", |records| {
        records[0].ended
    });
}

#[test]
fn a_client_that_leaves_inside_its_body_leaves_no_whole_request_behind() {
    for framing in ["Content-Length: 1000000", "Transfer-Encoding: chunked"] {
        let is_asked = Event::new();
        let origin = Origin::start({
            let is_asked = is_asked.clone();
            move |connection| {
                connection.read_head();
                is_asked.set();
            }
        });
        let hotgate = Hotgate::start(site(origin.port()));
        let mut client = Client::connect(hotgate.address());
        client.send(format!(
            "POST / HTTP/1.1\r\nHost: a.test\r\n{framing}\r\n\r\n"
        ));
        for _ in 0..4 {
            client.send(format!("8000\r\n{}\r\n", "b".repeat(0x8000)));
        }
        is_asked.wait("the request at the origin");
        client.half_close();
        drop(client);
        origin.wait_until("the end of the abandoned upload", |records| {
            records[0].ended
        });
        let (whole, _) =
            message::requests(&origin.records()[0].bytes).expect("the start of a request");
        assert!(
            whole.is_empty(),
            "{framing}: the origin took the upload for complete"
        );
    }
}

#[test]
fn a_refused_client_still_reads_why_while_it_goes_on_sending() {
    let origin = Origin::echo();
    let hotgate = Hotgate::start(site(origin.port()));
    let mut client = Client::connect(hotgate.address());
    client.send("GET / HTTP/1.1\nHost: a.test\r\n\r\n");
    for _ in 0..12 {
        client.try_send("x".repeat(4096));
    }
    let response = client.response();
    assert_eq!(response.status, 400);
    assert!(response.says_close());
    client.expect_close();
    assert_eq!(origin.connections(), 0);
}

#[test]
fn trailer_sections_end_here_in_both_directions() {
    let origin = Origin::start(|connection| {
        while connection.read_request().is_some() {
            connection.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-Evil: 1\r\n\r\n");
        }
    });
    let hotgate = Hotgate::start(site(origin.port()));
    let mut client = Client::connect(hotgate.address());
    // The tests' own reader refuses any trailer section, on both sides.
    for _ in 0..2 {
        let response =
            client.ask("POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nX-T: 1\r\n\r\n");
        assert_eq!(response.text(), "ok");
    }
    hotgate.stop();
    let records = origin.finish();
    assert_eq!(records.len(), 1);
    assert_eq!(
        records[0]
            .requests()
            .iter()
            .map(|request| request.body.clone())
            .collect::<Vec<_>>(),
        [b"hi", b"hi"]
    );
}

#[test]
fn any_method_token_passes_except_connect_and_trace() {
    let origin = Origin::mirror();
    let hotgate = Hotgate::start(site(origin.port()));
    let mut client = Client::connect(hotgate.address());
    for method in ["PROPFIND", "REPORT", "PATCH", "x-odd!"] {
        assert_eq!(
            client
                .ask(&format!("{method} /d HTTP/1.1\r\nHost: a.test\r\n\r\n"))
                .text(),
            format!("{method} /d ")
        );
    }
    assert_eq!(
        client
            .ask("OPTIONS * HTTP/1.1\r\nHost: a.test\r\n\r\n")
            .text(),
        "OPTIONS * "
    );
    let refused = client.ask("TRACE / HTTP/1.1\r\nHost: a.test\r\n\r\n");
    assert_eq!((refused.status, refused.says_close()), (405, true));
    client.expect_close();
}

#[test]
fn errors_made_here_are_short_say_no_address_and_follow_accept() {
    let port = support::hotgate::free_port();
    let hotgate = Config::new(site(port)).start();
    let mut client = Client::connect(hotgate.address());
    let page = client.get("/");
    assert_eq!(page.status, 502);
    assert!(
        !page.text().contains(&port.to_string()) && !page.text().contains("127.0.0.1"),
        "{}",
        page.text()
    );
    assert_eq!(page.field("x-content-type-options"), Some("nosniff"));
    let json = client.ask("GET / HTTP/1.1\r\nHost: a.test\r\nAccept: application/json\r\n\r\n");
    assert_eq!(json.status, 502);
    assert!(
        json.field("content-type")
            .is_some_and(|value| value.starts_with("application/json")),
        "{:?}",
        json.fields
    );
    serde_json::from_slice::<serde_json::Value>(&json.body).expect("a JSON body");
}
