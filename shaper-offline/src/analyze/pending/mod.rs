//! Packets seen at one point and waiting for the other: a log in time, and an index of those that
//! are still open.
//!
//! The log is written at the back and read at the front, when the waiting time is over, so the
//! memory held is the traffic of one waiting time. What is open lies in slots that are used again
//! as soon as it is settled: the index stays as small as what is in flight, and in the cache.

mod index;

use std::collections::VecDeque;

use super::{hash::HashedMap, watch::Note};
use index::Index;

/// What became of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Open,
    /// Sent here, and met intact at the other point. That it was sent here stays, whatever is known of its path later:
    /// the figures of its arrival have it.
    Matched,
    /// Sent here, and met with other content.
    Corrupted,
    /// Seen at both points, and nothing told where first. Where its delay would be stands the number of its line at
    /// the other point; the first of both whose time comes decides for both.
    Undecided {
        /// Whether it would be matched, not corrupted.
        intact: bool,
    },
    /// Counted with the packet at the other point that it is the arrival of, or a further copy.
    Arrived,
}

/// A packet that waits.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Open<N> {
    pub(super) ts: i64,
    pub(super) key: u64,
    pub(super) header: u64,
    /// Position among the packets of its flow at this point.
    pub(super) position: u32,
    pub(super) flow: u32,
    pub(super) path: u32,
    pub(super) content: u32,
    /// First sequence number of TCP data, or what stands for the numbers of RTP.
    pub(super) sequence: u32,
    /// Length of TCP data, 0 for what is none.
    pub(super) length: u32,
    pub(super) identification: u16,
    /// Its content is not known.
    pub(super) cut: bool,
    /// Its number in the file, from 1; 0 if not known.
    pub(super) frame: u32,
    pub(super) note: N,
}

/// A packet that waits, and its links.
#[derive(Clone, Copy, Debug)]
struct Slot<N> {
    open: Open<N>,
    /// Its place in the log.
    number: u64,
    /// Next slot of the same key, in order of time.
    next: u32,
    /// In a head: the last slot of its key.
    last: u32,
}

/// The links of a slot that is closed.
#[derive(Clone, Copy)]
struct Links {
    next: u32,
    last: u32,
}

/// One line of the log.
#[derive(Clone, Copy, Debug)]
struct Line<N> {
    ts: i64,
    key: u64,
    /// One-way delay once settled, or another number ([`State::Undecided`]); the slot before.
    value: i64,
    flow: u32,
    path: u32,
    frame: u32,
    state: State,
    note: N,
}

/// A packet whose waiting time is over.
#[derive(Clone, Copy, Debug)]
pub(super) struct Settled<N> {
    /// Its place in the log.
    pub(super) number: u64,
    pub(super) ts: i64,
    pub(super) key: u64,
    /// One-way delay, if matched; another number of what is [`State::Undecided`].
    pub(super) delay: i64,
    pub(super) flow: u32,
    pub(super) path: u32,
    pub(super) state: State,
    /// Header key, content, sequence and length of TCP data, IP identification, and whether its
    /// content is not known; of an open one only.
    pub(super) header: u64,
    pub(super) content: u32,
    pub(super) sequence: u32,
    pub(super) length: u32,
    pub(super) identification: u16,
    pub(super) cut: bool,
    /// It is taken out before its waiting time is over.
    pub(super) early: bool,
    /// Its number in the file, from 1; 0 if not known.
    pub(super) frame: u32,
    pub(super) note: N,
}

