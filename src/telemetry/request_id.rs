//! Request ids: one name for one exchange, in the access log and on the error page.
//!
//! An id is a number drawn once when the process starts, the worker, and that worker's count. So a worker needs
//! neither a system call nor a shared counter for the next one. Ids are unique, not secret: who has one can guess
//! its neighbours, and nothing may be granted for knowing one.

use std::cell::Cell;
use std::fmt;

/// Octets of the text form.
pub const TEXT_BYTES: usize = 22;

/// Crockford's base 32 in lower case: no `i`, `l`, `o`, `u`, so that an id survives being read out over a telephone.
/// The digits ascend as their octets do, hence texts of one boot and worker sort as they were handed out.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// Bits of `boot` that reach the text. Among 10 000 starts two share them with a chance of one in a million.
const BOOT_BITS: u32 = 46;
/// Bits of `serial` that reach the text: nine years at a million exchanges a second.
const SERIAL_BITS: u32 = 48;

const _: () = assert!(BOOT_BITS + u16::BITS + SERIAL_BITS == 5 * TEXT_BYTES as u32);

/// The name of one exchange.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct RequestId {
    /// Random, drawn once by the process.
    pub boot: u64,
    /// The worker that accepted the connection.
    pub worker: u16,
    /// That worker's count of exchanges since the start.
    pub serial: u64,
}

impl RequestId {
    /// The text form: 46 bits of `boot`, then `worker`, then 48 bits of `serial`, five bits a digit, the highest
    /// first. Lower-case letters and digits only; nothing is allocated.
    pub fn text(self) -> [u8; TEXT_BYTES] {
        let boot = u128::from(self.boot & ((1 << BOOT_BITS) - 1));
        let serial = u128::from(self.serial & ((1 << SERIAL_BITS) - 1));
        let mut rest = (((boot << u16::BITS) | u128::from(self.worker)) << SERIAL_BITS) | serial;
        let mut text = [0; TEXT_BYTES];
        for digit in text.iter_mut().rev() {
            // Five bits: the index is below 32.
            *digit = ALPHABET[(rest & 31) as usize];
            rest >>= 5;
        }
        text
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(str::from_utf8(&self.text()).expect("the alphabet is ASCII"))
    }
}

/// Hands out one worker's ids. It belongs to that worker alone.
#[derive(Debug)]
pub struct RequestIdSource {
    boot: u64,
    worker: u16,
    serial: Cell<u64>,
}

impl RequestIdSource {
    /// `boot` is the same for all workers of a process and random at each start.
    pub fn new(boot: u64, worker: u16) -> RequestIdSource {
        RequestIdSource {
            boot,
            worker,
            serial: Cell::new(0),
        }
    }

    /// The next id, never the same twice.
    pub fn next_id(&self) -> RequestId {
        let serial = self.serial.get();
        self.serial.set(serial.wrapping_add(1));
        RequestId {
            boot: self.boot,
            worker: self.worker,
            serial,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(boot: u64, worker: u16, serial: u64, expected: &str) {
        let id = RequestId {
            boot,
            worker,
            serial,
        };
        assert_eq!(str::from_utf8(&id.text()), Ok(expected));
        assert_eq!(id.to_string(), expected);
    }

    #[test]
    fn text_form() {
        check(0, 0, 0, "0000000000000000000000");
        check(0, 0, 1, "0000000000000000000001");
        check(0, 0, 31, "000000000000000000000z");
        check(0, 0, 32, "0000000000000000000010");
        check(0, 1, 0, "0000000000008000000000");
        check(1, 0, 0, "000000000g000000000000");
        check(u64::MAX, u16::MAX, u64::MAX, "zzzzzzzzzzzzzzzzzzzzzz");
    }

    #[test]
    fn no_id_is_handed_out_twice_and_their_texts_ascend() {
        let source = RequestIdSource::new(7, 3);
        let mut last = source.next_id();
        for _ in 0..1000 {
            let id = source.next_id();
            assert_ne!(id, last);
            assert!(id.text() > last.text());
            last = id;
        }
    }

    #[test]
    fn workers_and_boots_never_share_a_text() {
        let texts: std::collections::HashSet<_> = (0..4)
            .flat_map(|boot| (0..4).map(move |worker| RequestIdSource::new(boot, worker)))
            .flat_map(|source| [source.next_id().text(), source.next_id().text()])
            .collect();
        assert_eq!(texts.len(), 32);
    }
}
