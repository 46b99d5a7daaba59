//! Distributions as tables in files: netem's, and our own.

use std::sync::Arc;

use crate::quantity::Duration;

/// What a value of 8192 in a table of netem's stands for is one sigma.
const NETEM_SIGMA: f64 = 8192.0;
/// The furthest value in units of the jitter: with a jitter of an hour still far from what 64 bits hold.
const FURTHEST: f64 = 10_000.0;
/// The longest delay.
const LONGEST: Duration = Duration::from_millis(3_600_000);

/// What the values of a table are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Units of the jitter, around the base delay.
    Sigma,
    /// Delays in nanoseconds. The base delay is added to them; the jitter says nothing.
    Delay,
}

/// A point of a quantile function.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Point {
    pub(super) probability: f64,
    pub(super) value: f64,
}

/// A distribution read from a file: its quantile function is linear between the points and constant beyond the first
/// and the last.
#[derive(Clone, Debug, PartialEq)]
pub struct TableFile {
    name: String,
    unit: Unit,
    points: Arc<[Point]>,
}

/// A place in a table's text and what is wrong there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}: {problem}")]
pub struct TableError {
    /// The file, as the caller named it.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// What is wrong, and what would be right.
    pub problem: String,
}

impl TableFile {
    /// Reads a table as netem takes it: whole numbers separated by blanks, `#` before comments. Sorted, they are
    /// quantiles in units of 1/8192 sigma, the `i`th of `n` (from 0) at the probability `(i + 0.5) / n`.
    ///
    /// They are taken as they are: neither their mean nor their standard deviation need be those of netem's own
    /// tables, see [`Self::mean`] and [`Self::sigma`].
    ///
    /// # Errors
    /// What is no whole number or lies beyond 10,000 sigma, and fewer than two numbers, with `name` and the line.
    pub fn read_dist(name: &str, text: &str) -> Result<Self, TableError> {
        let mut values: Vec<i64> = Vec::new();
        for (line, words) in lines(text) {
            for word in words.split_whitespace() {
                let value: i64 = word.parse().map_err(|_| {
                    let problem = format!("\"{word}\" is no whole number; the table holds such as -5034 0 12288");
                    error(name, line, problem)
                })?;
                if value.unsigned_abs() as f64 > FURTHEST * NETEM_SIGMA {
                    return Err(error(name, line, format!("{value} is more than 10000 sigma, which are 8192 each")));
                }
                values.push(value);
            }
        }
        if values.len() < 2 {
            let problem = format!("the table ends with {} numbers, and a distribution takes two or more", values.len());
            return Err(error(name, text.lines().count().max(1), problem));
        }
        values.sort_unstable();
        let count = values.len() as f64;
        let points = values.iter().enumerate().map(|(number, value)| Point {
            probability: (number as f64 + 0.5) / count,
            value: *value as f64 / NETEM_SIGMA,
        });
        Ok(Self { name: name.to_owned(), unit: Unit::Sigma, points: points.collect() })
    }

    /// Reads a table of our own: a line `probability value` a point, `#` before comments. Probabilities rise from 0 to
    /// 1, values never fall. Values are all delays with their units, such as `0.5 12.5ms`, or all numbers without, which
    /// are units of the jitter, such as `0.5 -0.25`. A leap is two probabilities that are as good as equal.
    ///
    /// # Errors
    /// What is no such line, and points in any other order, with `name` and the line.
    pub fn read_quantiles(name: &str, text: &str) -> Result<Self, TableError> {
        let mut points: Vec<Point> = Vec::new();
        let mut unit: Option<Unit> = None;
        let mut last_line = text.lines().count().max(1);
        for (line, words) in lines(text) {
            let wrong = |problem: String| error(name, line, problem);
            let Some((probability, value)) = words.split_once(char::is_whitespace) else {
                return Err(wrong(format!("\"{words}\" is no point; write for example 0.5 12.5ms")));
            };
            let probability: f64 =
                probability.parse().ok().filter(|share| (0.0..=1.0).contains(share)).ok_or_else(|| {
                    wrong(format!("\"{probability}\" is no probability; write a number from 0 to 1, such as 0.95"))
                })?;
            let (value, of) = read_value(value.trim()).map_err(wrong)?;
            // Zero is zero in either unit.
            match (unit, of) {
                (Some(first), Some(own)) if first != own => {
                    let problem = "values are delays with units or numbers of sigmas without; this table has both";
                    return Err(wrong(problem.to_owned()));
                }
                (None, own) => unit = own,
                _ => {}
            }
            match points.last() {
                None if probability > 0.0 => {
                    return Err(wrong(format!("the first probability is {probability} and must be 0")));
                }
                Some(last) if probability <= last.probability => {
                    let problem = format!(
                        "the probability {probability} follows {}; each must be larger than the last",
                        last.probability
                    );
                    return Err(wrong(problem));
                }
                Some(last) if value < last.value => {
                    return Err(wrong("the value is smaller than the last one; quantiles never fall".to_owned()));
                }
                _ => {}
            }
            points.push(Point { probability, value });
            last_line = line;
        }
        match points.last() {
            Some(Point { probability: 1.0, .. }) if points.len() > 1 => {}
            Some(last) => {
                let problem = format!("the last probability is {} and must be 1", last.probability);
                return Err(error(name, last_line, problem));
            }
            None => {
                let problem = "the table holds no point; write a line such as 0.5 12.5ms for each".to_owned();
                return Err(error(name, last_line, problem));
            }
        }
        Ok(Self { name: name.to_owned(), unit: unit.unwrap_or(Unit::Delay), points: points.into() })
    }

