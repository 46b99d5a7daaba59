//! Traces: rate, delay and loss over time, or delay and loss packet by packet, from a CSV file.
//!
//! The first row names the columns with their units. Over time: `time_ms` (or `time_us`, `time_s`) and any of `rate_kbit`
//! (or `rate_bit`, `rate_mbit`), `delay_ms` (or `delay_us`) and `loss_percent`. Each row holds from its time until the next
//! one's, and the first one before that too; of a trace that begins anew the last row is its end. By packet: `delay_ms` (or
//! `delay_us`) and `lost`, 0 or 1, or either of both, a row a packet. Lines that begin with `#` are left out.
//!
//! Delay and loss are those of a packet's arrival. Rates are a capacity: a packet is served over as many rows as it takes.

use std::sync::Arc;

use shaper_channel::{PacketTrace, StepTrace, Unfit};
use shaper_common::layout::{Params, flags};
use shaper_common::trace::Entry;
use shaper_common::units::{BitsPerSec, Nanos, Probability};

use crate::effect::{End, Scope, TraceRef};
use crate::loss::Loss;
use crate::profile::{DEFAULT_QUEUE, DEFAULT_QUEUE_PACKETS, Direction, FULL_PACKET};
use crate::quantity::{Duration, Percent, QueueLimit, Rate, Size};

/// A file that is no trace.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file}{}: {problem}", if *line == 0 { String::new() } else { format!(":{line}") })]
pub struct TraceError {
    /// Its path.
    pub file: String,
    /// The line, from 1; 0 for the file as a whole.
    pub line: usize,
    /// What is wrong, and what would be right.
    pub problem: String,
}

/// A trace, read.
#[derive(Clone, Debug, PartialEq)]
pub enum Trace {
    /// Over time.
    Rows {
        /// In the order of their times.
        rows: Vec<Row>,
        /// The time after which it begins anew; zero where its last row stays.
        repeat: Nanos,
    },
    /// By packet.
    Packets {
        /// A row a packet.
        packets: Vec<PacketRow>,
        /// Whether it begins anew; or else its last row stays.
        repeats: bool,
    },
}

/// Settings from a time on; what the trace has no column for is absent.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Row {
    /// Since the link's start.
    pub at: Nanos,
    /// Bits a second; zero for a standstill.
    pub rate: Option<f64>,
    /// Base delay.
    pub delay: Option<Nanos>,
    /// Packets lost over packets.
    pub loss: Option<f64>,
}

/// What becomes of one packet; what the trace has no column for is absent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PacketRow {
    /// Base delay.
    pub delay: Option<Nanos>,
    /// Whether it is lost.
    pub lost: Option<bool>,
}

/// What a column holds, and what its numbers are multiplied with.
#[derive(Clone, Copy)]
enum Column {
    Time(f64),
    Rate(f64),
    Delay(f64),
    Loss,
    Lost,
}

