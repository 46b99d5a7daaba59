//! Sequence numbers of one stream: extended, counted, and looked at in order (RFC 3550, appendices
//! A.1 and A.3).

use super::burst::Pattern;

/// A step forward that is taken once a second packet goes on from there (`MAX_DROPOUT` of RFC 3550, appendix A.1, which
/// takes it at once).
const MAX_DROPOUT: u16 = 3_000;
/// A step forward that is taken at once. A number that was damaged on the way leaps farther in all but few cases.
const MAX_STEP: u16 = 50;
/// How far behind the highest number packets are known one by one (`MAX_MISORDER`, which the RFC has
/// as 100: too few for video).
const WINDOW: u64 = 1_024;
/// Room for as many, and for what waits to leave the window together.
const WORDS: usize = 2 * WINDOW as usize / 64;
/// A round of sequence numbers; the first one stands in the second round, so that there is room below.
const ROUND: u64 = 1 << 16;

/// What a packet is to its stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The highest number so far.
    Highest,
    /// Behind a higher one, so many numbers.
    Reordered(u16),
    /// Seen before.
    Duplicate,
    /// Far from all that was seen: the stream goes on there only if the next packet does
    /// (`bad_seq` of RFC 3550, appendix A.1).
    Stray,
    /// The second packet at such a place: the stream begins anew with the one before.
    Restart,
}

/// Sequence numbers seen.
#[derive(Clone, Debug)]
pub struct Sequence {
    /// Extended lowest number since the last restart.
    base: u64,
    /// Extended highest number.
    highest: u64,
    /// All below have left the window, and are in the pattern; up to 63 above may have left as well.
    settled: u64,
    /// Bit n of the ring: number n was seen.
    window: [u64; WORDS],
    /// What would follow the last stray packet.
    after_stray: Option<u16>,
    /// Expected before the last restart.
    expected_before: u64,
    /// Packets received, copies and late ones included.
    pub received: u64,
    /// Numbers that came again.
    pub duplicated: u64,
    /// Packets behind a higher number, copies excluded.
    pub reordered: u64,
    /// How far behind at most, in numbers.
    pub displacement: u16,
    /// Packets far from all others.
    pub strays: u64,
    /// Times that numbering began anew.
    pub restarts: u64,
    pattern: Pattern,
}

impl Sequence {
    /// A stream that begins with this number.
    #[must_use]
    pub fn new(first: u16) -> Self {
        let base = ROUND + u64::from(first);
        let mut new = Self {
            base,
            highest: base,
            settled: base,
            window: [0; WORDS],
            after_stray: None,
            expected_before: 0,
            received: 1,
            duplicated: 0,
            reordered: 0,
            displacement: 0,
            strays: 0,
            restarts: 0,
            pattern: Pattern::default(),
        };
        new.mark(base);
        new
    }

    /// The next packet in order of arrival. `continuous` is asked where two packets in a row went so far that it may as
    /// well be an outage as a new beginning: whether timestamps went on with time.
    #[inline]
    pub fn see(&mut self, number: u16, continuous: impl FnOnce() -> bool) -> Place {
        let step = number.wrapping_sub(self.highest as u16);
        if step.wrapping_sub(1) < MAX_STEP {
            self.advance(step);
            return Place::Highest;
        }
        self.unusual(step, number, continuous)
    }

    fn unusual(&mut self, step: u16, number: u16, continuous: impl FnOnce() -> bool) -> Place {
        let behind = step.wrapping_neg();
        if u64::from(behind) < WINDOW {
            return self.behind(behind);
        }
        if self.after_stray == Some(number) {
            if step <= MAX_DROPOUT || step < 1 << 15 && continuous() {
                // An outage: the packet before was of the stream after all.
                self.advance(step.wrapping_sub(1));
                self.advance(1);
                self.strays -= 1;
                return Place::Highest;
            }
            self.restart(number);
            return Place::Restart;
        }
        self.after_stray = Some(number.wrapping_add(1));
        self.strays += 1;
        Place::Stray
    }

    #[inline]
    fn advance(&mut self, step: u16) {
        self.received += 1;
        self.after_stray = None;
        self.highest += u64::from(step);
        // A whole word at a time.
        let keep = (self.highest + 1).saturating_sub(WINDOW) & !63;
        if keep > self.settled {
            self.settle(keep);
        }
        self.mark(self.highest);
    }

