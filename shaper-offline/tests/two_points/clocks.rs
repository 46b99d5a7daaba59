//! Clocks and directions: what files and packets tell of them, and what stays unknown.

use shaper_offline::analyze::{Clock, ClockMethod, FindingKind};

use super::{
    analyze, conserved,
    path::{Draws, EPOCH, HOST_A, HOST_B, MS, Points, backward, forward, multicast, tcp},
};

/// Traffic both ways with jittered delays, seen by clocks `offset` apart and drifting.
fn two_hosts(seconds: i64, offset: i64, skew_ppm: f64, drift_origin: i64) -> Points {
    let mut draws = Draws(7);
    let mut points = Points::default();
    let clock_b = |t: i64| t + offset + ((t - drift_origin) as f64 * skew_ppm * 1e-6) as i64;
    for number in 0..seconds * 100 {
        let sent = number * 10 * MS;
        // Least delays 8 ms there and 5 ms back, exponential tails with a mean of 1 ms.
        let mut tail = || {
            let u = (draws.below(1 << 30) as f64 + 1.0) / (1_u64 << 30) as f64;
            (-u.ln() * 1e6) as i64
        };
        let (there, back) = (8 * MS + tail(), 5 * MS + tail());
        points.a.push((sent, forward(number as u64)));
        points.b.push((clock_b(sent + there), forward(number as u64)));
        points.b.push((clock_b(sent), backward(number as u64)));
        points.a.push((sent + back, backward(number as u64)));
    }
    points
}

#[test]
fn an_unknown_clock_offset_is_found_within_its_bound() {
    let offset = 37_000 * MS;
    let analysis = analyze(two_hosts(8, offset, 0.0, 0), Clock::Estimate);
    assert_eq!(analysis.clock.method, ClockMethod::MinimumDelays);
    let found = analysis.clock.offset_ns.unwrap();
    let bound = analysis.clock.offset_bound_ns.unwrap();
    assert!((found - offset).abs() <= bound, "{found} +- {bound}");
    // (8 + 5) / 2 ms, and what the tails leave of windows of 25 packets: over 32 of them up to some 0.2 ms. The
    // asymmetry of 3 ms moves the offset by half of it.
    assert!((6_500_000..6_900_000).contains(&bound), "{bound}");
    assert!((found - offset - 1_500_000).abs() < 20_000, "{}", found - offset);
    conserved(&analysis.a_to_b);
    conserved(&analysis.b_to_a);
    assert_eq!((analysis.total.lost, analysis.total.matched), (0, 1600));
    let (there, back) = (analysis.a_to_b.delay_ns.unwrap(), analysis.b_to_a.delay_ns.unwrap());
    assert!(there.min.abs_diff(back.min) <= 1, "the estimate splits the round trip evenly");
}

#[test]
fn skew_is_found_and_taken_out() {
    let analysis = analyze(two_hosts(60, -5_000 * MS, 50.0, 0), Clock::Estimate);
    assert_eq!(analysis.clock.method, ClockMethod::MinimumDelays);
    let skew = analysis.clock.skew_ppm.unwrap();
    assert!((skew - 50.0).abs() < 1.0, "{skew}");
    // 50 ppm over 60 s are 3 ms: without correction the largest delay would show them.
    let there = analysis.a_to_b.delay_ns.unwrap();
    assert!((there.p50 - there.min - 693_000).abs() < 60_000, "{there:?}");
}

/// One ping a minute with a round trip of 20 ms, for 45 minutes; the second clock as given.
fn pings(clock_b: impl Fn(i64) -> i64) -> Points {
    let mut draws = Draws(11);
    let mut points = Points::default();
    for number in 0..45_i64 {
        let (sent, id) = (number * 60_000 * MS, number as u64);
        let there = sent + 10 * MS + draws.below(200_000) as i64;
        let back = there + 10 * MS + draws.below(200_000) as i64;
        points.a.push((sent, forward(id)));
        points.b.push((clock_b(there), forward(id)));
        points.b.push((clock_b(there + 1000), backward(id)));
        points.a.push((back, backward(id)));
    }
    points
}

