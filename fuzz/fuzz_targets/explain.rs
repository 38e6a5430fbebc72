//! Any method, URL, fields and address asked of one configuration that has everything: no panic, and what would be sent
//! is one well-formed head with one Host, whatever came in.
//!
//! U+0000 parts the text into method, URL, listener and field lines.
#![no_main]

use std::net::IpAddr;
use std::sync::LazyLock;

use hotgate::config::{Config, Source, parse};
use hotgate::h1::field_lines::{HeadLimits, Progress};
use hotgate::h1::request::RequestParser;
use hotgate::serve::explain::{Outcome, Query, explain};
use libfuzzer_sys::fuzz_target;

const TEXT: &str = r#"
[server]
http = [":80", "127.0.0.1:8080", "[::1]:8080"]
trusted_proxies = ["10.0.0.0/8"]
[limits]
header_count = 20
[sites]
"http://a.test" = [3000, "app:80", "unix:/run/a.sock"]
"http://*.b.test" = 1
"http://a.test:81" = 2
"*" = { builtin = "whoami" }
[sites."http://c.test"]
to = 1
host = "upstream"
limits.body = "10B"
upgrade = ["websocket", "x/1"]
[sites."http://c.test".paths]
"/api" = { to = 2, strip = true }
"/api/v1" = { allow = ["10.0.0.0/8", "fd00::/8"], underscore_headers = true }
"=/%2fx" = { to = "unix:/run/a.sock", host = "inner:1", log = false }
"#;

static CONFIG: LazyLock<Config> = LazyLock::new(|| {
    let source = Source {
        name: "f.toml",
        text: TEXT,
    };
    parse(&[source]).unwrap_or_else(|errors| panic!("{}", errors[0]))
});

const FROM: [&str; 4] = ["127.0.0.1", "10.1.2.3", "fd00::1", "::ffff:10.1.2.3"];

fuzz_target!(|input: (u8, &str)| {
    let (from, text) = input;
    let parts: Vec<&str> = text.split('\0').collect();
    let [method, url, listener, fields @ ..] = parts.as_slice() else {
        return;
    };
    let from: IpAddr = FROM[usize::from(from) % FROM.len()]
        .parse()
        .expect("ours are addresses");
    let fields: Vec<String> = fields.iter().map(|field| (*field).to_owned()).collect();
    let query = Query {
        method,
        url,
        from,
        fields: &fields,
        listener: Some(*listener).filter(|listener| !listener.is_empty()),
    };
    let Ok(explanation) = explain(&CONFIG, &query) else {
        return;
    };
    assert!(!explanation.stages.is_empty());
    let Outcome::Forwarded(forwarded) = &explanation.outcome else {
        return;
    };
    let head = forwarded.head();
    let limits = HeadLimits {
        head_bytes: 1 << 20,
        fields: 4096,
    };
    let mut parser = RequestParser::new();
    let progress = parser.parse(head.as_bytes(), &limits);
    assert!(
        matches!(progress, Ok(Progress::Complete)),
        "{:?} of {:?}",
        progress,
        head
    );
    assert_eq!(parser.head.length, head.len());
    let lines = head.split("\r\n");
    let hosts = lines.filter(|line| line.to_ascii_lowercase().starts_with("host:"));
    assert_eq!(hosts.count(), 1, "{:?}", head);
});
