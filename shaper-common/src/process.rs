//! Jitter that is correlated in time: an Ornstein-Uhlenbeck process behind the draws.
//!
//! The process is normal, and its correlation over a time `t` is `exp(-t/tau)` with the time constant `tau`, whenever
//! packets come. Its normal value is turned back into a uniform draw (a Gaussian copula), so that any distribution of
//! delays can be drawn with it and comes out unbent: correlation costs nothing of the marginal. The delays' own
//! correlation follows from that of the process; for uniform ones it is `(6/pi) asin(exp(-t/tau) / 2)`.
//!
//! The step is exact for any gap: `z' = rho z + sqrt(1 - rho^2) e` with `rho = exp(-t/tau)` (Uhlenbeck and Ornstein,
//! "On the theory of the Brownian motion", Phys. Rev. 36, 1930; Gillespie, Phys. Rev. E 54, 1996, for the step).

use core::hint::black_box;

use crate::normal;
use crate::normal_table::UPPER_QUANTILES;
use crate::octave::{self, Place, WEIGHT_BITS};
use crate::process_table::{ADD, KEEP};
use crate::units::Nanos;

/// The fixed point of a process's value: 2^28 is one sigma.
pub const SIGMA_SHIFT: u32 = 28;
/// The longest time constant: an hour.
pub const LONGEST_TIME_CONSTANT: Nanos = Nanos(3_600_000_000_000);

/// The fixed point of time over time constant, as [`per_nano`] has it.
const PER_NANO_SHIFT: u32 = 58;
/// The fixed point of time over time constant, as tables are read by it: 16 time constants are 2^32.
const TIME_SHIFT: u32 = 28;
/// The octave of the tables' first entry: a gap of 2^-14 time constants.
const FIRST_OCTAVE: u32 = TIME_SHIFT - 14;
/// Half of what is rounded away between the two fixed points of time.
const HALF: u64 = 1 << (PER_NANO_SHIFT - TIME_SHIFT - 1);
/// The longest gap that the tables know, just short of 16 time constants.
const LONGEST: u64 = (1 << (PER_NANO_SHIFT + 4)) - HALF - 1;
/// What of a value counts: nothing further out than eight sigma ever comes.
const FURTHEST: u64 = 8 << SIGMA_SHIFT;
/// Bits by which a value is finer than the table of deviates.
const FINER: u32 = SIGMA_SHIFT - normal::ONE_SIGMA_SHIFT;

/// The process of one direction. All zero is one that has not begun.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Process {
    /// The value in units of 2^-28 sigma.
    pub z: i64,
    /// When it took that value, CLOCK_MONOTONIC; zero before the first packet. A first packet at zero is taken to come
    /// a nanosecond later.
    pub at: Nanos,
}

/// The reciprocal of a time constant in units of 2^-58 per nanosecond, which [`advance`] takes; `None` for no time and
/// for more than [`LONGEST_TIME_CONSTANT`]. Rounding moves the time constant by less than 1e-5 of itself.
#[must_use]
pub const fn per_nano(time_constant: Nanos) -> Option<u64> {
    let nanos = time_constant.0;
    if nanos == 0 || nanos > LONGEST_TIME_CONSTANT.0 {
        return None;
    }
    Some(((1 << PER_NANO_SHIFT) + nanos / 2) / nanos)
}

/// Brings the process up to `now` and gives the uniform draw that its value stands for, with the meaning that
/// [`normal::deviate`] gives to draws. `draw` is a fresh one, independent of all others.
///
/// The first packet takes a value from the stationary distribution. A packet that comes no later than the last update
/// gets the same draw again, and so does one within 2^-14 time constants of it: that time is not lost, the next
/// update covers it. From 16 time constants on (a correlation of 1e-7) the new value is independent of the old one.
#[inline(always)]
#[must_use]
pub fn advance(process: &mut Process, per_nano: u64, now: Nanos, draw: u32) -> u32 {
    if let Some(step) = step(process, per_nano, now) {
        let fresh = normal::deviate(draw);
        let fresh = signed(step.add * fresh.magnitude as u64, fresh.negative);
        let kept = signed(step.keep * process.z.unsigned_abs().min(FURTHEST), process.z < 0);
        // Units of 2^-60 sigma and of 2^-56, both brought to 2^-58 so that their sum fits, then rounded to the nearest
        // unit of 2^-28: always rounding down would pull the mean along.
        let sum = (kept >> 2) + (fresh << 2);
        process.z = (sum + (1 << 29)) >> 30;
        process.at = now.later_of(Nanos(1));
    }
    uniform(process.z)
}

/// Weights of the old value and the new deviate, in units of 2^-32.
struct Step {
    keep: u64,
    add: u64,
}

