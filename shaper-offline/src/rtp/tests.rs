//! Whole streams, and what only looks like one.

use std::net::{IpAddr, Ipv4Addr};

use proptest::prelude::*;

use super::{Rtp, RtpFound};
use crate::analyze::FlowKey;

const START: i64 = 1_700_000_000_000_000_000;
const MS: i64 = 1_000_000;

pub(super) fn flow(from: u8, to: u8, source_port: u16, destination_port: u16) -> FlowKey {
    let address = |last| IpAddr::V4(Ipv4Addr::new(10, 0, 0, last));
    FlowKey {
        tunnel: None,
        addresses: Some((address(from), address(to))),
        protocol: 17,
        ethertype: 0x0800,
        source_port,
        destination_port,
    }
}

pub(super) fn packet(payload_type: u8, sequence: u16, timestamp: u32, ssrc: u32, payload: usize) -> Vec<u8> {
    let mut bytes = vec![0x80, payload_type];
    bytes.extend(sequence.to_be_bytes());
    bytes.extend(timestamp.to_be_bytes());
    bytes.extend(ssrc.to_be_bytes());
    bytes.resize(12 + payload, 0xd5);
    bytes
}

/// A fixed generator (Knuth's MMIX constants), so that a failure comes back.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 16
    }

    fn bytes(&mut self, length: usize) -> Vec<u8> {
        (0..length).map(|_| self.next() as u8).collect()
    }
}

fn analysed(packets: impl IntoIterator<Item = (i64, Vec<u8>)>) -> RtpFound {
    let mut rtp = Rtp::default();
    let flow = flow(1, 2, 40_000, 50_000);
    for (ts_ns, bytes) in packets {
        rtp.datagram(3, &flow, &bytes, bytes.len() as u32, Some(START + ts_ns));
    }
    rtp.finish()
}

#[test]
fn a_call_is_found_and_counted_from_its_first_packet() {
    let packets = (0..3_000_u32).filter(|n| !matches!(n, 100 | 1_000..=1_004)).map(|n| {
        let bytes = packet(0, (n as u16).wrapping_add(65_000), n * 160, 0xabcd, 160);
        (i64::from(n) * 20 * MS, bytes)
    });
    let found = analysed(packets);
    let [stream] = found.streams.as_slice() else { panic!("{found:?}") };
    assert_eq!((stream.ssrc, stream.payload_type, stream.encoding), (0xabcd, 0, Some("PCMU")));
    assert_eq!((stream.expected, stream.received, stream.lost, stream.missing), (3_000, 2_994, 6, 6));
    assert_eq!((stream.clock_rate, stream.clock_rate_estimated), (Some(8_000.0), false));
    let jitter = stream.jitter_ms.unwrap();
    assert!(jitter.max < 1e-6, "{jitter:?}");
    assert_eq!(stream.bursts.longest_loss_run, 5);
    assert_eq!((stream.bursts.bursts, stream.bursts.burst_packets), (1, 5));
    assert_eq!(stream.bursts.burst_duration_rfc3611_ms, Some(100));
    assert_eq!((stream.payload_min, stream.payload_max), (160, 160));
    // 172 bytes every 20 ms; at an outage the mean falls a little.
    let bitrate = stream.bitrate_bps.unwrap();
    assert_eq!(bitrate.max, Some(68_800.0));
    assert!((bitrate.mean - 68_662.0).abs() < 100.0, "{bitrate:?}");
    assert_eq!(stream.max_interarrival_ns, Some(120 * MS));
    assert!(stream.quality.unwrap().mos > 4.3);
}

