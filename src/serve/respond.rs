//! Responses made here: one page for every reason.
//!
//! They hold nothing that a peer sent and nothing of an upstream: a sentence, the status, the request's id.

use std::io::Write;

use crate::h1::encode::{Encoder, encode_status_line};
use crate::http::fields::{FieldName, Fields, list_members};
use crate::http::method::Method;
use crate::http::status::Status;
use crate::net::{Buffer, Class};
use crate::policy::reason::Reason;
use crate::telemetry::RequestId;

/// How the page is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PageFormat {
    /// For programs that ask for nothing in particular.
    Text,
    /// For browsers.
    Html,
    /// For programs that ask for it.
    Json,
}

impl PageFormat {
    /// What Accept asks for: HTML before JSON, where both are named; quality values are not weighed.
    pub fn wished(fields: &Fields, octets: &[u8]) -> PageFormat {
        let mut members = fields.all(octets, FieldName::Accept).flat_map(list_members);
        let found = members.find_map(|member| {
            let media = member
                .split(|octet| *octet == b';')
                .next()
                .unwrap_or_default()
                .trim_ascii();
            let is = |known: &str| media.eq_ignore_ascii_case(known.as_bytes());
            if is("text/html") || is("application/xhtml+xml") {
                Some(PageFormat::Html)
            } else if is("application/json") || is("application/problem+json") {
                Some(PageFormat::Json)
            } else {
                None
            }
        });
        found.unwrap_or(PageFormat::Text)
    }

    /// Its Content-Type.
    pub fn content_type(self) -> &'static [u8] {
        match self {
            PageFormat::Text => b"text/plain; charset=utf-8",
            PageFormat::Html => b"text/html; charset=utf-8",
            PageFormat::Json => b"application/json",
        }
    }
}

/// What the page answers.
pub struct Answer<'a> {
    /// Why it is made.
    pub reason: Reason,
    /// Its status.
    pub status: Status,
    /// How it is written.
    pub format: PageFormat,
    /// The method that it answers: to HEAD the content is left out.
    pub method: Method,
    /// The request's id.
    pub id: RequestId,
    /// The connection carries on after it.
    pub persists: bool,
    /// The Date field's value.
    pub date: &'a [u8],
}

/// A whole response, and how many octets of it are content.
pub fn page(answer: &Answer<'_>) -> (Buffer, usize) {
    let mut content = [0u8; CONTENT_BYTES_MAX];
    let length = write_content(answer, &mut content);
    let mut buffer = Buffer::rent(Class::Head);
    let mut e = Encoder::new(buffer.spare_mut());
    encode_status_line(&mut e, answer.status, answer.status.reason().as_bytes());
    e.field(b"Content-Type", answer.format.content_type());
    e.field(b"X-Content-Type-Options", b"nosniff");
    e.field(b"Cache-Control", b"no-store");
    e.field(b"Date", answer.date);
    if let Some((name, value)) = extra_field(answer.reason) {
        e.field(name, value);
    }
    e.put(b"Content-Length: ");
    e.put_decimal(length as u64);
    e.put(b"\r\n");
    if !answer.persists {
        e.field(b"Connection", b"close");
    }
    e.put(b"\r\n");
    let sent = if answer.method == Method::Head {
        0
    } else {
        length
    };
    e.put(&content[..sent]);
    let written = e.finish().expect("a page is far smaller than a block");
    buffer.commit(written);
    (buffer, sent)
}

/// Some statuses ask for a field line of their own.
fn extra_field(reason: Reason) -> Option<(&'static [u8], &'static [u8])> {
    match reason {
        // RFC 9110 §15.5.6: a 405 says what is allowed; these two never are, and what is, the site knows.
        Reason::MethodRefused => Some((b"Allow", b"GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS")),
        Reason::NoUpstream | Reason::Draining | Reason::Overloaded => Some((b"Retry-After", b"1")),
        _ => None,
    }
}

/// The longest page: fixed words, a sentence of at most 72 octets, a status, an id.
const CONTENT_BYTES_MAX: usize = 1024;

