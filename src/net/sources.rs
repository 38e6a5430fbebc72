//! Where time and chance come from: the kernel's clocks and its generator.

use std::cell::Cell;

use rustix::time::{ClockId, clock_gettime};

/// CLOCK_MONOTONIC_COARSE in milliseconds.
pub(super) fn coarse_millis() -> u64 {
    let time = clock_gettime(ClockId::MonotonicCoarse);
    time.tv_sec as u64 * 1000 + time.tv_nsec as u64 / 1_000_000
}

/// CLOCK_MONOTONIC in nanoseconds.
pub(super) fn precise_nanos() -> u64 {
    let time = clock_gettime(ClockId::Monotonic);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// CLOCK_REALTIME_COARSE in nanoseconds since 1970; 0 before that.
pub(super) fn unix_nanos() -> u64 {
    let time = clock_gettime(ClockId::RealtimeCoarse);
    u64::try_from(time.tv_sec).unwrap_or(0) * 1_000_000_000 + time.tv_nsec as u64
}

/// A pseudo-random number (xorshift64*), seeded per thread.
pub(super) fn random() -> u64 {
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
pub(super) fn seed() -> u64 {
    let mut bytes = [0u8; 8];
    let got = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::NONBLOCK);
    let value = match got {
        Ok(8) => u64::from_ne_bytes(bytes),
        Ok(_) | Err(_) => precise_nanos(),
    };
    value | 1
}
