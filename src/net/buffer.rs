//! The buffers of a worker: an arena in a few size classes, last in first out.
//!
//! A block is rented, lent to the kernel by value, and comes back when its owner drops it. Memory is taken
//! from the system in slabs and never unmapped, because a ring that is being torn down may still write into a
//! block whose task is gone; after a burst, the pages of free blocks are given back with MADV_DONTNEED. The
//! free lists are stacks: the block used last is the one whose lines are still in the cache.
//!
//! A [`Buffer`] has a window of octets that mean something; receives append behind it, sends take from its
//! front. It never leaves its thread.

#![allow(unsafe_code)]

use std::cell::RefCell;
use std::pin::Pin;
use std::ptr::NonNull;

use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap_anonymous};

use super::class::{CLASSES, meter_rented, meter_returned};
pub use super::class::{Class, affordable, large_rented, set_large_limit};
#[cfg(feature = "sim")]
use super::sim::{Bug, may_return, poison, strikes};

/// What is asked of the system at once; every class divides it.
const SLAB_BYTES: usize = 1 << 20;

/// Free blocks of each class that keep their pages when [`trim`] runs: the working set of a calm worker.
const KEPT_WARM: [usize; 5] = [64, 16, 4, 1, 0];
const HOUSES_KEPT_WARM: usize = 64;

struct Free {
    blocks: Vec<NonNull<u8>>,
    /// Blocks at the bottom of the stack whose pages have been given back.
    cold: usize,
    /// The fewest free blocks since the last trim: so many were not needed.
    unused: usize,
    rented: usize,
}

struct Arena {
    free: [Free; 5],
    /// Blocks for the state of tasks, never mixed with those for octets: they are not all initialised.
    houses: Free,
}

impl Arena {
    fn trim(&mut self, keep: [usize; 5], keep_houses: usize) -> bool {
        let mut is_more = false;
        for (free, class) in self.free.iter_mut().zip(CLASSES) {
            is_more |= free.trim(class.bytes(), keep[class as usize]);
        }
        is_more | self.houses.trim(HOUSE_BYTES, keep_houses)
    }
}

thread_local! {
    static ARENA: RefCell<Arena> = const {
        RefCell::new(Arena {
            free: [Free::NEW; 5],
            houses: Free::NEW,
        })
    };
}

/// Octets in a block for the state of a task.
pub(super) const HOUSE_BYTES: usize = 4 << 10;

/// A value in a block of its own, where it stays until it is dropped.
pub(super) struct House<T>(NonNull<T>);

impl<T> House<T> {
    /// Has a block room for it?
    pub(super) const FITS: bool = size_of::<T>() <= HOUSE_BYTES && align_of::<T>() <= HOUSE_BYTES;

    /// Moves the value into a block. One that does not fit does not compile.
    pub(super) fn new(value: T) -> House<T> {
        const { assert!(House::<T>::FITS, "larger than a house") };
        let block = ARENA.with_borrow_mut(|arena| arena.houses.rent(HOUSE_BYTES));
        let place = block.cast::<T>();
        // SAFETY: the block is ours alone until it is returned, large enough, and aligned to a page, which is at least
        // the value's alignment: both were just asserted.
        unsafe { place.write(value) };
        House(place)
    }

    /// The value.
    pub(super) fn value(&mut self) -> Pin<&mut T> {
        // SAFETY: written in `new`, dropped only with `self`, and borrowed through `&mut self` alone. It stays where it is
        // until it is dropped, however `self` moves, so it is pinned.
        unsafe { Pin::new_unchecked(self.0.as_mut()) }
    }

    /// Where it is.
    #[cfg(test)]
    pub(super) fn address(&self) -> usize {
        self.0.addr().get()
    }
}

impl<T> Drop for House<T> {
    fn drop(&mut self) {
        // SAFETY: written in `new`; this is its only drop, in place, as a pinned value demands.
        unsafe { self.0.drop_in_place() };
        // As with buffers: late in a thread's life the block is left mapped.
        let _ = ARENA.try_with(|arena| {
            let houses = &mut arena.borrow_mut().houses;
            houses.blocks.push(self.0.cast());
            houses.rented -= 1;
        });
    }
}

impl Free {
    const NEW: Free = Free {
        blocks: Vec::new(),
        cold: 0,
        unused: 0,
        rented: 0,
    };

