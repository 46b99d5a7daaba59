use std::{
    collections::HashSet,
    net::{Ipv4Addr, Ipv6Addr},
};

use etherparse::PacketBuilder;
use proptest::prelude::*;

use super::{Anonymizer, Content, Key, RtpSources, address::Permutation, digest};
use crate::{
    analyze::FlowKey,
    packet::{self, Transport},
    pcapfile::linktype,
    toast,
};

/// The key of the samples that came with Crypto-PAn.
const SAMPLE: [u8; 32] = [
    21, 34, 23, 141, 51, 164, 207, 128, 19, 10, 91, 22, 73, 144, 125, 16, 216, 152, 143, 131, 121, 121, 101, 39, 98,
    87, 76, 45, 42, 132, 34, 2,
];
const MAC_A: [u8; 6] = [0x00, 0x1b, 0x21, 0xaa, 0xbb, 0xcc];
const MAC_B: [u8; 6] = [0x3c, 0xfd, 0xfe, 0x77, 0x66, 0x55];
const HOST_A: [u8; 4] = [203, 0, 113, 77];
const HOST_B: [u8; 4] = [198, 51, 100, 13];

fn anonymizer() -> Anonymizer {
    Anonymizer::new(&Key::new(SAMPLE))
}

/// A frame written anew, with nothing known of its content.
fn anew(linktype: u16, frame: &[u8]) -> Vec<u8> {
    let mut out = vec![0xee; 3];
    anonymizer().frame(linktype, frame, frame.len() as u32, &Content::default(), &mut out);
    out
}

fn udp(payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let builder = PacketBuilder::ethernet2(MAC_A, MAC_B).ipv4(HOST_A, HOST_B, 64).udp(5004, 6000);
    builder.write(&mut bytes, payload).unwrap();
    bytes
}

/// Whether any of what was told of hosts is in there.
fn has_originals(bytes: &[u8]) -> bool {
    let secrets: [&[u8]; 4] = [&MAC_A, &MAC_B, &HOST_A, &HOST_B];
    secrets.iter().any(|secret| bytes.windows(secret.len()).any(|window| window == *secret))
}

#[test]
fn the_published_samples_of_crypto_pan_come_out() {
    let permutation = Permutation::new(&Key::new(SAMPLE));
    for (from, to) in [
        ("128.11.68.132", "135.242.180.132"),
        ("129.118.74.4", "134.136.186.123"),
        ("130.132.252.244", "133.68.164.234"),
        ("141.223.7.43", "141.167.8.160"),
        ("152.163.225.39", "151.140.114.167"),
        ("166.107.77.190", "160.132.178.185"),
        ("192.102.249.13", "252.138.62.131"),
        ("195.205.63.100", "255.186.223.5"),
        ("205.178.38.67", "242.108.198.51"),
        ("64.39.15.238", "0.219.7.41"),
    ] {
        let bits = u128::from(from.parse::<Ipv4Addr>().unwrap().to_bits()) << 96;
        let mapped = Ipv4Addr::from_bits((permutation.map(bits, 0, 32) >> 96) as u32);
        assert_eq!(mapped, to.parse::<Ipv4Addr>().unwrap(), "{from}");
    }
    for (from, to) in [
        ("::1", "78ff:f001:9fc0:20df:8380:b1f1:704:ed"),
        ("::2", "78ff:f001:9fc0:20df:8380:b1f1:704:ef"),
        ("::ffff", "78ff:f001:9fc0:20df:8380:b1f1:704:f838"),
        ("2001:db8::1", "4401:2bc:603f:d91d:27f:ff8e:e6f1:dc1e"),
    ] {
        let bits = from.parse::<Ipv6Addr>().unwrap().to_bits();
        assert_eq!(Ipv6Addr::from_bits(permutation.map(bits, 0, 128)), to.parse::<Ipv6Addr>().unwrap(), "{from}");
    }
}

