//! One direction of a connection: what was sent, and what the receiver made of it.

use super::{
    Segment,
    figures::{Counts, WayFigures},
    holes::{Hole, Holes},
    leap::{Doubts, Reach},
    outstanding::Outstanding,
    sequence::{before, earlier},
};
use crate::{
    packet::Tcp,
    stats::{Budget, Distribution},
};

/// Samples kept one by one of each round trip.
const SAMPLES: usize = 4_096;
/// Sequence numbers further off belong to something else.
const FAR: u32 = 1 << 30;
/// So many segments far off in a row are what the connection has become.
const FAR_IN_A_ROW: u8 = 16;
/// Duplicate acknowledgements that ask for a segment (RFC 5681 section 3.2).
const ASKS: u32 = 3;
/// Identifications further apart say nothing of the order.
const NEAR: u16 = 1_024;

/// What made a sender send again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trigger {
    Asked,
    Timer,
    Unknown,
}

/// What a segment behind its turn is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Late {
    Reordered,
    SentAgain,
    Unclear,
}

#[derive(Debug)]
pub(super) struct Way {
    pub(super) counts: Counts,
    /// Sequence number of the SYN.
    pub(super) initial: Option<u32>,
    /// Behind the highest byte that passed.
    next: Option<u32>,
    /// The first byte that was captured, as long as it is near.
    start: Option<u32>,
    /// Highest acknowledgement.
    acknowledged: Option<u32>,
    /// Window in it.
    window: Option<u16>,
    closed_since: Option<i64>,
    duplicate_acks: u32,
    sacked: Option<u32>,
    /// Up to where retransmissions have the same cause.
    recovery: Option<(u32, Trigger)>,
    far_in_a_row: u8,
    doubts: Doubts,
    /// One number was acknowledged that did not pass: a byte, or the FIN.
    one_unseen: bool,
    outstanding: Outstanding,
    holes: Holes,
    shortest: Option<i64>,
    by_timestamp: Distribution,
    by_acknowledgement: Distribution,
}

impl Way {
    pub(super) fn within(budget: &Budget) -> Self {
        Self {
            counts: Counts::default(),
            initial: None,
            next: None,
            start: None,
            acknowledged: None,
            window: None,
            closed_since: None,
            duplicate_acks: 0,
            sacked: None,
            recovery: None,
            far_in_a_row: 0,
            doubts: Doubts::default(),
            one_unseen: false,
            outstanding: Outstanding::default(),
            holes: Holes::default(),
            shortest: None,
            by_timestamp: Distribution::within(SAMPLES, budget),
            by_acknowledgement: Distribution::within(SAMPLES, budget),
        }
    }

    /// Forgets where it was, not what was counted.
    pub(super) fn restart(&mut self) {
        self.initial = None;
        self.next = None;
        self.start = None;
        self.acknowledged = None;
        self.window = None;
        self.closed_since = None;
        self.duplicate_acks = 0;
        self.sacked = None;
        self.recovery = None;
        self.far_in_a_row = 0;
        self.doubts = Doubts::default();
        self.one_unseen = false;
        self.outstanding.clear();
        self.holes.clear();
    }

    /// A SYN that did not pass before.
    pub(super) fn begin(&mut self, segment: &Segment) {
        self.restart();
        self.initial = Some(segment.sequence);
        self.counts.mss = segment.mss;
        self.counts.window_scale = segment.window_scale;
        self.counts.sack_permitted = Some(segment.sack_permitted);
    }

    /// The handshake's round trip over this direction's receiver.
    pub(super) fn handshake(&mut self, round_trip: Option<i64>) {
        self.shortest = self.shortest.into_iter().chain(round_trip).min();
    }

    /// Shortest round trip over this direction's receiver so far.
    pub(super) fn shortest(&self) -> Option<i64> {
        self.shortest
    }

    /// What the receiver takes, whose windows have this shift.
    fn reach(&self, shift: Option<u8>) -> Reach {
        Reach { told: self.acknowledged.zip(self.window), shift }
    }

