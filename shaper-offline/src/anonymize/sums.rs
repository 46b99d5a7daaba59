//! Checksums (RFC 1071): right where they were right, and 0 elsewhere. One that stayed would let addresses be guessed and
//! tried.

use super::frame::Frame;
use crate::packet::{Layers, Transport, protocol};

/// Writes the checksums of one packet, as the bytes of `out` have it. That of ICMP is content, of which only what lies
/// within `cover` is told.
pub(super) fn write(frame: &mut Frame<'_>, layers: &Layers<'_>, cover: Option<usize>) {
    let Some(ip) = layers.ip else { return };
    let at = layers.network_offset as usize;
    if ip.source.is_ipv4() {
        let header = |bytes: &[u8]| {
            let length = bytes.get(at).map_or(0, |first| usize::from(first & 0xf) * 4);
            bytes.get(at..at + length).map(|header| sum(0, header))
        };
        let was_right = header(frame.data) == Some(RIGHT);
        settle(frame, at + 10, was_right, header);
    }
    let transport = at + ip.header_length;
    let field = match layers.transport {
        Transport::Udp { .. } => transport + 6,
        Transport::Tcp(_) => transport + 16,
        Transport::Icmp => transport + 2,
        Transport::Other => return,
    };
    let carried = (layers.network.len() as u32 == layers.network_length)
        .then(|| layers.network_length.saturating_sub(ip.header_length as u32))
        .map(|length| match layers.transport {
            Transport::Udp { .. } => layers.payload_length + 8,
            _ => length,
        });
    let segment = |bytes: &[u8]| {
        let length = carried?;
        let segment = bytes.get(transport..)?.get(..length as usize)?;
        let before = match (ip.source.is_ipv4(), ip.protocol) {
            (true, protocol::ICMP) => 0,
            (true, _) => sum(u64::from(ip.protocol) + u64::from(length), bytes.get(at + 12..at + 20)?),
            (false, _) => sum(u64::from(ip.protocol) + u64::from(length), bytes.get(at + 8..at + 40)?),
        };
        Some(sum(before.into(), segment))
    };
    let none = matches!(layers.transport, Transport::Udp { checksum: 0, .. });
    let beyond = matches!(layers.transport, Transport::Icmp)
        && cover.is_some_and(|cover| layers.network_length as usize > cover);
    let was_right = !none && !beyond && segment(frame.data) == Some(RIGHT);
    settle(frame, field, was_right, segment);
    // Of UDP 0 means that there is none (RFC 768).
    if was_right
        && matches!(layers.transport, Transport::Udp { .. })
        && frame.out.get(field..field + 2) == Some(&[0, 0])
    {
        frame.put(field, &[0xff; 2]);
    }
}

/// The sum over what holds a right checksum.
const RIGHT: u16 = 0xffff;

fn settle(frame: &mut Frame<'_>, field: usize, was_right: bool, sum: impl Fn(&[u8]) -> Option<u16>) {
    frame.put(field, &[0; 2]);
    if let Some(sum) = sum(frame.out).filter(|_| was_right) {
        frame.put(field, &(!sum).to_be_bytes());
    }
}

/// Ones' complement sum of 16-bit words.
fn sum(before: u64, bytes: &[u8]) -> u16 {
    let (words, rest) = bytes.as_chunks::<2>();
    let last = rest.first().map_or(0, |&byte| u64::from(byte) << 8);
    let mut sum = words.iter().fold(before + last, |sum, &word| sum + u64::from(u16::from_be_bytes(word)));
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}
