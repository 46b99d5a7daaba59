//! Other tools' numbers as quantities: rounded to what a profile holds, never to zero.

use shaper_common::units::{BitsPerSec, Nanos};

use crate::quantity::{Duration, Percent, Rate};

const LONGEST_NANOS: f64 = 365.0 * 86_400.0 * 1e9;
const FASTEST: f64 = 1e13;

/// A finite number of zero or more.
pub(super) fn number(text: &str) -> Result<f64, String> {
    let plain = text.trim();
    let number: f64 = plain.parse().map_err(|_| format!("\"{plain}\" is no number"))?;
    if !number.is_finite() {
        return Err(format!("\"{plain}\" is no finite number"));
    }
    if number < 0.0 { Err(format!("\"{plain}\" is negative")) } else { Ok(number + 0.0) }
}

/// A percentage, to ten decimals.
pub(super) fn percent(of: f64) -> Result<Percent, String> {
    if !(0.0..=100.0).contains(&of) {
        return Err(format!("{of} % is not from 0 to 100 %"));
    }
    let percent: Percent = format!("{of:.10}%").parse().map_err(|error| format!("{error}"))?;
    if of > 0.0 && percent.is_zero() {
        return Err(format!("{of} % is less than can be held"));
    }
    Ok(percent)
}

/// A time of so many units, to the nanosecond.
pub(super) fn duration(of: f64, unit: Nanos) -> Result<Duration, String> {
    let nanos = of * unit.0 as f64;
    if !(0.0..=LONGEST_NANOS).contains(&nanos) {
        return Err(format!("{nanos} ns is not from 0 to 365 days"));
    }
    let rounded = nanos.round() as u64;
    if nanos > 0.0 && rounded == 0 {
        return Err(format!("{nanos} ns is less than a nanosecond"));
    }
    Ok(Duration(Nanos(rounded)))
}

/// A rate, to the bit per second; more than none.
pub(super) fn rate(bits: f64) -> Result<Rate, String> {
    if !(0.5..=FASTEST).contains(&bits) {
        return Err(format!("{bits} bit/s is not from 1 bit/s to 10 Tbit/s"));
    }
    Ok(Rate(BitsPerSec(bits.round() as u64)))
}

pub(super) const SECOND: Nanos = Nanos(1_000_000_000);
pub(super) const MILLISECOND: Nanos = Nanos(1_000_000);
