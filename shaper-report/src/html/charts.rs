//! The plots of the page, one function each; `None` where there is nothing to plot.

use maud::{Markup, html};

use super::HtmlError;
use super::bins::{STACKED, bands, decades, fates, steps};
use super::chart::{Figure, Frame, HEIGHT, Shape, figure};
use super::data::{CommandPoint, DirectionPlot, Outcome, Treated, Treatment};
use super::palette::{CHANGED, CONFIGURED, COPY, HARNESS, Ink, LOSS, MARKED, MEASURED, OUTAGE, QUEUE, of_cause};
use crate::summary::{LatencySplit, Lateness, Window};
use crate::words;

/// The room left of the axis for its labels.
const MARGIN: u32 = 104;
/// More points than this are binned.
const MOST_POINTS: usize = 1_500;
/// Into so many stretches of time.
const BINS: usize = 240;
/// More drops than this are left to the plot of fates.
const MOST_TICKS: usize = 250;
const NS_PER_S: f64 = 1e9;
const NS_PER_MS: f64 = 1e6;

type Plot = Result<Option<Figure>, HtmlError>;

fn plain(value: f64) -> String {
    words::shortest(value)
}

fn swatch(ink: &Ink, what: &str) -> Markup {
    html! { span.key { span class={ "swatch " (ink.class) } {} (what) } " " }
}

/// The outage windows within the plot, from bottom to top.
fn shade(windows: &[Window], end_s: f64, top: f64) -> Shape {
    let corners = windows
        .iter()
        .map(|window| (window.start_ms / 1e3, (window.end_ms / 1e3).min(end_s)))
        .filter(|(start, end)| start < end)
        .map(|(start, end)| [(start, 0.0), (end, top)])
        .collect();
    Shape::Boxes { corners, ink: OUTAGE.light, opacity: 0.3 }
}

/// Points as they are, or binned with their extremes kept; and whether they were binned.
fn cloud(points: Vec<(f64, f64)>, end_s: f64) -> (Vec<Shape>, bool) {
    let ink = MEASURED.light;
    if points.len() <= MOST_POINTS {
        return (vec![Shape::Dots { at: points, ink, opacity: 0.7, radius: 3 }], false);
    }
    let bands = bands(&points, end_s, BINS);
    let width = end_s / BINS as f64;
    let corners =
        bands.iter().map(|band| [(band.at - 0.5 * width, band.min), (band.at + 0.5 * width, band.max)]).collect();
    let mut shapes = vec![Shape::Boxes { corners, ink, opacity: 0.35 }];
    // Where no packet came through there is no median either.
    for unbroken in bands.chunk_by(|one, next| next.at - one.at < 1.5 * width) {
        let through = unbroken.iter().map(|band| (band.at, band.median)).collect();
        shapes.push(Shape::Line { through, ink, width: 3 });
    }
    (shapes, true)
}

/// Each way in which packets are treated, with its colour and its name.
const TREATMENTS: [(Treatment, &Ink, &str); 3] = [
    (Treatment::Copied, &COPY, "copy"),
    (Treatment::Changed, &CHANGED, "changed"),
    (Treatment::Marked, &MARKED, "marked CE"),
];

/// Packets treated in one way, larger than others; of too many one for each stretch of time.
fn treated(all: &[Treated], how: Treatment, ink: &Ink, end_s: f64) -> Option<Shape> {
    let of_it = all.iter().filter(|treated| treated.how == how);
    let mut at: Vec<(f64, f64)> =
        of_it.map(|treated| (treated.at_ns as f64 / NS_PER_S, treated.delay_ns as f64 / NS_PER_MS)).collect();
    if at.len() > MOST_POINTS {
        at = bands(&at, end_s, BINS).iter().map(|band| (band.at, band.median)).collect();
    }
    (!at.is_empty()).then_some(Shape::Dots { at, ink: ink.light, opacity: 0.9, radius: 5 })
}

/// The largest value, with room above it; 1 where there is none.
fn top_of(points: &[(f64, f64)]) -> f64 {
    let most = points.iter().map(|(_, y)| *y).fold(0.0, f64::max);
    if most > 0.0 { 1.12 * most } else { 1.0 }
}

