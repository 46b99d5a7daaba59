//! What a user demands of what passes an interface: `--expect 'loss.egress < 6%'`.

use std::fmt;
use std::str::FromStr;

use shaper_common::fate::Cause;
use shaper_profile::quantity::{Duration, Percent};

use super::figures::Figures;

/// A figure of one direction, and what it is to be.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Expectation {
    text: String,
    metric: Metric,
    direction: usize,
    comparison: Comparison,
    /// A share, a count or nanoseconds.
    value: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Metric {
    /// The share of packets that the link dropped, of those that came.
    Loss,
    /// Packets that came.
    Arrived,
    /// Packets that went on, copies among them.
    Out,
    /// Actual minus intended release, at the 99th percentile.
    Lateness,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Comparison {
    Less,
    AtMost,
    More,
    AtLeast,
    Equal,
}

/// Each metric's name, and what its value is, for example.
const METRICS: [(&str, Metric, &str); 4] = [
    ("loss", Metric::Loss, "6%"),
    ("arrived", Metric::Arrived, "1000"),
    ("out", Metric::Out, "1000"),
    ("lateness", Metric::Lateness, "1ms"),
];
/// The names of both directions: of an interface, of a command's link, and of any link.
const DIRECTIONS: [[&str; 3]; 2] = [["egress", "up", "a_to_b"], ["ingress", "down", "b_to_a"]];
/// The longer ones first.
const COMPARISONS: [(&str, Comparison); 5] = [
    ("<=", Comparison::AtMost),
    (">=", Comparison::AtLeast),
    ("==", Comparison::Equal),
    ("<", Comparison::Less),
    (">", Comparison::More),
];

/// Why a text is no expectation.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{problem}; write for example \"loss.egress < 6%\", \"out.down >= 1000\" or \"lateness.up < 1ms\"")]
pub(crate) struct NoExpectation {
    problem: String,
}

impl FromStr for Expectation {
    type Err = NoExpectation;

    fn from_str(text: &str) -> Result<Self, NoExpectation> {
        let wrong = |problem: String| NoExpectation { problem };
        let compared = COMPARISONS.iter().find_map(|(sign, comparison)| {
            let (figure, value) = text.split_once(sign)?;
            Some((figure.trim(), *comparison, value.trim()))
        });
        let Some((figure, comparison, value)) = compared else {
            return Err(wrong(format!("{text:?} compares nothing: <, <=, >, >= or == is missing")));
        };
        let Some((name, direction)) = figure.split_once('.') else {
            return Err(wrong(format!("{figure:?} does not say which direction")));
        };
        let Some((_, metric, example)) = METRICS.iter().find(|(known, ..)| *known == name) else {
            let known = METRICS.map(|(known, ..)| known).join(", ");
            return Err(wrong(format!("{name:?} is no figure that is known here; known: {known}")));
        };
        let Some(direction) = DIRECTIONS.iter().position(|names| names.contains(&direction)) else {
            let known = DIRECTIONS.concat().join(", ");
            return Err(wrong(format!("{direction:?} is no direction; known: {known}")));
        };
        let value = match metric {
            Metric::Loss => value.parse::<Percent>().ok().map(|percent| percent.fraction()),
            Metric::Arrived | Metric::Out => value.parse::<u64>().ok().map(|count| count as f64),
            Metric::Lateness => value.parse::<Duration>().ok().map(|duration| duration.0.0 as f64),
        }
        .ok_or_else(|| wrong(format!("{value:?} is no value of {name}, such as {example}")))?;
        Ok(Self { text: text.to_owned(), metric: *metric, direction, comparison, value })
    }
}

/// What came of an expectation.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub(crate) struct Judged {
    /// What was expected, as it was written.
    expectation: String,
    /// Whether it held.
    pub(crate) held: bool,
    /// What was measured.
    measured: String,
}

impl fmt::Display for Judged {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let held = if self.held { "held" } else { "FAILED" };
        write!(formatter, "expected {}: {held}, measured {}", self.expectation, self.measured)
    }
}