    fn behind(&mut self, behind: u16) -> Place {
        self.received += 1;
        let number = self.highest - u64::from(behind);
        if number < self.settled {
            // Only while nothing has left the window: the first packets were out of order.
            self.base = number;
            self.settled = number;
        }
        if self.has(number) {
            self.duplicated += 1;
            return Place::Duplicate;
        }
        self.mark(number);
        self.reordered += 1;
        self.displacement = self.displacement.max(behind);
        Place::Reordered(behind)
    }

    fn restart(&mut self, number: u16) {
        self.settle(self.highest + 1);
        self.expected_before += self.span();
        // The packet before is of the stream after all.
        let base = ROUND + u64::from(number.wrapping_sub(1));
        (self.base, self.settled, self.highest) = (base, base, base + 1);
        self.mark(base);
        self.mark(base + 1);
        self.received += 2;
        self.strays -= 1;
        self.restarts += 1;
        self.after_stray = None;
    }

    #[inline]
    fn slot(number: u64) -> (usize, u64) {
        ((number >> 6) as usize % WORDS, 1 << (number & 63))
    }

    #[inline]
    fn mark(&mut self, number: u64) {
        let (word, bit) = Self::slot(number);
        self.window[word] |= bit;
    }

    fn has(&self, number: u64) -> bool {
        let (word, bit) = Self::slot(number);
        self.window[word] & bit != 0
    }

    /// Numbers up to `end` are done with: tells the pattern, and clears their places.
    #[inline(never)]
    fn settle(&mut self, end: u64) {
        while self.settled < end {
            let (word, _) = Self::slot(self.settled);
            let shift = (self.settled & 63) as u32;
            let count = u64::from(64 - shift).min(end - self.settled) as u32;
            let mask = (u64::MAX >> (64 - count)) << shift;
            let seen = (self.window[word] & mask) >> shift;
            self.window[word] &= !mask;
            self.settled += u64::from(count);
            let mut at = 0;
            while at < count {
                let rest = seen >> at;
                let received = rest.trailing_ones().min(count - at);
                self.pattern.received(received.into());
                at += received;
                if at < count {
                    let lost = (seen >> at).trailing_zeros().min(count - at);
                    self.pattern.lost(lost.into());
                    at += lost;
                }
            }
        }
    }

    fn span(&self) -> u64 {
        self.highest - self.base + 1
    }

    /// Packets expected: from the lowest to the highest extended number, of each numbering.
    #[must_use]
    pub fn expected(&self) -> u64 {
        self.expected_before + self.span()
    }

    /// The extended highest number since the last restart, as reports of receivers have it.
    #[must_use]
    pub fn extended_highest(&self) -> u64 {
        self.highest - ROUND
    }

