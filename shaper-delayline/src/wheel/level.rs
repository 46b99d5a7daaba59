//! One level of the wheel: a list of entries a slot, in chunks of whole cache lines.
//!
//! A node a frame, linked by frame number, would be the smaller structure. But with a million frames held their
//! numbers are in disorder, each step along a list is a cache miss that the next one waits for, and that was
//! measured to cost 300 ns a frame. Chunks are filled and emptied in sequence, and the ones in use are few.

use super::bitmap::Bitmap;
use super::due::Entry;
use crate::sys;

/// No chunk: ends a list.
const NONE: u32 = u32::MAX;

/// `N` is such that a chunk fills its cache lines: 3 for one, 15 for four.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(64))]
struct Chunk<const N: usize> {
    next: u32,
    len: u32,
    entries: [Entry; N],
}

/// Slots, numbered by absolute ticks, windows or spans modulo their count, a power of two.
#[derive(Debug)]
pub(super) struct Level<const N: usize> {
    heads: Box<[u32]>,
    occupied: Bitmap,
    chunks: Box<[Chunk<N>]>,
    /// Unused chunks: the one used last is used next.
    free: u32,
    held: u32,
}

impl<const N: usize> Level<N> {
    /// Room for `frames` entries however they are spread: only the first chunk of a slot may be partly filled.
    pub(super) fn new(slots: usize, frames: u32) -> Level<N> {
        let frames = frames as usize;
        let count = frames.min(frames / N + slots);
        let mut chunks = sys::large_slice(count, Chunk { next: NONE, len: 0, entries: [Entry::default(); N] });
        for (index, chunk) in chunks.iter_mut().enumerate() {
            chunk.next = if index + 1 < count { index as u32 + 1 } else { NONE };
        }
        Level {
            heads: vec![NONE; slots].into(),
            occupied: Bitmap::new(slots),
            chunks,
            free: if count > 0 { 0 } else { NONE },
            held: 0,
        }
    }

    /// Entries in all slots.
    #[inline]
    pub(super) fn held(&self) -> u32 {
        self.held
    }

    #[inline]
    fn slot(&self, number: u64) -> usize {
        (number as usize) & (self.heads.len() - 1)
    }

    #[inline]
    pub(super) fn push(&mut self, number: u64, entry: Entry) {
        let slot = self.slot(number);
        let head = self.heads[slot];
        self.held += 1;
        if head != NONE {
            let chunk = &mut self.chunks[head as usize];
            if let Some(place) = chunk.entries.get_mut(chunk.len as usize) {
                *place = entry;
                chunk.len += 1;
                return;
            }
        } else {
            self.occupied.insert(slot);
        }
        let fresh = self.free;
        let chunk = &mut self.chunks[fresh as usize];
        self.free = chunk.next;
        chunk.next = head;
        chunk.len = 1;
        chunk.entries[0] = entry;
        self.heads[slot] = fresh;
    }

    /// Takes the entry pushed last into a slot.
    #[inline]
    pub(super) fn pop(&mut self, number: u64) -> Option<Entry> {
        let slot = self.slot(number);
        let head = self.heads[slot];
        let chunk = self.chunks.get_mut(head as usize)?;
        let entry = *chunk.entries.get((chunk.len as usize).checked_sub(1)?)?;
        chunk.len -= 1;
        self.held -= 1;
        if chunk.len == 0 {
            let next = std::mem::replace(&mut chunk.next, self.free);
            self.free = head;
            self.heads[slot] = next;
            if next == NONE {
                self.occupied.remove(slot);
            } else {
                sys::prefetch(&self.chunks[next as usize]);
            }
        }
        Some(entry)
    }

    /// Moves all entries of a slot to the end of `to`, the one pushed last first.
    #[inline]
    pub(super) fn drain(&mut self, number: u64, to: &mut Vec<Entry>) {
        let slot = self.slot(number);
        let mut head = std::mem::replace(&mut self.heads[slot], NONE);
        self.occupied.remove(slot);
        while let Some(chunk) = self.chunks.get_mut(head as usize) {
            let entries = chunk.entries.get(..chunk.len as usize).unwrap_or(&[]);
            to.extend(entries.iter().rev());
            self.held -= chunk.len;
            let next = std::mem::replace(&mut chunk.next, self.free);
            self.free = head;
            head = next;
        }
    }

    /// The first number at or after `from` whose slot is occupied; all numbers held lie within one turn of `from`.
    #[inline]
    pub(super) fn first_from(&self, from: u64) -> Option<u64> {
        if self.held == 0 {
            return None;
        }
        let start = self.slot(from);
        let slot = self.occupied.first_around(start)?;
        Some(from + (slot.wrapping_sub(start) & (self.heads.len() - 1)) as u64)
    }

    /// Whether the slot of a number holds anything.
    #[inline]
    pub(super) fn holds(&self, number: u64) -> bool {
        self.heads[self.slot(number)] != NONE
    }

    /// Starts fetching what a slot holds.
    #[inline]
    pub(super) fn prefetch(&self, number: u64) {
        if let Some(chunk) = self.chunks.get(self.heads[self.slot(number)] as usize) {
            sys::prefetch(chunk);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use proptest::test_runner::RngSeed;

    fn entry(frame: u32) -> Entry {
        Entry { release: u64::from(frame), sequence: frame, frame }
    }

    proptest! {
        #![proptest_config(ProptestConfig { rng_seed: RngSeed::Fixed(7), ..ProptestConfig::default() })]
        #[test]
        fn slots_are_stacks_and_never_run_out_of_chunks(
            frames in 1u32..80, steps in prop::collection::vec((0u64..16, 0u8..4), 0..400),
        ) {
            let mut level = Level::<3>::new(8, frames);
            let mut oracle: Vec<Vec<Entry>> = vec![Vec::new(); 8];
            let mut next = 0;
            for (number, step) in steps {
                let slot = (number % 8) as usize;
                let held: usize = oracle.iter().map(Vec::len).sum();
                match step {
                    0 | 1 if held < frames as usize => {
                        level.push(number, entry(next));
                        oracle[slot].push(entry(next));
                        next += 1;
                    }
                    2 => prop_assert_eq!(level.pop(number), oracle[slot].pop()),
                    3 => {
                        let mut drained = Vec::new();
                        level.drain(number, &mut drained);
                        drained.reverse();
                        prop_assert_eq!(drained, std::mem::take(&mut oracle[slot]));
                    }
                    _ => {}
                }
                let held: usize = oracle.iter().map(Vec::len).sum();
                prop_assert_eq!(level.held() as usize, held);
                let first = (number..number + 8).find(|number| !oracle[(number % 8) as usize].is_empty());
                prop_assert_eq!(level.first_from(number), first);
            }
        }
    }
}
