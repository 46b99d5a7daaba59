//! A hierarchical timing wheel: holds frames by number until their release time.
//!
//! Time is cut into ticks of 1024 ns. Level 0 has a slot a tick, level 1 a slot for a window of 32768 ticks (34 ms),
//! level 2 a slot for a span of 512 windows (17 s); what lies more than 73 minutes ahead waits in a list of its own.
//! All memory is taken when the wheel is made. When a level-0 slot becomes current it is drained into a queue sorted
//! by exact release time.
//!
//! After Varghese and Lauck, "Hashed and hierarchical timing wheels" (1987), with one change: levels 0 and 1 span
//! two windows of the level above, the current one and the next. The next one is moved down bit by bit
//! ([`Wheel::work_ahead`]) while the current one runs, so no moment comes at which thousands of frames must move.

mod bitmap;
mod due;
mod level;

use shaper_common::units::Nanos;

use due::{DueQueue, Entry};
use level::Level;

/// log2 of the nanoseconds in a tick.
const TICK_BITS: u32 = 10;
/// log2 of the ticks in a window. Long windows let usual delays go to level 0 directly, which halves the work.
const WINDOW_BITS: u32 = 15;
/// log2 of the windows in a span.
const SPAN_BITS: u32 = 9;
/// Slots of level 0: two windows.
const TICKS: usize = 2 << WINDOW_BITS;
/// Slots of level 1: two spans.
const WINDOWS: usize = 2 << SPAN_BITS;
/// Slots of level 2, a span each.
const SPANS: usize = 256;

/// A frame whose release time has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Due {
    /// The frame's number.
    pub frame: u32,
    /// When it was to be released, CLOCK_MONOTONIC.
    pub release: Nanos,
}

/// The timing wheel. Times are CLOCK_MONOTONIC, or any clock that does not go back.
#[derive(Debug)]
pub struct Wheel {
    due: DueQueue,
    /// A slot a tick, for the ticks of this window and the next.
    ticks: Level<3>,
    /// A slot a window, for the windows of this span and the next.
    windows: Level<15>,
    /// A slot a span.
    spans: Level<15>,
    /// What lies beyond all spans, in no order.
    beyond: Vec<Entry>,
    /// The first tick whose slot is not drained.
    next_tick: u64,
    /// No slot of any level holds anything of an earlier tick; never before `next_tick`.
    soonest: u64,
    /// Sequence number of the next insertion, wrapping.
    sequence: u32,
    held: u32,
    frames: u32,
}

impl Wheel {
    /// An empty wheel for up to `frames` frames, which starts at `now`. Takes about 90 bytes a frame and 6 MB.
    pub fn new(frames: u32, now: Nanos) -> Wheel {
        Wheel {
            due: DueQueue::with_capacity(frames as usize),
            ticks: Level::new(TICKS, frames),
            windows: Level::new(WINDOWS, frames),
            spans: Level::new(SPANS, frames),
            beyond: Vec::with_capacity(frames as usize),
            next_tick: now.0 >> TICK_BITS,
            soonest: u64::MAX,
            sequence: 0,
            held: 0,
            frames,
        }
    }

    /// Frames held.
    pub fn held(&self) -> u32 {
        self.held
    }

    /// Holds a frame until its release time; one that has passed is due at once. False, and nothing done, if the
    /// wheel is full.
    #[inline]
    pub fn insert(&mut self, frame: u32, release: Nanos) -> bool {
        if self.held >= self.frames {
            return false;
        }
        let entry = Entry { release: release.0, sequence: self.sequence, frame };
        self.sequence = self.sequence.wrapping_add(1);
        self.held += 1;
        let tick = release.0 >> TICK_BITS;
        if tick >= self.next_tick {
            self.soonest = self.soonest.min(tick);
        }
        self.place(entry);
        true
    }

    /// Puts a frame where its release time belongs, seen from the current tick.
    #[inline]
    fn place(&mut self, entry: Entry) {
        let tick = entry.release >> TICK_BITS;
        if tick < self.next_tick {
            return self.due.insert(entry);
        }
        let (window, this_window) = (tick >> WINDOW_BITS, self.next_tick >> WINDOW_BITS);
        if window - this_window < 2 {
            return self.ticks.push(tick, entry);
        }
        let (span, this_span) = (window >> SPAN_BITS, this_window >> SPAN_BITS);
        if span - this_span < 2 {
            self.windows.push(window, entry);
        } else if span - this_span < SPANS as u64 {
            self.spans.push(span, entry);
        } else {
            self.beyond.push(entry);
        }
    }

