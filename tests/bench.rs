//! `hotgate bench`: what it measures and reports, and what it says when it cannot.
//!
//! No figure is compared with another: this is a debug build on a machine that does other work too. Those that need
//! nginx and wrk take turns, because a measurement has its cores to itself.

mod support;

use std::{
    io::{Read, Write},
    net::TcpListener,
    path::Path,
    process::{Command, Output, Stdio},
    sync::{Arc, Mutex},
};

use serde_json::Value;
use support::{app, hotgate::BINARY, hotgate::Folder, tls::Authority};

static TURN: Mutex<()> = Mutex::new(());

/// What a user types for the shortest comparison there is.
const SHORTEST: [&str; 8] = [
    "--rounds",
    "1",
    "--duration",
    "1s",
    "--clients",
    "16",
    "--against",
    "nginx",
];

fn bench(arguments: &[&str]) -> Command {
    let mut command = Command::new(BINARY);
    command.arg("bench").args(arguments).stdin(Stdio::null());
    command
}

fn run(arguments: &[&str]) -> Output {
    bench(arguments).output().expect("hotgate starts")
}

/// Runs a comparison, alone, and returns its facts.
#[track_caller]
fn facts(arguments: &[&str]) -> Value {
    let _turn = TURN
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    let output = run(arguments);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(0), "{said}");
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {said}"))
}

/// Asserts the exit code, and that each of the words is said.
#[track_caller]
fn refused(output: &Output, code: i32, words: &[&str]) {
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{said}");
    assert!(output.stdout.is_empty(), "facts were printed");
    for word in words {
        assert!(said.contains(word), "no {word:?} in: {said}");
    }
}

fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value[key].as_array().map_or(&[], Vec::as_slice)
}

fn names(series: &Value) -> Vec<&str> {
    let contenders = list(series, "contenders").iter();
    contenders.filter_map(|it| it["name"].as_str()).collect()
}

#[test]
fn keepalive_beside_nginx_is_measured_and_reported() {
    or_skip!(app::program("nginx"));
    or_skip!(app::program("wrk"));
    let folder = Folder::new();
    let out = folder.path().join("made/for/it");
    let mut arguments = vec!["--profile", "keepalive", "--json", "--out"];
    arguments.push(out.to_str().expect("a path in UTF-8"));
    arguments.extend(SHORTEST);
    let facts = facts(&arguments);

    assert_eq!(facts["command"][1], "bench");
    assert_eq!(facts["seconds_per_round"], 1);
    assert!(
        facts["machine"]["cores"]
            .as_array()
            .is_some_and(|cores| !cores.is_empty())
    );
    for program in ["nginx", "wrk"] {
        let version = facts["programs"][program]["version"].as_str();
        assert!(
            version.is_some_and(|it| it.contains(program)),
            "{version:?}"
        );
    }
    let series = list(&facts, "series");
    assert_eq!(series.len(), 2, "as fast as they go, and at a rate");
    for series in series {
        assert_eq!(
            (&series["profile"], &series["clients"], &series["rounds"]),
            (&"keepalive".into(), &16.into(), &1.into())
        );
        assert_eq!(names(series), ["nginx", "hotgate", "hotgate-auto"]);
        for contender in list(series, "contenders") {
            check_contender(contender);
        }
        check_ratios(series);
    }
    check_files(&out, &facts);
}

#[track_caller]
fn check_contender(contender: &Value) {
    let rounds = list(contender, "rounds");
    assert_eq!(rounds.len(), 1, "{contender}");
    for of in [&rounds[0], &contender["summary"]] {
        for key in [
            "requests",
            "requests_per_second",
            "cpu_us_per_request",
            "core_busy",
            "p50_us",
            "private_dirty_bytes",
        ] {
            assert!(
                of[key].as_f64().is_some_and(|it| it > 0.0),
                "{key}: {contender}"
            );
        }
        assert_eq!(of["errors"], 0.0, "{contender}");
        // A round of a second: its rate is about its number of requests.
        let per_round = of["requests"].as_f64().unwrap_or(0.0);
        let rate = of["requests_per_second"].as_f64().unwrap_or(0.0);
        assert!(
            per_round > rate * 0.5 && per_round < rate * 2.0,
            "{contender}"
        );
    }
}

