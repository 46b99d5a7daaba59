//! A run whose link changes at set times, from change to change.

use std::collections::{BTreeMap, HashMap};

use shaper_common::fate::Cause;
use shaper_common::units::Nanos;
use shaper_engine::{DirectionOutcome, Recording};
use shaper_report::stats::{Distribution, Missing, Proportion};
use shaper_report::summary::{Phase, PhaseDirection};

use crate::run::execute::{Evidence, KEPT};
use crate::run::plan::Plan;

/// What each direction did between changes; nothing where nothing changes, where changes begin anew, or where the
/// records that were kept are no fair sample of each phase.
pub(super) fn phases(plan: &Plan, evidence: &Evidence) -> Vec<Phase> {
    let link = &plan.profile.link;
    let directions = &evidence.outcome.directions;
    let is_fair = !matches!(plan.recording, Recording::Drops | Recording::Off);
    let all_kept = directions
        .iter()
        .all(|outcome| outcome.records.len() as u64 >= outcome.recorded.recorded && outcome.releases.len() < KEPT);
    if link.changes.is_empty() || link.repeat.is_some() || !is_fair || !all_kept {
        return Vec::new();
    }
    let changes: Vec<Nanos> = link.changes.iter().map(|change| change.at.0).collect();
    let ms = |at: &Nanos| at.0 as f64 / 1e6;
    let starts = std::iter::once(&Nanos::ZERO).chain(&changes).map(ms);
    let ends = changes.iter().map(|at| Some(ms(at))).chain([None]);
    let phase = |(start_ms, end_ms)| Phase { start_ms, end_ms, directions: BTreeMap::new() };
    let mut phases: Vec<Phase> = starts.zip(ends).map(phase).collect();
    for outcome in directions {
        for (phase, found) in phases.iter_mut().zip(direction(outcome, evidence.start, &changes)) {
            phase.directions.insert(outcome.spec.name.clone(), found);
        }
    }
    phases
}

/// Packets that arrived within a phase.
#[derive(Clone, Default)]
struct Seen {
    packets: u64,
    lost: u64,
    delays: Vec<f64>,
}

/// What a direction did from change to change.
fn direction(
    outcome: &DirectionOutcome,
    start: Nanos,
    changes: &[Nanos],
) -> impl Iterator<Item = PhaseDirection> + use<> {
    let released: HashMap<u64, Nanos> =
        outcome.releases.iter().filter(|release| release.sent).map(|release| (release.id, release.actual)).collect();
    let mut all = vec![Seen::default(); changes.len() + 1];
    for record in &outcome.records {
        // What came before the start met the first settings too.
        let since = record.arrival().saturating_sub(start);
        let Some(seen) = all.get_mut(changes.partition_point(|at| *at <= since)) else { continue };
        seen.packets += 1;
        seen.lost += u64::from(record.fate.cause != Cause::None as u32);
        if let Some(actual) = released.get(&record.id()) {
            seen.delays.push(actual.saturating_sub(record.arrival()).0 as f64 / 1e6);
        }
    }
    all.into_iter().map(|Seen { packets, lost, delays }| PhaseDirection {
        packets,
        loss: Proportion::of(lost, packets),
        delay_ms: Distribution::with_missing(delays, lost, Missing::Excluded),
    })
}
