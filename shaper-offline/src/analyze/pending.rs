//! Packets seen at one point and waiting for the other: a log in time, and an index of those that
//! are still open.
//!
//! The log is written at the back and read at the front, when the waiting time is over, so the
//! memory held is the traffic of one waiting time. What is open lies in slots that are used again
//! as soon as it is settled: the index stays as small as what is in flight, and in the cache.

use std::collections::VecDeque;

/// What became of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Open,
    Matched,
    Corrupted,
    /// A further copy of a packet that has its match.
    Duplicate,
}

/// A packet that waits.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Open {
    pub(super) ts: i64,
    pub(super) key: u64,
    pub(super) header: u64,
    /// Position among the packets of its flow at this point.
    pub(super) position: u32,
    pub(super) flow: u32,
    pub(super) path: u32,
    pub(super) content: u32,
    /// First sequence number of TCP data.
    pub(super) sequence: u32,
    /// Length of TCP data, 0 for what is none.
    pub(super) length: u32,
    pub(super) identification: u16,
}

/// A packet that waits, and its links.
#[derive(Clone, Copy, Debug)]
struct Slot {
    open: Open,
    /// Its place in the log.
    number: u64,
    /// Next head of the same bucket.
    chain: u32,
    /// Next slot of the same key, in order of time.
    next: u32,
    /// In a head: the last slot of its key.
    last: u32,
}

/// One line of the log.
#[derive(Clone, Copy, Debug)]
struct Line {
    ts: i64,
    key: u64,
    /// One-way delay once settled, the slot before.
    value: i64,
    flow: u32,
    path: u32,
    state: State,
}

/// A packet whose waiting time is over.
#[derive(Clone, Copy, Debug)]
pub(super) struct Settled {
    /// Its place in the log.
    pub(super) number: u64,
    pub(super) ts: i64,
    pub(super) key: u64,
    /// One-way delay, if matched.
    pub(super) delay: i64,
    pub(super) flow: u32,
    pub(super) path: u32,
    pub(super) state: State,
    /// Header key, and sequence and length of TCP data; of an open one only.
    pub(super) header: u64,
    pub(super) sequence: u32,
    pub(super) length: u32,
}

const NONE: u32 = u32::MAX;
/// Open packets of one key compared by IP identification before the oldest is taken.
const LOOK: usize = 16;

/// An open packet found for a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Candidate {
    pub(super) slot: u32,
    /// Other open packets would have done as well.
    pub(super) ambiguous: bool,
}

#[derive(Debug)]
pub(super) struct Pending {
    log: VecDeque<Line>,
    /// Number of the log's first line; numbers are never reused.
    front: u64,
    slots: Vec<Slot>,
    /// Unused slots, linked by `next`.
    free: u32,
    heads: usize,
    buckets: Vec<u32>,
}

impl Pending {
    pub(super) fn new() -> Self {
        Self { log: VecDeque::new(), front: 0, slots: Vec::new(), free: NONE, heads: 0, buckets: vec![NONE; 1024] }
    }

    pub(super) fn len(&self) -> usize {
        self.log.len()
    }

    /// Time of the packet that waits longest.
    #[inline]
    pub(super) fn oldest(&self) -> Option<i64> {
        self.log.front().map(|line| line.ts)
    }

    #[inline]
    pub(super) fn get(&self, slot: u32) -> Option<&Open> {
        self.slot(slot).map(|slot| &slot.open)
    }

    #[inline]
    fn slot(&self, slot: u32) -> Option<&Slot> {
        self.slots.get(slot as usize)
    }

    #[inline]
    fn slot_mut(&mut self, slot: u32) -> Option<&mut Slot> {
        self.slots.get_mut(slot as usize)
    }

    /// Slot and time of the packet of that number, if it still waits.
    pub(super) fn waiting(&self, number: u64) -> Option<(u32, i64)> {
        let at = usize::try_from(number.checked_sub(self.front)?).ok()?;
        let line = self.log.get(at).filter(|line| line.state == State::Open)?;
        Some((line.value as u32, line.ts))
    }

    /// Whether a packet of this key, logged up to `until`, has its match. Reads the log line by
    /// line: for questions that are rarely asked.
    pub(super) fn has_match(&self, key: u64, until: i64) -> bool {
        let lines = self.log.iter().take_while(|line| line.ts <= until);
        let mut settled = lines.filter(|line| line.state != State::Open);
        settled.any(|line| line.key == key)
    }

    #[inline]
    fn bucket(&self, key: u64) -> usize {
        (key >> 32) as usize & (self.buckets.len() - 1)
    }

    /// Slot of the oldest open packet of a key.
    #[inline]
    fn find(&self, key: u64) -> Option<u32> {
        let mut at = *self.buckets.get(self.bucket(key))?;
        while let Some(slot) = self.slot(at) {
            if slot.open.key == key {
                return Some(at);
            }
            at = slot.chain;
        }
        None
    }

