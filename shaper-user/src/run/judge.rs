//! From evidence to a summary: what was asked for beside what was got, and what must be said of it.

use std::collections::BTreeMap;

use anyhow::Context;
use shaper_common::fate::Cause;
use shaper_common::layout::{Params, Record, flags};
use shaper_common::order::Order;
use shaper_common::units::Nanos;
use shaper_engine::{Account, DirectionOutcome};
use shaper_profile::CompiledDirection;
use shaper_profile::loss::LossOutcome;
use shaper_profile::shift::{MISSES, Stream};
use shaper_report::agreement::{self, Agree, Agreement, Family, LatenessBound, OutageCounts};
use shaper_report::stats::{Distribution, Interval, Missing, Proportion};
use shaper_report::summary::{
    Configured, Conservation, Counts, Direction, Lateness, Measured, Oracle, RuleCounts, Run, Severity, Summary, Window,
};

use super::commands;
use super::correlate;
use super::decided::{drawn, own, rate, shift_ms};
use super::directory::RunDirectory;
use super::execute::Evidence;
use super::manifest;
use super::plan::{Plan, Workload};
use super::probe;
use crate::preview::{RECORDS, write_records};

/// The name of the check that this host's load decides.
const LATENESS: &str = "lateness";
/// Statistical checks of each direction: loss, share at zero, distribution.
const CHECKS: usize = 3;
/// A delay line's p99 lateness is held against so many times the p99 of the host's own idle timer …
const LATENESS_FACTOR: f64 = 4.0;
/// … and never less than this …
const LATENESS_FLOOR: Nanos = Nanos(1_000_000);
/// … nor more: a host that noisy cannot show that a delay was kept. Where half of a direction's packets are later than
/// that, the run is not what was asked for.
const LATENESS_MOST: Nanos = Nanos(5_000_000);
/// Packets that a median is taken of: fewer are late for reasons of their own.
const MEDIAN_NEEDED: u64 = 20;

/// Judges a run and writes the rest of its directory.
pub(super) fn judge(plan: &Plan, evidence: &Evidence, directory: &RunDirectory) -> anyhow::Result<Summary> {
    let mut summary = Summary::new(Run {
        name: plan.name.clone(),
        workload: plan.workload.name().into(),
        profile: plan.profile.name.clone(),
        seed: plan.seed,
        duration_s: plan.duration.as_secs_f64(),
        started: manifest::utc(evidence.started),
        kernel: manifest::kernel(),
        engine: "xsk".into(),
        xdp_mode: Some("driver".into()),
        version: env!("CARGO_PKG_VERSION").into(),
    });
    link(plan, evidence, &mut summary)?;
    records(evidence, directory, &mut summary)?;
    let correlated = correlate::correlate(plan, evidence, directory, &mut summary)?;
    match &plan.workload {
        Workload::Toast(toast) => commands::judge(plan, toast, evidence, &correlated, &mut summary)?,
        Workload::Probe(_) => probe::judge(evidence, &mut summary)?,
    }
    if evidence.interrupted {
        summary.find(Severity::Error, "the run was interrupted: its figures hold for the time it ran");
    }
    for broken in &evidence.broken {
        summary.find(Severity::Error, format!("{broken}: what it measured is not complete"));
    }
    withhold_grade(&mut summary);
    let failed = summary.findings.iter().any(|finding| finding.severity == Severity::Error)
        || summary.expectations.iter().any(|expectation| !expectation.held);
    summary.exit_code = u8::from(failed);
    directory.write("summary.json", summary.to_json()?.as_bytes())?;
    let plots = correlate::plots(plan, evidence);
    directory.write("report.html", shaper_report::html::report(&summary, &plots)?.as_bytes())?;
    Ok(summary)
}

/// Writes what was decided for each packet.
fn records(evidence: &Evidence, directory: &RunDirectory, summary: &mut Summary) -> anyhow::Result<()> {
    let directions = evidence.outcome.directions.iter().map(|direction| direction.records.as_slice());
    let file = directory.make(RECORDS)?;
    let (all, written) =
        write_records(file, evidence.start, directions).with_context(|| directory.unwritten(RECORDS))?;
    if written < all {
        summary.find(
            Severity::Note,
            format!("{RECORDS} holds the first {written} of {all} decisions: no other is decided again by preview"),
        );
    }
    Ok(())
}

/// A run with errors is not graded: nobody knows what its figures stand for.
fn withhold_grade(summary: &mut Summary) {
    let errors = summary.findings.iter().filter(|finding| finding.severity == Severity::Error).count();
    if let Some(grade) = &mut summary.grade
        && errors > 0
        && grade.result.is_some()
    {
        grade.result = None;
        grade.why = format!("withheld, for the run has {errors} errors");
    }
}

