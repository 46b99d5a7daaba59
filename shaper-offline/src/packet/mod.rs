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
    /// The extension header of fragments (RFC 8200 section 4.5).
    pub(crate) const FRAGMENT: u8 = 44;
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
    /// Source port in the upper half, destination port in the lower one: written and read at once, since a processor
    /// waits for what it wrote in two parts and reads as one.
    ports: u32,
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
    #[inline]
    pub fn ports(&self) -> (u16, u16) {
        ((self.ports >> 16) as u16, self.ports as u16)
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
#[inline]
pub fn parse(linktype: u16, data: &[u8], origlen: u32) -> Option<Layers<'_>> {
    let mut layers = Layers::EMPTY;
    layers.read(linktype, data, origlen).then_some(layers)
}

impl<'a> Layers<'a> {
    /// Of no frame.
    pub(crate) const EMPTY: Self = Self::empty();

    /// The same, written field by field: of a constant every byte is copied, and this has few that count.
    #[inline(always)]
    pub(crate) const fn empty() -> Self {
        Self {
            ethertype: 0,
            vlans: [u16::MAX; 2],
            tunnel: None,
            network_offset: 0,
            network: &[],
            network_length: 0,
            ip: None,
            transport: Transport::Other,
            payload: &[],
            payload_length: 0,
            ports: 0,
        }
    }

    /// The same as [`parse`], in place: layers are too large to be handed on for nothing, and too many for registers,
    /// so callers do better without all of this in them. `false` where `parse` has none, and then they are of no use.
    #[inline(never)]
    pub(crate) fn read(&mut self, linktype: u16, data: &'a [u8], origlen: u32) -> bool {
        if !self.outermost(linktype, data, origlen) {
            return false;
        }
        if !tunnel::may_be(self) {
            return true;
        }
        let innermost = tunnel::innermost(linktype, data, origlen);
        innermost.map(|innermost| *self = innermost).is_some()
    }

    /// Reads a frame, tunnels not looked through.
    #[inline(always)]
    fn outermost(&mut self, linktype: u16, data: &'a [u8], origlen: u32) -> bool {
        link::parse(linktype, data, origlen).is_some_and(|link| self.above(link, data, origlen))
    }

    /// Reads what is above the link, tunnels not looked through.
    #[inline(always)]
    fn above(&mut self, link: Link, data: &'a [u8], origlen: u32) -> bool {
        let Some(mut network) = data.get(link.header_length..) else { return false };
        let mut length = origlen.saturating_sub(link.header_length as u32);
        if link.trailer > 0 {
            length = length.saturating_sub(link.trailer);
            network = network.get(..length as usize).unwrap_or(network);
        }
        self.ethertype = link.ethertype;
        self.vlans = link.vlans;
        self.tunnel = None;
        self.network_offset = link.header_length as u32;
        let parsed = match link.ethertype {
            link::IPV4 => self.ipv4(network, length),
            link::IPV6 => self.ipv6(network, length),
            _ => None,
        };
        if parsed.is_none() {
            (self.network, self.network_length) = (network, length);
            self.ip = None;
            self.hold(Transport::Other, 0, network, length);
        }
        true
    }

    #[inline(always)]
    fn hold(&mut self, transport: Transport<'a>, ports: u32, payload: &'a [u8], length: u32) {
        self.transport = transport;
        self.ports = ports;
        self.payload = payload;
        self.payload_length = length;
    }

    #[inline(always)]
    fn ipv4(&mut self, network: &'a [u8], length: u32) -> Option<()> {
        let header = network.first_chunk::<20>()?;
        let header_length = usize::from(header[0] & 0xf) * 4;
        if header[0] >> 4 != 4 || header_length < 20 || network.len() < header_length {
            return None;
        }
        let field = |at: usize| u16::from_be_bytes([header[at], header[at + 1]]);
        let address = |at: usize| Ipv4Addr::from([header[at], header[at + 1], header[at + 2], header[at + 3]]).into();
        let total = u32::from(field(2));
        // Segmentation offload leaves a total length of 0: then the frame's own length counts.
        let total = if (total as usize) < header_length { length } else { total };
        let captured = network.len().min(total as usize).max(header_length);
        let network = network.get(..captured)?;
        // More fragments follow, or this is not the first one.
        let fragment = field(6) & 0x3fff != 0;
        let (protocol, header_length) = match header[9] {
            protocol::AUTHENTICATION => authenticated(network, fragment)?,
            protocol => (protocol, header_length),
        };
        let ip = Ip {
            source: address(12),
            destination: address(16),
            protocol,
            ttl: header[8],
            identification: Some(field(4)),
            fragment,
            header_length,
        };
        self.carried(ip, network, total)
    }