    fn rent(&mut self, bytes: usize) -> NonNull<u8> {
        if self.blocks.is_empty() {
            self.grow(bytes);
        }
        let block = self.blocks.pop().expect("a slab holds at least one block");
        self.cold = self.cold.min(self.blocks.len());
        self.unused = self.unused.min(self.blocks.len());
        self.rented += 1;
        block
    }

    fn grow(&mut self, bytes: usize) {
        // SAFETY: a private anonymous mapping at an address of the kernel's choosing aliases nothing.
        let slab = unsafe {
            mmap_anonymous(
                std::ptr::null_mut(),
                SLAB_BYTES,
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::PRIVATE,
            )
        };
        let slab = match slab {
            Ok(slab) => slab.cast::<u8>(),
            // As with the global allocator: without memory there is no going on.
            Err(_) => std::alloc::handle_alloc_error(
                std::alloc::Layout::from_size_align(SLAB_BYTES, 4096).expect("a constant layout"),
            ),
        };
        for offset in (0..SLAB_BYTES).step_by(bytes).rev() {
            // SAFETY: `offset` lies inside the mapping just made.
            let block = unsafe { slab.add(offset) };
            self.blocks
                .push(NonNull::new(block).expect("mmap does not return null"));
        }
        // Fresh pages have never been touched: they are as cold as given-back ones.
        self.cold = self.blocks.len();
    }

    fn trim(&mut self, bytes: usize, keep: usize) -> bool {
        let idle = self.unused.min(self.blocks.len()).saturating_sub(keep);
        if idle > self.cold {
            // By address, so that neighbours go in one call.
            let given = &mut self.blocks[self.cold..idle];
            given.sort_unstable();
            for run in given.chunk_by(|one, next| one.addr().get() + bytes == next.addr().get()) {
                let length = run.len() * bytes;
                // SAFETY: the blocks are free: nobody reads them before they are written again. They are
                // page-aligned because every class is a multiple of the page, and side by side in mappings of ours.
                let _ = unsafe { madvise(run[0].as_ptr().cast(), length, Advice::LinuxDontNeed) };
            }
            self.cold = idle;
        }
        self.unused = self.blocks.len();
        self.unused.saturating_sub(keep) > self.cold
    }
}

/// Gives the pages of blocks that nobody needed since the last call back to the system. True: there are more such
/// blocks, which the next call may give back.
pub fn trim() -> bool {
    ARENA.with_borrow_mut(|arena| arena.trim(KEPT_WARM, HOUSES_KEPT_WARM))
}

/// As [`trim`], and keeps none warm for the next.
pub fn trim_all() {
    ARENA.with_borrow_mut(|arena| arena.trim([0; 5], 0));
}

/// Gives back to the system what this thread has freed of the process's heap. The allocator does so by itself only
/// while there is much to do.
pub fn trim_heap() {
    // SAFETY: it takes no pointer and touches only memory that was freed. Where another allocator is the process's
    // (in tests), this one's heap is empty.
    unsafe { libmimalloc_sys::mi_collect(true) };
}

/// Octets in blocks that are rented on this thread: a leak shows here.
pub fn rented_bytes() -> usize {
    ARENA.with_borrow(|arena| {
        arena
            .free
            .iter()
            .zip(CLASSES)
            .map(|(free, class)| free.rented * class.bytes())
            .sum()
    })
}

/// A rented block and the window in it that holds octets: `0 <= start <= end <= capacity`.
pub struct Buffer {
    block: NonNull<u8>,
    start: u32,
    end: u32,
    class: Class,
    /// Octets at the block's end that receives leave free; at most [`MARGIN_BACK`].
    back: u8,
}

/// Octets kept free before a piece of a body: a chunk head is written there in place.
pub const MARGIN_FRONT: usize = 16;
/// Octets kept free behind it: for the CRLF of a chunk and the last chunk (`\r\n0\r\n\r\n`).
pub const MARGIN_BACK: usize = 8;

impl Buffer {
    /// Rents a block; the window is empty and at its front.
    pub fn rent(class: Class) -> Buffer {
        meter_rented(class);
        let block = ARENA.with_borrow_mut(|arena| arena.free[class as usize].rent(class.bytes()));
        Buffer {
            block,
            class,
            start: 0,
            end: 0,
            back: 0,
        }
    }

