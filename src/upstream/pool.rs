//! The idle connections of one worker, by endpoint, last in first out.
//!
//! The connection used last is the freshest and its cache lines the warmest; those at the bottom grow old: after a
//! second they are parked, without task or buffer, and by their idle limit they close. Nothing is checked when a warm
//! one is taken out: its reader would have removed it. A parked one is asked whether it is still silent.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::connection::Connection;
use super::endpoint::EndpointNumber;
use super::tokens::Tokens;
use crate::net::Stream;
use crate::net::clock::{Tick, now};
use crate::net::parking::{Leaver, Lot, Ticket};
use crate::telemetry::counters::CounterBlock;

/// Idle connections that one worker keeps to one endpoint; those beyond are closed.
pub const IDLE_PER_ENDPOINT_MAX: usize = 1024;

/// All that one worker knows of its origins.
pub struct Upstreams {
    /// For each endpoint the parked ones, then the warm ones, each from the oldest to the freshest.
    idle: RefCell<Vec<Vec<Place>>>,
    lot: Lot<Parked>,
    tokens: Tokens,
    counters: Arc<CounterBlock>,
}

/// Where an idle connection is.
enum Place {
    Warm(Rc<Connection>),
    Parked(Ticket, Tick),
}

/// What is kept of a connection that is parked.
pub(super) struct Parked {
    endpoint: EndpointNumber,
    idle_limit: Duration,
}

/// An idle connection that has been taken out.
pub(super) enum Idle {
    /// As it was.
    Warm(Rc<Connection>),
    /// To be [resumed](ParkedConnection::resume).
    Parked(ParkedConnection),
}

/// A parked connection that has been taken out.
pub(super) struct ParkedConnection(Leaver<Parked>);

impl ParkedConnection {
    /// A connection again; `None`, and it is closed, if octets or an end came in the meantime.
    pub(super) fn resume(self, tokens: &Tokens) -> Option<(Rc<Connection>, Stream)> {
        let Leaver { resting, kept, .. } = self.0;
        let token = tokens.resumed(kept.endpoint);
        if !resting.is_silent() {
            return None;
        }
        let stream = resting.into_stream().ok()?;
        let connection = Connection::new(kept.endpoint, token, kept.idle_limit);
        Some((connection, stream))
    }
}

impl Upstreams {
    /// For one worker, on its thread. `tokens` is shared by all, `counters` is the worker's own.
    ///
    /// # Errors
    ///
    /// No descriptor can be had for the lot of the idle ones.
    pub fn new(tokens: Tokens, counters: Arc<CounterBlock>) -> io::Result<Rc<Upstreams>> {
        Ok(Rc::new(Upstreams {
            idle: RefCell::new(Vec::new()),
            lot: Lot::new()?,
            tokens,
            counters,
        }))
    }

    /// The table of open connections, of the whole machine.
    pub fn tokens(&self) -> &Tokens {
        &self.tokens
    }

    /// The worker's counters.
    pub fn counters(&self) -> &CounterBlock {
        &self.counters
    }

    /// Takes out the idle connection that was used last, if it has been idle for less than `idle_max`.
    pub(super) fn take_idle(
        &self,
        endpoint: EndpointNumber,
        idle_max: Option<Duration>,
    ) -> Option<Idle> {
        let mut idle = self.idle.borrow_mut();
        let stack = idle.get_mut(endpoint.index())?;
        loop {
            let idle_for = match stack.last()? {
                Place::Warm(connection) => connection.idle_for(),
                Place::Parked(_, since) => now().since(*since),
            };
            // Those below are older still.
            if idle_max.is_some_and(|limit| idle_for >= limit) {
                return None;
            }
            match stack.pop()? {
                Place::Warm(connection) => {
                    assert!(
                        !connection.is_doomed() && connection.fifo.borrow().is_empty(),
                        "pooled while in use"
                    );
                    return Some(Idle::Warm(connection));
                }
                Place::Parked(ticket, _) => {
                    if let Some(leaver) = self.lot.take(ticket) {
                        return Some(Idle::Parked(ParkedConnection(leaver)));
                    }
                }
            }
        }
    }

    pub(super) fn check_in(&self, connection: Rc<Connection>) {
        let mut idle = self.idle.borrow_mut();
        let stack = stack_of(&mut idle, connection.endpoint());
        if stack.len() >= IDLE_PER_ENDPOINT_MAX {
            connection.doom();
            return;
        }
        stack.push(Place::Warm(connection));
    }

    /// The connection closes, or leaves the pool for another reason: it is idle here no more.
    pub(super) fn forget(&self, connection: &Connection) {
        let is_it = |place: &Place| matches!(place, Place::Warm(known) if std::ptr::eq(&**known, connection));
        let mut idle = self.idle.borrow_mut();
        stack_of(&mut idle, connection.endpoint()).retain(|place| !is_it(place));
    }

    /// Parks a connection that has been idle for a while and has left the pool; where that fails it is closed.
    pub(super) fn park(&self, connection: &Connection, stream: Stream) {
        let Some(token) = connection.take_token() else {
            return;
        };
        let (since, idle_limit) = (connection.idle_since(), connection.idle_limit.get());
        let endpoint = connection.endpoint();
        let kept = Parked {
            endpoint,
            idle_limit,
        };
        if let Ok(ticket) = self.lot.park(stream, since.after(idle_limit), kept) {
            token.stay_out();
            let mut idle = self.idle.borrow_mut();
            let stack = stack_of(&mut idle, endpoint);
            let is_older =
                |place: &Place| matches!(place, Place::Parked(_, other) if *other <= since);
            let place = stack.iter().take_while(|place| is_older(place)).count();
            stack.insert(place, Place::Parked(ticket, since));
        }
    }

    /// Closes parked connections on which something comes, and those whose time is over, for as long as the worker
    /// lives.
    ///
    /// # Errors
    ///
    /// The lot's gate fails.
    pub async fn watch_parked(&self) -> io::Result<()> {
        self.lot
            .run(|leaver, _| {
                let is_it =
                    |place: &Place| matches!(place, Place::Parked(ticket, _) if *ticket == leaver.ticket);
                let mut idle = self.idle.borrow_mut();
                stack_of(&mut idle, leaver.kept.endpoint).retain(|place| !is_it(place));
                drop(self.tokens.resumed(leaver.kept.endpoint));
            })
            .await
    }

    /// Closes every idle connection: the worker has drained.
    pub fn close_idle(&self) {
        let stacks = std::mem::take(&mut *self.idle.borrow_mut());
        for place in stacks.into_iter().flatten() {
            match place {
                Place::Warm(connection) => connection.doom(),
                Place::Parked(ticket, _) => {
                    if let Some(leaver) = self.lot.take(ticket) {
                        drop(self.tokens.resumed(leaver.kept.endpoint));
                    }
                }
            }
        }
    }

    /// Gives memory back that so many idle connections no longer need.
    pub fn trim(&self) {
        self.lot.trim();
        for stack in self.idle.borrow_mut().iter_mut() {
            stack.shrink_to(2 * stack.len());
        }
    }

    /// Idle connections to all endpoints.
    pub fn idle_count(&self) -> usize {
        self.idle.borrow().iter().map(Vec::len).sum()
    }
}

fn stack_of(idle: &mut Vec<Vec<Place>>, endpoint: EndpointNumber) -> &mut Vec<Place> {
    if idle.len() <= endpoint.index() {
        idle.resize_with(endpoint.index() + 1, Vec::new);
    }
    &mut idle[endpoint.index()]
}
