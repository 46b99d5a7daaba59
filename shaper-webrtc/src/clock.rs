//! The clocks that the mapping log is joined with captures by.

use std::time::{Duration, Instant};

use nix::time::{ClockId, clock_gettime};

/// Turns an `Instant` into nanoseconds of CLOCK_MONOTONIC, which is what it hides on Linux.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    at: Instant,
    monotonic: u64,
}

impl Clock {
    pub(crate) fn start() -> Self {
        Self { at: Instant::now(), monotonic: read(ClockId::CLOCK_MONOTONIC) }
    }

    pub(crate) fn monotonic(&self, instant: Instant) -> u64 {
        match instant.checked_duration_since(self.at) {
            Some(after) => self.monotonic.saturating_add(nanoseconds(after)),
            None => self.monotonic.saturating_sub(nanoseconds(self.at.saturating_duration_since(instant))),
        }
    }
}

/// CLOCK_MONOTONIC and CLOCK_REALTIME at one moment: the first is the mean of two readings around the
/// second.
pub(crate) fn pair() -> (u64, u64) {
    let before = read(ClockId::CLOCK_MONOTONIC);
    let wall = read(ClockId::CLOCK_REALTIME);
    let after = read(ClockId::CLOCK_MONOTONIC);
    (before.midpoint(after), wall)
}

fn read(clock: ClockId) -> u64 {
    clock_gettime(clock).map_or(0, |time| nanoseconds(Duration::from(time)))
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
