//! Which slots of a level hold anything: a bit a slot, and a summary bit a word, so that a search touches few words.

/// A fixed set of small numbers, searched upwards.
#[derive(Debug)]
pub(super) struct Bitmap {
    words: Box<[u64]>,
    summary: Box<[u64]>,
}

impl Bitmap {
    /// An empty set over `0..bits`.
    pub(super) fn new(bits: usize) -> Bitmap {
        let words = bits.div_ceil(64);
        Bitmap { words: vec![0; words].into(), summary: vec![0; words.div_ceil(64)].into() }
    }

    #[inline]
    pub(super) fn insert(&mut self, bit: usize) {
        self.words[bit / 64] |= 1 << (bit % 64);
        self.summary[bit / 4096] |= 1 << (bit / 64 % 64);
    }

    #[inline]
    pub(super) fn remove(&mut self, bit: usize) {
        let word = &mut self.words[bit / 64];
        *word &= !(1 << (bit % 64));
        if *word == 0 {
            self.summary[bit / 4096] &= !(1 << (bit / 64 % 64));
        }
    }

    /// The smallest number at or above `from`.
    #[inline]
    pub(super) fn first_from(&self, from: usize) -> Option<usize> {
        let index = from / 64;
        let word = *self.words.get(index)? & (u64::MAX << (from % 64));
        if word != 0 {
            return Some(index * 64 + word.trailing_zeros() as usize);
        }
        let index = Self::first_word_from(&self.summary, index + 1)?;
        Some(index * 64 + self.words[index].trailing_zeros() as usize)
    }

    /// As [`first_from`](Self::first_from), going on at 0 after the last.
    #[inline]
    pub(super) fn first_around(&self, from: usize) -> Option<usize> {
        self.first_from(from).or_else(|| self.first_from(0))
    }

    fn first_word_from(summary: &[u64], from: usize) -> Option<usize> {
        let mut index = from / 64;
        let mut word = *summary.get(index)? & (u64::MAX << (from % 64));
        while word == 0 {
            index += 1;
            word = *summary.get(index)?;
        }
        Some(index * 64 + word.trailing_zeros() as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use proptest::test_runner::RngSeed;
    use std::collections::BTreeSet;

    proptest! {
        #![proptest_config(ProptestConfig { rng_seed: RngSeed::Fixed(7), ..ProptestConfig::default() })]
        #[test]
        fn a_bitmap_is_an_ordered_set(
            steps in prop::collection::vec((any::<bool>(), 0usize..8192), 0..200), from in 0usize..9000,
        ) {
            let mut bitmap = Bitmap::new(8192);
            let mut oracle = BTreeSet::new();
            for (insert, bit) in steps {
                if insert { bitmap.insert(bit); oracle.insert(bit); } else { bitmap.remove(bit); oracle.remove(&bit); }
            }
            prop_assert_eq!(bitmap.first_from(from), oracle.range(from..).next().copied());
            let around = oracle.range(from..).next().or(oracle.first()).copied();
            prop_assert_eq!(bitmap.first_around(from), around);
        }
    }
}
