//! The heads that hotgate sends on: end-to-end field lines as they came, hop-by-hop ones gone, ours in their place.
//!
//! Nothing is copied through unread: every line was parsed, and the framing is always our own.

use super::dispatch::{Client, Facts, Routed};
use super::incoming::IpText;
use super::reply::Delimiter;
use crate::config::{HostHeader, Settings};
use crate::h1::encode::{Encoder, encode_request_line, encode_status_line};
use crate::h1::framing::Framing;
use crate::http::field_name::{FieldName, set_of};
use crate::http::fields::Fields;
use crate::http::forwarding::{is_alias, is_replaced, is_spoofable};
use crate::http::hop_by_hop::ConnectionOptions;
use crate::http::message::{RequestHead, ResponseHead, Version};
use crate::http::method::Method;
use crate::http::status::Status;

/// Octets that our own field lines may add to a head: addresses, names of at most 255 octets twice, framing.
const OWN_FIELDS_BYTES_MAX: usize = 1536;
/// Octets that the name of the field with the client's subject has at the most.
const SUBJECT_NAME_BYTES_MAX: usize = 256;

/// Octets that a head takes at the most when it is written anew: a line that came as `name:value` gains a space.
pub fn room_for(head_length: usize, fields: &Fields) -> usize {
    head_length + fields.len() + OWN_FIELDS_BYTES_MAX
}

/// Octets that the subject of a client's certificate adds to a request head.
pub fn room_for_subject(subject: Option<&str>) -> usize {
    subject.map_or(0, |subject| SUBJECT_NAME_BYTES_MAX + subject.len() + 4)
}

/// What a request head for an upstream is made of.
pub struct RequestParts<'a> {
    /// As received.
    pub head: &'a RequestHead,
    /// The octets that its spans refer to.
    pub octets: &'a [u8],
    /// What it says.
    pub facts: &'a Facts<'a>,
    /// How its body is delimited upstream.
    pub framing: Framing,
    /// Where it goes.
    pub routed: &'a Routed<'a>,
    /// Who sent it.
    pub client: Client,
    /// The peer's address as text.
    pub peer_text: &'a IpText,
    /// The port that it came in on.
    pub port: u16,
    /// It came over TLS.
    pub is_tls: bool,
    /// The subject of the client's certificate, if it showed one that is good.
    pub client_subject: Option<&'a str>,
    /// The endpoint as written.
    pub endpoint: &'a str,
}

/// Encodes a request head. Returns how many field lines were dropped because their names are aliases of others.
pub fn request(e: &mut Encoder<'_>, parts: &RequestParts<'_>) -> u64 {
    let RequestParts {
        head,
        octets,
        facts,
        routed,
        ..
    } = *parts;
    request_line(e, parts);
    e.field(b"Host", host_of(parts));
    let mut aliases = 0;
    for line in head.fields.iter() {
        if is_dropped(line.known, parts.client.is_trusted)
            || facts.options.stops(line, &head.fields, octets)
        {
            continue;
        }
        let name = line.name.of(octets);
        if says_subject(name, &routed.plan.settings) {
            continue;
        }
        if line.known == FieldName::Other
            && !routed.plan.settings.underscore_headers
            && is_alias(name)
        {
            aliases += 1;
            continue;
        }
        e.field(name, line.value.of(octets));
    }
    forwarding(e, parts);
    if let (Some(name), Some(subject)) = (
        &routed.plan.settings.client_cert_header,
        parts.client_subject,
    ) {
        e.field(name.as_bytes(), subject.as_bytes());
    }
    match parts.framing {
        Framing::None | Framing::UntilClose => {}
        Framing::Length(length) => length_field(e, length),
        Framing::Chunked => e.field(b"Transfer-Encoding", b"chunked"),
    }
    if let Some(token) = routed.upgrade {
        e.field(b"Connection", b"Upgrade");
        e.field(b"Upgrade", token);
    }
    e.put(b"\r\n");
    aliases
}

