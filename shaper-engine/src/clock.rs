//! Clocks: CLOCK_MONOTONIC for decisions, CLOCK_REALTIME for captures, and what a sleep costs on this host.

use nix::time::{ClockId, clock_gettime};

/// One bracketed reading: the wall clock between two readings of the monotonic one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockSample {
    /// CLOCK_MONOTONIC before, in nanoseconds.
    pub before: u64,
    /// CLOCK_REALTIME, in nanoseconds since the epoch.
    pub realtime: u64,
    /// CLOCK_MONOTONIC after.
    pub after: u64,
}

/// CLOCK_MONOTONIC in nanoseconds.
#[must_use]
pub fn monotonic() -> u64 {
    read(ClockId::CLOCK_MONOTONIC)
}

fn read(clock: ClockId) -> u64 {
    // Both clocks exist on every Linux; a reading that fails is no time at all.
    clock_gettime(clock).map_or(0, |time| (time.tv_sec() as u64) * 1_000_000_000 + time.tv_nsec() as u64)
}

/// The tightest of several bracketed readings: what interrupted one of them widens its bracket.
#[must_use]
pub fn sample() -> ClockSample {
    const READINGS: usize = 9;
    let mut best: Option<ClockSample> = None;
    for _ in 0..READINGS {
        let reading = ClockSample { before: monotonic(), realtime: read(ClockId::CLOCK_REALTIME), after: monotonic() };
        let width = |sample: &ClockSample| sample.after.saturating_sub(sample.before);
        if best.is_none_or(|best| width(&reading) < width(&best)) {
            best = Some(reading);
        }
    }
    best.unwrap_or(ClockSample { before: 0, realtime: 0, after: 0 })
}

/// How far this host's own sleeps overshoot: sorted errors of `count` sleeps of one millisecond, in nanoseconds.
///
/// What a program that does nothing but sleep misses its time by is the yardstick for a delay line.
#[must_use]
pub fn idle_timer_errors(count: usize) -> Vec<u64> {
    const SLEEP: u64 = 1_000_000;
    let mut errors: Vec<u64> = (0..count)
        .map(|_| {
            let start = monotonic();
            std::thread::sleep(std::time::Duration::from_nanos(SLEEP));
            monotonic().saturating_sub(start).saturating_sub(SLEEP)
        })
        .collect();
    errors.sort_unstable();
    errors
}
