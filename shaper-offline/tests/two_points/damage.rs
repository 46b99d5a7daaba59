//! Packets and records that are damaged, and packets that only look it.

use shaper_offline::analyze::{Clock, FindingKind};

use super::{
    analyze, conserved,
    path::{HOST_A, HOST_B, MS, Points, forward, tcp, udp},
};

#[test]
fn a_lost_packet_is_not_taken_for_a_damaged_one_behind_it() {
    let mut points = Points::default();
    for number in 0..100_i64 {
        let mut arrived = forward(number as u64);
        arrived[90] ^= u8::from(number == 25);
        points.a.push((number * MS, forward(number as u64)));
        if number != 20 {
            points.b.push((number * MS + 5 * MS, arrived));
        }
    }
    let analysis = analyze(points, Clock::Same);
    let frames = |kind| {
        let finding = analysis.findings.iter().find(|finding| finding.kind == kind).unwrap();
        (finding.frames_a.clone(), finding.frames_b.clone())
    };
    assert_eq!(frames(FindingKind::Loss), (vec![21], vec![]));
    assert_eq!(frames(FindingKind::Corrupted), (vec![26], vec![25]));
}

/// A protocol whose datagrams begin like RTP, all with the same header.
fn like_rtp(number: u64) -> Vec<u8> {
    let header = [0x90, 0x11, 0, 0, 0, 0, 0, 7, 0, 0, 0, 9];
    udp(HOST_A, HOST_B, (40_000, 40_002), &[&header[..], &number.to_be_bytes(), &[3; 40]].concat())
}

#[test]
fn datagrams_that_begin_like_rtp_are_compared_by_all_of_their_content() {
    let mut points = Points::default();
    // Four are under way at a time; every tenth is lost.
    for number in 0..200_i64 {
        points.a.push((number * MS, like_rtp(number as u64)));
        if number % 10 != 5 {
            points.b.push((number * MS + 4 * MS, like_rtp(number as u64)));
        }
    }
    let figures = analyze(points, Clock::Same).a_to_b;
    conserved(&figures);
    assert_eq!((figures.matched, figures.lost, figures.corrupted, figures.ambiguous), (180, 20, 0, 0));
    let delay = figures.delay_ns.unwrap();
    assert_eq!((delay.min, delay.max), (4 * MS, 4 * MS));
}

#[test]
fn damaged_rtp_is_known_by_its_numbers() {
    let rtp = |number: u64| {
        let sequence = (number as u16).to_be_bytes();
        let stamp = (number as u32 * 960).to_be_bytes();
        let header = [&[0x80, 96][..], &sequence, &stamp, &[1, 2, 3, 4]].concat();
        udp(HOST_A, HOST_B, (40_000, 40_002), &[&header[..], &[number as u8; 60]].concat())
    };
    let mut points = Points::default();
    for number in 0..200_i64 {
        let mut arrived = rtp(number as u64);
        // 101 is damaged, and 100, just before it, lost; delays spread over 20 ms.
        arrived[70] ^= u8::from(number == 101);
        points.a.push((number * MS, rtp(number as u64)));
        if number != 100 {
            points.b.push((number * MS + 5 * MS + number % 20 * MS, arrived));
        }
    }
    let analysis = analyze(points, Clock::Same);
    let figures = &analysis.a_to_b;
    assert_eq!((figures.tiers.rtp, figures.matched, figures.lost, figures.corrupted), (198, 198, 1, 1));
    let corrupted = analysis.findings.iter().find(|finding| finding.kind == FindingKind::Corrupted).unwrap();
    assert_eq!(corrupted.frames_a, [102]);
}

#[test]
fn damage_to_what_packets_are_found_by_is_not_called_plain_loss() {
    for at in [35, 29] {
        let mut points = Points::default();
        for number in 0..100_i64 {
            let mut arrived = forward(number as u64);
            // The source port, or the source address.
            arrived[at] ^= u8::from(number % 25 == 20) << 5;
            points.a.push((number * MS, forward(number as u64)));
            points.b.push((number * MS + 5 * MS, arrived));
        }
        let analysis = analyze(points, Clock::Same);
        assert_eq!((analysis.a_to_b.matched, analysis.a_to_b.lost), (96, 4), "{analysis}");
        let told = analysis.findings.iter().find(|finding| finding.kind == FindingKind::PerhapsDamaged);
        assert_eq!(told.map(|finding| finding.count), Some(4), "{analysis}");
    }
}

