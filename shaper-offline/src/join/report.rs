//! What a join found.

use serde::Serialize;

use super::{CaptureIndex, ClockMap, EngineLog, Pass, Point, index::Keyed, log::Departure};

/// One record's packets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct JoinedRecord {
    /// Index of its packet in the capture at `A`.
    pub a: Option<u64>,
    /// Index of its packet in the capture at `B`.
    pub b: Option<u64>,
    /// Stamp at `A`, nanoseconds since the epoch.
    pub a_ts_ns: Option<i64>,
    /// Stamp at `B`, nanoseconds since the epoch.
    pub b_ts_ns: Option<i64>,
    /// Time on the link: stamp where it left less stamp where it entered, nanoseconds.
    pub link_ns: Option<i64>,
    /// Another packet or record would have done as well, at either end.
    pub ambiguous: bool,
}

/// The packet of a copy that the engine released, where it left.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct JoinedCopy {
    /// Index of its packet in the capture.
    pub packet: Option<u64>,
    /// Stamp there, nanoseconds since the epoch.
    pub ts_ns: Option<i64>,
}

/// What a captured packet is to its record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// The packet as it entered the link.
    Entered,
    /// The packet as it left.
    Left,
    /// A further copy that left.
    Copy,
    /// It left although its record says that it was dropped.
    Contradiction,
}

/// A captured packet's record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// Index of the record in the caller's list.
    pub record: u32,
    /// What the packet is to it.
    pub role: Role,
    /// Which copy of the record's packet it is, from 1 up; 0 for no copy. Copies whose release is not
    /// known are numbered on.
    pub copy: u32,
}

/// Counts of one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct DirectionCounts {
    /// Records.
    pub records: u64,
    /// Records of packets that were let through and released.
    pub passed: u64,
    /// Records of dropped packets.
    pub dropped: u64,
    /// Records of packets that were let through and neither released nor seen where they leave:
    /// lost by the harness between decision and release.
    pub not_released: u64,
    /// Records with every packet they should have: at both ends if let through, else where the
    /// packet entered.
    pub joined: u64,
    /// Records without a packet where it entered: the capture lost it, or began later.
    pub without_entry: u64,
    /// Records of packets released that were not seen where they leave: lost behind the engine,
    /// or by the capture.
    pub passed_not_seen: u64,
    /// Packets seen where they leave whose record says they were dropped: a contradiction.
    pub dropped_but_seen: u64,
    /// Further copies seen where packets leave.
    pub copies: u64,
    /// Copies that the engine released and that were not seen where they leave: lost behind the
    /// engine, or by the capture.
    pub copies_not_seen: u64,
    /// Records for which another packet would have done as well.
    pub ambiguous: u64,
}

/// Packets of one capture.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct CaptureCounts {
    /// All.
    pub packets: u64,
    /// With a record.
    pub joined: u64,
    /// Without a key: control traffic that the engine neither impairs nor counts.
    pub bypass: u64,
    /// Without a record, before the first decision.
    pub before: u64,
    /// Without a record, after the engine began to end, or after what it held had left.
    pub after: u64,
    /// Without a record, while the engine ran.
    pub without_record: u64,
}

/// The join of a run.
#[derive(Clone, Debug, Serialize)]
pub struct Joined {
    /// One entry per record, in the caller's order.
    #[serde(skip)]
    pub records: Vec<JoinedRecord>,
    /// One entry per copy, in the caller's order.
    #[serde(skip)]
    pub copies: Vec<JoinedCopy>,
    /// Counts of direction 0 and 1.
    pub directions: [DirectionCounts; 2],
    /// Counts of the capture at `A`.
    pub a: CaptureCounts,
    /// Counts of the capture at `B`.
    pub b: CaptureCounts,
    #[serde(skip)]
    links: [Vec<Option<Link>>; 2],
}

impl Joined {
    pub(super) fn empty(log: &EngineLog<'_>, a: &CaptureIndex, b: &CaptureIndex) -> Self {
        Self {
            records: vec![JoinedRecord::default(); log.records.len()],
            copies: vec![JoinedCopy::default(); log.copies.len()],
            directions: [DirectionCounts::default(); 2],
            a: CaptureCounts::default(),
            b: CaptureCounts::default(),
            links: [vec![None; a.positions as usize], vec![None; b.positions as usize]],
        }
    }

    /// The record of a captured packet, by its index in the file.
    #[must_use]
    pub fn link(&self, point: Point, packet: u64) -> Option<Link> {
        let links = match point {
            Point::A => &self.links[0],
            Point::B => &self.links[1],
        };
        links.get(usize::try_from(packet).ok()?).copied().flatten()
    }

