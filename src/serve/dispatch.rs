//! From a request head to what is to be done with it: checks in one fixed order, then the route.
//!
//! The order is that of doubt: first whether everybody would read the same request (framing, target, Host), then
//! whose it is (site, path), then whether it may (access, size). The path that is matched is the path that is sent.

use std::net::IpAddr;

use super::certificate_states::CertificateState;
use super::incoming::Peer;
use super::respond::Own;
use super::snapshot::{HttpsPlan, RoutePlan, Routes, Snapshot};
use crate::h1::framing::{Framing, FramingError, of_request};
use crate::h1::persistence::request_persists;
use crate::http::authority::{Authority, HostName};
use crate::http::fields::{FieldName, list_members};
use crate::http::forwarding::{client_address, plain};
use crate::http::hop_by_hop::ConnectionOptions;
use crate::http::message::{RequestHead, Version};
use crate::http::method::Method;
use crate::http::target::{PathForm, Target, TargetForm, normalize_path, parse_target};
use crate::policy::middleware::misdirected::{self, Would};
use crate::policy::middleware::redirect::{self, CHALLENGE_PREFIX, Challenge, Verdict};
use crate::policy::reason::Reason;
use crate::policy::route::ListenerIndex;
use crate::tls::Secured;
use crate::tls::certs::{Certificates, Selected};

/// What a request head says, checked.
pub struct Facts<'a> {
    /// How its body is delimited.
    pub framing: Framing,
    /// Its Connection field.
    pub options: ConnectionOptions,
    /// Its target, taken apart.
    pub target: Target,
    /// The authority as the client wrote it; empty with HTTP/1.0 without Host.
    pub authority: &'a [u8],
    /// May the connection carry another request?
    pub persists: bool,
    /// The client waits for 100 before it sends the body.
    pub expects_continue: bool,
}

/// What is to be done with a request.
pub struct Routed<'a> {
    /// The plan's number in the routes.
    pub plan_number: u32,
    /// The plan.
    pub plan: &'a RoutePlan,
    /// The path in the form that was matched.
    pub path: &'a [u8],
    /// Octets at the front of the path that the plan's prefix takes.
    pub prefix_length: usize,
    /// The token that an upgrade may pass with.
    pub upgrade: Option<&'a [u8]>,
}

/// The addresses of a request: who is at the other end, and who is believed to be behind it.
#[derive(Clone, Copy, Debug)]
pub struct Client {
    /// The peer, in plain form.
    pub peer: IpAddr,
    /// The client as believed.
    pub address: IpAddr,
    /// The peer's forwarding fields are believed.
    pub is_trusted: bool,
}

/// Who sent the request.
pub fn client_of(head: &RequestHead, octets: &[u8], peer: &Peer, routes: &Routes) -> Client {
    let ip = plain(peer.address.ip());
    let is_trusted = routes.is_trusted(ip);
    let address = match is_trusted {
        true => client_address(ip, &head.fields, octets, |hop| routes.is_trusted(hop)),
        false => ip,
    };
    Client {
        peer: ip,
        address,
        is_trusted,
    }
}

/// Reads what a complete head says; beside it the host of its authority, in its one form: `None` with HTTP/1.0 without
/// Host. (The host is large and wanted for routing alone.)
///
/// # Errors
///
/// Anything that two recipients might read differently, and what is never passed on.
pub fn facts<'a>(
    head: &RequestHead,
    octets: &'a [u8],
) -> Result<(Facts<'a>, Option<HostName>), Reason> {
    let framing = of_request(head, octets).map_err(|error| match error {
        FramingError::UnknownCoding => Reason::UnsupportedCoding,
        other => Reason::BadRequest(other.as_str()),
    })?;
    let options = ConnectionOptions::of(&head.fields, octets)
        .map_err(|_| Reason::BadRequest("protected_nomination"))?;
    if matches!(head.method, Method::Connect | Method::Trace) {
        return Err(Reason::MethodRefused);
    }
    let target = parse_target(octets, head.target, head.method)
        .map_err(|e| Reason::BadRequest(e.as_str()))?;
    let (authority, host) = authority_of(head, octets, &target)?;
    if head.fields.count(FieldName::Expect) > 1 {
        return Err(Reason::ExpectationFailed);
    }
    let expects_continue = match head.fields.first(octets, FieldName::Expect) {
        None => false,
        Some(value) if value.eq_ignore_ascii_case(b"100-continue") => {
            head.version == Version::Http11
        }
        Some(_) => return Err(Reason::ExpectationFailed),
    };
    let persists = request_persists(head.version, &options);
    let facts = Facts {
        framing,
        options,
        target,
        authority,
        persists,
        expects_continue,
    };
    Ok((facts, host))
}

