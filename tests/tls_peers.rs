//! Other people's TLS against ours: openssl, curl, Python's ssl.

#[path = "tls/running.rs"]
mod running;
mod support;

use std::net::SocketAddr;
use std::process::{Command, Output, Stdio};

use hotgate::telemetry::counters::Counter;
use hotgate::tls::certs::Entry;
use hotgate::tls::policy::ClientPolicy;
use running::{Running, Scene};
use support::hotgate::Folder;
use support::tls::Authority;
use support::{Origin, app};

const SITES: &str = "[sites]\n\"a.test\" = 1\n";

/// One site, its authority's root in a file.
struct Stage {
    folder: Folder,
    running: Running,
    /// Answers as long as the stage stands.
    _origin: Origin,
}

impl Stage {
    fn new(entries: impl FnOnce(&Scene, &Authority) -> Entry) -> Stage {
        let (folder, origin) = (Folder::new(), Origin::saying("hello"));
        let (scene, authority) = (
            Scene::new(SITES, origin.port()),
            Authority::new("test root"),
        );
        std::fs::write(folder.path().join("root.pem"), authority.pem()).expect("written");
        let entry = entries(&scene, &authority);
        let running = scene.start(&[("a.test", entry)]);
        Stage {
            folder,
            running,
            _origin: origin,
        }
    }

    fn plain() -> Stage {
        Stage::new(|scene, authority| {
            scene.entry(&[&authority.server(&["a.test"])], &ClientPolicy::Off)
        })
    }

    fn address(&self) -> SocketAddr {
        self.running.address
    }

    fn root(&self) -> String {
        self.folder.path().join("root.pem").display().to_string()
    }
}

/// What openssl's client says that asks for `name` at `address`.
fn s_client(openssl: &str, address: &str, name: &str, more: &[&str], input: &str) -> String {
    let asking = ["s_client", "-connect", address, "-servername", name];
    text(&run(openssl, &[&asking, more].concat(), input))
}

/// Runs a program with this on its stdin, in a shell that keeps stdin open for a moment, as a terminal would.
#[track_caller]
fn run(program: &str, arguments: &[&str], input: &str) -> Output {
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut stdin = child.stdin.take().expect("piped");
    std::io::Write::write_all(&mut stdin, input.as_bytes()).expect("it reads");
    let waiting = std::thread::spawn(move || child.wait_with_output().expect("it ends"));
    let end = std::time::Instant::now() + support::DEADLINE;
    while !waiting.is_finished() && std::time::Instant::now() < end {
        support::let_pass(std::time::Duration::from_millis(10));
    }
    drop(stdin);
    waiting.join().expect("no panic")
}

fn text(output: &Output) -> String {
    let both = [&output.stdout[..], &output.stderr[..]].concat();
    String::from_utf8_lossy(&both).into_owned()
}

const REQUEST: &str = "GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n";

#[test]
fn openssl_speaks_both_versions_under_any_spelling_of_the_name() {
    let openssl = or_skip!(app::program("openssl"));
    let openssl = openssl.display().to_string();
    let stage = Stage::plain();
    let address = stage.address().to_string();
    let root = stage.root();
    for version in ["-tls1_2", "-tls1_3"] {
        for name in ["a.test", "A.TEST", "a.test.", "A.Test."] {
            let said = s_client(
                &openssl,
                &address,
                name,
                &[
                    "-CAfile",
                    &root,
                    "-verify_return_error",
                    "-verify_hostname",
                    "a.test",
                    "-ign_eof",
                    version,
                ],
                REQUEST,
            );
            assert!(said.contains("hello"), "{version} {name}:\n{said}");
            assert!(said.contains("Verify return code: 0 (ok)"), "{said}");
        }
    }
    for old in ["-tls1", "-tls1_1"] {
        let said = s_client(
            &openssl,
            &address,
            "a.test",
            &[old, "-cipher", "ALL:@SECLEVEL=0"],
            "",
        );
        assert!(
            said.contains("Cipher is (NONE)") && said.contains("alert"),
            "{old}:\n{said}"
        );
    }
    let said = s_client(&openssl, &address, "b.test", &[], "");
    assert!(said.contains("unrecognized name"), "{said}");
}

#[test]
fn openssl_resumes_its_session_and_may_not_renegotiate() {
    let openssl = or_skip!(app::program("openssl"));
    let openssl = openssl.display().to_string();
    let stage = Stage::plain();
    let address = stage.address().to_string();
    let session = stage.folder.path().join("session").display().to_string();
    for version in ["-tls1_2", "-tls1_3"] {
        let [keeping, coming] =
            ["-sess_out", "-sess_in"].map(|option| ["-ign_eof", version, option, &session]);
        let said = s_client(&openssl, &address, "a.test", &keeping, REQUEST);
        assert!(said.contains("New, TLSv1"), "{version}:\n{said}");
        let said = s_client(&openssl, &address, "a.test", &coming, REQUEST);
        assert!(said.contains("Reused, TLSv1"), "{version}:\n{said}");
        assert!(said.contains("hello"), "{said}");
    }
    assert_eq!(stage.running.count(Counter::HandshakesResumed), 2);
    let said = s_client(&openssl, &address, "a.test", &["-tls1_2"], "R\nR\nR\n");
    assert!(said.contains("RENEGOTIATING"), "{said}");
    assert!(
        said.contains("no renegotiation") || said.contains("error"),
        "{said}"
    );
}