#[test]
fn a_few_packets_over_a_long_time_tell_the_skew_too() {
    // 20 ppm over 44 minutes are 53 ms, more than the round trip.
    let analysis = analyze(pings(|t| t + t / 50_000), Clock::Estimate);
    assert_eq!(analysis.clock.method, ClockMethod::MinimumDelays);
    assert!((analysis.clock.skew_ppm.unwrap() - 20.0).abs() < 0.2, "{:?}", analysis.clock);
    let bound = analysis.clock.offset_bound_ns.unwrap();
    assert!((bound - 10 * MS).abs() < MS, "{bound}");
    for figures in [&analysis.a_to_b, &analysis.b_to_a] {
        assert_eq!((figures.sent, figures.matched), (45, 45));
        assert!(figures.delay_ns.unwrap().min > 9 * MS, "{:?}", figures.delay_ns);
    }
}

#[test]
fn a_clock_that_was_set_between_a_few_packets_is_taken_back() {
    // Set back by 100 ms half way through: no offset and no skew leaves all delays above zero.
    let analysis = analyze(pings(|t| if t < 20 * 60_000 * MS { t } else { t - 100 * MS }), Clock::Estimate);
    assert_eq!(analysis.clock.method, ClockMethod::MinimumDelays);
    let bound = analysis.clock.offset_bound_ns.unwrap();
    assert_eq!(analysis.clock.steps.len(), 1, "{:?}", analysis.clock);
    let step = analysis.clock.steps[0];
    assert!((step.by_ns + 100 * MS).abs() <= 2 * bound, "{step:?} +- {bound}");
    assert!((step.at_ns - EPOCH - 20 * 60_000 * MS).abs() < 60_000 * MS, "{step:?}");
    for figures in [&analysis.a_to_b, &analysis.b_to_a] {
        assert_eq!((figures.sent, figures.matched, figures.lost), (45, 45, 0));
        let delay = figures.delay_ns.unwrap();
        assert!(delay.min >= 0 && delay.max < 12 * MS + bound, "{delay:?}");
    }
    assert!(analysis.to_string().contains("A clock was set while the captures ran"), "{analysis}");
}

#[test]
fn a_clock_that_is_set_all_the_time_gives_no_delay_and_keeps_directions() {
    let minute = 60_000 * MS;
    let analysis = analyze(pings(|t| t + t / minute * 7919 % 13 * 100 * MS), Clock::Estimate);
    assert_eq!(analysis.clock.method, ClockMethod::EstimatorsDisagree);
    assert_eq!((analysis.clock.offset_ns, analysis.clock.offset_bound_ns), (None, None));
    for figures in [&analysis.a_to_b, &analysis.b_to_a] {
        assert_eq!((figures.sent, figures.matched, figures.lost), (45, 45, 0));
        assert!(figures.delay_ns.is_none() && figures.pdv_ns.is_some());
    }
    assert!(analysis.to_string().contains("clock was set"), "{analysis}");
}

/// Traffic both ways, 100 packets a second each; least delays as given, exponential tails of 1 ms.
/// Packets stand in the files in the order in which they passed, whatever the clock says.
fn hosts(seconds: i64, [least_there, least_back]: [i64; 2], clock_b: impl Fn(i64) -> i64) -> Points {
    let mut draws = Draws(23);
    let (mut a, mut b) = (Vec::new(), Vec::new());
    for number in 0..seconds * 100 {
        let sent = number * 10 * MS;
        let mut tail = || {
            let u = (draws.below(1 << 30) as f64 + 1.0) / (1_u64 << 30) as f64;
            (-u.ln() * 1e6) as i64
        };
        let (there, back) = (sent + least_there + tail(), sent + least_back + tail());
        a.extend([(sent, sent, forward(number as u64)), (back, back, backward(number as u64))]);
        b.extend([(sent, clock_b(sent), backward(number as u64)), (there, clock_b(there), forward(number as u64))]);
    }
    let in_order = |mut packets: Vec<(i64, i64, Vec<u8>)>| {
        packets.sort_by_key(|packet| packet.0);
        packets.into_iter().map(|(_, stamp, data)| (stamp, data)).collect()
    };
    Points { a: in_order(a), b: in_order(b), as_given: true, ..Points::default() }
}

