//! What WebRTC clients sent each other: tables and plots.

use maud::{Markup, html};

use super::HtmlError;
use super::chart::{HEIGHT, Shape, figure};
use super::charts::{MARGIN, Plot, above, frame_over_time, latency_split, shade, swatch};
use super::palette::{CONFIGURED, Ink, LOSS, MEASURED, OUTAGE, QUEUE};
use crate::summary::{Client, ClientSecond, Second, Summary, WebRtc, Window};
use crate::text::adds_up;
use crate::words;

/// The height of a plot of one client.
const CLIENT_HEIGHT: u32 = 300;

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
        (clients_over_time(webrtc, windows, end_s)?)
    })
}

/// A line through what there is, broken where there is nothing; each value stands at the middle of its second.
fn lines(seconds: impl Iterator<Item = (f64, Option<f64>)>, ink: &Ink, width: u32) -> Vec<Shape> {
    unbroken(seconds.map(|(at_s, value)| (at_s + 0.5, value)), ink, width)
}

/// The same in steps: a value holds for the whole of its second.
fn steps(seconds: impl Iterator<Item = (f64, Option<f64>)>, ink: &Ink, width: u32) -> Vec<Shape> {
    unbroken(seconds.flat_map(|(at_s, value)| [(at_s, value), (at_s + 1.0, value)]), ink, width)
}

/// Points as lines that end where there is no value.
fn unbroken(points: impl Iterator<Item = (f64, Option<f64>)>, ink: &Ink, width: u32) -> Vec<Shape> {
    let mut shapes = Vec::new();
    let mut through = Vec::new();
    for (at_s, value) in points.chain([(0.0, None)]) {
        match value {
            Some(value) => through.push((at_s, value)),
            None if through.is_empty() => {}
            None => shapes.push(Shape::Line { through: std::mem::take(&mut through), ink: ink.light, width }),
        }
    }
    shapes
}

/// What senders were allowed, what they sent, and what their links carry.
fn bitrate_over_time(webrtc: &WebRtc, windows: &[Window], end_s: f64) -> Plot {
    let seconds = &webrtc.over_time;
    if seconds.is_empty() {
        return Ok(None);
    }
    let mbit = |bits: f64| bits / 1e6;
    let most = |second: &Second| mbit(second.sent_bitrate.max(second.target_bitrate.unwrap_or(0.0)));
    let sent_most = seconds.iter().map(most).fold(0.0, f64::max);
    // A link that carries far more than anybody sends would press the lines to the ground.
    let capacity = |second: &Second| second.uplink_rate_bps.map(mbit).filter(|rate| *rate <= 4.0 * sent_most);
    let top = above(seconds.iter().filter_map(capacity).fold(sent_most, f64::max));
    let end_s = end_of(seconds, end_s);
    let mut shapes = vec![shade(windows, end_s, top)];
    let carried = steps(seconds.iter().map(|second| (second.at_s, capacity(second))), &QUEUE, 2);
    let is_limited = !carried.is_empty();
    shapes.extend(carried);
    shapes.extend(lines(seconds.iter().map(|second| (second.at_s, second.target_bitrate.map(mbit))), &CONFIGURED, 3));
    shapes.extend(lines(seconds.iter().map(|second| (second.at_s, Some(mbit(second.sent_bitrate)))), &MEASURED, 3));
    let caption = html! {
        (swatch(&MEASURED, "payload that clients sent, together"))
        (swatch(&CONFIGURED, "what their estimates of the bandwidth allowed"))
        @if is_limited { (swatch(&QUEUE, "what their access links carry, packets as a whole, where that is below four times what was sent")) }
        @if !windows.is_empty() { (swatch(&OUTAGE, "link down")) }
    };
    let sent: u64 = seconds.iter().map(|second| second.sent).sum();
    let description = format!("{} packets sent in {} seconds.", words::count(sent), seconds.len());
    let frame = frame_over_time(end_s, top, "Mbit/s");
    figure("Bit rate over time", &description, &frame, MARGIN, HEIGHT, &shapes, caption).map(Some)
}

/// End-to-end latency of all clients together.
fn latency_over_time(webrtc: &WebRtc, windows: &[Window], end_s: f64) -> Plot {
    let seconds = &webrtc.over_time;
    let values: Vec<_> =
        seconds.iter().map(|second| (second.at_s, second.end_to_end_p50_ms, second.end_to_end_p95_ms)).collect();
    let description = format!("From end to end, {} packets.", words::count(webrtc.end_to_end_ms.n));
    let title = "Latency from end to end over time";
    latency(title, &description, HEIGHT, &values, windows, end_of(seconds, end_s))
}

