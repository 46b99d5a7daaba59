//! Two captures of a simulated path: every figure must be the one that was put in.

#![expect(clippy::unwrap_used, reason = "tests panic with their context")]

mod anonymized;
mod broken;
mod clocks;
mod cooked;
mod cuts;
mod damage;
mod packets;
mod path;
mod selectors;
mod sources;
mod tunnels;

use std::collections::BTreeMap;

use path::{EPOCH, HOST_A, HOST_B, MS, Points, backward, forward, tcp, udp};
use proptest::prelude::*;
use shaper_offline::analyze::{Analysis, Clock, ClockMethod, Figures, Options, Way, one_point, two_points};

fn analyze(points: Points, clock: Clock) -> Analysis {
    let folder = tempfile::tempdir().unwrap();
    let (a, b) = points.write(folder.path());
    two_points(&a, &b, &Options { clock, ..Options::default() }).unwrap()
}

/// What every analysis must keep, whatever happened on the path.
fn conserved(figures: &Figures) {
    let parts = figures.matched + figures.corrupted + figures.lost + figures.unmatched + figures.edge;
    assert_eq!(figures.sent, parts, "{figures:#?}");
    assert_eq!(figures.delay_ns.map_or(figures.matched, |delay| delay.count), figures.matched);
}

#[test]
fn delay_loss_and_runs_come_out_exactly() {
    let mut points = Points::default();
    // 1000 packets, 10 ms apart; delay 20 ms + number % 100 microseconds; every 50th and its
    // successor lost.
    for number in 0..1000 {
        let sent = number * 10 * MS;
        points.a.push((sent, forward(number as u64)));
        if number % 50 > 1 || number == 0 {
            points.b.push((sent + 20 * MS + number % 100 * 1_000, forward(number as u64)));
        }
    }
    let analysis = analyze(points, Clock::Same);
    let figures = &analysis.a_to_b;
    conserved(figures);
    // Lost: 1, then 50 and 51, 100 and 101 … 950 and 951.
    assert_eq!((figures.sent, figures.lost, figures.matched), (1000, 39, 961));
    assert_eq!((figures.edge, figures.unmatched, figures.ambiguous), (0, 0, 0));
    assert_eq!(figures.loss_runs.count, 20);
    assert_eq!(figures.loss_runs.length.unwrap().max, 2);
    let delay = figures.delay_ns.unwrap();
    assert_eq!((delay.min, delay.max), (20 * MS, 20 * MS + 99_000));
    assert!(delay.exact);
    let all = figures.delay_all_ns.unwrap();
    assert_eq!((all.p999, all.max), (None, None), "3.9 % of all packets are infinitely late");
    assert!(all.p50.is_some() && all.p90.is_some());
    let pdv = figures.pdv_ns.unwrap();
    assert_eq!((pdv.min, pdv.max), (0, 99_000));
    // Neighbours differ by +1 us, and by -99 us where the pattern begins again: but there one
    // of the two is lost, except none.
    let ipdv = figures.ipdv_ns.unwrap();
    assert_eq!((ipdv.min, ipdv.max), (1_000, 1_000));
    assert_eq!(figures.reordered, 0);
    assert_eq!(analysis.clock.method, ClockMethod::SameHost);
    assert_eq!(analysis.b_to_a.sent, 0);
    assert_eq!(figures.tiers.payload, 961);
    let interval = figures.loss_interval.unwrap();
    assert!(interval.low < 0.039 && 0.039 < interval.high);
}

#[test]
fn both_directions_are_told_apart_without_being_told() {
    let mut points = Points::default();
    for number in 0..400 {
        let sent = number * MS;
        points.a.push((sent, forward(number as u64)));
        points.b.push((sent, backward(number as u64)));
        if number % 10 != 5 {
            points.b.push((sent + 7 * MS, forward(number as u64)));
        }
        if number % 4 != 2 {
            points.a.push((sent + 3 * MS, backward(number as u64)));
        }
    }
    let analysis = analyze(points, Clock::Same);
    let (there, back) = (&analysis.a_to_b, &analysis.b_to_a);
    conserved(there);
    conserved(back);
    assert_eq!((there.lost, there.delay_ns.unwrap().p50), (40, 7 * MS));
    assert_eq!((back.lost, back.delay_ns.unwrap().p50), (100, 3 * MS));
    let ways: Vec<_> = analysis.flows.iter().map(|flow| flow.way).collect();
    assert!(ways.contains(&Some(Way::AToB)) && ways.contains(&Some(Way::BToA)));
    assert_eq!(analysis.total.lost, 140);
}

