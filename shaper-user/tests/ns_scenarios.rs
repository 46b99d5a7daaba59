//! Peers of a star that come, go and are put wrong on purpose: a run tells each.

#![cfg(feature = "live")]
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests panic with their context")]

#[path = "support/evidence.rs"]
mod evidence;
#[path = "support/runs.rs"]
mod runs;
mod support;

use std::fs;

use evidence::{accounts_close, opens_without_a_warning, told};
use shaper_report::agreement::Agreement;
use shaper_report::summary::{CommandCounts, Severity, Summary};
use support::on_own_host;

fn peers(summary: &Summary) -> Vec<(&str, &CommandCounts)> {
    summary.commands.as_ref().unwrap().peers.iter().map(|(peer, counts)| (peer.as_str(), counts)).collect()
}

/// Every peer of a star on a clean link did what it was told, at about the same time.
fn all_follow(summary: &Summary, expected: usize) {
    let peers = peers(summary);
    assert_eq!(peers.len(), expected);
    for (peer, counts) in &peers {
        assert!(counts.intended > 0, "{peer} {counts:?}");
        let done = (counts.delivered, counts.applied_once, counts.repeated, counts.missed);
        assert_eq!(done, (counts.intended, counts.intended, 0, 0), "{peer} {counts:?}");
    }
    let spread = summary.spread_ms.as_ref().unwrap();
    assert_eq!(spread.distribution.n, peers[0].1.intended, "{spread:?}");
    assert!(spread.distribution.p95.is_some() && spread.beat_fraction.is_some(), "{spread:?}");
    assert_eq!(summary.captures.len(), expected + 1);
    // Each host has a link of two directions.
    assert_eq!(summary.directions.len(), 2 * (expected + 1));
    accounts_close(summary);
    // A grade, unless the machine was too busy for one, which is said.
    let grade = summary.grade.as_ref().unwrap();
    let kept = summary.schedule.as_ref().unwrap().kept;
    let enough = peers.iter().all(|(_, counts)| counts.intended >= 100);
    assert_eq!(grade.result.is_some(), kept && enough, "{grade:?}");
    assert!(!grade.why.is_empty());
}

#[test]
fn all_peers_of_a_star_follow() {
    on_own_host(|host| {
        let run = host.run("toast --peers 3 --duration 8s --profile clean --seed 8");
        let summary = run.summary();
        all_follow(&summary, 3);
        opens_without_a_warning(&run, &summary);
    });
}

#[test]
fn twenty_peers_of_a_star_follow() {
    // Long enough for a grade where time is not short.
    let duration = if std::env::var_os("SHAPER_TEST_FULL").is_some() { "25s" } else { "4s" };
    on_own_host(|host| {
        let run = host.run(&format!("toast --peers 20 --duration {duration} --profile clean --seed 9"));
        all_follow(&run.summary(), 20);
    });
}

#[test]
fn the_links_of_a_star_are_impaired_each_by_itself() {
    on_own_host(|host| {
        let flags = "--peers 3 --profile wifi --outages 40%/s --duration 8s --seed 16";
        let run = host.run(&format!("toast {flags}"));
        let summary = run.summary();
        assert_eq!(summary.directions.len(), 8);
        let losing = summary.directions.values().filter(|direction| direction.measured.loss.count > 0).count();
        assert!(losing >= 4, "{losing} of 8 directions lost a packet");
        let windows: Vec<_> = ["a", "b", "c", "d"]
            .iter()
            .map(|host| {
                let [up, down] = ["up", "down"].map(|way| &summary.directions[&format!("{host}_{way}")].configured);
                assert_eq!(up.outage_windows, down.outage_windows, "a link that is down is down both ways");
                &up.outage_windows
            })
            .collect();
        for (place, of) in windows.iter().enumerate() {
            assert!(!of.is_empty() && !windows[..place].contains(of), "{windows:?}");
        }
        for (name, direction) in &summary.directions {
            // How late the delay line was is up to what else this host does.
            for check in direction.agree.checks.iter().filter(|check| check.name != "lateness") {
                assert_ne!(check.result, Agreement::No, "{name}: {check:?}");
            }
        }
        for (peer, counts) in peers(&summary) {
            let CommandCounts { intended, applied_once, repeated, superseded, missed, .. } = *counts;
            assert_eq!(applied_once + repeated + superseded + missed, intended, "{peer}: {counts:?}");
        }
        accounts_close(&summary);
        opens_without_a_warning(&run, &summary);
    });
}

