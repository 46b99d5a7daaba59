//! A part of a number: what a uniform draw, or any fraction of 2^32, stands for.

/// `factor * value / 2^32`, rounded down, for a factor up to 2^32 (which is one) and any value: without a 128-bit product.
#[inline(always)]
#[must_use]
pub const fn scale(factor: u64, value: u64) -> u64 {
    factor * (value >> 32) + ((factor * (value & 0xffff_ffff)) >> 32)
}
