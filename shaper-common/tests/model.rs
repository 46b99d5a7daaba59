//! The model against its mathematics: a million fates of fixed seeds, judged at 99.9 %.
//!
//! The references are written here from the definitions, not taken from the code they judge.

use proptest::prelude::*;
use shaper_common::delay::Jitter;
use shaper_common::fate::{Cause, Fate};
use shaper_common::layout::{Params, State, features};
use shaper_common::order::Order;
use shaper_common::outage::{Schedule, Window};
use shaper_common::pipeline::{self, Packet, Settings};
use shaper_common::rate::{self, Bottleneck};
use shaper_common::rng::Source;
use shaper_common::units::{BitsPerSec, Nanos, Probability};

const MILLION: u64 = 1_000_000;
const MILLI: u64 = 1_000_000;
const SECOND: u64 = 1_000_000_000;

/// Two-sided 99.9 % quantile of the standard normal distribution.
const Z_999: f64 = 3.290_527;
/// Kolmogorov's asymptotic critical value at 0.001: `sqrt(-ln(0.0005) / 2)`.
const KS_001: f64 = 1.949_475;

/// The decision by itself, with nothing remembered beside the state.
fn decide(params: &Params, schedule: &Schedule, state: &mut State, packet: &Packet) -> Fate {
    pipeline::decide(features::ALL, &Settings::plain(params, schedule), state, packet);
    state.work.fate.into()
}

/// When a packet is through the bottleneck, if the queue takes it.
fn serve(params: &Params, bottleneck: &mut Bottleneck, now: Nanos, len: u32) -> Option<Nanos> {
    let service = rate::service_at(params.rate, rate::wire_bytes(params, len), bottleneck, now);
    (service.after.free_at.saturating_sub(now) <= params.queue).then(|| {
        *bottleneck = service.after;
        service.after.free_at
    })
}

/// A state in which the next packet takes this index.
fn at_index(index: u64) -> State {
    let mut state = State { next_sequence: index, ..State::default() };
    state.carried.flow.next_index = index;
    state
}

fn probability(of: f64) -> Probability {
    Probability((of * 2f64.powi(32)).round() as u64)
}

fn jittered(kind: Jitter, delay: u64, jitter: u64) -> Params {
    Params {
        seed: 7,
        stream: 3,
        delay: Nanos(delay),
        jitter: Nanos(jitter),
        jitter_kind: kind as u32,
        ..Params::default()
    }
}

fn wifi() -> Params {
    Params { loss: probability(0.05), ..jittered(Jitter::Uniform, 15 * MILLI, 30 * MILLI) }
}

/// The fates of packets that come every `interval`, with their arrivals.
fn fates(params: Params, schedule: &Schedule, interval: u64, count: u64) -> impl Iterator<Item = (Nanos, Fate)> + '_ {
    let mut state = State::default();
    (0..count).map(move |index| {
        let now = Nanos(SECOND + index * interval);
        (now, decide(&params, schedule, &mut state, &Packet { now, len: 200, ..Packet::default() }))
    })
}

/// Delays of delivered packets, free of order and queue, sorted.
fn sorted_delays(params: Params, count: u64) -> Vec<u64> {
    let mut delays: Vec<u64> = fates(params, &Schedule::EMPTY, MILLI, count)
        .filter(|(_, fate)| fate.cause == Cause::None)
        .map(|(now, fate)| fate.release.0 - now.0)
        .collect();
    delays.sort_unstable();
    delays
}

fn assert_share(hits: usize, of: usize, expected: f64, what: &str) {
    let n = of as f64;
    let bound = Z_999 * (n * expected * (1.0 - expected)).sqrt() + 0.5;
    let distance = (hits as f64 - n * expected).abs();
    assert!(
        distance <= bound,
        "{what}: {hits} of {of}, expected share {expected}, off by {distance:.0}, allowed {bound:.0}"
    );
}

/// The upper tail of the standard normal distribution (Abramowitz and Stegun 26.2.10 and 26.2.14).
fn upper_tail(z: f64) -> f64 {
    if z < 0.0 {
        return 1.0 - upper_tail(-z);
    }
    let density = (-0.5 * z * z).exp() / (2.0 * std::f64::consts::PI).sqrt();
    if z > 2.5 {
        density / (1..200).rev().fold(z, |tail, k| z + f64::from(k) / tail)
    } else {
        let (mut term, mut sum) = (z, z);
        for k in 1..200 {
            term *= z * z / f64::from(2 * k + 1);
            sum += term;
        }
        0.5 - density * sum
    }
}

