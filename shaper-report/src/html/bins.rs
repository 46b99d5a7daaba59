//! Many values made few, extremes kept, in memory that does not grow with them.

use super::palette;

/// Counts of whole numbers in buckets `2^-BITS` of an octave wide; numbers below `2^(BITS + 1)` have one each.
#[derive(Clone, Debug, Default)]
pub(super) struct Histogram<const BITS: u32> {
    counts: Vec<u64>,
    n: u64,
    least: u64,
    most: u64,
}

impl<const BITS: u32> Histogram<BITS> {
    fn bucket(value: u64) -> usize {
        let octave = value.max(1).ilog2().saturating_sub(BITS);
        ((octave as usize) << BITS) + (value >> octave) as usize
    }

    /// The middle of a bucket.
    fn middle(bucket: usize) -> u64 {
        let octave = (bucket >> BITS).saturating_sub(1);
        let low = ((bucket - (octave << BITS)) as u64) << octave;
        low + (1 << octave) / 2
    }

    pub(super) fn push(&mut self, value: u64) {
        let bucket = Self::bucket(value);
        if bucket >= self.counts.len() {
            self.counts.resize(bucket + 1, 0);
        }
        self.counts[bucket] += 1;
        self.least = if self.n == 0 { value } else { self.least.min(value) };
        self.most = self.most.max(value);
        self.n += 1;
    }

    fn merge(&mut self, other: &Self) {
        if other.n == 0 {
            return;
        }
        if other.counts.len() > self.counts.len() {
            self.counts.resize(other.counts.len(), 0);
        }
        for (mine, theirs) in self.counts.iter_mut().zip(&other.counts) {
            *mine += theirs;
        }
        self.least = if self.n == 0 { other.least } else { self.least.min(other.least) };
        self.most = self.most.max(other.most);
        self.n += other.n;
    }

    /// How many.
    pub(super) const fn n(&self) -> u64 {
        self.n
    }

    /// The largest, exactly; 0 of none.
    pub(super) const fn most(&self) -> u64 {
        self.most
    }

    /// The smallest, exactly; 0 of none.
    pub(super) const fn least(&self) -> u64 {
        self.least
    }

    /// Values and how many there are of each, ascending: the middle of a bucket, never outside what was put in.
    pub(super) fn values(&self) -> impl Iterator<Item = (u64, u64)> {
        let (least, most) = (self.least, self.most);
        let filled = self.counts.iter().enumerate().filter(|(_, count)| **count > 0);
        filled.map(move |(bucket, count)| (Self::middle(bucket).clamp(least, most), *count))
    }

    /// The median, to half the width of its bucket.
    pub(super) fn median(&self) -> Option<u64> {
        let mut left = self.n.checked_sub(1)? / 2;
        for (value, count) in self.values() {
            if left < count {
                return Some(value);
            }
            left -= count;
        }
        None
    }

    /// The steps of the distribution function: values, and the share up to each.
    pub(super) fn steps(&self) -> Vec<(f64, f64)> {
        let mut below = 0;
        let last = |below: u64| below == self.n;
        self.values()
            .map(|(value, count)| {
                below += count;
                let value = if last(below) { self.most } else { value };
                (value as f64, below as f64 / self.n as f64)
            })
            .collect()
    }
}

/// What two neighbouring stretches of time come to as one.
pub(super) trait Merge: Default {
    fn merge(&mut self, later: Self);
}

/// Stretches of time at most.
const MOST_STRETCHES: usize = 480;
/// The first width of a stretch, in nanoseconds.
const FIRST_WIDTH: u64 = 1 << 14;

/// Equal stretches of time from zero on. Their width doubles where time goes beyond them: there are never more than 480,
/// and where a run is longer than 8 ms never fewer than 240 up to its last packet.
#[derive(Clone, Debug)]
pub(super) struct Stretches<T> {
    width_ns: u64,
    bins: Vec<T>,
}

impl<T> Default for Stretches<T> {
    fn default() -> Self {
        Self { width_ns: FIRST_WIDTH, bins: Vec::new() }
    }
}

impl<T: Merge> Stretches<T> {
    /// The stretch that a time falls into.
    pub(super) fn at(&mut self, at_ns: u64) -> &mut T {
        while at_ns / self.width_ns >= MOST_STRETCHES as u64 {
            let mut merged = Vec::with_capacity(MOST_STRETCHES);
            let mut old = std::mem::take(&mut self.bins).into_iter();
            while let Some(mut first) = old.next() {
                if let Some(second) = old.next() {
                    first.merge(second);
                }
                merged.push(first);
            }
            self.bins = merged;
            self.width_ns *= 2;
        }
        let place = (at_ns / self.width_ns) as usize;
        if place >= self.bins.len() {
            self.bins.resize_with(place + 1, T::default);
        }
        &mut self.bins[place]
    }

