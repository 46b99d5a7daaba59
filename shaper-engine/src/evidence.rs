//! Evidence: the records of the programs and the releases of the delay line, collected while they come.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::Duration;

use shaper_bpf::Records;
use shaper_common::layout::{BYPASS, Record};
use shaper_common::units::Nanos;
use shaper_delayline::Released;

use shaper_channel::{ChannelSpec, Oracle, Verdict};

use crate::follow::Follower;
use crate::spec::DirectionSpec;

/// What is kept of records and releases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// Everything is checked, nothing is kept.
    Nothing,
    /// Everything is checked, and of each direction the first so many are kept: records, releases of packets, and
    /// releases of copies.
    First(usize),
}

/// How long the collector waits for releases before it looks for records again.
const ROUND: Duration = Duration::from_millis(1);
/// Records that are read before it looks elsewhere.
const READ: usize = 4096;
/// Records of different CPUs reach the ring a little out of the order of the decisions: so many are held back
/// to sort them.
const HELD_BACK: usize = 4096;

/// What was collected for one direction.
#[derive(Clone, Debug, Default)]
pub(crate) struct Collected {
    pub(crate) records: Vec<Record>,
    pub(crate) releases: Vec<Released>,
    pub(crate) copies: Vec<Released>,
    pub(crate) verdict: Verdict,
    pub(crate) control_sent: u64,
    pub(crate) control_refused: u64,
}

/// A record in the order of the decisions.
struct BySequence(Record);

impl PartialEq for BySequence {
    fn eq(&self, other: &Self) -> bool {
        self.0.sequence == other.0.sequence
    }
}

impl Eq for BySequence {}

impl PartialOrd for BySequence {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for BySequence {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.sequence.cmp(&other.0.sequence)
    }
}

/// The records of one channel on their way to its oracle.
struct Channel {
    oracle: Oracle,
    waiting: BinaryHeap<Reverse<BySequence>>,
}

struct Direction<'a> {
    /// The direction's own channel, then those of its rules.
    channels: Vec<Channel>,
    start: &'a AtomicU64,
    collected: Collected,
}

impl<'a> Direction<'a> {
    fn new(spec: &DirectionSpec, start: &'a AtomicU64) -> Self {
        let channel = |spec: &ChannelSpec| Channel { oracle: Oracle::new(spec.clone()), waiting: BinaryHeap::new() };
        Self { channels: spec.channels().map(channel).collect(), start, collected: Collected::default() }
    }

    fn take(&mut self, record: Record, keep: Keep) {
        let number = record.rule as usize;
        let Some(channel) = self.channels.get_mut(number) else { return };
        channel.waiting.push(Reverse(BySequence(record)));
        if channel.waiting.len() > HELD_BACK {
            self.settle_one(number, keep);
        }
    }

    /// Goes on with settings that change later on too.
    fn extend(&mut self, spec: ChannelSpec) {
        if let Some(channel) = self.channels.first_mut() {
            channel.oracle.extend(spec);
        }
    }

    fn settle_one(&mut self, number: usize, keep: Keep) -> bool {
        let Some(channel) = self.channels.get_mut(number) else { return false };
        let Some(Reverse(BySequence(record))) = channel.waiting.pop() else {
            return false;
        };
        // Set before the programs know of it, and so before any record that depends on it.
        channel.oracle.begin(Nanos(self.start.load(Ordering::Acquire)));
        channel.oracle.check(&record);
        if matches!(keep, Keep::First(most) if self.collected.records.len() < most) {
            self.collected.records.push(record);
        }
        true
    }

    /// All that was collected, with the records of all channels in the order of their arrivals.
    fn settle(mut self, keep: Keep) -> Collected {
        for number in 0..self.channels.len() {
            while self.settle_one(number, keep) {}
        }
        if self.channels.len() > 1 {
            self.collected.records.sort_by_key(|record| (record.arrival(), record.channel, record.sequence));
        }
        let verdict = self.channels.iter().fold(Verdict::default(), |all, channel| all.and(channel.oracle.verdict()));
        Collected { verdict, ..self.collected }
    }

    fn take_release(&mut self, release: Released, keep: Keep) {
        if release.id & BYPASS != 0 {
            let count =
                if release.sent { &mut self.collected.control_sent } else { &mut self.collected.control_refused };
            *count += 1;
            return;
        }
        // Apart, for a packet's own release stands for the packet: a record has one at most.
        let list = if release.copy == 0 { &mut self.collected.releases } else { &mut self.collected.copies };
        if matches!(keep, Keep::First(most) if list.len() < most) {
            list.push(release);
        }
    }
}

/// Settings that a direction changes to, and whom to tell that they are known here.
pub(crate) struct Extended {
    pub(crate) direction: u32,
    pub(crate) channel: ChannelSpec,
    pub(crate) known: Sender<()>,
}

/// What the thread is told.
pub(crate) enum Told {
    /// A direction changes to other settings.
    Extended(Box<Extended>),
    /// Somebody looks on from now on.
    Follow(Follower),
    /// Who looks on wants to know when he has all that there is by now.
    Mark(Sender<()>),
}

/// Those who look on.
#[derive(Default)]
struct Followers {
    all: Vec<Follower>,
    marks: Vec<Sender<()>>,
}

