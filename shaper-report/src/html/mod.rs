//! One self-contained page: `report.html`, or that of captures. No script, no network, no font of its own; light and dark.

mod bins;
pub mod capture;
mod chart;
mod charts;
mod data;
mod departures;
mod drawing;
mod link_charts;
mod palette;
mod scene;
mod tables;
mod webrtc;

use maud::{DOCTYPE, Markup, PreEscaped, html};

pub use drawing::preview;

pub use data::{CommandPoint, DirectionPlot, Outcome, PacketPoint, Plots, Treated, Treatment};

use crate::agreement::Agreement;
use crate::summary::{Summary, Window};
use crate::words;

/// Directions plotted; of more, those whose agreement is worst.
const PLOTTED: usize = 4;

/// Why the page could not be made.
#[derive(Debug, thiserror::Error)]
pub enum HtmlError {
    /// A plot could not be drawn.
    #[error("cannot draw the plot \"{plot}\" of the report: {source}")]
    Plot {
        /// Its title.
        plot: String,
        /// What the drawing said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// The page of a run.
///
/// # Errors
/// When a plot cannot be drawn.
pub fn report(summary: &Summary, plots: &Plots) -> Result<String, HtmlError> {
    let run = &summary.run;
    let body = html! {
        header {
            h1 { (run.name) }
            p.soft {
                (run.workload) " through " (run.profile) ", " (words::shortest(run.duration_s)) " s, seed "
                (run.seed) ", " (run.started)
            }
        }
        main {
            (headline(summary))
            (tables::findings(summary))
            (tables::links(summary))
            (webrtc::webrtc(summary, &outages(summary), end_of(summary, plots))?)
            (plotted(summary, plots)?)
            (scene::scene(summary))
            (tables::application(summary))
            (application_plots(summary, plots)?)
            (tables::evidence(summary))
        }
        footer {
            "shaper " (run.version) ", engine " (run.engine)
            @if let Some(mode) = &run.xdp_mode { " (" (mode) " XDP)" }
            ", kernel " (run.kernel)
            ". Every figure stands in summary.json beside this page. Percentiles by nearest rank."
        }
    };
    Ok(page(&run.name, &body))
}

/// A whole page, with all that it needs in it.
fn page(title: &str, body: &Markup) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (title) }
                style { (PreEscaped(include_str!("style.css"))) (PreEscaped(palette::rules())) }
            }
            body { (body) }
        }
    };
    page.into_string()
}

/// The class of an agreement.
fn class(agreement: Agreement) -> &'static str {
    match agreement {
        Agreement::Yes => "yes",
        Agreement::No => "no",
        Agreement::TooFew => "few",
    }
}

fn tile(figure: &Markup, what: &str) -> Markup {
    html! { div.tile { b { (figure) } span { (what) } } }
}

fn headline(summary: &Summary) -> Markup {
    let (mark, word) = match summary.exit_code {
        0 => ("yes", "held"),
        1 => ("no", "failed"),
        _ => ("no", "could not run"),
    };
    let worst = worst_first(summary).first().map(|(_, agreement)| *agreement);
    let over = |result| if result == worst { "all directions" } else { "the worst direction" };
    let same = summary.directions.values().all(|direction| Some(direction.agree.result) == worst);
    html! {
        section.headline aria-label="In short" {
            (tile(&html! { span class=(mark) style="font-size:inherit;color:inherit" { (word) } },
                &format!("the run, exit {}", summary.exit_code)))
            @if let Some(grade) = &summary.grade {
                (tile(&html! { (grade.result.map_or("not graded", |level| level.name())) }, "grade"))
            }
            @if let Some(worst) = worst {
                (tile(&html! { (worst.name()) },
                    &format!("agrees with the settings, {}", if same { over(Some(worst)) } else { over(None) })))
            }
            @if let Some(commands) = &summary.commands {
                (tile(&html! { (words::count(commands.total.delivered)) " of " (words::count(commands.total.intended)) },
                    "commands delivered"))
            }
            @if let Some(response) = &summary.response_time_ms {
                (tile(&html! { (words::percentile(response, response.p50)) " ms" }, "median response time"))
            }
            @if let Some(webrtc) = &summary.webrtc {
                @if let Some(connected) = &webrtc.connected {
                    (tile(&html! { (words::count(connected.count)) " of " (words::count(connected.of)) },
                        "clients connected"))
                }
                (tile(&html! { (words::percentile(&webrtc.end_to_end_ms, webrtc.end_to_end_ms.p50)) " ms" },
                    "median from end to end"))
            }
            (tile(&html! { (words::count(summary.oracle.mismatches)) " of " (words::count(summary.oracle.checked)) },
                "fates differ from their replay"))
        }
    }
}