    /// How long a stretch is, in seconds.
    pub(super) fn width_s(&self) -> f64 {
        self.width_ns as f64 / 1e9
    }

    /// The stretches, from zero on.
    pub(super) fn all(&self) -> &[T] {
        &self.bins
    }
}

/// Nanoseconds in a step of a band's histogram: medians of plots need no more.
const BAND_STEP: u64 = 1_000;

/// The values of one stretch of time, by their extremes and their median.
#[derive(Clone, Debug, Default)]
pub(super) struct Band {
    values: Histogram<5>,
    least: u64,
    most: u64,
}

impl Band {
    fn push(&mut self, value_ns: u64) {
        self.least = if self.values.n == 0 { value_ns } else { self.least.min(value_ns) };
        self.most = self.most.max(value_ns);
        self.values.push(value_ns / BAND_STEP);
    }

    /// Smallest, median and largest, in nanoseconds; the median to 2 % and a microsecond, never beyond the others.
    pub(super) fn figures(&self) -> Option<(u64, u64, u64)> {
        let median = self.values.median()?.saturating_mul(BAND_STEP);
        Some((self.least, median.clamp(self.least, self.most), self.most))
    }
}

impl Merge for Band {
    fn merge(&mut self, later: Self) {
        if later.values.n > 0 {
            self.least = if self.values.n == 0 { later.least } else { self.least.min(later.least) };
            self.most = self.most.max(later.most);
            self.values.merge(&later.values);
        }
    }
}

/// More points than this are binned.
const MOST_POINTS: usize = 1_500;

/// Points in time: as they are while they are few, and in stretches of time with their extremes.
#[derive(Clone, Debug, Default)]
pub(super) struct Cloud {
    /// The first points, time and value in nanoseconds; all of them while they are few.
    first: Vec<(u64, u64)>,
    bands: Stretches<Band>,
    n: u64,
    most: u64,
}

impl Cloud {
    pub(super) fn push(&mut self, at_ns: u64, value_ns: u64) {
        if self.first.len() < MOST_POINTS {
            self.first.push((at_ns, value_ns));
        }
        self.bands.at(at_ns).push(value_ns);
        self.n += 1;
        self.most = self.most.max(value_ns);
    }

    /// How many.
    pub(super) const fn n(&self) -> u64 {
        self.n
    }

    /// The largest value; 0 of none.
    pub(super) const fn most(&self) -> u64 {
        self.most
    }

    /// All points, where there are few.
    pub(super) fn points(&self) -> Option<&[(u64, u64)]> {
        (self.n == self.first.len() as u64).then_some(&self.first)
    }

    /// The points in stretches of time.
    pub(super) const fn bands(&self) -> &Stretches<Band> {
        &self.bands
    }
}

/// The order in which causes are stacked; the last stands for all losses of the harness.
pub(super) const STACKED: [&str; 4] = ["outage", "loss", "queue", "harness"];

/// What became of the packets of one stretch of time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Fates {
    pub(super) packets: u64,
    /// Dropped, by the causes of [`STACKED`].
    pub(super) dropped: [u64; STACKED.len()],
}

impl Fates {
    /// One more packet, dropped by `cause` or let through.
    pub(super) fn push(&mut self, cause: Option<&str>) {
        self.packets += 1;
        let class = cause.map(|cause| palette::of_cause(cause).class);
        if let Some(place) = class.and_then(|class| STACKED.iter().position(|stacked| *stacked == class)) {
            self.dropped[place] += 1;
        }
    }
}

impl Merge for Fates {
    fn merge(&mut self, later: Self) {
        self.packets += later.packets;
        for (mine, theirs) in self.dropped.iter_mut().zip(later.dropped) {
            *mine += theirs;
        }
    }
}

