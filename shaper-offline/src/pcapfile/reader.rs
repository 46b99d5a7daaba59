//! The reader: finds the format, walks blocks or records, hands out packets.

use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

use super::{
    classic::{self, Classic},
    compression::Compression,
    error::{Error, Fault},
    format::{Format, Tail},
    interface::Interface,
    map,
    ng::{self, Block},
    options::Options,
    order::Order,
    packet::Packet,
    source::{Bytes, Source},
};

/// Path that stands for standard input; a file of that name is `./-`.
pub const STDIN: &str = "-";
/// Interfaces described in one file, over all sections.
const INTERFACES: usize = 65_536;
/// Sections whose comments are kept.
const SECTIONS: usize = 4_096;
/// Bytes kept of names, descriptions, filters and sections' comments together.
const TEXT: usize = 16 << 20;

#[derive(Debug)]
enum State {
    Classic(Classic),
    Ng {
        order: Order,
        /// Index of the current section's first interface.
        section: usize,
    },
}

/// Reads one capture file from front to back.
pub struct Reader {
    path: PathBuf,
    source: Source,
    compression: Option<Compression>,
    state: State,
    interfaces: Vec<Interface>,
    tail: Tail,
    /// Bytes of the packet handed out last, still to be consumed.
    pending: usize,
    /// That packet.
    located: Located,
    packets: u64,
    sections: u64,
    /// Comments on the first sections.
    comments: Vec<Vec<String>>,
    /// Bytes of text held.
    text: usize,
    /// Whether damage behind a packet ends the file, as a cut does.
    ends_at_damage: bool,
    /// Where that is, and what.
    damage: Option<(u64, Fault)>,
}

/// Where the parts of a packet are in the window, from and to.
#[derive(Clone, Copy)]
struct Located {
    interface: u32,
    linktype: u16,
    ts_ns: Option<i64>,
    origlen: u32,
    data: (usize, usize),
    options: (usize, usize),
    order: Order,
    dropcount: Option<u64>,
}

impl Located {
    /// Before the first packet.
    const NOWHERE: Self = Self {
        interface: 0,
        linktype: 0,
        ts_ns: None,
        origlen: 0,
        data: (0, 0),
        options: (0, 0),
        order: Order::Little,
        dropcount: None,
    };
}

