//! The merge: both captures in order of time, one waiting time of packets in memory.

use super::{
    Options,
    alike::Alike,
    clock::Ways,
    examples::{Examples, Shown},
    feed::{Feed, Head},
    flow::FlowKey,
    hash::HashedMap,
    key::Keyed,
    orphans::Orphans,
    pending::{Candidate, Open, Pending, State},
    point::{Both, Paths, Point},
    reorder::{Tally as Reorder, Tracker},
    tally::Tally,
    watch::{Note, Watch},
};
use crate::{pcapfile::Error, stats::Budget};

mod settle;

/// Flows counted one by one; packets of further flows count in the totals alone.
const FLOWS: usize = 65_536;
/// Delays kept exactly per direction, and per flow while the flows' budget lasts.
pub(super) const EXACT: usize = 1 << 22;
const EXACT_FLOW: usize = 1 << 16;
/// How far in front of its sending an arrival may be stamped by one clock: stamps are taken on several CPUs.
const UNORDERED: i64 = 1_000_000;
/// No flow of its own.
const NO_FLOW: u32 = u32::MAX;
/// Flows found without the map.
const RECENT: usize = 256;

/// What an analysis may hold at once.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Packets waiting at each point.
    pub(super) waiting: usize,
    /// Samples of all flows together, and what else they keep, in words of eight bytes.
    pub(super) kept: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { waiting: 1 << 22, kept: 1 << 25 }
    }
}

#[derive(Debug)]
pub(super) struct Flow {
    pub(super) key: FlowKey,
    path: u32,
    /// Packets seen at each point.
    seen: Both<u32>,
    /// Delay of the packet sent before, if it arrived.
    before: Option<i64>,
    /// TCP packets that arrived with other numbers or flags in their header.
    changed: u64,
    pub(super) tally: Tally,
    pub(super) tracker: Tracker,
}

/// Totals of one direction.
#[derive(Debug)]
pub(super) struct Direction {
    pub(super) tally: Tally,
    pub(super) reorder: Reorder,
    pub(super) examples: Examples,
}

pub(super) struct Engine<W: Watch> {
    watch: W,
    waiting: i64,
    limits: Limits,
    /// What the flows keep, all together.
    budget: Budget,
    pending: Both<Pending<W::Note>>,
    orphans: Both<Orphans>,
    alike: Alike,
    flows: Vec<Flow>,
    flow_index: HashedMap<u32>,
    /// Hashes and indices of flows that were met last, by a part of the hash.
    recent: Box<[(u64, u32); RECENT]>,
    paths: Paths,
    directions: Both<Direction>,
    /// Packets without a direction.
    adrift: Examples,
    unplaced: u64,
    unplaced_pairs: u64,
    at_once: u64,
    /// Of the others without a direction, how many at each point.
    alone: Both<u64>,
    evicted: u64,
    untracked: u64,
    /// No packet at the front of what waits is stamped before.
    due: i64,
}

/// What the merge leaves behind.
pub(super) struct Outcome {
    pub(super) directions: Both<Direction>,
    pub(super) flows: Vec<(Flow, Option<Point>)>,
    pub(super) adrift: Examples,
    pub(super) unplaced: u64,
    /// Of those, packets seen at both points.
    pub(super) unplaced_pairs: u64,
    /// Of those, packets seen at both at the same time.
    pub(super) at_once: u64,
    /// Of the others without a direction, how many at each point.
    pub(super) alone: Both<u64>,
    pub(super) evicted: u64,
    pub(super) untracked: u64,
}

impl<W: Watch> Engine<W> {
    /// `ways`: the directions known, where stamps do not tell them; `marked`: those that packets tell where stamps
    /// are equal; `one_clock`: whether one stamped both captures.
    pub(super) fn new(
        options: &Options,
        limits: Limits,
        ways: Option<Ways>,
        marked: Ways,
        one_clock: bool,
        watch: W,
    ) -> Self {
        let all = Budget::unlimited();
        let direction = || Direction {
            tally: Tally::new(EXACT, &all),
            reorder: Reorder::new(EXACT, &all),
            examples: Examples::default(),
        };
        let waiting = i64::try_from(options.waiting.as_nanos()).unwrap_or(i64::MAX);
        Self {
            watch,
            waiting,
            limits,
            budget: Budget::of(limits.kept),
            pending: Both { a: Pending::new(), b: Pending::new() },
            orphans: Both { a: Orphans::default(), b: Orphans::default() },
            alike: Alike::default(),
            flows: Vec::new(),
            flow_index: HashedMap::default(),
            recent: Box::new([(0, NO_FLOW); RECENT]),
            paths: Paths::new(ways, marked, one_clock),
            directions: Both { a: direction(), b: direction() },
            adrift: Examples::default(),
            unplaced: 0,
            unplaced_pairs: 0,
            at_once: 0,
            alone: Both { a: 0, b: 0 },
            evicted: 0,
            untracked: 0,
            due: i64::MIN,
        }
    }

