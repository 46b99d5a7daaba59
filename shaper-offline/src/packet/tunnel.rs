//! Tunnels, looked through: the layers are those of the innermost packet, and the outermost tunnel is kept beside them.
//!
//! Whatever does not parse inside, or says to be longer than it can be, is left as it is outside.

use std::{fmt, net::IpAddr, num::NonZeroU64};

use super::{
    Layers, Transport,
    link::{self, Link},
};
use crate::{
    analyze::mix,
    bytes::{u16_at, u32_at},
};

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

/// The outermost tunnel that a packet was in, in one word: every packet has room for it, and most are in none.
///
/// From the top: four bits of the kind, three of the levels, one for whether there is an id, 32 of the id, 24 of the
/// path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tunnel(NonZeroU64);

impl Tunnel {
    const PATH: u64 = 0xff_ffff;

    pub(crate) fn new(kind: TunnelKind, id: Option<u32>, path: u64) -> Option<Self> {
        let number = u64::from(id.is_some()) << 56 | u64::from(id.unwrap_or(0)) << 24;
        NonZeroU64::new((kind as u64) << 60 | 1 << 57 | number | path & Self::PATH).map(Self)
    }

    /// The same, with another tunnel in it that is the `levels`th.
    fn around(self, inner: Self, levels: u8) -> Option<Self> {
        let path = mix(self.bits(), inner.bits()) & Self::PATH;
        let kept = self.bits() & !(Self::PATH | 7 << 57);
        NonZeroU64::new(kept | u64::from(levels & 7) << 57 | path).map(Self)
    }

    /// All of it as a number, which is equal for equal tunnels.
    #[inline]
    pub(crate) fn bits(self) -> u64 {
        self.0.get()
    }

    /// The same with another number of the path.
    pub(crate) fn with_path(self, path: u32) -> Self {
        // The kind is in it, so it is never 0.
        NonZeroU64::new(self.bits() & !Self::PATH | u64::from(path) & Self::PATH).map_or(self, Self)
    }

    /// Its kind.
    #[must_use]
    pub fn kind(self) -> TunnelKind {
        match self.bits() >> 60 {
            1 => TunnelKind::Vxlan,
            2 => TunnelKind::Geneve,
            3 => TunnelKind::Gre,
            4 => TunnelKind::Erspan,
            5 => TunnelKind::GtpU,
            _ => TunnelKind::IpIp,
        }
    }

    /// How many tunnels there are, one in another.
    #[must_use]
    pub fn levels(self) -> u8 {
        (self.bits() >> 57 & 7) as u8
    }

    /// Its number, where the kind has one.
    #[must_use]
    pub fn id(self) -> Option<u32> {
        (self.bits() >> 56 & 1 == 1).then_some((self.bits() >> 24) as u32)
    }

    /// A hash of 24 bits of both ends, and of the tunnels within.
    #[must_use]
    pub fn path(self) -> u32 {
        (self.bits() & Self::PATH) as u32
    }
}

impl fmt::Display for Tunnel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.kind() {
            TunnelKind::Vxlan => "VXLAN",
            TunnelKind::Geneve => "Geneve",
            TunnelKind::Gre => "GRE",
            TunnelKind::Erspan => "ERSPAN",
            TunnelKind::GtpU => "GTP-U",
            TunnelKind::IpIp => "IP",
        })?;
        match (self.kind(), self.id()) {
            (TunnelKind::GtpU, Some(id)) => write!(f, " {id:#010x}")?,
            (_, Some(id)) => write!(f, " {id}")?,
            (_, None) => {}
        }
        if self.levels() > 1 {
            write!(f, " and {} within", self.levels() - 1)?;
        }
        write!(f, " (path {:06x})", self.path())
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
    let mut layers = Layers::EMPTY;
    if !layers.outermost(linktype, data, origlen) {
        return None;
    }
    for level in 1..=LEVELS {
        if !may_be(&layers) {
            break;
        }
        let Some((inner, _)) = inside(&layers, level) else { break };
        layers = inner;
    }
    Some(layers)
}

