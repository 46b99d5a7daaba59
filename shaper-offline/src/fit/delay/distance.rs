//! How far measured delays are from a distribution.

/// Points of the sample that are looked at.
const POINTS: usize = 4_096;

/// A distribution of delays in nanoseconds.
pub(super) trait Distribution {
    /// The share of packets that take so long at most.
    fn cdf(&self, at: f64) -> f64;
    /// The delay that such a share does not exceed.
    fn quantile(&self, share: f64) -> f64;
}

impl Distribution for super::shape::Shaped {
    fn cdf(&self, at: f64) -> f64 {
        Self::cdf(self, at)
    }

    fn quantile(&self, share: f64) -> f64 {
        Self::quantile(self, share)
    }
}

/// The largest difference of the distribution functions (Kolmogorov-Smirnov) that is left where either may be moved by
/// `resolution` nanoseconds: `sup max(G(x) - F(x + d), F(x - d) - G(x))`.
///
/// `sorted` is the sample. Of a large one 4096 of its points are looked at, evenly by rank, so the distance may be larger by
/// 1/4096.
pub(super) fn ks(of: &impl Distribution, sorted: &[i64], resolution: i64) -> f64 {
    let n = sorted.len();
    let mut far = 0.0f64;
    for point in 0..n.min(POINTS) {
        let Some(x) = sorted.get(point * n / n.min(POINTS)).copied() else { continue };
        let below = sorted.partition_point(|other| *other < x) as f64 / n as f64;
        let reached = sorted.partition_point(|other| *other <= x) as f64 / n as f64;
        far = far.max(reached - of.cdf(x.saturating_add(resolution) as f64));
        far = far.max(of.cdf(x.saturating_sub(resolution).saturating_sub(1) as f64) - below);
    }
    far
}

/// The mean difference of the quantile functions (Wasserstein, of order 1), in nanoseconds, over 4096 of their points.
pub(super) fn wasserstein(of: &impl Distribution, sorted: &[i64]) -> f64 {
    let n = sorted.len();
    let off = |point: usize| {
        let share = (point as f64 + 0.5) / POINTS as f64;
        let measured = sorted.get(((share * n as f64) as usize).min(n.saturating_sub(1))).copied().unwrap_or(0);
        (of.quantile(share) - measured as f64).abs()
    };
    (0..POINTS).map(off).sum::<f64>() / POINTS as f64
}

#[cfg(test)]
mod tests {
    use super::super::shape::{Shape, Shaped};
    use super::*;

    #[test]
    fn distances_are_those_by_hand() {
        let uniform = Shaped { shape: Shape::Uniform, delay: 50.0, jitter: 50.0, floor: None };
        // Evenly from 0 to 100: at no distance but that of the steps.
        let even: Vec<i64> = (0..=100).collect();
        assert!(ks(&uniform, &even, 0) < 0.02, "{}", ks(&uniform, &even, 0));
        // All at 80: 0.8 lies below.
        assert!((ks(&uniform, &[80; 10], 0) - 0.79).abs() < 1e-9);
        assert!((ks(&uniform, &[80; 10], 10) - 0.69).abs() < 1e-9);
        // The mean of |x - 80| over 0 to 100.
        assert!((wasserstein(&uniform, &[80; 10]) - 34.0).abs() < 0.01);
    }

    #[test]
    fn what_lies_within_the_resolution_is_at_no_distance_from_a_constant() {
        let constant = Shaped { shape: Shape::Constant, delay: 1_000.0, jitter: 0.0, floor: None };
        let sample: Vec<i64> = (950..=1_050).collect();
        assert_eq!(ks(&constant, &sample, 50), 0.0);
        assert!(ks(&constant, &sample, 10) > 0.3);
    }
}
