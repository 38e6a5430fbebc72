//! The one way into a worker: a bounded queue and an event counter that the ring waits on.
//!
//! The control thread posts rarely (a new snapshot, a wish to drain). The lock is held for a push or a swap, never
//! over anything that waits, and no request takes it: a worker looks inside only after the counter was raised.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use super::fd::{Counter, Socket, take_count};

/// Letters that may wait for a worker; more means that it no longer runs.
pub const LETTERS_MAX: usize = 1024;

struct Shared<T> {
    letters: Mutex<VecDeque<T>>,
    counter: Counter,
}

/// The control thread's end.
pub struct Mailbox<T> {
    shared: Arc<Shared<T>>,
}

impl<T> Clone for Mailbox<T> {
    fn clone(&self) -> Self {
        Mailbox {
            shared: self.shared.clone(),
        }
    }
}

/// The worker's end, to be opened on its own thread.
pub struct Slit<T> {
    shared: Arc<Shared<T>>,
}

/// A new mailbox: the end that posts and the end that receives.
///
/// # Errors
///
/// No descriptor can be had for the counter.
pub fn mailbox<T>() -> io::Result<(Mailbox<T>, Slit<T>)> {
    let shared = Arc::new(Shared {
        letters: Mutex::new(VecDeque::new()),
        counter: Counter::new()?,
    });
    Ok((
        Mailbox {
            shared: shared.clone(),
        },
        Slit { shared },
    ))
}

impl<T> Mailbox<T> {
    /// Posts a letter; gives it back when the box is full.
    ///
    /// # Errors
    ///
    /// The letter itself, when [`LETTERS_MAX`] are waiting.
    pub fn post(&self, letter: T) -> Result<(), T> {
        let mut letters = self
            .shared
            .letters
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if letters.len() >= LETTERS_MAX {
            return Err(letter);
        }
        letters.push_back(letter);
        drop(letters);
        self.shared.counter.raise();
        Ok(())
    }
}

impl<T> Slit<T> {
    /// Registers the box with this thread's ring.
    ///
    /// # Errors
    ///
    /// No descriptor can be had, or the driver refuses it.
    pub fn open(self) -> io::Result<Inbox<T>> {
        let socket = self.shared.counter.waiter()?;
        Ok(Inbox {
            shared: self.shared,
            socket,
        })
    }
}

/// An opened mailbox, on the worker's thread.
pub struct Inbox<T> {
    shared: Arc<Shared<T>>,
    socket: Socket,
}

impl<T> Inbox<T> {
    /// Waits for a letter. **Cancellation**: a letter that was not returned stays in the box.
    ///
    /// # Errors
    ///
    /// Waiting on the counter fails.
    pub async fn next(&self) -> io::Result<T> {
        loop {
            if let Some(letter) = self
                .shared
                .letters
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .pop_front()
            {
                return Ok(letter);
            }
            take_count(&self.socket).await?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_box_gives_the_letter_back() {
        let (mailbox, _slit) = mailbox().expect("a descriptor");
        for letter in 0..LETTERS_MAX {
            assert_eq!(mailbox.post(letter), Ok(()));
        }
        assert_eq!(mailbox.post(LETTERS_MAX), Err(LETTERS_MAX));
    }
}
