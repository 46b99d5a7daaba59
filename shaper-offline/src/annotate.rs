//! Final captures of a run: the raw packets with the fates that the join found.

use std::{
    io::{BufWriter, Write},
    path::{Path, PathBuf},
};

use thiserror::Error;

use crate::{
    join::{ClockMap, EngineLog, EngineRecord, Joined, Link, Point, Role},
    pcapfile::{self, Direction, Interface, InterfaceStatistics, Reader, Verdict},
    writer::{Comment, InterfaceId, NewInterface, NewPacket, Section, Statistics, WriteError, Writer},
};

/// Why an annotated capture could not be written.
#[derive(Debug, Error)]
pub enum AnnotateError {
    /// The raw capture cannot be read.
    #[error(transparent)]
    Capture(#[from] pcapfile::Error),
    /// The output cannot be written.
    #[error("cannot write the annotated capture: {0}")]
    Write(WriteError),
    /// A packet that carries no time.
    #[error("{}: packet at byte {offset} has no stamp: capture to a format that stamps packets", path.display())]
    NoStamp {
        /// Raw capture.
        path: PathBuf,
        /// Byte offset of the packet.
        offset: u64,
    },
}

/// What the final file says besides the packets.
pub struct Annotation<'a> {
    /// The capture points, each an interface of the final file.
    pub points: &'a [CapturePoint<'a>],
    /// By interface of the raw file: the number of its point. Those beyond the list are of the first.
    pub of: &'a [usize],
    /// Application and version, for the section header.
    pub application: &'a str,
    /// What the hook at this end returned, for a packet as it entered.
    pub verdict: &'a dyn Fn(&EngineRecord) -> Option<Verdict>,
    /// Which clock stamped the packets: the id of the host's boot
    /// (`/proc/sys/kernel/random/boot_id`). Captures that name the same are analysed as of one
    /// clock.
    pub clock: Option<&'a str>,
}

/// Where packets were captured.
#[derive(Clone, Copy, Debug)]
pub struct CapturePoint<'a> {
    /// Which end of the link.
    pub point: Point,
    /// Interface name.
    pub name: &'a str,
    /// What the capture point is in the experiment.
    pub description: Option<&'a str>,
    /// Capture filter, if one was set.
    pub filter: Option<&'a str>,
    /// Counters of the capture and when it ran, where the raw file does not hold them. Without the
    /// times, what was sent near the ends and did not arrive cannot be told from what would have
    /// arrived outside of the capture.
    pub statistics: Option<Statistics>,
}

/// What was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Annotated {
    /// Packets.
    pub packets: u64,
    /// Packets with a fate.
    pub with_fate: u64,
}

/// Copies the raw capture `raw` to `out` with packet ids, verdicts and comments.
///
/// The direction at the host's interface is told too: a packet that entered the link here was sent
/// by the host, one that left it here was received, unless the raw capture says otherwise.
///
/// # Errors
/// [`AnnotateError`] if either fails; `out` is then incomplete.
pub fn annotate(
    raw: &Path,
    out: impl Write,
    log: &EngineLog<'_>,
    joined: &Joined,
    clock: &ClockMap,
    annotation: &Annotation<'_>,
) -> Result<Annotated, AnnotateError> {
    let mut reader = Reader::open(raw)?;
    let write = AnnotateError::Write;
    let of_section = annotation.clock.map(|clock| Comment::default().clock(clock).to_string());
    let section =
        Section { application: Some(annotation.application), comment: of_section.as_deref(), ..Section::default() };
    let mut writer = Writer::new(BufWriter::new(out), &section).map_err(write)?;
    let mut points: Vec<Written<'_>> = annotation.points.iter().map(Written::new).collect();
    let mut annotated = Annotated::default();
    while let Some((packet, interfaces)) = reader.next_with_interfaces()? {
        let Some(ts_ns) = packet.ts_ns else {
            return Err(AnnotateError::NoStamp { path: raw.to_owned(), offset: packet.offset });
        };
        let Some(point) = points.get_mut(annotation.of.get(packet.interface as usize).copied().unwrap_or(0)) else {
            continue;
        };
        let id = match (point.id, interfaces.get(packet.interface as usize)) {
            (Some(id), _) => id,
            (None, Some(interface)) => point.begin(&mut writer, interface).map_err(write)?,
            (None, None) => continue,
        };
        let link = joined.link(point.of.point, packet.index);
        let found = link.and_then(|link| Some((link, log.records.get(link.record as usize)?)));
        let record = found.map(|(_, record)| record);
        let comments: Vec<String> = packet
            .comments()
            .map(str::to_owned)
            .chain(found.map(|(link, record)| comment(&link, record, log, clock).to_string()))
            .collect();
        let entered = link.is_some_and(|link| link.role == Role::Entered);
        let way = link.map(|_| if entered { Direction::Outbound } else { Direction::Inbound });
        let verdict = record.filter(|_| entered).and_then(|record| (annotation.verdict)(record));
        let written = NewPacket {
            ts_ns,
            origlen: packet.origlen,
            data: packet.data,
            direction: packet.direction().or(way),
            packetid: record.map(|record| record.id).or(packet.packetid()),
            dropcount: packet.dropcount,
            verdict: verdict.or(packet.verdicts().next()),
            comments: &comments,
        };
        writer.packet(id, &written).map_err(write)?;
        point.took(ts_ns);
        annotated.packets += 1;
        annotated.with_fate += u64::from(record.is_some());
    }
    // Of a point at which there was no packet it is told that there was none.
    for (number, interface) in reader.interfaces().iter().enumerate() {
        let Some(point) = points.get_mut(annotation.of.get(number).copied().unwrap_or(0)) else { continue };
        if point.id.is_none() {
            point.begin(&mut writer, interface).map_err(write)?;
        }
        point.told = point.told.or(interface.statistics);
    }
    for point in &points {
        if let Some(id) = point.id {
            writer.statistics(id, &point.statistics()).map_err(write)?;
        }
    }
    writer.finish().map_err(write)?;
    Ok(annotated)
}

