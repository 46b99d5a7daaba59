//! The three-way join of one run: capture at one end, records of the engine, capture at the
//! other end.
//!
//! A record and a captured packet are the same when flow hash, length and layer-4 checksum are,
//! in order of time within a window. Where several would do, they are paired in order and counted
//! as ambiguous.

mod align;
mod clock_map;
mod index;
mod report;

use std::time::Duration;

use serde::Serialize;

pub use clock_map::{ClockMap, ClockMapError, ClockSample};
pub use index::{CaptureIndex, Key};
pub use report::{CaptureCounts, DirectionCounts, Joined, JoinedRecord, Link, Role};

use align::align;
use index::{Keyed, by_key};

/// Which end of the link. Packets of direction 0 enter at `A` and leave at `B`; those of
/// direction 1 the other way round.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Point {
    /// Where direction 0 enters.
    A,
    /// Where direction 0 leaves.
    B,
}

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
}

/// Windows of the join.
#[derive(Clone, Copy, Debug)]
pub struct JoinOptions {
    /// How far a capture's stamp may lie from the engine's at the end where packets enter.
    pub entering: Duration,
    /// How much later than released a packet may be captured at the other end.
    pub leaving: Duration,
}

impl Default for JoinOptions {
    fn default() -> Self {
        Self { entering: Duration::from_millis(50), leaving: Duration::from_secs(1) }
    }
}

/// Joins the records of a run with the captures of both ends.
#[must_use]
pub fn join(
    records: &[EngineRecord],
    a: &CaptureIndex,
    b: &CaptureIndex,
    clock: &ClockMap,
    options: &JoinOptions,
) -> Joined {
    let mut joined = Joined::empty(records.len(), a, b);
    for direction in [0, 1] {
        let (enter, leave) = if direction == 0 { (a, b) } else { (b, a) };
        let entering = nanoseconds(options.entering);
        let leaving = nanoseconds(options.leaving);
        let of_direction = || records.iter().enumerate().filter(move |(_, record)| record.direction == direction);
        let arrivals = by_key(of_direction().map(|(at, record)| Keyed {
            key: key_of(record),
            ts: clock.to_epoch(record.arrival_ns),
            position: at as u64,
        }));
        let entered = Pass { point: if direction == 0 { Point::A } else { Point::B }, role: Role::Entered };
        pass(&mut joined, entered, &arrivals, &enter.packets, |_| 0, (-entering, entering));
        // Dropped packets may claim nothing at the far end.
        let releases = by_key(of_direction().filter(|(_, record)| !record.cause.is_drop()).map(|(at, record)| {
            let release = record.actual_ns.or(record.intended_ns).unwrap_or(record.arrival_ns);
            Keyed { key: key_of(record), ts: clock.to_epoch(release), position: at as u64 }
        }));
        let left = Pass { point: if direction == 0 { Point::B } else { Point::A }, role: Role::Left };
        // The release is stamped behind the system call that made it, and the thread may have lost
        // its processor there: the packet left no earlier than intended.
        let held_up = |at: &Keyed| {
            let times = records.get(at.position as usize).and_then(|record| record.actual_ns.zip(record.intended_ns));
            times.map_or(0, |(actual, intended)| i64::try_from(actual.saturating_sub(intended)).unwrap_or(i64::MAX))
        };
        pass(&mut joined, left, &releases, &leave.packets, held_up, (-entering, leaving));
        leftovers(&mut joined, left.point, records, &arrivals, &leave.packets, (-entering, leaving));
    }
    report::count(&mut joined, records, a, b, clock);
    joined
}

fn nanoseconds(span: Duration) -> i64 {
    i64::try_from(span.as_nanos()).unwrap_or(i64::MAX)
}

fn key_of(record: &EngineRecord) -> u64 {
    index::key(&Key { flow_hash: record.flow_hash, l4_checksum: record.l4_checksum }, record.len)
}

#[derive(Clone, Copy)]
struct Pass {
    point: Point,
    role: Role,
}