#[test]
fn skew_up_to_200_ppm_leaves_offset_and_delays_within_the_bound() {
    for skew in [0.0, 1.0, 10.0, 50.0, 100.0, 200.0_f64] {
        for sign in [-1.0, 1.0] {
            let ppm = skew * sign;
            let clock = |t: i64| t - 900 * MS + (t as f64 * ppm * 1e-6) as i64;
            let analysis = analyze(hosts(40, [8 * MS, 5 * MS], clock), Clock::Estimate);
            assert_eq!(analysis.clock.method, ClockMethod::MinimumDelays, "{ppm} ppm");
            assert!(analysis.clock.steps.is_empty(), "{ppm} ppm: {:?}", analysis.clock);
            let found = analysis.clock.skew_ppm.unwrap();
            assert!((found - ppm).abs() < 1.0, "{ppm} ppm: found {found}");
            let bound = analysis.clock.offset_bound_ns.unwrap();
            let offset = analysis.clock.offset_ns.unwrap();
            assert!((offset + 900 * MS).abs() <= bound, "{ppm} ppm: {offset} +- {bound}");
            for (figures, least) in [(&analysis.a_to_b, 8 * MS), (&analysis.b_to_a, 5 * MS)] {
                let delay = figures.delay_ns.unwrap();
                assert!((delay.min - least).abs() <= bound, "{ppm} ppm: {delay:?} +- {bound}");
                assert!((delay.p50 - least - 693_147).abs() <= bound, "{ppm} ppm: {delay:?} +- {bound}");
            }
        }
    }
}

#[test]
fn an_asymmetric_path_moves_the_offset_within_the_bound() {
    for [there, back] in [[1, 1], [1, 30], [30, 1], [100, 2], [2, 400_i64]] {
        let analysis = analyze(hosts(12, [there * MS, back * MS], |t| t + 250 * MS), Clock::Estimate);
        let (offset, bound) = (analysis.clock.offset_ns.unwrap(), analysis.clock.offset_bound_ns.unwrap());
        assert!((offset - 250 * MS).abs() <= bound, "{there} {back}: {offset} +- {bound}");
        // It is half the difference, and the bound half the sum.
        assert!((offset - 250 * MS - (there - back) * MS / 2).abs() < MS / 5, "{there} {back}: {offset}");
        assert!((bound - (there + back) * MS / 2).abs() < MS / 5, "{there} {back}: {bound}");
    }
}

#[test]
fn steps_of_a_clock_are_recovered_within_the_bound_or_stay_within_it() {
    for by in [-3_000, -250, -40, -4, 4, 40, 250, 3_000_i64] {
        let set = 17_000 * MS;
        let clock = |t: i64| t + 60 * MS + t / 50_000 + if t >= set { by * MS } else { 0 };
        let analysis = analyze(hosts(40, [8 * MS, 5 * MS], clock), Clock::Estimate);
        // A step within the round trip leaves a line possible, and may upset the estimates of skew.
        if analysis.clock.method == ClockMethod::EstimatorsDisagree {
            assert!(by.abs() < 13 && analysis.to_string().contains("clock was set"), "{by} ms: {analysis}");
            continue;
        }
        assert_eq!(analysis.clock.method, ClockMethod::MinimumDelays, "{by} ms: {analysis}");
        let bound = analysis.clock.offset_bound_ns.unwrap();
        let offset = analysis.clock.offset_ns.unwrap();
        assert!((offset - 60 * MS).abs() <= bound, "{by} ms: {offset} +- {bound}");
        assert!(analysis.clock.steps.len() <= 1, "{by} ms: {:?}", analysis.clock);
        if let Some(step) = analysis.clock.steps.first() {
            assert!((step.by_ns - by * MS).abs() <= 2 * bound, "{by} ms: {step:?} +- {bound}");
            assert!((step.at_ns - EPOCH - set).abs() < 200 * MS, "{by} ms: {step:?}");
        } else {
            assert!((by * MS).abs() <= 2 * bound, "{by} ms: none found, +- {bound}");
        }
        assert_eq!((analysis.total.matched, analysis.total.lost), (8000, 0), "{by} ms: {analysis}");
        for (figures, least) in [(&analysis.a_to_b, 8 * MS), (&analysis.b_to_a, 5 * MS)] {
            let delay = figures.delay_ns.unwrap();
            assert!((delay.p50 - least - 693_147).abs() <= bound, "{by} ms: {delay:?} +- {bound}");
        }
    }
}

