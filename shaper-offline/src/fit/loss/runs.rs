//! Bursts and gaps: how long they were, and how long a chain makes them.

use serde::Serialize;

use super::hidden::{Hidden, Seen};

/// Runs longer than this count as this long.
const LONGEST: usize = 1 << 20;

/// Lengths of complete runs of lost packets (bursts), and of received ones between two losses (gaps).
#[derive(Clone, Debug, Default)]
pub(super) struct Runs {
    pub(super) bursts: Vec<usize>,
    pub(super) gaps: Vec<usize>,
}

impl Runs {
    /// Adds a stretch. A run that the stretch, or what nobody knows, cuts off has no known length.
    pub(super) fn add(&mut self, seen: &[Seen]) {
        let mut run: Option<(bool, usize)> = None;
        let mut known_start = false;
        for seen in seen {
            match (*seen, run) {
                (None, _) => (run, known_start) = (None, false),
                (Some(lost), Some((before, length))) if before == lost => run = Some((lost, length + 1)),
                (Some(lost), Some((before, length))) => {
                    if known_start {
                        let runs = if before { &mut self.bursts } else { &mut self.gaps };
                        runs.push(length.min(LONGEST));
                    }
                    (run, known_start) = (Some((lost, 1)), true);
                }
                (Some(lost), None) => run = Some((lost, 1)),
            }
        }
    }
}

/// How far lengths of runs are from what a model makes.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Distance {
    /// Runs measured.
    pub runs: usize,
    /// The largest difference of the distribution functions (Kolmogorov-Smirnov).
    pub ks: f64,
    /// Half the sum of differences of the histograms: total variation. Lengths 1 to 4 have bins of their own, behind those
    /// each bin is twice as wide.
    pub variation: f64,
}

/// The bin of a length of at least 1.
fn bin(length: usize) -> usize {
    match length {
        0..=4 => length.saturating_sub(1),
        _ => (length - 1).ilog2() as usize + 2,
    }
}

impl<const N: usize> Hidden<N> {
    /// How far these bursts, or gaps, are from the chain's; `None` where there are none.
    pub(super) fn distance(&self, lengths: &[usize], of_losses: bool) -> Option<Distance> {
        let runs = lengths.len();
        let longest = *lengths.iter().max()?;
        let mut counts = vec![0usize; longest + 1];
        for length in lengths {
            if let Some(count) = counts.get_mut(*length) {
                *count += 1;
            }
        }
        let stays = self.lose.map(|lose| if of_losses { lose } else { 1.0 - lose });
        let weigh = |at: [f64; N], stay: bool| -> [f64; N] {
            std::array::from_fn(|state| at[state] * if stay { stays[state] } else { 1.0 - stays[state] })
        };
        // A run begins behind a packet of the other kind.
        let mut at = weigh(self.after(&weigh(self.stationary(), false)), true);
        let sum: f64 = at.iter().sum();
        if sum <= 0.0 {
            return Some(Distance { runs, ks: 1.0, variation: 1.0 });
        }
        at.iter_mut().for_each(|share| *share /= sum);
        let (mut measured, mut ks, mut variation) = (0.0f64, 0.0f64, 0.0);
        let (mut in_bin, mut model_below, mut longer) = (0.0, 0.0, 1.0);
        let mut model_in_bin = 0.0;
        for (length, count) in counts.iter().enumerate().skip(1) {
            let ends = longer;
            at = weigh(self.after(&at), true);
            longer = at.iter().sum::<f64>();
            let (share, model) = (*count as f64 / runs as f64, ends - longer);
            measured += share;
            model_below += model;
            ks = ks.max((measured - model_below).abs());
            in_bin += share;
            model_in_bin += model;
            if length == longest || bin(length + 1) != bin(length) {
                variation += f64::abs(in_bin - model_in_bin);
                (in_bin, model_in_bin) = (0.0, 0.0);
            }
        }
        Some(Distance { runs, ks, variation: f64::midpoint(variation, longer) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_runs_whose_ends_are_known_count() {
        let seen: Vec<Seen> = "1100111010?0001100"
            .chars()
            .map(|one| match one {
                '0' => Some(false),
                '1' => Some(true),
                _ => None,
            })
            .collect();
        let mut runs = Runs::default();
        runs.add(&seen);
        // Behind the unknown the first run has no known beginning, and the last one no end.
        assert_eq!((runs.gaps, runs.bursts), (vec![2, 1], vec![3, 1, 2]));
    }

    #[test]
    fn bins_are_single_up_to_four_and_then_double() {
        let bins: Vec<usize> = [1, 2, 3, 4, 5, 8, 9, 16, 17].map(bin).to_vec();
        assert_eq!(bins, [0, 1, 2, 3, 4, 4, 5, 5, 6]);
    }

    #[test]
    fn geometric_bursts_are_at_no_distance_and_others_at_theirs() {
        // Lost packets stay lost with one half.
        let chain: Hidden<2> = Hidden { step: [[0.9, 0.1], [0.5, 0.5]], lose: [0.0, 1.0] };
        let lengths: Vec<usize> = [(1, 512), (2, 256), (3, 128), (4, 64), (5, 64)]
            .into_iter()
            .flat_map(|(length, count)| std::iter::repeat_n(length, count))
            .collect();
        let distance = chain.distance(&lengths, true).unwrap();
        // Of what is longer than 4 the model has half beyond 5.
        assert!((distance.ks - 1.0 / 32.0).abs() < 1e-12, "{distance:?}");
        assert!((distance.variation - 1.0 / 32.0).abs() < 1e-12, "{distance:?}");
        let single = chain.distance(&[1, 1, 1], true).unwrap();
        assert!((single.ks - 0.5).abs() < 1e-12 && (single.variation - 0.5).abs() < 1e-12, "{single:?}");
        assert_eq!(chain.distance(&[], true), None);
    }
}
