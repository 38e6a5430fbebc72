//! Sockets, tasks and time on the ring: the only folder that names monoio or io_uring.
//!
//! What the floors above may use of the world outside stands here and nowhere else: accept, connect, receive
//! into an arena buffer, send, deadlines, tasks, clocks, randomness and the mailbox through which the control
//! thread reaches a worker. Because it is so little, a simulated twin can take its place, and another runtime
//! would be a change to this folder alone.
//!
//! ```text
//!   listener ──accept──► Stream ──receiver()──► Receiver   one receive, armed across awaits, never lost
//!                           └─────sender()────► Sender     whole buffers, backpressure by await
//!   Mailbox (eventfd) ──► worker      Wheel (timerfd) ──► Deadline ──► task
//!   Lot (epoll): idle connections, without task or buffer ──► worker
//! ```
//!
//! With the feature `sim`, `sim/` takes the place of the four files that touch the kernel (`fd`, `gate`, `sources`,
//! `runtime`), and the same code runs in a world that follows from a seed: `tests/sim.rs`. Without it nothing of that is
//! compiled.
//!
//! Invariants:
//!
//! - A buffer lent to the kernel is owned by the operation until its completion has come, also when the future
//!   that waits for it is dropped.
//! - Dropping a future of this folder loses no received byte, with two exceptions that say so: a connect and a
//!   send. After either the connection is closed.
//! - Nothing here blocks a worker's thread.

pub mod buffer;
mod class;
pub mod clock;
pub mod connect;
pub mod deadline;
#[cfg(not(feature = "sim"))]
mod fd;
#[cfg(not(feature = "sim"))]
mod gate;
mod house;
pub mod ladder;
pub mod listener;
pub mod mailbox;
pub mod parking;
#[cfg(not(feature = "sim"))]
mod runtime;
#[cfg(feature = "sim")]
pub mod sim;
#[cfg(not(feature = "sim"))]
mod sources;
pub mod stream;
pub mod task;
#[cfg(all(test, not(feature = "sim")))]
mod tests;
mod wheel;

#[cfg(feature = "sim")]
use sim::{fd, gate, runtime, sources};

pub use buffer::{Buffer, Class};
pub use deadline::Deadline;
pub use stream::{Receiver, Sender, Stream};
pub use task::{Either, Notify, both, race, spawn};
