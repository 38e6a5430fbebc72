//! A byte ring for records, from one worker to one reader: single producer, single consumer, no lock, safe Rust.
//!
//! A record is one word with its length in octets and then the octets, padded to words of eight. Words are atomics
//! because Rust lets no two threads touch plain memory; loads and stores are `Relaxed`, which on x86-64 and
//! AArch64 are the plain instructions. Two positions, counted in words and never taken modulo the size, order
//! them: what lies before `tail` was written before `tail` was published (release, acquire), and what lies before
//! `head` was read before `head` was.
//!
//! ```text
//!        head (consumer's)         tail (producer's)
//!   ……………│ length │ octets │ length │ octets │……………        0 <= tail - head <= words
//! ```
//!
//! A full ring refuses the record. The producer never waits: a slow disk costs log lines, not requests.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// Octets in a word.
const WORD: usize = size_of::<u64>();

/// Makes a ring of `bytes` octets, allocated here and nowhere else.
///
/// A record takes its octets rounded up to eight, and eight for its length.
///
/// # Panics
///
/// If `bytes` is not a power of two or is less than 64.
pub fn ring(bytes: usize) -> (Producer, Consumer) {
    assert!(
        bytes.is_power_of_two() && bytes >= 64,
        "a ring's size is a power of two"
    );
    let shared = Arc::new(Shared {
        words: (0..bytes / WORD).map(|_| AtomicU64::new(0)).collect(),
        head: Position::default(),
        tail: Position::default(),
    });
    let producer = Producer {
        shared: Arc::clone(&shared),
        tail: Cell::new(0),
        head_seen: Cell::new(0),
    };
    let consumer = Consumer {
        shared,
        head: Cell::new(0),
        tail_seen: Cell::new(0),
    };
    (producer, consumer)
}

struct Shared {
    words: Box<[AtomicU64]>,
    head: Position,
    tail: Position,
}

/// A position on cache lines of its own; 128 because x86-64 fetches lines in pairs.
#[derive(Default)]
#[repr(align(128))]
struct Position(AtomicUsize);

impl Shared {
    /// The words from position `from` on, `count` of them, as they lie: the second part is empty unless they wrap.
    #[inline]
    fn span(&self, from: usize, count: usize) -> (&[AtomicU64], &[AtomicU64]) {
        let start = from & (self.words.len() - 1);
        let (left, right) = self.words.split_at(start);
        match right.get(..count) {
            Some(words) => (words, &[]),
            None => (right, &left[..count - right.len()]),
        }
    }
}

/// The worker's end. It may move to another thread and cannot be shared.
pub struct Producer {
    shared: Arc<Shared>,
    tail: Cell<usize>,
    /// Not after the consumer's `head`: the room seen is never more than there is.
    head_seen: Cell<usize>,
}

impl Producer {
    /// Copies `record` into the ring. False if it does not fit now; then nothing was written, and the caller counts
    /// the loss.
    pub fn push(&self, record: &[u8]) -> bool {
        let tail = self.tail.get();
        let count = 1 + record.len().div_ceil(WORD);
        let size = self.shared.words.len();
        if count > size - tail.wrapping_sub(self.head_seen.get()) {
            self.look();
            if count > size - tail.wrapping_sub(self.head_seen.get()) {
                return false;
            }
        }
        let (first, second) = self.shared.span(tail, count);
        let (length, first) = first.split_first().expect("a record has a length word");
        length.store(record.len() as u64, Ordering::Relaxed);
        let cut = record.len().min(first.len() * WORD);
        store(first, &record[..cut]);
        store(second, &record[cut..]);
        let tail = tail.wrapping_add(count);
        self.tail.set(tail);
        self.shared.tail.0.store(tail, Ordering::Release);
        true
    }

    /// Is at least half of the ring unread? Costs a comparison while it is not. Time to wake the reader.
    pub fn is_half_full(&self) -> bool {
        let half = self.shared.words.len() / 2;
        if self.tail.get().wrapping_sub(self.head_seen.get()) < half {
            return false;
        }
        self.look();
        self.tail.get().wrapping_sub(self.head_seen.get()) >= half
    }

    fn look(&self) {
        self.head_seen
            .set(self.shared.head.0.load(Ordering::Acquire));
    }
}

/// The reader's end. It may move to another thread and cannot be shared.
pub struct Consumer {
    shared: Arc<Shared>,
    head: Cell<usize>,
    /// Not after the producer's `tail`.
    tail_seen: Cell<usize>,
}

impl Consumer {
    /// Takes the oldest record, replacing what `record` held. False if there is none; then `record` is empty.
    pub fn pop(&self, record: &mut Vec<u8>) -> bool {
        record.clear();
        let head = self.head.get();
        if head == self.tail_seen.get() {
            self.tail_seen
                .set(self.shared.tail.0.load(Ordering::Acquire));
            if head == self.tail_seen.get() {
                return false;
            }
        }
        let (length, _) = self.shared.span(head, 1);
        let length = length[0].load(Ordering::Relaxed) as usize; // it was a usize
        let count = 1 + length.div_ceil(WORD);
        assert!(
            count <= self.tail_seen.get().wrapping_sub(head),
            "only whole records are published"
        );
        let (first, second) = self.shared.span(head.wrapping_add(1), count - 1);
        record.reserve((count - 1) * WORD);
        for word in first.iter().chain(second) {
            record.extend_from_slice(&word.load(Ordering::Relaxed).to_le_bytes());
        }
        record.truncate(length);
        let head = head.wrapping_add(count);
        self.head.set(head);
        self.shared.head.0.store(head, Ordering::Release);
        true
    }