#[test]
fn video_of_unknown_type_gets_its_clock_rate_and_an_outage_of_seconds_is_loss() {
    // Frames at 30 Hz, 20 packets each, marker at the end; an outage from 10 to 20 s: 6000 packets.
    let packets = (0..20_000_u32).filter(|n| !(6_000..12_000).contains(n)).map(|n| {
        let (frame, part) = (n / 20, n % 20);
        let payload_type = if part == 19 { 0x80 | 96 } else { 96 };
        let ts = i64::from(frame) * 33_333_333 + i64::from(part) * 200_000;
        (ts, packet(payload_type, n as u16, frame * 3_000, 7, 1_100))
    });
    let found = analysed(packets);
    let [stream] = found.streams.as_slice() else { panic!("{found:?}") };
    assert_eq!(
        (stream.clock_rate, stream.clock_rate_estimated, stream.clock_rate_rounded),
        (Some(90_000.0), true, true)
    );
    assert_eq!((stream.expected, stream.missing, stream.restarts, stream.strays), (20_000, 6_000, 0, 0));
    assert_eq!(stream.markers, 700);
    assert_eq!(stream.quality, None);
    // All but the first, and but that which had to be confirmed behind the outage.
    assert_eq!(stream.jitter_packets, 13_998);
}

#[test]
fn quality_is_that_of_one_codec_or_of_none() {
    let quality = |packets: u32, change: fn(u32) -> (u8, u32)| {
        let mut timestamp = 0_u32;
        let found = analysed((0..packets).map(|n| {
            let (payload_type, units) = change(n);
            timestamp = timestamp.wrapping_add(units);
            (i64::from(n) * 20 * MS, packet(payload_type, n as u16, timestamp, 7, 80))
        }));
        let [stream] = found.streams.as_slice() else { panic!("{found:?}") };
        assert_eq!((stream.payload_type, stream.clock_rate), (0, Some(8_000.0)));
        stream.quality.is_some()
    };
    assert!(quality(2_000, |n| (if n % 20 == 0 { 101 } else { 0 }, 160)));
    assert!(!quality(2_000, |n| (if n % 19 == 0 { 101 } else { 0 }, 160)));
    assert!(quality(2_000, |n| (if n > 20 && n % 3 == 0 { 13 } else { 0 }, 160)));
    assert!(!quality(2_000, |n| if n < 1_020 { (0, 160) } else { (111, 960) }));
    // Of the right type, but timestamps that no codec of 8 kHz has.
    assert!(quality(2_000, |n| (0, 160 + n % 2 * 16)));
    assert!(!quality(2_000, |_| (0, 180)));
}

#[test]
fn several_sources_in_one_flow_are_several_streams() {
    let packets = (0..4_000_u32).map(|n| {
        let source = n % 4;
        (i64::from(n) * 5 * MS, packet(111, (n / 4) as u16, (n / 4) * 960, source, 80))
    });
    let found = analysed(packets);
    assert_eq!(found.streams.len(), 4);
    for stream in &found.streams {
        assert_eq!((stream.expected, stream.received, stream.clock_rate), (1_000, 1_000, Some(48_000.0)));
    }
}

#[test]
fn many_sources_that_take_turns_are_all_found() {
    for sources in [5, 16, 24_u32] {
        let packets = (0..sources * 1_000).map(|n| {
            let (source, number) = (n % sources, n / sources);
            let ns = i64::from(number) * 20 * MS + i64::from(source) * 100_000;
            (ns, packet(0, number as u16, number * 160, 1 + source, 160))
        });
        let found = analysed(packets);
        assert_eq!((found.streams.len(), found.untracked), (sources as usize, 0));
        // Sources beyond the first sixteen wait until those are streams.
        let first = found.streams.iter().filter(|stream| stream.expected == 1_000).count();
        assert_eq!(first, sources.min(16) as usize);
        assert!(found.streams.iter().all(|stream| stream.expected >= 992), "{sources}");
    }
}

#[test]
fn without_times_packets_are_counted_all_the_same() {
    let mut rtp = Rtp::default();
    let flow = flow(1, 2, 40_000, 50_000);
    for n in 0..100_u16 {
        let bytes = packet(8, n, u32::from(n) * 160, 1, 160);
        rtp.datagram(0, &flow, &bytes[..20], 172, None);
    }
    let found = rtp.finish();
    let [stream] = found.streams.as_slice() else { panic!("{found:?}") };
    assert_eq!((stream.expected, stream.jitter_ms, stream.bitrate_bps, stream.duration_ns), (100, None, None, None));
    assert_eq!(stream.bytes, 17_200);
}

