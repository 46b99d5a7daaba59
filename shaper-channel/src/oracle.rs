//! The oracle: the userspace build of the decision replays recorded arrivals, and every kernel fate must
//! come out again.
//!
//! A record carries the state that the decision met, so each one is checked by itself, also where others
//! were lost. Where its predecessor is at hand, the state that the predecessor left must be the state
//! that the record met: that is the check that no update was lost between CPUs.

use shaper_common::fate::{Cause, Fate};
use shaper_common::layout::{Carried, Params, Record, State, features, flags};
use shaper_common::order::Order;
use shaper_common::pipeline::{Settings, decide, recall, remember};
use shaper_common::units::Nanos;

use crate::memory::Memories;
use crate::spec::ChannelSpec;
use crate::window::Followed;

/// Where kernel and oracle differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mismatch {
    /// What the kernel recorded.
    pub record: Record,
    /// The fate that the oracle comes to.
    pub fate: Fate,
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
    /// Records of packets for which a trace was missing: they are not replayed.
    pub undecided: u64,
    /// The first of them.
    pub first: Option<Mismatch>,
    /// What a kept order did.
    pub kept: Kept,
}

/// What a kept order adds to delays: a packet that would leave before one that came before it leaves with that one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// Packets let through where order was kept.
    pub packets: u64,
    /// Those that would have left earlier on their own.
    pub held_back: u64,
    /// By how much, of all together.
    pub by: Nanos,
    /// By how much at most.
    pub most: Nanos,
}

impl Verdict {
    /// This and another one together.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            checked: self.checked + other.checked,
            mismatches: self.mismatches + other.mismatches,
            undecided: self.undecided + other.undecided,
            first: self.first.or(other.first),
            kept: Kept {
                packets: self.kept.packets + other.kept.packets,
                held_back: self.kept.held_back + other.kept.held_back,
                by: self.kept.by.saturating_add(other.kept.by),
                most: self.kept.most.max(other.kept.most),
            },
        }
    }
}

/// Replays the records of one channel.
#[derive(Clone, Debug)]
pub struct Oracle {
    spec: ChannelSpec,
    /// What the last record left.
    state: State,
    memories: Memories,
    followed: Followed,
    /// Whether no record was missing: what is too much for a record is known as long as that is so.
    is_whole: bool,
    verdict: Verdict,
}

impl Oracle {
    /// An oracle for a channel with these settings.
    #[must_use]
    pub fn new(spec: ChannelSpec) -> Self {
        let (memories, followed) = (Memories::new(&spec), Followed::new(&spec));
        Self { spec, state: State::default(), memories, followed, is_whole: true, verdict: Verdict::default() }
    }

    /// Sets when outages and changes begin to count.
    pub fn begin(&mut self, start: Nanos) {
        if self.spec.params.start != start {
            self.spec.begin(start);
        }
    }

    /// Goes on with settings that change later on too; those until then are the same.
    pub fn extend(&mut self, spec: ChannelSpec) {
        self.memories.extend(&spec);
        self.spec = spec;
    }

