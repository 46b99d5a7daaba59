//! Tables of quantiles against the distributions they are made from: the error of the realised distribution function.

use proptest::prelude::*;
use shaper_common::quantile::{KNOTS, Knot, Quantiles, SIDE};
use shaper_common::units::Nanos;

const MILLI: f64 = 1e6;
const HOUR: f64 = 3.6e12;

/// The tail that entry `entry` stands for.
fn tail_of(entry: usize) -> f64 {
    2f64.powi((entry / 32) as i32 - 33) * (1.0 + (entry % 32) as f64 / 32.0)
}

/// A table of a distribution: from its quantile by lower tail, and by upper tail.
fn table(lower: impl Fn(f64) -> f64, upper: impl Fn(f64) -> f64) -> Box<Quantiles> {
    let mut quantiles = Box::new(Quantiles::constant(Nanos::ZERO));
    for entry in 0..SIDE {
        quantiles.lower[entry] = lower(tail_of(entry)).max(0.0).round() as u64;
        quantiles.upper[entry] = upper(tail_of(entry)).max(0.0).round() as u64;
    }
    quantiles
}

/// Adds points of the quantile function, by probability.
fn with_knots(mut quantiles: Box<Quantiles>, points: &[(f64, f64)]) -> Box<Quantiles> {
    let mut knots: Vec<Knot> = points
        .iter()
        .map(|(probability, value)| {
            let (tail, lower) = if *probability < 0.5 { (*probability, Knot::LOWER) } else { (1.0 - probability, 0) };
            Knot { at: lower + 2 * (tail * 2f64.powi(32)).round() as u64, value: value.round() as u64 }
        })
        .collect();
    knots.sort_by_key(|knot| knot.at);
    quantiles.knots[..knots.len()].copy_from_slice(&knots);
    quantiles.knot_count = knots.len() as u64;
    quantiles
}

/// What a draw stands for: the share of the distribution below it.
fn probability(draw: u32) -> f64 {
    let tail = (f64::from(draw & 0x7fff_ffff) + 0.5) / 2f64.powi(32);
    if draw >> 31 == 1 { tail } else { 1.0 - tail }
}

/// The largest distance between the realised distribution function and the exact one, over draws that are spread evenly
/// and over the furthest ones. `cdf` gives the shares below a delay and up to it.
fn error(quantiles: &Quantiles, cdf: impl Fn(f64) -> (f64, f64)) -> f64 {
    let spread = (0..400_000u32).map(|step| step.wrapping_mul(10_737) ^ (step & 1));
    let far = (0..30).flat_map(|octave| [1u32 << octave, 1 << 31 | 1 << octave, 3 << octave >> 1]);
    spread.chain(far).fold(0f64, |worst, draw| {
        let (below, reached) = cdf(quantiles.delay(draw).0 as f64);
        let wanted = probability(draw);
        worst.max(below - wanted).max(wanted - reached)
    })
}

fn assert_close(quantiles: &Quantiles, cdf: impl Fn(f64) -> (f64, f64), what: &str) {
    let error = error(quantiles, cdf);
    assert!(error < 1e-4, "{what}: the distribution function is off by {error:e}");
}

/// Draws in order of their probability.
fn in_order() -> impl Iterator<Item = u32> {
    let step = 9_973;
    ((1u32 << 31)..=u32::MAX).step_by(step).chain((0..1u32 << 31).rev().step_by(step))
}

/// The standard normal distribution function (Abramowitz and Stegun 26.2.10 and 26.2.14).
fn normal_cdf(z: f64) -> f64 {
    let magnitude = z.abs();
    let density = (-0.5 * z * z).exp() / (2.0 * std::f64::consts::PI).sqrt();
    let tail = if magnitude > 2.5 {
        density / (1..200).rev().fold(magnitude, |below, k| magnitude + f64::from(k) / below)
    } else {
        let (mut term, mut sum) = (magnitude, magnitude);
        for k in 1..200 {
            term *= z * z / f64::from(2 * k + 1);
            sum += term;
        }
        0.5 - density * sum
    };
    if z < 0.0 { tail } else { 1.0 - tail }
}

