//! Houses: blocks of the arena in which the state of large tasks lives.
//!
//! A connection's future is some kilobytes large. In the heap it would be copied from place to place on its way into a
//! task, and thousands of them would leave the allocator with pages of which each holds one thing that still lives; here
//! it is written once, its block is used again at once, and after a burst its page goes back to the system.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use super::buffer::House;

/// A future in a house of its own.
pub(super) struct Housed<F>(House<F>);

/// Octets from which on a future is worth a house.
const HOUSED_FROM: usize = 1 << 10;

/// Is a future of this type worth a house?
pub(super) const fn is_worth_it<F>() -> bool {
    size_of::<F>() >= HOUSED_FROM
}

impl<F> Housed<F> {
    /// Moves the future into a house.
    pub(super) fn new(future: F) -> Housed<F> {
        Housed(House::new(future))
    }
}

impl<F: Future> Future for Housed<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        self.get_mut().0.value().poll(cx)
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
            addresses.push(housed.0.address());
            let mut cx = Context::from_waker(Waker::noop());
            assert!(Pin::new(&mut housed).poll(&mut cx).is_pending());
            drop(housed);
            assert_eq!(dropped.get(), round);
        }
        assert_eq!(addresses[0], addresses[1]);
    }

    #[test]
    fn only_large_futures_are_housed() {
        assert!(!is_worth_it::<[u8; HOUSED_FROM - 1]>());
        assert!(is_worth_it::<[u8; HOUSED_FROM]>());
        let fit = [House::<[u8; 4096]>::FITS, House::<[u8; 4097]>::FITS];
        assert_eq!(fit, [true, false]);
    }
}
