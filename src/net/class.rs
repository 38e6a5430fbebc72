//! The sizes of blocks, and the meter of the large ones.
//!
//! Large blocks make bodies cheap and take much memory, so those of all workers together are counted and have a limit, a
//! part of the machine's memory.

use std::sync::atomic::{AtomicUsize, Ordering};

/// The sizes that blocks come in.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Class {
    /// 4 KiB: heads, and every receive whose size nobody can know.
    Head,
    /// 16 KiB: the first pieces of a body.
    Piece,
    /// 64 KiB: the largest head, a request body that is read whole.
    Large,
    /// 256 KiB: bodies that keep coming.
    Huge,
    /// 512 KiB: the largest piece of a body.
    Giant,
}

/// All of them, from the smallest.
pub(super) const CLASSES: [Class; 5] = [
    Class::Head,
    Class::Piece,
    Class::Large,
    Class::Huge,
    Class::Giant,
];

impl Class {
    /// Octets in a block of this class.
    pub const fn bytes(self) -> usize {
        match self {
            Class::Head => 4 << 10,
            Class::Piece => 16 << 10,
            Class::Large => 64 << 10,
            Class::Huge => 256 << 10,
            Class::Giant => 512 << 10,
        }
    }

    /// The smallest class that holds `bytes`, if one does.
    pub fn holding(bytes: usize) -> Option<Class> {
        CLASSES.into_iter().find(|class| class.bytes() >= bytes)
    }

    /// The next larger class, if there is one.
    pub fn larger(self) -> Option<Class> {
        CLASSES.into_iter().find(|class| *class > self)
    }

    /// The next smaller class, if there is one.
    pub fn smaller(self) -> Option<Class> {
        CLASSES.into_iter().rev().find(|class| *class < self)
    }
}

/// Blocks of this class and above are metered, all workers' together.
const METERED_FROM: Class = Class::Huge;
/// Octets in metered blocks that are rented, and how many may be.
static LARGE_RENTED: AtomicUsize = AtomicUsize::new(0);
static LARGE_LIMIT: AtomicUsize = AtomicUsize::new(usize::MAX);

/// Sets how many octets the large blocks of all workers may take together.
pub fn set_large_limit(octets: usize) {
    LARGE_LIMIT.store(octets, Ordering::Relaxed);
}

/// Octets in large blocks that are rented now, by all workers.
pub fn large_rented() -> usize {
    LARGE_RENTED.load(Ordering::Relaxed)
}

/// The class, or the largest one below it that is not metered while the limit is reached. A wish, not a lock: workers
/// that ask at the same moment may go beyond it by a block each.
pub fn affordable(class: Class) -> Class {
    let is_within = || large_rented() + class.bytes() <= LARGE_LIMIT.load(Ordering::Relaxed);
    match class < METERED_FROM || is_within() {
        true => class,
        false => METERED_FROM.smaller().unwrap_or(Class::Head),
    }
}

/// A block of this class is rented.
pub(super) fn meter_rented(class: Class) {
    if class >= METERED_FROM {
        LARGE_RENTED.fetch_add(class.bytes(), Ordering::Relaxed);
    }
}

/// One is returned.
pub(super) fn meter_returned(class: Class) {
    if class >= METERED_FROM {
        LARGE_RENTED.fetch_sub(class.bytes(), Ordering::Relaxed);
    }
}
