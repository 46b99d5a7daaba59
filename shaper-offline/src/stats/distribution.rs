//! A distribution of integers: exact while it is small, in bounded memory when it is not.

use serde::Serialize;

use super::{
    Budget,
    bucket::{MANTISSA, Sparse, bucket_of, middle},
    parted::Parted,
};

/// Samples of one quantity (nanoseconds, for times).
///
/// Up to its capacity every sample is kept and every quantile is exact. Beyond it the samples
/// go into logarithmic buckets 2^-10 wide, and quantiles are off by at most 0.05 %; count,
/// minimum, maximum and mean stay exact. Where it shares a [`Budget`] that is used up, buckets are
/// as wide as 2^-4, and quantiles off by at most 3.2 %.
#[derive(Clone, Debug)]
pub struct Distribution {
    store: Store,
    budget: Budget,
    count: u64,
    sum: i128,
    min: i64,
    max: i64,
}

#[derive(Clone, Debug)]
enum Store {
    Exact { samples: Vec<i64>, capacity: usize, parted: Option<Box<Parted>> },
    Buckets { negative: Vec<u64>, positive: Vec<u64> },
    Sparse(Sparse),
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
    /// Whether the quantiles are exact; otherwise they are within 0.05 %, or
    /// within 3.2 % for flows of captures with more samples than are kept.
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
        Self::within(capacity, &Budget::unlimited())
    }

    /// The same, and what is kept is taken from the budget.
    #[must_use]
    pub fn within(capacity: usize, budget: &Budget) -> Self {
        Self {
            store: Store::Exact { samples: Vec::new(), capacity, parted: None },
            budget: budget.clone(),
            count: 0,
            sum: 0,
            min: i64::MAX,
            max: i64::MIN,
        }
    }

    /// Adds one sample.
    #[inline]
    pub fn push(&mut self, value: i64) {
        self.count += 1;
        self.sum += i128::from(value);
        self.min = self.min.min(value);
        self.max = self.max.max(value);
        match &mut self.store {
            Store::Exact { samples, capacity, .. } if samples.len() < samples.capacity().min(*capacity) => {
                samples.push(value);
            }
            Store::Exact { .. } => self.push_beyond(value),
            Store::Buckets { .. } | Store::Sparse(_) => self.bucket(value, 1),
        }
    }

    /// Adds a sample for which no room is reserved.
    #[cold]
    fn push_beyond(&mut self, value: i64) {
        if let Store::Exact { samples, capacity, .. } = &mut self.store {
            let more = samples.len().max(4).min(capacity.saturating_sub(samples.len()));
            if more > 0 && self.budget.take(more) {
                samples.reserve_exact(more);
                samples.push(value);
                return;
            }
            self.spill(more == 0);
        }
        self.bucket(value, 1);
    }

    fn bucket(&mut self, value: i64, count: u64) {
        match &mut self.store {
            Store::Exact { .. } => {}
            Store::Sparse(sparse) => sparse.add(value, count, &self.budget),
            Store::Buckets { negative, positive } => {
                let side = if value < 0 { &mut *negative } else { &mut *positive };
                let index = bucket_of(value.unsigned_abs(), MANTISSA);
                let more = (index + 1).saturating_sub(side.len());
                if more > 0 && !self.budget.take(more) {
                    self.budget.give_back(negative.len() + positive.len());
                    let mut sparse = Sparse::new();
                    for (value, count) in in_order(negative, positive).filter(|(_, count)| *count > 0) {
                        sparse.add(value, count, &self.budget);
                    }
                    sparse.add(value, count, &self.budget);
                    self.store = Store::Sparse(sparse);
                    return;
                }
                if more > 0 {
                    side.resize(index + 1, 0);
                }
                if let Some(slot) = side.get_mut(index) {
                    *slot += count;
                }
            }
        }
    }

    /// Adds all samples of another one, each moved by a constant. Where the other one has buckets,
    /// quantiles are off by up to twice as much.
    pub fn absorb(&mut self, other: &Self, by: i64) {
        let held: Box<dyn Iterator<Item = (i64, u64)> + '_> = match &other.store {
            Store::Exact { samples, .. } => {
                for &value in samples {
                    self.push(value.saturating_add(by));
                }
                return;
            }
            Store::Buckets { negative, positive } => Box::new(in_order(negative, positive)),
            Store::Sparse(sparse) => Box::new(sparse.values()),
        };
        self.spill(true);
        for (value, count) in held.filter(|(_, count)| *count > 0) {
            self.bucket(value.clamp(other.min, other.max).saturating_add(by), count);
        }
        self.count += other.count;
        self.sum += other.sum + i128::from(by) * i128::from(other.count);
        self.min = self.min.min(other.min.saturating_add(by));
        self.max = self.max.max(other.max.saturating_add(by));
    }

    /// Puts samples into buckets: as many as there are values, or few.
    fn spill(&mut self, dense: bool) {
        let Store::Exact { samples, .. } = &mut self.store else { return };
        let samples = std::mem::take(samples);
        self.budget.give_back(samples.len());
        self.store = if dense {
            Store::Buckets { negative: Vec::new(), positive: Vec::new() }
        } else {
            Store::Sparse(Sparse::new())
        };
        for value in samples {
            self.bucket(value, 1);
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
            Store::Exact { samples, parted, .. } => {
                let parted = parted.get_or_insert_default();
                parted.is_of(count);
                for (value, rank) in values.iter_mut().zip(ranks) {
                    let Some(position) = rank.checked_sub(1).filter(|_| rank <= count) else {
                        continue;
                    };
                    *value = parted.select(samples, position as usize);
                }
            }
            Store::Buckets { negative, positive } => {
                let clamped = in_order(negative, positive).map(|(value, held)| (value.clamp(min, max), held));
                fill(&mut values, ranks, clamped);
            }
            Store::Sparse(sparse) => {
                fill(&mut values, ranks, sparse.values().map(|(value, held)| (value.clamp(min, max), held)));
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

/// Values of dense buckets and samples in them, ascending.
fn in_order<'a>(negative: &'a [u64], positive: &'a [u64]) -> impl Iterator<Item = (i64, u64)> + 'a {
    let descending = negative.iter().enumerate().rev().map(|(at, held)| (middle(at, true, MANTISSA), *held));
    descending.chain(positive.iter().enumerate().map(|(at, held)| (middle(at, false, MANTISSA), *held)))
}

/// The values at ascending ranks among values that occur so many times each, ascending too.
fn fill<const N: usize>(values: &mut [Option<i64>; N], ranks: [u64; N], held: impl Iterator<Item = (i64, u64)>) {
    let (mut seen, mut next) = (0, 0);
    for (value, count) in held {
        seen += count;
        while let (Some(&rank), Some(slot)) = (ranks.get(next), values.get_mut(next)) {
            if rank > seen {
                break;
            }
            *slot = (rank > 0).then_some(value);
            next += 1;
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn two_together_are_what_one_would_be_that_took_all() {
        for capacity in [1_000, 10] {
            let mut both = Distribution::with_capacity(2_000);
            let mut all = Distribution::with_capacity(2_000);
            for (offset, by) in [(-40_i64, 7), (100, -9)] {
                let mut one = Distribution::with_capacity(capacity);
                for n in 0..100 {
                    one.push(offset + n * n);
                    all.push(offset + n * n + by);
                }
                both.absorb(&one, by);
            }
            let (both, all) = (both.summary().unwrap(), all.summary().unwrap());
            assert_eq!((both.count, both.min, both.max, both.exact), (200, all.min, all.max, capacity == 1_000));
            assert!((both.mean - all.mean).abs() < 1e-9);
            for (both, all) in [(both.p50, all.p50), (both.p90, all.p90), (both.p99, all.p99)] {
                assert!(both.abs_diff(all) as f64 <= all as f64 * 0.001 + 0.5, "{both} {all}");
            }
        }
        let mut none = Distribution::with_capacity(1);
        none.absorb(&Distribution::with_capacity(1), 5);
        assert_eq!(none.summary(), None);
    }

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

    #[test]
    fn many_samples_share_one_budget() {
        // 1000 distributions of 10,000 delays between 10 and 20 ms.
        let budget = Budget::of(100_000);
        let mut all: Vec<_> = (0..1000).map(|_| Distribution::within(65_536, &budget)).collect();
        for number in 0..10_000_i64 {
            for distribution in &mut all {
                distribution.push(10_000_000 + number * 1_000);
            }
        }
        for distribution in &mut all {
            let summary = distribution.summary().unwrap();
            assert_eq!((summary.count, summary.min), (10_000, 10_000_000));
            assert!(summary.p50.abs_diff(15_000_000) <= 15_000_000 / 31, "{}", summary.p50);
        }
        // In words: no more than the budget, and the few of the coarsest buckets beyond it.
        let held = all.iter().map(|distribution| match &distribution.store {
            Store::Exact { samples, .. } => samples.len(),
            Store::Buckets { negative, positive } => negative.len() + positive.len(),
            Store::Sparse(sparse) => 2 * sparse.values().count(),
        });
        let held: usize = held.sum();
        assert!(held <= 100_000 + 1000 * 17 * 2, "{held}");
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
        fn a_budget_that_is_used_up_costs_accuracy_and_no_more_memory(
            values in prop::collection::vec(any::<i64>().prop_map(|v| v >> 8), 20..600),
            budget in 0_usize..300,
            capacity in prop::sample::select(vec![50_usize, 1_000]),
        ) {
            let budget = Budget::of(budget);
            let mut exact = Distribution::with_capacity(1_000);
            let mut several: Vec<_> = (0..3).map(|_| Distribution::within(capacity, &budget)).collect();
            for &value in &values {
                exact.push(value);
                several.iter_mut().for_each(|distribution| distribution.push(value));
            }
            let exact = exact.summary().unwrap();
            for coarse in &mut several {
                let coarse = coarse.summary().unwrap();
                prop_assert_eq!((exact.count, exact.min, exact.max), (coarse.count, coarse.min, coarse.max));
                for (a, b) in [(exact.p50, coarse.p50), (exact.p99, coarse.p99)] {
                    let error = a.abs_diff(b) as f64 / a.unsigned_abs().max(1) as f64;
                    prop_assert!(error <= 1.0 / 31.0, "{} {}", a, b);
                }
            }
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
