//! Proportions held against a configured probability: loss, and the share of an atom.

use super::binomial::{binomial_p, clopper_pearson};
use super::{Agreement, Check, Level};
use crate::stats::Interval;
use crate::words::{about, count as grouped, percent};

/// How far a ratio may lie from the configured one and still agree: one percentage point, and a tenth of
/// the ratio. 10,000 packets decide for any ratio up to a half.
#[must_use]
pub fn ratio_tolerance(configured: f64) -> f64 {
    0.01 + 0.1 * configured
}

/// Loss: `lost` by the loss model among the `offered` packets outside outage windows. `inflation` is how many times
/// larger the variance of their ratio is than that of packets lost each on its own, 1 for those: so many packets of a
/// stream in which losses are correlated say as much as one.
///
/// Agrees where `configured` lies in the exact interval and the interval within `tolerance` of it. A
/// configured ratio of 0 or 1 admits no exception; any other is not confirmed by a link that loses nothing,
/// or everything, however close to it that is.
#[must_use]
pub fn loss(level: Level, lost: u64, offered: u64, configured: f64, tolerance: f64, inflation: f64) -> Check {
    let counted = Counted { count: lost, of: offered, inflation };
    ratio("loss", level, counted, configured, tolerance, Some("lost"))
}

/// What was counted, and how little a packet says.
#[derive(Clone, Copy)]
pub(super) struct Counted {
    pub(super) count: u64,
    pub(super) of: u64,
    pub(super) inflation: f64,
}

impl Counted {
    /// The effective sample: as many independent packets as say as much.
    fn effective(self) -> (u64, u64) {
        let of = (self.of as f64 / self.inflation).floor() as u64;
        (((self.count as f64 / self.inflation).round() as u64).min(of), of)
    }
}

/// A proportion against a configured probability. `seen` says what must have happened to some packets and
/// not to all, where the probability is neither 0 nor 1.
pub(super) fn ratio(
    name: &str,
    level: Level,
    counted: Counted,
    configured: f64,
    tolerance: f64,
    seen: Option<&str>,
) -> Check {
    let error = level.0;
    let Counted { count, of, inflation } = counted;
    let (effective, of_effective) = counted.effective();
    let interval = clopper_pearson(effective, of_effective, error);
    let p = binomial_p(effective, of_effective, configured);
    let band = Interval { low: configured - tolerance, high: configured + tolerance };
    let exact = configured <= 0.0 || configured >= 1.0;
    let to_see = if seen.is_some() { needed_to_see(configured, error) } else { 1 };
    let needed = if exact { 1 } else { needed_for_ratio(configured, tolerance, error).max(to_see) };
    let needed_n = if exact { 1 } else { (needed as f64 * inflation).ceil() as u64 };
    // Short of these the interval holds 0, or 1.
    let unseen = seen.filter(|_| !exact && (interval.low <= 0.0 || interval.high >= 1.0));
    let result = if of == 0 {
        Agreement::TooFew
    } else if exact {
        let expected = if configured <= 0.0 { 0 } else { of };
        if count == expected { Agreement::Yes } else { Agreement::No }
    } else if p < error {
        Agreement::No
    } else if unseen.is_none() && band.covers(&interval) {
        Agreement::Yes
    } else {
        Agreement::TooFew
    };
    let share = |value: f64| format!("{:.2} %", 100.0 * value);
    let measured = (of > 0).then(|| count as f64 / of as f64);
    let detail = match (result, measured) {
        (Agreement::TooFew, Some(_)) if let Some(seen) = unseen => {
            format!(
                "{} of {} packets {seen} cannot tell {} from {}: about {} can",
                grouped(count),
                grouped(of),
                percent(configured),
                if count == 0 { "none" } else { "all" },
                about(needed_n)
            )
        }
        (Agreement::TooFew, _) => {
            format!(
                "{} packets cannot tell {} to within {:.2} points: about {} can",
                grouped(of),
                share(configured),
                100.0 * tolerance,
                about(needed_n)
            )
        }
        (_, Some(measured)) if exact => {
            format!("{} of {}: {}", grouped(count), grouped(of), share(measured))
        }
        (_, Some(measured)) => {
            format!(
                "{} of {}, between {} and {}",
                share(measured),
                grouped(of),
                share(interval.low),
                share(interval.high)
            )
        }
        (_, None) => String::new(),
    };
    Check {
        name: name.to_owned(),
        unit: "ratio".to_owned(),
        configured,
        measured,
        interval: Some(interval),
        tolerance: if exact { 0.0 } else { tolerance },
        p: Some(p),
        n: of,
        needed_n,
        result,
        detail,
    }
}

/// The packets with which the interval of a proportion at its configured value takes 70 % of the tolerance
/// to either side: the rest is left for chance.
fn needed_for_ratio(configured: f64, tolerance: f64, error: f64) -> u64 {
    const MOST: u64 = 1 << 30;
    let narrow = |n: u64| {
        let interval = clopper_pearson((n as f64 * configured).round() as u64, n, error);
        (interval.high - configured).max(configured - interval.low) <= 0.7 * tolerance
    };
    let mut enough = 16;
    while enough < MOST && !narrow(enough) {
        enough *= 2;
    }
    let mut short = enough / 2;
    while enough - short > enough.div_ceil(64) {
        let middle = short.midpoint(enough);
        if narrow(middle) {
            enough = middle;
        } else {
            short = middle;
        }
    }
    enough
}

