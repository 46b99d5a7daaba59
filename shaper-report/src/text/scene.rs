//! Commands of a scenario, and its time from change to change.

use std::fmt::Write as _;

use super::columns::{Align, Columns};
use crate::stats::Distribution;
use crate::summary::{Program, Summary};
use crate::words;

/// Phases and commands shown.
const SHOWN: usize = 12;

/// The two tables, where there are any.
pub(super) fn scene(out: &mut String, summary: &Summary) {
    phases(out, summary);
    programs(out, summary);
}

fn seconds(ms: f64) -> String {
    format!("{:.3} s", ms / 1e3)
}

fn phases(out: &mut String, summary: &Summary) {
    if summary.phases.is_empty() {
        return;
    }
    let mut columns = Columns::new([Align::Left, Align::Left, Align::Right, Align::Right, Align::Right, Align::Right]);
    columns.push(
        ["from change to change", "", packets(summary), "dropped in %", "delay p50 ms", "p99"].map(str::to_owned),
    );
    let ms = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |value| format!("{value:.2}"));
    for phase in summary.phases.iter().take(SHOWN) {
        let end = phase.end_ms.map_or_else(|| "the end".to_owned(), seconds);
        for (place, (name, direction)) in phase.directions.iter().enumerate() {
            let when = if place == 0 { format!("  {} to {end}", seconds(phase.start_ms)) } else { String::new() };
            let Distribution { p50, p99, .. } = direction.delay_ms;
            let lost = direction.loss.ratio.map_or_else(|| "-".to_owned(), |ratio| format!("{:.2}", ratio * 100.0));
            columns.push([when, words::spaced(name), words::count(direction.packets), lost, ms(p50), ms(p99)]);
        }
    }
    out.push('\n');
    columns.write(out);
    rest(out, summary.phases.len());
}

/// What a phase's packets are called: those whose decision was recorded, where not all are.
pub(crate) const fn packets(summary: &Summary) -> &'static str {
    if summary.oracle.left_out == 0 { "packets" } else { "recorded" }
}

fn programs(out: &mut String, summary: &Summary) {
    if summary.programs.is_empty() {
        return;
    }
    let mut columns = Columns::new([Align::Left, Align::Left, Align::Right, Align::Right, Align::Left, Align::Left]);
    columns.push(["commands run", "on", "from", "to", "ended", "output"].map(str::to_owned));
    for program in summary.programs.iter().take(SHOWN) {
        let time = |ms: Option<f64>| ms.map_or_else(|| "-".to_owned(), seconds);
        columns.push([
            format!("  {}", program.name),
            program.on.clone().unwrap_or_default(),
            time(program.started_ms),
            time(program.ended_ms),
            ended(program),
            program.stdout.clone().unwrap_or_default(),
        ]);
    }
    out.push('\n');
    columns.write(out);
    rest(out, summary.programs.len());
}

/// Says how many rows of a table are not shown.
fn rest(out: &mut String, all: usize) {
    if all > SHOWN {
        let _ = writeln!(out, "  {} more: summary.json", all - SHOWN);
    }
}

/// How a command ended, in words.
pub(crate) fn ended(program: &Program) -> String {
    match (program.exit_code, program.signal) {
        _ if program.failure.is_some() => "not started".to_owned(),
        _ if program.ended_by_run => "by the run".to_owned(),
        (Some(code), _) => format!("with {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => "-".to_owned(),
    }
}
