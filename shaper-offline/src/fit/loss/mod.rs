//! Loss: candidates from none to four states, chosen on the blocks that none of them was fitted on.

mod counters;
mod estimate;
mod hidden;
mod interval;
mod model;
mod runs;

use std::ops::Range;

use serde::Serialize;

use super::blocks::{fitted, gain_bound, held_out};
use super::{Options, Series};
use crate::stats::Interval;
use counters::Pairs;
use hidden::Seen;
use runs::Runs;

pub use counters::{Transitions, transitions};
pub use model::LossModel;
pub use runs::Distance;

/// The least length of a gap, in packets received (RFC 3611, 4.7.2).
pub(super) const GMIN: u64 = 16;
/// Losses in either half from which on chains with hidden states are candidates.
const LEAST_LOSSES: u64 = 30;
/// The same of bursts, and of what they are told by: those that ended.
const LEAST_IN_BURSTS: u64 = 10;
const LEAST_BURSTS: u64 = 3;
/// The factor of the KS distance's bound at 99.9 %: `sqrt(-ln(0.001 / 2) / 2)`.
pub(super) const KS_BOUND: f64 = 1.949_474_6;

/// A kind of model, the simpler ones first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LossKind {
    /// Nothing is lost.
    None,
    /// Each packet on its own (Bernoulli).
    Independent,
    /// Ratio and mean burst.
    Bursts,
    /// The simple Gilbert model by its transitions.
    SimpleGilbert,
    /// Gilbert's: the bad state loses some, the good one none.
    Gilbert,
    /// Gilbert and Elliott's: both states lose some.
    GilbertElliott,
    /// netem's four states, by the counters of RFC 3611.
    FourStateCounters,
    /// netem's four states, of the greatest likelihood.
    FourState,
}

impl LossKind {
    pub(super) const ALL: [Self; 8] = [
        Self::None,
        Self::Independent,
        Self::Bursts,
        Self::SimpleGilbert,
        Self::Gilbert,
        Self::GilbertElliott,
        Self::FourStateCounters,
        Self::FourState,
    ];

    /// Parameters.
    #[must_use]
    pub const fn parameters(self) -> usize {
        match self {
            Self::None => 0,
            Self::Independent => 1,
            Self::Bursts | Self::SimpleGilbert => 2,
            Self::Gilbert => 3,
            Self::GilbertElliott => 4,
            Self::FourStateCounters | Self::FourState => 5,
        }
    }

    /// In words.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Independent => "independent",
            Self::Bursts => "bursts",
            Self::SimpleGilbert => "simple Gilbert",
            Self::Gilbert => "Gilbert",
            Self::GilbertElliott => "Gilbert-Elliott",
            Self::FourStateCounters => "four states (counted)",
            Self::FourState => "four states",
        }
    }
}

/// What became of a candidate on the blocks that it was not fitted on.
#[derive(Clone, Debug, Serialize)]
pub struct HeldOut {
    /// Natural logarithm of the likelihood, a packet; `None` where the model cannot make what was seen.
    pub log_likelihood: Option<f64>,
    /// Lengths of bursts; `None` where no complete one was seen.
    pub bursts: Option<Distance>,
    /// Lengths of gaps.
    pub gaps: Option<Distance>,
}

/// A candidate.
#[derive(Clone, Debug, Serialize)]
pub struct LossCandidate {
    /// Its kind.
    pub kind: LossKind,
    /// As fitted on the blocks that are fitted on.
    pub model: LossModel,
    /// On the others.
    pub held_out: HeldOut,
    /// Whether it was chosen.
    pub chosen: bool,
}

/// A parameter with its interval.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Parameter {
    /// As in the profile's words.
    pub name: &'static str,
    /// The estimate.
    pub value: f64,
    /// 95 %; `None` where the series says nothing of it.
    pub interval: Option<Interval>,
}

/// The chosen model, fitted on all blocks.
#[derive(Clone, Debug, Serialize)]
pub struct ChosenLoss {
    /// Its kind.
    pub kind: LossKind,
    /// The model.
    pub model: LossModel,
    /// Its parameters.
    pub parameters: Vec<Parameter>,
}

/// Loss, fitted.
#[derive(Clone, Debug, Serialize)]
pub struct LossFit {
    /// Packets that it is fitted to: those whose fate is known, without what outages and a full queue took out.
    pub known: u64,
    /// Of these, that were lost.
    pub lost: u64,
    /// The second over the first.
    pub ratio: f64,
    /// Wilson's 95 % interval of that, as if losses were independent; where they are not it is too narrow.
    pub ratio_interval: Option<Interval>,
    /// Packets lost in a row, in the mean over bursts whose ends are known; `None` without one.
    pub burst: Option<f64>,
    /// The longest of these; 0 without one.
    pub longest_burst: usize,
    /// What was chosen, fitted on all.
    pub chosen: ChosenLoss,
    /// All candidates, the simpler ones first.
    pub candidates: Vec<LossCandidate>,
    /// Whether bursts of the held-out blocks are no further from the chosen model, by KS, than chance takes them in 999 of
    /// 1000 cases; `None`, not judged, where either half of the blocks has no whole one.
    pub bursts_accepted: Option<bool>,
    /// The same of gaps.
    pub gaps_accepted: Option<bool>,
    /// Both, as far as they were judged; `None` where neither was.
    pub accepted: Option<bool>,
}

impl LossFit {
    /// Which of bursts and gaps were not judged, where packets were lost.
    #[must_use]
    pub const fn not_judged(&self) -> Option<&'static str> {
        match (self.chosen.kind, self.bursts_accepted, self.gaps_accepted) {
            (LossKind::None, ..) | (_, Some(_), Some(_)) => None,
            (_, None, None) => Some("bursts and gaps"),
            (_, None, Some(_)) => Some("bursts"),
            (_, Some(_), None) => Some("gaps"),
        }
    }
}

