//! Tokens: how many connections the whole machine has open to each endpoint.
//!
//! One of the few things that workers share: a fixed table of counters, each alone on its cache line. A token is
//! taken when a connection is dialled and returned when it is closed, idle ones included, so that a limit on
//! connections to a server can be kept across workers without a lock.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::endpoint::EndpointNumber;

/// Endpoints that the table has room for: more than a configuration may name.
pub const ENDPOINTS_MAX: usize = 65_536;

/// A counter on a cache line of its own.
#[repr(align(64))]
#[derive(Default)]
struct Padded {
    open: AtomicU32,
}

/// The table, shared by all workers.
#[derive(Clone)]
pub struct Tokens {
    cells: Arc<[Padded]>,
}

impl Tokens {
    /// A table for this many endpoints.
    pub fn new(endpoints: usize) -> Tokens {
        Tokens {
            cells: (0..endpoints).map(|_| Padded::default()).collect(),
        }
    }

    /// Takes a token for one connection. With a `limit`, none is given once so many are out.
    pub fn take(&self, endpoint: EndpointNumber, limit: Option<u32>) -> Option<Token> {
        let open = &self.cells[endpoint.index()].open;
        let taken = open.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |count| {
            (limit.is_none_or(|limit| count < limit)).then_some(count + 1)
        });
        taken.is_ok().then(|| Token {
            cells: self.cells.clone(),
            endpoint,
        })
    }

    /// A token that [stayed out](Token::stay_out), in hand again.
    pub fn resumed(&self, endpoint: EndpointNumber) -> Token {
        Token {
            cells: self.cells.clone(),
            endpoint,
        }
    }

    /// Connections open to an endpoint now, by all workers.
    pub fn open(&self, endpoint: EndpointNumber) -> u32 {
        self.cells[endpoint.index()].open.load(Ordering::Relaxed)
    }
}

/// The right to one open connection; given back when dropped.
pub struct Token {
    cells: Arc<[Padded]>,
    endpoint: EndpointNumber,
}

impl Token {
    /// It stays out though nothing holds it: its connection lives on as a number (see [`Tokens::resumed`]).
    pub fn stay_out(self) -> EndpointNumber {
        let endpoint = self.endpoint;
        // Only the count stays; the reference to the table must not.
        let Token { cells, .. } = &self;
        cells[endpoint.index()].open.fetch_add(1, Ordering::Relaxed);
        endpoint
    }
}

impl Drop for Token {
    fn drop(&mut self) {
        let before = self.cells[self.endpoint.index()]
            .open
            .fetch_sub(1, Ordering::Relaxed);
        assert!(before > 0, "a token is given back once");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_holds_until_a_token_comes_back() {
        let tokens = Tokens::new(2);
        let endpoint = EndpointNumber(1);
        let first = tokens.take(endpoint, Some(1));
        assert!(first.is_some());
        assert!(tokens.take(endpoint, Some(1)).is_none());
        assert!(tokens.take(EndpointNumber(0), Some(1)).is_some());
        drop(first);
        assert!(tokens.take(endpoint, Some(1)).is_some());
    }

    #[test]
    fn without_a_limit_tokens_are_only_counted() {
        let tokens = Tokens::new(1);
        let held: Vec<_> = (0..5)
            .map(|_| tokens.take(EndpointNumber(0), None))
            .collect();
        assert_eq!(tokens.open(EndpointNumber(0)), 5);
        drop(held);
        assert_eq!(tokens.open(EndpointNumber(0)), 0);
    }
}
