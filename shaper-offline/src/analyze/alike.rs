//! Packets that look alike: when one of them last arrived that could have been another.

use super::hash::HashedMap;

/// Keys remembered before those are forgotten that nothing waits for any more.
const KEYS: usize = 1 << 16;

/// Arrivals that were paired with the first of several packets.
#[derive(Debug)]
pub(super) struct Alike {
    latest: HashedMap<i64>,
    /// How many keys make it worth looking for old ones.
    room: usize,
}

impl Default for Alike {
    fn default() -> Self {
        Self { latest: HashedMap::default(), room: KEYS }
    }
}

impl Alike {
    /// Notes an arrival; what arrived before `since` is of no more use.
    pub(super) fn note(&mut self, key: u64, ts: i64, since: i64) {
        let latest = self.latest.entry(key).or_insert(ts);
        *latest = ts.max(*latest);
        if self.latest.len() >= self.room {
            self.latest.retain(|_, latest| *latest >= since);
            // What is left is bounded by what waits.
            self.room = KEYS.max(self.latest.len() * 2);
        }
    }

    /// Whether a packet of that key that would have arrived from then on may be one that was paired with
    /// another.
    pub(super) fn may_be(&self, key: u64, from: i64) -> bool {
        self.latest.get(&key).is_some_and(|latest| *latest >= from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_arrivals_are_forgotten_and_what_still_counts_is_not() {
        let mut alike = Alike::default();
        for n in 0..10 * KEYS as i64 {
            alike.note(n as u64, n, n - 1000);
        }
        assert!(alike.latest.len() <= KEYS, "{}", alike.latest.len());
        let last = 10 * KEYS as i64 - 1;
        assert!(alike.may_be(last as u64, last) && alike.may_be((last - 900) as u64, 0));
        assert!(!alike.may_be(last as u64, last + 1) && !alike.may_be(u64::MAX, 0));
        // All of them are still of use: then they stay.
        let mut alike = Alike::default();
        for n in 0..2 * KEYS as i64 {
            alike.note(n as u64, n, 0);
        }
        assert_eq!(alike.latest.len(), 2 * KEYS);
    }
}
