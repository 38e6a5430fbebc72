//! The setup `apiclub` as it is meant to be: HTTPS with a certificate of mkcert's, in front of the real app.
//!
//! The setup `fastapi`, which needs an authority and ports 80 and 443, is in `acme/setup.rs`. What the apps are told by
//! plain HTTP, and their other requests, are in `examples.rs`.

#[path = "examples/shipped.rs"]
mod shipped;
mod support;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::{Value, json};
use shipped::Example;
use support::{
    Client, Hotgate,
    app::{self, fastapi, program, python_command},
    hotgate::{Folder, free_port},
    poll_until,
};

const HOST: &str = "apiclub.com";

/// A pair for a name, and the root that has signed it.
struct Pair {
    cert: PathBuf,
    key: PathBuf,
    root: PathBuf,
}

/// Has mkcert make it, with an authority of its own in `folder` that nobody else is told of.
fn mkcert(folder: &Path, name: &str) -> Result<Pair, String> {
    let pair = Pair {
        cert: folder.join("pair.pem"),
        key: folder.join("pair-key.pem"),
        root: folder.join("rootCA.pem"),
    };
    let mut command = Command::new(program("mkcert")?);
    command.env("CAROOT", folder).env("HOME", folder);
    command.arg("-cert-file").arg(&pair.cert);
    command.arg("-key-file").arg(&pair.key).arg(name);
    app::run(command);
    Ok(pair)
}

/// The file of the setup, with the app on `port`, HTTPS on `tls`, and this pair. The other site's certificate is to come from
/// an authority that is not there.
fn apiclub(port: u16, tls: u16, pair: &Pair) -> Example {
    Example::load("apiclub.toml")
        .with_port("[sites.\"apiclub.com\"]\nto = 8000", port)
        .with_port("\"apichallenge.com\" = 8000", port)
        .with_file("/etc/hotgate/apiclub.com.pem", &pair.cert)
        .with_file("/etc/hotgate/apiclub.com-key.pem", &pair.key)
        .over_tls(tls)
        .and("[acme]\nca = \"https://localhost:1/dir\"\n")
}

/// curl with these arguments, for the setup's names and both of its ports: what it printed, or its exit code and words.
fn curl(hotgate: &Hotgate, arguments: &[&str]) -> Result<String, (i32, String)> {
    let mut command = Command::new("curl");
    command.args(["-sS", "--max-time", "20", "--noproxy", "*"]);
    for port in hotgate.listeners().iter().map(|address| address.port()) {
        for host in [HOST, "apichallenge.com"] {
            command.args(["--resolve", &format!("{host}:{port}:127.0.0.1")]);
        }
    }
    let output = command.args(arguments).output().expect("curl starts");
    let text = |octets: &[u8]| String::from_utf8_lossy(octets).into_owned();
    match output.status.code() {
        Some(0) => Ok(text(&output.stdout)),
        code => Err((code.unwrap_or(-1), text(&output.stderr))),
    }
}

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

