//! Bugs that are planted on purpose, and the list of what was found wrong.

use std::cell::{Cell, RefCell};

/// A bug that the simulation must find.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Bug {
    /// A response goes to the exchange behind the one it is for.
    SlotToWrongExchange,
    /// A block goes back to the arena twice.
    BufferReturnedTwice,
}

thread_local! {
    static PLANTED: Cell<Option<Bug>> = const { Cell::new(None) };
    static ASKED: Cell<u32> = const { Cell::new(0) };
    static FOUND: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// Once in so many times a planted bug strikes.
const STRIKES_EVERY: u32 = 7;

/// Plants a bug on this thread, or with `None` takes it out.
pub fn plant(bug: Option<Bug>) {
    PLANTED.set(bug);
    ASKED.set(0);
}

/// Does the bug strike now? Asked where it would.
pub fn strikes(bug: Bug) -> bool {
    if PLANTED.try_with(Cell::get) != Ok(Some(bug)) {
        return false;
    }
    ASKED.set(ASKED.get() + 1);
    // A line of two is rare enough.
    bug == Bug::SlotToWrongExchange || ASKED.get().is_multiple_of(STRIKES_EVERY)
}

/// May the block go back to the arena, which has these? One that is there already is a finding, and is not taken: two
/// owners of one block would be worse than a bug.
pub(in crate::net) fn may_return<T: PartialEq>(free: &[T], block: &T) -> bool {
    let is_twice = free.contains(block);
    if is_twice {
        found("a block was returned twice".to_owned());
    }
    !is_twice
}

/// Whoever reads a block that he has returned reads this.
pub(in crate::net) fn poison(block: &mut [u8]) {
    const POISONED_MAX: usize = 16 << 10;
    let length = block.len().min(POISONED_MAX);
    block[..length].fill(0xDD);
}

/// Something is wrong.
pub fn found(what: String) {
    let _ = FOUND.try_with(|list| list.borrow_mut().push(what));
}

/// What was found wrong since this was last asked.
pub fn findings() -> Vec<String> {
    FOUND.take()
}
