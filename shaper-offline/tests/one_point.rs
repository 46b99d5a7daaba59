//! One capture described: conversations, TCP, protocols.

#![expect(clippy::unwrap_used, reason = "tests panic with their context")]

use std::{fs, net::Ipv4Addr};

use shaper_offline::{
    analyze::{BeganBy, Description, Options, ProtocolPackets, Severity, one_point},
    recognise::Protocol,
};

const MS: i64 = 1_000_000;
const A: (Ipv4Addr, u16) = (Ipv4Addr::new(10, 0, 0, 1), 50_000);
const B: (Ipv4Addr, u16) = (Ipv4Addr::new(10, 0, 0, 2), 443);

type End = (Ipv4Addr, u16);

/// An Ethernet frame of an IPv4 packet.
fn ipv4(protocol: u8, from: End, to: End, transport: &[u8]) -> Vec<u8> {
    let mut frame = vec![2; 12];
    frame.extend([8, 0, 0x45, 0]);
    frame.extend(((20 + transport.len()) as u16).to_be_bytes());
    frame.extend([0, 0, 0, 0, 64, protocol, 0, 0]);
    frame.extend(from.0.octets());
    frame.extend(to.0.octets());
    frame.extend(transport);
    frame
}

fn udp(from: End, to: End, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for field in [from.1, to.1, 8 + payload.len() as u16, 0] {
        bytes.extend(field.to_be_bytes());
    }
    bytes.extend(payload);
    ipv4(17, from, to, &bytes)
}

fn tcp(from: End, to: End, numbers: (u32, u32), flags: u8, length: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend(from.1.to_be_bytes());
    bytes.extend(to.1.to_be_bytes());
    bytes.extend(numbers.0.to_be_bytes());
    bytes.extend(numbers.1.to_be_bytes());
    bytes.extend([0x50, flags, 1, 0, 0, 0, 0, 0]);
    bytes.resize(20 + length, 0x5a);
    ipv4(6, from, to, &bytes)
}

/// A capture of nanoseconds that holds so many bytes of each frame.
fn described(frames: &[(i64, Vec<u8>)], snaplen: usize) -> Description {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("one.pcap");
    let mut file = Vec::new();
    for field in [0xa1b2_3c4d_u32, 0x0004_0002, 0, 0, 65_535, 1] {
        file.extend(field.to_le_bytes());
    }
    for (ts, frame) in frames {
        let held = frame.len().min(snaplen);
        let stamp = [1_700_000_000 + ts / 1_000_000_000, ts % 1_000_000_000];
        for field in [stamp[0] as u32, stamp[1] as u32, held as u32, frame.len() as u32] {
            file.extend(field.to_le_bytes());
        }
        file.extend(&frame[..held]);
    }
    fs::write(&path, file).unwrap();
    one_point(&path, &Options::default()).unwrap()
}

/// A handshake that was captured from its answer on, ten segments there, one of them again.
fn transfer() -> Vec<(i64, Vec<u8>)> {
    let mut frames = vec![(0, tcp(B, A, (500, 1_001), 0x12, 0)), (10 * MS, tcp(A, B, (1_001, 501), 0x10, 0))];
    for number in 0..10_i64 {
        let sequence = 1_001 + 1_000 * number as u32;
        frames.push(((20 + 100 * number) * MS, tcp(A, B, (sequence, 501), 0x18, 1_000)));
        frames.push(((50 + 100 * number) * MS, tcp(B, A, (501, sequence + 1_000), 0x10, 0)));
    }
    frames.push((1_000 * MS, tcp(A, B, (10_001, 501), 0x18, 1_000)));
    frames
}

