//! Headers of a captured frame, from the link layer up, also where the capture cut the packet. Tunnels are looked
//! through.

mod link;
mod tcp;
mod tunnel;
mod wireless;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use etherparse::{LaxIpv4Slice, LaxIpv6Slice};

use link::Link;
pub use tcp::Tcp;
pub(crate) use tunnel::{Level, levels, payload_offset};
pub use tunnel::{Tunnel, TunnelKind};
pub(crate) use wireless::kept as kept_of_wireless;

/// Protocol numbers used here.
pub(crate) mod protocol {
    pub(crate) const ICMP: u8 = 1;
    pub(crate) const TCP: u8 = 6;
    pub(crate) const UDP: u8 = 17;
    pub(crate) const AUTHENTICATION: u8 = 51;
    pub(crate) const ICMPV6: u8 = 58;
}

/// Layers of one frame, of the innermost packet where it is in a tunnel.
#[derive(Clone, Copy, Debug)]
pub struct Layers<'a> {
    /// EtherType of what follows link layer and tags (0x0800, 0x86dd, 0x0806 …), 0 if unknown.
    pub ethertype: u16,
    /// VLAN ids, outermost first; 0xffff where there is none.
    pub vlans: [u16; 2],
    /// The outermost tunnel, if there is one.
    pub tunnel: Option<Tunnel>,
    /// Where in the frame the network layer begins.
    pub network_offset: u32,
    /// The network layer as captured, without link-layer padding.
    pub network: &'a [u8],
    /// Length of the network layer on the wire.
    pub network_length: u32,
    /// IP header, if there is one.
    pub ip: Option<Ip>,
    /// What IP carries.
    pub transport: Transport<'a>,
    /// Transport payload as captured: of ICMP and unknown protocols everything behind IP.
    pub payload: &'a [u8],
    /// Length of that payload on the wire.
    pub payload_length: u32,
}

/// An IP header, version 4 or 6.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ip {
    /// Source address.
    pub source: IpAddr,
    /// Destination address.
    pub destination: IpAddr,
    /// Protocol behind all extension headers.
    pub protocol: u8,
    /// Time to live, or hop limit.
    pub ttl: u8,
    /// IPv4 identification.
    pub identification: Option<u16>,
    /// Whether the packet is a fragment, also the first one.
    pub fragment: bool,
    /// Length of the header with options and extension headers.
    pub header_length: usize,
}

/// Transport layers told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport<'a> {
    /// UDP.
    Udp {
        /// Source port.
        source: u16,
        /// Destination port.
        destination: u16,
        /// Checksum field; 0 means none.
        checksum: u16,
    },
    /// TCP.
    Tcp(Tcp<'a>),
    /// ICMP for either IP version; its header is part of the payload.
    Icmp,
    /// A fragment, an unknown protocol or a header that the capture cut.
    Other,
}

impl Layers<'_> {
    /// Source and destination port, 0 where there are none.
    #[must_use]
    pub fn ports(&self) -> (u16, u16) {
        match self.transport {
            Transport::Udp { source, destination, .. } => (source, destination),
            Transport::Tcp(tcp) => (tcp.source, tcp.destination),
            Transport::Icmp | Transport::Other => (0, 0),
        }
    }
}

/// Interface and packet type (received, sent, passed on …) of a Linux "cooked" header, as one number;
/// version 1 tells no interface. `None` for other link types.
#[must_use]
#[inline]
pub fn cooked_place(linktype: u16, data: &[u8]) -> Option<u64> {
    link::cooked_place(linktype, data)
}

/// Parses a frame of the given link type; `origlen` is its length on the wire. `None` for link
/// types this crate does not know and frames too short for their link header.
#[must_use]
#[inline(always)]
pub fn parse(linktype: u16, data: &[u8], origlen: u32) -> Option<Layers<'_>> {
    let layers = outermost(linktype, data, origlen)?;
    // Read anew: handed on, the layers would have to be in memory, also for packets that are in no tunnel.
    if tunnel::may_be(&layers) { tunnel::innermost(linktype, data, origlen) } else { Some(layers) }
}

/// Layers of a frame, tunnels not looked through.
#[inline(always)]
fn outermost(linktype: u16, data: &[u8], origlen: u32) -> Option<Layers<'_>> {
    above(link::parse(linktype, data, origlen)?, data, origlen)
}

/// Layers above the link, tunnels not looked through.
#[inline(always)]
fn above(link: Link, data: &[u8], origlen: u32) -> Option<Layers<'_>> {
    let mut network = data.get(link.header_length..)?;
    let mut network_length = origlen.saturating_sub(link.header_length as u32);
    if link.trailer > 0 {
        network_length = network_length.saturating_sub(link.trailer);
        network = network.get(..network_length as usize).unwrap_or(network);
    }
    let plain = Layers {
        ethertype: link.ethertype,
        vlans: link.vlans,
        tunnel: None,
        network_offset: link.header_length as u32,
        network,
        network_length,
        ip: None,
        transport: Transport::Other,
        payload: network,
        payload_length: network_length,
    };
    let parsed = match link.ethertype {
        link::IPV4 => ipv4(plain),
        link::IPV6 => ipv6(plain),
        _ => None,
    };
    Some(parsed.unwrap_or(plain))
}

