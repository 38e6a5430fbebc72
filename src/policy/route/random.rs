//! Numbers for the tests of this folder: without a pattern, and the same on every machine.

/// SplitMix64.
pub(super) struct Random(pub(super) u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    /// `0..bound`; evenly enough for a test.
    pub(super) fn below(&mut self, bound: u32) -> u32 {
        // Lossless: the remainder is below a u32.
        (self.next() % u64::from(bound)) as u32
    }

    /// One of `values`, which are not empty.
    pub(super) fn one_of<T: Copy>(&mut self, values: &[T]) -> T {
        // Lossless: `next` is taken modulo a length.
        values[(self.next() % values.len() as u64) as usize]
    }
}