    /// Runs both captures through.
    pub(super) fn run(mut self, feeds: &mut Both<Feed<'_>>) -> Result<Outcome, Error> {
        feeds.a.advance()?;
        feeds.b.advance()?;
        loop {
            let point = match (feeds.a.head(), feeds.b.head()) {
                (Some(a), Some(b)) => {
                    if a.ts <= b.ts {
                        Point::A
                    } else {
                        Point::B
                    }
                }
                (Some(_), None) => Point::A,
                (None, Some(_)) => Point::B,
                (None, None) => break,
            };
            let Some(ts) = feeds.get(point).head().map(|head| head.ts) else { break };
            // First what has waited long enough: nothing pairs across more than that.
            self.settle_until(ts.saturating_sub(self.waiting), feeds);
            if let Some(head) = feeds.get(point).head() {
                self.take(point, head);
            }
            for side in [Point::A, Point::B] {
                if self.pending.get(side).len() > self.limits.waiting {
                    self.evict(side, feeds);
                    // What is at the front now may be stamped before.
                    self.due = i64::MIN;
                }
            }
            feeds.at(point).advance()?;
        }
        self.settle_until(i64::MAX, feeds);
        let ways: Vec<_> = self.flows.iter().map(|flow| self.paths.way(flow.path)).collect();
        Ok(Outcome {
            directions: self.directions,
            flows: self.flows.into_iter().zip(ways).collect(),
            adrift: self.adrift,
            unplaced: self.unplaced,
            unplaced_pairs: self.unplaced_pairs,
            at_once: self.at_once,
            alone: self.alone,
            evicted: self.evicted,
            untracked: self.untracked,
        })
    }

    /// Settles what was stamped before the horizon, in order of time over both points: variation
    /// and runs see packets as they were sent, and originals come before their copies.
    #[inline]
    fn settle_until(&mut self, horizon: i64, feeds: &mut Both<Feed<'_>>) {
        while self.due < horizon {
            let (a, b) = (self.pending.a.oldest(), self.pending.b.oldest());
            let (point, oldest) = match (a, b) {
                (Some(a), Some(b)) if b < a => (Point::B, b),
                (None, Some(b)) => (Point::B, b),
                (Some(a), _) => (Point::A, a),
                (None, None) => {
                    self.due = i64::MAX;
                    return;
                }
            };
            if oldest >= horizon {
                self.due = oldest;
                return;
            }
            self.settle_front(point, feeds);
        }
    }

    /// Pairs a packet with one that waits at the other point, or lets it wait.
    #[inline(never)]
    fn take(&mut self, point: Point, head: &Head) {
        let packet = &head.packet;
        self.due = self.due.min(head.ts);
        let flow = self.flow(&packet.flow, packet.flow_hash);
        let (path, position) = match self.flows.get_mut(flow as usize) {
            Some(known) => {
                let seen = known.seen.at(point);
                *seen += 1;
                (known.path, *seen - 1)
            }
            None => (self.paths.of(&packet.flow), 0),
        };
        let open = Open {
            ts: head.ts,
            key: packet.key,
            header: packet.header,
            position,
            flow,
            path,
            content: packet.content,
            sequence: packet.segment.0,
            length: packet.segment.1,
            identification: packet.identification,
            cut: packet.cut,
            frame: head.frame,
            note: W::Note::seen(head),
        };
        let other = point.other();
        let waiting = self.pending.get(other);
        let mut found = waiting.candidate(packet.key, packet.identification).filter(|found| {
            // Stamps that leap keep packets waiting beyond their time.
            let since = waiting.get(found.slot).map(|partner| partner.ts.abs_diff(head.ts));
            since.is_some_and(|since| since <= self.waiting.unsigned_abs())
        });
        if let Some(partner) = found.as_ref().and_then(|found| waiting.get(found.slot))
            && head.ts.saturating_sub(partner.ts) > UNORDERED
            && self.paths.is_sure_of(path, point)
        {
            // What arrived before this was sent is another packet, damaged so that it looks alike. Should the
            // direction be wrong, it is right again soon.
            self.paths.vote(path, if point == Point::A { -1 } else { 1 });
            found = None;
        }
        if let Some(found) = found {
            self.pair(point, packet, open, found);
            return;
        }
        let number = self.pending.at(point).push(open);
        // Also while nothing tells the direction: the first packets may be such.
        if self.paths.way(path) != Some(point) {
            self.orphans.at(point).add(open, number);
        }
    }