#[test]
fn reordered_and_duplicated_packets_are_counted_once_each() {
    let mut points = Points::default();
    for number in 0..500_i64 {
        let sent = number * MS;
        points.a.push((sent, forward(number as u64)));
        // Every 20th is 5 ms late: it arrives behind four later ones. Every 25th comes twice.
        let late = if number % 20 == 10 { 4 * MS + MS / 2 } else { 0 };
        points.b.push((sent + 10 * MS + late, forward(number as u64)));
        if number % 25 == 24 {
            points.b.push((sent + 10 * MS + 300_000, forward(number as u64)));
        }
    }
    let analysis = analyze(points, Clock::Same);
    let figures = &analysis.a_to_b;
    conserved(figures);
    assert_eq!((figures.matched, figures.lost), (500, 0));
    assert_eq!((figures.reordered, figures.duplicated), (25, 20));
    let extent = figures.reordering.extent.unwrap();
    assert_eq!((extent.min, extent.max), (4, 4));
    assert_eq!(figures.reordering.late_ns.unwrap().max, 3 * MS + MS / 2);
    assert_eq!(figures.reordering.three_reordered, 25);
    assert!((figures.reordering.ratio.unwrap() - 0.05).abs() < 1e-12);
}

#[test]
fn damaged_packets_are_found_by_their_header_and_are_not_lost() {
    let mut points = Points::default();
    for number in 0..300_i64 {
        let sent = number * MS;
        let packet = forward(number as u64);
        let mut arrived = packet.clone();
        if number % 30 == 29 {
            arrived[60] ^= 0x40;
        }
        points.a.push((sent, packet));
        points.b.push((sent + 5 * MS, arrived));
    }
    let analysis = analyze(points, Clock::Same);
    let figures = &analysis.a_to_b;
    conserved(figures);
    assert_eq!((figures.matched, figures.corrupted, figures.lost), (290, 10, 0));
    assert_eq!(figures.arrivals_only, 0);
}

#[test]
fn what_lies_outside_of_the_overlap_is_edge_and_not_loss() {
    let mut points = Points::default();
    for number in 0..1000_i64 {
        let sent = number * 10 * MS;
        // The second capture runs from 2 s to 8 s; the first one from 1 s on.
        let arrived = sent + 20 * MS;
        if sent >= 1_000 * MS {
            points.a.push((sent, forward(number as u64)));
        }
        if (2_000 * MS..8_000 * MS).contains(&arrived) && number % 100 != 50 {
            points.b.push((arrived, forward(number as u64)));
        }
    }
    let analysis = analyze(points, Clock::Same);
    let figures = &analysis.a_to_b;
    conserved(figures);
    // Sent at 2.5, 3.5 … 7.5 s and lost: numbers 250 … 750.
    assert_eq!((figures.sent, figures.lost), (900, 6));
    assert_eq!(figures.matched, 600 - 6);
    assert_eq!(figures.edge, 300);
    let (from, to) = analysis.overlap_ns.unwrap();
    assert_eq!((from - EPOCH, to - EPOCH), (2_000 * MS, 7_990 * MS));
}

#[test]
fn drops_of_the_capture_are_never_loss() {
    let build = || {
        let mut points = Points::default();
        for number in 0..300_i64 {
            let sent = number * 10 * MS;
            points.a.push((sent, forward(number as u64)));
            // Missing: 100 to 104, and 200.
            if !(100..105).contains(&number) && number != 200 {
                points.b.push((sent + 5 * MS, forward(number as u64)));
            }
        }
        points
    };
    // Told nothing: all six are lost.
    assert_eq!(analyze(build(), Clock::Same).a_to_b.lost, 6);
    // Told at the packet behind the gap: 200 is still proven.
    let told = Points { gap_at: Some((100, 5)), drops: [0, 5], ..build() };
    let figures = analyze(told, Clock::Same).a_to_b;
    conserved(&figures);
    assert_eq!((figures.lost, figures.unmatched), (1, 5));
    // Told as a sum: nothing is proven.
    let analysis = analyze(Points { drops: [0, 6], ..build() }, Clock::Same);
    conserved(&analysis.a_to_b);
    assert_eq!((analysis.a_to_b.lost, analysis.a_to_b.unmatched), (0, 6));
    assert!(analysis.findings.iter().any(|finding| finding.text.contains("itself lost 6 packets")));
}

