//! Reason: why hotgate answered a request itself, or gave an exchange up.
//!
//! The one fixed list. Every response made here and every aborted exchange has exactly one of these:
//! in the access log, as a metric label, in the manual. From a reason follow, each in one exhaustive
//! `match`, the status, whose fault it was, and whether the downstream connection has to close; and, in
//! `wording.rs`, what the client and the operator read.
//!
//! Left to others: how the response looks (`serve/respond`), what the upstream's health makes of it,
//! and whether another attempt is made first (`policy/exchange`).
//!
//! Invariant: the strings are unique and snake_case.

use std::borrow::Cow;
use std::fmt;

use crate::http::status::Status;

/// Why a response was made here, or why an exchange ended early.
///
/// The details are short snake_case words from the parsers' errors (`bare_lf`), never text from a peer.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Reason {
    // The request is at fault, or the client.
    /// No site of this listener has the request's host name.
    UnknownHost,
    /// The site has no action for this path.
    NoRoute,
    /// The head of the request is malformed or its framing in doubt; the detail says how.
    BadRequest(&'static str),
    /// An HTTP/1.1 request without a Host field line (RFC 9112 §3.2).
    MissingHost,
    /// The request head did not arrive in time (`timeouts.header`).
    HeaderTimeout,
    /// The field section has too many octets or lines (`limits.header_size`, `limits.header_count`).
    HeaderTooLarge,
    /// The request line is too long (RFC 9112 §3).
    UriTooLong,
    /// The method token is longer than any method has (RFC 9112 §3).
    MethodTooLong,
    /// The client stopped sending in the middle of the body (`timeouts.body_idle`).
    BodyTimeout,
    /// The body is larger than the site takes (`limits.body`).
    BodyTooLarge,
    /// The chunked coding of the request's body is malformed; the detail says how.
    BadBody(&'static str),
    /// Another reading of the path would select an entry that has access rules.
    AmbiguousPath,
    /// The client's address is not in the `allow` list.
    AddressForbidden,
    /// CONNECT or TRACE.
    MethodRefused,
    /// An Expect other than `100-continue` (RFC 9110 §10.1.1).
    ExpectationFailed,
    /// Neither HTTP/1.0 nor HTTP/1.1 (RFC 9110 §15.6.6).
    UnsupportedVersion,
    /// A transfer coding other than `chunked` (RFC 9112 §6.1).
    UnsupportedCoding,
    /// The client closed its connection before the exchange was complete.
    ClientGone,
    /// The client reset its connection.
    ClientReset,
    /// The client took nothing of the response for too long (`timeouts.write_idle`).
    ClientStalled,
    /// Nothing passed through a tunnel, either way, for too long (`timeouts.tunnel_idle`).
    TunnelIdle,
    /// A plain request for a site of HTTPS, which is sent there.
    HttpsRedirect,
    /// The connection was made for another site, with another certificate or other rules for clients.
    Misdirected,
    /// A certificate authority asked whether a name is ours, and was told so (RFC 8555 §8.3).
    AcmeChallenge,

    // The upstream is at fault.
    /// No address to go to: the endpoint's name does not resolve.
    NoUpstream,
    /// Nothing listens at the endpoint.
    ConnectRefused,
    /// The endpoint did not take the connection in time (`timeouts.connect`).
    ConnectTimeout,
    /// The connection could not be made for another reason (unreachable, no such socket file).
    ConnectFailed,
    /// It is an endpoint of HTTPS and there is no TLS with it, or not with whom it has to be; the detail says how.
    UpstreamTls(&'static str),
    /// The upstream reset the connection before its response was complete.
    UpstreamReset,
    /// The upstream closed the connection before a response head was complete.
    UpstreamClosed,
    /// The upstream sent no first octet in time (`timeouts.response`).
    UpstreamTimeout,
    /// The upstream stopped in the middle: it sends no more of its response or takes no more of the body.
    UpstreamStalled,
    /// The upstream's response is malformed or its framing in doubt; the detail says how.
    BadResponse(&'static str),
    /// The upstream answered 101 to a request that asked for no such upgrade.
    UnrequestedUpgrade,
    /// More interim responses than any application needs.
    TooManyInterim,
    /// The upstream closed in the middle of a body whose length it had announced.
    UpstreamTruncated,

    // Ours.
    /// No certificate is held for the site yet.
    NoCertificate,
    /// This process or worker is shutting down.
    Draining,
    /// A limit of the machine is reached (`server.max_connections`, memory).
    Overloaded,
    /// A fault in hotgate. Stays the last one: [`Reason::COUNT`] follows from it.
    Internal,
}

/// Which side a reason speaks of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// The client, or nobody: the site's operator has nothing to mend.
    Downstream,
    /// The application behind, or the way to it.
    Upstream,
    /// hotgate itself, or the limits of its machine.
    Ours,
}

/// What stands for the detail in [`Reason::ALL`].
const ANY_DETAIL: &str = "DETAIL";

impl Reason {
    /// How many reasons there are; [`Reason::index`] is below it.
    pub const COUNT: usize = Reason::Internal.index() + 1;

    /// Every reason, in the order of [`Reason::index`], for the manual and for tests. Those with a
    /// detail have the word `DETAIL` in its place.
    pub const ALL: [Reason; Reason::COUNT] = [
        Reason::UnknownHost,
        Reason::NoRoute,
        Reason::BadRequest(ANY_DETAIL),
        Reason::MissingHost,
        Reason::HeaderTimeout,
        Reason::HeaderTooLarge,
        Reason::UriTooLong,
        Reason::MethodTooLong,
        Reason::BodyTimeout,
        Reason::BodyTooLarge,
        Reason::BadBody(ANY_DETAIL),
        Reason::AmbiguousPath,
        Reason::AddressForbidden,
        Reason::MethodRefused,
        Reason::ExpectationFailed,
        Reason::UnsupportedVersion,
        Reason::UnsupportedCoding,
        Reason::ClientGone,
        Reason::ClientReset,
        Reason::ClientStalled,
        Reason::TunnelIdle,
        Reason::HttpsRedirect,
        Reason::Misdirected,
        Reason::AcmeChallenge,
        Reason::NoUpstream,
        Reason::ConnectRefused,
        Reason::ConnectTimeout,
        Reason::ConnectFailed,
        Reason::UpstreamTls(ANY_DETAIL),
        Reason::UpstreamReset,
        Reason::UpstreamClosed,
        Reason::UpstreamTimeout,
        Reason::UpstreamStalled,
        Reason::BadResponse(ANY_DETAIL),
        Reason::UnrequestedUpgrade,
        Reason::TooManyInterim,
        Reason::UpstreamTruncated,
        Reason::NoCertificate,
        Reason::Draining,
        Reason::Overloaded,
        Reason::Internal,
    ];

    /// A small number for tables of counters, the same for every detail.
    pub const fn index(self) -> usize {
        match self {
            Reason::UnknownHost => 0,
            Reason::NoRoute => 1,
            Reason::BadRequest(_) => 2,
            Reason::MissingHost => 3,
            Reason::HeaderTimeout => 4,
            Reason::HeaderTooLarge => 5,
            Reason::UriTooLong => 6,
            Reason::MethodTooLong => 7,
            Reason::BodyTimeout => 8,
            Reason::BodyTooLarge => 9,
            Reason::BadBody(_) => 10,
            Reason::AmbiguousPath => 11,
            Reason::AddressForbidden => 12,
            Reason::MethodRefused => 13,
            Reason::ExpectationFailed => 14,
            Reason::UnsupportedVersion => 15,
            Reason::UnsupportedCoding => 16,
            Reason::ClientGone => 17,
            Reason::ClientReset => 18,
            Reason::ClientStalled => 19,
            Reason::TunnelIdle => 20,
            Reason::HttpsRedirect => 21,
            Reason::Misdirected => 22,
            Reason::AcmeChallenge => 23,
            Reason::NoUpstream => 24,
            Reason::ConnectRefused => 25,
            Reason::ConnectTimeout => 26,
            Reason::ConnectFailed => 27,
            Reason::UpstreamTls(_) => 28,
            Reason::UpstreamReset => 29,
            Reason::UpstreamClosed => 30,
            Reason::UpstreamTimeout => 31,
            Reason::UpstreamStalled => 32,
            Reason::BadResponse(_) => 33,
            Reason::UnrequestedUpgrade => 34,
            Reason::TooManyInterim => 35,
            Reason::UpstreamTruncated => 36,
            Reason::NoCertificate => 37,
            Reason::Draining => 38,
            Reason::Overloaded => 39,
            Reason::Internal => 40,
        }
    }

    /// The status of our response, if the head of a response has not been sent yet; `None` when nobody
    /// is left to answer, and the connection is just closed.
    pub const fn status(self) -> Option<Status> {
        match self {
            Reason::BadRequest(_)
            | Reason::MissingHost
            | Reason::BadBody(_)
            | Reason::AmbiguousPath => Some(Status::BAD_REQUEST),
            Reason::AddressForbidden => Some(Status::FORBIDDEN),
            Reason::NoRoute => Some(Status::NOT_FOUND),
            Reason::MethodRefused => Some(Status::METHOD_NOT_ALLOWED),
            Reason::HeaderTimeout | Reason::BodyTimeout => Some(Status::REQUEST_TIMEOUT),
            Reason::BodyTooLarge => Some(Status::CONTENT_TOO_LARGE),
            Reason::UriTooLong => Some(Status::URI_TOO_LONG),
            Reason::ExpectationFailed => Some(Status::EXPECTATION_FAILED),
            // Not 404: 421 says that the name, not the path, is unknown here (RFC 9110 §15.5.20).
            Reason::UnknownHost | Reason::Misdirected => Some(Status::MISDIRECTED_REQUEST),
            Reason::HttpsRedirect => Some(Status::PERMANENT_REDIRECT),
            Reason::AcmeChallenge => Some(Status::OK),
            Reason::HeaderTooLarge => Some(Status::REQUEST_HEADER_FIELDS_TOO_LARGE),
            Reason::Internal => Some(Status::INTERNAL_SERVER_ERROR),
            Reason::MethodTooLong | Reason::UnsupportedCoding => Some(Status::NOT_IMPLEMENTED),
            Reason::ConnectRefused
            | Reason::ConnectFailed
            | Reason::UpstreamTls(_)
            | Reason::UpstreamReset
            | Reason::UpstreamClosed
            | Reason::UpstreamTruncated
            | Reason::BadResponse(_)
            | Reason::UnrequestedUpgrade
            | Reason::TooManyInterim => Some(Status::BAD_GATEWAY),
            Reason::NoUpstream | Reason::NoCertificate | Reason::Draining | Reason::Overloaded => {
                Some(Status::SERVICE_UNAVAILABLE)
            }
            Reason::ConnectTimeout | Reason::UpstreamTimeout | Reason::UpstreamStalled => {
                Some(Status::GATEWAY_TIMEOUT)
            }
            Reason::UnsupportedVersion => Some(Status::HTTP_VERSION_NOT_SUPPORTED),
            Reason::ClientGone
            | Reason::ClientReset
            | Reason::ClientStalled
            | Reason::TunnelIdle => None,
        }
    }

    /// The reason's name, without its detail: one metric label a reason.
    pub const fn as_str(self) -> &'static str {
        match self {
            Reason::UnknownHost => "unknown_host",
            Reason::NoRoute => "no_route",
            Reason::BadRequest(_) => "bad_request",
            Reason::MissingHost => "missing_host",
            Reason::HeaderTimeout => "header_timeout",
            Reason::HeaderTooLarge => "header_too_large",
            Reason::UriTooLong => "uri_too_long",
            Reason::MethodTooLong => "method_too_long",
            Reason::BodyTimeout => "body_timeout",
            Reason::BodyTooLarge => "body_too_large",
            Reason::BadBody(_) => "bad_body",
            Reason::AmbiguousPath => "ambiguous_path",
            Reason::AddressForbidden => "address_forbidden",
            Reason::MethodRefused => "method_refused",
            Reason::ExpectationFailed => "expectation_failed",
            Reason::UnsupportedVersion => "unsupported_version",
            Reason::UnsupportedCoding => "unsupported_coding",
            Reason::ClientGone => "client_gone",
            Reason::ClientReset => "client_reset",
            Reason::ClientStalled => "client_stalled",
            Reason::TunnelIdle => "tunnel_idle",
            Reason::HttpsRedirect => "https_redirect",
            Reason::Misdirected => "misdirected",
            Reason::AcmeChallenge => "acme_challenge",
            Reason::NoUpstream => "no_upstream",
            Reason::ConnectRefused => "connect_refused",
            Reason::ConnectTimeout => "connect_timeout",
            Reason::ConnectFailed => "connect_failed",
            Reason::UpstreamTls(_) => "upstream_tls",
            Reason::UpstreamReset => "upstream_reset",
            Reason::UpstreamClosed => "upstream_closed",
            Reason::UpstreamTimeout => "upstream_timeout",
            Reason::UpstreamStalled => "upstream_stalled",
            Reason::BadResponse(_) => "bad_response",
            Reason::UnrequestedUpgrade => "unrequested_upgrade",
            Reason::TooManyInterim => "too_many_interim",
            Reason::UpstreamTruncated => "upstream_truncated",
            Reason::NoCertificate => "no_certificate",
            Reason::Draining => "draining",
            Reason::Overloaded => "overloaded",
            Reason::Internal => "internal",
        }
    }

    /// What the name alone does not say: `bare_lf` of `bad_request:bare_lf`.
    pub const fn detail(self) -> Option<&'static str> {
        match self {
            Reason::BadRequest(detail)
            | Reason::BadBody(detail)
            | Reason::UpstreamTls(detail)
            | Reason::BadResponse(detail) => Some(detail),
            Reason::UnknownHost
            | Reason::NoRoute
            | Reason::MissingHost
            | Reason::HeaderTimeout
            | Reason::HeaderTooLarge
            | Reason::UriTooLong
            | Reason::MethodTooLong
            | Reason::BodyTimeout
            | Reason::BodyTooLarge
            | Reason::AmbiguousPath
            | Reason::AddressForbidden
            | Reason::MethodRefused
            | Reason::ExpectationFailed
            | Reason::UnsupportedVersion
            | Reason::UnsupportedCoding
            | Reason::ClientGone
            | Reason::ClientReset
            | Reason::ClientStalled
            | Reason::TunnelIdle
            | Reason::HttpsRedirect
            | Reason::Misdirected
            | Reason::AcmeChallenge
            | Reason::NoUpstream
            | Reason::ConnectRefused
            | Reason::ConnectTimeout
            | Reason::ConnectFailed
            | Reason::UpstreamReset
            | Reason::UpstreamClosed
            | Reason::UpstreamTimeout
            | Reason::UpstreamStalled
            | Reason::UnrequestedUpgrade
            | Reason::TooManyInterim
            | Reason::UpstreamTruncated
            | Reason::NoCertificate
            | Reason::Draining
            | Reason::Overloaded
            | Reason::Internal => None,
        }
    }

    /// Name and detail as the log has them. Allocates only when there is a detail, that is, only for a
    /// message that was malformed.
    pub fn text(self) -> Cow<'static, str> {
        match self.detail() {
            None => Cow::Borrowed(self.as_str()),
            Some(detail) => Cow::Owned(format!("{}:{detail}", self.as_str())),
        }
    }

    /// Whose fault it was. Only [`Fault::Ours`] is logged as an error of hotgate's, and only
    /// [`Fault::Upstream`] may count against an endpoint.
    pub const fn fault(self) -> Fault {
        match self {
            Reason::UnknownHost
            | Reason::NoRoute
            | Reason::BadRequest(_)
            | Reason::MissingHost
            | Reason::HeaderTimeout
            | Reason::HeaderTooLarge
            | Reason::UriTooLong
            | Reason::MethodTooLong
            | Reason::BodyTimeout
            | Reason::BodyTooLarge
            | Reason::BadBody(_)
            | Reason::AmbiguousPath
            | Reason::AddressForbidden
            | Reason::MethodRefused
            | Reason::ExpectationFailed
            | Reason::UnsupportedVersion
            | Reason::UnsupportedCoding
            | Reason::ClientGone
            | Reason::ClientReset
            | Reason::ClientStalled
            | Reason::HttpsRedirect
            | Reason::Misdirected
            | Reason::AcmeChallenge => Fault::Downstream,
            // Both were silent. Counted here, so that an endpoint is not blamed for a quiet user.
            Reason::TunnelIdle => Fault::Downstream,
            Reason::NoUpstream
            | Reason::ConnectRefused
            | Reason::ConnectTimeout
            | Reason::ConnectFailed
            | Reason::UpstreamTls(_)
            | Reason::UpstreamReset
            | Reason::UpstreamClosed
            | Reason::UpstreamTimeout
            | Reason::UpstreamStalled
            | Reason::BadResponse(_)
            | Reason::UnrequestedUpgrade
            | Reason::TooManyInterim
            | Reason::UpstreamTruncated => Fault::Upstream,
            Reason::NoCertificate | Reason::Draining | Reason::Overloaded | Reason::Internal => {
                Fault::Ours
            }
        }
    }

    /// Must the downstream connection close after our answer, even when the request was read whole?
    ///
    /// Where the response's head had been sent already there is no answer of ours and the connection
    /// always closes, whatever the reason; `may_reuse_downstream` in `policy/exchange` has the whole rule.
    pub const fn closes_downstream(self) -> bool {
        match self {
            // We do not know where this request ends, or will not read so far.
            Reason::BadRequest(_)
            | Reason::MissingHost
            | Reason::HeaderTimeout
            | Reason::HeaderTooLarge
            | Reason::UriTooLong
            | Reason::MethodTooLong
            | Reason::BodyTimeout
            | Reason::BodyTooLarge
            | Reason::BadBody(_)
            | Reason::UnsupportedVersion
            | Reason::UnsupportedCoding
            // CONNECT: what follows may be meant for a tunnel.
            | Reason::MethodRefused
            // The body may follow or not, as the client likes (RFC 9110 §10.1.1).
            | Reason::ExpectationFailed
            // Well framed, but somebody feels for a way in, or is at the wrong door.
            | Reason::AmbiguousPath
            | Reason::UnknownHost
            | Reason::Misdirected
            // Nobody is left.
            | Reason::ClientGone
            | Reason::ClientReset
            | Reason::ClientStalled
            | Reason::TunnelIdle
            // We want the connection gone, or no longer trust what we know of it.
            | Reason::Draining
            | Reason::Overloaded
            | Reason::Internal => true,
            Reason::NoRoute
            | Reason::AddressForbidden
            | Reason::HttpsRedirect
            | Reason::AcmeChallenge
            | Reason::NoCertificate
            | Reason::NoUpstream
            | Reason::ConnectRefused
            | Reason::ConnectTimeout
            | Reason::ConnectFailed
            | Reason::UpstreamTls(_)
            | Reason::UpstreamReset
            | Reason::UpstreamClosed
            | Reason::UpstreamTimeout
            | Reason::UpstreamStalled
            | Reason::BadResponse(_)
            | Reason::UnrequestedUpgrade
            | Reason::TooManyInterim
            | Reason::UpstreamTruncated => false,
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())?;
        match self.detail() {
            None => Ok(()),
            Some(detail) => write!(f, ":{detail}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn the_list_is_whole_and_in_order() {
        for (position, reason) in Reason::ALL.into_iter().enumerate() {
            assert_eq!(reason.index(), position, "{reason}");
        }
    }

    #[test]
    fn names_are_unique_and_snake_case() {
        let mut seen = HashSet::new();
        for reason in Reason::ALL {
            let name = reason.as_str();
            assert!(seen.insert(name), "{name} stands twice");
            assert!(
                name.split('_')
                    .all(|word| !word.is_empty()
                        && word.bytes().all(|octet| octet.is_ascii_lowercase())),
                "{name} is not snake_case"
            );
        }
    }

    #[test]
    fn display_and_text_agree() {
        for reason in Reason::ALL {
            assert_eq!(reason.to_string(), reason.text());
            assert!(reason.to_string().starts_with(reason.as_str()));
        }
        assert_eq!(
            Reason::BadRequest("bare_lf").to_string(),
            "bad_request:bare_lf"
        );
        assert_eq!(
            Reason::BadBody("bad_chunk_size").text(),
            "bad_body:bad_chunk_size"
        );
        assert_eq!(Reason::NoRoute.to_string(), "no_route");
    }

    #[test]
    #[rustfmt::skip]
    fn status_fault_and_close() {
        use Fault::{Downstream, Ours, Upstream};
        //    reason                        status     fault       closes
        check(Reason::UnknownHost,          Some(421), Downstream, true);
        check(Reason::NoRoute,              Some(404), Downstream, false);
        check(Reason::BadRequest("x"),      Some(400), Downstream, true);
        check(Reason::MissingHost,          Some(400), Downstream, true);
        check(Reason::HeaderTimeout,        Some(408), Downstream, true);
        check(Reason::HeaderTooLarge,       Some(431), Downstream, true);
        check(Reason::UriTooLong,           Some(414), Downstream, true);
        check(Reason::MethodTooLong,        Some(501), Downstream, true);
        check(Reason::BodyTimeout,          Some(408), Downstream, true);
        check(Reason::BodyTooLarge,         Some(413), Downstream, true);
        check(Reason::BadBody("x"),         Some(400), Downstream, true);
        check(Reason::AmbiguousPath,        Some(400), Downstream, true);
        check(Reason::AddressForbidden,     Some(403), Downstream, false);
        check(Reason::MethodRefused,        Some(405), Downstream, true);
        check(Reason::ExpectationFailed,    Some(417), Downstream, true);
        check(Reason::UnsupportedVersion,   Some(505), Downstream, true);
        check(Reason::UnsupportedCoding,    Some(501), Downstream, true);
        check(Reason::ClientGone,           None,      Downstream, true);
        check(Reason::ClientReset,          None,      Downstream, true);
        check(Reason::ClientStalled,        None,      Downstream, true);
        check(Reason::TunnelIdle,           None,      Downstream, true);
        check(Reason::HttpsRedirect,        Some(308), Downstream, false);
        check(Reason::Misdirected,          Some(421), Downstream, true);
        check(Reason::AcmeChallenge,        Some(200), Downstream, false);
        check(Reason::NoUpstream,           Some(503), Upstream,   false);
        check(Reason::ConnectRefused,       Some(502), Upstream,   false);
        check(Reason::ConnectTimeout,       Some(504), Upstream,   false);
        check(Reason::ConnectFailed,        Some(502), Upstream,   false);
        check(Reason::UpstreamTls("x"),     Some(502), Upstream,   false);
        check(Reason::UpstreamReset,        Some(502), Upstream,   false);
        check(Reason::UpstreamClosed,       Some(502), Upstream,   false);
        check(Reason::UpstreamTimeout,      Some(504), Upstream,   false);
        check(Reason::UpstreamStalled,      Some(504), Upstream,   false);
        check(Reason::BadResponse("x"),     Some(502), Upstream,   false);
        check(Reason::UnrequestedUpgrade,   Some(502), Upstream,   false);
        check(Reason::TooManyInterim,       Some(502), Upstream,   false);
        check(Reason::UpstreamTruncated,    Some(502), Upstream,   false);
        check(Reason::NoCertificate,        Some(503), Ours,       false);
        check(Reason::Draining,             Some(503), Ours,       true);
        check(Reason::Overloaded,           Some(503), Ours,       true);
        check(Reason::Internal,             Some(500), Ours,       true);
    }

    #[track_caller]
    fn check(reason: Reason, status: Option<u16>, fault: Fault, closes: bool) {
        assert_eq!(reason.status().map(Status::code), status, "{reason}");
        assert_eq!(reason.fault(), fault, "{reason}");
        assert_eq!(reason.closes_downstream(), closes, "{reason}");
    }
}