impl Followers {
    /// Hands on what came in this round; `is_dry` where the sources had no more.
    fn hand_on(&mut self, is_dry: bool) {
        self.all.retain_mut(Follower::hand_on);
        if is_dry && !self.all.iter().any(Follower::has_waiting) {
            for mark in self.marks.drain(..) {
                // Who does not wait for it any more need not be told.
                let _ = mark.send(());
            }
        }
    }

    /// Hands on the last of it: who takes nothing for a second goes without.
    fn end(mut self) {
        let mut rounds = 0;
        while self.all.iter().any(Follower::has_waiting) && rounds < 1000 {
            self.hand_on(false);
            std::thread::sleep(ROUND);
            rounds += 1;
        }
    }
}

/// Collects until `done` is set and both sources are dry.
pub(crate) fn collect(
    specs: &[DirectionSpec],
    mut ring: Records,
    releases: &Receiver<Vec<Released>>,
    told: &Receiver<Told>,
    keep: Keep,
    start: &AtomicU64,
    done: &AtomicBool,
) -> Vec<Collected> {
    let mut directions: Vec<Direction<'_>> = specs.iter().map(|spec| Direction::new(spec, start)).collect();
    let mut followers = Followers::default();
    loop {
        // Read before the sources: what is set now was written after all that they will ever hold.
        let last = done.load(Ordering::Acquire);
        for told in told.try_iter() {
            match told {
                Told::Extended(extended) => {
                    let Extended { direction, channel, known } = *extended;
                    if let Some(direction) = directions.get_mut(direction as usize) {
                        direction.extend(channel);
                    }
                    // Who does not wait for it any more need not be told.
                    let _ = known.send(());
                }
                Told::Follow(follower) => followers.all.push(follower),
                Told::Mark(mark) => followers.marks.push(mark),
            }
        }
        let mut read = 0;
        for record in ring.by_ref().take(READ) {
            read += 1;
            for follower in &mut followers.all {
                follower.record(&record);
            }
            if let Some(direction) = directions.get_mut(usize::from(record.direction)) {
                direction.take(record, keep);
            }
        }
        let mut waited = false;
        loop {
            let wait = if waited || last || read == READ { Duration::ZERO } else { ROUND };
            match releases.recv_timeout(wait) {
                Ok(chunk) => {
                    for release in chunk {
                        for follower in &mut followers.all {
                            follower.release(release);
                        }
                        if let Some(direction) = directions.get_mut(release.direction as usize) {
                            direction.take_release(release, keep);
                        }
                    }
                    waited = true;
                }
                Err(RecvTimeoutError::Timeout) => break,
                Err(RecvTimeoutError::Disconnected) => {
                    if !last && read < READ {
                        std::thread::sleep(ROUND);
                    }
                    break;
                }
            }
        }
        followers.hand_on(read < READ);
        if last && read < READ {
            break;
        }
    }
    followers.end();
    directions.into_iter().map(|direction| direction.settle(keep)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_are_kept_apart_and_control_packets_are_counted() {
        let start = AtomicU64::new(0);
        let mut direction = Direction::new(&DirectionSpec::default(), &start);
        let release = |id, copy, sent| Released { id, intended: Nanos(1), actual: Nanos(2), direction: 0, copy, sent };
        for id in 0..5 {
            for copy in 0..3 {
                direction.take_release(release(id, copy, true), Keep::First(4));
            }
        }
        direction.take_release(release(BYPASS, 0, true), Keep::First(4));
        direction.take_release(release(BYPASS, 0, false), Keep::First(4));
        let Collected { releases, copies, control_sent, control_refused, .. } = direction.collected;
        assert_eq!(releases, [0, 1, 2, 3].map(|id| release(id, 0, true)));
        assert_eq!(copies, [(0, 1), (0, 2), (1, 1), (1, 2)].map(|(id, copy)| release(id, copy, true)));
        assert_eq!((control_sent, control_refused), (1, 1));
    }

    #[test]
    fn who_looks_on_gets_all_in_order_and_is_told_what_found_no_room() {
        let (to_evidence, told) = std::sync::mpsc::channel();
        let following = crate::follow::Following::start(to_evidence).unwrap();
        let mut followers = Followers::default();
        let Ok(Told::Follow(follower)) = told.try_recv() else { panic!("nobody asked") };
        followers.all.push(follower);
        let record = |sequence| Record { sequence, ..Record::default() };
        const MANY: u64 = 100_000;
        for sequence in 0..MANY {
            followers.all[0].record(&record(sequence));
            if sequence % 1000 == 0 {
                followers.hand_on(true);
            }
        }
        let looks_on = std::thread::spawn(move || {
            let (mut sequences, mut lost) = (Vec::new(), 0);
            following.rest(|chunk| {
                sequences.extend(chunk.records.iter().map(|record| record.sequence));
                lost += chunk.lost;
                Ok::<(), ()>(())
            })?;
            Ok::<_, ()>((sequences, lost))
        });
        let Ok(Told::Mark(mark)) = told.recv() else { panic!("no mark") };
        followers.marks.push(mark);
        while !followers.marks.is_empty() {
            followers.hand_on(true);
        }
        let (sequences, lost) = looks_on.join().unwrap().unwrap();
        assert!(sequences.is_sorted_by(|one, other| one < other));
        assert!(lost > 0, "more than there is room for");
        assert_eq!(sequences.len() as u64 + lost, MANY);
        // Who has gone is not handed anything any more.
        followers.all[0].record(&record(0));
        followers.hand_on(true);
        assert!(followers.all.is_empty());
    }
}