/// The step that is due; `None` where too little time has passed.
#[inline(always)]
fn step(process: &Process, per_nano: u64, now: Nanos) -> Option<Step> {
    let independent = Some(Step { keep: 0, add: 1 << 32 });
    if process.at == Nanos::ZERO {
        return independent;
    }
    let gap = now.saturating_sub(process.at).0;
    if gap > LONGEST.checked_div(per_nano).unwrap_or(u64::MAX) {
        return independent;
    }
    let time = ((gap * per_nano + HALF) >> (PER_NANO_SHIFT - TIME_SHIFT)) as u32;
    if time < 1 << FIRST_OCTAVE {
        return None;
    }
    let Place { segment, weight, .. } = octave::place(time);
    let segment = black_box(segment - 32 * FIRST_OCTAVE as usize);
    // The verifier of 6.1 does not see that what is one more than a place within bounds is within bounds too.
    let next = black_box(segment + 1);
    let (Some(keep), Some(less), Some(add), Some(more)) =
        (KEEP.get(segment), KEEP.get(next), ADD.get(segment), ADD.get(next))
    else {
        return independent;
    };
    let (keep, less, add, more) = (*keep as u64, *less as u64, *add as u64, *more as u64);
    // With the gap the first falls and the second rises.
    Some(Step { keep: keep - part(keep - less, weight), add: add + part(more - add, weight) })
}

/// The draw whose deviate is nearest to `z`.
#[inline(always)]
fn uniform(z: i64) -> u32 {
    let magnitude = z.unsigned_abs();
    // How many entries after the first lie above the magnitude: by halving steps without a branch, as in `outage`.
    let mut segment = 0;
    let mut step = 512;
    while step > 0 {
        let Some(quantile) = UPPER_QUANTILES.get(black_box(segment + step)) else { return 0 };
        let above = black_box(magnitude.wrapping_sub((*quantile as u64) << FINER));
        segment += step * (above >> 63) as usize;
        step /= 2;
    }
    let (Some(upper), Some(lower)) =
        (UPPER_QUANTILES.get(black_box(segment)), UPPER_QUANTILES.get(black_box(segment + 1)))
    else {
        return 0;
    };
    let (upper, lower) = ((*upper as u64) << FINER, (*lower as u64) << FINER);
    // Further out than the table: its first entry.
    let from_upper = upper.saturating_sub(magnitude) << WEIGHT_BITS;
    let weight = from_upper.checked_div(upper - lower).unwrap_or(0);
    // The tail in units of 2^-33 is `2^octave (32 + i + weight) / 32`; a draw covers two of those.
    let (octave, i) = ((segment >> 5) as u32, (segment & 31) as u64);
    let tail = ((((32 + i) << WEIGHT_BITS) + weight) << octave) >> (WEIGHT_BITS + 5);
    let draw = (tail >> 1).min((1 << 31) - 1) as u32;
    draw | (((z < 0) as u32) << 31)
}

/// `span * weight / 2^26`, rounded to the nearest, for a span of 32 bits.
#[inline(always)]
fn part(span: u64, weight: u64) -> u64 {
    (span * weight + (1 << (WEIGHT_BITS - 1))) >> WEIGHT_BITS
}

/// The number with this magnitude, below 2^63, and sign.
#[inline(always)]
fn signed(magnitude: u64, negative: bool) -> i64 {
    let sign = (negative as u64).wrapping_neg();
    (magnitude ^ sign).wrapping_sub(sign) as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_hold_what_a_step_keeps_and_adds() {
        assert_eq!(KEEP.len(), ADD.len());
        for (entry, (keep, add)) in KEEP.iter().zip(&ADD).enumerate() {
            let t = 2f64.powi((entry / 32) as i32 - 14) * (1.0 + (entry % 32) as f64 / 32.0);
            let exact_keep = (-t).exp() * 2f64.powi(32);
            let exact_add = (-(-2.0 * t).exp_m1()).sqrt() * 2f64.powi(32);
            assert!((f64::from(*keep) - exact_keep).abs() < 0.51, "entry {entry}: keep {keep}, exactly {exact_keep}");
            let held = exact_add.min(f64::from(u32::MAX));
            assert!((f64::from(*add) - held).abs() < 0.51, "entry {entry}: add {add}, exactly {exact_add}");
        }
    }

    #[test]
    fn a_deviate_turned_back_gives_its_draw() {
        for step in 0..400_000u32 {
            let draw = step.wrapping_mul(10_737) ^ step;
            let deviate = normal::deviate(draw);
            let z = signed((deviate.magnitude as u64) << FINER, deviate.negative);
            let back = uniform(z);
            // One unit of a deviate near the median is as wide as 100 draws; a deviate of zero has no sign.
            assert!(back.abs_diff(draw) <= 104 || deviate.magnitude == 0, "{draw:x} became {back:x}");
        }
        for (draw, least) in [(0, 0), (1 << 31, 1 << 31)] {
            let deviate = normal::deviate(draw);
            assert_eq!(uniform(signed((deviate.magnitude as u64) << FINER, deviate.negative)), least);
        }
    }

    #[test]
    fn values_that_no_table_holds_are_the_furthest_draws() {
        for z in [i64::MAX, 9 << SIGMA_SHIFT, 7 << SIGMA_SHIFT] {
            assert_eq!((uniform(z), uniform(-z)), (0, 1 << 31));
        }
        assert_eq!(uniform(i64::MIN), 1 << 31);
        assert_eq!(uniform(0), (1 << 31) - 1);
        // A unit of 2^-28 sigma is as wide as seven draws.
        assert!(uniform(1).abs_diff(uniform(0)) <= 7 && uniform(-1) >= u32::MAX - 7);
    }
}
