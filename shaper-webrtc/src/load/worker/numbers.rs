//! Which numbers of a stream came.

/// Numbers behind the highest that are remembered, in bits.
const WINDOW: u64 = 8192;
const WORDS: usize = (WINDOW / 64) as usize;

/// What a packet is by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    /// It continues, whatever is missing before it.
    Next,
    /// It comes after a later one.
    Late,
    /// It had come before, or is so old that this is not known any more.
    Again,
}

/// Numbers from the first to the highest, and how many of them came.
#[derive(Clone, Debug, Default)]
pub(crate) struct Numbers {
    range: Option<(u64, u64)>,
    unique: u64,
    bits: Vec<u64>,
}

impl Numbers {
    pub(crate) fn take(&mut self, number: u64) -> Seen {
        let Some((first, highest)) = self.range else {
            self.bits = vec![0; WORDS];
            self.range = Some((number, number));
            self.mark(number);
            return Seen::Next;
        };
        if number > highest {
            // What is between has not come; at most the whole window is wiped.
            for skipped in (highest + 1..=number).rev().take(WINDOW as usize) {
                self.wipe(skipped);
            }
            self.range = Some((first, number));
            self.mark(number);
            return Seen::Next;
        }
        if highest - number >= WINDOW || self.is_marked(number) {
            return Seen::Again;
        }
        self.range = Some((first.min(number), highest));
        self.mark(number);
        Seen::Late
    }

    /// The first and the highest.
    pub(crate) fn range(&self) -> Option<(u64, u64)> {
        self.range
    }

    /// How many different ones came.
    pub(crate) fn unique(&self) -> u64 {
        self.unique
    }

    /// How many are missing from the first to the highest.
    pub(crate) fn missing(&self) -> u64 {
        self.range.map_or(0, |(first, highest)| (highest - first + 1).saturating_sub(self.unique))
    }

    fn place(number: u64) -> (usize, u64) {
        let bit = number % WINDOW;
        ((bit / 64) as usize, 1 << (bit % 64))
    }

    fn mark(&mut self, number: u64) {
        let (word, bit) = Self::place(number);
        if let Some(word) = self.bits.get_mut(word) {
            *word |= bit;
        }
        self.unique += 1;
    }

    fn wipe(&mut self, number: u64) {
        let (word, bit) = Self::place(number);
        if let Some(word) = self.bits.get_mut(word) {
            *word &= !bit;
        }
    }

    fn is_marked(&self, number: u64) -> bool {
        let (word, bit) = Self::place(number);
        self.bits.get(word).is_some_and(|word| word & bit != 0)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn gaps_late_ones_and_those_that_come_again_are_told_apart() {
        let mut numbers = Numbers::default();
        let seen: Vec<Seen> = [5, 6, 9, 7, 7, 9, 4].map(|number| numbers.take(number)).to_vec();
        assert_eq!(seen, [Seen::Next, Seen::Next, Seen::Next, Seen::Late, Seen::Again, Seen::Again, Seen::Late]);
        assert_eq!((numbers.range(), numbers.unique(), numbers.missing()), (Some((4, 9)), 5, 1));
        assert_eq!(numbers.take(1 << 40), Seen::Next);
        assert_eq!(numbers.take(9), Seen::Again);
        assert_eq!(numbers.take((1 << 40) - 1), Seen::Late);
    }

    proptest! {
        #[test]
        fn as_a_set_has_it(list in prop::collection::vec(0_u64..5000, 1..300)) {
            let mut numbers = Numbers::default();
            let mut set = BTreeSet::new();
            for number in list {
                prop_assert_eq!(numbers.take(number) != Seen::Again, set.insert(number));
            }
            prop_assert_eq!(numbers.unique(), set.len() as u64);
            prop_assert_eq!(numbers.range(), Some((*set.first().unwrap(), *set.last().unwrap())));
        }
    }
}
