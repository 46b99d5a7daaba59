//! Managed queues that act at random: how many packets they hit is what a reference, written from the RFC in floating
//! point, makes likely over the recorded arrivals.

use std::collections::BTreeMap;
use std::time::Duration;

use shaper_common::fate::Cause;
use shaper_common::layout::Record;
use shaper_engine::DirectionOutcome;

use crate::bed::{Bed, GRACE};
use crate::check::{self, mean, passed};
use crate::frame::{self, Stream};

const GAP: Duration = Duration::from_micros(200);
/// 542 bytes every 200 us are 21.7 Mbit/s.
const LENGTH: u64 = 542;
/// Seconds of the controllers: target and update of either, RFC 8033 and RFC 9332.
const TARGET: f64 = 0.015;
const UPDATE: u64 = 15_000_000;

/// Longer packets, of three kinds in turn.
fn stream(number: u64, kinds: [u8; 3]) -> Stream {
    Stream { ecn: kinds[(number % 3) as usize], payload: 500, ..Stream::default() }
}

/// Sends through such a link, and sees that what went on arrives in its order, and what was marked with its mark.
fn through(profile: &str, sent: u64, kinds: [u8; 3], look: impl FnOnce(&DirectionOutcome)) {
    let bed = Bed::new();
    let engine = bed.start(profile);
    let tap = bed.tap();
    bed.send(0..sent, GAP, |number| stream(number, kinds).frame(&bed, number));
    let outcome = engine.stop(GRACE).unwrap();
    let forward = check::forward(&outcome, sent);
    let went_on = passed(forward);
    let frames = tap.frames(forward.account.out);
    assert_eq!(frames.len(), went_on.len());
    for (record, got) in went_on.into_iter().zip(frames) {
        let sent = stream(record.sequence, kinds);
        let ecn = if record.fate.marked != 0 { frame::CE } else { sent.ecn };
        assert_eq!(got, Stream { ecn, ..sent }.frame(&bed, record.sequence), "with checksums that are right");
    }
    look(forward);
    bed.done();
}

/// A bottleneck of so many bits a second that its updates look at.
struct Queue {
    service: u64,
    free_at: u64,
    next_update: Option<u64>,
}

impl Queue {
    fn new(rate: u64) -> Self {
        Self { service: LENGTH * 8_000_000_000 / rate, free_at: 0, next_update: None }
    }

    /// Seconds that a packet waits which comes then.
    fn delay(&self, at: u64) -> f64 {
        self.free_at.saturating_sub(at) as f64 / 1e9
    }

    /// The delays at the updates that fell due until a packet came.
    fn updates(&mut self, now: u64) -> Vec<f64> {
        let mut at = *self.next_update.get_or_insert(now + UPDATE);
        let mut delays = Vec::new();
        while at <= now {
            delays.push(self.delay(at));
            at += UPDATE;
        }
        self.next_update = Some(at);
        delays
    }

    fn take(&mut self, now: u64) {
        self.free_at = self.free_at.max(now) + self.service;
    }
}

/// So many hits of packets that each had a chance of its own, given what was before: their number less the sum of the
/// chances is a martingale, whose variance is the sum of `p (1 - p)`.
#[derive(Default)]
struct Hits {
    hits: u64,
    expected: f64,
    variance: f64,
}

impl Hits {
    fn add(&mut self, hit: bool, p: f64) {
        assert!((p > 0.0 || !hit) && (p < 1.0 || hit), "{hit} with a chance of {p}");
        self.hits += u64::from(hit);
        self.expected += p;
        self.variance += p * (1.0 - p);
    }

    fn agree(&self, least: u64) {
        assert!(self.hits >= least, "{} hits", self.hits);
        mean(self.hits as f64, self.expected, self.variance.sqrt());
    }
}

/// What became of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Act {
    Pass,
    Mark,
    Drop,
}

