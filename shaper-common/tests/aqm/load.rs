//! What is offered to the queues, and what share of it is dropped.

use shaper_common::rng::Source;

pub(crate) const MILLI: u64 = 1_000_000;
pub(crate) const SECOND: u64 = 1_000_000_000;

/// Two-sided 99.9 % quantile of the standard normal distribution.
pub(crate) const Z_999: f64 = 3.290_527;

/// A packet that comes to the queue.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arrival {
    pub(crate) at: u64,
    pub(crate) len: u32,
}

/// Bytes of the longest packet.
pub(crate) const FULL: u32 = 1_514;
/// Their mean: sizes of the three kinds are equally frequent.
pub(crate) const MEAN: f64 = (64.0 + 590.0 + 1_514.0) / 3.0;

fn unit(draw: u32) -> f64 {
    (f64::from(draw) + 0.5) / 2f64.powi(32)
}

fn length(draw: u32) -> u32 {
    [64, 590, FULL][(draw % 3) as usize]
}

/// Packets of three lengths at exponential intervals: `load` times what a link of so many nanoseconds a byte carries.
pub(crate) fn poisson(seed: u64, load: f64, per_byte: u64, count: u64) -> Vec<Arrival> {
    on_off(seed, load, per_byte, count, 0, 0)
}

/// The same with pauses: for `on` nanoseconds packets come, then none for `off` plus up to as much again.
pub(crate) fn on_off(seed: u64, load: f64, per_byte: u64, count: u64, on: u64, off: u64) -> Vec<Arrival> {
    let mean_gap = MEAN * per_byte as f64 / load;
    let (mut at, mut began) = (SECOND, SECOND);
    (0..count)
        .map(|index| {
            let draws = Source::of_link(seed, 0xa0, index).draws();
            at += (-unit(draws.jitter).ln() * mean_gap).round() as u64;
            if on > 0 && at - began > on {
                at += off + (unit(draws.step) * off as f64) as u64;
                began = at;
            }
            Arrival { at, len: length(draws.first) }
        })
        .collect()
}

/// How much of it is true.
pub(crate) fn share(of: &[bool]) -> f64 {
    of.iter().filter(|hit| **hit).count() as f64 / of.len() as f64
}

/// How many places differ.
pub(crate) fn differences<T: PartialEq>(left: &[T], right: &[T]) -> usize {
    assert_eq!(left.len(), right.len());
    left.iter().zip(right).filter(|(left, right)| left != right).count()
}

/// Asserts at 99.9 % that pairs, sixty of them, have the same mean, and that a hundredth of difference would show.
pub(crate) fn assert_same_mean(pairs: &[(f64, f64)], what: &str) {
    assert_eq!(pairs.len(), 60);
    let n = pairs.len() as f64;
    let level = pairs.iter().map(|(left, _)| left).sum::<f64>() / n;
    let mean = pairs.iter().map(|(left, right)| left - right).sum::<f64>() / n;
    let variance = pairs.iter().map(|(left, right)| (left - right - mean).powi(2)).sum::<f64>() / (n - 1.0);
    let sigma = (variance / n).sqrt();
    // The quantile of Student's t with 59 degrees of freedom.
    let bound = 3.463 * sigma;
    assert!(mean.abs() <= bound, "{what}: {level}, off by {mean:e}, allowed {bound:e}");
    assert!(bound < 0.01 * level, "{what}: {level} +- {bound:e} tells nothing");
}
