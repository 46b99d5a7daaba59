//! What was asked of the link, what it did, and what proves it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::agreement::Agree;
use crate::stats::{Distribution, Interval, Proportion};

/// One direction of the link.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Direction {
    /// What was asked for.
    pub configured: Configured,
    /// What was got.
    pub measured: Measured,
    /// Whether the two agree.
    pub agree: Agree,
}

/// What was asked of a direction, as resolved.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Configured {
    /// The base delay, in milliseconds.
    pub delay_ms: f64,
    /// The jitter around it, in milliseconds: half-width for uniform, sigma for normal.
    pub jitter_ms: f64,
    /// The jitter's distribution: `none`, `uniform`, `normal`.
    pub distribution: String,
    /// The mean of the delay once cut at zero, in milliseconds.
    pub delay_mean_ms: f64,
    /// The median of the delay once cut at zero, in milliseconds.
    pub delay_p50_ms: f64,
    /// Its 95th percentile, in milliseconds.
    pub delay_p95_ms: f64,
    /// Its 99th percentile, in milliseconds.
    pub delay_p99_ms: f64,
    /// The share of packets that the cut at zero gives no delay at all, 0 to 1.
    pub delay_zero_ratio: f64,
    /// `keep`: never before the predecessor. `free`: each at its own time.
    pub order: String,
    /// With `order` = `keep`: by how much, in milliseconds, packets are expected to be pushed back behind
    /// their predecessors, on average; null otherwise.
    pub expected_shift_ms: Option<Interval>,
    /// Packets lost over packets in the long run, 0 to 1.
    pub loss_ratio: f64,
    /// Packets lost in a row in the mean, where losses are correlated; null where each is lost on its own.
    #[serde(default)]
    pub loss_burst: Option<f64>,
    /// The rate of the bottleneck, in bits per second; null for unlimited.
    pub rate_bps: Option<u64>,
    /// The longest time in the queue before the bottleneck, in milliseconds; null without one.
    pub queue_ms: Option<f64>,
    /// Outages that start in a second, on average.
    pub outages_per_s: f64,
    /// How long an outage lasts, in milliseconds.
    pub outage_ms: f64,
    /// The outages of this run, drawn from the seed or scripted.
    pub outage_windows: Vec<Window>,
}

/// A span of time since the start of the run: start included, end excluded.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Window {
    /// When it starts, in milliseconds since the start of the run.
    pub start_ms: f64,
    /// When it ends, in milliseconds since the start of the run.
    pub end_ms: f64,
}

/// What a direction did, from the engine's records; losses of the harness are not among these, see
/// [`Conservation`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// Packets offered to the rule.
    pub packets: u64,
    /// Packets the fate let through.
    pub forwarded: u64,
    /// Lost by the loss model, among the packets outside outage windows.
    pub loss: Proportion,
    /// Dropped because the link was down, among all packets.
    pub outage: Proportion,
    /// Dropped by the full queue, among all packets that reached it.
    pub queue: Proportion,
    /// Intended delay of the packets let through (release decided minus arrival), in milliseconds; lost
    /// packets do not count.
    pub intended_delay_ms: Distribution,
    /// Of the packets let through, those that drew no delay: without the queue's time, and without the
    /// push-back of a kept order.
    pub zero_delay: Proportion,
    /// Actual minus intended release of the packets let through, in microseconds.
    pub lateness_us: Distribution,
    /// One-way delay between the two captures (RFC 7679), in milliseconds; null without captures.
    pub one_way_delay_ms: Option<Distribution>,
    /// Reordered packets among those received, duplicates left out (RFC 4737); null without captures.
    pub reordered: Option<Proportion>,
    /// With `order` = `keep`: the mean push-back behind predecessors, in milliseconds; null otherwise.
    pub shift_ms: Option<f64>,
    /// Offered load, in bits per second over the time of the run.
    pub offered_bps: Option<f64>,
    /// Packets lost in a row by the loss model, in the mean; null where none was lost.
    #[serde(default)]
    pub loss_burst: Option<f64>,
    /// What became of packets by rule, in the order of the rules; the figures above are of packets that none matched,
    /// but for `packets`, `forwarded`, `lateness_us`, `one_way_delay_ms`, `reordered` and `offered_bps`, which are of all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<RuleCounts>,
}

