//! Outages: stretches in which nothing arrives, that no loss packet by packet makes. They are told and left out, not fitted.

use std::ops::Range;

use serde::Serialize;

use super::{Fate, Series};

/// Packets lost in a row, and the time without an arrival, from which on a stretch may be one.
const PACKETS: u64 = 10;
const SHORT_NS: i64 = 100_000_000;
/// A stretch of this length is one whatever losses there are beside it, unless a chain of states was found to make them.
const LONG_NS: i64 = 500_000_000;
/// Bursts as long as a shorter stretch that the losses beside it may make at most.
const UNLIKELY: f64 = 0.001;
/// Stretches from which on their lengths say whether a chain of states makes them, whose bursts are geometric: standard
/// deviation and mean are alike then.
const TELLING: usize = 5;
const GEOMETRIC: f64 = 0.6;
/// Below this they are all alike, which geometric ones never are.
const ALIKE: f64 = 0.2;
/// Stretches that begin at even distances: so many at least, and the standard deviation of these over their mean.
const EVEN_FROM: usize = 4;
const EVEN: f64 = 0.05;
/// Stretches that are listed at most.
const LISTED: usize = 100;

/// A stretch without an arrival.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Outage {
    /// When its first packet was sent, from the first packet of the series on, in nanoseconds.
    pub from_ns: i64,
    /// From there to the first packet sent that arrived again, in nanoseconds.
    pub length_ns: i64,
    /// Packets lost in it.
    pub lost: u64,
}

/// Stretches that look like outages.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Outages {
    /// How many.
    pub count: usize,
    /// Packets lost in them.
    pub lost: u64,
    /// The shortest, in nanoseconds.
    pub shortest_ns: i64,
    /// The mean, in nanoseconds.
    pub mean_ns: i64,
    /// The longest, in nanoseconds.
    pub longest_ns: i64,
    /// From the beginning of one to that of the next, in nanoseconds, where that is always the same.
    pub every_ns: Option<i64>,
    /// How many there are a second, over the series.
    pub per_second: f64,
    /// The first 100 of them.
    pub found: Vec<Outage>,
    /// Where each lies among the packets: several may have one stamp.
    #[serde(skip)]
    stretches: Vec<Range<usize>>,
}

impl Outages {
    /// Sees to it that nothing is known of packets that were lost in them.
    pub(super) fn leave_out(&self, series: &mut Series) {
        for stretch in &self.stretches {
            let packets = series.packets.get_mut(stretch.clone()).into_iter().flatten();
            packets.filter(|packet| packet.fate == Fate::Lost).for_each(|packet| packet.fate = Fate::Unknown);
        }
    }
}

/// Looks for outages; `accepted` says whether the fitted losses are no further away than chance takes them.
pub(super) fn find(series: &Series, accepted: Option<bool>) -> Option<Outages> {
    if !series.timed {
        return None;
    }
    let runs = runs(series);
    let may_be = |run: &&Outage| run.lost >= PACKETS && run.length_ns >= SHORT_NS;
    let mut longest: Vec<&Outage> = runs.iter().map(|(run, _)| run).filter(may_be).collect();
    longest.sort_by_key(|run| std::cmp::Reverse(run.lost));
    let (mut number, mut lost) = (runs.len() as f64, runs.iter().map(|(run, _)| run.lost).sum::<u64>() as f64);
    // From the longest on, each against all that are not longer.
    let mut unlikely = u64::MAX;
    for run in longest {
        (number, lost) = (number - 1.0, lost - run.lost as f64);
        let mean = (lost + 2.0) / (number + 1.0);
        let as_long = (1.0 - 1.0 / mean).powf(run.lost as f64 - 1.0) * (number + 1.0);
        if as_long >= UNLIKELY {
            break;
        }
        unlikely = run.lost;
    }
    // What geometric bursts have beyond a length is geometric again, whichever that is.
    let suspects = runs.iter().map(|(run, _)| run).filter(may_be);
    let beyond: Vec<f64> = suspects.map(|run| run.lost.saturating_sub(PACKETS - 1) as f64).collect();
    if beyond.len() >= TELLING && spread(&beyond).is_some_and(|(_, spread)| spread < ALIKE) {
        unlikely = PACKETS;
    }
    let is_outage = |run: &Outage| {
        let is_long = run.length_ns >= LONG_NS && accepted != Some(true);
        run.lost >= PACKETS && (is_long || run.length_ns >= SHORT_NS && run.lost >= unlikely)
    };
    let (found, stretches): (Vec<Outage>, Vec<_>) = runs.into_iter().filter(|(run, _)| is_outage(run)).unzip();
    let lengths: Vec<f64> = found.iter().map(|run| run.length_ns as f64).collect();
    let (mean, spread) = spread(&lengths)?;
    let is_of_a_chain = found.len() >= TELLING && spread > GEOMETRIC && accepted == Some(true);
    if is_of_a_chain && mean < LONG_NS as f64 {
        return None;
    }
    let between: Vec<f64> = found.windows(2).map(|pair| (pair[1].from_ns - pair[0].from_ns) as f64).collect();
    let every = self::spread(&between).filter(|(_, spread)| found.len() >= EVEN_FROM && *spread < EVEN);
    let span = series.packets.last()?.sent_ns.saturating_sub(series.packets.first()?.sent_ns).max(1);
    Some(Outages {
        count: found.len(),
        lost: found.iter().map(|run| run.lost).sum(),
        shortest_ns: found.iter().map(|run| run.length_ns).min()?,
        mean_ns: mean as i64,
        longest_ns: found.iter().map(|run| run.length_ns).max()?,
        every_ns: every.map(|(mean, _)| mean as i64),
        per_second: found.len() as f64 / (span as f64 / 1e9),
        stretches,
        found: found.into_iter().take(LISTED).collect(),
    })
}

