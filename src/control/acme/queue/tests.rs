//! The queue's tests: a name's way through it, with the time as a variable.

use super::*;
use crate::control::acme::failure::{Problem, ProblemKind};

const CA: &str = "https://ca.example/directory";
const DAY: u64 = 24 * 3600;

fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000 + seconds)
}

fn name(text: &str) -> CertName {
    CertName::parse(text).expect("a name")
}

fn valid(from: u64, seconds: u64) -> Validity {
    Validity {
        not_before: at(from),
        not_after: at(from + seconds),
    }
}

fn queue(names: &[(&str, Option<Validity>)]) -> Queue {
    let mut queue = Queue::new(Limits::of(CA));
    let names = names
        .iter()
        .map(|(text, held)| (name(text), *held))
        .collect();
    queue.set_names(names, at(0));
    queue
}

fn refused() -> Failure {
    Failure::Refused(Problem {
        kind: ProblemKind::Malformed,
        detail: String::new(),
    })
}

fn failed_challenge() -> Failure {
    Failure::Challenge(
        Kind::Http01,
        Problem {
            kind: ProblemKind::Connection,
            detail: String::new(),
        },
    )
}

fn unreachable() -> Failure {
    Failure::Unreachable {
        directory: CA.into(),
        why: "refused".into(),
    }
}

fn busy(status: u16, until: Option<u64>) -> Failure {
    Failure::Busy {
        status,
        until: until.map(at),
        detail: None,
    }
}

#[track_caller]
fn orders(queue: &mut Queue, now: u64, text: &str) {
    let next = queue.poll(at(now));
    assert_eq!(next, Next::Order(name(text), Purpose::New));
}

#[track_caller]
fn waits(queue: &mut Queue, now: u64, until: Option<u64>) {
    assert_eq!(queue.poll(at(now)), Next::Wait(until.map(at)));
}

/// Answers every question for a window with none.
fn without_windows(queue: &mut Queue, now: u64) {
    while let Next::AskWindow(asked) = queue.poll(at(now)) {
        queue.handle_window(&asked, Advice::None, at(now));
    }
}

#[test]
fn a_name_without_a_certificate_is_ordered_and_renewed() {
    let mut queue = queue(&[("a.test", None)]);
    orders(&mut queue, 0, "a.test");
    waits(&mut queue, 1, None);
    queue.handle_issued(
        &name("a.test"),
        valid(2, 120),
        Kind::Http01,
        Purpose::New,
        at(2),
    );
    without_windows(&mut queue, 2);
    let due = queue.due(&name("a.test")).expect("known");
    assert!((at(76)..=at(82)).contains(&due), "{due:?}");
    assert_eq!(queue.poll(at(3)), Next::Wait(Some(due)));
    orders(&mut queue, 82, "a.test");
    assert_eq!(queue.worked(&name("a.test")), Some(Kind::Http01));
}

#[test]
fn short_certificates_are_renewed_again_and_again() {
    let mut queue = queue(&[("a.test", None)]);
    let (mut now, mut last) = (0, 0);
    for round in 0..50 {
        orders(&mut queue, now, "a.test");
        assert!(
            round == 0 || (70..90).contains(&(now - last)),
            "{now} after {last}"
        );
        last = now;
        queue.handle_issued(
            &name("a.test"),
            valid(now, 120),
            Kind::Http01,
            Purpose::New,
            at(now),
        );
        without_windows(&mut queue, now);
        let due = queue.due(&name("a.test")).expect("known");
        now = due.duration_since(at(0)).expect("later").as_secs() + 1;
    }
}

#[test]
fn a_certificate_that_is_held_waits_for_its_renewal() {
    let mut queue = queue(&[("a.test", Some(valid(0, 90 * DAY)))]);
    without_windows(&mut queue, 0);
    let due = queue.due(&name("a.test")).expect("known");
    assert!((at(55 * DAY)..=at(60 * DAY)).contains(&due));
    assert_eq!(queue.poll(at(1)), Next::Wait(Some(due)));
    assert_eq!(queue.poll(due), Next::Order(name("a.test"), Purpose::New));
}

#[test]
fn failures_back_off_and_other_names_go_on() {
    let mut queue = queue(&[("a.test", None), ("b.test", None)]);
    orders(&mut queue, 0, "a.test");
    let next = queue.handle_failed(&name("a.test"), &refused(), at(1));
    assert_eq!(next, at(301));
    orders(&mut queue, 1, "b.test");
    queue.handle_issued(
        &name("b.test"),
        valid(1, 90 * DAY),
        Kind::Http01,
        Purpose::New,
        at(2),
    );
    without_windows(&mut queue, 2);
    waits(&mut queue, 2, Some(301));
    orders(&mut queue, 301, "a.test");
    let next = queue.handle_failed(&name("a.test"), &refused(), at(302));
    assert_eq!(next, at(902));
    // What is asked for goes out at once, and its failure goes on backing off.
    assert!(queue.renew_now(&name("a.test")));
    assert!(!queue.renew_now(&name("c.test")));
    orders(&mut queue, 400, "a.test");
    let next = queue.handle_failed(&name("a.test"), &refused(), at(401));
    assert_eq!(next, at(401 + 1200));
}

