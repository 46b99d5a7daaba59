//! The Kolmogorov-Smirnov test of samples against a given distribution.

use super::special::kolmogorov_exceeds;

/// The largest distance between the distribution function of ascending samples and a given one; `None`
/// without samples.
///
/// `cdf` gives the probability of a value up to the sample, `below` that of a smaller one: the same for a
/// continuous distribution, and that of the value before it for one of whole numbers. With a step between
/// the two, a sample's own step is no distance.
#[must_use]
pub fn ks_distance(ascending: &[f64], cdf: impl Fn(f64) -> f64, below: impl Fn(f64) -> f64) -> Option<f64> {
    let n = ascending.len() as f64;
    let distances = ascending.iter().enumerate().map(|(rank, sample)| {
        // Among samples that are alike the last has the largest of the one, the first that of the other.
        ((rank as f64 + 1.0) / n - cdf(*sample)).max(below(*sample) - rank as f64 / n)
    });
    distances.reduce(f64::max)
}

/// The probability of a distance at least as large from `n` samples of the given distribution, if that is
/// continuous; with steps it is no more than this.
///
/// Source: Kolmogorov's limit, with the correction for finite n of Stephens, "EDF Statistics for Goodness
/// of Fit and Some Comparisons", 1974.
#[must_use]
pub fn ks_p(distance: f64, n: u64) -> f64 {
    let root = (n as f64).sqrt();
    if n == 0 { 1.0 } else { kolmogorov_exceeds((root + 0.12 + 0.11 / root) * distance) }
}

/// How far the true distribution function may lie from that of `n` samples, but for a probability of
/// `error`; 1 without samples.
///
/// Source: Dvoretzky, Kiefer and Wolfowitz, 1956, with the constant of Massart, 1990.
#[must_use]
pub fn dkw_margin(n: u64, error: f64) -> f64 {
    if n == 0 { 1.0 } else { ((2.0 / error).ln() / (2.0 * n as f64)).sqrt().min(1.0) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agreement::testing::Uniform;

    #[test]
    fn the_distance_counts_both_sides_of_a_step() {
        let cdf = |x: f64| x.clamp(0.0, 1.0);
        assert_eq!(ks_distance(&[0.5], cdf, cdf), Some(0.5));
        assert_eq!(ks_distance(&[0.1, 0.2, 0.3], cdf, cdf).map(|d| (d * 10.0).round()), Some(7.0));
        assert_eq!(ks_distance(&[], cdf, cdf), None);
    }

    #[test]
    fn the_step_of_a_whole_number_is_no_distance() {
        // A fair die, thrown as often as it has sides: nothing is off at all.
        let die = |x: f64| (x / 6.0).clamp(0.0, 1.0);
        let throws = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
        let distance = ks_distance(&throws, die, |x| die(x - 1.0)).unwrap();
        assert!(distance < 1e-12, "{distance}");
        // One that shows no 1 is off by that side's share.
        let loaded = ks_distance(&[2.0, 2.0, 3.0, 4.0, 5.0, 6.0], die, |x| die(x - 1.0)).unwrap();
        assert!((loaded - 1.0 / 6.0).abs() < 1e-12, "{loaded}");
    }

    #[test]
    fn p_gives_the_tabulated_critical_values() {
        // Miller, "Table of Percentage Points of Kolmogorov Statistics", 1956, two-sided.
        for (n, distance, p) in
            [(20, 0.294_08, 0.05), (40, 0.252_05, 0.01), (100, 0.134_03, 0.05), (100, 0.160_81, 0.01)]
        {
            let got = ks_p(distance, n);
            assert!((got / p - 1.0).abs() < 0.03, "n = {n}, D = {distance}: {got} against {p}");
        }
    }

    #[test]
    fn p_of_the_true_distribution_is_uniform() {
        let mut uniform = Uniform::seeded(7);
        let mut p_values: Vec<f64> = (0..1000)
            .map(|_| {
                let mut samples: Vec<f64> = (0..300).map(|_| uniform.draw()).collect();
                samples.sort_by(f64::total_cmp);
                ks_p(ks_distance(&samples, |x| x, |x| x).unwrap(), 300)
            })
            .collect();
        p_values.sort_by(f64::total_cmp);
        // A fixed seed: at 0.001 this distance of 1,000 samples would be 0.0615.
        let distance = ks_distance(&p_values, |x| x, |x| x).unwrap();
        assert!(distance < 0.0615, "p-values off uniform by {distance}");
    }
}
