//! Two lists of times with one key, aligned in order within a window.

/// Something that was to be seen.
#[derive(Clone, Copy)]
pub(super) struct Expected {
    /// When.
    pub(super) ts: i64,
    /// How much earlier than the window its partner may be.
    pub(super) reach: i64,
    /// Whose it is: neighbours with the same one stand for each other.
    pub(super) of: usize,
}

/// What two stamps of one packet may differ by, now more and now less, where nothing is wrong.
const NOISE: i64 = 1_000_000;

/// Crowds of both lists: elements that are no farther apart than `width` from the next.
struct Crowds<'a> {
    expected: &'a [Expected],
    seen: &'a [i64],
    bias: i64,
    width: i64,
}

impl Crowds<'_> {
    /// Where the crowd ends that begins with the earlier of both, in each list.
    fn end(&self, mut i: usize, mut j: usize) -> (usize, usize) {
        let mut last = None;
        loop {
            let expected = self.expected.get(i).map(|expected| expected.ts.saturating_add(self.bias));
            let seen = self.seen.get(j).copied();
            let is_expected = match (expected, seen) {
                (None, None) => return (i, j),
                (Some(expected), Some(seen)) => expected <= seen,
                (expected, _) => expected.is_some(),
            };
            let Some(next) = (if is_expected { expected } else { seen }) else { return (i, j) };
            if last.is_some_and(|last| next.saturating_sub(last) > self.width) {
                return (i, j);
            }
            last = Some(next);
            if is_expected {
                i += 1;
            } else {
                j += 1;
            }
        }
    }
}

