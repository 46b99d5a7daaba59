//! Timelines: settings that change at set times, for packets that arrive from then on.

use core::hint::black_box;

use crate::units::Nanos;

/// How many changes a channel's timeline holds; a power of two, of which the last place stays empty.
pub const CHANGES: usize = 4096;
/// The most changes.
pub const MOST_CHANGES: usize = CHANGES - 1;

/// When the settings of a channel change, since the link's start.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeline {
    /// The time after which it begins anew; zero where the last settings stay.
    pub repeat: Nanos,
    /// The times of the changes, in their order, padded by a time that never comes.
    pub at: [Nanos; CHANGES],
}

impl Timeline {
    /// The value of unused places. Times are below 2^63.
    pub const NEVER: Nanos = Nanos(i64::MAX as u64);
    /// Settings that never change.
    pub const EMPTY: Self = Self { repeat: Nanos::ZERO, at: [Self::NEVER; CHANGES] };

    /// How many changes have come to pass.
    #[inline(always)]
    #[must_use]
    pub fn passed(&self, since_start: Nanos) -> u32 {
        let now = since_start.0.checked_rem(self.repeat.0).unwrap_or(since_start.0);
        // By halving steps without a branch, as in the look-up of outages.
        let mut passed = 0;
        let mut step = CHANGES / 2;
        while step > 0 {
            let Some(at) = self.at.get(black_box(passed + step - 1)) else {
                return 0;
            };
            passed += step * black_box((at.0.wrapping_sub(now.wrapping_add(1)) >> 63) as usize);
            step /= 2;
        }
        passed as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn passed_changes_are_those_whose_time_has_come(
            gaps in prop::collection::vec(1..1_000u64, 0..=MOST_CHANGES),
            now in 0..3_000_000u64,
            repeat in prop_oneof![Just(0), 1..2_000_000u64],
        ) {
            let mut timeline = std::boxed::Box::new(Timeline { repeat: Nanos(repeat), ..Timeline::EMPTY });
            let mut time = 0;
            for (at, gap) in timeline.at.iter_mut().zip(&gaps) {
                time += gap;
                *at = Nanos(time);
            }
            let within = if repeat == 0 { now } else { now % repeat };
            let scanned = timeline.at.iter().filter(|at| at.0 <= within).count();
            prop_assert_eq!(timeline.passed(Nanos(now)) as usize, scanned);
        }
    }
}