/// The share of values in each of `per_decade` steps a decade between two powers of ten: `(from, to, share)`, the ends
/// as logarithms to the base of ten. What lies outside falls into the first or last step.
pub(super) fn decades(
    values: impl Iterator<Item = (f64, u64)>,
    low: i32,
    high: i32,
    per_decade: i32,
) -> Vec<(f64, f64, f64)> {
    let steps = ((high - low) * per_decade).max(1);
    let mut counts = vec![0u64; steps as usize];
    let mut all = 0;
    for (value, n) in values {
        let place = (value.max(1e-9).log10() - f64::from(low)) * f64::from(per_decade);
        if let Some(count) = counts.get_mut((place.max(0.0) as usize).min(steps as usize - 1)) {
            *count += n;
        }
        all += n;
    }
    let edge = |step: usize| f64::from(low) + step as f64 / f64::from(per_decade);
    let share = |count: u64| count as f64 / all.max(1) as f64;
    counts.into_iter().enumerate().map(|(step, count)| (edge(step), edge(step + 1), share(count))).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn bands_keep_the_one_packet_that_stands_out() {
        let mut cloud = Cloud::default();
        for at in 0..100_000u64 {
            let value = match at {
                70_123 => 900_000_000,
                20_456 => 100,
                _ => 5_000_000,
            };
            cloud.push(at * 100_000, value);
        }
        assert!(cloud.points().is_none());
        let bands: Vec<_> = cloud.bands().all().iter().filter_map(Band::figures).collect();
        assert!((240..=480).contains(&bands.len()), "{}", bands.len());
        assert_eq!(bands.iter().map(|band| band.2).max(), Some(900_000_000));
        assert_eq!(bands.iter().map(|band| band.0).min(), Some(100));
        // Half a bucket is 1.6 % at most.
        assert!(bands.iter().all(|band| band.1.abs_diff(5_000_000) <= 80_000));
    }

    #[test]
    fn few_points_stay_as_they_are() {
        let mut cloud = Cloud::default();
        (0..1_500).for_each(|at| cloud.push(at, 2 * at));
        assert_eq!(cloud.points().map(<[_]>::len), Some(1_500));
        cloud.push(5_000, 1);
        assert_eq!((cloud.points(), cloud.n(), cloud.most()), (None, 1_501, 2_998));
    }

    #[test]
    fn fates_count_every_packet_once_and_harness_losses_apart() {
        let mut fates: Stretches<Fates> = Stretches::default();
        let last = 20 * FIRST_WIDTH;
        for (at, cause) in [(0, ""), (9, "loss"), (last, "outage"), (last + 1, "fill_ring"), (last + 2, "tx")] {
            fates.at(at).push((!cause.is_empty()).then_some(cause));
        }
        assert_eq!(fates.all()[0], Fates { packets: 2, dropped: [0, 1, 0, 0] });
        assert_eq!(fates.all()[20], Fates { packets: 3, dropped: [1, 0, 0, 2] });
        // Time goes on: stretches become longer, and nothing is lost.
        fates.at(1 << 40).push(None);
        assert_eq!(fates.all()[0], Fates { packets: 5, dropped: [1, 1, 0, 2] });
    }

    #[test]
    fn decades_hold_all_values() {
        let values = [-3.0, 0.5, 5.0, 50.0, 5e6].into_iter().map(|value| (value, 1));
        let shares = decades(values, 0, 3, 2);
        assert_eq!(shares.len(), 6);
        assert!((shares.iter().map(|(_, _, share)| share).sum::<f64>() - 1.0).abs() < 1e-12);
        assert_eq!(shares[0], (0.0, 0.5, 0.4));
        assert_eq!(shares[5].2, 0.2);
    }

    proptest! {
        #[test]
        fn a_histogram_is_as_fine_as_it_says(mut values in prop::collection::vec(any::<u64>(), 1..200)) {
            let mut histogram = Histogram::<7>::default();
            values.iter().for_each(|value| histogram.push(*value));
            values.sort_unstable();
            let exact = values[(values.len() - 1) / 2];
            let found = histogram.median().unwrap();
            prop_assert!(found.abs_diff(exact) as f64 <= exact as f64 / 128.0, "{found} for {exact}");
            let steps = histogram.steps();
            prop_assert_eq!(steps.last().copied(), Some((values[values.len() - 1] as f64, 1.0)));
            prop_assert!(steps.is_sorted());
            prop_assert_eq!((histogram.least(), histogram.n()), (values[0], values.len() as u64));
        }

        #[test]
        fn time_in_any_order_and_of_any_length_finds_a_stretch(times in prop::collection::vec(any::<u64>(), 1..100)) {
            let mut fates: Stretches<Fates> = Stretches::default();
            times.iter().for_each(|at| fates.at(*at).push(None));
            prop_assert!(fates.all().len() <= MOST_STRETCHES);
            prop_assert_eq!(fates.all().iter().map(|bin| bin.packets).sum::<u64>(), times.len() as u64);
        }
    }
}
