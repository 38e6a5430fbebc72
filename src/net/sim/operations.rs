//! How connections come, how octets move, and how operations complete, late and in parts.

use std::collections::VecDeque;
use std::net::SocketAddr;

use rustix::io::Errno;

use super::wire::{End, Kind, Operation};
use super::world::{Event, World};
use crate::net::buffer::Buffer;

/// Octets that wait at an end; more are not taken.
const INBOX_MAX: usize = 32 << 10;

impl World {
    /// Two ends: the first is the worker's.
    pub(super) fn new_pair(&mut self, address: SocketAddr) -> (u64, u64) {
        let (ours, theirs) = (self.number(), self.number());
        for (end, peer, is_workers) in [(ours, theirs, true), (theirs, ours, false)] {
            let inbox_max = 64 + self.below(INBOX_MAX as u64) as usize;
            let end_state = End {
                peer,
                address,
                is_workers,
                inbox: VecDeque::new(),
                inbox_max,
                fin: false,
                rst: false,
                has_finished: false,
                is_left: false,
                is_closed: false,
                aborts: false,
                in_flight: 0,
                receive: None,
                send: None,
                polls: Vec::new(),
                watch: None,
                reader: None,
                writer: None,
            };
            self.wires.ends.insert(end, end_state);
        }
        (ours, theirs)
    }

    pub(super) fn end(&mut self, end: u64) -> &mut End {
        self.wires
            .ends
            .get_mut(&end)
            .expect("an end is kept while it is held")
    }

    /// Submits an operation.
    pub(super) fn submit(&mut self, kind: Kind) -> u64 {
        let number = self.number();
        let mut is_due = false;
        match &kind {
            Kind::Receive(end, _) => {
                let state = self.end(*end);
                assert!(state.receive.is_none(), "two receives on one connection");
                (state.receive, state.in_flight) = (Some(number), state.in_flight + 1);
                is_due = state.is_readable();
            }
            Kind::Send(end, _) => {
                let state = self.end(*end);
                assert!(state.send.is_none(), "two sends on one connection");
                (state.send, state.in_flight) = (Some(number), state.in_flight + 1);
                is_due = true;
            }
            Kind::Poll(end) => {
                let state = self.end(*end);
                state.polls.push(number);
                state.in_flight += 1;
                is_due = state.is_readable();
            }
            Kind::Accept(port) => {
                let queue = self.wires.ports.get_mut(port).expect("it listens");
                queue.accept = Some(number);
                is_due = !queue.waiting.is_empty();
            }
            Kind::Connect(_) => {}
        }
        if is_due {
            self.plan_soon(Event::Complete(number));
        }
        let operation = Operation {
            kind,
            is_due,
            result: None,
            waker: None,
            is_orphan: false,
        };
        self.wires.operations.insert(number, operation);
        number
    }

    fn plan_completion(&mut self, number: Option<u64>) {
        let Some(number) = number else {
            return;
        };
        if let Some(operation) = self.wires.operations.get_mut(&number)
            && operation.result.is_none()
            && !std::mem::replace(&mut operation.is_due, true)
        {
            self.plan_soon(Event::Complete(number));
        }
    }

    /// There is something to read at this end.
    pub(super) fn became_readable(&mut self, end: u64) {
        let Some(state) = self.wires.ends.get_mut(&end) else {
            return;
        };
        let (receive, polls, is_watched) =
            (state.receive, state.polls.clone(), state.watch.is_some());
        if let Some(reader) = state.reader.take() {
            reader.wake();
        }
        self.plan_completion(receive);
        for poll in polls {
            self.plan_completion(Some(poll));
        }
        if is_watched {
            self.plan_soon(Event::Tell(end));
        }
    }

    fn became_writable(&mut self, end: u64) {
        let Some(state) = self.wires.ends.get_mut(&end) else {
            return;
        };
        let send = state.send;
        if let Some(writer) = state.writer.take() {
            writer.wake();
        }
        self.plan_completion(send);
    }

    /// The operation completes, if it still can.
    pub(super) fn complete(&mut self, number: u64) {
        let Some(operation) = self.wires.operations.get_mut(&number) else {
            return;
        };
        if operation.result.is_some() {
            return;
        }
        operation.is_due = false;
        let outcome = match &mut operation.kind {
            Kind::Receive(end, buffer) => {
                let (end, mut buffer) = (*end, buffer.take().expect("the operation has it"));
                let outcome = self.receive_into(end, &mut buffer);
                self.give_back(number, buffer);
                outcome
            }
            Kind::Send(end, buffer) => {
                let (end, buffer) = (*end, buffer.take().expect("the operation has it"));
                let outcome = self.send_from(end, buffer.window());
                self.give_back(number, buffer);
                outcome
            }
            Kind::Poll(end) => {
                let end = *end;
                self.end(end).is_readable().then_some(Ok(0))
            }
            Kind::Accept(port) => {
                let port = *port;
                self.accept_from(port)
            }
            Kind::Connect(address) => {
                let address = *address;
                Some(self.connect_to(address))
            }
        };
        if let Some(result) = outcome {
            self.finish_operation(number, result);
        }
    }

