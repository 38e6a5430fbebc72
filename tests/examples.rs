//! The five setups that people describe, each as its file in `config/examples/` has it, in front of real apps.
//!
//! A file is taken as it stands but for its ports; where the test listens and logs is said in a second `-c`. What is a
//! comment in it is not in this version. Grafana is in no package that a test could install: in its place stands a page
//! that, like it, refuses a WebSocket when a proxy has changed Host.

#[path = "examples/shipped.rs"]
mod shipped;
mod support;

use std::{fs, path::Path, process::Command};

use serde_json::Value;
use shipped::Example;
use support::{
    App, Client, Hotgate,
    app::{self, curl, express, fastapi, flask, page, redis},
    hotgate::{Folder, free_port},
    poll_until,
};

/// What `curl` with `arguments` prints of `http://HOST/PATH`.
#[track_caller]
fn fetch(hotgate: &Hotgate, host: &str, path: &str, arguments: &[&str]) -> Result<String, String> {
    let mut command = curl(hotgate, host, path)?;
    command.args(arguments);
    Ok(app::run(command))
}

/// The JSON that the app answers with.
#[track_caller]
fn told(hotgate: &Hotgate, host: &str, path: &str, arguments: &[&str]) -> Result<Value, String> {
    let text = fetch(hotgate, host, path, arguments)?;
    Ok(serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}")))
}

/// The status of the answer alone.
#[track_caller]
fn status(hotgate: &Hotgate, host: &str, path: &str, arguments: &[&str]) -> Result<String, String> {
    let mut command = curl(hotgate, host, path)?;
    command
        .args(["--no-fail-with-body", "-o", "/dev/null"])
        .args(["-w", "%{http_code}"])
        .args(arguments);
    Ok(app::run(command))
}

/// The access log, once one of its lines has `uri` in it.
#[track_caller]
fn log_with(hotgate: &Hotgate, uri: &str) -> String {
    poll_until(&format!("{uri} in the access log"), || {
        let text = fs::read_to_string(Example::access(hotgate.folder())).ok()?;
        (text.contains(uri) && text.ends_with('\n')).then_some(text)
    })
}

fn prometheus(port: u16, folder: &Path) -> Result<App, String> {
    let file = folder.join("prometheus.yml");
    let mut command = Command::new(app::program("prometheus")?);
    fs::write(&file, "global: {}\n").expect("the configuration file is written");
    command
        .arg(format!("--config.file={}", file.display()))
        .arg(format!("--storage.tsdb.path={}", folder.display()))
        .arg(format!("--web.listen-address=127.0.0.1:{port}"))
        .arg("--web.external-url=https://prometheus.example.com/");
    Ok(App::start(command).wait_for_port(port))
}

#[test]
fn grafana_and_prometheus_by_name() {
    let (grafana, metrics) = (free_port(), free_port());
    let folder = Folder::new();
    let _grafana = or_skip!(page(grafana));
    let _prometheus = or_skip!(prometheus(metrics, folder.path()));
    let hotgate = Example::load("grafana.toml")
        .with_drop_in("prometheus.toml")
        .with_port("\"grafana.example.com\" = 3000", grafana)
        .with_port("to = 9090", metrics)
        .plain("grafana.example.com")
        .plain("prometheus.example.com")
        .believing_forwarded()
        .start();
    let elsewhere = ["-H", "X-Forwarded-For: 203.0.113.9"];

    let host = "grafana.example.com";
    let shown = or_skip!(fetch(&hotgate, host, "/", &elsewhere));
    assert!(shown.contains("a page behind hotgate"), "{shown}");
    let shown = or_skip!(told(
        &hotgate,
        host,
        "/api/told?auth_token=secret",
        &elsewhere
    ));
    assert_eq!(shown["client"], "203.0.113.9");
    let log = log_with(&hotgate, "auth_token=***");
    assert!(!log.contains("secret"), "{log}");

    // The live view: as a browser on the page asks for it, and as one on another site's page does.
    for (origin, expected) in [(host, 101), ("evil.example", 403)] {
        let mut client = Client::connect(hotgate.address());
        client.send(format!(
            "GET /api/live/ws HTTP/1.1\r\nHost: {host}\r\nOrigin: http://{origin}\r\nConnection: Upgrade\r\n\
             Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
        ));
        assert_eq!(client.response_head().status, expected, "{origin}");
        if expected == 101 {
            // A text of two octets, masked with zeros; then a close.
            client.send([0x81, 0x82, 0, 0, 0, 0, b'h', b'i']);
            assert_eq!(client.read_exactly(4), [0x81, 0x02, b'h', b'i']);
            client.send([0x88, 0x80, 0, 0, 0, 0]);
            assert_eq!(client.read_exactly(2)[0], 0x88);
        }
    }

    let host = "prometheus.example.com";
    poll_until("Prometheus to be ready", || {
        (status(&hotgate, host, "/-/ready", &[]).ok()? == "200").then_some(())
    });
    let answer = or_skip!(told(&hotgate, host, "/api/v1/query?query=vector(42)", &[]));
    assert_eq!(answer["data"]["result"][0]["value"][1], "42", "{answer}");
    let refused = or_skip!(status(&hotgate, host, "/-/ready", &elsewhere));
    assert_eq!(refused, "403");
}

