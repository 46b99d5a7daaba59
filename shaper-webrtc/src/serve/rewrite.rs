//! One continuous stream out of several: sequence numbers, timestamps and VP8 picture ids of what is
//! forwarded.
//!
//! A consumer has a sequence space of its own. As long as it gets one encoding without a pause, its
//! numbers are the publisher's plus a constant, so that what the publisher lost is a gap for the
//! receiver too. Where another encoding takes over, or the same goes on after a pause, new constants
//! are chosen so that the numbers go on where they ended.

use std::time::{Duration, Instant};

/// What of an incoming packet is rewritten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Numbers {
    /// The extended sequence number.
    pub(crate) sequence: u64,
    pub(crate) timestamp: u32,
    pub(crate) picture_id: Option<u16>,
    pub(crate) tl0_pic_idx: Option<u8>,
}

#[derive(Debug)]
struct Base {
    input: Numbers,
    output: Numbers,
}

/// The rewriter of one consumer.
#[derive(Debug)]
pub(crate) struct Rewriter {
    clock_rate: u32,
    base: Option<Base>,
    /// The largest numbers that went out, and when.
    last: Option<(Numbers, Instant)>,
    first: Numbers,
}

impl Rewriter {
    /// A stream that begins at the given sequence number and timestamp.
    pub(crate) fn new(clock_rate: u32, sequence: u16, timestamp: u32) -> Self {
        let first = Numbers { sequence: u64::from(sequence), timestamp, picture_id: Some(0), tl0_pic_idx: Some(0) };
        Self { clock_rate, base: None, last: None, first }
    }

    /// The next packet that is rewritten begins a piece: whatever its numbers are, the output goes on
    /// where it ended.
    pub(crate) fn begin_piece(&mut self) {
        self.base = None;
    }

    /// The numbers that the packet goes out with; none if it is from before the piece began, and
    /// cannot have a number any more.
    pub(crate) fn rewrite(&mut self, input: Numbers, now: Instant) -> Option<Numbers> {
        let base = match &self.base {
            Some(base) => base,
            None => {
                let output = self.continued(input, now);
                self.base.insert(Base { input, output })
            }
        };
        let ahead = input.sequence.checked_sub(base.input.sequence)?;
        let moved = |value: u16, from: Option<u16>, to: Option<u16>| {
            value.wrapping_sub(from.unwrap_or(0)).wrapping_add(to.unwrap_or(0)) & 0x7fff
        };
        let moved_tl0 = |value: u8, from: Option<u8>, to: Option<u8>| {
            value.wrapping_sub(from.unwrap_or(0)).wrapping_add(to.unwrap_or(0))
        };
        let output = Numbers {
            sequence: base.output.sequence.checked_add(ahead)?,
            timestamp: input.timestamp.wrapping_sub(base.input.timestamp).wrapping_add(base.output.timestamp),
            picture_id: input.picture_id.map(|id| moved(id, base.input.picture_id, base.output.picture_id)),
            tl0_pic_idx: input
                .tl0_pic_idx
                .map(|index| moved_tl0(index, base.input.tl0_pic_idx, base.output.tl0_pic_idx)),
        };
        if self.last.is_none_or(|(last, _)| output.sequence > last.sequence) {
            self.last = Some((output, now));
        }
        Some(output)
    }

    /// What the first packet of a piece goes out with.
    fn continued(&self, input: Numbers, now: Instant) -> Numbers {
        let Some((last, at)) = self.last else {
            // Picture ids of 7 bits cannot take any number, and a first piece needs none.
            return Numbers { picture_id: input.picture_id, tl0_pic_idx: input.tl0_pic_idx, ..self.first };
        };
        Numbers {
            sequence: last.sequence + 1,
            timestamp: last.timestamp.wrapping_add(self.ticks(now.saturating_duration_since(at))),
            picture_id: last.picture_id.map(|id| (id + 1) & 0x7fff).or(input.picture_id),
            tl0_pic_idx: last.tl0_pic_idx.map(|index| index.wrapping_add(1)).or(input.tl0_pic_idx),
        }
    }

