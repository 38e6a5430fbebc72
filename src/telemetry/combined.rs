//! The access line in nginx's `combined` format, byte for byte:
//!
//! ```text
//! $remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent "$http_referer" "$http_user_agent"
//! ```
//!
//! as `src/http/modules/ngx_http_log_module.c` writes it: an absent variable is `-`, an empty one is nothing, and `"`,
//! `\` and all but printable ASCII become `\xHH`. For fail2ban, GoAccess and whatever else has read it for twenty
//! years.
//!
//! Three choices: the address is the client's as believed (nginx with `ngx_http_realip_module`), because that is the
//! one to ban; the time is UTC, whatever the system's zone, so that a line means the same everywhere; and a request
//! line that could not be read is `-`.

use super::access::AccessRecord;
use super::redact::Redaction;
use super::{decimal, escape};
use crate::http::date::imf_fixdate;

/// Appends one line, line feed included. It is printable ASCII, whatever a peer sent.
pub fn write_combined(record: &AccessRecord<'_>, out: &mut Vec<u8>, redact: &Redaction) {
    decimal::put_ip(out, record.client_ip);
    out.extend_from_slice(b" - ");
    match record.user_id {
        Some(user) => escape::put_nginx(out, user),
        None => out.push(b'-'),
    }
    out.extend_from_slice(b" [");
    put_time(out, record.ts_unix_nanos / 1_000_000_000);
    out.extend_from_slice(b"] \"");
    if record.method.is_empty() {
        out.push(b'-');
    } else {
        escape::put_nginx(out, record.method);
        out.push(b' ');
        redact.visit(record.uri, |piece| escape::put_nginx(out, piece));
        out.push(b' ');
        out.extend_from_slice(record.proto.as_str().as_bytes());
    }
    out.extend_from_slice(b"\" ");
    decimal::put_padded(out, record.status.into(), 3);
    out.push(b' ');
    decimal::put(out, record.bytes_sent);
    out.extend_from_slice(b" \"");
    match record.referer {
        Some(referer) => redact.visit(referer, |piece| escape::put_nginx(out, piece)),
        None => out.push(b'-'),
    }
    out.extend_from_slice(b"\" \"");
    match record.user_agent {
        Some(user_agent) => escape::put_nginx(out, user_agent),
        None => out.push(b'-'),
    }
    out.extend_from_slice(b"\"\n");
}

/// Appends `23/Nov/2026:00:11:34 +0000`. The calendar is `http::date`'s; its parts are put in another order.
fn put_time(out: &mut Vec<u8>, unix_seconds: u64) {
    // "Mon, 23 Nov 2026 00:11:34 GMT"
    let date = imf_fixdate(unix_seconds);
    out.extend_from_slice(&date[5..7]);
    out.push(b'/');
    out.extend_from_slice(&date[8..11]);
    out.push(b'/');
    out.extend_from_slice(&date[12..16]);
    out.push(b':');
    out.extend_from_slice(&date[17..25]);
    out.extend_from_slice(b" +0000");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::message::Version;
    use crate::telemetry::access::tests::PLAIN;

    #[track_caller]
    fn check(record: AccessRecord<'_>, expected: &str) {
        let mut out = Vec::new();
        write_combined(&record, &mut out, &Redaction::of_query(["token"]));
        assert_eq!(String::from_utf8(out), Ok(format!("{expected}\n")));
    }

    const NGINX: AccessRecord<'static> = AccessRecord {
        ts_unix_nanos: 1_795_392_694_999_999_999,
        client_ip: std::net::IpAddr::V4(std::net::Ipv4Addr::new(203, 0, 113, 7)),
        ..PLAIN
    };

    #[test]
    fn lines() {
        check(
            NGINX,
            r#"203.0.113.7 - - [23/Nov/2026:00:11:34 +0000] "GET /a?b=c HTTP/1.1" 200 10900 "" "curl/8.5.0""#,
        );
        check(
            AccessRecord {
                user_id: Some(b"al ice"),
                referer: None,
                user_agent: None,
                proto: Version::Http10,
                ..PLAIN
            },
            r#"::1 - al ice [23/Nov/2026:00:11:34 +0000] "GET /a?b=c HTTP/1.0" 200 10900 "-" "-""#,
        );
        check(
            AccessRecord {
                method: b"",
                uri: b"",
                status: 400,
                bytes_sent: 0,
                ts_unix_nanos: 0,
                ..NGINX
            },
            r#"203.0.113.7 - - [01/Jan/1970:00:00:00 +0000] "-" 400 0 "" "curl/8.5.0""#,
        );
        check(
            AccessRecord { status: 0, ..NGINX },
            r#"203.0.113.7 - - [23/Nov/2026:00:11:34 +0000] "GET /a?b=c HTTP/1.1" 000 10900 "" "curl/8.5.0""#,
        );
        check(
            AccessRecord {
                uri: b"/\xC3\xA9?token=s&x=\"",
                referer: Some(b"http://a/?token=s"),
                user_agent: Some(b"a\x1b[2J\\\"\r\n"),
                ..NGINX
            },
            r#"203.0.113.7 - - [23/Nov/2026:00:11:34 +0000] "GET /\xC3\xA9?token=***&x=\x22 HTTP/1.1" 200 10900 "http://a/?token=***" "a\x1B[2J\x5C\x22\x0D\x0A""#,
        );
    }
}