/// Pairs records with the packets of one capture, both sorted by key and time. The first round
/// takes what is unambiguous and learns how far stamps usually lie apart; the second takes all.
/// `reach` is how much earlier than the window a record's packet may be.
fn pass(
    joined: &mut Joined,
    pass: Pass,
    records: &[Keyed],
    packets: &[Keyed],
    reach: impl Fn(&Keyed) -> i64,
    window: (i64, i64),
) {
    let mut apart = Vec::new();
    let (mut expected, mut seen, mut back) = (Vec::new(), Vec::new(), Vec::new());
    each_key(records, packets, |records, packets| {
        expected.clear();
        seen.clear();
        back.clear();
        expected.extend(records.iter().map(|record| record.ts));
        back.extend(records.iter().map(&reach));
        seen.extend(packets.iter().map(|packet| packet.ts));
        align(&expected, &seen, &back, 0, window, |i, j, ambiguous| {
            if let (Some(expected), Some(seen), false) = (expected.get(i), seen.get(j), ambiguous) {
                apart.push(seen.saturating_sub(*expected));
            }
        });
    });
    let middle = apart.len() / 2;
    let bias = if apart.is_empty() { 0 } else { *apart.select_nth_unstable(middle).1 };
    each_key(records, packets, |records, packets| {
        expected.clear();
        seen.clear();
        back.clear();
        // Packets that are taken already (by the other direction) are out of the question.
        let free: Vec<&Keyed> =
            packets.iter().filter(|packet| joined.link(pass.point, packet.position).is_none()).collect();
        expected.extend(records.iter().map(|record| record.ts));
        back.extend(records.iter().map(&reach));
        seen.extend(free.iter().map(|packet| packet.ts));
        let window = (window.0 - bias, window.1 - bias);
        align(&expected, &seen, &back, bias, window, |i, j, ambiguous| {
            if let (Some(record), Some(packet)) = (records.get(i), free.get(j)) {
                joined.pair(pass, record.position as usize, packet, ambiguous);
            }
        });
    });
}

/// Records looked at, back from a packet left over, for one that explains it.
const LOOK_BACK: usize = 64;

/// Packets left over where packets leave: further copies of one that was let through, or a packet
/// that the engine says it dropped.
fn leftovers(
    joined: &mut Joined,
    point: Point,
    records: &[EngineRecord],
    arrivals: &[Keyed],
    packets: &[Keyed],
    (early, late): (i64, i64),
) {
    let record = |at: &Keyed| records.get(at.position as usize);
    let held = |at: &Keyed| {
        let record = record(at)?;
        let release = record.actual_ns.or(record.intended_ns).unwrap_or(record.arrival_ns);
        i64::try_from(release.saturating_sub(record.arrival_ns)).ok()
    };
    each_key(arrivals, packets, |arrivals, packets| {
        for packet in packets {
            if joined.link(point, packet.position).is_some() {
                continue;
            }
            let upto = arrivals.partition_point(|at| at.ts <= packet.ts.saturating_sub(early));
            let before = arrivals.get(..upto).unwrap_or_default();
            let mut fitting = before
                .iter()
                .rev()
                .take(LOOK_BACK)
                .filter(|at| packet.ts.saturating_sub(at.ts) <= late.saturating_add(held(at).unwrap_or(0)));
            let Some(nearest) = fitting.next() else { continue };
            let passed = |at: &&Keyed| record(at).is_some_and(|record| !record.cause.is_drop());
            let others: Vec<&Keyed> = fitting.collect();
            let original = Some(nearest).filter(passed).or(others.iter().copied().find(passed));
            let (role, at) = match original {
                Some(original) => (Role::Copy, original),
                None => (Role::Contradiction, nearest),
            };
            joined.pair(Pass { point, role }, at.position as usize, packet, !others.is_empty());
        }
    });
}

/// Walks two lists sorted by key and time, key by key, where both have some.
fn each_key(left: &[Keyed], right: &[Keyed], mut visit: impl FnMut(&[Keyed], &[Keyed])) {
    let mut rest = right;
    for of_key in left.chunk_by(|one, other| one.key == other.key) {
        let Some(key) = of_key.first().map(|keyed| keyed.key) else { continue };
        let from = rest.partition_point(|keyed| keyed.key < key);
        let to = rest.partition_point(|keyed| keyed.key <= key);
        if let Some(matching) = rest.get(from..to).filter(|matching| !matching.is_empty()) {
            visit(of_key, matching);
        }
        rest = rest.get(to..).unwrap_or_default();
    }
}

#[cfg(test)]
mod tests;
