//! The idle connections of one worker, by endpoint, last in first out.
//!
//! The connection used last is the freshest and its cache lines the warmest; those at the bottom grow old and close
//! by their idle limit. Nothing is checked when one is taken out: its reader would have removed it.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::connection::Connection;
use super::endpoint::EndpointNumber;
use super::tokens::Tokens;
use crate::telemetry::counters::{Counter, CounterBlock};

/// Idle connections that one worker keeps to one endpoint; those beyond are closed.
pub const IDLE_PER_ENDPOINT_MAX: usize = 1024;

/// All that one worker knows of its origins.
pub struct Upstreams {
    idle: RefCell<Vec<Vec<Rc<Connection>>>>,
    tokens: Tokens,
    counters: Arc<CounterBlock>,
}

impl Upstreams {
    /// For one worker. `tokens` is shared by all, `counters` is the worker's own.
    pub fn new(tokens: Tokens, counters: Arc<CounterBlock>) -> Rc<Upstreams> {
        Rc::new(Upstreams {
            idle: RefCell::new(Vec::new()),
            tokens,
            counters,
        })
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
    pub fn check_out(
        &self,
        endpoint: EndpointNumber,
        idle_max: Option<Duration>,
    ) -> Option<Rc<Connection>> {
        let mut idle = self.idle.borrow_mut();
        let stack = idle.get_mut(endpoint.index())?;
        let freshest = stack.last()?;
        // Those below are older still.
        if idle_max.is_some_and(|limit| freshest.idle_for() >= limit) {
            return None;
        }
        let connection = stack.pop()?;
        assert!(
            !connection.is_doomed() && connection.fifo.borrow().is_empty(),
            "pooled while in use"
        );
        self.counters.add(Counter::UpstreamReuses, 1);
        Some(connection)
    }

    pub(super) fn check_in(&self, connection: Rc<Connection>) {
        let mut idle = self.idle.borrow_mut();
        let index = connection.endpoint().index();
        if idle.len() <= index {
            idle.resize_with(index + 1, Vec::new);
        }
        if idle[index].len() >= IDLE_PER_ENDPOINT_MAX {
            connection.doom();
            return;
        }
        idle[index].push(connection);
    }

    /// The connection closes: it is idle no more.
    pub(super) fn forget(&self, connection: &Connection) {
        if let Some(stack) = self
            .idle
            .borrow_mut()
            .get_mut(connection.endpoint().index())
        {
            stack.retain(|known| !std::ptr::eq(&**known, connection));
        }
    }

    /// Closes every idle connection: the worker has drained.
    pub fn close_idle(&self) {
        for connection in self
            .idle
            .borrow_mut()
            .iter_mut()
            .flat_map(|stack| stack.drain(..))
        {
            connection.doom();
        }
    }

    /// Idle connections to all endpoints.
    pub fn idle_count(&self) -> usize {
        self.idle.borrow().iter().map(Vec::len).sum()
    }
}
