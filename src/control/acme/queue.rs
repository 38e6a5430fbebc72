//! Whose turn it is: every name with its certificate, its failures, and when it is due. Pure: the time is an argument.
//!
//! ```text
//!             poll: Order                       handle_issued
//!   waiting ───────────────▶ under way ───────────────────────▶ waiting for its renewal
//!      ▲                         │ handle_failed
//!      └──── back-off ◀──────────┘
//! ```
//!
//! A thousand names that start at once go out a few at a time and a little apart. An authority that cannot be reached
//! lets all wait, and is held against none; a failure of one name never keeps another waiting.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use super::choice::Kind;
use super::failure::{Consequence, Failure};
use super::limits::{Limits, Purpose};
use super::schedule::{
    ARI_INTERVAL, Validity, Window, ask_again, back_off, fraction_of, held_back, interval_min,
    obeyed, renewal, unreached,
};
use crate::control::certificates::name::CertName;

/// Orders under way at the same time.
pub const ORDERS_AT_ONCE: usize = 4;
/// Between two orders that begin. An order is about ten requests, and authorities ask for fewer than twenty a second.
pub const ORDER_SPACING: Duration = Duration::from_millis(250);

/// All names. Nothing here happens by itself: see [`Queue::poll`].
pub struct Queue {
    entries: BTreeMap<CertName, Entry>,
    limits: Limits,
    /// The authority is left alone until then.
    rests_until: Option<SystemTime>,
    /// How often in a row it was not reached.
    unreached: u32,
    /// When the last order began.
    began: Option<SystemTime>,
}

/// One name.
#[derive(Default)]
struct Entry {
    held: Option<Validity>,
    /// When the one that is held came, if it came in this process's life.
    came: Option<SystemTime>,
    /// When the authority would like it renewed.
    window: Option<Window>,
    /// When that is asked for (again); `None`: the authority has no such information.
    ask_at: Option<SystemTime>,
    memory: Memory,
    /// Somebody asked for a new one: neither the renewal nor the back-off is waited for.
    is_urgent: bool,
    /// How often in a row the order was held back.
    held_back: u32,
    is_under_way: bool,
    is_asked_for: bool,
}

/// What is kept of a name over a restart.
#[derive(Clone, Copy, Default, PartialEq, Debug)]
pub struct Memory {
    /// Orders in a row that failed.
    pub failures: u32,
    /// The back-off ends then.
    pub retry_at: Option<SystemTime>,
    /// The authority asked for a pause until then; not even an urgent order goes out before.
    pub not_before: Option<SystemTime>,
    /// The challenge that worked.
    pub worked: Option<Kind>,
}

/// What is to be done now.
#[derive(Clone, PartialEq, Debug)]
pub enum Next {
    /// Order a certificate for this name; the queue hears of it by [`Queue::handle_issued`] or
    /// [`Queue::handle_failed`].
    Order(CertName, Purpose),
    /// Ask when this name's certificate should be renewed; answered by [`Queue::handle_window`].
    AskWindow(CertName),
    /// Nothing, until then at the latest; `None`: until something else happens.
    Wait(Option<SystemTime>),
}

/// What the authority said of a certificate's renewal.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Advice {
    /// This is when, and how long the advice is good for.
    Window(Window, Option<Duration>),
    /// It gives no such information.
    None,
    /// It could not be asked.
    Failed,
}

impl Queue {
    /// Without names.
    pub fn new(limits: Limits) -> Queue {
        Queue {
            entries: BTreeMap::new(),
            limits,
            rests_until: None,
            unreached: 0,
            began: None,
        }
    }

    /// The names that are wanted from now on, each with what is held. What is known of those that stay stays known.
    pub fn set_names(&mut self, names: Vec<(CertName, Option<Validity>)>, now: SystemTime) {
        let mut known = std::mem::take(&mut self.entries);
        for (name, held) in names {
            let mut entry = known.remove(&name).unwrap_or_default();
            if entry.held != held {
                entry.held = held;
                entry.window = None;
                entry.ask_at = held.map(|_| now);
            }
            self.entries.insert(name, entry);
        }
        // An order under way ends by itself, and is heard of while its name is known.
        known.retain(|_, entry| entry.is_under_way);
        self.entries.append(&mut known);
    }

