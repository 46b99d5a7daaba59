//! The table that a person reads in ten seconds: plain text, at most [`WIDTH`] columns.
//!
//! The outcome first, for who reads one line. Then from the link to the application, and the conclusions
//! last: that is where the eye is when a command ends.

pub(crate) mod columns;
mod scene;
mod webrtc;

use std::fmt::Write as _;

use columns::{Align, Columns, labelled};
pub(crate) use scene::{ended as program_ended, packets as packets_of_a_phase};
pub(crate) use webrtc::adds_up;
pub use webrtc::levels;

use crate::agreement::Agreement;
use crate::link_rows::{LinkRow, delay_expected, link_rows};
use crate::stats::Distribution;
use crate::summary::{CommandCounts, Commands, Conservation, Convergence, Grade, Summary};
use crate::words;

/// The widest line.
pub const WIDTH: usize = 100;

/// The width of the labels at the left.
const LABEL: usize = 14;

/// Directions shown in full, and peers; of more, the worst are shown.
const SHOWN: usize = 4;

/// The table.
#[must_use]
pub fn table(summary: &Summary) -> String {
    let mut out = String::new();
    let run = &summary.run;
    let _ = writeln!(out, "{}", run.name);
    line(&mut out, "outcome", &outcome(summary));
    let xdp = run.xdp_mode.as_ref().map_or_else(String::new, |mode| format!(" ({mode} XDP)"));
    let about = format!(
        "{} through {}, {} s, seed {}; engine {}{xdp}, kernel {}; {}",
        run.workload,
        run.profile,
        words::shortest(run.duration_s),
        run.seed,
        run.engine,
        run.kernel,
        run.started
    );
    labelled(&mut out, "", &about, 0, WIDTH);
    links(&mut out, summary);
    commands(&mut out, summary);
    times(&mut out, summary);
    convergence(&mut out, summary);
    webrtc::webrtc(&mut out, summary);
    scene::scene(&mut out, summary);
    clocks(&mut out, summary);
    evidence(&mut out, summary);
    conclusions(&mut out, summary);
    out
}

fn line(out: &mut String, label: &str, text: &str) {
    labelled(out, label, text, LABEL, WIDTH);
}

fn agreement(row: &LinkRow) -> String {
    match (row.agreement, row.needed) {
        (None, _) => "-".to_owned(),
        (Some(Agreement::No), _) => "NO".to_owned(),
        (Some(Agreement::TooFew), Some(needed)) if needed > 1 => format!("too few: ~{}", words::about(needed)),
        (Some(agreement), _) => agreement.name().to_owned(),
    }
}

fn links(out: &mut String, summary: &Summary) {
    let many = summary.directions.len() > SHOWN;
    let mut shown: Vec<_> = summary.directions.iter().collect();
    if many {
        let rank = |agreement| match agreement {
            Agreement::No => 0,
            Agreement::TooFew => 1,
            Agreement::Yes => 2,
        };
        shown.sort_by_key(|(_, direction)| rank(direction.agree.result));
        shown.truncate(2);
    }
    let mut columns = Columns::new([Align::Left; 4]);
    let mut below = Vec::new();
    for (place, (name, direction)) in shown.into_iter().enumerate() {
        if place > 0 {
            columns.push([const { String::new() }; 4]);
        }
        let packets = words::count(direction.measured.packets);
        columns.push([
            words::spaced(name),
            "asked for".to_owned(),
            format!("measured (95 %), {packets} packets"),
            format!("agrees: {}", direction.agree.result.name()),
        ]);
        for row in link_rows(direction) {
            let agrees = agreement(&row);
            if row.agreement == Some(Agreement::No) {
                below.push((format!("{}, {}", words::spaced(name), row.what.trim()), row.detail));
            }
            let expected = (row.what == "intended delay").then(|| delay_expected(&direction.configured)).flatten();
            columns.push([format!("  {}", row.what), row.asked, row.measured, agrees]);
            if let Some(expected) = expected {
                columns.push([String::new(), expected, String::new(), String::new()]);
            }
        }
    }
    out.push('\n');
    columns.write(out);
    for (what, detail) in below {
        line(out, "  NO", &format!("{what}: {detail}"));
    }
    if many {
        let count = |result| summary.directions.values().filter(|direction| direction.agree.result == result).count();
        let [yes, no, few] = [Agreement::Yes, Agreement::No, Agreement::TooFew].map(count);
        let all = summary.directions.len();
        line(out, "directions", &format!("{all} in all: {yes} agree, {no} do not, {few} have too few packets"));
    }
}

