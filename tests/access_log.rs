//! The access log as it is found in its file: a line for whatever happened, in both formats.

mod support;

use std::{fs, path::Path};

use rustix::process::Signal;
use serde_json::Value;

use support::{
    Client, Config, Origin,
    hotgate::{Folder, free_port},
    poll_until, site,
};

/// Waits until the file has `count` lines, and returns them.
#[track_caller]
fn lines(path: &Path, count: usize) -> Vec<String> {
    poll_until(&format!("{count} lines in the access log"), || {
        let text = fs::read_to_string(path).ok()?;
        (text.lines().count() >= count && text.ends_with('\n'))
            .then(|| text.lines().map(str::to_owned).collect())
    })
}

#[track_caller]
fn json_lines(path: &Path, count: usize) -> Vec<Value> {
    lines(path, count)
        .iter()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect()
}

#[test]
fn an_exchange_is_one_line_in_caddys_layout_and_ours() {
    let folder = Folder::new();
    let path = folder.path().join("access.log");
    let origin = Origin::answering(
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello",
    );
    let hotgate = Config::new(site(origin.port()))
        .access_log(&path, "json")
        .start();
    let mut client = Client::connect(hotgate.address());
    client.ask(
        "POST /x?y=z HTTP/1.1\r\nHost: a.test\r\nUser-Agent: test/1\r\nReferer: http://r/\r\nCookie: s=secret\r\n\
         Authorization: Basic secret\r\nContent-Length: 3\r\n\r\nabc",
    );
    let line = &json_lines(&path, 1)[0];
    let request = &line["request"];
    assert_eq!(
        (&request["remote_ip"], &request["client_ip"]),
        (&"127.0.0.1".into(), &"127.0.0.1".into())
    );
    assert_eq!(request["remote_port"], client.address().port().to_string());
    assert_eq!(
        (&request["proto"], &request["method"]),
        (&"HTTP/1.1".into(), &"POST".into())
    );
    assert_eq!(
        (&request["host"], &request["uri"]),
        (&"a.test".into(), &"/x?y=z".into())
    );
    assert_eq!(request["headers"]["User-Agent"][0], "test/1");
    assert_eq!(
        (&line["status"], &line["size"], &line["bytes_read"]),
        (&200.into(), &5.into(), &3.into())
    );
    assert_eq!(
        (&line["level"], &line["logger"], &line["msg"]),
        (
            &"info".into(),
            &"http.log.access".into(),
            &"handled request".into()
        )
    );
    assert!(
        line["duration"]
            .as_f64()
            .is_some_and(|seconds| seconds > 0.0 && seconds < 20.0),
        "{line}"
    );
    assert!(
        line["upstream_duration"].as_f64() <= line["duration"].as_f64(),
        "{line}"
    );
    assert!(
        line["ts"].as_f64().is_some_and(|seconds| seconds > 1.7e9),
        "{line}"
    );
    assert_eq!(
        (&line["site"], &line["reason"], &line["worker"]),
        (&"http://a.test".into(), &"".into(), &0.into())
    );
    assert_eq!(line["upstream"], format!("127.0.0.1:{}", origin.port()));
    assert!(
        line["id"].as_str().is_some_and(|id| !id.is_empty()),
        "{line}"
    );
    assert!(!line.to_string().contains("secret"), "{line}");
}

