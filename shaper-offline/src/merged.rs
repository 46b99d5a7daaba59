//! The two captures of a comparison in one file, in order of time, with what was found of each packet as a comment on it:
//! for Wireshark, where `frame.comment contains "lost"` shows what was lost.

use std::{
    io::Write,
    path::{Path, PathBuf},
};

use thiserror::Error;

use crate::{
    analyze::{self, Analysis, Ending, Fate, PacketRecord, Sighting, Sink, Way},
    pcapfile::{Direction, Error, Interface, Packet, Reader, Verdict},
    writer::{InterfaceId, NewInterface, NewPacket, Section, Statistics, WriteError, Writer},
};

/// Why the captures could not be merged.
#[derive(Debug, Error)]
pub enum MergeError {
    /// One cannot be read.
    #[error(transparent)]
    Read(#[from] Error),
    /// The file cannot be written.
    #[error(transparent)]
    Write(#[from] WriteError),
}

/// What was found of one frame, in a byte: what is to be told of, and which way it went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Mark(u8);

impl Mark {
    const LOST: u8 = 1;
    const UNMATCHED: u8 = 2;
    const EDGE: u8 = 3;
    const CORRUPTED: u8 = 4;
    const DUPLICATE: u8 = 5;
    const ARRIVAL_ONLY: u8 = 6;
    const FATE: u8 = 7;
    const REORDERED: u8 = 1 << 3;
    const A_TO_B: u8 = 1 << 4;
    const B_TO_A: u8 = 1 << 5;

    /// In the grammar of packet comments; nothing where there is nothing to tell.
    fn comment(self, ending: &Ending) -> Option<String> {
        let unproven = (self.0 & Self::A_TO_B != 0 && ending.a_to_b_unproven)
            || (self.0 & Self::B_TO_A != 0 && ending.b_to_a_unproven);
        let fate = match self.0 & Self::FATE {
            Self::LOST if !unproven => "lost",
            Self::LOST | Self::UNMATCHED => "unmatched",
            Self::EDGE => "edge",
            Self::CORRUPTED => "corrupted",
            Self::DUPLICATE => "duplicate",
            Self::ARRIVAL_ONLY => "arrival_only",
            _ => "",
        };
        let reordered = if self.0 & Self::REORDERED != 0 { "reordered" } else { "" };
        let found: Vec<&str> = [fate, reordered].into_iter().filter(|word| !word.is_empty()).collect();
        if found.is_empty() {
            return None;
        }
        let way = match self.0 & (Self::A_TO_B | Self::B_TO_A) {
            Self::A_TO_B => " way=a_to_b",
            Self::B_TO_A => " way=b_to_a",
            _ => "",
        };
        Some(format!("shaper found={}{way}", found.join(",")))
    }
}

/// Takes the packets of a comparison, and keeps a byte for each frame of both files.
#[derive(Clone, Debug, Default)]
pub struct Marks {
    a: Vec<Mark>,
    b: Vec<Mark>,
    ending: Ending,
}

impl Sink for Marks {
    fn packet(&mut self, packet: &PacketRecord<'_>) {
        let fate = match packet.fate {
            Fate::Matched | Fate::Uncounted => 0,
            Fate::Corrupted => Mark::CORRUPTED,
            Fate::Lost => Mark::LOST,
            Fate::Unmatched => Mark::UNMATCHED,
            Fate::Edge => Mark::EDGE,
            Fate::Duplicate => Mark::DUPLICATE,
            Fate::ArrivalOnly => Mark::ARRIVAL_ONLY,
        };
        let reordered = if packet.reordered.is_some() { Mark::REORDERED } else { 0 };
        if fate | reordered == 0 {
            return;
        }
        let way = match packet.way {
            Some(Way::AToB) => Mark::A_TO_B,
            Some(Way::BToA) => Mark::B_TO_A,
            None => 0,
        };
        // Of a copy what was sent is its original, and that a packet came late is of where it came.
        let only_arrival = matches!(packet.fate, Fate::Duplicate | Fate::Matched);
        let (at_a, at_b) = match packet.way {
            Some(Way::AToB) if only_arrival => (None, packet.b),
            Some(Way::BToA) if only_arrival => (packet.a, None),
            _ => (packet.a, packet.b),
        };
        for (marks, sighting) in [(&mut self.a, at_a), (&mut self.b, at_b)] {
            set(marks, sighting, Mark(fate | reordered | way));
        }
    }

    fn finish(&mut self, _: &Analysis, ending: &Ending) {
        self.ending = *ending;
    }
}

fn set(marks: &mut Vec<Mark>, sighting: Option<Sighting>, mark: Mark) {
    let frame = sighting.and_then(|sighting| sighting.frame);
    let Some(at) = frame.and_then(|frame| usize::try_from(frame).ok()?.checked_sub(1)) else { return };
    if marks.len() <= at {
        marks.resize(at + 1, Mark::default());
    }
    if let Some(slot) = marks.get_mut(at) {
        *slot = mark;
    }
}

/// What the merged file came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Merged {
    /// Packets of both files.
    pub packets: u64,
    /// Those with a comment on what was found.
    pub marked: u64,
}

/// The packet of a file that comes next.
struct Head {
    index: u64,
    ts_ns: i64,
    origlen: u32,
    data: Vec<u8>,
    interface: u32,
    comments: Vec<String>,
    direction: Option<Direction>,
    packetid: Option<u64>,
    dropcount: Option<u64>,
    verdict: Option<Verdict>,
}

/// One of the files.
struct Part {
    reader: Reader,
    /// What it is called in the names of interfaces.
    name: &'static str,
    /// What its stamps are moved by.
    moved: i64,
    added: Vec<InterfaceId>,
    head: Option<Head>,
}

impl Part {
    fn open(path: &Path, name: &'static str, moved: i64) -> Result<Self, MergeError> {
        Ok(Self { reader: analyze::open(path)?, name, moved, added: Vec::new(), head: None })
    }

