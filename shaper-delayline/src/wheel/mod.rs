//! A hierarchical timing wheel: holds frames by number until their release time.
//!
//! Time is cut into ticks of 1024 ns. Level 0 has a slot a tick, level 1 a slot for 4096 ticks (4.2 ms), level 2 a
//! slot for 4096 of those (17 s); what lies more than 73 minutes ahead waits in a list of its own. A slot is a
//! singly linked list through one array of nodes indexed by frame number, so nothing is allocated while running.
//! When a level-0 slot becomes current it is drained into a queue sorted by exact release time.
//!
//! After Varghese and Lauck, "Hashed and hierarchical timing wheels" (1987), with one change: levels 0 and 1 span
//! two windows of the level above, the current one and the next. The next one is moved down bit by bit
//! ([`Wheel::work_ahead`]) while the current one runs, so no moment comes at which thousands of frames must move.

mod bitmap;
mod due;

use shaper_common::units::Nanos;

use crate::sys::prefetch;
use bitmap::Bitmap;
use due::{DueQueue, Entry};

/// log2 of the nanoseconds in a tick.
const TICK_BITS: u32 = 10;
/// log2 of the ticks in a window, and of the windows in a span.
const WINDOW_BITS: u32 = 12;
/// Slots of levels 0 and 1: two windows.
const SLOTS: usize = 2 << WINDOW_BITS;
/// Slots of level 2, a span each.
const SPANS: usize = 256;
/// No frame: ends a list.
const NONE: u32 = u32::MAX;

/// A frame whose release time has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Due {
    /// The frame's number.
    pub frame: u32,
    /// When it was to be released, CLOCK_MONOTONIC.
    pub release: Nanos,
}

#[derive(Debug, Clone, Copy)]
struct Node {
    release: u64,
    next: u32,
    sequence: u32,
}

/// Lists of frames, and which of them hold any.
#[derive(Debug)]
struct Level {
    heads: Box<[u32]>,
    occupied: Bitmap,
    held: u32,
}

impl Level {
    fn new(slots: usize) -> Level {
        Level { heads: vec![NONE; slots].into(), occupied: Bitmap::new(slots), held: 0 }
    }

    /// The slot of an absolute tick, window or span number.
    #[inline]
    fn slot(&self, number: u64) -> usize {
        (number as usize) & (self.heads.len() - 1)
    }

    #[inline]
    fn push(&mut self, nodes: &mut [Node], number: u64, frame: u32) {
        let slot = self.slot(number);
        let head = &mut self.heads[slot];
        nodes[frame as usize].next = *head;
        if *head == NONE {
            self.occupied.insert(slot);
        }
        *head = frame;
        self.held += 1;
    }

    /// Takes the newest frame of a slot.
    #[inline]
    fn pop(&mut self, nodes: &[Node], number: u64) -> Option<u32> {
        let slot = self.slot(number);
        let frame = self.heads[slot];
        if frame == NONE {
            return None;
        }
        let next = nodes[frame as usize].next;
        self.heads[slot] = next;
        if next == NONE {
            self.occupied.remove(slot);
        }
        self.held -= 1;
        Some(frame)
    }

    /// The first number at or after `from` whose slot is occupied; all numbers held lie within one turn of `from`.
    #[inline]
    fn first_from(&self, from: u64) -> Option<u64> {
        if self.held == 0 {
            return None;
        }
        let start = self.slot(from);
        let slot = self.occupied.first_around(start)?;
        Some(from + (slot.wrapping_sub(start) & (self.heads.len() - 1)) as u64)
    }
}

/// The timing wheel. Times are CLOCK_MONOTONIC, or any clock that does not go back.
#[derive(Debug)]
pub struct Wheel {
    nodes: Box<[Node]>,
    due: DueQueue,
    /// A slot a tick, for the ticks of this window and the next.
    ticks: Level,
    /// A slot a window, for the windows of this span and the next.
    windows: Level,
    /// A slot a span.
    spans: Level,
    /// First frame of the list of those that lie beyond all spans, and how many.
    beyond: u32,
    beyond_held: u32,
    /// The first tick whose slot is not drained.
    next_tick: u64,
    /// Sequence number of the next insertion, wrapping.
    sequence: u32,
    held: u32,
}

