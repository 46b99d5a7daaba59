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
    /// Where its parts lie.
    pub parts: Parts,
}

/// Where the parts of a packet lie, in bytes from the beginning of the frame; zero for what is not there.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Parts {
    /// The network header.
    pub network: u16,
    /// The transport header.
    pub transport: u16,
    /// What is behind it; right behind the network header where the protocol is not known.
    pub payload: u16,
    /// The ECN field of the network header (RFC 3168): zero where the packet cannot be marked.
    pub ecn: u16,
    /// The checksum of the transport header.
    pub checksum: u16,
}

impl Parts {
    const NONE: Self = Self { network: 0, transport: 0, payload: 0, ecn: 0, checksum: 0 };

    /// A packet of which only the network header is known, and whose version is the one that its ethertype says or not:
    /// one of another cannot be marked, since a mark goes by the version.
    #[inline(always)]
    const fn network(at: usize, ecn: u16, is_version: bool) -> Self {
        Self { network: at as u16, ecn: (ecn & 3) * is_version as u16, ..Self::NONE }
    }
}

impl Summary {
    const OTHER: Self = Self { kind: Kind::Data, flow_hash: 0, l4_checksum: 0, parts: Parts::NONE };
    const CONTROL: Self = Self { kind: Kind::Control, ..Self::OTHER };

    /// What the decision knows of a packet of `len` bytes that arrives `now`.
    #[inline(always)]
    #[must_use]
    pub const fn packet(&self, now: Nanos, len: u32) -> Packet {
        let Parts { network, transport, payload, ecn, .. } = self.parts;
        Packet { now, len, flow_hash: self.flow_hash, network, transport, payload, ecn }
    }
}

const ETHERTYPE: usize = 12;
const IPV4: u16 = 0x0800;
const ARP: u16 = 0x0806;
const VLAN: u16 = 0x8100;
const IPV6: u16 = 0x86dd;
const QINQ: u16 = 0x88a8;

const HOP_BY_HOP: u8 = 0;
pub(crate) const ICMP: u8 = 1;
const IGMP: u8 = 2;
pub(crate) const TCP: u8 = 6;
pub(crate) const UDP: u8 = 17;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
pub(crate) const ICMPV6: u8 = 58;
const DESTINATION: u8 = 60;
pub(crate) const SCTP: u8 = 132;

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
    walk(frame, &mut NoNotes)
}

/// What is taken down on a walk through the headers, beside the summary: in the order of the headers.
pub(crate) trait Notes<B: Bytes + ?Sized> {
    /// Whether anything is: a walk that takes no notes ends where the summary is complete.
    const TAKEN: bool;
    /// A tag, the outermost with number 0, and its 16 bits of priority and identifier.
    fn tag(&mut self, number: u32, control: u16);
    /// The type behind all tags; everything before it lies within the frame.
    fn ethertype(&mut self, frame: &B, ethertype: u16);
    /// Not IP: nothing follows.
    fn other(&mut self);
    /// An IPv4 header: where it begins, its first 16 bits, and those with flags and fragment offset.
    fn ipv4(&mut self, frame: &B, at: usize, first: u16, fragment: u16);
    /// Where an IPv6 header begins.
    fn ipv6(&mut self, frame: &B, at: usize);
    /// The 16 bits of an IPv6 fragment header with offset and flag.
    fn ipv6_fragment(&mut self, field: u16);
    /// The headers go on farther than the frame, or than they are followed.
    fn unread(&mut self);
    /// The protocol of layer 4.
    fn protocol(&mut self, protocol: u8);
    /// Where the header of layer 4 begins, for what is not a later fragment.
    fn layer4(&mut self, frame: &B, at: usize, protocol: u8);
}

/// The summary is all that is wanted.
struct NoNotes;

impl<B: Bytes + ?Sized> Notes<B> for NoNotes {
    const TAKEN: bool = false;
    #[inline(always)]
    fn tag(&mut self, _number: u32, _control: u16) {}
    #[inline(always)]
    fn ethertype(&mut self, _frame: &B, _ethertype: u16) {}
    #[inline(always)]
    fn other(&mut self) {}
    #[inline(always)]
    fn ipv4(&mut self, _frame: &B, _at: usize, _first: u16, _fragment: u16) {}
    #[inline(always)]
    fn ipv6(&mut self, _frame: &B, _at: usize) {}
    #[inline(always)]
    fn ipv6_fragment(&mut self, _field: u16) {}
    #[inline(always)]
    fn unread(&mut self) {}
    #[inline(always)]
    fn protocol(&mut self, _protocol: u8) {}
    #[inline(always)]
    fn layer4(&mut self, _frame: &B, _at: usize, _protocol: u8) {}
}

/// Reads an Ethernet frame and takes notes on the way. What they are never changes the summary.
#[inline(always)]
pub(crate) fn walk<B: Bytes + ?Sized, N: Notes<B>>(frame: &B, notes: &mut N) -> Summary {
    match read(frame, notes) {
        Some(summary) => summary,
        None => Summary::OTHER,
    }
}

