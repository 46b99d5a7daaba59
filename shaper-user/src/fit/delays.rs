//! Delays of one way as text: CSV with named columns, or a plain list in milliseconds.

use std::path::Path;

use anyhow::{Context, bail};
use shaper_offline::fit::{Fate, Series};
use shaper_profile::quantity::Duration;

use super::measured::{Measured, Packets};

/// Names of columns: time of sending, delay, and whether it was lost; nanoseconds of one.
const TIMES: [(&str, f64); 4] = [("time_s", 1e9), ("time_ms", 1e6), ("time_us", 1e3), ("time_ns", 1.0)];
const DELAYS: [(&str, f64); 4] = [("delay_s", 1e9), ("delay_ms", 1e6), ("delay_us", 1e3), ("delay_ns", 1.0)];
/// A delay with its unit in each cell, such as 12.5ms.
const WITH_UNIT: &str = "delay";
const LOST: &str = "lost";
const BYTES: &str = "bytes";
/// The longest time and delay in nanoseconds: 292 years, an hour.
const LONGEST: f64 = 9.2e18;
const LONGEST_DELAY: f64 = 3.6e12;

#[derive(Clone, Copy, PartialEq)]
enum Column {
    Time(f64),
    /// Nanoseconds of one; none where each has its unit.
    Delay(Option<f64>),
    Lost,
    /// Of the frame, where a cell has a number.
    Bytes,
    /// Anything else is somebody else's.
    Other,
}

/// Reads a series from `a` to `b`.
///
/// # Errors
///
/// When it cannot be read, with the line.
pub(super) fn read(path: &Path, interval_ns: Option<i64>) -> anyhow::Result<Measured> {
    let name = path.display();
    let text = std::fs::read_to_string(path).with_context(|| format!("{name}: cannot be read as text"))?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let mut lines = (1..).zip(text.lines().map(str::trim)).filter(|(_, line)| !line.starts_with('#')).peekable();
    while lines.next_if(|(_, line)| line.is_empty()).is_some() {}
    let Some((number, head)) = lines.peek().copied() else {
        bail!("{name}: the file is empty: want a column of delays, such as delay_ms, or a list of milliseconds");
    };
    let plain = !head.contains(',') && (head.parse::<f64>().is_ok() || is_lost(head));
    let columns = if plain {
        vec![Column::Delay(Some(1e6))]
    } else {
        let columns = columns(head).with_context(|| format!("{name}:{number}"))?;
        lines.next();
        columns
    };
    let has_times = columns.iter().any(|column| matches!(column, Column::Time(_)));
    if has_times && interval_ns.is_some() {
        bail!("{name}: --interval is for delays without times, and this table has a column of them: leave it out");
    }
    let mut packets = Packets::default();
    let mut last = i64::MIN;
    let mut unordered = 0u64;
    for (number, line) in lines {
        // An empty line of a column alone is a packet that was lost; elsewhere it is nothing.
        if line.is_empty() && columns.len() > 1 {
            continue;
        }
        let (sent, fate, bytes) = row(&columns, line).with_context(|| format!("{name}:{number}"))?;
        let place = packets.all.len() as i64;
        let sent = sent.unwrap_or_else(|| place.saturating_mul(interval_ns.unwrap_or(1)));
        unordered += u64::from(sent < last);
        last = sent;
        packets.push(sent, fate, bytes);
    }
    let mut notes: Vec<String> = packets.left_out().into_iter().collect();
    if unordered > 0 {
        notes.push(format!("{unordered} lines stood behind later ones; packets were put in order of sending"));
    }
    if !has_times && interval_ns.is_none() {
        notes.push(
            "the series has no times, so correlation in time and order were not fitted: give --interval, from one packet to \
             the next, or a column time_ms"
                .to_owned(),
        );
    }
    let series = Series::sorted(packets.all, has_times || interval_ns.is_some(), true);
    let from = format!("a series of one-way delays, {name}");
    Ok(Measured { from, series: [series, Series::default()], first_ns: None, notes, cuts: Vec::new() })
}

fn columns(head: &str) -> anyhow::Result<Vec<Column>> {
    let of = |name: &str| {
        let find =
            |known: [(&str, f64); 4]| known.into_iter().find(|(known, _)| *known == name).map(|(_, scale)| scale);
        match (find(TIMES), find(DELAYS), name) {
            (Some(scale), ..) => Column::Time(scale),
            (_, Some(scale), _) => Column::Delay(Some(scale)),
            (.., WITH_UNIT) => Column::Delay(None),
            (.., LOST) => Column::Lost,
            (.., BYTES) => Column::Bytes,
            _ => Column::Other,
        }
    };
    let columns: Vec<Column> = head.split(',').map(|name| of(name.trim())).collect();
    let count = |which: fn(&Column) -> bool| columns.iter().filter(|column| which(column)).count();
    if count(|column| matches!(column, Column::Delay(_))) != 1 {
        bail!(
            "\"{head}\" names no column of delays, or several: want one of delay_s, delay_ms, delay_us, delay_ns, or delay with \
             a unit in each cell; and beside it, where known, time_s, time_ms, time_us or time_ns, and lost"
        );
    }
    if count(|column| matches!(column, Column::Time(_))) > 1 || count(|column| *column == Column::Lost) > 1 {
        bail!("\"{head}\" names a time, or lost, twice");
    }
    Ok(columns)
}

