//! `reorder`: packets that leave without the delay, before those ahead of them.

use std::fmt;
use std::str::FromStr;

use super::words::{EffectError, Grammar, Words};
use crate::quantity::Percent;

const GRAMMAR: Grammar = Grammar {
    effect: "reordering",
    example: "\"25%\" or \"25% correlation 50% gap 5\"",
    options: &["correlation", "gap"],
};

/// Packets that leave without the delay, before those ahead of them: `25% correlation 50% gap 5`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Reorder {
    /// That share of those that may.
    pub ratio: Percent,
    /// Correlation with whether the one before that might did.
    pub correlation: Percent,
    /// Those may that are so many packets or more behind the last one that did, at least 1.
    pub gap: u32,
}

impl Reorder {
    /// The largest gap.
    pub const LARGEST_GAP: u32 = 1_000_000;

    /// Whether nothing is reordered.
    #[must_use]
    pub const fn is_none(&self) -> bool {
        self.ratio.is_zero()
    }
}

impl Default for Reorder {
    fn default() -> Self {
        Self { ratio: Percent::ZERO, correlation: Percent::ZERO, gap: 1 }
    }
}

impl FromStr for Reorder {
    type Err = EffectError;

    fn from_str(text: &str) -> Result<Self, EffectError> {
        let mut words = Words::of(&GRAMMAR, text);
        let ratio = if words.takes("none") { Percent::ZERO } else { words.quantity("the percentage")? };
        let mut reorder = Self { ratio, ..Self::default() };
        while let Some(option) = words.option()? {
            match option {
                "correlation" => reorder.correlation = words.correlation()?,
                _ => reorder.gap = words.count(option, 1..=Self::LARGEST_GAP)?,
            }
        }
        Ok(reorder)
    }
}

/// As it is read; the alternate form is for people.
impl fmt::Display for Reorder {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { ratio, correlation, gap } = self;
        let for_people = formatter.alternate();
        match (correlation.is_zero(), for_people) {
            (true, true) => write!(formatter, "{ratio:#}")?,
            (true, false) => write!(formatter, "{ratio}")?,
            (false, true) => write!(formatter, "{ratio:#} with correlation {correlation:#}")?,
            (false, false) => write!(formatter, "{ratio} correlation {correlation}")?,
        }
        match (gap, for_people) {
            (1, _) => Ok(()),
            (_, true) => write!(formatter, " at least {gap} packets apart"),
            (_, false) => write!(formatter, " gap {gap}"),
        }
    }
}

super::as_text!(Reorder);

#[cfg(test)]
mod tests {
    use super::super::tests::{read, refused};
    use super::*;

    #[test]
    fn a_share_and_how_far_apart() {
        read::<Reorder>(&[
            ("25%", "25%", "25 %"),
            ("none", "0%", "0 %"),
            ("25% gap 1", "25%", "25 %"),
            (
                "25% gap 5 correlation 50%",
                "25% correlation 50% gap 5",
                "25 % with correlation 50 % at least 5 packets apart",
            ),
        ]);
        refused::<Reorder>(&[
            ("", "the percentage is missing"),
            ("5ms", "unit \"ms\" is unknown"),
            ("25% gap 0", "no whole number from 1 to 1000000"),
            ("25% gaps 5", "did you mean \"gap\"?"),
        ]);
    }
}
