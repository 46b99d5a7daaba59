//! Bursts of losses: their length, and the chain of two states that makes them.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;

use shaper_common::units::Probability;

use super::outcome::{LossOutcome, fraction};
use super::{LossError, threshold};

/// The mean length of a burst of losses in packets: at least 1, in thousandths.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Hash)]
pub struct BurstLength {
    thousandths: u32,
}

impl BurstLength {
    const MOST: f64 = 1e6;

    /// In packets.
    #[must_use]
    pub fn packets(self) -> f64 {
        f64::from(self.thousandths) / 1_000.0
    }
}

impl FromStr for BurstLength {
    type Err = LossError;

    fn from_str(text: &str) -> Result<Self, LossError> {
        let packets: f64 = text.parse().map_err(|_| LossError::Burst { text: text.to_owned() })?;
        if !(1.0..=Self::MOST).contains(&packets) {
            return Err(LossError::Burst { text: text.to_owned() });
        }
        Ok(Self { thousandths: (packets * 1_000.0).round() as u32 })
    }
}

impl fmt::Display for BurstLength {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.packets())
    }
}

/// The longest burst that can be asked for: with more the cut is far behind any burst.
pub(super) const LONGEST: u32 = 1_000_000;

/// Bursts as they are compiled: thresholds for a 32-bit draw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BurstChain {
    /// A packet behind one that came through begins a burst.
    pub start: Probability,
    /// A packet behind a lost one comes through; so does, whatever is drawn, the one behind [`Self::max`] lost ones.
    pub leave: Probability,
    /// The most packets lost in a row.
    pub max: Option<NonZeroU32>,
}

impl BurstChain {
    /// Bursts that lose this ratio in the long run, have this mean length, and are no longer than `max`.
    ///
    /// Uncut, a burst ends behind each packet with `r = 1 / burst`. Cut at `max` its mean is
    /// `1 + (1-r) + ... + (1-r)^(max-1) = (1 - (1-r)^max) / r`, which falls from `max` at `r = 0` to 1 at `r = 1`: `r` is
    /// found by bisection. The ratio is `burst / (burst + 1/start)`, of the burst that comes of the rounded `r`.
    pub(super) fn new(ratio: f64, burst: BurstLength, max: Option<NonZeroU32>) -> Self {
        let Some(most) = max else {
            let length = burst.packets();
            return Self { start: threshold(start(ratio, length)), leave: threshold(1.0 / length), max };
        };
        let (mut low, mut high) = (0.0, 1.0);
        // To the last bit that a threshold has.
        for _ in 0..40 {
            let middle = f64::midpoint(low, high);
            if cut_mean(middle, most.get()) > burst.packets() {
                low = middle;
            } else {
                high = middle;
            }
        }
        let leave = threshold(high);
        let (mean, _) = moments(fraction(leave), most.get());
        Self { start: threshold(start(ratio, mean)), leave, max }
    }

    /// What comes out, by the thresholds.
    ///
    /// Runs that come through have the mean `g = 1/start` and the variance `(1 - start) / start^2`; bursts have the mean
    /// `b` and the variance `v` of the cut geometric law. Runs are independent, so the number of losses among many
    /// packets is a renewal reward process: its variance a packet is `((1-q)^2 v + q^2 (1 - start) / start^2) / (b + g)`
    /// with the ratio `q = b / (b + g)` (Cox, "Renewal Theory", 1962, chapters 7 and 8).
    pub(super) fn outcome(&self) -> LossOutcome {
        let (start, most) = (fraction(self.start), self.max.map_or(LONGEST, NonZeroU32::get));
        if start <= 0.0 {
            return LossOutcome::independent(0.0);
        }
        let (burst, square) = moments(fraction(self.leave), most);
        let through = 1.0 / start;
        let ratio = burst / (burst + through);
        let spread =
            (1.0 - ratio).powi(2) * (square - burst * burst) + ratio * ratio * (1.0 - start) * through * through;
        let variance = spread / (burst + through);
        LossOutcome { ratio, burst, inflation: (variance / (ratio * (1.0 - ratio))).max(f64::MIN_POSITIVE) }
    }
}

/// The probability that a packet begins a burst, for this ratio in the long run.
fn start(ratio: f64, burst: f64) -> f64 {
    ratio / ((1.0 - ratio) * burst)
}

