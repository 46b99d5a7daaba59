//! Rate: a bottleneck that serves one packet after another, with a bounded queue in front of it.
//!
//! The queue is virtual: all that is kept is when the bottleneck will be free. The backlog a packet
//! finds, in time, is that moment minus now; a packet whose own service would end later than the queue
//! limit after its arrival is dropped at the tail.

use crate::layout::Params;
use crate::units::Nanos;

/// What the bottleneck carries over from packet to packet.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bottleneck {
    /// When it has served all that it took.
    pub free_at: Nanos,
    /// What rounding left over of the last service time, in units of 1/rate nanoseconds: nothing is
    /// lost to rounding, however long the queue.
    pub remainder: u64,
}

/// Lets a packet of `len` bytes, arriving `now`, pass the bottleneck.
///
/// Returns when its last bit is through (`now` where no rate is set), or `None` when the queue is full.
#[inline(always)]
#[must_use]
pub fn serve(params: &Params, bottleneck: &mut Bottleneck, now: Nanos, len: u32) -> Option<Nanos> {
    let rate = params.rate.0;
    if rate == 0 {
        return Some(now);
    }
    // A packet that comes just when the last one is through still finds what rounding left over of it.
    let idle = bottleneck.free_at.0 < now.0;
    let start = if idle { now } else { bottleneck.free_at };
    // A remainder beyond the rate was left at another rate, and is no time at this one.
    let carried = if idle || bottleneck.remainder >= rate { 0 } else { bottleneck.remainder };
    let bits = (len as u64 + params.overhead as u64) * 8;
    // At most 2^32 bytes of overhead and length: 2^35 bits * 10^9 < 2^65 would overflow, so lengths are
    // held to what a frame can have.
    let nanobits = (bits & 0x1_ffff_ffff) * 1_000_000_000 + carried;
    let service = nanobits.checked_div(rate).unwrap_or(0);
    let remainder = nanobits.checked_rem(rate).unwrap_or(0);
    let through = start.saturating_add(Nanos(service));
    if through.saturating_sub(now) > params.queue {
        return None;
    }
    *bottleneck = Bottleneck { free_at: through, remainder };
    Some(through)
}
