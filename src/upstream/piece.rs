//! The size of the next piece of a body.
//!
//! Large pieces cost fewer operations, small ones less memory. A body starts with 16 KiB; two full pieces in a
//! row double the next, up to 512 KiB; a short one means that the sender cannot keep up, and 16 KiB it is again.
//! (Measured with 1 MiB answers: 16 KiB pieces cost 2.7 times the CPU per octet of 512 KiB ones.)

use crate::h1::body::BodyCursor;
use crate::net::Class;
use crate::net::buffer::{MARGIN_BACK, MARGIN_FRONT, affordable};

/// How the pieces of one body have come so far.
#[derive(Clone, Copy, Debug)]
pub struct PieceSize {
    class: Class,
    full_ones: u8,
}

impl PieceSize {
    /// For a body of which nothing has come yet.
    pub fn new() -> PieceSize {
        PieceSize {
            class: Class::Piece,
            full_ones: 0,
        }
    }

    /// The class for the next piece; smaller when what is left of the body is known to fit, or when large pieces have
    /// taken their part of the memory budget.
    pub fn next(&self, cursor: &BodyCursor) -> Class {
        affordable(self.wanted(cursor))
    }

    fn wanted(&self, cursor: &BodyCursor) -> Class {
        let Some(left) = cursor
            .remaining()
            .and_then(|left| usize::try_from(left).ok())
        else {
            return self.class;
        };
        match Class::holding(left.saturating_add(MARGIN_FRONT + MARGIN_BACK)) {
            Some(enough) => enough.min(self.class),
            None => self.class,
        }
    }

    /// A piece has come: `is_full` when it filled its room.
    pub fn learn(&mut self, is_full: bool) {
        if !is_full {
            *self = PieceSize::new();
            return;
        }
        self.full_ones += 1;
        if self.full_ones == 2 {
            *self = PieceSize {
                class: self.class.larger().unwrap_or(self.class),
                full_ones: 0,
            };
        }
    }
}

impl Default for PieceSize {
    fn default() -> Self {
        PieceSize::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::h1::framing::Framing;

    #[test]
    fn grows_after_two_full_ones_and_falls_back_at_once() {
        let (mut size, endless) = (PieceSize::new(), BodyCursor::new(Framing::UntilClose));
        let mut classes = Vec::new();
        for is_full in [true, true, true, true, true, true, true, true, false, true] {
            classes.push(size.wanted(&endless));
            size.learn(is_full);
        }
        use Class::{Giant, Huge, Large, Piece};
        assert_eq!(
            classes,
            [
                Piece, Piece, Large, Large, Huge, Huge, Giant, Giant, Giant, Piece
            ]
        );
    }

    #[test]
    fn a_known_rest_takes_no_more_than_it_needs() {
        let check = |left: u64, class: Class| {
            let cursor = BodyCursor::new(Framing::Length(left));
            assert_eq!(
                PieceSize {
                    class: Class::Huge,
                    full_ones: 0
                }
                .wanted(&cursor),
                class,
                "{left}"
            );
        };
        check(1, Class::Head);
        check(4096 - 24, Class::Head);
        check(4096 - 23, Class::Piece);
        check(1 << 40, Class::Huge);
    }
}