#[test]
fn apiclub_is_told_the_name_and_the_client() {
    let port = free_port();
    let folder = Folder::new();
    let _app = or_skip!(fastapi(port, &["--no-proxy-headers"]));
    let hotgate = Example::load("apiclub.toml")
        .with_port("[sites.\"apiclub.com\"]\nto = 8000", port)
        .with_port("\"apichallenge.com\" = 8000", port)
        .plain("apiclub.com")
        .plain("apichallenge.com")
        .start();
    let forged = [
        "-H",
        "X-Forwarded-For: 6.6.6.6",
        "-H",
        "X-Real-IP: 6.6.6.6",
        "-H",
        "Forwarded: for=6.6.6.6",
    ];
    for host in ["apiclub.com", "apichallenge.com"] {
        for arguments in [&[][..], &forged] {
            let shown = or_skip!(told(&hotgate, host, "/json?x=y", arguments));
            let full = format!("{host}:{}", hotgate.address().port());
            assert_eq!(
                shown,
                serde_json::json!({"client": "127.0.0.1", "scheme": "http", "host": full, "query": "x=y"})
            );
        }
    }
    let document = format!("{{\"text\":\"{}\"}}", "x".repeat(2_000_000));
    let file = folder.path().join("document.json");
    fs::write(&file, &document).expect("a file to send");
    let data = format!("@{}", file.display());
    let arguments = ["-H", "Content-Type: application/json", "--data-binary"];
    let back = or_skip!(fetch(
        &hotgate,
        "apiclub.com",
        "/json",
        &[&arguments[..], &[&data]].concat()
    ));
    assert!(back == document, "{} octets came back", back.len());
    // Not the first site's content: nobody's.
    assert_eq!(or_skip!(status(&hotgate, "else.com", "/json", &[])), "421");
}

#[test]
fn fastapi_in_two_processes_with_limits_by_path() {
    let (one, two) = (free_port(), free_port());
    let folder = Folder::new();
    let arguments = ["--proxy-headers", "--forwarded-allow-ips", "127.0.0.1"];
    let _apps = (
        or_skip!(fastapi(one, &arguments)),
        or_skip!(fastapi(two, &arguments)),
    );
    let hotgate = Example::load("fastapi.toml")
        .plain("api.example.com")
        .with_variable("API_ONE", one)
        .with_variable("API_TWO", two)
        .believing_forwarded()
        .start();
    let host = "api.example.com";
    let elsewhere = ["-H", "X-Forwarded-For: 203.0.113.9"];

    let shown: Vec<Value> = (0..4)
        .map(|_| told(&hotgate, host, "/who", &elsewhere))
        .collect::<Result<_, _>>()
        .expect("curl is there: its other errors panic");
    let url = format!("http://{host}:{}/who", hotgate.address().port());
    for one in &shown {
        assert_eq!(
            (&one["client"], &one["url"]),
            (&"203.0.113.9".into(), &url.as_str().into())
        );
    }
    assert_ne!(shown[0]["process"], shown[1]["process"], "{shown:?}");

    // The documentation is for the office, as is what means it in another spelling.
    for (path, from, expected) in [
        ("/docs", &[][..], "200"),
        ("/docs", &["-H", "X-Forwarded-For: 192.0.2.7"], "200"),
        ("/docs", &elsewhere, "403"),
        ("/%64ocs", &elsewhere, "403"),
        ("/docs/oauth2-redirect", &elsewhere, "403"),
        ("/openapi.json", &elsewhere, "200"),
    ] {
        let found = or_skip!(status(&hotgate, host, path, from));
        assert_eq!(found, expected, "{path} {from:?}");
    }

    // 11 MiB: too much for the API, not for uploads.
    let file = folder.path().join("upload");
    fs::write(&file, vec![b'x'; 11 << 20]).expect("a file to upload");
    let data = format!("@{}", file.display());
    let upload = ["-H", "Content-Type: application/json", "--data-binary"];
    let upload = [&upload[..], &[&data]].concat();
    assert_eq!(or_skip!(status(&hotgate, host, "/json", &upload)), "413");
    let put = [&["-X", "PUT"][..], &upload].concat();
    let taken = or_skip!(told(&hotgate, host, "/uploads/a.bin", &put));
    assert_eq!(taken["octets"], 11 << 20);

    assert_eq!(or_skip!(status(&hotgate, host, "/healthz", &[])), "200");
    assert_eq!(or_skip!(status(&hotgate, host, "/who?last", &[])), "200");
    let log = log_with(&hotgate, "/who?last");
    assert!(!log.contains("/healthz"), "{log}");
}

