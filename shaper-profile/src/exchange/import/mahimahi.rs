//! Packet delivery traces of mahimahi (Netravali and others, "Mahimahi: Accurate Record-and-Replay for HTTP", 2015; the
//! manual page mm-link(1)).
//!
//! Each line is a millisecond since the start at which 1504 bytes may leave: an IP packet of 1500 and the 4 that a TUN
//! device puts in front, which is how mahimahi counts. Lines of the same millisecond are as many opportunities. Behind
//! the last line the trace begins anew, its last millisecond being the first one's start.
//!
//! What may leave at `t` is spread here over the millisecond that ends at `t`, so that the trace is one of rates:
//! multiples of 12.032 Mbit/s, 0 where nothing leaves. Opportunities that lie as evenly as whole milliseconds allow are
//! a constant rate, which is how mahimahi's users write one. Bytes are counted alike with an overhead of -10 B: 14 of
//! the Ethernet header less, 4 more.

use shaper_common::units::{BitsPerSec, Nanos};

use super::super::OneWay;
use super::super::error::{Notes, Wrong};
use super::super::number::MILLISECOND;
use super::super::trace::{Row, Trace};
use crate::effect::Overhead;
use crate::profile::Direction;
use crate::quantity::Rate;

/// Bits that one opportunity lets out.
pub(crate) const OPPORTUNITY: u64 = 1_504 * 8;

/// What makes a profile's bytes mahimahi's.
pub(crate) const OVERHEAD: Overhead = Overhead::Bytes(-10);

/// A day: traces are minutes long.
const LONGEST: u64 = 86_400_000;

pub(in super::super) fn read(text: &str, notes: &mut Notes) -> Result<OneWay, Wrong> {
    let times = times(text)?;
    let Some(&period) = times.last().filter(|last| **last > 0) else {
        return Err(Wrong::new(
            text.lines().count().max(1),
            "the trace lasts no time",
            "end it with a millisecond above 0",
        ));
    };
    notes.all("mm-link's queue has no bound unless it is told one; here it is the default, 100 ms of the rate");
    let direction = Direction { overhead: OVERHEAD, ..Direction::default() };
    if let Some(rate) = even(&times, period) {
        notes.all(format!("the opportunities lie evenly: a constant rate of {rate:#}"));
        return Ok(OneWay { direction: Direction { rate, ..direction }, ..OneWay::default() });
    }
    let mut trace = Trace::default();
    let mut filled = 0;
    let mut push = |bits: u64, milliseconds: u64| {
        let rate = Some(bits * 1_000);
        trace.push(Row { rate, ..Row::default() }, Nanos(milliseconds * MILLISECOND.0))
    };
    // What may leave at 0 leaves at the end of the period before.
    let wrapped = times.iter().take_while(|time| **time == 0).count() as u64;
    let mut rest = times.get(wrapped as usize..).unwrap_or_default();
    while let [time, ..] = *rest {
        let here = rest.iter().take_while(|other| **other == time).count();
        rest = rest.get(here..).unwrap_or_default();
        let wrong = |problem| Wrong::new(line_of(text, times.len() - rest.len()), problem, "thin the trace out");
        if time - 1 > filled {
            push(0, time - 1 - filled).map_err(wrong)?;
        }
        let more = if rest.is_empty() { wrapped } else { 0 };
        push((here as u64 + more) * OPPORTUNITY, 1).map_err(wrong)?;
        filled = time;
    }
    Ok(OneWay { direction, trace: Some(trace), ..OneWay::default() })
}

/// The line of the n-th time, from 1.
fn line_of(text: &str, n: usize) -> usize {
    let filled = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    filled.map(|(number, _)| number + 1).nth(n.saturating_sub(1)).unwrap_or(1)
}

fn times(text: &str) -> Result<Vec<u64>, Wrong> {
    let mut times = Vec::new();
    for (line, written) in text.lines().enumerate().map(|(number, line)| (number + 1, line.trim())) {
        if written.is_empty() {
            continue;
        }
        let hint = "write a whole number of milliseconds a line, none less than that before";
        let time: u64 =
            written.parse().map_err(|_| Wrong::new(line, format!("\"{written}\" is no whole number"), hint))?;
        if times.last().is_some_and(|before| *before > time) {
            return Err(Wrong::new(line, format!("{time} is before the line above it"), hint));
        }
        if time > LONGEST {
            return Err(Wrong::new(line, format!("{time} ms is more than a day"), "cut the trace"));
        }
        times.push(time);
    }
    Ok(times)
}

/// The constant rate of opportunities that lie as evenly as whole milliseconds allow: the k-th of n within a period of
/// p at k p / n, rounded up.
fn even(times: &[u64], period: u64) -> Option<Rate> {
    let count = times.len() as u64;
    let is_even = times.iter().zip(1u64..).all(|(time, k)| *time == (k * period).div_ceil(count));
    let bits = u128::from(count) * u128::from(OPPORTUNITY) * 1_000;
    let is_whole = bits % u128::from(period) == 0;
    let rate = u64::try_from(bits / u128::from(period)).ok().filter(|rate| (1..=10_000_000_000_000).contains(rate))?;
    (is_even && is_whole).then_some(Rate(BitsPerSec(rate)))
}