    /// Received or not, in order of sequence, up to the highest number.
    #[must_use]
    pub fn pattern(&self) -> Pattern {
        let mut end = self.clone();
        end.settle(end.highest + 1);
        end.pattern
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use std::collections::HashSet;

    use super::{Place, Sequence};

    fn seen(numbers: &[u16]) -> (Sequence, Vec<Place>) {
        let mut sequence = Sequence::new(numbers[0]);
        let places = numbers[1..].iter().map(|&number| sequence.see(number, || false)).collect();
        (sequence, places)
    }

    #[test]
    fn numbers_wrap_and_copies_and_reordering_are_told_apart() {
        let (sequence, places) = seen(&[65_534, 65_535, 1, 0, 0, 4]);
        use Place::{Duplicate, Highest, Reordered};
        assert_eq!(places, [Highest, Highest, Reordered(1), Duplicate, Highest]);
        // 65534, 65535, 0, 1, 2, 3, 4: 2 and 3 are missing, a copy came.
        assert_eq!((sequence.expected(), sequence.received, sequence.duplicated), (7, 6, 1));
        assert_eq!((sequence.pattern().lost_packets(), sequence.displacement), (2, 1));
        assert_eq!(sequence.extended_highest(), 65_536 + 4);
    }

    #[test]
    fn a_number_below_the_first_one_lets_the_stream_begin_there() {
        let (sequence, places) = seen(&[1, 2, 65_535, 3]);
        assert_eq!(places, [Place::Highest, Place::Reordered(3), Place::Highest]);
        assert_eq!((sequence.expected(), sequence.pattern().lost_packets()), (5, 1));
    }

    #[test]
    fn one_stray_packet_changes_nothing_and_two_in_a_row_are_a_new_beginning() {
        let (stray, places) = seen(&[10, 11, 40_000, 12, 13]);
        assert_eq!(places[1], Place::Stray);
        assert_eq!((stray.expected(), stray.received, stray.strays, stray.restarts), (4, 4, 1, 0));
        let (anew, places) = seen(&[10, 11, 13, 40_000, 40_001, 40_003]);
        assert_eq!(places[2..], [Place::Stray, Place::Restart, Place::Highest]);
        assert_eq!((anew.expected(), anew.received, anew.strays, anew.restarts), (8, 6, 0, 1));
        assert_eq!(anew.pattern().lost_packets(), 2);
    }

    #[test]
    fn an_outage_is_loss_if_timestamps_went_on() {
        let mut sequence = Sequence::new(0);
        assert_eq!(sequence.see(20_000, || true), Place::Stray, "until the next one goes on from there");
        assert_eq!(sequence.see(20_001, || true), Place::Highest);
        assert_eq!((sequence.expected(), sequence.received, sequence.strays), (20_002, 3, 0));
        assert_eq!((sequence.pattern().lost_packets(), sequence.restarts), (19_999, 0));
        // A step back is never an outage.
        assert_eq!(sequence.see(10_000, || true), Place::Stray);
        assert_eq!(sequence.see(10_001, || true), Place::Restart);
    }

    #[test]
    fn a_number_that_was_damaged_on_the_way_is_no_outage() {
        for bit in 6..16 {
            let mut sequence = Sequence::new(0);
            for number in 1..2_000_u16 {
                let damaged = if number == 1_000 { number ^ 1 << bit } else { number };
                sequence.see(damaged, || true);
            }
            // Damaged downwards it is a copy of another one, if that is not too far behind.
            let lost = sequence.pattern().lost_packets();
            assert_eq!((sequence.expected(), lost, sequence.restarts), (2_000, 1, 0), "bit {bit}");
        }
    }

    #[test]
    fn what_is_older_than_the_window_is_neither_new_nor_a_copy() {
        let mut sequence = Sequence::new(0);
        for number in (1..=2_000).filter(|&number| number != 1_500 && number != 900) {
            sequence.see(number, || false);
        }
        assert_eq!(sequence.see(1_500, || false), Place::Reordered(500));
        assert_eq!(sequence.see(900, || false), Place::Stray);
        assert_eq!(sequence.see(1_000, || false), Place::Duplicate);
        assert_eq!(sequence.pattern().lost_packets(), 1);
    }

    proptest! {
        /// Against a set of all numbers: shuffled within the window, with losses and copies.
        #[test]
        fn counts_are_those_of_a_set(
            first in any::<u16>(),
            fates in prop::collection::vec((0_u8..10, 0_u64..400), 2..3_000),
        ) {
            let mut arrivals: Vec<(u64, u64)> = Vec::new();
            for (at, &(fate, delay)) in fates.iter().enumerate() {
                let at = at as u64;
                let copies = match fate { 0 => 0, 1 => 2, _ => 1 };
                let delay = if fate < 4 { delay } else { 0 };
                arrivals.extend((0..copies).map(|copy| (at + delay + copy * 100, at)));
            }
            arrivals.sort_unstable();
            prop_assume!(!arrivals.is_empty());
            let number = |at: u64| first.wrapping_add(at as u16);
            let mut sequence = Sequence::new(number(arrivals[0].1));
            let (mut all, mut copies, mut reordered) = (HashSet::from([arrivals[0].1]), 0, 0);
            let mut highest = arrivals[0].1;
            for &(_, at) in &arrivals[1..] {
                let place = sequence.see(number(at), || false);
                let new = all.insert(at);
                copies += u64::from(!new);
                reordered += u64::from(new && at < highest);
                prop_assert_eq!(place == Place::Highest, at > highest);
                highest = highest.max(at);
            }
            let lowest = all.iter().min().copied().unwrap_or(0);
            prop_assert_eq!(sequence.expected(), highest - lowest + 1);
            prop_assert_eq!(sequence.received, arrivals.len() as u64);
            prop_assert_eq!((sequence.duplicated, sequence.reordered), (copies, reordered));
            prop_assert_eq!(sequence.pattern().lost_packets(), highest - lowest + 1 - all.len() as u64);
        }
    }
}
