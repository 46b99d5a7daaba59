//! What the kernel decided for the packets let through, by its own records: how long each was to wait, and how fast the
//! bottleneck served. Only what no record shows is decided again.

use shaper_channel::Followed;
use shaper_common::duplicate::Duplicate;
use shaper_common::fate::Cause;
use shaper_common::layout::{Params, Record, State, features};
use shaper_common::order::Order;
use shaper_common::pipeline::{Settings, decide};
use shaper_common::rate::wire_bytes;
use shaper_common::slot::Slots;
use shaper_common::units::Nanos;
use shaper_engine::{ChannelSpec, DirectionOutcome};
use shaper_report::agreement::{Agreement, Check};
use shaper_report::stats;

/// A packet let through.
pub(super) struct Decided<'a> {
    record: &'a Record,
    /// When it is through the bottleneck; its arrival where there is none.
    through: Nanos,
    /// When it would leave if it might overtake.
    release: Nanos,
}

impl Decided<'_> {
    /// What it was to wait beyond the bottleneck, neither the queue's time nor the push-back behind predecessors
    /// counted: what the jitter drew. A release before the packet is through comes out as longer than any delay.
    pub(super) const fn delay_ns(&self) -> u64 {
        self.release.0.wrapping_sub(self.through.0)
    }
}

/// The records of packets that no rule matched, in the order of the decisions: those that the direction's own settings
/// decided.
pub(super) fn own(outcome: &DirectionOutcome) -> impl Iterator<Item = &Record> {
    outcome.records.iter().filter(|record| record.rule == 0)
}

/// The packets let through, in the order of the decisions; those that left without the delay are not among them.
///
/// The bottleneck's state is in the record of the next packet, whatever became of that one. A packet that is not held
/// back by a kept order, or for a slot, leaves at its own release time; what one that is held back would have done no
/// record shows.
pub(super) fn decided(outcome: &DirectionOutcome) -> impl Iterator<Item = Decided<'_>> {
    let spec = &outcome.spec.channel;
    let params = spec.params;
    let waits = params.slots.any() || !params.reorder.chance.is_never();
    let mut followed = Followed::new(spec);
    let next = own(outcome).skip(1).map(Some).chain(std::iter::once(None));
    let all = own(outcome).zip(next);
    all.filter(|(record, _)| record.fate.cause == Cause::None as u32).filter_map(move |(record, next)| {
        let next = next.filter(|next| next.sequence == record.sequence + 1);
        let held = params.order == Order::Keep as u32 && record.release() == record.before.flow.last_release;
        // The bottleneck serves a packet's copies behind it.
        let alone_there = next.filter(|_| record.fate.copies == 0);
        let again = (held || waits || alone_there.is_none()).then(|| alone(spec, &mut followed, record));
        if again.is_some_and(|again| again.is_ahead) {
            return None;
        }
        let through = match (params.rate.0, alone_there, again) {
            (0, ..) => record.arrival(),
            (_, Some(next), _) => next.before.bottleneck.free_at,
            (_, None, again) => again.map_or(record.arrival(), |again| again.through),
        };
        let release = again.filter(|_| held || waits).map_or(record.release(), |again| again.release);
        Some(Decided { record, through, release })
    })
}

/// What one packet would have done.
#[derive(Clone, Copy)]
struct Alone {
    through: Nanos,
    release: Nanos,
    is_ahead: bool,
}

/// Decides again for one packet, from the state that its record met, with the order free and without slots and copies:
/// when it is through the bottleneck, and when it leaves.
fn alone(spec: &ChannelSpec, followed: &mut Followed, record: &Record) -> Alone {
    let settings = followed.settings(spec, &record.packet, record.before.flow.next_index);
    let (slots, duplicate) = (Slots::default(), Duplicate::default());
    let free = Params { order: Order::Free as u32, slots, duplicate, ..*settings.params };
    let mut state = State { next_sequence: record.sequence, carried: record.before, ..State::default() };
    decide(features::ALL, &Settings { params: &free, ..settings }, &mut state, &record.packet);
    let through = if free.rate.0 == 0 { record.arrival() } else { state.work.service.after.free_at };
    Alone { through, release: state.work.fate.release, is_ahead: state.work.is_ahead != 0 }
}

