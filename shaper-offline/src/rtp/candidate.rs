//! What may become a stream: sources of each flow on probation, as in RFC 3550, appendix A.1, but
//! longer, since nothing says that a flow is RTP at all.
//!
//! A flow has 4 places of its own, and up to 12 more of the [`SHARED`] ones that all flows have
//! together. A source that finds none takes that of a source that was not heard for [`PATIENCE`]
//! packets on probation in the flow: of these, the one with the smallest progress, and then the one
//! heard the longest ago. Otherwise it waits.

use super::header::Header;
use crate::stats::Budget;

/// Packets in a row that make a stream.
pub(super) const CONFIRMED: usize = 8;
/// Sources on probation in one flow, at least and at most.
const OWN: usize = 4;
const SOURCES: usize = 16;
/// Places that flows take beyond their own.
pub(super) const SHARED: usize = 65_536;
/// Packets on probation in a flow before a source that is not heard may give way.
const PATIENCE: u64 = 64;
/// The largest step forward of a sequence number, and the largest back.
const STEP: i16 = 50;
const BACK: i16 = 20;
/// Changes of the payload type that are let pass: a talkspurt may begin with comfort noise or events.
const CHANGES: usize = 2;
/// The fastest clock, in Hz, and the seconds that a sender may be ahead of time.
const FASTEST: i64 = 1_000_000;
const AHEAD: i64 = 4;
/// Timestamps go back within a group of pictures: at most two seconds at 90 kHz.
const TIMESTAMP_BACK: i64 = 180_000;

/// One datagram that has an RTP header.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arrival {
    /// When it passed, nanoseconds since the epoch.
    pub(super) ts_ns: Option<i64>,
    /// Its header.
    pub(super) header: Header,
    /// Length of the UDP payload on the wire.
    pub(super) length: u32,
}

#[derive(Debug)]
struct Source {
    arrivals: Vec<Arrival>,
    /// When it was heard, counted in packets of the flow.
    heard: u64,
    /// Numbers that were new.
    forward: usize,
}

/// The sources on probation of one flow.
#[derive(Debug, Default)]
pub(super) struct Candidates {
    sources: Vec<Source>,
    packets: u64,
    /// Packets of sources that gave way although they had progressed.
    pub(super) given_up: u64,
}

impl Candidates {
    /// A packet of a source that is no stream yet. The packets so far once it is one. `shared` has the
    /// places beyond the flow's own.
    pub(super) fn add(&mut self, arrival: Arrival, shared: &Budget) -> Option<Vec<Arrival>> {
        self.packets += 1;
        let now = self.packets;
        let ssrc = arrival.header.ssrc;
        let known = self.sources.iter().position(|source| source.ssrc() == Some(ssrc));
        if let Some(source) = known.and_then(|at| self.sources.get_mut(at)) {
            source.heard = now;
            source.add(arrival);
            if source.forward >= CONFIRMED {
                if self.sources.len() > OWN {
                    shared.give_back(1);
                }
                return known.map(|at| self.sources.swap_remove(at).arrivals);
            }
            return None;
        }
        let held = self.sources.len();
        if held < OWN || held < SOURCES && shared.take(1) {
            self.sources.push(Source { arrivals: vec![arrival], heard: now, forward: 1 });
            return None;
        }
        let silent = self.sources.iter_mut().filter(|source| now - source.heard >= PATIENCE);
        if let Some(least) = silent.min_by_key(|source| (source.forward, source.heard)) {
            if least.forward > 1 {
                self.given_up += least.arrivals.len() as u64;
            }
            least.heard = now;
            least.begin(arrival);
        }
        None
    }
}

impl Source {
    fn ssrc(&self) -> Option<u32> {
        self.arrivals.first().map(|arrival| arrival.header.ssrc)
    }

    fn begin(&mut self, arrival: Arrival) {
        self.arrivals.clear();
        self.arrivals.push(arrival);
        self.forward = 1;
    }

