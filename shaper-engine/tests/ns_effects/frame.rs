//! Frames as tests send them: UDP over IPv4 and IPv6, tagged or not, with checksums of their own making.

use shaper_common::parse::summary;

use crate::bed::{Bed, PORT};

/// ECN code points (RFC 3168).
pub(crate) const NOT_ECT: u8 = 0;
pub(crate) const ECT_1: u8 = 1;
pub(crate) const ECT_0: u8 = 2;
pub(crate) const CE: u8 = 3;

/// The ethertype of ARP.
pub(crate) const ARP: u16 = 0x0806;

/// What the frames of a stream have in common.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stream {
    pub(crate) is_ipv6: bool,
    /// The tag's identifier, where there is a tag.
    pub(crate) vlan: Option<u16>,
    pub(crate) ecn: u8,
    pub(crate) from_port: u16,
    pub(crate) to_port: u16,
    /// A group of IPv4 instead of host `b`.
    pub(crate) group: Option<[u8; 4]>,
    /// Bytes behind the transport header.
    pub(crate) payload: usize,
}

impl Default for Stream {
    fn default() -> Self {
        Self { is_ipv6: false, vlan: None, ecn: NOT_ECT, from_port: 4000, to_port: PORT, group: None, payload: 160 }
    }
}

impl Stream {
    pub(crate) const IPV6: Self =
        Self { is_ipv6: true, vlan: None, ecn: NOT_ECT, from_port: 4000, to_port: PORT, group: None, payload: 160 };

    /// The frame with this number, which its payload begins with.
    pub(crate) fn frame(&self, bed: &Bed, number: u64) -> Vec<u8> {
        let (a, b) = (bed.host("a"), bed.host("b"));
        let mut frame = match self.group {
            // RFC 1112, section 6.4.
            Some([_, second, third, fourth]) => vec![0x01, 0x00, 0x5e, second & 0x7f, third, fourth],
            None => b.mac.0.to_vec(),
        };
        frame.extend(a.mac.0);
        if let Some(vlan) = self.vlan {
            frame.extend(0x8100u16.to_be_bytes());
            frame.extend(vlan.to_be_bytes());
        }
        let udp = self.datagram(number);
        let length = udp.len() as u16;
        if self.is_ipv6 {
            frame.extend(0x86ddu16.to_be_bytes());
            frame.extend((6 << 28 | u32::from(self.ecn) << 20).to_be_bytes());
            frame.extend(length.to_be_bytes());
            frame.extend([17, 64]);
            frame.extend(a.ipv6.octets());
            frame.extend(b.ipv6.octets());
        } else {
            frame.extend(0x0800u16.to_be_bytes());
            let at = frame.len();
            frame.extend([0x45, self.ecn]);
            frame.extend((20 + length).to_be_bytes());
            frame.extend((number as u16).to_be_bytes());
            frame.extend([0x40, 0, 64, 17, 0, 0]);
            frame.extend(a.ipv4.octets());
            frame.extend(self.group.unwrap_or(b.ipv4.octets()));
            let checksum = !sum(&frame[at..]);
            frame[at + 10..at + 12].copy_from_slice(&checksum.to_be_bytes());
        }
        let at = frame.len();
        frame.extend(udp);
        let checksum = !udp_sum(&frame, at);
        frame[at + 6..at + 8].copy_from_slice(&(if checksum == 0 { 0xffff } else { checksum }).to_be_bytes());
        frame
    }

    /// Without its checksum.
    fn datagram(&self, number: u64) -> Vec<u8> {
        let mut udp = Vec::new();
        for word in [self.from_port, self.to_port, 8 + self.payload as u16, 0] {
            udp.extend(word.to_be_bytes());
        }
        udp.extend(number.to_be_bytes());
        udp.resize(8 + self.payload, 0x5a);
        udp
    }
}

/// An ARP request of `a`, as long as other frames of tests.
pub(crate) fn arp(bed: &Bed) -> Vec<u8> {
    let (a, b) = (bed.host("a"), bed.host("b"));
    let mut frame = vec![0xff; 6];
    frame.extend(a.mac.0);
    frame.extend(ARP.to_be_bytes());
    frame.extend([0, 1, 8, 0, 6, 4, 0, 1]);
    frame.extend(a.mac.0);
    frame.extend(a.ipv4.octets());
    frame.extend([0; 6]);
    frame.extend(b.ipv4.octets());
    frame.resize(200, 0);
    frame
}

/// The type of an untagged frame.
pub(crate) fn ethertype(frame: &[u8]) -> u16 {
    u16::from_be_bytes([frame[12], frame[13]])
}

/// The number that an undamaged frame carries.
pub(crate) fn number(frame: &[u8]) -> u64 {
    let at = usize::from(summary(frame).parts.payload);
    u64::from_be_bytes(frame[at..at + 8].try_into().unwrap())
}

/// The ports of an undamaged frame: from, to.
pub(crate) fn ports(frame: &[u8]) -> (u16, u16) {
    let at = usize::from(summary(frame).parts.transport);
    (u16::from_be_bytes([frame[at], frame[at + 1]]), u16::from_be_bytes([frame[at + 2], frame[at + 3]]))
}

/// The ECN field of an IP packet.
pub(crate) fn ecn(frame: &[u8]) -> u8 {
    let at = usize::from(summary(frame).parts.network);
    if frame[at] >> 4 == 4 { frame[at + 1] & 3 } else { frame[at + 1] >> 4 & 3 }
}

/// Whether the header checksum of IPv4 is right; IPv6 has none.
pub(crate) fn header_is_sound(frame: &[u8]) -> bool {
    let at = usize::from(summary(frame).parts.network);
    frame[at] >> 4 == 6 || sum(&frame[at..at + 20]) == 0xffff
}

/// Whether the checksum of UDP is right.
pub(crate) fn datagram_is_sound(frame: &[u8]) -> bool {
    udp_sum(frame, usize::from(summary(frame).parts.transport)) == 0xffff
}

/// The sum over a datagram and its pseudo-header: RFC 768, and RFC 8200, section 8.1.
fn udp_sum(frame: &[u8], at: usize) -> u16 {
    let addresses = if frame[summary(frame).parts.network as usize] >> 4 == 4 { 8 } else { 32 };
    let mut covered = frame[at - addresses..].to_vec();
    covered.extend([0, 17]);
    covered.extend(((frame.len() - at) as u16).to_be_bytes());
    sum(&covered)
}

/// The sum of 16-bit words in ones' complement (RFC 1071).
fn sum(bytes: &[u8]) -> u16 {
    let words = bytes.chunks(2).map(|pair| u32::from(pair[0]) << 8 | pair.get(1).map_or(0, |low| u32::from(*low)));
    let mut sum: u32 = words.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}
