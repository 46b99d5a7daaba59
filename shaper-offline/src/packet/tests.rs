use std::net::{IpAddr, Ipv4Addr};

use etherparse::PacketBuilder;
use proptest::prelude::*;

use super::*;
use crate::pcapfile::linktype;

pub(super) const A: [u8; 4] = [10, 0, 0, 1];
pub(super) const B: [u8; 4] = [10, 0, 0, 2];

pub(super) fn udp(payload: &[u8]) -> Vec<u8> {
    let builder = PacketBuilder::ethernet2([1; 6], [2; 6]).ipv4(A, B, 64).udp(1000, 2000);
    let mut bytes = Vec::new();
    builder.write(&mut bytes, payload).unwrap();
    bytes
}

pub(super) fn expect_udp(layers: &Layers<'_>, payload: &[u8]) {
    assert_eq!(layers.ports(), (1000, 2000));
    assert_eq!(layers.ip.unwrap().source, IpAddr::V4(Ipv4Addr::from(A)));
    assert_eq!(layers.payload, payload);
    assert_eq!(layers.payload_length as usize, payload.len());
}

#[test]
fn every_link_type_leads_to_the_same_datagram() {
    let frame = udp(b"hello");
    let ip = &frame[14..];
    let with = |head: &[u8]| [head, ip].concat();
    let mut sll = vec![0; 14];
    sll.extend([0x08, 0x00]);
    let mut sll2 = vec![0x08, 0x00];
    sll2.extend([0; 18]);
    let vlan = [&frame[..12], &[0x81, 0, 0x20, 7], &[8, 0], ip].concat();
    let qinq = [&frame[..12], &[0x88, 0xa8, 0, 5, 0x81, 0, 0, 6], &[8, 0], ip].concat();
    let mpls = [&frame[..12], &[0x88, 0x47, 0, 1, 0, 64, 0, 2, 1, 64], ip].concat();
    let pppoe = [&frame[..12], &[0x88, 0x64, 0x11, 0, 0, 1, 0, 35, 0, 0x21], ip].concat();
    for (linktype, bytes) in [
        (linktype::ETHERNET, frame.clone()),
        (linktype::RAW, ip.to_vec()),
        (linktype::NULL, with(&[2, 0, 0, 0])),
        (linktype::LOOP, with(&[0, 0, 0, 2])),
        (linktype::LINUX_SLL, with(&sll)),
        (linktype::LINUX_SLL2, with(&sll2)),
        (linktype::ETHERNET, vlan.clone()),
        (linktype::ETHERNET, qinq.clone()),
        (linktype::ETHERNET, mpls),
        (linktype::ETHERNET, pppoe),
    ] {
        let layers = parse(linktype, &bytes, bytes.len() as u32).unwrap();
        expect_udp(&layers, b"hello");
        assert_eq!(layers.network, ip);
    }
    assert_eq!(parse(1, &vlan, vlan.len() as u32).unwrap().vlans, [7, u16::MAX]);
    assert_eq!(parse(1, &qinq, qinq.len() as u32).unwrap().vlans, [5, 6]);
}

#[test]
fn ethernet_padding_is_not_payload() {
    let mut frame = udp(b"hi");
    frame.resize(60, 0);
    expect_udp(&parse(1, &frame, 60).unwrap(), b"hi");
}

#[test]
fn a_short_snaplen_keeps_the_length_on_the_wire() {
    let frame = udp(&[7; 1000]);
    let layers = parse(1, &frame[..96], frame.len() as u32).unwrap();
    assert_eq!(layers.payload_length, 1000);
    assert_eq!(layers.payload, &[7; 96 - 42]);
    assert_eq!(layers.network_length, 1028);
}

