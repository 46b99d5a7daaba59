//! The policer against a bucket in exact fractions.

use proptest::prelude::*;
use shaper_common::police::{Policer, PolicerSettings, conforms};
use shaper_common::units::{BitsPerSec, Nanos};

use crate::load::{Arrival, MILLI, SECOND, poisson, share};

/// RFC 2697's committed bucket, full at first, whose content is counted in bits times the nanoseconds of a second.
struct Bucket {
    rate: u128,
    depth: u128,
    content: u128,
    at: u128,
}

impl Bucket {
    fn new(settings: &PolicerSettings) -> Self {
        let rate = u128::from(settings.rate.0);
        let depth = rate * u128::from(settings.burst.0);
        Self { rate, depth, content: depth, at: 0 }
    }

    fn conforms(&mut self, now: u64, bytes: u32) -> bool {
        let now = u128::from(now);
        self.content = self.depth.min(self.content + (now - self.at) * self.rate);
        self.at = now;
        let needed = u128::from(bytes) * 8 * 1_000_000_000;
        let conforms = needed <= self.content;
        if conforms {
            self.content -= needed;
        }
        conforms
    }
}

/// Asserts that the policer and the bucket agree on every packet, and returns what conforms.
fn agreed(settings: &PolicerSettings, arrivals: &[Arrival]) -> Vec<bool> {
    let (mut bucket, mut state) = (Bucket::new(settings), Policer::default());
    arrivals
        .iter()
        .enumerate()
        .map(|(number, arrival)| {
            let conforms = conforms(settings, &mut state, Nanos(arrival.at), arrival.len);
            assert_eq!(conforms, bucket.conforms(arrival.at, arrival.len), "packet {number}, {settings:?}");
            conforms
        })
        .collect()
}

#[test]
fn every_packet_is_judged_as_by_an_exact_bucket() {
    for (rate, per_byte) in
        [(9_999_991, 800), (1_000_000_007, 8), (64_000, 125_000), (8_000_000, 1_000), (333_333, 24_000)]
    {
        for burst in [2 * MILLI, 20 * MILLI, 300 * MILLI] {
            let settings = PolicerSettings { rate: BitsPerSec(rate), burst: Nanos(burst) };
            for load in [0.9, 1.05, 2.0, 10.0] {
                let conforming = share(&agreed(&settings, &poisson(7, load, per_byte, 50_000)));
                let fits = u128::from(rate) * u128::from(burst) >= 1_514 * 8_000_000_000;
                // A deep bucket takes all of a short overload.
                let is_emptied = load >= 2.0 && burst < 300 * MILLI;
                assert!(!fits || conforming > 0.09, "{settings:?}: {conforming}");
                assert!(!is_emptied || conforming < 0.999, "{settings:?}: {conforming}");
            }
        }
    }
}

#[test]
fn what_conforms_in_the_long_run_is_the_rate_to_the_last_bit() {
    let (rate, bytes) = (9_999_991u64, 1_250u32);
    let settings = PolicerSettings::of_bytes(BitsPerSec(rate), 4 * bytes);
    let arrivals: Vec<Arrival> =
        (0..1_000_000).map(|number| Arrival { at: SECOND + number * 10_000, len: bytes }).collect();
    let conforming = agreed(&settings, &arrivals).iter().filter(|conforms| **conforms).count();
    // The bucket is full at first and never again.
    let time = u128::from(settings.burst.0) + 999_999 * 10_000;
    assert_eq!(conforming as u128, u128::from(rate) * time / (u128::from(bytes) * 8_000_000_000));
}

#[test]
fn cells_of_one_length_are_judged_by_the_generic_cell_rate_algorithm() {
    // I.371, virtual scheduling: 424 bits at 424 kbit/s are a cell each millisecond.
    let (increment, tolerance) = (MILLI, 3 * MILLI + 500);
    let settings = PolicerSettings { rate: BitsPerSec(424_000), burst: Nanos(increment + tolerance) };
    let mut state = Policer::default();
    let mut theoretical = 0;
    let mut conforming = 0;
    for arrival in poisson(7, 1.5, 1_384, 100_000) {
        let expected = theoretical <= arrival.at + tolerance;
        if expected {
            theoretical = theoretical.max(arrival.at) + increment;
            conforming += 1;
        }
        assert_eq!(conforms(&settings, &mut state, Nanos(arrival.at), 53), expected);
    }
    assert!((50_000..90_000).contains(&conforming), "{conforming}");
}

#[test]
fn a_burst_of_the_buckets_bytes_conforms_and_not_one_byte_more() {
    for (rate, bytes) in [(9_999_991, 15_000), (64_000, 1), (1_000_000_007, 1 << 29), (3, 2)] {
        let settings = PolicerSettings::of_bytes(BitsPerSec(rate), bytes);
        let mut state = Policer::default();
        assert!(conforms(&settings, &mut state, Nanos(SECOND), bytes));
        let after = state;
        // What rounding up the depth adds is less than a nanosecond of the rate, here less than a byte.
        assert!(!conforms(&settings, &mut state, Nanos(SECOND), 1), "{settings:?}");
        assert_eq!(state, after, "what does not conform changes nothing");
    }
}

#[test]
fn no_rate_lets_everything_pass() {
    let settings = PolicerSettings::of_bytes(BitsPerSec(0), 1);
    let mut state = Policer::default();
    assert!((0..1_000).all(|_| conforms(&settings, &mut state, Nanos(SECOND), u32::MAX)));
    assert_eq!(state, Policer::default());
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_rate_burst_and_packets_are_judged_exactly(
        rate in 1u64..10_000_000_000_000,
        burst in 0u64..10_000_000_000,
        packets in prop::collection::vec((0u64..10_000_000, 0u32..70_000), 1..300),
    ) {
        let settings = PolicerSettings { rate: BitsPerSec(rate), burst: Nanos(burst) };
        let mut at = SECOND;
        let arrivals: Vec<Arrival> = packets.into_iter().map(|(gap, len)| { at += gap; Arrival { at, len } }).collect();
        agreed(&settings, &arrivals);
    }

    #[test]
    fn any_state_and_time_give_an_answer(
        (rate, burst) in any::<(u64, u64)>(),
        (theoretical, remainder) in any::<(u64, u64)>(),
        packets in any::<Vec<(u64, u32)>>(),
    ) {
        let settings = PolicerSettings { rate: BitsPerSec(rate), burst: Nanos(burst) };
        let mut state = Policer { theoretical_arrival: Nanos(theoretical), remainder };
        for (now, bytes) in packets {
            if conforms(&settings, &mut state, Nanos(now), bytes) && rate > 0 {
                prop_assert!(state.theoretical_arrival.0.saturating_sub(now) <= burst && state.remainder < rate);
            }
        }
    }
}
