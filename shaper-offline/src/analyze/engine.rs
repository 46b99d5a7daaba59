//! The merge: both captures in order of time, one waiting time of packets in memory.

use super::{
    Options,
    clock::Ways,
    feed::{Feed, Head},
    flow::FlowKey,
    hash::HashedMap,
    key::Keyed,
    orphans::Orphans,
    pending::{Candidate, Open, Pending, Settled, State},
    point::{Both, Paths, Point},
    reorder::{Tally as Reorder, Tracker},
    tally::Tally,
};
use crate::{pcapfile::Error, stats::Budget};

/// Flows counted one by one; packets of further flows count in the totals alone.
const FLOWS: usize = 65_536;
/// Delays kept exactly per direction, and per flow while the flows' budget lasts.
const EXACT: usize = 1 << 22;
const EXACT_FLOW: usize = 1 << 16;
/// How far behind a packet its damaged self is looked for, at least half of it.
const SHORTEST_REACH: i64 = 10_000_000;
/// No flow of its own.
const NO_FLOW: u32 = u32::MAX;

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
    pub(super) tally: Tally,
    pub(super) tracker: Tracker,
}

/// Totals of one direction.
#[derive(Debug)]
pub(super) struct Direction {
    pub(super) tally: Tally,
    pub(super) reorder: Reorder,
}

pub(super) struct Engine {
    waiting: i64,
    limits: Limits,
    /// What the flows keep, all together.
    budget: Budget,
    pending: Both<Pending>,
    orphans: Both<Orphans>,
    flows: Vec<Flow>,
    flow_index: HashedMap<u32>,
    latest_flow: Both<(u64, u32)>,
    paths: Paths,
    directions: Both<Direction>,
    pub(super) unplaced: u64,
    unplaced_pairs: u64,
    pub(super) evicted: u64,
    pub(super) untracked: u64,
}

/// What the merge leaves behind.
pub(super) struct Outcome {
    pub(super) directions: Both<Direction>,
    pub(super) flows: Vec<(Flow, Option<Point>)>,
    pub(super) unplaced: u64,
    /// Of those, packets seen at both points.
    pub(super) unplaced_pairs: u64,
    pub(super) evicted: u64,
    pub(super) untracked: u64,
}

impl Engine {
    /// `ways`: the directions known, where stamps do not tell them.
    pub(super) fn new(options: &Options, limits: Limits, ways: Option<Ways>) -> Self {
        let all = Budget::unlimited();
        let direction = || Direction { tally: Tally::new(EXACT, &all), reorder: Reorder::new(EXACT, &all) };
        let waiting = i64::try_from(options.waiting.as_nanos()).unwrap_or(i64::MAX);
        Self {
            waiting,
            limits,
            budget: Budget::of(limits.kept),
            pending: Both { a: Pending::new(), b: Pending::new() },
            orphans: Both { a: Orphans::default(), b: Orphans::default() },
            flows: Vec::new(),
            flow_index: HashedMap::default(),
            latest_flow: Both { a: (0, NO_FLOW), b: (0, NO_FLOW) },
            paths: Paths::new(ways),
            directions: Both { a: direction(), b: direction() },
            unplaced: 0,
            unplaced_pairs: 0,
            evicted: 0,
            untracked: 0,
        }
    }

