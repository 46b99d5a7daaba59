//! Clocks: CLOCK_MONOTONIC for logs, and an application's own, off by a known offset and skew.

use serde::{Deserialize, Serialize};

use crate::units::{Micros, Nanos, Ppm};

/// What an application's clock counts from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClockBase {
    /// CLOCK_MONOTONIC: processes of one host agree exactly.
    #[default]
    Monotonic,
    /// CLOCK_REALTIME as it stood when the process began, carried on by CLOCK_MONOTONIC.
    Realtime,
}

/// An application's clock as asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ClockConfig {
    /// What it counts from.
    pub base: ClockBase,
    /// Added to every reading.
    pub offset: Micros,
    /// How much faster than true it runs.
    pub skew: Ppm,
    /// CLOCK_MONOTONIC instant at which the skew has added nothing yet.
    pub origin: Nanos,
}

/// An application's clock as it runs: a pure function of CLOCK_MONOTONIC.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct AppClock {
    /// As asked for.
    pub config: ClockConfig,
    /// What the base adds to CLOCK_MONOTONIC, in nanoseconds; 0 for [`ClockBase::Monotonic`].
    pub base_minus_monotonic: i64,
}

impl AppClock {
    /// A clock whose base stands `base_minus_monotonic` nanoseconds ahead of CLOCK_MONOTONIC.
    #[must_use]
    pub fn new(config: ClockConfig, base_minus_monotonic: i64) -> AppClock {
        AppClock { config, base_minus_monotonic }
    }

    /// What the clock reads at the CLOCK_MONOTONIC instant `now`, in nanoseconds.
    #[must_use]
    pub fn nanos_at(&self, now: Nanos) -> i64 {
        let run = now.signed_since(self.config.origin);
        let drift = run as f64 * self.config.skew.0 * 1e-6;
        now.signed_since(Nanos::ZERO)
            .saturating_add(self.base_minus_monotonic)
            .saturating_add(drift as i64)
            .saturating_add(self.config.offset.0.saturating_mul(1_000))
    }

    /// What the clock reads at the CLOCK_MONOTONIC instant `now`.
    #[must_use]
    pub fn at(&self, now: Nanos) -> Micros {
        Micros(self.nanos_at(now).div_euclid(1_000))
    }

    /// As it goes on the wire: a clock before its epoch reads 0 there.
    #[must_use]
    pub fn wire_at(&self, now: Nanos) -> u64 {
        u64::try_from(self.at(now).0).unwrap_or(0)
    }

    /// The true offset `self - other` at `now`, in microseconds: what a clock exchange should find.
    #[must_use]
    pub fn offset_from(&self, other: &AppClock, now: Nanos) -> f64 {
        self.nanos_at(now).saturating_sub(other.nanos_at(now)) as f64 / 1e3
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offset_and_skew_are_what_was_injected() {
        let truth = AppClock::new(ClockConfig::default(), 0);
        let config = ClockConfig {
            offset: Micros(-1_500),
            skew: Ppm(40.0),
            origin: Nanos::from_secs(10),
            ..ClockConfig::default()
        };
        let clock = AppClock::new(config, 0);
        assert_eq!(clock.offset_from(&truth, Nanos::from_secs(10)), -1_500.0);
        // 40 ppm over 100 s is 4 ms.
        assert_eq!(clock.offset_from(&truth, Nanos::from_secs(110)), -1_500.0 + 4_000.0);
        assert_eq!(clock.at(Nanos::from_secs(10)), Micros(10_000_000 - 1_500));
    }

    #[test]
    fn offsets_that_no_clock_has_do_not_overflow() {
        let clock = |offset| AppClock::new(ClockConfig { offset: Micros(offset), ..ClockConfig::default() }, 0);
        let (least, most) = (clock(i64::MIN), clock(i64::MAX));
        assert!(least.offset_from(&most, Nanos::from_secs(1)) < -9e15);
        assert!(most.offset_from(&least, Nanos::from_secs(1)) > 9e15);
    }

    #[test]
    fn a_clock_before_its_epoch_reads_zero_on_the_wire() {
        let config = ClockConfig { offset: Micros(-5_000_000), ..ClockConfig::default() };
        let clock = AppClock::new(config, 0);
        assert_eq!(clock.wire_at(Nanos::from_secs(1)), 0);
    }
}
