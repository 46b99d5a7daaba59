//! CLOCK_MONOTONIC mapped to wall time, from bracketed readings repeated during a run.

use thiserror::Error;

/// One bracketed reading: monotonic time, wall time, monotonic time again, at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockSample {
    /// CLOCK_MONOTONIC before, nanoseconds.
    pub before: u64,
    /// CLOCK_REALTIME, nanoseconds since the epoch.
    pub realtime: i64,
    /// CLOCK_MONOTONIC after, nanoseconds.
    pub after: u64,
}

impl ClockSample {
    fn monotonic(&self) -> u64 {
        self.before.midpoint(self.after)
    }

    /// Wall time less monotonic time.
    fn offset(&self) -> i128 {
        i128::from(self.realtime) - i128::from(self.monotonic())
    }

    /// Where within the bracket the wall clock was read is unknown.
    fn uncertainty(&self) -> u64 {
        (self.after - self.before).div_ceil(2)
    }
}

/// Samples that make no map.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ClockMapError {
    /// There are none.
    #[error("no clock sample: take at least one at the start and one at the end of the run")]
    Empty,
    /// A bracket that ends before it begins.
    #[error("clock sample {0} ends before it begins: its readings are in the wrong order")]
    Bracket(usize),
    /// Brackets that are not one behind the other.
    #[error("clock sample {0} does not lie behind the one before it: pass them in the order taken")]
    Order(usize),
}

/// Piecewise linear between the samples; outside of them the nearest offset holds.
#[derive(Clone, Debug)]
pub struct ClockMap {
    samples: Vec<ClockSample>,
}

impl ClockMap {
    /// Takes samples in the order they were taken.
    ///
    /// # Errors
    /// [`ClockMapError`] if there are none, or their readings are not in order.
    pub fn new(samples: Vec<ClockSample>) -> Result<Self, ClockMapError> {
        if samples.is_empty() {
            return Err(ClockMapError::Empty);
        }
        for (at, sample) in samples.iter().enumerate() {
            if sample.after < sample.before {
                return Err(ClockMapError::Bracket(at));
            }
            let previous = at.checked_sub(1).and_then(|before| samples.get(before));
            if previous.is_some_and(|previous| sample.monotonic() <= previous.monotonic()) {
                return Err(ClockMapError::Order(at));
            }
        }
        Ok(Self { samples })
    }

    /// The samples around a time: the last one not behind it, and the first one behind it.
    fn around(&self, monotonic: u64) -> (Option<&ClockSample>, Option<&ClockSample>) {
        let at = self.samples.partition_point(|sample| sample.monotonic() <= monotonic);
        (at.checked_sub(1).and_then(|before| self.samples.get(before)), self.samples.get(at))
    }

    /// Nanoseconds since the epoch of a CLOCK_MONOTONIC time.
    #[must_use]
    pub fn to_epoch(&self, monotonic: u64) -> i64 {
        let offset = match self.around(monotonic) {
            (Some(before), Some(after)) => {
                let span = i128::from(after.monotonic() - before.monotonic());
                let passed = i128::from(monotonic - before.monotonic());
                before.offset() + (after.offset() - before.offset()) * passed / span
            }
            (Some(only), None) | (None, Some(only)) => only.offset(),
            (None, None) => 0,
        };
        let time = i128::from(monotonic) + offset;
        i64::try_from(time).unwrap_or(if time < 0 { i64::MIN } else { i64::MAX })
    }

    /// Nanoseconds by which [`to_epoch`](Self::to_epoch) may be off at that time: half a bracket,
    /// and what the offset changed between the samples around it, for it may have changed at once
    /// (the wall clock was set) as well as bit by bit.
    #[must_use]
    pub fn uncertainty(&self, monotonic: u64) -> u64 {
        match self.around(monotonic) {
            (Some(before), Some(after)) => {
                let moved = (after.offset() - before.offset()).unsigned_abs();
                before.uncertainty().max(after.uncertainty()).saturating_add(u64::try_from(moved).unwrap_or(u64::MAX))
            }
            (Some(only), None) | (None, Some(only)) => only.uncertainty(),
            (None, None) => u64::MAX,
        }
    }

    /// The largest uncertainty anywhere between the first and the last sample.
    #[must_use]
    pub fn worst_uncertainty(&self) -> u64 {
        self.samples.iter().map(|sample| self.uncertainty(sample.monotonic())).max().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sample(before: u64, realtime: i64, after: u64) -> ClockSample {
        ClockSample { before, realtime, after }
    }

    #[test]
    fn times_between_samples_are_interpolated() {
        let map = ClockMap::new(vec![sample(1_000, 501_010, 1_020), sample(2_000, 502_110, 2_020)]).unwrap();
        assert_eq!(map.to_epoch(1_010), 501_010);
        assert_eq!(map.to_epoch(1_510), 501_560);
        assert_eq!(map.to_epoch(2_010), 502_110);
        // Outside: the nearest offset.
        assert_eq!(map.to_epoch(10), 500_010);
        assert_eq!(map.to_epoch(3_010), 503_110);
        assert_eq!(map.uncertainty(1_500), 10 + 100);
        assert_eq!(map.uncertainty(3_000), 10);
        assert_eq!(map.worst_uncertainty(), 110);
    }

    #[test]
    fn samples_out_of_order_are_refused() {
        assert_eq!(ClockMap::new(vec![]).unwrap_err(), ClockMapError::Empty);
        let error = ClockMap::new(vec![sample(5, 0, 4)]).unwrap_err();
        assert_eq!(error, ClockMapError::Bracket(0));
        let error = ClockMap::new(vec![sample(5, 0, 6), sample(5, 0, 6)]).unwrap_err();
        assert_eq!(error, ClockMapError::Order(1));
    }

    proptest! {
        #[test]
        fn a_steady_clock_is_mapped_within_its_stated_uncertainty(
            starts in prop::collection::btree_set(0_u64..1_000_000, 1..20),
            widths in prop::collection::vec(0_u64..40, 20),
            inside in prop::collection::vec(0.0_f64..=1.0, 20),
            at in 0_u64..1_000_000,
        ) {
            // Brackets that do not overlap; the wall clock is read anywhere within them.
            let samples: Vec<_> = starts
                .into_iter()
                .zip(widths.iter().zip(&inside))
                .map(|(start, (&width, &inside))| {
                    let start = start * 100;
                    let read = start + (width as f64 * inside) as u64;
                    sample(start, read as i64 + 7_000_000, start + width)
                })
                .collect();
            let map = ClockMap::new(samples).unwrap();
            let at = at * 100;
            let error = map.to_epoch(at).abs_diff(at as i64 + 7_000_000);
            prop_assert!(error <= map.uncertainty(at), "{} > {}", error, map.uncertainty(at));
        }

        #[test]
        fn no_time_panics(before: u64, width in 0_u64..1_000, realtime: i64, at: u64) {
            let after = before.saturating_add(width);
            let map = ClockMap::new(vec![sample(before, realtime, after)]).unwrap();
            let _ = (map.to_epoch(at), map.uncertainty(at));
        }
    }
}