/// The point at which a rising function reaches a value.
fn solve(cdf: impl Fn(f64) -> f64, wanted: f64, mut low: f64, mut high: f64) -> f64 {
    for _ in 0..80 {
        let middle = f64::midpoint(low, high);
        if cdf(middle) < wanted { low = middle } else { high = middle }
    }
    high
}

fn continuous(cdf: impl Fn(f64) -> f64) -> impl Fn(f64) -> (f64, f64) {
    // Delays are whole nanoseconds, rounded to the nearest.
    move |at| (cdf(at - 0.5), cdf(at + 0.5))
}

#[test]
fn an_exponential_delay_is_realised() {
    for mean in [20.0 * MILLI, HOUR] {
        let exponential = table(|tail| -mean * (-tail).ln_1p(), |tail| -mean * tail.ln());
        assert_close(&exponential, continuous(|at| -(-at.max(0.0) / mean).exp_m1()), "exponential");
        // ln 2^33 means, and not less: nothing is clipped.
        assert!(exponential.delay(0).0 as f64 > 22.8 * mean);
    }
}

#[test]
fn a_pareto_delay_is_realised() {
    let scale = 10.0 * MILLI;
    let pareto = table(|tail| scale * (1.0 - tail).powf(-1.0 / 3.0), |tail| scale * tail.powf(-1.0 / 3.0));
    assert_close(&pareto, continuous(|at| 1.0 - (at.max(scale) / scale).powi(-3)), "pareto");
    assert!(pareto.delay(0).0 as f64 > 2_000.0 * scale);
}

#[test]
fn a_normal_delay_is_realised() {
    let (base, sigma) = (100.0 * MILLI, 10.0 * MILLI);
    let quantile = |tail| solve(normal_cdf, tail, -7.0, 0.0);
    let normal = table(|tail| base + sigma * quantile(tail), |tail| base - sigma * quantile(tail));
    assert_close(&normal, continuous(|at| normal_cdf((at - base) / sigma)), "normal");
}

#[test]
fn two_modes_with_nothing_between_are_realised_by_two_knots() {
    // 30 % uniform on 5 to 6 ms, 70 % uniform on 40 to 50 ms: the leap lies within a segment of 1/256.
    let split = 0.3;
    let quantile = |p: f64| {
        if p < split { MILLI * (5.0 + p / split) } else { MILLI * (40.0 + 10.0 * (p - split) / (1.0 - split)) }
    };
    let cdf = |at: f64| {
        let low = split * ((at / MILLI - 5.0).clamp(0.0, 1.0));
        low + (1.0 - split) * ((at / MILLI - 40.0) / 10.0).clamp(0.0, 1.0)
    };
    let plain = table(quantile, |tail| quantile(1.0 - tail));
    assert!(error(&plain, continuous(cdf)) > 1e-3, "without knots this must fail, or the test shows nothing");
    let leap = [(split, 6.0 * MILLI), (split, 40.0 * MILLI)];
    let bimodal = with_knots(plain, &leap);
    assert_close(&bimodal, continuous(cdf), "two modes");
    let between = (0..4_000_000u32)
        .map(|step| bimodal.delay(step.wrapping_mul(1_073)).0 as f64 / MILLI)
        .filter(|delay| (6.1..39.9).contains(delay));
    assert_eq!(between.count(), 0, "nothing comes out between the modes");
}