/// A column with its name.
type Named = (&'static str, Column);

const COLUMNS: [(&str, Column); 10] = [
    ("time_s", Column::Time(1e9)),
    ("time_ms", Column::Time(1e6)),
    ("time_us", Column::Time(1e3)),
    ("rate_bit", Column::Rate(1.0)),
    ("rate_kbit", Column::Rate(1e3)),
    ("rate_mbit", Column::Rate(1e6)),
    ("delay_ms", Column::Delay(1e6)),
    ("delay_us", Column::Delay(1e3)),
    ("loss_percent", Column::Loss),
    ("lost", Column::Lost),
];

/// The longest time and delay: a year, an hour.
const LONGEST: f64 = 365.0 * 86_400e9;
const LONGEST_DELAY: f64 = 3_600e9;

impl Trace {
    /// Reads the file that a profile names.
    ///
    /// # Errors
    /// A file that cannot be read or is no trace, with the line.
    pub fn read(trace: &TraceRef) -> Result<Self, TraceError> {
        let text = std::fs::read_to_string(&trace.path).map_err(|error| TraceError {
            file: trace.path.clone(),
            line: 0,
            problem: format!(
                "cannot read the trace: {error}; name a CSV file, for example trace = \"lte.csv loop\", beside the profile"
            ),
        })?;
        Self::parse(&trace.path, &text, trace.end)
    }

    /// Reads a trace's text; `file` is what errors call it.
    ///
    /// # Errors
    /// What is wrong, with the line.
    pub fn parse(file: &str, text: &str, end: End) -> Result<Self, TraceError> {
        let wrong = |line, problem: String| TraceError { file: file.to_owned(), line, problem };
        // What some spreadsheets begin their files with.
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut lines = (1..).zip(text.lines()).filter(|(_, line)| {
            let line = line.trim();
            !line.is_empty() && !line.starts_with('#')
        });
        let example = "write for example \"time_ms,rate_kbit\" first, and then rows such as \"0,5000\"";
        let Some((first, header)) = lines.next() else {
            return Err(wrong(0, format!("the trace is empty; {example}")));
        };
        let columns = columns(header).map_err(|problem| wrong(first, format!("{problem}; {example}")))?;
        if !columns.iter().any(|(_, column)| matches!(column, Column::Time(_))) {
            let packets = lines.map(|(number, line)| packet(&columns, line).map_err(|problem| wrong(number, problem)));
            let packets: Vec<PacketRow> = packets.collect::<Result<_, _>>()?;
            if packets.is_empty() {
                return Err(wrong(0, format!("the trace has no rows; {example}")));
            }
            return Ok(Self::Packets { packets, repeats: end == End::Loop });
        }
        let mut rows: Vec<Row> = Vec::new();
        for (number, line) in lines {
            let row = row(&columns, line).map_err(|problem| wrong(number, problem))?;
            if let Some(last) = rows.last().filter(|last| last.at >= row.at) {
                let [last, this] = [last.at, row.at].map(|at| at.0 as f64 / time_unit(&columns));
                return Err(wrong(
                    number,
                    format!("the time does not rise: {this} is behind {last}; sort the rows by time"),
                ));
            }
            rows.push(row);
        }
        let mut repeat = Nanos::ZERO;
        if end == End::Loop {
            let Some(last) = rows.pop_if(|_| true).filter(|last| last.at > Nanos::ZERO) else {
                return Err(wrong(
                    0,
                    "a trace that begins anew needs a row behind time 0, which is its end".to_owned(),
                ));
            };
            repeat = last.at;
        }
        if rows.is_empty() {
            return Err(wrong(0, format!("the trace has no rows; {example}")));
        }
        if rows.iter().all(|row| row.rate.is_some_and(|rate| rate < 1.0)) {
            return Err(wrong(
                0,
                "all rates are 0, or below a bit a second: nothing would ever pass; write outages instead".to_owned(),
            ));
        }
        // What holds first holds from the start.
        if let Some(first) = rows.first_mut() {
            first.at = Nanos::ZERO;
        }
        Ok(Self::Rows { rows, repeat })
    }

    /// The mean over time, or over packets, of what a row may have; `None` where the first has none. What stays at the
    /// end of a trace counts as much as all before it.
    fn mean(&self, of_row: fn(&Row) -> Option<f64>, of_packet: fn(&PacketRow) -> Option<f64>) -> Option<f64> {
        match self {
            Self::Rows { rows, repeat } => {
                let _ = rows.first().and_then(of_row)?;
                let last = rows.last()?.at.0;
                let end = if *repeat == Nanos::ZERO { last.saturating_mul(2).max(1) } else { repeat.0 };
                let ends = rows.iter().skip(1).map(|next| next.at.0).chain([end]);
                let sums = rows.iter().zip(ends).map(|(row, end)| of_row(row).unwrap_or(0.0) * (end - row.at.0) as f64);
                Some(sums.sum::<f64>() / end as f64)
            }
            Self::Packets { packets, .. } => {
                let _ = packets.first().and_then(of_packet)?;
                Some(packets.iter().filter_map(of_packet).sum::<f64>() / packets.len() as f64)
            }
        }
    }

    /// A direction as the trace has it in the mean. Where it has no queue of its own, one of what the rate serves in
    /// 100 ms, ten full packets at least.
    pub(crate) fn over(&self, base: &Direction) -> Direction {
        let mut direction = base.clone();
        if let Some(delay) = self.mean(|row| row.delay.map(as_nanos), |packet| packet.delay.map(as_nanos)) {
            direction.delay = Duration(Nanos(delay.round() as u64));
        }
        if let Some(loss) = self.mean(|row| row.loss, |packet| packet.lost.map(f64::from)) {
            direction.loss = Loss::Independent(Percent::of_fraction(loss));
        }
        if let Some(mean) = self.mean(|row| row.rate, |_| None) {
            direction.rate = Rate(BitsPerSec((mean.round() as u64).max(1)));
            if direction.queue.is_none() {
                let served = mean / 8.0 * DEFAULT_QUEUE.as_secs_f64();
                let least = DEFAULT_QUEUE_PACKETS * direction.wire_bytes(FULL_PACKET);
                direction.queue = Some(QueueLimit::Bytes(Size((served as u64).max(least))));
            }
        }
        direction
    }

    /// The trace as it is followed.
    pub(crate) fn followed(&self, scope: Scope) -> Result<shaper_channel::Trace, Unfit> {
        Ok(match self {
            Self::Rows { rows, repeat } => {
                let mut rows: Vec<shaper_channel::Row> = rows.iter().map(Row::compiled).collect();
                // Fewer rows reach further.
                rows.dedup_by(|row, before| shaper_channel::Row { at: before.at, ..*row } == *before);
                shaper_channel::Trace::Steps(Arc::new(StepTrace::new(&rows, *repeat)?))
            }
            Self::Packets { packets, repeats } => {
                let entry =
                    |packet: &PacketRow| Entry::new(packet.delay.unwrap_or(Nanos::ZERO), packet.lost == Some(true));
                let entries = packets.iter().map(entry).collect();
                shaper_channel::Trace::Packets(Arc::new(PacketTrace::new(entries, *repeats, !scope.is_link())?))
            }
        })
    }

    /// The [`flags`] of what follows it.
    fn flags(&self) -> u32 {
        let if_any = |any: bool, flag: u32| if any { flag } else { 0 };
        match self {
            Self::Rows { rows, .. } => {
                let first = rows.first().copied().unwrap_or_default();
                if_any(first.rate.is_some(), flags::RATE_STEPS)
                    | if_any(first.delay.is_some(), flags::DELAY_STEPS)
                    | if_any(first.loss.is_some(), flags::LOSS_STEPS)
            }
            Self::Packets { packets, .. } => {
                let first = packets.first().copied().unwrap_or_default();
                if_any(first.delay.is_some(), flags::DELAY_PACKETS) | if_any(first.lost.is_some(), flags::LOSS_PACKETS)
            }
        }
    }

    /// Settings of a direction, which is one [over](Self::over) this trace, that follow it.
    pub(crate) fn params(&self, direction: &Direction, followed: &shaper_channel::Trace, params: Params) -> Params {
        let on = self.flags();
        let mut params = Params { flags: params.flags | on, ..params };
        if let (shaper_channel::Trace::Steps(steps), true) = (followed, on & flags::RATE_STEPS != 0) {
            params.queue_work = u64::MAX;
            params.full_work = steps.work_of(direction.wire_bytes(FULL_PACKET));
            if let Some(QueueLimit::Bytes(size)) = direction.queue {
                (params.queue, params.queue_work) = (Nanos::MAX, steps.work_of(size.0));
            }
        }
        if on & (flags::LOSS_STEPS | flags::LOSS_PACKETS) != 0 {
            params = Params { loss: Probability(0), has_chain: 0, period: 0, ..params };
        }
        params
    }

    /// Whether delays follow it.
    pub(crate) fn has_delay(&self) -> bool {
        self.flags() & (flags::DELAY_STEPS | flags::DELAY_PACKETS) != 0
    }

    /// The first setting of a change that this trace has already.
    pub(crate) fn contradicts(&self, base: &Direction, change: &Direction) -> Option<&'static str> {
        let has = |flag: u32| self.flags() & flag != 0;
        [
            ("rate", has(flags::RATE_STEPS) && change.rate != base.rate),
            ("delay", self.has_delay() && change.delay != base.delay),
            ("loss", has(flags::LOSS_STEPS | flags::LOSS_PACKETS) && change.loss != base.loss),
        ]
        .into_iter()
        .find_map(|(key, contradicts)| contradicts.then_some(key))
    }
}