#[test]
fn a_conversation_joins_both_directions_and_begins_with_who_sent_the_syn() {
    let found = described(&transfer(), 65_535);
    let [one] = &found.conversations[..] else { panic!("{:?}", found.conversations) };
    assert_eq!(one.flow.to_string(), "TCP 10.0.0.1:50000 > 10.0.0.2:443");
    assert_eq!((one.began_by, one.a_to_b.packets, one.b_to_a.packets), (BeganBy::Syn, 12, 11));
    assert_eq!((one.a_to_b.bytes, one.b_to_a.bytes), (54 + 11 * 1_054, 11 * 54));
    assert_eq!(one.duration_ns, Some(1_000 * MS));
    assert_eq!(one.a_to_b.mean_rate_bps, Some(8.0 * (54.0 + 11.0 * 1_054.0)));
    let tcp = one.tcp.as_ref().unwrap();
    let rtt = tcp.a_to_b.rtt_by_acknowledgement_ns.unwrap();
    assert_eq!((rtt.count, rtt.min, rtt.max), (10, 30 * MS, 30 * MS));
    assert_eq!((tcp.a_to_b.counts.repeated, tcp.a_to_b.counts.needless), (1, 1));
    let totals = found.tcp.unwrap();
    assert_eq!((totals.conversations, totals.data_segments, totals.retransmissions), (1, 11, 1));
    assert_eq!(found.flows.len(), 2);
}

#[test]
fn a_capture_of_headers_alone_says_the_same_of_tcp() {
    let [whole, cut] = [65_535, 54].map(|snaplen| described(&transfer(), snaplen));
    let told = |found: &Description| serde_json::to_value(&found.conversations).unwrap();
    assert_eq!(told(&whole), told(&cut));
}

#[test]
fn the_first_packet_begins_where_no_syn_is() {
    let found = described(&[(0, udp(B, A, b"x")), (0, udp(A, B, b"yy")), (0, udp(B, A, b"x"))], 65_535);
    let [one] = &found.conversations[..] else { panic!("{:?}", found.conversations) };
    assert_eq!(
        (one.flow.to_string().as_str(), one.began_by),
        ("UDP 10.0.0.2:443 > 10.0.0.1:50000", BeganBy::FirstPacket)
    );
    assert_eq!((one.a_to_b.packets, one.b_to_a.packets), (2, 1));
    // No time passed: there is no rate.
    assert_eq!((one.duration_ns, one.a_to_b.mean_rate_bps), (Some(0), None));
    assert_eq!(found.tcp, None);
}

fn binding(kind: u16, transaction: u8) -> Vec<u8> {
    let mut bytes = kind.to_be_bytes().to_vec();
    bytes.extend([0, 0, 0x21, 0x12, 0xa4, 0x42]);
    bytes.extend([transaction; 12]);
    bytes
}

#[test]
fn one_flow_carries_several_protocols() {
    let dtls = [&[22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3][..], &[1, 2, 3]].concat();
    let mut frames = vec![
        (0, udp(A, B, &binding(0x001, 1))),
        (30 * MS, udp(B, A, &binding(0x101, 1))),
        // Sent again: no time.
        (40 * MS, udp(A, B, &binding(0x001, 2))),
        (50 * MS, udp(A, B, &binding(0x001, 2))),
        (90 * MS, udp(B, A, &binding(0x101, 2))),
        (95 * MS, udp(A, B, &binding(0x001, 3))),
        (100 * MS, udp(A, B, &dtls)),
    ];
    // PTP over Ethernet: Announce.
    let mut ptp = vec![1, 0x1b, 0x19, 0, 0, 0, 2, 2, 2, 2, 2, 2, 0x88, 0xf7, 0x0b, 2, 0, 64, 24];
    ptp.resize(14 + 64, 0);
    frames.push((110 * MS, ptp));
    let found = described(&frames, 65_535);
    let of = |protocol, packets| ProtocolPackets { protocol, packets };
    let one = &found.conversations[0];
    assert_eq!(one.protocols, [of(Protocol::Stun, 6), of(Protocol::Dtls, 1)]);
    let flow = found.flows.iter().find(|flow| flow.flow == one.flow).unwrap();
    assert_eq!(flow.protocol, Some(Protocol::Stun));
    assert_eq!(flow.protocols, [of(Protocol::Stun, 4), of(Protocol::Dtls, 1)]);
    let stun = found.stun.unwrap();
    assert_eq!((stun.requests, stun.repeated, stun.successes, stun.errors), (3, 1, 2, 0));
    assert_eq!((stun.rtt_ns.unwrap().count, stun.rtt_ns.unwrap().min), (1, 30 * MS));
    assert_eq!(found.ptp[&24]["announce"], 1);
    let totals: Vec<_> = found.protocols.iter().map(|seen| (seen.protocol, seen.packets, seen.flows)).collect();
    assert_eq!(totals, [(Protocol::Stun, 6, 2), (Protocol::Dtls, 1, 1), (Protocol::Ptp, 1, 1)]);
}