/// One packet of those that a frame holds, one in the other.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Level<'a> {
    pub(crate) layers: Layers<'a>,
    /// Where in the frame its link header begins, or the network layer where there is none.
    pub(crate) link_at: usize,
    /// Whether that is one of Ethernet, in a tunnel.
    pub(crate) bridged: bool,
    /// The tunnel that it is in, the innermost of several.
    pub(crate) tunnel: Option<TunnelKind>,
}

/// The packets of a frame, the outermost first; none where its link header cannot be read.
pub(crate) fn levels(linktype: u16, data: &[u8], origlen: u32) -> Vec<Level<'_>> {
    let mut layers = Layers::EMPTY;
    if !layers.outermost(linktype, data, origlen) {
        return Vec::new();
    }
    let mut last = Level { layers, link_at: 0, bridged: false, tunnel: None };
    let mut levels = vec![last];
    for level in 1..=LEVELS {
        if !may_be(&last.layers) {
            break;
        }
        let Some((layers, found)) = inside(&last.layers, level) else { break };
        let link_at = payload_offset(&last.layers) + found.at;
        last = Level { layers, link_at, bridged: found.ethertype == link::BRIDGED, tunnel: Some(found.kind) };
        levels.push(last);
    }
    levels
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

fn inside<'a>(outer: &Layers<'a>, levels: u8) -> Option<(Layers<'a>, Inside<'a>)> {
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
        Link::plain(u16_at(data, 12)?, 14)
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
    let mut inner = Layers::EMPTY;
    if !inner.above(link, data, length) {
        return None;
    }
    let believable = match inner.ethertype {
        link::IPV4 | link::IPV6 => inner.ip.is_some() && inner.network_length.checked_add(header)? <= length,
        // Frames of other protocols that are bridged.
        _ => found.ethertype == link::BRIDGED,
    };
    if !believable {
        return None;
    }
    let address = |address: IpAddr| match address {
        IpAddr::V4(v4) => u64::from(v4.to_bits()),
        IpAddr::V6(v6) => mix(v6.to_bits() as u64, (v6.to_bits() >> 64) as u64),
    };
    // The same for both directions.
    let (one, other) = (address(ip.source), address(ip.destination));
    let this = Tunnel::new(found.kind, found.id, mix(one.min(other), one.max(other)))?;
    let tunnel = match outer.tunnel {
        None => Some(this),
        Some(first) => first.around(this, levels),
    };
    // Where only the outer frame is tagged, its tags are all there is to tell.
    let vlans = if inner.vlans == [u16::MAX; 2] { outer.vlans } else { inner.vlans };
    let network_offset = (payload_offset(outer) + found.at) as u32 + header;
    Some((Layers { tunnel, vlans, network_offset, ..inner }, found))
}

/// Where in the frame the payload begins.
pub(crate) fn payload_offset(layers: &Layers<'_>) -> usize {
    let transport = match layers.transport {
        Transport::Udp { .. } => 8,
        Transport::Tcp(tcp) => tcp.header_length,
        Transport::Icmp | Transport::Other => 0,
    };
    layers.network_offset as usize + layers.ip.map_or(0, |ip| ip.header_length) + transport
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
    let (flags, ethertype) = (u16_at(payload, 0)?, u16_at(payload, 2)?);
    if flags & !0xb000 != 0 {
        return None;
    }
    let (checksum, key, sequence) = (flags & 0x8000 != 0, flags & 0x2000 != 0, flags & 0x1000 != 0);
    let mut at = 4 + if checksum { 4 } else { 0 };
    let mut id = None;
    if key {
        id = Some(u32_at(payload, at)?);
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
        let header = u32_at(payload, at)?;
        if header >> 28 != 1 {
            return None;
        }
        id = Some(header & 0x3ff);
        at += 8;
    }
    Some(Inside { kind: TunnelKind::Erspan, id, ethertype: link::BRIDGED, at, payload })
}
