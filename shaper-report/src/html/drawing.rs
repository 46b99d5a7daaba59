//! Plots as a drawing of their own: one SVG file that needs no page around it.

use maud::{PreEscaped, html};

use super::chart::{Figure, WIDTH};
use super::data::DirectionPlot;
use super::palette::{CHANGED, CONFIGURED, COPY, Ink, LOSS, MARKED, MEASURED, OUTAGE, QUEUE, TEXT, hex};
use super::{HtmlError, charts};
use crate::summary::Window;

/// The room above a plot for its title.
const TITLE: u32 = 44;
/// The room for what the colours mean.
const LEGEND: u32 = 48;

/// What one direction does to a stream that ends after `end_s` seconds: delay over time with the outages, drops over
/// time where there are any, and the distribution of delays beside the configured one.
///
/// # Errors
/// When a plot cannot be drawn.
pub fn preview(name: &str, plot: &DirectionPlot, windows: &[Window], end_s: f64) -> Result<String, HtmlError> {
    let mut figures = Vec::new();
    figures.extend(charts::delay_over_time(name, plot, windows, end_s)?);
    if plot.delays.n() < plot.n {
        figures.extend(charts::fates_over_time(&charts::fates_of(name), &plot.fates, plot.n, end_s)?);
    }
    figures.extend(charts::intended_delay(name, plot)?);
    Ok(drawing(&figures))
}

/// The figures one below the other.
fn drawing(figures: &[Figure]) -> String {
    let height: u32 = figures.iter().map(|figure| figure.height + TITLE).sum::<u32>() + LEGEND;
    let mut top = 0;
    let placed: Vec<(u32, &Figure)> = figures
        .iter()
        .map(|figure| {
            let at = top;
            top += figure.height + TITLE;
            (at, figure)
        })
        .collect();
    let keys = legend(figures);
    let drawing = html! {
        svg xmlns="http://www.w3.org/2000/svg" viewBox=(format!("0 0 {WIDTH} {height}")) font-family="sans-serif" {
            rect width="100%" height="100%" fill="#FFFFFF" {}
            @for (top, figure) in placed {
                text x="16" y=(top + 30) font-size="22" fill=(hex(TEXT.light)) { (figure.title) }
                svg y=(top + TITLE) width=(WIDTH) height=(figure.height)
                    viewBox=(format!("0 0 {WIDTH} {}", figure.height)) {
                    desc { (figure.description) }
                    (PreEscaped(&figure.inner))
                }
            }
            @for (left, ink, meaning) in keys {
                rect x=(left) y=(height - 34) width="18" height="18" fill=(hex(ink.light)) {}
                text x=(left + 24) y=(height - 18) font-size="16" fill=(hex(TEXT.light)) { (meaning) }
            }
        }
    };
    drawing.into_string()
}

/// The colours that the figures have and what they mean, each with its place.
fn legend(figures: &[Figure]) -> Vec<(usize, &'static Ink, &'static str)> {
    const KEYS: [(&Ink, &str); 8] = [
        (&MEASURED, "drawn"),
        (&CONFIGURED, "configured"),
        (&COPY, "copy"),
        (&CHANGED, "changed"),
        (&MARKED, "marked CE"),
        (&LOSS, "lost"),
        (&QUEUE, "dropped by queue or policer"),
        (&OUTAGE, "link down"),
    ];
    let used = KEYS.into_iter().filter(|(ink, _)| figures.iter().any(|figure| figure.inner.contains(&hex(ink.light))));
    used.scan(16, |left, (ink, meaning)| {
        let at = *left;
        // A swatch, the words at nine a letter, and the room to the next one.
        *left += 24 + 9 * meaning.len() + 20;
        Some((at, ink, meaning))
    })
    .collect()
}
