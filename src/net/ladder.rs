//! Which ring this kernel grants, tried from the best downwards on the worker's own thread.
//!
//! The runtime's own choice between ring and epoll does not know the flags we want and errs where only these
//! are refused; so each rung is tried whole. Why a rung was refused is kept in words, because "it runs on
//! epoll" is what somebody will ask about.

use std::future::Future;
use std::io;

use super::runtime::Runtime;
use crate::config::Backend;

/// What a worker runs on, best first.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Rung {
    /// io_uring with SINGLE_ISSUER, DEFER_TASKRUN and COOP_TASKRUN (Linux 6.1).
    DeferTaskrun,
    /// io_uring with COOP_TASKRUN (Linux 5.19).
    CoopTaskrun,
    /// io_uring without flags.
    Plain,
    /// epoll.
    Epoll,
}

impl Rung {
    /// As shown to people.
    pub fn as_str(self) -> &'static str {
        match self {
            Rung::DeferTaskrun => "io_uring (single issuer, deferred task work)",
            Rung::CoopTaskrun => "io_uring (cooperative task work)",
            Rung::Plain => "io_uring (no flags)",
            Rung::Epoll => "epoll",
        }
    }
}

/// What was granted, and what was refused before it.
#[derive(Debug)]
pub struct Granted {
    /// The rung that holds.
    pub rung: Rung,
    /// Why the better ones do not, in words, best first.
    pub refused: Vec<(Rung, String)>,
}

/// Runs `main` on the best rung that `choice` allows, on this thread, until it ends.
///
/// # Errors
///
/// Every allowed rung was refused; the last error.
pub fn block_on<F, M>(choice: Backend, main: M) -> io::Result<()>
where
    F: Future<Output = ()>,
    M: FnOnce(Granted) -> F,
{
    let mut refused = Vec::new();
    let mut last_error = None;
    if choice != Backend::Epoll {
        for rung in [Rung::DeferTaskrun, Rung::CoopTaskrun, Rung::Plain] {
            match Runtime::ring(rung == Rung::DeferTaskrun, rung != Rung::Plain) {
                Ok(runtime) => {
                    runtime.block_on(main(Granted { rung, refused }));
                    return Ok(());
                }
                Err(error) => {
                    let why = explain(&error);
                    last_error = Some(io::Error::new(error.kind(), format!("io_uring: {why}")));
                    refused.push((rung, why));
                }
            }
        }
    }
    if choice == Backend::IoUring {
        return Err(last_error.unwrap_or_else(|| io::ErrorKind::Unsupported.into()));
    }
    Runtime::epoll()?.block_on(main(Granted {
        rung: Rung::Epoll,
        refused,
    }));
    Ok(())
}

fn explain(error: &io::Error) -> String {
    use rustix::io::Errno;
    let hint = match Errno::from_io_error(error) {
        Some(Errno::PERM) => {
            "refused by kernel.io_uring_disabled, a container's seccomp profile or SystemCallFilter="
        }
        Some(Errno::NOSYS) => "this kernel or its seccomp profile has no io_uring",
        Some(Errno::INVAL) => "this kernel does not know the flags",
        Some(Errno::NOMEM) => "not enough locked memory; raise LimitMEMLOCK=",
        Some(_) | None => return error.to_string(),
    };
    format!("{error}: {hint}")
}