#[test]
fn one_stamp_far_away_is_left_out_and_keeps_nothing_waiting() {
    let century = 3_000_000_000_000 * MS / 1000;
    for (side, at) in [(0, 0), (0, 150), (1, 0), (1, 150), (1, 299)] {
        for away in [century, -century / 4] {
            // The first record's stamp in the past is like a pause behind it.
            if at == 0 && away < 0 {
                continue;
            }
            let mut points = Points { as_given: true, ..Points::default() };
            for number in 0..300_i64 {
                points.a.push((number * 100 * MS, forward(number as u64)));
                points.b.push((number * 100 * MS + 5 * MS, forward(number as u64)));
            }
            let packets = if side == 0 { &mut points.a } else { &mut points.b };
            packets[at].0 += away;
            let analysis = analyze(points, Clock::Same);
            let figures = &analysis.a_to_b;
            conserved(figures);
            // The last one has nothing behind it that would tell.
            let told = u64::from(at != 299);
            assert_eq!(analysis.files[side].leapt, told, "{side} {at} {away}");
            assert_eq!(figures.matched, 299, "{side} {at} {away}: {analysis}");
            assert_eq!(analysis.files[side].backward, u64::from(at == 299 && away < 0));
        }
    }
}

#[test]
fn a_last_stamp_far_away_is_no_end_of_the_capture() {
    let century = 3_000_000_000_000 * MS / 1000;
    for away in [century, -century / 4] {
        let mut points = Points { as_given: true, ..Points::default() };
        for number in 0..300_i64 {
            points.a.push((number * 100 * MS, forward(number as u64)));
            // The second capture ends a third earlier than the first; 150 is lost.
            if number < 200 && number != 150 {
                points.b.push((number * 100 * MS + 5 * MS, forward(number as u64)));
            }
        }
        points.b.last_mut().unwrap().0 += away;
        let analysis = analyze(points, Clock::Same);
        let figures = &analysis.a_to_b;
        conserved(figures);
        assert_eq!((figures.matched, figures.lost, figures.edge), (198, 1, 101), "{away}: {analysis}");
        let (from, to) = analysis.overlap_ns.unwrap();
        assert_eq!(to - from, 198 * 100 * MS, "{away}");
    }
}

/// Where the acknowledgement number of a TCP packet lies.
const ACKNOWLEDGEMENT: usize = 42;

#[test]
fn tcp_with_a_damaged_header_or_other_content_was_not_cut_otherwise() {
    let mut points = Points::default();
    for number in 0..200_i64 {
        let packet = tcp(number as u32 * 100, &[number as u8; 100]);
        let mut arrived = packet.clone();
        // A bit of the header; that and all of the content; lost.
        arrived[ACKNOWLEDGEMENT] ^= u8::from(matches!(number % 20, 7 | 13));
        if number % 20 == 13 {
            arrived[54..].fill(0xff);
        }
        points.a.push((number * 10 * MS, packet));
        if number % 20 != 3 {
            points.b.push((number * 10 * MS + 5 * MS, arrived));
        }
    }
    let analysis = analyze(points, Clock::Same);
    let figures = &analysis.a_to_b;
    conserved(figures);
    assert_eq!((figures.matched, figures.corrupted, figures.lost), (170, 20, 10), "{analysis}");
    assert_eq!((figures.resegmented, figures.arrivals_only), (0, 0));
    let corrupted = analysis.findings.iter().find(|finding| finding.kind == FindingKind::Corrupted).unwrap();
    assert_eq!(corrupted.frames_a[..4], [8, 14, 28, 34]);
}

