//! Proportions: the exact binomial interval and its test.

use super::special::incomplete_beta;
use crate::stats::Interval;

/// P(X <= count) of `of` trials with probability `p` each.
fn at_most(count: u64, of: u64, p: f64) -> f64 {
    if count >= of { 1.0 } else { incomplete_beta((of - count) as f64, count as f64 + 1.0, 1.0 - p) }
}

/// P(X >= count) of `of` trials with probability `p` each.
fn at_least(count: u64, of: u64, p: f64) -> f64 {
    if count == 0 { 1.0 } else { incomplete_beta(count as f64, (of.saturating_sub(count)) as f64 + 1.0, p) }
}

/// The Clopper-Pearson interval of `count` among `of` that misses the true probability no more often than
/// `error`; the whole of `[0, 1]` where `of` is zero.
///
/// Source: Clopper and Pearson, "The Use of Confidence or Fiducial Limits Illustrated in the Case of the
/// Binomial", 1934.
#[must_use]
pub fn clopper_pearson(count: u64, of: u64, error: f64) -> Interval {
    if of == 0 {
        return Interval { low: 0.0, high: 1.0 };
    }
    let tail = error / 2.0;
    let low = if count == 0 { 0.0 } else { bisect(|p| at_least(count, of, p) >= tail) };
    let high = if count >= of { 1.0 } else { bisect(|p| at_most(count, of, p) < tail) };
    Interval { low, high }
}

/// The smallest `p` in `[0, 1]` for which a condition that is false below it holds.
fn bisect(holds: impl Fn(f64) -> bool) -> f64 {
    let (mut low, mut high) = (0.0, 1.0);
    while high - low > 1e-13 {
        let middle = 0.5 * (low + high);
        if holds(middle) {
            high = middle;
        } else {
            low = middle;
        }
    }
    0.5 * (low + high)
}

/// The two-sided probability of a count at least as far off as `count` if each of `of` had probability `p`:
/// twice the smaller tail, so that it falls below `error` just where [`clopper_pearson`] leaves `p` out.
#[must_use]
pub fn binomial_p(count: u64, of: u64, p: f64) -> f64 {
    (2.0 * at_most(count, of, p).min(at_least(count, of, p))).min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clopper_pearson_gives_the_published_intervals() {
        // Newcombe, 1998, table I, method 5.
        for (count, of, low, high) in
            [(81, 263, 0.2527, 0.3676), (15, 148, 0.0578, 0.1617), (0, 20, 0.0, 0.1684), (1, 29, 0.0009, 0.1776)]
        {
            let interval = clopper_pearson(count, of, 0.05);
            assert!((interval.low - low).abs() < 6e-5, "{count} of {of}: low {}", interval.low);
            assert!((interval.high - high).abs() < 6e-5, "{count} of {of}: high {}", interval.high);
        }
        assert_eq!(clopper_pearson(0, 0, 0.05), Interval { low: 0.0, high: 1.0 });
        assert_eq!(clopper_pearson(20, 20, 0.05).high, 1.0);
    }

    #[test]
    fn the_interval_leaves_out_just_what_the_test_rejects() {
        for (count, of, p) in [(30, 1000, 0.05), (62, 1000, 0.05), (75, 1000, 0.05), (480, 10_000, 0.05), (0, 90, 0.05)]
        {
            for error in [0.05, 0.001] {
                let inside = clopper_pearson(count, of, error).contains(p);
                assert_eq!(inside, binomial_p(count, of, p) >= error, "{count} of {of} at {error}");
            }
        }
    }
}