    /// Rents a block for a piece of a body: what is received into it can be framed as a chunk in place, because
    /// [`MARGIN_FRONT`] octets stay free before it and [`MARGIN_BACK`] behind it.
    pub fn rent_for_content(class: Class) -> Buffer {
        let mut buffer = Buffer::rent(class);
        buffer.set_window(MARGIN_FRONT, MARGIN_FRONT);
        buffer.back = MARGIN_BACK as u8;
        buffer
    }

    /// Rents a block of which receives leave [`MARGIN_BACK`] octets free at the end.
    pub fn rent_for_head(class: Class) -> Buffer {
        let mut buffer = Buffer::rent(class);
        buffer.back = MARGIN_BACK as u8;
        buffer
    }

    /// Octets that a receive may still bring.
    pub fn receive_room(&self) -> usize {
        self.room().saturating_sub(usize::from(self.back))
    }

    /// Octets in the block.
    pub fn capacity(&self) -> usize {
        self.class.bytes()
    }

    /// The class of the block.
    pub fn class(&self) -> Class {
        self.class
    }

    /// Where the window begins.
    pub fn start(&self) -> usize {
        self.start as usize
    }

    /// Where the window ends.
    pub fn end(&self) -> usize {
        self.end as usize
    }

    /// Octets in the window.
    pub fn len(&self) -> usize {
        (self.end - self.start) as usize
    }

    /// Is the window empty?
    pub fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Octets that fit behind the window.
    pub fn room(&self) -> usize {
        self.capacity() - self.end as usize
    }

    /// The octets in the window.
    pub fn window(&self) -> &[u8] {
        &self.block()[self.start as usize..self.end as usize]
    }

    /// The octets in the window, to be changed in place.
    pub fn window_mut(&mut self) -> &mut [u8] {
        let (start, end) = (self.start as usize, self.end as usize);
        &mut self.block_mut()[start..end]
    }

    /// The whole block: what lies outside the window is of no meaning, and some earlier owner may have left it.
    pub fn block(&self) -> &[u8] {
        // SAFETY: the block is ours alone while it is rented, `class.bytes()` long, and was zeroed by the
        // kernel when it was mapped, so every octet is initialised.
        unsafe { std::slice::from_raw_parts(self.block.as_ptr(), self.capacity()) }
    }

    /// The whole block, to be written.
    pub fn block_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `block`; `&mut self` makes it unique.
        unsafe { std::slice::from_raw_parts_mut(self.block.as_ptr(), self.capacity()) }
    }

    /// The room behind the window, to be written and then [committed](Buffer::commit).
    pub fn spare_mut(&mut self) -> &mut [u8] {
        let end = self.end as usize;
        &mut self.block_mut()[end..]
    }

    /// Takes `count` octets behind the window into it. Panics when there is not so much room.
    pub fn commit(&mut self, count: usize) {
        assert!(count <= self.room(), "committed past the block");
        self.end += count as u32;
    }

    /// Drops `count` octets from the front of the window. Panics when it holds fewer.
    pub fn consume(&mut self, count: usize) {
        assert!(count <= self.len(), "consumed past the window");
        self.start += count as u32;
    }

    /// Sets the window. Panics unless `start <= end <= capacity`.
    pub fn set_window(&mut self, start: usize, end: usize) {
        assert!(
            start <= end && end <= self.capacity(),
            "window outside the block"
        );
        (self.start, self.end) = (start as u32, end as u32);
    }

    /// Appends `octets`; false, and nothing done, when they do not fit.
    pub fn append(&mut self, octets: &[u8]) -> bool {
        if octets.len() > self.room() {
            return false;
        }
        self.spare_mut()[..octets.len()].copy_from_slice(octets);
        self.commit(octets.len());
        true
    }

    /// A buffer of another class with the same window contents at its front. Panics when they do not fit.
    pub fn moved_to(self, class: Class) -> Buffer {
        let mut larger = Buffer::rent(class);
        larger.back = self.back;
        let fits = larger.append(self.window());
        assert!(fits, "moved into a smaller block");
        larger
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        #[cfg(feature = "sim")]
        poison(self.block_mut());
        let (block, class) = (self.block, self.class);
        meter_returned(class);
        // When the thread is ending its arena may be gone before a buffer is: then the block is left mapped,
        // which is what "never unmapped" says.
        let _ = ARENA.try_with(|arena| {
            let mut arena = arena.borrow_mut();
            let free = &mut arena.free[class as usize];
            #[cfg(feature = "sim")]
            if !may_return(&free.blocks, &block) {
                return;
            }
            free.blocks.push(block);
            free.rented -= 1;
            #[cfg(feature = "sim")]
            if strikes(Bug::BufferReturnedTwice) {
                may_return(&free.blocks, &block);
            }
        });
    }
}

