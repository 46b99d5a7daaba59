//! Whole runs: what is found of clocks that were put wrong on purpose.

use super::*;
use crate::score::Asymmetry;
use crate::units::{Micros, Ppm};
use crate::wire::PlayState;

#[test]
fn clocks_are_found_with_half_the_asymmetry_as_error() {
    let link: Link = Box::new(|way| {
        Some(Nanos::from_micros(match (way.from, way.to) {
            ("a", "desk") => 30_000,
            _ => 10_000,
        }))
    });
    let desk = desk(240);
    let end = end_of(&desk);
    let mut simulation = Simulation::new(link);
    simulation.controller(desk);
    let mut a = PeerConfig::new(node("a"));
    a.node.clock.offset = Micros(3_000_000);
    a.node.clock.skew = Ppm(-50.0);
    simulation.peer(a);
    let logs = simulation.run(end);
    let mut config = asked(Nanos::from_millis(30), &["a"]);
    config.asymmetries = vec![Asymmetry { peer: "a".to_owned(), forward_minus_backward: 20_000_000 }];
    let score = score(&logs, &config);
    let a = peer(&score, "a");
    let clock = &a.clocks[0];
    assert_eq!(clock.asymmetry_error, Some(10_000.0));
    // Stamps are whole microseconds, and 50 ppm move 2 us while the exchange is under way.
    assert!((clock.error - 10_000.0).abs() < 3.0, "{clock:?}");
    assert!(clock.error.abs() <= clock.bound + 1.0, "{clock:?}");
    assert!((clock.injected_skew.0 - 50.0).abs() < 0.01);
    // Stamps are whole microseconds over two minutes.
    assert!((clock.estimated_skew.unwrap().0 - 50.0).abs() < 0.5, "{clock:?}");
    let drift = a.drift.unwrap();
    assert!((drift.drift.0 + 50.0).abs() < 5.0 * drift.resolution.0, "{drift:?}");
}

#[test]
fn a_peer_that_follows_the_clock_lands_on_the_controllers_position() {
    let delay = Nanos::from_millis(40);
    let desk = desk(120);
    let end = end_of(&desk);
    let mut simulation = Simulation::new(lossy(delay, 0.0, 1));
    simulation.controller(desk);
    for (name, follow_clock) in [("follows", true), ("does-not", false)] {
        let mut config = PeerConfig::new(node(name));
        config.node.clock.offset = Micros(-700_000);
        config.follow_clock = follow_clock;
        simulation.peer(config);
    }
    let logs = simulation.run(end);
    let behind = |name: &str| {
        let log = logs.iter().find(|l| l.peer_id == name).unwrap();
        let last = log.events.iter().rev().find_map(|e| match e {
            Event::Applied { after, .. } if after.state == PlayState::Playing => Some(after.position),
            _ => None,
        });
        // The last PLAY follows a STOP or PAUSE of known position.
        last.unwrap()
    };
    let lead = behind("follows") - behind("does-not");
    assert!((lead - 0.040).abs() < 1e-5, "{lead}");
}

#[test]
fn a_clock_put_ahead_reads_as_ahead_by_that_much() {
    let desk = desk(240);
    let end = end_of(&desk);
    // From the controller 30 ms, back 10 ms.
    let link: Link = Box::new(|way| Some(Nanos::from_millis(if way.to == "b" { 30 } else { 10 })));
    let mut simulation = Simulation::new(link);
    simulation.controller(desk);
    let mut b = PeerConfig::new(node("b"));
    b.node.clock.offset = Micros(2_500);
    b.node.clock.skew = Ppm(40.0);
    b.node.clock.origin = end;
    simulation.peer(b);
    let mut config = asked(Nanos::from_millis(30), &["b"]);
    config.asymmetries = vec![Asymmetry { peer: "b".to_owned(), forward_minus_backward: -20_000_000 }];
    let score = score(&simulation.run(end), &config);
    let clock = &peer(&score, "b").clocks[0];
    let ahead = &clock.peer_ahead;
    // The deciding exchange is at most a filter's eight half seconds old, 40 us each second.
    assert!((ahead.injected_offset - 2_500.0).abs() <= 5.0 * 40.0, "{ahead:?}");
    assert!((ahead.injected_skew.0 - 40.0).abs() < 1e-6, "{ahead:?}");
    assert!((ahead.estimated_skew.unwrap().0 - 40.0).abs() < 0.5, "{ahead:?}");
    assert!((ahead.estimated_offset - ahead.injected_offset - ahead.error).abs() < 1e-6, "{ahead:?}");
    assert_eq!(ahead.asymmetry_error, Some(10_000.0));
    assert!((ahead.error - 10_000.0).abs() < 3.0 && ahead.error.abs() <= ahead.bound + 1.0, "{ahead:?}");
    // The other sense is the controller's clock less the peer's.
    assert_eq!((clock.injected_offset, clock.error), (-ahead.injected_offset, -ahead.error));
}
