//! Delays by tables of quantiles: what comes out against what was asked for, and tables read from text.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use proptest::prelude::*;
use shaper_common::delay::Jitter;
use shaper_common::rng::Source;
use shaper_common::units::Nanos;
use shaper_profile::distribution::{DelayDistribution, Shape, TableFile, Unit, quantiles};

const MILLI: u64 = 1_000_000;
const HOUR: Nanos = Nanos(3_600_000 * MILLI);
const MILLION: u64 = 1_000_000;

/// Two-sided 99.9 % quantile of the standard normal distribution.
const Z_999: f64 = 3.290_527;
/// What the realised distribution function may be off.
const BOUND: f64 = 1e-4;

fn realised(shape: &Shape, base: u64, jitter: u64) -> DelayDistribution {
    DelayDistribution::of_table(quantiles(shape, Nanos(base), Nanos(jitter)))
}

fn table(text: &str) -> Shape {
    Shape::Table(TableFile::read_quantiles("delays.txt", text).unwrap())
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

/// The Pareto quantile by upper tail, from its definition.
fn pareto(u: f64) -> f64 {
    (u.cbrt().recip() - 1.5) / 0.75f64.sqrt()
}

/// Pairs of a share above and the quantile in sigmas, all over the distribution and far out, for the curve
/// `normal_part * normal + pareto_part * pareto`.
fn curve(normal_part: f64, pareto_part: f64) -> Vec<(f64, f64)> {
    // By the deviate, so that no normal quantile is needed: fine steps, and none of them at an entry of the table.
    (-65_000..=65_000)
        .map(|step| {
            let z = f64::from(step) / 10_007.0;
            let u = upper_tail(z);
            (u, normal_part * z + pareto_part * pareto(u))
        })
        .collect()
}

/// Asserts that the delays `base + jitter * q` of these quantiles, cut at zero, come out.
fn assert_realised(delay: &DelayDistribution, curve: &[(f64, f64)], base: u64, jitter: u64, what: &str) {
    let mut worst = 0f64;
    for (u, q) in curve {
        let at = base as f64 + jitter as f64 * q;
        if at < 0.0 {
            worst = worst.max((1.0 - u) - delay.zero_share());
            continue;
        }
        // Delays are whole nanoseconds: those at the rounded value may stand on either side.
        let (below, reached) = ((at - 1.0).max(0.0) as u64, at as u64 + 1);
        worst = worst.max((1.0 - u) - delay.cdf(Nanos(reached)));
        if at >= 1.0 {
            worst = worst.max(delay.cdf(Nanos(below)) - (1.0 - u));
        }
    }
    assert!(worst < BOUND, "{what} at {base} +- {jitter}: the distribution function is off by {worst:e}");
}

#[test]
fn the_curves_come_out_as_their_formulas_say_cut_and_not_cut() {
    let of_pareto = curve(0.0, 1.0);
    // The variance of a quarter normal and three quarters Pareto, from their covariance.
    let step = 1.0 / 10_007.0;
    let covariance: f64 = (-120_000..=120_000)
        .map(|number| f64::from(number) * step)
        .map(|z| z * pareto(upper_tail(z)) * (-0.5 * z * z).exp() / (2.0 * std::f64::consts::PI).sqrt() * step)
        .sum();
    let sigma = (10.0 / 16.0 + 6.0 / 16.0 * covariance).sqrt();
    let of_both = curve(0.25 / sigma, 0.75 / sigma);
    for (base, jitter) in
        [(50 * MILLI, 10 * MILLI), (5 * MILLI, 10 * MILLI), (0, 10 * MILLI), (HOUR.0, HOUR.0), (1_000, 100)]
    {
        assert_realised(&realised(&Shape::Pareto, base, jitter), &of_pareto, base, jitter, "pareto");
        let both = realised(&Shape::ParetoNormal, base, jitter);
        assert_realised(&both, &of_both, base, jitter, "paretonormal");
    }
}

#[test]
fn a_normal_curve_of_many_points_comes_out() {
    let points: Vec<(f64, f64)> =
        (-2_000..=2_000).map(|step| f64::from(step) / 300.0).map(|z| (upper_tail(z), z)).collect();
    let mut text = format!("0 {}\n", points[0].1);
    for (u, z) in &points {
        // Digits enough for tails of 1e-11; what is no larger than the last probability is left out.
        let p = 1.0 - u;
        if p > 0.0 && p < 1.0 {
            text.push_str(&format!("{p:e} {z}\n"));
        }
    }
    text.push_str("1 6.7\n");
    let normal = realised(&table(&text), 100 * MILLI, 10 * MILLI);
    assert_realised(&normal, &curve(1.0, 0.0), 100 * MILLI, 10 * MILLI, "normal");
    let cut = realised(&table(&text), 15 * MILLI, 30 * MILLI);
    assert_realised(&cut, &curve(1.0, 0.0), 15 * MILLI, 30 * MILLI, "normal, cut");
    assert!((cut.zero_share() - upper_tail(0.5)).abs() < BOUND);
}

#[test]
fn the_mean_of_a_million_draws_is_the_stated_one() {
    let bimodal = table("0 5ms\n0.9 6ms\n0.9000001 180ms\n1 200ms");
    for (shape, base, jitter) in [
        (Shape::Pareto, 50 * MILLI, 10 * MILLI),
        (Shape::Pareto, MILLI, 10 * MILLI),
        (Shape::ParetoNormal, 20 * MILLI, 10 * MILLI),
        (bimodal, 0, 0),
    ] {
        let fitted = quantiles(&shape, Nanos(base), Nanos(jitter));
        let sum: f64 = (0..MILLION)
            .map(|index| fitted.quantiles.delay(Source::of_link(7, 3, index).draws().jitter).0 as f64)
            .sum();
        let delay = DelayDistribution::of_table(fitted);
        let (mean, sigma) = (delay.mean().0 as f64, delay.sigma().0 as f64);
        let off = sum / MILLION as f64 - mean;
        assert!(off.abs() < Z_999 * sigma / 1e3, "{shape} at {base}: off by {off}, sigma {sigma}");
    }
}

#[test]
fn mean_and_sigma_of_the_curves_are_those_of_the_settings() {
    for shape in [Shape::Pareto, Shape::ParetoNormal] {
        let delay = realised(&shape, 100 * MILLI, 10 * MILLI);
        assert!(delay.mean().0.abs_diff(100 * MILLI) < 2_000, "{shape}: {:?}", delay.mean());
        // What lies beyond the draws of 2^-32 is a few thousandths of a Pareto's variance.
        let sigma = delay.sigma().0 as f64 / 1e7;
        assert!((0.998..1.0005).contains(&sigma), "{shape}: {sigma}");
        assert!(!delay.is_cut() && delay.kind() == Jitter::Table);
        assert!(delay.max() > Nanos(10_000 * MILLI));
    }
}

#[test]
fn what_is_stated_is_counted_in_the_table_itself() {
    for delay in [
        realised(&Shape::Pareto, 2 * MILLI, 10 * MILLI),
        realised(&Shape::ParetoNormal, 30 * MILLI, 10 * MILLI),
        realised(&table("0 1ms\n0.3 1ms\n0.300001 40ms\n1 50ms"), 0, 0),
    ] {
        let quantiles = delay.table().unwrap();
        // Every 4099th draw, from the middle of the first stretch on.
        let mut drawn: Vec<u64> = (2_049..=u32::MAX).step_by(4_099).map(|draw| quantiles.delay(draw).0).collect();
        drawn.sort_unstable();
        let count = drawn.len() as f64;
        for rank in (0..drawn.len()).step_by(997) {
            let at = drawn[rank];
            let reached = drawn.partition_point(|other| *other <= at) as f64 / count;
            assert!((delay.cdf(Nanos(at)) - reached).abs() < 1e-5, "{at}");
        }
        for share in [1e-9, 1e-4, 0.1, 0.25, 0.5, 0.77, 0.95, 0.999, 0.999_999, 1.0] {
            let at = delay.quantile(share);
            assert!(delay.cdf(at) >= share, "{share}");
            assert!(at == Nanos::ZERO || delay.cdf(Nanos(at.0 - 1)) < share, "{share}");
        }
        assert_eq!((delay.quantile(1.0), delay.cdf(delay.max())), (delay.max(), 1.0));
        assert_eq!(delay.quantile(2f64.powi(-32)), delay.min());
        let mean = drawn.iter().map(|at| *at as f64).sum::<f64>() / count;
        let square = drawn.iter().map(|at| (*at as f64 - mean).powi(2)).sum::<f64>() / count;
        assert!((delay.mean().0 as f64 / mean - 1.0).abs() < 1e-3, "{:?} {mean}", delay.mean());
        // The grid catches few of the largest, in which much of a Pareto's variance lies.
        assert!((delay.sigma().0 as f64 / square.sqrt() - 1.0).abs() < 0.02, "{:?} {}", delay.sigma(), square.sqrt());
    }
}

#[test]
fn a_small_table_of_delays_comes_out_exactly() {
    let points: [(f64, f64); 9] = [
        (0.0, 2.0),
        (0.11, 4.0),
        (0.3, 4.5),
        (0.3000001, 40.0),
        (0.75, 41.0),
        (0.7500001, 80.0),
        (0.99, 90.0),
        (0.9999, 500.0),
        (1.0, 800.0),
    ];
    let text: String = points.iter().map(|(p, ms)| format!("{p} {ms}ms # a point\n")).collect();
    let fitted = quantiles(&table(&text), Nanos::ZERO, Nanos::ZERO);
    assert!(fitted.error < 1e-9 && fitted.cut_share == 0.0);
    let delay = DelayDistribution::of_table(fitted);
    for pair in points.windows(2) {
        for part in [0.001, 0.25, 0.5, 0.9, 0.999] {
            let p = pair[0].0 + part * (pair[1].0 - pair[0].0);
            let at = Nanos(((pair[0].1 + part * (pair[1].1 - pair[0].1)) * 1e6).round() as u64);
            // The nanosecond that delays are rounded to.
            let (low, high) = (delay.cdf(Nanos(at.0 - 1)), delay.cdf(Nanos(at.0 + 1)));
            assert!(low - 1e-9 <= p && p <= high + 1e-9, "{p}: {at:?} has {low} to {high}");
        }
    }
    // 1e-7 of packets lie between two modes, as written.
    assert!((delay.cdf(Nanos(39 * MILLI)) - delay.cdf(Nanos(5 * MILLI))).abs() < 1.2e-7);
    assert_eq!(delay.min(), Nanos(2 * MILLI));
    assert!(delay.max() <= Nanos(800 * MILLI) && delay.max() > Nanos(799 * MILLI));
    // The base is added, the jitter says nothing.
    let shifted = realised(&table(&text), 7 * MILLI, 123 * MILLI);
    assert_eq!(shifted.min(), Nanos(9 * MILLI));
    assert_eq!(shifted.cdf(Nanos(47 * MILLI)), delay.cdf(Nanos(40 * MILLI)));
}

#[test]
fn a_leap_at_once_leaves_nothing_between_wherever_it_stands() {
    // Among them entries of the table, the median, and the first and last draws that a knot can stand between.
    for at in [0.5, 0.25, 0.75, 0.1, 0.9, 0.33, 0.66, 0.001, 0.999, 0.484_375, 0.515_625] {
        let text = format!("0 5ms\n{at} 5ms\n{:.17} 40ms\n1 40ms", at + 1e-13);
        let fitted = quantiles(&table(&text), Nanos::ZERO, Nanos::ZERO);
        let delay = DelayDistribution::of_table(fitted);
        assert_eq!((delay.min(), delay.max()), (Nanos(5 * MILLI), Nanos(40 * MILLI)));
        let (below, reached) = (delay.cdf(Nanos(5 * MILLI)), delay.cdf(Nanos(40 * MILLI - 1)));
        // One draw in 2^32 lies between at the most: where a leap does not fall on a place for knots.
        assert!(reached - below <= 2f64.powi(-32), "{at}: {:e} between", reached - below);
        assert!((below - at).abs() < 1e-9, "{at}: {below}");
    }
}

#[test]
fn the_cut_at_zero_keeps_the_share_to_the_draw() {
    // A triangle in sigmas: the cut falls into the middle of a stretch.
    let shape = table("0 -2\n0.5 0\n1 2");
    let fitted = quantiles(&shape, Nanos(10 * MILLI), Nanos(10 * MILLI));
    assert!((fitted.cut_share - 0.25).abs() < 1e-9);
    let delay = DelayDistribution::of_table(fitted);
    assert!((delay.zero_share() - 0.25).abs() < 1e-6 && delay.is_cut());
    // Uniform on -10 to 30 ms: (d + j)^2 / 4j.
    assert!(delay.mean().0.abs_diff(11_250_000) < 20);
    assert!(!realised(&shape, 20 * MILLI, 10 * MILLI).is_cut());
    // A table of delays that has zeros is not cut.
    let zeros = realised(&table("0 0\n0.5 0\n1 20ms"), 0, 0);
    assert!(!zeros.is_cut() && (zeros.zero_share() - 0.5).abs() < 1e-6);
}

#[test]
fn a_table_of_more_points_than_knots_is_off_by_no_more_than_it_says() {
    // Two humps with next to nothing between, 1000 points as a measurement would give them.
    let hump = |p: f64| {
        let own = if p < 0.37 { p / 0.37 } else { (p - 0.37) / 0.63 };
        let skewed = (own * std::f64::consts::FRAC_PI_2).sin();
        if p < 0.37 { 10.0 + 5.0 * skewed } else { 60.0 + 20.0 * skewed }
    };
    let points: Vec<(f64, f64)> = (0..=1_000).map(|number| f64::from(number) / 1_000.0).map(|p| (p, hump(p))).collect();
    let text: String = points.iter().map(|(p, ms)| format!("{p} {ms:.6}ms\n")).collect();
    let fitted = quantiles(&table(&text), Nanos::ZERO, Nanos::ZERO);
    let said = fitted.error;
    assert!(said > 0.0 && said < BOUND, "{said:e}");
    let delay = DelayDistribution::of_table(fitted);
    for (p, ms) in &points[..1_000] {
        let at = (ms * 1e6).round() as u64;
        let (low, high) = (delay.cdf(Nanos(at - 1)), delay.cdf(Nanos(at + 1)));
        assert!(low - said - 1e-9 <= *p && *p <= high + said + 1e-9, "{p}: {low} to {high}, said {said:e}");
    }
}

#[test]
fn a_dist_file_is_read_as_netem_has_it() {
    let text = "# a table\n 8192 -8192\t0 # unsorted\n\n4096\n";
    let file = TableFile::read_dist("four.dist", text).unwrap();
    assert_eq!((file.name(), file.unit()), ("four.dist", Unit::Sigma));
    // -1, 0, 1/2 and 1 at 1/8, 3/8, 5/8 and 7/8, and constant beyond the first and last.
    let pieces = [(0.125, -1.0, -1.0), (0.25, -1.0, 0.0), (0.25, 0.0, 0.5), (0.25, 0.5, 1.0), (0.125, 1.0, 1.0f64)];
    let mean: f64 = pieces.iter().map(|(share, from, to)| share * (from + to) / 2.0).sum();
    let square: f64 = pieces.iter().map(|(share, from, to)| share * (from * from + from * to + to * to) / 3.0).sum();
    assert!((file.mean() - mean).abs() < 1e-12 && (file.sigma() - (square - mean * mean).sqrt()).abs() < 1e-12);
    let delay = realised(&Shape::Table(file), 10 * MILLI, 4 * MILLI);
    assert_eq!((delay.min(), delay.max()), (Nanos(6 * MILLI), Nanos(14 * MILLI)));
    assert!((delay.cdf(Nanos(6 * MILLI)) - 0.125).abs() < 1e-6);
    assert!((delay.cdf(Nanos(10 * MILLI)) - 0.375).abs() < 1e-6);
    assert!((delay.mean().0 as f64 - (10.0 + 4.0 * mean) * 1e6).abs() < 2.0);
}

#[test]
fn a_dist_file_of_thousands_of_entries_comes_out() {
    // Two modes and a leap between, in whole 8192ths of a sigma as a script would make them from a measurement.
    let values: Vec<i64> = (0..4_096)
        .map(|number| (f64::from(number) + 0.5) / 4_096.0)
        .map(|p| {
            if p < 0.6 {
                -8.0 - 4.0 * (0.6 - p) - 10.0 * (0.6 - p).powi(2)
            } else {
                12.0 + 4.0 * (p - 0.6) + 30.0 * (p - 0.6).powi(2)
            }
        })
        .map(|sigmas| (sigmas * 8_192.0).round() as i64)
        .collect();
    let text: Vec<String> = values.iter().map(i64::to_string).collect();
    let file = TableFile::read_dist("valley.dist", &text.join(" ")).unwrap();
    let delay = realised(&Shape::Table(file), 200 * MILLI, 10 * MILLI);
    for (number, value) in values.iter().enumerate() {
        // Entries of equal value share one step: the last of them counts.
        if values.get(number + 1) != Some(value) {
            let at = Nanos((2e8 + *value as f64 / 8_192.0 * 1e7).round() as u64);
            // The flat end holds half an entry more.
            let p = if number == 4_095 { 1.0 } else { (number as f64 + 0.5) / 4_096.0 };
            assert!((delay.cdf(at) - p).abs() < BOUND, "{number}: {} instead of {p}", delay.cdf(at));
        }
    }
}

#[test]
fn what_is_no_dist_file_is_refused_with_its_line() {
    for (text, expected) in [
        ("", "t.dist:1: the table ends with 0 numbers, and a distribution takes two or more"),
        ("# only words\n\n5", "t.dist:3: the table ends with 1 numbers, and a distribution takes two or more"),
        ("1 2\n3 four", "t.dist:2: \"four\" is no whole number; the table holds such as -5034 0 12288"),
        ("1 2\n\n1.5", "t.dist:3: \"1.5\" is no whole number; the table holds such as -5034 0 12288"),
        ("1 99999999999", "t.dist:1: 99999999999 is more than 10000 sigma, which are 8192 each"),
        (
            "1 99999999999999999999",
            "t.dist:1: \"99999999999999999999\" is no whole number; the table holds such as -5034 0 12288",
        ),
        ("1 -9223372036854775808", "t.dist:1: -9223372036854775808 is more than 10000 sigma, which are 8192 each"),
    ] {
        assert_eq!(TableFile::read_dist("t.dist", text).unwrap_err().to_string(), expected);
    }
}

#[test]
fn what_is_no_table_of_quantiles_is_refused_with_its_line() {
    for (text, expected) in [
        ("", "t:1: the table holds no point; write a line such as 0.5 12.5ms for each"),
        ("0 1ms", "t:1: the last probability is 0 and must be 1"),
        ("0 1ms\n0.5 2ms\n# end", "t:2: the last probability is 0.5 and must be 1"),
        ("# head\n0.1 1ms\n1 2ms", "t:2: the first probability is 0.1 and must be 0"),
        ("0 1ms\n0.5 2ms\n0.5 3ms\n1 4ms", "t:3: the probability 0.5 follows 0.5; each must be larger than the last"),
        ("0 2ms\n1 1ms", "t:2: the value is smaller than the last one; quantiles never fall"),
        ("0 1ms\n1.5 2ms", "t:2: \"1.5\" is no probability; write a number from 0 to 1, such as 0.95"),
        ("0 1ms\nNaN 2ms", "t:2: \"NaN\" is no probability; write a number from 0 to 1, such as 0.95"),
        ("0 1ms\n1", "t:2: \"1\" is no point; write for example 0.5 12.5ms"),
        ("0 1ms\n1 2", "t:2: values are delays with units or numbers of sigmas without; this table has both"),
        ("0 -1\n1 2ms", "t:2: values are delays with units or numbers of sigmas without; this table has both"),
        ("0 -1\n1 inf", "t:2: inf is no number of sigmas up to 10000"),
        ("0 1ms\n1 2h", "t:2: 7200 s is longer than an hour"),
        (
            "0 1ms\n1 2m",
            "t:2: \"2m\" is no duration: unit \"m\" is ambiguous: minutes or milliseconds: write min or ms; write for example \"20ms\"",
        ),
    ] {
        assert_eq!(TableFile::read_quantiles("t", text).unwrap_err().to_string(), expected);
    }
    // A bare zero is zero in either unit, before the unit is known and after.
    assert_eq!(TableFile::read_quantiles("t", "0 0\n1 5 ms").unwrap().unit(), Unit::Delay);
    assert_eq!(TableFile::read_quantiles("t", "0 -1\n0.5 0\n1 1").unwrap().unit(), Unit::Sigma);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn any_table_that_reads_rises_and_keeps_its_points(
        steps in prop::collection::vec((1u32..1_000_000, prop_oneof![Just(0u32), 1u32..50_000]), 1..200),
        base in prop_oneof![Just(0), 0u64..20 * MILLI],
    ) {
        let total: f64 = steps.iter().map(|(width, _)| f64::from(*width)).sum();
        let (mut reached, mut value) = (0.0, 3u64);
        let mut points = vec![(0.0, value)];
        for (width, rise) in &steps {
            reached += f64::from(*width);
            value += u64::from(*rise) * 1_000;
            points.push((reached / total, value));
        }
        let text: String = points.iter().map(|(p, ns)| format!("{p} {ns}ns\n")).collect();
        let fitted = quantiles(&table(&text), Nanos(base), Nanos::ZERO);
        let said = fitted.error;
        prop_assert!(points.len() > 63 || said < 1e-8);
        let mut last = Nanos::ZERO;
        for draw in (1u32 << 31..=u32::MAX).step_by(99_991).chain((0..1u32 << 31).rev().step_by(99_991)) {
            let delay = fitted.quantiles.delay(draw);
            prop_assert!(delay >= last);
            last = delay;
        }
        let delay = DelayDistribution::of_table(fitted);
        for (place, (p, ns)) in points.iter().enumerate() {
            // Of points with one value the last one is its share.
            if points.get(place + 1).is_some_and(|next| next.1 > *ns) {
                // A nanosecond's rounding, where values are dense.
                let (low, high) = (delay.cdf(Nanos((base + ns).saturating_sub(1))), delay.cdf(Nanos(base + ns + 1)));
                prop_assert!(low - said - 1e-8 <= *p && *p <= high + said + 1e-8, "{p} at {ns}: {low} to {high}");
            }
        }
    }
}
