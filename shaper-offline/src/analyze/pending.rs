//! Packets seen at one point and waiting for the other: a queue in time with an index by key.
//!
//! Entries leave only at the front, when their waiting time is over, so the memory held is the
//! traffic of one waiting time. Open entries of equal key form a list in time order; what is
//! settled leaves the index at once, which keeps the index as small as what is in flight.

use std::collections::VecDeque;

/// What became of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Open,
    Matched,
    Corrupted,
}

/// One packet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    pub(super) ts: i64,
    /// One-way delay, once matched.
    pub(super) delay: i64,
    pub(super) header: u64,
    /// Position among the packets of its flow at this point.
    pub(super) position: u64,
    pub(super) flow: u32,
    pub(super) path: u32,
    pub(super) content: u32,
    pub(super) identification: u16,
    pub(super) state: State,
    /// Next entry of the same key; `NONE` at the end.
    next: u64,
    /// Its key's node.
    node: u32,
}

impl Entry {
    pub(super) fn open(ts: i64, header: u64, position: u64, flow: u32, path: u32) -> Self {
        Self {
            ts,
            delay: 0,
            header,
            position,
            flow,
            path,
            content: 0,
            identification: 0,
            state: State::Open,
            next: NONE,
            node: 0,
        }
    }
}

const NONE: u64 = u64::MAX;
const NO_NODE: u32 = u32::MAX;
/// Open entries of one key compared by IP identification before the oldest is taken.
const LOOK: usize = 16;

#[derive(Clone, Copy, Debug)]
struct Node {
    key: u64,
    /// Number of the oldest open entry.
    open: u64,
    /// Number of the newest entry.
    last: u64,
    /// Entries that are open.
    live: u32,
    /// Next node of the bucket, or of the free list.
    next: u32,
}

/// An open entry found for a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Candidate {
    pub(super) number: u64,
    /// Other open entries would have done as well.
    pub(super) ambiguous: bool,
}

#[derive(Debug)]
pub(super) struct Pending {
    queue: VecDeque<Entry>,
    /// Number of the entry at the queue's front; numbers are never reused.
    front: u64,
    nodes: Vec<Node>,
    free: u32,
    used: usize,
    buckets: Vec<u32>,
}

impl Pending {
    pub(super) fn new() -> Self {
        Self {
            queue: VecDeque::new(),
            front: 0,
            nodes: Vec::new(),
            free: NO_NODE,
            used: 0,
            buckets: vec![NO_NODE; 1024],
        }
    }

    pub(super) fn len(&self) -> usize {
        self.queue.len()
    }

    pub(super) fn front(&self) -> Option<&Entry> {
        self.queue.front()
    }

    pub(super) fn get(&self, number: u64) -> Option<&Entry> {
        self.queue.get(usize::try_from(number.checked_sub(self.front)?).ok()?)
    }

    fn get_mut(&mut self, number: u64) -> Option<&mut Entry> {
        self.queue.get_mut(usize::try_from(number.checked_sub(self.front)?).ok()?)
    }

    #[inline]
    fn bucket(&self, key: u64) -> usize {
        (key >> 32) as usize & (self.buckets.len() - 1)
    }

    #[inline]
    fn find(&self, key: u64) -> Option<u32> {
        let mut at = *self.buckets.get(self.bucket(key))?;
        while let Some(node) = self.nodes.get(at as usize) {
            if node.key == key {
                return Some(at);
            }
            at = node.next;
        }
        None
    }

    /// Adds an open entry at the back and returns its number.
    #[inline]
    pub(super) fn push(&mut self, key: u64, mut entry: Entry) -> u64 {
        let number = self.front + self.queue.len() as u64;
        let at = self.find(key).unwrap_or_else(|| self.create(key));
        entry.node = at;
        entry.next = NONE;
        let mut previous = NONE;
        if let Some(node) = self.nodes.get_mut(at as usize) {
            previous = std::mem::replace(&mut node.last, number);
            node.live += 1;
            if node.open == NONE {
                node.open = number;
            }
        }
        if previous != NONE
            && let Some(before) = self.get_mut(previous)
        {
            before.next = number;
        }
        self.queue.push_back(entry);
        number
    }

