//! Real apps behind hotgate, real clients before it.
//!
//! `tests/run.sh` installs what these need under `target/`; where something is absent a test says so and is skipped.
//! The apps' and clients' sources stand in `tests/apps/`.

mod support;

use std::{
    io::Write as _,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use support::{
    App, Client, Hotgate,
    app::{self, curl, express, flask, python_command, redis, succeeds},
    hotgate::{Folder, free_port},
    let_pass,
};

/// The FastAPI app, which is to show what hotgate tells it, not what uvicorn makes of that.
fn fastapi(port: u16) -> Result<App, String> {
    app::fastapi(port, &["--no-proxy-headers"])
}

#[test]
fn fastapi_and_httpx_exchange_json_in_all_framings() {
    let port = free_port();
    let _app = or_skip!(fastapi(port));
    let hotgate = Hotgate::start(format!("[sites]\n\"http://fastapi.test\" = {port}\n"));
    succeeds(
        or_skip!(python_command("python")),
        "client_httpx.py",
        &hotgate,
    );
}

#[test]
fn fastapis_events_come_at_once() {
    let port = free_port();
    let _app = or_skip!(fastapi(port));
    let hotgate = Hotgate::start(format!("[sites]\n\"http://fastapi.test\" = {port}\n"));
    succeeds(
        or_skip!(python_command("python")),
        "client_events.py",
        &hotgate,
    );
}

#[test]
fn a_websocket_to_fastapi_carries_texts_binaries_pings_and_closes() {
    let port = free_port();
    let _app = or_skip!(fastapi(port));
    let hotgate = Hotgate::start(format!("[sites]\n\"http://fastapi.test\" = {port}\n"));
    succeeds(
        or_skip!(python_command("python")),
        "client_websockets.py",
        &hotgate,
    );
}

#[test]
fn flask_counts_in_redis_for_curl() {
    let (port, folder) = (free_port(), Folder::new());
    let socket = folder.path().join("redis.sock");
    let _redis = or_skip!(redis(&socket));
    let _app = or_skip!(flask(
        port,
        Some(&socket),
        &["-w", "2", "-k", "gthread", "--threads", "4"]
    ));
    let hotgate = Hotgate::start(format!("[sites]\n\"http://flask.test\" = {port}\n"));
    for visit in 1..=20 {
        let text = app::run(or_skip!(curl(&hotgate, "flask.test", "/count")));
        let told: serde_json::Value = serde_json::from_str(&text).expect("the app answers JSON");
        assert_eq!(
            (&told["count"], &told["client"]),
            (&visit.into(), &"127.0.0.1".into()),
            "{text}"
        );
    }
}

#[test]
fn curl_sends_and_receives_in_every_way_it_has() {
    let port = free_port();
    let _app = or_skip!(flask(
        port,
        None,
        &["-w", "1", "-k", "gthread", "--threads", "4"]
    ));
    let hotgate = Hotgate::start(format!("[sites]\n\"http://flask.test\" = {port}\n"));
    let folder = Folder::new();
    let file = folder.path().join("upload");
    let body: String = (0..3_000_000)
        .map(|n| char::from(b'a' + (n % 26) as u8))
        .collect();
    std::fs::File::create(&file)
        .and_then(|mut file| file.write_all(body.as_bytes()))
        .expect("a file to upload");
    let upload = format!("@{}", file.display());
    // Of 3 MB: curl asks with `Expect: 100-continue` first. From stdin: chunked. And as a client of 1.0.
    for arguments in [
        &["--data-binary", &upload][..],
        &["--data-binary", &upload, "-H", "Transfer-Encoding: chunked"],
        &["--data-binary", &upload, "--http1.0"],
        &["--data-binary", &upload, "-H", "Expect:"],
    ] {
        let mut command = or_skip!(curl(&hotgate, "flask.test", "/echo"));
        command.args(arguments);
        assert!(app::run(command) == body, "{arguments:?}");
    }
    let mut head = or_skip!(curl(&hotgate, "flask.test", "/large"));
    head.arg("--head");
    assert!(
        app::run(head)
            .to_lowercase()
            .contains("content-length: 200000")
    );
    // Two requests on one connection, one of them a HEAD.
    let mut two = or_skip!(curl(&hotgate, "flask.test", "/small"));
    let again = format!("http://flask.test:{}/small", hotgate.address().port());
    two.args([again.as_str(), "-w", "[%{num_connects}]"]);
    assert_eq!(app::run(two), "small[1]small[0]");
}

#[test]
fn two_express_apps_live_under_prefixes() {
    let (one, two) = (free_port(), free_port());
    let _apps = (or_skip!(express(one, "one")), or_skip!(express(two, "two")));
    let hotgate = Hotgate::start(format!(
        "[sites.\"*\".paths]\n\"/one\" = {{ to = {one}, strip = true }}\n\"/two\" = {{ to = {two}, strip = true }}\n"
    ));
    let (node, _) = or_skip!(app::node());
    succeeds(Command::new(node), "client_fetch.js", &hotgate);
}

/// Posts, waits a gap around the app's keep-alive limit, posts again, and so on; one connection and thread a gap.
///
/// Returns the statuses that were not 200.
fn posts_around(
    hotgate: &Hotgate,
    path: &str,
    gaps_ms: std::ops::RangeInclusive<u64>,
    rounds: usize,
) -> Vec<String> {
    let address = hotgate.address();
    let request = format!("POST {path} HTTP/1.1\r\nHost: a.test\r\nContent-Length: 5\r\n\r\nhello");
    thread::scope(|scope| {
        let clients: Vec<_> = gaps_ms
            .step_by(10)
            .map(|gap| {
                let request = &request;
                scope.spawn(move || {
                    let mut client = Client::connect(address);
                    let mut failures = Vec::new();
                    for round in 0..rounds {
                        if round > 0 {
                            let_pass(Duration::from_millis(gap));
                        }
                        let response = client.ask(request);
                        if response.status != 200 {
                            failures.push(format!(
                                "{} after {gap} ms: {}",
                                response.status,
                                response.text()
                            ));
                        }
                    }
                    failures
                })
            })
            .collect();
        clients
            .into_iter()
            .flat_map(|client| client.join().expect("a client does not panic"))
            .collect()
    })
}

#[test]
fn posts_at_nodes_keep_alive_limit_never_fail() {
    let port = free_port();
    let _app = or_skip!(express(port, "one"));
    let hotgate = Hotgate::start(support::site(port));
    let failures = posts_around(&hotgate, "/x", 4900..=5100, 4);
    assert!(failures.is_empty(), "{failures:?}");
}

#[test]
fn posts_at_gunicorns_keep_alive_limit_never_fail() {
    let port = free_port();
    let _app = or_skip!(flask(
        port,
        None,
        &[
            "-w",
            "1",
            "-k",
            "gthread",
            "--threads",
            "40",
            "--keep-alive",
            "2"
        ]
    ));
    let hotgate = Hotgate::start(support::site(port));
    let failures = posts_around(&hotgate, "/echo", 1900..=2100, 7);
    assert!(failures.is_empty(), "{failures:?}");
}

#[test]
fn fifty_slow_readers_do_not_hold_two_sync_workers() {
    const SLOW: usize = 50;
    const QUICK: usize = 500;
    let port = free_port();
    let _app = or_skip!(flask(port, None, &["-w", "2", "-k", "sync"]));
    let hotgate = Hotgate::start(support::site(port));
    let mut slow: Vec<Client> = (0..SLOW)
        .map(|_| Client::with_small_window(hotgate.address()))
        .collect();
    for client in &mut slow {
        client.send("GET /large HTTP/1.1\r\nHost: a.test\r\n\r\n");
    }
    // They read nothing from here on. Two workers that waited for them would answer nobody else; whoever is
    // answered now is answered although fifty wait.
    let mut quick = Client::connect(hotgate.address());
    let mut took: Vec<Duration> = (0..QUICK)
        .map(|_| {
            let started = Instant::now();
            assert_eq!(quick.get("/small").text(), "small");
            started.elapsed()
        })
        .collect();
    took.sort();
    println!(
        "beside {SLOW} slow readers: p50 {:?}, p99 {:?}, most {:?}",
        took[QUICK / 2],
        took[QUICK * 99 / 100],
        took[QUICK - 1]
    );
    for client in &mut slow {
        assert_eq!(client.response().body.len(), 200_000);
    }
}

#[test]
fn a_stopped_app_is_502_until_it_is_back() {
    let port = free_port();
    let app = or_skip!(flask(port, None, &["-w", "1"]));
    let hotgate = Hotgate::start(support::site(port));
    let mut client = Client::connect(hotgate.address());
    assert_eq!(client.get("/small").text(), "small");
    drop(app);
    assert_eq!(client.get("/small").status, 502);
    let _app = or_skip!(flask(port, None, &["-w", "1"]));
    assert_eq!(client.get("/small").text(), "small");
}

#[test]
fn quick_serves_its_demonstration_to_curl() {
    const PORT: u16 = 8080;
    if std::net::TcpStream::connect(("127.0.0.1", PORT)).is_ok() {
        skip!("port {PORT}, where `hotgate quick` serves, is in use");
    }
    let mut command = Command::new(support::hotgate::BINARY);
    command.arg("quick").stdout(Stdio::null());
    let _quick = App::start(command).wait_for_port(PORT);
    let mut command = Command::new(or_skip!(app::program("curl")));
    command.args([
        "-sS",
        "--fail-with-body",
        "--max-time",
        "20",
        "--noproxy",
        "*",
        "http://localhost:8080/hello",
    ]);
    let told = app::run(command);
    assert!(
        told.contains("/hello") && told.to_lowercase().contains("x-forwarded-for"),
        "{told}"
    );
}