    /// Takes up what was kept of a name that is known.
    pub fn take_up(&mut self, name: &CertName, memory: Memory) {
        if let Some(entry) = self.entries.get_mut(name) {
            entry.memory = memory;
        }
    }

    /// What is to be kept of each name.
    pub fn memories(&self) -> impl Iterator<Item = (&CertName, &Memory)> {
        self.entries
            .iter()
            .map(|(name, entry)| (name, &entry.memory))
    }

    /// The limits, with what is noted.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// The limits, to take up what was noted.
    pub fn limits_mut(&mut self) -> &mut Limits {
        &mut self.limits
    }

    /// The challenge that worked for a name.
    pub fn worked(&self, name: &CertName) -> Option<Kind> {
        self.entries.get(name)?.memory.worked
    }

    /// A new certificate for this name as soon as the authority's limits allow. `false`: no such name.
    pub fn renew_now(&mut self, name: &CertName) -> bool {
        match self.entries.get_mut(name) {
            Some(entry) => {
                entry.is_urgent = true;
                true
            }
            None => false,
        }
    }

    /// What is to be done now. The answer counts as done: whoever asks does it.
    pub fn poll(&mut self, now: SystemTime) -> Next {
        let mut wake = Wake { now, at: None };
        if !wake.is_over(self.rests_until) {
            return Next::Wait(wake.at);
        }
        if let Some(name) = self.next_to_ask(&mut wake) {
            return Next::AskWindow(name);
        }
        let under_way = self
            .entries
            .values()
            .filter(|entry| entry.is_under_way)
            .count();
        if under_way >= ORDERS_AT_ONCE
            || !wake.is_over(self.began.map(|began| began + ORDER_SPACING))
        {
            return Next::Wait(wake.at);
        }
        match self.most_due(&mut wake) {
            Some(name) => {
                let purpose = self.purpose(&name);
                if let Some(entry) = self.entries.get_mut(&name) {
                    entry.is_under_way = true;
                }
                self.began = Some(now);
                self.limits.note_order(purpose, now);
                Next::Order(name, purpose)
            }
            None => Next::Wait(wake.at),
        }
    }

    /// The certificate has come, by this challenge.
    pub fn handle_issued(
        &mut self,
        name: &CertName,
        validity: Validity,
        kind: Kind,
        purpose: Purpose,
        now: SystemTime,
    ) {
        self.unreached = 0;
        self.limits.note_issued(&name.to_string(), purpose, now);
        if let Some(entry) = self.entries.get_mut(name) {
            *entry = Entry {
                held: Some(validity),
                came: Some(now),
                ask_at: Some(now),
                memory: Memory {
                    worked: Some(kind),
                    ..Memory::default()
                },
                ..Entry::default()
            };
        }
    }

    /// A validation failed, and another challenge is tried within the same order's time. `false`: the authority's
    /// limit is reached, it must not be.
    pub fn may_try_again(&mut self, name: &CertName, now: SystemTime) -> bool {
        self.limits.note_failed(&name.to_string(), now);
        self.limits
            .may_order(&name.to_string(), self.purpose(name), now)
            .is_ok()
    }

    /// The order came to nothing. Returns when the name is tried again.
    pub fn handle_failed(
        &mut self,
        name: &CertName,
        failure: &Failure,
        now: SystemTime,
    ) -> SystemTime {
        let consequence = failure.consequence();
        let asked = failure.retry_after().map(|until| obeyed(until, now));
        if consequence == Consequence::Unreached {
            self.unreached = self.unreached.saturating_add(1);
            let pause = now + unreached(self.unreached);
            let until = asked.map_or(pause, |asked| asked.max(pause));
            self.rests_until = Some(until);
        } else if consequence != Consequence::HeldBack {
            self.unreached = 0;
        }
        if consequence == Consequence::Validation {
            self.limits.note_failed(&name.to_string(), now);
        }
        let resting = self.rests_until;
        let Some(entry) = self.entries.get_mut(name) else {
            return now;
        };
        entry.is_under_way = false;
        match consequence {
            Consequence::Unreached => return resting.unwrap_or(now),
            Consequence::HeldBack => {
                entry.held_back = entry.held_back.saturating_add(1);
                entry.memory.retry_at = Some(now + held_back(entry.held_back));
            }
            Consequence::Counted | Consequence::Validation => {
                entry.held_back = 0;
                entry.memory.failures = entry.memory.failures.saturating_add(1);
                let lifetime = entry.held.map(|held| held.lifetime());
                entry.memory.retry_at = Some(now + back_off(entry.memory.failures, lifetime));
                entry.memory.not_before = asked;
            }
        }
        entry.is_urgent = false;
        entry.due(name).max(entry.memory.not_before.unwrap_or(now))
    }

