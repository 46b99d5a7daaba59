//! Arrivals that no packet sent explains yet: damaged ones, further copies, and TCP data cut into
//! other segments than it was sent in.

use std::collections::{BTreeMap, HashMap};

use super::{
    hash::HashedMap,
    pending::{Open, Settled},
};

/// Longest segment that offloading makes, with room for jumbo payloads.
const LONGEST_SEGMENT: u32 = 1 << 19;

#[derive(Clone, Copy, Debug)]
struct Segment {
    length: u32,
    ts: i64,
    /// It carries bytes of a packet that was sent.
    explained: bool,
}

/// An arrival found by its header.
#[derive(Clone, Copy, Debug)]
pub(super) struct Orphan {
    /// Its number in the log.
    pub(super) number: u64,
    /// Whether it is a further copy of a packet that has its match, once that was looked up.
    pub(super) copy: Option<bool>,
}

/// Arrivals at one point.
#[derive(Debug, Default)]
pub(super) struct Orphans {
    by_header: HashedMap<Vec<Orphan>>,
    /// TCP data by flow, first sequence number and number in the log.
    segments: HashMap<u32, BTreeMap<(u32, u64), Segment>>,
}

impl Orphans {
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.by_header.is_empty()
    }

    pub(super) fn add<N>(&mut self, open: &Open<N>, number: u64) {
        self.by_header.entry(open.header).or_default().push(Orphan { number, copy: None });
        if open.length > 0 {
            let segment = Segment { length: open.length, ts: open.ts, explained: false };
            self.segments.entry(open.flow).or_default().insert((open.sequence, number), segment);
        }
    }

    /// An arrival got an origin, or its time is over; tells whether its bytes were explained.
    pub(super) fn remove<N>(&mut self, gone: &Settled<N>) -> bool {
        if let Some(waiting) = self.by_header.get_mut(&gone.header) {
            waiting.retain(|other| other.number != gone.number);
            if waiting.is_empty() {
                self.by_header.remove(&gone.header);
            }
        }
        let Some(flow) = self.segments.get_mut(&gone.flow) else { return false };
        let removed = flow.remove(&(gone.sequence, gone.number));
        if flow.is_empty() {
            self.segments.remove(&gone.flow);
        }
        removed.is_some_and(|segment| segment.explained)
    }

    /// Arrivals with the header of a packet sent.
    pub(super) fn of_header(&mut self, header: u64) -> &mut [Orphan] {
        self.by_header.get_mut(&header).map_or(&mut [], Vec::as_mut_slice)
    }

    /// Whether arrivals until `until` carry all bytes of a TCP packet that was sent; if so, when
    /// the last of them came, and its number in the log.
    pub(super) fn cover<N>(&mut self, sent: &Settled<N>, until: i64) -> Option<(i64, u64)> {
        if sent.length == 0 {
            return None;
        }
        let flow = self.segments.get_mut(&sent.flow)?;
        let from = sent.sequence.wrapping_sub(LONGEST_SEGMENT);
        let to = sent.sequence.wrapping_add(sent.length - 1);
        // Sequence numbers wrap: then the range is its two ends.
        let (low, high) = if from <= to {
            ((from, 0)..=(to, u64::MAX), None)
        } else {
            ((from, 0)..=(u32::MAX, u64::MAX), Some((0, 0)..=(to, u64::MAX)))
        };
        let mut pieces: Vec<(i64, i64, i64, (u32, u64))> = Vec::new();
        for range in [Some(low), high].into_iter().flatten() {
            for (&key, segment) in flow.range(range) {
                let start = i64::from(key.0.wrapping_sub(sent.sequence).cast_signed());
                let end = start + i64::from(segment.length);
                if end > 0 && (sent.ts..=until).contains(&segment.ts) {
                    pieces.push((start, end, segment.ts, key));
                }
            }
        }
        pieces.sort_unstable();
        let (mut covered, mut last) = (0, (sent.ts, 0));
        for &(start, end, ts, key) in &pieces {
            if let Some(segment) = flow.get_mut(&key) {
                segment.explained = true;
            }
            if start <= covered && end > covered && covered < i64::from(sent.length) {
                covered = end;
                last = last.max((ts, key.1));
            }
        }
        (covered >= i64::from(sent.length)).then_some(last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analyze::pending::Pending;

    fn segment(sequence: u32, length: u32, ts: i64) -> Open<()> {
        Open { ts, sequence, length, header: sequence.into(), ..Open::default() }
    }

    fn sent(sequence: u32, length: u32, ts: i64) -> Settled<()> {
        let mut pending = Pending::new();
        pending.push(segment(sequence, length, ts));
        pending.pop().unwrap()
    }

    #[test]
    fn a_large_packet_is_covered_by_its_segments_also_across_the_wrap() {
        for base in [1000, u32::MAX - 1500] {
            let mut orphans = Orphans::default();
            for n in 0..4_u32 {
                orphans.add(&segment(base.wrapping_add(n * 1000), 1000, 50 + i64::from(n)), n.into());
            }
            assert_eq!(orphans.cover(&sent(base, 3000, 0), 100), Some((52, 2)));
            assert_eq!(orphans.cover(&sent(base, 3000, 0), 51), None, "the last one came too late");
            assert_eq!(orphans.cover(&sent(base, 4001, 0), 100), None, "a byte is missing");
            assert_eq!(orphans.cover(&sent(base, 3000, 51), 100), None, "before it was sent");
        }
    }

    #[test]
    fn small_packets_are_covered_by_one_that_was_merged() {
        let mut orphans = Orphans::default();
        orphans.add(&segment(0, 3000, 70), 0);
        for n in 0..3 {
            assert_eq!(orphans.cover(&sent(n * 1000, 1000, 10), 100), Some((70, 0)));
        }
        assert_eq!(orphans.cover(&sent(3000, 1, 10), 100), None);
        let gone = Settled { number: 0, ..sent(0, 3000, 70) };
        assert!(orphans.remove(&gone), "its bytes were explained");
        assert!(orphans.is_empty());
    }
}
