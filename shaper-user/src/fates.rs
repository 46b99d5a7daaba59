//! What an engine says of packets, put together as captures are joined with it.

use std::collections::HashMap;
use std::path::Path;

use serde::{Deserialize, Serialize};
use shaper_common::corrupt::Damage;
use shaper_common::fate::Cause;
use shaper_common::layout::Record;
use shaper_common::parse::{self, Kind};
use shaper_common::rewrite;
use shaper_delayline::Released;
use shaper_offline::join::{
    self, CaptureIndex, ClockMap, EngineCopy, EngineLog, EngineRecord, Joined, Key, Point, Role,
};
use shaper_offline::pcapfile::{Reader, Verdict};

/// What XDP programs return for a packet that is dropped, and for one handed to what holds it (linux/bpf.h).
const XDP_DROP: i64 = 1;
const XDP_REDIRECT: i64 = 4;

/// A decision, as far as it is told beside a packet; times are nanoseconds of CLOCK_MONOTONIC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Decision {
    /// 0 from A to B, 1 from B to A.
    pub(crate) direction: u16,
    sequence: u64,
    id: u64,
    arrival: u64,
    cause: u32,
    rule: u32,
    release: u64,
    len: u32,
    flow_hash: u32,
    l4_checksum: u16,
    /// As [`Damage`] has it: flips, at, repair.
    damage: (u32, u16, u16),
    /// Whether it was marked Congestion Experienced.
    marked: bool,
}

impl Decision {
    /// That of a record, told as one of `direction`.
    pub(crate) fn of(direction: u16, record: &Record) -> Self {
        let Damage { flips, at, repair } = record.fate.damage;
        Self {
            direction,
            sequence: record.sequence,
            id: record.id(),
            arrival: record.arrival().0,
            cause: record.fate.cause,
            rule: record.rule,
            release: record.release().0,
            len: record.packet.len,
            flow_hash: record.packet.flow_hash,
            l4_checksum: record.l4_checksum,
            damage: (flips, at, repair),
            marked: record.fate.marked != 0,
        }
    }

    fn damage(&self) -> Damage {
        let (flips, at, repair) = self.damage;
        Damage { flips, at, repair }
    }

    fn record(&self, actual: &HashMap<u64, u64>) -> EngineRecord {
        let cause = Cause::from_raw(self.cause);
        let cause = cause.map_or(join::Cause { code: self.cause as u8, name: "unknown" }, |cause| join::Cause {
            code: cause as u8,
            name: cause.name(),
        });
        let passed = self.cause == Cause::None as u32;
        EngineRecord {
            direction: self.direction,
            seq: self.sequence,
            id: self.id,
            arrival_ns: self.arrival,
            cause,
            rule: self.rule,
            intended_ns: passed.then_some(self.release),
            actual_ns: actual.get(&self.id).copied(),
            len: self.len,
            flow_hash: self.flow_hash,
            l4_checksum: self.l4_checksum,
            damaged: passed && !self.damage().is_none(),
            marked: passed && self.marked,
            changed: None,
        }
    }
}

/// A packet or a copy that left; times are nanoseconds of CLOCK_MONOTONIC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Departure {
    id: u64,
    intended: u64,
    actual: u64,
    copy: u8,
}

impl Departure {
    /// That of a release; `None` where the device refused it.
    pub(crate) fn of(release: &Released) -> Option<Self> {
        let Released { id, intended, actual, copy, sent, .. } = *release;
        sent.then_some(Self { id, intended: intended.0, actual: actual.0, copy })
    }
}

/// The decisions on a link's packets, and the copies that left.
#[derive(Default)]
pub(crate) struct Log {
    pub(crate) records: Vec<EngineRecord>,
    copies: Vec<EngineCopy>,
    /// What was changed in a packet on its way, by its record.
    damaged: HashMap<usize, Damage>,
    /// When the engine began to end, if it has.
    ending_ns: Option<u64>,
}

impl Log {
    /// The log of an engine that began to end at this time.
    pub(crate) fn of_ended(ending_ns: u64) -> Self {
        Self { ending_ns: Some(ending_ns), ..Self::default() }
    }

    /// Adds decisions, and what left of the packets that they are about.
    pub(crate) fn add(
        &mut self,
        decisions: impl Iterator<Item = Decision> + Clone,
        departures: impl Iterator<Item = Departure> + Clone,
    ) {
        let first = self.records.len();
        let own = departures.clone().filter(|departure| departure.copy == 0);
        let actual: HashMap<u64, u64> = own.map(|departure| (departure.id, departure.actual)).collect();
        for (at, decision) in (first..).zip(decisions) {
            let damage = decision.damage();
            if !damage.is_none() {
                self.damaged.insert(at, damage);
            }
            self.records.push(decision.record(&actual));
        }
        let copies = departures.filter(|departure| departure.copy != 0);
        if copies.clone().next().is_none() {
            return;
        }
        let added = self.records.get(first..).unwrap_or_default();
        let positions: HashMap<u64, u32> = (first as u32..).zip(added).map(|(at, record)| (record.id, at)).collect();
        // What has no record is left out: like its packet it is one that no record knows of.
        self.copies.extend(copies.filter_map(|copy| {
            Some(EngineCopy {
                record: *positions.get(&copy.id)?,
                number: copy.copy.into(),
                intended_ns: copy.intended,
                actual_ns: copy.actual,
            })
        }));
        self.copies.sort_unstable_by_key(|copy| (copy.record, copy.number));
    }