fn act(record: &Record) -> Act {
    match (record.cause(), record.fate.marked) {
        (Some(Cause::None), 0) => Act::Pass,
        (Some(Cause::None), _) => Act::Mark,
        (Some(Cause::Aqm), 0) => Act::Drop,
        other => unreachable!("{other:?} where the queue is never full"),
    }
}

/// PIE as RFC 8033 has it in sections 4 and 5.4.
#[derive(Default)]
struct Pie {
    p: f64,
    old: f64,
    /// Seconds.
    burst: f64,
    /// Drops expected since the last one.
    accumulated: f64,
}

impl Pie {
    fn update(&mut self, delay: f64) {
        let mut change = 0.125 * (delay - TARGET) + 1.25 * (delay - self.old);
        for (below, divisor) in [(1e-6, 2048.0), (1e-5, 512.0), (1e-4, 128.0), (1e-3, 32.0), (0.01, 8.0), (0.1, 2.0)] {
            if self.p < below {
                change /= divisor;
                break;
            }
        }
        if self.p >= 0.1 {
            change = change.min(0.02);
        }
        self.p = (self.p + change).clamp(0.0, 1.0);
        if delay == 0.0 && self.old == 0.0 {
            self.p *= 1.0 - 1.0 / 64.0;
        }
        self.old = delay;
        self.burst = (self.burst - UPDATE as f64 / 1e9).max(0.0);
    }

    /// The chance of a drop.
    fn chance(&mut self, delay: f64, short: f64) -> f64 {
        if self.p == 0.0 && self.old < TARGET / 2.0 && delay < TARGET / 2.0 {
            self.burst = 0.150;
        }
        if self.burst > 1e-6 || (self.old < TARGET / 2.0 && self.p < 0.2) || delay <= short {
            return 0.0;
        }
        self.accumulated = if self.p == 0.0 { 0.0 } else { self.accumulated + self.p };
        match self.accumulated {
            little if little < 0.85 => 0.0,
            much if much >= 8.5 => 1.0,
            _ => self.p,
        }
    }
}

#[test]
fn pie_hits_as_many_as_its_controller_makes_likely() {
    const RATE: u64 = 14_000_000;
    const SENT: u64 = 4_000;
    const PROFILE: &str = "rate = \"14mbit\"\nqueue = \"5s\"\naqm = \"pie\"\necn = true";
    // Two full packets.
    let short = 2.0 * 1514.0 * 8.0 / RATE as f64;
    for kind in [frame::NOT_ECT, frame::ECT_0] {
        through(PROFILE, SENT, [kind; 3], |forward| {
            let (mut queue, mut pie) = (Queue::new(RATE), Pie::default());
            let (mut all, mut marks, mut drops) = (Hits::default(), 0, 0);
            let mut first = None;
            for record in &forward.records {
                let (now, act) = (record.arrival().0, act(record));
                queue.updates(now).into_iter().for_each(|delay| pie.update(delay));
                let p = pie.chance(queue.delay(now), short);
                all.add(act != Act::Pass, p);
                match act {
                    Act::Pass => {}
                    // Section 5.1: marks stand for drops up to a tenth.
                    Act::Mark => {
                        assert!(kind == frame::ECT_0 && pie.p <= 0.1 + 1e-6, "a mark with {}", pie.p);
                        marks += 1;
                    }
                    Act::Drop => {
                        assert!(kind == frame::NOT_ECT || pie.p > 0.1 - 1e-6, "a drop with {}", pie.p);
                        drops += 1;
                    }
                }
                if act != Act::Pass {
                    pie.accumulated = 0.0;
                    first.get_or_insert(now);
                }
                if act != Act::Drop {
                    queue.take(now);
                }
            }
            all.agree(100);
            // Section 4.4: nothing of the first burst.
            let since = forward.records[0].arrival().0;
            assert!(first.is_some_and(|first| first - since >= 150_000_000), "{first:?} and {since}");
            assert!(drops > 50 && (marks > 5) == (kind == frame::ECT_0), "{marks} marks and {drops} drops");
        });
    }
}

