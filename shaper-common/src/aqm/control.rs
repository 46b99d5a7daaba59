//! The controller of PIE and PI2: at fixed intervals a probability is moved by how far the queueing delay is from its
//! target, and by how much it has grown since the last time (RFC 8033 section 4.2, RFC 9332 appendix A).
//!
//! There is no timer here: updates that fell due since the last packet are made when the next one comes. Nothing came
//! in between, so the queue drained steadily, and the delay that each of them would have seen is known. Up to [`STEPS`]
//! of them are made as the RFCs say. After a longer silence the first [`SINGLE`] are, and each of the other steps
//! stands for several, up to [`WIDEST`], at the delay of the first of them. Those beyond that, 256 in all, are left
//! out: by then PIE and PI2 at their RFCs' settings have come down from any probability to none. In between PIE's
//! probability is within 0.02 of what all updates would have made of it.

use super::fixed::{lesser, positive};
use crate::units::{Nanos, Probability};

/// A probability of one: probabilities here are multiples of 2^-52.
pub const ONE: u64 = 1 << 52;
/// Steps made at one arrival.
pub const STEPS: u64 = 8;
/// How many of them are single updates in any case.
pub const SINGLE: u64 = 4;
/// Updates that one of the others stands for at most.
pub const WIDEST: u64 = 63;

/// Updates made at one arrival at most: 256.
const MOST_UPDATES: i64 = (SINGLE + (STEPS - SINGLE) * WIDEST) as i64;

/// Delays count up to 2.15 s, what is more as that.
pub const LONGEST: i64 = (1 << 31) - 1;
/// So that sums of weighed delays stay below 2^63: 7.45 Hz.
const MOST_ALPHA: i64 = (1 << 25) - 1;
/// 238 Hz.
const MOST_BETA: i64 = (1 << 30) - 1;

/// The threshold that a probability is for a 32-bit draw.
#[inline(always)]
#[must_use]
pub const fn threshold(probability: u64) -> Probability {
    Probability(probability >> 20)
}

/// What the controller is set to.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Gains {
    /// The queueing delay that is aimed at, up to 2.15 s.
    pub target: Nanos,
    /// Time between two updates; zero for none at all.
    pub update: Nanos,
    /// Weight of the distance from the target: probability per nanosecond, as a multiple of 2^-52, see [`per_nano`].
    /// Up to 7.45 Hz, what is more counts as that.
    pub alpha: u32,
    /// Weight of the growth since the last update, in the same units, up to 238 Hz.
    pub beta: u32,
}

/// The weight that is so many thousandths of a hertz (probability per second), to the nearest. 950 Hz at most, of which
/// [`Gains`] count less.
#[must_use]
pub const fn per_nano(millihertz: u32) -> u32 {
    const MOST: u32 = 950_000;
    // 2^52 / 10^12 is 2^40 / 5^12.
    const DIVISOR: u64 = 244_140_625;
    let millihertz = if millihertz > MOST { MOST } else { millihertz };
    (((millihertz as u64) << 40).saturating_add(DIVISOR / 2) / DIVISOR) as u32
}

/// A delay as it is weighed.
#[inline(always)]
#[must_use]
pub fn counted(delay: Nanos) -> i64 {
    // A delay beyond 2^63 ns is none of a queue, and counts as zero.
    lesser(positive(delay.0 as i64), LONGEST)
}

/// The delay of a queue that is empty at `free_at`, at another time, as it is weighed.
#[inline(always)]
#[must_use]
pub fn delay_at(free_at: Nanos, at: Nanos) -> i64 {
    counted(Nanos(free_at.0.wrapping_sub(at.0)))
}

impl Gains {
    /// What `width` updates move a probability by, at a delay that was `old` at the update before. Below 2^63 - 2^60.
    #[inline(always)]
    #[must_use]
    pub fn change(&self, delay: i64, old: i64, width: i64) -> i64 {
        let alpha = lesser(self.alpha as i64, MOST_ALPHA);
        let beta = lesser(self.beta as i64, MOST_BETA);
        // 2^25 * 2^31 * 2^6 + 2^30 * 2^31.
        alpha * (delay - counted(self.target)) * width + beta * (delay - old)
    }
}

