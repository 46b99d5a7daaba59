//! pcapng blocks (draft-ietf-opsawg-pcapng), one at a time, without reading any file.

use std::ops::Range;

use super::{
    error::Fault,
    interface::{Interface, InterfaceStatistics},
    options::Options,
    order::Order,
    packet::EPB_DROPCOUNT,
};

pub(super) const SECTION: u32 = 0x0a0d_0d0a;
const INTERFACE: u32 = 1;
const OBSOLETE_PACKET: u32 = 2;
const SIMPLE_PACKET: u32 = 3;
const STATISTICS: u32 = 5;
const ENHANCED_PACKET: u32 = 6;

const BYTE_ORDER_MAGIC: u32 = 0x1a2b_3c4d;
/// Bytes needed to know a block's length: type, length and, in a section header, byte order.
pub(super) const PROBE: usize = 12;
/// Length of what stands in front of an enhanced packet block's data.
const HEADER: usize = 28;
/// Longest block believed; Wireshark's own limit is 16 MiB, USB and D-Bus packets reach 128 MiB.
const LONGEST: u32 = 256 << 20;

/// Damage found in a block: bytes from the block's start, and what it is.
pub(super) type Damage = (usize, Fault);

/// Where the parts of a packet are in its block.
pub(super) struct Found {
    pub(super) interface: u32,
    pub(super) raw_time: Option<u64>,
    pub(super) origlen: u32,
    pub(super) data: Range<usize>,
    pub(super) options: Range<usize>,
    pub(super) dropcount: Option<u64>,
}

/// What a block told.
pub(super) enum Block {
    /// Its byte order, and the comments on it.
    Section(Order, Vec<String>),
    Interface(Interface),
    Packet(Found),
    Statistics {
        interface: u32,
        statistics: InterfaceStatistics,
    },
    /// Name resolution, secrets, custom and unknown blocks: nothing this crate uses.
    Other,
}

/// Order of the section a block starts (`None` for other blocks) and the block's length.
#[inline]
pub(super) fn probe(bytes: &[u8], order: Order) -> Result<(Order, usize), Damage> {
    let short = || (0, Fault::TooShort(bytes.len()));
    // The type of a section header reads the same in both byte orders.
    let order = if Order::Little.u32(bytes, 0) == Some(SECTION) {
        let magic = Order::Little.u32(bytes, 8).ok_or_else(short)?;
        if magic == BYTE_ORDER_MAGIC {
            Order::Little
        } else if magic.swap_bytes() == BYTE_ORDER_MAGIC {
            Order::Big
        } else {
            return Err((8, Fault::ByteOrder(magic)));
        }
    } else {
        order
    };
    let length = order.u32(bytes, 4).ok_or_else(short)?;
    if length < 12 || !length.is_multiple_of(4) || length > LONGEST {
        return Err((
            4,
            Fault::Length { what: "a block", claimed: length.into(), allowed: "12 to 268435456, a multiple of 4" },
        ));
    }
    Ok((order, length as usize))
}

/// Length and content of an enhanced packet block without options that `window` holds whole, as nearly all blocks are.
/// `None` for whatever else it may be, which [`block`] has to tell.
#[inline(always)]
pub(super) fn plain_packet(window: &[u8], order: Order) -> Option<(usize, Found)> {
    let [kind, length, interface, high] = order.words(*window.first_chunk::<16>()?);
    let [low, caplen, origlen, _] = order.words(*window.get(16..)?.first_chunk::<16>()?);
    if kind != ENHANCED_PACKET || caplen > LONGEST || length > LONGEST {
        return None;
    }
    let (whole, stop) = (length as usize, HEADER + caplen as usize);
    let plain = whole == stop.next_multiple_of(4) + 4;
    if !plain || order.u32(window, whole - 4)? != length {
        return None;
    }
    let raw_time = Some(u64::from(high) << 32 | u64::from(low));
    let (data, options) = (HEADER..stop, whole - 4..whole - 4);
    Some((whole, Found { interface, raw_time, origlen, data, options, dropcount: None }))
}

