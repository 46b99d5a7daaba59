//! The checks themselves: one function for each thing that a link can be asked for.

use super::ks::{dkw_margin, ks_distance, ks_p};
use super::proportion::{Counted, ratio, ratio_tolerance};
use super::{Agreement, Check, Level};
use crate::stats::{Interval, quantile};
use crate::words::{about, count as grouped, figure};

const NS_PER_US: f64 = 1e3;
const NS_PER_MS: f64 = 1e6;

/// How far a distribution function may lie from the configured one and still agree. 10,000 packets decide.
pub const KS_TOLERANCE: f64 = 0.05;

/// What the outage windows did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OutageCounts {
    /// Outage windows within the run.
    pub windows: u64,
    /// All packets looked at.
    pub packets: u64,
    /// Packets that arrived within a window.
    pub inside: u64,
    /// Of those, dropped for the outage.
    pub dropped_inside: u64,
    /// Packets dropped for an outage outside every window.
    pub dropped_outside: u64,
}

/// Outages: every packet within a window is dropped, none outside. Exact.
#[must_use]
pub fn outages(counts: &OutageCounts) -> Check {
    let OutageCounts { windows, packets, inside, dropped_inside, dropped_outside } = *counts;
    let (result, detail) = if dropped_inside != inside || dropped_outside != 0 {
        let passed = inside.saturating_sub(dropped_inside);
        (Agreement::No, format!("{passed} of {inside} packets passed within a window, {dropped_outside} fell outside"))
    } else if packets == 0 || (windows > 0 && inside == 0) {
        (Agreement::TooFew, format!("no packet of {packets} arrived within any of {windows} windows"))
    } else {
        (Agreement::Yes, format!("windows: {windows}; all {} packets within dropped, none outside", grouped(inside)))
    };
    Check {
        name: "outage".to_owned(),
        unit: "packets".to_owned(),
        configured: inside as f64,
        measured: Some((dropped_inside + dropped_outside) as f64),
        interval: None,
        tolerance: 0.0,
        p: None,
        n: packets,
        needed_n: 1,
        result,
        detail,
    }
}

/// Intended delays, `samples` in nanoseconds, against a configured distribution of whole nanoseconds with an
/// atom at zero: the share of the atom as a proportion, and Kolmogorov-Smirnov on the rest.
///
/// `cdf` gives the probability of a delay up to so many whole nanoseconds, the atom included; `atom` that of
/// no delay at all. Two statistical checks: a level each.
#[must_use]
pub fn intended_delays(levels: [Level; 2], samples: &[u64], cdf: impl Fn(f64) -> f64, atom: f64) -> [Check; 2] {
    let [for_atom, for_rest] = levels;
    let mut rest: Vec<f64> = samples.iter().filter(|sample| **sample > 0).map(|sample| *sample as f64).collect();
    rest.sort_unstable_by(f64::total_cmp);
    let zeros = samples.len() as u64 - rest.len() as u64;
    let counted = Counted { count: zeros, of: samples.len() as u64, inflation: 1.0 };
    let at_zero = ratio("zero delay", for_atom, counted, atom, ratio_tolerance(atom), None);
    let rest_of_it = 1.0 - atom;
    let delayed = |x: f64| if rest_of_it > 0.0 { (cdf(x) - atom) / rest_of_it } else { 1.0 };
    let distance = ks_distance(&rest, delayed, |x| delayed(x - 1.0));
    [at_zero, distribution(for_rest, distance, rest.len() as u64)]
}

