//! The bootstrap interval of the ratio of two quantiles.
//!
//! The quantile of a resample is one of the samples: that of rank `m` among `n` indices drawn with replacement. The
//! `m`-th smallest of `n` uniform draws is Beta(m, n - m + 1) (David and Nagaraja, "Order Statistics", 2003, 2.3), so one
//! draw from there gives the index, whatever the number of samples: the same distribution as by resampling, without it.
//!
//! Samples of a stream depend on each other: a queue that is long stays long for a while. What that does to the variance
//! of a quantile is estimated by batch means of the indicator of being at or below it (Heidelberger and Lewis, "Quantile
//! Estimation in Dependent Sequences", 1984), and the resample is made of so many fewer samples.

use crate::stats::{Interval, quantile};

/// Samples below which nothing is said of their quantiles.
pub const FEWEST: usize = 5;
/// Samples from which on their dependence is looked at.
const FEWEST_DEPENDENT: usize = 200;

/// Samples of one figure.
#[derive(Clone, Debug)]
pub struct Samples {
    in_time: Vec<f64>,
    ascending: Vec<f64>,
}

impl Samples {
    /// Samples in the order in which they were taken; what is not a number is left out.
    #[must_use]
    pub fn new(mut in_time: Vec<f64>) -> Self {
        in_time.retain(|sample| !sample.is_nan());
        let mut ascending = in_time.clone();
        ascending.sort_unstable_by(f64::total_cmp);
        Self { in_time, ascending }
    }

    /// How many.
    #[must_use]
    pub const fn n(&self) -> usize {
        self.ascending.len()
    }

    /// The quantile by nearest rank; `None` without samples.
    #[must_use]
    pub fn quantile(&self, q: f64) -> Option<f64> {
        quantile(&self.ascending, q)
    }

    /// How many times larger than with independent samples the variance of the share at or below the quantile is.
    fn inflation(&self, q: f64) -> f64 {
        let n = self.n();
        let Some(at) = self.quantile(q).filter(|_| n >= FEWEST_DEPENDENT) else { return 1.0 };
        let length = (n as f64).powf(0.6) as usize;
        let below = |batch: &[f64]| batch.iter().filter(|sample| **sample <= at).count() as f64 / batch.len() as f64;
        let means: Vec<f64> = self.in_time.chunks_exact(length).map(below).collect();
        let mean = means.iter().sum::<f64>() / means.len() as f64;
        let spread = mean * (1.0 - mean);
        if spread <= 0.0 {
            return 1.0;
        }
        let variance = means.iter().map(|one| (one - mean).powi(2)).sum::<f64>() / (means.len() as f64 - 1.0);
        (length as f64 * variance / spread).max(1.0)
    }

    /// Draws of the quantile of a resample.
    fn resampled(&self, q: f64) -> Resampled<'_> {
        let n = (self.n() as f64 / self.inflation(q)).max(1.0);
        let rank = (q * n).ceil().clamp(1.0, n);
        Resampled { ascending: &self.ascending, rank, behind: n - rank + 1.0 }
    }
}

struct Resampled<'a> {
    ascending: &'a [f64],
    rank: f64,
    behind: f64,
}

impl Resampled<'_> {
    fn draw(&self, draws: &mut Draws) -> f64 {
        let (below, above) = (draws.gamma(self.rank), draws.gamma(self.behind));
        let place = below / (below + above) * self.ascending.len() as f64;
        let last = self.ascending.len().saturating_sub(1);
        self.ascending.get((place as usize).min(last)).copied().unwrap_or(f64::NAN)
    }
}

/// How a bootstrap is made.
#[derive(Clone, Copy, Debug)]
pub struct Bootstrap {
    /// How many resamples.
    pub resamples: u32,
    /// The probability with which an interval misses, both ends together.
    pub error: f64,
    /// The seed of the draws.
    pub seed: u64,
}

