//! The frames that are sent: Ethernet, IPv4, UDP, all checksums right.

/// The Ethernet address frames are for: nobody's, so that the receiving host drops them first thing.
pub(crate) const TO: [u8; 6] = [0x02, b's', b'h', 0xbe, 0, 2];
/// The Ethernet address frames are from.
pub(crate) const FROM: [u8; 6] = [0x02, b's', b'h', 0xbe, 0, 1];

const ETHERNET: usize = 14;
const IPV4: usize = 20;
const UDP: usize = 8;

/// The Internet checksum (RFC 1071).
pub(crate) fn checksum(words: impl Iterator<Item = u16>) -> u16 {
    let sum = words.fold(0u32, |sum, word| sum + u32::from(word));
    let folded = (sum & 0xffff) + (sum >> 16);
    !((folded & 0xffff) + (folded >> 16)) as u16
}

pub(crate) fn words(bytes: &[u8]) -> impl Iterator<Item = u16> {
    bytes.chunks(2).map(|pair| match pair {
        [high, low] => u16::from_be_bytes([*high, *low]),
        [high] => u16::from_be_bytes([*high, 0]),
        _ => 0,
    })
}

/// A UDP frame of `len` bytes without frame check sequence, at least 42, from one of the two addresses to the other.
pub(crate) fn udp(from: [u8; 6], to: [u8; 6], len: usize) -> Vec<u8> {
    let len = len.max(ETHERNET + IPV4 + UDP);
    let (ip_len, udp_len) = ((len - ETHERNET) as u16, (len - ETHERNET - IPV4) as u16);
    let addresses = [10, 77, 0, 1, 10, 77, 0, 2];
    let mut ip = vec![0x45, 0];
    ip.extend(ip_len.to_be_bytes());
    // No identification, may not be fragmented, 64 hops, UDP, checksum to come.
    ip.extend([0, 0, 0x40, 0, 64, 17, 0, 0]);
    ip.extend(addresses);
    let sum = checksum(words(&ip));
    ip.splice(10..12, sum.to_be_bytes());

    let mut udp = Vec::new();
    udp.extend(7_000u16.to_be_bytes());
    udp.extend(7_001u16.to_be_bytes());
    udp.extend(udp_len.to_be_bytes());
    udp.extend([0, 0]);
    udp.resize(usize::from(udp_len), 0x5a);
    let pseudo = words(&addresses).chain([17, udp_len]);
    let sum = checksum(pseudo.chain(words(&udp)));
    udp.splice(6..8, sum.to_be_bytes());

    [&to[..], &from, &[0x08, 0x00], &ip, &udp].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_sum_up_to_nothing() {
        for len in [64, 65, 1400] {
            let frame = udp(FROM, TO, len);
            assert_eq!(frame.len(), len);
            assert_eq!(checksum(words(&frame[14..34])), 0);
            let udp_len = (len - 34) as u16;
            let pseudo = words(&frame[26..34]).chain([17, udp_len]);
            assert_eq!(checksum(pseudo.chain(words(&frame[34..]))), 0);
        }
    }
}
