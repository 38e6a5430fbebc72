//! The twin of `net/runtime.rs`: tasks live in the simulated world, whichever rung was asked for.

use std::future::Future;
use std::io;

use super::world::block_on;
pub(in crate::net) use super::world::start_task;

/// The world of this thread.
pub(in crate::net) struct Runtime;

impl Runtime {
    pub(in crate::net) fn ring(_defer_taskrun: bool, _coop_taskrun: bool) -> io::Result<Runtime> {
        Ok(Runtime)
    }

    pub(in crate::net) fn epoll() -> io::Result<Runtime> {
        Ok(Runtime)
    }

    pub(in crate::net) fn block_on(self, main: impl Future<Output = ()>) {
        block_on(main);
    }
}
