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
use crate::net::Notify;
use crate::net::clock::{Tick, now};
use crate::net::parking::{Leaver, Lot, Ticket};
use crate::policy::pipeline::{Choice, Controller, DEPTH_MIN, Pipeline, choose};
use crate::telemetry::counters::{Counter, CounterBlock};
use crate::tls::{Encrypted, Stream};

/// How long a response whose exchange has gone is read for the sake of those behind it.
const DISCARD_WAIT: Duration = Duration::from_secs(2);
/// Idle connections that one worker keeps to one endpoint; those beyond are closed.
pub const IDLE_PER_ENDPOINT_MAX: usize = 1024;

/// All that one worker knows of its origins.
pub struct Upstreams {
    endpoints: RefCell<Vec<Known>>,
    lot: Lot<Parked>,
    /// Raised when somebody stands behind another: their line wants watching.
    pub(super) line_formed: Notify,
    tokens: Tokens,
    counters: Arc<CounterBlock>,
}

/// What a worker knows of one endpoint.
#[derive(Default)]
struct Known {
    /// Idle connections: the parked ones, then the warm ones, each from the oldest to the freshest.
    idle: Vec<Place>,
    /// Connections in use by requests that would share them.
    shared: Vec<Rc<Connection>>,
    controller: Controller,
    /// Connections of an older one are not used again.
    generation: u32,
}

/// Where an idle connection is.
enum Place {
    Warm(Rc<Connection>),
    Parked(Ticket, Tick),
}

/// How a request may share a connection.
pub(super) enum Joined {
    /// It stands behind others on this one.
    Behind(Rc<Connection>),
    /// It begins a line of its own.
    Alone,
    /// Nobody shares now.
    NotNow,
}

/// What is kept of a connection that is parked.
pub(super) struct Parked {
    endpoint: EndpointNumber,
    generation: u32,
    idle_limit: Duration,
    /// Of a connection with TLS.
    encrypted: Option<Rc<Encrypted>>,
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
    /// A connection again; `None`, and it is closed, if octets or an end came in the meantime. (Where there is TLS the
    /// octets may be a ticket. They come right behind the handshake, when nobody is parked yet.)
    pub(super) fn resume(self, tokens: &Tokens) -> Option<(Rc<Connection>, Stream)> {
        let Leaver { resting, kept, .. } = self.0;
        let token = tokens.resumed(kept.endpoint);
        if !resting.is_silent() {
            return None;
        }
        let stream = resting.into_stream().ok()?;
        let connection = Connection::new(kept.endpoint, kept.generation, token, kept.idle_limit);
        connection.has_delivered.set(true); // else it had not been idle
        Some((connection, Stream::resumed(stream, kept.encrypted)))
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
            endpoints: RefCell::new(Vec::new()),
            lot: Lot::new()?,
            line_formed: Notify::new(),
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
        let mut endpoints = self.endpoints.borrow_mut();
        let stack = &mut endpoints.get_mut(endpoint.index())?.idle;
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

    /// A connection in use that a request may join, if it may go `pipeline` deep. The connections that are known to be
    /// shared may change with the answer [`Joined::Alone`]: whoever then takes an idle one [shares](Upstreams::share)
    /// it.
    pub(super) fn join(&self, endpoint: EndpointNumber, pipeline: Pipeline) -> Joined {
        let mut endpoints = self.endpoints.borrow_mut();
        let known = known_of(&mut endpoints, endpoint);
        let depth = known.controller.depth(pipeline, now().0);
        if depth < usize::from(DEPTH_MIN) {
            return Joined::NotNow;
        }
        match choose(
            known.shared.iter().map(|connection| connection.load()),
            depth,
        ) {
            Choice::Join(place) => {
                known.controller.joined();
                self.counters.add(Counter::PipelinedRequests, 1);
                self.line_formed.notify();
                Joined::Behind(known.shared[place].clone())
            }
            Choice::Alone => Joined::Alone,
        }
    }

    /// Others may join whoever takes this connection, which was idle.
    pub(super) fn share(&self, connection: &Rc<Connection>) {
        let mut endpoints = self.endpoints.borrow_mut();
        known_of(&mut endpoints, connection.endpoint())
            .shared
            .push(connection.clone());
    }

    /// The app behind an endpoint took so long for a request behind `ahead` others.
    pub(super) fn learn(&self, endpoint: EndpointNumber, waited_nanos: u64, ahead: usize) {
        let mut endpoints = self.endpoints.borrow_mut();
        known_of(&mut endpoints, endpoint)
            .controller
            .learn(waited_nanos, ahead);
    }

    /// Sends those who stand behind a connection's oldest exchange elsewhere.
    pub(super) fn move_those_behind(&self, connection: &Connection) {
        let moved = connection.move_those_behind();
        self.counters.add(Counter::PipelineMoves, moved as u64);
        let mut endpoints = self.endpoints.borrow_mut();
        let known = known_of(&mut endpoints, connection.endpoint());
        known.controller.moved(moved, now().0);
        drop(endpoints);
        self.unshare(connection);
    }

    /// Nobody joins this connection any more.
    pub(super) fn unshare(&self, connection: &Connection) {
        let mut endpoints = self.endpoints.borrow_mut();
        known_of(&mut endpoints, connection.endpoint())
            .shared
            .retain(|shared| !std::ptr::eq(&**shared, connection));
    }

    /// Looks at every line: where the oldest exchange stalls, those behind it move; where nobody waits any more for a
    /// response that does not end, the connection is closed. False: there is nobody to look after.
    pub(super) fn look_after_lines(&self) -> bool {
        let today = now();
        let (mut stalled, mut is_anybody_there) = (Vec::new(), false);
        for known in self.endpoints.borrow().iter() {
            let stall = Duration::from_millis(known.controller.stall_ms());
            for connection in &known.shared {
                let fifo = connection.fifo.borrow();
                let progressed = connection.progressed.get();
                let is_over = |since: Tick| today.since(since.max(progressed)) >= DISCARD_WAIT;
                let discarded = fifo.front().and_then(|slot| slot.discarded_at());
                is_anybody_there |= fifo.len() > 1 || discarded.is_some();
                if discarded.is_some_and(is_over) {
                    connection.doom();
                }
                if fifo.len() > 1 && today.since(progressed) >= stall {
                    stalled.push(connection.clone());
                }
            }
        }
        for connection in stalled {
            self.counters.add(Counter::PipelineStalls, 1);
            self.move_those_behind(&connection);
            if connection
                .front()
                .is_some_and(|slot| slot.discarded_at().is_some())
            {
                connection.doom(); // nobody is left on it
            }
        }
        is_anybody_there
    }

    pub(super) fn check_in(&self, connection: Rc<Connection>) {
        let mut endpoints = self.endpoints.borrow_mut();
        let known = known_of(&mut endpoints, connection.endpoint());
        known
            .shared
            .retain(|shared| !Rc::ptr_eq(shared, &connection));
        if known.idle.len() >= IDLE_PER_ENDPOINT_MAX || connection.generation != known.generation {
            connection.doom();
            return;
        }
        known.idle.push(Place::Warm(connection));
    }

    /// The connection closes, or leaves the pool for another reason: it is idle here no more.
    pub(super) fn forget(&self, connection: &Connection) {
        let is_it = |place: &Place| matches!(place, Place::Warm(known) if std::ptr::eq(&**known, connection));
        let mut endpoints = self.endpoints.borrow_mut();
        let known = known_of(&mut endpoints, connection.endpoint());
        known.idle.retain(|place| !is_it(place));
        known
            .shared
            .retain(|shared| !std::ptr::eq(&**shared, connection));
    }

    /// Parks a connection that has been idle for a while and has left the pool; where that fails it is closed.
    pub(super) fn park(&self, connection: &Connection, stream: Stream) {
        let Some(token) = connection.take_token() else {
            return;
        };
        let (since, idle_limit) = (connection.idle_since(), connection.idle_limit.get());
        let endpoint = connection.endpoint();
        let (stream, encrypted) = stream.into_parts();
        let kept = Parked {
            endpoint,
            generation: connection.generation,
            idle_limit,
            encrypted,
        };
        if let Ok(ticket) = self.lot.park(stream, since.after(idle_limit), kept) {
            token.stay_out();
            let mut endpoints = self.endpoints.borrow_mut();
            let stack = &mut known_of(&mut endpoints, endpoint).idle;
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
                let mut endpoints = self.endpoints.borrow_mut();
                let known = known_of(&mut endpoints, leaver.kept.endpoint);
                known.idle.retain(|place| !is_it(place));
                drop(self.tokens.resumed(leaver.kept.endpoint));
                say_goodbye(&leaver);
            })
            .await
    }