#[test]
fn addresses_with_a_meaning_stay_and_nothing_becomes_one() {
    let mut by = anonymizer();
    for stays in ["0.0.0.0", "127.0.0.1", "127.9.8.7", "255.255.255.255", "224.0.0.251", "239.255.77.77"] {
        let address: Ipv4Addr = stays.parse().unwrap();
        assert_eq!(by.ipv4(address), address);
    }
    for stays in ["::", "::1", "ff02::1", "ff02::fb", "ff15::77", "ff05::1:3"] {
        let address: Ipv6Addr = stays.parse().unwrap();
        assert_eq!(by.ipv6(address), address);
    }
    let link_local = by.ipv4(Ipv4Addr::new(169, 254, 3, 4));
    assert!(link_local.is_link_local() && link_local != Ipv4Addr::new(169, 254, 3, 4));
    let link_local: Ipv6Addr = "fe80::21b:21ff:feaa:bbcc".parse().unwrap();
    let mapped = by.ipv6(link_local);
    assert_eq!(mapped.segments()[..4], [0xfe80, 0, 0, 0]);
    assert_ne!(mapped, link_local);
    // The last 24 bits are those of a host's address; a prefix is in the others.
    let solicited = by.ipv6("ff02::1:ffaa:bbcc".parse().unwrap());
    assert_eq!(solicited.segments()[..7], [0xff02, 0, 0, 0, 0, 1, solicited.segments()[6]]);
    assert_eq!(solicited.segments()[6] >> 8, 0xff);
    assert_ne!(solicited, "ff02::1:ffaa:bbcc".parse::<Ipv6Addr>().unwrap());
    // And 24 or 32 bits of a digest of a host's name.
    let groups: [Ipv6Addr; 2] = ["ff02::2:ffab:cdef", "ff02::2:9d3c:55a1"].map(|group| group.parse().unwrap());
    let mapped = groups.map(|group| by.ipv6(group));
    for (group, named) in groups.into_iter().zip(mapped) {
        assert!(named.segments()[..6] == [0xff02, 0, 0, 0, 0, 2] && named != group, "{group}: {named}");
    }
    assert_ne!(mapped[0].segments()[6..], mapped[1].segments()[6..]);
    let of_prefix = by.ipv6("ff3e:40:2001:db8:1234:5678:0:1".parse().unwrap());
    assert_eq!(of_prefix.segments()[0], 0xff3e);
    assert_ne!(of_prefix.segments()[2..6], [0x2001, 0xdb8, 0x1234, 0x5678]);
    assert_eq!(by.ipv4(Ipv4Addr::new(233, 251, 240, 7)).octets()[0], 233);
    // What the map alone would turn into broadcast or nothing becomes what these would become.
    let inner = Permutation::new(&Key::new(SAMPLE));
    let all: HashSet<u32> = (0..=u16::MAX).map(|low| inner.ipv4(u32::from(low))).collect();
    assert_eq!(all.len(), 1 << 16);
    let mut bits: u32 = 1;
    for _ in 0..20_000 {
        bits = bits.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let address = Ipv4Addr::from_bits(bits);
        let meant = |address: Ipv4Addr| {
            [address.is_loopback(), address.is_multicast(), address.is_link_local(), address.is_unspecified()]
        };
        assert_eq!(meant(by.ipv4(address)), meant(address), "{address}");
    }
}

#[test]
fn macs_lose_their_vendor_and_keep_their_group_bit() {
    let by = anonymizer();
    let mapped = by.mac(MAC_A);
    assert_eq!(mapped[0] & 3, 2, "locally administered, of one host");
    assert_ne!(mapped[..3], by.mac([0x00, 0x1b, 0x21, 1, 2, 3])[..3]);
    for stays in [[0xff; 6], [0; 6], [0x01, 0x80, 0xc2, 0, 0, 0x0e], [0x01, 0x1b, 0x19, 0, 0, 0]] {
        assert_eq!(by.mac(stays), stays);
    }
    let group = by.mac([0x33, 0x33, 0xff, 0xaa, 0xbb, 0xcc]);
    assert_eq!(group[..2], [0x33, 0x33]);
    assert_ne!(group[2..], [0xff, 0xaa, 0xbb, 0xcc]);
    assert_eq!(by.mac([0x03, 1, 2, 3, 4, 5])[0] & 1, 1);
}

#[test]
fn short_content_stays_apart() {
    let by = anonymizer();
    let all: HashSet<u16> = (0..=u16::MAX)
        .map(|value| {
            let mut bytes = value.to_be_bytes();
            by.digest.permute(digest::CONTENT, 0, &mut bytes);
            u16::from_be_bytes(bytes)
        })
        .collect();
    assert_eq!(all.len(), 1 << 16);
    assert_ne!(by.ssrc(7), 7);
}