#[test]
fn combined_is_nginxs_line() {
    let folder = Folder::new();
    let path = folder.path().join("access.log");
    let origin = Origin::answering("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
    let hotgate = Config::new(site(origin.port()))
        .access_log(&path, "combined")
        .start();
    let mut client = Client::connect(hotgate.address());
    client.ask("GET /x?y HTTP/1.1\r\nHost: a.test\r\nUser-Agent: a \"quoted\" one\r\nReferer: http://r/é\r\n\r\n");
    client.ask("HEAD / HTTP/1.1\r\nHost: a.test\r\n\r\n");
    let found = lines(&path, 2);
    let (before, rest) = found[0].split_once(" [").expect("a time in brackets");
    let (time, after) = rest.split_once("] ").expect("a time in brackets");
    assert_eq!(before, "127.0.0.1 - -");
    let shape: String = time
        .chars()
        .map(|c| {
            if c.is_ascii_digit() {
                '9'
            } else if c.is_ascii_alphabetic() {
                'a'
            } else {
                c
            }
        })
        .collect();
    assert!(shape == "99/aaa/9999:99:99:99 +9999", "{time}");
    assert_eq!(
        after,
        "\"GET /x?y HTTP/1.1\" 200 5 \"http://r/\\xC3\\xA9\" \"a \\x22quoted\\x22 one\""
    );
    assert!(
        found[1].ends_with("] \"HEAD / HTTP/1.1\" 200 0 \"-\" \"-\""),
        "{}",
        found[1]
    );
}

#[test]
fn a_hostile_client_cannot_break_a_line() {
    let hostile: &[u8] = b"GET /\"\\ HTTP/1.1\r\nHost: a.test\r\nUser-Agent: \x80\xff\t\"}\\n\r\nReferer: \xe2\x80\xa8\r\n\r\n";
    for format in ["json", "combined"] {
        let folder = Folder::new();
        let path = folder.path().join("access.log");
        let origin = Origin::echo();
        let hotgate = Config::new(site(origin.port()))
            .access_log(&path, format)
            .start();
        let mut client = Client::connect(hotgate.address());
        for _ in 0..3 {
            client.send(hostile);
            // Whether the target is refused is not the point here.
            if client.response().status == 400 {
                client = Client::connect(hotgate.address());
            }
        }
        let found = lines(&path, 3);
        assert_eq!(found.len(), 3);
        for line in found {
            assert!(
                line.chars().all(|c| !c.is_control() && c != '\u{2028}'),
                "{line:?}"
            );
            assert!(
                format == "combined" || serde_json::from_str::<Value>(&line).is_ok(),
                "{line}"
            );
        }
    }
}

#[test]
fn whatever_hotgate_answers_itself_has_its_reason() {
    let folder = Folder::new();
    let path = folder.path().join("access.log");
    let origin = Origin::start(|connection| {
        while let Some(request) = connection.read_request() {
            match request.target.as_str() {
                "/garbage" => {
                    connection.send("garbage\r\n\r\n");
                }
                "/gone" => return connection.close(),
                "/late" => {}
                _ => {
                    connection.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
                }
            }
        }
    });
    let hotgate = Config::new(format!(
        "[sites.\"http://a.test\"]\nto = {0}\ntimeouts.response = \"1s\"\nlimits.body = \"1KiB\"\n\
         [sites.\"http://a.test\".paths]\n\"/admin\" = {{ to = {0}, allow = [\"10.9.9.9/32\"] }}\n\
         [sites.\"http://paths.test\".paths]\n\"/x\" = {0}\n\
         [sites]\n\"http://dead.test\" = {1}\n\"http://lost.test\" = \"no-such-host.invalid:1\"\n",
        origin.port(),
        free_port()
    ))
    .access_log(&path, "json")
    .start();
    let cases: &[(&str, u16, &str)] = &[
        ("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n", 200, ""),
        (
            "GET / HTTP/1.1\r\nHost: none.test\r\n\r\n",
            421,
            "unknown_host",
        ),
        (
            "GET / HTTP/1.1\r\nHost: dead.test\r\n\r\n",
            502,
            "connect_refused",
        ),
        (
            "GET / HTTP/1.1\r\nHost: lost.test\r\n\r\n",
            503,
            "no_upstream",
        ),
        (
            "GET / HTTP/1.1\r\nHost: paths.test\r\n\r\n",
            404,
            "no_route",
        ),
        (
            "GET / HTTP/1.1\nHost: a.test\n\n",
            400,
            "bad_request:bare_lf",
        ),
        (
            "GET /admin HTTP/1.1\r\nHost: a.test\r\n\r\n",
            403,
            "address_forbidden",
        ),
        (
            "GET //admin HTTP/1.1\r\nHost: a.test\r\n\r\n",
            400,
            "ambiguous_path",
        ),
        (
            "POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 1025\r\n\r\n",
            413,
            "body_too_large",
        ),
        (
            "TRACE / HTTP/1.1\r\nHost: a.test\r\n\r\n",
            405,
            "method_refused",
        ),
        (
            "POST / HTTP/1.1\r\nHost: a.test\r\nExpect: tea\r\nContent-Length: 1\r\n\r\nx",
            417,
            "expectation_failed",
        ),
        (
            "GET /garbage HTTP/1.1\r\nHost: a.test\r\n\r\n",
            502,
            "bad_response",
        ),
        (
            "GET /gone HTTP/1.1\r\nHost: a.test\r\n\r\n",
            502,
            "upstream_closed",
        ),
        (
            "GET /late HTTP/1.1\r\nHost: a.test\r\n\r\n",
            504,
            "upstream_timeout",
        ),
    ];
    for (request, status, reason) in cases {
        assert_eq!(
            Client::connect(hotgate.address()).ask(request).status,
            *status,
            "{reason}"
        );
    }
    let found = json_lines(&path, cases.len());
    assert_eq!(found.len(), cases.len(), "one line an exchange");
    for (line, (request, status, reason)) in found.iter().zip(cases) {
        let said = line["reason"].as_str().unwrap_or_default();
        let is_it =
            said == *reason || (!reason.is_empty() && said.starts_with(&format!("{reason}:")));
        assert!(
            is_it && line["status"] == *status,
            "{request:?}: due is {status} {reason}: {line}"
        );
    }
}

#[test]
fn a_client_that_leaves_is_in_the_log_too() {
    let folder = Folder::new();
    let path = folder.path().join("access.log");
    let origin = Origin::start(|connection| {
        connection.read_request();
    });
    let hotgate = Config::new(site(origin.port()))
        .access_log(&path, "json")
        .start();
    let mut client = Client::connect(hotgate.address());
    client.send("GET /left HTTP/1.1\r\nHost: a.test\r\n\r\n");
    origin.wait_until("the request", |records| {
        records.iter().any(|record| !record.bytes.is_empty())
    });
    client.reset();
    let line = &json_lines(&path, 1)[0];
    assert_eq!(line["request"]["uri"], "/left");
    assert!(
        line["reason"]
            .as_str()
            .is_some_and(|reason| reason.starts_with("client_")),
        "{line}"
    );
}

#[test]
fn secrets_in_queries_are_left_out_where_told() {
    let folder = Folder::new();
    let path = folder.path().join("access.log");
    let origin = Origin::echo();
    let hotgate = Config::new(site(origin.port()))
        .access_log(&path, "json")
        .access("redact = [\"query:token\"]")
        .start();
    let mut client = Client::connect(hotgate.address());
    assert_eq!(
        client.get("/x?a=1&token=hunter2&b=2").text(),
        "/x?a=1&token=hunter2&b=2"
    );
    let line = &lines(&path, 1)[0];
    assert!(
        !line.contains("hunter2") && line.contains("a=1") && line.contains("b=2"),
        "{line}"
    );
}

#[test]
fn a_site_may_keep_out_of_the_log() {
    let folder = Folder::new();
    let path = folder.path().join("access.log");
    let origin = Origin::echo();
    let hotgate = Config::new(format!(
        "[sites]\n\"http://a.test\" = {0}\n\"http://quiet.test\" = {{ to = {0}, log = false }}\n",
        origin.port()
    ))
    .access_log(&path, "json")
    .start();
    let mut client = Client::connect(hotgate.address());
    client.ask("GET /quiet HTTP/1.1\r\nHost: quiet.test\r\n\r\n");
    client.get("/loud");
    assert_eq!(json_lines(&path, 1)[0]["request"]["uri"], "/loud");
}

#[test]
fn a_log_that_was_moved_away_is_opened_anew() {
    let folder = Folder::new();
    let path = folder.path().join("access.log");
    let origin = Origin::echo();
    let hotgate = Config::new(site(origin.port()))
        .access_log(&path, "json")
        .start();
    let mut client = Client::connect(hotgate.address());
    assert_eq!(client.get("/before").status, 200);
    assert_eq!(json_lines(&path, 1)[0]["request"]["uri"], "/before");
    let moved = folder.path().join("access.log.1");
    std::fs::rename(&path, &moved).expect("both in one folder");
    hotgate.signal(Signal::USR1);
    hotgate.wait_for_line("access log reopened");
    poll_until("the new file", || path.exists().then_some(()));
    assert_eq!(client.get("/after").status, 200);
    assert_eq!(json_lines(&path, 1)[0]["request"]["uri"], "/after");
    assert_eq!(json_lines(&moved, 1).len(), 1);
}

#[test]
fn every_line_is_written_before_the_process_ends() {
    const EXCHANGES: usize = 3000;
    let folder = Folder::new();
    let path = folder.path().join("access.log");
    let origin = Origin::echo();
    let mut hotgate = Config::new(site(origin.port()))
        .workers(2)
        .access_log(&path, "json")
        .start();
    let mut clients = [
        Client::connect(hotgate.address()),
        Client::connect(hotgate.address()),
    ];
    for n in 0..EXCHANGES {
        assert_eq!(clients[n % 2].get(&format!("/{n}")).status, 200);
    }
    hotgate.signal(Signal::TERM);
    assert_eq!(hotgate.wait_exit().code(), Some(0));
    let mut seen: Vec<usize> = json_lines(&path, EXCHANGES)
        .iter()
        .map(|line| {
            line["request"]["uri"]
                .as_str()
                .and_then(|uri| uri[1..].parse().ok())
                .expect("our own target")
        })
        .collect();
    seen.sort_unstable();
    assert_eq!(seen, (0..EXCHANGES).collect::<Vec<_>>());
}
