//! `scope`: whether draws, chains and order are the link's or each flow's own.

use std::fmt;
use std::str::FromStr;

use super::words::{EffectError, Grammar, Words};

const GRAMMAR: Grammar = Grammar { effect: "scope", example: "\"link\", \"flow\" or \"flow 4096\"", options: &[] };

/// Whether all packets of a direction share draws, chains and order, or those of each flow have their own. The bottleneck
/// is one for all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Scope {
    /// They share one.
    #[default]
    Link,
    /// Each flow has its own: `flow 4096`.
    Flow {
        /// Flows that are remembered: a power of two from [`Self::LEAST_FLOWS`] to [`Self::MOST_FLOWS`].
        flows: u32,
    },
}

impl Scope {
    /// Flows that are remembered where nothing is said.
    pub const FLOWS: u32 = 4_096;
    /// The fewest flows.
    pub const LEAST_FLOWS: u32 = 8;
    /// The most flows.
    pub const MOST_FLOWS: u32 = 1 << 20;

    /// Whether there is one state for all.
    #[must_use]
    pub const fn is_link(&self) -> bool {
        matches!(self, Self::Link)
    }
}

impl FromStr for Scope {
    type Err = EffectError;

    fn from_str(text: &str) -> Result<Self, EffectError> {
        let mut words = Words::of(&GRAMMAR, text);
        let word = words.next("the word")?;
        let scope = match word.as_str() {
            "link" => Self::Link,
            "flow" => match words.next_if(|_| true) {
                None => Self::Flow { flows: Self::FLOWS },
                Some(flows) => {
                    let range = Self::LEAST_FLOWS..=Self::MOST_FLOWS;
                    let count =
                        flows.parse().ok().filter(|flows: &u32| flows.is_power_of_two() && range.contains(flows));
                    let why = "is no power of two from 8 to 1048576, so many flows as are remembered";
                    Self::Flow { flows: count.ok_or_else(|| words.impossible(format!("\"{flows}\""), why))? }
                }
            },
            _ => return Err(words.unknown(&word, &["link", "flow"])),
        };
        words.end()?;
        Ok(scope)
    }
}

/// As it is read; the alternate form is for people.
impl fmt::Display for Scope {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self, formatter.alternate()) {
            (Self::Link, true) => formatter.write_str("for all flows together"),
            (Self::Link, false) => formatter.write_str("link"),
            (Self::Flow { flows }, true) => write!(formatter, "for each of {flows} flows"),
            (Self::Flow { flows: Self::FLOWS }, false) => formatter.write_str("flow"),
            (Self::Flow { flows }, false) => write!(formatter, "flow {flows}"),
        }
    }
}

super::as_text!(Scope);

#[cfg(test)]
mod tests {
    use super::super::tests::{read, refused};
    use super::*;

    #[test]
    fn the_link_or_each_flow() {
        read::<Scope>(&[
            ("link", "link", "for all flows together"),
            ("flow", "flow", "for each of 4096 flows"),
            ("flow 4096", "flow", "for each of 4096 flows"),
            ("flow 8", "flow 8", "for each of 8 flows"),
            ("flow 1048576", "flow 1048576", "for each of 1048576 flows"),
        ]);
        refused::<Scope>(&[
            ("", "the word is missing"),
            ("flows", "did you mean \"flow\"?"),
            ("flow 100", "\"100\" is no power of two"),
            ("flow 4", "\"4\" is no power of two from 8"),
            ("flow 2097152", "to 1048576"),
            ("flow many", "\"many\" is no power of two"),
            ("link 8", "nothing may follow"),
        ]);
    }
}
