//! What `explain` and `routes` print, word for word, and what `--live` finds.
//!
//! `tests/explain/transcript.txt` is what a terminal showed. After a wanted change `HOTGATE_BLESS=1 cargo test --test
//! explain_text` writes it anew, and the diff is the review.

mod support;

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use serde_json::Value;
use support::{
    Origin,
    back::Serving,
    hotgate::{BINARY, Folder, free_port},
    tls::Authority,
};

/// What it is a case of, and the arguments: those with a space in them stand in quotes.
#[rustfmt::skip]
const CASES: [(&str, &str); 37] = [
    ("a path with settings of its own, from behind a trusted proxy",
        "explain http://shop.example.com:8080/api/v1?x=1 --from 10.1.2.3 -H 'X-Forwarded-For: 6.6.6.6, 192.0.2.9' -H 'Connection: keep-alive, X-Hop' -H 'X-Hop: 1' -H 'X_Bad: y' -H 'Cookie: a=b'"),
    ("nobody may say who he is",            "explain http://app.example.com:8080/ -H 'X-Forwarded-For: 6.6.6.6'"),
    ("an exact path beats two prefixes",    "explain HEAD http://shop.example.com:8080/api/health"),
    ("the one form of a path",              "explain DELETE http://shop.example.com:8080/./x/%2e%2e/%61pi"),
    ("several targets",                     "explain POST http://y.example.com:8080/"),
    ("an upstream",                         "explain http://z.example.com:8080/"),
    ("two upstreams that share connections", "explain http://z.example.com:8080/fast"),
    ("the built-in origin",                 "explain http://localhost:9000/"),
    ("a host and its port beat a host",     "explain http://only.example.com:8080/y"),
    ("no action",                           "explain http://only.example.com:8081/y"),
    ("a slip of the fingers",               "explain http://ap.exmple.com:8080/"),
    ("too many labels for a wildcard",      "explain http://a.b.example.com:8080/"),
    ("a name that is nowhere",              "explain http://other.test:8080/"),
    ("a name of another listener",          "explain http://localhost:8080/"),
    ("a port that nobody listens on",       "explain http://shop.example.com/"),
    ("an address that may not",             "explain http://shop.example.com:8080/admin"),
    ("an address that may",                 "explain http://shop.example.com:8080/admin --from 192.0.2.7"),
    ("two readings of one path",            "explain http://shop.example.com:8080/x/..%2fadmin"),
    ("a path that climbs out",              "explain http://shop.example.com:8080/../x"),
    ("a body that is too large",            "explain POST http://shop.example.com:8080/ -H 'Content-Length: 2000000'"),
    ("a length that is none",               "explain POST http://shop.example.com:8080/ -H 'Content-Length: +1'"),
    ("two framings",                        "explain POST http://shop.example.com:8080/ -H 'Content-Length: 1' -H 'Transfer-Encoding: chunked'"),
    ("a chunked body",                      "explain PUT http://shop.example.com:8080/ -H 'Transfer-Encoding: chunked'"),
    ("a field line without a colon",        "explain http://shop.example.com:8080/ -H Cookie"),
    ("a head that is too large",            "explain http://shop.example.com:8080/ -H 'X: {LONG}'"),
    ("a method that is refused",            "explain CONNECT http://shop.example.com:8080/"),
    ("two hosts",                           "explain /x --listener :8080 -H 'Host: a.test' -H 'Host: b.test'"),
    ("the server as a whole",               "explain OPTIONS * -H 'Host: shop.example.com:8080'"),
    ("a plain request for a site of HTTPS", "explain http://secure.example.com:8080/x?y"),
    ("the same from a trusted proxy",       "explain http://secure.example.com:8080/x?y --from 10.1.2.3 -H 'X-Forwarded-Proto: https'"),
    ("over TLS",                            "explain https://secure.example.com/x?y"),
    ("a certificate from files, and clients who show one", "explain https://door.example.com:8443/"),
    ("a name that TLS does not have",       "explain https://shop.example.com/"),
    ("an upgrade",                          "explain http://shop.example.com:8080/ws/x -H 'Connection: Upgrade' -H 'Upgrade: h2c, X-Own'"),
    ("what is no URL",                      "explain ftp://a.test/"),
    ("no such listener",                    "explain http://a.test/ --listener :81"),
    ("all routes",                          "routes"),
];

/// Stands for a KiB.
const LONG: &str = "{LONG}";

/// Lines that hold data, which is not parted.
const DATA: [&str; 4] = [
    "> ",
    "           + ",
    "           - ",
    "             missing",
];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/explain")
}