#[test]
fn five_failed_validations_wait_for_the_hour() {
    let mut queue = queue(&[("a.test", None)]);
    for second in 0..5 {
        orders(&mut queue, second * 10, "a.test");
        queue.handle_failed(&name("a.test"), &failed_challenge(), at(second * 10));
        queue.renew_now(&name("a.test"));
    }
    waits(&mut queue, 50, Some(3600));
    orders(&mut queue, 3600, "a.test");
}

#[test]
fn an_order_tries_other_challenges_within_the_limit() {
    let mut queue = queue(&[("a.test", None)]);
    orders(&mut queue, 0, "a.test");
    let tries: Vec<bool> = (0..5)
        .map(|second| queue.may_try_again(&name("a.test"), at(second)))
        .collect();
    assert_eq!(tries, [true, true, true, true, false]);
}

#[test]
fn an_authority_that_is_away_lets_all_wait_and_is_held_against_none() {
    let mut queue = queue(&[("a.test", None), ("b.test", None)]);
    orders(&mut queue, 0, "a.test");
    assert_eq!(
        queue.handle_failed(&name("a.test"), &unreachable(), at(1)),
        at(6)
    );
    waits(&mut queue, 2, Some(6));
    orders(&mut queue, 6, "a.test");
    assert_eq!(
        queue.handle_failed(&name("a.test"), &unreachable(), at(6)),
        at(16)
    );
    orders(&mut queue, 16, "a.test");
    queue.handle_issued(
        &name("a.test"),
        valid(16, 90 * DAY),
        Kind::Http01,
        Purpose::New,
        at(16),
    );
    without_windows(&mut queue, 16);
    orders(&mut queue, 18, "b.test");
    // Once it was there, the pauses begin anew.
    assert_eq!(
        queue.handle_failed(&name("b.test"), &unreachable(), at(20)),
        at(25)
    );
}

#[test]
fn an_authority_is_obeyed() {
    // 429 is about the name, even when it is asked for.
    let mut queue = queue(&[("a.test", None), ("b.test", None)]);
    orders(&mut queue, 0, "a.test");
    assert_eq!(
        queue.handle_failed(&name("a.test"), &busy(429, Some(7200)), at(0)),
        at(7200)
    );
    queue.renew_now(&name("a.test"));
    orders(&mut queue, 1, "b.test");
    // 503 is about the authority.
    assert_eq!(
        queue.handle_failed(&name("b.test"), &busy(503, Some(60)), at(1)),
        at(60)
    );
    waits(&mut queue, 2, Some(60));
    orders(&mut queue, 60, "b.test");
    waits(&mut queue, 61, Some(7200));
    orders(&mut queue, 7200, "a.test");
    // Without a word a pause is short.
    assert_eq!(
        queue.handle_failed(&name("a.test"), &busy(500, None), at(7200)),
        at(7210)
    );
}

#[test]
fn an_order_that_is_held_back_is_looked_at_soon() {
    let mut queue = queue(&[("a.test", None)]);
    let nowhere = Failure::NoSuchName {
        name: "a.test".into(),
    };
    orders(&mut queue, 0, "a.test");
    assert_eq!(
        queue.handle_failed(&name("a.test"), &nowhere, at(0)),
        at(60)
    );
    orders(&mut queue, 60, "a.test");
    assert_eq!(
        queue.handle_failed(&name("a.test"), &nowhere, at(60)),
        at(180)
    );
    // Held against nobody.
    orders(&mut queue, 180, "a.test");
    assert_eq!(
        queue.handle_failed(&name("a.test"), &refused(), at(180)),
        at(480)
    );
}

