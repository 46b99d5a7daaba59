//! The correlated process against its mathematics: fixed seeds, judged at 99.9 %.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use proptest::prelude::*;
use shaper_common::process::{LONGEST_TIME_CONSTANT, Process, SIGMA_SHIFT, advance, per_nano};
use shaper_common::rng::Source;
use shaper_common::units::Nanos;

/// Two-sided 99.9 % quantile of the standard normal distribution.
const Z_999: f64 = 3.290_527;
/// Kolmogorov's asymptotic critical value at 0.001.
const KS_001: f64 = 1.949_475;

const SECOND: u64 = 1_000_000_000;
/// A time constant, and a divisible one: 2^30 ns.
const TAU: Nanos = Nanos(1 << 30);

fn sigmas(z: i64) -> f64 {
    z as f64 / f64::from(1 << SIGMA_SHIFT)
}

/// The share of the distribution below what a draw stands for: the highest bit marks the lower half, and the
/// smallest draws of a half are the furthest out.
fn probability(draw: u32) -> f64 {
    let tail = (f64::from(draw & 0x7fff_ffff) + 0.5) / 2f64.powi(32);
    if draw >> 31 == 1 { tail } else { 1.0 - tail }
}

/// Values and draws of a process on packets with these gaps.
fn walk(seed: u64, tau: Nanos, gaps: impl Iterator<Item = u64>) -> Vec<(f64, u32)> {
    let per_nano = per_nano(tau).unwrap();
    let mut process = Process::default();
    let mut now = SECOND;
    gaps.enumerate()
        .map(|(index, gap)| {
            now += gap;
            let draw =
                advance(&mut process, per_nano, Nanos(now), Source::of_link(seed, 0, index as u64).draws().jitter);
            (sigmas(process.z), draw)
        })
        .collect()
}

fn regular(seed: u64, tau: Nanos, gap: u64, count: usize) -> Vec<(f64, u32)> {
    walk(seed, tau, std::iter::repeat_n(gap, count))
}

/// Gaps of a Poisson process: exponential, from draws that are not the process's own.
fn poisson(seed: u64, mean: u64) -> impl Iterator<Item = u64> {
    (0..).map(move |index| {
        let u = (f64::from(Source::of_link(seed, 99, index).draws().first) + 0.5) / 2f64.powi(32);
        (-u.ln() * mean as f64) as u64
    })
}

fn ks_distance(mut probabilities: Vec<f64>) -> f64 {
    probabilities.sort_by(f64::total_cmp);
    let n = probabilities.len() as f64;
    probabilities
        .iter()
        .enumerate()
        .fold(0f64, |worst, (rank, p)| worst.max((p - rank as f64 / n).abs()).max((p - (rank + 1) as f64 / n).abs()))
}

/// KS on draws that are five time constants apart. The correlation of 0.0067 that is left widens the distribution of
/// the distance by no more than sqrt((1 + rho) / (1 - rho)).
fn assert_uniform(sample: &[u32], what: &str) {
    let n = sample.len() as f64;
    assert!(n >= 4_000.0, "{what}: a sample of {n} shows nothing");
    let distance = ks_distance(sample.iter().map(|draw| probability(*draw)).collect());
    let rho = (-5f64).exp();
    let allowed = KS_001 * ((1.0 + rho) / (1.0 - rho)).sqrt() / n.sqrt();
    assert!(distance < allowed, "{what}: KS distance {distance:e} of {n}, allowed {allowed:e}");
}

#[test]
fn draws_are_uniform_at_every_gap() {
    for (exponent, count) in [(-7, 3_000_000), (-4, 1_600_000), (-1, 500_000), (1, 500_000), (3, 500_000), (6, 500_000)]
    {
        let gap = (TAU.0 as f64 * 2f64.powi(exponent)) as u64;
        let apart = (5.0 * 2f64.powi(-exponent)).ceil() as usize;
        let sample: Vec<u32> = regular(7, TAU, gap, count).iter().step_by(apart).map(|(_, draw)| *draw).collect();
        assert_uniform(&sample, &format!("gap 2^{exponent}"));
    }
}

#[test]
fn draws_are_uniform_when_packets_come_at_random() {
    for (ratio, count) in [(1 << 7, 3_000_000), (8, 800_000), (1, 500_000)] {
        let gaps: Vec<u64> = poisson(11, TAU.0 / ratio).take(count).collect();
        let mut since = 0;
        let sample: Vec<u32> = walk(11, TAU, gaps.iter().copied())
            .iter()
            .zip(&gaps)
            .filter_map(|((_, draw), gap)| {
                since += gap;
                (since >= 5 * TAU.0).then(|| since = 0).map(|()| *draw)
            })
            .collect();
        assert_uniform(&sample, &format!("mean gap 1/{ratio}"));
    }
}