    #[inline(never)]
    fn pair(&mut self, point: Point, packet: &Keyed, open: Open<W::Note>, found: Candidate) {
        let other = point.other();
        let Some(&partner) = self.pending.get(other).get(found.slot) else { return };
        // Positive: the packet was at the other point first.
        let apart = open.ts.saturating_sub(partner.ts);
        let vote = if other == Point::A { apart.signum() } else { -apart.signum() };
        self.paths.vote(open.path, vote);
        if open.path != partner.path {
            self.paths.vote(partner.path, vote);
        }
        // What is cut cannot be compared, and nothing says that it was damaged.
        let intact = partner.content == open.content || partner.cut || open.cut;
        let first = (apart != 0).then_some(other);
        let Some(sender) = self.paths.sender([partner.path, open.path], first) else {
            self.pair_undecided(point, open, found.slot, intact);
            return;
        };
        let mut state = if intact { State::Matched } else { State::Corrupted };
        let (sent_ts, sent_flow, position, arrived_ts) = if sender == other {
            (partner.ts, partner.flow, partner.position, open.ts)
        } else {
            (open.ts, open.flow, open.position, partner.ts)
        };
        let delay = arrived_ts.saturating_sub(sent_ts);
        let tier = packet.tier.index();
        let mut extent = None;
        let direction = self.directions.at(sender);
        direction.tally.ambiguous += u64::from(found.ambiguous);
        let frames = other.in_order(partner.frame, open.frame);
        if found.ambiguous {
            direction.examples.note(Shown::Ambiguous, frames);
            self.alike.note(open.key, arrived_ts, arrived_ts.saturating_sub(self.waiting));
        }
        if !intact {
            direction.examples.note(Shown::Corrupted, frames);
        } else if let Some(slot) = direction.tally.tiers.get_mut(tier) {
            *slot += 1;
        }
        if let Some(flow) = self.flows.get_mut(sent_flow as usize) {
            flow.tally.ambiguous += u64::from(found.ambiguous);
            if intact {
                if let Some(slot) = flow.tally.tiers.get_mut(tier) {
                    *slot += 1;
                }
                let arrival = flow.tracker.arrive(position, arrived_ts);
                extent = arrival.extent;
                direction.reorder.add(&arrival);
                if extent.is_some() {
                    direction.examples.note(Shown::Reordered, frames);
                }
            }
        }
        if sender == point {
            // Read behind its arrival: it still counts in its turn among what was sent.
            let note = open.note.met(partner.note, partner.frame, partner.ts).displaced(extent);
            self.pending.at(point).push_settled(open, state, delay, note);
            state = State::Arrived;
        }
        let note = partner.note.met(open.note, open.frame, open.ts).displaced(extent);
        let number = self.pending.get(other).number(found.slot);
        if !number.is_some_and(|number| self.orphans.get(other).may_have(number)) {
            self.pending.at(other).close_as(found.slot, state, delay, note);
        } else if let Some(settled) = self.pending.at(other).settle(found.slot, state, delay, note) {
            self.orphans.at(other).remove(&settled);
        }
    }

    /// Lets a pair wait of which nothing tells where it was sent: until its time comes, and its copies find it gone.
    #[cold]
    fn pair_undecided(&mut self, point: Point, open: Open<W::Note>, slot: u32, intact: bool) {
        let other = point.other();
        let Some(&partner) = self.pending.get(other).get(slot) else { return };
        let state = State::Undecided { intact };
        // Where directions are known beforehand, nothing will tell later either.
        let told = self.paths.are_told();
        let number = if told { u64::MAX } else { self.pending.get(point).next_number() };
        let note = partner.note.met(open.note, open.frame, open.ts);
        let Some(settled) = self.pending.at(other).settle(slot, state, number.cast_signed(), note) else { return };
        self.orphans.at(other).remove(&settled);
        if told {
            self.adrift.note(Shown::UnplacedPairs, other.in_order(partner.frame, open.frame));
        } else {
            let note = open.note.met(partner.note, partner.frame, partner.ts);
            self.pending.at(point).push_settled(open, state, settled.number.cast_signed(), note);
        }
    }

    #[inline]
    fn flow(&mut self, key: &FlowKey, hash: u64) -> u32 {
        match self.recent.get(hash as usize % RECENT) {
            Some(&(known, index)) if known == hash && index != NO_FLOW => index,
            _ => self.find_flow(key, hash),
        }
    }

    #[inline(never)]
    fn find_flow(&mut self, key: &FlowKey, hash: u64) -> u32 {
        let known = self.flow_index.get(&hash).copied();
        let index = match known {
            Some(index) => index,
            None if self.flows.len() < FLOWS => {
                let index = self.flows.len() as u32;
                let path = self.paths.of(key);
                self.flows.push(Flow {
                    key: *key,
                    path,
                    seen: Both { a: 0, b: 0 },
                    before: None,
                    changed: 0,
                    tally: Tally::new(EXACT_FLOW, &self.budget),
                    tracker: Tracker::new(EXACT_FLOW, &self.budget),
                });
                self.flow_index.insert(hash, index);
                self.watch.flow(index, key);
                index
            }
            None => {
                self.untracked += 1;
                NO_FLOW
            }
        };
        if let Some(recent) = self.recent.get_mut(hash as usize % RECENT) {
            *recent = (hash, index);
        }
        index
    }
}
