//! Connections written by hand, as seen at a point 10 ms from the sender and 30 ms from the receiver
//! unless they say otherwise.

use proptest::prelude::*;

use super::{Connection, Counts, Figures, Handshake, Segment};
use crate::{packet::Tcp, stats::Budget};

const MS: i64 = 1_000_000;

pub(super) fn data(ms: i64, sequence: u32, length: u32) -> Segment {
    Segment {
        ts_ns: Some(ms * MS),
        sequence,
        acknowledgement: 1,
        flags: Tcp::ACK,
        window: 1_000,
        length,
        ..Segment::default()
    }
}

pub(super) fn ack(ms: i64, acknowledgement: u32) -> Segment {
    Segment { acknowledgement, ..data(ms, 1, 0) }
}

/// With TSval and TSecr.
fn stamped(segment: Segment, value: u32, echo: u32) -> Segment {
    Segment { timestamps: Some((value, echo)), ..segment }
}

/// Segments forward (`true`) and backward.
pub(super) fn seen(segments: &[(bool, Segment)]) -> Figures {
    let mut connection = Connection::within(&Budget::unlimited());
    segments.iter().for_each(|(forward, segment)| connection.see(*forward, segment));
    connection.figures()
}

fn syn(ms: i64, flags: u8, sequence: u32, acknowledgement: u32) -> Segment {
    Segment {
        flags,
        acknowledgement,
        mss: Some(1_460),
        window_scale: Some(7),
        sack_permitted: true,
        ..data(ms, sequence, 0)
    }
}

pub(super) fn handshake() -> Vec<(bool, Segment)> {
    vec![(true, syn(0, Tcp::SYN, 99, 0)), (false, syn(60, Tcp::SYN | Tcp::ACK, 0, 100)), (true, data(80, 100, 0))]
}

#[test]
fn a_handshake_gives_both_halves_of_the_path() {
    let found = seen(&handshake());
    let whole = Handshake { to_responder_ns: Some(60 * MS), to_initiator_ns: Some(20 * MS), whole_ns: Some(80 * MS) };
    assert_eq!((found.connections, found.handshake), (1, Some(whole)));
    let counts = found.a_to_b.counts;
    assert_eq!((counts.mss, counts.window_scale, counts.sack_permitted), (Some(1_460), Some(7), Some(true)));
    assert_eq!((counts.syns, counts.retransmissions, found.b_to_a.counts.unseen_bytes), (1, 0, 0));
}

#[test]
fn a_syn_that_passed_twice_gives_no_time_to_the_responder() {
    let mut segments = handshake();
    segments.insert(1, (true, syn(50, Tcp::SYN, 99, 0)));
    let found = seen(&segments);
    let half = found.handshake.unwrap();
    assert_eq!((half.to_responder_ns, half.to_initiator_ns, half.whole_ns), (None, Some(20 * MS), None));
    assert_eq!((found.connections, found.a_to_b.counts.retransmissions), (1, 1));
}

#[test]
fn ports_used_again_are_a_second_connection_and_no_retransmission() {
    let mut segments = handshake();
    segments.push((true, data(100, 100, 1_000)));
    segments.extend([
        (true, syn(9_000, Tcp::SYN, 50, 0)),
        (false, syn(9_060, Tcp::SYN | Tcp::ACK, 7_000, 51)),
        (true, Segment { acknowledgement: 7_001, ..data(9_080, 51, 0) }),
        (true, Segment { acknowledgement: 7_001, ..data(9_081, 51, 500) }),
    ]);
    let found = seen(&segments);
    assert_eq!((found.connections, found.a_to_b.counts.retransmissions, found.a_to_b.counts.implausible), (2, 0, 0));
}

#[test]
fn round_trips_by_acknowledgement_are_of_the_segment_that_it_ends_with() {
    let found = seen(&[
        (true, data(0, 100, 10)),
        (true, data(5, 110, 10)),
        // Delayed: covers both, answers the second.
        (false, ack(65, 120)),
        (true, data(100, 120, 10)),
        (false, ack(170, 130)),
    ]);
    let rtt = found.a_to_b.rtt_by_acknowledgement_ns.unwrap();
    assert_eq!((rtt.count, rtt.min, rtt.max), (2, 60 * MS, 70 * MS));
    assert_eq!(found.b_to_a.rtt_by_acknowledgement_ns, None);
}