/// `P(delay <= at)` before the cut. At delays of milliseconds a nanosecond's rounding moves it by less than
/// 1e-6, a thousandth of what the test can see.
fn uncut_cdf(params: &Params, at: u64) -> f64 {
    let (at, base, jitter) = (at as f64, params.delay.0 as f64, params.jitter.0 as f64);
    if params.jitter_kind == Jitter::Uniform as u32 {
        ((at - (base - jitter)) / (2.0 * jitter)).clamp(0.0, 1.0)
    } else {
        upper_tail((base - at) / jitter)
    }
}

/// Tests the atom at zero as a share, and the delays above it by KS against their conditional distribution.
fn assert_distribution(params: Params, what: &str) {
    let delays = sorted_delays(params, MILLION);
    let at_zero = delays.partition_point(|delay| *delay == 0);
    let atom = uncut_cdf(&params, 0);
    assert_share(at_zero, delays.len(), atom, what);
    let above = &delays[at_zero..];
    let n = above.len() as f64;
    let distance = above.iter().enumerate().fold(0f64, |worst, (rank, delay)| {
        let cdf = (uncut_cdf(&params, *delay) - atom) / (1.0 - atom);
        worst.max((cdf - rank as f64 / n).abs()).max((cdf - (rank + 1) as f64 / n).abs())
    });
    assert!(distance < KS_001 / n.sqrt(), "{what}: KS distance {distance:e} of {n} delays");
}

#[test]
fn loss_of_a_million_packets_lies_in_the_binomial_interval() {
    for (seed, share) in [(1, 0.0005), (2, 0.01), (7, 0.05), (11, 0.2), (13, 0.9)] {
        let params = Params { seed, loss: probability(share), ..wifi() };
        let lost =
            fates(params, &Schedule::EMPTY, MILLI, MILLION).filter(|(_, fate)| fate.cause == Cause::Loss).count();
        assert_share(lost, MILLION as usize, share, "loss");
    }
}

#[test]
fn never_and_always_are_exact() {
    for (probability, cause) in [(Probability::NEVER, Cause::None), (Probability::ALWAYS, Cause::Loss)] {
        let params = Params { loss: probability, ..wifi() };
        assert!(fates(params, &Schedule::EMPTY, MILLI, 100_000).all(|(_, fate)| fate.cause == cause));
    }
    assert!(!Probability::NEVER.hits(0) && Probability::ALWAYS.hits(u32::MAX));
    assert!(Probability(1).hits(0) && !Probability(1).hits(1));
}

#[test]
fn uniform_delays_follow_their_distribution_cut_and_not_cut() {
    assert_distribution(wifi(), "wifi, cut");
    assert_distribution(jittered(Jitter::Uniform, 80 * MILLI, 20 * MILLI), "uniform, not cut");
    assert_distribution(jittered(Jitter::Uniform, 10 * MILLI, 50 * MILLI), "uniform, two fifths cut");
}

#[test]
fn normal_delays_follow_their_distribution_cut_and_not_cut() {
    assert_distribution(jittered(Jitter::Normal, 100 * MILLI, 10 * MILLI), "normal, not cut");
    assert_distribution(jittered(Jitter::Normal, 15 * MILLI, 30 * MILLI), "normal, cut");
}

#[test]
fn delays_of_many_seconds_follow_their_distribution() {
    assert_distribution(jittered(Jitter::Uniform, 3_600 * SECOND, 3_600 * SECOND), "uniform over two hours");
    assert_distribution(jittered(Jitter::Normal, 3_600 * SECOND, 600 * SECOND), "normal, sigma ten minutes");
}

#[test]
fn wifi_comes_out_at_a_mean_of_16_9_ms_with_a_quarter_at_zero() {
    let delays = sorted_delays(wifi(), MILLION);
    let n = delays.len() as f64;
    let mean = delays.iter().map(|delay| *delay as f64).sum::<f64>() / n;
    // (d + j)^2 / 4j, and the second moment (d + j)^3 / 6j, in ms.
    let (expected, second) = (16.875, 45f64.powi(3) / 180.0);
    let sigma = f64::sqrt(second - expected * expected);
    assert!((mean / 1e6 - expected).abs() < Z_999 * sigma / n.sqrt(), "mean {mean}");
    assert!((mean / 1e6 - 16.9).abs() < 0.1);
}

