//! What the engine says of a link's packets and copies, as captures are joined with it.

use std::collections::HashMap;

use shaper_common::fate::Cause;
use shaper_common::layout::Record;
use shaper_common::parse;
use shaper_common::rewrite;
use shaper_common::units::Nanos;
use shaper_engine::DirectionOutcome;
use shaper_offline::join::{self, EngineCopy, EngineRecord, Joined, Point, Role};
use shaper_offline::pcapfile::Reader;

use super::key;
use crate::capture::Captured;

/// The decisions of a link, and the copies that left.
pub(super) fn engine_log(pair: &[DirectionOutcome]) -> (Vec<EngineRecord>, Vec<EngineCopy>) {
    let (mut all, mut copies) = (Vec::new(), Vec::new());
    for (number, outcome) in (0u16..).zip(pair) {
        copies.extend(engine_copies(outcome, all.len()));
        let actual: HashMap<u64, Nanos> = outcome
            .releases
            .iter()
            .filter(|release| release.sent)
            .map(|release| (release.id, release.actual))
            .collect();
        all.extend(outcome.records.iter().map(|record| engine_record(number, record, &actual)));
    }
    (all, copies)
}

/// The copies of a direction that left, ascending by record and number, where the direction's records are to stand from
/// `first` on. What has no record is left out: like its packet it is one that no record knows of.
fn engine_copies(outcome: &DirectionOutcome, first: usize) -> Vec<EngineCopy> {
    if outcome.copies.is_empty() {
        return Vec::new();
    }
    let positions: HashMap<u64, u32> =
        (first as u32..).zip(&outcome.records).map(|(at, record)| (record.id(), at)).collect();
    let left = outcome.copies.iter().filter(|release| release.sent);
    let mut copies: Vec<EngineCopy> = left
        .filter_map(|release| {
            Some(EngineCopy {
                record: *positions.get(&release.id)?,
                number: release.copy.into(),
                intended_ns: release.intended.0,
                actual_ns: release.actual.0,
            })
        })
        .collect();
    copies.sort_unstable_by_key(|copy| (copy.record, copy.number));
    copies
}

fn engine_record(direction: u16, record: &Record, actual: &HashMap<u64, Nanos>) -> EngineRecord {
    let cause = record.cause().map_or(join::Cause { code: record.fate.cause as u8, name: "unknown" }, |cause| {
        join::Cause { code: cause as u8, name: cause.name() }
    });
    let passed = record.fate.cause == Cause::None as u32;
    EngineRecord {
        direction,
        seq: record.sequence,
        id: record.id(),
        arrival_ns: record.arrival().0,
        cause,
        rule: record.rule,
        intended_ns: passed.then_some(record.release().0),
        actual_ns: actual.get(&record.id()).map(|actual| actual.0),
        len: record.packet.len,
        flow_hash: record.packet.flow_hash,
        l4_checksum: record.l4_checksum,
        damaged: passed && !record.fate.damage.is_none(),
        marked: passed && record.fate.marked != 0,
        changed: None,
    }
}

/// Whether the link changed any packet on its way.
pub(super) fn has_changed(pair: &[DirectionOutcome]) -> bool {
    pair.iter().any(|outcome| outcome.records.iter().any(|record| !record.fate.damage.is_none()))
}

/// Fills in what changed packets look like when they leave: from the captures where they entered.
pub(super) fn fill_changed(
    pair: &[DirectionOutcome],
    records: &mut [EngineRecord],
    joined: &Joined,
    captured: [Option<&Captured>; 2],
) -> anyhow::Result<()> {
    let all: Vec<&Record> = pair.iter().flat_map(|outcome| &outcome.records).collect();
    for (point, captured) in [Point::A, Point::B].into_iter().zip(captured) {
        let Some(captured) = captured else { continue };
        let mut reader = Reader::open(&captured.spool)?;
        while let Some(packet) = reader.next_packet()? {
            let entered = joined.link(point, packet.index).filter(|link| link.role == Role::Entered);
            let Some(of) = entered.map(|link| link.record as usize) else { continue };
            let Some(record) = all.get(of).filter(|record| !record.fate.damage.is_none()) else { continue };
            let mut frame = packet.data.to_vec();
            let parts = parse::summary(&frame[..]).parts;
            if rewrite::damage(&mut frame[..], record.packet.len, &parts, &record.fate.damage).is_some()
                && let Some(place) = records.get_mut(of)
            {
                place.changed = key(&frame);
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use hdrhistogram::Histogram;
    use shaper_common::layout::RawFate;
    use shaper_delayline::Released;
    use shaper_engine::{ChannelSpec, DirectionSpec};

    /// A direction of three packets, of which the second has these releases: copy number and whether it was sent.
    fn direction(number: u16, copies: &[(u8, bool)]) -> DirectionOutcome {
        let record = |sequence| {
            let fate = RawFate { release: Nanos(sequence), ..RawFate::default() };
            Record { sequence, direction: number, channel: number.into(), fate, ..Record::default() }
        };
        let records: Vec<Record> = (0..3).map(record).collect();
        let released = |copy, sent| {
            let intended = Nanos(1 + 10 * u64::from(copy));
            let actual = Nanos(intended.0 + 5);
            Released { id: records[1].id(), intended, actual, direction: number.into(), copy, sent }
        };
        let spec = DirectionSpec { name: "x".into(), channel: ChannelSpec::default(), ..DirectionSpec::default() };
        DirectionOutcome {
            spec,
            account: shaper_engine::Account::default(),
            oracle: shaper_engine::Verdict::default(),
            by_rule: Vec::new(),
            recorded: shaper_engine::Recorded::default(),
            releases_lost: 0,
            let_pass: 0,
            releases: vec![released(0, true)],
            copies: copies.iter().map(|&(copy, sent)| released(copy, sent)).collect(),
            records,
            lateness: Histogram::new(3).unwrap(),
        }
    }

    #[test]
    fn copies_that_left_stand_by_their_record_in_order() {
        let mut pair = [direction(0, &[(2, true), (1, true), (3, false)]), direction(1, &[(1, true)])];
        // One whose packet has no record.
        let stranger = Released { id: 77, ..pair[0].copies[0] };
        pair[0].copies.push(stranger);
        let (records, copies) = engine_log(&pair);
        assert_eq!(records.len(), 6);
        let copy = |record, number, intended_ns| EngineCopy { record, number, intended_ns, actual_ns: intended_ns + 5 };
        assert_eq!(copies, [copy(1, 1, 11), copy(1, 2, 21), copy(4, 1, 11)]);
        assert_eq!((records[4].direction, records[4].seq, records[4].actual_ns), (1, 1, Some(6)));
    }
}
