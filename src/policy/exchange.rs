//! Exchange: how far one exchange has gone on each side, and what that still allows.
//!
//! ```text
//!    downstream                     hotgate                     upstream
//!        │── request ── request_read ──┼── octets_accepted, complete ──►│
//!        │◄─ head_sent, response_sent ─┼── response_octets, complete ───│
//! ```
//!
//! Five questions are decided here and nowhere else: may a failed attempt be made again, must an attempt
//! avoid connections that may have gone stale, does the upstream connection go back to the pool, may the
//! downstream connection carry another exchange, and is a response of ours still possible.
//!
//! If a retry errs on the bold side, an order is placed twice; on the timid side, a restarted app shows
//! as 502. If pooling errs on the bold side, somebody reads another's response; on the timid side, a
//! connection is made anew. So each doubt is decided for the timid side.
//!
//! Left to others: which endpoint is next (`policy/balance`), the time limits, and the draining of a
//! request body that is no longer wanted (`serve/`).

use std::time::Duration;

use super::reason::Reason;
use crate::http::method::Method;
use crate::http::status::Status;

/// Attempts at one request, the first included. Two: one for a stale connection or a dead endpoint;
/// more would multiply the load of an upstream that is already in trouble.
pub const ATTEMPTS_MAX: u8 = 2;

/// Only an upstream connection that has been idle for less than this may carry a request that could not
/// be sent again. Applications close idle connections after 2 s (gunicorn) or 5 s (node); within the
/// first second such a close hardly ever crosses our request.
pub const IDLE_FOR_UNREPLAYABLE_MAX: Duration = Duration::from_secs(1);

/// How far one exchange has gone. All that the decisions below look at.
///
/// The exchange's owner writes the fields as things happen; [`Progress::begin_attempt`] resets those that
/// speak of one attempt.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// The request's method.
    pub method: Method,
    /// Attempts begun; `attempts <= ATTEMPTS_MAX`.
    pub attempts: u8,
    /// Failure of the last attempt that was not mended by another, or of the exchange.
    pub failure: Option<Reason>,

    // Downstream.
    /// The whole request, body included, has been read from the client.
    pub request_read: bool,
    /// The request can be sent again from its first octet: it has no body, or nothing of the body has been
    /// taken out of our buffers yet.
    pub request_replayable: bool,
    /// The client may send another request (`h1::persistence::request_persists`), and we have not announced
    /// `Connection: close`, as we do when draining.
    pub downstream_persists: bool,
    /// The head of a final response, the upstream's or ours, was handed to send. Interim responses do not count.
    pub response_head_sent: bool,
    /// The final response, body included, was sent whole.
    pub response_sent: bool,
    /// The response as sent downstream says itself where it ends (not by close).
    pub response_sent_delimited: bool,

    // Upstream, this attempt.
    /// The attempt's connection had carried an exchange before.
    pub reused_connection: bool,
    /// Octets of this attempt's request that a send accepted.
    pub request_octets_accepted: u64,
    /// The whole request, body included, was accepted by send.
    pub request_complete: bool,
    /// An Upgrade was sent upstream, whatever became of it.
    pub upgrade_sent: bool,
    /// Octets received upstream in this attempt, those of interim responses included.
    pub response_octets: u64,
    /// The final response, body included, was received whole.
    pub response_complete: bool,
    /// The upstream's response said itself where it ends: Content-Length, chunked, or bodyless by rule.
    pub response_delimited: bool,
    /// The upstream may carry another exchange (`h1::persistence::response_persists`).
    pub upstream_persists: bool,
    /// Octets that nobody asked for stand behind the response.
    pub upstream_octets_left: bool,
}

/// What to do about a failed attempt.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Retry {
    /// Give up: answer with the reason's status, or close.
    No,
    /// Once more to the same endpoint, on a connection made for it.
    SameEndpointNewConnection,
    /// Once more, to another endpoint than the one just tried.
    OtherEndpoint,
}

