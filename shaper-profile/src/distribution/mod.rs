//! The distribution of a delay as it comes out: base, jitter around it, cut at zero.
//!
//! Uniform and normal jitter are computed by the decision. All other shapes (`shape`, `table`) are compiled to a
//! table of quantiles (`fit`), and what is said of those is counted in that table (`realised`).

mod fit;
mod normal;
mod realised;
mod shape;
mod table;

use std::sync::Arc;

use shaper_common::delay::{Jitter, delay};
use shaper_common::layout::Params;
use shaper_common::quantile::Quantiles;
use shaper_common::units::Nanos;

pub use fit::{Fitted, quantiles};
pub use normal::normal_cdf;
pub(crate) use realised::quantile;
pub use shape::Shape;
pub use table::{TableError, TableFile, Unit};

use normal::density;

/// The share of packets from which on a cut at zero is felt: one in ten million.
const FELT: f64 = 1e-7;

/// The exact distribution of whole-nanosecond delays of one direction, queueing not included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DelayDistribution(Form);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Form {
    Constant(Nanos),
    Uniform { base: Nanos, jitter: Nanos },
    Normal { base: Nanos, jitter: Nanos },
    Table { quantiles: Arc<Quantiles>, is_cut: bool },
}

impl DelayDistribution {
    /// The distribution that these settings make. Those of a table are not in them, see [`Self::of_table`].
    #[must_use]
    pub fn of(params: &Params) -> Self {
        let (base, jitter) = (params.delay, params.jitter);
        Self(match Jitter::from_raw(params.jitter_kind) {
            Some(Jitter::Uniform) => Form::Uniform { base, jitter },
            Some(Jitter::Normal) => Form::Normal { base, jitter },
            Some(Jitter::None | Jitter::Table) | None => Form::Constant(base),
        })
    }

    /// The distribution that this table makes.
    #[must_use]
    pub fn of_table(fitted: Fitted) -> Self {
        Self(Form::Table { quantiles: Arc::from(fitted.quantiles), is_cut: fitted.cut_share >= FELT })
    }

    /// The table, where there is one.
    #[must_use]
    pub const fn table(&self) -> Option<&Arc<Quantiles>> {
        match &self.0 {
            Form::Table { quantiles, .. } => Some(quantiles),
            _ => None,
        }
    }

    /// The probability of a delay no longer than `at`.
    ///
    /// Uniform: one of `2 jitter + 1` whole offsets. Normal: magnitudes are rounded towards the base, as
    /// the decision rounds them; the decision's table adds an error below 2e-5. A table: of all 2^32 draws.
    #[must_use]
    pub fn cdf(&self, at: Nanos) -> f64 {
        match self.0 {
            Form::Constant(base) => f64::from(u8::from(at >= base)),
            Form::Uniform { base, jitter } => {
                let reached = (i128::from(at.0) - i128::from(base.0) + i128::from(jitter.0) + 1).max(0);
                (reached as f64 / (2.0 * jitter.0 as f64 + 1.0)).min(1.0)
            }
            Form::Normal { base, jitter } if at >= base => normal_cdf(((at.0 - base.0) as f64 + 1.0) / jitter.0 as f64),
            Form::Normal { base, jitter } => normal_cdf(-((base.0 - at.0) as f64) / jitter.0 as f64),
            Form::Table { ref quantiles, .. } => realised::cdf(quantiles, at),
        }
    }

    /// The share of packets with no delay at all: what the cut moves to zero, and of a table whatever is zero.
    #[must_use]
    pub fn zero_share(&self) -> f64 {
        self.cdf(Nanos::ZERO)
    }

    /// Whether the cut at zero is felt: by uniform jitter larger than the base, by other jitter from one packet in ten
    /// million up.
    #[must_use]
    pub fn is_cut(&self) -> bool {
        match self.0 {
            Form::Constant(_) => false,
            Form::Uniform { base, jitter } => jitter > base,
            Form::Normal { .. } => self.zero_share() >= FELT,
            Form::Table { is_cut, .. } => is_cut,
        }
    }

    /// The mean, after the cut.
    ///
    /// Uniform on `[d-j, d+j]` with `j > d`: `(d+j)^2 / 4j`. Normal: `d Phi(d/s) + s phi(d/s)`. A table: of all draws.
    #[must_use]
    pub fn mean(&self) -> Nanos {
        Nanos(self.moments().0.round() as u64)
    }

    /// The standard deviation, after the cut.
    ///
    /// From the mean square. Uniform on `[d-j, d+j]` with `j > d`: `(d+j)^3 / 6j`. Normal:
    /// `(d^2 + s^2) Phi(d/s) + d s phi(d/s)`. A table: of all draws.
    #[must_use]
    pub fn sigma(&self) -> Nanos {
        Nanos(self.moments().1.round() as u64)
    }

