//! What WebRTC clients sent each other: tables and plots.

use maud::{Markup, html};

use super::HtmlError;
use super::chart::{HEIGHT, Shape, figure};
use super::charts::{MARGIN, Plot, above, frame_over_time, latency_split, shade, swatch};
use super::palette::{CONFIGURED, MEASURED, OUTAGE};
use crate::summary::{Second, Summary, WebRtc, Window};
use crate::text::adds_up;
use crate::words;

/// The section, where the workload was WebRTC.
pub(super) fn webrtc(summary: &Summary, windows: &[Window], end_s: f64) -> Result<Markup, HtmlError> {
    let Some(webrtc) = &summary.webrtc else { return Ok(html! {}) };
    let mut figures = Vec::new();
    figures.extend(bitrate_over_time(webrtc, windows, end_s)?);
    figures.extend(latency_over_time(webrtc, windows, end_s)?);
    if let Some(split) = &webrtc.split {
        figures.extend(latency_split(split, "packets")?);
    }
    Ok(html! {
        section {
            h2 { "WebRTC" }
            (counts(webrtc))
            (losses(webrtc))
            (thresholds(webrtc))
        }
        @if !figures.is_empty() {
            section.plots aria-label="WebRTC, plotted" { @for figure in &figures { (figure) } }
        }
        section { (used(webrtc)) (clients(webrtc)) }
    })
}

/// A line through what there is, broken where there is nothing.
fn lines(seconds: &[Second], of: impl Fn(&Second) -> Option<f64>, ink: &super::palette::Ink, width: u32) -> Vec<Shape> {
    let mut shapes = Vec::new();
    let mut through = Vec::new();
    for second in seconds {
        match of(second) {
            Some(value) => through.push((second.at_s + 0.5, value)),
            None if through.is_empty() => {}
            None => shapes.push(Shape::Line { through: std::mem::take(&mut through), ink: ink.light, width }),
        }
    }
    if !through.is_empty() {
        shapes.push(Shape::Line { through, ink: ink.light, width });
    }
    shapes
}

/// What senders were allowed and what they sent.
fn bitrate_over_time(webrtc: &WebRtc, windows: &[Window], end_s: f64) -> Plot {
    let seconds = &webrtc.over_time;
    if seconds.is_empty() {
        return Ok(None);
    }
    let mbit = |bits: f64| bits / 1e6;
    let most = |second: &Second| mbit(second.sent_bitrate.max(second.target_bitrate.unwrap_or(0.0)));
    let top = above(seconds.iter().map(most).fold(0.0, f64::max));
    let end_s = end_of(seconds, end_s);
    let mut shapes = vec![shade(windows, end_s, top)];
    shapes.extend(lines(seconds, |second| second.target_bitrate.map(mbit), &CONFIGURED, 3));
    shapes.extend(lines(seconds, |second| Some(mbit(second.sent_bitrate)), &MEASURED, 3));
    let caption = html! {
        (swatch(&MEASURED, "payload that clients sent, together"))
        (swatch(&CONFIGURED, "what their estimates of the bandwidth allowed"))
        @if !windows.is_empty() { (swatch(&OUTAGE, "link down")) }
    };
    let sent: u64 = seconds.iter().map(|second| second.sent).sum();
    let description = format!("{} packets sent in {} seconds.", words::count(sent), seconds.len());
    let frame = frame_over_time(end_s, top, "Mbit/s");
    figure("Bit rate over time", &description, &frame, MARGIN, HEIGHT, &shapes, caption).map(Some)
}

/// End-to-end latency.
fn latency_over_time(webrtc: &WebRtc, windows: &[Window], end_s: f64) -> Plot {
    let seconds = &webrtc.over_time;
    let values = || seconds.iter().filter_map(|second| second.end_to_end_p95_ms);
    if values().next().is_none() {
        return Ok(None);
    }
    let top = above(values().fold(0.0, f64::max));
    let end_s = end_of(seconds, end_s);
    let mut shapes = vec![shade(windows, end_s, top)];
    shapes.extend(lines(seconds, |second| second.end_to_end_p95_ms, &CONFIGURED, 2));
    shapes.extend(lines(seconds, |second| second.end_to_end_p50_ms, &MEASURED, 3));
    let caption = html! {
        (swatch(&MEASURED, "median of each second"))
        (swatch(&CONFIGURED, "95th percentile"))
        @if !windows.is_empty() { (swatch(&OUTAGE, "link down")) }
        "lost packets have no latency"
    };
    let description = format!("From end to end, {} packets.", words::count(webrtc.end_to_end_ms.n));
    let frame = frame_over_time(end_s, top, "end to end in ms");
    figure("Latency from end to end over time", &description, &frame, MARGIN, HEIGHT, &shapes, caption).map(Some)
}

fn end_of(seconds: &[Second], end_s: f64) -> f64 {
    seconds.last().map_or(end_s, |last| end_s.max(last.at_s + 1.0))
}

