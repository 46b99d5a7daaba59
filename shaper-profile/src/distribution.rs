//! The distribution of a delay as it comes out: base, jitter around it, cut at zero.

use shaper_common::delay::{Jitter, delay};
use shaper_common::layout::Params;
use shaper_common::units::Nanos;

/// The exact distribution of whole-nanosecond delays of one direction, queueing not included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DelayDistribution {
    kind: Jitter,
    base: Nanos,
    jitter: Nanos,
}

impl DelayDistribution {
    /// The distribution that these settings make.
    #[must_use]
    pub fn of(params: &Params) -> Self {
        let kind = Jitter::from_raw(params.jitter_kind).unwrap_or(Jitter::None);
        Self { kind, base: params.delay, jitter: if kind == Jitter::None { Nanos::ZERO } else { params.jitter } }
    }

    /// The probability of a delay no longer than `at`.
    ///
    /// Uniform: one of `2 jitter + 1` whole offsets. Normal: magnitudes are rounded towards the base, as
    /// the decision rounds them; the decision's table adds an error below 2e-5.
    #[must_use]
    pub fn cdf(&self, at: Nanos) -> f64 {
        let (base, jitter, at) = (self.base.0, self.jitter.0, at.0);
        match self.kind {
            Jitter::None => f64::from(u8::from(at >= base)),
            Jitter::Uniform => {
                let reached = (i128::from(at) - i128::from(base) + i128::from(jitter) + 1).max(0);
                (reached as f64 / (2.0 * jitter as f64 + 1.0)).min(1.0)
            }
            Jitter::Normal if at >= base => normal_cdf(((at - base) as f64 + 1.0) / jitter as f64),
            Jitter::Normal => normal_cdf(-((base - at) as f64) / jitter as f64),
        }
    }

    /// The share of packets with no delay at all: what the cut moves to zero.
    #[must_use]
    pub fn zero_share(&self) -> f64 {
        self.cdf(Nanos::ZERO)
    }

    /// Whether the cut at zero is felt: by uniform jitter larger than the base, by normal jitter from one
    /// packet in ten million up.
    #[must_use]
    pub fn is_cut(&self) -> bool {
        match self.kind {
            Jitter::None => false,
            Jitter::Uniform => self.jitter > self.base,
            Jitter::Normal => self.zero_share() >= 1e-7,
        }
    }

    /// The mean, after the cut.
    ///
    /// Uniform on `[d-j, d+j]` with `j > d`: `(d+j)^2 / 4j`. Normal: `d Phi(d/s) + s phi(d/s)`.
    #[must_use]
    pub fn mean(&self) -> Nanos {
        let (base, jitter) = (self.base.0 as f64, self.jitter.0 as f64);
        Nanos(match self.kind {
            Jitter::Uniform if self.jitter > self.base => ((base + jitter).powi(2) / (4.0 * jitter)).round() as u64,
            Jitter::Normal => {
                let z = base / jitter;
                let density = (-0.5 * z * z).exp() / (2.0 * std::f64::consts::PI).sqrt();
                (base * normal_cdf(z) + jitter * density).round() as u64
            }
            Jitter::None | Jitter::Uniform => self.base.0,
        })
    }

    /// The least delay that the given share of packets does not exceed.
    #[must_use]
    pub fn quantile(&self, share: f64) -> Nanos {
        let (mut below, mut reached) = (0, self.max().0);
        // The least value whose cdf reaches the share, by bisection over whole nanoseconds.
        while below < reached {
            let middle = below + (reached - below) / 2;
            if self.cdf(Nanos(middle)) >= share {
                reached = middle;
            } else {
                below = middle + 1;
            }
        }
        Nanos(reached)
    }

    /// The shortest delay that can come out.
    #[must_use]
    pub fn min(&self) -> Nanos {
        let draw = if self.kind == Jitter::Normal { 1 << 31 } else { 0 };
        delay(&self.params(), draw)
    }

    /// The longest delay that can come out: for a normal distribution that of one packet in 2^32.
    #[must_use]
    pub fn max(&self) -> Nanos {
        let draw = if self.kind == Jitter::Normal { 0 } else { u32::MAX };
        delay(&self.params(), draw)
    }

    /// The kind of jitter; [`Jitter::None`] where the jitter is zero.
    #[must_use]
    pub const fn kind(&self) -> Jitter {
        self.kind
    }

    fn params(&self) -> Params {
        Params { delay: self.base, jitter: self.jitter, jitter_kind: self.kind as u32, ..Params::default() }
    }
}