#[test]
fn mean_and_variance_of_the_value_do_not_drift() {
    for exponent in -14..=3 {
        let gap = (TAU.0 as f64 * 2f64.powi(exponent)) as u64;
        let count = if exponent < -4 { 2_000_000 } else { 500_000 };
        let walked = regular(3, TAU, gap, count);
        let n = walked.len() as f64;
        let mean = walked.iter().map(|(z, _)| z).sum::<f64>() / n;
        let square = walked.iter().map(|(z, _)| z * z).sum::<f64>() / n;
        // Of an autoregressive process of the first order: sums of rho^|k| and of 2 rho^2|k| over all lags. Below a few
        // hundred time constants the mean square is nearer to gamma than to normal: Wilson and Hilferty.
        let rho = (-2f64.powi(exponent)).exp();
        let of_mean = ((1.0 + rho) / (1.0 - rho) / n).sqrt();
        assert!(mean.abs() < Z_999 * of_mean, "gap 2^{exponent}: mean {mean}, sigma {of_mean}");
        let freedom = n * (1.0 - rho * rho) / (1.0 + rho * rho);
        let cube = |z: f64| (1.0 - 2.0 / (9.0 * freedom) + z * (2.0 / (9.0 * freedom)).sqrt()).powi(3);
        assert!((cube(-Z_999)..cube(Z_999)).contains(&square), "gap 2^{exponent}: variance {square}, {freedom} free");
    }
}

#[test]
fn one_step_keeps_and_adds_within_1e_4() {
    // Deterministic, and so sharper than any sample: draws that differ in sign alone add and subtract the same.
    let per_nano = per_nano(TAU).unwrap();
    let mut worst = 0f64;
    for number in 0..100_000u64 {
        let words = Source::of_link(5, 0, number).draws();
        let gap = (TAU.0 as f64 * 2f64.powf(f64::from(words.loss) / 2f64.powi(32) * 17.98 - 13.99)) as u64;
        let z = i64::from(words.step as i32) / 2;
        let after = |draw: u32| {
            let mut process = Process { z, at: Nanos(SECOND) };
            let _ = advance(&mut process, per_nano, Nanos(SECOND + gap), draw);
            (process.z, process.at)
        };
        let ((up, at), (down, _)) = (after(words.jitter & 0x7fff_ffff), after(words.jitter | 1 << 31));
        assert_eq!(at, Nanos(SECOND + gap));
        let t = gap as f64 / TAU.0 as f64;
        let (rho, add) = ((-t).exp(), (-(-2.0 * t).exp_m1()).sqrt());
        let kept = if z.abs() > 1 << 27 { (up + down) as f64 / 2.0 / z as f64 } else { rho };
        // In units of what the step is about: 1 - rho for small steps.
        worst = worst.max((kept - rho).abs() / (1.0 - rho));
        let deviate = shaper_common::normal::deviate(words.jitter);
        let magnitude = f64::from(deviate.magnitude) * 16.0;
        if magnitude > f64::from(1 << 24) {
            let added = (up - down) as f64 / 2.0 / magnitude;
            assert!((added / add - 1.0).abs() < 1e-4, "gap {t}: adds {added} instead of {add}");
            // The variance that such steps come to in the long run.
            let variance = added * added / (1.0 - kept * kept);
            assert!((variance - 1.0).abs() < 1e-4, "gap {t}: variance {variance}");
        }
    }
    assert!(worst < 1e-4, "{worst:e}");
}

#[test]
fn rounding_pulls_to_neither_side() {
    // A process and its mirror image stay mirrored. Rounded down, each pair would be a unit apart.
    let per_nano = per_nano(TAU).unwrap();
    let mut apart = 0i64;
    for number in 0..100_000u64 {
        let words = Source::of_link(29, 0, number).draws();
        let after = |z: i64, draw: u32| {
            let mut process = Process { z, at: Nanos(SECOND) };
            let _ = advance(&mut process, per_nano, Nanos(SECOND + TAU.0 / 1_000 + number), draw);
            process.z
        };
        let z = i64::from(words.step as i32) / 2;
        apart += after(z, words.jitter) + after(-z, words.jitter ^ 1 << 31);
    }
    assert!(apart.abs() < 100, "{apart} units in 100,000 steps");
}

/// Bartlett's standard deviation of the autocorrelation of a first-order process at a lag.
fn bartlett(rho: f64, lag: i32, n: f64) -> f64 {
    let r = rho.powi(2 * lag);
    (((1.0 + rho * rho) * (1.0 - r) / (1.0 - rho * rho) - 2.0 * f64::from(lag) * r) / n).sqrt()
}

