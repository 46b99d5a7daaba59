//! The few statistics that every figure of a run is made of: quantile, mean, proportion.

use serde::{Deserialize, Serialize};

/// The 97.5 % quantile of the standard normal distribution: two-sided 95 %.
const Z_95: f64 = 1.959_963_984_540_054;

/// The quantile of ascending samples by nearest rank: the smallest sample with at least `q` of all
/// samples at or below it (rank `ceil(q n)`, and the first for `q = 0`). Always a value that occurred,
/// never interpolated. `None` without samples.
///
/// Source: Hyndman and Fan, "Sample Quantiles in Statistical Packages", 1996, definition 1.
#[must_use]
pub fn quantile(ascending: &[f64], q: f64) -> Option<f64> {
    let rank = rank_of(ascending.len(), q)?;
    ascending.get(rank).copied()
}

/// The index of the nearest-rank quantile among `n` ascending samples; `None` without samples.
fn rank_of(n: usize, q: f64) -> Option<usize> {
    let last = n.checked_sub(1)?;
    // A product such as 0.95 * 100 may come out a hair above 95: that must not move the rank.
    let rank = (q.clamp(0.0, 1.0) * n as f64 - 1e-9).ceil().max(1.0);
    Some((rank as usize - 1).min(last))
}

/// The arithmetic mean; `None` without samples.
#[must_use]
pub fn mean(samples: &[f64]) -> Option<f64> {
    if samples.is_empty() { None } else { Some(samples.iter().sum::<f64>() / samples.len() as f64) }
}

/// The Wilson score interval at 95 % of `count` among `of`; the whole of `[0, 1]` where `of` is zero.
///
/// Source: Wilson, "Probable Inference, the Law of Succession, and Statistical Inference", 1927.
#[must_use]
pub fn wilson(count: u64, of: u64) -> Interval {
    wilson_at(count, of, Z_95)
}

/// The Wilson score interval with `z`, the quantile of the standard normal distribution at its upper end.
fn wilson_at(count: u64, of: u64, z: f64) -> Interval {
    if of == 0 {
        return Interval { low: 0.0, high: 1.0 };
    }
    let n = of as f64;
    let ratio = count as f64 / n;
    let z2 = z * z;
    let centre = ratio + z2 / (2.0 * n);
    let spread = z * (ratio * (1.0 - ratio) / n + z2 / (4.0 * n * n)).sqrt();
    let scale = 1.0 + z2 / n;
    // At the ends the bound is exact; rounding would leave it a hair inside.
    let low = if count == 0 { 0.0 } else { ((centre - spread) / scale).max(0.0) };
    let high = if count >= of { 1.0 } else { ((centre + spread) / scale).min(1.0) };
    Interval { low, high }
}

/// The interval of the difference `b - a` of two independent proportions, that misses with probability `error`; `None`
/// where one of them is of nothing. Where an interval of theirs is wider than that of independent trials, so is this one.
///
/// Source: Newcombe, "Interval Estimation for the Difference between Independent Proportions", 1998, method 10.
#[must_use]
pub fn newcombe(a: &Proportion, b: &Proportion, error: f64) -> Option<Interval> {
    let z = normal_quantile(1.0 - error / 2.0);
    let (before, after) = (a.ratio?, b.ratio?);
    let (of_a, of_b) = (a.wilson_at(z), b.wilson_at(z));
    let difference = after - before;
    Some(Interval {
        low: difference - (after - of_b.low).hypot(of_a.high - before),
        high: difference + (of_b.high - after).hypot(before - of_a.low),
    })
}

/// The quantile of the standard normal distribution, to 4.5e-4: what intervals need, and no more.
///
/// Source: Abramowitz and Stegun, "Handbook of Mathematical Functions", 1964, 26.2.23.
fn normal_quantile(p: f64) -> f64 {
    let tail = p.min(1.0 - p).max(1e-300);
    let t = (-2.0 * tail.ln()).sqrt();
    let above = 2.515_517 + t * (0.802_853 + t * 0.010_328);
    let below = 1.0 + t * (1.432_788 + t * (0.189_269 + t * 0.001_308));
    let z = t - above / below;
    if p < 0.5 { -z } else { z }
}

/// A closed interval, in the unit of the figure it belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// The lower end.
    pub low: f64,
    /// The upper end.
    pub high: f64,
}