    /// The time that passed in ticks of the clock, at least one: two frames never share a timestamp.
    fn ticks(&self, passed: Duration) -> u32 {
        let ticks = passed.as_micros() * u128::from(self.clock_rate) / 1_000_000;
        // Timestamps wrap.
        let ticks = ticks as u32;
        ticks.max(1)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn numbers(sequence: u64, timestamp: u32, picture_id: u16) -> Numbers {
        Numbers { sequence, timestamp, picture_id: Some(picture_id), tl0_pic_idx: Some(picture_id as u8) }
    }

    #[test]
    fn within_a_piece_gaps_and_order_stay_as_they_are() {
        let now = Instant::now();
        let mut rewriter = Rewriter::new(90_000, 100, 7);
        let mut out = |sequence| rewriter.rewrite(numbers(sequence, 3000, 5), now).map(|out| out.sequence);
        assert_eq!(out(65_535), Some(100));
        assert_eq!(out(65_538), Some(103));
        assert_eq!(out(65_536), Some(101), "late, or sent again");
        assert_eq!(out(65_534), None, "before the piece began");
    }

    #[test]
    fn a_new_piece_goes_on_where_the_last_ended() {
        let start = Instant::now();
        let mut rewriter = Rewriter::new(90_000, 100, 1000);
        assert_eq!(rewriter.rewrite(numbers(5, 50_000, 9), start), Some(numbers(100, 1000, 9)));
        let late = start + Duration::from_millis(100);
        rewriter.begin_piece();
        let first = rewriter.rewrite(numbers(7_000, 123, 0x7ff0), late).unwrap();
        assert_eq!(
            first,
            Numbers { sequence: 101, timestamp: 1000 + 9000, picture_id: Some(10), tl0_pic_idx: Some(10) }
        );
        let next = rewriter.rewrite(numbers(7_002, 123 + 3000, 0x7ff1), late).unwrap();
        assert_eq!((next.sequence, next.timestamp, next.picture_id), (103, 13_000, Some(11)));
    }

    #[test]
    fn two_pieces_at_one_moment_still_have_two_timestamps() {
        let now = Instant::now();
        let mut rewriter = Rewriter::new(48_000, 1, 1);
        let first = rewriter.rewrite(numbers(1, 1, 1), now).unwrap();
        rewriter.begin_piece();
        let second = rewriter.rewrite(numbers(1, 1, 1), now).unwrap();
        assert_eq!(second.timestamp, first.timestamp + 1);
    }

    #[test]
    fn picture_ids_wrap_at_15_bits() {
        let now = Instant::now();
        let mut rewriter = Rewriter::new(90_000, 1, 1);
        assert_eq!(rewriter.rewrite(numbers(1, 1, 0x7fff), now).unwrap().picture_id, Some(0x7fff));
        rewriter.begin_piece();
        assert_eq!(rewriter.rewrite(numbers(9, 1, 44), now).unwrap().picture_id, Some(0));
    }

    proptest! {
        /// Whatever pieces of whatever lengths come in order, numbers go up by one.
        #[test]
        fn pieces_in_order_make_one_continuous_stream(
            pieces in prop::collection::vec((0_u64..1 << 40, any::<u32>(), 0_u16..0x8000, 1_u64..20), 1..20),
        ) {
            let now = Instant::now();
            let mut rewriter = Rewriter::new(90_000, 1, 1);
            let mut expected = 1;
            for (sequence, timestamp, picture_id, length) in pieces {
                rewriter.begin_piece();
                for index in 0..length {
                    let out = rewriter.rewrite(numbers(sequence + index, timestamp, picture_id), now).unwrap();
                    prop_assert_eq!(out.sequence, expected);
                    prop_assert!(out.picture_id.unwrap() < 0x8000);
                    expected += 1;
                }
            }
        }
    }
}
