//! Durations.

use std::fmt;
use std::str::FromStr;

use shaper_common::units::Nanos;

use super::decimal::{self, Decimal};
use super::{Kind, Problem, QuantityError, as_text, write_with_unit};

const KIND: Kind = Kind {
    name: "duration",
    example: "\"20ms\"",
    resolution: "1ns",
    limit: "365 days",
    units: "ns, us, ms, s, min, h",
};

const LONGEST: u64 = 365 * 86_400 * 1_000_000_000;

/// A length of time: `20ms`, `500us`, `1.5s`, `2min`, `0`. Exact to the nanosecond, at most 365 days.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Duration(pub Nanos);

impl Duration {
    /// No time.
    pub const ZERO: Self = Self(Nanos::ZERO);

    /// As many milliseconds.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        Self(Nanos(millis.saturating_mul(1_000_000)))
    }

    /// Whether it is no time at all.
    #[must_use]
    pub const fn is_zero(self) -> bool {
        self.0.0 == 0
    }

    /// In milliseconds, for output.
    #[must_use]
    pub fn as_millis_f64(self) -> f64 {
        self.0.0 as f64 / 1e6
    }

    /// In seconds, for output.
    #[must_use]
    pub fn as_secs_f64(self) -> f64 {
        self.0.0 as f64 / 1e9
    }

    /// Reads a duration that must not be zero, such as that of a run.
    ///
    /// # Errors
    /// As reading any duration, and for zero.
    pub fn parse_nonzero(text: &str) -> Result<Self, QuantityError> {
        let duration: Self = text.parse()?;
        if duration.is_zero() {
            return Err(KIND.error(text, Problem::Zero { instead: "it must last some time" }));
        }
        Ok(duration)
    }
}

impl From<Nanos> for Duration {
    fn from(nanos: Nanos) -> Self {
        Self(nanos)
    }
}

impl From<Duration> for std::time::Duration {
    fn from(duration: Duration) -> Self {
        Self::from_nanos(duration.0.0)
    }
}

impl FromStr for Duration {
    type Err = QuantityError;

    fn from_str(text: &str) -> Result<Self, QuantityError> {
        let (number, unit) = Decimal::split(&KIND, text)?;
        let factor = match unit {
            "ns" => 1,
            "us" | "\u{b5}s" | "\u{3bc}s" | "usec" => 1_000,
            "ms" | "msec" => 1_000_000,
            "s" | "sec" => 1_000_000_000,
            "min" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            "" if number.is_zero() => 1,
            "m" => {
                let readings = "minutes or milliseconds: write min or ms";
                return Err(KIND.error(text, Problem::Ambiguous { unit: unit.to_owned(), readings }));
            }
            _ => return Err(KIND.unknown_unit(text, unit)),
        };
        Ok(Self(Nanos(number.times(&KIND, text, factor, LONGEST)?)))
    }
}

impl fmt::Display for Duration {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanos = self.0.0;
        let (places, unit) = match nanos {
            0 => return formatter.write_str("0"),
            1..1_000 => (0, "ns"),
            1_000..1_000_000 => (3, "us"),
            1_000_000..1_000_000_000 => (6, "ms"),
            _ => (9, "s"),
        };
        write_with_unit(formatter, &decimal::display(nanos, places), unit)
    }
}

as_text!(Duration);
