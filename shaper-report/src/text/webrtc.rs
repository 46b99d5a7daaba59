//! What WebRTC clients sent each other, for a person's table.

use std::fmt::Write as _;

use super::columns::{Align, Columns};
use super::line;
use crate::stats::{Distribution, Proportion};
use crate::summary::{LegLosses, Summary, WebRtc};
use crate::words;

/// Clients shown by name; of more, those that fared worst.
const SHOWN: usize = 4;

/// The tables, where the workload was WebRTC.
pub(super) fn webrtc(out: &mut String, summary: &Summary) {
    let Some(webrtc) = &summary.webrtc else { return };
    out.push('\n');
    counts(out, webrtc);
    times(out, webrtc);
    losses(out, webrtc);
    thresholds(out, webrtc);
    clients(out, webrtc);
    for (name, used) in &webrtc.used {
        let percent = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |value| format!("{value:.0} %"));
        let text = format!(
            "{} of a CPU (most {} in a second), {} of memory, {} descriptors at most",
            percent(used.cpu_percent),
            percent(used.cpu_percent_most),
            words::bytes(used.memory_bytes_most),
            words::count(used.descriptors_most)
        );
        line(out, name, &text);
    }
}

/// Levels of load one below the other, from their runs.
#[must_use]
pub fn levels(runs: &[Summary]) -> String {
    let mut columns = Columns::new([Align::Right; 8]);
    let heads = ["clients", "connected", "received in %", "e2e p50 ms", "p95", "server CPU %", "memory", "exit"];
    columns.push(heads.map(str::to_owned));
    for run in runs {
        let Some(webrtc) = &run.webrtc else { continue };
        let connected = webrtc.connected.unwrap_or_else(|| Proportion::of(0, 0));
        let received = webrtc.received_of_expected.and_then(|received| received.ratio);
        let server = webrtc.used.get("server").copied().unwrap_or_default();
        columns.push([
            words::count(connected.of),
            words::count(connected.count),
            received.map_or_else(|| "-".to_owned(), |ratio| format!("{:.2}", 100.0 * ratio)),
            words::figure_or_dash(webrtc.end_to_end_ms.p50),
            words::figure_or_dash(webrtc.end_to_end_ms.p95),
            server.cpu_percent.map_or_else(|| "-".to_owned(), |percent| format!("{percent:.0}")),
            words::bytes(server.memory_bytes_most),
            run.exit_code.to_string(),
        ]);
    }
    let mut out = String::from("\n");
    columns.write(&mut out);
    out
}

fn share(proportion: Option<&Proportion>) -> String {
    match proportion {
        Some(Proportion { count, of, ratio: Some(ratio), .. }) => {
            format!("{:.2} % ({} of {})", 100.0 * ratio, words::count(*count), words::count(*of))
        }
        _ => "not known".to_owned(),
    }
}

fn counts(out: &mut String, webrtc: &WebRtc) {
    let failed: Vec<String> =
        webrtc.failed.iter().map(|(stage, count)| format!("{} at {stage}", words::count(*count))).collect();
    let failed = if failed.is_empty() { String::new() } else { format!("; failed: {}", failed.join(", ")) };
    line(out, "connected", &format!("{}{failed}", share(webrtc.connected.as_ref())));
    let bare = match webrtc.sent {
        0 => String::new(),
        sent => format!("; bare ratio {:.1}", webrtc.received as f64 / sent as f64),
    };
    let text = format!("{} sent, {} received{bare}", words::count(webrtc.sent), words::count(webrtc.received));
    line(out, "media packets", &text);
    line(out, "", &format!("{} of what was expected", share(webrtc.received_of_expected.as_ref())));
    line(out, "", &format!("{} but for what the link dropped", share(webrtc.received_but_for_link.as_ref())));
}

