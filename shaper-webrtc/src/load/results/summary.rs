//! A run in figures.

use std::time::Duration;

use super::findings::SLIP_MS;
use super::{ClientResult, Level, Percentiles, Summary, Tester, Threshold};
use crate::load::config::Target;
use crate::load::latency::Latency;

/// What is known of a run beside its clients.
pub(crate) struct Run {
    pub(crate) target: Target,
    pub(crate) started_realtime_ns: u64,
    pub(crate) started_monotonic_ns: u64,
    pub(crate) took: Duration,
    pub(crate) interrupted: bool,
    pub(crate) slip: Latency,
    pub(crate) e2e: Latency,
    pub(crate) packet_log_lost: u64,
    pub(crate) tester: Tester,
}

fn ratio(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

/// Everything but the findings.
pub(crate) fn summary(clients: &[ClientResult], run: &Run) -> Summary {
    let sum = |of: fn(&ClientResult) -> u64| clients.iter().map(of).sum::<u64>();
    let mut connection_time = Latency::default();
    for millis in clients.iter().filter_map(|client| client.connection_time_ms) {
        connection_time.record(Duration::try_from_secs_f64(millis / 1e3).unwrap_or_default());
    }
    let acknowledged = clients.iter().any(|client| client.acknowledged == Some(true));
    let received = sum(|client| client.total_packets_received);
    let mut summary = Summary {
        total_clients: clients.len() as u64,
        successful_connections: sum(|client| u64::from(client.connection_successful)),
        total_errors: sum(|client| client.errors.len() as u64),
        total_packets_sent: sum(|client| client.total_packets_sent),
        total_packets_received: received,
        total_bytes_sent: sum(|client| client.total_bytes_sent),
        total_bytes_received: sum(|client| client.total_bytes_received),
        total_producers_created: sum(|client| client.producers_created),
        total_consumers_created: sum(|client| client.consumers_created),
        packets_expected: sum(|client| client.packets_expected),
        packets_lost: sum(|client| client.packets_lost),
        packets_repaired: sum(|client| client.packets_repaired),
        connection_time: Percentiles::of(&connection_time),
        e2e: Percentiles::of(&run.e2e),
        schedule_slip: Percentiles::of(&run.slip),
        frames_skipped: sum(|client| client.slip.skipped),
        packet_log_lost: run.packet_log_lost,
        started_realtime_ns: run.started_realtime_ns,
        started_monotonic_ns: run.started_monotonic_ns,
        seconds: run.took.as_secs_f64(),
        interrupted: run.interrupted,
        media_flowed: received > 0 || (run.target == Target::Whip && acknowledged),
        tester: run.tester.clone(),
        ..Summary::default()
    };
    summary.received_of_expected = ratio(received, summary.packets_expected);
    summary.received_to_sent = ratio(received, summary.total_packets_sent);
    for stage in clients.iter().filter_map(|client| client.failed_stage) {
        *summary.failed_stages.entry(stage).or_default() += 1;
    }
    summary.thresholds = thresholds(&summary, run.target);
    let worst = summary.thresholds.iter().map(|threshold| threshold.level).max();
    summary.verdict = if summary.media_flowed { worst.unwrap_or_default() } else { Level::Critical };
    summary
}

fn thresholds(summary: &Summary, target: Target) -> Vec<Threshold> {
    let percent = |ratio: Option<f64>| ratio.map_or(f64::NAN, |ratio| ratio * 100.0);
    let connected = percent(ratio(summary.successful_connections, summary.total_clients));
    let mut thresholds = vec![
        Threshold::at_least("connections", connected, "%", 100.0, 95.0),
        // Counts are far below 2^52.
        Threshold::at_most("errors", summary.total_errors as f64, "", 0.0, 5.0),
    ];
    if target != Target::Whip {
        let received = if summary.received_of_expected.is_some() { percent(summary.received_of_expected) } else { 0.0 };
        thresholds.push(Threshold::at_least("received", received, "%", 99.9, 95.0));
    }
    if let Some(slip) = &summary.schedule_slip {
        thresholds.push(Threshold::at_most("slip", slip.p99_ms, "ms", SLIP_MS, 5.0 * SLIP_MS));
    }
    if summary.frames_skipped > 0 {
        thresholds.push(Threshold::at_most("skipped", summary.frames_skipped as f64, "", 0.0, 5.0));
    }
    thresholds
}