#[test]
fn short_content_of_tcp_looks_equal_where_it_is_sent_again_alone() {
    let written = |sequence: u32, content: &[u8]| {
        let mut frame = Vec::new();
        let builder = PacketBuilder::ethernet2(MAC_A, MAC_B).ipv4(HOST_A, HOST_B, 64).tcp(40_000, 23, sequence, 1024);
        builder.write(&mut frame, content).unwrap();
        let out = anew(linktype::ETHERNET, &frame);
        packet::parse(linktype::ETHERNET, &out, frame.len() as u32).unwrap().payload.to_vec()
    };
    for content in [&b"a"[..], b"ls -l /tmp\n"] {
        assert_eq!(written(77, content), written(77, content), "a retransmission");
        let all: HashSet<Vec<u8>> = (0..64).map(|sequence| written(sequence, content)).collect();
        // Of 64 draws from the 256 values of a byte 57 are different on average, with a deviation below 3.
        assert!(all.len() >= 40, "{} of 64", all.len());
    }
    let keys: HashSet<Vec<u8>> = (0..=255).map(|key| written(77, &[key])).collect();
    assert_eq!(keys.len(), 256, "different content stays different");
}

#[test]
fn keys_are_bytes_or_digits() {
    let digits: String = SAMPLE.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(digits.parse(), Ok(Key::new(SAMPLE)));
    assert_eq!(Key::of_file(&SAMPLE), Ok(Key::new(SAMPLE)));
    assert_eq!(Key::of_file(format!("{digits}\n").as_bytes()), Ok(Key::new(SAMPLE)));
    for wrong in ["", "12", &digits[1..], &"é".repeat(32), &"0x".repeat(32)] {
        assert!(wrong.parse::<Key>().is_err() && Key::of_file(wrong.as_bytes()).is_err(), "{wrong}");
    }
    assert_eq!(format!("{:?}", Key::new(SAMPLE)), "Key(..)");
}

#[test]
fn headers_stay_with_right_checksums_and_payload_goes() {
    let frame = udp(&[&b"GET / from 203.0.113.77 "[..], &HOST_A, &MAC_A, &[9; 40]].concat());
    let out = anew(linktype::ETHERNET, &frame);
    assert_eq!(out.len(), frame.len());
    assert!(!has_originals(&out));
    let layers = packet::parse(linktype::ETHERNET, &out, out.len() as u32).unwrap();
    assert_eq!(layers.ports(), (5004, 6000));
    assert!(layers.payload[16..].iter().all(|&byte| byte == 0));
    let ip = etherparse::Ipv4HeaderSlice::from_slice(&out[14..]).unwrap();
    assert_eq!(ip.header_checksum(), ip.to_header().calc_header_checksum());
    let udp_header = etherparse::UdpHeaderSlice::from_slice(&out[34..]).unwrap().to_header();
    let sum = udp_header.calc_checksum_ipv4(&ip.to_header(), &out[42..]).unwrap();
    assert_eq!(udp_header.checksum, sum);
    // One that was wrong is 0: half of a sum over addresses, as offloading leaves it, would tell of them.
    let mut wrong = frame;
    wrong[40] ^= 0x55;
    assert_eq!(anew(linktype::ETHERNET, &wrong)[40..42], [0, 0]);
}