/// The directions, those that disagree first.
fn worst_first(summary: &Summary) -> Vec<(&String, Agreement)> {
    let rank = |agreement: &Agreement| match agreement {
        Agreement::No => 0,
        Agreement::TooFew => 1,
        Agreement::Yes => 2,
    };
    let mut all: Vec<_> = summary.directions.iter().map(|(name, direction)| (name, direction.agree.result)).collect();
    all.sort_by_key(|(_, agreement)| rank(agreement));
    all
}

fn plotted(summary: &Summary, plots: &Plots) -> Result<Markup, HtmlError> {
    let end_s = end_of(summary, plots);
    let mut names: Vec<&String> = worst_first(summary).into_iter().map(|(name, _)| name).collect();
    names.retain(|name| plots.directions.contains_key(*name));
    let left_out = names.len().saturating_sub(PLOTTED);
    names.truncate(PLOTTED);
    names.sort();
    let mut figures = Vec::new();
    for name in names {
        let (Some(direction), Some(plot)) = (summary.directions.get(name), plots.directions.get(name)) else {
            continue;
        };
        let windows = &direction.configured.outage_windows;
        figures.extend(charts::delay_over_time(name, plot, windows, end_s)?);
        figures.extend(charts::fates_over_time(&charts::fates_of(name), &plot.fates, plot.n, end_s)?);
        figures.extend(charts::intended_delay(name, plot)?);
        figures.extend(link_charts::losses_in_a_row(name, plot, &direction.configured)?);
        figures.extend(link_charts::reordering(name, plot)?);
        figures.extend(link_charts::backlog(name, plot, windows, end_s)?);
        figures.extend(charts::lateness(name, plot, &summary.lateness)?);
    }
    Ok(html! {
        @if !figures.is_empty() {
            section.plots aria-label="The link, plotted" { @for figure in &figures { (figure) } }
            @if left_out > 0 { p.soft { (left_out) " more directions are not plotted." } }
        }
        @if !plots.notes.is_empty() {
            section aria-label="Of the plots" {
                h2 { "Of the plots" }
                ul.findings { @for note in &plots.notes { li.note { span { (note) } } } }
            }
        }
    })
}

fn application_plots(summary: &Summary, plots: &Plots) -> Result<Markup, HtmlError> {
    let windows = outages(summary);
    let mut figures = Vec::new();
    figures.extend(charts::commands_over_time(&plots.commands, &windows, end_of(summary, plots))?);
    if let Some(split) = &summary.latency_split {
        figures.extend(charts::latency_split(split, "commands")?);
    }
    Ok(html! {
        @if !figures.is_empty() {
            section.plots aria-label="The application, plotted" { @for figure in &figures { (figure) } }
        }
    })
}

/// The outages of all links, each once.
fn outages(summary: &Summary) -> Vec<Window> {
    let all = summary.directions.values().flat_map(|direction| direction.configured.outage_windows.iter().copied());
    all.fold(Vec::new(), |mut distinct, window| {
        if !distinct.contains(&window) {
            distinct.push(window);
        }
        distinct
    })
}

/// The end of every time axis, in seconds: that of the run, or of what came after it.
fn end_of(summary: &Summary, plots: &Plots) -> f64 {
    let packets = plots.directions.values().map(|plot| plot.last_ns);
    let commands = plots.commands.iter().map(|command| command.at_ns);
    let last = packets.chain(commands).max().unwrap_or(0) as f64 / 1e9;
    summary.run.duration_s.max(last).max(1e-3)
}