impl Progress {
    /// The exchange whose request head has just been read.
    ///
    /// `request_replayable` starts true: nothing of the body has left the buffers. All else starts at
    /// nothing done and nothing allowed.
    pub fn new(method: Method) -> Progress {
        Progress {
            method,
            attempts: 0,
            failure: None,
            request_read: false,
            request_replayable: true,
            downstream_persists: false,
            response_head_sent: false,
            response_sent: false,
            response_sent_delimited: false,
            reused_connection: false,
            request_octets_accepted: 0,
            request_complete: false,
            upgrade_sent: false,
            response_octets: 0,
            response_complete: false,
            response_delimited: false,
            upstream_persists: false,
            upstream_octets_left: false,
        }
    }

    /// Begins an attempt: counts it, and forgets what the last one did upstream.
    ///
    /// `reused_connection` is false too while the connection is still to be made.
    ///
    /// # Panics
    ///
    /// After [`ATTEMPTS_MAX`] attempts, or once a response is under way: [`may_retry`] had said no.
    pub fn begin_attempt(&mut self, reused_connection: bool) {
        assert!(self.attempts < ATTEMPTS_MAX, "an attempt too many");
        assert!(!self.response_head_sent, "an attempt after the response");
        *self = Progress {
            attempts: self.attempts + 1,
            request_read: self.request_read,
            request_replayable: self.request_replayable,
            downstream_persists: self.downstream_persists,
            reused_connection,
            ..Progress::new(self.method)
        };
    }
}

/// May the request be sent again after this attempt failed for `reason`?
///
/// `another_endpoint`: the upstream has an endpoint other than the one just tried.
///
/// Never after an octet of a response, with a body that is no longer held whole, after a time limit
/// of the response (the client has waited long enough), or a third time. Else by what the upstream may have seen:
///
/// - the connect itself failed, or the name did not resolve, so it has seen nothing: any method;
/// - GET, HEAD, OPTIONS: whatever it has seen;
/// - PUT, DELETE: only if no octet was accepted by send. They are idempotent, but a second one may undo
///   what another client did in between;
/// - all others: no.
///
/// The next attempt goes to another endpoint if there is one. Else it goes to the same one, and that
/// only if the failed connection was a reused one: then it was most likely closed as idle, which
/// says nothing of the application's health. (Rejected: the same endpoint first in that case. If
/// the application did crash, the last attempt is lost on it.)
pub fn may_retry(progress: &Progress, reason: Reason, another_endpoint: bool) -> Retry {
    let may_resend = match loss_of(reason) {
        Loss::Unsent => true,
        Loss::Unanswered => match replay_of(progress.method) {
            Replay::Harmless => true,
            Replay::Unseen => progress.request_octets_accepted == 0,
            Replay::Never => false,
        },
        Loss::Final => false,
    };
    if !may_resend
        || progress.attempts >= ATTEMPTS_MAX
        || !progress.request_replayable
        || progress.response_octets > 0
        || progress.response_head_sent
    {
        Retry::No
    } else if another_endpoint {
        Retry::OtherEndpoint
    } else if progress.reused_connection {
        Retry::SameEndpointNewConnection
    } else {
        Retry::No
    }
}

/// In words, what [`may_retry`] allows a request of this method.
pub fn retry_rule(method: Method) -> &'static str {
    match replay_of(method) {
        Replay::Harmless => "once more if nothing of a response has come: it does no harm twice",
        Replay::Unseen => {
            "once more only if the connection failed before an octet of it was accepted"
        }
        Replay::Never => "once more only if no connection could be made",
    }
}

/// Must the next attempt's connection be new, or idle for less than [`IDLE_FOR_UNREPLAYABLE_MAX`]?
///
/// Asked before [`Progress::begin_attempt`]. True when [`may_retry`] would refuse if that connection turned out to be
/// closed already. PUT and DELETE count as such: the first send on a connection that the
/// other side has closed is accepted all the same.
pub fn needs_fresh_connection(progress: &Progress) -> bool {
    let may_replay = match replay_of(progress.method) {
        Replay::Harmless => progress.request_replayable,
        Replay::Unseen | Replay::Never => false,
    };
    !may_replay || progress.attempts + 1 >= ATTEMPTS_MAX
}

