use etherparse::{IpNumber, PacketBuilder};

use super::{
    tests::{expect_udp, udp},
    *,
};

const OUTER_A: [u8; 4] = [192, 0, 2, 1];
const OUTER_B: [u8; 4] = [192, 0, 2, 2];

fn in_udp(port: u16, inside: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let builder = PacketBuilder::ethernet2([3; 6], [4; 6]).ipv4(OUTER_A, OUTER_B, 60).udp(49_152, port);
    builder.write(&mut bytes, inside).unwrap();
    bytes
}

fn in_ip(protocol: u8, inside: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let builder = PacketBuilder::ethernet2([3; 6], [4; 6]).ipv4(OUTER_A, OUTER_B, 60);
    builder.write(&mut bytes, IpNumber(protocol), inside).unwrap();
    bytes
}

fn layers(bytes: &[u8]) -> Layers<'_> {
    parse(1, bytes, bytes.len() as u32).unwrap()
}

/// Each kind with its id, around the same datagram, which is in an Ethernet frame or bare.
fn every_kind() -> Vec<(TunnelKind, Option<u32>, Vec<u8>)> {
    let frame = udp(b"hello");
    let ip = &frame[14..];
    let mut ip6 = Vec::new();
    PacketBuilder::ipv6([1; 16], [2; 16], 9).udp(1000, 2000).write(&mut ip6, b"hello").unwrap();
    let gtp = |head: &[u8], inside: &[u8]| [head, inside].concat();
    let length = ip.len() as u8;
    vec![
        (TunnelKind::Vxlan, Some(42), in_udp(4789, &[&[8, 0, 0, 0, 0, 0, 42, 0], &frame[..]].concat())),
        (TunnelKind::Vxlan, Some(42), in_udp(8472, &[&[8, 0, 0, 0, 0, 0, 42, 0], &frame[..]].concat())),
        (TunnelKind::Vxlan, Some(42), in_udp(4789, &[&[0x88, 0, 0, 9, 0, 0, 42, 0], &frame[..]].concat())),
        (TunnelKind::Geneve, Some(42), in_udp(6081, &[&[0, 0, 0x65, 0x58, 0, 0, 42, 0], &frame[..]].concat())),
        (
            TunnelKind::Geneve,
            Some(42),
            in_udp(6081, &[&[2, 0x40, 8, 0, 0, 0, 42, 0, 1, 2, 3, 1, 5, 5, 5, 5], ip].concat()),
        ),
        (TunnelKind::Gre, None, in_ip(47, &[&[0, 0, 8, 0], ip].concat())),
        (TunnelKind::Gre, Some(7), in_ip(47, &[&[0x20, 0, 0x65, 0x58, 0, 0, 0, 7], &frame[..]].concat())),
        (TunnelKind::Gre, Some(7), in_ip(47, &[&[0xb0, 0, 8, 0, 1, 2, 0, 0, 0, 0, 0, 7, 0, 0, 0, 1], ip].concat())),
        (
            TunnelKind::Erspan,
            Some(5),
            in_ip(47, &[&[0x10, 0, 0x88, 0xbe, 0, 0, 0, 1, 0x10, 0, 0, 5, 0, 0, 0, 0], &frame[..]].concat()),
        ),
        (TunnelKind::Erspan, None, in_ip(47, &[&[0, 0, 0x88, 0xbe], &frame[..]].concat())),
        (TunnelKind::GtpU, Some(258), in_udp(2152, &gtp(&[0x30, 255, 0, length, 0, 0, 1, 2], ip))),
        (
            TunnelKind::GtpU,
            Some(258),
            in_udp(2152, &gtp(&[0x34, 255, 0, length + 8, 0, 0, 1, 2, 0, 0, 0, 0x85, 1, 16, 1, 0], ip)),
        ),
        (TunnelKind::IpIp, None, in_ip(4, ip)),
        (TunnelKind::IpIp, None, in_ip(41, &ip6)),
    ]
}

#[test]
fn every_tunnel_leads_to_the_datagram_within() {
    for (kind, id, bytes) in every_kind() {
        let layers = layers(&bytes);
        let tunnel = layers.tunnel.unwrap_or_else(|| panic!("{kind:?} {bytes:x?}"));
        assert_eq!((tunnel.kind(), tunnel.id(), tunnel.levels()), (kind, id, 1));
        assert_eq!((layers.ports(), layers.payload), ((1000, 2000), &b"hello"[..]), "{kind:?}");
        assert_eq!(layers.payload_length, 5);
        assert_eq!(&bytes[layers.network_offset as usize..], layers.network, "{kind:?}");
        assert_eq!(layers.network_length as usize, layers.network.len());
    }
}

