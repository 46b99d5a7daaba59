//! Which slots have a key: a table of groups, each a cache line, so that what is not there is nearly always found
//! missing with one look, and no slot is touched for it.

use super::NONE;

/// Places of a group.
const PLACES: usize = 8;
/// Groups to begin with.
const GROUPS: usize = 64;
/// Places taken of a group, on average, before there are twice as many groups.
const FILLED: usize = 5;
const ONES: u64 = u64::from_ne_bytes([1; 8]);

/// A cache line of them.
#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
struct Group {
    /// A byte of the key for each place, 0 where it is free.
    tags: u64,
    slots: [u32; PLACES],
    /// Slots that found no place here, or had none when they came, and lie in groups behind.
    beyond: u32,
}

impl Group {
    const EMPTY: Self = Self { tags: 0, slots: [NONE; PLACES], beyond: 0 };

    /// The slots with that tag, and their places. A tag next to one that is equal may be among them.
    #[inline(always)]
    fn tagged(&self, tag: u64) -> impl Iterator<Item = (usize, u32)> {
        let unequal = self.tags ^ (tag * ONES);
        let mut equal = unequal.wrapping_sub(ONES) & !unequal & (ONES << 7);
        std::iter::from_fn(move || {
            let place = (equal != 0).then(|| equal.trailing_zeros() as usize / 8)?;
            equal &= equal - 1;
            Some((place, *self.slots.get(place)?))
        })
    }

    #[inline(always)]
    fn tag(&mut self, place: usize, tag: u64) {
        self.tags = self.tags & !(0xff << (place * 8)) | tag << (place * 8);
    }
}

#[derive(Debug)]
pub(super) struct Index {
    groups: Vec<Group>,
    held: usize,
}

impl Index {
    pub(super) fn new() -> Self {
        Self { groups: vec![Group::EMPTY; GROUPS], held: 0 }
    }

    #[inline(always)]
    fn home(&self, key: u64) -> usize {
        (key >> 32) as usize & (self.groups.len() - 1)
    }

    #[inline(always)]
    fn behind(&self, group: usize) -> usize {
        (group + 1) & (self.groups.len() - 1)
    }

    #[inline(always)]
    fn tag(key: u64) -> u64 {
        (key & 0xff).max(1)
    }

    /// The slot of a key; `is_of` tells whether a slot is of it.
    #[inline(always)]
    pub(super) fn find(&self, key: u64, is_of: impl Fn(u32) -> bool) -> Option<u32> {
        let mut at = self.home(key);
        // Once around at most: whoever makes up a capture can have all groups passed by some slot.
        for _ in 0..self.groups.len() {
            let group = self.groups.get(at)?;
            for (_, slot) in group.tagged(Self::tag(key)) {
                if slot != NONE && is_of(slot) {
                    return Some(slot);
                }
            }
            if group.beyond == 0 {
                return None;
            }
            at = self.behind(at);
        }
        None
    }

    /// Adds a slot for a key that has none; `key_of` tells the keys of those that are there.
    #[inline]
    pub(super) fn add(&mut self, key: u64, slot: u32, key_of: impl Fn(u32) -> u64) {
        if self.held >= self.groups.len() * FILLED {
            self.grow(key_of);
        }
        self.held += 1;
        self.put(key, slot);
    }

    #[inline]
    fn put(&mut self, key: u64, slot: u32) {
        let mut at = self.home(key);
        while let Some(group) = self.groups.get_mut(at) {
            let free = group.tagged(0).next();
            if let Some((place, _)) = free {
                group.tag(place, Self::tag(key));
                if let Some(held) = group.slots.get_mut(place) {
                    *held = slot;
                }
                return;
            }
            group.beyond += 1;
            at = self.behind(at);
        }
    }

    #[cold]
    fn grow(&mut self, key_of: impl Fn(u32) -> u64) {
        let twice = vec![Group::EMPTY; self.groups.len() * 2];
        for group in std::mem::replace(&mut self.groups, twice) {
            for slot in group.slots.into_iter().filter(|&slot| slot != NONE) {
                self.put(key_of(slot), slot);
            }
        }
    }

