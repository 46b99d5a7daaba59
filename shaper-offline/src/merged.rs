//! The two captures of a comparison in one file, in order of time, with what was found of each packet as a comment on it:
//! for Wireshark, where `frame.comment contains "lost"` shows what was lost. Or the packets of one capture, as pcapng.
//! Either without the addresses and contents that stood there, if asked.

use std::{
    io::Write,
    path::{Path, PathBuf},
};

use thiserror::Error;

use crate::{
    analyze::{
        self, Analysis, AnalyzeError, ClockMethod, Ending, Fate, Options, PacketRecord, Predicate, Sighting, Sink, Way,
        named_clock, one_point,
    },
    anonymize::{Anonymizer, Content, Key, NAMES, RtpSources},
    packet,
    pcapfile::{Direction, Error, Interface, Reader, Verdict},
    writer::{Comment, InterfaceId, NewInterface, NewPacket, Section, Statistics, WriteError, Writer},
};

/// Why the captures could not be merged.
#[derive(Debug, Error)]
pub enum MergeError {
    /// One cannot be read.
    #[error(transparent)]
    Read(#[from] Error),
    /// Its streams of RTP cannot be found.
    #[error(transparent)]
    Analyze(#[from] AnalyzeError),
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

/// How a file is written.
#[derive(Clone, Copy, Debug)]
pub struct Writing<'a> {
    /// Application and version, for the section header.
    pub application: &'a str,
    /// Without the addresses, contents, names and comments that the captures hold; addresses as this key maps them.
    pub anonymize: Option<Key>,
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

/// Takes out of a file what tells of hosts.
struct Hide {
    by: Anonymizer,
    content: Content,
}

impl Hide {
    fn new<'a>(
        key: &Key,
        files: impl Iterator<Item = &'a Path>,
        addresses_rewritten: bool,
        cover: Option<usize>,
    ) -> Result<Self, AnalyzeError> {
        let mut streams = Vec::new();
        for file in files {
            streams.extend(one_point(file, &Options { flows: 0, ..Options::default() })?.rtp.streams);
        }
        let rtp = RtpSources::new(streams.iter(), addresses_rewritten);
        Ok(Self { by: Anonymizer::new(key), content: Content { rtp, cover } })
    }
}

/// A comment without what could be anybody's words: fates of ours stay, without the clock's name.
fn fate(comment: &str) -> Option<String> {
    const CAUSE: usize = 16;
    let told = Comment::parse(comment).ok().flatten()?;
    let word = |cause: &String| cause.len() <= CAUSE && cause.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'_'));
    let kept = Comment { clock: None, cause: told.cause.clone().filter(word), ..told };
    (kept != Comment::default()).then(|| kept.to_string())
}

/// One of the files.
struct Part<'a> {
    reader: Reader,
    /// What it is called in the names of interfaces.
    name: Option<&'static str>,
    /// What its stamps are moved by.
    moved: i64,
    /// Packets that are written, where not all.
    only: Option<&'a Predicate<'a>>,
    added: Vec<InterfaceId>,
    head: Option<Head>,
}

impl<'a> Part<'a> {
    fn open(path: &Path, name: Option<&'static str>, moved: i64) -> Result<Self, MergeError> {
        Ok(Self { reader: analyze::open(path)?, name, moved, only: None, added: Vec::new(), head: None })
    }

    fn only(self, only: Option<&'a Predicate<'a>>) -> Self {
        Self { only, ..self }
    }

    /// Reads the packet that comes next, and describes interfaces that come with it.
    fn advance<W: Write>(&mut self, writer: &mut Writer<W>, mut hide: Option<&mut Hide>) -> Result<(), MergeError> {
        let before = self.head.take().map(|head| (head.ts_ns, head.data));
        let (last, mut data) = before.unwrap_or_default();
        while let Some((packet, interfaces)) = self.reader.next_with_interfaces()? {
            for interface in interfaces.iter().skip(self.added.len()) {
                let number = self.added.len();
                self.added.push(describe(writer, interface, number, self.name, self.moved, hide.is_some())?);
            }
            let is_of = |only: &Predicate<'_>| {
                let layers = packet::parse(packet.linktype, packet.data, packet.origlen);
                layers.is_some_and(|layers| only(&packet, &layers))
            };
            if self.only.is_some_and(|only| !is_of(only)) {
                continue;
            }
            let mut comments: Vec<String> = packet.comments().map(str::to_owned).collect();
            let captured = packet.data.get(..Writer::<W>::LONGEST).unwrap_or(packet.data);
            match hide.as_mut() {
                Some(hide) => {
                    let Hide { by, content } = &mut **hide;
                    by.frame(packet.linktype, captured, packet.origlen, content, &mut data);
                    comments = comments.iter().filter_map(|comment| fate(comment)).collect();
                }
                None => {
                    data.clear();
                    data.extend_from_slice(captured);
                }
            }
            self.head = Some(Head {
                index: packet.index,
                // What has no stamp stands behind the packet before it.
                ts_ns: packet.ts_ns.map_or(last, |ts| ts.saturating_add(self.moved)).max(0),
                origlen: packet.origlen,
                data,
                interface: packet.interface,
                comments,
                direction: packet.direction(),
                packetid: packet.packetid(),
                dropcount: packet.dropcount,
                verdict: packet.verdicts().next(),
            });
            return Ok(());
        }
        Ok(())
    }

    /// Writes what the interfaces' statistics tell, behind the last packet.
    fn finish<W: Write>(&mut self, writer: &mut Writer<W>, hidden: bool) -> Result<(), WriteError> {
        for interface in self.reader.interfaces().iter().skip(self.added.len()) {
            let number = self.added.len();
            self.added.push(describe(writer, interface, number, self.name, self.moved, hidden)?);
        }
        for (id, interface) in self.added.iter().zip(self.reader.interfaces()) {
            let Some(told) = interface.statistics else { continue };
            let moved = |ns: Option<i64>| ns.map(|ns| ns.saturating_add(self.moved).max(0));
            let told = Statistics {
                start: moved(told.start),
                end: moved(told.end),
                received: told.received,
                dropped: told.dropped,
            };
            writer.statistics(*id, &told)?;
        }
        Ok(())
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
    writing: &Writing<'_>,
    out: impl Write,
) -> Result<Merged, MergeError> {
    let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| PathBuf::from(path));
    let moved = analysis.clock.offset_ns.map_or(0, i64::saturating_neg);
    let mut parts = vec![Part::open(a, Some(NAMES[0]), 0)?];
    let mut files = vec![a];
    if real(a) != real(b) {
        parts.push(Part::open(b, Some(NAMES[1]), moved)?);
        files.push(b);
    }
    let hide = |key| Hide::new(&key, files.iter().copied(), analysis.addresses_rewritten, analysis.compared_bytes);
    let hide = writing.anonymize.map(hide).transpose()?;
    let single = parts.len() == 1;
    let clock = if analysis.clock.method == ClockMethod::SameHostByFiles { clock(a)? } else { None };
    let about = About { application: writing.application, clock };
    merge(parts, about, hide, out, |at, index| {
        let of_file = |marks: &[Mark]| usize::try_from(index).ok().and_then(|index| marks.get(index).copied());
        let [in_a, in_b] = [&marks.a, &marks.b].map(|marks| of_file(marks).unwrap_or_default());
        let mark = match (single, at) {
            (true, _) if in_a == Mark::default() => in_b,
            (true, _) | (false, 0) => in_a,
            (false, _) => in_b,
        };
        mark.comment(&marks.ending)
    })
}

