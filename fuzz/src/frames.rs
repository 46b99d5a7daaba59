//! Ethernet frames of IPv4, for captures that are made from an input.

/// An address and a port.
pub(crate) type End = ([u8; 4], u16);

/// A packet of that IP protocol.
#[must_use]
pub(crate) fn ipv4(protocol: u8, ttl: u8, [from, to]: [End; 2], transport: &[u8]) -> Vec<u8> {
    let mut frame = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0, 0x45, 0];
    frame.extend(((20 + transport.len()) as u16).to_be_bytes());
    frame.extend([0, 0, 0, 0, ttl, protocol, 0, 0]);
    frame.extend(from.0);
    frame.extend(to.0);
    frame.extend(transport);
    frame
}

/// A datagram.
#[must_use]
pub(crate) fn udp(ttl: u8, ends: [End; 2], payload: &[u8]) -> Vec<u8> {
    let fields = [ends[0].1, ends[1].1, 8 + payload.len() as u16, 0];
    let mut bytes: Vec<u8> = fields.into_iter().flat_map(u16::to_be_bytes).collect();
    bytes.extend(payload);
    ipv4(17, ttl, ends, &bytes)
}

/// A segment with its numbers, flags and window, and with timestamps where there are some.
#[must_use]
pub(crate) fn tcp(
    ttl: u8,
    ends: [End; 2],
    numbers: [u32; 2],
    [flags, window]: [u8; 2],
    stamps: Option<[u32; 2]>,
    data: &[u8],
) -> Vec<u8> {
    let mut bytes: Vec<u8> = [ends[0].1, ends[1].1].into_iter().flat_map(u16::to_be_bytes).collect();
    bytes.extend(numbers.into_iter().flat_map(u32::to_be_bytes));
    bytes.extend([if stamps.is_some() { 0x80 } else { 0x50 }, flags, window, 0, 0, 0, 0, 0]);
    if let Some(stamps) = stamps {
        bytes.extend([1, 1, 8, 10]);
        bytes.extend(stamps.into_iter().flat_map(u32::to_be_bytes));
    }
    bytes.extend(data);
    ipv4(6, ttl, ends, &bytes)
}

/// 32-bit words in network order.
#[must_use]
pub(crate) fn words(words: &[u32]) -> Vec<u8> {
    words.iter().copied().flat_map(u32::to_be_bytes).collect()
}
