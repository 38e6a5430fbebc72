//! What testssl.sh finds at a site: nothing above LOW.
//!
//! A site as somebody would have it: an app that sets the fields of a careful page, `hsts`, and a certificate of RSA beside
//! one of ECDSA, for ninety days, with a place for revocations, from an authority that the scan is told to believe. The
//! address has the same site, because part of the scan asks for no name.
//!
//! Left out of the scan are the simulated clients, of which nothing is said but what they would take, and every cipher
//! suite one by one, which are in its categories already. It takes about a minute.

mod support;

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::Value;
use support::{
    Config, Origin,
    app::{self, program},
    let_pass,
};

/// Scans that are made while one after the other is broken off.
const SCANS_MAX: usize = 3;
/// Far more than a scan needs, and less than the runner gives it.
const SCAN_WAIT: Duration = Duration::from_secs(450);

/// Protocols, kinds of cipher suites, forward secrecy, the server's choices, its certificates, the fields of a page, every
/// known attack, and what a server must put up with.
const CHECKS: [&str; 8] = ["-p", "-s", "-f", "-P", "-S", "-h", "-U", "-g"];

/// Of each part of the scan something that it says when it was made: a scan that went nowhere finds nothing either.
const MADE: [&str; 24] = [
    "SSLv2",
    "TLS1_3",
    "ALPN",
    "cipherlist_NULL",
    "cipherlist_STRONG",
    "PFS",
    "cipher_order",
    "TLS_session_ticket",
    "cert_chain_of_trust <cert#1>",
    "cert_chain_of_trust <cert#2>",
    "cert_trust <cert#1>",
    "cert_trust <cert#2>",
    "HTTP_status_code",
    "HSTS_time",
    "heartbleed",
    "CCS",
    "ticketbleed",
    "ROBOT",
    "secure_renego",
    "secure_client_renego",
    "CRIME_TLS",
    "BREACH",
    "LUCKY13",
    "GREASE",
];

const PAGE: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\
    Content-Security-Policy: default-src 'self'\r\nX-Content-Type-Options: nosniff\r\nX-Frame-Options: DENY\r\n\
    Referrer-Policy: no-referrer\r\n\r\nhello";

/// An authority, and of it one certificate of each kind of key, in `folder`.
fn certificates(folder: &Path) {
    let openssl = |arguments: &str| {
        let mut command = Command::new("openssl");
        command
            .args(arguments.split_ascii_whitespace())
            .current_dir(folder);
        app::run(command);
    };
    fs::write(
        folder.join("of-leaf"),
        "subjectAltName=DNS:a.test,IP:127.0.0.1\nbasicConstraints=critical,CA:FALSE\nextendedKeyUsage=serverAuth\n\
         keyUsage=critical,digitalSignature\ncrlDistributionPoints=URI:http://127.0.0.1/root.crl\n",
    )
    .expect("ours");
    openssl("ecparam -genkey -name prime256v1 -noout -out root.key");
    openssl(
        "req -x509 -new -key root.key -days 90 -subj /CN=root -out root.pem -addext basicConstraints=critical,CA:TRUE \
         -addext keyUsage=critical,keyCertSign,cRLSign",
    );
    openssl("ecparam -genkey -name prime256v1 -noout -out ecdsa.key");
    openssl("genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out rsa.key");
    for kind in ["ecdsa", "rsa"] {
        openssl(&format!(
            "req -new -key {kind}.key -subj /CN=a.test -out {kind}.csr"
        ));
        openssl(&format!(
            "x509 -req -in {kind}.csr -CA root.pem -CAkey root.key -CAcreateserial -days 90 -extfile of-leaf -out {kind}.pem"
        ));
    }
}

/// Runs the scan to its end, and returns its findings; what it prints stands in the panics.
fn scan(testssl: &Path, folder: &Path, port: u16) -> (Vec<Value>, String) {
    let (findings, said) = (folder.join("findings.json"), folder.join("said"));
    let out = fs::File::create(&said).expect("ours");
    let mut child = Command::new(testssl)
        .args(["--quiet", "--color", "0", "--warnings", "off"])
        .args(["--ip", "127.0.0.1", "--nodns", "none"])
        .args(["--add-ca", "root.pem", "--jsonfile"])
        .arg(&findings)
        .args(CHECKS)
        .arg(format!("https://a.test:{port}/"))
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(out.try_clone().expect("a second handle"))
        .stderr(out)
        .spawn()
        .expect("it starts");
    let end = Instant::now() + SCAN_WAIT;
    while child.try_wait().expect("a child").is_none() {
        if Instant::now() > end {
            let _ = child.kill();
            let _ = child.wait();
        }
        let_pass(Duration::from_millis(50));
    }
    let said = String::from_utf8_lossy(&fs::read(said).expect("ours")).into_owned();
    let findings = fs::read_to_string(findings).unwrap_or_default();
    let findings = serde_json::from_str(&findings)
        .unwrap_or_else(|error| panic!("{error}: {findings}\n{said}"));
    (findings, said)
}

/// Scans, sees that everything was looked at, and returns what is above LOW with all that was said.
fn judged(testssl: &Path, folder: &Path, port: u16) -> (Vec<String>, String) {
    let _ = fs::remove_file(folder.join("findings.json"));
    let (findings, said) = scan(testssl, folder, port);

    let text = |finding: &Value, key: &str| finding[key].as_str().unwrap_or_default().to_owned();
    let ids: Vec<String> = findings.iter().map(|one| text(one, "id")).collect();
    for id in MADE {
        assert!(
            ids.iter().any(|known| known == id),
            "not looked at: {id}\n{said}"
        );
    }
    // WARN and FATAL are no findings, but say that something could not be looked at.
    let bad = findings
        .iter()
        .filter(|one| !["OK", "INFO", "LOW"].contains(&text(one, "severity").as_str()))
        .map(|one| {
            ["severity", "id", "finding"]
                .map(|key| text(one, key))
                .join(" ")
        })
        .collect();
    (bad, said)
}

#[test]
fn testssl_finds_nothing_above_low() {
    let testssl = or_skip!(program("testssl").or_else(|_| program("testssl.sh")));
    let _ = or_skip!(program("openssl"));
    let origin = Origin::answering(PAGE);
    let folder = support::hotgate::Folder::new();
    certificates(folder.path());
    let pair = |kind: &str| {
        let file = |end: &str| folder.path().join(format!("{kind}.{end}"));
        format!("{{ cert = {:?}, key = {:?} }}", file("pem"), file("key"))
    };
    let (port, tls) = (origin.port(), [pair("ecdsa"), pair("rsa")].join(", "));
    let site = |host: &str| format!("[sites.\"{host}\"]\nto = {port}\ntls = [{tls}]\n");
    let hotgate = Config::new(format!(
        "[defaults]\nhsts = \"365d\"\n{}{}",
        site("a.test"),
        site("127.0.0.1")
    ))
    .start();
    let port = hotgate.listeners()[1].port();
    let (mut bad, mut said) = judged(&testssl, folder.path(), port);
    // On a machine that is busy its own clients break off now and then; then it has looked at nothing.
    for _ in 1..SCANS_MAX {
        let is_broken_off = |what: &String| what.contains("because of connect problem");
        if bad.is_empty() || !bad.iter().all(is_broken_off) {
            break;
        }
        (bad, said) = judged(&testssl, folder.path(), port);
    }
    assert!(bad.is_empty(), "{}\n{said}", bad.join("\n"));
}
