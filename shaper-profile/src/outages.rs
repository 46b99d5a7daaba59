//! The windows in which a link is down: from the seed, the link's number and time since start alone.
//!
//! Random outages are a Poisson process that stands still while the link is down: none starts inside
//! another, and the time from one's end to the next one's beginning is exponential. Its uniform draws are
//! Philox4x32-10 blocks with the counter `[number, 0, GROUP, link]` under the seed's key: `GROUP` is a purpose of
//! its own, so that no packet's draw shifts a window. A block's first two words are the time until the outage, the other
//! two its length where that is drawn. Both directions take the same windows.

use shaper_common::outage::{Schedule, WINDOWS, Window};
use shaper_common::rng::philox4x32;
use shaper_common::units::Nanos;

use crate::effect::OutageLength;
use crate::error::CompileError;
use crate::profile::{Outages, Scheduled};
use crate::quantity::Duration;

/// The purpose group of outage draws. Packets' draws have groups from 0 up, links' from 2^31 up.
pub const GROUP: u32 = 1 << 31;

/// The windows that begin before `horizon`, in order of time and apart from each other.
///
/// Scheduled windows and those of a flap lie over random ones; those that touch or overlap become one. The last window may
/// end after the horizon.
///
/// # Errors
/// More windows than a schedule holds.
pub fn windows(outages: &Outages, seed: u64, link: u32, horizon: Nanos) -> Result<Vec<Window>, CompileError> {
    outages.check()?;
    let mut all = Vec::new();
    let mut covered = horizon;
    let random = random(outages, seed, link, horizon);
    let flap = outages.flap.map(|flap| Scheduled {
        at: flap.up,
        length: flap.down,
        every: Some(Duration(flap.up.0.saturating_add(flap.down.0))),
    });
    let rows = flap.iter().chain(&outages.scheduled).map(|row| expanded(row, horizon));
    for row in std::iter::once(random).chain(rows) {
        // One more than fits is asked of each row: it marks where the schedule is full.
        if let Some(beyond) = row.get(WINDOWS) {
            covered = Nanos(covered.0.min(beyond.start.0));
        }
        all.extend(row);
    }
    let merged = merged(all);
    if let Some(beyond) = merged.get(WINDOWS) {
        covered = Nanos(covered.0.min(beyond.start.0));
    }
    if covered < horizon {
        let (covered, horizon) = (Duration(covered), Duration(horizon));
        return Err(CompileError::TooManyOutages { limit: WINDOWS, covered, horizon });
    }
    Ok(merged)
}

/// The windows as the kernel looks them up; those beyond what it holds are left out.
#[must_use]
pub fn schedule(windows: &[Window]) -> Box<Schedule> {
    let mut schedule = Box::new(Schedule::EMPTY);
    for (place, window) in schedule.windows.iter_mut().zip(windows) {
        *place = *window;
    }
    schedule
}

/// The share of the time until `horizon` in which the link is down.
#[must_use]
pub fn share(windows: &[Window], horizon: Nanos) -> f64 {
    let down: u64 = windows.iter().map(|window| window.end.0.min(horizon.0).saturating_sub(window.start.0)).sum();
    if horizon.0 == 0 { 0.0 } else { down as f64 / horizon.0 as f64 }
}

fn random(outages: &Outages, seed: u64, link: u32, horizon: Nanos) -> Vec<Window> {
    let per_nano = outages.rate.per_second() / 1e9;
    let mut windows = Vec::new();
    if per_nano == 0.0 {
        return windows;
    }
    let mut time = 0u64;
    for number in 0..=WINDOWS as u32 {
        let [high, low, length_high, length_low] =
            philox4x32([number, 0, GROUP, link], [seed as u32, (seed >> 32) as u32]);
        let gap = exponential(per_nano, high, low);
        let start = time.saturating_add(gap);
        if start >= horizon.0 {
            break;
        }
        time = start.saturating_add(length(outages.length, length_high, length_low));
        windows.push(Window { start: Nanos(start), end: Nanos(time) });
    }
    windows
}