/// A capture point as far as it is written.
struct Written<'a> {
    of: &'a CapturePoint<'a>,
    id: Option<InterfaceId>,
    /// From the first packet to the last.
    span: Option<(i64, i64)>,
    packets: u64,
    /// What the raw file told.
    told: Option<InterfaceStatistics>,
}

impl<'a> Written<'a> {
    fn new(of: &'a CapturePoint<'a>) -> Self {
        Self { of, id: None, span: None, packets: 0, told: None }
    }

    fn begin<W: Write>(&mut self, writer: &mut Writer<W>, raw: &Interface) -> Result<InterfaceId, WriteError> {
        let id = writer.add_interface(&NewInterface {
            name: self.of.name,
            description: self.of.description.or(raw.description.as_deref()),
            filter: self.of.filter.or(raw.filter.as_deref()),
            linktype: raw.linktype,
            snaplen: raw.snaplen,
        })?;
        self.id = Some(id);
        Ok(id)
    }

    fn took(&mut self, ts_ns: i64) {
        self.span = Some(self.span.map_or((ts_ns, ts_ns), |(from, to)| (from.min(ts_ns), to.max(ts_ns))));
        self.packets += 1;
    }

    /// What the caller knows, else what the raw file told, else what its packets show; a capture ran at
    /// least from its first packet to its last.
    fn statistics(&self) -> Statistics {
        let told = self.told.unwrap_or_default();
        let given = self.of.statistics.unwrap_or_default();
        Statistics {
            start: given.start.or(told.start).into_iter().chain(self.span.map(|span| span.0)).min(),
            end: given.end.or(told.end).into_iter().chain(self.span.map(|span| span.1)).max(),
            received: given.received.or(told.received).or(Some(self.packets)),
            dropped: given.dropped.or(told.dropped),
        }
    }
}

/// A copy's times are its own; where its release is not known it has none.
fn comment(link: &Link, record: &EngineRecord, log: &EngineLog<'_>, clock: &ClockMap) -> Comment {
    let copy = (link.role == Role::Copy).then_some(link.copy);
    let (intended, actual) = match copy.map(|number| log.copy(link.record, number)) {
        None => (record.intended_ns, record.actual_ns),
        Some(copy) => (copy.map(|copy| copy.intended_ns), copy.map(|copy| copy.actual_ns)),
    };
    Comment {
        cause: Some(record.cause.name.to_owned()),
        rule: Some(record.rule),
        id: Some(record.id),
        dir: Some(record.direction),
        seq: Some(record.seq),
        copy,
        intended: intended.map(|ns| clock.to_epoch(ns)),
        actual: actual.map(|ns| clock.to_epoch(ns)),
        clock: None,
    }
}
