//! Misdirected requests: on a connection that was secured for one site, a request for another (RFC 9110 §15.5.20).
//!
//! A client that asked for one name may send a Host of any. If both are served with the same keys to the same clients,
//! nothing is lost by it. If the other site has another certificate, the client never saw it; and if it lets in other
//! clients, serving it would let this one in by another door (the name of the handshake chose whose certificate was
//! asked for). So then the answer is 421, the connection closes, and the client comes again by the right name.
//!
//! Rivals: to insist on Host being the name of the handshake breaks clients that come by an address, or share one
//! certificate among many names; to ask whether the certificate names the host breaks company certificates that do not,
//! and lets a client around the other site's rules.

/// What the host of the request would have been given in a handshake of its own.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Would {
    /// A certificate.
    Serve {
        /// It is that of this connection.
        is_same_certificate: bool,
        /// Clients are asked for the same.
        is_same_policy: bool,
    },
    /// An alert: none is held yet.
    Wait,
    /// An alert: whom the site lets in cannot be told.
    Refuse,
    /// An alert: nobody has the name.
    Unknown,
}

/// Must the request be answered with 421?
///
/// `is_asked` says that the handshake was for this very host. Its certificate may have been renewed since, or lost, and
/// the client still talks to whom it wanted to; but who is let in is decided anew.
pub fn is_misdirected(is_asked: bool, would: Would) -> bool {
    match would {
        Would::Serve {
            is_same_certificate,
            is_same_policy,
        } => !is_same_policy || !(is_same_certificate || is_asked),
        Would::Wait | Would::Unknown => !is_asked,
        Would::Refuse => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[rustfmt::skip]
    fn rules() {
        let serve = |is_same_certificate, is_same_policy| Would::Serve { is_same_certificate, is_same_policy };
        //    asked  would                 421
        check(true,  serve(true, true),    false);
        check(true,  serve(false, true),   false); // renewed since
        check(true,  serve(true, false),   true);  // its rules for clients changed
        check(true,  serve(false, false),  true);
        check(false, serve(true, true),    false); // one certificate for both
        check(false, serve(false, true),   true);
        check(false, serve(true, false),   true);  // the other door
        check(false, serve(false, false),  true);
        check(true,  Would::Wait,          false);
        check(false, Would::Wait,          true);
        check(true,  Would::Refuse,        true);
        check(false, Would::Refuse,        true);
        check(true,  Would::Unknown,       false);
        check(false, Would::Unknown,       true);
    }

    #[track_caller]
    fn check(is_asked: bool, would: Would, expected: bool) {
        assert_eq!(
            is_misdirected(is_asked, would),
            expected,
            "{is_asked} {would:?}"
        );
    }
}