#[inline(always)]
fn ipv4(layers: Layers<'_>) -> Option<Layers<'_>> {
    let header = layers.network.first_chunk::<20>()?;
    let header_length = usize::from(header[0] & 0xf) * 4;
    if header[0] >> 4 != 4 || header_length < 20 || layers.network.len() < header_length {
        return None;
    }
    let [_, _, t0, t1, i0, i1, f0, f1, ttl, protocol, _, _, s0, s1, s2, s3, d0, d1, d2, d3] = *header;
    let total = u32::from(u16::from_be_bytes([t0, t1]));
    // Segmentation offload leaves a total length of 0: then the frame's own length counts.
    let total = if (total as usize) < header_length { layers.network_length } else { total };
    let captured = layers.network.len().min(total as usize).max(header_length);
    // More fragments follow, or this is not the first one.
    let fragment = u16::from_be_bytes([f0, f1]) & 0x3fff != 0;
    let (protocol, header_length) = match protocol {
        protocol::AUTHENTICATION => authenticated(layers.network.get(..captured)?, fragment)?,
        protocol => (protocol, header_length),
    };
    let ip = Ip {
        source: Ipv4Addr::new(s0, s1, s2, s3).into(),
        destination: Ipv4Addr::new(d0, d1, d2, d3).into(),
        protocol,
        ttl,
        identification: Some(u16::from_be_bytes([i0, i1])),
        fragment,
        header_length,
    };
    Some(transport(layers, ip, layers.network.get(header_length..captured)?, captured, total))
}

/// The protocol behind an authentication header of IPv4, and the length of all headers before that.
#[cold]
fn authenticated(network: &[u8], fragment: bool) -> Option<(u8, usize)> {
    if fragment {
        return Some((protocol::AUTHENTICATION, usize::from(network.first()? & 0xf) * 4));
    }
    let (slice, _) = LaxIpv4Slice::from_slice(network).ok()?;
    let payload = slice.payload();
    Some((payload.ip_number.0, network.len().checked_sub(payload.payload.len())?))
}

#[inline]
fn ipv6(layers: Layers<'_>) -> Option<Layers<'_>> {
    let header = layers.network.first_chunk::<40>()?;
    if header[0] >> 4 != 6 {
        return None;
    }
    let length = u32::from(u16::from_be_bytes([header[4], header[5]]));
    // 0 with a payload: a jumbogram, or segmentation offload.
    let total = if length == 0 { layers.network_length } else { length + 40 };
    let captured = layers.network.len().min(total as usize).max(40);
    let (protocol, fragment, header_length) = match header[6] {
        // Nothing stands in between.
        protocol @ (protocol::TCP | protocol::UDP | protocol::ICMPV6) => (protocol, false, 40),
        _ => extended(layers.network, captured)?,
    };
    let address = |at: usize| {
        let octets = header.get(at..).and_then(|rest| rest.first_chunk::<16>()).copied();
        Ipv6Addr::from(octets.unwrap_or_default()).into()
    };
    let ip = Ip {
        source: address(8),
        destination: address(24),
        protocol,
        ttl: header[7],
        identification: None,
        fragment,
        header_length,
    };
    Some(transport(layers, ip, layers.network.get(header_length..captured)?, captured, total))
}

/// The protocol behind all extension headers of IPv6, whether it is a fragment, and the length of all headers.
#[inline(never)]
fn extended(network: &[u8], captured: usize) -> Option<(u8, bool, usize)> {
    let (slice, _) = LaxIpv6Slice::from_slice(network).ok()?;
    let payload = slice.payload();
    Some((payload.ip_number.0, payload.fragmented, captured.checked_sub(payload.payload.len())?))
}

#[inline(always)]
fn transport<'a>(layers: Layers<'a>, ip: Ip, payload: &'a [u8], captured: usize, total: u32) -> Layers<'a> {
    let length = total.saturating_sub(ip.header_length as u32);
    let network = layers.network.get(..captured).unwrap_or(layers.network);
    let base = Layers { network, network_length: total, ip: Some(ip), payload, payload_length: length, ..layers };
    if ip.fragment {
        return base;
    }
    match ip.protocol {
        protocol::UDP => {
            let Some(header) = payload.first_chunk::<8>() else { return base };
            let field = |at: usize| u16::from_be_bytes([header[at], header[at + 1]]);
            // A UDP length of 0 is a jumbogram or offload; one shorter than IP's wins.
            let told = u32::from(field(4));
            let length = if (8..length).contains(&told) { told } else { length };
            let rest = payload.get(8..).unwrap_or_default();
            let held = rest.len().min(length as usize - 8.min(length as usize));
            Layers {
                transport: Transport::Udp { source: field(0), destination: field(2), checksum: field(6) },
                payload: rest.get(..held).unwrap_or(rest),
                payload_length: length.saturating_sub(8),
                ..base
            }
        }
        protocol::TCP => match Tcp::parse(payload) {
            Some(tcp) => Layers {
                transport: Transport::Tcp(tcp),
                payload: payload.get(tcp.header_length..).unwrap_or_default(),
                payload_length: length.saturating_sub(tcp.header_length as u32),
                ..base
            },
            None => base,
        },
        protocol::ICMP | protocol::ICMPV6 if payload.len() >= 4 => Layers { transport: Transport::Icmp, ..base },
        _ => base,
    }
}

#[cfg(test)]
mod link_tests;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tunnel_tests;
