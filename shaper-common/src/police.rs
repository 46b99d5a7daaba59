//! Policer: a token bucket without a queue (ITU-T I.371's generic cell rate algorithm for packets of any length; the
//! committed bucket of RFC 2697).
//!
//! A bucket of depth `burst` fills at `rate`; a packet conforms if the bucket holds as much as it is long, and takes it
//! out. Kept is not how full the bucket is but the theoretical arrival time: when it would be full again. A packet
//! conforms if after it that time would lie no further ahead than the depth, which is a time too. Nothing is lost to
//! rounding: what a time is beyond its whole nanoseconds is carried along.

use crate::units::{BitsPerSec, Nanos};

/// Longest packet that counts in full; longer ones count as this. Far beyond any frame.
const LONGEST: u32 = 1 << 29;

/// Settings of a policer.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PolicerSettings {
    /// Rate at which the bucket fills; zero lets everything pass.
    pub rate: BitsPerSec,
    /// Depth of the bucket: the time in which it fills, see [`PolicerSettings::of_bytes`].
    pub burst: Nanos,
}

impl PolicerSettings {
    /// A bucket that holds so many bytes, which are 2^29 at most. The depth is rounded up, so that a burst of just
    /// these bytes conforms.
    #[must_use]
    pub fn of_bytes(rate: BitsPerSec, bytes: u32) -> Self {
        let burst = nanobits(bytes).checked_div(rate.0).unwrap_or(0);
        let is_whole = nanobits(bytes).checked_rem(rate.0).unwrap_or(0) == 0;
        Self { rate, burst: Nanos(burst + u64::from(!is_whole)) }
    }
}

/// What a policer carries over from packet to packet; all zero for a full bucket.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Policer {
    /// When the bucket will be full again, in whole nanoseconds.
    pub theoretical_arrival: Nanos,
    /// What comes on top of that, in units of 1/rate nanoseconds.
    pub remainder: u64,
}

/// Bits of a packet, times the nanoseconds of a second: below 2^62.
#[inline(always)]
const fn nanobits(bytes: u32) -> u64 {
    let bytes = if bytes > LONGEST { LONGEST } else { bytes };
    bytes as u64 * 8_000_000_000
}

/// Whether a packet of so many bytes that comes `now` conforms. One that does not changes nothing.
#[inline(always)]
#[must_use]
pub fn conforms(settings: &PolicerSettings, state: &mut Policer, now: Nanos, bytes: u32) -> bool {
    let rate = settings.rate.0;
    if rate == 0 {
        return true;
    }
    let is_full = state.theoretical_arrival < now;
    let start = if is_full { now } else { state.theoretical_arrival };
    // A remainder beyond the rate was left at another rate, and is no time at this one.
    let carried = if is_full || state.remainder >= rate { 0 } else { state.remainder };
    let nanobits = nanobits(bytes).saturating_add(carried);
    let whole = nanobits.checked_div(rate).unwrap_or(0);
    let remainder = nanobits.checked_rem(rate).unwrap_or(0);
    let full_at = start.saturating_add(Nanos(whole));
    let ahead = full_at.saturating_sub(now);
    if ahead > settings.burst || (ahead == settings.burst && remainder != 0) {
        return false;
    }
    *state = Policer { theoretical_arrival: full_at, remainder };
    true
}
