//! One packet or more of each protocol, written by hand from its specification, and random bytes.

use super::{Datagram, Protocol, Watch, quic, stun};

fn alone(payload: &[u8], ports: (u16, u16)) -> Option<Protocol> {
    Watch::default().see(&Datagram { payload, length: payload.len() as u32, ports })
}

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<_> = text.chars().filter_map(|digit| digit.to_digit(16)).collect();
    digits.chunks(2).map(|pair| (pair[0] * 16 + pair[1]) as u8).collect()
}

/// RFC 5769 section 2.1: a Binding request with a fingerprint.
fn stun_request() -> Vec<u8> {
    hex("00010058 2112a442 b7e7a701bc34d686fa87dfae
         80220010 5354554e207465737420636c69656e74
         00240004 6e0001ff 80290008 932ff9b151263b36
         00060009 6576746a3a6836765920 2020
         00080014 9aeaa70cbfd8cb56781ef2b5b2d3f249c1b571a2
         80280004 e57a3bcf")
}

fn dns_query(name: &[&str], class: u16) -> Vec<u8> {
    let mut bytes = hex("1a2b 0100 0001 0000 0000 0000");
    for label in name {
        bytes.push(label.len() as u8);
        bytes.extend(label.as_bytes());
    }
    bytes.extend([0, 0, 1]);
    bytes.extend(class.to_be_bytes());
    bytes
}

/// A long header with connection ids of eight bytes, and a length that fits.
fn quic_initial(version: u32, first: u8) -> Vec<u8> {
    let mut bytes = vec![first];
    bytes.extend(version.to_be_bytes());
    bytes.extend([8, 1, 2, 3, 4, 5, 6, 7, 8, 0]);
    // No token, then a length of 1185 in two bytes.
    bytes.extend([0, 0x44, 0xa1]);
    bytes.resize(bytes.len() + 1_185, 0x5a);
    bytes
}

fn osc(address: &str, tags: &str, arguments: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for text in [address, tags] {
        bytes.extend(text.as_bytes());
        bytes.resize(bytes.len() / 4 * 4 + 4, 0);
    }
    bytes.extend(arguments);
    bytes
}

fn ptp(kind: u8, length: u16) -> Vec<u8> {
    let mut bytes = vec![kind, 2];
    bytes.extend(length.to_be_bytes());
    bytes.resize(usize::from(length), 0);
    bytes
}

fn samples() -> Vec<(Protocol, (u16, u16), Vec<u8>)> {
    let any = (40_000, 50_000);
    let bundle = {
        let inner = osc("/a", ",i", &[0, 0, 0, 1]);
        let mut bytes = b"#bundle\0\0\0\0\0\0\0\0\x01".to_vec();
        for _ in 0..2 {
            bytes.extend((inner.len() as u32).to_be_bytes());
            bytes.extend(&inner);
        }
        bytes
    };
    let link = {
        let mut bytes = b"_asdp_v\x01\x01\x05\0\0ABCDEFGH".to_vec();
        bytes.extend(b"tmln\0\0\0\x18");
        bytes.extend(500_000_u64.to_be_bytes());
        bytes.extend([0; 16]);
        bytes.extend(b"sess\0\0\0\x08ABCDEFGH");
        bytes
    };
    let answer = {
        let mut bytes = dns_query(&["example", "org"], 1);
        bytes[2..4].copy_from_slice(&[0x81, 0x80]);
        bytes[7] = 1;
        bytes.extend(hex("c00c 0001 0001 00000e10 0004 c0000201"));
        bytes
    };
    let invitation = hex("ffff 494e 00000002 12345678 9abcdef0 6d616300");
    vec![
        (Protocol::Stun, any, stun_request()),
        (Protocol::Stun, any, hex("01010000 2112a442 b7e7a701bc34d686fa87dfae")),
        // A ClientHello's record, then two records in one datagram.
        (Protocol::Dtls, any, hex("16 feff 0000 000000000000 0003 010203")),
        (Protocol::Dtls, any, hex("14 fefd 0000 000000000005 0001 01 16 fefd 0001 000000000000 0002 0102")),
        (Protocol::Quic, any, quic_initial(1, 0xc3)),
        (Protocol::Quic, any, quic_initial(0x6b33_43cf, 0xd3)),
        // Version negotiation: offers version 1.
        (Protocol::Quic, any, hex("8a 00000000 04 01020304 04 05060708 00000001 0a1a2a3a")),
        (Protocol::Dns, (40_000, 53), dns_query(&["example", "org"], 1)),
        (Protocol::Dns, (53, 40_000), answer.clone()),
        (Protocol::Dns, any, answer),
        (Protocol::Mdns, (5_353, 5_353), dns_query(&["_apple-midi", "_udp", "local"], 0x8001)),
        (Protocol::Ptp, (319, 319), ptp(0x0, 44)),
        (Protocol::Ptp, (320, 320), ptp(0xb, 64)),
        (Protocol::AbletonLink, (20_808, 20_808), link),
        (Protocol::AbletonLink, any, b"_link_v\x01\x01__ht\0\0\0\x08ABCDEFGH".to_vec()),
        (Protocol::RtpMidi, any, invitation),
        (Protocol::RtpMidi, any, [hex("ffff 434b 9abcdef0 00 000000"), vec![0; 24]].concat()),
        (Protocol::RtpMidi, any, hex("ffff 5253 9abcdef0 00010000")),
        (Protocol::RtpMidi, any, hex("ffff 4259 00000002 12345678 9abcdef0")),
        (Protocol::Osc, any, osc("/mixer/1/gain", ",fs", &hex("3f800000 61620000"))),
        (Protocol::Osc, any, osc("/go", ",T", &[])),
        (Protocol::Osc, any, osc("/x", ",b", &hex("00000003 01020300"))),
        (Protocol::Osc, any, bundle),
        (Protocol::Toast, (7_777, 7_777), [&b"TOST\x02\x05\x01\0"[..], &[0; 24]].concat()),
        (Protocol::Toast, any, b"TOAST_DISCOVERY|desk|12345".to_vec()),
        (Protocol::ToastIncompatible, any, b"TOAS\x01\x02\x03\x04".to_vec()),
    ]
}

#[test]
fn each_protocol_is_recognised_by_its_packets() {
    for (number, (protocol, ports, payload)) in samples().into_iter().enumerate() {
        assert_eq!(alone(&payload, ports), Some(protocol), "sample {number}");
    }
}

#[test]
fn a_packet_whose_length_does_not_agree_is_not_recognised() {
    let fixed = [Protocol::Stun, Protocol::Dtls, Protocol::Dns, Protocol::Mdns, Protocol::Osc];
    for (protocol, ports, payload) in samples().into_iter().filter(|sample| fixed.contains(&sample.0)) {
        assert_eq!(alone(&payload[..payload.len() - 1], ports), None, "{protocol:?} too short");
        assert_eq!(alone(&[&payload[..], &[0]].concat(), ports), None, "{protocol:?} too long");
    }
}

#[test]
fn what_the_capture_cut_is_recognised_by_what_is_there() {
    let cut = [Protocol::Stun, Protocol::Quic, Protocol::Dns, Protocol::Mdns, Protocol::Ptp];
    for (protocol, ports, payload) in samples().into_iter().filter(|sample| cut.contains(&sample.0)) {
        if payload.len() <= 24 {
            continue;
        }
        let datagram = Datagram { payload: &payload[..24], length: payload.len() as u32, ports };
        // Away from its port DNS needs to be whole.
        let want = (protocol != Protocol::Dns || ports.0 == 53 || ports.1 == 53).then_some(protocol);
        assert_eq!(Watch::default().see(&datagram), want, "{protocol:?}");
    }
}

#[test]
fn a_wrong_fingerprint_is_no_stun() {
    let mut request = stun_request();
    assert_eq!(stun::crc32(b"123456789"), 0xcbf4_3926);
    request[30] ^= 1;
    assert_eq!(alone(&request, (1, 2)), None);
}

#[test]
fn the_class_and_method_of_stun_are_taken_apart() {
    let message = |kind: u16| {
        let mut bytes = hex("0000 0000 2112a442 b7e7a701bc34d686fa87dfae");
        bytes[..2].copy_from_slice(&kind.to_be_bytes());
        let message = stun::message(&bytes, 20).unwrap();
        (message.method, message.class)
    };
    // Binding request, success, error; Allocate success; Send indication.
    assert_eq!([0x001, 0x101, 0x111].map(message), [(1, 0), (1, 2), (1, 3)]);
    assert_eq!([0x103, 0x016].map(message), [(3, 2), (6, 1)]);
}

#[test]
fn short_headers_and_channel_data_are_told_by_what_the_flow_carried() {
    let see = |watch: &mut Watch, payload: &[u8]| {
        watch.see(&Datagram { payload, length: payload.len() as u32, ports: (443, 50_000) })
    };
    let short = [&[0x4f][..], &[0x77; 40]].concat();
    let channel = [&[0x40, 1, 0, 5][..], &[0x99; 5]].concat();
    let midi = [&[0x80, 97][..], &[1; 20]].concat();
    let mut plain = Watch::default();
    for payload in [&short, &channel, &midi] {
        assert_eq!(see(&mut plain, payload), None);
    }
    let mut watch = Watch::default();
    see(&mut watch, &quic_initial(1, 0xc3));
    assert_eq!(see(&mut watch, &short), Some(Protocol::Quic));
    assert_eq!(see(&mut watch, &short[..quic::SHORTEST as usize - 1]), None);
    // ChannelBind.
    let mut watch = Watch::default();
    see(&mut watch, &hex("00090000 2112a442 b7e7a701bc34d686fa87dfae"));
    assert_eq!(see(&mut watch, &channel), Some(Protocol::TurnChannelData));
    assert_eq!(see(&mut watch, &channel[..8]), None);
    let mut watch = Watch::default();
    see(&mut watch, &hex("ffff 5253 9abcdef0 00010000"));
    assert_eq!(see(&mut watch, &midi), Some(Protocol::RtpMidi));
    assert_eq!(watch.found(), [(Protocol::RtpMidi, 2)]);
}

#[test]
fn marked_protocols_are_still_found_on_a_flow_that_carries_something_else() {
    let mut watch = Watch::default();
    let see = |watch: &mut Watch, payload: &[u8]| {
        watch.see(&Datagram { payload, length: payload.len() as u32, ports: (1, 2) })
    };
    (0..1_000).for_each(|_| assert_eq!(see(&mut watch, &[0x80, 96, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]), None));
    assert_eq!(see(&mut watch, &stun_request()), Some(Protocol::Stun));
    assert_eq!(watch.found(), [(Protocol::Stun, 1)]);
}

#[test]
fn names_that_go_in_circles_or_on_for_ever_end() {
    let head = hex("1a2b 8180 0001 0001 0000 0000");
    for name in ["c00c", "c00e 00", "c0ff", "3f", "ff"] {
        let payload = [head.clone(), hex(name), hex("0001 0001")].concat();
        assert_eq!(alone(&payload, (53, 1)), None, "{name}");
    }
    let long = [head, [&[63][..], &[b'a'; 63]].concat().repeat(5), hex("00 0001 0001")].concat();
    assert_eq!(alone(&long, (53, 1)), None);
}

/// What comes of a generator whose bytes are as good as random (SplitMix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    fn bytes(&mut self, length: usize) -> Vec<u8> {
        (0..length).map(|_| self.next() as u8).collect()
    }
}

