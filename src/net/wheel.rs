//! The coarse timer wheel: when each deadline of a worker is due.
//!
//! A pure structure: the moment is an argument, and firing hands out wakers. A deadline that is moved later (what
//! a busy connection does at every step) costs one store: its entry stays in the earlier slot and is placed
//! anew when that slot comes round. Rivals weighed: a timer object per connection in the runtime (640 bytes and
//! two clock reads a turn), and a sweep over all connections (no placing, but a cost that grows with idle ones).

use std::task::Waker;

/// The width of a slot in milliseconds: how late a deadline may fire.
pub(super) const SLOT_MS: u64 = 100;
/// Slots in the wheel; what is due beyond them waits in the last and is placed again.
const SLOTS: u64 = 1024;
/// Deadlines at least this far away are rounded up to whole half seconds, so that an idle worker wakes for
/// them at most twice a second.
const ROUND_FROM_MS: u64 = 2000;
const ROUND_SLOTS: u64 = 5;

/// Entries that [`Wheel::trim`] leaves room for, and keys in a slot.
const ENTRIES_MIN: usize = 256;
const SLOT_KEYS_MIN: usize = 8;

/// No slot: not due, or in no slot.
const NEVER: u64 = u64::MAX;

/// A deadline's place in the wheel.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Key(u32);

struct Entry {
    /// The slot in which it is due; `NEVER` while it is unset.
    due: u64,
    /// The earliest slot it stands in; `NEVER` while in none. `placed <= due` while it is set.
    placed: u64,
    fired: bool,
    /// Drained when the worker drains: nothing is lost if the wait ends now.
    idle: bool,
    live: bool,
    waker: Option<Waker>,
}

pub(super) struct Wheel {
    entries: Vec<Entry>,
    free: Vec<Key>,
    slots: Vec<Vec<Key>>,
    /// The last slot that was turned past.
    position: u64,
    /// One bit a slot: does anything stand in it?
    occupied: [u64; (SLOTS / 64) as usize],
}

impl Wheel {
    pub(super) fn new(now_ms: u64) -> Wheel {
        Wheel {
            entries: Vec::new(),
            free: Vec::new(),
            slots: (0..SLOTS).map(|_| Vec::new()).collect(),
            position: now_ms / SLOT_MS,
            occupied: [0; (SLOTS / 64) as usize],
        }
    }

    pub(super) fn insert(&mut self) -> Key {
        let entry = Entry {
            due: NEVER,
            placed: NEVER,
            fired: false,
            idle: false,
            live: true,
            waker: None,
        };
        match self.free.pop() {
            Some(key) => {
                // A stale place in some slot may still name this entry; it is recognised by `placed`.
                self.entries[key.0 as usize] = entry;
                key
            }
            None => {
                let key =
                    Key(u32::try_from(self.entries.len()).expect("fewer than 2^32 deadlines"));
                self.entries.push(entry);
                key
            }
        }
    }

    pub(super) fn remove(&mut self, key: Key) {
        let entry = &mut self.entries[key.0 as usize];
        assert!(entry.live, "a deadline is removed once");
        entry.live = false;
        entry.due = NEVER;
        entry.placed = NEVER;
        entry.waker = None;
        self.free.push(key);
    }

    /// Sets the deadline and takes back that it fired. Returns the moment (ms) for which the timer must now be
    /// set at the latest, when this entry had to be placed in a slot.
    pub(super) fn set(&mut self, key: Key, due_ms: u64, now_ms: u64, idle: bool) -> Option<u64> {
        let mut due = (due_ms.div_ceil(SLOT_MS)).max(self.position + 1);
        if due_ms.saturating_sub(now_ms) >= ROUND_FROM_MS {
            due = due.div_ceil(ROUND_SLOTS) * ROUND_SLOTS;
        }
        let entry = &mut self.entries[key.0 as usize];
        entry.due = due;
        entry.fired = false;
        entry.idle = idle;
        if entry.placed <= due {
            return None;
        }
        let placed = self.place(key);
        Some(placed * SLOT_MS)
    }

