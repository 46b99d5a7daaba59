//! When something is to be done: str0m's timers of legs, and frames of tracks.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::{Duration, Instant};

use super::LegNumber;

/// No timer is set for longer than this; one for later is set again.
const LONGEST: Duration = Duration::from_secs(1);

/// When a leg is to be driven next.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct LegTimer {
    due: Option<Instant>,
    /// The entry in the queue that stands for it.
    queued: Option<Instant>,
}

/// The queues.
#[derive(Default)]
pub(crate) struct Timers {
    legs: BinaryHeap<Reverse<(Instant, LegNumber)>>,
    frames: BinaryHeap<Reverse<(Instant, LegNumber, usize)>>,
}

impl Timers {
    pub(crate) fn set(&mut self, leg: LegNumber, timer: &mut LegTimer, due: Instant, now: Instant) {
        timer.due = Some(due);
        let at = due.min(now + LONGEST);
        // An entry that an earlier one replaces stays until its time.
        if timer.queued.is_none_or(|queued| at < queued) {
            timer.queued = Some(at);
            self.legs.push(Reverse((at, leg)));
        }
    }

    /// The next entry of a leg whose time has come.
    pub(crate) fn next_leg(&mut self, now: Instant) -> Option<(Instant, LegNumber)> {
        let &Reverse(first) = self.legs.peek()?;
        (first.0 <= now).then(|| {
            self.legs.pop();
            first
        })
    }

    /// Whether the leg is to be driven now that an entry has come up; sets it again if it is early.
    pub(crate) fn is_due(&mut self, leg: LegNumber, timer: &mut LegTimer, entry: Instant, now: Instant) -> bool {
        // Entries that an earlier one has replaced stand for nothing.
        if timer.queued != Some(entry) {
            return false;
        }
        timer.queued = None;
        match timer.due {
            Some(due) if due > now => {
                self.set(leg, timer, due, now);
                false
            }
            due => due.is_some(),
        }
    }

    pub(crate) fn set_frame(&mut self, due: Instant, leg: LegNumber, track: usize) {
        self.frames.push(Reverse((due, leg, track)));
    }

    /// The next frame whose time has come.
    pub(crate) fn next_frame(&mut self, now: Instant) -> Option<(Instant, LegNumber, usize)> {
        let &Reverse(first) = self.frames.peek()?;
        (first.0 <= now).then(|| {
            self.frames.pop();
            first
        })
    }

    /// When the next of all comes up.
    pub(crate) fn next(&self) -> Option<Instant> {
        let leg = self.legs.peek().map(|Reverse((at, _))| *at);
        let frame = self.frames.peek().map(|Reverse((at, ..))| *at);
        leg.into_iter().chain(frame).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leg_comes_up_at_its_latest_time_once_and_frames_in_order() {
        let now = Instant::now();
        let millis = |millis| now + Duration::from_millis(millis);
        let mut timers = Timers::default();
        let mut timer = LegTimer::default();
        timers.set(1, &mut timer, millis(50), now);
        timers.set(1, &mut timer, millis(10), now);
        timers.set(1, &mut timer, millis(30), now);
        let mut driven = Vec::new();
        for at in 0..100 {
            while let Some((entry, leg)) = timers.next_leg(millis(at)) {
                if timers.is_due(leg, &mut timer, entry, millis(at)) {
                    driven.push(at);
                }
            }
        }
        assert_eq!(driven, [30]);
        timers.set_frame(millis(20), 1, 0);
        timers.set_frame(millis(10), 2, 0);
        assert_eq!(timers.next(), Some(millis(10)));
        assert_eq!(timers.next_frame(millis(15)), Some((millis(10), 2, 0)));
        assert_eq!(timers.next_frame(millis(15)), None);
    }
}
