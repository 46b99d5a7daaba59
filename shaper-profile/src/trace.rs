//! Traces: rate, delay and loss over time, from a CSV file.
//!
//! The first row names the columns with their units: `time_ms` (or `time_us`, `time_s`) and any of `rate_kbit` (or
//! `rate_bit`, `rate_mbit`), `delay_ms` (or `delay_us`) and `loss_percent`. Each row holds from its time until the next
//! one's; of a trace that begins anew the last row is its end. Lines that begin with `#` are left out.
//!
//! Settings act on packets that arrive while they hold: a packet is served at the rate of its arrival. Rates that change
//! faster than [`LEAST`] are averaged over that time.

use shaper_common::layout::Params;
use shaper_common::units::{BitsPerSec, Nanos, Probability};

use crate::effect::{End, TraceRef};
use crate::profile::Direction;
use crate::quantity::{Duration, QueueLimit, Rate};

/// The shortest time that a rate holds.
pub const LEAST: Nanos = Nanos(100_000_000);
/// What a rate of zero is compiled to, with a queue that takes nothing.
const STANDSTILL: BitsPerSec = BitsPerSec(1);

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
pub struct Trace {
    /// Its rows, in the order of their times.
    pub rows: Vec<Row>,
    /// The time after which it begins anew; zero where its last row stays.
    pub repeat: Nanos,
    /// The queue before its rates where the profile names none: what their mean serves in 100 ms, ten full packets at
    /// least. Absent without rates.
    pub queue: Option<Duration>,
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

/// What a column holds, and what its numbers are multiplied with.
#[derive(Clone, Copy)]
enum Column {
    Time(f64),
    Rate(f64),
    Delay(f64),
    Loss,
}

const COLUMNS: [(&str, Column); 9] = [
    ("time_s", Column::Time(1e9)),
    ("time_ms", Column::Time(1e6)),
    ("time_us", Column::Time(1e3)),
    ("rate_bit", Column::Rate(1.0)),
    ("rate_kbit", Column::Rate(1e3)),
    ("rate_mbit", Column::Rate(1e6)),
    ("delay_ms", Column::Delay(1e6)),
    ("delay_us", Column::Delay(1e3)),
    ("loss_percent", Column::Loss),
];

/// The longest time and delay: a year, an hour.
const LONGEST: f64 = 365.0 * 86_400e9;
const LONGEST_DELAY: f64 = 3_600e9;
const HIGHEST_RATE: f64 = 1e13;

impl Trace {
    /// Reads the file that a profile names.
    ///
    /// # Errors
    /// A file that cannot be read or is no trace, with the line.
    pub fn read(trace: &TraceRef) -> Result<Self, TraceError> {
        let text = std::fs::read_to_string(&trace.path).map_err(|error| TraceError {
            file: trace.path.clone(),
            line: 0,
            problem: format!("cannot read the trace: {error}"),
        })?;
        Self::parse(&trace.path, &text, trace.end)
    }