#[test]
fn retransmitted_segments_give_no_sample_by_acknowledgement_but_one_by_timestamp() {
    let found = seen(&[
        (true, stamped(data(0, 100, 10), 1_000, 7)),
        (true, stamped(data(300, 100, 10), 1_300, 7)),
        (false, stamped(ack(360, 110), 500, 1_300)),
    ]);
    assert_eq!(found.a_to_b.rtt_by_acknowledgement_ns, None);
    let rtt = found.a_to_b.rtt_by_timestamp_ns.unwrap();
    assert_eq!((rtt.count, rtt.min), (1, 60 * MS));
    assert_eq!((found.a_to_b.counts.repeated, found.a_to_b.counts.repeated_bytes), (1, 10));
}

#[test]
fn only_the_first_echo_of_a_timestamp_counts_and_idle_time_is_no_round_trip() {
    let found = seen(&[
        (true, stamped(data(0, 100, 10), 1_000, 7)),
        (true, stamped(data(1, 110, 10), 1_000, 7)),
        (false, stamped(ack(60, 120), 500, 1_000)),
        // The receiver begins to speak a second later, and still echoes the same.
        (false, stamped(Segment { acknowledgement: 120, ..data(1_060, 1, 50) }, 1_500, 1_000)),
    ]);
    let rtt = found.a_to_b.rtt_by_timestamp_ns.unwrap();
    assert_eq!((rtt.count, rtt.max), (1, 60 * MS));
}

/// 1 to 5 with the second lost behind the point: three duplicates ask for it.
#[test]
fn what_was_lost_behind_the_point_passes_twice_and_was_asked_for() {
    let mut segments: Vec<_> = (0..5).map(|n| (true, data(n, 100 + 10 * n as u32, 10))).collect();
    segments.extend((0..4).map(|n| (false, ack(60 + n, 110))));
    segments.push((true, data(85, 110, 10)));
    segments.push((false, ack(145, 150)));
    let found = seen(&segments);
    let counts = found.a_to_b.counts;
    assert_eq!((counts.retransmissions, counts.repeated, counts.lost_before), (1, 1, 0));
    assert_eq!((counts.fast, counts.timer, counts.needless), (1, 0, 0));
    assert_eq!(found.b_to_a.counts.duplicate_acks, 3);
    // The first alone: the others waited for the second.
    assert_eq!(found.a_to_b.rtt_by_acknowledgement_ns.unwrap().count, 1);
}

#[test]
fn a_gap_that_sack_shows_is_asked_for_after_one_duplicate() {
    let found = seen(&[
        (true, data(0, 100, 10)),
        (true, data(1, 110, 10)),
        (true, data(2, 120, 10)),
        (false, ack(60, 110)),
        (false, Segment { sacked: Some(130), ..ack(62, 110) }),
        (true, data(90, 110, 10)),
    ]);
    assert_eq!((found.a_to_b.counts.fast, found.a_to_b.counts.timer), (1, 0));
}

#[test]
fn without_a_sign_from_the_receiver_only_a_timer_sends_again() {
    let found = seen(&[
        (true, data(0, 100, 10)),
        (false, ack(60, 110)),
        (true, data(100, 110, 10)),
        (true, data(400, 110, 10)),
        (true, data(1_000, 110, 10)),
        (false, ack(1_060, 120)),
        // The acknowledgement passed here, and did not reach the sender.
        (true, data(1_900, 110, 10)),
    ]);
    let counts = found.a_to_b.counts;
    assert_eq!((counts.repeated, counts.timer, counts.needless), (3, 3, 1));
}

#[test]
fn one_direction_alone_does_not_tell_why_it_was_sent_again() {
    let found = seen(&[(true, data(0, 100, 10)), (true, data(400, 100, 10))]);
    let counts = found.a_to_b.counts;
    assert_eq!((counts.repeated, counts.timer, counts.fast), (1, 0, 0));
}