#[test]
fn streams_beyond_the_bounds_are_counted() {
    let packets = (0..70_u32).flat_map(|source| {
        (0..20_u32).map(move |n| (i64::from(n) * 20 * MS, packet(0, n as u16, n * 160, 1 + source, 160)))
    });
    let found = analysed(packets);
    assert_eq!(found.streams.len(), 64);
    // Of each of six, twice eight packets that would have made a stream.
    assert_eq!(found.untracked, 6 * 16);
}

/// Requires that nothing is found in datagrams made one by one, sent every millisecond.
fn nothing(name: &str, mut make: impl FnMut(u32, &mut Random) -> Vec<u8>) {
    let mut random = Random(name.bytes().fold(7, |sum: u64, byte| sum.wrapping_mul(31) + u64::from(byte)));
    let packets: Vec<_> = (0..5_000).map(|n| (i64::from(n) * MS, make(n, &mut random))).collect();
    let found = analysed(packets);
    assert!(found.streams.is_empty(), "{name}: {:?}", found.streams);
    assert_eq!((found.rtcp.datagrams, found.rtcp.encrypted), (0, 0), "{name}");
}

fn joined(parts: &[&[u8]]) -> Vec<u8> {
    parts.concat()
}

#[test]
fn random_payloads_are_no_stream() {
    nothing("random", |_, random| random.bytes(200));
    nothing("random behind one byte", |_, random| joined(&[&[0x80], &random.bytes(100)]));
    nothing("random behind eight bytes", |_, random| joined(&[&[0x80, 0, 0, 1, 2, 3, 4, 5], &random.bytes(100)]));
    // ESP in UDP: a fixed SPI, a sequence number, then ciphertext.
    nothing("ESP", |n, random| joined(&[&[0x90, 0x11, 0x22, 0x33], &n.to_be_bytes(), &random.bytes(120)]));
}

#[test]
fn name_services_are_no_stream() {
    // Identifiers that count through the version bits; flags, counts, a name.
    let question = b"\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x03www\x07example\x03com\x00\x00\x01\x00\x01";
    nothing("DNS", |n, _| joined(&[&(0x8000 + n as u16).to_be_bytes(), question]));
    nothing("DNS with random ids", |_, random| joined(&[&random.bytes(2), question]));
    let answer = b"\x84\x00\x00\x00\x00\x01\x00\x00\x00\x00\x05_midi\x04_udp\x05local\x00";
    nothing("mDNS", |_, _| joined(&[&[0, 0], answer]));
    let name = b"\x29\x10\x00\x01\x00\x00\x00\x00\x00\x01 EJFDEBFEEBFACACACACACACACACACAAA\x00\x00\x20\x00\x01";
    nothing("NetBIOS names", |n, _| joined(&[&(0x8000 + n as u16).to_be_bytes(), name]));
    nothing("NetBIOS datagrams", |n, _| {
        joined(&[&[0x11, 0x02], &(n as u16).to_be_bytes(), &[10, 0, 0, 1, 0, 138, 0, 187, 0, 0], &[0x20; 60]])
    });
}

#[test]
fn building_automation_and_clocks_are_no_stream() {
    // BVLC of BACnet has the version bits of RTP, and its length where the sequence number is.
    nothing("BACnet", |n, _| {
        let length = 24 + (n % 200) as u16;
        let mut bytes = joined(&[&[0x81, 0x0a], &length.to_be_bytes(), &[1, 0x20, 0xff, 0xff, 0, 0xff, 0x10, 8]]);
        bytes.resize(length.into(), n as u8);
        bytes
    });
    nothing("BACnet, one length", |_, _| {
        joined(&[&[0x81, 0x0b, 0, 24, 1, 0x20, 0xff, 0xff, 0, 0xff, 0x10, 8], &[9; 12]])
    });
    // Leap indicator 2, so that the first bits are those of RTP.
    nothing("NTP", |n, random| {
        joined(&[&[0xa3, 2, 6, 0xec], &[0; 8], &[192, 0, 2, 1], &n.to_be_bytes(), &random.bytes(28)])
    });
    nothing("PTP", |n, _| {
        joined(&[
            &[0, 2, 0, 44, 0, 0, 2, 0],
            &[0; 12],
            &[0, 1, 2, 3, 4, 5, 6, 7, 0, 1],
            &(n as u16).to_be_bytes(),
            &[0; 12],
        ])
    });
}