    pub(super) fn pair(&mut self, pass: Pass, departure: &Departure, packet: &Keyed, ambiguous: bool) {
        let Departure { record, number, copy, .. } = *departure;
        let links = match pass.point {
            Point::A => &mut self.links[0],
            Point::B => &mut self.links[1],
        };
        if let (Some(slot), Ok(record)) = (links.get_mut(packet.position as usize), u32::try_from(record)) {
            *slot = Some(Link { record, role: pass.role, copy: number });
        }
        if let Some(entry) = copy.and_then(|copy| self.copies.get_mut(copy)) {
            *entry = JoinedCopy { packet: Some(packet.position), ts_ns: Some(packet.ts) };
        }
        let Some(entry) = self.records.get_mut(record) else { return };
        entry.ambiguous |= ambiguous;
        if pass.role == Role::Copy {
            return;
        }
        let (index, ts) = match pass.point {
            Point::A => (&mut entry.a, &mut entry.a_ts_ns),
            Point::B => (&mut entry.b, &mut entry.b_ts_ns),
        };
        *index = Some(packet.position);
        *ts = Some(packet.ts);
        if let (Some(a), Some(b)) = (entry.a_ts_ns, entry.b_ts_ns) {
            // Only the far end is paired second, so its point tells the direction.
            let link = b.saturating_sub(a);
            entry.link_ns = Some(if pass.point == Point::B { link } else { -link });
        }
    }
}

/// Fills in the counts.
pub(super) fn count(
    joined: &mut Joined,
    log: &EngineLog<'_>,
    a: &CaptureIndex,
    b: &CaptureIndex,
    clock: &ClockMap,
    ending: Option<u64>,
) {
    let records = log.records;
    for (record, entry) in records.iter().zip(&joined.records) {
        let Some(counts) = joined.directions.get_mut(usize::from(record.direction)) else { continue };
        let (entered, left) = if record.direction == 0 { (entry.a, entry.b) } else { (entry.b, entry.a) };
        let dropped = record.cause.is_drop();
        counts.records += 1;
        let not_released = !dropped && record.actual_ns.is_none() && left.is_none();
        counts.passed += u64::from(!dropped && !not_released);
        counts.not_released += u64::from(not_released);
        counts.dropped += u64::from(dropped);
        counts.ambiguous += u64::from(entry.ambiguous);
        counts.without_entry += u64::from(entered.is_none());
        counts.passed_not_seen += u64::from(!dropped && !not_released && left.is_none());
        counts.joined += u64::from(entered.is_some() && left.is_some() != dropped);
    }
    for copy in log.copies.iter().zip(&joined.copies).filter(|(_, found)| found.packet.is_none()).map(|(copy, _)| copy)
    {
        let direction = records.get(copy.record as usize).map(|record| usize::from(record.direction));
        if let Some(counts) = direction.and_then(|at| joined.directions.get_mut(at)) {
            counts.copies_not_seen += 1;
        }
    }
    let first = records.iter().map(|record| record.arrival_ns).min();
    let released = records.iter().map(|record| record.actual_ns.or(record.intended_ns).unwrap_or(record.arrival_ns));
    let last = released.chain(log.copies.iter().map(|copy| copy.actual_ns)).max();
    let last = last.map(|last| ending.map_or(last, |ending| last.min(ending)));
    let span = first.zip(last).map(|(first, last)| (clock.to_epoch(first), clock.to_epoch(last)));
    for (point, capture) in [(Point::A, a), (Point::B, b)] {
        let mut counts = CaptureCounts { packets: capture.count, bypass: capture.bypass, ..CaptureCounts::default() };
        for packet in &capture.packets {
            let Some(link) = joined.link(point, packet.position) else {
                match span {
                    Some((from, _)) if packet.ts < from => counts.before += 1,
                    Some((_, to)) if packet.ts > to => counts.after += 1,
                    Some(_) => counts.without_record += 1,
                    None => counts.before += 1,
                }
                continue;
            };
            counts.joined += 1;
            let direction = records.get(link.record as usize).map(|record| record.direction);
            let direction = direction.and_then(|at| joined.directions.get_mut(usize::from(at)));
            if let Some(direction) = direction {
                direction.copies += u64::from(link.role == Role::Copy);
                direction.dropped_but_seen += u64::from(link.role == Role::Contradiction);
            }
        }
        match point {
            Point::A => joined.a = counts,
            Point::B => joined.b = counts,
        }
    }
}