    /// What the authority says of this name's renewal.
    pub fn handle_window(&mut self, name: &CertName, advice: Advice, now: SystemTime) {
        let Some(entry) = self.entries.get_mut(name) else {
            return;
        };
        entry.is_asked_for = false;
        match advice {
            Advice::Window(window, advised) => {
                entry.window = Some(window);
                entry.ask_at = Some(ask_again(now, advised));
            }
            Advice::None => (entry.window, entry.ask_at) = (None, None),
            // The last advice stands.
            Advice::Failed => entry.ask_at = Some(now + ARI_INTERVAL),
        }
    }

    /// When this name's turn is, without regard to limits; `None`: no such name.
    pub fn due(&self, name: &CertName) -> Option<SystemTime> {
        self.entries.get(name).map(|entry| entry.due(name))
    }

    fn purpose(&self, name: &CertName) -> Purpose {
        let entry = self.entries.get(name);
        match entry.is_some_and(|entry| entry.held.is_some() && entry.window.is_some()) {
            true => Purpose::Replacement,
            false => Purpose::New,
        }
    }

    /// A name whose renewal is to be asked for. One at a time.
    fn next_to_ask(&mut self, wake: &mut Wake) -> Option<CertName> {
        if self.entries.values().any(|entry| entry.is_asked_for) {
            return None;
        }
        let waiting = self
            .entries
            .iter_mut()
            .filter(|(_, entry)| !entry.is_under_way);
        for (name, entry) in waiting {
            let Some(at) = entry.ask_at else { continue };
            if wake.is_over(Some(at)) {
                entry.is_asked_for = true;
                return Some(name.clone());
            }
        }
        None
    }

    /// The name to be ordered now: those without a valid certificate first, then by how long they have been due.
    fn most_due(&self, wake: &mut Wake) -> Option<CertName> {
        let now = wake.now;
        let mut found: Option<(bool, SystemTime, &CertName)> = None;
        for (name, entry) in self.entries.iter().filter(|(_, entry)| !entry.is_under_way) {
            let due = entry.due(name);
            if !wake.is_over(Some(due)) || !wake.is_over(entry.memory.not_before) {
                continue;
            }
            if let Err((until, _)) =
                self.limits
                    .may_order(&name.to_string(), self.purpose(name), now)
            {
                wake.is_over(Some(until));
                continue;
            }
            let is_valid = entry.held.is_some_and(|held| held.not_after > now);
            let key = (is_valid, due, name);
            if found.is_none_or(|known| (key.0, key.1) < (known.0, known.1)) {
                found = Some(key);
            }
        }
        found.map(|(_, _, name)| name.clone())
    }
}

impl Entry {
    /// When an order is due: at once without a certificate, else at its renewal; later after failures.
    fn due(&self, name: &CertName) -> SystemTime {
        let renewal = self.held.map(|held| {
            let at = renewal(
                &held,
                self.window.as_ref(),
                fraction_of(&name.to_string(), &held),
            );
            let apart = self.came.map(|came| came + interval_min(held.lifetime()));
            apart.map_or(at, |apart| at.max(apart))
        });
        match (self.is_urgent, renewal) {
            (true, _) => SystemTime::UNIX_EPOCH,
            (false, renewal) => renewal
                .max(self.memory.retry_at)
                .unwrap_or(SystemTime::UNIX_EPOCH),
        }
    }
}

/// Gathers when to look again.
struct Wake {
    now: SystemTime,
    at: Option<SystemTime>,
}

impl Wake {
    /// Has this moment come? If not, it is a moment to look again.
    fn is_over(&mut self, moment: Option<SystemTime>) -> bool {
        match moment {
            Some(moment) if moment > self.now => {
                self.at = Some(self.at.map_or(moment, |at| at.min(moment)));
                false
            }
            Some(_) | None => true,
        }
    }
}

#[cfg(test)]
mod tests;
