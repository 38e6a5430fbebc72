//! The parking lot: idle connections without task or buffer, in a compact table behind the gate.
//!
//! ```text
//!   task ── idle for a second ──► park ──► entry in the table, descriptor at the gate
//!    ▲                                        │ octets, an end, or its time is over
//!    └────────── a new task ◄── run ◄─────────┘
//! ```
//!
//! An entry is the descriptor, the moment at which its wait is over, and what the owner wants back with it. The table
//! grows by blocks that are never moved. Expiry is a sweep over it, set for the earliest moment and never sooner than
//! `SWEEP_REST` after the last, so no timer belongs to a connection.
//!
//! Invariant: an entry is told of at most once, and its descriptor belongs to the table until then.

use std::cell::{Cell, RefCell};
use std::io;
use std::num::NonZeroU32;
use std::time::Duration;

use super::clock::{Tick, now};
use super::deadline::Deadline;
pub use super::fd::Resting;
use super::gate::Gate;
use super::stream::Stream;
use super::task::{Either, race};

/// How long a sweep is put off after another: how late a parked connection may be closed.
const SWEEP_REST: Duration = Duration::from_millis(500);
/// The unit in which a table counts: a deadline is exact to this.
const DUE_UNIT_MS: u64 = 100;
/// Entries in a block of the table: with 32 octets each a little less than 16 KiB, because the allocator gives 20 KiB for
/// 16.
const BLOCK_ENTRIES: usize = 508;

/// A place in the table. A ticket of a connection that has left is no longer good.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ticket {
    place: u32,
    /// Never 0, so that a ticket that may be absent takes no more than one.
    generation: NonZeroU32,
}

/// Why a connection leaves the lot.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Left {
    /// There are octets, an end or an error on it.
    Ready,
    /// Its time is over.
    Due,
}

/// A connection that leaves the lot.
pub struct Leaver<T> {
    /// The place that it had.
    pub ticket: Ticket,
    /// Its descriptor; dropping it closes the connection.
    pub resting: Resting,
    /// What was left with it.
    pub kept: T,
    /// When its wait would have been over.
    pub due: Tick,
}

impl Resting {
    /// Back in the hands of this thread's driver.
    ///
    /// # Errors
    ///
    /// The driver refuses the descriptor; the connection is closed.
    pub fn into_stream(self) -> io::Result<Stream> {
        self.into_socket().map(Stream::new)
    }
}

/// Octets that an entry of a lot takes.
pub const fn entry_bytes<T>() -> usize {
    size_of::<Entry<T>>()
}

/// See the module. `T` is kept small: it is paid for by every idle connection.
pub struct Lot<T> {
    gate: Gate,
    table: RefCell<Table<T>>,
    base: Tick,
    sweep: Deadline,
    /// For when the sweep is set.
    sweep_at: Cell<Tick>,
}

impl<T> Lot<T> {
    /// An empty lot of this thread's worker.
    ///
    /// # Errors
    ///
    /// No descriptor can be had for its gate.
    pub fn new() -> io::Result<Lot<T>> {
        Ok(Lot {
            gate: Gate::new()?,
            table: RefCell::new(Table::new()),
            base: now(),
            sweep: Deadline::new(),
            sweep_at: Cell::new(Tick(u64::MAX)),
        })
    }

    /// Parks a connection until `due`. No operation may be in flight on it, and this is its last handle.
    ///
    /// # Errors
    ///
    /// It cannot be watched (memory, `fs.epoll.max_user_watches`) or is still in use: it is closed, or will be, and
    /// what was to be kept comes back.
    pub fn park(&self, stream: Stream, due: Tick, kept: T) -> Result<Ticket, T> {
        let Some(resting) = stream.into_resting() else {
            return Err(kept);
        };
        let ticket = self.table.borrow().next_ticket();
        if self.gate.watch(&resting, token_of(ticket)).is_err() {
            return Err(kept);
        }
        let units = due.0.saturating_sub(self.base.0).div_ceil(DUE_UNIT_MS);
        let due_units = u32::try_from(units).unwrap_or(u32::MAX);
        self.table.borrow_mut().insert(resting, due_units, kept);
        self.sweep_by(due);
        Ok(ticket)
    }

    /// Takes a connection out before it is told of.
    pub fn take(&self, ticket: Ticket) -> Option<Leaver<T>> {
        let leaver = self.leave(ticket)?;
        self.gate.unwatch(&leaver.resting);
        Some(leaver)
    }