/// Losses in a row with an arrival before and behind, and their places: from the first lost up to that arrival.
fn runs(series: &Series) -> Vec<(Outage, Range<usize>)> {
    let first = series.packets.first().map_or(0, |packet| packet.sent_ns);
    let mut runs = Vec::new();
    let mut open: Option<(Outage, usize)> = None;
    let mut has_arrived = false;
    for (place, packet) in series.packets.iter().enumerate() {
        match packet.fate.lost() {
            // What is not known neither ends a stretch nor counts.
            None => {}
            Some(true) if has_arrived => {
                let from_ns = packet.sent_ns.saturating_sub(first);
                open.get_or_insert((Outage { from_ns, length_ns: 0, lost: 0 }, place)).0.lost += 1;
            }
            Some(true) => {}
            Some(false) => {
                has_arrived = true;
                if let Some((run, from)) = open.take() {
                    let length_ns = packet.sent_ns.saturating_sub(first).saturating_sub(run.from_ns);
                    runs.push((Outage { length_ns, ..run }, from..place));
                }
            }
        }
    }
    runs
}

/// The mean, and the standard deviation over it; `None` without values.
fn spread(values: &[f64]) -> Option<(f64, f64)> {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let square = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / n;
    (n > 0.0 && mean > 0.0).then(|| (mean, square.sqrt() / mean))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fit::draws::Draws;
    use crate::fit::{LossKind, Observed, Options};

    /// Packets 10 ms apart.
    fn series(packets: usize, mut lost: impl FnMut(usize) -> bool) -> Series {
        let packet = |number: usize| Observed {
            sent_ns: 5_000_000_000 + number as i64 * 10_000_000,
            fate: if lost(number) { Fate::Lost } else { Fate::Arrived(20_000_000) },
            bytes: None,
        };
        Series { packets: (0..packets).map(packet).collect(), timed: true, absolute: true }
    }

    fn told(series: &Series) -> Option<Outages> {
        crate::fit::fit(series, &Options::default()).unwrap().outages
    }

    #[test]
    fn outages_among_losses_are_found_with_their_times() {
        let mut draws = Draws::new(3);
        // 1 s from 20 s on and 0.5 s from 53 s on, beside 2 % of losses.
        let down = |number| (2_000..2_100).contains(&number) || (5_300..5_350).contains(&number);
        let series = series(10_000, |number| draws.uniform() < 0.02 || down(number));
        let outages = told(&series).unwrap();
        assert_eq!(outages.count, 2, "{outages:?}");
        for (found, (from, length)) in outages.found.iter().zip([(20.0, 1.0), (53.0, 0.5)]) {
            // A packet lost by chance may lie beside.
            assert!((found.from_ns as f64 / 1e9 - from).abs() < 0.02, "{found:?}");
            assert!((found.length_ns as f64 / 1e9 - length).abs() < 0.03, "{found:?}");
        }
        assert!((outages.per_second - 0.02).abs() < 1e-3 && outages.every_ns.is_none());
        // What is lost beside is fitted alone.
        let loss = crate::fit::fit(&series, &Options::default()).unwrap().loss;
        let ratio = loss.chosen.parameters[0].interval.unwrap();
        assert!(loss.chosen.kind == LossKind::Independent && loss.longest_burst < 5, "{loss:#?}");
        assert!(ratio.low < 0.02 && ratio.high > 0.02 && ratio.high < 0.025, "{ratio:?}");
    }

    #[test]
    fn outages_alone_are_found_and_that_they_come_evenly() {
        let series = series(12_000, |number| number % 1_500 >= 1_480);
        let outages = told(&series).unwrap();
        assert_eq!((outages.count, outages.lost), (7, 140), "the last one has no end");
        assert_eq!((outages.shortest_ns, outages.longest_ns), (200_000_000, 200_000_000));
        assert_eq!(outages.every_ns, Some(15_000_000_000));
    }

    #[test]
    fn losses_of_a_chain_are_no_outages() {
        for seed in 1..=5 {
            for (enter, leave, lose) in [(0.02, 1.0 / 3.0, 1.0), (0.005, 0.08, 0.4), (0.05, 0.95, 1.0)] {
                let mut draws = Draws::new(seed);
                let mut bad = false;
                let series = series(40_000, |_| {
                    bad = draws.uniform() < if bad { 1.0 - leave } else { enter };
                    bad && draws.uniform() < lose
                });
                let outages = told(&series);
                assert!(outages.is_none(), "seed {seed}, {leave}: {outages:?}");
            }
        }
    }

    #[test]
    fn what_is_lost_at_the_stamp_at_which_an_outage_ends_is_left_out_once() {
        // Stamps of milliseconds, with five packets at each; two of those at the stamp where an outage ends are lost still.
        let is_lost = |number: usize| (2_000..2_602).contains(&(number % 10_000));
        let mut series = series(60_000, is_lost);
        for (number, packet) in series.packets.iter_mut().enumerate() {
            packet.sent_ns = (number / 5) as i64 * 1_000_000;
        }
        let fit = crate::fit::fit(&series, &Options::default()).unwrap();
        let outages = fit.outages.unwrap();
        assert_eq!((outages.count, outages.lost, outages.longest_ns), (6, 6 * 602, 120_000_000), "{outages:?}");
        assert_eq!((fit.lost, fit.loss.longest_burst), (6 * 602, 0), "{:?}", fit.loss);
    }

    #[test]
    fn without_times_nothing_is_said_of_outages() {
        let mut series = series(2_000, |number| (500..600).contains(&number));
        assert_eq!(told(&series).unwrap().count, 1);
        series.timed = false;
        assert_eq!(told(&series), None);
    }
}