    /// Was the producer dropped? What it pushed can still be popped.
    pub fn is_abandoned(&self) -> bool {
        // Neither end clones its `Arc`. Dropping is a release, this fence the acquire that goes with it, so that a
        // `pop` after this answer sees the last push.
        let alone = Arc::strong_count(&self.shared) == 1;
        std::sync::atomic::fence(Ordering::Acquire);
        alone
    }
}

/// Copies `octets` into `words`, the last one padded with zeros. There are as many words as that takes.
#[inline]
fn store(words: &[AtomicU64], octets: &[u8]) {
    let (whole, rest) = octets.as_chunks::<WORD>();
    for (word, octets) in words.iter().zip(whole) {
        word.store(u64::from_le_bytes(*octets), Ordering::Relaxed);
    }
    if !rest.is_empty() {
        let mut last = [0; WORD];
        last[..rest.len()].copy_from_slice(rest);
        words[whole.len()].store(u64::from_le_bytes(last), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A record of `length` octets that depend on `seed`.
    fn sample(seed: u64, length: usize) -> Vec<u8> {
        (0..length as u64)
            .map(|i| (seed.wrapping_mul(31).wrapping_add(i * 7)) as u8)
            .collect()
    }

    #[track_caller]
    fn pop(consumer: &Consumer) -> Option<Vec<u8>> {
        let mut record = vec![1, 2, 3];
        consumer.pop(&mut record).then_some(record)
    }

    #[test]
    fn records_come_out_in_order_at_every_offset_and_length() {
        for length in 0..=56 {
            let (producer, consumer) = ring(64);
            // Each round moves the start, so that every length meets every wrap.
            for seed in 0..40 {
                let record = sample(seed, length);
                assert!(producer.push(&record));
                assert_eq!(pop(&consumer), Some(record));
                assert_eq!(pop(&consumer), None);
            }
        }
    }

    #[test]
    fn what_does_not_fit_is_refused_whole() {
        #[track_caller]
        fn check(first: usize, second: usize, fits: bool) {
            for shift in 0..16 {
                let (producer, consumer) = ring(128);
                for _ in 0..shift {
                    assert!(producer.push(&[]));
                    assert_eq!(pop(&consumer), Some(vec![]));
                }
                assert!(producer.push(&sample(1, first)));
                assert_eq!(producer.push(&sample(2, second)), fits);
                assert_eq!(pop(&consumer), Some(sample(1, first)));
                assert_eq!(pop(&consumer), fits.then(|| sample(2, second)));
                assert!(producer.push(&sample(3, 120)), "it is empty again");
            }
        }
        //    first  second  fits        words: 16
        check(56, 55, true);
        check(56, 56, true);
        check(56, 57, false);
        check(0, 112, true);
        check(0, 113, false);
        check(104, 0, true);
        check(112, 0, true);
        check(113, 0, false);
        check(1, 121, false);
        check(1, 1 << 20, false);
    }

    #[test]
    fn half_full_is_said_at_the_half_and_taken_back() {
        let (producer, consumer) = ring(128);
        for _ in 0..7 {
            assert!(producer.push(&[]));
            assert!(!producer.is_half_full());
        }
        assert!(producer.push(&[]));
        assert!(producer.is_half_full());
        assert_eq!(pop(&consumer), Some(vec![]));
        assert!(!producer.is_half_full());
    }

    #[test]
    fn what_an_abandoned_ring_holds_can_still_be_read() {
        let (producer, consumer) = ring(64);
        assert!(producer.push(b"last"));
        assert!(!consumer.is_abandoned());
        drop(producer);
        assert!(consumer.is_abandoned());
        assert_eq!(pop(&consumer), Some(b"last".to_vec()));
        assert_eq!(pop(&consumer), None);
    }

    #[test]
    fn two_threads_agree_on_every_octet() {
        const RECORDS: u64 = 200_000;
        let (producer, consumer) = ring(4096);
        let writer = std::thread::spawn(move || {
            let mut refused = 0_u64;
            for seed in 0..RECORDS {
                let record = sample(seed, (seed * 37 % 300) as usize);
                while !producer.push(&record) {
                    refused += 1;
                    std::thread::yield_now();
                }
            }
            refused
        });
        let mut record = Vec::new();
        for seed in 0..RECORDS {
            while !consumer.pop(&mut record) {
                std::thread::yield_now();
            }
            assert_eq!(record, sample(seed, (seed * 37 % 300) as usize));
        }
        writer.join().expect("the writer ends");
        assert!(!consumer.pop(&mut record));
        assert!(consumer.is_abandoned());
    }

    #[test]
    fn a_producer_that_drops_what_is_refused_loses_nothing_else() {
        const RECORDS: u64 = 100_000;
        let (producer, consumer) = ring(1024);
        let writer = std::thread::spawn(move || {
            (0..RECORDS)
                .filter(|seed| producer.push(&seed.to_le_bytes()))
                .count()
        });
        let mut record = Vec::new();
        let mut last = None;
        let mut taken = 0;
        loop {
            let ended = consumer.is_abandoned();
            while consumer.pop(&mut record) {
                let seed = u64::from_le_bytes(*record.first_chunk().expect("eight octets"));
                assert!(last < Some(seed), "in order, none twice");
                last = Some(seed);
                taken += 1;
            }
            if ended {
                break;
            }
        }
        assert_eq!(writer.join().expect("the writer ends"), taken);
    }
}
