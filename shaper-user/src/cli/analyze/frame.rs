//! Packets of captures as filters read them: filters know Ethernet frames.

use shaper_common::rules::{self, Key};
use shaper_offline::packet::Layers;
use shaper_offline::pcapfile::{Packet, linktype};

/// Bytes of the network layer that a key may need: IPv6 with its extension headers, and ports.
const NETWORK: usize = 256;
const TAG: [u8; 2] = [0x81, 0x00];

/// The key of a packet. One of another link type stands in a frame without MAC addresses, so that conditions on these
/// hold for none of them.
pub(super) fn key(packet: &Packet<'_>, layers: &Layers<'_>) -> Option<Key> {
    key_of(packet.linktype, packet.data, layers)
}

fn key_of(linktype: u16, data: &[u8], layers: &Layers<'_>) -> Option<Key> {
    if linktype == linktype::ETHERNET {
        return rules::key(data);
    }
    let mut frame = [0; 22 + NETWORK];
    let mut at = 12;
    let mut put = |bytes: &[u8]| {
        for (slot, byte) in frame.iter_mut().skip(at).zip(bytes) {
            *slot = *byte;
        }
        at += bytes.len();
    };
    for vlan in layers.vlans.into_iter().filter(|&vlan| vlan != u16::MAX) {
        put(&TAG);
        put(&vlan.to_be_bytes());
    }
    put(&layers.ethertype.to_be_bytes());
    put(layers.network.get(..NETWORK).unwrap_or(layers.network));
    rules::key(frame.get(..at)?)
}

#[cfg(test)]
mod tests {
    use shaper_offline::packet;
    use shaper_profile::Filter;

    use super::*;

    /// A datagram from 10.0.0.1:5000 to 10.0.0.2:6000.
    const DATAGRAM: [u8; 32] = [
        0x45, 0, 0, 32, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2, 0x13, 0x88, 0x17, 0x70, 0, 12, 0, 0, 1, 2,
        3, 4,
    ];

    fn matches(linktype: u16, data: &[u8], text: &str) -> bool {
        let layers = packet::parse(linktype, data, data.len() as u32).unwrap();
        key_of(linktype, data, &layers).is_some_and(|key| Filter::parse(text).unwrap().matches(&key))
    }

    #[test]
    fn filters_mean_the_same_packets_whatever_the_link_type() {
        let ethernet = [&[2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0][..], &DATAGRAM].concat();
        let tagged = [&[2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 0x81, 0, 0, 7, 8, 0][..], &DATAGRAM].concat();
        let cooked = [&[0; 14][..], &[8, 0], &DATAGRAM].concat();
        let frames = [
            (linktype::ETHERNET, &ethernet[..]),
            (linktype::ETHERNET, &tagged[..]),
            (linktype::LINUX_SLL, &cooked[..]),
            (linktype::RAW, &DATAGRAM[..]),
        ];
        for (linktype, data) in frames {
            for (text, is) in
                [("udp port 6000", true), ("src host 10.0.0.1", true), ("tcp", false), ("dst port 5000", false)]
            {
                assert_eq!(matches(linktype, data, text), is, "{linktype} {text}");
            }
        }
        assert!(matches(linktype::ETHERNET, &tagged, "vlan 7") && !matches(linktype::RAW, &DATAGRAM, "vlan 7"));
    }
}
