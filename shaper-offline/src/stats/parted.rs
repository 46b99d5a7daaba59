//! Order statistics of samples that are asked for again and again.

/// Where samples are parted into smaller and larger ones: what was asked for once is found again, and
/// what lies between is searched between.
#[derive(Clone, Debug, Default)]
pub(super) struct Parted {
    /// Samples that there were.
    of: u64,
    /// Positions, ascending.
    at: Vec<usize>,
}

impl Parted {
    /// Forgets all if there are more samples now.
    pub(super) fn is_of(&mut self, count: u64) {
        if self.of != count {
            self.of = count;
            self.at.clear();
        }
    }

    /// The sample at a position in order of size.
    pub(super) fn select(&mut self, samples: &mut [i64], position: usize) -> Option<i64> {
        if let Err(next) = self.at.binary_search(&position) {
            let before = next.checked_sub(1).and_then(|last| self.at.get(last));
            let from = before.map_or(0, |before| before + 1);
            let to = self.at.get(next).copied().unwrap_or(samples.len());
            let between = samples.get_mut(from..to)?;
            if position - from >= between.len() {
                return None;
            }
            between.select_nth_unstable(position - from);
            self.at.insert(next, position);
        }
        samples.get(position).copied()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::Parted;

    proptest! {
        #[test]
        fn positions_asked_for_in_any_order_are_those_of_the_sorted_samples(
            mut samples in prop::collection::vec(-50_i64..50, 0..200),
            asked in prop::collection::vec(0_usize..220, 0..30),
            more in prop::collection::vec(-50_i64..50, 1..20),
        ) {
            let mut parted = Parted::default();
            for _ in 0..2 {
                parted.is_of(samples.len() as u64);
                let mut sorted = samples.clone();
                sorted.sort_unstable();
                for &position in &asked {
                    prop_assert_eq!(parted.select(&mut samples, position), sorted.get(position).copied());
                }
                samples.extend(&more);
            }
        }
    }
}