/// The standard normal distribution function, to about 1e-15.
///
/// Abramowitz and Stegun 26.2.11 (series) up to 3, 26.2.14 (Laplace's continued fraction) beyond.
#[must_use]
pub fn normal_cdf(z: f64) -> f64 {
    let magnitude = z.abs();
    let density = (-0.5 * z * z).exp() / (2.0 * std::f64::consts::PI).sqrt();
    let tail = if magnitude > 3.0 {
        density / (1..120).rev().fold(magnitude, |below, k| magnitude + f64::from(k) / below)
    } else {
        let (mut term, mut sum) = (magnitude, magnitude);
        for k in 1..60 {
            term *= z * z / f64::from(2 * k + 1);
            sum += term;
        }
        0.5 - density * sum
    };
    if z < 0.0 { tail } else { 1.0 - tail }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MILLI: u64 = 1_000_000;

    fn distribution(kind: Jitter, base: u64, jitter: u64) -> DelayDistribution {
        DelayDistribution { kind, base: Nanos(base), jitter: Nanos(jitter) }
    }

    #[test]
    fn wifi_has_a_quarter_at_zero_and_a_mean_of_16_9_ms() {
        let wifi = distribution(Jitter::Uniform, 15 * MILLI, 30 * MILLI);
        assert!((wifi.zero_share() - 0.25).abs() < 1e-7);
        assert_eq!(wifi.mean(), Nanos(16_875_000));
        assert_eq!((wifi.min(), wifi.max()), (Nanos::ZERO, Nanos(45 * MILLI)));
        assert_eq!(wifi.quantile(0.2), Nanos::ZERO);
        assert!(wifi.quantile(0.5).0.abs_diff(15 * MILLI) <= 1);
        assert_eq!(wifi.quantile(1.0), wifi.max());
    }

    #[test]
    fn the_cdf_of_a_narrow_uniform_counts_whole_nanoseconds() {
        let narrow = distribution(Jitter::Uniform, 10, 2);
        let cdf: Vec<f64> = (7..=12).map(|at| narrow.cdf(Nanos(at)) * 5.0).collect();
        assert_eq!(cdf, [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
        let cut = distribution(Jitter::Uniform, 1, 2);
        assert!((cut.zero_share() - 0.4).abs() < 1e-12);
        assert!(cut.is_cut() && !narrow.is_cut() && !distribution(Jitter::Uniform, 2, 2).is_cut());
    }

    #[test]
    fn the_normal_cdf_is_that_of_published_tables() {
        for (z, expected) in [
            (0.0, 0.5),
            (1.0, 0.841_344_746_068_543),
            (-1.0, 0.158_655_253_931_457),
            (1.959_963_984_540_054, 0.975),
            (-3.090_232_306_167_814, 1e-3),
            (-4.753_424_308_822_899, 1e-6),
        ] {
            assert!((normal_cdf(z) / expected - 1.0).abs() < 1e-12, "{z}: {}", normal_cdf(z));
        }
        assert!((normal_cdf(3.0 - 1e-9) - normal_cdf(3.0 + 1e-9)).abs() < 1e-10);
    }

    #[test]
    fn a_normal_far_from_zero_keeps_its_mean_and_a_cut_one_gains() {
        let far = distribution(Jitter::Normal, 100 * MILLI, 5 * MILLI);
        assert_eq!(far.mean(), Nanos(100 * MILLI));
        assert!(far.zero_share() < 1e-80);
        assert!(far.quantile(0.999_999).0.abs_diff(100 * MILLI + 23_767_122) < 10);
        let cut = distribution(Jitter::Normal, 10 * MILLI, 10 * MILLI);
        assert!((cut.zero_share() - 0.158_655).abs() < 1e-6);
        assert!(cut.mean().0.abs_diff(10_833_155) < 10);
        assert_eq!(cut.min(), Nanos::ZERO);
        assert!(cut.max() > Nanos(73 * MILLI));
    }

    #[test]
    fn a_delay_without_jitter_is_one_value() {
        let constant = distribution(Jitter::None, 20 * MILLI, 0);
        assert_eq!((constant.min(), constant.mean(), constant.max()), (constant.base, constant.base, constant.base));
        assert_eq!(constant.cdf(Nanos(20 * MILLI - 1)), 0.0);
        assert_eq!(constant.quantile(0.5), Nanos(20 * MILLI));
    }
}