#[test]
fn autocorrelation_is_that_of_the_time_constant() {
    for exponent in [-8, -4, -1, 0, 2] {
        let t = 2f64.powi(exponent);
        let walked = regular(13, TAU, (TAU.0 as f64 * t) as u64, 1_000_000);
        let rho = (-t).exp();
        for lag in [1usize, 2, 5, 10, 100] {
            let n = (walked.len() - lag) as f64;
            let mean = walked.iter().map(|(z, _)| z).sum::<f64>() / walked.len() as f64;
            let variance = walked.iter().map(|(z, _)| (z - mean).powi(2)).sum::<f64>() / walked.len() as f64;
            let product =
                walked.iter().zip(&walked[lag..]).map(|((l, _), (r, _))| (l - mean) * (r - mean)).sum::<f64>();
            let found = product / n / variance;
            let expected = rho.powi(lag as i32);
            let allowed = Z_999 * bartlett(rho, lag as i32, n);
            // Taking off the sample's mean lowers it, by what the mean's variance is.
            let bias = (1.0 + rho) / (1.0 - rho) / n;
            assert!(
                (found - expected).abs() < allowed + 2.0 * bias,
                "gap 2^{exponent} lag {lag}: {found} instead of {expected}, allowed {allowed:e}"
            );
        }
    }
}

#[test]
fn correlation_hangs_on_time_and_not_on_packets() {
    // Each packet against the first one that comes at least half a time constant later, however many lie between:
    // products less their expectation, in blocks of 20 time constants that are as good as independent.
    for ratio in [1u64, 4, 64] {
        let count = (ratio * 400_000).min(3_000_000) as usize;
        let gaps: Vec<u64> = poisson(17, TAU.0 / ratio).take(count).collect();
        let walked = walk(17, TAU, gaps.iter().copied());
        let times: Vec<u64> = gaps
            .iter()
            .scan(0, |now, gap| {
                *now += gap;
                Some(*now)
            })
            .collect();
        let mut blocks: Vec<f64> = Vec::new();
        let mut later = 0;
        for (at, (z, _)) in times.iter().zip(&walked) {
            while later < times.len() && times[later] < at + TAU.0 / 2 {
                later += 1;
            }
            let Some((time, (other, _))) = times.get(later).zip(walked.get(later)) else { break };
            let rho = (-((time - at) as f64) / TAU.0 as f64).exp();
            let block = (at / (20 * TAU.0)) as usize;
            blocks.resize(blocks.len().max(block + 1), 0.0);
            blocks[block] += z * other - rho;
        }
        let n = blocks.len() as f64;
        let mean = blocks.iter().sum::<f64>() / n;
        let sigma = (blocks.iter().map(|block| (block - mean).powi(2)).sum::<f64>() / (n - 1.0)).sqrt();
        assert!(n > 1_000.0, "{n} blocks");
        assert!(mean.abs() < Z_999 * sigma / n.sqrt(), "1/{ratio}: {mean} against {}", sigma / n.sqrt());
    }
}

#[test]
fn uniform_draws_correlate_by_the_arcsine_of_the_process() {
    let walked = regular(19, TAU, TAU.0 / 4, 2_000_000);
    let centred: Vec<f64> = walked.iter().map(|(_, draw)| probability(*draw) - 0.5).collect();
    let n = (centred.len() - 1) as f64;
    let found = 12.0 * centred.iter().zip(&centred[1..]).map(|(l, r)| l * r).sum::<f64>() / n;
    let expected = 6.0 / std::f64::consts::PI * ((-0.25f64).exp() / 2.0).asin();
    // Blocks of 100 packets, 25 time constants, are as good as independent.
    let blocks: Vec<f64> = centred
        .chunks_exact(100)
        .map(|block| 12.0 * block.windows(2).map(|pair| pair[0] * pair[1]).sum::<f64>() / 99.0)
        .collect();
    let mean = blocks.iter().sum::<f64>() / blocks.len() as f64;
    let variance = blocks.iter().map(|block| (block - mean).powi(2)).sum::<f64>() / (blocks.len() - 1) as f64;
    let allowed = Z_999 * (variance / blocks.len() as f64).sqrt();
    assert!((found - expected).abs() < allowed, "{found} instead of {expected}, allowed {allowed:e}");
}

