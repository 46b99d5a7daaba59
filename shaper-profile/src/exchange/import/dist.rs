//! Distributions for netem, as they lie in tc's library folder with the ending `.dist`.
//!
//! A text of whole numbers with blanks between, and comments from `#` on. Each is a quantile of the delay around its
//! mean, in 8192nds of a standard deviation, 16 bits wide; the first half-step of the probability belongs to the first,
//! and so on. The file is copied as it is; delay and jitter are not in it.

use super::super::error::{Notes, Wrong};
use super::super::{OneWay, Options};
use crate::profile::Direction;

/// A standard deviation in a table.
pub(crate) const SIGMA: f64 = 8_192.0;

pub(in super::super) fn read(text: &str, options: &Options, notes: &mut Notes) -> Result<OneWay, Wrong> {
    let values = values(text)?;
    let (Some(delay), Some(jitter)) = (options.delay, options.jitter) else {
        return Err(Wrong::new(
            1,
            "a distribution says neither delay nor jitter",
            "give both, for example --delay 20ms --jitter 5ms",
        ));
    };
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let deviation = (values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / count).sqrt();
    notes.all(format!(
        "{} values with mean {:.3} and standard deviation {:.3} of the jitter, from {:.3} to {:.3}",
        values.len(),
        mean / SIGMA,
        deviation / SIGMA,
        values.iter().copied().fold(f64::INFINITY, f64::min) / SIGMA,
        values.iter().copied().fold(f64::NEG_INFINITY, f64::max) / SIGMA,
    ));
    let correlation_time = options.correlation_time.unwrap_or_default();
    let direction = Direction { delay, jitter, correlation_time, ..Direction::default() };
    Ok(OneWay { direction, table: Some(text.to_owned()), ..OneWay::default() })
}

/// The values of a table; two at least.
pub(crate) fn values(text: &str) -> Result<Vec<f64>, Wrong> {
    let mut values = Vec::new();
    let mut last = 1;
    for (line, written) in text.lines().enumerate().map(|(number, line)| (number + 1, line)) {
        for word in written.split('#').next().unwrap_or_default().split_whitespace() {
            let value: i16 = word.parse().map_err(|_| {
                Wrong::new(
                    line,
                    format!("\"{word}\" is no whole number from -32768 to 32767"),
                    "write quantiles in 8192nds of the jitter",
                )
            })?;
            values.push(f64::from(value));
            last = line;
        }
    }
    match values.len() {
        0 | 1 => Err(Wrong::new(last, "the table has less than two values", "write the quantiles in order")),
        _ => Ok(values),
    }
}
