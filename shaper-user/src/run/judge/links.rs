//! What each direction of the links was to do, what it did, and whether they agree.

use std::collections::BTreeMap;

use shaper_common::fate::Cause;
use shaper_common::order::Order;
use shaper_common::units::Nanos;
use shaper_engine::Account;
use shaper_profile::CompiledDirection;
use shaper_report::agreement::LatenessBound;
use shaper_report::stats::{Distribution, Interval};
use shaper_report::summary::{Configured, Conservation, Counts, Direction, Lateness, Summary, Window};

use super::checks::{checks, declared, stream};
use super::findings::{LATENESS_MOST, findings};
use super::measured::measured;
use crate::run::decided::{drawn, lateness_ns};
use crate::run::execute::Evidence;
use crate::run::plan::Plan;

/// A delay line's p99 lateness is held against so many times the p99 of the host's own idle timer …
const LATENESS_FACTOR: f64 = 4.0;
/// … and never less than this …
const LATENESS_FLOOR: Nanos = Nanos(1_000_000);

/// What the link did, from the engine's evidence.
pub(super) fn links(plan: &Plan, evidence: &Evidence, summary: &mut Summary) -> anyhow::Result<()> {
    let compiled: Vec<&CompiledDirection> =
        evidence.links.iter().flat_map(|link| [&link.a_to_b, &link.b_to_a]).collect();
    let mut family = declared(plan, &compiled);
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
        let measured =
            measured(plan.recording, outcome, &compiled.rule_names, compiled.expected.loss.inflation, &delays, &late);
        let agree = checks(plan, outcome, compiled, &delays, &late, &bound, &mut family)?;
        lateness.insert(name.clone(), measured.lateness_us.clone());
        conservation.insert(name.clone(), counted(&outcome.account));
        summary.bypassed += outcome.account.bypassed;
        summary.unread += outcome.account.unread;
        summary.flows_evicted += outcome.account.flows_evicted;
        summary.oracle.checked += outcome.oracle.checked;
        let on_record = outcome.oracle.checked + outcome.oracle.undecided;
        let left_out = outcome.recorded.left_out;
        summary.oracle.left_out += left_out;
        summary.oracle.unchecked += outcome.account.arrived.saturating_sub(on_record + left_out);
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

fn counted(account: &Account) -> Counts {
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

/// The nearest-rank quantile of ascending values; zero of none.
fn nearest(ascending: &[u64], q: f64) -> u64 {
    let rank = (q * ascending.len() as f64).ceil() as usize;
    ascending.get(rank.saturating_sub(1)).copied().unwrap_or(0)
}
