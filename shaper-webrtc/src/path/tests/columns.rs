use std::collections::BTreeMap;

use proptest::prelude::*;

use super::world::{MS, Truth, World, ssrc_in, ssrc_out};
use crate::path::{Direction, Inputs, PathReport, analyse};

fn by_ssrc(report: &PathReport, direction: Direction, of: impl Fn(&crate::path::Leg) -> u64) -> BTreeMap<u32, u64> {
    let legs = report.legs.iter().filter(|leg| leg.direction == direction);
    legs.map(|leg| (leg.ssrc, of(leg))).filter(|(_, count)| *count > 0).collect()
}

/// What must hold of any world whose captures and logs are whole.
fn adds_up(inputs: &Inputs, truth: &Truth) -> PathReport {
    let report = analyse(inputs, None).unwrap();
    for leg in &report.legs {
        assert!(leg.checks.len() >= 2, "{leg:#?}");
        assert!(leg.checks.iter().all(|check| check.holds), "{leg:#?}");
    }
    let lost = |leg: &crate::path::Leg| leg.captures.unwrap().lost;
    assert_eq!(by_ssrc(&report, Direction::Uplink, lost), truth.lost_up);
    assert_eq!(by_ssrc(&report, Direction::Downlink, lost), truth.lost_down);
    let repaired = |leg: &crate::path::Leg| leg.joined.unwrap().repaired;
    assert_eq!(by_ssrc(&report, Direction::Downlink, repaired), truth.repaired_down);
    assert_eq!(report.fates.delivered, truth.delivered);
    assert_eq!(report.fates.repaired, truth.repaired);
    assert_eq!(report.fates.lost_receiver, truth.dropped_by_tester);
    assert_eq!(report.fates.in_flight + report.fates.lost_somewhere + report.fates.lost_sender, 0);
    // Of those that the engine dropped it says why.
    for leg in &report.legs {
        assert_eq!(leg.causes.get("random loss").copied().unwrap_or(0), leg.captures.unwrap().lost);
        assert!(leg.causes.len() <= 1, "{:?}", leg.causes);
    }
    report
}

#[test]
fn numbers_that_wrap_are_matched_and_a_loss_at_the_wrap_is_found() {
    let mut world = World::new(2, 400);
    world.first = 65_400;
    // 65,535 and 0 on the way up; the last before the wrap and the first after it on the way down.
    world.up.loses = Box::new(|ssrc, index| ssrc == ssrc_in(0, false) && (135..=136).contains(&index));
    world.down.loses = Box::new(|ssrc, index| ssrc == ssrc_out(1, 0, true) && (128..=129).contains(&index));
    let (inputs, truth) = world.run();
    let report = adds_up(&inputs, &truth);
    assert_eq!(report.fates.lost_uplink, 2);
    assert_eq!(report.fates.repaired, 2);
}

#[test]
fn streams_longer_than_the_space_of_numbers_are_matched() {
    let mut world = World::new(2, 70_000);
    world.first = 65_000;
    world.down.loses = Box::new(|ssrc, index| ssrc == ssrc_out(0, 1, false) && (3_000..40_000).contains(&index));
    let (inputs, truth) = world.run();
    let report = adds_up(&inputs, &truth);
    assert_eq!(report.fates.lost_downlink, 37_000, "a loss of more than half of the space");
}

#[test]
fn a_report_that_is_old_because_later_ones_were_lost_is_held_against_its_own_time() {
    let mut world = World::new(2, 2_000);
    world.up.loses = Box::new(|ssrc, index| ssrc == ssrc_in(0, false) && index % 50 == 10);
    let highest = world.first + 100;
    let (mut inputs, truth) = world.run();
    let log = inputs.packets.as_mut().unwrap();
    let said = log.reported.iter_mut().find(|said| said.ssrc == ssrc_in(0, false)).unwrap();
    assert_eq!(said.packets_lost, 40);
    (said.packets_lost, said.highest) = (2, Some(highest));
    adds_up(&inputs, &truth);
    // It is no age that would be believed without the number.
    let log = inputs.packets.as_mut().unwrap();
    log.reported.iter_mut().for_each(|said| said.highest = None);
    let report = analyse(&inputs, None).unwrap();
    assert!(report.legs.iter().flat_map(|leg| &leg.checks).any(|check| !check.holds));
}