const fn as_nanos(delay: Nanos) -> f64 {
    delay.0 as f64
}

impl Row {
    fn compiled(&self) -> shaper_channel::Row {
        shaper_channel::Row {
            at: self.at,
            rate: self.rate.unwrap_or(0.0),
            delay: self.delay.unwrap_or(Nanos::ZERO),
            loss: Probability((self.loss.unwrap_or(0.0) * 2f64.powi(32)).round() as u64),
        }
    }
}

/// Nanoseconds of one in the column of times.
fn time_unit(columns: &[Named]) -> f64 {
    let time = columns.iter().find_map(|(_, column)| if let Column::Time(unit) = column { Some(*unit) } else { None });
    time.unwrap_or(1.0)
}

fn columns(header: &str) -> Result<Vec<Named>, String> {
    let names: Vec<&str> = header.split(',').map(str::trim).collect();
    let mut columns: Vec<Named> = Vec::with_capacity(names.len());
    for name in &names {
        let Some((name, column)) = COLUMNS.iter().find(|(known, _)| known == name) else {
            let known: Vec<&str> = COLUMNS.iter().map(|(known, _)| *known).collect();
            return Err(format!("\"{name}\" is no column (known: {})", known.join(", ")));
        };
        let same = |(_, other): &Named| std::mem::discriminant(other) == std::mem::discriminant(column);
        if columns.iter().any(same) {
            return Err(format!("\"{name}\" is there twice"));
        }
        columns.push((name, *column));
    }
    let has = |which: fn(&Column) -> bool| columns.iter().any(|(_, column)| which(column));
    let by_packet = has(|column| matches!(column, Column::Lost));
    let over_time = has(|column| matches!(column, Column::Rate(_) | Column::Loss));
    match has(|column| matches!(column, Column::Time(_))) {
        true if by_packet => Err("\"lost\" is of one packet, and there is a time: write loss_percent".to_owned()),
        true if columns.len() == 1 => Err("there is a time and nothing that changes".to_owned()),
        false if over_time => Err("there is no time: by packet there are delays and \"lost\" alone".to_owned()),
        _ => Ok(columns),
    }
}