#[test]
fn extension_headers_and_fragments_of_ipv6_are_seen_through() {
    let builder = PacketBuilder::ipv6([1; 16], [2; 16], 9).udp(1, 2);
    let mut plain = Vec::new();
    builder.write(&mut plain, b"abcd").unwrap();
    // Hop-by-hop options in front of UDP.
    let mut bytes = plain[..40].to_vec();
    bytes[6] = 0;
    bytes[5] += 8;
    bytes.extend([17, 0, 1, 4, 0, 0, 0, 0]);
    bytes.extend(&plain[40..]);
    let layers = parse(linktype::RAW, &bytes, bytes.len() as u32).unwrap();
    assert_eq!((layers.ports(), layers.payload), ((1, 2), &b"abcd"[..]));
    assert_eq!(layers.ip.unwrap().header_length, 48);
    // A fragment header says: not the whole datagram.
    bytes[6] = 44;
    bytes[42..44].copy_from_slice(&[0, 1]);
    let layers = parse(linktype::RAW, &bytes, bytes.len() as u32).unwrap();
    assert!(layers.ip.unwrap().fragment);
    assert_eq!(layers.transport, Transport::Other);
}

#[test]
fn tcp_timestamps_are_found_at_either_place() {
    for options in [
        &[1, 1, 8, 10, 0, 0, 1, 2, 0, 0, 0, 9][..],
        &[2, 4, 5, 180, 4, 2, 8, 10, 0, 0, 1, 2, 0, 0, 0, 9, 1, 3, 3, 7][..],
    ] {
        let builder = PacketBuilder::ethernet2([1; 6], [2; 6])
            .ipv4(A, B, 64)
            .tcp(1, 2, 77, 1024)
            .syn()
            .options_raw(options)
            .unwrap();
        let mut bytes = Vec::new();
        builder.write(&mut bytes, b"xyz").unwrap();
        let layers = parse(1, &bytes, bytes.len() as u32).unwrap();
        let Transport::Tcp(tcp) = layers.transport else { panic!("not TCP: {layers:?}") };
        assert_eq!((tcp.sequence, tcp.flags, tcp.timestamp()), (77, Tcp::SYN, Some(0x102)));
        assert_eq!(layers.payload, b"xyz");
    }
}

/// What stands behind the headers of Ethernet up to those of tunnels.
const STARTS: [&[u8]; 6] = [
    &[],
    &[0x08, 0, 0, 0, 0, 0, 7, 0, 2, 2, 2, 2, 2, 2, 1, 1, 1, 1, 1, 1, 8, 0, 0x45],
    &[0x41, 0, 0x65, 0x58, 0, 0, 7, 0],
    &[0x34, 255, 0, 40, 0, 0, 0, 1, 0, 0, 0, 0x85, 1],
    &[0x30, 0, 0x88, 0xbe, 0, 0, 0, 1, 0, 0, 0, 1, 0x10],
    &[0x45, 0, 0, 60, 0, 0, 0, 0, 64, 4],
];