    /// Replays one record. Records must come in the order of the decisions; gaps are allowed.
    pub fn check(&mut self, record: &Record) {
        if record.cause() == Some(Cause::Trace) {
            // It was not known what it would be, nor is it what it left.
            self.is_whole = false;
            self.state.next_sequence = record.sequence;
            self.verdict.undecided += 1;
            return;
        }
        let packet = record.packet;
        let settings = self.followed.settings(&self.spec, &packet, record.before.flow.next_index);
        let params = settings.params;
        let has_predecessor = self.state.next_sequence == record.sequence;
        self.is_whole &= has_predecessor;
        let mut memory = self.memories.of(packet.flow_hash);
        if self.is_whole {
            recall(features::ALL, params, &mut memory, &mut self.state, &packet);
        }
        let left = self.state.carried;
        let met = Carried {
            // Without all records before this one it is not known what its flow left, nor how many packets wait.
            flow: if self.is_whole || params.flags & flags::FLOWS == 0 { record.before.flow } else { left.flow },
            backlog: if self.is_whole { record.before.backlog } else { left.backlog },
            ..record.before
        };
        // An index that was taken already is two decisions at once.
        let differs = (has_predecessor && met != left) || record.sequence < self.state.next_sequence;

        let mut state = State {
            next_sequence: record.sequence,
            carried: record.before,
            // Where the flow was found.
            work: self.state.work,
            ..State::default()
        };
        decide(features::ALL, &settings, &mut state, &packet);
        let fate = state.work.fate;
        if params.order == Order::Keep as u32 && record.fate.cause == Cause::None as u32 {
            self.verdict.kept.packets += 1;
            if record.release() == record.before.flow.last_release {
                // On its own it would have left then, or earlier.
                let free = Params { order: Order::Free as u32, ..*params };
                let mut alone = State { next_sequence: record.sequence, carried: record.before, ..State::default() };
                decide(features::ALL, &Settings { params: &free, ..settings }, &mut alone, &packet);
                let by = record.release().saturating_sub(alone.work.fate.release);
                self.verdict.kept.held_back += u64::from(by > Nanos::ZERO);
                self.verdict.kept.by = self.verdict.kept.by.saturating_add(by);
                self.verdict.kept.most = self.verdict.kept.most.max(by);
            }
        }
        if self.is_whole {
            remember(features::ALL, params, &mut memory, &mut state);
        }
        self.verdict.checked += 1;
        if fate != record.fate || differs {
            self.verdict.mismatches += 1;
            self.verdict.first.get_or_insert(Mismatch {
                record: *record,
                fate: fate.into(),
                left: differs.then_some(left),
            });
        }
        self.state = state;
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
    use crate::Channel;
    use shaper_common::chance::Chance;
    use shaper_common::duplicate::Duplicate;
    use shaper_common::layout::{Params, Recording};
    use shaper_common::pipeline::Packet;
    use shaper_common::units::{BitsPerSec, Probability};

    fn settings() -> ChannelSpec {
        let params = Params {
            seed: 7,
            loss: Probability(1 << 28),
            delay: Nanos(1_000_000),
            jitter: Nanos(2_000_000),
            jitter_kind: 1,
            order: 1,
            rate: BitsPerSec(10_000_000),
            queue: Nanos(5_000_000),
            queue_packets: 4,
            duplicate: Duplicate {
                chance: Chance::independent(Probability(1 << 29)),
                copies: 2,
                ..Duplicate::default()
            },
            ..Params::default()
        };
        ChannelSpec::plain(params)
    }

    fn of_flows() -> ChannelSpec {
        let spec = settings();
        ChannelSpec { params: Params { flags: flags::FLOWS, ..spec.params }, flows: 32, ..spec }
    }

    fn recorded(spec: &ChannelSpec) -> Vec<Record> {
        let mut channel = Channel::new(spec.clone());
        (0..1000u32)
            .map(|index| {
                let packet = Packet {
                    now: Nanos(u64::from(index) * 700_000),
                    len: 1000,
                    flow_hash: index.wrapping_mul(2_654_435_761) >> 27,
                    ..Packet::default()
                };
                let _ = channel.decide(&packet);
                Record {
                    sequence: index.into(),
                    packet,
                    fate: channel.state().work.fate,
                    before: *channel.met(),
                    ..Record::default()
                }
            })
            .collect()
    }

    fn replay(spec: &ChannelSpec, records: &[Record]) -> Verdict {
        let mut oracle = Oracle::new(spec.clone());
        records.iter().for_each(|record| oracle.check(record));
        oracle.verdict()
    }

    #[test]
    fn a_true_recording_replays_without_mismatch_also_with_gaps() {
        for spec in [settings(), of_flows()] {
            let mut records = recorded(&spec);
            let verdict = replay(&spec, &records);
            assert_eq!((verdict.checked, verdict.mismatches, verdict.undecided), (1000, 0, 0));
            for recording in ["drops", "1/7", "1/100"].map(|text| text.parse::<Recording>().unwrap()) {
                let is_due = |record: &&Record| {
                    Recording::is_due(recording.raw(), record.sequence, record.cause() != Some(Cause::None))
                };
                let some: Vec<Record> = records.iter().filter(is_due).copied().collect();
                assert!(some.len() > 9, "{recording}");
                let verdict = replay(&spec, &some);
                assert_eq!((verdict.checked, verdict.mismatches), (some.len() as u64, 0), "{recording}");
            }
            records.retain(|record| record.sequence % 7 != 3);
            assert_eq!(replay(&spec, &records).mismatches, 0);
        }
    }

    #[test]
    fn what_a_kept_order_adds_is_what_a_free_one_does_not_have() {
        // Without a bottleneck and copies, each of whose draws is then the same with either order.
        let params = Params { rate: BitsPerSec(0), duplicate: Duplicate::default(), ..settings().params };
        let of = |order: Order| recorded(&ChannelSpec::plain(Params { order: order as u32, ..params }));
        let (kept, free) = (of(Order::Keep), of(Order::Free));
        let through = kept.iter().zip(&free).filter(|(kept, _)| kept.fate.cause == 0);
        let by: Vec<u64> = through.map(|(kept, free)| kept.release().0 - free.release().0).collect();
        let verdict = replay(&ChannelSpec::plain(Params { order: Order::Keep as u32, ..params }), &kept);
        let expected = Kept {
            packets: by.len() as u64,
            held_back: by.iter().filter(|by| **by > 0).count() as u64,
            by: Nanos(by.iter().sum()),
            most: Nanos(by.iter().copied().max().unwrap()),
        };
        assert_eq!(verdict.kept, expected);
        assert!(expected.held_back > 100 && expected.packets < 1000, "{expected:?}");
        let verdict = replay(&ChannelSpec::plain(Params { order: Order::Free as u32, ..params }), &free);
        assert_eq!(verdict.kept, Kept::default());
    }

    #[test]
    fn a_wrong_release_a_wrong_cause_and_a_lost_update_are_each_found() {
        let changes: [fn(&mut Record); 6] = [
            |record| record.fate.release = record.fate.release.saturating_add(Nanos(1)),
            |record| record.fate.cause ^= 2,
            |record| record.fate.copies += 1,
            |record| record.before.bottleneck.free_at = Nanos(1),
            |record| record.before.backlog += 1,
            |record| record.sequence -= 1,
        ];
        for spec in [settings(), of_flows()] {
            let records = recorded(&spec);
            for change in changes {
                let mut wrong = records.clone();
                let at = wrong.iter().position(|record| record.sequence > 500 && record.fate.cause == 0).unwrap();
                change(&mut wrong[at]);
                let verdict = replay(&spec, &wrong);
                assert!(verdict.mismatches >= 1);
                assert_eq!(verdict.first.unwrap().record.sequence, wrong[at].sequence);
            }
        }
    }

    #[test]
    fn a_flow_that_takes_up_what_another_left_is_found() {
        let spec = of_flows();
        let mut records = recorded(&spec);
        let at = records.iter().position(|record| record.sequence > 500 && record.before.flow.next_index > 3).unwrap();
        records[at].before.flow.next_index -= 1;
        assert!(replay(&spec, &records).first.is_some_and(|first| first.record.sequence == at as u64));
    }
}
