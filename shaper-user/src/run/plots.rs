//! What the report draws of a run.

use std::collections::{BTreeMap, HashMap};

use shaper_common::layout::Record;
use shaper_common::units::Nanos;
use shaper_delayline::Released;
use shaper_engine::DirectionOutcome;
use shaper_report::html::{CommandPoint, DirectionPlot, Outcome, PacketPoint, Plots, Treated, Treatment};

use super::commands;
use super::decided::{delay_ns, forwarded, lateness_ns};
use super::execute::Evidence;
use super::plan::Plan;
use crate::preview::configured_cdf;

/// What the report draws.
pub(super) fn plots(plan: &Plan, evidence: &Evidence) -> Plots {
    let compiled = evidence.links.iter().flat_map(|link| [&link.a_to_b, &link.b_to_a]);
    let directions: BTreeMap<String, DirectionPlot> = evidence
        .outcome
        .directions
        .iter()
        .zip(compiled)
        .map(|(outcome, compiled)| {
            let mut plot = DirectionPlot::default();
            packets(outcome, evidence.start).for_each(|packet| plot.push(&packet));
            treated(outcome, evidence.start).iter().for_each(|treated| plot.treat(treated));
            forwarded(outcome).map(delay_ns).for_each(|delay_ns| plot.intend(delay_ns));
            plot.configure(configured_cdf(&compiled.expected, &compiled.channel));
            lateness_ns(outcome).into_iter().for_each(|late_ns| plot.late(late_ns));
            (outcome.spec.name.clone(), plot)
        })
        .collect();
    let commands = commands::times_to_state(evidence, &plan.peer_names())
        .into_iter()
        .map(|(at_ns, time_to_state_ns)| CommandPoint { at_ns, time_to_state_ns })
        .collect();
    Plots { directions, commands, notes: Vec::new() }
}

/// Every packet with a record, in the order of arrival: that of the decisions, but for channels beside each other.
fn packets(outcome: &DirectionOutcome, start: Nanos) -> impl Iterator<Item = PacketPoint> {
    let sent = outcome.releases.iter().filter(|release| release.sent);
    let actual: HashMap<u64, Nanos> = sent.map(|release| (release.id, release.actual)).collect();
    let mut records: Vec<&Record> = outcome.records.iter().collect();
    records.sort_by_key(|record| record.arrival());
    records.into_iter().map(move |record| {
        let at_ns = record.arrival().saturating_sub(start).0;
        let outcome = match (record.cause(), actual.get(&record.id())) {
            (Some(shaper_common::fate::Cause::None), Some(actual)) => {
                Outcome::Delivered { delay_ns: actual.saturating_sub(record.arrival()).0 }
            }
            (Some(shaper_common::fate::Cause::None), None) => Outcome::Dropped { cause: "harness".into() },
            (Some(cause), _) => Outcome::Dropped { cause: cause.name().into() },
            (None, _) => Outcome::Dropped { cause: "unknown".into() },
        };
        PacketPoint { at_ns, outcome }
    })
}

/// What was done to packets that left, and the copies that did, in the order of arrival.
fn treated(outcome: &DirectionOutcome, start: Nanos) -> Vec<Treated> {
    let is_treated = |record: &Record| record.fate.marked != 0 || !record.fate.damage.is_none();
    if outcome.copies.is_empty() && !outcome.records.iter().any(is_treated) {
        return Vec::new();
    }
    let all = outcome.releases.iter().chain(&outcome.copies).filter(|release| release.sent);
    let mut released: HashMap<u64, Vec<&Released>> = HashMap::new();
    for release in all {
        released.entry(release.id).or_default().push(release);
    }
    let of_record = |record: &Record| {
        let changed = (!record.fate.damage.is_none()).then_some(Treatment::Changed);
        let marked = (record.fate.marked != 0).then_some(Treatment::Marked);
        let done: Vec<Treatment> = changed.into_iter().chain(marked).collect();
        let arrival = record.arrival();
        let mut treated = Vec::new();
        for release in released.get(&record.id()).into_iter().flatten() {
            let how = if release.copy == 0 { done.as_slice() } else { &[Treatment::Copied] };
            treated.extend(how.iter().map(|how| Treated {
                at_ns: arrival.saturating_sub(start).0,
                delay_ns: release.actual.saturating_sub(arrival).0,
                how: *how,
            }));
        }
        treated
    };
    outcome.records.iter().flat_map(of_record).collect()
}
