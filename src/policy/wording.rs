//! Wording: what people read about a [`Reason`]. The client gets a sentence, the operator one line of advice.
//!
//! Invariant: both are fixed texts, so neither holds anything from the peers: no request data, no upstream's
//! name or address (SECURITY rule 22).

use super::reason::Reason;

impl Reason {
    /// One sentence for the person who sees the error page. Says nothing about what is behind hotgate.
    pub const fn sentence(self) -> &'static str {
        match self {
            Reason::UnknownHost => "hotgate runs; no site has this name.",
            Reason::NoRoute => "There is nothing at this address.",
            Reason::BadRequest(_) => "The request is malformed.",
            Reason::MissingHost => "The request does not say which host it is for.",
            Reason::HeaderTimeout => "The request took too long to arrive.",
            Reason::HeaderTooLarge => "The header fields of the request are too large.",
            Reason::UriTooLong => "The address of the request is too long.",
            Reason::MethodTooLong => "The method of the request is not known here.",
            Reason::BodyTimeout => "The body of the request stopped arriving.",
            Reason::BodyTooLarge => "The body of the request is larger than this site takes.",
            Reason::BadBody(_) => "The body of the request is malformed.",
            Reason::AmbiguousPath => "The path of the request can be read in more than one way.",
            Reason::AddressForbidden => "Your address may not see this page.",
            Reason::MethodRefused => "This method is not allowed here.",
            Reason::ExpectationFailed => "The expectation of the request cannot be met.",
            Reason::UnsupportedVersion => "This version of HTTP is not spoken here.",
            Reason::UnsupportedCoding => "The transfer coding of the request is not known here.",
            Reason::ClientGone | Reason::ClientReset => "The client closed the connection.",
            Reason::ClientStalled => "The client stopped reading the response.",
            Reason::TunnelIdle => "The connection was silent for too long.",
            Reason::HttpsRedirect => "This page is served over HTTPS.",
            Reason::Misdirected => "The connection was made for another site; please try again.",
            Reason::AcmeChallenge => "This name is served here.",
            Reason::NoUpstream => "The application cannot be found right now.",
            Reason::ConnectRefused
            | Reason::ConnectTimeout
            | Reason::ConnectFailed
            | Reason::UpstreamTls(_) => "The application cannot be reached right now.",
            Reason::UpstreamReset | Reason::UpstreamClosed => {
                "The application closed the connection without an answer."
            }
            Reason::UpstreamTimeout => "The application took too long to answer.",
            Reason::UpstreamStalled => "The application stopped in the middle of its answer.",
            Reason::BadResponse(_) | Reason::UnrequestedUpgrade | Reason::TooManyInterim => {
                "The application gave an answer that cannot be passed on."
            }
            Reason::UpstreamTruncated => "The answer of the application is incomplete.",
            Reason::NoCertificate => "The certificate of this site is not there yet.",
            Reason::Draining => "The proxy is shutting down; please try again.",
            Reason::Overloaded => "The proxy is busy; please try again in a moment.",
            Reason::Internal => "The proxy made a mistake.",
        }
    }

    /// One line for the manual: what the operator does about it.
    pub const fn advice(self) -> &'static str {
        match self {
            Reason::UnknownHost => {
                "add a site for this host, or \"*\" as the fallback; scanners cause it too"
            }
            Reason::NoRoute => "give the site an action, or add this path to its paths",
            Reason::BadRequest(_) => {
                "mend the client; the detail names the fault in the request head"
            }
            Reason::MissingHost => "mend the client: HTTP/1.1 needs exactly one Host",
            Reason::HeaderTimeout => {
                "nothing, if rare; for clients on very slow lines raise timeouts.header"
            }
            Reason::HeaderTooLarge => {
                "look for overgrown cookies; else raise limits.header_size or limits.header_count"
            }
            Reason::UriTooLong => {
                "send long data in the body; the request line is limited to 8 KiB"
            }
            Reason::MethodTooLong => "mend the client: a method has at most 32 letters",
            Reason::BodyTimeout => {
                "nothing, if rare; for uploads that pause for long raise timeouts.body_idle"
            }
            Reason::BodyTooLarge => "raise limits.body for this site or path",
            Reason::BadBody(_) => "mend the client; the detail names the fault in the chunked body",
            Reason::AmbiguousPath => {
                "mend the client: write the path without //, %2F, %5C and ; next to guarded paths"
            }
            Reason::AddressForbidden => {
                "add the address to allow; behind another proxy set trusted_proxies"
            }
            Reason::MethodRefused => "nothing: CONNECT and TRACE are never passed on",
            Reason::ExpectationFailed => "mend the client: only Expect: 100-continue is understood",
            Reason::UnsupportedVersion => "use HTTP/1.1 or HTTP/1.0 on this port",
            Reason::UnsupportedCoding => "mend the client: chunked is the only transfer coding",
            Reason::ClientGone => {
                "nothing: the client left; if frequent, the application is too slow"
            }
            Reason::ClientReset => "nothing: the client left; if frequent, look at the network",
            Reason::ClientStalled => {
                "nothing, if rare; for clients that pause downloads raise timeouts.write_idle"
            }
            Reason::TunnelIdle => "let the application send pings, or raise timeouts.tunnel_idle",
            Reason::HttpsRedirect => {
                "nothing: the client comes again by https://; http:// before the site's key serves it plain"
            }
            Reason::Misdirected => {
                "nothing: the client tries again; else it sends a Host other than the name of its handshake"
            }
            Reason::AcmeChallenge => "nothing: the authority looks before it signs",
            Reason::NoUpstream => {
                "mend the name in to, or the DNS; it is looked up again by itself"
            }
            Reason::ConnectRefused => "start the application, or mend the port in to",
            Reason::ConnectTimeout => {
                "look for a firewall or a hung application; else raise timeouts.connect"
            }
            Reason::ConnectFailed => {
                "see the error log: wrong address, no route, or socket file missing"
            }
            Reason::UpstreamTls(_) => {
                "mend the application's certificate, or upstream_tls; the detail names the fault"
            }
            Reason::UpstreamReset => {
                "see the application's log: it crashed or dropped the connection"
            }
            Reason::UpstreamClosed => "see the application's log: it closed without answering",
            Reason::UpstreamTimeout => "make the application faster, or raise timeouts.response",
            Reason::UpstreamStalled => {
                "see the application's log: it hung in the middle of an exchange"
            }
            Reason::BadResponse(_) => {
                "mend the application; the detail names the fault in its response"
            }
            Reason::UnrequestedUpgrade => "mend the application: it sent 101 without being asked",
            Reason::TooManyInterim => "mend the application: it sends 1xx responses without end",
            Reason::UpstreamTruncated => {
                "see the application's log: it closed in the middle of a response"
            }
            Reason::NoCertificate => "see hotgate certs: it says what the certificate waits for",
            Reason::Draining => "nothing: clients try again and reach the new process",
            Reason::Overloaded => "raise server.max_connections, or use a larger machine",
            Reason::Internal => "report it with the lines of the error log",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentences_are_sentences_without_addresses() {
        for reason in Reason::ALL {
            let sentence = reason.sentence();
            assert!(
                sentence.ends_with('.') && sentence.len() <= 72,
                "{sentence}"
            );
            assert!(sentence.is_ascii() && !sentence.contains(':'), "{sentence}");
            assert!(
                !sentence.bytes().any(|octet| octet.is_ascii_digit()),
                "{sentence}"
            );
        }
    }

    #[test]
    fn advice_is_one_line_for_the_manual() {
        for reason in Reason::ALL {
            let advice = reason.advice();
            assert!(!advice.is_empty() && advice.len() <= 100, "{advice}");
            assert!(!advice.contains('\n') && !advice.ends_with('.'), "{advice}");
        }
    }
}