/// Random bytes of any length, each first byte as often as others, in flows of 100 packets: what is
/// recognised is none at all. The likeliest by chance is DNS at its own ports; away from them a
/// question count of one, 2^-16, with counts and lengths that agree.
#[test]
fn random_bytes_are_of_no_protocol() {
    let mut random = Random(5);
    let mut found = Vec::new();
    let mut watch = Watch::default();
    for number in 0..100_000_u32 {
        if number % 100 == 0 {
            watch = Watch::default();
        }
        let length = 1 + (random.next() % 300) as usize;
        let mut payload = random.bytes(length);
        payload[0] = number as u8;
        let datagram = Datagram { payload: &payload, length: length as u32, ports: (40_000, 50_000) };
        found.extend(watch.see(&datagram).map(|protocol| (protocol, number)));
    }
    assert!(found.is_empty(), "{found:?}");
}

/// On the ports of DNS and PTP less is asked for: still fewer than 1 in 10,000.
#[test]
fn random_bytes_on_known_ports_are_rarely_taken_for_their_protocols() {
    let mut random = Random(6);
    for port in [53, 5_353, 319, 320] {
        let found = (0..25_000).filter(|_| {
            let length = 1 + (random.next() % 300) as usize;
            alone(&random.bytes(length), (40_000, port)).is_some()
        });
        assert!(found.count() < 3, "port {port}");
    }
}

/// Cut packets hide what would not agree; the marks are there all the same.
#[test]
fn random_bytes_that_are_cut_are_of_no_protocol() {
    let mut random = Random(7);
    for number in 0..100_000_u32 {
        let mut payload = random.bytes(40);
        payload[0] = number as u8;
        let datagram = Datagram { payload: &payload, length: 1_000 + number % 400, ports: (40_000, 50_000) };
        assert_eq!(Watch::default().see(&datagram), None, "{payload:02x?}");
    }
}