    /// Mean and standard deviation in nanoseconds.
    fn moments(&self) -> (f64, f64) {
        let sigma = |square: f64, mean: f64| (square - mean * mean).max(0.0).sqrt();
        match self.0 {
            Form::Constant(base) => (base.0 as f64, 0.0),
            Form::Uniform { base, jitter } if jitter > base => {
                let (reach, jitter) = ((base.0 + jitter.0) as f64, jitter.0 as f64);
                let mean = reach.powi(2) / (4.0 * jitter);
                (mean, sigma(reach.powi(3) / (6.0 * jitter), mean))
            }
            Form::Uniform { base, jitter } => (base.0 as f64, jitter.0 as f64 / 3f64.sqrt()),
            Form::Normal { base, jitter } => {
                let (base, jitter) = (base.0 as f64, jitter.0 as f64);
                let z = base / jitter;
                let mean = base * normal_cdf(z) + jitter * density(z);
                // Far from the cut the squares would cancel.
                let square = (base * base + jitter * jitter) * normal_cdf(z) + base * jitter * density(z);
                (mean, if z > 8.0 { jitter } else { sigma(square, mean) })
            }
            Form::Table { ref quantiles, .. } => {
                let moments = realised::moments(quantiles);
                (moments.mean, moments.sigma)
            }
        }
    }

    /// The least delay that the given share of packets does not exceed.
    #[must_use]
    pub fn quantile(&self, share: f64) -> Nanos {
        if let Form::Table { quantiles, .. } = &self.0 {
            return realised::quantile(quantiles, share);
        }
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
        match self.0 {
            Form::Uniform { .. } => self.of_draw(0),
            _ => self.of_draw(1 << 31),
        }
    }

    /// The longest delay that can come out: for all but uniform ones that of one packet in 2^32.
    #[must_use]
    pub fn max(&self) -> Nanos {
        match self.0 {
            Form::Uniform { .. } => self.of_draw(u32::MAX),
            _ => self.of_draw(0),
        }
    }

    /// The kind of jitter; [`Jitter::None`] where the jitter is zero.
    #[must_use]
    pub const fn kind(&self) -> Jitter {
        match self.0 {
            Form::Constant(_) => Jitter::None,
            Form::Uniform { .. } => Jitter::Uniform,
            Form::Normal { .. } => Jitter::Normal,
            Form::Table { .. } => Jitter::Table,
        }
    }

    /// What the decision makes of a draw.
    fn of_draw(&self, draw: u32) -> Nanos {
        let params = |delay, jitter| Params { delay, jitter, jitter_kind: self.kind() as u32, ..Params::default() };
        match self.0 {
            Form::Constant(base) => base,
            Form::Uniform { base, jitter } | Form::Normal { base, jitter } => delay(&params(base, jitter), base, draw),
            Form::Table { ref quantiles, .. } => quantiles.delay(draw),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MILLI: u64 = 1_000_000;

    fn distribution(kind: Jitter, base: u64, jitter: u64) -> DelayDistribution {
        let params =
            Params { delay: Nanos(base), jitter: Nanos(jitter), jitter_kind: kind as u32, ..Params::default() };
        DelayDistribution::of(&params)
    }

    #[test]
    fn wifi_has_a_quarter_at_zero_and_a_mean_of_16_9_ms() {
        let wifi = distribution(Jitter::Uniform, 15 * MILLI, 30 * MILLI);
        assert!((wifi.zero_share() - 0.25).abs() < 1e-7);
        assert_eq!(wifi.mean(), Nanos(16_875_000));
        // Mean square 45^3/180 in ms.
        assert!((wifi.sigma().0 as f64 / 1e6 - (506.25f64 - 16.875f64.powi(2)).sqrt()).abs() < 1e-6);
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
    fn a_normal_far_from_zero_keeps_its_mean_and_a_cut_one_gains() {
        let far = distribution(Jitter::Normal, 100 * MILLI, 5 * MILLI);
        assert_eq!(far.mean(), Nanos(100 * MILLI));
        assert_eq!(far.sigma(), Nanos(5 * MILLI));
        assert!(far.zero_share() < 1e-80);
        assert!(far.quantile(0.999_999).0.abs_diff(100 * MILLI + 23_767_122) < 10);
        let cut = distribution(Jitter::Normal, 10 * MILLI, 10 * MILLI);
        assert!((cut.zero_share() - 0.158_655).abs() < 1e-6);
        assert!(cut.mean().0.abs_diff(10_833_155) < 10);
        // Mean square 2 Phi(1) + phi(1) in units of 10 ms.
        assert!((cut.sigma().0 as f64 / 1e7 - (1.924_660_2f64 - 1.083_315_5f64.powi(2)).sqrt()).abs() < 1e-6);
        assert_eq!(cut.min(), Nanos::ZERO);
        assert!(cut.max() > Nanos(73 * MILLI));
    }

    #[test]
    fn a_delay_without_jitter_is_one_value() {
        let constant = distribution(Jitter::None, 20 * MILLI, 0);
        assert_eq!(
            (constant.min(), constant.mean(), constant.max()),
            (Nanos(20 * MILLI), Nanos(20 * MILLI), Nanos(20 * MILLI))
        );
        assert_eq!(constant.sigma(), Nanos::ZERO);
        assert_eq!(constant.cdf(Nanos(20 * MILLI - 1)), 0.0);
        assert_eq!(constant.quantile(0.5), Nanos(20 * MILLI));
    }
}