#[track_caller]
fn check_ratios(series: &Value) {
    let ratios = list(series, "ratios");
    for (ours, theirs) in [
        ("hotgate", "nginx"),
        ("hotgate-auto", "nginx"),
        ("hotgate-auto", "hotgate"),
    ] {
        let is_it = |it: &&Value| {
            (&it["ours"], &it["theirs"], &it["metric"])
                == (&ours.into(), &theirs.into(), &"cpu_us_per_request".into())
        };
        let ratio = ratios.iter().find(is_it);
        let ratio = ratio.unwrap_or_else(|| panic!("no ratio {ours} / {theirs}: {series}"));
        let cpu = |name: &str| {
            let contenders = list(series, "contenders").iter();
            let mut named = contenders.filter(|it| it["name"] == name);
            named
                .next()
                .and_then(|it| it["summary"]["cpu_us_per_request"].as_f64())
        };
        let expected = cpu(ours)
            .zip(cpu(theirs))
            .map(|(ours, theirs)| ours / theirs);
        let told = ratio["median"].as_f64();
        let is_near = told
            .zip(expected)
            .is_some_and(|(told, it)| (told - it).abs() < 1e-6);
        assert!(is_near, "{told:?}, and not {expected:?}");
        assert_eq!(list(ratio, "rounds").len(), 1);
    }
}

#[track_caller]
fn check_files(out: &Path, facts: &Value) {
    let read = |name: &str| std::fs::read_to_string(out.join(name)).expect("it was written");
    let json: Value = serde_json::from_str(&read("bench.json")).expect("JSON");
    assert_eq!(&json, facts, "the file is what was printed");
    let text = read("bench.md");
    for part in [
        "# hotgate bench",
        "### keepalive: 16 clients, as fast as they go",
        "| hotgate-auto |",
        "| round |",
        "## Configurations",
        "proxy_pass http://", // nginx's own words
        "pipeline = \"auto\"",
    ] {
        assert!(text.contains(part), "no {part:?} in:\n{text}");
    }
    let configs = facts["configs"].as_object().expect("an object");
    for name in ["nginx, ", "hotgate, ", "hotgate-auto, "] {
        assert!(
            configs.keys().any(|key| key.starts_with(name)),
            "{configs:?}"
        );
    }
}

/// Asserts that the series says what was negotiated, and that it was what clients offer.
#[track_caller]
fn check_negotiated(series: &Value) {
    let expected = "negotiated: TLSv1_3, TLS13_AES_128_GCM_SHA256, X25519; the certificate is of ECDSA on P-256";
    let notes = list(series, "notes");
    assert!(notes.iter().any(|note| note == expected), "{notes:?}");
    let strange = |note: &&Value| note.as_str().is_some_and(|it| it.contains("wrk does not"));
    assert_eq!(notes.iter().find(strange), None);
}

/// Asserts that the report has every proxy's configuration, with a certificate.
#[track_caller]
fn check_configs_of_tls(facts: &Value, contenders: &[&str]) {
    let configs = facts["configs"].as_object().expect("an object");
    assert_eq!(configs.len(), contenders.len(), "{configs:?}");
    for name in contenders {
        let of_it = |(key, _): &(&String, &Value)| key.starts_with(&format!("{name}, "));
        let (key, text) = configs.iter().find(of_it).expect("it took part");
        let text = text.as_str().unwrap_or_default();
        assert!(
            key.contains("tls") || key.contains("TLS"),
            "{key} says nothing of it"
        );
        assert!(text.contains("bench.pem"), "{key}: {text}");
    }
}

#[test]
fn handshakes_beside_nginx_are_of_the_kind_that_was_asked() {
    let nginx = or_skip!(app::program("nginx"));
    let against = format!("nginx={}", nginx.display());
    let mut arguments = vec!["--profile", "tls-handshake", "--json"];
    arguments.extend(&SHORTEST[..4]);
    arguments.extend(["--against", &against]);
    let facts = facts(&arguments);
    let series = list(&facts, "series");
    assert_eq!(series.len(), 2, "full ones, and resumed ones");
    for (series, kind) in series.iter().zip(["full", "resumed"]) {
        let case = series["case"].as_str().unwrap_or_default();
        assert!(case.starts_with(&format!("{kind} handshakes")), "{case}");
        assert_eq!(series["load"], "hotgate bench-handshakes");
        assert_eq!(names(series), ["nginx", "hotgate"]);
        // Another kind would be an error.
        list(series, "contenders").iter().for_each(check_contender);
        check_negotiated(series);
    }
    check_configs_of_tls(&facts, &["nginx", "hotgate"]);
}

