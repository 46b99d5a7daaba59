//! Proportions and percentiles as the score states them.

use serde::{Deserialize, Serialize};

use crate::units::Nanos;

/// A share with its Wilson 95 % interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Proportion {
    /// How many did.
    pub count: u64,
    /// Of how many.
    pub of: u64,
    /// `count / of`; 0 of 0 is 0.
    pub share: f64,
    /// Lower end of the interval.
    pub low: f64,
    /// Upper end of the interval.
    pub high: f64,
}

impl Proportion {
    /// Wilson's score interval (E. B. Wilson, 1927) at 95 %.
    #[must_use]
    pub fn new(count: u64, of: u64) -> Proportion {
        if of == 0 {
            return Proportion { count, of, share: 0.0, low: 0.0, high: 1.0 };
        }
        const Z: f64 = 1.959_963_984_540_054;
        let n = of as f64;
        let share = count as f64 / n;
        let scale = 1.0 + Z * Z / n;
        let centre = share.min(1.0) + Z * Z / (2.0 * n);
        // A share above 1 (duplicates) has no interval of its own; it keeps that of 1.
        let within = share.min(1.0);
        let half = Z * (within * (1.0 - within) / n + Z * Z / (4.0 * n * n)).sqrt();
        Proportion {
            count,
            of,
            share,
            low: ((centre - half) / scale).max(0.0),
            high: ((centre + half) / scale).min(1.0),
        }
    }
}

/// Percentiles, by nearest rank on all samples, of a time that only what arrived has. What never
/// arrived is in `missing` and in no percentile.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Times {
    /// Samples.
    pub n: u64,
    /// Commands that have no such time because they never arrived.
    pub missing: u64,
    /// Least.
    pub min: Option<Nanos>,
    /// Median.
    pub p50: Option<Nanos>,
    /// 95 %.
    pub p95: Option<Nanos>,
    /// 99 %.
    pub p99: Option<Nanos>,
    /// Largest.
    pub max: Option<Nanos>,
}

impl Times {
    pub(super) fn new(mut samples: Vec<Nanos>, missing: u64) -> Times {
        samples.sort_unstable();
        let rank = |q| nearest_rank(&samples, q).copied();
        Times {
            n: samples.len() as u64,
            missing,
            min: samples.first().copied(),
            p50: rank(0.50),
            p95: rank(0.95),
            p99: rank(0.99),
            max: samples.last().copied(),
        }
    }
}

/// Percentiles, by nearest rank, over everything that was meant to arrive: what never did took
/// infinitely long. A percentile that falls there is none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimesOfAll {
    /// Samples and missing together.
    pub of: u64,
    /// Median.
    pub p50: Option<Nanos>,
    /// 95 %.
    pub p95: Option<Nanos>,
    /// 99 %.
    pub p99: Option<Nanos>,
}

impl TimesOfAll {
    pub(super) fn new(mut samples: Vec<Nanos>, missing: u64) -> TimesOfAll {
        samples.sort_unstable();
        let rank = |q| nearest_rank_of(&samples, missing, q).copied();
        TimesOfAll { of: samples.len() as u64 + missing, p50: rank(0.50), p95: rank(0.95), p99: rank(0.99) }
    }
}

/// The least sample that at least the share `q` of all do not exceed.
pub(super) fn nearest_rank<T>(sorted: &[T], q: f64) -> Option<&T> {
    nearest_rank_of(sorted, 0, q)
}

/// The same where `missing` more follow that are larger than every sample; none among those.
pub(super) fn nearest_rank_of<T>(sorted: &[T], missing: u64, q: f64) -> Option<&T> {
    let rank = (q * (sorted.len() as u64 + missing) as f64).ceil() as usize;
    sorted.get(rank.saturating_sub(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wilson_matches_the_textbook() {
        // 81 of 263 (Newcombe 1998, table I): 0.2553 to 0.3662.
        let p = Proportion::new(81, 263);
        assert!((p.low - 0.2553).abs() < 5e-5, "{p:?}");
        assert!((p.high - 0.3662).abs() < 5e-5, "{p:?}");
        // 0 of 20: 0 to 0.1611.
        let p = Proportion::new(0, 20);
        assert!(p.low == 0.0 && (p.high - 0.1611).abs() < 5e-5, "{p:?}");
    }

    #[test]
    fn percentiles_are_samples_and_never_count_the_missing() {
        let times = Times::new((1..=100).rev().map(Nanos).collect(), 7);
        assert_eq!((times.n, times.missing, times.min, times.max), (100, 7, Some(Nanos(1)), Some(Nanos(100))));
        assert_eq!((times.p50, times.p95, times.p99), (Some(Nanos(50)), Some(Nanos(95)), Some(Nanos(99))));
        assert_eq!(Times::new(vec![], 3).p50, None);
    }

    #[test]
    fn what_never_arrived_took_longer_than_any_percentile_shown() {
        let samples: Vec<Nanos> = (1..=95).map(Nanos).collect();
        let all = TimesOfAll::new(samples.clone(), 5);
        assert_eq!((all.of, all.p50, all.p95, all.p99), (100, Some(Nanos(50)), Some(Nanos(95)), None));
        assert_eq!(TimesOfAll::new(samples, 6).p95, None);
        assert_eq!(TimesOfAll::new(vec![], 3).p50, None);
        assert_eq!(TimesOfAll::new(vec![], 0), TimesOfAll::default());
    }
}