    /// Runs both captures through.
    pub(super) fn run(mut self, feeds: &mut Both<Feed>) -> Result<Outcome, Error> {
        feeds.a.advance()?;
        feeds.b.advance()?;
        loop {
            let point = match (&feeds.a.head, &feeds.b.head) {
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
            let Some(head) = feeds.at(point).head else { break };
            // First what has waited long enough: nothing pairs across more than that.
            self.settle_until(head.ts.saturating_sub(self.waiting), feeds);
            self.take(point, &head);
            for side in [Point::A, Point::B] {
                if self.pending.get(side).len() > self.limits.waiting {
                    self.evict(side, feeds);
                }
            }
            feeds.at(point).advance()?;
        }
        self.settle_until(i64::MAX, feeds);
        let ways: Vec<_> = self.flows.iter().map(|flow| self.paths.way(flow.path)).collect();
        Ok(Outcome {
            directions: self.directions,
            flows: self.flows.into_iter().zip(ways).collect(),
            unplaced: self.unplaced,
            unplaced_pairs: self.unplaced_pairs,
            evicted: self.evicted,
            untracked: self.untracked,
        })
    }

    /// Settles what was stamped before the horizon, in order of time over both points: variation
    /// and runs see packets as they were sent, and originals come before their copies.
    #[inline]
    fn settle_until(&mut self, horizon: i64, feeds: &mut Both<Feed>) {
        loop {
            let (a, b) = (self.pending.a.oldest(), self.pending.b.oldest());
            let point = match (a, b) {
                (Some(a), Some(b)) if b < a => Point::B,
                (None, Some(_)) => Point::B,
                (Some(_), _) => Point::A,
                (None, None) => return,
            };
            if self.pending.get(point).oldest().is_none_or(|oldest| oldest >= horizon) {
                return;
            }
            self.settle_front(point, feeds);
        }
    }

    /// Pairs a packet with one that waits at the other point, or lets it wait.
    #[inline]
    fn take(&mut self, point: Point, head: &Head) {
        let packet = &head.packet;
        let flow = self.flow(point, &packet.flow, packet.flow_hash);
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
        };
        let other = point.other();
        let waiting = self.pending.get(other);
        let found = waiting.candidate(packet.key, packet.identification).filter(|found| {
            // Stamps that leap keep packets waiting beyond their time.
            let since = waiting.get(found.slot).map(|partner| partner.ts.abs_diff(head.ts));
            since.is_some_and(|since| since <= self.waiting.unsigned_abs())
        });
        if let Some(found) = found {
            self.pair(point, packet, &open, found);
            return;
        }
        let number = self.pending.at(point).push(open);
        // Also while nothing tells the direction: the first packets may be such.
        if self.paths.way(path) != Some(point) {
            self.orphans.at(point).add(&open, number);
        }
    }

    #[inline]
    fn pair(&mut self, point: Point, packet: &Keyed, open: &Open, found: Candidate) {
        let other = point.other();
        let Some(partner) = self.pending.get(other).get(found.slot).copied() else { return };
        // Positive: the packet was at the other point first.
        let apart = open.ts.saturating_sub(partner.ts);
        let vote = if other == Point::A { apart.signum() } else { -apart.signum() };
        self.paths.vote(open.path, vote);
        if open.path != partner.path {
            self.paths.vote(partner.path, vote);
        }
        let Some(sender) = self.paths.sender([partner.path, open.path], other) else {
            // It counts when its time comes; until then its copies find it gone.
            if let Some(settled) = self.pending.at(other).settle(found.slot, State::Matched, 0) {
                self.orphans.at(other).remove(&settled);
            }
            self.unplaced_pairs += 1;
            return;
        };
        let (sent, arrived) = if sender == other { (&partner, open) } else { (open, &partner) };
        let delay = arrived.ts.saturating_sub(sent.ts);
        // What is cut cannot be compared, and nothing says that it was damaged.
        let intact = sent.content == arrived.content || sent.cut || arrived.cut;
        let state = if intact { State::Matched } else { State::Corrupted };
        let settled = self.pending.at(other).settle(found.slot, state, delay);
        if let Some(settled) = settled.filter(|_| !self.orphans.get(other).is_empty()) {
            self.orphans.at(other).remove(&settled);
        }
        if sender == point {
            // Read behind its arrival: it still counts in its turn among what was sent.
            self.pending.at(point).push_settled(open, state, delay);
        }
        let direction = self.directions.at(sender);
        direction.tally.ambiguous += u64::from(found.ambiguous);
        let tier = packet.tier.index();
        if intact && let Some(slot) = direction.tally.tiers.get_mut(tier) {
            *slot += 1;
        }
        if let Some(flow) = self.flows.get_mut(sent.flow as usize) {
            flow.tally.ambiguous += u64::from(found.ambiguous);
            if intact {
                if let Some(slot) = flow.tally.tiers.get_mut(tier) {
                    *slot += 1;
                }
                let arrival = flow.tracker.arrive(sent.position.into(), arrived.ts);
                direction.reorder.add(arrival);
            }
        }
    }