    /// Changes what is kept with a connection, if it is still here.
    pub fn with_kept<R>(&self, ticket: Ticket, change: impl FnOnce(&mut T) -> R) -> Option<R> {
        self.table.borrow_mut().kept_mut(ticket).map(change)
    }

    /// Connections that are parked.
    pub fn len(&self) -> usize {
        self.table.borrow().taken
    }

    /// Is it empty?
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Takes all of them out with whom such a thing is kept.
    pub fn take_all(&self, is_meant: impl Fn(&T) -> bool, mut tell: impl FnMut(Leaver<T>)) {
        let all = self.table.borrow().tickets(|_| true);
        for ticket in all {
            if self.with_kept(ticket, |kept| is_meant(kept)) == Some(true)
                && let Some(leaver) = self.take(ticket)
            {
                tell(leaver);
            }
        }
    }

    /// Gives memory back that so many connections no longer need.
    pub fn trim(&self) {
        self.table.borrow_mut().trim();
    }

    /// Tells of each connection that leaves by itself, for as long as the worker lives.
    ///
    /// **Cancellation**: nobody is lost.
    ///
    /// # Errors
    ///
    /// Waiting at the gate fails.
    pub async fn run(&self, mut tell: impl FnMut(Leaver<T>, Left)) -> io::Result<()> {
        let mut tokens = Vec::new();
        loop {
            match race(self.gate.ready(&mut tokens), self.sweep.over()).await {
                Either::Left(ready) => {
                    ready?;
                    for token in tokens.drain(..) {
                        // None: it was taken out after the gate had told of it.
                        if let Some(leaver) = self.leave(ticket_of(token)) {
                            tell(leaver, Left::Ready);
                        }
                    }
                }
                Either::Right(()) => {
                    for ticket in self.sweep() {
                        // None: whoever was told of another took it out.
                        if let Some(leaver) = self.take(ticket) {
                            tell(leaver, Left::Due);
                        }
                    }
                }
            }
        }
    }

    fn leave(&self, ticket: Ticket) -> Option<Leaver<T>> {
        let (resting, units, kept) = self.table.borrow_mut().remove(ticket)?;
        Some(Leaver {
            ticket,
            resting,
            kept,
            due: self.due_of(units),
        })
    }

    fn due_of(&self, units: u32) -> Tick {
        Tick(self.base.0 + u64::from(units) * DUE_UNIT_MS)
    }

    fn sweep_by(&self, due: Tick) {
        if due < self.sweep_at.get() {
            self.sweep_at.set(due);
            self.sweep.set(due.since(now()));
        }
    }

    /// Finds who is due, and sets the next sweep.
    fn sweep(&self) -> Vec<Ticket> {
        let today = now();
        let (due, earliest) = {
            let table = self.table.borrow();
            let due = table.tickets(|units| self.due_of(units) <= today);
            let earliest = table.earliest_after(|units| self.due_of(units) > today);
            (due, earliest)
        };
        self.sweep_at.set(Tick(u64::MAX));
        self.sweep.clear();
        if let Some(units) = earliest {
            self.sweep_by(self.due_of(units).max(today.after(SWEEP_REST)));
        }
        due
    }
}

fn token_of(ticket: Ticket) -> u64 {
    u64::from(ticket.generation.get()) << 32 | u64::from(ticket.place)
}

fn ticket_of(token: u64) -> Ticket {
    Ticket {
        place: token as u32, // the low half
        generation: NonZeroU32::new((token >> 32) as u32).expect("tokens are made of tickets"),
    }
}

/// The table: blocks of entries, the free ones in a chain.
struct Table<T> {
    blocks: Vec<Box<[Entry<T>]>>,
    /// The first free place; those behind it hang on it.
    free: Option<u32>,
    taken: usize,
}

struct Entry<T> {
    /// How often the place was left, from 1.
    generation: NonZeroU32,
    state: State<T>,
}

enum State<T> {
    Free { next: Option<u32> },
    Taken { resting: Resting, due: u32, kept: T },
}

impl<T> Table<T> {
    const fn new() -> Table<T> {
        Table {
            blocks: Vec::new(),
            free: None,
            taken: 0,
        }
    }

    /// The ticket that [`insert`](Table::insert) gives next.
    fn next_ticket(&self) -> Ticket {
        let place = self.free.unwrap_or(self.end());
        let generation = self
            .entry(place)
            .map_or(NonZeroU32::MIN, |entry| entry.generation);
        Ticket { place, generation }
    }