/// Words as a shell parts them, where quotes are the only marks.
fn words(line: &str) -> Vec<String> {
    line.split('\'')
        .enumerate()
        .flat_map(|(index, part)| match index % 2 {
            0 => part.split_ascii_whitespace().map(str::to_owned).collect(),
            _ => vec![part.to_owned()],
        })
        .collect()
}

/// Standard output, then standard error, and the exit code.
fn run(folder: &Path, arguments: &[String]) -> (String, String, i32) {
    let output = Command::new(BINARY)
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::null())
        .output()
        .expect("hotgate starts");
    let text = |octets: Vec<u8>| String::from_utf8(octets).expect("UTF-8");
    let code = output.status.code().expect("an exit code");
    (text(output.stdout), text(output.stderr), code)
}

#[test]
fn what_is_printed_is_as_written_down() {
    let mut transcript = String::new();
    for (name, line) in CASES {
        let mut arguments = words("-q -c hotgate.toml");
        arguments.extend(words(&line.replace(LONG, &"a".repeat(1024))));
        let (out, err, code) = run(&folder(), &arguments);
        let shown = out.replace(&"a".repeat(1024), LONG);
        let _ = writeln!(
            transcript,
            "# {name}\n$ hotgate {line}\n{shown}{err}exit {code}\n"
        );
        for line in out.lines() {
            let is_data = DATA.iter().any(|start| line.starts_with(start));
            assert!(is_data || line.chars().count() <= 80, "{name}: {line:?}");
        }
    }
    let file = folder().join("transcript.txt");
    if std::env::var_os("HOTGATE_BLESS").is_some() {
        fs::write(&file, &transcript).expect("the transcript is written");
    }
    let expected = fs::read_to_string(&file).expect("the transcript is in the repository");
    for (found, expected) in transcript.split("\n# ").zip(expected.split("\n# ")) {
        assert_eq!(found, expected);
    }
    assert_eq!(transcript.len(), expected.len());
}

#[test]
fn the_transcript_in_the_readme_is_a_real_one() {
    let readme = include_str!("../README.md");
    let folder = Folder::new();
    let block = |start: &str| {
        let found = readme
            .split("\n```toml\n")
            .find(|block| block.starts_with(start));
        let found = found.and_then(|block| block.split_once("\n```"));
        found.expect("the README has such a file").0.to_owned()
    };
    fs::write(
        folder.path().join("hotgate.toml"),
        block("[server]\nhttp = [\"127.0.0.1:8080\"]") + "\n",
    )
    .expect("a file is written");
    let mut count = 0;
    for rest in readme.split("\n```text\n$ hotgate ").skip(1) {
        let (shown, _) = rest.split_once("\n```").expect("a block ends");
        let (line, expected) = shown.split_once('\n').expect("a command has an answer");
        if !line.starts_with("explain") && !line.starts_with("routes") {
            continue;
        }
        let mut arguments = words("-q");
        arguments.extend(words(line));
        let (out, _, _) = run(folder.path(), &arguments);
        assert_eq!(out.trim_end(), expected, "{line}");
        count += 1;
    }
    assert_eq!(count, 2, "transcripts in the README");
}

#[test]
fn what_the_files_keep_secret_is_not_printed() {
    let folder = Folder::new();
    fs::write(folder.path().join("secret"), "hidden-in-here.test").expect("a file is written");
    let toml = "[sites]\n\"http://a.test\" = { to = 3000, host = \"${file:secret}\" }\n";
    fs::write(folder.path().join("hotgate.toml"), toml).expect("a file is written");
    for form in ["", " --json"] {
        for verb in ["explain http://a.test/", "routes"] {
            let (out, err, code) = run(
                folder.path(),
                &words(&format!("-c hotgate.toml {verb}{form}")),
            );
            assert_eq!(code, 0, "{err}");
            assert!(
                out.contains("***") && !out.contains("hidden"),
                "{verb}: {out}"
            );
        }
    }
}

fn live(toml: &str, line: &str) -> (Value, i32) {
    let folder = Folder::new();
    fs::write(folder.path().join("hotgate.toml"), toml).expect("a file is written");
    let line = format!("-q --json -c hotgate.toml explain --live {line}");
    let (out, err, code) = run(folder.path(), &words(&line));
    let facts = serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out}{err}"));
    (facts, code)
}

/// The step's words, whether it went well, and what came of it.
fn steps(facts: &Value) -> Vec<String> {
    let steps = facts["live"].as_array().expect("steps");
    let step = |step: &Value| {
        assert!(step["microseconds"].is_u64());
        let mark = if step["ok"] == true { "✓" } else { "✗" };
        let text = |key: &str| step[key].as_str().expect("words").to_owned();
        format!("{mark} {}: {}", text("what"), text("result"))
    };
    steps.iter().map(step).collect()
}