/// Actual delay over time, drops along the top, outages shaded.
pub(super) fn delay_over_time(name: &str, plot: &DirectionPlot, windows: &[Window], end_s: f64) -> Plot {
    if plot.packets.is_empty() {
        return Ok(None);
    }
    let mut delays = Vec::new();
    let mut lost = Vec::new();
    for packet in &plot.packets {
        let at = packet.at_ns as f64 / NS_PER_S;
        match &packet.outcome {
            Outcome::Delivered { delay_ns } => delays.push((at, *delay_ns as f64 / NS_PER_MS)),
            Outcome::Dropped { cause } if cause == "outage" => {}
            Outcome::Dropped { cause } => lost.push((at, of_cause(cause))),
        }
    }
    let copies = plot.treated.iter().map(|treated| (0.0, treated.delay_ns as f64 / NS_PER_MS));
    let (n, drops, top) = (delays.len(), lost.len(), top_of(&delays).max(top_of(&copies.collect::<Vec<_>>())));
    let mut shapes = vec![shade(windows, end_s, top)];
    let (points, binned) = cloud(delays, end_s);
    shapes.extend(points);
    // Too many to be told apart say nothing that the plot of fates does not say better.
    let ticked = drops > 0 && drops <= MOST_TICKS;
    let mut keys = Vec::new();
    for (ink, meaning) in [
        (&LOSS, "lost (along the top)"),
        (&QUEUE, "dropped by queue or policer (along the top)"),
        (&OUTAGE, "lost on its way (along the top)"),
        (&HARNESS, "lost by the harness (along the top)"),
    ] {
        let width = 0.0012 * end_s;
        let of_it = lost.iter().filter(|(_, of)| ticked && of.class == ink.class);
        let corners: Vec<_> = of_it.map(|(at, _)| [(at - width, 0.94 * top), (at + width, top)]).collect();
        if !corners.is_empty() {
            keys.push((ink, meaning));
            shapes.push(Shape::Boxes { corners, ink: ink.light, opacity: 0.9 });
        }
    }
    for (how, ink, meaning) in TREATMENTS {
        if let Some(dots) = treated(&plot.treated, how, ink, end_s) {
            keys.push((ink, meaning));
            shapes.push(dots);
        }
    }
    let title = format!("Delay over time, {}", words::spaced(name));
    let description = format!("{n} packets came through, {drops} were dropped outside outages.");
    let frame = Frame {
        x: (0.0, end_s),
        y: (0.0, top),
        x_title: "time in s",
        y_title: "delay in ms",
        x_labels: 6,
        x_label: &plain,
        y_label: &plain,
    };
    let caption = html! {
        (swatch(&MEASURED, if binned { "actual delay: smallest to largest, median as a line" } else { "actual delay" }))
        @for (ink, meaning) in keys { (swatch(ink, meaning)) }
        @if !windows.is_empty() { (swatch(&OUTAGE, "link down")) }
    };
    figure(&title, &description, &frame, MARGIN, HEIGHT, &shapes, caption).map(Some)
}

/// Which share of the packets was dropped over time, by cause.
pub(super) fn fates_over_time(name: &str, plot: &DirectionPlot, end_s: f64) -> Plot {
    if plot.packets.is_empty() {
        return Ok(None);
    }
    let count = (plot.packets.len() / 16).clamp(10, 60);
    let fates = fates(&plot.packets, (end_s * NS_PER_S) as u64, count);
    let width = end_s / count as f64;
    let mut shapes = Vec::new();
    let mut below = vec![0.0; count];
    let mut shown = Vec::new();
    let mut totals = Vec::new();
    for (place, cause) in STACKED.iter().enumerate() {
        let dropped: u64 = fates.iter().map(|bin| bin.dropped[place]).sum();
        totals.push(format!("{cause} {dropped}"));
        if dropped == 0 {
            continue;
        }
        shown.push(*cause);
        let mut corners = Vec::new();
        for (bin, (fates, below)) in fates.iter().zip(&mut below).enumerate() {
            let share = 100.0 * fates.dropped[place] as f64 / fates.packets.max(1) as f64;
            if share > 0.0 {
                let (start, end) = (bin as f64 * width, (bin as f64 + 0.92) * width);
                corners.push([(start, *below), (end, *below + share)]);
                *below += share;
            }
        }
        shapes.push(Shape::Boxes { corners, ink: of_cause(cause).light, opacity: 0.95 });
    }
    let top = below.iter().copied().fold(0.0, f64::max).max(1.0) * 1.08;
    let frame = Frame {
        x: (0.0, end_s),
        y: (0.0, top.min(100.0)),
        x_title: "time in s",
        y_title: "dropped in %",
        x_labels: 6,
        x_label: &plain,
        y_label: &plain,
    };
    let caption = html! {
        @for cause in &shown { (swatch(of_cause(cause), cause)) }
        @if shown.is_empty() { "No packet was dropped. " }
        "of the packets offered in each " (words::figure(width)) " s"
    };
    let title = format!("Fates over time, {}", words::spaced(name));
    let description = format!("Of {} packets dropped: {}.", plot.packets.len(), totals.join(", "));
    figure(&title, &description, &frame, MARGIN, HEIGHT, &shapes, caption).map(Some)
}

