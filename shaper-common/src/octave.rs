//! Where a number falls in a table of octaves: 32 linear segments to each power of two.
//!
//! A table over octaves keeps the same relative precision from its first entry to its last, which is what the tails
//! of a distribution need. Entry `32 k + i` belongs to the number `2^k (1 + i/32)`.

/// Bits of a weight: 2^26 is one whole segment.
pub const WEIGHT_BITS: u32 = 26;

/// A segment of the table, and how far into it the number lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The power of two that the number reaches, at most 31.
    pub octave: u32,
    /// The entry at or below the number; the next one is above it.
    pub segment: usize,
    /// The distance from that entry in units of 2^-26 segments.
    pub weight: u64,
}

/// The place of `x`, which must not be zero.
#[inline(always)]
#[must_use]
pub fn place(x: u32) -> Place {
    let octave = 31 - (x | 1).leading_zeros();
    let fraction = (x << (31 - octave)) & 0x7fff_ffff;
    // The compiler knows that this is below 1024 and would leave out the bounds checks of those who read their table
    // there, which the verifier, who does not know, insists on.
    let segment = core::hint::black_box((octave << 5) | (fraction >> WEIGHT_BITS)) as usize;
    Place { octave, segment, weight: (fraction & ((1 << WEIGHT_BITS) - 1)) as u64 }
}

/// The tail that a uniform draw stands for, in units of 2^-33: the lower 31 bits choose the centre of one of 2^31
/// equal slices, so that it is odd. The highest bit says which tail, see [`is_lower`].
#[inline(always)]
#[must_use]
pub const fn tail(draw: u32) -> u32 {
    (draw << 1) | 1
}

/// Whether a draw stands for the lower tail.
#[inline(always)]
#[must_use]
pub const fn is_lower(draw: u32) -> bool {
    draw >> 31 == 1
}
