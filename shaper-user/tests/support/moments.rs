//! Moments at which processes are killed, the same in every run of a test.

use std::time::Duration;

/// One from the first to the last, by its number.
pub(crate) fn moment(number: u64, first: Duration, last: Duration) -> Duration {
    // SplitMix64 (Steele, Lea and Flood, "Fast Splittable Pseudorandom Number Generators", 2014).
    let mut z = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    let between = u64::try_from((last - first).as_millis()).unwrap_or(u64::MAX);
    first + Duration::from_millis((z ^ (z >> 31)) % between.max(1))
}
