//! Two captures: findings, figures by direction and by flow, and what became of each packet, plotted.

use shaper_offline::analyze::{
    self, Analysis, Comparison, Ending, Fate, Figures, FlowFigures, PacketRecord, Sink, Way,
};
use shaper_offline::stats::Summary;
use shaper_report::html::capture::{self, CapturePage, Cell, PathFate, PathPlot, Plotted, Section, Table};

use super::{FOOTER, ROWS, left_out, severity, short};

const WAYS: [(Way, &str); 2] = [(Way::AToB, "A to B"), (Way::BToA, "B to A")];

/// Compares, and makes the page.
pub(in super::super) fn two(comparison: &Comparison<'_>) -> anyhow::Result<(Analysis, String)> {
    let mut first = First::default();
    let analysis = comparison.run_into(&mut first)?;
    let mut plots = Plots::of(&analysis, &first);
    // How the clocks stand to each other, and from where delays vary, is certain only now.
    comparison.run_into(&mut plots)?;
    let page = capture::page(&page(&analysis, plots.plots))?;
    Ok((analysis, page))
}

/// What is known only at the end.
#[derive(Default)]
struct First {
    ending: Ending,
    /// The smallest delay each way.
    least: [Option<i64>; 2],
    /// When the first packet was seen.
    began: Option<i64>,
}

const fn place(way: Way) -> usize {
    match way {
        Way::AToB => 0,
        Way::BToA => 1,
    }
}

impl Sink for First {
    fn packet(&mut self, packet: &PacketRecord<'_>) {
        let (Some(way), Some(sent)) = (packet.way, packet.sent().or(packet.arrived())) else { return };
        self.began = Some(self.began.map_or(sent.ts_ns, |began| began.min(sent.ts_ns)));
        if let (Fate::Matched, Some(delay), Some(least)) =
            (packet.fate, packet.delay_ns, self.least.get_mut(place(way)))
        {
            *least = Some(least.map_or(delay, |least| least.min(delay)));
        }
    }

    fn finish(&mut self, _: &Analysis, ending: &Ending) {
        self.ending = *ending;
    }
}

/// The packets of both directions.
struct Plots {
    plots: [PathPlot; 2],
    began: i64,
    /// What is taken off delays.
    off: [i64; 2],
    unproven: [bool; 2],
}

impl Plots {
    fn of(analysis: &Analysis, first: &First) -> Self {
        let Ending { shift_ns, a_to_b_unproven, b_to_a_unproven } = first.ending;
        let absolute = analysis.clock.is_absolute();
        let plot = if absolute { PathPlot::default() } else { PathPlot::of_variation() };
        let [least_a, least_b] = first.least.map(Option::unwrap_or_default);
        Self {
            plots: [plot.clone(), plot],
            began: first.began.unwrap_or(0),
            off: if absolute { [shift_ns, shift_ns.saturating_neg()] } else { [least_a, least_b] },
            unproven: [a_to_b_unproven, b_to_a_unproven],
        }
    }
}

impl Sink for Plots {
    fn packet(&mut self, packet: &PacketRecord<'_>) {
        let Some((way, sent)) = packet.way.zip(packet.sent()) else { return };
        let at = place(way);
        let (Some(plot), Some(off), Some(unproven)) = (self.plots.get_mut(at), self.off.get(at), self.unproven.get(at))
        else {
            return;
        };
        let fate = match packet.fate {
            Fate::Matched => PathFate::Arrived {
                delay_ns: packet.delay_ns.map(|delay| delay.saturating_sub(*off)),
                extent: packet.reordered.and_then(|displaced| u64::try_from(displaced.extent).ok()),
            },
            Fate::Corrupted => PathFate::Arrived { delay_ns: None, extent: None },
            Fate::Lost if !unproven => PathFate::Lost,
            Fate::Lost | Fate::Unmatched | Fate::Edge => PathFate::Unknown,
            // A copy is of a packet that was told of.
            Fate::Duplicate | Fate::ArrivalOnly | Fate::Uncounted => return,
        };
        plot.push(u64::try_from(sent.ts_ns.saturating_sub(self.began)).unwrap_or(0), fate);
    }
}

