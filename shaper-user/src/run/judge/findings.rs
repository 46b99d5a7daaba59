//! What must be said of a run's links: what fails it, and what its reader is to know.

use shaper_common::units::Nanos;
use shaper_report::agreement::Agreement;
use shaper_report::summary::{Oracle, Severity, Summary};

use crate::run::execute::Evidence;

/// The name of the check that this host's load decides.
pub(super) const LATENESS: &str = "lateness";
/// … nor more: a host that noisy cannot show that a delay was kept. Where half of a direction's packets are later than
/// that, the run is not what was asked for.
pub(super) const LATENESS_MOST: Nanos = Nanos(5_000_000);
/// Packets that a median is taken of: fewer are late for reasons of their own.
const MEDIAN_NEEDED: u64 = 20;

pub(super) fn findings(evidence: &Evidence, summary: &mut Summary) {
    let Oracle { mismatches, unchecked, left_out, ref first_mismatch, .. } = summary.oracle;
    if mismatches > 0 {
        let first = first_mismatch.clone().unwrap_or_default();
        summary.find(Severity::Error, format!("the oracle disagrees with the kernel on {mismatches} packets: {first}"));
    }
    if unchecked > 0 {
        summary.find(
            Severity::Error,
            format!(
                "{unchecked} packets left no record: nobody knows what the kernel decided for them, nor when they were \
                 to leave: offer fewer packets a second, or stop what else wants this host's CPUs"
            ),
        );
    }
    let let_pass: u64 = evidence.outcome.directions.iter().map(|direction| direction.let_pass).sum();
    if let_pass > 0 {
        summary.find(
            Severity::Error,
            format!("{let_pass} packets passed unimpaired while the delay line did not come round"),
        );
    }
    if left_out > 0 {
        summary.find(
            Severity::Note,
            format!(
                "{left_out} decisions were not to be recorded: what takes their records, captures among it, is told of \
                 the others alone, or not judged"
            ),
        );
    }
    // Each by itself: in a sum one direction could make up for another.
    let open: Vec<String> = summary
        .conservation
        .by_direction
        .iter()
        .filter(|(_, counts)| counts.difference != 0 || counts.held != 0)
        .map(|(name, counts)| {
            format!("{name} {} held after the drain, {} unaccounted for", counts.held, counts.difference)
        })
        .collect();
    if !open.is_empty() {
        summary.find(Severity::Error, format!("the account does not close: {}", open.join("; ")));
    }
    let total = summary.conservation.total.clone();
    if total.lost_by_harness() > 0 {
        let lost = total.lost_by_harness();
        summary.find(
            Severity::Error,
            format!("the harness itself lost {lost} packets in its rings: they are no loss of the link; offer less or delay less"),
        );
    }
    let unknown = total.without_trace();
    if unknown > 0 {
        summary.find(
            Severity::Error,
            format!(
                "{unknown} packets found no trace: it was not laid down in time, or does not reach as far as their \
                 service; average its rows over longer"
            ),
        );
    }
    if summary.unread > 0 {
        let told = format!(
            "{} packets went by no rule, since their headers are cut short or go on farther than they are followed",
            summary.unread
        );
        summary.find(Severity::Warning, told);
    }
    if summary.flows_evicted > 0 {
        let told = format!(
            "{} times a flow was forgotten for another and would begin anew: give scope more flows",
            summary.flows_evicted
        );
        summary.find(Severity::Warning, told);
    }
    let kept: u64 = evidence.outcome.directions.iter().map(|direction| direction.records.len() as u64).sum();
    if kept < summary.oracle.checked {
        summary.find(
            Severity::Warning,
            format!(
                "of {} checked records the first {kept} were kept: delays, captures and plots are of those",
                summary.oracle.checked
            ),
        );
    }
    for (host, drops) in evidence.device_drops.iter().filter(|(_, drops)| *drops > 0) {
        summary.find(
            Severity::Warning,
            format!(
                "{host}'s own device dropped {drops} packets before any link saw them: they are no loss of the link"
            ),
        );
    }
    if evidence.outcome.leaked_frames > 0 {
        summary
            .find(Severity::Error, format!("{} frames of the delay line are nowhere", evidence.outcome.leaked_frames));
    }
    half_late(summary);
    refuted(summary);
}

/// Says where half of the packets left later than any bound on lateness allows: the link was another then.
fn half_late(summary: &mut Summary) {
    let most = LATENESS_MOST.0 as f64 / 1e3;
    let medians = summary.directions.iter().filter_map(|(name, direction)| {
        let late = &direction.measured.lateness_us;
        late.p50.filter(|p50| late.n >= MEDIAN_NEEDED && *p50 > most).map(|p50| (p50, name.clone()))
    });
    let mut late: Vec<(f64, String)> = medians.collect();
    late.sort_by(|(one, _), (other, _)| other.total_cmp(one));
    let Some((p50, name)) = late.first() else { return };
    let others = match late.len() {
        1 => String::new(),
        all => format!(", and in {} more directions half left too late", all - 1),
    };
    let text = format!(
        "{name}: half of the packets left more than {:.1} ms late, {:.0} ms is the most{others}: stop what else wants \
         this host's CPUs, or give the delay line one with --busy-poll",
        p50 / 1e3,
        most / 1e3,
    );
    summary.find(Severity::Error, text);
}

/// Says where the link did not do what was asked. Being late is a matter of this host's load and no failure of the
/// run; everything else is.
fn refuted(summary: &mut Summary) {
    /// More directions than this are counted instead of told one by one.
    const TOLD: usize = 3;
    let mut late = Vec::new();
    let mut wrong = Vec::new();
    for (name, direction) in &summary.directions {
        for check in direction.agree.checks.iter().filter(|check| check.result == Agreement::No) {
            // A release before its time is a defect, whatever the load.
            let early = direction.measured.lateness_us.min.is_some_and(|min| min < 0.0);
            let told = if check.name == LATENESS && !early { &mut late } else { &mut wrong };
            told.push((check.measured.unwrap_or(0.0), format!("{name}: {}: {}", check.name, check.detail)));
        }
    }
    late.sort_by(|(one, _), (other, _)| other.total_cmp(one));
    for (severity, checks) in [(Severity::Error, wrong), (Severity::Warning, late)] {
        let more = checks.len().saturating_sub(TOLD);
        for (_, text) in checks.into_iter().take(TOLD) {
            summary.find(severity, text);
        }
        if more > 0 {
            summary.find(severity, format!("and {more} more checks that do not agree; all are in summary.json"));
        }
    }
}
