//! The units of tc, as its manual page says (tc(8), "PARAMETERS"): letters of either case; a bare time is in
//! microseconds, a bare rate in bits per second, a bare size in bytes; `k`, `m` and `g` of sizes are powers of 1024,
//! those of rates powers of 1000; `bps` and its kin are bytes per second.

use shaper_common::units::Nanos;

use super::number::{duration, number, percent, rate};
use crate::quantity::{Duration, Percent, Rate};

/// A number and what is behind it, in small letters.
fn split(text: &str) -> Result<(f64, String), String> {
    let is_of_number = |(at, c): (usize, char)| c.is_ascii_digit() || c == '.' || (matches!(c, '+' | '-') && at == 0);
    let end = text.char_indices().find(|place| !is_of_number(*place)).map_or(text.len(), |(at, _)| at);
    let (digits, unit) = text.split_at(end);
    Ok((number(digits).map_err(|_| format!("\"{text}\" begins with no number"))?, unit.to_ascii_lowercase()))
}

/// A time.
pub(super) fn time(text: &str) -> Result<Duration, String> {
    let (number, unit) = split(text)?;
    let unit = match unit.as_str() {
        "s" | "sec" | "secs" => 1_000_000_000,
        "ms" | "msec" | "msecs" => 1_000_000,
        "" | "us" | "usec" | "usecs" => 1_000,
        "ns" | "nsec" | "nsecs" => 1,
        _ => return Err(format!("\"{text}\" is no time: tc knows s, ms, us and ns")),
    };
    duration(number, Nanos(unit))
}

/// A percentage, with or without its sign.
pub(super) fn share(text: &str) -> Result<Percent, String> {
    let (number, unit) = split(text)?;
    match unit.as_str() {
        "" | "%" => percent(number),
        _ => Err(format!("\"{text}\" is no percentage")),
    }
}

/// A rate.
pub(super) fn speed(text: &str) -> Result<Rate, String> {
    let (number, unit) = split(text)?;
    let (prefix, of) = match unit.strip_suffix("bit") {
        Some(prefix) => (prefix, 1.0),
        None => match unit.strip_suffix("bps") {
            Some(prefix) => (prefix, 8.0),
            None if unit.is_empty() => ("", 1.0),
            None => {
                return Err(format!("\"{text}\" is no rate: tc knows bit, kbit, mbit, gbit and, in bytes, kbps, mbps"));
            }
        },
    };
    let prefix = match prefix {
        "" => 1.0,
        "k" => 1e3,
        "m" => 1e6,
        "g" => 1e9,
        "t" => 1e12,
        "ki" => 1024.0,
        "mi" => 1024f64.powi(2),
        "gi" => 1024f64.powi(3),
        "ti" => 1024f64.powi(4),
        _ => return Err(format!("\"{text}\" is no rate: its prefix is not known")),
    };
    rate(number * of * prefix)
}

/// A size in bytes.
pub(super) fn size(text: &str) -> Result<u64, String> {
    let (number, unit) = split(text)?;
    let of = match unit.as_str() {
        "" | "b" => 1.0,
        "k" | "kb" => 1024.0,
        "m" | "mb" => 1024f64.powi(2),
        "g" | "gb" => 1024f64.powi(3),
        "kbit" => 1024.0 / 8.0,
        "mbit" => 1024f64.powi(2) / 8.0,
        "gbit" => 1024f64.powi(3) / 8.0,
        _ => return Err(format!("\"{text}\" is no size: tc knows b, kb and mb")),
    };
    let bytes = (number * of).round();
    if bytes > f64::from(u32::MAX) { Err(format!("\"{text}\" is more than 4 GB")) } else { Ok(bytes as u64) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_those_of_tc() {
        let nanos = |text| time(text).unwrap().0.0;
        let times = ["100ms", "1.5s", "20", "20usecs", "3ns", "7MSEC"].map(nanos);
        assert_eq!(times, [100_000_000, 1_500_000_000, 20_000, 20_000, 3, 7_000_000]);
        let bits = |text| speed(text).unwrap().0.0;
        let rates = ["1mbit", "1mbps", "500", "1.5Mbit", "1kibit", "10kbps", "1gbit"].map(bits);
        assert_eq!(rates, [1_000_000, 8_000_000, 500, 1_500_000, 1_024, 80_000, 1_000_000_000]);
        assert_eq!(["1500", "10k", "1mb", "8kbit"].map(|text| size(text).unwrap()), [1_500, 10_240, 1_048_576, 1_024]);
        assert_eq!(["1%", "0.3", "100%"].map(|text| share(text).unwrap().to_string()), ["1%", "0.3%", "100%"]);
    }

    #[test]
    fn what_is_no_unit_of_tc_is_refused() {
        for text in ["", "ms", "5m", "-1ms", "1..5ms", "1%"] {
            assert!(time(text).is_err(), "{text}");
        }
        for text in ["", "0", "10mb", "5%", "mbit", "1xbit"] {
            assert!(speed(text).is_err(), "{text}");
        }
        for text in ["101%", "-1%", "1ms", "0.00000000000001%"] {
            assert!(share(text).is_err(), "{text}");
        }
    }
}
