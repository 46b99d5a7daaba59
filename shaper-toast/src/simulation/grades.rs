//! Whole runs: which grade is given, and when none is.

use super::*;
use crate::score::{Grade, SyncGrade};

#[test]
fn fewer_than_a_hundred_commands_give_no_grade_and_the_reason() {
    let logs = run_with(lossy(Nanos::ZERO, 0.0, 1), desk(99), &["a"]);
    let grades = score(&logs, &asked(Nanos::ZERO, &["a"])).grades;
    assert_eq!(grades.overall, None);
    let reason = grades.withheld.unwrap();
    assert!(reason.contains("99 commands") && reason.contains("100"), "{reason}");
}

#[test]
fn a_late_sender_is_told_and_gets_no_grade() {
    let mut logs = run_with(lossy(Nanos::from_millis(1), 0.0, 1), desk(120), &["a"]);
    // As if the first five had been due 6 ms earlier than they left.
    for event in logs[0].events.iter_mut() {
        if let Event::Commanded { due, seq, .. } = event
            && *due < START + SPACING.times(5)
        {
            assert!(*seq < 100);
            *due = *due - Nanos::from_millis(6);
        }
    }
    let score = score(&logs, &asked(Nanos::from_millis(1), &["a"]));
    assert_eq!((score.schedule.over_limit, score.schedule.kept), (5, false));
    assert_eq!(score.grades.overall, None);
    let reason = score.grades.withheld.unwrap();
    assert!(reason.contains("could not keep its own schedule"), "{reason}");
}

#[test]
fn sync_has_no_grade_when_commands_come_too_soon_to_be_judged() {
    let logs = run_with(lossy(Nanos::from_millis(1), 0.0, 1), desk(120), &["a"]);
    // 500 ms apart, and a peer may take 601 ms and the burst.
    let hasty = score(&logs, &asked(Nanos::from_millis(500), &["a"]));
    assert_eq!(peer(&hasty, "a").sync.judged, 1);
    assert_eq!((hasty.grades.sync, hasty.grades.overall), (None, Some(Grade::Excellent)));
    let reason = hasty.grades.sync_reason.unwrap();
    assert!(reason.contains("1 commands were judged at a") && reason.contains("119 came too soon"), "{reason}");
    let patient = score(&logs, &asked(Nanos::from_millis(1), &["a"]));
    assert_eq!((patient.grades.sync, patient.grades.sync_reason), (Some(SyncGrade::High), None));
}

#[test]
fn commands_a_spacing_for_sync_apart_are_all_judged() {
    let delay = Nanos::from_millis(45);
    let mut desk = desk(100);
    desk.script.spacing = plan::spacing_for_sync(delay, BurstConfig::STANDARD.longest());
    desk.duration = plan::minimum_duration_for_a_grade(desk.script.spacing);
    let score = score(&run_with(lossy(delay, 0.0, 1), desk, &["a"]), &asked(delay, &["a"]));
    assert_eq!(peer(&score, "a").sync.judged, 100);
    assert_eq!(score.grades.sync, Some(SyncGrade::High));
}

/// Two peers at one distance, one of which misses one command in every `every`.
fn missing_one_in(every: u64) -> Score {
    let link: Link = Box::new(move |way| {
        let command = (way.at - START).0 / SPACING.0;
        let lost = way.to == "b" && way.at >= START && command.is_multiple_of(every);
        (!lost).then_some(Nanos::from_millis(1))
    });
    score(&run_with(link, desk(200), &["a", "b"]), &asked(Nanos::from_millis(1), &["a", "b"]))
}

#[test]
fn a_spread_that_is_mostly_missing_is_not_praised_for_the_rest() {
    let often = missing_one_in(10);
    assert_eq!((often.spread.times.n, often.spread.times.missing), (180, 20));
    assert_eq!((often.spread.times.p95, often.spread.times_all.p95), (Some(Nanos::ZERO), None));
    assert_eq!((often.spread.beats_p95, often.spread.beats_p95_all), (Some(0.0), None));
    assert_eq!((often.grades.delivery, often.grades.spread), (Some(Grade::Good), Some(Grade::Poor)));
    let reason = often.grades.spread_reason.clone().unwrap();
    assert!(reason.contains("20 of 200"), "{reason}");
    let b = peer(&often, "b");
    assert_eq!((b.time_to_state.p95, b.time_to_state_all.p95), (Some(Nanos::from_millis(1)), None));
    assert_eq!((b.time_to_state_all.of, b.time_to_state_all.p50), (200, Some(Nanos::from_millis(1))));
    assert_eq!((b.response_all.p50, b.response_all.p99), (Some(Nanos::from_millis(2)), None));
    // One in 25 leaves the 95 % percentile among those that arrived.
    let seldom = missing_one_in(25);
    assert_eq!((seldom.grades.spread, seldom.grades.spread_reason), (Some(Grade::Excellent), None));
}

#[test]
fn a_single_peer_has_no_spread_and_is_told_why() {
    let logs = run_with(lossy(Nanos::ZERO, 0.0, 1), desk(120), &["a"]);
    let grades = score(&logs, &asked(Nanos::ZERO, &["a"])).grades;
    assert_eq!((grades.spread, grades.overall), (None, Some(Grade::Excellent)));
    assert!(grades.spread_reason.unwrap().contains("two peers"));
    assert!(grades.convergence_reason.unwrap().contains("no outage"));
}

#[test]
fn a_full_socket_at_a_peer_withholds_the_grade() {
    let mut logs = run_with(lossy(Nanos::ZERO, 0.0, 1), desk(120), &["a"]);
    for event in &mut logs[1].events {
        if let Event::Summary { counts, .. } = event {
            counts.receive_buffer_drops = 3;
        }
    }
    let score = score(&logs, &asked(Nanos::ZERO, &["a"]));
    assert_eq!((score.grades.overall, score.grades.delivery, score.grades.sync), (None, None, None));
    let reason = score.grades.withheld.unwrap();
    assert!(reason.contains("dropped 3 datagrams at a full socket"), "{reason}");
}
