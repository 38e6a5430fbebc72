//! The next octet of a class, many octets at a time. The only `unsafe` on the pure floors.
//!
//! Three questions are all a head parser asks of long runs: where does this name end, where does this
//! target end, where is the next octet that is no plain text. On x86_64 each is answered for 16 or 64 octets at
//! once with SSE2, which every such machine has, so nothing is detected at run time. AVX2 was measured: a whole
//! build for it, with nothing to detect either, parses heads of real clients 3 % faster, whose names are short
//! and whose lines are not long; a function called through a run-time check would lose that again. Elsewhere the
//! twins in `plain` stand in; on x86_64 they are compiled for tests, which hold the two equal.
//!
//! Invariant: nothing outside the given slice is read. `block_at` alone says where a block lies; the instructions
//! get it as a reference to an array.
#![allow(unsafe_code)]

use crate::http::chars;

#[cfg(not(target_arch = "x86_64"))]
use plain as machine;
#[cfg(target_arch = "x86_64")]
use sse2 as machine;

/// The index of the first octet at or after `from` that is no `tchar`; `bytes.len()` if there is none.
///
/// `from` is at most `bytes.len()`.
#[inline]
pub fn token_end(bytes: &[u8], from: usize) -> usize {
    let mut at = from;
    while let Some((block, behind)) = block_at::<16>(bytes, at) {
        let common = machine::common_name_octets(block) >> behind;
        if common == ALL_16 {
            at += 16;
            continue;
        }
        at += common.trailing_ones() as usize;
        match bytes.get(at) {
            Some(octet) if chars::is_token(*octet) => at += 1, // one of the rarer ones, such as "_"
            Some(_) | None => return at,
        }
    }
    first_not(bytes, at, chars::is_token)
}

/// The index of the `:` that ends a field name beginning at `from`; `None` when the name is empty, or something
/// else ends it, or the end of `bytes` does.
///
/// `from` is at most `bytes.len()`.
#[inline]
pub fn colon_behind_token(bytes: &[u8], from: usize) -> Option<usize> {
    let mut at = from;
    while let Some((block, behind)) = block_at::<16>(bytes, at) {
        let common = machine::common_name_octets(block) >> behind;
        if common == ALL_16 {
            at += 16;
            continue;
        }
        at += common.trailing_ones() as usize;
        match bytes.get(at)? {
            b':' => return (at > from).then_some(at),
            octet if chars::is_token(*octet) => at += 1, // one of the rarer ones, such as "_"
            _ => return None,
        }
    }
    let colon = first_not(bytes, at, chars::is_token);
    (colon > from && bytes.get(colon) == Some(&b':')).then_some(colon)
}

/// The index of the first octet at or after `from` that no request target may hold; `bytes.len()` if
/// there is none.
///
/// `from` is at most `bytes.len()`.
#[inline]
pub fn target_end(bytes: &[u8], from: usize) -> usize {
    let mut at = from;
    while let Some((block, behind)) = block_at::<16>(bytes, at) {
        let good = machine::target_octets(block) >> behind;
        if good != ALL_16 {
            return at + good.trailing_ones() as usize;
        }
        at += 16;
    }
    first_not(bytes, at, chars::is_target)
}

/// An answer about 16 octets that all belong to the class.
const ALL_16: u32 = 0xffff;

/// Walks the octets of a buffer that are neither SP nor VCHAR: controls, and from 0x80 on.
///
/// Line ends are such octets, so that one pass over a block of 64 finds all its lines, and everything that must not
/// stand in them; what else is found, HTAB and obs-text, is rare. Where the next line begins then follows from
/// two cleared bits and not from what was found out about this line: the processor works on several lines at
/// a time.
pub struct Unusual<'a> {
    bytes: &'a [u8],
    /// Where the block begins that `marks` is about.
    base: usize,
    /// Bit *n*: `bytes[base + n]` is such an octet and has not been passed.
    marks: u64,
}

