//! Reordering: which packets leave without the delay, and how far apart those are.

use shaper_common::chance::Chance;
use shaper_common::delay::Jitter;
use shaper_common::fate::Cause;
use shaper_common::layout::Params;
use shaper_common::reorder::Reorder;
use shaper_common::units::{BitsPerSec, Nanos};

use crate::link::{Link, MICRO, MILLI, MILLION, irregular, probability, steady};
use crate::statistics::{assert_geometric, assert_share};

fn reordered(seed: u64, chance: Chance, gap: u32) -> Params {
    Params {
        seed,
        stream: 3,
        delay: Nanos(10 * MILLI),
        reorder: Reorder { chance, gap, ..Reorder::default() },
        ..Params::default()
    }
}

#[test]
fn of_those_that_may_so_many_leave_at_once_and_the_gaps_are_shifted_geometric() {
    for (seed, share, gap) in [(1, 0.05, 0), (2, 0.25, 1), (3, 0.5, 5), (5, 0.01, 20), (7, 0.9, 3)] {
        let what = format!("share {share}, gap {gap}");
        let mut link = Link::new(reordered(seed, Chance::independent(probability(share)), gap));
        let (mut eligible, mut behind, mut gaps) = (0, 0, Vec::new());
        for packet in steady(MILLI, MILLION) {
            let waited = link.decide(&packet).release.saturating_sub(packet.now).0;
            behind += 1;
            eligible += usize::from(behind >= gap);
            if waited == 0 {
                assert!(behind >= gap, "{what}: {behind} packets behind the last one");
                gaps.push(u64::from(behind - (gap.max(1) - 1)));
                behind = 0;
            } else {
                assert_eq!(waited, 10 * MILLI);
            }
        }
        assert_share(gaps.len(), eligible, share, 1.0, &what);
        assert_geometric(&gaps, share, &what);
        assert_eq!(link.counts().reordered, gaps.len() as u64);
    }
}

/// Only what goes on is counted for the gap, and who overtakes leaves the bottleneck without delay and jitter: by a
/// simulation that is told the chances and the losses by links that do nothing else.
#[test]
fn a_simulation_of_what_goes_on_gives_the_same_packets() {
    let chance = Chance::new(probability(0.3), probability(0.15), probability(0.65));
    let alone = reordered(7, chance, 0);
    let all = Params {
        reorder: Reorder { gap: 4, ..alone.reorder },
        loss: probability(0.2),
        rate: BitsPerSec(10_000_000),
        queue: Nanos(5 * MILLI),
        jitter: Nanos(4 * MILLI),
        jitter_kind: Jitter::Uniform as u32,
        ..alone
    };
    let plain = Params { reorder: Reorder::default(), ..all };
    let undelayed = Params { delay: Nanos::ZERO, jitter_kind: Jitter::None as u32, ..plain };
    let [mut alone, mut plain, mut undelayed, mut link] = [alone, plain, undelayed, all].map(Link::new);
    let (mut behind, mut overtakes, mut not_yet) = (0u32, 0, 0);
    for packet in irregular(5, 550 * MICRO, 200_000) {
        let chosen = alone.decide(&packet).release == packet.now;
        let (delayed, through, fate) = (plain.decide(&packet), undelayed.decide(&packet), link.decide(&packet));
        assert_eq!((fate.cause, through.cause), (delayed.cause, delayed.cause));
        if fate.cause != Cause::None {
            continue;
        }
        behind += 1;
        if chosen && behind >= 4 {
            assert_eq!(fate, through);
            overtakes += 1;
            behind = 0;
        } else {
            assert_eq!(fate, delayed);
            not_yet += u32::from(chosen);
        }
    }
    assert!(overtakes > 10_000 && not_yet > 10_000);
    assert!(link.counts().loss > 10_000 && link.counts().queue > 1_000);
    assert_eq!(link.counts().reordered, overtakes);
}
