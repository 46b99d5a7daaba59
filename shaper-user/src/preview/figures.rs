//! What came out of a link, in figures.

use std::collections::BTreeMap;

use serde::Serialize;
use shaper_common::fate::Cause;
use shaper_report::stats::{Distribution, Missing, Proportion, mean};

use super::channels::Came;

/// What became of the packets of a stream.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Figures {
    /// Packets that came through, of all; copies not counted.
    pub(crate) delivered: Proportion,
    /// Packets dropped, by cause.
    pub(crate) dropped_by_cause: BTreeMap<&'static str, u64>,
    /// Copies that came out beside the packets.
    pub(crate) copies: u64,
    /// Packets with a copy, of those that came through.
    pub(crate) copied: Proportion,
    /// Packets with changed bytes, of those that came through.
    pub(crate) changed: Proportion,
    /// Packets marked Congestion Experienced, of those that came through.
    pub(crate) marked: Proportion,
    /// Packets that came after a later one (RFC 4737, section 4.1), of those that came through.
    pub(crate) reordered: Proportion,
    /// The largest reordering extent (RFC 4737, section 4.2): how many packets before a reordered one the first later
    /// one came.
    pub(crate) reordering_extent: u64,
    /// From arrival to release.
    pub(crate) delay_ms: Distribution,
    /// Packets without any delay, of those that came through.
    pub(crate) zero_delay: Proportion,
    /// The correlation of a packet's delay with that of the packet sent before it; null where delays do not vary.
    pub(crate) delay_autocorrelation: Option<f64>,
    /// Packets dropped in a row.
    pub(crate) loss_runs: LossRuns,
    /// Until packets were through the bottleneck, their own service included; null without one.
    pub(crate) queueing_ms: Option<Queueing>,
}

/// Packets dropped in a row, in the order of arrival, whatever the cause.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct LossRuns {
    /// How many runs there are.
    pub(crate) runs: u64,
    /// Their mean length; null without any.
    pub(crate) mean: Option<f64>,
    /// The longest.
    pub(crate) longest: u64,
    /// How many are of each length.
    pub(crate) by_length: Vec<RunsOf>,
}

/// Runs of a range of lengths.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct RunsOf {
    /// The lengths, in words.
    pub(crate) length: &'static str,
    /// How many.
    pub(crate) runs: u64,
}

/// Time until packets were through the bottleneck.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Queueing {
    /// In the mean.
    pub(crate) mean: f64,
    /// At most.
    pub(crate) max: f64,
}

/// The ranges of lengths of runs: name, and the last length.
const LENGTHS: [(&str, u64); 5] = [("1", 1), ("2", 2), ("3", 3), ("4-7", 7), ("8+", u64::MAX)];

impl Figures {
    /// The figures of these packets. `inflation` is how many times wider the variance of the share delivered is than
    /// that of independent losses.
    pub(crate) fn of(came: &[Came], inflation: f64) -> Self {
        let n = came.len() as u64;
        let through: Vec<&Came> = came.iter().filter(|came| came.delay_ns.is_some()).collect();
        let delivered = through.len() as u64;
        let share =
            |is: fn(&Came) -> bool| Proportion::of(through.iter().filter(|came| is(came)).count() as u64, delivered);
        let mut dropped_by_cause = BTreeMap::new();
        for came in came.iter().filter(|came| came.fate.cause != Cause::None) {
            *dropped_by_cause.entry(came.fate.cause.name()).or_default() += 1;
        }
        let (reordered, reordering_extent) = reordering(came);
        let ms = |ns: u64| ns as f64 / 1e6;
        let queueing: Vec<f64> = came.iter().filter_map(|came| came.queueing_ns).map(ms).collect();
        Self {
            delivered: Proportion::correlated(delivered, n, inflation),
            dropped_by_cause,
            copies: through.iter().map(|came| u64::from(came.fate.copies)).sum(),
            copied: share(|came| came.fate.copies > 0),
            changed: share(|came| !came.fate.damage.is_none()),
            marked: share(|came| came.fate.marked),
            reordered: Proportion::of(reordered, delivered),
            reordering_extent,
            delay_ms: Distribution::with_missing(
                through.iter().filter_map(|came| came.delay_ns).map(ms).collect(),
                n - delivered,
                Missing::Excluded,
            ),
            zero_delay: share(|came| came.delay_ns == Some(0)),
            delay_autocorrelation: autocorrelation(came),
            loss_runs: loss_runs(came),
            queueing_ms: mean(&queueing)
                .map(|mean| Queueing { mean, max: queueing.iter().copied().fold(0.0, f64::max) }),
        }
    }
}

