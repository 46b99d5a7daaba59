//! pcapng blocks, little-endian (draft-ietf-opsawg-pcapng).

use std::io::Write;

use super::WriteError;
use crate::pcapfile::{Direction, Verdict};

const SECTION: u32 = 0x0a0d_0d0a;
const INTERFACE: u32 = 1;
const STATISTICS: u32 = 5;
const ENHANCED_PACKET: u32 = 6;
const BYTE_ORDER_MAGIC: u32 = 0x1a2b_3c4d;

const OPT_END: u16 = 0;
const OPT_COMMENT: u16 = 1;
const SHB_HARDWARE: u16 = 2;
const SHB_OS: u16 = 3;
const SHB_USERAPPL: u16 = 4;
const IF_NAME: u16 = 2;
const IF_DESCRIPTION: u16 = 3;
const IF_TSRESOL: u16 = 9;
const IF_FILTER: u16 = 11;
const EPB_FLAGS: u16 = 2;
const EPB_DROPCOUNT: u16 = 4;
const EPB_PACKETID: u16 = 5;
const EPB_VERDICT: u16 = 7;
const ISB_STARTTIME: u16 = 2;
const ISB_ENDTIME: u16 = 3;
const ISB_IFRECV: u16 = 4;
const ISB_IFDROP: u16 = 5;

/// Longest packet Wireshark accepts (`WTAP_MAX_PACKET_SIZE_STANDARD`).
const LONGEST_PACKET: usize = 262_144;

/// What the section header says about where the file comes from.
#[derive(Clone, Debug, Default)]
pub struct Section<'a> {
    /// Hardware, free text.
    pub hardware: Option<&'a str>,
    /// Operating system, free text.
    pub os: Option<&'a str>,
    /// Application that wrote the file.
    pub application: Option<&'a str>,
    /// A comment on the file.
    pub comment: Option<&'a str>,
}

/// A capture point.
#[derive(Clone, Debug)]
pub struct NewInterface<'a> {
    /// Interface name.
    pub name: &'a str,
    /// What it is in the experiment.
    pub description: Option<&'a str>,
    /// Capture filter, as a libpcap expression.
    pub filter: Option<&'a str>,
    /// `LINKTYPE_*` of its packets.
    pub linktype: u16,
    /// Longest packet kept; 0 for no limit.
    pub snaplen: u32,
}

/// An interface of the file being written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InterfaceId(u32);

/// A packet to write.
#[derive(Clone, Debug, Default)]
pub struct NewPacket<'a> {
    /// Nanoseconds since the epoch.
    pub ts_ns: i64,
    /// Length on the wire.
    pub origlen: u32,
    /// Captured bytes.
    pub data: &'a [u8],
    /// Which way it went through the interface.
    pub direction: Option<Direction>,
    /// The same number on every copy of a packet.
    pub packetid: Option<u64>,
    /// Packets the capture lost between this one and the one before.
    pub dropcount: Option<u64>,
    /// What a hook returned for it.
    pub verdict: Option<Verdict>,
    /// Comments, each an option of its own.
    pub comments: &'a [String],
}

/// Counters for an Interface Statistics Block.
#[derive(Clone, Copy, Debug, Default)]
pub struct Statistics {
    /// Start of the capture, nanoseconds since the epoch.
    pub start: Option<i64>,
    /// End of the capture, nanoseconds since the epoch.
    pub end: Option<i64>,
    /// Packets received by the capture.
    pub received: Option<u64>,
    /// Packets the capture lost.
    pub dropped: Option<u64>,
}

/// Writes one section to `W`; give it a `BufWriter`.
#[derive(Debug)]
pub struct Writer<W: Write> {
    out: W,
    /// The block being built, reused.
    block: Vec<u8>,
    interfaces: u32,
}

impl<W: Write> Writer<W> {
    /// The longest packet that can be written, in bytes.
    pub const LONGEST: usize = LONGEST_PACKET;

