//! What packets did to each other on the way, plotted: losses in a row, overtaking, and the backlog.

use maud::html;

use super::chart::{Frame, HEIGHT, Shape, figure};
use super::charts::{MARGIN, Plot, above, frame_over_time, plain, seen, shade, swatch};
use super::data::DirectionPlot;
use super::departures::{EXTENTS, Held, LENGTHS, Reordering, Runs};
use super::palette::{CONFIGURED, LOSS, MEASURED, OUTAGE};
use crate::summary::{Configured, Window};
use crate::words;

/// Bars of at most this many lengths.
const MOST_BARS: usize = 32;
const _: () = assert!(MOST_BARS <= LENGTHS);

/// The share of runs that have each length, where lengths are geometric of mean `mean`: what packets lost on their own
/// give, with a mean of 1/(1-p), and the simple Gilbert model (Gilbert, "Capacity of a Burst-Noise Channel", 1960).
fn geometric(mean: f64, length: usize) -> f64 {
    let stays = 1.0 - 1.0 / mean;
    (1.0 - stays) * stays.powf(length as f64 - 1.0)
}

/// Runs of losses by their length.
pub(super) struct Lengths {
    pub(super) runs: u64,
    pub(super) dropped: u64,
    pub(super) longest: u64,
    /// Runs longer than the last bar says.
    pub(super) beyond: u64,
    /// Of runs of 1, 2 and so on, in percent.
    pub(super) shares: Vec<f64>,
}

impl Lengths {
    /// None without a run.
    pub(super) fn of(runs_of_losses: &Runs) -> Option<Self> {
        let (by_length, dropped) = runs_of_losses.counted();
        let runs: u64 = by_length.iter().sum();
        if runs == 0 {
            return None;
        }
        let bars = by_length.iter().rposition(|count| *count > 0).map_or(1, |place| place + 1).clamp(6, MOST_BARS);
        let share = |count: u64| 100.0 * count as f64 / runs as f64;
        let beyond: u64 = by_length.iter().skip(bars).sum();
        let mut shares: Vec<f64> = by_length.iter().take(bars).map(|count| share(*count)).collect();
        if let Some(last) = shares.last_mut() {
            *last += share(beyond);
        }
        Some(Self { runs, dropped, longest: runs_of_losses.longest(), beyond, shares })
    }
}

pub(super) fn runs_as_bars(shares: &[f64]) -> Shape {
    let corners = shares.iter().zip(1u32..).filter(|(share, _)| **share > 0.0);
    let corners = corners.map(|(share, run)| [(f64::from(run) - 0.4, 0.0), (f64::from(run) + 0.4, *share)]).collect();
    Shape::Boxes { corners, ink: LOSS.light, opacity: 0.9 }
}

/// Lengths of runs on an axis: whole numbers alone.
pub(super) fn whole(value: f64) -> String {
    if value.fract().abs() < 1e-6 { words::shortest(value) } else { String::new() }
}

/// How long runs of losses were, beside what is configured.
pub(super) fn losses_in_a_row(name: &str, plot: &DirectionPlot, configured: &Configured) -> Plot {
    let Some(Lengths { runs, dropped, longest, beyond, shares }) = Lengths::of(&plot.runs) else { return Ok(None) };
    let bars = shares.len();
    // With drops of other causes between them, what the loss model alone would do is no expectation.
    let ratio = configured.loss_ratio;
    let mean = configured.loss_burst.or((ratio > 0.0 && ratio < 1.0).then(|| 1.0 / (1.0 - ratio)));
    let mean = mean.filter(|mean| *mean >= 1.0 && !plot.others_dropped);
    let expected: Vec<(f64, f64)> =
        mean.map_or_else(Vec::new, |mean| (1..=bars).map(|run| (run as f64, 100.0 * geometric(mean, run))).collect());
    let most = shares.iter().copied().chain(expected.iter().map(|(_, share)| *share)).fold(0.0, f64::max);
    let mut shapes = vec![runs_as_bars(&shares)];
    if !expected.is_empty() {
        shapes.push(Shape::Dots { at: expected, ink: CONFIGURED.light, opacity: 1.0, radius: 6 });
    }
    let frame = Frame {
        x: (0.0, bars as f64 + 1.0),
        y: (0.0, above(most)),
        x_title: "packets lost in a row",
        y_title: "runs in %",
        x_labels: 8,
        x_label: &whole,
        y_label: &plain,
    };
    let measured_mean = dropped as f64 / runs as f64;
    let caption = html! {
        (swatch(&LOSS, "in this run"))
        @if let Some(mean) = mean {
            (swatch(&CONFIGURED, if configured.loss_burst.is_some() { "geometric of the configured mean" } else {
                "configured, each lost on its own"
            }))
            "mean " (words::figure(measured_mean)) ", configured " (words::figure(mean)) ". "
        } @else {
            "mean " (words::figure(measured_mean)) ". "
        }
        @if plot.others_dropped { "Drops of queue, policer and path are counted too. " }
        "Outages apart. "
        @if beyond > 0 { "The last bar is of " (bars) " and more. " }
        "The longest run was of " (words::count(longest))
    };
    let title = format!("Losses in a row, {}", words::spaced(name));
    let description = format!("{runs} runs of {dropped} lost packets, the longest of {longest}.");
    figure(&title, &description, &frame, MARGIN, HEIGHT, &shapes, caption).map(Some)
}

