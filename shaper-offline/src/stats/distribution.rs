//! A distribution of integers: exact while it is small, in bounded memory when it is not.

use serde::Serialize;

/// Bits of a bucket's mantissa once values are no longer kept: a relative width of 2^-10.
const MANTISSA: u32 = 10;

/// Samples of one quantity (nanoseconds, for times).
///
/// Up to its capacity every sample is kept and every quantile is exact. Beyond it the samples
/// go into logarithmic buckets 2^-10 wide, and quantiles are off by at most 0.05 %; count,
/// minimum, maximum and mean stay exact.
#[derive(Clone, Debug)]
pub struct Distribution {
    store: Store,
    count: u64,
    sum: i128,
    min: i64,
    max: i64,
}

#[derive(Clone, Debug)]
enum Store {
    Exact { samples: Vec<i64>, capacity: usize },
    Buckets { negative: Vec<u64>, positive: Vec<u64> },
}

/// Figures of a distribution, all in its own unit (`null` in JSON where there is no sample).
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Summary {
    /// Samples.
    pub count: u64,
    /// Smallest.
    pub min: i64,
    /// Median.
    pub p50: i64,
    /// 90th percentile.
    pub p90: i64,
    /// 99th percentile.
    pub p99: i64,
    /// 99.9th percentile.
    pub p999: i64,
    /// Largest.
    pub max: i64,
    /// Arithmetic mean.
    pub mean: f64,
    /// Whether the quantiles are exact; otherwise they are within 0.05 %.
    pub exact: bool,
}

/// Figures over everything sent: a lost packet counts as infinitely late (RFC 7679 section 5),
/// and an infinite figure is `None`, `null` in JSON.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct SummaryWithLost {
    /// Samples, lost packets included.
    pub count: u64,
    /// Smallest.
    pub min: Option<i64>,
    /// Median.
    pub p50: Option<i64>,
    /// 90th percentile.
    pub p90: Option<i64>,
    /// 99th percentile.
    pub p99: Option<i64>,
    /// 99.9th percentile.
    pub p999: Option<i64>,
    /// Largest: infinite as soon as one packet is lost.
    pub max: Option<i64>,
}

/// Permille of the quantiles reported.
const QUANTILES: [u32; 4] = [500, 900, 990, 999];

/// The rank, from 1, of a quantile given in permille: the smallest k with k/n >= p
/// (nearest rank, Hyndman and Fan's definition 1); 0 for an empty sample.
#[must_use]
pub fn nearest_rank(count: u64, permille: u32) -> u64 {
    let rank = (u128::from(count) * u128::from(permille)).div_ceil(1000);
    u64::try_from(rank).unwrap_or(u64::MAX).max(1).min(count)
}

impl Distribution {
    /// Keeps at most `capacity` samples before it turns to buckets.
    #[must_use]
    pub fn with_capacity(capacity: usize) -> Self {
        Self { store: Store::Exact { samples: Vec::new(), capacity }, count: 0, sum: 0, min: i64::MAX, max: i64::MIN }
    }

    /// Adds one sample.
    #[inline]
    pub fn push(&mut self, value: i64) {
        self.count += 1;
        self.sum += i128::from(value);
        self.min = self.min.min(value);
        self.max = self.max.max(value);
        match &mut self.store {
            Store::Exact { samples, capacity } if samples.len() < *capacity => samples.push(value),
            Store::Exact { .. } => {
                self.spill();
                self.bucket(value);
            }
            Store::Buckets { .. } => self.bucket(value),
        }
    }

    #[cold]
    fn spill(&mut self) {
        let buckets = Store::Buckets { negative: Vec::new(), positive: Vec::new() };
        if let Store::Exact { samples, .. } = std::mem::replace(&mut self.store, buckets) {
            for value in samples {
                self.bucket(value);
            }
        }
    }

    fn bucket(&mut self, value: i64) {
        if let Store::Buckets { negative, positive } = &mut self.store {
            let side = if value < 0 { negative } else { positive };
            let index = bucket_of(value.unsigned_abs());
            if side.len() <= index {
                side.resize(index + 1, 0);
            }
            if let Some(slot) = side.get_mut(index) {
                *slot += 1;
            }
        }
    }

