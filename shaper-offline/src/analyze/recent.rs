//! Packets that found their match, remembered for a while so that further copies are recognised.
//!
//! A table of bounded size: beyond about a million packets within a waiting time the older ones
//! are forgotten first, and their late copies count as arrivals without an origin.

/// Slots looked at for one key.
const WAYS: usize = 4;
const SMALLEST: usize = 1 << 12;
const LARGEST: usize = 1 << 20;

/// A packet that was matched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Matched {
    key: u64,
    ts: i64,
    pub(super) flow: u32,
}

const EMPTY: Matched = Matched { key: 0, ts: i64::MIN, flow: 0 };

#[derive(Debug)]
pub(super) struct Recent {
    slots: Vec<Matched>,
    /// Fresh packets that had to make room for others since the last growth.
    pushed_out: usize,
    memory: i64,
}

impl Recent {
    /// Remembers packets for `memory` nanoseconds.
    pub(super) fn new(memory: i64) -> Self {
        Self { slots: vec![EMPTY; SMALLEST], pushed_out: 0, memory }
    }

    #[inline]
    fn set(&self, key: u64) -> usize {
        (key >> 24) as usize & (self.slots.len() - WAYS) & !(WAYS - 1)
    }

    #[inline]
    pub(super) fn insert(&mut self, key: u64, ts: i64, flow: u32) {
        let set = self.set(key);
        let Some(ways) = self.slots.get_mut(set..set + WAYS) else { return };
        let Some(oldest) = ways.iter_mut().min_by_key(|slot| slot.ts) else { return };
        let fresh = oldest.ts >= ts.saturating_sub(self.memory);
        *oldest = Matched { key, ts, flow };
        self.pushed_out += usize::from(fresh);
        if self.pushed_out > self.slots.len() / 64 && self.slots.len() < LARGEST {
            self.grow();
        }
    }

    #[cold]
    fn grow(&mut self) {
        let length = self.slots.len() * 4;
        let old = std::mem::replace(&mut self.slots, vec![EMPTY; length]);
        for slot in old.into_iter().filter(|slot| slot.ts > i64::MIN) {
            self.insert(slot.key, slot.ts, slot.flow);
        }
        self.pushed_out = 0;
    }

    /// The packet of this key that was matched, sent not longer ago than is remembered.
    #[inline]
    pub(super) fn find(&self, key: u64, now: i64) -> Option<Matched> {
        let set = self.set(key);
        let ways = self.slots.get(set..set + WAYS)?;
        let since = now.saturating_sub(self.memory);
        ways.iter().copied().find(|slot| slot.key == key && slot.ts >= since && slot.ts > i64::MIN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spread(n: u64) -> u64 {
        n.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }

    #[test]
    fn what_was_matched_is_remembered_for_its_time() {
        let mut recent = Recent::new(1_000);
        recent.insert(spread(1), 500, 7);
        assert_eq!(recent.find(spread(1), 1_500).map(|matched| matched.flow), Some(7));
        assert_eq!(recent.find(spread(1), 1_501), None);
        assert_eq!(recent.find(spread(2), 600), None);
    }

    #[test]
    fn the_table_grows_with_what_must_be_remembered() {
        let mut recent = Recent::new(i64::MAX);
        let count = 100_000;
        (0..count).for_each(|n| recent.insert(spread(n), n as i64, 1));
        let known = (0..count).filter(|&n| recent.find(spread(n), count as i64).is_some()).count();
        assert!(known > 97_000, "{known}");
        assert!(recent.slots.len() <= LARGEST);
    }

    #[test]
    fn it_stays_small_when_little_is_in_its_time() {
        let mut recent = Recent::new(100);
        (0..1_000_000).for_each(|n| recent.insert(spread(n), n as i64, 1));
        assert_eq!(recent.slots.len(), SMALLEST);
    }
}
