//! Many points made few, extremes kept.

use super::data::{Outcome, PacketPoint};
use super::palette;

/// The smallest, median and largest value of one stretch of time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Band {
    /// The middle of the stretch.
    pub(super) at: f64,
    pub(super) min: f64,
    pub(super) median: f64,
    pub(super) max: f64,
}

/// Points in `bins` equal stretches of `[0, end]`; stretches without a point are left out.
pub(super) fn bands(points: &[(f64, f64)], end: f64, bins: usize) -> Vec<Band> {
    let mut values: Vec<Vec<f64>> = vec![Vec::new(); bins];
    for (at, value) in points {
        if let Some(bin) = values.get_mut(bin_of(*at, end, bins)) {
            bin.push(*value);
        }
    }
    let width = end / bins as f64;
    let band = |(place, mut values): (usize, Vec<f64>)| {
        values.sort_unstable_by(f64::total_cmp);
        let (min, max) = (*values.first()?, *values.last()?);
        let median = *values.get((values.len() - 1) / 2)?;
        Some(Band { at: (place as f64 + 0.5) * width, min, median, max })
    };
    values.into_iter().enumerate().filter_map(band).collect()
}

fn bin_of(at: f64, end: f64, bins: usize) -> usize {
    if end <= 0.0 { 0 } else { ((at / end * bins as f64) as usize).min(bins.saturating_sub(1)) }
}

/// The order in which causes are stacked; the last stands for all losses of the harness.
pub(super) const STACKED: [&str; 4] = ["outage", "loss", "queue", "harness"];

/// What became of the packets of one stretch of time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Fates {
    pub(super) packets: u64,
    /// Dropped, by the causes of [`STACKED`].
    pub(super) dropped: [u64; STACKED.len()],
}

/// The fates of packets in `bins` equal stretches of `[0, end_ns]`.
pub(super) fn fates(packets: &[PacketPoint], end_ns: u64, bins: usize) -> Vec<Fates> {
    let mut fates = vec![Fates::default(); bins];
    for packet in packets {
        let Some(bin) = fates.get_mut(bin_of(packet.at_ns as f64, end_ns as f64, bins)) else { continue };
        bin.packets += 1;
        if let Outcome::Dropped { cause } = &packet.outcome {
            let class = palette::of_cause(cause).class;
            if let Some(place) = STACKED.iter().position(|stacked| *stacked == class) {
                bin.dropped[place] += 1;
            }
        }
    }
    fates
}

/// The share of samples in each of `per_decade` steps a decade between two powers of ten: `(from, to,
/// share)`, the ends as logarithms to the base of ten. What lies outside falls into the first or last step.
pub(super) fn decades(samples: &[f64], low: i32, high: i32, per_decade: i32) -> Vec<(f64, f64, f64)> {
    let steps = ((high - low) * per_decade).max(1);
    let mut counts = vec![0u64; steps as usize];
    for sample in samples {
        let place = (sample.max(1e-9).log10() - f64::from(low)) * f64::from(per_decade);
        if let Some(count) = counts.get_mut((place.max(0.0) as usize).min(steps as usize - 1)) {
            *count += 1;
        }
    }
    let edge = |step: usize| f64::from(low) + step as f64 / f64::from(per_decade);
    let share = |count: u64| count as f64 / samples.len().max(1) as f64;
    counts.into_iter().enumerate().map(|(step, count)| (edge(step), edge(step + 1), share(count))).collect()
}

/// The steps of the distribution function of ascending samples, at most `most` of them, ends included.
pub(super) fn steps(ascending: &[f64], most: usize) -> Vec<(f64, f64)> {
    let n = ascending.len();
    let stride = n.div_ceil(most.max(1)).max(1);
    let last = n.saturating_sub(1);
    ascending
        .iter()
        .enumerate()
        .filter(|(rank, _)| rank % stride == 0 || *rank == last)
        .map(|(rank, sample)| (*sample, (rank + 1) as f64 / n as f64))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bands_keep_the_one_packet_that_stands_out() {
        let mut points: Vec<(f64, f64)> = (0..100_000).map(|i| (f64::from(i) / 1e4, 5.0)).collect();
        points[70_123].1 = 900.0;
        points[20_456].1 = 0.1;
        let bands = bands(&points, 10.0, 200);
        assert_eq!(bands.len(), 200);
        assert_eq!(bands.iter().map(|band| band.max).fold(0.0, f64::max), 900.0);
        assert_eq!(bands.iter().map(|band| band.min).fold(9.0, f64::min), 0.1);
        assert!(bands.iter().all(|band| band.median == 5.0));
    }

    #[test]
    fn fates_count_every_packet_once_and_harness_losses_apart() {
        let at = |at_ns, cause: &'static str| PacketPoint {
            at_ns,
            outcome: if cause.is_empty() {
                Outcome::Delivered { delay_ns: 1 }
            } else {
                Outcome::Dropped { cause: cause.into() }
            },
        };
        let packets = [at(0, ""), at(9, "loss"), at(10, "outage"), at(19, "fill_ring"), at(20, "tx")];
        let fates = fates(&packets, 20, 2);
        assert_eq!(fates[0], Fates { packets: 2, dropped: [0, 1, 0, 0] });
        assert_eq!(fates[1], Fates { packets: 3, dropped: [1, 0, 0, 2] });
    }

    #[test]
    fn decades_hold_all_samples() {
        let shares = decades(&[-3.0, 0.5, 5.0, 50.0, 5e6], 0, 3, 2);
        assert_eq!(shares.len(), 6);
        assert!((shares.iter().map(|(_, _, share)| share).sum::<f64>() - 1.0).abs() < 1e-12);
        assert_eq!(shares[0], (0.0, 0.5, 0.4));
        assert_eq!(shares[5].2, 0.2);
    }

    #[test]
    fn steps_end_at_one() {
        let samples: Vec<f64> = (0..1003).map(f64::from).collect();
        let steps = steps(&samples, 100);
        assert!(steps.len() <= 102);
        assert_eq!(steps.last(), Some(&(1002.0, 1.0)));
    }
}
