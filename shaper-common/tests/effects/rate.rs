//! The bottleneck: what a packet takes on the wire, and a queue against a simulation with exact fractions.

use proptest::prelude::*;
use shaper_common::fate::{Cause, Fate};
use shaper_common::layout::Params;
use shaper_common::rate::wire_bytes;
use shaper_common::units::{BitsPerSec, Nanos};

use crate::link::{Link, MILLI, SECOND, irregular, probability, runner};

/// By the definition: padded, with the overhead, in whole cells; one byte at least.
fn on_the_wire(params: &Params, len: u32) -> u128 {
    let bytes = (i128::from(len.max(params.least)) + i128::from(params.overhead)).max(1).unsigned_abs();
    if params.cell == 0 {
        return bytes;
    }
    bytes.div_ceil(params.cell.into()) * u128::from(params.cell + params.cell_overhead)
}

#[test]
fn wire_bytes_are_padded_framed_and_cut_into_cells() {
    let atm = Params { cell: 48, cell_overhead: 5, ..Params::default() };
    // AAL5 with LLC/SNAP and a trailer: 18 + 8 - 14 bytes beside an Ethernet frame.
    let dsl = Params { overhead: 12, ..atm };
    for (params, len, expected) in [
        (Params { least: 60, overhead: 24, ..Params::default() }, 42, 84),
        (Params { least: 60, overhead: 24, ..Params::default() }, 1_514, 1_538),
        (Params { overhead: -14, ..Params::default() }, 14, 1),
        (Params { overhead: -14, ..Params::default() }, 15, 1),
        (Params { overhead: -14, ..Params::default() }, 16, 2),
        (atm, 48, 53),
        (atm, 49, 106),
        (atm, 1, 53),
        (dsl, 36, 53),
        (dsl, 37, 106),
        (dsl, 1_514, 32 * 53),
    ] {
        assert_eq!(wire_bytes(&params, len), expected, "{len} bytes");
    }
    let cases = (0u32..=65_575, -2_000i32..10_000, 0u32..2_000, 0u32..2_000, 0u32..200);
    let judged = runner(10_000).run(&cases, |(len, overhead, least, cell, cell_overhead)| {
        let params = Params { overhead, least, cell, cell_overhead, ..Params::default() };
        prop_assert_eq!(u128::from(wire_bytes(&params, len)), on_the_wire(&params, len));
        Ok(())
    });
    judged.unwrap();
}

/// The queue is a number of nanoseconds; times of the simulation are whole numbers of 1/rate of one.
#[test]
fn a_queue_drops_and_serves_as_one_with_exact_fractions() {
    let plain = Params { overhead: 24, least: 60, ..Params::default() };
    let cells = Params { overhead: 12, cell: 48, cell_overhead: 5, ..Params::default() };
    for (framing, rate, queue) in [
        (plain, 10_000_019, 5 * MILLI),
        (cells, 2_000_003, 40 * MILLI),
        (plain, 999_999_937, 40_000),
        (cells, 64_001, 700 * MILLI),
        (plain, 7, 5_000 * SECOND),
    ] {
        let settings = Params { seed: 7, rate: BitsPerSec(rate), queue: Nanos(queue), ..framing };
        let mut link = Link::new(settings);
        let (rate, queue) = (u128::from(rate), u128::from(queue));
        let mut free = 0;
        let (mut dropped, mut idle, mut waited) = (0, 0, 0);
        // As much as the rate in the mean.
        let interval = u64::try_from(820 * 8 * u128::from(SECOND) / rate).unwrap();
        for packet in irregular(interval, interval, 100_000) {
            let now = u128::from(packet.now.0);
            let through = free.max(now * rate) + on_the_wire(&framing, packet.len) * 8_000_000_000;
            let fate = link.decide(&packet);
            if through / rate > now + queue {
                assert_eq!(fate, Fate::drop(Cause::Queue));
                dropped += 1;
                continue;
            }
            idle += u32::from(free < now * rate);
            waited += u32::from(free > now * rate);
            free = through;
            let through = Nanos(u64::try_from(through / rate).unwrap());
            assert_eq!(fate, Fate { served: 1, ..Fate::forward(through) });
        }
        assert!(dropped > 1_000 && idle > 500 && waited > 10_000, "{rate} bit/s: {dropped} {idle} {waited}");
        let left = link.bottleneck();
        assert_eq!(u128::from(left.free_at.0) * rate + u128::from(left.remainder), free);
    }
}

#[test]
fn what_is_lost_before_the_bottleneck_takes_nothing_of_it() {
    let lossy = Params {
        seed: 7,
        loss: probability(0.4),
        rate: BitsPerSec(10_000_000),
        queue: Nanos(4 * MILLI),
        ..Params::default()
    };
    let mut link = Link::new(lossy);
    // The same link without loss, for what is left.
    let mut alone = Link::new(Params { loss: probability(0.0), ..lossy });
    let mut chosen = Link::new(Params { rate: BitsPerSec(0), ..lossy });
    for packet in irregular(9, 400_000, 100_000) {
        let fate = link.decide(&packet);
        if chosen.decide(&packet).cause == Cause::Loss {
            assert_eq!(fate, Fate::drop(Cause::Loss));
        } else {
            assert_eq!(fate, alone.decide(&packet));
        }
    }
    assert!(link.counts().queue > 1_000 && link.counts().loss > 10_000);
    assert_eq!(link.bottleneck(), alone.bottleneck());
}