#[test]
fn what_was_never_seen_at_both_points_is_not_called_lost() {
    let mut points = Points::default();
    for number in 0..100_i64 {
        points.a.push((number * MS, forward(number as u64)));
        points.b.push((number * MS + MS, forward(number as u64)));
        let elsewhere = udp(HOST_A, [192, 0, 2, 9], (1000, 2000), &(number as u64).to_be_bytes());
        points.a.push((number * MS, elsewhere));
    }
    let analysis = analyze(points, Clock::Same);
    assert_eq!((analysis.a_to_b.lost, analysis.total.unplaced), (0, 100));
    assert_eq!(analysis.total.unmatched, 100);
}

#[test]
fn packets_that_look_alike_pair_in_order_and_are_flagged() {
    let mut points = Points::default();
    for number in 0..50_i64 {
        let alike = udp(HOST_A, HOST_B, (1000, 2000), b"beat");
        points.a.push((number * MS, alike.clone()));
        points.b.push((number * MS + 5 * MS + MS / 2, alike));
    }
    let figures = analyze(points, Clock::Same).a_to_b;
    conserved(&figures);
    assert_eq!((figures.matched, figures.lost), (50, 0));
    let delay = figures.delay_ns.unwrap();
    assert_eq!((delay.min, delay.max), (5 * MS + MS / 2, 5 * MS + MS / 2));
    // All but the last one had others waiting behind it.
    assert_eq!(figures.ambiguous, 49);
}

#[test]
fn which_of_packets_that_look_alike_is_missing_is_not_known() {
    let mut points = Points::default();
    let alike = udp(HOST_A, HOST_B, (1000, 2000), b"beat");
    for number in 0..200_i64 {
        points.a.push((number * MS, alike.clone()));
        points.a.push((number * MS, forward(number as u64)));
        points.b.push((number * MS + 5 * MS, forward(number as u64)));
        if number % 10 != 5 {
            points.b.push((number * MS + 5 * MS, alike.clone()));
        }
    }
    // An outage behind them: nothing that looks like these arrives when they would.
    for number in 300..320_i64 {
        points.a.push((number * MS, alike.clone()));
    }
    points.a.push((400 * MS, forward(400)));
    points.b.push((405 * MS, forward(400)));
    let analysis = analyze(points, Clock::Same);
    let figures = &analysis.a_to_b;
    conserved(figures);
    assert_eq!((figures.matched, figures.unmatched, figures.edge), (201 + 180, 20, 0), "{analysis}");
    assert_eq!(figures.lost, 20);
    assert!(figures.ambiguous >= 170);
}

#[test]
fn translated_addresses_are_noticed_and_matched_by_payload() {
    let mut points = Points::default();
    for number in 0..200_u64 {
        let sent = number as i64 * MS;
        points.a.push((sent, forward(number)));
        let payload = forward(number)[42..].to_vec();
        let translated = udp([203, 0, 113, 7], HOST_B, (61_000, 50_002), &payload);
        if number % 20 != 7 {
            points.b.push((sent + 4 * MS, translated));
        }
    }
    let analysis = analyze(points, Clock::Same);
    assert!(analysis.addresses_rewritten);
    conserved(&analysis.a_to_b);
    assert_eq!((analysis.a_to_b.matched, analysis.a_to_b.lost), (190, 10));
    assert_eq!(analysis.a_to_b.delay_ns.unwrap().p50, 4 * MS);
    assert_eq!(analysis.total.unplaced, 0);
}

#[test]
fn different_snapshot_lengths_still_match() {
    for snaplen in [[Some(68), None], [None, Some(68)], [Some(64), Some(96)]] {
        let mut points = Points { snaplen, ..Points::default() };
        for number in 0..100_u64 {
            points.a.push((number as i64 * MS, forward(number)));
            points.b.push((number as i64 * MS + MS / 2, forward(number)));
        }
        let analysis = analyze(points, Clock::Same);
        assert_eq!(analysis.a_to_b.matched, 100, "{snaplen:?}");
        assert!(analysis.compared_bytes.is_some());
    }
}

#[test]
fn unrelated_captures_say_so() {
    let mut points = Points::default();
    for number in 0..50_i64 {
        points.a.push((number * MS, forward(number as u64)));
        points.b.push((number * MS, udp([10, 9, 9, 9], HOST_B, (1, 2), &number.to_be_bytes())));
    }
    let analysis = analyze(points, Clock::Estimate);
    assert_eq!(analysis.clock.method, ClockMethod::NoPairs);
    assert_eq!((analysis.total.matched, analysis.total.lost), (0, 0));
    assert!(analysis.findings[0].text.contains("No packet was recognised"));
}

