//! What a chain of losses comes out as in the long run, by its thresholds as they are compiled.

use shaper_common::loss::{Chain, PATTERN, STATES};
use shaper_common::units::Probability;

/// Steps after which a chain's memory is counted as gone.
const STEPS: u32 = 1 << 20;
/// A correlation below this adds nothing.
const GONE: f64 = 1e-12;

/// Loss in the long run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LossOutcome {
    /// Packets lost over packets.
    pub ratio: f64,
    /// Packets lost in a row, in the mean; zero where none is lost, infinite where all are.
    pub burst: f64,
    /// How many times larger the variance of the ratio is than that of independent losses: so many packets say as
    /// much as one independent one. `1 + 2 sum of the correlations at all distances`.
    pub inflation: f64,
}

impl LossOutcome {
    /// Each packet on its own.
    #[must_use]
    pub fn independent(ratio: f64) -> Self {
        Self { ratio, burst: if ratio < 1.0 { 1.0 / (1.0 - ratio) } else { f64::INFINITY }, inflation: 1.0 }
    }

    /// By a pattern of so many packets; of a period longer than a pattern the last packet.
    pub(super) fn repeating(period: u32, pattern: u64) -> Self {
        let lost = if period > PATTERN { 1 } else { pattern.count_ones() };
        let is_lost = |place: u32| period > PATTERN && place + 1 == period || pattern >> (place % PATTERN) & 1 == 1;
        let begins = match period {
            0..=PATTERN => {
                (0..period).filter(|place| is_lost(*place) && !is_lost((place + period - 1) % period)).count()
            }
            _ => 1,
        };
        let (lost, begins) = (f64::from(lost), begins as f64);
        // What is certain varies less than what is drawn; counted as if it were drawn, it is not refuted too soon.
        Self { ratio: lost / f64::from(period), burst: if lost > 0.0 { lost / begins } else { 0.0 }, inflation: 1.0 }
    }

    /// By a chain.
    #[must_use]
    pub fn of(chain: &Chain) -> Self {
        let (steps, share) = (steps(chain), stationary(chain));
        let lose: [f64; STATES] = std::array::from_fn(|state| fraction(chain.lose[state]));
        let sum = |weights: &[f64; STATES]| weights.iter().zip(&lose).map(|(weight, lose)| weight * lose).sum::<f64>();
        let ratio = sum(&share);
        if ratio <= 0.0 || ratio >= 1.0 {
            return Self::independent(ratio);
        }
        // A burst begins where a packet is spared and the next one lost.
        let spared: [f64; STATES] = std::array::from_fn(|state| share[state] * (1.0 - lose[state]));
        let begins = sum(&after(&steps, &spared));
        // From the packets that are lost on: how likely the one so far behind is lost too.
        let mut later: [f64; STATES] = std::array::from_fn(|state| share[state] * lose[state] / ratio);
        let mut inflation = 1.0;
        for _ in 0..STEPS {
            later = after(&steps, &later);
            let correlation = (sum(&later) - ratio) / (1.0 - ratio);
            inflation += 2.0 * correlation;
            if correlation.abs() < GONE {
                break;
            }
        }
        Self { ratio, burst: ratio / begins, inflation: inflation.max(f64::MIN_POSITIVE) }
    }
}

pub(super) fn fraction(probability: Probability) -> f64 {
    probability.0 as f64 / 2f64.powi(32)
}

/// The probabilities of going from a state (rows) to another.
fn steps(chain: &Chain) -> [[f64; STATES]; STATES] {
    let mut steps = [[0.0; STATES]; STATES];
    for (state, row) in steps.iter_mut().enumerate() {
        let [first, both] = chain.leave[state].map(fraction);
        let [to_first, to_second] = chain.to[state].map(|to| to as usize % STATES);
        row[to_first] += first;
        row[to_second] += both - first;
        row[state] += 1.0 - both;
    }
    steps
}