impl Interval {
    /// Whether a value lies in the interval, the ends included.
    #[must_use]
    pub fn contains(&self, value: f64) -> bool {
        self.low <= value && value <= self.high
    }

    /// Whether the whole of `other` lies in the interval.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        self.low <= other.low && other.high <= self.high
    }
}

/// A count among a total, with its Wilson interval at 95 %.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Proportion {
    /// How many.
    pub count: u64,
    /// Of how many.
    pub of: u64,
    /// `count / of`, 0 to 1; null where `of` is zero.
    pub ratio: Option<f64>,
    /// The lower end of the Wilson interval at 95 %, 0 to 1.
    pub low: f64,
    /// The upper end of the Wilson interval at 95 %, 0 to 1.
    pub high: f64,
}

impl Proportion {
    /// The proportion of `count` among `of`.
    #[must_use]
    pub fn of(count: u64, of: u64) -> Self {
        let Interval { low, high } = wilson(count, of);
        let ratio = (of > 0).then(|| count as f64 / of as f64);
        Self { count, of, ratio, low, high }
    }

    /// The same where the variance of the ratio is `inflation` times that of independent ones: the interval is that of
    /// so many fewer.
    #[must_use]
    pub fn correlated(count: u64, of: u64, inflation: f64) -> Self {
        let fewer = |n: u64| (n as f64 / inflation).round() as u64;
        let Interval { low, high } = wilson(fewer(count).min(fewer(of)), fewer(of));
        Self { low, high, ..Self::of(count, of) }
    }

    /// Its interval with another `z`, as much wider than that of independent trials as its own.
    fn wilson_at(&self, z: f64) -> Interval {
        let independent = wilson(self.count, self.of);
        let wider = (self.high - self.low) / (independent.high - independent.low);
        // Variances go by squares; below a hundredth it is rounding.
        let inflation = if wider.is_finite() && wider > 1.005 { wider * wider } else { 1.0 };
        let fewer = |n: u64| (n as f64 / inflation).round() as u64;
        let Interval { low, high } = wilson_at(fewer(self.count).min(fewer(self.of)), fewer(self.of), z);
        let ratio = self.ratio.unwrap_or(0.0);
        Interval { low: low.min(ratio), high: high.max(ratio) }
    }
}

/// What percentiles do with samples that never came: a lost packet, a command without an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Missing {
    /// Left out: the percentiles are of what arrived.
    #[default]
    Excluded,
    /// Counted as infinite, so that a percentile among them is null (RFC 7679, section 3.3: an
    /// undefined delay is infinitely large).
    Infinite,
}

/// A distribution by its percentiles (nearest rank). The unit stands in the name of the field that
/// holds it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Distribution {
    /// Samples that have a value.
    pub n: u64,
    /// Samples that never came.
    pub missing: u64,
    /// Whether the percentiles count the missing ones.
    pub missing_as: Missing,
    /// The mean of the samples that have a value; null without any.
    pub mean: Option<f64>,
    /// The smallest sample; null without any.
    pub min: Option<f64>,
    /// The median; null without samples, or where it falls among the missing.
    pub p50: Option<f64>,
    /// The 95th percentile; null as `p50`.
    pub p95: Option<f64>,
    /// The 99th percentile; null as `p50`.
    pub p99: Option<f64>,
    /// The 99.9th percentile; null as `p50`. Below 1,000 samples it is the largest.
    pub p999: Option<f64>,
    /// The largest sample that has a value; null without any.
    pub max: Option<f64>,
}

impl Distribution {
    /// The distribution of samples of which none is missing. Samples that are not numbers are left out.
    #[must_use]
    pub fn of(samples: Vec<f64>) -> Self {
        Self::with_missing(samples, 0, Missing::Excluded)
    }