    /// Starts a file with its section header.
    ///
    /// # Errors
    /// [`WriteError::Io`] from `out`; [`WriteError::TooLong`] for texts over 65,535 bytes.
    pub fn new(out: W, section: &Section<'_>) -> Result<Self, WriteError> {
        let mut writer = Self { out, block: Vec::with_capacity(2048), interfaces: 0 };
        writer.begin(SECTION);
        writer.u32(BYTE_ORDER_MAGIC);
        writer.u16(1);
        writer.u16(0);
        // Section length: not told.
        writer.block.extend(u64::MAX.to_le_bytes());
        let start = writer.block.len();
        writer.text(OPT_COMMENT, section.comment)?;
        writer.text(SHB_HARDWARE, section.hardware)?;
        writer.text(SHB_OS, section.os)?;
        writer.text(SHB_USERAPPL, section.application)?;
        writer.finish_block(start)?;
        Ok(writer)
    }

    /// Describes a capture point, with nanosecond stamps.
    ///
    /// # Errors
    /// [`WriteError::Io`] from the output; [`WriteError::TooLong`] for texts over 65,535 bytes.
    pub fn add_interface(&mut self, interface: &NewInterface<'_>) -> Result<InterfaceId, WriteError> {
        self.begin(INTERFACE);
        self.u16(interface.linktype);
        self.u16(0);
        self.u32(interface.snaplen);
        let start = self.block.len();
        self.text(IF_NAME, Some(interface.name))?;
        self.text(IF_DESCRIPTION, interface.description)?;
        self.option(IF_TSRESOL, &[9])?;
        if let Some(filter) = interface.filter {
            // The first octet says that a libpcap expression follows.
            self.option(IF_FILTER, &[&[0], filter.as_bytes()].concat())?;
        }
        self.finish_block(start)?;
        let id = InterfaceId(self.interfaces);
        self.interfaces += 1;
        Ok(id)
    }

    /// Writes an Enhanced Packet Block.
    ///
    /// # Errors
    /// [`WriteError`] if the output fails, the interface is not of this file, the time lies
    /// before 1970, or packet or comment are too long.
    pub fn packet(&mut self, id: InterfaceId, packet: &NewPacket<'_>) -> Result<(), WriteError> {
        self.known(id)?;
        let stamp = u64::try_from(packet.ts_ns).map_err(|_| WriteError::BeforeEpoch(packet.ts_ns))?;
        if packet.data.len() > LONGEST_PACKET {
            return Err(WriteError::TooLong { what: "packet", length: packet.data.len(), limit: LONGEST_PACKET });
        }
        let caplen = packet.data.len() as u32;
        self.begin(ENHANCED_PACKET);
        self.u32(id.0);
        self.halves(stamp);
        self.u32(caplen);
        // A length on the wire below what was captured is nonsense to every reader.
        self.u32(packet.origlen.max(caplen));
        self.block.extend_from_slice(packet.data);
        self.pad();
        let start = self.block.len();
        for comment in packet.comments {
            self.text(OPT_COMMENT, Some(comment))?;
        }
        if let Some(direction) = packet.direction {
            let flags: u32 = match direction {
                Direction::Inbound => 1,
                Direction::Outbound => 2,
            };
            self.option(EPB_FLAGS, &flags.to_le_bytes())?;
        }
        self.number(EPB_DROPCOUNT, packet.dropcount)?;
        self.number(EPB_PACKETID, packet.packetid)?;
        if let Some(verdict) = packet.verdict {
            let (kind, value) = match verdict {
                Verdict::Tc(value) => (1, value),
                Verdict::Xdp(value) => (2, value),
            };
            let mut option = [kind; 9];
            option[1..].copy_from_slice(&value.to_le_bytes());
            self.option(EPB_VERDICT, &option)?;
        }
        self.finish_block(start)
    }

