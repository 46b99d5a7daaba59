//! Connections with a number that leapt: damaged, or behind what the capture missed.

use super::{
    Segment,
    tests::{ack, data, handshake, seen},
};

/// Two segments and their acknowledgements behind the handshake, of 1,000 bytes from 100 on.
fn under_way() -> Vec<(bool, Segment)> {
    let mut segments = handshake();
    for n in 0..2_u32 {
        let at = 100 + i64::from(n) * 100;
        segments.push((true, data(at, 100 + 1_000 * n, 1_000)));
        segments.push((false, ack(at + 60, 1_100 + 1_000 * n)));
    }
    segments
}

#[test]
fn a_damaged_sequence_number_does_not_spoil_what_follows() {
    // Windows of 1,000 times 2^7: 131,072 beyond what is acknowledged is too much with the slack too.
    for bit in [18, 24, 29] {
        let mut segments = under_way();
        segments.push((true, data(300, 2_100 ^ 1 << bit, 1_000)));
        segments.push((true, data(400, 2_100, 1_000)));
        segments.extend((1..20).map(|n| (true, data(500 + i64::from(n), 2_100 + n * 1_000, 1_000))));
        segments.push((false, ack(600, 22_100)));
        let counts = seen(&segments).a_to_b.counts;
        assert_eq!((counts.implausible, counts.retransmissions, counts.unclear), (1, 0, 0), "bit {bit}");
        assert_eq!((counts.out_of_order, counts.unseen_bytes), (0, 0), "bit {bit}");
    }
}

#[test]
fn a_damaged_acknowledgement_does_not_spoil_what_follows() {
    for bit in [18, 24, 29] {
        let mut segments = under_way();
        segments.push((false, ack(300, 2_100 ^ 1 << bit)));
        for n in 0..5_u32 {
            segments.push((true, data(400 + i64::from(n) * 100, 2_100 + n * 1_000, 1_000)));
            segments.push((false, ack(460 + i64::from(n) * 100, 3_100 + n * 1_000)));
        }
        let found = seen(&segments);
        let counts = found.a_to_b.counts;
        assert_eq!((counts.retransmissions, counts.unseen_bytes, counts.needless), (0, 0, 0), "bit {bit}");
        assert_eq!(found.b_to_a.counts.implausible, 1, "bit {bit}");
        assert_eq!(found.a_to_b.rtt_by_acknowledgement_ns.unwrap().count, 7, "bit {bit}");
    }
}

#[test]
fn without_a_handshake_sixteen_mebibytes_are_the_limit() {
    let after = |ahead: u32| {
        let segments = [(true, data(0, 100, 10)), (true, data(1, 110 + ahead, 10)), (true, data(2, 110, 10))];
        let counts = seen(&segments).a_to_b.counts;
        (counts.implausible, counts.unclear + counts.retransmissions)
    };
    assert_eq!(after((16 << 20) - 11), (0, 1));
    assert_eq!(after(16 << 20), (1, 0));
}

#[test]
fn a_leap_that_a_second_segment_goes_on_from_is_what_the_capture_missed() {
    let far = 500_000_000;
    let mut segments = under_way();
    segments.push((true, data(1_000, far, 1_000)));
    // The same again proves nothing.
    segments.push((true, data(1_000, far, 1_000)));
    let counts = seen(&segments).a_to_b.counts;
    assert_eq!((counts.implausible, counts.repeated), (2, 0));
    segments.remove(segments.len() - 1);
    segments.push((false, ack(1_060, far + 1_000)));
    segments.push((true, data(1_100, far + 1_000, 1_000)));
    segments.push((false, ack(1_160, far + 2_000)));
    let found = seen(&segments);
    assert_eq!((found.a_to_b.counts.implausible, found.b_to_a.counts.implausible), (0, 0));
    assert_eq!(found.a_to_b.counts.unseen_bytes, u64::from(far) - 2_100);
    assert_eq!(found.a_to_b.counts.repeated, 0);
}

#[test]
fn acknowledgements_alone_may_leap_if_they_go_on_from_there() {
    let found = seen(&[(true, data(0, 100, 10)), (false, ack(60, 400_000_110)), (false, ack(70, 400_000_120))]);
    assert_eq!((found.a_to_b.counts.unseen_bytes, found.b_to_a.counts.implausible), (400_000_010, 0));
}

#[test]
fn an_end_that_was_not_captured_is_no_byte() {
    let mut segments = under_way();
    segments.push((false, ack(300, 2_101)));
    segments.push((true, data(310, 2_101, 0)));
    assert_eq!(seen(&segments).a_to_b.counts.unseen_bytes, 0);
    // It was a byte if there is more behind it.
    segments.push((true, data(320, 2_101, 10)));
    assert_eq!(seen(&segments).a_to_b.counts.unseen_bytes, 1);
}