/// Where the chain is a packet later.
fn after(steps: &[[f64; STATES]; STATES], at: &[f64; STATES]) -> [f64; STATES] {
    std::array::from_fn(|to| (0..STATES).map(|from| at[from] * steps[from][to]).sum())
}

/// The share of packets in each state in the long run: what it is after so many packets as make no difference, by
/// squaring, averaged over two packets for chains that go in a circle.
pub(super) fn stationary(chain: &Chain) -> [f64; STATES] {
    let mut power = steps(chain);
    for _ in 0..64 {
        let half = power;
        power = std::array::from_fn(|from| after(&half, &half[from]));
        // Rounding must not add up over 2^64 packets.
        for row in &mut power {
            let sum: f64 = row.iter().sum();
            row.iter_mut().for_each(|share| *share /= sum);
        }
    }
    let even = power[0];
    let odd = after(&steps(chain), &even);
    std::array::from_fn(|state| f64::midpoint(even[state], odd[state]))
}

#[cfg(test)]
mod tests {
    use super::super::Loss;
    use super::*;

    fn outcome(text: &str) -> LossOutcome {
        text.parse::<Loss>().unwrap().outcome()
    }

    fn near(measured: f64, expected: f64) {
        assert!((measured - expected).abs() <= 1e-6 * expected.abs().max(1.0), "{measured} instead of {expected}");
    }

    #[test]
    fn ratio_and_burst_come_out_as_asked_for() {
        for (text, ratio, burst) in [
            ("5% burst 3", 0.05, 3.0),
            ("0.1% burst 40", 0.001, 40.0),
            // Stays lost with q + rho (1 - q).
            ("5% correlation 25%", 0.05, 1.0 / (0.95 * 0.75)),
            ("5% correlation 0%", 0.05, 1.0 / 0.95),
            // p / (p + r), and 1 / r.
            ("gemodel 1% 10%", 1.0 / 11.0, 10.0),
        ] {
            near(outcome(text).ratio, ratio);
            near(outcome(text).burst, burst);
        }
        // (r (1-k) + p (1-h)) / (p + r)
        near(outcome("gemodel 2% 8% 70% 1%").ratio, (8.0 * 0.01 + 2.0 * 0.7) / 10.0);
    }

    #[test]
    fn four_states_lose_what_their_balance_says() {
        // Salsano and others, 2009: shares of states 3 and 4, from the balance of flows.
        let [p13, p31, p32, p23, p14] = [0.01, 0.5, 0.1, 0.3, 0.005];
        let weights = [1.0, p13 / p31 * p32 / p23, p13 / p31, p14];
        let ratio = (weights[2] + weights[3]) / weights.iter().sum::<f64>();
        near(outcome("state 1% 50% 10% 30% 0.5%").ratio, ratio);
    }

    #[test]
    fn patterns_lose_what_they_say() {
        for (text, ratio, burst) in [
            ("every 10", 0.1, 1.0),
            ("every 1000", 0.001, 1.0),
            ("pattern 0001", 0.25, 1.0),
            ("pattern 01101", 0.6, 1.5),
            // The last packet of one round and the first of the next are one burst.
            ("pattern 1001", 0.5, 2.0),
            ("pattern 000", 0.0, 0.0),
        ] {
            near(outcome(text).ratio, ratio);
            near(outcome(text).burst, burst);
        }
    }

    #[test]
    fn the_variance_grows_with_the_chains_memory() {
        // A chain of two states has correlation rho^k at distance k: 1 + 2 rho / (1 - rho).
        for (text, rho) in [
            ("5% correlation 25%", 0.25),
            ("5% burst 3", 1.0 - 1.0 / 3.0 - 0.05 / (0.95 * 3.0)),
            ("gemodel 1% 10%", 0.89),
        ] {
            near(outcome(text).inflation, (1.0 + rho) / (1.0 - rho));
        }
        near(outcome("5%").inflation, 1.0);
    }
}
