//! A worker's way into the access log: packs a record, pushes it, wakes the log writer when its ring fills up.
//!
//! Whom it wakes, and how, is not known here: a [`Waker`] is given. It is called only while the ring is at least
//! half full, so a worker with little to log makes no system call for its log.

use std::cell::RefCell;
use std::task::Waker;

use super::access::{AccessRecord, PACKED_BYTES_MAX};
use super::ring::Producer;

/// One worker's end of the access log. It may move to the worker's thread and cannot be shared.
pub struct AccessSink {
    producer: Producer,
    reader: Waker,
    packed: RefCell<Box<[u8]>>,
}

impl AccessSink {
    /// `reader` wakes whoever holds the ring's other end. It may be called often; it keeps that cheap itself.
    pub fn new(producer: Producer, reader: Waker) -> AccessSink {
        AccessSink {
            producer,
            reader,
            packed: RefCell::new(vec![0; PACKED_BYTES_MAX].into_boxed_slice()),
        }
    }

    /// Remembers one exchange. Allocates nothing and never waits.
    ///
    /// False if the ring is full: the record is lost, and the caller counts
    /// [`Counter::AccessLinesDropped`](super::counters::Counter::AccessLinesDropped).
    pub fn push(&self, record: &AccessRecord<'_>) -> bool {
        let mut packed = self.packed.borrow_mut();
        let pushed = match record.pack(&mut packed) {
            Some(length) => self.producer.push(&packed[..length]),
            None => false, // cannot be: the buffer holds every record
        };
        if self.producer.is_half_full() {
            self.reader.wake_by_ref();
        }
        pushed
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    use super::*;
    use crate::telemetry::access::tests::PLAIN;
    use crate::telemetry::ring::ring;

    #[derive(Default)]
    struct Calls(AtomicUsize);

    impl Wake for Calls {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn the_reader_is_woken_at_half_full_and_when_a_record_is_lost() {
        let calls = Arc::new(Calls::default());
        let (producer, consumer) = ring(1024);
        let sink = AccessSink::new(producer, Waker::from(Arc::clone(&calls)));
        let woken = |expected: usize| assert_eq!(calls.0.load(Ordering::Relaxed), expected);

        // PLAIN takes 200 octets of the ring: five fit, three are more than half.
        let steps = [
            (true, 0),
            (true, 0),
            (true, 1),
            (true, 2),
            (true, 3),
            (false, 4),
        ];
        for (pushed, calls) in steps {
            assert_eq!(sink.push(&PLAIN), pushed);
            woken(calls);
        }
        let mut record = Vec::new();
        for _ in 0..5 {
            assert!(consumer.pop(&mut record));
            assert_eq!(AccessRecord::unpack(&record), Some(PLAIN));
        }
        assert!(!consumer.pop(&mut record));
        assert!(sink.push(&PLAIN));
        woken(4);
    }
}