#[test]
fn paths_of_one_name_lead_to_four_apps() {
    let [pages, shop, blog, counter] = [(); 4].map(|()| free_port());
    let folder = Folder::new();
    let socket = folder.path().join("redis.sock");
    let _redis = or_skip!(redis(&socket));
    let workers = ["-w", "2", "-k", "gthread", "--threads", "2"];
    let _apps = (
        or_skip!(page(pages)),
        or_skip!(express(shop, "shop")),
        or_skip!(express(blog, "blog")),
        or_skip!(flask(counter, Some(&socket), &workers)),
    );
    let hotgate = Example::load("paths.toml")
        .with_port("to = 8000", pages)
        .with_port("\"/shop\" = 3000", shop)
        .with_port("\"/blog\" = 3001", blog)
        .with_port("to = \"127.0.0.1:5000", counter)
        .start();
    let host = "localhost";

    let shown = or_skip!(fetch(&hotgate, host, "/", &[]));
    assert!(shown.contains("a page behind hotgate"), "{shown}");
    for (path, app) in [
        ("/shop", "shop"),
        ("/shop/", "shop"),
        ("/shop/cart?n=1", "shop"),
        ("/blog/2026/first", "blog"),
    ] {
        let shown = or_skip!(told(&hotgate, host, path, &[]));
        assert_eq!(
            (&shown["app"], &shown["url"], &shown["prefix"]),
            (&app.into(), &path.into(), &Value::Null)
        );
    }
    // Not below /shop: the pages have no such page.
    assert_eq!(or_skip!(status(&hotgate, host, "/shopping", &[])), "404");
    for visit in 1..=5 {
        let shown = or_skip!(told(&hotgate, host, "/counter/count", &[]));
        assert_eq!(
            (&shown["count"], &shown["client"]),
            (&visit.into(), &"127.0.0.1".into())
        );
    }
    assert_eq!(or_skip!(status(&hotgate, "else", "/", &[])), "421");
}

#[test]
fn containers_have_names_below_one_domain() {
    let [wiki, chat, rest] = [(); 3].map(|()| free_port());
    let mut running = or_skip!(express(wiki, "wiki"));
    let _apps = (
        or_skip!(express(chat, "chat")),
        or_skip!(express(rest, "rest")),
    );
    let hotgate = Example::load("containers.toml")
        .with_port("\"wiki.example.com\" = 8081", wiki)
        .with_port("\"chat.example.com\" = 8082", chat)
        .with_port("\"*.example.com\" = 8080", rest)
        .plain("wiki.example.com")
        .plain("chat.example.com")
        .plain("*.example.com")
        .start();
    for (host, app) in [
        ("wiki.example.com", "wiki"),
        ("Chat.Example.COM.", "chat"),
        ("new.example.com", "rest"),
    ] {
        let shown = or_skip!(told(&hotgate, host, "/x", &[]));
        assert_eq!(shown["app"], app, "{host}");
    }
    for host in ["a.new.example.com", "example.com", "wiki.example.org"] {
        let found = or_skip!(status(&hotgate, host, "/", &[]));
        assert_eq!(found, "421", "{host}");
    }
    // A container is replaced: its own name is answered with 502 meanwhile, the others as ever.
    drop(running);
    for (host, expected) in [("wiki.example.com", "502"), ("chat.example.com", "200")] {
        let found = or_skip!(status(&hotgate, host, "/", &[]));
        assert_eq!(found, expected, "{host}");
    }
    running = or_skip!(express(wiki, "newer wiki"));
    let shown = or_skip!(told(&hotgate, "wiki.example.com", "/", &[]));
    assert_eq!(shown["app"], "newer wiki");
    drop(running);
}
