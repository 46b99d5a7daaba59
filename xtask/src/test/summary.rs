//! What the layers came to, and the last lines that say so.

use std::{
    iter::Sum,
    ops::AddAssign,
    time::{Duration, Instant},
};

use anyhow::Result;

/// How many tests ended which way.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    /// Did not run, whatever the reason.
    pub(crate) skipped: u64,
    /// What each skipped test said.
    pub(crate) reasons: Vec<String>,
}

impl Counts {
    /// One check that is not a test of libtest's.
    pub(crate) fn check(passed: bool) -> Self {
        Self { passed: u64::from(passed), failed: u64::from(!passed), ..Self::default() }
    }
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
        self.reasons.extend(other.reasons);
    }
}

impl Sum for Counts {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), |mut sum, one| {
            sum += one;
            sum
        })
    }
}

/// How a layer ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Ran(Counts),
    /// Nothing of the layer ran: why, and how many tests that leaves out.
    CannotRun {
        reason: String,
        tests: u64,
    },
}

impl Outcome {
    /// What ran; a layer without a single test did not.
    pub(crate) fn ran_or(counts: Counts, reason: &str) -> Self {
        if counts == Counts::default() {
            return Self::CannotRun { reason: reason.into(), tests: 0 };
        }
        Self::Ran(counts)
    }
}

#[derive(Clone, Debug)]
struct Layer {
    name: String,
    outcome: Outcome,
    elapsed: Duration,
}

impl Layer {
    fn line(&self, width: usize) -> String {
        let (name, seconds) = (&self.name, self.elapsed.as_secs_f64());
        match &self.outcome {
            Outcome::Ran(counts) => format!(
                "{name:width$}  {:>5} passed  {:>3} failed  {:>3} skipped  {seconds:>7.1} s\n",
                counts.passed, counts.failed, counts.skipped
            ),
            Outcome::CannotRun { reason, .. } => format!("{name:width$}  CANNOT RUN: {reason}\n"),
        }
    }
}

/// All layers so far.
#[derive(Debug, Default)]
pub(crate) struct Summary {
    layers: Vec<Layer>,
}

impl Summary {
    /// Runs a layer under a header. An error is one failure and is printed.
    pub(crate) fn layer(&mut self, name: impl Into<String>, work: impl FnOnce() -> Result<Outcome>) {
        let name = name.into();
        println!("\n=== {name}");
        let start = Instant::now();
        let outcome = work().unwrap_or_else(|error| {
            println!("{name}: FAILED: {error:#}");
            Outcome::Ran(Counts::check(false))
        });
        let layer = Layer { name, outcome, elapsed: start.elapsed() };
        print!("{}", layer.line(layer.name.len()));
        self.layers.push(layer);
    }

    /// True when nothing failed and, if `all_must_run`, every layer ran whole.
    pub(crate) fn holds(&self, all_must_run: bool) -> bool {
        self.layers.iter().all(|layer| match &layer.outcome {
            Outcome::Ran(counts) => counts.failed == 0 && !(all_must_run && counts.skipped > 0),
            Outcome::CannotRun { .. } => !all_must_run,
        })
    }

    /// One line a layer, what was skipped and why, and the totals alone in the
    /// last line.
    pub(crate) fn text(&self) -> String {
        let width = self.layers.iter().map(|layer| layer.name.len()).max().unwrap_or(0);
        let mut total = Counts::default();
        let mut text = String::new();
        for layer in &self.layers {
            text += &layer.line(width);
            match &layer.outcome {
                Outcome::Ran(counts) => {
                    for reason in &counts.reasons {
                        text += &format!("{:width$}  skipped: {reason}\n", "");
                    }
                    total += counts.clone();
                }
                Outcome::CannotRun { tests, .. } => total.skipped += tests,
            }
        }
        text += &format!("{} passed, {} failed, {} skipped\n", total.passed, total.failed, total.skipped);
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summary(outcomes: Vec<Result<Outcome>>) -> Summary {
        let mut summary = Summary::default();
        for outcome in outcomes {
            summary.layer("layer", || outcome);
        }
        summary
    }

    #[test]
    fn the_last_line_is_the_totals_alone() {
        let text = summary(vec![
            Ok(Outcome::Ran(Counts { passed: 5, failed: 0, skipped: 1, reasons: vec!["needs two CPUs".into()] })),
            Ok(Outcome::CannotRun { reason: "no root".into(), tests: 3 }),
            Err(anyhow::anyhow!("no such program")),
        ])
        .text();
        assert_eq!(text.lines().last(), Some("5 passed, 1 failed, 4 skipped"));
        assert!(text.contains("CANNOT RUN: no root"));
        assert!(text.contains("skipped: needs two CPUs"));
    }

    #[test]
    fn a_layer_that_cannot_run_fails_only_where_all_must_run() {
        let summary = summary(vec![Ok(Outcome::CannotRun { reason: "no root".into(), tests: 3 })]);
        assert!(summary.holds(false));
        assert!(!summary.holds(true));
    }

    #[test]
    fn a_skipped_test_fails_only_where_all_must_run() {
        let summary = summary(vec![Ok(Outcome::Ran(Counts { passed: 3, skipped: 1, ..Counts::default() }))]);
        assert!(summary.holds(false));
        assert!(!summary.holds(true));
    }

    #[test]
    fn an_error_in_a_layer_is_a_failure() {
        assert!(!summary(vec![Err(anyhow::anyhow!("broken"))]).holds(false));
    }
}