fn commands(out: &mut String, summary: &Summary) {
    let Some(Commands { total, peers }) = &summary.commands else { return };
    let mut columns = Columns::new([
        Align::Left,
        Align::Right,
        Align::Right,
        Align::Right,
        Align::Right,
        Align::Right,
        Align::Right,
        Align::Left,
    ]);
    let heads = ["commands", "intended", "delivered", "once", "repeated", "superseded", "missed", "delivered in %"];
    columns.push(heads.map(str::to_owned));
    columns.push(command_row("  all peers", total));
    let mut worst: Vec<_> = peers.iter().collect();
    if worst.len() > SHOWN {
        worst.sort_by(|(_, one), (_, other)| {
            let ratio = |counts: &CommandCounts| counts.delivery_ratio.ratio.unwrap_or(0.0);
            ratio(one).total_cmp(&ratio(other)).then(one.applied_once.cmp(&other.applied_once))
        });
        worst.truncate(3);
    }
    if peers.len() > 1 {
        for (name, counts) in &worst {
            columns.push(command_row(&format!("  {name}"), counts));
        }
    }
    out.push('\n');
    columns.write(out);
    if worst.len() < peers.len() {
        line(out, "", &format!("the worst {} of {} peers; all are in summary.json", worst.len(), peers.len()));
    }
    let CommandCounts { self_heard, foreign, .. } = total;
    let failures = summary.sync_failures.as_ref().map_or_else(String::new, |failures| {
        format!("; {} sync failures in {} judged", words::count(failures.total), words::count(failures.judged))
    });
    let heard = format!(
        "{} own frames heard (never counted), {} foreign{failures}",
        words::count(*self_heard),
        words::count(*foreign)
    );
    line(out, "", &heard);
}

fn command_row(name: &str, counts: &CommandCounts) -> [String; 8] {
    let ratio = &counts.delivery_ratio;
    [
        name.to_owned(),
        words::count(counts.intended),
        words::count(counts.delivered),
        words::count(counts.applied_once),
        words::count(counts.repeated),
        words::count(counts.superseded),
        words::count(counts.missed),
        ratio.ratio.map_or_else(|| "-".to_owned(), |value| words::percent_with_interval(value, ratio)),
    ]
}

fn times(out: &mut String, summary: &Summary) {
    let spread = summary.spread_ms.as_ref();
    let rows = [
        ("  response time", summary.response_time_ms.as_ref()),
        ("    lost ones too", lost_too(&summary.response_time_all_ms)),
        ("  time to state", summary.time_to_state_ms.as_ref()),
        ("    lost ones too", lost_too(&summary.time_to_state_all_ms)),
        ("  spread", spread.map(|spread| &spread.distribution)),
    ];
    if rows.iter().all(|(_, times)| times.is_none()) {
        return;
    }
    let mut columns =
        Columns::new([Align::Left, Align::Right, Align::Right, Align::Right, Align::Right, Align::Right, Align::Right]);
    columns.push(["times in ms", "p50", "p95", "p99", "max", "n", "missing"].map(str::to_owned));
    for (name, times) in rows {
        if let Some(times) = times {
            columns.push(time_row(name, times));
        }
    }
    out.push('\n');
    columns.write(out);
    if let Some(fraction) = spread.and_then(|spread| spread.beat_fraction) {
        line(out, "", &format!("spread p95 is {} of a beat", words::figure(fraction)));
    }
    if let Some(split) = &summary.latency_split {
        let stages: Vec<String> = split
            .stages
            .iter()
            .map(|stage| format!("{} {}", words::spaced(&stage.stage), words::figure_or_dash(stage.p50_ms)))
            .collect();
        let [total, worst] = [split.total.p50_ms, split.total.p99_ms].map(words::figure_or_dash);
        let mut text =
            format!("{}; together {total} (p99 {worst}) ms, medians of {} commands", stages.join(", "), split.total.n);
        for (count, what) in [(split.unanswered, "arrived without an answer"), (split.unjoined, "not joined")] {
            if count > 0 {
                let _ = write!(text, "; {} {what}", words::count(count));
            }
        }
        line(out, "  went to", &text);
    }
}

