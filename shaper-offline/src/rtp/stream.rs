//! One stream, counted packet by packet.

use super::{
    candidate::Arrival,
    header::FIXED,
    jitter::Jitter,
    sequence::{Place, Sequence},
};
use crate::stats::Budget;

/// Length of the windows in which the highest bitrate is looked for.
const WINDOW_NS: i64 = 1_000_000_000;
/// Payload types listed.
const TYPES: usize = 8;

/// What is counted of a stream.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) ssrc: u32,
    pub(super) sequence: Sequence,
    pub(super) jitter: Jitter,
    payload_type: u8,
    /// Packets by payload type, in order of appearance.
    pub(super) types: Vec<(u8, u64)>,
    /// Packets of the payload type at hand since it was the stream's.
    in_row: u64,
    pub(super) type_changes: u64,
    pub(super) first_ns: Option<i64>,
    pub(super) last_ns: Option<i64>,
    pub(super) packets: u64,
    pub(super) bytes: u64,
    pub(super) payload_min: u32,
    pub(super) payload_max: u32,
    pub(super) markers: u64,
    pub(super) max_interarrival_ns: Option<i64>,
    /// Begin of the window at hand, and its bytes.
    window: (i64, u64),
    /// Most bytes in a window that ended.
    pub(super) busiest: Option<u64>,
    pub(super) timestamp_moved: bool,
    first_timestamp: u32,
    pub(super) csrc_max: u8,
    pub(super) extensions: u64,
    pub(super) extension: Option<u16>,
}

impl Stream {
    /// A stream that begins with this packet.
    pub(super) fn new(first: &Arrival, budget: &Budget) -> Self {
        let header = first.header;
        let mut new = Self {
            ssrc: header.ssrc,
            sequence: Sequence::new(header.sequence),
            jitter: Jitter::new(header.payload_type, budget),
            payload_type: header.payload_type,
            types: Vec::new(),
            in_row: 0,
            type_changes: 0,
            first_ns: None,
            last_ns: None,
            packets: 0,
            bytes: 0,
            payload_min: u32::MAX,
            payload_max: 0,
            markers: 0,
            max_interarrival_ns: None,
            window: (first.ts_ns.unwrap_or(0), 0),
            busiest: None,
            timestamp_moved: false,
            first_timestamp: header.timestamp,
            csrc_max: 0,
            extensions: 0,
            extension: None,
        };
        new.count(first);
        new
    }

    /// The next packet in order of arrival.
    #[inline]
    pub(super) fn add(&mut self, arrival: &Arrival) {
        let header = &arrival.header;
        let jitter = &self.jitter;
        let place = self.sequence.see(header.sequence, || jitter.continuous(arrival.ts_ns, header.timestamp));
        match place {
            Place::Stray => return,
            Place::Restart => self.jitter.begin_anew(),
            Place::Highest | Place::Reordered(_) | Place::Duplicate => {}
        }
        self.count(arrival);
    }

    #[inline]
    fn count(&mut self, arrival: &Arrival) {
        let header = &arrival.header;
        self.packets += 1;
        self.bytes += u64::from(arrival.length);
        let payload = arrival.length.saturating_sub(header.length.into());
        self.payload_min = self.payload_min.min(payload);
        self.payload_max = self.payload_max.max(payload);
        self.markers += u64::from(header.marker);
        self.timestamp_moved |= header.timestamp != self.first_timestamp;
        if header.payload_type != self.payload_type {
            self.change(header.payload_type);
        }
        self.in_row += 1;
        if usize::from(header.length) > FIXED {
            self.csrc_max = self.csrc_max.max(header.csrc_count);
            self.extensions += u64::from(header.extension.is_some());
            self.extension = header.extension.or(self.extension);
        }
        if let Some(ts_ns) = arrival.ts_ns {
            self.time(ts_ns, header.timestamp, arrival.length);
        }
    }

    #[inline]
    fn time(&mut self, ts_ns: i64, timestamp: u32, length: u32) {
        if self.first_ns.is_none_or(|first| ts_ns < first) {
            self.first_ns = Some(ts_ns);
        }
        if let Some(last) = self.last_ns {
            // Where stamps go back there is no time between.
            let gap = ts_ns.saturating_sub(last).max(0);
            if self.max_interarrival_ns.is_none_or(|max| gap > max) {
                self.max_interarrival_ns = Some(gap);
            }
        }
        if self.last_ns.is_none_or(|last| ts_ns > last) {
            self.last_ns = Some(ts_ns);
        }
        self.jitter.step(ts_ns, timestamp);
        let (begin, bytes) = self.window;
        let passed = ts_ns.saturating_sub(begin);
        if passed < WINDOW_NS {
            self.window.1 = bytes + u64::from(length);
        } else {
            self.busiest = Some(self.busiest.map_or(bytes, |most| most.max(bytes)));
            self.window = (ts_ns - passed % WINDOW_NS, length.into());
        }
    }

    fn tally(&mut self) {
        let counted = std::mem::take(&mut self.in_row);
        if let Some((_, packets)) = self.types.iter_mut().find(|(known, _)| *known == self.payload_type) {
            *packets += counted;
        } else if self.types.len() < TYPES {
            self.types.push((self.payload_type, counted));
        }
    }

    fn change(&mut self, payload_type: u8) {
        self.tally();
        self.type_changes += 1;
        self.payload_type = payload_type;
        self.jitter.now_of(payload_type);
    }

    /// The stream has ended. Whether it is one: its timestamps moved, and few of its packets were far
    /// from the others.
    pub(super) fn finish(&mut self) -> bool {
        self.tally();
        self.jitter.finish();
        self.timestamp_moved && self.sequence.strays.saturating_mul(4) <= self.packets
    }

    /// The payload type of most packets.
    pub(super) fn main_type(&self) -> u8 {
        let most = self.types.iter().max_by_key(|(_, packets)| *packets);
        most.map_or(self.payload_type, |(payload_type, _)| *payload_type)
    }
}
