//! The packets of two captures that were compared.
//!
//! | column | |
//! | --- | --- |
//! | `way` | `a_to_b`, `b_to_a`, or nothing where nothing tells |
//! | `flow` | as it is printed, at the point that sent the packet |
//! | `fate` | `matched`, `corrupted`, `lost`, `unmatched`, `edge`, `duplicate`, `arrival_only`, `uncounted` |
//! | `bytes` | on the wire, with the link layer |
//! | `frame_a`, `frame_b` | number in the file, from 1 |
//! | `interface_a`, `interface_b` | index into the interfaces of the file, from 0 |
//! | `time_a_ns`, `time_b_ns` | nanoseconds since the epoch on the clock of the first capture |
//! | `delay_ns` | one-way delay; nothing where the clocks are not known against each other |
//! | `extent`, `late_ns` | of a reordered packet: RFC 4737 sections 4.2.1 and 4.2.2 |

use std::io::{self, Write};

use super::cell::{Cell, Column, Kind, Table};
use super::csv::Csv;
#[cfg(feature = "parquet")]
use super::parquet::Parquet;
use crate::analyze::{Analysis, Comparison, Ending, Fate, FlowKey, PacketRecord, Result, Sighting, Sink, Way};

const COLUMNS: [Column; 13] = [
    Column::new("way", Kind::Word),
    Column::new("flow", Kind::Text),
    Column::new("fate", Kind::Word),
    Column::new("bytes", Kind::Number),
    Column::new("frame_a", Kind::Number),
    Column::new("frame_b", Kind::Number),
    Column::new("interface_a", Kind::Number),
    Column::new("interface_b", Kind::Number),
    Column::new("time_a_ns", Kind::Time),
    Column::new("time_b_ns", Kind::Time),
    Column::new("delay_ns", Kind::Number),
    Column::new("extent", Kind::Number),
    Column::new("late_ns", Kind::Number),
];

/// What a file of Parquet says that it holds, and the version of its columns.
#[cfg(feature = "parquet")]
const SCHEMA: (&str, u32) = ("compared", 1);

/// Learns what is known only at the end.
#[derive(Default)]
struct End(Ending);

impl Sink for End {
    fn packet(&mut self, _: &PacketRecord<'_>) {}

    fn finish(&mut self, _: &Analysis, ending: &Ending) {
        self.0 = *ending;
    }
}

struct Rows<T> {
    table: T,
    ending: Ending,
    /// Whether delays mean more than their differences.
    absolute: bool,
    /// As they are printed, by their index.
    flows: Vec<String>,
    failed: Option<io::Error>,
    rows: u64,
}

/// Compares, and writes a row of CSV for each packet, in the order in which they were sent. The captures are compared
/// twice: what their clocks have to do with each other is known for certain only once all packets were seen.
///
/// # Errors
/// As [`Comparison::run`]; in the inner result what `out` refused.
pub fn write_csv(comparison: &Comparison<'_>, out: impl Write) -> Result<(Analysis, io::Result<u64>)> {
    write(comparison, |_| Csv::new(out, &COLUMNS))
}

/// The same as Parquet.
///
/// # Errors
/// As [`write_csv`].
#[cfg(feature = "parquet")]
pub fn write_parquet(
    comparison: &Comparison<'_>,
    creator: &str,
    out: impl Write + Send,
) -> Result<(Analysis, io::Result<u64>)> {
    write(comparison, |analysis| {
        let clock = analysis.clock.offset_ns.map(|offset| offset.to_string());
        let [a, b] = &analysis.files;
        let about = [("a", Some(a.path.clone())), ("b", Some(b.path.clone())), ("clock_offset_ns", clock)];
        let told = about.into_iter().filter_map(|(key, value)| Some((key, value?)));
        Parquet::new(out, &COLUMNS, SCHEMA, creator, told)
    })
}

fn write<T: Table>(
    comparison: &Comparison<'_>,
    begin: impl FnOnce(&Analysis) -> io::Result<T>,
) -> Result<(Analysis, io::Result<u64>)> {
    let mut end = End::default();
    let analysis = comparison.run_into(&mut end)?;
    let absolute = analysis.clock.is_absolute();
    let table = match begin(&analysis) {
        Ok(table) => table,
        Err(error) => return Ok((analysis, Err(error))),
    };
    let mut rows = Rows { table, ending: end.0, absolute, flows: Vec::new(), failed: None, rows: 0 };
    comparison.run_into(&mut rows)?;
    let written = match rows.failed {
        Some(error) => Err(error),
        None => rows.table.finish().map(|()| rows.rows),
    };
    Ok((analysis, written))
}

impl<T: Table> Rows<T> {
    fn row(&mut self, packet: &PacketRecord<'_>) -> io::Result<()> {
        let Ending { shift_ns, a_to_b_unproven, b_to_a_unproven } = self.ending;
        let (way, unproven, moved) = match packet.way {
            Some(Way::AToB) => (Some("a_to_b"), a_to_b_unproven, shift_ns.saturating_neg()),
            Some(Way::BToA) => (Some("b_to_a"), b_to_a_unproven, shift_ns),
            None => (None, false, 0),
        };
        let fate = match packet.fate {
            Fate::Matched => "matched",
            Fate::Corrupted => "corrupted",
            Fate::Lost if unproven => "unmatched",
            Fate::Lost => "lost",
            Fate::Unmatched => "unmatched",
            Fate::Edge => "edge",
            Fate::Duplicate => "duplicate",
            Fate::ArrivalOnly => "arrival_only",
            Fate::Uncounted => "uncounted",
        };
        let flow = packet.flow.and_then(|(index, _)| self.flows.get(index as usize));
        let frame = |seen: Option<Sighting>| Cell::number(seen.and_then(|seen| seen.frame));
        let interface = |seen: Option<Sighting>| Cell::number(seen.map(|seen| seen.interface));
        let time = |seen: Option<Sighting>, moved: i64| Cell::number(seen.map(|seen| seen.ts_ns.saturating_add(moved)));
        let delay = packet.delay_ns.filter(|_| self.absolute).map(|delay| delay.saturating_add(moved));
        let cells: [Cell<'_>; COLUMNS.len()] = [
            Cell::text(way),
            Cell::text(flow.map(String::as_str)),
            Cell::Text(fate),
            Cell::Number(packet.bytes.into()),
            frame(packet.a),
            frame(packet.b),
            interface(packet.a),
            interface(packet.b),
            time(packet.a, 0),
            time(packet.b, shift_ns.saturating_neg()),
            Cell::number(delay),
            Cell::number(packet.reordered.map(|displaced| displaced.extent)),
            Cell::number(packet.reordered.map(|displaced| displaced.late_ns)),
        ];
        self.table.row(&cells)?;
        self.rows += 1;
        Ok(())
    }
}

impl<T: Table> Sink for Rows<T> {
    fn flow(&mut self, index: u32, key: &FlowKey) {
        // Indices count from 0, and each comes once.
        debug_assert_eq!(index as usize, self.flows.len());
        self.flows.push(key.to_string());
    }

    fn packet(&mut self, packet: &PacketRecord<'_>) {
        if self.failed.is_none() {
            self.failed = self.row(packet).err();
        }
    }
}