    fn add(&mut self, arrival: Arrival) {
        let highest = self.arrivals.iter().map(|before| before.header.sequence);
        let Some(highest) = highest.reduce(|x, y| if ahead(y, x) > 0 { y } else { x }) else { return };
        let step = ahead(arrival.header.sequence, highest);
        // Copies and late packets prove nothing, but do not speak against it either, while they are few.
        let fits = (-BACK..=STEP).contains(&step) && self.arrivals.len() < CONFIRMED * 2 && self.follows(&arrival);
        if !fits {
            return self.begin(arrival);
        }
        self.arrivals.push(arrival);
        self.forward += usize::from(step > 0);
    }

    /// Whether timestamp and payload type may follow those before.
    fn follows(&self, arrival: &Arrival) -> bool {
        let Some(last) = self.arrivals.last() else { return false };
        let units = i64::from(arrival.header.timestamp.wrapping_sub(last.header.timestamp).cast_signed());
        let passed = arrival.ts_ns.zip(last.ts_ns).map_or(0, |(now, then)| now.saturating_sub(then).max(0));
        let most = (passed / 1_000_000_000 + AHEAD).saturating_mul(FASTEST);
        let types = self.arrivals.iter().map(|before| before.header.payload_type);
        let next = types.clone().skip(1).chain([arrival.header.payload_type]);
        let changes = types.zip(next).filter(|(before, after)| before != after).count();
        (-TIMESTAMP_BACK..=most).contains(&units) && changes <= CHANGES
    }
}

/// How far a sequence number is ahead of another.
fn ahead(number: u16, of: u16) -> i16 {
    number.wrapping_sub(of).cast_signed()
}

#[cfg(test)]
mod tests {
    use super::{Arrival, Candidates, OWN, SOURCES};
    use crate::{
        rtp::{header::Header, tests::packet},
        stats::Budget,
    };

    fn arrival(ssrc: u32, number: u32) -> Arrival {
        let bytes = packet(96, number as u16, number * 160, ssrc, 20);
        let header = Header::parse(&bytes, bytes.len() as u32).unwrap();
        Arrival { ts_ns: Some(i64::from(number) * 20_000_000), header, length: bytes.len() as u32 }
    }

    #[test]
    fn places_beyond_a_flows_own_are_shared_and_given_back() {
        let shared = Budget::of(2);
        let (mut one, mut other) = (Candidates::default(), Candidates::default());
        for number in 0..7 {
            for ssrc in 0..8 {
                assert!(one.add(arrival(ssrc, number), &shared).is_none());
            }
        }
        assert_eq!((one.sources.len(), shared.take(1)), (OWN + 2, false));
        let found = (0..8).filter(|&ssrc| one.add(arrival(ssrc, 7), &shared).is_some()).count();
        // The sixth packet took the place that the first stream left, and so on.
        assert_eq!(found, OWN + 2);
        for ssrc in 0..32 {
            other.add(arrival(ssrc, 0), &shared);
        }
        assert!((OWN..=OWN + 2).contains(&other.sources.len()));
    }

    #[test]
    fn the_silent_source_with_the_smallest_progress_gives_way() {
        let shared = Budget::unlimited();
        let mut candidates = Candidates::default();
        for ssrc in 0..SOURCES as u32 {
            candidates.add(arrival(ssrc, 0), &shared);
        }
        // All but number 3 progress; a stranger finds no place as long as all were heard lately.
        for ssrc in (0..SOURCES as u32).filter(|&ssrc| ssrc != 3) {
            candidates.add(arrival(ssrc, 1), &shared);
        }
        candidates.add(arrival(100, 0), &shared);
        let has = |candidates: &Candidates, ssrc| candidates.sources.iter().any(|source| source.ssrc() == Some(ssrc));
        assert!(!has(&candidates, 100));
        for number in 2..70 {
            // Late copies: heard, without progress.
            candidates.add(arrival(0, 1 + number % 2), &shared);
        }
        candidates.add(arrival(100, 0), &shared);
        assert!(has(&candidates, 100) && !has(&candidates, 3));
        assert_eq!(candidates.given_up, 0);
        candidates.add(arrival(101, 0), &shared);
        assert!(has(&candidates, 101) && !has(&candidates, 1));
        assert_eq!(candidates.given_up, 2);
    }
}