/// What fills a hole was sent before or after what left it open.
#[test]
fn a_hole_is_filled_late_or_again_by_timestamp_identification_or_time() {
    let gap = |first: Segment, late: Segment| {
        let mut segments = handshake();
        segments.extend([(true, data(100, 100, 10)), (true, first), (true, late)]);
        let counts = seen(&segments).a_to_b.counts;
        assert_eq!(counts.repeated, 0);
        (counts.out_of_order, counts.lost_before, counts.unclear)
    };
    let (first, late) = (data(101, 120, 10), data(102, 110, 10));
    assert_eq!(gap(stamped(first, 51, 0), stamped(late, 50, 0)), (1, 0, 0));
    assert_eq!(gap(stamped(first, 51, 0), stamped(late, 52, 0)), (0, 1, 0));
    let numbered = |segment, number| Segment { identification: Some(number), ..segment };
    assert_eq!(gap(numbered(first, 1), numbered(late, u16::MAX)), (1, 0, 0));
    assert_eq!(gap(numbered(first, u16::MAX), numbered(late, 0x10)), (0, 1, 0));
    // Sooner than the sender can know: 80 ms over both ends.
    assert_eq!(gap(first, data(180, 110, 10)), (1, 0, 0));
    assert_eq!(gap(first, data(182, 110, 10)), (0, 0, 1));
}

#[test]
fn a_hole_that_is_acknowledged_was_not_captured() {
    let found = seen(&[
        (true, data(0, 100, 10)),
        (true, data(1, 130, 10)),
        (false, ack(60, 140)),
        (false, ack(61, 200)),
        (true, data(70, 200, 10)),
    ]);
    let counts = found.a_to_b.counts;
    assert_eq!((counts.unseen_bytes, counts.lost_before, counts.repeated), (20 + 60, 0, 0));
}

#[test]
fn keepalives_and_window_probes_are_no_retransmissions() {
    let closed = Segment { window: 0, ..ack(60, 110) };
    let found = seen(&[
        (true, data(0, 100, 10)),
        (false, closed),
        // Linux probes with nothing at the last byte, others with the next byte again and again.
        (true, data(300, 109, 0)),
        (false, Segment { ts_ns: Some(360 * MS), ..closed }),
        (true, data(600, 110, 1)),
        (true, data(900, 110, 1)),
        (false, ack(1_060, 111)),
        (true, data(9_000, 110, 1)),
        (true, data(19_000, 110, 0)),
    ]);
    let counts = found.a_to_b.counts;
    assert_eq!((counts.window_probes, counts.keepalives, counts.retransmissions), (3, 2, 0));
    let back = found.b_to_a.counts;
    assert_eq!((back.zero_windows, back.zero_window_ns, back.duplicate_acks), (2, 1_000_000_000, 0));
}

#[test]
fn resets_and_ends_are_counted() {
    let end = Segment { flags: Tcp::FIN | Tcp::ACK, ..data(10, 110, 0) };
    let reset = Segment { flags: Tcp::RST, window: 0, sequence: 77, ..data(20, 0, 0) };
    let found = seen(&[(true, data(0, 100, 10)), (true, end), (false, ack(60, 111)), (false, reset), (true, end)]);
    let counts = found.a_to_b.counts;
    assert_eq!((counts.fins, counts.retransmissions, counts.needless), (2, 1, 1));
    assert_eq!((found.b_to_a.counts.resets, found.b_to_a.counts.zero_windows), (1, 0));
}

#[test]
fn far_off_numbers_are_passed_over_until_there_are_no_others() {
    let mut segments = vec![(true, data(0, 100, 10)), (true, data(1, 2_000_000_000, 10)), (true, data(2, 110, 10))];
    segments.extend((0..20).map(|n| (true, data(10 + n, 2_000_000_000 + 10 * n as u32, 10))));
    let counts = seen(&segments).a_to_b.counts;
    assert_eq!((counts.implausible, counts.retransmissions), (17, 0));
}

