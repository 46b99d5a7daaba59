//! A preview for a terminal.

use std::fmt::Write;

use shaper_report::stats::Proportion;

use super::replay::Agreed;
use super::source::Source;
use super::{Preview, Way, causes};

/// Bars of the histogram of delays.
const BARS: usize = 16;
/// Characters of the longest bar.
const WIDTH: usize = 48;

pub(super) fn table(preview: &Preview) -> String {
    let mut text = String::new();
    // Writing into a string never fails.
    let _ = write_table(preview, &mut text);
    text
}

fn write_table(preview: &Preview, out: &mut String) -> std::fmt::Result {
    let Preview { source, figures, .. } = preview;
    if let Some(agreed) = preview.agreed() {
        write_agreed(agreed, out)?;
    }
    let way = if preview.direction == Way::AToB { "a to b" } else { "b to a" };
    writeln!(out, "{}, {way}, seed {}", preview.profile, preview.seed)?;
    if let Some(configured) = &preview.configured {
        writeln!(out, "  {configured}")?;
    }
    writeln!(out, "  {}", source.told())?;
    let (all, what) = source.counted();
    match (&preview.rule, preview.rules.first(), source) {
        (Some(rule), ..) => writeln!(out, "  decided by rule {rule}")?,
        (None, ..) if preview.by_rules > 0 => {
            writeln!(out, "  {} of {all} {what} decided by rules", preview.by_rules)?;
        }
        (None, Some(rule), Source::Stream(_)) => {
            writeln!(out, "  no rule matches: --rule \"{rule}\" shows what that one does")?;
        }
        (None, Some(_), Source::Run(run)) if run.agreed.is_some() => writeln!(out, "  no rule matched")?,
        (None, Some(rule), Source::Run(_)) => {
            writeln!(out, "  records have no headers for rules to match: --rule \"{rule}\" lets that one decide")?;
        }
        (None, None, _) => {}
    }
    for warning in &preview.warnings {
        writeln!(out, "note: {warning}")?;
    }
    writeln!(out)?;
    writeln!(out, "delivered    {}", share(&figures.delivered))?;
    for (cause, count) in causes().filter_map(|cause| Some((cause, figures.dropped_by_cause.get(cause)?))) {
        writeln!(out, "  {cause:<11}{count} dropped")?;
    }
    if figures.copies > 0 {
        writeln!(out, "copies       {} of {}", figures.copies, share(&figures.copied))?;
    }
    if figures.changed.count > 0 {
        writeln!(out, "changed      {}", share(&figures.changed))?;
    }
    if figures.marked.count > 0 {
        writeln!(out, "marked CE    {}", share(&figures.marked))?;
    }
    write!(out, "reordered    {}", share(&figures.reordered))?;
    if figures.reordered.count > 0 {
        write!(out, ", largest extent {}", figures.reordering_extent)?;
    }
    writeln!(out)?;
    let delay = &figures.delay_ms;
    if let (Some(mean), Some(p50), Some(p95), Some(p99), Some(max)) =
        (delay.mean, delay.p50, delay.p95, delay.p99, delay.max)
    {
        writeln!(out, "delay        mean {mean:.3} ms, p50 {p50:.3}, p95 {p95:.3}, p99 {p99:.3}, longest {max:.3}")?;
        if figures.zero_delay.count > 0 {
            writeln!(out, "  none       {}", share(&figures.zero_delay))?;
        }
    }
    if let Some(correlation) = figures.delay_autocorrelation {
        writeln!(out, "  lag 1      correlation {correlation:.3} with the packet before")?;
    }
    if let Some(queueing) = figures.queueing_ms {
        writeln!(out, "queueing     mean {:.3} ms, longest {:.3}, service included", queueing.mean, queueing.max)?;
    }
    if preview.flows_evicted > 0 {
        writeln!(out, "evicted      {} flows put out of the full table for others", preview.flows_evicted)?;
    }
    let runs = &figures.loss_runs;
    if let Some(mean) = runs.mean {
        let lengths: Vec<String> = runs.by_length.iter().map(|of| format!("{}: {}", of.length, of.runs)).collect();
        writeln!(out, "loss runs    {}, mean {mean:.2}, longest {}; {}", runs.runs, runs.longest, lengths.join(", "))?;
    }
    histogram(&preview.delays_ms().collect::<Vec<_>>(), out)
}

/// How far a run came out again.
fn write_agreed(agreed: &Agreed, out: &mut String) -> std::fmt::Result {
    writeln!(out, "agreed {} of {}", agreed.agreed, agreed.packets)?;
    if agreed.unchecked > 0 {
        writeln!(out, "{} packets not checked: the record of one before them is missing", agreed.unchecked)?;
    }
    for difference in &agreed.differences {
        writeln!(out, "{difference}")?;
    }
    writeln!(out)
}

/// A proportion with its interval.
fn share(proportion: &Proportion) -> String {
    let Proportion { count, of, ratio, low, high } = proportion;
    match ratio {
        None => "no packets".to_owned(),
        Some(ratio) => {
            format!("{count} of {of}, {:.2} % ({:.2} to {:.2})", 100.0 * ratio, 100.0 * low, 100.0 * high)
        }
    }
}

/// Delays in equal steps, a line each; nothing where all are the same.
fn histogram(delays: &[f64], out: &mut String) -> std::fmt::Result {
    let low = delays.iter().copied().fold(f64::INFINITY, f64::min);
    let high = delays.iter().copied().fold(0.0, f64::max);
    let step = (high - low) / BARS as f64;
    if !step.is_finite() || step < 1e-6 {
        return Ok(());
    }
    let mut counts = [0usize; BARS];
    for delay in delays {
        if let Some(count) = counts.get_mut((((delay - low) / step) as usize).min(BARS - 1)) {
            *count += 1;
        }
    }
    let most = counts.iter().copied().max().unwrap_or(0).max(1);
    writeln!(out)?;
    for (bar, count) in counts.iter().enumerate() {
        let share = 100.0 * *count as f64 / delays.len() as f64;
        let marks = "#".repeat((count * WIDTH).div_ceil(most));
        let line = format!("{:>10.3} ms  {share:>5.1} %  {marks}", low + bar as f64 * step);
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}