    #[inline(always)]
    fn ipv6(&mut self, network: &'a [u8], length: u32) -> Option<()> {
        let header = network.first_chunk::<40>()?;
        if header[0] >> 4 != 6 {
            return None;
        }
        let told = u32::from(u16::from_be_bytes([header[4], header[5]]));
        // 0 with a payload: a jumbogram, or segmentation offload.
        let total = if told == 0 { length } else { told + 40 };
        let captured = network.len().min(total as usize).max(40);
        let (protocol, fragment, header_length) = match header[6] {
            // Nothing stands in between.
            protocol @ (protocol::TCP | protocol::UDP | protocol::ICMPV6) => (protocol, false, 40),
            _ => extended(network, captured)?,
        };
        let network = network.get(..captured)?;
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
        self.carried(ip, network, total)
    }

    /// Takes over an IP header and reads what is behind it, in a packet of `total` bytes on the wire; `None` if it is
    /// cut within its headers.
    #[inline(always)]
    fn carried(&mut self, ip: Ip, network: &'a [u8], total: u32) -> Option<()> {
        let payload = network.get(ip.header_length..)?;
        let protocol = if ip.fragment { None } else { Some(ip.protocol) };
        let length = total.saturating_sub(ip.header_length as u32);
        self.ip = Some(ip);
        (self.network, self.network_length) = (network, total);
        self.transport(protocol, payload, length);
        Some(())
    }

    /// Reads what IP carries, `length` bytes on the wire; `None` for a fragment.
    #[inline(always)]
    fn transport(&mut self, protocol: Option<u8>, payload: &'a [u8], length: u32) {
        match protocol {
            Some(protocol::UDP) => {
                if let Some((header, rest)) = payload.split_first_chunk::<8>() {
                    let field = |at: usize| u16::from_be_bytes([header[at], header[at + 1]]);
                    // A UDP length of 0 is a jumbogram or offload; one shorter than IP's wins.
                    let told = u32::from(field(4));
                    let length = if (8..length).contains(&told) { told } else { length };
                    let length = length.saturating_sub(8);
                    let held = rest.get(..length as usize).unwrap_or(rest);
                    let udp = Transport::Udp { source: field(0), destination: field(2), checksum: field(6) };
                    let [p0, p1, p2, p3, ..] = *header;
                    return self.hold(udp, u32::from_be_bytes([p0, p1, p2, p3]), held, length);
                }
            }
            Some(protocol::TCP) => {
                if let Some(tcp) = Tcp::parse(payload) {
                    let held = payload.get(tcp.header_length..).unwrap_or_default();
                    let length = length.saturating_sub(tcp.header_length as u32);
                    let ports = u32::from(tcp.source) << 16 | u32::from(tcp.destination);
                    return self.hold(Transport::Tcp(tcp), ports, held, length);
                }
            }
            Some(protocol::ICMP | protocol::ICMPV6) if payload.len() >= 4 => {
                return self.hold(Transport::Icmp, 0, payload, length);
            }
            _ => {}
        }
        self.hold(Transport::Other, 0, payload, length);
    }
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

/// The protocol behind all extension headers of IPv6, whether it is a fragment, and the length of all headers.
#[inline(never)]
fn extended(network: &[u8], captured: usize) -> Option<(u8, bool, usize)> {
    let (slice, _) = LaxIpv6Slice::from_slice(network).ok()?;
    let payload = slice.payload();
    let end = captured.checked_sub(payload.payload.len())?;
    match later_fragment(network, end).filter(|_| payload.fragmented) {
        Some((protocol, end)) => Some((protocol, true, end)),
        None => Some((payload.ip_number.0, payload.fragmented, end)),
    }
}

/// What a fragment that is not the first is one of, and where its headers end: behind the fragment header stands content,
/// whatever headers it looks like. `end` is where they would end then.
fn later_fragment(network: &[u8], end: usize) -> Option<(u8, usize)> {
    let (mut kind, mut at) = (*network.get(6)?, 40);
    while at < end {
        let [next, length, high, low] = *network.get(at..)?.first_chunk()?;
        at += match kind {
            // The last three bits are none of the offset.
            protocol::FRAGMENT if u16::from_be_bytes([high, low]) >= 8 => return Some((next, at + 8)),
            protocol::FRAGMENT => 8,
            protocol::AUTHENTICATION => (usize::from(length) + 2) * 4,
            _ => (usize::from(length) + 1) * 8,
        };
        kind = next;
    }
    None
}

#[cfg(test)]
mod link_tests;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tunnel_tests;
