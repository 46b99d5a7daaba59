//! Trace files of TheaterQ, a queueing discipline for Linux with settings that change over time (README of
//! `cs7org/TheaterQ` on GitHub, section "Trace File Format").
//!
//! Each line has numbers with commas between, in one of two formats, told apart by how many they are:
//!
//! ```text
//! KEEP,LATENCY,RATE,LOSS,LIMIT                                              simple, 5
//! KEEP,LATENCY,JITTER,RATE,LOSS,LIMIT,DUP_PROB,DUP_DELAY[,ROUTE_ID]         extended, 9, or 8 in older files
//! ```
//!
//! KEEP is how long the line holds, in microseconds, and not 0; LATENCY, JITTER (standard deviation) and DUP_DELAY are
//! in nanoseconds; RATE in bits per second, 0 for none; LOSS and DUP_PROB in parts of 2^32 - 1; LIMIT is the queue in
//! packets. Packets of one ROUTE_ID do not overtake each other, those of route 0 may. What begins with no digit is no
//! line. Whether the trace begins anew behind its end is said when it is played; here it does.
//!
//! Lines that differ in latency, rate and loss alone become a trace; those that differ otherwise become changes of the
//! profile, as many as a timeline holds. Jitter is taken for normal.

use shaper_common::timeline::MOST_CHANGES;
use shaper_common::units::{BitsPerSec, Nanos};

use super::super::OneWay;
use super::super::error::{Notes, Wrong};
use super::super::number::percent;
use super::super::trace::{Row, Trace};
use super::queue::packets;
use crate::effect::{Distribution, Duplicate, Order};
use crate::loss::Loss;
use crate::profile::Direction;
use crate::quantity::{Duration, Percent, Rate};

const HINT: &str =
    "write KEEP,LATENCY,RATE,LOSS,LIMIT or KEEP,LATENCY,JITTER,RATE,LOSS,LIMIT,DUP_PROB,DUP_DELAY,ROUTE_ID";

/// Nanoseconds of an hour, the longest delay of a profile.
const LONGEST: u64 = 3_600_000_000_000;

/// A line's settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Line {
    number: usize,
    keep: u64,
    latency: u64,
    jitter: u64,
    rate: u64,
    loss: u64,
    limit: u64,
    duplicates: u64,
    duplicate_delay: u64,
    route: u64,
}

pub(in super::super) fn read(text: &str, notes: &mut Notes) -> Result<OneWay, Wrong> {
    let lines = lines(text, notes)?;
    let Some(first) = lines.first().copied() else { return Err(Wrong::new(1, "the trace has no lines", HINT)) };
    let start = direction(&first, notes)?;
    if lines.iter().all(|line| line.settings() == first.settings()) {
        return Ok(OneWay { direction: start, ..OneWay::default() });
    }
    let needs_changes = |line: &&Line| line.beside_trace() != first.beside_trace();
    match lines.iter().find(needs_changes) {
        None => traced(&lines, start),
        Some(differs) => changed(&lines, start, differs.number, notes),
    }
}

fn traced(lines: &[Line], start: Direction) -> Result<OneWay, Wrong> {
    let differs = |of: fn(&Line) -> u64| lines.windows(2).any(|pair| matches!(pair, [a, b] if of(a) != of(b)));
    let (rate, delay, loss) = (differs(|line| line.rate), differs(|line| line.latency), differs(|line| line.loss));
    let mut trace = Trace::default();
    for line in lines {
        let row = Row {
            at: Nanos::ZERO,
            rate: rate.then_some(line.rate),
            delay: delay.then_some(Nanos(line.latency)),
            loss: if loss { Some(scaled(line.number, line.loss)?) } else { None },
        };
        let pushed = trace.push(row, Nanos(line.keep * 1_000));
        pushed.map_err(|problem| Wrong::new(line.number, problem, "cut the rate, or keep the same one throughout"))?;
    }
    Ok(OneWay { direction: start, trace: Some(trace), ..OneWay::default() })
}

fn changed(lines: &[Line], start: Direction, differs: usize, notes: &mut Notes) -> Result<OneWay, Wrong> {
    let mut changes: Vec<(Duration, Direction)> = Vec::new();
    let mut at = Nanos::ZERO;
    for line in lines {
        let settings = direction(line, notes)?;
        if *changes.last().map_or(&start, |(_, before)| before) != settings {
            changes.push((Duration(at), settings));
        }
        if changes.len() > MOST_CHANGES {
            return Err(Wrong::new(
                differs,
                format!(
                    "lines differ from here on in more than latency, rate and loss, and more than {MOST_CHANGES} times"
                ),
                "keep jitter, limit, duplicates and route the same, or cut the trace",
            ));
        }
        at = Nanos(at.0.saturating_add(line.keep * 1_000));
    }
    Ok(OneWay { direction: start, changes, repeat: Some(Duration(at)), ..OneWay::default() })
}

