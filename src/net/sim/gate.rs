//! The twin of `net/gate.rs`: who waits behind it is told of late, once, and not after it was taken back.

use std::future::poll_fn;
use std::io;
use std::task::Poll;

use rustix::io::Errno;

use super::fd::Resting;
use super::wire::{GateState, told};
use super::world::{Event, try_with, with};

/// Where idle connections wait.
pub(in crate::net) struct Gate {
    number: u64,
}

impl Gate {
    pub(in crate::net) fn new() -> io::Result<Gate> {
        Ok(with(|world| {
            let number = world.number();
            world.wires.gates.insert(number, GateState::default());
            Gate { number }
        }))
    }

    pub(in crate::net) fn watch(&self, resting: &Resting, token: u64) -> io::Result<()> {
        with(|world| {
            if world.strikes(world.faults.unwatched) {
                return Err(told(Errno::NOSPC));
            }
            world.end(resting.end()).watch = Some((self.number, token));
            world.plan_soon(Event::Tell(resting.end()));
            Ok(())
        })
    }

    pub(in crate::net) fn unwatch(&self, resting: &Resting) {
        with(|world| {
            world.end(resting.end()).watch = None;
            if let Some(gate) = world.wires.gates.get_mut(&self.number) {
                gate.ready.retain(|(end, _)| *end != resting.end());
            }
        });
    }

    pub(in crate::net) async fn ready(&self, tokens: &mut Vec<u64>) -> io::Result<()> {
        poll_fn(|cx| {
            with(|world| {
                let gate = world.wires.gates.get_mut(&self.number);
                let gate = gate.expect("kept while it is held");
                if gate.ready.is_empty() {
                    gate.waker = Some(cx.waker().clone());
                    return Poll::Pending;
                }
                tokens.extend(gate.ready.drain(..).map(|(_, token)| token));
                Poll::Ready(Ok(()))
            })
        })
        .await
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        try_with(|world| world.wires.gates.remove(&self.number));
    }
}
