//! The checks of a direction: whether what it did is what was asked of it.

use anyhow::Context;
use shaper_common::fate::Cause;
use shaper_common::layout::{Params, flags};
use shaper_common::order::Order;
use shaper_common::units::Nanos;
use shaper_engine::{DirectionOutcome, Recording};
use shaper_profile::CompiledDirection;
use shaper_profile::loss::LossOutcome;
use shaper_profile::shift::{MISSES, Stream};
use shaper_report::agreement::{self, Agree, Agreement, Check, Family, LatenessBound, OutageCounts};
use shaper_report::stats::Interval;

use crate::run::decided::{own, rate, shift_ms};
use crate::run::plan::Plan;

/// Statistical checks of each direction: loss, share at zero, distribution.
const CHECKS: usize = 3;

/// The statistical checks of all directions, which share one error.
pub(super) fn declared(plan: &Plan, compiled: &[&CompiledDirection]) -> Family {
    let shifts = compiled.iter().filter(|compiled| states_shift(plan, &compiled.channel.params)).count();
    let checks = CHECKS * compiled.len() + shifts;
    Family::declare(u32::try_from(checks).unwrap_or(u32::MAX))
}

pub(super) fn checks(
    plan: &Plan,
    outcome: &DirectionOutcome,
    compiled: &CompiledDirection,
    delays: &[u64],
    late: &[i64],
    bound: &LatenessBound,
    family: &mut Family,
) -> anyhow::Result<Agree> {
    let params = &outcome.spec.channel.params;
    let expected = &compiled.expected;
    let mut all = Vec::new();
    // Every check has its place in the family, looked at or not.
    let not_recorded = |name: &str, unit: &str| not_recorded(plan.recording, name, unit);
    let is_whole = plan.recording == Recording::All;
    let is_fair = is_whole || matches!(plan.recording, Recording::OneIn(_));
    let outage_check =
        || if is_fair { agreement::outages(&outages(outcome, compiled)) } else { not_recorded("outage", "packets") };
    if outcome.spec.channel.varies() {
        // Of settings that change each packet's fate is checked by the oracle, and shares are of no one setting.
        all.push(outage_check());
        all.push(agreement::lateness(late, bound));
        return Ok(family.agree(all));
    }
    let level = family.level().context("a check was not declared")?;
    let LossOutcome { ratio, inflation, .. } = expected.loss;
    all.push(match lost_of(outcome, is_whole) {
        Some((lost, offered)) => {
            agreement::loss(level, lost, offered, ratio, agreement::ratio_tolerance(ratio), inflation)
        }
        None => not_recorded("loss", "ratio"),
    });
    all.push(outage_check());
    let levels =
        [family.level().context("a check was not declared")?, family.level().context("a check was not declared")?];
    if !is_fair {
        all.push(not_recorded("intended delay", "ms"));
    } else if params.jitter_kind == shaper_common::delay::Jitter::None as u32 {
        all.push(agreement::constant_delay(delays, params.delay.0));
    } else {
        let cdf = |ns: f64| expected.delay.cdf(Nanos(ns.max(0.0) as u64));
        all.extend(agreement::intended_delays(levels, delays, cdf, expected.delay.zero_share()));
    }
    if params.rate.0 > 0 {
        all.push(if is_whole { rate(outcome) } else { not_recorded("rate", "bit/s") });
    }
    if let Some(shift) = stream(plan, params).and_then(|stream| expected.shift(stream)) {
        let ms = |nanos: Nanos| nanos.0 as f64 / 1e6;
        let stated = Interval { low: ms(shift.low), high: ms(shift.high) };
        let level = family.level().context("a check was not declared")?;
        all.push(if is_fair {
            agreement::shift(level, shift_ms(outcome), delays.len() as u64, stated, MISSES)
        } else {
            not_recorded("shift", "ms")
        });
    }
    all.push(agreement::lateness(late, bound));
    Ok(family.agree(all))
}

/// A check for which there are not the records.
fn not_recorded(recording: Recording, name: &str, unit: &str) -> Check {
    Check {
        name: name.into(),
        unit: unit.into(),
        configured: 0.0,
        measured: None,
        interval: None,
        tolerance: 0.0,
        p: None,
        n: 0,
        needed_n: 0,
        result: Agreement::TooFew,
        detail: format!("not recorded: --records {recording}"),
    }
}

/// Packets that the loss model lost, marked ones among them, of those that it was asked about; none where that takes
/// records of all, for one in so many is no fair sample of losses in a pattern.
fn lost_of(outcome: &DirectionOutcome, is_whole: bool) -> Option<(u64, u64)> {
    let params = &outcome.spec.channel.params;
    let account = &outcome.account;
    if outcome.spec.rules.channels.is_empty() && params.flags & (flags::ECN | flags::LOSS_BEHIND) == 0 {
        return Some((account.dropped_by(Cause::Loss), account.arrived - account.dropped_by(Cause::Outage)));
    }
    if !is_whole {
        return None;
    }
    // What the account does not tell apart the records do: whom the rules left, and who was marked.
    let is_behind = params.flags & flags::LOSS_BEHIND != 0;
    let before = [Cause::Policer, Cause::Queue, Cause::Aqm].map(|cause| cause as u32);
    let asked = own(outcome).filter(|record| {
        record.fate.cause != Cause::Outage as u32 && !(is_behind && before.contains(&record.fate.cause))
    });
    let marks_are_losses = params.aqm == 0;
    Some(asked.fold((0, 0), |(lost, asked), record| {
        let is_lost = record.fate.cause == Cause::Loss as u32 || (marks_are_losses && record.fate.marked != 0);
        (lost + u64::from(is_lost), asked + 1)
    }))
}

fn outages(outcome: &DirectionOutcome, compiled: &CompiledDirection) -> OutageCounts {
    let windows = &compiled.expected.windows;
    let mut counts = OutageCounts { windows: windows.len() as u64, ..OutageCounts::default() };
    for record in own(outcome) {
        let start = outcome.spec.channel.params.start;
        let since = record.arrival().saturating_sub(start);
        let inside =
            record.arrival() >= start && windows.iter().any(|window| window.start <= since && since < window.end);
        let dropped = record.fate.cause == Cause::Outage as u32;
        counts.packets += 1;
        counts.inside += u64::from(inside);
        counts.dropped_inside += u64::from(inside && dropped);
        counts.dropped_outside += u64::from(!inside && dropped);
    }
    counts
}

/// The workload's steady stream in a direction: it runs from `a` to `b`, which is the even one.
pub(super) fn stream(plan: &Plan, params: &Params) -> Option<Stream> {
    plan.stream().filter(|_| params.stream.is_multiple_of(2) && !params.slots.any())
}

/// Whether a kept order's shift is stated beforehand in a direction, and so checked: a statistical check more.
fn states_shift(plan: &Plan, params: &Params) -> bool {
    params.order == Order::Keep as u32 && stream(plan, params).is_some()
}
