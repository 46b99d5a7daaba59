//! Whole runs: two controllers at once.

use super::*;
use crate::score::OutageWindow;
use crate::units::Ppm;

#[test]
fn two_controllers_interleave_and_peers_at_one_distance_end_equal() {
    let mut simulation = Simulation::new(lossy(Nanos::from_millis(3), 0.0, 1));
    let first = desk(120);
    let end = end_of(&first) + SPACING;
    let mut second = desk(120);
    second.node = node("second");
    second.start_at = START + Nanos::from_millis(250);
    simulation.controller(first);
    simulation.controller(second);
    for name in ["a", "b"] {
        simulation.peer(PeerConfig::new(node(name)));
    }
    let score = score(&simulation.run(end), &asked(Nanos::from_millis(3), &["a", "b"]));
    let contention = score.contention.unwrap();
    assert_eq!(contention.controllers, ["desk", "second"]);
    assert_eq!(contention.interleaved, 239);
    assert!(contention.same_order && contention.same_final_state);
    for peer in &score.peers {
        assert_eq!((peer.intended, peer.applied_once, peer.out_of_order), (240, 240, 0));
        assert_eq!(peer.sync.failures, 0);
        assert_eq!(peer.clocks.len(), 2);
    }
}

#[test]
fn two_controllers_at_unlike_distances_leave_the_peers_apart() {
    // The commands of the two are 2 ms apart and reach a and b in opposite order.
    let link: Link = Box::new(|way| {
        Some(Nanos::from_millis(match (way.from, way.to) {
            ("desk", "b") | ("second", "a") => 20,
            _ => 1,
        }))
    });
    let mut simulation = Simulation::new(link);
    let first = desk(120);
    let end = end_of(&first) + SPACING;
    let mut second = desk(119);
    second.node = node("second");
    second.start_at = START + SPACING + Nanos::from_millis(2);
    simulation.controller(first);
    simulation.controller(second);
    for name in ["a", "b"] {
        simulation.peer(PeerConfig::new(node(name)));
    }
    let score = score(&simulation.run(end), &asked(Nanos::from_millis(20), &["a", "b"]));
    let contention = score.contention.unwrap();
    assert!(!contention.same_order && !contention.same_final_state);
}

/// The controller `alpha` shares the host of peer b; what else goes to b takes `to_b`.
fn with_a_controller_beside_b(to_b: Option<Nanos>) -> Score {
    let beside = |name: &str| matches!(name, "alpha" | "b");
    let link: Link = Box::new(move |way| {
        if way.from == way.to || (beside(way.from) && beside(way.to)) {
            return Some(Nanos::ZERO);
        }
        if way.to == "b" { to_b } else { Some(Nanos::from_millis(30)) }
    });
    let mut simulation = Simulation::new(link);
    let far = desk(120);
    let end = end_of(&far) + SPACING;
    let mut near = desk(120);
    near.node = node("alpha");
    near.start_at = START + Nanos::from_millis(250);
    simulation.controller_on(2, near);
    simulation.controller_on(1, far);
    for (host, name) in [(3, "a"), (2, "b")] {
        let mut config = PeerConfig::new(node(name));
        config.node.clock.skew = Ppm(20.0);
        simulation.peer_on(host, config);
    }
    score(&simulation.run(end), &asked(Nanos::from_millis(30), &["a", "b"]))
}

#[test]
fn drift_is_against_the_controller_that_is_named() {
    let mut simulation = Simulation::new(lossy(Nanos::from_millis(3), 0.0, 1));
    let mut fast = desk(120);
    fast.node = node("second");
    fast.node.clock.skew = Ppm(500.0);
    fast.start_at = START + Nanos::from_millis(250);
    let first = desk(120);
    let end = end_of(&first) + SPACING;
    // The second one's log comes first, as it does where it was started first.
    simulation.controller(fast);
    simulation.controller(first);
    simulation.peer(PeerConfig::new(node("a")));
    let logs = simulation.run(end);
    let mut config = asked(Nanos::from_millis(3), &["a"]);
    let drift = |config: &ScoreConfig| peer(&score(&logs, config), "a").drift.unwrap().drift.0;
    config.reference = Some("desk".to_owned());
    let desk = drift(&config);
    config.reference = Some("second".to_owned());
    let second = drift(&config);
    assert!((second - desk + 500.0).abs() < 5.0, "{desk} ppm against desk, {second} against second");
    config.reference = Some("nobody".to_owned());
    assert_eq!(peer(&score(&logs, &config), "a").drift, None);
}

#[test]
fn what_a_host_hears_of_its_own_controller_is_no_delivery_over_a_link() {
    let score = with_a_controller_beside_b(None);
    let b = peer(&score, "b");
    assert_eq!((b.local_controllers.as_slice(), b.local_commands), (["alpha".to_owned()].as_slice(), 120));
    assert_eq!((b.intended, b.delivered, b.missed, b.applied_once), (120, 0, 120, 0));
    assert_eq!((b.time_to_state.n, b.response.n, b.copies.count), (0, 0, 0));
    assert_eq!((b.out_of_order, b.copies_repeated), (0, 0));
    assert_eq!((b.sync.judged, b.sync.failures), (120, 120));
    assert_eq!(b.clocks, []);
    assert_eq!((score.delivery.count, score.delivery.of), (240, 360));
    assert_eq!(score.spread.times.n, 0);
    let a = peer(&score, "a");
    assert_eq!((a.intended, a.delivered, a.local_commands), (240, 240, 0));
}

