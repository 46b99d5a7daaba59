//! One stream at one point: its numbers, and when each was first seen.

use super::unwrap::{Guide, Unwrapper};

/// Numbers and times.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Series {
    /// Number and time, one for each number, ascending.
    entries: Vec<(i64, i64)>,
    /// What was seen of a number that had been seen before.
    pub(super) duplicates: u64,
}

impl Series {
    /// From whole numbers and times.
    pub(super) fn new(mut entries: Vec<(i64, i64)>) -> Self {
        entries.sort_unstable();
        let all = entries.len();
        entries.dedup_by_key(|entry| entry.0);
        let duplicates = (all - entries.len()) as u64;
        Self { entries, duplicates }
    }

    /// From times and numbers as they are on the wire; without a guide the order of time tells the
    /// whole ones.
    pub(super) fn seen(mut seen: Vec<(i64, u16)>, guide: Option<&Guide>) -> Self {
        if let Some(guide) = guide {
            let whole = |(time, sequence)| guide.whole(time, sequence).map(|number| (number, time));
            return Self::new(seen.into_iter().filter_map(whole).collect());
        }
        seen.sort_by_key(|seen| seen.0);
        let mut unwrapper = Unwrapper::default();
        Self::new(seen.into_iter().map(|(time, sequence)| (unwrapper.next(sequence), time)).collect())
    }

    /// What this one is a guide for.
    pub(super) fn guide(&self) -> Guide {
        Guide::new(self.entries.iter().map(|(number, time)| (*time, *number)).collect())
    }

    pub(super) fn len(&self) -> u64 {
        self.entries.len() as u64
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// When a number was first seen.
    pub(super) fn get(&self, number: i64) -> Option<i64> {
        let at = self.entries.binary_search_by_key(&number, |entry| entry.0).ok()?;
        self.entries.get(at).map(|entry| entry.1)
    }

    pub(super) fn has(&self, number: i64) -> bool {
        self.get(number).is_some()
    }

    /// Numbers and times, in order of numbers.
    pub(super) fn iter(&self) -> impl Iterator<Item = (i64, i64)> + '_ {
        self.entries.iter().copied()
    }

    /// The lowest and the highest number.
    pub(super) fn range(&self) -> Option<(i64, i64)> {
        Some((self.entries.first()?.0, self.entries.last()?.0))
    }

    /// When anything was last seen.
    pub(super) fn last_time(&self) -> Option<i64> {
        self.entries.iter().map(|entry| entry.1).max()
    }

    /// Entries whose numbers are in a range, both ends included.
    pub(super) fn within(&self, (first, last): (i64, i64)) -> &[(i64, i64)] {
        let from = self.entries.partition_point(|entry| entry.0 < first);
        let to = self.entries.partition_point(|entry| entry.0 <= last);
        self.entries.get(from..to.max(from)).unwrap_or_default()
    }

    /// Numbers between the lowest and the highest that were not seen.
    pub(super) fn gaps(&self) -> u64 {
        self.range().map_or(0, |range| span(range).saturating_sub(self.len()))
    }
}

/// Numbers in a range, both ends included.
pub(super) fn span((first, last): (i64, i64)) -> u64 {
    u64::try_from(last.saturating_sub(first).saturating_add(1)).unwrap_or(0)
}

/// Ranges that do not touch, ascending.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Ranges(Vec<(i64, i64)>);

impl Ranges {
    /// All that any of the ranges has.
    pub(super) fn union(mut ranges: Vec<(i64, i64)>) -> Self {
        ranges.sort_unstable();
        let mut union: Vec<(i64, i64)> = Vec::new();
        for range in ranges {
            match union.last_mut() {
                Some(last) if range.0 <= last.1.saturating_add(1) => last.1 = last.1.max(range.1),
                _ => union.push(range),
            }
        }
        Self(union)
    }

    pub(super) fn has(&self, number: i64) -> bool {
        let after = self.0.partition_point(|range| range.0 <= number);
        after.checked_sub(1).and_then(|at| self.0.get(at)).is_some_and(|range| number <= range.1)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (i64, i64)> + '_ {
        self.0.iter().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_series_keeps_the_first_time_of_each_number_and_counts_the_others() {
        let series = Series::seen(vec![(30, 1), (10, 65_535), (20, 0), (40, 0), (50, 3)], None);
        assert_eq!(series.iter().collect::<Vec<_>>(), [(65_535, 10), (65_536, 20), (65_537, 30), (65_539, 50)]);
        assert_eq!((series.duplicates, series.gaps(), series.len()), (1, 1, 4));
        assert_eq!(series.within((65_536, 65_538)).len(), 2);
        assert_eq!(series.get(65_538), None);
    }

    #[test]
    fn ranges_that_touch_are_one() {
        let ranges = Ranges::union(vec![(5, 7), (0, 2), (3, 3), (10, 10)]);
        assert_eq!(ranges.iter().collect::<Vec<_>>(), [(0, 3), (5, 7), (10, 10)]);
        let inside: Vec<i64> = (-1..12).filter(|number| ranges.has(*number)).collect();
        assert_eq!(inside, [0, 1, 2, 3, 5, 6, 7, 10]);
    }
}