    /// The generation of connections that are made now.
    pub(super) fn generation(&self, endpoint: EndpointNumber) -> u32 {
        known_of(&mut self.endpoints.borrow_mut(), endpoint).generation
    }

    /// The endpoint is spoken to in another way from now on: its connections are closed, those in use after what is
    /// under way on them.
    pub fn retire(&self, endpoint: EndpointNumber) {
        let idle = {
            let mut endpoints = self.endpoints.borrow_mut();
            let known = known_of(&mut endpoints, endpoint);
            known.generation += 1;
            known.shared.clear();
            std::mem::take(&mut known.idle)
        };
        self.close(idle);
    }

    /// Closes every idle connection: the worker has drained.
    pub fn close_idle(&self) {
        let endpoints = std::mem::take(&mut *self.endpoints.borrow_mut());
        self.close(endpoints.into_iter().flat_map(|known| known.idle));
    }

    fn close(&self, idle: impl IntoIterator<Item = Place>) {
        for place in idle {
            match place {
                Place::Warm(connection) => connection.doom(),
                Place::Parked(ticket, _) => {
                    if let Some(leaver) = self.lot.take(ticket) {
                        drop(self.tokens.resumed(leaver.kept.endpoint));
                        say_goodbye(&leaver);
                    }
                }
            }
        }
    }

    /// Gives memory back that so many idle connections no longer need.
    pub fn trim(&self) {
        self.lot.trim();
        for known in self.endpoints.borrow_mut().iter_mut() {
            known.idle.shrink_to(2 * known.idle.len());
            known.shared.shrink_to(2 * known.shared.len());
        }
    }

    /// Idle connections to all endpoints.
    pub fn idle_count(&self) -> usize {
        let endpoints = self.endpoints.borrow();
        endpoints.iter().map(|known| known.idle.len()).sum()
    }
}

/// Says on an encrypted connection that it ends here.
fn say_goodbye(leaver: &Leaver<Parked>) {
    let encrypted = leaver.kept.encrypted.as_ref();
    if let Some(words) = encrypted.and_then(|encrypted| encrypted.last_words()) {
        leaver.resting.send_now(words.window());
    }
}

fn known_of(endpoints: &mut Vec<Known>, endpoint: EndpointNumber) -> &mut Known {
    if endpoints.len() <= endpoint.index() {
        endpoints.resize_with(endpoint.index() + 1, Known::default);
    }
    &mut endpoints[endpoint.index()]
}
