//! The page of one or two captures: findings, tables and plots, of whatever is put in.

mod load;
mod path;
mod table;

use maud::{Markup, html};

pub use load::LoadPlot;
pub use path::{PathFate, PathPlot};
pub use table::{Cell, Column, Table};

use super::HtmlError;
use crate::summary::Severity;

/// What the page says, in its order.
#[derive(Clone, Debug, Default)]
pub struct CapturePage {
    /// Its title.
    pub title: String,
    /// What it is of, a line each.
    pub about: Vec<String>,
    /// What matters most: figures and what they are of.
    pub tiles: Vec<(Cell, String)>,
    /// Sentences, the gravest first.
    pub findings: Vec<(Severity, String)>,
    /// The rest.
    pub sections: Vec<Section>,
    /// Where the figures come from.
    pub footer: String,
}

/// A part of the page.
#[derive(Clone, Debug, Default)]
pub struct Section {
    /// Its heading.
    pub heading: String,
    /// Tables, those without rows left out.
    pub tables: Vec<Table>,
    /// Plots, those of nothing left out.
    pub plots: Vec<Plotted>,
    /// What is to be known of it, a sentence each.
    pub notes: Vec<String>,
}

/// What a section plots.
#[derive(Clone, Debug)]
pub enum Plotted {
    /// What became of packets, of each direction under its name.
    Paths(Vec<(String, PathPlot)>),
    /// How much passed over time.
    Load(Box<LoadPlot>),
}

/// The page.
///
/// # Errors
/// When a plot cannot be drawn.
pub fn page(page: &CapturePage) -> Result<String, HtmlError> {
    let sections = page.sections.iter().map(section).collect::<Result<Vec<_>, _>>()?;
    let body = html! {
        header {
            h1 { (page.title) }
            @for line in &page.about { p.soft { (line) } }
        }
        main {
            @if !page.tiles.is_empty() {
                section.headline aria-label="In short" {
                    @for (figure, what) in &page.tiles { (super::tile(&html! { (figure) }, what)) }
                }
            }
            section aria-label="Findings" {
                @if page.findings.is_empty() { p { "No findings." } } @else {
                    ul.findings {
                        @for (severity, text) in &page.findings {
                            li class=(severity.name()) { b { (severity.name()) } " " span { (text) } }
                        }
                    }
                }
            }
            @for section in sections { (section) }
        }
        footer { (page.footer) }
    };
    Ok(super::page(&page.title, &body))
}

fn section(section: &Section) -> Result<Markup, HtmlError> {
    let mut figures = Vec::new();
    for plotted in &section.plots {
        match plotted {
            Plotted::Paths(paths) => figures.extend(path::figures(paths)?),
            Plotted::Load(plot) => figures.extend(plot.figure()?),
        }
    }
    let tables: Vec<&Table> = section.tables.iter().filter(|table| !table.rows.is_empty()).collect();
    if figures.is_empty() && tables.is_empty() && section.notes.is_empty() {
        return Ok(html! {});
    }
    Ok(html! {
        section {
            h2 { (section.heading) }
            @for table in tables { (table) }
            @if !figures.is_empty() { div.plots { @for figure in &figures { (figure) } } }
            @for note in &section.notes { p.soft { (note) } }
        }
    })
}
