//! The most packets that a server on one core sends on: the load rises until somebody cannot carry it.

use anyhow::Result;

use super::trial::{Bound, Taken};

/// How often a load that was not carried is tried again: on a machine with other work a burst is lost now and then.
const AGAIN: u32 = 1;

/// Where a search ended.
#[derive(Debug)]
pub(super) struct Most {
    /// The largest load that was carried, if one was.
    pub(super) carried: Option<Taken>,
    /// Who could not carry the next; `Carried` where the largest of all was.
    pub(super) bound: Bound,
}

/// Doubles from `first` to at most `limit`, then halves the interval between what was carried and what was not.
pub(super) fn most(first: u32, limit: u32, mut trial: impl FnMut(u32) -> Result<Taken>) -> Result<Most> {
    let mut found = Most { carried: None, bound: Bound::Carried };
    let (mut low, mut high) = (0, limit + 1);
    let mut next = first.min(limit);
    while low + 1 < high {
        let mut taken = trial(next)?;
        for _ in 0..AGAIN {
            if taken.bound() != Bound::Carried {
                taken = trial(next)?;
            }
        }
        match taken.bound() {
            Bound::Carried => {
                low = next;
                found.carried = Some(taken);
            }
            bound => {
                high = next;
                found.bound = bound;
            }
        }
        next = if found.bound == Bound::Carried { (2 * low).min(limit) } else { low.midpoint(high) };
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::super::trial::tests::taken;
    use super::*;

    /// What a search finds where up to `carried` are, and which loads it tried.
    fn found(carried: u32) -> (Most, Vec<u32>) {
        let mut tried = Vec::new();
        let found = most(4, 39, |tracks| {
            tried.push(tracks);
            let mut taken = taken();
            taken.steady.forwarded = f64::from(tracks);
            if tracks > carried {
                taken.summary.frames_skipped = 1;
            }
            Ok(taken)
        });
        (found.unwrap(), tried)
    }

    #[test]
    fn the_largest_load_that_is_carried_is_found() {
        for carried in [1, 2, 3, 4, 5, 13, 16, 31, 38] {
            let (most, tried) = found(carried);
            assert_eq!(most.bound, Bound::Tester, "{carried}");
            assert_eq!(most.carried.map(|taken| taken.steady.forwarded), Some(f64::from(carried)));
            assert!(tried.len() <= 14, "{tried:?}");
        }
        assert_eq!(found(13).1, [4, 8, 16, 16, 12, 14, 14, 13], "what was not carried is tried again");
    }

    #[test]
    fn a_search_that_nothing_ends_or_that_carries_nothing_says_so() {
        let (most, _) = found(39);
        assert_eq!((most.bound, most.carried.map(|taken| taken.steady.forwarded)), (Bound::Carried, Some(39.0)));
        let (most, tried) = found(0);
        assert!(most.carried.is_none());
        assert_eq!((most.bound, tried.last()), (Bound::Tester, Some(&1)));
    }
}
