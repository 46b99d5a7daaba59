//! Measured against configured: whether a run got the link that it asked for.
//!
//! A run declares its checks before it looks at the figures; each statistical one gets an equal share of
//! the family-wise error (Bonferroni), so that the probability of a false "no" anywhere in the run is at
//! most [`Family::ERROR`]. "Yes" needs more than not being refuted: the interval of what was measured must
//! lie within the stated tolerance. What lies between is "too few".

mod binomial;
mod checks;
mod ks;
mod proportion;
mod special;

use serde::{Deserialize, Serialize};

pub use binomial::{binomial_p, clopper_pearson};
pub use checks::{
    KS_TOLERANCE, LatenessBound, OutageCounts, constant_delay, intended_delays, lateness, outages, shift,
};
pub use ks::{dkw_margin, ks_distance, ks_p};
pub use proportion::{loss, ratio_tolerance};

use crate::stats::Interval;

/// Whether measured agrees with configured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Agreement {
    /// Shown to lie within the tolerance.
    Yes,
    /// Shown to differ.
    No,
    /// Not enough packets to show either.
    TooFew,
}

impl Agreement {
    /// The word shown.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Yes => "yes",
            Self::No => "no",
            Self::TooFew => "too few",
        }
    }
}

/// One check of a direction.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Check {
    /// What is compared: `loss`, `outage`, `zero delay`, `intended delay`, `rate`, `shift`, `lateness`.
    pub name: String,
    /// The unit of `configured`, `measured`, `interval` and `tolerance`: `ratio`, `ms`, `us`, `packets`, or
    /// `distance` for the largest distance of two distribution functions.
    pub unit: String,
    /// What was asked for.
    pub configured: f64,
    /// What was got; null without packets.
    pub measured: Option<f64>,
    /// The interval of what was got, at this check's share of the family-wise error; for an exact check of
    /// a figure against an interval, the interval it must lie in; null otherwise.
    pub interval: Option<Interval>,
    /// How far from configured still agrees.
    pub tolerance: f64,
    /// The probability of a result at least as far off if the link were as configured; null where the
    /// check is exact, and for `shift`.
    pub p: Option<f64>,
    /// Packets looked at.
    pub n: u64,
    /// Packets with which the tolerance can be decided, about.
    pub needed_n: u64,
    /// Whether this check agrees.
    pub result: Agreement,
    /// The result in words.
    pub detail: String,
}

/// The agreement of one direction: no if any check says no, else too few if any has too few, else yes.
/// Without checks: too few.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Agree {
    /// The result over all checks.
    pub result: Agreement,
    /// The probability that any check of the whole run says no although the link is as configured.
    pub family_wise_error: f64,
    /// The checks of the whole run among which that probability is shared.
    pub family_size: u32,
    /// The checks of this direction.
    pub checks: Vec<Check>,
}

/// The statistical checks of a run, declared before its figures are looked at.
#[derive(Debug)]
pub struct Family {
    size: u32,
    used: u32,
}

/// One check's share of the family-wise error; used up by the check.
#[derive(Debug)]
pub struct Level(f64);

impl Family {
    /// The family-wise error: how often a link that is as configured is refuted by any check of a run.
    pub const ERROR: f64 = 0.001;

    /// Declares how many statistical checks a run makes, over all its directions. Exact checks (outages,
    /// lateness, constant delay, rate) do not count.
    #[must_use]
    pub const fn declare(size: u32) -> Self {
        Self { size, used: 0 }
    }

    /// The share of the next check.
    ///
    /// # Errors
    /// When all declared checks have had theirs.
    pub fn level(&mut self) -> Result<Level, AgreementError> {
        if self.used >= self.size {
            return Err(AgreementError::Undeclared { declared: self.size });
        }
        self.used += 1;
        Ok(Level(Self::ERROR / f64::from(self.size)))
    }

    /// The agreement of a direction from its checks.
    #[must_use]
    pub fn agree(&self, checks: Vec<Check>) -> Agree {
        let any = |result| checks.iter().any(|check| check.result == result);
        let result = if any(Agreement::No) {
            Agreement::No
        } else if checks.is_empty() || any(Agreement::TooFew) {
            Agreement::TooFew
        } else {
            Agreement::Yes
        };
        Agree { result, family_wise_error: Self::ERROR, family_size: self.size, checks }
    }
}

/// Why agreement cannot be judged.
#[derive(Debug, thiserror::Error)]
pub enum AgreementError {
    /// More checks than declared would raise the family-wise error.
    #[error("cannot make another statistical check: the run declared {declared}: declare all of them beforehand")]
    Undeclared {
        /// How many were declared.
        declared: u32,
    },
}

#[cfg(test)]
mod testing {
    //! Uniform draws with a fixed seed.

    /// SplitMix64 (Steele, Lea and Flood, 2014).
    pub(crate) struct Uniform(u64);

    impl Uniform {
        pub(crate) const fn seeded(seed: u64) -> Self {
            Self(seed)
        }

        /// The next draw in `[0, 1)`.
        pub(crate) fn draw(&mut self) -> f64 {
            self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = self.0;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
        }

        /// How many of `of` trials with probability `p` succeed.
        pub(crate) fn count(&mut self, of: u64, p: f64) -> u64 {
            (0..of).filter(|_| self.draw() < p).count() as u64
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(result: Agreement) -> Check {
        let mut check = outages(&OutageCounts { packets: 1, ..OutageCounts::default() });
        check.result = result;
        check
    }

    #[test]
    fn more_checks_than_declared_are_refused() {
        let mut family = Family::declare(2);
        assert_eq!(family.level().unwrap().0, 0.0005);
        family.level().unwrap();
        let error = family.level().unwrap_err();
        assert!(error.to_string().contains("declared 2"), "{error}");
    }

    #[test]
    fn one_no_outweighs_too_few_and_too_few_outweighs_yes() {
        use Agreement::{No, TooFew, Yes};
        let family = Family::declare(1);
        for (results, expected) in
            [(vec![], TooFew), (vec![Yes, Yes], Yes), (vec![Yes, TooFew], TooFew), (vec![TooFew, No, Yes], No)]
        {
            let agree = family.agree(results.iter().copied().map(check).collect());
            assert_eq!(agree.result, expected, "{results:?}");
        }
    }
}
