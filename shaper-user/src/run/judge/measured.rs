//! What a direction did, from its records and its account.

use shaper_common::fate::Cause;
use shaper_common::layout::Record;
use shaper_common::order::Order;
use shaper_engine::{DirectionOutcome, Recording};
use shaper_report::stats::{Distribution, Missing, Proportion};
use shaper_report::summary::{Measured, RuleCounts};

use crate::run::decided::{delay_ns, forwarded, own, shift_ms};

/// What stands beside the direction's settings is of packets that no rule matched; those of rules have rows of their own.
/// What takes all records, or a fair sample of them, is left out where there is no such; `drawn` are the delays that the checks get: neither queueing nor push-back is in them.
pub(super) fn measured(
    recording: Recording,
    outcome: &DirectionOutcome,
    names: &[String],
    inflation: f64,
    drawn: &[u64],
    late: &[i64],
) -> Measured {
    let account = &outcome.account;
    let [outage, loss, queue] = [Cause::Outage, Cause::Loss, Cause::Queue].map(|cause| own_drops(outcome, cause));
    let by_rules: u64 = outcome.by_rule.iter().map(|(packets, _)| packets).sum();
    let arrived = account.arrived.saturating_sub(by_rules);
    let offered = arrived.saturating_sub(outage);
    let delays: Vec<u64> = forwarded(outcome).map(delay_ns).collect();
    let zero = drawn.iter().filter(|delay| **delay == 0).count() as u64;
    let is_whole = recording == Recording::All;
    let of = if is_whole { arrived } else { own(outcome).count() as u64 };
    let span = outcome
        .records
        .last()
        .zip(outcome.records.first())
        .filter(|_| is_whole)
        .map(|(last, first)| last.arrival().saturating_sub(first.arrival()));
    let bits: u64 = outcome.records.iter().map(|record| u64::from(record.packet.len) * 8).sum();
    let kept_order = outcome.spec.channel.params.order == Order::Keep as u32;
    Measured {
        packets: account.arrived,
        forwarded: account.arrived - link_drops(outcome),
        loss: Proportion::correlated(loss, offered, inflation),
        outage: Proportion::of(outage, arrived),
        queue: Proportion::of(queue, offered.saturating_sub(loss)),
        zero_delay: Proportion::of(zero, drawn.len() as u64),
        intended_delay_ms: Distribution::with_missing(
            delays.iter().map(|ns| *ns as f64 / 1e6).collect(),
            of.saturating_sub(delays.len() as u64),
            Missing::Excluded,
        ),
        lateness_us: Distribution::of(late.iter().map(|ns| *ns as f64 / 1e3).collect()),
        one_way_delay_ms: None,
        reordered: None,
        shift_ms: kept_order.then(|| shift_ms(outcome)).flatten(),
        // Losses in a row take the records of all drops.
        loss_burst: loss_burst(own(outcome)).filter(|_| is_whole || recording == Recording::Drops),
        rules: by_rule(outcome, names),
        offered_bps: span.filter(|span| span.0 > 0).map(|span| bits as f64 * 1e9 / span.0 as f64),
    }
}

/// Packets that the link dropped, for whatever cause of its own.
fn link_drops(outcome: &DirectionOutcome) -> u64 {
    let dropped = outcome.account.dropped.iter();
    dropped.filter(|(cause, _)| !cause.is_of_the_harness()).map(|(_, count)| count).sum()
}

/// Packets that the direction's own settings dropped for this cause: those of the account that no rule dropped.
fn own_drops(outcome: &DirectionOutcome, cause: Cause) -> u64 {
    let by_rules = outcome.by_rule.iter().flat_map(|(_, counts)| counts.dropped());
    let by_rules: u64 = by_rules.filter(|(of, _)| *of == cause).map(|(_, count)| count).sum();
    outcome.account.dropped_by(cause).saturating_sub(by_rules)
}

/// Packets lost in a row by the loss model, in the mean: of those whose neighbours are recorded.
fn loss_burst<'a>(records: impl Iterator<Item = &'a Record>) -> Option<f64> {
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
