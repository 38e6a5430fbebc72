//! Responses made here: one page for every reason.
//!
//! They hold nothing that a peer sent and nothing of an upstream: a sentence, the status, the request's id. Only a redirect
//! sends the target back, where it came from.

use std::borrow::Cow;
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

/// What an answer has of its own.
#[derive(Debug)]
pub enum Own {
    /// Nothing: it is the page of its reason.
    Page,
    /// The page, and where to go (RFC 9110 §10.2.2).
    Location(Vec<u8>),
    /// The page with this sentence in place of the reason's.
    Sentence(String),
    /// This text alone.
    Content(String),
}

/// What the page answers.
pub struct Answer<'a> {
    /// Why it is made.
    pub reason: Reason,
    /// What it has of its own.
    pub own: &'a Own,
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
    /// The value of Strict-Transport-Security, over TLS.
    pub hsts: Option<&'a [u8]>,
}

impl Answer<'_> {
    /// Its Content-Type.
    pub fn content_type(&self) -> &'static [u8] {
        match self.own {
            // RFC 8555 §8.3 asks for this one.
            Own::Content(_) => b"application/octet-stream",
            Own::Page | Own::Location(_) | Own::Sentence(_) => self.format.content_type(),
        }
    }
}

/// A whole response, and how many octets of it are content.
pub fn page(answer: &Answer<'_>) -> (Buffer, usize) {
    let mut content = [0u8; CONTENT_BYTES_MAX];
    let length = write_content(answer, &mut content);
    let mut buffer = Buffer::rent(Class::Head);
    let mut e = Encoder::new(buffer.spare_mut());
    encode_status_line(&mut e, answer.status, answer.status.reason().as_bytes());
    e.field(b"Content-Type", answer.content_type());
    e.field(b"X-Content-Type-Options", b"nosniff");
    e.field(b"Cache-Control", b"no-store");
    e.field(b"Date", answer.date);
    if let Own::Location(location) = answer.own {
        e.field(b"Location", location);
    }
    if let Some(hsts) = answer.hsts {
        e.field(b"Strict-Transport-Security", hsts);
    }
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
        Reason::NoCertificate => Some((b"Retry-After", b"5")),
        _ => None,
    }
}

/// The longest page: fixed words, a sentence, a status, an id.
const CONTENT_BYTES_MAX: usize = 3072;
/// Octets of a sentence of its own; what is longer is cut. Escaped, each is six at the most.
const SENTENCE_BYTES_MAX: usize = 320;

// The fixed words are less than 1024, and so is the text of a challenge.
const _: () = assert!(1024 + 6 * SENTENCE_BYTES_MAX <= CONTENT_BYTES_MAX);

fn write_content(answer: &Answer<'_>, out: &mut [u8; CONTENT_BYTES_MAX]) -> usize {
    let (code, title) = (answer.status.code(), answer.status.reason());
    let mut rest = &mut out[..];
    let sentence = match answer.own {
        Own::Page | Own::Location(_) => Cow::Borrowed(sentence_of(answer.reason)),
        Own::Sentence(sentence) => Cow::Owned(written_in(sentence, answer.format)),
        Own::Content(text) => {
            let text = &text.as_bytes()[..text.len().min(CONTENT_BYTES_MAX)];
            out[..text.len()].copy_from_slice(text);
            return text.len();
        }
    };
    let id = answer.id;
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

/// A sentence that came from elsewhere, an authority above all: on one line, cut, and with nothing in it that the format
/// would take for more than text.
fn written_in(sentence: &str, format: PageFormat) -> String {
    let end = sentence.floor_char_boundary(SENTENCE_BYTES_MAX);
    let mut written = String::with_capacity(sentence.len());
    for c in sentence[..end].chars() {
        match (format, c) {
            (_, c) if c.is_control() => written.push(' '),
            (PageFormat::Html, '&') => written += "&amp;",
            (PageFormat::Html, '<') => written += "&lt;",
            (PageFormat::Html, '>') => written += "&gt;",
            (PageFormat::Html, '"') => written += "&quot;",
            (PageFormat::Json, '"' | '\\') => written.extend(['\\', c]),
            (PageFormat::Text | PageFormat::Html | PageFormat::Json, c) => written.push(c),
        }
    }
    written
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
        own_answer(reason, &Own::Page, format, method)
    }

    fn own_answer(reason: Reason, own: &Own, format: PageFormat, method: Method) -> String {
        let status = reason.status().unwrap_or(Status::OK);
        let id = RequestId {
            boot: u64::MAX,
            worker: u16::MAX,
            serial: u64::MAX,
        };
        let date = b"Mon, 23 Nov 2026 00:00:00 GMT";
        let (buffer, _) = page(&Answer {
            reason,
            own,
            status,
            format,
            method,
            id,
            persists: false,
            date,
            hsts: None,
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
    fn a_sentence_of_another_is_text_and_nothing_more() {
        let evil = "no \"A\" <b>for</b> x\\y & z\r\n".to_owned();
        let page = |format| {
            let own = Own::Sentence(evil.clone());
            let text = own_answer(Reason::NoCertificate, &own, format, Method::Get);
            let (_, content) = text.split_once("\r\n\r\n").expect("a head");
            content.to_owned()
        };
        let value: serde_json::Value = serde_json::from_str(&page(PageFormat::Json)).expect("JSON");
        assert_eq!(value["message"], "no \"A\" <b>for</b> x\\y & z  ");
        assert!(
            page(PageFormat::Html)
                .contains("<p>no &quot;A&quot; &lt;b&gt;for&lt;/b&gt; x\\y &amp; z  </p>")
        );
        assert!(page(PageFormat::Text).contains("\nno \"A\" <b>for</b> x\\y & z  \n"));
        // The longest there is.
        for format in [PageFormat::Text, PageFormat::Html, PageFormat::Json] {
            let own = Own::Sentence("\"é".repeat(SENTENCE_BYTES_MAX));
            own_answer(Reason::NoCertificate, &own, format, Method::Get);
        }
    }

    #[test]
    fn answers_with_something_of_their_own() {
        let own = Own::Location(b"https://a.test/x?y".to_vec());
        let text = own_answer(Reason::HttpsRedirect, &own, PageFormat::Text, Method::Get);
        assert!(
            text.starts_with("HTTP/1.1 308 Permanent Redirect\r\n"),
            "{text}"
        );
        assert!(
            text.contains("\r\nLocation: https://a.test/x?y\r\n"),
            "{text}"
        );
        let own = Own::Content("token.thumb".to_owned());
        let text = own_answer(Reason::AcmeChallenge, &own, PageFormat::Html, Method::Get);
        assert!(
            text.contains("\r\nContent-Type: application/octet-stream\r\n"),
            "{text}"
        );
        assert!(text.contains("\r\nContent-Length: 11\r\n"), "{text}");
        assert!(text.ends_with("\r\n\r\ntoken.thumb"), "{text}");
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