    /// Takes the frame with the earliest release time, if that is not after `now`. Equal times leave in order of
    /// insertion.
    #[inline]
    pub fn pop_due(&mut self, now: Nanos) -> Option<Due> {
        if self.due.first().is_none() {
            let now_tick = now.0 >> TICK_BITS;
            let same_window = now_tick >> WINDOW_BITS <= self.next_tick >> WINDOW_BITS;
            if (now_tick < self.soonest && same_window) || !self.advance(now_tick) {
                return None;
            }
        }
        let &Entry { release, frame, .. } = self.due.first()?;
        if release > now.0 {
            return None;
        }
        self.due.remove_first();
        self.held -= 1;
        Some(Due { frame, release: Nanos(release) })
    }

    /// A time before which nothing is due: exact to one tick for what lies less than 34 ms ahead, and for the rest
    /// early enough to ask again.
    #[inline]
    pub fn next_deadline(&self) -> Option<Nanos> {
        if let Some(first) = self.due.first() {
            return Some(Nanos(first.release));
        }
        (self.held > 0).then_some(Nanos(self.soonest << TICK_BITS))
    }

    /// The first tick that any slot may hold something of.
    #[inline]
    fn find_soonest(&self) -> u64 {
        let this_window = self.next_tick >> WINDOW_BITS;
        let tick = self.ticks.first_from(self.next_tick);
        if let Some(tick) = tick
            && tick >> WINDOW_BITS == this_window
        {
            return tick;
        }
        let this_span = this_window >> SPAN_BITS;
        let window = self.windows.first_from(this_window).map(|window| window << WINDOW_BITS);
        let span = self.spans.first_from(this_span).map(|span| span << (WINDOW_BITS + SPAN_BITS));
        let beyond = (!self.beyond.is_empty()).then(|| (this_span + SPANS as u64) << (WINDOW_BITS + SPAN_BITS));
        [tick, window, span, beyond].into_iter().flatten().min().unwrap_or(u64::MAX)
    }

    /// Moves up to `frames` from coarser levels to where they will be needed. Call it whenever there is time: what
    /// is not done by then is done at once when the window begins.
    #[inline]
    pub fn work_ahead(&mut self, frames: u32) {
        if self.windows.held() + self.spans.held() == 0 {
            return;
        }
        let next_window = (self.next_tick >> WINDOW_BITS) + 1;
        let next_span = (self.next_tick >> (WINDOW_BITS + SPAN_BITS)) + 1;
        for _ in 0..frames {
            let Some(entry) = self.windows.pop(next_window).or_else(|| self.spans.pop(next_span)) else { return };
            self.place(entry);
        }
    }

    /// Makes the earliest occupied slot up to `now_tick` current. False if there is none.
    ///
    /// `soonest` is a lower bound, so nothing lies between the ticks that this jumps over.
    fn advance(&mut self, now_tick: u64) -> bool {
        if self.held == 0 {
            self.next_tick = self.next_tick.max(now_tick + 1);
            self.soonest = u64::MAX;
            return false;
        }
        loop {
            if self.soonest > now_tick {
                self.enter(self.next_tick.max(now_tick + 1));
                return false;
            }
            if self.ticks.holds(self.soonest) {
                let tick = self.soonest;
                self.enter(tick);
                self.drain(tick);
                self.enter(tick + 1);
                self.soonest = self.find_soonest();
                self.ticks.prefetch(self.soonest);
                return true;
            }
            // It lies in a coarser slot, which moves down when its time is entered.
            self.enter(self.soonest);
            self.soonest = self.find_soonest();
        }
    }

    /// Sets the first tick not drained. Where that begins a window or span, whatever was not moved down ahead is.
    fn enter(&mut self, tick: u64) {
        let before = self.next_tick;
        self.next_tick = tick;
        let window = tick >> WINDOW_BITS;
        if window == before >> WINDOW_BITS {
            return;
        }
        let span = window >> SPAN_BITS;
        if span != before >> (WINDOW_BITS + SPAN_BITS) {
            while let Some(entry) = self.spans.pop(span) {
                self.place(entry);
            }
            let mut index = 0;
            while let Some(entry) = self.beyond.get(index).copied() {
                if (entry.release >> (TICK_BITS + WINDOW_BITS + SPAN_BITS)).saturating_sub(span) < SPANS as u64 {
                    self.beyond.swap_remove(index);
                    self.place(entry);
                } else {
                    index += 1;
                }
            }
        }
        while let Some(entry) = self.windows.pop(window) {
            self.place(entry);
        }
    }

    /// Empties a level-0 slot into the due queue.
    fn drain(&mut self, tick: u64) {
        let ticks = &mut self.ticks;
        self.due.fill(|entries| ticks.drain(tick, entries), self.sequence);
    }
}

#[cfg(test)]
mod tests;
