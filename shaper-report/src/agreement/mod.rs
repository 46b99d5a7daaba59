//! Measured against configured: whether a run got the link that it asked for.

use serde::{Deserialize, Serialize};

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
    /// What is compared: `loss`, `outage`, `zero delay`, `intended delay`, `lateness`, `shift`.
    pub name: String,
    /// The unit of `configured`, `measured`, `interval` and `tolerance`: `ratio`, `ms`, `us`, `packets`, or
    /// `distance` for the largest distance of two distribution functions.
    pub unit: String,
    /// What was asked for.
    pub configured: f64,
    /// What was got; null without packets.
    pub measured: Option<f64>,
    /// The interval of what was got, at this check's share of the family-wise error; null where the check
    /// is exact.
    pub interval: Option<Interval>,
    /// How far from configured still agrees.
    pub tolerance: f64,
    /// The probability of a result at least as far off if the link were as configured; null where the
    /// check is exact.
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