/// `(1 - (1-r)^most) / r`, the power by squaring: a library's may differ in its last bits from system to system.
fn cut_mean(r: f64, most: u32) -> f64 {
    let (mut power, mut base, mut left) = (1.0, 1.0 - r, most);
    while left > 0 {
        if left & 1 == 1 {
            power *= base;
        }
        base *= base;
        left >>= 1;
    }
    (1.0 - power) / r
}

/// Mean and mean square of a burst: sums of `(1-r)^k` and `(2k+1) (1-r)^k` for `k` below `most`.
fn moments(r: f64, most: u32) -> (f64, f64) {
    let (mut mean, mut square, mut longer) = (0.0, 0.0, 1.0);
    for k in 0..most {
        mean += longer;
        square += f64::from(2 * k + 1) * longer;
        longer *= 1.0 - r;
        if longer < 1e-18 {
            break;
        }
    }
    (mean, square)
}

#[cfg(test)]
mod tests {
    use super::super::Loss;
    use super::*;

    fn chain(text: &str) -> BurstChain {
        text.parse::<Loss>().unwrap().bursts().unwrap()
    }

    #[test]
    fn ratio_and_mean_burst_stay_as_asked_for_where_bursts_are_cut() {
        for (text, ratio, burst) in [
            ("5% burst 3 max 10", 0.05, 3.0),
            ("5% burst 3 max 4", 0.05, 3.0),
            ("20% burst 1.001 max 2", 0.2, 1.001),
            ("40% burst 9.9 max 10", 0.4, 9.9),
            ("1% burst 1 max 1", 0.01, 1.0),
            ("0.1% burst 400 max 1000000", 0.001, 400.0),
        ] {
            let outcome = text.parse::<Loss>().unwrap().outcome();
            // Thresholds are rounded to 2^-33.
            let rounding = 1e-6 + 2f64.powi(-33) / fraction(chain(text).start);
            assert!((outcome.ratio / ratio - 1.0).abs() < rounding, "{text}: {outcome:?}");
            assert!((outcome.burst / burst - 1.0).abs() < 1e-6, "{text}: {outcome:?}");
        }
    }

    #[test]
    fn an_uncut_burst_and_one_cut_far_behind_it_are_the_same() {
        let (cut, uncut) = (chain("5% burst 3 max 1000"), chain("5% burst 3"));
        assert!(cut.leave.0.abs_diff(uncut.leave.0) <= 1 && cut.start.0.abs_diff(uncut.start.0) <= 1);
        let [cut, uncut] = ["5% burst 3 max 1000", "5% burst 3"].map(|text| text.parse::<Loss>().unwrap().outcome());
        assert!((cut.inflation / uncut.inflation - 1.0).abs() < 1e-6, "{cut:?} {uncut:?}");
    }

    #[test]
    fn the_first_packet_meets_a_cut_chain_as_if_it_had_gone_on_for_ever() {
        let chain = "40% burst 9.9 max 10".parse::<Loss>().unwrap().chain().unwrap();
        assert!((fraction(chain.first[0]) - 0.6).abs() < 1e-9 && fraction(chain.first[1]) == 1.0, "{chain:?}");
    }

    #[test]
    fn the_variance_is_that_of_the_chain_written_out() {
        // A state for each packet of a burst: the correlations of all distances, summed.
        let chain = chain("10% burst 2 max 3");
        let (p, r) = (fraction(chain.start), fraction(chain.leave));
        let step = |at: [f64; 4]| {
            let [up, first, second, third] = at;
            [up * (1.0 - p) + (first + second) * r + third, up * p, first * (1.0 - r), second * (1.0 - r)]
        };
        let mut share = [1.0, 0.0, 0.0, 0.0];
        (0..10_000).for_each(|_| share = step(share));
        let ratio = 1.0 - share[0];
        let mut later = [0.0, share[1] / ratio, share[2] / ratio, share[3] / ratio];
        let mut inflation = 1.0;
        for _ in 0..10_000 {
            later = step(later);
            inflation += 2.0 * (1.0 - later[0] - ratio) / (1.0 - ratio);
        }
        let outcome = chain.outcome();
        assert!((outcome.ratio - ratio).abs() < 1e-9, "{outcome:?} instead of {ratio}");
        assert!((outcome.inflation - inflation).abs() < 1e-6, "{outcome:?} instead of {inflation}");
    }
}