#[test]
fn sack_blocks_tell_what_is_above_and_what_came_twice() {
    let header = |acknowledgement: u32, blocks: &[(u32, u32)]| {
        let mut bytes = vec![0; 20];
        bytes[8..12].copy_from_slice(&acknowledgement.to_be_bytes());
        bytes.extend([1, 1, 5, (2 + 8 * blocks.len()) as u8]);
        for (left, right) in blocks {
            bytes.extend(left.to_be_bytes());
            bytes.extend(right.to_be_bytes());
        }
        bytes[12] = (bytes.len() / 4 * 16) as u8;
        let mut packet = vec![0x45, 0, 0, (20 + bytes.len()) as u8, 0, 9, 0, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2];
        packet.extend(bytes);
        let layers = crate::packet::parse(crate::pcapfile::linktype::RAW, &packet, packet.len() as u32).unwrap();
        let crate::packet::Transport::Tcp(tcp) = layers.transport else { panic!("{layers:?}") };
        let segment = Segment::of(&tcp, &layers.ip.unwrap(), layers.payload_length, None);
        assert_eq!(segment.identification, Some(9));
        (segment.sacked, segment.duplicate_reported)
    };
    assert_eq!(header(100, &[(200, 300), (400, 500)]), (Some(500), false));
    // RFC 2883 section 4.1: below the acknowledgement, or within the second block.
    assert_eq!(header(100, &[(50, 60), (200, 300)]), (Some(300), true));
    assert_eq!(header(100, &[(210, 220), (200, 300)]), (Some(300), true));
}

#[test]
fn a_flood_of_segments_takes_no_more_memory_than_is_set() {
    // Every other segment is missing, nothing is acknowledged.
    let segments: Vec<_> = (0..1_000_u32).map(|n| (true, data(i64::from(n), n * 20, 10))).collect();
    let counts = seen(&segments).a_to_b.counts;
    assert_eq!((counts.holes_forgotten, counts.unsampled), (999 - 32, 1_000 - 64));
}

/// What a list of bytes says: which were there before, and how many there are.
fn reference(segments: &[(u32, u32)]) -> (u64, u64) {
    let mut seen = std::collections::BTreeSet::new();
    let (mut repeated, mut highest) = (0, 0);
    for &(start, length) in segments {
        let bytes: Vec<_> = (start..start + length).collect();
        // The last byte alone, seen and with nothing acknowledged, is a retransmission too.
        repeated += bytes.iter().filter(|byte| seen.contains(*byte)).count() as u64;
        seen.extend(bytes);
        highest = highest.max(start + length);
    }
    (repeated, u64::from(highest) - seen.len() as u64)
}

proptest! {
    #[test]
    fn bytes_that_pass_again_equal_those_of_a_list(
        offset in any::<u32>(),
        steps in prop::collection::vec((0_u32..12, 1_u32..9), 1..24),
    ) {
        // Ranges in a small space overlap in every way; the first is the start.
        let mut segments = vec![(0, 4)];
        segments.extend(steps.iter().map(|&(at, length)| (at * 5, length)));
        let mut connection = Connection::within(&Budget::unlimited());
        for &(start, length) in &segments {
            connection.see(true, &data(0, offset.wrapping_add(start), length));
        }
        let (repeated, missing) = reference(&segments);
        prop_assert_eq!(connection.figures().a_to_b.counts.repeated_bytes, repeated);
        // Acknowledged at the end, what is missing is unseen.
        let highest = segments.iter().map(|(start, length)| start + length).max().unwrap();
        connection.see(false, &ack(1, offset.wrapping_add(highest)));
        prop_assert_eq!(connection.figures().a_to_b.counts.unseen_bytes, missing);
    }

    #[test]
    fn no_numbers_make_it_fail(
        segments in prop::collection::vec((any::<bool>(), any::<u32>(), any::<u32>(), any::<u8>(), 0_u32..70_000), 1..200),
    ) {
        let mut connection = Connection::within(&Budget::unlimited());
        for (forward, sequence, acknowledgement, flags, length) in segments {
            let segment = Segment { sequence, acknowledgement, flags, length, ..data(i64::from(sequence), 0, 0) };
            connection.see(forward, &segment);
        }
        let Figures { a_to_b, b_to_a, .. } = connection.figures();
        for Counts { data_segments, segments, retransmissions, repeated, lost_before, fast, timer, .. } in
            [a_to_b.counts, b_to_a.counts]
        {
            prop_assert!(data_segments <= segments && fast + timer <= retransmissions);
            prop_assert_eq!(retransmissions, repeated + lost_before);
        }
    }
}
