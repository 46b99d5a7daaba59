//! `duplicate`: packets that come more than once.

use std::fmt;
use std::str::FromStr;

use super::words::{EffectError, Grammar, Words};
use crate::quantity::{Duration, Percent};

const GRAMMAR: Grammar = Grammar {
    effect: "duplication",
    example: "\"1%\" or \"1% correlation 25% copies 2 delay 5ms\"",
    options: &["correlation", "copies", "delay"],
};

/// Packets that come more than once: `1% correlation 25% copies 2 delay 5ms`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Duplicate {
    /// Packets that are duplicated.
    pub ratio: Percent,
    /// Correlation with whether the packet before was.
    pub correlation: Percent,
    /// Copies of each, the packet itself not counted: 1 to [`Self::MOST_COPIES`].
    pub copies: u32,
    /// From the packet to its first copy, and from each copy to the next.
    pub delay: Duration,
}

impl Duplicate {
    /// The most copies of a packet.
    pub const MOST_COPIES: u32 = 15;

    /// Whether nothing is duplicated.
    #[must_use]
    pub const fn is_none(&self) -> bool {
        self.ratio.is_zero()
    }
}

impl Default for Duplicate {
    fn default() -> Self {
        Self { ratio: Percent::ZERO, correlation: Percent::ZERO, copies: 1, delay: Duration::ZERO }
    }
}

impl FromStr for Duplicate {
    type Err = EffectError;

    fn from_str(text: &str) -> Result<Self, EffectError> {
        let mut words = Words::of(&GRAMMAR, text);
        let ratio = if words.takes("none") { Percent::ZERO } else { words.quantity("the percentage")? };
        let mut duplicate = Self { ratio, ..Self::default() };
        while let Some(option) = words.option()? {
            match option {
                "correlation" => duplicate.correlation = words.correlation()?,
                "copies" => duplicate.copies = words.count(option, 1..=Self::MOST_COPIES)?,
                _ => duplicate.delay = words.time_or_none("the delay")?,
            }
        }
        Ok(duplicate)
    }
}

/// As it is read; the alternate form is for people.
impl fmt::Display for Duplicate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { ratio, correlation, copies, delay } = self;
        let plain = Self::default();
        if formatter.alternate() {
            write!(formatter, "{ratio:#}")?;
            if *correlation != plain.correlation {
                write!(formatter, " with correlation {correlation:#}")?;
            }
            if *copies != plain.copies {
                write!(formatter, " {copies} times")?;
            }
            if *delay != plain.delay {
                write!(formatter, " {delay:#} apart")?;
            }
            return Ok(());
        }
        write!(formatter, "{ratio}")?;
        if *correlation != plain.correlation {
            write!(formatter, " correlation {correlation}")?;
        }
        if *copies != plain.copies {
            write!(formatter, " copies {copies}")?;
        }
        if *delay != plain.delay {
            write!(formatter, " delay {delay}")?;
        }
        Ok(())
    }
}

super::as_text!(Duplicate);

#[cfg(test)]
mod tests {
    use super::super::tests::{read, refused};
    use super::*;

    #[test]
    fn a_share_and_what_becomes_of_it() {
        read::<Duplicate>(&[
            ("1%", "1%", "1 %"),
            ("0", "0%", "0 %"),
            ("none", "0%", "0 %"),
            ("1 % copies 1 delay 0", "1%", "1 %"),
            (
                "1% delay 5ms copies 2 correlation 25%",
                "1% correlation 25% copies 2 delay 5ms",
                "1 % with correlation 25 % 2 times 5 ms apart",
            ),
        ]);
        assert!(Duplicate::default().is_none());
    }

    #[test]
    fn what_cannot_be_is_refused_with_what_can() {
        refused::<Duplicate>(&[
            ("", "the percentage is missing"),
            ("1", "the unit is missing"),
            ("1% copys 2", "\"copys\" is not known there (did you mean \"copies\"?)"),
            ("1% copies 16", "copies is \"16\", which is no whole number from 1 to 15"),
            ("1% copies 0", "no whole number from 1 to 15"),
            ("1% copies +2", "no whole number from 1 to 15"),
            ("1% copies", "the number behind \"copies\" is missing"),
            ("1% delay 5", "is no duration: the unit is missing"),
            ("1% delay 2h", "the delay is longer than an hour"),
            ("1% correlation 100%", "all packets had the fate of the first"),
            ("1% copies 2 copies 3", "\"copies\" stands there twice"),
        ]);
    }
}