#[test]
fn what_is_reordered_or_doubled_is_not_lost() {
    let mut world = World::new(3, 300);
    world.up.delay = Box::new(|_, index| if index % 10 == 3 { 90 * MS } else { 10 * MS });
    world.down.delay = Box::new(|_, index| if index % 7 == 2 { 130 * MS } else { 25 * MS });
    world.up.doubles = Box::new(|_, index| index % 20 == 5);
    world.down.doubles = Box::new(|_, index| index % 30 == 6);
    let (inputs, truth) = world.run();
    let report = adds_up(&inputs, &truth);
    assert_eq!(report.fates.delivered, report.fates.packets);
    let doubled = |leg: &crate::path::Leg| leg.captures.unwrap().duplicates;
    assert!(by_ssrc(&report, Direction::Uplink, doubled).values().all(|count| *count == 15));
    assert!(by_ssrc(&report, Direction::Downlink, doubled).values().all(|count| *count == 10));
    assert_eq!(report.legs.iter().filter(|leg| doubled(leg) > 0).count(), 6 + 12);
}

#[test]
fn retransmissions_and_their_losses_are_accounted_for() {
    let mut world = World::new(2, 500);
    world.up.loses = Box::new(|_, index| index % 50 == 10);
    world.up.loses_again = Box::new(|_, index| index % 100 == 10);
    world.down.loses = Box::new(|_, index| index % 40 == 20);
    world.down.loses_again = Box::new(|_, index| index % 120 == 20);
    let (inputs, truth) = world.run();
    let report = adds_up(&inputs, &truth);
    let video = report.legs.iter().find(|leg| leg.ssrc == ssrc_in(0, true)).unwrap();
    let (captures, joined) = (video.captures.unwrap(), video.joined.unwrap());
    assert_eq!((captures.lost, captures.retransmissions_left, captures.retransmissions_lost), (10, 10, 5));
    assert_eq!((joined.repaired, joined.lost_for_good), (5, 5));
    assert_eq!(video.rtcp.unwrap().lost, 5, "what was repaired counts as received");
    let down = report.legs.iter().find(|leg| leg.ssrc == ssrc_out(0, 1, true)).unwrap();
    let server = down.server.unwrap();
    assert_eq!((server.lost, server.lost_before), (0, 5), "gaps of the way up are passed on");
    assert_eq!(down.joined.unwrap().skipped, 5);
}

#[test]
fn without_an_end_of_the_capture_behind_it_a_loss_is_not_told() {
    let (mut inputs, _) = World::new(2, 100).run();
    // The last packets of a stream are not there, and nor is anything after them.
    let server = inputs.server.as_mut().unwrap();
    let seen = server.streams.get_mut(&ssrc_in(0, false)).unwrap();
    seen.truncate(98);
    let last = seen.last().unwrap().0;
    server.range = Some((server.range.unwrap().0, last + MS));
    for stream in server.streams.values_mut() {
        stream.retain(|(time, _)| *time <= last + MS);
    }
    let report = analyse(&inputs, None).unwrap();
    let leg = report.legs.iter().find(|leg| leg.ssrc == ssrc_in(0, false)).unwrap();
    let captures = leg.captures.unwrap();
    assert_eq!((captures.lost, captures.at_edge), (0, 2));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn the_columns_add_up(
        seed in any::<u64>(),
        first in any::<u16>(),
        clients in 2..4_u32,
        packets in 40..150_u32,
        loss in 0..300_u64,
        server in 0..100_u64,
        tester in 0..100_u64,
    ) {
        let draw = move |what: u64, ssrc: u32, index: u32| {
            let mixed = seed ^ what << 56 ^ u64::from(ssrc) << 24 ^ u64::from(index);
            let mixed = (mixed ^ mixed >> 31).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let mixed = (mixed ^ mixed >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            (mixed ^ mixed >> 32) % 1000
        };
        // The ends are delivered, so far that nothing in between comes sooner or later: what lies beyond them no
        // column can tell from what was never to come.
        let inner = move |index: u32| index > 10 && index + 12 < packets;
        let chance = move |what: u64, permille: u64| -> Box<dyn Fn(u32, u32) -> bool> {
            Box::new(move |ssrc, index| inner(index) && draw(what, ssrc, index) < permille)
        };
        let mut world = World::new(clients, packets);
        // Outgoing numbers begin below 2^15 (RFC 3711, section 3.3.1); those of clients anywhere.
        world.first = first;
        world.up.loses = chance(1, loss);
        world.up.loses_again = chance(2, 300);
        world.down.loses = chance(3, loss);
        world.down.loses_again = chance(4, 300);
        world.up.doubles = chance(5, 50);
        world.down.delay = Box::new(move |ssrc, index| 25 * MS + 100_000 * draw(6, ssrc, index) as i64);
        world.server_drops = chance(7, server);
        world.tester_drops = chance(8, tester);
        let (inputs, truth) = world.run();
        let report = adds_up(&inputs, &truth);
        prop_assert_eq!(report.fates.lost_server, truth.dropped_by_server);
        let own: u64 = report.legs.iter().filter_map(|leg| leg.server).map(|server| server.lost).sum();
        prop_assert_eq!(own, truth.dropped_by_server);
    }
}