    fn give_back(&mut self, number: u64, buffer: Buffer) {
        let operation = self.wires.operations.get_mut(&number).expect("in flight");
        match &mut operation.kind {
            Kind::Receive(_, place) | Kind::Send(_, place) => *place = Some(buffer),
            Kind::Poll(_) | Kind::Accept(_) | Kind::Connect(_) => unreachable!("it has no buffer"),
        }
    }

    /// A cancel has reached the operation.
    pub(super) fn cancelled(&mut self, number: u64) {
        let operation = self.wires.operations.get(&number);
        if operation.is_some_and(|operation| operation.result.is_none()) {
            self.finish_operation(number, Err(Errno::CANCELED));
        }
    }

    fn finish_operation(&mut self, number: u64, result: Result<usize, Errno>) {
        let operation = self.wires.operations.get_mut(&number).expect("in flight");
        operation.result = Some(result);
        let (what, who) = match &operation.kind {
            Kind::Receive(end, _) => ("receive", *end),
            Kind::Send(end, _) => ("send", *end),
            Kind::Poll(end) => ("poll", *end),
            Kind::Accept(_) => ("accept", 0),
            Kind::Connect(_) => ("connect", 0),
        };
        if let Some(waker) = operation.waker.take() {
            waker.wake();
        }
        let (is_orphan, is_connection) = (
            operation.is_orphan,
            matches!(operation.kind, Kind::Accept(_) | Kind::Connect(_)),
        );
        match &operation.kind {
            Kind::Receive(end, _) => {
                let end = *end;
                self.end(end).receive = None;
            }
            Kind::Send(end, _) => {
                let end = *end;
                self.end(end).send = None;
            }
            Kind::Poll(end) => {
                let end = *end;
                self.end(end).polls.retain(|poll| *poll != number);
            }
            Kind::Accept(port) => {
                let port = *port;
                if let Some(queue) = self.wires.ports.get_mut(&port) {
                    queue.accept = None;
                }
            }
            Kind::Connect(_) => {}
        }
        let shown = match result {
            Ok(count) => count as i64,
            Err(error) => -i64::from(error.raw_os_error()),
        };
        self.trace(what, who, shown);
        if is_orphan {
            // Nobody will look at it: what it brought is lost, and a connection is closed.
            if let (true, Ok(end)) = (is_connection, result) {
                self.leave(end as u64);
            }
            self.forget(number);
        }
    }

    /// Takes a completed operation away; its descriptor is free again.
    pub(super) fn forget(&mut self, number: u64) -> Option<Operation> {
        let operation = self.wires.operations.remove(&number)?;
        match &operation.kind {
            Kind::Receive(end, _) | Kind::Send(end, _) | Kind::Poll(end) => {
                let end = *end;
                self.end(end).in_flight -= 1;
                self.close_if_left(end);
            }
            Kind::Accept(_) | Kind::Connect(_) => {}
        }
        Some(operation)
    }

    /// Its future was dropped: it goes on until a cancel reaches it, or what comes first.
    pub(super) fn orphan(&mut self, number: u64) {
        let Some(operation) = self.wires.operations.get_mut(&number) else {
            return;
        };
        operation.is_orphan = true;
        operation.waker = None;
        match operation.result {
            Some(result) => {
                let is_connection = matches!(operation.kind, Kind::Accept(_) | Kind::Connect(_));
                if let (true, Ok(end)) = (is_connection, result) {
                    self.leave(end as u64);
                }
                self.forget(number);
            }
            None => self.plan_soon(Event::Cancel(number)),
        }
    }

    fn receive_into(&mut self, end: u64, buffer: &mut Buffer) -> Option<Result<usize, Errno>> {
        let available = self.end(end).inbox.len();
        if available == 0 {
            let state = self.end(end);
            return match (state.rst, state.fin) {
                (true, _) => Some(Err(Errno::CONNRESET)),
                (false, true) => Some(Ok(0)),
                (false, false) => None,
            };
        }
        let count = self.portion(available.min(buffer.receive_room()));
        self.take_from_inbox(end, &mut buffer.spare_mut()[..count]);
        buffer.commit(count);
        Some(Ok(count))
    }

    /// Takes octets that are there.
    pub(super) fn take_from_inbox(&mut self, end: u64, into: &mut [u8]) {
        let state = self.end(end);
        let taken = state.inbox.drain(..into.len());
        for (place, octet) in into.iter_mut().zip(taken) {
            *place = octet;
        }
        let peer = state.peer;
        self.became_writable(peer);
    }

