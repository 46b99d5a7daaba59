//! A packet as it stands in the file.

use super::options::Options;

const EPB_FLAGS: u16 = 2;
pub(super) const EPB_DROPCOUNT: u16 = 4;
const EPB_PACKETID: u16 = 5;
const EPB_VERDICT: u16 = 7;

/// One captured packet; borrows from the reader.
#[derive(Clone, Copy, Debug)]
pub struct Packet<'a> {
    /// Position among the packets of the file, from 0.
    pub index: u64,
    /// Byte offset of its block or record in the file.
    pub offset: u64,
    /// Index into [`Reader::interfaces`](super::Reader::interfaces), over all sections.
    pub interface: u32,
    /// Link type of that interface.
    pub linktype: u16,
    /// Nanoseconds since the epoch; `None` for Simple Packet Blocks, which carry no time, and
    /// for stamps outside of 64 bits of nanoseconds.
    pub ts_ns: Option<i64>,
    /// Bytes captured; the length of `data`.
    pub caplen: u32,
    /// Length on the wire.
    pub origlen: u32,
    /// The captured bytes.
    pub data: &'a [u8],
    /// Packets the capture lost between this one and the one before, where told.
    pub dropcount: Option<u64>,
    /// The block's options; none in classic files.
    pub options: Options<'a>,
}

/// Which way a packet went through the interface (`epb_flags` bits 0 and 1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Received by the interface.
    Inbound,
    /// Sent by the interface.
    Outbound,
}

/// What a hook returned for a packet (`epb_verdict`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Type 1: the value a TC program returned (`TC_ACT_*`).
    Tc(i64),
    /// Type 2: the value an XDP program returned (`XDP_*`).
    Xdp(i64),
}

impl<'a> Packet<'a> {
    /// `epb_packetid`: the same number on every copy of a packet.
    #[must_use]
    pub fn packetid(&self) -> Option<u64> {
        self.options.u64(EPB_PACKETID)
    }

    /// Direction flags, if told.
    #[must_use]
    pub fn direction(&self) -> Option<Direction> {
        match self.options.u32(EPB_FLAGS)? & 0b11 {
            1 => Some(Direction::Inbound),
            2 => Some(Direction::Outbound),
            _ => None,
        }
    }

    /// Verdicts of TC and XDP hooks.
    pub fn verdicts(&self) -> impl Iterator<Item = Verdict> + use<'a> {
        let order = self.options.order();
        self.options.all(EPB_VERDICT).filter_map(move |value| {
            let (kind, rest) = value.split_first()?;
            let raw = order.u64(rest, 0)?.cast_signed();
            match kind {
                1 => Some(Verdict::Tc(raw)),
                2 => Some(Verdict::Xdp(raw)),
                _ => None,
            }
        })
    }

    /// Comments on this packet.
    pub fn comments(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        self.options.comments()
    }
}
