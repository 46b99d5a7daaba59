//! A packet delivery trace for mahimahi: the millisecond at which the rate has served another 1504 bytes.
//!
//! A constant rate is one of whole opportunities within whole milliseconds, where that takes no more than ten minutes;
//! the trace is no longer than it must be, since mm-link begins it anew.

use shaper_common::units::Nanos;

use super::super::import::mahimahi::{OPPORTUNITY, OVERHEAD};
use super::super::number::MILLISECOND;
use super::super::trace;
use super::{ExportError, Exported, read};
use crate::profile::Direction;

/// The longest trace of a constant rate, in milliseconds.
const LONGEST: u64 = 600_000;

/// The most lines of a trace.
const MOST_LINES: u64 = 10_000_000;

pub(super) fn schedule(direction: &Direction) -> Result<Exported, ExportError> {
    let mut unsaid = beside_rate(direction);
    let times = match &direction.trace {
        Some(reference) => {
            let text = read(&reference.path)?;
            let failed = |line: usize, problem: String| ExportError::File {
                path: format!("{}:{line}", reference.path),
                problem,
            };
            let rates = trace::rates(&text)
                .map_err(|wrong| failed(wrong.line, format!("{}; {}", wrong.problem, wrong.hint)))?;
            if reference.end == crate::effect::End::Hold {
                unsaid.push("mahimahi's trace begins anew at its end".to_owned());
            }
            let times = of_trace(&rates)
                .ok_or_else(|| failed(1, "the trace serves less than one packet, or too many for a file".to_owned()))?;
            let lasts =
                rates.first().zip(rates.last()).map_or(0, |(first, last)| (last.0.0 - first.0.0) / MILLISECOND.0);
            let early = lasts.saturating_sub(times.last().copied().unwrap_or(0));
            if early > 0 {
                unsaid.push(format!(
                    "mahimahi's trace begins anew with its last opportunity, {early} ms before the end of this one"
                ));
            }
            times
        }
        None if direction.rate.is_unlimited() => {
            return Err(ExportError::Nothing {
                target: "mahimahi",
                problem: "there is neither a rate nor a trace of rates".to_owned(),
                hint: "set one, for example rate = \"12mbit\"".to_owned(),
            });
        }
        None => of_rate(direction.rate.0.0, &mut unsaid),
    };
    let mut text = String::new();
    for time in times {
        text += &format!("{time}\n");
    }
    Ok(Exported { text, unsaid })
}

fn of_rate(rate: u64, unsaid: &mut Vec<String>) -> Vec<u64> {
    // So many opportunities in so many milliseconds.
    let (mut count, mut period) = (rate, OPPORTUNITY * 1_000);
    let common = greatest_common_divisor(count, period);
    (count, period) = (count / common, period / common);
    if period > LONGEST || count > MOST_LINES {
        let wanted = rate as f64 / (OPPORTUNITY as f64 * 1_000.0);
        // As long as is allowed, or as the lines that are.
        period = LONGEST.min((MOST_LINES as f64 / wanted) as u64).max(1);
        count = ((wanted * period as f64).round() as u64).clamp(1, MOST_LINES);
        let written = count as f64 / period as f64 * OPPORTUNITY as f64 * 1_000.0;
        unsaid.push(format!(
            "mahimahi's opportunities are of whole milliseconds: {rate} bit/s becomes {written:.0} bit/s"
        ));
    }
    (1..=count).map(|k| (k * period).div_ceil(count)).collect()
}

/// Opportunities of rates over time; the last one's time is the end.
fn of_trace(rates: &[(Nanos, f64)]) -> Option<Vec<u64>> {
    let mut times = Vec::new();
    let start = rates.first()?.0;
    let mut served = 0.0;
    for pair in rates.windows(2) {
        let [(from, rate), (to, _)] = pair else { continue };
        let seconds = (to.0 - from.0) as f64 / 1e9;
        let after = served + rate * seconds / OPPORTUNITY as f64;
        // What rounding leaves below a whole one is one.
        while (times.len() + 1) as f64 <= after + 1e-6 {
            let share = (((times.len() + 1) as f64 - served) / (after - served)).clamp(0.0, 1.0);
            let nanos = (from.0 - start.0) as f64 + share * seconds * 1e9;
            times.push(((nanos / 1e6) - 1e-6).ceil().max(0.0) as u64);
            if times.len() as u64 > MOST_LINES {
                return None;
            }
        }
        served = after;
    }
    times.last().filter(|last| **last > 0)?;
    Some(times)
}

fn greatest_common_divisor(a: u64, b: u64) -> u64 {
    let (mut a, mut b) = (a, b);
    while b > 0 {
        (a, b) = (b, a % b);
    }
    a.max(1)
}

/// What a trace of opportunities does not say.
fn beside_rate(direction: &Direction) -> Vec<String> {
    let mut unsaid = Vec::new();
    let plain = Direction {
        rate: direction.rate,
        overhead: direction.overhead,
        queue: direction.queue,
        trace: direction.trace.clone(),
        ..Direction::default()
    };
    if *direction != plain {
        unsaid.push(format!("mahimahi's trace says the rate alone: {direction}"));
    }
    if direction.queue.is_some() {
        unsaid.push("mahimahi's queue is told to mm-link: --uplink-queue and --downlink-queue".to_owned());
    }
    if direction.overhead != OVERHEAD || direction.cell.is_some() {
        unsaid.push(format!("mahimahi counts IP packets and 4 bytes each, which is an overhead of {OVERHEAD}"));
    }
    unsaid
}