    /// Lets a packet wait; returns its number.
    #[inline]
    pub(super) fn push(&mut self, open: Open) -> u64 {
        let number = self.front + self.log.len() as u64;
        let key = open.key;
        let head = self.find(key);
        let at = self.take_slot(Slot { open, number, chain: NONE, next: NONE, last: NONE });
        self.log.push_back(Line {
            ts: open.ts,
            key,
            value: at.into(),
            flow: open.flow,
            path: open.path,
            state: State::Open,
        });
        match head {
            Some(head) => {
                let before = self.slot_mut(head).map(|head| std::mem::replace(&mut head.last, at));
                if let Some(before) = before.and_then(|before| self.slot_mut(before)) {
                    before.next = at;
                }
            }
            None => self.link(key, at),
        }
        number
    }

    /// Logs a packet that is settled already: it waits for its turn and is never found.
    #[inline]
    pub(super) fn push_settled(&mut self, open: &Open, state: State, delay: i64) {
        self.log.push_back(Line { ts: open.ts, key: open.key, value: delay, flow: open.flow, path: open.path, state });
    }

    fn take_slot(&mut self, filled: Slot) -> u32 {
        let at = self.free;
        match self.slot_mut(at) {
            Some(slot) => {
                let next = slot.next;
                *slot = filled;
                self.free = next;
                at
            }
            None => {
                self.slots.push(filled);
                (self.slots.len() - 1) as u32
            }
        }
    }

    /// Makes a slot the head of its key.
    fn link(&mut self, key: u64, at: u32) {
        if self.heads >= self.buckets.len() {
            self.grow();
        }
        let bucket = self.bucket(key);
        let first = self.buckets.get(bucket).copied().unwrap_or(NONE);
        if let Some(open) = self.slot_mut(at) {
            open.chain = first;
            open.last = at;
        }
        if let Some(bucket) = self.buckets.get_mut(bucket) {
            *bucket = at;
        }
        self.heads += 1;
    }

    #[cold]
    fn grow(&mut self) {
        let old = std::mem::take(&mut self.buckets);
        self.buckets = vec![NONE; old.len() * 2];
        for mut at in old {
            while let Some(slot) = self.slot(at) {
                let (key, chain) = (slot.open.key, slot.chain);
                let bucket = self.bucket(key);
                let first = self.buckets.get(bucket).copied().unwrap_or(NONE);
                if let Some(open) = self.slot_mut(at) {
                    open.chain = first;
                }
                if let Some(bucket) = self.buckets.get_mut(bucket) {
                    *bucket = at;
                }
                at = chain;
            }
        }
    }

    /// The open packet to pair with one of this key: of several the first with the same IP
    /// identification, else the oldest.
    #[inline]
    pub(super) fn candidate(&self, key: u64, identification: u16) -> Option<Candidate> {
        let head = self.find(key)?;
        let first = self.slot(head)?;
        let oldest = Candidate { slot: head, ambiguous: false };
        if first.next == NONE || (identification != 0 && first.open.identification == identification) {
            return Some(oldest);
        }
        let mut at = first.next;
        if identification != 0 {
            for _ in 0..LOOK {
                let Some(slot) = self.slot(at) else { break };
                if slot.open.identification == identification {
                    return Some(Candidate { slot: at, ambiguous: false });
                }
                at = slot.next;
            }
        }
        Some(Candidate { ambiguous: true, ..oldest })
    }

    /// Settles an open packet and tells what it was.
    #[inline]
    pub(super) fn settle(&mut self, slot: u32, state: State, delay: i64) -> Option<Settled> {
        let closed = self.slot(slot).copied()?;
        let at = closed.number.checked_sub(self.front).and_then(|at| usize::try_from(at).ok());
        if let Some(line) = at.and_then(|at| self.log.get_mut(at)) {
            line.state = state;
            line.value = delay;
        }
        self.close(slot, &closed);
        let open = closed.open;
        Some(Settled {
            number: closed.number,
            ts: open.ts,
            key: open.key,
            delay,
            flow: open.flow,
            path: open.path,
            state,
            header: open.header,
            sequence: open.sequence,
            length: open.length,
        })
    }

    /// Takes out the packet that has waited longest.
    #[inline]
    pub(super) fn pop(&mut self) -> Option<Settled> {
        let line = self.log.pop_front()?;
        let number = self.front;
        self.front += 1;
        let mut settled = Settled {
            number,
            ts: line.ts,
            key: line.key,
            delay: line.value,
            flow: line.flow,
            path: line.path,
            state: line.state,
            header: 0,
            sequence: 0,
            length: 0,
        };
        if line.state == State::Open {
            let slot = line.value as u32;
            if let Some(closed) = self.slot(slot).copied() {
                settled.header = closed.open.header;
                settled.sequence = closed.open.sequence;
                settled.length = closed.open.length;
                self.close(slot, &closed);
            }
            settled.delay = 0;
        }
        Some(settled)
    }

