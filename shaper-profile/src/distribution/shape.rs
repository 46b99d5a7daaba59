//! Shapes of jitter beside the uniform and the normal one: curves known by formula, and tables that someone wrote.

use std::fmt;

use super::normal::upper_quantile;
use super::table::{TableFile, Unit};

/// The standard deviation of a quarter of a normal and three quarters of a Pareto deviate with the same probability:
/// `sqrt(1/16 + 9/16 + 6/16 c)`, where `c = 0.678352789549996` is the integral over z of `z phi(z) P(Q(z))` with the
/// normal density `phi` and upper tail `Q` and the Pareto quantile `P` by upper tail. By quadrature; see the tests.
const PARETO_NORMAL_SIGMA: f64 = 0.937_753_856_873_566;

/// A share of the distribution, told from the nearer end so that it keeps its precision.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Tail {
    /// So much lies below.
    Lower(f64),
    /// So much lies above.
    Upper(f64),
}

impl Tail {
    /// What lies below.
    pub(super) fn probability(self) -> f64 {
        match self {
            Self::Lower(share) => share,
            Self::Upper(share) => 1.0 - share,
        }
    }

    /// What lies above.
    fn survival(self) -> f64 {
        match self {
            Self::Lower(share) => 1.0 - share,
            Self::Upper(share) => share,
        }
    }

    /// The point that so much lies below.
    pub(super) fn of(probability: f64) -> Self {
        if probability < 0.5 { Self::Lower(probability) } else { Self::Upper(1.0 - probability) }
    }
}

/// The shape of a delay's distribution, where that is a table in the kernel.
#[derive(Clone, Debug, PartialEq)]
pub enum Shape {
    /// Pareto of shape 3, with mean 0 and standard deviation 1: `(u^(-1/3) - 3/2) / sqrt(3/4)` for a uniform `u`.
    ///
    /// The table `pareto` of netem is the same curve with the factor 4/3 instead of 1.1547, so that its standard
    /// deviation is 1.15, and clipped at 4, which meets 1.1 % of packets. This one is not clipped: the largest of 2^32
    /// draws is 2363.
    Pareto,
    /// A quarter normal and three quarters Pareto, added at equal probability as in netem, with mean 0 and standard
    /// deviation 1. Not clipped either.
    ParetoNormal,
    /// A table.
    Table(TableFile),
}

impl Shape {
    /// The quantile in units of the jitter, or in nanoseconds for a table of delays.
    pub(super) fn quantile(&self, tail: Tail) -> f64 {
        match self {
            Self::Pareto => pareto(tail),
            Self::ParetoNormal => {
                let normal = match tail {
                    Tail::Lower(share) => -upper_quantile(share),
                    Tail::Upper(share) => upper_quantile(share),
                };
                (normal + 3.0 * pareto(tail)) / 4.0 / PARETO_NORMAL_SIGMA
            }
            Self::Table(table) => table.quantile(tail.probability()),
        }
    }

    /// Whether the jitter says nothing: the table's values are delays by themselves.
    #[must_use]
    pub fn is_absolute(&self) -> bool {
        matches!(self, Self::Table(table) if table.unit() == Unit::Delay)
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Pareto => "pareto",
            Self::ParetoNormal => "paretonormal",
            Self::Table(table) => table.name(),
        })
    }
}

fn pareto(tail: Tail) -> f64 {
    (tail.survival().powf(-1.0 / 3.0) - 1.5) / 0.75f64.sqrt()
}

#[cfg(test)]
mod tests {
    use super::super::normal::{density, normal_cdf};
    use super::*;

    /// Mean and variance as integrals over a normal deviate, by the trapezoidal rule, which is all but exact for
    /// integrands that end as flat as these.
    fn moments(shape: &Shape) -> (f64, f64) {
        let step = 1.0 / 64.0;
        let points = (-64 * 12..64 * 30).map(|number| f64::from(number) * step).map(|z| {
            let tail = if z < 0.0 { Tail::Lower(normal_cdf(z)) } else { Tail::Upper(normal_cdf(-z)) };
            (shape.quantile(tail), density(z) * step)
        });
        points.fold((0.0, 0.0), |(mean, square), (x, weight)| (mean + x * weight, square + x * x * weight))
    }

    #[test]
    fn curves_have_mean_0_and_standard_deviation_1() {
        for shape in [Shape::Pareto, Shape::ParetoNormal] {
            let (mean, square) = moments(&shape);
            assert!(mean.abs() < 1e-9 && (square - 1.0).abs() < 1e-9, "{shape}: {mean:e}, {square}");
        }
    }

    #[test]
    fn the_pareto_has_shape_3() {
        // Eight times rarer is twice as far from where the distribution begins, less its mean.
        let start = -0.5 / 0.75f64.sqrt();
        assert!((Shape::Pareto.quantile(Tail::Lower(1e-12)) - start).abs() < 1e-11);
        let x = |tail| Shape::Pareto.quantile(Tail::Upper(tail)) + 1.5 / 0.75f64.sqrt();
        assert!((x(1e-6 / 8.0) / x(1e-6) - 2.0).abs() < 1e-12);
    }
}