    /// Number of samples.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Smallest sample.
    #[must_use]
    pub fn min(&self) -> Option<i64> {
        (self.count > 0).then_some(self.min)
    }

    /// Largest sample.
    #[must_use]
    pub fn max(&self) -> Option<i64> {
        (self.count > 0).then_some(self.max)
    }

    /// Arithmetic mean.
    #[must_use]
    pub fn mean(&self) -> Option<f64> {
        (self.count > 0).then(|| self.sum as f64 / self.count as f64)
    }

    /// Whether every sample is still kept.
    #[must_use]
    pub fn is_exact(&self) -> bool {
        matches!(self.store, Store::Exact { .. })
    }

    /// Values at ascending ranks (from 1); a rank beyond the sample gives `None`.
    pub fn at_ranks<const N: usize>(&mut self, ranks: [u64; N]) -> [Option<i64>; N] {
        let mut values = [None; N];
        let (min, max, count) = (self.min, self.max, self.count);
        match &mut self.store {
            Store::Exact { samples, .. } => {
                // Each selection leaves everything larger to its right.
                let mut from = 0;
                for (value, rank) in values.iter_mut().zip(ranks) {
                    let Some(position) = rank.checked_sub(1).filter(|_| rank <= count) else {
                        continue;
                    };
                    let position = position as usize;
                    if let Some(rest) = samples.get_mut(from..)
                        && position >= from
                        && position - from < rest.len()
                    {
                        *value = Some(*rest.select_nth_unstable(position - from).1);
                        from = position;
                    }
                }
            }
            Store::Buckets { negative, positive } => {
                let descending = negative.iter().enumerate().rev().map(|(i, n)| (middle(i, true), *n));
                let ascending = positive.iter().enumerate().map(|(i, n)| (middle(i, false), *n));
                let mut seen = 0;
                let mut next = 0;
                for (value, held) in descending.chain(ascending) {
                    seen += held;
                    while let (Some(&rank), Some(slot)) = (ranks.get(next), values.get_mut(next)) {
                        if rank > seen {
                            break;
                        }
                        *slot = (rank > 0).then(|| value.clamp(min, max));
                        next += 1;
                    }
                }
            }
        }
        values
    }

    /// The usual figures; `None` without samples.
    pub fn summary(&mut self) -> Option<Summary> {
        let (min, max, mean) = (self.min()?, self.max()?, self.mean()?);
        let [p50, p90, p99, p999] = self.at_ranks(QUANTILES.map(|q| nearest_rank(self.count, q)));
        Some(Summary {
            count: self.count,
            min,
            p50: p50?,
            p90: p90?,
            p99: p99?,
            p999: p999?,
            max,
            mean,
            exact: self.is_exact(),
        })
    }

    /// The figures over samples and `lost` packets, which are infinite; `None` if there is
    /// neither.
    pub fn summary_with_lost(&mut self, lost: u64) -> Option<SummaryWithLost> {
        let all = self.count + lost;
        if all == 0 {
            return None;
        }
        let [p50, p90, p99, p999] = self.at_ranks(QUANTILES.map(|q| nearest_rank(all, q)));
        let max = if lost == 0 { self.max() } else { None };
        Some(SummaryWithLost { count: all, min: self.min(), p50, p90, p99, p999, max })
    }
}

impl Summary {
    /// The same figures moved by a constant.
    #[must_use]
    pub fn shifted(self, by: i64) -> Self {
        let shift = |value: i64| value.saturating_add(by);
        Self {
            min: shift(self.min),
            p50: shift(self.p50),
            p90: shift(self.p90),
            p99: shift(self.p99),
            p999: shift(self.p999),
            max: shift(self.max),
            mean: self.mean + by as f64,
            ..self
        }
    }
}

impl SummaryWithLost {
    /// The same figures moved by a constant; what is infinite stays so.
    #[must_use]
    pub fn shifted(self, by: i64) -> Self {
        let shift = |value: Option<i64>| value.map(|value| value.saturating_add(by));
        Self {
            min: shift(self.min),
            p50: shift(self.p50),
            p90: shift(self.p90),
            p99: shift(self.p99),
            p999: shift(self.p999),
            max: shift(self.max),
            ..self
        }
    }
}