    /// Gives a key another slot, or takes it out.
    #[inline]
    pub(super) fn replace(&mut self, key: u64, slot: u32, by: Option<u32>) {
        let home = self.home(key);
        let mut at = home;
        for _ in 0..self.groups.len() {
            let Some(group) = self.groups.get_mut(at) else { return };
            let found = group.tagged(Self::tag(key)).find(|&(_, other)| other == slot);
            if let Some((place, _)) = found {
                if let Some(held) = group.slots.get_mut(place) {
                    *held = by.unwrap_or(NONE);
                }
                if by.is_none() {
                    group.tag(place, 0);
                    self.held -= 1;
                    self.passed(home, at);
                }
                return;
            }
            at = self.behind(at);
        }
    }

    /// One that passed the groups from `home` to before `at` is gone.
    #[inline]
    fn passed(&mut self, home: usize, at: usize) {
        let mut passed = home;
        while passed != at {
            if let Some(group) = self.groups.get_mut(passed) {
                group.beyond -= 1;
            }
            passed = self.behind(passed);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::Index;

    proptest! {
        /// Few homes and tags, so that groups overflow and keys share tags.
        #[test]
        fn it_holds_what_a_map_holds(
            steps in prop::collection::vec((0_u64..4, 0_u64..40, any::<bool>()), 0..2_000),
        ) {
            let mut index = Index::new();
            let mut map: HashMap<u64, u32> = HashMap::new();
            let mut keys = Vec::new();
            for (home, low, out) in steps {
                let key = home << 32 | low << 4;
                let is_of = |slot: u32| keys[slot as usize] == key;
                prop_assert_eq!(index.find(key, is_of), map.get(&key).copied());
                let slot = keys.len() as u32;
                keys.push(key);
                match map.get(&key).copied() {
                    Some(old) if out => {
                        index.replace(key, old, None);
                        map.remove(&key);
                    }
                    Some(old) => {
                        index.replace(key, old, Some(slot));
                        map.insert(key, slot);
                    }
                    None => {
                        index.add(key, slot, |slot| keys[slot as usize]);
                        map.insert(key, slot);
                    }
                }
                prop_assert_eq!(index.held, map.len());
            }
            for (&key, &slot) in &map {
                prop_assert_eq!(index.find(key, |slot| keys[slot as usize] == key), Some(slot));
                index.replace(key, slot, None);
            }
            prop_assert!(index.groups.iter().all(|group| group.tags == 0 && group.beyond == 0));
        }
    }

    #[test]
    fn a_search_ends_where_some_slot_passed_every_group() {
        let mut index = Index::new();
        let filled = |half: u64| (half * 32..half * 32 + 32).flat_map(|home| (0..8).map(move |low| home << 32 | low));
        let mut slot = 0;
        // The last one finds one half full, and later the other.
        for half in [0, 1] {
            for key in filled(half) {
                index.add(key, slot, |_| 0);
                slot += 1;
            }
            index.add(half << 37 | 9, u32::MAX - 1 - half as u32, |_| 0);
            for (key, at) in filled(half).zip(slot - 256..) {
                index.replace(key, at, None);
            }
        }
        assert!(index.groups.len() == 64 && index.groups.iter().all(|group| group.beyond > 0));
        assert_eq!(index.find(10, |_| false), None);
    }

    #[test]
    fn half_a_million_keys_are_found_and_others_are_not() {
        let key = |number: u32| u64::from(number).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mut index = Index::new();
        for number in 0..500_000 {
            index.add(key(number), number, key);
        }
        for number in 0..500_000 {
            assert_eq!(index.find(key(number), |slot| slot == number), Some(number));
        }
        for number in 500_000..1_000_000 {
            assert_eq!(index.find(key(number), |slot| key(slot) == key(number)), None);
        }
    }
}