#[test]
fn a_tunnel_that_is_cut_leads_as_far_as_the_capture_goes() {
    let frame = udp(&[7; 1000]);
    let bytes = in_udp(4789, &[&[8, 0, 0, 0, 0, 0, 42, 0], &frame[..]].concat());
    let layers = parse(1, &bytes[..128], bytes.len() as u32).unwrap();
    assert_eq!((layers.payload_length, layers.payload.len()), (1000, 128 - 50 - 42));
    assert_eq!(layers.tunnel.map(|tunnel| tunnel.kind()), Some(TunnelKind::Vxlan));
}

#[test]
fn what_only_looks_like_a_tunnel_stays_what_it_is() {
    for (kind, _, bytes) in every_kind() {
        let outer = &layers(&bytes);
        let inner = outer.network_offset as usize;
        let mut damaged = [bytes.clone(), bytes.clone(), bytes.clone()];
        // Another version of IP within, a length that cannot be, and bits that must be zero.
        damaged[0][inner] = 0x15;
        damaged[1][inner + if bytes[inner] >> 4 == 6 { 4 } else { 2 }] = 0x7f;
        let head = if bytes[23] == 17 { 42 } else { 34 };
        damaged[2][head] ^= 0x44;
        let tried = if kind == TunnelKind::IpIp { 2 } else { 3 };
        for bytes in &damaged[..tried] {
            let layers = layers(bytes);
            assert_eq!(layers.tunnel, None, "{kind:?} {bytes:x?}");
            assert_eq!(layers.ip.map(|ip| ip.source), Some(OUTER_A.into()));
            assert_eq!(layers.network_offset, 14);
        }
    }
    // Other traffic on the ports of tunnels, as from clients that were given such a port.
    for port in [4789, 8472, 6081, 2152] {
        let bytes = in_udp(port, b"an answer to some question, long enough for any header");
        assert_eq!(layers(&bytes).tunnel, None);
    }
}

#[test]
fn frames_of_any_type_are_bridged() {
    let arp = [&[0xff; 6][..], &[2; 6], &[8, 6, 0, 1, 8, 0, 6, 4, 0, 1], &[9; 20]].concat();
    let bytes = in_udp(4789, &[&[8, 0, 0, 0, 0, 0, 42, 0], &arp[..]].concat());
    let layers = layers(&bytes);
    assert_eq!((layers.ethertype, layers.ip), (0x0806, None));
    assert_eq!(layers.tunnel.and_then(|tunnel| tunnel.id()), Some(42));
}

#[test]
fn tunnels_in_tunnels_are_followed_four_deep_and_told_apart() {
    let frame = udp(b"hello");
    let nested = |vni: u8| {
        let inner = in_ip(4, &frame[14..]);
        let vxlan = in_udp(4789, &[&[8, 0, 0, 0, 0, 0, vni, 0], &inner[..]].concat());
        in_ip(47, &[&[0, 0, 8, 0], &vxlan[14..]].concat())
    };
    let (one, other) = (nested(1), nested(2));
    let (one, other) = (layers(&one), layers(&other));
    expect_udp(&one, b"hello");
    let tunnels = [one.tunnel.unwrap(), other.tunnel.unwrap()];
    assert_eq!(tunnels.map(|tunnel| (tunnel.kind(), tunnel.levels())), [(TunnelKind::Gre, 3); 2]);
    assert_ne!(tunnels[0], tunnels[1]);
    let mut deep = frame[14..].to_vec();
    for _ in 0..6 {
        deep = in_ip(4, &deep)[14..].to_vec();
    }
    let deep = [&frame[..14], &deep].concat();
    let layers = layers(&deep);
    assert_eq!(layers.tunnel.unwrap().levels(), 4);
    assert_eq!(layers.ip.map(|ip| (ip.source, ip.protocol)), Some((OUTER_A.into(), 4)));
}

#[test]
fn fragments_and_plain_packets_are_in_no_tunnel() {
    let frame = udp(b"hello");
    assert_eq!(layers(&frame).tunnel, None);
    let mut bytes = in_ip(4, &frame[14..]);
    // More fragments follow.
    bytes[20] = 0x20;
    assert_eq!(layers(&bytes).tunnel, None);
}

#[test]
fn the_ends_of_a_tunnel_tell_it_from_others_with_its_number() {
    let around = |source: u8| {
        let mut bytes = in_udp(4789, &[&[8, 0, 0, 0, 0, 0, 42, 0], &udp(b"hello")[..]].concat());
        bytes[29] = source;
        layers(&bytes).tunnel.unwrap()
    };
    assert_eq!(around(1), around(1));
    assert_ne!(around(1), around(2));
    assert_eq!((around(2).kind(), around(2).id()), (TunnelKind::Vxlan, Some(42)));
    let shown = format!("VXLAN 42 (path {:06x})", around(1).path());
    assert_eq!(around(1).to_string(), shown);
    // Every bit of a number is kept.
    let tunnel = Tunnel::new(TunnelKind::IpIp, Some(u32::MAX), u64::MAX).unwrap();
    assert_eq!((tunnel.kind(), tunnel.id(), tunnel.path()), (TunnelKind::IpIp, Some(u32::MAX), 0xff_ffff));
}
