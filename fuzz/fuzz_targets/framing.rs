//! Any field lines: framing is decided by the two fields alone, and only where nobody could decide otherwise.
#![no_main]

use hotgate::h1::framing::{self, Framing, LENGTH_MAX};
use hotgate::h1::{HeadLimits, Progress, RequestParser, ResponseParser};
use hotgate::http::message::Version;
use hotgate::http::method::Method;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|lines: &[u8]| {
    for version in [Version::Http10, Version::Http11] {
        check_request(version, lines);
        check_response(version, lines);
    }
});

fn check_request(version: Version, lines: &[u8]) {
    let text = [
        b"POST / ",
        version.as_str().as_bytes(),
        b"\r\n",
        lines,
        b"\r\n\r\n",
    ]
    .concat();
    let mut parser = RequestParser::new();
    let Ok(Progress::Complete) = parser.parse(&text, &HeadLimits::default()) else {
        return;
    };
    let head = &parser.head;
    let pairs: Vec<_> = head
        .fields
        .iter()
        .map(|line| (line.name.of(&text), line.value.of(&text)))
        .collect();
    match framing::of_request(head, &text) {
        Ok(Framing::UntilClose) => panic!("a request never ends by closing"),
        Ok(framing) => check(framing, version, &pairs),
        Err(error) => {
            assert!(matches!(error.status().code(), 400 | 501));
            assert!(
                !values(&pairs, b"content-length").is_empty()
                    || !values(&pairs, b"transfer-encoding").is_empty()
            );
        }
    }
}

fn check_response(version: Version, lines: &[u8]) {
    let text = [
        version.as_str().as_bytes(),
        b" 200 OK\r\n",
        lines,
        b"\r\n\r\n",
    ]
    .concat();
    let mut parser = ResponseParser::new();
    let Ok(Progress::Complete) = parser.parse(&text, &HeadLimits::default()) else {
        return;
    };
    let head = &parser.head;
    let pairs: Vec<_> = head
        .fields
        .iter()
        .map(|line| (line.name.of(&text), line.value.of(&text)))
        .collect();
    let answer = framing::of_response(Method::Get, head, &text);
    if let Ok(framing) = answer {
        check(framing, version, &pairs);
    }
    // Without a body, the fields are held to the same.
    let expected = answer.map(|_| Framing::None);
    assert_eq!(framing::of_response(Method::Head, head, &text), expected);
}

/// The naive twin, from the answer back to the fields.
fn check(framing: Framing, version: Version, pairs: &[(&[u8], &[u8])]) {
    let lengths = values(pairs, b"content-length");
    let codings = values(pairs, b"transfer-encoding");
    match framing {
        Framing::None | Framing::UntilClose => assert!(lengths.is_empty() && codings.is_empty()),
        Framing::Length(length) => {
            assert!(codings.is_empty() && lengths.len() == 1 && length <= LENGTH_MAX);
            let text = std::str::from_utf8(lengths[0]).expect("digits are ASCII");
            assert!(text.bytes().all(|octet| octet.is_ascii_digit()));
            assert_eq!(text.parse(), Ok(length));
        }
        Framing::Chunked => {
            assert!(lengths.is_empty() && codings.len() == 1 && version == Version::Http11);
            assert!(codings[0].eq_ignore_ascii_case(b"chunked"));
        }
    }
}

fn values<'a>(pairs: &[(&'a [u8], &'a [u8])], name: &[u8]) -> Vec<&'a [u8]> {
    let lines = pairs
        .iter()
        .filter(|line| line.0.eq_ignore_ascii_case(name));
    lines.map(|line| line.1).collect()
}
