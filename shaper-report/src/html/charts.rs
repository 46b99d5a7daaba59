//! The plots of the page, one function each; `None` where there is nothing to plot.

use maud::{Markup, html};

use super::HtmlError;
use super::bins::{Band, Cloud, Fates, Histogram, Merge, STACKED, Stretches, decades};
use super::chart::{Figure, Frame, HEIGHT, Shape, figure};
use super::data::{CommandPoint, DirectionPlot, MOST_TICKS, Treatment};
use super::palette::{CHANGED, CONFIGURED, COPY, HARNESS, Ink, LOSS, MARKED, MEASURED, OUTAGE, QUEUE, of_cause};
use crate::summary::{LatencySplit, Lateness, Window};
use crate::words;

/// The room left of the axis for its labels.
pub(super) const MARGIN: u32 = 104;
pub(super) const NS_PER_S: f64 = 1e9;
pub(super) const NS_PER_MS: f64 = 1e6;

pub(super) type Plot = Result<Option<Figure>, HtmlError>;

pub(super) fn plain(value: f64) -> String {
    words::shortest(value)
}

/// The axes of what is plotted over time, up to `end_s` seconds and to `top`.
pub(super) fn frame_over_time(end_s: f64, top: f64, y_title: &str) -> Frame<'_> {
    Frame {
        x: (0.0, end_s),
        y: (0.0, top),
        x_title: "time in s",
        y_title,
        x_labels: 6,
        x_label: &plain,
        y_label: &plain,
    }
}

/// Ticks along the top at times in nanoseconds; `None` for none.
pub(super) fn ticks(at_ns: impl Iterator<Item = u64>, ink: &Ink, end_s: f64, top: f64) -> Option<Shape> {
    let width = 0.0012 * end_s;
    let at = at_ns.map(|at| at as f64 / NS_PER_S);
    let corners: Vec<_> = at.map(|at| [(at - width, 0.94 * top), (at + width, top)]).collect();
    (!corners.is_empty()).then_some(Shape::Boxes { corners, ink: ink.light, opacity: 0.9 })
}

pub(super) fn swatch(ink: &Ink, what: &str) -> Markup {
    html! { span.key { span class={ "swatch " (ink.class) } {} (what) } " " }
}

/// The outage windows within the plot, from bottom to top.
pub(super) fn shade(windows: &[Window], end_s: f64, top: f64) -> Shape {
    let corners = windows
        .iter()
        .map(|window| (window.start_ms / 1e3, (window.end_ms / 1e3).min(end_s)))
        .filter(|(start, end)| start < end)
        .map(|(start, end)| [(start, 0.0), (end, top)])
        .collect();
    Shape::Boxes { corners, ink: OUTAGE.light, opacity: 0.3 }
}

fn in_s_and_ms((at_ns, value_ns): (u64, u64)) -> (f64, f64) {
    (at_ns as f64 / NS_PER_S, value_ns as f64 / NS_PER_MS)
}

/// A box that is high enough to be seen in a plot that reaches up to `top`, also where its ends are one.
pub(super) fn seen([(left, bottom), (right, upper)]: [(f64, f64); 2], top: f64) -> [(f64, f64); 2] {
    let half = 0.004 * top;
    if upper - bottom < 2.0 * half {
        let middle = (0.5 * (bottom + upper)).max(half);
        return [(left, middle - half), (right, middle + half)];
    }
    [(left, bottom), (right, upper)]
}

