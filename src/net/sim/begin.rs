//! A new world, and nothing left of the last one.

use super::world::{Faults, make};
use crate::net::deadline::begin_anew;

/// A new world on this thread. All that happens in it follows from the seed.
pub fn begin(seed: u64, faults: Faults) {
    make(seed, faults);
    begin_anew();
}
