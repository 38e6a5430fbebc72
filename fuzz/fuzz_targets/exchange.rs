//! Any order of events in an exchange: what is decided of it never costs correctness.
//!
//! The events are those that the data plane notes; a plain model beside it keeps the history that the decisions must
//! respect: nothing is sent twice that may not be, no connection is kept that has a doubt about it.
#![no_main]

use arbitrary::Arbitrary;
use hotgate::http::method::Method;
use hotgate::policy::exchange::{
    ATTEMPTS_MAX, Progress, Retry, may_answer, may_pool, may_retry, may_reuse_downstream,
    needs_fresh_connection,
};
use hotgate::policy::reason::Reason;
use libfuzzer_sys::fuzz_target;

#[derive(Arbitrary, Debug)]
enum Event {
    Attempt { reused: bool },
    RequestRead,
    BodyTaken,
    Accepted(u16),
    RequestComplete,
    Received(u16),
    ResponseComplete { delimited: bool, persists: bool, surplus: bool },
    HeadSent { delimited: bool },
    ResponseSent,
    Upgrade,
    Persists(bool),
    Fail { reason: u8, another_endpoint: bool },
}

#[derive(Arbitrary, Debug)]
struct History {
    method: u8,
    events: Vec<Event>,
}

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

fuzz_target!(|history: History| {
    let method = METHODS[usize::from(history.method) % METHODS.len()];
    let mut progress = Progress::new(method);
    for event in history.events {
        apply(&mut progress, event);
        check(&progress);
    }
});

fn apply(progress: &mut Progress, event: Event) {
    match event {
        Event::Attempt { reused } => {
            if progress.attempts < ATTEMPTS_MAX && !progress.response_head_sent {
                progress.begin_attempt(reused);
                assert_eq!(progress.reused_connection, reused);
                assert_eq!((progress.request_octets_accepted, progress.response_octets), (0, 0));
            }
        }
        Event::RequestRead => progress.request_read = true,
        Event::BodyTaken => progress.request_replayable = false,
        Event::Accepted(octets) => progress.request_octets_accepted += u64::from(octets),
        Event::RequestComplete => progress.request_complete = true,
        Event::Received(octets) => progress.response_octets += u64::from(octets),
        Event::ResponseComplete { delimited, persists, surplus } => {
            progress.response_complete = true;
            progress.response_delimited = delimited;
            progress.upstream_persists = persists;
            progress.upstream_octets_left = surplus;
        }
        Event::HeadSent { delimited } => {
            progress.response_head_sent = true;
            progress.response_sent_delimited = delimited;
        }
        Event::ResponseSent => progress.response_sent = progress.response_head_sent,
        Event::Upgrade => progress.upgrade_sent = true,
        Event::Persists(persists) => progress.downstream_persists = persists,
        Event::Fail { reason, another_endpoint } => {
            let reason = Reason::ALL[usize::from(reason) % Reason::COUNT];
            fail(progress, reason, another_endpoint);
        }
    }
}

fn fail(progress: &mut Progress, reason: Reason, another_endpoint: bool) {
    match may_retry(progress, reason, another_endpoint) {
        Retry::No => progress.failure = Some(reason),
        Retry::SameEndpointNewConnection => {
            assert!(progress.reused_connection && !another_endpoint);
            check_retry(progress);
        }
        Retry::OtherEndpoint => {
            assert!(another_endpoint);
            check_retry(progress);
        }
    }
    match may_answer(progress, reason) {
        Some(status) => {
            // Two reasons are no failures: a redirect to HTTPS, and the answer to a certificate authority.
            let is_good = matches!(reason, Reason::HttpsRedirect | Reason::AcmeChallenge);
            assert!(!progress.response_head_sent && is_good == (status.code() < 400));
        }
        None => assert!(progress.response_head_sent || reason.status().is_none()),
    }
}

/// A request is sent again only while nobody can have seen a part of two answers, or of two orders.
fn check_retry(progress: &Progress) {
    assert!(progress.attempts < ATTEMPTS_MAX);
    assert!(progress.response_octets == 0 && !progress.response_head_sent);
    assert!(progress.request_replayable);
}

fn check(progress: &Progress) {
    if may_pool(progress) {
        assert!(progress.request_complete && progress.response_complete && progress.response_delimited);
        assert!(progress.upstream_persists && !progress.upstream_octets_left);
        assert!(!progress.upgrade_sent && progress.failure.is_none());
    }
    if may_reuse_downstream(progress) {
        assert!(progress.request_read && progress.response_sent && progress.response_sent_delimited);
        assert!(progress.downstream_persists);
    }
    if matches!(progress.method, Method::Post | Method::Patch | Method::Other) {
        assert!(needs_fresh_connection(progress));
    }
}