#[test]
fn apiclub_by_https_with_a_pair_of_mkcerts() {
    let _ = or_skip!(program("curl"));
    let (folder, target, tls) = (Folder::new(), free_port(), free_port());
    let pair = or_skip!(mkcert(folder.path(), HOST));
    let _app = or_skip!(fastapi(target, &["--no-proxy-headers"]));
    let hotgate = apiclub(target, tls, &pair).start();
    let root = pair.root.display().to_string();
    let plain = hotgate.address().port();
    let url = |path: &str| format!("https://{HOST}:{tls}{path}");

    // Host, address and scheme reach the app, whatever the client says of itself.
    let expected = json!({
        "client": "127.0.0.1",
        "scheme": "https",
        "host": format!("{HOST}:{tls}"),
        "query": "x=y",
    });
    let forged = [
        "-HX-Forwarded-For: 6.6.6.6",
        "-HX-Forwarded-Proto: http",
        "-HX-Real-IP: 6.6.6.6",
        "-HForwarded: for=6.6.6.6;proto=http",
    ];
    let secure = url("/json?x=y");
    for fields in [&[][..], &forged] {
        let arguments = [&["--cacert", &root, &secure], fields].concat();
        let shown = curl(&hotgate, &arguments).expect("served");
        assert_eq!(parsed(&shown), expected, "{fields:?}");
    }

    // From http to https, with method and body.
    let from = format!("http://{HOST}:{plain}/json?x=y");
    let head = curl(&hotgate, &["-D", "-", "-o", "/dev/null", &from]).expect("answered");
    let location = format!("location: {secure}\r\n");
    let lower = head.to_ascii_lowercase();
    assert!(
        lower.starts_with("http/1.1 308 ") && lower.contains(&location),
        "{head}"
    );
    let shown = curl(&hotgate, &["-L", "--cacert", &root, &from]).expect("served");
    assert_eq!(parsed(&shown), expected);
    let document = json!({"text": "x".repeat(100_000)});
    let file = folder.path().join("document.json");
    fs::write(&file, document.to_string()).expect("ours");
    let data = format!("@{}", file.display());
    let post = ["-L", "--cacert", &root, "-HContent-Type: application/json"];
    let post = [&post[..], &["--data-binary", &data, &from]].concat();
    let back = curl(&hotgate, &post).expect("served");
    assert!(parsed(&back) == document, "{} octets came back", back.len());

    // Only who believes mkcert's authority comes in.
    let (code, said) = curl(&hotgate, &[&url("/json")]).expect_err("not believed");
    assert_eq!(code, 60, "{said}");

    // The WebSocket of the app, over TLS.
    let mut client = or_skip!(python_command("python"));
    client.args(["client_websockets.py", &tls.to_string(), HOST, &root]);
    assert_eq!(app::run(client), "ok\n");

    // The other name waits for its certificate, says so, and holds nobody up.
    let waiting = format!("http://apichallenge.com:{plain}/");
    poll_until("what the other name waits for", || {
        let told = curl(&hotgate, &["-w", "\n%{http_code}", &waiting]).expect("answered");
        assert!(told.ends_with("\n503"), "{told}");
        told.contains("run: hotgate certs apichallenge.com")
            .then_some(())
    });
    let other = format!("https://apichallenge.com:{tls}/");
    let (code, said) = curl(&hotgate, &["--cacert", &root, &other]).expect_err("no certificate");
    assert!(
        code == 35 && said.contains("handshake failure"),
        "{code}: {said}"
    );
    // Nor is it served through the first one's door.
    let wrong_door = ["-HHost: apichallenge.com", "-w", "\n%{http_code}"];
    let wrong_door = [&wrong_door[..], &["--cacert", &root, &secure]].concat();
    let told = curl(&hotgate, &wrong_door).expect("answered");
    assert!(told.ends_with("\n421"), "{told}");
}

#[test]
fn apiclub_explained_names_listener_certificate_and_site() {
    let folder = Folder::new();
    let pair = or_skip!(mkcert(folder.path(), HOST));
    let example = apiclub(8000, 8443, &pair);
    let url = format!("https://{HOST}:8443/json");
    let (code, said) = example.ask(&["--json", "explain", "GET", &url]);
    assert_eq!(code, Some(0), "{said}");
    // What is said of the files stands behind it.
    let mut facts = serde_json::Deserializer::from_str(&said).into_iter::<Value>();
    let facts = facts.next().expect("an object").expect("JSON");
    let decision = |name: &str| {
        let mut stages = facts["stages"].as_array().expect("a list").iter();
        let stage = stages.find(|stage| stage["stage"] == name);
        stage.unwrap_or_else(|| panic!("no {name}: {facts}"))["decision"].clone()
    };
    assert_eq!(decision("listener"), "127.0.0.1:8443, TLS");
    assert_eq!(decision("cert"), pair.cert.display().to_string());
    assert_eq!(decision("site"), HOST);
    assert_eq!(facts["outcome"], "forwarded");
}

/// A pair for another name: said by `check`, with both names, and served all the same.
#[test]
fn apiclub_with_a_pair_that_does_not_name_it_is_warned_of_and_served() {
    let _ = or_skip!(program("curl"));
    let (folder, target, tls) = (Folder::new(), free_port(), free_port());
    let pair = or_skip!(mkcert(folder.path(), "intranet.example"));
    let _app = or_skip!(fastapi(target, &["--no-proxy-headers"]));
    let example = apiclub(target, tls, &pair);
    let warning = format!("names intranet.example, not {HOST}");
    let (code, said) = example.ask(&["check"]);
    assert!(
        code == Some(0) && said.contains(&warning),
        "{code:?}: {said}"
    );
    let (code, said) = example.ask(&["check", "--strict"]);
    assert!(
        code == Some(4) && said.contains(&warning),
        "{code:?}: {said}"
    );

    let hotgate = example.start();
    let root = pair.root.display().to_string();
    let url = format!("https://{HOST}:{tls}/json");
    // Whoever looks at names is not satisfied; whoever does not is served.
    let (code, said) = curl(&hotgate, &["--cacert", &root, &url]).expect_err("another name");
    assert!(
        code == 60 && said.contains("subject name"),
        "{code}: {said}"
    );
    let shown = curl(&hotgate, &["-k", &url]).expect("served");
    assert_eq!(parsed(&shown)["host"], format!("{HOST}:{tls}"));
    // The name that it has is no site's.
    let mut client = Client::connect(hotgate.address());
    let answer = client.ask("GET / HTTP/1.1\r\nHost: intranet.example\r\n\r\n");
    assert_eq!(answer.status, 421);
}