/// The one Host (RFC 9112 §3.2); an absolute-form target must name the same authority.
fn authority_of<'a>(
    head: &RequestHead,
    octets: &'a [u8],
    target: &Target,
) -> Result<(&'a [u8], Option<HostName>), Reason> {
    let host = match head.fields.count(FieldName::Host) {
        1 => head
            .fields
            .first(octets, FieldName::Host)
            .unwrap_or_default(),
        0 if head.version == Version::Http10 && target.form != TargetForm::Absolute => {
            return Ok((b"", None));
        }
        0 => return Err(Reason::MissingHost),
        _ => return Err(Reason::BadRequest("repeated_host")),
    };
    let authority = Authority::parse(host).map_err(|error| Reason::BadRequest(error.as_str()))?;
    if let (Some(scheme), Some(span)) = (target.scheme, target.authority) {
        let named = Authority::parse(span.of(octets))
            .map_err(|error| Reason::BadRequest(error.as_str()))?;
        if !named.is_same(&authority, scheme.default_port()) {
            return Err(Reason::BadRequest("authority_mismatch"));
        }
    }
    Ok((host, Some(authority.host)))
}

/// What the route was found to be, for the record, when something is wrong later.
#[derive(Clone, Copy, Default)]
pub struct Found {
    /// The site's number.
    pub site: Option<u32>,
    /// The plan's number.
    pub plan: Option<u32>,
}

/// Why a request is answered here.
#[derive(Debug)]
pub struct Refused {
    /// Why.
    pub reason: Reason,
    /// What the answer has of its own.
    pub own: Own,
}

impl From<Reason> for Refused {
    fn from(reason: Reason) -> Refused {
        Refused {
            reason,
            own: Own::Page,
        }
    }
}

/// A request that has been read and is to be routed.
pub struct Request<'r, 'a> {
    /// What the head says.
    pub facts: &'r Facts<'a>,
    /// The host that it is for.
    pub host: Option<&'r HostName>,
    /// The head.
    pub head: &'r RequestHead,
    /// The octets that its spans refer to.
    pub octets: &'a [u8],
    /// Who sent it.
    pub client: Client,
    /// Where it came in.
    pub peer: Peer,
    /// How its connection is secured; `None` where it is plain.
    pub secured: Option<&'r Secured>,
}

/// Finds the route. `scratch` is for a path that is not in its one form; `found` tells how far it came, also when
/// it fails.
///
/// # Errors
///
/// No site, no route, or one that this request may not take; a plain request that is sent to HTTPS; what an authority
/// asks.
pub fn route<'a>(
    request: &Request<'_, 'a>,
    snapshot: &'a Snapshot,
    scratch: &'a mut Vec<u8>,
    found: &mut Found,
) -> Result<Routed<'a>, Refused> {
    let Request {
        facts,
        host,
        head,
        octets,
        client,
        peer,
        secured,
    } = request;
    let raw = match facts.target.path.of(octets) {
        [] => b"/", // asterisk-form, or absolute-form without a path
        raw => raw,
    };
    let form = normalize_path(raw, scratch).map_err(|error| Reason::BadRequest(error.as_str()))?;
    let path: &[u8] = match form {
        PathForm::AsIs => raw,
        PathForm::Rewritten => scratch,
    };
    let routes = &*snapshot.routes;
    if let Some(token) = path.strip_prefix(CHALLENGE_PREFIX)
        && let Some(text) = host.and_then(|host| snapshot.challenges.http(host, token))
    {
        return Err(Refused {
            reason: Reason::AcmeChallenge,
            own: Own::Content(text.to_owned()),
        });
    }
    let table = routes.table();
    let site = match host {
        Some(host) => table.site(peer.listener, host),
        None => table.nameless(peer.listener),
    };
    let site = site.ok_or(Reason::UnknownHost)?;
    found.site = Some(site);
    if let Some(secured) = secured
        && is_misdirected(secured, *host, peer.listener, &snapshot.certificates)
    {
        return Err(Reason::Misdirected.into());
    }
    let matched = table.route(site, path);
    if !peer.is_tls
        && let Some(https) = routes.site(site).https
    {
        let request = redirect::Plain {
            challenge: Challenge::of(path, matched.map_or(0, |matched| matched.prefix_len)),
            was_https: client.is_trusted && was_https(head, octets),
            is_held: !https.is_ours || *snapshot.states.of(site) == CertificateState::Held,
            is_guarded: https.is_guarded,
        };
        match redirect::verdict(request) {
            Verdict::Serve => {}
            Verdict::Redirect => return Err(to_https(facts, *host, octets, https)),
            Verdict::Wait => return Err(Reason::NoCertificate.into()),
            Verdict::NotFound => return Err(Reason::NoRoute.into()),
        }
    }
    let matched = matched.ok_or(Reason::NoRoute)?;
    found.plan = Some(matched.route);
    if table.is_ambiguous(site, path, matched.route) {
        return Err(Reason::AmbiguousPath.into());
    }
    let plan = routes.plan(matched.route);
    if !plan.settings.allow.permits(client.address) {
        return Err(Reason::AddressForbidden.into());
    }
    if let (Framing::Length(length), Some(limit)) = (facts.framing, plan.settings.limits.body)
        && length > limit
    {
        return Err(Reason::BodyTooLarge.into());
    }
    if plan.endpoints.is_none() {
        return Err(Reason::NoRoute.into());
    }
    let upgrade = upgrade_of(facts, head, octets, plan);
    Ok(Routed {
        plan_number: matched.route,
        plan,
        path,
        prefix_length: matched.prefix_len,
        upgrade,
    })
}