    /// As captures are joined with it.
    pub(crate) fn engine(&self) -> EngineLog<'_> {
        EngineLog { records: &self.records, copies: &self.copies }
    }

    /// Joins it with what was captured at both ends of the link, of which the files are those of `captured`.
    ///
    /// # Errors
    ///
    /// When a capture cannot be read.
    pub(crate) fn join(
        &mut self,
        [a, b]: [&CaptureIndex; 2],
        captured: [Option<&Path>; 2],
        clock: &ClockMap,
    ) -> anyhow::Result<Joined> {
        let options = join::JoinOptions { ending_ns: self.ending_ns, ..join::JoinOptions::default() };
        if !self.damaged.is_empty() {
            // First where they entered: only there it is known what they look like behind the change.
            let entered = join::join(&self.engine(), a, b, clock, &options);
            self.fill_changed(&entered, captured)?;
        }
        Ok(join::join(&self.engine(), a, b, clock, &options))
    }

    /// Fills in what changed packets look like when they leave: from the captures where they entered.
    fn fill_changed(&mut self, joined: &Joined, captured: [Option<&Path>; 2]) -> anyhow::Result<()> {
        for (point, captured) in [Point::A, Point::B].into_iter().zip(captured) {
            let Some(captured) = captured else { continue };
            let mut reader = Reader::open(captured)?;
            while let Some(packet) = reader.next_packet()? {
                let entered = joined.link(point, packet.index).filter(|link| link.role == Role::Entered);
                let Some(of) = entered.map(|link| link.record as usize) else { continue };
                let Some((record, damage)) = self.records.get_mut(of).zip(self.damaged.get(&of)) else { continue };
                let mut frame = packet.data.to_vec();
                let parts = parse::summary(&frame[..]).parts;
                if rewrite::damage(&mut frame[..], record.len, &parts, damage).is_some() {
                    record.changed = key(&frame);
                }
            }
        }
        Ok(())
    }
}

/// What the engine's own parser finds in a frame to know it again by; `None` for control packets.
pub(crate) fn key(frame: &[u8]) -> Option<Key> {
    let summary = parse::summary(frame);
    (summary.kind == Kind::Data).then_some(Key { flow_hash: summary.flow_hash, l4_checksum: summary.l4_checksum })
}

/// What the program returned that decided on a packet.
#[expect(clippy::unnecessary_wraps, reason = "the signature of `Annotation::verdict`")]
pub(crate) fn verdict(record: &EngineRecord) -> Option<Verdict> {
    Some(Verdict::Xdp(if record.cause.is_drop() { XDP_DROP } else { XDP_REDIRECT }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use shaper_common::layout::RawFate;
    use shaper_common::units::Nanos;

    #[test]
    fn copies_that_left_stand_by_their_record_in_order() {
        let record = |direction: u16, sequence| Record {
            sequence,
            direction,
            channel: direction.into(),
            fate: RawFate { release: Nanos(sequence), ..RawFate::default() },
            ..Record::default()
        };
        let mut log = Log::default();
        // The second packet has these releases: copy number and whether it was sent.
        let mut add = |direction: u16, copies: &[(u8, bool)]| {
            let records = [0, 1, 2].map(|sequence| record(direction, sequence));
            let released = |copy, sent| {
                let intended = Nanos(1 + 10 * u64::from(copy));
                let actual = Nanos(intended.0 + 5);
                Released { id: records[1].id(), intended, actual, direction: direction.into(), copy, sent }
            };
            // One whose packet has no record.
            let stranger = Released { id: 77, ..released(1, true) };
            let releases: Vec<Released> =
                copies.iter().map(|&(copy, sent)| released(copy, sent)).chain([released(0, true), stranger]).collect();
            log.add(
                records.iter().map(|record| Decision::of(direction, record)),
                releases.iter().filter_map(Departure::of),
            );
        };
        add(0, &[(2, true), (1, true), (3, false)]);
        add(1, &[(1, true)]);
        let EngineLog { records, copies } = log.engine();
        assert_eq!(records.len(), 6);
        let copy = |record, number, intended_ns| EngineCopy { record, number, intended_ns, actual_ns: intended_ns + 5 };
        assert_eq!(copies, [copy(1, 1, 11), copy(1, 2, 21), copy(4, 1, 11)]);
        assert_eq!((records[4].direction, records[4].seq, records[4].actual_ns), (1, 1, Some(6)));
    }
}
