//! What becomes of packets whose waiting time is over.

use super::{
    super::{
        examples::Shown,
        feed::Feed,
        key::Tier,
        orphans::Cover,
        pending::{Open, Settled, State},
        point::{Both, Point},
        sink::Fate,
        watch::{Note, Told, Watch},
    },
    Engine,
};

/// Delays that tell how long packets take.
const TELLING: u64 = 16;
/// How far behind a packet its damaged self is looked for while fewer are known, at least half of it.
const SHORTEST_REACH: i64 = 10_000_000;
/// How far beyond the delays seen so far, and half their spread, a damaged packet may have arrived.
const SLACK: i64 = 1_000_000;
/// Arrivals with the header of one packet that are asked.
const CANDIDATES: usize = 4096;

impl<W: Watch> Engine<W> {
    /// Makes room. What has not waited its time is not lost, and where it is an arrival, what was
    /// sent before it may be what it was.
    pub(super) fn evict(&mut self, point: Point, feeds: &mut Both<Feed<'_>>) {
        let mut entry = Settled::nothing();
        if !self.pending.at(point).pop_into(&mut entry) {
            return;
        }
        if entry.state == State::Open {
            self.evicted += 1;
            feeds.at(point).gaps.note(entry.ts, entry.ts);
        }
        entry.early = true;
        self.settle(point, &entry, feeds);
    }

    /// Counts what has waited long enough.
    #[inline(never)]
    pub(super) fn settle_front(&mut self, point: Point, feeds: &mut Both<Feed<'_>>) {
        let mut entry = Settled::nothing();
        if self.pending.at(point).pop_into(&mut entry) {
            self.settle(point, &entry, feeds);
        }
    }

    #[inline]
    fn settle(&mut self, point: Point, entry: &Settled<W::Note>, feeds: &mut Both<Feed<'_>>) {
        match entry.state {
            State::Matched => self.settle_matched(point, entry),
            State::Arrived => {}
            State::Corrupted => self.settle_sent(point, entry, feeds),
            State::Undecided { intact } => self.settle_undecided(point, intact, entry, feeds),
            State::Open => self.settle_open(point, entry, feeds),
        }
    }

    /// What was sent and arrived intact, as nearly all does.
    #[inline]
    fn settle_matched(&mut self, sender: Point, entry: &Settled<W::Note>) {
        let mut before = None;
        if let Some(flow) = self.flows.get_mut(entry.flow as usize) {
            before = flow.before.replace(entry.delay);
            flow.tally.matched(entry.delay, before);
        }
        self.directions.at(sender).tally.matched(entry.delay, before);
        self.tell(sender, Some(sender), Fate::Matched, entry);
        self.copies(sender, entry, entry.key, true);
    }

    /// A pair without a sender: what is known of its path by now decides, for both of its lines.
    #[cold]
    fn settle_undecided(&mut self, point: Point, intact: bool, entry: &Settled<W::Note>, feeds: &mut Both<Feed<'_>>) {
        let other = point.other();
        let number = entry.delay.cast_unsigned();
        let state = if intact { State::Matched } else { State::Corrupted };
        let path = self.pending.get(other).path(number).unwrap_or(entry.path);
        let sender = self.paths.sender([entry.path, path], None);
        let there = if sender == Some(other) { state } else { State::Arrived };
        let left = self.pending.at(other).decide(number, there);
        if sender == Some(point) {
            self.settle_sent(point, &Settled { state, delay: 0, ..*entry }, feeds);
        } else if sender.is_none() || !left {
            self.unplaced_pairs += 1;
            if !self.paths.are_told() {
                self.at_once += 1;
                self.adrift.note(Shown::UnplacedPairs, point.in_order(entry.frame, 0));
            }
            self.unplaced(point, entry);
        }
    }

    /// A packet, or a pair, without a direction.
    fn unplaced(&mut self, point: Point, entry: &Settled<W::Note>) {
        self.unplaced += 1;
        self.tell(point, None, Fate::Unmatched, entry);
        if let Some(flow) = self.flows.get_mut(entry.flow as usize) {
            flow.tally.unmatched += 1;
        }
    }

    /// What met nothing at the other point.
    #[inline(never)]
    fn settle_open(&mut self, point: Point, entry: &Settled<W::Note>, feeds: &mut Both<Feed<'_>>) {
        let explained = self.orphans.get(point).may_have(entry.number) && self.orphans.at(point).remove(entry);
        let way = self.paths.way(entry.path);
        if way == Some(point) {
            self.settle_sent(point, entry, feeds);
            return;
        }
        let Some(sender) = way else {
            if explained {
                self.tell(point, None, Fate::Uncounted, entry);
            } else {
                *self.alone.at(point) += 1;
                self.adrift.note(Shown::Unplaced, point.in_order(entry.frame, 0));
                self.unplaced(point, entry);
            }
            return;
        };
        if explained || entry.cut || entry.early {
            self.tell(point, way, Fate::Uncounted, entry);
            return;
        }
        let direction = self.directions.at(sender);
        let known = &direction.tally.delay;
        let [fastest, slowest] = [known.min(), known.max()].map(|bound| bound.unwrap_or(0).max(0));
        // Sent before the other capture began, or behind its end: not an arrival from nowhere.
        let other = feeds.at(sender);
        let start = other.start().unwrap_or(i64::MAX);
        let behind = other.is_over() && entry.ts.saturating_sub(fastest) > other.end();
        if entry.ts.saturating_sub(slowest) <= start || behind {
            self.tell(point, way, Fate::Uncounted, entry);
            return;
        }
        direction.tally.arrivals_only += 1;
        direction.examples.note(Shown::ArrivalsOnly, point.in_order(entry.frame, 0));
        if let Some(flow) = self.flows.get_mut(entry.flow as usize) {
            flow.tally.arrivals_only += 1;
        }
        self.tell(point, way, Fate::ArrivalOnly, entry);
    }

