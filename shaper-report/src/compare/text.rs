//! The comparison for a terminal.

use std::fmt;

use super::{Comparison, Kind, Row, Verdict};
use crate::text::columns::{Align, Columns};
use crate::words;

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "A {}\nB {}", self.a, self.b)?;
        if !self.differences.is_empty() {
            let mut table = Columns::new([Align::Left; 4]);
            table.push(["differs", "A", "B", ""].map(str::to_owned));
            for one in &self.differences {
                let mark = if one.comparable { "" } else { "not comparable" };
                table.push([one.what.clone(), one.a.clone(), one.b.clone(), mark.to_owned()]);
            }
            write!(f, "\n{}", written(&table))?;
        }
        let mut table = Columns::new([
            Align::Left,
            Align::Left,
            Align::Right,
            Align::Right,
            Align::Left,
            Align::Right,
            Align::Left,
            Align::Left,
        ]);
        table.push(["of", "figure", "A", "B", "unit", "change", "interval", ""].map(str::to_owned));
        self.rows.iter().for_each(|row| table.push(cells(row)));
        write!(f, "\n{}", written(&table))?;
        for note in &self.notes {
            writeln!(f, "note: {note}")?;
        }
        let of = &self.options;
        writeln!(
            f,
            "\n{} of {} figures are regressions: beyond {} (shares: {} points), and sure beyond {} ({})",
            self.regressions,
            self.rows.iter().filter(|row| row.verdict != Verdict::NotJudged).count(),
            words::percent(of.threshold),
            words::shortest(100.0 * of.share_threshold),
            words::percent(of.noise),
            words::shortest(100.0 * of.share_noise),
        )
    }
}

fn written<const N: usize>(table: &Columns<N>) -> String {
    let mut text = String::new();
    table.write(&mut text);
    text
}

fn cells(row: &Row) -> [String; 8] {
    let is_share = row.kind == Kind::Difference;
    let value = |value: Option<f64>| match value {
        Some(value) if is_share => words::measured_percent(value),
        value => words::figure_or_dash(value),
    };
    let change = |change: f64| format!("{:+.2}", 100.0 * change);
    let unit = if is_share { "points" } else { "%" };
    let end = |end: Option<f64>| end.map_or_else(|| "unbounded".to_owned(), change);
    let interval = match row.verdict {
        Verdict::NotJudged => String::new(),
        _ => format!("{} to {}", end(row.low), end(row.high)),
    };
    let said = match &row.why {
        Some(why) => format!("{}: {why}", row.verdict.name()),
        None => row.verdict.name().to_owned(),
    };
    [
        words::spaced(&row.of),
        row.metric.clone(),
        value(row.a),
        value(row.b),
        if is_share { "%".to_owned() } else { row.unit.clone() },
        row.change.map_or_else(|| "-".to_owned(), |of| format!("{} {unit}", change(of))),
        interval,
        said,
    ]
}