impl Bootstrap {
    /// The percentile interval (Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, 13.3) of the quantile of
    /// `b` over that of `a`; an end may be infinite where `a` can be zero. `None` with less than [`FEWEST`] samples on
    /// either side, and where a resample has a quantile below zero, or at zero among samples of which some are below: the
    /// ratio then rises where `b` falls, or has no bound.
    #[must_use]
    pub fn ratio(&self, a: &Samples, b: &Samples, q: f64) -> Option<Interval> {
        if a.n() < FEWEST || b.n() < FEWEST {
            return None;
        }
        let mut draws = Draws(self.seed);
        let (of_a, of_b) = (a.resampled(q), b.resampled(q));
        let signed = [a, b].iter().any(|samples| samples.ascending.first().is_some_and(|least| *least < 0.0));
        let mut drawn = || {
            let (a, b) = (of_a.draw(&mut draws), of_b.draw(&mut draws));
            let least = a.min(b);
            let told = least > 0.0 || least == 0.0 && (!signed || a == b);
            told.then(|| ratio(a, b))
        };
        let mut ratios = (0..self.resamples).map(|_| drawn()).collect::<Option<Vec<f64>>>()?;
        ratios.sort_unstable_by(f64::total_cmp);
        Some(Interval { low: quantile(&ratios, self.error / 2.0)?, high: quantile(&ratios, 1.0 - self.error / 2.0)? })
    }
}

/// `b / a`; two zeros are alike.
pub(super) fn ratio(a: f64, b: f64) -> f64 {
    if a == b { 1.0 } else { b / a }
}

/// SplitMix64 (Steele, Lea and Flood, "Fast Splittable Pseudorandom Number Generators", 2014).
struct Draws(u64);