impl Expectation {
    /// Whether it holds. What is not known does not.
    pub(crate) fn judge(&self, directions: &[Figures]) -> Judged {
        let figures = directions.get(self.direction);
        let found = figures.and_then(|figures| self.measure(figures));
        let held = found.as_ref().is_some_and(|(value, _)| match self.comparison {
            Comparison::Less => *value < self.value,
            Comparison::AtMost => *value <= self.value,
            Comparison::More => *value > self.value,
            Comparison::AtLeast => *value >= self.value,
            Comparison::Equal => (value - self.value).abs() < f64::EPSILON * self.value.abs().max(1.0),
        });
        let measured = found.map_or_else(|| "nothing: no packet came".to_owned(), |(_, words)| words);
        Judged { expectation: self.text.clone(), held, measured }
    }

    /// The figure, and in words; none where no packet came that it could be of.
    fn measure(&self, figures: &Figures) -> Option<(f64, String)> {
        let Figures { arrived, out, dropped, lateness_ns, .. } = figures;
        match self.metric {
            Metric::Loss if *arrived == 0 => None,
            Metric::Loss => {
                let by_link =
                    |name: &str| Cause::ALL.into_iter().any(|cause| cause.name() == name && !cause.is_of_the_harness());
                let lost: u64 = dropped.iter().filter(|(cause, _)| by_link(cause)).map(|(_, count)| count).sum();
                let share = lost as f64 / *arrived as f64;
                Some((share, format!("{:.3} % ({lost} of {arrived})", share * 100.0)))
            }
            Metric::Arrived => Some((*arrived as f64, arrived.to_string())),
            Metric::Out => Some((*out as f64, out.to_string())),
            Metric::Lateness if *out == 0 => None,
            Metric::Lateness => {
                Some((lateness_ns.p99 as f64, format!("{:.1} us at p99", lateness_ns.p99 as f64 / 1e3)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::figures::Lateness;
    use super::*;

    fn judged(text: &str) -> Judged {
        let dropped = [("loss", 40), ("queue", 10), ("rx_ring", 7)].map(|(cause, count)| (cause.to_owned(), count));
        let egress = Figures {
            arrived: 1_000,
            out: 943,
            dropped: dropped.into(),
            lateness_ns: Lateness { p50: 10_000, p99: 250_000, max: 1_000_000 },
            ..Figures::default()
        };
        text.parse::<Expectation>().unwrap().judge(&[egress, Figures::default()])
    }

    #[test]
    fn figures_are_held_against_what_is_expected() {
        for (text, held) in [
            ("loss.egress < 6%", true),
            ("loss.up<=5%", true),
            ("loss.a_to_b < 5%", false),
            ("arrived.egress == 1000", true),
            ("out.up >= 944", false),
            ("lateness.egress < 1ms", true),
            ("lateness.egress < 200us", false),
            // What is not known is not as it should be.
            ("loss.ingress < 100%", false),
            ("lateness.down < 1h", false),
            ("arrived.down == 0", true),
        ] {
            assert_eq!(judged(text).held, held, "{text}: {}", judged(text));
        }
        // Losses of the harness are none of the link.
        assert_eq!(
            judged("loss.egress < 6%").to_string(),
            "expected loss.egress < 6%: held, measured 5.000 % (50 of 1000)"
        );
    }

    #[test]
    fn what_is_no_expectation_is_refused_with_an_example() {
        for (text, words) in [
            ("loss.egress", "compares nothing"),
            ("loss < 6%", "which direction"),
            ("loos.egress < 6%", "known: loss, arrived, out, lateness"),
            ("loss.sideways < 6%", "known: egress, up, a_to_b, ingress"),
            ("loss.egress < 6", "such as 6%"),
            ("lateness.up < 5", "such as 1ms"),
            ("out.up > 5%", "such as 1000"),
        ] {
            let error = text.parse::<Expectation>().unwrap_err().to_string();
            assert!(error.contains(words) && error.contains("for example"), "{text}: {error}");
        }
    }
}