/// Is a connection that has been idle this long fresh in the sense of [`needs_fresh_connection`]?
pub fn is_fresh(idle: Duration) -> bool {
    idle < IDLE_FOR_UNREPLAYABLE_MAX
}

/// May the upstream connection carry another exchange?
///
/// ```text
/// may_pool = request wholly written ∧ response wholly read ∧ by explicit framing ∧ nothing behind it
///          ∧ the upstream persists ∧ no Upgrade was sent ∧ no failure, on either side
/// ```
///
/// (SECURITY: a connection in any doubt would give its next user somebody else's response.)
pub fn may_pool(progress: &Progress) -> bool {
    progress.request_complete
        && progress.response_complete
        && progress.response_delimited
        && !progress.upstream_octets_left
        && progress.upstream_persists
        && !progress.upgrade_sent
        && progress.failure.is_none()
}

/// May the downstream connection carry another exchange? Asked when the response, the upstream's or ours,
/// is finished.
///
/// ```text
/// may_reuse = request wholly read ∧ response wholly sent ∧ by explicit framing ∧ both sides persist
///           ∧ (no failure ∨ the failure's reason lets the connection live)
/// ```
///
/// An upstream's failure after the response's head leaves the response unfinished and so closes. An unwanted
/// body must be drained first, or this is false. A tunnel never comes back here: its response never ends.
pub fn may_reuse_downstream(progress: &Progress) -> bool {
    progress.request_read
        && progress.response_sent
        && progress.response_sent_delimited
        && progress.downstream_persists
        && progress
            .failure
            .is_none_or(|reason| !reason.closes_downstream())
}

/// The status of the response that we make for `reason`; `None` if it is too late for one or nobody is
/// left to read it: then the downstream connection is closed as it is, so that the client sees the abort.
pub fn may_answer(progress: &Progress, reason: Reason) -> Option<Status> {
    if progress.response_head_sent {
        None
    } else {
        reason.status()
    }
}

/// What an attempt's failure says about what the upstream may have seen of the request.
#[derive(Clone, Copy)]
enum Loss {
    /// Nothing could have been sent.
    Unsent,
    /// The connection was lost; without an answer, if no octet was received.
    Unanswered,
    /// Another attempt would not help, would take too long, or nobody waits for it.
    Final,
}

fn loss_of(reason: Reason) -> Loss {
    match reason {
        Reason::NoUpstream
        | Reason::ConnectRefused
        | Reason::ConnectTimeout
        | Reason::ConnectFailed
        | Reason::UpstreamTls(_) => Loss::Unsent,
        Reason::UpstreamReset | Reason::UpstreamClosed => Loss::Unanswered,
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
        | Reason::TunnelIdle
        | Reason::HttpsRedirect
        | Reason::Misdirected
        | Reason::AcmeChallenge
        | Reason::NoCertificate
        | Reason::UpstreamTimeout
        | Reason::UpstreamStalled
        | Reason::BadResponse(_)
        | Reason::UnrequestedUpgrade
        | Reason::TooManyInterim
        | Reason::UpstreamTruncated
        | Reason::Draining
        | Reason::Overloaded
        | Reason::Internal => Loss::Final,
    }
}

/// What a second arrival of a request may do.
#[derive(Clone, Copy)]
enum Replay {
    /// Nothing: the method is safe (RFC 9110 §9.2.1).
    Harmless,
    /// Harm, through what came in between, though the method is idempotent (RFC 9110 §9.2.2): sent again only
    /// if the upstream has seen nothing of it.
    Unseen,
    /// Anything.
    Never,
}

