//! Clocks and chance, as the data plane may have them.
//!
//! Deadlines read the coarse monotonic clock (a few nanoseconds, some milliseconds wide); an exchange reads the
//! precise one at its ends. Chance is a per-thread generator seeded once from the kernel: good for jitter and
//! picks, never for secrets.

use std::time::Duration;

use super::sources;

/// A moment on the coarse monotonic clock, in milliseconds since an arbitrary start.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct Tick(pub u64);

impl Tick {
    /// The moment `duration` later; sub-millisecond parts are rounded up.
    pub fn after(self, duration: Duration) -> Tick {
        let millis = duration.as_micros().div_ceil(1000);
        Tick(
            self.0
                .saturating_add(u64::try_from(millis).unwrap_or(u64::MAX)),
        )
    }

    /// How long ago `earlier` was; zero when it lies ahead.
    pub fn since(self, earlier: Tick) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

/// Now, by CLOCK_MONOTONIC_COARSE.
pub fn now() -> Tick {
    Tick(sources::coarse_millis())
}

/// Now, in nanoseconds of CLOCK_MONOTONIC: for durations that people read.
pub fn precise_nanos() -> u64 {
    sources::precise_nanos()
}

/// The wall clock's coarse reading in nanoseconds since 1970; 0 before that.
pub fn unix_nanos() -> u64 {
    sources::unix_nanos()
}

/// A pseudo-random number, from a generator that is seeded per thread.
pub fn random() -> u64 {
    sources::random()
}

/// Eight octets from the kernel's generator; the clock where it has none to give. Never zero.
pub fn seed() -> u64 {
    sources::seed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_rounds_up_to_whole_milliseconds() {
        assert_eq!(Tick(5).after(Duration::from_micros(1)), Tick(6));
        assert_eq!(Tick(5).after(Duration::from_millis(2)), Tick(7));
        assert_eq!(Tick(5).after(Duration::MAX), Tick(u64::MAX));
    }

    #[test]
    fn the_coarse_clock_does_not_go_back() {
        let earlier = now();
        assert!(now() >= earlier);
        assert_eq!(earlier.since(Tick(u64::MAX)), Duration::ZERO);
    }

    #[test]
    fn random_numbers_differ() {
        assert_ne!(random(), random());
    }
}