/// By how many packets those were overtaken that were.
pub(super) fn reordering(name: &str, plot: &DirectionPlot) -> Plot {
    let what = "left after a later packet, by how many places";
    let followed = if plot.departures.beyond() > 0 { ", as far as packets under way were followed" } else { "" };
    extents(name, &plot.departures.reordering(), what, &format!("By release times{followed}"))
}

/// Packets by their extent; `what` they are and what is to be said of it.
pub(super) fn extents(name: &str, found: &Reordering, what: &str, note: &str) -> Plot {
    let Reordering { left, reordered, largest, by_extent } = *found;
    if reordered == 0 {
        return Ok(None);
    }
    let bars = by_extent.iter().rposition(|count| *count > 0).map_or(1, |place| place + 1).clamp(4, EXTENTS);
    let share = |count: u64| 100.0 * count as f64 / left.max(1) as f64;
    let shares: Vec<f64> = by_extent.iter().take(bars).map(|count| share(*count)).collect();
    let corners = shares.iter().zip(0u32..).filter(|(share, _)| **share > 0.0);
    let corners =
        corners.map(|(share, place)| [(f64::from(place) + 0.04, 0.0), (f64::from(place) + 0.96, *share)]).collect();
    let from = |value: f64| {
        let whole = value.round();
        if (value - whole).abs() > 1e-6 { String::new() } else { words::shortest(whole.exp2()) }
    };
    let frame = Frame {
        x: (0.0, bars as f64),
        y: (0.0, above(shares.iter().copied().fold(0.0, f64::max))),
        x_title: "reordering extent in packets, logarithmic",
        y_title: "packets in %",
        x_labels: bars + 1,
        x_label: &from,
        y_label: &plain,
    };
    let caption = html! {
        (swatch(&MEASURED, what))
        (words::count(reordered)) " of " (words::count(left)) " packets; the largest extent is "
        (words::count(largest)) " (RFC 4737, 4.2.1). " (note)
    };
    let title = format!("Reordering, {}", words::spaced(name));
    let description = format!("{reordered} of {left} packets came after a later one, the largest extent is {largest}.");
    let shapes = [Shape::Boxes { corners, ink: MEASURED.light, opacity: 0.9 }];
    figure(&title, &description, &frame, MARGIN, HEIGHT, &shapes, caption).map(Some)
}

/// How many packets were between arrival and release.
pub(super) fn backlog(name: &str, plot: &DirectionPlot, windows: &[Window], end_s: f64) -> Plot {
    let stretches = plot.departures.backlog();
    let width = stretches.width_s();
    let held: Vec<Option<(f64, f64, f64)>> = stretches.all().iter().map(Held::figures).collect();
    let most = held.iter().flatten().map(|held| held.2).fold(0.0, f64::max);
    if most <= 0.0 {
        return Ok(None);
    }
    let top = above(most);
    let mut shapes = vec![shade(windows, end_s, top)];
    let filled = held.iter().enumerate().filter_map(|(place, held)| held.map(|held| (place as f64 * width, held)));
    let corners = filled.map(|(at, (least, _, most))| seen([(at, least), (at + width, most)], top)).collect();
    shapes.push(Shape::Boxes { corners, ink: MEASURED.light, opacity: 0.35 });
    // Where nothing came in nothing was counted.
    let mean = held.iter().map(|held| held.map(|(_, mean, _)| mean)).chain([None]);
    let mut through = Vec::new();
    for (place, mean) in mean.enumerate() {
        match mean {
            Some(mean) => through.push(((place as f64 + 0.5) * width, mean)),
            None if through.is_empty() => {}
            None => {
                let through = std::mem::take(&mut through);
                shapes.push(Shape::Line { through, ink: MEASURED.light, width: 2 });
            }
        }
    }
    let frame = frame_over_time(end_s, top, "packets held");
    let caption = html! {
        (swatch(&MEASURED, "least to most at arrivals, mean as a line"))
        @if !windows.is_empty() { (swatch(&OUTAGE, "link down")) }
        "in the queue or on the way: arrived, not yet released"
        @if plot.departures.beyond() > 0 { "; more than are shown" }
    };
    let title = format!("Backlog over time, {}", words::spaced(name));
    let description = format!("At most {most} packets were held at once.");
    figure(&title, &description, &frame, MARGIN, HEIGHT, &shapes, caption).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn geometric_lengths_have_the_mean_they_are_of() {
        for mean in [1.0, 1.0 / 0.95, 3.0, 10.0] {
            let share = |run: usize| geometric(mean, run);
            assert!(((1..2_000).map(share).sum::<f64>() - 1.0).abs() < 1e-9, "{mean}");
            assert!(((1..2_000).map(|run| run as f64 * share(run)).sum::<f64>() - mean).abs() < 1e-6, "{mean}");
        }
    }
}
