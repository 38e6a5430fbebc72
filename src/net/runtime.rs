//! The runtime that a worker's tasks run on: made rung by rung, and what spawning starts them on.

use std::future::Future;
use std::io;

use io_uring::IoUring;
use monoio::{IoUringDriver, LegacyDriver, RuntimeBuilder};

/// Entries of the submission queue: what one turn may submit before it must enter the kernel.
const SUBMISSION_ENTRIES: u32 = 256;
/// Entries of the completion queue: room for a burst while one turn is at work.
const COMPLETION_ENTRIES: u32 = 8192;

/// A runtime of this thread.
pub(super) enum Runtime {
    Ring(monoio::Runtime<IoUringDriver>),
    Epoll(monoio::Runtime<LegacyDriver>),
}

impl Runtime {
    /// On io_uring: with SINGLE_ISSUER and DEFER_TASKRUN, with COOP_TASKRUN, or without either.
    pub(super) fn ring(defer_taskrun: bool, coop_taskrun: bool) -> io::Result<Runtime> {
        let mut flags = IoUring::builder();
        if defer_taskrun {
            flags.setup_single_issuer().setup_defer_taskrun();
        }
        if coop_taskrun {
            flags.setup_coop_taskrun().setup_cqsize(COMPLETION_ENTRIES);
        }
        let builder = RuntimeBuilder::<IoUringDriver>::new().with_entries(SUBMISSION_ENTRIES);
        builder.uring_builder(flags).build().map(Runtime::Ring)
    }

    /// On epoll.
    pub(super) fn epoll() -> io::Result<Runtime> {
        let builder = RuntimeBuilder::<LegacyDriver>::new().with_entries(SUBMISSION_ENTRIES);
        builder.build().map(Runtime::Epoll)
    }

    /// Runs `main`, and what it spawns, until it ends.
    pub(super) fn block_on(self, main: impl Future<Output = ()>) {
        match self {
            Runtime::Ring(mut runtime) => runtime.block_on(main),
            Runtime::Epoll(mut runtime) => runtime.block_on(main),
        }
    }
}

/// Starts a task of this thread's runtime. Nobody waits for its end.
pub(super) fn start_task(task: impl Future<Output = ()> + 'static) {
    drop(monoio::spawn(task));
}
