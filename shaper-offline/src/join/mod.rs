//! The three-way join of one run: capture at one end, records of the engine, capture at the
//! other end.
//!
//! A record and a captured packet are the same when flow hash, length and layer-4 checksum are,
//! in order of time within a window. Where several would do, they are paired in order and counted
//! as ambiguous. Where packets leave, each copy that the engine released is looked for like a packet
//! of its own: that copies of one packet are alike makes nothing ambiguous.

mod align;
mod clock_map;
mod index;
mod log;
mod report;

use std::time::Duration;

use serde::Serialize;

pub use clock_map::{ClockMap, ClockMapError, ClockSample};
pub use index::{CaptureIndex, Key, Seen};
pub use log::{Cause, EngineCopy, EngineLog, EngineRecord};
pub use report::{CaptureCounts, DirectionCounts, Joined, JoinedCopy, JoinedRecord, Link, Role};

use std::collections::HashMap;

use align::{Expected, align};
use index::{Keyed, by_key};
use log::Departure;

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

/// Windows of the join.
#[derive(Clone, Copy, Debug)]
pub struct JoinOptions {
    /// How far a capture's stamp may lie from the engine's at the end where packets enter.
    pub entering: Duration,
    /// How much later than released a packet may be captured at the other end.
    pub leaving: Duration,
    /// When the engine began to end, CLOCK_MONOTONIC in nanoseconds: it decides nothing from then on, while what it
    /// held still leaves. Where nobody says, up to when the last packet left.
    pub ending_ns: Option<u64>,
}

impl Default for JoinOptions {
    fn default() -> Self {
        Self { entering: Duration::from_millis(50), leaving: Duration::from_secs(1), ending_ns: None }
    }
}