/// What the link did, from the engine's evidence.
fn link(plan: &Plan, evidence: &Evidence, summary: &mut Summary) -> anyhow::Result<()> {
    let compiled: Vec<&CompiledDirection> =
        evidence.links.iter().flat_map(|link| [&link.a_to_b, &link.b_to_a]).collect();
    let shifts = compiled.iter().filter(|compiled| states_shift(plan, &compiled.channel.params)).count();
    let declared = CHECKS * compiled.len() + shifts;
    let mut family = Family::declare(u32::try_from(declared).unwrap_or(u32::MAX));
    let idle: Vec<f64> = evidence.idle_errors.iter().map(|ns| *ns as f64 / 1e3).collect();
    let idle_p99 = nearest(&evidence.idle_errors, 0.99);
    let bound = LatenessBound::beside_host(idle_p99, LATENESS_FACTOR, LATENESS_FLOOR.0);
    let bound = LatenessBound { p99: bound.p99.min(LATENESS_MOST.0), ..bound };
    let mut conservation = BTreeMap::new();
    let mut lateness = BTreeMap::new();
    for (outcome, compiled) in evidence.outcome.directions.iter().zip(compiled) {
        let name = outcome.spec.name.clone();
        let late = lateness_ns(outcome);
        let delays = drawn(outcome);
        let measured = measured(outcome, &compiled.rule_names, compiled.expected.loss.inflation, &delays, &late);
        let agree = agreement(plan, outcome, compiled, &delays, &late, &bound, &mut family)?;
        lateness.insert(name.clone(), measured.lateness_us.clone());
        conservation.insert(name.clone(), counts(&outcome.account));
        summary.bypassed += outcome.account.bypassed;
        summary.oracle.checked += outcome.oracle.checked;
        summary.oracle.unchecked += outcome.account.arrived.saturating_sub(outcome.oracle.checked);
        summary.oracle.mismatches += outcome.oracle.mismatches;
        if let Some(first) = &outcome.oracle.first {
            summary.oracle.first_mismatch.get_or_insert_with(|| {
                format!(
                    "{name}: packet {} was decided {} at {} by the kernel and {} at {} by the oracle",
                    first.record.sequence,
                    first.record.cause().map_or("unknown", Cause::name),
                    first.record.release().0,
                    first.fate.cause.name(),
                    first.fate.release.0,
                )
            });
        }
        summary.directions.insert(name, Direction { configured: configured(plan, compiled), measured, agree });
    }
    summary.conservation = Conservation::new(conservation);
    summary.lateness = Lateness::new(lateness, Some(Distribution::of(idle)));
    findings(evidence, summary);
    Ok(())
}

