//! Why a certificate was not had: a sentence with what to do, and what follows for the schedule. Pure.
//!
//! What an authority or a DNS provider wrote is shown within the sentence: shortened, without control characters.

use std::fmt;
use std::time::{Duration, SystemTime};

use super::choice::{Hopeless, Kind};

/// As much of a text from elsewhere as is shown.
const DETAIL_CHARS_MAX: usize = 240;

/// Why an order came to nothing.
#[derive(Clone, PartialEq, Debug)]
pub enum Failure {
    /// No challenge can work here.
    Hopeless(Hopeless),
    /// The name does not exist, says the DNS.
    NoSuchName {
        /// The name.
        name: String,
    },
    /// A CAA record allows others only.
    CaaForbids {
        /// Where the record stands.
        owner: String,
        /// Whom it allows; empty: nobody.
        allowed: Vec<String>,
        /// What the authority calls itself there.
        authority: String,
    },
    /// The authority cannot be reached.
    Unreachable {
        /// Its directory.
        directory: String,
        /// Why, in words.
        why: String,
    },
    /// The authority asks for a pause, or is out of order.
    Busy {
        /// 429 or 5xx.
        status: u16,
        /// Until when, if it said.
        until: Option<SystemTime>,
        /// What it wrote.
        detail: Option<String>,
    },
    /// The authority refuses, outside of a challenge.
    Refused(Problem),
    /// The authority has looked, and not found what it should.
    Challenge(Kind, Problem),
    /// The authority does not offer this challenge for this name.
    NotOffered {
        /// Which.
        kind: Kind,
        /// What it offers.
        offered: Vec<String>,
    },
    /// The record for dns-01 could not be written.
    Record {
        /// The provider.
        provider: &'static str,
        /// What went wrong there, and what to do.
        why: String,
    },
    /// The record was written, and the zone's servers do not show it.
    NotSeen {
        /// Its name.
        record: String,
        /// Who was asked last without success.
        server: String,
        /// How long it was waited for.
        limit: Duration,
    },
    /// The authority did not finish in time.
    Late {
        /// What was waited for.
        what: &'static str,
        /// How long.
        limit: Duration,
    },
    /// What came is not what the protocol says, or could not be kept.
    Unusable(String),
}

/// A problem document (RFC 7807) of an authority, by its type (RFC 8555 §6.7).
#[derive(Clone, PartialEq, Debug)]
pub struct Problem {
    /// Its type.
    pub kind: ProblemKind,
    /// What it says.
    pub detail: String,
}

macro_rules! problem_kinds {
    ($($variant:ident $word:literal $advice:literal,)*) => {
        /// The type of a problem document, without `urn:ietf:params:acme:error:`.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub enum ProblemKind {
            $(#[doc = concat!("`", $word, "`")] $variant,)*
            /// None of RFC 8555's.
            Other,
        }

        impl ProblemKind {
            /// Reads the `type` of a problem document.
            pub fn of(urn: &str) -> ProblemKind {
                match urn.strip_prefix("urn:ietf:params:acme:error:") {
                    $(Some($word) => ProblemKind::$variant,)*
                    Some(_) | None => ProblemKind::Other,
                }
            }

            /// What to do about it.
            fn advice(self) -> &'static str {
                match self {
                    $(ProblemKind::$variant => $advice,)*
                    ProblemKind::Other => "see what the authority's documentation says of it",
                }
            }
        }
    };
}