    /// Sends as much as there is room for; `None`: there is none yet.
    pub(super) fn send_from(&mut self, end: u64, octets: &[u8]) -> Option<Result<usize, Errno>> {
        let state = self.end(end);
        if state.rst {
            return Some(Err(Errno::CONNRESET));
        }
        if state.has_finished {
            return Some(Err(Errno::PIPE));
        }
        let peer = state.peer;
        let room = match self.wires.ends.get(&peer) {
            // They are sent to nobody, who says so later.
            None => {
                self.plan_soon(Event::Reset(end));
                return Some(Ok(octets.len()));
            }
            Some(state) if state.is_closed => {
                self.plan_soon(Event::Reset(end));
                return Some(Ok(octets.len()));
            }
            Some(state) => state.inbox_max.saturating_sub(state.inbox.len()),
        };
        if room == 0 {
            return None;
        }
        let count = self.portion(octets.len().min(room));
        self.end(peer).inbox.extend(&octets[..count]);
        self.became_readable(peer);
        Some(Ok(count))
    }

    fn accept_from(&mut self, port: u16) -> Option<Result<usize, Errno>> {
        if self.strikes(self.faults.emfile) {
            return Some(Err(Errno::MFILE));
        }
        let queue = self.wires.ports.get_mut(&port)?;
        queue.waiting.pop_front().map(|end| Ok(end as usize))
    }

    fn connect_to(&mut self, address: SocketAddr) -> Result<usize, Errno> {
        if self.strikes(self.faults.emfile) {
            return Err(Errno::MFILE);
        }
        if self.strikes(self.faults.refuse) {
            let errors = [
                Errno::CONNREFUSED,
                Errno::TIMEDOUT,
                Errno::HOSTUNREACH,
                Errno::CONNRESET,
            ];
            return Err(errors[self.below(4) as usize]);
        }
        if !self.wires.origins.contains_key(&address) {
            return Err(Errno::CONNREFUSED);
        }
        let (ours, theirs) = self.new_pair(address);
        let queue = self.wires.origins.entry(address).or_default();
        queue.waiting.push_back(theirs);
        if let Some(waker) = queue.waker.take() {
            waker.wake();
        }
        Ok(ours as usize)
    }

    /// A client's connection to the worker; `None`: nobody listens.
    pub(super) fn dial_worker(&mut self, port: u16, from: SocketAddr) -> Option<u64> {
        if !self.wires.ports.contains_key(&port) {
            return None;
        }
        let (ours, theirs) = self.new_pair(from);
        let queue = self.wires.ports.get_mut(&port).expect("looked up above");
        queue.waiting.push_back(ours);
        let accept = queue.accept;
        self.plan_completion(accept);
        Some(theirs)
    }

    /// Nothing more will be sent from this end.
    pub(super) fn finish(&mut self, end: u64) {
        let state = self.end(end);
        if std::mem::replace(&mut state.has_finished, true) {
            return;
        }
        let peer = state.peer;
        if let Some(state) = self.wires.ends.get_mut(&peer) {
            state.fin = true;
            self.became_readable(peer);
        }
    }

    /// The connection is gone: this end learns it.
    pub(super) fn reset(&mut self, end: u64) {
        let keeps = self.below(2) == 0;
        let Some(state) = self.wires.ends.get_mut(&end) else {
            return;
        };
        state.rst = true;
        if !keeps {
            state.inbox.clear();
        }
        self.trace("reset", end, i64::from(keeps));
        self.became_readable(end);
        self.became_writable(end);
    }

    /// Nobody holds this end any more.
    pub(super) fn leave(&mut self, end: u64) {
        self.end(end).is_left = true;
        self.close_if_left(end);
    }

    fn close_if_left(&mut self, end: u64) {
        let state = self.end(end);
        if !state.is_left || state.in_flight > 0 || state.is_closed {
            return;
        }
        state.is_closed = true;
        let is_abort = state.aborts || !state.inbox.is_empty();
        let peer = state.peer;
        self.trace("close", end, i64::from(is_abort));
        let is_peer_gone = self.wires.ends.get(&peer).is_none_or(|peer| peer.is_closed);
        if is_peer_gone {
            self.wires.ends.remove(&end);
            self.wires.ends.remove(&peer);
        } else if is_abort {
            self.reset(peer);
        } else {
            self.finish(end);
            self.became_writable(peer);
        }
    }

    /// A gate looks at a connection that waits behind it.
    pub(super) fn tell(&mut self, end: u64) {
        let Some(state) = self.wires.ends.get_mut(&end) else {
            return;
        };
        if !state.is_readable() || state.is_closed {
            return;
        }
        if let Some((gate, token)) = state.watch.take()
            && let Some(state) = self.wires.gates.get_mut(&gate)
        {
            state.ready.push_back((end, token));
            if let Some(waker) = state.waker.take() {
                waker.wake();
            }
            self.trace("gate", end, 0);
        }
    }

    /// Ends of the worker that are open.
    pub(super) fn open_ends(&self) -> Vec<u64> {
        let ends = self.wires.ends.iter();
        let open = ends.filter(|(_, end)| end.is_workers && !end.is_closed);
        open.map(|(end, _)| *end).collect()
    }
}