    /// The distribution of samples in any order, `missing` more of which never came.
    #[must_use]
    pub fn with_missing(mut samples: Vec<f64>, missing: u64, missing_as: Missing) -> Self {
        samples.retain(|sample| !sample.is_nan());
        samples.sort_unstable_by(f64::total_cmp);
        let counted = match missing_as {
            Missing::Excluded => samples.len(),
            Missing::Infinite => samples.len().saturating_add(usize::try_from(missing).unwrap_or(usize::MAX)),
        };
        let at = |q: f64| rank_of(counted, q).and_then(|rank| samples.get(rank).copied());
        Self {
            n: samples.len() as u64,
            missing,
            missing_as,
            mean: mean(&samples),
            min: samples.first().copied(),
            p50: at(0.5),
            p95: at(0.95),
            p99: at(0.99),
            p999: at(0.999),
            max: samples.last().copied(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn to(n: u32) -> Vec<f64> {
        (1..=n).map(f64::from).collect()
    }

    #[test]
    fn nearest_rank_is_a_sample_and_the_smallest_that_covers_the_share() {
        let samples = [15.0, 20.0, 35.0, 40.0, 50.0];
        for (q, expected) in [(0.0, 15.0), (0.05, 15.0), (0.3, 20.0), (0.4, 20.0), (0.5, 35.0), (1.0, 50.0)] {
            assert_eq!(quantile(&samples, q), Some(expected), "q = {q}");
        }
        assert_eq!(quantile(&to(100), 0.95), Some(95.0));
        assert_eq!(quantile(&to(1000), 0.999), Some(999.0));
        assert_eq!(quantile(&[], 0.5), None);
    }

    #[test]
    fn wilson_gives_the_published_intervals() {
        // Newcombe, "Two-sided confidence intervals for the single proportion", 1998, table I, method 3.
        for (count, of, low, high) in
            [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)]
        {
            let interval = wilson(count, of);
            assert!((interval.low - low).abs() < 5e-5, "{count} of {of}: low {}", interval.low);
            assert!((interval.high - high).abs() < 5e-5, "{count} of {of}: high {}", interval.high);
        }
        assert_eq!(wilson(0, 0), Interval { low: 0.0, high: 1.0 });
        assert_eq!(wilson(20, 20).high, 1.0);
    }

    #[test]
    fn newcombe_gives_the_published_intervals() {
        // Newcombe, "Interval Estimation for the Difference between Independent Proportions", 1998, table II, method 10.
        for (a, b, low, high) in [
            ((48, 80), (56, 70), 0.0524, 0.3339),
            ((3, 10), (9, 10), 0.1705, 0.8090),
            ((2, 7), (6, 7), 0.0582, 0.8062),
            ((0, 29), (5, 56), -0.0381, 0.1926),
            ((0, 20), (0, 10), -0.1611, 0.2775),
        ] {
            let of = |(count, of)| Proportion::of(count, of);
            let interval = newcombe(&of(a), &of(b), 0.05).unwrap();
            assert!((interval.low - low).abs() < 3e-4, "{a:?} {b:?}: low {}", interval.low);
            assert!((interval.high - high).abs() < 3e-4, "{a:?} {b:?}: high {}", interval.high);
        }
        assert_eq!(newcombe(&Proportion::of(0, 0), &Proportion::of(1, 2), 0.05), None);
        let wide = newcombe(&Proportion::correlated(500, 10_000, 9.0), &Proportion::of(500, 10_000), 0.05).unwrap();
        let narrow = newcombe(&Proportion::of(500, 10_000), &Proportion::of(500, 10_000), 0.05).unwrap();
        // The variance of one of the two is nine times as large: the root of (9 + 1) / 2.
        let wider = (wide.high - wide.low) / (narrow.high - narrow.low);
        assert!((wider - 5f64.sqrt()).abs() < 0.1, "{wider}");
    }

    #[test]
    fn normal_quantiles_are_those_of_the_tables() {
        for (p, z) in [(0.5, 0.0), (0.975, 1.959_96), (0.995, 2.575_83), (0.0005, -3.290_53), (0.999_995, 4.417_17)] {
            assert!((normal_quantile(p) - z).abs() < 5e-4, "{p}");
        }
    }

    #[test]
    fn missing_samples_move_percentiles_only_when_they_count_as_infinite() {
        let excluded = Distribution::with_missing(to(90), 10, Missing::Excluded);
        assert_eq!((excluded.n, excluded.missing, excluded.p95), (90, 10, Some(86.0)));
        let infinite = Distribution::with_missing(to(90), 10, Missing::Infinite);
        assert_eq!((infinite.p50, infinite.p95, infinite.max), (Some(50.0), None, Some(90.0)));
    }

    #[test]
    fn a_distribution_of_nothing_has_no_figures() {
        let nothing = Distribution::of(vec![f64::NAN]);
        assert_eq!((nothing.n, nothing.mean, nothing.p50, nothing.max), (0, None, None, None));
    }
}
