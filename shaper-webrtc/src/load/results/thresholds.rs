//! Good, warning, critical: bounds that leave no gap.

use std::fmt;

use serde::{Deserialize, Serialize};

/// How good a figure is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// As it should be.
    Good,
    /// To be looked at.
    Warning,
    /// Not usable. What is not known is no better.
    #[default]
    Critical,
}

impl fmt::Display for Level {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Good => "good",
            Self::Warning => "warning",
            Self::Critical => "critical",
        })
    }
}

/// A figure and its bounds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Threshold {
    /// What.
    pub name: String,
    /// The figure, in the unit of the bounds.
    pub value: f64,
    /// `%`, `ms`, or nothing for a count.
    pub unit: String,
    /// The bound of good.
    pub good: f64,
    /// The bound of warning; beyond it is critical.
    pub warning: f64,
    /// Which it is.
    pub level: Level,
}

impl Threshold {
    /// The more the better: `good` and `warning` belong to the better side.
    pub(super) fn at_least(name: &str, value: f64, unit: &str, good: f64, warning: f64) -> Self {
        let level = if value >= good {
            Level::Good
        } else if value >= warning {
            Level::Warning
        } else {
            Level::Critical
        };
        Self { name: name.to_owned(), value, unit: unit.to_owned(), good, warning, level }
    }

    /// The less the better: `good` and `warning` belong to the better side.
    pub(super) fn at_most(name: &str, value: f64, unit: &str, good: f64, warning: f64) -> Self {
        let level = if value <= good {
            Level::Good
        } else if value <= warning {
            Level::Warning
        } else {
            Level::Critical
        };
        Self { name: name.to_owned(), value, unit: unit.to_owned(), good, warning, level }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_leave_no_gap_and_what_is_no_number_is_critical() {
        let received = |value| Threshold::at_least("received", value, "%", 99.9, 95.0).level;
        assert_eq!([100.0, 99.9, 99.899, 95.0, 94.999].map(received), {
            use Level::{Critical, Good, Warning};
            [Good, Good, Warning, Warning, Critical]
        });
        let errors = |value| Threshold::at_most("errors", value, "", 0.0, 5.0).level;
        assert_eq!([0.0, 1.0, 5.0, 6.0].map(errors), {
            use Level::{Critical, Good, Warning};
            [Good, Warning, Warning, Critical]
        });
        assert_eq!(received(f64::NAN), Level::Critical);
        assert!(Level::Good < Level::Critical);
    }
}