#[test]
fn the_json_has_the_documented_names_and_null_for_infinite() {
    let mut points = Points::default();
    for number in 0..10_i64 {
        points.a.push((number * MS, forward(number as u64)));
        if number != 3 {
            points.b.push((number * MS + MS / 10, forward(number as u64)));
        }
    }
    let json = serde_json::to_value(analyze(points, Clock::Same)).unwrap();
    for key in ["sent", "matched", "lost", "unmatched", "duplicated", "corrupted", "reordered", "edge"] {
        assert!(json["total"][key].is_u64(), "total.{key}");
        assert!(json["a_to_b"][key].is_u64(), "a_to_b.{key}");
        assert!(json["flows"][0][key].is_u64(), "flows[0].{key}");
    }
    for key in ["min", "p50", "p90", "p99", "p999", "max", "mean"] {
        assert!(json["a_to_b"]["delay_ns"][key].is_number(), "{key}");
    }
    assert!(json["a_to_b"]["delay_all_ns"]["max"].is_null());
    assert_eq!(json["a_to_b"]["delay_all_ns"]["p50"], 100_000);
    assert_eq!(json["clock"]["method"], "same_host");
    assert_eq!(json["flows"][0]["flow"], "UDP 10.0.0.1:50001 > 10.0.0.2:50002");
    assert_eq!(json["flows"][0]["way"], "a_to_b");
}

#[test]
fn tcp_cut_into_other_segments_is_matched_by_its_bytes() {
    let mut points = Points::default();
    let mut sequence = u32::MAX - 20_000;
    for number in 0..100_i64 {
        let sent = number * 10 * MS;
        // The sender's capture sees 5 * 1000 bytes at once, the wire carries five segments; of
        // every tenth the third one is lost.
        points.a.push((sent, tcp(sequence, &[number as u8; 5000])));
        for piece in 0..5_i64 {
            if number % 10 == 9 && piece == 2 {
                continue;
            }
            let at = sequence.wrapping_add(piece as u32 * 1000);
            points.b.push((sent + 8 * MS + piece * 10_000, tcp(at, &[number as u8; 1000])));
        }
        sequence = sequence.wrapping_add(5000);
        // A bare acknowledgement, the same at both points.
        points.a.push((sent + MS, tcp(sequence, &[])));
        points.b.push((sent + 9 * MS, tcp(sequence, &[])));
    }
    let figures = analyze(points, Clock::Same).a_to_b;
    conserved(&figures);
    assert_eq!((figures.matched, figures.resegmented, figures.lost), (190, 90, 10));
    assert_eq!(figures.arrivals_only, 0, "segments of a packet that was sent");
    let delay = figures.delay_ns.unwrap();
    assert_eq!((delay.min, delay.max), (8 * MS, 8 * MS + 40_000));
    assert_eq!(figures.tiers.tcp, 100);
}