/// What packets drew for their delays, in nanoseconds. Where jitter is correlated in time, of packets so far apart that
/// they drew on their own.
pub(super) fn drawn(outcome: &DirectionOutcome) -> Vec<u64> {
    /// In time constants: a correlation of 0.7 %.
    const APART: u64 = 5;
    let per_nano = outcome.spec.channel.params.per_nano;
    let apart = Nanos((APART << 58).checked_div(per_nano).unwrap_or(0));
    let mut last: Option<Nanos> = None;
    let far = decided(outcome).filter(|packet| {
        let is_far = last.is_none_or(|last| packet.record.arrival() >= last.saturating_add(apart));
        if is_far {
            last = Some(packet.record.arrival());
        }
        is_far
    });
    far.map(|packet| packet.delay_ns()).collect()
}

/// By how much the packets let through were held back behind their predecessors, on average.
pub(super) fn shift_ms(outcome: &DirectionOutcome) -> Option<f64> {
    let held = decided(outcome).map(|packet| packet.record.release().saturating_sub(packet.release).0 as f64 / 1e6);
    stats::mean(&held.collect::<Vec<_>>())
}

/// A time in which the bottleneck served one packet after another.
#[derive(Clone, Copy)]
struct Busy {
    from: Nanos,
    to: Nanos,
    bits: u64,
}

impl Busy {
    /// Whether it took the time that its bits need. Service times are whole nanoseconds and carry what rounding left
    /// over, so that all packets together are off by less than one.
    fn keeps(&self, rate: u64) -> bool {
        let took = u128::from(self.to.saturating_sub(self.from).0) * u128::from(rate);
        took.abs_diff(u128::from(self.bits) * 1_000_000_000) < u128::from(rate)
    }
}

/// The bottleneck's rate: bits over the time that it was busy, and each busy time by itself.
pub(super) fn rate(outcome: &DirectionOutcome) -> Check {
    let params = &outcome.spec.channel.params;
    let (mut queued, mut longest) = (0u64, Nanos::ZERO);
    let mut all: Vec<Busy> = Vec::new();
    let following = own(outcome).skip(1);
    // Also what is lost behind the bottleneck was served.
    for (record, next) in own(outcome).zip(following).filter(|(record, _)| record.fate.served > 0) {
        if next.sequence != record.sequence + 1 {
            continue;
        }
        let through = next.before.bottleneck.free_at;
        longest = longest.later_of(through.saturating_sub(record.arrival()));
        let free_at = record.before.bottleneck.free_at;
        let bits = wire_bytes(params, record.packet.len) * 8 * u64::from(record.fate.served);
        queued += u64::from(free_at > record.arrival());
        match all.last_mut().filter(|last| last.to == free_at && free_at >= record.arrival()) {
            Some(last) => (last.to, last.bits) = (through, last.bits + bits),
            None => all.push(Busy { from: free_at.later_of(record.arrival()), to: through, bits }),
        }
    }
    let off = all.iter().filter(|busy| !busy.keeps(params.rate.0)).count();
    let bits: u64 = all.iter().map(|busy| busy.bits).sum();
    let time: u64 = all.iter().map(|busy| busy.to.saturating_sub(busy.from).0).sum();
    let configured = params.rate.0 as f64;
    let result = if longest > params.queue || off > 0 {
        Agreement::No
    } else if queued == 0 {
        Agreement::TooFew
    } else {
        Agreement::Yes
    };
    Check {
        name: "rate".into(),
        unit: "bit/s".into(),
        configured,
        measured: (time > 0).then(|| bits as f64 * 1e9 / time as f64),
        interval: None,
        tolerance: configured * all.len() as f64 / time.max(1) as f64,
        p: None,
        n: queued,
        needed_n: 1,
        result,
        detail: format!(
            "{queued} packets queued behind another; {off} of {} busy times not as long as their bits need; the \
             longest was through after {:.3} ms, {:.3} allowed",
            all.len(),
            longest.0 as f64 / 1e6,
            params.queue.0 as f64 / 1e6
        ),
    }
}

/// Actual minus intended release of each packet and each copy that left since the run began: while hosts come up nobody
/// measures.
pub(super) fn lateness_ns(outcome: &DirectionOutcome) -> Vec<i64> {
    let all = outcome.releases.iter().chain(&outcome.copies);
    let run = all.filter(|release| release.intended >= outcome.spec.channel.params.start);
    run.map(|release| release.actual.0.wrapping_sub(release.intended.0) as i64).collect()
}

/// Of [`own`], the packets let through.
pub(super) fn forwarded(outcome: &DirectionOutcome) -> impl Iterator<Item = &Record> {
    own(outcome).filter(|record| record.fate.cause == Cause::None as u32)
}

pub(super) fn delay_ns(record: &Record) -> u64 {
    record.release().saturating_sub(record.arrival()).0
}