    /// The receiver's answer; `own` are the counts of the direction that the answer goes, `shift` that of
    /// the receiver's windows.
    #[inline]
    pub(super) fn acknowledged(&mut self, segment: &Segment, own: &mut Counts, shift: impl FnOnce() -> Option<u8>) {
        own.duplicates_reported += u64::from(segment.duplicate_reported);
        self.windowed(segment, own);
        let number = segment.acknowledgement;
        let last = self.acknowledged;
        // What passed may be acknowledged; of what did not, no more than the receiver had room for.
        if last.is_none_or(|last| before(last, number)) && self.next.is_none_or(|next| before(next, number)) {
            let from = self.next.or(last).unwrap_or(number);
            if !self.reach(shift()).has(from, number) && !self.doubts.acknowledgement(number) {
                own.implausible += 1;
                return;
            }
        }
        let window = self.window.replace(segment.window);
        self.acknowledged = Some(number);
        let Some(last) = last.filter(|&last| !before(last, number)) else {
            let since = last.or(self.next).unwrap_or(number);
            own.implausible -= u64::from(self.doubts.settled(since, number));
            self.advanced(segment);
            return;
        };
        if last == number {
            self.sacked = segment.sacked.or(self.sacked);
            let outstanding = self.next.is_some_and(|next| before(number, next));
            let plain = segment.span() == 0 && segment.window != 0;
            if plain && outstanding && (window == Some(segment.window) || segment.sacked.is_some()) {
                own.duplicate_acks += 1;
                self.duplicate_acks += 1;
            }
            return;
        }
        // Older than what was acknowledged, or from nowhere.
        self.acknowledged = Some(last);
        self.window = window;
    }

    fn windowed(&mut self, segment: &Segment, own: &mut Counts) {
        if segment.window == 0 && !segment.has(Tcp::SYN) {
            own.zero_windows += 1;
            if self.closed_since.is_none() {
                self.closed_since = segment.ts_ns;
            }
        } else if let Some(closed) = self.closed_since.take()
            && let Some(ts) = segment.ts_ns
        {
            let span = ts.saturating_sub(closed).max(0).unsigned_abs();
            own.zero_window_ns = own.zero_window_ns.saturating_add(span);
        }
    }

    fn advanced(&mut self, segment: &Segment) {
        let number = segment.acknowledgement;
        self.duplicate_acks = 0;
        self.sacked = segment.sacked;
        self.recovery = self.recovery.filter(|&(until, _)| before(number, until));
        if !self.holes.is_empty() {
            self.counts.unseen_bytes += self.holes.acknowledged(number);
        }
        if let Some(next) = self.next.filter(|&next| before(next, number)) {
            self.went_on();
            let unseen = number.wrapping_sub(next);
            // A FIN is no byte, and nothing comes behind it.
            self.one_unseen = unseen == 1;
            self.counts.unseen_bytes += if unseen == 1 { 0 } else { u64::from(unseen) };
            self.next = Some(number);
        }
        let answered = self.outstanding.acknowledged(number, segment.timestamps.map(|(_, echo)| echo));
        // One with SACK answers what came behind a gap, and only repeats what an acknowledgement
        // said that was lost on its way here.
        let Some(ts) = segment.ts_ns.filter(|_| segment.sacked.is_none()) else { return };
        // A clock that was set back is no round trip.
        let since = |sent: i64| ts.checked_sub(sent).filter(|&round_trip| round_trip >= 0);
        if let Some(round_trip) = answered.by_acknowledgement.and_then(since) {
            self.by_acknowledgement.push(round_trip);
            self.handshake(Some(round_trip));
        }
        if let Some(round_trip) = answered.by_timestamp.and_then(since) {
            self.by_timestamp.push(round_trip);
            self.handshake(Some(round_trip));
        }
    }

    /// There is more behind the one number that was not seen: it was a byte.
    fn went_on(&mut self) {
        self.counts.unseen_bytes += u64::from(std::mem::take(&mut self.one_unseen));
    }

