//! What a user demands of what is measured: `loss.a_to_b < 6%`, `delay.down.p99 < 50ms`, `exit.iperf == 0`.
//!
//! `figure` is what can be demanded, `parse` how it is written; who measures says which figures it [knows](Known), and
//! hands each one's measured value to [`Expectation::judge`].

mod figure;
mod parse;

use std::fmt;

use serde::Serialize;

pub use figure::{Figure, Statistic};
pub use parse::NoExpectation;

/// A figure, and what it is to be. Read from its text.
#[derive(Clone, Debug, PartialEq)]
pub struct Expectation {
    text: String,
    /// What is measured.
    pub figure: Figure,
    /// Of what.
    pub of: Of,
    /// Which figure of a distribution; of a figure that is none it says nothing.
    pub statistic: Statistic,
    comparison: Comparison,
    /// A share, a count or nanoseconds.
    value: f64,
}

/// What a figure is of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Of {
    /// The first direction (0) of a link, or the second (1), by one of the words for it.
    Direction(usize),
    /// Something else that has a name.
    Named(String),
    /// All there is.
    All,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Comparison {
    Less,
    AtMost,
    More,
    AtLeast,
    Equal,
}

/// The figures that a command measures.
#[derive(Clone, Copy, Debug)]
pub struct Known<'k> {
    /// Which.
    pub figures: &'k [Figure],
    /// Which of those that are distributions.
    pub statistics: &'k [Statistic],
    /// The names of its directions, where it has others than those that every link has.
    pub directions: Option<&'k [String]>,
    /// The names of peers.
    pub peers: &'k [String],
    /// The names of commands.
    pub commands: &'k [String],
}

impl Known<'_> {
    /// No figure.
    pub const NOTHING: Self = Self { figures: &[], statistics: &[], directions: None, peers: &[], commands: &[] };
    /// Those of a run of one link, without peers or commands.
    pub const OF_A_RUN: Self = Self {
        figures: &Figure::OF_A_RUN,
        statistics: &[
            Statistic::Min,
            Statistic::Mean,
            Statistic::P50,
            Statistic::P95,
            Statistic::P99,
            Statistic::P999,
            Statistic::Max,
        ],
        ..Self::NOTHING
    };
}

/// What a run has that can be measured, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OfARun {
    /// Its directions, where these are not the two of one link.
    pub directions: Option<Vec<String>>,
    /// Whom its built-in workload speaks to.
    pub peers: Vec<String>,
    /// Its commands.
    pub commands: Vec<String>,
    /// Whether it is a load of clients that send each other media.
    pub is_load: bool,
}

impl OfARun {
    /// Whether it can be held to this.
    ///
    /// # Errors
    ///
    /// What is not known, and what is.
    pub fn check(&self, expectation: &Expectation) -> Result<(), NoExpectation> {
        let Self { directions, peers, commands, is_load } = self;
        let is_had = |figure: &Figure| match figure {
            Figure::Delivery => !peers.is_empty(),
            Figure::Exit => !commands.is_empty(),
            _ => true,
        };
        let of_a_load = Figure::OF_A_LOAD.into_iter().filter(|_| *is_load);
        let figures: Vec<Figure> = Figure::OF_A_RUN.into_iter().filter(is_had).chain(of_a_load).collect();
        let directions = directions.as_deref();
        expectation.among(&Known { figures: &figures, directions, peers, commands, ..Known::OF_A_RUN })
    }
}

/// A figure as it was measured.
#[derive(Clone, Debug, PartialEq)]
pub struct Measured {
    /// A share of one, a count, or nanoseconds.
    pub value: f64,
    /// In words.
    pub words: String,
}

impl Measured {
    /// So many of so many; nothing of none.
    #[must_use]
    pub fn share(count: u64, of: u64) -> Option<Self> {
        let value = count as f64 / of as f64;
        (of > 0).then(|| Self { value, words: format!("{:.3} % ({count} of {of})", value * 100.0) })
    }

    /// A number of packets, or an exit code.
    #[must_use]
    pub fn count(count: u64) -> Self {
        Self { value: count as f64, words: count.to_string() }
    }

    /// A time in nanoseconds.
    #[must_use]
    pub fn time(nanos: f64, statistic: Statistic) -> Self {
        let shown = if nanos.abs() < 1e6 { format!("{:.1} us", nanos / 1e3) } else { format!("{:.3} ms", nanos / 1e6) };
        let words = match statistic {
            Statistic::Min => format!("{shown} at least"),
            Statistic::Mean => format!("{shown} in the mean"),
            Statistic::Max => format!("{shown} at most"),
            _ => format!("{shown} at {}", statistic.name()),
        };
        Self { value: nanos, words }
    }
}

/// What came of an expectation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Judged {
    /// What was expected, as it was written.
    pub text: String,
    /// Whether it held.
    pub held: bool,
    /// What was measured.
    pub measured: String,
}

impl fmt::Display for Judged {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let held = if self.held { "held" } else { "FAILED" };
        write!(formatter, "expected {}: {held}, measured {}", self.text, self.measured)
    }
}

impl fmt::Display for Expectation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

impl Expectation {
    /// Whether it holds. What was not measured does not.
    #[must_use]
    pub fn judge(&self, measured: Option<Measured>) -> Judged {
        let held = measured.as_ref().is_some_and(|Measured { value, .. }| match self.comparison {
            Comparison::Less => *value < self.value,
            Comparison::AtMost => *value <= self.value,
            Comparison::More => *value > self.value,
            Comparison::AtLeast => *value >= self.value,
            Comparison::Equal => (value - self.value).abs() < f64::EPSILON * self.value.abs().max(1.0),
        });
        let measured = measured.map_or_else(|| self.figure.without().to_owned(), |measured| measured.words);
        Judged { text: self.text.clone(), held, measured }
    }
}