#[test]
fn extension_headers_and_options_keep_their_lengths_and_lose_what_they_hold() {
    let secret: [u8; 16] = *b"a home address..";
    let datagram = &udp(b"longer than eleven bytes, and a secret")[34..];
    let options = [&[17, 2, 1, 2, 0, 0, 0xc9, 16][..], &secret].concat();
    let hop_by_hop = [&[60, 2, 0x1e, 16][..], &secret, &[1, 2, 0, 0], &options].concat();
    let routing = [&[17, 4, 4, 1, 1, 0, 0x12, 0x34][..], &secret, &secret].concat();
    let authenticated = [&[17, 4, 0, 0, 0xde, 0xad, 0xbe, 0xef, 0, 0, 0, 7][..], &secret[..12]].concat();
    let mobility = [&[17, 2, 1, 0, 0, 0, 0, 0][..], &secret].concat();
    let headers = [(60, &options), (0, &hop_by_hop), (43, &routing), (51, &authenticated), (135, &mobility)];
    let behind = |next: u8, headers: &[u8], label: [u8; 3]| {
        let length = (headers.len() + datagram.len()) as u16;
        let mut frame =
            [&MAC_B[..], &MAC_A, &[0x86, 0xdd, 0x60 | label[0] >> 4, label[0], label[1], label[2]]].concat();
        frame.extend(length.to_be_bytes());
        frame.extend([next, 64]);
        frame.extend([&[0x20, 1, 0xd, 0xb8][..], &secret[..12], &[0x20, 1, 0xd, 0xb8], &secret[4..]].concat());
        frame.extend([headers, datagram].concat());
        frame
    };
    for (next, header) in headers {
        let frame = behind(next, header, [0xa, 0xbc, 0xde]);
        let out = anew(linktype::ETHERNET, &frame);
        let [was, is] = [&frame, &out].map(|bytes| packet::parse(1, bytes, bytes.len() as u32).unwrap());
        assert_eq!((was.ports(), was.ip.unwrap().header_length), (is.ports(), is.ip.unwrap().header_length), "{next}");
        // Behind a mobility header nothing is looked for.
        assert_eq!(was.ports() == (5004, 6000), next != 135, "{next}");
        for bytes in [&secret[..4], &secret[8..12], &[0xde, 0xad], &[0x12, 0x34], &MAC_A, &[0xbc, 0xde]] {
            assert!(!out.windows(bytes.len()).any(|window| window == bytes), "{next}: {bytes:x?} in {out:x?}");
        }
    }
    // Which fragments are of one packet can be told, and nothing else by their number.
    let fragments = [[1, 0xfe, 0xed], [1, 0xfe, 0xed], [1, 0xfe, 0xee]].map(|[more, high, low]| {
        let out = anew(linktype::ETHERNET, &behind(44, &[17, 0, 0, more, 0, 0, high, low], [0; 3]));
        (out[54..58].to_vec(), out[58..62].to_vec())
    });
    assert_eq!(fragments[0].0, [17, 0, 0, 1]);
    assert!(fragments[0].1 == fragments[1].1 && fragments[0].1 != fragments[2].1, "{fragments:x?}");
    assert_ne!(fragments[0].1, [0, 0, 0xfe, 0xed]);
    // What stands behind the header of a later fragment is content, whatever headers it looks like.
    for (next, like) in [(60, [17, 0]), (43, [59, 0]), (51, [60, 1]), (0, [44, 0])] {
        let content = [&like[..], b"se", &secret, &secret].concat();
        let frame = behind(44, &[&[next, 0, 5, 0xb9, 0, 0, 0xfe, 0xed][..], &content].concat(), [0; 3]);
        let layers = packet::parse(1, &frame, frame.len() as u32).unwrap();
        let ip = layers.ip.unwrap();
        assert_eq!((ip.header_length, ip.protocol, ip.fragment), (48, next, true));
        assert_eq!(layers.payload[..content.len()], content);
        let out = anew(linktype::ETHERNET, &frame);
        assert_eq!((out[54..58].to_vec(), out.len()), (vec![next, 0, 5, 0xb9], frame.len()));
        for bytes in [&content[..4], &secret[..4], &secret[8..12], &datagram[..4]] {
            assert!(!out.windows(bytes.len()).any(|window| window == bytes), "{next}: {bytes:x?} in {out:x?}");
        }
    }
    // Routes that were recorded, and stamps of hosts, are options of IPv4.
    let mut frame = udp(b"longer than eleven bytes");
    frame[14] = 0x48;
    let total = frame.len() as u16 - 14 + 12;
    frame[16..18].copy_from_slice(&total.to_be_bytes());
    let route = [&[7, 11, 12][..], &HOST_A, &HOST_B, &[0]].concat();
    drop(frame.splice(34..34, route));
    let out = anew(linktype::ETHERNET, &frame);
    assert!(!has_originals(&out) && out[34..46] == [1; 12], "{out:x?}");
    assert_eq!(packet::parse(1, &out, out.len() as u32).unwrap().ports(), (5004, 6000));
}

