//! From a uniform draw to a whole number of a range.

/// `draw * range / 2^32`, rounded down, for any 64-bit range: without a 128-bit product.
#[inline(always)]
#[must_use]
pub const fn scale(draw: u32, range: u64) -> u64 {
    let draw = draw as u64;
    draw * (range >> 32) + ((draw * (range & 0xffff_ffff)) >> 32)
}
