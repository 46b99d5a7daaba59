//! What may become a stream: a few sources of each flow on probation, as in RFC 3550, appendix A.1,
//! but longer, since nothing says that a flow is RTP at all.

use super::header::Header;

/// Packets in a row that make a stream.
pub(super) const CONFIRMED: usize = 8;
/// Sources on probation in one flow; the one that was heard the longest ago gives way.
const SOURCES: usize = 4;
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
}

impl Candidates {
    /// A packet of a source that is no stream yet. The packets so far once it is one.
    pub(super) fn add(&mut self, arrival: Arrival) -> Option<Vec<Arrival>> {
        self.packets += 1;
        let now = self.packets;
        let ssrc = arrival.header.ssrc;
        let known = self.sources.iter().position(|source| source.ssrc() == Some(ssrc));
        if let Some(source) = known.and_then(|at| self.sources.get_mut(at)) {
            source.heard = now;
            source.add(arrival);
            if source.forward >= CONFIRMED {
                return known.map(|at| self.sources.swap_remove(at).arrivals);
            }
            return None;
        }
        if self.sources.len() < SOURCES {
            self.sources.push(Source { arrivals: vec![arrival], heard: now, forward: 1 });
        } else if let Some(oldest) = self.sources.iter_mut().min_by_key(|source| source.heard) {
            oldest.heard = now;
            oldest.begin(arrival);
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