problem_kinds! {
    AccountDoesNotExist "accountDoesNotExist" "a new account is made by itself with the next order",
    AlreadyReplaced "alreadyReplaced" "the next order goes without naming the certificate that it replaces",
    AlreadyRevoked "alreadyRevoked" "nothing needs to be done",
    BadCsr "badCSR" "this is a fault of hotgate; please report it",
    BadNonce "badNonce" "it is tried again by itself; a proxy in front of the authority may be at fault",
    BadPublicKey "badPublicKey" "remove account.json from the state directory, so that a new account is made",
    BadRevocationReason "badRevocationReason" "this is a fault of hotgate; please report it",
    BadSignatureAlgorithm "badSignatureAlgorithm" "this authority does not take accounts with ECDSA P-256; choose another acme.ca",
    Caa "caa" "add the authority to the CAA record of the name, or remove the record",
    Compound "compound" "see each of them",
    Connection "connection" "open the port in the firewall, and check that the name's A and AAAA records lead to this machine",
    Dns "dns" "check the name's records, and with DNSSEC its signatures",
    ExternalAccountRequired "externalAccountRequired" "get a key id and an HMAC key from the authority and set acme.eab",
    IncorrectResponse "incorrectResponse" "check that the name's A and AAAA records lead to this machine alone",
    InvalidContact "invalidContact" "set acme.email to an address that the authority can write to",
    Malformed "malformed" "check acme.ca and acme.eab; if they are right this is a fault of hotgate, please report it",
    OrderNotReady "orderNotReady" "it is tried again by itself",
    RateLimited "rateLimited" "it is tried again when the limit allows; acme.wildcards makes one certificate of many",
    RejectedIdentifier "rejectedIdentifier" "this authority makes no certificate for that name; set tls.cert for the site, or choose another acme.ca",
    ServerInternal "serverInternal" "it is tried again by itself",
    Tls "tls" "check that port 443 of the name leads to this machine and that nothing else answers TLS in between",
    Unauthorized "unauthorized" "check that the name's A and AAAA records lead to this machine, and that nothing in between answers in its place",
    UnsupportedContact "unsupportedContact" "set acme.email to an address that the authority can write to",
    UnsupportedIdentifier "unsupportedIdentifier" "this authority makes no certificate for that kind of name; set tls.cert for the site, or choose another acme.ca",
    UserActionRequired "userActionRequired" "follow what the authority asks for",
}

/// What a failure means for the schedule.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Consequence {
    /// The authority was not asked: look again soon.
    HeldBack,
    /// The authority is away: nothing is held against the name, and no other name needs to try now.
    Unreached,
    /// The name backs off.
    Counted,
    /// The name backs off, and the authority counts a failed validation.
    Validation,
}

impl Failure {
    /// What follows.
    pub fn consequence(&self) -> Consequence {
        match self {
            Failure::Hopeless(_) | Failure::NoSuchName { .. } | Failure::CaaForbids { .. } => {
                Consequence::HeldBack
            }
            Failure::Unreachable { .. } => Consequence::Unreached,
            // 429 is about this account or name; 5xx is about the authority.
            Failure::Busy { status: 429, .. } => Consequence::Counted,
            Failure::Busy { .. } => Consequence::Unreached,
            Failure::Challenge(..) => Consequence::Validation,
            Failure::Refused(_)
            | Failure::NotOffered { .. }
            | Failure::Record { .. }
            | Failure::NotSeen { .. }
            | Failure::Late { .. }
            | Failure::Unusable(_) => Consequence::Counted,
        }
    }

    /// Until when the authority asks not to be asked.
    pub fn retry_after(&self) -> Option<SystemTime> {
        match self {
            Failure::Busy { until, .. } => *until,
            _ => None,
        }
    }

    /// The account is not known to the authority (any more).
    pub fn is_without_account(&self) -> bool {
        matches!(
            self,
            Failure::Refused(Problem {
                kind: ProblemKind::AccountDoesNotExist,
                ..
            })
        )
    }
}