fn write_content(answer: &Answer<'_>, out: &mut [u8; CONTENT_BYTES_MAX]) -> usize {
    let (code, title) = (answer.status.code(), answer.status.reason());
    let (sentence, id) = (sentence_of(answer.reason), answer.id);
    let mut rest = &mut out[..];
    let written = match answer.format {
        PageFormat::Text => write!(rest, "{code} {title}\n{sentence}\nrequest {id}\n"),
        PageFormat::Json => writeln!(
            rest,
            "{{\"status\":{code},\"error\":\"{title}\",\"message\":\"{sentence}\",\"request_id\":\"{id}\"}}"
        ),
        PageFormat::Html => writeln!(
            rest,
            "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\">\
             <meta name=\"viewport\" content=\"width=device-width\"><title>{code} {title}</title>\
             <style>body{{font:1rem/1.5 system-ui,sans-serif;max-width:36rem;margin:15vh auto;padding:0 1rem;\
             color-scheme:light dark}}small{{opacity:.6}}</style>\
             <h1>{code} {title}</h1><p>{sentence}</p><small>request {id}</small></html>"
        ),
    };
    written.expect("the longest page fits");
    let left = rest.len();
    CONTENT_BYTES_MAX - left
}

/// The page of an unknown host is how one learns that the proxy runs at all.
fn sentence_of(reason: Reason) -> &'static str {
    match reason {
        Reason::UnknownHost => "hotgate runs; no site has this name.",
        other => other.sentence(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(reason: Reason, format: PageFormat, method: Method) -> String {
        let status = reason.status().unwrap_or(Status::OK);
        let id = RequestId {
            boot: u64::MAX,
            worker: u16::MAX,
            serial: u64::MAX,
        };
        let date = b"Mon, 23 Nov 2026 00:00:00 GMT";
        let (buffer, _) = page(&Answer {
            reason,
            status,
            format,
            method,
            id,
            persists: false,
            date,
        });
        String::from_utf8(buffer.window().to_vec()).expect("ASCII")
    }

    #[test]
    fn every_reason_has_a_page_in_every_format() {
        for reason in Reason::ALL {
            for format in [PageFormat::Text, PageFormat::Html, PageFormat::Json] {
                let text = answer(reason, format, Method::Get);
                let (head, content) = text.split_once("\r\n\r\n").expect("a head");
                assert!(
                    head.contains(&format!("Content-Length: {}\r\n", content.len())),
                    "{reason}"
                );
                assert!(content.contains(sentence_of(reason)), "{reason}");
            }
        }
    }

    #[test]
    fn json_is_json() {
        for reason in Reason::ALL {
            let text = answer(reason, PageFormat::Json, Method::Get);
            let (_, content) = text.split_once("\r\n\r\n").expect("a head");
            let value: serde_json::Value = serde_json::from_str(content).expect("JSON");
            assert_eq!(value["message"], sentence_of(reason));
        }
    }

    #[test]
    fn a_head_is_answered_without_content() {
        let text = answer(Reason::NoRoute, PageFormat::Text, Method::Head);
        assert!(text.ends_with("\r\n\r\n"));
        assert!(!text.contains("Content-Length: 0\r\n"));
    }

    #[test]
    #[rustfmt::skip]
    fn accept_chooses_the_format() {
        check("",                                               PageFormat::Text);
        check("*/*",                                            PageFormat::Text);
        check("text/html,application/xhtml+xml;q=0.9,*/*;q=.8", PageFormat::Html);
        check("application/json, text/plain, */*",              PageFormat::Json);
        check("Application/Problem+JSON;q=0.5",                 PageFormat::Json);
        check("text/htmlx",                                     PageFormat::Text);
    }

    #[track_caller]
    fn check(accept: &str, expected: PageFormat) {
        let (mut fields, mut octets) = (Fields::new(), Vec::new());
        fields.push_pair(&mut octets, b"Accept", accept.as_bytes());
        assert_eq!(PageFormat::wished(&fields, &octets), expected, "{accept}");
    }
}