    /// Adds an entry that is settled already: it waits for its turn and is never found.
    #[inline]
    pub(super) fn push_settled(&mut self, entry: Entry) {
        self.queue.push_back(Entry { next: NONE, node: NO_NODE, ..entry });
    }

    fn create(&mut self, key: u64) -> u32 {
        if self.used >= self.buckets.len() {
            self.grow();
        }
        let bucket = self.bucket(key);
        let head = self.buckets.get(bucket).copied().unwrap_or(NO_NODE);
        let node = Node { key, open: NONE, last: NONE, live: 0, next: head };
        let at = match self.nodes.get_mut(self.free as usize) {
            Some(slot) => {
                let at = self.free;
                self.free = slot.next;
                *slot = node;
                at
            }
            None => {
                self.nodes.push(node);
                (self.nodes.len() - 1) as u32
            }
        };
        if let Some(slot) = self.buckets.get_mut(bucket) {
            *slot = at;
        }
        self.used += 1;
        at
    }

    #[cold]
    fn grow(&mut self) {
        let old = std::mem::take(&mut self.buckets);
        self.buckets = vec![NO_NODE; old.len() * 2];
        for mut at in old {
            while let Some(node) = self.nodes.get(at as usize) {
                let (key, next) = (node.key, node.next);
                let bucket = self.bucket(key);
                if let (Some(slot), Some(node)) = (self.buckets.get_mut(bucket), self.nodes.get_mut(at as usize)) {
                    node.next = *slot;
                    *slot = at;
                }
                at = next;
            }
        }
    }

    /// The open entry to pair with a packet of this key: of several the first one with the same
    /// IP identification, else the oldest.
    #[inline]
    pub(super) fn candidate(&self, key: u64, identification: u16) -> Option<Candidate> {
        let node = self.nodes.get(self.find(key)? as usize)?;
        let first = self.get(node.open)?;
        let oldest = Candidate { number: node.open, ambiguous: false };
        let mut more = self.next_open(first.next);
        if more == NONE {
            return Some(oldest);
        }
        if identification != 0 {
            if first.identification == identification {
                return Some(oldest);
            }
            for _ in 0..LOOK {
                let Some(entry) = self.get(more) else { break };
                if entry.identification == identification {
                    return Some(Candidate { number: more, ambiguous: false });
                }
                more = self.next_open(entry.next);
            }
        }
        Some(Candidate { ambiguous: true, ..oldest })
    }

    fn next_open(&self, mut number: u64) -> u64 {
        while let Some(entry) = self.get(number) {
            if entry.state == State::Open {
                return number;
            }
            number = entry.next;
        }
        NONE
    }

    /// Settles an open entry.
    #[inline]
    pub(super) fn settle(&mut self, number: u64, state: State, delay: i64) {
        let Some(entry) = self.get_mut(number) else { return };
        if entry.state != State::Open {
            return;
        }
        entry.state = state;
        entry.delay = delay;
        let entry = *entry;
        self.close(number, &entry);
    }

    /// Takes the entry at the front out.
    #[inline]
    pub(super) fn pop(&mut self) -> Option<Entry> {
        let entry = *self.queue.front()?;
        if entry.state == State::Open {
            self.close(self.front, &entry);
        }
        self.queue.pop_front();
        self.front += 1;
        Some(entry)
    }

    /// Takes an entry, no longer open, out of the index.
    #[inline]
    fn close(&mut self, number: u64, entry: &Entry) {
        let at = entry.node;
        let Some(node) = self.nodes.get(at as usize).copied() else { return };
        if node.live == 1 {
            self.unlink(at, node);
            return;
        }
        let open = if node.open == number { self.next_open(entry.next) } else { node.open };
        if let Some(node) = self.nodes.get_mut(at as usize) {
            node.open = open;
            node.live -= 1;
        }
    }