#[test]
fn jitter_keeps_within_its_half_width_to_the_nanosecond() {
    for jitter in [0, 1, 2, 7, 1_000] {
        let delays = sorted_delays(jittered(Jitter::Uniform, 5_000, jitter), 100_000);
        assert_eq!((delays[0], delays[delays.len() - 1]), (5_000 - jitter, 5_000 + jitter));
    }
}

#[test]
fn loss_and_jitter_draws_of_a_packet_are_independent() {
    // 16 by 16 cells, 225 degrees of freedom: the 0.999 quantile is 295.4 (Wilson and Hilferty).
    let mut cells = [[0f64; 16]; 16];
    for index in 0..MILLION {
        let draws = Source::of_link(7, 3, index).draws();
        cells[(draws.loss >> 28) as usize][(draws.jitter >> 28) as usize] += 1.0;
    }
    let rows: Vec<f64> = cells.iter().map(|row| row.iter().sum()).collect();
    let columns: Vec<f64> = (0..16).map(|column| cells.iter().map(|row| row[column]).sum()).collect();
    let mut statistic = 0.0;
    for (row, total) in cells.iter().zip(&rows) {
        for (count, column) in row.iter().zip(&columns) {
            let expected = total * column / MILLION as f64;
            statistic += (count - expected).powi(2) / expected;
        }
    }
    assert!(statistic < 295.4, "chi-square {statistic}");
}

#[test]
fn draws_of_successive_packets_of_streams_and_of_seeds_are_not_correlated() {
    let unit = |draw: u32| (f64::from(draw) + 0.5) / 2f64.powi(32) - 0.5;
    let draws = |seed, stream| (0..MILLION).map(move |index| Source::of_link(seed, stream, index).draws());
    let jitter: Vec<f64> = draws(7, 3).map(|draws| unit(draws.jitter)).collect();
    let loss: Vec<f64> = draws(7, 3).map(|draws| unit(draws.loss)).collect();
    let correlation = |left: &[f64], right: &[f64]| {
        let products: f64 = left.iter().zip(right).map(|(l, r)| l * r).sum();
        // The variance of a uniform on [-1/2, 1/2] is 1/12.
        12.0 * products / left.len().min(right.len()) as f64
    };
    let bound = Z_999 / (MILLION as f64).sqrt();
    for lag in [1, 2, 3, 4, 64, 256] {
        let (of_jitter, of_loss) = (correlation(&jitter, &jitter[lag..]), correlation(&loss, &loss[lag..]));
        assert!(of_jitter.abs() < bound && of_loss.abs() < bound, "lag {lag}: {of_jitter:e} {of_loss:e}");
    }
    for (seed, stream) in [(7, 4), (8, 3), (7 + (1 << 32), 3)] {
        let other: Vec<f64> = draws(seed, stream).map(|draws| unit(draws.jitter)).collect();
        let between = correlation(&jitter, &other);
        assert!(between.abs() < bound, "seed {seed} stream {stream}: {between:e}");
    }
}

#[test]
fn losses_come_in_runs_of_geometric_length() {
    let lost: Vec<bool> = fates(Params { loss: probability(0.2), ..wifi() }, &Schedule::EMPTY, MILLI, MILLION)
        .map(|(_, fate)| fate.cause == Cause::Loss)
        .collect();
    let pairs = lost.windows(2).filter(|pair| pair[0]).count();
    let both = lost.windows(2).filter(|pair| pair[0] && pair[1]).count();
    assert_share(both, pairs, 0.2, "loss after a loss");
}

#[test]
fn one_effect_does_not_shift_anothers_draws() {
    let causes = |params: Params, schedule: &Schedule| -> Vec<Cause> {
        fates(params, schedule, MILLI, 100_000).map(|(_, fate)| fate.cause).collect()
    };
    let plain = causes(wifi(), &Schedule::EMPTY);
    let mut schedule = Box::new(Schedule::EMPTY);
    schedule.windows[0] = Window { start: Nanos(10 * SECOND), end: Nanos(12 * SECOND) };
    let busy = Params {
        has_outages: 1,
        rate: BitsPerSec(1_000_000),
        queue: Nanos(3 * MILLI),
        jitter_kind: Jitter::Normal as u32,
        order: Order::Keep as u32,
        ..wifi()
    };
    let more = causes(busy, &schedule);
    assert!(more.contains(&Cause::Outage) && more.contains(&Cause::Queue));
    for (before, after) in plain.iter().zip(&more) {
        assert!(*after == Cause::Outage || (*before == Cause::Loss) == (*after == Cause::Loss));
    }
}

