//! A thing that happens once, for scripts and tests to wait for one another.

use std::sync::{Arc, Condvar, Mutex, PoisonError};

use super::DEADLINE;

/// Set once, seen by all clones.
#[derive(Clone, Default)]
pub struct Event(Arc<(Mutex<bool>, Condvar)>);

impl Event {
    /// Not yet happened.
    pub fn new() -> Event {
        Event::default()
    }

    /// It happens now; every waiter goes on.
    pub fn set(&self) {
        *self.0.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.0.1.notify_all();
    }

    /// Has it happened?
    pub fn is_set(&self) -> bool {
        *self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for it.
    ///
    /// # Panics
    ///
    /// At [`DEADLINE`], with `what` in the message.
    #[track_caller]
    pub fn wait(&self, what: &str) {
        let happened = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (happened, _) = self
            .0
            .1
            .wait_timeout_while(happened, DEADLINE, |happened| !*happened)
            .unwrap_or_else(PoisonError::into_inner);
        assert!(*happened, "waited {DEADLINE:?} in vain for {what}");
    }
}
