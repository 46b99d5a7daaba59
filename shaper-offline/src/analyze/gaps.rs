//! Times at which a capture may have missed packets.

use std::collections::VecDeque;

/// Gaps remembered; beyond, the whole capture counts as incomplete.
const GAPS: usize = 4096;
/// Gaps no further apart than this, in nanoseconds, are one.
const ONE_GAP: i64 = 1_000_000;

/// Gaps of one capture, in order of time.
#[derive(Debug, Default)]
pub(super) struct Gaps {
    list: VecDeque<(i64, i64)>,
    too_many: bool,
}

impl Gaps {
    /// Notes two times, in any order, between which what is not in the capture may have passed all the same.
    pub(super) fn note(&mut self, one: i64, other: i64) {
        let (from, to) = (one.min(other), one.max(other));
        let full = self.list.len() >= GAPS;
        match self.list.back_mut() {
            Some(last) if from >= last.0 && from <= last.1.saturating_add(ONE_GAP) => last.1 = last.1.max(to),
            _ if full => self.too_many = true,
            _ => self.list.push_back((from, to)),
        }
    }

    /// Whether there is one between the two times; what ended before `forget_before` is forgotten.
    pub(super) fn between(&mut self, from: i64, to: i64, forget_before: i64) -> bool {
        while self.list.front().is_some_and(|gap| gap.1 < forget_before) {
            self.list.pop_front();
        }
        self.too_many || self.list.iter().any(|gap| gap.0 <= to && gap.1 >= from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_told_backwards_is_one_all_the_same() {
        let mut gaps = Gaps::default();
        gaps.note(500, 100);
        assert!(gaps.between(200, 300, 0) && !gaps.between(0, 99, 0));
    }

    #[test]
    fn gaps_close_together_are_one_and_too_many_are_everywhere() {
        let mut gaps = Gaps::default();
        gaps.note(0, 10);
        gaps.note(10 + ONE_GAP, 10 + ONE_GAP);
        assert_eq!(gaps.list, [(0, 10 + ONE_GAP)]);
        assert!(gaps.between(500, 600, 0) && !gaps.between(20 + ONE_GAP, i64::MAX, 0));
        for n in 1..=GAPS as i64 {
            gaps.note(n * 10 * ONE_GAP, n * 10 * ONE_GAP);
        }
        assert!(gaps.between(25 * ONE_GAP, 26 * ONE_GAP, 0), "one of them is not remembered");
    }
}