impl<'a> Unusual<'a> {
    /// For the octets from `from` on; `from` is at most `bytes.len()`.
    #[inline]
    pub fn new(bytes: &'a [u8], from: usize) -> Unusual<'a> {
        Unusual {
            bytes,
            base: from,
            marks: marks_at(bytes, from),
        }
    }

    /// The index of the next one; `bytes.len()` if there is none any more.
    #[inline]
    pub fn take_next(&mut self) -> usize {
        while self.marks == 0 {
            if self.bytes.len() - self.base <= 64 {
                return self.bytes.len();
            }
            self.base += 64;
            self.marks = marks_at(self.bytes, self.base);
        }
        let at = self.base + self.marks.trailing_zeros() as usize;
        self.marks &= self.marks - 1;
        at
    }
}

#[inline]
fn marks_at(bytes: &[u8], base: usize) -> u64 {
    match bytes[base..].first_chunk() {
        Some(block) => machine::unusual_octets(block),
        None => marks_of_rest(bytes, base),
    }
}

/// Fewer than 64 octets are left: looks at the last 64 of the buffer, or at a padded copy.
#[inline(never)]
fn marks_of_rest(bytes: &[u8], base: usize) -> u64 {
    match block_at(bytes, base) {
        Some((block, behind)) => machine::unusual_octets(block)
            .checked_shr(behind)
            .unwrap_or(0),
        None => {
            let rest = &bytes[base..];
            let mut block = [b' '; 64];
            block[..rest.len()].copy_from_slice(rest);
            machine::unusual_octets(&block)
        }
    }
}

/// The block at `at`, or the last one of the buffer where fewer octets are left; and how many of its octets stand
/// before `at`. An answer about it, shifted by that many bits, is one about the octets from `at` on, with
/// zeros for those that are not there. None when the buffer is shorter than a block.
///
/// `at` is at most `bytes.len()`.
#[inline]
fn block_at<const N: usize>(bytes: &[u8], at: usize) -> Option<(&[u8; N], u32)> {
    debug_assert!(at <= bytes.len());
    let last = bytes.len().checked_sub(N)?;
    let start = at.min(last);
    // SAFETY: `start + N <= last + N`, which is the length of `bytes`.
    let block = unsafe { &*bytes.as_ptr().add(start).cast::<[u8; N]>() };
    // Lossless: at most `N`.
    Some((block, (at - start) as u32))
}

#[inline]
fn first_not(bytes: &[u8], from: usize, is_member: impl Fn(u8) -> bool) -> usize {
    let mut at = from;
    while at < bytes.len() && is_member(bytes[at]) {
        at += 1;
    }
    at
}

/// The block questions with SSE2. Bit *n* of an answer is about octet *n*.
#[cfg(target_arch = "x86_64")]
mod sse2 {
    use std::arch::x86_64::{
        __m128i, _mm_add_epi8, _mm_andnot_si128, _mm_cmpeq_epi8, _mm_cmpgt_epi8, _mm_loadu_si128,
        _mm_movemask_epi8, _mm_or_si128, _mm_set1_epi8,
    };

    /// `ALPHA / DIGIT / "-" / "."`: what nearly every field name is made of.
    #[inline]
    pub(super) fn common_name_octets(block: &[u8; 16]) -> u32 {
        // SAFETY: SSE2 is part of x86_64.
        unsafe { bits(common_name(load(block))) }
    }

    #[inline]
    pub(super) fn target_octets(block: &[u8; 16]) -> u32 {
        // SAFETY: SSE2 is part of x86_64.
        unsafe { bits(target(load(block))) }
    }

    #[inline]
    pub(super) fn unusual_octets(block: &[u8; 64]) -> u64 {
        let (parts, _) = block.as_chunks::<16>();
        let marks_of = |part: &[u8; 16]| {
            // SAFETY: SSE2 is part of x86_64.
            u64::from(unsafe { bits(usual(load(part))) })
        };
        !(marks_of(&parts[0])
            | marks_of(&parts[1]) << 16
            | marks_of(&parts[2]) << 32
            | marks_of(&parts[3]) << 48)
    }

    #[inline]
    #[target_feature(enable = "sse2")]
    fn common_name(octets: __m128i) -> __m128i {
        let alpha = within::<b'a', b'z'>(_mm_or_si128(octets, splat(0x20)));
        // "-" to "9" holds "." and "/" besides.
        let digit_or_mark = within::<b'-', b'9'>(octets);
        let slash = _mm_cmpeq_epi8(octets, splat(b'/'));
        _mm_or_si128(alpha, _mm_andnot_si128(slash, digit_or_mark))
    }

    #[inline]
    #[target_feature(enable = "sse2")]
    fn target(octets: __m128i) -> __m128i {
        // As signed numbers the octets from 0x80 are below SP too.
        let above_space = _mm_cmpgt_epi8(octets, splat(b' '));
        let del = _mm_cmpeq_epi8(octets, splat(0x7f));
        let hash = _mm_cmpeq_epi8(octets, splat(b'#'));
        _mm_andnot_si128(_mm_or_si128(del, hash), above_space)
    }

    #[inline]
    #[target_feature(enable = "sse2")]
    fn usual(octets: __m128i) -> __m128i {
        // One more, as signed numbers, DEL is the least of all, and only SP and VCHAR are above SP.
        _mm_cmpgt_epi8(_mm_add_epi8(octets, splat(1)), splat(b' '))
    }

