//! What the engine knows of a run: its decisions, and what left when.

use super::index::Key;

/// What decided a fate: its number and the name it has in output. Number 0 means not dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Cause {
    /// Number; 0 for packets that were let through.
    pub code: u8,
    /// Name in output and comments.
    pub name: &'static str,
}

impl Cause {
    /// Whether the engine dropped the packet.
    #[must_use]
    pub fn is_drop(self) -> bool {
        self.code != 0
    }
}

/// One decision of the engine, decoded; times are CLOCK_MONOTONIC nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EngineRecord {
    /// 0 or 1.
    pub direction: u16,
    /// Position in the order of decisions of that direction.
    pub seq: u64,
    /// Packet id.
    pub id: u64,
    /// When the packet arrived at the engine's hook.
    pub arrival_ns: u64,
    /// What decided.
    pub cause: Cause,
    /// Number of the rule.
    pub rule: u32,
    /// When it was to be released; `None` for dropped packets.
    pub intended_ns: Option<u64>,
    /// When it was released; `None` for packets dropped, and for those lost after the decision.
    pub actual_ns: Option<u64>,
    /// Length on the wire.
    pub len: u32,
    /// Flow hash, of the parser that also keys captures.
    pub flow_hash: u32,
    /// Layer-4 checksum as it stood in the packet.
    pub l4_checksum: u16,
    /// Whether it was let through with other bits than it came with.
    pub damaged: bool,
    /// Whether it was let through with congestion experienced (ECN).
    pub marked: bool,
    /// What the packet looks like when it leaves, where it was changed on its way and its capture told that.
    pub changed: Option<Key>,
}

/// A copy of a packet that the engine made and released; times are CLOCK_MONOTONIC nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EngineCopy {
    /// Index of the packet's record in [`EngineLog::records`].
    pub record: u32,
    /// Which copy of the packet, from 1 up.
    pub number: u32,
    /// When it was to be released.
    pub intended_ns: u64,
    /// When it was released.
    pub actual_ns: u64,
}

/// The decisions of a run, and the copies that were released.
#[derive(Clone, Copy, Debug, Default)]
pub struct EngineLog<'a> {
    /// One record a decision, of both directions, in any order.
    pub records: &'a [EngineRecord],
    /// Ascending by record and number.
    pub copies: &'a [EngineCopy],
}

/// A packet that leaves: one that came in, or a copy.
#[derive(Clone, Copy, Debug)]
pub(super) struct Departure {
    /// Index of its record.
    pub(super) record: usize,
    /// Which copy it is; 0 for the packet that came in.
    pub(super) number: u32,
    /// Index of the copy.
    pub(super) copy: Option<usize>,
    pub(super) intended_ns: Option<u64>,
    pub(super) actual_ns: Option<u64>,
}

impl Departure {
    /// The packet of a record as it came in.
    pub(super) fn original(at: usize, record: &EngineRecord) -> Self {
        Self { record: at, number: 0, copy: None, intended_ns: record.intended_ns, actual_ns: record.actual_ns }
    }
}

impl EngineLog<'_> {
    /// The range of a record's copies.
    fn range(&self, record: usize) -> std::ops::Range<usize> {
        let from = self.copies.partition_point(|copy| (copy.record as usize) < record);
        let behind = self.copies.get(from..).unwrap_or_default();
        from..from + behind.partition_point(|copy| copy.record as usize == record)
    }

    /// The highest number of a record's copies; 0 if it has none.
    pub(super) fn highest(&self, record: usize) -> u32 {
        self.copies.get(self.range(record)).and_then(<[_]>::last).map_or(0, |copy| copy.number)
    }

    /// The copy of a record with this number.
    #[must_use]
    pub fn copy(&self, record: u32, number: u32) -> Option<&EngineCopy> {
        let at = self.copies.binary_search_by_key(&(record, number), |copy| (copy.record, copy.number)).ok()?;
        self.copies.get(at)
    }

    /// All that leaves in a direction: each packet let through, followed by its copies.
    pub(super) fn departures(&self, direction: u16) -> Vec<Departure> {
        let mut departures = Vec::new();
        let passed = |record: &EngineRecord| record.direction == direction && !record.cause.is_drop();
        for (at, record) in self.records.iter().enumerate().filter(|(_, record)| passed(record)) {
            departures.push(Departure::original(at, record));
            let range = self.range(at);
            departures.extend(range.clone().zip(self.copies.get(range).unwrap_or_default()).map(|(index, copy)| {
                Departure {
                    record: at,
                    number: copy.number,
                    copy: Some(index),
                    intended_ns: Some(copy.intended_ns),
                    actual_ns: Some(copy.actual_ns),
                }
            }));
        }
        departures
    }
}