/// Points as they are, or binned with their extremes kept; and whether they were binned.
pub(super) fn cloud(points: &Cloud, top: f64) -> (Vec<Shape>, bool) {
    let ink = MEASURED.light;
    if let Some(points) = points.points() {
        let at = points.iter().copied().map(in_s_and_ms).collect();
        return (vec![Shape::Dots { at, ink, opacity: 0.7, radius: 3 }], false);
    }
    let width = points.bands().width_s();
    let bands: Vec<Option<(u64, u64, u64)>> = points.bands().all().iter().map(Band::figures).collect();
    let ms = |ns: u64| ns as f64 / NS_PER_MS;
    let corner = |(place, band): (usize, &Option<(u64, u64, u64)>)| {
        let (least, _, most) = (*band)?;
        Some(seen([(place as f64 * width, ms(least)), ((place + 1) as f64 * width, ms(most))], top))
    };
    let corners = bands.iter().enumerate().filter_map(corner).collect();
    let mut shapes = vec![Shape::Boxes { corners, ink, opacity: 0.35 }];
    // Where no packet came through there is no median either.
    let mut through = Vec::new();
    for (place, band) in bands.iter().chain([&None]).enumerate() {
        match band {
            Some((_, median, _)) => through.push(((place as f64 + 0.5) * width, ms(*median))),
            None if through.is_empty() => {}
            None => shapes.push(Shape::Line { through: std::mem::take(&mut through), ink, width: 3 }),
        }
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
fn treated(of_it: &Cloud, ink: &Ink) -> Option<Shape> {
    let width = of_it.bands().width_s();
    let at: Vec<(f64, f64)> = match of_it.points() {
        Some(points) => points.iter().copied().map(in_s_and_ms).collect(),
        None => {
            let bands = of_it.bands().all().iter().enumerate();
            let median = |(place, band): (usize, &Band)| {
                band.figures().map(|(_, median, _)| ((place as f64 + 0.5) * width, median as f64 / NS_PER_MS))
            };
            bands.filter_map(median).collect()
        }
    };
    (!at.is_empty()).then_some(Shape::Dots { at, ink: ink.light, opacity: 0.9, radius: 5 })
}

/// Room above the largest value; 1 where there is none.
pub(super) fn above(most: f64) -> f64 {
    if most > 0.0 { 1.12 * most } else { 1.0 }
}

/// Actual delay over time, drops along the top, outages shaded.
pub(super) fn delay_over_time(name: &str, plot: &DirectionPlot, windows: &[Window], end_s: f64) -> Plot {
    if plot.n == 0 {
        return Ok(None);
    }
    let most = plot.treated.iter().map(Cloud::most).fold(plot.delays.most(), u64::max);
    let (n, drops, top) = (plot.delays.n(), plot.dropped, above(most as f64 / NS_PER_MS));
    let mut shapes = vec![shade(windows, end_s, top)];
    let (points, binned) = cloud(&plot.delays, top);
    shapes.extend(points);
    // Too many to be told apart say nothing that the plot of fates does not say better.
    let ticked = drops > 0 && drops <= MOST_TICKS as u64;
    let mut keys = Vec::new();
    for (ink, meaning) in [
        (&LOSS, "lost (along the top)"),
        (&QUEUE, "dropped by queue or policer (along the top)"),
        (&OUTAGE, "lost on its way (along the top)"),
        (&HARNESS, "lost by the harness (along the top)"),
    ] {
        let of_it = plot.first_dropped.iter().filter(|(_, class)| ticked && *class == ink.class);
        if let Some(shape) = ticks(of_it.map(|(at, _)| *at), ink, end_s, top) {
            keys.push((ink, meaning));
            shapes.push(shape);
        }
    }
    for (how, ink, meaning) in TREATMENTS {
        if let Some(dots) = treated(&plot.treated[how as usize], ink) {
            keys.push((ink, meaning));
            shapes.push(dots);
        }
    }
    let title = format!("Delay over time, {}", words::spaced(name));
    let description = format!("{n} packets came through, {drops} were dropped outside outages.");
    let frame = frame_over_time(end_s, top, "delay in ms");
    let caption = html! {
        (swatch(&MEASURED, if binned { "actual delay: smallest to largest, median as a line" } else { "actual delay" }))
        @for (ink, meaning) in keys { (swatch(ink, meaning)) }
        @if !windows.is_empty() { (swatch(&OUTAGE, "link down")) }
    };
    figure(&title, &description, &frame, MARGIN, HEIGHT, &shapes, caption).map(Some)
}

/// The title of a direction's fates.
pub(super) fn fates_of(name: &str) -> String {
    format!("Fates over time, {}", words::spaced(name))
}

/// Which share of `n` packets was dropped over time, by cause.
pub(super) fn fates_over_time(title: &str, over_time: &Stretches<Fates>, n: u64, end_s: f64) -> Plot {
    if n == 0 {
        return Ok(None);
    }
    // Bars of as many stretches of time as leave a share something to be of.
    let fine = over_time.all();
    let together = fine.len().div_ceil((n / 16).clamp(10, 60) as usize).max(1);
    let width = together as f64 * over_time.width_s();
    let merged = |bins: &[Fates]| {
        let mut all = Fates::default();
        bins.iter().for_each(|bin| all.merge(*bin));
        all
    };
    let fates: Vec<Fates> = fine.chunks(together).map(merged).collect();
    let count = fates.len();
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
                let (start, end) = (bin as f64 * width, ((bin as f64 + 0.92) * width).min(end_s));
                corners.push([(start, *below), (end, *below + share)]);
                *below += share;
            }
        }
        shapes.push(Shape::Boxes { corners, ink: of_cause(cause).light, opacity: 0.95 });
    }
    let top = below.iter().copied().fold(0.0, f64::max).max(1.0) * 1.08;
    let frame = frame_over_time(end_s, top.min(100.0), "dropped in %");
    let caption = html! {
        @for cause in &shown { (swatch(of_cause(cause), cause)) }
        @if shown.is_empty() { "No packet was dropped. " }
        "of the packets offered in each " (words::figure(width)) " s"
    };
    let description = format!("Of {n} packets dropped: {}.", totals.join(", "));
    figure(title, &description, &frame, MARGIN, HEIGHT, &shapes, caption).map(Some)
}

/// Steps of a distribution function that can be told apart, the ends included.
fn few(steps: &[(f64, f64)]) -> impl Iterator<Item = (f64, f64)> + '_ {
    const MOST: usize = 400;
    let stride = steps.len().div_ceil(MOST).max(1);
    let last = steps.len().saturating_sub(1);
    steps.iter().enumerate().filter(move |(at, _)| at % stride == 0 || *at == last).map(|(_, step)| *step)
}

