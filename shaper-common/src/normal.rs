//! Standard normal deviates by table: 32 octaves of tail probability, 32 linear segments each.
//!
//! Octaves keep the relative precision of the tail out to 2^-33, so nothing is clipped at four sigma.
//! The error of the realised distribution function is below 2e-5 everywhere (see the tests).

use crate::normal_table::UPPER_QUANTILES;
use crate::octave::{self, Place, WEIGHT_BITS};

/// The fixed point of a deviate: 2^24 is one sigma.
pub const ONE_SIGMA_SHIFT: u32 = 24;

/// A deviate: sign and magnitude in units of 2^-24 sigma.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deviate {
    /// Below the mean.
    pub negative: bool,
    /// How far from the mean, at most 6.4 sigma.
    pub magnitude: u32,
}

/// The deviate of a uniform 32-bit draw, by inversion.
#[inline(always)]
#[must_use]
pub fn deviate(draw: u32) -> Deviate {
    let Place { segment, weight, .. } = octave::place(octave::tail(draw));
    let (upper, lower) = match (UPPER_QUANTILES.get(segment), UPPER_QUANTILES.get(segment + 1)) {
        (Some(upper), Some(lower)) if segment < 1024 => (*upper as u64, *lower as u64),
        _ => (0, 0),
    };
    // Quantiles fall as the tail grows: upper >= lower.
    let magnitude = upper - (((upper - lower) * weight) >> WEIGHT_BITS);
    Deviate { negative: octave::is_lower(draw), magnitude: magnitude as u32 }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The upper tail of the standard normal distribution by Laplace's continued fraction (Abramowitz
    /// and Stegun 26.2.14) for large arguments and by the series 26.2.10 for small ones: independent of
    /// the algorithm that made the table.
    fn upper_tail(z: f64) -> f64 {
        let density = (-0.5 * z * z).exp() / (2.0 * core::f64::consts::PI).sqrt();
        if z > 2.5 {
            let fraction = (1..200).rev().fold(z, |tail, k| z + f64::from(k) / tail);
            density / fraction
        } else {
            let (mut term, mut sum) = (z, z);
            for k in 1..200 {
                term *= z * z / f64::from(2 * k + 1);
                sum += term;
            }
            0.5 - density * sum
        }
    }

    #[test]
    fn table_holds_the_quantiles_of_the_normal_distribution() {
        for (entry, value) in UPPER_QUANTILES.iter().enumerate() {
            let (octave, step) = (entry / 32, entry % 32);
            let tail = 2f64.powi(octave as i32 - 33) * (1.0 + step as f64 / 32.0);
            let got = upper_tail(f64::from(*value) / f64::from(1 << ONE_SIGMA_SHIFT));
            assert!((got / tail - 1.0).abs() < 1e-6, "entry {entry}: tail {got:e} instead of {tail:e}");
        }
    }

    #[test]
    fn interpolated_deviates_keep_the_distribution_function_within_2e_5() {
        let mut worst = 0f64;
        for step in 0..200_000u32 {
            let draw = step * 10_737;
            if draw >> 31 == 1 {
                continue;
            }
            let tail = (f64::from(draw) + 0.5) / 2f64.powi(32);
            let z = f64::from(deviate(draw).magnitude) / f64::from(1 << ONE_SIGMA_SHIFT);
            worst = worst.max((upper_tail(z) - tail).abs());
        }
        assert!(worst < 2e-5, "worst error of the distribution function {worst:e}");
    }

    #[test]
    fn the_tail_is_not_clipped_at_four_sigma() {
        let far = deviate(0);
        assert!(f64::from(far.magnitude) / f64::from(1 << ONE_SIGMA_SHIFT) > 6.2);
        assert!(!far.negative && deviate(1 << 31).negative);
        assert_eq!(deviate(1 << 31).magnitude, far.magnitude);
        assert!(deviate(u32::MAX).magnitude < 16);
    }
}