/// Reads one whole block; `interfaces` are those of its section so far.
#[inline]
pub(super) fn block(block: &[u8], order: Order, interfaces: &[Interface]) -> Result<Block, Damage> {
    let short =
        |what| (4, Fault::Length { what, claimed: block.len() as u64, allowed: "more: its fixed part does not fit" });
    let end = block.len() - 4;
    let leading = order.u32(block, 4).unwrap_or(0);
    let trailing = order.u32(block, end).unwrap_or(0);
    if leading != trailing {
        return Err((end, Fault::Trailer { leading, trailing }));
    }
    let options = |from: usize| -> Result<Options<'_>, Damage> {
        let bytes = block.get(from..end).unwrap_or_default();
        Options::new(bytes, order).map_err(|(at, fault)| (from + at, fault))
    };
    let kind = order.u32(block, 0).unwrap_or(0);
    match kind {
        ENHANCED_PACKET => {
            if end < 28 {
                return Err(short("an enhanced packet block"));
            }
            let interface = order.u32(block, 8).unwrap_or(0);
            let found = packet(block, order, interface, 12, end)?;
            if found.options.is_empty() {
                return Ok(Block::Packet(found));
            }
            let from = found.options.start;
            let bytes = block.get(found.options.clone()).unwrap_or_default();
            let dropcount = Options::find(bytes, order, EPB_DROPCOUNT).map_err(|(at, fault)| (from + at, fault))?;
            let dropcount = dropcount.and_then(|value| order.u64(value, 0));
            Ok(Block::Packet(Found { dropcount, ..found }))
        }
        OBSOLETE_PACKET => {
            if end < 28 {
                return Err(short("a packet block"));
            }
            let interface = order.u16(block, 8).unwrap_or(0).into();
            let found = packet(block, order, interface, 12, end)?;
            options(found.options.start)?;
            // 0xffff: the writer did not know.
            let drops = order.u16(block, 10).filter(|&count| count != u16::MAX).map(u64::from);
            Ok(Block::Packet(Found { dropcount: drops, ..found }))
        }
        SIMPLE_PACKET => {
            if end < 12 {
                return Err(short("a simple packet block"));
            }
            let origlen = order.u32(block, 8).unwrap_or(0);
            // Its captured length is not told: what the snapshot length and the block leave.
            let snaplen = match interfaces.first().map(|interface| interface.snaplen) {
                None | Some(0) => u32::MAX,
                Some(snaplen) => snaplen,
            };
            let caplen = (origlen.min(snaplen) as usize).min(end - 12);
            Ok(Block::Packet(Found {
                interface: 0,
                raw_time: None,
                origlen,
                data: 12..12 + caplen,
                options: end..end,
                dropcount: None,
            }))
        }
        INTERFACE => {
            if end < 16 {
                return Err(short("an interface description block"));
            }
            let linktype = order.u16(block, 8).unwrap_or(0);
            let snaplen = order.u32(block, 12).unwrap_or(0);
            Ok(Block::Interface(Interface::described(linktype, snaplen, &options(16)?)))
        }
        STATISTICS => {
            if end < 20 {
                return Err(short("an interface statistics block"));
            }
            let interface = order.u32(block, 8).unwrap_or(0);
            let Some(described) = interfaces.get(interface as usize) else {
                return Err((8, Fault::UnknownInterface { interface, known: interfaces.len() }));
            };
            let statistics = described.statistics(&options(20)?);
            Ok(Block::Statistics { interface, statistics })
        }
        SECTION => {
            if end < 24 {
                return Err(short("a section header block"));
            }
            let (major, minor) = (order.u16(block, 12).unwrap_or(0), order.u16(block, 14).unwrap_or(0));
            // 1.2 was written by some tools for what is 1.0.
            if major != 1 {
                return Err((12, Fault::Version(major, minor)));
            }
            let comments = options(24)?.comments().map(str::to_owned).collect();
            Ok(Block::Section(order, comments))
        }
        _ => Ok(Block::Other),
    }
}

/// The part that enhanced and obsolete packet blocks share, from their time on.
#[inline]
fn packet(block: &[u8], order: Order, interface: u32, at: usize, end: usize) -> Result<Found, Damage> {
    let raw_time = order.halves(block, at);
    let caplen = order.u32(block, at + 8).unwrap_or(0);
    let origlen = order.u32(block, at + 12).unwrap_or(0);
    let start = at + 16;
    if end - start < caplen as usize {
        return Err((
            at + 8,
            Fault::Length { what: "a packet", claimed: caplen.into(), allowed: "what its block has room for" },
        ));
    }
    let stop = start + caplen as usize;
    let options = stop.next_multiple_of(4).min(end)..end;
    Ok(Found { interface, raw_time, origlen, data: start..stop, options, dropcount: None })
}
