//! Chains of hidden states: how likely they make a series of losses, and their estimation (Baum-Welch).

use std::ops::Range;

/// What is known of a packet: whether it was lost, or nothing.
pub(super) type Seen = Option<bool>;

/// A product of likelihoods below this goes into the logarithm.
const SMALL: f64 = 1e-200;
/// Rounds of estimation at most, and the gain in log-likelihood a packet at which they end.
const ROUNDS: usize = 400;
const SETTLED: f64 = 1e-9;

/// A chain of `N` hidden states that loses a packet with a probability for each state.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Hidden<const N: usize> {
    /// From a state (row) to another.
    pub(super) step: [[f64; N]; N],
    /// The probability of a loss in each.
    pub(super) lose: [f64; N],
}

/// Expected counts of a round.
struct Counts<const N: usize> {
    steps: [[f64; N]; N],
    losses: [f64; N],
    known: [f64; N],
}

impl<const N: usize> Hidden<N> {
    /// The probability of what was seen, by state.
    fn emission(&self, seen: Seen) -> [f64; N] {
        match seen {
            Some(true) => self.lose,
            Some(false) => self.lose.map(|lose| 1.0 - lose),
            None => [1.0; N],
        }
    }

    /// A packet later.
    pub(super) fn after(&self, at: &[f64; N]) -> [f64; N] {
        std::array::from_fn(|to| (0..N).map(|from| at[from] * self.step[from][to]).sum())
    }

    /// The share of packets in each state in the long run, by squaring; averaged over two packets, for chains that go
    /// in a circle.
    pub(super) fn stationary(&self) -> [f64; N] {
        let mut power = self.step;
        for _ in 0..40 {
            let half = power;
            let row = |from: usize| -> [f64; N] {
                std::array::from_fn(|to| (0..N).map(|over| half[from][over] * half[over][to]).sum())
            };
            power = std::array::from_fn(row);
            for row in &mut power {
                let sum: f64 = row.iter().sum();
                row.iter_mut().for_each(|share| *share /= sum.max(f64::MIN_POSITIVE));
            }
        }
        let even = power[0];
        let odd = self.after(&even);
        std::array::from_fn(|state| f64::midpoint(even[state], odd[state]))
    }

    /// Walks forward over a stretch, which the chain meets as if it had gone on for ever: `each` is given the share of each
    /// state behind a packet, and how likely that packet was behind those before it. The natural logarithm of the stretch's
    /// likelihood; where the chain cannot make a packet the walk ends before it.
    fn forward(&self, start: &[f64; N], seen: &[Seen], mut each: impl FnMut(&[f64; N], f64)) -> f64 {
        let mut at = *start;
        let (mut log, mut product) = (0.0, 1.0);
        for (number, seen) in seen.iter().enumerate() {
            if number > 0 {
                at = self.after(&at);
            }
            let emission = self.emission(*seen);
            for (share, emission) in at.iter_mut().zip(emission) {
                *share *= emission;
            }
            let sum: f64 = at.iter().sum();
            if sum <= 0.0 {
                return f64::NEG_INFINITY;
            }
            at.iter_mut().for_each(|share| *share /= sum);
            each(&at, sum);
            product *= sum;
            if product < SMALL {
                log += product.ln();
                product = 1.0;
            }
        }
        log + product.ln()
    }

    /// The natural logarithm of the likelihood of a stretch.
    pub(super) fn log_likelihood(&self, start: &[f64; N], seen: &[Seen]) -> f64 {
        self.forward(start, seen, |_, _| {})
    }

    /// The same over several stretches.
    pub(super) fn log_likelihood_of(&self, seen: &[Seen], stretches: &[Range<usize>]) -> f64 {
        let start = self.stationary();
        stretches.iter().filter_map(|stretch| seen.get(stretch.clone())).map(|s| self.log_likelihood(&start, s)).sum()
    }

    /// Estimates the chain by expectation and maximisation from itself on (Baum, Petrie, Soules and Weiss, Ann. Math.
    /// Stat. 41, 1970, scaled as by Rabiner, Proc. IEEE 77, 1989): at most so many rounds. What is impossible, or certain,
    /// stays so. Each stretch begins as if the chain had gone on for ever.
    pub(super) fn estimated(mut self, seen: &[Seen], stretches: &[Range<usize>], rounds: Option<usize>) -> Self {
        let packets: usize = stretches.iter().map(Range::len).sum();
        let longest = stretches.iter().map(Range::len).max().unwrap_or(0);
        let mut forward = vec![([0.0; N], 1.0); longest];
        let mut before = f64::NEG_INFINITY;
        for _ in 0..rounds.unwrap_or(ROUNDS) {
            let mut counts = Counts { steps: [[0.0; N]; N], losses: [0.0; N], known: [0.0; N] };
            let start = self.stationary();
            let mut log = 0.0;
            for stretch in stretches.iter().filter_map(|stretch| seen.get(stretch.clone())) {
                log += self.count(&start, stretch, &mut forward, &mut counts);
            }
            if !log.is_finite() {
                break;
            }
            self = self.renewed(&counts);
            if log - before < SETTLED * packets as f64 {
                break;
            }
            before = log;
        }
        self
    }