impl Line {
    /// All but for how long.
    fn settings(&self) -> Self {
        Self { number: 0, keep: 0, ..*self }
    }

    /// What no trace holds; a trace holds no rate that is none either.
    fn beside_trace(&self) -> (Self, bool) {
        (Self { latency: 0, rate: 0, loss: 0, ..self.settings() }, self.rate == 0)
    }
}

fn lines(text: &str, notes: &mut Notes) -> Result<Vec<Line>, Wrong> {
    let mut lines: Vec<Line> = Vec::new();
    let mut total = 0u64;
    for (number, written) in text.lines().enumerate().map(|(number, line)| (number + 1, line.trim())) {
        if written.is_empty() {
            continue;
        }
        if !written.starts_with(|c: char| c.is_ascii_digit()) {
            notes.at(number, "what begins with no digit is no line of the trace, and is left out");
            continue;
        }
        let line = line(number, written)?;
        total = total.saturating_add(line.keep);
        if total > 365 * 86_400 * 1_000_000 {
            return Err(Wrong::new(number, "the trace is longer than 365 days up to here", "cut it"));
        }
        lines.push(line);
    }
    Ok(lines)
}

fn line(number: usize, written: &str) -> Result<Line, Wrong> {
    let wrong = |problem: String| Wrong::new(number, problem, HINT);
    let mut numbers = Vec::new();
    for cell in written.split(',') {
        let cell = cell.trim();
        numbers.push(cell.parse::<u64>().map_err(|_| wrong(format!("\"{cell}\" is no whole number")))?);
    }
    let line = match *numbers.as_slice() {
        [keep, latency, rate, loss, limit] => {
            Line { number, keep, latency, jitter: 0, rate, loss, limit, duplicates: 0, duplicate_delay: 0, route: 0 }
        }
        [keep, latency, jitter, rate, loss, limit, duplicates, duplicate_delay, ref route @ ..] if route.len() <= 1 => {
            let route = route.first().copied().unwrap_or(0);
            Line { number, keep, latency, jitter, rate, loss, limit, duplicates, duplicate_delay, route }
        }
        _ => return Err(wrong(format!("the line has {} numbers, not 5, 8 or 9", numbers.len()))),
    };
    if line.keep == 0 {
        return Err(wrong("KEEP is 0, and the line holds for no time".into()));
    }
    if let Some(long) = [line.latency, line.jitter, line.duplicate_delay].into_iter().find(|time| *time > LONGEST) {
        return Err(wrong(format!("{long} ns is longer than an hour")));
    }
    if line.rate > 10_000_000_000_000 {
        return Err(wrong(format!("{} bit/s is more than 10 Tbit/s", line.rate)));
    }
    if line.limit == 0 {
        return Err(wrong("LIMIT is 0, and no packet finds room".into()));
    }
    Ok(line)
}

/// Parts of 2^32 - 1.
fn scaled(number: usize, parts: u64) -> Result<Percent, Wrong> {
    let whole = u64::from(u32::MAX);
    if parts > whole {
        return Err(Wrong::new(number, format!("{parts} is more than {whole}, which is 100 %"), HINT));
    }
    percent(parts as f64 * 100.0 / whole as f64).map_err(|problem| Wrong::new(number, problem, HINT))
}

fn direction(line: &Line, notes: &mut Notes) -> Result<Direction, Wrong> {
    let mut direction = Direction {
        delay: Duration(Nanos(line.latency)),
        jitter: Duration(Nanos(line.jitter)),
        distribution: if line.jitter > 0 { Distribution::Normal } else { Distribution::Uniform },
        order: if line.route == 0 { Order::Free } else { Order::Keep },
        loss: Loss::Independent(scaled(line.number, line.loss)?),
        duplicate: Duplicate {
            ratio: scaled(line.number, line.duplicates)?,
            delay: Duration(Nanos(line.duplicate_delay)),
            ..Duplicate::default()
        },
        rate: Rate(BitsPerSec(line.rate)),
        ..Direction::default()
    };
    if line.route != 0 {
        notes.at(
            line.number,
            "packets overtake where TheaterQ's route changes; here packets of a route keep their \
            order, and so do those of different routes",
        );
    }
    if line.rate > 0 {
        let (queue, note) = packets(line.limit, &direction);
        direction.queue = Some(queue);
        if let Some(note) = note {
            notes.at(line.number, note);
        }
    } else {
        notes.at(line.number, "without a rate nothing waits: LIMIT is left out");
    }
    direction.check().map_err(|invalid| Wrong::invalid(line.number, &invalid))?;
    Ok(direction)
}