impl fmt::Display for Failure {
    /// One sentence: what is wrong, where, and what to do about it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Hopeless(hopeless) => hopeless.fmt(f),
            Failure::NoSuchName { name } => write!(
                f,
                "the DNS has no name {name}; add an A or AAAA record for it that leads to this machine"
            ),
            Failure::CaaForbids {
                owner,
                allowed,
                authority,
            } => {
                let allowed = match allowed.is_empty() {
                    true => "nobody".to_owned(),
                    false => allowed
                        .iter()
                        .map(|name| shown(name))
                        .collect::<Vec<_>>()
                        .join(", "),
                };
                write!(
                    f,
                    "the CAA record of {owner} allows {allowed} to sign, not {authority}; add `issue \"{authority}\"` to it"
                )
            }
            Failure::Unreachable { directory, why } => write!(
                f,
                "the authority at {directory} cannot be reached: {}; check this machine's way to the Internet, and acme.ca",
                shown(why)
            ),
            Failure::Busy { status, detail, .. } => {
                write!(f, "the authority answered {status}")?;
                if let Some(detail) = detail {
                    write!(f, ": {}", shown(detail))?;
                }
                match status {
                    429 => write!(f, "; {}", ProblemKind::RateLimited.advice()),
                    _ => f.write_str("; it is tried again by itself"),
                }
            }
            Failure::Refused(problem) => write!(f, "the authority refused: {problem}"),
            Failure::Challenge(kind, problem) => write!(f, "{kind} failed: {problem}"),
            Failure::NotOffered { kind, offered } => {
                let offered: Vec<String> = offered.iter().map(|word| shown(word)).collect();
                write!(
                    f,
                    "the authority does not offer {kind} for this name, only {}; set acme.challenge to one of these",
                    offered.join(", ")
                )
            }
            Failure::Record { provider, why } => {
                write!(
                    f,
                    "the record for dns-01 could not be written by {provider}: {}",
                    shown(why)
                )
            }
            Failure::NotSeen {
                record,
                server,
                limit,
            } => write!(
                f,
                "the record {record} was written, but {server} did not show it within {} s; check that the provider's \
                 zone is the one that the name's parent points to",
                limit.as_secs()
            ),
            Failure::Late { what, limit } => write!(
                f,
                "{what} took longer than {} s; it is tried again by itself",
                limit.as_secs()
            ),
            Failure::Unusable(why) => f.write_str(&shown(why)),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let detail = shown(&self.detail);
        let detail = detail.trim_end_matches('.');
        write!(f, "{detail}; {}", self.kind.advice())
    }
}

impl Problem {
    /// A problem document as the protocol's crate hands it over.
    pub fn of(problem: &instant_acme::Problem) -> Problem {
        let urn = problem.r#type.as_deref().unwrap_or_default();
        let kind = ProblemKind::of(urn);
        let mut detail = match &problem.detail {
            Some(detail) => detail.clone(),
            None => urn.rsplit(':').next().unwrap_or_default().to_owned(),
        };
        for part in problem
            .subproblems
            .iter()
            .filter_map(|part| part.detail.as_ref())
        {
            detail.push_str("; ");
            detail.push_str(part);
        }
        Problem { kind, detail }
    }
}