/// The packets that went by a rule.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RuleCounts {
    /// Its name.
    pub name: String,
    /// Packets.
    pub packets: u64,
    /// Of them, those let through.
    pub forwarded: u64,
    /// Of them, those dropped, by cause; causes without any are left out.
    pub dropped: BTreeMap<String, u64>,
}

impl Default for Measured {
    fn default() -> Self {
        Self {
            packets: 0,
            forwarded: 0,
            loss: Proportion::of(0, 0),
            outage: Proportion::of(0, 0),
            queue: Proportion::of(0, 0),
            intended_delay_ms: Distribution::default(),
            zero_delay: Proportion::of(0, 0),
            lateness_us: Distribution::default(),
            one_way_delay_ms: None,
            reordered: None,
            shift_ms: None,
            offered_bps: None,
            loss_burst: None,
            rules: Vec::new(),
        }
    }
}

/// The replay of the recorded arrivals, in the order of the decisions, by the userspace build of the decision.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Oracle {
    /// Packets whose kernel fate was compared.
    pub checked: u64,
    /// Packets whose record is missing.
    pub unchecked: u64,
    /// Packets that were not to be recorded.
    #[serde(default)]
    pub left_out: u64,
    /// Compared packets whose fates differ.
    pub mismatches: u64,
    /// The first difference, in words; null where there is none.
    pub first_mismatch: Option<String>,
}

/// The causes that are losses of the harness, not of the link.
pub const HARNESS_CAUSES: [&str; 6] = ["entry", "metadata", "redirect", "rx_ring", "fill_ring", "transmit"];

/// Where every packet went: in + copies = out + drops by cause + held + difference.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Conservation {
    /// The sum over all directions.
    #[serde(flatten)]
    pub total: Counts,
    /// The same of each direction.
    pub by_direction: BTreeMap<String, Counts>,
}

/// The packet counts of one direction, or of all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Packets that arrived.
    #[serde(rename = "in")]
    pub arrived: u64,
    /// Packets made by duplication.
    pub copies: u64,
    /// Packets sent on.
    pub out: u64,
    /// Packets dropped, by cause: `outage`, `loss`, `queue` of the link; `entry`, `metadata`, `redirect`,
    /// `rx_ring`, `fill_ring`, `transmit` of the harness.
    pub dropped_by_cause: BTreeMap<String, u64>,
    /// Packets still in the delay line after the drain.
    pub held: u64,
    /// What cannot be accounted for: `in + copies - out - dropped - held`. Zero, or something is wrong.
    pub difference: i64,
}

impl Counts {
    /// The counts, with the difference that they leave.
    #[must_use]
    pub fn new(arrived: u64, copies: u64, out: u64, dropped_by_cause: BTreeMap<String, u64>, held: u64) -> Self {
        let gone = dropped_by_cause.values().fold(u128::from(out) + u128::from(held), |sum, n| sum + u128::from(*n));
        let difference = i128::from(arrived) + i128::from(copies) - gone as i128;
        let difference = i64::try_from(difference).unwrap_or(if difference < 0 { i64::MIN } else { i64::MAX });
        Self { arrived, copies, out, dropped_by_cause, held, difference }
    }

    /// Packets dropped because the trace that they follow was not there.
    #[must_use]
    pub fn without_trace(&self) -> u64 {
        self.dropped_by_cause.get("trace").copied().unwrap_or(0)
    }

    /// Packets the harness itself lost.
    #[must_use]
    pub fn lost_by_harness(&self) -> u64 {
        HARNESS_CAUSES.iter().filter_map(|cause| self.dropped_by_cause.get(*cause)).sum()
    }
}

