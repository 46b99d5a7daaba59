//! One interface of a host, impaired in both directions, as root: what passes it, and that it is as it was afterwards.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod bed;
mod edt;

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use shaper_common::fate::Cause;
use shaper_common::layout::Params;
use shaper_common::units::{Nanos, Probability};
use shaper_engine::Outcome;

use bed::{A, A6, B, B6, Bed, GRACE};

fn delay(millis: u64) -> Params {
    Params { seed: 7, delay: Nanos(millis * 1_000_000), ..Params::default() }
}

fn check(outcome: &Outcome) {
    for direction in &outcome.directions {
        let name = &direction.spec.name;
        assert_eq!(direction.account.held, 0, "{name}: {:?}", direction.account);
        assert_eq!(direction.account.difference(), 0, "{name}: {:?}", direction.account);
        assert_eq!(direction.oracle.mismatches, 0, "{name}: {:?}", direction.oracle.first);
        let decided: HashMap<u64, Nanos> =
            direction.records.iter().map(|record| (record.id(), record.fate.release)).collect();
        for release in &direction.releases {
            assert_eq!(decided.get(&release.id), Some(&release.intended), "{name}: {release:?}");
        }
    }
    assert_eq!(outcome.leaked_frames, 0);
}

#[test]
fn both_directions_are_delayed_and_the_interface_is_as_it_was() {
    let bed = Bed::new();
    for engine in bed.engines() {
        for (from, to) in [(IpAddr::V4(A), IpAddr::V4(B)), (IpAddr::V6(A6), IpAddr::V6(B6))] {
            let running = bed.shape(engine, Some(delay(20)), Some(delay(20)));
            let took: Vec<Duration> = bed.echo(from, to, 20).into_iter().map(Option::unwrap).collect();
            let outcome = running.stop(GRACE).unwrap();
            check(&outcome);
            for direction in &outcome.directions {
                assert_eq!((direction.account.arrived, direction.account.out), (20, 20), "{:?}", direction.account);
                assert_eq!(direction.releases.len(), 20);
                assert!(direction.lateness.len() >= 20);
            }
            println!("{}, 20 ms each way: {took:?}", engine.name());
            assert!(took.iter().all(|took| *took >= Duration::from_millis(40)), "{took:?}");
            let after = bed.echo(from, to, 5);
            assert!(after.iter().all(|took| took.is_some_and(|took| took < Duration::from_millis(40))), "{after:?}");
        }
    }
    bed.done();
}

#[test]
fn a_direction_without_settings_is_left_alone() {
    let bed = Bed::new();
    let half = Probability(1 << 31);
    for engine in bed.engines() {
        for (egress, ingress) in
            [(Some(Params { seed: 7, loss: half, ..Params::default() }), None), (None, Some(delay(10)))]
        {
            let (loses, delays) = (egress.is_some(), ingress.is_some());
            let running = bed.shape(engine, egress, ingress);
            let mut came = Vec::new();
            let mut took = Vec::new();
            if loses {
                came = bed.stream(40, 64, Duration::ZERO);
            } else {
                took = bed.echo(IpAddr::V4(A), IpAddr::V4(B), 20);
            }
            let outcome = running.stop(GRACE).unwrap();
            check(&outcome);
            let [out, back] = &outcome.directions[..] else { panic!("two directions") };
            if loses {
                assert_eq!(back.account.arrived, 0);
                // Behind the stream comes one more, until it gets through.
                let lost = out.account.arrived - 1 - came.len() as u64;
                assert!(lost > 5 && out.account.dropped_by(Cause::Loss) == lost, "{came:?}, {:?}", out.account);
            }
            if delays {
                assert_eq!((out.account.arrived, back.account.arrived), (0, 20));
                assert!(took.iter().all(|took| took.is_some_and(|took| took >= Duration::from_millis(10))));
            }
        }
    }
    bed.done();
}