#[test]
fn what_shares_ports_with_rtp_is_no_stream() {
    nothing("STUN", |_, random| {
        joined(&[&[0, 1, 0, 8, 0x21, 0x12, 0xa4, 0x42], &random.bytes(12), &[0x80, 0x28, 0, 4]])
    });
    nothing("ChannelData", |n, _| joined(&[&[0x40, 0, 0, 172], &packet(0, n as u16, n * 160, 5, 160)]));
    nothing("DTLS", |n, random| {
        joined(&[&[23, 0xfe, 0xfd, 0, 1, 0, 0], &n.to_be_bytes(), &[0, 80], &random.bytes(80)])
    });
    nothing("QUIC, short headers", |_, random| joined(&[&[0x40 | random.next() as u8 & 0x3f], &random.bytes(100)]));
    nothing("QUIC, fixed bit greased", |_, random| {
        joined(&[&[0x80 | random.next() as u8 & 0x3f, 0, 0, 0, 1, 8], &[7; 8], &random.bytes(100)])
    });
}

#[test]
fn tunnels_and_transports_are_no_stream() {
    let inner = |n: u32| packet(0, n as u16, n * 160, 5, 160);
    nothing("GTP-U", |n, _| {
        joined(&[&[0x32, 0xff, 0, 180, 0, 0, 0, 9], &(n as u16).to_be_bytes(), &[0, 0], &inner(n)])
    });
    nothing("VXLAN", |n, _| joined(&[&[8, 0, 0, 0, 0, 0, 42, 0], &inner(n)]));
    nothing("WireGuard", |n, random| {
        joined(&[&[4, 0, 0, 0, 9, 9, 9, 9], &u64::from(n).to_le_bytes(), &random.bytes(64)])
    });
    // SRT: data packets, and acknowledgements that have the version bits.
    nothing("SRT", |n, random| match n % 8 {
        0 => joined(&[&[0x80, 2, 0, 0], &n.to_be_bytes(), &(n * 1_000).to_be_bytes(), &[5; 4], &random.bytes(28)]),
        _ => joined(&[&n.to_be_bytes(), &[0xe0, 0, 0, 1], &(n * 1_000).to_be_bytes(), &[5; 4], &random.bytes(200)]),
    });
    nothing("uTP", |n, _| {
        joined(&[&[1, 0], &[0x12, 0x34], &(n * 1_000).to_be_bytes(), &[0; 8], &(n as u16).to_be_bytes(), &[0; 100]])
    });
}

#[test]
fn control_and_game_protocols_are_no_stream() {
    nothing("TOAST", |n, _| joined(&[b"TOST\x02\x01\x00\x00", &n.to_le_bytes(), &[0; 20]]));
    nothing("OSC", |n, _| joined(&[b"/mixer/fader\0\0\0\0,f\0\0", &(n as f32).to_be_bytes()]));
    nothing("SIP", |n, _| format!("OPTIONS sip:a@b SIP/2.0\r\nCSeq: {n} OPTIONS\r\n\r\n").into_bytes());
    // RakNet: valid bit and flags, a little-endian sequence number of 24 bits, one fragment after another.
    nothing("RakNet", |n, random| {
        joined(&[&[0x84], &n.to_le_bytes()[..3], &[0x60, 1, 0x80], &n.to_le_bytes()[..3], &random.bytes(48)])
    });
    // A counter where RTP has its own, a time in milliseconds, and no source that stays.
    nothing("game state", |n, random| {
        joined(&[&[0x80, 1], &(n as u16).to_be_bytes(), &n.to_be_bytes(), &random.bytes(60)])
    });
    // The same with a fixed identity, but a time that stands still.
    nothing("keepalive", |n, _| joined(&[&[0x80, 1], &(n as u16).to_be_bytes(), &[0, 0, 0, 9], b"peer", &[0; 16]]));
    // And numbers that jump.
    nothing("hash in place of a number", |n, random| {
        joined(&[&[0x80, 1], &random.bytes(2), &n.to_be_bytes(), b"peer", &[0; 16]])
    });
    nothing("RTCP without its lengths", |_, random| {
        joined(&[&[0x80, 200 + random.next() as u8 % 8], &random.bytes(60)])
    });
}