impl Wheel {
    /// An empty wheel for the frames `0..frames`, which starts at `now`.
    pub fn new(frames: u32, now: Nanos) -> Wheel {
        Wheel {
            nodes: vec![Node { release: 0, next: NONE, sequence: 0 }; frames as usize].into(),
            due: DueQueue::with_capacity(frames as usize),
            ticks: Level::new(SLOTS),
            windows: Level::new(SLOTS),
            spans: Level::new(SPANS),
            beyond: NONE,
            beyond_held: 0,
            next_tick: now.0 >> TICK_BITS,
            sequence: 0,
            held: 0,
        }
    }

    /// Frames held.
    pub fn held(&self) -> u32 {
        self.held
    }

    /// Holds a frame until its release time; one that has passed is due at once.
    ///
    /// # Panics
    /// If the frame's number is not below the number of frames given to [`Wheel::new`]. A frame that is held
    /// already must not be inserted again: the lists would break.
    #[inline]
    pub fn insert(&mut self, frame: u32, release: Nanos) {
        let node = &mut self.nodes[frame as usize];
        node.release = release.0;
        node.sequence = self.sequence;
        self.sequence = self.sequence.wrapping_add(1);
        self.held += 1;
        self.place(frame, release.0);
    }

    /// Puts a frame where its release time belongs, seen from the current tick.
    #[inline]
    fn place(&mut self, frame: u32, release: u64) {
        let tick = release >> TICK_BITS;
        if tick < self.next_tick {
            let sequence = self.nodes[frame as usize].sequence;
            self.due.insert(Entry { release, sequence, frame });
            return;
        }
        let (window, this_window) = (tick >> WINDOW_BITS, self.next_tick >> WINDOW_BITS);
        if window - this_window < 2 {
            return self.ticks.push(&mut self.nodes, tick, frame);
        }
        let (span, this_span) = (window >> WINDOW_BITS, this_window >> WINDOW_BITS);
        if span - this_span < 2 {
            return self.windows.push(&mut self.nodes, window, frame);
        }
        if span - this_span < SPANS as u64 {
            return self.spans.push(&mut self.nodes, span, frame);
        }
        self.nodes[frame as usize].next = self.beyond;
        self.beyond = frame;
        self.beyond_held += 1;
    }

    /// Takes the frame with the earliest release time, if that is not after `now`. Equal times leave in order of
    /// insertion.
    #[inline]
    pub fn pop_due(&mut self, now: Nanos) -> Option<Due> {
        if self.due.first().is_none() && !self.advance(now.0 >> TICK_BITS) {
            return None;
        }
        let &Entry { release, frame, .. } = self.due.first()?;
        if release > now.0 {
            return None;
        }
        self.due.remove_first();
        self.held -= 1;
        Some(Due { frame, release: Nanos(release) })
    }

    /// A time before which nothing is due: exact to one tick for what lies less than about 4 ms ahead, and for the
    /// rest early enough to ask again.
    #[inline]
    pub fn next_deadline(&self) -> Option<Nanos> {
        if let Some(first) = self.due.first() {
            return Some(Nanos(first.release));
        }
        if self.held == 0 {
            return None;
        }
        let this_window = self.next_tick >> WINDOW_BITS;
        let this_span = this_window >> WINDOW_BITS;
        let tick = self.ticks.first_from(self.next_tick);
        let window = self.windows.first_from(this_window).map(|window| window << WINDOW_BITS);
        let span = self.spans.first_from(this_span).map(|span| span << (2 * WINDOW_BITS));
        let beyond = (self.beyond_held > 0).then(|| (this_span + SPANS as u64) << (2 * WINDOW_BITS));
        let first = [tick, window, span, beyond].into_iter().flatten().min()?;
        Some(Nanos(first << TICK_BITS))
    }

