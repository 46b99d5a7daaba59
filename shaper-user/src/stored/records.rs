//! `records.csv` of a run: what was decided for each packet, a row each, and all that the decision hung on.
//!
//! The first line is a comment with the version of the table and the run's start; the second names the columns. Times
//! count from the start, and are negative before it.

#[cfg(feature = "live")]
use std::io::Write;
use std::io::{self, BufRead};
use std::path::Path;

use anyhow::{Context, bail};
use shaper_common::corrupt::Damage;
use shaper_common::fate::{Cause, Fate};
#[cfg(feature = "live")]
use shaper_common::layout::Record;
use shaper_common::pipeline::Packet;
use shaper_common::units::Nanos;

/// Its name in a run directory.
pub(crate) const FILE: &str = "records.csv";
/// Rows that are written at most, of all directions together.
#[cfg(feature = "live")]
const MOST_ROWS: usize = 1_000_000;
/// What the first line says before the start, in nanoseconds of CLOCK_MONOTONIC.
const HEAD: &str = "# shaper records 1 start_ns=";
const COLUMNS: &str = "direction,rule,sequence,arrival_ns,len,flow_hash,network,transport,payload,ecn,cause,release_ns,\
                       spacing_ns,copies,marked,flips,damage_at,repaired";

/// A row: a packet and its fate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    /// Link number times two, plus one for the way back.
    pub(crate) direction: u32,
    /// Number of the rule from 1; 0 for what none matches.
    pub(crate) rule: u32,
    /// In its channel, from 0.
    pub(crate) sequence: u64,
    pub(crate) packet: Packet,
    pub(crate) fate: Fate,
}

/// What a file holds.
pub(crate) struct Table {
    /// CLOCK_MONOTONIC, as all times in the rows.
    pub(crate) start: Nanos,
    pub(crate) rows: Vec<Row>,
}

/// Writes the records of a run's directions, the first million of them; how many there are and were written.
///
/// # Errors
///
/// When it cannot be written.
#[cfg(feature = "live")]
pub(crate) fn write<'a>(
    out: impl Write,
    start: Nanos,
    directions: impl Iterator<Item = &'a [Record]> + Clone,
) -> io::Result<(usize, usize)> {
    let mut out = io::BufWriter::new(out);
    writeln!(out, "{HEAD}{}", start.0)?;
    writeln!(out, "{COLUMNS}")?;
    let all: usize = directions.clone().map(<[Record]>::len).sum();
    let mut written = 0;
    for (direction, records) in directions.enumerate() {
        for record in records.iter().take(MOST_ROWS - written) {
            write_row(&mut out, direction, record, start)?;
            written += 1;
        }
    }
    out.flush()?;
    Ok((all, written))
}

#[cfg(feature = "live")]
fn write_row(out: &mut impl Write, direction: usize, record: &Record, start: Nanos) -> io::Result<()> {
    let Packet { now, len, flow_hash, network, transport, payload, ecn } = record.packet;
    let fate = Fate::from(record.fate);
    let since = |time: Nanos| time.0.wrapping_sub(start.0).cast_signed();
    let Damage { flips, at, repair } = fate.damage;
    let release = if fate.cause == Cause::None { since(fate.release).to_string() } else { String::new() };
    let arrival = since(now);
    writeln!(
        out,
        "{direction},{},{},{arrival},{len},{flow_hash},{network},{transport},{payload},{ecn},{},{release},{},{},{},\
         {flips},{at},{repair}",
        record.rule,
        record.sequence,
        fate.cause.name(),
        fate.spacing.0,
        fate.copies,
        u8::from(fate.marked),
    )
}

impl Table {
    /// Reads a file.
    ///
    /// # Errors
    ///
    /// When it cannot be read, or is no such table; with the line.
    pub(crate) fn read(path: &Path) -> anyhow::Result<Self> {
        let name = path.display();
        let file = std::fs::File::open(path).with_context(|| format!("{name}: cannot be read"))?;
        let mut lines = io::BufReader::new(file).lines();
        let mut next = || lines.next().transpose().with_context(|| format!("{name}: cannot be read"));
        let start = next()?.and_then(|line| line.strip_prefix(HEAD)?.parse().ok()).map(Nanos);
        let start = start.with_context(|| format!("{name}:1: no table of records: want \"{HEAD}\" and a number"))?;
        if next()?.as_deref() != Some(COLUMNS) {
            bail!("{name}:2: other columns than in this version: want {COLUMNS}");
        }
        let mut rows = Vec::new();
        while let Some(line) = next()? {
            let row = Row::parse(&line, start);
            rows.push(row.with_context(|| format!("{name}:{}: no record: {line}", rows.len() + 3))?);
        }
        Ok(Self { start, rows })
    }
}

/// The cause of a name.
pub(crate) fn cause(name: &str) -> Option<Cause> {
    Cause::ALL.into_iter().find(|known| known.name() == name)
}

impl Row {
    fn parse(line: &str, start: Nanos) -> Option<Self> {
        let mut cells = line.split(',');
        let number = |cells: &mut std::str::Split<'_, char>| cells.next()?.parse::<u64>().ok();
        let time = |cell: &str| Some(Nanos(start.0.wrapping_add(cell.parse::<i64>().ok()?.cast_unsigned())));
        let direction = number(&mut cells)?.try_into().ok()?;
        let rule = number(&mut cells)?.try_into().ok()?;
        let sequence = number(&mut cells)?;
        let packet = Packet {
            now: time(cells.next()?)?,
            len: number(&mut cells)?.try_into().ok()?,
            flow_hash: number(&mut cells)?.try_into().ok()?,
            network: number(&mut cells)?.try_into().ok()?,
            transport: number(&mut cells)?.try_into().ok()?,
            payload: number(&mut cells)?.try_into().ok()?,
            ecn: number(&mut cells)?.try_into().ok()?,
        };
        let cause = cause(cells.next()?)?;
        let release = cells.next()?;
        let release = if release.is_empty() { Nanos::ZERO } else { time(release)? };
        let spacing = Nanos(number(&mut cells)?);
        let copies = number(&mut cells)?.try_into().ok()?;
        let marked = number(&mut cells)? != 0;
        let damage = Damage {
            flips: number(&mut cells)?.try_into().ok()?,
            at: number(&mut cells)?.try_into().ok()?,
            repair: number(&mut cells)?.try_into().ok()?,
        };
        let fate = Fate { release, spacing, damage, copies, served: 0, marked, cause };
        cells.next().is_none().then_some(Self { direction, rule, sequence, packet, fate })
    }

    /// The rule, from 0; none for what none matches.
    #[cfg(feature = "live")]
    pub(crate) const fn by(&self) -> Option<u32> {
        self.rule.checked_sub(1)
    }

    /// What the table says of a fate: not how many packets the bottleneck served.
    #[cfg(feature = "live")]
    pub(crate) const fn told(fate: Fate) -> Fate {
        Fate { served: 0, ..fate }
    }
}