#[test]
fn tcp_whose_headers_are_rewritten_on_the_way_is_matched_and_not_damaged() {
    let mut points = Points::default();
    for number in 0..100_i64 {
        let sent = number * 10 * MS;
        // Datagrams tell the direction.
        points.a.push((sent, forward(number as u64)));
        points.b.push((sent + 5 * MS, forward(number as u64)));
        let packet = tcp(number as u32 * 100, &[number as u8; 100]);
        let mut arrived = packet.clone();
        arrived[ACKNOWLEDGEMENT] ^= 0x40;
        // Damaged on top of that.
        arrived[90] ^= u8::from(number % 10 == 4);
        points.a.push((sent, packet));
        points.b.push((sent + 6 * MS, arrived));
    }
    let figures = analyze(points, Clock::Same).a_to_b;
    conserved(&figures);
    assert_eq!((figures.matched, figures.corrupted, figures.lost), (190, 10, 0));
    assert_eq!((figures.resegmented, figures.delay_ns.unwrap().max), (0, 6 * MS));
}

#[test]
fn tcp_among_more_segments_than_are_asked_is_unmatched() {
    let unmatched = |segments: i64| {
        let mut points = Points::default();
        for number in 0..20_i64 {
            points.a.push((number * 10 * MS, forward(number as u64)));
            points.b.push((number * 10 * MS + 5 * MS, forward(number as u64)));
        }
        points.a.push((50 * MS, tcp(1000, &[1; 100])));
        for number in 0..segments {
            let mut half = tcp(1000, &[1; 50]);
            half[ACKNOWLEDGEMENT..ACKNOWLEDGEMENT + 4].copy_from_slice(&(number as u32).to_be_bytes());
            points.b.push((55 * MS + number * 1000, half));
        }
        let figures = analyze(points, Clock::Same).a_to_b;
        conserved(&figures);
        assert_eq!((figures.matched, figures.lost + figures.unmatched), (20, 1));
        figures.unmatched
    };
    assert_eq!((unmatched(100), unmatched(5000)), (0, 1));
}

#[test]
fn copies_of_a_damaged_packet_are_copies() {
    let mut points = Points::default();
    for number in 0..100_i64 {
        let mut arrived = forward(number as u64);
        arrived[90] ^= u8::from(number % 10 == 5);
        points.a.push((number * MS, forward(number as u64)));
        // Two more of each damaged one, and one more of some others.
        let copies = if number % 10 == 5 { 3 } else { 1 + i64::from(number % 10 == 7) };
        points.b.extend((0..copies).map(|copy| (number * MS + 5 * MS + copy * 100_000, arrived.clone())));
    }
    let analysis = analyze(points, Clock::Same);
    let figures = &analysis.a_to_b;
    conserved(figures);
    assert_eq!((figures.matched, figures.corrupted, figures.lost), (90, 10, 0));
    assert_eq!((figures.duplicated, figures.arrivals_only), (30, 0));
    assert_eq!(analysis.flows[0].figures.duplicated, 30);
    // RFC 5560, section 5.2: 20 of 100 arrived more than once.
    assert_eq!(figures.replicated_packet_rate, Some(0.2));
}

#[test]
fn nothing_arrives_by_the_same_clock_before_it_is_sent() {
    let mut points = Points::default();
    for number in 0..200_i64 {
        points.a.push((number * MS, forward(number as u64)));
        // 50 is damaged into what 150 will be.
        let content = if number == 50 { 150 } else { number };
        points.b.push((number * MS + 5 * MS, forward(content as u64)));
    }
    let analysis = analyze(points, Clock::Same);
    let figures = &analysis.a_to_b;
    conserved(figures);
    assert_eq!((figures.matched, figures.corrupted, figures.duplicated), (199, 1, 0));
    let delay = figures.delay_ns.unwrap();
    assert_eq!((delay.min, delay.max), (5 * MS, 5 * MS));
    let corrupted = analysis.findings.iter().find(|finding| finding.kind == FindingKind::Corrupted).unwrap();
    assert_eq!((&corrupted.frames_a, &corrupted.frames_b), (&vec![51], &vec![51]));
}
