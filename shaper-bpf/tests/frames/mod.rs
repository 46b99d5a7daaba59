//! Frames of every kind, whole and damaged.

use proptest::prelude::*;

/// The least that a test run takes: an Ethernet header.
pub(crate) const SHORTEST: usize = 14;

/// The link layer up to the ethertype, with so many tags.
fn ethernet(tags: &[u16], ethertype: u16) -> Vec<u8> {
    let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];
    for tag in tags {
        frame.extend(tag.to_be_bytes());
        frame.extend([0, 12]);
    }
    frame.extend(ethertype.to_be_bytes());
    frame
}

fn ipv4(protocol: u8, fragment: u16, options: usize, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x45 + options as u8, 0, 0, 0, 0x12, 0x34];
    packet.extend(fragment.to_be_bytes());
    packet.extend([64, protocol, 0, 0, 10, 1, 2, 3, 10, 4, 5, 6]);
    packet.extend(vec![1; 4 * options]);
    packet.extend(payload);
    packet
}

fn ipv6(extensions: &[u8], protocol: u8, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x60, 0, 0, 0, 0, 0, *extensions.first().unwrap_or(&protocol), 64];
    packet.extend(1..=32u8);
    for (place, kind) in extensions.iter().enumerate() {
        let next = *extensions.get(place + 1).unwrap_or(&protocol);
        let units = if *kind == 44 { 0 } else { place as u8 % 2 };
        packet.extend([next, units]);
        packet.extend(vec![7; 6 + 8 * units as usize]);
    }
    packet.extend(payload);
    packet
}

/// One of each kind, untagged and with up to three tags.
pub(crate) fn corpus() -> Vec<Vec<u8>> {
    let payload: Vec<u8> = (0..60).map(|byte| byte * 3 + 1).collect();
    let solicitation = [135, 0, 1, 2, 0, 0, 0, 0];
    let report = [143, 0, 1, 2, 0, 0, 0, 0];
    let packets = [
        (0x0800, ipv4(17, 0, 0, &payload)),
        (0x0800, ipv4(17, 0, 3, &payload)),
        (0x0800, ipv4(6, 0x4000, 0, &payload)),
        (0x0800, ipv4(6, 0x2000, 0, &payload)),
        (0x0800, ipv4(17, 0x00b9, 0, &payload)),
        (0x0800, ipv4(1, 0, 0, &payload)),
        (0x0800, ipv4(2, 0, 1, &payload)),
        (0x0800, ipv4(47, 0, 0, &payload)),
        (0x86dd, ipv6(&[], 17, &payload)),
        (0x86dd, ipv6(&[], 6, &payload)),
        (0x86dd, ipv6(&[], 58, &payload)),
        (0x86dd, ipv6(&[], 58, &solicitation)),
        (0x86dd, ipv6(&[0], 58, &report)),
        (0x86dd, ipv6(&[0, 60, 43], 17, &payload)),
        (0x86dd, ipv6(&[0, 60, 43, 60, 60], 17, &payload)),
        (0x86dd, ipv6(&[60, 44], 6, &payload)),
        (0x0806, vec![0; 28]),
        (0x88cc, payload.clone()),
    ];
    let tags: [&[u16]; 4] = [&[], &[0x8100], &[0x88a8, 0x8100], &[0x88a8, 0x8100, 0x8100]];
    let tagged = tags.iter().flat_map(|tags| {
        packets.iter().map(|(ethertype, packet)| [ethernet(tags, *ethertype), packet.clone()].concat())
    });
    tagged.collect()
}

/// Any of these frames with a few bytes changed, and cut at any length that a test run takes.
pub(crate) fn damaged(whole: impl Strategy<Value = Vec<u8>>) -> impl Strategy<Value = Vec<u8>> {
    let damages = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6);
    (whole, damages, any::<prop::sample::Index>()).prop_map(|(mut frame, damages, length)| {
        for (place, byte) in damages {
            let place = place.index(frame.len());
            frame[place] = byte;
        }
        frame.truncate(SHORTEST + length.index(frame.len() - SHORTEST + 1));
        frame
    })
}
