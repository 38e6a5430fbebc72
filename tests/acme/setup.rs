//! The setup `fastapi`, as its file in `config/examples/` has it: a certificate by tls-alpn-01, ports and address out of the
//! environment, in front of the real app in two processes.
//!
//! Without its dashboard, which is a comment of the file in this version. Its limits by path and by address are in
//! `examples.rs`.

use std::{fs, path::Path, process::Output};

use serde_json::Value;

use super::{
    namespace::InIt,
    place::{Folder, program},
    whole::Authority,
};
use crate::{
    or_skip,
    support::{
        Hotgate,
        app::{python, source},
        hotgate::{BINARY, Folder as Home, backend},
        poll_until,
    },
};

const HOST: &str = "api.example.com";
const APPS: [u16; 2] = [8101, 8102];

/// The two processes of the app.
fn apps(authority: &Authority) -> Result<Vec<InIt>, String> {
    let (uvicorn, curl) = (python("uvicorn")?, program("curl")?);
    let folder = source("").display().to_string();
    let start = |port: u16| {
        let port = port.to_string();
        let app = ["fastapi_app:app", "--app-dir", &folder, "--port", &port];
        let believes = ["--proxy-headers", "--forwarded-allow-ips", "127.0.0.1"];
        authority.namespace.start(
            &authority.folder,
            &uvicorn,
            &[&app[..], &believes].concat(),
            &[("PYTHONDONTWRITEBYTECODE", "1")],
        )
    };
    let running = APPS.map(start).into();
    for port in APPS {
        let url = format!("http://127.0.0.1:{port}/healthz");
        poll_until(&url, || {
            let output = authority.namespace.run(&curl, ["-sf", &url]);
            output.status.success().then_some(())
        });
    }
    Ok(running)
}

/// hotgate with the setup's file, and a second one that says what is the test's own.
fn hotgate(authority: &Authority, home: &Folder, verb: &[&str]) -> std::process::Command {
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/examples/fastapi.toml");
    let text = fs::read_to_string(shipped).expect("it is shipped");
    let setup = authority.folder.file("fastapi.toml", text);
    let own = format!(
        "[server]\nhttp = [\":80\"]\nhttps = [\":443\"]\nworkers = 1\nbackend = \"{}\"\n[log.access]\npath = \"off\"\n\
         [acme]\nca = \"https://localhost:14000/dir\"\nca_root = {:?}\n",
        backend(),
        authority.root
    );
    let own = home.file("own.toml", own);
    let mut command = authority.namespace.command(Path::new(BINARY));
    command
        .arg("-c")
        .arg(setup)
        .arg("-c")
        .arg(own)
        .args(verb)
        .env("STATE_DIRECTORY", home.path())
        .env("ACME_EMAIL", "someone@example.org")
        .env("API_ONE", APPS[0].to_string())
        .env("API_TWO", APPS[1].to_string());
    command
}

/// What curl gets that believes the authority alone.
fn curl(authority: &Authority, arguments: &[&str]) -> Output {
    let issuer = authority.issuer.display().to_string();
    let all = [&["-sS", "-m", "10", "--cacert", &issuer], arguments].concat();
    authority
        .namespace
        .run(&program("curl").expect("it was there"), all)
}

#[track_caller]
fn told(authority: &Authority, arguments: &[&str]) -> Value {
    let output = curl(authority, arguments);
    let text = String::from_utf8_lossy(&output.stdout);
    serde_json::from_str(&text).unwrap_or_else(|error| {
        panic!("{error}: {text}{}", String::from_utf8_lossy(&output.stderr))
    })
}

#[test]
fn fastapi_by_tls_alpn_01_with_values_from_the_environment() {
    let authority = or_skip!(Authority::pebble_for(HOST));
    let _apps = or_skip!(apps(&authority));
    let home = Folder::new();
    let said = hotgate(&authority, &home, &["check", "--dump"]).output();
    let said = String::from_utf8_lossy(&said.expect("it starts").stdout).into_owned();
    assert!(said.contains("email = \"someone@example.org\""), "{said}");

    let hotgate = Hotgate::command(hotgate(&authority, &home, &["run"]), Home::new());
    hotgate.wait_for_line(&format!("certificate for {HOST} by tls-alpn-01"));
    let url = |path: &str| format!("https://{HOST}{path}");
    poll_until("a certificate that is served", || {
        let output = curl(&authority, &["-f", &url("/healthz")]);
        output.status.success().then_some(())
    });

    // What uvicorn believes of the client, whatever that one says; each process in its turn.
    let forged = [
        "-HX-Forwarded-For: 6.6.6.6",
        "-HX-Forwarded-Proto: http",
        "-HX-Forwarded-Host: evil.example",
    ];
    let mut processes = Vec::new();
    for fields in [&[][..], &forged] {
        let who = told(&authority, &[&[url("/who").as_str()], fields].concat());
        assert_eq!(who["client"], "127.0.0.1", "{who}");
        assert_eq!(who["url"], url("/who"), "{who}");
        processes.push(who["process"].clone());
    }
    assert_ne!(processes[0], processes[1]);
    for fields in [&[][..], &forged] {
        let seen = told(&authority, &[&[url("/json").as_str()], fields].concat());
        assert_eq!(
            seen,
            serde_json::json!({"client": "127.0.0.1", "scheme": "https", "host": HOST, "query": ""})
        );
    }

    // http is sent to https, and with it whoever follows.
    let plain = format!("http://{HOST}/who?x=y");
    let head = curl(&authority, &["-D", "-", "-o", "/dev/null", &plain]);
    let head = String::from_utf8_lossy(&head.stdout).to_ascii_lowercase();
    let location = format!("location: {}\r\n", url("/who?x=y"));
    assert!(
        head.starts_with("http/1.1 308 ") && head.contains(&location),
        "{head}"
    );
    let who = told(&authority, &["-L", &plain]);
    assert_eq!(who["url"], url("/who?x=y"));

    // The documentation is for private addresses, of which this is one.
    let docs = curl(&authority, &["-f", "-o", "/dev/null", &url("/docs")]);
    assert!(docs.status.success(), "{docs:?}");

    // The app's WebSocket over TLS.
    let script = source("client_websockets.py").display().to_string();
    let issuer = authority.issuer.display().to_string();
    let output = authority.namespace.run(
        &python("python").expect("uvicorn was there"),
        [&script, "443", HOST, &issuer],
    );
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "ok\n",
        "{output:?}"
    );
}
