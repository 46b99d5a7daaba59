//! What is read from a packet: whether it is control traffic, its flow, and its layer-4 checksum.
//!
//! The same parser runs over packet memory in the kernel and over captured bytes in userspace, so that
//! a record finds its packet in a capture.

use crate::pipeline::Packet;
use crate::units::Nanos;

/// Bounds-checked access to the bytes of a frame.
///
/// There is no single byte to be had: the verifier takes nothing from the check that compilers make of
/// one (`pointer < end` at offset zero).
pub trait Bytes {
    /// The big-endian 16-bit word at `at`.
    fn u16(&self, at: usize) -> Option<u16>;
    /// The big-endian 32-bit word at `at`.
    fn u32(&self, at: usize) -> Option<u32>;
}

impl Bytes for [u8] {
    #[inline]
    fn u16(&self, at: usize) -> Option<u16> {
        Some(u16::from_be_bytes(*self.get(at..)?.first_chunk()?))
    }

    #[inline]
    fn u32(&self, at: usize) -> Option<u32> {
        Some(u32::from_be_bytes(*self.get(at..)?.first_chunk()?))
    }
}

/// What a packet is to a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Impaired and counted.
    Data,
    /// ARP, neighbour discovery, IGMP or MLD: passes, and takes no index.
    Control,
}

/// What the parser found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Summary {
    /// Data or control.
    pub kind: Kind,
    /// Hash over protocol, addresses and ports; over addresses and protocol alone for fragments; zero
    /// for what is not IP or is cut short.
    pub flow_hash: u32,
    /// UDP, TCP or ICMP checksum as it stands in the packet; zero where there is none.
    pub l4_checksum: u16,
}

impl Summary {
    const OTHER: Self = Self { kind: Kind::Data, flow_hash: 0, l4_checksum: 0 };
    const CONTROL: Self = Self { kind: Kind::Control, flow_hash: 0, l4_checksum: 0 };

    /// What the decision knows of a packet of `len` bytes that arrives `now`.
    #[inline(always)]
    #[must_use]
    pub const fn packet(&self, now: Nanos, len: u32) -> Packet {
        Packet { now, len, flow_hash: self.flow_hash, network: 0, transport: 0, payload: 0, ecn: 0 }
    }
}

const ETHERTYPE: usize = 12;
const IPV4: u16 = 0x0800;
const ARP: u16 = 0x0806;
const VLAN: u16 = 0x8100;
const IPV6: u16 = 0x86dd;
const QINQ: u16 = 0x88a8;

const HOP_BY_HOP: u8 = 0;
const ICMP: u8 = 1;
const IGMP: u8 = 2;
const TCP: u8 = 6;
const UDP: u8 = 17;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
const ICMPV6: u8 = 58;
const DESTINATION: u8 = 60;

/// VLAN tags that are looked through.
const TAGS: usize = 2;
/// IPv6 extension headers that are looked through.
const EXTENSIONS: usize = 4;

/// One step of a 32-bit mixing hash (the round of MurmurHash3, public domain).
#[inline(always)]
const fn mix(hash: u32, word: u32) -> u32 {
    let word = word.wrapping_mul(0xcc9e_2d51).rotate_left(15).wrapping_mul(0x1b87_3593);
    (hash ^ word).rotate_left(13).wrapping_mul(5).wrapping_add(0xe654_6b64)
}

/// Reads an Ethernet frame.
#[inline(always)]
#[must_use]
pub fn summary<B: Bytes + ?Sized>(frame: &B) -> Summary {
    read(frame).unwrap_or(Summary::OTHER)
}

#[inline(always)]
fn read<B: Bytes + ?Sized>(frame: &B) -> Option<Summary> {
    let mut at = ETHERTYPE;
    let mut ethertype = frame.u16(at)?;
    let mut tag = 0;
    while tag < TAGS {
        if ethertype == VLAN || ethertype == QINQ {
            at += 4;
            ethertype = frame.u16(at)?;
        }
        tag += 1;
    }
    at += 2;
    match ethertype {
        IPV4 => ipv4(frame, at),
        IPV6 => ipv6(frame, at),
        ARP => Some(Summary::CONTROL),
        _ => None,
    }
}

#[inline(always)]
fn ipv4<B: Bytes + ?Sized>(frame: &B, at: usize) -> Option<Summary> {
    let header = ((frame.u16(at)? >> 8 & 0xf) as usize) * 4;
    let fragment = frame.u16(at + 6)? & 0x3fff != 0;
    let protocol = frame.u16(at + 8)? as u8;
    if protocol == IGMP {
        return Some(Summary::CONTROL);
    }
    let hash = mix(mix(protocol as u32, frame.u32(at + 12)?), frame.u32(at + 16)?);
    if fragment {
        return Some(Summary { kind: Kind::Data, flow_hash: hash, l4_checksum: 0 });
    }
    layer4(frame, at + header, protocol, hash)
}

#[inline(always)]
fn ipv6<B: Bytes + ?Sized>(frame: &B, at: usize) -> Option<Summary> {
    let mut protocol = (frame.u16(at + 6)? >> 8) as u8;
    let mut addresses = 0;
    let mut word = 0;
    while word < 8 {
        addresses = mix(addresses, frame.u32(at + 8 + 4 * word)?);
        word += 1;
    }
    let mut at = at + 40;
    let mut extension = 0;
    while extension < EXTENSIONS {
        if protocol == FRAGMENT {
            return Some(Summary { kind: Kind::Data, flow_hash: mix(addresses, protocol as u32), l4_checksum: 0 });
        }
        if protocol == HOP_BY_HOP || protocol == ROUTING || protocol == DESTINATION {
            // One read for both: the verifier does not carry the check of one over to the other.
            let [next, units] = frame.u16(at)?.to_be_bytes();
            protocol = next;
            at += (units as usize + 1) * 8;
        }
        extension += 1;
    }
    if protocol == ICMPV6 {
        let message = frame.u16(at)? >> 8;
        // RFC 4861 (133 to 137), RFC 2710 and RFC 3810 (130 to 132, 143).
        if (130..=137).contains(&message) || message == 143 {
            return Some(Summary::CONTROL);
        }
    }
    layer4(frame, at, protocol, mix(addresses, protocol as u32))
}

#[inline(always)]
fn layer4<B: Bytes + ?Sized>(frame: &B, at: usize, protocol: u8, hash: u32) -> Option<Summary> {
    let (hash, checksum) = match protocol {
        UDP => (mix(hash, frame.u32(at)?), frame.u16(at + 6)?),
        TCP => (mix(hash, frame.u32(at)?), frame.u16(at + 16)?),
        ICMP | ICMPV6 => (hash, frame.u16(at + 2)?),
        _ => (hash, 0),
    };
    Some(Summary { kind: Kind::Data, flow_hash: hash, l4_checksum: checksum })
}