#[test]
fn answers_over_tls_are_measured() {
    or_skip!(app::program("nginx"));
    or_skip!(app::program("wrk"));
    let mut arguments = vec!["--profile", "tls-keepalive,tls-body-1m", "--json"];
    arguments.extend(SHORTEST);
    let facts = facts(&arguments);
    let series = list(&facts, "series");
    let profiles: Vec<&str> = series
        .iter()
        .filter_map(|it| it["profile"].as_str())
        .collect();
    assert_eq!(profiles, ["tls-keepalive", "tls-body-1m"]);
    for series in series {
        list(series, "contenders").iter().for_each(check_contender);
        check_negotiated(series);
    }
    assert_eq!(series[0]["clients"], 64, "--clients is of keepalive");
    assert_eq!(names(&series[0]), ["nginx", "hotgate", "hotgate-auto"]);
    check_ratios(&series[0]);
    assert_eq!(names(&series[1]), ["nginx", "hotgate"]);
    for contender in list(&series[1], "contenders") {
        let cpu = contender["summary"]["cpu_seconds_per_gb"].as_f64();
        assert!(cpu.is_some_and(|it| it > 0.0), "{contender}");
    }
    check_configs_of_tls(&facts, &["nginx", "hotgate", "hotgate-auto"]);
}

#[test]
fn idle_connections_over_tls_are_weighed() {
    let nginx = or_skip!(app::program("nginx"));
    let _turn = TURN
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    // With so few descriptors there are few connections.
    let script = format!(
        "ulimit -n 400 && exec {BINARY} bench --profile idle-10k --tls --rounds 1 --json --against nginx={}",
        nginx.display()
    );
    let output = Command::new("sh")
        .args(["-c", &script])
        .stdin(Stdio::null())
        .output()
        .expect("a shell");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(0), "{said}");
    let facts: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let [series] = list(&facts, "series") else {
        panic!("one series was asked for: {facts}")
    };
    assert_eq!(series["case"], "72 idle connections over TLS");
    assert_eq!(names(series), ["nginx", "hotgate"]);
    for contender in list(series, "contenders") {
        assert_eq!(contender["summary"]["connections"], 72.0, "{contender}");
    }
    check_negotiated(series);
    check_configs_of_tls(&facts, &["nginx", "hotgate"]);
}

/// A server that answers every request and gives no tickets.
fn start_without_tickets(folder: &Folder) -> (std::net::SocketAddr, std::path::PathBuf) {
    let leaf = Authority::new("test root").server(&["bench.test"]);
    let (chain, _) = leaf.write(folder.path(), "leaf");
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    let mut config = rustls::ServerConfig::builder_with_provider(Arc::new(provider))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(leaf.chain.clone(), leaf.private_key())
        .expect("a key");
    config.send_tls13_tickets = 0;
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("bound");
    // It ends with the test's process.
    std::thread::spawn(move || {
        for socket in listener.incoming().flatten() {
            let connection = rustls::ServerConnection::new(config.clone()).expect("a connection");
            let mut stream = rustls::StreamOwned::new(connection, socket);
            // A client that goes away ends its connection and nothing else.
            let _ = stream.read(&mut [0; 1024]);
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
            stream.conn.send_close_notify();
            let _ = stream.flush();
        }
    });
    (address, chain)
}

#[test]
fn a_handshake_of_another_kind_is_an_error() {
    let folder = Folder::new();
    let (address, chain) = start_without_tickets(&folder);
    let handshakes = |kind: &str| -> Value {
        let output = Command::new(BINARY)
            .args(["bench-handshakes", "--seconds", "1", "--clients", "2"])
            .args(["--kind", kind, "--target", &address.to_string()])
            .arg("--certificate")
            .arg(&chain)
            .output()
            .expect("hotgate starts");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {said}"))
    };
    let full = handshakes("full");
    assert_eq!(full["errors"], 0, "{full}");
    assert!(full["requests"].as_u64() > Some(0), "{full}");
    let resumed = handshakes("resumed");
    assert_eq!(resumed["requests"], 0, "{resumed}");
    assert!(resumed["wrong_kind"].as_u64() > Some(0), "{resumed}");
    assert_eq!(resumed["wrong_kind"], resumed["errors"], "{resumed}");
}