#[test]
fn a_clock_set_by_less_than_the_round_trip_stays_within_the_bound() {
    let mut unseen = 0;
    for by in [-9, -6, -3, 3, 6, 9_i64] {
        for set in [700, 4_000, 7_300_i64] {
            // Too short for estimates of skew, which would disagree.
            let clock = |t: i64| t + 60 * MS + if t >= set * MS { by * MS } else { 0 };
            let analysis = analyze(hosts(8, [5 * MS, 5 * MS], clock), Clock::Estimate);
            assert_eq!(analysis.clock.method, ClockMethod::MinimumDelays, "{by} ms at {set} ms: {analysis}");
            let (offset, bound) = (analysis.clock.offset_ns.unwrap(), analysis.clock.offset_bound_ns.unwrap());
            for truth in [60 * MS, (60 + by) * MS] {
                assert!((offset - truth).abs() <= bound, "{by} ms at {set} ms: {offset} +- {bound}");
            }
            assert!(bound < 15 * MS, "{by} ms at {set} ms: {bound}");
            unseen += usize::from(analysis.clock.steps.is_empty());
            for figures in [&analysis.a_to_b, &analysis.b_to_a] {
                let delay = figures.delay_ns.unwrap();
                assert!(delay.min >= 5 * MS - bound, "{by} ms at {set} ms: {delay:?} +- {bound}");
            }
        }
    }
    assert!(unseen >= 16, "{unseen}");
}

#[test]
fn packets_that_the_estimate_did_not_see_can_still_refute_it() {
    // Packets that look alike are in no estimate: here those behind the moment the clock was set.
    let mut points = Points::default();
    for number in 0..300_i64 {
        let (sent, set) = (number * 20 * MS, number >= 200);
        let id = if set { 999 } else { number as u64 };
        let clock_b = |t: i64| if set { t - 100 * MS } else { t };
        points.a.push((sent, forward(id)));
        points.b.push((clock_b(sent + 10 * MS), forward(id)));
        points.b.push((clock_b(sent + 10 * MS), backward(id)));
        points.a.push((sent + 20 * MS, backward(id)));
    }
    let analysis = analyze(points, Clock::Estimate);
    assert_eq!(analysis.clock.method, ClockMethod::EstimatorsDisagree);
    assert_eq!((analysis.clock.offset_ns, analysis.clock.offset_bound_ns), (None, None));
    assert!(analysis.a_to_b.delay_ns.is_none() && analysis.b_to_a.delay_ns.is_none());
}

#[test]
fn one_direction_gives_variation_and_no_delay() {
    let mut points = Points { flags: true, ..Points::default() };
    for number in 0..200_i64 {
        points.a.push((number * MS, forward(number as u64)));
        let arrived = number * MS + 5_000 * MS + number % 10 * 1_000;
        points.b.push((arrived, forward(number as u64)));
    }
    let analysis = analyze(points, Clock::Estimate);
    assert_eq!(analysis.clock.method, ClockMethod::OneDirection);
    assert_eq!(analysis.clock.offset_ns, None);
    assert!(analysis.a_to_b.delay_ns.is_none() && analysis.a_to_b.delay_all_ns.is_none());
    assert_eq!(analysis.a_to_b.pdv_ns.unwrap().max, 9_000);
    assert_eq!((analysis.a_to_b.matched, analysis.a_to_b.lost), (200, 0));
    // The same with the offset told.
    let mut points = Points::default();
    points.a.push((0, forward(1)));
    points.b.push((5_003 * MS, forward(1)));
    let analysis = analyze(points, Clock::Known(5_000 * MS));
    assert_eq!(analysis.a_to_b.delay_ns.unwrap().min, 3 * MS);
}