#[test]
fn an_outage_takes_all_packets_of_its_window_and_no_other() {
    let windows = [(0, 5), (7, 8), (100, 2_000), (2_001, 2_002)].map(|(start, end)| (start * MILLI, end * MILLI));
    let mut schedule = Box::new(Schedule::EMPTY);
    for (place, (start, end)) in schedule.windows.iter_mut().zip(windows) {
        *place = Window { start: Nanos(start), end: Nanos(end) };
    }
    let start = 5 * SECOND;
    let params = Params { start: Nanos(start), has_outages: 1, ..wifi() };
    let probes = windows.iter().flat_map(|(from, to)| [*from, from + 1, to - 1, *to, to + 1, from.saturating_sub(1)]);
    for at in probes {
        let packet = Packet { now: Nanos(start + at), len: 200, ..Packet::default() };
        let fate = decide(&params, &schedule, &mut State::default(), &packet);
        let down = windows.iter().any(|(from, to)| (*from..*to).contains(&at));
        assert_eq!(fate.cause == Cause::Outage, down, "{at} ns since start");
    }
}

#[test]
fn a_kept_order_never_reorders_and_only_delays() {
    for (interval, rate) in [(0, 0), (100_000, 0), (100_000, 50_000_000), (20 * MILLI, 0)] {
        let free = Params { rate: BitsPerSec(rate), queue: Nanos(50 * MILLI), ..wifi() };
        let keep = Params { order: Order::Keep as u32, ..free };
        let mut latest = Nanos::ZERO;
        let mut overtakes = 0;
        let mut latest_free = Nanos::ZERO;
        let kept = fates(keep, &Schedule::EMPTY, interval, 200_000);
        for ((now, ordered), (_, own)) in kept.zip(fates(free, &Schedule::EMPTY, interval, 200_000)) {
            assert_eq!(ordered.cause, own.cause);
            if ordered.cause == Cause::None {
                assert!(ordered.release >= latest && ordered.release >= own.release && own.release >= now);
                assert!(
                    ordered.release == own.release || ordered.release == latest,
                    "held longer than its predecessor"
                );
                overtakes += u32::from(own.release < latest_free);
                latest = ordered.release;
                latest_free = latest_free.later_of(own.release);
            }
        }
        assert!(overtakes > 1_000, "the free order must overtake for this to say something");
    }
}

#[test]
fn a_busy_bottleneck_serves_exactly_its_rate() {
    for (rate, overhead) in [(9_999_991, -14), (1_000_000_007, 24), (64_000, 38), (10_000_000_000, 24), (1_000, 0)] {
        let params = Params { rate: BitsPerSec(rate), queue: Nanos::MAX, overhead, ..Params::default() };
        let mut bottleneck = Bottleneck::default();
        let (mut bits, start) = (0u128, SECOND);
        for number in 0..200_000u32 {
            let len = 64 + number.wrapping_mul(2_654_435_761) % 1_451;
            bits += u128::from(len.strict_add_signed(overhead)) * 8;
            let through = serve(&params, &mut bottleneck, Nanos(start), len).expect("an endless queue");
            // Not one nanosecond is lost to rounding, however long the busy period.
            let exact = u128::from(start) + bits * 1_000_000_000 / u128::from(rate);
            assert_eq!(u128::from(through.0), exact, "packet {number} at {rate} bit/s");
        }
    }
}

#[test]
fn throughput_under_overload_is_the_configured_rate_within_1e_6() {
    let rate = 10_000_019u64;
    let params = Params { seed: 7, rate: BitsPerSec(rate), queue: Nanos(20 * MILLI), ..Params::default() };
    let mut state = State::default();
    let (mut served, mut first, mut last) = (0u64, None, Nanos::ZERO);
    for number in 0..MILLION {
        // 1000 bytes each 400 us: twice the rate.
        let packet = Packet { now: Nanos(SECOND + number * 400_000), len: 1_000, ..Packet::default() };
        let fate = decide(&params, &Schedule::EMPTY, &mut state, &packet);
        if fate.cause == Cause::None {
            served += 8_000;
            first.get_or_insert(packet.now);
            last = fate.release;
        }
    }
    let seconds = (last.0 - first.expect("the first passes").0) as f64 / SECOND as f64;
    let realised = served as f64 / seconds;
    assert!((realised / rate as f64 - 1.0).abs() < 1e-6, "{realised} bit/s");
    assert_eq!(state.counts.forwarded + state.counts.queue, MILLION);
}