#[test]
fn a_peer_is_compared_with_controllers_on_other_hosts_alone() {
    let score = with_a_controller_beside_b(Some(Nanos::from_millis(5)));
    let b = peer(&score, "b");
    assert_eq!((b.intended, b.applied_once), (120, 120));
    assert_eq!(b.time_to_state.min, Some(Nanos::from_millis(5)));
    assert_eq!(b.clocks.iter().map(|c| c.controller.as_str()).collect::<Vec<_>>(), ["desk"]);
    assert!((b.drift.unwrap().drift.0 - 20.0).abs() < 5.0 * b.drift.unwrap().resolution.0, "{b:?}");
    // Commands of the controller beside b have one receiver over a link, and no spread.
    assert_eq!((score.spread.times.n, score.spread.times.max), (120, Some(Nanos::from_millis(25))));
    assert_eq!(peer(&score, "a").clocks.len(), 2);
}

#[test]
fn with_no_controller_on_another_host_there_is_no_grade() {
    let mut simulation = Simulation::new(lossy(Nanos::ZERO, 0.0, 1));
    let desk = desk(120);
    let end = end_of(&desk);
    simulation.controller_on(1, desk);
    simulation.peer_on(1, PeerConfig::new(node("a")));
    let score = score(&simulation.run(end), &asked(Nanos::ZERO, &["a"]));
    assert_eq!((peer(&score, "a").intended, peer(&score, "a").drift), (0, None));
    assert_eq!(score.grades.overall, None);
    let reason = score.grades.withheld.unwrap();
    assert!(reason.contains("its own host"), "{reason}");
}

#[test]
fn who_had_left_does_not_decide_whether_all_ended_equal() {
    let mut simulation = Simulation::new(lossy(Nanos::from_millis(3), 0.0, 1));
    let first = desk(120);
    let end = end_of(&first) + SPACING;
    let mut second = desk(120);
    second.node = node("second");
    second.start_at = START + Nanos::from_millis(250);
    simulation.controller(first);
    simulation.controller(second);
    for name in ["a", "b", "goes"] {
        let mut config = PeerConfig::new(node(name));
        // Right after the first PLAY; the run ends with a STOP.
        config.leave_at = (name == "goes").then_some(START + Nanos::from_millis(100));
        simulation.peer(config);
    }
    let contention =
        score(&simulation.run(end), &asked(Nanos::from_millis(3), &["a", "b", "goes"])).contention.unwrap();
    assert_eq!(contention.members_at_end, ["a", "b"]);
    assert!(contention.same_final_state);
    assert_eq!(contention.common, 1);
}

#[test]
fn an_outage_of_a_host_with_a_controller_silences_it_and_is_not_ended_by_it() {
    let ms = Nanos::from_millis;
    // From 100 ms before a command of desk's to 100 ms after alpha's, which follows by 250 ms.
    let outage = OutageWindow {
        peer: Some("b".to_owned()),
        from: START + SPACING.times(50) - ms(100),
        to: START + SPACING.times(50) + ms(350),
    };
    let beside = |name: &str| matches!(name, "alpha" | "b");
    let window = outage.clone();
    let link: Link = Box::new(move |way| {
        if way.from == way.to || (beside(way.from) && beside(way.to)) {
            return Some(Nanos::ZERO);
        }
        let out = (beside(way.from) || beside(way.to)) && (window.from..window.to).contains(&way.at);
        (!out).then_some(ms(10))
    });
    let far = desk(120);
    let end = end_of(&far) + SPACING;
    let mut near = desk(120);
    near.node = node("alpha");
    near.start_at = START + ms(250);
    let mut simulation = Simulation::new(link);
    simulation.controller_on(1, far);
    simulation.controller_on(2, near);
    simulation.peer_on(3, PeerConfig::new(node("a")));
    simulation.peer_on(2, PeerConfig::new(node("b")));
    let mut config = asked(ms(10), &["a", "b"]);
    config.outages = vec![outage];
    let score = score(&simulation.run(end), &config);
    // b misses one of desk's, a one of alpha's; neither is a sync failure.
    let (a, b) = (peer(&score, "a"), peer(&score, "b"));
    assert_eq!((a.missed, a.sync.failures), (1, 0));
    assert_eq!((b.missed, b.sync.failures), (1, 0));
    assert!(a.sync.in_outage >= 1 && b.sync.in_outage >= 1);
    // The next over the link is desk's, 150 ms after the outage.
    let times: Vec<(&str, Option<Nanos>)> = score.convergence[0].peers.iter().map(|(p, &t)| (p.as_str(), t)).collect();
    assert_eq!(times, [("b", Some(ms(160)))]);
}
