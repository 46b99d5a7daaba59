//! Figures, what they are compared with, and how they are shown.

use std::fmt::Write as _;

use serde::Serialize;

use crate::host::{self, Host};
use crate::stats;

/// What a figure is demanded to be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Aim {
    Below(f64),
    Above(f64),
    BelowBaseline,
    AboveBaseline,
    /// More than so many times the baseline.
    TimesBaseline(f64),
}

/// One figure.
#[derive(Clone, Debug)]
pub(crate) struct Figure {
    suite: &'static str,
    name: String,
    unit: &'static str,
    samples: Vec<f64>,
    /// Why there are no samples.
    missing: Option<String>,
    baseline: Option<String>,
    aims: Vec<Aim>,
}

impl Figure {
    pub(crate) fn new(suite: &'static str, name: impl Into<String>, unit: &'static str, samples: Vec<f64>) -> Self {
        Self { suite, name: name.into(), unit, samples, missing: None, baseline: None, aims: Vec::new() }
    }

    /// One that could not be taken, and why.
    pub(crate) fn missing(suite: &'static str, name: impl Into<String>, unit: &'static str, why: &str) -> Self {
        Self { missing: Some(why.to_owned()), ..Self::new(suite, name, unit, Vec::new()) }
    }

    /// Compares it with another figure of the suite.
    pub(crate) fn against(mut self, baseline: impl Into<String>) -> Self {
        self.baseline = Some(baseline.into());
        self
    }

    /// Adds a demand.
    pub(crate) fn aim(mut self, aim: Aim) -> Self {
        self.aims.push(aim);
        self
    }

    /// `None` without samples.
    fn median(&self) -> Option<f64> {
        (!self.samples.is_empty()).then(|| stats::median(&self.samples))
    }
}

/// A figure as it is written.
#[derive(Debug, Serialize)]
struct Row {
    suite: &'static str,
    name: String,
    unit: &'static str,
    /// This and what follows of the samples is `null` where there are none.
    median: Option<f64>,
    lower_quartile: Option<f64>,
    upper_quartile: Option<f64>,
    least: Option<f64>,
    most: Option<f64>,
    repeats: Vec<f64>,
    /// Why there are no samples.
    #[serde(skip_serializing_if = "Option::is_none")]
    missing: Option<String>,
    baseline: Option<String>,
    /// Median over the baseline's median.
    ratio: Option<f64>,
    aim: Option<String>,
    met: Option<bool>,
}

/// All of a run.
#[derive(Debug, Serialize)]
pub(crate) struct Json<'a> {
    host: &'a Host,
    figures: Vec<Row>,
}

/// All figures of a run.
pub(crate) struct Report {
    host: Host,
    figures: Vec<Figure>,
}

impl Report {
    pub(crate) fn new(host: Host) -> Self {
        Self { host, figures: Vec::new() }
    }

    pub(crate) fn add(&mut self, figures: Vec<Figure>) {
        self.figures.extend(figures);
    }

    /// To be called when all is measured.
    pub(crate) fn finish(&mut self) {
        self.host.load_after = host::load();
    }

    fn row(&self, figure: &Figure) -> Row {
        let sorted = stats::sorted(&figure.samples);
        let quantile = |share| (!sorted.is_empty()).then(|| stats::quantile(&sorted, share));
        let median = quantile(0.5);
        let baseline = figure.baseline.as_ref().and_then(|name| {
            let is_it =
                |other: &&Figure| other.suite == figure.suite && other.name == *name && other.unit == figure.unit;
            self.figures.iter().find(is_it).and_then(Figure::median)
        });
        let held = |aim: &Aim| {
            let median = median?;
            match (aim, baseline) {
                (Aim::Below(limit), _) => Some(median < *limit),
                (Aim::Above(limit), _) => Some(median > *limit),
                (Aim::BelowBaseline, baseline) => Some(median < baseline?),
                (Aim::AboveBaseline, baseline) => Some(median > baseline?),
                (Aim::TimesBaseline(times), baseline) => Some(median > times * baseline?),
            }
        };
        let words = |aim: &Aim| match aim {
            Aim::Below(limit) => format!("< {}", number(*limit)),
            Aim::Above(limit) => format!("> {}", number(*limit)),
            Aim::BelowBaseline => "< baseline".to_owned(),
            Aim::AboveBaseline => "> baseline".to_owned(),
            Aim::TimesBaseline(times) => format!("> {} x baseline", number(*times)),
        };
        let held: Vec<bool> = figure.aims.iter().filter_map(held).collect();
        Row {
            suite: figure.suite,
            name: figure.name.clone(),
            unit: figure.unit,
            median,
            lower_quartile: quantile(0.25),
            upper_quartile: quantile(0.75),
            least: quantile(0.0),
            most: quantile(1.0),
            repeats: figure.samples.clone(),
            missing: figure.missing.clone(),
            ratio: median.zip(baseline.filter(|baseline| *baseline != 0.0)).map(|(median, baseline)| median / baseline),
            baseline: figure.baseline.clone(),
            aim: (!figure.aims.is_empty()).then(|| figure.aims.iter().map(words).collect::<Vec<_>>().join(" and ")),
            met: (!held.is_empty()).then(|| held.iter().all(|held| *held)),
        }
    }