    fn renewed(&self, counts: &Counts<N>) -> Self {
        let mut next = *self;
        for (row, steps) in next.step.iter_mut().zip(&counts.steps) {
            let sum: f64 = steps.iter().sum();
            if sum > 0.0 {
                *row = steps.map(|steps| steps / sum);
            }
        }
        for ((lose, losses), known) in next.lose.iter_mut().zip(counts.losses).zip(counts.known) {
            if known > 0.0 {
                *lose = (losses / known).min(1.0);
            }
        }
        next
    }

    /// One forward and one backward walk over a stretch; its log-likelihood.
    fn count(&self, start: &[f64; N], seen: &[Seen], forward: &mut [([f64; N], f64)], counts: &mut Counts<N>) -> f64 {
        let mut places = forward.iter_mut();
        let log = self.forward(start, seen, |at, sum| {
            if let Some(place) = places.next() {
                *place = (*at, sum);
            }
        });
        if log == f64::NEG_INFINITY {
            return log;
        }
        // Behind the last packet anything may come.
        let mut behind = [1.0; N];
        for (number, seen_here) in seen.iter().enumerate().rev() {
            let Some((at, sum)) = forward.get(number) else { return f64::NEG_INFINITY };
            if let Some(lost) = seen_here {
                for (state, share) in at.iter().zip(behind).map(|(at, behind)| at * behind).enumerate() {
                    counts.known[state] += share;
                    counts.losses[state] += if *lost { share } else { 0.0 };
                }
            }
            let Some((earlier, _)) = number.checked_sub(1).and_then(|earlier| forward.get(earlier)) else { break };
            let emission = self.emission(*seen_here);
            let ahead: [f64; N] = std::array::from_fn(|to| emission[to] * behind[to] / sum);
            behind = std::array::from_fn(|from| {
                let shares: [f64; N] = std::array::from_fn(|to| self.step[from][to] * ahead[to]);
                for (steps, share) in counts.steps[from].iter_mut().zip(shares) {
                    *steps += earlier[from] * share;
                }
                shares.iter().sum()
            });
        }
        log
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GILBERT: Hidden<2> = Hidden { step: [[0.9, 0.1], [0.4, 0.6]], lose: [0.05, 0.7] };

    /// The sum over all ways through the states, written out.
    fn likelihood(chain: &Hidden<2>, seen: &[Seen]) -> f64 {
        let start = chain.stationary();
        (0..1u32 << seen.len())
            .map(|way| {
                let state = |number: usize| (way >> number & 1) as usize;
                seen.iter().enumerate().fold(1.0, |product, (number, seen)| {
                    let came = if number == 0 { start[state(0)] } else { chain.step[state(number - 1)][state(number)] };
                    product * came * chain.emission(*seen)[state(number)]
                })
            })
            .sum()
    }

    #[test]
    fn the_likelihood_is_the_sum_over_all_ways() {
        let seen = [Some(false), Some(true), None, Some(true), Some(true), Some(false), Some(false), None, Some(true)];
        let log = GILBERT.log_likelihood(&GILBERT.stationary(), &seen);
        assert!((log - likelihood(&GILBERT, &seen).ln()).abs() < 1e-12);
        let again = GILBERT.log_likelihood_of(&seen, &[0..4, 4..9]);
        let parts = likelihood(&GILBERT, &seen[..4]) * likelihood(&GILBERT, &seen[4..]);
        assert!((again - parts.ln()).abs() < 1e-12);
    }

    #[test]
    fn in_the_long_run_a_chain_is_in_each_state_as_it_comes_and_goes() {
        let [good, bad] = GILBERT.stationary();
        assert!((good - 0.8).abs() < 1e-12 && (bad - 0.2).abs() < 1e-12);
        let circle: Hidden<2> = Hidden { step: [[0.0, 1.0], [1.0, 0.0]], lose: [0.0, 1.0] };
        assert_eq!(circle.stationary(), [0.5, 0.5]);
    }

    #[test]
    fn what_the_chain_cannot_make_has_no_likelihood() {
        let clean: Hidden<1> = Hidden { step: [[1.0]], lose: [0.0] };
        assert_eq!(clean.log_likelihood(&[1.0], &[Some(false), Some(true)]), f64::NEG_INFINITY);
        assert_eq!(clean.log_likelihood(&[1.0], &[Some(false), None]), 0.0);
    }

    #[test]
    fn each_round_of_estimation_makes_what_was_seen_likelier() {
        let mut draws = crate::fit::draws::Draws::new(5);
        let mut state = 0;
        let seen: Vec<Seen> = (0..4_000)
            .map(|_| {
                state = usize::from(draws.uniform() >= GILBERT.step[state][0]);
                Some(draws.uniform() < GILBERT.lose[state])
            })
            .collect();
        let all = 0..seen.len();
        let all = std::slice::from_ref(&all);
        let mut chain = Hidden { step: [[0.7, 0.3], [0.5, 0.5]], lose: [0.1, 0.9] };
        let mut before = chain.log_likelihood_of(&seen, all);
        for round in 0..30 {
            chain = chain.estimated(&seen, all, Some(1));
            let log = chain.log_likelihood_of(&seen, all);
            // The first state's share is not maximised, one packet's worth.
            assert!(log > before - 0.05, "round {round}: {log} behind {before}");
            before = log;
        }
    }
}
