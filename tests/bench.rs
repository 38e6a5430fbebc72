//! `hotgate bench`: what it measures and reports, and what it says when it cannot.
//!
//! No figure is compared with another: this is a debug build on a machine that does other work too. Those that need
//! nginx and wrk take turns, because a measurement has its cores to itself.

mod support;

use std::{
    path::Path,
    process::{Command, Output, Stdio},
    sync::Mutex,
};

use serde_json::Value;
use support::{app, hotgate::BINARY, hotgate::Folder};

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
