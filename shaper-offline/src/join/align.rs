//! Two lists of times with one key, aligned in order within a window.

/// Pairs elements of two ascending lists of times, each at most once and in order: `expected`
/// with `seen`, when `seen - expected` lies in `early..=late` around `bias`. Calls `pair` with
/// both positions and whether another partner would have done.
///
/// Where several would do, the nearer one is taken, so that one missing element does not shift
/// all behind it; `bias` is what `seen - expected` usually is. `reach` is how much earlier than
/// `early` the partner of an expected one may be; 0 behind its end.
pub(super) fn align(
    expected: &[i64],
    seen: &[i64],
    reach: &[i64],
    bias: i64,
    (early, late): (i64, i64),
    mut pair: impl FnMut(usize, usize, bool),
) {
    let apart = |i: usize, j: usize| -> Option<i64> {
        Some(seen.get(j)?.saturating_sub(*expected.get(i)?).saturating_sub(bias))
    };
    let earliest = |i: usize| early.saturating_sub(reach.get(i).copied().unwrap_or(0));
    let fits = |i: usize, apart: i64| (earliest(i)..=late).contains(&apart);
    let (mut i, mut j) = (0, 0);
    while let Some(here) = apart(i, j) {
        if here < earliest(i) {
            j += 1;
            continue;
        }
        if here > late {
            i += 1;
            continue;
        }
        let next_seen = apart(i, j + 1).filter(|&apart| fits(i, apart));
        let next_expected = apart(i + 1, j).filter(|&apart| fits(i + 1, apart));
        let behind = apart(i + 1, j + 1).map(i64::abs);
        // The next one is nearer to this one than to its own neighbour: skip.
        let skip = |other: Option<i64>| {
            other.is_some_and(|other| other.abs() < here.abs() && behind.is_none_or(|behind| other.abs() < behind))
        };
        if skip(next_seen) {
            j += 1;
            continue;
        }
        if skip(next_expected) {
            i += 1;
            continue;
        }
        let before = |i: Option<usize>, j: Option<usize>| {
            i.zip(j).is_some_and(|(i, j)| apart(i, j).is_some_and(|apart| fits(i, apart)))
        };
        let ambiguous = next_seen.is_some()
            || next_expected.is_some()
            || before(i.checked_sub(1), Some(j))
            || before(Some(i), j.checked_sub(1));
        pair(i, j, ambiguous);
        i += 1;
        j += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::align;

    fn pairs(expected: &[i64], seen: &[i64], bias: i64) -> Vec<(usize, usize, bool)> {
        let mut pairs = Vec::new();
        align(expected, seen, &[], bias, (-50, 50), |i, j, ambiguous| pairs.push((i, j, ambiguous)));
        pairs
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
    fn a_known_bias_larger_than_the_spacing_is_taken_out() {
        let expected: Vec<i64> = (0..10).map(|n| n * 20).collect();
        let seen: Vec<i64> = expected.iter().map(|t| t + 30).collect();
        let got: Vec<_> = pairs(&expected, &seen, 30).iter().map(|p| (p.0, p.1)).collect();
        assert_eq!(got, (0..10).map(|n| (n, n)).collect::<Vec<_>>());
    }

    #[test]
    fn a_batch_stamped_late_pairs_in_order_as_far_back_as_each_reaches() {
        let mut pairs = Vec::new();
        let expected = [1000, 1000, 1000];
        align(&expected, &[700, 800, 900], &[300, 200, 100], 0, (-50, 50), |i, j, _| pairs.push((i, j)));
        assert_eq!(pairs, [(0, 0), (1, 1), (2, 2)]);
        pairs.clear();
        align(&expected, &[700, 800, 900], &[0, 0, 100], 0, (-50, 50), |i, j, _| pairs.push((i, j)));
        assert_eq!(pairs, []);
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