/// Bucket of a magnitude: exact below 2^10, then 2^10 buckets an octave.
fn bucket_of(magnitude: u64) -> usize {
    let exponent = magnitude.max(1).ilog2();
    if exponent < MANTISSA {
        return magnitude as usize;
    }
    let shift = exponent - MANTISSA;
    let mantissa = (magnitude >> shift) as usize & ((1 << MANTISSA) - 1);
    ((shift as usize + 1) << MANTISSA) + mantissa
}

/// The value a bucket stands for: its middle.
fn middle(bucket: usize, negative: bool) -> i64 {
    let octave = bucket >> MANTISSA;
    let magnitude = if octave == 0 {
        bucket as u64
    } else {
        let shift = octave - 1;
        let mantissa = (bucket & ((1 << MANTISSA) - 1)) | (1 << MANTISSA);
        ((mantissa as u64) << shift) + ((1_u64 << shift) >> 1)
    };
    let magnitude = i64::try_from(magnitude).unwrap_or(i64::MAX);
    if negative { -magnitude } else { magnitude }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn quantiles_of_one_to_thousand_are_the_permille_themselves() {
        let mut distribution = Distribution::with_capacity(2000);
        (1..=1000).rev().for_each(|value| distribution.push(value));
        let summary = distribution.summary().unwrap();
        assert_eq!(
            (summary.min, summary.p50, summary.p90, summary.p99, summary.p999, summary.max),
            (1, 500, 900, 990, 999, 1000)
        );
        assert!((summary.mean - 500.5).abs() < 1e-12);
        assert!(summary.exact);
    }

    #[test]
    fn lost_packets_push_the_upper_quantiles_to_infinity() {
        let mut distribution = Distribution::with_capacity(100);
        (1..=95).for_each(|value| distribution.push(value));
        let all = distribution.summary_with_lost(5).unwrap();
        assert_eq!((all.min, all.p50, all.p90), (Some(1), Some(50), Some(90)));
        assert_eq!((all.p99, all.p999, all.max), (None, None, None));
        let mut none = Distribution::with_capacity(1);
        assert_eq!(none.summary(), None);
        assert_eq!(none.summary_with_lost(3).unwrap().p50, None);
    }

    proptest! {
        #[test]
        fn exact_quantiles_equal_those_of_a_sorted_copy(
            values in prop::collection::vec(-1_000_i64..1_000, 1..300),
            lost in 0_u64..50,
        ) {
            let mut distribution = Distribution::with_capacity(1_000);
            values.iter().for_each(|&value| distribution.push(value));
            let mut sorted = values.clone();
            sorted.sort_unstable();
            let summary = distribution.summary().unwrap();
            let at = |n: usize, q: u32| nearest_rank(n as u64, q) as usize - 1;
            prop_assert_eq!(summary.p50, sorted[at(sorted.len(), 500)]);
            prop_assert_eq!(summary.p99, sorted[at(sorted.len(), 990)]);
            let all = distribution.summary_with_lost(lost).unwrap();
            let n = sorted.len() + lost as usize;
            prop_assert_eq!(all.p90, sorted.get(at(n, 900)).copied());
        }

        #[test]
        fn buckets_stay_within_their_stated_error(
            values in prop::collection::vec(any::<i64>().prop_map(|v| v >> 8), 20..300),
        ) {
            let mut exact = Distribution::with_capacity(1_000);
            let mut coarse = Distribution::with_capacity(10);
            for &value in &values {
                exact.push(value);
                coarse.push(value);
            }
            prop_assert!(!coarse.is_exact());
            let (exact, coarse) = (exact.summary().unwrap(), coarse.summary().unwrap());
            prop_assert_eq!((exact.min, exact.max), (coarse.min, coarse.max));
            for (a, b) in [(exact.p50, coarse.p50), (exact.p90, coarse.p90)] {
                let error = a.abs_diff(b) as f64 / a.unsigned_abs().max(1) as f64;
                prop_assert!(error <= 0.0005, "{} {}", a, b);
            }
        }
    }
}
