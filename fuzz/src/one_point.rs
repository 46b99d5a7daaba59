//! One capture by itself: protocols, RTP, RTCP and TCP.

use std::path::Path;

use shaper_offline::analyze::{Description, Options, one_point};
use shaper_offline::pcapfile::{Reader, linktype};
use shaper_offline::recognise;

use crate::draw::Draw;
use crate::frames::{ipv4, tcp, udp};
use crate::unnamed::holding;

/// Sentences that a description can have.
const FINDINGS: usize = 64;
/// What an interval between packets is a multiple of, in nanoseconds.
const TICK: i64 = 1_000_000;
/// Ports that flows have: those of a rule of their own, and others.
const PORTS: [u16; 8] = [5_004, 5_005, 53, 319, 3_478, 5_353, 443, 20_808];

/// Describes the capture that the bytes are.
pub fn capture(bytes: &[u8]) {
    holding([bytes, &[]], |[path, _]| describe(path));
}

/// Describes a capture of datagrams whose payloads are the bytes, in a few flows of both directions.
pub fn datagrams(bytes: &[u8]) {
    let mut draw = Draw(bytes);
    let mut records = Vec::new();
    while let Some([flow, gap, length]) = draw.take() {
        let payload = draw.slice(length.into());
        let forward = flow & 1 == 0;
        let ports = [PORTS[usize::from(flow >> 1 & 7)], 40_000 + u16::from(flow >> 4 & 3)];
        let mut ends = [([10, 0, 0, 1], ports[0]), ([10, 0, 0, 2], ports[1])];
        if !forward {
            ends.swap(0, 1);
        }
        let _ = recognise::stun_message(payload, payload.len() as u32);
        let _ = recognise::ptp_message(payload, payload.len() as u32);
        // One bit of the flow is for messages that lie in a frame by themselves.
        let frame = if flow & 0x80 != 0 && flow & 0x40 != 0 {
            [&[2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 0x88, 0xf7][..], payload].concat()
        } else if flow & 0x80 != 0 {
            ipv4(payload.first().copied().unwrap_or(0), 64, ends, payload)
        } else {
            udp(64, ends, payload)
        };
        records.push((i64::from(gap.cast_signed()) * TICK, frame));
    }
    described(&records);
}

/// Describes a capture of segments whose numbers are the bytes, of a few connections.
pub fn segments(bytes: &[u8]) {
    let mut draw = Draw(bytes);
    let mut records = Vec::new();
    let mut edges = [0_u32, 0x7fff_fff0];
    while let Some([connection, gap, flags, length, numbers, window]) = draw.take() {
        let sender = usize::from(connection & 1);
        let ports = [50_000 + u16::from(connection >> 1 & 3), 443];
        let mut ends = [([10, 0, 0, 1], ports[0]), ([10, 0, 0, 2], ports[1])];
        if sender == 1 {
            ends.swap(0, 1);
        }
        // Steps of a signed byte from where both ends are, or anywhere.
        let near = |edge: u32, step: u8| edge.wrapping_add_signed(i32::from(step.cast_signed()) * 16);
        let (sequence, acknowledged) = if connection & 0x80 == 0 {
            (near(edges[sender], numbers & 0x8f), near(edges[1 - sender], numbers.rotate_left(4) & 0x8f))
        } else {
            let [one, other] = [draw.take().map_or(0, u32::from_le_bytes), draw.take().map_or(0, u32::from_le_bytes)];
            (one, other)
        };
        let stamps = (connection & 0x40 != 0)
            .then(|| draw.take().map_or([0; 2], |[one, other]: [u8; 2]| [u32::from(one), u32::from(other)]));
        let data = vec![0x5a; length.into()];
        edges[sender] =
            sequence.wrapping_add(length.into()).wrapping_add(u32::from(flags & 1) + u32::from(flags >> 1 & 1));
        let frame = tcp(64, ends, [sequence, acknowledged], [flags, window], stamps, &data);
        records.push((i64::from(gap.cast_signed()) * TICK, frame));
    }
    described(&records);
}

/// The packets as pcap in nanoseconds, each so much behind the one before.
fn described(records: &[(i64, Vec<u8>)]) {
    let words = |words: [u32; 4]| words.into_iter().flat_map(u32::to_le_bytes);
    let mut file: Vec<u8> = words([0xa1b2_3c4d, 0x0004_0002, 0, 0]).collect();
    file.extend([65_535, u32::from(linktype::ETHERNET)].into_iter().flat_map(u32::to_le_bytes));
    let mut now = 1_700_000_000_000_000_000_i64;
    for (after, frame) in records {
        now += after;
        let length = frame.len() as u32;
        file.extend(words([(now / 1_000_000_000) as u32, (now % 1_000_000_000) as u32, length, length]));
        file.extend(frame);
    }
    holding([&file, &[]], |[path, _]| describe(path));
}

/// What is said of a capture holds together, and is said of each of its packets.
fn describe(path: &Path) {
    let Ok(found) = one_point(path, &Options::default()) else { return };
    let Ok(reader) = Reader::open(path) else { return };
    assert_eq!(found.packets, count(reader.ending_at_damage()));
    let Description { unparsed, seen_again, untracked, .. } = found;
    if found.flows_left_out == 0 {
        let of_flows: u64 = found.flows.iter().map(|flow| flow.packets).sum();
        assert_eq!(found.packets, of_flows + unparsed + seen_again + untracked, "{found}");
    }
    for stream in &found.rtp.streams {
        assert!(stream.loss_ratio >= 0.0 && stream.loss_ratio <= 1.0, "{stream:?}");
        assert!(stream.received > 0 && stream.clock_rate.is_none_or(|hz| hz > 0.0 && hz.is_finite()), "{stream:?}");
        assert!(stream.jitter_ms.is_none_or(|jitter| jitter.mean <= jitter.max && jitter.last <= jitter.max));
        assert!(stream.quality.is_none() || stream.encoding.is_some(), "{stream:?}");
    }
    if let Some(stun) = &found.stun {
        assert!(stun.successes + stun.errors <= stun.requests, "{stun:?}");
    }
    if let Some(tcp) = &found.tcp {
        assert!(tcp.data_repeated <= tcp.data_retransmissions, "{tcp:?}");
        assert!(tcp.data_retransmissions <= tcp.retransmissions && tcp.data_retransmissions <= tcp.data_segments);
    }
    assert!(found.findings.len() <= FINDINGS, "{} findings", found.findings.len());
    let _ = found.to_string();
    assert!(serde_json::to_string(&found).is_ok());
}

fn count(mut reader: Reader) -> u64 {
    while let Ok(Some(_)) = reader.next_packet() {}
    reader.packets()
}
