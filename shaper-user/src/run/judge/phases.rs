//! A run whose link changes at set times, from change to change.

use std::collections::HashMap;

use shaper_common::fate::Cause;
use shaper_common::units::Nanos;
use shaper_engine::DirectionOutcome;
use shaper_report::stats::{Distribution, Missing, Proportion};
use shaper_report::summary::{Phase, PhaseDirection};

use crate::run::execute::Evidence;
use crate::run::plan::Plan;

/// What each direction did between changes; nothing where nothing changes, or where changes begin anew.
pub(super) fn phases(plan: &Plan, evidence: &Evidence) -> Vec<Phase> {
    let link = &plan.profile.link;
    if link.changes.is_empty() || link.repeat.is_some() {
        return Vec::new();
    }
    let ends = link.changes.iter().map(|change| change.at.0).chain([Nanos::MAX]);
    let mut from = Nanos::ZERO;
    let mut phases = Vec::new();
    for end in ends {
        let of =
            |outcome: &DirectionOutcome| (outcome.spec.name.clone(), direction(outcome, evidence.start, from, end));
        phases.push(Phase {
            start_ms: from.0 as f64 / 1e6,
            end_ms: (end != Nanos::MAX).then_some(end.0 as f64 / 1e6),
            directions: evidence.outcome.directions.iter().map(of).collect(),
        });
        from = end;
    }
    phases
}

/// Of packets that arrived from `from` on, and before `end`.
fn direction(outcome: &DirectionOutcome, start: Nanos, from: Nanos, end: Nanos) -> PhaseDirection {
    let released: HashMap<u64, Nanos> =
        outcome.releases.iter().filter(|release| release.sent).map(|release| (release.id, release.actual)).collect();
    let (mut packets, mut lost, mut delays) = (0, 0, Vec::new());
    for record in &outcome.records {
        // What came before the start met the first settings too.
        let since = record.arrival().saturating_sub(start);
        if since < from || since >= end {
            continue;
        }
        packets += 1;
        lost += u64::from(record.fate.cause != Cause::None as u32);
        if let Some(actual) = released.get(&record.id()) {
            delays.push(actual.saturating_sub(record.arrival()).0 as f64 / 1e6);
        }
    }
    PhaseDirection {
        packets,
        loss: Proportion::of(lost, packets),
        delay_ms: Distribution::with_missing(delays, lost, Missing::Excluded),
    }
}
