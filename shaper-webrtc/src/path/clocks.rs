//! From a log's CLOCK_MONOTONIC to the wall time of captures.

/// Pairs of the two clocks, as a log has them.
#[derive(Clone, Debug, Default)]
pub(super) struct Clocks {
    /// CLOCK_MONOTONIC, and by how much CLOCK_REALTIME is ahead of it.
    pairs: Vec<(i64, i64)>,
}

impl Clocks {
    pub(super) fn add(&mut self, monotonic_ns: u64, realtime_ns: u64) {
        let (monotonic, realtime) = (signed(monotonic_ns), signed(realtime_ns));
        self.pairs.push((monotonic, realtime.saturating_sub(monotonic)));
    }

    /// Called once all pairs are there. A pair that was read while the reader had to wait is off by as
    /// much as it waited: of each and the two before and behind it the median counts, which keeps what
    /// the clocks do by themselves, steps too.
    pub(super) fn settle(&mut self) {
        self.pairs.sort_unstable();
        let ahead: Vec<i64> = self.pairs.iter().map(|pair| pair.1).collect();
        for (index, pair) in self.pairs.iter_mut().enumerate() {
            // As many on each side, fewer at the ends.
            let side = index.min(ahead.len() - 1 - index).min(2);
            let mut near = ahead.get(index - side..=index + side).unwrap_or_default().to_vec();
            near.sort_unstable();
            pair.1 = near.get(side).copied().unwrap_or(pair.1);
        }
    }

    /// Adds those of a later log on the same host.
    pub(super) fn follow(&mut self, next: Self) {
        self.pairs.extend(next.pairs);
        self.pairs.sort_unstable();
    }

    pub(super) fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }

    /// The wall time of a moment: between two pairs on the line through them, beyond them by the
    /// nearest. Without a pair the moment itself.
    pub(super) fn wall(&self, monotonic_ns: u64) -> i64 {
        let moment = signed(monotonic_ns);
        let after = self.pairs.partition_point(|pair| pair.0 <= moment);
        let before = after.checked_sub(1).and_then(|at| self.pairs.get(at));
        let ahead = match (before, self.pairs.get(after)) {
            (Some(before), Some(after)) => {
                let (length, passed) = (i128::from(after.0) - i128::from(before.0), i128::from(moment - before.0));
                let change = i128::from(after.1) - i128::from(before.1);
                // The moment is between the two, so this is no more than the change.
                let part = change.saturating_mul(passed) / length.max(1);
                before.1.saturating_add(i64::try_from(part).unwrap_or(0))
            }
            (Some(pair), None) | (None, Some(pair)) => pair.1,
            (None, None) => 0,
        };
        moment.saturating_add(ahead)
    }
}

fn signed(time: u64) -> i64 {
    i64::try_from(time).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wall_time_follows_the_pairs() {
        let mut clocks = Clocks::default();
        assert_eq!(clocks.wall(5), 5);
        clocks.add(2_000, 12_010);
        clocks.add(1_000, 11_000);
        clocks.settle();
        assert_eq!(clocks.wall(1_000), 11_000);
        assert_eq!(clocks.wall(1_500), 11_505);
        assert_eq!(clocks.wall(3_000), 13_010);
        assert_eq!(clocks.wall(0), 10_000);
        clocks.add(u64::MAX, 0);
        clocks.settle();
        assert_eq!(clocks.wall(u64::MAX), 0, "the last is believed, whatever it says");
    }

    #[test]
    fn a_pair_that_was_read_late_is_overruled_and_a_step_is_not() {
        let mut clocks = Clocks::default();
        for second in 0..20_u64 {
            let ahead = if second < 10 { 1_000 } else { 2_000 };
            clocks.add(second * 100, second * 100 + ahead + if second == 5 { 77 } else { 0 });
        }
        clocks.settle();
        assert_eq!(clocks.wall(500), 1_500);
        assert_eq!((clocks.wall(900), clocks.wall(1_000)), (1_900, 3_000));
    }
}
