//! Captures on Linux's "any", which show a packet on each interface that it passes.

use shaper_offline::{
    analyze::{Clock, ClockMethod, Options, one_point},
    pcapfile::linktype::{LINUX_SLL, LINUX_SLL2},
};

use super::{
    analyze, conserved,
    path::{MS, Points, backward, forward},
};

/// An Ethernet frame as "any" shows it: version 2 of the header tells the interface, both the type
/// (0 received, 4 sent).
fn cooked(version: u16, frame: &[u8], interface: u32, kind: u8) -> Vec<u8> {
    let ethertype = &frame[12..14];
    let header = if version == LINUX_SLL2 {
        [ethertype, &[0, 0], &interface.to_be_bytes(), &[0, 1], &[kind, 6], &frame[6..12], &[0, 0]].concat()
    } else {
        [&[0, kind], &[0, 1][..], &[0, 6], &frame[6..12], &[0, 0], ethertype].concat()
    };
    [&header, &frame[14..]].concat()
}

/// 100 packets each way, every tenth lost. B is a bridge: what comes in at its port is seen there
/// (interface 2) and 5 µs later on the bridge (3), going out the other way round.
fn bridged(version: u16, offset: i64) -> Points {
    let mut points = Points { linktypes: [None, Some(version)], ..Points::default() };
    let mut seen = |ts: i64, frame: &[u8], first: (u32, u8), then: (u32, u8)| {
        points.b.push((ts + offset, cooked(version, frame, first.0, first.1)));
        points.b.push((ts + offset + 5_000, cooked(version, frame, then.0, then.1)));
    };
    for number in 0..100_i64 {
        let sent = number * 10 * MS;
        let (there, back) = (forward(number as u64), backward(number as u64));
        if number % 10 != 5 {
            seen(sent + 8 * MS, &there, (2, 0), (3, 4));
        }
        seen(sent + MS, &back, (3, 4), (2, 0));
        points.a.push((sent, there));
        if number % 10 != 5 {
            points.a.push((sent + 7 * MS, back));
        }
    }
    points
}

#[test]
fn a_packet_seen_on_a_bridge_and_on_its_port_is_one_packet() {
    for version in [LINUX_SLL, LINUX_SLL2] {
        for (offset, clock) in [(0, Clock::Same), (5_000 * MS, Clock::Estimate)] {
            let analysis = analyze(bridged(version, offset), clock);
            for figures in [&analysis.a_to_b, &analysis.b_to_a] {
                conserved(figures);
                assert_eq!((figures.sent, figures.lost, figures.duplicated), (100, 10, 0), "{version} {clock:?}");
                assert_eq!((figures.arrivals_only, figures.ambiguous), (0, 0));
            }
            assert_eq!((analysis.files[0].seen_again, analysis.files[1].seen_again), (0, 190));
            assert!(analysis.to_string().contains("190 packets again on another one"), "{analysis}");
            if clock == Clock::Estimate {
                assert_eq!(analysis.clock.method, ClockMethod::MinimumDelays);
                assert_eq!(analysis.clock.offset_ns, Some(5_001 * MS), "half of the asymmetry is not seen");
            }
        }
    }
}

#[test]
fn a_copy_at_the_same_place_is_a_copy_and_one_capture_counts_each_packet_once() {
    let mut points = bridged(LINUX_SLL2, 0);
    let again = cooked(LINUX_SLL2, &forward(7), 2, 0);
    points.b.push((78 * MS + 100_000, again));
    let analysis = analyze(points, Clock::Same);
    assert_eq!((analysis.a_to_b.duplicated, analysis.a_to_b.lost), (1, 10));
    let folder = tempfile::tempdir().unwrap();
    let (_, b) = bridged(LINUX_SLL2, 0).write(folder.path());
    let found = one_point(&b, &Options::default()).unwrap();
    assert_eq!((found.packets, found.seen_again), (380, 190));
    assert_eq!(found.flows.iter().map(|flow| flow.packets).collect::<Vec<_>>(), [100, 90]);
}