    /// Makes the deadline one that never comes. Its place in a slot goes stale by itself.
    pub(super) fn clear(&mut self, key: Key) {
        let entry = &mut self.entries[key.0 as usize];
        entry.due = NEVER;
        entry.fired = false;
        entry.idle = false;
    }

    fn place(&mut self, key: Key) -> u64 {
        let entry = &mut self.entries[key.0 as usize];
        let slot = entry
            .due
            .min(self.position + SLOTS - 1)
            .max(self.position + 1);
        entry.placed = slot;
        let index = (slot % SLOTS) as usize;
        self.slots[index].push(key);
        self.occupied[index / 64] |= 1 << (index % 64);
        slot
    }

    /// Gives memory back that so many deadlines no longer need.
    pub(super) fn trim(&mut self) {
        let kept = self.entries.iter().rposition(|entry| entry.live);
        let kept = kept.map_or(0, |last| last + 1);
        if self.entries.capacity() > 2 * kept.max(ENTRIES_MIN) {
            self.entries.truncate(kept);
            self.entries.shrink_to(ENTRIES_MIN);
            self.free.retain(|key| (key.0 as usize) < kept);
            self.free.shrink_to(ENTRIES_MIN);
            // The lowest is taken first: so the end stays free.
            self.free
                .sort_unstable_by_key(|key| std::cmp::Reverse(key.0));
        }
        for slot in &mut self.slots {
            if slot.capacity() > 2 * slot.len().max(SLOT_KEYS_MIN) {
                slot.shrink_to(SLOT_KEYS_MIN);
            }
        }
    }

    pub(super) fn is_fired(&self, key: Key) -> bool {
        self.entries[key.0 as usize].fired
    }

    /// Remembers whom to wake when the deadline fires, in place of whoever was remembered.
    pub(super) fn watch(&mut self, key: Key, waker: &Waker) {
        let entry = &mut self.entries[key.0 as usize];
        match &entry.waker {
            Some(known) if known.will_wake(waker) => {}
            Some(_) | None => entry.waker = Some(waker.clone()),
        }
    }

    /// Fires all that is due at `now_ms` and pushes whom to wake.
    pub(super) fn turn(&mut self, now_ms: u64, wake: &mut Vec<Waker>) {
        let target = now_ms / SLOT_MS;
        // After a long sleep each slot is passed once; what they hold is compared with `target` itself.
        let first = (self.position + 1).max(target.saturating_sub(SLOTS - 1));
        for slot in first..=target {
            let index = (slot % SLOTS) as usize;
            if self.occupied[index / 64] & (1 << (index % 64)) == 0 {
                continue;
            }
            self.occupied[index / 64] &= !(1 << (index % 64));
            let mut keys = std::mem::take(&mut self.slots[index]);
            self.position = slot;
            for key in keys.drain(..) {
                // A stale place: the entry was removed, and perhaps trimmed away, or has since been placed elsewhere.
                let Some(entry) = self.entries.get_mut(key.0 as usize) else {
                    continue;
                };
                if entry.placed > slot {
                    continue;
                }
                entry.placed = NEVER;
                if entry.due <= target {
                    entry.due = NEVER;
                    entry.fired = true;
                    wake.extend(entry.waker.take());
                } else if entry.due != NEVER {
                    self.place(key);
                }
            }
            // The list keeps its room: placing again allocates nothing.
            if self.slots[index].is_empty() {
                self.slots[index] = keys;
            }
        }
        self.position = self.position.max(target);
    }

    /// The next moment (ms) at which [`turn`](Wheel::turn) has work; `None` while nothing stands in the wheel.
    pub(super) fn next_ms(&self) -> Option<u64> {
        (self.position + 1..self.position + SLOTS)
            .find(|slot| {
                let index = (slot % SLOTS) as usize;
                self.occupied[index / 64] & (1 << (index % 64)) != 0
            })
            .map(|slot| slot * SLOT_MS)
    }

