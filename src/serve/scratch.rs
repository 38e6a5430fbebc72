//! What a connection needs only while it is hot, and rents from its worker: parser, slot, deadlines, scratch space.
//!
//! A connection between two requests has none of it. What is rented has been used before, so an exchange on a
//! connection that was hot once allocates nothing.

use std::cell::{Cell, RefCell};
use std::ops::{Deref, DerefMut};
use std::rc::Rc;

use crate::h1::request::RequestParser;
use crate::net::Deadline;
use crate::upstream::Slot;

/// Sets kept for the next connection; more are freed.
const KEPT_MAX: usize = 256;

/// See the module.
pub struct Scratch {
    /// Reads request heads.
    pub parser: RequestParser,
    /// Lent to upstream connections.
    pub slot: Rc<Slot>,
    /// A path in its one form, where that is not the form it was sent in.
    pub path: Vec<u8>,
    /// For what is awaited from the client.
    pub request_deadline: Deadline,
    /// For what is awaited from the upstream, and for the client's taking it.
    pub reply_deadline: Deadline,
}

impl Scratch {
    fn new() -> Scratch {
        Scratch {
            parser: RequestParser::new(),
            slot: Rc::new(Slot::new()),
            path: Vec::new(),
            request_deadline: Deadline::new(),
            reply_deadline: Deadline::new(),
        }
    }
}

/// A worker's sets that nobody uses now.
#[derive(Default)]
pub struct ScratchPool {
    free: RefCell<Vec<Scratch>>,
    rented: Cell<usize>,
}

/// A rented set; goes back when dropped.
pub struct Rented<'a> {
    pool: &'a ScratchPool,
    scratch: Option<Scratch>,
}

impl ScratchPool {
    /// Rents a set.
    pub fn rent(&self) -> Rented<'_> {
        let scratch = self.free.borrow_mut().pop().unwrap_or_else(Scratch::new);
        self.rented.set(self.rented.get() + 1);
        Rented {
            pool: self,
            scratch: Some(scratch),
        }
    }
}

impl ScratchPool {
    /// Sets in use: so many connections are hot.
    pub fn rented(&self) -> usize {
        self.rented.get()
    }

    /// Keeps none: after a burst their deadlines stand anywhere in the wheel, and would keep it as large as it was.
    pub fn clear(&self) {
        self.free.take();
    }
}

impl Deref for Rented<'_> {
    type Target = Scratch;

    fn deref(&self) -> &Scratch {
        self.scratch.as_ref().expect("there until dropped")
    }
}

impl DerefMut for Rented<'_> {
    fn deref_mut(&mut self) -> &mut Scratch {
        self.scratch.as_mut().expect("there until dropped")
    }
}

impl Drop for Rented<'_> {
    fn drop(&mut self) {
        let Some(mut scratch) = self.scratch.take() else {
            return;
        };
        self.pool.rented.set(self.pool.rented.get() - 1);
        let mut free = self.pool.free.borrow_mut();
        if free.len() >= KEPT_MAX {
            return;
        }
        scratch.parser.reset();
        scratch.request_deadline.clear();
        scratch.reply_deadline.clear();
        // A connection that was given up may still hold the slot: then it stays with that one.
        match Rc::get_mut(&mut scratch.slot) {
            Some(slot) => slot.forget_exchange(),
            None => scratch.slot = Rc::new(Slot::new()),
        }
        free.push(scratch);
    }
}