    pub(crate) fn json(&self) -> Json<'_> {
        Json { host: &self.host, figures: self.figures.iter().map(|figure| self.row(figure)).collect() }
    }

    /// For a person: medians with their quartiles.
    pub(crate) fn table(&self) -> String {
        let Host { kernel, processor, processors, virtual_machine, load_before, load_after, .. } = &self.host;
        let machine = if *virtual_machine { ", virtual" } else { "" };
        let mut out = format!(
            "Linux {kernel}, {processors} x {processor}{machine}; load {load_before} before, {load_after} after\n"
        );
        let mut lines =
            vec![["benchmark", "median", "unit", "quartiles", "ratio", "to", "aim", "met"].map(String::from)];
        for row in self.figures.iter().map(|figure| self.row(figure)) {
            lines.push([
                format!("{} {}", row.suite, row.name),
                row.median.map_or_else(|| "-".to_owned(), number),
                row.unit.to_owned(),
                row.lower_quartile.zip(row.upper_quartile).map_or_else(
                    || row.missing.unwrap_or_default(),
                    |(lower, upper)| format!("{} to {}", number(lower), number(upper)),
                ),
                row.ratio.map_or_else(String::new, |ratio| format!("{ratio:.2}")),
                row.baseline.unwrap_or_default(),
                row.aim.unwrap_or_default(),
                row.met.map_or("", |met| if met { "yes" } else { "NO" }).to_owned(),
            ]);
        }
        let width = |column: usize| {
            lines.iter().filter_map(|line| line.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..8).map(width).collect();
        for line in &lines {
            let mut text = String::new();
            for (column, (cell, width)) in line.iter().zip(&widths).enumerate() {
                let space = " ".repeat(width - cell.chars().count());
                // Numbers end at the same place, words begin at it.
                let cell = if matches!(column, 1 | 4) { format!("{space}{cell}") } else { format!("{cell}{space}") };
                let _ = write!(text, "{}{cell}", if column == 0 { "" } else { "  " });
            }
            let _ = writeln!(out, "{}", text.trim_end());
        }
        out
    }
}

/// Three significant figures, or all digits before the point.
fn number(value: f64) -> String {
    let digits = if value.abs() >= 100.0 || value == 0.0 {
        0
    } else if value.abs() >= 10.0 {
        1
    } else {
        2
    };
    let text = format!("{value:.digits$}");
    let (whole, rest) = text.split_once('.').map_or((text.as_str(), None), |(whole, rest)| (whole, Some(rest)));
    let (sign, whole) = whole.strip_prefix('-').map_or(("", whole), |whole| ("-", whole));
    let mut grouped = String::new();
    for (at, digit) in whole.chars().enumerate() {
        if at > 0 && (whole.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    match rest {
        Some(rest) => format!("{sign}{grouped}.{rest}"),
        None => format!("{sign}{grouped}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        let mut report = Report::new(Host::read());
        report.add(vec![
            Figure::new("link", "bridge", "packets/s", vec![100.0, 300.0, 200.0]),
            Figure::new("link", "ours", "packets/s", vec![400.0]).against("bridge").aim(Aim::AboveBaseline),
            Figure::new("link", "slow", "packets/s", vec![100.0])
                .against("bridge")
                .aim(Aim::AboveBaseline)
                .aim(Aim::Above(50.0)),
        ]);
        report
    }

    #[test]
    fn an_aim_is_met_when_every_demand_holds_for_the_median() {
        let json = serde_json::to_value(report().json()).unwrap();
        let figures = json["figures"].as_array().unwrap();
        assert_eq!(figures[0]["median"], 200.0);
        assert!(figures[0]["met"].is_null());
        assert_eq!((figures[1]["ratio"].as_f64(), figures[1]["met"].as_bool()), (Some(2.0), Some(true)));
        assert_eq!((figures[2]["ratio"].as_f64(), figures[2]["met"].as_bool()), (Some(0.5), Some(false)));
    }

    #[test]
    fn numbers_are_grouped_and_cut_to_what_they_say() {
        assert_eq!(number(1_234_567.8), "1,234,568");
        assert_eq!(number(12.34), "12.3");
        assert_eq!(number(-1.234), "-1.23");
        assert_eq!(number(999.0), "999");
        assert_eq!(number(0.0), "0");
    }
}
