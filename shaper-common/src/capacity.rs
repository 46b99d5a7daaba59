//! A bottleneck whose rate follows a trace: each packet is served over as many steps as it takes.

use core::hint::black_box;

use crate::rate::{Bottleneck, Service};
use crate::trace::{Found, Served, Steps};
use crate::units::Nanos;

/// What a service by a trace comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Room {
    /// It is in the queue's limits.
    Enough,
    /// It is not, or at no time.
    Full,
    /// The trace is not there.
    Unknown,
}

/// The queue's limits, and what a packet needs of a bottleneck.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// When the packet arrives.
    pub now: Nanos,
    /// When the trace begins: what comes before that meets no bottleneck.
    pub start: Nanos,
    /// Bytes on the wire.
    pub bytes: u64,
    /// The most time from the arrival until the packet is through.
    pub queue: Nanos,
    /// The most work that waits.
    pub queue_work: u64,
}

/// The service of a packet; `found` is where in the trace its arrival is, `hint` the step that the last service ended in.
///
/// `begins` is when its first bit is served where that is asked for, and else when the packet before it is through.
#[inline(always)]
#[must_use]
pub fn service_by(
    trace: &Steps<'_>,
    found: &Found,
    bottleneck: &Bottleneck,
    wanted: &Wanted,
    asks_begin: bool,
    hint: &mut u64,
) -> (Service, Room) {
    // The compiler must not know that these are zero: see `RawFate::begin`.
    let zero = Bottleneck { free_at: Nanos(black_box(0)), remainder: black_box(0), work: black_box(0) };
    if wanted.start > wanted.now {
        return (
            Service { begins: wanted.now, after: Bottleneck { free_at: wanted.now, ..zero }, each: zero },
            Room::Enough,
        );
    }
    let by_now = trace.work_by(found);
    let is_idle = bottleneck.free_at <= wanted.now || bottleneck.work < by_now;
    let begun = if is_idle { by_now } else { bottleneck.work };
    let work = begun + ((wanted.bytes & 0x3fff_ffff) << (trace.head.shift & 31));
    let mut begins = if is_idle { wanted.now } else { bottleneck.free_at };
    if asks_begin && let Served::At(time) = trace.time_of(begun + 1, hint) {
        begins = wanted.start.saturating_add(time);
    }
    let (through, room) = through(trace, by_now, work, wanted, hint);
    let after = Bottleneck { free_at: through, remainder: 0, work };
    (Service { begins, after, each: zero }, room)
}

/// How much work waits ahead of a packet.
#[inline(always)]
#[must_use]
pub fn waiting(trace: &Steps<'_>, found: &Found, bottleneck: &Bottleneck, now: Nanos) -> u64 {
    let ahead = bottleneck.work.saturating_sub(trace.work_by(found));
    if bottleneck.free_at <= now { 0 } else { ahead }
}

/// Lets so many copies of the packet be served behind it, if all of them find room.
#[inline(always)]
#[must_use]
pub fn repeat(
    trace: &Steps<'_>,
    found: &Found,
    service: &mut Service,
    wanted: &Wanted,
    copies: u32,
    hint: &mut u64,
) -> Room {
    if wanted.start > wanted.now {
        return Room::Enough;
    }
    let by_now = trace.work_by(found);
    let work = service.after.work + copies as u64 * ((wanted.bytes & 0x3fff_ffff) << (trace.head.shift & 31));
    let (through, room) = through(trace, by_now, work, wanted, hint);
    if let Room::Enough = room {
        let time = through.saturating_sub(service.after.free_at);
        service.each.free_at = Nanos(time.0.checked_div(copies as u64).unwrap_or(0));
        service.after = Bottleneck { free_at: through, remainder: 0, work };
    }
    room
}

/// When so much has been served, and whether that is in the queue's limits.
#[inline(always)]
fn through(trace: &Steps<'_>, by_now: u64, work: u64, wanted: &Wanted, hint: &mut u64) -> (Nanos, Room) {
    match trace.time_of(work, hint) {
        Served::At(time) => {
            let time = wanted.start.saturating_add(time);
            let fits = work - by_now <= wanted.queue_work && time.saturating_sub(wanted.now) <= wanted.queue;
            (time, if fits { Room::Enough } else { Room::Full })
        }
        Served::Never => (Nanos::ZERO, Room::Full),
        Served::Unknown => (Nanos::ZERO, Room::Unknown),
    }
}
