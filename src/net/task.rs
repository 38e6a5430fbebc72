//! Tasks and the ways in which they wait for each other: `Notify`, `race` and `both`.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use pin_project_lite::pin_project;

use super::house::{Housed, is_worth_it};
use super::runtime::start_task;

/// Starts a task on this worker. A panic inside it ends this task alone: it is caught, its message has been
/// printed by the panic hook, and `on_panic` is told, so that it can be counted.
///
/// The state of a large future lives in the worker's arena, not in the heap. One that is too large for that does not
/// compile: box the part of it that is seldom needed, or hand it to a task of its own.
pub fn spawn<F: Future<Output = ()> + 'static>(future: F, on_panic: impl FnOnce() + 'static) {
    if is_worth_it::<F>() {
        start_task(guarded(Housed::new(future), on_panic));
    } else {
        start_task(guarded(future, on_panic));
    }
}

fn guarded<F: Future<Output = ()>, P: FnOnce()>(future: F, on_panic: P) -> Guarded<F, P> {
    Guarded {
        future,
        on_panic: Some(on_panic),
    }
}

pin_project! {
    struct Guarded<F, P> {
        #[pin]
        future: F,
        on_panic: Option<P>,
    }
}

impl<F: Future<Output = ()>, P: FnOnce()> Future for Guarded<F, P> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.project();
        match catch_unwind(AssertUnwindSafe(|| this.future.poll(cx))) {
            Ok(poll) => poll,
            Err(_) => {
                if let Some(on_panic) = this.on_panic.take() {
                    on_panic();
                }
                Poll::Ready(())
            }
        }
    }
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
/// A type of its own, like the two below: as an `async fn` each would hold its futures twice, once as an argument
/// and once pinned, and nested ones would double again.
///
/// [`Receiver::recv`]: super::Receiver::recv
pub fn race<A: Future, B: Future>(left: A, right: B) -> Race<A, B> {
    Race { left, right }
}

pin_project! {
    /// See [`race`].
    pub struct Race<A, B> {
        #[pin]
        left: A,
        #[pin]
        right: B,
    }
}

impl<A: Future, B: Future> Future for Race<A, B> {
    type Output = Either<A::Output, B::Output>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        if let Poll::Ready(value) = this.left.poll(cx) {
            return Poll::Ready(Either::Left(value));
        }
        this.right.poll(cx).map(Either::Right)
    }
}

/// Waits until both have succeeded, or one has failed; then the other is dropped.
pub fn both<A, B, E>(left: A, right: B) -> Both<A, B>
where
    A: Future<Output = Result<(), E>>,
    B: Future<Output = Result<(), E>>,
{
    Both {
        left,
        right,
        is_left_done: false,
        is_right_done: false,
    }
}

pin_project! {
    /// See [`both`].
    pub struct Both<A, B> {
        #[pin]
        left: A,
        #[pin]
        right: B,
        is_left_done: bool,
        is_right_done: bool,
    }
}

impl<A, B, E> Future for Both<A, B>
where
    A: Future<Output = Result<(), E>>,
    B: Future<Output = Result<(), E>>,
{
    type Output = Result<(), E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        if !*this.is_left_done
            && let Poll::Ready(result) = this.left.poll(cx)
        {
            result?;
            *this.is_left_done = true;
        }
        if !*this.is_right_done
            && let Poll::Ready(result) = this.right.poll(cx)
        {
            result?;
            *this.is_right_done = true;
        }
        match *this.is_left_done && *this.is_right_done {
            true => Poll::Ready(Ok(())),
            false => Poll::Pending,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

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
    fn both_waits_for_two_successes_or_one_failure() {
        let done = || std::future::ready(Ok::<(), u8>(()));
        let failed = || std::future::ready(Err::<(), u8>(7));
        let never = std::future::pending::<Result<(), u8>>;
        assert_eq!(poll_once(both(done(), done())), Poll::Ready(Ok(())));
        assert_eq!(poll_once(both(done(), failed())), Poll::Ready(Err(7)));
        assert_eq!(poll_once(both(failed(), never())), Poll::Ready(Err(7)));
        assert_eq!(poll_once(both(never(), failed())), Poll::Ready(Err(7)));
        assert!(poll_once(both(done(), never())).is_pending());
        // One that is done is not polled again.
        let mut half = pin!(both(done(), async {
            let mut is_first = true;
            poll_fn(|_| match std::mem::take(&mut is_first) {
                true => Poll::Pending,
                false => Poll::Ready(Ok(())),
            })
            .await
        }));
        let mut cx = Context::from_waker(Waker::noop());
        assert!(half.as_mut().poll(&mut cx).is_pending());
        assert_eq!(half.as_mut().poll(&mut cx), Poll::Ready(Ok(())));
    }

    #[test]
    fn a_race_is_no_larger_than_its_two() {
        let (left, right) = (
            std::future::ready([0u8; 256]),
            std::future::ready([0u8; 256]),
        );
        let sum = size_of_val(&left) + size_of_val(&right);
        assert_eq!(size_of_val(&race(left, right)), sum);
    }

    #[test]
    fn the_left_one_wins_a_tie() {
        let tie = race(std::future::ready(1), std::future::ready(2));
        assert_eq!(poll_once(tie), Poll::Ready(Either::Left(1)));
        let right = race(std::future::pending::<()>(), std::future::ready(2));
        assert_eq!(poll_once(right), Poll::Ready(Either::Right(2)));
    }
}
