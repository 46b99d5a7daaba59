//! Shapes of jitter that profiles know by name, and a delay that has one.

use serde::Serialize;

use crate::fit::special::normal_quantile;

/// The standard deviation of a quarter of a normal and three quarters of a Pareto deviate with the same probability, as
/// profiles define `paretonormal`: `sqrt(1/16 + 9/16 + 6/16 c)` with `c = 0.678352789549996`.
const PARETO_NORMAL_SIGMA: f64 = 0.937_753_856_873_566;
/// Bisections of a distribution function.
const HALVINGS: usize = 60;

/// The distribution of the jitter, in its unit around zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Shape {
    /// No jitter.
    Constant,
    /// Uniform from -1 to 1.
    Uniform,
    /// Normal.
    Normal,
    /// Pareto of shape 3, with mean 0 and standard deviation 1: `(u^(-1/3) - 3/2) / sqrt(3/4)` for the share `u` above.
    Pareto,
    /// A quarter normal and three quarters Pareto at one probability, scaled to a standard deviation of 1.
    ParetoNormal,
}

impl Shape {
    pub(super) const ALL: [Self; 5] = [Self::Constant, Self::Uniform, Self::Normal, Self::Pareto, Self::ParetoNormal];

    /// As profiles have it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Constant => "constant",
            Self::Uniform => "uniform",
            Self::Normal => "normal",
            Self::Pareto => "pareto",
            Self::ParetoNormal => "paretonormal",
        }
    }

    /// The point below which such a share lies.
    pub(super) fn quantile(self, share: f64) -> f64 {
        let pareto = || ((1.0 - share).max(f64::EPSILON).powf(-1.0 / 3.0) - 1.5) / 0.75f64.sqrt();
        match self {
            Self::Constant => 0.0,
            Self::Uniform => 2.0 * share - 1.0,
            Self::Normal => normal_quantile(share),
            Self::Pareto => pareto(),
            Self::ParetoNormal => (normal_quantile(share) + 3.0 * pareto()) / 4.0 / PARETO_NORMAL_SIGMA,
        }
    }

    /// The share up to a point.
    fn share(self, at: f64) -> f64 {
        match self {
            Self::Constant => f64::from(u8::from(at >= 0.0)),
            Self::Uniform => f64::midpoint(at, 1.0).clamp(0.0, 1.0),
            Self::Pareto => {
                let root = at * 0.75f64.sqrt() + 1.5;
                if root <= 1.0 { 0.0 } else { 1.0 - root.powi(-3) }
            }
            Self::Normal | Self::ParetoNormal => {
                let (mut below, mut reached) = (0.0, 1.0);
                for _ in 0..HALVINGS {
                    let middle = f64::midpoint(below, reached);
                    if self.quantile(middle) <= at {
                        below = middle;
                    } else {
                        reached = middle;
                    }
                }
                below
            }
        }
    }
}

/// A delay of a shape: `max(floor, delay + jitter * shape)`, in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Shaped {
    pub(super) shape: Shape,
    pub(super) delay: f64,
    pub(super) jitter: f64,
    /// What is cut comes out as this.
    pub(super) floor: Option<f64>,
}

impl Shaped {
    pub(super) fn quantile(&self, share: f64) -> f64 {
        let value = self.delay + self.jitter * self.shape.quantile(share);
        self.floor.map_or(value, |floor| value.max(floor))
    }

    /// The share of packets that take so long at most.
    pub(super) fn cdf(&self, at: f64) -> f64 {
        if self.floor.is_some_and(|floor| at < floor) {
            return 0.0;
        }
        if self.jitter <= 0.0 {
            return f64::from(u8::from(at >= self.delay));
        }
        self.shape.share((at - self.delay) / self.jitter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_have_mean_0_and_the_spread_that_their_name_says() {
        for (shape, square) in [(Shape::Uniform, 1.0 / 3.0), (Shape::Normal, 1.0), (Shape::Pareto, 1.0)] {
            let points = (0..2_000_000).map(|n| shape.quantile((f64::from(n) + 0.5) / 2e6));
            let (sum, squares) = points.fold((0.0, 0.0), |(sum, squares), x| (sum + x, squares + x * x));
            // Of the Pareto's square a little lies beyond the last point.
            assert!((sum / 2e6).abs() < 1e-3, "{}: {}", shape.name(), sum / 2e6);
            assert!((squares / 2e6 / square - 1.0).abs() < 0.02, "{}: {}", shape.name(), squares / 2e6);
        }
    }

    #[test]
    fn shares_and_quantiles_undo_each_other() {
        for shape in [Shape::Uniform, Shape::Normal, Shape::Pareto, Shape::ParetoNormal] {
            for share in [0.001, 0.2, 0.5, 0.77, 0.9995] {
                assert!((shape.share(shape.quantile(share)) - share).abs() < 1e-9, "{} {share}", shape.name());
            }
        }
    }

    #[test]
    fn what_is_cut_lies_at_the_floor() {
        let cut = Shaped { shape: Shape::Uniform, delay: 15.0, jitter: 30.0, floor: Some(0.0) };
        assert_eq!((cut.quantile(0.1), cut.cdf(-1e-9), cut.cdf(0.0)), (0.0, 0.0, 0.25));
    }
}
