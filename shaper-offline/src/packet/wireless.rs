//! IEEE 802.11 frames, and the headers that captures put in front of them.

use std::ops::Range;

use super::link::{self, Link};
use crate::pcapfile::linktype;

/// A frame check sequence.
const FCS: u32 = 4;
/// Fields of a PPI header looked at.
const FIELDS: usize = 32;
/// The field of PPI with the flags of an 802.11 frame.
const PPI_COMMON: u16 = 2;
/// Time, aligned to its 8 bytes, and flags behind the bitmaps of radiotap.
const RADIOTAP_FLAGS: usize = 16;

/// What stands in front of a frame.
struct Front {
    length: usize,
    /// Whether the frame check sequence is captured.
    fcs: bool,
    /// Whether the payload is aligned to four bytes.
    padded: bool,
}

impl Front {
    fn plain(length: usize) -> Self {
        Self { length, fcs: false, padded: false }
    }
}

/// `None` for other link types and where the headers in front are cut.
pub(super) fn parse(linktype: u16, data: &[u8]) -> Option<Link> {
    let front = match linktype {
        linktype::IEEE802_11 => Front::plain(0),
        linktype::RADIOTAP => radiotap(data)?,
        linktype::PRISM | linktype::AVS => prism(data)?,
        linktype::PPI => ppi(data)?,
        _ => return None,
    };
    let frame = data.get(front.length..)?;
    let trailer = if front.fcs { FCS } else { 0 };
    // Frames without a network layer, or with one that is hidden, are left whole.
    let whole = Link { trailer, ..Link::plain(0, front.length) };
    let Some(mut header) = data_header(frame) else { return Some(whole) };
    if front.padded {
        header = header.next_multiple_of(4);
    }
    match link::llc(data, front.length + header) {
        (0, _) => Some(whole),
        (ethertype, header_length) => Some(Link { trailer, ..Link::plain(ethertype, header_length) }),
    }
}

/// Tells `keep` what of the headers in front a copy of a frame must keep to be read the same way, and returns where the
/// frame itself begins. `None` as for [`parse`].
pub(crate) fn kept(linktype: u16, data: &[u8], keep: &mut dyn FnMut(Range<usize>)) -> Option<usize> {
    match linktype {
        linktype::IEEE802_11 => Some(0),
        linktype::RADIOTAP => {
            let length = radiotap(data)?.length;
            // The header, its bitmaps, and the first fields, time and flags.
            keep(0..(bitmaps_end(data)? + RADIOTAP_FLAGS).min(length));
            Some(length)
        }
        linktype::PRISM | linktype::AVS => {
            keep(0..8);
            Some(prism(data)?.length)
        }
        linktype::PPI => {
            let length = ppi(data)?.length;
            keep(0..8);
            let mut at = 8;
            for _ in 0..FIELDS {
                let (Some([a, b]), Some([c, d])) = (chunk(data, at), chunk(data, at + 2)) else { break };
                if at + 4 > length {
                    break;
                }
                let end = at + 4 + usize::from(u16::from_le_bytes([c, d]));
                // Others may say where the antenna stood.
                let common = u16::from_le_bytes([a, b]) == PPI_COMMON;
                keep(at..if common { end.min(length) } else { at + 4 });
                at = end;
            }
            Some(length)
        }
        _ => None,
    }
}

fn chunk(data: &[u8], at: usize) -> Option<[u8; 2]> {
    data.get(at..)?.first_chunk::<2>().copied()
}

/// Length of the header of a data frame that carries one packet, whole and in clear (IEEE 802.11 section 9.3.2).
fn data_header(frame: &[u8]) -> Option<usize> {
    let (&[kind, flags], sequence) = (frame.first_chunk::<2>()?, frame.get(22)?);
    let (version, class, subtype) = (kind & 3, kind >> 2 & 3, kind >> 4);
    // Bit 2 of a data frame's subtype: no data.
    if version != 0 || class != 2 || subtype & 4 != 0 {
        return None;
    }
    // Protected, more fragments to come, or not the first fragment.
    if flags & 0x40 != 0 || flags & 4 != 0 || sequence & 0xf != 0 {
        return None;
    }
    let mut length = 24;
    // From one access point to another: four addresses.
    if flags & 3 == 3 {
        length += 6;
    }
    if subtype & 8 != 0 {
        // Several packets in one frame.
        if frame.get(length)? & 0x80 != 0 {
            return None;
        }
        length += 2;
        // HT control.
        if flags & 0x80 != 0 {
            length += 4;
        }
    }
    Some(length)
}

/// <https://www.radiotap.org/>
fn radiotap(data: &[u8]) -> Option<Front> {
    let head = data.first_chunk::<8>()?;
    let [0, _, low, high, ..] = *head else { return None };
    let length = usize::from(u16::from_le_bytes([low, high]));
    if length < 8 {
        return None;
    }
    let fields = head[4];
    let mut at = bitmaps_end(data.get(..length)?)?;
    // Fields stand in the order of their bits: 0 is the time (8 bytes, aligned), 1 the flags.
    if fields & 1 != 0 {
        at = at.next_multiple_of(8) + 8;
    }
    let flags = if fields & 2 != 0 && at < length { *data.get(at)? } else { 0 };
    Some(Front { length, fcs: flags & 0x10 != 0, padded: flags & 0x20 != 0 })
}

/// Where the bitmaps of radiotap end: the top bit of each word says that another follows.
fn bitmaps_end(header: &[u8]) -> Option<usize> {
    let mut at = 8;
    while header.get(at - 1)? & 0x80 != 0 {
        at += 4;
    }
    Some(at)
}

/// Prism and AVS headers carry their length in the second word, in big endian for AVS, else in that of the host.
fn prism(data: &[u8]) -> Option<Front> {
    let words = data.first_chunk::<8>()?;
    let [a, b, c, d, length @ ..] = *words;
    let avs = u32::from_be_bytes([a, b, c, d]) & 0xffff_f000 == 0x8021_1000;
    let little = u32::from_le_bytes(length);
    let big = u32::from_be_bytes(length);
    let length = if avs || little > 0xffff { big } else { little };
    (8..=0xffff).contains(&length).then(|| Front::plain(length as usize))
}

/// The PPI specification: a header of 8 bytes, then fields of type, length and value, all in little endian.
fn ppi(data: &[u8]) -> Option<Front> {
    let head = data.first_chunk::<8>()?;
    let &[0, _, low, high, a, b, c, d] = head else { return None };
    let length = usize::from(u16::from_le_bytes([low, high]));
    if u32::from_le_bytes([a, b, c, d]) != u32::from(linktype::IEEE802_11) || length < 8 {
        return None;
    }
    let fields = data.get(8..length)?;
    let u16_at = |at: usize| Some(u16::from_le_bytes(*fields.get(at..)?.first_chunk::<2>()?));
    let mut front = Front::plain(length);
    let mut at = 0;
    for _ in 0..FIELDS {
        let (Some(kind), Some(size)) = (u16_at(at), u16_at(at + 2)) else { break };
        // 802.11-Common: the time, then flags.
        if kind == PPI_COMMON {
            front.fcs = u16_at(at + 12).is_some_and(|flags| flags & 1 != 0);
            break;
        }
        at += 4 + usize::from(size);
    }
    Some(front)
}