/// The distance of a sample's distribution function from the configured one.
fn distribution(level: Level, distance: Option<f64>, n: u64) -> Check {
    let error = level.0;
    let margin = dkw_margin(n, error);
    let p = distance.map(|distance| ks_p(distance, n));
    let needed_n = ((2.0 / error).ln() / (2.0 * (0.7 * KS_TOLERANCE).powi(2))).ceil() as u64;
    let (result, detail) = match (distance, p) {
        (Some(distance), Some(p)) if p < error => {
            (Agreement::No, format!("distance {distance:.4} of {} delays has probability {p:.1e}", grouped(n)))
        }
        (Some(distance), Some(p)) if distance + margin <= KS_TOLERANCE => {
            (Agreement::Yes, format!("distance {distance:.4} of {} delays, p = {p:.3}", grouped(n)))
        }
        _ => (
            Agreement::TooFew,
            format!(
                "{} delays cannot tell a distribution to within {KS_TOLERANCE}: about {} can",
                grouped(n),
                about(needed_n)
            ),
        ),
    };
    Check {
        name: "intended delay".to_owned(),
        unit: "distance".to_owned(),
        configured: 0.0,
        measured: distance,
        interval: distance
            .map(|distance| Interval { low: (distance - margin).max(0.0), high: (distance + margin).min(1.0) }),
        tolerance: KS_TOLERANCE,
        p,
        n,
        needed_n,
        result,
        detail,
    }
}

/// A delay without jitter: every intended delay is the configured one, to the nanosecond. Exact.
#[must_use]
pub fn constant_delay(samples: &[u64], configured: u64) -> Check {
    let others = samples.iter().filter(|sample| **sample != configured).count();
    let n = samples.len() as u64;
    let furthest = samples.iter().max_by_key(|sample| sample.abs_diff(configured)).map(|ns| *ns as f64 / NS_PER_MS);
    let (result, detail) = match (furthest, others) {
        (None, _) => (Agreement::TooFew, "no packet was let through".to_owned()),
        (Some(_), 0) => (Agreement::Yes, format!("all {n} delays as configured")),
        (Some(furthest), _) => (Agreement::No, format!("{others} of {n} delays differ, the furthest {furthest} ms")),
    };
    Check {
        name: "intended delay".to_owned(),
        unit: "ms".to_owned(),
        configured: configured as f64 / NS_PER_MS,
        measured: furthest,
        interval: None,
        tolerance: 0.0,
        p: None,
        n,
        needed_n: 1,
        result,
        detail,
    }
}

/// How late a release may be, in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LatenessBound {
    /// The most that the 99th percentile may be.
    pub p99: u64,
    /// The most that any release may be; `None` for no such bound.
    pub max: Option<u64>,
    /// How much before its time a release may be.
    pub early: u64,
}

impl LatenessBound {
    /// Packets that a 99th percentile needs: five beyond it.
    const NEEDED: u64 = 500;

    /// A bound that asks no more than the host can give: the p99 of its idle timer's error times `factor`,
    /// and no less than `floor`; no bound on the largest, and no early release.
    #[must_use]
    pub fn beside_host(host_idle_timer_p99: u64, factor: f64, floor: u64) -> Self {
        Self { p99: ((host_idle_timer_p99 as f64 * factor) as u64).max(floor), max: None, early: 0 }
    }
}

/// Lateness, actual minus intended release in nanoseconds, against its stated bound. Exact: percentiles of
/// the packets of this run, nearest rank.
#[must_use]
pub fn lateness(samples: &[i64], bound: &LatenessBound) -> Check {
    let mut late: Vec<f64> = samples.iter().map(|ns| *ns as f64 / NS_PER_US).collect();
    late.sort_unstable_by(f64::total_cmp);
    let n = late.len() as u64;
    let bound_p99 = bound.p99 as f64 / NS_PER_US;
    let bound_max = bound.max.map_or(f64::INFINITY, |max| max as f64 / NS_PER_US);
    let earliest = -(bound.early as f64) / NS_PER_US;
    let early = late.partition_point(|us| *us < earliest);
    let figures = quantile(&late, 0.5).zip(quantile(&late, 0.99)).zip(late.last().copied());
    let (measured, result, detail) = match figures {
        None => (None, Agreement::TooFew, "no packet was released".to_owned()),
        Some(((p50, p99), max)) => {
            let result = if early > 0 || max > bound_max {
                Agreement::No
            } else if n < LatenessBound::NEEDED {
                Agreement::TooFew
            } else if p99 > bound_p99 {
                Agreement::No
            } else {
                Agreement::Yes
            };
            let mut detail = format!(
                "p50 {}, p99 {}, max {} us; bound on p99 {} us",
                figure(p50),
                figure(p99),
                figure(max),
                figure(bound_p99)
            );
            if early > 0 {
                detail.push_str(&format!("; {early} released before their time"));
            }
            if result == Agreement::TooFew {
                detail.push_str(&format!("; {n} packets, {} needed", LatenessBound::NEEDED));
            }
            (Some(p99), result, detail)
        }
    };
    Check {
        name: "lateness".to_owned(),
        unit: "us".to_owned(),
        configured: 0.0,
        measured,
        interval: None,
        tolerance: bound_p99,
        p: None,
        n,
        needed_n: LatenessBound::NEEDED,
        result,
        detail,
    }
}