    /// Fires all idle deadlines at once: the worker drains.
    pub(super) fn fire_idle(&mut self, wake: &mut Vec<Waker>) {
        for entry in self
            .entries
            .iter_mut()
            .filter(|entry| entry.live && entry.idle && !entry.fired)
        {
            entry.due = NEVER;
            entry.fired = true;
            wake.extend(entry.waker.take());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fired(wheel: &mut Wheel, key: Key, now_ms: u64) -> bool {
        wheel.turn(now_ms, &mut Vec::new());
        wheel.is_fired(key)
    }

    #[test]
    fn fires_when_due_and_not_before() {
        let mut wheel = Wheel::new(0);
        let key = wheel.insert();
        assert_eq!(wheel.set(key, 350, 0, false), Some(400));
        assert!(!fired(&mut wheel, key, 399));
        assert!(fired(&mut wheel, key, 400));
    }

    #[test]
    fn a_later_deadline_costs_no_new_place() {
        let mut wheel = Wheel::new(0);
        let key = wheel.insert();
        wheel.set(key, 300, 0, false);
        assert_eq!(wheel.set(key, 1000, 100, false), None);
        assert!(!fired(&mut wheel, key, 999));
        assert!(fired(&mut wheel, key, 1000));
    }

    #[test]
    fn an_earlier_deadline_is_placed_again() {
        let mut wheel = Wheel::new(0);
        let key = wheel.insert();
        wheel.set(key, 90_000, 0, false);
        assert_eq!(wheel.set(key, 200, 0, false), Some(200));
        assert!(fired(&mut wheel, key, 200));
        // The stale place, where it stood before, does nothing.
        wheel.set(key, 200_000, 300, false);
        assert!(!fired(&mut wheel, key, 90_000));
        assert!(fired(&mut wheel, key, 200_000));
    }

    #[test]
    fn far_deadlines_are_rounded_and_wait_beyond_the_horizon() {
        let mut wheel = Wheel::new(0);
        let key = wheel.insert();
        wheel.set(key, 600_100, 0, false);
        for now in (0..600_500).step_by(700) {
            assert!(!fired(&mut wheel, key, now), "at {now}");
        }
        assert!(fired(&mut wheel, key, 600_500));
    }

    #[test]
    fn a_cleared_or_removed_deadline_stays_silent() {
        let mut wheel = Wheel::new(0);
        let (cleared, removed) = (wheel.insert(), wheel.insert());
        wheel.set(cleared, 100, 0, true);
        wheel.set(removed, 100, 0, true);
        wheel.clear(cleared);
        wheel.remove(removed);
        let again = wheel.insert();
        assert_eq!(again, removed);
        wheel.turn(5000, &mut Vec::new());
        assert!(!wheel.is_fired(cleared) && !wheel.is_fired(again));
        assert_eq!(wheel.next_ms(), None);
    }

    #[test]
    fn after_a_long_sleep_everything_due_has_fired() {
        let mut wheel = Wheel::new(0);
        let keys: Vec<Key> = (0..500).map(|_| wheel.insert()).collect();
        for (at, key) in keys.iter().enumerate() {
            wheel.set(*key, at as u64 * 997, 0, false);
        }
        wheel.turn(10_000_000, &mut Vec::new());
        // What stood beyond the horizon is placed in the slot after and fires with the next turn.
        wheel.turn(10_000_200, &mut Vec::new());
        assert!(keys.iter().all(|key| wheel.is_fired(*key)));
    }

    #[test]
    fn draining_fires_the_idle_alone() {
        let mut wheel = Wheel::new(0);
        let (idle, busy) = (wheel.insert(), wheel.insert());
        wheel.set(idle, 75_000, 0, true);
        wheel.set(busy, 75_000, 0, false);
        let mut wake = Vec::new();
        wheel.watch(idle, Waker::noop());
        wheel.fire_idle(&mut wake);
        assert_eq!(wake.len(), 1);
        assert!(wheel.is_fired(idle) && !wheel.is_fired(busy));
    }

    #[test]
    fn the_next_moment_is_the_earliest_place() {
        let mut wheel = Wheel::new(1000);
        assert_eq!(wheel.next_ms(), None);
        let (near, far) = (wheel.insert(), wheel.insert());
        wheel.set(far, 50_000, 1000, false);
        wheel.set(near, 1500, 1000, false);
        assert_eq!(wheel.next_ms(), Some(1500));
    }
}