    fn unlink(&mut self, at: u32, node: Node) {
        let bucket = self.bucket(node.key);
        let head = self.buckets.get(bucket).copied().unwrap_or(NO_NODE);
        if head == at {
            if let Some(slot) = self.buckets.get_mut(bucket) {
                *slot = node.next;
            }
        } else {
            let mut before = head;
            while let Some(slot) = self.nodes.get_mut(before as usize) {
                if slot.next == at {
                    slot.next = node.next;
                    break;
                }
                before = slot.next;
            }
        }
        if let Some(slot) = self.nodes.get_mut(at as usize) {
            slot.next = self.free;
        }
        self.free = at;
        self.used -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn entry(identification: u16) -> Entry {
        Entry { identification, ..Entry::open(0, 0, 0, 0, 0) }
    }

    #[test]
    fn equal_keys_pair_oldest_first_and_say_so() {
        let mut pending = Pending::new();
        let first = pending.push(7, entry(0));
        let second = pending.push(7, entry(0));
        assert_eq!(pending.candidate(7, 0), Some(Candidate { number: first, ambiguous: true }));
        pending.settle(first, State::Matched, 5);
        assert_eq!(pending.candidate(7, 0), Some(Candidate { number: second, ambiguous: false }));
        pending.settle(second, State::Matched, 5);
        assert_eq!(pending.candidate(7, 0), None);
    }

    #[test]
    fn the_ip_identification_tells_equals_apart() {
        let mut pending = Pending::new();
        let _ = pending.push(7, entry(1));
        let second = pending.push(7, entry(2));
        assert_eq!(pending.candidate(7, 2), Some(Candidate { number: second, ambiguous: false }));
    }

    #[derive(Debug, Clone)]
    enum Step {
        Push(u64),
        Match(u64),
        Pop,
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        // Few keys, and such that many share a bucket.
        let key = (0_u64..6).prop_map(|key| key << 40 | key);
        let step = prop_oneof![
            3 => key.clone().prop_map(Step::Push),
            2 => key.prop_map(Step::Match),
            2 => Just(Step::Pop),
        ];
        prop::collection::vec(step, 0..400)
    }

    proptest! {
        #[test]
        fn behaves_as_a_plain_list(steps in steps()) {
            let mut pending = Pending::new();
            let mut plain: VecDeque<(u64, u64, bool)> = VecDeque::new();
            let mut number = 0;
            for step in steps {
                match step {
                    Step::Push(key) => {
                        prop_assert_eq!(pending.push(key, entry(0)), number);
                        plain.push_back((number, key, true));
                        number += 1;
                        // One that is settled from the start must not disturb.
                        if number % 5 == 0 {
                            pending.push_settled(Entry { state: State::Matched, ..entry(0) });
                            plain.push_back((number, key, false));
                            number += 1;
                        }
                    }
                    Step::Match(key) => {
                        let open: Vec<_> =
                            plain.iter().filter(|e| e.1 == key && e.2).map(|e| e.0).collect();
                        let want = open
                            .first()
                            .map(|&number| Candidate { number, ambiguous: open.len() > 1 });
                        prop_assert_eq!(pending.candidate(key, 0), want);
                        if let Some(found) = want {
                            pending.settle(found.number, State::Matched, 1);
                            for e in plain.iter_mut().filter(|e| e.0 == found.number) {
                                e.2 = false;
                            }
                        }
                    }
                    Step::Pop => {
                        let want = plain.pop_front().map(|e| e.2);
                        let got = pending.pop().map(|e| e.state == State::Open);
                        prop_assert_eq!(got, want);
                    }
                }
                prop_assert_eq!(pending.len(), plain.len());
            }
        }

        #[test]
        fn many_keys_survive_growth(count in 1_u64..5_000) {
            let mut pending = Pending::new();
            for key in 0..count {
                let key = key.wrapping_mul(0x9e37_79b9_7f4a_7c15);
                pending.push(key, entry(0));
            }
            for key in 0..count {
                let found = pending.candidate(key.wrapping_mul(0x9e37_79b9_7f4a_7c15), 0);
                prop_assert_eq!(found.map(|c| c.number), Some(key));
            }
        }
    }
}
