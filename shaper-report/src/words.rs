//! Figures as words, the same in the table and in the page.

use crate::stats::{Distribution, Missing, Proportion};
use crate::summary::Window;

/// A figure with three digits that matter, and no more than two behind the point.
pub(crate) fn figure(value: f64) -> String {
    let size = value.abs();
    let digits = if size >= 99.95 || size == 0.0 {
        0
    } else if size >= 9.995 {
        1
    } else {
        2
    };
    let text = format!("{value:.digits$}");
    if digits == 0 { grouped(&text) } else { text }
}

/// A figure, or a dash for one that does not exist.
pub(crate) fn figure_or_dash(value: Option<f64>) -> String {
    value.map_or_else(|| "-".to_owned(), figure)
}

/// A count, in groups of three digits.
pub(crate) fn count(value: u64) -> String {
    grouped(&value.to_string())
}

/// A rough count, rounded up to two digits that matter.
pub(crate) fn about(value: u64) -> String {
    let mut step = 1;
    while value / step >= 100 {
        step *= 10;
    }
    count(value.div_ceil(step) * step)
}

/// The digits of a whole number, in groups of three.
fn grouped(digits: &str) -> String {
    let (sign, digits) = digits.strip_prefix('-').map_or(("", digits), |rest| ("-", rest));
    let mut text = String::from(sign);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A configured ratio in percent, with the digits it was written with.
pub(crate) fn percent(ratio: f64) -> String {
    // Four digits behind the point, without the zeros: a ratio is rarely finer than one in a million.
    let text = format!("{:.4}", 100.0 * ratio);
    format!("{} %", text.trim_end_matches('0').trim_end_matches('.'))
}

/// A measured ratio in percent.
pub(crate) fn measured_percent(ratio: f64) -> String {
    let percent = 100.0 * ratio;
    if percent < 9.995 { format!("{percent:.2}") } else { format!("{percent:.1}") }
}

/// A measured proportion with its interval, such as `4.92 % (3.41 to 6.85) of 812`.
pub(crate) fn proportion(proportion: &Proportion) -> String {
    match proportion.ratio {
        None => "no packets".to_owned(),
        Some(ratio) => format!("{} of {}", percent_with_interval(ratio, proportion), count(proportion.of)),
    }
}

/// A measured proportion with its interval, without its total.
pub(crate) fn percent_with_interval(ratio: f64, proportion: &Proportion) -> String {
    let [ratio, low, high] = [ratio, proportion.low, proportion.high].map(measured_percent);
    format!("{ratio} % ({low} to {high})")
}

/// A percentile of a distribution: a dash without samples, `lost` where it falls among missing samples that
/// count as infinite.
pub(crate) fn percentile(distribution: &Distribution, value: Option<f64>) -> String {
    match value {
        Some(value) => figure(value),
        None if distribution.missing_as == Missing::Infinite && distribution.missing > 0 => "lost".to_owned(),
        None => "-".to_owned(),
    }
}

/// What the percentiles do with the missing samples.
pub(crate) fn missing(distribution: &Distribution) -> String {
    match (distribution.missing, distribution.missing_as) {
        (0, _) => "0".to_owned(),
        (missing, Missing::Excluded) => format!("{} left out", count(missing)),
        (missing, Missing::Infinite) => format!("{} counted", count(missing)),
    }
}

/// A span of the run in seconds.
pub(crate) fn window(window: &Window) -> String {
    format!("{:.2} to {:.2} s", window.start_ms / 1e3, window.end_ms / 1e3)
}

/// A rate on the link.
pub(crate) fn rate(bits_per_s: f64) -> String {
    let (scale, unit) = rate_unit(bits_per_s);
    format!("{} {unit}", shortest(bits_per_s / scale))
}

/// A rate that was measured.
pub(crate) fn measured_rate(bits_per_s: f64) -> String {
    let (scale, unit) = rate_unit(bits_per_s);
    format!("{} {unit}", figure(bits_per_s / scale))
}

/// A unit for rates of this size, and how many bits a second it is.
pub(crate) fn rate_unit(bits_per_s: f64) -> (f64, &'static str) {
    match bits_per_s {
        rate if rate >= 1e9 => (1e9, "Gbit/s"),
        rate if rate >= 1e6 => (1e6, "Mbit/s"),
        rate if rate >= 1e3 => (1e3, "kbit/s"),
        _ => (1.0, "bit/s"),
    }
}

/// An amount of memory.
pub(crate) fn bytes(bytes: u64) -> String {
    match bytes as f64 {
        size if size >= 1e9 => format!("{} GB", figure(size / 1e9)),
        size if size >= 1e6 => format!("{} MB", figure(size / 1e6)),
        size => format!("{} kB", figure(size / 1e3)),
    }
}

/// A span of time in a unit that suits it.
pub(crate) fn span(ns: i64) -> String {
    let (scale, unit) = match ns.unsigned_abs() {
        0..1_000 => return format!("{ns} ns"),
        1_000..1_000_000 => (1e3, "us"),
        1_000_000..1_000_000_000 => (1e6, "ms"),
        _ => (1e9, "s"),
    };
    format!("{} {unit}", figure(ns as f64 / scale))
}

/// A configured figure with the digits it was written with.
pub(crate) fn shortest(value: f64) -> String {
    let text = format!("{value:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// A name such as `a_to_b` or `sender_stack` for people: `a to b`, `sender stack`.
pub(crate) fn spaced(name: &str) -> String {
    name.replace('_', " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_keep_three_digits() {
        for (value, text) in [
            (0.0, "0"),
            (0.123, "0.12"),
            (9.999, "10.0"),
            (16.94, "16.9"),
            (99.97, "100"),
            (12345.6, "12,346"),
            (-0.5, "-0.50"),
        ] {
            assert_eq!(figure(value), text);
        }
        assert_eq!([about(16), about(7_041), about(3_834)], ["16", "7,100", "3,900"]);
        assert_eq!([count(7), count(1624), count(1_234_567)], ["7", "1,624", "1,234,567"]);
    }

    #[test]
    fn configured_figures_lose_no_digit() {
        assert_eq!([percent(0.05), percent(0.0), percent(0.00125), percent(1.0)], ["5 %", "0 %", "0.125 %", "100 %"]);
        assert_eq!([rate(5e6), rate(1.5e9), rate(64e3)], ["5 Mbit/s", "1.5 Gbit/s", "64 kbit/s"]);
    }
}