fn is_lost(cell: &str) -> bool {
    cell.is_empty() || ["lost", "-", "nan", "inf"].iter().any(|word| cell.eq_ignore_ascii_case(word))
}

fn row(columns: &[Column], line: &str) -> anyhow::Result<(Option<i64>, Fate, Option<u32>)> {
    let cells: Vec<&str> = line.split(',').map(str::trim).collect();
    if cells.len() != columns.len() {
        bail!("{} cells in a row of {} columns", cells.len(), columns.len());
    }
    let (mut sent, mut delay, mut lost, mut bytes) = (None, None, false, None);
    for (column, cell) in columns.iter().zip(cells) {
        match column {
            Column::Time(scale) => sent = Some(number(cell, *scale, LONGEST)?),
            Column::Delay(_) if is_lost(cell) => {}
            Column::Delay(Some(scale)) => delay = Some(number(cell, *scale, LONGEST_DELAY)?),
            Column::Delay(None) => {
                let parsed: Duration = cell.parse()?;
                delay = i64::try_from(parsed.0.0).ok();
            }
            Column::Lost => {
                lost = match cell {
                    "0" | "false" => false,
                    "1" | "true" => true,
                    _ => bail!("lost: \"{cell}\" is neither 0 nor 1, which is a packet that is lost"),
                };
            }
            Column::Bytes => bytes = cell.parse().ok(),
            Column::Other => {}
        }
    }
    Ok((sent, if lost { Fate::Lost } else { delay.map_or(Fate::Lost, Fate::Arrived) }, bytes))
}

fn number(cell: &str, scale: f64, most: f64) -> anyhow::Result<i64> {
    // Times since 1970 in nanoseconds do not fit a floating-point number.
    if scale == 1.0
        && let Ok(whole) = cell.parse::<i64>()
        && (whole as f64).abs() <= most
    {
        return Ok(whole);
    }
    let value = cell.parse::<f64>().ok().map(|value| value * scale);
    match value.filter(|value| value.is_finite() && value.abs() <= most) {
        Some(value) => Ok(value.round() as i64),
        None => bail!("\"{cell}\" is no number up to {}; a lost packet's delay is \"lost\", or empty", most / scale),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str, interval_ns: Option<i64>) -> anyhow::Result<(Series, Vec<String>)> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("delays.csv");
        std::fs::write(&path, text)?;
        let measured = read(&path, interval_ns)?;
        let [series, back] = measured.series;
        assert!(back.packets.is_empty());
        Ok((series, measured.notes))
    }

    fn packets(text: &str) -> Vec<(i64, Fate)> {
        of(text, None).unwrap().0.packets.iter().map(|packet| (packet.sent_ns, packet.fate)).collect()
    }

    #[test]
    fn columns_are_read_by_their_names_and_units() {
        let text = "# by hand\nseq,time_ms,delay_us,lost\n1,20,1500,0\n0,10,1250.5,0\n2,30,,0\n\n3,40,9,1\n";
        let expected = [
            (10_000_000, Fate::Arrived(1_250_500)),
            (20_000_000, Fate::Arrived(1_500_000)),
            (30_000_000, Fate::Lost),
            (40_000_000, Fate::Lost),
        ];
        assert_eq!(packets(text), expected);
        assert_eq!(of(text, None).unwrap().1.len(), 1);
        let text = "time_ns,delay\n1764500000123456789,12.5ms\n1764500000123456790,lost\n";
        let expected =
            [(1_764_500_000_123_456_789, Fate::Arrived(12_500_000)), (1_764_500_000_123_456_790, Fate::Lost)];
        assert_eq!(packets(text), expected);
    }

    #[test]
    fn a_plain_list_is_of_milliseconds_and_has_no_times_unless_told() {
        let text = "20.5\nlost\n\n21\n";
        let fates: Vec<Fate> = packets(text).into_iter().map(|(_, fate)| fate).collect();
        assert_eq!(fates, [Fate::Arrived(20_500_000), Fate::Lost, Fate::Lost, Fate::Arrived(21_000_000)]);
        let (series, notes) = of(text, None).unwrap();
        assert!(!series.timed && notes.iter().any(|note| note.contains("--interval")));
        let (series, notes) = of(text, Some(20_000_000)).unwrap();
        assert!(series.timed && notes.is_empty() && series.packets[3].sent_ns == 60_000_000);
    }

    #[test]
    fn what_is_no_series_is_refused_with_its_line() {
        for (text, problem) in [
            ("", "the file is empty"),
            ("time_ms,rtt\n1,2\n", ":1: \"time_ms,rtt\" names no column of delays"),
            ("delay_ms,delay_us\n", "names no column of delays, or several"),
            ("time_ms,time_s,delay_ms\n", "names a time, or lost, twice"),
            ("time_ms,delay_ms\n1\n", ":2: 1 cells in a row of 2 columns"),
            ("time_ms,delay_ms\n1,fast\n", ":2: \"fast\" is no number up to 3600000"),
            ("delay_ms,lost\n1,maybe\n", ":2: lost: \"maybe\" is neither 0 nor 1"),
            ("delay\n12\n", ":2: "),
            ("20\n1e99\n", ":2: \"1e99\" is no number"),
        ] {
            let error = format!("{:#}", of(text, None).unwrap_err());
            assert!(error.contains(problem), "{text:?}: {error}");
        }
    }
}
