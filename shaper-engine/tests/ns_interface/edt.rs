//! What is an engine's own to get wrong: order, copies, room, and packets that are changed. Both engines are asked the same.

use std::time::Duration;

use shaper_common::chance::Chance;
use shaper_common::delay::Jitter;
use shaper_common::duplicate::Duplicate;
use shaper_common::fate::Cause;
use shaper_common::layout::Params;
use shaper_common::order::Order;
use shaper_common::units::{Nanos, Probability};
use shaper_engine::{DirectionOutcome, EngineKind};

use crate::bed::{Bed, GRACE};
use crate::check;

const MS: u64 = 1_000_000;
/// Apart by so much, packets with 15 ms of jitter overtake each other all the time.
const GAP: Duration = Duration::from_millis(1);

fn jitter(order: Order) -> Params {
    Params {
        seed: 11,
        delay: Nanos(20 * MS),
        jitter: Nanos(15 * MS),
        jitter_kind: Jitter::Uniform as u32,
        order: order as u32,
        ..Params::default()
    }
}

/// Impairs what leaves `a`, sends a stream, and gives what came and what is known of it.
fn streamed(
    bed: &Bed,
    engine: EngineKind,
    egress: Params,
    count: u32,
    bytes: usize,
    gap: Duration,
) -> (Vec<u32>, DirectionOutcome) {
    let running = bed.shape(engine, Some(egress), None);
    let came = bed.stream(count, bytes, gap);
    let mut outcome = running.stop(GRACE).unwrap();
    check(&outcome);
    (came, outcome.directions.swap_remove(0))
}

/// Packets behind one that was sent later.
fn overtaken(came: &[u32]) -> usize {
    let mut highest = 0;
    came.iter()
        .filter(|number| {
            let is_late = **number < highest;
            highest = highest.max(**number);
            is_late
        })
        .count()
}

#[test]
fn free_order_has_the_configured_delays_and_kept_order_reorders_nothing() {
    let bed = Bed::new();
    for engine in bed.engines() {
        let (came, out) = streamed(&bed, engine, jitter(Order::Free), 400, 64, GAP);
        let late = |rank: f64| out.lateness.value_at_quantile(rank);
        println!(
            "{}: {} of {} overtaken; late by {} ns in the median, {} at 99 %",
            engine.name(),
            overtaken(&came),
            came.len(),
            late(0.5),
            late(0.99)
        );
        // Each by its own time, whatever waits in front of it: an engine that keeps flows in order holds back half of the
        // packets, by 10 ms and more.
        assert!(overtaken(&came) > 250, "{}", overtaken(&came));
        assert!(late(0.5) < 5 * MS, "{} ns", late(0.5));
        // What was sent last of all comes in between.
        assert_eq!(came.len(), 400);

        let (came, out) = streamed(&bed, engine, jitter(Order::Keep), 400, 64, GAP);
        assert_eq!((overtaken(&came), came.len()), (0, 400), "{}", engine.name());
        assert!(out.releases.is_sorted_by_key(|release| release.intended), "{}", engine.name());
        assert!(out.lateness.value_at_quantile(0.5) < 5 * MS);
    }
    bed.done();
}

#[test]
fn copies_come_and_are_counted() {
    let bed = Bed::new();
    for engine in bed.engines() {
        let duplicate = Duplicate {
            chance: Chance::independent(Probability(1 << 30)),
            copies: 3,
            spacing: Nanos(2 * MS),
            ..Duplicate::default()
        };
        let egress = Params { seed: 3, delay: Nanos(5 * MS), duplicate, ..Params::default() };
        let (came, out) = streamed(&bed, engine, egress, 200, 64, GAP);
        assert!(out.account.copies > 60, "{:?}", out.account);
        // Those of what is sent last are not in the stream.
        let twice = came.len() as u64 - 200;
        assert!(twice > 60 && out.account.copies - twice <= 9, "{twice} of {:?}", out.account);
        assert_eq!(out.copies.len() as u64, out.account.copies);
        for copy in 1..=3 {
            assert_eq!(out.copies.iter().filter(|release| release.copy == copy).count() as u64, out.account.copies / 3);
        }
    }
    bed.done();
}

#[test]
fn what_a_fast_sender_has_on_its_way_is_held_and_what_has_no_room_is_ours() {
    let bed = Bed::new();
    for engine in bed.engines() {
        // 100 Mbit/s in packets of 1400 bytes, for 100 ms: 900 of them are on their way.
        let egress = Params { seed: 5, delay: Nanos(100 * MS), ..Params::default() };
        let (_, out) = streamed(&bed, engine, egress, 4000, 1400, Duration::from_micros(112));
        // Behind the interface there is a cable, whose end takes packets in by a queue a processor: what comes out is no measure.
        assert!(out.account.dropped.is_empty() && out.account.out >= 4000, "{}: {:?}", engine.name(), out.account);
    }
    bed.done();
}

#[test]
fn where_packets_are_lost_both_engines_lose_the_same() {
    let bed = Bed::new();
    let egress = Params { seed: 21, loss: Probability(1 << 30), delay: Nanos(MS), ..Params::default() };
    let mut all = Vec::new();
    for engine in bed.engines() {
        let (_, out) = streamed(&bed, engine, egress, 500, 64, Duration::ZERO);
        let lost = out.records.iter().filter(|record| record.fate.cause == Cause::Loss as u32 && record.sequence < 500);
        all.push(lost.map(|record| record.sequence).collect::<Vec<_>>());
    }
    assert!(all.iter().all(|lost| lost.len() > 90 && *lost == all[0]), "{all:?}");
    bed.done();
}
