//! Segments that passed and were not yet acknowledged, for round-trip times.

use std::collections::VecDeque;

use super::sequence::before;

/// Segments remembered in one direction.
pub(super) const OUTSTANDING: usize = 64;

#[derive(Clone, Copy, Debug)]
struct Sent {
    start: u32,
    end: u32,
    ts: i64,
    /// TSval, if this segment is the first with it.
    value: Option<u32>,
    /// No sample of its acknowledgement: it passed twice (Karn's rule), or what was missing before
    /// it held the acknowledgement up.
    spoilt: bool,
}

/// The oldest segments without an acknowledgement, by sequence number.
#[derive(Debug, Default)]
pub(super) struct Outstanding {
    sent: VecDeque<Sent>,
    latest_value: Option<u32>,
}

/// What one acknowledgement answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Answered {
    /// When the segment passed that the acknowledgement ends with.
    pub(super) by_acknowledgement: Option<i64>,
    /// When the segment passed whose TSval is echoed.
    pub(super) by_timestamp: Option<i64>,
}

impl Outstanding {
    /// Remembers new data; `false` if there is no room, which costs a sample.
    pub(super) fn sent(&mut self, start: u32, end: u32, ts: i64, value: Option<u32>) -> bool {
        // A TSval that is full of segments already is taken note of all the same: its next
        // segment is not its first.
        let value = self.advanced(value);
        if self.sent.len() >= OUTSTANDING {
            return false;
        }
        self.sent.push_back(Sent { start, end, ts, value, spoilt: false });
        true
    }

    fn advanced(&mut self, value: Option<u32>) -> Option<u32> {
        let value = value?;
        if self.latest_value.is_some_and(|latest| !before(latest, value)) {
            return None;
        }
        self.latest_value = Some(value);
        Some(value)
    }

    /// Bytes from `start` to `end` passed again. Their acknowledgement tells nothing any more; an
    /// echo of a TSval that is new with them does (RFC 7323 section 4.1).
    pub(super) fn sent_again(&mut self, start: u32, end: u32, ts: i64, value: Option<u32>) {
        let value = self.advanced(value);
        for sent in self.sent.iter_mut().filter(|sent| before(sent.start, end) && before(start, sent.end)) {
            sent.spoilt = true;
            if sent.end == end {
                (sent.ts, sent.value) = (ts, value);
            } else {
                sent.value = None;
            }
        }
    }

    /// What is behind `start` waits until `start` is there.
    pub(super) fn held_up(&mut self, start: u32) {
        for sent in self.sent.iter_mut().filter(|sent| before(start, sent.end)) {
            sent.spoilt = true;
        }
    }

    /// Takes away what an acknowledgement covers.
    #[inline]
    pub(super) fn acknowledged(&mut self, acknowledgement: u32, echo: Option<u32>) -> Answered {
        let mut answered = Answered::default();
        let mut spoilt = false;
        while let Some(sent) = self.sent.front().copied().filter(|sent| !before(acknowledgement, sent.end)) {
            self.sent.pop_front();
            spoilt |= sent.spoilt;
            // It is sent when the last byte that it covers has come: only a segment that ends there tells.
            answered.by_acknowledgement = (sent.end == acknowledgement && !spoilt).then_some(sent.ts);
            if sent.value.is_some() && sent.value == echo {
                answered.by_timestamp = Some(sent.ts);
            }
        }
        answered
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_acknowledgement_answers_the_segment_that_it_ends_with() {
        let mut outstanding = Outstanding::default();
        for number in 0..4_u32 {
            assert!(outstanding.sent(number * 10, number * 10 + 10, i64::from(number), Some(7 + number / 2)));
        }
        // In the middle of the second segment: covers the first, ends with none.
        let answered = outstanding.acknowledged(15, Some(7));
        assert_eq!(answered, Answered { by_acknowledgement: None, by_timestamp: Some(0) });
        // TSval 7 was echoed before.
        let answered = outstanding.acknowledged(20, Some(7));
        assert_eq!(answered, Answered { by_acknowledgement: Some(1), by_timestamp: None });
        let answered = outstanding.acknowledged(40, Some(8));
        assert_eq!(answered, Answered { by_acknowledgement: Some(3), by_timestamp: Some(2) });
    }

    #[test]
    fn what_passed_twice_is_answered_by_its_timestamp_only() {
        let mut outstanding = Outstanding::default();
        assert!(outstanding.sent(0, 10, 1, Some(100)));
        outstanding.sent_again(0, 10, 50, Some(150));
        let answered = outstanding.acknowledged(10, Some(150));
        assert_eq!(answered, Answered { by_acknowledgement: None, by_timestamp: Some(50) });
    }

    #[test]
    fn the_same_timestamp_on_both_copies_answers_nothing() {
        let mut outstanding = Outstanding::default();
        assert!(outstanding.sent(0, 10, 1, Some(100)));
        outstanding.sent_again(0, 10, 50, Some(100));
        assert_eq!(outstanding.acknowledged(10, Some(100)), Answered::default());
    }

    #[test]
    fn there_is_room_for_so_many() {
        let mut outstanding = Outstanding::default();
        let kept = (0..100).filter(|&at| outstanding.sent(at, at + 1, 0, None)).count();
        assert_eq!(kept, OUTSTANDING);
        outstanding.acknowledged(100, None);
        assert!(outstanding.sent(100, 101, 0, None));
    }
}
