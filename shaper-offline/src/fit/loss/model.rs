//! Models of loss, as chains of hidden states and by their parameters.

use std::ops::Range;

use serde::Serialize;

use super::hidden::{Hidden, Seen};
use super::runs::{Distance, Runs};

/// How packets are lost. Probabilities are fractions of one.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case", tag = "model")]
pub enum LossModel {
    /// No packet is lost.
    None,
    /// Each packet on its own.
    Independent {
        /// Packets lost.
        ratio: f64,
    },
    /// In bursts: what is lost stays lost with `1 - 1/burst`, and a burst begins with `ratio / ((1 - ratio) burst)`.
    Bursts {
        /// Packets lost in the long run.
        ratio: f64,
        /// Mean length of a burst, in packets.
        burst: f64,
    },
    /// Two states, of which the good one loses `good` and the bad one `bad` (Elliott, 1963). With `good` 0 it is Gilbert's
    /// (1960), and with `bad` 1 as well the simple Gilbert model.
    GilbertElliott {
        /// From the good state to the bad.
        p: f64,
        /// From the bad state to the good.
        r: f64,
        /// Loss in the bad state, 1-h.
        bad: f64,
        /// Loss in the good state, 1-k.
        good: f64,
    },
    /// Four states: 1 receives in a gap, 2 receives in a burst, 3 loses in a burst, 4 loses alone in a gap.
    FourState {
        /// Into a burst.
        p13: f64,
        /// Out of a burst.
        p31: f64,
        /// From losing to receiving within a burst.
        p32: f64,
        /// Back to losing within a burst.
        p23: f64,
        /// To a single loss.
        p14: f64,
    },
}

/// A model as the chain that it is.
#[derive(Clone, Copy, Debug)]
pub(super) enum Chain {
    One(Hidden<1>),
    Two(Hidden<2>),
    Four(Hidden<4>),
}

impl Chain {
    /// The log-likelihood of stretches.
    pub(super) fn log_likelihood(&self, seen: &[Seen], stretches: &[Range<usize>]) -> f64 {
        match self {
            Self::One(chain) => chain.log_likelihood_of(seen, stretches),
            Self::Two(chain) => chain.log_likelihood_of(seen, stretches),
            Self::Four(chain) => chain.log_likelihood_of(seen, stretches),
        }
    }

    /// How far bursts and gaps are from the chain's.
    pub(super) fn distances(&self, runs: &Runs) -> [Option<Distance>; 2] {
        [(&runs.bursts, true), (&runs.gaps, false)].map(|(lengths, of_losses)| match self {
            Self::One(chain) => chain.distance(lengths, of_losses),
            Self::Two(chain) => chain.distance(lengths, of_losses),
            Self::Four(chain) => chain.distance(lengths, of_losses),
        })
    }

    /// Packets lost in the long run.
    fn ratio(&self) -> f64 {
        fn of<const N: usize>(chain: &Hidden<N>) -> f64 {
            chain.stationary().iter().zip(chain.lose).map(|(share, lose)| share * lose).sum()
        }
        match self {
            Self::One(chain) => of(chain),
            Self::Two(chain) => of(chain),
            Self::Four(chain) => of(chain),
        }
    }
}

impl LossModel {
    /// As a chain of states.
    pub(super) fn chain(&self) -> Chain {
        match *self {
            Self::None => Chain::One(Hidden { step: [[1.0]], lose: [0.0] }),
            Self::Independent { ratio } => Chain::One(Hidden { step: [[1.0]], lose: [ratio] }),
            Self::Bursts { ratio, burst } => {
                let start = (ratio / ((1.0 - ratio) * burst)).min(1.0);
                Chain::Two(two(start, 1.0 / burst, 1.0, 0.0))
            }
            Self::GilbertElliott { p, r, bad, good } => Chain::Two(two(p, r, bad, good)),
            Self::FourState { p13, p31, p32, p23, p14 } => Chain::Four(four([p13, p31, p32, p23, p14])),
        }
    }

    /// Packets lost in the long run, over packets.
    #[must_use]
    pub fn ratio(&self) -> f64 {
        self.chain().ratio()
    }

    /// The parameters with their names, in the order of the profile's words.
    #[must_use]
    pub fn parameters(&self) -> Vec<(&'static str, f64)> {
        match *self {
            Self::None => Vec::new(),
            Self::Independent { ratio } => vec![("ratio", ratio)],
            Self::Bursts { ratio, burst } => vec![("ratio", ratio), ("burst", burst)],
            Self::GilbertElliott { p, r, bad, good } => vec![("p", p), ("r", r), ("1-h", bad), ("1-k", good)],
            Self::FourState { p13, p31, p32, p23, p14 } => {
                vec![("p13", p13), ("p31", p31), ("p32", p32), ("p23", p23), ("p14", p14)]
            }
        }
    }

    /// The same with other values of a chain's probabilities, in the order of [`Self::parameters`].
    pub(super) fn with(&self, values: &[f64]) -> Self {
        match (*self, values) {
            (Self::GilbertElliott { .. }, &[p, r, bad, good]) => Self::GilbertElliott { p, r, bad, good },
            (Self::FourState { .. }, &[p13, p31, p32, p23, p14]) => Self::FourState { p13, p31, p32, p23, p14 },
            (same, _) => same,
        }
    }
}

/// A good state, 0, and a bad one, 1.
pub(super) const fn two(p: f64, r: f64, bad: f64, good: f64) -> Hidden<2> {
    Hidden { step: [[1.0 - p, p], [r, 1.0 - r]], lose: [good, bad] }
}

/// netem's four states, in their order; p13, p31, p32, p23, p14.
pub(super) fn four([p13, p31, p32, p23, p14]: [f64; 5]) -> Hidden<4> {
    let rest = |sum: f64| (1.0 - sum).max(0.0);
    Hidden {
        step: [
            [rest(p13 + p14), 0.0, p13, p14],
            [0.0, rest(p23), p23, 0.0],
            [p31, p32, rest(p31 + p32), 0.0],
            [1.0, 0.0, 0.0, 0.0],
        ],
        lose: [0.0, 0.0, 1.0, 1.0],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bursts_have_the_ratio_and_the_two_state_chain_that_they_say() {
        let bursts = LossModel::Bursts { ratio: 0.05, burst: 3.0 };
        assert!((bursts.ratio() - 0.05).abs() < 1e-12);
        let Chain::Two(chain) = bursts.chain() else { panic!() };
        assert!((chain.step[0][1] - 0.05 / (0.95 * 3.0)).abs() < 1e-15 && (chain.step[1][1] - 2.0 / 3.0).abs() < 1e-15);
    }

    #[test]
    fn four_states_lose_what_their_balance_says() {
        // In units of state 1: state 3 is entered by p13 and left for good by p31, state 2 holds p32/p23 of it, 4 p14.
        let model = LossModel::FourState { p13: 0.01, p31: 0.5, p32: 0.1, p23: 0.3, p14: 0.005 };
        let (three, four) = (0.01 / 0.5, 0.005);
        let expected = (three + four) / (1.0 + three * (1.0 + 0.1 / 0.3) + four);
        assert!((model.ratio() - expected).abs() < 1e-12, "{}", model.ratio());
    }
}