/// The distribution function of intended delays beside the configured one.
pub(super) fn intended_delay(name: &str, plot: &DirectionPlot) -> Plot {
    if plot.intended_ns.is_empty() {
        return Ok(None);
    }
    let mut ascending: Vec<f64> = plot.intended_ns.iter().map(|ns| *ns as f64 / NS_PER_MS).collect();
    ascending.sort_unstable_by(f64::total_cmp);
    let percent = |points: Vec<(f64, f64)>| points.into_iter().map(|(x, p)| (x, 100.0 * p)).collect::<Vec<_>>();
    let most = ascending.last().copied().unwrap_or(0.0);
    let configured_most = plot.configured_cdf.last().map_or(0.0, |(ms, _)| *ms);
    let right = 1.05 * most.max(configured_most).max(0.1);
    let mut measured = percent(steps(&ascending, 400));
    if let Some((first, _)) = measured.first().copied() {
        measured.insert(0, (first, 0.0));
    }
    measured.push((right, 100.0));
    let mut shapes = vec![Shape::Line { through: measured, ink: MEASURED.light, width: 4 }];
    if let Some((first, _)) = plot.configured_cdf.first() {
        let mut configured = vec![(*first, 0.0)];
        configured.extend(percent(plot.configured_cdf.clone()));
        configured.push((right, 100.0));
        shapes.push(Shape::Line { through: configured, ink: CONFIGURED.light, width: 2 });
    }
    let frame = Frame {
        x: (0.0, right),
        y: (0.0, 100.0),
        x_title: "intended delay in ms",
        y_title: "packets in %",
        x_labels: 6,
        x_label: &plain,
        y_label: &plain,
    };
    let caption = html! {
        (swatch(&MEASURED, "drawn in this run"))
        @if !plot.configured_cdf.is_empty() { (swatch(&CONFIGURED, "configured")) }
        "lost packets do not count"
    };
    let title = format!("Intended delay, {}", words::spaced(name));
    let description = format!("Share of {} packets with at most so much delay.", ascending.len());
    figure(&title, &description, &frame, MARGIN, HEIGHT, &shapes, caption).map(Some)
}

/// The histogram of lateness, this host's own timer beside it.
pub(super) fn lateness(name: &str, plot: &DirectionPlot, lateness: &Lateness) -> Plot {
    let samples = &plot.lateness_us;
    if samples.is_empty() {
        return Ok(None);
    }
    let host = lateness.host_idle_timer_us.as_ref();
    let marks: Vec<f64> = host.map_or_else(Vec::new, |host| [host.p50, host.p99].into_iter().flatten().collect());
    let late = || samples.iter().chain(&marks).copied().filter(|us| *us > 0.0);
    let low = late().fold(1e9, f64::min).log10().floor().max(-1.0) as i32;
    let high = (late().fold(1.0, f64::max).log10().ceil() as i32).max(low + 1);
    let shares = decades(samples, low, high, 10);
    let top = 112.0 * shares.iter().map(|(_, _, share)| *share).fold(0.0, f64::max);
    let corners = shares
        .iter()
        .filter(|(_, _, share)| *share > 0.0)
        .map(|(from, to, share)| [(*from, 0.0), (from + 0.92 * (to - from), 100.0 * share)])
        .collect();
    let mut shapes = vec![Shape::Boxes { corners, ink: MEASURED.light, opacity: 0.9 }];
    for mark in marks.iter().filter(|mark| **mark > 0.0) {
        let through = vec![(mark.log10(), 0.0), (mark.log10(), top)];
        shapes.push(Shape::Line { through, ink: CONFIGURED.light, width: 3 });
    }
    let decade = |exponent: f64| {
        let whole = exponent.round();
        if (exponent - whole).abs() > 1e-6 { String::new() } else { words::shortest(10f64.powi(whole as i32)) }
    };
    let frame = Frame {
        x: (f64::from(low), f64::from(high)),
        y: (0.0, top),
        x_title: "lateness in us, logarithmic",
        y_title: "packets in %",
        x_labels: (high - low + 1) as usize,
        x_label: &decade,
        y_label: &plain,
    };
    let early = samples.iter().filter(|us| **us < 0.0).count();
    let caption = html! {
        (swatch(&MEASURED, "actual minus intended release"))
        @if !marks.is_empty() { (swatch(&CONFIGURED, "this host's idle timer error, p50 and p99")) }
        @if early > 0 { (early) " released before their time, shown in the first bar" }
    };
    let title = format!("Lateness, {}", words::spaced(name));
    let description = format!("How late {} packets left; {early} left early.", samples.len());
    figure(&title, &description, &frame, MARGIN, HEIGHT, &shapes, caption).map(Some)
}