    /// Moves up to `frames` from coarser levels to where they will be needed. Call it whenever there is time: what
    /// is not done by then is done at once when the window begins.
    #[inline]
    pub fn work_ahead(&mut self, frames: u32) {
        let next_window = (self.next_tick >> WINDOW_BITS) + 1;
        let next_span = (self.next_tick >> (2 * WINDOW_BITS)) + 1;
        for _ in 0..frames {
            let next = self.windows.pop(&self.nodes, next_window).or_else(|| self.spans.pop(&self.nodes, next_span));
            let Some(frame) = next else { return };
            self.place(frame, self.nodes[frame as usize].release);
        }
    }

    /// Makes the earliest occupied slot up to `now_tick` current. False if there is none.
    fn advance(&mut self, now_tick: u64) -> bool {
        if self.held == 0 {
            self.next_tick = self.next_tick.max(now_tick + 1);
            return false;
        }
        while self.next_tick <= now_tick {
            let window = self.next_tick >> WINDOW_BITS;
            let window_end = (window + 1) << WINDOW_BITS;
            let limit = window_end.min(now_tick + 1);
            match self.ticks.first_from(self.next_tick) {
                Some(tick) if tick < limit => {
                    self.drain(tick);
                    self.enter(tick + 1);
                    return true;
                }
                // Both windows empty: go straight to where the next frame may be.
                None => {
                    let span_end = ((window >> WINDOW_BITS) + 1) << WINDOW_BITS;
                    let next = self.windows.first_from(window + 1).unwrap_or(span_end).min(span_end);
                    self.enter((next << WINDOW_BITS).min(now_tick + 1));
                }
                Some(_) => self.enter(limit),
            }
        }
        false
    }

    /// Sets the first tick not drained. Where that begins a window or span, whatever was not moved down ahead is.
    fn enter(&mut self, tick: u64) {
        let before = self.next_tick;
        self.next_tick = tick;
        let window = tick >> WINDOW_BITS;
        if window == before >> WINDOW_BITS {
            return;
        }
        let span = window >> WINDOW_BITS;
        if span != before >> (2 * WINDOW_BITS) {
            while let Some(frame) = self.spans.pop(&self.nodes, span) {
                self.place(frame, self.nodes[frame as usize].release);
            }
            let mut frame = std::mem::replace(&mut self.beyond, NONE);
            self.beyond_held = 0;
            while frame != NONE {
                let Node { release, next, .. } = self.nodes[frame as usize];
                self.place(frame, release);
                frame = next;
            }
        }
        while let Some(frame) = self.windows.pop(&self.nodes, window) {
            self.place(frame, self.nodes[frame as usize].release);
        }
    }

    /// Empties a level-0 slot into the due queue.
    fn drain(&mut self, tick: u64) {
        let slot = self.ticks.slot(tick);
        let nodes = &self.nodes;
        let mut frame = std::mem::replace(&mut self.ticks.heads[slot], NONE);
        self.ticks.occupied.remove(slot);
        let held = &mut self.ticks.held;
        let list = std::iter::from_fn(|| {
            if frame == NONE {
                return None;
            }
            let node = &nodes[frame as usize];
            let entry = Entry { release: node.release, sequence: node.sequence, frame };
            frame = node.next;
            *held -= 1;
            Some(entry)
        });
        self.due.fill(list, self.sequence);
        // The next slot's first node is not in any cache when much is held: fetch it while this slot is dealt with.
        if let Some(next) = self.ticks.first_from(tick + 1)
            && let Some(node) = self.nodes.get(self.ticks.heads[self.ticks.slot(next)] as usize)
        {
            prefetch(node);
        }
    }
}

#[cfg(test)]
mod tests;
