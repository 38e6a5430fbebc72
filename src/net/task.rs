//! Tasks and the two ways in which they wait for each other: `Notify` and `race`.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::{Context, Poll, Waker};

/// Starts a task on this worker. A panic inside it ends this task alone: it is caught, its message has been
/// printed by the panic hook, and `on_panic` is told, so that it can be counted.
pub fn spawn(future: impl Future<Output = ()> + 'static, on_panic: impl FnOnce() + 'static) {
    // The join handle is dropped: the task runs on and nobody waits for it.
    drop(monoio::spawn(async move {
        let mut future = pin!(future);
        let guarded =
            poll_fn(
                |cx| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx))) {
                    Ok(Poll::Ready(())) => Poll::Ready(true),
                    Ok(Poll::Pending) => Poll::Pending,
                    Err(_) => Poll::Ready(false),
                },
            );
        if !guarded.await {
            on_panic();
        }
    }));
}

/// A flag that one task raises and one task waits for. Raising it twice before it is seen counts once.
#[derive(Default)]
pub struct Notify {
    raised: Cell<bool>,
    waiter: Cell<Option<Waker>>,
}

impl Notify {
    /// A flag that is down.
    pub fn new() -> Notify {
        Notify::default()
    }

    /// Raises the flag and wakes the task that waits for it, if one does.
    pub fn notify(&self) {
        self.raised.set(true);
        if let Some(waker) = self.waiter.take() {
            waker.wake();
        }
    }

    /// Takes the flag down if it is up; else remembers the task, in place of one remembered before.
    pub fn poll_notified(&self, cx: &mut Context<'_>) -> Poll<()> {
        if self.raised.replace(false) {
            return Poll::Ready(());
        }
        let waker = match self.waiter.take() {
            Some(waker) if waker.will_wake(cx.waker()) => waker,
            Some(_) | None => cx.waker().clone(),
        };
        self.waiter.set(Some(waker));
        Poll::Pending
    }

    /// Waits until the flag is raised and takes it down. **Cancellation**: nothing is lost.
    pub async fn notified(&self) {
        poll_fn(|cx| self.poll_notified(cx)).await;
    }
}

/// Which of two futures ended first.
#[derive(Debug, PartialEq, Eq)]
pub enum Either<A, B> {
    /// The first did; the second is gone.
    Left(A),
    /// The second did; the first is gone.
    Right(B),
}

/// Waits for the first of two futures and drops the other. When both are ready the left one wins.
///
/// Give it only futures that may be dropped (module doc): for a receive that is [`Receiver::recv`], whose
/// operation stays armed.
///
/// [`Receiver::recv`]: super::Receiver::recv
pub async fn race<A: Future, B: Future>(left: A, right: B) -> Either<A::Output, B::Output> {
    let (mut left, mut right) = (pin!(left), pin!(right));
    poll_fn(|cx| {
        if let Poll::Ready(value) = left.as_mut().poll(cx) {
            return Poll::Ready(Either::Left(value));
        }
        right.as_mut().poll(cx).map(Either::Right)
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn poll_once<F: Future>(future: F) -> Poll<F::Output> {
        pin!(future).poll(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn a_raised_flag_is_seen_once() {
        let flag = Notify::new();
        assert!(poll_once(flag.notified()).is_pending());
        flag.notify();
        flag.notify();
        assert!(poll_once(flag.notified()).is_ready());
        assert!(poll_once(flag.notified()).is_pending());
    }

    #[test]
    fn the_left_one_wins_a_tie() {
        let tie = race(std::future::ready(1), std::future::ready(2));
        assert_eq!(poll_once(tie), Poll::Ready(Either::Left(1)));
        let right = race(std::future::pending::<()>(), std::future::ready(2));
        assert_eq!(poll_once(right), Poll::Ready(Either::Right(2)));
    }
}
