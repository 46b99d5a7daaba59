//! Bytes that have not passed although later ones have.

use super::{
    Segment,
    sequence::{before, earlier, later},
};

/// Holes remembered in one direction.
const HOLES: usize = 32;

/// Holes so many bytes behind are given up.
const FAR: u32 = 1 << 30;

/// A range that is missing, and the segment that left it out.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hole {
    start: u32,
    end: u32,
    pub(super) ts: Option<i64>,
    pub(super) value: Option<u32>,
    pub(super) identification: Option<u16>,
}

/// The holes of one direction, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Holes(Vec<Hole>);

impl Holes {
    /// Bytes from `start` on are missing in front of a segment; `false` if a hole was given up for it.
    pub(super) fn open(&mut self, start: u32, segment: &Segment) -> bool {
        // Far behind, the order of sequence numbers turns round.
        self.0.retain(|hole| segment.sequence.wrapping_sub(hole.start) < FAR);
        let full = self.0.len() >= HOLES;
        if full {
            self.0.remove(0);
        }
        self.0.push(Hole {
            start,
            end: segment.sequence,
            ts: segment.ts_ns,
            value: segment.timestamps.map(|(value, _)| value),
            identification: segment.identification,
        });
        !full
    }

    /// Takes bytes out of the holes: how many there were, and the hole that most recently opened.
    pub(super) fn fill(&mut self, start: u32, end: u32) -> (u32, Option<Hole>) {
        let (mut filled, mut latest) = (0_u32, None);
        let mut at = 0;
        while let Some(hole) = self.0.get(at).copied() {
            let (from, to) = (later(hole.start, start), earlier(hole.end, end));
            if !before(from, to) {
                at += 1;
                continue;
            }
            filled = filled.saturating_add(to.wrapping_sub(from));
            latest = Some(hole);
            let left = Hole { end: from, ..hole };
            let right = Hole { start: to, ..hole };
            self.0.remove(at);
            let mut parts = 0;
            for part in [right, left] {
                if before(part.start, part.end) && self.0.len() < HOLES {
                    self.0.insert(at, part);
                    parts += 1;
                }
            }
            at += parts;
        }
        (filled, latest)
    }

    /// Whether nothing is missing.
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Takes out what lies before an acknowledgement: the receiver has it, and it has not passed here.
    pub(super) fn acknowledged(&mut self, acknowledgement: u32) -> u64 {
        let mut unseen = 0;
        for hole in &mut self.0 {
            let to = earlier(hole.end, acknowledgement);
            if before(hole.start, to) {
                unseen += u64::from(to.wrapping_sub(hole.start));
                hole.start = to;
            }
        }
        self.0.retain(|hole| before(hole.start, hole.end));
        unseen
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}