fn findings(evidence: &Evidence, summary: &mut Summary) {
    let Oracle { mismatches, unchecked, ref first_mismatch, .. } = summary.oracle;
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

fn counts(account: &Account) -> Counts {
    let dropped = account.dropped.iter().map(|(cause, count)| (cause.name().to_owned(), *count)).collect();
    Counts::new(account.arrived, account.copies, account.out, dropped, account.held)
}

fn configured(plan: &Plan, compiled: &CompiledDirection) -> Configured {
    let told = compiled.expected.configured(stream(plan, &compiled.channel.params));
    Configured {
        delay_ms: told.delay_ms,
        jitter_ms: told.jitter_ms,
        distribution: match compiled.channel.params.jitter_kind {
            0 => "none".to_owned(),
            _ => told.distribution.to_string(),
        },
        delay_mean_ms: told.delay_mean_ms,
        delay_p50_ms: told.delay_p50_ms,
        delay_p95_ms: told.delay_p95_ms,
        delay_p99_ms: told.delay_p99_ms,
        delay_zero_ratio: told.delay_zero_share,
        order: match Order::from_raw(compiled.channel.params.order) {
            Some(Order::Keep) => "keep",
            _ => "free",
        }
        .into(),
        expected_shift_ms: told.order_shift.map(|shift| Interval { low: shift.low_ms, high: shift.high_ms }),
        loss_ratio: told.loss,
        loss_burst: told.loss_burst,
        rate_bps: told.rate_bps,
        queue_ms: told.queue_ms,
        outages_per_s: told.outages.rate_per_s,
        outage_ms: told.outages.length_ms,
        outage_windows: told
            .outages
            .windows
            .iter()
            .map(|window| Window { start_ms: window.start_ms, end_ms: window.end_ms })
            .collect(),
    }
}

/// The workload's steady stream in a direction: it runs from `a` to `b`, which is the even one.
fn stream(plan: &Plan, params: &Params) -> Option<Stream> {
    plan.stream().filter(|_| params.stream.is_multiple_of(2) && !params.slots.any())
}

/// Whether a kept order's shift is stated beforehand in a direction, and so checked: a statistical check more.
fn states_shift(plan: &Plan, params: &Params) -> bool {
    params.order == Order::Keep as u32 && stream(plan, params).is_some()
}

/// Actual minus intended release of each packet and each copy that left since the run began: while hosts come up nobody
/// measures.
pub(super) fn lateness_ns(outcome: &DirectionOutcome) -> Vec<i64> {
    let all = outcome.releases.iter().chain(&outcome.copies);
    let run = all.filter(|release| release.intended >= outcome.spec.channel.params.start);
    run.map(|release| release.actual.0.wrapping_sub(release.intended.0) as i64).collect()
}

pub(super) fn forwarded(outcome: &DirectionOutcome) -> impl Iterator<Item = &Record> {
    outcome.records.iter().filter(|record| record.fate.cause == Cause::None as u32)
}

pub(super) fn delay_ns(record: &Record) -> u64 {
    record.release().saturating_sub(record.arrival()).0
}

/// Packets lost in a row by the loss model, in the mean: of those whose neighbours are recorded.
fn loss_burst(records: &[Record]) -> Option<f64> {
    let (mut lost, mut bursts, mut within) = (0u64, 0u64, None);
    for record in records {
        if record.fate.cause == Cause::Loss as u32 {
            lost += 1;
            bursts += u64::from(within != Some(record.sequence));
            within = Some(record.sequence + 1);
        }
    }
    (bursts > 0).then(|| lost as f64 / bursts as f64)
}

/// What became of packets by rule.
fn by_rule(outcome: &DirectionOutcome, names: &[String]) -> Vec<RuleCounts> {
    let all = names.iter().zip(&outcome.by_rule);
    all.map(|(name, (packets, counts))| {
        let dropped = counts.dropped().into_iter().filter(|(_, count)| *count > 0);
        RuleCounts {
            name: name.clone(),
            packets: *packets,
            forwarded: counts.forwarded,
            dropped: dropped.map(|(cause, count)| (cause.name().to_owned(), count)).collect(),
        }
    })
    .collect()
}

/// Packets that the link dropped, for whatever cause of its own.
fn link_drops(outcome: &DirectionOutcome) -> u64 {
    let causes = [Cause::Outage, Cause::Loss, Cause::Queue, Cause::Aqm, Cause::Policer, Cause::InFlight];
    causes.into_iter().map(|cause| outcome.account.dropped_by(cause)).sum()
}

/// Packets that the loss model lost, marked ones among them, of those that it was asked about.
fn lost_of(outcome: &DirectionOutcome) -> (u64, u64) {
    let params = &outcome.spec.channel.params;
    let account = &outcome.account;
    if outcome.spec.rules.channels.is_empty() && params.flags & (flags::ECN | flags::LOSS_BEHIND) == 0 {
        return (account.dropped_by(Cause::Loss), account.arrived - account.dropped_by(Cause::Outage));
    }
    // What the account does not tell apart the records do: whom the rules left, and who was marked.
    let is_behind = params.flags & flags::LOSS_BEHIND != 0;
    let before = [Cause::Policer, Cause::Queue, Cause::Aqm].map(|cause| cause as u32);
    let asked = own(outcome).filter(|record| {
        record.fate.cause != Cause::Outage as u32 && !(is_behind && before.contains(&record.fate.cause))
    });
    let marks_are_losses = params.aqm == 0;
    asked.fold((0, 0), |(lost, asked), record| {
        let is_lost = record.fate.cause == Cause::Loss as u32 || (marks_are_losses && record.fate.marked != 0);
        (lost + u64::from(is_lost), asked + 1)
    })
}

/// `drawn` are the delays that the checks get: neither queueing nor push-back is in them.
fn measured(outcome: &DirectionOutcome, names: &[String], inflation: f64, drawn: &[u64], late: &[i64]) -> Measured {
    let account = &outcome.account;
    let outage = account.dropped_by(Cause::Outage);
    let loss = account.dropped_by(Cause::Loss);
    let queue = account.dropped_by(Cause::Queue);
    let offered = account.arrived - outage;
    let delays: Vec<u64> = forwarded(outcome).map(delay_ns).collect();
    let zero = drawn.iter().filter(|delay| **delay == 0).count() as u64;
    let span = outcome
        .records
        .last()
        .zip(outcome.records.first())
        .map(|(last, first)| last.arrival().saturating_sub(first.arrival()));
    let bits: u64 = outcome.records.iter().map(|record| u64::from(record.packet.len) * 8).sum();
    let kept_order = outcome.spec.channel.params.order == Order::Keep as u32;
    Measured {
        packets: account.arrived,
        forwarded: account.arrived - link_drops(outcome),
        loss: Proportion::correlated(loss, offered, inflation),
        outage: Proportion::of(outage, account.arrived),
        queue: Proportion::of(queue, offered - loss),
        zero_delay: Proportion::of(zero, drawn.len() as u64),
        intended_delay_ms: Distribution::with_missing(
            delays.iter().map(|ns| *ns as f64 / 1e6).collect(),
            account.arrived - delays.len() as u64,
            Missing::Excluded,
        ),
        lateness_us: Distribution::of(late.iter().map(|ns| *ns as f64 / 1e3).collect()),
        one_way_delay_ms: None,
        reordered: None,
        shift_ms: kept_order.then(|| shift_ms(outcome)).flatten(),
        loss_burst: loss_burst(&outcome.records),
        rules: by_rule(outcome, names),
        offered_bps: span.filter(|span| span.0 > 0).map(|span| bits as f64 * 1e9 / span.0 as f64),
    }
}

fn agreement(
    plan: &Plan,
    outcome: &DirectionOutcome,
    compiled: &CompiledDirection,
    delays: &[u64],
    late: &[i64],
    bound: &LatenessBound,
    family: &mut Family,
) -> anyhow::Result<Agree> {
    let params = &outcome.spec.channel.params;
    let expected = &compiled.expected;
    let mut all = Vec::new();
    if outcome.spec.channel.varies() {
        // Of settings that change each packet's fate is checked by the oracle, and shares are of no one setting.
        all.push(agreement::outages(&outages(outcome, compiled)));
        all.push(agreement::lateness(late, bound));
        return Ok(family.agree(all));
    }
    let (lost, offered) = lost_of(outcome);
    let level = family.level().context("a check was not declared")?;
    let LossOutcome { ratio, inflation, .. } = expected.loss;
    all.push(agreement::loss(level, lost, offered, ratio, agreement::ratio_tolerance(ratio), inflation));
    all.push(agreement::outages(&outages(outcome, compiled)));
    let levels =
        [family.level().context("a check was not declared")?, family.level().context("a check was not declared")?];
    if params.jitter_kind == shaper_common::delay::Jitter::None as u32 {
        all.push(agreement::constant_delay(delays, params.delay.0));
    } else {
        let cdf = |ns: f64| expected.delay.cdf(Nanos(ns.max(0.0) as u64));
        all.extend(agreement::intended_delays(levels, delays, cdf, expected.delay.zero_share()));
    }
    if params.rate.0 > 0 {
        all.push(rate(outcome));
    }
    if let Some(shift) = stream(plan, params).and_then(|stream| expected.shift(stream)) {
        let ms = |nanos: Nanos| nanos.0 as f64 / 1e6;
        let stated = Interval { low: ms(shift.low), high: ms(shift.high) };
        let level = family.level().context("a check was not declared")?;
        all.push(agreement::shift(level, shift_ms(outcome), delays.len() as u64, stated, MISSES));
    }
    all.push(agreement::lateness(late, bound));
    Ok(family.agree(all))
}

fn outages(outcome: &DirectionOutcome, compiled: &CompiledDirection) -> OutageCounts {
    let windows = &compiled.expected.windows;
    let mut counts = OutageCounts { windows: windows.len() as u64, ..OutageCounts::default() };
    for record in own(outcome) {
        let start = outcome.spec.channel.params.start;
        let since = record.arrival().saturating_sub(start);
        let inside =
            record.arrival() >= start && windows.iter().any(|window| window.start <= since && since < window.end);
        let dropped = record.fate.cause == Cause::Outage as u32;
        counts.packets += 1;
        counts.inside += u64::from(inside);
        counts.dropped_inside += u64::from(inside && dropped);
        counts.dropped_outside += u64::from(!inside && dropped);
    }
    counts
}

/// The nearest-rank quantile of ascending values; zero of none.
fn nearest(ascending: &[u64], q: f64) -> u64 {
    let rank = (q * ascending.len() as f64).ceil() as usize;
    ascending.get(rank.saturating_sub(1)).copied().unwrap_or(0)
}

#[cfg(test)]
mod tests;