/// How many packets came after a later one, and the largest extent (RFC 4737, sections 3.3 and 4.2.1). Of packets
/// that leave in the same instant the one sent first comes first.
fn reordering(came: &[Came]) -> (u64, u64) {
    let mut arrivals: Vec<(u64, usize)> = came
        .iter()
        .enumerate()
        .filter_map(|(number, came)| Some((came.at_ns.saturating_add(came.delay_ns?), number)))
        .collect();
    arrivals.sort_unstable();
    // The latest packet so far, after each arrival: it only rises, so the first later one is found by bisection.
    let mut latest: Vec<usize> = Vec::with_capacity(arrivals.len());
    let (mut reordered, mut largest) = (0, 0);
    for (place, &(_, number)) in arrivals.iter().enumerate() {
        let first_later = latest.partition_point(|earlier| *earlier < number);
        if first_later < place {
            reordered += 1;
            largest = largest.max((place - first_later) as u64);
        }
        latest.push(latest.last().map_or(number, |latest| *latest.max(&number)));
    }
    (reordered, largest)
}

/// The product-moment correlation of neighbours' delays, over the neighbours that both came through.
fn autocorrelation(came: &[Came]) -> Option<f64> {
    let neighbours = came.iter().zip(came.iter().skip(1));
    let (one, next): (Vec<f64>, Vec<f64>) =
        neighbours.filter_map(|(one, next)| Some((one.delay_ns? as f64, next.delay_ns? as f64))).unzip();
    let (mean_one, mean_next) = (mean(&one)?, mean(&next)?);
    let (mut both, mut of_one, mut of_next) = (0.0, 0.0, 0.0);
    for (one, next) in one.iter().zip(&next) {
        let (one, next) = (one - mean_one, next - mean_next);
        both += one * next;
        of_one += one * one;
        of_next += next * next;
    }
    // A variance of less than a nanosecond's square is rounding.
    (of_one.min(of_next) > one.len() as f64).then(|| both / (of_one * of_next).sqrt())
}

fn loss_runs(came: &[Came]) -> LossRuns {
    let lengths: Vec<u64> = came
        .chunk_by(|one, next| one.delay_ns.is_none() == next.delay_ns.is_none())
        .filter(|run| run.first().is_some_and(|first| first.delay_ns.is_none()))
        .map(|run| run.len() as u64)
        .collect();
    let runs = lengths.len() as u64;
    let mut shorter = 0;
    let by_length = LENGTHS.map(|(length, last)| {
        let up_to = lengths.iter().filter(|run| **run <= last).count() as u64;
        RunsOf { length, runs: up_to - std::mem::replace(&mut shorter, up_to) }
    });
    LossRuns {
        runs,
        mean: (runs > 0).then(|| lengths.iter().sum::<u64>() as f64 / runs as f64),
        longest: lengths.iter().copied().max().unwrap_or(0),
        by_length: by_length.to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use shaper_common::fate::Fate;

    use super::*;

    /// Packets one nanosecond apart, with these delays; none for a lost one.
    fn came(delays: &[Option<u64>]) -> Vec<Came> {
        let one = |(number, delay): (usize, &Option<u64>)| Came {
            at_ns: number as u64,
            fate: delay.map_or(Fate::drop(Cause::Loss), |_| Fate::default()),
            delay_ns: *delay,
            queueing_ns: None,
        };
        delays.iter().enumerate().map(one).collect()
    }

    #[test]
    fn a_packet_that_four_later_ones_overtook_is_one_reordered_by_an_extent_of_four() {
        let order = [1u64, 2, 3, 5, 6, 7, 8, 4, 9, 10];
        let mut delays = vec![None; 10];
        for (place, number) in order.iter().enumerate() {
            delays[*number as usize - 1] = Some(100 + place as u64 + 1 - number);
        }
        assert_eq!(reordering(&came(&delays)), (1, 4));
    }

    #[test]
    fn runs_are_of_packets_lost_in_a_row() {
        let mut delays = vec![Some(1); 40];
        for lost in [0, 2, 3, 10, 11, 12, 13, 14, 15, 16, 20, 21, 22, 23, 24, 25, 26, 27, 39] {
            delays[lost] = None;
        }
        let runs = loss_runs(&came(&delays));
        assert_eq!((runs.runs, runs.longest, runs.mean), (5, 8, Some(19.0 / 5.0)));
        assert_eq!(runs.by_length.iter().map(|of| of.runs).collect::<Vec<_>>(), [2, 1, 0, 1, 1]);
    }

    #[test]
    fn alternating_delays_are_correlated_by_minus_one_and_constant_ones_not_at_all() {
        let delays: Vec<_> = (0..1000).map(|number| Some(1000 * (1 + number % 2))).collect();
        assert!((autocorrelation(&came(&delays)).unwrap() + 1.0).abs() < 1e-9);
        assert_eq!(autocorrelation(&came(&[Some(5); 10])), None);
        // Most pairs lie in one half of the range: it stays a correlation all the same.
        let rising: Vec<_> = (0..500).map(|number| if number % 3 == 2 { None } else { Some(1000 * number) }).collect();
        assert!((autocorrelation(&came(&rising)).unwrap() - 1.0).abs() < 1e-9);
    }
}