/// With kept order, intended delays are no longer the configured marginal: their mean push-back behind
/// predecessors, in milliseconds, must lie in the interval that was stated beforehand.
///
/// `misses` is how often that interval misses a link that is as configured. One that does so more often than
/// the check's share of the family-wise error cannot refute.
#[must_use]
pub fn shift(level: Level, measured: Option<f64>, n: u64, predicted: Interval, misses: f64) -> Check {
    let (result, detail) = match measured {
        None => (Agreement::TooFew, "no packet was let through".to_owned()),
        Some(mean) if misses > level.0 && !predicted.contains(mean) => {
            (Agreement::TooFew, format!("{mean:.3} ms, but the interval stated beforehand misses too often to refute"))
        }
        Some(mean) => {
            let result = if predicted.contains(mean) { Agreement::Yes } else { Agreement::No };
            (result, format!("{mean:.3} ms, {:.3} to {:.3} ms stated beforehand", predicted.low, predicted.high))
        }
    };
    Check {
        name: "shift".to_owned(),
        unit: "ms".to_owned(),
        configured: 0.5 * (predicted.low + predicted.high),
        measured,
        interval: Some(predicted),
        tolerance: 0.5 * (predicted.high - predicted.low),
        p: None,
        n,
        needed_n: 1,
        result,
        detail,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agreement::testing::Uniform;

    /// A check's share in a run of 8 checks.
    const LEVEL: f64 = 0.001 / 8.0;

    /// Uniform on 15 ms +- 30 ms, cut at zero: the atom is a quarter.
    const ATOM: f64 = 0.25;

    fn wifi_cdf(ns: f64) -> f64 {
        ((ns + 15e6) / 60e6).clamp(0.0, 1.0)
    }

    fn delays(seed: u64, n: usize, scale: f64) -> Vec<u64> {
        let mut uniform = Uniform::seeded(seed);
        (0..n).map(|_| (uniform.draw() * 60e6 * scale - 15e6).max(0.0) as u64).collect()
    }

    #[test]
    fn delays_of_the_configured_distribution_agree() {
        for seed in 0..50 {
            let checks = intended_delays([Level(LEVEL), Level(LEVEL)], &delays(seed, 20_000, 1.0), wifi_cdf, ATOM);
            for check in checks {
                assert_eq!(check.result, Agreement::Yes, "seed {seed}: {} {}", check.name, check.detail);
            }
        }
    }

    #[test]
    fn jitter_of_a_few_nanoseconds_agrees() {
        // Uniform on 100 ns +- 5 ns: 11 delays.
        let cdf = |ns: f64| ((ns - 94.0) / 11.0).clamp(0.0, 1.0);
        let mut uniform = Uniform::seeded(4);
        let samples: Vec<u64> = (0..20_000).map(|_| 95 + (uniform.draw() * 11.0) as u64).collect();
        for check in intended_delays([Level(LEVEL), Level(LEVEL)], &samples, cdf, 0.0) {
            assert_eq!(check.result, Agreement::Yes, "{}: {}", check.name, check.detail);
        }
        let late: Vec<u64> = samples.iter().map(|ns| ns + 1).collect();
        let [_, late] = intended_delays([Level(LEVEL), Level(LEVEL)], &late, cdf, 0.0);
        assert_eq!(late.result, Agreement::No, "{}", late.detail);
    }

    #[test]
    fn the_atom_at_zero_is_refuted_apart_from_the_rest() {
        // Half of the zeros missing: the rest is as configured.
        let mut thinned = delays(3, 20_000, 1.0);
        let mut keep = false;
        thinned.retain(|ns| {
            keep = !keep;
            *ns > 0 || keep
        });
        let [zero, rest] = intended_delays([Level(LEVEL), Level(LEVEL)], &thinned, wifi_cdf, ATOM);
        assert_eq!((zero.result, rest.result), (Agreement::No, Agreement::Yes));
        // A tenth too much jitter moves the rest.
        let [_, rest] = intended_delays([Level(LEVEL), Level(LEVEL)], &delays(3, 20_000, 1.1), wifi_cdf, ATOM);
        assert_eq!(rest.result, Agreement::No, "{}", rest.detail);
        let [zero, rest] = intended_delays([Level(LEVEL), Level(LEVEL)], &delays(3, 300, 1.0), wifi_cdf, ATOM);
        assert_eq!((zero.result, rest.result), (Agreement::TooFew, Agreement::TooFew));
    }

    #[test]
    fn outages_are_exact() {
        let good = OutageCounts { windows: 1, packets: 900, inside: 40, dropped_inside: 40, dropped_outside: 0 };
        assert_eq!(outages(&good).result, Agreement::Yes);
        assert_eq!(outages(&OutageCounts { dropped_inside: 39, ..good }).result, Agreement::No);
        assert_eq!(outages(&OutageCounts { dropped_outside: 1, ..good }).result, Agreement::No);
        assert_eq!(outages(&OutageCounts { inside: 0, dropped_inside: 0, ..good }).result, Agreement::TooFew);
        assert_eq!(outages(&OutageCounts { packets: 9, ..OutageCounts::default() }).result, Agreement::Yes);
    }

    #[test]
    fn lateness_keeps_its_bound_and_never_comes_early() {
        let bound = LatenessBound::beside_host(300_000, 2.0, 1_000_000);
        assert_eq!(bound.p99, 1_000_000);
        assert_eq!(LatenessBound::beside_host(800_000, 2.0, 1_000_000).p99, 1_600_000);
        let mut samples = vec![90_000i64; 1_000];
        assert_eq!(lateness(&samples, &bound).result, Agreement::Yes);
        assert_eq!(lateness(&samples[..100], &bound).result, Agreement::TooFew);
        samples[..20].fill(3_000_000);
        assert_eq!(lateness(&samples, &bound).result, Agreement::No);
        let mut early = vec![90_000i64; 1_000];
        early[7] = -1;
        let check = lateness(&early, &bound);
        assert_eq!(check.result, Agreement::No);
        assert!(check.detail.contains("1 released before"), "{}", check.detail);
    }

    #[test]
    fn a_constant_delay_is_exact_and_a_shift_keeps_its_interval() {
        assert_eq!(constant_delay(&[20_000_000; 5], 20_000_000).result, Agreement::Yes);
        assert_eq!(constant_delay(&[20_000_000, 20_000_001], 20_000_000).result, Agreement::No);
        assert_eq!(constant_delay(&[], 20_000_000).result, Agreement::TooFew);
        let predicted = Interval { low: 3.0, high: 4.0 };
        let shift_of = |measured, n, misses| shift(Level(LEVEL), measured, n, predicted, misses).result;
        assert_eq!(shift_of(Some(3.2), 10, LEVEL), Agreement::Yes);
        assert_eq!(shift_of(Some(4.2), 10, LEVEL), Agreement::No);
        assert_eq!(shift_of(None, 0, LEVEL), Agreement::TooFew);
        // What misses a sound link more often than the check may.
        assert_eq!(shift_of(Some(4.2), 10, 0.001), Agreement::TooFew);
    }
}