#[test]
fn rtcp_is_a_protocol_of_its_flow_on_a_port_of_its_own_and_on_that_of_rtp() {
    let rtp = |number: u16| {
        let mut rtp = vec![0x80, 0];
        rtp.extend(number.to_be_bytes());
        rtp.extend((u32::from(number) * 160).to_be_bytes());
        rtp.extend([0, 0, 0, 9]);
        rtp.resize(172, 0xd5);
        rtp
    };
    // A receiver's report without a block, and what only begins like one.
    let report = [0x80, 201, 0, 1, 0, 0, 0, 9];
    let no_report = [0x80, 201, 0, 9, 1, 2, 3, 4];
    let mut frames = Vec::new();
    for number in 0..20_u16 {
        frames.push((i64::from(number) * 20 * MS, udp((A.0, 5_000), (B.0, 5_004), &rtp(number))));
    }
    for (ms, ports) in [(401, (5_004, 5_000)), (402, (5_005, 5_001)), (403, (5_005, 5_001))] {
        frames.push((ms * MS, udp((B.0, ports.0), (A.0, ports.1), &report)));
    }
    frames.push((404 * MS, udp((B.0, 5_005), (A.0, 5_001), &no_report)));
    let found = described(&frames, 65_535);
    let of = |protocol, packets| ProtocolPackets { protocol, packets };
    let protocols: Vec<_> = found.conversations.iter().map(|one| one.protocols.clone()).collect();
    assert_eq!(protocols, [vec![of(Protocol::Rtp, 20), of(Protocol::Rtcp, 1)], vec![of(Protocol::Rtcp, 2)]]);
    assert_eq!(found.rtp.rtcp.datagrams, 3);
    let text = found.to_string();
    assert!(text.contains("Packets recognised: RTP 20, RTCP 3."), "{text}");
    assert!(text.lines().any(|row| row.contains("  RTCP ") && row.contains("10.0.0.2:5005")), "{text}");
}

#[test]
fn findings_say_how_grave_they_are_and_are_sentences_in_json() {
    let mut frames = transfer();
    frames.push((0, vec![2; 10]));
    let found = described(&frames, 65_535);
    let grave = |words: &str| {
        let finding = found.findings.iter().find(|finding| finding.text.contains(words));
        finding.unwrap_or_else(|| panic!("no {words}: {:?}", found.findings)).severity
    };
    assert_eq!(grave("retransmissions"), Severity::Note);
    assert_eq!(grave("of an unknown link type"), Severity::Warning);
    assert_eq!(described(&[], 65_535).findings[0].severity, Severity::Error);
    let json = serde_json::to_value(&found).unwrap();
    assert_eq!(json["findings"][0], found.findings[0].text.as_str());
}

