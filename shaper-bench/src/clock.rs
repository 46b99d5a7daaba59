//! Processor time of the calling thread.

use nix::time::{ClockId, clock_gettime};

/// Nanoseconds this thread has run: other work on the machine does not lengthen them as it does the clock's, though it
/// still takes caches away.
pub(crate) fn processor_time() -> u64 {
    // The clock exists on every Linux; a reading that fails is no time at all.
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID)
        .map_or(0, |time| (time.tv_sec() * 1_000_000_000 + time.tv_nsec()).unsigned_abs())
}
