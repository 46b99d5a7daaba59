//! Tunnels, looked through: the layers are those of the innermost packet, and the outermost tunnel is kept beside them.
//!
//! Whatever does not parse inside, or says to be longer than it can be, is left as it is outside.

use std::{fmt, net::IpAddr};

use super::{
    Layers, Transport,
    link::{self, Link},
};
use crate::analyze::mix;

/// Tunnels in tunnels that are followed.
const LEVELS: u8 = 4;

const VXLAN: u16 = 4789;
/// Linux's port of VXLAN, from before there was a registered one.
const VXLAN_LINUX: u16 = 8472;
const GENEVE: u16 = 6081;
const GTP_U: u16 = 2152;
const IPV4: u8 = 4;
const IPV6: u8 = 41;
const GRE: u8 = 47;
/// EtherType of ERSPAN, versions I and II.
const ERSPAN: u16 = 0x88be;

/// Kinds of tunnels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum TunnelKind {
    /// VXLAN (RFC 7348): the id is its network identifier.
    Vxlan = 1,
    /// Geneve (RFC 8926): the id is its network identifier.
    Geneve,
    /// GRE (RFC 2784, RFC 2890): the id is its key, if it has one.
    Gre,
    /// Mirrored frames in GRE (draft-foschiano-erspan): the id is that of the session, where it is told.
    Erspan,
    /// User data of GTP (3GPP TS 29.281): the id is the tunnel endpoint identifier.
    GtpU,
    /// IP in IP (RFC 2003, RFC 4213, RFC 2473), without an id.
    IpIp,
}

/// The outermost tunnel that a packet was in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tunnel {
    /// Its kind.
    pub kind: TunnelKind,
    /// How many tunnels there are, one in another.
    pub levels: u8,
    /// Its number, where the kind has one.
    pub id: Option<u32>,
    /// Where it begins.
    pub source: IpAddr,
    /// Where it ends.
    pub destination: IpAddr,
    /// Hash of the tunnels within, 0 without.
    pub within: u32,
}

impl Tunnel {
    /// Hash of all of it.
    pub(crate) fn hash(&self) -> u64 {
        let id = u64::from(self.id.is_some()) << 32 | u64::from(self.id.unwrap_or(0));
        let head = mix(u64::from(self.kind as u8) << 40 | id, self.within.into());
        let address = |address: IpAddr| match address {
            IpAddr::V4(v4) => u64::from(v4.to_bits()),
            IpAddr::V6(v6) => mix(v6.to_bits() as u64, (v6.to_bits() >> 64) as u64),
        };
        mix(head, mix(address(self.source), address(self.destination)))
    }
}

impl fmt::Display for Tunnel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.kind {
            TunnelKind::Vxlan => "VXLAN",
            TunnelKind::Geneve => "Geneve",
            TunnelKind::Gre => "GRE",
            TunnelKind::Erspan => "ERSPAN",
            TunnelKind::GtpU => "GTP-U",
            TunnelKind::IpIp => "IP",
        })?;
        match (self.kind, self.id) {
            (TunnelKind::GtpU, Some(id)) => write!(f, " {id:#010x}")?,
            (_, Some(id)) => write!(f, " {id}")?,
            (_, None) => {}
        }
        write!(f, " {} > {}", self.source, self.destination)?;
        match self.levels {
            0 | 1 => Ok(()),
            levels => write!(f, " and {} within", levels - 1),
        }
    }
}

/// Whether there may be a tunnel, by what is at hand.
#[inline]
pub(super) fn may_be(layers: &Layers<'_>) -> bool {
    match (layers.transport, layers.ip) {
        (Transport::Udp { destination, .. }, _) => {
            matches!(destination, VXLAN | VXLAN_LINUX | GENEVE | GTP_U)
        }
        (Transport::Other, Some(ip)) => matches!(ip.protocol, IPV4 | IPV6 | GRE) && !ip.fragment,
        _ => false,
    }
}

/// The innermost packet, or the outer one where there is none inside.
#[cold]
#[inline(never)]
pub(super) fn innermost(linktype: u16, data: &[u8], origlen: u32) -> Option<Layers<'_>> {
    let mut layers = super::outermost(linktype, data, origlen)?;
    for level in 1..=LEVELS {
        if !may_be(&layers) {
            break;
        }
        let Some(inner) = inside(&layers, level) else { break };
        layers = inner;
    }
    Some(layers)
}

/// What is inside, and the tunnel it was in.
struct Inside<'a> {
    kind: TunnelKind,
    id: Option<u32>,
    /// EtherType of what begins `at` bytes into the payload.
    ethertype: u16,
    at: usize,
    payload: &'a [u8],
}

