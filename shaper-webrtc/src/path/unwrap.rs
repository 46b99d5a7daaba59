//! Sequence numbers of 16 bits made whole, so that what passed two points can be compared over a wrap.

/// The number that has these lower 16 bits and is nearest to another one.
pub(super) fn nearest(to: i64, sequence: u16) -> i64 {
    // The lower 16 bits of both; the difference wraps, and has a sign.
    let ahead = sequence.wrapping_sub(to as u16) as i16;
    to.saturating_add(i64::from(ahead))
}

/// Makes numbers whole in the order in which they were sent: each is taken to be nearest to the
/// highest before it (RFC 3711, section 3.3.1).
#[derive(Debug, Default)]
pub(super) struct Unwrapper {
    highest: Option<i64>,
}

impl Unwrapper {
    pub(super) fn next(&mut self, sequence: u16) -> i64 {
        let number = self.highest.map_or(i64::from(sequence), |highest| nearest(highest, sequence));
        self.highest = Some(self.highest.map_or(number, |highest| highest.max(number)));
        number
    }
}

/// How far the numbers of a stream had got at each time, at the point where they were given.
///
/// Elsewhere a number is taken to be nearest to that: no loss, however long, makes it another one, as
/// long as fewer than 2^15 packets are on their way at once.
#[derive(Debug, Default)]
pub(super) struct Guide {
    /// Time and the highest number until then; both ascend.
    reached: Vec<(i64, i64)>,
}

impl Guide {
    /// From times and whole numbers.
    pub(super) fn new(mut sent: Vec<(i64, i64)>) -> Self {
        sent.sort_unstable();
        sent.dedup_by(|later, kept| {
            later.1 = later.1.max(kept.1);
            later.1 == kept.1
        });
        Self { reached: sent }
    }

    /// Whether it knows of no packet.
    pub(super) fn is_empty(&self) -> bool {
        self.reached.is_empty()
    }

    /// The whole number of what was seen at a time; none if nothing was ever sent.
    pub(super) fn whole(&self, time: i64, sequence: u16) -> Option<i64> {
        let until = self.reached.partition_point(|reached| reached.0 <= time);
        let (_, highest) = self.reached.get(until.saturating_sub(1))?;
        Some(nearest(*highest, sequence))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_wrap_is_seen_forward_and_backward() {
        let mut unwrapper = Unwrapper::default();
        let whole: Vec<i64> = [65_534, 0, 65_535, 1].into_iter().map(|sequence| unwrapper.next(sequence)).collect();
        assert_eq!(whole, [65_534, 65_536, 65_535, 65_537]);
        assert_eq!(nearest(65_536, 65_535), 65_535);
        assert_eq!(nearest(-1, 0), 0);
    }

    #[test]
    fn a_guide_tells_the_round_of_what_comes_after_a_long_loss() {
        let guide = Guide::new((0..200_000).map(|number| (number * 10, number)).collect());
        assert_eq!(guide.whole(150_000 * 10 + 3, (150_000 % 65_536) as u16), Some(150_000));
        assert_eq!(guide.whole(150_000 * 10 + 3, (149_000 % 65_536) as u16), Some(149_000));
        assert_eq!(guide.whole(-5, 2), Some(2), "before the first by another clock");
        assert_eq!(Guide::default().whole(0, 0), None);
    }

    proptest! {
        #[test]
        fn what_is_reordered_lost_and_doubled_is_made_whole_again(
            first in 0..65_536_i64,
            steps in prop::collection::vec(0..900_i64, 1..400),
            back in prop::collection::vec(0..5_000_i64, 400),
        ) {
            let mut unwrapper = Unwrapper::default();
            let mut number = first;
            prop_assert_eq!(unwrapper.next(number as u16), first);
            let mut highest = first;
            for (step, back) in steps.iter().zip(&back) {
                number = highest + step - back;
                prop_assert_eq!(unwrapper.next(number as u16), number);
                highest = highest.max(number);
            }
        }

        #[test]
        fn a_guide_finds_every_number_that_is_on_its_way(
            first in 0..65_536_i64,
            count in 1..3000_i64,
            seen in 0..3000_i64,
            late in 0..30_000_i64,
        ) {
            let guide = Guide::new((0..count).map(|index| (index * 7, first + index)).collect());
            let index = seen % count;
            let time = index * 7 + late;
            prop_assert_eq!(guide.whole(time, (first + index) as u16), Some(first + index));
        }
    }
}