    #[inline]
    fn tell(&mut self, point: Point, sender: Option<Point>, fate: Fate, entry: &Settled<W::Note>) {
        let flow = self.flows.get(entry.flow as usize).map(|flow| &flow.key);
        self.watch.packet(Told { point, sender, flow, fate, entry });
    }

    #[inline(never)]
    fn settle_sent(&mut self, sender: Point, entry: &Settled<W::Note>, feeds: &mut Both<Feed<'_>>) {
        let receiver = sender.other();
        let mut state = entry.state;
        let mut delay = entry.delay;
        let mut resegmented = 0;
        let mut unknown = entry.cut || entry.early;
        let mut entry = *entry;
        let mut damaged_key = None;
        if state == State::Open {
            let until = entry.ts.saturating_add(self.waiting);
            let cover = self.orphans.at(receiver).cover(&entry, until);
            unknown |= cover == Cover::Unknown;
            if let Cover::Whole(arrived, number) = cover {
                state = State::Matched;
                delay = arrived.saturating_sub(entry.ts);
                resegmented = 1;
                let pending = self.pending.get(receiver);
                if let Some(last) = pending.waiting(number).and_then(|(slot, _)| pending.get(slot)) {
                    entry.note = entry.note.met(last.note, last.frame, last.ts);
                    let frames = sender.in_order(entry.frame, last.frame);
                    self.directions.at(sender).examples.note(Shown::Resegmented, frames);
                }
            } else if (!entry.cut || entry.length > 0)
                && !entry.early
                && let Some(arrival) = self.damaged(sender, &entry)
            {
                entry.note = entry.note.met(arrival.note, arrival.frame, arrival.ts);
                if self.is_rewritten(&entry, &arrival) {
                    state = State::Matched;
                    delay = arrival.ts.saturating_sub(entry.ts);
                } else {
                    state = State::Corrupted;
                    damaged_key = Some(arrival.key);
                    let frames = sender.in_order(entry.frame, arrival.frame);
                    self.directions.at(sender).examples.note(Shown::Corrupted, frames);
                }
            }
        }
        let direction = self.directions.at(sender);
        let known = &direction.tally.delay;
        let delays = [known.min(), known.max()].map(|bound| bound.unwrap_or(0).max(0));
        // One that looks alike arrived when this one would have: which of them is missing is not known.
        let doubtful = state == State::Open && self.alike.may_be(entry.key, entry.ts.saturating_add(delays[0]));
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
            State::Open if unknown || doubtful => Some(Missing::Unknown),
            State::Open => Some(missing(&entry, feeds.at(receiver), delays)),
            _ => None,
        };
        for tally in tallies.into_iter().flatten() {
            tally.resegmented += resegmented;
            match state {
                State::Matched => tally.matched(delay, before),
                State::Corrupted => {
                    tally.corrupted += 1;
                    tally.runs.delivered();
                }
                State::Undecided { .. } | State::Arrived => {}
                State::Open => match missing {
                    Some(Missing::Lost) => {
                        tally.lost += 1;
                        tally.runs.lost();
                    }
                    Some(Missing::Edge) => {
                        tally.edge += 1;
                        tally.runs.unknown();
                    }
                    Some(Missing::Unknown) | None => {
                        tally.unmatched += 1;
                        tally.runs.unknown();
                    }
                },
            }
        }
        let (fate, shown) = match (state, missing) {
            (State::Matched, _) => (Fate::Matched, None),
            (State::Corrupted, _) => (Fate::Corrupted, None),
            (State::Undecided { .. } | State::Arrived, _) => return,
            (State::Open, Some(Missing::Lost)) => (Fate::Lost, Some(Shown::Lost)),
            (State::Open, Some(Missing::Edge)) => (Fate::Edge, Some(Shown::Edge)),
            (State::Open, _) => (Fate::Unmatched, Some(Shown::Unmatched)),
        };
        if let Some(shown) = shown {
            direction.examples.note(shown, sender.in_order(entry.frame, 0));
        }
        self.tell(sender, Some(sender), fate, &entry);
        if matches!(state, State::Matched | State::Corrupted) {
            let copied = self.copies(sender, &entry, entry.key, true);
            // A packet that was damaged before it was copied has copies with the same damage.
            if let Some(key) = damaged_key {
                self.copies(sender, &entry, key, !copied);
            }
        }
    }

    /// Whether TCP data that arrived with another header was given it on the way: where a flow's packets
    /// more often arrive as they were sent, one that does not was damaged.
    fn is_rewritten(&mut self, sent: &Settled<W::Note>, arrived: &Settled<W::Note>) -> bool {
        if sent.length == 0 || (!sent.cut && !arrived.cut && sent.content != arrived.content) {
            return false;
        }
        let Some(flow) = self.flows.get_mut(sent.flow as usize) else { return false };
        flow.changed += 1;
        flow.tally.tiers.get(Tier::Tcp.index()).is_none_or(|same| flow.changed > *same)
    }

    /// Second pass by header: an unpaired arrival that is this packet with other content.
    fn damaged(&mut self, sender: Point, entry: &Settled<W::Note>) -> Option<Settled<W::Note>> {
        let receiver = sender.other();
        // Many packets of a flow share a header: look where one that was sent then would arrive.
        let known = &self.directions.get(sender).tally.delay;
        let [from, until] = match (known.min(), known.max()) {
            (Some(fastest), Some(slowest)) if known.count() >= TELLING => {
                let slack = slowest.saturating_sub(fastest) / 2 + SLACK;
                [fastest.saturating_sub(slack), slowest.saturating_add(slack)]
            }
            (Some(_), Some(slowest)) => [0, slowest.max(SHORTEST_REACH).saturating_mul(2)],
            _ => [0, self.waiting],
        };
        let from = entry.ts.saturating_add(from.max(0));
        let until = entry.ts.saturating_add(until.min(self.waiting));
        let (waiting, sent) = match sender {
            Point::A => (&self.pending.b, &mut self.pending.a),
            Point::B => (&self.pending.a, &mut self.pending.b),
        };
        let near = self.orphans.at(receiver).of_header(entry.header, from);
        let found = near.take_while(|orphan| orphan.ts <= until).take(CANDIDATES).find_map(|orphan| {
            let (slot, ts) = waiting.waiting(orphan.number)?;
            let Open { key, cut, sequence, length, .. } = *waiting.get(slot)?;
            // Of TCP data the header alone tells.
            if cut && length == 0 {
                return None;
            }
            // Where no identification tells, numbers must not contradict.
            if entry.identification == 0 && sequence != entry.sequence {
                return None;
            }
            let copy = *orphan.copy.get_or_insert_with(|| sent.has_match(key, ts));
            (!copy).then_some(slot)
        });
        let slot = found?;
        let note = self.pending.get(receiver).get(slot)?.note;
        let arrival = self.pending.at(receiver).settle(slot, State::Arrived, 0, note)?;
        self.orphans.at(receiver).remove(&arrival);
        Some(arrival)
    }

    /// Counts the arrivals with this key that are further copies of a packet that has its match, the first of them
    /// if none was before; tells whether there are any. They arrived while it waited, so they still wait themselves.
    #[inline]
    fn copies(&mut self, sender: Point, entry: &Settled<W::Note>, key: u64, none_before: bool) -> bool {
        let receiver = sender.other();
        let mut first = u64::from(none_before);
        let mut any = false;
        while !self.orphans.get(receiver).is_empty() {
            let pending = self.pending.get(receiver);
            let Some(found) = pending.candidate(key, 0) else { break };
            let Some(&copy) = pending.get(found.slot) else { break };
            if copy.ts < entry.ts || copy.ts.saturating_sub(entry.ts) > self.waiting {
                break;
            }
            let note = copy.note.met(entry.note, entry.frame, entry.ts);
            let arrival = self.pending.at(receiver).settle(found.slot, State::Arrived, 0, note);
            let Some(arrival) = arrival else { break };
            self.orphans.at(receiver).remove(&arrival);
            let direction = self.directions.at(sender);
            direction.tally.duplicated += 1;
            direction.tally.replicated += first;
            direction.examples.note(Shown::Duplicated, sender.in_order(entry.frame, arrival.frame));
            let mut name = None;
            if let Some(flow) = self.flows.get_mut(entry.flow as usize) {
                flow.tally.duplicated += 1;
                flow.tally.replicated += first;
                name = Some(&flow.key);
            }
            first = 0;
            any = true;
            let told =
                Told { point: receiver, sender: Some(sender), flow: name, fate: Fate::Duplicate, entry: &arrival };
            self.watch.packet(told);
        }
        any
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
fn missing<N>(entry: &Settled<N>, receiver: &mut Feed<'_>, [fastest, slowest]: [i64; 2]) -> Missing {
    let earliest = entry.ts.saturating_add(fastest);
    let latest = entry.ts.saturating_add(slowest);
    let before = receiver.start().is_none_or(|start| earliest < start);
    // Only once the capture is read to its end is its end known.
    let behind = receiver.is_over() && latest > receiver.end();
    if before || behind {
        Missing::Edge
    } else if receiver.gaps.between(entry.ts, latest, entry.ts) {
        Missing::Unknown
    } else {
        Missing::Lost
    }
}
