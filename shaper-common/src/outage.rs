//! Outages: windows of time in which the link carries nothing.
//!
//! Userspace makes the schedule from seed and time since start alone; the kernel looks up whether an
//! arrival falls into a window.

use core::hint::black_box;

use crate::units::Nanos;

/// How many windows a direction's schedule holds; a power of two.
pub const WINDOWS: usize = 1024;

/// One outage, in nanoseconds since the link's start: from `start` until just before `end`.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// When nothing passes any more.
    pub start: Nanos,
    /// When the link carries again.
    pub end: Nanos,
}

impl Window {
    /// The value of unused places at the end of a schedule: it never begins. Times are below 2^63, see
    /// [`Schedule::is_down`].
    pub const NEVER: Self = Self { start: Nanos(i64::MAX as u64), end: Nanos(i64::MAX as u64) };
}

/// The schedule of one direction: windows in order of time, apart from each other, padded by [`Window::NEVER`].
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// The windows.
    pub windows: [Window; WINDOWS],
}

impl Schedule {
    /// A link that never goes down.
    pub const EMPTY: Self = Self { windows: [Window::NEVER; WINDOWS] };

    /// Whether the link is down at `since_start`.
    ///
    /// `next` is where the last look-up of the direction ended: the number of windows that were over by then. It
    /// makes look-ups in order of time short and never changes an answer; zero will do.
    #[inline(always)]
    #[must_use]
    pub fn is_down(&self, since_start: Nanos, next: &mut u32) -> bool {
        let fits = |at: usize| {
            let window = self.windows.get(at)?;
            let previous_is_over = match at.checked_sub(1) {
                // The verifier does not know that what is one less is within bounds too.
                Some(previous) => self.windows.get(black_box(previous))?.end.0 <= since_start.0,
                None => true,
            };
            (previous_is_over && since_start.0 < window.end.0).then_some(window.start.0 <= since_start.0)
        };
        match fits(*next as usize) {
            Some(down) => down,
            None => self.search(since_start, next),
        }
    }

    /// Whether the link, which is up at one time, goes down by another; `next` is as the look-up for the first left it.
    #[inline(always)]
    #[must_use]
    pub fn goes_down_by(&self, since_start: Nanos, next: u32) -> bool {
        match self.windows.get(black_box(next as usize)) {
            Some(window) => window.start.0 <= since_start.0,
            None => false,
        }
    }

    #[inline(always)]
    fn search(&self, since_start: Nanos, next: &mut u32) -> bool {
        // The number of windows that have ended, by halving steps: the first one that has not decides. Each step
        // takes the sign of a difference instead of a branch, for the verifier walks through both sides of every
        // branch: 1024 ways instead of one. The compiler must not know that it could branch, nor that the place is
        // always within bounds, which the verifier of 6.1 does not see.
        let mut ended = 0;
        let mut step = WINDOWS / 2;
        while step > 0 {
            let Some(window) = self.windows.get(black_box(ended + step - 1)) else {
                return false;
            };
            let left = black_box(window.end.0.wrapping_sub(since_start.0.wrapping_add(1)));
            ended += step * (left >> 63) as usize;
            step /= 2;
        }
        match self.windows.get(black_box(ended)) {
            Some(window) => {
                // The steps lead to the last window at most, which may be over too.
                *next = ended as u32 + (window.end.0 <= since_start.0) as u32;
                window.start.0 <= since_start.0 && since_start.0 < window.end.0
            }
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn lookup_agrees_with_a_scan_wherever_the_last_one_ended(
            gaps in prop::collection::vec((1u64..1000, 1u64..1000), 0..=WINDOWS),
            at in 0u64..2_000_000,
            next in prop_oneof![0..=WINDOWS as u32, any::<u32>()],
        ) {
            let mut schedule = std::boxed::Box::new(Schedule::EMPTY);
            let mut time = 0;
            for (window, (gap, length)) in schedule.windows.iter_mut().zip(&gaps) {
                *window = Window { start: Nanos(time + gap), end: Nanos(time + gap + length) };
                time += gap + length;
            }
            let scanned = schedule.windows.iter().any(|window| window.start.0 <= at && at < window.end.0);
            let mut next = next;
            prop_assert_eq!(schedule.is_down(Nanos(at), &mut next), scanned);
            // And again from where that look-up ended.
            prop_assert_eq!(schedule.is_down(Nanos(at), &mut next), scanned);
        }
    }
}