fn inside<'a>(outer: &Layers<'a>, levels: u8) -> Option<Layers<'a>> {
    let ip = outer.ip?;
    let payload = outer.payload;
    let found = match outer.transport {
        Transport::Udp { destination: VXLAN | VXLAN_LINUX, .. } => vxlan(payload),
        Transport::Udp { destination: GENEVE, .. } => geneve(payload),
        Transport::Udp { destination: GTP_U, .. } => gtp_u(payload, outer.payload_length),
        Transport::Other if ip.protocol == GRE => gre(payload),
        Transport::Other => {
            let ethertype = if ip.protocol == IPV4 { link::IPV4 } else { link::IPV6 };
            Some(Inside { kind: TunnelKind::IpIp, id: None, ethertype, at: 0, payload })
        }
        _ => None,
    }?;
    let data = found.payload.get(found.at..)?;
    let length = outer.payload_length.checked_sub(found.at as u32)?;
    let link = if found.ethertype == link::BRIDGED {
        Link::plain(link::u16_at(data, 12)?, 14)
    } else {
        Link::plain(found.ethertype, 0)
    };
    let mut link = link::behind_tags(link, data);
    if found.ethertype == link::BRIDGED {
        link = link::behind_length(link, data, length);
    }
    let header = link.header_length as u32;
    if matches!(link.ethertype, link::IPV4 | link::IPV6)
        && link::by_version(data, link.header_length)? != link.ethertype
    {
        return None;
    }
    let inner = super::above(link, data, length)?;
    let believable = match inner.ethertype {
        link::IPV4 | link::IPV6 => inner.ip.is_some() && inner.network_length.checked_add(header)? <= length,
        // Frames of other protocols that are bridged.
        _ => found.ethertype == link::BRIDGED,
    };
    if !believable {
        return None;
    }
    let this =
        Tunnel { kind: found.kind, levels: 1, id: found.id, source: ip.source, destination: ip.destination, within: 0 };
    let tunnel = match outer.tunnel {
        None => this,
        Some(first) => Tunnel { levels, within: mix(first.within.into(), this.hash()) as u32, ..first },
    };
    // Where only the outer frame is tagged, its tags are all there is to tell.
    let vlans = if inner.vlans == [u16::MAX; 2] { outer.vlans } else { inner.vlans };
    let network_offset = outer.network_offset + (header_length(outer) + found.at) as u32 + header;
    Some(Layers { tunnel: Some(tunnel), vlans, network_offset, ..inner })
}

/// Bytes from the network layer to the payload.
fn header_length(layers: &Layers<'_>) -> usize {
    let transport = if matches!(layers.transport, Transport::Udp { .. }) { 8 } else { 0 };
    layers.ip.map_or(0, |ip| ip.header_length) + transport
}

/// RFC 7348 section 5; with the group policy extension (draft-smith-vxlan-group-policy) reserved bits are in use.
fn vxlan(payload: &[u8]) -> Option<Inside<'_>> {
    let &[flags, a, b, c, v0, v1, v2, 0] = payload.first_chunk::<8>()? else { return None };
    let reserved = [a, b, c] != [0; 3];
    match flags {
        0x08 if !reserved => {}
        0x88 => {}
        _ => return None,
    }
    let id = u32::from_be_bytes([0, v0, v1, v2]);
    Some(Inside { kind: TunnelKind::Vxlan, id: Some(id), ethertype: link::BRIDGED, at: 8, payload })
}

/// RFC 8926 section 3.4.
fn geneve(payload: &[u8]) -> Option<Inside<'_>> {
    let &[first, flags, p0, p1, v0, v1, v2, 0] = payload.first_chunk::<8>()? else { return None };
    if first >> 6 != 0 || flags & 0x3f != 0 {
        return None;
    }
    let ethertype = u16::from_be_bytes([p0, p1]);
    let id = u32::from_be_bytes([0, v0, v1, v2]);
    let at = 8 + usize::from(first & 0x3f) * 4;
    Some(Inside { kind: TunnelKind::Geneve, id: Some(id), ethertype, at, payload })
}

/// 3GPP TS 29.281 sections 5.1 and 5.2: version 1, user data.
fn gtp_u(payload: &[u8], length: u32) -> Option<Inside<'_>> {
    let &[flags, 255, l0, l1, t0, t1, t2, t3] = payload.first_chunk::<8>()? else { return None };
    if flags & 0xf8 != 0x30 || u32::from(u16::from_be_bytes([l0, l1])) + 8 > length {
        return None;
    }
    let id = u32::from_be_bytes([t0, t1, t2, t3]);
    let mut at = 8;
    if flags & 7 != 0 {
        at += 4;
        let mut next = if flags & 4 != 0 { *payload.get(11)? } else { 0 };
        while next != 0 {
            // In words of four bytes, of which the last byte names the header behind it.
            let size = usize::from(*payload.get(at)?) * 4;
            if size == 0 {
                return None;
            }
            at += size;
            next = *payload.get(at - 1)?;
        }
    }
    let ethertype = link::by_version(payload, at).filter(|&ethertype| ethertype != 0)?;
    Some(Inside { kind: TunnelKind::GtpU, id: Some(id), ethertype, at, payload })
}

/// RFC 2784 with the key and sequence number of RFC 2890; other flags, routing among them, are of other versions.
fn gre(payload: &[u8]) -> Option<Inside<'_>> {
    let (flags, ethertype) = (link::u16_at(payload, 0)?, link::u16_at(payload, 2)?);
    if flags & !0xb000 != 0 {
        return None;
    }
    let (checksum, key, sequence) = (flags & 0x8000 != 0, flags & 0x2000 != 0, flags & 0x1000 != 0);
    let mut at = 4 + if checksum { 4 } else { 0 };
    let word = |at: usize| Some(u32::from_be_bytes(*payload.get(at..)?.first_chunk::<4>()?));
    let mut id = None;
    if key {
        id = Some(word(at)?);
        at += 4;
    }
    if sequence {
        at += 4;
    }
    if ethertype != ERSPAN {
        return Some(Inside { kind: TunnelKind::Gre, id, ethertype, at, payload });
    }
    // Version II numbers its packets and has a header: version, VLAN, session.
    if sequence {
        let header = word(at)?;
        if header >> 28 != 1 {
            return None;
        }
        id = Some(header & 0x3ff);
        at += 8;
    }
    Some(Inside { kind: TunnelKind::Erspan, id, ethertype: link::BRIDGED, at, payload })
}