/// The distribution that counts lost ones, where there are any.
fn lost_too(times: &Option<Distribution>) -> Option<&Distribution> {
    times.as_ref().filter(|times| times.missing > 0)
}

fn time_row(name: &str, times: &Distribution) -> [String; 7] {
    [
        name.to_owned(),
        words::percentile(times, times.p50),
        words::percentile(times, times.p95),
        words::percentile(times, times.p99),
        words::percentile(times, times.max),
        words::count(times.n),
        words::missing(times),
    ]
}

fn convergence(out: &mut String, summary: &Summary) {
    for convergence in &summary.convergence {
        line(out, "convergence", &convergence_line(convergence));
    }
}

/// Re-convergence after one outage in one line.
pub(crate) fn convergence_line(convergence: &Convergence) -> String {
    if !convergence.tested {
        return format!("outage {}: it hid no command, nothing to come back from", words::window(&convergence.outage));
    }
    let back: Vec<f64> = convergence.peers_ms.values().flatten().copied().collect();
    let slowest = back
        .iter()
        .copied()
        .max_by(f64::total_cmp)
        .map_or_else(String::new, |ms| format!(", the slowest after {} ms", words::figure(ms)));
    let never: Vec<_> =
        convergence.peers_ms.iter().filter(|(_, ms)| ms.is_none()).map(|(peer, _)| peer.as_str()).collect();
    let never = if never.is_empty() { String::new() } else { format!("; never: {}", never.join(" ")) };
    let beat = if convergence.within_beat { "within a beat" } else { "NOT within a beat" };
    format!(
        "outage {} ({}): {} of {} peers back, {beat}{slowest}{never}",
        words::window(&convergence.outage),
        words::spaced(&convergence.direction),
        back.len(),
        convergence.peers_ms.len(),
    )
}

fn clocks(out: &mut String, summary: &Summary) {
    let worst = summary
        .clock
        .iter()
        .filter_map(|(peer, clock)| clock.offset_error_us.map(|error| (peer, clock, error)))
        .max_by(|(_, _, one), (_, _, other)| one.abs().total_cmp(&other.abs()));
    if let Some((peer, clock, error)) = worst {
        let bound = clock.offset_bound_us.map_or_else(String::new, |us| format!(", bound +-{} us", words::figure(us)));
        line(out, "clock", &format!("offset off by {} us at most, at {peer}{bound}", words::figure(error)));
    }
    let drift = summary.position_drift_ppm.iter().filter_map(|(peer, drift)| drift.map(|drift| (peer, drift)));
    if let Some((peer, drift)) = drift.max_by(|(_, one), (_, other)| one.abs().total_cmp(&other.abs())) {
        line(out, "drift", &format!("position {} ppm at most, at {peer}", words::figure(drift)));
    }
}

fn evidence(out: &mut String, summary: &Summary) {
    out.push('\n');
    let late: Vec<String> = summary
        .lateness
        .delay_line_us
        .iter()
        .filter_map(|(name, late)| late.p99.map(|p99| (words::spaced(name), p99)))
        .map(|(name, p99)| format!("{name} {}", words::figure(p99)))
        .take(SHOWN)
        .collect();
    if !late.is_empty() {
        let host = summary.lateness.host_idle_timer_us.as_ref().map_or_else(
            || "this host's own was not measured".to_owned(),
            |host| format!("this host's idle timer {} us", words::figure_or_dash(host.p99)),
        );
        let ratio = summary.lateness.ratio_p99.map_or_else(String::new, |ratio| format!(" ({ratio:.2} times)"));
        line(out, "lateness p99", &format!("{} us; {host}{ratio}", late.join(", ")));
    }
    if let Some(schedule) = &summary.schedule {
        let kept = if schedule.kept { "kept" } else { "NOT KEPT" };
        let text = format!(
            "{kept}: {} sends later than {} ms, slip p99 {}, max {} ms",
            words::count(schedule.late_count),
            words::shortest(schedule.bound_ms),
            words::figure_or_dash(schedule.slip_ms.p99),
            words::figure_or_dash(schedule.slip_ms.max)
        );
        line(out, "schedule", &text);
    }
    line(out, "oracle", &oracle(summary));
    line(out, "conservation", &conservation(&summary.conservation, summary.bypassed));
    if !summary.captures.is_empty() {
        let captures: Vec<String> = summary
            .captures
            .iter()
            .take(SHOWN)
            .map(|(name, capture)| {
                format!("{name} {} received, {} dropped", words::count(capture.received), words::count(capture.dropped))
            })
            .collect();
        line(out, "captures", &captures.join("; "));
    }
    if let Some(join) = &summary.join {
        let [joined, ambiguous, not_in_a, not_in_b, contradictions] =
            [join.joined, join.ambiguous, join.not_in_a, join.not_in_b, join.contradictions].map(words::count);
        let text = format!(
            "{joined} packets, {ambiguous} ambiguous, {not_in_a} not in a, {not_in_b} not in b, \
             {contradictions} contradictions"
        );
        line(out, "joined", &text);
    }
}