/// Fits the losses.
pub(super) fn fit(series: &Series, blocks: &[Range<usize>], options: &Options) -> LossFit {
    let seen: Vec<Seen> = series.packets.iter().map(|packet| packet.fate.lost()).collect();
    let halves = [fitted(blocks).collect::<Vec<_>>(), held_out(blocks).collect()];
    let [train, test] = &halves;
    let counted = |stretches: &[Range<usize>]| {
        let (mut pairs, mut runs) = (Pairs::default(), Runs::default());
        for stretch in stretches.iter().filter_map(|stretch| seen.get(stretch.clone())) {
            pairs.add(stretch);
            runs.add(stretch);
        }
        (pairs, runs)
    };
    let (pairs, train_runs) = counted(train);
    let (test_pairs, test_runs) = counted(test);
    let whole = 0..seen.len();
    let (all, all_runs) = counted(std::slice::from_ref(&whole));
    let may = |kind: LossKind| match kind {
        LossKind::None => all.lost == 0,
        LossKind::Independent => all.lost > 0,
        LossKind::Bursts | LossKind::SimpleGilbert => {
            pairs.lost.min(test_pairs.lost) >= LEAST_IN_BURSTS && pairs.n10.min(test_pairs.n10) >= LEAST_BURSTS
        }
        _ => pairs.lost.min(test_pairs.lost) >= LEAST_LOSSES && pairs.n10 > 0,
    };
    let mut candidates: Vec<(LossCandidate, Vec<f64>, f64)> = Vec::new();
    for kind in LossKind::ALL.into_iter().filter(|kind| may(*kind)) {
        let model = estimate::model(kind, &seen, train, true);
        let chain = model.chain();
        let by_block: Vec<f64> =
            test.iter().map(|stretch| chain.log_likelihood(&seen, std::slice::from_ref(stretch))).collect();
        let log: f64 = by_block.iter().sum();
        let [bursts, gaps] = chain.distances(&test_runs);
        let log_likelihood = Some(log / test_pairs.known.max(1) as f64).filter(|log| log.is_finite());
        let held_out = HeldOut { log_likelihood, bursts, gaps };
        let bic = bic(chain.log_likelihood(&seen, train), kind, pairs.known);
        candidates.push((LossCandidate { kind, model, held_out, chosen: false }, by_block, bic));
    }
    let chosen = choose(&candidates, options.seed);
    let mut candidates: Vec<LossCandidate> = candidates.into_iter().map(|(candidate, ..)| candidate).collect();
    let mut of_both = [None, None];
    let mut kind = LossKind::None;
    if let Some(candidate) = candidates.get_mut(chosen) {
        candidate.chosen = true;
        kind = candidate.kind;
        let HeldOut { bursts, gaps, .. } = candidate.held_out;
        let within = |distance: Option<Distance>, fitted: usize| {
            let distance = distance.filter(|_| fitted > 0)?;
            let noise = KS_BOUND * (1.0 / distance.runs as f64 + 1.0 / fitted as f64).sqrt();
            Some(distance.ks <= noise)
        };
        of_both = [within(bursts, train_runs.bursts.len()), within(gaps, train_runs.gaps.len())];
    }
    let model = estimate::model(kind, &seen, &halves.concat(), false);
    let parameters = interval::parameters(kind, &model, &seen, &all);
    let [bursts_accepted, gaps_accepted] = of_both;
    let accepted = of_both.into_iter().flatten().reduce(|one, other| one && other);
    LossFit {
        known: all.known,
        lost: all.lost,
        ratio: all.lost as f64 / all.known.max(1) as f64,
        ratio_interval: crate::stats::wilson(all.lost, all.known),
        burst: mean(&all_runs.bursts),
        longest_burst: all_runs.bursts.iter().copied().max().unwrap_or(0),
        chosen: ChosenLoss { kind, model, parameters },
        candidates,
        bursts_accepted,
        gaps_accepted,
        accepted,
    }
}

/// Schwarz's criterion (Ann. Stat. 6, 1978): less is better.
fn bic(log_likelihood: f64, kind: LossKind, packets: u64) -> f64 {
    kind.parameters() as f64 * (packets.max(1) as f64).ln() - 2.0 * log_likelihood
}

/// The simplest candidate than which none is better by more than the noise. A richer one is better where the lower 99 %
/// bound of its gain in held-out log-likelihood, blocks resampled, is above zero, and where its BIC on what was fitted is
/// less as well.
fn choose(candidates: &[(LossCandidate, Vec<f64>, f64)], seed: u64) -> usize {
    let mut chosen = 0;
    let mut held: Option<&(LossCandidate, Vec<f64>, f64)> = None;
    for (number, candidate) in candidates.iter().enumerate() {
        let better = held.is_none_or(|(_, before, bic)| {
            let gains: Vec<f64> = candidate
                .1
                .iter()
                .zip(before)
                .map(|(richer, simpler)| if *simpler == f64::NEG_INFINITY { 1e9 } else { richer - simpler })
                .collect();
            candidate.2 < *bic && gain_bound(&gains, seed) > 0.0
        });
        if better {
            (chosen, held) = (number, Some(candidate));
        }
    }
    chosen
}

fn mean(lengths: &[usize]) -> Option<f64> {
    (!lengths.is_empty()).then(|| lengths.iter().sum::<usize>() as f64 / lengths.len() as f64)
}

#[cfg(test)]
mod tests;