/// Medians and 95th percentiles, in milliseconds, of the seconds that begin at a time.
fn latency(
    title: &str,
    description: &str,
    height: u32,
    seconds: &[(f64, Option<f64>, Option<f64>)],
    windows: &[Window],
    end_s: f64,
) -> Plot {
    let Some(most) = seconds.iter().filter_map(|(_, _, p95)| *p95).max_by(f64::total_cmp) else { return Ok(None) };
    let top = above(most);
    let mut shapes = vec![shade(windows, end_s, top)];
    shapes.extend(lines(seconds.iter().map(|(at_s, _, p95)| (*at_s, *p95)), &CONFIGURED, 2));
    shapes.extend(lines(seconds.iter().map(|(at_s, p50, _)| (*at_s, *p50)), &MEASURED, 3));
    let caption = html! {
        (swatch(&MEASURED, "median of each second"))
        (swatch(&CONFIGURED, "95th percentile"))
        @if !windows.is_empty() { (swatch(&OUTAGE, "link down")) }
        "lost packets have no latency"
    };
    let frame = frame_over_time(end_s, top, "end to end in ms");
    figure(title, description, &frame, MARGIN, height, &shapes, caption).map(Some)
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

/// Each client that the summary has second by second, folded up: what came and what did not, and how late.
fn clients_over_time(webrtc: &WebRtc, windows: &[Window], end_s: f64) -> Result<Markup, HtmlError> {
    let worst: Vec<&Client> = webrtc.worst_first().into_iter().filter(|client| !client.over_time.is_empty()).collect();
    let mut drawn = Vec::new();
    for client in &worst {
        let last = client.over_time.last().map_or(end_s, |last| end_s.max(last.at_s + 1.0));
        let mut figures = Vec::new();
        figures.extend(packets_of(client, windows, last)?);
        figures.extend(latency_of(client, windows, last)?);
        drawn.push((client, figures));
    }
    Ok(html! {
        @if !drawn.is_empty() {
            section {
                h2 { "Clients over time" }
                p.soft {
                    "Those that fared worst first. "
                    @if worst.len() < webrtc.clients.len() {
                        (worst.len()) " of " (words::count(webrtc.clients.len() as u64)) " are drawn; "
                        "load_test_results.json has all of them second by second."
                    }
                }
                @for (client, figures) in &drawn {
                    details {
                        summary {
                            (client.name) ": sent " (words::count(client.sent)) ", received "
                            (words::count(client.received)) " of " (words::count(client.expected))
                            @if !client.connected { ", not connected" }
                        }
                        div.plots { @for figure in figures { (figure) } }
                    }
                }
            }
        }
    })
}

/// Packets that a client sent and received in each second, and those that it missed.
fn packets_of(client: &Client, windows: &[Window], end_s: f64) -> Plot {
    let seconds = &client.over_time;
    let most = |second: &ClientSecond| second.sent.max(second.received).max(second.missed);
    let top = above(seconds.iter().map(most).max().unwrap_or(0) as f64);
    let missed = seconds.iter().filter(|second| second.missed > 0);
    let corners = missed.map(|second| [(second.at_s + 0.1, 0.0), (second.at_s + 0.9, second.missed as f64)]);
    let mut shapes = vec![shade(windows, end_s, top)];
    shapes.push(Shape::Boxes { corners: corners.collect(), ink: LOSS.light, opacity: 0.9 });
    let of =
        |value: fn(&ClientSecond) -> u64| seconds.iter().map(move |second| (second.at_s, Some(value(second) as f64)));
    shapes.extend(lines(of(|second| second.sent), &CONFIGURED, 2));
    shapes.extend(lines(of(|second| second.received), &MEASURED, 3));
    let caption = html! {
        (swatch(&MEASURED, "received"))
        (swatch(&CONFIGURED, "sent"))
        (swatch(&LOSS, "new gaps in what came"))
        @if !windows.is_empty() { (swatch(&OUTAGE, "link down")) }
    };
    let description = format!("{} packets received in {} seconds.", words::count(client.received), seconds.len());
    let frame = frame_over_time(end_s, top, "packets a second");
    let title = format!("Packets, {}", client.name);
    figure(&title, &description, &frame, MARGIN, CLIENT_HEIGHT, &shapes, caption).map(Some)
}

/// How late what a client received was.
fn latency_of(client: &Client, windows: &[Window], end_s: f64) -> Plot {
    let seconds = client.over_time.iter();
    let values: Vec<_> =
        seconds.map(|second| (second.at_s, second.end_to_end_p50_ms, second.end_to_end_p95_ms)).collect();
    let median = words::figure_or_dash(client.end_to_end_p50_ms);
    let description = format!("From end to end, {median} ms in the median.");
    latency(&format!("Latency from end to end, {}", client.name), &description, CLIENT_HEIGHT, &values, windows, end_s)
}
