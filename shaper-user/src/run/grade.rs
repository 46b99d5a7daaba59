//! The workload's grade in the words of the summary.

use shaper_report::summary::{Grade, GradeLevel, GradePart, GradeParts, SyncLevel};
use shaper_toast::score::{self, Score};

use super::execute::Evidence;
use super::plan::Plan;
use super::workload::ToastPlan;

pub(super) fn grade(plan: &Plan, toast: &ToastPlan, score: &Score, evidence: &Evidence) -> Grade {
    let grades = &score.grades;
    let why = grades.withheld.clone().unwrap_or_else(|| "the worst of delivery, spread and re-convergence".into());
    let takes = plan.grade_takes(toast, &evidence.links).filter(|_| grades.overall.is_none());
    let why = takes.map_or_else(|| why.clone(), |takes| format!("{why}; {takes}"));
    Grade { result: level(grades.overall), why, parts: parts(score) }
}

fn level(grade: Option<score::Grade>) -> Option<GradeLevel> {
    grade.map(|grade| match grade {
        score::Grade::Excellent => GradeLevel::Excellent,
        score::Grade::Good => GradeLevel::Good,
        score::Grade::Fair => GradeLevel::Fair,
        score::Grade::Poor => GradeLevel::Poor,
    })
}

/// Each part with the figure that was graded, or the reason why none was.
fn parts(score: &Score) -> GradeParts {
    let grades = &score.grades;
    let least = score.peers.iter().map(|peer| peer.delivery.share).fold(f64::INFINITY, f64::min);
    let delivery =
        if least.is_finite() { format!("{:.1} % at the worst peer", least * 100.0) } else { "no peer".into() };
    // Where no part is graded, the one reason stands with the grade, and each part keeps its figure.
    let reason = |reason: &Option<String>| reason.clone().filter(|_| grades.withheld.is_none());
    let spread_reason = reason(&grades.spread_reason).filter(|_| score.peers.len() > 1);
    GradeParts {
        delivery: GradePart { result: level(grades.delivery), why: delivery },
        spread: GradePart { result: level(grades.spread), why: spread_reason.unwrap_or_else(|| spread(score)) },
        reconvergence: GradePart {
            result: level(grades.convergence),
            why: reason(&grades.convergence_reason).unwrap_or_else(|| reconvergence(score)),
        },
        sync: GradePart {
            result: grades.sync.map(|grade| match grade {
                score::SyncGrade::High => SyncLevel::High,
                score::SyncGrade::Medium => SyncLevel::Medium,
                score::SyncGrade::Low => SyncLevel::Low,
            }),
            why: reason(&grades.sync_reason).unwrap_or_else(|| sync(score)),
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

#[cfg(test)]
mod tests {
    use shaper_toast::score::ScoreConfig;
    use shaper_toast::units::Nanos as Time;

    use super::*;

    /// Two peers that left no log, and no command.
    fn score() -> Score {
        let peers = ["b", "c"].map(str::to_owned).to_vec();
        let mut score = score::score(&[], &ScoreConfig::new(Time::ZERO, Time::ZERO, peers));
        score.grades.withheld = None;
        for reason in
            [&mut score.grades.spread_reason, &mut score.grades.convergence_reason, &mut score.grades.sync_reason]
        {
            *reason = None;
        }
        score
    }

    #[test]
    fn the_spread_beside_a_grade_is_the_one_that_was_graded() {
        let mut score = score();
        score.spread.times.p95 = Some(Time::from_millis(2));
        score.spread.times_all.p95 = Some(Time::from_millis(40));
        score.grades.spread = Some(score::Grade::Poor);
        assert_eq!(parts(&score).spread.why, "p95 40.0 ms from first to last peer");
        // Beyond every line: no time stands behind it, and the score says why.
        score.spread.times_all.p95 = None;
        score.grades.spread_reason = Some("it falls among those that are missing".into());
        assert_eq!(parts(&score).spread.why, "it falls among those that are missing");
    }

    #[test]
    fn a_part_without_a_grade_says_why() {
        let mut score = score();
        score.grades.sync_reason = Some("too few were judged".into());
        score.grades.convergence_reason = Some("not tested".into());
        let told = parts(&score);
        assert_eq!((told.sync.why.as_str(), told.reconvergence.why.as_str()), ("too few were judged", "not tested"));
        // One reason for all stands with the grade itself, once.
        score.grades.withheld = Some("run longer".into());
        assert_eq!(parts(&score).sync.why, "0 sync failures in 0 commands judged");
    }
}
