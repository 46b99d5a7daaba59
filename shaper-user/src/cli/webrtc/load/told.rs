//! What people are told of a load.

use std::io::{self, Write};
use std::path::Path;

use shaper_profile::expectation::Judged;
use shaper_webrtc::load::results::{Percentiles, RESULTS_FILE, SUMMARY_FILE, Summary};

/// Prints the summary as a table.
pub(super) fn tell(summary: &Summary, judged: &[Judged], folder: &Path) -> io::Result<()> {
    let mut out = io::stdout().lock();
    let percent = |share: Option<f64>| share.map_or("-".to_owned(), |share| format!("{:.3} %", share * 100.0));
    let Summary { total_clients, successful_connections, .. } = summary;
    writeln!(out, "clients      {successful_connections} of {total_clients} connected, with media")?;
    let Summary { total_producers_created, total_consumers_created, .. } = summary;
    writeln!(out, "tracks       {total_producers_created} published, {total_consumers_created} subscriptions")?;
    let Summary { total_packets_sent, total_packets_received, packets_expected, packets_lost, .. } = summary;
    writeln!(out, "sent         {total_packets_sent} packets")?;
    writeln!(
        out,
        "received     {total_packets_received} of {packets_expected} expected ({}), {packets_lost} lost, {} repaired",
        percent(summary.received_of_expected),
        summary.packets_repaired
    )?;
    writeln!(out, "             {} of what was sent: several receive one packet", percent(summary.received_to_sent))?;
    for (name, times) in
        [("connecting", &summary.connection_time), ("end to end", &summary.e2e), ("slip", &summary.schedule_slip)]
    {
        if let Some(Percentiles { p50_ms, p95_ms, p99_ms, max_ms, .. }) = times {
            writeln!(out, "{name:<12} {p50_ms:.2} ms p50, {p95_ms:.2} p95, {p99_ms:.2} p99, {max_ms:.2} at most")?;
        }
    }
    let tester = &summary.tester;
    writeln!(
        out,
        "tester       {:.1} s CPU ({:.2} of {} CPUs), {:.0} MiB, {} descriptors",
        tester.cpu_seconds,
        tester.cpus_used,
        tester.cpus,
        // Far below 2^52.
        tester.memory_bytes as f64 / f64::from(1 << 20),
        tester.fds
    )?;
    for threshold in &summary.thresholds {
        writeln!(out, "{:<12} {:.3} {} {}", threshold.name, threshold.value, threshold.unit, threshold.level)?;
    }
    writeln!(out, "verdict      {}", summary.verdict)?;
    for finding in &summary.findings {
        writeln!(out, "finding      {finding}")?;
    }
    for judged in judged {
        writeln!(out, "{judged}")?;
    }
    writeln!(out, "files        {RESULTS_FILE} and {SUMMARY_FILE} in {}", folder.display())?;
    out.flush()
}