/// The distribution function of nanoseconds, in milliseconds and percent, up to the right end of the plot.
pub(super) fn distribution(values: &Histogram<7>, right: f64) -> Shape {
    let mut through = vec![(values.least() as f64 / NS_PER_MS, 0.0)];
    through.extend(few(&values.steps()).map(|(ns, p)| (ns / NS_PER_MS, 100.0 * p)));
    through.push((right, 100.0));
    Shape::Line { through, ink: MEASURED.light, width: 4 }
}

/// The distribution function of intended delays beside the configured one.
pub(super) fn intended_delay(name: &str, plot: &DirectionPlot) -> Plot {
    if plot.intended.n() == 0 {
        return Ok(None);
    }
    let percent = |points: &[(f64, f64)]| points.iter().map(|(x, p)| (*x, 100.0 * p)).collect::<Vec<_>>();
    let in_ms = |ns: u64| ns as f64 / NS_PER_MS;
    let most = in_ms(plot.intended.most());
    let configured_most = plot.configured_cdf.last().map_or(0.0, |(ms, _)| *ms);
    let right = 1.05 * most.max(configured_most).max(0.1);
    let mut shapes = vec![distribution(&plot.intended, right)];
    if let Some((first, _)) = plot.configured_cdf.first() {
        let mut configured = vec![(*first, 0.0)];
        configured.extend(percent(&plot.configured_cdf));
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
    let description = format!("Share of {} packets with at most so much delay.", plot.intended.n());
    figure(&title, &description, &frame, MARGIN, HEIGHT, &shapes, caption).map(Some)
}

/// The histogram of lateness, this host's own timer beside it.
pub(super) fn lateness(name: &str, plot: &DirectionPlot, lateness: &Lateness) -> Plot {
    let n = plot.late.n();
    if n == 0 {
        return Ok(None);
    }
    let host = lateness.host_idle_timer_us.as_ref();
    let marks: Vec<f64> = host.map_or_else(Vec::new, |host| [host.p50, host.p99].into_iter().flatten().collect());
    let values = || plot.late.values().map(|(ns, n)| (ns as f64 / 1e3, n));
    let late = || values().map(|(us, _)| us).chain(marks.iter().copied()).filter(|us| *us > 0.0);
    let low = late().fold(1e9, f64::min).log10().floor().max(-1.0) as i32;
    let high = (late().fold(1.0, f64::max).log10().ceil() as i32).max(low + 1);
    let shares = decades(values(), low, high, 10);
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
    let early = plot.early;
    let caption = html! {
        (swatch(&MEASURED, "actual minus intended release"))
        @if !marks.is_empty() { (swatch(&CONFIGURED, "this host's idle timer error, p50 and p99")) }
        @if early > 0 { (early) " released before their time, shown in the first bar" }
    };
    let title = format!("Lateness, {}", words::spaced(name));
    let description = format!("How late {n} packets left; {early} left early.");
    figure(&title, &description, &frame, MARGIN, HEIGHT, &shapes, caption).map(Some)
}

/// The time from command to state over the run.
pub(super) fn commands_over_time(commands: &[CommandPoint], windows: &[Window], end_s: f64) -> Plot {
    if commands.is_empty() {
        return Ok(None);
    }
    let mut points = Cloud::default();
    commands.iter().for_each(|command| points.push(command.at_ns, command.time_to_state_ns));
    let (n, top) = (points.n(), above(points.most() as f64 / NS_PER_MS));
    let mut shapes = vec![shade(windows, end_s, top)];
    let (cloud, binned) = cloud(&points, top);
    shapes.extend(cloud);
    let frame = frame_over_time(end_s, top, "to state in ms");
    let caption = html! {
        (swatch(&MEASURED, if binned { "smallest to largest, median as a line" } else { "one command at one peer" }))
        @if !windows.is_empty() { (swatch(&OUTAGE, "link down")) }
        "missed commands have no time"
    };
    let description = format!("{n} commands, each from its intended send time to the changed state.");
    figure("Time from command to state", &description, &frame, MARGIN, HEIGHT, &shapes, caption).map(Some)
}

/// The medians of the stages, each starting where the one before ends; `of` are those that took that way.
pub(super) fn latency_split(split: &LatencySplit, of: &str) -> Plot {
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
        "Medians of " (words::count(split.total.n)) " " (of) ", each stage after the one before; they do not add up "
        "exactly: the whole has a median of " (total) " ms. "
        @if split.unjoined > 0 { (words::count(split.unjoined)) " " (of) " could not be joined to what was captured. " }
        @if split.unanswered > 0 { (words::count(split.unanswered)) " commands arrived without an answer." }
    };
    let height = 90 + 46 * split.stages.len() as u32;
    figure("Where the latency went", &parts.join(", "), &frame, 300, height, &shapes, caption).map(Some)
}
