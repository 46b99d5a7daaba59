//! The workload's grade in the words of the summary.

use shaper_report::summary::{Grade, GradeLevel, GradePart, GradeParts, SyncLevel};
use shaper_toast::plan as toast_plan;
use shaper_toast::score::{self, Score};

use super::execute::Evidence;
use super::plan::{Plan, ToastPlan};

pub(super) fn grade(plan: &Plan, toast: &ToastPlan, score: &Score, evidence: &Evidence) -> Grade {
    let grades = &score.grades;
    let level = |grade: Option<score::Grade>| {
        grade.map(|grade| match grade {
            score::Grade::Excellent => GradeLevel::Excellent,
            score::Grade::Good => GradeLevel::Good,
            score::Grade::Fair => GradeLevel::Fair,
            score::Grade::Poor => GradeLevel::Poor,
        })
    };
    let least = score.peers.iter().map(|peer| peer.delivery.share).fold(f64::INFINITY, f64::min);
    let delivery =
        if least.is_finite() { format!("{:.1} % at the worst peer", least * 100.0) } else { "no peer".into() };
    // Where no part is graded, the one reason stands with the grade, and each part keeps its figure.
    let reason = |reason: &Option<String>| reason.clone().filter(|_| grades.withheld.is_none());
    let (spread, reconvergence, sync) = (spread(score), reconvergence(score), sync(score));
    let spread = if score.peers.len() > 1 { reason(&grades.spread_reason).unwrap_or(spread) } else { spread };
    let reconvergence = reason(&grades.convergence_reason).unwrap_or(reconvergence);
    let sync = reason(&grades.sync_reason).unwrap_or(sync);
    let why = grades.withheld.clone().unwrap_or_else(|| "the worst of delivery, spread and re-convergence".into());
    let why = if grades.overall.is_none() {
        let spacing = plan.spacing(toast, &evidence.links);
        let needed = toast_plan::minimum_duration_for_a_grade(spacing);
        if needed.0 > plan.duration.0.0 {
            format!("{why}; with commands {spacing} apart it takes --duration {:.0}s", needed.as_secs_f64().ceil())
        } else {
            why
        }
    } else {
        why
    };
    Grade {
        result: level(grades.overall),
        why,
        parts: GradeParts {
            delivery: GradePart { result: level(grades.delivery), why: delivery },
            spread: GradePart { result: level(grades.spread), why: spread },
            reconvergence: GradePart { result: level(grades.convergence), why: reconvergence },
            sync: GradePart {
                result: grades.sync.map(|grade| match grade {
                    score::SyncGrade::High => SyncLevel::High,
                    score::SyncGrade::Medium => SyncLevel::Medium,
                    score::SyncGrade::Low => SyncLevel::Low,
                }),
                why: sync,
            },
        },
    }
}

/// The spread that is graded: a command that a peer never applied took infinitely long.
fn spread(score: &Score) -> String {
    let all = &score.spread.times_all;
    match all.p95 {
        _ if score.peers.len() < 2 => "needs two peers".into(),
        Some(p95) => format!("p95 {:.1} ms from first to last peer", p95.as_millis_f64()),
        None => format!("{} of {} commands did not change every peer's state", score.spread.times.missing, all.of),
    }
}

fn reconvergence(score: &Score) -> String {
    let within = score.convergence.iter().filter(|convergence| convergence.within_a_beat).count();
    let tested = score.convergence.iter().filter(|convergence| convergence.tested).count();
    match (score.convergence.len(), tested) {
        (0, _) => "no outage ended within the run".into(),
        (_, 0) => "no outage hid a command".into(),
        (_, tested) => format!("{within} of {tested} outages over within a beat"),
    }
}

fn sync(score: &Score) -> String {
    let failures: u64 = score.peers.iter().map(|peer| peer.sync.failures).sum();
    let judged: u64 = score.peers.iter().map(|peer| peer.sync.judged).sum();
    format!("{failures} sync failures in {judged} commands judged")
}