/// Both hosts send to a group, 100 packets each; the second's clock is ahead by the offset. Every
/// tenth from A is lost, every fifth from B.
fn multicast_both_ways(offset: i64) -> Points {
    let mut points = Points::default();
    for number in 0..100_i64 {
        let sent = number * 10 * MS;
        points.a.push((sent, multicast(HOST_A, number as u64)));
        points.b.push((sent + offset, multicast(HOST_B, number as u64)));
        if number % 10 != 5 {
            points.b.push((sent + offset + 8 * MS, multicast(HOST_A, number as u64)));
        }
        if number % 5 != 2 {
            points.a.push((sent + 6 * MS, multicast(HOST_B, number as u64)));
        }
    }
    points
}

#[test]
fn packets_without_a_known_direction_are_in_neither() {
    for offset in [0, 3_600_000 * MS] {
        let analysis = analyze(multicast_both_ways(offset), Clock::Estimate);
        assert_eq!(analysis.clock.method, ClockMethod::NoDirection);
        assert_eq!((analysis.a_to_b.sent, analysis.b_to_a.sent, analysis.total.lost), (0, 0, 0));
        assert_eq!((analysis.a_to_b.arrivals_only, analysis.b_to_a.arrivals_only), (0, 0));
        let total = &analysis.total;
        assert_eq!((total.sent, total.unplaced, total.unplaced_pairs), (200, 200, 170));
        assert!(analysis.flows.iter().all(|flow| flow.way.is_none()));
        assert!(analysis.to_string().contains("--same-clock"), "{analysis}");
        assert!(!analysis.to_string().contains("No packet was recognised"), "{analysis}");
    }
    // Where one clock stamped both, that settles it.
    let analysis = analyze(multicast_both_ways(0), Clock::Same);
    assert_eq!((analysis.a_to_b.lost, analysis.b_to_a.lost, analysis.total.unplaced), (10, 20, 0));
}

#[test]
fn direction_flags_tell_which_way_multicast_went() {
    let analysis = analyze(Points { flags: true, ..multicast_both_ways(9_000 * MS) }, Clock::Estimate);
    assert_eq!(analysis.clock.method, ClockMethod::MinimumDelays);
    assert_eq!(analysis.clock.offset_ns, Some(9_001 * MS), "half of the asymmetry is not seen");
    let (there, back) = (&analysis.a_to_b, &analysis.b_to_a);
    assert_eq!((there.sent, there.lost, back.sent, back.lost), (100, 10, 100, 20));
    assert_eq!(analysis.total.unplaced, 0);
    // Traffic of one host alone, the second.
    let mut points = multicast_both_ways(0);
    points.a.retain(|packet| packet.1[26..30] == HOST_B);
    points.b.retain(|packet| packet.1[26..30] == HOST_B);
    let one_way = analyze(Points { flags: true, ..points }, Clock::Estimate);
    assert_eq!(one_way.clock.method, ClockMethod::OneDirection);
    assert_eq!((one_way.a_to_b.sent, one_way.b_to_a.sent, one_way.b_to_a.lost), (0, 100, 20));
}

#[test]
fn captures_that_name_one_clock_need_no_flag_and_leave_out_what_was_not_impaired() {
    let with_control = |clocks| {
        let mut points = multicast_both_ways(0);
        points.clocks = Some(clocks);
        // Unlike datagrams, TCP carries no id here: it stands for control traffic.
        points.a.push((3 * MS, tcp(1, &[1; 10])));
        points.b.push((500 * MS, tcp(1, &[1; 10])));
        points
    };
    let analysis = analyze(with_control(["boot-1", "boot-1"]), Clock::Estimate);
    assert_eq!(analysis.clock.method, ClockMethod::SameHostByFiles);
    assert_eq!(analysis.clock.offset_ns, Some(0));
    let (there, back) = (&analysis.a_to_b, &analysis.b_to_a);
    assert_eq!((there.sent, there.lost, back.sent, back.lost), (100, 10, 100, 20));
    assert_eq!((there.delay_ns.unwrap().max, back.delay_ns.unwrap().max), (8 * MS, 6 * MS));
    assert_eq!((analysis.files[0].bypassed, analysis.files[1].bypassed), (1, 1));
    assert!(analysis.to_string().contains("same host, by the files"), "{analysis}");
    let analysis = analyze(with_control(["boot-1", "boot-2"]), Clock::Estimate);
    assert_ne!(analysis.clock.method, ClockMethod::SameHostByFiles);
    assert_eq!(analysis.files[0].bypassed, 0);
}

