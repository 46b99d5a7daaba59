//! The table, whole, against what it must look like.

mod common;

use shaper_report::stats::{Distribution, Proportion};
use shaper_report::summary::{CommandCounts, Commands, Phase, PhaseDirection, Severity, Spread, Window};
use shaper_report::text::{WIDTH, table};

fn assert_fits(text: &str) {
    for line in text.lines() {
        assert!(line.chars().count() <= WIDTH, "wider than {WIDTH} columns: {line}");
        assert_eq!(line, line.trim_end(), "spaces at the end");
    }
}

#[test]
fn the_table_of_a_run_is_as_written_down() {
    let (summary, _) = common::sample(640).unwrap();
    let got = table(&summary);
    let expected = include_str!("golden/table.txt");
    assert!(got == expected, "the table changed; if it should, update tests/golden/table.txt. Got:\n{got}");
    assert_fits(&got);
}

#[test]
fn a_run_that_nobody_heard_says_so_in_its_last_lines() {
    let (mut summary, _) = common::sample(640).unwrap();
    let nobody = CommandCounts { intended: 108, missed: 108, self_heard: 324, ..CommandCounts::default() };
    summary.commands = Some(Commands::new([("b".to_owned(), nobody.with_ratio())].into()));
    summary.response_time_ms = None;
    summary.time_to_state_ms = None;
    summary.latency_split = None;
    summary.convergence[0].peers_ms.insert("b".to_owned(), None);
    summary.convergence[0].within_beat = false;
    summary.grade = None;
    summary.exit_code = 1;
    summary.find(Severity::Error, "peer b delivered 0 of 108 commands: is it running, and in the group?");
    let got = table(&summary);
    assert_fits(&got);
    assert!(got.contains("324 own frames heard (never counted)"), "{got}");
    assert!(got.contains("0.00 % (0.00 to 3.43)"), "{got}");
    assert!(got.contains("0 of 1 peers back, NOT within a beat; never: b"), "{got}");
    let (last, first) = (got.lines().last().unwrap(), got.lines().find(|line| line.starts_with("error")).unwrap());
    assert_eq!(last, "exit          1: the run FAILED: see its errors");
    assert_eq!(first, "error         peer b delivered 0 of 108 commands: is it running, and in the group?");
}

#[test]
fn the_line_under_the_title_says_how_it_ended_and_the_grade_or_why_there_is_none() {
    let (mut summary, _) = common::sample(640).unwrap();
    let second = |summary: &_| table(summary).lines().nth(1).unwrap().to_owned();
    assert_eq!(second(&summary), "outcome       exit 0: the run held; grade GOOD");
    let grade = summary.grade.as_mut().unwrap();
    grade.result = None;
    grade.why = "withheld, for the run has 1 errors".to_owned();
    summary.exit_code = 1;
    let none = "outcome       exit 1: the run FAILED: see its errors; no grade: withheld, for the run has 1 errors";
    assert_eq!(second(&summary), none);
    summary.grade = None;
    summary.run.workload = "probe".to_owned();
    summary.exit_code = 0;
    assert_eq!(second(&summary), "outcome       exit 0: the run held; no grade: none is given for probe");
}

#[test]
fn twenty_peers_on_forty_links_still_fit_a_screen() {
    let (mut summary, _) = common::sample(640).unwrap();
    let direction = summary.directions["a_to_b"].clone();
    summary.directions = (1..=40).map(|link| (format!("link_{link:02}"), direction.clone())).collect();
    let counts = |missed| CommandCounts { intended: 108, delivered: 108 - missed, missed, ..CommandCounts::default() };
    let peers = (1..=20).map(|peer| (format!("peer{peer:02}"), counts(peer % 7).with_ratio())).collect();
    summary.commands = Some(Commands::new(peers));
    summary.spread_ms = Some(Spread {
        distribution: summary.response_time_ms.clone().unwrap(),
        beat_fraction: Some(0.11),
        p95_all: None,
    });
    let got = table(&summary);
    assert_fits(&got);
    assert!(got.lines().count() < 70, "{} lines:\n{got}", got.lines().count());
    assert!(got.contains("40 in all: 0 agree, 0 do not, 40 have too few packets"), "{got}");
    assert!(got.contains("the worst 3 of 20 peers"), "{got}");
}

#[test]
fn a_direction_that_differs_says_what_differs() {
    let (mut summary, _) = common::sample(12_000).unwrap();
    let direction = summary.directions.get_mut("a_to_b").unwrap();
    direction.configured.outage_windows.push(Window { start_ms: 1e3, end_ms: 2e3 });
    let check = direction.agree.checks.iter_mut().find(|check| check.name == "outage").unwrap();
    check.result = shaper_report::agreement::Agreement::No;
    check.detail = "600 of 900 packets passed within a window, 0 fell outside".to_owned();
    let got = table(&summary);
    assert_fits(&got);
    assert!(got.contains("NO          a to b, outage: 600 of 900 packets passed within a window"), "{got}");
}

#[test]
fn phases_that_are_not_shown_are_counted_and_a_sample_is_called_one() {
    let (mut summary, _) = common::sample(640).unwrap();
    let direction = || PhaseDirection { packets: 7, loss: Proportion::of(0, 7), delay_ms: Distribution::default() };
    let phase = |at: u32| Phase {
        start_ms: f64::from(at),
        end_ms: None,
        directions: [("a_to_b".to_owned(), direction())].into(),
    };
    summary.phases = (0..12).map(phase).collect();
    let got = table(&summary);
    assert!(got.contains("from change to change") && !got.contains("more: summary.json"), "{got}");
    assert!(!got.contains("recorded"), "{got}");
    summary.phases.extend((12..15).map(phase));
    summary.oracle.left_out = 1_000;
    let got = table(&summary);
    assert_fits(&got);
    let header = got.lines().find(|line| line.starts_with("from change to change")).unwrap();
    assert!(header.contains("recorded") && got.contains("\n  3 more: summary.json\n"), "{got}");
}
