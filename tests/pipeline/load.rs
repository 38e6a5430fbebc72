//! Many clients at once, each of which knows what its own answers look like.

use std::{
    net::SocketAddr,
    sync::{
        Barrier,
        atomic::{AtomicBool, Ordering},
    },
};

use crate::support::{Client, Response};

/// How many ask at once: more than hotgate opens connections for before it shares them.
pub(crate) const CLIENTS: usize = 32;

/// One request and what came of it.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    /// What was asked for, which nobody else did.
    pub(crate) target: String,
    /// The status of the answer.
    pub(crate) status: u16,
    /// Its body.
    pub(crate) text: String,
}

impl Answer {
    /// Is it the origin's answer to this very request?
    pub(crate) fn is_own(&self) -> bool {
        self.status == 200 && self.text == self.target
    }
}

/// Asks with [`CLIENTS`] clients, each of which goes on until it asked `count` times.
#[track_caller]
pub(crate) fn ask(to: SocketAddr, name: &str, count: usize) -> Vec<Answer> {
    let asking = |number: usize| {
        let mut client = Client::connect(to);
        (0..count)
            .map(|n| get(&mut client, to, format!("/{name}-{number}-{n}")))
            .collect::<Vec<_>>()
    };
    at_once(asking)
}

/// Asks with [`CLIENTS`] clients, each until `event` came true and three times more; at most `count` times in all.
pub(crate) fn ask_until(to: SocketAddr, event: &AtomicBool, count: usize) -> Vec<Answer> {
    let asking = |number: usize| {
        let mut client = Client::connect(to);
        let mut answers = Vec::new();
        let mut remaining = 4;
        while answers.len() < count && remaining > 0 {
            let target = format!("/{number}-{}", answers.len());
            answers.push(get(&mut client, to, target));
            remaining -= usize::from(event.load(Ordering::SeqCst));
        }
        answers
    };
    at_once(asking)
}

fn at_once(asking: impl Fn(usize) -> Vec<Answer> + Sync) -> Vec<Answer> {
    let start = Barrier::new(CLIENTS);
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..CLIENTS)
            .map(|number| {
                let (start, asking) = (&start, &asking);
                scope.spawn(move || {
                    start.wait();
                    asking(number)
                })
            })
            .collect();
        let answers = threads.into_iter().flat_map(|thread| match thread.join() {
            Ok(answers) => answers,
            Err(payload) => std::panic::resume_unwind(payload),
        });
        answers.collect()
    })
}

/// One GET; over a new connection from then on if its answer says so.
pub(crate) fn get(client: &mut Client, to: SocketAddr, target: String) -> Answer {
    let response = client.get(&target);
    if response.says_close() {
        *client = Client::connect(to);
    }
    answer(target, &response)
}

fn answer(target: String, response: &Response) -> Answer {
    Answer {
        target,
        status: response.status,
        text: response.text(),
    }
}

/// Fails for the first answer that is not its request's own.
#[track_caller]
pub(crate) fn all_own(answers: &[Answer]) {
    let strange = answers.iter().find(|answer| !answer.is_own());
    assert!(strange.is_none(), "{strange:?}");
}

/// xorshift64: the same numbers for the same seed.
pub(crate) struct Random(u64);

impl Random {
    /// Any seed but 0 will do, so 0 is another.
    pub(crate) fn new(seed: u64) -> Random {
        Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    /// Below `bound`, which is not 0.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }

    /// True so many times in a thousand.
    pub(crate) fn in_a_thousand(&mut self, times: u64) -> bool {
        self.below(1000) < times
    }
}
