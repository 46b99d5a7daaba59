//! The empirical distribution as a table of quantiles.

use serde::Serialize;

use super::distance::Distribution;

/// Steps of the middle, as fine as the tables that decide.
const MIDDLE: usize = 128;
/// Halvings of a tail at most.
const TAIL: i32 = 24;

/// A point of a quantile function.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct TablePoint {
    /// The share of packets up to it.
    pub probability: f64,
    /// The delay, in nanoseconds.
    pub delay_ns: i64,
}

/// The inverse of the empirical distribution function, linear between points.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Table(pub(super) Vec<TablePoint>);

impl Table {
    /// Of a sorted sample: a point each 1/128, which is as fine as profiles' tables are in the middle, and towards each end
    /// four for each halving of what is left, down to one packet. Nothing is cut off: the ends are the smallest and the
    /// largest delay.
    pub(super) fn of(sorted: &[i64]) -> Self {
        let n = sorted.len();
        let least = 1.0 / n.max(1) as f64;
        let mut shares: Vec<f64> = (0..=MIDDLE).map(|step| step as f64 / MIDDLE as f64).collect();
        for halving in 7..=TAIL {
            for quarter in 0..4 {
                let share = 2f64.powi(-halving) * (1.0 - f64::from(quarter) / 8.0);
                if share >= least {
                    shares.extend([share, 1.0 - share]);
                }
            }
        }
        shares.sort_by(f64::total_cmp);
        shares.dedup();
        let last = n.saturating_sub(1);
        let value = |share: f64| {
            // Linear between order statistics (definition 7 of Hyndman and Fan, 1996): the ends are the extremes.
            let place = share * last as f64;
            let lower = place.floor() as usize;
            let at = |rank: usize| sorted.get(rank.min(last)).copied().unwrap_or(0);
            let (from, to) = (at(lower), at(lower + 1));
            from + ((to - from) as f64 * (place - lower as f64)).round() as i64
        };
        let mut points: Vec<TablePoint> = Vec::with_capacity(shares.len());
        for share in shares {
            let point = TablePoint { probability: share, delay_ns: value(share) };
            // Of points at one delay the first and the last say all.
            if let [.., earlier, before] = points.as_mut_slice()
                && earlier.delay_ns == point.delay_ns
                && before.delay_ns == point.delay_ns
            {
                *before = point;
                continue;
            }
            points.push(point);
        }
        Self(points)
    }
}

impl Distribution for Table {
    fn cdf(&self, at: f64) -> f64 {
        let place = self.0.partition_point(|point| point.delay_ns as f64 <= at);
        let before = place.checked_sub(1).and_then(|before| self.0.get(before));
        match (before, self.0.get(place)) {
            (Some(from), Some(to)) => {
                let weight = (at - from.delay_ns as f64) / (to.delay_ns - from.delay_ns) as f64;
                from.probability + (to.probability - from.probability) * weight
            }
            (None, _) => 0.0,
            (Some(_), None) => 1.0,
        }
    }

    fn quantile(&self, share: f64) -> f64 {
        let place = self.0.partition_point(|point| point.probability < share);
        let before = place.checked_sub(1).and_then(|before| self.0.get(before));
        match (before, self.0.get(place)) {
            (Some(from), Some(to)) => {
                let weight = (share - from.probability) / (to.probability - from.probability);
                from.delay_ns as f64 + (to.delay_ns - from.delay_ns) as f64 * weight
            }
            (Some(end), None) | (None, Some(end)) => end.delay_ns as f64,
            (None, None) => 0.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::distance::{ks, wasserstein};
    use super::*;

    #[test]
    fn a_table_rises_from_the_smallest_to_the_largest_and_is_its_sample() {
        let mut draws = crate::fit::draws::Draws::new(9);
        let mut sample: Vec<i64> = (0..50_000).map(|_| (1e6 * draws.uniform().powf(-1.0 / 3.0)) as i64).collect();
        sample.extend([2_000_000; 5_000]);
        sample.sort_unstable();
        let table = Table::of(&sample);
        let (first, last) = (table.0[0], table.0[table.0.len() - 1]);
        assert_eq!((first.probability, first.delay_ns), (0.0, sample[0]));
        assert_eq!((last.probability, last.delay_ns), (1.0, sample[sample.len() - 1]));
        assert!(table.0.windows(2).all(|pair| pair[0].probability < pair[1].probability));
        assert!(table.0.windows(2).all(|pair| pair[0].delay_ns <= pair[1].delay_ns));
        // A leap that ends between points is off by one part at most.
        assert!(ks(&table, &sample, 0) < 1.0 / 128.0, "{}", ks(&table, &sample, 0));
        let mean = sample.iter().sum::<i64>() as f64 / sample.len() as f64;
        assert!(wasserstein(&table, &sample) < 0.02 * mean);
    }

    #[test]
    fn equal_delays_are_two_points() {
        assert_eq!(Table::of(&[7; 1_000]).0.len(), 2);
        let single = Table::of(&[7]);
        assert_eq!((single.cdf(6.9), single.cdf(7.0), single.quantile(0.3)), (0.0, 1.0, 7.0));
    }
}