/// The updates that fell due until a packet came.
#[derive(Clone, Copy, Debug)]
pub struct Due {
    at: Nanos,
    update: Nanos,
    left: u64,
    /// Steps made so far.
    number: u64,
    /// How many updates a step stands for that is not single.
    width: u64,
}

/// One step: when it is made and how many updates it stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// The time of its first update.
    pub at: Nanos,
    /// How many updates.
    pub width: i64,
    /// The time that they take.
    pub span: Nanos,
}

impl Due {
    /// Takes what is due `now` and sets `next` to the first update after that. The very first packet, of which `next`
    /// is zero, begins the count.
    #[inline(always)]
    #[must_use]
    pub fn take(next: &mut Nanos, update: Nanos, now: Nanos) -> Self {
        let at = *next;
        let none = Self { at, update, left: 0, number: 0, width: 1 };
        if at > now || update == Nanos::ZERO {
            return none;
        }
        if at == Nanos::ZERO {
            *next = now.saturating_add(update);
            return none;
        }
        let passed = (now.0 - at.0).checked_div(update.0).unwrap_or(0);
        *next = Nanos(at.0 + passed * update.0).saturating_add(update);
        // One is due at once, whatever has passed since.
        let left = 1 + lesser(positive(passed as i64), MOST_UPDATES - 1) as u64;
        // One again where no more than eight are due, and no matter where no more than four are.
        let width = (left - 1) / (STEPS - SINGLE);
        Self { at, update, left, number: 0, width }
    }

    /// The next step; after [`STEPS`] at most there is none.
    ///
    /// Not by a function that is given for each: the compiler may call that one, and there is no call under a lock
    /// before Linux 6.7.
    #[inline(always)]
    #[must_use]
    pub fn step(&mut self) -> Option<Step> {
        if self.left == 0 || self.number >= STEPS {
            return None;
        }
        let width = lesser(self.left as i64, if self.number < SINGLE { 1 } else { self.width as i64 });
        // More than one update only where so many have passed: no longer than the clock has counted.
        let span = Nanos((width as u64).wrapping_mul(self.update.0));
        let step = Step { at: self.at, width, span };
        self.left -= width as u64;
        self.at = Nanos(self.at.0.wrapping_add(span.0));
        self.number += 1;
        Some(step)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    #[test]
    fn weights_are_thousandths_of_a_hertz() {
        for millihertz in [1, 125, 150, 1_250, 3_000, 950_000] {
            let exact = f64::from(millihertz) * 2f64.powi(52) / 1e12;
            assert!((f64::from(per_nano(millihertz)) - exact).abs() <= 0.5);
        }
        assert_eq!(per_nano(u32::MAX), per_nano(950_000));
    }

    #[test]
    fn steps_stand_for_each_update_once_and_keep_the_rhythm() {
        let update = Nanos(15);
        for passed in 0..300 {
            let mut next = Nanos(100);
            let mut due = Due::take(&mut next, update, Nanos(100 + 15 * passed + 14));
            assert_eq!(next.0, 100 + 15 * (passed + 1));
            let mut steps = Vec::new();
            steps.extend(core::iter::from_fn(|| due.step()));
            assert!(steps.len() as u64 <= STEPS);
            let mut at = 100;
            for step in &steps {
                let width = step.width as u64;
                assert_eq!((step.at.0, step.span.0), (at, 15 * width));
                assert!((1..=WIDEST).contains(&width) && (passed >= STEPS || width == 1));
                at += 15 * width;
            }
            assert_eq!((at - 100) / 15, (passed + 1).min(256), "{passed} passed");
        }
    }

    #[test]
    fn nothing_is_due_before_the_first_packet_and_without_an_interval() {
        let count = |next: &mut Nanos, update, now| {
            let mut due = Due::take(next, Nanos(update), Nanos(now));
            core::iter::from_fn(|| due.step()).count()
        };
        let mut next = Nanos::ZERO;
        assert_eq!(count(&mut next, 15, 1_000), 0);
        assert_eq!(next, Nanos(1_015));
        assert_eq!((count(&mut next, 15, 1_014), count(&mut next, 0, 9_000), count(&mut next, 15, 1_015)), (0, 0, 1));
    }
}