fn page(analysis: &Analysis, plots: [PathPlot; 2]) -> CapturePage {
    let [a, b] = &analysis.files;
    let paths = plots.into_iter().zip(WAYS).filter(|(plot, _)| plot.packets() > 0);
    let paths = paths.map(|(plot, (_, name))| (name.to_owned(), plot)).collect();
    let mut notes = Vec::new();
    if !analysis.clock.is_absolute() {
        notes.push(
            "The clocks are not known against each other: delays are those above the smallest one of their direction."
                .to_owned(),
        );
    }
    CapturePage {
        title: format!("{} and {}", title(a), title(b)),
        about: about(analysis),
        tiles: tiles(analysis),
        findings: analysis.findings.iter().map(|finding| (severity(finding.severity), finding.to_string())).collect(),
        sections: vec![
            Section {
                heading: "Both directions".to_owned(),
                tables: vec![directions(analysis), times(analysis)],
                ..Section::default()
            },
            Section {
                heading: "The path, plotted".to_owned(),
                plots: vec![Plotted::Paths(paths)],
                notes,
                ..Section::default()
            },
            flows(analysis),
        ],
        footer: FOOTER.to_owned(),
    }
}

fn title(file: &analyze::FileFound) -> String {
    let name = short(&file.path);
    file.interface.as_ref().map_or(name.clone(), |interface| format!("{name} {interface}"))
}

fn about(analysis: &Analysis) -> Vec<String> {
    let mut lines: Vec<String> = analysis
        .files
        .iter()
        .zip(["A", "B"])
        .map(|(file, name)| format!("{name}: {}, {} packets", file.name(), file.packets))
        .collect();
    let waiting = analysis.waiting_ns as f64 / 1e9;
    lines.push(format!("Clocks: {}. A packet counts as lost after {waiting} s.", analysis.clock));
    lines
}

fn tiles(analysis: &Analysis) -> Vec<(Cell, String)> {
    let mut tiles = vec![(Cell::Count(analysis.total.sent), "packets sent, both directions".to_owned())];
    for (figures, (_, name)) in [&analysis.a_to_b, &analysis.b_to_a].into_iter().zip(WAYS) {
        if figures.sent > 0 {
            tiles.push((Cell::Share(figures.loss_ratio), format!("lost, {name}")));
            tiles.push(match figures.delay_ns {
                Some(delay) => (Cell::Span(Some(delay.p50)), format!("median delay, {name}")),
                None => (Cell::Span(figures.pdv_ns.map(|pdv| pdv.p99)), format!("variation of delay (p99), {name}")),
            });
        }
    }
    tiles.push((Cell::Count(analysis.total.reordered), "packets reordered".to_owned()));
    tiles
}

