//! CoDel: controlled delay (Nichols, Jacobson, McGregor, Iyengar, RFC 8289).
//!
//! Packets are dropped, or marked, once their time in the queue has been above a target for an interval, the more often
//! the longer that lasts: the n-th `interval / sqrt(n)` after the one before.
//!
//! The RFC asks when a packet is taken from the queue, and while drops are due takes the next one at the same moment.
//! Here each packet is asked by itself, at its arrival, with the moment at which its service would begin. That comes
//! to the same, since a dropped packet takes no service: the packet behind it has the same moment, and finds in the
//! state what the RFC's loop would find. Where nothing is behind it, the RFC's loop meets an empty queue and leaves the
//! drop state; here the packet that comes next has waited for nothing, and leaves it. In the RFC a drop is followed by
//! a new time for the next one only if the next packet has waited too long as well; so it is here, by a state of its
//! own ([`AWAITING`]).
//!
//! What differs from the RFC:
//!
//! - The RFC does not act on a packet that leaves no more than one full packet *behind* it. What will be behind it is
//!   not known at its arrival. Here that exemption is for a packet that had no more than one full packet *ahead* of it:
//!   it waited no longer than one such packet takes. On a link where that is less than the target, the exemption
//!   never matters; on a slower one it serves the same end, that the link does not run dry. What is lost: the last
//!   packet of a burst may be dropped, and does not end a drop state. Under steady overload of links on which a full
//!   packet takes far less than the target both drop the same packets; elsewhere the share of drops changed by less
//!   than a hundredth of all packets in tests, mostly upwards.
//! - A packet dropped at the head of the RFC's queue held a place in it until then, one dropped here never does.
//!   That matters only where the queue is full as well.
//! - Of marking the RFC says no more than that it stands in for a drop. Here a marked packet is served, and the next
//!   one is asked when that is done.

use super::fixed;
use crate::units::Nanos;

/// Settings of CoDel.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CodelSettings {
    /// The time in the queue that is acceptable if it persists.
    pub target: Nanos,
    /// How long it may be above that; about the longest round-trip time of the traffic.
    pub interval: Nanos,
}

impl Default for CodelSettings {
    /// 5 ms and 100 ms (RFC 8289 section 4).
    fn default() -> Self {
        Self { target: Nanos(5_000_000), interval: Nanos(100_000_000) }
    }
}

/// What CoDel carries over from packet to packet; all zero at first.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Codel {
    /// When the time in the queue will have been above the target for an interval; zero while it is below.
    pub first_above: Nanos,
    /// When the next packet is dropped, in the drop state.
    pub drop_next: Nanos,
    /// Packets dropped since the drop state was entered, or more if it was left shortly before.
    pub count: u32,
    /// That count when the drop state was entered.
    pub last_count: u32,
    /// [`PASSING`], [`DROPPING`] or [`AWAITING`].
    pub dropping: u32,
    /// Explicit padding.
    pub _reserved: u32,
}

/// Not in the drop state.
pub const PASSING: u32 = 0;
/// In the drop state, the next drop at [`Codel::drop_next`].
pub const DROPPING: u32 = 1;
/// In the drop state, the last packet was dropped: whether and when there is a next drop is for the next packet to say.
pub const AWAITING: u32 = 2;

impl Codel {
    /// Whether the time in the queue has been above the target for an interval.
    #[inline(always)]
    fn is_above(&mut self, settings: &CodelSettings, dequeue: Nanos, sojourn: Nanos, is_short: bool) -> bool {
        if sojourn < settings.target || is_short {
            self.first_above = Nanos::ZERO;
            return false;
        }
        if self.first_above == Nanos::ZERO {
            self.first_above = dequeue.saturating_add(settings.interval);
            return false;
        }
        dequeue >= self.first_above
    }

    /// Enters the drop state. If it was left a short time ago, the rate of drops goes on from what it came to then.
    #[inline(always)]
    fn enter(&mut self, settings: &CodelSettings, dequeue: Nanos) {
        let delta = self.count.wrapping_sub(self.last_count);
        // Within 16 intervals of the drop that was due next.
        let is_recent = dequeue.saturating_sub(self.drop_next).0 >> 4 < settings.interval.0;
        self.count = if delta > 1 && is_recent { delta } else { 1 };
        self.drop_next = control_law(settings, dequeue, self.count);
        self.last_count = self.count;
        self.dropping = DROPPING;
    }
}

/// When the next drop follows one at a given time: `interval / sqrt(count)` later, to the nearest nanosecond.
#[inline(always)]
#[must_use]
pub const fn control_law(settings: &CodelSettings, after: Nanos, count: u32) -> Nanos {
    after.saturating_add(Nanos(fixed::over_root(settings.interval.0, count)))
}

/// Whether CoDel drops, or marks, the packet whose service would begin at `dequeue`, `sojourn` after its arrival.
///
/// `is_short` says that the queue held no more than one full packet when it came. Times of service never decrease from
/// packet to packet. A packet that is dropped must take no service; one that is marked takes it.
#[inline(always)]
#[must_use]
pub fn acts(settings: &CodelSettings, state: &mut Codel, dequeue: Nanos, sojourn: Nanos, is_short: bool) -> bool {
    let is_above = state.is_above(settings, dequeue, sojourn, is_short);
    if !is_above {
        state.dropping = PASSING;
        return false;
    }
    if state.dropping == PASSING {
        state.enter(settings, dequeue);
        return true;
    }
    if state.dropping == AWAITING {
        state.drop_next = control_law(settings, state.drop_next, state.count);
        state.dropping = DROPPING;
    }
    if dequeue < state.drop_next {
        return false;
    }
    state.count = state.count.saturating_add(1);
    state.dropping = AWAITING;
    true
}