/// An outage's length by two words of a draw; at least a nanosecond where it is drawn.
fn length(length: OutageLength, high: u32, low: u32) -> u64 {
    match length {
        OutageLength::Fixed(length) => length.0.0,
        OutageLength::Exponential(mean) => exponential(1.0 / mean.0.0 as f64, high, low),
        OutageLength::Between { least, most } => {
            let (least, most) = (least.0.0, most.0.0);
            let draw = u128::from(u64::from(high) << 32 | u64::from(low));
            let lengths = u128::from(most.saturating_sub(least)) + 1;
            // Below 2^64: no more than the longest.
            least.saturating_add(((draw * lengths) >> 64) as u64).max(1)
        }
    }
}

/// Nanoseconds of an exponential time until what comes so often in each, by two words of a draw; at least one. The
/// conversion saturates, far behind any horizon.
fn exponential(per_nano: f64, high: u32, low: u32) -> u64 {
    let bits = (u64::from(high) << 32 | u64::from(low)) >> 11;
    // In (0, 1]: the logarithm is finite.
    let uniform = (bits + 1) as f64 / 2f64.powi(53);
    ((-natural_logarithm(uniform) / per_nano) as u64).max(1)
}

fn expanded(row: &Scheduled, horizon: Nanos) -> Vec<Window> {
    let starts = std::iter::successors(Some(row.at.0.0), |at| at.checked_add(row.every?.0.0));
    starts
        .take_while(|start| *start < horizon.0)
        .take(WINDOWS + 1)
        .map(|start| Window { start: Nanos(start), end: Nanos(start.saturating_add(row.length.0.0)) })
        .collect()
}

fn merged(mut windows: Vec<Window>) -> Vec<Window> {
    windows.sort_by_key(|window| (window.start, window.end));
    let mut merged: Vec<Window> = Vec::new();
    for window in windows {
        match merged.last_mut() {
            Some(last) if window.start <= last.end => last.end = last.end.later_of(window.end),
            _ => merged.push(window),
        }
    }
    merged
}

