//! `[outages]`: how long random outages last, outages in turn, and what becomes of packets on their way.

use std::fmt;
use std::str::FromStr;

use super::given::Optional;
use super::word::word;
use super::words::{EffectError, Grammar, Words};
use crate::quantity::Duration;

const LENGTH: Grammar = Grammar {
    effect: "length of an outage",
    example: "\"500ms\", \"500ms exponential\" or \"100ms to 2s\"",
    options: &[],
};

const FLAP: Grammar = Grammar { effect: "flap", example: "\"9s up 1s down\"", options: &[] };

/// How long random outages last: `500ms`, `500ms exponential`, `100ms to 2s`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OutageLength {
    /// Each as long.
    Fixed(Duration),
    /// Exponential with this mean.
    Exponential(Duration),
    /// Uniform between two lengths.
    Between {
        /// The shortest.
        least: Duration,
        /// The longest.
        most: Duration,
    },
}

impl OutageLength {
    /// Whether they last no time.
    #[must_use]
    pub const fn is_zero(self) -> bool {
        match self {
            Self::Fixed(length) | Self::Exponential(length) => length.is_zero(),
            Self::Between { most, .. } => most.is_zero(),
        }
    }

    /// The mean length in milliseconds.
    #[must_use]
    pub fn mean_millis(self) -> f64 {
        match self {
            Self::Fixed(length) | Self::Exponential(length) => length.as_millis_f64(),
            Self::Between { least, most } => f64::midpoint(least.as_millis_f64(), most.as_millis_f64()),
        }
    }
}

impl Default for OutageLength {
    fn default() -> Self {
        Self::Fixed(Duration::ZERO)
    }
}

impl FromStr for OutageLength {
    type Err = EffectError;

    fn from_str(text: &str) -> Result<Self, EffectError> {
        let mut words = Words::of(&LENGTH, text);
        let first: Duration = words.quantity("the time")?;
        let length = if words.takes("exponential") {
            Self::Exponential(first)
        } else if words.takes("to") {
            let most: Duration = words.quantity("the longest behind \"to\"")?;
            if most <= first {
                return Err(words.impossible(most, "is no longer than what stands before \"to\""));
            }
            Self::Between { least: first, most }
        } else if let Some(word) = words.next_if(|_| true) {
            return Err(words.unknown(&word, &["exponential", "to"]));
        } else {
            Self::Fixed(first)
        };
        words.end()?;
        Ok(length)
    }
}

/// As it is read; the alternate form is for people.
impl fmt::Display for OutageLength {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (*self, formatter.alternate()) {
            (Self::Fixed(length), _) => length.fmt(formatter),
            (Self::Exponential(mean), true) => write!(formatter, "{mean:#} exponential"),
            (Self::Exponential(mean), false) => write!(formatter, "{mean} exponential"),
            (Self::Between { least, most }, true) => write!(formatter, "{least:#} to {most:#}"),
            (Self::Between { least, most }, false) => write!(formatter, "{least} to {most}"),
        }
    }
}

/// Up and down in turn, over and over, from the link's start on: `9s up 1s down`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Flap {
    /// How long it is up before it goes down; not zero.
    pub up: Duration,
    /// How long it is down; not zero.
    pub down: Duration,
}

impl Optional for Flap {
    const ABSENT: &'static str = "none";
}

impl FromStr for Flap {
    type Err = EffectError;

    fn from_str(text: &str) -> Result<Self, EffectError> {
        let mut words = Words::of(&FLAP, text);
        let mut time = |word: &'static str| {
            let time: Duration = words.quantity(&format!("the time before \"{word}\""))?;
            let next = words.next(&format!("\"{word}\""))?;
            if next != word {
                return Err(words.unknown(&next, if word == "up" { &["up"] } else { &["down"] }));
            }
            if time.is_zero() {
                return Err(words.impossible(format!("the time before \"{word}\""), "is 0 and must last some time"));
            }
            Ok(time)
        };
        let flap = Self { up: time("up")?, down: time("down")? };
        words.end()?;
        Ok(flap)
    }
}

/// As it is read; the alternate form is for people.
impl fmt::Display for Flap {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { up, down } = self;
        if formatter.alternate() {
            write!(formatter, "{up:#} up {down:#} down")
        } else {
            write!(formatter, "{up} up {down} down")
        }
    }
}

/// What becomes of packets that are on their way when the link goes down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Held {
    /// They arrive.
    #[default]
    Kept,
    /// They are lost.
    Lost,
}

word!(Held, "kept" => Kept, "lost" => Lost);

super::as_text!(OutageLength, Flap);

#[cfg(test)]
mod tests {
    use super::super::tests::{read, refused};
    use super::*;

    #[test]
    fn a_length_is_fixed_or_drawn() {
        read::<OutageLength>(&[
            ("500ms", "500ms", "500 ms"),
            ("0", "0", "0"),
            ("500ms exponential", "500ms exponential", "500 ms exponential"),
            ("100ms to 2s", "100ms to 2s", "100 ms to 2 s"),
        ]);
        refused::<OutageLength>(&[
            ("", "the time is missing"),
            ("500", "the unit is missing"),
            ("500ms exponetial", "did you mean \"exponential\"?"),
            ("2s to 100ms", "100ms is no longer than what stands before \"to\""),
            ("2s to", "the longest behind \"to\" is missing"),
            ("2s exponential 3", "nothing may follow"),
        ]);
        let mean = |text: &str| text.parse::<OutageLength>().unwrap().mean_millis();
        assert_eq!([mean("500ms exponential"), mean("100ms to 2s"), mean("1s")], [500.0, 1_050.0, 1_000.0]);
    }

    #[test]
    fn a_flap_is_up_and_then_down() {
        read::<Flap>(&[("9s up 1s down", "9s up 1s down", "9 s up 1 s down")]);
        refused::<Flap>(&[
            ("", "the time before \"up\" is missing"),
            ("9s", "\"up\" is missing"),
            ("1s down 9s up", "\"down\" is not known there; known: \"up\""),
            ("0 up 1s down", "the time before \"up\" is 0"),
            ("9s up 0s down", "the time before \"down\" is 0"),
            ("9s up 1s down 9s", "nothing may follow"),
        ]);
    }

    #[test]
    fn what_is_held_is_kept_or_lost() {
        read::<Held>(&[("kept", "kept", "kept"), ("lost", "lost", "lost")]);
        refused::<Held>(&[("keep", "did you mean \"kept\"?")]);
    }
}
