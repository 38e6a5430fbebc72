//! Houses: blocks of the arena in which the state of large tasks lives.
//!
//! A connection's future is some kilobytes large. In the heap it would be copied from place to place on its way into a
//! task, and thousands of them would leave the allocator with pages of which each holds one thing that still lives; here
//! it is written once, its block is used again at once, and after a burst its page goes back to the system.

#![allow(unsafe_code)]

use std::future::Future;
use std::pin::Pin;
use std::ptr::NonNull;
use std::task::{Context, Poll};

use super::buffer::{HOUSE_BYTES, rent_house, return_house};

/// A future in a house of its own. It must fit: see [`fits`].
pub(super) struct Housed<F> {
    future: NonNull<F>,
}

/// Is a future of this type worth a house, and does it fit into one?
pub(super) const fn fits<F>() -> bool {
    size_of::<F>() >= HOUSED_FROM && size_of::<F>() <= HOUSE_BYTES && align_of::<F>() <= HOUSE_BYTES
}

/// Octets from which on a future is worth a house.
const HOUSED_FROM: usize = 1 << 10;

impl<F> Housed<F> {
    /// Moves the future into a house. Panics unless it fits.
    pub(super) fn new(future: F) -> Housed<F> {
        assert!(fits::<F>(), "as large as a house");
        let house = rent_house().cast::<F>();
        // SAFETY: the block is ours alone until it is returned, large enough, and aligned to a page, which is at least
        // the future's alignment: both were just asserted.
        unsafe { house.write(future) };
        Housed { future: house }
    }
}

impl<F: Future> Future for Housed<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let mut place = self.get_mut().future;
        // SAFETY: written in `new`, dropped only with `self`, and borrowed through `&mut self` alone. It stays where it is
        // until it is dropped, however `self` moves, so it is pinned.
        unsafe { Pin::new_unchecked(place.as_mut()) }.poll(cx)
    }
}

impl<F> Drop for Housed<F> {
    fn drop(&mut self) {
        // SAFETY: written in `new`; this is its only drop, in place, as a pinned value demands.
        unsafe { self.future.drop_in_place() };
        return_house(self.future.cast());
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::rc::Rc;
    use std::task::Waker;

    use super::*;

    async fn large(dropped: Rc<Cell<u32>>) -> u8 {
        struct Tells(Rc<Cell<u32>>);
        impl Drop for Tells {
            fn drop(&mut self) {
                self.0.set(self.0.get() + 1);
            }
        }
        let _tells = Tells(dropped);
        let state = [7u8; 2000];
        std::future::pending::<()>().await;
        state[1999]
    }

    #[test]
    fn a_future_is_dropped_once_and_its_house_used_again() {
        let dropped = Rc::new(Cell::new(0));
        let mut addresses = Vec::new();
        for round in 1..=2 {
            let mut housed = Housed::new(large(dropped.clone()));
            addresses.push(housed.future.as_ptr().addr());
            let mut cx = Context::from_waker(Waker::noop());
            assert!(Pin::new(&mut housed).poll(&mut cx).is_pending());
            drop(housed);
            assert_eq!(dropped.get(), round);
        }
        assert_eq!(addresses[0], addresses[1]);
    }

    #[test]
    fn only_large_futures_that_fit_are_housed() {
        assert!(!fits::<[u8; HOUSED_FROM - 1]>());
        assert!(fits::<[u8; HOUSED_FROM]>());
        assert!(fits::<[u8; HOUSE_BYTES]>());
        assert!(!fits::<[u8; HOUSE_BYTES + 1]>());
    }
}
