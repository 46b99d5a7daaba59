//! Arrivals that no packet sent explains yet: damaged ones, further copies, and TCP data cut into
//! other segments than it was sent in.

use std::collections::{BTreeMap, HashMap, VecDeque};

use super::{
    hash::HashedMap,
    pending::{Open, Settled},
};

/// Longest segment that offloading makes, with room for jumbo payloads.
const LONGEST_SEGMENT: u32 = 1 << 19;
/// Segments about a packet that are asked whether they carry its bytes: of 128 bytes each within the longest.
const CANDIDATES: usize = 4096;

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
    pub(super) ts: i64,
    /// Whether it is a further copy of a packet that has its match, once that was looked up.
    pub(super) copy: Option<bool>,
}

/// What arrived of the bytes of a TCP packet, in other segments than its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cover {
    /// All of it: when the last byte came, and the number of its segment in the log.
    Whole(i64, u64),
    /// Not all of it.
    Lacking,
    /// Too many segments lie there to be asked.
    Unknown,
}

/// Arrivals at one point.
#[derive(Debug, Default)]
pub(super) struct Orphans {
    /// By header, in the order of the log.
    by_header: HashedMap<VecDeque<Orphan>>,
    /// TCP data by flow, first sequence number and number in the log.
    segments: HashMap<u32, BTreeMap<(u32, u64), Segment>>,
    /// The largest number in the log.
    latest: u64,
}

impl Orphans {
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.by_header.is_empty()
    }

    /// Whether the packet of that number may be one of them. While directions are new all packets are, and some of
    /// those stay long.
    #[inline]
    pub(super) fn may_have(&self, number: u64) -> bool {
        number <= self.latest && !self.is_empty()
    }

    pub(super) fn add<N>(&mut self, open: Open<N>, number: u64) {
        self.latest = number;
        self.by_header.entry(open.header).or_default().push_back(Orphan { number, ts: open.ts, copy: None });
        if open.length > 0 {
            let segment = Segment { length: open.length, ts: open.ts, explained: false };
            self.segments.entry(open.flow).or_default().insert((open.sequence, number), segment);
        }
    }

    /// An arrival got an origin, or its time is over; tells whether its bytes were explained.
    pub(super) fn remove<N>(&mut self, gone: &Settled<N>) -> bool {
        if let Some(waiting) = self.by_header.get_mut(&gone.header) {
            // Nearly always the oldest or the latest.
            if let Ok(at) = waiting.binary_search_by_key(&gone.number, |other| other.number) {
                waiting.remove(at);
            }
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

    /// Arrivals with the header of a packet sent, from that time on.
    pub(super) fn of_header(&mut self, header: u64, from: i64) -> impl Iterator<Item = &mut Orphan> {
        let waiting = self.by_header.get_mut(&header);
        waiting.into_iter().flat_map(move |waiting| {
            let first = waiting.partition_point(|orphan| orphan.ts < from);
            waiting.range_mut(first..)
        })
    }

    /// Whether arrivals until `until` carry all bytes of a TCP packet that was sent, cut or merged otherwise: one
    /// with the same bytes as its own is the packet itself, or another packet.
    pub(super) fn cover<N>(&mut self, sent: &Settled<N>, until: i64) -> Cover {
        if sent.length == 0 {
            return Cover::Lacking;
        }
        let Some(flow) = self.segments.get_mut(&sent.flow) else { return Cover::Lacking };
        let from = sent.sequence.wrapping_sub(LONGEST_SEGMENT);
        let to = sent.sequence.wrapping_add(sent.length - 1);
        // Sequence numbers wrap: then the range is its two ends.
        let (low, high) = if from <= to {
            ((from, 0)..=(to, u64::MAX), None)
        } else {
            ((from, 0)..=(u32::MAX, u64::MAX), Some((0, 0)..=(to, u64::MAX)))
        };
        let mut pieces: Vec<(i64, i64, i64, (u32, u64))> = Vec::new();
        let mut asked = 0;
        for range in [Some(low), high].into_iter().flatten() {
            for (&key, segment) in flow.range(range) {
                asked += 1;
                if asked > CANDIDATES {
                    return Cover::Unknown;
                }
                let start = i64::from(key.0.wrapping_sub(sent.sequence).cast_signed());
                let end = start + i64::from(segment.length);
                let own = start == 0 && segment.length == sent.length;
                if end > 0 && !own && (sent.ts..=until).contains(&segment.ts) {
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
        if covered >= i64::from(sent.length) { Cover::Whole(last.0, last.1) } else { Cover::Lacking }
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
                orphans.add(segment(base.wrapping_add(n * 1000), 1000, 50 + i64::from(n)), n.into());
            }
            assert_eq!(orphans.cover(&sent(base, 3000, 0), 100), Cover::Whole(52, 2));
            assert_eq!(orphans.cover(&sent(base, 3000, 0), 51), Cover::Lacking, "the last one came too late");
            assert_eq!(orphans.cover(&sent(base, 4001, 0), 100), Cover::Lacking, "a byte is missing");
            assert_eq!(orphans.cover(&sent(base, 3000, 51), 100), Cover::Lacking, "before it was sent");
        }
    }

    #[test]
    fn a_header_that_all_arrivals_share_costs_no_more_than_one_of_its_own() {
        // Half a million, gone in order of time but for every tenth, which goes at once: looked for
        // one by one they would take minutes.
        let mut orphans = Orphans::default();
        let gone = |number: u64| Settled { number, header: 7, ..sent(0, 0, 0) };
        for number in 0..500_000_u64 {
            orphans.add(Open { ts: number as i64, header: 7, ..Open::<()>::default() }, number);
            if number % 10 == 9 {
                orphans.remove(&gone(number));
            }
        }
        assert_eq!(orphans.of_header(7, 499_990).map(|orphan| orphan.number).next(), Some(499_990));
        for number in (0..500_000).filter(|number| number % 10 != 9) {
            orphans.remove(&gone(number));
        }
        assert!(orphans.is_empty());
    }

    #[test]
    fn small_packets_are_covered_by_one_that_was_merged() {
        let mut orphans = Orphans::default();
        orphans.add(segment(0, 3000, 70), 0);
        for n in 0..3 {
            assert_eq!(orphans.cover(&sent(n * 1000, 1000, 10), 100), Cover::Whole(70, 0));
        }
        assert_eq!(orphans.cover(&sent(3000, 1, 10), 100), Cover::Lacking);
        let gone = Settled { number: 0, ..sent(0, 3000, 70) };
        assert!(orphans.remove(&gone), "its bytes were explained");
        assert!(orphans.is_empty());
    }

    #[test]
    fn a_segment_of_the_very_bytes_is_none_that_was_cut_otherwise() {
        let mut orphans = Orphans::default();
        orphans.add(segment(0, 1000, 70), 0);
        assert_eq!(orphans.cover(&sent(0, 1000, 10), 100), Cover::Lacking);
        assert!(!orphans.remove(&Settled { number: 0, ..sent(0, 1000, 70) }), "nothing explains it");
    }

    #[test]
    fn more_segments_than_are_asked_say_nothing() {
        let mut orphans = Orphans::default();
        for number in 0..=CANDIDATES as u64 {
            assert_eq!(orphans.cover(&sent(0, 1000, 0), 100), Cover::Lacking, "{number}");
            orphans.add(segment(0, 500, 70), number);
        }
        assert_eq!(orphans.cover(&sent(0, 1000, 0), 100), Cover::Unknown);
        assert_eq!(orphans.cover(&sent(600_000, 1000, 0), 100), Cover::Lacking, "they lie elsewhere");
    }
}
