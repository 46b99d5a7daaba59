//! Proportions, and events per second given as percentages.

use std::fmt;
use std::str::FromStr;

use shaper_common::units::Probability;

use super::decimal::{self, Decimal};
use super::{Kind, Problem, QuantityError, as_text, write_with_unit};

/// Parts in the whole; a percent is a hundredth of them, and has ten decimals.
const WHOLE: u64 = 1_000_000_000_000;
const PERCENT: u64 = WHOLE / 100;

const PROPORTION: Kind =
    Kind { name: "percentage", example: "\"0.5%\"", resolution: "0.0000000001%", limit: "100%", units: "%" };

const EVENTS: Kind = Kind {
    name: "rate of events",
    example: "\"1%/s\" for one in a hundred seconds",
    resolution: "0.0000000001%/s",
    limit: "100000%/s, a thousand a second",
    units: "%, %/s, /s",
};

/// A proportion from 0 to 100 %: `5%`, `0.05%`, `0`. Exact to 10^-10 percent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Percent {
    parts: u64,
}

impl Percent {
    /// Nothing.
    pub const ZERO: Self = Self { parts: 0 };

    /// The nearest proportion to a fraction of one.
    pub(crate) fn of_fraction(fraction: f64) -> Self {
        Self { parts: (fraction.clamp(0.0, 1.0) * WHOLE as f64).round() as u64 }
    }

    /// Whether it is nothing.
    #[must_use]
    pub const fn is_zero(self) -> bool {
        self.parts == 0
    }

    /// As a fraction of one.
    #[must_use]
    pub fn fraction(self) -> f64 {
        self.parts as f64 / WHOLE as f64
    }

    /// The nearest threshold for a 32-bit draw: within 2^-33 of the proportion.
    #[must_use]
    pub fn probability(self) -> Probability {
        let scaled = (u128::from(self.parts) << 32) + u128::from(WHOLE / 2);
        Probability(u64::try_from(scaled / u128::from(WHOLE)).unwrap_or(1 << 32))
    }
}

impl FromStr for Percent {
    type Err = QuantityError;

    fn from_str(text: &str) -> Result<Self, QuantityError> {
        let (number, unit) = Decimal::split(&PROPORTION, text)?;
        if unit != "%" && !(unit.is_empty() && number.is_zero()) {
            return Err(PROPORTION.unknown_unit(text, unit));
        }
        let parts = number.times(&PROPORTION, text, PERCENT, WHOLE)?;
        let percent = Self { parts };
        if parts > 0 && percent.probability() == Probability::NEVER {
            return Err(PROPORTION.error(text, Problem::TooFine { resolution: "0.00000002%, one draw in 2^32" }));
        }
        Ok(percent)
    }
}

impl fmt::Display for Percent {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_with_unit(formatter, &decimal::display(self.parts, 10), "%")
    }
}

as_text!(Percent);

/// How often something happens at random: `1%`, `1%/s` or `0.01/s` are all one in a hundred seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventRate {
    parts: u64,
}

impl EventRate {
    /// Never.
    pub const ZERO: Self = Self { parts: 0 };

    /// Whether it never happens.
    #[must_use]
    pub const fn is_zero(self) -> bool {
        self.parts == 0
    }

    /// Events per second.
    #[must_use]
    pub fn per_second(self) -> f64 {
        self.parts as f64 / WHOLE as f64
    }
}

impl FromStr for EventRate {
    type Err = QuantityError;

    fn from_str(text: &str) -> Result<Self, QuantityError> {
        let (number, unit) = Decimal::split(&EVENTS, text)?;
        let compact: String = unit.split_whitespace().collect();
        let factor = match compact.as_str() {
            "%" | "%/s" => PERCENT,
            "/s" => WHOLE,
            "" if number.is_zero() => 1,
            _ => return Err(EVENTS.unknown_unit(text, unit)),
        };
        Ok(Self { parts: number.times(&EVENTS, text, factor, 1_000 * WHOLE)? })
    }
}

impl fmt::Display for EventRate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_with_unit(formatter, &decimal::display(self.parts, 10), "%/s")
    }
}

as_text!(EventRate);
