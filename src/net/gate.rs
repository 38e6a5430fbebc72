//! The gate: one epoll descriptor behind which idle connections wait, itself waited for on the ring.
//!
//! A connection that waits here costs this process nothing: no task, no operation in flight, no buffer. The ring (or
//! the runtime's own epoll) watches a single descriptor, and who has become ready is read out of it without blocking.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;

use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};

use super::fd::{Resting, Socket};

/// Connections that are taken out in one go; more follow in the next.
const READY_MAX: usize = 256;

/// See the module.
pub(super) struct Gate {
    epoll: OwnedFd,
    /// The same descriptor once more, registered with this thread's driver.
    socket: Socket,
}

impl Gate {
    /// An empty gate of this thread's worker.
    pub(super) fn new() -> io::Result<Gate> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        let socket = Socket::from_fd(epoll.try_clone()?)?;
        Ok(Gate { epoll, socket })
    }

    /// Tells `token` once when there are octets, an end or an error on the connection.
    pub(super) fn watch(&self, resting: &Resting, token: u64) -> io::Result<()> {
        let data = EventData::new_u64(token);
        let flags = EventFlags::IN | EventFlags::RDHUP | EventFlags::ONESHOT;
        // One that has waited here before is still known, and disarmed.
        match epoll::modify(&self.epoll, resting, data, flags) {
            Err(rustix::io::Errno::NOENT) => epoll::add(&self.epoll, resting, data, flags)?,
            modified => modified?,
        }
        Ok(())
    }

    /// Tells of the connection no more. (One that is closed needs no word.)
    pub(super) fn unwatch(&self, resting: &Resting) {
        // It fails only for a descriptor that is not watched.
        let _ = epoll::delete(&self.epoll, resting);
    }

    /// Waits until there is somebody to tell of, and appends their tokens. **Cancellation**: nobody is lost, for a
    /// wait that was given up has told of nobody.
    ///
    /// # Errors
    ///
    /// Waiting on the descriptor fails.
    pub(super) async fn ready(&self, tokens: &mut Vec<u64>) -> io::Result<()> {
        while !self.take_ready(tokens)? {
            self.socket.readable().await?;
        }
        Ok(())
    }

    /// Appends the tokens of those who are ready now; false when nobody is.
    fn take_ready(&self, tokens: &mut Vec<u64>) -> io::Result<bool> {
        let mut events = [const { MaybeUninit::<epoll::Event>::uninit() }; READY_MAX];
        let at_once = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        let ready = match epoll::wait(&self.epoll, &mut events, Some(&at_once)) {
            Ok((ready, _)) => ready,
            Err(rustix::io::Errno::INTR) => return Ok(false), // the descriptor is still readable
            Err(error) => return Err(error.into()),
        };
        tokens.extend(ready.iter().map(|event| event.data.u64()));
        Ok(!ready.is_empty())
    }
}
