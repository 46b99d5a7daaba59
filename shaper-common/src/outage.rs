//! Outages: windows of time in which the link carries nothing.
//!
//! Userspace makes the schedule from seed and time since start alone; the kernel looks up whether an
//! arrival falls into a window.

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
    /// The value of unused places at the end of a schedule: it never begins.
    pub const NEVER: Self = Self { start: Nanos::MAX, end: Nanos::MAX };
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
    #[inline(always)]
    #[must_use]
    pub fn is_down(&self, since_start: Nanos) -> bool {
        // The number of windows that have ended, by halving steps: the first one that has not decides.
        let mut ended = 0;
        let mut step = WINDOWS / 2;
        while step > 0 {
            if let Some(window) = self.windows.get(ended + step - 1)
                && window.end.0 <= since_start.0
            {
                ended += step;
            }
            step /= 2;
        }
        match self.windows.get(ended) {
            Some(window) => window.start.0 <= since_start.0 && since_start.0 < window.end.0,
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
        fn lookup_agrees_with_a_scan(gaps in prop::collection::vec((1u64..1000, 1u64..1000), 0..WINDOWS), at in 0u64..2_000_000) {
            let mut schedule = std::boxed::Box::new(Schedule::EMPTY);
            let mut time = 0;
            for (window, (gap, length)) in schedule.windows.iter_mut().zip(&gaps) {
                *window = Window { start: Nanos(time + gap), end: Nanos(time + gap + length) };
                time += gap + length;
            }
            let scanned = schedule.windows.iter().any(|window| window.start.0 <= at && at < window.end.0);
            prop_assert_eq!(schedule.is_down(Nanos(at)), scanned);
        }
    }
}