    /// A segment this way; `back` is the shortest round trip of the other direction, `shift` that of the
    /// receiver's windows.
    #[inline]
    pub(super) fn sent(&mut self, segment: &Segment, back: Option<i64>, shift: impl FnOnce() -> Option<u8>) {
        self.counts.segments += 1;
        self.counts.data_segments += u64::from(segment.length > 0);
        self.counts.payload_bytes += u64::from(segment.length);
        if segment.flags & (Tcp::SYN | Tcp::FIN | Tcp::RST) != 0 {
            self.counts.syns += u64::from(segment.has(Tcp::SYN));
            self.counts.fins += u64::from(segment.has(Tcp::FIN));
            self.counts.resets += u64::from(segment.has(Tcp::RST));
            if segment.has(Tcp::RST) {
                // Its sequence number may be any in the window.
                return;
            }
        }
        let (start, span) = (segment.sequence, segment.span());
        let end = start.wrapping_add(span);
        let Some(mut next) = self.next else {
            self.start = Some(start);
            self.fresh(segment, end);
            return;
        };
        if let Some(doubted) = self.doubts.confirmed_by(segment) {
            self.counts.implausible -= 1;
            next = self.leapt(&doubted, next);
        }
        if self.asks_for_life(segment, next) {
            return;
        }
        let ahead = start.wrapping_sub(next);
        if ahead == 0 {
            self.doubts.dispel();
            self.fresh(segment, end);
        } else if ahead < FAR && self.reach(shift()).has(next, end) {
            self.leapt(segment, next);
        } else if ahead.wrapping_neg() >= FAR {
            self.counts.implausible += 1;
            self.far_in_a_row += 1;
            if ahead < FAR {
                self.doubts.doubt(segment);
            }
            if self.far_in_a_row >= FAR_IN_A_ROW {
                self.restart();
                self.start = Some(start);
                self.fresh(segment, end);
            }
        } else if span > 0 {
            self.behind(segment, earlier(end, next), back);
            if before(next, end) {
                self.fresh(segment, end);
            }
        }
    }

    /// A segment that left out what is before it, as long as that has not been acknowledged since. What
    /// comes next now.
    fn leapt(&mut self, segment: &Segment, next: u32) -> u32 {
        let end = segment.sequence.wrapping_add(segment.span());
        if before(next, segment.sequence) && !self.holes.open(next, segment) {
            self.counts.holes_forgotten += 1;
        }
        if before(next, end) {
            self.fresh(segment, end);
            return end;
        }
        next
    }

    /// Keep-alives and probes of a closed window are no retransmissions.
    #[inline]
    fn asks_for_life(&mut self, segment: &Segment, next: u32) -> bool {
        if segment.length > 1 || segment.span() != segment.length {
            return false;
        }
        let closed = self.window == Some(0);
        let last = segment.sequence.wrapping_add(1) == next;
        if closed && (last || segment.length == 1 && segment.sequence == next) {
            self.counts.window_probes += 1;
            // The byte is a real one, and may be taken.
            return last;
        }
        // A last byte without an acknowledgement may be a retransmission.
        let alive = last && (segment.length == 0 || self.acknowledged == Some(next));
        self.counts.keepalives += u64::from(alive);
        alive
    }

    /// Bytes that are new at this end.
    #[inline]
    fn fresh(&mut self, segment: &Segment, end: u32) {
        self.far_in_a_row = 0;
        if self.one_unseen && segment.length > 0 {
            self.went_on();
        }
        self.next = Some(end);
        if self.start.is_some_and(|start| end.wrapping_sub(start) >= FAR) {
            self.start = None;
        }
        if let Some(ts) = segment.ts_ns
            && segment.length > 0
        {
            let value = segment.timestamps.map(|(value, _)| value);
            self.counts.unsampled += u64::from(!self.outstanding.sent(segment.sequence, end, ts, value));
        }
    }

