//! What is to be known before the figures of a run are believed.

use super::{ClientResult, Outage, Percentiles, Summary};

/// Above this the schedule does not hold, in milliseconds.
pub(super) const SLIP_MS: f64 = 20.0;
/// Packets after which somebody should have said that something has arrived.
const UNHEARD: u64 = 250;
/// Clients that a finding names.
const NAMED: usize = 8;

fn listed<'c>(clients: impl Iterator<Item = &'c ClientResult>) -> Option<String> {
    let clients: Vec<&ClientResult> = clients.collect();
    let named: Vec<&str> = clients.iter().take(NAMED).map(|client| client.client_id.as_str()).collect();
    match clients.len() {
        0 => None,
        count if count > NAMED => Some(format!("{} and {} more", named.join(", "), count - NAMED)),
        _ => Some(named.join(", ")),
    }
}

/// What is said of media that was away.
fn outages(clients: &[ClientResult]) -> Option<String> {
    let lost = || clients.iter().filter(|client| !client.outages.is_empty());
    let who = listed(lost())?;
    let all: Vec<&Outage> = lost().flat_map(|client| &client.outages).collect();
    let over: Vec<f64> = all.iter().filter_map(|outage| outage.seconds).collect();
    let longest = over.iter().copied().reduce(f64::max);
    let longest = longest.map(|longest| format!(", after {longest:.1} s at most")).unwrap_or_default();
    let reason = all.first().map(|outage| outage.reason.as_str()).unwrap_or_default();
    Some(format!(
        "{who} lost media that had flowed, {} times in all, and had it again {} times{longest}; the first: {reason}",
        all.len(),
        over.len()
    ))
}

/// The findings, the gravest first.
pub(crate) fn findings(summary: &Summary, clients: &[ClientResult]) -> Vec<String> {
    let mut findings = Vec::new();
    if !summary.media_flowed {
        findings.push(format!(
            "no media: {} packets were sent, and none was received by anybody; ratios say nothing",
            summary.total_packets_sent
        ));
    }
    if let Some(Percentiles { p99_ms, max_ms, .. }) = summary.schedule_slip
        && (p99_ms > SLIP_MS || summary.frames_skipped > 0)
    {
        findings.push(format!(
            "this host cannot carry {} clients: frames were sent {p99_ms:.1} ms late at p99 and {max_ms:.1} ms at \
             most, and {} that were due were not sent; latency and loss are the tester's own too",
            summary.total_clients, summary.frames_skipped
        ));
    }
    let unheard = |client: &&ClientResult| {
        client.acknowledged == Some(false) && client.total_packets_sent >= UNHEARD && client.send_failed == 0
    };
    if let Some(who) = listed(clients.iter().filter(unheard)) {
        findings.push(format!("one-way: {who} sent media, and no RTCP said that any of it has arrived at the server"));
    }
    let deaf = |client: &&ClientResult| {
        client.packets_expected > 0 && client.total_packets_received == 0 && summary.media_flowed
    };
    if let Some(who) = listed(clients.iter().filter(deaf)) {
        findings.push(format!("one-way: {who} received nothing of what was sent to the room"));
    }
    let failed_to_send: u64 = clients.iter().map(|client| client.send_failed).sum();
    if failed_to_send > 0 {
        findings.push(format!(
            "{failed_to_send} datagrams were not taken by this host's sockets: losses of the tester's own"
        ));
    }
    findings.extend(outages(clients));
    if let Some(who) = listed(clients.iter().filter(|client| client.killed_after_seconds.is_some())) {
        findings.push(format!("{who} was killed, as asked: its sockets were closed without a word"));
    }
    for (stage, count) in &summary.failed_stages {
        let first = clients.iter().find(|client| client.failed_stage == Some(*stage));
        let example = first.and_then(|client| Some((client.client_id.as_str(), client.errors.first()?)));
        let example = example.map(|(who, error)| format!("; {who}: {error}")).unwrap_or_default();
        findings.push(format!("{count} clients failed at {stage}{example}"));
    }
    if summary.packet_log_lost > 0 {
        findings.push(format!("the packet log lost {} records", summary.packet_log_lost));
    }
    if summary.interrupted {
        findings.push("the run was ended early by a signal".to_owned());
    }
    findings
}
