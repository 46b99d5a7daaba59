//! What the slots that became current hold, in exact order of release.

/// One frame on its way out of the wheel.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) release: u64,
    /// Order of insertion, wrapping; decides between equal release times.
    pub(super) sequence: u32,
    pub(super) frame: u32,
}

/// A queue sorted by release time, then by insertion. Keeps its memory.
#[derive(Debug)]
pub(super) struct DueQueue {
    entries: Vec<Entry>,
    head: usize,
}

impl DueQueue {
    /// Room for `frames`, so that it never grows.
    pub(super) fn with_capacity(frames: usize) -> DueQueue {
        DueQueue { entries: Vec::with_capacity(frames), head: 0 }
    }

    #[inline]
    pub(super) fn first(&self) -> Option<&Entry> {
        self.entries.get(self.head)
    }

    #[inline]
    pub(super) fn remove_first(&mut self) {
        self.head += 1;
        if self.head >= self.entries.len() {
            self.entries.clear();
            self.head = 0;
        }
    }

    /// Inserts the newest entry behind all that are not later.
    pub(super) fn insert(&mut self, entry: Entry) {
        if self.head > 0 && self.entries.len() == self.entries.capacity() {
            self.entries.drain(..self.head);
            self.head = 0;
        }
        let place = self.head + self.entries[self.head..].partition_point(|other| other.release <= entry.release);
        self.entries.insert(place, entry);
    }

    /// Fills the empty queue from a slot.
    #[inline]
    pub(super) fn fill(&mut self, slot: impl FnOnce(&mut Vec<Entry>), next_sequence: u32) {
        debug_assert!(self.entries.is_empty());
        slot(&mut self.entries);
        if self.entries.len() < 2 {
            return;
        }
        // Sequence numbers wrap; their distance from the next one to be given does not, until 2^32 later.
        let key = |entry: &Entry| (entry.release, entry.sequence.wrapping_sub(next_sequence));
        // A slot comes with what was pushed last first. Pushed in order of release, as with a constant delay, is
        // then the reverse; moved down from a coarser level, it is reversed once more.
        if self.entries.is_sorted_by(|left, right| key(left) > key(right)) {
            self.entries.reverse();
        } else if !self.entries.is_sorted_by_key(key) {
            self.entries.sort_unstable_by_key(key);
        }
    }
}