/// The cells of a row, each with its column.
fn cells<'a>(columns: &'a [Named], line: &'a str) -> Result<impl Iterator<Item = (Named, &'a str)>, String> {
    let cells: Vec<&str> = line.split(',').map(str::trim).collect();
    if cells.len() != columns.len() {
        return Err(format!("{} cells in a row of {} columns", cells.len(), columns.len()));
    }
    Ok(columns.iter().copied().zip(cells))
}

fn number(cell: &str, scale: f64, most: f64, name: &str) -> Result<f64, String> {
    let value = cell.parse::<f64>().ok().map(|value| value * scale);
    value
        .filter(|value| value.is_finite() && *value >= 0.0)
        .filter(|value| *value <= most)
        .ok_or_else(|| format!("{name}: \"{cell}\" is no number from 0 to {}", (most / scale).floor()))
}

fn row(columns: &[Named], line: &str) -> Result<Row, String> {
    let mut row = Row::default();
    for ((name, column), cell) in cells(columns, line)? {
        match column {
            Column::Time(scale) => row.at = Nanos(number(cell, scale, LONGEST, name)?.round() as u64),
            Column::Rate(scale) => row.rate = Some(number(cell, scale, StepTrace::FASTEST, name)?),
            Column::Delay(scale) => row.delay = Some(delay(cell, scale, name)?),
            Column::Loss => row.loss = Some(number(cell, 0.01, 1.0, name)?),
            Column::Lost => {}
        }
    }
    Ok(row)
}

fn packet(columns: &[Named], line: &str) -> Result<PacketRow, String> {
    let mut packet = PacketRow::default();
    for ((name, column), cell) in cells(columns, line)? {
        match column {
            Column::Delay(scale) => packet.delay = Some(delay(cell, scale, name)?),
            Column::Lost => {
                packet.lost = Some(match cell {
                    "0" => false,
                    "1" => true,
                    _ => return Err(format!("lost: \"{cell}\" is neither 0 nor 1, which is a packet that is lost")),
                });
            }
            Column::Time(_) | Column::Rate(_) | Column::Loss => {}
        }
    }
    Ok(packet)
}