#[test]
fn one_capture_is_described_by_its_flows() {
    let mut points = Points::default();
    for number in 0..30_i64 {
        points.a.push((number * 100 * MS, forward(number as u64)));
        if number % 3 == 0 {
            points.a.push((number * 100 * MS + MS, backward(number as u64)));
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let (a, _) = points.write(folder.path());
    let found = one_point(&a, &Options::default()).unwrap();
    assert_eq!((found.packets, found.bytes), (40, 40 * 142));
    assert_eq!(found.duration_ns, Some(2_900 * MS));
    let flows: Vec<_> = found.flows.iter().map(|flow| flow.packets).collect();
    assert_eq!(flows, [30, 10]);
}

#[test]
fn the_same_file_twice_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (a, _) = Points::default().write(folder.path());
    let error = two_points(&a, &a, &Options::default()).unwrap_err();
    assert!(error.to_string().contains("given twice"), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Damaged captures end in a result or in an error, whatever their stamps and lengths say.
    #[test]
    fn damaged_captures_never_panic(
        edits in prop::collection::vec((any::<bool>(), any::<prop::sample::Index>(), any::<u8>()), 1..12),
        estimate: bool,
    ) {
        let mut points = Points::default();
        for number in 0..6_i64 {
            points.a.push((number * MS, forward(number as u64)));
            points.b.push((number * MS + MS, forward(number as u64)));
            points.b.push((number * MS, tcp(number as u32 * 100, &[1; 100])));
            points.a.push((number * MS + MS, tcp(number as u32 * 100, &[1; 100])));
        }
        let folder = tempfile::tempdir().unwrap();
        let (a, b) = points.write(folder.path());
        let mut bytes = [std::fs::read(&a).unwrap(), std::fs::read(&b).unwrap()];
        for (second, at, value) in edits {
            let file = &mut bytes[usize::from(second)];
            let at = at.index(file.len());
            file[at] = value;
        }
        std::fs::write(&a, &bytes[0]).unwrap();
        std::fs::write(&b, &bytes[1]).unwrap();
        let clock = if estimate { Clock::Estimate } else { Clock::Same };
        let options = Options { clock, ..Options::default() };
        if let Ok(analysis) = two_points(&a, &b, &options) {
            conserved(&analysis.a_to_b);
            conserved(&analysis.b_to_a);
            prop_assert!(!analysis.to_string().is_empty());
        }
        let _ = one_point(&a, &options).map(|found| found.to_string());
    }
}

/// What the path did to a packet.
#[derive(Clone, Copy, Debug)]
struct Fate {
    lost: bool,
    copies: usize,
    corrupted: bool,
    delay: i64,
}

fn fates() -> impl Strategy<Value = Vec<Fate>> {
    let fate = (0..10_u32, 0..10_u32, 0..10_u32, 1_000..40 * MS).prop_map(|(lost, copies, corrupted, delay)| Fate {
        lost: lost == 0,
        copies: copies.saturating_sub(8) as usize,
        corrupted: corrupted == 0,
        delay,
    });
    prop::collection::vec(fate, 2..200)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    /// Whatever the fates: the figures are those that were put in, in both directions at once.
    #[test]
    fn any_fates_come_out_as_they_were_put_in(there in fates(), back in fates()) {
        let mut points = Points::default();
        // Packets that arrive for certain frame what is random, so that nothing is edge.
        let frame = Fate { lost: false, copies: 0, corrupted: false, delay: 40 * MS };
        let framed = |fates: &[Fate]| [&[frame; 2], fates, &[frame; 2]].concat();
        let (there, back) = (framed(&there), framed(&back));
        for (fates, build, forth) in
            [(&there, forward as fn(u64) -> Vec<u8>, true), (&back, backward, false)]
        {
            for (number, fate) in (0_i64..).zip(fates) {
                let (sent, packet) = (number * 3 * MS, build(number as u64));
                let mut arrived = packet.clone();
                arrived[90] ^= u8::from(fate.corrupted);
                let arrivals = if fate.lost { 0 } else { 1 + fate.copies };
                // A copy of a damaged packet would be damaged alike; keep to one.
                let arrivals = if fate.corrupted { arrivals.min(1) } else { arrivals };
                let (from, to) =
                    if forth { (&mut points.a, &mut points.b) } else { (&mut points.b, &mut points.a) };
                from.push((sent, packet));
                for copy in 0..arrivals as i64 {
                    to.push((sent + fate.delay + copy * 17, arrived.clone()));
                }
            }
        }
        let analysis = analyze(points, Clock::Same);
        for (figures, fates) in [(&analysis.a_to_b, &there), (&analysis.b_to_a, &back)] {
            conserved(figures);
            let count = |what: fn(&Fate) -> bool| fates.iter().filter(|&fate| what(fate)).count() as u64;
            prop_assert_eq!(figures.sent, fates.len() as u64);
            prop_assert_eq!(figures.lost, count(|f| f.lost));
            prop_assert_eq!(figures.corrupted, count(|f| f.corrupted && !f.lost));
            prop_assert_eq!(figures.matched, count(|f| !f.corrupted && !f.lost));
            let copies: usize =
                fates.iter().filter(|f| !f.lost && !f.corrupted).map(|f| f.copies).sum();
            prop_assert_eq!(figures.duplicated, copies as u64);
            prop_assert_eq!((figures.edge, figures.unmatched, figures.arrivals_only), (0, 0, 0));
            // Delays and reordering, read off the fates.
            let intact: BTreeMap<(i64, i64), i64> = (0_i64..)
                .zip(fates)
                .filter(|(_, f)| !f.lost && !f.corrupted)
                .map(|(number, f)| ((number * 3 * MS + f.delay, number), f.delay))
                .collect();
            let delay = figures.delay_ns.unwrap();
            prop_assert_eq!(Some(delay.min), intact.values().min().copied());
            prop_assert_eq!(Some(delay.max), intact.values().max().copied());
            let mut largest = -1;
            let reordered = intact.keys().filter(|&&(_, number)| {
                let late = number < largest;
                largest = largest.max(number);
                late
            });
            prop_assert_eq!(figures.reordered, reordered.count() as u64);
        }
    }
}
