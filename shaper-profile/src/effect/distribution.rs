//! `distribution`: that of the jitter around the base delay.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use serde::Deserialize;
use shaper_common::delay::Jitter;

use super::words::{EffectError, Grammar, Words};
use crate::quantity::Duration;

const GRAMMAR: Grammar = Grammar {
    effect: "distribution",
    example: "\"normal\" or \"table delays.txt\"",
    options: &["uniform", "normal", "pareto", "paretonormal", "table"],
};

/// The distribution of the jitter around the base delay.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum Distribution {
    /// Uniform; jitter is the half-width.
    #[default]
    Uniform,
    /// Normal; jitter is sigma.
    Normal,
    /// Pareto of shape 3, moved to mean 0; jitter is the standard deviation.
    Pareto,
    /// A quarter normal and three quarters Pareto; jitter is the standard deviation.
    ParetoNormal,
    /// That of a table in the file of this path.
    Table(String),
}

impl Distribution {
    /// The integer form; a jitter of zero is none.
    #[must_use]
    pub const fn compiled(&self, jitter: Duration) -> Jitter {
        match self {
            _ if jitter.is_zero() => Jitter::None,
            Self::Uniform => Jitter::Uniform,
            Self::Normal | Self::Pareto | Self::ParetoNormal | Self::Table(_) => Jitter::Normal,
        }
    }

    /// Whether a table says it, which may hold delays of its own and need no jitter.
    #[must_use]
    pub const fn is_table(&self) -> bool {
        matches!(self, Self::Table(_))
    }

    /// The same with the table's path as it stands beside `folder`.
    #[must_use]
    pub fn within(self, folder: &Path) -> Self {
        match self {
            Self::Table(path) => Self::Table(super::beside(folder, &path)),
            other => other,
        }
    }
}

impl FromStr for Distribution {
    type Err = EffectError;

    fn from_str(text: &str) -> Result<Self, EffectError> {
        let mut words = Words::of(&GRAMMAR, text);
        let word = words.next("the name")?;
        let distribution = match word.as_str() {
            "uniform" => Self::Uniform,
            "normal" => Self::Normal,
            "pareto" => Self::Pareto,
            "paretonormal" => Self::ParetoNormal,
            "table" => {
                words.next("the file's path behind \"table\"")?;
                // A path may hold blanks: it is what follows, as it stands.
                let path = text.trim_start().strip_prefix("table").unwrap_or(text);
                return Ok(Self::Table(path.trim().to_owned()));
            }
            _ => return Err(words.unknown(&word, GRAMMAR.options)),
        };
        words.end()?;
        Ok(distribution)
    }
}

impl fmt::Display for Distribution {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Uniform => formatter.write_str("uniform"),
            Self::Normal => formatter.write_str("normal"),
            Self::Pareto => formatter.write_str("pareto"),
            Self::ParetoNormal => formatter.write_str("paretonormal"),
            Self::Table(path) => write!(formatter, "table {path}"),
        }
    }
}

super::as_text!(Distribution);

impl<'de> Deserialize<'de> for Distribution {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{read, refused};
    use super::*;

    #[test]
    fn a_name_or_a_table() {
        read::<Distribution>(&[
            ("uniform", "uniform", "uniform"),
            (" normal", "normal", "normal"),
            ("pareto", "pareto", "pareto"),
            ("paretonormal", "paretonormal", "paretonormal"),
            ("table  my delays.txt ", "table my delays.txt", "table my delays.txt"),
        ]);
        refused::<Distribution>(&[
            ("", "the name is missing"),
            ("gaussian", "\"gaussian\" is not known there; known: \"uniform\", \"normal\","),
            ("nornal", "did you mean \"normal\"?"),
            ("table", "the file's path behind \"table\" is missing"),
            ("normal 5", "\"5\" is not known there; nothing may follow"),
        ]);
    }

    #[test]
    fn a_tables_path_is_relative_to_a_folder() {
        let within = |text: &str| text.parse::<Distribution>().unwrap().within(Path::new("links")).to_string();
        assert_eq!(within("table a.txt"), "table links/a.txt");
        assert_eq!(within("table /a.txt"), "table /a.txt");
        assert_eq!(within("pareto"), "pareto");
    }
}