/// The natural logarithm of a positive normal number, from operations that IEEE 754 rounds the same
/// everywhere: a library's `ln` may differ in its last bit from one system to the next, and a seed's
/// windows must not.
///
/// `x = m 2^e` with `m` in `[1/sqrt 2, sqrt 2)`, and `ln m = 2 artanh((m-1)/(m+1))` by its series.
fn natural_logarithm(x: f64) -> f64 {
    let bits = x.to_bits();
    let exponent = ((bits >> 52) & 0x7ff) as i32 - 1023;
    let mantissa = f64::from_bits((bits & 0x000f_ffff_ffff_ffff) | (1023 << 52));
    let (mantissa, exponent) =
        if mantissa > std::f64::consts::SQRT_2 { (mantissa / 2.0, exponent + 1) } else { (mantissa, exponent) };
    let s = (mantissa - 1.0) / (mantissa + 1.0);
    // |s| < 0.172: the 12th term is below 1e-18.
    let series = (0..12).rev().fold(0.0, |sum, k| sum * s * s + 1.0 / f64::from(2 * k + 1));
    f64::from(exponent) * std::f64::consts::LN_2 + 2.0 * s * series
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn outages(rate: &str, length: &str, scheduled: Vec<Scheduled>) -> Outages {
        Outages { rate: rate.parse().unwrap(), length: length.parse().unwrap(), scheduled, ..Outages::default() }
    }

    fn once(at: &str, length: &str) -> Scheduled {
        Scheduled { at: at.parse().unwrap(), length: length.parse().unwrap(), every: None }
    }

    #[test]
    fn logarithm_is_that_of_the_library_to_the_last_bits() {
        for step in 1..10_000u32 {
            let x = f64::from(step) / 7_000.0;
            assert!((natural_logarithm(x) - x.ln()).abs() < 4e-16 * (1.0 + x.ln().abs()), "{x}");
        }
        assert_eq!(natural_logarithm(1.0), 0.0);
        assert!((natural_logarithm(2f64.powi(-53)) + 53.0 * std::f64::consts::LN_2).abs() < 1e-14);
    }

    #[test]
    fn windows_are_the_seeds_the_links_and_times_alone() {
        let settings = outages("10%/s", "500ms", vec![]);
        let long = windows(&settings, 7, 0, Nanos(1_000 * SECOND)).unwrap();
        let short = windows(&settings, 7, 0, Nanos(100 * SECOND)).unwrap();
        assert!(long.len() > 50 && !short.is_empty());
        assert_eq!(short[..], long[..short.len()]);
        assert_ne!(windows(&settings, 8, 0, Nanos(1_000 * SECOND)).unwrap(), long);
        assert_ne!(windows(&settings, 7, 1, Nanos(1_000 * SECOND)).unwrap(), long);
    }

    #[test]
    fn the_windows_of_seed_7_stay_what_they_are() {
        let found = windows(&outages("10%/s", "500ms", vec![]), 7, 0, Nanos(30 * SECOND)).unwrap();
        let starts: Vec<u64> = found.iter().map(|window| window.start.0).collect();
        // From an independent Philox and a library's logarithm.
        assert_eq!(starts, [15_818_588_250, 16_908_771_453, 18_847_797_227]);
    }

    #[test]
    fn none_starts_inside_another_and_gaps_are_exponential() {
        let settings = outages("50%/s", "200ms", vec![]);
        let mut gaps = Vec::new();
        for seed in 0..40 {
            let found = windows(&settings, seed, 0, Nanos(500 * SECOND)).unwrap();
            let mut up_since = 0;
            for window in &found {
                assert!(window.start.0 > up_since);
                assert_eq!(window.end.0 - window.start.0, SECOND / 5);
                gaps.push((window.start.0 - up_since) as f64 / SECOND as f64);
                up_since = window.end.0;
            }
        }
        // Exponential with mean 2 s: KS at 0.001. The gaps cut off by the horizon are 1 in 200 and long.
        gaps.sort_by(f64::total_cmp);
        let count = gaps.len() as f64;
        let distance = gaps.iter().enumerate().fold(0f64, |worst, (i, gap)| {
            let cdf = 1.0 - (-gap / 2.0).exp();
            worst.max((cdf - i as f64 / count).abs()).max((cdf - (i + 1) as f64 / count).abs())
        });
        assert!(gaps.len() > 8_000);
        assert!(distance < 1.95 / count.sqrt(), "KS distance {distance} of {count} gaps");
    }

    /// The lengths of random outages of many seeds, which a horizon does not cut, in ascending order of nanoseconds.
    fn lengths(length: &str) -> Vec<f64> {
        let settings = outages("50%/s", length, vec![]);
        let mut lengths = Vec::new();
        for seed in 0..40 {
            let found = windows(&settings, seed, 0, Nanos(500 * SECOND)).unwrap();
            lengths.extend(found.iter().map(|window| (window.end.0 - window.start.0) as f64));
        }
        assert!(lengths.len() > 8_000, "{}", lengths.len());
        lengths.sort_by(f64::total_cmp);
        lengths
    }

    /// Kolmogorov's distance times the root of the sample: below 1.95 in 999 of 1,000.
    fn distance(sample: &[f64], cdf: impl Fn(f64) -> f64) -> f64 {
        let count = sample.len() as f64;
        let worst = sample.iter().enumerate().fold(0f64, |worst, (i, value)| {
            worst.max((cdf(*value) - i as f64 / count).abs()).max((cdf(*value) - (i + 1) as f64 / count).abs())
        });
        worst * count.sqrt()
    }

    #[test]
    fn lengths_that_are_drawn_have_their_distribution() {
        assert!(distance(&lengths("300ms exponential"), |at| 1.0 - (-at / 3e8).exp()) < 1.95);
        let uniform = lengths("100ms to 500ms");
        assert!(distance(&uniform, |at| ((at - 1e8) / 4e8).clamp(0.0, 1.0)) < 1.95);
        assert!(uniform[0] >= 1e8 && uniform[uniform.len() - 1] <= 5e8);
    }

    #[test]
    fn a_drawn_length_is_one_of_its_range_and_lasts_some_time() {
        let drawn = |text: &str, high, low| super::length(text.parse().unwrap(), high, low);
        assert_eq!(drawn("10ns to 13ns", 0, 0), 10);
        assert_eq!(drawn("10ns to 13ns", u32::MAX, u32::MAX), 13);
        assert_eq!((drawn("0 to 1ns", 0, 0), drawn("1ns exponential", u32::MAX, u32::MAX)), (1, 1));
        assert_eq!(drawn("5ns", 1, 2), 5);
    }

    #[test]
    fn the_first_outage_begins_at_the_same_time_whatever_its_length() {
        let first = |length: &str| windows(&outages("10%/s", length, vec![]), 7, 0, Nanos(30 * SECOND)).unwrap()[0];
        assert_eq!(first("500ms").start, first("1s exponential").start);
        assert_ne!(first("500ms").end, first("1s exponential").end);
    }

    #[test]
    fn a_flap_begins_up_and_lies_over_other_outages() {
        let flap =
            |scheduled| Outages { flap: Some("9s up 1s down".parse().unwrap()), scheduled, ..Outages::default() };
        let found = windows(&flap(vec![]), 7, 0, Nanos(35 * SECOND)).unwrap();
        let at = |start, end| Window { start: Nanos(start * SECOND), end: Nanos(end * SECOND) };
        assert_eq!(found, [at(9, 10), at(19, 20), at(29, 30)]);
        let found = windows(&flap(vec![once("10s", "2s")]), 7, 0, Nanos(15 * SECOND)).unwrap();
        assert_eq!(found, [at(9, 12)]);
    }

    #[test]
    fn scheduled_windows_lie_over_random_ones_and_those_that_touch_become_one() {
        let found = windows(
            &outages(
                "0",
                "0",
                vec![once("10s", "500ms"), once("2s", "1s"), once("3s", "1s"), once("10100ms", "100ms")],
            ),
            7,
            0,
            Nanos(20 * SECOND),
        )
        .unwrap();
        let at = |start, end| Window { start: Nanos(start), end: Nanos(end) };
        assert_eq!(found, [at(2 * SECOND, 4 * SECOND), at(10 * SECOND, 10 * SECOND + SECOND / 2)]);
    }

    #[test]
    fn a_row_repeats_until_the_horizon() {
        let row = Scheduled { every: Some("10s".parse().unwrap()), ..once("5s", "300ms") };
        let found = windows(&outages("0", "0", vec![row]), 7, 0, Nanos(35 * SECOND)).unwrap();
        let starts: Vec<u64> = found.iter().map(|window| window.start.0 / SECOND).collect();
        assert_eq!(starts, [5, 15, 25]);
    }

    #[test]
    fn more_windows_than_fit_is_an_error_that_says_how_far_they_reach() {
        let row = Scheduled { every: Some("1s".parse().unwrap()), ..once("0", "300ms") };
        let error = windows(&outages("0", "0", vec![row]), 7, 0, Nanos(2_000 * SECOND)).unwrap_err();
        assert!(matches!(&error, CompileError::TooManyOutages { covered, .. } if covered.0.0 == 1_024 * SECOND));
        assert!(windows(&outages("0", "0", vec![row]), 7, 0, Nanos(1_024 * SECOND)).is_ok());
        assert!(windows(&outages("100000%/s", "1us", vec![]), 7, 0, Nanos(3_600 * SECOND)).is_err());
    }

    #[test]
    fn the_share_counts_what_lies_before_the_horizon() {
        let found =
            windows(&outages("0", "0", vec![once("1s", "1s"), once("9s", "4s")]), 7, 0, Nanos(10 * SECOND)).unwrap();
        assert!((share(&found, Nanos(10 * SECOND)) - 0.2).abs() < 1e-12);
    }
}
