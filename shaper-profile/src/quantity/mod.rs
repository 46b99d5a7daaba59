//! Typed values with units, as they stand in files and flags.
//!
//! Reading is exact: what cannot be held without rounding is refused, as are negative values, NaN and
//! values without a unit; zero needs none. Display writes what reading takes; `{:#}` puts a space
//! between number and unit.

mod decimal;
mod duration;
mod percent;
mod rate;
mod size;

use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;

use serde::de::{Deserializer, Visitor};

pub use duration::Duration;
pub use percent::{EventRate, Percent};
pub use rate::Rate;
pub use size::{QueueLimit, Size};

/// A text that is no such quantity.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("\"{text}\" is no {kind}: {problem}; write for example {example}")]
pub struct QuantityError {
    /// What was written.
    pub text: String,
    /// What it should have been, such as "duration".
    pub kind: &'static str,
    /// Why it is not.
    pub problem: Problem,
    /// What would be right.
    pub example: &'static str,
}

/// Why a text is no quantity of its kind.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// Nothing there.
    #[error("it is empty")]
    Empty,
    /// Below zero.
    #[error("it is negative")]
    Negative,
    /// NaN or infinity.
    #[error("it is not a finite number")]
    NotFinite,
    /// Does not begin with a decimal number.
    #[error("it does not begin with a decimal number")]
    NoNumber,
    /// A number alone.
    #[error("the unit is missing")]
    NoUnit,
    /// A unit that is none of this kind.
    #[error("unit \"{unit}\" is unknown (known: {known})")]
    UnknownUnit {
        /// What stood there.
        unit: String,
        /// What may stand there.
        known: &'static str,
    },
    /// A unit that means different things to different tools.
    #[error("unit \"{unit}\" is ambiguous: {readings}")]
    Ambiguous {
        /// What stood there.
        unit: String,
        /// How it may be read, and what to write instead.
        readings: &'static str,
    },
    /// More digits than can be held.
    #[error("it is finer than {resolution}, and would be rounded")]
    TooFine {
        /// The finest value.
        resolution: &'static str,
    },
    /// More than can be held or than makes sense.
    #[error("it is larger than {limit}")]
    TooLarge {
        /// The largest value.
        limit: &'static str,
    },
    /// Zero where it has no meaning.
    #[error("it is zero; {instead}")]
    Zero {
        /// What to do instead.
        instead: &'static str,
    },
}

/// What a kind of quantity says in its errors.
struct Kind {
    name: &'static str,
    example: &'static str,
    resolution: &'static str,
    limit: &'static str,
    units: &'static str,
}

impl Kind {
    fn error(&self, text: &str, problem: Problem) -> QuantityError {
        QuantityError { text: text.trim().to_owned(), kind: self.name, problem, example: self.example }
    }

    fn unknown_unit(&self, text: &str, unit: &str) -> QuantityError {
        let problem = if unit.is_empty() {
            Problem::NoUnit
        } else {
            Problem::UnknownUnit { unit: unit.to_owned(), known: self.units }
        };
        self.error(text, problem)
    }
}

/// Reads a quantity from text, and from a bare number with the same errors as its text.
fn deserialize<'de, D: Deserializer<'de>, T: FromStr<Err = QuantityError>>(deserializer: D) -> Result<T, D::Error> {
    struct Text<T>(PhantomData<T>);

    impl<T: FromStr<Err = QuantityError>> Visitor<'_> for Text<T> {
        type Value = T;

        fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            formatter.write_str("a quantity with its unit, as a string")
        }

        fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<T, E> {
            text.parse().map_err(E::custom)
        }

        fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<T, E> {
            self.visit_str(&number.to_string())
        }

        fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<T, E> {
            self.visit_str(&number.to_string())
        }

        fn visit_f64<E: serde::de::Error>(self, number: f64) -> Result<T, E> {
            self.visit_str(&number.to_string())
        }
    }

    deserializer.deserialize_any(Text(PhantomData))
}

/// Gives a quantity serde's two traits by way of its text.
macro_rules! as_text {
    ($quantity:ty) => {
        impl<'de> serde::Deserialize<'de> for $quantity {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                super::deserialize(deserializer)
            }
        }

        impl serde::Serialize for $quantity {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
    };
}
use as_text;

/// Writes a number and its unit, apart in the alternate form.
fn write_with_unit(formatter: &mut fmt::Formatter<'_>, number: &str, unit: &str) -> fmt::Result {
    let space = if formatter.alternate() { " " } else { "" };
    write!(formatter, "{number}{space}{unit}")
}