    /// Makes room. What has not waited its time is not lost, and where it is an arrival, what was
    /// sent before it may be what it was.
    fn evict(&mut self, point: Point, feeds: &mut Both<Feed>) {
        let Some(entry) = self.pending.at(point).pop() else { return };
        if entry.state == State::Open {
            self.evicted += 1;
            feeds.at(point).gaps.note(entry.ts, entry.ts);
        }
        self.settle(point, &Settled { early: true, ..entry }, feeds);
    }

    /// Counts what has waited long enough.
    #[inline]
    fn settle_front(&mut self, point: Point, feeds: &mut Both<Feed>) {
        let Some(entry) = self.pending.at(point).pop() else { return };
        self.settle(point, &entry, feeds);
    }

    fn settle(&mut self, point: Point, entry: &Settled, feeds: &mut Both<Feed>) {
        let way = self.paths.way(entry.path);
        let open = entry.state == State::Open && !self.orphans.get(point).is_empty();
        let explained = open && self.orphans.at(point).remove(entry);
        if way == Some(point) {
            self.settle_sent(point, entry, feeds);
            return;
        }
        let Some(sender) = way else {
            if explained || entry.state == State::Duplicate {
                return;
            }
            self.unplaced += 1;
            if let Some(flow) = self.flows.get_mut(entry.flow as usize) {
                flow.tally.unmatched += 1;
            }
            return;
        };
        if entry.state != State::Open || explained || entry.cut || entry.early {
            return;
        }
        let direction = self.directions.at(sender);
        let slowest = direction.tally.delay.max().unwrap_or(0).max(0);
        // Sent before the other capture began: not an arrival from nowhere.
        let start = feeds.at(sender).start().unwrap_or(i64::MAX);
        if entry.ts.saturating_sub(slowest) <= start {
            return;
        }
        direction.tally.arrivals_only += 1;
        if let Some(flow) = self.flows.get_mut(entry.flow as usize) {
            flow.tally.arrivals_only += 1;
        }
    }

    fn settle_sent(&mut self, sender: Point, entry: &Settled, feeds: &mut Both<Feed>) {
        let receiver = sender.other();
        let mut state = entry.state;
        let mut delay = entry.delay;
        let mut resegmented = 0;
        if state == State::Open {
            let until = entry.ts.saturating_add(self.waiting);
            if let Some(arrived) = self.orphans.at(receiver).cover(entry, until) {
                state = State::Matched;
                delay = arrived.saturating_sub(entry.ts);
                resegmented = 1;
            } else if !entry.cut && !entry.early && self.damaged(sender, entry) {
                state = State::Corrupted;
            }
        }
        let copies = match state {
            State::Open | State::Duplicate => 0,
            State::Matched | State::Corrupted => self.copies(receiver, entry),
        };
        let direction = self.directions.at(sender);
        let known = &direction.tally.delay;
        let delays = [known.min(), known.max()].map(|bound| bound.unwrap_or(0).max(0));
        let flow = self.flows.get_mut(entry.flow as usize);
        let mut tallies = [Some(&mut direction.tally), None];
        let mut before = None;
        if let Some(flow) = flow {
            before = flow.before.take();
            if state == State::Matched {
                flow.before = Some(delay);
            }
            tallies[1] = Some(&mut flow.tally);
        }
        let missing = match state {
            State::Open if entry.cut || entry.early => Some(Missing::Unknown),
            State::Open => Some(missing(entry, feeds.at(receiver), delays)),
            _ => None,
        };
        for tally in tallies.into_iter().flatten() {
            tally.duplicated += copies;
            tally.resegmented += resegmented;
            match state {
                State::Matched => {
                    tally.matched += 1;
                    tally.delay.push(delay);
                    if let Some(before) = before {
                        tally.ipdv.push(delay.saturating_sub(before));
                    }
                    tally.runs.delivered();
                }
                State::Corrupted => {
                    tally.corrupted += 1;
                    tally.runs.delivered();
                }
                State::Duplicate => {}
                State::Open => match missing {
                    Some(Missing::Lost) => {
                        tally.lost += 1;
                        tally.runs.lost();
                    }
                    Some(Missing::Edge) => tally.edge += 1,
                    Some(Missing::Unknown) | None => tally.unmatched += 1,
                },
            }
        }
    }