#[test]
fn rtp_midi_is_rtp() {
    // 10 kHz, sent when something is played.
    let mut now = 0;
    let mut random = Random(1);
    let packets: Vec<_> = (0..500_u16)
        .map(|n| {
            now += 1 + (random.next() % 200) as i64;
            (now * MS, packet(0x80 | 97, n, (now * 10) as u32, 77, 6))
        })
        .collect();
    let found = analysed(packets);
    let [stream] = found.streams.as_slice() else { panic!("{found:?}") };
    assert_eq!((stream.clock_rate, stream.expected), (Some(10_000.0), 500));
}

#[test]
fn a_new_beginning_does_not_disturb_the_jitter() {
    let packets = (0..1_000_u32).map(|n| {
        let (sequence, timestamp) = if n < 500 { (n, n * 160) } else { (n + 30_000, n * 160 + 0x7000_0000) };
        (i64::from(n) * 20 * MS, packet(0, sequence as u16, timestamp, 1, 160))
    });
    let found = analysed(packets);
    let [stream] = found.streams.as_slice() else { panic!("{found:?}") };
    assert_eq!((stream.restarts, stream.expected, stream.missing), (1, 1_000, 0));
    assert!(stream.jitter_ms.unwrap().max < 1e-6);
}

#[test]
fn json_has_the_documented_names() {
    let packets = (0..100_u32).map(|n| (i64::from(n) * 20 * MS, packet(0, n as u16, n * 160, 9, 160)));
    let json = serde_json::to_value(analysed(packets)).unwrap();
    let stream = &json["rtp"][0];
    for name in ["ssrc", "payload_type", "expected", "received", "lost"] {
        assert!(stream[name].is_i64() || stream[name].is_u64(), "{name}: {stream}");
    }
    assert!(stream["jitter_ms"]["mean"].is_f64() && stream["jitter_ms"]["max"].is_f64(), "{stream}");
    assert_eq!(stream["flow"], "UDP 10.0.0.1:40000 > 10.0.0.2:50000");
    assert!(stream["rtcp"].is_null());
    assert_eq!((&json["rtp_untracked"], &json["rtcp"]["datagrams"]), (&0.into(), &0.into()));
}

proptest! {
    /// Nearly a stream, with anything in it: numbers, times and lengths as somebody would forge them.
    #[test]
    fn whatever_comes_is_counted_without_contradiction(
        steps in prop::collection::vec(
            (
                prop_oneof![8 => Just(1_u16), 1 => any::<u16>()],
                prop_oneof![8 => Just(160_u32), 1 => any::<u32>()],
                prop_oneof![8 => Just(20_000_000_i64), 1 => any::<i64>()],
                prop_oneof![8 => Just(0_u8), 1 => any::<u8>()],
                0_usize..40,
            ),
            0..400,
        ),
    ) {
        let mut rtp = Rtp::default();
        let flow = flow(1, 2, 3, 4);
        let (mut sequence, mut timestamp, mut now) = (0_u16, 0_u32, START);
        for (number, units, ns, second, cut) in steps {
            sequence = sequence.wrapping_add(number);
            timestamp = timestamp.wrapping_add(units);
            now = now.wrapping_add(ns);
            let mut bytes = packet(second, sequence, timestamp, 1, 40);
            bytes[0] |= (cut % 8) as u8 & second;
            rtp.datagram(0, &flow, &bytes[..bytes.len() - cut], bytes.len() as u32, (cut != 7).then_some(now));
        }
        for stream in rtp.finish().streams {
            prop_assert_eq!(stream.received, stream.expected - stream.missing + stream.duplicated);
            prop_assert_eq!(stream.lost, stream.expected.cast_signed() - stream.received.cast_signed());
            prop_assert!(stream.bursts.burst_lost <= stream.missing);
            prop_assert!(stream.jitter_ms.is_none_or(|jitter| jitter.mean <= jitter.max));
        }
    }
}
