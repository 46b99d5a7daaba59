//! Outages: what comes while the link is down, and what is on its way when it goes down.

use shaper_common::chance::Chance;
use shaper_common::corrupt::{ANYWHERE, Corrupt};
use shaper_common::delay::Jitter;
use shaper_common::fate::{Cause, Fate};
use shaper_common::layout::{Params, flags};
use shaper_common::outage::WINDOWS;
use shaper_common::pipeline::Packet;
use shaper_common::reorder::Reorder;
use shaper_common::units::{BitsPerSec, Nanos};

use crate::link::{Link, MICRO, MILLI, Random, SECOND, irregular, packet, probability};

/// So many windows of random lengths and gaps, from 0 to 40 ms each.
fn windows(seed: u64, count: usize) -> Vec<(u64, u64)> {
    let mut random = Random(seed);
    let mut time = 0;
    let next = |_| {
        let start = time + 1 + random.below(40 * MILLI);
        time = start + 1 + random.below(40 * MILLI);
        (start, time)
    };
    (0..count).map(next).collect()
}

/// The start of the schedule.
const START: u64 = 3 * SECOND;

fn settings() -> Params {
    Params {
        seed: 7,
        start: Nanos(START),
        delay: Nanos(10 * MILLI),
        jitter: Nanos(30 * MILLI),
        jitter_kind: Jitter::Uniform as u32,
        loss: probability(0.05),
        rate: BitsPerSec(20_000_000),
        queue: Nanos(5 * MILLI),
        ..Params::default()
    }
}

/// Lost on their way are those for which a window begins behind their arrival and no later than their release; all others
/// have the fate that they have without, and what is lost so took the bottleneck's time as well.
#[test]
fn lost_on_their_way_are_those_that_meet_the_start_of_a_window() {
    for count in [1, 7, 300, WINDOWS - 1, WINDOWS] {
        let windows = windows(count as u64, count);
        // From before the start until long after the last window.
        let end = START + windows.last().unwrap().1 + SECOND;
        let interval = (end - SECOND) / 40_000;
        let kept = Link::with_outages(settings(), &windows);
        let lost = Link::with_outages(Params { flags: flags::IN_FLIGHT_LOST, ..settings() }, &windows);
        let [mut kept, mut lost] = [kept, lost];
        let (mut in_flight, mut both) = (0, 0);
        for packet in irregular(5, interval, 40_000) {
            let (kept, fate) = (kept.decide(&packet), lost.decide(&packet));
            let since = |time: Nanos| i128::from(time.0) - i128::from(START);
            let (from, to) = (since(packet.now), since(kept.release));
            let is_down = windows.iter().any(|(start, end)| (i128::from(*start)..(*end).into()).contains(&from));
            assert_eq!(kept.cause == Cause::Outage, is_down);
            let goes_down = windows.iter().any(|(start, _)| (from..=to).contains(&(*start).into()));
            if kept.cause == Cause::None && goes_down {
                assert_eq!(fate, Fate { served: kept.served, ..Fate::drop(Cause::InFlight) });
                in_flight += 1;
                both += u32::from(windows.iter().any(|(_, end)| (from..=to).contains(&(*end).into())));
            } else {
                assert_eq!(fate, kept, "arrival {from} ns, release {to} ns since the start");
            }
        }
        assert_eq!(lost.counts().in_flight, in_flight);
        assert_eq!(kept.bottleneck(), lost.bottleneck());
        if count >= 300 {
            assert!(in_flight > 3_000 && both > 100 && lost.counts().outage > 3_000);
        }
    }
}

#[test]
fn the_start_of_a_window_counts_to_the_nanosecond() {
    let params = Params { start: Nanos(START), flags: flags::IN_FLIGHT_LOST, delay: Nanos(MILLI), ..Params::default() };
    let outages = [(5 * MILLI, 6 * MILLI), (20 * MILLI, 21 * MILLI)];
    for (arrival, cause) in [
        (0, Cause::None),
        (4 * MILLI - 1, Cause::None),
        (4 * MILLI, Cause::InFlight),
        (5 * MILLI - 1, Cause::InFlight),
        (5 * MILLI, Cause::Outage),
        (6 * MILLI - 1, Cause::Outage),
        (6 * MILLI, Cause::None),
        (19 * MILLI - 1, Cause::None),
        (19 * MILLI, Cause::InFlight),
        (21 * MILLI, Cause::None),
        (SECOND, Cause::None),
    ] {
        let mut link = Link::with_outages(params, &outages);
        assert_eq!(link.decide(&packet(START + arrival, 200)).cause, cause, "{arrival} ns since the start");
    }
    // One that comes before the start can be on its way at the first window's.
    let mut link = Link::with_outages(params, &[(MILLI / 2, MILLI)]);
    assert_eq!(link.decide(&packet(START - MILLI / 2 - 1, 200)).cause, Cause::None);
    assert_eq!(link.decide(&packet(START - MILLI / 2, 200)).cause, Cause::InFlight);
}

/// Each packet is counted once, and what happened to it only where it went on.
#[test]
fn what_is_lost_on_its_way_is_counted_as_nothing_else() {
    let chance = Chance::independent(probability(0.3));
    let undelayed = Params { delay: Nanos::ZERO, jitter_kind: Jitter::None as u32, flags: flags::ECN, ..settings() };
    let params = Params {
        delay: Nanos(30 * MILLI),
        corrupt: Corrupt { chance, at: ANYWHERE, bits: 1, ..Corrupt::default() },
        reorder: Reorder { chance, ..Reorder::default() },
        flags: flags::IN_FLIGHT_LOST | flags::ECN,
        ..undelayed
    };
    let mut link = Link::with_outages(params, &windows(1, 300));
    // When a packet is through the bottleneck: then those leave that overtake.
    let mut through = Link::with_outages(undelayed, &windows(1, 300));
    let (mut forwarded, mut corrupted, mut marked, mut ahead, mut in_flight) = (0, 0, 0, 0, 0);
    for packet in irregular(5, 240 * MICRO, 40_000) {
        let packet = Packet { ecn: 1, ..packet };
        let (fate, through) = (link.decide(&packet), through.decide(&packet));
        if fate.cause == Cause::None {
            forwarded += 1;
            corrupted += u64::from(!fate.damage.is_none());
            marked += u64::from(fate.marked);
            ahead += u64::from(fate.release == through.release);
        } else {
            assert_eq!(fate, Fate { served: fate.served, ..Fate::drop(fate.cause) });
            in_flight += u64::from(fate.cause == Cause::InFlight);
        }
    }
    let counts = link.counts();
    assert_eq!((counts.forwarded, counts.corrupted), (forwarded, corrupted));
    assert_eq!((counts.marked, counts.reordered), (marked, ahead));
    assert_eq!(counts.forwarded + counts.outage + counts.queue + counts.in_flight, 40_000);
    assert_eq!((counts.in_flight, counts.loss), (in_flight, 0));
    assert!(in_flight > 1_000 && counts.outage > 1_000 && counts.queue > 1_000);
    assert!(corrupted > 1_000 && marked > 500 && ahead > 1_000);
}
