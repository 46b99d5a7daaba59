//! Sequence numbers seen, as a window behind the highest: numbers wrap, and copies come late.

use std::collections::BTreeMap;

/// Numbers behind the highest that are told apart.
const WINDOW: usize = 128;
/// Copies of a burst that are told apart.
const COPIES: u8 = 64;

/// What a frame is to its sender's others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// The first of its message.
    New,
    /// Another copy of a message.
    Copy,
    /// A copy that was seen before.
    Repeated,
    /// Too far behind to say, or from before the first.
    Late,
}

/// Copies of one message.
#[derive(Clone, Copy, Debug, Default)]
struct Copies {
    total: u8,
    seen: u64,
}

/// Sequence numbers of one sender.
#[derive(Clone, Debug, Default)]
pub(super) struct Numbers {
    highest: Option<u32>,
    first: u64,
    /// The highest number without wrapping.
    extended: u64,
    /// By number, round and round; grows to the window's size as numbers come.
    window: Vec<Copies>,
    missing: u64,
    pub(super) longest_missing: u64,
    pub(super) bursts: u64,
    pub(super) copies_expected: u64,
    pub(super) copies_seen: u64,
    pub(super) by_copies: BTreeMap<u8, u64>,
}

impl Numbers {
    /// Takes a frame: its number, and which of how many copies it is.
    pub(super) fn see(&mut self, number: u32, total: u8, index: u8) -> Seen {
        let Some(highest) = self.highest else {
            self.highest = Some(number);
            self.first = u64::from(number);
            self.extended = u64::from(number);
            self.put(self.extended, total, index);
            return Seen::New;
        };
        let ahead = number.wrapping_sub(highest).cast_signed();
        if ahead > 0 {
            self.advance(u64::from(ahead.unsigned_abs()));
            self.highest = Some(number);
            self.put(self.extended, total, index);
            return Seen::New;
        }
        let behind = u64::from(ahead.unsigned_abs());
        let Some(at) = self.extended.checked_sub(behind).filter(|&at| at >= self.first && behind < WINDOW as u64)
        else {
            return Seen::Late;
        };
        self.put(at, total, index)
    }

    fn put(&mut self, at: u64, total: u8, index: u8) -> Seen {
        let place = (at % WINDOW as u64) as usize;
        if self.window.len() <= place {
            self.window.resize(place + 1, Copies::default());
        }
        let Some(copies) = self.window.get_mut(place) else { return Seen::Late };
        let bit = 1_u64 << index.min(COPIES - 1);
        let seen = match *copies {
            Copies { seen: 0, .. } => Seen::New,
            Copies { seen, .. } if seen & bit == 0 => Seen::Copy,
            _ => Seen::Repeated,
        };
        copies.total = copies.total.max(total);
        copies.seen |= bit;
        seen
    }

    /// The highest number goes on; what falls out of the window is complete.
    fn advance(&mut self, by: u64) {
        let steps = by.min(WINDOW as u64);
        let next = self.extended + 1;
        for step in 0..steps {
            // The place of the number to come holds the one that is a window behind it.
            self.complete((next + step).checked_sub(WINDOW as u64));
        }
        let leapt = by - steps;
        if leapt > 0 {
            // What was leapt over, a window ago, was never seen.
            self.missing += leapt;
            self.longest_missing = self.longest_missing.max(self.missing);
        }
        self.extended += by;
    }

    fn complete(&mut self, number: Option<u64>) {
        let Some(number) = number.filter(|&number| number >= self.first) else { return };
        let place = (number % WINDOW as u64) as usize;
        let copies = self.window.get_mut(place).map(std::mem::take).unwrap_or_default();
        if copies.seen == 0 {
            self.missing += 1;
            self.longest_missing = self.longest_missing.max(self.missing);
            return;
        }
        self.missing = 0;
        if copies.total > 1 {
            let seen = copies.seen.count_ones() as u8;
            self.bursts += 1;
            self.copies_expected += u64::from(copies.total.min(COPIES).max(seen));
            self.copies_seen += u64::from(seen);
            *self.by_copies.entry(seen).or_default() += 1;
        }
    }

    /// Completes what is in the window.
    pub(super) fn finished(mut self) -> Self {
        if self.highest.is_some() {
            let oldest = (self.extended + 1).saturating_sub(WINDOW as u64);
            for number in oldest..=self.extended {
                self.complete(Some(number));
            }
        }
        self
    }

    /// Numbers from the first to the highest.
    pub(super) fn span(&self) -> u64 {
        if self.highest.is_some() { self.extended - self.first + 1 } else { 0 }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Numbers, Seen};

    fn new(numbers: &mut Numbers, number: u32) -> bool {
        numbers.see(number, 1, 0) == Seen::New
    }

    #[test]
    fn sequence_numbers_wrap_and_copies_count_once() {
        let mut numbers = Numbers::default();
        let seen = [u32::MAX - 1, u32::MAX, u32::MAX, 1, 0, 1, 5];
        let found: Vec<_> = seen.iter().map(|&number| new(&mut numbers, number)).collect();
        assert_eq!(found, [true, true, false, true, true, false, true]);
        // Two before the wrap, then 0, 1, 5: 2, 3 and 4 are missing.
        let numbers = numbers.finished();
        assert_eq!((numbers.span(), numbers.longest_missing), (8, 3));
    }

    #[test]
    fn a_number_before_the_first_one_is_not_new() {
        let mut numbers = Numbers::default();
        assert!(new(&mut numbers, 5));
        assert_eq!(numbers.see(4_294_967_292, 1, 0), Seen::Late);
        assert_eq!(numbers.finished().span(), 1);
    }

    #[test]
    fn a_leap_forward_forgets_what_is_far_behind() {
        let mut numbers = Numbers::default();
        assert!(new(&mut numbers, 10));
        assert!(new(&mut numbers, 1_000));
        assert_eq!(numbers.see(10, 1, 0), Seen::Late);
        assert!(new(&mut numbers, 999));
        assert_eq!(numbers.see(999, 1, 0), Seen::Repeated);
        assert_eq!(numbers.finished().longest_missing, 988);
    }

    proptest! {
        #[test]
        fn runs_and_copies_equal_those_counted_over_the_whole_list(
            first in any::<u32>(),
            steps in prop::collection::vec((prop_oneof![9 => 1_u32..6, 1 => 100_u32..400], 1_u8..8), 1..200),
        ) {
            // Each message has three copies, of which a mask says which passed; a step says how many went by.
            let mut numbers = Numbers::default();
            let (mut at, mut longest, mut copies) = (first, 0, 0);
            for (number, (step, mask)) in steps.iter().enumerate() {
                if number > 0 {
                    at = at.wrapping_add(*step);
                    longest = longest.max(u64::from(step - 1));
                }
                for index in (0..3).filter(|index| mask >> index & 1 == 1) {
                    numbers.see(at, 3, index);
                    copies += 1;
                }
            }
            let found = numbers.finished();
            prop_assert_eq!(found.longest_missing, longest);
            prop_assert_eq!((found.bursts, found.copies_seen), (steps.len() as u64, copies));
            prop_assert_eq!(found.copies_expected, 3 * steps.len() as u64);
        }
    }
}
