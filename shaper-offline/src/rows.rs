//! The packets of a comparison as rows of CSV (RFC 4180), for spreadsheets and data frames.
//!
//! | column | |
//! | --- | --- |
//! | `way` | `a_to_b`, `b_to_a`, or empty where nothing tells |
//! | `flow` | as it is printed, at the point that sent the packet |
//! | `fate` | `matched`, `corrupted`, `lost`, `unmatched`, `edge`, `duplicate`, `arrival_only`, `uncounted` |
//! | `bytes` | on the wire, with the link layer |
//! | `frame_a`, `frame_b` | number in the file, from 1 |
//! | `interface_a`, `interface_b` | index into the interfaces of the file, from 0 |
//! | `time_a_ns`, `time_b_ns` | nanoseconds since the epoch on the clock of the first capture |
//! | `delay_ns` | one-way delay; empty where the clocks are not known against each other |
//! | `extent`, `late_ns` | of a reordered packet: RFC 4737 sections 4.2.1 and 4.2.2 |

use std::io::{self, Write};

use crate::analyze::{Analysis, Comparison, Ending, Fate, PacketRecord, Result, Sighting, Sink, Way};

const HEADER: &str =
    "way,flow,fate,bytes,frame_a,frame_b,interface_a,interface_b,time_a_ns,time_b_ns,delay_ns,extent,late_ns";

/// Learns what is known only at the end.
#[derive(Default)]
struct End(Ending);

impl Sink for End {
    fn packet(&mut self, _: &PacketRecord<'_>) {}

    fn finish(&mut self, _: &Analysis, ending: &Ending) {
        self.0 = *ending;
    }
}

struct Rows<W> {
    out: W,
    ending: Ending,
    /// Whether delays mean more than their differences.
    absolute: bool,
    failed: Option<io::Error>,
    rows: u64,
}

/// Compares, and writes a row for each packet, in the order in which they were sent. The captures are compared twice: what
/// their clocks have to do with each other is known for certain only once all packets were seen.
///
/// # Errors
/// As [`Comparison::run`]; in the inner result what `out` refused.
pub fn write(comparison: &Comparison<'_>, out: impl Write) -> Result<(Analysis, io::Result<u64>)> {
    let mut end = End::default();
    let analysis = comparison.run_into(&mut end)?;
    let absolute = analysis.clock.is_absolute();
    let mut rows = Rows { out, ending: end.0, absolute, failed: None, rows: 0 };
    rows.keep(|out| writeln!(out, "{HEADER}"));
    if rows.failed.is_none() {
        comparison.run_into(&mut rows)?;
        rows.keep(Write::flush);
    }
    let written = rows.failed.map_or(Ok(rows.rows), Err);
    Ok((analysis, written))
}

impl<W: Write> Rows<W> {
    fn keep(&mut self, write: impl FnOnce(&mut W) -> io::Result<()>) {
        if self.failed.is_none() {
            self.failed = write(&mut self.out).err();
        }
    }

    fn row(&mut self, packet: &PacketRecord<'_>) -> io::Result<()> {
        let Ending { shift_ns, a_to_b_unproven, b_to_a_unproven } = self.ending;
        let (way, unproven, moved) = match packet.way {
            Some(Way::AToB) => ("a_to_b", a_to_b_unproven, shift_ns.saturating_neg()),
            Some(Way::BToA) => ("b_to_a", b_to_a_unproven, shift_ns),
            None => ("", false, 0),
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
        let out = &mut self.out;
        match packet.flow {
            // No name of a flow has a quote in it.
            Some((_, flow)) => write!(out, "{way},\"{flow}\",{fate},{}", packet.bytes)?,
            None => write!(out, "{way},,{fate},{}", packet.bytes)?,
        }
        let number = |out: &mut W, number: Option<i64>| match number {
            Some(number) => write!(out, ",{number}"),
            None => out.write_all(b","),
        };
        let sides = [packet.a, packet.b];
        for side in sides {
            number(out, side.and_then(|seen| i64::try_from(seen.frame?).ok()))?;
        }
        for side in sides {
            number(out, side.map(|seen| seen.interface.into()))?;
        }
        let time = |seen: Option<Sighting>, moved: i64| seen.map(|seen| seen.ts_ns.saturating_add(moved));
        number(out, time(packet.a, 0))?;
        number(out, time(packet.b, shift_ns.saturating_neg()))?;
        number(out, packet.delay_ns.filter(|_| self.absolute).map(|delay| delay.saturating_add(moved)))?;
        number(out, packet.reordered.map(|displaced| displaced.extent))?;
        number(out, packet.reordered.map(|displaced| displaced.late_ns))?;
        out.write_all(b"\n")?;
        self.rows += 1;
        Ok(())
    }
}

impl<W: Write> Sink for Rows<W> {
    fn packet(&mut self, packet: &PacketRecord<'_>) {
        if self.failed.is_none() {
            self.failed = self.row(packet).err();
        }
    }
}