/// Is it the field by which the app is told of the client's certificate, in any spelling that an app may take for it? A
/// client does not say that itself.
fn says_subject(name: &[u8], settings: &Settings) -> bool {
    let is_one = |(one, other): (&u8, &u8)| match (one, other) {
        (b'-' | b'_', b'-' | b'_') => true,
        (one, other) => one.eq_ignore_ascii_case(other),
    };
    let header = settings.client_cert_header.as_deref();
    header.is_some_and(|header| {
        header.len() == name.len() && header.as_bytes().iter().zip(name).all(is_one)
    })
}

fn request_line(e: &mut Encoder<'_>, parts: &RequestParts<'_>) {
    let RequestParts {
        head,
        octets,
        facts,
        routed,
        ..
    } = *parts;
    let method = head.method_token.of(octets);
    if facts.target.is_server_wide(head.method) {
        encode_request_line(e, method, b"*", None);
        return;
    }
    let query = facts.target.query.map(|span| span.of(octets));
    let path = match routed.plan.settings.strip {
        true => without_empty_segments(&routed.path[routed.prefix_length..]),
        false => routed.path,
    };
    match path {
        [] => encode_request_line(e, method, b"/", query),
        path => encode_request_line(e, method, path, query),
    }
}

/// What is left of a path behind its prefix, with one slash in front: two would read as the name of a host.
fn without_empty_segments(rest: &[u8]) -> &[u8] {
    let slashes = rest.iter().take_while(|octet| **octet == b'/').count();
    &rest[slashes.saturating_sub(1)..]
}

fn host_of<'a>(parts: &RequestParts<'a>) -> &'a [u8] {
    match &parts.routed.plan.settings.host {
        HostHeader::Keep => parts.facts.authority,
        HostHeader::Upstream => parts.endpoint.as_bytes(),
        HostHeader::Name(name) => name.as_bytes(),
    }
}

/// Field lines that never pass as they came: ours take their place, or the framing decides, or nobody may say them.
fn is_dropped(known: FieldName, is_trusted: bool) -> bool {
    OURS & known.bit() != 0 || is_replaced(known) || (!is_trusted && is_spoofable(known))
}

/// Written anew from what was parsed; the last four with a trusted proxy's value where there is one.
const OURS: u128 = set_of(&[
    FieldName::Host,
    FieldName::ContentLength,
    FieldName::TransferEncoding,
    FieldName::Expect,
    FieldName::XForwardedProto,
    FieldName::XForwardedHost,
    FieldName::XForwardedPort,
    FieldName::XForwardedPrefix,
]);

/// X-Forwarded-*, X-Real-IP and Via. What a trusted proxy said of the client's side is kept.
fn forwarding(e: &mut Encoder<'_>, parts: &RequestParts<'_>) {
    let RequestParts {
        head,
        octets,
        facts,
        routed,
        client,
        peer_text,
        port,
        is_tls,
        ..
    } = *parts;
    e.put(b"X-Forwarded-For: ");
    if client.is_trusted {
        for chain in head
            .fields
            .all(octets, FieldName::XForwardedFor)
            .filter(|chain| !chain.is_empty())
        {
            e.put(chain);
            e.put(b", ");
        }
    }
    e.put(peer_text.as_bytes());
    e.put(b"\r\n");
    let said = |known| {
        head.fields
            .first(octets, known)
            .filter(|value| client.is_trusted && !value.is_empty())
    };
    e.field(
        b"X-Forwarded-Proto",
        said(FieldName::XForwardedProto).unwrap_or(match is_tls {
            true => b"https",
            false => b"http",
        }),
    );
    match said(FieldName::XForwardedHost).unwrap_or(facts.authority) {
        [] => {}
        host => e.field(b"X-Forwarded-Host", host),
    }
    match said(FieldName::XForwardedPort) {
        Some(value) => e.field(b"X-Forwarded-Port", value),
        None => {
            e.put(b"X-Forwarded-Port: ");
            e.put_decimal(u64::from(port));
            e.put(b"\r\n");
        }
    }
    match client.address == client.peer {
        true => e.field(b"X-Real-IP", peer_text.as_bytes()),
        false => e.field(b"X-Real-IP", IpText::new(client.address).as_bytes()),
    }
    let outer = said(FieldName::XForwardedPrefix).unwrap_or_default();
    let stripped = match routed.plan.settings.strip {
        true => &routed.path[..routed.prefix_length],
        false => &[],
    };
    if !(outer.is_empty() && stripped.is_empty()) {
        e.put(b"X-Forwarded-Prefix: ");
        e.put(outer.strip_suffix(b"/").unwrap_or(outer));
        e.put(stripped);
        e.put(b"\r\n");
    }
    e.field(b"Via", via(head.version));
}

