//! What RTCP says reaches the stream that it is about.

use super::{
    Rtcp,
    wire::kind::{
        BYE, EXTENDED_REPORT, PAYLOAD_FEEDBACK, RECEIVER_REPORT, SENDER_REPORT, SOURCE_DESCRIPTION, TRANSPORT_FEEDBACK,
    },
};
use crate::rtp::{
    Rtp,
    tests::{flow, packet as rtp_packet},
};

const START: i64 = 1_700_000_000_000_000_000;
const MS: i64 = 1_000_000;
const SENDER: u32 = 0x0a0a_0a0a;
const RECEIVER: u32 = 0x0b0b_0b0b;

fn packet(kind: u8, count: u8, words: &[u32]) -> Vec<u8> {
    let mut bytes = vec![0x80 | count, kind];
    bytes.extend((words.len() as u16).to_be_bytes());
    bytes.extend(words.iter().flat_map(|word| word.to_be_bytes()));
    bytes
}

fn sender_report(ntp: u64, timestamp: u32) -> Vec<u8> {
    packet(SENDER_REPORT, 0, &[SENDER, (ntp >> 32) as u32, ntp as u32, timestamp, 1_000, 160_000])
}

fn report(last: u32, delay: u32) -> Vec<u8> {
    packet(RECEIVER_REPORT, 1, &[RECEIVER, SENDER, 64 << 24 | 12, 5_000, 80, last, delay])
}

/// Feeds datagrams by direction and milliseconds; the ports are those next to the media.
fn said(datagrams: &[(bool, i64, Vec<u8>)]) -> Rtcp {
    let mut rtcp = Rtcp::default();
    let (there, back) = (flow(1, 2, 40_001, 50_001), flow(2, 1, 50_001, 40_001));
    for (is_back, ms, bytes) in datagrams {
        let flow = if *is_back { back } else { there };
        rtcp.datagram(&flow, bytes, bytes.len() as u32, Some(START + ms * MS));
    }
    rtcp
}

#[test]
fn the_round_trip_is_from_here_to_the_receiver_and_back() {
    let ntp = 0x1234_5678_8000_0000_u64;
    // The example of RFC 3550, figure 2, in its kind: half a second waited, 40 ms on the way.
    let mut rtcp = said(&[
        (false, 0, sender_report(ntp, 0)),
        (true, 540, report(0x5678_8000, 0x8000)),
        (true, 900, report(0, 0)),
        (true, 950, report(0x1111_1111, 0)),
        // It cannot have waited for longer than it took.
        (true, 960, report(0x5678_8000, 0x0002_0000)),
    ]);
    let told = rtcp.of(&flow(1, 2, 40_000, 50_000), SENDER).unwrap();
    let trips = told.round_trip_ms.unwrap();
    assert_eq!((trips.count, trips.min, trips.max), (1, 40.0, 40.0));
    assert_eq!((told.reports, told.reported_lost, told.reported_loss_ratio_max), (4, Some(12), Some(0.25)));
    assert_eq!((told.reported_jitter_units, told.sender_packets), (Some(80), Some(1_000)));
    assert_eq!(told.sender_clock_rate, None);
}

#[test]
fn sender_reports_give_the_clock_rate_across_a_wrap() {
    let second = 1_u64 << 32;
    let mut rtcp = said(&[
        (false, 0, sender_report(10 * second, u32::MAX - 100)),
        (false, 5_000, sender_report(15 * second, 450_000 - 101)),
        (false, 10_000, sender_report(20 * second, 900_009 - 101)),
    ]);
    let told = rtcp.of(&flow(1, 2, 40_000, 50_000), SENDER).unwrap();
    assert_eq!((told.sender_reports, told.sender_clock_rate), (3, Some(90_000.9)));
}