#[test]
fn a_thousand_names_go_out_a_few_at_a_time_and_apart() {
    let texts: Vec<String> = (0..1000).map(|number| format!("n{number}.test")).collect();
    let names: Vec<(&str, Option<Validity>)> =
        texts.iter().map(|text| (text.as_str(), None)).collect();
    let mut queue = queue(&names);
    let (mut now, mut under_way, mut ordered) = (at(0), Vec::new(), 0);
    let mut began: Vec<SystemTime> = Vec::new();
    while ordered < 1000 || !under_way.is_empty() {
        match queue.poll(now) {
            Next::Order(name, _) => {
                assert!(began.last().is_none_or(|last| now >= *last + ORDER_SPACING));
                began.push(now);
                under_way.push(name);
                ordered += 1;
                assert!(under_way.len() <= ORDERS_AT_ONCE);
            }
            Next::AskWindow(name) => queue.handle_window(&name, Advice::None, now),
            Next::Wait(until) => {
                // The oldest comes to its end while we wait.
                now = until.map_or(now + Duration::from_secs(2), |until| {
                    until.min(now + Duration::from_secs(2))
                });
                if under_way.len() == ORDERS_AT_ONCE || ordered == 1000 {
                    let name = under_way.remove(0);
                    let validity = Validity {
                        not_before: now,
                        not_after: now + Duration::from_secs(90 * DAY),
                    };
                    queue.handle_issued(&name, validity, Kind::Http01, Purpose::New, now);
                }
            }
        }
    }
    assert_eq!(began.len(), 1000);
}

#[test]
fn those_without_a_certificate_come_first() {
    let mut queue = queue(&[
        ("a.test", Some(valid(0, 90 * DAY))),
        ("b.test", Some(valid(0, 10 * DAY))),
        ("c.test", Some(valid(0, 100 * DAY))),
    ]);
    without_windows(&mut queue, 0);
    let now = 70 * DAY;
    orders(&mut queue, now, "b.test"); // expired
    orders(&mut queue, now + 1, "a.test"); // due the longest
    orders(&mut queue, now + 2, "c.test");
}

#[test]
fn the_authoritys_window_is_asked_for_and_followed() {
    let mut queue = queue(&[("a.test", Some(valid(0, 90 * DAY)))]);
    let own = name("a.test");
    assert_eq!(queue.poll(at(0)), Next::AskWindow(own.clone()));
    let window = Window {
        start: at(10 * DAY),
        end: at(10 * DAY + 100),
    };
    queue.handle_window(
        &own,
        Advice::Window(window, Some(Duration::from_secs(7200))),
        at(0),
    );
    waits(&mut queue, 1, Some(7200));
    assert_eq!(queue.poll(at(7200)), Next::AskWindow(own.clone()));
    queue.handle_window(&own, Advice::Failed, at(7200));
    let due = queue.due(&own).expect("known");
    assert!(
        (at(10 * DAY)..=at(10 * DAY + 100)).contains(&due),
        "the last advice stands"
    );
    // It is moved to the past: at once, as a replacement.
    assert_eq!(queue.poll(at(DAY)), Next::AskWindow(own.clone()));
    let past = Window {
        start: at(0),
        end: at(1),
    };
    queue.handle_window(&own, Advice::Window(past, None), at(DAY));
    assert_eq!(
        queue.poll(at(DAY)),
        Next::Order(own.clone(), Purpose::Replacement)
    );
    queue.handle_issued(
        &own,
        valid(DAY, 90 * DAY),
        Kind::Http01,
        Purpose::Replacement,
        at(DAY),
    );
    // Said again of the new one, it is not believed for a day.
    assert_eq!(queue.poll(at(DAY)), Next::AskWindow(own.clone()));
    queue.handle_window(&own, Advice::Window(past, None), at(DAY));
    assert_eq!(queue.due(&own), Some(at(2 * DAY)));
}

#[test]
fn a_reload_keeps_what_is_known_of_the_names_that_stay() {
    let mut queue = queue(&[("a.test", None), ("b.test", None)]);
    orders(&mut queue, 0, "a.test");
    queue.handle_failed(&name("a.test"), &refused(), at(0));
    orders(&mut queue, 1, "b.test");
    queue.set_names(vec![(name("a.test"), None), (name("c.test"), None)], at(2));
    orders(&mut queue, 2, "c.test");
    waits(&mut queue, 3, Some(300));
    // The one under way is heard of, and then forgotten at the next reload.
    assert!(queue.due(&name("b.test")).is_some());
    queue.handle_failed(&name("b.test"), &refused(), at(4));
    queue.set_names(vec![(name("a.test"), None)], at(5));
    assert_eq!(queue.due(&name("b.test")), None);
    // A certificate that came from elsewhere counts.
    queue.set_names(vec![(name("a.test"), Some(valid(0, 90 * DAY)))], at(6));
    assert_eq!(queue.poll(at(6)), Next::AskWindow(name("a.test")));
}

#[test]
fn a_restart_goes_on_where_it_was() {
    let mut before = queue(&[("a.test", None)]);
    orders(&mut before, 0, "a.test");
    before.handle_failed(&name("a.test"), &busy(429, Some(9000)), at(0));
    let mut after = queue(&[("a.test", None)]);
    for (name, memory) in before.memories() {
        after.take_up(name, *memory);
    }
    after.take_up(&name("z.test"), Memory::default());
    after.renew_now(&name("a.test"));
    waits(&mut after, 10, Some(9000));
}