/// A figure and its name.
type Named<T> = (&'static str, fn(&Figures) -> T);

/// A row for each count.
fn directions(analysis: &Analysis) -> Table {
    let mut table =
        Table::new("Packets. Loss periods: RFC 3357; reordering: RFC 4737", &["figure", "A to B", "B to A"]);
    let both = [&analysis.a_to_b, &analysis.b_to_a];
    let mut row = |name: &str, of: &dyn Fn(&Figures) -> Cell| {
        let [there, back] = both.map(of);
        table.rows.push(vec![Cell::Text(name.to_owned()), there, back]);
    };
    let counts: [Named<u64>; 9] = [
        ("sent", |f| f.sent),
        ("matched", |f| f.matched),
        ("lost", |f| f.lost),
        ("unmatched", |f| f.unmatched),
        ("edge", |f| f.edge),
        ("corrupted", |f| f.corrupted),
        ("duplicated", |f| f.duplicated),
        ("reordered", |f| f.reordered),
        ("arrived only", |f| f.arrivals_only),
    ];
    for (name, count) in counts {
        row(name, &|figures| Cell::Count(count(figures)));
    }
    row("loss", &|figures| Cell::Share(figures.loss_ratio));
    row("95 % interval of it", &|f| Cell::Interval(f.loss_interval.map(|interval| (interval.low, interval.high))));
    row("loss periods", &|figures| Cell::Count(figures.loss_runs.count));
    row("longest loss period", &|f| Cell::Whole(f.loss_runs.length.map(|length| length.max.unsigned_abs())));
    row("reordering ratio", &|figures| Cell::Share(figures.reordering.ratio));
    row("largest reordering extent", &|f| Cell::Whole(f.reordering.extent.map(|extent| extent.max.unsigned_abs())));
    table
}

/// A row for each spread of times that is known of either direction.
fn times(analysis: &Analysis) -> Table {
    let mut table = Table::new(
        "Times. PDV: delay above the smallest (RFC 5481); IPDV: from packet to packet (RFC 3393)",
        &["time", "min", "p50", "p90", "p99", "p99.9", "max", "mean", "packets"],
    );
    let spreads: [Named<Option<Summary>>; 3] =
        [("delay", |f| f.delay_ns), ("PDV", |f| f.pdv_ns), ("IPDV", |f| f.ipdv_ns)];
    for (name, spread) in spreads {
        for (figures, (_, way)) in [&analysis.a_to_b, &analysis.b_to_a].into_iter().zip(WAYS) {
            let Some(s) = spread(figures) else { continue };
            let mut row = vec![Cell::Text(format!("{name}, {way}"))];
            row.extend([s.min, s.p50, s.p90, s.p99, s.p999, s.max, s.mean as i64].map(|ns| Cell::Span(Some(ns))));
            row.push(Cell::Count(s.count));
            table.rows.push(row);
        }
    }
    table
}

fn flows(analysis: &Analysis) -> Section {
    const COLUMNS: [&str; 11] = [
        "flow",
        "sent",
        "lost",
        "loss",
        "unmatched",
        "corrupted",
        "duplicated",
        "reordered",
        "delay p50",
        "delay p99",
        "delay max",
    ];
    let mut notes = Vec::new();
    let table = |way: Option<Way>, name: &str| {
        let mut table = Table::new(name, &COLUMNS);
        let of_it: Vec<&FlowFigures> = analysis.flows.iter().filter(|flow| flow.way == way).collect();
        let of_delay =
            |flow: &FlowFigures, pick: fn(&Summary) -> i64| Cell::Span(flow.figures.delay_ns.as_ref().map(pick));
        table.rows = of_it
            .iter()
            .take(ROWS)
            .map(|flow| {
                let figures = &flow.figures;
                vec![
                    Cell::Name(flow.flow.to_string()),
                    Cell::Count(figures.sent),
                    Cell::Count(figures.lost),
                    Cell::Share(figures.loss_ratio),
                    Cell::Count(figures.unmatched),
                    Cell::Count(figures.corrupted),
                    Cell::Count(figures.duplicated),
                    Cell::Count(figures.reordered),
                    of_delay(flow, |delay| delay.p50),
                    of_delay(flow, |delay| delay.p99),
                    of_delay(flow, |delay| delay.max),
                ]
            })
            .collect();
        (table, left_out(of_it.len() as u64, "flows"))
    };
    let ways = WAYS.into_iter().map(|(way, name)| (Some(way), name)).chain([(None, "Without a direction")]);
    let mut tables = Vec::new();
    for (way, name) in ways {
        let (table, left_out) = table(way, name);
        tables.push(table);
        notes.extend(left_out.map(|words| format!("{name}: {words}")));
    }
    if analysis.flows_left_out > 0 {
        notes.push(format!("{} flows are in the totals alone.", analysis.flows_left_out));
    }
    Section { heading: "Flows".to_owned(), tables, notes, ..Section::default() }
}