    /// Writes an Interface Statistics Block; call once per interface, after its last packet.
    ///
    /// # Errors
    /// [`WriteError`] if the output fails, the interface is not of this file, or a time lies
    /// before 1970.
    pub fn statistics(&mut self, id: InterfaceId, told: &Statistics) -> Result<(), WriteError> {
        self.known(id)?;
        let stamp =
            |time: Option<i64>| time.map(|ns| u64::try_from(ns).map_err(|_| WriteError::BeforeEpoch(ns))).transpose();
        let (from, to) = (stamp(told.start)?, stamp(told.end)?);
        self.begin(STATISTICS);
        self.u32(id.0);
        self.halves(to.or(from).unwrap_or(0));
        let start = self.block.len();
        for (code, time) in [(ISB_STARTTIME, from), (ISB_ENDTIME, to)] {
            if let Some(time) = time {
                // High half first, each in the byte order of the section.
                let raw = time.rotate_left(32).to_le_bytes();
                self.option(code, &raw)?;
            }
        }
        self.number(ISB_IFRECV, told.received)?;
        self.number(ISB_IFDROP, told.dropped)?;
        self.finish_block(start)
    }

    /// Hands on what is buffered in the output.
    ///
    /// # Errors
    /// [`WriteError::Io`] if flushing fails.
    pub fn flush(&mut self) -> Result<(), WriteError> {
        Ok(self.out.flush()?)
    }

    /// What is written to.
    #[must_use]
    pub fn output(&self) -> &W {
        &self.out
    }

    /// Flushes and gives the output back.
    ///
    /// # Errors
    /// [`WriteError::Io`] if flushing fails.
    pub fn finish(mut self) -> Result<W, WriteError> {
        self.flush()?;
        Ok(self.out)
    }

    fn known(&self, id: InterfaceId) -> Result<(), WriteError> {
        if id.0 < self.interfaces { Ok(()) } else { Err(WriteError::UnknownInterface(id.0)) }
    }

    fn begin(&mut self, kind: u32) {
        self.block.clear();
        self.u32(kind);
        // Its length, filled in at the end.
        self.u32(0);
    }

    fn finish_block(&mut self, options_start: usize) -> Result<(), WriteError> {
        if self.block.len() > options_start {
            self.option(OPT_END, &[])?;
        }
        let length = self.block.len() + 4;
        let length = u32::try_from(length).map_err(|_| WriteError::TooLong {
            what: "block",
            length,
            limit: u32::MAX as usize,
        })?;
        self.u32(length);
        if let Some(slot) = self.block.get_mut(4..8) {
            slot.copy_from_slice(&length.to_le_bytes());
        }
        self.out.write_all(&self.block)?;
        Ok(())
    }

    fn u16(&mut self, value: u16) {
        self.block.extend(value.to_le_bytes());
    }

    fn u32(&mut self, value: u32) {
        self.block.extend(value.to_le_bytes());
    }

    /// A 64-bit stamp, high half first.
    fn halves(&mut self, value: u64) {
        self.u32((value >> 32) as u32);
        self.u32((value & 0xffff_ffff) as u32);
    }

    fn pad(&mut self) {
        self.block.resize(self.block.len().next_multiple_of(4), 0);
    }

    fn option(&mut self, code: u16, value: &[u8]) -> Result<(), WriteError> {
        let length = u16::try_from(value.len()).map_err(|_| WriteError::TooLong {
            what: "option",
            length: value.len(),
            limit: usize::from(u16::MAX),
        })?;
        self.u16(code);
        self.u16(length);
        self.block.extend_from_slice(value);
        self.pad();
        Ok(())
    }

    fn text(&mut self, code: u16, text: Option<&str>) -> Result<(), WriteError> {
        text.map_or(Ok(()), |text| self.option(code, text.as_bytes()))
    }

    fn number(&mut self, code: u16, value: Option<u64>) -> Result<(), WriteError> {
        value.map_or(Ok(()), |value| self.option(code, &value.to_le_bytes()))
    }
}