    /// Reads a trace's text; `file` is what errors call it.
    ///
    /// # Errors
    /// What is wrong, with the line.
    pub fn parse(file: &str, text: &str, end: End) -> Result<Self, TraceError> {
        let wrong = |line, problem: String| TraceError { file: file.to_owned(), line, problem };
        let mut lines = (1..).zip(text.lines()).filter(|(_, line)| {
            let line = line.trim();
            !line.is_empty() && !line.starts_with('#')
        });
        let example = "write for example \"time_ms,rate_kbit\" first, and then rows such as \"0,5000\"";
        let Some((first, header)) = lines.next() else {
            return Err(wrong(0, format!("the trace is empty; {example}")));
        };
        let columns = columns(header).map_err(|problem| wrong(first, format!("{problem}; {example}")))?;
        let mut rows: Vec<Row> = Vec::new();
        for (number, line) in lines {
            let row = row(&columns, line).map_err(|problem| wrong(number, problem))?;
            if let Some(last) = rows.last().filter(|last| last.at >= row.at) {
                let problem = format!("the time does not rise: {} ns behind {} ns", row.at.0, last.at.0);
                return Err(wrong(number, problem));
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
        if rows.first().is_some_and(|row| row.rate.is_some()) {
            rows = averaged(&rows, (repeat > Nanos::ZERO).then_some(repeat));
        }
        let queue = mean_rate(&rows).map(|rate| {
            let mean = Direction { rate: Rate(BitsPerSec(rate)), ..Direction::default() };
            Duration(mean.queue_time())
        });
        Ok(Self { rows, repeat, queue })
    }
}

fn columns(header: &str) -> Result<Vec<Column>, String> {
    let names: Vec<&str> = header.split(',').map(str::trim).collect();
    let mut columns = Vec::with_capacity(names.len());
    for name in &names {
        let Some((_, column)) = COLUMNS.iter().find(|(known, _)| known == name) else {
            let known: Vec<&str> = COLUMNS.iter().map(|(known, _)| *known).collect();
            return Err(format!("\"{name}\" is no column (known: {})", known.join(", ")));
        };
        let same = |other: &Column| std::mem::discriminant(other) == std::mem::discriminant(column);
        if columns.iter().any(same) {
            return Err(format!("\"{name}\" is there twice"));
        }
        columns.push(*column);
    }
    match columns.iter().filter(|column| matches!(column, Column::Time(_))).count() {
        1 if columns.len() > 1 => Ok(columns),
        1 => Err("there is a time and nothing that changes".to_owned()),
        _ => Err("there is no time: traces by packet are not read".to_owned()),
    }
}

fn row(columns: &[Column], line: &str) -> Result<Row, String> {
    let cells: Vec<&str> = line.split(',').map(str::trim).collect();
    if cells.len() != columns.len() {
        return Err(format!("{} cells in a row of {} columns", cells.len(), columns.len()));
    }
    let mut row = Row::default();
    for (column, cell) in columns.iter().zip(cells) {
        let number = |scale: f64, most: f64, what: &str| {
            let value = cell.parse::<f64>().ok().map(|value| value * scale);
            value
                .filter(|value| (0.0..=most).contains(value))
                .ok_or_else(|| format!("\"{cell}\" is no {what}: write a number that is not negative"))
        };
        match *column {
            Column::Time(scale) => row.at = Nanos(number(scale, LONGEST, "time")?.round() as u64),
            Column::Rate(scale) => row.rate = Some(number(scale, HIGHEST_RATE, "rate")?),
            Column::Delay(scale) => {
                row.delay = Some(Nanos(number(scale, LONGEST_DELAY, "delay")?.round() as u64));
            }
            Column::Loss => row.loss = Some(number(0.01, 1.0, "percentage")?),
        }
    }
    Ok(row)
}

/// The mean of the rows' rates that are more than a standstill; `None` without any.
fn mean_rate(rows: &[Row]) -> Option<u64> {
    let rates: Vec<f64> = rows.iter().filter_map(|row| row.rate).filter(|rate| *rate >= 1.0).collect();
    (!rates.is_empty()).then(|| (rates.iter().sum::<f64>() / rates.len() as f64).round() as u64)
}

/// The rows with rates that hold for [`LEAST`] at least: the mean of what would be faster, with the other settings of the
/// first of them.
fn averaged(rows: &[Row], end: Option<Nanos>) -> Vec<Row> {
    let mut out = Vec::with_capacity(rows.len());
    let mut at = 0;
    while let Some(first) = rows.get(at) {
        let (mut bits, mut until) = (0.0, first.at);
        while let Some(row) = rows.get(at) {
            // The last row's rate stays, or lasts until the end.
            let next = rows.get(at + 1).map(|next| next.at).or(end);
            let Some(next) = next else {
                if until == first.at {
                    out.push(*row);
                    at += 1;
                }
                break;
            };
            bits += row.rate.unwrap_or(0.0) * next.saturating_sub(row.at).0 as f64;
            until = next;
            at += 1;
            if until.saturating_sub(first.at) >= LEAST {
                break;
            }
        }
        let time = until.saturating_sub(first.at).0 as f64;
        if time > 0.0 {
            out.push(Row { rate: Some(bits / time), ..*first });
        }
    }
    out
}

impl Row {
    /// A direction with what this row says of it, and the trace's queue where it has none of its own.
    pub(crate) fn over(&self, base: &Direction, queue: Option<Duration>) -> Direction {
        let mut direction = base.clone();
        if let Some(rate) = self.rate {
            direction.rate = Rate(BitsPerSec((rate.round() as u64).max(STANDSTILL.0)));
            direction.queue = base.queue.or(queue.map(QueueLimit::Time));
        }
        if let Some(delay) = self.delay {
            direction.delay = Duration(delay);
        }
        direction
    }

    /// Settings with the loss of this row.
    pub(crate) fn params(&self, params: Params) -> Params {
        // At a standstill nothing is served, and nothing that comes is.
        let stands = self.rate.is_some_and(|rate| rate < 1.0);
        let params = if stands { Params { queue: Nanos::ZERO, queue_packets: 0, ..params } } else { params };
        match self.loss {
            Some(loss) => {
                let loss = Probability((loss * 2f64.powi(32)).round() as u64);
                Params { loss, has_chain: 0, period: 0, ..params }.sparing()
            }
            None => params,
        }
    }
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
        let held = parse(text, End::Hold).unwrap();
        assert_eq!((held.rows.len(), held.repeat), (3, Nanos::ZERO));
        let row = Row { at: Nanos(1_500_000_000), rate: Some(1e7), delay: Some(Nanos(30_000_000)), loss: Some(0.025) };
        assert_eq!(held.rows[1], row);
        let looped = parse(text, End::Loop).unwrap();
        assert_eq!((looped.rows.len(), looped.repeat), (2, Nanos(3_000_000_000)));
    }

    #[test]
    fn fast_rates_are_averaged_so_that_as_many_bits_pass() {
        let fast: String = (0..1_000).map(|ms| format!("{ms},{}\n", if ms % 4 == 0 { 8_000 } else { 0 })).collect();
        let trace = parse(&format!("time_ms,rate_kbit\n{fast}1000,0\n"), End::Loop).unwrap();
        assert_eq!(trace.rows.len(), 10);
        assert!(trace.rows.iter().all(|row| row.rate == Some(2e6)), "{:?}", trace.rows);
    }

    #[test]
    fn what_is_no_trace_is_refused_with_its_line() {
        for (text, problem) in [
            ("", "t.csv: the trace is empty; write for example"),
            ("time_ms\n0\n", "t.csv:1: there is a time and nothing that changes"),
            ("delay_us\n5\n", "t.csv:1: there is no time: traces by packet are not read"),
            ("time_ms,rate\n", "t.csv:1: \"rate\" is no column (known: time_s"),
            ("time_ms,rate_bit,rate_kbit\n", "t.csv:1: \"rate_kbit\" is there twice"),
            ("time_ms,rate_bit\n0\n", "t.csv:2: 1 cells in a row of 2 columns"),
            ("time_ms,rate_bit\n0,fast\n", "t.csv:2: \"fast\" is no rate"),
            ("time_ms,rate_bit\n0,-1\n", "t.csv:2: \"-1\" is no rate"),
            ("time_ms,rate_bit\n5,1\n\n5,1\n", "t.csv:4: the time does not rise"),
            ("time_ms,loss_percent\n0,101\n", "t.csv:2: \"101\" is no percentage"),
            ("time_ms,loss_percent\n", "t.csv: the trace has no rows"),
        ] {
            let error = parse(text, End::Hold).unwrap_err();
            assert!(error.starts_with(problem), "{text:?}: {error}");
        }
        assert!(parse("time_ms,rate_bit\n0,1\n", End::Loop).unwrap_err().contains("needs a row behind time 0"));
    }
}
