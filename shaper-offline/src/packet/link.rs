//! Link layers and what stands between them and the network layer.

use super::wireless;
use crate::{
    bytes::{u16_at, u32_at},
    pcapfile::linktype,
};

pub(super) const IPV4: u16 = 0x0800;
pub(super) const IPV6: u16 = 0x86dd;
pub(super) const BRIDGED: u16 = 0x6558;
const VLAN: [u16; 3] = [0x8100, 0x88a8, 0x9100];
const MPLS: [u16; 2] = [0x8847, 0x8848];
const PPPOE_SESSION: u16 = 0x8864;
/// What is smaller is the length of an IEEE 802.3 frame (section 3.2.6).
const FIRST_ETHERTYPE: u16 = 0x0600;
/// What Linux's "cooked" headers say in place of a length.
const COOKED_LLC: u16 = 4;
/// Tags and labels followed at most; more than any network stacks.
const DEPTH: usize = 8;

pub(super) struct Link {
    /// 0 if unknown.
    pub(super) ethertype: u16,
    pub(super) vlans: [u16; 2],
    pub(super) header_length: usize,
    /// Bytes at the frame's end, on the wire, that are no part of what it carries.
    pub(super) trailer: u32,
}

impl Link {
    #[inline]
    pub(super) fn plain(ethertype: u16, header_length: usize) -> Self {
        Self { ethertype, vlans: [u16::MAX; 2], header_length, trailer: 0 }
    }
}

#[inline(always)]
pub(super) fn parse(linktype: u16, data: &[u8], origlen: u32) -> Option<Link> {
    // What nearly every capture holds.
    if linktype == linktype::ETHERNET
        && let Some(ethertype @ (IPV4 | IPV6)) = u16_at(data, 12)
    {
        return Some(Link::plain(ethertype, 14));
    }
    other(linktype, data, origlen)
}

#[inline(never)]
fn other(linktype: u16, data: &[u8], origlen: u32) -> Option<Link> {
    let link = match linktype {
        linktype::ETHERNET => Link::plain(u16_at(data, 12)?, 14),
        linktype::RAW | linktype::RAW_BSD_12 | linktype::RAW_BSD_14 | linktype::IPV4 | linktype::IPV6 => {
            Link::plain(by_version(data, 0)?, 0)
        }
        // The address family of IPv6 differs between systems; the version nibble does not.
        linktype::NULL | linktype::LOOP => Link::plain(by_version(data, 4)?, 4),
        linktype::LINUX_SLL => Link::plain(u16_at(data, 14)?, 16),
        linktype::LINUX_SLL2 => {
            data.get(..20)?;
            Link::plain(u16_at(data, 0)?, 20)
        }
        _ => rare(linktype, data)?,
    };
    if link.ethertype == IPV4 || link.ethertype == IPV6 {
        return Some(link);
    }
    if matches!(linktype, linktype::LINUX_SLL | linktype::LINUX_SLL2) && link.ethertype == COOKED_LLC {
        let (ethertype, header_length) = llc(data, link.header_length);
        return Some(Link::plain(ethertype, header_length));
    }
    let link = behind_tags(link, data);
    Some(if linktype == linktype::ETHERNET { behind_length(link, data, origlen) } else { link })
}

/// Link types that are seldom captured on.
#[cold]
fn rare(linktype: u16, data: &[u8]) -> Option<Link> {
    match linktype {
        linktype::PPP | linktype::PPP_HDLC => ppp(data, 0),
        linktype::PPP_WITH_DIRECTION => ppp(data, 1),
        linktype::PPP_ETHER => Some(Link::plain(PPPOE_SESSION, 0)),
        linktype::C_HDLC => Some(Link::plain(u16_at(data, 2)?, 4)),
        _ => wireless::parse(linktype, data),
    }
}

