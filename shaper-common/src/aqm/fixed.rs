//! Fixed-point arithmetic without floating point, 128 bits and signed division, none of which BPF has, and choices
//! without branches.
//!
//! The verifier walks both sides of a branch, and in a loop both sides again in every round. Where a loop is to make
//! several choices a round, masks make them; the black boxes keep the compiler from turning masks into branches.

use core::hint::black_box;

use crate::draw::scale;

/// All ones for a negative value, zero for others.
#[inline(always)]
#[must_use]
pub fn negative(value: i64) -> i64 {
    black_box(black_box(value) >> 63)
}

/// One where `value` is at least `bound`, else zero.
#[inline(always)]
#[must_use]
pub fn reaches(value: i64, bound: i64) -> i64 {
    1 + negative(value.wrapping_sub(bound))
}

/// The lesser of two, whose difference is less than 2^63.
#[inline(always)]
#[must_use]
pub fn lesser(left: i64, right: i64) -> i64 {
    let above = left.wrapping_sub(right);
    right.wrapping_add(above & negative(above))
}

/// The value, or zero for a negative one.
#[inline(always)]
#[must_use]
pub fn positive(value: i64) -> i64 {
    value & !negative(value)
}

/// Newton's steps towards a reciprocal root: the first guess is within 12 %, and each step about squares that.
const NEWTON_STEPS: u32 = 4;

/// `value / sqrt(root)`, to the nearest; a root of zero counts as one.
///
/// The error is below one unit and 1e-9 of the result. Values count up to 2^63, what is more as that.
#[inline(always)]
#[must_use]
pub const fn over_root(value: u64, root: u32) -> u64 {
    let root = if root == 0 { 1 } else { root };
    // root = mantissa / 4^half, the mantissa in [1, 4) as a multiple of 2^-30.
    let zeros = root.leading_zeros() & !1;
    let mantissa = (root as u64) << zeros;
    // A line that stays within 12 % of 1/sqrt(m) on [1, 4): 1.1125 - m/6, as a multiple of 2^-31.
    let mut factor = 2 * (2_389_075_558 - mantissa / 3);
    let mut step = 0;
    while step < NEWTON_STEPS {
        // y (3 - m y^2) / 2: m y lies below 2.3 and m y^2 below 1.3, so that nothing here reaches 2^64.
        let reciprocal = factor >> 1;
        let product = (mantissa * reciprocal) >> 29;
        let square = (product * reciprocal + (1 << 31)) >> 32;
        factor = (reciprocal * ((3 << 31) - square) + (1 << 30)) >> 31;
        step += 1;
    }
    let halvings = (30 - zeros) >> 1;
    // Twice the value leaves a bit to round by, whatever the shift.
    scale(factor, value.saturating_add(value)).saturating_add(1 << halvings) >> halvings >> 1
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `value / sqrt(root)` and how far the result is from it, in units.
    fn distance(value: u64, root: u32) -> (f64, f64) {
        let exact = value as f64 / f64::from(root).sqrt();
        (exact, (over_root(value, root) as f64 - exact).abs())
    }

    #[test]
    fn every_root_up_to_2_16_and_samples_beyond_are_within_their_error() {
        let beyond = (1..=3_000u32).map(|step| 65_536 + step.wrapping_mul(2_654_435_761) % ((1 << 24) - 65_536));
        let powers = (0..32).map(|bit| 1u32 << bit).chain([(1 << 24) - 1, u32::MAX]);
        for root in (1..=65_536).chain(beyond).chain(powers) {
            for value in [0, 1, 1_000_000, 100_000_000, 60_000_000_000, u64::from(u32::MAX) << 20] {
                let (exact, distance) = distance(value, root);
                assert!(distance <= 1.0 + 1e-9 * exact, "{value} / sqrt({root}): off by {distance}");
            }
            // As CoDel uses it, with an interval of 100 ms: 1e-4 up to counts of 2^24.
            let (exact, distance) = distance(100_000_000, root);
            assert!(root > 1 << 24 || distance <= 1e-4 * exact, "100 ms / sqrt({root}): off by {distance}");
        }
    }

    #[test]
    fn squares_have_exact_roots() {
        for root in [1u32, 2, 4, 16, 256, 4_096] {
            assert_eq!(over_root(100_000_000, root * root), (100_000_000 + u64::from(root) / 2) / u64::from(root));
        }
        assert_eq!(over_root(100_000_000, 0), 100_000_000);
    }

    #[test]
    fn choices_are_those_of_branches() {
        for value in [i64::MIN, -2, -1, 0, 1, 2, i64::MAX] {
            assert_eq!(negative(value), if value < 0 { -1 } else { 0 });
            assert_eq!(positive(value), value.max(0));
        }
        for (left, right) in [(-3, 5), (5, -3), (4, 4), (0, 1 << 61), (1 << 61, 0)] {
            assert_eq!((lesser(left, right), reaches(left, right)), (left.min(right), i64::from(left >= right)));
        }
    }

    #[test]
    fn a_factor_of_one_leaves_any_value_and_half_halves_it() {
        for value in [0, 1, 4_294_967_295, 4_294_967_296, u64::MAX] {
            assert_eq!((scale(1 << 32, value), scale(1 << 31, value)), (value, value >> 1));
        }
    }
}