/// Pairs elements of two ascending lists of times, each at most once and in order: `expected`
/// with `seen`, when `seen - expected` lies in `early..=late` around `bias`. Calls `pair` with
/// both positions and whether another partner would have done.
///
/// Where several would do, the nearer one is taken, so that one missing element does not shift
/// all behind it; `bias` is what `seen - expected` usually is. Of a crowd, in which no two
/// neighbours are farther apart than the window is wide, none is left over for being a little
/// nearer to another, where both lists have as many. Where the neighbours of an expected
/// one are of the same, as many partners beside its own are left to them, and none is another.
pub(super) fn align(
    expected: &[Expected],
    seen: &[i64],
    bias: i64,
    (early, late): (i64, i64),
    mut pair: impl FnMut(usize, usize, bool),
) {
    let apart = |i: usize, j: usize| -> Option<i64> {
        Some(seen.get(j)?.saturating_sub(expected.get(i)?.ts).saturating_sub(bias))
    };
    let earliest = |i: usize| early.saturating_sub(expected.get(i).map_or(0, |expected| expected.reach));
    let fitting = |i: usize, j: usize| apart(i, j).filter(|apart| (earliest(i)..=late).contains(apart));
    let reach = expected.iter().map(|expected| expected.reach).max().unwrap_or(0);
    let crowd = Crowds { expected, seen, bias, width: late.saturating_sub(early).saturating_add(reach) };
    let (mut i, mut j) = (0, 0);
    let mut ends = (0, 0);
    while let Some(here) = apart(i, j) {
        if i >= ends.0 && j >= ends.1 {
            ends = crowd.end(i, j);
        }
        if here < earliest(i) {
            j += 1;
            continue;
        }
        if here > late {
            i += 1;
            continue;
        }
        let behind = apart(i + 1, j + 1).map(i64::abs);
        // The next one is nearer to this one than to its own neighbour: skip.
        let skip = |other: Option<i64>, has_more: bool| {
            other.is_some_and(|other| {
                other.abs() < here.abs()
                    && behind.is_none_or(|behind| other.abs() < behind)
                    && (has_more || here.abs() - other.abs() > NOISE)
            })
        };
        let left = (ends.0.saturating_sub(i), ends.1.saturating_sub(j));
        if skip(fitting(i, j + 1), left.1 > left.0) {
            j += 1;
            continue;
        }
        if skip(fitting(i + 1, j), left.0 > left.1) {
            i += 1;
            continue;
        }
        let same = |other: &&Expected| expected.get(i).is_some_and(|this| this.of == other.of);
        let before = expected.iter().take(i).rev().take_while(same).count() + 1;
        let behind = expected.iter().skip(i + 1).take_while(same).count() + 1;
        let others = [
            (Some(i), Some(j + behind)),
            (Some(i + behind), Some(j)),
            (i.checked_sub(before), Some(j)),
            (Some(i), j.checked_sub(before)),
        ];
        let ambiguous = others.into_iter().any(|(i, j)| i.zip(j).is_some_and(|(i, j)| fitting(i, j).is_some()));
        pair(i, j, ambiguous);
        i += 1;
        j += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::{Expected, align};

    fn pairs_of(expected: &[Expected], seen: &[i64], bias: i64) -> Vec<(usize, usize, bool)> {
        let mut pairs = Vec::new();
        align(expected, seen, bias, (-50, 50), |i, j, ambiguous| pairs.push((i, j, ambiguous)));
        pairs
    }

    fn pairs(expected: &[i64], seen: &[i64], bias: i64) -> Vec<(usize, usize, bool)> {
        let expected: Vec<Expected> =
            expected.iter().enumerate().map(|(of, &ts)| Expected { ts, reach: 0, of }).collect();
        pairs_of(&expected, seen, bias)
    }

    #[test]
    fn times_far_apart_pair_one_to_one() {
        let want = vec![(0, 0, false), (1, 1, false), (2, 2, false)];
        assert_eq!(pairs(&[0, 1000, 2000], &[3, 1004, 1996], 0), want);
    }

    #[test]
    fn a_missing_one_does_not_shift_those_behind_it() {
        let expected: Vec<i64> = (0..10).map(|n| n * 20).collect();
        let mut seen: Vec<i64> = expected.iter().map(|t| t + 1).collect();
        seen.remove(4);
        let got: Vec<_> = pairs(&expected, &seen, 0).iter().map(|p| (p.0, p.1)).collect();
        let want: Vec<_> = (0..4).map(|n| (n, n)).chain((5..10).map(|n| (n, n - 1))).collect();
        assert_eq!(got, want);
        // The same with one too many.
        let got: Vec<_> = pairs(&seen, &expected, 0).iter().map(|p| (p.1, p.0)).collect();
        assert_eq!(got, want);
    }

    #[test]
    fn in_a_crowd_of_as_many_none_is_left_over_however_their_stamps_wobble() {
        let expected: Vec<i64> = (0..400).map(|n| n * 2_000).collect();
        let seen: Vec<i64> = (0..400).map(|n| n * 2_000 + [900, 7_000, 100, 3_000, 2_999][n as usize % 5]).collect();
        let mut sorted = seen;
        sorted.sort_unstable();
        let mut paired = Vec::new();
        let all: Vec<Expected> = expected.iter().enumerate().map(|(of, &ts)| Expected { ts, reach: 0, of }).collect();
        align(&all, &sorted, 0, (-50_000_000, 50_000_000), |i, j, _| paired.push((i, j)));
        assert_eq!(paired, (0..400).map(|n| (n, n)).collect::<Vec<_>>());
    }

    #[test]
    fn a_known_bias_larger_than_the_spacing_is_taken_out() {
        let expected: Vec<i64> = (0..10).map(|n| n * 20).collect();
        let seen: Vec<i64> = expected.iter().map(|t| t + 30).collect();
        let got: Vec<_> = pairs(&expected, &seen, 30).iter().map(|p| (p.0, p.1)).collect();
        assert_eq!(got, (0..10).map(|n| (n, n)).collect::<Vec<_>>());
    }

    #[test]
    fn a_batch_stamped_late_pairs_in_order_as_far_back_as_each_reaches() {
        let batch = |reach: [i64; 3]| {
            let expected = [0, 1, 2].map(|of| Expected { ts: 1000, reach: reach[of], of });
            pairs_of(&expected, &[700, 800, 900], 0).iter().map(|p| (p.0, p.1)).collect::<Vec<_>>()
        };
        assert_eq!(batch([300, 200, 100]), [(0, 0), (1, 1), (2, 2)]);
        assert_eq!(batch([0, 0, 100]), []);
    }

    #[test]
    fn what_stands_for_each_other_is_not_ambiguous() {
        let of = |ts: i64, of: usize| Expected { ts, reach: 0, of };
        let three = [of(0, 7), of(10, 7), of(20, 7)];
        let clear = [(0, 0, false), (1, 1, false), (2, 2, false)];
        assert_eq!(pairs_of(&three, &[1, 11, 21], 0), clear);
        // One is missing: whose the others are is clear.
        assert_eq!(pairs_of(&three, &[1, 21], 0), [(0, 0, false), (2, 1, false)]);
        // One too many, and one of another nearby.
        assert_eq!(pairs_of(&three, &[1, 11, 21, 22], 0).iter().filter(|pair| pair.2).count(), 3);
        let two = [of(0, 7), of(10, 7), of(20, 8), of(30, 8)];
        let pairs = pairs_of(&two, &[1, 11, 21, 31], 0);
        assert_eq!(pairs, [(0, 0, true), (1, 1, true), (2, 2, true), (3, 3, true)]);
        // Far apart, each has its own.
        let two = [of(0, 7), of(10, 7), of(200, 8), of(210, 8)];
        assert!(pairs_of(&two, &[1, 11, 201, 211], 0).iter().all(|pair| pair.0 == pair.1 && !pair.2));
    }

    #[test]
    fn what_does_not_fit_stays_alone() {
        assert_eq!(pairs(&[0], &[100], 0), vec![]);
        assert_eq!(pairs(&[100], &[0], 0), vec![]);
        assert_eq!(pairs(&[], &[0], 0), vec![]);
        assert_eq!(pairs(&[0, 10], &[5], 0).len(), 1);
        assert!(pairs(&[0, 10], &[5], 0)[0].2, "two would have done");
    }
}