fn via(version: Version) -> &'static [u8] {
    match version {
        Version::Http10 => b"1.0 hotgate",
        Version::Http11 => b"1.1 hotgate",
    }
}

fn length_field(e: &mut Encoder<'_>, length: u64) {
    e.put(b"Content-Length: ");
    e.put_decimal(length);
    e.put(b"\r\n");
}

/// What a response head for a client is made of.
pub struct ResponseParts<'a> {
    /// As received.
    pub head: &'a ResponseHead,
    /// Its Connection field.
    pub options: ConnectionOptions,
    /// The octets that its spans refer to.
    pub octets: &'a [u8],
    /// How its content is delimited now.
    pub delimiter: Delimiter,
    /// The method that it answers.
    pub method: Method,
    /// The connection carries on after it.
    pub persists: bool,
    /// The protocol that is switched to, with 101.
    pub switched: bool,
    /// For a response that has no Date.
    pub date: &'a [u8],
    /// The value of Strict-Transport-Security, which takes the place of the app's own.
    pub hsts: Option<&'a [u8]>,
}

/// Encodes the head of a response, final or interim.
pub fn response(e: &mut Encoder<'_>, parts: &ResponseParts<'_>) {
    let ResponseParts { head, octets, .. } = *parts;
    encode_status_line(e, head.status, head.reason.of(octets));
    for line in head.fields.iter() {
        let is_framing = matches!(
            line.known,
            FieldName::ContentLength | FieldName::TransferEncoding
        );
        let is_ours = parts.hsts.is_some() && line.known == FieldName::StrictTransportSecurity;
        if is_framing || is_ours || parts.options.stops(line, &head.fields, octets) {
            continue;
        }
        e.field(line.name.of(octets), line.value.of(octets));
    }
    if head.status.is_interim() && !parts.switched {
        e.put(b"\r\n");
        return;
    }
    if parts.switched {
        e.field(b"Connection", b"Upgrade");
        e.field(
            b"Upgrade",
            head.fields
                .first(octets, FieldName::Upgrade)
                .unwrap_or_default(),
        );
        e.put(b"\r\n");
        return;
    }
    if head.status == Status::UPGRADE_REQUIRED {
        // RFC 9110 §15.5.22: it says which protocol, or it says nothing.
        for value in head.fields.all(octets, FieldName::Upgrade) {
            e.field(b"Upgrade", value);
        }
    }
    if let Some(hsts) = parts.hsts {
        e.field(b"Strict-Transport-Security", hsts);
    }
    if !head.fields.has(FieldName::Date) {
        // RFC 9110 §6.6.1: a recipient with a clock adds the Date that is missing when it forwards.
        e.field(b"Date", parts.date);
    }
    match parts.delimiter {
        Delimiter::Length(length) => length_field(e, length),
        Delimiter::Chunked => e.field(b"Transfer-Encoding", b"chunked"),
        Delimiter::Bodyless => described_length(e, parts),
        Delimiter::Close => {}
    }
    if !parts.persists {
        e.field(b"Connection", b"close");
    }
    e.put(b"\r\n");
}

/// A response without content may still say how long its content would be (RFC 9110 §8.6): to HEAD, and with 304.
fn described_length(e: &mut Encoder<'_>, parts: &ResponseParts<'_>) {
    let may_describe = match parts.head.status.never_has_content() {
        false => parts.method == Method::Head,
        true => parts.head.status.code() == 304,
    };
    let described = parts.head.fields.count(FieldName::ContentLength) == 1 && may_describe;
    let value = parts
        .head
        .fields
        .first(parts.octets, FieldName::ContentLength);
    if let (true, Some(length)) = (described, value.and_then(crate::h1::framing::parse_length)) {
        length_field(e, length);
    }
}