fn times(out: &mut String, webrtc: &WebRtc) {
    let mut columns = Columns::new([Align::Left, Align::Right, Align::Right, Align::Right, Align::Right, Align::Right]);
    columns.push(["times in ms", "p50", "p95", "p99", "max", "n"].map(str::to_owned));
    let rows = [
        ("  connection", &webrtc.connection_time_ms),
        ("  from end to end", &webrtc.end_to_end_ms),
        ("  slip of the schedule", &webrtc.slip_ms),
    ];
    for (name, Distribution { n, p50, p95, p99, max, .. }) in rows {
        let [p50, p95, p99, max] = [*p50, *p95, *p99, *max].map(words::figure_or_dash);
        columns.push([name.to_owned(), p50, p95, p99, max, words::count(*n)]);
    }
    out.push('\n');
    columns.write(out);
    if let Some(split) = &webrtc.split {
        let stages: Vec<String> = split
            .stages
            .iter()
            .map(|stage| format!("{} {}", words::spaced(&stage.stage), words::figure_or_dash(stage.p50_ms)))
            .collect();
        let total = words::figure_or_dash(split.total.p50_ms);
        let text =
            format!("{}; together {total} ms, medians of {} packets", stages.join(", "), words::count(split.total.n));
        line(out, "  went to", &text);
    }
    if let Some(modelled) = webrtc.jitter_buffer_modelled_ms {
        line(out, "", &format!("a jitter buffer would add {} ms (modelled)", words::figure(modelled)));
    }
}

fn losses(out: &mut String, webrtc: &WebRtc) {
    if webrtc.losses.is_empty() {
        return;
    }
    let mut columns =
        Columns::new([Align::Left, Align::Right, Align::Right, Align::Right, Align::Right, Align::Right, Align::Left]);
    let heads = ["lost", "sent", "by captures", "repaired", "by receivers", "by RTCP", "adds up"];
    columns.push(heads.map(str::to_owned));
    for losses in &webrtc.losses {
        columns.push(row(losses));
    }
    out.push('\n');
    columns.write(out);
    for losses in webrtc.losses.iter().filter(|losses| !losses.causes.is_empty()) {
        let causes: Vec<String> = losses
            .causes
            .iter()
            .map(|(cause, count)| format!("{} {}", words::count(*count), words::spaced(cause)))
            .collect();
        line(out, "", &format!("{}, by the engine: {}", losses.leg, causes.join(", ")));
    }
    if let Some(lost) = webrtc.lost_by_server {
        line(out, "", &format!("{} lost by the server itself", words::count(lost)));
    }
}

fn row(losses: &LegLosses) -> [String; 7] {
    let count = |value: Option<u64>| value.map_or_else(|| "-".to_owned(), words::count);
    [
        format!("  {}", losses.leg),
        words::count(losses.sent),
        count(losses.by_captures),
        count(losses.repaired),
        count(losses.by_receiver),
        losses.by_rtcp.map_or_else(|| "-".to_owned(), |lost| lost.to_string()),
        adds_up(losses),
    ]
}

/// Whether the columns add up, in a word; and for how many packets there is but one column.
pub(crate) fn adds_up(losses: &LegLosses) -> String {
    match (losses.adds_up, losses.not_witnessed) {
        (Some(true), None | Some(0)) => "yes".to_owned(),
        (Some(true), Some(alone)) => format!("yes, but for {} not witnessed", words::count(alone)),
        (Some(false), _) => "NO".to_owned(),
        (None, _) => "not known".to_owned(),
    }
}

fn thresholds(out: &mut String, webrtc: &WebRtc) {
    let mut text = String::new();
    for (place, threshold) in webrtc.thresholds.iter().enumerate() {
        let level = threshold.level.as_deref().unwrap_or("not measured");
        let _ = write!(text, "{}{} {}: {level}", if place == 0 { "" } else { "; " }, threshold.what, threshold.value);
    }
    if !text.is_empty() {
        line(out, "thresholds", &text);
    }
}

fn clients(out: &mut String, webrtc: &WebRtc) {
    let mut worst = webrtc.worst_first();
    let left_out = worst.len().saturating_sub(SHOWN);
    worst.truncate(SHOWN);
    let mut columns = Columns::new([
        Align::Left,
        Align::Left,
        Align::Right,
        Align::Right,
        Align::Right,
        Align::Right,
        Align::Right,
        Align::Left,
    ]);
    let heads = ["clients", "on", "sent", "received", "expected", "e2e p50 ms", "p95", ""];
    columns.push(heads.map(str::to_owned));
    for client in worst {
        let state = match client.errors.first() {
            Some(error) => error.clone(),
            None if client.connected => String::new(),
            None => "not connected".to_owned(),
        };
        columns.push([
            format!("  {}", client.name),
            client.host.clone(),
            words::count(client.sent),
            words::count(client.received),
            words::count(client.expected),
            words::figure_or_dash(client.end_to_end_p50_ms),
            words::figure_or_dash(client.end_to_end_p95_ms),
            state,
        ]);
    }
    out.push('\n');
    columns.write(out);
    if left_out > 0 {
        line(out, "", &format!("{left_out} more fared no worse; all are in summary.json"));
    }
}
