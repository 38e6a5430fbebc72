//! Clocks and chance, as the data plane may have them.
//!
//! Deadlines read the coarse monotonic clock (a few nanoseconds, some milliseconds wide); an exchange reads the
//! precise one at its ends. Chance is a per-thread generator seeded once from the kernel: good for jitter and
//! picks, never for secrets.

use std::cell::Cell;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

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
    let time = clock_gettime(ClockId::MonotonicCoarse);
    Tick(time.tv_sec as u64 * 1000 + time.tv_nsec as u64 / 1_000_000)
}

/// Now, in nanoseconds of CLOCK_MONOTONIC: for durations that people read.
pub fn precise_nanos() -> u64 {
    let time = clock_gettime(ClockId::Monotonic);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// The wall clock's coarse reading in nanoseconds since 1970; 0 before that.
pub fn unix_nanos() -> u64 {
    let time = clock_gettime(ClockId::RealtimeCoarse);
    u64::try_from(time.tv_sec).unwrap_or(0) * 1_000_000_000 + time.tv_nsec as u64
}

/// A pseudo-random number (xorshift64*), seeded per thread.
pub fn random() -> u64 {
    thread_local!(static STATE: Cell<u64> = Cell::new(seed()));
    STATE.with(|state| {
        let mut x = state.get();
        x ^= x >> 12;
        x ^= x << 25;
        x ^= x >> 27;
        state.set(x);
        x.wrapping_mul(0x2545_F491_4F6C_DD1D)
    })
}

/// Eight octets from the kernel's generator; the clock where it has none to give. Never zero.
pub fn seed() -> u64 {
    let mut bytes = [0u8; 8];
    let got = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::NONBLOCK);
    let value = match got {
        Ok(8) => u64::from_ne_bytes(bytes),
        Ok(_) | Err(_) => precise_nanos(),
    };
    value | 1
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
