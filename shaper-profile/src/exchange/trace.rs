//! Traces of settings over time as CSV, the profile's own format: a header that names columns with their units, the
//! time first; each row holds from its time until the next row's. The last row marks the end: in a trace that begins
//! anew it has the settings of the first, and holds for no time.
//!
//! A rate of 0 serves nothing.

use super::error::Wrong;
use super::number::{self, SECOND};
use crate::quantity::Percent;
use shaper_channel::StepTrace;
use shaper_common::units::Nanos;

/// The fastest rate of a trace, in whole bits per second.
const FASTEST: u64 = StepTrace::FASTEST as u64;

/// What holds from a time on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) at: Nanos,
    /// In bits per second; zero serves nothing.
    pub(super) rate: Option<u64>,
    pub(super) delay: Option<Nanos>,
    pub(super) loss: Option<Percent>,
}

impl Row {
    /// Whether the settings are the same, at whatever time.
    fn has_settings_of(&self, other: &Self) -> bool {
        Self { at: other.at, ..*self } == *other
    }
}

/// Rows in order of time, and when the last of them is over.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Trace {
    rows: Vec<Row>,
    end: Nanos,
}

impl Trace {
    /// Another row behind the last, which holds for so long; one with the settings of the last lengthens that. What is
    /// wrong with it is a rate that no trace can have.
    pub(super) fn push(&mut self, row: Row, length: Nanos) -> Result<(), String> {
        if let Some(rate) = row.rate.filter(|rate| *rate > FASTEST) {
            return Err(format!("{rate} bit/s is more than the {FASTEST} that a trace can have"));
        }
        let row = Row { at: self.end, ..row };
        self.end = Nanos(self.end.0.saturating_add(length.0));
        if !self.rows.last().is_some_and(|last| last.has_settings_of(&row)) {
            self.rows.push(row);
        }
        Ok(())
    }

    /// Whether it has rates, and all of them are zero.
    pub(super) fn never_serves(&self) -> bool {
        !self.rows.is_empty() && self.rows.iter().all(|row| row.rate == Some(0))
    }

    /// The settings, where they are always the same.
    pub(super) fn constant(&self) -> Option<Row> {
        match self.rows.as_slice() {
            [only] => Some(*only),
            _ => None,
        }
    }

    /// The text of a file, with the columns that any row has.
    pub(super) fn csv(&self, comment: &str) -> String {
        let has = |column: fn(&Row) -> bool| self.rows.iter().any(column);
        let (rate, delay, loss) =
            (has(|row| row.rate.is_some()), has(|row| row.delay.is_some()), has(|row| row.loss.is_some()));
        let in_whole_kilobits = self.rows.iter().all(|row| row.rate.unwrap_or(0) % 1_000 == 0);
        let mut times = self.rows.iter().map(|row| row.at.0).chain([self.end.0]);
        let in_milliseconds = times.all(|time| time % 1_000_000 == 0);
        let (time, unit) = if in_milliseconds { ("time_ms", 1_000_000) } else { ("time_us", 1_000) };
        let mut header = vec![time];
        header.extend(rate.then_some(if in_whole_kilobits { "rate_kbit" } else { "rate_bit" }));
        header.extend(delay.then_some("delay_us"));
        header.extend(loss.then_some("loss_percent"));
        let mut text = format!("# {}\n{}\n", comment.replace(['\n', '\r'], " "), header.join(","));
        let last = self.rows.first().map(|first| Row { at: self.end, ..*first });
        for row in self.rows.iter().chain(&last) {
            let mut cells = vec![in_units(row.at.0, unit)];
            cells.extend(rate.then(|| (row.rate.unwrap_or(0) / if in_whole_kilobits { 1_000 } else { 1 }).to_string()));
            cells.extend(delay.then(|| in_units(row.delay.unwrap_or(Nanos::ZERO).0, 1_000)));
            cells.extend(loss.then(|| row.loss.unwrap_or(Percent::ZERO).to_string().replace('%', "")));
            text += &cells.join(",");
            text.push('\n');
        }
        text
    }
}