    /// A segment behind its turn, up to `end`.
    fn behind(&mut self, segment: &Segment, end: u32, back: Option<i64>) {
        let start = segment.sequence;
        if self.start.is_some_and(|first| before(start, first)) {
            self.counts.before_start += 1;
            self.outstanding.held_up(start);
            return;
        }
        self.far_in_a_row = 0;
        // What came behind it may have waited for it at the receiver.
        self.outstanding.held_up(start);
        let (filled, hole) = self.holes.fill(start, end);
        let repeated = end.wrapping_sub(start).saturating_sub(filled);
        if let Some(hole) = hole {
            match self.late(segment, &hole, back) {
                Late::Reordered => self.counts.out_of_order += 1,
                Late::Unclear => self.counts.unclear += 1,
                Late::SentAgain => {
                    self.counts.retransmissions += 1;
                    self.counts.data_retransmissions += u64::from(segment.length > 0);
                    self.counts.lost_before += 1;
                    self.counts.lost_before_bytes += u64::from(filled);
                    self.caused(start, end);
                }
            }
        } else {
            self.counts.retransmissions += 1;
            self.counts.data_retransmissions += u64::from(segment.length > 0);
            self.counts.data_repeated += u64::from(segment.length > 0);
            self.counts.repeated += 1;
            self.counts.needless += u64::from(self.acknowledged.is_some_and(|acknowledged| !before(acknowledged, end)));
            self.caused(start, end);
        }
        if repeated > 0 {
            let payload = repeated.min(segment.length);
            self.counts.repeated_bytes += u64::from(payload);
            if let Some(ts) = segment.ts_ns {
                self.outstanding.sent_again(start, end, ts, segment.timestamps.map(|(value, _)| value));
            }
        }
    }

    /// Whether what fills a hole was sent before what left it open, or after.
    fn late(&self, segment: &Segment, hole: &Hole, back: Option<i64>) -> Late {
        if let (Some((value, _)), Some(other)) = (segment.timestamps, hole.value)
            && value != other
        {
            return if before(value, other) { Late::Reordered } else { Late::SentAgain };
        }
        if let (Some(one), Some(other)) = (segment.identification, hole.identification) {
            let after = one.wrapping_sub(other);
            if (1..NEAR).contains(&after) {
                return Late::SentAgain;
            }
            if (1..NEAR).contains(&after.wrapping_neg()) {
                return Late::Reordered;
            }
        }
        // What the receiver says of the hole takes a round trip over both ends to bring it here; only a
        // timer can be quicker.
        if let (Some(ts), Some(opened), Some(here)) = (segment.ts_ns, hole.ts, self.shortest) {
            let known = ts.saturating_sub(opened) >= here.saturating_add(back.unwrap_or(0));
            if !known {
                return Late::Reordered;
            }
            if self.asked(segment.sequence.wrapping_add(segment.span())) {
                return Late::SentAgain;
            }
        }
        Late::Unclear
    }

    /// Whether the receiver showed that it misses what ends here.
    fn asked(&self, end: u32) -> bool {
        self.duplicate_acks >= ASKS || self.sacked.is_some_and(|edge| before(end, edge))
    }

    fn caused(&mut self, start: u32, end: u32) {
        let episode = self.recovery.filter(|&(until, _)| before(start, until)).map(|(_, trigger)| trigger);
        let trigger = episode.unwrap_or_else(|| {
            if self.asked(end) {
                Trigger::Asked
            } else if self.acknowledged.is_some() && self.duplicate_acks == 0 && self.sacked.is_none() {
                Trigger::Timer
            } else {
                Trigger::Unknown
            }
        });
        match trigger {
            Trigger::Asked => self.counts.fast += 1,
            Trigger::Timer => self.counts.timer += 1,
            Trigger::Unknown => {}
        }
        if episode.is_none() && trigger != Trigger::Unknown {
            self.recovery = self.next.map(|next| (next, trigger));
        }
    }

    pub(super) fn figures(&mut self) -> WayFigures {
        WayFigures {
            counts: self.counts,
            rtt_by_timestamp_ns: self.by_timestamp.summary(),
            rtt_by_acknowledgement_ns: self.by_acknowledgement.summary(),
        }
    }
}
