//! Deadlines: a task's promise to itself that no wait lasts for ever.
//!
//! A connection has one or two of them for its life and moves them from state to state; moving one later costs
//! a store. They are precise to a tenth of a second. A missed deadline never drops a receive: the task wakes,
//! sees it, and decides.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use pin_project_lite::pin_project;

use super::clock::{now, precise_nanos};
use super::fd::Timer;
use super::wheel::{Key, Wheel};

struct Clockwork {
    wheel: Option<Wheel>,
    timer: Option<Timer>,
    /// For when the timer is set (ms); `u64::MAX` while it is not.
    armed_ms: u64,
    wake: Vec<std::task::Waker>,
}

thread_local!(static CLOCKWORK: RefCell<Clockwork> =
    const { RefCell::new(Clockwork { wheel: None, timer: None, armed_ms: u64::MAX, wake: Vec::new() }) });

/// Turns this worker's wheel for as long as the runtime lives. Started once, by the worker.
///
/// # Errors
///
/// The timer descriptor cannot be had, or waiting on it fails.
pub async fn run_wheel() -> std::io::Result<()> {
    let timer = Timer::new()?;
    let readiness = timer.clone();
    CLOCKWORK.with_borrow_mut(|clockwork| {
        clockwork.timer = Some(timer);
        clockwork.armed_ms = u64::MAX;
        clockwork.rearm();
    });
    loop {
        readiness.expired().await?;
        let mut wake = CLOCKWORK.with_borrow_mut(|clockwork| {
            let mut wake = std::mem::take(&mut clockwork.wake);
            clockwork.wheel().turn(now().0, &mut wake);
            clockwork.armed_ms = u64::MAX;
            clockwork.rearm();
            wake
        });
        wake.drain(..).for_each(std::task::Waker::wake);
        CLOCKWORK.with_borrow_mut(|clockwork| clockwork.wake = wake);
    }
}

/// Ends every wait that [`Deadline::set_idle`] began: the worker drains.
pub fn end_idle_waits() {
    let mut wake = Vec::new();
    CLOCKWORK.with_borrow_mut(|clockwork| clockwork.wheel().fire_idle(&mut wake));
    wake.into_iter().for_each(std::task::Waker::wake);
}

/// Gives memory back that so many deadlines no longer need.
pub fn trim() {
    CLOCKWORK.with_borrow_mut(|clockwork| {
        clockwork.wheel().trim();
        clockwork.wake = Vec::new();
    });
}

/// Forgets all deadlines, for another simulated world.
#[cfg(feature = "sim")]
pub(super) fn begin_anew() {
    CLOCKWORK.with_borrow_mut(|clockwork| {
        (clockwork.wheel, clockwork.timer, clockwork.armed_ms) = (None, None, u64::MAX);
    });
}

impl Clockwork {
    fn wheel(&mut self) -> &mut Wheel {
        self.wheel.get_or_insert_with(|| Wheel::new(now().0))
    }

    fn rearm(&mut self) {
        if let Some(at) = self.wheel().next_ms() {
            self.arm(at);
        }
    }

    fn arm(&mut self, at_ms: u64) {
        if at_ms < self.armed_ms
            && let Some(timer) = &self.timer
        {
            timer.set(at_ms);
            self.armed_ms = at_ms;
        }
    }
}

/// One deadline, of one task of this worker.
pub struct Deadline {
    key: Key,
}

impl Deadline {
    /// A deadline that is not set.
    pub fn new() -> Deadline {
        Deadline {
            key: CLOCKWORK.with_borrow_mut(|clockwork| clockwork.wheel().insert()),
        }
    }

    /// Comes in `wait` from now, whatever it was set to before.
    pub fn set(&self, wait: Duration) {
        self.place(wait, false);
    }

    /// As [`set`](Deadline::set), for a wait that may be ended at once when the worker drains.
    pub fn set_idle(&self, wait: Duration) {
        self.place(wait, true);
    }

    fn place(&self, wait: Duration, idle: bool) {
        CLOCKWORK.with_borrow_mut(|clockwork| {
            let now = now();
            if let Some(at) = clockwork
                .wheel()
                .set(self.key, now.after(wait).0, now.0, idle)
            {
                clockwork.arm(at);
            }
        });
    }

    /// Never comes. Only for a wait that something else is sure to end, and the caller says what.
    pub fn clear(&self) {
        CLOCKWORK.with_borrow_mut(|clockwork| clockwork.wheel().clear(self.key));
    }

    /// Sets it where there is a limit, clears it where there is none.
    pub fn set_or_clear(&self, wait: Option<Duration>) {
        match wait {
            Some(wait) => self.set(wait),
            None => self.clear(),
        }
    }

    /// Has it come?
    pub fn is_over(&self) -> bool {
        CLOCKWORK.with_borrow_mut(|clockwork| clockwork.wheel().is_fired(self.key))
    }

    /// Ready once it has come; else the task is woken when it does.
    pub fn poll_over(&self, cx: &mut Context<'_>) -> Poll<()> {
        CLOCKWORK.with_borrow_mut(|clockwork| {
            let wheel = clockwork.wheel();
            if wheel.is_fired(self.key) {
                return Poll::Ready(());
            }
            wheel.watch(self.key, cx.waker());
            Poll::Pending
        })
    }

    /// Waits until it has come. **Cancellation**: nothing is lost.
    pub async fn over(&self) {
        poll_fn(|cx| self.poll_over(cx)).await;
    }

    /// Waits for `future`, at the longest until the deadline; `None` when that came first. The future is dropped
    /// then, so give it one that may be dropped.
    pub fn limit<F: Future>(&self, future: F) -> Limit<'_, F> {
        Limit {
            deadline: self,
            future,
        }
    }
}

pin_project! {
    /// See [`Deadline::limit`].
    pub struct Limit<'a, F> {
        deadline: &'a Deadline,
        #[pin]
        future: F,
    }
}

impl<F: Future> Future for Limit<'_, F> {
    type Output = Option<F::Output>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        match this.future.poll(cx) {
            Poll::Ready(value) => Poll::Ready(Some(value)),
            Poll::Pending => this.deadline.poll_over(cx).map(|()| None),
        }
    }
}

impl Default for Deadline {
    fn default() -> Self {
        Deadline::new()
    }
}

impl Drop for Deadline {
    fn drop(&mut self) {
        // When the thread is ending its wheel may be gone before a deadline is.
        let _ = CLOCKWORK.try_with(|clockwork| clockwork.borrow_mut().wheel().remove(self.key));
    }
}

/// A beat of some ten milliseconds, for what a tenth of a second is too coarse for; it costs three system calls a beat
/// and nothing between.
pub struct Ticker {
    timer: Timer,
}

impl Ticker {
    /// On this thread's ring.
    ///
    /// # Errors
    ///
    /// The timer descriptor cannot be had.
    pub fn new() -> std::io::Result<Ticker> {
        Ok(Ticker {
            timer: Timer::new()?,
        })
    }

    /// Waits for the next beat: ten to twenty milliseconds from now. **Cancellation**: nothing is lost.
    ///
    /// # Errors
    ///
    /// Waiting on the timer fails.
    pub async fn next(&self) -> std::io::Result<()> {
        self.timer.set(precise_nanos() / 1_000_000);
        self.timer.expired().await
    }
}

/// Waits for a while, a tenth of a second exact. **Cancellation**: nothing is lost.
pub async fn pause(wait: Duration) {
    let deadline = Deadline::new();
    deadline.set(wait);
    deadline.over().await;
}
