//! The twin of `net/sources.rs`: the world's clocks and its chance.

use super::world::{try_with, with};

/// The coarse clock lags by up to so much.
const COARSE_NANOS: u64 = 4_000_000;

pub(in crate::net) fn coarse_millis() -> u64 {
    let nanos = try_with(|world| world.nanos()).unwrap_or(0);
    nanos / COARSE_NANOS * COARSE_NANOS / 1_000_000
}

pub(in crate::net) fn precise_nanos() -> u64 {
    try_with(|world| world.nanos()).unwrap_or(0)
}

pub(in crate::net) fn unix_nanos() -> u64 {
    try_with(|world| world.wall_nanos()).unwrap_or(0)
}

pub(in crate::net) fn random() -> u64 {
    with(|world| world.random())
}

pub(in crate::net) fn seed() -> u64 {
    try_with(|world| world.random()).unwrap_or(0) | 1
}
