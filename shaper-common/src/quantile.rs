//! Delays by a table of quantiles, for any distribution: made by userspace, read by inversion.
//!
//! Each side of the median has the octaves and segments of [`crate::normal`], so that both tails keep their relative
//! precision out to 2^-33. Near the median a segment holds 1/128 of all packets, which is exact enough where the
//! distribution is smooth there. Where it is not, a [`Knot`] breaks the segment in two: where the cut at zero begins,
//! at the points of a table that someone wrote, and, as two knots in one place, at a leap from one mode to another.

use core::hint::black_box;

use crate::octave::{self, Place, WEIGHT_BITS};
use crate::units::Nanos;

/// Entries of a side: 32 octaves of 32 segments, and the median.
pub const SIDE: usize = 1025;
/// Places for knots, a power of two. The last one stays empty.
pub const KNOTS: usize = 64;
/// Knots lie in octaves from this one on. Segments further out hold less than 2^-26 of all packets.
pub const FIRST_KNOT_OCTAVE: u32 = 12;

/// A point of the quantile function within a segment.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Knot {
    /// Where: the tail in units of 2^-33, an even number, and 2^32 more for the lower side. Draws are odd numbers of
    /// the same scale, so none falls on a knot.
    pub at: u64,
    /// The delay there, in nanoseconds.
    pub value: u64,
}

impl Knot {
    /// The value of unused places: behind all draws.
    pub const NONE: Self = Self { at: u64::MAX, value: 0 };

    /// What distinguishes the lower side's places from the upper side's.
    pub const LOWER: u64 = 1 << 32;
}

/// The quantile function of a delay in nanoseconds.
///
/// Entry `32 k + i` of a side is the quantile whose tail, from below for `lower` and from above for `upper`, holds
/// `2^k (1 + i/32) / 2^33`. `lower` rises to the median and `upper` falls to it.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quantiles {
    /// The lower half.
    pub lower: [u64; SIDE],
    /// The upper half.
    pub upper: [u64; SIDE],
    /// Points within segments in rising order of their places, padded by [`Knot::NONE`].
    pub knots: [Knot; KNOTS],
    /// How many knots there are, at most [`KNOTS`] - 1.
    pub knot_count: u64,
}

impl Quantiles {
    /// The distribution that is always `value`.
    #[must_use]
    pub const fn constant(value: Nanos) -> Self {
        Self { lower: [value.0; SIDE], upper: [value.0; SIDE], knots: [Knot::NONE; KNOTS], knot_count: 0 }
    }

    /// The delay of a uniform 32-bit draw, by inversion. As for [`crate::normal::deviate`] a draw with its highest
    /// bit set is below the median, and the smallest draws are the furthest out.
    #[inline(always)]
    #[must_use]
    pub fn delay(&self, draw: u32) -> Nanos {
        let tail = octave::tail(draw);
        let Place { octave, segment, weight } = octave::place(tail);
        let side = if octave::is_lower(draw) { &self.lower } else { &self.upper };
        let (from, to) = match (side.get(segment), side.get(segment + 1)) {
            (Some(from), Some(to)) if segment < SIDE - 1 => (*from, *to),
            _ => (0, 0),
        };
        if self.knot_count == 0 || octave < FIRST_KNOT_OCTAVE {
            return Nanos(between(from, to, weight));
        }
        let length = 1u64 << (octave - 5);
        let at = tail as u64 | ((octave::is_lower(draw) as u64) << 32);
        let start = at & !(length - 1);
        let passed = self.passed(at);
        let mut left = Knot { at: start, value: from };
        let mut right = Knot { at: start + length, value: to };
        if let Some(knot) = self.knots.get(black_box(passed.wrapping_sub(1)))
            && knot.at >= left.at
        {
            left = *knot;
        }
        if let Some(knot) = self.knots.get(black_box(passed))
            && knot.at < right.at
        {
            right = *knot;
        }
        // A segment is no longer than 2^26.
        let weight = ((at - left.at) << WEIGHT_BITS).checked_div(right.at - left.at).unwrap_or(0);
        Nanos(between(left.value, right.value, weight))
    }

    /// How many knots lie before a draw's place.
    #[inline(always)]
    fn passed(&self, at: u64) -> usize {
        // By halving steps without a branch, as in `outage`: the verifier would walk through both sides of each one.
        let mut passed = 0;
        let mut step = KNOTS / 2;
        while step > 0 {
            let Some(knot) = self.knots.get(black_box(passed + step - 1)) else { return 0 };
            // A place is below 2^33; the highest place there is, that of no knot, must not wrap around.
            let before = black_box((knot.at & (u64::MAX >> 1)).wrapping_sub(at));
            passed += step * (before >> 63) as usize;
            step /= 2;
        }
        passed
    }
}

/// The value so many 2^-26 of the way from one to another, rounded to the nearest, for any two values and a weight
/// below 2^26.
#[inline(always)]
fn between(from: u64, to: u64, weight: u64) -> u64 {
    if to >= from { from + part(to - from, weight) } else { from - part(from - to, weight) }
}

/// `span * weight / 2^26` in two halves, since the product has up to 90 bits.
#[inline(always)]
fn part(span: u64, weight: u64) -> u64 {
    let low = span & ((1 << WEIGHT_BITS) - 1);
    (span >> WEIGHT_BITS) * weight + ((low * weight + (1 << (WEIGHT_BITS - 1))) >> WEIGHT_BITS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn interpolation_is_the_exact_product_rounded(from: u64, to: u64, weight in 0u64..1 << 26) {
            let exact = (i128::from(from) << 26) + (i128::from(to) - i128::from(from)) * i128::from(weight);
            let got = i128::from(between(from, to, weight)) << 26;
            prop_assert!((got - exact).abs() <= 1 << 25);
        }

        #[test]
        fn the_search_finds_as_many_knots_as_a_scan(
            mut places in prop::collection::vec(0u64..1 << 33, 0..KNOTS),
            at in 0u64..1 << 33,
        ) {
            places.sort_unstable();
            let mut quantiles = std::boxed::Box::new(Quantiles::constant(Nanos(1)));
            for (knot, at) in quantiles.knots.iter_mut().zip(&places) {
                *knot = Knot { at: *at, value: 1 };
            }
            prop_assert_eq!(quantiles.passed(at), places.iter().filter(|place| **place < at).count());
        }
    }
}