impl Draws {
    /// Above 0, below 1.
    fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (((z ^ (z >> 31)) >> 11) as f64 + 0.5) / (1u64 << 53) as f64
    }

    /// Box and Muller, "A Note on the Generation of Random Normal Deviates", 1958.
    fn normal(&mut self) -> f64 {
        (-2.0 * self.uniform().ln()).sqrt() * (2.0 * std::f64::consts::PI * self.uniform()).cos()
    }

    /// Gamma of a shape of at least 1. Source: Marsaglia and Tsang, "A Simple Method for Generating Gamma Variables",
    /// 2000.
    fn gamma(&mut self, shape: f64) -> f64 {
        let d = shape.max(1.0) - 1.0 / 3.0;
        let c = 1.0 / (9.0 * d).sqrt();
        loop {
            let x = self.normal();
            let v = (1.0 + c * x).powi(3);
            if v > 0.0 && self.uniform().ln() < 0.5 * x * x + d - d * v + d * v.ln() {
                return d * v;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOW: Bootstrap = Bootstrap { resamples: 10_000, error: 0.05, seed: 7 };

    /// Uniform, one after the other without any dependence.
    fn uniform(seed: u64, n: usize, from: f64) -> Samples {
        let mut draws = Draws(seed);
        Samples::new((0..n).map(|_| from + draws.uniform()).collect())
    }

    #[test]
    fn the_quantile_of_a_resample_is_distributed_as_by_resampling() {
        let samples = Samples::new((1..=9).map(f64::from).collect());
        let (mut draws, resampled) = (Draws(1), samples.resampled(0.5));
        let (mut direct, mut short) = ([0f64; 10], [0f64; 10]);
        for _ in 0..40_000 {
            let mut resample: Vec<usize> = (0..9).map(|_| (draws.uniform() * 9.0) as usize).collect();
            resample.sort_unstable();
            direct[resample[4] + 1] += 1.0;
            short[resampled.draw(&mut draws) as usize] += 1.0;
        }
        // Two samples of one distribution: chi-square with 8 degrees of freedom is below 26.1 in 999 of 1,000.
        let chi: f64 = (1..10).map(|at| (direct[at] - short[at]).powi(2) / (direct[at] + short[at])).sum();
        assert!(chi < 26.1, "{chi}: {direct:?} {short:?}");
    }

    #[test]
    fn an_interval_of_a_ratio_covers_it_as_often_as_it_says() {
        let truth = 1.5 / 1.2;
        let covered = (0..400u64).filter(|run| {
            let (a, b) = (uniform(2 * run, 300, 0.7), uniform(2 * run + 1, 300, 1.0));
            Bootstrap { resamples: 1_000, ..HOW }.ratio(&a, &b, 0.5).unwrap().contains(truth)
        });
        // 380 of 400, with four standard deviations of 4.4.
        let covered = covered.count();
        assert!((362..=398).contains(&covered), "{covered}");
    }

    #[test]
    fn samples_that_follow_each_other_say_less() {
        let walk = |seed: u64| {
            let mut draws = Draws(seed);
            let mut at = 0.0;
            let step = move |_| {
                at = 0.98 * at + draws.normal();
                100.0 + at
            };
            Samples::new((0..20_000).map(step).collect())
        };
        let apart = (0..200u64).filter(|run| {
            let interval =
                Bootstrap { resamples: 1_000, ..HOW }.ratio(&walk(2 * run), &walk(2 * run + 1), 0.5).unwrap();
            !interval.contains(1.0)
        });
        // 5 % of 200 would be 10; batches of 380 with a time constant of 50 leave some of the dependence out.
        let apart = apart.count();
        assert!(apart <= 32, "{apart} of 200 found a difference that is not there");
        assert!(walk(1).inflation(0.5) > 20.0);
        assert!(uniform(1, 20_000, 0.0).inflation(0.5) < 2.0);
    }

    #[test]
    fn signed_samples_have_a_ratio_only_above_zero() {
        let from = |least: f64| Samples::new((0..199).map(|at| least + 0.1 * f64::from(at * 37 % 199)).collect());
        // From 1 to 21, from -30 to -10, from -10 to 10, in no order.
        let (above, below, across) = (from(1.0), from(-30.0), from(-10.0));
        for (a, b) in [(&below, &below), (&below, &above), (&above, &below), (&across, &above), (&above, &across)] {
            assert_eq!(HOW.ratio(a, b, 0.5), None, "{:?} {:?}", a.quantile(0.5), b.quantile(0.5));
        }
        // Nine tenths of the samples from -10 on lie below 8, and the resamples' quantiles above 6.
        assert!(HOW.ratio(&across, &across, 0.9).unwrap().contains(1.0));
        let mut zeros = vec![0.0; 50];
        let unsigned = Samples::new(zeros.clone());
        assert_eq!(HOW.ratio(&unsigned, &above, 0.5).map(|interval| interval.low), Some(f64::INFINITY));
        zeros.push(-1.0);
        let signed = Samples::new(zeros);
        assert_eq!(HOW.ratio(&signed, &above, 0.5), None);
        assert_eq!(HOW.ratio(&signed, &signed, 0.5), Some(Interval { low: 1.0, high: 1.0 }));
    }

    #[test]
    fn few_samples_have_no_interval_and_equal_ones_a_sure_one() {
        let four = Samples::new(vec![1.0; 4]);
        let five = Samples::new(vec![2.0, f64::NAN, 2.0, 2.0, 2.0, 2.0]);
        assert_eq!(HOW.ratio(&four, &five, 0.5), None);
        assert_eq!(HOW.ratio(&five, &five, 0.5), Some(Interval { low: 1.0, high: 1.0 }));
        let none = Samples::new(vec![0.0; 10]);
        assert_eq!(HOW.ratio(&none, &none, 0.5), Some(Interval { low: 1.0, high: 1.0 }));
        assert_eq!(HOW.ratio(&none, &five, 0.5).map(|interval| interval.low), Some(f64::INFINITY));
    }
}