fn counts(webrtc: &WebRtc) -> Markup {
    let proportion =
        |of: &Option<crate::stats::Proportion>| of.as_ref().map_or_else(|| "not known".to_owned(), words::proportion);
    html! {
        div.scroll { table.figures {
            caption { "Clients and media" }
            tbody {
                tr { th scope="row" { "clients connected" } td { (proportion(&webrtc.connected)) } }
                @for (stage, count) in &webrtc.failed {
                    tr { th scope="row" { "failed at " (stage) } td.number { (words::count(*count)) } }
                }
                tr { th scope="row" { "media packets sent" } td.number { (words::count(webrtc.sent)) } }
                tr { th scope="row" { "media packets received" } td.number { (words::count(webrtc.received)) } }
                tr { th scope="row" { "received of expected" } td { (proportion(&webrtc.received_of_expected)) } }
                tr {
                    th scope="row" { "received but for what the link dropped" }
                    td { (proportion(&webrtc.received_but_for_link)) }
                }
                @for (what, times) in [
                    ("connection time in ms", &webrtc.connection_time_ms), ("from end to end in ms", &webrtc.end_to_end_ms),
                    ("slip of the send schedule in ms", &webrtc.slip_ms),
                ] {
                    tr {
                        th scope="row" { (what) }
                        td {
                            "p50 " (words::percentile(times, times.p50)) ", p95 " (words::percentile(times, times.p95))
                            ", p99 " (words::percentile(times, times.p99)) ", max " (words::percentile(times, times.max))
                        }
                    }
                }
                @if let Some(modelled) = webrtc.jitter_buffer_modelled_ms {
                    tr { th scope="row" { "jitter buffer in ms, modelled" } td.number { (words::figure(modelled)) } }
                }
            }
        } }
    }
}

fn losses(webrtc: &WebRtc) -> Markup {
    let count = |value: Option<u64>| value.map_or_else(|| "-".to_owned(), words::count);
    html! {
        @if !webrtc.losses.is_empty() {
            div.scroll { table.figures {
                caption { "Lost, by the three who see it" }
                thead { tr {
                    th { "leg" }
                    @for head in ["sent", "by captures", "repaired", "by receivers", "by RTCP"] { th.number { (head) } }
                    th { "adds up" } th { "by the engine" }
                } }
                tbody {
                    @for leg in &webrtc.losses {
                        tr {
                            th scope="row" { (leg.leg) }
                            td.number { (words::count(leg.sent)) }
                            td.number { (count(leg.by_captures)) }
                            td.number { (count(leg.repaired)) }
                            td.number { (count(leg.by_receiver)) }
                            td.number { (leg.by_rtcp.map_or_else(|| "-".to_owned(), |lost| lost.to_string())) }
                            td { (adds_up(leg)) }
                            td {
                                @for (cause, count) in &leg.causes { (words::count(*count)) " " (words::spaced(cause)) " " }
                            }
                        }
                    }
                    tr {
                        th scope="row" { "in the server" }
                        td {} td.number { (count(webrtc.lost_by_server)) } td {} td {} td {} td {} td {}
                    }
                }
            } }
        }
    }
}

fn thresholds(webrtc: &WebRtc) -> Markup {
    html! {
        @if !webrtc.thresholds.is_empty() {
            div.scroll { table.figures {
                caption { "Thresholds" }
                tbody {
                    @for threshold in &webrtc.thresholds {
                        tr {
                            th scope="row" { (threshold.what) }
                            td.number { (threshold.value) }
                            @match threshold.level.as_deref() {
                                Some("good") => td."agrees yes" { "good" },
                                Some("critical") => td."agrees no" { "critical" },
                                Some(level) => td."agrees few" { (level) },
                                None => td.unchecked { "not measured" },
                            }
                        }
                    }
                }
            } }
        }
    }
}

fn used(webrtc: &WebRtc) -> Markup {
    let percent = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |value| format!("{value:.0}"));
    html! {
        @if !webrtc.used.is_empty() {
            div.scroll { table.figures {
                caption { "What server and tester used" }
                thead { tr {
                    th { "process" } th.number { "CPU in %" } th.number { "most in a second" } th.number { "memory" }
                    th.number { "descriptors" }
                } }
                tbody {
                    @for (name, used) in &webrtc.used {
                        tr {
                            th scope="row" { (name) }
                            td.number { (percent(used.cpu_percent)) }
                            td.number { (percent(used.cpu_percent_most)) }
                            td.number { (words::bytes(used.memory_bytes_most)) }
                            td.number { (words::count(used.descriptors_most)) }
                        }
                    }
                }
            } }
        }
    }
}

fn clients(webrtc: &WebRtc) -> Markup {
    html! {
        @if !webrtc.clients.is_empty() {
            div.scroll { table.figures {
                caption { "Clients" }
                thead { tr {
                    th { "client" } th { "on" } th.number { "sent" } th.number { "received" } th.number { "expected" }
                    th.number { "end to end p50 ms" } th.number { "p95" } th { "" }
                } }
                tbody {
                    @for client in &webrtc.clients {
                        tr {
                            th scope="row" { (client.name) }
                            td { (client.host) }
                            td.number { (words::count(client.sent)) }
                            td.number { (words::count(client.received)) }
                            td.number { (words::count(client.expected)) }
                            td.number { (words::figure_or_dash(client.end_to_end_p50_ms)) }
                            td.number { (words::figure_or_dash(client.end_to_end_p95_ms)) }
                            td { @if client.connected { "" } @else { "not connected. " } (client.errors.join("; ")) }
                        }
                    }
                }
            } }
        }
    }
}
