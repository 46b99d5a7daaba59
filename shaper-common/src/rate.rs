//! Rate: a bottleneck that serves one packet after another, with a queue before it.
//!
//! The queue is virtual: a packet's service begins when the one before it is through, which is known when the packet
//! arrives. What it adds is apart from the path's delay.

use core::hint::black_box;

use crate::duplicate::MOST_COPIES;
use crate::layout::Params;
use crate::units::{BitsPerSec, Nanos};

/// No queue is longer than these nine years: the services of all copies together stay below 2^63.
const FURTHEST: u64 = 1 << 58;

/// What the bottleneck carries over from packet to packet.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bottleneck {
    /// When it has served all that it took.
    pub free_at: Nanos,
    /// What rounding left over of the last service time, in units of 1/rate nanoseconds: nothing is
    /// lost to rounding, however long the queue.
    pub remainder: u64,
    /// Where the rate follows a trace: how much will have been served by then, see [`crate::trace`].
    pub work: u64,
}

/// The service of one packet, should the bottleneck take it.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Service {
    /// When it begins: the packet's virtual dequeue.
    pub begins: Nanos,
    /// What the bottleneck carries on then; `free_at` is when the packet's last bit is through.
    pub after: Bottleneck,
    /// How long another packet of this length takes, rounded down, and what that leaves over.
    pub each: Bottleneck,
}

/// Bytes that a packet of `len` takes on the wire: padded to the least frame, with the overhead, in whole cells.
#[inline(always)]
#[must_use]
pub fn wire_bytes(params: &Params, len: u32) -> u64 {
    let padded = if len < params.least { params.least } else { len };
    // The overhead may be negative; what is counted never is.
    let bytes = padded as i64 + params.overhead as i64;
    let bytes = if bytes < 1 { 1 } else { bytes as u64 };
    match (bytes + params.cell as u64).wrapping_sub(1).checked_div(params.cell as u64) {
        Some(cells) => cells * (params.cell as u64 + params.cell_overhead as u64),
        None => bytes,
    }
}

/// The service, at a rate that is not zero, of a packet that takes so many bytes on the wire and arrives `now`.
#[inline(always)]
#[must_use]
pub fn service_at(rate: BitsPerSec, bytes: u64, bottleneck: &Bottleneck, now: Nanos) -> Service {
    let rate = rate.0;
    // A packet that comes just when the last one is through still finds what rounding left over of it.
    let idle = bottleneck.free_at.0 < now.0;
    let begins = if idle { now } else { bottleneck.free_at };
    // A remainder beyond the rate was left at another rate, and is no time at this one.
    let carried = if idle || bottleneck.remainder >= rate { 0 } else { bottleneck.remainder };
    // Lengths are held to what a frame can have, in cells or not: 2^33 bits * 10^9 stay below 2^63.
    let nanobits = ((bytes * 8) & 0x1_ffff_ffff) * 1_000_000_000;
    let time = nanobits.checked_div(rate).unwrap_or(0);
    let each = Bottleneck { free_at: Nanos(time), remainder: nanobits - time * rate, work: 0 };
    let left = each.remainder + carried;
    let (whole, remainder) = if left >= rate { (1, left - rate) } else { (0, left) };
    let through = begins.saturating_add(each.free_at).saturating_add(Nanos(whole));
    let work = bottleneck.work;
    Service { begins, after: Bottleneck { free_at: through, remainder, work }, each }
}

impl Service {
    /// As many more packets of the same length behind this one, of `wanted`, as are through by `latest`, [`MOST_COPIES`]
    /// at most; the service then ends with the last of them.
    #[inline(always)]
    pub fn repeat(&mut self, rate: BitsPerSec, wanted: u32, latest: Nanos) -> u32 {
        let room = latest.saturating_sub(self.after.free_at).0.min(FURTHEST - 1);
        let (each, part) = (self.each.free_at.0.min(FURTHEST), self.each.remainder);
        let left = self.after.remainder;
        // By halving steps without a branch, as in the look-up of outages.
        let mut taken = 0;
        let mut step = (MOST_COPIES as u64).div_ceil(2);
        while step > 0 {
            let more = taken + step;
            let time = each * more + (left + part * more).checked_div(rate.0).unwrap_or(0);
            let fits = black_box(time.wrapping_sub(room + 1));
            let is_wanted = black_box(more.wrapping_sub(wanted as u64 + 1));
            taken += step * ((fits & is_wanted) >> 63);
            step /= 2;
        }
        let left = left + part * taken;
        let whole = left.checked_div(rate.0).unwrap_or(0);
        let time = Nanos(each * taken + whole);
        self.after.free_at = self.after.free_at.saturating_add(time);
        self.after.remainder = left - whole * rate.0;
        taken as u32
    }
}