/// A text from elsewhere in one line: no control characters, not too long.
pub fn shown(text: &str) -> String {
    let mut words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    words.retain(|c| !c.is_control());
    if let Some((cut, _)) = words.char_indices().nth(DETAIL_CHARS_MAX) {
        words.truncate(cut);
        words.push('…');
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(word: &str, detail: &str) -> Problem {
        Problem::of(&instant_acme::Problem {
            r#type: Some(format!("urn:ietf:params:acme:error:{word}")),
            detail: Some(detail.to_owned()),
            status: Some(400),
            subproblems: Vec::new(),
        })
    }

    #[test]
    #[rustfmt::skip]
    fn sentences_say_what_and_what_to_do() {
        use Failure::*;
        let s = Duration::from_secs;
        //    failure                                                         consequence               words
        check(Hopeless(super::Hopeless::NoPort),                              Consequence::HeldBack,    &["port 80 or 443", "set server.http"]);
        check(NoSuchName { name: "a.example.com".into() },                    Consequence::HeldBack,    &["no name a.example.com", "add an A or AAAA record"]);
        check(CaaForbids { owner: "example.com".into(), allowed: vec![], authority: "ca.test".into() },
                                                                              Consequence::HeldBack,    &["CAA record of example.com", "nobody", "add `issue \"ca.test\"`"]);
        check(CaaForbids { owner: "example.com".into(), allowed: vec!["x.test".into(), "y.test".into()], authority: "ca.test".into() },
                                                                              Consequence::HeldBack,    &["x.test, y.test", "not ca.test"]);
        check(Unreachable { directory: "https://ca.test/d".into(), why: "refused".into() },
                                                                              Consequence::Unreached,   &["https://ca.test/d", "refused", "acme.ca"]);
        check(Busy { status: 429, until: None, detail: Some("too many".into()) }, Consequence::Counted, &["429: too many", "acme.wildcards"]);
        check(Busy { status: 503, until: None, detail: None },                Consequence::Unreached,   &["answered 503", "tried again"]);
        check(Refused(problem("accountDoesNotExist", "no account.")),         Consequence::Counted,     &["no account; a new account is made"]);
        check(Refused(problem("externalAccountRequired", "bind it")),         Consequence::Counted,     &["bind it", "set acme.eab"]);
        check(Challenge(Kind::Http01, problem("connection", "Connection refused")),
                                                                              Consequence::Validation,  &["http-01 failed", "Connection refused", "open the port in the firewall"]);
        check(Challenge(Kind::Dns01, problem("somethingNew", "odd")),         Consequence::Validation,  &["dns-01 failed: odd", "documentation"]);
        check(NotOffered { kind: Kind::Http01, offered: vec!["dns-01".into()] }, Consequence::Counted,  &["only dns-01", "set acme.challenge"]);
        check(Record { provider: "hetzner", why: "401".into() },              Consequence::Counted,     &["by hetzner: 401"]);
        check(NotSeen { record: "_acme-challenge.a.test".into(), server: "ns1 (192.0.2.1)".into(), limit: s(120) },
                                                                              Consequence::Counted,     &["_acme-challenge.a.test", "ns1", "120 s", "zone"]);
        check(Late { what: "the validation", limit: s(90) },                  Consequence::Counted,     &["the validation took longer than 90 s"]);
        check(Unusable("the chain is empty".into()),                          Consequence::Counted,     &["the chain is empty"]);
    }

    #[track_caller]
    fn check(failure: Failure, consequence: Consequence, words: &[&str]) {
        let text = failure.to_string();
        for word in words {
            assert!(text.contains(word), "{word:?} in {text:?}");
        }
        assert!(!text.ends_with('.') && !text.contains('\n'), "{text:?}");
        assert_eq!(failure.consequence(), consequence, "{text}");
    }

    #[test]
    fn a_pause_is_taken_from_the_answer_alone() {
        let until = SystemTime::UNIX_EPOCH + Duration::from_secs(7);
        let busy = |until| Failure::Busy {
            status: 429,
            until,
            detail: None,
        };
        assert_eq!(busy(Some(until)).retry_after(), Some(until));
        assert_eq!(busy(None).retry_after(), None);
        assert!(Failure::Refused(problem("accountDoesNotExist", "")).is_without_account());
        assert!(!Failure::Refused(problem("malformed", "")).is_without_account());
    }

    #[test]
    fn texts_from_elsewhere_are_one_short_line() {
        for (text, expected) in [
            ("plain", "plain"),
            ("two\r\n lines\u{7}", "two lines"),
            ("\u{1b}[31mred", "[31mred"),
            ("", ""),
        ] {
            assert_eq!(shown(text), expected);
        }
        let long = "x".repeat(DETAIL_CHARS_MAX);
        assert_eq!(shown(&long), long);
        assert_eq!(shown(&format!("{long}y")), format!("{long}…"));
    }

    #[test]
    fn every_subproblem_is_told() {
        let mut whole = instant_acme::Problem {
            r#type: Some("urn:ietf:params:acme:error:compound".to_owned()),
            detail: Some("two faults".to_owned()),
            status: None,
            subproblems: Vec::new(),
        };
        whole.subproblems = ["first", "second"]
            .map(|detail| instant_acme::Subproblem {
                identifier: None,
                r#type: None,
                detail: Some(detail.to_owned()),
            })
            .into();
        let problem = Problem::of(&whole);
        assert_eq!(problem.kind, ProblemKind::Compound);
        assert_eq!(problem.detail, "two faults; first; second");
    }
}