/// PPP (RFC 1661), with the octets of HDLC-like framing (RFC 1662) or without, or Cisco's HDLC.
fn ppp(data: &[u8], at: usize) -> Option<Link> {
    let head = data.get(at..)?;
    let at = match *head {
        [0x0f | 0x8f, 0, _, _, ..] => return Some(Link::plain(u16_at(data, at + 2)?, at + 4)),
        [0xff, 0x03, ..] => at + 2,
        _ => at,
    };
    // Protocol numbers may be compressed to their low octet, the only one that is odd.
    let first = *data.get(at)?;
    let (protocol, length) = if first & 1 == 1 { (first.into(), 1) } else { (u16_at(data, at)?, 2) };
    Some(Link::plain(by_ppp(protocol), at + length))
}

/// EtherType for a PPP protocol number, 0 if unknown.
fn by_ppp(protocol: u16) -> u16 {
    match protocol {
        0x0021 => IPV4,
        0x0057 => IPV6,
        0x0281 => MPLS[0],
        0x0283 => MPLS[1],
        _ => 0,
    }
}

/// Follows VLAN tags, MPLS labels and PPPoE from where `link` stands.
pub(super) fn behind_tags(mut link: Link, data: &[u8]) -> Link {
    let mut tags = 0;
    for _ in 0..DEPTH {
        let at = link.header_length;
        if VLAN.contains(&link.ethertype) {
            let (Some(tag), Some(next)) = (u16_at(data, at), u16_at(data, at + 2)) else { break };
            if let Some(slot) = link.vlans.get_mut(tags) {
                *slot = tag & 0x0fff;
            }
            tags += 1;
            link.ethertype = next;
            link.header_length += 4;
        } else if MPLS.contains(&link.ethertype) {
            // Bit 0 of the third octet ends the label stack.
            let Some(octet) = data.get(at + 2) else { break };
            link.header_length += 4;
            if octet & 1 == 1 {
                link.ethertype = by_version(data, link.header_length).unwrap_or(0);
            }
        } else if link.ethertype == PPPOE_SESSION {
            link.ethertype = match u16_at(data, at + 6).map(by_ppp) {
                Some(ethertype @ (IPV4 | IPV6)) => ethertype,
                _ => break,
            };
            link.header_length += 8;
        } else {
            break;
        }
    }
    link
}

/// Follows LLC in Ethernet frames that tell a length in place of a type.
pub(super) fn behind_length(link: Link, data: &[u8], origlen: u32) -> Link {
    let length = u32::from(link.ethertype);
    let held = origlen.saturating_sub(link.header_length as u32);
    // Some numbers below it are in use as types: then the frame does not have that length.
    if (1..FIRST_ETHERTYPE).contains(&link.ethertype) && length <= held {
        let (ethertype, header_length) = llc(data, link.header_length);
        return Link { ethertype, header_length, trailer: held - length, ..link };
    }
    link
}

/// EtherType behind LLC and SNAP (RFC 1042) and where that begins; 0, and where LLC begins, for other LLC.
pub(super) fn llc(data: &[u8], at: usize) -> (u16, usize) {
    let head = data.get(at..).and_then(|rest| rest.first_chunk::<8>());
    match head {
        // 00-00-f8 is the bridge tunnel's number (IEEE 802.1H), with the same meaning.
        Some([0xaa, 0xaa, 3, 0, 0, 0 | 0xf8, high, low]) => (u16::from_be_bytes([*high, *low]), at + 8),
        _ => (0, at),
    }
}

/// <https://www.tcpdump.org/linktypes/LINKTYPE_LINUX_SLL.html> and `..._SLL2.html`.
#[inline]
pub(super) fn cooked_place(linktype: u16, data: &[u8]) -> Option<u64> {
    match linktype {
        linktype::LINUX_SLL => u16_at(data, 0).map(u64::from),
        linktype::LINUX_SLL2 => Some(u64::from(u32_at(data, 4)?) << 16 | u64::from(*data.get(10)?)),
        _ => None,
    }
}

pub(super) fn by_version(data: &[u8], at: usize) -> Option<u16> {
    match data.get(at)? >> 4 {
        4 => Some(IPV4),
        6 => Some(IPV6),
        _ => Some(0),
    }
}