#[test]
fn sessions_of_ableton_link_have_their_tempo() {
    let announced = |bpm: f64| {
        let mut bytes = b"_asdp_v\x01\x01\x05\0\0ABCDEFGHtmln\0\0\0\x18".to_vec();
        bytes.extend(((60e6 / bpm) as u64).to_be_bytes());
        bytes.extend([0; 16]);
        bytes.extend(b"sess\0\0\0\x08\x01\x02\x03\x04\x05\x06\x07\x08");
        bytes
    };
    let group = (Ipv4Addr::new(224, 76, 78, 75), 20_808);
    let frames = [120.0, 120.0, 125.0].map(|bpm| (0, udp((A.0, 20_808), group, &announced(bpm))));
    let found = described(&frames, 65_535);
    let [session] = &found.ableton_link[..] else { panic!("{:?}", found.ableton_link) };
    assert_eq!((session.session.as_str(), session.announcements), ("0102030405060708", 3));
    assert_eq!((session.first_bpm, session.last_bpm), (Some(120.0), Some(125.0)));
    assert!(found.to_string().contains("120.0 to 125.0 bpm"), "{found}");
}

#[test]
fn a_syn_that_is_sent_again_is_no_data() {
    let frames: Vec<_> = (0..5_i64).map(|n| (n * 1_000 * MS, tcp(A, B, (100, 0), 0x02, 0))).collect();
    let found = described(&frames, 65_535);
    let totals = found.tcp.unwrap();
    assert_eq!((totals.data_segments, totals.retransmissions, totals.data_retransmissions), (0, 4, 0));
    let text = found.to_string();
    assert!(text.contains("TCP: 4 SYN or FIN were sent again") && !text.contains('%'), "{text}");
    // One of a transfer's data segments besides: its share is still that of data alone.
    let mut frames = transfer();
    frames.insert(1, (5 * MS, tcp(B, A, (500, 1_001), 0x12, 0)));
    let text = described(&frames, 65_535).to_string();
    assert!(text.contains("TCP: 9.09 % of 11 data segments are retransmissions: 1 of what"), "{text}");
    assert!(text.contains("TCP: 1 SYN or FIN was sent again"), "{text}");
}

#[test]
fn losses_stand_above_notes_and_one_packet_is_no_packets() {
    let mut frames = transfer();
    frames.insert(0, (0, tcp(A, B, (1_000, 0), 0x02, 0)));
    for number in (0..100_u16).filter(|&number| number != 50) {
        let mut rtp = vec![0x80, 0];
        rtp.extend(number.to_be_bytes());
        rtp.extend((u32::from(number) * 160).to_be_bytes());
        rtp.extend([0, 0, 0, 9]);
        rtp.resize(172, 0xd5);
        frames.push((i64::from(number) * 20 * MS, udp((A.0, 5_000), (B.0, 5_004), &rtp)));
    }
    frames.push((0, vec![2; 10]));
    let text = described(&frames, 65_535).to_string();
    let place = |words: &str| text.find(words).unwrap_or_else(|| panic!("no {words}: {text}"));
    assert!(place("lost 1 of 100 packets") < place("TCP round trip: "), "{text}");
    assert!(place("TCP round trip: ") < place("Packets recognised: "), "{text}");
    place("1 packet of an unknown link type, or shorter than its link header, was left out.");
}

#[test]
fn findings_come_first_and_tables_keep_to_100_columns() {
    let mut frames = transfer();
    let mut toast = b"TOST\x02\x05\x01\0".to_vec();
    toast.extend([0; 24]);
    frames.push((0, udp((A.0, 7_777), (Ipv4Addr::new(239, 255, 77, 77), 7_777), &toast)));
    let text = described(&frames, 65_535).to_string();
    let place = |words: &str| text.find(words).unwrap_or_else(|| panic!("no {words}: {text}"));
    assert!(place("TCP: 9.09 % of 11 data segments are retransmissions") < place("Conversations, a > b"), "{text}");
    assert!(place("Conversations, a > b") < place("TCP, a row each direction"), "{text}");
    assert!(place("TCP, a row each direction") < place("TOAST session 0x00000000"), "{text}");
    let tables = &text[place("Conversations, a > b")..];
    assert!(tables.lines().all(|line| line.chars().count() <= 100), "{tables}");
}