    /// Reads the packet that comes next, and describes interfaces that come with it.
    fn advance<W: Write>(&mut self, writer: &mut Writer<W>) -> Result<(), MergeError> {
        let before = self.head.take().map(|head| (head.ts_ns, head.data));
        let (last, mut data) = before.unwrap_or_default();
        let Some((packet, interfaces)) = self.reader.next_with_interfaces()? else { return Ok(()) };
        for interface in interfaces.iter().skip(self.added.len()) {
            self.added.push(describe(writer, interface, self.name, self.moved)?);
        }
        data.clear();
        data.extend_from_slice(packet.data.get(..Writer::<W>::LONGEST).unwrap_or(packet.data));
        self.head = Some(Head {
            index: packet.index,
            // What has no stamp stands behind the packet before it.
            ts_ns: packet.ts_ns.map_or(last, |ts| ts.saturating_add(self.moved)).max(0),
            data,
            ..of(&packet)
        });
        Ok(())
    }
}

fn of(packet: &Packet<'_>) -> Head {
    Head {
        index: 0,
        ts_ns: 0,
        origlen: packet.origlen,
        data: Vec::new(),
        interface: packet.interface,
        comments: packet.comments().map(str::to_owned).collect(),
        direction: packet.direction(),
        packetid: packet.packetid(),
        dropcount: packet.dropcount,
        verdict: packet.verdicts().next(),
    }
}

/// Writes both captures into one, in order of time, as far as each is in order itself. The stamps of the second are moved
/// to the clock of the first by the offset that the analysis found; skew and steps of the clock stay in them.
///
/// `a` and `b` may be one file, whose packets then stand there once.
///
/// # Errors
/// [`MergeError`] if a capture cannot be read or `out` cannot be written; `out` is then incomplete.
pub fn write(
    [a, b]: [&Path; 2],
    marks: &Marks,
    analysis: &Analysis,
    application: &str,
    out: impl Write,
) -> Result<Merged, MergeError> {
    let section = Section { application: Some(application), ..Section::default() };
    let mut writer = Writer::new(out, &section)?;
    let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| PathBuf::from(path));
    let moved = analysis.clock.offset_ns.map_or(0, i64::saturating_neg);
    let mut parts = vec![Part::open(a, "a", 0)?];
    if real(a) != real(b) {
        parts.push(Part::open(b, "b", moved)?);
    }
    let single = parts.len() == 1;
    for part in &mut parts {
        part.advance(&mut writer)?;
    }
    let mut merged = Merged::default();
    loop {
        let heads = parts.iter().enumerate().filter_map(|(at, part)| Some((part.head.as_ref()?.ts_ns, at)));
        let Some((_, at)) = heads.min() else { break };
        let Some(part) = parts.get_mut(at) else { break };
        let Some(head) = part.head.as_mut() else { break };
        let of_file = |marks: &[Mark]| usize::try_from(head.index).ok().and_then(|index| marks.get(index).copied());
        let [in_a, in_b] = [&marks.a, &marks.b].map(|marks| of_file(marks).unwrap_or_default());
        let mark = match (single, at) {
            (true, _) => {
                if in_a == Mark::default() {
                    in_b
                } else {
                    in_a
                }
            }
            (false, 0) => in_a,
            (false, _) => in_b,
        };
        let found = mark.comment(&marks.ending);
        merged.packets += 1;
        merged.marked += u64::from(found.is_some());
        head.comments.extend(found);
        if let Some(&id) = part.added.get(head.interface as usize) {
            let packet = NewPacket {
                ts_ns: head.ts_ns,
                origlen: head.origlen,
                data: &head.data,
                direction: head.direction,
                packetid: head.packetid,
                dropcount: head.dropcount,
                verdict: head.verdict,
                comments: &head.comments,
            };
            writer.packet(id, &packet)?;
        }
        part.advance(&mut writer)?;
    }
    for part in &mut parts {
        for interface in part.reader.interfaces().iter().skip(part.added.len()) {
            part.added.push(describe(&mut writer, interface, part.name, part.moved)?);
        }
        for (id, interface) in part.added.iter().zip(part.reader.interfaces()) {
            let Some(told) = interface.statistics else { continue };
            let moved = |ns: Option<i64>| ns.map(|ns| ns.saturating_add(part.moved).max(0));
            let told = Statistics {
                start: moved(told.start),
                end: moved(told.end),
                received: told.received,
                dropped: told.dropped,
            };
            writer.statistics(*id, &told)?;
        }
    }
    writer.finish()?;
    Ok(merged)
}

/// An interface under the name of its file.
fn describe<W: Write>(
    writer: &mut Writer<W>,
    interface: &Interface,
    of: &str,
    moved: i64,
) -> Result<InterfaceId, WriteError> {
    let name = interface.name.as_ref().map_or_else(|| of.to_owned(), |name| format!("{of}: {name}"));
    let told = (moved != 0).then(|| format!("stamps moved by {moved} ns to the clock of a"));
    let description: Vec<&str> = interface.description.as_deref().into_iter().chain(told.as_deref()).collect();
    let description = description.join("; ");
    writer.add_interface(&NewInterface {
        name: &name,
        description: Some(description.as_str()).filter(|text| !text.is_empty()),
        filter: interface.filter.as_deref(),
        linktype: interface.linktype,
        snaplen: interface.snaplen,
    })
}
