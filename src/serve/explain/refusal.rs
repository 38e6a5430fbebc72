//! Where a head is refused before it has a route, and for what.
//!
//! The parts of [`dispatch::facts`](crate::serve::dispatch::facts) are asked again, one by one in its order, until one
//! refuses: that is the one it was.

use super::Stage;
use crate::config::Config;
use crate::h1::error::{ParseError, ParseErrorKind};
use crate::h1::framing::of_request;
use crate::http::authority::Authority;
use crate::http::fields::FieldName;
use crate::http::hop_by_hop::ConnectionOptions;
use crate::http::message::RequestHead;
use crate::http::method::Method;
use crate::http::path::normalize_path;
use crate::http::target::parse_target;
use crate::policy::Reason;

/// The parser refused it.
pub(super) fn of_parser(octets: &[u8], error: ParseError, config: &Config) -> Stage {
    let limit = match error.kind {
        ParseErrorKind::HeadTooLarge => Some("limits.header_size"),
        ParseErrorKind::TooManyFields => Some("limits.header_count"),
        ParseErrorKind::BareLf
        | ParseErrorKind::BareCr
        | ParseErrorKind::TooManyLeadingLines
        | ParseErrorKind::BadMethod
        | ParseErrorKind::MethodTooLong
        | ParseErrorKind::RequestLineTooLong
        | ParseErrorKind::BadTarget
        | ParseErrorKind::MissingVersion
        | ParseErrorKind::BadVersion
        | ParseErrorKind::UnsupportedVersion
        | ParseErrorKind::BadStatus
        | ParseErrorKind::BadReason
        | ParseErrorKind::LeadingSpace
        | ParseErrorKind::EmptyName
        | ParseErrorKind::BadName
        | ParseErrorKind::SpaceBeforeColon
        | ParseErrorKind::MissingColon
        | ParseErrorKind::BadValue => None,
    };
    let what = error.kind.as_str().replace('_', " ");
    let why = match limit {
        Some(key) => format!("{what}: {key}"),
        None => format!("{what}, in the line {:?}", line_at(octets, error.offset)),
    };
    Stage {
        name: "head",
        decision: format!("refused at octet {}", error.offset),
        why,
        place: limit.and_then(|key| config.default_origins.of(key).cloned()),
    }
}

/// The line that holds this octet, cut where it is long.
fn line_at(octets: &[u8], offset: usize) -> String {
    const SHOWN_MAX: usize = 60;
    let offset = offset.min(octets.len());
    let start = octets[..offset]
        .iter()
        .rposition(|octet| *octet == b'\n')
        .map_or(0, |at| at + 1);
    let rest = &octets[start..];
    let end = rest.iter().position(|octet| matches!(octet, b'\r' | b'\n'));
    let line = String::from_utf8_lossy(&rest[..end.unwrap_or(rest.len())]);
    match line.char_indices().nth(SHOWN_MAX) {
        Some((cut, _)) => format!("{}…", &line[..cut]),
        None => line.into_owned(),
    }
}

/// A head that was parsed says what is refused.
pub(super) fn of_facts(head: &RequestHead, octets: &[u8], reason: Reason) -> Stage {
    let (name, why) = part_of(head, octets, reason);
    Stage {
        name,
        decision: "refused".to_owned(),
        why,
        place: None,
    }
}

fn part_of(head: &RequestHead, octets: &[u8], reason: Reason) -> (&'static str, String) {
    if let Err(error) = of_request(head, octets) {
        return ("framing", error.as_str().replace('_', " "));
    }
    if let Err(error) = ConnectionOptions::of(&head.fields, octets) {
        return ("fields", error.to_string());
    }
    if matches!(head.method, Method::Connect | Method::Trace) {
        return ("method", "CONNECT and TRACE are never passed on".to_owned());
    }
    if let Err(error) = parse_target(octets, head.target, head.method) {
        return ("target", error.as_str().replace('_', " "));
    }
    if reason == Reason::ExpectationFailed {
        let why = "only one Expect, and that 100-continue, is understood";
        return ("expect", why.to_owned());
    }
    let host = head
        .fields
        .first(octets, FieldName::Host)
        .unwrap_or_default();
    let why = match head.fields.count(FieldName::Host) {
        0 => "HTTP/1.1 needs exactly one Host".to_owned(),
        1 => match Authority::parse(host) {
            Err(error) => error.to_string(),
            Ok(_) => "the target names another host than Host does".to_owned(),
        },
        count => format!("Host stands {count} times: two servers might take different ones"),
    };
    ("host", why)
}

/// The path has no one form.
pub(super) fn of_path(raw: &[u8]) -> Option<Stage> {
    let error = normalize_path(raw, &mut Vec::new()).err()?;
    Some(Stage {
        name: "path",
        decision: "refused".to_owned(),
        why: format!("{error}: {}", String::from_utf8_lossy(raw)),
        place: None,
    })
}