#[test]
fn a_queue_of_one_packets_service_takes_one_packet() {
    // 1514 bytes at 10 Mbit/s.
    for (queue, passes) in [(1_211_200, true), (1_211_199, false)] {
        let params = Params { rate: BitsPerSec(10_000_000), queue: Nanos(queue), ..Params::default() };
        let mut bottleneck = Bottleneck::default();
        assert_eq!(serve(&params, &mut bottleneck, Nanos(SECOND), 1_514).is_some(), passes);
        assert!(serve(&params, &mut bottleneck, Nanos(SECOND), 1_514).is_none());
    }
}

#[test]
fn a_link_below_its_rate_neither_queues_nor_drops() {
    let params = Params { seed: 7, rate: BitsPerSec(10_000_000), queue: Nanos(2 * MILLI), ..Params::default() };
    // 200 bytes each ms are 1.6 Mbit/s, and 160 us of service.
    for (now, fate) in fates(params, &Schedule::EMPTY, MILLI, 100_000) {
        assert_eq!(fate, Fate { served: 1, ..Fate::forward(Nanos(now.0 + 160_000)) });
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn service_is_exact_for_any_frame_and_rate(len in 0u32..=65_575, overhead in 0i32..=10_000, rate in 1u64..10_000_000_000_000) {
        let params = Params { rate: BitsPerSec(rate), queue: Nanos::MAX, overhead, ..Params::default() };
        let mut bottleneck = Bottleneck::default();
        let through = serve(&params, &mut bottleneck, Nanos(SECOND), len).expect("an endless queue");
        let nanobits = u128::from(len.strict_add_signed(overhead)) * 8_000_000_000;
        prop_assert_eq!(u128::from(through.0), u128::from(SECOND) + nanobits / u128::from(rate));
        prop_assert_eq!(u128::from(bottleneck.remainder), nanobits % u128::from(rate));
    }

    #[test]
    fn no_packet_that_passes_waits_longer_than_the_queue_and_none_that_fits_is_dropped(
        rate in 8_000u64..1_000_000_000,
        queue in 1u64..200_000_000,
        packets in prop::collection::vec((0u64..5_000_000, 1u32..2_000), 1..300),
    ) {
        let params = Params { rate: BitsPerSec(rate), queue: Nanos(queue), ..Params::default() };
        let mut bottleneck = Bottleneck::default();
        let mut now = SECOND;
        for (gap, len) in packets {
            now += gap;
            let before = bottleneck;
            let endless = serve(&Params { queue: Nanos::MAX, ..params }, &mut before.clone(), Nanos(now), len);
            match serve(&params, &mut bottleneck, Nanos(now), len) {
                Some(through) => {
                    prop_assert!(through.0 - now <= queue && Some(through) == endless && through >= before.free_at);
                }
                None => {
                    prop_assert!(endless.expect("an endless queue").0 - now > queue);
                    prop_assert_eq!(bottleneck, before);
                }
            }
        }
    }

    #[test]
    fn fates_are_a_function_of_what_goes_in(seed: u64, stream: u32, index: u64, now in 0u64..u64::MAX / 4) {
        let params = Params { seed, stream, ..wifi() };
        let packet = Packet { now: Nanos(now), len: 200, ..Packet::default() };
        let run = || {
            let mut state = at_index(index);
            (decide(&params, &Schedule::EMPTY, &mut state, &packet), state)
        };
        prop_assert_eq!(run(), run());
    }
}

#[test]
fn packets_that_come_just_when_the_last_one_is_through_do_not_gain_the_rounding() {
    let params = Params { rate: BitsPerSec(10_000_000_000), queue: Nanos(MILLI), ..Params::default() };
    let mut bottleneck = Bottleneck::default();
    let mut now = Nanos(SECOND);
    for _ in 0..100_000 {
        now = serve(&params, &mut bottleneck, now, 1_514).expect("an empty queue");
    }
    assert_eq!(now.0 - SECOND, 121_120_000);
}

#[test]
fn what_rounding_left_at_one_rate_is_no_time_at_another() {
    let mut bottleneck = Bottleneck { free_at: Nanos(SECOND + 1), remainder: 9_999_999_999, ..Bottleneck::default() };
    let slow = Params { rate: BitsPerSec(1_000), queue: Nanos::MAX, ..Params::default() };
    let through = serve(&slow, &mut bottleneck, Nanos(SECOND), 125).expect("an endless queue");
    assert!(through.0 - SECOND - 1 <= SECOND + 1);
}