    /// What it was called on reading.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What its values are.
    #[must_use]
    pub const fn unit(&self) -> Unit {
        self.unit
    }

    /// The mean, in units of the jitter or in nanoseconds.
    #[must_use]
    pub fn mean(&self) -> f64 {
        self.pieces().map(|(share, from, to)| share * f64::midpoint(from, to)).sum()
    }

    /// The standard deviation, in units of the jitter or in nanoseconds.
    #[must_use]
    pub fn sigma(&self) -> f64 {
        let mean = self.mean();
        let of_piece = |(share, from, to): (f64, f64, f64)| {
            share * ((f64::midpoint(from, to) - mean).powi(2) + (to - from).powi(2) / 12.0)
        };
        self.pieces().map(of_piece).sum::<f64>().sqrt()
    }

    pub(super) fn points(&self) -> &[Point] {
        &self.points
    }

    /// The quantile function.
    pub(super) fn quantile(&self, probability: f64) -> f64 {
        let place = self.points.partition_point(|point| point.probability < probability);
        let before = place.checked_sub(1).and_then(|before| self.points.get(before));
        match (before, self.points.get(place)) {
            (Some(from), Some(to)) => {
                let weight = (probability - from.probability) / (to.probability - from.probability);
                from.value + (to.value - from.value) * weight
            }
            (Some(end), None) | (None, Some(end)) => end.value,
            (None, None) => 0.0,
        }
    }

    /// The linear pieces: how much each holds, and its values from and to.
    fn pieces(&self) -> impl Iterator<Item = (f64, f64, f64)> {
        let first = self.points.first().map(|point| (point.probability, point.value, point.value));
        let last = self.points.last().map(|point| (1.0 - point.probability, point.value, point.value));
        let between = self.points.windows(2).filter_map(|pair| match pair {
            [from, to] => Some((to.probability - from.probability, from.value, to.value)),
            _ => None,
        });
        first.into_iter().chain(between).chain(last)
    }
}

/// A value, and what it is: `None` for a bare zero.
fn read_value(text: &str) -> Result<(f64, Option<Unit>), String> {
    if let Ok(sigmas) = text.parse::<f64>() {
        if !sigmas.is_finite() || sigmas.abs() > FURTHEST {
            return Err(format!("{text} is no number of sigmas up to 10000"));
        }
        return Ok((sigmas, (sigmas != 0.0).then_some(Unit::Sigma)));
    }
    let delay: Duration = text.parse().map_err(|error: crate::quantity::QuantityError| error.to_string())?;
    if delay > LONGEST {
        return Err(format!("{delay:#} is longer than an hour"));
    }
    Ok((delay.0.0 as f64, Some(Unit::Delay)))
}

/// The lines that hold something, with their numbers from 1, without comments and outer blanks.
fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines()
        .enumerate()
        .map(|(number, line)| (number + 1, line.split('#').next().unwrap_or("").trim()))
        .filter(|(_, words)| !words.is_empty())
}

fn error(file: &str, line: usize, problem: String) -> TableError {
    TableError { file: file.to_owned(), line, problem }
}