#[test]
fn a_late_joiner_a_leaver_and_a_wrong_clock_are_found() {
    on_own_host(|host| {
        let flags = "--late c@2s --leave d@5s --clock b@2500us,40ppm";
        let summary = host.run(&format!("toast --peers 3 --duration 8s --profile clean --seed 10 {flags}")).summary();
        let [(_, b), (_, c), (_, d)] = peers(&summary)[..] else { panic!("{:?}", peers(&summary)) };
        let share = |counts: &CommandCounts| counts.intended as f64 / b.intended as f64;
        // Meant for it are the commands of the time that it was there: 6 of 8 and 5 of 8 seconds.
        assert!((0.70..=0.80).contains(&share(c)), "{c:?} of {b:?}");
        assert!((0.58..=0.68).contains(&share(d)), "{d:?} of {b:?}");
        assert_eq!((b.missed, b.applied_once), (0, b.intended), "{b:?}");
        assert!(told(&summary, Severity::Note, &["c joined late and was right"]), "{:?}", summary.findings);
        assert!(told(&summary, Severity::Note, &["d: ", "after it left"]), "{:?}", summary.findings);
        let clock = &summary.clock["b"];
        // Offset and what the skew has added by the end of the run.
        let injected = clock.offset_injected_us.unwrap();
        assert!((2_500.0..2_500.0 + 40.0 * 20.0).contains(&injected), "{clock:?}");
        assert!((clock.skew_injected_ppm.unwrap() - 40.0).abs() < 0.1, "{clock:?}");
        // No exchange tells more than half its round trip; what the skew adds between exchanges is little.
        let error = clock.offset_error_us.unwrap();
        assert!(error.abs() <= clock.offset_bound_us.unwrap() + 50.0, "{clock:?}");
        assert!(clock.exchanges >= 4, "{clock:?}");
        let drift = summary.position_drift_ppm["b"].unwrap();
        assert!((drift - 40.0).abs() < 25.0, "{drift} ppm");
        let right = &summary.clock["c"];
        assert_eq!(right.offset_injected_us, Some(0.0));
        assert!(right.offset_error_us.unwrap().abs() <= right.offset_bound_us.unwrap() + 50.0, "{right:?}");
    });
}

#[test]
fn a_group_that_was_left_is_carried_no_longer_than_what_was_under_way() {
    const LATENCY: f64 = 60.0;
    on_own_host(|host| {
        // Commands are closer than the way is long, so that some are under way whenever the leave comes.
        let flags = "--peers 2 --profile clean --latency 60ms --spacing 50ms --leave c@2s --duration 4s --seed 17";
        let summary = host.run(&format!("toast {flags}")).summary();
        assert_eq!(summary.leave.keys().collect::<Vec<_>>(), ["c"]);
        let leave = &summary.leave["c"];
        assert!(leave.frames > 0, "{leave:?}");
        // The leave is a control packet and takes no time on the link; the switch's ports heed it at once. What had
        // passed them before is behind the link a latency later.
        let late = summary.directions["c_down"].measured.lateness_us.max.unwrap() / 1e3;
        let last = leave.last_ms.unwrap();
        assert!(last <= LATENCY + late + 20.0, "{leave:?}, late by {late} ms");
        assert!(told(&summary, Severity::Note, &["c: the network still carried"]), "{:?}", summary.findings);
    });
}

#[test]
fn in_a_pair_nothing_ends_the_group() {
    on_own_host(|host| {
        let summary = host.run("toast --profile clean --leave b@1s --duration 3s --seed 18").summary();
        let leave = &summary.leave["b"];
        assert!(leave.last_ms.unwrap() > 1_800.0, "no switch is there to heed the leave: {leave:?}");
        assert!(told(&summary, Severity::Note, &["b: the network still carried"]), "{:?}", summary.findings);
    });
}

#[test]
fn two_controllers_are_told_and_end_in_one_state() {
    on_own_host(|host| {
        let summary = host.run("toast --peers 2 --duration 5s --profile clean --seed 11 --second-controller").summary();
        let finding = summary.findings.iter().find(|finding| finding.text.contains("two controllers"));
        let text = &finding.expect("two controllers are told").text;
        assert!(text.contains("c-controller") && text.contains("the same state"), "{text}");
        // Both command b.
        let (_, b) = peers(&summary)[0];
        let sent = summary.schedule.as_ref().unwrap().slip_ms.n;
        assert_eq!((b.intended, b.delivered), (sent, sent), "{b:?}");
        assert_eq!(summary.latency_split.as_ref().unwrap().unjoined, 0);
    });
}

#[test]
fn tempo_changes_arrive_under_loss() {
    on_own_host(|host| {
        let run = host.run("toast --duration 5s --profile clean --loss 10% --seed 12 --tempo 90,140");
        let summary = run.summary();
        let total = &summary.commands.as_ref().unwrap().total;
        // Three copies each: one in a thousand commands is lost.
        assert!(total.delivered as f64 >= 0.95 * total.intended as f64, "{total:?}");
        let tempo = &summary.tempo["b"];
        let fourth = total.intended / 4;
        assert_eq!(tempo.intended, fourth, "{tempo:?}");
        assert_eq!(tempo.applied + tempo.superseded + tempo.missed, tempo.intended, "{tempo:?}");
        assert!(tempo.applied as f64 >= 0.9 * fourth as f64, "{tempo:?}");
        let times = &tempo.time_to_tempo_ms;
        assert_eq!((times.n, times.missing), (tempo.applied, tempo.intended - tempo.applied), "{tempo:?}");
        assert!(times.min.unwrap() > 0.0 && times.max <= summary.time_to_state_ms.as_ref().unwrap().max, "{tempo:?}");
        let peer = fs::read_to_string(run.out.join("b.jsonl")).unwrap();
        for tempo in ["120.0", "90.0", "140.0"] {
            assert!(peer.contains(&format!("\"bpm\":{tempo}")), "b was never at {tempo} beats per minute");
        }
    });
}