/// The chances of a mark and of a drop by PI2 at such a base probability, with a coupling of 2: RFC 9332, sections 2.1
/// and 4.2.
fn coupled(base: f64, kind: u8) -> (f64, f64) {
    let (classic, is_overloaded) = (base * base, base >= 0.5);
    match kind {
        frame::ECT_1 if is_overloaded => (1.0 - classic, classic),
        frame::ECT_1 => (2.0 * base, 0.0),
        frame::ECT_0 if !is_overloaded => (classic, 0.0),
        _ => (0.0, classic),
    }
}

#[test]
fn pi2_hits_classic_packets_by_the_square_of_what_it_marks_scalable_ones_by() {
    const RATE: u64 = 16_000_000;
    const SENT: u64 = 4_000;
    const PROFILE: &str = "rate = \"16mbit\"\nqueue = \"5s\"\naqm = \"pi2\"\necn = true";
    let short = 2.0 * 1514.0 * 8.0 / RATE as f64;
    let kinds = [frame::NOT_ECT, frame::ECT_0, frame::ECT_1];
    through(PROFILE, SENT, kinds, |forward| {
        let mut queue = Queue::new(RATE);
        let (mut base, mut old) = (0.0f64, 0.0);
        let mut marks: BTreeMap<u8, Hits> = BTreeMap::new();
        let mut drops: BTreeMap<u8, Hits> = BTreeMap::new();
        for record in &forward.records {
            let (now, act) = (record.arrival().0, act(record));
            for delay in queue.updates(now) {
                // Appendix A.
                base = (base + 0.15 * (delay - TARGET) + 3.0 * (delay - old)).clamp(0.0, 0.5);
                old = delay;
            }
            let kind = kinds[(record.sequence % 3) as usize];
            let (mark, drop) = if queue.delay(now) <= short { (0.0, 0.0) } else { coupled(base, kind) };
            marks.entry(kind).or_default().add(act == Act::Mark, mark);
            drops.entry(kind).or_default().add(act == Act::Drop, drop);
            if act != Act::Drop {
                queue.take(now);
            }
        }
        // Below overload and in it: of classic packets marks and then drops, of scalable ones marks, and then drops.
        let least = [(frame::NOT_ECT, 0, 100), (frame::ECT_0, 15, 50), (frame::ECT_1, 400, 50)];
        for (kind, least_marks, least_drops) in least {
            marks[&kind].agree(least_marks);
            drops[&kind].agree(least_drops);
        }
    });
}

#[test]
fn a_step_marks_scalable_packets_that_wait_longer_and_no_others() {
    const RATE: u64 = 8_000_000;
    const SENT: u64 = 2_400;
    const THRESHOLD: f64 = 0.05;
    // Without `ecn`, which is about classic marks.
    let profile = "rate = \"8mbit\"\nqueue = \"5s\"\naqm = \"step 50ms\"";
    let kinds = [frame::NOT_ECT, frame::ECT_1, frame::ECT_0];
    through(profile, SENT, kinds, |forward| {
        let mut queue = Queue::new(RATE);
        let mut scalable = [0u64; 2];
        for record in &forward.records {
            let now = record.arrival().0;
            let is_scalable = kinds[(record.sequence % 3) as usize] == frame::ECT_1;
            let waits_longer = queue.delay(now) > THRESHOLD;
            let expected = if is_scalable && waits_longer { Act::Mark } else { Act::Pass };
            assert_eq!(act(record), expected, "number {} waits {} s", record.sequence, queue.delay(now));
            queue.take(now);
            assert_eq!(record.release().0, queue.free_at, "what is marked is served as well");
            scalable[usize::from(waits_longer)] += u64::from(is_scalable);
        }
        assert!(scalable[0] > 20 && scalable[1] > 200, "{scalable:?}");
    });
}