#[test]
fn two_overlapping_modes_are_realised_without_knots() {
    // A mixture of normals whose sigma is a third of their distance.
    let cdf = |at: f64| 0.5 * normal_cdf((at / MILLI - 20.0) / 6.7) + 0.5 * normal_cdf((at / MILLI - 40.0) / 6.7);
    let survival = |at: f64| 0.5 * normal_cdf((20.0 - at / MILLI) / 6.7) + 0.5 * normal_cdf((40.0 - at / MILLI) / 6.7);
    let mixture = table(
        |tail| solve(cdf, tail, -20.0 * MILLI, 100.0 * MILLI),
        |tail| -solve(|at| survival(-at), tail, -100.0 * MILLI, 20.0 * MILLI),
    );
    let cut = |at: f64| (if at > 0.5 { cdf(at - 0.5) } else { 0.0 }, cdf(at + 0.5));
    assert_close(&mixture, cut, "mixture");
}

#[test]
fn the_cut_at_zero_is_realised_by_a_knot() {
    // Uniform on -15 to 45 ms: a quarter is cut to zero.
    let quantile = |p: f64| MILLI * (60.0 * p - 15.0);
    let cut = with_knots(table(quantile, |tail| quantile(1.0 - tail)), &[(0.25, 0.0)]);
    let at_zero = in_order().filter(|draw| cut.delay(*draw) == Nanos::ZERO).count() as f64;
    assert!((at_zero / in_order().count() as f64 - 0.25).abs() < 1e-5);
}

#[test]
fn a_constant_is_one_value_for_all_draws() {
    let constant = Quantiles::constant(Nanos(7));
    assert!((0..100_000u32).all(|step| constant.delay(step.wrapping_mul(42_949)) == Nanos(7)));
}

/// A rising row of `2 SIDE` values: the lower side, then the upper one from the median outwards.
fn rising(values: &[u64]) -> Box<Quantiles> {
    let mut quantiles = Box::new(Quantiles::constant(Nanos::ZERO));
    quantiles.lower.copy_from_slice(&values[..SIDE]);
    quantiles.upper.copy_from_slice(&values[SIDE..]);
    quantiles.upper.reverse();
    quantiles
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 32, ..ProptestConfig::default() })]

    #[test]
    fn delays_never_fall_as_probability_rises_and_stay_within_the_table(
        mut values in prop::collection::vec(prop_oneof![0u64..1 << 42, any::<u64>()], 2 * SIDE),
        places in prop::collection::btree_set((12u32 << 26..1u32 << 31).prop_map(|half| u64::from(half) << 1), 0..KNOTS),
    ) {
        values.sort_unstable();
        let mut quantiles = rising(&values);
        // On the upper side values fall with the place: each knot is taken from the quantile function so far.
        let knots: Vec<Knot> = places
            .iter()
            .map(|at| Knot { at: *at, value: quantiles.delay((*at >> 1) as u32).0 })
            .collect();
        quantiles.knots[..knots.len()].copy_from_slice(&knots);
        quantiles.knot_count = knots.len() as u64;
        let mut last = Nanos::ZERO;
        for draw in in_order() {
            let delay = quantiles.delay(draw);
            prop_assert!(delay >= last, "draw {draw:x}: {delay:?} after {last:?}");
            last = delay;
        }
        let (least, most) = (values[0], values[values.len() - 1]);
        prop_assert!(quantiles.delay(1 << 31).0 >= least && quantiles.delay(0).0 <= most);
    }

    #[test]
    fn no_table_overflows(
        values in prop::collection::vec(any::<u64>(), 2 * SIDE),
        mut knots in prop::collection::vec((0u64..1 << 33, any::<u64>()), KNOTS - 1),
        knot_count: u64,
        draws in prop::collection::vec(any::<u32>(), 200),
    ) {
        // Values in any order; knots in rising order of their places, as the table says.
        knots.sort_unstable();
        let mut quantiles = rising(&values);
        for (place, (at, value)) in quantiles.knots.iter_mut().zip(knots) {
            *place = Knot { at, value };
        }
        quantiles.knot_count = knot_count;
        for draw in draws {
            let _ = quantiles.delay(draw);
        }
    }
}
