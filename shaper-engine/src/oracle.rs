//! The oracle: the userspace build of the decision replays recorded arrivals, and every kernel fate must
//! come out again.
//!
//! A record carries the state that the decision met, so each one is checked by itself, also where others
//! were lost. Where its predecessor is at hand, the state that the predecessor left must be the state
//! that the record met: that is the check that no update was lost between CPUs.

use shaper_common::fate::Cause;
use shaper_common::layout::{Carried, Params, Record, State};
use shaper_common::outage::Schedule;
use shaper_common::pipeline::{Packet, decide};
use shaper_common::units::Nanos;

/// Where kernel and oracle differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mismatch {
    /// What the kernel recorded.
    pub record: Record,
    /// The release time that the oracle comes to, zero for a drop.
    pub release: u64,
    /// The cause that the oracle comes to.
    pub cause: Cause,
    /// The carried state that the predecessor left, where that differs from what the record met.
    pub left: Option<Carried>,
}

/// How a replay went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Records replayed.
    pub checked: u64,
    /// Records whose fate or met state differs.
    pub mismatches: u64,
    /// The first of them.
    pub first: Option<Mismatch>,
}

/// Replays the records of one direction.
pub struct Oracle<'a> {
    params: Params,
    schedule: &'a Schedule,
    left: Option<(u64, Carried)>,
    verdict: Verdict,
}

impl<'a> Oracle<'a> {
    /// An oracle for a direction with these settings.
    #[must_use]
    pub fn new(params: &Params, schedule: &'a Schedule) -> Self {
        Self { params: *params, schedule, left: None, verdict: Verdict::default() }
    }

    /// Sets when the outage schedule begins, see [`crate::Engine::begin`].
    pub fn begin(&mut self, start: Nanos) {
        self.params.start = start;
    }

    /// Replays one record. Records must come in the order of the decisions; gaps are allowed.
    pub fn check(&mut self, record: &Record) {
        let mut state = State { next_index: record.sequence, carried: record.before, ..State::default() };
        let packet = Packet { now: record.arrival, len: record.len, flow_hash: record.flow_hash };
        let fate = decide(&self.params, self.schedule, &mut state, &packet);
        let met = match self.left {
            Some((sequence, left)) if sequence == record.sequence => (left != record.before).then_some(left),
            // An index that was taken already: two decisions at once.
            Some((sequence, left)) if record.sequence < sequence => Some(left),
            // The very first packet meets an empty state.
            None if record.sequence == 0 => (record.before != Carried::default()).then(Carried::default),
            _ => None,
        };
        self.verdict.checked += 1;
        if fate.release != record.release || fate.cause as u8 != record.cause || met.is_some() {
            self.verdict.mismatches += 1;
            self.verdict.first.get_or_insert(Mismatch {
                record: *record,
                release: fate.release.0,
                cause: fate.cause,
                left: met,
            });
        }
        self.left = Some((state.next_index, state.carried));
    }

    /// How it went so far.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        self.verdict
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use shaper_common::units::{BitsPerSec, Probability};

    fn settings() -> Params {
        Params {
            seed: 7,
            loss: Probability(1 << 28),
            delay: Nanos(1_000_000),
            jitter: Nanos(2_000_000),
            jitter_kind: 1,
            order: 1,
            rate: BitsPerSec(10_000_000),
            queue: Nanos(5_000_000),
            ..Params::default()
        }
    }

    fn recorded(params: &Params) -> Vec<Record> {
        let mut state = State::default();
        (0..1000)
            .map(|index| {
                let packet = Packet { now: Nanos(index * 700_000), len: 1000, flow_hash: 3 };
                let before = state.carried;
                let fate = decide(params, &Schedule::EMPTY, &mut state, &packet);
                Record {
                    sequence: index,
                    arrival: packet.now,
                    release: fate.release,
                    before,
                    len: packet.len,
                    flow_hash: packet.flow_hash,
                    cause: fate.cause as u8,
                    ..Record::default()
                }
            })
            .collect()
    }

    fn replay(params: &Params, records: &[Record]) -> Verdict {
        let mut oracle = Oracle::new(params, &Schedule::EMPTY);
        records.iter().for_each(|record| oracle.check(record));
        oracle.verdict()
    }

    #[test]
    fn a_true_recording_replays_without_mismatch_also_with_gaps() {
        let params = settings();
        let mut records = recorded(&params);
        assert_eq!(replay(&params, &records), Verdict { checked: 1000, mismatches: 0, first: None });
        records.retain(|record| record.sequence % 7 != 3);
        assert_eq!(replay(&params, &records).mismatches, 0);
    }

    #[test]
    fn a_wrong_release_a_wrong_cause_and_a_lost_update_are_each_found() {
        let params = settings();
        let records = recorded(&params);
        let changes: [fn(&mut Record); 4] = [
            |record| record.release = record.release.saturating_add(Nanos(1)),
            |record| record.cause ^= 2,
            |record| record.before.last_release = Nanos(1),
            |record| record.sequence -= 1,
        ];
        for change in changes {
            let mut wrong = records.clone();
            let at = wrong.iter().position(|record| record.sequence > 500 && record.cause == 0).unwrap();
            change(&mut wrong[at]);
            let verdict = replay(&params, &wrong);
            assert!(verdict.mismatches >= 1);
            assert_eq!(verdict.first.unwrap().record.sequence, wrong[at].sequence);
        }
    }
}