    /// 0xff where `LOW..=HIGH` holds the octet. SSE2 compares signed numbers only, so the range is moved to
    /// where they begin.
    #[inline]
    #[target_feature(enable = "sse2")]
    fn within<const LOW: u8, const HIGH: u8>(octets: __m128i) -> __m128i {
        let moved = _mm_add_epi8(octets, splat(0x80u8.wrapping_sub(LOW)));
        _mm_cmpgt_epi8(splat(0x80u8.wrapping_add(HIGH - LOW + 1)), moved)
    }

    #[inline]
    #[target_feature(enable = "sse2")]
    fn splat(octet: u8) -> __m128i {
        _mm_set1_epi8(octet.cast_signed())
    }

    /// The top bit of each octet.
    #[inline]
    #[target_feature(enable = "sse2")]
    fn bits(octets: __m128i) -> u32 {
        _mm_movemask_epi8(octets).cast_unsigned()
    }

    #[inline]
    #[target_feature(enable = "sse2")]
    fn load(block: &[u8; 16]) -> __m128i {
        // SAFETY: the reference vouches for 16 readable octets; `loadu` asks for no alignment.
        unsafe { _mm_loadu_si128(block.as_ptr().cast()) }
    }
}

/// The block questions an octet at a time: the meaning of those above, and their stand-in on machines
/// without SSE2.
#[cfg(any(test, not(target_arch = "x86_64")))]
mod plain {
    use crate::http::chars;

    pub(super) fn common_name_octets(block: &[u8; 16]) -> u32 {
        let marks = marks(block, |octet| {
            octet.is_ascii_alphanumeric() || octet == b'-' || octet == b'.'
        });
        marks as u32 // 16 octets, 16 bits
    }

    pub(super) fn target_octets(block: &[u8; 16]) -> u32 {
        marks(block, chars::is_target) as u32 // 16 octets, 16 bits
    }

    pub(super) fn unusual_octets(block: &[u8; 64]) -> u64 {
        marks(block, |octet| !matches!(octet, b' '..=b'~'))
    }

    fn marks(block: &[u8], is_member: impl Fn(u8) -> bool) -> u64 {
        block.iter().enumerate().fold(0, |marks, (index, octet)| {
            marks | u64::from(is_member(*octet)) << index
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every octet value at every place of a block, alone among octets of the class and among others.
    #[track_caller]
    fn check_twins<const N: usize, B: PartialEq + std::fmt::Debug>(
        clever: impl Fn(&[u8; N]) -> B,
        naive: impl Fn(&[u8; N]) -> B,
    ) {
        for filler in [b'a', b' ', 0, 0x80] {
            for place in 0..N {
                for octet in 0..=u8::MAX {
                    let mut block = [filler; N];
                    block[place] = octet;
                    assert_eq!(
                        clever(&block),
                        naive(&block),
                        "octet {octet:#04x} at {place}"
                    );
                }
            }
        }
    }

    #[test]
    fn machine_and_plain_answers_are_equal() {
        check_twins(machine::common_name_octets, plain::common_name_octets);
        check_twins(machine::target_octets, plain::target_octets);
        check_twins(machine::unusual_octets, plain::unusual_octets);
    }

    /// A few hundred octets of every kind, the same on every run (xorshift).
    fn noise(seed: u64, length: usize, alphabet: &[u8]) -> Vec<u8> {
        let mut state = seed | 1;
        let draw = move || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            alphabet[(state % alphabet.len() as u64) as usize]
        };
        std::iter::repeat_with(draw).take(length).collect()
    }

    #[test]
    fn scans_equal_an_octet_by_octet_walk() {
        let rich: Vec<u8> = (0..=u8::MAX).collect();
        let poor = b"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaZ09-._\r: #\x7f\xff";
        for seed in 1..40 {
            for alphabet in [rich.as_slice(), poor] {
                for length in (0..40).chain([62, 63, 64, 65, 80, 127, 128, 129, 200]) {
                    let bytes = noise(seed * 7919 + length as u64, length, alphabet);
                    for from in 0..=length {
                        assert_eq!(
                            token_end(&bytes, from),
                            first_not(&bytes, from, chars::is_token)
                        );
                        assert_eq!(
                            target_end(&bytes, from),
                            first_not(&bytes, from, chars::is_target)
                        );
                        let stop = first_not(&bytes, from, chars::is_token);
                        let is_name = stop > from && bytes.get(stop) == Some(&b':');
                        let colon = colon_behind_token(&bytes, from);
                        assert_eq!(colon, is_name.then_some(stop));
                        let mut unusual = Unusual::new(&bytes, from);
                        let naive = (from..length).filter(|at| !matches!(bytes[*at], b' '..=b'~'));
                        assert!(
                            naive
                                .chain([length, length])
                                .all(|at| unusual.take_next() == at)
                        );
                    }
                }
            }
        }
    }
}