impl<N: Note> Settled<N> {
    /// Of no packet yet.
    pub(super) fn nothing() -> Self {
        Self {
            number: 0,
            ts: 0,
            key: 0,
            delay: 0,
            flow: 0,
            path: 0,
            state: State::Open,
            header: 0,
            content: 0,
            sequence: 0,
            length: 0,
            identification: 0,
            cut: false,
            early: false,
            frame: 0,
            note: N::default(),
        }
    }
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
pub(super) struct Pending<N> {
    log: VecDeque<Line<N>>,
    /// Number of the log's first line; numbers are never reused.
    front: u64,
    slots: Vec<Slot<N>>,
    /// Unused slots, linked by `next`.
    free: u32,
    /// The first slot of every key.
    heads: Index,
    /// Settled lines by key: how many, and the time of the first; kept from the first question on.
    matched: Option<HashedMap<(u32, i64)>>,
}

impl<N: Note> Pending<N> {
    pub(super) fn new() -> Self {
        Self { log: VecDeque::new(), front: 0, slots: Vec::new(), free: NONE, heads: Index::new(), matched: None }
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
    pub(super) fn get(&self, slot: u32) -> Option<&Open<N>> {
        self.slot(slot).map(|slot| &slot.open)
    }

    /// The number of the packet in a slot.
    #[inline]
    pub(super) fn number(&self, slot: u32) -> Option<u64> {
        self.slot(slot).map(|slot| slot.number)
    }

    #[inline]
    fn slot(&self, slot: u32) -> Option<&Slot<N>> {
        self.slots.get(slot as usize)
    }

    #[inline]
    fn slot_mut(&mut self, slot: u32) -> Option<&mut Slot<N>> {
        self.slots.get_mut(slot as usize)
    }

    /// Slot and time of the packet of that number, if it still waits.
    pub(super) fn waiting(&self, number: u64) -> Option<(u32, i64)> {
        let line = self.log.get(self.at(number)?).filter(|line| line.state == State::Open)?;
        Some((line.value as u32, line.ts))
    }

    /// The number that the next packet gets.
    #[inline]
    pub(super) fn next_number(&self) -> u64 {
        self.front + self.log.len() as u64
    }

    fn at(&self, number: u64) -> Option<usize> {
        usize::try_from(number.checked_sub(self.front)?).ok()
    }

    /// The path of the packet of that number, if its time is not over.
    pub(super) fn path(&self, number: u64) -> Option<u32> {
        self.log.get(self.at(number)?).map(|line| line.path)
    }

    /// Decides what is undecided, with no delay; tells whether it is still there.
    pub(super) fn decide(&mut self, number: u64, state: State) -> bool {
        let undecided = |line: &&mut Line<N>| matches!(line.state, State::Undecided { .. });
        let line = self.at(number).and_then(|at| self.log.get_mut(at)).filter(undecided);
        line.is_some_and(|line| {
            line.state = state;
            line.value = 0;
            true
        })
    }

    /// Whether a packet of this key, logged up to `until`, has its match.
    pub(super) fn has_match(&mut self, key: u64, until: i64) -> bool {
        if self.matched.is_none() {
            self.matched = Some(HashedMap::default());
            for at in 0..self.log.len() {
                if let Some(&Line { key, ts, state, .. }) = self.log.get(at)
                    && state != State::Open
                {
                    self.note_match(key, ts);
                }
            }
        }
        self.matched.as_ref().and_then(|matched| matched.get(&key)).is_some_and(|(_, first)| *first <= until)
    }

    #[inline]
    fn note_match(&mut self, key: u64, ts: i64) {
        if let Some(matched) = &mut self.matched {
            let known = matched.entry(key).or_insert((0, ts));
            known.0 += 1;
            known.1 = known.1.min(ts);
        }
    }

    #[inline]
    fn forget_match(&mut self, key: u64) {
        if let Some(matched) = &mut self.matched
            && let Some(known) = matched.get_mut(&key)
        {
            known.0 -= 1;
            if known.0 == 0 {
                matched.remove(&key);
            }
        }
    }

    /// Slot of the oldest open packet of a key.
    #[inline]
    fn find(&self, key: u64) -> Option<u32> {
        self.heads.find(key, |slot| self.slot(slot).is_some_and(|slot| slot.open.key == key))
    }

    /// Lets a packet wait; returns its number.
    #[inline]
    pub(super) fn push(&mut self, open: Open<N>) -> u64 {
        let number = self.next_number();
        let key = open.key;
        let head = self.find(key);
        let at = self.take_slot(Slot { open, number, next: NONE, last: NONE });
        self.log.push_back(Line {
            ts: open.ts,
            key,
            value: at.into(),
            flow: open.flow,
            path: open.path,
            frame: open.frame,
            state: State::Open,
            note: open.note,
        });
        match head {
            Some(head) => {
                let before = self.slot_mut(head).map(|head| std::mem::replace(&mut head.last, at));
                if let Some(before) = before.and_then(|before| self.slot_mut(before)) {
                    before.next = at;
                }
            }
            None => self.lead(key, at),
        }
        number
    }

    /// Logs a packet that is settled already: it waits for its turn and is never found.
    #[inline]
    pub(super) fn push_settled(&mut self, open: Open<N>, state: State, delay: i64, note: N) {
        let Open { ts, key, flow, path, frame, .. } = open;
        self.note_match(key, ts);
        self.log.push_back(Line { ts, key, value: delay, flow, path, frame, state, note });
    }

    fn take_slot(&mut self, filled: Slot<N>) -> u32 {
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
    #[inline]
    fn lead(&mut self, key: u64, at: u32) {
        if let Some(slot) = self.slot_mut(at) {
            slot.last = at;
        }
        let slots = &self.slots;
        self.heads.add(key, at, |slot| slots.get(slot as usize).map_or(0, |slot| slot.open.key));
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

    /// Settles an open packet.
    #[inline]
    pub(super) fn close_as(&mut self, slot: u32, state: State, delay: i64, note: N) {
        let Some(&Slot { open: Open { key, ts, .. }, number, next, last }) = self.slot(slot) else { return };
        if let Some(line) = self.at(number).and_then(|at| self.log.get_mut(at)) {
            line.state = state;
            line.value = delay;
            line.note = note;
        }
        self.close(slot, key, Links { next, last });
        self.note_match(key, ts);
    }

    /// Settles an open packet and tells what it was.
    pub(super) fn settle(&mut self, slot: u32, state: State, delay: i64, note: N) -> Option<Settled<N>> {
        let closed = self.slot(slot).copied()?;
        self.close_as(slot, state, delay, note);
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
            content: open.content,
            sequence: open.sequence,
            length: open.length,
            identification: open.identification,
            cut: open.cut,
            early: false,
            frame: open.frame,
            note,
        })
    }

    /// Takes out the packet that has waited longest. It is written in place: a processor waits for what it wrote in
    /// parts and then copies as a whole. `false`, and nothing written, where there is none.
    #[inline]
    pub(super) fn pop_into(&mut self, settled: &mut Settled<N>) -> bool {
        let Some(line) = self.log.pop_front() else { return false };
        settled.number = self.front;
        self.front += 1;
        settled.ts = line.ts;
        settled.key = line.key;
        settled.delay = line.value;
        settled.flow = line.flow;
        settled.path = line.path;
        settled.state = line.state;
        settled.frame = line.frame;
        settled.note = line.note;
        if line.state == State::Open {
            self.open_up(line.value as u32, settled);
        } else {
            self.forget_match(line.key);
        }
        true
    }

    #[cfg(test)]
    pub(super) fn pop(&mut self) -> Option<Settled<N>> {
        let mut settled = Settled::nothing();
        self.pop_into(&mut settled).then_some(settled)
    }

    /// Adds what is known of an open packet alone, and takes it out of the index.
    fn open_up(&mut self, slot: u32, settled: &mut Settled<N>) {
        settled.delay = 0;
        let Some(&Slot { open, next, last, .. }) = self.slot(slot) else { return };
        settled.header = open.header;
        settled.content = open.content;
        settled.sequence = open.sequence;
        settled.length = open.length;
        settled.identification = open.identification;
        settled.cut = open.cut;
        self.close(slot, open.key, Links { next, last });
    }

    /// Takes a slot out of the index and frees it.
    #[inline]
    fn close(&mut self, slot: u32, key: u64, closed: Links) {
        let Some(head) = self.find(key) else { return };
        if head == slot {
            // The next of the same key takes its place.
            if let Some(next) = self.slot_mut(closed.next) {
                next.last = closed.last;
                self.heads.replace(key, slot, Some(closed.next));
            } else {
                self.heads.replace(key, slot, None);
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
mod tests;