    /// Takes a slot out of the index and frees it.
    #[inline]
    fn close(&mut self, slot: u32, closed: &Slot) {
        let bucket = self.bucket(closed.open.key);
        let mut before = NONE;
        let mut head = self.buckets.get(bucket).copied().unwrap_or(NONE);
        while let Some(other) = self.slot(head) {
            if other.open.key == closed.open.key {
                break;
            }
            before = head;
            head = other.chain;
        }
        if head == slot {
            // The next of the same key takes its place in the chain, or the next of the bucket.
            let heir = if closed.next == NONE { closed.chain } else { closed.next };
            if let Some(next) = self.slot_mut(closed.next) {
                next.chain = closed.chain;
                next.last = closed.last;
            } else {
                self.heads -= 1;
            }
            if let Some(before) = self.slot_mut(before) {
                before.chain = heir;
            } else if let Some(bucket) = self.buckets.get_mut(bucket) {
                *bucket = heir;
            }
        } else {
            let mut at = head;
            while let Some(other) = self.slot_mut(at) {
                if other.next == slot {
                    other.next = closed.next;
                    break;
                }
                at = other.next;
            }
            if let Some(head) = self.slot_mut(head).filter(|head| head.last == slot) {
                head.last = at;
            }
        }
        let free = self.free;
        if let Some(slot) = self.slot_mut(slot) {
            slot.next = free;
        }
        self.free = slot;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn equal_keys_pair_oldest_first_and_say_so() {
        let mut pending = Pending::new();
        pending.push(open(7, 0));
        pending.push(open(7, 0));
        let first = pending.candidate(7, 0).unwrap();
        assert!(first.ambiguous);
        assert_eq!(pending.slot(first.slot).unwrap().number, 0);
        pending.settle(first.slot, State::Matched, 5);
        let second = pending.candidate(7, 0).unwrap();
        assert!(!second.ambiguous);
        assert_eq!(pending.slot(second.slot).unwrap().number, 1);
        pending.settle(second.slot, State::Matched, 6);
        assert_eq!(pending.candidate(7, 0), None);
        assert_eq!([pending.pop().unwrap().delay, pending.pop().unwrap().delay], [5, 6]);
    }

    #[test]
    fn the_ip_identification_tells_equals_apart() {
        let mut pending = Pending::new();
        for identification in 1..=4 {
            pending.push(open(7, identification));
        }
        for identification in [3, 4, 1, 2] {
            let found = pending.candidate(7, identification).unwrap();
            assert!(!found.ambiguous);
            assert_eq!(pending.get(found.slot).unwrap().identification, identification);
            pending.settle(found.slot, State::Matched, 1);
        }
        assert_eq!(pending.candidate(7, 1), None);
    }

    fn open(key: u64, identification: u16) -> Open {
        Open { key, identification, ..Open::default() }
    }

    #[derive(Debug, Clone)]
    enum Step {
        Push(u64),
        Match(u64, u16),
        Pop,
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        // Few keys, and such that many share a bucket.
        let key = (0_u64..6).prop_map(|key| key << 40 | key);
        let step = prop_oneof![
            3 => key.clone().prop_map(Step::Push),
            2 => (key, 0_u16..4).prop_map(|(key, identification)| Step::Match(key, identification)),
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
                        prop_assert_eq!(pending.push(open(key, number as u16 % 4)), number);
                        plain.push_back((number, key, true));
                        number += 1;
                        // One that is settled from the start must not disturb.
                        if number % 5 == 0 {
                            pending.push_settled(&open(key, 0), State::Matched, 1);
                            plain.push_back((number, key, false));
                            number += 1;
                        }
                    }
                    Step::Match(key, identification) => {
                        let alike: Vec<_> =
                            plain.iter().filter(|e| e.1 == key && e.2).map(|e| e.0).collect();
                        let same = alike.iter().find(|&&number| {
                            identification != 0 && number as u16 % 4 == identification
                        });
                        let want = same.or(alike.first()).copied();
                        let got = pending.candidate(key, identification);
                        let found = got.and_then(|c| pending.slot(c.slot)).map(|slot| slot.number);
                        prop_assert_eq!(found, want);
                        if let (Some(candidate), Some(number)) = (got, want) {
                            prop_assert_eq!(candidate.ambiguous, alike.len() > 1 && same.is_none());
                            pending.settle(candidate.slot, State::Matched, 1);
                            for e in plain.iter_mut().filter(|e| e.0 == number) {
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
                for e in &plain {
                    prop_assert_eq!(pending.waiting(e.0).is_some(), e.2);
                }
            }
        }

        #[test]
        fn many_keys_survive_growth(count in 1_u64..5_000) {
            let mut pending = Pending::new();
            let spread = |key: u64| key.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            (0..count).for_each(|key| {
                pending.push(open(spread(key), 0));
            });
            for key in 0..count {
                let found = pending.candidate(spread(key), 0).and_then(|c| pending.slot(c.slot));
                prop_assert_eq!(found.map(|slot| slot.number), Some(key));
            }
        }
    }
}