fn delay(cell: &str, scale: f64, name: &str) -> Result<Nanos, String> {
    Ok(Nanos(number(cell, scale, LONGEST_DELAY, name)?.round() as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str, end: End) -> Result<Trace, String> {
        Trace::parse("t.csv", text, end).map_err(|error| error.to_string())
    }

    #[test]
    fn rows_hold_until_the_next_and_the_last_is_the_end_of_a_loop() {
        let text = "# made by hand\ntime_s, rate_mbit, delay_ms, loss_percent\n0,5,20,0\n1.5,10,30,2.5\n3,5,20,0\n";
        let Ok(Trace::Rows { rows, repeat: Nanos::ZERO }) = parse(text, End::Hold) else { panic!() };
        let row = Row { at: Nanos(1_500_000_000), rate: Some(1e7), delay: Some(Nanos(30_000_000)), loss: Some(0.025) };
        assert_eq!((rows.len(), rows[1]), (3, row));
        let looped = parse(text, End::Loop).unwrap();
        assert_eq!(looped, Trace::Rows { rows: rows[..2].to_vec(), repeat: Nanos(3_000_000_000) });
        let mean = looped.over(&Direction::default());
        assert_eq!((mean.rate.0, mean.delay.0), (BitsPerSec(7_500_000), Nanos(25_000_000)));
        assert_eq!(mean.loss.to_string(), "1.25%");
        assert_eq!(looped.followed(Scope::Link).unwrap().longest_delay(), Nanos(30_000_000));
    }

    #[test]
    fn the_first_row_holds_before_its_time_too() {
        let Ok(Trace::Rows { rows, .. }) = parse("time_ms,delay_ms\n500,1\n700,2\n", End::Hold) else { panic!() };
        assert_eq!(rows.iter().map(|row| row.at.0).collect::<Vec<_>>(), [0, 700_000_000]);
    }

    #[test]
    fn without_a_time_each_row_is_a_packet() {
        let row = |delay, lost| PacketRow { delay: Some(Nanos(delay)), lost: Some(lost) };
        let packets = vec![row(1_500, false), row(0, true)];
        let text = "delay_us,lost\n1.5,0\n0,1\n";
        assert_eq!(parse(text, End::Loop), Ok(Trace::Packets { packets, repeats: true }));
        let packets = vec![PacketRow { lost: Some(true), ..PacketRow::default() }];
        assert_eq!(parse("lost\n1\n", End::Hold), Ok(Trace::Packets { packets, repeats: false }));
    }

    #[test]
    fn a_direction_takes_its_rate_and_its_queue_from_the_trace() {
        let trace = parse("time_ms,rate_kbit\n0,8000\n500,0\n1000,0\n", End::Loop).unwrap();
        let direction = trace.over(&Direction::default());
        assert_eq!(direction.rate, Rate(BitsPerSec(4_000_000)));
        assert_eq!(direction.queue, Some(QueueLimit::Bytes(Size(50_000))));
        let followed = trace.followed(direction.scope).unwrap();
        let params = trace.params(&direction, &followed, direction.params(1, 0));
        let shaper_channel::Trace::Steps(steps) = followed else { panic!() };
        assert_eq!(params.flags, flags::RATE_STEPS);
        assert_eq!((params.queue, params.queue_work), (Nanos::MAX, steps.work_of(50_000)));
    }

    #[test]
    fn what_is_no_trace_is_refused_with_its_line() {
        for (text, problem) in [
            ("", "t.csv: the trace is empty; write for example"),
            ("time_ms\n0\n", "t.csv:1: there is a time and nothing that changes"),
            ("rate_bit\n5\n", "t.csv:1: there is no time: by packet there are delays"),
            ("time_ms,lost\n5,1\n", "t.csv:1: \"lost\" is of one packet"),
            ("lost\n2\n", "t.csv:2: lost: \"2\" is neither 0 nor 1"),
            ("lost\n", "t.csv: the trace has no rows"),
            ("delay_ms,lost\n1\n", "t.csv:2: 1 cells in a row of 2 columns"),
            ("time_ms,rate\n", "t.csv:1: \"rate\" is no column (known: time_s"),
            ("time_ms,rate_bit,rate_kbit\n", "t.csv:1: \"rate_kbit\" is there twice"),
            ("time_ms,rate_bit\n0\n", "t.csv:2: 1 cells in a row of 2 columns"),
            ("time_ms,rate_bit\n0,fast\n", "t.csv:2: rate_bit: \"fast\" is no number from 0 to 68719476736"),
            ("time_ms,rate_bit\n0,-1\n", "t.csv:2: rate_bit: \"-1\" is no number"),
            ("time_ms,rate_mbit\n0,70000\n", "t.csv:2: rate_mbit: \"70000\" is no number from 0 to 68719"),
            ("time_ms,rate_bit\n5,1\n\n5,1\n", "t.csv:4: the time does not rise: 5 is behind 5"),
            ("time_ms,rate_bit\n0,0\n5,0\n", "t.csv: all rates are 0"),
            ("\u{feff}time_ms,rate_bit\n0,0\n5,0.001\n", "t.csv: all rates are 0"),
            ("time_ms,loss_percent\n0,101\n", "t.csv:2: loss_percent: \"101\" is no number from 0 to 100"),
            ("time_ms,loss_percent\n", "t.csv: the trace has no rows"),
        ] {
            let error = parse(text, End::Hold).unwrap_err();
            assert!(error.starts_with(problem), "{text:?}: {error}");
        }
        assert!(parse("time_ms,rate_bit\n0,1\n", End::Loop).unwrap_err().contains("needs a row behind time 0"));
    }
}