#[test]
fn time_too_short_to_count_adds_up() {
    // 2^-20 time constants a packet: every 64th brings the value up to date.
    let per_nano = per_nano(TAU).unwrap();
    let mut process = Process::default();
    let mut updates = 0;
    for index in 0..64_001u64 {
        let before = process;
        let draw = advance(&mut process, per_nano, Nanos(SECOND + index * (TAU.0 >> 20)), index as u32);
        if process.at == before.at {
            assert_eq!(process, before);
            assert_eq!(draw, advance(&mut before.clone(), per_nano, before.at, 0));
        } else {
            updates += 1;
            assert_eq!(process.at.0, SECOND + index * (TAU.0 >> 20));
        }
    }
    assert_eq!(updates, 1_001);
}

#[test]
fn a_packet_that_comes_at_the_same_time_or_earlier_gets_the_same_draw() {
    let per_nano = per_nano(TAU).unwrap();
    let mut process = Process::default();
    let first = advance(&mut process, per_nano, Nanos(SECOND), 12_345);
    let begun = process;
    for (now, draw) in [(SECOND, 1), (SECOND - 1, 2), (0, 3)] {
        assert_eq!(advance(&mut process, per_nano, Nanos(now), draw), first);
        assert_eq!(process, begun);
    }
    assert_ne!(advance(&mut process, per_nano, Nanos(SECOND + TAU.0), 4), first);
}

#[test]
fn the_first_packet_takes_its_own_draw_and_so_does_one_after_16_time_constants() {
    let per_nano = per_nano(TAU).unwrap();
    for draw in (0..100_000u32).map(|number| number.wrapping_mul(2_654_435_761)) {
        for before in [Process::default(), Process { z: 5 << SIGMA_SHIFT, at: Nanos(SECOND) }] {
            let mut process = before;
            let got = advance(&mut process, per_nano, Nanos(SECOND + 16 * TAU.0), draw);
            assert!(got.abs_diff(draw) <= 104 || process.z == 0, "{draw:x} became {got:x}");
        }
    }
    let mut at_zero = Process::default();
    let _ = advance(&mut at_zero, per_nano, Nanos::ZERO, 7);
    assert_eq!(at_zero.at, Nanos(1));
}

#[test]
fn time_constants_of_a_nanosecond_to_an_hour_are_taken() {
    assert_eq!((per_nano(Nanos::ZERO), per_nano(Nanos(LONGEST_TIME_CONSTANT.0 + 1))), (None, None));
    for tau in [1, 2, 3, 1_000, 20_000_000, 1 << 40, LONGEST_TIME_CONSTANT.0] {
        let kept = 2f64.powi(58) / per_nano(Nanos(tau)).unwrap() as f64;
        assert!((kept / tau as f64 - 1.0).abs() < 1e-5, "{tau} became {kept}");
    }
    for tau in [Nanos(1_000), LONGEST_TIME_CONSTANT] {
        let walked = regular(23, tau, tau.0 / 2, 200_000);
        let sample: Vec<u32> = walked.iter().step_by(10).map(|(_, draw)| *draw).collect();
        assert_uniform(&sample, &format!("{tau:?}"));
        let n = (walked.len() - 1) as f64;
        let found = walked.windows(2).map(|pair| pair[0].0 * pair[1].0).sum::<f64>() / n;
        // The variance of a product of two values with correlation rho, and its sums over lags, is below 1 + 3 rho^2
        // over 1 - rho^2.
        let rho = (-0.5f64).exp();
        let allowed = Z_999 * ((1.0 + 3.0 * rho * rho) / (1.0 - rho * rho) / n).sqrt();
        assert!((found - rho).abs() < allowed, "{tau:?}: {found} instead of {rho}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_input_overflows(z: i64, at: u64, per_nano: u64, now: u64, draw: u32) {
        let mut process = Process { z, at: Nanos(at) };
        let _ = advance(&mut process, per_nano, Nanos(now), draw);
    }

    #[test]
    fn a_step_is_that_of_floating_point(
        z in -(6i64 << 28)..6 << 28,
        tau in 1_000u64..3_600_000_000_000,
        octaves in -13.9f64..3.99,
        draw: u32,
    ) {
        let gap = (tau as f64 * octaves.exp2()).round() as u64;
        let mut process = Process { z, at: Nanos(SECOND) };
        let _ = advance(&mut process, per_nano(Nanos(tau)).unwrap(), Nanos(SECOND + gap), draw);
        let t = gap as f64 / tau as f64;
        prop_assume!(t > 1.01 / 16_384.0);
        let deviate = shaper_common::normal::deviate(draw);
        let e = f64::from(deviate.magnitude) / f64::from(1 << 24) * if deviate.negative { -1.0 } else { 1.0 };
        let expected = (-t).exp() * sigmas(z) + (-(-2.0 * t).exp_m1()).sqrt() * e;
        prop_assert!((sigmas(process.z) - expected).abs() < 6e-4, "{} instead of {}", sigmas(process.z), expected);
    }
}
