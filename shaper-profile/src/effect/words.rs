//! The grammar that effects share: what comes first, then options by name in any order, each with its value.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;

use super::word::listed;
use crate::names::suggest;
use crate::quantity::{Duration, Percent, QuantityError};

/// Times are at most this long.
const LONGEST: Duration = Duration::from_millis(3_600_000);

/// A text that is no such effect.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EffectError {
    /// One of its figures.
    #[error(transparent)]
    Quantity(#[from] QuantityError),
    /// Its words.
    #[error("\"{text}\" is no {effect}: {problem}; write for example {example}")]
    Words {
        /// What was written.
        text: String,
        /// What it should have been, such as "slot".
        effect: &'static str,
        /// Why it is not.
        problem: Problem,
        /// What would be right.
        example: &'static str,
    },
}

/// Why words are no effect of their kind.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// Something must stand there and does not.
    #[error("{what} is missing")]
    Missing {
        /// What must stand there.
        what: String,
    },
    /// A word that is none of those that may stand there.
    #[error("\"{word}\" is not known there{}; {}",
        near.map(|near| format!(" (did you mean \"{near}\"?)")).unwrap_or_default(),
        if known.is_empty() { "nothing may follow".to_owned() } else { format!("known: {}", listed(known)) })]
    Unknown {
        /// What stood there.
        word: String,
        /// The known word that is nearest, where one is near.
        near: Option<&'static str>,
        /// What may stand there.
        known: &'static [&'static str],
    },
    /// An option given again.
    #[error("\"{option}\" stands there twice")]
    Twice {
        /// The option.
        option: &'static str,
    },
    /// A count out of its range.
    #[error("{option} is \"{written}\", which is no whole number from {least} to {most}")]
    Count {
        /// The option.
        option: &'static str,
        /// What was written behind it.
        written: String,
        /// The least it can be.
        least: u32,
        /// The most it can be.
        most: u32,
    },
    /// A figure that cannot be, alone or beside the others.
    #[error("{what} {why}")]
    Impossible {
        /// What it is that cannot be.
        what: String,
        /// What is wrong with it.
        why: &'static str,
    },
}

/// What an effect's words are.
pub(super) struct Grammar {
    /// The effect, such as "slot".
    pub(super) effect: &'static str,
    /// A text that is right, in quotes.
    pub(super) example: &'static str,
    /// The names of its options.
    pub(super) options: &'static [&'static str],
}

/// The words of a text, taken one after another.
pub(super) struct Words<'t> {
    grammar: &'static Grammar,
    text: &'t str,
    words: std::iter::Peekable<std::vec::IntoIter<String>>,
    seen: Vec<&'static str>,
}

impl<'t> Words<'t> {
    pub(super) fn of(grammar: &'static Grammar, text: &'t str) -> Self {
        let mut words: Vec<String> = Vec::new();
        for word in text.split_whitespace() {
            match words.last_mut() {
                // As people write it: "5 %".
                Some(number) if word == "%" => number.push('%'),
                _ => words.push(word.to_owned()),
            }
        }
        Self { grammar, text, words: words.into_iter().peekable(), seen: Vec::new() }
    }

    pub(super) fn wrong(&self, problem: Problem) -> EffectError {
        let Grammar { effect, example, .. } = *self.grammar;
        EffectError::Words { text: self.text.trim().to_owned(), effect, problem, example }
    }

    pub(super) fn impossible(&self, what: impl Display, why: &'static str) -> EffectError {
        self.wrong(Problem::Impossible { what: what.to_string(), why })
    }

    /// A word that is none of `known`.
    pub(super) fn unknown(&self, word: &str, known: &'static [&'static str]) -> EffectError {
        self.wrong(Problem::Unknown { word: word.to_owned(), near: suggest(word, known), known })
    }

    /// The next word if it is this one.
    pub(super) fn takes(&mut self, word: &str) -> bool {
        self.words.next_if(|next| next == word).is_some()
    }

    /// The next word if it holds.
    pub(super) fn next_if(&mut self, holds: impl FnOnce(&str) -> bool) -> Option<String> {
        self.words.next_if(|next| holds(next))
    }

    /// The next word, which must be there.
    pub(super) fn next(&mut self, what: &str) -> Result<String, EffectError> {
        self.words.next().ok_or_else(|| self.wrong(Problem::Missing { what: what.to_owned() }))
    }

    /// The next word as a quantity.
    pub(super) fn quantity<T: FromStr<Err = QuantityError>>(&mut self, what: &str) -> Result<T, EffectError> {
        Ok(self.next(what)?.parse()?)
    }

    /// The next word as a time that lasts, an hour at most.
    pub(super) fn time(&mut self, what: &str) -> Result<Duration, EffectError> {
        let time: Duration = self.quantity(what)?;
        if time.is_zero() {
            return Err(self.impossible(what, "is 0 and must last some time"));
        }
        self.within_an_hour(what, time)
    }

    /// The next word as a time, an hour at most.
    pub(super) fn time_or_none(&mut self, what: &str) -> Result<Duration, EffectError> {
        let time = self.quantity(what)?;
        self.within_an_hour(what, time)
    }

    fn within_an_hour(&self, what: &str, time: Duration) -> Result<Duration, EffectError> {
        if time > LONGEST { Err(self.impossible(what, "is longer than an hour")) } else { Ok(time) }
    }

    /// The next word as the correlation of neighbours: with all of it every packet would have the first one's fate.
    pub(super) fn correlation(&mut self) -> Result<Percent, EffectError> {
        let correlation: Percent = self.quantity("the percentage behind \"correlation\"")?;
        if correlation.fraction() >= 1.0 {
            return Err(self.impossible("correlation", "is 100%, and all packets had the fate of the first"));
        }
        Ok(correlation)
    }

    /// The next word as a whole number.
    pub(super) fn count(&mut self, option: &'static str, range: RangeInclusive<u32>) -> Result<u32, EffectError> {
        let written = self.next(&format!("the number behind \"{option}\""))?;
        let (least, most) = (*range.start(), *range.end());
        written
            .parse()
            .ok()
            .filter(|count| range.contains(count) && written.starts_with(|c: char| c.is_ascii_digit()))
            .ok_or_else(|| self.wrong(Problem::Count { option, written, least, most }))
    }

    /// The next option; none at the end.
    pub(super) fn option(&mut self) -> Result<Option<&'static str>, EffectError> {
        let Some(word) = self.words.next() else { return Ok(None) };
        let known = self.grammar.options;
        let Some(option) = known.iter().find(|option| **option == word) else {
            return Err(self.unknown(&word, known));
        };
        if self.seen.contains(option) {
            return Err(self.wrong(Problem::Twice { option }));
        }
        self.seen.push(option);
        Ok(Some(option))
    }

    /// Nothing may follow.
    pub(super) fn end(mut self) -> Result<(), EffectError> {
        match self.words.next() {
            Some(word) => Err(self.unknown(&word, &[])),
            None => Ok(()),
        }
    }
}
