//! A sender and a receiver over a path of constant delay that loses segments on either side of the
//! point: every sample has to be that delay, and every loss where it was.

use std::{
    cmp::Reverse,
    collections::{BTreeSet, BinaryHeap},
};

use proptest::prelude::*;

use super::{Connection, Figures, Segment};
use crate::{packet::Tcp, stats::Budget};

const MS: i64 = 1_000_000;
/// From the sender to the point, and from there to the receiver, in ms.
const BEFORE: i64 = 10;
const BEHIND: i64 = 30;
const TIMEOUT: i64 = 300;
const SEGMENTS: u32 = 400;
const WINDOW: u32 = 12;
/// Bytes of a segment.
const SIZE: u32 = 100;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    /// At the point: number, TSval and IPv4 identification.
    Passes(u32, u32, u16),
    /// At the receiver.
    Arrives(u32, u32),
    /// Back at the point: acknowledgement, echo, and what is behind the last segment beyond a gap.
    Answered(u32, u32, Option<u32>),
    /// At the sender.
    Acknowledged(u32),
    /// The sender's timer, as it was set.
    Timeout(u64),
}

/// What happened, by those who did it.
#[derive(Debug, Default)]
struct Truth {
    repeated: u64,
    lost_before: u64,
    before_start: u64,
}

struct Path {
    events: BinaryHeap<Reverse<(i64, u64, Event)>>,
    order: u64,
    now: i64,
    /// Whether each thing that is sent arrives: before and behind the point, each direction.
    losses: Vec<u8>,
    /// One in so many is lost on each link.
    share: u8,
    drawn: usize,
    first: u32,
    identification: u16,
    acknowledged: u32,
    next: u32,
    duplicates: u32,
    recover: u32,
    timer: u64,
}

impl Path {
    fn at(&mut self, after: i64, event: Event) {
        self.order += 1;
        self.events.push(Reverse((self.now + after, self.order, event)));
    }

    /// Whether one of the four links loses what it carries.
    fn lost(&mut self, which: u8) -> bool {
        let draw = self.losses[self.drawn % self.losses.len()];
        self.drawn += 1;
        draw % self.share == which
    }

    fn send(&mut self, number: u32) {
        self.identification = self.identification.wrapping_add(1).max(1);
        if !self.lost(0) {
            self.at(BEFORE, Event::Passes(number, self.now as u32, self.identification));
        }
    }

    fn fill(&mut self) {
        while self.next < SEGMENTS && self.next < self.acknowledged + WINDOW {
            self.send(self.next);
            self.next += 1;
        }
        self.timer += 1;
        self.at(TIMEOUT, Event::Timeout(self.timer));
    }

    fn acknowledgement(&mut self, number: u32) {
        if number > self.acknowledged {
            self.acknowledged = number;
            self.duplicates = 0;
            if number < self.recover {
                self.send(number);
            }
            self.fill();
        } else if number == self.acknowledged && number < self.next {
            self.duplicates += 1;
            if self.duplicates == 3 {
                self.recover = self.next;
                self.send(number);
            }
        }
    }

    fn sequence(&self, number: u32) -> u32 {
        self.first.wrapping_add(number.wrapping_mul(SIZE))
    }

    fn run(mut self) -> (Figures, Truth) {
        let mut connection = Connection::within(&Budget::unlimited());
        let mut truth = Truth::default();
        let (mut passed, mut received) = (BTreeSet::new(), BTreeSet::new());
        let (mut expected, mut recent, mut start) = (0, 0, None);
        let plain = Segment { flags: Tcp::ACK, window: 100, sequence: 1, acknowledgement: 1, ..Segment::default() };
        self.fill();
        // A path on which nothing arrives must end too.
        for _ in 0..20_000 {
            let Some(Reverse((now, _, event))) = self.events.pop().filter(|_| self.acknowledged < SEGMENTS) else {
                break;
            };
            self.now = now;
            match event {
                Event::Passes(number, value, identification) => {
                    let from = *start.get_or_insert(number);
                    if number < from {
                        truth.before_start += 1;
                    } else if !passed.insert(number) {
                        truth.repeated += 1;
                    } else if passed.last() != Some(&number) {
                        // Order is kept on the path, so this is not its first copy.
                        truth.lost_before += 1;
                    }
                    let sequence = self.sequence(number);
                    let timestamps = Some((value, 0));
                    let segment = Segment {
                        ts_ns: Some(now * MS),
                        sequence,
                        length: SIZE,
                        timestamps,
                        identification: Some(identification),
                        ..plain
                    };
                    connection.see(true, &segment);
                    if !self.lost(1) {
                        self.at(BEHIND, Event::Arrives(number, value));
                    }
                }
                Event::Arrives(number, value) => {
                    // RFC 7323 section 4.3.
                    if number <= expected && value >= recent {
                        recent = value;
                    }
                    received.insert(number);
                    while received.contains(&expected) {
                        expected += 1;
                    }
                    if !self.lost(2) {
                        let beyond = received.last().map(|last| last + 1).filter(|&end| end > expected);
                        self.at(BEHIND, Event::Answered(expected, recent, beyond));
                    }
                }
                Event::Answered(number, echo, beyond) => {
                    let acknowledgement = self.sequence(number);
                    let timestamps = Some((0, echo));
                    let sacked = beyond.map(|end| self.sequence(end));
                    let segment = Segment { ts_ns: Some(now * MS), acknowledgement, timestamps, sacked, ..plain };
                    connection.see(false, &segment);
                    if !self.lost(3) {
                        self.at(BEFORE, Event::Acknowledged(number));
                    }
                }
                Event::Acknowledged(number) => self.acknowledgement(number),
                Event::Timeout(timer) if timer == self.timer => {
                    self.send(self.acknowledged);
                    self.recover = 0;
                    self.at(TIMEOUT, Event::Timeout(timer));
                }
                Event::Timeout(_) => {}
            }
        }
        (connection.figures(), truth)
    }
}

proptest! {
    #[test]
    fn each_sample_is_the_delay_and_each_loss_is_where_it_was(
        first in any::<u32>(),
        losses in prop::collection::vec(0_u8..64, 300..900),
        share in prop::sample::select(vec![16_u8, 64]),
    ) {
        let path = Path {
            events: BinaryHeap::new(),
            order: 0,
            now: 1_000,
            losses,
            share,
            drawn: 0,
            first,
            identification: 65_400,
            acknowledged: 0,
            next: 0,
            duplicates: 0,
            recover: 0,
            timer: 0,
        };
        let (found, truth) = path.run();
        let way = found.a_to_b;
        let counts = way.counts;
        let places = (counts.repeated, counts.lost_before, counts.before_start);
        prop_assert_eq!(places, (truth.repeated, truth.lost_before, truth.before_start), "{:?}", counts);
        prop_assert_eq!((counts.out_of_order, counts.unclear, counts.implausible), (0, 0, 0));
        for times in [way.rtt_by_timestamp_ns, way.rtt_by_acknowledgement_ns] {
            let (count, min, max) = times.map_or((0, 2 * BEHIND * MS, 2 * BEHIND * MS), |x| (x.count, x.min, x.max));
            prop_assert_eq!((min, max), (2 * BEHIND * MS, 2 * BEHIND * MS));
            // Where much is lost, most of what is acknowledged was sent twice or waited.
            prop_assert!(share == 16 || count > 5);
        }
    }
}
