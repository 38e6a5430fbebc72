//! The access line as JSON: Caddy's field layout, then what hotgate adds to it.
//!
//! Names, nesting, order, units and types up to `resp_headers` are those of Caddy's `http.log.access`
//! (`modules/caddyhttp/{server,marshalers}.go`), so that its readers work unchanged. Every key is always there,
//! except for the members of `headers` and `resp_headers`, which are the field lines that came; of those only the
//! ones named here are written, never `Authorization` or `Cookie`.
//!
//! Departure from Caddy: octets that are not UTF-8 become `\u00XX` where Caddy writes U+FFFD.

use super::access::AccessRecord;
use super::redact::Redaction;
use super::{decimal, escape};

/// Appends one line, line feed included. It is valid JSON and holds no other line feed, whatever a peer sent.
pub fn write_json(record: &AccessRecord<'_>, out: &mut Vec<u8>, redact: &Redaction) {
    // Caddy's levels: a response of the class 5xx is an error.
    out.extend_from_slice(match record.status {
        500.. => br#"{"level":"error","ts":"#,
        _ => br#"{"level":"info","ts":"#,
    });
    decimal::put_seconds(out, record.ts_unix_nanos);
    out.extend_from_slice(
        br#","logger":"http.log.access","msg":"handled request","request":{"remote_ip":""#,
    );
    decimal::put_ip(out, record.peer.ip());
    out.extend_from_slice(br#"","remote_port":""#);
    decimal::put(out, record.peer.port().into());
    out.extend_from_slice(br#"","client_ip":""#);
    decimal::put_ip(out, record.client_ip);
    out.extend_from_slice(br#"","proto":""#);
    out.extend_from_slice(record.proto.as_str().as_bytes());
    out.extend_from_slice(br#"","method":""#);
    escape::put_json(out, record.method);
    out.extend_from_slice(br#"","host":""#);
    escape::put_json(out, record.host);
    out.extend_from_slice(br#"","uri":""#);
    redact.visit(record.uri, |piece| escape::put_json(out, piece));
    out.extend_from_slice(br#"","headers":{"#);
    if let Some(user_agent) = record.user_agent {
        out.extend_from_slice(br#""User-Agent":[""#);
        escape::put_json(out, user_agent);
        out.extend_from_slice(br#""]"#);
    }
    if let Some(referer) = record.referer {
        if record.user_agent.is_some() {
            out.push(b',');
        }
        out.extend_from_slice(br#""Referer":[""#);
        redact.visit(referer, |piece| escape::put_json(out, piece));
        out.extend_from_slice(br#""]"#);
    }
    out.extend_from_slice(br#"}},"bytes_read":"#);
    decimal::put(out, record.bytes_read);
    out.extend_from_slice(br#","user_id":""#);
    escape::put_json(out, record.user_id.unwrap_or_default());
    out.extend_from_slice(br#"","duration":"#);
    decimal::put_seconds(out, record.duration_nanos);
    out.extend_from_slice(br#","size":"#);
    decimal::put(out, record.bytes_sent);
    out.extend_from_slice(br#","status":"#);
    decimal::put(out, record.status.into());
    out.extend_from_slice(br#","resp_headers":{"#);
    if let Some(content_type) = record.content_type {
        out.extend_from_slice(br#""Content-Type":[""#);
        escape::put_json(out, content_type);
        out.extend_from_slice(br#""]"#);
    }
    out.extend_from_slice(br#"},"site":""#);
    escape::put_json(out, record.site.as_bytes());
    out.extend_from_slice(br#"","route":""#);
    escape::put_json(out, record.route.as_bytes());
    out.extend_from_slice(br#"","upstream":""#);
    escape::put_json(out, record.upstream.as_bytes());
    out.extend_from_slice(br#"","upstream_duration":"#);
    match record.upstream_duration_nanos {
        Some(nanos) => decimal::put_seconds(out, nanos),
        None => out.extend_from_slice(b"null"),
    }
    out.extend_from_slice(br#","worker":"#);
    decimal::put(out, record.worker.into());
    out.extend_from_slice(br#","reason":""#);
    escape::put_json(out, record.reason.as_bytes());
    out.extend_from_slice(br#"","id":""#);
    out.extend_from_slice(&record.id.text());
    out.extend_from_slice(b"\"}\n");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::message::Version;
    use crate::telemetry::access::tests::PLAIN;

    fn line(record: AccessRecord<'_>, redact: &Redaction) -> String {
        let mut out = Vec::new();
        write_json(&record, &mut out, redact);
        String::from_utf8(out).expect("JSON is UTF-8")
    }

    #[track_caller]
    fn check(record: AccessRecord<'_>, pointer: &str, expected: serde_json::Value) {
        let line = line(record, &Redaction::of_query(["token"]));
        let (text, after) = line.split_once('\n').expect("a line ends");
        assert_eq!(after, "", "one line");
        assert!(!text.contains(|c: char| c.is_control() || c == '\u{2028}' || c == '\u{2029}'));
        let value: serde_json::Value = serde_json::from_str(text).expect("valid JSON");
        assert_eq!(value.pointer(pointer), Some(&expected), "{text}");
    }

    #[test]
    fn the_whole_line() {
        assert_eq!(
            line(PLAIN, &Redaction::default()),
            concat!(
                r#"{"level":"info","ts":1795392694.123456789,"logger":"http.log.access","#,
                r#""msg":"handled request","request":{"remote_ip":"203.0.113.7","#,
                r#""remote_port":"41342","client_ip":"::1","proto":"HTTP/1.1","method":"GET","#,
                r#""host":"example.com","uri":"/a?b=c","headers":{"User-Agent":["curl/8.5.0"],"#,
                r#""Referer":[""]}},"bytes_read":0,"user_id":"","duration":0.000929675,"#,
                r#""size":10900,"status":200,"resp_headers":{"Content-Type":["text/html"]},"#,
                r#""site":"example.com","route":"/","upstream":"127.0.0.1:3000","#,
                r#""upstream_duration":0.0008,"worker":3,"reason":"","#,
                r#""id":"000000016g00r000000001"}"#,
                "\n"
            )
        );
    }

    #[test]
    fn optional_values() {
        let none = AccessRecord {
            user_agent: None,
            referer: None,
            content_type: None,
            upstream_duration_nanos: None,
            ..PLAIN
        };
        check(none, "/request/headers", serde_json::json!({}));
        check(none, "/resp_headers", serde_json::json!({}));
        check(none, "/upstream_duration", serde_json::Value::Null);
        check(none, "/user_id", "".into());
        let referer = AccessRecord {
            referer: Some(b"https://a.example/"),
            ..none
        };
        check(
            referer,
            "/request/headers",
            serde_json::json!({"Referer": ["https://a.example/"]}),
        );
        let user = AccessRecord {
            user_id: Some(b"al\"ice"),
            ..none
        };
        check(user, "/user_id", "al\"ice".into());
        check(
            PLAIN,
            "/request/headers",
            serde_json::json!({"User-Agent": ["curl/8.5.0"], "Referer": [""]}),
        );
    }

    #[test]
    fn levels_and_versions() {
        let status = |status| AccessRecord { status, ..PLAIN };
        for (code, level) in [(0, "info"), (499, "info"), (500, "error"), (599, "error")] {
            check(status(code), "/level", level.into());
            check(status(code), "/status", code.into());
        }
        let old = AccessRecord {
            proto: Version::Http10,
            ..PLAIN
        };
        check(old, "/request/proto", "HTTP/1.0".into());
    }

    #[test]
    fn hostile_values_stay_inside_their_strings() {
        // LG-01: an escape sequence, a quote, CRLF, U+2028.
        let hostile = "/\x1b[2J\"\r\n{\"status\":200}\u{2028}\\";
        let record = AccessRecord {
            method: hostile.as_bytes(),
            host: hostile.as_bytes(),
            uri: hostile.as_bytes(),
            user_id: Some(hostile.as_bytes()),
            user_agent: Some(hostile.as_bytes()),
            referer: Some(hostile.as_bytes()),
            content_type: Some(hostile.as_bytes()),
            site: hostile,
            route: hostile,
            upstream: hostile,
            reason: hostile,
            ..PLAIN
        };
        for pointer in [
            "/request/method",
            "/request/host",
            "/request/uri",
            "/request/headers/User-Agent/0",
            "/request/headers/Referer/0",
            "/resp_headers/Content-Type/0",
            "/user_id",
            "/site",
            "/route",
            "/upstream",
            "/reason",
        ] {
            check(record, pointer, hostile.into());
        }
        let octets = AccessRecord {
            uri: b"/\xFF\x80\0",
            ..PLAIN
        };
        check(octets, "/request/uri", "/\u{ff}\u{80}\0".into());
    }

    #[test]
    fn secrets_are_hidden_in_target_and_referer() {
        let record = AccessRecord {
            uri: b"/a?token=s&b=\"",
            referer: Some(b"https://a.example/?b=c&token=\"s"),
            ..PLAIN
        };
        check(record, "/request/uri", "/a?token=***&b=\"".into());
        check(
            record,
            "/request/headers/Referer/0",
            "https://a.example/?b=c&token=***".into(),
        );
    }
}