fn replay_of(method: Method) -> Replay {
    match method {
        Method::Get | Method::Head | Method::Options => Replay::Harmless,
        Method::Put | Method::Delete => Replay::Unseen,
        // CONNECT and TRACE are refused before; Other may be anything, safe extension methods included.
        Method::Post | Method::Patch | Method::Connect | Method::Trace | Method::Other => {
            Replay::Never
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const METHODS: [Method; 10] = [
        Method::Get,
        Method::Head,
        Method::Post,
        Method::Put,
        Method::Delete,
        Method::Connect,
        Method::Options,
        Method::Trace,
        Method::Patch,
        Method::Other,
    ];

    #[test]
    #[rustfmt::skip]
    fn retries() {
        use Method::{Delete, Get, Head, Options, Other, Patch, Post, Put};
        use Reason::*;
        use Retry::{No, OtherEndpoint as Other_, SameEndpointNewConnection as Same};
        const NEW: bool = false;
        const REUSED: bool = true;
        //             reason           method   conn    accepted  alone  with others
        check_retry(ConnectRefused,     Get,     NEW,    0,        No,    Other_);
        check_retry(ConnectRefused,     Post,    NEW,    0,        No,    Other_);
        check_retry(ConnectRefused,     Patch,   NEW,    0,        No,    Other_);
        check_retry(ConnectRefused,     Other,   NEW,    0,        No,    Other_);
        check_retry(ConnectTimeout,     Put,     NEW,    0,        No,    Other_);
        check_retry(ConnectFailed,      Post,    NEW,    0,        No,    Other_);
        check_retry(UpstreamTls("x"),   Post,    NEW,    0,        No,    Other_);
        check_retry(UpstreamReset,      Get,     NEW,    90,       No,    Other_);
        check_retry(UpstreamReset,      Get,     REUSED, 90,       Same,  Other_);
        check_retry(UpstreamReset,      Head,    REUSED, 90,       Same,  Other_);
        check_retry(UpstreamClosed,     Options, REUSED, 90,       Same,  Other_);
        check_retry(UpstreamClosed,     Get,     REUSED, 0,        Same,  Other_);
        check_retry(UpstreamClosed,     Get,     NEW,    90,       No,    Other_);
        check_retry(UpstreamReset,      Put,     REUSED, 0,        Same,  Other_);
        check_retry(UpstreamReset,      Put,     REUSED, 1,        No,    No);
        check_retry(UpstreamReset,      Delete,  NEW,    0,        No,    Other_);
        check_retry(UpstreamReset,      Delete,  NEW,    1,        No,    No);
        check_retry(UpstreamReset,      Post,    REUSED, 0,        No,    No);
        check_retry(UpstreamClosed,     Post,    REUSED, 90,       No,    No);
        check_retry(UpstreamClosed,     Patch,   REUSED, 90,       No,    No);
        check_retry(UpstreamClosed,     Other,   REUSED, 90,       No,    No);
        check_retry(UpstreamTimeout,    Get,     REUSED, 90,       No,    No);
        check_retry(UpstreamStalled,    Get,     REUSED, 90,       No,    No);
        check_retry(BadResponse("x"),   Get,     REUSED, 90,       No,    No);
        check_retry(ClientReset,        Get,     REUSED, 90,       No,    No);
        check_retry(NoUpstream,         Post,    NEW,    0,        No,    Other_);
        check_retry(Draining,           Get,     NEW,    0,        No,    No);
    }

    /// `alone`: the answer if the upstream has one endpoint; `others`: if it has more.
    #[track_caller]
    fn check_retry(
        reason: Reason,
        method: Method,
        reused_connection: bool,
        request_octets_accepted: u64,
        alone: Retry,
        others: Retry,
    ) {
        let mut progress = Progress::new(method);
        progress.begin_attempt(reused_connection);
        progress.request_octets_accepted = request_octets_accepted;
        assert_eq!(may_retry(&progress, reason, false), alone);
        assert_eq!(may_retry(&progress, reason, true), others);

        let spent = Progress {
            attempts: ATTEMPTS_MAX,
            ..progress
        };
        let answered = Progress {
            response_octets: 1,
            ..progress
        };
        let consumed = Progress {
            request_replayable: false,
            ..progress
        };
        let answering = Progress {
            response_head_sent: true,
            ..progress
        };
        for barred in [spent, answered, consumed, answering] {
            assert_eq!(may_retry(&barred, reason, true), Retry::No, "{barred:?}");
        }
    }

    /// Every combination, against the rule written down as a list of refusals.
    #[test]
    fn retry_agrees_with_its_naive_twin() {
        let mut cases = 0;
        for reason in Reason::ALL {
            for method in METHODS {
                for bits in 0..1_u32 << 7 {
                    let bit = |position: u32| bits >> position & 1 == 1;
                    let progress = Progress {
                        attempts: 1 + u8::from(bit(0)),
                        request_replayable: bit(1),
                        request_octets_accepted: u64::from(bit(2)),
                        response_octets: u64::from(bit(3)),
                        reused_connection: bit(4),
                        response_head_sent: bit(5),
                        ..Progress::new(method)
                    };
                    let expected = naive_retry(&progress, reason, bit(6));
                    assert_eq!(
                        may_retry(&progress, reason, bit(6)),
                        expected,
                        "{reason} {progress:?}"
                    );
                    cases += 1;
                }
            }
        }
        assert_eq!(cases, Reason::COUNT * METHODS.len() * 128);
    }

    fn naive_retry(progress: &Progress, reason: Reason, another_endpoint: bool) -> Retry {
        let name = reason.as_str();
        let connect_failed =
            name.starts_with("connect_") || ["no_upstream", "upstream_tls"].contains(&name);
        let lost = name == "upstream_reset" || name == "upstream_closed";
        let method = progress.method.as_str();
        let refusals = [
            progress.attempts == 2,
            !progress.request_replayable,
            progress.response_octets != 0,
            progress.response_head_sent,
            !connect_failed && !lost,
            lost && !["GET", "HEAD", "OPTIONS", "PUT", "DELETE"].contains(&method),
            lost && ["PUT", "DELETE"].contains(&method) && progress.request_octets_accepted != 0,
            !another_endpoint && !progress.reused_connection,
        ];
        if refusals.contains(&true) {
            return Retry::No;
        }
        if another_endpoint {
            Retry::OtherEndpoint
        } else {
            Retry::SameEndpointNewConnection
        }
    }

    #[test]
    #[rustfmt::skip]
    fn fresh_connections() {
        //          method            replayable  attempts before  needs a fresh one
        check_fresh(Method::Get,      true,       0,               false);
        check_fresh(Method::Head,     true,       0,               false);
        check_fresh(Method::Options,  true,       0,               false);
        check_fresh(Method::Get,      false,      0,               true);
        check_fresh(Method::Get,      true,       1,               true);
        check_fresh(Method::Put,      true,       0,               true);
        check_fresh(Method::Delete,   true,       0,               true);
        check_fresh(Method::Post,     true,       0,               true);
        check_fresh(Method::Patch,    true,       0,               true);
        check_fresh(Method::Connect,  true,       0,               true);
        check_fresh(Method::Trace,    true,       0,               true);
        check_fresh(Method::Other,    true,       0,               true);
    }

    #[track_caller]
    fn check_fresh(method: Method, request_replayable: bool, attempts: u8, expected: bool) {
        let progress = Progress {
            request_replayable,
            attempts,
            ..Progress::new(method)
        };
        assert_eq!(needs_fresh_connection(&progress), expected);
    }

    #[test]
    fn whoever_may_take_a_stale_connection_may_be_retried_after_it() {
        for method in METHODS {
            for attempts in 0..ATTEMPTS_MAX {
                for request_replayable in [false, true] {
                    let mut progress = Progress {
                        request_replayable,
                        attempts,
                        ..Progress::new(method)
                    };
                    if needs_fresh_connection(&progress) {
                        continue;
                    }
                    progress.begin_attempt(true);
                    progress.request_octets_accepted = 90;
                    for reason in [Reason::UpstreamReset, Reason::UpstreamClosed] {
                        assert_ne!(
                            may_retry(&progress, reason, false),
                            Retry::No,
                            "{progress:?}"
                        );
                        assert_ne!(
                            may_retry(&progress, reason, true),
                            Retry::No,
                            "{progress:?}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn freshness_ends_at_one_second() {
        assert!(is_fresh(Duration::ZERO));
        assert!(is_fresh(Duration::from_millis(999)));
        assert!(!is_fresh(Duration::from_millis(1000)));
        assert!(!is_fresh(Duration::from_millis(1001)));
    }

    /// Of all combinations of the seven conditions, one is pooled.
    #[test]
    fn only_a_spotless_upstream_connection_is_pooled() {
        let mut pooled = Vec::new();
        for bits in 0..1_u32 << 7 {
            let met = |position: u32| bits >> position & 1 == 1;
            let progress = Progress {
                request_complete: met(0),
                response_complete: met(1),
                response_delimited: met(2),
                upstream_octets_left: !met(3),
                upstream_persists: met(4),
                upgrade_sent: !met(5),
                failure: if met(6) { None } else { Some(Reason::NoRoute) },
                ..Progress::new(Method::Get)
            };
            if may_pool(&progress) {
                pooled.push(bits);
            }
        }
        assert_eq!(pooled, [0b111_1111]);
    }

    #[test]
    fn no_failure_of_any_kind_is_pooled() {
        let spotless = Progress {
            request_complete: true,
            response_complete: true,
            response_delimited: true,
            upstream_persists: true,
            ..Progress::new(Method::Get)
        };
        assert!(may_pool(&spotless));
        for reason in Reason::ALL {
            assert!(
                !may_pool(&Progress {
                    failure: Some(reason),
                    ..spotless
                }),
                "{reason}"
            );
        }
    }

    /// Of all combinations of the four conditions, one is kept, and then the reason decides.
    #[test]
    fn only_a_finished_downstream_connection_is_kept() {
        for bits in 0..1_u32 << 4 {
            let met = |position: u32| bits >> position & 1 == 1;
            let progress = Progress {
                request_read: met(0),
                response_sent: met(1),
                response_sent_delimited: met(2),
                downstream_persists: met(3),
                ..Progress::new(Method::Get)
            };
            let finished = bits == 0b1111;
            assert_eq!(may_reuse_downstream(&progress), finished, "{progress:?}");
            for reason in Reason::ALL {
                let failed = Progress {
                    failure: Some(reason),
                    ..progress
                };
                let expected = finished && !reason.closes_downstream();
                assert_eq!(may_reuse_downstream(&failed), expected, "{reason}");
            }
        }
    }

    #[test]
    fn answers_only_before_a_head_was_sent() {
        let before = Progress::new(Method::Get);
        let after = Progress {
            response_head_sent: true,
            ..before
        };
        for reason in Reason::ALL {
            assert_eq!(
                may_answer(&before, reason).map(Status::code),
                reason.status().map(Status::code)
            );
            assert!(may_answer(&after, reason).is_none());
        }
    }

    #[test]
    fn an_attempt_forgets_the_one_before() {
        let mut progress = Progress {
            request_read: true,
            downstream_persists: true,
            ..Progress::new(Method::Put)
        };
        progress.begin_attempt(true);
        progress.failure = Some(Reason::UpstreamReset);
        progress.request_octets_accepted = 7;
        progress.request_complete = true;
        progress.begin_attempt(false);
        assert_eq!(progress.attempts, 2);
        assert_eq!(progress.failure, None);
        assert_eq!(progress.request_octets_accepted, 0);
        assert!(!progress.request_complete && !progress.reused_connection);
        assert!(
            progress.request_read && progress.request_replayable && progress.downstream_persists
        );
    }
}
