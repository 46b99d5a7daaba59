//! Bursts: how many copies of a message are sent, and how far apart.

use serde::{Deserialize, Serialize};

use crate::rng::SplitMix64;
use crate::units::Nanos;

/// The spacing between neighbouring copies.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Gaps {
    /// Drawn anew for each gap, uniform from 0 to `max`.
    Uniform {
        /// Largest gap.
        max: Nanos,
    },
    /// The gap after copy i is `first` x `ratio`^i.
    Geometric {
        /// The gap after the first copy.
        first: Nanos,
        /// Growth from one gap to the next.
        ratio: f64,
    },
}

/// A burst's shape.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct BurstConfig {
    /// Copies sent, the first included; at least 1, which is no burst.
    pub copies: u8,
    /// Spacing between them.
    pub gaps: Gaps,
}

impl Default for BurstConfig {
    fn default() -> Self {
        Self::STANDARD
    }
}

impl BurstConfig {
    /// What TOAST v2 sends: 3 copies, uniform gaps of 0 to 500 us.
    pub const STANDARD: BurstConfig = BurstConfig { copies: 3, gaps: Gaps::Uniform { max: Nanos::from_micros(500) } };

    /// What the burst tool sends: 8 copies, gaps of 50 us x 1.2^i.
    pub const TOOL: BurstConfig =
        BurstConfig { copies: 8, gaps: Gaps::Geometric { first: Nanos::from_micros(50), ratio: 1.2 } };

    /// One copy.
    pub const SINGLE: BurstConfig = BurstConfig { copies: 1, ..BurstConfig::STANDARD };

    /// The longest a burst can last, from its first copy to its last.
    #[must_use]
    pub fn longest(&self) -> Nanos {
        let gaps = u64::from(self.copies.saturating_sub(1));
        match self.gaps {
            Gaps::Uniform { max } => max.times(gaps),
            Gaps::Geometric { .. } => {
                (0..self.copies.saturating_sub(1)).fold(Nanos::ZERO, |sum, i| sum + self.geometric_gap(i))
            }
        }
    }

    fn geometric_gap(&self, i: u8) -> Nanos {
        match self.gaps {
            // Multiplied step by step: `powi` rounds differently from build to build.
            Gaps::Geometric { first, ratio } => Nanos((0..i).fold(first.0 as f64, |gap, _| gap * ratio) as u64),
            Gaps::Uniform { .. } => Nanos::ZERO,
        }
    }

    /// Each copy's send time after the first's.
    pub(crate) fn offsets(&self, rng: &mut SplitMix64) -> Vec<Nanos> {
        let mut at = Nanos::ZERO;
        let mut offsets = Vec::with_capacity(usize::from(self.copies));
        for i in 0..self.copies {
            offsets.push(at);
            at = at
                + match self.gaps {
                    Gaps::Uniform { max } => Nanos(rng.up_to(max.0)),
                    Gaps::Geometric { .. } => self.geometric_gap(i),
                };
        }
        offsets
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn standard_gaps_are_uniform_up_to_500_us() {
        let mut rng = SplitMix64::new(5);
        let mut gaps: Vec<u64> = (0..2_000)
            .flat_map(|_| {
                let o = BurstConfig::STANDARD.offsets(&mut rng);
                assert_eq!((o.len(), o[0]), (3, Nanos::ZERO));
                [(o[1] - o[0]).0, (o[2] - o[1]).0]
            })
            .collect();
        gaps.sort_unstable();
        // Kolmogorov-Smirnov at 0.001: 1.95 / sqrt(4000) = 0.031.
        let worst = gaps
            .iter()
            .enumerate()
            .map(|(i, &g)| (i as f64 / gaps.len() as f64 - g as f64 / 500_000.0).abs())
            .fold(0.0, f64::max);
        assert!(worst < 0.031, "{worst}");
        assert!(gaps.last().is_some_and(|&g| g <= 500_000));
        assert_eq!(BurstConfig::STANDARD.longest(), Nanos::from_millis(1));
    }

    #[test]
    fn tool_gaps_grow_by_a_fifth() {
        let offsets = BurstConfig::TOOL.offsets(&mut SplitMix64::new(1));
        assert_eq!(offsets.len(), 8);
        assert_eq!(offsets[1], Nanos::from_micros(50));
        assert_eq!(offsets[2], Nanos::from_micros(110));
        assert_eq!(offsets[3], Nanos::from_micros(182));
        assert_eq!(*offsets.last().unwrap(), BurstConfig::TOOL.longest());
    }

    #[test]
    fn one_copy_takes_no_time() {
        assert_eq!(BurstConfig::SINGLE.longest(), Nanos::ZERO);
        assert_eq!(BurstConfig::SINGLE.offsets(&mut SplitMix64::new(1)), [Nanos::ZERO]);
    }
}