impl Reader {
    /// Opens a file: mapped if it is a regular file, streamed otherwise (pipes, devices, [`STDIN`]).
    ///
    /// # Errors
    /// [`Error::Io`] if it cannot be opened; [`Error::Damaged`] if it is no capture.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref();
        if path == Path::new(STDIN) {
            return Self::from_stream(path, io::stdin());
        }
        let io = |source| Error::Io { path: path.to_owned(), offset: 0, decompressed: false, source };
        let file = File::open(path).map_err(io)?;
        let metadata = file.metadata().map_err(io)?;
        let source = if metadata.is_file() && metadata.len() > 0 {
            Source::whole(Bytes::Map(map::map(&file).map_err(io)?))
        } else {
            Source::stream(Box::new(file))
        };
        Self::new(path.to_owned(), source)
    }

    /// Reads a capture held in memory; `name` stands in errors.
    ///
    /// # Errors
    /// [`Error::Damaged`] if it is no capture.
    pub fn from_bytes(name: impl Into<PathBuf>, bytes: Vec<u8>) -> Result<Self, Error> {
        Self::new(name.into(), Source::whole(Bytes::Owned(bytes.into_boxed_slice())))
    }

    /// Reads a capture from a stream, through a buffer as long as its longest block.
    ///
    /// # Errors
    /// [`Error::Io`] if the stream fails; [`Error::Damaged`] if it is no capture.
    pub fn from_stream(name: impl Into<PathBuf>, stream: impl Read + Send + 'static) -> Result<Self, Error> {
        Self::new(name.into(), Source::stream(Box::new(stream)))
    }

    fn new(path: PathBuf, mut source: Source) -> Result<Self, Error> {
        source.ensure(4).map_err(|error| failed(&path, 0, false, error))?;
        let magic = |source: &Source| Order::Big.u32(source.window(), 0);
        let compression = magic(&source).map_or(Ok(None), Compression::of);
        let compression = compression.map_err(|fault| Error::Damaged {
            path: path.clone(),
            offset: 0,
            decompressed: false,
            fault,
        })?;
        if let Some(compression) = compression {
            source = Source::stream(compression.decompressed(source.into_read()));
        }
        let decompressed = compression.is_some();
        let damaged = |offset, fault| Error::Damaged { path: path.clone(), offset, decompressed, fault };
        let have = source.ensure(classic::LOOK).map_err(|error| failed(&path, 0, decompressed, error))?;
        let Some(magic) = magic(&source) else {
            let fault = if source.cut() { Fault::CutHeader } else { Fault::TooShort(have) };
            return Err(damaged(have as u64, fault));
        };
        if let Ok(Some(again)) = Compression::of(magic) {
            return Err(damaged(0, Fault::Compressed(again.name())));
        }
        let (state, interfaces) = if magic == ng::SECTION {
            (State::Ng { order: Order::Little, section: 0 }, Vec::new())
        } else {
            let start = source.window();
            let start = start.get(..classic::LOOK).unwrap_or(start);
            let cut = |fault| match fault {
                // The place is where the bytes end, not where they begin.
                Fault::CutHeader => damaged(have as u64, fault),
                fault => damaged(0, fault),
            };
            match Classic::from_start(start).map_err(cut)? {
                Some((classic, interface)) => (State::Classic(classic), vec![interface]),
                None => return Err(damaged(0, Fault::NotACapture(magic))),
            }
        };
        let sections = match state {
            State::Classic(classic) => {
                source.consume(classic.file_header());
                1
            }
            State::Ng { .. } => 0,
        };
        Ok(Self {
            path,
            source,
            compression,
            state,
            interfaces,
            tail: Tail::Unread,
            pending: 0,
            located: Located::NOWHERE,
            packets: 0,
            sections,
            comments: Vec::new(),
            text: 0,
            ends_at_damage: false,
            damage: None,
        })
    }

    /// Ends at damage as at a cut tail, where a packet stands before it: [`damage`](Self::damage) tells then.
    #[must_use]
    pub fn ending_at_damage(self) -> Self {
        Self { ends_at_damage: true, ..self }
    }

    /// The byte offset at which the file is damaged and what is wrong there, if its packets ended for that.
    #[must_use]
    pub fn damage(&self) -> Option<(u64, &Fault)> {
        self.damage.as_ref().map(|(offset, fault)| (*offset, fault))
    }

    /// The file as the caller named it.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Format of the file.
    #[must_use]
    pub fn format(&self) -> Format {
        match self.state {
            State::Classic(_) => Format::Pcap,
            State::Ng { .. } => Format::PcapNg,
        }
    }

    /// How the file is compressed; offsets are then into what it decompresses to.
    #[must_use]
    pub fn compression(&self) -> Option<Compression> {
        self.compression
    }

    /// Interfaces described so far, over all sections; complete once the file is read.
    #[must_use]
    pub fn interfaces(&self) -> &[Interface] {
        &self.interfaces
    }

    /// How the file ends.
    #[must_use]
    pub fn tail(&self) -> Tail {
        self.tail
    }

    /// Packets handed out so far.
    #[must_use]
    pub fn packets(&self) -> u64 {
        self.packets
    }

    /// Sections begun so far; a classic file counts as one.
    #[must_use]
    pub fn sections(&self) -> u64 {
        self.sections
    }

    /// Comments on each section begun so far, of the first 4,096; none in classic files.
    #[must_use]
    pub fn section_comments(&self) -> &[Vec<String>] {
        &self.comments
    }

    /// The next packet, or `None` at the end of the file, complete or cut ([`Reader::tail`]).
    ///
    /// # Errors
    /// [`Error::Damaged`] at damage other than a cut tail, unless the reader is one
    /// [`ending_at_damage`](Self::ending_at_damage), and [`Error::Io`] if reading fails; after an error there are no
    /// more packets.
    pub fn next_packet(&mut self) -> Result<Option<Packet<'_>>, Error> {
        Ok(if self.advance()? { Some(self.packet()) } else { None })
    }

    /// Like [`next_packet`](Self::next_packet), with the interfaces described so far.
    ///
    /// # Errors
    /// As [`next_packet`](Self::next_packet).
    pub fn next_with_interfaces(&mut self) -> Result<Option<(Packet<'_>, &[Interface])>, Error> {
        Ok(if self.advance()? { Some((self.packet(), &self.interfaces)) } else { None })
    }

    /// Moves to the next packet; `false` at the end. What reads packets by the million does so and asks for
    /// [`packet`](Self::packet): moved within options and results they would be copied several times.
    ///
    /// # Errors
    /// As [`next_packet`](Self::next_packet).
    #[inline(never)]
    pub(crate) fn advance(&mut self) -> Result<bool, Error> {
        let at_hand = match self.state {
            _ if self.tail != Tail::Unread => None,
            State::Classic(classic) => self.record_at_hand(classic),
            State::Ng { order, section } => self.block_at_hand(order, section),
        };
        if at_hand.is_some() {
            return Ok(true);
        }
        self.advance_at_length()
    }

    /// The packet that was moved to.
    #[inline(always)]
    pub(crate) fn packet(&self) -> Packet<'_> {
        let (offset, window) = self.source.place();
        let Located { interface, linktype, ts_ns, origlen, order, dropcount, .. } = self.located;
        let data = window.get(self.located.data.0..self.located.data.1).unwrap_or_default();
        let options = window.get(self.located.options.0..self.located.options.1).unwrap_or_default();
        Packet {
            index: self.packets.saturating_sub(1),
            offset,
            interface,
            linktype,
            ts_ns,
            caplen: data.len() as u32,
            origlen,
            data,
            dropcount,
            options: Options::checked(options, order),
        }
    }

    /// Moves to the next packet, whatever lies before it.
    #[inline(never)]
    fn advance_at_length(&mut self) -> Result<bool, Error> {
        match self.locate() {
            Ok(Some(located)) => {
                self.located = located;
                self.packets += 1;
                Ok(true)
            }
            Ok(None) => Ok(false),
            Err(error) => {
                self.tail = Tail::Damaged { offset: self.source.offset() };
                match error {
                    Error::Damaged { offset, fault, .. } if self.ends_at_damage && self.packets > 0 => {
                        self.damage = Some((offset, fault));
                        Ok(false)
                    }
                    error => Err(error),
                }
            }
        }
    }

    /// Moves to the next record of a classic file, if all of it is in the window: the short way that nearly every packet
    /// takes. Whatever is the matter is for [`locate`](Self::locate) to find.
    #[inline(always)]
    fn record_at_hand(&mut self, classic: Classic) -> Option<()> {
        self.source.consume(std::mem::take(&mut self.pending));
        let window = self.source.window();
        let header = classic.record_header();
        let record = classic.record(window).ok()?;
        let length = header + record.caplen as usize;
        if window.len() < length {
            return None;
        }
        // All else is the same for every record.
        self.located.linktype = record.linktype;
        self.located.ts_ns = Some(record.ts_ns);
        self.located.origlen = record.origlen;
        self.located.data = (header, length);
        self.pending = length;
        self.packets += 1;
        Some(())
    }

    /// The same in a pcapng file: moves to the packet if its block comes next and is as most are.
    #[inline(always)]
    fn block_at_hand(&mut self, order: Order, section: usize) -> Option<()> {
        self.source.consume(std::mem::take(&mut self.pending));
        let (length, found) = ng::plain_packet(self.source.window(), order)?;
        let number = section + found.interface as usize;
        let interface = self.interfaces.get(number)?;
        self.located.interface = number as u32;
        self.located.linktype = interface.linktype;
        self.located.ts_ns = found.raw_time.and_then(|raw| interface.resolution.nanoseconds(raw, interface.offset));
        self.located.origlen = found.origlen;
        self.located.data = (found.data.start, found.data.end);
        self.located.options = (found.options.start, found.options.end);
        self.located.order = order;
        self.located.dropcount = None;
        self.pending = length;
        self.packets += 1;
        Some(())
    }

    /// Moves to the next packet's block or record, reading what lies between.
    #[inline]
    fn locate(&mut self) -> Result<Option<Located>, Error> {
        if self.tail != Tail::Unread {
            return Ok(None);
        }
        self.source.consume(std::mem::take(&mut self.pending));
        match self.state {
            State::Classic(classic) => self.locate_record(classic),
            State::Ng { .. } => self.locate_block(),
        }
    }

    #[inline]
    fn locate_record(&mut self, classic: Classic) -> Result<Option<Located>, Error> {
        let header = classic.record_header();
        if !self.have(header)? {
            return Ok(None);
        }
        let record = classic.record(self.source.window()).map_err(|fault| self.damaged(0, fault))?;
        let length = header + record.caplen as usize;
        if !self.have(length)? {
            return Ok(None);
        }
        self.pending = length;
        Ok(Some(Located {
            linktype: record.linktype,
            ts_ns: Some(record.ts_ns),
            origlen: record.origlen,
            data: (header, length),
            ..Located::NOWHERE
        }))
    }

    #[inline]
    fn locate_block(&mut self) -> Result<Option<Located>, Error> {
        loop {
            let State::Ng { order, section } = self.state else { return Ok(None) };
            if !self.have(ng::PROBE)? {
                return Ok(None);
            }
            let (order, length) =
                ng::probe(self.source.window(), order).map_err(|(at, fault)| self.damaged(at, fault))?;
            if !self.have(length)? {
                return Ok(None);
            }
            let bytes = self.source.window().get(..length).unwrap_or_default();
            let interfaces = self.interfaces.get(section..).unwrap_or_default();
            let block = ng::block(bytes, order, interfaces).map_err(|(at, fault)| self.damaged(at, fault))?;
            match block {
                Block::Packet(found) => {
                    let known = self.interfaces.len() - section;
                    let number = section + found.interface as usize;
                    let Some(interface) = self.interfaces.get(number) else {
                        let interface = found.interface;
                        return Err(self.damaged(8, Fault::UnknownInterface { interface, known }));
                    };
                    let ts_ns = found.raw_time.and_then(|raw| interface.resolution.nanoseconds(raw, interface.offset));
                    self.pending = length;
                    return Ok(Some(Located {
                        interface: number as u32,
                        linktype: interface.linktype,
                        ts_ns,
                        origlen: found.origlen,
                        data: (found.data.start, found.data.end),
                        options: (found.options.start, found.options.end),
                        order,
                        dropcount: found.dropcount,
                    }));
                }
                Block::Section(order, comments) => {
                    self.sections += 1;
                    if self.comments.len() < SECTIONS {
                        self.keep(comments.iter().map(String::len).sum())?;
                        self.comments.push(comments);
                    }
                    self.state = State::Ng { order, section: self.interfaces.len() };
                }
                Block::Interface(interface) => {
                    if self.interfaces.len() >= INTERFACES {
                        return Err(self.damaged(0, Fault::TooMany { what: "interfaces", most: INTERFACES }));
                    }
                    self.keep(interface.text())?;
                    self.interfaces.push(interface);
                }
                Block::Statistics { interface, statistics } => {
                    if let Some(entry) = self.interfaces.get_mut(section + interface as usize) {
                        entry.statistics = Some(statistics);
                    }
                }
                Block::Other => {}
            }
            self.source.consume(length);
        }
    }

    /// Counts text that is to be kept.
    fn keep(&mut self, bytes: usize) -> Result<(), Error> {
        self.text += bytes;
        if self.text > TEXT {
            let what = "bytes of names and comments of interfaces and sections";
            return Err(self.damaged(0, Fault::TooMany { what, most: TEXT }));
        }
        Ok(())
    }

    /// Whether `n` bytes are left; if not, notes how the file ends.
    #[inline]
    fn have(&mut self, n: usize) -> Result<bool, Error> {
        let have = match self.source.ensure(n) {
            Ok(have) => have,
            Err(error) => {
                return Err(failed(&self.path, self.source.offset(), self.compression.is_some(), error));
            }
        };
        if have >= n {
            return Ok(true);
        }
        // Without an interface nothing before the cut could be told either.
        if (have > 0 || self.source.cut()) && self.interfaces.is_empty() {
            let offset = self.source.offset() + have as u64;
            let decompressed = self.compression.is_some();
            return Err(Error::Damaged { path: self.path.clone(), offset, decompressed, fault: Fault::CutHeader });
        }
        self.tail = if have == 0 && !self.source.cut() {
            Tail::Complete
        } else {
            Tail::Cut { offset: self.source.offset(), wanted: n as u64, left: have as u64 }
        };
        Ok(false)
    }

    #[cold]
    fn damaged(&self, at: usize, fault: Fault) -> Error {
        let offset = self.source.offset() + at as u64;
        Error::Damaged { path: self.path.clone(), offset, decompressed: self.compression.is_some(), fault }
    }
}

/// A source that failed: to be read, or to be decompressed.
#[cold]
fn failed(path: &Path, offset: u64, decompressed: bool, error: io::Error) -> Error {
    let path = path.to_owned();
    match error.downcast::<Fault>() {
        Ok(fault) => Error::Damaged { path, offset, decompressed, fault },
        Err(source) => Error::Io { path, offset, decompressed, source },
    }
}