/// Was the connection made for another site than the one of this host?
fn is_misdirected(
    secured: &Secured,
    host: Option<&HostName>,
    listener: ListenerIndex,
    certificates: &Certificates,
) -> bool {
    let Secured { served, name, .. } = secured;
    let is_asked = match (name, host) {
        (Some(name), Some(host)) => name == host,
        // By an address: the certificate is what it came for.
        (None, Some(host)) => host.ip().is_some() && served.names(host),
        (Some(_) | None, None) => false,
    };
    let (name, address) = match host.and_then(HostName::ip) {
        Some(ip) => (None, ip),
        // Without a host it is the fallback's, as it would be from an address that is nobody's.
        None => (host, IpAddr::from([0; 4])),
    };
    let would = match certificates.select(listener, name, address) {
        Selected::Served(other) => Would::Serve {
            is_same_certificate: other.identity == served.identity,
            is_same_policy: other.policy == served.policy,
        },
        Selected::Missing => Would::Wait,
        Selected::Refused => Would::Refuse,
        Selected::Unknown => Would::Unknown,
    };
    misdirected::is_misdirected(is_asked, would)
}

/// Does the peer say that its client came over HTTPS?
fn was_https(head: &RequestHead, octets: &[u8]) -> bool {
    let said = head.fields.first(octets, FieldName::XForwardedProto);
    said.is_some_and(redirect::says_https)
}

/// To the same host and target by HTTPS. A site of HTTPS is found by a host alone.
fn to_https(
    facts: &Facts<'_>,
    host: Option<&HostName>,
    octets: &[u8],
    https: HttpsPlan,
) -> Refused {
    let Some(host) = host else {
        return Reason::UnknownHost.into();
    };
    let path = facts.target.path.of(octets);
    let query = facts.target.query.map(|query| query.of(octets));
    Refused {
        reason: Reason::HttpsRedirect,
        own: Own::Location(redirect::location(host, https.port, path, query)),
    }
}

/// The protocol that this request may switch to; any other wish is ignored, as RFC 9110 §7.8 allows.
fn upgrade_of<'a>(
    facts: &Facts<'_>,
    head: &RequestHead,
    octets: &'a [u8],
    plan: &RoutePlan,
) -> Option<&'a [u8]> {
    let may = facts.options.upgrade
        && head.method == Method::Get
        && head.version == Version::Http11
        && facts.framing == Framing::None;
    if !may {
        return None;
    }
    let wishes = head
        .fields
        .all(octets, FieldName::Upgrade)
        .flat_map(list_members);
    let mut allowed = wishes.filter(|wish| {
        plan.settings
            .upgrade
            .iter()
            .any(|t| t.as_bytes().eq_ignore_ascii_case(wish))
    });
    allowed.next()
}
