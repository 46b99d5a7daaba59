//! Captures that hold only the beginning of packets.

use shaper_offline::analyze::Clock;

use super::{
    analyze, conserved,
    path::{HOST_A, HOST_B, MS, Points, tcp, udp},
};

/// Longer than the packets from which the survey learns how much a capture holds.
const SURVEYED: u64 = 50_000;

/// 50,000 short datagrams, 20 µs apart, then 50 of 1400 bytes, 1 ms apart, that differ at their end;
/// all arrive after 1 ms.
fn short_then_long() -> Points {
    let mut points = Points::default();
    let mut send = |ts: i64, payload: &[u8]| {
        let packet = udp(HOST_A, HOST_B, (50_001, 50_002), payload);
        points.a.push((ts, packet.clone()));
        points.b.push((ts + MS, packet));
    };
    for number in 0..SURVEYED {
        send(number as i64 * 20_000, &number.to_be_bytes());
    }
    for number in 0..50_u64 {
        let payload = [&number.to_be_bytes()[..], &[0x11; 1350], &number.to_be_bytes()].concat();
        send(1001 * MS + number as i64 * MS, &payload);
    }
    points
}

#[test]
fn a_snapshot_length_that_only_later_packets_reach_damages_and_loses_none() {
    let analysis = analyze(Points { snaplen: [None, Some(96)], ..short_then_long() }, Clock::Same);
    let figures = &analysis.a_to_b;
    conserved(figures);
    assert_eq!((figures.matched, figures.corrupted, figures.lost, figures.unmatched), (SURVEYED + 50, 0, 0, 0));
    assert_eq!(figures.arrivals_only, 0);
    assert_eq!(analysis.compared_bytes, Some(96 - 14));
    assert_eq!(analysis.files[1].cut_short, 0);
}

#[test]
fn packets_cut_without_a_word_are_neither_lost_nor_corrupted() {
    for side in [0, 1] {
        let mut points = short_then_long();
        points.snaplen[side] = Some(96);
        points.silent = true;
        let analysis = analyze(points, Clock::Same);
        let figures = &analysis.a_to_b;
        conserved(figures);
        assert_eq!((figures.matched, figures.corrupted, figures.lost), (SURVEYED, 0, 0), "cut at {side}");
        assert_eq!(figures.unmatched, 50, "cut at {side}");
        assert_eq!(analysis.files[side].cut_short, 50);
        assert!(analysis.to_string().contains("50 packets are cut shorter"), "{analysis}");
    }
}

#[test]
fn packets_known_by_their_header_match_whatever_is_cut() {
    for side in [0, 1] {
        let mut points = short_then_long();
        for number in 0..50_i64 {
            let packet = tcp(number as u32 * 1400, &[number as u8; 1400]);
            points.a.push((2000 * MS + number * MS, packet.clone()));
            if number % 10 != 5 {
                points.b.push((2001 * MS + number * MS, packet));
            }
        }
        points.snaplen[side] = Some(96);
        points.silent = true;
        let figures = analyze(points, Clock::Same).a_to_b;
        assert_eq!((figures.tiers.tcp, figures.corrupted), (45, 0), "cut at {side}");
    }
}

#[test]
fn captures_that_cut_no_packet_compare_all_of_it_whatever_their_snapshot_length() {
    let mut points = Points { snaplen: [Some(2048); 2], ..Points::default() };
    let packet = udp(HOST_A, HOST_B, (50_001, 50_002), &[7; 1400]);
    points.a.push((0, packet.clone()));
    points.b.push((MS, packet));
    let analysis = analyze(points, Clock::Same);
    assert_eq!((analysis.a_to_b.matched, analysis.compared_bytes), (1, None));
}