#[test]
fn tcp_keeps_what_its_analysis_reads_and_no_cookie() {
    let mut frame = Vec::new();
    let options = [2, 4, 5, 180, 4, 2, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2, 34, 6, 203, 0, 113, 77, 3, 3, 7, 1, 1, 0];
    let builder = PacketBuilder::ethernet2(MAC_A, MAC_B).ipv4(HOST_A, HOST_B, 64).tcp(40_000, 443, 77, 1024);
    builder.syn().options_raw(&options).unwrap().write(&mut frame, b"").unwrap();
    let out = anew(linktype::ETHERNET, &frame);
    assert!(!has_originals(&out));
    let layers = packet::parse(linktype::ETHERNET, &out, out.len() as u32).unwrap();
    let Transport::Tcp(tcp) = layers.transport else { panic!("no TCP") };
    assert_eq!((tcp.sequence, tcp.mss(), tcp.window_scale()), (77, Some(1460), Some(7)));
    assert_eq!((tcp.timestamps(), tcp.sack_permitted()), (Some((1, 2)), true));
    let ip = etherparse::Ipv4HeaderSlice::from_slice(&out[14..]).unwrap();
    let header = etherparse::TcpHeaderSlice::from_slice(&out[34..]).unwrap();
    assert_eq!(tcp.checksum, header.calc_checksum_ipv4(&ip, b"").unwrap());
}

#[test]
fn arp_discovery_and_errors_tell_of_no_host() {
    let mut arp = [&MAC_B[..], &MAC_A, &[8, 6, 0, 1, 8, 0, 6, 4, 0, 2]].concat();
    arp.extend([&MAC_A[..], &HOST_A, &MAC_B, &HOST_B, &[0x77; 18]].concat());
    let out = anew(linktype::ETHERNET, &arp);
    assert!(!has_originals(&out));
    let by = &mut anonymizer();
    assert_eq!(out[22..28], by.mac(MAC_A));
    assert_eq!(out[28..32], by.ipv4(HOST_A.into()).octets());
    assert_eq!(out[42..], [0; 18], "padding holds what was in memory before");
    // An error quotes the packet that it is about.
    let mut error = Vec::new();
    let builder = PacketBuilder::ethernet2(MAC_A, MAC_B).ipv4(HOST_A, HOST_B, 64);
    builder.icmpv4_raw(3, 3, [0; 4]).write(&mut error, &udp(b"quoted")[14..]).unwrap();
    let out = anew(linktype::ETHERNET, &error);
    assert!(!has_originals(&out));
    assert_eq!(out[34..36], [3, 3]);
    // A neighbour solicitation, from one address, for another, to a group that is made from it.
    let target: Ipv6Addr = "2001:db8:dead:beef:3efd:feff:fe77:6655".parse().unwrap();
    let group: Ipv6Addr = "ff02::1:ff77:6655".parse().unwrap();
    let mut asked = Vec::new();
    let source: Ipv6Addr = "2001:db8:dead:beef:21b:21ff:feaa:bbcc".parse().unwrap();
    let builder = PacketBuilder::ethernet2(MAC_A, [0x33, 0x33, 0xff, 0x77, 0x66, 0x55]).ipv6(
        source.octets(),
        group.octets(),
        255,
    );
    let body = [&target.octets()[..], &[1, 1], &MAC_A].concat();
    builder.icmpv6_raw(135, 0, [0; 4]).write(&mut asked, &body).unwrap();
    let out = anew(linktype::ETHERNET, &asked);
    for secret in [&target.octets()[..], &source.octets(), &[0x77, 0x66, 0x55], &MAC_A, &[0xaa, 0xbb, 0xcc]] {
        assert!(!out.windows(secret.len()).any(|window| window == secret), "{secret:x?}");
    }
    let mapped = anonymizer().ipv6(group).octets();
    assert_eq!(out[..6], [0x33, 0x33, mapped[12], mapped[13], mapped[14], mapped[15]]);
}

#[test]
fn packets_in_tunnels_are_written_anew_at_every_level() {
    let inner = udp(b"inside of a tunnel, with more than eleven bytes");
    let vxlan = [&[8, 0, 0, 0, 0, 0, 42, 0][..], &inner].concat();
    let mut frame = Vec::new();
    PacketBuilder::ethernet2(MAC_A, MAC_B)
        .ipv4(HOST_B, HOST_A, 64)
        .udp(50_000, 4789)
        .write(&mut frame, &vxlan)
        .unwrap();
    let out = anew(linktype::ETHERNET, &frame);
    assert!(!has_originals(&out));
    let (was, is) =
        (packet::parse(1, &frame, frame.len() as u32).unwrap(), packet::parse(1, &out, out.len() as u32).unwrap());
    assert_eq!(is.tunnel.and_then(|tunnel| tunnel.id()), Some(42));
    assert_eq!((is.network_offset, is.ports()), (was.network_offset, was.ports()));
    let mapped = anonymizer().flow(&FlowKey::of(&was));
    assert_eq!(mapped.addresses, FlowKey::of(&is).addresses);
    assert_ne!(mapped.tunnel, was.tunnel);
}