/// The oracle in one line.
pub(crate) fn oracle(summary: &Summary) -> String {
    let oracle = &summary.oracle;
    let [checked, unchecked, mismatches] = [oracle.checked, oracle.unchecked, oracle.mismatches].map(words::count);
    let first = oracle.first_mismatch.as_ref().map_or_else(String::new, |first| format!("; first: {first}"));
    let left_out = match oracle.left_out {
        0 => String::new(),
        left_out => format!(", {} not to be recorded", words::count(left_out)),
    };
    format!("{checked} fates replayed, {unchecked} without a record{left_out}, {mismatches} differ{first}")
}

/// Conservation in one line.
pub(crate) fn conservation(conservation: &Conservation, bypassed: u64) -> String {
    let total = &conservation.total;
    let causes: Vec<String> = total
        .dropped_by_cause
        .iter()
        .filter(|(_, dropped)| **dropped > 0)
        .map(|(cause, dropped)| format!("{} {}", words::count(*dropped), words::spaced(cause)))
        .collect();
    let dropped: u64 = total.dropped_by_cause.values().sum();
    let causes = if causes.is_empty() { String::new() } else { format!(" ({})", causes.join(", ")) };
    let [arrived, copies, out, dropped, held, bypassed] =
        [total.arrived, total.copies, total.out, dropped, total.held, bypassed].map(words::count);
    format!(
        "{arrived} in + {copies} copies = {out} out + {dropped} dropped{causes} + {held} held; difference {}; \
         {bypassed} bypassed",
        total.difference
    )
}

fn conclusions(out: &mut String, summary: &Summary) {
    out.push('\n');
    for finding in &summary.findings {
        line(out, finding.severity.name(), &finding.text);
    }
    for expectation in &summary.expectations {
        let held = if expectation.held { "held" } else { "FAILED" };
        line(out, "expected", &format!("{held}: {} (measured {})", expectation.text, expectation.measured));
    }
    if let Some(grade) = &summary.grade {
        line(out, "grade", &grade_line(grade));
    }
    line(out, "exit", &exit(summary));
}

/// The exit code and what it means.
fn exit(summary: &Summary) -> String {
    let end = match summary.exit_code {
        0 => "the run held",
        1 if summary.expectations.iter().any(|expectation| !expectation.held) => "an expectation FAILED",
        1 => "the run FAILED: see its errors",
        _ => "the run COULD NOT be made",
    };
    format!("{}: {end}", summary.exit_code)
}

/// Exit and grade, or why there is no grade.
fn outcome(summary: &Summary) -> String {
    let grade = match &summary.grade {
        None => format!("no grade: none is given for {}", summary.run.workload),
        Some(Grade { result: Some(level), .. }) => format!("grade {}", level.name()),
        Some(Grade { result: None, why, .. }) => format!("no grade: {why}"),
    };
    format!("exit {}; {grade}", exit(summary))
}

/// The grade with its parts, or why there is none.
pub(crate) fn grade_line(grade: &Grade) -> String {
    let parts = [
        ("delivery", grade.parts.delivery.result.map(|level| level.name()), &grade.parts.delivery.why),
        ("spread", grade.parts.spread.result.map(|level| level.name()), &grade.parts.spread.why),
        ("re-convergence", grade.parts.reconvergence.result.map(|level| level.name()), &grade.parts.reconvergence.why),
        ("sync", grade.parts.sync.result.map(|level| level.name()), &grade.parts.sync.why),
    ];
    let parts: Vec<String> =
        parts.iter().map(|(part, level, why)| format!("{part} {} ({why})", level.unwrap_or("not graded"))).collect();
    let result = grade.result.map_or("none", |level| level.name());
    format!("{result}: {}; {}", grade.why, parts.join(", "))
}