#[test]
fn a_certificate_that_is_not_known_is_a_fault() {
    let folder = Folder::new();
    let (address, _) = start_without_tickets(&folder);
    let other = Authority::new("test root").server(&["bench.test"]);
    let (chain, _) = other.write(folder.path(), "other");
    let output = Command::new(BINARY)
        .args(["bench-handshakes", "--seconds", "1", "--clients", "1"])
        .args(["--kind", "resumed", "--target", &address.to_string()])
        .arg("--certificate")
        .arg(&chain)
        .output()
        .expect("hotgate starts");
    refused(&output, 1, &["another certificate"]);
}

#[test]
fn tls_where_it_has_no_meaning_is_a_fault_of_usage() {
    let alone = "it is for `--profile idle-10k` alone";
    let words = ["--tls has no meaning for keepalive", alone];
    refused(&run(&["--tls", "--profile", "keepalive"]), 2, &words);
    let words = ["--tls has no meaning for start", alone];
    refused(&run(&["--profile", "idle-10k,start", "--tls"]), 2, &words);
    let words = ["tls-handshake, which is over TLS by itself", alone];
    refused(&run(&["--tls", "--profile", "tls-handshake"]), 2, &words);
    refused(&run(&["--tls"]), 2, &["for all profiles", alone]);
}

#[test]
fn a_start_is_weighed_without_wrk() {
    let nginx = or_skip!(app::program("nginx"));
    let _turn = TURN
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    let against = format!("nginx={}", nginx.display());
    let output = bench(&["--profile", "start", "--rounds", "1", "--against", &against])
        .env("PATH", "")
        .output()
        .expect("hotgate starts");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(0), "{said}");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    for part in ["start: after a start", "Private_Dirty", "nginx", "hotgate"] {
        assert!(text.contains(part), "no {part:?} in:\n{text}");
    }
}

#[test]
fn an_unknown_profile_is_answered_with_those_that_are_known() {
    let known = [
        "keepalive",
        "body-64k",
        "body-1m",
        "upload-1m",
        "new-connection",
        "latency",
    ];
    refused(&run(&["--profile", "keepalife"]), 2, &known);
    let known = ["tls-keepalive", "tls-handshake", "tls-body-1m"];
    refused(&run(&["--profile", "tls"]), 2, &known);
    let known = ["idle-10k", "sites-10k", "websocket-idle", "start"];
    refused(&run(&["--profile", "keepalive,all"]), 2, &known);
}

#[test]
fn a_rival_that_is_not_there_is_named_with_its_package() {
    let words = ["/nonexistent", "apt-get install nginx"];
    refused(&run(&["--against", "nginx=/nonexistent"]), 1, &words);
    let words = ["/nonexistent", "apt-get install haproxy"];
    refused(&run(&["--against", "haproxy=/nonexistent"]), 1, &words);
    let empty = bench(&["--against", "nginx"]).env("PATH", "").output();
    let words = ["nginx is not on PATH", "apt-get install nginx"];
    refused(&empty.expect("hotgate starts"), 1, &words);
    refused(&run(&["--against", "caddy"]), 2, &["nginx", "haproxy"]);
}

#[test]
fn without_wrk_its_package_is_named() {
    // Any program will do for a rival: wrk is looked for before it is started.
    let against = format!("nginx={BINARY}");
    let output = bench(&["--profile", "keepalive", "--against", &against])
        .env("PATH", "")
        .output();
    let words = ["wrk is not on PATH", "apt-get install wrk"];
    refused(&output.expect("hotgate starts"), 1, &words);
}

#[test]
fn values_that_measure_nothing_are_faults_of_usage() {
    #[track_caller]
    fn check(arguments: &[&str]) {
        let mut all = arguments.to_vec();
        all.extend(["--profile", "start", "--against", "nginx=/nonexistent"]);
        refused(&run(&all), 2, &[arguments[0]]);
    }
    check(&["--rounds", "0"]);
    check(&["--rounds", "1.5"]);
    check(&["--rounds", "1001"]);
    check(&["--rounds", "many"]);
    check(&["--duration", "0s"]);
    check(&["--duration", "500ms"]);
    check(&["--duration", "2h"]);
    check(&["--workers", "0"]);
    check(&["--workers", "65"]);
    check(&["--clients", "0"]);
    check(&["--clients", "1001"]);
    check(&["--backend", "kqueue"]);
    check(&["--pipeline", "on"]);
}
