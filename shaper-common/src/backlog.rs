//! The packets in a bottleneck's queue, where its limit is a number of them.

use core::hint::black_box;

use crate::units::Nanos;

/// Packets whose service is remembered: a power of two, and more than any limit.
pub const BACKLOG: usize = 4096;
/// The largest limit.
pub const MOST_PACKETS: u32 = BACKLOG as u32 - 1;

/// When the last packets that were taken are through the bottleneck.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backlog {
    /// Packets taken so far.
    pub taken: u32,
    /// Explicit padding.
    pub _reserved: u32,
    /// When each is through, at its number modulo [`BACKLOG`]; zero for none.
    pub through: [Nanos; BACKLOG],
}

impl Backlog {
    /// No packet was ever taken.
    pub const EMPTY: Self = Self { taken: 0, _reserved: 0, through: [Nanos::ZERO; BACKLOG] };

    /// How many are not through at `now`, which never goes back; the one that is being served is among them.
    #[inline(always)]
    #[must_use]
    pub fn waiting(&self, now: Nanos) -> u32 {
        // Times never fall from one packet to the next: halving steps over the last ones, as in the look-up of outages.
        let mut waiting = 0;
        let mut step = BACKLOG as u32 / 2;
        while step > 0 {
            let place = self.taken.wrapping_sub(waiting + step) as usize & (BACKLOG - 1);
            let Some(through) = self.through.get(black_box(place)) else {
                return waiting;
            };
            let left = black_box(now.0.wrapping_sub(through.0));
            waiting += step * (left >> 63) as u32;
            step /= 2;
        }
        waiting
    }

    /// Takes a packet.
    #[inline(always)]
    pub fn take(&mut self, through: Nanos) {
        if let Some(place) = self.through.get_mut(black_box(self.taken as usize & (BACKLOG - 1))) {
            *place = through;
        }
        self.taken = self.taken.wrapping_add(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn waiting_packets_are_those_not_yet_through(
            services in prop::collection::vec((0..40u64, 0..60u64), 1..9_000),
        ) {
            let mut backlog = std::boxed::Box::new(Backlog::EMPTY);
            let mut queue = std::collections::VecDeque::new();
            let (mut now, mut free) = (1, 0);
            for (gap, service) in services {
                now += gap;
                while queue.front().is_some_and(|through| *through <= now) {
                    queue.pop_front();
                }
                prop_assert_eq!(backlog.waiting(Nanos(now)) as usize, queue.len());
                if queue.len() < MOST_PACKETS as usize {
                    free = now.max(free) + service;
                    backlog.take(Nanos(free));
                    if free > now {
                        queue.push_back(free);
                    }
                }
            }
        }
    }
}