    /// Second pass by header: an unpaired arrival that is this packet with other content.
    fn damaged(&mut self, sender: Point, entry: &Settled) -> bool {
        let receiver = sender.other();
        // Many packets of a flow share a header: look no further than delays reach.
        let slowest = self.directions.get(sender).tally.delay.max();
        let reach = slowest.map_or(self.waiting, |slowest| slowest.max(SHORTEST_REACH).saturating_mul(2));
        let until = entry.ts.saturating_add(reach.min(self.waiting));
        let (waiting, sent) = (self.pending.get(receiver), self.pending.get(sender));
        let found = self.orphans.at(receiver).of_header(entry.header).iter_mut().find_map(|orphan| {
            let (slot, ts) = waiting.waiting(orphan.number)?;
            let Open { key, cut: false, .. } = *waiting.get(slot)? else { return None };
            let may = (entry.ts..=until).contains(&ts) && !*orphan.copy.get_or_insert_with(|| sent.has_match(key, ts));
            may.then_some(slot)
        });
        let Some(slot) = found else { return false };
        if let Some(arrival) = self.pending.at(receiver).settle(slot, State::Corrupted, 0) {
            self.orphans.at(receiver).remove(&arrival);
        }
        true
    }

    /// Counts the arrivals that are further copies of a packet that has its match. They arrived
    /// while it waited, so they still wait themselves.
    #[inline]
    fn copies(&mut self, receiver: Point, entry: &Settled) -> u64 {
        let mut copies = 0;
        while !self.orphans.get(receiver).is_empty() {
            let pending = self.pending.get(receiver);
            let Some(found) = pending.candidate(entry.key, 0) else { break };
            let Some(copy) = pending.get(found.slot) else { break };
            if copy.ts < entry.ts || copy.ts.saturating_sub(entry.ts) > self.waiting {
                break;
            }
            let arrival = self.pending.at(receiver).settle(found.slot, State::Duplicate, 0);
            if let Some(arrival) = arrival {
                self.orphans.at(receiver).remove(&arrival);
            }
            copies += 1;
        }
        copies
    }

    #[inline]
    fn flow(&mut self, point: Point, key: &FlowKey, hash: u64) -> u32 {
        let latest = self.latest_flow.get(point);
        if latest.0 == hash && latest.1 != NO_FLOW {
            return latest.1;
        }
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
                    tally: Tally::new(EXACT_FLOW, &self.budget),
                    tracker: Tracker::new(EXACT_FLOW, &self.budget),
                });
                self.flow_index.insert(hash, index);
                index
            }
            None => {
                self.untracked += 1;
                NO_FLOW
            }
        };
        *self.latest_flow.at(point) = (hash, index);
        index
    }
}

/// Why a packet is not in the other capture.
#[derive(Clone, Copy)]
enum Missing {
    Lost,
    Edge,
    Unknown,
}

/// `fastest` and `slowest` are the delays seen so far: the packet would have arrived between.
fn missing(entry: &Settled, receiver: &mut Feed, [fastest, slowest]: [i64; 2]) -> Missing {
    let earliest = entry.ts.saturating_add(fastest);
    let latest = entry.ts.saturating_add(slowest);
    let before = receiver.start().is_none_or(|start| earliest < start);
    // Only once the capture is read to its end is its end known.
    let behind = receiver.head.is_none() && latest > receiver.end();
    if before || behind {
        Missing::Edge
    } else if receiver.gaps.between(entry.ts, latest, entry.ts) {
        Missing::Unknown
    } else {
        Missing::Lost
    }
}