#[inline(always)]
fn read<B: Bytes + ?Sized, N: Notes<B>>(frame: &B, notes: &mut N) -> Option<Summary> {
    let mut at = ETHERTYPE;
    let mut ethertype = frame.u16(at)?;
    let mut tag = 0;
    while tag < TAGS {
        if ethertype == VLAN || ethertype == QINQ {
            let word = frame.u32(at + 2)?;
            notes.tag(tag as u32, (word >> 16) as u16);
            at += 4;
            ethertype = word as u16;
        }
        tag += 1;
    }
    at += 2;
    notes.ethertype(frame, ethertype);
    match ethertype {
        IPV4 => ipv4(frame, at, notes),
        IPV6 => ipv6(frame, at, notes),
        ARP => {
            notes.other();
            Some(Summary::CONTROL)
        }
        _ => {
            notes.other();
            None
        }
    }
}

#[inline(always)]
fn ipv4<B: Bytes + ?Sized, N: Notes<B>>(frame: &B, at: usize, notes: &mut N) -> Option<Summary> {
    let first = frame.u16(at)?;
    let header = ((first >> 8 & 0xf) as usize) * 4;
    let flags = frame.u16(at + 6)?;
    let protocol = frame.u16(at + 8)? as u8;
    notes.ipv4(frame, at, first, flags);
    notes.protocol(protocol);
    if protocol == IGMP {
        return Some(Summary::CONTROL);
    }
    let hash = mix(mix(protocol as u32, frame.u32(at + 12)?), frame.u32(at + 16)?);
    if N::TAKEN && flags & 0x1fff == 0 {
        notes.layer4(frame, at + header, protocol);
    }
    let parts = Parts::network(at, first, first >> 12 == 4);
    if flags & 0x3fff != 0 {
        return Some(Summary { flow_hash: hash, parts, ..Summary::OTHER });
    }
    layer4(frame, at + header, protocol, hash, parts)
}

/// Whether this next header of IPv6 is an extension header that is looked through; a fragment's is one of its own.
#[inline(always)]
const fn is_extension(protocol: u8) -> bool {
    protocol == HOP_BY_HOP || protocol == ROUTING || protocol == DESTINATION
}

#[inline(always)]
fn ipv6<B: Bytes + ?Sized, N: Notes<B>>(frame: &B, at: usize, notes: &mut N) -> Option<Summary> {
    let mut protocol = (frame.u16(at + 6)? >> 8) as u8;
    let mut addresses = 0;
    let mut word = 0;
    while word < 8 {
        addresses = mix(addresses, frame.u32(at + 8 + 4 * word)?);
        word += 1;
    }
    notes.ipv6(frame, at);
    let first = frame.u16(at)?;
    let parts = Parts::network(at, first >> 4, first >> 12 == 6);
    let fragment = Summary { flow_hash: mix(addresses, FRAGMENT as u32), parts, ..Summary::OTHER };
    let mut at = at + 40;
    let mut fragmented = false;
    let mut extension = 0;
    while extension < EXTENSIONS {
        if protocol == FRAGMENT {
            if !N::TAKEN {
                return Some(fragment);
            }
            fragmented = true;
            let Some(header) = frame.u32(at) else {
                notes.unread();
                return Some(fragment);
            };
            let field = header as u16;
            notes.ipv6_fragment(field);
            protocol = (header >> 24) as u8;
            at += 8;
            if field >> 3 != 0 {
                notes.protocol(protocol);
                return Some(fragment);
            }
        } else if is_extension(protocol) {
            // One read for both: the verifier does not carry the check of one over to the other.
            let Some(header) = frame.u16(at) else {
                notes.unread();
                return if fragmented { Some(fragment) } else { None };
            };
            let [next, units] = header.to_be_bytes();
            protocol = next;
            at += (units as usize + 1) * 8;
        }
        extension += 1;
    }
    notes.protocol(protocol);
    if is_extension(protocol) || protocol == FRAGMENT {
        notes.unread();
    }
    notes.layer4(frame, at, protocol);
    if fragmented {
        return Some(fragment);
    }
    if protocol == ICMPV6 {
        let message = frame.u16(at)? >> 8;
        // RFC 4861 (133 to 137), RFC 2710 and RFC 3810 (130 to 132, 143).
        if (130..=137).contains(&message) || message == 143 {
            return Some(Summary::CONTROL);
        }
    }
    layer4(frame, at, protocol, mix(addresses, protocol as u32), parts)
}

#[inline(always)]
fn layer4<B: Bytes + ?Sized>(frame: &B, at: usize, protocol: u8, hash: u32, parts: Parts) -> Option<Summary> {
    // Where checksum and payload begin in the transport header.
    let (hash, checksum, payload) = match protocol {
        UDP => (mix(hash, frame.u32(at)?), 6, 8),
        TCP => (mix(hash, frame.u32(at)?), 16, ((frame.u16(at + 12)? >> 12) as usize) * 4),
        ICMP | ICMPV6 => (hash, 2, 8),
        _ => {
            let parts = Parts { payload: at as u16, ..parts };
            return Some(Summary { flow_hash: hash, parts, ..Summary::OTHER });
        }
    };
    let parts =
        Parts { transport: at as u16, payload: (at + payload) as u16, checksum: (at + checksum) as u16, ..parts };
    Some(Summary { kind: Kind::Data, flow_hash: hash, l4_checksum: frame.u16(at + checksum)?, parts })
}
