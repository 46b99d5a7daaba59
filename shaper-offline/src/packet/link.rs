//! Link layers and what stands between them and the network layer.

use crate::pcapfile::linktype;

pub(super) const IPV4: u16 = 0x0800;
pub(super) const IPV6: u16 = 0x86dd;
const VLAN: [u16; 3] = [0x8100, 0x88a8, 0x9100];
const MPLS: [u16; 2] = [0x8847, 0x8848];
const PPPOE_SESSION: u16 = 0x8864;
/// Tags and labels followed at most; more than any network stacks.
const DEPTH: usize = 8;

pub(super) struct Link {
    pub(super) ethertype: u16,
    pub(super) vlans: [u16; 2],
    pub(super) header_length: usize,
}

#[inline]
pub(super) fn parse(linktype: u16, data: &[u8]) -> Option<Link> {
    let (ethertype, header_length) = match linktype {
        linktype::ETHERNET => (u16_at(data, 12)?, 14),
        linktype::RAW | linktype::RAW_BSD_12 | linktype::RAW_BSD_14 | linktype::IPV4 | linktype::IPV6 => {
            (by_version(data, 0)?, 0)
        }
        // The address family of IPv6 differs between systems; the version nibble does not.
        linktype::NULL | linktype::LOOP => (by_version(data, 4)?, 4),
        linktype::LINUX_SLL => (u16_at(data, 14)?, 16),
        linktype::LINUX_SLL2 => {
            data.get(..20)?;
            (u16_at(data, 0)?, 20)
        }
        _ => return None,
    };
    let mut link = Link { ethertype, vlans: [u16::MAX; 2], header_length };
    if ethertype == IPV4 || ethertype == IPV6 {
        return Some(link);
    }
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
            link.ethertype = match u16_at(data, at + 6) {
                Some(0x0021) => IPV4,
                Some(0x0057) => IPV6,
                _ => break,
            };
            link.header_length += 8;
        } else {
            break;
        }
    }
    Some(link)
}

/// <https://www.tcpdump.org/linktypes/LINKTYPE_LINUX_SLL.html> and `..._SLL2.html`.
#[inline]
pub(super) fn cooked_place(linktype: u16, data: &[u8]) -> Option<u64> {
    match linktype {
        linktype::LINUX_SLL => u16_at(data, 0).map(u64::from),
        linktype::LINUX_SLL2 => {
            let interface = u32::from_be_bytes(*data.get(4..)?.first_chunk::<4>()?);
            Some(u64::from(interface) << 16 | u64::from(*data.get(10)?))
        }
        _ => None,
    }
}

fn by_version(data: &[u8], at: usize) -> Option<u16> {
    match data.get(at)? >> 4 {
        4 => Some(IPV4),
        6 => Some(IPV6),
        _ => Some(0),
    }
}

fn u16_at(data: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(*data.get(at..)?.first_chunk::<2>()?))
}