/// The time from command to state over the run.
pub(super) fn commands_over_time(commands: &[CommandPoint], windows: &[Window], end_s: f64) -> Plot {
    if commands.is_empty() {
        return Ok(None);
    }
    let point = |command: &CommandPoint| (command.at_ns as f64 / NS_PER_S, command.time_to_state_ns as f64 / NS_PER_MS);
    let points: Vec<(f64, f64)> = commands.iter().map(point).collect();
    let (n, top) = (points.len(), top_of(&points));
    let mut shapes = vec![shade(windows, end_s, top)];
    let (cloud, binned) = cloud(points, end_s);
    shapes.extend(cloud);
    let frame = Frame {
        x: (0.0, end_s),
        y: (0.0, top),
        x_title: "time in s",
        y_title: "to state in ms",
        x_labels: 6,
        x_label: &plain,
        y_label: &plain,
    };
    let caption = html! {
        (swatch(&MEASURED, if binned { "smallest to largest, median as a line" } else { "one command at one peer" }))
        @if !windows.is_empty() { (swatch(&OUTAGE, "link down")) }
        "missed commands have no time"
    };
    let description = format!("{n} commands, each from its intended send time to the changed state.");
    figure("Time from command to state", &description, &frame, MARGIN, HEIGHT, &shapes, caption).map(Some)
}

/// The medians of the stages, each starting where the one before ends.
pub(super) fn latency_split(split: &LatencySplit) -> Plot {
    let sum: f64 = split.stages.iter().filter_map(|stage| stage.p50_ms).sum();
    if split.stages.is_empty() || sum <= 0.0 {
        return Ok(None);
    }
    let mut shapes = Vec::new();
    let mut corners = Vec::new();
    let mut parts = Vec::new();
    let mut start = 0.0;
    let rows = split.stages.len() as f64;
    for (place, stage) in split.stages.iter().enumerate() {
        let y = rows - place as f64 - 0.5;
        let end = start + stage.p50_ms.unwrap_or(0.0);
        // A stage of no time to speak of is still to be seen.
        corners.push([(start, y - 0.32), (end.max(start + 0.004 * sum), y + 0.32)]);
        let name = words::spaced(&stage.stage);
        shapes.push(Shape::Margin { y, text: name.clone() });
        let value = words::figure_or_dash(stage.p50_ms);
        parts.push(format!("{name} {value} ms"));
        shapes.push(Shape::Words { at: (end, y), text: value });
        start = end;
    }
    shapes.insert(0, Shape::Boxes { corners, ink: MEASURED.light, opacity: 0.9 });
    let frame = Frame {
        x: (0.0, 1.12 * sum),
        y: (0.0, rows),
        x_title: "median in ms",
        y_title: "",
        x_labels: 5,
        x_label: &plain,
        y_label: &plain,
    };
    let total = words::figure_or_dash(split.total.p50_ms);
    let caption = html! {
        "Medians of " (words::count(split.total.n)) " commands, each stage after the one before; they do not add up "
        "exactly: the whole has a median of " (total) " ms. "
        @if split.unjoined > 0 { (words::count(split.unjoined)) " commands could not be joined to their packets. " }
        @if split.unanswered > 0 { (words::count(split.unanswered)) " commands arrived without an answer." }
    };
    let height = 90 + 46 * split.stages.len() as u32;
    figure("Where the latency went", &parts.join(", "), &frame, 300, height, &shapes, caption).map(Some)
}