/// The packets of which all were spared, or all hit, with a probability that refutes the configured one.
fn needed_to_see(configured: f64, error: f64) -> u64 {
    let rarer = configured.min(1.0 - configured);
    if rarer > 0.0 { ((0.5 * error).ln() / (-rarer).ln_1p()).ceil() as u64 } else { 1 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agreement::intended_delays;
    use crate::agreement::testing::Uniform;

    /// A check's share in a run of 8 checks.
    const LEVEL: f64 = 0.001 / 8.0;

    fn loss_of(lost: u64, offered: u64, configured: f64) -> Agreement {
        loss(Level(LEVEL), lost, offered, configured, ratio_tolerance(configured), 1.0).result
    }

    #[test]
    fn ten_thousand_packets_decide_every_preset_and_do_not_refute_the_truth() {
        let mut uniform = Uniform::seeded(1);
        for ratio in [0.05, 0.1, 0.2, 0.15, 0.08] {
            let mut yes = 0;
            for _ in 0..60 {
                match loss_of(uniform.count(10_000, ratio), 10_000, ratio) {
                    Agreement::Yes => yes += 1,
                    Agreement::No => panic!("a true loss of {ratio} was refuted"),
                    Agreement::TooFew => {}
                }
            }
            assert!(yes >= 57, "loss of {ratio}: only {yes} of 60 runs could say yes");
        }
    }

    /// A chain of two states, bad for 20 packets in the mean: that ratio varies like that of a 30th of the packets.
    #[test]
    fn correlated_losses_say_less_and_do_not_refute_the_truth() {
        let (ratio, burst) = (0.05, 20.0);
        let (begin, end) = (ratio / ((1.0 - ratio) * burst), 1.0 / burst);
        let rho: f64 = 1.0 - begin - end;
        let inflation = (1.0 + rho) / (1.0 - rho);
        let (mut refuted, mut alone, mut agree) = (0, 0, 0);
        for seed in 1..=300 {
            let mut uniform = Uniform::seeded(seed);
            let (mut bad, mut lost) = (uniform.draw() < ratio, 0);
            for _ in 0..40_000 {
                lost += u64::from(bad);
                bad = if bad { uniform.draw() >= end } else { uniform.draw() < begin };
            }
            let judged = |inflation| loss(Level(0.001), lost, 40_000, ratio, ratio_tolerance(ratio), inflation);
            refuted += u32::from(judged(inflation).result == Agreement::No);
            agree += u32::from(judged(inflation).result == Agreement::Yes);
            alone += u32::from(judged(1.0).result == Agreement::No);
        }
        assert!(refuted <= 3 && alone > 100, "{refuted} of 300 refuted, {alone} as if each were lost on its own");
        assert!(agree == 0, "{agree} of 300 confirmed by too few packets");
        let enough = loss(Level(0.001), 20_000, 400_000, ratio, ratio_tolerance(ratio), inflation);
        assert_eq!(enough.result, Agreement::Yes, "{}", enough.detail);
        assert!((100_000..400_000).contains(&enough.needed_n), "{}", enough.needed_n);
    }

    #[test]
    fn a_wrong_loss_is_refuted_and_a_short_run_says_too_few() {
        assert_eq!(loss_of(700, 10_000, 0.05), Agreement::No);
        assert_eq!(loss_of(300, 10_000, 0.05), Agreement::No);
        assert_eq!(loss_of(30, 600, 0.05), Agreement::TooFew);
        assert_eq!(loss_of(0, 0, 0.05), Agreement::TooFew);
        let few = loss(Level(LEVEL), 30, 600, 0.05, ratio_tolerance(0.05), 1.0);
        assert!((5_000..10_000).contains(&few.needed_n), "needs {}", few.needed_n);
        assert!(few.detail.contains("600 packets cannot tell 5.00 %"), "{}", few.detail);
    }

    #[test]
    fn a_loss_of_none_admits_no_exception() {
        assert_eq!(loss_of(0, 10, 0.0), Agreement::Yes);
        assert_eq!(loss_of(1, 1_000_000, 0.0), Agreement::No);
        assert_eq!(loss_of(10, 10, 1.0), Agreement::Yes);
    }

    #[test]
    fn a_small_loss_is_not_confirmed_by_a_link_that_loses_nothing() {
        // 0.05 % of 10,000: five are lost on average, none in 7 of 1,000 runs.
        let rare = |lost, offered| loss(Level(LEVEL), lost, offered, 0.0005, ratio_tolerance(0.0005), 1.0);
        let none = rare(0, 10_000);
        assert_eq!(none.result, Agreement::TooFew, "{}", none.detail);
        assert_eq!(none.detail, "0 of 10,000 packets lost cannot tell 0.05 % from none: about 20,000 can");
        assert_eq!(rare(0, none.needed_n).result, Agreement::No);
        assert_eq!(rare(4, 10_000).result, Agreement::Yes);
        let all = loss(Level(LEVEL), 10_000, 10_000, 0.9995, ratio_tolerance(0.9995), 1.0);
        assert_eq!(all.result, Agreement::TooFew, "{}", all.detail);
        // A cut that next to never happens need not be seen.
        let [zero, _] = intended_delays([Level(LEVEL), Level(LEVEL)], &[1; 10_000], |_| 1.0, 1e-7);
        assert_eq!(zero.result, Agreement::Yes, "{}", zero.detail);
    }

    #[test]
    fn a_small_bias_inside_the_tolerance_is_still_refuted_where_it_is_certain() {
        assert_eq!(loss_of(52_000, 1_000_000, 0.05), Agreement::No);
    }
}