/// Such as "1.25" for 1,250 nanoseconds in microseconds.
fn in_units(nanos: u64, unit: u64) -> String {
    let digits = unit.ilog10() as usize;
    let (whole, rest) = (nanos / unit, nanos % unit);
    if rest == 0 {
        return whole.to_string();
    }
    format!("{whole}.{}", format!("{rest:0digits$}").trim_end_matches('0'))
}

/// The rates of a trace over time, each with its line's time; the last one's time is the trace's end.
pub(super) fn rates(text: &str) -> Result<Vec<(Nanos, f64)>, Wrong> {
    let mut lines = text
        .lines()
        .enumerate()
        .map(|(number, line)| (number + 1, line.trim()))
        .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    let Some((header_line, header)) = lines.next() else {
        return Err(Wrong::new(1, "the trace is empty", "begin it with a row such as time_ms,rate_kbit"));
    };
    let names: Vec<&str> = header.split(',').map(str::trim).collect();
    let unit = match names.first() {
        Some(&"time_s") => SECOND,
        Some(&"time_ms") => Nanos(1_000_000),
        Some(&"time_us") => Nanos(1_000),
        _ => {
            let hint = "begin the header with time_s, time_ms or time_us";
            return Err(Wrong::new(header_line, "the trace is none over time", hint));
        }
    };
    let rate_unit = |name: &&str| match *name {
        "rate_bit" => Some(1.0),
        "rate_kbit" => Some(1e3),
        "rate_mbit" => Some(1e6),
        _ => None,
    };
    let Some((column, bits)) = names.iter().enumerate().find_map(|(at, name)| Some((at, rate_unit(name)?))) else {
        return Err(Wrong::new(header_line, "the trace has no rates", "add a column rate_kbit"));
    };
    let mut rates: Vec<(Nanos, f64)> = Vec::new();
    for (line, text) in lines {
        let cells: Vec<&str> = text.split(',').collect();
        let cell = |at: usize| {
            let cell = cells.get(at).ok_or_else(|| "a cell is missing".to_owned());
            cell.and_then(|cell| number::number(cell))
        };
        let wrong = |problem| Wrong::new(line, problem, "write as many numbers as the header has names");
        let at = cell(0).and_then(|time| number::duration(time, unit)).map_err(wrong)?.0;
        if rates.last().is_some_and(|(before, _)| *before >= at) {
            return Err(Wrong::new(line, "the time is no later than that before", "put the rows in order of time"));
        }
        rates.push((at, cell(column).map_err(wrong)? * bits));
    }
    Ok(rates)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_that_say_the_same_are_one_and_the_end_is_marked() {
        let row = |rate| Row { rate: Some(rate), ..Row::default() };
        let mut trace = Trace::default();
        for rate in [12_032_000, 12_032_000, 0, 24_064_000] {
            trace.push(row(rate), Nanos(1_000_000)).unwrap();
        }
        assert_eq!(trace.constant(), None);
        let text = trace.csv("made\nby hand");
        assert_eq!(text, "# made by hand\ntime_ms,rate_kbit\n0,12032\n2,0\n3,24064\n4,12032\n");
        let rates = rates(&text).unwrap();
        assert_eq!(rates.iter().map(|(at, _)| at.0 / 1_000_000).collect::<Vec<_>>(), [0, 2, 3, 4]);
        assert_eq!(
            rates.iter().map(|(_, rate)| *rate as u64).collect::<Vec<_>>(),
            [12_032_000, 0, 24_064_000, 12_032_000]
        );
    }

    #[test]
    fn columns_are_as_fine_as_what_they_hold() {
        let mut trace = Trace::default();
        let loss = Some("0.5%".parse().unwrap());
        trace.push(Row { rate: Some(1), delay: Some(Nanos(1_250)), loss, ..Row::default() }, Nanos(1_500)).unwrap();
        trace.push(Row { rate: Some(2), ..Row::default() }, Nanos(500)).unwrap();
        assert_eq!(
            trace.csv("x"),
            "# x\ntime_us,rate_bit,delay_us,loss_percent\n0,1,1.25,0.5\n1.5,2,0,0\n2,1,1.25,0.5\n"
        );
    }
}