#[test]
fn feedback_names_and_goodbyes_are_counted() {
    let remb = [0, 0, u32::from_be_bytes(*b"REMB"), 0x0100_0000 | 3 << 18 | 125_000, SENDER];
    let name = u32::from_be_bytes([1, 3, b'a', b'@']);
    let compound = [
        report(0, 0),
        packet(SOURCE_DESCRIPTION, 1, &[SENDER, name, u32::from_be_bytes([b'b', 0, 0, 0])]),
        packet(TRANSPORT_FEEDBACK, 1, &[RECEIVER, SENDER, 100 << 16 | 0b101]),
        packet(TRANSPORT_FEEDBACK, 15, &[RECEIVER, SENDER, 0, 0]),
        packet(PAYLOAD_FEEDBACK, 1, &[RECEIVER, SENDER]),
        packet(PAYLOAD_FEEDBACK, 4, &[RECEIVER, 0, SENDER, 1 << 24]),
        packet(PAYLOAD_FEEDBACK, 15, &remb),
        packet(BYE, 1, &[SENDER]),
    ]
    .concat();
    let mut rtcp = said(&[(true, 0, compound)]);
    let told = rtcp.of(&flow(1, 2, 40_000, 50_000), SENDER).unwrap();
    assert_eq!((told.nacks, told.nacked_packets, told.transport_cc), (1, 3, 1));
    assert_eq!((told.plis, told.firs, told.rembs, told.remb_bps), (1, 1, 1, Some(1_000_000)));
    assert_eq!((told.byes, told.cname.as_deref()), (1, Some("a@b")));
}

#[test]
fn a_voip_metrics_block_is_read_as_written() {
    let block = [
        7 << 24 | 8,
        SENDER,
        u32::from_be_bytes([78, 19, 255, 51]),
        30 << 16 | 110,
        40 << 16 | 60,
        2,
        u32::from_be_bytes([93, 127, 44, 127]),
        60,
        60 << 16 | 200,
    ];
    let words: Vec<_> = [RECEIVER].into_iter().chain(block).collect();
    let mut rtcp = said(&[(true, 0, [report(0, 0), packet(EXTENDED_REPORT, 0, &words)].concat())]);
    let told = rtcp.of(&flow(1, 2, 40_000, 50_000), SENDER).unwrap();
    let voip = told.voip_metrics.unwrap();
    assert_eq!((voip.loss_rate, voip.discard_rate, voip.burst_density, voip.gap_density), (78, 19, 255, 51));
    assert_eq!((voip.burst_duration_ms, voip.gap_duration_ms, voip.round_trip_ms, voip.gmin), (30, 110, 40, 2));
    assert_eq!((voip.r_factor, voip.mos_lq_tenths, voip.mos_cq_tenths), (Some(93), Some(44), None));
}

#[test]
fn short_and_encrypted_datagrams_count_only_where_there_is_a_stream() {
    let pli = packet(PAYLOAD_FEEDBACK, 1, &[RECEIVER, SENDER]);
    let mut protected = packet(SENDER_REPORT, 0, &[SENDER, 1, 2, 3, 4, 5]);
    protected.extend([0x5a; 30]);
    assert_eq!(said(&[(true, 0, pli.clone()), (false, 0, protected.clone())]).seen().datagrams, 0);
    let mut rtp = Rtp::default();
    let (there, back) = (flow(1, 2, 40_000, 50_000), flow(2, 1, 50_000, 40_000));
    for n in 0..20_u16 {
        let bytes = rtp_packet(96, n, u32::from(n) * 960, SENDER, 100);
        rtp.datagram(0, &there, &bytes, bytes.len() as u32, Some(START + i64::from(n) * 20 * MS));
    }
    rtp.datagram(1, &back, &pli, pli.len() as u32, Some(START));
    rtp.datagram(0, &there, &protected, protected.len() as u32, Some(START));
    let found = rtp.finish();
    assert_eq!((found.rtcp.datagrams, found.rtcp.encrypted), (1, 1));
    assert_eq!(found.rtcp.sources_without_stream, 0);
    let told = found.streams[0].rtcp.as_ref().unwrap();
    assert_eq!((told.plis, told.encrypted, told.sender_reports), (1, 1, 0));
}

#[test]
fn any_bytes_are_read_to_their_end() {
    let mut state = 1_u64;
    let mut rtcp = Rtcp::default();
    let flow = flow(1, 2, 1, 2);
    rtcp.expect(&flow);
    for round in 0..20_000_usize {
        let mut bytes: Vec<u8> = (0..round % 90)
            .map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                (state >> 56) as u8
            })
            .collect();
        // A length that fits, so that the content is reached.
        let words = (bytes.len() / 4).saturating_sub(1) as u16;
        if let [first, kind, high, low, ..] = bytes.as_mut_slice() {
            (*first, *kind) = (0x80 | *first & 0x1f, 200 + *kind % 8);
            [*high, *low] = words.to_be_bytes();
        }
        bytes.truncate((usize::from(words) + 1) * 4);
        rtcp.datagram(&flow, &bytes, bytes.len() as u32, Some(0));
    }
    assert!(rtcp.seen().datagrams > 10_000);
    assert!(rtcp.sources.len() <= super::SOURCES);
}