#[test]
fn live_sends_what_was_explained_and_says_what_came() {
    let origin = Origin::answering("HTTP/1.1 204 Fine\r\n\r\n");
    let port = origin.port();
    let toml = format!("[sites]\n\"http://a.test\" = {port}\n");
    let (facts, code) = live(&toml, "http://a.test/x -H 'Cookie: a=b'");
    assert_eq!(
        steps(&facts),
        [
            format!("✓ connect to 127.0.0.1:{port}: accepted"),
            "✓ first octet of the response: HTTP/1.1 204 Fine".to_owned(),
        ]
    );
    assert_eq!(code, 0);
    let received = String::from_utf8(origin.finish()[0].bytes.clone()).expect("ASCII");
    assert_eq!(facts["sent"], received);
}

#[test]
fn live_sends_nothing_that_could_do_harm() {
    for line in [
        "POST http://a.test/",
        "DELETE http://a.test/",
        "GET http://a.test/ -H 'Content-Length: 3'",
    ] {
        let origin = Origin::saying("never asked");
        let toml = format!("[sites]\n\"http://a.test\" = {}\n", origin.port());
        let (facts, code) = live(&toml, line);
        assert_eq!((steps(&facts).len(), code), (1, 0), "{line}");
        assert!(origin.finish()[0].bytes.is_empty(), "{line}");
    }
}

#[test]
fn live_goes_to_the_next_target_where_the_first_is_down_and_fails_where_all_are() {
    let origin = Origin::saying("here");
    let (down, port) = (free_port(), origin.port());
    let toml = |targets: &str| format!("[sites]\n\"http://a.test\" = [{targets}]\n");
    let refused = format!("✗ connect to 127.0.0.1:{down}: refused: nothing listens there");
    let both = format!("\"127.0.0.1:{down}\", \"127.0.0.1:{port}\"");
    let (facts, code) = live(&toml(&both), "http://a.test/");
    assert_eq!(
        steps(&facts),
        [
            refused.clone(),
            format!("✓ connect to 127.0.0.1:{port}: accepted"),
            "✓ first octet of the response: HTTP/1.1 200 OK".to_owned(),
        ]
    );
    assert_eq!(code, 0);
    let (facts, code) = live(&toml(&format!("\"127.0.0.1:{down}\"")), "http://a.test/");
    assert_eq!((steps(&facts), code), (vec![refused], 1));
}

#[test]
fn live_shakes_hands_with_a_target_of_https() {
    let (folder, authority) = (Folder::new(), Authority::new("internal root"));
    let ca = folder.path().join("ca.pem");
    fs::write(&ca, authority.pem()).expect("written");
    let origin = Origin::saying("here");
    let back = Serving::of(&authority.server(&["app.internal"])).before(origin.port());
    let port = back.port();
    let toml = |tls: &str| {
        format!(
            "[sites.\"http://a.test\"]\nto = \"https://127.0.0.1:{port}\"\nupstream_tls = {{ {tls} }}\n"
        )
    };
    let good = format!("ca = {ca:?}, server_name = \"app.internal\"");
    let connected = format!("✓ connect to 127.0.0.1:{port}: accepted");
    let (facts, code) = live(&toml(&good), "http://a.test/");
    assert_eq!(
        steps(&facts),
        [
            connected.clone(),
            format!(
                "✓ handshake with app.internal: TLS 1.3, believed by {}",
                ca.display()
            ),
            "✓ first octet of the response: HTTP/1.1 200 OK".to_owned(),
        ]
    );
    assert_eq!(code, 0);
    let found = |key: &str| {
        let stages = facts["stages"].as_array().expect("stages");
        let stage = stages.iter().find(|stage| stage["stage"] == "app_tls");
        stage.expect("there")[key]
            .as_str()
            .expect("words")
            .to_owned()
    };
    assert_eq!(found("decision"), "verified as `app.internal`");
    assert!(found("why").contains("ca.pem"));
    let (facts, code) = live(&toml(&good.replace("app.", "other.")), "http://a.test/");
    let told = steps(&facts);
    assert_eq!((told.len(), &told[0], code), (2, &connected, 1));
    assert!(
        told[1].starts_with("✗ handshake with other.internal: invalid peer certificate"),
        "{told:?}"
    );
    let (facts, code) = live(&toml("ca = \"none.pem\""), "http://a.test/");
    assert_eq!(code, 1);
    assert!(
        steps(&facts)[1].contains("none.pem is not there"),
        "{facts}"
    );
    let answered = origin.finish();
    let asked = answered.iter().filter(|record| !record.bytes.is_empty());
    assert_eq!(asked.count(), 1);
}