impl Conservation {
    /// The counts of each direction and their sum.
    #[must_use]
    pub fn new(by_direction: BTreeMap<String, Counts>) -> Self {
        let mut total = Counts::default();
        for counts in by_direction.values() {
            total.arrived += counts.arrived;
            total.copies += counts.copies;
            total.out += counts.out;
            total.held += counts.held;
            total.difference += counts.difference;
            for (cause, dropped) in &counts.dropped_by_cause {
                *total.dropped_by_cause.entry(cause.clone()).or_default() += dropped;
            }
        }
        Self { total, by_direction }
    }
}

/// How late frames left, beside what this host's timers can do.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Lateness {
    /// Actual minus intended release by direction, in microseconds.
    pub delay_line_us: BTreeMap<String, Distribution>,
    /// The error of this host's own timer when idle, measured in the same run, in microseconds; null where
    /// it was not measured.
    pub host_idle_timer_us: Option<Distribution>,
    /// The largest p99 of the delay line over the p99 of the host's idle timer; null where either is
    /// missing or zero.
    pub ratio_p99: Option<f64>,
}

impl Lateness {
    /// The lateness by direction beside the host's timer error, with their ratio.
    #[must_use]
    pub fn new(delay_line_us: BTreeMap<String, Distribution>, host_idle_timer_us: Option<Distribution>) -> Self {
        let worst = delay_line_us.values().filter_map(|one| one.p99).max_by(f64::total_cmp);
        let host = host_idle_timer_us.as_ref().and_then(|host| host.p99).filter(|p99| *p99 > 0.0);
        let ratio_p99 = worst.zip(host).map(|(worst, host)| worst / host);
        Self { delay_line_us, host_idle_timer_us, ratio_p99 }
    }
}

/// What a capture point saw.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CaptureCounts {
    /// Packets that passed the filter.
    pub received: u64,
    /// Packets the capture itself lost, which are not lost by the network.
    pub dropped: u64,
    /// Packets in the file.
    pub written: u64,
}

/// The join of both captures with the engine's records, packet by packet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Join {
    /// Records joined with their packets.
    pub joined: u64,
    /// Records whose key several packets share; paired in order.
    pub ambiguous: u64,
    /// Records whose packet is missing in the sender's capture.
    pub not_in_a: u64,
    /// Records let through whose packet is missing in the receiver's capture.
    pub not_in_b: u64,
    /// Packets that the records say were dropped and the receiver's capture holds, or that were captured behind
    /// the link before they were to leave it.
    pub contradictions: u64,
    /// Packets captured while the link carried packets that no record knows of.
    #[serde(default)]
    pub unrecorded: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_difference_is_what_the_counts_do_not_explain() {
        let drops = BTreeMap::from([("loss".to_owned(), 5), ("fill_ring".to_owned(), 3)]);
        let counts = Counts::new(100, 2, 90, drops, 1);
        assert_eq!((counts.difference, counts.lost_by_harness()), (3, 3));
        let total = Conservation::new(BTreeMap::from([("a".to_owned(), counts.clone()), ("b".to_owned(), counts)]));
        assert_eq!((total.total.arrived, total.total.difference, total.total.dropped_by_cause["loss"]), (200, 6, 10));
    }

    #[test]
    fn the_lateness_ratio_needs_both_sides() {
        let late = |p99| Distribution { p99: Some(p99), ..Distribution::default() };
        let line = BTreeMap::from([("a_to_b".to_owned(), late(60.0)), ("b_to_a".to_owned(), late(90.0))]);
        assert_eq!(Lateness::new(line.clone(), Some(late(300.0))).ratio_p99, Some(0.3));
        assert_eq!(Lateness::new(line.clone(), Some(late(0.0))).ratio_p99, None);
        assert_eq!(Lateness::new(line, None).ratio_p99, None);
    }
}
