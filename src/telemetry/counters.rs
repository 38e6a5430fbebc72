//! Counters: how often each thing happened, kept by each worker for itself and summed by whoever asks.
//!
//! A block is an array of atomics with **one writer**. The writer adds by a load and a store, both `Relaxed`: no
//! locked instruction, no cache line that two cores fight for. Were two threads to add to one block, counts would be
//! lost, nothing worse. A reader sees each counter at some recent moment; two counters of one sum need not be of
//! the same moment.

use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! counters {
    ($($(#[$doc:meta])+ $name:ident,)+) => {
        /// What is counted. All only ever rise; what is open now is a difference of two.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        #[repr(usize)]
        pub enum Counter {
            $($(#[$doc])+ $name,)+
        }

        impl Counter {
            /// Every counter, in the order of their numbers.
            pub const ALL: &[Counter] = &[$(Counter::$name,)+];
        }
    };
}

counters! {
    /// Downstream connections accepted.
    ConnectionsAccepted,
    /// Downstream connections closed, for whatever reason.
    ConnectionsClosed,
    /// Accepted connections closed at once because a limit was reached.
    ConnectionsRefused,
    /// `accept` failed, other than for a client that had already gone.
    AcceptErrors,
    /// TLS handshakes completed from the beginning.
    HandshakesFull,
    /// TLS handshakes that resumed a session.
    HandshakesResumed,
    /// Answers to an authority that validates a name by `acme-tls/1`.
    HandshakesForChallenges,
    /// Handshakes refused because no site has the name that was asked for (alert 112).
    HandshakesUnknownName,
    /// Handshakes refused because the site has no certificate yet (`no_certificate`).
    HandshakesNoCertificate,
    /// Handshakes refused because the site's client authorities cannot be used.
    HandshakesRefused,
    /// Handshakes that were not complete in time (`timeouts.handshake`).
    HandshakesLate,
    /// Handshakes whose client went away.
    HandshakesGone,
    /// Connections that began with something else than TLS, plain HTTP above all.
    HandshakesNotTls,
    /// Handshakes whose client's certificate was missing or not good.
    HandshakesClientCertificate,
    /// Handshakes that failed otherwise: nothing in common, or a breach of the protocol.
    HandshakesFailed,
    /// Exchanges ended, answered or not.
    Exchanges,
    /// Exchanges ended with a final response of the class 2xx.
    Responses2xx,
    /// The same, 3xx.
    Responses3xx,
    /// The same, 4xx.
    Responses4xx,
    /// The same, 5xx.
    Responses5xx,
    /// Exchanges ended without a final response.
    ExchangesAborted,
    /// Octets received from downstream, heads and framing included.
    DownstreamBytesReceived,
    /// Octets sent downstream, heads and framing included.
    DownstreamBytesSent,
    /// Octets received from upstreams, heads and framing included.
    UpstreamBytesReceived,
    /// Octets sent to upstreams, heads and framing included.
    UpstreamBytesSent,
    /// Upstream connections opened.
    UpstreamConnects,
    /// Upstream connections that could not be opened.
    UpstreamConnectFailures,
    /// Upstream connections closed.
    UpstreamCloses,
    /// Exchanges that began on an idle upstream connection.
    UpstreamReuses,
    /// Requests that were sent behind others on an upstream connection.
    PipelinedRequests,
    /// Requests that went to another connection because the answer ahead of them would have held them up.
    PipelineMoves,
    /// Answers that stalled while others waited behind them.
    PipelineStalls,
    /// Requests sent once more after an upstream connection failed.
    Retries,
    /// Tunnels opened, by an upgrade.
    TunnelsOpened,
    /// Tunnels closed.
    TunnelsClosed,
    /// Access log records lost because the worker's ring was full.
    AccessLinesDropped,
    /// Field lines dropped because their name is an alias of another (`X_Forwarded_For`).
    AliasFieldsDropped,
    /// Connections ended by a panic: each one is a bug.
    Panics,
}

/// One worker's counters, on cache lines that nobody else writes.
#[derive(Debug)]
#[repr(align(128))]
pub struct CounterBlock {
    cells: [AtomicU64; Counter::ALL.len()],
}

impl CounterBlock {
    /// All zero.
    pub const fn new() -> CounterBlock {
        CounterBlock {
            cells: [const { AtomicU64::new(0) }; Counter::ALL.len()],
        }
    }

    /// Adds `amount`. Only the block's one writer calls this.
    #[inline]
    pub fn add(&self, counter: Counter, amount: u64) {
        let cell = &self.cells[counter as usize];
        let sum = cell.load(Ordering::Relaxed).wrapping_add(amount);
        cell.store(sum, Ordering::Relaxed);
    }

    /// The count now. Anyone may ask.
    pub fn read(&self, counter: Counter) -> u64 {
        self.cells[counter as usize].load(Ordering::Relaxed)
    }
}

impl Default for CounterBlock {
    fn default() -> CounterBlock {
        CounterBlock::new()
    }
}

/// Counts of several blocks added up, at about one moment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Totals([u64; Counter::ALL.len()]);

impl Totals {
    /// The sum of one counter.
    pub fn of(&self, counter: Counter) -> u64 {
        self.0[counter as usize]
    }
}

/// Adds up the counters of all workers.
pub fn sum<'a>(blocks: impl IntoIterator<Item = &'a CounterBlock>) -> Totals {
    let mut totals = Totals([0; Counter::ALL.len()]);
    for block in blocks {
        for (total, cell) in totals.0.iter_mut().zip(&block.cells) {
            *total = total.wrapping_add(cell.load(Ordering::Relaxed));
        }
    }
    totals
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_counter_has_its_own_cell() {
        let block = CounterBlock::new();
        for (index, &counter) in Counter::ALL.iter().enumerate() {
            assert_eq!(counter as usize, index);
            block.add(counter, index as u64 + 1);
            block.add(counter, 1);
        }
        for (index, &counter) in Counter::ALL.iter().enumerate() {
            assert_eq!(block.read(counter), index as u64 + 2);
        }
    }

    #[test]
    fn a_sum_is_over_all_blocks_and_of_none_is_zero() {
        let blocks = [CounterBlock::new(), CounterBlock::new()];
        blocks[0].add(Counter::Exchanges, 3);
        blocks[1].add(Counter::Exchanges, 4);
        blocks[1].add(Counter::Retries, 1);
        let totals = sum(&blocks);
        assert_eq!(totals.of(Counter::Exchanges), 7);
        assert_eq!(totals.of(Counter::Retries), 1);
        assert_eq!(totals.of(Counter::Panics), 0);
        assert_eq!(sum([]).of(Counter::Exchanges), 0);
    }

    #[test]
    fn a_reader_sees_a_count_that_only_rises() {
        const ADDS: u64 = 100_000;
        let block = CounterBlock::new();
        std::thread::scope(|scope| {
            scope.spawn(|| (0..ADDS).for_each(|_| block.add(Counter::Exchanges, 1)));
            let mut last = 0;
            while last < ADDS {
                let now = block.read(Counter::Exchanges);
                assert!(last <= now && now <= ADDS);
                last = now;
            }
        });
    }

    #[test]
    fn blocks_in_a_row_share_no_cache_line() {
        assert_eq!(align_of::<CounterBlock>(), 128);
        assert_eq!(size_of::<CounterBlock>() % 128, 0);
    }
}
