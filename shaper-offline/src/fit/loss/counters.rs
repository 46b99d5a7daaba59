//! What is counted of a series of losses: pairs of neighbours, and the transitions of RFC 3611.

use serde::Serialize;

use super::hidden::Seen;

/// Pairs of packets one behind the other whose fates are known, by the first and the second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Pairs {
    /// Packets known, and lost.
    pub(super) known: u64,
    pub(super) lost: u64,
    /// Came through, and the next one did.
    pub(super) n00: u64,
    /// Came through, and the next one was lost.
    pub(super) n01: u64,
    pub(super) n10: u64,
    pub(super) n11: u64,
}

impl Pairs {
    pub(super) fn add(&mut self, seen: &[Seen]) {
        let mut before = None;
        for seen in seen {
            if let Some(lost) = *seen {
                self.known += 1;
                self.lost += u64::from(lost);
            }
            match (before, *seen) {
                (Some(false), Some(false)) => self.n00 += 1,
                (Some(false), Some(true)) => self.n01 += 1,
                (Some(true), Some(false)) => self.n10 += 1,
                (Some(true), Some(true)) => self.n11 += 1,
                _ => {}
            }
            before = *seen;
        }
    }
}

/// Transitions between four states as RFC 3611 (appendix A.2) counts them: 1 received in a gap, 2 received in a burst,
/// 3 lost in a burst, 4 lost alone in a gap.
///
/// The counts of `c31` and `c32` are those of `c13` and `c23`, as there. `c11` counts every packet received in a gap, so
/// the last of each stretch is in it beside the transition that ends it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Transitions {
    /// Received in a gap.
    pub c11: u64,
    /// Into a burst.
    pub c13: u64,
    /// To a loss alone.
    pub c14: u64,
    /// Received in a burst, and again.
    pub c22: u64,
    /// Received in a burst, and then lost.
    pub c23: u64,
    /// Out of a burst.
    pub c31: u64,
    /// Lost in a burst, and then received in it.
    pub c32: u64,
    /// Lost in a burst, and again.
    pub c33: u64,
}

/// Counts the transitions of RFC 3611 (appendix A.2): a burst ends where `gmin` packets in a row are received. The first
/// loss counts as behind one that stood alone, which gives the published figures.
#[must_use]
pub fn transitions(lost: impl IntoIterator<Item = bool>, gmin: u64) -> Transitions {
    let mut counts = Transitions::default();
    let (mut received, mut in_a_row) = (0, 1u64);
    for lost in lost {
        if !lost {
            received += 1;
            continue;
        }
        if received >= gmin {
            if in_a_row == 1 {
                counts.c14 += 1;
            } else {
                counts.c13 += 1;
            }
            in_a_row = 1;
            counts.c11 += received;
        } else {
            in_a_row += 1;
            if received == 0 {
                counts.c33 += 1;
            } else {
                counts.c23 += 1;
                counts.c22 += received - 1;
            }
        }
        received = 0;
    }
    counts.c31 = counts.c13;
    counts.c32 = counts.c23;
    counts
}

impl Transitions {
    pub(super) const fn plus(self, other: Self) -> Self {
        Self {
            c11: self.c11 + other.c11,
            c13: self.c13 + other.c13,
            c14: self.c14 + other.c14,
            c22: self.c22 + other.c22,
            c23: self.c23 + other.c23,
            c31: self.c31 + other.c31,
            c32: self.c32 + other.c32,
            c33: self.c33 + other.c33,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::{bool::weighted, collection::vec, prelude::*};

    use super::*;

    /// 1 for received, 0 for lost, X for discarded, as the RFC's authors write it.
    fn count(text: &str, gmin: u64) -> Transitions {
        transitions(text.bytes().map(|byte| byte != b'1'), gmin)
    }

    #[test]
    fn the_published_vector_gives_its_figures() {
        let counts = count("111011100011X", 2);
        assert_eq!(counts, Transitions { c11: 8, c13: 1, c14: 2, c31: 1, c33: 2, ..Transitions::default() });
        // Gap density 256 c14 / (c11 + c14), gap and burst of 10 ms a packet.
        assert_eq!(256 * counts.c14 / (counts.c11 + counts.c14), 51);
        let gap = 10 * (counts.c11 + counts.c13 + counts.c14) / counts.c13;
        let all = counts.c11 + counts.c14 + counts.c13 + counts.c22 + counts.c23 + counts.c31 + counts.c32 + counts.c33;
        assert_eq!((gap, 10 * all / counts.c13 - gap), (110, 30));
    }

    #[test]
    fn receptions_within_a_burst_are_counted_by_hand() {
        // A gap of 4, then lost, received twice, lost twice, received once, lost; a gap of 4, and one lost.
        let counts = count("1111011001011110", 3);
        let by_hand = Transitions { c11: 8, c13: 1, c14: 1, c22: 1, c23: 2, c31: 1, c32: 2, c33: 1 };
        assert_eq!(counts, by_hand);
    }

    /// The same by groups of losses with less than `gmin` received between any two; the first stands behind a loss alone,
    /// and the last is not known to have ended.
    fn by_groups(lost: &[bool], gmin: usize) -> Transitions {
        let places: Vec<usize> = std::iter::once(0).chain((1..=lost.len()).filter(|place| lost[place - 1])).collect();
        let mut counts = Transitions::default();
        let mut group = 1;
        for pair in places.windows(2) {
            let received = pair[1] - pair[0] - 1;
            if received < gmin {
                group += 1;
                counts.c33 += u64::from(received == 0);
                counts.c23 += u64::from(received > 0);
                counts.c22 += received.saturating_sub(1) as u64;
                continue;
            }
            counts.c14 += u64::from(group == 1);
            counts.c13 += u64::from(group > 1);
            counts.c11 += received as u64;
            group = 1;
        }
        (counts.c31, counts.c32) = (counts.c13, counts.c23);
        counts
    }

    proptest! {
        #[test]
        fn transitions_are_those_of_groups(lost in vec(weighted(0.3), 0..200), gmin in 1usize..6) {
            let counts = transitions(lost.iter().copied(), gmin as u64);
            prop_assert_eq!(counts, by_groups(&lost, gmin));
        }
    }

    #[test]
    fn pairs_do_not_reach_over_what_nobody_knows() {
        let mut pairs = Pairs::default();
        let seen = [Some(false), Some(false), Some(true), None, Some(true), Some(true), Some(false)];
        pairs.add(&seen);
        assert_eq!(pairs, Pairs { known: 6, lost: 3, n00: 1, n01: 1, n10: 1, n11: 1 });
    }
}