#[test]
fn the_clients_schemes_choose_between_rsa_and_ecdsa() {
    let openssl = or_skip!(app::program("openssl"));
    let openssl = openssl.display().to_string();
    let key = run(
        &openssl,
        &[
            "genpkey",
            "-algorithm",
            "RSA",
            "-pkeyopt",
            "rsa_keygen_bits:2048",
        ],
        "",
    );
    let key = String::from_utf8(key.stdout).expect("PEM");
    let stage = Stage::new(|scene, authority| {
        let (rsa, ecdsa) = (
            authority.server_with(&["a.test"], &key),
            authority.server(&["a.test"]),
        );
        scene.entry(&[&rsa, &ecdsa], &ClientPolicy::Off)
    });
    let address = stage.address().to_string();
    for version in ["-tls1_2", "-tls1_3"] {
        for (schemes, kind) in [
            ("RSA-PSS+SHA256:RSA+SHA256", "RSA-PSS"),
            ("ECDSA+SHA256", "ECDSA"),
            ("RSA-PSS+SHA256:ECDSA+SHA256", "ECDSA"),
        ] {
            let said = s_client(
                &openssl,
                &address,
                "a.test",
                &[version, "-sigalgs", schemes],
                "Q\n",
            );
            let line = format!("Peer signature type: {kind}");
            assert!(said.contains(&line), "{version} {schemes}:\n{said}");
        }
    }
}

#[test]
fn the_order_of_cipher_suites_is_ours_but_for_who_has_no_aes() {
    let openssl = or_skip!(app::program("openssl"));
    let openssl = openssl.display().to_string();
    let stage = Stage::plain();
    let address = stage.address().to_string();
    const AES: [&str; 2] = ["TLS_AES_128_GCM_SHA256", "ECDHE-ECDSA-AES128-GCM-SHA256"];
    const CHACHA: [&str; 2] = [
        "TLS_CHACHA20_POLY1305_SHA256",
        "ECDHE-ECDSA-CHACHA20-POLY1305",
    ];
    //    what the client has, its favourite first           what is taken
    for (suites, ciphers, [tls13, tls12]) in [
        (
            "TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256",
            "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-ECDSA-AES128-GCM-SHA256",
            AES,
        ),
        (
            "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384",
            "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384",
            AES,
        ),
        (
            "TLS_CHACHA20_POLY1305_SHA256:TLS_AES_256_GCM_SHA384:TLS_AES_128_GCM_SHA256",
            "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-ECDSA-AES128-GCM-SHA256",
            CHACHA,
        ),
    ] {
        for (version, kind, list, taken) in [
            ("-tls1_3", "-ciphersuites", suites, tls13),
            ("-tls1_2", "-cipher", ciphers, tls12),
        ] {
            let said = s_client(&openssl, &address, "a.test", &[version, kind, list], "Q\n");
            let line = format!("Cipher is {taken}\n");
            assert!(said.contains(&line), "{version} {list}:\n{said}");
        }
    }
}

#[test]
fn curl_gets_its_answers_on_one_connection() {
    let curl = or_skip!(app::program("curl")).display().to_string();
    let stage = Stage::plain();
    let port = stage.address().port();
    let url = format!("https://a.test:{port}/");
    let resolve = format!("a.test:{port}:127.0.0.1");
    let root = stage.root();
    let arguments = [
        "-sS",
        "--cacert",
        &root,
        "--resolve",
        &resolve,
        &url,
        &url,
        &url,
    ];
    let said = run(&curl, &arguments, "");
    assert_eq!(
        String::from_utf8_lossy(&said.stdout),
        "hellohellohello",
        "{}",
        text(&said)
    );
    assert_eq!(stage.running.count(Counter::HandshakesFull), 1);
}

#[test]
fn python_gets_an_answer_and_an_end_that_is_said() {
    const SCRIPT: &str = r#"
import socket, ssl, sys
context = ssl.create_default_context(cafile=sys.argv[2])
with socket.create_connection(("127.0.0.1", int(sys.argv[1]))) as plain:
    with context.wrap_socket(plain, server_hostname="a.test", suppress_ragged_eofs=False) as tls:
        tls.sendall(b"GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n")
        seen = b""
        while piece := tls.read(4096):
            seen += piece
        print(tls.version(), seen[-5:].decode())
"#;
    let python = or_skip!(app::program("python3")).display().to_string();
    let stage = Stage::plain();
    let port = stage.address().port().to_string();
    let said = run(&python, &["-c", SCRIPT, &port, &stage.root()], "");
    assert_eq!(
        String::from_utf8_lossy(&said.stdout).trim(),
        "TLSv1.3 hello",
        "{}",
        text(&said)
    );
}
