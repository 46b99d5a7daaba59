//! Captures, records and logs put on one clock and joined packet by packet.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddrV4;

use shaper_common::units::Nanos;
use shaper_engine::DirectionOutcome;
use shaper_engine::clock::ClockSample;
use shaper_report::html::{CommandPoint, DirectionPlot, Outcome, PacketPoint, Plots};
use shaper_report::summary::Summary;

use super::directory::RunDirectory;
use super::execute::Evidence;
use super::plan::Plan;
use super::{commands, judge};

/// A TOAST datagram, named so that it can be found at both ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct ToastPacket {
    pub(super) source: SocketAddrV4,
    pub(super) session: u32,
    pub(super) sequence: u32,
    pub(super) burst_index: u8,
}

/// What was found when everything was put together.
pub(super) struct Correlated {
    clock: Vec<ClockSample>,
    /// When a host's tap saw a datagram for the first time, by host.
    toast: HashMap<String, HashMap<ToastPacket, i64>>,
}

impl Correlated {
    /// The wall clock's reading at a CLOCK_MONOTONIC time; `None` without a bracketed reading.
    pub(super) fn epoch(&self, monotonic: u64) -> Option<i64> {
        let after = self.clock.partition_point(|sample| sample.before <= monotonic);
        let sample = self.clock.get(after.saturating_sub(1))?;
        let middle = sample.before.midpoint(sample.after);
        i64::try_from(i128::from(sample.realtime) + i128::from(monotonic) - i128::from(middle)).ok()
    }

    /// When the tap of `host` first saw the datagram.
    pub(super) fn seen(&self, host: &str, packet: &ToastPacket) -> Option<i64> {
        self.toast.get(host)?.get(packet).copied()
    }
}

pub(super) fn correlate(
    _plan: &Plan,
    evidence: &Evidence,
    _directory: &RunDirectory,
    _summary: &mut Summary,
) -> anyhow::Result<Correlated> {
    Ok(Correlated { clock: evidence.clocks.clone(), toast: HashMap::new() })
}

/// Points of the configured distribution function in a plot.
const CDF_POINTS: u32 = 200;

/// What the report draws.
pub(super) fn plots(plan: &Plan, evidence: &Evidence) -> Plots {
    let compiled = evidence.links.iter().flat_map(|link| [&link.a_to_b, &link.b_to_a]);
    let directions: BTreeMap<String, DirectionPlot> = evidence
        .outcome
        .directions
        .iter()
        .zip(compiled)
        .map(|(outcome, compiled)| {
            let delay = &compiled.expected.delay;
            let points = if outcome.spec.params.rate.0 == 0 { CDF_POINTS } else { 0 };
            let configured_cdf = (0..points)
                .map(|point| {
                    let share = f64::from(point) / f64::from(CDF_POINTS - 1) * 0.999;
                    let at = delay.quantile(share);
                    (at.0 as f64 / 1e6, delay.cdf(at))
                })
                .collect();
            let plot = DirectionPlot {
                packets: packets(outcome, evidence.start),
                intended_ns: judge::forwarded(outcome).map(judge::delay_ns).collect(),
                configured_cdf,
                lateness_us: judge::lateness_ns(outcome).iter().map(|ns| *ns as f64 / 1e3).collect(),
            };
            (outcome.spec.name.clone(), plot)
        })
        .collect();
    let commands = commands::times_to_state(evidence, &plan.peer_names())
        .into_iter()
        .map(|(at_ns, time_to_state_ns)| CommandPoint { at_ns, time_to_state_ns })
        .collect();
    Plots { directions, commands }
}

fn packets(outcome: &DirectionOutcome, start: Nanos) -> Vec<PacketPoint> {
    let actual: HashMap<u64, Nanos> =
        outcome.releases.iter().filter(|release| release.sent).map(|release| (release.id, release.actual)).collect();
    outcome
        .records
        .iter()
        .map(|record| {
            let at_ns = record.arrival.saturating_sub(start).0;
            let outcome = match (record.cause(), actual.get(&record.id())) {
                (Some(shaper_common::fate::Cause::None), Some(actual)) => {
                    Outcome::Delivered { delay_ns: actual.saturating_sub(record.arrival).0 }
                }
                (Some(shaper_common::fate::Cause::None), None) => Outcome::Dropped { cause: "harness".into() },
                (Some(cause), _) => Outcome::Dropped { cause: cause.name().into() },
                (None, _) => Outcome::Dropped { cause: "unknown".into() },
            };
            PacketPoint { at_ns, outcome }
        })
        .collect()
}