    fn end(&self) -> u32 {
        u32::try_from(self.blocks.len() * BLOCK_ENTRIES).expect("fewer than 2^32 connections")
    }

    fn entry(&self, place: u32) -> Option<&Entry<T>> {
        let place = place as usize;
        Some(&self.blocks.get(place / BLOCK_ENTRIES)?[place % BLOCK_ENTRIES])
    }

    fn entry_mut(&mut self, place: u32) -> Option<&mut Entry<T>> {
        let place = place as usize;
        Some(&mut self.blocks.get_mut(place / BLOCK_ENTRIES)?[place % BLOCK_ENTRIES])
    }

    fn insert(&mut self, resting: Resting, due: u32, kept: T) {
        let place = match self.free {
            Some(place) => place,
            None => self.grow(),
        };
        let entry = self.entry_mut(place).expect("a free place exists");
        let State::Free { next } = entry.state else {
            unreachable!("the chain holds free places alone");
        };
        entry.state = State::Taken { resting, due, kept };
        self.free = next;
        self.taken += 1;
    }

    /// Adds a block; returns its first place.
    fn grow(&mut self) -> u32 {
        let first = self.end();
        let block = (1..=BLOCK_ENTRIES as u32).map(|offset| Entry {
            generation: NonZeroU32::MIN,
            state: State::Free {
                next: (offset < BLOCK_ENTRIES as u32).then(|| first + offset),
            },
        });
        self.blocks.push(block.collect());
        self.free = Some(first);
        first
    }

    fn remove(&mut self, ticket: Ticket) -> Option<(Resting, u32, T)> {
        let free = self.free;
        let entry = self.entry_mut(ticket.place)?;
        if entry.generation != ticket.generation || matches!(entry.state, State::Free { .. }) {
            return None;
        }
        entry.generation = entry.generation.checked_add(1).unwrap_or(NonZeroU32::MIN);
        let before = std::mem::replace(&mut entry.state, State::Free { next: free });
        self.free = Some(ticket.place);
        self.taken -= 1;
        match before {
            State::Taken { resting, due, kept } => Some((resting, due, kept)),
            State::Free { .. } => None,
        }
    }

    fn kept_mut(&mut self, ticket: Ticket) -> Option<&mut T> {
        let entry = self.entry_mut(ticket.place)?;
        match &mut entry.state {
            State::Taken { kept, .. } if entry.generation == ticket.generation => Some(kept),
            State::Taken { .. } | State::Free { .. } => None,
        }
    }

    fn taken(&self) -> impl Iterator<Item = (Ticket, u32)> + '_ {
        let entries = self.blocks.iter().flat_map(|block| block.iter());
        (0u32..).zip(entries).filter_map(|(place, entry)| {
            let generation = entry.generation;
            match entry.state {
                State::Taken { due, .. } => Some((Ticket { place, generation }, due)),
                State::Free { .. } => None,
            }
        })
    }

    fn tickets(&self, is_wanted: impl Fn(u32) -> bool) -> Vec<Ticket> {
        let wanted = self.taken().filter(|(_, due)| is_wanted(*due));
        wanted.map(|(ticket, _)| ticket).collect()
    }

    fn earliest_after(&self, is_later: impl Fn(u32) -> bool) -> Option<u32> {
        let later = self
            .taken()
            .map(|(_, due)| due)
            .filter(|due| is_later(*due));
        later.min()
    }

    /// Frees the blocks at the end that hold nobody. Their generations are forgotten, so nobody may be told of them
    /// any more: whoever left them was taken out of the gate or told of by it.
    fn trim(&mut self) {
        let is_empty = |block: &[Entry<T>]| {
            let mut entries = block.iter();
            entries.all(|entry| matches!(entry.state, State::Free { .. }))
        };
        let kept = self.blocks.iter().rposition(|block| !is_empty(block));
        let kept = kept.map_or(0, |last| last + 1);
        if kept == self.blocks.len() {
            return;
        }
        self.blocks.truncate(kept);
        self.blocks.shrink_to_fit();
        self.free = None;
        for place in (0..self.end()).rev() {
            let next = self.free;
            let entry = self.entry_mut(place).expect("within the table");
            if let State::Free { next: chained } = &mut entry.state {
                *chained = next;
                self.free = Some(place);
            }
        }
    }
}