#[test]
fn losses_at_the_ends_of_a_run_are_losses_where_its_captures_tell_when_they_ran() {
    let lost_at_the_ends = |ran| {
        let mut points = Points { clocks: Some(["boot-1"; 2]), ran, ..Points::default() };
        for number in 0..50_i64 {
            points.a.push((number * 10 * MS, forward(number as u64)));
            if (2..48).contains(&number) {
                points.b.push((number * 10 * MS + 8 * MS, forward(number as u64)));
            }
        }
        analyze(points, Clock::Estimate).a_to_b
    };
    let told = lost_at_the_ends(Some((-MS, 600 * MS)));
    assert_eq!((told.sent, told.lost, told.edge), (50, 4, 0));
    let silent = lost_at_the_ends(None);
    assert_eq!((silent.sent, silent.lost, silent.edge), (50, 0, 4));
}

/// 100 packets that take no time by their stamps; every tenth is lost. Then what tells, if anything.
fn at_once(ttl: u8, more: impl FnOnce(&mut Points)) -> Points {
    let mut points = Points::default();
    for number in 0..100_i64 {
        points.a.push((number * MS, forward(number as u64)));
        if number % 10 != 5 {
            let mut arrived = forward(number as u64);
            arrived[22] = ttl;
            points.b.push((number * MS, arrived));
        }
    }
    more(&mut points);
    points
}

#[test]
fn packets_seen_at_both_points_at_the_same_time_are_told_so() {
    let analysis = analyze(at_once(64, |_| {}), Clock::Same);
    let total = &analysis.total;
    assert_eq!((total.sent, total.unplaced, total.unplaced_pairs, total.lost), (100, 100, 90, 0));
    assert_eq!((total.matched, analysis.a_to_b.tiers.payload), (0, 0));
    assert_eq!((analysis.files[0].unplaced, analysis.files[1].unplaced), (10, 0));
    assert!(analysis.has_shared() && !analysis.to_string().contains("No packet was recognised"), "{analysis}");
    let told = analysis.findings.iter().find(|finding| finding.kind == FindingKind::UnplacedPairs).unwrap();
    assert!(told.count == 90 && told.text.contains("at both points at the same time"), "{analysis}");
}

#[test]
fn equal_stamps_leave_the_direction_to_hop_counts_and_to_other_packets() {
    // One hop from A to B, or from B to A.
    let analysis = analyze(at_once(63, |_| {}), Clock::Same);
    conserved(&analysis.a_to_b);
    assert_eq!((analysis.a_to_b.matched, analysis.a_to_b.lost, analysis.total.unplaced), (90, 10, 0));
    assert_eq!(analysis.a_to_b.delay_ns.unwrap().max, 0);
    let analysis = analyze(at_once(65, |_| {}), Clock::Same);
    assert_eq!((analysis.b_to_a.matched, analysis.a_to_b.sent, analysis.total.unplaced), (90, 0, 0));
    // The last packet takes a nanosecond, either way: that tells of those before it too.
    for [a, b] in [[0, 1], [1, 0]] {
        let last = |points: &mut Points| {
            points.a.push((200 * MS + a, forward(200)));
            points.b.push((200 * MS + b, forward(200)));
        };
        let analysis = analyze(at_once(64, last), Clock::Same);
        let figures = if b == 1 { &analysis.a_to_b } else { &analysis.b_to_a };
        conserved(figures);
        assert_eq!((figures.matched, analysis.total.unplaced_pairs), (91, 0), "{a} {b}: {analysis}");
    }
}
