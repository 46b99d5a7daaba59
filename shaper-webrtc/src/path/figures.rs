//! Distributions and their figures.

use shaper_offline::stats::{Budget, Distribution, nearest_rank};

use super::result::Summary;

/// Samples of one distribution that are kept as they are.
pub(super) const CAPACITY: usize = 16_384;
/// Words that all distributions of a report may take together: 256 MiB.
const WORDS: usize = 32 << 20;

/// What mapping one clock to another may cost: more is no noise.
pub(super) const CLOCK_NS: i64 = 1_000_000;

/// What the distributions of a report take their memory from.
pub(super) fn budget() -> Budget {
    Budget::of(WORDS)
}

/// None without samples.
pub(super) fn summary(of: &mut Distribution) -> Option<Summary> {
    let ranks = [500, 900, 950, 990].map(|permille| nearest_rank(of.count(), permille));
    let [p50, p90, p95, p99] = of.at_ranks(ranks);
    Some(Summary {
        count: of.count(),
        mean: of.mean()?,
        min: of.min()?,
        p50: p50?,
        p90: p90?,
        p95: p95?,
        p99: p99?,
        max: of.max()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_by_nearest_rank() {
        let mut of = Distribution::within(CAPACITY, &budget());
        assert_eq!(summary(&mut of), None);
        (1..=100).for_each(|value| of.push(value));
        let of = summary(&mut of).unwrap();
        assert_eq!((of.count, of.min, of.p50, of.p90, of.p95, of.p99, of.max), (100, 1, 50, 90, 95, 99, 100));
        assert!((of.mean - 50.5).abs() < 1e-9);
    }
}