#[test]
fn headers_of_known_rtp_stay_and_what_only_looks_like_it_goes() {
    let mut rtp = vec![0x91, 96, 0, 7, 0, 0, 1, 0, 0xde, 0xad, 0xbe, 0xef, 1, 2, 3, 4, 0xbe, 0xde, 0, 1];
    rtp.extend(HOST_A);
    rtp.extend([0x5a; 60]);
    let frame = udp(&rtp);
    let flow = FlowKey::of(&packet::parse(1, &frame, frame.len() as u32).unwrap());
    let mut rtp = RtpSources::default();
    rtp.learn(&flow, 0xdead_beef);
    let content = Content { rtp, cover: None };
    let mut by = anonymizer();
    let mut out = Vec::new();
    by.frame(1, &frame, frame.len() as u32, &content, &mut out);
    assert!(!has_originals(&out));
    let ssrc = by.ssrc(0xdead_beef).to_be_bytes();
    assert_eq!(out[42..54], [&[0x91, 96, 0, 7, 0, 0, 1, 0][..], &ssrc].concat());
    assert_eq!(out[58..66], [0xbe, 0xde, 0, 1, 0, 0, 0, 0]);
    // Unknown, all of it is content: BACnet forwards datagrams with the address in bytes 4 to 7, and begins like RTP.
    let out = anew(1, &udp(&[&[0x81, 4, 0, 30][..], &HOST_A, &[0xba, 0xc0, 1, 2, 3, 4, 5, 6]].concat()));
    assert!(!has_originals(&out));
    assert!(out[42] < 16, "{:x}", out[42]);
}

#[test]
fn reports_stay_and_names_go() {
    let mut sender = vec![0x81, 200, 0, 12];
    sender.extend(0x0102_0304_u32.to_be_bytes());
    sender.extend([0x11; 20]);
    sender.extend(0x0506_0708_u32.to_be_bytes());
    sender.extend([0x22; 20]);
    let mut names = vec![0x81, 202, 0, 6, 1, 2, 3, 4, 1, 16];
    names.extend(b"me@203.0.113.77\0\0\0");
    let bye = [0x81, 203, 0, 1, 1, 2, 3, 4];
    let frame = udp(&[&sender[..], &names, &bye].concat());
    let out = anew(1, &frame);
    let by = anonymizer();
    let payload = &out[42..];
    assert_eq!(payload[..4], sender[..4]);
    assert_eq!(payload[4..8], by.ssrc(0x0102_0304).to_be_bytes());
    assert_eq!(payload[8..28], [0x11; 20]);
    assert_eq!(payload[28..32], by.ssrc(0x0506_0708).to_be_bytes());
    assert_eq!(payload[32..52], [0x22; 20]);
    assert_eq!(payload[52..56], [0x81, 204, 0, 6]);
    assert!(!payload.windows(4).any(|window| window == b"me@2" || window == b"113."));
    assert_eq!(payload[80..84], [0x81, 203, 0, 1]);
    assert_eq!(payload[84..], by.ssrc(0x0102_0304).to_be_bytes());
}

