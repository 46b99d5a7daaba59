//! What the kernel decided for the packets let through, by its own records: how long each was to wait, and how fast the
//! bottleneck served. Only what no record shows is decided again.

use shaper_common::fate::Cause;
use shaper_common::layout::{Params, Record, State, features};
use shaper_common::order::Order;
use shaper_common::outage::Schedule;
use shaper_common::pipeline::{Settings, decide};
use shaper_common::units::Nanos;
use shaper_engine::DirectionOutcome;
use shaper_report::agreement::{Agreement, Check};
use shaper_report::stats;

/// A packet let through.
pub(super) struct Decided<'a> {
    record: &'a Record,
    /// When it is through the bottleneck; its arrival where there is none.
    through: Nanos,
    /// Whether `through` is what the next packet met; without that packet's record it is decided again.
    met: bool,
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

/// The packets let through, in the order of the decisions.
///
/// The bottleneck's state is in the record of the next packet, whatever became of that one. A packet that is not held
/// back by a kept order leaves at its own release time; what one that is held back would have done no record shows.
pub(super) fn decided(outcome: &DirectionOutcome) -> impl Iterator<Item = Decided<'_>> {
    let params = outcome.spec.channel.params;
    let next = outcome.records.iter().skip(1).map(Some).chain(std::iter::once(None));
    let all = outcome.records.iter().zip(next);
    all.filter(|(record, _)| record.fate.cause == Cause::None as u32).map(move |(record, next)| {
        let next = next.filter(|next| next.sequence == record.sequence + 1);
        let held = params.order == Order::Keep as u32 && record.release() == record.before.flow.last_release;
        let again = (held || next.is_none()).then(|| alone(&params, record));
        let through = match (params.rate.0, next, again) {
            (0, ..) => record.arrival(),
            (_, Some(next), _) => next.before.bottleneck.free_at,
            (_, None, again) => again.map_or(record.arrival(), |(through, _)| through),
        };
        let release = again.filter(|_| held).map_or(record.release(), |(_, release)| release);
        Decided { record, through, met: next.is_some(), release }
    })
}

/// Decides again for one packet, from the state that its record met, with the order free: when it is through the
/// bottleneck, and when it leaves.
fn alone(params: &Params, record: &Record) -> (Nanos, Nanos) {
    let free = Params { order: Order::Free as u32, ..*params };
    let mut state = State { next_sequence: record.sequence, carried: record.before, ..State::default() };
    let settings = Settings { params: &free, schedule: &Schedule::EMPTY, quantiles: None };
    decide(features::ALL, &settings, &mut state, &record.packet);
    (state.carried.bottleneck.free_at, state.work.fate.release)
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
    for Decided { record, through, met, .. } in decided(outcome) {
        longest = longest.later_of(through.saturating_sub(record.arrival()));
        if !met {
            continue;
        }
        let free_at = record.before.bottleneck.free_at;
        let bits = shaper_common::rate::wire_bytes(params, record.packet.len) * 8;
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
