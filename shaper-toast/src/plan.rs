//! What a run must be like before it is started: spacing of commands and least duration.

use crate::score::SYNC_TOLERANCE;
use crate::units::Nanos;

/// Commands a peer must have been meant to get before a grade is given.
pub const COMMANDS_FOR_A_GRADE: u64 = 100;

/// The least spacing of commands at which no command overtakes its predecessor by design: twice
/// the largest one-way delay, and the length of a burst.
#[must_use]
pub fn minimum_spacing(largest_one_way_delay: Nanos, burst_length: Nanos) -> Nanos {
    largest_one_way_delay.times(2) + burst_length
}

/// How late a command may leave and the one before it still be judged.
const SCHEDULER_HICCUP: Nanos = Nanos::from_millis(10);

/// How long after a command a peer's state may still differ before it is a sync failure: the
/// largest one-way delay, the length of a burst, and [`SYNC_TOLERANCE`].
#[must_use]
pub fn sync_allowance(largest_one_way_delay: Nanos, burst_length: Nanos) -> Nanos {
    largest_one_way_delay + burst_length + SYNC_TOLERANCE
}

/// The least spacing at which every command can be judged for sync: its allowance, and a margin of
/// 10 ms for the scheduler, pass before the next; never less than [`minimum_spacing`].
#[must_use]
pub fn spacing_for_sync(largest_one_way_delay: Nanos, burst_length: Nanos) -> Nanos {
    let judged = sync_allowance(largest_one_way_delay, burst_length) + SCHEDULER_HICCUP;
    judged.max(minimum_spacing(largest_one_way_delay, burst_length))
}

/// How many commands at `spacing` a run of `duration` sends: one at 0, spacing, 2 spacing, …,
/// before the end. None at spacing 0.
#[must_use]
pub fn commands_in(duration: Nanos, spacing: Nanos) -> u64 {
    match spacing.0 {
        0 => 0,
        spacing => duration.0.div_ceil(spacing),
    }
}

/// The least duration that sends `commands` at `spacing`.
#[must_use]
pub fn minimum_duration(commands: u64, spacing: Nanos) -> Nanos {
    match commands {
        0 => Nanos::ZERO,
        n => spacing.times(n - 1) + Nanos(1),
    }
}

/// The least duration that can be graded.
#[must_use]
pub fn minimum_duration_for_a_grade(spacing: Nanos) -> Nanos {
    minimum_duration(COMMANDS_FOR_A_GRADE, spacing)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn spacing_is_twice_the_delay_and_the_burst() {
        // wifi: 15 ms base and 30 ms of jitter.
        assert_eq!(minimum_spacing(Nanos::from_millis(45), Nanos::from_millis(1)), Nanos::from_millis(91));
    }

    #[test]
    fn spacing_for_sync_outlasts_the_allowance() {
        let (burst, ms) = (Nanos::from_millis(1), Nanos::from_millis);
        assert_eq!(spacing_for_sync(ms(45), burst), ms(45 + 1 + 100 + 10));
        assert_eq!(spacing_for_sync(Nanos::ZERO, burst), ms(111));
        // On a long link twice the delay is more.
        assert_eq!(spacing_for_sync(ms(300), burst), minimum_spacing(ms(300), burst));
    }

    proptest! {
        #![proptest_config(crate::testing::fixed())]

        #[test]
        fn minimum_duration_is_the_least_that_suffices(
            commands in 1u64..10_000, spacing in 1u64..10_000_000_000,
        ) {
            let least = minimum_duration(commands, Nanos(spacing));
            prop_assert_eq!(commands_in(least, Nanos(spacing)), commands);
            prop_assert_eq!(commands_in(least - Nanos(1), Nanos(spacing)), commands - 1);
        }
    }
}