/// Writes the packets of one capture, those of which `only` says so where it is given.
///
/// # Errors
/// As [`write()`].
pub fn copy(
    file: &Path,
    only: Option<&Predicate<'_>>,
    writing: &Writing<'_>,
    out: impl Write,
) -> Result<Merged, MergeError> {
    let hide = writing.anonymize.map(|key| Hide::new(&key, [file].into_iter(), false, None)).transpose()?;
    let part = Part::open(file, None, 0)?.only(only);
    let about = About { application: writing.application, clock: clock(file)? };
    merge(vec![part], about, hide, out, |_, _| None)
}

/// What the section header says.
struct About<'a> {
    application: &'a str,
    /// Which clock stamped all packets, where that is told.
    clock: Option<String>,
}

/// The clock that a file names, the same in all its sections.
fn clock(file: &Path) -> Result<Option<String>, Error> {
    let mut reader = Reader::open(file)?;
    while reader.next_packet()?.is_some() {}
    Ok(named_clock(&reader))
}

/// Merges files; `found` tells what is to be said of a packet, by the number of its file and its number there.
fn merge(
    mut parts: Vec<Part<'_>>,
    about: About<'_>,
    mut hide: Option<Hide>,
    out: impl Write,
    found: impl Fn(usize, u64) -> Option<String>,
) -> Result<Merged, MergeError> {
    // The id of a boot is that of a host.
    let clock = about.clock.map(|clock| hide.as_ref().map_or(clock.clone(), |hide| hide.by.name(&clock)));
    let comment = clock.map(|clock| Comment::default().clock(&clock).to_string());
    let section = Section { application: Some(about.application), comment: comment.as_deref(), ..Section::default() };
    let mut writer = Writer::new(out, &section)?;
    for part in &mut parts {
        part.advance(&mut writer, hide.as_mut())?;
    }
    let mut merged = Merged::default();
    loop {
        let heads = parts.iter().enumerate().filter_map(|(at, part)| Some((part.head.as_ref()?.ts_ns, at)));
        let Some((_, at)) = heads.min() else { break };
        let Some(part) = parts.get_mut(at) else { break };
        let Some(head) = part.head.as_mut() else { break };
        let found = found(at, head.index);
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
        part.advance(&mut writer, hide.as_mut())?;
    }
    for part in &mut parts {
        part.finish(&mut writer, hide.is_some())?;
    }
    writer.finish()?;
    Ok(merged)
}

/// An interface under the name of its file, by number where its own name is to be left out.
fn describe<W: Write>(
    writer: &mut Writer<W>,
    interface: &Interface,
    number: usize,
    of: Option<&str>,
    moved: i64,
    hidden: bool,
) -> Result<InterfaceId, WriteError> {
    let name = if hidden { Some(number.to_string()) } else { interface.name.clone() };
    let name: Vec<&str> = of.into_iter().chain(name.as_deref()).collect();
    let told = (moved != 0).then(|| format!("stamps moved by {moved} ns to the clock of a"));
    let own = interface.description.as_deref().filter(|_| !hidden);
    let description = own.into_iter().chain(told.as_deref()).collect::<Vec<_>>().join("; ");
    writer.add_interface(&NewInterface {
        name: &name.join(": "),
        description: Some(description.as_str()).filter(|text| !text.is_empty()),
        filter: interface.filter.as_deref().filter(|_| !hidden),
        linktype: interface.linktype,
        snaplen: interface.snaplen,
    })
}
