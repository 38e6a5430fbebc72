//! The worker in a simulated world (feature `sim`): random clients, random origins, faults; and what must hold whatever
//! happens.
//!
//! A world is a few dozen clients and two origins, some of them over TLS, one of the origins with pipelining; it ends with a
//! drain. All of it follows from its seed: the keys of a session do not, but how long its records are does. `SIM_STEPS` (100 000) is how many events are simulated, world after world, from `SIM_SEED` (1) on.
//!
//! Invariants: an answer's nonce is its request's and no octet of another's is in it; every connection is closed and
//! counted so; memory, tokens and descriptors come back; nothing hangs.

#[path = "sim/client.rs"]
mod client;
#[path = "sim/end.rs"]
mod end;
#[path = "sim/origin.rs"]
mod origin;
#[path = "sim/pattern.rs"]
mod pattern;
#[path = "sim/wire.rs"]
mod wire;
#[path = "sim/world.rs"]
mod world;

use std::time::Instant;

use hotgate::net::sim::{Bug, Faults};
use world::{Outcome, check, run};

/// Worlds in which something was found once.
const REGRESSIONS: [u64; 0] = [];

fn variable(name: &str, default: u64) -> u64 {
    let text = std::env::var(name).ok();
    text.map_or(default, |text| text.parse().expect("a number"))
}

#[test]
fn nothing_breaks_whatever_happens() {
    let (steps_min, first) = (variable("SIM_STEPS", 100_000), variable("SIM_SEED", 1));
    let (mut steps, mut seed, began) = (0, first, Instant::now());
    let mut sum = Outcome::default();
    while steps < steps_min {
        let outcome = check(seed, Faults::SOME);
        steps += outcome.steps;
        sum.add(&outcome);
        seed += 1;
    }
    let seconds = began.elapsed().as_secs_f64();
    println!(
        "{steps} steps in {} worlds, {seconds:.1} s: {sum:?}",
        seed - first
    );
    let tally = sum.tally;
    assert!(
        tally.answered * 2 > tally.asked,
        "most are answered: {tally:?}"
    );
    assert!(
        sum.pipelined > 0
            && sum.reuses > 0
            && tally.echoes > 0
            && sum.secured > 0
            && sum.secured_origins > 0,
        "{sum:?}"
    );
}

#[test]
fn without_faults_nothing_breaks_either() {
    for seed in 1..6 {
        check(seed, Faults::NONE);
    }
}

#[test]
fn what_was_found_once_is_not_found_again() {
    for seed in REGRESSIONS {
        check(seed, Faults::SOME);
    }
}

#[test]
fn a_seed_tells_all() {
    let first = run(7, Faults::SOME, None);
    let again = run(7, Faults::SOME, None);
    let other = run(8, Faults::SOME, None);
    assert_eq!((first.steps, first.hash), (again.steps, again.hash));
    assert_ne!(first.hash, other.hash);
}

#[track_caller]
fn is_found(bug: Bug, word: &str) {
    const STEPS_MAX: u64 = 300_000;
    let (mut steps, mut seed) = (0, 1);
    while steps < STEPS_MAX {
        let outcome = run(seed, Faults::SOME, Some(bug));
        steps += outcome.steps;
        if outcome.findings.iter().any(|what| what.contains(word)) {
            println!(
                "{bug:?} is found within {steps} steps: {}",
                outcome.findings[0]
            );
            return;
        }
        seed += 1;
    }
    panic!("{bug:?} is not found in {steps} steps");
}

#[test]
fn a_slot_handed_to_the_wrong_exchange_is_found() {
    is_found(Bug::SlotToWrongExchange, "to the client of");
}

#[test]
fn a_buffer_returned_twice_is_found() {
    is_found(Bug::BufferReturnedTwice, "returned twice");
}