#[test]
fn toast_keeps_its_header_and_what_its_checksum_says() {
    let mut whole = Vec::from(*b"TOST");
    whole.extend([2, 5, 1, 0, 7, 0, 0, 0, 1, 0, 0, 0, 30, 0, 0, 0, 9, 0, 0, 0, 1, 3, 0, 0, 4, 3, 2, 1]);
    whole.extend(br#"{"peer_id":"desk","command":1}"#);
    let crc = toast::crc16(&whole).to_le_bytes();
    whole[26..28].copy_from_slice(&crc);
    for (damage, want) in [(0, toast::Checksum::Crc), (1, toast::Checksum::Wrong)] {
        whole[40] ^= damage;
        let out = anew(1, &udp(&whole));
        assert_eq!(out[42..68], whole[..26]);
        assert_eq!(out[70..74], whole[28..32]);
        assert_eq!(toast::verify(&out[42..], whole.len()), want);
        assert!(!out.windows(4).any(|window| window == b"desk"));
    }
}

#[test]
fn every_link_type_is_read_the_same_way_afterwards() {
    let ip = &udp(b"a payload that is long enough to be cut")[14..];
    let cooked = [&[0, 0, 0, 1, 0, 6][..], &MAC_A, &[0, 0, 8, 0], ip].concat();
    let cooked_2 = [&[8, 0, 0, 0, 0, 0, 0, 3, 0, 1, 0, 6][..], &MAC_A, &[0, 0], ip].concat();
    let mut wireless = vec![0, 0, 9, 0, 2, 0, 0, 0, 0x10, 8, 1, 0, 0];
    wireless.extend([&MAC_A[..], &MAC_B, &MAC_A, &[0, 0, 0xaa, 0xaa, 3, 0, 0, 0, 8, 0], ip, &[1, 2, 3, 4]].concat());
    let ppp = [&[0xff, 3, 0, 0x21][..], ip].concat();
    let pppoe = [&MAC_B[..], &MAC_A, &[0x88, 0x64, 0x11, 0, 0, 9, 0, 69, 0, 0x21], ip].concat();
    for (linktype, frame) in [
        (linktype::RAW, ip.to_vec()),
        (linktype::NULL, [&[2, 0, 0, 0][..], ip].concat()),
        (linktype::LINUX_SLL, cooked),
        (linktype::LINUX_SLL2, cooked_2),
        (linktype::RADIOTAP, wireless),
        (linktype::PPP, ppp),
        (linktype::ETHERNET, pppoe),
    ] {
        let out = anew(linktype, &frame);
        assert!(!has_originals(&out), "{linktype}");
        let [was, is] = [&frame, &out].map(|bytes| packet::parse(linktype, bytes, bytes.len() as u32).unwrap());
        assert_eq!((was.network_offset, was.ports()), (is.network_offset, is.ports()), "{linktype}");
        assert_eq!(anonymizer().flow(&FlowKey::of(&was)), FlowKey::of(&is), "{linktype}");
    }
}

fn shared(one: u128, other: u128) -> u32 {
    (one ^ other).leading_zeros()
}

proptest! {
    #[test]
    fn addresses_share_as_many_leading_bits_as_before(key: [u8; 32], one: u32, other: u32, wide: u128, near in 0_u32..128) {
        // These two stay for themselves, whatever is in front of them.
        prop_assume!(![0, u32::MAX].iter().any(|alone| [one, other].contains(alone)));
        let mut by = Anonymizer::new(&Key::new(key));
        let bits = |address: Ipv4Addr| u128::from(address.to_bits()) << 96;
        for other in [other, one ^ 1 << (near % 32)] {
            let mapped = [one, other].map(|address| bits(by.ipv4(address.into())));
            prop_assert_eq!(shared(mapped[0], mapped[1]), shared(bits(one.into()), bits(other.into())));
        }
        let flipped = wide ^ 1 << near;
        let mapped = [wide, flipped].map(|address| by.ipv6(address.into()).to_bits());
        prop_assert_eq!(shared(mapped[0], mapped[1]), shared(wide, flipped));
    }

    #[test]
    fn one_key_gives_one_map_and_a_key_of_one_other_bit_another(mut key: [u8; 32], bit in 0_usize..256) {
        let map = |key| {
            let mut by = Anonymizer::new(&Key::new(key));
            // Bits in front of the third may lead to addresses that stay.
            (0..64_u8).map(|last| by.ipv4(Ipv4Addr::new(95, last, 3, 4))).collect::<Vec<_>>()
        };
        let first = map(key);
        prop_assert_eq!(&first, &map(key));
        key[bit / 8] ^= 1 << (bit % 8);
        prop_assert_ne!(&first, &map(key));
    }

    #[test]
    fn any_bytes_are_written_anew_at_their_length(data in prop::collection::vec(any::<u8>(), 0..200), kind in 0_u16..300, head in 0_usize..3) {
        let starts = [&[][..], &udp(&[])[..42], &udp(&[])[..34]];
        let frame = [starts[head], &data].concat();
        let out = anew(if head > 0 { 1 } else { kind }, &frame);
        prop_assert_eq!(out.len(), frame.len());
        let linktype = if head > 0 { 1 } else { kind };
        let place = |bytes: &[u8]| {
            packet::parse(linktype, bytes, bytes.len() as u32).map(|layers| (layers.network_offset, layers.ports()))
        };
        prop_assert_eq!(place(&out), place(&frame));
    }
}