/// Joins what the engine knows of a run with the captures of both ends.
#[must_use]
pub fn join(
    log: &EngineLog<'_>,
    a: &CaptureIndex,
    b: &CaptureIndex,
    clock: &ClockMap,
    options: &JoinOptions,
) -> Joined {
    let mut joined = Joined::empty(log, a, b);
    for direction in [0, 1] {
        let (enter, leave) = if direction == 0 { (a, b) } else { (b, a) };
        let entering = nanoseconds(options.entering);
        let leaving = nanoseconds(options.leaving);
        let arrivals = |point: &CaptureIndex, way: Seen| {
            let of_direction = log.records.iter().enumerate().filter(|(_, record)| record.direction == direction);
            by_key(of_direction.map(|(at, record)| Keyed {
                key: point.key(way, key_of(record)),
                ts: clock.to_epoch(record.arrival_ns),
                position: at as u64,
            }))
        };
        let entered = Pass { point: if direction == 0 { Point::A } else { Point::B }, role: Role::Entered };
        let original = |at: &Keyed| {
            let at = usize::try_from(at.position).ok()?;
            Some(Departure::original(at, log.records.get(at)?))
        };
        let entries = arrivals(enter, Seen::Entering);
        pass(&mut joined, entered, &entries, &enter.packets, original, |_| 0, (-entering, entering));
        // Dropped packets may claim nothing at the far end.
        let departures = log.departures(direction);
        let releases = by_key(departures.iter().enumerate().filter_map(|(at, departure)| {
            let record = log.records.get(departure.record)?;
            let release = departure.actual_ns.or(departure.intended_ns).unwrap_or(record.arrival_ns);
            let leaves = record.changed.map_or_else(|| key_of(record), |changed| index::key(&changed, record.len));
            let key = leave.key(Seen::Leaving, leaves);
            Some(Keyed { key, ts: clock.to_epoch(release), position: at as u64 })
        }));
        let left = Pass { point: if direction == 0 { Point::B } else { Point::A }, role: Role::Left };
        let departure = |at: &Keyed| departures.get(usize::try_from(at.position).ok()?).copied();
        // The release is stamped behind the system call that made it, and the thread may have lost
        // its processor there: the packet left no earlier than intended.
        let held_up = |departure: &Departure| {
            let times = departure.actual_ns.zip(departure.intended_ns);
            times.map_or(0, |(actual, intended)| i64::try_from(actual.saturating_sub(intended)).unwrap_or(i64::MAX))
        };
        pass(&mut joined, left, &releases, &leave.packets, departure, held_up, (-entering, leaving));
        // By the same keys, where it is not told which way packets went.
        let told = leave.is_told.then(|| arrivals(leave, Seen::Leaving));
        leftovers(
            &mut joined,
            left.point,
            log,
            told.as_ref().unwrap_or(&entries),
            &leave.packets,
            (-entering, leaving),
        );
    }
    report::count(&mut joined, log, a, b, clock, options.ending_ns);
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

/// Pairs what was to be seen with the packets of one capture, both sorted by key and time. The first
/// round takes what is unambiguous and learns how far stamps usually lie apart; the second takes all.
/// `whose` says what stands behind a position, `reach` how much earlier than the window its packet
/// may be.
fn pass(
    joined: &mut Joined,
    pass: Pass,
    wanted: &[Keyed],
    packets: &[Keyed],
    whose: impl Fn(&Keyed) -> Option<Departure>,
    reach: impl Fn(&Departure) -> i64,
    window: (i64, i64),
) {
    let mut apart = Vec::new();
    let (mut expected, mut seen) = (Vec::new(), Vec::new());
    let expect = |expected: &mut Vec<Expected>, wanted: &[Keyed]| {
        expected.clear();
        expected.extend(wanted.iter().map(|at| {
            let departure = whose(at);
            let of = departure.map_or(usize::MAX, |departure| departure.record);
            Expected { ts: at.ts, reach: departure.as_ref().map_or(0, &reach), of }
        }));
    };
    each_key(wanted, packets, |wanted, packets| {
        expect(&mut expected, wanted);
        seen.clear();
        seen.extend(packets.iter().map(|packet| packet.ts));
        align(&expected, &seen, 0, window, |i, j, ambiguous| {
            if let (Some(expected), Some(seen), false) = (expected.get(i), seen.get(j), ambiguous) {
                apart.push(seen.saturating_sub(expected.ts));
            }
        });
    });
    let middle = apart.len() / 2;
    let bias = if apart.is_empty() { 0 } else { *apart.select_nth_unstable(middle).1 };
    each_key(wanted, packets, |wanted, packets| {
        expect(&mut expected, wanted);
        seen.clear();
        // Packets that are taken already (by the other direction) are out of the question.
        let free: Vec<&Keyed> =
            packets.iter().filter(|packet| joined.link(pass.point, packet.position).is_none()).collect();
        seen.extend(free.iter().map(|packet| packet.ts));
        let window = (window.0 - bias, window.1 - bias);
        align(&expected, &seen, bias, window, |i, j, ambiguous| {
            let found = wanted.get(i).and_then(&whose).zip(free.get(j));
            if let Some((departure, packet)) = found {
                let role = if departure.number == 0 { pass.role } else { Role::Copy };
                joined.pair(Pass { role, ..pass }, &departure, packet, ambiguous);
            }
        });
    });
}

/// Records looked at, back from a packet left over, for one that explains it.
const LOOK_BACK: usize = 64;

/// Packets left over where packets leave: further copies of one that was let through, or a packet
/// that the engine says it dropped. Further copies, of which no release is known, are numbered on.
fn leftovers(
    joined: &mut Joined,
    point: Point,
    log: &EngineLog<'_>,
    arrivals: &[Keyed],
    packets: &[Keyed],
    (early, late): (i64, i64),
) {
    let record = |at: &Keyed| log.records.get(at.position as usize);
    let held = |at: &Keyed| {
        let record = record(at)?;
        let release = record.actual_ns.or(record.intended_ns).unwrap_or(record.arrival_ns);
        i64::try_from(release.saturating_sub(record.arrival_ns)).ok()
    };
    let mut highest: HashMap<usize, u32> = HashMap::new();
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
            let Some(of) = record(at) else { continue };
            let mut departure = Departure::original(at.position as usize, of);
            if role == Role::Copy {
                let number = highest.entry(departure.record).or_insert_with(|| log.highest(departure.record));
                *number += 1;
                departure.number = *number;
            }
            joined.pair(Pass { point, role }, &departure, packet, !others.is_empty());
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