// SAFETY: the block does not move and stays rented while the operation owns the buffer; the window is
// initialised.
unsafe impl monoio::buf::IoBuf for Buffer {
    fn read_ptr(&self) -> *const u8 {
        self.window().as_ptr()
    }

    fn bytes_init(&self) -> usize {
        self.len()
    }
}

// SAFETY: the room behind the window is ours, initialised, and does not move; a completion of `count` octets
// extends the window by just these.
unsafe impl monoio::buf::IoBufMut for Buffer {
    fn write_ptr(&mut self) -> *mut u8 {
        self.spare_mut().as_mut_ptr()
    }

    fn bytes_total(&mut self) -> usize {
        self.receive_room()
    }

    unsafe fn set_init(&mut self, count: usize) {
        self.commit(count);
    }
}

impl std::fmt::Debug for Buffer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Buffer({:?}, {}..{})", self.class, self.start, self.end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_found_by_size() {
        assert_eq!(Class::holding(0), Some(Class::Head));
        assert_eq!(Class::holding(4096), Some(Class::Head));
        assert_eq!(Class::holding(4097), Some(Class::Piece));
        assert_eq!(Class::holding(512 << 10), Some(Class::Giant));
        assert_eq!(Class::holding((512 << 10) + 1), None);
        assert_eq!(Class::Giant.larger(), None);
        assert_eq!(Class::Head.smaller(), None);
        assert_eq!(Class::Huge.larger(), Some(Class::Giant));
    }

    #[test]
    fn the_block_given_back_last_is_rented_first() {
        let first = Buffer::rent(Class::Head);
        let second = Buffer::rent(Class::Head);
        let address = first.block.as_ptr();
        drop(second);
        drop(first);
        assert_eq!(Buffer::rent(Class::Head).block.as_ptr(), address);
    }

    #[test]
    fn what_is_rented_is_counted() {
        let base = rented_bytes();
        let one = Buffer::rent(Class::Large);
        assert_eq!(rented_bytes(), base + (64 << 10));
        drop(one);
        assert_eq!(rented_bytes(), base);
    }

    #[test]
    fn large_blocks_are_metered_and_small_ones_take_their_place() {
        // The meter is the process's: other tests may rent while this one looks.
        let held = Buffer::rent(Class::Giant);
        assert!(large_rented() >= Class::Giant.bytes());
        set_large_limit(1);
        assert_eq!(affordable(Class::Giant), Class::Large);
        assert_eq!(affordable(Class::Huge), Class::Large);
        assert_eq!(affordable(Class::Piece), Class::Piece);
        set_large_limit(usize::MAX);
        assert_eq!(affordable(Class::Giant), Class::Giant);
        drop(held);
    }

    #[test]
    fn a_window_moves_as_octets_come_and_go() {
        let mut buffer = Buffer::rent(Class::Head);
        assert!(buffer.append(b"hello world"));
        buffer.consume(6);
        assert_eq!(buffer.window(), b"world");
        let moved = buffer.moved_to(Class::Piece);
        assert_eq!((moved.window(), moved.start()), (&b"world"[..], 0));
    }

    #[test]
    fn an_append_that_does_not_fit_changes_nothing() {
        let mut buffer = Buffer::rent(Class::Head);
        buffer.set_window(4090, 4096);
        assert!(!buffer.append(b"x"));
        assert_eq!(buffer.len(), 6);
    }

    #[test]
    fn trimmed_blocks_read_as_zero_and_work_again() {
        let mut burst: Vec<Buffer> = (0..8).map(|_| Buffer::rent(Class::Giant)).collect();
        for buffer in &mut burst {
            buffer.block_mut().fill(7);
        }
        drop(burst);
        trim(); // learns that none is needed
        trim(); // gives them back
        let again: Vec<Buffer> = (0..8).map(|_| Buffer::rent(Class::Giant)).collect();
        assert!(again.iter().any(|buffer| buffer.block()[0] == 0));
    }
}
