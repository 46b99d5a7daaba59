//! An analysis for people: findings first, then one table.

use std::fmt;

use super::{
    clock::{ClockFound, ClockMethod},
    result::{Analysis, Figures},
};
use crate::{pcapfile::Compression, stats::Summary};

/// Flows shown before the rest is only counted.
const SHOWN: usize = 10;

/// A time span with a unit that suits it.
pub(super) fn duration(ns: i64) -> String {
    let magnitude = ns.unsigned_abs();
    let (unit, name) = match magnitude {
        0..1_000 => return format!("{ns} ns"),
        1_000..1_000_000 => (1e3, "us"),
        1_000_000..1_000_000_000 => (1e6, "ms"),
        _ => (1e9, "s"),
    };
    let value = ns as f64 / unit;
    let digits = if value.abs() >= 100.0 { 1 } else { 2 };
    format!("{value:.digits$} {name}")
}

/// A byte of a file, or of what it decompresses to.
pub(super) fn place(offset: u64, compression: Option<Compression>) -> String {
    let of = if compression.is_some() { " of the decompressed data" } else { "" };
    format!("byte {offset}{of}")
}

/// A ratio as a percentage with three significant digits.
pub(super) fn percent(ratio: f64) -> String {
    let value = ratio * 100.0;
    let digits = match value {
        0.0 => 0,
        v if v >= 10.0 => 1,
        v if v >= 1.0 => 2,
        _ => 3,
    };
    format!("{value:.digits$} %")
}

impl fmt::Display for ClockFound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.method {
            ClockMethod::SameHost => write!(f, "same host, as given")?,
            ClockMethod::SameHostByFiles => write!(f, "same host, by the files")?,
            ClockMethod::OneFile => write!(f, "one, since both points are in one file")?,
            ClockMethod::Given => write!(f, "offset as given")?,
            ClockMethod::MinimumDelays => write!(f, "smallest delays of both directions")?,
            ClockMethod::OneDirection => write!(f, "unknown, traffic in one direction only")?,
            ClockMethod::NoDirection => write!(f, "unknown, nothing tells directions (try --same-clock)")?,
            ClockMethod::EstimatorsDisagree => write!(f, "unknown, skew estimators disagree")?,
            ClockMethod::NoPairs => write!(f, "unknown, no packet in both captures")?,
        }
        if let (Some(offset), Some(bound)) = (self.offset_ns, self.offset_bound_ns) {
            write!(f, ", B ahead by {} +- {}", duration(offset), duration(bound))?;
        }
        if let Some(skew) = self.skew_ppm.filter(|&skew| skew != 0.0) {
            write!(f, ", skew {skew:.3} ppm")?;
        }
        Ok(())
    }
}

impl fmt::Display for Analysis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b] = &self.files;
        let names = [a.name(), b.name()];
        for finding in &self.findings {
            writeln!(f, "{}", finding.within([&names[0], &names[1]]))?;
        }
        writeln!(f)?;
        for (name, file) in [("A", a), ("B", b)] {
            write!(f, "{name}  {} ({} packets", file.name(), file.packets)?;
            if file.bypassed > 0 {
                write!(f, ", {} of them not impaired by the run: left out", file.bypassed)?;
            }
            if file.filtered > 0 {
                write!(f, ", {} of them left out by the filter", file.filtered)?;
            }
            writeln!(f, ")")?;
        }
        if let Some((from, to)) = self.overlap_ns {
            writeln!(f, "Both ran for {}.", duration(to.saturating_sub(from)))?;
        }
        write!(f, "Clocks: {}", self.clock)?;
        writeln!(f, ".\nA packet counts as lost after {}.\n", duration(self.waiting_ns))?;
        writeln!(f, "{:<22} {:>14} {:>14}", "", "A to B", "B to A")?;
        let both = [&self.a_to_b, &self.b_to_a];
        for (name, pick) in COUNTS {
            writeln!(f, "{name:<22} {:>14} {:>14}", pick(both[0]), pick(both[1]))?;
        }
        let ratio = |figures: &Figures| figures.loss_ratio.map_or("-".to_owned(), percent);
        writeln!(f, "{:<22} {:>14} {:>14}", "loss", ratio(both[0]), ratio(both[1]))?;
        for (name, pick) in SPREADS {
            for (which, quantile) in QUANTILES {
                let cell =
                    |figures: &Figures| pick(figures).map_or("-".to_owned(), |summary| duration(quantile(&summary)));
                let name = format!("{name} {which}");
                writeln!(f, "{name:<22} {:>14} {:>14}", cell(both[0]), cell(both[1]))?;
            }
        }
        if self.flows.is_empty() {
            return Ok(());
        }
        writeln!(f, "\n{:>9} {:>9} {:>9} {:>11} {:>11}  flow", "sent", "lost", "loss", "delay p50", "delay p99")?;
        for flow in self.flows.iter().take(SHOWN) {
            let figures = &flow.figures;
            let delay = |pick: fn(&Summary) -> i64| {
                figures.delay_ns.as_ref().map_or("-".to_owned(), |summary| duration(pick(summary)))
            };
            writeln!(
                f,
                "{:>9} {:>9} {:>9} {:>11} {:>11}  {}",
                figures.sent,
                figures.lost,
                ratio(figures),
                delay(|s| s.p50),
                delay(|s| s.p99),
                flow.flow
            )?;
        }
        let more = self.flows.len().saturating_sub(SHOWN) as u64 + self.flows_left_out;
        if more > 0 {
            writeln!(f, "and {more} flows more (--json lists them)")?;
        }
        Ok(())
    }
}

type Count = (&'static str, fn(&Figures) -> u64);
const COUNTS: [Count; 11] = [
    ("sent", |x| x.sent),
    ("matched", |x| x.matched),
    ("lost", |x| x.lost),
    ("unmatched", |x| x.unmatched),
    ("edge", |x| x.edge),
    ("corrupted", |x| x.corrupted),
    ("duplicated", |x| x.duplicated),
    ("reordered", |x| x.reordered),
    ("ambiguous", |x| x.ambiguous),
    ("resegmented", |x| x.resegmented),
    ("arrivals only", |x| x.arrivals_only),
];

type Spread = (&'static str, fn(&Figures) -> Option<Summary>);
const SPREADS: [Spread; 3] = [("delay", |x| x.delay_ns), ("IPDV", |x| x.ipdv_ns), ("PDV", |x| x.pdv_ns)];

type Quantile = (&'static str, fn(&Summary) -> i64);
const QUANTILES: [Quantile; 6] = [
    ("min", |s| s.min),
    ("p50", |s| s.p50),
    ("p90", |s| s.p90),
    ("p99", |s| s.p99),
    ("p99.9", |s| s.p999),
    ("max", |s| s.max),
];

#[cfg(test)]
mod tests {
    use super::{duration, percent};

    #[test]
    fn spans_and_shares_carry_units() {
        assert_eq!(duration(999), "999 ns");
        assert_eq!(duration(20_040_000), "20.04 ms");
        assert_eq!(duration(-1_500), "-1.50 us");
        assert_eq!(duration(120_000_000_000), "120.0 s");
        assert_eq!(percent(0.0), "0 %");
        assert_eq!(percent(0.012_34), "1.23 %");
        assert_eq!(percent(0.000_05), "0.005 %");
    }
}