/// The network layer is where it is said to be, and the payload is of it.
fn consistent(linktype: u16, bytes: &[u8], origlen: u32) {
    let Some(layers) = parse(linktype, bytes, origlen) else { return };
    let behind = bytes.get(layers.network_offset as usize..).unwrap_or_default();
    assert!(behind.starts_with(layers.network), "{layers:?}");
    assert!(layers.payload.len() <= layers.network.len());
    if let Transport::Tcp(tcp) = layers.transport {
        let _ = tcp.timestamp();
    }
    let _ = crate::toast::recognise(layers.payload);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn no_bytes_panic(
        linktype in prop::sample::select(vec![0_u16, 1, 9, 50, 51, 101, 104, 105, 113, 119, 127, 163, 192, 204, 276]),
        mut bytes in prop::collection::vec(any::<u8>(), 0..120),
        start in prop::sample::select(vec![0_usize, 1, 4, 12, 14, 16, 20]),
        head in prop::sample::select(vec![0x45_u8, 0x60, 0x81, 0x88, 0x08, 0x4f, 0]),
        origlen: u32,
    ) {
        if let Some(byte) = bytes.get_mut(start) {
            *byte = head;
        }
        consistent(linktype, &bytes, origlen);
    }

    #[test]
    fn no_bytes_in_a_tunnel_panic(
        protocol in prop::sample::select(vec![4_u8, 17, 41, 47]),
        port in prop::sample::select(vec![4789_u16, 8472, 6081, 2152]),
        first in prop::sample::select(STARTS.to_vec()),
        rest in prop::collection::vec(any::<u8>(), 0..120),
        cut: prop::sample::Index,
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..3),
    ) {
        let inside = [first, &rest].concat();
        let mut bytes = Vec::new();
        let builder = PacketBuilder::ethernet2([1; 6], [2; 6]).ipv4(A, B, 64);
        if protocol == 17 {
            builder.udp(1000, port).write(&mut bytes, &inside).unwrap();
        } else {
            builder.write(&mut bytes, etherparse::IpNumber(protocol), &inside).unwrap();
        }
        let origlen = bytes.len() as u32;
        for (at, value) in edits {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        bytes.truncate(cut.index(bytes.len() + 1));
        consistent(linktype::ETHERNET, &bytes, origlen);
    }

    /// The short way through plain headers finds what a parser that knows all of them finds.
    #[test]
    fn plain_headers_are_read_as_any_others(
        mut bytes in prop::collection::vec(any::<u8>(), 0..100),
        first in prop::sample::select(vec![0x45_u8, 0x46, 0x4f, 0x44, 0x60, 0x6f, 0x50]),
        protocol in prop::sample::select(vec![1_u8, 6, 17, 58, 51, 0, 44, 60, 4]),
        length in 0..120_u16,
        fragment in prop::sample::select(vec![0_u16, 0x4000, 0x2000, 0x0001, 0x8000]),
    ) {
        let four = first >> 4 == 4;
        let set = |bytes: &mut Vec<u8>, at: usize, values: &[u8]| {
            if let Some(slot) = bytes.get_mut(at..at + values.len()) {
                slot.copy_from_slice(values);
            }
        };
        set(&mut bytes, 0, &[first]);
        set(&mut bytes, if four { 2 } else { 4 }, &length.to_be_bytes());
        set(&mut bytes, if four { 9 } else { 6 }, &[protocol]);
        if four {
            set(&mut bytes, 6, &fragment.to_be_bytes());
        }
        let mut layers = Layers::EMPTY;
        let read = layers.outermost(linktype::RAW, &bytes, bytes.len() as u32);
        let found = read.then_some(layers).and_then(|layers| Some((layers.ip?, layers)));
        let found = found.map(|(ip, layers)| (ip.protocol, ip.fragment, ip.ttl, ip.source, ip.destination, layers));
        let expected: Option<(u8, bool, u8, IpAddr, IpAddr, usize)> = if four {
            LaxIpv4Slice::from_slice(&bytes).ok().map(|(slice, _)| {
                let (header, payload) = (slice.header(), slice.payload());
                let addresses = (header.source_addr().into(), header.destination_addr().into());
                let protocol = payload.ip_number.0;
                (protocol, payload.fragmented, header.ttl(), addresses.0, addresses.1, payload.payload.len())
            })
        } else {
            LaxIpv6Slice::from_slice(&bytes).ok().map(|(slice, _)| {
                let (header, payload) = (slice.header(), slice.payload());
                let addresses = (header.source_addr().into(), header.destination_addr().into());
                let protocol = payload.ip_number.0;
                (protocol, payload.fragmented, header.hop_limit(), addresses.0, addresses.1, payload.payload.len())
            })
        };
        prop_assert_eq!(found.is_some(), expected.is_some());
        if let (Some((p, f, t, s, d, layers)), Some(expected)) = (found, expected) {
            // A fragment's protocol is that of its first header, whichever way it is read.
            let p = if f { expected.0 } else { p };
            prop_assert_eq!((p, f, t, s, d), (expected.0, expected.1, expected.2, expected.3, expected.4));
            let behind = layers.network.len() - layers.ip.map_or(0, |ip| ip.header_length);
            if !f {
                prop_assert_eq!(behind, expected.5);
            }
        }
    }
}
