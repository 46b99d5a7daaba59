//! The clock rate of types that do not tell it: found under jitter and loss, and put right where the first second misled.

use super::jitter::{Estimator, Jitter, Rate};
use crate::stats::Budget;

const MS: i64 = 1_000_000;
/// A dynamic payload type.
const TYPE: u8 = 111;

/// Uniform draws below `n` from a fixed seed.
struct Draws(u64);

impl Draws {
    fn below(&mut self, n: i64) -> i64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) % n.unsigned_abs()).cast_signed()
    }

    /// One in so many.
    fn one_in(&mut self, n: i64) -> bool {
        self.below(n) == 0
    }
}

/// Arrivals in nanoseconds with their timestamps.
fn found(arrivals: &[(i64, u32)]) -> Jitter {
    let mut jitter = Jitter::new(TYPE, &Budget::unlimited());
    arrivals.iter().for_each(|&(at, timestamp)| jitter.step(at, timestamp));
    jitter.finish();
    jitter
}

/// What RFC 3550 says of all packets by a rate that is known.
fn estimator(arrivals: &[(i64, u32)], hz: f64) -> Estimator {
    let mut estimator = Estimator::default();
    for pair in arrivals.windows(2) {
        let units = pair[1].1.wrapping_sub(pair[0].1).cast_signed();
        estimator.step((pair[1].0 - pair[0].0) as f64 * (hz / 1e9) - f64::from(units));
    }
    estimator
}

fn in_order(mut arrivals: Vec<(i64, u32)>) -> Vec<(i64, u32)> {
    arrivals.sort_by_key(|arrival| arrival.0);
    arrivals
}

#[test]
fn each_rate_is_found_under_jitter_and_loss() {
    for hz in [8_000_u32, 16_000, 48_000, 90_000] {
        for seed in 0..20 {
            let mut draws = Draws(seed);
            // 30 s in packets of 20 ms, up to 40 ms late, of which one in twenty is lost.
            let arrivals = (0..1_500_u32).filter_map(|packet| {
                let late = draws.below(40 * MS);
                let timestamp = (packet * (hz / 50)).wrapping_add(u32::MAX - 100_000);
                (!draws.one_in(20)).then_some((i64::from(packet) * 20 * MS + late, timestamp))
            });
            let arrivals = in_order(arrivals.collect());
            let jitter = found(&arrivals);
            assert_eq!(jitter.rate(TYPE), Some(Rate::Estimated(hz.into(), true)), "{hz}, seed {seed}");
            assert_eq!(jitter.estimator(TYPE), Some(&estimator(&arrivals, hz.into())), "{hz}, seed {seed}");
        }
    }
}

#[test]
fn video_in_bursts_of_equal_timestamps_has_its_rate() {
    for seed in 0..20 {
        let mut draws = Draws(seed);
        let mut arrivals = Vec::new();
        // Ten seconds of 30 frames a second, of 1 to 12 packets, a large one every second, paced at 8 in a millisecond.
        for frame in 0..300_i64 {
            let at = frame * 1_000 * MS / 30 + draws.below(15 * MS);
            let packets = if frame % 30 == 0 { 80 } else { 1 + draws.below(12) };
            for packet in 0..packets {
                if !draws.one_in(20) {
                    arrivals.push((at + packet * MS / 8, (frame * 3_000) as u32));
                }
            }
        }
        let arrivals = in_order(arrivals);
        let jitter = found(&arrivals);
        assert_eq!(jitter.rate(TYPE), Some(Rate::Estimated(90_000.0, true)), "seed {seed}");
        assert_eq!(jitter.estimator(TYPE).unwrap().count, arrivals.len() as u64 - 1, "seed {seed}");
    }
}

/// 48 kHz in packets of 20 ms into a queue that fills for two seconds, by 88.4 ms a second: as fast as would make 44.1 kHz
/// of it.
fn filling(packets: u32) -> Vec<(i64, u32)> {
    let delay = |sent: i64| sent.min(2_000 * MS) * 884 / 10_000;
    (0..packets)
        .map(|packet| (i64::from(packet) * 20 * MS, packet * 960))
        .map(|(at, ts)| (at + delay(at), ts))
        .collect()
}

#[test]
fn a_rate_that_a_filling_queue_misled_is_put_right_for_all_packets() {
    let mut jitter = Jitter::new(TYPE, &Budget::unlimited());
    let arrivals = filling(1_000);
    let mut first = None;
    for &(at, timestamp) in &arrivals {
        jitter.step(at, timestamp);
        first = first.or(jitter.rate(TYPE));
    }
    jitter.finish();
    assert_eq!(first, Some(Rate::Estimated(44_100.0, true)), "what the first second says");
    assert_eq!(jitter.rate(TYPE), Some(Rate::Estimated(48_000.0, true)));
    assert_eq!(jitter.estimator(TYPE), Some(&estimator(&arrivals, 48_000.0)));
}

#[test]
fn a_stream_that_ends_before_its_rate_is_borne_out_has_none() {
    // 4.5 s: two that misled, and no look since 2.56 s but the one at the end.
    let jitter = found(&filling(225));
    assert_eq!((jitter.rate(TYPE), jitter.estimator(TYPE)), (None, None));
}

#[test]
fn a_rate_that_was_put_right_without_room_counts_from_there() {
    let budget = Budget::of(2 * 64);
    let mut jitter = Jitter::new(TYPE, &budget);
    for (at, timestamp) in filling(1_000) {
        jitter.step(at, timestamp);
    }
    jitter.finish();
    assert_eq!(jitter.rate(TYPE), Some(Rate::Estimated(48_000.0, true)));
    let counted = jitter.estimator(TYPE).unwrap().count;
    assert!((400..999).contains(&counted), "{counted}");
    drop(jitter);
    assert!(budget.take(2 * 64));
}

#[test]
fn nothing_is_said_before_it_is_known() {
    // 0.8 s, and a sender whose timestamps have nothing to do with time.
    assert_eq!(found(&filling(40)).rate(TYPE), None);
    let mut draws = Draws(1);
    let arrivals: Vec<_> = (0..1_000).map(|packet| (packet * 20 * MS, draws.below(1 << 20) as u32)).collect();
    assert_eq!(found(&arrivals).rate(TYPE), None);
}
